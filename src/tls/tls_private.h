/* What the sources of this room share. Not a door. */
#ifndef SP_TLS_PRIVATE_H
#define SP_TLS_PRIVATE_H

#include <stdatomic.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sallyport/base/mem.h"
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
/* `peers` are those that it is shown to: "clients". SP_FAIL: `diags` says why. The caller frees in both cases. */
SP_MUST_USE enum sp_rc certificate_load(const char *config_file, const struct sp_config_certificate *config,
    const char *peers, struct certificate *out, struct sp_diags *diags);
/* From one that is loaded; the files are not looked at. SP_FAIL without memory. The caller frees in both cases. */
SP_MUST_USE enum sp_rc certificate_copy(const struct certificate *from, struct certificate *out);
void certificate_free(struct certificate *c);
/* The first URI of its subjectAltName, as it is there; absent without one. Borrowed from `leaf`. */
struct sp_slice certificate_uri(const X509 *leaf);
/* The reason of OpenSSL's newest error, for a message. Empties its queue. */
const char *openssl_reason(void);

/* ---- library.c ---- */
/* What OpenSSL is to be given as such; NULL, its own, without a library. */
OSSL_LIB_CTX *library_context(const struct sp_tls_library *library);

/* ---- server.c ---- */
/* Certificates of the same names, one of each key type, and the context that presents them. */
struct site {
    SSL_CTX *ctx;
    char **names;
    size_t name_count;
    int key_types[4]; /* EVP_PKEY ids, 0 where there is none */
};

/* What clients that ask for one of its names are shown and judged by. A context belongs to one host. */
struct host {
    struct sp_trust *trust; /* one reference; NULL: only looked at for what is wrong */
    uint8_t policy[32];     /* of the trust */
    bool certificate_required;
    int64_t session_s;  /* how long after a full handshake one can come back to it */
    struct site *sites; /* the first is for a client that asks for no certificate's name */
    size_t site_count;
    struct certificate *loaded; /* as configured, without their names; for sp_tls_server_renew */
    size_t loaded_count;
};

struct sp_tls_server {
    struct tls_shared *shared;
    const struct sp_config_listener *listener; /* borrowed */
    struct sp_tls_library *library;            /* borrowed; NULL: OpenSSL's own */
    struct sp_tickets *tickets;                /* one reference, or NULL */
    struct sp_sessions *sessions; /* one reference, or NULL. With neither no session is resumed */
    struct staple *staples;       /* about the certificates, as far as there are any */
    struct shown *shown;          /* what is reported of the certificates, in their order */
    struct host *hosts;           /* one for each of listener->hosts */
    size_t host_count;
};

/* ---- report.c: what operators are told of the certificates ---- */
/* Notes one that `host` shows; borrows `file` and `names` for the server's life. False without memory. */
SP_MUST_USE bool report_note(struct sp_tls_server *server, size_t host, const char *file, const X509 *leaf,
    const char *const *names, size_t name_count);
void report_free(struct sp_tls_server *server);

/* ---- staple.c: OCSP responses about our own certificates ---- */
/* Reads the one that `config` names, for `c`, which a context of `server` shows from now on. */
void staple_load(struct sp_tls_server *server, const char *config_file,
    const struct sp_config_certificate *config, const struct certificate *c, struct sp_diags *diags);
/* The one that `from` has for `leaf`, if any. False without memory. */
SP_MUST_USE bool staple_copy(
    struct sp_tls_server *server, const struct sp_tls_server *from, const X509 *leaf);
void staple_free(struct sp_tls_server *server);
int on_status_request(SSL *ssl, void *arg);

/* ---- context.c: what all contexts have in common, and all of a listener ---- */
/* False: OpenSSL says why. */
SP_MUST_USE bool context_set_common(SSL_CTX *ctx, enum sp_tls_version min_version);
/* NULL: `err` says why. */
SP_MUST_USE SSL_CTX *context_new(
    const struct sp_tls_server *server, const struct host *host, struct sp_err *err);

/* ---- wire.c: a TLS connection once it is open, whichever side of it is ours ---- */
/* Of a client's:
 *      WAITING ---first bytes are TLS---> SHAKING ---proven---> OPEN
 *         |                                  |
 *         +---plain HTTP---> LINGERING       |
 *         |                      |           |
 *         +----------------------+-----------+---> REFUSED
 * Of a backend's: WAITING ---nothing has come---> SHAKING ---proven---> OPEN; REFUSED as above.                */
enum stage { STAGE_WAITING, STAGE_LINGERING, STAGE_SHAKING, STAGE_OPEN, STAGE_REFUSED };

/* What the client's last message is still to be answered by. Whatever is written settles it; and if first there is nothing more to
 * read, nothing will be written before the client, who may be waiting for it with the rest of his request, has said more. */
enum wire_owes { OWES_NOTHING, OWES_ACKNOWLEDGEMENT, OWES_SESSION };

struct wire {
    struct sp_transport t;
    enum stage stage;
    struct tls_shared *shared;
    SSL *ssl; /* of a client NULL until the first bytes look like TLS: an SSL takes 70 KiB in the handshake */
    enum sp_refusal end_reason; /* why it was ended from our side */
    size_t received;            /* bytes of the handshake, as the socket gave them */
    bool flooded;               /* there would have been more than any handshake has */

    /* open */
    enum sp_rc read_end;   /* SP_EOF or SP_FAIL once reading is over */
    bool broken;           /* a fatal TLS or socket error: OpenSSL must not be asked to go on */
    bool writes_lost;      /* the socket takes nothing any more; OpenSSL does not know */
    bool tcp_ended;        /* the socket gave EOF */
    bool read_wants_write; /* an answer of TLS itself (KeyUpdate) waits for the socket */
    bool close_sent;
    bool more_follows;           /* another record comes right behind: the kernel may let them go together */
    enum wire_owes owes;         /* since the handshake */
    unsigned handshake_messages; /* received after the handshake, with little data between them */
    size_t data_since;           /* plaintext since that was last set to 0 */
    uint64_t counted_since_us;   /* when counting them began */
    char *held; /* plaintext that OpenSSL has begun to send: the same bytes must be given again */
    size_t held_len, held_from;
};

static inline struct wire *wire_of(struct sp_transport *t)
{
    return SP_CONTAINER_OF(t, struct wire, t);
}

/* WAITING -> SHAKING: makes the SSL. False without memory. */
SP_MUST_USE bool wire_start(struct wire *w, SSL_CTX *ctx);
/* Counts what a peer sends beside data; ends the connection when it is too much. */
void wire_watch_messages(struct wire *w);
/* After the handshake. */
void wire_forget_chain(struct wire *w);
/* What it is made of, but not itself; closes the descriptor. */
void wire_end(struct wire *w);

/* As struct sp_transport_ops has them. OPEN only. */
SP_MUST_USE enum sp_rc wire_read(struct sp_transport *t, void *buf, size_t room, size_t *n);
SP_MUST_USE enum sp_rc wire_writev(struct sp_transport *t, const struct iovec *iov, int count, size_t *taken);
SP_MUST_USE enum sp_rc wire_flush(struct sp_transport *t);
enum sp_rc wire_shutdown(struct sp_transport *t);
void wire_keep_buffers(struct sp_transport *t, bool keep);
/* What was held back goes out now. */
void wire_push(struct wire *w);
void wire_settle(struct wire *w); /* what it owes */

/* ---- conn.c ---- */
/* What came of the session that the client showed last. Counts only if OpenSSL resumes by that very one. */
struct resumption {
    bool allowed;
    struct sp_verdict verdict;
    X509 *leaf;                   /* owned; of the session, NULL: anonymous */
    struct sp_identity *identity; /* owned */
    int64_t authenticated_at;     /* the full handshake */
    struct family *family;        /* owned; of the session, if it is we who kept it */
};

/* Only while a client proves itself. */
struct proof {
    struct sp_verdict verdict; /* of pki; refused until it says otherwise */
    bool judged;               /* the client sent a certificate, and `verdict` is about it */
    X509 *leaf;                /* owned: for the facts of a refusal */
    struct sp_identity *identity;
    enum sp_refusal hello_reason; /* why hello.c ended it, or none */
    const char *hello_detail;
    bool was_greeted;         /* there has been a ClientHello: the name stands */
    bool has_extended_secret; /* the client offers it (RFC 7627) */
    unsigned looked_at;       /* sessions that the client has shown */
    bool no_session;          /* the client's chain is too large for one */
    bool ticket_sent;         /* our last message came after the client's */
    struct resumption resumption;
    struct family *family; /* owned; of a full handshake, once there is something to keep */
    SSL_SESSION *fresh[4]; /* owned; to be kept when the client has proven itself */
    size_t fresh_count;
};

struct conn {
    struct wire wire;
    struct sp_tls_server *server; /* NULL once the handshake is over: it may be freed then */
    struct proof *proof;
    struct sp_identity *identity;
    char *sni;                /* NULL: none */
    size_t host;              /* of listener->hosts */
    int64_t authenticated_at; /* seconds since 1970 */
    bool resumed, remembered;

    /* lingering */
    bool alerted; /* a refusal was told by an alert that the client should be able to read */
    size_t drained;
    unsigned blank_line; /* how much of CR LF CR LF was seen at the end of what was drained */
    bool has_body;
};

static inline struct conn *conn_of(struct sp_transport *t)
{
    return SP_CONTAINER_OF(t, struct conn, wire.t);
}

void proof_free(struct proof *p); /* takes NULL */

/* ---- hello.c: callbacks of the handshake ---- */
int on_client_hello(SSL *ssl, int *alert, void *arg);
int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
    unsigned in_len, void *arg);

/* ---- handshake.c ---- */
int on_verify(X509_STORE_CTX *store_ctx, void *arg);

/* ---- tickets.c: the keys of a file ---- */
#define TICKET_KEY_NAME 16
/* Set up OpenSSL's contexts with the key that seals, or the one of that name. False: there is none, or OpenSSL fails.
 * Any thread. */
SP_MUST_USE bool tickets_seal(const struct sp_tickets *t, unsigned char name[TICKET_KEY_NAME],
    unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);
SP_MUST_USE bool tickets_open(const struct sp_tickets *t, const unsigned char name[TICKET_KEY_NAME],
    const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);

/* ---- resume.c: where sessions come from, and who may come in by one ---- */
/* The full handshake that a session descends from. Borrows from the bytes that it was read from. */
#define ORIGIN_VERSION   1
#define ORIGIN_CHAIN_MAX 8
struct origin {
    uint8_t policy[32];
    int64_t authenticated_at;
    struct sp_slice sni;                     /* canonical; "" none */
    struct sp_slice chain[ORIGIN_CHAIN_MAX]; /* the DER of what the client sent above its leaf */
    size_t chain_count;
};
SP_MUST_USE bool origin_read(struct sp_slice in, struct origin *out); /* pure */
/* Of the full handshake that `c` is at the end of. False without memory. `out` is to be freed in both cases. */
SP_MUST_USE bool origin_write(const struct conn *c, struct sp_buf *out);
/* Decides whether the client, whose certificates `sent` have been accepted, gets a session to come back to. */
void resume_consider(SSL *ssl, struct proof *p, const STACK_OF(X509) * sent);
SP_MUST_USE bool resume_is_possible(const SSL *ssl, const struct proof *p);
/* False: it is one too many for this handshake. */
SP_MUST_USE bool resume_look_at_one_more(const SSL *ssl, struct proof *p);
/* Who shows a session of that origin, whose client certificate is `leaf` (NULL: none): its outcome is the resumption of
 * c->proof. False: a full handshake is to follow. */
SP_MUST_USE bool resume_judge(struct conn *c, const struct origin *origin, X509 *leaf);
/* The handshake is complete and was a resumption: its outcome becomes the proof's, as if it had been a full one.
 * False: nobody has judged this session. */
SP_MUST_USE bool resume_take(struct conn *c);
void resumption_forget(struct resumption *r);
/* To a session that has just been made in a handshake of `c`; and when it ends, seconds since 1970. */
void resume_set_age(struct conn *c, SSL_SESSION *session);
int64_t resume_until(const struct conn *c);

/* ---- resume_sealed.c: callbacks where the client keeps its sessions ---- */
int on_ticket_key(SSL *ssl, unsigned char name[TICKET_KEY_NAME], unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int sealing);
int on_ticket_made(SSL *ssl, void *arg);
SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
    SSL_TICKET_STATUS status, void *arg);

/* ---- resume_kept.c: callbacks where we keep them ---- */
int on_id_made(SSL *ssl, void *arg);
int on_session_made(SSL *ssl, SSL_SESSION *session);
SSL_SESSION *on_session_shown(SSL *ssl, const unsigned char *id, int len, int *is_borrowed);
/* The client has proven itself, and nobody writes into its sessions any more. */
void resume_keep(struct conn *c);

/* ---- sessions.c: those that we keep ---- */
#define SESSION_ID 32
/* What descends from one full handshake. Counted. */
struct family *family_new(struct sp_slice origin); /* as origin_write has it; NULL: it is not, or no memory */
void family_free(struct family *f);                /* takes NULL */
const struct origin *family_origin(const struct family *f);
/* Borrows both; times in seconds since 1970. Without memory, or with nothing to keep it by, it is not kept. Any thread. */
void sessions_put(
    struct sp_sessions *s, SSL_SESSION *session, struct family *family, int64_t now, int64_t until);
/* A copy of the one of that id, and in *family a reference of its family. NULL: there is none. Any thread. */
SP_MUST_USE SSL_SESSION *sessions_find(
    struct sp_sessions *s, const unsigned char *id, size_t len, int64_t now, struct family **family);

/* ---- first_bytes.c: what a connection begins with. Pure ---- */
enum first_bytes { FIRST_MORE, FIRST_TLS, FIRST_HTTP, FIRST_OTHER };
#define FIRST_BYTES_MAX 16
/* `has_body` is set with FIRST_HTTP: the method usually brings one. */
enum first_bytes first_bytes_judge(const unsigned char *bytes, size_t len, bool *has_body);
/* For a refusal: "SSH", or the bytes in hex. */
void first_bytes_describe(const unsigned char *bytes, size_t len, char *out, size_t room);

/* ---- reasons.c: what OpenSSL said, in our words ---- */
/* Reads OpenSSL's error queue empty. SP_REFUSAL_none if there is nothing in it. `peer`: "client". */
enum sp_refusal reason_of_queue(const char *peer, char *detail, size_t room);

#endif
