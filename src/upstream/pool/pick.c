/* Balancing: round robin, least requests, hash. See pick.h.
 *
 * Whether an endpoint may be chosen at all (it is up, it was not tried, it has room for a connection) is the caller's to say; here
 * it is only asked. None of the three asks about an endpoint that it would not take, and round robin and hash ask about each
 * at most once: where weights differ much, a table has thousands of places for each endpoint, and all of them may be full. */
#include "upstream/pool/pick.h"

/* What an endpoint gets that has just come back: nothing at all would leave it cold for ever. */
#define SHARE_LEAST (SP_SHARE_FULL / 10)

unsigned sp_pick_share(uint64_t up_since_ms, uint64_t now_ms, uint64_t slow_start_ms)
{
    if (up_since_ms == 0 || now_ms >= up_since_ms + slow_start_ms)
        return SP_SHARE_FULL;
    if (now_ms <= up_since_ms)
        return SHARE_LEAST;
    unsigned share = (unsigned)((now_ms - up_since_ms) * SP_SHARE_FULL / slow_start_ms);
    return share > SHARE_LEAST ? share : SHARE_LEAST;
}

static unsigned share_of(const struct sp_pick *p, uint32_t index)
{
    if (p->slow_start_ms == 0)
        return SP_SHARE_FULL;
    const struct sp_endpoint *ep = p->lineup->usable[index];
    uint64_t since_ms = atomic_load_explicit(&ep->up_since_ms, memory_order_relaxed);
    return sp_pick_share(since_ms, p->now_ms, p->slow_start_ms);
}

/* Evenly below `end`, by the upper half of a product (Lemire); its bias is below one in a billion for what `end` can be. */
static uint32_t random_below(struct sp_random *random, uint32_t end)
{
    return (uint32_t)((sp_random_next(random) >> 32) * end >> 32);
}

/* ---- who was asked about ---- */

struct asked {
    uint64_t bits[SP_LINEUP_USABLE_MAX / 64]; /* as many as there are endpoints */
    size_t left;                              /* endpoints nobody asked about yet */
    size_t places;                            /* of the table that are still looked at */
};

/* So many places, that of endpoints of equal weight, however they are strewn, none is left over but by a freak of chance. */
static void ask_nobody(struct asked *asked, const struct sp_lineup *l, size_t places)
{
    size_t most = 256 + 16 * l->usable_count;

    memset(asked->bits, 0, (l->usable_count + 63) / 64 * sizeof(asked->bits[0]));
    asked->left = l->usable_count;
    asked->places = places < most ? places : most;
}

/* False: it was before. */
static bool ask(struct asked *asked, const struct sp_pick *p, uint32_t index, bool *may)
{
    uint64_t bit = UINT64_C(1) << (index % 64);

    if (asked->bits[index / 64] & bit)
        return false;
    asked->bits[index / 64] |= bit;
    asked->left--;
    *may = p->may(p->arg, index);
    return true;
}

/* ---- round robin ---- */

struct round {
    struct asked asked;
    uint32_t passed; /* the first that let its turn pass */
};

/* An endpoint in slow start lets most of its turns pass. */
static bool takes_turn(struct round *r, const struct sp_pick *p, uint32_t index)
{
    bool may;

    if (!ask(&r->asked, p, index, &may) || !may)
        return false;
    unsigned share = share_of(p, index);
    if (share == SP_SHARE_FULL || random_below(p->random, SP_SHARE_FULL) < share)
        return true;
    if (r->passed == SP_PICK_NONE)
        r->passed = index;
    return false;
}

/* When all let their turns pass, the first of them is taken. */
uint32_t sp_pick_round_robin(const struct sp_pick *p, size_t *next)
{
    const struct sp_lineup *l = p->lineup;
    uint32_t count = (uint32_t)l->usable_count;
    struct round r;

    ask_nobody(&r.asked, l, l->turn_count);
    r.passed = SP_PICK_NONE;
    for (; r.asked.left > 0 && r.asked.places > 0; r.asked.places--) {
        uint32_t index = l->turns[(*next)++ % l->turn_count];
        if (takes_turn(&r, p, index))
            return index;
    }
    uint32_t start = r.asked.left > 0 ? random_below(p->random, count) : 0;
    for (uint32_t i = 0; r.asked.left > 0 && i < count; i++) {
        uint32_t index = (start + i) % count;
        if (takes_turn(&r, p, index))
            return index;
    }
    return r.passed;
}

/* ---- least requests ---- */

static uint64_t requests_of(const struct sp_pick *p, uint32_t index)
{
    return atomic_load_explicit(&p->lineup->usable[index]->requests, memory_order_relaxed);
}

static uint64_t capacity_of(const struct sp_pick *p, uint32_t index)
{
    return (uint64_t)p->lineup->weights[index] * share_of(p, index);
}

/* With one more request each; where nobody has any there is nothing to compare, and chance decides by weight. */
static bool is_busier(const struct sp_pick *p, uint32_t a, uint32_t b)
{
    uint64_t a_requests = requests_of(p, a), b_requests = requests_of(p, b);
    uint64_t a_capacity = capacity_of(p, a), b_capacity = capacity_of(p, b);

    if (a_requests == 0 && b_requests == 0)
        return sp_random_next(p->random) % (a_capacity + b_capacity) >= a_capacity;
    return (a_requests + 1) * b_capacity > (b_requests + 1) * a_capacity;
}

/* The first that may be chosen, from `start` on and around, but `other`. */
static uint32_t next_that_may(const struct sp_pick *p, uint32_t start, uint32_t other)
{
    uint32_t count = (uint32_t)p->lineup->usable_count;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = start + i < count ? start + i : start + i - count;
        if (index != other && p->may(p->arg, index))
            return index;
    }
    return SP_PICK_NONE;
}

uint32_t sp_pick_least_requests(const struct sp_pick *p)
{
    uint32_t count = (uint32_t)p->lineup->usable_count;

    if (count == 0)
        return SP_PICK_NONE;
    uint32_t a = next_that_may(p, random_below(p->random, count), SP_PICK_NONE);
    if (a == SP_PICK_NONE || count == 1)
        return a;
    uint32_t b = next_that_may(p, random_below(p->random, count), a);
    return b != SP_PICK_NONE && is_busier(p, a, b) ? b : a;
}

/* ---- hash ---- */

static size_t first_point_from(const struct sp_lineup *l, uint64_t hash)
{
    size_t low = 0, high = l->point_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->points[middle].at < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t sp_pick_hash(const struct sp_pick *p, uint64_t hash)
{
    const struct sp_lineup *l = p->lineup;
    struct asked asked;
    size_t at = first_point_from(l, hash);
    uint32_t count = (uint32_t)l->usable_count;
    bool may;

    ask_nobody(&asked, l, l->point_count);
    for (; asked.left > 0 && asked.places > 0; asked.places--, at++) {
        uint32_t index = l->points[at % l->point_count].index;
        if (ask(&asked, p, index, &may) && may)
            return index;
    }
    for (uint32_t i = 0; asked.left > 0 && i < count; i++) {
        uint32_t index = (uint32_t)((hash + i) % count);
        if (ask(&asked, p, index, &may) && may)
            return index;
    }
    return SP_PICK_NONE;
}
