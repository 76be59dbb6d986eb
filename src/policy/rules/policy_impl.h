/* What is inside of a policy: the compiled rules, what they are asked about, and where they are found. Private to the
 * room. Who a caller is: callers.h; the conditions of a rule: conditions.h. */
#ifndef SP_POLICY_IMPL_H
#define SP_POLICY_IMPL_H

#include <stdatomic.h>

#include "policy/callers/callers.h"
#include "policy/common/name_table.h"
#include "policy/rules/rule_index.h"
#include "sallyport/base/mem.h"
#include "sallyport/match/match.h"
#include "sallyport/pki/requirements.h"
#include "sallyport/policy/policy.h"

/* ---- rules ---- */

/* Callers that a rule names: as the operator listed them, and by id. */
struct sp_caller_rank {
    uint32_t caller, rank;
};
struct sp_caller_set {
    const uint32_t *items;
    const struct sp_caller_rank *sorted;
    size_t count;
};

struct sp_header_condition {
    size_t watched;         /* which of sp_policy.watched */
    struct sp_slice equals; /* absent: it is there */
};

struct sp_rule {
    const struct sp_config_rule *config;
    unsigned given; /* which conditions it has: bits by their place in the table of conditions.c */
    bool reports;
    struct sp_caller_set from, not_from;
    const uint32_t *listeners;
    size_t listener_count;
    struct sp_slice host;      /* absent: any */
    struct sp_slice path_text; /* as paths are compared; absent: any */
    struct sp_path_pattern path;
    const struct sp_slice *methods;
    size_t method_count;
    const struct sp_header_condition *headers;
    size_t header_count;
    const struct sp_cidr *sources;
    size_t source_count;
    size_t upstream;
};

struct sp_proxy_rule {
    struct sp_caller_set from;
    const struct sp_cidr *sources;
    size_t source_count;
};

/* A field that some rule looks at. */
#define SP_WATCHED_MAX 64 /* different ones in all rules */
struct sp_watched {
    struct sp_slice name;
    const char *twice; /* what is told of a request that has it twice */
};

struct sp_policy {
    _Atomic unsigned refs;
    struct sp_arena arena;
    struct sp_config *config; /* one reference */
    struct sp_hash_key hash_key;
    struct sp_compiled_callers *callers;
    struct sp_name_table listener_names, upstream_names;
    struct sp_rule *rules;
    size_t rule_count;
    struct sp_postings rules_of;   /* by caller: the rules that it is in the `from` of */
    struct sp_posting for_anybody; /* rules without `from` */
    struct sp_rule_index index;
    struct sp_proxy_rule *proxies;
    struct sp_requirements **requirements; /* by caller; NULL: nobody has any */
    struct sp_watched watched[SP_WATCHED_MAX];
    size_t watched_count;
    uint64_t watched_lengths; /* a bit for each length of name; the last for all longer ones */
};

/* rules.c. Errors are told and set b->failed. */
void sp_rules_compile(struct sp_policy *p, struct sp_policy_build *b);
/* The number of each name; `key` is what they stand under. */
void sp_policy_find_callers(struct sp_policy *p, struct sp_policy_build *b, const struct sp_strings *names,
    const char *key, struct sp_caller_set *out);
void sp_policy_find_blocks(struct sp_policy_build *b, const struct sp_strings *blocks, const char *key,
    const struct sp_cidr **out, size_t *count);

/* ---- what is asked about ---- */

/* A connection, and (not when only the standing is made) a request of it. */
struct sp_facts {
    const struct sp_policy *policy;
    struct sp_caller_ids callers;
    uint32_t listener; /* in config->listeners, or SP_NO_NAME */
    const char *listener_name;
    const struct sp_addr *source; /* or NULL */
    const struct sp_policy_request *request;
    struct sp_slice path;                         /* the request's, as paths are compared */
    const struct sp_header *seen[SP_WATCHED_MAX]; /* of watched fields: where it is, or NULL */
};

/* standing.c. All but `request` and `seen`; borrows. */
void sp_facts_of_connection(struct sp_facts *f, const struct sp_policy *p, const struct sp_connection *c,
    struct sp_caller_ids callers);
/* decide.c. Fills `seen`. Which watched field is there twice; SP_NONE: none is. */
SP_MUST_USE size_t sp_facts_see_headers(struct sp_facts *f);

/* ---- standing ---- */

/* Measured: from about so many on, asking the index costs less than looking at all of them. */
#define SP_CANDIDATES_MAX 32

struct sp_standing {
    const struct sp_policy *policy;
    struct sp_caller_ids callers; /* `items` is owned */
    size_t proxy;
    enum sp_refusal unfit;
    char *unfit_detail;
    size_t candidate_count;     /* rules whose conditions on the connection hold */
    const uint32_t *candidates; /* them, ascending; NULL if there are more than SP_CANDIDATES_MAX */
    const uint64_t *bits;       /* then: a bit for each rule */
};

/* Which of `set` comes first of those that the client is, as its place in set->items; SP_NONE. */
size_t sp_callers_first(const struct sp_caller_set *set, struct sp_caller_ids ids);

#endif
