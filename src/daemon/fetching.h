/* Fetches CRLs and OCSP responses to staple from the URLs of the configuration, so that the files in which their last
 * good copies are kept are there and fresh. It only writes files: that they have changed is noticed like of any other.
 * Not a door.
 *
 * Lives on the builder's loop: it blocks on the disk, and judging a large CRL takes a while. Transfers run on the fetcher's
 * own thread, which exists while there is something to fetch. */
#ifndef SP_DAEMON_FETCHING_H
#define SP_DAEMON_FETCHING_H

#include "sallyport/base/mem.h"
#include "sallyport/io/loop.h"
#include "sallyport/obs/log.h"
#include "sallyport/snapshot/snapshot.h"

struct sp_fetching;

/* Borrows `loop`, and `logger` and `meter`, which are the loop's thread's own. NULL without memory. */
SP_MUST_USE struct sp_fetching *sp_fetching_new(
    struct sp_loop *loop, struct sp_logger *logger, struct sp_meter_block *meter);
/* Takes NULL. The loop's thread has ended; its loop is still there. Waits for the fetcher's thread. */
void sp_fetching_free(struct sp_fetching *f);
/* `s` is in force: from now on what it names is fetched. Takes a reference. Any thread, one at a time; the latest counts. */
void sp_fetching_follow(struct sp_fetching *f, struct sp_snapshot *s);
/* The families of obs/gauge.h that are about fetching. Any thread. */
void sp_fetching_print(struct sp_fetching *f, struct sp_buf *out);

#endif
