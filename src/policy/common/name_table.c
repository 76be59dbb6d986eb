/* An open-addressed table of names, never more than half full: thousands of rules name thousands of callers, and each
 * name is looked up while the policy is built. */
#include "policy/common/name_table.h"

struct sp_name_slot {
    struct sp_slice name; /* ptr NULL: free */
    uint32_t number;
};

enum sp_rc sp_name_table_init(
    struct sp_name_table *n, struct sp_arena *arena, const struct sp_hash_key *key, size_t count)
{
    size_t slots = 4;
    while (slots < 2 * count)
        slots *= 2;
    n->slots = sp_arena_alloc(arena, slots, sizeof *n->slots);
    n->mask = slots - 1;
    n->key = *key;
    return n->slots != NULL ? SP_OK : SP_FAIL;
}

/* Where it is, or would be. */
static struct sp_name_slot *slot_of(const struct sp_name_table *n, struct sp_slice name)
{
    size_t i = sp_hash(&n->key, 'n', name) & n->mask;
    while (n->slots[i].name.ptr != NULL && !sp_slice_equal(n->slots[i].name, name))
        i = (i + 1) & n->mask;
    return &n->slots[i];
}

uint32_t sp_name_table_add(struct sp_name_table *n, struct sp_slice name, uint32_t number)
{
    struct sp_name_slot *slot = slot_of(n, name);
    if (slot->name.ptr == NULL)
        *slot = (struct sp_name_slot){name, number};
    return slot->number;
}

uint32_t sp_name_table_find(const struct sp_name_table *n, struct sp_slice name)
{
    const struct sp_name_slot *slot = name.ptr != NULL ? slot_of(n, name) : NULL;
    return slot != NULL && slot->name.ptr != NULL ? slot->number : SP_NO_NAME;
}
