/* What an identity keeps of the chain that it was accepted by. Private to `pki`. */
#ifndef SP_SRC_PKI_LINKS_H
#define SP_SRC_PKI_LINKS_H

#include <openssl/x509.h>

#include "sallyport/base/err.h"
#include "sallyport/pki/identity.h"

/* Fills links and chain_until from a verified chain, leaf first, anchor last. */
SP_MUST_USE enum sp_rc sp_links_put(
    struct sp_identity *id, const STACK_OF(X509) * verified_chain, struct sp_err *err);
/* Fills ocsp_cert_id; leaves it empty for a leaf that is itself the anchor: nobody is asked about that. */
SP_MUST_USE enum sp_rc sp_links_put_ocsp_id(
    struct sp_identity *id, const STACK_OF(X509) * verified_chain, struct sp_err *err);

/* The next certificate of client_cert or client_cert_chain, as identity.c writes them, and *list behind it; handed
 * over. NULL: at the end, or what stands there is none. */
SP_MUST_USE X509 *sp_links_next_certificate(struct sp_slice *list);

#endif
