/* Files of CRLs. Private to `pki`. */
#ifndef SP_SRC_PKI_CRL_FILE_H
#define SP_SRC_PKI_CRL_FILE_H

#include <sys/stat.h>

#include "pki/crl/crl.h"

struct sp_crl_list {
    struct sp_crl **items; /* a reference each */
    size_t count, room;
};

/* Takes the reference over, also when it fails (no memory). */
SP_MUST_USE enum sp_rc sp_crl_list_add(struct sp_crl_list *l, struct sp_crl *c);
void sp_crl_list_free(struct sp_crl_list *l);

/* Every CRL of a PEM or DER file, in order; PEM or DER is told from the first bytes. SP_FAIL: `err` names the file, the
 * CRL in it and what is wrong; *out has those that could be read all the same. SP_EOF: there is no such file, `err` says
 * so. *st is what the file was when it was opened, all zero if it was not. Blocks on the disk: builder thread and
 * command line only. */
SP_MUST_USE enum sp_rc sp_crl_file_read(
    const char *path, struct sp_crl_list *out, struct stat *st, struct sp_err *err);

#endif
