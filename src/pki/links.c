/* What of a verified chain is kept as long as the client's session lives: so little that a revocation list can be asked
 * about every certificate again without parsing one, and the name by which an OCSP responder knows the leaf.
 *
 * The digests of issuers are those that the CRLs of a trust are found by (crl.c). */
#include "links.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "asn1.h"
#include "crl.h"

static bool digest_issuer(const X509 *issuer, struct sp_chain_link *link)
{
    const unsigned char *name = NULL;
    size_t name_len = 0;
    unsigned char *key = NULL;
    int key_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(issuer), &key);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && key_len > 0 &&
              X509_NAME_get0_der(X509_get_subject_name(issuer), &name, &name_len) == 1 &&
              EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(md, name, name_len) == 1 &&
              EVP_DigestUpdate(md, key, (size_t)key_len) == 1 &&
              EVP_DigestFinal_ex(md, link->issuer_id, NULL) == 1 &&
              EVP_Digest(name, name_len, link->issuer_name, NULL, EVP_sha256(), NULL) == 1;
    EVP_MD_CTX_free(md);
    OPENSSL_free(key);
    return ok;
}

static bool put_link(struct sp_identity *id, X509 *cert, const X509 *issuer, struct sp_chain_link *link)
{
    uint8_t key[SP_SERIAL_MAX_KEY];
    size_t len = 0;
    if (!sp_crl_serial_key(X509_get0_serialNumber(cert), key, &len))
        len = 0; /* longer than any that a CRL lists */
    link->serial = sp_arena_copy(&id->arena, (struct sp_slice){(const char *)key, len});
    link->is_ca = (X509_get_extension_flags(cert) & EXFLAG_CA) != 0;
    return link->serial.ptr != NULL && digest_issuer(issuer, link);
}

enum sp_rc sp_links_put(struct sp_identity *id, const STACK_OF(X509) * verified_chain, struct sp_err *err)
{
    size_t count = (size_t)sk_X509_num(verified_chain) - 1;
    int64_t until = INT64_MAX, not_after;
    struct sp_chain_link *links = sp_arena_alloc(&id->arena, count + 1, sizeof(*links));
    bool ok = links != NULL;
    for (size_t i = 0; ok && i < count; i++)
        ok = put_link(
            id, sk_X509_value(verified_chain, (int)i), sk_X509_value(verified_chain, (int)i + 1), &links[i]);
    for (int i = 0; ok && i <= (int)count; i++) {
        ok = sp_asn1_time(X509_get0_notAfter(sk_X509_value(verified_chain, i)), &not_after);
        until = ok && not_after < until ? not_after : until;
    }
    ERR_clear_error();
    if (!ok)
        return sp_err_sys(err, ENOMEM, "the chain cannot be kept");
    id->links = links;
    id->link_count = count;
    id->chain_until = until;
    return SP_OK;
}

enum sp_rc sp_links_put_ocsp_id(
    struct sp_identity *id, const STACK_OF(X509) * verified_chain, struct sp_err *err)
{
    unsigned char *der = NULL;
    int len = 0;
    if (sk_X509_num(verified_chain) < 2) {
        id->ocsp_cert_id = SP_SLICE("");
        return SP_OK;
    }
    /* SHA-1 as RFC 5019 has it: responders answer by tables that were made with it. It is a name here, no proof. */
    OCSP_CERTID *name =
        OCSP_cert_to_id(EVP_sha1(), sk_X509_value(verified_chain, 0), sk_X509_value(verified_chain, 1));
    if (name != NULL && (len = i2d_OCSP_CERTID(name, &der)) > 0)
        id->ocsp_cert_id = sp_arena_copy(&id->arena, (struct sp_slice){(const char *)der, (size_t)len});
    OCSP_CERTID_free(name);
    OPENSSL_free(der);
    ERR_clear_error();
    return id->ocsp_cert_id.ptr != NULL ? SP_OK : sp_err_sys(err, ENOMEM, "the OCSP request cannot be made");
}
