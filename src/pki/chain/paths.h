/* Which certificates a chain may go through, and the other ways when the first one leads nowhere. Private to `pki`. */
#ifndef SP_SRC_PKI_PATHS_H
#define SP_SRC_PKI_PATHS_H

#include "pki/chain/trust_impl.h"

/* How one certificate is judged. */
struct sp_judging {
    const struct sp_trust *trust;
    int64_t now;
    int purpose; /* X509_PURPOSE_... */
};

/* X509_STORE's get_issuer: asks the trust's own CAs instead of the store. */
int sp_paths_get_issuer(X509 **issuer, X509_STORE_CTX *ctx, X509 *cert);
/* Sets every parameter that verification depends on. False without memory. */
SP_MUST_USE bool sp_paths_set_parameters(const struct sp_judging *j, X509_STORE_CTX *ctx);
/* What was sent, and beside it what the operator gave: a new stack that borrows its certificates; NULL without
 * memory. */
SP_MUST_USE STACK_OF(X509) * sp_paths_pool(const struct sp_trust *t, const STACK_OF(X509) * sent);
/* X509_verify_cert has refused the chain that it built from `pool` for `ctx`. Where certificates of one name leave
 * another way to an anchor, that one is verified too, up to a bound. True: one is good, and is the chain of `ctx`
 * now. */
SP_MUST_USE bool sp_paths_try_others(
    const struct sp_judging *j, X509_STORE_CTX *ctx, const STACK_OF(X509) * pool);

#endif
