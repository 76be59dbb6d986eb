/* One connection that was let in, from the gate's hand-over to its end.
 *
 *   start --> SERVING --(close)--> LINGERING --> (freed)
 *                |                                  ^
 *                +--------------(cut)---------------+
 *
 * While serving, its exchange owns what happens; here are the transport's edges, the one timer, and the two ways to end. */
#include "proxy_impl.h"

#define LINGER_MS    2000
#define LINGER_BYTES (1024 * 1024)

struct sp_session *sp_session_of(struct sp_list *link)
{
    return SP_CONTAINER_OF(link, struct sp_session, link);
}

/* ---- the end ---- */

static void free_session(struct sp_grave *grave)
{
    struct sp_session *s = SP_CONTAINER_OF(grave, struct sp_session, grave);

    if (s->stream != NULL)
        s->stream->ops->free(s->stream);
    sp_handover_free(s->who);
    sp_caller_set_free(&s->callers);
    sp_arena_free(&s->arena);
    sp_free(s);
}

/* Out of every list and loop now; the memory and the connection go at the end of the turn. */
static void leave(struct sp_session *s)
{
    struct sp_worker *w = s->worker;

    sp_exchange_abandon(&s->exchange, SP_REFUSAL_shutting_down, NULL);
    sp_watch_free(s->watch);
    sp_timer_free(s->timer);
    sp_task_cancel(&s->resume);
    sp_list_remove(&s->link);
    if (s->view != NULL)
        sp_view_drop(s->view);
    s->view = NULL;
    sp_loop_bury(w->o.loop, &s->grave, free_session);
    sp_worker_forget(w);
}

void sp_session_cut(struct sp_session *s)
{
    leave(s);
}

/* Reads and drops. Ends with the client's own end, an error, or too much. */
static void linger(struct sp_session *s)
{
    struct sp_transport *t = s->who->transport;
    char dropped[4096];
    size_t n;

    while (s->lingered < LINGER_BYTES) {
        enum sp_rc rc = sp_transport_read(t, dropped, sizeof(dropped), &n);
        if (rc == SP_AGAIN)
            return;
        if (rc != SP_OK)
            break;
        s->lingered += n;
    }
    leave(s);
}

void sp_session_close(struct sp_session *s)
{
    sp_exchange_abandon(&s->exchange, SP_REFUSAL_shutting_down, NULL);
    if (sp_transport_shutdown(s->who->transport) == SP_FAIL) {
        leave(s);
        return;
    }
    s->lingering = true;
    sp_session_wait(s, SP_WAIT_LINGER, LINGER_MS, true);
    linger(s);
}

/* ---- what happens to it ---- */

void sp_session_wait(struct sp_session *s, enum sp_wait wait, uint64_t ms, bool renew)
{
    if (wait == s->wait && !renew)
        return;
    s->wait = wait;
    if (wait != SP_WAIT_NOTHING)
        sp_timer_set(s->timer, ms);
}

static void on_edge(void *arg, unsigned events)
{
    struct sp_session *s = arg;

    sp_transport_ready(s->who->transport, events);
    if (s->lingering)
        linger(s);
    else
        sp_exchange_run(&s->exchange);
}

/* A request may have come in just now, its edge still to be told: it is served. */
static void close_if_idle(struct sp_session *s)
{
    s->who->transport->can_read = true;
    sp_exchange_run(&s->exchange);
    if (s->wait == SP_WAIT_IDLE && !s->lingering)
        sp_session_close(s);
}

/* Its timer is not stopped when a wait ends well, so that a request costs no timer; it may fire for nothing. */
static void on_timer(void *arg)
{
    struct sp_session *s = arg;
    enum sp_wait wait = s->wait;

    s->wait = SP_WAIT_NOTHING;
    switch (wait) {
    case SP_WAIT_NOTHING:
        break;
    case SP_WAIT_IDLE:
    case SP_WAIT_LEAVE:
        close_if_idle(s);
        break;
    case SP_WAIT_LINGER:
        leave(s);
        break;
    default:
        sp_exchange_timeout(&s->exchange, wait);
    }
}

static void on_resume(struct sp_task *t)
{
    struct sp_session *s = SP_CONTAINER_OF(t, struct sp_session, resume);

    if (!s->lingering)
        sp_exchange_run(&s->exchange);
}

/* ---- views ---- */

static void find_listener(struct sp_session *s)
{
    const struct sp_snapshot_listener *l = sp_snapshot_find(s->view->snapshot, s->who->listener);

    s->listener = s->who->listener;
    if (l == NULL)
        s->leaving = true; /* its listener is gone from the configuration */
    else
        s->timeouts = l->config->timeouts;
}

static void take_view(struct sp_session *s)
{
    s->view = s->worker->view;
    s->view->users++;
    find_listener(s);
}

void sp_session_move(struct sp_session *s)
{
    if (s->view == s->worker->view || s->exchange.view != NULL)
        return;
    sp_view_drop(s->view);
    sp_caller_set_free(&s->callers);
    take_view(s);
}

void sp_session_drain(struct sp_session *s, uint64_t grace_ms)
{
    s->leaving = true;
    if (s->wait == SP_WAIT_IDLE && sp_h1_is_idle(s->stream))
        sp_session_wait(s, SP_WAIT_LEAVE, grace_ms, true);
}

/* ---- the beginning ---- */

static void refuse(struct sp_worker *w, struct sp_session *s, struct sp_handover *h)
{
    struct sp_log_field fields[] = {SP_LOG_W("reason", sp_refusal_name(SP_REFUSAL_out_of_memory)),
        SP_LOG_C("listener", h->listener), SP_LOG_C("peer", h->peer)};

    sp_log_event(w->o.logger, SP_LOG_WARN, "refused", fields, SP_COUNTOF(fields));
    sp_meter_refuse(w->o.meter, SP_REFUSAL_out_of_memory);
    if (s != NULL) {
        sp_watch_free(s->watch);
        sp_timer_free(s->timer);
        if (s->stream != NULL)
            s->stream->ops->free(s->stream);
        sp_free(s);
    }
    sp_handover_free(h);
    sp_worker_forget(w);
}

void sp_session_start(struct sp_worker *w, struct sp_handover *h)
{
    struct sp_session *s = SP_NEW(struct sp_session);

    if (s == NULL) {
        refuse(w, s, h);
        return;
    }
    s->worker = w;
    s->stream = sp_h1_new(SP_SERVER, h->transport, &w->blocks, &w->limits);
    s->watch = sp_watch_new(w->o.loop, h->transport->fd, on_edge, s);
    s->timer = sp_timer_new(w->o.loop, on_timer, s);
    if (s->stream == NULL || s->watch == NULL || s->timer == NULL) {
        refuse(w, s, h);
        return;
    }
    s->who = h;
    sp_arena_init(&s->arena, 0);
    sp_task_init(&s->resume, on_resume);
    take_view(s);
    sp_list_append(&w->sessions, &s->link);
    sp_exchange_init(&s->exchange, s);
    s->leaving = s->leaving || w->draining;
    sp_exchange_run(&s->exchange); /* bytes that TLS has read already make no edge */
}
