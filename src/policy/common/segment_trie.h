/* Which of many path patterns match a path: a tree over segments, so that it costs about as much as the path is long, however
 * many patterns there are. Immutable once made. Private to the room.
 *
 * Patterns are those of sp_path_pattern_compile ("*" inside a segment, "**" as the last). In front of each stands a `head`,
 * which is compared byte for byte as a whole: scheme and authority of a URI, or a host, or nothing.
 *
 * What is found is exactly what sp_path_match finds. Cost: a hash a segment and node that is reached; at most as many nodes are
 * reached at a depth as there are wildcards that fit there. Segments with literal bytes beside their "*" are found by the
 * bytes before it, or behind the last one; those that share both are compared one by one. */
#ifndef SP_POLICY_SEGMENT_TRIE_H
#define SP_POLICY_SEGMENT_TRIE_H

#include "sallyport/base/base.h"
#include "sallyport/base/hash.h"
#include "sallyport/base/mem.h"

struct sp_segment_trie;

struct sp_trie_pattern {
    struct sp_slice head;    /* or empty */
    struct sp_slice pattern; /* begins with '/' */
    uint32_t id;
};

/* Made of `count` patterns, in any order; ids may come twice. Lives in `arena` and borrows the patterns' text. `key` is kept
 * by value. NULL without memory. */
SP_MUST_USE struct sp_segment_trie *sp_segment_trie_new(struct sp_arena *arena, const struct sp_hash_key *key,
    const struct sp_trie_pattern *patterns, size_t count);
/* Calls `each` with the id of every pattern that matches, in no order. `path` begins with '/' (else nothing matches). Neither
 * allocates nor fails. Any thread. */
void sp_segment_trie_match(const struct sp_segment_trie *t, struct sp_slice head, struct sp_slice path,
    void (*each)(void *arg, uint32_t id), void *arg);

#endif
