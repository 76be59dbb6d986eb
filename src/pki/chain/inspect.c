/* One certificate judged by the judge of the handshake (verify.c), and what there is to say of its chain. For people:
 * nothing here decides. */
#include <openssl/x509v3.h>
#include <stdio.h>

#include "pki/chain/verify.h"
#include "pki/x509/asn1.h"
#include "sallyport/pki/x509.h"

struct inspection {
    const struct sp_judging *judging;
    void (*each)(void *arg, const struct sp_trust_step *step);
    void *arg;
    const struct sp_verdict *verdict;
    const STACK_OF(X509) * chain;
};

static bool is_anchor(const struct sp_trust *t, const X509 *cert)
{
    for (size_t i = 0; i < t->cas.count; i++) {
        if (t->cas.items[i].ends_chain && X509_cmp(t->cas.items[i].cert, cert) == 0)
            return true;
    }
    return false;
}

static void say_nothing_against(const struct inspection *i, const X509 *issuer, char *detail, size_t room)
{
    const struct sp_crl *crl = sp_crls_current(&i->judging->trust->crls, issuer, i->judging->now);
    if (crl != NULL)
        snprintf(detail, room, "not listed in %s", crl->source);
    else
        snprintf(detail, room, "no CRL of its own CA says that it is revoked");
}

static void show(const struct inspection *i, int at, bool is_proven)
{
    char subject[512], issuer[512], serial[80], detail[256] = "";
    X509 *cert = sk_X509_value(i->chain, at);
    struct sp_trust_step step = {
        .subject = sp_asn1_name_text(X509_get_subject_name(cert), subject, sizeof(subject)),
        .issuer = sp_asn1_name_text(X509_get_issuer_name(cert), issuer, sizeof(issuer)),
        .serial = sp_asn1_serial_text(X509_get0_serialNumber(cert), serial, sizeof(serial)),
        .is_anchor = is_anchor(i->judging->trust, cert),
        .detail = detail,
    };
    if (!sp_asn1_time(X509_get0_notBefore(cert), &step.not_before) ||
        !sp_asn1_time(X509_get0_notAfter(cert), &step.not_after))
        step.not_before = step.not_after = 0;
    if (is_proven && at + 1 < sk_X509_num(i->chain)) {
        step.is_judged = true;
        step.revocation = sp_judge_link(i->judging, i->chain, at, detail, sizeof(detail));
        if (step.revocation == SP_REFUSAL_none)
            say_nothing_against(i, sk_X509_value(i->chain, at + 1), detail, sizeof(detail));
    }
    i->each(i->arg, &step);
}

/* Refused for what stands behind the proof of the chain. */
static bool is_proven(const struct sp_verdict *v)
{
    switch (v->reason) {
    case SP_REFUSAL_none:
    case SP_REFUSAL_revoked:
    case SP_REFUSAL_crl_missing:
    case SP_REFUSAL_crl_stale:
    case SP_REFUSAL_crl_invalid:
    case SP_REFUSAL_hostile_name:
    case SP_REFUSAL_validity_too_long:
    case SP_REFUSAL_key_not_allowed:
    case SP_REFUSAL_signature_not_allowed:
    case SP_REFUSAL_eku_missing:
    case SP_REFUSAL_client_eku_missing:
    case SP_REFUSAL_policy_missing:
    case SP_REFUSAL_name_convention:
        return true;
    default:
        return false;
    }
}

static void look(void *arg, const STACK_OF(X509) * chain)
{
    struct inspection *i = arg;
    i->chain = chain;
    for (int at = 0; chain != NULL && at < sk_X509_num(chain); at++)
        show(i, at, is_proven(i->verdict));
}

enum sp_rc sp_trust_inspect(const struct sp_trust *t, const char *file, enum sp_trust_purpose purpose,
    int64_t now, void (*each)(void *arg, const struct sp_trust_step *step), void *arg, struct sp_verdict *out,
    struct sp_identity **identity, struct sp_err *err)
{
    static const int purposes[] = {X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER, X509_PURPOSE_ANY};
    const struct sp_judging j = {t, now, purposes[purpose]};
    struct inspection i = {.judging = &j, .each = each, .arg = arg, .verdict = out};
    STACK_OF(X509) *sent = sp_pki_load_certificates(file, err);
    if (identity != NULL)
        *identity = NULL;
    if (sent == NULL)
        return SP_FAIL;
    struct sp_identity *made = sp_verify_list(&j, sk_X509_value(sent, 0), sent, look, &i, out);
    if (identity != NULL)
        *identity = made;
    else
        sp_identity_free(made);
    sk_X509_pop_free(sent, X509_free);
    return SP_OK;
}

enum sp_rc sp_identity_load(const char *file, struct sp_identity **out, struct sp_err *err)
{
    STACK_OF(X509) *certificates = sp_pki_load_certificates(file, err);
    enum sp_rc rc = SP_FAIL;

    *out = NULL;
    if (certificates != NULL)
        rc = sp_identity_from_x509(sk_X509_value(certificates, 0), NULL, out, err);
    sk_X509_pop_free(certificates, X509_free);
    return rc;
}
