/* The policy: rules compiled over compiled callers, and the decision.
 *
 * Invariants: what is built is complete or not handed out; deciding reads bitsets and compiled patterns, in the
 * order the operator wrote, and neither allocates nor fails. A decision starts as refused and only a rule that
 * matched whole makes it anything else. Rules are looked at one after the other: the test for the caller is one
 * AND a word, so those that do not concern this caller cost a few nanoseconds each. */
#include "sallyport/policy/policy.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "callers.h"
#include "sallyport/http/message.h"
#include "sallyport/http/path.h"
#include "sallyport/match/match.h"

struct rule {
    const char *name;
    uint64_t *from;           /* bits by caller, policy->words of them */
    const size_t *from_order; /* the same callers as the operator listed them */
    size_t from_count;
    struct sp_slice host; /* absent: any */
    bool has_path;
    struct sp_path_pattern path;
    const struct sp_slice *methods;
    size_t method_count; /* 0: any */
    size_t upstream;
};

struct sp_policy {
    _Atomic unsigned refs;
    struct sp_arena arena;
    struct sp_config *config; /* one reference */
    struct sp_compiled_callers callers;
    size_t words; /* of a caller set; at least one */
    struct rule *rules;
    size_t rule_count;
};

/* ---- compiling ---- */

void sp_policy_wrong(
    struct sp_policy_build *b, struct sp_pos at, const char *found, const char *problem, const char *key, ...)
{
    char text[256]; /* a longer key is cut: the position says which it is */
    va_list args;
    va_start(args, key);
    (void)vsnprintf(text, sizeof text, key, args);
    va_end(args);
    b->failed = true;
    if (found != NULL)
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config->file, at, "%s: \"%s\": %s", text, found, problem);
    else
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config->file, at, "%s: %s", text, problem);
}

void *sp_policy_room(struct sp_policy_build *b, size_t count, size_t size)
{
    void *room = sp_arena_alloc(b->arena, count > 0 ? count : 1, size);
    if (room == NULL && !b->failed)
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config->file, (struct sp_pos){0, 0},
            "no memory for callers and rules");
    if (room == NULL)
        b->failed = true;
    return room;
}

static size_t index_of(const struct sp_policy_build *b, const struct sp_config_rule *rule)
{
    return (size_t)(rule - b->config->rules);
}

static bool find_caller(const struct sp_config *config, const char *name, size_t *out)
{
    for (size_t i = 0; i < config->caller_count; i++) {
        if (strcmp(config->callers[i].name, name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static void compile_from(
    struct sp_policy *p, struct sp_policy_build *b, const struct sp_config_rule *in, struct rule *out)
{
    size_t *order = sp_policy_room(b, in->from.count, sizeof *order);
    out->from = sp_policy_room(b, p->words, sizeof *out->from);
    if (order == NULL || out->from == NULL)
        return;
    out->from_order = order;
    out->from_count = in->from.count;
    if (in->from.count == 0)
        sp_policy_wrong(b, in->at, NULL, "expected at least one caller", "rules[%zu].from", index_of(b, in));
    for (size_t i = 0; i < in->from.count; i++) {
        if (find_caller(p->config, in->from.items[i], &order[i]))
            out->from[order[i] / 64] |= (uint64_t)1 << (order[i] % 64);
        else
            sp_policy_wrong(b, in->from.at[i], in->from.items[i], "expected a name under \"callers\"",
                "rules[%zu].from", index_of(b, in));
    }
}

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

static void compile_methods(struct sp_policy_build *b, const struct sp_config_rule *in, struct rule *out)
{
    struct sp_slice *methods = sp_policy_room(b, in->methods.count, sizeof *methods);
    if (methods == NULL)
        return;
    out->methods = methods;
    out->method_count = in->methods.count;
    for (size_t i = 0; i < in->methods.count; i++) {
        methods[i] = sp_slice_of(in->methods.items[i]);
        if (!sp_method_is_token(methods[i]))
            sp_policy_wrong(b, in->methods.at[i], in->methods.items[i], "expected an HTTP method such as GET",
                "rules[%zu].methods", index_of(b, in));
        else if (is_known_in_upper_case(methods[i]))
            sp_diag_add(b->diags, SP_DIAG_WARNING, b->config->file, in->methods.at[i],
                "rules[%zu].methods: \"%s\" is not the method that clients send: methods are told apart by case",
                index_of(b, in), in->methods.items[i]);
    }
}

static void compile_target(
    struct sp_policy *p, struct sp_policy_build *b, const struct sp_config_rule *in, struct rule *out)
{
    const char *problem;
    if (in->host != NULL) {
        problem = sp_host_pattern_compile(b->arena, sp_slice_of(in->host), &out->host);
        if (problem != NULL)
            sp_policy_wrong(b, in->at, in->host, problem, "rules[%zu].host", index_of(b, in));
    }
    if (in->path != NULL) {
        out->has_path = true;
        if ((problem = sp_path_pattern_compile(sp_slice_of(in->path), &out->path)) != NULL)
            sp_policy_wrong(b, in->at, in->path, problem, "rules[%zu].path", index_of(b, in));
    }
    for (size_t i = 0; i < p->config->upstream_count; i++) {
        if (strcmp(p->config->upstreams[i].name, in->upstream) == 0) {
            out->upstream = i;
            return;
        }
    }
    sp_policy_wrong(b, in->upstream_at, in->upstream, "expected a name under \"upstreams\"",
        "rules[%zu].upstream", index_of(b, in));
}

static void compile_rules(struct sp_policy *p, struct sp_policy_build *b)
{
    p->rules = sp_policy_room(b, p->config->rule_count, sizeof *p->rules);
    if (p->rules == NULL)
        return;
    p->rule_count = p->config->rule_count;
    for (size_t i = 0; i < p->rule_count; i++) {
        const struct sp_config_rule *in = &p->config->rules[i];
        p->rules[i].name = in->name;
        compile_from(p, b, in, &p->rules[i]);
        compile_target(p, b, in, &p->rules[i]);
        compile_methods(b, in, &p->rules[i]);
    }
}

static void warn_of_unused_callers(const struct sp_policy *p, struct sp_policy_build *b)
{
    for (size_t i = 0; i < p->config->caller_count; i++) {
        bool is_used = false;
        for (size_t r = 0; r < p->rule_count && !is_used; r++)
            is_used = (p->rules[r].from[i / 64] >> (i % 64) & 1) != 0;
        if (!is_used)
            sp_diag_add(b->diags, SP_DIAG_WARNING, p->config->file, p->config->callers[i].at,
                "callers.%s: no rule uses it", p->config->callers[i].name);
    }
}

struct sp_policy *sp_policy_new(struct sp_config *config, struct sp_policy *before, struct sp_diags *diags)
{
    struct sp_policy *p = SP_NEW(struct sp_policy);
    struct sp_policy_build build = {.config = config, .diags = diags};
    (void)before;
    if (p == NULL) {
        sp_diag_add(
            diags, SP_DIAG_ERROR, config->file, (struct sp_pos){0, 0}, "no memory for callers and rules");
        return NULL;
    }
    atomic_init(&p->refs, 1);
    sp_arena_init(&p->arena, 0);
    build.arena = &p->arena;
    p->config = sp_config_ref(config);
    p->words = config->caller_count / 64 + 1;
    sp_callers_compile(&build, &p->callers);
    compile_rules(p, &build);
    if (build.failed) {
        sp_policy_free(p);
        return NULL;
    }
    warn_of_unused_callers(p, &build);
    return p;
}

struct sp_policy *sp_policy_ref(struct sp_policy *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void sp_policy_free(struct sp_policy *p)
{
    if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    sp_config_free(p->config);
    sp_arena_free(&p->arena);
    sp_free(p);
}

/* ---- deciding ---- */

struct sp_standing {
    const struct sp_policy *policy;
    struct sp_caller_ids callers;
    uint64_t bits[];
};

struct sp_standing *sp_policy_stand(const struct sp_policy *p, const struct sp_connection *c)
{
    size_t bytes = p->words * sizeof(uint64_t), count = 0;
    struct sp_standing *s = sp_alloc(1, sizeof(*s) + bytes + p->callers.count * sizeof(uint32_t));
    if (s == NULL)
        return NULL;
    uint32_t *ids = (uint32_t *)(void *)(s->bits + p->words);
    s->policy = p;
    sp_callers_match(&p->callers, c->identity, s->bits);
    for (size_t i = 0; i < p->callers.count; i++) {
        if ((s->bits[i / 64] >> (i % 64) & 1) != 0)
            ids[count++] = (uint32_t)i;
    }
    s->callers = (struct sp_caller_ids){ids, count};
    return s;
}

void sp_standing_free(struct sp_standing *s)
{
    sp_free(s);
}

struct sp_caller_ids sp_standing_callers(const struct sp_standing *s)
{
    return s->callers;
}

static bool is_in(const uint64_t *bits, size_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

static bool takes_method(const struct rule *r, struct sp_slice method)
{
    for (size_t i = 0; i < r->method_count; i++) {
        if (sp_slice_equal(r->methods[i], method))
            return true;
    }
    return r->method_count == 0;
}

static bool rule_matches(
    const struct rule *r, const struct sp_standing *s, const struct sp_policy_request *request)
{
    uint64_t common = 0;
    for (size_t i = 0; i < s->policy->words; i++)
        common |= r->from[i] & s->bits[i];
    return common != 0 && takes_method(r, request->method) &&
           (r->host.ptr == NULL || sp_host_match(r->host, request->host)) &&
           (!r->has_path || sp_path_pattern_match(&r->path, request->path));
}

void sp_policy_decide(
    const struct sp_standing *s, const struct sp_policy_request *request, struct sp_decision *out)
{
    const struct sp_policy *p = s->policy;
    *out = (struct sp_decision){.allowed = false,
        .reason = SP_REFUSAL_no_rule,
        .status = 403,
        .rule = SP_NONE,
        .caller = s->callers.count > 0 ? s->callers.items[0] : SP_NONE,
        .upstream = SP_NONE};
    for (size_t i = 0; i < p->rule_count && !out->allowed; i++) {
        const struct rule *r = &p->rules[i];
        if (!rule_matches(r, s, request))
            continue;
        out->allowed = true;
        out->reason = SP_REFUSAL_none;
        out->rule = i;
        out->rule_name = r->name;
        out->upstream = r->upstream;
        for (size_t k = r->from_count; k-- > 0;) {
            if (is_in(s->bits, r->from_order[k]))
                out->caller = r->from_order[k];
        }
    }
    if (out->caller != SP_NONE)
        out->caller_name = p->config->callers[out->caller].name;
}
