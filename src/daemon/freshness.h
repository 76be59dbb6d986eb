/* Tells operators, ahead of time and again every day, what comes to an end; and the same as gauges. Main thread. Not a
 * door. */
#ifndef SP_DAEMON_FRESHNESS_H
#define SP_DAEMON_FRESHNESS_H

#include "sallyport/io/loop.h"
#include "sallyport/obs/log.h"
#include "sallyport/snapshot/snapshot.h"

struct sp_freshness;

/* Borrows both for its life. NULL without memory. */
SP_MUST_USE struct sp_freshness *sp_freshness_new(struct sp_loop *loop, struct sp_logger *logger);
void sp_freshness_free(struct sp_freshness *f); /* takes NULL */
/* `s` is in force from now on: takes a reference, and looks at once. What was said of the one before is remembered. */
void sp_freshness_watch(struct sp_freshness *f, struct sp_snapshot *s);
/* What its timer does, `now` in seconds since 1970: an event for each state that was entered, or has lasted for another
 * day. */
void sp_freshness_look(struct sp_freshness *f, int64_t now);
/* The families of obs/gauge.h, as of the last look. */
void sp_freshness_print(const struct sp_freshness *f, struct sp_buf *out);

#endif
