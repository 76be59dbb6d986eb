/* The worker's table of endpoints and how a configuration's upstreams map onto it.
 *
 * An endpoint is known by its address alone: two upstreams, or two configurations, that name the same address
 * share its kept-alive connections. It lives while targets name it or a connection to it is in use.
 *
 * Connections themselves: connection.c. */
#include "upstream_impl.h"

struct target {
    struct sp_endpoint **endpoints;
    const struct sp_config_upstream *config;
    unsigned count;
    unsigned next; /* round robin */
};

struct sp_targets {
    struct sp_upstreams *owner;
    struct target *items;
    size_t count;
};

#define SWEEP_MS 1000

static void sweep(void *arg)
{
    struct sp_upstreams *u = arg;
    uint64_t now_ms = sp_loop_now_ms(u->loop);
    unsigned left = 0;

    u->sweeping = false;
    SP_LIST_EACH (&u->endpoints, it) {
        struct sp_endpoint *ep = SP_CONTAINER_OF(it, struct sp_endpoint, link);
        sp_endpoint_close_idle(ep, now_ms);
        left += ep->idle_count;
    }
    if (left > 0)
        sp_upstreams_arm_sweep(u);
}

/* Not sp_timer_set each time: that would put the sweep off for as long as there is traffic. */
void sp_upstreams_arm_sweep(struct sp_upstreams *u)
{
    if (!u->sweeping)
        sp_timer_set(u->sweep, SWEEP_MS);
    u->sweeping = true;
}

struct sp_upstreams *sp_upstreams_new(
    struct sp_loop *loop, struct sp_pool *blocks, struct sp_meter_block *meter)
{
    struct sp_upstreams *u = SP_NEW(struct sp_upstreams);

    if (u == NULL)
        return NULL;
    u->loop = loop;
    u->blocks = blocks;
    u->meter = meter;
    sp_list_init(&u->endpoints);
    u->sweep = sp_timer_new(loop, sweep, u);
    if (u->sweep == NULL)
        SP_FREE(u);
    return u;
}

void sp_upstreams_close_idle(struct sp_upstreams *u)
{
    SP_LIST_EACH (&u->endpoints, it)
        sp_endpoint_close_idle(SP_CONTAINER_OF(it, struct sp_endpoint, link), UINT64_MAX);
}

void sp_upstreams_free(struct sp_upstreams *u)
{
    if (u == NULL)
        return;
    sp_upstreams_close_idle(u);
    SP_ASSERT(sp_list_is_empty(&u->endpoints));
    sp_timer_free(u->sweep);
    sp_free(u);
}

static struct sp_endpoint *endpoint_of(struct sp_upstreams *u, const struct sp_config_endpoint *config)
{
    SP_LIST_EACH (&u->endpoints, it) {
        struct sp_endpoint *ep = SP_CONTAINER_OF(it, struct sp_endpoint, link);
        if (sp_addr_equal(&ep->address, &config->address))
            return ep;
    }
    struct sp_endpoint *ep = SP_NEW(struct sp_endpoint);
    if (ep == NULL)
        return NULL;
    sp_list_init(&ep->idle);
    sp_list_append(&u->endpoints, &ep->link);
    ep->owner = u;
    ep->address = config->address;
    sp_addr_format(&config->address, ep->text);
    return ep;
}

void sp_endpoint_release(struct sp_endpoint *ep)
{
    if (ep->named > 0)
        return;
    sp_endpoint_close_idle(ep, UINT64_MAX);
    if (ep->taken > 0)
        return;
    sp_list_remove(&ep->link);
    sp_free(ep);
}

struct sp_targets *sp_targets_new(struct sp_upstreams *u, const struct sp_config *config)
{
    struct sp_targets *t = SP_NEW(struct sp_targets);

    if (t == NULL)
        return NULL;
    t->owner = u;
    t->items = sp_alloc(config->upstream_count, sizeof(*t->items));
    if (t->items == NULL)
        goto fail;
    for (size_t i = 0; i < config->upstream_count; i++) {
        struct target *target = &t->items[i];
        target->config = &config->upstreams[i];
        target->endpoints = sp_alloc(target->config->endpoint_count, sizeof(struct sp_endpoint *));
        t->count++;
        if (target->endpoints == NULL)
            goto fail;
        for (size_t j = 0; j < target->config->endpoint_count; j++) {
            struct sp_endpoint *ep = endpoint_of(u, &target->config->endpoints[j]);
            if (ep == NULL)
                goto fail;
            ep->named++;
            target->endpoints[target->count++] = ep;
        }
    }
    u->limits = (struct sp_h1_limits){config->limits.header_bytes, config->limits.headers, 0};
    return t;
fail:
    sp_targets_free(t);
    return NULL;
}

void sp_targets_free(struct sp_targets *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->count; i++) {
        for (unsigned j = 0; j < t->items[i].count; j++) {
            t->items[i].endpoints[j]->named--;
            sp_endpoint_release(t->items[i].endpoints[j]);
        }
        sp_free(t->items[i].endpoints);
    }
    sp_free(t->items);
    sp_free(t);
}

unsigned sp_targets_endpoints(const struct sp_targets *t, size_t index)
{
    return t->items[index].count;
}

unsigned sp_targets_next(struct sp_targets *t, size_t index)
{
    return t->items[index].next++;
}

const char *sp_endpoint_text(const struct sp_endpoint *ep)
{
    return ep->text;
}

enum sp_rc sp_upconn_take(struct sp_targets *t, size_t index, unsigned first, unsigned attempt, bool fresh,
    void (*on_event)(void *arg), void *arg, struct sp_upconn **out, const struct sp_endpoint **ep)
{
    struct target *target = &t->items[index];
    struct sp_endpoint *chosen = target->endpoints[(first + attempt) % target->count];

    *ep = chosen;
    *out = NULL;
    struct sp_upconn *c = fresh ? NULL : sp_upconn_reuse(chosen);
    if (c == NULL) {
        c = sp_upconn_open(chosen);
        if (c == NULL)
            return SP_FAIL;
    }
    c->idle_ms = target->config->idle_ms;
    c->max_idle = target->config->max_idle;
    c->on_event = on_event;
    c->arg = arg;
    *out = c;
    return SP_OK;
}
