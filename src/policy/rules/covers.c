/* Whether one rule covers another, condition by condition: true only when the text of both proves it. Not told are
 * coverings by several rules together, and callers whose entries say the same in other words.
 *
 * A path pattern covers another one when it matches its text: a '*' of the other can only be taken in by a '*', which takes
 * in whatever that stands for. Only "**" is more than a segment, and is taken in by "**" alone. */
#include "policy/rules/covers.h"

#include "sallyport/http/path.h"

/* ---- callers ---- */

/* The entry asks for nothing but that other caller, or for nothing but a certificate. */
static bool stands_alone(const struct sp_config_caller_entry *e)
{
    return e->uri == NULL && e->dns == NULL && e->email == NULL && e->ip == NULL && e->serial == NULL &&
           e->fingerprint_sha256 == NULL && e->spki_sha256 == NULL && e->policy == NULL &&
           e->subject_count == 0 && e->issuer_count == 0 && e->qc_type == SP_QC_NONE && e->psd2_roles == 0 &&
           e->psd2_authority == NULL && e->file == NULL;
}

static bool spend(struct sp_nesting *n)
{
    if (n->work > 0)
        n->work--;
    return n->work > 0;
}

/* Callers name each other without a circle, so this ends; how often it comes by one is bounded by the work. */
static bool contains(struct sp_nesting *n, uint32_t outer, uint32_t inner)
{
    const struct sp_config_caller *c = &n->policy->config->callers[outer];

    if (outer == inner)
        return true;
    if (!spend(n))
        return false;
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct sp_config_caller_entry *e = &c->entries[i];
        if (e->caller == NULL || e->any != SP_CALLER_NOT_ANY || !stands_alone(e))
            continue;
        uint32_t named = sp_callers_find(n->policy->callers, e->caller);
        if (named != SP_CALLER_NONE && contains(n, named, inner))
            return true;
    }
    return false;
}

static void mark_authenticated(struct sp_nesting *n, size_t caller)
{
    const struct sp_config_caller *c = &n->policy->config->callers[caller];
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct sp_config_caller_entry *e = &c->entries[i];
        if (e->any == SP_CALLER_ANY_AUTHENTICATED && e->caller == NULL && stands_alone(e))
            n->authenticated[caller] = true;
    }
}

/* Whoever contains such a one, is one. Round by round, as deep as callers are nested. */
static bool spread_authenticated(struct sp_nesting *n)
{
    const struct sp_config *config = n->policy->config;
    bool changed = false;
    for (size_t i = 0; i < config->caller_count; i++) {
        for (size_t k = 0; k < config->callers[i].entry_count && !n->authenticated[i]; k++) {
            const struct sp_config_caller_entry *e = &config->callers[i].entries[k];
            if (e->caller == NULL || e->any != SP_CALLER_NOT_ANY || !stands_alone(e))
                continue;
            uint32_t named = sp_callers_find(n->policy->callers, e->caller);
            n->authenticated[i] = named != SP_CALLER_NONE && n->authenticated[named];
            changed = changed || n->authenticated[i];
        }
    }
    return changed;
}

enum sp_rc sp_nesting_init(struct sp_nesting *n, const struct sp_policy *p, size_t work)
{
    size_t count = p->config->caller_count, ids_count = 0;
    uint32_t *ids = NULL;

    *n = (struct sp_nesting){.policy = p, .work = work};
    n->anonymous = sp_alloc(count + 1, sizeof(bool));
    n->authenticated = sp_alloc(count + 1, sizeof(bool));
    if (n->anonymous == NULL || n->authenticated == NULL ||
        sp_callers_of(p->callers, NULL, &ids, &ids_count) != SP_OK) {
        sp_nesting_free(n);
        return SP_FAIL;
    }
    for (size_t i = 0; i < ids_count; i++)
        n->anonymous[ids[i]] = true;
    sp_free(ids);
    for (size_t i = 0; i < count; i++)
        mark_authenticated(n, i);
    for (size_t i = 0; i < count && spread_authenticated(n); i++)
        ;
    return SP_OK;
}

void sp_nesting_free(struct sp_nesting *n)
{
    SP_FREE(n->anonymous);
    SP_FREE(n->authenticated);
}

static bool any_marked(const bool *marks, const struct sp_caller_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (marks[set->items[i]])
            return true;
    }
    return false;
}

static bool covers_caller(
    struct sp_nesting *n, const struct sp_caller_set *a, bool all_authenticated, bool anonymous, uint32_t b)
{
    const struct sp_caller_ids only = {&b, 1};
    if (all_authenticated && (anonymous || !n->anonymous[b]))
        return true;
    if (sp_callers_first(a, only) != SP_NONE)
        return true;
    for (size_t i = 0; i < a->count; i++) {
        if (contains(n, a->items[i], b))
            return true;
    }
    return false;
}

bool sp_covers_callers(struct sp_nesting *n, const struct sp_caller_set *a, const struct sp_caller_set *b)
{
    bool all_authenticated = any_marked(n->authenticated, a), anonymous = any_marked(n->anonymous, a);
    for (size_t i = 0; i < b->count; i++) {
        if (!covers_caller(n, a, all_authenticated, anonymous, b->items[i]))
            return false;
    }
    return true;
}

static bool covers_from(struct sp_nesting *n, const struct sp_rule *a, const struct sp_rule *b)
{
    if (a->from.count == 0)
        return true;
    if (b->from.count == 0)
        return any_marked(n->authenticated, &a->from) && any_marked(n->anonymous, &a->from);
    return sp_covers_callers(n, &a->from, &b->from);
}

/* ---- the other conditions ---- */

static bool covers_listeners(const struct sp_rule *a, const struct sp_rule *b)
{
    if (a->listener_count == 0)
        return true;
    for (size_t i = 0; i < b->listener_count; i++) {
        bool found = false;
        for (size_t k = 0; k < a->listener_count && !found; k++)
            found = a->listeners[k] == b->listeners[i];
        if (!found)
            return false;
    }
    return b->listener_count > 0;
}

static bool covers_sources(const struct sp_rule *a, const struct sp_rule *b)
{
    if (a->source_count == 0)
        return true;
    for (size_t i = 0; i < b->source_count; i++) {
        bool found = false;
        for (size_t k = 0; k < a->source_count && !found; k++)
            found = a->sources[k].len == b->sources[i].len && a->sources[k].bits <= b->sources[i].bits &&
                    sp_cidr_match(&a->sources[k], b->sources[i].bytes, b->sources[i].len);
        if (!found)
            return false;
    }
    return b->source_count > 0;
}

static bool covers_methods(const struct sp_rule *a, const struct sp_rule *b)
{
    if (a->method_count == 0)
        return true;
    for (size_t i = 0; i < b->method_count; i++) {
        bool found = false;
        for (size_t k = 0; k < a->method_count && !found; k++)
            found = sp_slice_equal(a->methods[k], b->methods[i]);
        if (!found)
            return false;
    }
    return b->method_count > 0;
}

static bool covers_host(const struct sp_rule *a, const struct sp_rule *b)
{
    if (a->host.ptr == NULL || b->host.ptr == NULL)
        return a->host.ptr == NULL;
    return sp_slice_equal(a->host, b->host) || (b->host.ptr[0] != '*' && sp_host_match(a->host, b->host));
}

static bool is_open(struct sp_slice pattern)
{
    return pattern.len >= 3 && memcmp(pattern.ptr + pattern.len - 3, "/**", 3) == 0;
}

static bool covers_path(const struct sp_rule *a, const struct sp_rule *b)
{
    struct sp_slice outer = a->path_text, inner = b->path_text;
    if (outer.ptr == NULL || inner.ptr == NULL)
        return outer.ptr == NULL;
    return (is_open(outer) || !is_open(inner)) && sp_path_match(outer, inner);
}

/* What `a` asks of a field, `b` asks too. */
static bool covers_headers(const struct sp_rule *a, const struct sp_rule *b)
{
    for (size_t i = 0; i < a->header_count; i++) {
        const struct sp_header_condition *asked = &a->headers[i];
        bool found = false;
        for (size_t k = 0; k < b->header_count && !found; k++)
            found = b->headers[k].watched == asked->watched &&
                    (asked->equals.ptr == NULL || (b->headers[k].equals.ptr != NULL &&
                                                      sp_slice_equal(b->headers[k].equals, asked->equals)));
        if (!found)
            return false;
    }
    return true;
}

bool sp_covers_rule(struct sp_nesting *n, const struct sp_rule *a, const struct sp_rule *b)
{
    return spend(n) && covers_host(a, b) && covers_path(a, b) && covers_methods(a, b) &&
           covers_headers(a, b) && covers_listeners(a, b) && covers_sources(a, b) && covers_from(n, a, b) &&
           sp_covers_callers(n, &b->not_from, &a->not_from);
}
