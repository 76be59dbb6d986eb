/* What is wrong with a policy is told all at once: whoever finds something tells of it here and goes on. */
#include "policy/common/build.h"

#include <stdarg.h>
#include <stdio.h>

void sp_policy_wrong(
    struct sp_policy_build *b, struct sp_pos at, const char *found, const char *problem, const char *key, ...)
{
    char text[256]; /* a longer key is cut: the position says which it is */
    va_list args;
    va_start(args, key);
    (void)vsnprintf(text, sizeof text, key, args);
    va_end(args);
    b->failed = true;
    if (found != NULL)
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config->file, at, "%s: \"%s\": %s", text, found, problem);
    else
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config->file, at, "%s: %s", text, problem);
}

void sp_policy_no_memory(struct sp_policy_build *b)
{
    if (!b->failed)
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->config->file, (struct sp_pos){0, 0},
            "no memory for callers and rules");
    b->failed = true;
}

void *sp_policy_room(struct sp_policy_build *b, size_t count, size_t size)
{
    void *room = sp_arena_alloc(b->arena, count > 0 ? count : 1, size);
    if (room == NULL)
        sp_policy_no_memory(b);
    return room;
}
