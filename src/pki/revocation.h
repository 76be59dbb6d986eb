/* The CRLs of one trust, and what they say of a certificate. Private to `pki`. */
#ifndef SP_SRC_PKI_REVOCATION_H
#define SP_SRC_PKI_REVOCATION_H

#include <openssl/x509.h>

#include "crl.h"
#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/obs/refusal.h"

struct sp_crls {
    struct sp_crl **items; /* sorted by issuer, newest first within one; owned */
    size_t count, room;
};

struct sp_crl_policy {
    enum sp_crl_missing missing;
    enum sp_crl_stale stale;
    int64_t grace_s;
};

/* Takes `c` over, also when it fails (no memory). */
SP_MUST_USE enum sp_rc sp_crls_add(struct sp_crls *set, struct sp_crl *c);
/* After the last sp_crls_add: sorts, and drops what a newer CRL of the same signer and scope replaces at `now`. */
void sp_crls_finish(struct sp_crls *set, int64_t now);
void sp_crls_free(struct sp_crls *set);

/* The CRLs whose issuer is `name`: items[*first] to items[*end - 1]. */
void sp_crls_of(const struct sp_crls *set, const X509_NAME *name, size_t *first, size_t *end);
/* The newest usable CRL of `ca` that is in force and covers all its certificates, or NULL. For reports. */
struct sp_crl *sp_crls_current(const struct sp_crls *set, const X509 *ca, int64_t now);

/* What the CRLs of `issuer` say of `cert`, which `issuer` has verifiably signed: SP_REFUSAL_none, revoked,
 * crl_missing, crl_stale or crl_invalid; `detail` tells of which CRL and since when. Any thread; no lock once a
 * CRL's signer is known. */
SP_MUST_USE enum sp_refusal sp_crls_judge(const struct sp_crls *set, const struct sp_crl_policy *policy,
    const X509 *cert, const X509 *issuer, int64_t now, char *detail, size_t room);

/* The first moment after `now` at which sp_crls_judge could say something else of any certificate: a CRL comes
 * into force, or has become too old. INT64_MAX: never. */
int64_t sp_crls_next_change(const struct sp_crls *set, const struct sp_crl_policy *policy, int64_t now);

#endif
