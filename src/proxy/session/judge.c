/* Whether a session that is open may stay: its client by the trust in force, its exchange by the rules in
 * force, both by the clock. Only says so; what comes of it is the walk's business (reach.c) and the ending's
 * (ending.c). */
#include "judge.h"

#include <stdio.h>

char *sp_detail_copy(const char *detail)
{
    size_t len = strlen(detail);
    char *copy = len > 0 ? sp_alloc(1, len + 1) : NULL;

    if (copy != NULL)
        memcpy(copy, detail, len);
    return copy;
}

/* ---- the memory of one walk ---- */

#define MEMO_MIN 64
#define MEMO_MAX 65536

/* A table by hash in which the later one takes the place: with room for twice the sessions, few do. */
struct memo_entry {
    struct sp_identity *identity; /* one reference; NULL: free */
    struct sp_trust *trust;       /* likewise */
    enum sp_refusal reason;       /* none: accepted */
    char *detail;                 /* or NULL */
};

struct sp_memo {
    size_t mask;
    struct memo_entry entries[];
};

struct sp_memo *sp_memo_new(size_t sessions)
{
    size_t slots = MEMO_MIN;

    while (slots < 2 * sessions && slots < MEMO_MAX)
        slots *= 2;
    struct sp_memo *memo = sp_alloc(1, sizeof(*memo) + slots * sizeof(memo->entries[0]));
    if (memo != NULL)
        memo->mask = slots - 1;
    return memo;
}

static void forget(struct memo_entry *e)
{
    sp_identity_free(e->identity);
    sp_trust_free(e->trust);
    sp_free(e->detail);
    *e = (struct memo_entry){0};
}

void sp_memo_free(struct sp_memo *memo)
{
    for (size_t i = 0; memo != NULL && i <= memo->mask; i++)
        forget(&memo->entries[i]);
    sp_free(memo);
}

static struct memo_entry *memo_entry_of(struct sp_memo *memo, const struct sp_identity *id)
{
    uint64_t bits = (uint64_t)(uintptr_t)id * 0x9e3779b97f4a7c15u;

    return &memo->entries[bits >> 40 & memo->mask];
}

static void keep(struct memo_entry *e, struct sp_trust *trust, struct sp_identity *id,
    const struct sp_judgement *judgement)
{
    forget(e);
    e->identity = sp_identity_ref(id);
    e->trust = sp_trust_ref(trust);
    e->reason = judgement->reason;
    if (judgement->reason != SP_REFUSAL_none)
        e->detail = sp_detail_copy(judgement->detail);
}

static void refuse(struct sp_judgement *out, enum sp_refusal reason, const char *detail)
{
    out->reason = reason;
    snprintf(out->detail, sizeof(out->detail), "%s", detail != NULL ? detail : "");
}

/* Either from memory or anew. */
static void judge_identity(struct sp_memo *memo, struct sp_trust *trust, struct sp_identity *id,
    int64_t now_s, struct sp_judgement *out)
{
    struct memo_entry *e = memo != NULL ? memo_entry_of(memo, id) : NULL;
    struct sp_verdict verdict;

    if (e != NULL && e->identity == id && e->trust == trust) {
        refuse(out, e->reason, e->detail);
        return;
    }
    sp_trust_rejudge(trust, id, now_s, &verdict);
    if (!verdict.accepted)
        refuse(out, verdict.reason, verdict.detail);
    if (e != NULL)
        keep(e, trust, id, out);
}

/* ---- the client ---- */

static void judge_client(struct sp_session *s, const struct sp_snapshot_listener *l, struct sp_memo *memo,
    int64_t now_s, bool anew, struct sp_judgement *out)
{
    size_t host = sp_config_host_of(l->config, sp_slice_of(s->who->sni));
    struct sp_trust *trust = l->trusts[host];
    struct sp_identity *id = s->who->identity;

    if (id == NULL) {
        if (l->config->hosts[host].client_auth.mode == SP_AUTH_REQUIRED)
            refuse(out, SP_REFUSAL_no_certificate, "it came without one while that was optional");
        return;
    }
    if (trust == s->trust && !anew)
        return;
    judge_identity(memo, trust, id, now_s, out);
    sp_session_trust(s, out->reason == SP_REFUSAL_none ? trust : NULL);
}

/* ---- what the rules say: of its exchange, and of itself ---- */

static bool rules_changed(const struct sp_session *s)
{
    return s->rules_changed || s->view->snapshot->policy != s->worker->view->snapshot->policy;
}

/* One that was let through by other rules and is still on its way. A tunnel has the new ones already. */
static bool is_relayed(const struct sp_session *s)
{
    const struct sp_exchange *x = s->exchange;

    if (!sp_session_is_busy(s) || !x->decision.allowed || x->reason != SP_REFUSAL_none)
        return false;
    return x->tunnel.open ? rules_changed(s) : x->view->snapshot->policy != s->worker->view->snapshot->policy;
}

/* What a rule in report mode would have said is no matter here. */
static void judge_exchange(
    const struct sp_session *s, const struct sp_standing *standing, struct sp_judgement *out)
{
    const struct sp_exchange *x = s->exchange;
    const struct sp_config *config = s->worker->view->snapshot->config;
    struct sp_policy_request request;
    struct sp_decision decision;
    char host[SP_HOST_MAX];

    if (s->is_tcp)
        sp_tcp_request(s, &request);
    else
        request = (struct sp_policy_request){.host = sp_host_canonical(x->head->host, host),
            .path = x->target.path,
            .method = x->head->method_text,
            .headers = x->head->headers,
            .header_count = x->head->header_count};
    sp_policy_decide(standing, &request, &decision);
    if (!decision.allowed)
        refuse(out, decision.reason, "the rules changed while it was under way");
    else if (!sp_upgrade_is_allowed(&config->rules[decision.rule], x->upgrade))
        refuse(out, SP_REFUSAL_upgrade_not_allowed, "the rules changed while it was under way");
}

/* Requirements of a caller are asked of the certificate: who does not meet them may ask for nothing, and so does not stay
 * either. One that came like that is answered 403, and is not ended by every later change. */
static void judge_by_rules(const struct sp_session *s, struct sp_judgement *out)
{
    const struct sp_policy *policy = s->worker->view->snapshot->policy;
    const struct sp_connection c = {
        .identity = s->who->identity, .listener = s->who->listener, .source = &s->who->source};
    const char *detail;

    if (!is_relayed(s) && !(rules_changed(s) && sp_policy_has_requirements(policy)))
        return;
    struct sp_standing *standing = sp_policy_stand(policy, &c);
    if (standing == NULL) {
        if (is_relayed(s))
            refuse(out, SP_REFUSAL_no_rule, "no memory to tell who the caller is by the new rules");
        return;
    }
    enum sp_refusal unfit = sp_standing_unfit(standing, &detail);
    if (unfit != SP_REFUSAL_none)
        refuse(out, unfit, detail);
    else if (is_relayed(s))
        judge_exchange(s, standing, out);
    sp_standing_free(standing);
}

void sp_judge(struct sp_session *s, struct sp_memo *memo, int64_t now_s, bool anew, struct sp_judgement *out)
{
    const struct sp_snapshot_listener *l = sp_snapshot_find(s->worker->view->snapshot, s->who->listener);

    out->reason = SP_REFUSAL_none;
    if (l != NULL)
        judge_client(s, l, memo, now_s, anew, out);
    if (out->reason == SP_REFUSAL_none)
        judge_by_rules(s, out);
    if (out->reason == SP_REFUSAL_none)
        s->rules_changed = false;
}

/* ---- the clock ---- */

void sp_judge_clock(const struct sp_session *s, int64_t now_s, struct sp_judgement *out)
{
    const struct sp_identity *id = s->who->identity;
    char at[SP_RFC3339_MAX];

    out->reason = SP_REFUSAL_none;
    if (id == NULL)
        return;
    if (now_s >=
        id->chain_until) { /* as OpenSSL has it: its notAfter is the first moment at which it is not good */
        out->reason = SP_REFUSAL_expired;
        snprintf(out->detail, sizeof(out->detail), "its chain ended at %s",
            sp_time_rfc3339(id->chain_until * 1000000, false, at));
    } else if (now_s >= s->too_old_s) {
        out->reason = SP_REFUSAL_session_too_old;
        snprintf(out->detail, sizeof(out->detail), "it proved itself at %s",
            sp_time_rfc3339(s->who->authenticated_at * 1000000, false, at));
    }
}
