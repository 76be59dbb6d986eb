/* What a trial came to, printed: for people, or as JSON. Not a door. */
#ifndef SP_CLI_ACCOUNT_H
#define SP_CLI_ACCOUNT_H

#include "sallyport/base/mem.h"
#include "sallyport/policy/explain.h"
#include "trial.h"

/* Everything, ending in the verdict. `nearest`: how many rules that nearly matched are shown. SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_account_text(
    struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t, size_t nearest);
/* One object's members, without its braces. */
SP_MUST_USE enum sp_rc sp_account_json(
    struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t, size_t nearest);

/* "allowed by rule x, to upstream y" or "refused: no_rule (403)", without a line end. */
void sp_account_outcome(struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t);
/* The rule that came nearest and what of it failed, when no rule decided. The first line begins with `first`, the others
 * with `indent`. */
SP_MUST_USE enum sp_rc sp_account_nearest(struct sp_buf *out, const struct sp_offline *o,
    const struct sp_trial *t, const char *first, const char *indent);

/* Whether a rule is to be shown: what matched, and, until *left is 0, what nearly did and could have let it through. */
bool sp_account_shows(const struct sp_offline *o, const struct sp_rule_account *account, size_t *left);

/* "CN=x", "uri spiffe://..": each name of an identity with what it is. */
void sp_account_each_name(
    const struct sp_identity *id, void (*each)(void *arg, const char *kind, struct sp_slice name), void *arg);

#endif
