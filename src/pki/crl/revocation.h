/* The CRLs of one trust, and what they say of a certificate. Private to `pki`. */
#ifndef SP_SRC_PKI_REVOCATION_H
#define SP_SRC_PKI_REVOCATION_H

#include <openssl/x509.h>

#include "pki/crl/crl.h"
#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/obs/refusal.h"

struct sp_cas;
struct sp_chain_link;

/* What is known of a CRL of the set that is not in the CRL itself, which others may share. */
struct sp_crls_info {
    struct sp_crl *crl; /* a reference */
    char *url;          /* it was fetched from, without the query, which may hold a secret; or NULL */
    char *trouble;      /* what is wrong with its file by now, while this one stays in force; or NULL */
    int64_t loaded_at;  /* when its file was last read and it was good */
};

/* CRLs whose issuer has the same bytes. */
struct sp_crls_group {
    uint8_t issuer_hash[32];
    size_t first, end; /* the items of its name, those that are written otherwise included */
};

/* Filled by sp_crls_add, then ordered by sp_crls_finish; immutable from then on. */
struct sp_crls {
    struct sp_crl **items;      /* sorted by issuer, newest first within one; after sp_crls_finish */
    struct sp_crls_info *infos; /* of each of the items */
    size_t count, room;
    struct sp_crls_group *groups; /* sorted by issuer_hash */
    size_t group_count;
    bool has_indirect;
};

struct sp_crl_policy {
    enum sp_crl_missing missing;
    enum sp_crl_stale stale;
    int64_t grace_s;
};

/* Takes over what `info` holds, also when it fails (no memory). */
SP_MUST_USE enum sp_rc sp_crls_add(struct sp_crls *set, const struct sp_crls_info *info);
/* After the last sp_crls_add: sorts, and drops what a newer CRL of the same signer and scope replaces at `now`. SP_FAIL
 * without memory. */
SP_MUST_USE enum sp_rc sp_crls_finish(struct sp_crls *set, int64_t now);
void sp_crls_free(struct sp_crls *set);
/* Whether both hold the very same CRLs, and report the same trouble with their files. */
bool sp_crls_are_same(const struct sp_crls *a, const struct sp_crls *b);

/* The CRLs whose issuer is `name`: items[*first] to items[*end - 1]. */
void sp_crls_of(const struct sp_crls *set, const X509_NAME *name, size_t *first, size_t *end);
/* The newest usable CRL of `ca` that is in force and covers all its certificates, or NULL. For reports. */
struct sp_crl *sp_crls_current(const struct sp_crls *set, const X509 *ca, int64_t now);

/* Where the certificate of a CRL's issuer may come from, if it is not the certificate's own issuer: another key of the
 * same name, or another name that the certificate's distribution point gives as cRLIssuer. */
struct sp_crl_context {
    const STACK_OF(X509) * chain; /* verified, leaf first, anchor last */
    const struct sp_cas *cas;
    const STACK_OF(X509) * extra; /* certificates that are no anchors, or NULL */
    /* Whether there is a path from `crl_issuer`, valid now, to the very anchor of `chain`. NULL: no one is. */
    bool (*verify_crl_issuer)(void *arg, X509 *crl_issuer);
    void *arg;
};

/* What the CRLs say of `cert`, which `issuer` has verifiably signed (RFC 5280 §6.3): SP_REFUSAL_none, revoked,
 * crl_missing, crl_stale or crl_invalid; `detail` tells of which CRL and since when. `context` NULL: CRLs of the issuer's
 * own key only. Any thread; no lock and no allocation where one complete CRL of a known signer decides. */
SP_MUST_USE enum sp_refusal sp_crls_judge(const struct sp_crls *set, const struct sp_crl_policy *policy,
    const struct sp_crl_context *context, const X509 *cert, const X509 *issuer, int64_t now, char *detail,
    size_t room);

/* The same of plain facts, for as much as can be said without the certificate: well under a microsecond where
 * complete CRLs of known signers decide. `detail` is written with SP_CRL_REFUSED only. Any thread; no lock, no
 * allocation. */
enum sp_crl_answer {
    SP_CRL_CLEAR,   /* sp_crls_judge would say SP_REFUSAL_none */
    SP_CRL_REFUSED, /* it would say revoked */
    SP_CRL_ASK,     /* only sp_crls_judge can tell */
};
SP_MUST_USE enum sp_crl_answer sp_crls_judge_link(const struct sp_crls *set,
    const struct sp_crl_policy *policy, const struct sp_chain_link *link, int64_t now, char *detail,
    size_t room);

/* The first moment after `now` at which sp_crls_judge could say something else of any certificate: a CRL comes
 * into force, or has become too old. INT64_MAX: never. */
int64_t sp_crls_next_change(const struct sp_crls *set, const struct sp_crl_policy *policy, int64_t now);

#endif
