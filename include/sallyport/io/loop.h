/* An event loop: one a thread, over libevent. Everything of a loop is used by its own thread, except
 * sp_loop_post and sp_loop_stop. No libevent type shows here. */
#ifndef SP_IO_LOOP_H
#define SP_IO_LOOP_H

#include <stdatomic.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/list.h"

struct sp_loop;

SP_MUST_USE enum sp_rc sp_loop_new(struct sp_loop **out, struct sp_err *err);
void sp_loop_free(struct sp_loop *loop); /* takes NULL; buries what is in the graveyard */
/* Runs turns until sp_loop_stop. A turn: events, mail, tasks, then the graveyard. */
void sp_loop_run(struct sp_loop *loop);
/* One turn, waiting for at most `wait_ms` (0: not at all). For tests, and for what is left
 * over when a loop's thread has ended. */
void sp_loop_turn(struct sp_loop *loop, unsigned wait_ms);
void sp_loop_stop(struct sp_loop *loop); /* any thread */
/* Monotonic time now: what deadlines are compared with. */
uint64_t sp_loop_now_ms(const struct sp_loop *loop);

/* ---- descriptors: edge-triggered, registered once for their whole stay ---- */
enum { SP_EV_READ = 1, SP_EV_WRITE = 2, SP_EV_CLOSED = 4 };
struct sp_watch;
/* Calls back at every edge; the callee must read (write) until it would block, or remember that it did not. An
 * edge for the present state comes after registration. Borrows fd. NULL without memory. */
SP_MUST_USE struct sp_watch *sp_watch_new(
    struct sp_loop *loop, int fd, void (*on_event)(void *arg, unsigned events), void *arg);
/* Takes NULL. Safe inside its own callback: no further call comes. Does not close fd. */
void sp_watch_free(struct sp_watch *w);
/* The same without SP_EV_WRITE, which a fresh socket would report at once: for as long as nobody waits for room. */
SP_MUST_USE struct sp_watch *sp_watch_new_reading(
    struct sp_loop *loop, int fd, void (*on_event)(void *arg, unsigned events), void *arg);

/* Level-triggered read interest that can be switched, for listening sockets. */
SP_MUST_USE struct sp_watch *sp_watch_new_level(
    struct sp_loop *loop, int fd, void (*on_event)(void *arg, unsigned events), void *arg);
/* Of a level-triggered one; twice is once. The kernel may have no memory to take it up again (SP_FAIL): whoever goes on without
 * trying again later is deaf for ever. */
void sp_watch_disable(struct sp_watch *w);
SP_MUST_USE enum sp_rc sp_watch_enable(struct sp_watch *w);

/* ---- signals: one loop of the process only ---- */
SP_MUST_USE struct sp_watch *sp_watch_new_signal(
    struct sp_loop *loop, int signo, void (*on_event)(void *arg, unsigned signo), void *arg);

/* ---- timers: made once, re-armed cheaply (a later deadline is only noted, and looked at when the old one fires) ---- */
struct sp_timer;
SP_MUST_USE struct sp_timer *sp_timer_new(struct sp_loop *loop, void (*on_fire)(void *arg), void *arg);
void sp_timer_free(struct sp_timer *t); /* takes NULL */
void sp_timer_set(struct sp_timer *t, uint64_t in_ms);
void sp_timer_stop(struct sp_timer *t);

/* ---- mailboxes: how threads talk ---- */
/* Embedded in what is posted; the receiver's loop calls `fn` once, on its own thread, in the order of posting
 * for one sender. A mail may be posted again from its own fn or later, not while it is under way. */
struct sp_mail {
    void (*fn)(struct sp_mail *m);
    struct sp_mail *next;
};
/* Any thread. Hands `m` over. Never blocks, never fails: nothing is allocated. */
void sp_loop_post(struct sp_loop *loop, struct sp_mail *m);

/* ---- graveyard: nothing is freed inside its own callback ---- */
struct sp_grave {
    struct sp_grave *next;
    void (*free_fn)(struct sp_grave *g);
};
/* Frees after the turn. The object must be out of every list and loop by then. */
void sp_loop_bury(struct sp_loop *loop, struct sp_grave *g, void (*free_fn)(struct sp_grave *g));

/* ---- end of turn: work that is done once however many events asked for it ---- */
struct sp_task {
    struct sp_list link; /* sp_task_init first */
    bool is_behind;      /* the loop's own */
    void (*fn)(struct sp_task *t);
};
void sp_task_init(struct sp_task *t, void (*fn)(struct sp_task *t));
/* Queue for this turn's end (before the graveyard), or the next turn's when called from a task. Twice is once; one that is behind
 * is there no more. */
void sp_loop_defer(struct sp_loop *loop, struct sp_task *t);
/* Queue behind everything else: of these tasks so many a turn are run, in their order, so that however many there are, events do not
 * wait for more. One that is deferred already stays where it is. */
#define SP_BEHIND_A_TURN 1
void sp_loop_defer_behind(struct sp_loop *loop, struct sp_task *t);
void sp_task_cancel(struct sp_task *t);

#endif
