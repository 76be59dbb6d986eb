/* Reading a CRL into a set of serials.
 *
 * A million entries as OpenSSL keeps them take 239 MB and a sort under a lock at the first look-up; a serial
 * here takes its bytes and 16 more. X509_CRL is used to parse and to verify the signature, and is let go.
 *
 * Only a complete CRL, issued by the CA that it speaks of, is taken: a delta, an indirect CRL, one limited to
 * some reasons or with a critical extension that is not understood would answer "not revoked" for certificates
 * that it knows nothing of. Such a one stays in the list with the reason in `unusable`, to be named. Which CRL
 * decides about a certificate is in revocation.c. */
#include "crl.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "asn1.h"
#include "sallyport/base/mem.h"

/* RFC 5280 allows 20 octets; issuers have gone beyond it. What is longer than this is not a serial number. */
#define SERIAL_MAX_BYTES 255

/* ---- the set ---- */

static int compare_serials(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return memcmp(a, b, a_len);
}

static int by_serial(const void *a, const void *b, void *pool)
{
    const struct sp_revoked *x = a, *y = b;
    const uint8_t *bytes = pool;
    return compare_serials(bytes + x->at, x->len, bytes + y->at, y->len);
}

/* One sign byte and the magnitude without leading zeros: equal numbers are equal bytes. False when too long. */
static bool serial_key(const ASN1_INTEGER *serial, uint8_t out[1 + SERIAL_MAX_BYTES], size_t *len)
{
    const unsigned char *p = ASN1_STRING_get0_data(serial);
    int n = ASN1_STRING_length(serial);
    while (n > 0 && p[0] == 0) {
        p++;
        n--;
    }
    if (n < 0 || n > SERIAL_MAX_BYTES)
        return false;
    out[0] = n > 0 && ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER;
    if (n > 0)
        memcpy(out + 1, p, (size_t)n);
    *len = 1 + (size_t)n;
    return true;
}

const struct sp_revoked *sp_crl_find(const struct sp_crl *c, const ASN1_INTEGER *serial)
{
    uint8_t key[1 + SERIAL_MAX_BYTES];
    size_t len = 0;
    if (!serial_key(serial, key, &len))
        return NULL; /* no CRL that was taken lists one of that length */
    for (size_t low = 0, high = c->revoked_count; low < high;) {
        size_t mid = low + (high - low) / 2;
        const struct sp_revoked *r = &c->revoked[mid];
        int order = compare_serials(key, len, c->serials + r->at, r->len);
        if (order == 0)
            return r;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

/* Reason code of an entry; *unusable is set for what makes the whole CRL one that we must not read as complete. */
static int8_t read_entry_extensions(const X509_REVOKED *entry, const char **unusable)
{
    int8_t reason = -1;
    int n = X509_REVOKED_get_ext_count(entry);
    for (int i = 0; i < n; i++) {
        X509_EXTENSION *ext = X509_REVOKED_get_ext(entry, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));
        if (nid == NID_certificate_issuer) {
            *unusable = "it is an indirect CRL (an entry names another issuer)";
        } else if (nid == NID_crl_reason) {
            ASN1_ENUMERATED *value = X509V3_EXT_d2i(ext);
            int64_t code = 0;
            if (value != NULL && ASN1_ENUMERATED_get_int64(&code, value) == 1 && code >= 0 && code <= 10)
                reason = (int8_t)code;
            ASN1_ENUMERATED_free(value);
        } else if (X509_EXTENSION_get_critical(ext) && nid != NID_invalidity_date) {
            *unusable = "an entry has a critical extension that is not understood";
        }
    }
    if (reason == CRL_REASON_REMOVE_FROM_CRL)
        *unusable = "an entry is removeFromCRL, which only a delta CRL may hold";
    return reason;
}

static enum sp_rc read_entries(struct sp_crl *c, X509_CRL *crl, struct sp_err *err)
{
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(crl);
    int n = list != NULL ? sk_X509_REVOKED_num(list) : 0;
    uint8_t key[1 + SERIAL_MAX_BYTES];
    size_t len = 0, total = 0;
    for (int i = 0; i < n; i++) {
        if (!serial_key(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(list, i)), key, &len))
            return sp_err_set(
                err, "entry %d has a serial number of more than %d bytes", i + 1, SERIAL_MAX_BYTES);
        total += len;
    }
    if (n <= 0)
        return SP_OK;
    c->revoked = sp_alloc((size_t)n, sizeof(*c->revoked));
    c->serials = sp_alloc(total, 1);
    if (total > UINT32_MAX || c->revoked == NULL || c->serials == NULL)
        return sp_err_set(err, "no memory for %d entries", n);
    for (int i = 0; i < n; i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(list, i);
        struct sp_revoked *r = &c->revoked[i];
        (void)serial_key(X509_REVOKED_get0_serialNumber(entry), key, &len);
        memcpy(c->serials + c->serial_bytes, key, len);
        r->at = (uint32_t)c->serial_bytes;
        r->len = (uint16_t)len;
        c->serial_bytes += len;
        if (!sp_asn1_time(X509_REVOKED_get0_revocationDate(entry), &r->date))
            return sp_err_set(err, "entry %d has no revocation date that can be read", i + 1);
        r->reason = read_entry_extensions(entry, &c->unusable);
    }
    c->revoked_count = (size_t)n;
    qsort_r(c->revoked, c->revoked_count, sizeof(*c->revoked), by_serial, c->serials);
    return SP_OK;
}

/* ---- extensions and scope ---- */

static const char *refuse_extensions(X509_CRL *crl)
{
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++) {
        X509_EXTENSION *ext = X509_CRL_get_ext(crl, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));
        if (nid == NID_delta_crl)
            return "it is a delta CRL, which does not list every revoked certificate";
        if (X509_EXTENSION_get_critical(ext) && nid != NID_issuing_distribution_point &&
            nid != NID_authority_key_identifier && nid != NID_crl_number)
            return "it has a critical extension that is not understood";
    }
    return NULL;
}

static const char *judge_idp(struct sp_crl *c, ISSUING_DIST_POINT *idp)
{
    if (idp->indirectCRL > 0)
        return "it is an indirect CRL, which speaks of other issuers' certificates";
    if (idp->onlysomereasons != NULL)
        return "it lists only certificates revoked for some reasons";
    if (idp->onlyattr > 0)
        return "it lists only attribute certificates";
    if (idp->onlyuser > 0 && idp->onlyCA > 0)
        return "its issuingDistributionPoint contradicts itself";
    c->scope = idp->onlyuser > 0 ? SP_CRL_USERS : idp->onlyCA > 0 ? SP_CRL_CAS : SP_CRL_ALL;
    if (idp->distpoint == NULL)
        return NULL;
    if (idp->distpoint->type != 0)
        return "its distribution point is named relative to the issuer, which is not supported";
    c->partition = idp->distpoint->name.fullname;
    idp->distpoint->name.fullname = NULL;
    return c->partition != NULL ? NULL : "its distribution point has no name";
}

static enum sp_rc read_idp(struct sp_crl *c, X509_CRL *crl, struct sp_err *err)
{
    int found = -1;
    ISSUING_DIST_POINT *idp = X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, &found, NULL);
    if (idp == NULL) {
        ERR_clear_error();
        if (found != -1)
            c->unusable = "its issuingDistributionPoint cannot be parsed or there are two";
        return SP_OK;
    }
    const char *why = judge_idp(c, idp);
    if (why != NULL)
        c->unusable = why;
    ISSUING_DIST_POINT_free(idp);
    int at = X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1);
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_CRL_get_ext(crl, at));
    size_t len = (size_t)ASN1_STRING_length(value);
    char *copy = sp_alloc(len + 1, 1);
    if (copy == NULL)
        return sp_err_set(err, "out of memory");
    memcpy(copy, ASN1_STRING_get0_data(value), len);
    c->idp = (struct sp_slice){copy, len};
    return SP_OK;
}

static void read_number(struct sp_crl *c, X509_CRL *crl)
{
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    if (number != NULL)
        sp_asn1_serial_text(number, c->number, sizeof(c->number));
    ASN1_INTEGER_free(number);
    ERR_clear_error();
}

static bool any_name_matches(const GENERAL_NAMES *a, const GENERAL_NAMES *b)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(a); i++) {
        for (int j = 0; j < sk_GENERAL_NAME_num(b); j++) {
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(a, i), sk_GENERAL_NAME_value(b, j)) == 0)
                return true;
        }
    }
    return false;
}

/* A CRL of one distribution point is complete only for a certificate that names this very point. */
static bool partition_covers(const struct sp_crl *c, const X509 *cert)
{
    bool covers = false;
    CRL_DIST_POINTS *points = X509_get_ext_d2i(cert, NID_crl_distribution_points, NULL, NULL);
    for (int i = 0; points != NULL && i < sk_DIST_POINT_num(points) && !covers; i++) {
        const DIST_POINT *point = sk_DIST_POINT_value(points, i);
        covers = point->reasons == NULL && point->CRLissuer == NULL && point->distpoint != NULL &&
                 point->distpoint->type == 0 &&
                 any_name_matches(c->partition, point->distpoint->name.fullname);
    }
    CRL_DIST_POINTS_free(points);
    ERR_clear_error();
    return covers;
}

bool sp_crl_covers(const struct sp_crl *c, const X509 *cert)
{
    /* Cached when the chain was built; the cast is for a getter that is not const in 3.0. */
    bool is_ca = (X509_get_extension_flags((X509 *)cert) & EXFLAG_CA) != 0;
    if ((c->scope == SP_CRL_USERS && is_ca) || (c->scope == SP_CRL_CAS && !is_ca))
        return false;
    return c->partition == NULL || partition_covers(c, cert);
}

/* ---- the signature ---- */

/* One DER element: its content, and *p moved behind it. */
static bool enter(const unsigned char **p, const unsigned char *end, struct sp_slice *content, int *tag)
{
    long len = 0;
    int class = 0;
    const unsigned char *q = *p;
    if (q >= end || (ASN1_get_object(&q, &len, tag, &class, end - q) & 0x81) != 0 ||
        class != V_ASN1_UNIVERSAL)
        return false;
    *content = (struct sp_slice){(const char *)q, (size_t)len};
    *p = q + len;
    return true;
}

/* The algorithm inside the signed part is the one outside. Otherwise the outer one is an unsigned claim.
 * OpenSSL has no getter for the inner one, and re-encoding for it would drop the bytes that were signed. */
static bool algorithms_agree(struct sp_slice der)
{
    struct sp_slice crl, tbs, item;
    int tag = 0;
    const unsigned char *p = (const unsigned char *)der.ptr;
    if (!enter(&p, p + der.len, &crl, &tag))
        return false;
    p = (const unsigned char *)crl.ptr;
    const unsigned char *end = p + crl.len;
    if (!enter(&p, end, &tbs, &tag))
        return false;
    const unsigned char *outer = p;
    if (!enter(&p, end, &item, &tag) || tag != V_ASN1_SEQUENCE)
        return false;
    size_t outer_len = (size_t)(p - outer);
    p = (const unsigned char *)tbs.ptr;
    end = p + tbs.len;
    const unsigned char *inner = p;
    if (!enter(&p, end, &item, &tag))
        return false;
    if (tag == V_ASN1_INTEGER) { /* the version */
        inner = p;
        if (!enter(&p, end, &item, &tag))
            return false;
    }
    return tag == V_ASN1_SEQUENCE && (size_t)(p - inner) == outer_len && memcmp(inner, outer, outer_len) == 0;
}

static bool verify_signature(const struct sp_crl *c, const X509 *issuer)
{
    const unsigned char *p = (const unsigned char *)c->der.ptr;
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    X509_CRL *again = c->parsed == NULL && key != NULL ? d2i_X509_CRL(NULL, &p, (long)c->der.len) : NULL;
    X509_CRL *crl = c->parsed != NULL ? c->parsed : again;
    bool verified = key != NULL && crl != NULL && X509_CRL_verify(crl, key) == 1;
    X509_CRL_free(again);
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

/* Under the lock. */
static void remember(struct sp_crl *c, const X509_PUBKEY *key, bool signed_it)
{
    unsigned n = atomic_load_explicit(&c->key_count, memory_order_relaxed);
    if (n == SP_CRL_KEYS)
        return;
    X509_PUBKEY *copy = X509_PUBKEY_dup(key);
    if (copy == NULL) {
        ERR_clear_error();
        return; /* verified again the next time */
    }
    c->keys[n] = (struct sp_crl_key){copy, signed_it};
    atomic_store_explicit(&c->key_count, n + 1, memory_order_release);
}

bool sp_crl_is_signed_by(struct sp_crl *c, const X509 *issuer)
{
    const X509_PUBKEY *key = X509_get_X509_PUBKEY(issuer);
    if (key == NULL ||
        (X509_get_key_usage((X509 *)issuer) & KU_CRL_SIGN) == 0) /* all bits set if there is no keyUsage */
        return false;
    int known = remembered(c, key);
    if (known >= 0)
        return known == 1;
    if (c->der.ptr == NULL) /* settled: its one signer is another key */
        return false;
    pthread_mutex_lock(&c->lock);
    known = remembered(c, key);
    if (known < 0) {
        known = verify_signature(c, issuer);
        remember(c, key, known == 1);
    }
    pthread_mutex_unlock(&c->lock);
    return known == 1;
}

bool sp_crl_has_known_signer(const struct sp_crl *c)
{
    unsigned n = atomic_load_explicit(&c->key_count, memory_order_acquire);
    for (unsigned i = 0; i < n; i++) {
        if (c->keys[i].signed_it)
            return true;
    }
    return false;
}

void sp_crl_settle(struct sp_crl *c)
{
    X509_CRL_free(c->parsed);
    c->parsed = NULL;
    if (!sp_crl_has_known_signer(c))
        return;
    OPENSSL_free((void *)c->der.ptr);
    c->der = (struct sp_slice){NULL, 0};
}

/* ---- making one ---- */

static enum sp_rc read_times(struct sp_crl *c, X509_CRL *crl, struct sp_err *err)
{
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    if (!sp_asn1_time(X509_CRL_get0_lastUpdate(crl), &c->this_update))
        return sp_err_set(err, "its thisUpdate is not a time");
    c->next_update = SP_CRL_NO_END;
    if (next != NULL && !sp_asn1_time(next, &c->next_update))
        return sp_err_set(err, "its nextUpdate is not a time");
    return SP_OK;
}

struct sp_crl *sp_crl_new(const char *source, X509_CRL *crl, struct sp_err *err)
{
    unsigned char *der = NULL;
    struct sp_crl *c = SP_NEW(struct sp_crl);
    if (c == NULL) {
        sp_err_set(err, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    atomic_init(&c->key_count, 0);
    c->source = strdup(source);
    c->issuer = X509_NAME_dup(X509_CRL_get_issuer(crl));
    int len = i2d_X509_CRL(crl, &der);
    if (len > 0)
        c->der = (struct sp_slice){(char *)der, (size_t)len};
    if (c->source == NULL || c->issuer == NULL || len <= 0) {
        sp_err_set(err, "out of memory");
        goto fail;
    }
    if (read_times(c, crl, err) != SP_OK || read_entries(c, crl, err) != SP_OK ||
        read_idp(c, crl, err) != SP_OK)
        goto fail;
    read_number(c, crl);
    if (X509_CRL_up_ref(crl) == 1)
        c->parsed = crl;
    const char *why = refuse_extensions(crl);
    if (why != NULL)
        c->unusable = why;
    if (!algorithms_agree(c->der))
        c->unusable = "the signature algorithm in its signed part is not the one outside";
    return c;
fail:
    ERR_clear_error();
    sp_crl_free(c);
    return NULL;
}

void sp_crl_free(struct sp_crl *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < atomic_load(&c->key_count); i++)
        X509_PUBKEY_free(c->keys[i].key);
    pthread_mutex_destroy(&c->lock);
    X509_CRL_free(c->parsed);
    OPENSSL_free((void *)c->der.ptr);
    sp_free((void *)c->idp.ptr);
    sp_free(c->revoked);
    sp_free(c->serials);
    GENERAL_NAMES_free(c->partition);
    X509_NAME_free(c->issuer);
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
