/* A place in the queue: an errand whose endpoints are all at their max_connections.
 *
 *                 take                mail                    redeem
 *   (no place) ---------> WAITING ----------> CALLED ----------------------> (no place), and may come back to where it was
 *                            |                   |
 *                            | leave             | end: what was given goes back
 *                            +---------+---------+
 *                                      v
 *                    (no place), or LEFT until the mail that is on its way has come
 *
 * The place is what the queue and the mailbox know, never the errand: that may end at any time. */
#include "upstream/pool/pool_impl.h"

static struct sp_queue *queue_of(const struct sp_place *p)
{
    return sp_fleet_queue(p->targets->fleet, p->upstream);
}

static void place_free(struct sp_place *p)
{
    sp_choice_let_go(p->choice);
    sp_targets_let_go(p->targets);
    sp_free(p);
}

/* What was given to it is somebody else's again. */
static void give_back(struct sp_place *p)
{
    if (p->turn.gift != NULL)
        sp_conn_return(p->turn.gift, p->targets->items[p->upstream].config);
    else if (p->turn.granted != NULL)
        sp_slot_release(queue_of(p), p->turn.granted);
}

static void on_mail(struct sp_mail *m)
{
    struct sp_place *p = SP_CONTAINER_OF(SP_CONTAINER_OF(m, struct sp_turn, mail), struct sp_place, turn);

    p->called = true;
    if (p->errand != NULL) {
        p->errand->on_event(p->errand->arg);
        return;
    }
    give_back(p);
    place_free(p);
}

/* Any thread: the errand stays as it is while it waits, and endpoints of a lineup while the lineup does. */
static bool wants(const struct sp_turn *t, const struct sp_endpoint *ep)
{
    const struct sp_place *p = SP_CONTAINER_OF((struct sp_turn *)(uintptr_t)t, struct sp_place, turn);
    const struct sp_lineup *l = p->choice->lineup;

    if (!sp_errand_would_take(p->errand, p->taste, ep))
        return false;
    for (size_t i = 0; i < l->usable_count; i++) {
        if (l->usable[i] == ep)
            return true;
    }
    return false;
}

enum sp_rc sp_place_take(struct sp_targets *t, struct sp_errand *e, struct sp_taste taste)
{
    struct sp_target *target = &t->items[e->upstream];

    if (target->config->queue_max == 0)
        return SP_EOF;
    struct sp_place *p = SP_NEW(struct sp_place);
    if (p == NULL)
        return SP_FAIL;
    p->turn = (struct sp_turn){.mail.fn = on_mail,
        .loop = t->owner->with.loop,
        .wants = wants,
        .ticket = e->ticket,
        .takes_gifts = !sp_errand_needs_new(e)};
    p->errand = e;
    p->targets = t;
    p->upstream = e->upstream;
    p->choice = target->choice;
    p->taste = taste;
    t->users++;
    p->choice->users++;
    if (sp_queue_wait(queue_of(p), target->config->queue_max, &p->turn) != SP_OK) {
        place_free(p);
        return SP_EOF;
    }
    e->place = p;
    e->waiting = true;
    return SP_OK;
}

bool sp_place_leave(struct sp_errand *e)
{
    struct sp_place *p = e->place;

    if (!sp_queue_leave(queue_of(p), &p->turn))
        return false;
    e->place = NULL;
    e->waiting = false;
    place_free(p);
    return true;
}

void sp_place_redeem(struct sp_errand *e, struct sp_endpoint **granted, struct sp_conn **gift)
{
    struct sp_place *p = e->place;

    SP_ASSERT(p->called);
    *granted = p->turn.granted != NULL ? sp_endpoint_ref(p->turn.granted) : NULL;
    *gift = p->turn.gift;
    e->ticket = p->turn.ticket;
    e->place = NULL;
    e->waiting = false;
    place_free(p); /* with a lineup that may have been the last to know the endpoint */
}

void sp_place_abandon(struct sp_errand *e)
{
    struct sp_place *p = e->place;

    if (p == NULL || (!p->called && sp_place_leave(e)))
        return;
    e->place = NULL;
    e->waiting = false;
    if (!p->called) {
        p->errand = NULL;
        return;
    }
    give_back(p);
    place_free(p);
}
