/* xoshiro256** (Blackman and Vigna), seeded from the kernel. Not for secrets: OpenSSL makes those. */
#include "sallyport/base/random.h"

#include <errno.h>
#include <sys/random.h>

enum sp_rc sp_random_init(struct sp_random *r)
{
    size_t got = 0;
    while (got < sizeof(r->s)) {
        ssize_t n = getrandom((char *)r->s + got, sizeof(r->s) - got, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return SP_FAIL;
        got += (size_t)n;
    }
    r->s[0] |= (r->s[0] | r->s[1] | r->s[2] | r->s[3]) == 0; /* the all-zero state never leaves itself */
    return SP_OK;
}

static uint64_t rotate_left(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t sp_random_next(struct sp_random *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}
