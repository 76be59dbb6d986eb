/* The inside of the shelf, for crl_load.c. Private to `pki`. */
#ifndef SP_SRC_PKI_SHELF_IMPL_H
#define SP_SRC_PKI_SHELF_IMPL_H

#include "pki/crl/crl_file.h"
#include "pki/crl/revocation.h"
#include "pki/x509/anchors.h"
#include "pki/x509/load.h"
#include "sallyport/pki/shelf.h"

/* One CRL of what a file stands for. */
struct sp_shelf_item {
    struct sp_crl *crl; /* a reference */
    int64_t loaded_at;
    char *
        trouble; /* why it is still this one although the file says something else; NULL: the file says it. Owned */
};

struct sp_shelf_items {
    struct sp_shelf_item *items;
    size_t count, room;
    char *trouble; /* with the file as a whole, or NULL. Owned */
};

void sp_shelf_items_free(struct sp_shelf_items *l);

/* What `path` stands for: its CRLs, or what it held when it last could be read. Each CRL has been tried with the CAs of
 * its issuer's name, and is settled. `s` NULL: what it says, nothing else. Hands over *out. SP_FAIL: it cannot be read and
 * nothing is known of it; `err` says what is wrong. SP_EOF: the same of a file that is not there. */
SP_MUST_USE enum sp_rc sp_shelf_read(struct sp_shelf *s, const char *path, const struct sp_cas *cas,
    int64_t now, struct sp_shelf_items *out, struct sp_err *err);
/* The files right in `folder` of which something is held. SP_FAIL: no memory, and *out is empty. */
SP_MUST_USE enum sp_rc sp_shelf_list(const struct sp_shelf *s, const char *folder, struct sp_file_list *out);
/* What is held of files that are gone from `folder`, and that a CRL of `set` would put back in time: under whatever name it
 * comes. It stays on the shelf for as long as that is so. Hands over *out, whose items say why. SP_FAIL without memory. */
SP_MUST_USE enum sp_rc sp_shelf_keep_newer(struct sp_shelf *s, const char *folder,
    const struct sp_file_list *present, const struct sp_crls *set, int64_t now, struct sp_shelf_items *out);

#endif
