/* A table in shards, each with a lock that is held for a scan of its few keys. No hash chains, no allocation:
 * an entry is a digest, two times and references. */
#include "pki/chain/verified.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>

#define SHARDS    16
#define ENTRIES   64 /* a shard */
#define LIBRARIES 4  /* an entry; who comes by way of one more is not given a shared leaf */

/* A parsed certificate belongs to the library context that it was parsed in: its key is used fastest there. */
struct leaf {
    OSSL_LIB_CTX *library; /* borrowed; compared, never used */
    X509 *cert;            /* one reference; NULL: none */
};

struct entry {
    uint8_t key[SP_VERIFIED_KEY];
    int64_t from, until;
    uint64_t used;                /* the shard's clock at its last use */
    struct sp_identity *identity; /* NULL: free */
    struct leaf leaves[LIBRARIES];
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

static void free_leaves(const struct leaf leaves[LIBRARIES])
{
    for (int i = 0; i < LIBRARIES; i++)
        X509_free(leaves[i].cert);
}

void sp_verified_free(struct sp_verified *v)
{
    if (v == NULL)
        return;
    for (int i = 0; i < SHARDS; i++) {
        for (int j = 0; j < ENTRIES; j++) {
            sp_identity_free(v->shards[i].entries[j].identity);
            free_leaves(v->shards[i].entries[j].leaves);
        }
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
    struct leaf leaves[LIBRARIES] = {0};
    pthread_mutex_lock(&s->lock);
    struct entry *e = entry_of(s, key);
    if (e == NULL) {
        e = victim_of(s);
        memcpy(leaves, e->leaves, sizeof(leaves));
        memset(e->leaves, 0, sizeof(e->leaves));
    }
    struct sp_identity *before = e->identity;
    memcpy(e->key, key, SP_VERIFIED_KEY);
    e->from = from;
    e->until = until;
    e->used = ++s->clock;
    e->identity = sp_identity_ref(identity);
    pthread_mutex_unlock(&s->lock);
    sp_identity_free(before);
    free_leaves(leaves);
}

/* Its own, if it has one of that library; else `cert` becomes that. NULL: there is neither. Adds a reference. */
static X509 *leaf_of(struct entry *e, OSSL_LIB_CTX *library, X509 *cert)
{
    for (int i = 0; i < LIBRARIES; i++) {
        struct leaf *l = &e->leaves[i];
        if (l->cert == NULL && X509_up_ref(cert) == 1)
            *l = (struct leaf){library, cert};
        if (l->cert != NULL && l->library == library)
            return X509_up_ref(l->cert) == 1 ? l->cert : NULL;
    }
    return NULL;
}

X509 *sp_verified_leaf(struct sp_verified *v, const uint8_t key[SP_VERIFIED_KEY], X509 *cert)
{
    struct shard *s = shard_of(v, key);
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_set0_default(NULL); /* changes nothing: that is how one asks */
    pthread_mutex_lock(&s->lock);
    struct entry *e = entry_of(s, key);
    X509 *leaf = e != NULL ? leaf_of(e, library, cert) : NULL;
    pthread_mutex_unlock(&s->lock);
    return leaf;
}
