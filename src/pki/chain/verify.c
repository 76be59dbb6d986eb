/* The verdict on a chain, in this order:
 *
 *   size of the keys -> chain, purpose, depth, strength, signatures, times, name constraints (OpenSSL) -> revocation
 *     -> names and claims of the leaf, which make the identity -> what the operator requires of it
 *
 * Revocation is ours (revocation.c) and comes after the signatures: nothing is looked up, remembered or counted
 * for a chain that is not proven. The verdict starts as refused, and there is one line that makes it accepted.
 *
 * Every parameter is set here (paths.c) and not on the SSL_CTX, so that sp_trust_verify_der and `verify` judge exactly
 * as a handshake does. What a refusal is called is in refuse.c. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "pki/chain/identity.h"
#include "pki/chain/links.h"
#include "pki/chain/paths.h"
#include "pki/chain/refuse.h"
#include "pki/chain/verify.h"
#include "pki/x509/asn1.h"
#include "pki/x509/load.h"
#include "pki/x509/strength.h"
#include "sallyport/pki/x509.h"

/* ---- before ---- */

static bool has_costly_key(X509_STORE_CTX *ctx, struct sp_verdict *v)
{
    const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    bool costly = sp_is_costly_key(X509_STORE_CTX_get0_cert(ctx), v->detail, sizeof(v->detail));
    for (int i = 0; sent != NULL && !costly && i < sk_X509_num(sent); i++)
        costly = sp_is_costly_key(sk_X509_value(sent, i), v->detail, sizeof(v->detail));
    return costly;
}

/* ---- after ---- */

/* OpenSSL asks an anchor for no purpose: that the bundle holds it is enough for a CA. A client that is itself
 * the anchor needs one. */
static enum sp_refusal judge_anchor_as_leaf(
    const struct sp_judging *j, const STACK_OF(X509) * chain, struct sp_verdict *v)
{
    if (sk_X509_num(chain) > 1 || X509_check_purpose(sk_X509_value(chain, 0), j->purpose, 0) == 1)
        return SP_REFUSAL_none;
    snprintf(v->detail, sizeof(v->detail), "a CA of the bundle, which may not be used as a %s itself",
        j->purpose == X509_PURPOSE_SSL_SERVER ? "server" : "client");
    return SP_REFUSAL_wrong_purpose;
}

/* Every certificate below the anchor. One that is listed as revoked decides; else the first that cannot be
 * cleared. */
static enum sp_refusal judge_revocation(
    const struct sp_judging *j, const STACK_OF(X509) * chain, struct sp_verdict *v)
{
    enum sp_refusal first = SP_REFUSAL_none;
    char detail[sizeof(v->detail)];
    for (int i = 0; i + 1 < sk_X509_num(chain); i++) {
        enum sp_refusal r = sp_judge_link(j, chain, i, detail, sizeof(detail));
        if (r == SP_REFUSAL_none || (first != SP_REFUSAL_none && r != SP_REFUSAL_revoked))
            continue;
        first = r;
        memcpy(v->detail, detail, sizeof(v->detail));
        if (r == SP_REFUSAL_revoked)
            break;
    }
    return first;
}

/* Who the client would be, and whether that is what is required of clients. Hands over *out. */
static enum sp_refusal judge_leaf(
    const struct sp_judging *j, const STACK_OF(X509) * chain, struct sp_identity **out, struct sp_verdict *v)
{
    struct sp_err err = {0};
    struct sp_identity *id = NULL;
    enum sp_refusal r = sp_identity_make(sk_X509_value(chain, 0), chain, &id, &err);
    if (r == SP_REFUSAL_none && j->trust->asks_ocsp && sp_links_put_ocsp_id(id, chain, &err) != SP_OK)
        r = SP_REFUSAL_out_of_memory;
    if (r != SP_REFUSAL_none)
        snprintf(v->detail, sizeof(v->detail), "%.*s", (int)sizeof(v->detail) - 1, err.text);
    else if (j->purpose == X509_PURPOSE_SSL_CLIENT)
        r = sp_requirements_judge(j->trust->requirements, id, v->detail, sizeof(v->detail));
    if (r != SP_REFUSAL_none) {
        sp_identity_free(id);
        return r;
    }
    memcpy(id->policy_id, j->trust->policy_id, sizeof(id->policy_id));
    *out = id;
    return r;
}

/* SP_OK: there is a chain, and it is proven. */
static enum sp_rc build_chain(
    const struct sp_judging *j, X509_STORE_CTX *ctx, STACK_OF(X509) * pool, struct sp_verdict *v)
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    enum sp_rc rc = SP_OK;
    X509_STORE_CTX_set0_untrusted(ctx, pool);
    if (X509_verify_cert(ctx) != 1) {
        sp_refuse_chain(j->trust, ctx, j->now, v);
        if (!sp_paths_try_others(j, ctx, pool))
            rc = SP_FAIL;
    }
    X509_STORE_CTX_set0_untrusted(ctx, sent);
    return rc;
}

static void judge_with(const struct sp_judging *j, X509_STORE_CTX *ctx, STACK_OF(X509) * pool,
    struct sp_identity **identity, struct sp_verdict *v)
{
    if (build_chain(j, ctx, pool, v) != SP_OK)
        return;
    v->detail[0] = '\0';
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    if (chain == NULL || sk_X509_num(chain) == 0) {
        sp_refuse(v, ctx, SP_REFUSAL_certificate_invalid);
        return;
    }
    enum sp_refusal r = judge_anchor_as_leaf(j, chain, v);
    if (r == SP_REFUSAL_none && sp_is_withdrawn_key(sk_X509_value(chain, 0), v->detail, sizeof(v->detail)))
        r = SP_REFUSAL_weak_key;
    if (r == SP_REFUSAL_none)
        r = judge_revocation(j, chain, v);
    if (r == SP_REFUSAL_none)
        r = judge_leaf(j, chain, identity, v);
    if (r != SP_REFUSAL_none) {
        sp_refuse(v, ctx, r);
        return;
    }
    *v = (struct sp_verdict){.accepted = true, .reason = SP_REFUSAL_none, .x509_error = X509_V_OK};
}

static void judge(
    const struct sp_judging *j, X509_STORE_CTX *ctx, struct sp_identity **identity, struct sp_verdict *v)
{
    if (X509_STORE_CTX_get0_cert(ctx) == NULL || !sp_paths_set_parameters(j, ctx)) {
        snprintf(v->detail, sizeof(v->detail), "there is no certificate to verify, or no memory");
        sp_refuse(v, ctx, SP_REFUSAL_certificate_invalid);
        return;
    }
    if (has_costly_key(ctx, v)) {
        sp_refuse(v, ctx, SP_REFUSAL_key_too_large);
        return;
    }
    STACK_OF(X509) *pool = sp_paths_pool(j->trust, X509_STORE_CTX_get0_untrusted(ctx));
    if (pool != NULL)
        judge_with(j, ctx, pool, identity, v);
    else
        sp_refuse(v, ctx, SP_REFUSAL_out_of_memory);
    sk_X509_free(pool);
}

struct sp_identity *sp_verify(const struct sp_judging *j, X509_STORE_CTX *ctx, struct sp_verdict *out)
{
    struct sp_identity *identity = NULL;
    *out = (struct sp_verdict){
        .accepted = false, .reason = SP_REFUSAL_certificate_invalid, .x509_error = X509_V_ERR_UNSPECIFIED};
    void *before = X509_STORE_CTX_get_app_data(ctx);
    if (X509_STORE_CTX_set_app_data(ctx, (void *)j->trust) != 1) {
        sp_refuse(out, ctx, SP_REFUSAL_out_of_memory);
        return NULL;
    }
    judge(j, ctx, &identity, out);
    (void)X509_STORE_CTX_set_app_data(ctx, before);
    ERR_clear_error();
    return identity;
}

void sp_trust_verify(
    const struct sp_trust *t, struct x509_store_ctx_st *ctx, int64_t now, struct sp_verdict *out)
{
    const struct sp_judging j = {t, now, t->purpose};
    sp_identity_free(sp_verify(&j, ctx, out));
}

/* ---- a handshake ---- */

/* Until when the verdict on `chain` cannot become another one. */
static int64_t holds_until(const struct sp_trust *t, const STACK_OF(X509) * chain, int64_t now)
{
    int64_t until = sp_crls_next_change(&t->crls, &t->crl_policy, now), not_after;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        if (!sp_asn1_time(X509_get0_notAfter(sk_X509_value(chain, i)), &not_after))
            return now;
        until = not_after < until ? not_after : until;
    }
    return until;
}

static void accept_known(X509_STORE_CTX *ctx, struct sp_verdict *v)
{
    *v = (struct sp_verdict){
        .accepted = true, .reason = SP_REFUSAL_none, .x509_error = X509_V_OK, .remembered = true};
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
}

/* The leaf at the head of what the client sent is what OpenSSL keeps for the life of the connection. Equal ones are one. */
static void share_leaf(
    const struct sp_trust *t, X509_STORE_CTX *ctx, STACK_OF(X509) * sent, const uint8_t key[SP_VERIFIED_KEY])
{
    X509 *own = sk_X509_value(sent, 0);
    if (own == NULL || own != X509_STORE_CTX_get0_cert(ctx))
        return;
    X509 *shared = sp_verified_leaf(t->verified, key, own);
    if (shared == NULL)
        return;
    (void)sk_X509_set(sent, 0, shared); /* there is such a place, so it cannot fail */
    X509_STORE_CTX_set_cert(ctx, shared);
    X509_free(own);
}

struct sp_identity *sp_trust_admit(
    const struct sp_trust *t, struct x509_store_ctx_st *ctx, int64_t now, struct sp_verdict *out)
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    uint8_t key[SP_VERIFIED_KEY];
    const struct sp_judging j = {t, now, t->purpose};
    struct sp_identity *identity = NULL;
    bool has_key = sp_verified_key_of(t->verified, sent, key) == SP_OK;
    if (has_key && (identity = sp_verified_find(t->verified, key, now)) != NULL) {
        accept_known(ctx, out);
    } else {
        identity = sp_verify(&j, ctx, out);
        if (identity != NULL && has_key)
            sp_verified_put(
                t->verified, key, now, holds_until(t, X509_STORE_CTX_get0_chain(ctx), now), identity);
    }
    if (identity != NULL && has_key)
        share_leaf(t, ctx, sent, key);
    return identity;
}

/* ---- from DER ---- */

/* SP_FAIL: `out` says why. Hands over the stack. */
static enum sp_rc parse_chain(
    const struct sp_slice *chain, size_t chain_count, STACK_OF(X509) * into, struct sp_verdict *out)
{
    for (size_t i = 0; i < chain_count; i++) {
        X509 *cert = sp_load_der(chain[i]);
        if (cert == NULL) {
            snprintf(
                out->detail, sizeof(out->detail), "certificate %zu above the leaf cannot be parsed", i + 1);
            return SP_FAIL;
        }
        if (sk_X509_push(into, cert) <= 0) {
            X509_free(cert);
            out->reason = SP_REFUSAL_out_of_memory;
            return SP_FAIL;
        }
    }
    return SP_OK;
}

struct sp_identity *sp_verify_list(const struct sp_judging *j, X509 *leaf, STACK_OF(X509) * sent,
    void (*look)(void *arg, const STACK_OF(X509) * chain), void *arg, struct sp_verdict *out)
{
    struct sp_identity *identity = NULL;
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx == NULL || X509_STORE_CTX_init(ctx, j->trust->store, leaf, sent) != 1) {
        *out = (struct sp_verdict){
            .accepted = false, .reason = SP_REFUSAL_out_of_memory, .x509_error = X509_V_ERR_OUT_OF_MEM};
    } else {
        identity = sp_verify(j, ctx, out);
        if (look != NULL)
            look(arg, X509_STORE_CTX_get0_chain(ctx));
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return identity;
}

void sp_trust_verify_der(const struct sp_trust *t, struct sp_slice leaf, const struct sp_slice *chain,
    size_t chain_count, int64_t now, struct sp_verdict *out)
{
    const struct sp_judging j = {t, now, t->purpose};
    *out = (struct sp_verdict){
        .accepted = false, .reason = SP_REFUSAL_certificate_invalid, .x509_error = X509_V_ERR_UNSPECIFIED};
    STACK_OF(X509) *sent = sk_X509_new_null();
    X509 *cert = sp_load_der(leaf);
    if (cert == NULL)
        snprintf(out->detail, sizeof(out->detail), "the certificate cannot be parsed");
    else if (sent == NULL)
        out->reason = SP_REFUSAL_out_of_memory;
    else if (parse_chain(chain, chain_count, sent, out) == SP_OK)
        sp_identity_free(sp_verify_list(&j, cert, sent, NULL, NULL, out));
    sk_X509_pop_free(sent, X509_free);
    X509_free(cert);
    ERR_clear_error();
}
