/* Leaving out an endpoint on which requests fail in a row.
 *
 *             failures in a row                  base * 2^level, at most max
 *   in use ───────────────────────► ejected ──────────────────────────────► on probation
 *     ▲                                ▲                                        │    │
 *     │                                └──────────── one more failure ──────────┘    │
 *     └───────────────────────────────── one success ────────────────────────────────┘
 *
 * Probation is no state of its own: failed_in_a_row is put to one less than what ejects. The level goes up with each
 * ejection, and down again by one for each time served well that is as long as the ejection which brought it there.
 *
 * An ejected endpoint is still asked by its checks. That they go well does not end the ejection, for what they ask may well work
 * while requests do not; that they have seen it down and up again does: it was restarted, and the failures were its old self's. */
#include "upstream/roster/roster_impl.h"

#define LEVEL_MAX 20

static const struct sp_config_ejection *terms_of(const struct sp_member *m)
{
    return &m->roster->fleet->upstreams[m->upstream].config->ejection;
}

uint64_t sp_ejection_ms(const struct sp_config_ejection *e, unsigned level)
{
    unsigned shift = level < LEVEL_MAX ? level : LEVEL_MAX;

    return e->base_ms > e->max_ms >> shift ? e->max_ms : e->base_ms << shift;
}

unsigned sp_ejection_level(const struct sp_config_ejection *e, unsigned level, uint64_t well_ms)
{
    while (level > 0 && well_ms >= sp_ejection_ms(e, level - 1)) {
        well_ms -= sp_ejection_ms(e, level - 1);
        level--;
    }
    return level;
}

static void tell_returned(struct sp_member *m)
{
    struct sp_log_field fields[] = {SP_LOG_C("upstream", m->ep.upstream), SP_LOG_C("endpoint", m->ep.text),
        SP_LOG_C("host", m->is_by_name ? m->ep.host : NULL)};

    sp_log_event(m->roster->logger, SP_LOG_INFO, "endpoint_returned", fields, SP_COUNTOF(fields));
}

static void set_ejected(struct sp_member *m, bool ejected)
{
    atomic_store_explicit(&m->ep.is_ejected, ejected, memory_order_relaxed);
}

static void come_back(struct sp_member *m)
{
    uint64_t now_ms = sp_loop_now_ms(m->roster->loop);
    unsigned limit = terms_of(m)->failures;

    m->returned_ms = now_ms;
    atomic_store_explicit(&m->ep.failed_in_a_row, limit > 0 ? limit - 1 : 0, memory_order_relaxed);
    atomic_store_explicit(&m->ep.up_since_ms, now_ms, memory_order_relaxed);
    set_ejected(m, false);
}

static void on_time_served(void *arg)
{
    struct sp_member *m = arg;

    come_back(m);
    tell_returned(m);
    sp_roster_line_up(m->roster, m->upstream);
}

void sp_ejection_pardon(struct sp_member *m)
{
    if (!atomic_load_explicit(&m->ep.is_ejected, memory_order_relaxed))
        return;
    sp_timer_stop(m->ejected);
    come_back(m);
    tell_returned(m);
}

/* Without memory for a timer it stays in use: nothing would bring it back. */
static void eject(struct sp_member *m)
{
    const struct sp_config_ejection *e = terms_of(m);
    uint32_t failed = atomic_load_explicit(&m->ep.failed_in_a_row, memory_order_relaxed);

    if (m->ejected == NULL)
        m->ejected = sp_timer_new(m->roster->loop, on_time_served, m);
    if (m->ejected == NULL)
        return;
    if (m->level > 0)
        m->level = sp_ejection_level(e, m->level, sp_loop_now_ms(m->roster->loop) - m->returned_ms);
    uint64_t for_ms = sp_ejection_ms(e, m->level);
    if (m->level < LEVEL_MAX)
        m->level++;
    set_ejected(m, true);
    atomic_fetch_add_explicit(&m->ejections, 1, memory_order_relaxed);
    sp_meter_add(m->roster->meter, SP_METER_upstream_ejections, 1);
    sp_timer_set(m->ejected, for_ms);
    struct sp_log_field fields[] = {SP_LOG_C("upstream", m->ep.upstream), SP_LOG_C("endpoint", m->ep.text),
        SP_LOG_C("host", m->is_by_name ? m->ep.host : NULL), SP_LOG_N("failures", failed),
        SP_LOG_N("for_ms", for_ms),
        SP_LOG_C("reason", atomic_load_explicit(&m->last_failure, memory_order_relaxed))};
    sp_log_event(m->roster->logger, SP_LOG_WARN, "endpoint_ejected", fields, SP_COUNTOF(fields));
    sp_roster_line_up(m->roster, m->upstream);
}

/* A failure may be old news by now: one that succeeded since, or is not there any more, is left alone. */
void sp_ejection_look(struct sp_mail *mail)
{
    struct sp_member *m = SP_CONTAINER_OF(mail, struct sp_member, failed);
    bool is_member = !sp_list_is_empty(&m->link);

    atomic_store_explicit(&m->failed_under_way, false, memory_order_release);
    if (is_member && !atomic_load_explicit(&m->ep.is_ejected, memory_order_relaxed)) {
        unsigned limit = terms_of(m)->failures;
        if (limit > 0 && atomic_load_explicit(&m->ep.failed_in_a_row, memory_order_relaxed) >= limit)
            eject(m);
    }
    sp_endpoint_unref(&m->ep);
}

/* `ejection: off` lets everybody back in. The caller makes a new lineup. */
void sp_ejection_follow(struct sp_member *m)
{
    if (terms_of(m)->failures == 0)
        sp_ejection_pardon(m);
}

void sp_ejection_retire(struct sp_member *m)
{
    sp_timer_free(m->ejected);
    m->ejected = NULL;
    m->level = 0;
    set_ejected(m, false); /* nothing would bring it back, should it be named again */
}
