/* The verdict on a chain, in this order:
 *
 *   size of the keys -> chain, purpose, depth, strength, signatures, times, name constraints (OpenSSL) -> revocation -> names
 *
 * Revocation is ours (revocation.c) and comes after the signatures: nothing is looked up, remembered or counted
 * for a chain that is not proven. The verdict starts as refused, and there is one line that makes it accepted.
 *
 * Every parameter is set here and not on the SSL_CTX, so that sp_trust_verify_der judges exactly as a
 * handshake does. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "asn1.h"
#include "load.h"
#include "names.h"
#include "sallyport/pki/x509.h"
#include "trust_impl.h"

/* Verifying with a larger RSA key costs milliseconds of CPU, before anybody is known. */
#define RSA_MAX_BITS 8192
/* 112 bits: RSA 2048, P-224, SHA-224 and better. What Debian's OpenSSL asks of a TLS connection by default. */
#define AUTH_LEVEL 2

/* OpenSSL's verify errors to our reasons. What is not in the table is certificate_invalid. */
static const struct {
    int x509_error;
    enum sp_refusal reason;
} reasons[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_CERT_UNTRUSTED, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_CERT_REJECTED, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_SUBJECT_ISSUER_MISMATCH, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_AKID_SKID_MISMATCH, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH, SP_REFUSAL_untrusted_issuer},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, SP_REFUSAL_bad_signature},
    {X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, SP_REFUSAL_bad_signature},
    {X509_V_ERR_SIGNATURE_ALGORITHM_MISMATCH, SP_REFUSAL_bad_signature},
    {X509_V_ERR_SIGNATURE_ALGORITHM_INCONSISTENCY, SP_REFUSAL_bad_signature},
    {X509_V_ERR_CERT_HAS_EXPIRED, SP_REFUSAL_expired},
    {X509_V_ERR_CERT_NOT_YET_VALID, SP_REFUSAL_not_yet_valid},
    {X509_V_ERR_INVALID_PURPOSE, SP_REFUSAL_wrong_purpose},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, SP_REFUSAL_chain_too_long},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, SP_REFUSAL_path_length},
    {X509_V_ERR_INVALID_CA, SP_REFUSAL_not_a_ca},
    {X509_V_ERR_KEYUSAGE_NO_CERTSIGN, SP_REFUSAL_not_a_ca},
    {X509_V_ERR_PERMITTED_VIOLATION, SP_REFUSAL_name_constraint},
    {X509_V_ERR_EXCLUDED_VIOLATION, SP_REFUSAL_name_constraint},
    {X509_V_ERR_SUBTREE_MINMAX, SP_REFUSAL_name_constraint},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, SP_REFUSAL_name_constraint},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, SP_REFUSAL_name_constraint},
    {X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, SP_REFUSAL_name_constraint},
    {X509_V_ERR_EE_KEY_TOO_SMALL, SP_REFUSAL_weak_key},
    {X509_V_ERR_CA_KEY_TOO_SMALL, SP_REFUSAL_weak_key},
    {X509_V_ERR_CA_MD_TOO_WEAK, SP_REFUSAL_weak_key},
    {X509_V_ERR_OUT_OF_MEM, SP_REFUSAL_out_of_memory},
};

/* The verify error, and so the alert, of the reasons that are found here and not by OpenSSL:
 *   revoked        certificate_revoked (44)
 *   crl_*          internal_error (80). OpenSSL's own errors for these end in unknown_ca, certificate_expired and decrypt_error,
 *                  each of which would send the client's owner after a certificate that is in order. What is wrong
 *                  is on our side of the gate, and that is what internal_error says.
 *   the rest       bad_certificate (42) */
static int x509_error_of(enum sp_refusal reason)
{
    switch (reason) {
    case SP_REFUSAL_revoked:
        return X509_V_ERR_CERT_REVOKED;
    case SP_REFUSAL_crl_missing:
    case SP_REFUSAL_crl_stale:
    case SP_REFUSAL_crl_invalid:
        return X509_V_ERR_UNSPECIFIED;
    case SP_REFUSAL_expired:
        return X509_V_ERR_CERT_HAS_EXPIRED;
    case SP_REFUSAL_not_yet_valid:
        return X509_V_ERR_CERT_NOT_YET_VALID;
    case SP_REFUSAL_not_a_ca:
        return X509_V_ERR_INVALID_CA;
    case SP_REFUSAL_wrong_purpose:
        return X509_V_ERR_INVALID_PURPOSE;
    case SP_REFUSAL_out_of_memory:
        return X509_V_ERR_OUT_OF_MEM;
    default:
        return X509_V_ERR_CERT_REJECTED;
    }
}

static void refuse(struct sp_verdict *v, X509_STORE_CTX *ctx, enum sp_refusal reason)
{
    v->accepted = false;
    v->reason = reason;
    v->x509_error = x509_error_of(reason);
    X509_STORE_CTX_set_error(ctx, v->x509_error);
}

/* ---- the issuer ---- */

int sp_trust_get_issuer(X509 **issuer, X509_STORE_CTX *ctx, X509 *cert)
{
    const struct sp_trust *t = X509_STORE_CTX_get_app_data(ctx);
    if (t == NULL) /* not called through sp_trust_verify */
        return X509_STORE_CTX_get1_issuer(issuer, ctx, cert);
    int64_t now = (int64_t)X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(ctx));
    struct sp_ca *ca = sp_cas_issuer(&t->cas, cert, X509_STORE_CTX_get0_untrusted(ctx), now);
    if (ca == NULL)
        return 0;
    if (X509_up_ref(ca->cert) != 1)
        return -1;
    *issuer = ca->cert;
    return 1;
}

/* ---- before ---- */

static bool is_costly_key(const X509 *cert)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    int kind = key != NULL ? EVP_PKEY_get_base_id(key) : NID_undef;
    return (kind == EVP_PKEY_RSA || kind == EVP_PKEY_RSA_PSS || kind == EVP_PKEY_DSA ||
               kind == EVP_PKEY_DH) &&
           EVP_PKEY_get_bits(key) > RSA_MAX_BITS;
}

static bool has_costly_key(X509_STORE_CTX *ctx, struct sp_verdict *v)
{
    const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    const X509 *costly = is_costly_key(X509_STORE_CTX_get0_cert(ctx)) ? X509_STORE_CTX_get0_cert(ctx) : NULL;
    for (int i = 0; sent != NULL && costly == NULL && i < sk_X509_num(sent); i++) {
        if (is_costly_key(sk_X509_value(sent, i)))
            costly = sk_X509_value(sent, i);
    }
    if (costly == NULL)
        return false;
    snprintf(v->detail, sizeof(v->detail), "a certificate has a key of %d bits; at most %d are taken",
        EVP_PKEY_get_bits(X509_get0_pubkey(costly)), RSA_MAX_BITS);
    return true;
}

static bool set_parameters(const struct sp_trust *t, X509_STORE_CTX *ctx, int64_t now)
{
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_clear_flags(p, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_CRL_CHECK |
                                         X509_V_FLAG_CRL_CHECK_ALL | X509_V_FLAG_NO_CHECK_TIME |
                                         X509_V_FLAG_ALLOW_PROXY_CERTS | X509_V_FLAG_IGNORE_CRITICAL);
    X509_VERIFY_PARAM_set_time(p, (time_t)now);
    X509_VERIFY_PARAM_set_depth(p, (int)t->depth);
    X509_VERIFY_PARAM_set_auth_level(p, AUTH_LEVEL);
    return X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_TRUSTED_FIRST) == 1 &&
           X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_SSL_CLIENT) == 1 &&
           X509_VERIFY_PARAM_set_trust(p, X509_TRUST_SSL_CLIENT) == 1;
}

/* ---- why there is no chain ---- */

static enum sp_refusal reason_of(int x509_error)
{
    for (size_t i = 0; i < SP_COUNTOF(reasons); i++) {
        if (reasons[i].x509_error == x509_error)
            return reasons[i].reason;
    }
    return SP_REFUSAL_certificate_invalid;
}

/* OpenSSL takes a certificate with a malformed extension for nobody's issuer and nobody's subject. */
static X509 *malformed_at(X509 *top, const STACK_OF(X509) * sent)
{
    if ((X509_get_extension_flags(top) & EXFLAG_INVALID) != 0)
        return top;
    for (int i = 0; sent != NULL && i < sk_X509_num(sent); i++) {
        X509 *other = sk_X509_value(sent, i);
        if (X509_NAME_cmp(X509_get_subject_name(other), X509_get_issuer_name(top)) == 0 &&
            (X509_get_extension_flags(other) & EXFLAG_INVALID) != 0)
            return other;
    }
    return NULL;
}

/* OpenSSL says "no issuer" also when there is one that cannot be it. The operator is told which. */
static enum sp_refusal explain_no_issuer(
    const struct sp_trust *t, X509_STORE_CTX *ctx, int64_t now, struct sp_verdict *v)
{
    char subject[128], when[SP_RFC3339_MAX];
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx), *sent = X509_STORE_CTX_get0_untrusted(ctx);
    X509 *top = chain != NULL && sk_X509_num(chain) > 0 ? sk_X509_value(chain, sk_X509_num(chain) - 1) : NULL;
    if (top == NULL)
        return SP_REFUSAL_untrusted_issuer;
    const X509 *malformed = malformed_at(top, sent);
    if (malformed != NULL) {
        sp_asn1_name_text(X509_get_subject_name(malformed), subject, sizeof(subject));
        snprintf(v->detail, sizeof(v->detail),
            "an extension of %s cannot be parsed, stands there twice or contradicts another", subject);
        return SP_REFUSAL_certificate_invalid;
    }
    const struct sp_ca *ca = sp_cas_outdated_issuer(&t->cas, top, now);
    if (ca != NULL) {
        bool over = ca->not_after <= now;
        sp_asn1_name_text(X509_get_subject_name(ca->cert), subject, sizeof(subject));
        snprintf(v->detail, sizeof(v->detail), "CA %s of the bundle is %s %s", subject,
            over ? "expired since" : "not valid before",
            sp_asn1_time_text(over ? ca->not_after : ca->not_before, when));
        return over ? SP_REFUSAL_expired : SP_REFUSAL_not_yet_valid;
    }
    for (int i = 0; sent != NULL && i < sk_X509_num(sent); i++) {
        X509 *other = sk_X509_value(sent, i);
        if (X509_check_issued(other, top) == X509_V_ERR_KEYUSAGE_NO_CERTSIGN) {
            sp_asn1_name_text(X509_get_subject_name(other), subject, sizeof(subject));
            snprintf(v->detail, sizeof(v->detail),
                "%s issued a certificate, but its keyUsage has no keyCertSign", subject);
            return SP_REFUSAL_not_a_ca;
        }
    }
    return SP_REFUSAL_untrusted_issuer;
}

static void describe_error(X509_STORE_CTX *ctx, int error, struct sp_verdict *v)
{
    char subject[128], when[SP_RFC3339_MAX], validity[64] = "";
    int64_t at = 0;
    const X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    if (cert == NULL)
        cert = X509_STORE_CTX_get0_cert(ctx);
    if (error == X509_V_ERR_CERT_HAS_EXPIRED && sp_asn1_time(X509_get0_notAfter(cert), &at))
        snprintf(validity, sizeof(validity), ", notAfter %s", sp_asn1_time_text(at, when));
    else if (error == X509_V_ERR_CERT_NOT_YET_VALID && sp_asn1_time(X509_get0_notBefore(cert), &at))
        snprintf(validity, sizeof(validity), ", notBefore %s", sp_asn1_time_text(at, when));
    snprintf(v->detail, sizeof(v->detail), "%s: %s%s", X509_verify_cert_error_string(error),
        sp_asn1_name_text(X509_get_subject_name(cert), subject, sizeof(subject)), validity);
}

static void refuse_chain(const struct sp_trust *t, X509_STORE_CTX *ctx, int64_t now, struct sp_verdict *v)
{
    int error = X509_STORE_CTX_get_error(ctx);
    if (error == X509_V_OK)
        error = X509_V_ERR_UNSPECIFIED;
    describe_error(ctx, error, v);
    v->x509_error = error;
    v->reason = reason_of(error);
    const X509 *at = X509_STORE_CTX_get_current_cert(ctx);
    if (v->reason == SP_REFUSAL_weak_key && at != NULL && X509_get0_pubkey(at) == NULL) {
        snprintf(
            v->detail, sizeof(v->detail), "the public key is malformed or of a kind that is not supported");
        refuse(v, ctx, SP_REFUSAL_certificate_invalid);
        return;
    }
    if (v->reason == SP_REFUSAL_untrusted_issuer) {
        enum sp_refusal better = explain_no_issuer(t, ctx, now, v);
        if (better != v->reason) {
            refuse(v, ctx, better);
            return;
        }
    }
    X509_STORE_CTX_set_error(ctx, error);
}

/* ---- after ---- */

/* OpenSSL asks an anchor for no purpose: that the bundle holds it is enough for a CA. A client that is itself
 * the anchor needs one. */
static enum sp_refusal judge_anchor_as_client(const STACK_OF(X509) * chain, struct sp_verdict *v)
{
    if (sk_X509_num(chain) > 1 ||
        X509_check_purpose(sk_X509_value(chain, 0), X509_PURPOSE_SSL_CLIENT, 0) == 1)
        return SP_REFUSAL_none;
    snprintf(v->detail, sizeof(v->detail), "a CA of the bundle, which may not be used as a client itself");
    return SP_REFUSAL_wrong_purpose;
}

/* Every certificate below the anchor. One that is listed as revoked decides; else the first that cannot be
 * cleared. */
static enum sp_refusal judge_revocation(
    const struct sp_trust *t, const STACK_OF(X509) * chain, int64_t now, struct sp_verdict *v)
{
    enum sp_refusal first = SP_REFUSAL_none;
    char detail[sizeof(v->detail)];
    for (int i = 0; i + 1 < sk_X509_num(chain); i++) {
        enum sp_refusal r = sp_crls_judge(&t->crls, &t->crl_policy, sk_X509_value(chain, i),
            sk_X509_value(chain, i + 1), now, detail, sizeof(detail));
        if (r == SP_REFUSAL_none || (first != SP_REFUSAL_none && r != SP_REFUSAL_revoked))
            continue;
        first = r;
        memcpy(v->detail, detail, sizeof(v->detail));
        if (r == SP_REFUSAL_revoked)
            break;
    }
    return first;
}

static enum sp_refusal judge_names(const X509 *leaf, struct sp_verdict *v)
{
    struct sp_arena arena;
    struct sp_names names;
    struct sp_err err = {0};
    sp_arena_init(&arena, (size_t)1 << 18);
    enum sp_refusal r = sp_names_read(leaf, &arena, &names, &err);
    if (r != SP_REFUSAL_none)
        snprintf(v->detail, sizeof(v->detail), "%.*s", (int)sizeof(v->detail) - 1, err.text);
    sp_arena_free(&arena);
    return r;
}

static void judge(const struct sp_trust *t, X509_STORE_CTX *ctx, int64_t now, struct sp_verdict *v)
{
    if (X509_STORE_CTX_get0_cert(ctx) == NULL || !set_parameters(t, ctx, now)) {
        snprintf(v->detail, sizeof(v->detail), "there is no certificate to verify, or no memory");
        refuse(v, ctx, SP_REFUSAL_certificate_invalid);
        return;
    }
    if (has_costly_key(ctx, v)) {
        refuse(v, ctx, SP_REFUSAL_certificate_invalid);
        return;
    }
    if (X509_verify_cert(ctx) != 1) {
        refuse_chain(t, ctx, now, v);
        return;
    }
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    if (chain == NULL || sk_X509_num(chain) == 0) {
        refuse(v, ctx, SP_REFUSAL_certificate_invalid);
        return;
    }
    enum sp_refusal r = judge_anchor_as_client(chain, v);
    if (r == SP_REFUSAL_none)
        r = judge_revocation(t, chain, now, v);
    if (r == SP_REFUSAL_none)
        r = judge_names(sk_X509_value(chain, 0), v);
    if (r != SP_REFUSAL_none) {
        refuse(v, ctx, r);
        return;
    }
    *v = (struct sp_verdict){.accepted = true, .reason = SP_REFUSAL_none, .x509_error = X509_V_OK};
}

void sp_trust_verify(
    const struct sp_trust *t, struct x509_store_ctx_st *ctx, int64_t now, struct sp_verdict *out)
{
    *out = (struct sp_verdict){
        .accepted = false, .reason = SP_REFUSAL_certificate_invalid, .x509_error = X509_V_ERR_UNSPECIFIED};
    void *before = X509_STORE_CTX_get_app_data(ctx);
    if (X509_STORE_CTX_set_app_data(ctx, (void *)t) != 1) {
        refuse(out, ctx, SP_REFUSAL_out_of_memory);
        return;
    }
    judge(t, ctx, now, out);
    (void)X509_STORE_CTX_set_app_data(ctx, before);
    ERR_clear_error();
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
    *v = (struct sp_verdict){.accepted = true, .reason = SP_REFUSAL_none, .x509_error = X509_V_OK};
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
}

struct sp_identity *sp_trust_admit(
    const struct sp_trust *t, struct x509_store_ctx_st *ctx, int64_t now, struct sp_verdict *out)
{
    const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(ctx);
    uint8_t key[SP_VERIFIED_KEY];
    struct sp_err err = {0};
    struct sp_identity *identity = NULL;
    bool has_key = sp_verified_key_of(t->verified, sent, key) == SP_OK;
    if (has_key && (identity = sp_verified_find(t->verified, key, now)) != NULL) {
        accept_known(ctx, out);
        return identity;
    }
    sp_trust_verify(t, ctx, now, out);
    if (!out->accepted)
        return NULL;
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    if (sp_identity_from_x509(X509_STORE_CTX_get0_cert(ctx), chain, &identity, &err) != SP_OK) {
        *out = (struct sp_verdict){.accepted = false};
        snprintf(out->detail, sizeof(out->detail), "%.*s", (int)sizeof(out->detail) - 1, err.text);
        refuse(out, ctx, err.sys == ENOMEM ? SP_REFUSAL_out_of_memory : SP_REFUSAL_hostile_name);
        return NULL;
    }
    if (has_key)
        sp_verified_put(t->verified, key, now, holds_until(t, chain, now), identity);
    return identity;
}

/* ---- from DER ---- */

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

void sp_trust_verify_der(const struct sp_trust *t, struct sp_slice leaf, const struct sp_slice *chain,
    size_t chain_count, int64_t now, struct sp_verdict *out)
{
    *out = (struct sp_verdict){
        .accepted = false, .reason = SP_REFUSAL_certificate_invalid, .x509_error = X509_V_ERR_UNSPECIFIED};
    STACK_OF(X509) *untrusted = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *cert = sp_load_der(leaf);
    if (cert == NULL) {
        snprintf(out->detail, sizeof(out->detail), "the certificate cannot be parsed");
        goto out;
    }
    if (untrusted == NULL || ctx == NULL) {
        out->reason = SP_REFUSAL_out_of_memory;
        goto out;
    }
    if (parse_chain(chain, chain_count, untrusted, out) != SP_OK)
        goto out;
    if (X509_STORE_CTX_init(ctx, t->store, cert, untrusted) != 1) {
        out->reason = SP_REFUSAL_out_of_memory;
        goto out;
    }
    sp_trust_verify(t, ctx, now, out);
out:
    X509_STORE_CTX_free(ctx);
    sk_X509_pop_free(untrusted, X509_free);
    X509_free(cert);
    ERR_clear_error();
}
