/* One listening socket. Takes a bounded number of connections a turn, so that no listener starves another or a
 * handshake in progress; pauses for want of descriptors instead of spinning; turns the newest away at the
 * operator's limits. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "gate_impl.h"
#include "sallyport/io/socket.h"

#define ACCEPTS_A_TURN 16
#define PAUSE_MS       100
/* A queue is no longer than this; under a flood it would never be empty. */
#define RETIRE_ACCEPTS 4096

#define NO_DESCRIPTORS "no descriptors left: raise LimitNOFILE or lower limits.connections"

struct sp_acceptor {
    struct sp_list link;
    struct sp_grave grave;
    struct sp_gate *gate;
    struct sp_watch *watch;
    struct sp_timer *pause;
    int fd;
    struct sp_addr local; /* what it is bound to; len 0: any address of this machine */
    char listener[65];
};

struct sp_acceptor *sp_acceptor_of(struct sp_list *link)
{
    return SP_CONTAINER_OF(link, struct sp_acceptor, link);
}

void sp_acceptor_rename(struct sp_acceptor *a, const char *listener)
{
    strncpy(a->listener, listener, sizeof(a->listener) - 1);
}

int sp_acceptor_fd(const struct sp_acceptor *a)
{
    return a->fd;
}

static void turn_away(struct sp_acceptor *a, int fd, const struct sp_comer *comer, struct sp_limit limit)
{
    struct sp_tls_refusal refusal = {.reason = limit.reason};
    const struct sp_stranger who = {
        .listener = a->listener, .peer = &comer->peer, .via = comer->is_proxy ? &comer->peer : NULL};

    strncpy(refusal.detail, limit.detail, sizeof(refusal.detail) - 1);
    sp_gate_refuse(a->gate, &who, &refusal);
    close(fd);
}

/* No descriptors: give up the spare one to tell the first in the queue, and rest. Level-triggered readiness
 * would otherwise come back at once, for ever. Without memory nobody can be told; those in the queue wait. */
static void rest(struct sp_acceptor *a, bool no_descriptors)
{
    struct sp_gate *g = a->gate;
    struct sp_comer comer = {0};
    int fd, errnum;

    sp_meter_add(g->o.meter, SP_METER_accept_paused, 1);
    if (no_descriptors && g->spare_fd >= 0) {
        close(g->spare_fd);
        g->spare_fd = -1;
        if (sp_socket_accept(a->fd, &fd, &comer.peer, &errnum) == SP_OK)
            turn_away(a, fd, &comer, (struct sp_limit){SP_REFUSAL_too_many_connections, NO_DESCRIPTORS});
    }
    if (g->spare_fd < 0)
        g->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sp_watch_disable(a->watch);
    sp_timer_set(a->pause, PAUSE_MS);
}

static void on_pause_over(void *arg)
{
    struct sp_acceptor *a = arg;

    if (a->gate->spare_fd < 0)
        a->gate->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (sp_watch_enable(a->watch) != SP_OK) /* what there was too little of may still be missing */
        sp_timer_set(a->pause, PAUSE_MS);
}

struct sp_limit sp_limit_of_address(struct sp_gate *g, const struct sp_addr *client, uint32_t *place)
{
    unsigned cap = g->snapshot->config->limits.handshakes_per_address;

    if (sp_failures_bar(g, client))
        return (struct sp_limit){SP_REFUSAL_too_many_failures, "limits.handshake_failures"};
    if (sp_addresses_enter(g->o.addresses, client, cap, place) != SP_OK)
        return (struct sp_limit){SP_REFUSAL_too_many_from_address, "limits.handshakes_per_address"};
    return (struct sp_limit){SP_REFUSAL_none, NULL};
}

/* The address comes last: its place is taken only for who is let on. A load balancer's own address has no limits; its
 * client's has them once it is known. */
static struct sp_limit over_limit(struct sp_gate *g, struct sp_comer *comer)
{
    const struct sp_config_limits *limits = &g->snapshot->config->limits;
    uint32_t connections = atomic_load_explicit(&g->o.tally->connections, memory_order_relaxed);
    uint32_t handshakes = atomic_load_explicit(&g->o.tally->handshakes, memory_order_relaxed);

    if (connections >= limits->connections)
        return (struct sp_limit){SP_REFUSAL_too_many_connections, "limits.connections"};
    if (g->o.tally->room != 0 && connections >= g->o.tally->room)
        return (struct sp_limit){SP_REFUSAL_too_many_connections, NO_DESCRIPTORS};
    if (handshakes >= limits->handshakes)
        return (struct sp_limit){SP_REFUSAL_too_many_handshakes, "limits.handshakes"};
    if (comer->is_proxy)
        return (struct sp_limit){SP_REFUSAL_none, NULL};
    return sp_limit_of_address(g, &comer->peer, &comer->place);
}

/* SP_OK: one was taken. SP_AGAIN: nobody waits. SP_FAIL: no descriptors or no memory, *errnum. */
static enum sp_rc accept_one(struct sp_acceptor *a, bool is_one_of_many, int *errnum)
{
    struct sp_gate *g = a->gate;
    struct sp_comer comer = {.local = a->local.len != 0 ? &a->local : NULL, .is_one_of_many = is_one_of_many};
    int fd;
    enum sp_rc rc = sp_socket_accept(a->fd, &fd, &comer.peer, errnum);

    if (rc != SP_OK)
        return rc;
    sp_meter_add(g->o.meter, SP_METER_connections_accepted, 1);
    const struct sp_snapshot_listener *listener = sp_snapshot_find(g->snapshot, a->listener);
    struct sp_limit limit = {SP_REFUSAL_shutting_down, "the listener is going away"};
    if (listener != NULL) {
        comer.is_proxy = sp_snapshot_is_proxy(listener, &comer.peer);
        limit = over_limit(g, &comer);
    }
    if (limit.reason != SP_REFUSAL_none)
        turn_away(a, fd, &comer, limit);
    else
        sp_handshake_start(g, listener, fd, &comer);
    return SP_OK;
}

static void on_readable(void *arg, unsigned events)
{
    struct sp_acceptor *a = arg;
    int errnum;

    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        enum sp_rc rc = accept_one(a, false, &errnum);
        if (rc == SP_AGAIN)
            return;
        if (rc == SP_FAIL) {
            rest(a, errnum == EMFILE || errnum == ENFILE);
            return;
        }
    }
}

static void free_acceptor(struct sp_grave *grave)
{
    sp_free(SP_CONTAINER_OF(grave, struct sp_acceptor, grave));
}

struct sp_acceptor *sp_acceptor_new(struct sp_gate *g, const char *listener, int fd)
{
    struct sp_acceptor *a = SP_NEW(struct sp_acceptor);

    if (a == NULL)
        return NULL;
    a->gate = g;
    a->fd = fd;
    if (sp_socket_local(fd, &a->local) != SP_OK || sp_addr_is_any(&a->local))
        a->local.len = 0;
    strncpy(a->listener, listener, sizeof(a->listener) - 1);
    a->watch = sp_watch_new_level(g->o.loop, fd, on_readable, a);
    a->pause = sp_timer_new(g->o.loop, on_pause_over, a);
    if (a->watch == NULL || a->pause == NULL) {
        sp_watch_free(a->watch);
        sp_timer_free(a->pause);
        sp_free(a);
        return NULL;
    }
    sp_list_append(&g->acceptors, &a->link);
    return a;
}

void sp_acceptor_retire(struct sp_acceptor *a)
{
    int errnum;

    for (int i = 0; i < RETIRE_ACCEPTS && accept_one(a, true, &errnum) == SP_OK; i++)
        ;
    sp_watch_free(a->watch);
    sp_timer_free(a->pause);
    close(a->fd);
    sp_list_remove(&a->link);
    sp_loop_bury(a->gate->o.loop, &a->grave, free_acceptor);
}
