/* What the sources of this room share. Not a door. */
#ifndef SP_TLS_PRIVATE_H
#define SP_TLS_PRIVATE_H

#include <stdatomic.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sallyport/tls/server.h"

/* ---- bio.c: OpenSSL's way to the socket ---- */
/* What every connection needs for its whole life, however long its server has been gone by then. Counted. */
struct tls_shared {
    atomic_uint refs;
    BIO_METHOD *bio_method;
};
struct tls_shared *shared_new(void); /* one reference; NULL without memory */
struct tls_shared *shared_ref(struct tls_shared *s);
void shared_unref(struct tls_shared *s); /* takes NULL */

/* ---- certificate.c: what the operator gave, loaded ---- */
struct certificate {
    X509 *leaf;
    STACK_OF(X509) * chain; /* above the leaf */
    EVP_PKEY *key;
    char **names; /* its DNS names, canonical, sorted, without doubles */
    size_t name_count;
};
/* SP_FAIL: `diags` says why. The caller frees in both cases. */
SP_MUST_USE enum sp_rc certificate_load(const char *config_file, const struct sp_config_certificate *config,
    struct certificate *out, struct sp_diags *diags);
void certificate_free(struct certificate *c);
/* "*.example.com" stands for one label. Both canonical. */
bool name_matches(const char *pattern, const char *name);
/* The reason of OpenSSL's newest error, for a message. Empties its queue. */
const char *openssl_reason(void);

/* ---- server.c ---- */
/* Certificates of the same names, one of each key type, and the context that presents them. */
struct site {
    SSL_CTX *ctx;
    char **names;
    size_t name_count;
    int key_types[4]; /* EVP_PKEY ids, 0 where there is none */
};

struct sp_tls_server {
    struct tls_shared *shared;
    const struct sp_trust *trust;
    bool certificate_required;
    struct site *sites; /* the first is for a client that names none */
    size_t site_count;
};

/* ---- context.c: what all contexts of a listener have in common ---- */
/* NULL: `err` says why. */
SP_MUST_USE SSL_CTX *context_new(
    const struct sp_config_listener *listener, const struct sp_trust *trust, struct sp_err *err);

/* ---- conn.c ---- */
/*      WAITING ---first bytes are TLS---> SHAKING ---proven---> OPEN
 *         |                                  |
 *         +---plain HTTP---> LINGERING       |
 *         |                      |           |
 *         +----------------------+-----------+---> REFUSED                                                */
enum stage { STAGE_WAITING, STAGE_LINGERING, STAGE_SHAKING, STAGE_OPEN, STAGE_REFUSED };

/* Only while a client proves itself. */
struct proof {
    struct sp_verdict verdict; /* of pki; refused until it says otherwise */
    bool judged;               /* the client sent a certificate, and `verdict` is about it */
    X509 *leaf;                /* owned: for the facts of a refusal */
    struct sp_identity *identity;
    enum sp_refusal hello_reason; /* why hello.c ended it, or none */
    const char *hello_detail;
};

struct conn {
    struct sp_transport t;
    enum stage stage;
    struct tls_shared *shared;
    struct sp_tls_server *server; /* NULL once the handshake is over: it may be freed then */
    SSL *ssl; /* NULL until the first bytes look like TLS: an SSL takes 70 KiB in the handshake */
    struct proof *proof;
    struct sp_identity *identity;
    char *sni; /* NULL: none */

    /* lingering */
    bool alerted; /* a refusal was told by an alert that the client should be able to read */
    size_t drained;
    unsigned blank_line; /* how much of CR LF CR LF was seen at the end of what was drained */
    bool has_body;

    /* open */
    enum sp_rc read_end;   /* SP_EOF or SP_FAIL once reading is over */
    bool broken;           /* a fatal TLS or socket error: OpenSSL must not be asked to go on */
    bool tcp_ended;        /* the socket gave EOF */
    bool read_wants_write; /* an answer of TLS itself (KeyUpdate) waits for the socket */
    bool close_sent;
    unsigned handshake_messages; /* received after the handshake */
    char *held; /* plaintext that OpenSSL has begun to send: the same bytes must be given again */
    size_t held_len, held_from;
};

static inline struct conn *conn_of(struct sp_transport *t)
{
    return SP_CONTAINER_OF(t, struct conn, t);
}

void proof_free(struct proof *p); /* takes NULL */
/* Counts what a peer sends beside data; ends the connection when it is too much. */
void conn_watch_messages(struct conn *c);

/* ---- hello.c: callbacks of the handshake ---- */
int on_client_hello(SSL *ssl, int *alert, void *arg);
int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
    unsigned in_len, void *arg);

/* ---- handshake.c ---- */
int on_verify(X509_STORE_CTX *store_ctx, void *arg);

/* ---- first_bytes.c: what a connection begins with. Pure ---- */
enum first_bytes { FIRST_MORE, FIRST_TLS, FIRST_HTTP, FIRST_OTHER };
#define FIRST_BYTES_MAX 16
/* `has_body` is set with FIRST_HTTP: the method usually brings one. */
enum first_bytes first_bytes_judge(const unsigned char *bytes, size_t len, bool *has_body);
/* For a refusal: "SSH", or the bytes in hex. */
void first_bytes_describe(const unsigned char *bytes, size_t len, char *out, size_t room);

/* ---- reasons.c: what OpenSSL said, in our words ---- */
/* Reads OpenSSL's error queue empty. SP_REFUSAL_none if there is nothing in it. */
enum sp_refusal reason_of_queue(char *detail, size_t room);

#endif
