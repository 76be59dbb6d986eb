/* What is too weak to be believed, and too costly to be looked at: one bar for certificates, CRLs and OCSP responses.
 * Private to `pki`. */
#ifndef SP_SRC_PKI_STRENGTH_H
#define SP_SRC_PKI_STRENGTH_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "sallyport/base/base.h"

/* OpenSSL's auth level, 112 bits: RSA 2048, P-224, SHA-224 and better. What Debian's OpenSSL asks of a TLS connection by
 * default. Certificates are held to it by OpenSSL; what it does not look at, by the rest of this file. */
#define SP_AUTH_LEVEL 2

/* Verifying with the key of `cert` would cost milliseconds of CPU, perhaps before anybody is known; `why` says what is
 * wrong with it. */
SP_MUST_USE bool sp_is_costly_key(const X509 *cert, char *why, size_t room);

/* A DSA key, whatever its length: FIPS 186-5 withdrew it, and TLS 1.3 has none. A CA may have one. `why` as above. */
SP_MUST_USE bool sp_is_withdrawn_key(const X509 *leaf, char *why, size_t room);

/* Whether a signature over this digest can be forged. NULL, one that is not known, is weak. */
bool sp_is_weak_digest(const EVP_MD *md);
/* The digest that the parameters of RSASSA-PSS name; NULL: one that is not known, or none can be read. */
const EVP_MD *sp_pss_digest(const X509_ALGOR *algorithm);

#endif
