/* Who may be asked, and in what turn: from the endpoints of an upstream and how each of them is, a table to choose from.
 *
 * Turns: an endpoint of weight w stands w times in the table, at (k + 1/2) / w of its length for k in 0..w-1, so that a heavy one
 * is not asked many times in a row. Weights are first divided by what they have in common, and brought down if the table would
 * be longer than SP_LINEUP_SLOTS_MAX.
 *
 * Points on the circle: as many for each unit of weight, at places that depend on nothing but the endpoint's address (and its
 * name, where there may be several of one address). How many
 * a unit has is reckoned from all endpoints, not from those that are well, so that one which goes down, or comes back, moves
 * no key but its own. */
#include <stdlib.h>

#include "upstream/roster/roster_impl.h"

#define POINTS_EACH 160 /* a unit of weight: shares differ by a tenth or so */
#define POINTS_MAX  65536

/* ---- weights ---- */

static unsigned gcd(unsigned a, unsigned b)
{
    while (b != 0) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* What the weights of all come to when they are made small: w -> w / divisor, at most `sum` in all. */
struct scale {
    unsigned divisor;
    uint64_t sum;
};

static struct scale scale_of(const struct sp_candidate *c, size_t count)
{
    struct scale s = {0, 0};

    for (size_t i = 0; i < count; i++) {
        s.divisor = gcd(s.divisor, c[i].weight);
        s.sum += c[i].weight;
    }
    if (s.divisor == 0)
        s.divisor = 1;
    s.sum /= s.divisor;
    return s;
}

/* `weight` in units of the table: `max` for all, and never nothing. */
static unsigned share_of(unsigned weight, const struct scale *s, uint64_t max)
{
    uint64_t units = weight / s->divisor;

    if (s->sum > max)
        units = units * max / s->sum;
    return units > 0 ? (unsigned)units : 1;
}

/* ---- turns ---- */

struct slot {
    double at;
    uint16_t index;
};

static int compare_slots(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (int)x->index - (int)y->index;
}

static bool make_turns(struct sp_lineup *l)
{
    struct sp_candidate *chosen = sp_alloc(l->usable_count + 1, sizeof(*chosen));
    struct slot *slots = NULL;
    size_t total = 0, n = 0;
    bool made = false;

    if (chosen == NULL)
        return false;
    for (size_t i = 0; i < l->usable_count; i++)
        chosen[i].weight = l->weights[i];
    struct scale scale = scale_of(chosen, l->usable_count);
    for (size_t i = 0; i < l->usable_count; i++) {
        chosen[i].weight = share_of(l->weights[i], &scale, SP_LINEUP_SLOTS_MAX - SP_CANDIDATES_MAX);
        total += chosen[i].weight;
    }
    slots = sp_alloc(total + 1, sizeof(*slots));
    l->turns = sp_alloc(total + 1, sizeof(*l->turns));
    if (slots == NULL || l->turns == NULL)
        goto out;
    for (size_t i = 0; i < l->usable_count; i++) {
        for (unsigned k = 0; k < chosen[i].weight; k++)
            slots[n++] = (struct slot){((double)k + 0.5) / chosen[i].weight, (uint16_t)i};
    }
    qsort(slots, total, sizeof(*slots), compare_slots);
    for (size_t i = 0; i < total; i++)
        l->turns[i] = slots[i].index;
    l->turn_count = total;
    made = true;
out:
    sp_free(slots);
    sp_free(chosen);
    return made;
}

/* ---- points ---- */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

static int compare_points(const void *a, const void *b)
{
    const struct sp_lineup_point *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static unsigned points_of(unsigned weight, const struct scale *all)
{
    if (all->sum * POINTS_EACH <= POINTS_MAX)
        return share_of(weight, all, all->sum) * POINTS_EACH;
    unsigned points = share_of(weight, all, UINT64_MAX);
    return (unsigned)(((uint64_t)points * POINTS_MAX + all->sum - 1) / all->sum);
}

static bool make_points(struct sp_lineup *l, const struct sp_config_upstream *config, const struct scale *all)
{
    size_t total = 0, n = 0;

    for (size_t i = 0; i < l->usable_count; i++)
        total += points_of(l->weights[i], all);
    l->points = sp_alloc(total + 1, sizeof(*l->points));
    if (l->points == NULL)
        return false;
    for (size_t i = 0; i < l->usable_count; i++) {
        uint64_t seed = hash_text(l->usable[i]->text);
        if (sp_upstream_goes_by_host(config))
            seed = mix(seed ^ hash_text(l->usable[i]->host));
        unsigned points = points_of(l->weights[i], all);
        for (unsigned k = 0; k < points; k++)
            l->points[n++] = (struct sp_lineup_point){mix(seed + k), (uint32_t)i};
    }
    qsort(l->points, total, sizeof(*l->points), compare_points);
    l->point_count = total;
    return true;
}

/* ---- who may be asked ---- */

static bool is_well(const struct sp_endpoint *ep)
{
    return !atomic_load_explicit(&ep->is_down, memory_order_relaxed) &&
           !atomic_load_explicit(&ep->is_ejected, memory_order_relaxed);
}

struct count {
    size_t all, well; /* of weight over 0 */
};

static struct count count_those(const struct sp_candidate *c, size_t count, bool backups)
{
    struct count n = {0, 0};

    for (size_t i = 0; i < count; i++) {
        if (c[i].weight == 0 || c[i].is_backup != backups)
            continue;
        n.all++;
        n.well += is_well(c[i].ep);
    }
    return n;
}

/* An upstream that has nothing but backups has primaries all the same. */
static void choose(
    struct sp_lineup *l, const struct sp_config_upstream *config, const struct sp_candidate *c, size_t count)
{
    struct count primaries = count_those(c, count, false), backups = count_those(c, count, true);
    bool ask_backups = primaries.all == 0 || (primaries.well == 0 && backups.well > 0);
    struct count asked = ask_backups ? backups : primaries;

    l->is_panic = asked.all > 0 && asked.well * 100 < (uint64_t)config->panic_percent * asked.all &&
                  (ask_backups ? primaries.all == 0 : backups.well == 0);
    for (size_t i = 0; i < count; i++) {
        if (c[i].weight == 0 || c[i].is_backup != ask_backups || (!l->is_panic && !is_well(c[i].ep)))
            continue;
        l->usable[l->usable_count] = c[i].ep;
        l->weights[l->usable_count++] = c[i].weight;
    }
}

struct sp_lineup *sp_lineup_new(
    const struct sp_config_upstream *config, const struct sp_candidate *candidates, size_t count)
{
    struct sp_lineup *l = SP_NEW(struct sp_lineup);
    struct scale all = scale_of(candidates, count);

    if (l == NULL)
        return NULL;
    atomic_init(&l->refs, 1);
    l->all = sp_alloc(count + 1, sizeof(struct sp_endpoint *));
    l->usable = sp_alloc(count + 1, sizeof(struct sp_endpoint *));
    l->weights = sp_alloc(count + 1, sizeof(*l->weights));
    if (l->all == NULL || l->usable == NULL || l->weights == NULL)
        goto fail;
    for (size_t i = 0; i < count; i++)
        l->all[l->all_count++] = sp_endpoint_ref(candidates[i].ep);
    choose(l, config, candidates, count);
    if (!make_turns(l) || (config->balance == SP_BALANCE_HASH && !make_points(l, config, &all)))
        goto fail;
    return l;
fail:
    sp_lineup_unref(l);
    return NULL;
}

void sp_lineup_unref(struct sp_lineup *l)
{
    if (l == NULL || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < l->all_count; i++)
        sp_endpoint_unref(l->all[i]);
    sp_free(l->all);
    sp_free(l->usable);
    sp_free(l->weights);
    sp_free(l->turns);
    sp_free(l->points);
    sp_free(l);
}

/* Points and turns follow from the rest, for the same configuration. */
bool sp_lineup_is_same(const struct sp_lineup *a, const struct sp_lineup *b)
{
    return a->all_count == b->all_count && a->usable_count == b->usable_count && a->is_panic == b->is_panic &&
           memcmp(a->all, b->all, a->all_count * sizeof(struct sp_endpoint *)) == 0 &&
           memcmp(a->usable, b->usable, a->usable_count * sizeof(struct sp_endpoint *)) == 0 &&
           memcmp(a->weights, b->weights, a->usable_count * sizeof(*a->weights)) == 0;
}
