/* Making identities, for the files of `pki` that do. */
#ifndef SP_SRC_PKI_CHAIN_IDENTITY_H
#define SP_SRC_PKI_CHAIN_IDENTITY_H

#include <openssl/x509.h>

#include "sallyport/obs/refusal.h"
#include "sallyport/pki/identity.h"

/* What sp_identity_from_x509 does, with the reason: certificate_invalid, hostile_name or out_of_memory. */
SP_MUST_USE enum sp_refusal sp_identity_make(
    const X509 *leaf, const STACK_OF(X509) * chain, struct sp_identity **out, struct sp_err *err);

/* An empty one, of one owner. NULL without memory. */
SP_MUST_USE struct sp_identity *sp_identity_start(void);
/* sha256 is there: the texts of it. */
SP_MUST_USE enum sp_rc sp_identity_put_fingerprint(struct sp_identity *id, struct sp_err *err);
/* As text, RFC 4514. */
SP_MUST_USE enum sp_rc sp_identity_put_name(
    struct sp_identity *id, const X509_NAME *name, struct sp_slice *out, struct sp_err *err);

#endif
