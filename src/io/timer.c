/* Timers: a binary heap of deadlines, lazily kept.
 *
 * A deadline that moves later, and a timer that is stopped, change only the timer itself: its place in the heap (its key) is
 * put right when the key comes due. So the timer that every connection pushes back at each read costs two stores.
 *
 * Invariants: key <= deadline for whatever is in the heap; slots[i]->index == i; every timer that exists has a slot reserved,
 * so setting one cannot fail. */
#include "loop_private.h"

#include <stdlib.h>

#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"

#define NOT_IN_HEAP SIZE_MAX
#define STOPPED     UINT64_MAX

struct sp_timer {
    struct sp_loop *loop;
    void (*on_fire)(void *arg);
    void *arg;
    uint64_t deadline; /* monotonic ms; STOPPED */
    uint64_t key;      /* what the heap is ordered by */
    size_t index;
};

static void place(struct timer_heap *h, size_t i, struct sp_timer *t)
{
    h->slots[i] = t;
    t->index = i;
}

static void sift_up(struct timer_heap *h, size_t i, struct sp_timer *t)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (h->slots[parent]->key <= t->key)
            break;
        place(h, i, h->slots[parent]);
        i = parent;
    }
    place(h, i, t);
}

static void sift_down(struct timer_heap *h, size_t i, struct sp_timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->slots[child + 1]->key < h->slots[child]->key)
            child++;
        if (t->key <= h->slots[child]->key)
            break;
        place(h, i, h->slots[child]);
        i = child;
    }
    place(h, i, t);
}

static void heap_remove(struct timer_heap *h, struct sp_timer *t)
{
    size_t i = t->index;
    t->index = NOT_IN_HEAP;
    struct sp_timer *last = h->slots[--h->count];
    if (last == t)
        return;
    if (i > 0 && h->slots[(i - 1) / 2]->key > last->key)
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

static void heap_insert(struct timer_heap *h, struct sp_timer *t)
{
    SP_ASSERT(h->count < h->made);
    h->count++;
    sift_up(h, h->count - 1, t);
}

struct sp_timer *sp_timer_new(struct sp_loop *loop, void (*on_fire)(void *arg), void *arg)
{
    struct timer_heap *h = &loop->timers;
    if (h->made == h->room) {
        size_t room = h->room == 0 ? 64 : h->room * 2;
        struct sp_timer **slots = sp_alloc(room, sizeof *slots);
        if (slots == NULL)
            return NULL;
        if (h->count > 0)
            memcpy(slots, h->slots, h->count * sizeof *slots);
        sp_free(h->slots);
        h->slots = slots;
        h->room = room;
    }
    struct sp_timer *t = SP_NEW(struct sp_timer);
    if (t == NULL)
        return NULL;
    *t = (struct sp_timer){
        .loop = loop, .on_fire = on_fire, .arg = arg, .deadline = STOPPED, .index = NOT_IN_HEAP};
    h->made++;
    return t;
}

/* timers_run looks at a timer no more once it has called it, so this is safe from within on_fire. */
void sp_timer_free(struct sp_timer *t)
{
    if (t == NULL)
        return;
    if (t->index != NOT_IN_HEAP)
        heap_remove(&t->loop->timers, t);
    t->loop->timers.made--;
    sp_free(t);
}

void sp_timer_set(struct sp_timer *t, uint64_t in_ms)
{
    uint64_t now = sp_mono_ms();
    t->deadline = in_ms < STOPPED - 1 - now ? now + in_ms : STOPPED - 1;
    if (t->index == NOT_IN_HEAP) {
        t->key = t->deadline;
        heap_insert(&t->loop->timers, t);
    } else if (t->deadline < t->key) {
        t->key = t->deadline;
        sift_up(&t->loop->timers, t->index, t);
    }
}

void sp_timer_stop(struct sp_timer *t)
{
    t->deadline = STOPPED;
}

uint64_t timers_next(const struct sp_loop *loop)
{
    return loop->timers.count > 0 ? loop->timers.slots[0]->key : WAKE_NEVER;
}

void timers_run(struct sp_loop *loop, uint64_t now_ms)
{
    struct timer_heap *h = &loop->timers;
    /* A callback may set its own timer to now again: what was there at the start bounds the turn. */
    for (size_t left = h->count; left > 0 && h->count > 0 && h->slots[0]->key <= now_ms; left--) {
        struct sp_timer *t = h->slots[0];
        if (t->deadline > now_ms && t->deadline != STOPPED) {
            t->key = t->deadline;
            sift_down(h, 0, t);
            continue;
        }
        bool due = t->deadline != STOPPED;
        heap_remove(h, t);
        t->deadline = STOPPED;
        if (due)
            t->on_fire(t->arg);
    }
}
