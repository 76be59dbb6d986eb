/* The worker as a whole: its view of the snapshot, its sessions, and how both change while it runs. */
#include "proxy/proxy_impl.h"

/* Blocks kept for the next taker. How many there may be at all is bounded by what is admitted (admission.c), over all
 * workers; those beside are of answers to whom was not. */
#define BLOCKS_KEPT    64
#define EXCHANGES_KEPT 256 /* a KiB each */
#define BLOCKS_BESIDE  1024

/* Runs make large bodies cheaper and nothing possible, so nobody reserves them: 8 MiB a worker at most, and once they were needed
 * half a MiB. The one that was given back last is taken first, while the CPU's cache still has it. */
#define RUNS_MAX  64
#define RUNS_KEPT 4

/* For a session whose listener is gone; a drain says its own. */
#define GRACE_MS 3000

/* When there was no memory for a new snapshot. */
#define RETRY_MS 500

/* ---- views ---- */

static struct sp_view *view_new(struct sp_worker *w, struct sp_snapshot *snapshot)
{
    struct sp_view *v = SP_NEW(struct sp_view);

    if (v == NULL)
        return NULL;
    v->targets = sp_targets_new(w->upstreams, snapshot->fleet, snapshot->config);
    if (v->targets == NULL) {
        sp_free(v);
        return NULL;
    }
    v->meter = w->o.meter;
    sp_meter_add(v->meter, SP_METER_views, 1);
    v->snapshot = sp_snapshot_ref(snapshot);
    v->has_limits = sp_limits_are_set(snapshot->config);
    v->users = 1;
    return v;
}

void sp_view_drop(struct sp_view *v)
{
    if (--v->users > 0)
        return;
    sp_meter_sub(v->meter, SP_METER_views, 1);
    sp_targets_free(v->targets);
    sp_snapshot_unref(v->snapshot);
    sp_free(v);
}

/* ---- sessions ---- */

static void receive(struct sp_handover *h)
{
    struct sp_worker *w = h->desk->worker;

    sp_meter_add(w->o.meter, SP_METER_sessions_open, 1);
    sp_clock_start(w);
    sp_session_start(w, h);
}

void sp_worker_forget(struct sp_worker *w)
{
    atomic_fetch_sub_explicit(&w->desk.sessions, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&w->o.tally->connections, 1, memory_order_relaxed);
    sp_meter_sub(w->o.meter, SP_METER_sessions_open, 1);
    sp_meter_sub(w->o.meter, SP_METER_connections_open, 1);
}

struct sp_slice sp_worker_date(struct sp_worker *w)
{
    int64_t now_s = sp_wall_s();

    if (now_s != w->date_s)
        sp_time_http(now_s, w->date);
    w->date_s = now_s;
    return sp_slice_of(w->date);
}

/* ---- what may change ---- */

static void apply_limits(struct sp_worker *w)
{
    const struct sp_config_limits *limits = &w->view->snapshot->config->limits;

    w->limits = (struct sp_h1_limits){limits->header_bytes, limits->headers, limits->target_bytes};
    size_t blocks = (size_t)(limits->memory_bytes / SP_IO_BLOCK) + BLOCKS_BESIDE;
    if (blocks > w->blocks.max) /* never lower: who was admitted by the old one has its word */
        w->blocks.max = blocks;
}

static bool take_view(struct sp_worker *w, struct sp_snapshot *snapshot)
{
    struct sp_view *view;

    if (snapshot == w->view->snapshot)
        return true;
    view = view_new(w, snapshot);
    if (view == NULL) {
        struct sp_log_field fields[] = {SP_LOG_N("generation", snapshot->generation)};
        sp_log_event(w->o.logger, SP_LOG_ERROR, "reload_out_of_memory", fields, SP_COUNTOF(fields));
        return false;
    }
    sp_view_drop(w->view);
    w->view = view;
    apply_limits(w);
    return true;
}

/* Nobody is told that it is in force before it is: the receipt is signed when there was memory. Meanwhile the sessions go
 * on by the old snapshot. */
static void try_later(struct sp_worker *w, struct sp_worker_update *u)
{
    if (w->missed == NULL) {
        w->missed = u;
        sp_timer_set(w->retry, RETRY_MS);
        return;
    }
    /* Main gives out one snapshot after another: this is the one that is missed already, to be judged by anew. */
    if (u->census != NULL)
        sp_census_sign(u->census, 0, 0, true);
    sp_receipts_sign(u->receipts);
    sp_worker_update_free(u);
}

static void take_update(struct sp_worker *w, struct sp_worker_update *u)
{
    if (!take_view(w, u->snapshot)) {
        try_later(w, u);
        return;
    }
    sp_reach_start(w, u->anew, u->census); /* takes the census over */
    u->census = NULL;
    sp_receipts_sign(u->receipts);
    sp_worker_update_free(u);
}

static void on_update(struct sp_mail *m)
{
    struct sp_worker_update *u = SP_CONTAINER_OF(m, struct sp_worker_update, mail);

    take_update(u->worker, u);
}

static void on_retry(void *arg)
{
    struct sp_worker *w = arg;
    struct sp_worker_update *u = w->missed;

    w->missed = NULL;
    if (u != NULL)
        take_update(w, u);
}

struct sp_worker_update *sp_worker_update_new(struct sp_worker *w, struct sp_snapshot *snapshot)
{
    struct sp_worker_update *u = SP_NEW(struct sp_worker_update);

    if (u == NULL)
        return NULL;
    u->worker = w;
    u->snapshot = sp_snapshot_ref(snapshot);
    return u;
}

void sp_worker_update_free(struct sp_worker_update *u)
{
    if (u == NULL)
        return;
    sp_census_unref(u->census);
    sp_snapshot_unref(u->snapshot);
    sp_free(u);
}

void sp_worker_post(struct sp_worker_update *u)
{
    u->mail.fn = on_update;
    sp_loop_post(u->worker->o.loop, &u->mail);
}

void sp_worker_drain(struct sp_worker *w, uint64_t grace_ms)
{
    w->draining = true;
    w->grace_ms = grace_ms;
    SP_LIST_EACH (&w->sessions, it) {
        if (it != &w->reach.bookmark)
            sp_session_dismiss(sp_session_of(it));
    }
}

/* ---- life ---- */

static struct sp_upstreams *upstreams_new(struct sp_worker *w)
{
    const struct sp_upstreams_options options = {
        .loop = w->o.loop,
        .blocks = &w->blocks,
        .runs = &w->runs,
        .meter = w->o.meter,
        .random = &w->random,
        .roster = w->o.roster,
        .worker = w->o.index,
    };

    return sp_upstreams_new(&options);
}

struct sp_worker *sp_worker_new(const struct sp_worker_options *options)
{
    struct sp_worker *w = SP_NEW(struct sp_worker);

    if (w == NULL)
        return NULL;
    w->o = *options;
    w->o.snapshot = NULL; /* borrowed for this call only */
    w->grace_ms = GRACE_MS;
    sp_pool_init(&w->blocks, SP_IO_BLOCK, BLOCKS_KEPT, BLOCKS_BESIDE);
    sp_pool_init(&w->runs, SP_IO_RUN, RUNS_KEPT, RUNS_MAX);
    sp_pool_init(&w->exchanges, sizeof(struct sp_exchange), EXCHANGES_KEPT, 0);
    sp_list_init(&w->sessions);
    sp_list_init(&w->warm);
    sp_list_init(&w->unsure);
    sp_reach_init(w);
    w->desk = (struct sp_desk){.loop = options->loop, .receive = receive, .worker = w};
    w->retry = sp_timer_new(options->loop, on_retry, w);
    if (w->retry == NULL || sp_random_init(&w->random) != SP_OK || sp_clock_init(w) != SP_OK)
        goto fail;
    w->upstreams = upstreams_new(w);
    if (w->upstreams == NULL)
        goto fail;
    w->view = view_new(w, options->snapshot);
    if (w->view == NULL)
        goto fail;
    apply_limits(w);
    return w;
fail:
    sp_worker_free(w);
    return NULL;
}

void sp_worker_free(struct sp_worker *w)
{
    if (w == NULL)
        return;
    sp_reach_stop(w);
    while (!sp_list_is_empty(&w->sessions))
        sp_session_cut(sp_session_of(w->sessions.next));
    sp_clock_free(w);
    sp_timer_free(w->retry);
    sp_worker_update_free(w->missed);
    if (w->view != NULL)
        sp_view_drop(w->view);
    if (w->upstreams != NULL)
        sp_upstreams_close_idle(w->upstreams);
    sp_loop_turn(w->o.loop, 0); /* the graves */
    sp_upstreams_free(w->upstreams);
    sp_pool_destroy(&w->blocks);
    sp_pool_destroy(&w->runs);
    sp_pool_destroy(&w->exchanges);
    sp_free(w);
}

struct sp_desk *sp_worker_desk(struct sp_worker *w)
{
    return &w->desk;
}
