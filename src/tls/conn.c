/* A client's connection as its owners see it; the way to it is in handshake.c, the stream that it becomes in wire.c. */
#include <stdio.h>

#include "sallyport/base/mem.h"
#include "tls_private.h"

void proof_free(struct proof *p)
{
    if (p == NULL)
        return;
    X509_free(p->leaf);
    sp_identity_free(p->identity);
    resumption_forget(&p->resumption);
    family_free(p->family);
    while (p->fresh_count > 0)
        SSL_SESSION_free(p->fresh[--p->fresh_count]);
    sp_free(p);
}

static void tls_free(struct sp_transport *t)
{
    struct conn *c = conn_of(t);
    proof_free(c->proof);
    sp_identity_free(c->identity);
    sp_free(c->sni);
    wire_end(&c->wire);
    sp_free(c);
}

static const struct sp_transport_ops tls_ops = {
    .name = "tls",
    .read = wire_read,
    .writev = wire_writev,
    .flush = wire_flush,
    .shutdown = wire_shutdown,
    .keep_buffers = wire_keep_buffers,
    .free = tls_free,
};

struct sp_transport *sp_tls_conn_new(struct sp_tls_server *server, int fd)
{
    struct conn *c = SP_NEW(struct conn);
    if (c == NULL)
        return NULL;
    c->wire.t = (struct sp_transport){.ops = &tls_ops, .fd = fd, .can_read = true, .can_write = true};
    c->wire.stage = STAGE_WAITING;
    c->server = server;
    c->wire.shared = shared_ref(server->shared);
    return &c->wire.t;
}

struct sp_identity *sp_tls_take_identity(struct sp_transport *t)
{
    struct conn *c = conn_of(t);
    SP_ASSERT(c->wire.stage == STAGE_OPEN);
    struct sp_identity *identity = c->identity;
    c->identity = NULL;
    return identity;
}

int64_t sp_tls_authenticated_at(const struct sp_transport *t)
{
    return conn_of((struct sp_transport *)(uintptr_t)t)->authenticated_at;
}

bool sp_tls_is_resumed(const struct sp_transport *t)
{
    return conn_of((struct sp_transport *)(uintptr_t)t)->resumed;
}

bool sp_tls_is_remembered(const struct sp_transport *t)
{
    return conn_of((struct sp_transport *)(uintptr_t)t)->remembered;
}

size_t sp_tls_host(const struct sp_transport *t)
{
    return conn_of((struct sp_transport *)(uintptr_t)t)->host;
}

enum sp_refusal sp_tls_end_reason(const struct sp_transport *t)
{
    return conn_of((struct sp_transport *)(uintptr_t)t)->wire.end_reason;
}

const char *sp_tls_version(const struct sp_transport *t)
{
    const struct conn *c = conn_of((struct sp_transport *)(uintptr_t)t);
    /* OpenSSL names its own highest version until one is agreed on; the cipher is chosen after that. TLS 1.2
     * has it pending until the end of the handshake. */
    bool is_agreed = c->wire.ssl != NULL && (SSL_get_current_cipher(c->wire.ssl) != NULL ||
                                                SSL_get_pending_cipher(c->wire.ssl) != NULL);
    return is_agreed ? SSL_get_version(c->wire.ssl) : "";
}

const char *sp_tls_sni(const struct sp_transport *t)
{
    const struct conn *c = conn_of((struct sp_transport *)(uintptr_t)t);
    return c->sni != NULL ? c->sni : "";
}

struct sp_slice sp_tls_own_uri(const struct sp_transport *t)
{
    const struct conn *c = t != NULL ? conn_of((struct sp_transport *)(uintptr_t)t) : NULL;
    const X509 *first =
        c != NULL && c->wire.ssl != NULL ? SSL_CTX_get0_certificate(SSL_get_SSL_CTX(c->wire.ssl)) : NULL;
    return first != NULL ? certificate_uri(first) : (struct sp_slice){NULL, 0};
}

const char *sp_tls_cipher(const struct sp_transport *t)
{
    const SSL *ssl = conn_of((struct sp_transport *)(uintptr_t)t)->wire.ssl;
    const SSL_CIPHER *cipher = ssl != NULL ? SSL_get_current_cipher(ssl) : NULL;
    return cipher != NULL ? SSL_CIPHER_get_name(cipher) : "";
}

struct sp_slice sp_tls_alpn(const struct sp_transport *t)
{
    const SSL *ssl = conn_of((struct sp_transport *)(uintptr_t)t)->wire.ssl;
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (ssl != NULL)
        SSL_get0_alpn_selected(ssl, &name, &len);
    return (struct sp_slice){(const char *)name, len};
}

/* RFC 8446 §4.2.3 names them by key and digest; TLS 1.2 has the same pairs, and of RSA also the older padding. */
static const char *scheme_of(SSL *ssl)
{
    static const struct {
        int key, digest;
        const char *name;
    } SCHEMES[] = {
        {EVP_PKEY_EC, NID_sha256, "ecdsa_secp256r1_sha256"},
        {EVP_PKEY_EC, NID_sha384, "ecdsa_secp384r1_sha384"},
        {EVP_PKEY_EC, NID_sha512, "ecdsa_secp521r1_sha512"},
        {EVP_PKEY_RSA_PSS, NID_sha256, "rsa_pss_rsae_sha256"},
        {EVP_PKEY_RSA_PSS, NID_sha384, "rsa_pss_rsae_sha384"},
        {EVP_PKEY_RSA_PSS, NID_sha512, "rsa_pss_rsae_sha512"},
        {EVP_PKEY_RSA, NID_sha256, "rsa_pkcs1_sha256"},
        {EVP_PKEY_RSA, NID_sha384, "rsa_pkcs1_sha384"},
        {EVP_PKEY_RSA, NID_sha512, "rsa_pkcs1_sha512"},
        {EVP_PKEY_ED25519, NID_undef, "ed25519"},
        {EVP_PKEY_ED448, NID_undef, "ed448"},
    };
    int key = NID_undef, digest = NID_undef;

    if (SSL_get_signature_type_nid(ssl, &key) != 1)
        return "";
    (void)SSL_get_signature_nid(ssl, &digest); /* ed25519 has none */
    for (size_t i = 0; i < SP_COUNTOF(SCHEMES); i++) {
        if (SCHEMES[i].key == key && SCHEMES[i].digest == digest)
            return SCHEMES[i].name;
    }
    return "";
}

static const char *group_of(SSL *ssl)
{
    int group = (int)SSL_get_negotiated_group(ssl);
    const char *name = group > 0 ? SSL_group_to_name(ssl, group) : NULL;

    return name != NULL ? name : "";
}

void sp_tls_own_algorithms(const struct sp_transport *t, struct sp_tls_algorithms *out)
{
    static const struct {
        int type;
        const char *word;
    } keys[] = {{EVP_PKEY_RSA, "RSA"}, {EVP_PKEY_EC, "EC"}};
    SSL *ssl = conn_of((struct sp_transport *)(uintptr_t)t)->wire.ssl;
    const X509 *own = ssl != NULL ? SSL_get_certificate(ssl) : NULL;
    const EVP_PKEY *key = own != NULL ? X509_get0_pubkey(own) : NULL;
    *out = (struct sp_tls_algorithms){
        .signature = "",
        .group = ssl != NULL ? group_of(ssl) : "",
        .scheme = ssl != NULL ? scheme_of(ssl) : "",
    };
    if (own != NULL && X509_get_signature_nid(own) != NID_undef)
        out->signature = OBJ_nid2sn(X509_get_signature_nid(own));
    for (size_t i = 0; key != NULL && i < SP_COUNTOF(keys); i++) {
        if (EVP_PKEY_get_base_id(key) == keys[i].type)
            (void)snprintf(out->key, sizeof out->key, "%s%d", keys[i].word, EVP_PKEY_get_bits(key));
    }
}
