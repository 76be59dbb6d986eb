/* What a struct sp_trust is made of, for the files of `pki` that build it (trust.c), judge by it (verify.c) and
 * print it (describe.c). Immutable after sp_trust_new, but for its memory of accepted chains. */
#ifndef SP_SRC_PKI_TRUST_IMPL_H
#define SP_SRC_PKI_TRUST_IMPL_H

#include <openssl/x509_vfy.h>

#include "anchors.h"
#include "revocation.h"
#include "sallyport/config/config.h"
#include "sallyport/pki/trust.h"
#include "verified.h"

struct sp_trust {
    struct sp_cas cas;
    struct sp_crls crls;
    struct sp_crl_policy crl_policy;
    X509_STORE *store;
    struct sp_verified *verified; /* accepted lately; the one part that changes, behind its own locks */
    unsigned depth;
    uint8_t policy_id[32];
};

/* X509_STORE's get_issuer: asks the trust's own CAs instead of the store (verify.c). */
int sp_trust_get_issuer(X509 **issuer, X509_STORE_CTX *ctx, X509 *cert);

#endif
