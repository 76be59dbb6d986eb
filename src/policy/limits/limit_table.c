/* The table of places: shards with a lock each, chains by hash, and those without holders in a heap.
 *
 *   key --> shard --> head[hash] --> place --> place          heap: places without holders, the one whose bucket is
 *                                                             full first on top: if that one is not, none is
 *
 * Nobody changes a bucket that nobody holds, so the order in the heap stands. Shards are large, so that one is not full much
 * before the others are; each has an eighth more than its share, so that the table holds what was asked for. */
#include "policy/limits/limit_table.h"

#include <pthread.h>
#include <stdlib.h>

#include "sallyport/base/mem.h"
#include "sallyport/base/pace.h"

#define SHARDS_MAX       16
#define SHARD_PLACES_MIN 4096

struct shard {
    _Alignas(64) pthread_mutex_t mutex;
    struct sp_limit_place *places;
    uint32_t capacity, used; /* those from `used` on have never been anybody's */
    uint32_t *heads;         /* index + 1; 0: none */
    uint32_t head_mask;
    uint32_t *heap;
    uint32_t heap_len;
};

struct sp_limit_table {
    struct shard shards[SHARDS_MAX];
    uint32_t shard_mask;
};

/* ---- the heap of those without holders ---- */

static uint64_t full_at(const struct shard *s, uint32_t rank)
{
    return atomic_load_explicit(&s->places[s->heap[rank]].full_at_ns, memory_order_relaxed);
}

static void swap(struct shard *s, uint32_t a, uint32_t b)
{
    uint32_t place = s->heap[a];

    s->heap[a] = s->heap[b];
    s->heap[b] = place;
    s->places[s->heap[a]].rank = a;
    s->places[s->heap[b]].rank = b;
}

static void settle(struct shard *s, uint32_t rank)
{
    while (rank > 0 && full_at(s, rank) < full_at(s, (rank - 1) / 2)) {
        swap(s, rank, (rank - 1) / 2);
        rank = (rank - 1) / 2;
    }
    for (;;) {
        uint32_t least = rank;
        for (uint32_t child = 2 * rank + 1; child <= 2 * rank + 2 && child < s->heap_len; child++) {
            if (full_at(s, child) < full_at(s, least))
                least = child;
        }
        if (least == rank)
            return;
        swap(s, rank, least);
        rank = least;
    }
}

static void heap_add(struct shard *s, uint32_t index)
{
    uint32_t rank = s->heap_len++;

    s->heap[rank] = index;
    s->places[index].rank = rank;
    settle(s, rank);
}

static void heap_remove(struct shard *s, uint32_t rank)
{
    uint32_t last = --s->heap_len;

    if (rank == last)
        return;
    swap(s, rank, last);
    settle(s, rank);
}

/* ---- places ---- */

static uint32_t *head_of(struct shard *s, const struct sp_limit_key *key)
{
    return &s->heads[key->half[1] & s->head_mask];
}

static struct sp_limit_place *find(struct shard *s, const struct sp_limit_key *key)
{
    for (uint32_t at = *head_of(s, key); at != 0; at = s->places[at - 1].next) {
        struct sp_limit_place *p = &s->places[at - 1];
        if (p->key.half[0] == key->half[0] && p->key.half[1] == key->half[1])
            return p;
    }
    return NULL;
}

static void unlink_place(struct shard *s, const struct sp_limit_place *p)
{
    uint32_t number = (uint32_t)(p - s->places) + 1;
    uint32_t *link = head_of(s, &p->key);

    while (*link != number)
        link = &s->places[*link - 1].next;
    *link = p->next;
}

/* One that says nothing any more, or was never anybody's. */
static struct sp_limit_place *claim(struct shard *s, uint64_t now_us)
{
    if (s->heap_len > 0 && sp_pace_is_full(now_us, full_at(s, 0))) {
        struct sp_limit_place *p = &s->places[s->heap[0]];
        heap_remove(s, 0);
        unlink_place(s, p);
        return p;
    }
    return s->used < s->capacity ? &s->places[s->used++] : NULL;
}

static struct sp_limit_place *add(struct shard *s, const struct sp_limit_key *key, uint64_t now_us)
{
    struct sp_limit_place *p = claim(s, now_us);

    if (p == NULL)
        return NULL;
    uint32_t *head = head_of(s, key);
    p->key = *key;
    p->next = *head;
    p->holders = 0;
    atomic_init(&p->full_at_ns, 0);
    atomic_init(&p->requests, 0);
    *head = (uint32_t)(p - s->places) + 1;
    return p;
}

static struct shard *shard_of(struct sp_limit_table *t, const struct sp_limit_key *key)
{
    return &t->shards[key->half[0] & t->shard_mask];
}

enum sp_rc sp_limit_table_take(struct sp_limit_table *t, const struct sp_limit_key *key, unsigned most,
    uint64_t now_us, struct sp_limit_place **out)
{
    struct shard *s = shard_of(t, key);
    enum sp_rc rc = SP_OK;

    pthread_mutex_lock(&s->mutex);
    struct sp_limit_place *p = find(s, key);
    if (p == NULL)
        p = add(s, key, now_us);
    else if (p->holders == 0)
        heap_remove(s, p->rank);
    if (p == NULL)
        rc = SP_EOF;
    else if (most != 0 && p->holders >= most)
        rc = SP_AGAIN;
    else
        p->holders++;
    pthread_mutex_unlock(&s->mutex);
    *out = rc == SP_OK ? p : NULL;
    return rc;
}

void sp_limit_table_give(struct sp_limit_table *t, struct sp_limit_place *place)
{
    struct shard *s = shard_of(t, &place->key);

    pthread_mutex_lock(&s->mutex);
    SP_ASSERT(place->holders > 0);
    if (--place->holders == 0) {
        SP_ASSERT(atomic_load_explicit(&place->requests, memory_order_relaxed) == 0);
        heap_add(s, (uint32_t)(place - s->places));
    }
    pthread_mutex_unlock(&s->mutex);
}

/* ---- life ---- */

/* Pages of places that are never used are never touched. */
static enum sp_rc make_shard(struct shard *s, uint32_t capacity)
{
    uint32_t heads = 1;

    while (heads < capacity)
        heads *= 2;
    s->capacity = capacity;
    s->head_mask = heads - 1;
    s->heads = sp_alloc(heads, sizeof(*s->heads));
    s->heap = sp_alloc(capacity, sizeof(*s->heap));
    s->places = aligned_alloc(_Alignof(struct sp_limit_place), capacity * sizeof(*s->places));
    return s->heads != NULL && s->heap != NULL && s->places != NULL ? SP_OK : SP_FAIL;
}

struct sp_limit_table *sp_limit_table_new(unsigned places)
{
    struct sp_limit_table *t = aligned_alloc(_Alignof(struct sp_limit_table), sizeof(*t));
    uint32_t shards = 1;
    enum sp_rc rc = SP_OK;

    if (t == NULL)
        return NULL;
    memset(t, 0, sizeof(*t));
    while (shards < SHARDS_MAX && places / (2 * shards) >= SHARD_PLACES_MIN)
        shards *= 2;
    uint32_t share = places / shards + (places % shards != 0);
    t->shard_mask = shards - 1;
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        t->shards[i].mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        if (i < shards && rc == SP_OK)
            rc = make_shard(&t->shards[i], shards > 1 ? share + share / 8 : share);
    }
    if (rc != SP_OK) {
        sp_limit_table_free(t);
        return NULL;
    }
    return t;
}

void sp_limit_table_free(struct sp_limit_table *t)
{
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        SP_ASSERT(t->shards[i].heap_len == t->shards[i].used); /* nothing is held */
        pthread_mutex_destroy(&t->shards[i].mutex);
        sp_free(t->shards[i].heads);
        sp_free(t->shards[i].heap);
        free(t->shards[i].places);
    }
    free(t);
}
