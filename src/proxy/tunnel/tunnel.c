/* Bytes both ways, as they come: after an upgrade, and in mode tcp. Each way goes as far as it can and stops where its reader has
 * nothing or its writer takes nothing; what the writer does not take waits in one block (in a run, if much has come lately), and then
 * nothing more is read, so that a slow side slows the other. An empty way holds no block.
 *
 *   codec's rest --> block <-- reader          reader's end --> all is written --> writer is told (half-close)
 *                      |
 *                      v
 *                    writer
 *
 * A way that has ended leaves the other one alone: the tunnel is over when both have. A side that breaks ends it at once, and the
 * client sees no close_notify, so that what is not complete does not look so. Only a backend that takes no more is heard to
 * its end, which tells whether it broke.
 *
 * A reset that came together with the bytes before it shows in no edge of its own. To ask the kernel after every read would be one call
 * in three, for nothing; so it is left to what is written to that socket next, of which the kernel takes none after a reset. Where
 * nothing is written for a while, the worker's tick makes the tunnel ask, or asks itself if the tunnel is stuck and reads nothing; where
 * nothing will be any more, it asks at once. */
#include "proxy/proxy_impl.h"
#include "sallyport/io/socket.h"

/* What one way moves in one turn of the loop before others have theirs: it stops behind the piece that comes to so much, or
 * behind so many, which may be small. */
#define TURN_BYTES  65536
#define TURN_PIECES 16

enum flow {
    FLOW_WAIT, /* for its reader or its writer */
    FLOW_TURN, /* there is more, but this turn is over */
    FLOW_ENDED,
    FLOW_NO_MEMORY,
    FLOW_READER_BROKE,
    FLOW_WRITER_BROKE
};

/* A side: its transport, and the codec that it had, which may hold bytes of both directions; NULL: none. */
struct side {
    struct sp_transport *transport;
    struct sp_stream *stream;
};

struct flowing {
    struct sp_tunnel_way *way, *back; /* the other one, whose reader is `to` */
    struct side from, to;
    struct sp_worker *worker;
    bool is_bulk;
    uint64_t moved; /* bytes, in this turn */
};

/* ---- one way ---- */

static enum sp_rc write_some(struct flowing *f, const char *bytes, size_t len, size_t *taken)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    enum sp_rc rc = sp_transport_writev(f->to.transport, &iov, 1, taken);

    if (rc == SP_OK) {
        f->moved += *taken;
        f->back->unsure = false;
    }
    return rc;
}

/* What the reader's codec had read before it was no codec any more. */
static enum sp_rc drain_rest(struct flowing *f)
{
    struct sp_slice rest;
    size_t taken;

    if (f->from.stream == NULL)
        return SP_OK;
    while ((rest = sp_h1_rest(f->from.stream)).len > 0) {
        enum sp_rc rc = write_some(f, rest.ptr, rest.len, &taken);
        if (rc != SP_OK)
            return rc;
        sp_h1_drop_rest(f->from.stream, taken);
    }
    return SP_OK;
}

static void give_block(struct sp_worker *worker, struct sp_tunnel_way *w)
{
    sp_pool_give(w->is_run ? &worker->runs : &worker->blocks, w->block);
    w->block = NULL;
}

static bool take_block(struct flowing *f)
{
    struct sp_tunnel_way *w = f->way;

    w->block = f->is_bulk ? sp_run_take(&f->worker->runs, w->lags) : NULL;
    w->is_run = w->block != NULL;
    if (!w->is_run)
        w->block = sp_pool_take(&f->worker->blocks);
    w->lags = false;
    return w->block != NULL;
}

static enum sp_rc drain_block(struct flowing *f)
{
    struct sp_tunnel_way *w = f->way;
    size_t taken;

    while (w->at < w->end) {
        enum sp_rc rc = write_some(f, w->block + w->at, w->end - w->at, &taken);
        if (rc != SP_OK) {
            w->lags = true;
            return rc;
        }
        w->at += taken;
    }
    w->at = w->end = 0;
    give_block(f->worker, w);
    return SP_OK;
}

static enum sp_rc fill_block(struct flowing *f)
{
    struct sp_tunnel_way *w = f->way;
    size_t n = 0;

    if (w->ask_again)
        sp_transport_expect_more(f->from.transport);
    enum sp_rc rc = sp_transport_read(f->from.transport, w->block, w->is_run ? SP_IO_RUN : SP_IO_BLOCK, &n);
    w->ask_again = rc == SP_OK && f->back->write_ended;
    w->unsure = rc == SP_OK && !w->ask_again;
    w->was_dry = w->was_dry || rc == SP_AGAIN;
    w->end = n;
    if (rc != SP_OK)
        give_block(f->worker, w);
    return rc;
}

/* The reader's end goes on to the writer. One that is not there any more has all that it was to have. */
static enum flow end_way(struct flowing *f)
{
    if (sp_transport_shutdown(f->to.transport) == SP_AGAIN)
        return FLOW_WAIT;
    f->way->write_ended = true;
    return FLOW_ENDED;
}

static enum flow starved(struct flowing *f)
{
    f->way->starved = true;
    return sp_transport_flush(f->to.transport) == SP_FAIL ? FLOW_WRITER_BROKE : FLOW_WAIT;
}

static enum flow stopped(enum sp_rc rc)
{
    return rc == SP_AGAIN ? FLOW_WAIT : FLOW_WRITER_BROKE;
}

static enum flow run(struct flowing *f)
{
    struct sp_tunnel_way *w = f->way;
    enum sp_rc rc;

    w->starved = false;
    if (w->write_ended)
        return FLOW_ENDED;
    rc = f->to.stream != NULL ? f->to.stream->ops->flush(f->to.stream) : SP_OK;
    if (rc == SP_OK)
        rc = drain_rest(f);
    for (int i = 0; rc == SP_OK && (rc = drain_block(f)) == SP_OK; i++) {
        if (w->read_ended)
            return end_way(f);
        if (i == TURN_PIECES || f->moved >= TURN_BYTES)
            return FLOW_TURN;
        if (!f->from.transport->can_read && !w->ask_again && w->was_dry)
            return starved(f);
        if (!take_block(f))
            return FLOW_NO_MEMORY;
        switch (fill_block(f)) {
        case SP_OK:
            break;
        case SP_AGAIN:
            return starved(f);
        case SP_EOF:
            w->read_ended = true;
            break;
        default:
            return FLOW_READER_BROKE;
        }
    }
    return stopped(rc);
}

/* ---- both ---- */

static enum sp_next broke(struct sp_exchange *x, enum sp_refusal reason, const char *detail)
{
    sp_exchange_abandon(x, reason, detail);
    return SP_NEXT_CUT;
}

/* What the backend said before it took no more goes on to the client, and then how it ended; what the client still sends is
 * dropped with the connection. If it was the kernel that takes no more, the backend is told, or it would wait for the rest. */
static enum flow run_in(struct sp_tunnel *t, struct flowing *in)
{
    enum flow went = run(in);

    if (went != FLOW_WRITER_BROKE)
        return went;
    (void)!sp_transport_shutdown(in->to.transport);
    t->in.write_ended = true;
    t->out.ask_again = true; /* no edge may be left to come */
    return FLOW_ENDED;
}

static enum sp_next finish(struct sp_exchange *x)
{
    sp_session_wait(x->session, SP_WAIT_NOTHING, 0, false);
    x->step = SP_STEP_DONE;
    return SP_NEXT_STEP;
}

enum sp_next sp_tunnel(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_tunnel *t = &x->tunnel;
    struct side client = {s->who->transport, s->stream}, backend = {x->up->transport, x->up->stream};
    struct flowing in = {.way = &t->in,
        .back = &t->out,
        .from = client,
        .to = backend,
        .worker = s->worker,
        .is_bulk = s->is_bulk};
    struct flowing out = {.way = &t->out,
        .back = &t->in,
        .from = backend,
        .to = client,
        .worker = s->worker,
        .is_bulk = s->is_bulk};

    enum flow went_in = run_in(t, &in), went_out = run(&out);
    x->bytes_in += in.moved;
    x->bytes_out += out.moved;
    sp_meter_add(s->worker->o.meter, SP_METER_tunnel_bytes_in, in.moved);
    sp_meter_add(s->worker->o.meter, SP_METER_tunnel_bytes_out, out.moved);
    if (went_in == FLOW_NO_MEMORY || went_out == FLOW_NO_MEMORY)
        return broke(x, SP_REFUSAL_overloaded, "no memory to relay what comes");
    if (went_in == FLOW_READER_BROKE || went_out == FLOW_WRITER_BROKE || s->reset)
        return broke(x, SP_REFUSAL_client_gone, "it broke the tunnel");
    if (went_out == FLOW_READER_BROKE)
        return broke(x, SP_REFUSAL_backend_closed, "it broke the tunnel");
    if (went_in == FLOW_ENDED && went_out == FLOW_ENDED)
        return finish(x);
    sp_session_moved(s, in.moved + out.moved);
    if (in.moved > 0 && t->spoken)
        sp_session_warm(s);
    t->spoken = t->spoken || in.moved > 0;
    if ((t->in.unsure || t->out.unsure) && sp_list_is_empty(&t->link))
        sp_list_append(&s->worker->unsure, &t->link);
    if (went_in == FLOW_TURN || went_out == FLOW_TURN)
        sp_session_go_on(s);
    sp_session_wait(s, SP_WAIT_TUNNEL, s->timeouts.tunnel_ms, in.moved + out.moved > 0);
    return SP_NEXT_WAIT;
}

enum sp_next sp_tunnel_begin(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_meter_block *meter = s->worker->o.meter;

    if (s->end_reason != SP_REFUSAL_none) /* refused meanwhile: it could only have finished its request */
        return broke(x, s->end_reason, s->end_detail);
    sp_retry_forget(x);
    if (x->up->stream != NULL)
        sp_h1_drop_rest(x->up->stream, 0); /* its blocks go, if there is no rest */
    /* Either may be silent for days, and would hold both descriptors when it is gone without a word. */
    sp_socket_keep_alive(s->who->transport->fd);
    sp_socket_keep_alive(x->up->transport->fd);
    x->close = true;
    x->deadline_ms = 0;
    x->tunnel.open = true;
    sp_list_init(&x->tunnel.link);
    /* What came behind a head was read by its codec, and a reset may have come behind that. */
    x->tunnel.in.ask_again = x->tunnel.out.ask_again = true;
    sp_meter_add(meter, SP_METER_tunnels, 1);
    sp_meter_add(meter, SP_METER_tunnels_open, 1);
    sp_session_wait(s, SP_WAIT_NOTHING, 0, false);
    sp_session_move(s); /* the view may be another one, and its listener gone, since this exchange began */
    sp_tunnel_leave_with_listener(x);
    x->step = SP_STEP_TUNNEL;
    return SP_NEXT_STEP;
}

void sp_tunnel_end(struct sp_exchange *x)
{
    struct sp_tunnel *t = &x->tunnel;
    struct sp_worker *w = x->session->worker;

    give_block(w, &t->in);
    give_block(w, &t->out);
    sp_free(t->told);
    if (t->open) {
        sp_list_remove(&t->link);
        sp_meter_sub(w->o.meter, SP_METER_tunnels_open, 1);
    }
    *t = (struct sp_tunnel){0};
}

/* What was read last is stuck, and behind it nothing is read that could tell. */
static bool is_stuck_and_reset(struct sp_tunnel_way *w, const struct sp_transport *from)
{
    int errnum;

    if (!w->unsure || w->block == NULL)
        return false;
    w->unsure = false; /* what comes from now on has an edge */
    return sp_socket_connect_result(from->fd, &errnum) == SP_FAIL;
}

/* Those that have been answered meanwhile need not; of the others one a turn of the loop. Of a backend that broke all the same there
 * is something left for the client. */
void sp_tunnels_ask(struct sp_worker *w)
{
    SP_LIST_EACH (&w->unsure, link) {
        struct sp_tunnel *t = SP_CONTAINER_OF(link, struct sp_tunnel, link);
        struct sp_session *s = SP_CONTAINER_OF(t, struct sp_exchange, tunnel)->session;

        sp_list_remove(link);
        if (is_stuck_and_reset(&t->in, s->who->transport))
            s->reset = s->who->transport->peer_ended = true;
        t->in.ask_again = t->in.ask_again || t->in.unsure;
        t->out.ask_again = t->out.ask_again || t->out.unsure;
        if (s->reset || t->in.unsure || t->out.unsure)
            sp_loop_defer_behind(w->o.loop, &s->resume);
    }
}

/* As long as a process that stops would leave it. */
void sp_tunnel_leave_with_listener(struct sp_exchange *x)
{
    const struct sp_snapshot *now = x->session->worker->view->snapshot;

    if (!x->tunnel.open || x->deadline_ms != 0 || sp_snapshot_find(now, x->session->who->listener) != NULL)
        return;
    sp_exchange_end_by(x, sp_mono_ms() + now->config->drain_ms, SP_REFUSAL_listener_removed);
}
