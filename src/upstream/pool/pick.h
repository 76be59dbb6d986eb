/* Which endpoint of a lineup comes next. Pure but for the numbers that endpoints carry (requests, up_since_ms): no clock, no
 * system call, nothing allocated. */
#ifndef SP_UPSTREAM_PICK_H
#define SP_UPSTREAM_PICK_H

#include "sallyport/base/random.h"
#include "sallyport/upstream/roster.h"

#define SP_PICK_NONE UINT32_MAX

struct sp_pick {
    const struct sp_lineup *lineup;
    /* May `index` of lineup->usable be chosen? */
    bool (*may)(void *arg, uint32_t index);
    void *arg;
    struct sp_random *random;
    uint64_t now_ms;        /* monotonic; looked at with slow_start_ms only */
    uint64_t slow_start_ms; /* 0: none */
};

/* Each returns an index of lineup->usable, or SP_PICK_NONE: there is none that may be chosen. */

/* *next counts the turns, of this lineup or of earlier ones. */
uint32_t sp_pick_round_robin(const struct sp_pick *p, size_t *next);
/* Of two that chance names the one with fewer requests for its weight. */
uint32_t sp_pick_least_requests(const struct sp_pick *p);
/* Equal hashes, equal endpoints, as long as these may be chosen; else the next on the circle. */
uint32_t sp_pick_hash(const struct sp_pick *p, uint64_t hash);

/* The part of its weight that an endpoint which came back at `up_since_ms` has by now, of SP_SHARE_FULL. */
#define SP_SHARE_FULL 1000
unsigned sp_pick_share(uint64_t up_since_ms, uint64_t now_ms, uint64_t slow_start_ms);

#endif
