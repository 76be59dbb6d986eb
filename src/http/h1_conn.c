/* The HTTP/1.1 codec over a transport: making, freeing, and the boundary between two exchanges. The halves are
 * in h1_recv.c and h1_send.c; the drawing of their states is in h1_conn.h. */
#include "h1_conn.h"

/* A response that nobody asked for makes a client's connection worthless: it would be taken for the answer to
 * the next request. Bytes may be here already, or in the socket with their edge behind them; an idle socket
 * costs no system call. */
static bool has_unasked_bytes(struct h1 *h)
{
    char byte;
    size_t n = 0;
    return h->in_at != h->in_end ||
           (h->transport->can_read && sp_transport_read(h->transport, &byte, 1, &n) != SP_AGAIN);
}

/* The connection can carry another exchange: both messages are complete and gone, and nobody wants to close. */
static bool is_reusable(struct h1 *h)
{
    if (h->tx != TX_DONE || h->out_at != h->out_end || !h1_recv_is_done(h))
        return false;
    if (h->close || !h->keep_alive)
        return false;
    return h->side == SP_SERVER || !has_unasked_bytes(h);
}

static bool h1_next(struct sp_stream *s)
{
    struct h1 *h = h1_of(s);
    if (!is_reusable(h))
        return false;
    h1_recv_reset(h);
    h->rx = RX_HEAD;
    h->tx = TX_HEAD;
    h->received = h->in_end > 0;
    h->interim = 0;
    h->method = SP_METHOD_OTHER;
    return true;
}

static void h1_free(struct sp_stream *s)
{
    struct h1 *h = h1_of(s);
    h1_recv_give_blocks(h);
    sp_pool_give(h->blocks, h->out);
    sp_free(h);
}

static const struct sp_codec_ops h1_ops = {
    .name = "http/1.1",
    .recv_head = h1_recv_head,
    .seen = h1_seen,
    .recv_body = h1_recv_body,
    .consume = h1_consume,
    .send_head = h1_send_head,
    .trailers = h1_trailers,
    .send_body = h1_send_body,
    .send_end = h1_send_end,
    .flush = h1_flush,
    .next = h1_next,
    .free = h1_free,
};

struct sp_stream *sp_h1_new(enum sp_side side, struct sp_transport *transport, struct sp_pool *blocks,
    const struct sp_h1_limits *limits)
{
    SP_ASSERT(blocks->block_size == SP_IO_BLOCK);
    struct h1 *h = SP_NEW(struct h1);
    if (h == NULL)
        return NULL;
    h->stream.ops = &h1_ops;
    h->side = side;
    h->transport = transport;
    h->blocks = blocks;
    h->limits = *limits;
    if (h->limits.header_bytes > H1_HEAD_MAX)
        h->limits.header_bytes = H1_HEAD_MAX;
    return &h->stream;
}

char *sp_run_take(struct sp_pool *runs, bool lags)
{
    return lags && runs->taken >= runs->max / 2 ? NULL : sp_pool_take(runs);
}

void sp_h1_use_runs(struct sp_stream *s, struct sp_pool *runs)
{
    struct h1 *h = h1_of(s);
    SP_ASSERT(h->run == NULL && runs->block_size == SP_IO_RUN);
    h->runs = runs;
}

bool sp_h1_is_idle(const struct sp_stream *s)
{
    const struct h1 *h = SP_CONTAINER_OF(s, const struct h1, stream);
    return h->rx == RX_HEAD && h->tx == TX_HEAD && h->in_end == 0 && h->out_at == h->out_end;
}

bool sp_h1_has_received(const struct sp_stream *s)
{
    return SP_CONTAINER_OF(s, const struct h1, stream)->received;
}

struct sp_slice sp_h1_rest(const struct sp_stream *s)
{
    const struct h1 *h = SP_CONTAINER_OF(s, const struct h1, stream);
    return h->in_end > h->in_at ? (struct sp_slice){h->in + h->in_at, h->in_end - h->in_at}
                                : (struct sp_slice){NULL, 0};
}

void sp_h1_drop_rest(struct sp_stream *s, size_t n)
{
    struct h1 *h = h1_of(s);
    SP_ASSERT(n <= h->in_end - h->in_at);
    h->in_at += (uint32_t)n;
    if (h->side == SP_CLIENT && h->in_at == h->in_end)
        h1_recv_give_blocks(h);
}
