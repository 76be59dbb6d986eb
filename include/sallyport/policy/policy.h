/* Callers and rules, compiled: who may do what. Immutable; built with the snapshot, read by all workers without
 * a lock. The answer has two parts: which callers an identity is, which depends on the certificate alone and is
 * computed once a connection; and which rule decides, per request. The first rule that matches decides; none:
 * refused. */
#ifndef SP_POLICY_POLICY_H
#define SP_POLICY_POLICY_H

#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/pki/identity.h"

struct sp_policy;

/* Borrows `config` for its life. NULL without memory or with an error in `diags`. Warns of callers that no rule
 * uses. */
SP_MUST_USE struct sp_policy *sp_policy_new(const struct sp_config *config, struct sp_diags *diags);
void sp_policy_free(struct sp_policy *p); /* takes NULL */

/* The callers that an identity is one of: one bit each, by index in config->callers. */
struct sp_caller_set {
    uint64_t *bits;
    size_t words;
};
/* `id` NULL is the anonymous caller: it matches `any: anonymous` alone. SP_FAIL only without memory. Hands over
 * the bits. */
SP_MUST_USE enum sp_rc sp_policy_callers_of(
    const struct sp_policy *p, const struct sp_identity *id, struct sp_caller_set *out);
void sp_caller_set_free(struct sp_caller_set *set);

struct sp_policy_request {
    struct sp_slice host;   /* canonical */
    struct sp_slice path;   /* checked by sp_path_check */
    struct sp_slice method; /* as it came */
};

/* Starts as refused. */
struct sp_decision {
    bool allowed;
    const char *rule; /* its name; NULL if none matched */
    /* The first of the rule's `from` that the identity is; if refused: the first caller it is, or NULL. */
    const char *caller;
    size_t upstream; /* index in config->upstreams */
};
void sp_policy_decide(const struct sp_policy *p, const struct sp_caller_set *callers,
    const struct sp_policy_request *request, struct sp_decision *out);

#endif
