/* Where compiling a policy happens, and how what is wrong is told. Private to the room. */
#ifndef SP_POLICY_BUILD_H
#define SP_POLICY_BUILD_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"

/* `arena` belongs to the policy. */
struct sp_policy_build {
    struct sp_arena *arena;
    const struct sp_config *config;
    struct sp_diags *diags;
    bool failed; /* an error was told */
};
/* Tells of an error: `<key>: "<found>": <problem>`, the key by printf. `found` NULL: nothing was. */
void sp_policy_wrong(struct sp_policy_build *b, struct sp_pos at, const char *found, const char *problem,
    const char *key, ...) SP_PRINTF(5, 6);
/* Tells that there is no memory, unless something else was told already. */
void sp_policy_no_memory(struct sp_policy_build *b);
/* Memory of the policy, zeroed; tells when there is none. */
SP_MUST_USE void *sp_policy_room(struct sp_policy_build *b, size_t count, size_t size);

#endif
