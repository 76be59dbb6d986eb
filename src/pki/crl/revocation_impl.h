/* Between revocation.c, which judges by complete CRLs of the issuer itself, and revocation_points.c, which does what else
 * RFC 5280 knows. */
#ifndef SP_SRC_PKI_REVOCATION_IMPL_H
#define SP_SRC_PKI_REVOCATION_IMPL_H

#include "pki/crl/revocation.h"

/* The certificate that is judged. */
struct sp_judged {
    const struct sp_crls *set;
    const struct sp_crl_policy *policy;
    const struct sp_crl_context *context; /* may be NULL */
    const X509 *cert, *issuer;            /* NULL when there are but the facts below */
    const uint8_t *issuer_id;
    const uint8_t *serial; /* as a key; NULL: no CRL could list it */
    size_t serial_len;
    bool is_ca;
    int64_t now;
};

/* What was found; each CRL is an example for the message. */
struct sp_findings {
    const struct sp_crl *listed_in;
    struct sp_revoked entry;      /* if listed_in */
    unsigned fresh, any;          /* reasons that are cleared, and those that a stale CRL clears */
    const struct sp_crl *stalest; /* of those that clear a reason */
    const struct sp_crl *unusable, *unsigned_one, *not_in_force, *other_scope, *lone_delta, *some_reasons;
};

bool sp_judged_is_too_old(const struct sp_judged *j, int64_t next_update);
static inline bool sp_judged_is_in_scope(const struct sp_judged *j, const struct sp_crl *c)
{
    return c->scope == SP_CRL_ALL || (c->scope == SP_CRL_CAS) == j->is_ca;
}
/* `c`, in force and signed, clears the certificate of `reasons` until `next_update`. */
void sp_findings_clear(struct sp_findings *f, const struct sp_judged *j, const struct sp_crl *c,
    unsigned reasons, int64_t next_update);

/* Everything in the set, for each distribution point of the certificate. */
void sp_judged_look_everywhere(const struct sp_judged *j, struct sp_findings *f);

#endif
