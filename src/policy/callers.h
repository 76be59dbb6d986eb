/* Callers, compiled: which named sets an identity belongs to. Private to the room. */
#ifndef SP_POLICY_CALLERS_H
#define SP_POLICY_CALLERS_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"
#include "sallyport/pki/identity.h"

/* Where compiling happens. `arena` belongs to the policy. */
struct sp_policy_build {
    struct sp_arena *arena;
    const struct sp_config *config;
    struct sp_diags *diags;
    bool failed; /* an error was told */
};
/* Tells of an error: `<key>: "<found>": <problem>`, the key by printf. `found` NULL: nothing was. */
void sp_policy_wrong(struct sp_policy_build *b, struct sp_pos at, const char *found, const char *problem,
    const char *key, ...) SP_PRINTF(5, 6);
/* Memory of the policy; tells when there is none. */
SP_MUST_USE void *sp_policy_room(struct sp_policy_build *b, size_t count, size_t size);

struct sp_compiled_callers {
    struct sp_caller *items; /* in the order of config->callers */
    size_t count;
};

/* Errors go to the diagnostics and set b->failed; all of them are told at once. */
void sp_callers_compile(struct sp_policy_build *b, struct sp_compiled_callers *out);
/* Sets the bit of each caller that `id` (NULL: anonymous) is. `bits` is zeroed and large enough. */
void sp_callers_match(
    const struct sp_compiled_callers *callers, const struct sp_identity *id, uint64_t *bits);

#endif
