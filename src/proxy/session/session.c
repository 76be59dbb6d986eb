/* One connection that was let in, from the gate's hand-over to its end.
 *
 *   start --> SERVING --(close)--> LINGERING --> (freed)
 *                |                                  ^
 *                +--------------(cut)---------------+
 *
 * While serving, its exchange owns what happens; here are the transport's edges, the one timer, and the two
 * ways to end. */
#include "proxy/proxy_impl.h"
#include "sallyport/io/socket.h"

/* Whoever moved so much at once is likely to have more, and goes behind those who have little. */
#define BULK_BYTES 16384

/* As much as both kernels may hold of what the client sent before it could know: if it is not read, the reset destroys the
 * answer. */
#define LINGER_MS     2000
#define LINGER_BYTES  (16 * 1024 * 1024)
#define LINGER_A_TURN (256 * 1024)

struct sp_session *sp_session_of(struct sp_list *link)
{
    return SP_CONTAINER_OF(link, struct sp_session, link);
}

/* ---- buffers ---- */

/* A client that comes again has its transport's buffers kept, 34 KiB with TLS, so that its requests allocate nothing: the last so
 * many of a worker. Whoever else is idle holds none. */
#define WARM_MAX 128

static void cool(struct sp_session *s)
{
    if (sp_list_is_empty(&s->warm_link))
        return;
    sp_list_remove(&s->warm_link);
    s->worker->warm_count--;
}

void sp_session_warm(struct sp_session *s)
{
    struct sp_worker *w = s->worker;

    if (sp_list_is_empty(&s->warm_link)) {
        sp_transport_keep_buffers(s->who->transport, true);
        w->warm_count++;
    }
    sp_list_remove(&s->warm_link);
    sp_list_append(&w->warm, &s->warm_link);
    if (w->warm_count <= WARM_MAX)
        return;
    struct sp_session *coldest = SP_CONTAINER_OF(w->warm.next, struct sp_session, warm_link);
    cool(coldest);
    sp_transport_keep_buffers(coldest->who->transport, false);
}

/* ---- the end ---- */

static void free_session(struct sp_grave *grave)
{
    struct sp_session *s = SP_CONTAINER_OF(grave, struct sp_session, grave);

    if (s->stream != NULL)
        s->stream->ops->free(s->stream);
    sp_pool_give(&s->worker->exchanges, s->exchange);
    sp_handover_free(s->who);
    sp_standing_free(s->standing);
    sp_arena_free(&s->arena);
    sp_trust_free(s->trust);
    sp_free(s->end_detail);
    sp_free(s);
}

static void abandon_exchange(struct sp_session *s)
{
    enum sp_refusal reason = s->end_reason != SP_REFUSAL_none ? s->end_reason : SP_REFUSAL_shutting_down;

    if (s->exchange != NULL)
        sp_exchange_abandon(s->exchange, reason, s->end_detail);
}

/* Out of every list and loop now; the memory and the connection go at the end of the turn. */
static void leave(struct sp_session *s)
{
    struct sp_worker *w = s->worker;

    abandon_exchange(s);
    cool(s);
    sp_admit_head_end(s);
    sp_session_uncount(s);
    sp_session_tell_end(s);
    sp_session_release(s);
    sp_wheel_remove(&s->clock);
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
    size_t n, turn_ends = s->lingered + LINGER_A_TURN;
    char dropped[4096];

    while (s->lingered < LINGER_BYTES) {
        if (s->lingered >= turn_ends) {
            sp_loop_defer(s->worker->o.loop, &s->resume);
            return;
        }
        enum sp_rc rc = sp_transport_read(t, dropped, sizeof(dropped), &n);
        if (rc == SP_AGAIN)
            return;
        if (rc != SP_OK)
            break;
        s->lingered += n;
    }
    leave(s);
}

/* A socket that is full takes close_notify only after a writable edge; what the client sends is read meanwhile. */
static void go_on_closing(struct sp_session *s)
{
    if (!s->ended) {
        enum sp_rc rc = sp_transport_shutdown(s->who->transport);
        if (rc == SP_FAIL) {
            leave(s);
            return;
        }
        s->ended = rc == SP_OK;
    }
    linger(s);
}

void sp_session_close(struct sp_session *s)
{
    abandon_exchange(s);
    sp_admit_head_end(s);
    if (s->stream != NULL) /* nothing is left in it; its blocks go */
        s->stream->ops->free(s->stream);
    s->stream = NULL;
    sp_session_tell_end(s);
    sp_session_release(s);
    s->lingering = true;
    sp_session_wait(s, SP_WAIT_LINGER, LINGER_MS, true);
    go_on_closing(s);
}

/* ---- its exchange ---- */

/* What waits for a head waits without one: a kilobyte that an idle connection does not take. False: there is no memory, and the
 * session may be gone. */
static bool wake(struct sp_session *s)
{
    if (s->exchange != NULL)
        return true;
    s->exchange = sp_pool_take(&s->worker->exchanges);
    if (s->exchange == NULL) {
        sp_session_refuse(s, SP_REFUSAL_out_of_memory, "");
        return false;
    }
    sp_exchange_init(s->exchange, s);
    return true;
}

void sp_session_rest(struct sp_session *s)
{
    s->is_bulk = false;
    sp_pool_give(&s->worker->exchanges, s->exchange);
    s->exchange = NULL;
}

static void run(struct sp_session *s)
{
    if (wake(s))
        sp_exchange_run(s->exchange);
}

/* ---- what happens to it ---- */

/* The one timer serves the exchange's end as well. A little later, so that it is past it when the timer fires. */
static uint64_t at_most(const struct sp_session *s, uint64_t ms)
{
    uint64_t deadline_ms = s->exchange != NULL ? s->exchange->deadline_ms : 0, now_ms;

    if (deadline_ms == 0)
        return ms;
    now_ms = sp_mono_ms();
    uint64_t left_ms = (deadline_ms > now_ms ? deadline_ms - now_ms : 0) + 2;
    return left_ms < ms ? left_ms : ms;
}

void sp_session_wait(struct sp_session *s, enum sp_wait wait, uint64_t ms, bool renew)
{
    if (wait == s->wait && !renew)
        return;
    s->wait = wait;
    s->is_due = false;
    if (wait != SP_WAIT_NOTHING)
        sp_timer_set(s->timer, at_most(s, ms));
}

/* What is waited for begins anew; it could have ended no earlier than the exchange began, and that is over soon. */
void sp_session_wait_at_most(struct sp_session *s)
{
    s->is_due = false;
    sp_timer_set(s->timer, at_most(s, s->wait == SP_WAIT_TUNNEL ? s->timeouts.tunnel_ms : UINT32_MAX));
}

/* libevent shows a reset as an ordinary edge. While an exchange reads nothing from its client, no read would
 * find out. */
static bool is_reset(const struct sp_session *s, unsigned events)
{
    const struct sp_exchange *x = s->exchange;
    bool reads = s->lingering || !sp_session_is_busy(s) || s->wait == SP_WAIT_REQUEST_BODY ||
                 (x->step == SP_STEP_TUNNEL && x->tunnel.in.starved);
    int errnum;

    /* SP_AGAIN is a connection that both have ended. */
    return !reads && (events & SP_EV_READ) != 0 &&
           sp_socket_connect_result(s->who->transport->fd, &errnum) == SP_FAIL;
}

void sp_session_go_on(struct sp_session *s)
{
    if (s->is_bulk)
        sp_loop_defer_behind(s->worker->o.loop, &s->resume);
    else
        sp_loop_defer(s->worker->o.loop, &s->resume);
}

void sp_session_moved(struct sp_session *s, uint64_t bytes)
{
    s->is_bulk = bytes >= BULK_BYTES;
}

/* It goes on at the end of the turn, when all edges of the turn have been told: then a backend's connection that has ended is not
 * taken for a request. */
static void on_edge(void *arg, unsigned events)
{
    struct sp_session *s = arg;

    sp_transport_ready(s->who->transport, events);
    if (is_reset(s, events))
        s->reset = s->who->transport->peer_ended = true;
    sp_session_go_on(s);
}

/* A request may have come in just now, its edge still to be told: it is served, and if its answer promised to
 * keep the connection, the next wait is a new one. */
static void close_if_idle(struct sp_session *s)
{
    unsigned served = s->served;

    sp_transport_expect_more(s->who->transport);
    run(s);
    bool is_idle = s->wait == SP_WAIT_IDLE || s->wait == SP_WAIT_LEAVE; /* and so it is still there */
    if (is_idle && s->served == served)
        sp_session_close(s);
}

/* What is waited for may have come: just now, to be told behind this timer, or long ago, when it was the process that stood still;
 * and the session may be behind others. Nobody is to blame before it was looked at. */
static bool may_have_come(struct sp_session *s, enum sp_wait wait)
{
    if (s->is_due && sp_list_is_empty(&s->resume.link))
        return false;
    s->is_due = true;
    s->wait = wait;
    sp_timer_set(s->timer, 1);
    return true;
}

/* Its timer is not stopped when a wait ends well, so that a request costs no timer; it may fire for nothing. */
static void on_timer(void *arg)
{
    struct sp_session *s = arg;
    enum sp_wait wait = s->wait;

    s->wait = SP_WAIT_NOTHING;
    if (!s->lingering && s->exchange != NULL && sp_exchange_is_overdue(s->exchange)) {
        sp_exchange_timeout(s->exchange, wait);
        return;
    }
    switch (wait) {
    case SP_WAIT_NOTHING:
        if (!s->lingering && s->exchange != NULL && s->exchange->deadline_ms != 0)
            sp_session_wait_at_most(s);
        break;
    case SP_WAIT_IDLE:
    case SP_WAIT_LEAVE:
        close_if_idle(s);
        break;
    case SP_WAIT_LINGER:
        leave(s);
        break;
    default:
        if (!may_have_come(s, wait) && wake(s))
            sp_exchange_timeout(s->exchange, wait);
    }
}

static void on_resume(struct sp_task *t)
{
    struct sp_session *s = SP_CONTAINER_OF(t, struct sp_session, resume);

    if (s->lingering)
        go_on_closing(s);
    else
        run(s);
}

/* ---- views ---- */

/* A session whose listener is gone from the configuration keeps the timeouts that it had. */
static void take_view(struct sp_session *s)
{
    s->view = s->worker->view;
    s->view->users++;
    const struct sp_snapshot_listener *l = sp_snapshot_find(s->view->snapshot, s->who->listener);
    s->listener = l;
    if (l != NULL) {
        s->timeouts = l->config->timeouts;
        s->host = sp_config_host_of(l->config, sp_slice_of(s->who->sni));
        s->had_hosts = l->config->host_count > 1;
    } else {
        sp_session_dismiss(s);
    }
}

/* Then it is counted already where it should be. */
static bool has_same_callers(const struct sp_snapshot *a, const struct sp_snapshot *b)
{
    return a->policy == b->policy && a->config == b->config;
}

void sp_session_move(struct sp_session *s)
{
    struct sp_exchange *x = s->exchange;
    bool is_busy = sp_session_is_busy(s), is_tunnel = is_busy && x->tunnel.open;
    uint64_t tunnel_ms = s->timeouts.tunnel_ms;

    if (s->view == s->worker->view || (is_busy && !(is_tunnel && sp_tunnel_pack(x))))
        return;
    bool same = has_same_callers(s->view->snapshot, s->worker->view->snapshot);
    s->rules_changed = s->rules_changed || s->view->snapshot->policy != s->worker->view->snapshot->policy;
    sp_standing_free(s->standing);
    s->standing = NULL;
    sp_identity_lines_forget(s);
    sp_view_drop(s->view);
    take_view(s);
    if (is_tunnel)
        sp_tunnel_unpack(x, same);
    else if (!same)
        (void)!sp_session_recount(s);
    if (s->wait == SP_WAIT_TUNNEL && s->timeouts.tunnel_ms != tunnel_ms)
        sp_session_wait(s, SP_WAIT_TUNNEL, s->timeouts.tunnel_ms, true);
}

void sp_session_trust(struct sp_session *s, struct sp_trust *trust)
{
    if (trust == s->trust)
        return;
    sp_trust_free(s->trust);
    s->trust = trust != NULL ? sp_trust_ref(trust) : NULL;
}

void sp_session_dismiss(struct sp_session *s)
{
    s->leaving = true;
    if (s->wait == SP_WAIT_IDLE)
        sp_session_wait(s, SP_WAIT_LEAVE, s->worker->grace_ms, true);
}

/* ---- the beginning ---- */

static void refuse(struct sp_worker *w, struct sp_session *s, struct sp_handover *h)
{
    struct sp_log_field fields[] = {
        SP_LOG_W("decision", "refused"), /* the first and the last for the audit */
        SP_LOG_W("reason", sp_refusal_name(SP_REFUSAL_out_of_memory)), SP_LOG_C("listener", h->listener),
        SP_LOG_C("peer", h->peer), SP_LOG_C("via", h->via[0] != '\0' ? h->via : NULL),
        SP_LOG_N("generation", w->view->snapshot->generation)};

    sp_log_event(w->o.logger, SP_LOG_WARN, "refused", fields + 1, SP_COUNTOF(fields) - 2);
    sp_log_audit(w->o.logger, fields, SP_COUNTOF(fields));
    sp_meter_refuse(w->o.meter, SP_REFUSAL_out_of_memory);
    if (s != NULL) {
        sp_watch_free(s->watch);
        sp_timer_free(s->timer);
        if (s->stream != NULL)
            s->stream->ops->free(s->stream);
        sp_pool_give(&w->exchanges, s->exchange);
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
    s->is_tcp = h->mode == SP_MODE_TCP;
    if (!s->is_tcp)
        s->stream = sp_h1_new(SP_SERVER, h->transport, &w->blocks, &w->limits);
    s->watch = sp_watch_new(w->o.loop, h->transport->fd, on_edge, s);
    s->timer = sp_timer_new(w->o.loop, on_timer, s);
    s->exchange = sp_pool_take(&w->exchanges);
    if ((s->stream == NULL && !s->is_tcp) || s->watch == NULL || s->timer == NULL || s->exchange == NULL) {
        refuse(w, s, h);
        return;
    }
    s->who = h;
    s->timeouts = h->timeouts;
    s->leaving = w->draining;
    s->began_ms = sp_mono_ms();
    s->too_old_s = SP_WHEEL_NEVER;
    sp_wheel_entry_init(&s->clock);
    sp_list_init(&s->warm_link);
    sp_arena_init(&s->arena, 0);
    sp_task_init(&s->resume, on_resume);
    if (!s->is_tcp)
        sp_h1_use_runs(s->stream, &w->runs);
    take_view(s);
    sp_list_append(&w->sessions, &s->link);
    sp_exchange_init(s->exchange, s);
    sp_session_set_clock(s, s->listener);
    if (sp_reach_admits(s) && sp_session_count(s))
        sp_exchange_run(s->exchange); /* bytes that TLS has read already make no edge */
}
