/* SipHash-1-3 (Aumasson and Bernstein: SipHash, a fast short-input PRF), over a tag of eight bytes and then the bytes. One round
 * a block is enough for tables: who looks from outside sees times, never a hash. */
#include "sallyport/base/hash.h"

#include "sallyport/base/random.h"

enum sp_rc sp_hash_key_init(struct sp_hash_key *key)
{
    struct sp_random random;
    if (sp_random_init(&random) != SP_OK)
        return SP_FAIL;
    key->k[0] = sp_random_next(&random);
    key->k[1] = sp_random_next(&random);
    return SP_OK;
}

static inline uint64_t rotate_left(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static inline void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] = rotate_left(v[2], 32);
}

static inline void take(uint64_t v[4], uint64_t block)
{
    v[3] ^= block;
    mix(v);
    v[0] ^= block;
}

uint64_t sp_hash(const struct sp_hash_key *key, uint64_t tag, struct sp_slice bytes)
{
    uint64_t v[4] = {key->k[0] ^ UINT64_C(0x736f6d6570736575), key->k[1] ^ UINT64_C(0x646f72616e646f6d),
        key->k[0] ^ UINT64_C(0x6c7967656e657261), key->k[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t block = 0;
    size_t at = 0;
    take(v, tag);
    for (; bytes.len - at >= sizeof block; at += sizeof block) {
        memcpy(&block, bytes.ptr + at, sizeof block);
        take(v, block);
    }
    block = (uint64_t)bytes.len << 56;
    for (size_t i = 0; at + i < bytes.len; i++)
        block |= (uint64_t)(uint8_t)bytes.ptr[at + i] << 8 * i;
    take(v, block);
    v[2] ^= 0xff;
    mix(v);
    mix(v);
    mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
