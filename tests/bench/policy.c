/* What does a decision cost, and how does that grow with identities and rules? Beside it a scan of the same compiled rules from
 * the top, which is what a decision would be without candidates and index.
 *
 *   sp_bench_policy [SHAPE...]    "own", "open" or "mixed"; none: all three. Prints a table for each, as Markdown
 *
 * The shapes, each of N identities (exact SPIFFE ids, in callers of at least one) and R rules:
 *   own    each rule is for one team's services (its caller) and one host, path below a prefix, and two methods: what a client may
 *          come near are a few rules
 *   open   each rule is for everybody with a certificate, again with a host and a path of its own: nothing but the index tells
 *          them apart
 *   mixed  ten rules that deny in front; then of each ten rules two for everybody on a path of every host, one for a wildcard host,
 *          one with a '*' inside its path, one in report mode, one that asks for a header, and the rest as in "own"
 * Half of the requests are for a rule at random, by a client that it is for; the other half are by a client at random for
 * such a host and a path that no rule has. Every decision is compared with the scan's before anything is measured. All times
 * are CPU time of this thread. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "policy/rules/conditions.h"
#include "sallyport/policy/policy.h"

#define RULES_MAX    10000
#define REQUESTS     2000 /* different ones */
#define MUST(cond)   ((cond) ? (void)0 : fail(#cond, __LINE__))
#define NS_A_MEASURE 200000000u
#define HERE         ((struct sp_pos){1, 1})

static _Noreturn void fail(const char *what, int line)
{
    fprintf(stderr, "policy.c:%d: %s\n", line, what);
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    MUST(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t state = 88172645463325252u;

static size_t below(size_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state >> 11) % n;
}

/* ---- a configuration, made without a parser ---- */

enum shape { OWN, OPEN, MIXED, SHAPES };
static const char *const shape_names[SHAPES] = {"own", "open", "mixed"};

struct setting {
    enum shape shape;
    size_t identities, rules, callers;
    struct sp_arena arena;
    struct sp_config config;
    struct sp_config_rule *made;
    struct sp_policy *policy;
};

static void *room(struct setting *s, size_t count, size_t size)
{
    void *p = sp_arena_alloc(&s->arena, count, size);
    MUST(p != NULL);
    return p;
}

#define TEXT(s, ...) must_text(sp_arena_printf(&(s)->arena, __VA_ARGS__))

static char *must_text(char *text)
{
    MUST(text != NULL);
    return text;
}

static char *uri_of(struct setting *s, size_t identity)
{
    return TEXT(s, "spiffe://corp.example/ns/team-%zu/sa/service-%zu", identity % s->callers, identity);
}

static void make_callers(struct setting *s)
{
    struct sp_config_caller *callers = room(s, s->callers + 1, sizeof *callers);
    size_t *filled = room(s, s->callers, sizeof *filled);
    size_t each = (s->identities + s->callers - 1) / s->callers;
    for (size_t c = 0; c < s->callers; c++)
        callers[c] = (struct sp_config_caller){.at = HERE,
            .name = TEXT(s, "team-%zu", c),
            .entries = room(s, each, sizeof(struct sp_config_caller_entry))};
    for (size_t i = 0; i < s->identities; i++) {
        size_t c = i % s->callers;
        ((struct sp_config_caller_entry *)callers[c].entries)[filled[c]++] =
            (struct sp_config_caller_entry){.at = HERE, .uri = uri_of(s, i)};
        callers[c].entry_count = filled[c];
    }
    struct sp_config_caller_entry *any = room(s, 1, sizeof *any);
    *any = (struct sp_config_caller_entry){.at = HERE, .any = SP_CALLER_ANY_AUTHENTICATED};
    callers[s->callers] =
        (struct sp_config_caller){.at = HERE, .name = "everybody", .entries = any, .entry_count = 1};
    s->config.callers = callers;
    s->config.caller_count = s->callers + 1;
}

static struct sp_strings list_of(struct setting *s, size_t count, const char *first, const char *second)
{
    const char **items = room(s, 2, sizeof *items);
    struct sp_pos *at = room(s, 2, sizeof *at);
    items[0] = first;
    items[1] = second;
    at[0] = at[1] = HERE;
    return (struct sp_strings){items, at, count};
}

static void make_mixed(struct setting *s, size_t i, struct sp_config_rule *r)
{
    if (i < 10 && s->rules > 10) {
        r->from = (struct sp_strings){0};
        r->upstream = NULL;
        r->deny_status = 404;
        r->host = NULL;
        r->path = TEXT(s, "/internal-%zu/**", i);
        return;
    }
    switch (i % 10) {
    case 0:
    case 1:
        r->from = list_of(s, 1, "everybody", NULL);
        r->host = NULL;
        break;
    case 2:
        r->host = TEXT(s, "*.zone-%zu.internal", i % 100);
        break;
    case 3:
        r->path = TEXT(s, "/v1/*/resource-%zu/**", i);
        break;
    case 4:
        r->mode = SP_RULE_REPORT;
        break;
    case 5: {
        struct sp_config_header_match *h = room(s, 1, sizeof *h);
        *h = (struct sp_config_header_match){HERE, "X-Tenant", "acme"};
        r->headers = h;
        r->header_count = 1;
        break;
    }
    default:
        break;
    }
}

static void make_rules(struct setting *s)
{
    static const struct sp_config_upstream upstream = {.name = "main"};
    s->made = room(s, s->rules, sizeof *s->made);
    for (size_t i = 0; i < s->rules; i++) {
        struct sp_config_rule *r = &s->made[i];
        *r = (struct sp_config_rule){.at = HERE,
            .name = TEXT(s, "rule-%zu", i),
            .host = TEXT(s, "host-%zu.zone-%zu.internal", i % 1000, i % 100),
            .path = TEXT(s, "/v1/area-%zu/resource-%zu/**", i % 50, i),
            .upstream = "main"};
        r->methods = list_of(s, 2, "GET", "POST");
        r->from = s->shape == OPEN ? list_of(s, 1, "everybody", NULL)
                                   : list_of(s, 1, s->config.callers[i % s->callers].name, NULL);
        if (s->shape == MIXED)
            make_mixed(s, i, r);
    }
    s->config.rules = s->made;
    s->config.rule_count = s->rules;
    s->config.upstreams = &upstream;
    s->config.upstream_count = 1;
}

static void make(struct setting *s, enum shape shape, size_t identities, size_t rules)
{
    *s = (struct setting){.shape = shape, .identities = identities, .rules = rules};
    s->callers = identities < rules ? identities : rules;
    sp_arena_init(&s->arena, 0);
    atomic_init(&s->config.refs, 1);
    s->config.file = "bench.yaml";
    make_callers(s);
    make_rules(s);
}

/* ---- who asks for what ---- */

struct ask {
    size_t client;
    struct sp_policy_request request;
    size_t rule; /* as the scan has it */
};

struct load {
    struct setting *setting;
    struct sp_identity *identities; /* plain data: nothing is given up */
    struct sp_slice *uris;
    struct sp_standing **standings;
    size_t clients;
    struct ask *asks;
};

static const struct sp_header FIELDS[] = {{{"Host", 4}, {"h", 1}, SP_HDR_HOST},
    {{"User-Agent", 10}, {"curl/8.0", 8}, SP_HDR_OTHER}, {{"Accept", 6}, {"*/*", 3}, SP_HDR_OTHER},
    {{"Accept-Encoding", 15}, {"gzip", 4}, SP_HDR_OTHER},
    {{"Content-Type", 12}, {"application/json", 16}, SP_HDR_OTHER},
    {{"Authorization", 13}, {"Bearer 0123456789", 17}, SP_HDR_OTHER},
    {{"Traceparent", 11}, {"00-1-2-01", 9}, SP_HDR_OTHER}, {{"X-Tenant", 8}, {"acme", 4}, SP_HDR_OTHER}};

static struct sp_connection connection_of(const struct load *l, size_t client)
{
    return (struct sp_connection){.identity = &l->identities[client], .listener = "internal"};
}

static void make_ask(struct load *l, struct ask *a, bool hit)
{
    struct setting *s = l->setting;
    size_t i = below(s->rules);
    const struct sp_config_rule *r = &s->made[i];
    a->client = below(l->clients);
    if (hit)
        a->client = i % s->callers + s->callers * below(s->identities / s->callers);
    const char *host =
        r->host != NULL && r->host[0] != '*' ? r->host : TEXT(s, "host-1.zone-%zu.internal", i % 100);
    char *path = TEXT(s, "/v1/area-%zu/%s-%zu/items/%zu", i % 50, hit ? "resource" : "other", i, below(1000));
    a->request = (struct sp_policy_request){.host = sp_slice_of(host),
        .path = sp_slice_of(path),
        .method = SP_SLICE("GET"),
        .headers = FIELDS,
        .header_count = SP_COUNTOF(FIELDS)};
}

static void make_load(struct load *l, struct setting *s)
{
    *l = (struct load){.setting = s, .clients = s->identities};
    l->identities = calloc(l->clients, sizeof *l->identities);
    l->uris = calloc(l->clients, sizeof *l->uris);
    l->standings = calloc(l->clients, sizeof(struct sp_standing *));
    l->asks = calloc(REQUESTS, sizeof *l->asks);
    MUST(l->identities != NULL && l->uris != NULL && l->standings != NULL && l->asks != NULL);
    for (size_t i = 0; i < l->clients; i++) {
        l->uris[i] = sp_slice_of(uri_of(s, i));
        l->identities[i].uris = (struct sp_slices){&l->uris[i], 1};
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        make_ask(l, &l->asks[i], i % 2 == 0);
        struct sp_connection c = connection_of(l, l->asks[i].client);
        struct sp_standing **standing = &l->standings[l->asks[i].client];
        if (*standing == NULL)
            *standing = sp_policy_stand(s->policy, &c);
        MUST(*standing != NULL);
    }
}

static void free_load(struct load *l)
{
    for (size_t i = 0; i < l->clients; i++)
        sp_standing_free(l->standings[i]);
    free(l->identities);
    free(l->uris);
    free(l->standings);
    free(l->asks);
}

/* ---- the scan ---- */

static size_t scan(const struct load *l, const struct ask *a)
{
    const struct sp_policy *p = l->setting->policy;
    const struct sp_connection c = connection_of(l, a->client);
    struct sp_facts f;
    sp_facts_of_connection(&f, p, &c, sp_standing_callers(l->standings[a->client]));
    f.request = &a->request;
    f.path = a->request.path; /* nothing in it is encoded */
    MUST(sp_facts_see_headers(&f) == SP_NONE);
    for (size_t i = 0; i < p->rule_count; i++) {
        if (!p->rules[i].reports && sp_conditions_hold(&p->rules[i], &f, ~0U))
            return i;
    }
    return SP_NONE;
}

static size_t decide(const struct load *l, const struct ask *a)
{
    struct sp_decision d;
    sp_policy_decide(l->standings[a->client], &a->request, &d);
    return d.rule;
}

/* ---- measuring ---- */

static double ns_each(const struct load *l, size_t (*what)(const struct load *, const struct ask *))
{
    uint64_t begin = cpu_ns(), now = begin;
    size_t done = 0;
    while (now - begin < NS_A_MEASURE) {
        for (size_t i = 0; i < REQUESTS / 20; i++, done++) {
            const struct ask *a = &l->asks[done % REQUESTS];
            MUST(what(l, a) == a->rule);
        }
        now = cpu_ns();
    }
    return (double)(now - begin) / (double)done;
}

/* The slowest of the requests, each by itself. */
static double ns_slowest(const struct load *l)
{
    double slowest = 0;
    for (size_t i = 0; i < REQUESTS; i++) {
        uint64_t least = UINT64_MAX;
        for (size_t k = 0; k < 5; k++) {
            uint64_t begin = cpu_ns();
            for (size_t n = 0; n < 20; n++)
                (void)decide(l, &l->asks[i]);
            uint64_t took = cpu_ns() - begin;
            least = took < least ? took : least;
        }
        slowest = (double)least / 20 > slowest ? (double)least / 20 : slowest;
    }
    return slowest;
}

static double ns_standing(const struct load *l)
{
    uint64_t begin = cpu_ns(), now = begin;
    size_t done = 0;
    while (now - begin < NS_A_MEASURE) {
        for (size_t i = 0; i < 50; i++, done++) {
            const struct sp_connection c = connection_of(l, below(l->clients));
            struct sp_standing *s = sp_policy_stand(l->setting->policy, &c);
            MUST(s != NULL);
            sp_standing_free(s);
        }
        now = cpu_ns();
    }
    return (double)(now - begin) / (double)done;
}

static void measure(enum shape shape, size_t identities, size_t rules)
{
    struct setting s;
    struct load l;
    struct sp_diags diags = {0};

    make(&s, shape, identities, rules);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    uint64_t begin = cpu_ns();
    s.policy = sp_policy_new(&s.config, NULL, &diags);
    double build_ms = (double)(cpu_ns() - begin) / 1e6;
    if (s.policy == NULL)
        fail(diags.items[0].text, __LINE__);
    double mb = (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) / 1e6;
    make_load(&l, &s);
    size_t hits = 0;
    for (size_t i = 0; i < REQUESTS; i++) {
        l.asks[i].rule = scan(&l, &l.asks[i]);
        MUST(decide(&l, &l.asks[i]) == l.asks[i].rule);
        hits += l.asks[i].rule != SP_NONE;
    }
    MUST(hits > REQUESTS / 4);
    printf("| %zu | %zu | %.0f | %.0f | %.0f | %.0f | %.1f | %.1f |\n", identities, rules,
        ns_each(&l, decide), ns_slowest(&l), ns_each(&l, scan), ns_standing(&l), build_ms, mb);
    (void)fflush(stdout);
    free_load(&l);
    sp_policy_free(s.policy);
    sp_diags_free(&diags);
    sp_arena_free(&s.arena);
}

static void measure_shape(enum shape shape)
{
    printf(
        "\n%s\n\n| identities | rules | decision, ns | the slowest | scan, ns | standing, ns | build, ms | MB |\n"
        "|---|---|---|---|---|---|---|---|\n",
        shape_names[shape]);
    for (size_t n = 10; n <= 100000; n *= 10)
        measure(shape, n, n < RULES_MAX ? n : RULES_MAX);
}

int main(int argc, char **argv)
{
    for (int s = 0; s < SHAPES; s++) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; i++)
            wanted = wanted || strcmp(argv[i], shape_names[s]) == 0;
        if (wanted)
            measure_shape((enum shape)s);
    }
    return 0;
}
