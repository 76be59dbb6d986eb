/* OpenSSL's library context of one gate: of the default provider what TLS and certificates need, and no more.
 *
 * Before version 3.2, OpenSSL goes through everything it has each time it decodes a certificate's key, behind thousands of
 * locks: half of what a full handshake costs. Where it has less, it finds it sooner; and a context of its own shares no lock
 * with another thread.
 *
 * Whatever was made in a library (contexts, certificates, keys, sessions) must be gone before it is freed. */
#ifndef SP_TLS_LIBRARY_H
#define SP_TLS_LIBRARY_H

#include "sallyport/base/base.h"

struct sp_tls_library;

/* NULL: none is to be had, and OpenSSL's own context does as well: the operator has configured OpenSSL with other providers
 * or properties (FIPS, PKCS #11), which must be obeyed; there is no memory; or this OpenSSL gains nothing by it. Any thread. */
struct sp_tls_library *sp_tls_library_new(void);
void sp_tls_library_free(struct sp_tls_library *library); /* takes NULL */
/* What the calling thread does with OpenSSL, without saying where, is done in `library` from now on, as long as the thread lives.
 * Borrowed. NULL: nothing changes. */
void sp_tls_library_enter(struct sp_tls_library *library);

#endif
