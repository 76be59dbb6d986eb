/* Why a decision came out as it did, in words: the same conditions as sp_policy_decide looks at, one by one, with what
 * each wanted and what it found. Offline: it allocates, and looks at every rule. */
#ifndef SP_POLICY_EXPLAIN_H
#define SP_POLICY_EXPLAIN_H

#include "sallyport/policy/policy.h"

/* A condition that did not hold. Text is valid during the call. */
struct sp_miss {
    const char *condition; /* "path", "from", "methods", "headers", ... as the key is called */
    const char *wanted;    /* "/v1/invoices/ **" */
    const char *found;     /* "/v2/invoices/7" */
};

/* A rule that matched or nearly did; `misses` are all of its conditions that failed, fewest first over the calls. */
struct sp_rule_account {
    size_t rule;
    const char *name;
    bool matches;
    bool decides;
    const struct sp_miss *misses;
    size_t miss_count;
};

/* Why it is, or is not, a caller: `misses` of the entry that came nearest. */
struct sp_caller_account {
    size_t caller;
    const char *name;
    bool is_one;
    size_t entry; /* that matched, or came nearest; index in its entries */
    const struct sp_miss *misses;
    size_t miss_count;
};

/* The rule that decides if there is one, every rule in report mode that matched before it, then up to `nearest` others with the
 * fewest conditions failed, in the order of the file among equals. SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_policy_explain(const struct sp_standing *s, const struct sp_connection *c,
    const struct sp_policy_request *request, size_t nearest,
    void (*each)(void *arg, const struct sp_rule_account *account), void *arg);
/* One caller. SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_policy_explain_caller(const struct sp_policy *p, const struct sp_connection *c,
    size_t caller, void (*each)(void *arg, const struct sp_caller_account *account), void *arg);

#endif
