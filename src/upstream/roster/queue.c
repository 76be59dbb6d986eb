/* Slots of endpoints, and who waits for one: see queue.h.
 *
 * Two rules make it work without a lock while nobody waits:
 *   - who waits is counted before it looks once more for a free slot, and who gives up a slot does so before it looks whether
 *     anybody waits (both sequentially consistent): one of the two sees the other;
 *   - while somebody waits, a slot is handed over with the queue locked, without ever being free.
 *
 * A turn that was called belongs to nobody's list; its mail is all that is left to come. */
#include "upstream/roster/queue.h"

#include <pthread.h>

#include "sallyport/base/list.h"
#include "upstream/roster/fleet_impl.h"

struct sp_queue {
    _Atomic unsigned refs;
    _Atomic unsigned count; /* of `waiting`; looked at without the lock */
    pthread_mutex_t lock;
    uint64_t tickets;       /* given out */
    struct sp_list waiting; /* of sp_turn, by their tickets */
};

struct sp_queue *sp_queue_new(void)
{
    struct sp_queue *q = SP_NEW(struct sp_queue);

    if (q == NULL)
        return NULL;
    if (pthread_mutex_init(&q->lock, NULL) != 0) {
        sp_free(q);
        return NULL;
    }
    sp_list_init(&q->waiting);
    atomic_init(&q->count, 0);
    atomic_init(&q->refs, 1);
    return q;
}

struct sp_queue *sp_queue_ref(struct sp_queue *q)
{
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
    return q;
}

void sp_queue_unref(struct sp_queue *q)
{
    if (q == NULL || atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) > 1)
        return;
    SP_ASSERT(sp_list_is_empty(&q->waiting));
    pthread_mutex_destroy(&q->lock);
    sp_free(q);
}

struct sp_queue *sp_fleet_queue(const struct sp_fleet *f, size_t upstream)
{
    return f->upstreams[upstream].queue;
}

/* ---- slots ---- */

bool sp_slot_take(struct sp_endpoint *ep)
{
    unsigned max = atomic_load_explicit(&ep->max_connections, memory_order_relaxed);
    uint32_t open = atomic_load(&ep->connections);

    do {
        if (max > 0 && open >= max)
            return false;
    } while (!atomic_compare_exchange_weak(&ep->connections, &open, open + 1));
    return true;
}

/* It may have become smaller since. */
static bool is_within_max(const struct sp_endpoint *ep)
{
    unsigned max = atomic_load_explicit(&ep->max_connections, memory_order_relaxed);

    return max == 0 || atomic_load(&ep->connections) <= max;
}

static struct sp_turn *first_wanting(const struct sp_queue *q, const struct sp_endpoint *ep)
{
    for (struct sp_list *it = q->waiting.next; it != &q->waiting; it = it->next) {
        struct sp_turn *t = SP_CONTAINER_OF(it, struct sp_turn, link);
        if (t->wants(t, ep))
            return t;
    }
    return NULL;
}

/* With the queue locked; `t` may be gone as soon as it is posted. */
static void call(struct sp_queue *q, struct sp_turn *t, struct sp_endpoint *granted, void *gift)
{
    sp_list_remove(&t->link);
    atomic_fetch_sub(&q->count, 1);
    t->granted = granted;
    t->gift = gift;
    sp_loop_post(t->loop, &t->mail);
}

static bool hand_over(struct sp_queue *q, struct sp_endpoint *ep)
{
    pthread_mutex_lock(&q->lock);
    struct sp_turn *t = is_within_max(ep) ? first_wanting(q, ep) : NULL;
    if (t != NULL)
        call(q, t, ep, NULL);
    pthread_mutex_unlock(&q->lock);
    return t != NULL;
}

void sp_slot_release(struct sp_queue *q, struct sp_endpoint *ep)
{
    if (atomic_load(&q->count) > 0 && hand_over(q, ep))
        return;
    atomic_fetch_sub(&ep->connections, 1);
    if (atomic_load(&q->count) == 0)
        return;
    /* Somebody came to wait in between, and may have looked too early. */
    pthread_mutex_lock(&q->lock);
    struct sp_turn *t = first_wanting(q, ep);
    if (t != NULL && sp_slot_take(ep))
        call(q, t, ep, NULL);
    pthread_mutex_unlock(&q->lock);
}

/* ---- waiting ---- */

/* Who comes back comes before those that came after it. */
static void line_up(struct sp_queue *q, struct sp_turn *t)
{
    struct sp_list *before = q->waiting.prev;

    while (before != &q->waiting && SP_CONTAINER_OF(before, struct sp_turn, link)->ticket > t->ticket)
        before = before->prev;
    sp_list_prepend(before, &t->link);
}

enum sp_rc sp_queue_wait(struct sp_queue *q, unsigned max, struct sp_turn *t)
{
    enum sp_rc rc = SP_FAIL;

    t->granted = NULL;
    t->gift = NULL;
    sp_list_init(&t->link);
    pthread_mutex_lock(&q->lock);
    if (t->ticket != 0 || atomic_load(&q->count) < max) {
        if (t->ticket == 0)
            t->ticket = ++q->tickets;
        line_up(q, t);
        atomic_fetch_add(&q->count, 1);
        rc = SP_OK;
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

bool sp_queue_leave(struct sp_queue *q, struct sp_turn *t)
{
    pthread_mutex_lock(&q->lock);
    bool waits = !sp_list_is_empty(&t->link);
    if (waits) {
        sp_list_remove(&t->link);
        atomic_fetch_sub(&q->count, 1);
    }
    pthread_mutex_unlock(&q->lock);
    return waits;
}

bool sp_queue_is_empty(const struct sp_queue *q)
{
    return atomic_load_explicit(&q->count, memory_order_relaxed) == 0;
}

bool sp_queue_wants(struct sp_queue *q, const struct sp_endpoint *ep)
{
    if (sp_queue_is_empty(q))
        return false;
    pthread_mutex_lock(&q->lock);
    bool wants = first_wanting(q, ep) != NULL;
    pthread_mutex_unlock(&q->lock);
    return wants;
}

bool sp_queue_give(struct sp_queue *q, struct sp_endpoint *ep, const struct sp_loop *loop, void *gift)
{
    pthread_mutex_lock(&q->lock);
    struct sp_turn *t = is_within_max(ep) ? first_wanting(q, ep) : NULL;
    bool given = t != NULL && t->loop == loop && t->takes_gifts;
    if (given)
        call(q, t, ep, gift);
    pthread_mutex_unlock(&q->lock);
    return given;
}

void sp_queue_call_all(struct sp_queue *q)
{
    if (sp_queue_is_empty(q))
        return;
    pthread_mutex_lock(&q->lock);
    while (!sp_list_is_empty(&q->waiting))
        call(q, SP_CONTAINER_OF(q->waiting.next, struct sp_turn, link), NULL, NULL);
    pthread_mutex_unlock(&q->lock);
}

/* ---- yielding ---- */

static void on_yield(struct sp_mail *m)
{
    struct sp_yielder *y = SP_CONTAINER_OF(m, struct sp_yielder, mail);

    /* First: who begins to wait from now on asks again. */
    atomic_store(&y->under_way, false);
    if (y->loop != NULL)
        y->yield(y->arg);
}

void sp_roster_join(
    struct sp_roster *r, unsigned worker, struct sp_loop *loop, void (*yield)(void *arg), void *arg)
{
    SP_ASSERT(worker < r->yielder_count);
    struct sp_yielder *y = &r->yielders[worker];

    pthread_mutex_lock(&r->yield_lock);
    y->loop = loop;
    y->yield = yield;
    y->arg = arg;
    y->mail.fn = on_yield;
    atomic_store(&y->under_way, false); /* what was on its way to the loop before went with it */
    pthread_mutex_unlock(&r->yield_lock);
}

void sp_roster_leave(struct sp_roster *r, unsigned worker)
{
    pthread_mutex_lock(&r->yield_lock);
    r->yielders[worker].loop = NULL;
    pthread_mutex_unlock(&r->yield_lock);
}

void sp_roster_ask_to_yield(struct sp_roster *r, unsigned worker)
{
    pthread_mutex_lock(&r->yield_lock);
    for (unsigned i = 0; i < r->yielder_count; i++) {
        struct sp_yielder *y = &r->yielders[i];
        if (i != worker && y->loop != NULL && !atomic_exchange(&y->under_way, true))
            sp_loop_post(y->loop, &y->mail);
    }
    pthread_mutex_unlock(&r->yield_lock);
}
