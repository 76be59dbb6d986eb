/* One connection between accept and a proven identity.
 *
 *      start              edge: SP_AGAIN
 *   (accepted) --> WAITING <-----------+
 *                     |  edge          |
 *                     +------ go on ---+---- SP_OK ----> handed over to a worker
 *                     |                +---- SP_FAIL --> refused: one line, one count; lingers until its alert is read
 *                     +-- deadline ----------------------> refused: handshake_timeout
 *
 * One deadline covers the whole of it, from accept on. Whatever ends it, exactly one of "let in" and "refused"
 * is counted. */
#include <errno.h>
#include <unistd.h>

#include "gate_impl.h"

/* A client that was refused may send on for so long before it is cut. */
#define LINGER_MS 1000

struct handshake {
    struct sp_list link;
    struct sp_grave grave;
    struct sp_gate *gate;
    struct sp_snapshot *snapshot; /* one reference: the TLS contexts are its */
    const struct sp_snapshot_listener *listener;
    struct sp_transport *transport;
    struct sp_watch *watch;
    struct sp_timer *deadline;
    struct sp_addr peer;
    bool refused; /* counted and logged; lingers so that the alert is read */
};

static void free_handshake(struct sp_grave *grave)
{
    struct handshake *h = SP_CONTAINER_OF(grave, struct handshake, grave);

    sp_transport_free(h->transport);
    sp_snapshot_unref(h->snapshot);
    sp_free(h);
}

/* Out of every list and loop; the memory and, if it is still ours, the connection go at the end of the turn. */
static void leave(struct handshake *h)
{
    struct sp_gate *g = h->gate;

    sp_watch_free(h->watch);
    sp_timer_free(h->deadline);
    sp_list_remove(&h->link);
    atomic_fetch_sub_explicit(&g->o.tally->handshakes, 1, memory_order_relaxed);
    sp_meter_sub(g->o.meter, SP_METER_handshakes_open, 1);
    if (h->transport != NULL) {
        atomic_fetch_sub_explicit(&g->o.tally->connections, 1, memory_order_relaxed);
        sp_meter_sub(g->o.meter, SP_METER_connections_open, 1);
    }
    sp_loop_bury(g->o.loop, &h->grave, free_handshake);
}

static void tell(struct handshake *h, const struct sp_tls_refusal *refusal)
{
    char peer[SP_ADDR_TEXT];

    sp_gate_refuse(h->gate, h->listener->config->name, sp_addr_format(&h->peer, peer),
        sp_tls_sni(h->transport), sp_tls_version(h->transport), refusal);
    h->refused = true;
}

/* Told at once; the connection may stay for a moment more. */
static void refuse(struct handshake *h, const struct sp_tls_refusal *refusal)
{
    tell(h, refusal);
    if (sp_tls_linger(h->transport) == SP_AGAIN)
        sp_timer_set(h->deadline, LINGER_MS);
    else
        leave(h);
}

static void let_in(struct handshake *h)
{
    struct sp_gate *g = h->gate;
    struct sp_handover *over = SP_NEW(struct sp_handover);

    if (over == NULL) {
        refuse(h, &(struct sp_tls_refusal){.reason = SP_REFUSAL_out_of_memory});
        return;
    }
    over->identity = sp_tls_take_identity(h->transport);
    over->timeouts = h->listener->config->timeouts;
    strncpy(over->listener, h->listener->config->name, sizeof(over->listener) - 1);
    strncpy(over->sni, sp_tls_sni(h->transport), sizeof(over->sni) - 1);
    strncpy(over->tls, sp_tls_version(h->transport), sizeof(over->tls) - 1);
    sp_addr_format(&h->peer, over->peer);
    over->transport = h->transport;
    h->transport = NULL;
    leave(h);
    sp_meter_add(g->o.meter, SP_METER_handshakes_done, 1);
    sp_handover_post(over, g->o.desks, g->o.desk_count);
}

static void go_on(struct handshake *h)
{
    struct sp_tls_refusal refusal = {.reason = SP_REFUSAL_tls_error};

    switch (sp_tls_handshake(h->transport, &refusal)) {
    case SP_OK:
        let_in(h);
        break;
    case SP_AGAIN:
        break;
    default:
        refuse(h, &refusal);
    }
}

static void on_edge(void *arg, unsigned events)
{
    struct handshake *h = arg;

    sp_transport_ready(h->transport, events);
    if (!h->refused)
        go_on(h);
    else if (sp_tls_linger(h->transport) != SP_AGAIN)
        leave(h);
}

static void on_deadline(void *arg)
{
    struct handshake *h = arg;
    struct sp_tls_refusal refusal = {.reason = SP_REFUSAL_handshake_timeout};

    if (h->refused) {
        leave(h);
        return;
    }
    sp_tls_handshake_expired(h->transport, &refusal);
    refuse(h, &refusal);
}

static void refuse_unborn(struct sp_gate *g, const char *listener, const struct sp_addr *peer, int fd)
{
    char text[SP_ADDR_TEXT];

    sp_gate_refuse(g, listener, sp_addr_format(peer, text), "", "",
        &(struct sp_tls_refusal){.reason = SP_REFUSAL_out_of_memory});
    close(fd);
}

void sp_handshake_start(
    struct sp_gate *g, const struct sp_snapshot_listener *listener, int fd, const struct sp_addr *peer)
{
    struct handshake *h = SP_NEW(struct handshake);

    if (h == NULL) {
        refuse_unborn(g, listener->config->name, peer, fd);
        return;
    }
    h->gate = g;
    h->listener = listener;
    h->peer = *peer;
    h->watch = sp_watch_new(g->o.loop, fd, on_edge, h);
    h->deadline = sp_timer_new(g->o.loop, on_deadline, h);
    if (h->watch != NULL && h->deadline != NULL)
        h->transport = sp_tls_conn_new(listener->tls[g->o.index], fd);
    if (h->transport == NULL) {
        sp_watch_free(h->watch);
        sp_timer_free(h->deadline);
        sp_free(h);
        refuse_unborn(g, listener->config->name, peer, fd);
        return;
    }
    h->snapshot = sp_snapshot_ref(g->snapshot);
    sp_list_append(&g->handshakes, &h->link);
    atomic_fetch_add_explicit(&g->o.tally->handshakes, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&g->o.tally->connections, 1, memory_order_relaxed);
    sp_meter_add(g->o.meter, SP_METER_handshakes_open, 1);
    sp_meter_add(g->o.meter, SP_METER_connections_open, 1);
    sp_timer_set(h->deadline, listener->config->timeouts.handshake_ms);
}

void sp_handshake_drop(struct sp_list *link)
{
    struct handshake *h = SP_CONTAINER_OF(link, struct handshake, link);

    if (!h->refused)
        tell(h, &(struct sp_tls_refusal){.reason = SP_REFUSAL_shutting_down});
    leave(h);
}
