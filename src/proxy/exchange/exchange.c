/* One request and its response, as a loop of named steps (the drawing is beside enum sp_step). Each step does
 * what it can and says what comes next; an edge from either side, or the session's timer, runs the loop again.
 * Moving bodies is in relay.c, the way to a backend in connect.c, what may be repeated in retry.c, mode tcp in tcp.c and tunnel.c. */
#include <errno.h>

#include "proxy/proxy_impl.h"
#include "proxy/session/judge.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/text.h"
#include "sallyport/tls/server.h"

void sp_exchange_init(struct sp_exchange *x, struct sp_session *s)
{
    memset(x, 0, sizeof(*x));
    x->session = s;
    x->step = s->is_tcp ? SP_STEP_TCP : SP_STEP_HEAD;
}

const char *sp_exchange_own_detail(struct sp_exchange *x, const char *text)
{
    sp_free(x->own_detail);
    x->own_detail = sp_detail_copy(text);
    return x->own_detail;
}

/* ---- its latest end ---- */

void sp_exchange_end_by(struct sp_exchange *x, uint64_t ms, enum sp_refusal reason)
{
    struct sp_session *s = x->session;

    if (x->deadline_ms != 0 && x->deadline_ms <= ms)
        return;
    x->deadline_ms = ms;
    x->deadline_reason = reason;
    sp_session_wait_at_most(s);
}

bool sp_exchange_is_overdue(const struct sp_exchange *x)
{
    return x->deadline_ms != 0 && sp_mono_ms() >= x->deadline_ms;
}

void sp_exchange_leave_backend(struct sp_exchange *x)
{
    sp_errand_stop_waiting(&x->errand);
    sp_upconn_close(x->up);
    x->up = NULL;
}

/* ---- HEAD ---- */

static bool is_id_byte(char c)
{
    return sp_is_digit(c) || (sp_lower(c) >= 'a' && sp_lower(c) <= 'z') || c == '-' || c == '_' || c == '.';
}

/* The client's own id, if it is one that may stand in a log and a header anywhere; else a new one. */
static void choose_id(struct sp_exchange *x)
{
    const struct sp_header *given = x->head != NULL ? sp_head_find(x->head, SP_HDR_X_REQUEST_ID) : NULL;
    struct sp_random *random = &x->session->worker->random;
    size_t i = 0;

    if (given != NULL && given->value.len >= 8 && given->value.len <= SP_REQUEST_ID_MAX) {
        while (i < given->value.len && is_id_byte(given->value.ptr[i]))
            i++;
        if (i == given->value.len) {
            memcpy(x->id, given->value.ptr, i);
            x->id[i] = '\0';
            return;
        }
    }
    uint64_t bytes[2] = {sp_random_next(random), sp_random_next(random)};
    sp_hex(bytes, sizeof(bytes), x->id);
}

static enum sp_next answer_full(struct sp_exchange *x, enum sp_refusal reason)
{
    x->retry_after_s = 1;
    x->shed = true;
    return sp_answer(x, 503, reason, NULL);
}

static enum sp_next wait_for_head(struct sp_exchange *x)
{
    struct sp_session *s = x->session;

    if (!sp_h1_is_idle(s->stream)) {
        if (!sp_admit_head(s)) {
            x->seen = s->stream->ops->seen(s->stream);
            sp_exchange_begin(x);
            x->close = true;
            return answer_full(x, SP_REFUSAL_out_of_buffers);
        }
        if (s->wait != SP_WAIT_HEAD)
            s->head_began_ms = sp_mono_ms();
        sp_session_wait(s, SP_WAIT_HEAD, s->timeouts.header_ms, false);
    } else if (s->leaving)
        sp_session_wait(s, SP_WAIT_LEAVE, s->worker->grace_ms, false);
    else
        sp_session_wait(s, SP_WAIT_IDLE, s->timeouts.idle_ms, false);
    return SP_NEXT_WAIT;
}

void sp_exchange_begin(struct sp_exchange *x)
{
    struct sp_session *s = x->session;

    sp_session_move(s);
    sp_session_wait(s, SP_WAIT_NOTHING, 0, false);
    if (s->served++ > 0)
        sp_session_warm(s);
    x->view = s->worker->view;
    x->view->users++;
    x->generation = x->view->snapshot->generation;
    x->start_us = sp_mono_us();
    choose_id(x);
    if (!s->is_tcp)
        sp_meter_add(s->worker->o.meter, SP_METER_requests, 1);
    sp_meter_add(s->worker->o.meter, SP_METER_requests_open, 1);
}

static enum sp_next step_head(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_fault fault = {0};

    switch (s->stream->ops->recv_head(s->stream, &x->head, &fault)) {
    case SP_AGAIN:
        return wait_for_head(x);
    case SP_EOF:
        return SP_NEXT_CLOSE;
    case SP_FAIL:
        x->head = NULL;
        x->seen = s->stream->ops->seen(s->stream);
        sp_exchange_begin(x);
        x->close = true;
        if (fault.reason == SP_REFUSAL_client_gone) {
            sp_exchange_abandon(x, fault.reason, fault.detail);
            return SP_NEXT_CUT;
        }
        return sp_answer(x, fault.status, fault.reason, fault.detail);
    case SP_OK:
        break;
    }
    sp_exchange_begin(x);
    x->request = x->head->framing == SP_FRAMING_NONE ? SP_HALF_DONE : SP_HALF_BODY;
    x->close = !x->head->keep_alive || s->leaving;
    x->step = SP_STEP_JUDGE;
    return SP_NEXT_STEP;
}

/* ---- JUDGE ---- */

static enum sp_next step_judge(struct sp_exchange *x)
{
    const struct sp_head *head = x->head;
    const struct sp_config_limits *limits = &x->view->snapshot->config->limits;
    struct sp_fault fault;
    char host[SP_HOST_MAX];
    enum sp_next refused;

    enum sp_refusal full = sp_admit(x);
    if (full != SP_REFUSAL_none)
        return answer_full(x, full);
    if (sp_request_check(x->view->snapshot->headers, x->view->snapshot->policy, head, &fault) != SP_OK)
        return sp_answer(x, fault.status, fault.reason, fault.detail);
    struct sp_slice canonical = sp_host_canonical(head->host, host);
    if (sp_is_misdirected(x->session, canonical))
        return sp_answer_misdirected(x, canonical);
    if (sp_exchange_aim(x, canonical, &fault) != SP_OK)
        return sp_answer(x, fault.status, fault.reason, fault.detail);
    if (!sp_session_has_standing(x->session))
        return sp_answer(x, 503, SP_REFUSAL_overloaded, "no memory to tell who the caller is");
    if (sp_headers_check_passed(x->view->snapshot->headers, sp_proxy_of(x->session), head, &fault) != SP_OK)
        return sp_answer(x, fault.status, fault.reason, fault.detail);
    struct sp_policy_request request = {.host = canonical,
        .path = x->target.path,
        .method = head->method_text,
        .headers = head->headers,
        .header_count = head->header_count};
    sp_policy_decide(x->session->standing, &request, &x->decision);
    sp_count_decision(x);
    if (!x->decision.allowed)
        return sp_answer(x, x->decision.status, x->decision.reason, x->decision.detail);
    if (limits->body_bytes != 0 && head->framing == SP_FRAMING_LENGTH &&
        head->content_length > limits->body_bytes)
        return sp_answer(x, 413, SP_REFUSAL_body_too_large, "Content-Length is over limits.body_bytes");
    if (sp_upgrade_judge(x, &fault) != SP_OK)
        return sp_answer(x, fault.status, fault.reason, fault.detail);
    if (!sp_exchange_enter(x, &refused))
        return refused;
    if (sp_request_is_for_us(head))
        return sp_answer(x, 200, SP_REFUSAL_none, NULL);
    if (!sp_exchange_set_out(x, &refused))
        return refused;
    sp_retry_begin(x);
    x->step = SP_STEP_CONNECT;
    return SP_NEXT_STEP;
}

/* ---- SEND ---- */

/* What a new connection says before it was asked is no answer (RFC 9112 §9.2). One that was kept is looked at
 * when it is taken. */
static bool speaks_unasked(struct sp_exchange *x, struct sp_fault *fault)
{
    struct sp_stream *up = x->up->stream;
    const struct sp_head *none;

    return !x->up->reused && up->ops->recv_head(up, &none, fault) == SP_FAIL;
}

static enum sp_next step_send(struct sp_exchange *x)
{
    struct sp_stream *up = x->up->stream;
    struct sp_head_out out;
    struct sp_fault fault = {0};
    struct sp_err err = {0};

    if (speaks_unasked(x, &fault))
        return sp_exchange_backend_failed(x, fault.reason, fault.status, fault.detail);
    if (sp_request_head_out(x, &out, &err) != SP_OK) {
        sp_exchange_leave_backend(x);
        if (err.sys == ENOMEM)
            return sp_answer(x, 503, SP_REFUSAL_overloaded, "no memory for the identity headers");
        if (err.sys == EMSGSIZE)
            return sp_answer(
                x, 431, SP_REFUSAL_identity_too_large, "the request head with its identity is over 32 KiB");
        return sp_answer(x, 403, SP_REFUSAL_identity_not_expressible, sp_exchange_own_detail(x, err.text));
    }
    enum sp_rc rc = up->ops->send_head(up, &out);
    if (rc == SP_AGAIN)
        return sp_exchange_backend_failed(x, SP_REFUSAL_overloaded, 503, "no memory for the request's head");
    if (rc != SP_OK) {
        sp_exchange_leave_backend(x);
        return sp_answer(
            x, 431, SP_REFUSAL_identity_too_large, "the request head with its identity is over 32 KiB");
    }
    x->sent_us = x->connect_us;
    if (x->request == SP_HALF_DONE &&
        (up->ops->send_end(up, NULL, 0) != SP_OK || up->ops->flush(up) == SP_FAIL))
        return sp_exchange_backend_failed(x, SP_REFUSAL_backend_closed, 502, "it took no request");
    x->step = x->kept.len > 0 ? SP_STEP_REPLAY : SP_STEP_RELAY;
    return SP_NEXT_STEP;
}

enum sp_next sp_exchange_backend_failed(
    struct sp_exchange *x, enum sp_refusal reason, unsigned status, const char *detail)
{
    bool is_ours = reason == SP_REFUSAL_overloaded;

    if (!x->answered && !is_ours && !sp_retry_is_stale(x, reason))
        sp_upconn_failed(x->up, sp_refusal_name(reason));
    if (sp_retry_may(x, reason)) {
        enum sp_next next = sp_connect_next(x, reason, status, detail);
        sp_retry_again(x);
        return next;
    }
    sp_exchange_leave_backend(x);
    sp_session_wait(x->session, SP_WAIT_NOTHING, 0, false);
    if (!x->answered)
        return sp_answer(x, is_ours ? 503 : status, reason, detail);
    sp_exchange_abandon(x, reason, detail);
    return SP_NEXT_CUT;
}

enum sp_next sp_exchange_refuse(
    struct sp_exchange *x, unsigned status, enum sp_refusal reason, const char *detail)
{
    if (!x->session->is_tcp)
        return sp_answer(x, status, reason, detail);
    sp_exchange_abandon(x, reason, detail);
    return SP_NEXT_CUT;
}

/* ---- FLUSH, DONE ---- */

/* Lets go of everything but the session. */
static void end(struct sp_exchange *x)
{
    struct sp_session *s = x->session;

    if (x->view == NULL)
        return;
    sp_exchange_leave(x);
    sp_record_exchange(x);
    sp_errand_end(&x->errand); /* the record names the endpoint */
    sp_buf_free(&x->preface);
    sp_exchange_unaim(x);
    sp_retry_forget(x);
    sp_tunnel_end(x);
    sp_admit_end(x);
    sp_admit_head_end(s);
    x->deadline_ms = 0;
    sp_meter_sub(s->worker->o.meter, SP_METER_requests_open, 1);
    sp_view_drop(x->view);
    x->view = NULL;
    SP_FREE(x->own_detail);
    if (sp_refusal_when(s->held) == 'R') /* it was the exchange that the brake kept */
        sp_session_release(s);
}

static enum sp_next step_done(struct sp_exchange *x)
{
    struct sp_session *s = x->session;

    sp_exchange_leave_backend(x);
    bool close = x->close || s->leaving;
    end(x);
    if (close || !s->stream->ops->next(s->stream))
        return SP_NEXT_CLOSE;
    sp_session_wait(s, SP_WAIT_NOTHING, 0, false);
    sp_session_move(s); /* it could not while a walk came by */
    sp_exchange_init(x, s);
    return SP_NEXT_STEP;
}

static enum sp_next step_flush(struct sp_exchange *x)
{
    struct sp_session *s = x->session;

    sp_exchange_leave(x); /* before the client can know that it is over, and come again elsewhere */
    s->who->transport->end_follows = x->close || s->leaving;
    switch (s->stream->ops->flush(s->stream)) {
    case SP_OK:
        return step_done(x);
    case SP_AGAIN:
        s->who->transport->end_follows = false;
        if (x->shed) /* it has no block to wait in */
            break;
        sp_session_wait(s, SP_WAIT_CLIENT, s->timeouts.write_ms, false);
        return SP_NEXT_WAIT;
    default:
        break;
    }
    sp_exchange_abandon(x, SP_REFUSAL_client_gone, "it took no more of the answer");
    return SP_NEXT_CUT;
}

void sp_exchange_abandon(struct sp_exchange *x, enum sp_refusal reason, const char *detail)
{
    struct sp_session *s = x->session;

    sp_exchange_leave_backend(x);
    if (x->view == NULL)
        return;
    s->cut = true;
    if (reason == SP_REFUSAL_client_gone && sp_tls_end_reason(s->who->transport) != SP_REFUSAL_none) {
        reason = sp_tls_end_reason(s->who->transport); /* it was us */
        detail = NULL;
    }
    if (x->reason == SP_REFUSAL_none) {
        x->reason = reason;
        x->detail = detail;
        sp_meter_refuse(s->worker->o.meter, reason);
    }
    end(x);
}

/* ---- the loop ---- */

static enum sp_next (*const STEPS[])(struct sp_exchange *x) = {
    [SP_STEP_HEAD] = step_head,
    [SP_STEP_TCP] = sp_tcp_enter,
    [SP_STEP_JUDGE] = step_judge,
    [SP_STEP_CONNECT] = sp_connect,
    [SP_STEP_CONNECTING] = sp_connecting,
    [SP_STEP_SEND] = step_send,
    [SP_STEP_REPLAY] = sp_replay,
    [SP_STEP_RELAY] = sp_relay,
    [SP_STEP_TUNNEL] = sp_tunnel,
    [SP_STEP_FLUSH] = step_flush,
    [SP_STEP_DONE] = step_done,
};

/* Pipelined requests are served one after another, but not more than this in one turn. */
#define STEPS_A_TURN 64

void sp_exchange_run(struct sp_exchange *x)
{
    struct sp_session *s = x->session;

    for (int i = 0; i < STEPS_A_TURN; i++) {
        switch (STEPS[x->step](x)) {
        case SP_NEXT_STEP:
            break;
        case SP_NEXT_WAIT:
            if (x->step == SP_STEP_HEAD)
                sp_session_rest(s);
            return;
        case SP_NEXT_CLOSE:
            sp_session_close(s);
            return;
        case SP_NEXT_CUT:
            sp_session_cut(s);
            return;
        }
    }
    sp_session_go_on(s);
}

static enum sp_next overdue(struct sp_exchange *x)
{
    sp_exchange_leave_backend(x);
    if (!x->answered && !x->session->is_tcp)
        return sp_answer(x, 504, x->deadline_reason, NULL);
    sp_exchange_abandon(x, x->deadline_reason, NULL);
    return SP_NEXT_CUT;
}

/* What a deadline means depends on what was waited for. The loop goes on from the answer, or the session ends. */
static enum sp_next timed_out(struct sp_exchange *x, enum sp_wait wait)
{
    switch (wait) {
    case SP_WAIT_HEAD:
        x->seen = x->session->stream->ops->seen(x->session->stream);
        sp_exchange_begin(x);
        x->close = true;
        return sp_answer(
            x, 408, SP_REFUSAL_request_timeout, "the head was not complete within timeouts.header");
    case SP_WAIT_QUEUE:
        return sp_connect_full(x, SP_REFUSAL_queue_timeout);
    case SP_WAIT_CONNECT:
        sp_upconn_timed_out(x->up);
        return sp_connect_next(x, SP_REFUSAL_connect_timeout, 504, "");
    case SP_WAIT_REQUEST_BODY:
        sp_exchange_leave_backend(x);
        if (!x->answered)
            return sp_answer(
                x, 408, SP_REFUSAL_request_timeout, "nothing of the body came for timeouts.body");
        sp_exchange_abandon(x, SP_REFUSAL_request_timeout, "nothing of the body came for timeouts.body");
        return SP_NEXT_CUT;
    case SP_WAIT_RESPONSE:
        return sp_exchange_backend_failed(x, SP_REFUSAL_response_timeout, 504, NULL);
    case SP_WAIT_TUNNEL:
        sp_exchange_abandon(x, SP_REFUSAL_tunnel_idle, NULL);
        return SP_NEXT_CUT;
    default: /* SP_WAIT_CLIENT */
        sp_exchange_abandon(x, SP_REFUSAL_client_gone, "it took nothing of the answer for timeouts.write");
        return SP_NEXT_CUT;
    }
}

void sp_exchange_timeout(struct sp_exchange *x, enum sp_wait wait)
{
    struct sp_session *s = x->session;

    switch (sp_exchange_is_overdue(x) ? overdue(x) : timed_out(x, wait)) {
    case SP_NEXT_CUT:
        sp_session_cut(s);
        break;
    case SP_NEXT_CLOSE:
        sp_session_close(s);
        break;
    default:
        sp_exchange_run(x);
    }
}
