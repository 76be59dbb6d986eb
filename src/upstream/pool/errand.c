/* One exchange's way to a backend: which endpoint, by which connection, or waiting for one.
 *
 * Whom to ask, from the best to the last resort:
 *   1. an endpoint that was not tried yet and is well by what the roster says at this moment
 *   2. one that was not tried yet: the lineup is about to change, and will say that there is none
 *   3. a backup: all others have failed this errand, though the roster thinks well of them
 *   4. one that is ejected, but not down by its checks: better a doubtful one than none
 *   5. any: all were tried. Only if the last one took the connection and broke it: one that took none will not take the next
 * A step is gone back from only if none of its endpoints could be had; if one could, were it not at its max_connections, the
 * errand waits for it. */
#include <errno.h>

#include "sallyport/io/socket.h"
#include "upstream/pool/pick.h"
#include "upstream/pool/pool_impl.h"
#include "upstream/roster/fleet_impl.h"

/* ---- what was tried ---- */

static bool has_tried(const struct sp_errand *e, const struct sp_endpoint *ep)
{
    for (unsigned i = 0; i < e->tries; i++) {
        if (e->tried[i]->endpoint == ep)
            return true;
    }
    return false;
}

static void note_try(struct sp_errand *e, struct sp_outlet *o)
{
    o->held++;
    e->reached = false;
    e->tried[e->tries++] = o;
    e->endpoint = o->endpoint;
}

static void forget_tries(struct sp_errand *e, unsigned left)
{
    while (e->tries > left)
        sp_outlet_let_go(e->tried[--e->tries]);
    e->endpoint = left > 0 ? e->tried[left - 1]->endpoint : NULL;
}

void sp_errand_stop_waiting(struct sp_errand *e)
{
    sp_place_abandon(e);
}

void sp_errand_end(struct sp_errand *e)
{
    sp_errand_stop_waiting(e);
    forget_tries(e, 0);
}

/* ---- whom to ask ---- */

struct search {
    const struct sp_errand *errand;
    const struct sp_choice *choice;
    struct sp_taste taste;
    bool is_full; /* one that would do is at its max_connections */
};

bool sp_errand_would_take(const struct sp_errand *e, struct sp_taste taste, const struct sp_endpoint *ep)
{
    if (taste.well_only && (atomic_load_explicit(&ep->is_down, memory_order_relaxed) ||
                               atomic_load_explicit(&ep->is_ejected, memory_order_relaxed)))
        return false;
    return taste.tried_will_do || !has_tried(e, ep);
}

/* An unused connection of this worker counts as room: it is used, or closed for a new one. */
static bool has_room(const struct sp_outlet *o)
{
    unsigned max = atomic_load_explicit(&o->endpoint->max_connections, memory_order_relaxed);

    return max == 0 || o->idle_count > 0 || atomic_load(&o->endpoint->connections) < max;
}

static bool may(void *arg, uint32_t index)
{
    struct search *s = arg;
    const struct sp_outlet *o = s->choice->usable[index];

    if (!sp_errand_would_take(s->errand, s->taste, o->endpoint))
        return false;
    if (has_room(o))
        return true;
    s->is_full = true;
    return false;
}

static uint32_t pick(struct sp_targets *t, const struct sp_errand *e, struct search *s)
{
    struct sp_target *target = &t->items[e->upstream];
    const struct sp_config_upstream *config = target->config;
    struct sp_pick p = {.lineup = s->choice->lineup,
        .may = may,
        .arg = s,
        .random = t->owner->with.random,
        .now_ms = config->slow_start_ms > 0 ? sp_loop_now_ms(t->owner->with.loop) : 0,
        .slow_start_ms = config->slow_start_ms};

    switch (config->balance) {
    case SP_BALANCE_ROUND_ROBIN:
        break;
    case SP_BALANCE_LEAST_REQUESTS:
        return sp_pick_least_requests(&p);
    case SP_BALANCE_HASH:
        return sp_pick_hash(&p, e->hash);
    }
    return sp_pick_round_robin(&p, &target->next_turn);
}

static bool stands_in(const struct sp_errand *e, const struct sp_outlet *o, bool ejected)
{
    const struct sp_endpoint *ep = o->endpoint;
    const struct sp_member *m = sp_member_of((struct sp_endpoint *)(uintptr_t)ep);

    return atomic_load_explicit(&m->weight, memory_order_relaxed) > 0 &&
           (ejected || atomic_load_explicit(&m->is_backup, memory_order_relaxed)) &&
           !atomic_load_explicit(&ep->is_down, memory_order_relaxed) &&
           atomic_load_explicit(&ep->is_ejected, memory_order_relaxed) == ejected && !has_tried(e, ep) &&
           has_room(o);
}

/* Of those that are not in the lineup: a backup, else one that is ejected. They take turns; nobody waits for one. */
static struct sp_outlet *stand_in(struct sp_target *target, const struct sp_errand *e)
{
    const struct sp_choice *choice = target->choice;

    for (size_t i = 0; e->tries > 0 && i < 2 * choice->named; i++) {
        struct sp_outlet *o = choice->outlets[target->next_turn++ % choice->named];
        if (stands_in(e, o, i >= choice->named))
            return o;
    }
    return NULL;
}

/* SP_OK: *o. SP_AGAIN: all that would do are full; *taste says what would. SP_FAIL: there is none. */
static enum sp_rc search(
    struct sp_targets *t, const struct sp_errand *e, struct sp_outlet **o, struct sp_taste *taste)
{
    static const struct sp_taste STEPS[] = {{true, false}, {false, false}, {false, true}};
    const struct sp_choice *choice = t->items[e->upstream].choice;
    struct search s = {.errand = e, .choice = choice};

    for (size_t i = choice->lineup->is_panic ? 1 : 0; i < SP_COUNTOF(STEPS); i++) {
        s.taste = STEPS[i];
        if (s.taste.tried_will_do && (*o = stand_in(&t->items[e->upstream], e)) != NULL)
            return SP_OK;
        if (s.taste.tried_will_do && e->tries > 0 && !e->reached)
            break;
        uint32_t index = pick(t, e, &s);
        if (index != SP_PICK_NONE) {
            *o = choice->usable[index];
            return SP_OK;
        }
        if (s.is_full) {
            *taste = s.taste;
            return SP_AGAIN;
        }
    }
    return SP_FAIL;
}

/* ---- by which connection ---- */

static const struct sp_tls_client *tls_of(const struct sp_targets *t, const struct sp_errand *e)
{
    return sp_fleet_tls(t->fleet, e->upstream, t->owner->with.worker);
}

static struct sp_upconn *use(
    struct sp_targets *t, struct sp_errand *e, struct sp_outlet *o, struct sp_conn *c)
{
    note_try(e, o);
    struct sp_upconn *up = sp_conn_use(c, t, e);
    e->was_kept = up->reused;
    e->ticket = 0;
    return up;
}

/* With a slot of `o`, which is used up in any case. SP_OK, SP_AGAIN: it failed, another one may do; SP_FAIL. */
static enum sp_rc open_new(
    struct sp_targets *t, struct sp_errand *e, struct sp_outlet *o, struct sp_upconn **out)
{
    struct sp_conn *c = sp_conn_open(t->owner, o, e, &e->errnum);

    if (c != NULL) {
        *out = use(t, e, o, c);
        return SP_OK;
    }
    note_try(e, o);
    e->was_kept = false;
    sp_slot_release(o->queue, o->endpoint);
    sp_meter_add(t->owner->with.meter, SP_METER_upstream_connect_failures, 1);
    if (sp_socket_is_our_lack(e->errnum)) /* no other endpoint would do better */
        return SP_FAIL;
    if (e->errnum != EADDRNOTAVAIL) /* our ports to it are used up */
        sp_endpoint_failed(t->owner->with.roster, t->fleet, e->upstream, o->endpoint, "connect_failed");
    return SP_AGAIN;
}

/* SP_OK, SP_AGAIN: look again, it was not had or failed; SP_FAIL. */
static enum sp_rc connect_to(
    struct sp_targets *t, struct sp_errand *e, struct sp_outlet *o, struct sp_upconn **out)
{
    if (!sp_errand_needs_new(e) && o->idle_count > 0) {
        struct sp_conn *c = sp_conn_reuse(o, tls_of(t, e), e->once);
        if (c != NULL) {
            *out = use(t, e, o, c);
            return SP_OK;
        }
    }
    while (!sp_slot_take(o->endpoint)) {
        if (!sp_conn_evict(o))
            return SP_AGAIN;
    }
    return open_new(t, e, o, out);
}

/* Its turn has come. As connect_to. */
static enum sp_rc redeem(struct sp_targets *t, struct sp_errand *e, struct sp_upconn **out)
{
    struct sp_endpoint *granted;
    struct sp_conn *gift;

    sp_place_redeem(e, &granted, &gift);
    if (granted == NULL)
        return SP_AGAIN;

    struct sp_queue *queue = sp_fleet_queue(t->fleet, e->upstream);
    struct sp_outlet *o = sp_outlet_of(t->owner, granted, queue);
    enum sp_rc rc = SP_FAIL;
    if (o != NULL && gift != NULL && sp_conn_is_fit(gift, tls_of(t, e))) {
        *out = use(t, e, o, gift);
        rc = SP_OK;
        goto out;
    }
    if (gift != NULL)
        sp_conn_end_keeping_slot(gift);
    if (o != NULL) {
        rc = open_new(t, e, o, out);
    } else {
        e->errnum = ENOMEM;
        sp_slot_release(queue, granted);
    }
out:
    if (o != NULL)
        sp_outlet_let_go(o);
    sp_endpoint_unref(granted);
    return rc;
}

/* Every endpoint that would do is full. SP_AGAIN: it waits. SP_OK: one is free after all. */
static enum sp_rc wait(struct sp_targets *t, struct sp_errand *e, struct sp_taste taste)
{
    struct sp_outlet *o;
    enum sp_rc rc = sp_place_take(t, e, taste);

    if (rc == SP_FAIL)
        e->errnum = ENOMEM;
    if (rc != SP_OK)
        return rc;
    /* A slot that was given up before we stood in the queue is nobody's. */
    if (search(t, e, &o, &taste) == SP_OK && sp_place_leave(e))
        return SP_OK;
    sp_roster_ask_to_yield(t->owner->with.roster, t->owner->with.worker);
    return SP_AGAIN;
}

static unsigned attempts_of(const struct sp_config_upstream *config)
{
    return config->retries.attempts < SP_TRIES_MAX ? config->retries.attempts : SP_TRIES_MAX;
}

static enum sp_rc take_or_wait(struct sp_targets *t, struct sp_errand *e, struct sp_upconn **out)
{
    struct sp_taste taste;
    struct sp_outlet *o;
    enum sp_rc rc = SP_AGAIN;

    if (e->place != NULL)
        rc = redeem(t, e, out);
    while (rc == SP_AGAIN) {
        if (e->tries >= attempts_of(t->items[e->upstream].config))
            return SP_FAIL;
        rc = search(t, e, &o, &taste);
        if (rc == SP_OK) {
            rc = connect_to(t, e, o, out);
        } else if (rc == SP_AGAIN) {
            rc = wait(t, e, taste);
            if (rc != SP_OK)
                return rc;
            rc = SP_AGAIN;
        }
    }
    return rc;
}

enum sp_rc sp_upconn_take(struct sp_targets *t, struct sp_errand *e, struct sp_upconn **out)
{
    *out = NULL;
    if (e->place != NULL && !e->place->called)
        return SP_AGAIN;
    sp_target_refresh(t, e->upstream);
    if (!e->earned)
        sp_target_earn(&t->items[e->upstream]);
    e->earned = true;
    /* A kept-alive connection that turned out closed says nothing about its endpoint. */
    if (e->fresh && e->was_kept && e->tries > 0)
        forget_tries(e, e->tries - 1);
    e->was_kept = false;
    e->errnum = 0;
    return take_or_wait(t, e, out);
}
