/* A worker: one thread that serves the sessions that were let in. It owns them, their exchanges, its
 * connections to backends and the buffers; nothing slow runs here.
 *
 * Made on the main thread before its thread runs; after that it is reached by its desk and by mails only. */
#ifndef SP_PROXY_WORKER_H
#define SP_PROXY_WORKER_H

#include "sallyport/base/base.h"
#include "sallyport/io/loop.h"
#include "sallyport/obs/log.h"
#include "sallyport/obs/meter.h"
#include "sallyport/policy/limits.h"
#include "sallyport/snapshot/handover.h"
#include "sallyport/snapshot/snapshot.h"

struct sp_worker;

struct sp_worker_options {
    unsigned index; /* counted from 0: which of the cells of sp_rule_meters are its own */
    struct sp_loop *loop;
    struct sp_logger *logger;
    struct sp_meter_block *meter;
    struct sp_tally *tally;
    struct sp_limits *limits;     /* shared by all workers; borrowed for the worker's life */
    struct sp_roster *roster;     /* likewise */
    struct sp_snapshot *snapshot; /* the first one; the worker takes a reference of its own */
};

SP_MUST_USE struct sp_worker *sp_worker_new(const struct sp_worker_options *options);
/* On its own thread, or when that has ended. Sessions still open are cut. Takes NULL. */
void sp_worker_free(struct sp_worker *w);

/* Where gates put new sessions down. Valid as long as the worker. */
struct sp_desk *sp_worker_desk(struct sp_worker *w);

/* A new snapshot: from the next exchange on, every session is judged by it. Open sessions whose client it
 * would not let in, and exchanges in flight that its rules would not allow, are ended within a second. */
struct sp_worker_update {
    struct sp_mail mail;
    struct sp_worker *worker;
    struct sp_snapshot *snapshot; /* one reference, handed over */
    struct sp_receipts *receipts; /* borrowed; signed once it is in force; NULL: nobody waits */
    struct sp_census *census;     /* one reference (sp_census_attach); NULL: no brake */
    bool anew; /* the snapshot is in force already, but time has changed what it says of some clients */
};
SP_MUST_USE struct sp_worker_update *sp_worker_update_new(struct sp_worker *w, struct sp_snapshot *snapshot);
void sp_worker_post(struct sp_worker_update *u);        /* any thread; hands over `u` */
void sp_worker_update_free(struct sp_worker_update *u); /* one that was not posted; takes NULL */

/* ---- the brake: how many would a change end, over all workers? ---- */

/* Made by the thread that posts the updates, before. When all workers have counted, `on_counted` is called
 * on the thread of `loop`; until it has answered, nobody is ended but by the clock. The first reference is
 * let go of after that call, or by the caller if no update was posted. NULL without memory. */
struct sp_census;
SP_MUST_USE struct sp_census *sp_census_new(
    struct sp_loop *loop, unsigned workers, void (*on_counted)(void *arg, struct sp_census *c), void *arg);
struct sp_census *sp_census_ref(struct sp_census *c); /* one more owner; any thread */
void sp_census_unref(struct sp_census *c);            /* one owner fewer; any thread; takes NULL */
/* To the update of the i-th worker. */
void sp_census_attach(struct sp_census *c, unsigned i, struct sp_worker_update *u);

struct sp_census_result {
    uint64_t open, refused; /* sessions: all of them; those that the change would end */
    bool is_void;           /* another change came over it, which is counted anew */
};
struct sp_census_result sp_census_result(const struct sp_census *c);
enum sp_census_answer { SP_CENSUS_VOID, SP_CENSUS_GO, SP_CENSUS_HOLD };
/* Tells every worker. Once, from `on_counted`, as long as the workers' loops are there. */
void sp_census_answer(struct sp_census *c, enum sp_census_answer answer);

/* ---- the end ---- */

/* On the worker's thread (post a mail): answers say Connection: close from now on, and idle sessions are closed
 * after `grace_ms`, in which a request that is already under way still gets its answer. */
void sp_worker_drain(struct sp_worker *w, uint64_t grace_ms);

#endif
