/* The policy as a whole: built complete or not handed out, and freed by its last owner. Its parts: callers.c, rules.c;
 * what it is asked: standing.c once a connection, decide.c once a request. */
#include "sallyport/policy/policy.h"

#include <stdio.h>

#include "policy/rules/policy_impl.h"
#include "sallyport/match/rewrite.h"

/* ---- building ---- */

static void index_names(struct sp_policy *p, struct sp_policy_build *b)
{
    const struct sp_config *config = b->config;
    if (sp_hash_key_init(&p->hash_key) != SP_OK ||
        sp_name_table_init(&p->listener_names, b->arena, &p->hash_key, config->listener_count) != SP_OK ||
        sp_name_table_init(&p->upstream_names, b->arena, &p->hash_key, config->upstream_count) != SP_OK) {
        sp_policy_no_memory(b);
        return;
    }
    for (size_t i = 0; i < config->listener_count; i++)
        (void)sp_name_table_add(&p->listener_names, sp_slice_of(config->listeners[i].name), (uint32_t)i);
    for (size_t i = 0; i < config->upstream_count; i++)
        (void)sp_name_table_add(&p->upstream_names, sp_slice_of(config->upstreams[i].name), (uint32_t)i);
}

static void compile_proxies(struct sp_policy *p, struct sp_policy_build *b)
{
    size_t count = b->config->trusted_proxy_count;
    p->proxies = sp_policy_room(b, count, sizeof *p->proxies);
    for (size_t i = 0; p->proxies != NULL && i < count; i++) {
        const struct sp_config_trusted_proxy *in = &b->config->trusted_proxies[i];
        char from[64], source[64];
        (void)snprintf(from, sizeof from, "trusted_proxies[%zu].from", i);
        (void)snprintf(source, sizeof source, "trusted_proxies[%zu].source", i);
        if (in->from.count == 0)
            sp_policy_wrong(b, in->at, NULL, "expected at least one caller", "%s", from);
        sp_policy_find_callers(p, b, &in->from, from, &p->proxies[i].from);
        sp_policy_find_blocks(b, &in->sources, source, &p->proxies[i].sources, &p->proxies[i].source_count);
    }
}

/* Who has no certificate cannot meet a requirement on it: a caller that may be anonymous has none. */
static void refuse_requirements_of_nobody(struct sp_policy *p, struct sp_policy_build *b)
{
    uint32_t *ids = NULL;
    size_t count = 0;

    if (sp_callers_of(p->callers, NULL, &ids, &count) != SP_OK) {
        sp_policy_no_memory(b);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct sp_config_caller *caller = &b->config->callers[ids[i]];
        if (caller->require != NULL)
            sp_policy_wrong(b, caller->require->at, NULL,
                "asks something of certificates, and this caller may have none (any: anonymous)",
                "callers.%s.require", caller->name);
    }
    sp_free(ids);
}

static void compile_requirements(struct sp_policy *p, struct sp_policy_build *b)
{
    for (size_t i = 0; i < b->config->caller_count; i++) {
        const struct sp_config_caller *caller = &b->config->callers[i];
        char key[256];
        if (caller->require == NULL)
            continue;
        if (p->requirements == NULL)
            p->requirements = sp_policy_room(b, b->config->caller_count, sizeof(struct sp_requirements *));
        if (p->requirements == NULL)
            return;
        (void)snprintf(key, sizeof key, "callers.%s.require", caller->name);
        p->requirements[i] = sp_requirements_new(b->config->file, key, caller->require, b->diags);
        b->failed = b->failed || p->requirements[i] == NULL;
    }
    if (p->requirements != NULL && p->callers != NULL)
        refuse_requirements_of_nobody(p, b);
}

/* They decide what rules look at, so a listener's are judged with them. */
static void check_rewrites(struct sp_policy_build *b)
{
    for (size_t i = 0; i < b->config->listener_count; i++) {
        const struct sp_config_listener *l = &b->config->listeners[i];
        for (size_t k = 0; k < l->rewrite_count; k++) {
            const char *problem = sp_rewrite_check(&l->rewrites[k]);
            if (problem != NULL)
                sp_policy_wrong(b, l->rewrites[k].at, NULL, problem, "listeners[%zu].rewrite[%zu]", i, k);
        }
    }
}

static struct sp_policy *build(struct sp_policy *p, struct sp_policy_build *b)
{
    index_names(p, b);
    if (!b->failed) {
        p->callers = sp_callers_compile(b);
        sp_rules_compile(p, b);
        compile_proxies(p, b);
        compile_requirements(p, b);
        check_rewrites(b);
    }
    if (!b->failed)
        return p;
    sp_policy_free(p);
    return NULL;
}

struct sp_policy *sp_policy_new(struct sp_config *config, struct sp_policy *before, struct sp_diags *diags)
{
    if (before != NULL && before->config == config && sp_callers_are_current(before->callers))
        return sp_policy_ref(before);
    struct sp_policy *p = SP_NEW(struct sp_policy);
    struct sp_policy_build b = {.config = config, .diags = diags};
    if (p == NULL) {
        sp_policy_no_memory(&b);
        return NULL;
    }
    atomic_init(&p->refs, 1);
    sp_arena_init(&p->arena, 0);
    p->config = sp_config_ref(config);
    b.arena = &p->arena;
    return build(p, &b);
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
    for (size_t i = 0; p->requirements != NULL && i < p->config->caller_count; i++)
        sp_requirements_free(p->requirements[i]);
    sp_config_free(p->config);
    sp_arena_free(&p->arena);
    sp_free(p);
}
