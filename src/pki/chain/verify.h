/* The one judge, for the files of `pki` that ask it in other ways than a handshake does (rejudge.c, inspect.c). */
#ifndef SP_SRC_PKI_VERIFY_H
#define SP_SRC_PKI_VERIFY_H

#include "pki/chain/paths.h"

/* What sp_trust_verify does, for any purpose; the requirements are for clients alone. Hands over the identity of who is
 * accepted, else NULL. */
SP_MUST_USE struct sp_identity *sp_verify(
    const struct sp_judging *j, X509_STORE_CTX *ctx, struct sp_verdict *out);
/* The same without a handshake. `look`, if not NULL, is called when *out is there, with the chain as far as it was
 * built, or NULL. Borrows all. */
SP_MUST_USE struct sp_identity *sp_verify_list(const struct sp_judging *j, X509 *leaf, STACK_OF(X509) * sent,
    void (*look)(void *arg, const STACK_OF(X509) * chain), void *arg, struct sp_verdict *out);
/* What the CRLs say of certificate `at` of a proven chain, which is not the last of it. */
SP_MUST_USE enum sp_refusal sp_judge_link(
    const struct sp_judging *j, const STACK_OF(X509) * chain, int at, char *detail, size_t room);

#endif
