/* What names of endpoints mean: asked when a configuration first has them, and again whenever the answer has had its time.
 *
 *          asked          addresses               TTL over
 *   new ──────────► ... ────────────► known ─────────────────► asked again ...
 *                    │                                             │
 *                    └── none, or nobody can say ──► failing ◄─────┘     asked again after 1 s, 2 s, ... 30 s
 *
 * The last addresses serve for as long as there are no others: while nobody can say, and also when the answer is that the name
 * is gone or has no address. A deployment that takes a name away on purpose takes it out of the configuration; a zone that was
 * loaded half is much more common, and emptying an upstream because of it would be worse than asking hosts that are gone,
 * which checks and ejection find out.
 *
 * When something could not be said, the resolver is made anew before it is asked again: /etc/resolv.conf may be another. That
 * is when its questions have ended; until then only new names are asked for, since somebody may wait for these.
 *
 * Elsewhere: waiting for an answer while a configuration is built (names_learn.c). */
#include <stdio.h>
#include <time.h>

#include "upstream/roster/roster_impl.h"

#define TTL_MIN_MS  1000
#define TTL_NONE_MS 5000 /* where there is none: /etc/hosts, or a zone that says 0 */
#define TTL_MAX_MS  (UINT64_C(3600) * 1000)
#define WAIT_MIN_MS 1000
#define WAIT_MAX_MS 30000
#define STALE_MS    100 /* until it is looked again whether the questions of a stale resolver have ended */

/* ---- the table ---- */

struct sp_name *sp_name_find(const struct sp_roster *r, const struct sp_config_endpoint *e)
{
    SP_LIST_EACH (&r->names, it) {
        struct sp_name *n = SP_CONTAINER_OF(it, struct sp_name, link);
        if (n->is_srv == e->is_srv && n->port == e->port && strcmp(n->host, e->host) == 0)
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

/* ---- asking ---- */

static void set_due(struct sp_name *n, uint64_t in_ms)
{
    n->due_ms = sp_loop_now_ms(n->roster->loop) + in_ms;
    if (n->is_named)
        sp_timer_set(n->timer, in_ms);
}

static uint64_t ttl_ms(uint64_t ttl_s)
{
    if (ttl_s == 0)
        return TTL_NONE_MS;
    if (ttl_s > TTL_MAX_MS / 1000)
        return TTL_MAX_MS;
    return ttl_s * 1000 > TTL_MIN_MS ? ttl_s * 1000 : TTL_MIN_MS;
}

static void wait_longer(struct sp_name *n)
{
    n->wait_ms = n->wait_ms == 0 ? WAIT_MIN_MS : 2 * n->wait_ms;
    if (n->wait_ms > WAIT_MAX_MS)
        n->wait_ms = WAIT_MAX_MS;
    set_due(n, n->wait_ms);
}

static void line_up_users(struct sp_name *n)
{
    struct sp_fleet *f = n->roster->fleet;

    for (size_t i = 0; f != NULL && n->is_named && i < f->upstream_count; i++) {
        const struct sp_config_upstream *u = f->upstreams[i].config;
        bool uses = false;
        for (size_t j = 0; j < u->endpoint_count && !uses; j++)
            uses = u->endpoints[j].address.len == 0 && sp_name_find(n->roster, &u->endpoints[j]) == n;
        if (uses)
            sp_roster_line_up(n->roster, i);
    }
}

/* ---- telling ---- */

static void tell_resolved(const struct sp_name *n)
{
    struct sp_buf text;
    char one[SP_ADDR_TEXT];

    sp_buf_init(&text, 2048);
    for (size_t i = 0; i < n->count; i++)
        sp_buf_printf(&text, "%s%s", i > 0 ? " " : "", sp_addr_format(&n->items[i].address, one));
    struct sp_log_field fields[] = {
        SP_LOG_C("name", n->text), SP_LOG_S("addresses", sp_buf_slice(&text)), SP_LOG_N("count", n->count)};
    sp_log_event(n->roster->logger, SP_LOG_INFO, "name_resolved", fields, SP_COUNTOF(fields));
    sp_buf_free(&text);
}

static void tell_failed(const struct sp_name *n)
{
    struct sp_log_field fields[] = {SP_LOG_C("name", n->text), SP_LOG_C("detail", n->failure),
        SP_LOG_N("addresses", n->count),
        SP_LOG_C("in_use", n->count > 0 ? "the addresses of its last good answer" : NULL)};

    sp_log_event(n->roster->logger, SP_LOG_WARN, "name_failed", fields, SP_COUNTOF(fields));
}

/* Before a configuration is in force there is no log; then what is known by then is told when it is. */
static void tell(struct sp_name *n, bool has_changed)
{
    bool fails = n->state == SP_NAME_FAILING;

    if (!n->is_named)
        return;
    if (fails && !n->was_told)
        tell_failed(n);
    else if (!fails && (has_changed || n->was_told))
        tell_resolved(n);
    n->was_told = fails;
}

/* ---- answers ---- */

static bool is_among(const struct sp_resolved *items, size_t count, const struct sp_resolved *item)
{
    for (size_t i = 0; i < count; i++) {
        if (sp_addr_equal(&items[i].address, &item->address))
            return true;
    }
    return false;
}

/* The answer, and of one that is not complete what was known before as well. NULL without memory. */
static struct sp_resolved *merge(const struct sp_name *n, const struct sp_resolution *answer, size_t *count)
{
    size_t room = answer->count + (answer->is_partial ? n->count : 0);
    struct sp_resolved *items = sp_alloc(room, sizeof(*items));

    if (items == NULL)
        return NULL;
    memcpy(items, answer->items, answer->count * sizeof(*items));
    *count = answer->count;
    for (size_t i = 0; answer->is_partial && i < n->count && *count < SP_RESOLVED_MAX; i++) {
        if (!is_among(items, answer->count, &n->items[i]))
            items[(*count)++] = n->items[i];
    }
    return items;
}

static bool is_equal(const struct sp_resolved *a, const struct sp_resolved *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!sp_addr_equal(&a[i].address, &b[i].address) || a[i].weight != b[i].weight ||
            a[i].priority != b[i].priority)
            return false;
    }
    return true;
}

static void settle(struct sp_name *n, enum sp_name_state state, const char *failure)
{
    n->state = state;
    n->is_settled = true;
    (void)snprintf(n->failure, sizeof(n->failure), "%s", failure);
    pthread_cond_broadcast(&n->roster->settled);
}

/* True: the addresses are others than before. */
static bool take_addresses(struct sp_name *n, const struct sp_resolution *answer)
{
    size_t count = 0;
    struct sp_resolved *items = merge(n, answer, &count);
    bool has_changed = items != NULL && (count != n->count || !is_equal(items, n->items, count));

    pthread_mutex_lock(&n->roster->lock);
    if (has_changed) {
        struct sp_resolved *before = n->items;
        n->items = items;
        n->count = count;
        items = before;
    }
    settle(n, SP_NAME_KNOWN, "");
    pthread_mutex_unlock(&n->roster->lock);
    sp_free(items);
    return has_changed;
}

static void on_failure(struct sp_name *n, const char *why)
{
    pthread_mutex_lock(&n->roster->lock);
    settle(n, SP_NAME_FAILING, why);
    pthread_mutex_unlock(&n->roster->lock);
    wait_longer(n);
    tell(n, false);
}

static void count_answer(struct sp_roster *r, bool ok)
{
    if (r->fleet != NULL) /* before, there is nothing to count with */
        sp_meter_add(r->meter, ok ? SP_METER_name_answers : SP_METER_name_failures, 1);
}

static void on_answer(struct sp_question *q, const struct sp_resolution *answer)
{
    struct sp_name *n = SP_CONTAINER_OF(q, struct sp_name, question);
    struct sp_roster *r = n->roster;

    n->is_asked = false;
    r->names_asked--;
    count_answer(r, answer->rc == SP_OK);
    if (answer->rc != SP_OK) {
        r->resolver_is_stale = r->resolver_is_stale || answer->rc == SP_FAIL;
        on_failure(n, answer->error);
        return;
    }
    bool has_changed = take_addresses(n, answer);
    if (answer->is_partial) {
        r->resolver_is_stale = true;
        wait_longer(n);
    } else {
        n->wait_ms = 0;
        set_due(n, ttl_ms(answer->ttl_s));
    }
    tell(n, has_changed);
    if (has_changed)
        line_up_users(n);
}

static bool has_resolver(struct sp_roster *r, struct sp_err *err)
{
    const char *servers = r->servers.len > 1 ? r->servers.ptr : NULL;

    if (r->resolver_is_stale && r->names_asked == 0) {
        sp_resolver_free(r->resolver);
        r->resolver = NULL;
    }
    if (r->resolver == NULL && sp_resolver_new(r->loop, servers, &r->resolver, err) == SP_OK)
        r->resolver_is_stale = false;
    return r->resolver != NULL;
}

void sp_name_ask(struct sp_name *n)
{
    struct sp_roster *r = n->roster;
    struct sp_err err = {0};

    if (n->is_asked)
        return;
    if (r->resolver_is_stale && r->names_asked > 0 && n->is_settled) {
        sp_timer_set(n->timer, STALE_MS);
        return;
    }
    if (!has_resolver(r, &err)) {
        on_failure(n, err.text);
        return;
    }
    n->question.on_answer = on_answer;
    enum sp_rc rc = n->is_srv ? sp_resolver_ask_srv(r->resolver, &n->question, n->host)
                              : sp_resolver_ask(r->resolver, &n->question, n->host, n->port);
    if (rc != SP_OK) {
        on_failure(n, "not enough memory");
        return;
    }
    n->is_asked = true;
    r->names_asked++;
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
            tell(n, n->count > 0);
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
