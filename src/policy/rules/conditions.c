/* The conditions of a rule: whether each holds, and how it is told to people.
 *
 * A rule that does not give a condition is never asked about it, so every function here may take it for granted that
 * the rule has something to say. What is asked of a request never holds for a connection of mode tcp, which makes none. */
#include "policy/rules/conditions.h"

#include "sallyport/http/path.h"

/* ---- listener ---- */

static bool listener_holds(const struct sp_rule *r, const struct sp_facts *f)
{
    for (size_t i = 0; i < r->listener_count; i++) {
        if (r->listeners[i] == f->listener)
            return true;
    }
    return false;
}

static void add_names(struct sp_buf *out, const struct sp_strings *names)
{
    for (size_t i = 0; i < names->count; i++)
        (void)sp_buf_printf(out, "%s%s", i > 0 ? ", " : "", names->items[i]);
}

static void listener_wanted(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)f;
    add_names(out, &r->config->listeners);
}

static void listener_found(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)r;
    (void)sp_buf_add_str(out, f->listener_name != NULL ? f->listener_name : "none");
}

/* ---- callers ---- */

/* The first of them: a rule may name a caller twice. */
static const struct sp_caller_rank *find_rank(const struct sp_caller_set *set, uint32_t caller)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->sorted[middle].caller < caller)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count && set->sorted[low].caller == caller ? &set->sorted[low] : NULL;
}

static bool is_one(struct sp_caller_ids ids, uint32_t caller)
{
    size_t low = 0, high = ids.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ids.items[middle] == caller)
            return true;
        if (ids.items[middle] < caller)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Goes over the shorter of the two: an allow list may make a client thousands of callers, or a rule name as many. */
size_t sp_callers_first(const struct sp_caller_set *set, struct sp_caller_ids ids)
{
    size_t first = SP_NONE;
    if (set->count <= ids.count) {
        for (size_t i = 0; i < set->count; i++) {
            if (is_one(ids, set->items[i]))
                return i;
        }
        return SP_NONE;
    }
    for (size_t i = 0; i < ids.count; i++) {
        const struct sp_caller_rank *rank = find_rank(set, ids.items[i]);
        if (rank != NULL && rank->rank < first)
            first = rank->rank;
    }
    return first;
}

static bool from_holds(const struct sp_rule *r, const struct sp_facts *f)
{
    return sp_callers_first(&r->from, f->callers) != SP_NONE;
}

static bool not_from_holds(const struct sp_rule *r, const struct sp_facts *f)
{
    return sp_callers_first(&r->not_from, f->callers) == SP_NONE;
}

static void from_wanted(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)f;
    add_names(out, &r->config->from);
}

#define CALLERS_SHOWN 16

static void from_found(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)r;
    for (size_t i = 0; i < f->callers.count && i < CALLERS_SHOWN; i++)
        (void)sp_buf_printf(
            out, "%s%s", i > 0 ? ", " : "", f->policy->config->callers[f->callers.items[i]].name);
    if (f->callers.count > CALLERS_SHOWN)
        (void)sp_buf_printf(out, " and %zu more", f->callers.count - CALLERS_SHOWN);
    if (f->callers.count == 0)
        (void)sp_buf_add_str(out, "none of the callers");
}

static void not_from_wanted(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)f;
    (void)sp_buf_add_str(out, r->config->not_from.count > 1 ? "none of " : "not ");
    add_names(out, &r->config->not_from);
}

static void not_from_found(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    size_t first = sp_callers_first(&r->not_from, f->callers);
    (void)sp_buf_add_str(out, first != SP_NONE ? r->config->not_from.items[first] : "none of them");
}

/* ---- source ---- */

static bool source_holds(const struct sp_rule *r, const struct sp_facts *f)
{
    for (size_t i = 0; f->source != NULL && i < r->source_count; i++) {
        if (sp_cidr_match_addr(&r->sources[i], f->source))
            return true;
    }
    return false;
}

static void source_wanted(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)f;
    add_names(out, &r->config->sources);
}

static void source_found(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    char text[SP_ADDR_TEXT];
    (void)r;
    (void)sp_buf_add_str(
        out, f->source != NULL && f->source->len != 0 ? sp_addr_format(f->source, text) : "no address");
}

/* ---- methods, host, path ---- */

/* What there is of a request where there is none. */
static void nothing_found(struct sp_buf *out)
{
    (void)sp_buf_add_str(out, "none, in mode tcp");
}

static bool methods_hold(const struct sp_rule *r, const struct sp_facts *f)
{
    if (f->request->is_tcp)
        return false;
    for (size_t i = 0; i < r->method_count; i++) {
        if (sp_slice_equal(r->methods[i], f->request->method))
            return true;
    }
    return false;
}

static void methods_wanted(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)f;
    add_names(out, &r->config->methods);
}

static void methods_found(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)r;
    if (f->request->is_tcp)
        nothing_found(out);
    else
        (void)sp_buf_add_slice(out, f->request->method);
}

static bool host_holds(const struct sp_rule *r, const struct sp_facts *f)
{
    return sp_host_match(r->host, f->request->host);
}

static void host_wanted(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)f;
    (void)sp_buf_add_str(out, r->config->host);
}

static void host_found(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)r;
    if (f->request->host.len > 0)
        (void)sp_buf_add_slice(out, f->request->host);
    else
        (void)sp_buf_add_str(out, "none");
}

static bool path_holds(const struct sp_rule *r, const struct sp_facts *f)
{
    return !f->request->is_tcp && sp_path_pattern_match(&r->path, f->path);
}

static void path_wanted(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)f;
    (void)sp_buf_add_str(out, r->config->path);
}

static void path_found(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    (void)r;
    if (f->request->is_tcp)
        nothing_found(out);
    else
        (void)sp_buf_add_slice(out, f->request->path);
}

/* ---- headers ---- */

static bool header_holds(const struct sp_header_condition *h, const struct sp_facts *f)
{
    const struct sp_header *seen = f->seen[h->watched];
    return seen != NULL && (h->equals.ptr == NULL || sp_slice_equal(h->equals, seen->value));
}

static bool headers_hold(const struct sp_rule *r, const struct sp_facts *f)
{
    if (f->request->is_tcp)
        return false;
    for (size_t i = 0; i < r->header_count; i++) {
        if (!header_holds(&r->headers[i], f))
            return false;
    }
    return true;
}

/* Those that hold are not told of: both texts go over the same fields. */
static void headers_wanted(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    const char *between = "";
    for (size_t i = 0; i < r->header_count; i++) {
        const struct sp_config_header_match *h = &r->config->headers[i];
        if (header_holds(&r->headers[i], f))
            continue;
        (void)sp_buf_printf(out, "%s%s", between, h->name);
        if (h->equals != NULL)
            (void)sp_buf_printf(out, ": %s", h->equals);
        between = ", ";
    }
}

static void headers_found(const struct sp_rule *r, const struct sp_facts *f, struct sp_buf *out)
{
    const char *between = "";
    if (f->request->is_tcp) {
        nothing_found(out);
        return;
    }
    for (size_t i = 0; i < r->header_count; i++) {
        const struct sp_header *seen = f->seen[r->headers[i].watched];
        if (header_holds(&r->headers[i], f))
            continue;
        if (seen != NULL)
            (void)sp_buf_printf(out, "%s%s: %.*s", between, r->config->headers[i].name, SP_FMT(seen->value));
        else
            (void)sp_buf_printf(out, "%sno %s", between, r->config->headers[i].name);
        between = ", ";
    }
}

/* ---- the table ---- */

const struct sp_condition sp_conditions[SP_CONDITIONS_COUNT] = {
    [SP_CONDITION_LISTENER] = {"listener", listener_holds, listener_wanted, listener_found},
    [SP_CONDITION_FROM] = {"from", from_holds, from_wanted, from_found},
    [SP_CONDITION_NOT_FROM] = {"not_from", not_from_holds, not_from_wanted, not_from_found},
    [SP_CONDITION_SOURCE] = {"source", source_holds, source_wanted, source_found},
    [SP_CONDITION_METHODS] = {"methods", methods_hold, methods_wanted, methods_found},
    [SP_CONDITION_HOST] = {"host", host_holds, host_wanted, host_found},
    [SP_CONDITION_PATH] = {"path", path_holds, path_wanted, path_found},
    [SP_CONDITION_HEADERS] = {"headers", headers_hold, headers_wanted, headers_found},
};

bool sp_conditions_hold(const struct sp_rule *r, const struct sp_facts *f, unsigned which)
{
    for (unsigned left = r->given & which; left != 0; left &= left - 1) {
        if (!sp_conditions[__builtin_ctz(left)].holds(r, f))
            return false;
    }
    return true;
}
