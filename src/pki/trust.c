/* Building what a listener trusts: the bundle, the CRLs, the store for OpenSSL, and the id of it all. What
 * cannot be read is an error and there is no trust; what is merely of no use (an expired CA, a delta CRL) is a
 * warning and is left out.
 *
 * There are no default paths anywhere: without a bundle nobody is trusted. */
#include "trust_impl.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "asn1.h"
#include "load.h"
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

/* ---- CRLs ---- */

/* Asks every CA of the CRL's issuer name whether it signed it; the answers are remembered in the CRL. That none
 * has the name is no fault: it is the CRL of an intermediate that clients send along. sp_trust_describe tells. */
static void find_signer(struct build *b, struct sp_crl *c, struct sp_pos at)
{
    char text[512], name[192];
    size_t first, end;
    bool signer = false;
    sp_cas_of(&b->t->cas, c->issuer, &first, &end);
    for (size_t i = first; i < end; i++)
        signer |= sp_crl_is_signed_by(c, b->t->cas.items[i].cert);
    if (signer || first == end)
        return;
    sp_asn1_name_text(c->issuer, name, sizeof(name));
    snprintf(text, sizeof(text),
        "%s: its signature verifies under no CA of the bundle that may sign CRLs (issuer %s)", c->source,
        name);
    complain(b, SP_DIAG_WARNING, at, text);
}

static void warn_about_age(struct build *b, const struct sp_crl *c, struct sp_pos at)
{
    char text[512], when[SP_RFC3339_MAX];
    const char *what = NULL;
    int64_t shown = c->next_update;
    if (c->this_update > b->now) {
        what = "is not in force before";
        shown = c->this_update;
    } else if (c->next_update == SP_CRL_NO_END) {
        snprintf(text, sizeof(text), "%s has no nextUpdate: it will never be called stale", c->source);
        complain(b, SP_DIAG_WARNING, at, text);
    } else if (c->next_update <= b->now) {
        what = "is stale: its nextUpdate was";
    } else if (c->next_update - b->now < (c->next_update - c->this_update) / 10) {
        what = "is near its end: its nextUpdate is";
    }
    if (what == NULL)
        return;
    snprintf(text, sizeof(text), "%s %s %s", c->source, what, sp_asn1_time_text(shown, when));
    complain(b, SP_DIAG_WARNING, at, text);
}

static void take_crl(struct build *b, const char *file, X509_CRL *crl, int item, int items, struct sp_pos at)
{
    char source[512];
    struct sp_err err = {0};
    snprintf(source, sizeof(source), items > 1 ? "%s, CRL %d" : "%s", file, item);
    struct sp_crl *c = sp_crl_new(source, crl, &err);
    if (c == NULL) {
        sp_err_wrap(&err, "%s", source);
        complain(b, SP_DIAG_ERROR, at, err.text);
        return;
    }
    if (c->unusable != NULL) {
        char text[768];
        snprintf(text, sizeof(text), "%s is left out: %s", source, c->unusable);
        complain(b, SP_DIAG_WARNING, at, text);
    } else {
        find_signer(b, c, at);
        warn_about_age(b, c, at);
    }
    sp_crl_settle(c);
    if (sp_crls_add(&b->t->crls, c) != SP_OK)
        complain(b, SP_DIAG_ERROR, at, "out of memory for the CRLs");
}

static void take_crl_file(struct build *b, const char *path, struct sp_pos at)
{
    struct sp_err err = {0};
    STACK_OF(X509_CRL) *list = sp_load_crls(path, &err);
    if (list == NULL) {
        complain(b, SP_DIAG_ERROR, at, err.text);
        return;
    }
    for (int i = 0; i < sk_X509_CRL_num(list); i++)
        take_crl(b, path, sk_X509_CRL_value(list, i), i + 1, sk_X509_CRL_num(list), at);
    sk_X509_CRL_pop_free(list, X509_CRL_free);
}

static void take_crl_path(struct build *b, const char *path, struct sp_pos at)
{
    struct sp_err err = {0};
    struct sp_file_list files = {NULL, 0};
    enum sp_rc rc = sp_load_folder(path, &files, &err);
    if (rc == SP_EOF) {
        take_crl_file(b, path, at);
    } else if (rc != SP_OK) {
        complain(b, SP_DIAG_ERROR, at, err.text);
    } else if (files.count == 0) {
        char text[512];
        snprintf(text, sizeof(text), "%s: there is no CRL in the folder", path);
        complain(b, SP_DIAG_WARNING, at, text);
    }
    for (size_t i = 0; i < files.count; i++)
        take_crl_file(b, files.paths[i], at);
    sp_file_list_free(&files);
}

/* Says beforehand who will be refused. */
static void warn_about_gaps(struct build *b)
{
    char text[512], name[256];
    if (b->auth->crl_missing != SP_CRL_MISSING_REJECT)
        return;
    if (b->auth->crl.count == 0) {
        complain(b, SP_DIAG_WARNING, b->auth->at,
            "no crl is given and crl_missing is reject: every client certificate will be refused");
        return;
    }
    for (size_t i = 0; i < b->t->cas.count; i++) {
        const struct sp_ca *ca = &b->t->cas.items[i];
        size_t first, end;
        sp_crls_of(&b->t->crls, X509_get_subject_name(ca->cert), &first, &end);
        if (!sp_ca_is_valid_at(ca, b->now) || first != end)
            continue;
        snprintf(text, sizeof(text),
            "no CRL for CA %s: certificates that it issued will be refused (crl_missing)",
            sp_asn1_name_text(X509_get_subject_name(ca->cert), name, sizeof(name)));
        complain(b, SP_DIAG_WARNING, b->auth->at, text);
    }
}

static void load_crls(struct build *b)
{
    for (size_t i = 0; i < b->auth->crl.count; i++)
        take_crl_path(
            b, b->auth->crl.items[i], b->auth->crl.at != NULL ? b->auth->crl.at[i] : (struct sp_pos){0, 0});
    sp_crls_finish(&b->t->crls, b->now);
    warn_about_gaps(b);
}

/* ---- the store ---- */

static enum sp_rc make_store(struct sp_trust *t)
{
    t->store = X509_STORE_new();
    if (t->store == NULL)
        return SP_FAIL;
    X509_STORE_set_get_issuer(t->store, sp_trust_get_issuer);
    for (size_t i = 0; i < t->cas.count; i++) {
        if (X509_STORE_add_cert(t->store, t->cas.items[i].cert) != 1)
            return SP_FAIL;
    }
    return SP_OK;
}

/* ---- the id ---- */

static bool add_number(EVP_MD_CTX *md, uint64_t n)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(n >> (8 * i));
    return EVP_DigestUpdate(md, bytes, sizeof(bytes)) == 1;
}

static int by_bytes32(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* The digests of the CAs, sorted: the same bundle in another order is the same policy. */
static bool add_cas(EVP_MD_CTX *md, const struct sp_cas *cas)
{
    bool ok = true;
    uint8_t(*sums)[32] = sp_alloc(cas->count, sizeof(*sums));
    if (sums == NULL)
        return false;
    for (size_t i = 0; i < cas->count && ok; i++)
        ok = X509_digest(cas->items[i].cert, EVP_sha256(), sums[i], NULL) == 1;
    qsort(sums, cas->count, sizeof(*sums), by_bytes32);
    ok = ok && add_number(md, cas->count) && EVP_DigestUpdate(md, sums, cas->count * sizeof(*sums)) == 1;
    sp_free(sums);
    return ok;
}

/* Every part has a fixed size or its length in front, so that no two policies are the same bytes. The contents
 * of the CRLs are left out: each new one would be a new policy. */
static enum sp_rc make_policy_id(struct sp_trust *t, const struct sp_config_client_auth *auth)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              add_number(md, (uint64_t)auth->mode) && add_number(md, (uint64_t)auth->crl_missing) &&
              add_number(md, (uint64_t)auth->crl_stale) &&
              add_number(md, auth->crl_stale == SP_CRL_STALE_GRACE ? auth->crl_grace_ms : 0) &&
              add_number(md, auth->depth) && add_cas(md, &t->cas) && add_number(md, auth->crl.count);
    for (size_t i = 0; i < auth->crl.count && ok; i++) {
        size_t len = strlen(auth->crl.items[i]);
        ok = add_number(md, len) && EVP_DigestUpdate(md, auth->crl.items[i], len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(md, t->policy_id, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? SP_OK : SP_FAIL;
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

struct sp_trust *sp_trust_new_at(
    const char *config_file, const struct sp_config_client_auth *auth, int64_t now, struct sp_diags *diags)
{
    struct sp_trust *t = SP_NEW(struct sp_trust);
    if (t == NULL) {
        sp_diag_add(diags, SP_DIAG_ERROR, config_file, auth->at, "out of memory");
        return NULL;
    }
    struct build b = {t, auth, config_file, diags, now, false};
    t->depth = auth->depth;
    t->crl_policy =
        (struct sp_crl_policy){auth->crl_missing, auth->crl_stale, (int64_t)(auth->crl_grace_ms / 1000)};
    if (sp_cas_load(&t->cas, config_file, &auth->ca, now, diags) != SP_OK)
        b.failed = true;
    else if (t->cas.count == 0)
        complain(&b, SP_DIAG_ERROR, auth->at, "client_auth.ca names no file: nobody could be trusted");
    load_crls(&b);
    t->verified = sp_verified_new();
    if (t->verified == NULL)
        complain(&b, SP_DIAG_ERROR, auth->at, "out of memory for the cache of verified chains");
    if (!b.failed && (make_store(t) != SP_OK || make_policy_id(t, auth) != SP_OK))
        complain(&b, SP_DIAG_ERROR, auth->at, "out of memory for the trust store");
    for (size_t i = 0; i < t->cas.count; i++)
        t->cas.items[i].file = NULL;
    ERR_clear_error();
    if (b.failed) {
        sp_trust_free(t);
        return NULL;
    }
    return t;
}

struct sp_trust *sp_trust_new(
    const char *config_file, const struct sp_config_client_auth *auth, struct sp_diags *diags)
{
    int64_t now = sp_wall_us() / 1000000;
    struct sp_trust *t = sp_trust_new_at(config_file, auth, now, diags);
    if (t != NULL && !has_valid_ca(&t->cas, now)) {
        sp_diag_add(diags, SP_DIAG_ERROR, config_file, auth->ca.at != NULL ? auth->ca.at[0] : auth->at,
            "no CA of client_auth.ca is valid now: nobody could be trusted");
        sp_trust_free(t);
        t = NULL;
    }
    return t;
}

void sp_trust_free(struct sp_trust *t)
{
    if (t == NULL)
        return;
    sp_verified_free(t->verified);
    X509_STORE_free(t->store);
    sp_crls_free(&t->crls);
    sp_cas_free(&t->cas);
    sp_free(t);
}

struct x509_store_st *sp_trust_store(const struct sp_trust *t)
{
    return t->store;
}

struct stack_st_X509_NAME *sp_trust_ca_names(const struct sp_trust *t)
{
    int64_t now = sp_wall_us() / 1000000;
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
