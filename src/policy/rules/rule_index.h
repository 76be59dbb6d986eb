/* Which rules can concern a host and a path: for each pair of patterns that rules have the rules that have it, found over
 * the host and a tree of path segments. What is found is complete, not exact: conditions are looked at again. Immutable
 * once made. Private to the room. */
#ifndef SP_POLICY_RULE_INDEX_H
#define SP_POLICY_RULE_INDEX_H

#include "policy/common/name_table.h"
#include "policy/common/segment_trie.h"
#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"

/* Rules by number, ascending. */
struct sp_posting {
    const uint32_t *items;
    size_t count;
};

/* Many of them, one behind the other: those of `i` are items[starts[i]] up to items[starts[i + 1]]. */
struct sp_postings {
    uint32_t *starts, *items;
};

static inline struct sp_posting sp_postings_of(const struct sp_postings *p, size_t i)
{
    return (struct sp_posting){p->items + p->starts[i], p->starts[i + 1] - p->starts[i]};
}

struct sp_rule_index {
    struct sp_segment_trie *trie;  /* of the groups with a path */
    struct sp_name_table pathless; /* host pattern to its group without a path */
    struct sp_postings rules;      /* by group */
};

/* A rule as the index sees it. */
struct sp_rule_key {
    struct sp_slice host; /* "a.example", "*.example"; empty: any */
    struct sp_slice path; /* a pattern; empty: any */
    uint32_t rule;
};

/* Sorts `keys` in place; borrows their text. SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_rule_index_build(struct sp_rule_index *index, struct sp_arena *arena,
    const struct sp_hash_key *key, struct sp_rule_key *keys, size_t count);

#define SP_POSTINGS_MAX 32 /* that a request is looked up in */

struct sp_found {
    struct sp_posting lists[SP_POSTINGS_MAX];
    size_t count, rules; /* lists, and rules in all of them */
    bool overflow;       /* there are more lists: nothing is said */
};
/* A rule is in at most one list. Neither allocates nor fails. */
void sp_rule_index_find(
    const struct sp_rule_index *index, struct sp_slice host, struct sp_slice path, struct sp_found *out);

#endif
