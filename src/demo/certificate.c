/* Makes certificates and CRLs in this process through OpenSSL: EC P-256, SHA-256, X.509 v3 and CRL v2 as RFC
 * 5280 wants them, so that what the proxy is shown in the demo is no different from what a real CA would have
 * issued. */
#include "certificate.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define DAY_SECONDS  86400L
#define SERIAL_BYTES 8

enum sp_rc sp_demo_ssl_err(struct sp_err *err, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_get_error());

    ERR_clear_error();
    return sp_err_set(err, "%s: %s", what, reason != NULL ? reason : "OpenSSL failed");
}

static X509_NAME *name_of(const char *common_name)
{
    X509_NAME *name = X509_NAME_new();

    if (name != NULL &&
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Demo", -1, -1, 0) &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0))
        return name;
    X509_NAME_free(name);
    return NULL;
}

/* Positive and random, as RFC 5280 §4.1.2.2 has it. */
static bool set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number = NULL;

    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool done = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return done;
}

static bool set_subject(X509 *cert, const char *common_name)
{
    X509_NAME *name = name_of(common_name);
    bool done = name != NULL && X509_set_subject_name(cert, name);

    X509_NAME_free(name);
    return done;
}

static bool add_extension(X509 *cert, X509V3_CTX *context, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
    bool done = extension != NULL && X509_add_ext(cert, extension, -1);

    X509_EXTENSION_free(extension);
    return done;
}

static bool add_extensions(X509 *cert, X509 *issuer, const struct sp_demo_profile *p)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    if (!add_extension(cert, &context, NID_subject_key_identifier, "hash"))
        return false;
    /* of a self-signed one it would say nothing */
    if (issuer != cert && !add_extension(cert, &context, NID_authority_key_identifier, "keyid:always"))
        return false;
    for (size_t i = 0; i < SP_COUNTOF(p->extensions) && p->extensions[i].value != NULL; i++) {
        if (!add_extension(cert, &context, p->extensions[i].nid, p->extensions[i].value))
            return false;
    }
    return true;
}

static bool fill(
    X509 *cert, EVP_PKEY *key, const struct sp_demo_profile *p, const struct sp_demo_credential *ca)
{
    X509 *issuer = ca != NULL ? ca->cert : cert;
    EVP_PKEY *signer = ca != NULL ? ca->key : key;

    return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) && set_subject(cert, p->common_name) &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer)) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), p->from_days * DAY_SECONDS) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), p->to_days * DAY_SECONDS) != NULL &&
           X509_set_pubkey(cert, key) && add_extensions(cert, issuer, p) &&
           X509_sign(cert, signer, EVP_sha256());
}

enum sp_rc sp_demo_credential_make(const struct sp_demo_profile *p, const struct sp_demo_credential *ca,
    struct sp_demo_credential *out, struct sp_err *err)
{
    *out = (struct sp_demo_credential){.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    if (out->key != NULL && out->cert != NULL && fill(out->cert, out->key, p, ca))
        return SP_OK;
    sp_demo_credential_free(out);
    sp_demo_ssl_err(err, p->common_name);
    return sp_err_wrap(err, "making a certificate");
}

void sp_demo_credential_free(struct sp_demo_credential *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    *c = (struct sp_demo_credential){0};
}

/* ---- CRLs ---- */

static bool add_revoked(X509_CRL *crl, const struct sp_demo_entry *e)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = X509_gmtime_adj(NULL, e->days * DAY_SECONDS);
    ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
    bool done = false;

    if (entry != NULL && when != NULL && reason != NULL &&
        ASN1_ENUMERATED_set(reason, CRL_REASON_KEY_COMPROMISE) &&
        X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0) &&
        X509_REVOKED_set_revocationDate(entry, when) &&
        X509_REVOKED_set_serialNumber(entry, (ASN1_INTEGER *)X509_get0_serialNumber(e->cert)) &&
        X509_CRL_add0_revoked(crl, entry)) {
        entry = NULL;
        done = true;
    }
    ASN1_ENUMERATED_free(reason);
    ASN1_TIME_free(when);
    X509_REVOKED_free(entry);
    return done;
}

static bool set_times(X509_CRL *crl, const struct sp_demo_list *list)
{
    ASN1_TIME *from = X509_gmtime_adj(NULL, list->from_days * DAY_SECONDS);
    ASN1_TIME *to = X509_gmtime_adj(NULL, list->to_days * DAY_SECONDS);
    bool done = from != NULL && to != NULL && X509_CRL_set1_lastUpdate(crl, from) &&
                X509_CRL_set1_nextUpdate(crl, to);

    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    return done;
}

static bool add_crl_extensions(X509_CRL *crl, X509 *issuer, int64_t crl_number)
{
    X509V3_CTX context;
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, issuer, NULL, NULL, crl, 0);
    X509V3_set_ctx_nodb(&context);
    extension = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid:always");
    bool done = number != NULL && ASN1_INTEGER_set_int64(number, crl_number) &&
                X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) && extension != NULL &&
                X509_CRL_add_ext(crl, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_INTEGER_free(number);
    return done;
}

static bool fill_crl(X509_CRL *crl, const struct sp_demo_credential *ca, const struct sp_demo_list *list)
{
    if (!X509_CRL_set_version(crl, X509_CRL_VERSION_2) ||
        !X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert)) || !set_times(crl, list) ||
        !add_crl_extensions(crl, ca->cert, list->number))
        return false;
    for (size_t i = 0; i < SP_COUNTOF(list->revoked) && list->revoked[i].cert != NULL; i++) {
        if (!add_revoked(crl, &list->revoked[i]))
            return false;
    }
    return X509_CRL_sort(crl) && X509_CRL_sign(crl, ca->key, EVP_sha256());
}

X509_CRL *sp_demo_crl_make(
    const struct sp_demo_credential *ca, const struct sp_demo_list *list, struct sp_err *err)
{
    X509_CRL *crl = X509_CRL_new();

    if (crl != NULL && fill_crl(crl, ca, list))
        return crl;
    X509_CRL_free(crl);
    sp_demo_ssl_err(err, "making a CRL");
    return NULL;
}
