/* A refusal by its name: OpenSSL's verify errors to our reasons, our reasons to the error (and so the alert) that the
 * client gets, and the words for the operator. Nothing is decided here: the chain has been refused already (verify.c). */
#include "pki/chain/refuse.h"

#include <openssl/x509v3.h>
#include <stdio.h>

#include "pki/x509/asn1.h"

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
 *   eku_missing    unsupported_certificate (43), as for wrong_purpose; client_eku_missing likewise
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
    case SP_REFUSAL_eku_missing:
    case SP_REFUSAL_client_eku_missing:
        return X509_V_ERR_INVALID_PURPOSE;
    case SP_REFUSAL_out_of_memory:
        return X509_V_ERR_OUT_OF_MEM;
    default:
        return X509_V_ERR_CERT_REJECTED;
    }
}

void sp_refuse(struct sp_verdict *v, X509_STORE_CTX *ctx, enum sp_refusal reason)
{
    v->accepted = false;
    v->reason = reason;
    v->x509_error = x509_error_of(reason);
    X509_STORE_CTX_set_error(ctx, v->x509_error);
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

void sp_refuse_chain(const struct sp_trust *t, X509_STORE_CTX *ctx, int64_t now, struct sp_verdict *v)
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
        sp_refuse(v, ctx, SP_REFUSAL_certificate_invalid);
        return;
    }
    if (v->reason == SP_REFUSAL_untrusted_issuer) {
        enum sp_refusal better = explain_no_issuer(t, ctx, now, v);
        if (better != v->reason) {
            sp_refuse(v, ctx, better);
            return;
        }
    }
    X509_STORE_CTX_set_error(ctx, error);
}
