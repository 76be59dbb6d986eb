/* Which entries of callers can hold for an identity, found by its names: what is found is complete, not exact. Immutable once made.
 * Private to the room.
 *
 * Each entry is found by one of its fields, the one by which the fewest others are found. Cost: a hash look-up or two a name (for
 * an address one for each length of prefix that there is), and the tree of segments for URIs. */
#ifndef SP_POLICY_CALLER_INDEX_H
#define SP_POLICY_CALLER_INDEX_H

#include "policy/callers/caller_fields.h"
#include "sallyport/base/hash.h"

/* All of `fields` must hold for whoever is to be in `set`. */
struct sp_caller_entry {
    uint32_t set;
    uint32_t first; /* of its fields */
    uint32_t count; /* at least one */
};

struct sp_caller_index;

/* Lives in `arena`; borrows entries and fields. NULL without memory. */
SP_MUST_USE struct sp_caller_index *sp_caller_index_new(struct sp_arena *arena, const struct sp_hash_key *key,
    const struct sp_caller_entry *entries, size_t entry_count, const struct sp_field *fields);

typedef void sp_each_entry(void *arg, uint32_t entry);
/* The entries that the identity (NULL: anonymous) leads to; one may come several times. Neither allocates nor fails. */
void sp_caller_index_probe(
    const struct sp_caller_index *index, const struct sp_identity *id, sp_each_entry *each, void *arg);
/* The entries that being in `set` leads to. */
void sp_caller_index_probe_set(
    const struct sp_caller_index *index, uint32_t set, sp_each_entry *each, void *arg);

#endif
