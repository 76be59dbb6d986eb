/* The two halves of an exchange, both at once: the request's body to the backend, the response to the client.
 * Each half goes as far as it can and stops where its reader has nothing or its writer takes nothing; what is
 * not read is not buffered, so a slow side slows the other, and a body of any size needs the two blocks that a
 * head needs, or a run in place of one. */
#include "proxy/proxy_impl.h"
#include "sallyport/base/clock.h"

/* What one half moves in one turn of the loop before others have theirs: in pieces of so much at most, it stops behind the one that comes
 * to so much in all, or behind so many, which may be small. */
#define TURN_BYTES  65536
#define TURN_PIECES 8

/* What a half came to in this turn. */
enum stop {
    STOP_DONE,    /* it is complete */
    STOP_READER,  /* its reader has nothing */
    STOP_WRITER,  /* its writer takes nothing */
    STOP_TURN,    /* there is more, but this turn is over */
    STOP_EXCHANGE /* the exchange goes on elsewhere: see relay.next */
};

struct relay {
    struct sp_exchange *x;
    bool progress;
    enum sp_next next; /* with STOP_EXCHANGE */
};

static enum stop leave(struct relay *r, enum sp_next next)
{
    r->next = next;
    return STOP_EXCHANGE;
}

static struct sp_slice piece_of(struct sp_slice data)
{
    return sp_slice_sub(data, 0, data.len < TURN_BYTES ? data.len : TURN_BYTES);
}

static enum stop client_gone(struct relay *r, const char *detail)
{
    sp_exchange_abandon(r->x, SP_REFUSAL_client_gone, detail);
    return leave(r, SP_NEXT_CUT);
}

/* ---- request: client to backend ---- */

/* The backend broke or takes no more. It may have answered already (413, say): read on for that. If it was the kernel that takes
 * no more, it is told that no more will come; else it would wait for the rest, and we for it. */
static enum stop backend_takes_no_more(struct relay *r)
{
    r->x->request_broken = true;
    (void)!sp_transport_shutdown(r->x->up->transport);
    return STOP_WRITER;
}

static enum stop end_request(struct relay *r)
{
    struct sp_exchange *x = r->x;
    struct sp_stream *up = x->up->stream;

    enum sp_rc rc = sp_send_request_end(x);
    if (rc == SP_AGAIN)
        return STOP_WRITER;
    x->request = SP_HALF_DONE;
    x->sent_us = sp_mono_us();
    r->progress = true;
    if (rc != SP_OK || up->ops->flush(up) == SP_FAIL)
        return backend_takes_no_more(r);
    return STOP_DONE;
}

static enum stop fault_in_body(struct relay *r, const struct sp_fault *fault)
{
    struct sp_exchange *x = r->x;

    if (fault->reason == SP_REFUSAL_client_gone)
        return client_gone(r, fault->detail);
    sp_upconn_close(x->up);
    x->up = NULL;
    if (!x->answered)
        return leave(r, sp_answer(x, fault->status, fault->reason, fault->detail));
    sp_exchange_abandon(x, fault->reason, fault->detail);
    return leave(r, SP_NEXT_CUT);
}

static bool is_too_large(const struct sp_exchange *x, size_t more)
{
    uint64_t limit = x->view->snapshot->config->limits.body_bytes;

    return limit != 0 && x->bytes_in + more > limit;
}

static enum stop pump_request(struct relay *r)
{
    struct sp_exchange *x = r->x;
    struct sp_stream *down = x->session->stream, *up = x->up->stream;
    struct sp_fault fault = {0};
    struct sp_slice data;
    size_t taken, moved = 0;

    for (int i = 0; i < TURN_PIECES && moved < TURN_BYTES; i++) {
        switch (down->ops->recv_body(down, &data, &fault)) {
        case SP_EOF:
            return end_request(r);
        case SP_AGAIN:
            return up->ops->flush(up) == SP_FAIL ? backend_takes_no_more(r) : STOP_READER;
        case SP_FAIL:
            return fault_in_body(r, &fault);
        case SP_OK:
            break;
        }
        if (is_too_large(x, data.len)) {
            fault = (struct sp_fault){SP_REFUSAL_body_too_large, 413, "the body is over limits.body_bytes"};
            return fault_in_body(r, &fault);
        }
        switch (up->ops->send_body(up, piece_of(data), &taken)) {
        case SP_OK:
            break;
        case SP_AGAIN:
            return STOP_WRITER;
        default:
            return backend_takes_no_more(r);
        }
        sp_retry_keep(x, sp_slice_sub(data, 0, taken));
        down->ops->consume(down, taken);
        x->bytes_in += taken;
        moved += taken;
        r->progress = true;
    }
    return STOP_TURN;
}

static enum stop run_request(struct relay *r)
{
    struct sp_exchange *x = r->x;
    struct sp_stream *up = x->up->stream;

    if (x->request_broken)
        return STOP_WRITER;
    if (x->request == SP_HALF_BODY)
        return pump_request(r);
    switch (up->ops->flush(up)) {
    case SP_OK:
        return STOP_DONE;
    case SP_AGAIN:
        return STOP_WRITER;
    default:
        return backend_takes_no_more(r);
    }
}

/* ---- response: backend to client ---- */

static enum stop backend_fault(struct relay *r, const struct sp_fault *fault)
{
    return leave(r, sp_exchange_backend_failed(r->x, fault->reason, 502, fault->detail));
}

static enum stop flush_client(struct relay *r)
{
    struct sp_stream *down = r->x->session->stream;

    switch (down->ops->flush(down)) {
    case SP_OK:
        return STOP_READER;
    case SP_AGAIN:
        return STOP_WRITER;
    default:
        return client_gone(r, "it took no more of the answer");
    }
}

/* 100 Continue goes to a client that asked for it, once; the others to any that knows them (RFC 9110 §15.2). */
static bool is_for_client(const struct sp_exchange *x, unsigned status)
{
    if (status == 100)
        return x->head->expect_continue && !x->continued;
    return x->head->minor >= 1;
}

/* What the client's codec said to a head of the backend's: that it is too large, or SP_AGAIN. */
static enum stop unsendable(struct relay *r, enum sp_rc rc)
{
    struct sp_fault large = {SP_REFUSAL_response_too_large, 502, "its head is over 32 KiB"};
    struct sp_fault lack = {SP_REFUSAL_overloaded, 503, "no memory for the answer's head"};

    r->x->status = 0;
    return backend_fault(r, rc == SP_AGAIN ? &lack : &large);
}

/* STOP_DONE: the next head may be asked for. One that does not fit what a client has room for is not worth the exchange. */
static enum stop interim(struct relay *r, const struct sp_head *head)
{
    struct sp_exchange *x = r->x;
    struct sp_stream *down = x->session->stream;
    struct sp_head_out out;

    r->progress = true;
    if (!is_for_client(x, head->status))
        return STOP_DONE;
    sp_interim_head_out(x, head, &out);
    enum sp_rc rc = down->ops->send_head(down, &out);
    if (rc != SP_OK)
        return rc == SP_AGAIN ? unsendable(r, rc) : STOP_DONE;
    x->continued = x->continued || head->status == 100;
    enum stop stop = flush_client(r);
    return stop == STOP_READER ? STOP_DONE : stop;
}

/* A client that still sends its body when it hears the answer, or waits for 100 Continue, may or may not send the rest; and the
 * backend may or may not take it. Where the next request begins is then in doubt, so this one is the last. */
static bool leaves_doubt(const struct sp_exchange *x)
{
    return x->request != SP_HALF_DONE || x->request_broken;
}

/* The codec has seen to it that a change was asked for. */
static enum stop upgraded(struct relay *r, const struct sp_head *head)
{
    struct sp_exchange *x = r->x;
    struct sp_stream *down = x->session->stream;
    struct sp_head_out out;

    if (!sp_slice_equal_nocase(head->upgrade, x->upgrade)) {
        struct sp_fault fault = {SP_REFUSAL_bad_upgrade, 502, "101 to a protocol that was not asked for"};
        return backend_fault(r, &fault);
    }
    sp_upconn_went_well(x->up);
    x->response_us = sp_mono_us();
    x->status = head->status;
    sp_response_head_out(x, head, &out);
    out.close = false; /* what comes is no exchange any more */
    enum sp_rc rc = down->ops->send_head(down, &out);
    if (rc != SP_OK)
        return unsendable(r, rc);
    x->answered = true;
    x->response = SP_HALF_DONE;
    return leave(r, sp_tunnel_begin(x));
}

static enum stop final(struct relay *r, const struct sp_head *head)
{
    struct sp_exchange *x = r->x;
    struct sp_stream *down = x->session->stream;
    struct sp_head_out out;

    sp_upconn_went_well(x->up);
    x->response_us = sp_mono_us();
    x->status = head->status;
    x->response_head = head;
    x->close = x->close || x->session->leaving || leaves_doubt(x);
    sp_response_head_out(x, head, &out);
    enum sp_rc rc = down->ops->send_head(down, &out);
    if (rc != SP_OK)
        return unsendable(r, rc);
    x->answered = true;
    x->response = SP_HALF_BODY;
    r->progress = true;
    return STOP_DONE;
}

/* The codec bounds the interim answers. While one that was passed on waits for the client's socket, the next is not read. */
static enum stop receive_head(struct relay *r)
{
    struct sp_exchange *x = r->x;
    struct sp_stream *up = x->up->stream;
    const struct sp_head *head;
    struct sp_fault fault = {0};

    enum stop stop = flush_client(r);
    if (stop != STOP_READER)
        return stop;
    for (;;) {
        switch (up->ops->recv_head(up, &head, &fault)) {
        case SP_AGAIN:
            return STOP_READER;
        case SP_EOF:
            fault = (struct sp_fault){SP_REFUSAL_backend_closed, 502, "it closed without an answer"};
            return backend_fault(r, &fault);
        case SP_FAIL:
            return backend_fault(r, &fault);
        case SP_OK:
            break;
        }
        sp_retry_forget(x);
        if (head->status >= 200)
            return final(r, head);
        if (head->status == 101)
            return upgraded(r, head);
        stop = interim(r, head);
        if (stop != STOP_DONE)
            return stop;
    }
}

static enum stop end_response(struct relay *r)
{
    struct sp_exchange *x = r->x;

    enum sp_rc rc = sp_send_response_end(x);
    if (rc == SP_AGAIN)
        return STOP_WRITER;
    if (rc != SP_OK)
        return client_gone(r, "the answer could not be completed");
    x->response = SP_HALF_DONE;
    x->close = x->close || x->request != SP_HALF_DONE;
    if (x->request == SP_HALF_DONE && !x->request_broken) { /* not kept waiting by a slow client */
        sp_upconn_put(x->up);
        x->up = NULL;
    }
    x->step = SP_STEP_FLUSH;
    return leave(r, SP_NEXT_STEP);
}

static enum stop pump_response(struct relay *r)
{
    struct sp_exchange *x = r->x;
    struct sp_stream *down = x->session->stream, *up = x->up->stream;
    struct sp_fault fault = {0};
    struct sp_slice data;
    size_t taken, moved = 0;

    for (int i = 0; i < TURN_PIECES && moved < TURN_BYTES; i++) {
        switch (up->ops->recv_body(up, &data, &fault)) {
        case SP_EOF:
            return end_response(r);
        case SP_AGAIN:
            return flush_client(r);
        case SP_FAIL:
            return backend_fault(r, &fault);
        case SP_OK:
            break;
        }
        switch (down->ops->send_body(down, piece_of(data), &taken)) {
        case SP_OK:
            break;
        case SP_AGAIN:
            return STOP_WRITER;
        default:
            return client_gone(r, "it took no more of the answer");
        }
        up->ops->consume(up, taken);
        x->bytes_out += taken;
        moved += taken;
        r->progress = true;
    }
    return STOP_TURN;
}

static enum stop run_response(struct relay *r)
{
    if (r->x->response == SP_HALF_HEAD) {
        enum stop stop = receive_head(r);
        if (stop != STOP_DONE)
            return stop;
    }
    return pump_response(r);
}

/* ---- both ---- */

/* The client said that it sends nothing before 100 Continue, and keeps to that. */
static bool awaits_continue(const struct sp_exchange *x)
{
    return x->head->expect_continue && !x->continued && !x->answered && x->bytes_in == 0;
}

/* Nobody can be blamed for slowness but him who is waited for: first a client that does not take the answer,
 * then one that does not send its body, then the backend. */
static void wait_for(struct relay *r, enum stop request, enum stop response)
{
    struct sp_exchange *x = r->x;
    struct sp_session *s = x->session;
    uint64_t response_ms = x->view->snapshot->config->upstreams[x->decision.upstream].response_ms;

    if (response == STOP_WRITER)
        sp_session_wait(s, SP_WAIT_CLIENT, s->timeouts.write_ms, r->progress);
    else if (request == STOP_READER && !awaits_continue(x))
        sp_session_wait(s, SP_WAIT_REQUEST_BODY, s->timeouts.body_ms, r->progress);
    else
        sp_session_wait(s, SP_WAIT_RESPONSE, response_ms, r->progress);
}

enum sp_next sp_relay(struct sp_exchange *x)
{
    struct relay r = {.x = x};
    struct sp_session *s = x->session;
    uint64_t before = x->bytes_in + x->bytes_out;

    enum stop request = run_request(&r);
    if (request == STOP_EXCHANGE)
        return r.next;
    enum stop response = run_response(&r);
    if (response == STOP_EXCHANGE)
        return r.next;
    sp_session_moved(s, x->bytes_in + x->bytes_out - before);
    if (request == STOP_TURN || response == STOP_TURN) {
        sp_session_go_on(s);
        sp_session_wait(s, SP_WAIT_NOTHING, 0, false);
        return SP_NEXT_WAIT;
    }
    /* Nothing more is read from a client whose request is complete, so its leaving shows only as the kernel's
     * word. */
    if (s->who->transport->peer_ended && request != STOP_READER) {
        sp_exchange_abandon(x, SP_REFUSAL_client_gone, "before the answer was complete");
        return SP_NEXT_CUT;
    }
    wait_for(&r, request, response);
    return SP_NEXT_WAIT;
}
