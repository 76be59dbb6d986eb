/* A CRL as an object: who holds it, whose key signed it, what it lists. How one is read is in crl_read.c, which of
 * several decides in revocation.c. */
#include "pki/crl/crl.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "pki/x509/asn1.h"
#include "sallyport/base/mem.h"

/* ---- looking up ---- */

bool sp_crl_serial_key(const ASN1_INTEGER *serial, uint8_t out[SP_SERIAL_MAX_KEY], size_t *len)
{
    const unsigned char *p = ASN1_STRING_get0_data(serial);
    int n = ASN1_STRING_length(serial);
    while (n > 0 && p[0] == 0) {
        p++;
        n--;
    }
    if (n < 0 || n > SP_SERIAL_MAX_BYTES)
        return false;
    out[0] = n > 0 && ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER;
    if (n > 0)
        memcpy(out + 1, p, (size_t)n);
    *len = 1 + (size_t)n;
    return true;
}

bool sp_crl_find(const struct sp_crl *c, const X509_NAME *issuer, const uint8_t *key, size_t key_len,
    struct sp_revoked *out)
{
    if (!c->is_indirect || X509_NAME_cmp(c->issuer, issuer) == 0)
        return sp_serials_find(&c->serials, key, key_len, out);
    for (size_t i = 0; i < c->other_count; i++) {
        if (X509_NAME_cmp(c->others[i].issuer, issuer) == 0)
            return sp_serials_find(&c->others[i].serials, key, key_len, out);
    }
    return false;
}

/* ---- the signature ---- */

static bool verify_digest(const struct sp_crl_proof *p, EVP_PKEY *key)
{
    const EVP_MD *md = EVP_get_digestbynid(p->digest_nid);
    EVP_PKEY_CTX *ctx = md != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_type(p->key_nid)
                            ? EVP_PKEY_CTX_new(key, NULL)
                            : NULL;
    bool verified = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
                    EVP_PKEY_CTX_set_signature_md(ctx, md) == 1 &&
                    EVP_PKEY_verify(ctx, (const unsigned char *)p->signature.ptr, p->signature.len, p->digest,
                        p->digest_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return verified;
}

/* RSA-PSS takes its parameters from the AlgorithmIdentifier, Ed25519 and Ed448 have no digest of their own: OpenSSL
 * does what it does for a certificate, over bytes that are a SEQUENCE already. */
static bool verify_whole(const struct sp_crl_proof *p, EVP_PKEY *key)
{
    ASN1_BIT_STRING *signature = ASN1_BIT_STRING_new();
    ASN1_STRING *part = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
    bool verified = signature != NULL && part != NULL &&
                    ASN1_STRING_set(signature, p->signature.ptr, (int)p->signature.len) == 1 &&
                    ASN1_STRING_set(part, p->signed_part.ptr, (int)p->signed_part.len) == 1;
    if (verified) {
        signature->flags = (signature->flags & ~0x0fL) | ASN1_STRING_FLAG_BITS_LEFT; /* all bits count */
        verified = ASN1_item_verify(ASN1_ITEM_rptr(ASN1_SEQUENCE), p->algorithm, signature, part, key) == 1;
    }
    ASN1_STRING_free(part);
    ASN1_BIT_STRING_free(signature);
    return verified;
}

static bool verify_signature(const struct sp_crl *c, const X509_PUBKEY *key)
{
    EVP_PKEY *pkey = X509_PUBKEY_get0(key);
    bool verified = pkey != NULL && c->proof.algorithm != NULL &&
                    (c->proof.digest_nid != NID_undef
                            ? verify_digest(&c->proof, pkey)
                            : c->proof.signed_part.ptr != NULL && verify_whole(&c->proof, pkey));
    ERR_clear_error();
    return verified;
}

/* 1 it signed, 0 it did not, -1 not asked about yet. No lock: entries below key_count never change. */
static int remembered(const struct sp_crl *c, const X509_PUBKEY *key)
{
    unsigned n = atomic_load_explicit(&c->key_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        if (sp_asn1_same_key(c->keys[i].key, key))
            return c->keys[i].signed_it;
    }
    return -1;
}

bool sp_crl_issuer_id(const X509_NAME *name, const X509_PUBKEY *key, uint8_t id[32])
{
    const unsigned char *name_der = NULL;
    size_t name_len = 0;
    unsigned char *key_der = NULL;
    int key_len = i2d_X509_PUBKEY(key, &key_der);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool made = key_len > 0 && md != NULL && X509_NAME_get0_der(name, &name_der, &name_len) == 1 &&
                EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(md, name_der, name_len) == 1 &&
                EVP_DigestUpdate(md, key_der, (size_t)key_len) == 1 && EVP_DigestFinal_ex(md, id, NULL) == 1;
    EVP_MD_CTX_free(md);
    OPENSSL_free(key_der);
    return made;
}

/* Under the lock. */
static void remember(struct sp_crl *c, const X509_NAME *name, const X509_PUBKEY *key, bool signed_it)
{
    unsigned n = atomic_load_explicit(&c->key_count, memory_order_relaxed);
    if (n >= SP_CRL_KEYS - (signed_it ? 0U : 1U)) /* the last place is for one that did */
        return;
    X509_PUBKEY *copy = X509_PUBKEY_dup(key);
    if (copy == NULL || !sp_crl_issuer_id(name, key, c->keys[n].id)) {
        X509_PUBKEY_free(copy);
        ERR_clear_error();
        return; /* verified again the next time */
    }
    c->keys[n].key = copy;
    c->keys[n].signed_it = signed_it;
    atomic_store_explicit(&c->key_count, n + 1, memory_order_release);
}

static bool is_signed_by_key(struct sp_crl *c, const X509_NAME *name, const X509_PUBKEY *key)
{
    int known = remembered(c, key);
    if (known >= 0)
        return known == 1;
    pthread_mutex_lock(&c->lock);
    known = remembered(c, key);
    if (known < 0) {
        known = verify_signature(c, key);
        remember(c, name, key, known == 1);
    }
    pthread_mutex_unlock(&c->lock);
    return known == 1;
}

bool sp_crl_is_signed_by(struct sp_crl *c, const X509 *issuer)
{
    const X509_PUBKEY *key = X509_get_X509_PUBKEY(issuer);
    /* all bits are set if there is no keyUsage; the cast is for a getter that is not const in 3.0 */
    if (key == NULL || (X509_get_key_usage((X509 *)issuer) & KU_CRL_SIGN) == 0)
        return false;
    return is_signed_by_key(c, X509_get_subject_name(issuer), key);
}

bool sp_crl_is_known_unsigned_by(const struct sp_crl *c, const X509 *issuer)
{
    const X509_PUBKEY *key = X509_get_X509_PUBKEY(issuer);
    return key == NULL || remembered(c, key) == 0;
}

static const struct sp_crl_key *known_signer(const struct sp_crl *c)
{
    unsigned n = atomic_load_explicit(&c->key_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        if (c->keys[i].signed_it)
            return &c->keys[i];
    }
    return NULL;
}

bool sp_crl_has_signer_of(struct sp_crl *b, const struct sp_crl *a)
{
    const struct sp_crl_key *signer = known_signer(a);
    return signer != NULL && is_signed_by_key(b, b->issuer, signer->key);
}

int sp_crl_is_signed_by_asked(struct sp_crl *b, const struct sp_crl *a)
{
    unsigned n = atomic_load_explicit(&a->key_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        if (is_signed_by_key(b, b->issuer, a->keys[i].key))
            return 1;
    }
    return n > 0 ? 0 : -1;
}

int sp_crl_was_signed_by(const struct sp_crl *c, const uint8_t id[32])
{
    unsigned n = atomic_load_explicit(&c->key_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        if (memcmp(c->keys[i].id, id, 32) == 0)
            return c->keys[i].signed_it;
    }
    return -1;
}

bool sp_crl_has_known_signer(const struct sp_crl *c)
{
    return known_signer(c) != NULL;
}

bool sp_crl_have_same_signer(const struct sp_crl *a, const struct sp_crl *b)
{
    const struct sp_crl_key *x = known_signer(a), *y = known_signer(b);
    return x != NULL && y != NULL && sp_asn1_same_key(x->key, y->key);
}

void sp_crl_settle(struct sp_crl *c)
{
    if (!sp_crl_has_known_signer(c))
        return;
    pthread_mutex_lock(&c->lock);
    free((void *)c->proof.signed_part.ptr);
    c->proof.signed_part = (struct sp_slice){NULL, 0};
    pthread_mutex_unlock(&c->lock);
}

/* ---- order ---- */

int sp_crl_compare_numbers(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    return la != lb ? (la < lb ? -1 : 1) : strcmp(a, b);
}

bool sp_crl_is_newer(const struct sp_crl *a, const struct sp_crl *b)
{
    if (a->this_update != b->this_update)
        return a->this_update > b->this_update;
    return sp_crl_compare_numbers(a->number, b->number) > 0;
}

/* ---- its life ---- */

struct sp_crl *sp_crl_new(const char *source)
{
    struct sp_crl *c = SP_NEW(struct sp_crl);
    if (c == NULL)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    atomic_init(&c->refs, 1);
    atomic_init(&c->key_count, 0);
    c->next_update = SP_CRL_NO_END;
    c->reasons = SP_CRL_ALL_REASONS;
    c->source = strdup(source);
    if (c->source == NULL) {
        sp_crl_free(c);
        return NULL;
    }
    return c;
}

struct sp_crl *sp_crl_ref(struct sp_crl *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void sp_crl_free(struct sp_crl *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < atomic_load(&c->key_count); i++)
        X509_PUBKEY_free(c->keys[i].key);
    pthread_mutex_destroy(&c->lock);
    X509_ALGOR_free(c->proof.algorithm);
    free((void *)c->proof.signed_part.ptr);
    sp_free((void *)c->proof.signature.ptr);
    sp_free((void *)c->idp.ptr);
    sp_serials_free(&c->serials);
    for (size_t i = 0; i < c->other_count; i++) {
        X509_NAME_free(c->others[i].issuer);
        sp_serials_free(&c->others[i].serials);
    }
    free(c->others);
    DIST_POINT_NAME_free(c->partition);
    X509_NAME_free(c->issuer);
    free(c->unusable);
    free(c->source);
    sp_free(c);
}

const char *sp_crl_reason_name(int reason)
{
    static const char *const names[] = {"unspecified", "keyCompromise", "cACompromise", "affiliationChanged",
        "superseded", "cessationOfOperation", "certificateHold", "reserved", "removeFromCRL",
        "privilegeWithdrawn", "aACompromise"};
    return reason >= 0 && (size_t)reason < SP_COUNTOF(names) ? names[reason] : "no reason given";
}
