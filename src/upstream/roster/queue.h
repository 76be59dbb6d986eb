/* Connections to endpoints that may have only so many (max_connections): counting them, and who waits for one.
 *
 * A connection is counted before it is opened and until its descriptor is closed; being counted is to hold a slot. Whoever gives up
 * a slot hands it to who waits longest and wants that endpoint: it is never free in between, so that nobody who comes
 * later can take it, and nobody starves.
 *
 * One queue an upstream, by name: it outlives fleets, so that what was opened under one is waited for under the next. */
#ifndef SP_UPSTREAM_QUEUE_H
#define SP_UPSTREAM_QUEUE_H

#include "sallyport/upstream/roster.h"

struct sp_queue;
/* NULL without memory. Hands over one reference. */
SP_MUST_USE struct sp_queue *sp_queue_new(void);
struct sp_queue *sp_queue_ref(struct sp_queue *q); /* any thread */
void sp_queue_unref(struct sp_queue *q); /* any thread; takes NULL; the last one when nobody waits any more */
/* Borrowed from the fleet. */
struct sp_queue *sp_fleet_queue(const struct sp_fleet *f, size_t upstream);

struct sp_turn {
    /* Filled by who waits. .mail.fn is called once, on `loop`, when it is its turn. */
    struct sp_mail mail;
    struct sp_loop *loop;
    /* Would it take a connection to `ep`? Called by any thread, with the queue locked: what it looks at stays as it is
     * while `t` waits. */
    bool (*wants)(const struct sp_turn *t, const struct sp_endpoint *ep);
    bool takes_gifts; /* a connection that was used before will do */
    /* Its place: 0, and who waits gives it one; or that of a turn which was called for nothing. */
    uint64_t ticket;

    /* Filled for .mail.fn. */
    struct sp_endpoint
        *granted; /* borrowed: a slot of it is ours now; NULL: things have changed, look again */
    void *gift;   /* an open connection that holds that slot; NULL: open one */

    /* private */
    struct sp_list link;
};

/* A slot of `ep`, if it has one. Any thread. */
SP_MUST_USE bool sp_slot_take(struct sp_endpoint *ep);
/* A slot given up: whoever waits for it has it now. Cheap when nobody waits. Any thread. */
void sp_slot_release(struct sp_queue *q, struct sp_endpoint *ep);

/* SP_OK: `t` waits, behind the others or at the place that it had; look once more afterwards for a slot that was given up
 * meanwhile. SP_FAIL: `max` wait already, and it had no place. */
SP_MUST_USE enum sp_rc sp_queue_wait(struct sp_queue *q, unsigned max, struct sp_turn *t);
/* True: it waits no more. False: its mail is on its way, and `t` must stay until that came. */
SP_MUST_USE bool sp_queue_leave(struct sp_queue *q, struct sp_turn *t);
/* Does anybody wait? One relaxed read; then: does anybody wait for that endpoint? */
bool sp_queue_is_empty(const struct sp_queue *q);
SP_MUST_USE bool sp_queue_wants(struct sp_queue *q, const struct sp_endpoint *ep);
/* `gift`, an open connection to `ep`, with its slot: taken over if who waits longest for it waits on `loop` and takes gifts. */
SP_MUST_USE bool sp_queue_give(
    struct sp_queue *q, struct sp_endpoint *ep, const struct sp_loop *loop, void *gift);
/* Everybody who waits is to look again, and may come back to his place: there are other endpoints than before. Any thread. */
void sp_queue_call_all(struct sp_queue *q);

/* ---- workers that may be asked to give up unused connections ---- */
/* Worker `worker` (counted from 0) is there: `yield(arg)` is called on its loop when somebody waits: unused connections that
 * somebody wants the slots of are to be closed. Before its thread runs. */
void sp_roster_join(
    struct sp_roster *r, unsigned worker, struct sp_loop *loop, void (*yield)(void *arg), void *arg);
void sp_roster_leave(struct sp_roster *r, unsigned worker); /* when its thread has ended */
/* Asks all workers but `worker`. Any thread. */
void sp_roster_ask_to_yield(struct sp_roster *r, unsigned worker);

#endif
