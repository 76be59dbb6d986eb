/* Saying no, with its reason. Private to `pki`. */
#ifndef SP_SRC_PKI_REFUSE_H
#define SP_SRC_PKI_REFUSE_H

#include <openssl/x509_vfy.h>

#include "pki/chain/trust_impl.h"

/* For a reason that is found here and not by OpenSSL; `v->detail` is left as it is. Sets the ctx error. */
void sp_refuse(struct sp_verdict *v, X509_STORE_CTX *ctx, enum sp_refusal reason);
/* After X509_verify_cert has failed: the reason, which certificate, and what is behind OpenSSL's word. Sets the ctx
 * error. */
void sp_refuse_chain(const struct sp_trust *t, X509_STORE_CTX *ctx, int64_t now, struct sp_verdict *v);

#endif
