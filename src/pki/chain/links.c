/* What of a verified chain is kept as long as the client's session lives: so little that a revocation list can be asked
 * about every certificate again without parsing one, and the name by which an OCSP responder knows the leaf.
 *
 * The digests of issuers are those that the CRLs of a trust are found by (crl.c). */
#include "pki/chain/links.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "pki/crl/crl.h"
#include "pki/x509/asn1.h"
#include "pki/x509/load.h"
#include "pki/x509/names.h"
#include "sallyport/pki/x509.h"

static bool digest_issuer(const X509 *issuer, struct sp_chain_link *link)
{
    const X509_NAME *name = X509_get_subject_name(issuer);
    const unsigned char *der = NULL;
    size_t len = 0;
    return sp_crl_issuer_id(name, X509_get_X509_PUBKEY(issuer), link->issuer_id) &&
           X509_NAME_get0_der(name, &der, &len) == 1 &&
           EVP_Digest(der, len, link->issuer_name, NULL, EVP_sha256(), NULL) == 1;
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
    struct sp_buf der = {0};
    struct sp_err ignored = {0};
    id->ocsp_cert_id = SP_SLICE("");
    if (sk_X509_num(verified_chain) < 2)
        return SP_OK;
    if (sp_ocsp_cert_id(sk_X509_value(verified_chain, 0), sk_X509_value(verified_chain, 1), &der, &ignored) ==
        SP_OK)
        id->ocsp_cert_id = sp_arena_copy(&id->arena, sp_buf_slice(&der));
    bool is_there = id->ocsp_cert_id.len > 0;
    sp_buf_free(&der);
    return is_there ? SP_OK : sp_err_sys(err, ENOMEM, "the OCSP request cannot be made");
}

X509 *sp_links_next_certificate(struct sp_slice *list)
{
    uint8_t der[SP_CERT_MAX_BYTES + 3]; /* three bytes at a time are decoded */
    const char *from = list->len > 0 ? memchr(list->ptr, ':', list->len) : NULL;
    if (from == NULL)
        return NULL;
    from++;
    size_t left = list->len - (size_t)(from - list->ptr);
    const char *to = memchr(from, ':', left);
    size_t len = to != NULL ? (size_t)(to - from) : 0;
    if (len == 0 || len % 4 != 0 || len / 4 * 3 > sizeof(der))
        return NULL;
    *list = (struct sp_slice){to + 1, left - len - 1};
    int got = EVP_DecodeBlock(der, (const unsigned char *)from, (int)len);
    for (size_t i = len; got > 0 && from[i - 1] == '='; i--)
        got--; /* EVP_DecodeBlock counts the padding */
    return got > 0 ? sp_load_der((struct sp_slice){(const char *)der, (size_t)got}) : NULL;
}
