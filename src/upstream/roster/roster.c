/* The roster: what is in force, and the lineups that follow from it.
 *
 * All changes are made on the roster's own thread, here: line_up asks who the endpoints of an upstream are, takes up those it
 * does not know, lets go of those that are not named any more, and gives the fleet a new lineup if anything differs. Who lost its
 * place keeps what is under way: workers hold references. It is done once a turn for all that changed in it: with a thousand
 * endpoints it takes milliseconds, and they may all fail at once. Meanwhile workers see for themselves who is ill.
 *
 * Elsewhere: what is known of a name (names.c), how an endpoint is (check.c, ejection.c). */
#include "upstream/roster/roster_impl.h"

#include "sallyport/http/codec.h"

#define BLOCKS_KEPT 8

/* ---- members ---- */

/* The list's own reference goes with it. Should it be named again, it is a new one but for its connections, which go on. */
static void retire(struct sp_roster *r, struct sp_member *m)
{
    sp_ejection_retire(m);
    sp_check_retire(m);
    atomic_store_explicit(&m->weight, 0, memory_order_relaxed);
    atomic_store_explicit(&m->ep.failed_in_a_row, 0, memory_order_relaxed);
    atomic_store_explicit(&m->ep.up_since_ms, 0, memory_order_relaxed);
    pthread_mutex_lock(&r->lock);
    sp_list_remove(&m->link);
    pthread_mutex_unlock(&r->lock);
    sp_endpoint_unref(&m->ep);
}

static void enlist(struct sp_roster *r, struct sp_member *m)
{
    sp_endpoint_ref(&m->ep);
    pthread_mutex_lock(&r->lock);
    sp_list_append(&r->members, &m->link);
    pthread_mutex_unlock(&r->lock);
}

/* True: it may have more connections than before, or fewer. `beside_others`: that were there already. Who comes to them, or was
 * drained until now, is to get its share slowly. */
static bool take_up(struct sp_roster *r, size_t upstream, const struct sp_candidate *c, bool beside_others)
{
    struct sp_member *m = sp_member_of(c->ep);
    unsigned max_before = atomic_exchange(&m->ep.max_connections, c->max_connections);

    if (beside_others && c->weight > 0 && atomic_load(&m->weight) == 0)
        atomic_store_explicit(&m->ep.up_since_ms, sp_loop_now_ms(r->loop), memory_order_relaxed);
    atomic_store_explicit(&m->weight, c->weight, memory_order_relaxed);
    atomic_store_explicit(&m->is_backup, c->is_backup, memory_order_relaxed);
    m->upstream = upstream;
    m->is_named = true;
    if (sp_list_is_empty(&m->link))
        enlist(r, m);
    sp_ejection_follow(m);
    sp_check_follow(m);
    return max_before != c->max_connections;
}

/* ---- lineups ---- */

static void tell_panic(struct sp_roster *r, size_t upstream, const struct sp_lineup *l, bool is_panic)
{
    struct sp_log_field fields[] = {SP_LOG_C("upstream", r->fleet->upstreams[upstream].config->name),
        SP_LOG_N("endpoints", l->all_count),
        SP_LOG_C("detail", is_panic ? "too few endpoints are usable: all are used" : NULL)};

    sp_log_event(r->logger, is_panic ? SP_LOG_ERROR : SP_LOG_INFO,
        is_panic ? "upstream_panic" : "upstream_recovered", fields, SP_COUNTOF(fields));
}

/* Without memory the lineup stays as it was. */
static void use(struct sp_roster *r, size_t upstream, const struct sp_muster *m)
{
    struct sp_fleet_upstream *u = &r->fleet->upstreams[upstream];
    struct sp_lineup *next = sp_lineup_new(u->config, m->items, m->count);
    bool was_panic = u->is_panic;

    if (next == NULL)
        return;
    u->is_panic = next->is_panic;
    if (was_panic != next->is_panic)
        tell_panic(r, upstream, next, next->is_panic);
    if (sp_lineup_is_same(u->lineup, next))
        sp_lineup_unref(next);
    else
        sp_fleet_replace(r->fleet, upstream, next);
}

static void line_up(struct sp_roster *r, size_t upstream)
{
    struct sp_muster m;
    bool has_other_caps = false, has_some = false;

    pthread_mutex_lock(&r->lock);
    enum sp_rc rc = sp_muster_call(r->fleet, upstream, &m);
    pthread_mutex_unlock(&r->lock);
    if (rc != SP_OK)
        return;
    SP_LIST_EACH (&r->members, it) {
        struct sp_member *member = SP_CONTAINER_OF(it, struct sp_member, link);
        has_some |= member->upstream == upstream;
        member->is_named = member->is_named && member->upstream != upstream;
    }
    for (size_t i = 0; i < m.count; i++)
        has_other_caps |= take_up(r, upstream, &m.items[i], has_some);
    SP_LIST_EACH (&r->members, it) {
        struct sp_member *member = SP_CONTAINER_OF(it, struct sp_member, link);
        if (!member->is_named)
            retire(r, member);
    }
    use(r, upstream, &m);
    if (has_other_caps) /* a lineup does not show it */
        sp_queue_call_all(r->fleet->upstreams[upstream].queue);
    sp_muster_free(&m);
}

static void sweep(struct sp_roster *r)
{
    pthread_mutex_lock(&r->lock);
    sp_members_sweep(r);
    pthread_mutex_unlock(&r->lock);
}

static void on_line_up(struct sp_task *task)
{
    struct sp_roster *r = SP_CONTAINER_OF(task, struct sp_roster, line_up);

    for (size_t i = 0; i < r->fleet->upstream_count; i++) {
        if (r->fleet->upstreams[i].is_stale)
            line_up(r, i);
        r->fleet->upstreams[i].is_stale = false;
    }
    sweep(r);
}

void sp_roster_line_up(struct sp_roster *r, size_t upstream)
{
    r->fleet->upstreams[upstream].is_stale = true;
    sp_loop_defer(r->loop, &r->line_up);
}

/* ---- following ---- */

/* Endpoints keep what is known of them by the name of their upstream. Checks go by the configuration at once: a lineup, which would
 * see to it, may want for memory. */
static void renumber(struct sp_roster *r)
{
    SP_LIST_EACH (&r->members, it) {
        struct sp_member *m = SP_CONTAINER_OF(it, struct sp_member, link);
        m->is_named = false;
        for (size_t i = 0; i < r->fleet->upstream_count && !m->is_named; i++) {
            m->is_named = strcmp(r->fleet->upstreams[i].config->name, m->ep.upstream) == 0;
            m->upstream = i;
        }
    }
    SP_LIST_EACH (&r->members, it) {
        struct sp_member *m = SP_CONTAINER_OF(it, struct sp_member, link);
        if (m->is_named)
            sp_check_follow(m);
        else
            retire(r, m);
    }
}

static void keep_panics(struct sp_fleet *f, const struct sp_fleet *before)
{
    for (size_t i = 0; i < f->upstream_count; i++) {
        for (size_t j = 0; before != NULL && j < before->upstream_count; j++) {
            if (strcmp(f->upstreams[i].config->name, before->upstreams[j].config->name) == 0)
                f->upstreams[i].is_panic = before->upstreams[j].is_panic;
        }
    }
}

static void on_follow(struct sp_mail *mail)
{
    struct sp_fleet *f = SP_CONTAINER_OF(mail, struct sp_fleet, follow);
    struct sp_roster *r = f->roster;
    struct sp_fleet *before = r->fleet;

    keep_panics(f, before);
    pthread_mutex_lock(&r->lock);
    r->fleet = f; /* with the mail's reference */
    pthread_mutex_unlock(&r->lock);
    renumber(r);
    sp_names_follow(r);
    for (size_t i = 0; i < f->upstream_count; i++)
        line_up(r, i);
    sp_fleet_unref(before);
    sweep(r);
}

void sp_roster_follow(struct sp_roster *r, struct sp_fleet *f)
{
    pthread_mutex_lock(&r->lock);
    struct sp_fleet *before = r->shown;
    r->shown = sp_fleet_ref(f);
    pthread_mutex_unlock(&r->lock);
    sp_fleet_unref(before);
    f->follow.fn = on_follow;
    sp_fleet_ref(f);
    sp_loop_post(r->loop, &f->follow);
}

/* ---- life ---- */

enum sp_rc sp_roster_new(const struct sp_roster_options *options, struct sp_roster **out, struct sp_err *err)
{
    struct sp_roster *r = SP_NEW(struct sp_roster);

    *out = NULL;
    if (r == NULL || sp_random_init(&r->random) != SP_OK) {
        sp_free(r);
        return sp_err_set(err, "upstreams: not enough memory");
    }
    r->loop = options->loop;
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->yield_lock, NULL);
    sp_list_init(&r->members);
    for (size_t i = 0; i < SP_ROSTER_BUCKETS; i++)
        sp_list_init(&r->known[i]);
    sp_list_init(&r->checks);
    sp_task_init(&r->call_checks, sp_check_call);
    sp_task_init(&r->line_up, on_line_up);
    sp_pool_init(&r->blocks, SP_IO_BLOCK, BLOCKS_KEPT, 0);
    if (sp_names_init(r) != SP_OK || sp_roster_equip(r, options, err) != SP_OK) {
        sp_roster_free(r);
        return sp_err_set(err, "upstreams: not enough memory");
    }
    *out = r;
    return SP_OK;
}

enum sp_rc sp_roster_equip(struct sp_roster *r, const struct sp_roster_options *options, struct sp_err *err)
{
    r->logger = options->logger;
    r->meter = options->meter;
    if (options->workers == 0)
        return SP_OK;
    r->yielders = sp_alloc(options->workers, sizeof(*r->yielders));
    if (r->yielders == NULL)
        return sp_err_set(err, "upstreams: not enough memory");
    r->yielder_count = options->workers;
    return SP_OK;
}

/* Whoever has one still has it for himself. */
static void forget_known(struct sp_roster *r)
{
    for (size_t i = 0; i < SP_ROSTER_BUCKETS; i++) {
        SP_LIST_EACH (&r->known[i], it) {
            sp_list_remove(it);
            sp_endpoint_unref(&SP_CONTAINER_OF(it, struct sp_member, known)->ep);
        }
    }
}

void sp_roster_free(struct sp_roster *r)
{
    if (r == NULL)
        return;
    sp_loop_turn(r->loop, 0); /* mail that was still under way holds references */
    sp_task_cancel(&r->line_up);
    SP_LIST_EACH (&r->members, it)
        retire(r, SP_CONTAINER_OF(it, struct sp_member, link));
    sp_task_cancel(&r->call_checks);
    sp_names_free(r);
    sp_fleet_unref(r->shown);
    sp_fleet_unref(r->fleet);
    forget_known(r);
    sp_loop_turn(r->loop, 0); /* and what was buried just now */
    sp_pool_destroy(&r->blocks);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->yield_lock);
    sp_free(r->yielders);
    sp_free(r);
}
