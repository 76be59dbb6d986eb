/* What a certificate says of itself beside its names: what it is for, under which policies it was issued, and what it
 * states as a qualified one. Private to `pki`. */
#ifndef SP_SRC_PKI_CLAIMS_H
#define SP_SRC_PKI_CLAIMS_H

#include <openssl/x509.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"
#include "sallyport/obs/refusal.h"
#include "sallyport/pki/identity.h"

/* Of each kind. */
#define SP_CERT_MAX_OIDS 100

struct sp_claims {
    bool has_eku;
    struct sp_slices ekus, policies; /* dotted OIDs */
    struct sp_qualified qualified;
};

/* Reads extendedKeyUsage, certificatePolicies and qcStatements of `cert` into `arena`. Not SP_REFUSAL_none:
 * certificate_invalid (malformed, or there twice), hostile_name or out_of_memory, and `err` says which. */
SP_MUST_USE enum sp_refusal sp_claims_read(
    const X509 *cert, struct sp_arena *arena, struct sp_claims *out, struct sp_err *err);

/* "clientAuth" or a dotted OID to the dotted OID; absent: neither. Borrows `text` or is a constant. */
SP_MUST_USE struct sp_slice sp_claims_eku_oid(struct sp_slice text);
/* A dotted OID as it is; absent: none. Policies have no names. */
SP_MUST_USE struct sp_slice sp_claims_policy_oid(struct sp_slice text);

#endif
