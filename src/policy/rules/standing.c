/* What depends on the connection alone, computed once: which callers it is, which trusted proxy, whether it meets what
 * its callers require, and which rules can concern it.
 *
 * A rule can concern it when what it says of listener, callers and source holds; a request is never asked about that
 * again. Mostly these rules are few, and a request looks at them one by one; when they are many there is a bit for each, and
 * the index says at which to look. */
#include <stdio.h>

#include "policy/rules/conditions.h"

#define DETAIL_MAX 256

static bool any_block(const struct sp_cidr *blocks, size_t count, const struct sp_addr *source)
{
    for (size_t i = 0; source != NULL && i < count; i++) {
        if (sp_cidr_match_addr(&blocks[i], source))
            return true;
    }
    return count == 0;
}

static size_t find_proxy(const struct sp_policy *p, const struct sp_facts *f)
{
    for (size_t i = 0; i < p->config->trusted_proxy_count; i++) {
        const struct sp_proxy_rule *proxy = &p->proxies[i];
        if (sp_callers_first(&proxy->from, f->callers) != SP_NONE &&
            any_block(proxy->sources, proxy->source_count, f->source))
            return i;
    }
    return SP_NONE;
}

/* The first caller in the order of the file whose requirements it does not meet. */
static enum sp_rc judge_fitness(struct sp_standing *s, const struct sp_identity *id)
{
    struct sp_requirements *const *requirements = s->policy->requirements;
    char text[DETAIL_MAX] = "";

    for (size_t i = 0; requirements != NULL && id != NULL && i < s->callers.count; i++) {
        uint32_t caller = s->callers.items[i];
        s->unfit = sp_requirements_judge(requirements[caller], id, text, sizeof text);
        if (s->unfit == SP_REFUSAL_none)
            continue;
        const char *name = s->policy->config->callers[caller].name;
        size_t room = strlen(name) + sizeof text + 16;
        if ((s->unfit_detail = sp_alloc(1, room)) == NULL)
            return SP_FAIL;
        (void)snprintf(s->unfit_detail, room, "as caller %s: %s", name, text);
        return SP_OK;
    }
    return SP_OK;
}

/* ---- the rules that can concern it ---- */

static void mark(struct sp_standing *s, uint64_t *bits, const struct sp_facts *f, struct sp_posting rules)
{
    for (size_t i = 0; i < rules.count; i++) {
        uint32_t r = rules.items[i];
        uint64_t bit = (uint64_t)1 << (r % 64);
        if ((bits[r / 64] & bit) != 0 || !sp_conditions_hold(&s->policy->rules[r], f, SP_OF_CONNECTION))
            continue;
        bits[r / 64] |= bit;
        s->candidate_count++;
    }
}

/* SP_FAIL: no memory. */
static enum sp_rc find_candidates(struct sp_standing *s, const struct sp_facts *f)
{
    const struct sp_policy *p = s->policy;
    size_t words = p->rule_count / 64 + 1, n = 0;
    uint64_t *bits = sp_alloc(words, sizeof *bits);

    if (bits == NULL)
        return SP_FAIL;
    mark(s, bits, f, p->for_anybody);
    for (size_t i = 0; i < s->callers.count; i++)
        mark(s, bits, f, sp_postings_of(&p->rules_of, s->callers.items[i]));
    if (s->candidate_count > SP_CANDIDATES_MAX) {
        s->bits = bits;
        return SP_OK;
    }
    uint32_t *few = sp_alloc(s->candidate_count + 1, sizeof *few);
    for (size_t w = 0; few != NULL && w < words; w++) {
        for (uint64_t left = bits[w]; left != 0; left &= left - 1)
            few[n++] = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(left));
    }
    sp_free(bits);
    s->candidates = few;
    return few != NULL ? SP_OK : SP_FAIL;
}

/* ---- the door ---- */

void sp_facts_of_connection(struct sp_facts *f, const struct sp_policy *p, const struct sp_connection *c,
    struct sp_caller_ids callers)
{
    f->policy = p;
    f->callers = callers;
    f->listener =
        c->listener != NULL ? sp_name_table_find(&p->listener_names, sp_slice_of(c->listener)) : SP_NO_NAME;
    f->listener_name = c->listener;
    f->source = c->source;
    f->request = NULL;
}

struct sp_standing *sp_policy_stand(const struct sp_policy *p, const struct sp_connection *c)
{
    struct sp_standing *s = SP_NEW(struct sp_standing);
    struct sp_facts facts;
    uint32_t *ids = NULL;
    size_t count = 0;

    if (s == NULL || sp_callers_of(p->callers, c->identity, &ids, &count) != SP_OK) {
        sp_free(s);
        return NULL;
    }
    s->policy = p;
    s->callers = (struct sp_caller_ids){ids, count};
    s->unfit = SP_REFUSAL_none;
    sp_facts_of_connection(&facts, p, c, s->callers);
    s->proxy = find_proxy(p, &facts);
    if (judge_fitness(s, c->identity) != SP_OK || find_candidates(s, &facts) != SP_OK) {
        sp_standing_free(s);
        return NULL;
    }
    return s;
}

void sp_standing_free(struct sp_standing *s)
{
    if (s == NULL)
        return;
    sp_free((void *)s->callers.items);
    sp_free((void *)s->candidates);
    sp_free((void *)s->bits);
    sp_free(s->unfit_detail);
    sp_free(s);
}

struct sp_caller_ids sp_standing_callers(const struct sp_standing *s)
{
    return s->callers;
}

size_t sp_standing_proxy(const struct sp_standing *s)
{
    return s->proxy;
}

enum sp_refusal sp_standing_unfit(const struct sp_standing *s, const char **detail)
{
    *detail = s->unfit_detail;
    return s->unfit;
}

bool sp_policy_has_requirements(const struct sp_policy *p)
{
    return p->requirements != NULL;
}
