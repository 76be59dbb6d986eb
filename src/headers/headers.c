/* What each upstream is told, compiled from the configuration, and whose word a name is. The families are in families.c,
 * xfcc.c and traefik.c, the operator's templates in templates.c, the names that only we may say in protected.c. Where a
 * request came from is forwarding.c, what a rule does to a head edits.c. */
#include "sallyport/headers/headers.h"

#include <errno.h>
#include <stdlib.h>

#include "edits.h"
#include "families.h"
#include "sallyport/http/codec.h"

struct upstream {
    struct sp_template *templates;
    size_t count;
};

struct sp_headers {
    const struct sp_config *config;
    struct sp_arena arena;
    struct upstream *upstreams;
    struct sp_slice *ours; /* folded names of the templates, sorted, each once */
    size_t ours_count;
};

/* ---- compiling ---- */

struct build {
    struct sp_headers *h;
    struct sp_diags *diags;
    bool out_of_memory;
};

static const char *judge_name(struct sp_arena *arena, struct sp_slice name)
{
    struct sp_slice folded = sp_header_fold_copy(arena, name);

    if (folded.ptr == NULL)
        return "";
    if (!sp_method_is_token(name)) /* the same grammar, RFC 9110 §5.1 */
        return "is no header name";
    if (sp_header_id_of(folded) != SP_HDR_OTHER)
        return "is a header that the gate itself reads or writes";
    if (sp_header_is_reserved(name))
        return "belongs to a family of identity headers, or says where a request came from or goes";
    return NULL;
}

static bool is_taken(const struct upstream *u, struct sp_slice folded)
{
    for (size_t i = 0; i < u->count; i++) {
        if (sp_header_fold_compare(folded, u->templates[i].name) == 0)
            return true;
    }
    return false;
}

static void complain(struct build *b, const struct sp_config_upstream *u,
    const struct sp_config_header *header, const char *what)
{
    if (what[0] == '\0')
        b->out_of_memory = true;
    else
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->h->config->file, header->at, "upstreams.%s.headers.%s: %s",
            u->name, header->name, what);
}

static void compile_header(struct build *b, const struct sp_config_upstream *u, struct upstream *out,
    const struct sp_config_header *header)
{
    struct sp_arena *arena = &b->h->arena;
    struct sp_slice name = sp_slice_of(header->name), folded = sp_header_fold_copy(arena, name);
    struct sp_template *t = &out->templates[out->count];

    const char *wrong = judge_name(arena, name);
    if (wrong == NULL && folded.ptr != NULL && is_taken(out, folded))
        wrong = "is there twice: case does not matter, and '-', '_' and '.' are one to many backends";
    if (wrong == NULL && folded.ptr != NULL)
        wrong = sp_template_compile(arena, header->name, header->value, t);
    if (wrong != NULL || folded.ptr == NULL) {
        complain(b, u, header, wrong != NULL ? wrong : "");
        return;
    }
    out->count++;
    b->h->ours[b->h->ours_count++] = folded;
}

static void compile_upstream(struct build *b, const struct sp_config_upstream *u, struct upstream *out)
{
    size_t of_decision = 0;

    out->templates = sp_arena_alloc(&b->h->arena, u->header_count, sizeof(*out->templates));
    if (out->templates == NULL && u->header_count > 0) {
        b->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < u->header_count; i++)
        compile_header(b, u, out, &u->headers[i]);
    for (size_t i = 0; i < out->count; i++)
        of_decision += out->templates[i].time != SP_TEMPLATE_CONNECTION;
    if (of_decision >= SP_DECISION_LINES_MAX)
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->h->config->file, u->at,
            "upstreams.%s.headers: more than %d of {rule} and {caller}", u->name, SP_DECISION_LINES_MAX - 1);
}

static int by_name(const void *a, const void *b)
{
    return sp_header_fold_compare(*(const struct sp_slice *)a, *(const struct sp_slice *)b);
}

static void sort_ours(struct sp_headers *h)
{
    size_t kept = 0;

    qsort(h->ours, h->ours_count, sizeof(*h->ours), by_name);
    for (size_t i = 0; i < h->ours_count; i++) {
        if (kept == 0 || !sp_slice_equal(h->ours[kept - 1], h->ours[i]))
            h->ours[kept++] = h->ours[i];
    }
    h->ours_count = kept;
}

static bool allocate(struct sp_headers *h)
{
    size_t names = 1;

    for (size_t i = 0; i < h->config->upstream_count; i++)
        names += h->config->upstreams[i].header_count;
    h->upstreams = sp_arena_alloc(&h->arena, h->config->upstream_count + 1, sizeof(*h->upstreams));
    h->ours = sp_arena_alloc(&h->arena, names, sizeof(*h->ours));
    return h->upstreams != NULL && h->ours != NULL;
}

struct sp_headers *sp_headers_new(const struct sp_config *config, struct sp_diags *diags)
{
    size_t errors_before = diags->errors;
    struct sp_headers *h = SP_NEW(struct sp_headers);
    struct build b = {.h = h, .diags = diags, .out_of_memory = h == NULL};

    if (h != NULL) {
        h->config = config;
        sp_arena_init(&h->arena, 0);
        b.out_of_memory = !allocate(h);
    }
    for (size_t i = 0; i < config->upstream_count && !b.out_of_memory; i++)
        compile_upstream(&b, &config->upstreams[i], &h->upstreams[i]);
    if (b.out_of_memory)
        sp_diag_add(diags, SP_DIAG_ERROR, config->file, (struct sp_pos){0, 0}, "no memory for headers");
    if (diags->errors > errors_before) {
        sp_headers_free(h);
        return NULL;
    }
    sort_ours(h);
    sp_edits_judge(h, config, diags);
    if (diags->errors > errors_before)
        sp_headers_free(h);
    return diags->errors > errors_before ? NULL : h;
}

void sp_headers_free(struct sp_headers *h)
{
    if (h == NULL)
        return;
    sp_arena_free(&h->arena);
    sp_free(h);
}

/* ---- once a connection ---- */

static const struct sp_config_trusted_proxy *proxy_of(const struct sp_headers *h, size_t proxy)
{
    return proxy < h->config->trusted_proxy_count ? &h->config->trusted_proxies[proxy] : NULL;
}

static size_t lines_at_most(const struct sp_headers *h, size_t upstream, const struct sp_identity *id)
{
    size_t names = id != NULL ? id->uris.count + id->dns_names.count + id->emails.count : 0;

    return 32 + names + h->upstreams[upstream].count;
}

/* As many as there are: they stay as long as the connection. */
static enum sp_rc keep_lines(const struct sp_headers_writer *w, struct sp_header_lines *out)
{
    struct sp_line *lines = sp_arena_alloc(w->arena, w->count, sizeof(*lines));

    if (lines == NULL)
        return sp_err_sys(w->err, ENOMEM, "identity headers");
    if (w->count > 0)
        memcpy(lines, w->lines, w->count * sizeof(*lines));
    out->lines = lines;
    out->count = w->count;
    return SP_OK;
}

static void put_families(struct sp_headers_writer *w, unsigned families, const struct sp_identity *id)
{
    static const struct {
        unsigned family;
        void (*put)(struct sp_headers_writer *w, const struct sp_identity *id);
    } FAMILIES[] = {
        {SP_IDENTITY_PLAIN, sp_headers_put_plain},
        {SP_IDENTITY_RFC9440, sp_headers_put_rfc9440},
        {SP_IDENTITY_NGINX, sp_headers_put_nginx},
        {SP_IDENTITY_TRAEFIK, sp_headers_put_traefik},
        {SP_IDENTITY_ALB, sp_headers_put_alb},
    };

    for (size_t i = 0; i < SP_COUNTOF(FAMILIES); i++) {
        if (families & FAMILIES[i].family)
            FAMILIES[i].put(w, id);
    }
}

static void put_xfcc(struct sp_headers_writer *w, const struct sp_config_upstream *u,
    const struct sp_headers_about *about, enum sp_xfcc_mode mode, struct sp_header_lines *out)
{
    if (mode == SP_XFCC_FORWARD_ONLY)
        return;
    struct sp_slice element = sp_headers_xfcc_element(w, about, u->xfcc_details);
    if (mode == SP_XFCC_APPEND_FORWARD)
        out->xfcc_element = element;
    else if (element.ptr != NULL)
        w->lines[w->count++] = (struct sp_line){SP_XFCC_NAME, element};
}

enum sp_rc sp_headers_make(const struct sp_headers *h, size_t upstream, const struct sp_headers_about *about,
    struct sp_arena *arena, struct sp_header_lines *out, struct sp_err *err)
{
    const struct sp_config_upstream *u = &h->config->upstreams[upstream];
    const struct sp_config_trusted_proxy *proxy = proxy_of(h, about->proxy);
    const struct upstream *own = &h->upstreams[upstream];
    struct sp_headers_writer w = {.arena = arena,
        .err = err,
        .lines = sp_alloc(lines_at_most(h, upstream, about->identity), sizeof(struct sp_line))};

    if (w.lines == NULL)
        return sp_err_sys(err, ENOMEM, "identity headers");
    *out = (struct sp_header_lines){0};
    put_families(&w, u->identity_headers & ~(proxy != NULL ? proxy->identity_headers : 0), about->identity);
    if (u->identity_headers & SP_IDENTITY_XFCC)
        put_xfcc(&w, u, about, proxy != NULL ? proxy->xfcc : SP_XFCC_SANITIZE_SET, out);
    for (size_t i = 0; i < own->count; i++) {
        if (own->templates[i].time == SP_TEMPLATE_CONNECTION)
            sp_template_put(&w, &own->templates[i], about);
    }
    enum sp_rc rc = w.failed ? SP_FAIL : keep_lines(&w, out);
    sp_free(w.lines);
    if (rc != SP_OK)
        return SP_FAIL;
    out->bytes = sp_lines_measure(out->lines, out->count);
    return SP_OK;
}

/* ---- once a request ---- */

size_t sp_headers_of_decision(const struct sp_headers *h, size_t upstream, const char *rule,
    const char *caller, struct sp_line lines[SP_DECISION_LINES_MAX])
{
    const struct upstream *own = &h->upstreams[upstream];
    size_t count = 0;

    if (h->config->upstreams[upstream].identity_headers & SP_IDENTITY_PLAIN)
        lines[count++] = (struct sp_line){SP_SLICE("X-Client-Rule"), sp_slice_of(rule)};
    for (size_t i = 0; i < own->count; i++) {
        const struct sp_template *t = &own->templates[i];
        const char *value = t->time == SP_TEMPLATE_RULE     ? rule
                            : t->time == SP_TEMPLATE_CALLER ? caller
                                                            : NULL;
        if (value != NULL)
            lines[count++] = (struct sp_line){t->name, sp_slice_of(value)};
    }
    return count;
}

bool sp_headers_is_ours(const struct sp_headers *h, struct sp_slice name)
{
    size_t low = 0, high = h->ours_count;

    if (sp_name_is_protected(name))
        return true;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = sp_header_fold_compare(h->ours[middle], name);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool may_pass(const struct sp_config_trusted_proxy *proxy, struct sp_slice name, bool *single)
{
    unsigned family = sp_header_family_of(name, single);

    if (family == SP_IDENTITY_XFCC)
        return proxy->xfcc != SP_XFCC_SANITIZE_SET;
    return (proxy->identity_headers & family) != 0;
}

bool sp_headers_may_pass(const struct sp_headers *h, size_t proxy, struct sp_slice name)
{
    const struct sp_config_trusted_proxy *p = proxy_of(h, proxy);
    bool single;

    return p != NULL && may_pass(p, name, &single);
}

static bool is_repeated(const struct sp_head *head, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (sp_slice_equal_nocase(head->headers[i].name, head->headers[index].name))
            return true;
    }
    return false;
}

/* Behind an open quote our own element would be read as a part of theirs. A backslash in quotes escapes whatever follows to
 * one reader, a quote alone to another. */
static bool ends_unquoted(struct sp_slice xfcc, bool escapes_all)
{
    bool quoted = false;

    for (size_t i = 0; i < xfcc.len; i++) {
        if (xfcc.ptr[i] == '"')
            quoted = !quoted;
        else if (quoted && xfcc.ptr[i] == '\\' && i + 1 < xfcc.len)
            i += escapes_all || xfcc.ptr[i + 1] == '"';
    }
    return !quoted;
}

static bool may_be_continued(const struct sp_config_trusted_proxy *proxy, const struct sp_header *field)
{
    if (proxy->xfcc != SP_XFCC_APPEND_FORWARD || !sp_slice_equal_nocase(field->name, SP_XFCC_NAME))
        return true;
    return ends_unquoted(field->value, true) && ends_unquoted(field->value, false);
}

enum sp_rc sp_headers_check_passed(
    const struct sp_headers *h, size_t proxy, const struct sp_head *head, struct sp_fault *fault)
{
    const struct sp_config_trusted_proxy *p = proxy_of(h, proxy);
    bool single;

    for (size_t i = 0; p != NULL && i < head->header_count; i++) {
        const struct sp_header *field = &head->headers[i];
        if (!may_pass(p, field->name, &single))
            continue;
        *fault = (struct sp_fault){
            SP_REFUSAL_bad_header, 400, "an identity header of the trusted proxy is not printable ASCII"};
        if (!sp_headers_is_printable(field->value))
            return SP_FAIL;
        *fault = (struct sp_fault){SP_REFUSAL_ambiguous_header, 400,
            "an identity header of the trusted proxy is there more than once"};
        if (single && is_repeated(head, i))
            return SP_FAIL;
        *fault = (struct sp_fault){SP_REFUSAL_bad_header, 400,
            "the X-Forwarded-Client-Cert of the trusted proxy ends inside a quoted value"};
        if (!may_be_continued(p, field))
            return SP_FAIL;
    }
    return SP_OK;
}
