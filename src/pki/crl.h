/* One CRL, read once into what a handshake needs: whom it speaks of, when it holds, and a sorted set of
 * serials. Immutable after sp_crl_new except for the remembered keys (see sp_crl_is_signed_by). Private to
 * `pki`. */
#ifndef SP_SRC_PKI_CRL_H
#define SP_SRC_PKI_CRL_H

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

/* The certificates that a CRL lists none of, by its issuingDistributionPoint. */
enum sp_crl_scope { SP_CRL_ALL, SP_CRL_USERS, SP_CRL_CAS };

#define SP_CRL_NO_END INT64_MAX
#define SP_CRL_KEYS   4

struct sp_revoked {
    int64_t date;
    uint32_t at; /* of the serial's bytes in the set's pool */
    uint16_t len;
    int8_t reason; /* CRLReason, or -1 when none is given */
};

struct sp_crl_key {
    X509_PUBKEY *key;
    bool signed_it;
};

struct sp_crl {
    char *source; /* "crl/root.pem, CRL 2" */
    X509_NAME *issuer;
    int64_t this_update, next_update; /* next_update may be SP_CRL_NO_END */
    enum sp_crl_scope scope;
    GENERAL_NAMES *partition; /* distribution points it is limited to; NULL: not limited */
    struct sp_slice idp;      /* DER of the issuingDistributionPoint value; absent if none. Owned */
    char number[48];          /* CRLNumber in hex, or "" */
    const char *unusable;     /* why it is not taken for a complete CRL; NULL: it is */
    struct sp_revoked *revoked;
    size_t revoked_count;
    uint8_t *serials; /* pool: a sign byte, then the magnitude, for each */
    size_t serial_bytes;
    /* The issuers asked about so far. Written under `lock`, published by `key_count`, never changed afterwards. */
    struct sp_crl_key keys[SP_CRL_KEYS];
    atomic_uint key_count;
    pthread_mutex_t lock;
    X509_CRL *
        parsed; /* only while loading, so that its signature is tried without parsing again; see sp_crl_settle */
    struct sp_slice der; /* only until it is known whose it is. Owned */
};

/* Reads `crl` (borrowed). An unusable one is returned too, with `unusable` set. NULL: no memory, or a value
 * that cannot be read; `err` says which. Hands over. */
SP_MUST_USE struct sp_crl *sp_crl_new(const char *source, X509_CRL *crl, struct sp_err *err);
void sp_crl_free(struct sp_crl *c); /* takes NULL */

/* Whether the key of `issuer` signed the CRL and `issuer` may sign CRLs. The caller has verified `issuer`, or
 * has it from the operator. Remembers the answer for the first SP_CRL_KEYS keys, so that the signature is
 * verified once and no lock is taken from then on; a mutex serialises the first times. Any thread. */
SP_MUST_USE bool sp_crl_is_signed_by(struct sp_crl *c, const X509 *issuer);
/* Whether any key asked about so far signed it. */
bool sp_crl_has_known_signer(const struct sp_crl *c);
/* Loading is over, before the CRL is shared between threads: drops OpenSSL's form, and the encoded one too when
 * a signer is known, for then no other key will be asked about. */
void sp_crl_settle(struct sp_crl *c);

/* The entry of a serial number, or NULL. */
const struct sp_revoked *sp_crl_find(const struct sp_crl *c, const ASN1_INTEGER *serial);
/* Whether `cert` is among the certificates that the CRL speaks of (scope and partition; not issuer and key). */
SP_MUST_USE bool sp_crl_covers(const struct sp_crl *c, const X509 *cert);

/* "keyCompromise"; "no reason given" for -1. */
const char *sp_crl_reason_name(int reason);

#endif
