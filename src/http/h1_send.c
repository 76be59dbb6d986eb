/* The sending half of the HTTP/1.1 codec. What is small waits in the output block, so that a head, its body and
 * its end leave in one write; what is large goes straight from the caller's memory, with whatever waits in
 * front of it in the same write.
 *
 * A chunk's size is announced before it is known how much of it the kernel takes: `chunk_left` remembers the
 * rest, which the caller offers again. Bytes of ours that were not taken (the end of a size line, a CRLF) stay
 * in the block, which always keeps OUT_RESERVE bytes for them. */
#include "h1_conn.h"
#include "syntax.h"

#define SMALL_DATA  4096
#define OUT_RESERVE 64
#define SIZE_LINE   20 /* 16 hex digits, CRLF */

static const char crlf[] = "\r\n";

static uint32_t waiting(const struct h1 *h)
{
    return h->out_end - h->out_at;
}

static bool ensure_out(struct h1 *h)
{
    if (h->out == NULL) {
        h->out = sp_pool_take(h->blocks);
        h->out_at = h->out_end = 0;
    }
    return h->out != NULL;
}

static void release_out(struct h1 *h)
{
    if (waiting(h) == 0) {
        sp_pool_give(h->blocks, h->out);
        h->out = NULL;
        h->out_at = h->out_end = 0;
    }
}

static void compact_out(struct h1 *h)
{
    if (h->out_at > 0) {
        memmove(h->out, h->out + h->out_at, waiting(h));
        h->out_end -= h->out_at;
        h->out_at = 0;
    }
}

static enum sp_rc tx_broken(struct h1 *h)
{
    h->tx = TX_BROKEN;
    return SP_FAIL;
}

/* There is room; see OUT_RESERVE. */
static void append(struct h1 *h, const char *bytes, size_t len)
{
    if (SP_IO_BLOCK - h->out_end < len)
        compact_out(h);
    SP_ASSERT(SP_IO_BLOCK - h->out_end >= len);
    if (len > 0)
        memcpy(h->out + h->out_end, bytes, len);
    h->out_end += (uint32_t)len;
}

/* Writes what waits until it is gone. */
static enum sp_rc push(struct h1 *h)
{
    while (waiting(h) > 0) {
        struct iovec iov = {h->out + h->out_at, waiting(h)};
        size_t taken = 0;
        enum sp_rc rc = sp_transport_writev(h->transport, &iov, 1, &taken);
        if (rc == SP_AGAIN)
            return SP_AGAIN;
        if (rc != SP_OK)
            return tx_broken(h);
        h->out_at += (uint32_t)taken;
    }
    return SP_OK;
}

/* ---- heads ---- */

/* Which framing a message has on the wire, and which lines say so. False: it cannot be said. */
static bool plan_framing(
    const struct h1 *h, const struct sp_head_out *head, struct h1_head_plan *plan, enum sp_framing *body)
{
    bool response = h->side == SP_SERVER;
    bool bodyless = response && (head->status < 200 || head->status == 204);
    bool described = response && (h->method == SP_METHOD_HEAD || head->status == 304);
    *plan = (struct h1_head_plan){.close = head->close};
    *body = bodyless || described ? SP_FRAMING_NONE : head->framing;
    if (bodyless)
        return true;
    switch (head->framing) {
    case SP_FRAMING_NONE:
        /* without a length a response would end with the connection */
        plan->length = head->announce_length || (response && !described);
        return described || !plan->length || head->content_length == 0;
    case SP_FRAMING_LENGTH:
        plan->length = true;
        return true;
    case SP_FRAMING_CHUNKED:
        plan->chunked = true;
        return true;
    case SP_FRAMING_CLOSE:
        plan->close = plan->close || !described;
        return response;
    }
    return false;
}

static bool is_allowed_head(const struct h1 *h, const struct sp_head_out *head)
{
    if (h->tx != TX_HEAD || (h->side == SP_CLIENT) != (head->method.ptr != NULL))
        return false;
    if (h->side == SP_CLIENT) /* an answer that was there before its request is none */
        return h->in_end == 0 && h->rx == RX_HEAD;
    return !head->expect_continue && !head->te_trailers &&
           (head->status == 101) == (head->upgrade.ptr != NULL);
}

enum sp_rc h1_send_head(struct sp_stream *s, const struct sp_head_out *head)
{
    struct h1 *h = h1_of(s);
    struct h1_head_plan plan;
    enum sp_framing framing;
    /* a head that is refused leaves nothing behind: another one may be sent in its place */
    if (!is_allowed_head(h, head) || !plan_framing(h, head, &plan, &framing))
        return SP_FAIL;
    if (!ensure_out(h))
        return SP_AGAIN;
    compact_out(h);
    size_t kept = SP_IO_BLOCK - OUT_RESERVE, room = h->out_end < kept ? kept - h->out_end : 0;
    size_t len = h1_write_head(h->out + h->out_end, room, head, &plan);
    if (len == 0)
        return SP_FAIL;
    h->out_end += (uint32_t)len;
    if (h->side == SP_SERVER && head->status < 200) { /* the final head is still to come, but for 101 */
        h->tx = head->status == 101 ? TX_DONE : TX_HEAD;
        h->close = h->close || head->status == 101;
        return SP_OK;
    }
    if (h->side == SP_CLIENT) {
        h->method = sp_method_of(head->method);
        h->asked_upgrade = head->upgrade.ptr != NULL;
    }
    h->close = h->close || plan.close;
    h->framing = framing;
    h->left = framing == SP_FRAMING_LENGTH ? head->content_length : 0;
    h->chunk_left = 0;
    h->tx = TX_BODY;
    return SP_OK;
}

/* ---- bodies ---- */

static size_t write_size_line(char out[SIZE_LINE], size_t size)
{
    char digits[16];
    size_t n = sizeof(digits);
    do {
        digits[--n] = "0123456789abcdef"[size & 15];
        size >>= 4;
    } while (size > 0);
    size_t len = sizeof(digits) - n;
    memcpy(out, digits + n, len);
    out[len] = '\r';
    out[len + 1] = '\n';
    return len + 2;
}

/* The pieces of one write: what waits, the size line, data, CRLF. */
struct piece {
    char line[SIZE_LINE];
    size_t line_len;
    struct sp_slice data;
    bool crlf; /* data ends a chunk */
};

/* Of `data`, what can be said in one go: a whole new chunk, or the rest of the one that was announced. */
static void make_piece(const struct h1 *h, struct sp_slice data, struct piece *p)
{
    p->data = data;
    p->line_len = 0;
    p->crlf = false;
    if (h->framing != SP_FRAMING_CHUNKED)
        return;
    if (h->chunk_left == 0)
        p->line_len = write_size_line(p->line, data.len);
    else if (data.len > h->chunk_left)
        p->data.len = (size_t)h->chunk_left;
    p->crlf = h->chunk_left == 0 || p->data.len == h->chunk_left;
}

/* `taken` bytes of the piece's data are gone; `line_begun` when its chunk was announced. */
static void account(struct h1 *h, const struct piece *p, size_t taken, bool line_begun)
{
    if (h->framing == SP_FRAMING_LENGTH)
        h->left -= taken;
    if (h->framing != SP_FRAMING_CHUNKED)
        return;
    if (line_begun)
        h->chunk_left = p->data.len;
    h->chunk_left -= taken;
}

static bool fits_small(const struct h1 *h, const struct piece *p)
{
    return p->data.len <= SMALL_DATA && waiting(h) + p->line_len + p->data.len + OUT_RESERVE <= SP_IO_BLOCK;
}

static void append_piece(struct h1 *h, const struct piece *p)
{
    append(h, p->line, p->line_len);
    append(h, p->data.ptr, p->data.len);
    account(h, p, p->data.len, p->line_len > 0);
    if (p->crlf)
        append(h, crlf, 2);
}

/* How much of the next part of a write `left` covers; `left` goes down by it. */
static size_t part(size_t *left, size_t len)
{
    size_t n = *left < len ? *left : len;
    *left -= n;
    return n;
}

/* `n` bytes of [waiting][line][data][CRLF] are gone: keeps the rest of what is ours. Returns how much of the
 * data went. */
static size_t settle(struct h1 *h, const struct piece *p, size_t n)
{
    h->out_at += (uint32_t)part(&n, waiting(h));
    if (waiting(h) > 0 || (n == 0 && p->line_len > 0))
        return 0; /* the chunk is not announced yet */
    size_t line = part(&n, p->line_len);
    if (line < p->line_len)
        append(h, p->line + line, p->line_len - line);
    size_t data = part(&n, p->data.len);
    account(h, p, data, p->line_len > 0);
    if (p->crlf && data == p->data.len)
        append(h, &crlf[n], 2 - n);
    return data;
}

/* One write of all there is. SP_OK: *taken of the data went, maybe 0. */
static enum sp_rc write_piece(struct h1 *h, const struct piece *p, size_t *taken)
{
    struct iovec iov[4];
    int count = 0;
    if (waiting(h) > 0)
        iov[count++] = (struct iovec){h->out + h->out_at, waiting(h)};
    if (p->line_len > 0)
        iov[count++] = (struct iovec){(void *)(uintptr_t)p->line, p->line_len};
    iov[count++] = (struct iovec){(void *)(uintptr_t)p->data.ptr, p->data.len};
    if (p->crlf)
        iov[count++] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
    size_t n = 0;
    enum sp_rc rc = sp_transport_writev(h->transport, iov, count, &n);
    if (rc == SP_AGAIN)
        return SP_AGAIN;
    if (rc != SP_OK)
        return tx_broken(h);
    *taken = settle(h, p, n);
    return SP_OK;
}

/* More than was announced, or a body where there is none. */
static bool is_too_much(const struct h1 *h, size_t len)
{
    return h->framing == SP_FRAMING_NONE || (h->framing == SP_FRAMING_LENGTH && len > h->left);
}

enum sp_rc h1_send_body(struct sp_stream *s, struct sp_slice data, size_t *taken)
{
    struct h1 *h = h1_of(s);
    struct piece p;
    *taken = 0;
    if (h->tx != TX_BODY)
        return tx_broken(h);
    if (data.len == 0)
        return SP_OK;
    if (is_too_much(h, data.len) || !ensure_out(h))
        return tx_broken(h);
    for (;;) {
        make_piece(h, data, &p);
        if (fits_small(h, &p)) {
            append_piece(h, &p);
            *taken = p.data.len;
            return SP_OK;
        }
        enum sp_rc rc = write_piece(h, &p, taken);
        if (rc != SP_OK || *taken > 0)
            return rc;
    }
}

/* The last chunk and the trailers. They are written when there is room for all of them, which an empty block has. */
static enum sp_rc send_last_chunk(struct h1 *h, const struct sp_line *trailers, size_t count)
{
    if (!ensure_out(h))
        return tx_broken(h);
    compact_out(h);
    size_t len = h1_write_trailers(h->out + h->out_end, SP_IO_BLOCK - h->out_end, trailers, count);
    if (len == 0 && waiting(h) > 0) {
        enum sp_rc rc = push(h);
        if (rc != SP_OK)
            return rc;
        h->out_at = h->out_end = 0;
        len = h1_write_trailers(h->out, SP_IO_BLOCK, trailers, count);
    }
    if (len == 0)
        return tx_broken(h);
    h->out_end += (uint32_t)len;
    return SP_OK;
}

enum sp_rc h1_send_end(struct sp_stream *s, const struct sp_line *trailers, size_t trailer_count)
{
    struct h1 *h = h1_of(s);
    bool fewer = h->framing == SP_FRAMING_LENGTH ? h->left > 0 : h->chunk_left > 0;
    if (h->tx != TX_BODY || fewer)
        return tx_broken(h);
    if (h->framing == SP_FRAMING_CHUNKED) {
        enum sp_rc rc = send_last_chunk(h, trailers, trailer_count);
        if (rc != SP_OK)
            return rc;
    }
    h->tx = TX_DONE;
    return SP_OK;
}

enum sp_rc h1_flush(struct sp_stream *s)
{
    struct h1 *h = h1_of(s);
    if (h->tx == TX_BROKEN)
        return SP_FAIL;
    enum sp_rc rc = push(h);
    if (rc != SP_OK)
        return rc;
    release_out(h);
    rc = sp_transport_flush(h->transport);
    return rc == SP_FAIL ? tx_broken(h) : rc;
}
