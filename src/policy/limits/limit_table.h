/* The places in which limits are counted: a table of fixed size, found by key, behind short locks. Private to the room.
 *
 * A place has holders, one a connection. Without any it is kept until its bucket is full again: by then it says no more
 * than a new one would, and may become another's. */
#ifndef SP_POLICY_LIMIT_TABLE_H
#define SP_POLICY_LIMIT_TABLE_H

#include <stdatomic.h>

#include "sallyport/base/base.h"

/* 128 bits of a keyed hash: nobody finds two clients that share one. */
struct sp_limit_key {
    uint64_t half[2];
};

/* A cache line each: two clients do not slow each other down. */
struct sp_limit_place {
    _Alignas(64) _Atomic uint64_t full_at_ns; /* of its bucket (base/pace.h); changed by holders only */
    _Atomic uint32_t requests;                /* in flight; likewise */
    /* The rest is the shard's, behind its lock; `key` does not change while there is a holder. */
    uint32_t holders;
    struct sp_limit_key key;
    uint32_t next; /* of those with the same hash; index + 1, 0: none */
    uint32_t rank; /* without holders: where in the shard's heap */
};

struct sp_limit_table;

/* With room for at least `places`. NULL without memory. */
SP_MUST_USE struct sp_limit_table *sp_limit_table_new(unsigned places);
void sp_limit_table_free(struct sp_limit_table *t); /* when nothing is held; takes NULL */

/* The place of `key`, with one holder more. SP_AGAIN: it has `most` holders (0: any number). SP_EOF: there is no place
 * left. Any thread. */
SP_MUST_USE enum sp_rc sp_limit_table_take(struct sp_limit_table *t, const struct sp_limit_key *key,
    unsigned most, uint64_t now_us, struct sp_limit_place **out);
/* One holder fewer. Any thread. */
void sp_limit_table_give(struct sp_limit_table *t, struct sp_limit_place *place);

#endif
