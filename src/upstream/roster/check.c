/* Asking endpoints how they are: when, how many at a time, and what follows from the answers.
 *
 *               first failure, or unhealthy_after in a row
 *   taken for up ─────────────────────────────────────────► down
 *        ▲                                                    │
 *        └────────────── healthy_after in a row ──────────────┘
 *
 * A new endpoint is used until its first answer, which counts at once: it may have been ill for long. The next question comes an
 * interval after the last one ended, give or take a tenth, so that they spread by themselves.
 *
 * So many are asked at a time, and of one upstream half as many: where a thousand endpoints let every question run into its
 * time-out, those of other upstreams find a place at once, or are the next to get one. Of the upstreams that wait the one with
 * the fewest questions under way comes first.
 *
 * Elsewhere: one question (probe.c). */
#include <stdio.h>

#include "upstream/roster/probe.h"

#define FIRST_WITHIN_MS 1000 /* a tenth of the interval, at most */

struct sp_check {
    struct sp_list link; /* in roster->checks */
    struct sp_member *member;
    struct sp_timer *next;
    struct sp_probe probe;
    struct sp_fleet *under; /* one reference: for which it is asked now; NULL: it is not */
    size_t under_upstream;
    bool has_answer;
    unsigned well, ill;   /* in a row */
    uint64_t interval_ms; /* by which `next` is set */
    struct sp_tls_saved saved;
};

static const struct sp_config_health_check *terms_of(const struct sp_member *m)
{
    return m->roster->fleet->upstreams[m->upstream].config->health_check;
}

/* ---- when ---- */

static unsigned *places_of(struct sp_fleet *f, size_t upstream)
{
    return &f->upstreams[upstream].checks_under_way;
}

static void start(struct sp_check *c)
{
    struct sp_member *m = c->member;

    c->under = sp_fleet_ref(m->roster->fleet);
    c->under_upstream = m->upstream;
    ++*places_of(c->under, c->under_upstream);
    m->roster->checks_under_way++;
    sp_probe_start(&c->probe, m->upstream, &m->ep, &c->saved);
}

static void stop(struct sp_check *c)
{
    if (c->under == NULL)
        return;
    --*places_of(c->under, c->under_upstream);
    c->member->roster->checks_under_way--;
    sp_fleet_unref(c->under);
    c->under = NULL;
}

/* Of those that are due, the one that waits longest of the upstream that has the fewest under way. */
static struct sp_check *next_due(struct sp_roster *r)
{
    struct sp_check *next = NULL;
    unsigned fewest = SP_CHECKS_OF_ONE_MAX;

    SP_LIST_EACH (&r->checks, it) {
        struct sp_check *c = SP_CONTAINER_OF(it, struct sp_check, link);
        unsigned places = *places_of(r->fleet, c->member->upstream);
        if (places < fewest) {
            fewest = places;
            next = c;
        }
        if (fewest == 0)
            break;
    }
    return next;
}

void sp_check_call(struct sp_task *task)
{
    struct sp_roster *r = SP_CONTAINER_OF(task, struct sp_roster, call_checks);
    struct sp_check *c;

    while (r->checks_under_way < SP_CHECKS_MAX && (c = next_due(r)) != NULL) {
        sp_list_remove(&c->link);
        start(c);
    }
}

static void on_next(void *arg)
{
    struct sp_check *c = arg;
    struct sp_roster *r = c->member->roster;

    sp_list_append(&r->checks, &c->link);
    sp_loop_defer(r->loop, &r->call_checks);
}

/* A place is free. At the end of the turn, for the configuration may be changing just now. */
static void call_next(struct sp_roster *r)
{
    if (!sp_list_is_empty(&r->checks))
        sp_loop_defer(r->loop, &r->call_checks);
}

static void set_next(struct sp_check *c)
{
    uint64_t ms = c->interval_ms, tenth = ms / 10;

    sp_timer_set(c->next, ms - tenth + sp_random_next(&c->member->roster->random) % (2 * tenth + 1));
}

static void set_first(struct sp_check *c)
{
    uint64_t within = c->interval_ms / 10 < FIRST_WITHIN_MS ? c->interval_ms / 10 : FIRST_WITHIN_MS;

    sp_timer_set(c->next, sp_random_next(&c->member->roster->random) % (within + 1));
}

/* ---- what follows ---- */

static void tell(const struct sp_member *m, const char *event, enum sp_log_level level, unsigned checks,
    const char *reason)
{
    struct sp_log_field fields[] = {SP_LOG_C("upstream", m->ep.upstream), SP_LOG_C("endpoint", m->ep.text),
        SP_LOG_C("host", m->is_by_name ? m->ep.host : NULL), SP_LOG_N("checks", checks),
        SP_LOG_C("reason", reason)};

    sp_log_event(m->roster->logger, level, event, fields, SP_COUNTOF(fields));
}

static void set_down(struct sp_member *m, bool down)
{
    if (!down)
        atomic_store_explicit(&m->ep.up_since_ms, sp_loop_now_ms(m->roster->loop), memory_order_relaxed);
    atomic_store_explicit(&m->ep.is_down, down, memory_order_relaxed);
}

/* For the admin page. */
static void note(struct sp_member *m, const char *failure)
{
    pthread_mutex_lock(&m->roster->lock);
    (void)snprintf(m->last_check, sizeof(m->last_check), "%s", failure != NULL ? failure : "");
    pthread_mutex_unlock(&m->roster->lock);
}

static void count_answer(struct sp_check *c, const char *failure)
{
    struct sp_member *m = c->member;
    struct sp_roster *r = m->roster;

    c->well = failure == NULL ? c->well + 1 : 0;
    c->ill = failure != NULL ? c->ill + 1 : 0;
    atomic_fetch_add_explicit(failure == NULL ? &m->checks_ok : &m->checks_failed, 1, memory_order_relaxed);
    sp_meter_add(
        r->meter, failure == NULL ? SP_METER_upstream_checks_ok : SP_METER_upstream_checks_failed, 1);
}

/* True: it changed how it is. */
static bool judge(struct sp_check *c, const char *failure)
{
    struct sp_member *m = c->member;
    const struct sp_config_health_check *terms = terms_of(m);
    bool is_down = atomic_load_explicit(&m->ep.is_down, memory_order_relaxed);
    bool is_first = !c->has_answer;

    c->has_answer = true;
    if (!is_down && failure != NULL && (is_first || c->ill >= terms->unhealthy_after)) {
        set_down(m, true);
        tell(m, "endpoint_down", SP_LOG_WARN, c->ill, failure);
        return true;
    }
    if (is_down && failure == NULL && c->well >= terms->healthy_after) {
        set_down(m, false);
        tell(m, "endpoint_up", SP_LOG_INFO, c->well, NULL);
        sp_ejection_pardon(m);
        return true;
    }
    return false;
}

static void on_done(struct sp_probe *p, const char *failure)
{
    struct sp_check *c = SP_CONTAINER_OF(p, struct sp_check, probe);
    struct sp_roster *r = c->member->roster;
    size_t upstream = c->member->upstream;

    stop(c);
    call_next(r);
    note(c->member, failure);
    set_next(c);
    if (p->is_ours)
        return;
    count_answer(c, failure);
    if (judge(c, failure))
        sp_roster_line_up(r, upstream);
}

/* ---- life ---- */

static void free_check(struct sp_check *c)
{
    stop(c);
    sp_list_remove(&c->link);
    call_next(c->member->roster);
    sp_probe_destroy(&c->probe);
    sp_timer_free(c->next);
    sp_tls_saved_forget(&c->saved);
    sp_free(c);
}

static struct sp_check *new_check(struct sp_member *m)
{
    struct sp_check *c = SP_NEW(struct sp_check);

    if (c == NULL)
        return NULL;
    sp_list_init(&c->link);
    c->member = m;
    c->interval_ms = terms_of(m)->interval_ms;
    c->next = sp_timer_new(m->roster->loop, on_next, c);
    if (c->next == NULL || sp_probe_init(&c->probe, m->roster, on_done) != SP_OK) {
        sp_timer_free(c->next);
        sp_free(c);
        return NULL;
    }
    set_first(c);
    return c;
}

/* Without memory it is asked when the next lineup is made. */
void sp_check_follow(struct sp_member *m)
{
    const struct sp_config_health_check *terms = terms_of(m);

    if (terms == NULL) {
        bool was_down = atomic_load_explicit(&m->ep.is_down, memory_order_relaxed);
        sp_check_retire(m);
        if (was_down)
            tell(m, "endpoint_up", SP_LOG_INFO, 0, "it is checked no more");
        return;
    }
    if (m->check == NULL) {
        m->check = new_check(m);
    } else if (m->check->interval_ms != terms->interval_ms) {
        m->check->interval_ms = terms->interval_ms;
        if (m->check->under == NULL && sp_list_is_empty(&m->check->link))
            set_first(m->check);
    }
}

/* Nobody is asked any more, so nothing would say that it is well again. */
void sp_check_retire(struct sp_member *m)
{
    if (m->check == NULL)
        return;
    free_check(m->check);
    m->check = NULL;
    if (atomic_load_explicit(&m->ep.is_down, memory_order_relaxed))
        set_down(m, false);
    pthread_mutex_lock(&m->roster->lock);
    m->last_check[0] = '\0';
    pthread_mutex_unlock(&m->roster->lock);
}
