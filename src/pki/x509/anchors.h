/* The CAs of a bundle, and which of them issues a given certificate. Private to `pki`. */
#ifndef SP_SRC_PKI_ANCHORS_H
#define SP_SRC_PKI_ANCHORS_H

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"

struct sp_ca {
    X509 *cert;
    int64_t not_before, not_after;
    bool ends_chain;  /* an anchor: a chain ends here */
    bool reaches_end; /* it is an anchor, or one above it in the bundle is */
    const char *file; /* in the bundle's arena */
    struct sp_pos at; /* of the key that named the file */
};

struct sp_cas {
    struct sp_ca *items; /* sorted by subject */
    size_t count, room;
    struct sp_arena texts;
};

/* Adds every certificate of every file of auth->ca, each once. Errors and warnings go to `diags`; SP_FAIL if
 * there was an error. */
SP_MUST_USE enum sp_rc sp_cas_load(struct sp_cas *cas, const char *config_file,
    const struct sp_config_client_auth *auth, int64_t now, struct sp_diags *diags);
/* The same ones once more. SP_FAIL without memory; the caller frees. */
SP_MUST_USE enum sp_rc sp_cas_copy(const struct sp_cas *from, struct sp_cas *to);
void sp_cas_free(struct sp_cas *cas);

/* Every certificate of auth->intermediates, each once, in the order of the files; empty when none is named. NULL
 * without memory or when a file is unusable, and `diags` says which. Hands over. */
SP_MUST_USE STACK_OF(X509) * sp_intermediates_load(const char *config_file,
                                 const struct sp_config_client_auth *auth, int64_t now,
                                 struct sp_diags *diags);

/* The CAs whose subject is `name`: items[*first] to items[*end - 1]. */
void sp_cas_of(const struct sp_cas *cas, const X509_NAME *name, size_t *first, size_t *end);
/* The CA that issued `cert` and is valid at `now`; of several the best (see anchors.c). `untrusted` are the
 * certificates that came with it, or NULL. NULL: none. Borrowed from `cas`. */
struct sp_ca *sp_cas_issuer(
    const struct sp_cas *cas, X509 *cert, const STACK_OF(X509) * untrusted, int64_t now);
/* A CA that verifiably issued `cert` but is not valid at `now`, or NULL: why there is no chain. */
const struct sp_ca *sp_cas_outdated_issuer(const struct sp_cas *cas, X509 *cert, int64_t now);

static inline bool sp_ca_is_valid_at(const struct sp_ca *ca, int64_t now)
{
    return ca->not_before <= now && now < ca->not_after;
}

#endif
