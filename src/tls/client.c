/* What the connections to one upstream have in common, for one thread: an SSL_CTX with our certificate, and what the
 * backends are judged by.
 *
 * All of it is immutable. A change of the CAs, a CRL or our certificate makes another sp_tls_client, which resumes no session
 * of the one before; one that came out the same is not used (sp_tls_client_is_same). OpenSSL's own memory of sessions
 * stays off: what a backend gives us is kept by the owner of the connection, see client_conn.c. */
#include "client_impl.h"

#include <openssl/x509v3.h>

#include "sallyport/base/mem.h"
#include "sallyport/pki/x509.h"

/* ---- building ---- */

static void complain(const struct sp_tls_client *c, struct sp_diags *diags, const char *what)
{
    sp_diag_add(diags, SP_DIAG_ERROR, c->config->file, c->tls->at, "tls: %s", what);
}

/* What pki is to judge backends by. */
static struct sp_config_client_auth auth_of(const struct sp_config_upstream_tls *tls)
{
    struct sp_config_client_auth auth = tls->trust;
    auth.mode = SP_AUTH_REQUIRED;
    auth.of_servers = true;
    return auth;
}

static void set_verification(SSL_CTX *ctx, const struct sp_tls_client *c)
{
    if (c->trust == NULL) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_backend_verify, NULL);
}

static SSL_CTX *context_of(const struct sp_tls_client *c)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || !context_set_common(ctx, c->tls->min_version) ||
        (c->trust != NULL && SSL_CTX_set1_verify_cert_store(ctx, sp_trust_store(c->trust)) != 1) ||
        (c->own.leaf != NULL &&
            SSL_CTX_use_cert_and_key(ctx, c->own.leaf, c->own.key, c->own.chain, 1) != 1)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    set_verification(ctx, c);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_backend_session);
    return ctx;
}

static char *subject_of(const X509 *leaf)
{
    struct sp_cert_facts facts;
    sp_cert_facts_of(leaf, &facts);
    char *text = sp_alloc(1, strlen(facts.subject) + 1);
    if (text != NULL)
        memcpy(text, facts.subject, strlen(facts.subject) + 1);
    return text;
}

static struct sp_tls_client *begin(struct sp_config *config, const struct sp_config_upstream_tls *tls)
{
    struct sp_tls_client *c = SP_NEW(struct sp_tls_client);
    if (c == NULL)
        return NULL;
    atomic_init(&c->refs, 1);
    c->config = sp_config_ref(config);
    c->tls = tls;
    return c;
}

/* Trust and certificate are there. Takes over `c`; NULL: `diags` says why. */
static struct sp_tls_client *complete(struct sp_tls_client *c, struct sp_diags *diags)
{
    const char *wrong =
        c->tls->uri != NULL ? sp_uri_pattern_compile(sp_slice_of(c->tls->uri), &c->uri) : NULL;
    if (wrong != NULL) {
        complain(c, diags, wrong);
        goto failed;
    }
    if (c->shared == NULL)
        c->shared = shared_new();
    if (c->own.leaf != NULL)
        c->subject = subject_of(c->own.leaf);
    if (c->shared == NULL || (c->own.leaf != NULL && c->subject == NULL)) {
        complain(c, diags, "out of memory");
        goto failed;
    }
    c->ctx = context_of(c);
    if (c->ctx != NULL)
        return c;
    complain(c, diags, openssl_reason());
failed:
    sp_tls_client_free(c);
    return NULL;
}

struct sp_tls_client *sp_tls_client_new(struct sp_config *config, const struct sp_config_upstream_tls *tls,
    struct sp_shelf *shelf, struct sp_diags *diags)
{
    const struct sp_config_client_auth auth = auth_of(tls);
    struct sp_tls_client *c = begin(config, tls);
    bool good = true;
    if (c == NULL) {
        sp_diag_add(diags, SP_DIAG_ERROR, config->file, tls->at, "tls: out of memory");
        return NULL;
    }
    if (tls->verify) {
        c->trust = sp_trust_new(config->file, &auth, shelf, diags);
        good = c->trust != NULL;
    }
    if (tls->certificate != NULL &&
        certificate_load(config->file, tls->certificate, "backends", &c->own, diags) != SP_OK)
        good = false;
    if (good)
        return complete(c, diags);
    sp_tls_client_free(c);
    return NULL;
}

/* The same files as `old` has; `trust` in place of its own. Takes over `trust`. */
static struct sp_tls_client *derive(
    const struct sp_tls_client *old, struct sp_trust *trust, struct sp_diags *diags)
{
    struct sp_tls_client *c = begin(old->config, old->tls);
    if (c == NULL) {
        sp_trust_free(trust);
        return NULL;
    }
    c->trust = trust;
    c->shared = shared_ref(old->shared);
    if (old->own.leaf == NULL || certificate_copy(&old->own, &c->own) == SP_OK)
        return complete(c, diags);
    complain(c, diags, "out of memory");
    sp_tls_client_free(c);
    return NULL;
}

struct sp_tls_client *sp_tls_client_copy(const struct sp_tls_client *c)
{
    struct sp_diags told = {0}; /* it was all in order the first time */
    struct sp_tls_client *copy = derive(c, c->trust != NULL ? sp_trust_ref(c->trust) : NULL, &told);
    sp_diags_free(&told);
    return copy;
}

struct sp_tls_client *sp_tls_client_renew_crls(
    struct sp_tls_client *old, struct sp_shelf *shelf, struct sp_diags *diags)
{
    if (old->trust == NULL)
        return sp_tls_client_ref(old);
    const struct sp_config_client_auth auth = auth_of(old->tls);
    struct sp_trust *trust = sp_trust_renew_crls(old->trust, old->config->file, &auth, shelf, diags);
    return trust != NULL ? derive(old, trust, diags) : NULL;
}

struct sp_tls_client *sp_tls_client_ref(struct sp_tls_client *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void sp_tls_client_free(struct sp_tls_client *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(c->ctx);
    certificate_free(&c->own);
    sp_free(c->subject);
    sp_trust_free(c->trust);
    shared_unref(c->shared);
    sp_config_free(c->config);
    sp_free(c);
}

/* ---- comparing ---- */

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_same_chain(const STACK_OF(X509) * a, const STACK_OF(X509) * b)
{
    if (sk_X509_num(a) != sk_X509_num(b))
        return false;
    for (int i = 0; i < sk_X509_num(a); i++) {
        if (X509_cmp(sk_X509_value(a, i), sk_X509_value(b, i)) != 0)
            return false;
    }
    return true;
}

static bool is_same_certificate(const struct sp_tls_client *a, const struct sp_tls_client *b)
{
    if (a->own.leaf == NULL || b->own.leaf == NULL)
        return a->own.leaf == b->own.leaf;
    return is_same_text(a->tls->certificate->chain, b->tls->certificate->chain) &&
           X509_cmp(a->own.leaf, b->own.leaf) == 0 && is_same_chain(a->own.chain, b->own.chain);
}

bool sp_tls_client_is_same(const struct sp_tls_client *a, const struct sp_tls_client *b)
{
    const struct sp_config_upstream_tls *x = a->tls, *y = b->tls;
    if ((a->trust == NULL) != (b->trust == NULL))
        return false;
    return x->min_version == y->min_version && is_same_text(x->name, y->name) &&
           is_same_text(x->uri, y->uri) && is_same_text(x->sni, y->sni) && is_same_certificate(a, b) &&
           (a->trust == NULL || sp_trust_is_same(a->trust, b->trust));
}

/* ---- reports ---- */

const struct sp_trust *sp_tls_client_trust(const struct sp_tls_client *c)
{
    return c->trust;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

bool sp_tls_client_certificate(const struct sp_tls_client *c, struct sp_tls_client_facts *out)
{
    if (c->own.leaf == NULL)
        return false;
    *out = (struct sp_tls_client_facts){
        .file = c->tls->certificate->chain,
        .subject = c->subject,
        .not_before = seconds_of(X509_get0_notBefore(c->own.leaf)),
        .not_after = seconds_of(X509_get0_notAfter(c->own.leaf)),
    };
    return true;
}
