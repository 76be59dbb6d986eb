/* Latencies in buckets that grow with the value: linear below LOAD_HIST_SUB ns, then LOAD_HIST_SUB / 2 steps in
 * each power of two. Fixed in size, so that a long run needs no more memory than a short one. */
#include "load.h"

#define HALF (LOAD_HIST_SUB / 2)

static size_t index_of(uint64_t value)
{
    if (value < LOAD_HIST_SUB)
        return (size_t)value;
    unsigned top = 63u - (unsigned)__builtin_clzll(value); /* at least 6 */
    unsigned shift = top - 5;                              /* leaves HALF .. LOAD_HIST_SUB - 1 */
    size_t index = (size_t)(value >> shift) + (size_t)shift * HALF;
    return index < LOAD_HIST_SIZE ? index : LOAD_HIST_SIZE - 1;
}

/* The middle of the bucket. */
static uint64_t value_of(size_t index)
{
    if (index < LOAD_HIST_SUB)
        return index;
    unsigned shift = (unsigned)((index - HALF) / HALF);
    uint64_t low = (uint64_t)(index - (size_t)shift * HALF) << shift;
    return low + (UINT64_C(1) << shift) / 2;
}

void sp_load_hist_add(struct sp_load_hist *hist, uint64_t ns)
{
    hist->counts[index_of(ns)]++;
    hist->total++;
}

uint64_t sp_load_hist_at(const struct sp_load_hist *hist, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)hist->total + 0.5), seen = 0;
    if (hist->total == 0)
        return 0;
    if (wanted == 0)
        wanted = 1;
    for (size_t i = 0; i < LOAD_HIST_SIZE; i++) {
        seen += hist->counts[i];
        if (seen >= wanted)
            return value_of(i);
    }
    return value_of(LOAD_HIST_SIZE - 1);
}
