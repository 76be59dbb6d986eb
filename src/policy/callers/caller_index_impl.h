/* What is inside of the index of callers. Private to caller_index.c, which asks it, and caller_index_build.c, which fills it. */
#ifndef SP_POLICY_CALLER_INDEX_IMPL_H
#define SP_POLICY_CALLER_INDEX_IMPL_H

#include "policy/callers/caller_index.h"
#include "policy/common/segment_trie.h"

struct sp_caller_slot {
    uint32_t hash;  /* the upper half */
    uint32_t first; /* entry, from 1; 0: free */
};

struct sp_caller_index {
    struct sp_hash_key key;
    struct sp_caller_slot *slots;
    size_t mask;
    uint32_t *next; /* by entry: another one with the same key, from 1 */
    struct sp_segment_trie *uris;
    uint64_t prefixes[2][3]; /* IPv4, IPv6: the lengths of prefixes that there are, a bit each */
};

/* What a field is found by, once hashed. */
uint64_t sp_caller_index_hash(const struct sp_hash_key *key, const struct sp_field *f);
/* How little it says of who somebody is: weighs how many entries share what it is found by. */
uint64_t sp_caller_index_cost(const struct sp_field *f);
/* Has it a wildcard? A URI that does is found in the tree; everything else in the table. */
bool sp_caller_index_is_pattern(const struct sp_field *f);

#endif
