/* What is probably not meant, for `check`: a policy that is usable but not what somebody had in mind. Only warnings,
 * each with its place. What rules cover each other is covers.c. */
#include "policy/rules/covers.h"

/* A rule is compared with those that the index finds for its own patterns, which are few; a file that is made so that they
 * are many is not compared to its end. */
#define WORK_MAX 20000000

#define warn(p, diags, at, ...) sp_diag_add(diags, SP_DIAG_WARNING, (p)->config->file, at, __VA_ARGS__)

/* ---- callers that nothing uses ---- */

static void mark_used(const struct sp_policy *p, const struct sp_strings *names, bool *used)
{
    for (size_t i = 0; i < names->count; i++) {
        uint32_t caller = sp_callers_find(p->callers, names->items[i]);
        if (caller != SP_CALLER_NONE)
            used[caller] = true;
    }
}

static void mark_nested(const struct sp_policy *p, const struct sp_config_caller *c, bool *used)
{
    for (size_t i = 0; i < c->entry_count; i++) {
        uint32_t caller =
            c->entries[i].caller != NULL ? sp_callers_find(p->callers, c->entries[i].caller) : SP_CALLER_NONE;
        if (caller != SP_CALLER_NONE)
            used[caller] = true;
    }
}

static void tell_unused_callers(const struct sp_policy *p, struct sp_diags *diags, bool *used)
{
    const struct sp_config *config = p->config;
    for (size_t i = 0; i < config->rule_count; i++) {
        mark_used(p, &config->rules[i].from, used);
        mark_used(p, &config->rules[i].not_from, used);
    }
    for (size_t i = 0; i < config->trusted_proxy_count; i++)
        mark_used(p, &config->trusted_proxies[i].from, used);
    for (size_t i = 0; i < config->caller_count; i++)
        mark_nested(p, &config->callers[i], used);
    for (size_t i = 0; i < config->caller_count; i++) {
        const struct sp_config_caller *c = &config->callers[i];
        if (!used[i] && c->require == NULL && c->limits == NULL)
            warn(p, diags, c->at, "callers.%s: nothing uses it", c->name);
    }
}

/* ---- rules that can never match ---- */

/* Clients of a unix socket have no address, those of an IPv4 socket one of IPv4. */
static bool has_such_sources(const struct sp_config_listener *l, const struct sp_rule *r)
{
    if (sp_addr_is_unix(&l->address))
        return false;
    for (size_t i = 0; i < r->source_count; i++) {
        if (l->address.u.sa.sa_family != AF_INET || r->sources[i].len == 4)
            return true;
    }
    return false;
}

static bool source_is_possible(const struct sp_policy *p, const struct sp_rule *r)
{
    size_t count = r->listener_count > 0 ? r->listener_count : p->config->listener_count;
    for (size_t i = 0; i < count; i++) {
        if (has_such_sources(&p->config->listeners[r->listener_count > 0 ? r->listeners[i] : i], r))
            return true;
    }
    return r->source_count == 0 || count == 0;
}

static bool can_match(struct sp_nesting *n, size_t i, struct sp_diags *diags)
{
    const struct sp_policy *p = n->policy;
    const struct sp_rule *r = &p->rules[i];

    if (r->from.count > 0 && r->not_from.count > 0 && sp_covers_callers(n, &r->not_from, &r->from)) {
        warn(p, diags, r->config->at,
            "rules[%zu] \"%s\": can never match: whoever is in from is in not_from too", i, r->config->name);
        return false;
    }
    if (!source_is_possible(p, r)) {
        warn(p, diags, r->config->at,
            "rules[%zu] \"%s\": can never match: no client of its listeners has an address in source", i,
            r->config->name);
        return false;
    }
    return true;
}

/* ---- rules before which another one always decides ---- */

static size_t first_of(struct sp_nesting *n, const struct sp_posting *list, size_t i, size_t best)
{
    const struct sp_rule *rules = n->policy->rules;
    for (size_t k = 0; k < list->count && list->items[k] < i && list->items[k] < best; k++) {
        size_t other = list->items[k];
        if (!rules[other].reports && sp_covers_rule(n, &rules[other], &rules[i]))
            return other;
    }
    return best;
}

/* The first enforced rule before `i` that covers it; SP_NONE. What covers a rule matches the text of its patterns, and so
 * the index finds it. */
static size_t find_cover(struct sp_nesting *n, size_t i)
{
    const struct sp_policy *p = n->policy;
    const struct sp_rule *r = &p->rules[i];
    struct sp_found found;
    size_t best = SP_NONE;

    sp_rule_index_find(&p->index, r->host, r->path_text, &found);
    for (size_t k = 0; k < found.count && !found.overflow; k++)
        best = first_of(n, &found.lists[k], i, best);
    for (size_t k = 0; found.overflow && k < i && best == SP_NONE; k++) {
        if (!p->rules[k].reports && sp_covers_rule(n, &p->rules[k], r))
            best = k;
    }
    return best;
}

static void tell_rules(struct sp_nesting *n, struct sp_diags *diags)
{
    const struct sp_policy *p = n->policy;
    bool all_report = p->rule_count > 0;

    for (size_t i = 0; i < p->rule_count; i++) {
        const struct sp_rule *r = &p->rules[i];
        all_report = all_report && r->reports;
        size_t cover = can_match(n, i, diags) ? find_cover(n, i) : SP_NONE;
        if (cover != SP_NONE)
            warn(p, diags, r->config->at,
                "rules[%zu] \"%s\": is never reached: rules[%zu] \"%s\" (line %u) matches whatever it would match",
                i, r->config->name, cover, p->rules[cover].config->name, p->rules[cover].config->at.line);
    }
    if (all_report)
        warn(p, diags, p->rules[0].config->at,
            "rules: all of them only report, so no rule allows anything: every request is refused");
    if (n->work == 0)
        warn(p, diags, p->rules[0].config->at,
            "rules: too many are alike to compare all of them: some that never decide may not be told here");
}

void sp_policy_review(const struct sp_policy *p, struct sp_diags *diags)
{
    struct sp_nesting nesting = {0};
    bool *used = sp_alloc(p->config->caller_count + 1, sizeof *used);

    if (used == NULL || sp_nesting_init(&nesting, p, WORK_MAX) != SP_OK) {
        warn(p, diags, (struct sp_pos){0, 0}, "no memory to look at callers and rules more closely");
    } else {
        tell_unused_callers(p, diags, used);
        tell_rules(&nesting, diags);
    }
    sp_nesting_free(&nesting);
    sp_free(used);
}
