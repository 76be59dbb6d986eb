/* An exchange's part in what request.h does: what it asks for before it is judged, and the head for the backend. */
#include "proxy/proxy_impl.h"

enum sp_rc sp_exchange_aim(struct sp_exchange *x, struct sp_slice host, struct sp_fault *fault)
{
    const struct sp_session *s = x->session;
    struct sp_random *random = &s->worker->random;
    const uint64_t fresh[3] = {sp_random_next(random), sp_random_next(random), sp_random_next(random)};

    sp_trace_read(x->head, fresh, &x->trace);
    return sp_request_rewrite(s->listener != NULL ? s->listener->config : NULL,
        &x->view->snapshot->config->limits, x->head, host, &x->target, fault);
}

void sp_exchange_unaim(struct sp_exchange *x)
{
    SP_FREE(x->target.own);
    x->target = (struct sp_request_target){.own = NULL};
}

enum sp_rc sp_request_head_out(struct sp_exchange *x, struct sp_head_out *out, struct sp_err *err)
{
    struct sp_session *s = x->session;
    const struct sp_snapshot *snapshot = x->view->snapshot;
    const struct sp_request_way way = {.config = snapshot->config,
        .headers = snapshot->headers,
        .head = x->head,
        .target = &x->target,
        .decision = &x->decision,
        .identity = sp_identity_lines_of(s, x->decision.upstream, err),
        .proxy = sp_proxy_of(s),
        .source = &s->who->source,
        .port = sp_addr_port(&s->who->destination),
        .trace = &x->trace,
        .id = x->id,
        .upgrade = x->upgrade};

    return way.identity != NULL ? sp_request_head_make(&way, &s->worker->room, out, err) : SP_FAIL;
}
