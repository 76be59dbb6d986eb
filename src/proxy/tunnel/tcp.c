/* A connection in mode tcp: judged once, as it arrives, by who it is and the name that it asked for, then relayed byte by byte.
 * It is the one exchange of its session, without a head: the same steps, limits and records as a request has, but nothing can
 * be answered, so that whoever is refused is only closed. What the client sent along with its handshake waits in the TLS
 * transport until there is a backend to take it; a backend that speaks first is heard at once. */
#include "proxy/proxy_impl.h"

void sp_tcp_request(const struct sp_session *s, struct sp_policy_request *out)
{
    *out = (struct sp_policy_request){.host = sp_slice_of(s->who->sni), .is_tcp = true};
}

enum sp_next sp_tcp_enter(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_policy_request request;
    enum sp_next refused;

    sp_exchange_begin(x);
    x->close = true;
    enum sp_refusal full = sp_admit(x);
    if (full != SP_REFUSAL_none)
        return sp_exchange_refuse(x, 503, full, NULL);
    if (!sp_session_has_standing(s))
        return sp_exchange_refuse(x, 503, SP_REFUSAL_overloaded, "no memory to tell who the caller is");
    sp_tcp_request(s, &request);
    sp_policy_decide(s->standing, &request, &x->decision);
    sp_count_decision(x);
    if (!x->decision.allowed)
        return sp_exchange_refuse(x, x->decision.status, x->decision.reason, x->decision.detail);
    if (!sp_exchange_enter(x, &refused) || !sp_exchange_set_out(x, &refused))
        return refused;
    x->step = SP_STEP_CONNECT;
    return SP_NEXT_STEP;
}
