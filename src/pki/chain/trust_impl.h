/* What a struct sp_trust is made of, for the files of `pki` that build it (trust.c), judge by it (verify.c) and
 * print it (describe.c). Immutable after sp_trust_new, but for its memory of accepted chains. */
#ifndef SP_SRC_PKI_TRUST_IMPL_H
#define SP_SRC_PKI_TRUST_IMPL_H

#include <openssl/x509_vfy.h>
#include <stdatomic.h>

#include "pki/chain/verified.h"
#include "pki/crl/revocation.h"
#include "pki/x509/anchors.h"
#include "sallyport/config/config.h"
#include "sallyport/pki/requirements.h"
#include "sallyport/pki/trust.h"

struct sp_trust {
    atomic_uint refs;
    struct sp_cas cas;
    STACK_OF(X509) * intermediates; /* known and not trusted; may be empty */
    struct sp_crls crls;
    struct sp_crl_policy crl_policy;
    struct sp_requirements *requirements; /* NULL: none */
    X509_STORE *store;
    struct sp_verified *verified; /* accepted lately; the one part that changes, behind its own locks */
    unsigned depth;
    int purpose;               /* X509_PURPOSE_SSL_CLIENT, or _SERVER of backends */
    bool asks_ocsp;            /* identities are given what a responder is asked by */
    int64_t crl_warn_before_s; /* 0: a tenth of a CRL's lifetime */
    int64_t built_at;
    uint8_t policy_id[32];
};

/* The digest of all that decides who passes, into t->policy_id; the CAs and intermediates are there. SP_FAIL: no memory.
 * (policy_id.c) */
SP_MUST_USE enum sp_rc sp_trust_put_policy_id(struct sp_trust *t, const struct sp_config_client_auth *auth);

#endif
