/* Thousands of small policies made at random, and each decision compared with one that is found without any index: by
 * reading the configuration's own structs from the top, with matchers of the plainest kind. The vocabulary is small, so that
 * hosts, paths and patterns collide all the time, and some policies are large enough for every way of going over rules. */
#include "policy_fixture.h"

#include <stdlib.h>

enum {
    POLICIES = 500,
    CLIENTS = 8,   /* a policy */
    REQUESTS = 12, /* a client */
    CALLERS_MAX = 12,
    RULES_MAX = 700,
    NAMES_IN_LIST = 4
};

/* ---- chance ---- */

static uint64_t seed = 0x5a11904711ULL;

static size_t below(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed >> 11) % n;
}

static bool one_in(size_t n)
{
    return below(n) == 0;
}

#define ANY_OF(pool) ((pool)[below(SP_COUNTOF(pool))])

static const char *const URIS[] = {"spiffe://h/a", "spiffe://h/a/b", "spiffe://h/b", "spiffe://i/a", "urn:x"};
static const char *const URI_PATTERNS[] = {
    "spiffe://h/a", "spiffe://h/**", "spiffe://h/*", "spiffe://h/a/**", "spiffe://i/*", "urn:x"};
static const char *const DNS[] = {"a.x", "b.x", "c.a.x", "x"};
static const char *const DNS_PATTERNS[] = {"a.x", "*.x", "*.a.x", "x"};
static const char *const HOSTS[] = {"a.x", "b.x", "c.a.x", "d.a.x", "x", "y", "a.y", ""};
static const char *const HOST_PATTERNS[] = {"a.x", "b.x", "*.x", "*.a.x", "x", "c.a.x", "A.Y", "*.y"};
static const char *const PATHS[] = {"/", "/a", "/a/", "/a/b", "/a/b/", "/b/b", "/ab/b", "/a/xb/c", "/xa", "*",
    "/a/b/c/d", "/b", "/a/bc", "/aa/bb/cc", "/a/b/c", "/a/*", "/**"};
static const char *const PATH_PATTERNS[] = {"/", "/**", "/a", "/a/**", "/a/*", "/a/b", "/*/b", "/a*/b",
    "/*/*/**", "/a/b/**", "/*a", "/a/*b/c", "/a/", "/*", "/a/b*", "/*/b/**", "/aa/*b*/cc", "/a/b/c"};
static const char *const METHODS[] = {"GET", "POST", "PUT", "get", "PURGE"};
static const char *const HEADERS[] = {"X-A", "X-B", "x-long-name"};
static const char *const SENT_HEADERS[] = {"X-A", "x-a", "X-B", "X-C", "X-Long-Name"};
static const char *const VALUES[] = {"1", "2", ""};
static const char *const SOURCES[] = {
    "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/24", "2001:db8::/32"};
static const char *const ADDRESSES[] = {
    "10.1.2.3:1", "10.1.9.9:1", "10.9.9.9:1", "192.0.2.7:1", "[2001:db8::1]:1", "[2001:db9::1]:1", "unix:/x"};
static const char *const LISTENERS[] = {"in", "out", "side"};
static const char *const KEY_TYPES[] = {"ec"};

/* ---- a policy of chance ---- */

struct world {
    struct sp_config config;
    struct sp_config_listener listeners[3];
    char names[CALLERS_MAX][24];
    struct sp_config_caller callers[CALLERS_MAX];
    struct sp_config_caller_entry entries[CALLERS_MAX][3];
    struct sp_config_requirements require;
    struct sp_config_rule rules[RULES_MAX];
    char rule_names[RULES_MAX][24];
    const char *lists[RULES_MAX * 5][NAMES_IN_LIST];
    struct sp_config_header_match matches[RULES_MAX][2];
    size_t list_count;
    struct sp_config_trusted_proxy proxies[2];
};

static const struct sp_pos places[NAMES_IN_LIST] = {{7, 3}, {7, 3}, {7, 3}, {7, 3}};

static struct sp_strings names_of(struct world *w, const char *const *pool, size_t pool_count, size_t count)
{
    const char **list = w->lists[w->list_count++];
    for (size_t i = 0; i < count; i++)
        list[i] = pool[below(pool_count)];
    return (struct sp_strings){list, places, count};
}

static struct sp_strings callers_of(struct world *w, size_t count)
{
    const char *pool[CALLERS_MAX];
    for (size_t i = 0; i < w->config.caller_count; i++)
        pool[i] = w->names[i];
    return names_of(w, pool, w->config.caller_count, count);
}

static struct sp_config_caller_entry entry_of_chance(const struct world *w, size_t caller)
{
    struct sp_config_caller_entry e = {.at = HERE};
    switch (below(8)) {
    case 0:
        e.any = SP_CALLER_ANY_AUTHENTICATED;
        return e;
    case 1:
        e.any = SP_CALLER_ANY_ANONYMOUS;
        return e;
    case 2:
        if (caller > 0) { /* only those before it: no circle */
            e.caller = w->names[below(caller)];
            e.caller_at = here;
            return e;
        } /* fall through */
    case 3:
    case 4:
        e.dns = ANY_OF(DNS_PATTERNS);
        if (one_in(4))
            e.uri = ANY_OF(URI_PATTERNS);
        return e;
    default:
        e.uri = ANY_OF(URI_PATTERNS);
        return e;
    }
}

static bool caller_may_be_anonymous(const struct world *w, const char *name);

static void make_callers(struct world *w)
{
    w->require = (struct sp_config_requirements){.at = HERE, .key_types = {KEY_TYPES, places, 1}};
    w->config.caller_count = 1 + below(CALLERS_MAX);
    for (size_t i = 0; i < w->config.caller_count; i++) {
        size_t count = 1 + below(3);
        (void)snprintf(w->names[i], sizeof w->names[i], "c%zu", i);
        for (size_t k = 0; k < count; k++)
            w->entries[i][k] = entry_of_chance(w, i);
        w->callers[i] = (struct sp_config_caller){
            .at = HERE, .name = w->names[i], .entries = w->entries[i], .entry_count = count};
    }
    for (size_t i = 0; i < w->config.caller_count; i++) {
        if (one_in(16) && !caller_may_be_anonymous(w, w->names[i]))
            w->callers[i].require = &w->require;
    }
}

static void make_rule(struct world *w, size_t i, bool about_requests)
{
    struct sp_config_rule *r = &w->rules[i];
    (void)snprintf(w->rule_names[i], sizeof w->rule_names[i], "r%zu", i);
    *r = (struct sp_config_rule){.at = HERE, .name = w->rule_names[i], .upstream_at = HERE};
    if (one_in(3))
        r->deny_status = 400 + (unsigned)below(200);
    else
        r->upstream = one_in(2) ? "billing" : "other";
    if (r->deny_status == 0 || !one_in(4))
        r->from = callers_of(w, 1 + below(3));
    if (one_in(6))
        r->not_from = callers_of(w, 1 + below(2));
    if (one_in(about_requests ? 20 : 4))
        r->listeners = names_of(w, LISTENERS, SP_COUNTOF(LISTENERS), 1 + below(2));
    if (one_in(about_requests ? 20 : 4))
        r->sources = names_of(w, SOURCES, SP_COUNTOF(SOURCES), 1 + below(2));
    if (!one_in(about_requests ? 12 : 3))
        r->host = ANY_OF(HOST_PATTERNS);
    if (!one_in(about_requests ? 12 : 3))
        r->path = ANY_OF(PATH_PATTERNS);
    if (one_in(2))
        r->methods = names_of(w, METHODS, SP_COUNTOF(METHODS), 1 + below(2));
    if (one_in(4)) {
        r->headers = w->matches[i];
        r->header_count = 1;
        w->matches[i][0] =
            (struct sp_config_header_match){here, ANY_OF(HEADERS), one_in(2) ? ANY_OF(VALUES) : NULL};
        if (one_in(4)) {
            w->matches[i][1] = (struct sp_config_header_match){here, ANY_OF(HEADERS), NULL};
            r->header_count = 2;
        }
    }
    r->mode = one_in(4) ? SP_RULE_REPORT : SP_RULE_ENFORCE;
}

/* Rules whose not_from names all of `from` are errors, told by another test. */
static bool is_contradictory(const struct sp_config_rule *r)
{
    for (size_t i = 0; i < r->from.count; i++) {
        bool excluded = false;
        for (size_t k = 0; k < r->not_from.count; k++)
            excluded = excluded || strcmp(r->from.items[i], r->not_from.items[k]) == 0;
        if (!excluded)
            return false;
    }
    return r->from.count > 0;
}

static void make_world(struct world *w)
{
    static const size_t sizes[] = {4, 12, 12, 60, 60, 400, RULES_MAX};
    memset(w, 0, sizeof *w);
    make_callers(w);
    size_t count = 1 + below(ANY_OF(sizes));
    bool about_requests = count > 100 || one_in(3);
    for (size_t i = 0; i < count; i++) {
        do
            make_rule(w, i, about_requests);
        while (is_contradictory(&w->rules[i]));
    }
    for (size_t i = 0; i < SP_COUNTOF(LISTENERS); i++)
        w->listeners[i].name = LISTENERS[i];
    size_t callers = w->config.caller_count;
    w->config = config_of(w->callers, callers, w->rules, count);
    w->config.listeners = w->listeners;
    w->config.listener_count = SP_COUNTOF(LISTENERS);
    w->config.trusted_proxies = w->proxies;
    w->config.trusted_proxy_count = below(3);
    for (size_t i = 0; i < w->config.trusted_proxy_count; i++) {
        w->proxies[i] = (struct sp_config_trusted_proxy){.at = HERE, .from = callers_of(w, 1 + below(2))};
        if (one_in(2))
            w->proxies[i].sources = names_of(w, SOURCES, SP_COUNTOF(SOURCES), 1);
    }
}

/* ---- the plainest matchers ---- */

static bool glob(const char *p, const char *t, bool slash_too)
{
    if (*p == '\0')
        return *t == '\0';
    if (*p != '*')
        return *p == *t && glob(p + 1, t + 1, slash_too);
    for (;; t++) {
        if (glob(p + 1, t, slash_too))
            return true;
        if (*t == '\0' || (*t == '/' && !slash_too))
            return false;
    }
}

/* The pattern's "*" that is a whole segment stands for at least one byte, "**" for any rest. */
static bool path_fits(const char *pattern, const char *path)
{
    size_t len = strlen(pattern);
    char fixed[64] = "";
    if (path[0] != '/')
        return false;
    if (len >= 3 && strcmp(pattern + len - 3, "/**") == 0) {
        for (const char *slash = path; slash != NULL; slash = strchr(slash + 1, '/')) {
            char head[64] = "", own[64] = "";
            memcpy(head, path, (size_t)(slash - path));
            memcpy(own, pattern, len - 3);
            if (own[0] == '\0' ? head[0] == '\0' : head[0] == '/' && path_fits(own, head))
                return true;
        }
        return false;
    }
    (void)snprintf(fixed, sizeof fixed, "%s", pattern);
    if (!glob(fixed, path, false))
        return false;
    /* glob lets "*" be empty: compare the segments that are "*" */
    const char *p = pattern, *t = path;
    while (p != NULL && t != NULL) {
        const char *p_end = strchr(p + 1, '/'), *t_end = strchr(t + 1, '/');
        size_t p_len = p_end != NULL ? (size_t)(p_end - p) : strlen(p);
        size_t t_len = t_end != NULL ? (size_t)(t_end - t) : strlen(t);
        if (p_len == 2 && p[1] == '*' && t_len == 1)
            return false;
        p = p_end;
        t = t_end;
    }
    return true;
}

static bool host_fits(const char *pattern, const char *host)
{
    char lower[64];
    for (size_t i = 0; i <= strlen(pattern); i++)
        lower[i] = sp_lower(pattern[i]);
    if (lower[0] != '*')
        return strcmp(lower, host) == 0;
    const char *dot = strchr(host, '.');
    return dot != NULL && dot != host && strcmp(dot, lower + 1) == 0;
}

static bool uri_fits(const char *pattern, const char *uri)
{
    if (strchr(pattern, '*') == NULL)
        return strcmp(pattern, uri) == 0;
    size_t head = strlen("spiffe://h");
    return strncmp(pattern, uri, head) == 0 && uri[head] == '/' && path_fits(pattern + head, uri + head);
}

static bool address_fits(const char *block, const char *address)
{
    static const struct {
        const char *block, *begins, *is;
    } blocks[] = {{"10.0.0.0/8", "10.", NULL}, {"10.1.0.0/16", "10.1.", NULL},
        {"10.1.2.3", NULL, "10.1.2.3:1"}, {"192.0.2.0/24", "192.0.2.", NULL},
        {"2001:db8::/32", "[2001:db8:", NULL}};
    for (size_t i = 0; i < SP_COUNTOF(blocks); i++) {
        if (strcmp(blocks[i].block, block) != 0)
            continue;
        return blocks[i].is != NULL ? strcmp(blocks[i].is, address) == 0
                                    : strncmp(blocks[i].begins, address, strlen(blocks[i].begins)) == 0;
    }
    return false;
}

/* ---- the plain evaluator ---- */

struct client {
    bool anonymous;
    const char *uri, *dns; /* or NULL */
    const char *listener, *address;
    bool is_rsa;
};

static bool is_caller(const struct world *w, const struct client *c, const char *name);

static bool entry_fits(const struct world *w, const struct client *c, const struct sp_config_caller_entry *e)
{
    if (e->caller != NULL)
        return is_caller(w, c, e->caller);
    if (e->any != SP_CALLER_NOT_ANY)
        return (e->any == SP_CALLER_ANY_ANONYMOUS) == c->anonymous;
    if (c->anonymous)
        return false;
    return (e->uri == NULL || (c->uri != NULL && uri_fits(e->uri, c->uri))) &&
           (e->dns == NULL || (c->dns != NULL && host_fits(e->dns, c->dns)));
}

static bool is_caller(const struct world *w, const struct client *c, const char *name)
{
    for (size_t i = 0; i < w->config.caller_count; i++) {
        if (strcmp(w->callers[i].name, name) != 0)
            continue;
        for (size_t k = 0; k < w->callers[i].entry_count; k++) {
            if (entry_fits(w, c, &w->callers[i].entries[k]))
                return true;
        }
    }
    return false;
}

static bool caller_may_be_anonymous(const struct world *w, const char *name)
{
    const struct client nobody = {.anonymous = true};
    return is_caller(w, &nobody, name);
}

static bool any_caller(const struct world *w, const struct client *c, const struct sp_strings *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (is_caller(w, c, names->items[i]))
            return true;
    }
    return false;
}

static bool listed(const struct sp_strings *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0)
            return true;
    }
    return names->count == 0;
}

static bool in_blocks(const struct sp_strings *blocks, const char *address)
{
    for (size_t i = 0; i < blocks->count; i++) {
        if (address_fits(blocks->items[i], address))
            return true;
    }
    return blocks->count == 0;
}

struct ask {
    const char *host, *path, *method;
    struct sp_header headers[4];
    size_t header_count;
};

static size_t times_sent(const struct ask *a, const char *name, struct sp_slice *value)
{
    size_t times = 0;
    for (size_t i = 0; i < a->header_count; i++) {
        if (sp_slice_equal_nocase(a->headers[i].name, sp_slice_of(name))) {
            *value = a->headers[i].value;
            times++;
        }
    }
    return times;
}

static bool headers_fit(const struct sp_config_rule *r, const struct ask *a)
{
    for (size_t i = 0; i < r->header_count; i++) {
        struct sp_slice value;
        if (times_sent(a, r->headers[i].name, &value) == 0)
            return false;
        if (r->headers[i].equals != NULL && !sp_slice_equal(value, sp_slice_of(r->headers[i].equals)))
            return false;
    }
    return true;
}

static bool rule_fits(
    const struct world *w, const struct sp_config_rule *r, const struct client *c, const struct ask *a)
{
    return (r->from.count == 0 || any_caller(w, c, &r->from)) && !any_caller(w, c, &r->not_from) &&
           listed(&r->listeners, c->listener) && in_blocks(&r->sources, c->address) &&
           listed(&r->methods, a->method) && (r->host == NULL || host_fits(r->host, a->host)) &&
           (r->path == NULL || path_fits(r->path, a->path)) && headers_fit(r, a);
}

static bool is_unfit(const struct world *w, const struct client *c)
{
    for (size_t i = 0; i < w->config.caller_count; i++) {
        if (w->callers[i].require != NULL && c->is_rsa && is_caller(w, c, w->callers[i].name))
            return true;
    }
    return false;
}

static bool is_ambiguous(const struct world *w, const struct ask *a)
{
    for (size_t i = 0; i < w->config.rule_count; i++) {
        for (size_t k = 0; k < w->rules[i].header_count; k++) {
            struct sp_slice value;
            if (times_sent(a, w->rules[i].headers[k].name, &value) > 1)
                return true;
        }
    }
    return false;
}

static size_t number_of_caller(const struct world *w, const char *name)
{
    for (size_t i = 0; i < w->config.caller_count; i++) {
        if (strcmp(w->callers[i].name, name) == 0)
            return i;
    }
    return SP_NONE;
}

static void evaluate(
    const struct world *w, const struct client *c, const struct ask *a, struct sp_decision *out)
{
    *out = (struct sp_decision){
        .reason = SP_REFUSAL_no_rule, .status = 403, .rule = SP_NONE, .caller = SP_NONE, .upstream = SP_NONE};
    for (size_t i = w->config.caller_count; i-- > 0;) {
        if (is_caller(w, c, w->callers[i].name))
            out->caller = i;
    }
    if (is_unfit(w, c)) {
        out->reason = SP_REFUSAL_key_not_allowed;
        return;
    }
    if (is_ambiguous(w, a)) {
        out->reason = SP_REFUSAL_ambiguous_header;
        out->status = 400;
        return;
    }
    for (size_t i = 0; i < w->config.rule_count; i++) {
        const struct sp_config_rule *r = &w->rules[i];
        if (!rule_fits(w, r, c, a))
            continue;
        if (r->mode == SP_RULE_REPORT) {
            if (out->report_count < SP_REPORTS_MAX)
                out->reports[out->report_count++] = i;
            continue;
        }
        out->rule = i;
        for (size_t k = r->from.count; k-- > 0;) {
            if (is_caller(w, c, r->from.items[k]))
                out->caller = number_of_caller(w, r->from.items[k]);
        }
        out->allowed = r->deny_status == 0;
        out->reason = out->allowed ? SP_REFUSAL_none : SP_REFUSAL_denied;
        out->status = out->allowed ? 403 : r->deny_status;
        if (out->allowed)
            out->upstream = strcmp(r->upstream, "billing") == 0;
        return;
    }
}

static size_t find_proxy(const struct world *w, const struct client *c)
{
    for (size_t i = 0; i < w->config.trusted_proxy_count; i++) {
        if (any_caller(w, c, &w->proxies[i].from) && in_blocks(&w->proxies[i].sources, c->address))
            return i;
    }
    return SP_NONE;
}

/* ---- the comparison ---- */

static struct client client_of_chance(void)
{
    struct client c = {.anonymous = one_in(6), .listener = ANY_OF(LISTENERS), .address = ANY_OF(ADDRESSES)};
    if (!c.anonymous) {
        c.uri = one_in(4) ? NULL : ANY_OF(URIS);
        c.dns = one_in(3) ? NULL : ANY_OF(DNS);
        c.is_rsa = one_in(8);
    }
    return c;
}

static struct ask ask_of_chance(void)
{
    struct ask a = {.host = ANY_OF(HOSTS), .path = ANY_OF(PATHS), .method = ANY_OF(METHODS)};
    a.header_count = below(4);
    for (size_t i = 0; i < a.header_count; i++)
        a.headers[i] =
            (struct sp_header){sp_slice_of(ANY_OF(SENT_HEADERS)), sp_slice_of(ANY_OF(VALUES)), SP_HDR_OTHER};
    return a;
}

static struct sp_standing *stand_as(const struct sp_policy *p, const struct client *c)
{
    struct names names = {.uris = {sp_slice_of(c->uri)}, .dns = {sp_slice_of(c->dns)}};
    struct sp_identity id = identity_of(&names);
    struct sp_addr source;
    struct sp_err err = {0};
    id.client_cert = TEXT(":AA==:"); /* else it is not asked for its key */
    id.key_type = c->is_rsa ? SP_KEY_RSA : SP_KEY_EC;
    assert_int_equal(sp_addr_parse(sp_slice_of(c->address), &source, &err), SP_OK);
    const struct sp_connection connection = {
        .identity = c->anonymous ? NULL : &id, .listener = c->listener, .source = &source};
    struct sp_standing *s = sp_policy_stand(p, &connection);
    assert_non_null(s);
    return s;
}

static void compare(const struct world *w, const struct client *c, const struct sp_standing *s,
    const struct ask *a, size_t seen[SP_REFUSAL_COUNT])
{
    struct sp_policy_request request = {.host = sp_slice_of(a->host),
        .path = sp_slice_of(a->path),
        .method = sp_slice_of(a->method),
        .headers = a->headers,
        .header_count = a->header_count};
    struct sp_decision got, wanted;

    memset(&got, 0xFF, sizeof got);
    sp_policy_decide(s, &request, &got);
    evaluate(w, c, a, &wanted);
    seen[wanted.reason]++;
    bool same = got.allowed == wanted.allowed && got.reason == wanted.reason && got.rule == wanted.rule &&
                (got.allowed || got.status == wanted.status) && got.caller == wanted.caller &&
                got.upstream == wanted.upstream && got.report_count == wanted.report_count;
    for (size_t i = 0; i < got.report_count && same; i++)
        same = got.reports[i] == wanted.reports[i];
    if (!same)
        fail_msg("%s %s%s as %s, %s at %s from %s: %s by rule %zd, %zu reports; expected %s by rule %zd, %zu "
                 "reports (of %zu rules)",
            a->method, a->host, a->path, c->uri != NULL ? c->uri : "-", c->dns != NULL ? c->dns : "-",
            c->listener, c->address, sp_refusal_name(got.reason), (ssize_t)got.rule, got.report_count,
            sp_refusal_name(wanted.reason), (ssize_t)wanted.rule, wanted.report_count, w->config.rule_count);
    assert_true((got.rule_name == NULL) == (got.rule == SP_NONE));
    assert_true((got.caller_name == NULL) == (got.caller == SP_NONE));
}

static void test_the_compiled_policy_decides_what_reading_the_file_from_the_top_does(void **state)
{
    static struct world w;
    size_t seen[SP_REFUSAL_COUNT] = {0}, total = 0;
    (void)state;
    for (size_t i = 0; i < POLICIES; i++) {
        struct sp_diags diags = {0};
        make_world(&w);
        struct sp_policy *p = sp_policy_new(&w.config, NULL, &diags);
        if (p == NULL)
            fail_msg("%s", diags.items[0].text);
        for (size_t k = 0; k < CLIENTS; k++) {
            struct client c = client_of_chance();
            struct sp_standing *s = stand_as(p, &c);
            const char *detail;
            assert_true(sp_standing_proxy(s) == find_proxy(&w, &c));
            assert_true((sp_standing_unfit(s, &detail) != SP_REFUSAL_none) == is_unfit(&w, &c));
            for (size_t r = 0; r < REQUESTS; r++, total++) {
                struct ask a = ask_of_chance();
                compare(&w, &c, s, &a, seen);
            }
            sp_standing_free(s);
        }
        sp_policy_free(p);
        sp_diags_free(&diags);
    }
    /* the dice are good: each outcome came often */
    assert_true(total >= 20000);
    static const enum sp_refusal outcomes[] = {SP_REFUSAL_none, SP_REFUSAL_no_rule, SP_REFUSAL_denied,
        SP_REFUSAL_ambiguous_header, SP_REFUSAL_key_not_allowed};
    for (size_t i = 0; i < SP_COUNTOF(outcomes); i++) {
        if (seen[outcomes[i]] < total / 100)
            fail_msg("%s came only %zu times", sp_refusal_name(outcomes[i]), seen[outcomes[i]]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_compiled_policy_decides_what_reading_the_file_from_the_top_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
