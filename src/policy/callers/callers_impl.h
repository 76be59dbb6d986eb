/* What is inside of compiled callers. A *set* is a caller (its index in config->callers) or, behind those, a list: an entry of a
 * caller names either as "who is in that one". Private to callers.c, caller_ranks.c and caller_search.c. */
#ifndef SP_POLICY_CALLERS_IMPL_H
#define SP_POLICY_CALLERS_IMPL_H

#include "policy/callers/caller_fields.h"
#include "policy/callers/caller_index.h"
#include "policy/callers/callers.h"
#include "policy/callers/lists.h"
#include "policy/common/name_table.h"

struct sp_caller_list {
    const char *path;
    struct sp_slice text;
    struct sp_list_digest digest;
};

struct sp_compiled_callers {
    const struct sp_config *config;
    struct sp_hash_key key;
    struct sp_name_table names; /* of callers */
    struct sp_caller_list *lists;
    size_t list_count;
    /* Entries of one set lie together: those of set i are [entries_of[i], entries_of[i + 1]). */
    struct sp_caller_entry *entries;
    uint32_t *entries_of;
    size_t entry_count;
    struct sp_field *fields;
    size_t field_count;
    /* By set. 0: its entries name no other set; else one more than the highest that they name. In this order every set is
     * settled before those that name it. */
    uint32_t *rank;
    struct sp_caller_index *index;
};

/* caller_ranks.c. Fills `rank`; the entries are there. A circle is told, and sets b->failed. */
void sp_callers_rank(struct sp_policy_build *b, struct sp_compiled_callers *callers);

static inline size_t sp_callers_sets(const struct sp_compiled_callers *c)
{
    return c->config->caller_count + c->list_count;
}

#endif
