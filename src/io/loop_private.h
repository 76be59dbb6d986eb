/* What the sources of a loop share: loop.c runs it, timer.c keeps its deadlines, watch.c its descriptors and signals. */
#ifndef SP_IO_LOOP_PRIVATE_H
#define SP_IO_LOOP_PRIVATE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "sallyport/io/loop.h"

/* A binary heap by key. There is a slot for every timer that exists, in the heap or not, so that setting one never fails. */
struct timer_heap {
    struct sp_timer **slots;
    size_t count; /* in the heap */
    size_t room;
    size_t made; /* timers that exist: made <= room */
};

struct sp_loop {
    struct event_base *base;
    struct event wake; /* the one libevent timer: the earliest of `timers`, or the limit of sp_loop_turn */
    uint64_t wake_at;  /* what it is set to, monotonic ms; WAKE_NEVER when it is not */
    struct event mail; /* on mail_fd */
    int mail_fd;       /* eventfd, written when `inbox` stops being empty, and by sp_loop_stop */
    atomic_bool stopping;
    _Atomic(struct sp_mail *) inbox; /* newest first */
    struct sp_list tasks;
    struct sp_grave *graves;
    struct timer_heap timers;
};

#define WAKE_NEVER UINT64_MAX

/* The earliest key in the heap, WAKE_NEVER if it is empty. */
uint64_t timers_next(const struct sp_loop *loop);
/* Calls every timer that is due by `now_ms`, each at most once. */
void timers_run(struct sp_loop *loop, uint64_t now_ms);

#endif
