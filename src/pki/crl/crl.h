/* One CRL, read once into what a handshake needs: whom it speaks of, when it holds, and sorted sets of serials.
 * Shared by reference count between trusts and the shelf; immutable once read except for the remembered keys (see
 * sp_crl_is_signed_by). Reading one is in crl_read.h. Private to `pki`. */
#ifndef SP_SRC_PKI_CRL_H
#define SP_SRC_PKI_CRL_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

#include "pki/crl/serials.h"
#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

/* The certificates that a CRL lists none of, by its issuingDistributionPoint. */
enum sp_crl_scope { SP_CRL_ALL, SP_CRL_USERS, SP_CRL_CAS };

#define SP_CRL_NO_END      INT64_MAX
#define SP_CRL_KEYS        4
#define SP_CRL_ALL_REASONS 0x1feU /* bits 1 to 8 of ReasonFlags; bit 0 is unused */
#define SP_CRL_NUMBER      48

/* One that was asked about. */
struct sp_crl_key {
    uint8_t id[32]; /* sp_crl_issuer_id */
    X509_PUBKEY *key;
    bool signed_it;
};

/* What an indirect CRL lists of another issuer. */
struct sp_crl_other {
    X509_NAME *issuer;
    unsigned long hash; /* of the name */
    struct sp_serials serials;
};

/* What it takes to try a key, without the bytes that were signed. */
struct sp_crl_proof {
    X509_ALGOR *algorithm;
    int key_nid, digest_nid; /* digest_nid NID_undef: the algorithm wants `signed_part` as a whole */
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len;
    struct sp_slice
        signed_part; /* absent where the digest does, and once sp_crl_settle has dropped it. Owned */
    struct sp_slice signature; /* owned */
};

struct sp_crl {
    atomic_uint refs;
    char *source; /* "crl/root.pem, CRL 2" */
    X509_NAME *issuer;
    uint8_t issuer_hash[32];          /* SHA-256 of its DER */
    int64_t this_update, next_update; /* next_update may be SP_CRL_NO_END */
    enum sp_crl_scope scope;
    bool is_indirect;           /* may list certificates of other issuers */
    bool is_delta;              /* lists what has changed since the complete one whose number is `base` */
    unsigned reasons;           /* certificates revoked for others are not listed: bits of ReasonFlags */
    DIST_POINT_NAME *partition; /* the distribution point it is limited to; NULL: not limited */
    struct sp_slice idp;        /* DER of the issuingDistributionPoint's value; absent if none. Owned */
    char number[SP_CRL_NUMBER]; /* CRLNumber in hex, or "" */
    char base[SP_CRL_NUMBER];   /* BaseCRLNumber in hex */
    char *unusable;             /* why it is left out; NULL: it is not. Owned */
    size_t revoked_count;
    struct sp_serials serials;   /* of certificates of `issuer` */
    struct sp_crl_other *others; /* owned */
    size_t other_count;
    struct sp_crl_proof proof;
    /* The issuers asked about so far. Written under `lock`, published by `key_count`, never changed afterwards. */
    struct sp_crl_key keys[SP_CRL_KEYS];
    atomic_uint key_count;
    pthread_mutex_t lock;
};

/* Empty, with one reference; NULL without memory. Only for crl_read.c. */
SP_MUST_USE struct sp_crl *sp_crl_new(const char *source);
struct sp_crl *sp_crl_ref(struct sp_crl *c); /* one more owner; any thread */
void sp_crl_free(struct sp_crl *c);          /* one owner fewer; any thread; takes NULL */

/* Complete in itself: direct, no delta, all reasons, not limited to a distribution point. */
static inline bool sp_crl_is_plain(const struct sp_crl *c)
{
    return !c->is_indirect && !c->is_delta && c->reasons == SP_CRL_ALL_REASONS && c->partition == NULL;
}

/* By which a CRL remembers its issuers and an identity those of its chain (struct sp_chain_link): SHA-256 over the
 * name and the SubjectPublicKeyInfo, both DER. False without memory. */
SP_MUST_USE bool sp_crl_issuer_id(const X509_NAME *name, const X509_PUBKEY *key, uint8_t id[32]);
/* Whether the key of `issuer` signed the CRL and `issuer` may sign CRLs. The caller has verified `issuer`, or
 * has it from the operator. Remembers the answer for the first SP_CRL_KEYS keys, so that the signature is
 * verified once and no lock is taken from then on; a mutex serialises the first times. Any thread. */
SP_MUST_USE bool sp_crl_is_signed_by(struct sp_crl *c, const X509 *issuer);
/* Whether it is remembered that the key of `issuer` did not sign it. No lock, no allocation. */
bool sp_crl_is_known_unsigned_by(const struct sp_crl *c, const X509 *issuer);
/* Of a key already asked about: 1 it signed, 0 it did not, -1 not known. No lock, no allocation. */
int sp_crl_was_signed_by(const struct sp_crl *c, const uint8_t id[32]);
/* Whether the key that is known to have signed `a` has signed `b` too; false when none is known. */
SP_MUST_USE bool sp_crl_has_signer_of(struct sp_crl *b, const struct sp_crl *a);
/* Whether a key that `a` was asked about, whether it signed `a` or not, has signed `b`: 1 or 0; -1: none was. */
int sp_crl_is_signed_by_asked(struct sp_crl *b, const struct sp_crl *a);
/* Whether any key asked about so far signed it. */
bool sp_crl_has_known_signer(const struct sp_crl *c);
/* The same key is known to have signed both. */
bool sp_crl_have_same_signer(const struct sp_crl *a, const struct sp_crl *b);
/* Drops the signed part when a signer is known, for then no other key will be asked about. Any thread. */
void sp_crl_settle(struct sp_crl *c);

/* The serial number as a key of struct sp_serials. False when it is too long for any CRL. */
SP_MUST_USE bool sp_crl_serial_key(const ASN1_INTEGER *serial, uint8_t out[SP_SERIAL_MAX_KEY], size_t *len);
/* The entry of a certificate by its issuer and serial number, if there is one. */
SP_MUST_USE bool sp_crl_find(const struct sp_crl *c, const X509_NAME *issuer, const uint8_t *key,
    size_t key_len, struct sp_revoked *out);

/* Less than 0, 0, more than 0. Numbers in hex as above; "" is less than any. */
int sp_crl_compare_numbers(const char *a, const char *b);
/* By thisUpdate; of two that were made in the same second the higher CRLNumber is the newer. */
bool sp_crl_is_newer(const struct sp_crl *a, const struct sp_crl *b);

/* "keyCompromise"; "no reason given" for -1. */
const char *sp_crl_reason_name(int reason);

#endif
