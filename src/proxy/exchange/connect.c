/* The way to a backend: what an exchange wants of the pool, waiting for a connection, and the next endpoint when one takes none.
 * Nothing of a request has gone out here, so that trying again can do no harm; what may be tried after that is in retry.c. */
#include <errno.h>

#include "proxy/proxy_impl.h"
#include "sallyport/io/socket.h"

/* timeouts.exchange counts from the first byte of the head. */
static void set_deadline(struct sp_exchange *x, const struct sp_config_upstream *upstream)
{
    uint64_t began_ms = x->session->head_began_ms;

    x->session->head_began_ms = 0;
    if (upstream->exchange_ms == 0 || x->session->is_tcp)
        return;
    if (began_ms == 0)
        began_ms = x->start_us / 1000;
    sp_exchange_end_by(x, began_ms + upstream->exchange_ms, SP_REFUSAL_exchange_timeout);
}

static void on_backend_event(void *arg)
{
    struct sp_exchange *x = arg;

    if (x->session->is_bulk)
        sp_session_go_on(x->session);
    else
        sp_exchange_run(x);
}

bool sp_exchange_set_out(struct sp_exchange *x, enum sp_next *refused)
{
    const struct sp_config_upstream *upstream = &x->view->snapshot->config->upstreams[x->decision.upstream];
    struct sp_errand *e = &x->errand;
    struct sp_err err = {0};

    e->upstream = x->decision.upstream;
    e->is_raw = x->session->is_tcp;
    e->on_event = on_backend_event;
    e->arg = x;
    if (upstream->balance == SP_BALANCE_HASH)
        e->hash = sp_hash_of(x->session->who, x->head, upstream);
    set_deadline(x, upstream);
    if (upstream->proxy_protocol == SP_PROXY_OFF || sp_preface_make(x, &err) == SP_OK)
        return true;
    *refused =
        err.sys == ENOMEM
            ? sp_exchange_refuse(x, 503, SP_REFUSAL_overloaded, "no memory for the PROXY header")
            : sp_exchange_refuse(x, 431, SP_REFUSAL_identity_too_large, "the PROXY header is over 64 KiB");
    return false;
}

/* ---- CONNECT, CONNECTING ---- */

/* In mode tcp a client may have ended its direction and wait for the answer. */
static bool client_is_gone(const struct sp_session *s)
{
    return s->is_tcp ? s->reset : s->who->transport->peer_ended;
}

static enum sp_next wait_for_backend(struct sp_exchange *x, enum sp_wait wait, uint64_t ms)
{
    if (client_is_gone(x->session)) {
        sp_exchange_abandon(x, SP_REFUSAL_client_gone, "while connecting to the backend");
        return SP_NEXT_CUT;
    }
    sp_session_wait(x->session, wait, ms, false);
    return SP_NEXT_WAIT;
}

enum sp_next sp_connect_full(struct sp_exchange *x, enum sp_refusal reason)
{
    sp_exchange_leave_backend(x); /* its place in the queue is not kept until the answer has gone out */
    x->retry_after_s = 1;
    return sp_exchange_refuse(x, 503, reason, NULL);
}

/* It is ourselves who have nothing left, so that no other endpoint would do better. */
static enum sp_next answer_lack(struct sp_exchange *x, const char *detail)
{
    sp_exchange_leave_backend(x);
    return sp_exchange_refuse(x, 503, SP_REFUSAL_overloaded, sp_exchange_own_detail(x, detail));
}

/* Nobody is left to ask. */
static enum sp_next answer_no_endpoint(struct sp_exchange *x)
{
    struct sp_err err = {0};

    if (x->errand.errnum != 0)
        (void)!sp_err_sys(&err, x->errand.errnum, "a new connection");
    if (sp_socket_is_our_lack(x->errand.errnum))
        return answer_lack(x, err.text);
    if (x->fault != SP_REFUSAL_none)
        return sp_exchange_refuse(x, x->fault_status, x->fault, x->own_detail);
    const char *detail = x->errand.errnum != 0 ? sp_exchange_own_detail(x, err.text) : NULL;
    return sp_exchange_refuse(x, 502, SP_REFUSAL_no_endpoint, detail);
}

/* Endpoints that were asked before this one and took no connection; some of them within one call. */
static void count_reconnects(struct sp_exchange *x)
{
    unsigned before = x->errand.tries - 1, counted = x->resets + x->reconnects;

    if (before <= counted)
        return;
    x->reconnects += before - counted;
    sp_meter_add(x->session->worker->o.meter, SP_METER_retries_connect, before - counted);
}

enum sp_next sp_connect(struct sp_exchange *x)
{
    const struct sp_config_upstream *upstream = &x->view->snapshot->config->upstreams[x->decision.upstream];

    if (x->connect_start_us == 0)
        x->connect_start_us = sp_mono_us();
    switch (sp_upconn_take(x->view->targets, &x->errand, &x->up)) {
    case SP_OK:
        count_reconnects(x);
        sp_session_wait(x->session, SP_WAIT_NOTHING, 0, false);
        x->step = SP_STEP_CONNECTING;
        return SP_NEXT_STEP;
    case SP_AGAIN:
        return wait_for_backend(x, SP_WAIT_QUEUE, upstream->queue_ms);
    case SP_EOF:
        return sp_connect_full(x, SP_REFUSAL_queue_full);
    default:
        return answer_no_endpoint(x);
    }
}

/* The next one is asked; what is told if there is none is how this one failed. */
enum sp_next sp_connect_next(
    struct sp_exchange *x, enum sp_refusal fault, unsigned status, const char *detail)
{
    sp_exchange_leave_backend(x);
    x->fault = fault;
    x->fault_status = status;
    (void)sp_exchange_own_detail(x, detail);
    sp_session_wait(x->session, SP_WAIT_NOTHING, 0, false);
    x->step = SP_STEP_CONNECT;
    return SP_NEXT_STEP;
}

enum sp_next sp_connecting(struct sp_exchange *x)
{
    const struct sp_config_upstream *upstream = &x->view->snapshot->config->upstreams[x->decision.upstream];
    struct sp_err err = {0};

    switch (sp_upconn_connected(x->up, &err)) {
    case SP_OK:
        break;
    case SP_AGAIN:
        return wait_for_backend(x, SP_WAIT_CONNECT, upstream->connect_ms);
    default:
        if (sp_socket_is_our_lack(err.sys))
            return answer_lack(x, err.text);
        return sp_connect_next(
            x, err.sys == EPROTO ? SP_REFUSAL_backend_tls : SP_REFUSAL_no_endpoint, 502, err.text);
    }
    sp_session_wait(x->session, SP_WAIT_NOTHING, 0, false);
    x->connect_us = sp_mono_us();
    x->errand.reached = true;
    if (x->session->is_tcp) {
        sp_upconn_went_well(x->up);
        return sp_tunnel_begin(x);
    }
    x->step = SP_STEP_SEND;
    return SP_NEXT_STEP;
}
