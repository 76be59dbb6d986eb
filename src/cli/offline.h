/* What a configuration means, without serving it: for `explain` and `test`. No private key is read, no name is looked up,
 * and CAs and CRLs are read only when a certificate is to be judged: so that a policy can be tried where nothing of this
 * is. Not a door. */
#ifndef SP_CLI_OFFLINE_H
#define SP_CLI_OFFLINE_H

#include "sallyport/snapshot/snapshot.h"

struct sp_offline {
    struct sp_config *config;
    struct sp_policy *policy;
    struct sp_headers *headers;
    struct sp_snapshot_listener *listeners; /* their trusts as they are asked for; no TLS contexts */
};

/* SP_FAIL: `diags` says why. To be freed in any case. Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_offline_load(const char *file, struct sp_offline *out, struct sp_diags *diags);
void sp_offline_free(struct sp_offline *o);

/* The trust of a host as of `now`, or as of today with INT64_MAX: one reference, or NULL with an error in `diags`. */
SP_MUST_USE struct sp_trust *sp_offline_trust(
    struct sp_offline *o, size_t listener, size_t host, int64_t now, struct sp_diags *diags);
/* The listener of that name (NULL: the first), or SP_NONE. */
size_t sp_offline_listener(const struct sp_offline *o, const char *name);

#endif
