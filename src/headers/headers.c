/* What each upstream is told, compiled from the configuration; the families themselves are in families.c, the names that
 * only we may say in protected.c. */
#include "sallyport/headers/headers.h"

#include <errno.h>

#include "families.h"

struct sp_headers {
    const struct sp_config *config;
};

struct sp_headers *sp_headers_new(const struct sp_config *config, struct sp_diags *diags)
{
    struct sp_headers *h = SP_NEW(struct sp_headers);

    if (h == NULL) {
        sp_diag_add(diags, SP_DIAG_ERROR, config->file, (struct sp_pos){0, 0}, "no memory for headers");
        return NULL;
    }
    h->config = config;
    return h;
}

void sp_headers_free(struct sp_headers *h)
{
    sp_free(h);
}

/* ---- writing ---- */

void sp_headers_put(struct sp_headers_writer *w, struct sp_slice name, struct sp_slice value)
{
    if (value.len > 0)
        w->lines[w->count++] = (struct sp_line){name, value};
}

void sp_headers_put_text(struct sp_headers_writer *w, struct sp_slice name, const char *text)
{
    struct sp_slice copy = sp_arena_copy(w->arena, sp_slice_of(text));

    w->failed = w->failed || copy.ptr == NULL;
    sp_headers_put(w, name, copy);
}

void sp_headers_put_each(struct sp_headers_writer *w, struct sp_slice name, const struct sp_slices *values)
{
    for (size_t i = 0; i < values->count; i++)
        sp_headers_put(w, name, values->items[i]);
}

static size_t lines_at_most(const struct sp_identity *id)
{
    return 16 + (id != NULL ? id->uris.count + id->dns_names.count + id->emails.count : 0);
}

enum sp_rc sp_headers_make(const struct sp_headers *h, size_t upstream, const struct sp_headers_about *about,
    struct sp_arena *arena, struct sp_header_lines *out, struct sp_err *err)
{
    unsigned families = h->config->upstreams[upstream].identity_headers;
    struct sp_headers_writer w = {.arena = arena,
        .lines = sp_arena_alloc(arena, lines_at_most(about->identity), sizeof(struct sp_line))};

    if (w.lines == NULL)
        return sp_err_sys(err, ENOMEM, "identity headers");
    if (families & SP_IDENTITY_PLAIN)
        sp_headers_put_plain(&w, about->identity);
    if (families & SP_IDENTITY_RFC9440)
        sp_headers_put_rfc9440(&w, about->identity);
    if (w.failed)
        return sp_err_sys(err, ENOMEM, "identity headers");
    *out = (struct sp_header_lines){w.lines, w.count};
    return SP_OK;
}

size_t sp_headers_of_decision(const struct sp_headers *h, size_t upstream, const char *rule,
    const char *caller, struct sp_line lines[SP_DECISION_LINES_MAX])
{
    (void)caller;
    if ((h->config->upstreams[upstream].identity_headers & SP_IDENTITY_PLAIN) == 0)
        return 0;
    lines[0] = (struct sp_line){SP_SLICE("X-Client-Rule"), sp_slice_of(rule)};
    return 1;
}

bool sp_headers_is_ours(const struct sp_headers *h, struct sp_slice name)
{
    (void)h;
    return sp_name_is_protected(name);
}

bool sp_headers_may_pass(const struct sp_headers *h, size_t proxy, struct sp_slice name)
{
    (void)h;
    (void)proxy;
    (void)name;
    return false;
}
