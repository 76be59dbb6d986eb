/* The limits of a session's callers: it is counted when it arrives, counted anew when the policy has changed, and each of
 * its requests that a rule allows is counted until its end. The numbers are in `policy`; what becomes of who is over them
 * is here. */
#include <stdio.h>

#include "proxy/proxy_impl.h"

bool sp_session_has_standing(struct sp_session *s)
{
    const struct sp_connection c = {
        .identity = s->who->identity, .listener = s->who->listener, .source = &s->who->source};

    if (s->standing == NULL)
        s->standing = sp_policy_stand(s->view->snapshot->policy, &c);
    return s->standing != NULL;
}

/* ---- the session ---- */

static void refuse(struct sp_session *s, enum sp_refusal reason, size_t caller)
{
    const struct sp_config *config = s->view->snapshot->config;
    char detail[128] = "";

    if (caller != SP_NONE)
        snprintf(detail, sizeof(detail), "as caller %s", config->callers[caller].name);
    sp_meter_refuse(s->worker->o.meter, reason);
    sp_session_refuse(s, reason, detail);
}

bool sp_session_count(struct sp_session *s)
{
    size_t caller = SP_NONE;
    enum sp_refusal reason = SP_REFUSAL_out_of_memory;

    if (!s->view->has_limits)
        return true;
    if (sp_session_has_standing(s))
        reason = sp_limits_connect(s->worker->o.limits, s->view->snapshot->config,
            sp_standing_callers(s->standing), s->who->identity, sp_mono_us(), &s->limits, &caller);
    if (reason == SP_REFUSAL_none)
        return true;
    refuse(s, reason, caller);
    return false;
}

bool sp_session_recount(struct sp_session *s)
{
    s->uncounted = false;
    if (!s->view->has_limits) {
        sp_session_uncount(s);
        return true;
    }
    s->uncounted = !sp_session_has_standing(s) ||
                   sp_limits_move(s->worker->o.limits, s->view->snapshot->config,
                       sp_standing_callers(s->standing), s->who->identity, sp_mono_us(), &s->limits) != SP_OK;
    return !s->uncounted;
}

void sp_session_uncount(struct sp_session *s)
{
    sp_limits_disconnect(s->limits);
    s->limits = NULL;
}

/* ---- its requests ---- */

/* RFC 9110 §10.2.3: whole seconds. */
static enum sp_next answer_too_many(struct sp_exchange *x, enum sp_refusal reason, uint64_t retry_ms)
{
    x->retry_after_s = (retry_ms - 1) / 1000 + 1;
    return sp_exchange_refuse(x, 429, reason,
        reason == SP_REFUSAL_caller_rate ? "limits.rate of its caller"
                                         : "limits.concurrent_requests of its caller");
}

bool sp_exchange_enter(struct sp_exchange *x, enum sp_next *refused)
{
    struct sp_session *s = x->session;
    uint64_t retry_ms = 1;

    if (s->uncounted && !sp_session_recount(s)) {
        *refused = sp_exchange_refuse(x, 503, SP_REFUSAL_overloaded,
            "limits.tracked_callers was reached: its limits could not be counted");
        return false;
    }
    enum sp_refusal reason = sp_limits_enter(s->limits, x->decision.caller, x->start_us, &retry_ms);
    if (reason != SP_REFUSAL_none) {
        *refused = answer_too_many(x, reason, retry_ms);
        return false;
    }
    x->counted = true;
    return true;
}

void sp_exchange_reenter(struct sp_exchange *x, size_t caller)
{
    x->decision.caller = caller;
    sp_limits_reenter(x->session->limits, caller);
    x->counted = true;
}

void sp_exchange_leave(struct sp_exchange *x)
{
    if (x->counted)
        sp_limits_leave(x->session->limits, x->decision.caller);
    x->counted = false;
}
