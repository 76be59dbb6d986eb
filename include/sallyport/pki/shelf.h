/* The shelf: what was read out of CRL files, kept from one build of a snapshot to the next.
 *
 *   - a file that has not changed is not read again, and its CRLs are shared by every trust that names it
 *   - a file that cannot be read or parsed any more is replaced by what it held when it last could, and named
 *   - a CRL never gives way to an older one of the same issuer, key and scope (RFC 5280 §5.2.3): a file that is put
 *     back in time is named, and the newer CRL stays for as long as the file still speaks of that issuer
 *   - but one that no known CA signed, or that has not been in force, keeps nothing out that comes after it
 *
 * Belongs to the thread that builds snapshots. Without one (NULL) everything is read anew. */
#ifndef SP_PKI_SHELF_H
#define SP_PKI_SHELF_H

#include "sallyport/base/base.h"

struct sp_shelf;

SP_MUST_USE struct sp_shelf *sp_shelf_new(void); /* NULL without memory */
void sp_shelf_free(struct sp_shelf *s);          /* takes NULL; CRLs in use by a trust stay */

/* Around one build: what no trust asked for between the two is forgotten at the end. */
void sp_shelf_begin(struct sp_shelf *s);
void sp_shelf_end(struct sp_shelf *s);

#endif
