/* The sessions that we keep: a table by their ids, a list by their age, and the families that they are of.
 *
 * A family is what descends from one full handshake. TLS 1.3 gives a new session at each resumption, so a client that comes
 * back all the time would fill the table with its own and drive out everybody else's: of each family only the newest
 * few are kept. All of a family share what is known of the handshake that it began with, and the client's certificate.
 *
 *   the lock is held for pointers alone; whatever is freed, copied or allocated is so outside of it
 *   a session is handed out as a copy: OpenSSL writes into the one that it has (a fatal alert ends it, RFC 5246 §7.2.2), and
 *   whoever shows an id that he has only seen on the wire must not spoil it for the one that it belongs to
 *   an id is 32 random bytes of our own: where it lies in the table cannot be chosen by clients
 *
 * Who may come back by one is decided in resume.c. */
#include <pthread.h>

#include "sallyport/base/list.h"
#include "sallyport/base/mem.h"
#include "tls_private.h"

/* So many connections of one client can each come back by a session of their own. */
#define FAMILY_MAX 32

struct family {
    atomic_uint refs;
    struct origin origin;
    /* Under the lock of the sessions: */
    struct sp_list members; /* struct kept.in_family, the oldest first */
    size_t count;
    char bytes[]; /* what `origin` points at */
};

struct kept {
    unsigned char id[SESSION_ID];
    struct kept *next; /* in its bucket */
    struct sp_list by_age, in_family;
    struct family *family; /* one reference */
    SSL_SESSION *session;  /* one reference */
    int64_t until;         /* seconds since 1970 */
};

struct sp_sessions {
    atomic_uint refs;
    pthread_mutex_t lock;
    struct sp_list by_age; /* struct kept.by_age, the oldest first */
    size_t count, max;
    uint64_t evicted;
    struct kept **buckets; /* NULL: none */
    size_t bucket_count;   /* a power of two, or 0 */
};

/* ---- families ---- */

struct family *family_new(struct sp_slice bytes)
{
    struct family *f = sp_alloc(1, sizeof *f + bytes.len);
    if (f == NULL)
        return NULL;
    atomic_init(&f->refs, 1);
    sp_list_init(&f->members);
    memcpy(f->bytes, bytes.ptr, bytes.len);
    if (!origin_read((struct sp_slice){f->bytes, bytes.len}, &f->origin))
        SP_FREE(f);
    return f;
}

static struct family *family_ref(struct family *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void family_free(struct family *f)
{
    if (f != NULL && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
        sp_free(f);
}

const struct origin *family_origin(const struct family *f)
{
    return &f->origin;
}

/* ---- the table, under the lock ---- */

static struct kept **bucket_of(const struct sp_sessions *s, const unsigned char id[SESSION_ID])
{
    uint64_t n;
    memcpy(&n, id, sizeof n);
    return &s->buckets[n & (s->bucket_count - 1)];
}

/* Where the pointer to the one of that id is, or would be. */
static struct kept **place_of(const struct sp_sessions *s, const unsigned char id[SESSION_ID])
{
    struct kept **at = bucket_of(s, id);
    while (*at != NULL && memcmp((*at)->id, id, SESSION_ID) != 0)
        at = &(*at)->next;
    return at;
}

/* Out of everything and onto `gone`, to be freed without the lock. */
static void take_out(struct sp_sessions *s, struct kept *k, struct kept **gone)
{
    *place_of(s, k->id) = k->next;
    sp_list_remove(&k->by_age);
    sp_list_remove(&k->in_family);
    k->family->count--;
    s->count--;
    k->next = *gone;
    *gone = k;
}

static struct kept *oldest_of(const struct sp_sessions *s)
{
    return SP_CONTAINER_OF(s->by_age.next, struct kept, by_age);
}

static void add(struct sp_sessions *s, struct kept *k)
{
    struct kept **at = bucket_of(s, k->id);
    k->next = *at;
    *at = k;
    sp_list_append(&s->by_age, &k->by_age);
    sp_list_append(&k->family->members, &k->in_family);
    k->family->count++;
    s->count++;
}

/* ---- without it ---- */

static void free_all(struct kept *gone)
{
    while (gone != NULL) {
        struct kept *k = gone;
        gone = k->next;
        SSL_SESSION_free(k->session);
        family_free(k->family);
        sp_free(k);
    }
}

static struct kept *kept_new(SSL_SESSION *session, struct family *family, int64_t until)
{
    unsigned len;
    const unsigned char *id = SSL_SESSION_get_id(session, &len);
    struct kept *k = len == SESSION_ID ? SP_NEW(struct kept) : NULL;
    if (k == NULL)
        return NULL;
    if (SSL_SESSION_up_ref(session) != 1) {
        sp_free(k);
        return NULL;
    }
    memcpy(k->id, id, SESSION_ID);
    k->session = session;
    k->family = family_ref(family);
    k->until = until;
    return k;
}

void sessions_put(
    struct sp_sessions *s, SSL_SESSION *session, struct family *family, int64_t now, int64_t until)
{
    struct kept *gone = NULL, *k = until > now ? kept_new(session, family, until) : NULL;
    if (k == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    while (s->count > 0 && oldest_of(s)->until <= now)
        take_out(s, oldest_of(s), &gone);
    if (family->count == FAMILY_MAX)
        take_out(s, SP_CONTAINER_OF(family->members.next, struct kept, in_family), &gone);
    if (s->max == 0 || *place_of(s, k->id) != NULL) {
        k->next = gone;
        gone = k;
    } else {
        if (s->count == s->max) {
            take_out(s, oldest_of(s), &gone);
            s->evicted++;
        }
        add(s, k);
    }
    pthread_mutex_unlock(&s->lock);
    free_all(gone);
}

SSL_SESSION *sessions_find(
    struct sp_sessions *s, const unsigned char *id, size_t len, int64_t now, struct family **family)
{
    SSL_SESSION *found = NULL, *copy = NULL;
    *family = NULL;
    if (len != SESSION_ID)
        return NULL;
    pthread_mutex_lock(&s->lock);
    struct kept *k = s->bucket_count > 0 ? *place_of(s, id) : NULL;
    if (k != NULL && now < k->until && SSL_SESSION_up_ref(k->session) == 1) {
        found = k->session;
        *family = family_ref(k->family);
    }
    pthread_mutex_unlock(&s->lock);
    if (found != NULL && SSL_SESSION_is_resumable(found))
        copy = SSL_SESSION_dup(found);
    SSL_SESSION_free(found);
    if (copy == NULL) {
        family_free(*family);
        *family = NULL;
    }
    return copy;
}

/* ---- as a whole ---- */

struct sp_sessions *sp_sessions_new(void)
{
    struct sp_sessions *s = SP_NEW(struct sp_sessions);
    if (s == NULL)
        return NULL;
    atomic_init(&s->refs, 1);
    pthread_mutex_init(&s->lock, NULL);
    sp_list_init(&s->by_age);
    return s;
}

static size_t buckets_for(size_t max)
{
    size_t n = 64;
    while (n < max)
        n *= 2;
    return n;
}

/* Moves everything to `buckets`; what was there before is the caller's. Under the lock. */
static struct kept **move_to(struct sp_sessions *s, struct kept **buckets, size_t count)
{
    struct kept **before = s->buckets;
    s->buckets = buckets;
    s->bucket_count = count;
    SP_LIST_EACH (&s->by_age, it) {
        struct kept *k = SP_CONTAINER_OF(it, struct kept, by_age);
        struct kept **at = bucket_of(s, k->id);
        k->next = *at;
        *at = k;
    }
    return before;
}

/* Without memory for a table of the right size the one before goes on, a little slower; without any, nothing is kept. */
void sp_sessions_set_max(struct sp_sessions *s, size_t max)
{
    struct kept *gone = NULL;
    size_t count = max > 0 ? buckets_for(max) : 0;
    struct kept **buckets = count > 0 ? sp_alloc(count, sizeof(struct kept *)) : NULL;
    pthread_mutex_lock(&s->lock);
    if (buckets == NULL && s->buckets == NULL)
        max = 0;
    while (s->count > max)
        take_out(s, oldest_of(s), &gone);
    s->max = max;
    if (buckets != NULL && count != s->bucket_count)
        buckets = move_to(s, buckets, count);
    pthread_mutex_unlock(&s->lock);
    sp_free(buckets);
    free_all(gone);
}

size_t sp_sessions_count(struct sp_sessions *s)
{
    pthread_mutex_lock(&s->lock);
    size_t count = s->count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

uint64_t sp_sessions_evicted(struct sp_sessions *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t evicted = s->evicted;
    pthread_mutex_unlock(&s->lock);
    return evicted;
}

struct sp_sessions *sp_sessions_ref(struct sp_sessions *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void sp_sessions_free(struct sp_sessions *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct kept *gone = NULL;
    while (s->count > 0)
        take_out(s, oldest_of(s), &gone);
    free_all(gone);
    pthread_mutex_destroy(&s->lock);
    sp_free(s->buckets);
    sp_free(s);
}
