/* The schedule of one source:
 *
 *   good      min(interval, share of the life that was left when it was last seen to be current), counted from then
 *   failed    5 s, 10 s, 20 s ... up to the interval, counted from now
 *   ended     a server that goes on giving what has ended already is asked as one that fails
 *
 * Each a tenth more or less, so that a fleet that was started at once does not ask at once for ever. */
#include "fetch_plan.h"

#define DOUBLINGS_MAX 20

static uint64_t after_failures(const struct sp_fetch_plan *plan)
{
    unsigned doublings = plan->failures > 0 ? plan->failures - 1 : 0;
    uint64_t ms = SP_FETCH_RETRY_MS << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    return ms < plan->interval_ms ? ms : plan->interval_ms;
}

/* From the last look on. */
static uint64_t while_good(const struct sp_fetch_plan *plan)
{
    if (plan->until == INT64_MAX)
        return plan->interval_ms;
    uint64_t left_s = (uint64_t)(plan->until - plan->looked_at);
    if (left_s > plan->interval_ms) /* in seconds against milliseconds: no overflow below */
        return plan->interval_ms;
    uint64_t ms = left_s * 10 * plan->share;
    uint64_t least = SP_FETCH_RETRY_MS < plan->interval_ms ? SP_FETCH_RETRY_MS : plan->interval_ms;
    if (ms < least) /* close to its end that would become a race */
        ms = least;
    return ms < plan->interval_ms ? ms : plan->interval_ms;
}

static uint64_t jittered(uint64_t ms, uint64_t random)
{
    uint64_t spread = ms / 5;
    uint64_t moved = ms - spread / 2 + (spread > 0 ? random % (spread + 1) : 0);
    return moved > 0 ? moved : 1;
}

uint64_t sp_fetch_plan_ms(const struct sp_fetch_plan *plan, int64_t now, uint64_t random)
{
    if (plan->failures > 0 || plan->until <= now)
        return jittered(after_failures(plan), random);
    bool clock_was_set_back = plan->looked_at > now;
    uint64_t ms = jittered(while_good(plan), random);
    uint64_t past_ms = clock_was_set_back ? 0 : (uint64_t)(now - plan->looked_at) * 1000;
    return past_ms < ms ? ms - past_ms : 1;
}

bool sp_fetch_is_same_cause(const char *a, const char *b)
{
    for (;;) {
        while (sp_is_digit(*a))
            a++;
        while (sp_is_digit(*b))
            b++;
        if (*a != *b)
            return false;
        if (*a == '\0')
            return true;
        a++;
        b++;
    }
}
