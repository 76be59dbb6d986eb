/* What a file of CRLs is worth that came from somewhere else (fetched from a URL), before it takes the place of the one
 * that is kept. The store judges again when it loads the file; here nothing gets in that would cost what is good by now:
 * a URL over plain http is answered by whoever stands in the way. */
#ifndef SP_PKI_CRL_CHECK_H
#define SP_PKI_CRL_CHECK_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

struct sp_trust;

struct sp_crl_facts {
    size_t count; /* CRLs in the file */
    uint64_t entries;
    int64_t this_update; /* of the oldest */
    int64_t next_update; /* of the first to end; INT64_MAX: none does */
    char issuer[256];    /* of the first CRL, RFC 4514, escaped */
};

/* Whether the CRLs of the file `path`, which `trusts` are to use, may be used instead of those in `kept` (NULL, not there
 * or unreadable: no such restriction):
 *   - every CRL can be read, one at least can be used, and none begins in the future
 *   - each is signed by a CA of its issuer's name, where a trust knows one; one of a CA that only clients send along is
 *     signed by the key that signed the CRL in force, where that is known
 *   - none is older than the kept one that it would replace
 *   - of every issuer and scope that the kept ones speak of and that has not ended, there is one
 * SP_FAIL: `err` says which CRL and why, without the path. *out is filled in on SP_OK. Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_crl_check(const char *path, const char *kept, const struct sp_trust *const *trusts,
    size_t trust_count, int64_t now, struct sp_crl_facts *out, struct sp_err *err);

#endif
