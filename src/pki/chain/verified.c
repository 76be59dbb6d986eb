/* A table in shards, each with a lock that is held for a scan of its few keys. No hash chains, no allocation:
 * an entry is a digest, two times and a reference. */
#include "pki/chain/verified.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>

#define SHARDS  16
#define ENTRIES 64 /* a shard */

struct entry {
    uint8_t key[SP_VERIFIED_KEY];
    int64_t from, until;
    uint64_t used;                /* the shard's clock at its last use */
    struct sp_identity *identity; /* NULL: free */
};

struct shard {
    pthread_mutex_t lock;
    uint64_t clock;
    struct entry entries[ENTRIES];
};

struct sp_verified {
    EVP_MD *sha256; /* fetched once: looking an algorithm up takes OpenSSL longer than a short digest */
    struct shard shards[SHARDS];
};

struct sp_verified *sp_verified_new(void)
{
    struct sp_verified *v = SP_NEW(struct sp_verified);
    if (v == NULL)
        return NULL;
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&v->shards[i].lock, NULL);
    v->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (v->sha256 == NULL) {
        sp_verified_free(v);
        ERR_clear_error();
        return NULL;
    }
    return v;
}

void sp_verified_free(struct sp_verified *v)
{
    if (v == NULL)
        return;
    for (int i = 0; i < SHARDS; i++) {
        for (int j = 0; j < ENTRIES; j++)
            sp_identity_free(v->shards[i].entries[j].identity);
        pthread_mutex_destroy(&v->shards[i].lock);
    }
    EVP_MD_free(v->sha256);
    sp_free(v);
}

static bool add_der(EVP_MD_CTX *digest, struct sp_slice der)
{
    uint32_t prefix = (uint32_t)der.len; /* of this process only: the order of its bytes does not matter */
    return EVP_DigestUpdate(digest, &prefix, sizeof(prefix)) == 1 &&
           EVP_DigestUpdate(digest, der.ptr, der.len) == 1;
}

static bool add_certificate(EVP_MD_CTX *digest, const X509 *cert)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    bool ok = len > 0 && add_der(digest, (struct sp_slice){(const char *)der, (size_t)len});
    OPENSSL_free(der);
    return ok;
}

enum sp_rc sp_verified_key_of(
    const struct sp_verified *v, const STACK_OF(X509) * sent, uint8_t key[SP_VERIFIED_KEY])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool ok = digest != NULL && sent != NULL && EVP_DigestInit_ex2(digest, v->sha256, NULL) == 1;
    for (int i = 0; ok && i < sk_X509_num(sent); i++)
        ok = add_certificate(digest, sk_X509_value(sent, i));
    ok = ok && EVP_DigestFinal_ex(digest, key, NULL) == 1;
    EVP_MD_CTX_free(digest);
    if (!ok)
        ERR_clear_error();
    return ok ? SP_OK : SP_FAIL;
}

enum sp_rc sp_verified_key_of_der(const struct sp_verified *v, const X509 *leaf, const struct sp_slice *chain,
    size_t chain_count, uint8_t key[SP_VERIFIED_KEY])
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool ok =
        digest != NULL && EVP_DigestInit_ex2(digest, v->sha256, NULL) == 1 && add_certificate(digest, leaf);
    for (size_t i = 0; ok && i < chain_count; i++)
        ok = add_der(digest, chain[i]);
    ok = ok && EVP_DigestFinal_ex(digest, key, NULL) == 1;
    EVP_MD_CTX_free(digest);
    if (!ok)
        ERR_clear_error();
    return ok ? SP_OK : SP_FAIL;
}

static struct shard *shard_of(struct sp_verified *v, const uint8_t key[SP_VERIFIED_KEY])
{
    return &v->shards[key[0] % SHARDS];
}

static struct entry *entry_of(struct shard *s, const uint8_t key[SP_VERIFIED_KEY])
{
    for (int i = 0; i < ENTRIES; i++) {
        if (s->entries[i].identity != NULL && memcmp(s->entries[i].key, key, SP_VERIFIED_KEY) == 0)
            return &s->entries[i];
    }
    return NULL;
}

struct sp_identity *sp_verified_find(struct sp_verified *v, const uint8_t key[SP_VERIFIED_KEY], int64_t now)
{
    struct shard *s = shard_of(v, key);
    struct sp_identity *found = NULL;
    pthread_mutex_lock(&s->lock);
    struct entry *e = entry_of(s, key);
    if (e != NULL && e->from <= now && now < e->until) {
        e->used = ++s->clock;
        found = sp_identity_ref(e->identity);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* A free one, or the longest unused. */
static struct entry *victim_of(struct shard *s)
{
    struct entry *oldest = &s->entries[0];
    for (int i = 0; i < ENTRIES; i++) {
        struct entry *e = &s->entries[i];
        if (e->identity == NULL)
            return e;
        if (e->used < oldest->used)
            oldest = e;
    }
    return oldest;
}

void sp_verified_put(struct sp_verified *v, const uint8_t key[SP_VERIFIED_KEY], int64_t from, int64_t until,
    struct sp_identity *identity)
{
    if (until <= from)
        return;
    struct shard *s = shard_of(v, key);
    pthread_mutex_lock(&s->lock);
    struct entry *e = entry_of(s, key);
    if (e == NULL)
        e = victim_of(s);
    struct sp_identity *before = e->identity;
    memcpy(e->key, key, SP_VERIFIED_KEY);
    e->from = from;
    e->until = until;
    e->used = ++s->clock;
    e->identity = sp_identity_ref(identity);
    pthread_mutex_unlock(&s->lock);
    sp_identity_free(before);
}
