/* From TERM to the end: no new connections, answers say Connection: close, exchanges in flight are finished,
 * and after drain_timeout what is left is cut. A second TERM or INT cuts at once. */
#include <inttypes.h>
#include <stdio.h>

#include "daemon_impl.h"

#define LOOK_MS  20
#define GRACE_MS 500
#define END_MS   15000 /* from the end of the drain to the end of the process: more than it ever takes */

/* A service manager kills who takes longer to stop than its unit says, and tunnels would be cut without a record: it learns that it
 * may take as long as the configuration says. Where the unit allows more than that, this shortens nothing. */
static void tell_manager(uint64_t drain_ms)
{
    char state[80];

    (void)snprintf(
        state, sizeof(state), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64, (drain_ms + END_MS) * 1000);
    sp_notify(state);
}

static void drain_gate(struct sp_mail *m)
{
    struct sp_daemon_gate *g = SP_CONTAINER_OF(m, struct sp_daemon_gate, drain);

    sp_gate_drain(g->gate);
    atomic_fetch_add_explicit(g->drained, 1, memory_order_release);
}

static void drain_worker(struct sp_mail *m)
{
    struct sp_daemon_worker *w = SP_CONTAINER_OF(m, struct sp_daemon_worker, drain);

    sp_worker_drain(w->worker, w->grace_ms);
}

void sp_drain_look(void *daemon)
{
    struct sp_daemon *d = daemon;
    /* In this order: a gate counts the connections of its queue before it says that it has none left. */
    bool queues_empty = atomic_load_explicit(&d->gates_drained, memory_order_acquire) == d->gate_count;
    uint32_t open = atomic_load_explicit(&d->tally.connections, memory_order_relaxed);
    bool late = sp_loop_now_ms(d->loop) >= d->drain_deadline_ms;

    if (d->drained)
        return;
    if ((open > 0 || !queues_empty) && !late) {
        sp_timer_set(d->drain_timer, LOOK_MS);
        return;
    }
    struct sp_log_field fields[] = {SP_LOG_N("cut", open)};
    sp_log_event(d->logger, open > 0 ? SP_LOG_WARN : SP_LOG_INFO, "drained", fields, SP_COUNTOF(fields));
    d->drained = true;
    sp_loop_stop(d->loop);
}

void sp_drain_start(struct sp_daemon *d)
{
    uint64_t drain_ms = d->snapshot->config->drain_ms;

    if (d->draining) {
        d->drain_deadline_ms = 0;
        sp_drain_look(d);
        return;
    }
    d->draining = true;
    d->ready = false;
    tell_manager(drain_ms);
    struct sp_log_field fields[] = {
        SP_LOG_N("connections", atomic_load_explicit(&d->tally.connections, memory_order_relaxed))};
    sp_log_event(d->logger, SP_LOG_INFO, "draining", fields, SP_COUNTOF(fields));
    d->drain_deadline_ms = sp_loop_now_ms(d->loop) + drain_ms;
    sp_sockets_forget(d);
    for (unsigned i = 0; i < d->gate_count; i++) {
        d->gates[i].drain.fn = drain_gate;
        d->gates[i].drained = &d->gates_drained;
        sp_loop_post(d->gates[i].thread.loop, &d->gates[i].drain);
    }
    for (unsigned i = 0; i < d->worker_count; i++) {
        d->workers[i].drain.fn = drain_worker;
        d->workers[i].grace_ms = drain_ms / 2 < GRACE_MS ? drain_ms / 2 : GRACE_MS;
        sp_loop_post(d->workers[i].thread.loop, &d->workers[i].drain);
    }
    sp_drain_look(d);
}
