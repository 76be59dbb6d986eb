/* From a verified certificate to plain data. Everything that is asked for again and again later (texts,
 * digests, base64 for the headers) is made here once, in the identity's own arena. The names are judged in
 * names.c; the chain was in verify.c. */
#include "sallyport/pki/identity.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pki/chain/links.h"
#include "pki/x509/asn1.h"
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

/* base64url without padding, RFC 8705 x5t#S256 */
static enum sp_rc put_b64url(struct sp_identity *id, struct sp_err *err)
{
    char text[4 * ((sizeof(id->sha256) + 2) / 3) + 1];
    int len = EVP_EncodeBlock((unsigned char *)text, id->sha256, sizeof(id->sha256));
    for (int i = 0; i < len; i++)
        text[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    while (text[len - 1] == '=')
        len--;
    id->sha256_b64url = sp_arena_copy(&id->arena, (struct sp_slice){text, (size_t)len});
    return id->sha256_b64url.ptr != NULL ? SP_OK : no_memory(err);
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

static enum sp_rc put_text(
    struct sp_arena *arena, const X509_NAME *name, struct sp_slice *out, struct sp_err *err)
{
    size_t len = 0;
    char *text = sp_asn1_name_dup(name, &len);
    if (text == NULL)
        return sp_err_set(err, "a distinguished name cannot be printed");
    *out = sp_arena_copy(arena, (struct sp_slice){text, len});
    OPENSSL_free(text);
    return out->ptr != NULL ? SP_OK : no_memory(err);
}

static enum sp_rc put_digests(struct sp_identity *id, struct sp_slice der, struct sp_err *err)
{
    char hex[2 * sizeof(id->sha256) + 1];
    if (EVP_Digest(der.ptr, der.len, id->sha256, NULL, EVP_sha256(), NULL) != 1) {
        ERR_clear_error();
        return sp_err_set(err, "SHA-256 is not available");
    }
    id->sha256_hex = sp_arena_copy(&id->arena, sp_slice_of(sp_hex(id->sha256, sizeof(id->sha256), hex)));
    if (id->sha256_hex.ptr == NULL)
        return no_memory(err);
    return put_b64url(id, err);
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

static enum sp_rc fill(struct sp_identity *id, const X509 *leaf, struct sp_slice der, struct sp_err *err)
{
    struct sp_names names;
    if (sp_names_read(leaf, &id->arena, &names, err) != SP_REFUSAL_none)
        return SP_FAIL;
    id->subject_attrs = names.attrs;
    id->subject_attr_count = names.attr_count;
    id->uris = names.uris;
    id->dns_names = names.dns_names;
    id->emails = names.emails;
    id->ips = names.ips;
    if (!sp_asn1_time(X509_get0_notBefore(leaf), &id->not_before) ||
        !sp_asn1_time(X509_get0_notAfter(leaf), &id->not_after))
        return sp_err_set(err, "notBefore or notAfter is not a time");
    if (put_text(&id->arena, X509_get_subject_name(leaf), &id->subject, err) != SP_OK ||
        put_text(&id->arena, X509_get_issuer_name(leaf), &id->issuer, err) != SP_OK ||
        put_serial(id, X509_get0_serialNumber(leaf), err) != SP_OK || put_digests(id, der, err) != SP_OK)
        return SP_FAIL;
    return put_leaf(id, der, err);
}

static struct sp_identity *start(void)
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

enum sp_rc sp_identity_from_x509(const struct x509_st *leaf, const struct stack_st_X509 *verified_chain,
    struct sp_identity **out, struct sp_err *err)
{
    enum sp_rc rc = SP_FAIL;
    struct sp_slice der = {NULL, 0};
    struct sp_buf chain = {0};
    int total = verified_chain != NULL ? sk_X509_num(verified_chain) : 0;
    struct sp_identity *id = start();
    if (id == NULL)
        return no_memory(err);
    if (encode(leaf, &der, err) != SP_OK || fill(id, leaf, der, err) != SP_OK)
        goto out;
    for (int i = 1; i < total - 1; i++) {
        OPENSSL_free((void *)der.ptr);
        der.ptr = NULL;
        if (encode(sk_X509_value(verified_chain, i), &der, err) != SP_OK)
            goto out;
        add_byte_sequence(&chain, der);
    }
    if (put_list(&id->arena, &chain, &id->client_cert_chain, err) != SP_OK ||
        (total > 0 && sp_links_put(id, verified_chain, err) != SP_OK))
        goto out;
    *out = id;
    id = NULL;
    rc = SP_OK;
out:
    sp_buf_free(&chain);
    OPENSSL_free((void *)der.ptr);
    sp_identity_free(id);
    return rc;
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
    id = start();
    if (id == NULL) {
        no_memory(err);
        goto out;
    }
    /* Encoded anew: a BER spelling of the outer frame is not signed and must not give the same certificate a
     * second digest. */
    if (encode(cert, &der, err) != SP_OK || fill(id, cert, der, err) != SP_OK)
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
