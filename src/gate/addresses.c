/* Handshakes by address, those that are open and those that failed: buckets of sixteen slots for each, found by a keyed
 * hash that nobody outside can steer.
 *
 *      key --hash--> bucket [ key n | key n |  -  | key n | ... ]      a slot is free when its count is 0
 *
 * A slot stays where it is while its count is not 0, so that leaving needs no search. A bucket is three quarters empty
 * when every handshake that is allowed comes from an address of its own. A slot for failures is free when its bucket of tokens is
 * full. A lock covers every 64th bucket. */
#include "sallyport/gate/addresses.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

#include "sallyport/base/mem.h"
#include "sallyport/base/random.h"

#define BUCKET_SLOTS    16
#define LOCKS           64
#define SPARE_FACTOR    4
#define BUCKETS_AT_MOST (1u << 22)

struct slot {
    uint64_t key;
    uint32_t count;
};

struct failures {
    uint64_t key;
    uint64_t full_at_ns; /* base/pace.h */
};

struct bucket {
    struct slot slots[BUCKET_SLOTS];
    struct failures failures[BUCKET_SLOTS];
};

struct lock {
    _Alignas(64) pthread_mutex_t mutex;
};

struct sp_addresses {
    struct lock locks[LOCKS];
    uint64_t secret[2];
    uint32_t mask; /* of the buckets' number, a power of two not below LOCKS */
    struct bucket *buckets;
};

struct sp_addresses *sp_addresses_new(unsigned handshakes)
{
    struct sp_random random;
    uint32_t buckets = LOCKS;

    while (
        buckets < BUCKETS_AT_MOST && (uint64_t)buckets * BUCKET_SLOTS < (uint64_t)handshakes * SPARE_FACTOR)
        buckets *= 2;
    if (sp_random_init(&random) != SP_OK)
        return NULL;
    struct sp_addresses *a = aligned_alloc(alignof(struct sp_addresses), sizeof(*a));
    if (a == NULL)
        return NULL;
    a->buckets = sp_alloc(buckets, sizeof(struct bucket));
    if (a->buckets == NULL) {
        free(a);
        return NULL;
    }
    a->mask = buckets - 1;
    a->secret[0] = sp_random_next(&random);
    a->secret[1] = sp_random_next(&random) | 1;
    for (size_t i = 0; i < LOCKS; i++)
        a->locks[i].mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    return a;
}

void sp_addresses_free(struct sp_addresses *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&a->locks[i].mutex);
    sp_free(a->buckets);
    free(a);
}

/* An IPv4 address takes a place in ::/8, of which no client's /64 is. False: not counted. */
static bool key_of(const struct sp_addr *peer, uint64_t *key)
{
    uint32_t v4;

    if (peer->len == 0)
        return false;
    switch (peer->u.sa.sa_family) {
    case AF_INET:
        memcpy(&v4, &peer->u.in4.sin_addr, sizeof(v4));
        *key = ntohl(v4);
        return true;
    case AF_INET6: {
        const uint8_t *bytes = peer->u.in6.sin6_addr.s6_addr;
        *key = 0;
        for (size_t i = 0; i < 8; i++)
            *key = *key << 8 | bytes[i];
        return true;
    }
    default:
        return false;
    }
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static uint32_t bucket_of(const struct sp_addresses *a, uint64_t key)
{
    return (uint32_t)mix(mix(key ^ a->secret[0]) * a->secret[1]) & a->mask;
}

/* The slot that has `key`, else a free one, else NULL. */
static struct slot *slot_for(struct bucket *b, uint64_t key)
{
    struct slot *free_one = NULL;

    for (size_t i = 0; i < BUCKET_SLOTS; i++) {
        struct slot *s = &b->slots[i];
        if (s->count > 0 && s->key == key)
            return s;
        if (s->count == 0 && free_one == NULL)
            free_one = s;
    }
    return free_one;
}

enum sp_rc sp_addresses_enter(
    struct sp_addresses *a, const struct sp_addr *peer, unsigned cap, uint32_t *place)
{
    uint64_t key;
    enum sp_rc rc = SP_OK;

    *place = 0;
    if (!key_of(peer, &key))
        return SP_OK;
    uint32_t at = bucket_of(a, key);
    struct bucket *b = &a->buckets[at];
    pthread_mutex_t *mutex = &a->locks[at % LOCKS].mutex;

    pthread_mutex_lock(mutex);
    struct slot *s = slot_for(b, key);
    if (s != NULL && s->count >= cap) {
        rc = SP_FAIL;
    } else if (s != NULL) {
        s->key = key;
        s->count++;
        *place = at * BUCKET_SLOTS + (uint32_t)(s - b->slots) + 1;
    }
    pthread_mutex_unlock(mutex);
    return rc;
}

void sp_addresses_leave(struct sp_addresses *a, uint32_t place)
{
    if (place == 0)
        return;
    uint32_t at = (place - 1) / BUCKET_SLOTS;
    pthread_mutex_t *mutex = &a->locks[at % LOCKS].mutex;

    pthread_mutex_lock(mutex);
    struct slot *s = &a->buckets[at].slots[(place - 1) % BUCKET_SLOTS];
    SP_ASSERT(s->count > 0);
    s->count--;
    pthread_mutex_unlock(mutex);
}

/* ---- failures ---- */

/* Those that have `key`, else what is free, else NULL. */
static struct failures *failures_of(struct bucket *b, uint64_t key, uint64_t now_us)
{
    struct failures *free_one = NULL;

    for (size_t i = 0; i < BUCKET_SLOTS; i++) {
        struct failures *f = &b->failures[i];
        bool is_free = sp_pace_is_full(now_us, f->full_at_ns);
        if (!is_free && f->key == key)
            return f;
        if (is_free && free_one == NULL)
            free_one = f;
    }
    if (free_one != NULL)
        *free_one = (struct failures){.key = key};
    return free_one;
}

/* True: another failure would be one too many; else it is counted if `count`. */
static bool look(struct sp_addresses *a, const struct sp_addr *peer, const struct sp_pace *pace,
    uint64_t now_us, bool count)
{
    uint64_t key, after_ns, wait_ns;
    bool is_over = false;

    if (!key_of(peer, &key))
        return false;
    uint32_t at = bucket_of(a, key);
    pthread_mutex_t *mutex = &a->locks[at % LOCKS].mutex;

    pthread_mutex_lock(mutex);
    struct failures *f = failures_of(&a->buckets[at], key, now_us);
    if (f != NULL) {
        is_over = !sp_pace_take(pace, now_us, f->full_at_ns, &after_ns, &wait_ns);
        if (count || is_over)
            f->full_at_ns = after_ns;
    }
    pthread_mutex_unlock(mutex);
    return is_over;
}

void sp_addresses_fail(
    struct sp_addresses *a, const struct sp_addr *peer, const struct sp_pace *pace, uint64_t now_us)
{
    (void)look(a, peer, pace, now_us, true);
}

bool sp_addresses_is_barred(
    struct sp_addresses *a, const struct sp_addr *peer, const struct sp_pace *pace, uint64_t now_us)
{
    return look(a, peer, pace, now_us, false);
}
