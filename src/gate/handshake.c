/* One connection between accept and a proven identity.
 *
 *   (accepted) --- from proxy_protocol.from ---> HEADER -- bad, none, too late --> refused
 *       |                                           |
 *       | from anywhere else                        | read: the client has an address
 *       v                                           |
 *    SHAKING <--------------------------------------+
 *       |  ^
 *       |  +-- edge: SP_AGAIN
 *       +-- SP_OK ----> proven -- no OCSP -----------------------------------------> handed over to a worker
 *       |                  |                                                              ^
 *       |                  +---> ASKING -- good; ocsp_timeout and ocsp_unreachable: accept +
 *       |                           +----- anything else, client gone ------> refused
 *       +-- SP_FAIL, deadline -----> refused
 *
 *   refused: LINGERING, one line, one count; stays until its alert is read.
 *
 * One deadline covers the handshake, from accept on; asking has its own. What a client sends while it is asked about
 * waits in its socket. Whatever ends it, exactly one of "let in" and "refused" is counted.
 *
 * A client that comes by way of a load balancer is limited by the address of its own, once that is known; the load
 * balancer itself has none of these limits. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "gate_impl.h"
#include "ocsp.h"
#include "sallyport/io/socket.h"

/* A client that was refused may send on for so long before it is cut. */
#define LINGER_MS 1000

enum state { HEADER, SHAKING, ASKING, LINGERING };

struct handshake {
    struct sp_list link;
    struct sp_grave grave;
    struct sp_gate *gate;
    struct sp_snapshot *snapshot; /* one reference: the TLS contexts are its */
    const struct sp_snapshot_listener *listener;
    struct sp_transport *transport;
    struct sp_watch *watch;
    struct sp_timer *deadline;
    struct sp_addr peer;        /* the client; a load balancer's own, while or as long as it names none */
    struct sp_addr via;         /* the load balancer; len 0: none */
    struct sp_addr destination; /* as it says, or our own end; len 0: not known yet */
    uint32_t place;             /* among the addresses */
    uint64_t accepted_ms;       /* monotonic */
    enum state state;
    bool hears_of_room; /* in its socket */
    /* From the end of the handshake on. */
    struct sp_identity *identity; /* owned until it is handed over; NULL: anonymous */
    struct sp_ocsp_wait wait;
};

static void free_handshake(struct sp_grave *grave)
{
    struct handshake *h = SP_CONTAINER_OF(grave, struct handshake, grave);

    sp_transport_free(h->transport);
    sp_identity_free(h->identity);
    sp_snapshot_unref(h->snapshot);
    sp_free(h);
}

/* Out of every list and loop; the memory and, if it is still ours, the connection go at the end of the turn. */
static void leave(struct handshake *h)
{
    struct sp_gate *g = h->gate;

    if (h->state == ASKING)
        sp_ocsp_cancel(&h->wait);
    sp_watch_free(h->watch);
    sp_timer_free(h->deadline);
    sp_list_remove(&h->link);
    sp_addresses_leave(g->o.addresses, h->place);
    atomic_fetch_sub_explicit(&g->o.tally->handshakes, 1, memory_order_relaxed);
    sp_meter_sub(g->o.meter, SP_METER_handshakes_open, 1);
    if (h->transport != NULL) {
        atomic_fetch_sub_explicit(&g->o.tally->connections, 1, memory_order_relaxed);
        sp_meter_sub(g->o.meter, SP_METER_connections_open, 1);
    }
    sp_loop_bury(g->o.loop, &h->grave, free_handshake);
}

static bool is_proxys_own(const struct handshake *h)
{
    return h->via.len != 0 && sp_addr_equal(&h->via, &h->peer);
}

static void tell(struct handshake *h, const struct sp_tls_refusal *refusal)
{
    const struct sp_stranger who = {.listener = h->listener->config->name,
        .peer = &h->peer,
        .via = &h->via,
        .sni = sp_tls_sni(h->transport),
        .tls = sp_tls_version(h->transport)};

    sp_gate_refuse(h->gate, &who, refusal);
    if (!is_proxys_own(h))
        sp_failures_count(h->gate, &h->peer, refusal->reason);
    if (h->state == ASKING)
        sp_ocsp_cancel(&h->wait);
    h->state = LINGERING;
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

/* A resumed client's chain is judged anew, and so it may be remembered like any other. */
static void count_how(struct sp_gate *g, const struct sp_transport *t, const struct sp_handover *over)
{
    sp_meter_add(g->o.meter, SP_METER_handshakes_done, 1);
    if (over->resumed)
        sp_meter_add(g->o.meter, SP_METER_handshakes_resumed, 1);
    if (over->identity != NULL)
        sp_meter_add(
            g->o.meter, sp_tls_is_remembered(t) ? SP_METER_chain_cache_hits : SP_METER_chain_cache_misses, 1);
    if (over->identity != NULL && g->o.without_client_eku != NULL &&
        !sp_identity_has_client_eku(over->identity))
        sp_issuer_counts_add(g->o.without_client_eku, over->identity->issuer);
}

/* There is no alert for this: the handshake is over. The connection is closed in good order, the line says why. In mode tcp it is
 * cut: an end in good order would be taken for the backend's. */
static void refuse_proven(struct handshake *h, enum sp_refusal reason, const char *detail)
{
    struct sp_tls_refusal refusal = {.reason = reason};

    (void)snprintf(refusal.detail, sizeof(refusal.detail), "%s", detail);
    if (h->identity != NULL)
        sp_cert_facts_of_identity(h->identity, &refusal.cert);
    if (h->listener->config->mode != SP_MODE_TCP) {
        refuse(h, &refusal);
        return;
    }
    tell(h, &refusal);
    leave(h);
}

static void let_in(struct handshake *h)
{
    struct sp_gate *g = h->gate;
    char peer[SP_ADDR_TEXT], via[SP_ADDR_TEXT];
    struct sp_handover *over = sp_handover_new(&(struct sp_handover){.identity = h->identity,
        .transport = h->transport,
        .authenticated_at = sp_tls_authenticated_at(h->transport),
        .resumed = sp_tls_is_resumed(h->transport),
        .generation = h->snapshot->generation,
        .accepted_ms = h->accepted_ms,
        .timeouts = h->listener->config->timeouts,
        .mode = h->listener->config->mode,
        .listener = h->listener->config->name,
        .peer = sp_addr_format(&h->peer, peer),
        .via = h->via.len != 0 ? sp_addr_format(&h->via, via) : NULL,
        .sni = sp_tls_sni(h->transport),
        .tls = sp_tls_version(h->transport),
        .source = h->peer,
        .destination = h->destination});

    if (over == NULL) {
        refuse_proven(h, SP_REFUSAL_out_of_memory, "");
        return;
    }
    if (h->destination.len == 0 && sp_socket_local(h->transport->fd, &over->destination) != SP_OK)
        over->destination.len = 0; /* it is gone */
    count_how(g, h->transport, over);
    h->identity = NULL;
    h->transport = NULL;
    leave(h);
    sp_handover_post(over, g->o.desks, g->o.desk_count);
}

/* ---- asking about a client that has proven itself ---- */

static void decide(struct handshake *h, const struct sp_ocsp_answer *answer)
{
    switch (answer->status) {
    case SP_OCSP_GOOD:
        let_in(h);
        break;
    case SP_OCSP_REVOKED:
        refuse_proven(h, SP_REFUSAL_ocsp_revoked, answer->detail);
        break;
    case SP_OCSP_UNKNOWN:
        refuse_proven(h, SP_REFUSAL_ocsp_unknown, answer->detail);
        break;
    default:
        if (!h->wait.auth->ocsp_unreachable_accept) {
            refuse_proven(h, SP_REFUSAL_ocsp_unreachable, answer->detail);
            break;
        }
        sp_ocsp_tell_let_in(h->gate, &h->wait, answer);
        let_in(h);
    }
}

static void on_answer(struct sp_ocsp_wait *w, const struct sp_ocsp_answer *answer)
{
    decide(SP_CONTAINER_OF(w, struct handshake, wait), answer);
}

/* A reset comes as an edge like any other, and may hide behind bytes that nobody reads now. */
static void look_whether_gone(struct handshake *h)
{
    int errnum;

    if (h->transport->peer_ended || sp_socket_connect_result(h->transport->fd, &errnum) == SP_FAIL)
        refuse_proven(h, SP_REFUSAL_client_closed, "while the OCSP responder was asked about it");
}

static void ask(struct handshake *h, const struct sp_config_client_auth *auth)
{
    struct sp_ocsp_answer answer;

    h->wait = (struct sp_ocsp_wait){.snapshot = h->snapshot,
        .trust = h->listener->trusts[sp_tls_host(h->transport)],
        .auth = auth,
        .identity = h->identity,
        .on_answer = on_answer};
    if (sp_ocsp_ask(h->gate, &h->wait, &answer) == SP_OK) {
        decide(h, &answer);
        return;
    }
    h->state = ASKING;
    sp_timer_set(h->deadline, auth->ocsp_timeout_ms);
    look_whether_gone(h);
}

/* The handshake is over. */
static void go_on_proven(struct handshake *h)
{
    const struct sp_config_client_auth *auth =
        &h->listener->config->hosts[sp_tls_host(h->transport)].client_auth;

    h->identity = sp_tls_take_identity(h->transport);
    if (h->identity == NULL || auth->ocsp_url == NULL) {
        let_in(h);
        return;
    }
    ask(h, auth);
}

static void on_edge(void *arg, unsigned events);

/* There is room for all that a handshake sends in any but the smallest of sockets: that it can be written to is news only where it
 * could not. */
static void listen_on(struct handshake *h)
{
    bool waits_for_room = !h->transport->can_write;

    if (h->watch != NULL && (!waits_for_room || h->hears_of_room))
        return;
    sp_watch_free(h->watch);
    h->hears_of_room = waits_for_room;
    h->watch =
        (waits_for_room ? sp_watch_new : sp_watch_new_reading)(h->gate->o.loop, h->transport->fd, on_edge, h);
    if (h->watch != NULL)
        return;
    if (h->state != LINGERING)
        tell(h, &(struct sp_tls_refusal){.reason = SP_REFUSAL_out_of_memory});
    leave(h);
}

static void go_on(struct handshake *h)
{
    struct sp_tls_refusal refusal = {.reason = SP_REFUSAL_tls_error};

    switch (sp_tls_handshake(h->transport, &refusal)) {
    case SP_OK:
        go_on_proven(h);
        break;
    case SP_AGAIN:
        listen_on(h);
        break;
    default:
        refuse(h, &refusal);
    }
}

/* Before anything else of a connection that a load balancer made. */
static void go_on_to_client(struct handshake *h)
{
    struct sp_tls_refusal refusal = {.reason = SP_REFUSAL_bad_proxy_header};
    struct sp_proxied proxied;
    enum sp_rc rc = sp_proxy_header_take(h->transport, &proxied, &refusal);

    if (rc == SP_AGAIN)
        return;
    if (rc == SP_OK && proxied.source.len != 0) {
        h->peer = proxied.source;
        h->destination = proxied.destination;
        struct sp_limit limit = sp_limit_of_address(h->gate, &h->peer, &h->place);
        refusal.reason = limit.reason;
        (void)snprintf(
            refusal.detail, sizeof(refusal.detail), "%s", limit.detail != NULL ? limit.detail : "");
        rc = limit.reason == SP_REFUSAL_none ? SP_OK : SP_FAIL;
    }
    if (rc != SP_OK) {
        refuse(h, &refusal);
        return;
    }
    h->state = SHAKING;
    go_on(h);
}

static void go_on_from(struct handshake *h)
{
    switch (h->state) {
    case HEADER:
        go_on_to_client(h);
        break;
    case SHAKING:
        go_on(h);
        break;
    case ASKING:
        look_whether_gone(h);
        break;
    case LINGERING:
        if (sp_tls_linger(h->transport) != SP_AGAIN)
            leave(h);
    }
}

static void on_edge(void *arg, unsigned events)
{
    struct handshake *h = arg;

    sp_transport_ready(h->transport, events);
    go_on_from(h);
}

static void on_deadline(void *arg)
{
    struct handshake *h = arg;
    struct sp_tls_refusal refusal = {.reason = SP_REFUSAL_handshake_timeout};

    if (h->state == LINGERING) {
        leave(h);
        return;
    }
    if (h->state == ASKING) {
        sp_ocsp_cancel(&h->wait);
        decide(h, &(struct sp_ocsp_answer){.status = SP_OCSP_UNUSABLE,
                      .detail = "the responder did not answer within ocsp_timeout"});
        return;
    }
    if (h->state == HEADER)
        (void)snprintf(refusal.detail, sizeof(refusal.detail), "no whole PROXY protocol header was sent");
    else
        sp_tls_handshake_expired(h->transport, &refusal);
    refuse(h, &refusal);
}

static void refuse_unborn(struct sp_gate *g, const char *listener, const struct sp_comer *comer, int fd)
{
    const struct sp_stranger who = {
        .listener = listener, .peer = &comer->peer, .via = comer->is_proxy ? &comer->peer : NULL};

    sp_addresses_leave(g->o.addresses, comer->place);
    sp_gate_refuse(g, &who, &(struct sp_tls_refusal){.reason = SP_REFUSAL_out_of_memory});
    close(fd);
}

/* False: there is no memory. Nothing of it is in any list then but the connection, which is the caller's. */
static bool equip(struct handshake *h, int fd)
{
    struct sp_gate *g = h->gate;

    h->deadline = sp_timer_new(g->o.loop, on_deadline, h);
    if (h->deadline != NULL)
        h->transport = sp_tls_conn_new(h->listener->tls[g->o.index], fd);
    if (h->transport == NULL)
        sp_timer_free(h->deadline);
    return h->transport != NULL;
}

static void enter(struct handshake *h)
{
    struct sp_gate *g = h->gate;

    h->snapshot = sp_snapshot_ref(g->snapshot);
    sp_list_append(&g->handshakes, &h->link);
    atomic_fetch_add_explicit(&g->o.tally->handshakes, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&g->o.tally->connections, 1, memory_order_relaxed);
    sp_meter_add(g->o.meter, SP_METER_handshakes_open, 1);
    sp_meter_add(g->o.meter, SP_METER_connections_open, 1);
    sp_timer_set(h->deadline, h->listener->config->timeouts.handshake_ms);
}

/* Mostly the first bytes are there, and the client can be answered before the loop knows of it. */
static void begin(struct handshake *h, bool at_once)
{
    if (at_once)
        go_on_from(h);
    if (!sp_list_is_empty(&h->link)) /* it is not over yet */
        listen_on(h);
}

void sp_handshake_start(
    struct sp_gate *g, const struct sp_snapshot_listener *listener, int fd, const struct sp_comer *comer)
{
    struct handshake *h = SP_NEW(struct handshake);

    if (h == NULL) {
        refuse_unborn(g, listener->config->name, comer, fd);
        return;
    }
    h->gate = g;
    h->listener = listener;
    h->peer = comer->peer;
    h->place = comer->place;
    h->state = comer->is_proxy ? HEADER : SHAKING;
    if (comer->is_proxy)
        h->via = comer->peer;
    if (comer->local != NULL)
        h->destination = *comer->local;
    h->accepted_ms = sp_loop_now_ms(g->o.loop);
    if (!equip(h, fd)) {
        sp_free(h);
        refuse_unborn(g, listener->config->name, comer, fd);
        return;
    }
    enter(h);
    begin(h, !comer->is_one_of_many);
}

void sp_handshake_drop(struct sp_list *link)
{
    struct handshake *h = SP_CONTAINER_OF(link, struct handshake, link);

    if (h->state != LINGERING)
        tell(h, &(struct sp_tls_refusal){.reason = SP_REFUSAL_shutting_down});
    leave(h);
}
