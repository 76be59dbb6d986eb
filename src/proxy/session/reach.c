/* The walk over all sessions when something has changed: they move to the worker's view, and whoever would
 * not be let in any more is ended. In slices, so that requests are served in between.
 *
 *           no census                        the census says "go"
 *   start ------------> END --> NONE    +------------------------> END --> NONE
 *     |                                 |
 *     +-- census ----> COUNT --> ASKED -+------------------------> HOLD --> NONE
 *                        |              |    "hold": the brake
 *                        +--------------+--> NONE: nobody of ours is concerned
 *
 * With a brake, no worker ends anybody before all have counted whom they would end. What changes while a
 * walk is under way starts it again. Sessions that were refused and are still there have no `trust`, and so
 * every later walk judges them again. */
#include "judge.h"

#define SLICE_SESSIONS 256
#define SLICE_US       2000

enum phase { NONE, COUNT, ASKED, END, HOLD };

/* ---- one session ---- */

static bool is_over(struct sp_session *s, int64_t now_s)
{
    struct sp_judgement judgement;

    sp_judge_clock(s, now_s, &judgement);
    if (judgement.reason != SP_REFUSAL_none)
        sp_session_refuse(s, judgement.reason, judgement.detail);
    return judgement.reason != SP_REFUSAL_none;
}

/* Whom the clock ends, the brake does not hold. */
static void visit(struct sp_worker *w, struct sp_session *s, int64_t now_s)
{
    struct sp_reach *r = &w->reach;
    struct sp_judgement judgement;

    if (s->lingering)
        return;
    sp_session_move(s);
    if (sp_session_is_busy(s))
        sp_tunnel_leave_with_listener(s->exchange);
    r->open += r->phase == COUNT;
    if (s->end_reason != SP_REFUSAL_none) { /* decided before; it only finishes its exchange, if it may */
        if (!w->view->snapshot->config->revocation_lets_finish)
            sp_session_cut(s);
        return;
    }
    sp_session_set_clock(s, sp_snapshot_find(w->view->snapshot, s->who->listener));
    if (is_over(s, now_s))
        return;
    sp_judge(s, r->memo, now_s, r->anew, &judgement);
    if (judgement.reason == SP_REFUSAL_none)
        sp_session_release(s);
    else if (r->phase == COUNT)
        r->refused++;
    else if (r->phase == HOLD)
        sp_session_hold(s, judgement.reason);
    else
        sp_session_refuse(s, judgement.reason, judgement.detail);
}

/* ---- the walk ---- */

static void enter(struct sp_worker *w, enum phase phase)
{
    w->reach.phase = phase;
    if (phase == NONE || phase == ASKED)
        return;
    sp_list_remove(&w->reach.bookmark);
    sp_list_prepend(&w->sessions, &w->reach.bookmark);
    sp_loop_defer(w->o.loop, &w->reach.task);
}

static void done(struct sp_worker *w)
{
    sp_memo_free(w->reach.memo);
    w->reach.memo = NULL;
    sp_census_unref(w->reach.census);
    w->reach.census = NULL;
    w->reach.anew = false;
    enter(w, NONE);
}

static void end_of_pass(struct sp_worker *w)
{
    struct sp_reach *r = &w->reach;

    sp_list_remove(&r->bookmark);
    if (r->phase != COUNT) {
        done(w);
        return;
    }
    r->anew = false; /* whom it refused is known by now */
    enter(w, ASKED);
    sp_census_sign(r->census, r->open, r->refused, true);
    if (r->refused == 0)
        done(w);
}

static void go_on(struct sp_task *t)
{
    struct sp_worker *w = SP_CONTAINER_OF(t, struct sp_worker, reach.task);
    struct sp_reach *r = &w->reach;
    uint64_t end_us = sp_mono_us() + SLICE_US;
    int64_t now_s = sp_wall_s();

    for (int i = 0; i < SLICE_SESSIONS && sp_mono_us() < end_us; i++) {
        struct sp_list *next = r->bookmark.next;
        if (next == &w->sessions) {
            end_of_pass(w);
            return;
        }
        sp_list_remove(&r->bookmark);
        sp_list_prepend(next, &r->bookmark);
        visit(w, sp_session_of(next), now_s);
    }
    sp_loop_defer(w->o.loop, &r->task);
}

void sp_reach_init(struct sp_worker *w)
{
    sp_list_init(&w->reach.bookmark);
    sp_task_init(&w->reach.task, go_on);
}

/* Task and bookmark come and go together: the one without the other would take the bookmark for a session. */
void sp_reach_stop(struct sp_worker *w)
{
    struct sp_reach *r = &w->reach;

    sp_task_cancel(&r->task);
    sp_list_remove(&r->bookmark);
    if (r->phase == COUNT)
        sp_census_sign(r->census, r->open, r->refused, false);
    done(w);
}

void sp_reach_start(struct sp_worker *w, bool anew, struct sp_census *census)
{
    struct sp_reach *r = &w->reach;
    bool unfinished = r->anew;

    sp_reach_stop(w);
    r->anew = anew || unfinished;
    if (anew)
        r->judged_anew_ms = sp_mono_ms();
    r->census = census;
    r->open = r->refused = 0;
    r->memo = sp_memo_new(atomic_load_explicit(&w->desk.sessions, memory_order_relaxed));
    enter(w, census != NULL ? COUNT : END);
}

/* ---- what the census came to ---- */

void sp_reach_answer(struct sp_worker *w, const struct sp_census *census, enum sp_census_answer answer)
{
    if (w->reach.census != census || w->reach.phase != ASKED)
        return;
    if (answer == SP_CENSUS_VOID)
        done(w);
    else
        enter(w, answer == SP_CENSUS_GO ? END : HOLD);
}

/* ---- a session that arrives ---- */

/* Its gate may have judged it by an older snapshot, or before the moment that changed the verdict, however long it
 * has waited since (for an OCSP responder, say). */
static bool may_be_judged_otherwise(const struct sp_worker *w, const struct sp_handover *h)
{
    return h->generation != w->view->snapshot->generation || h->accepted_ms <= w->reach.judged_anew_ms;
}

bool sp_reach_admits(struct sp_session *s)
{
    struct sp_worker *w = s->worker;
    int64_t now_s = sp_wall_s();
    struct sp_judgement judgement;

    if (is_over(s, now_s))
        return false;
    if (!may_be_judged_otherwise(w, s->who)) {
        if (s->listener != NULL && s->who->identity != NULL) /* nobody else is judged by it */
            sp_session_trust(s, s->listener->trusts[s->host]);
        return true;
    }
    sp_judge(s, NULL, now_s, true, &judgement);
    if (judgement.reason != SP_REFUSAL_none)
        sp_session_refuse(s, judgement.reason, judgement.detail);
    return judgement.reason == SP_REFUSAL_none;
}
