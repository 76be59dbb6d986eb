/* Edits by rule, judged at load and made on each head. */
#include "edits.h"

#include "families.h"
#include "sallyport/headers/edits.h"

/* ---- at load ---- */

#define KNOWN_NAME_MAX 64 /* no name that the gate knows is as long */

/* In any spelling: no known name holds what is neither letter, digit nor '-'. */
static bool is_known(struct sp_slice name)
{
    char folded[KNOWN_NAME_MAX];

    for (size_t i = 0; i < name.len && i < sizeof(folded); i++)
        folded[i] = sp_header_fold(name.ptr[i]);
    return name.len <= sizeof(folded) && sp_header_id_of((struct sp_slice){folded, name.len}) != SP_HDR_OTHER;
}

struct judge {
    const struct sp_headers *h;
    const struct sp_config *config;
    struct sp_diags *diags;
    size_t rule;
    const char *key; /* "request_headers" */
    bool of_requests;
};

static const char *judge_name(const struct judge *j, struct sp_slice name)
{
    if (!sp_method_is_token(name)) /* the same grammar, RFC 9110 §5.1 */
        return "is no header name";
    if (is_known(name))
        return "is a header that the gate itself reads or writes";
    if (sp_header_is_reserved(name) || sp_name_is_protected(name))
        return "says who a caller is, or where a request came from or goes: no rule may say or remove it";
    if (sp_headers_is_ours(j->h, name))
        return "is among the headers of an upstream: no rule may say or remove it";
    if (j->of_requests && sp_header_names_are_alike(name, SP_SLICE("via")))
        return "is the way of a request: without it, one that goes round in a circle is never found out";
    return NULL;
}

static const char *judge_value(struct sp_slice value)
{
    if (value.len == 0)
        return "has no value; a header is taken away by \"remove\"";
    if (!sp_headers_is_printable(value))
        return "has a value with a byte that is not printable ASCII";
    return value.ptr[0] == ' ' || value.ptr[value.len - 1] == ' ' ? "has a value with a blank at an end"
                                                                  : NULL;
}

static void complain(
    const struct judge *j, struct sp_pos at, const char *part, const char *name, const char *what)
{
    if (what != NULL)
        sp_diag_add(j->diags, SP_DIAG_ERROR, j->config->file, at, "rules[%zu].%s.%s: %s %s", j->rule, j->key,
            part, name, what);
}

static void judge_lines(
    const struct judge *j, const char *part, const struct sp_config_header *items, size_t count, bool is_set)
{
    for (size_t i = 0; i < count; i++) {
        struct sp_slice name = sp_slice_of(items[i].name);
        complain(j, items[i].at, part, items[i].name, judge_name(j, name));
        complain(j, items[i].at, part, items[i].name, judge_value(sp_slice_of(items[i].value)));
        for (size_t k = 0; is_set && k < i; k++) {
            if (sp_header_names_are_alike(name, sp_slice_of(items[k].name)))
                complain(j, items[i].at, part, items[i].name, "is there twice");
        }
    }
}

static void judge_edits(const struct judge *j, const struct sp_config_edits *e, struct sp_pos at)
{
    if (e == NULL)
        return;
    judge_lines(j, "set", e->set, e->set_count, true);
    judge_lines(j, "add", e->add, e->add_count, false);
    for (size_t i = 0; i < e->remove.count; i++)
        complain(
            j, e->remove.at[i], "remove", e->remove.items[i], judge_name(j, sp_slice_of(e->remove.items[i])));
    if (e->set_count + e->add_count > SP_EDITS_LINES_MAX)
        sp_diag_add(j->diags, SP_DIAG_ERROR, j->config->file, at,
            "rules[%zu].%s: sets and adds more than %d headers", j->rule, j->key, SP_EDITS_LINES_MAX);
}

void sp_edits_judge(const struct sp_headers *h, const struct sp_config *config, struct sp_diags *diags)
{
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct sp_config_rule *r = &config->rules[i];
        judge_edits(&(struct judge){h, config, diags, i, "request_headers", true}, r->request_headers, r->at);
        judge_edits(
            &(struct judge){h, config, diags, i, "response_headers", false}, r->response_headers, r->at);
    }
}

/* ---- on a head ---- */

static bool is_taken(const struct sp_config_edits *e, struct sp_slice name)
{
    for (size_t i = 0; i < e->remove.count; i++) {
        if (sp_header_names_are_alike(sp_slice_of(e->remove.items[i]), name))
            return true;
    }
    for (size_t i = 0; i < e->set_count; i++) {
        if (sp_header_names_are_alike(sp_slice_of(e->set[i].name), name))
            return true;
    }
    return false;
}

void sp_edits_strip(const struct sp_config_edits *edits, struct sp_line *lines, size_t *count)
{
    size_t kept = 0;

    if (edits == NULL || (edits->remove.count == 0 && edits->set_count == 0))
        return;
    for (size_t i = 0; i < *count; i++) {
        if (!is_taken(edits, lines[i].name))
            lines[kept++] = lines[i];
    }
    *count = kept;
}

static void add_lines(
    const struct sp_config_header *items, size_t item_count, struct sp_line *lines, size_t *count)
{
    for (size_t i = 0; i < item_count; i++)
        lines[(*count)++] = (struct sp_line){sp_slice_of(items[i].name), sp_slice_of(items[i].value)};
}

void sp_edits_apply(const struct sp_config_edits *edits, struct sp_line *lines, size_t *count)
{
    if (edits == NULL)
        return;
    sp_edits_strip(edits, lines, count);
    add_lines(edits->set, edits->set_count, lines, count);
    add_lines(edits->add, edits->add_count, lines, count);
}
