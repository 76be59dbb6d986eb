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
#include "sallyport/snapshot/handover.h"
#include "sallyport/snapshot/snapshot.h"

struct sp_worker;

struct sp_worker_options {
    struct sp_loop *loop;
    struct sp_logger *logger;
    struct sp_meter_block *meter;
    struct sp_tally *tally;
    struct sp_snapshot *snapshot; /* the first one; the worker takes a reference of its own */
};

SP_MUST_USE struct sp_worker *sp_worker_new(const struct sp_worker_options *options);
/* On its own thread, or when that has ended. Sessions still open are cut. Takes NULL. */
void sp_worker_free(struct sp_worker *w);

/* Where gates put new sessions down. Valid as long as the worker. */
struct sp_desk *sp_worker_desk(struct sp_worker *w);

/* A new snapshot: from the next exchange on, every session is judged by it. An exchange in flight ends as it
 * began. */
struct sp_worker_update {
    struct sp_mail mail;
    struct sp_worker *worker;
    struct sp_snapshot *snapshot; /* one reference, handed over */
    struct sp_receipts *receipts; /* borrowed; signed once it is in force; NULL: nobody waits */
};
SP_MUST_USE struct sp_worker_update *sp_worker_update_new(struct sp_worker *w, struct sp_snapshot *snapshot);
void sp_worker_post(struct sp_worker_update *u);        /* any thread; hands over `u` */
void sp_worker_update_free(struct sp_worker_update *u); /* one that was not posted; takes NULL */

/* On the worker's thread (post a mail): answers say Connection: close from now on, and idle sessions are closed
 * after `grace_ms`, in which a request that is already under way still gets its answer. */
void sp_worker_drain(struct sp_worker *w, uint64_t grace_ms);

#endif
