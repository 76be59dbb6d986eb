/* Which names there are: one of each for all upstreams, from the first configuration that has it to the first in force that does
 * not. Found by name, port and kind.
 *
 * Elsewhere: asking, and what comes of it (names.c). */
#include <stdio.h>
#include <time.h>

#include "upstream/roster/roster_impl.h"

static struct sp_list *bucket_of(const struct sp_roster *r, const char *host)
{
    return (struct sp_list *)&r->names_by_hash[sp_roster_hash(host, NULL, NULL) % SP_ROSTER_BUCKETS];
}

static bool is_name_of(const struct sp_name *n, const struct sp_config_endpoint *e)
{
    return n->is_srv == e->is_srv && n->port == e->port && strcmp(n->host, e->host) == 0;
}

struct sp_name *sp_name_find(const struct sp_roster *r, const struct sp_config_endpoint *e)
{
    SP_LIST_EACH (bucket_of(r, e->host), it) {
        struct sp_name *n = SP_CONTAINER_OF(it, struct sp_name, by_hash);
        if (is_name_of(n, e))
            return n;
    }
    return NULL;
}

size_t sp_names_answer(
    const struct sp_roster *r, const struct sp_config_endpoint *e, const struct sp_resolved **items)
{
    const struct sp_name *n = sp_name_find(r, e);

    *items = n != NULL ? n->items : NULL;
    return n != NULL ? n->count : 0;
}

void sp_name_line_up_users(struct sp_name *n)
{
    struct sp_fleet *f = n->roster->fleet;

    for (size_t i = 0; f != NULL && n->is_named && i < f->upstream_count; i++) {
        const struct sp_config_upstream *u = f->upstreams[i].config;
        bool uses = false;
        for (size_t j = 0; j < u->endpoint_count && !uses; j++)
            uses = u->endpoints[j].address.len == 0 && is_name_of(n, &u->endpoints[j]);
        if (uses)
            sp_roster_line_up(n->roster, i);
    }
}

static void on_due(void *arg)
{
    sp_name_ask(arg);
}

/* ---- names come and go ---- */

static void forget(struct sp_name *n)
{
    struct sp_roster *r = n->roster;

    sp_question_cancel(&n->question);
    r->names_asked -= n->is_asked;
    sp_timer_free(n->timer);
    pthread_mutex_lock(&r->lock);
    sp_list_remove(&n->link);
    sp_list_remove(&n->by_hash);
    pthread_mutex_unlock(&r->lock);
    sp_free(n->items);
    sp_free(n);
}

struct sp_name *sp_name_meet(struct sp_roster *r, const struct sp_config_endpoint *e)
{
    struct sp_name *n = SP_NEW(struct sp_name);

    if (n != NULL)
        n->timer = sp_timer_new(r->loop, on_due, n);
    if (n == NULL || n->timer == NULL) {
        sp_free(n);
        return NULL;
    }
    n->roster = r;
    n->port = e->port;
    n->is_srv = e->is_srv;
    (void)snprintf(n->host, sizeof(n->host), "%s", e->host);
    (void)snprintf(n->text, sizeof(n->text), "%s", e->text);
    pthread_mutex_lock(&r->lock);
    sp_list_append(&r->names, &n->link);
    sp_list_append(bucket_of(r, n->host), &n->by_hash);
    pthread_mutex_unlock(&r->lock);
    return n;
}

void sp_names_each(const struct sp_config *config,
    void (*each)(void *arg, const struct sp_config_upstream *u, const struct sp_config_endpoint *e),
    void *arg)
{
    for (size_t i = 0; i < config->upstream_count; i++) {
        const struct sp_config_upstream *u = &config->upstreams[i];
        for (size_t j = 0; j < u->endpoint_count; j++) {
            if (u->endpoints[j].address.len == 0)
                each(arg, u, &u->endpoints[j]);
        }
    }
}

static void follow_one(void *arg, const struct sp_config_upstream *u, const struct sp_config_endpoint *e)
{
    struct sp_roster *r = arg;
    struct sp_name *n = sp_name_find(r, e);

    (void)u;
    if (n == NULL)
        n = sp_name_meet(r, e);
    if (n != NULL)
        n->is_wanted = true;
}

/* What was asked for a configuration before it was in force is told now, and asked again in its time. What fails is asked at
 * once: who loads a configuration may have mended something. */
static void follow(struct sp_name *n)
{
    uint64_t now_ms = sp_loop_now_ms(n->roster->loop);

    if (!n->is_named) {
        n->is_named = true;
        if (n->is_settled)
            sp_name_tell(n, n->count > 0);
    }
    if (!n->is_settled || n->state == SP_NAME_FAILING)
        sp_name_ask(n);
    else if (!n->is_asked)
        sp_timer_set(n->timer, n->due_ms > now_ms ? n->due_ms - now_ms : 0);
}

void sp_names_follow(struct sp_roster *r)
{
    r->resolver_is_stale = true;
    sp_names_use_servers(r, r->fleet->config);
    SP_LIST_EACH (&r->names, it)
        SP_CONTAINER_OF(it, struct sp_name, link)->is_wanted = false;
    sp_names_each(r->fleet->config, follow_one, r);
    SP_LIST_EACH (&r->names, it) {
        struct sp_name *n = SP_CONTAINER_OF(it, struct sp_name, link);
        if (n->is_wanted)
            follow(n);
        else
            forget(n);
    }
}

/* ---- life ---- */

enum sp_rc sp_names_servers(const struct sp_config *config, struct sp_buf *out)
{
    for (size_t i = 0; i < config->resolver_servers.count; i++)
        sp_buf_printf(out, "%s%s", i > 0 ? "," : "", config->resolver_servers.items[i]);
    sp_buf_add_char(out, '\0');
    return out->failed ? SP_FAIL : SP_OK;
}

/* Without memory those of before. */
void sp_names_use_servers(struct sp_roster *r, const struct sp_config *config)
{
    struct sp_buf servers = {0};

    if (sp_names_servers(config, &servers) != SP_OK) {
        sp_buf_free(&servers);
        return;
    }
    sp_buf_free(&r->servers);
    r->servers = servers;
}

enum sp_rc sp_names_init(struct sp_roster *r)
{
    pthread_condattr_t by;

    sp_list_init(&r->names);
    for (size_t i = 0; i < SP_ROSTER_BUCKETS; i++)
        sp_list_init(&r->names_by_hash[i]);
    if (pthread_condattr_init(&by) != 0)
        return SP_FAIL;
    bool made =
        pthread_condattr_setclock(&by, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&r->settled, &by) == 0;
    pthread_condattr_destroy(&by);
    return made ? SP_OK : SP_FAIL;
}

void sp_names_free(struct sp_roster *r)
{
    SP_LIST_EACH (&r->names, it)
        forget(SP_CONTAINER_OF(it, struct sp_name, link));
    sp_resolver_free(r->resolver);
    sp_buf_free(&r->servers);
    pthread_cond_destroy(&r->settled);
}
