/* Not a door. */
#ifndef SP_SNAPSHOT_PROXIES_H
#define SP_SNAPSHOT_PROXIES_H

#include "sallyport/snapshot/snapshot.h"

/* Fills l->proxies, which is the listener's to free. False without memory; what is wrong goes to `diags`. */
SP_MUST_USE bool proxies_compile(
    const char *config_file, struct sp_snapshot_listener *l, struct sp_diags *diags);

#endif
