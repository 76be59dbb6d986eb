/* Callers and rules, compiled: who may do what. Immutable; built with the snapshot, read by all workers without
 * a lock. The answer has two parts: what depends on the connection alone (which callers it is, what it may not come
 * near) is computed once, as its *standing*; which rule decides, per request. The first enforced rule that matches
 * decides; none: refused. A rule in report mode decides nothing: it is remembered as what it would have done. */
#ifndef SP_POLICY_POLICY_H
#define SP_POLICY_POLICY_H

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/http/message.h"
#include "sallyport/obs/refusal.h"
#include "sallyport/pki/identity.h"

struct sp_policy;

#define SP_NONE ((size_t)-1) /* no rule, no caller, no upstream */

/* Reads the files of identities that `config` names. Shares `config`. NULL without memory or with an error in `diags`.
 * `before` (or NULL) is taken again when configuration and files are the same. Hands over one reference. Blocks on the
 * disk. */
SP_MUST_USE struct sp_policy *sp_policy_new(
    struct sp_config *config, struct sp_policy *before, struct sp_diags *diags);
struct sp_policy *sp_policy_ref(struct sp_policy *p); /* one more owner; any thread */
void sp_policy_free(struct sp_policy *p);             /* one owner fewer; any thread; takes NULL */
/* Warns of what is probably not meant: callers that nothing uses, rules that can never match, or never decide because one
 * before them always does. For `check`; milliseconds for ten thousand rules. */
void sp_policy_review(const struct sp_policy *p, struct sp_diags *diags);

/* Whether any caller asks something of certificates: only then is a standing ever unfit. */
bool sp_policy_has_requirements(const struct sp_policy *p);

/* ---- once a connection ---- */

struct sp_standing;

struct sp_connection {
    const struct sp_identity *identity; /* NULL: anonymous. Borrowed only for the call */
    const char *listener;               /* its name */
    const struct sp_addr *source;       /* NULL or without one: matches no address block */
};
/* Which callers it is, and which rules can concern it at all. NULL without memory. Belongs to the caller and to this
 * policy, which it borrows. Any thread. */
SP_MUST_USE struct sp_standing *sp_policy_stand(const struct sp_policy *p, const struct sp_connection *c);
void sp_standing_free(struct sp_standing *s); /* takes NULL */

/* The callers it is, ascending, by index in config->callers. */
struct sp_caller_ids {
    const uint32_t *items;
    size_t count;
};
struct sp_caller_ids sp_standing_callers(const struct sp_standing *s);
/* Which of config->trusted_proxies it is; SP_NONE. */
size_t sp_standing_proxy(const struct sp_standing *s);
/* A requirement of a caller that it is and does not meet: it is refused whatever it asks for. SP_REFUSAL_none: no such. */
enum sp_refusal sp_standing_unfit(const struct sp_standing *s, const char **detail);

/* ---- once a request ---- */

struct sp_policy_request {
    /* A connection of mode tcp, which asks for nothing but `host`, its SNI; the rest is absent. A rule that looks at path,
     * methods or headers never matches it. */
    bool is_tcp;
    struct sp_slice host;   /* canonical */
    struct sp_slice path;   /* checked by sp_path_check; after a rewrite, if there was one */
    struct sp_slice method; /* as it came */
    const struct sp_header *headers;
    size_t header_count;
};

#define SP_REPORTS_MAX 4 /* rules in report mode that a decision remembers; more are not counted */

/* Starts as refused. */
struct sp_decision {
    bool allowed;
    /* If not allowed: no_rule, denied, ambiguous_header, or what the standing is unfit for. */
    enum sp_refusal reason;
    unsigned status;       /* then: what to answer */
    const char *detail;    /* then, or NULL; lives as long as the standing */
    size_t rule;           /* that decided: index in config->rules; SP_NONE */
    const char *rule_name; /* or NULL */
    /* The first of the rule's `from` that it is; without a rule the first caller it is. SP_NONE and NULL: none. */
    size_t caller;
    const char *caller_name;
    size_t upstream;                /* index in config->upstreams; SP_NONE if not allowed */
    const char *upstream_name;      /* then, or NULL */
    size_t reports[SP_REPORTS_MAX]; /* rules in report mode that matched before, in order */
    size_t report_count;
};
/* Neither allocates nor fails. The standing's thread. */
void sp_policy_decide(
    const struct sp_standing *s, const struct sp_policy_request *request, struct sp_decision *out);
/* Whether any rule looks at this field: it must then be single, and must not be removed on the way. */
bool sp_policy_looks_at(const struct sp_policy *p, struct sp_slice header_name);

#endif
