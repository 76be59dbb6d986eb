/* One connection to a backend: opening, in use, kept alive, closed.
 *
 *            open                connected            put
 *   (none) --------> CONNECTING ----------> IN USE ----------> IDLE
 *                        |                   ^  |                |
 *                        |                   |  |     reuse      |
 *                        |                   +--|----------------+
 *                        +--- close ------------+---- any edge, or idle for too long ---> (closed)
 *
 * A kept-alive connection owes us nothing: whatever arrives on it (an end, or bytes nobody asked for) closes
 * it. */
#include <errno.h>
#include <unistd.h>

#include "sallyport/io/socket.h"
#include "upstream_impl.h"

static void free_conn(struct sp_grave *g)
{
    struct sp_upconn *c = SP_CONTAINER_OF(g, struct sp_upconn, grave);

    if (c->stream != NULL)
        c->stream->ops->free(c->stream);
    sp_transport_free(c->transport);
    sp_free(c);
}

/* The memory goes at the end of the turn; the descriptor's events stop now. */
static void dispose(struct sp_upconn *c)
{
    sp_watch_free(c->watch);
    c->watch = NULL;
    sp_loop_bury(c->endpoint->owner->loop, &c->grave, free_conn);
}

static void leave_idle(struct sp_upconn *c)
{
    sp_list_remove(&c->link);
    c->idle = false;
    c->endpoint->idle_count--;
    sp_meter_sub(c->endpoint->owner->meter, SP_METER_upstream_idle, 1);
}

/* The edge that tells may still be on its way. Bytes that nobody asked for would be taken for the next answer,
 * and an end would cost a request that may not be repeated; both are worth a system call. */
static bool is_open_and_silent(const struct sp_upconn *c)
{
    char byte;
    size_t n;

    return sp_socket_peek(c->transport->fd, &byte, 1, &n) == SP_AGAIN;
}

static void on_edge(void *arg, unsigned events)
{
    struct sp_upconn *c = arg;

    sp_transport_ready(c->transport, events);
    if (!c->idle) {
        c->on_event(c->arg);
        return;
    }
    /* The edge may be of bytes that were read in this very turn. */
    if ((events & (SP_EV_READ | SP_EV_CLOSED)) == 0 || is_open_and_silent(c))
        return;
    leave_idle(c);
    dispose(c);
}

struct sp_upconn *sp_upconn_open(struct sp_endpoint *ep)
{
    struct sp_upstreams *u = ep->owner;
    struct sp_upconn *c = SP_NEW(struct sp_upconn);
    int fd = -1, errnum;
    enum sp_rc rc;

    if (c == NULL)
        return NULL;
    sp_list_init(&c->link);
    rc = sp_socket_connect(&ep->address, &fd, &errnum);
    if (rc == SP_FAIL)
        goto fail;
    c->connecting = rc == SP_AGAIN;
    c->transport = sp_plain_new(fd);
    if (c->transport == NULL)
        goto fail;
    fd = -1;
    c->stream = sp_h1_new(SP_CLIENT, c->transport, u->blocks, &u->limits);
    c->watch = sp_watch_new(u->loop, c->transport->fd, on_edge, c);
    if (c->stream == NULL || c->watch == NULL)
        goto fail;
    c->endpoint = ep;
    ep->taken++;
    if (!c->connecting)
        sp_meter_add(u->meter, SP_METER_upstream_connects, 1);
    return c;
fail:
    sp_meter_add(u->meter, SP_METER_upstream_connect_failures, 1);
    if (fd >= 0)
        close(fd);
    sp_watch_free(c->watch);
    if (c->stream != NULL)
        c->stream->ops->free(c->stream);
    sp_transport_free(c->transport);
    sp_free(c);
    return NULL;
}

/* The most recently used first: the least likely to be closed, and the rest may age out. */
struct sp_upconn *sp_upconn_reuse(struct sp_endpoint *ep)
{
    struct sp_upconn *c = NULL;

    while (c == NULL) {
        if (sp_list_is_empty(&ep->idle))
            return NULL;
        c = SP_CONTAINER_OF(ep->idle.prev, struct sp_upconn, link);
        leave_idle(c);
        if (!is_open_and_silent(c)) {
            dispose(c);
            c = NULL;
        }
    }
    c->reused = true;
    ep->taken++;
    sp_meter_add(ep->owner->meter, SP_METER_upstream_reuses, 1);
    return c;
}

enum sp_rc sp_upconn_connected(struct sp_upconn *c)
{
    int errnum;

    if (!c->connecting)
        return SP_OK;
    enum sp_rc rc = sp_socket_connect_result(c->transport->fd, &errnum);
    if (rc == SP_OK) {
        c->connecting = false;
        sp_meter_add(c->endpoint->owner->meter, SP_METER_upstream_connects, 1);
    } else if (rc == SP_FAIL) {
        sp_meter_add(c->endpoint->owner->meter, SP_METER_upstream_connect_failures, 1);
    }
    return rc;
}

static void give_up_use(struct sp_upconn *c)
{
    c->endpoint->taken--;
    c->on_event = NULL;
    c->arg = NULL;
}

void sp_upconn_put(struct sp_upconn *c)
{
    struct sp_endpoint *ep = c->endpoint;

    if (!c->stream->ops->next(c->stream) || c->transport->peer_ended || ep->named == 0 ||
        ep->idle_count >= c->max_idle) {
        sp_upconn_close(c);
        return;
    }
    give_up_use(c);
    c->idle = true;
    c->idle_until_ms = sp_loop_now_ms(ep->owner->loop) + c->idle_ms;
    sp_list_append(&ep->idle, &c->link);
    ep->idle_count++;
    sp_meter_add(ep->owner->meter, SP_METER_upstream_idle, 1);
    sp_upstreams_arm_sweep(ep->owner);
}

void sp_upconn_close(struct sp_upconn *c)
{
    if (c == NULL)
        return;
    struct sp_endpoint *ep = c->endpoint;
    give_up_use(c);
    dispose(c);
    sp_endpoint_release(ep);
}

void sp_endpoint_close_idle(struct sp_endpoint *ep, uint64_t now_ms)
{
    SP_LIST_EACH (&ep->idle, it) {
        struct sp_upconn *c = SP_CONTAINER_OF(it, struct sp_upconn, link);
        if (c->idle_until_ms > now_ms)
            continue;
        leave_idle(c);
        dispose(c);
    }
}
