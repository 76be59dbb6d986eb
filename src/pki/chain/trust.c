/* Building what a listener or an upstream trusts: the bundle, the CRLs, the requirements, the store for OpenSSL. What
 * cannot be read is an error and there is no trust; what is merely of no use (an expired CA, a delta CRL) is a
 * warning and is left out.
 *
 * There are no default paths anywhere: without a bundle nobody is trusted. */
#include "pki/chain/trust_impl.h"

#include <openssl/err.h>
#include <stdio.h>

#include "pki/chain/paths.h"
#include "pki/crl/crl_load.h"
#include "pki/x509/load.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"

/* What is needed while building and not afterwards. */
struct build {
    struct sp_trust *t;
    const struct sp_config_client_auth *auth;
    const char *config_file;
    struct sp_diags *diags;
    int64_t now;
    bool failed;
};

static void complain(struct build *b, enum sp_severity severity, struct sp_pos at, const char *text)
{
    if (severity == SP_DIAG_ERROR)
        b->failed = true;
    sp_diag_add(b->diags, severity, b->config_file, at, "%s", text);
}

/* ---- the store ---- */

static enum sp_rc make_store(struct sp_trust *t)
{
    t->store = X509_STORE_new();
    if (t->store == NULL)
        return SP_FAIL;
    X509_STORE_set_get_issuer(t->store, sp_paths_get_issuer);
    for (size_t i = 0; i < t->cas.count; i++) {
        if (X509_STORE_add_cert(t->store, t->cas.items[i].cert) != 1)
            return SP_FAIL;
    }
    return SP_OK;
}

/* ---- the whole ---- */

static bool has_valid_ca(const struct sp_cas *cas, int64_t now)
{
    for (size_t i = 0; i < cas->count; i++) {
        if (sp_ca_is_valid_at(&cas->items[i], now))
            return true;
    }
    return false;
}

/* NULL without memory (reported). */
static struct sp_trust *begin(struct build *b, int64_t now)
{
    struct sp_trust *t = SP_NEW(struct sp_trust);
    b->now = now;
    b->t = t;
    if (t == NULL) {
        complain(b, SP_DIAG_ERROR, b->auth->at, "out of memory");
        return NULL;
    }
    atomic_init(&t->refs, 1);
    t->depth = b->auth->depth;
    t->purpose = b->auth->of_servers ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
    t->asks_ocsp = b->auth->ocsp_url != NULL;
    t->crl_warn_before_s = (int64_t)(b->auth->crl_warn_before_ms / 1000);
    t->built_at = now;
    t->crl_policy = (struct sp_crl_policy){
        b->auth->crl_missing, b->auth->crl_stale, (int64_t)(b->auth->crl_grace_ms / 1000)};
    if (b->auth->require != NULL) {
        t->requirements =
            sp_requirements_new(b->config_file, "client_auth.require", b->auth->require, b->diags);
        b->failed = t->requirements == NULL;
    }
    return t;
}

/* The CAs are there, or it has failed. Returns the trust or NULL. */
static struct sp_trust *complete(struct build *b, struct sp_shelf *shelf)
{
    struct sp_trust *t = b->t;
    if (sp_crls_load(&t->crls, b->config_file, b->auth, &t->cas, shelf, b->now, b->diags) != SP_OK)
        b->failed = true;
    t->verified = sp_verified_new();
    if (t->verified == NULL)
        complain(b, SP_DIAG_ERROR, b->auth->at, "out of memory for the cache of verified chains");
    if (!b->failed && (make_store(t) != SP_OK || sp_trust_put_policy_id(t, b->auth) != SP_OK))
        complain(b, SP_DIAG_ERROR, b->auth->at, "out of memory for the trust store");
    ERR_clear_error();
    if (!b->failed)
        return t;
    sp_trust_free(t);
    return NULL;
}

struct sp_trust *sp_trust_new_at(const char *config_file, const struct sp_config_client_auth *auth,
    struct sp_shelf *shelf, int64_t now, struct sp_diags *diags)
{
    struct build b = {.auth = auth, .config_file = config_file, .diags = diags};
    struct sp_trust *t = begin(&b, now);
    if (t == NULL)
        return NULL;
    t->intermediates = sp_intermediates_load(config_file, auth, now, diags);
    if (sp_cas_load(&t->cas, config_file, auth, now, diags) != SP_OK || t->intermediates == NULL)
        b.failed = true;
    else if (t->cas.count == 0)
        complain(&b, SP_DIAG_ERROR, auth->at,
            auth->of_servers ? "tls.ca names no file: no backend could be trusted"
                             : "client_auth.ca names no file: nobody could be trusted");
    return complete(&b, shelf);
}

struct sp_trust *sp_trust_renew_crls(const struct sp_trust *old, const char *config_file,
    const struct sp_config_client_auth *auth, struct sp_shelf *shelf, struct sp_diags *diags)
{
    struct build b = {.auth = auth, .config_file = config_file, .diags = diags};
    struct sp_trust *t = begin(&b, sp_wall_s());
    if (t == NULL)
        return NULL;
    t->intermediates = X509_chain_up_ref(old->intermediates);
    if (t->intermediates == NULL || sp_cas_copy(&old->cas, &t->cas) != SP_OK)
        complain(&b, SP_DIAG_ERROR, auth->at, "out of memory for the CA bundle");
    return complete(&b, shelf);
}

struct sp_trust *sp_trust_new(const char *config_file, const struct sp_config_client_auth *auth,
    struct sp_shelf *shelf, struct sp_diags *diags)
{
    int64_t now = sp_wall_s();
    struct sp_trust *t = sp_trust_new_at(config_file, auth, shelf, now, diags);
    if (t != NULL && !has_valid_ca(&t->cas, now)) {
        sp_diag_add(diags, SP_DIAG_ERROR, config_file, auth->ca.at != NULL ? auth->ca.at[0] : auth->at,
            "no CA of %s.ca is valid now: nobody could be trusted", auth->of_servers ? "tls" : "client_auth");
        sp_trust_free(t);
        t = NULL;
    }
    return t;
}

struct sp_trust *sp_trust_ref(struct sp_trust *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void sp_trust_free(struct sp_trust *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    sp_verified_free(t->verified);
    sp_requirements_free(t->requirements);
    X509_STORE_free(t->store);
    sp_crls_free(&t->crls);
    sk_X509_pop_free(t->intermediates, X509_free);
    sp_cas_free(&t->cas);
    sp_free(t);
}

struct x509_store_st *sp_trust_store(const struct sp_trust *t)
{
    return t->store;
}

struct stack_st_X509_NAME *sp_trust_ca_names(const struct sp_trust *t)
{
    int64_t now = sp_wall_s();
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    const X509_NAME *last = NULL;
    for (size_t i = 0; names != NULL && i < t->cas.count; i++) {
        const struct sp_ca *ca = &t->cas.items[i];
        const X509_NAME *subject = X509_get_subject_name(ca->cert);
        if (!sp_ca_is_valid_at(ca, now) || (last != NULL && X509_NAME_cmp(last, subject) == 0))
            continue;
        X509_NAME *copy = X509_NAME_dup(subject);
        if (copy == NULL || sk_X509_NAME_push(names, copy) <= 0) {
            X509_NAME_free(copy);
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            names = NULL;
            ERR_clear_error();
        }
        last = subject;
    }
    return names;
}

void sp_trust_policy_id(const struct sp_trust *t, uint8_t out[32])
{
    memcpy(out, t->policy_id, sizeof(t->policy_id));
}
