/* How a session is ended that is refused from now on, and how that is told; and the sessions that the clock
 * ends. */
#include "judge.h"
#include "sallyport/tls/server.h"

/* Entries of the wheel looked at in one turn of the loop. */
#define RIPE_SLICE 256

/* ---- refused from now on ---- */

static void remember(struct sp_session *s, enum sp_refusal reason, const char *detail)
{
    sp_free(s->end_detail);
    s->end_detail = sp_detail_copy(detail);
    s->end_reason = reason;
}

void sp_session_refuse(struct sp_session *s, enum sp_refusal reason, const char *detail)
{
    bool in_flight = sp_session_is_busy(s);
    bool may_finish = s->worker->view->snapshot->config->revocation_lets_finish && !s->is_tcp && in_flight &&
                      !s->exchange->tunnel.open;

    remember(s, reason, detail);
    if (in_flight && may_finish)
        s->leaving = true;
    else if (in_flight)
        sp_session_cut(s);
    else
        sp_session_close(s);
}

void sp_session_hold(struct sp_session *s, enum sp_refusal reason)
{
    if (s->held == SP_REFUSAL_none)
        sp_meter_add(s->worker->o.meter, SP_METER_brake_held, 1);
    s->held = reason;
}

void sp_session_release(struct sp_session *s)
{
    if (s->held != SP_REFUSAL_none)
        sp_meter_sub(s->worker->o.meter, SP_METER_brake_held, 1);
    s->held = SP_REFUSAL_none;
}

static const char *or_absent(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

void sp_session_tell_end(struct sp_session *s)
{
    const struct sp_handover *who = s->who;
    enum sp_refusal reason =
        s->end_reason != SP_REFUSAL_none ? s->end_reason : sp_tls_end_reason(who->transport);
    static const struct sp_slice NONE;

    if (s->told || reason == SP_REFUSAL_none)
        return;
    s->told = true;
    struct sp_log_field fields[] = {
        SP_LOG_W("reason", sp_refusal_name(reason)),
        SP_LOG_C("listener", who->listener),
        SP_LOG_C("peer", who->peer),
        SP_LOG_C("via", or_absent(who->via)),
        SP_LOG_C("sni", or_absent(who->sni)),
        SP_LOG_S("subject", who->identity != NULL ? who->identity->subject : NONE),
        SP_LOG_S("serial", who->identity != NULL ? who->identity->serial_hex : NONE),
        SP_LOG_C("detail", or_absent(s->end_detail)),
        SP_LOG_N("age_s", (sp_mono_ms() - s->began_ms) / 1000),
        SP_LOG_N("requests", s->served),
        SP_LOG_N("cut", s->cut),
    };
    sp_meter_end_session(s->worker->o.meter, reason);
    sp_audit_end(s, reason);
    sp_log_event(s->worker->o.logger, SP_LOG_WARN, "session_ended", fields, SP_COUNTOF(fields));
}

/* ---- the clock ---- */

/* A clock that is set back makes a session's age longer by as much; certificates are judged by that same
 * clock. */
void sp_session_set_clock(struct sp_session *s, const struct sp_snapshot_listener *l)
{
    const struct sp_identity *id = s->who->identity;

    if (id == NULL)
        return;
    if (l != NULL) {
        size_t host = sp_config_host_of(l->config, sp_slice_of(s->who->sni));
        uint64_t age_ms = l->config->hosts[host].client_auth.max_session_age_ms;
        s->too_old_s =
            age_ms != 0 ? s->who->authenticated_at + (int64_t)((age_ms + 999) / 1000) : SP_WHEEL_NEVER;
    }
    int64_t due_s = id->chain_until < s->too_old_s ? id->chain_until : s->too_old_s;
    if (due_s != s->clock.due_s)
        sp_wheel_set(&s->worker->wheel, &s->clock, due_s);
}

static void end_ripe(struct sp_task *t)
{
    struct sp_worker *w = SP_CONTAINER_OF(t, struct sp_worker, ripe);
    unsigned budget = RIPE_SLICE;
    struct sp_wheel_entry *e;

    while ((e = sp_wheel_take(&w->wheel, &budget)) != NULL) {
        struct sp_session *s = SP_CONTAINER_OF(e, struct sp_session, clock);
        struct sp_judgement judgement;
        sp_judge_clock(s, w->wheel.now_s, &judgement);
        if (judgement.reason != SP_REFUSAL_none && !s->lingering)
            sp_session_refuse(s, judgement.reason, judgement.detail);
    }
    if (sp_wheel_has_ripe(&w->wheel))
        sp_loop_defer(w->o.loop, &w->ripe);
}

/* The next whole second of the wall clock, and a little for the timer's own. */
static uint64_t next_tick_ms(void)
{
    return 1005 - (uint64_t)(sp_wall_us() / 1000 % 1000);
}

static void on_tick(void *arg)
{
    struct sp_worker *w = arg;

    w->ticking = !sp_list_is_empty(&w->sessions);
    if (!w->ticking)
        return;
    sp_wheel_turn(&w->wheel, sp_wall_s());
    if (sp_wheel_has_ripe(&w->wheel))
        end_ripe(&w->ripe);
    sp_tunnels_ask(w);
    sp_timer_set(w->tick, next_tick_ms());
}

enum sp_rc sp_clock_init(struct sp_worker *w)
{
    sp_wheel_init(&w->wheel, sp_wall_s());
    sp_task_init(&w->ripe, end_ripe);
    w->tick = sp_timer_new(w->o.loop, on_tick, w);
    return w->tick != NULL ? SP_OK : SP_FAIL;
}

void sp_clock_start(struct sp_worker *w)
{
    if (w->ticking)
        return;
    w->ticking = true;
    sp_wheel_turn(&w->wheel, sp_wall_s());
    sp_timer_set(w->tick, next_tick_ms());
}

void sp_clock_free(struct sp_worker *w)
{
    if (w->tick == NULL)
        return;
    sp_task_cancel(&w->ripe);
    sp_timer_free(w->tick);
    w->tick = NULL;
}
