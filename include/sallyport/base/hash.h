/* A keyed hash (SipHash-1-3) for tables whose keys others choose: who does not know the key cannot make names collide. */
#ifndef SP_BASE_HASH_H
#define SP_BASE_HASH_H

#include "sallyport/base/base.h"

struct sp_hash_key {
    uint64_t k[2]; /* random */
};

/* SP_FAIL only when the kernel has no random bytes. */
SP_MUST_USE enum sp_rc sp_hash_key_init(struct sp_hash_key *key);
/* Of `tag`, which says what kind of thing it is, and the bytes. */
uint64_t sp_hash(const struct sp_hash_key *key, uint64_t tag, struct sp_slice bytes);

#endif
