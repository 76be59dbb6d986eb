/* Callers, compiled: which named sets an identity belongs to. Private to the room. */
#ifndef SP_POLICY_CALLERS_H
#define SP_POLICY_CALLERS_H

#include "policy/common/build.h"
#include "sallyport/pki/identity.h"

/* Which identities each caller is, compiled and indexed; in the policy's arena, whose end is theirs. */
struct sp_compiled_callers;

/* Reads the lists that entries name. Errors go to the diagnostics and set b->failed, all of them at once: NULL then. An
 * empty list is a warning. Blocks on the disk. */
SP_MUST_USE struct sp_compiled_callers *sp_callers_compile(struct sp_policy_build *b);
/* The caller of that name, by index in config->callers; SP_CALLER_NONE. */
#define SP_CALLER_NONE UINT32_MAX
uint32_t sp_callers_find(const struct sp_compiled_callers *c, const char *name);
/* Are the lists on the disk what was compiled? False too when one cannot be read. Blocks on the disk. */
bool sp_callers_are_current(const struct sp_compiled_callers *c);

/* Ascending ids of the callers that `id` (NULL: anonymous) is. Hands over *out (sp_free; NULL when there are none).
 * SP_FAIL: no memory. Any thread. */
SP_MUST_USE enum sp_rc sp_callers_of(
    const struct sp_compiled_callers *c, const struct sp_identity *id, uint32_t **out, size_t *count);
/* For `explain`: which entry of `caller` holds, or came nearest, into *entry, and whether it holds; then `miss` once for
 * each field of that entry which does not hold, by the same functions that sp_callers_of asks. Texts live during the call.
 * A caller without entries: *entry is 0 and nothing is called. SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_callers_explain(const struct sp_compiled_callers *c, const struct sp_identity *id,
    uint32_t caller, size_t *entry, bool *holds,
    void (*miss)(void *arg, const char *condition, const char *wanted, const char *found), void *arg);

#endif
