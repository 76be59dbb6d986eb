/* A fleet as one worker sees it: for each upstream the lineup that it goes by, with the worker's outlets beside its endpoints, and
 * what its requests have earned of retries.
 *
 * A new lineup is noticed by its number, one relaxed read a request. What it has in common with the one before stays in use
 * throughout: it is named by the new choice before the old one is let go of. */
#include "upstream/pool/pool_impl.h"

#include "sallyport/base/clock.h"

#define CREDIT_OF_A_RETRY 100
#define CREDIT_MAX        (10 * CREDIT_OF_A_RETRY) /* what a quiet time can save for a bad one */
#define ALWAYS_A_SECOND   3                        /* retries of a worker and upstream, whatever was earned */

/* ---- choice ---- */

void sp_choice_let_go(struct sp_choice *c)
{
    if (--c->users > 0)
        return;
    for (size_t i = 0; i < c->named; i++) {
        sp_outlet_unname(c->outlets[i]);
        sp_outlet_let_go(c->outlets[i]);
    }
    sp_free(c->outlets);
    sp_free(c->usable);
    sp_lineup_unref(c->lineup);
    sp_free(c);
}

static struct sp_outlet *outlet_in(const struct sp_choice *c, const struct sp_endpoint *ep)
{
    for (size_t i = 0; i < c->named; i++) {
        if (c->outlets[i]->endpoint == ep)
            return c->outlets[i];
    }
    return NULL;
}

/* `usable` is in the order of `all`, mostly: looking on from the last one found makes it linear. */
static bool find_usable(struct sp_choice *c)
{
    size_t at = 0;

    for (size_t i = 0; i < c->lineup->usable_count; i++) {
        while (at < c->named && c->outlets[at]->endpoint != c->lineup->usable[i])
            at++;
        c->usable[i] = at < c->named ? c->outlets[at] : outlet_in(c, c->lineup->usable[i]);
        if (c->usable[i] == NULL)
            return false;
        at = at < c->named ? at + 1 : 0;
    }
    return true;
}

/* Takes over `lineup`. */
static struct sp_choice *choice_new(struct sp_upstreams *u, struct sp_lineup *lineup, struct sp_queue *queue)
{
    struct sp_choice *c = SP_NEW(struct sp_choice);

    if (c == NULL) {
        sp_lineup_unref(lineup);
        return NULL;
    }
    c->users = 1;
    c->lineup = lineup;
    c->outlets = sp_alloc(lineup->all_count + 1, sizeof(struct sp_outlet *));
    c->usable = sp_alloc(lineup->usable_count + 1, sizeof(struct sp_outlet *));
    if (c->outlets == NULL || c->usable == NULL)
        goto fail;
    for (size_t i = 0; i < lineup->all_count; i++) {
        struct sp_outlet *o = sp_outlet_of(u, lineup->all[i], queue);
        if (o == NULL)
            goto fail;
        sp_outlet_name(o);
        c->outlets[c->named++] = o;
    }
    if (find_usable(c))
        return c;
fail:
    sp_choice_let_go(c);
    return NULL;
}

void sp_target_refresh(struct sp_targets *t, size_t upstream)
{
    struct sp_target *target = &t->items[upstream];
    uint64_t version = sp_fleet_version(t->fleet, upstream);

    if (target->choice != NULL && version == target->version)
        return;
    /* The number first: a lineup newer than it is only taken up once more. */
    struct sp_choice *fresh =
        choice_new(t->owner, sp_fleet_lineup(t->fleet, upstream), sp_fleet_queue(t->fleet, upstream));
    if (fresh == NULL)
        return;
    if (target->choice != NULL)
        sp_choice_let_go(target->choice);
    target->choice = fresh;
    target->version = version;
}

/* ---- targets ---- */

static void settle(const struct sp_targets *t, size_t upstream)
{
    const struct sp_choice *c = t->items[upstream].choice;
    const struct sp_tls_client *tls = sp_fleet_tls(t->fleet, upstream, t->owner->with.worker);

    for (size_t i = 0; i < c->named; i++)
        sp_outlet_settle(c->outlets[i], tls);
}

struct sp_targets *sp_targets_new(
    struct sp_upstreams *u, struct sp_fleet *fleet, const struct sp_config *config)
{
    struct sp_targets *t = sp_alloc(1, sizeof(*t) + config->upstream_count * sizeof(struct sp_target));

    if (t == NULL)
        return NULL;
    t->users = 1;
    t->owner = u;
    t->fleet = sp_fleet_ref(fleet);
    t->limits = (struct sp_h1_limits){config->limits.header_bytes, config->limits.headers, 0};
    for (size_t i = 0; i < config->upstream_count; i++) {
        t->items[i].config = &config->upstreams[i];
        t->items[i].next_turn = u->with.worker; /* so that workers do not all begin with the same one */
        t->count++;
        sp_target_refresh(t, i);
        if (t->items[i].choice == NULL)
            goto fail;
        settle(t, i);
    }
    return t;
fail:
    sp_targets_let_go(t);
    return NULL;
}

/* What is still in use goes on by what it was taken by. */
void sp_targets_let_go(struct sp_targets *t)
{
    if (--t->users > 0)
        return;
    for (size_t i = 0; i < t->count; i++) {
        if (t->items[i].choice != NULL)
            sp_choice_let_go(t->items[i].choice);
    }
    sp_fleet_unref(t->fleet);
    sp_free(t);
}

void sp_targets_free(struct sp_targets *t)
{
    if (t != NULL)
        sp_targets_let_go(t);
}

/* ---- retries ---- */

void sp_target_earn(struct sp_target *target)
{
    target->credit += target->config->retries.budget;
    if (target->credit > CREDIT_MAX)
        target->credit = CREDIT_MAX;
}

bool sp_targets_may_retry(struct sp_targets *t, size_t upstream)
{
    struct sp_target *target = &t->items[upstream];
    struct sp_pace always = sp_pace_of(ALWAYS_A_SECOND, 1000, ALWAYS_A_SECOND);
    uint64_t wait_ns;

    if (target->credit >= CREDIT_OF_A_RETRY) {
        target->credit -= CREDIT_OF_A_RETRY;
        return true;
    }
    return sp_pace_take(
        &always, sp_mono_us(), target->allowance_full_ns, &target->allowance_full_ns, &wait_ns);
}
