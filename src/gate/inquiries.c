/* The answers of OCSP responders, remembered: sets of eight, a lock for each sixteenth of them. The key is a digest, so
 * its first bytes choose the set. No allocation: an entry is a key, an answer and two times. */
#include "inquiries_impl.h"

#include <pthread.h>
#include <stdatomic.h>

#include "sallyport/base/mem.h"

#define SETS  512
#define WAYS  8
#define LOCKS 16

/* Half of limits.handshakes as it is by default: whom a responder that hangs keeps waiting, and whom no responder is
 * asked about, both find room. */
#define UNDER_WAY 512

#define KEEP_MAX_S  ((int64_t)24 * 3600)
#define KEEP_FAIL_S 2

struct entry {
    uint8_t key[SP_INQUIRY_KEY];
    int64_t until; /* 0: free */
    uint64_t used; /* the clock of its lock at its last use */
    struct sp_ocsp_answer answer;
};

struct sp_inquiries {
    _Atomic(struct sp_fetcher *) fetcher;
    atomic_uint under_way;
    struct {
        pthread_mutex_t mutex;
        uint64_t clock;
    } locks[LOCKS];
    struct entry entries[SETS][WAYS];
};

struct sp_inquiries *sp_inquiries_new(void)
{
    struct sp_inquiries *i = SP_NEW(struct sp_inquiries);
    if (i == NULL)
        return NULL;
    for (size_t n = 0; n < LOCKS; n++)
        pthread_mutex_init(&i->locks[n].mutex, NULL);
    return i;
}

void sp_inquiries_free(struct sp_inquiries *i)
{
    if (i == NULL)
        return;
    for (size_t n = 0; n < LOCKS; n++)
        pthread_mutex_destroy(&i->locks[n].mutex);
    sp_free(i);
}

void sp_inquiries_set_fetcher(struct sp_inquiries *i, struct sp_fetcher *f)
{
    atomic_store_explicit(&i->fetcher, f, memory_order_release);
}

enum sp_rc sp_inquiries_enter(struct sp_inquiries *i, struct sp_fetcher **fetcher, const char **detail)
{
    *fetcher = atomic_load_explicit(&i->fetcher, memory_order_acquire);
    if (*fetcher == NULL) {
        *detail = "nobody is there to ask the responder";
        return SP_FAIL;
    }
    if (atomic_fetch_add_explicit(&i->under_way, 1, memory_order_relaxed) < UNDER_WAY)
        return SP_OK;
    sp_inquiries_leave(i);
    *detail = "too many questions to responders are under way";
    return SP_FAIL;
}

void sp_inquiries_leave(struct sp_inquiries *i)
{
    atomic_fetch_sub_explicit(&i->under_way, 1, memory_order_relaxed);
}

static size_t set_of(const uint8_t key[SP_INQUIRY_KEY])
{
    return ((size_t)key[0] << 8 | key[1]) % SETS;
}

static struct entry *entry_of(struct sp_inquiries *i, const uint8_t key[SP_INQUIRY_KEY])
{
    struct entry *set = i->entries[set_of(key)];
    for (size_t way = 0; way < WAYS; way++) {
        if (set[way].until != 0 && memcmp(set[way].key, key, SP_INQUIRY_KEY) == 0)
            return &set[way];
    }
    return NULL;
}

bool sp_inquiries_find(
    struct sp_inquiries *i, const uint8_t key[SP_INQUIRY_KEY], int64_t now, struct sp_ocsp_answer *out)
{
    size_t lock = set_of(key) % LOCKS;
    pthread_mutex_lock(&i->locks[lock].mutex);
    struct entry *e = entry_of(i, key);
    bool holds = e != NULL && now < e->until;
    if (holds) {
        e->used = ++i->locks[lock].clock;
        *out = e->answer;
    }
    pthread_mutex_unlock(&i->locks[lock].mutex);
    return holds;
}

/* The one that is least worth keeping. */
static struct entry *victim_of(struct entry *set, int64_t now)
{
    struct entry *worst = &set[0];
    for (size_t way = 0; way < WAYS; way++) {
        if (set[way].until <= now)
            return &set[way];
        if (set[way].used < worst->used)
            worst = &set[way];
    }
    return worst;
}

/* "Unknown" is kept as shortly as no answer: a certificate that was issued a moment ago will be known in another. */
static int64_t keep_until(const struct sp_ocsp_answer *answer, int64_t now)
{
    if (answer->status != SP_OCSP_GOOD && answer->status != SP_OCSP_REVOKED)
        return now + KEEP_FAIL_S;
    return answer->until < now + KEEP_MAX_S ? answer->until : now + KEEP_MAX_S;
}

void sp_inquiries_put(struct sp_inquiries *i, const uint8_t key[SP_INQUIRY_KEY], int64_t now,
    const struct sp_ocsp_answer *answer)
{
    size_t lock = set_of(key) % LOCKS;
    int64_t until = keep_until(answer, now);
    if (until <= now)
        return;
    pthread_mutex_lock(&i->locks[lock].mutex);
    struct entry *e = entry_of(i, key);
    if (e == NULL)
        e = victim_of(i->entries[set_of(key)], now);
    memcpy(e->key, key, SP_INQUIRY_KEY);
    e->until = until;
    e->used = ++i->locks[lock].clock;
    e->answer = *answer;
    pthread_mutex_unlock(&i->locks[lock].mutex);
}
