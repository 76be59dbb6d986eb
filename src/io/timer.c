/* Timers: libevent's, with lazy deadlines.
 *
 * A deadline that moves later, and a timer that is stopped, change only the timer itself: its event comes at
 * the old time, sees that it is early, and goes on for the rest. So the timer that every connection pushes back
 * at each read costs two stores.
 *
 * libevent reads a coarse clock (a tick is some milliseconds), so an event may come early by our own clock too,
 * or late by a tick; it may need memory to take an event in, and while there is none, every turn tries again. */
#include "loop_private.h"

#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"

#define STOPPED UINT64_MAX

struct sp_timer {
    struct event event;
    struct sp_loop *loop;
    struct sp_task retry;
    void (*on_fire)(void *arg);
    void *arg;
    uint64_t deadline; /* monotonic ms; STOPPED */
    uint64_t armed_at; /* when the event comes; STOPPED when it does not */
};

static void arm(struct sp_timer *t, uint64_t now)
{
    uint64_t in_ms = t->deadline > now ? t->deadline - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(in_ms / 1000), .tv_usec = (suseconds_t)(in_ms % 1000 * 1000)};
    if (event_add(&t->event, &tv) == 0)
        t->armed_at = t->deadline;
    else
        sp_loop_defer(t->loop, &t->retry);
}

static void on_retry(struct sp_task *task)
{
    struct sp_timer *t = SP_CONTAINER_OF(task, struct sp_timer, retry);
    if (t->deadline < t->armed_at)
        arm(t, sp_mono_ms());
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct sp_timer *t = arg;
    uint64_t now = sp_mono_ms();
    t->armed_at = STOPPED;
    if (t->deadline == STOPPED)
        return;
    if (t->deadline > now) {
        arm(t, now);
        return;
    }
    t->deadline = STOPPED;
    t->on_fire(t->arg);
}

struct sp_timer *sp_timer_new(struct sp_loop *loop, void (*on_fire)(void *arg), void *arg)
{
    struct sp_timer *t = SP_NEW(struct sp_timer);
    if (t == NULL)
        return NULL;
    t->loop = loop;
    sp_task_init(&t->retry, on_retry);
    t->on_fire = on_fire;
    t->arg = arg;
    t->deadline = t->armed_at = STOPPED;
    if (evtimer_assign(&t->event, loop->base, on_timeout, t) != 0)
        SP_FREE(t);
    return t;
}

/* Safe from within on_fire: libevent looks at an event no more once it has called it. */
void sp_timer_free(struct sp_timer *t)
{
    if (t == NULL)
        return;
    event_del(&t->event);
    sp_task_cancel(&t->retry);
    sp_free(t);
}

void sp_timer_set(struct sp_timer *t, uint64_t in_ms)
{
    uint64_t now = sp_mono_ms();
    t->deadline = in_ms < STOPPED - 1 - now ? now + in_ms : STOPPED - 1;
    if (t->deadline < t->armed_at)
        arm(t, now);
}

void sp_timer_stop(struct sp_timer *t)
{
    t->deadline = STOPPED;
}
