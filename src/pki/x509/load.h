/* Files of certificates, from the disk to OpenSSL's types. Private to `pki`; certificates also through
 * sallyport/pki/x509.h. Blocks on the disk: builder thread and command line only. */
#ifndef SP_SRC_PKI_LOAD_H
#define SP_SRC_PKI_LOAD_H

#include <openssl/x509.h>
#include <sys/stat.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

/* For reading; a regular file of at least one byte and at most 512 MiB. `err` names it; err->sys is ENOENT if there is
 * none. Hands over *fd, to be closed. */
SP_MUST_USE enum sp_rc sp_load_open(const char *path, int *fd, struct stat *st, struct sp_err *err);
/* It failed for want of memory or descriptors: the file may be as it should. */
bool sp_load_lacks(const struct sp_err *err);

/* A certificate that must be the whole of `der`; NULL if it is not one. Hands over. */
SP_MUST_USE X509 *sp_load_der(struct sp_slice der);

/* What is in a folder (links followed), but for folders and names that begin with '.', sorted by bytes, as paths. What is
 * no regular file, or a link that leads nowhere, is for whoever reads it to name. */
struct sp_file_list {
    char **paths; /* owned */
    size_t count, room;
};
/* Takes `path` over, also when it fails (no memory, or NULL was given). */
SP_MUST_USE enum sp_rc sp_file_list_add(struct sp_file_list *list, char *path);
/* SP_EOF: `path` is not a folder, so take it as a file. SP_FAIL: `err` says what. Hands over the list. */
SP_MUST_USE enum sp_rc sp_load_folder(const char *path, struct sp_file_list *out, struct sp_err *err);
void sp_file_list_free(struct sp_file_list *list);

#endif
