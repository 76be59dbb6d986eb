/* The arithmetic of a bucket of tokens. Moments and lengths stay below 2^62 each, so that three of them can be added. */
#include "sallyport/base/pace.h"

#define FAR_NS ((uint64_t)1 << 62)
/* Threads read the clock a little before they use it: a moment that is too far ahead by no more than this came about
 * fairly. */
#define SKEW_NS UINT64_C(1000000000)

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) || product > FAR_NS ? FAR_NS : product;
}

struct sp_pace sp_pace_of(unsigned count, uint64_t period_ms, unsigned burst)
{
    if (count == 0)
        return (struct sp_pace){0};
    uint64_t interval_ns = times(period_ms, 1000000) / count;
    if (interval_ns == 0)
        interval_ns = 1;
    return (struct sp_pace){interval_ns, times(interval_ns, burst != 0 ? burst : 1)};
}

bool sp_pace_take(
    const struct sp_pace *p, uint64_t now_us, uint64_t full_at_ns, uint64_t *after_ns, uint64_t *wait_ns)
{
    uint64_t now_ns = times(now_us, 1000);
    uint64_t limit_ns = now_ns + p->burst_ns;
    uint64_t from_ns = full_at_ns > now_ns ? full_at_ns : now_ns;

    *after_ns = full_at_ns;
    if (p->interval_ns == 0)
        return true;
    if (from_ns > limit_ns && from_ns - limit_ns > SKEW_NS)
        from_ns = *after_ns = limit_ns;
    if (from_ns + p->interval_ns > limit_ns) {
        *wait_ns = from_ns + p->interval_ns - limit_ns;
        return false;
    }
    *after_ns = from_ns + p->interval_ns;
    return true;
}

bool sp_pace_is_full(uint64_t now_us, uint64_t full_at_ns)
{
    return full_at_ns <= times(now_us, 1000);
}
