/* The CRL files of a configuration, into the set of a trust. Private to `pki`. */
#ifndef SP_SRC_PKI_CRL_FILES_H
#define SP_SRC_PKI_CRL_FILES_H

#include "pki/crl/revocation.h"
#include "pki/x509/anchors.h"
#include "sallyport/config/config.h"
#include "sallyport/pki/shelf.h"

/* Reads every file and folder of auth->crl by way of `shelf` (NULL: without) into the empty `set`, and finishes it.
 * Errors and warnings go to `diags` with the key's place; SP_FAIL if there was an error. Builder thread and command
 * line only. */
SP_MUST_USE enum sp_rc sp_crls_load(struct sp_crls *set, const char *config_file,
    const struct sp_config_client_auth *auth, const struct sp_cas *cas, struct sp_shelf *shelf, int64_t now,
    struct sp_diags *diags);

#endif
