/* Rules, compiled: what the operator wrote becomes numbers, patterns and slices, and what cannot be is told with its
 * place, all of it at once. What a rule means is conditions.c and decide.c; where rules are found, rule_index.c. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/rules/conditions.h"
#include "sallyport/headers/headers.h"
#include "sallyport/http/message.h"
#include "sallyport/http/path.h"

/* Which rule is being compiled. */
struct place {
    struct sp_policy *p;
    struct sp_policy_build *b;
    const struct sp_config_rule *in;
    struct sp_rule *out;
};

#define KEY_MAX 64

static size_t index_of(const struct place *at)
{
    return (size_t)(at->in - at->b->config->rules);
}

static const char *key_of(const struct place *at, const char *field, char key[KEY_MAX])
{
    (void)snprintf(key, KEY_MAX, "rules[%zu].%s", index_of(at), field);
    return key;
}

static void wrong(
    const struct place *at, struct sp_pos pos, const char *field, const char *found, const char *problem)
{
    sp_policy_wrong(at->b, pos, found, problem, "rules[%zu].%s", index_of(at), field);
}

/* ---- callers and addresses; trusted proxies have them too ---- */

static int by_caller(const void *left, const void *right)
{
    const struct sp_caller_rank *a = left, *b = right;
    if (a->caller != b->caller)
        return a->caller < b->caller ? -1 : 1;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

void sp_policy_find_callers(struct sp_policy *p, struct sp_policy_build *b, const struct sp_strings *names,
    const char *key, struct sp_caller_set *out)
{
    if (names->count == 0)
        return;
    uint32_t *items = sp_policy_room(b, names->count, sizeof *items);
    struct sp_caller_rank *sorted = sp_policy_room(b, names->count, sizeof *sorted);
    if (items == NULL || sorted == NULL || p->callers == NULL)
        return;
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++) {
        uint32_t caller = sp_callers_find(p->callers, names->items[i]);
        if (caller == SP_CALLER_NONE) {
            sp_policy_wrong(b, names->at[i], names->items[i], "expected a name under \"callers\"", "%s", key);
            continue;
        }
        items[count] = caller;
        sorted[count] = (struct sp_caller_rank){caller, (uint32_t)count};
        count++;
    }
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, by_caller);
    *out = (struct sp_caller_set){items, sorted, count};
}

void sp_policy_find_blocks(struct sp_policy_build *b, const struct sp_strings *blocks, const char *key,
    const struct sp_cidr **out, size_t *count)
{
    if (blocks->count == 0)
        return;
    struct sp_cidr *items = sp_policy_room(b, blocks->count, sizeof *items);
    if (items == NULL)
        return;
    *out = items;
    *count = blocks->count;
    for (size_t i = 0; i < blocks->count; i++) {
        const char *problem = sp_cidr_compile(sp_slice_of(blocks->items[i]), &items[i]);
        if (problem != NULL)
            sp_policy_wrong(b, blocks->at[i], blocks->items[i], problem, "%s", key);
    }
}

static bool excludes_all(const struct sp_rule *r)
{
    const struct sp_caller_ids excluded = {r->not_from.items, r->not_from.count};
    for (size_t i = 0; i < r->from.count; i++) {
        bool found = false;
        for (size_t k = 0; k < excluded.count && !found; k++)
            found = excluded.items[k] == r->from.items[i];
        if (!found)
            return false;
    }
    return r->from.count > 0;
}

static void compile_callers(const struct place *at)
{
    char key[KEY_MAX];
    const struct sp_config_rule *in = at->in;

    if (in->from.count == 0 && in->deny_status == 0)
        wrong(at, in->at, "from", NULL,
            "expected at least one caller; only a rule that denies may leave it out");
    sp_policy_find_callers(at->p, at->b, &in->from, key_of(at, "from", key), &at->out->from);
    sp_policy_find_callers(at->p, at->b, &in->not_from, key_of(at, "not_from", key), &at->out->not_from);
    sp_policy_find_blocks(
        at->b, &in->sources, key_of(at, "source", key), &at->out->sources, &at->out->source_count);
    if (!at->b->failed && excludes_all(at->out))
        wrong(at, in->not_from.at[0], "not_from", NULL,
            "excludes every caller that from names: nobody is left");
    at->out->given |= (in->from.count > 0 ? SP_GIVEN(FROM) : 0) |
                      (in->not_from.count > 0 ? SP_GIVEN(NOT_FROM) : 0) |
                      (in->sources.count > 0 ? SP_GIVEN(SOURCE) : 0);
}

static void compile_listeners(const struct place *at)
{
    const struct sp_strings *names = &at->in->listeners;
    if (names->count == 0)
        return;
    uint32_t *items = sp_policy_room(at->b, names->count, sizeof *items);
    if (items == NULL)
        return;
    at->out->given |= SP_GIVEN(LISTENER);
    at->out->listeners = items;
    at->out->listener_count = names->count;
    for (size_t i = 0; i < names->count; i++) {
        items[i] = sp_name_table_find(&at->p->listener_names, sp_slice_of(names->items[i]));
        if (items[i] == SP_NO_NAME)
            wrong(at, names->at[i], "listener", names->items[i], "expected the name of a listener");
    }
}

/* ---- what it asks of a request ---- */

/* "get" is another method than "GET" and no client sends it: say so before somebody wonders why the rule never
 * matches. */
static bool is_known_in_upper_case(struct sp_slice s)
{
    char upper[16];
    if (s.len > sizeof upper || sp_method_of(s) != SP_METHOD_OTHER)
        return false;
    for (size_t i = 0; i < s.len; i++)
        upper[i] = s.ptr[i] >= 'a' && s.ptr[i] <= 'z' ? (char)(s.ptr[i] & ~0x20) : s.ptr[i];
    return sp_method_of((struct sp_slice){upper, s.len}) != SP_METHOD_OTHER;
}

static void compile_methods(const struct place *at)
{
    const struct sp_strings *names = &at->in->methods;
    if (names->count == 0)
        return;
    struct sp_slice *methods = sp_policy_room(at->b, names->count, sizeof *methods);
    if (methods == NULL)
        return;
    at->out->given |= SP_GIVEN(METHODS);
    at->out->methods = methods;
    at->out->method_count = names->count;
    for (size_t i = 0; i < names->count; i++) {
        methods[i] = sp_slice_of(names->items[i]);
        if (!sp_method_is_token(methods[i]))
            wrong(at, names->at[i], "methods", names->items[i], "expected an HTTP method such as GET");
        else if (is_known_in_upper_case(methods[i]))
            sp_diag_add(at->b->diags, SP_DIAG_WARNING, at->b->config->file, names->at[i],
                "rules[%zu].methods: \"%s\" is not the method that clients send: methods are told apart by case",
                index_of(at), names->items[i]);
    }
}

static void compile_path(const struct place *at)
{
    struct sp_slice text = sp_slice_of(at->in->path);
    struct sp_rule *out = at->out;
    const char *problem = sp_path_pattern_compile(text, &out->path);
    char *room = sp_policy_room(at->b, 3 * text.len + 1, 1);
    if (problem == NULL && room != NULL) {
        out->path_text = sp_path_canonical(text, true, room);
        problem = sp_path_pattern_compile(out->path_text, &out->path);
    }
    if (problem != NULL)
        wrong(at, at->in->path_at, "path", at->in->path, problem);
}

static void compile_target(const struct place *at)
{
    const struct sp_config_rule *in = at->in;
    struct sp_rule *out = at->out;
    const char *problem;

    if (in->host != NULL) {
        out->given |= SP_GIVEN(HOST);
        if ((problem = sp_host_pattern_compile(at->b->arena, sp_slice_of(in->host), &out->host)) != NULL)
            wrong(at, in->host_at, "host", in->host, problem);
    }
    if (in->path != NULL) {
        out->given |= SP_GIVEN(PATH);
        compile_path(at);
    }
}

/* ---- headers ---- */

static const char *why_not_watched(const struct sp_config *config, struct sp_slice name)
{
    enum sp_header_id id = sp_header_id_of(name);

    if (!sp_method_is_token(name)) /* the same grammar */
        return "expected the name of a header field";
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '_' || name.ptr[i] == '.')
            return "a request whose field names hold '_' or '.' is refused before any rule";
    }
    if (id == SP_HDR_HOST)
        return "expected another field: rules have \"host\" for this one";
    if (sp_header_flags(id) != 0 || id == SP_HDR_CONTENT_LENGTH || id == SP_HDR_EXPECT ||
        id == SP_HDR_EARLY_DATA)
        return "expected a field that goes on to the backend: this one belongs to the connection";
    if (sp_name_is_protected(name))
        return "a client's word in this field is never believed, nor passed on";
    for (size_t u = 0; u < config->upstream_count; u++) {
        for (size_t h = 0; h < config->upstreams[u].header_count; h++) {
            if (sp_header_names_are_alike(sp_slice_of(config->upstreams[u].headers[h].name), name))
                return "upstreams are told of callers in this field: no client may say it";
        }
    }
    return NULL;
}

static const char *why_never_equal(struct sp_slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return "no header value holds control bytes";
    }
    bool blank = value.len > 0 &&
                 (strchr(" \t", value.ptr[0]) != NULL || strchr(" \t", value.ptr[value.len - 1]) != NULL);
    return blank ? "expected no blanks around it: a header value has none" : NULL;
}

static size_t watch(struct sp_policy *p, struct sp_policy_build *b, struct sp_slice name)
{
    for (size_t i = 0; i < p->watched_count; i++) {
        if (sp_slice_equal_nocase(p->watched[i].name, name))
            return i;
    }
    if (p->watched_count == SP_WATCHED_MAX)
        return SP_NONE;
    p->watched[p->watched_count] = (struct sp_watched){name,
        sp_arena_printf(b->arena, "%.*s is there more than once, and a rule looks at it", SP_FMT(name))};
    p->watched_lengths |= (uint64_t)1 << (name.len < 63 ? name.len : 63);
    return p->watched_count++;
}

static void compile_header(const struct place *at, size_t i, struct sp_header_condition *out)
{
    const struct sp_config_header_match *in = &at->in->headers[i];
    struct sp_slice name = sp_slice_of(in->name);
    const char *problem = why_not_watched(at->b->config, name);

    if (problem != NULL) {
        wrong(at, in->at, "headers", in->name, problem);
        return;
    }
    out->watched = watch(at->p, at->b, name);
    if (out->watched == SP_NONE) {
        wrong(at, in->at, "headers", in->name,
            "rules look at 64 different header fields already: the most that is possible");
        return;
    }
    if (in->equals == NULL)
        return;
    out->equals = sp_slice_of(in->equals);
    if ((problem = why_never_equal(out->equals)) != NULL)
        wrong(at, in->at, "headers", in->equals, problem);
    for (size_t k = 0; k < i; k++) {
        const struct sp_header_condition *other = &at->out->headers[k];
        if (other->watched == out->watched && other->equals.ptr != NULL &&
            !sp_slice_equal(other->equals, out->equals))
            wrong(at, in->at, "headers", in->name, "expected one value: no field equals two");
    }
}

static void compile_headers(const struct place *at)
{
    if (at->in->header_count == 0)
        return;
    struct sp_header_condition *headers = sp_policy_room(at->b, at->in->header_count, sizeof *headers);
    if (headers == NULL)
        return;
    at->out->given |= SP_GIVEN(HEADERS);
    at->out->headers = headers;
    for (size_t i = 0; i < at->in->header_count; i++) {
        compile_header(at, i, &headers[i]);
        at->out->header_count = i + 1;
    }
}

/* ---- what comes of it ---- */

static void compile_outcome(const struct place *at)
{
    const struct sp_config_rule *in = at->in;

    at->out->reports = in->mode == SP_RULE_REPORT;
    at->out->upstream = SP_NONE;
    if (in->deny_status != 0) {
        if (in->upstream != NULL)
            wrong(at, in->upstream_at, "upstream", in->upstream, "a rule that denies sends nobody anywhere");
        return;
    }
    uint32_t upstream = in->upstream != NULL
                            ? sp_name_table_find(&at->p->upstream_names, sp_slice_of(in->upstream))
                            : SP_NO_NAME;
    if (upstream == SP_NO_NAME)
        wrong(at, in->upstream_at, "upstream", in->upstream, "expected a name under \"upstreams\"");
    at->out->upstream = upstream;
}

/* ---- where they are found ---- */

/* By caller; one that a rule names twice has it twice, and its bit is set twice. */
static void post_by_caller(struct sp_policy *p, struct sp_policy_build *b)
{
    size_t callers = b->config->caller_count, total = 0, anybody = 0;
    for (size_t i = 0; i < p->rule_count; i++)
        total += p->rules[i].from.count;
    uint32_t *starts = sp_policy_room(b, callers + 2, sizeof *starts);
    uint32_t *items = sp_policy_room(b, total, sizeof *items);
    uint32_t *for_anybody = sp_policy_room(b, p->rule_count, sizeof *for_anybody);
    if (starts == NULL || items == NULL || for_anybody == NULL)
        return;

    /* starts[c + 1] counts the rules of c, then is where the next of them goes, and in the end where they end */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < p->rule_count; i++) {
            const struct sp_caller_set *from = &p->rules[i].from;
            if (pass == 0 && from->count == 0)
                for_anybody[anybody++] = (uint32_t)i;
            for (size_t k = 0; k < from->count; k++) {
                uint32_t caller = from->sorted[k].caller;
                if (pass == 0)
                    starts[caller + 2]++;
                else
                    items[starts[caller + 1]++] = (uint32_t)i;
            }
        }
        for (size_t c = 2; pass == 0 && c < callers + 2; c++)
            starts[c] += starts[c - 1];
    }
    p->rules_of = (struct sp_postings){starts, items};
    p->for_anybody = (struct sp_posting){for_anybody, anybody};
}

static void build_index(struct sp_policy *p, struct sp_policy_build *b)
{
    struct sp_rule_key *keys = sp_alloc(p->rule_count + 1, sizeof *keys);
    for (size_t i = 0; keys != NULL && i < p->rule_count; i++)
        keys[i] = (struct sp_rule_key){p->rules[i].host, p->rules[i].path_text, (uint32_t)i};
    if (keys == NULL || sp_rule_index_build(&p->index, b->arena, &p->hash_key, keys, p->rule_count) != SP_OK)
        sp_policy_no_memory(b);
    sp_free(keys);
}

void sp_rules_compile(struct sp_policy *p, struct sp_policy_build *b)
{
    p->rules = sp_policy_room(b, p->config->rule_count, sizeof *p->rules);
    if (p->rules == NULL)
        return;
    p->rule_count = p->config->rule_count;
    for (size_t i = 0; i < p->rule_count; i++) {
        const struct place at = {p, b, &p->config->rules[i], &p->rules[i]};
        p->rules[i].config = at.in;
        compile_callers(&at);
        compile_listeners(&at);
        compile_methods(&at);
        compile_target(&at);
        compile_headers(&at);
        compile_outcome(&at);
    }
    if (b->failed)
        return;
    post_by_caller(p, b);
    build_index(p, b);
}
