/* Numbers that need not be secret: request ids. Never keys, never tokens. */
#ifndef SP_BASE_RANDOM_H
#define SP_BASE_RANDOM_H

#include "sallyport/base/base.h"

/* xoshiro256**, one per thread, no lock. */
struct sp_random {
    uint64_t s[4];
};

/* Seeds from getrandom(2). SP_FAIL only when the kernel has none. */
SP_MUST_USE enum sp_rc sp_random_init(struct sp_random *r);
uint64_t sp_random_next(struct sp_random *r);

#endif
