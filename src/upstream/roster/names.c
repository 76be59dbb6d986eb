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
 * Elsewhere: which names there are (names_table.c), waiting for an answer while a configuration is built (names_learn.c). */
#include <stdio.h>

#include "upstream/roster/roster_impl.h"

#define TTL_MIN_MS  1000
#define TTL_NONE_MS 5000 /* where there is none: /etc/hosts, or a zone that says 0 */
#define TTL_MAX_MS  (UINT64_C(3600) * 1000)
#define WAIT_MIN_MS 1000
#define WAIT_MAX_MS 30000
#define STALE_MS    100 /* until it is looked again whether the questions of a stale resolver have ended */

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
void sp_name_tell(struct sp_name *n, bool has_changed)
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

/* Something is said of the same target's addresses of the same family. */
static bool is_spoken_of(const struct sp_resolution *answer, const struct sp_resolved *item)
{
    for (size_t i = 0; i < answer->count; i++) {
        if (answer->items[i].address.u.sa.sa_family == item->address.u.sa.sa_family &&
            strcmp(answer->items[i].name, item->name) == 0)
            return true;
    }
    return false;
}

/* The answer, and of one that is not complete what was known before of what nothing is said of now. NULL without memory. */
static struct sp_resolved *merge(const struct sp_name *n, const struct sp_resolution *answer, size_t *count)
{
    size_t room = answer->count + (answer->is_partial ? n->count : 0);
    struct sp_resolved *items = sp_alloc(room, sizeof(*items));

    if (items == NULL)
        return NULL;
    memcpy(items, answer->items, answer->count * sizeof(*items));
    *count = answer->count;
    for (size_t i = 0; answer->is_partial && i < n->count && *count < SP_RESOLVED_MAX; i++) {
        if (!is_spoken_of(answer, &n->items[i]))
            items[(*count)++] = n->items[i];
    }
    return items;
}

static bool is_equal(const struct sp_resolved *a, const struct sp_resolved *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!sp_addr_equal(&a[i].address, &b[i].address) || a[i].weight != b[i].weight ||
            a[i].priority != b[i].priority || strcmp(a[i].name, b[i].name) != 0)
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

/* What came of an answer. */
struct taken {
    bool has_changed; /* the addresses are others than before */
    bool
        is_open; /* some of what is known is known from before, or some target by nothing: to be asked again soon */
};

/* SP_FAIL without memory. */
static enum sp_rc take_addresses(struct sp_name *n, const struct sp_resolution *answer, struct taken *out)
{
    size_t count = 0;
    struct sp_resolved *items = merge(n, answer, &count);

    if (items == NULL)
        return SP_FAIL;
    out->has_changed = count != n->count || !is_equal(items, n->items, count);
    out->is_open = answer->is_partial && (n->is_srv || count > answer->count);
    pthread_mutex_lock(&n->roster->lock);
    if (out->has_changed) {
        struct sp_resolved *before = n->items;
        n->items = items;
        n->count = count;
        items = before;
    }
    settle(n, SP_NAME_KNOWN, "");
    pthread_mutex_unlock(&n->roster->lock);
    sp_free(items);
    return SP_OK;
}

static void on_failure(struct sp_name *n, const char *why)
{
    pthread_mutex_lock(&n->roster->lock);
    settle(n, SP_NAME_FAILING, why);
    pthread_mutex_unlock(&n->roster->lock);
    wait_longer(n);
    sp_name_tell(n, false);
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
    struct taken taken;

    n->is_asked = false;
    r->names_asked--;
    count_answer(r, answer->rc == SP_OK);
    if (answer->rc != SP_OK) {
        r->resolver_is_stale = r->resolver_is_stale || answer->rc == SP_FAIL;
        on_failure(n, answer->error);
        return;
    }
    if (take_addresses(n, answer, &taken) != SP_OK) {
        on_failure(n, "not enough memory");
        return;
    }
    if (taken.is_open) {
        r->resolver_is_stale = true;
        wait_longer(n);
    } else {
        n->wait_ms = 0;
        set_due(n, ttl_ms(answer->ttl_s));
    }
    sp_name_tell(n, taken.has_changed);
    if (taken.has_changed)
        sp_name_line_up_users(n);
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

static bool has_family(const struct sp_name *n, int family)
{
    for (size_t i = 0; i < n->count; i++) {
        if (n->items[i].address.u.sa.sa_family == family)
            return true;
    }
    return false;
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
    n->question.had_ipv4 = has_family(n, AF_INET);
    n->question.had_ipv6 = has_family(n, AF_INET6);
    enum sp_rc rc = n->is_srv ? sp_resolver_ask_srv(r->resolver, &n->question, n->host)
                              : sp_resolver_ask(r->resolver, &n->question, n->host, n->port);
    if (rc != SP_OK) {
        on_failure(n, "not enough memory");
        return;
    }
    n->is_asked = true;
    r->names_asked++;
}
