/* What `check` lists: every listener and host with its certificates, CAs and CRLs. Not a door. */
#ifndef SP_CLI_LISTING_H
#define SP_CLI_LISTING_H

#include "sallyport/base/mem.h"
#include "sallyport/snapshot/snapshot.h"

/* One thing a line; a '!' in the first column where something is at its end or near it, or missing. */
void sp_listing_print(const struct sp_snapshot *s, int64_t now, struct sp_buf *out);
/* Warnings of what the rooms cannot know when they load: CAs and server certificates nearer to their end than
 * certificate_warn_before. */
void sp_listing_warn(const struct sp_snapshot *s, int64_t now, struct sp_diags *diags);

#endif
