/* A snapshot: one immutable build of configuration, trust, TLS contexts and rules. Built on the builder thread,
 * then shared by reference count; the last reference frees it, on whichever thread that is. */
#ifndef SP_SNAPSHOT_SNAPSHOT_H
#define SP_SNAPSHOT_SNAPSHOT_H

#include <stdatomic.h>

#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/pki/trust.h"
#include "sallyport/policy/policy.h"
#include "sallyport/tls/server.h"

struct sp_snapshot_listener {
    const struct sp_config_listener *config;
    struct sp_trust *trust;
    struct sp_tls_server **tls; /* one a gate */
};

struct sp_snapshot {
    _Atomic unsigned refs;
    uint64_t generation; /* 1, 2, 3 ... */
    unsigned gates;
    struct sp_config *config;
    struct sp_policy *policy;
    struct sp_snapshot_listener *listeners; /* in the order of config->listeners */
    size_t listener_count;
};

/* Reads `file` and everything it names. All that is wrong goes to `diags`. On SP_OK hands over one reference.
 * `gates`: how many TLS contexts a listener needs; 0: as the configuration says. */
SP_MUST_USE enum sp_rc sp_snapshot_load(
    const char *file, unsigned gates, uint64_t generation, struct sp_snapshot **out, struct sp_diags *diags);
struct sp_snapshot *sp_snapshot_ref(struct sp_snapshot *s); /* any thread */
void sp_snapshot_unref(struct sp_snapshot *s);              /* any thread; takes NULL */

/* The listener of that name, or NULL. */
const struct sp_snapshot_listener *sp_snapshot_find(const struct sp_snapshot *s, const char *name);

#endif
