/* The receiving half of the HTTP/1.1 codec: reads into the input block, parses heads in place, hands out body
 * as views, of a run where there is much of it. One transport read at most per call that finds nothing; the deadline of
 * a message is its caller's business. */
#include "h1_conn.h"
#include "syntax.h"

static enum sp_rc broken(
    struct h1 *h, struct sp_fault *fault, enum sp_refusal reason, unsigned status, const char *detail)
{
    h->rx = RX_BROKEN;
    return http_fault(fault, reason, status, detail);
}

/* The connection ended where a message needs more of it. */
static enum sp_rc cut_off(struct h1 *h, struct sp_fault *fault, const char *detail)
{
    if (h->side == SP_SERVER)
        return broken(h, fault, SP_REFUSAL_client_gone, 400, detail);
    return broken(h, fault, SP_REFUSAL_backend_closed, 502, detail);
}

static bool ensure_block(struct h1 *h)
{
    if (h->in == NULL)
        h->in = sp_pool_take(h->blocks);
    return h->in != NULL;
}

static bool ensure_scratch(struct h1 *h)
{
    if (h->scratch != NULL)
        return true;
    h->scratch = sp_pool_take(h->blocks);
    if (h->scratch != NULL)
        sp_h1_parser_reset(&h->scratch->parser);
    return h->scratch != NULL;
}

static void give_block(struct h1 *h)
{
    sp_pool_give(h->blocks, h->in);
    h->in = NULL;
    h->in_at = h->in_end = h->head_len = 0;
}

static void give_run(struct h1 *h)
{
    sp_pool_give(h->runs, h->run);
    h->run = NULL;
}

static enum sp_rc read_into(struct h1 *h, char *at, size_t room, size_t *n)
{
    *n = 0;
    if (h->ask_again)
        sp_transport_expect_more(h->transport);
    h->ask_again = false;
    enum sp_rc rc = sp_transport_read(h->transport, at, room, n);
    if (rc == SP_OK)
        h->received = h->ask_again = true;
    return rc;
}

/* Reads behind what is there. SP_OK: at least one byte more. */
static enum sp_rc fill(struct h1 *h)
{
    size_t n;
    enum sp_rc rc = read_into(h, h->in + h->in_end, SP_IO_BLOCK - h->in_end, &n);
    h->in_end += (uint32_t)n;
    return rc;
}

/* When the input block is used up: nothing of the body is in it. */
static bool take_run(struct h1 *h)
{
    if (h->runs == NULL || sp_h1_body_certain(&h->body) < H1_RUN_LEAST)
        return false;
    h->run = sp_run_take(h->runs, h->lags);
    return h->run != NULL;
}

/* SP_OK: what was read is the view. */
static enum sp_rc fill_run(struct h1 *h)
{
    size_t n, certain = sp_h1_body_certain(&h->body);
    enum sp_rc rc = read_into(h, h->run, certain < SP_IO_RUN ? certain : SP_IO_RUN, &n);
    if (rc != SP_OK) {
        give_run(h);
        return rc;
    }
    sp_h1_body_pass(&h->body, n);
    h->lags = h->offered = false;
    h->run_at = 0;
    h->view_len = (uint32_t)n;
    return SP_OK;
}

static void drop_front(struct h1 *h, uint32_t n)
{
    if (n > 0 && h->in_end > n)
        memmove(h->in, h->in + n, h->in_end - n);
    h->in_end -= n;
    h->in_at = h->head_len = 0;
}

/* A 101 counts only from a backend that was asked for one, and has had the whole request (RFC 9110 §7.8). */
static enum sp_rc take_upgrade(struct h1 *h, struct sp_fault *fault)
{
    if (!h->asked_upgrade)
        return broken(h, fault, SP_REFUSAL_bad_upgrade, 502, "101 without having been asked for");
    if (h->tx != TX_DONE || h->scratch->head.upgrade.ptr == NULL)
        return broken(h, fault, SP_REFUSAL_bad_upgrade, 502,
            h->tx != TX_DONE ? "101 before the request was complete"
                             : "101 without the one Upgrade it needs");
    h->rx = RX_DONE;
    h->close = true;
    return SP_OK;
}

/* A head that is wholly there. The views of it hold until the next message (1xx: the next head). */
static enum sp_rc take_head(struct h1 *h, size_t used, const struct sp_head **head, struct sp_fault *fault)
{
    const struct sp_head *parsed = &h->scratch->head;
    h->head_len = h->in_at = (uint32_t)used;
    *head = parsed;
    if (h->side == SP_CLIENT && parsed->status < 200) {
        if (parsed->status == 101)
            return take_upgrade(h, fault);
        if (++h->interim > H1_INTERIM_MAX)
            return broken(h, fault, SP_REFUSAL_too_many_interim, 502, "more than 16 interim answers");
        return SP_OK;
    }
    if (h->side == SP_SERVER)
        h->method = parsed->method;
    h->keep_alive = parsed->keep_alive;
    sp_h1_body_init(&h->body, parsed->framing, parsed->content_length);
    h->rx = RX_BODY;
    return SP_OK;
}

static enum sp_rc parse_head(struct h1 *h, const struct sp_head **head, struct sp_fault *fault)
{
    struct sp_slice in = {h->in, h->in_end};
    struct h1_scratch *scratch = h->scratch;
    size_t used = 0;
    enum sp_rc rc =
        h->side == SP_SERVER
            ? sp_h1_parse_request(&scratch->parser, &h->limits, in, &scratch->head, &used, fault)
            : sp_h1_parse_response(&scratch->parser, &h->limits, h->method, in, &scratch->head, &used, fault);
    if (rc == SP_OK)
        return take_head(h, used, head, fault);
    if (rc == SP_FAIL)
        h->rx = RX_BROKEN;
    return rc;
}

/* Bytes or an end on a client's connection that carries no request. */
static enum sp_rc recv_unasked(struct h1 *h, struct sp_fault *fault)
{
    char byte;
    size_t n = 0;
    enum sp_rc rc = h->in_end > 0 ? SP_OK : sp_transport_read(h->transport, &byte, 1, &n);
    if (rc == SP_OK)
        return broken(h, fault, SP_REFUSAL_unasked_response, 502, "bytes from the backend before a request");
    if (rc == SP_FAIL)
        return cut_off(h, fault, "the connection broke while it was idle");
    return rc;
}

/* Nothing more can be read while the head is not complete. */
static enum sp_rc head_ended(struct h1 *h, enum sp_rc rc, struct sp_fault *fault)
{
    bool between = h->in_end == 0;
    if (between)
        give_block(h);
    if (rc == SP_AGAIN)
        return SP_AGAIN;
    if (between && h->side == SP_SERVER) {
        h->rx = RX_BROKEN; /* also a reset: nobody is wronged by either */
        return SP_EOF;
    }
    return cut_off(h, fault, "the connection ended inside a head");
}

enum sp_rc h1_recv_head(struct sp_stream *s, const struct sp_head **head, struct sp_fault *fault)
{
    struct h1 *h = h1_of(s);
    if (h->rx != RX_HEAD)
        return broken(h, fault, h->side == SP_SERVER ? SP_REFUSAL_client_gone : SP_REFUSAL_backend_closed,
            h->side == SP_SERVER ? 400 : 502, "the connection is not at the beginning of a message");
    if (h->side == SP_CLIENT && h->tx == TX_HEAD)
        return recv_unasked(h, fault);
    if (!ensure_block(h))
        return broken(h, fault, SP_REFUSAL_overloaded, 503, "no input buffer");
    if (h->head_len > 0) { /* of a 1xx head that was looked at */
        drop_front(h, h->head_len);
        sp_h1_parser_reset(&h->scratch->parser);
    }
    for (;;) {
        enum sp_rc rc = SP_AGAIN;
        if (h->in_end > 0) {
            if (!ensure_scratch(h))
                return broken(h, fault, SP_REFUSAL_overloaded, 503, "no memory for a head");
            rc = parse_head(h, head, fault);
        }
        if (rc != SP_AGAIN)
            return rc;
        rc = fill(h);
        if (rc != SP_OK)
            return head_ended(h, rc, fault);
    }
}

const struct sp_head *h1_seen(struct sp_stream *s)
{
    struct h1 *h = h1_of(s);
    if (h->side != SP_SERVER || h->head_len > 0 || h->in_end == 0 || h->scratch == NULL)
        return NULL;
    sp_h1_seen_request(
        &h->scratch->parser, &h->limits, (struct sp_slice){h->in, h->in_end}, &h->scratch->head);
    h->method = h->scratch->head.method; /* a refused HEAD is answered without a body too */
    return &h->scratch->head;
}

/* A fault in the body; the reader speaks of requests. */
static enum sp_rc bad_body(struct h1 *h, struct sp_fault *fault)
{
    h->rx = RX_BROKEN;
    if (h->side == SP_CLIENT)
        return http_fault(fault, SP_REFUSAL_bad_response_chunk, 502, fault->detail);
    return SP_FAIL;
}

static void end_body(struct h1 *h, struct sp_slice trailers)
{
    h->rx = RX_DONE;
    h->trailers_len = (uint32_t)trailers.len;
    h->trailers_at = trailers.len > 0 ? (uint32_t)(trailers.ptr - h->in) : 0;
}

/* All that is there was used but for trailers, which wait for the rest of theirs: what comes is read behind the head again. */
static void make_room(struct h1 *h)
{
    uint32_t kept = h->in_end - h->in_at;
    if (kept > 0 && h->in_at > h->head_len)
        memmove(h->in + h->head_len, h->in + h->in_at, kept);
    h->in_at = h->head_len;
    h->in_end = h->head_len + kept;
}

/* What the body reader makes of the bytes that are there. On SP_OK the view is at in_at. */
static enum sp_rc scan_body(struct h1 *h, struct sp_fault *fault)
{
    struct sp_slice data, in = {h->in + h->in_at, h->in_end - h->in_at};
    size_t used = 0;
    enum sp_rc rc = sp_h1_body_next(&h->body, in, &used, &data, fault);
    if (rc == SP_OK) {
        h->in_at = (uint32_t)(data.ptr - h->in);
        h->view_len = (uint32_t)data.len;
    } else if (rc == SP_FAIL) {
        return bad_body(h, fault);
    } else {
        h->in_at += (uint32_t)used;
        if (rc == SP_EOF)
            end_body(h, data);
    }
    return rc;
}

enum sp_rc h1_recv_body(struct sp_stream *s, struct sp_slice *data, struct sp_fault *fault)
{
    struct h1 *h = h1_of(s);
    if (h->rx == RX_DONE)
        return SP_EOF;
    if (h->rx != RX_BODY)
        return cut_off(h, fault, "the connection is not inside a body");
    while (h->view_len == 0) {
        enum sp_rc rc = scan_body(h, fault);
        if (rc == SP_OK)
            break;
        if (rc != SP_AGAIN)
            return rc;
        make_room(h);
        rc = take_run(h) ? fill_run(h) : fill(h);
        if (rc == SP_EOF && h->body.framing == SP_FRAMING_CLOSE) {
            h->rx = RX_DONE;
            return SP_EOF;
        }
        if (rc == SP_AGAIN)
            return SP_AGAIN;
        if (rc != SP_OK)
            return cut_off(h, fault, "the connection ended inside a body");
    }
    h->lags = h->lags || (h->run != NULL && h->offered);
    h->offered = true;
    *data = (struct sp_slice){h->run != NULL ? h->run + h->run_at : h->in + h->in_at, h->view_len};
    return SP_OK;
}

void h1_consume(struct sp_stream *s, size_t n)
{
    struct h1 *h = h1_of(s);
    SP_ASSERT(n <= h->view_len);
    h->view_len -= (uint32_t)n;
    if (h->run == NULL) {
        h->in_at += (uint32_t)n;
        return;
    }
    h->offered = false;
    h->run_at += (uint32_t)n;
    if (h->view_len == 0)
        give_run(h);
}

bool h1_recv_is_done(struct h1 *h)
{
    struct sp_fault ignored;
    if (h->rx == RX_BODY && h->view_len == 0)
        (void)scan_body(h, &ignored); /* the end may be there and not have been asked for */
    return h->rx == RX_DONE;
}

size_t h1_trailers(struct sp_stream *s, const struct sp_header **items)
{
    struct h1 *h = h1_of(s);
    *items = NULL;
    if (h->rx != RX_DONE || h->trailers_len == 0)
        return 0;
    *items = h->scratch->trailers;
    return sp_h1_trailers((struct sp_slice){h->in + h->trailers_at, h->trailers_len}, h->scratch->trailers);
}

void h1_recv_give_blocks(struct h1 *h)
{
    give_block(h);
    if (h->run != NULL)
        give_run(h);
    sp_pool_give(h->blocks, h->scratch);
    h->scratch = NULL;
}

void h1_recv_reset(struct h1 *h)
{
    drop_front(h, h->in_at);
    h->trailers_len = 0;
    if (h->in_end > 0) {
        sp_h1_parser_reset(&h->scratch->parser);
        return;
    }
    h1_recv_give_blocks(h);
    h->ask_again = false;
}
