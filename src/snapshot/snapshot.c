/* Builds everything that one configuration means, or nothing: a snapshot that exists is complete. What is wrong
 * is collected over all parts before giving up, so that an operator mends a file once. */
#include "sallyport/snapshot/snapshot.h"

#include "proxies.h"

enum sp_rc sp_snapshot_memory_init(struct sp_snapshot_memory *m, struct sp_err *err)
{
    m->shelf = sp_shelf_new();
    m->sessions = sp_sessions_new();
    if (m->shelf != NULL && m->sessions != NULL)
        return SP_OK;
    sp_snapshot_memory_free(m);
    return sp_err_set(err, "not enough memory");
}

void sp_snapshot_memory_free(struct sp_snapshot_memory *m)
{
    sp_shelf_free(m->shelf);
    sp_sessions_free(m->sessions);
    for (unsigned i = 0; i < m->library_count; i++) /* last: keys of theirs are in what the shelf has */
        sp_tls_library_free(m->libraries[i]);
    sp_free(m->libraries);
    *m = (struct sp_snapshot_memory){0};
}

static bool make_libraries(struct sp_snapshot_memory *m, unsigned count)
{
    struct sp_tls_library **all = sp_alloc(count, sizeof(struct sp_tls_library *));

    if (all == NULL)
        return false;
    for (unsigned i = 0; i < count; i++)
        all[i] = i < m->library_count ? m->libraries[i] : sp_tls_library_new();
    sp_free(m->libraries);
    m->libraries = all;
    m->library_count = count;
    return true;
}

struct sp_tls_library *sp_snapshot_library(struct sp_snapshot_memory *m, unsigned gate)
{
    if (gate >= m->library_count && !make_libraries(m, gate + 1))
        return NULL;
    return m->libraries[gate];
}

static void free_listener(struct sp_snapshot_listener *l, unsigned gates)
{
    for (unsigned i = 0; l->tls != NULL && i < gates; i++)
        sp_tls_server_free(l->tls[i]);
    sp_free(l->tls);
    for (size_t h = 0; l->trusts != NULL && h < l->config->host_count; h++)
        sp_trust_free(l->trusts[h]);
    sp_free(l->trusts);
    sp_free(l->proxies);
}

static void snapshot_free(struct sp_snapshot *s)
{
    for (size_t i = 0; i < s->listener_count; i++)
        free_listener(&s->listeners[i], s->gates);
    sp_free(s->listeners);
    sp_policy_free(s->policy);
    sp_headers_free(s->headers);
    sp_rule_meters_free(s->rule_meters);
    sp_fleet_unref(s->fleet);
    sp_config_free(s->config);
    sp_free(s);
}

struct sp_snapshot *sp_snapshot_ref(struct sp_snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void sp_snapshot_unref(struct sp_snapshot *s)
{
    if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        snapshot_free(s);
}

static void no_memory(const struct sp_config *config, struct sp_diags *diags)
{
    sp_diag_add(diags, SP_DIAG_ERROR, config->file, (struct sp_pos){0, 0}, "not enough memory");
}

/* ---- one listener ---- */

struct build {
    struct sp_snapshot *s;
    const struct sp_snapshot_options *options;
    struct sp_diags *diags;
    bool crls_only; /* the rest is that of options->before, which has the same configuration */
};

/* The trust of the same place in the snapshot before, if it would judge alike: its memory of accepted chains is worth
 * keeping. Takes over `fresh`. */
static struct sp_trust *prefer_known(
    const struct build *b, const struct sp_snapshot_listener *l, size_t host, struct sp_trust *fresh)
{
    const struct sp_snapshot_listener *known =
        b->options->before != NULL ? sp_snapshot_find(b->options->before, l->config->name) : NULL;

    if (known == NULL || host >= known->config->host_count || !sp_trust_is_same(known->trusts[host], fresh))
        return fresh;
    sp_trust_free(fresh);
    return sp_trust_ref(known->trusts[host]);
}

/* The listener of options->before in the same place; only with crls_only. */
static const struct sp_snapshot_listener *twin_of(const struct build *b, const struct sp_snapshot_listener *l)
{
    return &b->options->before->listeners[l - b->s->listeners];
}

static struct sp_trust *make_trust(
    const struct build *b, const struct sp_snapshot_listener *l, size_t host, struct sp_shelf *shelf)
{
    const struct sp_config_client_auth *auth = &l->config->hosts[host].client_auth;
    const char *file = b->s->config->file;

    if (b->crls_only)
        return sp_trust_renew_crls(twin_of(b, l)->trusts[host], file, auth, shelf, b->diags);
    return sp_trust_new(file, auth, shelf, b->diags);
}

static bool build_trusts(const struct build *b, struct sp_snapshot_listener *l)
{
    struct sp_shelf *shelf = b->options->memory != NULL ? b->options->memory->shelf : NULL;
    bool complete = true;

    l->trusts = sp_alloc(l->config->host_count, sizeof(struct sp_trust *));
    if (l->trusts == NULL)
        return false;
    for (size_t h = 0; h < l->config->host_count; h++) {
        const struct sp_config_host *host = &l->config->hosts[h];
        if (h > 0 && host->inherits) {
            l->trusts[h] = l->trusts[0] != NULL ? sp_trust_ref(l->trusts[0]) : NULL;
            continue;
        }
        struct sp_trust *fresh = make_trust(b, l, h, shelf);
        complete = complete && fresh != NULL;
        l->trusts[h] = fresh != NULL ? prefer_known(b, l, h, fresh) : NULL;
    }
    return complete;
}

/* Hands over in *out one reference, or NULL where clients keep no tickets. */
static bool load_tickets(const struct build *b, const struct sp_config_listener *l, struct sp_tickets **out)
{
    struct sp_err err = {0};

    *out = NULL;
    if (l->tickets.count == 0 || l->tickets.keys == NULL)
        return true;
    if (sp_tickets_load(l->tickets.keys, out, &err) == SP_OK)
        return true;
    sp_diag_add(b->diags, SP_DIAG_ERROR, b->s->config->file, l->at, "%s", err.text);
    return false;
}

/* The first gate's contexts tell what is wrong with the files; the others repeat a load that went well, so
 * their warnings are dropped. False: it is not complete. */
static bool build_contexts(const struct build *b, struct sp_snapshot_listener *l, struct sp_tickets *tickets)
{
    const char *file = b->s->config->file;
    struct sp_tls_means means = {
        .tickets = tickets, .sessions = b->options->memory != NULL ? b->options->memory->sessions : NULL};

    l->tls = sp_alloc(b->s->gates, sizeof(struct sp_tls_server *));
    if (l->tls == NULL)
        return false;
    for (unsigned i = 0; i < b->s->gates; i++) {
        struct sp_diags again = {0};
        struct sp_diags *into = i == 0 ? b->diags : &again;
        means.library = b->options->memory != NULL ? sp_snapshot_library(b->options->memory, i) : NULL;
        l->tls[i] = b->crls_only ? sp_tls_server_renew(twin_of(b, l)->tls[i], file, l->trusts, into)
                                 : sp_tls_server_new(file, l->config, l->trusts, &means, into);
        if (i > 0 && l->tls[i] == NULL)
            sp_diag_add(b->diags, SP_DIAG_ERROR, file, l->config->at,
                "listener %s: its certificates changed while they were read", l->config->name);
        sp_diags_free(&again);
        if (l->tls[i] == NULL)
            return false;
    }
    return true;
}

static bool build_listener(const struct build *b, struct sp_snapshot_listener *l)
{
    struct sp_tickets *tickets = NULL;
    bool trusted = build_trusts(b, l), complete = false;
    bool fronted = proxies_compile(b->s->config->file, l, b->diags);
    bool sealed = b->crls_only || load_tickets(b, l->config, &tickets);

    if (trusted && sealed)
        complete = build_contexts(b, l, tickets);
    else if (!b->crls_only) /* for what it tells */
        sp_tls_server_free(
            sp_tls_server_new(b->s->config->file, l->config, NULL, &(struct sp_tls_means){0}, b->diags));
    sp_tickets_free(tickets);
    return complete && fronted;
}

/* ---- the whole ---- */

/* Rules that were there before go on counting where they were. NULL without memory. */
static struct sp_rule_meters *make_rule_meters(const struct build *b)
{
    const struct sp_config *config = b->s->config;
    const struct sp_snapshot *before = b->options->before;
    unsigned workers = b->options->workers != 0 ? b->options->workers : config->workers;
    const char **names =
        sp_alloc(config->rule_count + 1, sizeof(*names)); /* one more: none is no want of memory */

    if (names == NULL)
        return NULL;
    for (size_t i = 0; i < config->rule_count; i++)
        names[i] = config->rules[i].name;
    struct sp_rule_meters *made =
        sp_rule_meters_new(names, config->rule_count, workers, before != NULL ? before->rule_meters : NULL);
    sp_free(names);
    return made;
}

/* With crls_only, too, all of it: what cannot be read any more is no error where the one before can be taken over. */
static struct sp_fleet *make_fleet(const struct build *b)
{
    const struct sp_snapshot_options *o = b->options;
    struct sp_fleet_options options = {.roster = o->roster,
        .shelf = o->memory != NULL ? o->memory->shelf : NULL,
        .before = o->before != NULL ? o->before->fleet : NULL,
        .workers = o->workers != 0 ? o->workers : b->s->config->workers,
        .crls_only = b->crls_only};

    return sp_fleet_new(b->s->config, &options, b->diags);
}

/* False: something is missing, whether or not `diags` was told what. */
static bool build(const struct build *b)
{
    struct sp_snapshot *s = b->s;
    bool complete = true;

    s->listeners = sp_alloc(s->config->listener_count, sizeof(*s->listeners));
    if (s->listeners == NULL)
        return false;
    s->listener_count = s->config->listener_count;
    for (size_t i = 0; i < s->listener_count; i++)
        s->listeners[i].config = &s->config->listeners[i];
    for (size_t i = 0; i < s->listener_count; i++)
        complete = build_listener(b, &s->listeners[i]) && complete;
    struct sp_policy *before = b->options->before != NULL ? b->options->before->policy : NULL;
    s->policy = b->crls_only ? sp_policy_ref(before) : sp_policy_new(s->config, before, b->diags);
    s->headers = sp_headers_new(s->config, b->diags);
    s->rule_meters = make_rule_meters(b);
    s->fleet = make_fleet(b);
    return complete && s->fleet != NULL && s->policy != NULL && s->headers != NULL && s->rule_meters != NULL;
}

/* Takes over `config`. */
static enum sp_rc make(struct sp_config *config, const struct sp_snapshot_options *options, bool crls_only,
    struct sp_snapshot **out, struct sp_diags *diags)
{
    struct sp_snapshot *s = SP_NEW(struct sp_snapshot);
    struct build b = {s, options, diags, crls_only};

    if (s == NULL) {
        no_memory(config, diags);
        sp_config_free(config);
        return SP_FAIL;
    }
    atomic_init(&s->refs, 1);
    s->generation = options->generation;
    s->config = config;
    s->gates = options->gates != 0 ? options->gates : config->gates;
    if (options->memory != NULL)
        sp_shelf_begin(options->memory->shelf);
    bool complete = build(&b);
    if (options->memory != NULL && complete &&
        diags->errors == 0) /* else it may not have asked for all that it needs */
        sp_shelf_end(options->memory->shelf);
    if (!complete && diags->errors == 0)
        no_memory(config, diags);
    if (diags->errors > 0) {
        sp_snapshot_unref(s);
        return SP_FAIL;
    }
    *out = s;
    return SP_OK;
}

enum sp_rc sp_snapshot_load(const char *file, const struct sp_snapshot_options *options,
    struct sp_snapshot **out, struct sp_diags *diags)
{
    struct sp_config *config = NULL;

    *out = NULL;
    if (sp_config_load(file, &config, diags) != SP_OK)
        return SP_FAIL;
    return make(config, options, false, out, diags);
}

enum sp_rc sp_snapshot_renew(
    const struct sp_snapshot_options *options, struct sp_snapshot **out, struct sp_diags *diags)
{
    *out = NULL;
    return make(sp_config_ref(options->before->config), options, false, out, diags);
}

static bool has_same_trusts(const struct sp_snapshot *a, const struct sp_snapshot *b)
{
    for (size_t i = 0; i < a->listener_count; i++) {
        for (size_t h = 0; h < a->listeners[i].config->host_count; h++) {
            if (a->listeners[i].trusts[h] != b->listeners[i].trusts[h])
                return false;
        }
    }
    for (size_t i = 0; i < a->config->upstream_count; i++) {
        if (sp_fleet_tls(a->fleet, i, 0) != sp_fleet_tls(b->fleet, i, 0))
            return false;
    }
    return true;
}

enum sp_rc sp_snapshot_renew_crls(
    const struct sp_snapshot_options *options, struct sp_snapshot **out, struct sp_diags *diags)
{
    *out = NULL;
    if (make(sp_config_ref(options->before->config), options, true, out, diags) != SP_OK)
        return SP_FAIL;
    if (!has_same_trusts(*out, options->before))
        return SP_OK;
    sp_snapshot_unref(*out);
    *out = NULL;
    return SP_EOF;
}

const struct sp_snapshot_listener *sp_snapshot_find(const struct sp_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (strcmp(s->listeners[i].config->name, name) == 0)
            return &s->listeners[i];
    }
    return NULL;
}

/* How old a session may get is no part of the policy's digest, which tickets and identities are bound to: both have a
 * time of their own. A request is held to it by nothing but this. */
bool sp_snapshot_hosts_agree(const struct sp_snapshot_listener *l, size_t a, size_t b)
{
    const struct sp_config_host *hosts = l->config->hosts;
    uint8_t ids[2][32];

    if (hosts[a].client_auth.max_session_age_ms != hosts[b].client_auth.max_session_age_ms)
        return false;
    if (l->trusts[a] == l->trusts[b])
        return true;
    sp_trust_policy_id(l->trusts[a], ids[0]);
    sp_trust_policy_id(l->trusts[b], ids[1]);
    return memcmp(ids[0], ids[1], sizeof(ids[0])) == 0;
}
