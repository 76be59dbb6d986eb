/* Which rule takes everything that another one would, as far as their text says. Private to the room. */
#ifndef SP_POLICY_COVERS_H
#define SP_POLICY_COVERS_H

#include "policy/rules/policy_impl.h"

/* What is known of callers by what is written of them, and how much work may still be done. */
struct sp_nesting {
    const struct sp_policy *policy;
    bool *anonymous;     /* by caller: a client without a certificate is one */
    bool *authenticated; /* everybody with a certificate is one */
    size_t work;         /* steps left; at 0 nothing is covered any more */
};
/* SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_nesting_init(struct sp_nesting *n, const struct sp_policy *p, size_t work);
void sp_nesting_free(struct sp_nesting *n);

/* Is everybody who is one of `b` surely one of `a`? */
bool sp_covers_callers(struct sp_nesting *n, const struct sp_caller_set *a, const struct sp_caller_set *b);
/* Does `a` surely match whenever `b` does? */
bool sp_covers_rule(struct sp_nesting *n, const struct sp_rule *a, const struct sp_rule *b);

#endif
