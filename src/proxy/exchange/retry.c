/* What may be tried once more after a connection broke before a byte of the response came.
 *
 *   stale   a kept-alive connection that turned out closed: nobody's fault. Once, on a new connection, without budget, and
 *           it counts against no endpoint
 *   reset   the backend broke it: on another endpoint, up to retries.attempts, within retries.budget
 *
 * Either only for a method that may be done twice (or retries.methods: any), and only if what was sent of the body is still
 * here: the first retries.body bytes of it are kept, in a block of the exchange's own. A backend that answered nothing in
 * time had its time: that is never repeated. Failed connects are in exchange.c: nothing was sent, so they are always. */
#include "proxy/proxy_impl.h"

static const struct sp_config_retries *retries_of(const struct sp_exchange *x)
{
    return &x->view->snapshot->config->upstreams[x->decision.upstream].retries;
}

static bool may_be_done_twice(const struct sp_exchange *x)
{
    return retries_of(x)->any_method || sp_method_is_idempotent(x->head->method);
}

void sp_retry_begin(struct sp_exchange *x)
{
    uint64_t room = retries_of(x)->body_bytes;

    x->errand.once = x->request != SP_HALF_DONE || !may_be_done_twice(x);
    if (x->request == SP_HALF_DONE || !may_be_done_twice(x))
        return;
    x->kept.room = room < SP_IO_BLOCK ? (size_t)room : SP_IO_BLOCK;
}

static void give_up(struct sp_exchange *x)
{
    struct sp_kept *k = &x->kept;

    sp_pool_give(&x->session->worker->blocks, k->block);
    k->block = NULL;
    k->overrun = true;
}

/* A pool without a block for it is no reason to refuse anything. */
void sp_retry_keep(struct sp_exchange *x, struct sp_slice data)
{
    struct sp_kept *k = &x->kept;

    if (k->overrun || data.len == 0)
        return;
    if (k->block == NULL && k->room > 0)
        k->block = sp_pool_take(&x->session->worker->blocks);
    if (k->block == NULL || k->len + data.len > k->room) {
        give_up(x);
        return;
    }
    memcpy(k->block + k->len, data.ptr, data.len);
    k->len += data.len;
}

void sp_retry_forget(struct sp_exchange *x)
{
    give_up(x);
}

/* All that was sent can be sent again. */
static bool has_body(const struct sp_exchange *x)
{
    return x->bytes_in == 0 || (!x->kept.overrun && x->kept.len == x->bytes_in);
}

static bool is_broken_off(enum sp_refusal reason)
{
    return reason == SP_REFUSAL_backend_closed || reason == SP_REFUSAL_unasked_response;
}

bool sp_retry_is_stale(const struct sp_exchange *x, enum sp_refusal reason)
{
    return x->up->reused && is_broken_off(reason) && !sp_h1_has_received(x->up->stream);
}

bool sp_retry_may(struct sp_exchange *x, enum sp_refusal reason)
{
    const struct sp_config_retries *r = retries_of(x);
    struct sp_meter_block *meter = x->session->worker->o.meter;

    if (x->answered || !is_broken_off(reason) || sp_h1_has_received(x->up->stream) || !may_be_done_twice(x) ||
        !has_body(x))
        return false;
    if (sp_retry_is_stale(x, reason) && !x->errand.fresh) {
        x->errand.fresh = true;
        sp_meter_add(meter, SP_METER_retries_stale, 1);
        return true;
    }
    if (reason != SP_REFUSAL_backend_closed || !r->on_reset || x->errand.tries >= r->attempts ||
        !sp_targets_may_retry(x->view->targets, x->decision.upstream))
        return false;
    x->resets++;
    sp_meter_add(meter, SP_METER_retries_reset, 1);
    return true;
}

void sp_retry_again(struct sp_exchange *x)
{
    x->request_broken = false; /* it was the old connection's */
    x->request = x->head->framing == SP_FRAMING_NONE ? SP_HALF_DONE : SP_HALF_BODY;
    x->kept.at = 0;
    x->step = SP_STEP_CONNECT;
}

/* Its end comes by the relay, to whom the client's codec says it again. */
enum sp_next sp_replay(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_kept *k = &x->kept;
    uint64_t response_ms = x->view->snapshot->config->upstreams[x->decision.upstream].response_ms;
    size_t taken;

    while (k->at < k->len) {
        switch (x->up->stream->ops->send_body(
            x->up->stream, (struct sp_slice){k->block + k->at, k->len - k->at}, &taken)) {
        case SP_OK:
            k->at += taken;
            break;
        case SP_AGAIN:
            if (s->who->transport->peer_ended) {
                sp_exchange_abandon(x, SP_REFUSAL_client_gone, "before the answer was complete");
                return SP_NEXT_CUT;
            }
            sp_session_wait(s, SP_WAIT_RESPONSE, response_ms, false);
            return SP_NEXT_WAIT;
        default:
            x->request_broken = true;
            (void)!sp_transport_shutdown(x->up->transport);
            k->at = k->len;
        }
    }
    sp_session_wait(s, SP_WAIT_NOTHING, 0, false);
    x->step = SP_STEP_RELAY;
    return SP_NEXT_STEP;
}
