/* Files of certificates and CRLs, from the disk to OpenSSL's types. Private to `pki`; certificates also through
 * sallyport/pki/x509.h. Blocks on the disk: builder thread and command line only. */
#ifndef SP_SRC_PKI_LOAD_H
#define SP_SRC_PKI_LOAD_H

#include <openssl/x509.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

/* Every CRL of a PEM file in order, or the one of a DER file. NULL: `err` names the file and the item. Hands
 * over the stack. */
SP_MUST_USE STACK_OF(X509_CRL) * sp_load_crls(const char *path, struct sp_err *err);

/* A certificate that must be the whole of `der`; NULL if it is not one. Hands over. */
SP_MUST_USE X509 *sp_load_der(struct sp_slice der);

/* The regular files of a folder (links followed) whose names do not begin with '.', sorted by bytes, as paths. */
struct sp_file_list {
    char **paths;
    size_t count;
};
/* SP_EOF: `path` is not a folder, so take it as a file. SP_FAIL: `err` says what. Hands over the list. */
SP_MUST_USE enum sp_rc sp_load_folder(const char *path, struct sp_file_list *out, struct sp_err *err);
void sp_file_list_free(struct sp_file_list *list);

#endif
