/* The chains that this trust has accepted lately, with the identity that came of each: a client that connects
 * again is recognised by its certificates' bytes and spares the gate the two or three signatures of its
 * chain. Private to `pki`.
 *
 * It cannot let in anybody whom verification would not: positives only; the key is a digest over every byte
 * that the client presented; an entry ends with the first moment at which the verdict could be another one (a
 * notAfter of the chain, a CRL's thisUpdate or nextUpdate); and it lives and dies with its trust, so new CAs,
 * CRLs or settings begin with an empty one. That the client holds the key is proven in each handshake as ever.
 *
 * With the identity it keeps the leaf as OpenSSL has parsed it: each connection would hold 6 KiB of its own, a quarter of what an
 * idle one takes, as long as it lives. */
#ifndef SP_SRC_PKI_VERIFIED_H
#define SP_SRC_PKI_VERIFIED_H

#include <openssl/x509.h>

#include "sallyport/base/base.h"
#include "sallyport/pki/identity.h"

#define SP_VERIFIED_KEY 32

struct sp_verified;

/* NULL without memory. Bounded: 1024 entries, the longest unused gives way. */
SP_MUST_USE struct sp_verified *sp_verified_new(void);
/* Takes NULL. */
void sp_verified_free(struct sp_verified *v);

/* SHA-256 over the length and DER of each certificate of `sent`, in its order. SP_FAIL without memory. Any
 * thread. */
SP_MUST_USE enum sp_rc sp_verified_key_of(
    const struct sp_verified *v, const STACK_OF(X509) * sent, uint8_t key[SP_VERIFIED_KEY]);
/* The same key from a leaf and the DER of what came above it. */
SP_MUST_USE enum sp_rc sp_verified_key_of_der(const struct sp_verified *v, const X509 *leaf,
    const struct sp_slice *chain, size_t chain_count, uint8_t key[SP_VERIFIED_KEY]);
/* A reference to the identity whose chain was accepted, if that still holds at `now`, or NULL. Any thread; one
 * short lock. */
SP_MUST_USE struct sp_identity *sp_verified_find(
    struct sp_verified *v, const uint8_t key[SP_VERIFIED_KEY], int64_t now);
/* The verdict holds for from <= now < until. Takes a reference of its own. Any thread. */
void sp_verified_put(struct sp_verified *v, const uint8_t key[SP_VERIFIED_KEY], int64_t from, int64_t until,
    struct sp_identity *identity);
/* A reference to the certificate that all who present that chain may hold in place of their own `cert`, which is equal to it to
 * the byte and was parsed by this thread; the first of each library context is it. NULL: there is none. Any thread; one short
 * lock. */
SP_MUST_USE X509 *sp_verified_leaf(struct sp_verified *v, const uint8_t key[SP_VERIFIED_KEY], X509 *cert);

#endif
