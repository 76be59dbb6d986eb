/* A library context of OpenSSL in which the default provider stands behind one of ours, which shows a part of it.
 *
 * Each time that OpenSSL 3.0 reads a public key, it walks over every decoder and every key type that the context's providers
 * have, several times, and asks each for its names. Here it finds one decoder for each kind of key that a certificate may
 * hold, and of everything else what TLS and certificates ask for: whatever is missing below is unknown to a gate's thread.
 *
 * The algorithms are the default provider's own and are made by an instance of it, which has a library context to itself
 * (`whole`), so that what they look up for themselves (HKDF its digest, the generator its cipher) shares no lock with another
 * thread either. Elsewhere: who has which library is src/snapshot/snapshot.c's to say. */
#include "sallyport/tls/library.h"

#include <openssl/conf.h>
#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "sallyport/base/mem.h"

#include "tls_private.h"

/* From this version on OpenSSL remembers how it decodes a kind of key. */
#define REMEMBERS_DECODERS 0x30200000UL
#define PROVIDER_NAME      "sallyport"

struct sp_tls_library {
    OSSL_LIB_CTX *whole;       /* of the instance that does the work */
    OSSL_PROVIDER *everything; /* that instance */
    OSSL_LIB_CTX *part;
    OSSL_PROVIDER *shown;
};

/* ---- what is shown ---- */

/* By the first of each algorithm's names. An operation that is not here has nothing: encoders, stores, the transport of keys. */
static const struct {
    int operation;
    const char *name;
} SHOWN[] = {
    {OSSL_OP_DECODER, "EC"},
    {OSSL_OP_DECODER, "RSA"},
    {OSSL_OP_DECODER, "RSA-PSS"},
    {OSSL_OP_DECODER, "ED25519"},
    {OSSL_OP_DECODER, "ED448"},
    {OSSL_OP_DECODER, "DSA"}, /* refused by its name, and a CA may still have one */
    {OSSL_OP_KEYMGMT, "EC"},
    {OSSL_OP_KEYMGMT, "RSA"},
    {OSSL_OP_KEYMGMT, "RSA-PSS"},
    {OSSL_OP_KEYMGMT, "ED25519"},
    {OSSL_OP_KEYMGMT, "ED448"},
    {OSSL_OP_KEYMGMT, "DSA"},
    {OSSL_OP_KEYMGMT, "X25519"},
    {OSSL_OP_KEYMGMT, "HMAC"}, /* the binder of a ticket */
    {OSSL_OP_KEYEXCH, "ECDH"},
    {OSSL_OP_KEYEXCH, "X25519"},
    {OSSL_OP_CIPHER, "AES-128-GCM"},
    {OSSL_OP_CIPHER, "AES-256-GCM"},
    {OSSL_OP_CIPHER, "ChaCha20-Poly1305"},
    {OSSL_OP_CIPHER, "AES-256-CBC"}, /* tickets */
    {OSSL_OP_MAC, "HMAC"},
    {OSSL_OP_KDF, "HKDF"},
    {OSSL_OP_KDF, "TLS13-KDF"},
    {OSSL_OP_KDF, "TLS1-PRF"},
    {OSSL_OP_RAND, "CTR-DRBG"},
    {OSSL_OP_RAND, "SEED-SRC"},
};
/* All that there is of them: what may sign a certificate is judged elsewhere, and by its name. */
static const int SHOWN_WHOLE[] = {OSSL_OP_DIGEST, OSSL_OP_SIGNATURE};
/* What a certificate has of a decoder's many kinds of input. */
#define CERTIFICATES_KEY "structure=SubjectPublicKeyInfo"

/* OpenSSL asks a provider with nothing but what the algorithms need of theirs, so that there is no way from there to a library:
 * what all of them show is the same and is found once. It is constant from then on and lives as long as the process. */
static struct {
    pthread_once_t once;
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *provider; /* NULL: there is none */
    OSSL_ALGORITHM items[SP_COUNTOF(SHOWN) + OSSL_OP__HIGHEST + 1];
    const OSSL_ALGORITHM *lists[OSSL_OP__HIGHEST + 1]; /* by operation; into `items`, or the provider's own */
} view = {.once = PTHREAD_ONCE_INIT};

static bool is_shown(int operation, const OSSL_ALGORITHM *a)
{
    size_t len = strcspn(a->algorithm_names, ":");

    if (operation == OSSL_OP_DECODER && strstr(a->property_definition, CERTIFICATES_KEY) == NULL)
        return false;
    for (size_t i = 0; i < SP_COUNTOF(SHOWN); i++) {
        if (SHOWN[i].operation == operation && strlen(SHOWN[i].name) == len &&
            strncmp(SHOWN[i].name, a->algorithm_names, len) == 0)
            return true;
    }
    return false;
}

static void find_view(void)
{
    OSSL_ALGORITHM *next = view.items;
    size_t left = SP_COUNTOF(SHOWN);
    int no_cache;

    view.context = OSSL_LIB_CTX_new();
    view.provider = view.context != NULL ? OSSL_PROVIDER_load(view.context, "default") : NULL;
    for (int op = 1; view.provider != NULL && op <= OSSL_OP__HIGHEST; op++) {
        view.lists[op] = next;
        for (const OSSL_ALGORITHM *a = OSSL_PROVIDER_query_operation(view.provider, op, &no_cache);
             a != NULL && a->algorithm_names != NULL && left > 0; a++) {
            if (is_shown(op, a)) {
                *next++ = *a;
                left--;
            }
        }
        next++; /* the end of the list */
    }
    for (size_t i = 0; view.provider != NULL && i < SP_COUNTOF(SHOWN_WHOLE); i++)
        view.lists[SHOWN_WHOLE[i]] = OSSL_PROVIDER_query_operation(view.provider, SHOWN_WHOLE[i], &no_cache);
}

/* ---- our provider ---- */

/* Asked for each key that is decoded: a list of certificates is read without a pause of its own, for a millisecond or two, and here
 * it gives way to a worker (see on_handshake_message). */
static const OSSL_ALGORITHM *query(void *instance, int operation, int *no_cache)
{
    (void)instance;
    if (operation == OSSL_OP_DECODER)
        (void)sched_yield();
    *no_cache = 0;
    return operation > 0 && operation <= OSSL_OP__HIGHEST ? view.lists[operation] : NULL;
}

static int get_capabilities(void *instance, const char *capability, OSSL_CALLBACK *each, void *arg)
{
    (void)instance;
    return OSSL_PROVIDER_get_capabilities(view.provider, capability, each, arg);
}

static const OSSL_DISPATCH FUNCTIONS[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
    {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities},
    {0, NULL},
};

/* Whose instance it is to be cannot be told in another way: the calling thread is in the library context of its own that has it. */
static int init_shown(
    const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **out, void **instance)
{
    OSSL_PROVIDER *everything = OSSL_PROVIDER_load(NULL, "default");

    (void)handle;
    (void)core;
    if (everything == NULL)
        return 0;
    *instance = OSSL_PROVIDER_get0_provider_ctx(everything);
    *out = FUNCTIONS;
    return OSSL_PROVIDER_unload(everything); /* who called has it loaded as well */
}

static bool load_shown(struct sp_tls_library *l)
{
    if (OSSL_PROVIDER_add_builtin(l->part, PROVIDER_NAME, init_shown) != 1)
        return false;
    OSSL_LIB_CTX *before = OSSL_LIB_CTX_set0_default(l->whole);
    l->shown = OSSL_PROVIDER_load(l->part, PROVIDER_NAME);
    (void)OSSL_LIB_CTX_set0_default(before);
    return l->shown != NULL;
}

/* Whatever this OpenSSL was built or patched to ask for besides: better known now than in a handshake. */
static bool is_enough(const struct sp_tls_library *l)
{
    unsigned char byte;
    SSL_CTX *ctx = SSL_CTX_new_ex(l->part, NULL, TLS_server_method());
    bool enough = ctx != NULL && RAND_bytes_ex(l->part, &byte, sizeof byte, 0) == 1;

    SSL_CTX_free(ctx);
    return enough;
}

/* ---- what the operator wants ---- */

static int count_other(OSSL_PROVIDER *provider, void *others)
{
    *(unsigned *)others += strcmp(OSSL_PROVIDER_get0_name(provider), "default") != 0;
    return 1;
}

/* Of what OpenSSL's configuration can say, a context of ours has TLS settings and names of objects, which are the process's, as
 * everybody; engines, properties and generators it would not have. */
static bool is_plain(const CONF *conf)
{
    static const char *const HARMLESS[] = {"providers", "ssl_conf", "oid_section", "stbl_section"};
    const char *name = NCONF_get_string(conf, NULL, "openssl_conf");
    STACK_OF(CONF_VALUE) *modules = name != NULL ? NCONF_get_section(conf, name) : NULL;

    for (int i = 0; modules != NULL && i < sk_CONF_VALUE_num(modules); i++) {
        bool harmless = false;
        for (size_t k = 0; k < SP_COUNTOF(HARMLESS); k++)
            harmless |= strcmp(sk_CONF_VALUE_value(modules, i)->name, HARMLESS[k]) == 0;
        if (!harmless)
            return false;
    }
    return true;
}

static bool has_plain_configuration(void)
{
    char *path = CONF_get1_default_config_file();
    CONF *conf = NCONF_new(NULL);
    long line;
    bool plain = path != NULL && conf != NULL;

    if (plain && NCONF_load(conf, path, &line) == 1) /* else OpenSSL has read none either */
        plain = is_plain(conf);
    NCONF_free(conf);
    OPENSSL_free(path);
    return plain;
}

/* All that OpenSSL is used for is done as if there were no libraries. */
static bool is_left_to_us(void)
{
    unsigned others = 0;

    (void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    return OSSL_PROVIDER_do_all(NULL, count_other, &others) == 1 && others == 0 &&
           EVP_default_properties_is_fips_enabled(NULL) == 0 && has_plain_configuration();
}

/* ---- the door ---- */

struct sp_tls_library *sp_tls_library_new(void)
{
    struct sp_tls_library *l = NULL;

    if (OpenSSL_version_num() >= REMEMBERS_DECODERS || !is_left_to_us())
        goto none;
    (void)pthread_once(&view.once, find_view);
    l = view.provider != NULL ? SP_NEW(struct sp_tls_library) : NULL;
    if (l == NULL)
        goto none;
    l->whole = OSSL_LIB_CTX_new();
    l->part = OSSL_LIB_CTX_new();
    l->everything = l->whole != NULL ? OSSL_PROVIDER_load(l->whole, "default") : NULL;
    if (l->part == NULL || l->everything == NULL || !load_shown(l) || !is_enough(l)) {
        sp_tls_library_free(l);
        l = NULL;
    }
none:
    ERR_clear_error();
    return l;
}

void sp_tls_library_free(struct sp_tls_library *library)
{
    if (library == NULL)
        return;
    if (library->shown != NULL)
        (void)OSSL_PROVIDER_unload(library->shown);
    OSSL_LIB_CTX_free(library->part); /* the part first: it is made of the whole */
    if (library->everything != NULL)
        (void)OSSL_PROVIDER_unload(library->everything);
    OSSL_LIB_CTX_free(library->whole);
    sp_free(library);
}

void sp_tls_library_enter(struct sp_tls_library *library)
{
    if (library != NULL)
        (void)OSSL_LIB_CTX_set0_default(library->part);
}

OSSL_LIB_CTX *library_context(const struct sp_tls_library *library)
{
    return library != NULL ? library->part : NULL;
}
