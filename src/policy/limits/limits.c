/* Limits: what a connection holds of the table of places, and what a request costs there.
 *
 *   connect --> places, by (caller, what `per` names) --> enter --> in flight --> leave
 *               limit_key.c, limit_table.c                  rate: one compare-and-swap; requests at once: one, and one
 *                                                           more to give it back
 *
 * What is copied into a hold does not depend on the configuration any more, so it can outlive it. */
#include "sallyport/policy/limits.h"

#include "policy/limits/limit_key.h"
#include "policy/limits/limit_table.h"
#include "sallyport/base/mem.h"
#include "sallyport/base/pace.h"

/* Nobody knows when a request in flight will be over. */
#define REQUESTS_RETRY_MS 1000

struct sp_limits {
    struct sp_limit_secret secret;
    struct sp_limit_table *table;
};

struct hold {
    size_t caller; /* in config->callers; SP_NONE after a failed move */
    struct sp_limit_place *place;
    struct sp_pace pace;
    unsigned requests; /* at once; 0: no limit, and not counted */
};

struct sp_limit_holds {
    struct sp_limits *limits;
    size_t count;
    struct hold items[];
};

struct sp_limits *sp_limits_new(unsigned places)
{
    struct sp_limits *l = SP_NEW(struct sp_limits);

    if (l == NULL)
        return NULL;
    l->table = sp_limit_table_new(places);
    if (l->table == NULL || sp_limit_secret_init(&l->secret) != SP_OK) {
        sp_limits_free(l);
        return NULL;
    }
    return l;
}

void sp_limits_free(struct sp_limits *l)
{
    if (l == NULL)
        return;
    sp_limit_table_free(l->table);
    sp_free(l);
}

bool sp_limits_are_set(const struct sp_config *config)
{
    for (size_t i = 0; i < config->caller_count; i++) {
        if (config->callers[i].limits != NULL)
            return true;
    }
    return false;
}

/* ---- connections ---- */

/* Room for all that may be needed; NULL in *out when nothing is. */
static enum sp_rc make_holds(struct sp_limits *l, const struct sp_config *config,
    struct sp_caller_ids callers, struct sp_limit_holds **out)
{
    size_t count = 0;

    *out = NULL;
    for (size_t i = 0; i < callers.count; i++)
        count += config->callers[callers.items[i]].limits != NULL;
    if (count == 0)
        return SP_OK;
    *out = sp_alloc(1, sizeof(**out) + count * sizeof((*out)->items[0]));
    if (*out == NULL)
        return SP_FAIL;
    (*out)->limits = l;
    return SP_OK;
}

static void add_hold(struct sp_limit_holds *h, size_t caller, const struct sp_config_caller_limits *limits,
    struct sp_limit_place *place)
{
    h->items[h->count++] = (struct hold){.caller = caller,
        .place = place,
        .pace = sp_pace_of(limits->rate.requests, limits->rate.period_ms, limits->burst),
        .requests = limits->concurrent_requests};
}

enum sp_refusal sp_limits_connect(struct sp_limits *l, const struct sp_config *config,
    struct sp_caller_ids callers, const struct sp_identity *id, uint64_t now_us, struct sp_limit_holds **out,
    size_t *caller)
{
    struct sp_limit_holds *h;

    *out = NULL;
    *caller = SP_NONE;
    if (make_holds(l, config, callers, &h) != SP_OK)
        return SP_REFUSAL_out_of_memory;
    for (size_t i = 0; h != NULL && i < callers.count; i++) {
        const struct sp_config_caller *c = &config->callers[callers.items[i]];
        struct sp_limit_place *place;
        if (c->limits == NULL)
            continue;
        struct sp_limit_key key = sp_limit_key_of(&l->secret, c->name, c->limits->per, id);
        enum sp_rc rc = sp_limit_table_take(l->table, &key, c->limits->connections, now_us, &place);
        if (rc != SP_OK) {
            *caller = callers.items[i];
            sp_limits_disconnect(h);
            return rc == SP_AGAIN ? SP_REFUSAL_caller_connections : SP_REFUSAL_limit_table_full;
        }
        add_hold(h, callers.items[i], c->limits, place);
    }
    *out = h;
    return SP_REFUSAL_none;
}

void sp_limits_disconnect(struct sp_limit_holds *h)
{
    for (size_t i = 0; h != NULL && i < h->count; i++)
        sp_limit_table_give(h->limits->table, h->items[i].place);
    sp_free(h);
}

/* ---- the same connection by another configuration ---- */

static struct hold *hold_of_key(struct sp_limit_holds *h, const struct sp_limit_key *key)
{
    for (size_t i = 0; h != NULL && i < h->count; i++) {
        const struct sp_limit_key *has = &h->items[i].place->key;
        if (has->half[0] == key->half[0] && has->half[1] == key->half[1])
            return &h->items[i];
    }
    return NULL;
}

static bool holds_place(const struct sp_limit_holds *h, const struct sp_limit_place *place)
{
    for (size_t i = 0; h != NULL && i < h->count; i++) {
        if (h->items[i].place == place)
            return true;
    }
    return false;
}

/* Gives back those of `h` that `other` does not have too. */
static void give_unshared(struct sp_limit_holds *h, const struct sp_limit_holds *other)
{
    for (size_t i = 0; h != NULL && i < h->count; i++) {
        if (!holds_place(other, h->items[i].place))
            sp_limit_table_give(h->limits->table, h->items[i].place);
    }
    sp_free(h);
}

static enum sp_rc fill(struct sp_limits *l, const struct sp_config *config, struct sp_caller_ids callers,
    const struct sp_identity *id, uint64_t now_us, struct sp_limit_holds *before, struct sp_limit_holds *h)
{
    for (size_t i = 0; i < callers.count; i++) {
        const struct sp_config_caller *c = &config->callers[callers.items[i]];
        struct sp_limit_place *place;
        if (c->limits == NULL)
            continue;
        struct sp_limit_key key = sp_limit_key_of(&l->secret, c->name, c->limits->per, id);
        const struct hold *has = hold_of_key(before, &key);
        if (has != NULL)
            place = has->place; /* what is held need not be looked for */
        else if (sp_limit_table_take(l->table, &key, 0, now_us, &place) != SP_OK)
            return SP_FAIL;
        add_hold(h, callers.items[i], c->limits, place);
    }
    return SP_OK;
}

enum sp_rc sp_limits_move(struct sp_limits *l, const struct sp_config *config, struct sp_caller_ids callers,
    const struct sp_identity *id, uint64_t now_us, struct sp_limit_holds **holds)
{
    struct sp_limit_holds *h, *before = *holds;

    if (make_holds(l, config, callers, &h) == SP_OK &&
        (h == NULL || fill(l, config, callers, id, now_us, before, h) == SP_OK)) {
        give_unshared(before, h);
        *holds = h;
        return SP_OK;
    }
    give_unshared(h, before);
    for (size_t i = 0; before != NULL && i < before->count; i++)
        before->items[i].caller = SP_NONE;
    return SP_FAIL;
}

/* ---- requests ---- */

static struct hold *hold_of(struct sp_limit_holds *h, size_t caller)
{
    for (size_t i = 0; h != NULL && i < h->count; i++) {
        if (h->items[i].caller == caller && caller != SP_NONE)
            return &h->items[i];
    }
    return NULL;
}

static bool take_request(struct hold *h)
{
    uint32_t in_flight = atomic_load_explicit(&h->place->requests, memory_order_relaxed);

    do {
        if (in_flight >= h->requests)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &h->place->requests, &in_flight, in_flight + 1, memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void give_request(struct hold *h)
{
    uint32_t before = atomic_fetch_sub_explicit(&h->place->requests, 1, memory_order_relaxed);

    SP_ASSERT(before > 0);
}

static bool take_token(struct hold *h, uint64_t now_us, uint64_t *wait_ns)
{
    uint64_t full_at_ns = atomic_load_explicit(&h->place->full_at_ns, memory_order_relaxed);
    uint64_t after_ns;
    bool taken;

    do {
        taken = sp_pace_take(&h->pace, now_us, full_at_ns, &after_ns, wait_ns);
        if (after_ns == full_at_ns)
            return taken;
    } while (!atomic_compare_exchange_weak_explicit(
        &h->place->full_at_ns, &full_at_ns, after_ns, memory_order_relaxed, memory_order_relaxed));
    return taken;
}

enum sp_refusal sp_limits_enter(
    struct sp_limit_holds *holds, size_t caller, uint64_t now_us, uint64_t *retry_ms)
{
    struct hold *h = hold_of(holds, caller);
    uint64_t wait_ns = 0;

    if (h == NULL)
        return SP_REFUSAL_none;
    if (h->requests != 0 && !take_request(h)) {
        *retry_ms = REQUESTS_RETRY_MS;
        return SP_REFUSAL_caller_requests;
    }
    if (h->pace.interval_ns != 0 && !take_token(h, now_us, &wait_ns)) {
        if (h->requests != 0)
            give_request(h);
        *retry_ms = (wait_ns - 1) / 1000000 + 1;
        return SP_REFUSAL_caller_rate;
    }
    return SP_REFUSAL_none;
}

void sp_limits_reenter(struct sp_limit_holds *holds, size_t caller)
{
    struct hold *h = hold_of(holds, caller);

    if (h != NULL && h->requests != 0)
        atomic_fetch_add_explicit(&h->place->requests, 1, memory_order_relaxed);
}

void sp_limits_leave(struct sp_limit_holds *holds, size_t caller)
{
    struct hold *h = hold_of(holds, caller);

    if (h != NULL && h->requests != 0)
        give_request(h);
}
