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

/* ---- what is told, for both (account.c); `each` may be called not at all ---- */

/* "uri", "spiffe://..": each name of an identity with what it is. */
void sp_account_each_name(
    const struct sp_identity *id, void (*each)(void *arg, const char *kind, struct sp_slice name), void *arg);
/* Whether the CRL settings of the host that judged ask for anything. */
bool sp_account_looks_at_revocation(const struct sp_trial *t);
/* Whether a rule is to be shown: what matched, and, until *left is 0, what nearly did and could have let it through. */
bool sp_account_shows(const struct sp_offline *o, const struct sp_rule_account *account, size_t *left);
/* The callers that the rule is for, with why it is none of them. SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_account_each_caller_of_rule(const struct sp_offline *o, const struct sp_trial *t,
    size_t rule, void (*each)(void *arg, const struct sp_caller_account *caller), void *arg);
/* The limits of its callers that bear on it; of any but the one it is let through by, those of requests are 0. */
void sp_account_each_limit(const struct sp_offline *o, const struct sp_trial *t,
    void (*each)(void *arg, const char *caller, const struct sp_config_caller_limits *limits), void *arg);
/* Each field that the backend is sent, in order; nothing if it is sent none. */
void sp_account_each_line(
    const struct sp_trial *t, void (*each)(void *arg, const struct sp_line *line), void *arg);
/* What the rule that allows it makes of the answer's fields, "remove", "set" and "add" in this order; `value` is NULL with the
 * first. */
void sp_account_each_edit(const struct sp_offline *o, const struct sp_trial *t,
    void (*each)(void *arg, const char *what, const char *name, const char *value), void *arg);
/* What was not looked at, a sentence each. */
void sp_account_each_note(const struct sp_trial *t, void (*each)(void *arg, const char *note), void *arg);

#endif
