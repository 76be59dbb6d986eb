/* One connection to a backend: opening, in use, kept alive, closed.
 *
 *            open              connected           put
 *   (none) --------> OPENING ----------> IN USE ----------> IDLE, or GIVEN to who waits for it
 *                       |                ^  |                |
 *                       |                |  |  reuse, use    |
 *                       |                +--|----------------+
 *                       +----- close -------+--- any edge, idle for too long, or its slot is wanted ---> (closed)
 *
 * A kept-alive connection owes us nothing: whatever of an application arrives on it (an end, or bytes nobody asked for) closes
 * it. TLS has things of its own to say at any time (tickets): these are read and are no reason.
 *
 * How a connection opens: opening.c. The slot that it holds goes back when its descriptor is closed, never before. */
#include "upstream/pool/conn_impl.h"

#include <unistd.h>

#include "sallyport/io/socket.h"

static struct sp_conn *conn_of(struct sp_upconn *up)
{
    return SP_CONTAINER_OF(up, struct sp_conn, up);
}

/* ---- the end ---- */

/* The slot stays the caller's. */
static void destroy(struct sp_conn *c)
{
    if (c->up.stream != NULL)
        c->up.stream->ops->free(c->up.stream);
    if (c->fd >= 0)
        close(c->fd);
    sp_transport_free(c->up.transport);
    sp_free(c);
}

static void destroy_with_slot(struct sp_conn *c)
{
    struct sp_outlet *o = c->outlet;

    destroy(c);
    sp_slot_release(o->queue, o->endpoint);
    sp_outlet_let_go(o);
}

static void free_buried(struct sp_grave *g)
{
    destroy_with_slot(SP_CONTAINER_OF(g, struct sp_conn, grave));
}

static void leave_idle(struct sp_conn *c)
{
    if (!c->idle)
        return;
    sp_list_remove(&c->link);
    c->idle = false;
    c->outlet->idle_count--;
    sp_meter_sub(c->owner->with.meter, SP_METER_upstream_idle, 1);
}

/* It may be its own callback that ends it: events stop now, the rest goes at the end of the turn. */
static void bury(struct sp_conn *c)
{
    leave_idle(c);
    sp_watch_free(c->watch);
    c->watch = NULL;
    sp_loop_bury(c->owner->with.loop, &c->grave, free_buried);
}

/* Not from within its own callback. */
static void end_now(struct sp_conn *c)
{
    leave_idle(c);
    sp_watch_free(c->watch);
    destroy_with_slot(c);
}

void sp_conn_end_keeping_slot(struct sp_conn *c)
{
    struct sp_outlet *o = c->outlet;

    leave_idle(c);
    sp_watch_free(c->watch);
    destroy(c);
    sp_outlet_let_go(o);
}

/* ---- kept alive ---- */

/* The edge that tells may still be on its way. What TLS says for itself is taken in; what an SSL holds back of an application is in
 * no socket, so that it is the one to ask. */
static bool is_open_and_silent(struct sp_conn *c)
{
    struct sp_transport *t = c->up.transport;
    char byte;
    size_t n;

    if (c->tls != NULL) {
        sp_transport_expect_more(t);
        return sp_transport_read(t, &byte, 1, &n) == SP_AGAIN;
    }
    t->can_read = sp_socket_peek(t->fd, &byte, 1, &n) != SP_AGAIN;
    return !t->can_read;
}

void sp_conn_on_edge(void *arg, unsigned events)
{
    struct sp_conn *c = arg;

    if (c->up.transport != NULL)
        sp_transport_ready(c->up.transport, events);
    else
        c->early_events |= events;
    if (c->on_event != NULL) {
        c->on_event(c->arg);
        return;
    }
    /* The edge may be of bytes that were read in this very turn. One that was given away is looked at by who gets it. */
    if (c->idle && (events & (SP_EV_READ | SP_EV_CLOSED)) != 0 && !is_open_and_silent(c))
        bury(c);
}

/* Whoever asks has been told of all edges before (sessions run behind them), so that what was here when the loop last looked has
 * ended it. What came since, or is on the wire, costs a request that can be repeated nothing but that; for another one it is worth
 * a system call. */
static bool is_fit_for(struct sp_conn *c, const struct sp_tls_client *tls, bool once)
{
    if (once || c->up.transport->can_read || c->up.transport->peer_ended)
        return sp_conn_is_fit(c, tls);
    return c->tls == tls;
}

/* The most recently used first: the least likely to be closed, and the rest may age out. */
struct sp_conn *sp_conn_reuse(struct sp_outlet *o, const struct sp_tls_client *tls, bool once)
{
    while (!sp_list_is_empty(&o->idle)) {
        struct sp_conn *c = SP_CONTAINER_OF(o->idle.prev, struct sp_conn, link);
        leave_idle(c);
        if (is_fit_for(c, tls, once))
            return c;
        end_now(c);
    }
    return NULL;
}

bool sp_conn_is_fit(struct sp_conn *c, const struct sp_tls_client *tls)
{
    return c->tls == tls && is_open_and_silent(c);
}

bool sp_conn_evict(struct sp_outlet *o)
{
    if (sp_list_is_empty(&o->idle))
        return false;
    end_now(SP_CONTAINER_OF(o->idle.next, struct sp_conn, link));
    return true;
}

void sp_conn_close_idle(struct sp_outlet *o, uint64_t now_ms)
{
    o->held++; /* the last connection may be all that holds it */
    SP_LIST_EACH (&o->idle, it) {
        struct sp_conn *c = SP_CONTAINER_OF(it, struct sp_conn, link);
        if (c->idle_until_ms <= now_ms)
            end_now(c);
    }
    sp_outlet_let_go(o);
}

void sp_conn_close_others(struct sp_outlet *o, const struct sp_tls_client *tls)
{
    o->held++;
    SP_LIST_EACH (&o->idle, it) {
        struct sp_conn *c = SP_CONTAINER_OF(it, struct sp_conn, link);
        if (c->tls != tls)
            end_now(c);
    }
    sp_outlet_let_go(o);
}

/* ---- in use ---- */

struct sp_upconn *sp_conn_use(struct sp_conn *c, struct sp_targets *t, const struct sp_errand *e)
{
    if (c->up.reused)
        sp_meter_add(c->owner->with.meter, SP_METER_upstream_reuses, 1);
    c->targets = t;
    c->upstream = e->upstream;
    c->on_event = e->on_event;
    c->arg = e->arg;
    c->told = false;
    t->users++;
    atomic_fetch_add_explicit(&c->outlet->endpoint->requests, 1, memory_order_relaxed);
    return &c->up;
}

static void let_go_of_targets(struct sp_conn *c)
{
    struct sp_targets *t = c->targets;

    c->targets = NULL;
    if (t != NULL)
        sp_targets_let_go(t);
}

/* What `c` was made for may go with this. */
static void give_up_use(struct sp_conn *c)
{
    atomic_fetch_sub_explicit(&c->outlet->endpoint->requests, 1, memory_order_relaxed);
    c->on_event = NULL;
    c->arg = NULL;
    let_go_of_targets(c);
}

void sp_upconn_detach(struct sp_upconn *up)
{
    struct sp_conn *c = conn_of(up);

    SP_ASSERT(c->phase == SP_CONN_OPEN);
    c->told = true;
    if (c->tls != NULL)
        sp_tls_client_conn_detach(up->transport);
    c->tls = NULL;
    let_go_of_targets(c);
}

void sp_upconn_went_well(struct sp_upconn *up)
{
    struct sp_conn *c = conn_of(up);

    if (!c->told)
        sp_endpoint_went_well(c->outlet->endpoint);
    c->told = true;
}

void sp_conn_failed(struct sp_conn *c, const char *how)
{
    if (!c->told)
        sp_endpoint_failed(c->owner->with.roster, c->targets->fleet, c->upstream, c->outlet->endpoint, how);
    c->told = true;
}

void sp_upconn_failed(struct sp_upconn *up, const char *how)
{
    sp_conn_failed(conn_of(up), how);
}

/* `c` is nobody's: is there a use for it? The errand that waits longest comes first; a slot that somebody else waits for, in another
 * worker or for a new connection, is better given up than kept by chance. */
static bool keep(struct sp_conn *c, const struct sp_config_upstream *config)
{
    struct sp_outlet *o = c->outlet;

    if (!sp_queue_is_empty(o->queue)) {
        if (sp_queue_give(o->queue, o->endpoint, c->owner->with.loop, c))
            return true;
        if (sp_queue_wants(o->queue, o->endpoint))
            return false;
    }
    if (o->named == 0 || o->idle_count >= config->max_idle)
        return false;
    c->idle = true;
    c->idle_until_ms = sp_loop_now_ms(c->owner->with.loop) + config->idle_ms;
    sp_list_append(&o->idle, &c->link);
    o->idle_count++;
    sp_meter_add(c->owner->with.meter, SP_METER_upstream_idle, 1);
    sp_upstreams_arm_sweep(c->owner);
    return true;
}

void sp_upconn_put(struct sp_upconn *up)
{
    struct sp_conn *c = conn_of(up);
    SP_ASSERT(c->targets != NULL);
    const struct sp_config_upstream *config = c->targets->items[c->upstream].config;

    if (c->is_private || !up->stream->ops->next(up->stream) || up->transport->peer_ended) {
        sp_upconn_close(up);
        return;
    }
    up->reused = true;
    /* Everything that `config` is part of may go with the use. */
    struct sp_targets *t = c->targets;
    t->users++;
    give_up_use(c);
    if (!keep(c, config))
        bury(c);
    sp_targets_let_go(t);
}

void sp_conn_return(struct sp_conn *c, const struct sp_config_upstream *config)
{
    if (!is_open_and_silent(c) || !keep(c, config))
        end_now(c);
}

void sp_upconn_close(struct sp_upconn *up)
{
    if (up == NULL)
        return;
    struct sp_conn *c = conn_of(up);
    give_up_use(c);
    bury(c);
}
