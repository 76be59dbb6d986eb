/* The certificates of a listener, sorted into sites: one SSL_CTX for each set of names, holding one certificate
 * of each key type, of which OpenSSL takes the one that the client can use. */
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
static struct site *site_of(struct sp_tls_server *server, const struct sp_config_listener *listener,
    struct certificate *c, struct sp_err *err)
{
    for (size_t i = 0; i < server->site_count; i++) {
        if (same_names(&server->sites[i], c))
            return &server->sites[i];
    }
    SSL_CTX *ctx = context_new(listener, server->trust, err);
    if (ctx == NULL)
        return NULL;
    struct site *site = &server->sites[server->site_count++];
    *site = (struct site){.ctx = ctx, .names = c->names, .name_count = c->name_count};
    c->names = NULL; /* taken over */
    c->name_count = 0;
    return site;
}

static void add_certificate(struct sp_tls_server *server, const char *config_file,
    const struct sp_config_listener *listener, size_t index, struct sp_diags *diags)
{
    const struct sp_config_certificate *config = &listener->certificates[index];
    struct certificate c;
    struct sp_err err;
    if (certificate_load(config_file, config, &c, diags) != SP_OK)
        goto out;
    if (c.name_count == 0 && index > 0)
        sp_diag_add(diags, SP_DIAG_WARNING, config_file, config->at,
            "certificate %s: has no DNS name in its subjectAltName, so that no client can choose it",
            config->chain);
    struct site *site = site_of(server, listener, &c, &err);
    if (site == NULL) {
        sp_diag_add(
            diags, SP_DIAG_ERROR, config_file, config->at, "certificate %s: %s", config->chain, err.text);
        goto out;
    }
    if (!take_key_type(site, EVP_PKEY_get_base_id(c.key))) {
        sp_diag_add(diags, SP_DIAG_WARNING, config_file, config->at,
            "certificate %s: is never used: an earlier one has the same names and the same type of key",
            config->chain);
        goto out;
    }
    ERR_clear_error();
    /* OpenSSL judges key sizes and digests here, by its security level. */
    if (SSL_CTX_use_cert_and_key(site->ctx, c.leaf, c.key, c.chain, 1) != 1)
        sp_diag_add(diags, SP_DIAG_ERROR, config_file, config->at, "certificate %s: cannot be used: %s",
            config->chain, openssl_reason());
out:
    certificate_free(&c);
}

struct sp_tls_server *sp_tls_server_new(const char *config_file, const struct sp_config_listener *listener,
    const struct sp_trust *trust, struct sp_diags *diags)
{
    size_t errors_before = diags->errors;
    struct sp_tls_server *server = SP_NEW(struct sp_tls_server);
    if (server == NULL)
        goto no_memory;
    server->trust = trust;
    server->certificate_required = listener->client_auth.mode == SP_AUTH_REQUIRED;
    server->shared = shared_new();
    server->sites = sp_alloc(listener->certificate_count, sizeof *server->sites);
    if (server->shared == NULL || server->sites == NULL)
        goto no_memory;
    for (size_t i = 0; i < listener->certificate_count; i++)
        add_certificate(server, config_file, listener, i, diags);
    if (diags->errors == errors_before && server->site_count > 0 && trust != NULL)
        return server;
    sp_tls_server_free(server);
    return NULL;
no_memory:
    sp_diag_add(
        diags, SP_DIAG_ERROR, config_file, listener->at, "listener %s: out of memory", listener->name);
    sp_tls_server_free(server);
    return NULL;
}

void sp_tls_server_free(struct sp_tls_server *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->site_count; i++) {
        SSL_CTX_free(s->sites[i].ctx); /* connections hold it on */
        for (size_t n = 0; n < s->sites[i].name_count; n++)
            sp_free(s->sites[i].names[n]);
        sp_free(s->sites[i].names);
    }
    sp_free(s->sites);
    shared_unref(s->shared);
    sp_free(s);
}
