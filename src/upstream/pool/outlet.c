/* The worker's table of outlets, and the room's life in a worker: made, swept, asked to yield, ended.
 *
 * An outlet is found by its endpoint's address in memory: endpoints are the same objects from one configuration to the next, and an
 * outlet keeps its own from being freed. Connections themselves: connection.c. */
#include "upstream/pool/pool_impl.h"

#define SWEEP_MS 1000

static struct sp_list *bucket_of(struct sp_upstreams *u, const struct sp_endpoint *ep)
{
    uint64_t mixed = (uint64_t)(uintptr_t)ep * UINT64_C(0x9e3779b97f4a7c15);

    return &u->buckets[mixed >> 56];
}

struct sp_outlet *sp_outlet_of(struct sp_upstreams *u, struct sp_endpoint *ep, struct sp_queue *queue)
{
    struct sp_list *bucket = bucket_of(u, ep);

    SP_LIST_EACH (bucket, it) {
        struct sp_outlet *o = SP_CONTAINER_OF(it, struct sp_outlet, link);
        if (o->endpoint == ep) {
            o->held++;
            return o;
        }
    }
    struct sp_outlet *o = SP_NEW(struct sp_outlet);
    if (o == NULL)
        return NULL;
    sp_list_init(&o->idle);
    o->endpoint = sp_endpoint_ref(ep);
    o->queue = sp_queue_ref(queue);
    o->held = 1;
    sp_list_append(bucket, &o->link);
    return o;
}

void sp_outlet_let_go(struct sp_outlet *o)
{
    if (--o->held > 0)
        return;
    SP_ASSERT(o->named == 0 && sp_list_is_empty(&o->idle));
    sp_list_remove(&o->link);
    sp_tls_saved_forget(&o->saved);
    sp_queue_unref(o->queue);
    sp_endpoint_unref(o->endpoint);
    sp_free(o);
}

void sp_outlet_name(struct sp_outlet *o)
{
    o->named++;
}

void sp_outlet_unname(struct sp_outlet *o)
{
    if (--o->named == 0)
        sp_conn_close_idle(o, UINT64_MAX);
}

void sp_outlet_settle(struct sp_outlet *o, const struct sp_tls_client *tls)
{
    if (o->saved.made_by != tls)
        sp_tls_saved_forget(&o->saved);
    sp_conn_close_others(o, tls);
}

/* Calls `each` for all outlets; it may let go of the one it is given. */
static void each_outlet(struct sp_upstreams *u, void (*each)(void *arg, struct sp_outlet *o), void *arg)
{
    for (size_t i = 0; i < SP_OUTLET_BUCKETS; i++) {
        SP_LIST_EACH (&u->buckets[i], it)
            each(arg, SP_CONTAINER_OF(it, struct sp_outlet, link));
    }
}

/* ---- sweep ---- */

struct sweep {
    uint64_t now_ms;
    unsigned left;
};

static void sweep_one(void *arg, struct sp_outlet *o)
{
    struct sweep *s = arg;

    if (o->idle_count == 0)
        return;
    o->held++;
    sp_conn_close_idle(o, s->now_ms);
    s->left += o->idle_count;
    sp_outlet_let_go(o);
}

static void sweep(void *arg)
{
    struct sp_upstreams *u = arg;
    struct sweep s = {sp_loop_now_ms(u->with.loop), 0};

    u->sweeping = false;
    each_outlet(u, sweep_one, &s);
    if (s.left > 0)
        sp_upstreams_arm_sweep(u);
}

/* Not sp_timer_set each time: that would put the sweep off for as long as there is traffic. */
void sp_upstreams_arm_sweep(struct sp_upstreams *u)
{
    if (!u->sweeping)
        sp_timer_set(u->sweep, SWEEP_MS);
    u->sweeping = true;
}

/* ---- yield: somebody waits for a slot that an unused connection of ours may hold ---- */

static void yield_one(void *arg, struct sp_outlet *o)
{
    (void)arg;
    if (o->idle_count == 0)
        return;
    o->held++;
    while (sp_queue_wants(o->queue, o->endpoint) && sp_conn_evict(o))
        ;
    sp_outlet_let_go(o);
}

static void yield(void *arg)
{
    each_outlet(arg, yield_one, NULL);
}

/* ---- life ---- */

struct sp_upstreams *sp_upstreams_new(const struct sp_upstreams_options *options)
{
    struct sp_upstreams *u = SP_NEW(struct sp_upstreams);

    if (u == NULL)
        return NULL;
    u->with = *options;
    for (size_t i = 0; i < SP_OUTLET_BUCKETS; i++)
        sp_list_init(&u->buckets[i]);
    u->sweep = sp_timer_new(options->loop, sweep, u);
    if (u->sweep == NULL)
        SP_FREE(u);
    else
        sp_roster_join(options->roster, options->worker, options->loop, yield, u);
    return u;
}

void sp_upstreams_close_idle(struct sp_upstreams *u)
{
    struct sweep all = {UINT64_MAX, 0};

    each_outlet(u, sweep_one, &all);
}

/* A connection that was buried in this turn holds its outlet still: it lets go of it by itself, in no table any more. */
static void cut_loose(void *arg, struct sp_outlet *o)
{
    (void)arg;
    sp_list_remove(&o->link);
}

void sp_upstreams_free(struct sp_upstreams *u)
{
    if (u == NULL)
        return;
    sp_roster_leave(u->with.roster, u->with.worker);
    sp_upstreams_close_idle(u);
    each_outlet(u, cut_loose, NULL);
    sp_timer_free(u->sweep);
    sp_free(u);
}
