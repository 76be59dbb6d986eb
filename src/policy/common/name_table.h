/* Names and the numbers they stand for, by hash. Built once, then only asked. Private to the room. */
#ifndef SP_POLICY_NAME_TABLE_H
#define SP_POLICY_NAME_TABLE_H

#include "sallyport/base/base.h"
#include "sallyport/base/hash.h"
#include "sallyport/base/mem.h"

#define SP_NO_NAME UINT32_MAX

struct sp_name_table {
    struct sp_name_slot *slots; /* in the arena */
    size_t mask;
    struct sp_hash_key key;
};

/* Room for `count` names. SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_name_table_init(
    struct sp_name_table *n, struct sp_arena *arena, const struct sp_hash_key *key, size_t count);
/* Borrows `name`. One that is there already keeps its number, which is returned; else `number`. */
uint32_t sp_name_table_add(struct sp_name_table *n, struct sp_slice name, uint32_t number);
/* SP_NO_NAME: it is not there. */
uint32_t sp_name_table_find(const struct sp_name_table *n, struct sp_slice name);

#endif
