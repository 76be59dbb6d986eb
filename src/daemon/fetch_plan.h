/* When a source is looked at next. Pure. Not a door. */
#ifndef SP_DAEMON_FETCH_PLAN_H
#define SP_DAEMON_FETCH_PLAN_H

#include "sallyport/base/base.h"

/* A first failure is followed by the next try after so long, and each further one after twice as long. */
#define SP_FETCH_RETRY_MS ((uint64_t)5000)
/* What is good for longer is looked at so often all the same, where no interval is configured. */
#define SP_FETCH_STAPLE_MS ((uint64_t)24 * 3600 * 1000)

struct sp_fetch_plan {
    uint64_t interval_ms; /* between two looks at most */
    unsigned share; /* of what is left of its life at the last look, in percent: then the next one at most */
    unsigned failures; /* in a row, up to now */
    int64_t looked_at; /* the last time that the server was known to have nothing newer, seconds since 1970 */
    int64_t until; /* what is kept ends; INT64_MAX: never. In the past, or nothing kept: as after failures */
};

/* From `now` on. `random`: any number, for up to a tenth more or less; never less than a millisecond. */
uint64_t sp_fetch_plan_ms(const struct sp_fetch_plan *plan, int64_t now, uint64_t random);

/* Whether both say the same but for numbers (ports, milliseconds, bytes). */
bool sp_fetch_is_same_cause(const char *a, const char *b);

#endif
