/* The walk of trial.c, of which trial_defaults.c takes the first step. Not a door. */
#ifndef SP_CLI_TRIAL_WALK_H
#define SP_CLI_TRIAL_WALK_H

#include "trial.h"

struct sp_walk {
    struct sp_offline *o;
    struct sp_trial *t;
    struct sp_diags *diags;
    size_t listener;
};

/* SP_FAIL, with an error in `diags` that says where the try is written down. */
enum sp_rc sp_walk_cannot(struct sp_walk *w, const char *what, const char *why);
enum sp_rc sp_walk_no_memory(struct sp_walk *w);

/* Fills in what was not given: listener, names, source, request. SP_FAIL: told. */
SP_MUST_USE enum sp_rc sp_walk_set_out(struct sp_walk *w);
/* The certificate that a client which asks for `sni` is shown, as tls/hello.c chooses it: the first that has the very name,
 * else the first that has it by wildcard. `known` says whether one of them has it; else it is the host's first one.
 * Handed over; NULL: `err` says why. */
SP_MUST_USE struct sp_identity *sp_walk_shown_certificate(
    const struct sp_config_host *host, const char *sni, bool *known, struct sp_err *err);

#endif
