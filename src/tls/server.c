/* The certificates of a listener: for each of its hosts sorted into sites, one SSL_CTX for each set of names, holding
 * one certificate of each key type, of which OpenSSL takes the one that the client can use.
 *
 * No context serves two hosts: it has the trust, the verify mode and the session id context of its own. */
#include "sallyport/base/mem.h"
#include "tls_private.h"

static bool same_names(const struct site *site, const struct certificate *c)
{
    if (site->name_count != c->name_count)
        return false;
    for (size_t i = 0; i < c->name_count; i++) {
        if (strcmp(site->names[i], c->names[i]) != 0)
            return false;
    }
    return true;
}

/* False if there is one of this type already, or no room. */
static bool take_key_type(struct site *site, int type)
{
    for (size_t i = 0; i < SP_COUNTOF(site->key_types); i++) {
        if (site->key_types[i] == type)
            return false;
        if (site->key_types[i] == 0) {
            site->key_types[i] = type;
            return true;
        }
    }
    return false;
}

/* The site that presents certificates of these names, made if there is none. NULL: `err` says why. */
static struct site *site_of(
    struct sp_tls_server *server, struct host *host, struct certificate *c, struct sp_err *err)
{
    for (size_t i = 0; i < host->site_count; i++) {
        if (same_names(&host->sites[i], c))
            return &host->sites[i];
    }
    SSL_CTX *ctx = context_new(server, host, err);
    if (ctx == NULL)
        return NULL;
    struct site *site = &host->sites[host->site_count++];
    *site = (struct site){.ctx = ctx, .names = c->names, .name_count = c->name_count};
    c->names = NULL; /* taken over */
    c->name_count = 0;
    return site;
}

/* What a build goes by. */
struct build {
    struct sp_tls_server *server;
    const char *config_file;
    struct sp_diags *diags;
    const struct sp_tls_server *old; /* its certificates are taken, not the files; NULL: the files */
};

/* Puts it into its site's context. Borrows `c` but for its names. */
static void place(const struct build *b, struct host *host, const struct sp_config_certificate *config,
    struct certificate *c)
{
    struct sp_err err;
    if (c->name_count == 0 && host->site_count > 0)
        sp_diag_add(b->diags, SP_DIAG_WARNING, b->config_file, config->at,
            "certificate %s: has no DNS name in its subjectAltName, so that no client can choose it",
            config->chain);
    struct site *site = site_of(b->server, host, c, &err);
    if (site == NULL) {
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config_file, config->at, "certificate %s: %s", config->chain,
            err.text);
        return;
    }
    if (!take_key_type(site, EVP_PKEY_get_base_id(c->key))) {
        sp_diag_add(b->diags, SP_DIAG_WARNING, b->config_file, config->at,
            "certificate %s: is never used: an earlier one has the same names and the same type of key",
            config->chain);
        return;
    }
    ERR_clear_error();
    bool stapled = true;
    X509 *first = SSL_CTX_get0_certificate(site->ctx); /* stays the current one, for sp_tls_own_uri */
    /* OpenSSL judges key sizes and digests here, by its security level. */
    if (SSL_CTX_use_cert_and_key(site->ctx, c->leaf, c->key, c->chain, 1) != 1 ||
        (first != NULL && SSL_CTX_select_current_cert(site->ctx, first) != 1))
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config_file, config->at, "certificate %s: cannot be used: %s",
            config->chain, openssl_reason());
    else if (b->old != NULL)
        stapled = staple_copy(b->server, b->old, c->leaf);
    else
        staple_load(b->server, b->config_file, config, c, b->diags);
    if (!stapled || !report_note(b->server, (size_t)(host - b->server->hosts), config->chain, c->leaf,
                        (const char *const *)site->names, site->name_count))
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config_file, config->at, "certificate %s: out of memory",
            config->chain);
}

static void add_certificate(
    const struct build *b, struct host *host, size_t index, const struct sp_config_certificate *config)
{
    size_t host_index = (size_t)(host - b->server->hosts);
    struct certificate *c = &host->loaded[index];
    host->loaded_count = index + 1;
    if (b->old == NULL) {
        if (certificate_load(b->config_file, config, "clients", c, b->diags) == SP_OK)
            place(b, host, config, c);
        return;
    }
    if (certificate_copy(&b->old->hosts[host_index].loaded[index], c) == SP_OK)
        place(b, host, config, c);
    else
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config_file, config->at, "certificate %s: out of memory",
            config->chain);
}

/* What is wrong with the listener's own certificates has been told once; hosts may share them. */
static bool load_host(const struct build *b, size_t index)
{
    const struct sp_config_host *config = &b->server->listener->hosts[index];
    struct host *host = &b->server->hosts[index];
    bool told = index > 0 && config->certificates == b->server->listener->hosts[0].certificates;
    struct sp_diags again = {0};
    struct build quiet = *b;
    size_t errors_before = b->diags->errors;
    quiet.diags = &again;
    host->sites = sp_alloc(config->certificate_count, sizeof *host->sites);
    host->loaded = sp_alloc(config->certificate_count, sizeof *host->loaded);
    if (host->sites == NULL || host->loaded == NULL)
        return false;
    for (size_t i = 0; i < config->certificate_count; i++)
        add_certificate(told ? &quiet : b, host, i, &config->certificates[i]);
    if (again.errors > 0 && b->diags->errors == 0)
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config_file, config->at,
            "listener %s: its certificates changed while they were read", b->server->listener->name);
    bool failed = again.errors > 0 || b->diags->errors > errors_before;
    sp_diags_free(&again);
    return failed || host->site_count > 0;
}

static void set_policy(struct sp_tls_server *server, size_t index, struct sp_trust *trust)
{
    const struct sp_config_client_auth *auth = &server->listener->hosts[index].client_auth;
    const struct sp_config_tickets *tickets = &server->listener->tickets;
    struct host *host = &server->hosts[index];
    uint64_t session_ms = tickets->lifetime_ms;
    /* A session that would be closed for its age at once is not worth resuming. */
    if (auth->max_session_age_ms != 0 && auth->max_session_age_ms < session_ms)
        session_ms = auth->max_session_age_ms;
    host->certificate_required = auth->mode == SP_AUTH_REQUIRED;
    host->session_s = (int64_t)(session_ms / 1000);
    if (trust == NULL)
        return;
    host->trust = sp_trust_ref(trust);
    sp_trust_policy_id(trust, host->policy);
}

static struct sp_tls_server *make(const char *config_file, const struct sp_config_listener *listener,
    const struct sp_tls_server *old, struct sp_trust *const *trusts, const struct sp_tls_means *means,
    struct sp_diags *diags)
{
    size_t errors_before = diags->errors;
    struct sp_tls_server *server = SP_NEW(struct sp_tls_server);
    struct build b = {server, config_file, diags, old};
    if (server == NULL)
        goto no_memory;
    server->listener = listener;
    server->library = means->library;
    server->shared = shared_new();
    server->hosts = sp_alloc(listener->host_count, sizeof *server->hosts);
    if (server->shared == NULL || server->hosts == NULL)
        goto no_memory;
    if (means->tickets != NULL && listener->tickets.count > 0)
        server->tickets = sp_tickets_ref(means->tickets);
    else if (means->sessions != NULL && listener->tickets.count > 0)
        server->sessions = sp_sessions_ref(means->sessions);
    for (size_t h = 0; h < listener->host_count; h++) {
        server->host_count++;
        set_policy(server, h, trusts != NULL ? trusts[h] : NULL);
        if (!load_host(&b, h))
            goto no_memory;
    }
    if (diags->errors == errors_before && trusts != NULL)
        return server;
    sp_tls_server_free(server);
    return NULL;
no_memory:
    sp_diag_add(
        diags, SP_DIAG_ERROR, config_file, listener->at, "listener %s: out of memory", listener->name);
    sp_tls_server_free(server);
    return NULL;
}

struct sp_tls_server *sp_tls_server_new(const char *config_file, const struct sp_config_listener *listener,
    struct sp_trust *const *trusts, const struct sp_tls_means *means, struct sp_diags *diags)
{
    return make(config_file, listener, NULL, trusts, means, diags);
}

struct sp_tls_server *sp_tls_server_renew(const struct sp_tls_server *old, const char *config_file,
    struct sp_trust *const *trusts, struct sp_diags *diags)
{
    const struct sp_tls_means means = {
        .library = old->library, .tickets = old->tickets, .sessions = old->sessions};
    return make(config_file, old->listener, old, trusts, &means, diags);
}

static void free_host(struct host *host)
{
    for (size_t i = 0; i < host->site_count; i++) {
        SSL_CTX_free(host->sites[i].ctx); /* connections hold it on */
        for (size_t n = 0; n < host->sites[i].name_count; n++)
            sp_free(host->sites[i].names[n]);
        sp_free(host->sites[i].names);
    }
    sp_free(host->sites);
    for (size_t i = 0; i < host->loaded_count; i++)
        certificate_free(&host->loaded[i]);
    sp_free(host->loaded);
    sp_trust_free(host->trust);
}

void sp_tls_server_free(struct sp_tls_server *s)
{
    if (s == NULL)
        return;
    for (size_t h = 0; h < s->host_count; h++)
        free_host(&s->hosts[h]);
    sp_free(s->hosts);
    report_free(s);
    staple_free(s);
    sp_tickets_free(s->tickets);
    sp_sessions_free(s->sessions);
    shared_unref(s->shared);
    sp_free(s);
}
