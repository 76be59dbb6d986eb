/* So many in a time, with room for a burst: a bucket of tokens that fills at a steady pace. All that has to be remembered
 * of a bucket is one moment, at which it will be full again (the theoretical arrival time of the GCRA, ITU-T I.371): each
 * token taken moves it on by one interval, and it may lie no further ahead than the burst is long.
 *
 * Pure arithmetic, saturating. Who shares a bucket between threads keeps the moment in an atomic and takes by
 * compare-and-swap; 0 is a bucket that is full. */
#ifndef SP_BASE_PACE_H
#define SP_BASE_PACE_H

#include "sallyport/base/base.h"

struct sp_pace {
    uint64_t interval_ns; /* until one more token is there; 0: no pace at all, nothing is ever refused */
    uint64_t burst_ns;    /* until an empty bucket is full: `burst` intervals */
};

/* So many of `count` in `period_ms`; `burst` of them, at least one, may come at once. `count` 0: no pace. */
struct sp_pace sp_pace_of(unsigned count, uint64_t period_ms, unsigned burst);

/* One token at `now_us` (monotonic) out of the bucket that will be full at `full_at_ns`. True: there was one. Either way
 * *after_ns is the moment to be remembered from now on. False: *wait_ns until there is one, never 0. A moment further ahead than
 * this pace could have brought it, as after a change of numbers, is an empty bucket and no more than that. A clock that
 * is behind others' by less than a second does no harm. */
bool sp_pace_take(
    const struct sp_pace *p, uint64_t now_us, uint64_t full_at_ns, uint64_t *after_ns, uint64_t *wait_ns);
/* Is that bucket full? */
bool sp_pace_is_full(uint64_t now_us, uint64_t full_at_ns);

#endif
