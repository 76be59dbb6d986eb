/* Which rule decides: the first enforced one, in the order of the file, whose conditions all hold.
 *
 * Invariants: a decision starts as refused, and only a rule that matched whole makes it anything else; nothing here
 * allocates or fails. Rules are looked at in ascending order however they are found, and what the index finds is only
 * where to look: conditions decide. */
#include "policy/rules/conditions.h"

#include "sallyport/http/path.h"

/* ---- what rules look at ---- */

static size_t find_watched(const struct sp_policy *p, struct sp_slice name)
{
    if ((p->watched_lengths >> (name.len < 63 ? name.len : 63) & 1) == 0)
        return SP_NONE;
    for (size_t i = 0; i < p->watched_count; i++) {
        if (sp_slice_equal_nocase(p->watched[i].name, name))
            return i;
    }
    return SP_NONE;
}

bool sp_policy_looks_at(const struct sp_policy *p, struct sp_slice header_name)
{
    return find_watched(p, header_name) != SP_NONE;
}

size_t sp_facts_see_headers(struct sp_facts *f)
{
    const struct sp_policy *p = f->policy;
    size_t twice = SP_NONE;

    memset(f->seen, 0, p->watched_count * sizeof(f->seen[0]));
    for (size_t i = 0; p->watched_count > 0 && i < f->request->header_count; i++) {
        size_t w = find_watched(p, f->request->headers[i].name);
        if (w == SP_NONE)
            continue;
        if (f->seen[w] != NULL && twice == SP_NONE)
            twice = w;
        f->seen[w] = &f->request->headers[i];
    }
    return twice;
}

/* ---- a rule that matches ---- */

static void decided_by(const struct sp_facts *f, size_t i, struct sp_decision *out)
{
    const struct sp_rule *r = &f->policy->rules[i];

    out->rule = i;
    out->rule_name = r->config->name;
    if (r->config->deny_status != 0) {
        out->reason = SP_REFUSAL_denied;
        out->status = r->config->deny_status;
    } else {
        out->allowed = true;
        out->reason = SP_REFUSAL_none;
        out->upstream = r->upstream;
        out->upstream_name = r->config->upstream;
    }
    if (r->from.count > 0)
        out->caller = r->from.items[sp_callers_first(&r->from, f->callers)];
}

/* Does rule `i`, whose conditions on the connection hold, decide? */
static bool consider(const struct sp_facts *f, size_t i, struct sp_decision *out)
{
    const struct sp_rule *r = &f->policy->rules[i];

    if (!sp_conditions_hold(r, f, SP_OF_REQUEST))
        return false;
    if (!r->reports) {
        decided_by(f, i, out);
        return true;
    }
    if (out->report_count < SP_REPORTS_MAX)
        out->reports[out->report_count++] = i;
    return false;
}

/* ---- going over the rules that can concern the connection ---- */

static void over_few(const struct sp_standing *s, const struct sp_facts *f, struct sp_decision *out)
{
    for (size_t i = 0; i < s->candidate_count; i++) {
        if (consider(f, s->candidates[i], out))
            return;
    }
}

static void over_bits(const struct sp_standing *s, const struct sp_facts *f, struct sp_decision *out)
{
    size_t words = s->policy->rule_count / 64 + 1;
    for (size_t w = 0; w < words; w++) {
        for (uint64_t left = s->bits[w]; left != 0; left &= left - 1) {
            if (consider(f, w * 64 + (size_t)__builtin_ctzll(left), out))
                return;
        }
    }
}

/* The least rule at the front of any list, taken off it; SP_NONE when all are empty. A rule is in one list only. */
static size_t take_least(struct sp_found *found)
{
    size_t least = SP_NONE, from = 0;
    for (size_t i = 0; i < found->count;) {
        struct sp_posting *list = &found->lists[i];
        if (list->count == 0) {
            *list = found->lists[--found->count];
            continue;
        }
        if (list->items[0] < least) {
            least = list->items[0];
            from = i;
        }
        i++;
    }
    if (least != SP_NONE) {
        found->lists[from].items++;
        found->lists[from].count--;
    }
    return least;
}

static void over_found(
    const struct sp_standing *s, const struct sp_facts *f, struct sp_found *found, struct sp_decision *out)
{
    for (size_t i = take_least(found); i != SP_NONE; i = take_least(found)) {
        if ((s->bits[i / 64] >> (i % 64) & 1) != 0 && consider(f, i, out))
            return;
    }
}

/* The index may find more rules than concern this client, and then costs more than it saves. */
static void over_many(const struct sp_standing *s, const struct sp_facts *f, struct sp_decision *out)
{
    struct sp_found found;
    sp_rule_index_find(&s->policy->index, f->request->host, f->path, &found);
    if (found.overflow || found.rules > s->candidate_count)
        over_bits(s, f, out);
    else
        over_found(s, f, &found, out);
}

/* A path that is longer than any that is let in matches no rule, not even one that looks at none. */
static void over_rules(const struct sp_standing *s, struct sp_facts *f, struct sp_decision *out)
{
    char room[3 * SP_PATH_MAX]; /* touched as far as it is written */

    if (f->request->path.len > SP_PATH_MAX)
        return;
    f->path = sp_path_canonical(f->request->path, false, room);
    if (s->candidates != NULL)
        over_few(s, f, out);
    else
        over_many(s, f, out);
}

/* ---- the door ---- */

static void refuse(struct sp_decision *out, enum sp_refusal reason, unsigned status, const char *detail)
{
    out->reason = reason;
    out->status = status;
    out->detail = detail;
}

void sp_policy_decide(
    const struct sp_standing *s, const struct sp_policy_request *request, struct sp_decision *out)
{
    const struct sp_policy *p = s->policy;
    struct sp_facts f;
    size_t twice;

    f.policy = p;
    f.callers = s->callers;
    f.request = request;
    *out = (struct sp_decision){.reason = SP_REFUSAL_no_rule,
        .status = 403,
        .rule = SP_NONE,
        .caller = s->callers.count > 0 ? s->callers.items[0] : SP_NONE,
        .upstream = SP_NONE};
    if (s->unfit != SP_REFUSAL_none)
        refuse(out, s->unfit, 403, s->unfit_detail);
    else if ((twice = sp_facts_see_headers(&f)) != SP_NONE)
        refuse(out, SP_REFUSAL_ambiguous_header, 400, p->watched[twice].twice);
    else
        over_rules(s, &f, out);
    if (out->caller != SP_NONE)
        out->caller_name = p->config->callers[out->caller].name;
}
