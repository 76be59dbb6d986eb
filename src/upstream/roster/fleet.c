/* The upstreams of one configuration: who their endpoints are (a muster), and the lineup that is made of them.
 *
 * A fleet is made by the builder, before anybody knows whether it will be put in force: it takes the endpoints that the roster
 * knows, tells it of those that are new, and changes nothing of how they are. The roster musters once more when it is to follow. An older fleet keeps the last
 * lineup that it had; who still goes by it soon does no more. */
#include "upstream/roster/roster_impl.h"

/* ---- muster ---- */

static bool is_same(
    const struct sp_config_upstream *config, const struct sp_endpoint *a, const struct sp_endpoint *b)
{
    return a == b || (!sp_upstream_goes_by_host(config) && sp_addr_equal(&a->address, &b->address));
}

/* Where in m->slots `ep` is, or would be. */
static uint32_t *slot_of(
    const struct sp_muster *m, const struct sp_config_upstream *config, const struct sp_endpoint *ep)
{
    size_t end = 2 * m->room, at = sp_roster_hash(ep->text, NULL, NULL) % end;

    while (m->slots[at] != 0 && !is_same(config, m->items[m->slots[at] - 1].ep, ep))
        at = (at + 1) % end;
    return &m->slots[at];
}

static bool grow(struct sp_muster *m, const struct sp_config_upstream *config)
{
    struct sp_muster more = {.count = m->count, .room = m->room == 0 ? 16 : 2 * m->room};

    more.items = sp_alloc(more.room, sizeof(*more.items));
    more.slots = sp_alloc(2 * more.room, sizeof(*more.slots));
    if (more.items == NULL || more.slots == NULL) {
        sp_free(more.items);
        sp_free(more.slots);
        return false;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        more.items[i] = m->items[i];
        *slot_of(&more, config, m->items[i].ep) = i + 1;
    }
    sp_free(m->items);
    sp_free(m->slots);
    *m = more;
    return true;
}

/* One that is not in force yet begins by this configuration. One reference handed over; NULL without memory. */
static struct sp_endpoint *endpoint_of(struct sp_fleet *f, const struct sp_config_upstream *config,
    const struct sp_config_endpoint *e, const struct sp_addr *address, const char *host)
{
    struct sp_member *m = sp_member_get(f->roster, config->name, address, host);

    if (m == NULL)
        return NULL;
    if (sp_list_is_empty(&m->link))
        atomic_store(&m->ep.max_connections, e->max_connections);
    return &m->ep;
}

/* The first to name an endpoint says how it is used. `host`: the name that it was looked up by, or NULL. */
static bool add(struct sp_fleet *f, size_t upstream, const struct sp_config_endpoint *e,
    const struct sp_addr *address, const char *host, unsigned weight, bool is_backup, struct sp_muster *m)
{
    const struct sp_config_upstream *config = f->upstreams[upstream].config;

    if (m->count == SP_CANDIDATES_MAX)
        return true;
    if (m->count == m->room && !grow(m, config))
        return false;
    struct sp_endpoint *ep = endpoint_of(f, config, e, address, host);
    if (ep == NULL)
        return false;
    uint32_t *slot = slot_of(m, config, ep);
    if (*slot != 0) {
        sp_endpoint_unref(ep);
        return true;
    }
    m->items[m->count] = (struct sp_candidate){ep, weight, is_backup, e->max_connections};
    *slot = (uint32_t)++m->count;
    return true;
}

/* Of SRV records those of the lowest priority are asked first, and their weights are the operator's times the record's; a
 * record of weight 0 is asked hardly ever, which is a weight of 1 (RFC 2782). */
static bool add_named(
    struct sp_fleet *f, size_t upstream, const struct sp_config_endpoint *e, struct sp_muster *m)
{
    const struct sp_resolved *items = NULL;
    size_t count = f->roster != NULL ? sp_names_answer(f->roster, e, &items) : 0;
    unsigned first = UINT16_MAX;

    for (size_t i = 0; i < count; i++)
        first = items[i].priority < first ? items[i].priority : first;
    for (size_t i = 0; i < count; i++) {
        const struct sp_resolved *item = &items[i];
        const char *host = e->is_srv ? item->name : e->host;
        unsigned weight = e->is_srv ? e->weight * (item->weight > 0 ? item->weight : 1) : e->weight;
        bool is_backup = e->is_backup || (e->is_srv && item->priority > first);
        if (!add(f, upstream, e, &item->address, host, weight, is_backup, m))
            return false;
    }
    return true;
}

enum sp_rc sp_muster_call(struct sp_fleet *f, size_t upstream, struct sp_muster *out)
{
    const struct sp_config_upstream *config = f->upstreams[upstream].config;

    *out = (struct sp_muster){0};
    for (size_t i = 0; i < config->endpoint_count; i++) {
        const struct sp_config_endpoint *e = &config->endpoints[i];
        bool added = e->address.len != 0
                         ? add(f, upstream, e, &e->address, e->host, e->weight, e->is_backup, out)
                         : add_named(f, upstream, e, out);
        if (!added) {
            sp_muster_free(out);
            return SP_FAIL;
        }
    }
    return SP_OK;
}

void sp_muster_free(struct sp_muster *m)
{
    for (size_t i = 0; i < m->count; i++)
        sp_endpoint_unref(m->items[i].ep);
    sp_free(m->items);
    sp_free(m->slots);
    *m = (struct sp_muster){0};
}

/* ---- a fleet's life ---- */

static bool line_up(struct sp_fleet *f, size_t upstream)
{
    struct sp_muster m;

    if (sp_muster_call(f, upstream, &m) != SP_OK)
        return false;
    f->upstreams[upstream].lineup = sp_lineup_new(f->upstreams[upstream].config, m.items, m.count);
    sp_muster_free(&m);
    return f->upstreams[upstream].lineup != NULL;
}

static bool line_up_all(struct sp_fleet *f)
{
    bool complete = true;

    if (f->roster != NULL) {
        pthread_mutex_lock(&f->roster->lock);
        sp_members_sweep(f->roster); /* of configurations that never came into force */
    }
    for (size_t i = 0; i < f->upstream_count && complete; i++)
        complete = line_up(f, i);
    if (f->roster != NULL)
        pthread_mutex_unlock(&f->roster->lock);
    return complete;
}

/* Who waits goes on waiting under the next configuration. */
static struct sp_queue *queue_of(const struct sp_fleet *before, const char *name)
{
    for (size_t i = 0; before != NULL && i < before->upstream_count; i++) {
        if (strcmp(before->upstreams[i].config->name, name) == 0)
            return sp_queue_ref(before->upstreams[i].queue);
    }
    return sp_queue_new();
}

static bool build(struct sp_fleet *f, const struct sp_fleet_options *options, struct sp_diags *diags)
{
    f->upstreams = sp_alloc(f->config->upstream_count + 1, sizeof(*f->upstreams));
    if (f->upstreams == NULL)
        return false;
    f->upstream_count = f->config->upstream_count;
    for (size_t i = 0; i < f->upstream_count; i++) {
        f->upstreams[i].config = &f->config->upstreams[i];
        f->upstreams[i].queue = queue_of(options->before, f->config->upstreams[i].name);
        if (f->upstreams[i].queue == NULL)
            return false;
    }
    if (!sp_fleet_load_tls(f, options, diags))
        return false;
    if (f->roster != NULL)
        sp_names_learn(f->roster, f->config, diags);
    else
        sp_names_try(f->config, diags);
    return line_up_all(f);
}

struct sp_fleet *sp_fleet_new(
    struct sp_config *config, const struct sp_fleet_options *options, struct sp_diags *diags)
{
    struct sp_fleet *f = SP_NEW(struct sp_fleet);
    size_t errors = diags->errors;

    if (f != NULL) {
        atomic_init(&f->refs, 1);
        f->config = sp_config_ref(config);
        f->roster = options->roster;
        f->workers = options->workers;
        pthread_mutex_init(&f->lock, NULL);
    }
    if (f != NULL && build(f, options, diags))
        return f;
    sp_fleet_unref(f);
    if (diags->errors == errors)
        sp_diag_add(diags, SP_DIAG_ERROR, config->file, (struct sp_pos){0, 0}, "not enough memory");
    return NULL;
}

struct sp_fleet *sp_fleet_ref(struct sp_fleet *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void sp_fleet_unref(struct sp_fleet *f)
{
    if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    sp_fleet_free_tls(f);
    for (size_t i = 0; i < f->upstream_count; i++) {
        sp_lineup_unref(f->upstreams[i].lineup);
        sp_queue_unref(f->upstreams[i].queue);
    }
    sp_free(f->upstreams);
    pthread_mutex_destroy(&f->lock);
    sp_config_free(f->config);
    sp_free(f);
}

/* ---- lineups ---- */

void sp_fleet_replace(struct sp_fleet *f, size_t upstream, struct sp_lineup *lineup)
{
    struct sp_fleet_upstream *u = &f->upstreams[upstream];

    pthread_mutex_lock(&f->lock);
    struct sp_lineup *before = u->lineup;
    u->lineup = lineup;
    atomic_fetch_add_explicit(&u->version, 1, memory_order_release);
    pthread_mutex_unlock(&f->lock);
    sp_lineup_unref(before);
    sp_queue_call_all(u->queue);
}

uint64_t sp_fleet_version(const struct sp_fleet *f, size_t upstream)
{
    return atomic_load_explicit(&f->upstreams[upstream].version, memory_order_relaxed);
}

struct sp_lineup *sp_fleet_lineup(struct sp_fleet *f, size_t upstream)
{
    pthread_mutex_lock(&f->lock);
    struct sp_lineup *l = f->upstreams[upstream].lineup;
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&f->lock);
    return l;
}
