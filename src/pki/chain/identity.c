/* From a verified certificate to plain data. Everything that is asked for again and again later (texts,
 * digests, base64 for the headers) is made here once, in the identity's own arena. The names are judged in
 * names.c, what it says beside them in claims.c; the chain was in verify.c. */
#include "pki/chain/identity.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pki/chain/links.h"
#include "pki/x509/asn1.h"
#include "pki/x509/claims.h"
#include "pki/x509/load.h"
#include "pki/x509/names.h"
#include "sallyport/base/text.h"
#include "sallyport/pki/x509.h"

/* Certificates are capped at 16 KiB each; this bounds the whole of a long chain with its copies. */
#define IDENTITY_MAX_BYTES ((size_t)1 << 20)

static enum sp_rc no_memory(struct sp_err *err)
{
    return sp_err_set(err, "the identity needs too much memory");
}

enum sp_rc sp_identity_put_fingerprint(struct sp_identity *id, struct sp_err *err)
{
    char hex[2 * sizeof(id->sha256) + 1];
    char text[4 * ((sizeof(id->sha256) + 2) / 3) + 1];
    int len = EVP_EncodeBlock((unsigned char *)text, id->sha256, sizeof(id->sha256));
    for (int i = 0; i < len; i++)
        text[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    while (text[len - 1] == '=')
        len--;
    id->sha256_b64url = sp_arena_copy(&id->arena, (struct sp_slice){text, (size_t)len});
    id->sha256_hex = sp_arena_copy(&id->arena, sp_slice_of(sp_hex(id->sha256, sizeof(id->sha256), hex)));
    return id->sha256_b64url.ptr != NULL && id->sha256_hex.ptr != NULL ? SP_OK : no_memory(err);
}

/* One more member of a structured-field list of byte sequences. */
static void add_byte_sequence(struct sp_buf *list, struct sp_slice bytes)
{
    size_t len = (bytes.len + 2) / 3 * 4;
    if (list->len > 0)
        sp_buf_add_str(list, ", ");
    sp_buf_add_char(list, ':');
    char *room = sp_buf_room(list, len + 1); /* EVP_EncodeBlock ends in NUL */
    if (room == NULL) {
        list->failed = true;
        return;
    }
    list->len +=
        (size_t)EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)bytes.ptr, (int)bytes.len);
    sp_buf_add_char(list, ':');
}

static enum sp_rc put_list(
    struct sp_arena *arena, struct sp_buf *list, struct sp_slice *out, struct sp_err *err)
{
    if (!list->failed)
        *out = sp_arena_copy(arena, (struct sp_slice){list->ptr != NULL ? list->ptr : "", list->len});
    sp_buf_free(list);
    return out->ptr != NULL ? SP_OK : no_memory(err);
}

static enum sp_rc put_leaf(struct sp_identity *id, struct sp_slice der, struct sp_err *err)
{
    struct sp_buf list = {0};
    add_byte_sequence(&list, der);
    return put_list(&id->arena, &list, &id->client_cert, err);
}

enum sp_rc sp_identity_put_name(
    struct sp_identity *id, const X509_NAME *name, struct sp_slice *out, struct sp_err *err)
{
    size_t len = 0;
    char *text = sp_asn1_name_dup(name, &len);
    if (text == NULL)
        return sp_err_set(err, "a distinguished name cannot be printed");
    *out = sp_arena_copy(&id->arena, (struct sp_slice){text, len});
    OPENSSL_free(text);
    return out->ptr != NULL ? SP_OK : no_memory(err);
}

static bool digest_key(const X509 *leaf, uint8_t out[32])
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);
    bool ok = len > 0 && EVP_Digest(der, (size_t)len, out, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return ok;
}

static enum sp_rc put_digests(
    struct sp_identity *id, const X509 *leaf, struct sp_slice der, struct sp_err *err)
{
    uint8_t sha1[20];
    char hex[2 * sizeof(sha1) + 1];
    if (EVP_Digest(der.ptr, der.len, id->sha256, NULL, EVP_sha256(), NULL) != 1 ||
        EVP_Digest(der.ptr, der.len, sha1, NULL, EVP_sha1(), NULL) != 1 ||
        !digest_key(leaf, id->spki_sha256)) {
        ERR_clear_error();
        return sp_err_set(err, "SHA-256 or SHA-1 is not available");
    }
    id->sha1_hex = sp_arena_copy(&id->arena, sp_slice_of(sp_hex(sha1, sizeof(sha1), hex)));
    return id->sha1_hex.ptr != NULL ? sp_identity_put_fingerprint(id, err) : no_memory(err);
}

static enum sp_rc put_serial(struct sp_identity *id, const ASN1_INTEGER *serial, struct sp_err *err)
{
    size_t room = (size_t)ASN1_STRING_length(serial) * 2 + 16;
    char *text = sp_arena_alloc(&id->arena, room, 1);
    if (text == NULL)
        return no_memory(err);
    id->serial_hex = sp_slice_of(sp_asn1_serial_text(serial, text, room));
    return SP_OK;
}

static void put_key(struct sp_identity *id, const X509 *leaf)
{
    static const struct {
        int kind;
        enum sp_key_type type;
    } types[] = {
        {EVP_PKEY_RSA, SP_KEY_RSA},
        {EVP_PKEY_RSA_PSS, SP_KEY_RSA},
        {EVP_PKEY_EC, SP_KEY_EC},
        {EVP_PKEY_ED25519, SP_KEY_ED25519},
        {EVP_PKEY_ED448, SP_KEY_ED448},
    };
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    int bits = key != NULL ? EVP_PKEY_get_bits(key) : 0;
    id->key_type = SP_KEY_OTHER;
    id->key_bits = bits > 0 ? (unsigned)bits : 0;
    for (size_t i = 0; key != NULL && i < SP_COUNTOF(types); i++) {
        if (types[i].kind == EVP_PKEY_get_base_id(key))
            id->key_type = types[i].type;
    }
}

static enum sp_rc put_signature_algorithm(struct sp_identity *id, const X509 *leaf, struct sp_err *err)
{
    char oid[256];
    const ASN1_OBJECT *object = NULL;
    X509_ALGOR_get0(&object, NULL, NULL, X509_get0_tbs_sigalg(leaf));
    int nid = OBJ_obj2nid(object);
    if (nid != NID_undef) { /* a constant of OpenSSL's */
        id->signature_algorithm = sp_slice_of(OBJ_nid2ln(nid));
        return SP_OK;
    }
    int len = OBJ_obj2txt(oid, sizeof(oid), object, 1);
    if (len <= 0 || (size_t)len >= sizeof(oid))
        return sp_err_set(err, "the OID of the signature algorithm cannot be read");
    id->signature_algorithm = sp_arena_copy(&id->arena, (struct sp_slice){oid, (size_t)len});
    return id->signature_algorithm.ptr != NULL ? SP_OK : no_memory(err);
}

static enum sp_refusal put_names(struct sp_identity *id, const X509 *leaf, struct sp_err *err)
{
    struct sp_names names;
    enum sp_refusal reason = sp_names_read(leaf, &id->arena, &names, err);
    id->subject_attrs = names.attrs;
    id->subject_attr_count = names.attr_count;
    id->issuer_attrs = names.issuer_attrs;
    id->issuer_attr_count = names.issuer_attr_count;
    id->uris = names.uris;
    id->dns_names = names.dns_names;
    id->emails = names.emails;
    id->ips = names.ips;
    return reason;
}

static enum sp_refusal put_claims(struct sp_identity *id, const X509 *leaf, struct sp_err *err)
{
    struct sp_claims claims;
    enum sp_refusal reason = sp_claims_read(leaf, &id->arena, &claims, err);
    id->has_eku = claims.has_eku;
    id->ekus = claims.ekus;
    id->policies = claims.policies;
    id->qualified = claims.qualified;
    return reason;
}

static enum sp_refusal fill(struct sp_identity *id, const X509 *leaf, struct sp_slice der, struct sp_err *err)
{
    enum sp_refusal reason = put_names(id, leaf, err);
    if (reason == SP_REFUSAL_none)
        reason = put_claims(id, leaf, err);
    if (reason != SP_REFUSAL_none)
        return reason;
    put_key(id, leaf);
    if (!sp_asn1_time(X509_get0_notBefore(leaf), &id->not_before) ||
        !sp_asn1_time(X509_get0_notAfter(leaf), &id->not_after)) {
        sp_err_set(err, "notBefore or notAfter is not a time");
        return SP_REFUSAL_certificate_invalid;
    }
    if (sp_identity_put_name(id, X509_get_subject_name(leaf), &id->subject, err) != SP_OK ||
        sp_identity_put_name(id, X509_get_issuer_name(leaf), &id->issuer, err) != SP_OK ||
        put_serial(id, X509_get0_serialNumber(leaf), err) != SP_OK ||
        put_signature_algorithm(id, leaf, err) != SP_OK || put_digests(id, leaf, der, err) != SP_OK ||
        put_leaf(id, der, err) != SP_OK)
        return SP_REFUSAL_out_of_memory; /* or what OpenSSL has not got, for all the good it does */
    return SP_REFUSAL_none;
}

struct sp_identity *sp_identity_start(void)
{
    struct sp_identity *id = SP_NEW(struct sp_identity);
    if (id == NULL)
        return NULL;
    atomic_init(&id->refs, 1);
    sp_arena_init(&id->arena, IDENTITY_MAX_BYTES);
    id->ocsp_cert_id = SP_SLICE("");
    return id;
}

/* To be freed with OPENSSL_free(der->ptr). */
static enum sp_rc encode(const X509 *cert, struct sp_slice *der, struct sp_err *err)
{
    unsigned char *bytes = NULL;
    int len = i2d_X509(cert, &bytes);
    if (len <= 0) {
        ERR_clear_error();
        return sp_err_set(err, "a certificate cannot be encoded");
    }
    *der = (struct sp_slice){(char *)bytes, (size_t)len};
    return SP_OK;
}

enum sp_refusal sp_identity_make(
    const X509 *leaf, const STACK_OF(X509) * chain, struct sp_identity **out, struct sp_err *err)
{
    enum sp_refusal reason = SP_REFUSAL_out_of_memory;
    struct sp_slice der = {NULL, 0};
    struct sp_buf list = {0};
    int total = chain != NULL ? sk_X509_num(chain) : 0;
    struct sp_identity *id = sp_identity_start();
    if (id == NULL || encode(leaf, &der, err) != SP_OK) {
        no_memory(err);
        goto out;
    }
    reason = fill(id, leaf, der, err);
    if (reason != SP_REFUSAL_none)
        goto out;
    reason = SP_REFUSAL_out_of_memory;
    for (int i = 1; i < total - 1; i++) {
        OPENSSL_free((void *)der.ptr);
        der.ptr = NULL;
        if (encode(sk_X509_value(chain, i), &der, err) != SP_OK)
            goto out;
        add_byte_sequence(&list, der);
    }
    if (put_list(&id->arena, &list, &id->client_cert_chain, err) != SP_OK ||
        (total > 0 && sp_links_put(id, chain, err) != SP_OK))
        goto out;
    *out = id;
    id = NULL;
    reason = SP_REFUSAL_none;
out:
    sp_buf_free(&list);
    OPENSSL_free((void *)der.ptr);
    sp_identity_free(id);
    return reason;
}

enum sp_rc sp_identity_from_x509(const struct x509_st *leaf, const struct stack_st_X509 *verified_chain,
    struct sp_identity **out, struct sp_err *err)
{
    return sp_identity_make(leaf, verified_chain, out, err) == SP_REFUSAL_none ? SP_OK : SP_FAIL;
}

enum sp_rc sp_identity_from_der(struct sp_slice leaf, const struct sp_slice *chain, size_t chain_count,
    struct sp_identity **out, struct sp_err *err)
{
    enum sp_rc rc = SP_FAIL;
    struct sp_slice der = {NULL, 0};
    struct sp_buf list = {0};
    struct sp_identity *id = NULL;
    X509 *cert = leaf.len <= SP_CERT_MAX_BYTES ? sp_load_der(leaf) : NULL;
    if (cert == NULL)
        return sp_err_set(err, "%s",
            leaf.len > SP_CERT_MAX_BYTES ? "the certificate is larger than 16 KiB"
                                         : "the certificate cannot be parsed");
    id = sp_identity_start();
    if (id == NULL) {
        no_memory(err);
        goto out;
    }
    /* Encoded anew: a BER spelling of the outer frame is not signed and must not give the same certificate a
     * second digest. */
    if (encode(cert, &der, err) != SP_OK || fill(id, cert, der, err) != SP_REFUSAL_none)
        goto out;
    for (size_t i = 0; i < chain_count; i++) {
        if (chain[i].len > SP_CERT_MAX_BYTES) {
            sp_err_set(err, "certificate %zu of the chain is larger than 16 KiB", i + 1);
            goto out;
        }
        add_byte_sequence(&list, chain[i]);
    }
    if (put_list(&id->arena, &list, &id->client_cert_chain, err) != SP_OK)
        goto out;
    *out = id;
    id = NULL;
    rc = SP_OK;
out:
    sp_buf_free(&list);
    OPENSSL_free((void *)der.ptr);
    sp_identity_free(id);
    X509_free(cert);
    return rc;
}

struct sp_identity *sp_identity_ref(struct sp_identity *id)
{
    atomic_fetch_add_explicit(&id->refs, 1, memory_order_relaxed);
    return id;
}

void sp_identity_free(struct sp_identity *id)
{
    if (id == NULL || atomic_fetch_sub_explicit(&id->refs, 1, memory_order_acq_rel) != 1)
        return;
    sp_arena_free(&id->arena);
    sp_free(id);
}
