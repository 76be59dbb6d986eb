/* TLS towards clients: the contexts of one listener, and a connection from its first byte to a proven identity.
 *
 *   sp_tls_server   per listener and gate: an SSL_CTX for each certificate, chosen in the ClientHello callback
 *   sp_tls_conn     a transport that is first driven by sp_tls_handshake and is an ordinary transport afterwards
 *
 * The name that the client asks for chooses host, certificate and policy before anything else is decided. A session is
 * resumed only by a ticket of the same policy, and whoever presents it is judged anew; else a full handshake follows.
 * No 0-RTT, no renegotiation, no post-handshake authentication. */
#ifndef SP_TLS_SERVER_H
#define SP_TLS_SERVER_H

#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/io/transport.h"
#include "sallyport/obs/refusal.h"
#include "sallyport/pki/identity.h"
#include "sallyport/pki/trust.h"
#include "sallyport/tls/library.h"
#include "sallyport/tls/sessions.h"
#include "sallyport/tls/tickets.h"

/* What outlives a server and is given to it, each NULL where there is none. */
struct sp_tls_means {
    struct sp_tls_library *library; /* of its gate; borrowed for ever; NULL: OpenSSL's own */
    struct sp_tickets *tickets;     /* a reference is taken; clients come back by what they keep */
    struct sp_sessions
        *sessions; /* a reference is taken; without tickets: clients come back by what we keep */
};

struct sp_tls_server;
/* Loads certificates and keys (a key that does not belong to its certificate, an expired certificate: named).
 * `trusts`: one for each of listener->hosts; takes a reference of each. With neither tickets nor sessions among the
 * `means` no session is resumed. Borrows `listener` for its life. NULL: `diags` says why. Without `trusts` there is never a
 * server, but all that is wrong with the certificates is told. Builder thread; used by one gate afterwards. */
SP_MUST_USE struct sp_tls_server *sp_tls_server_new(const char *config_file,
    const struct sp_config_listener *listener, struct sp_trust *const *trusts,
    const struct sp_tls_means *means, struct sp_diags *diags);
/* The certificates, staples and tickets of `old`, which is for the same configuration, with other trusts: what is left
 * to do while a file of theirs cannot be used. */
SP_MUST_USE struct sp_tls_server *sp_tls_server_renew(const struct sp_tls_server *old,
    const char *config_file, struct sp_trust *const *trusts, struct sp_diags *diags);
void sp_tls_server_free(struct sp_tls_server *s); /* takes NULL */

/* A certificate that clients are shown. All text is valid as long as the server. */
struct sp_tls_certificate {
    size_t host;              /* of listener->hosts; one that several show comes once for each */
    const char *file;         /* the chain's */
    const char *subject;      /* RFC 4514, escaped */
    const char *const *names; /* by which clients ask for it, canonical and sorted */
    size_t name_count;
    int64_t not_before, not_after; /* of the leaf, seconds since 1970 */
};
/* One call a certificate. Any thread. */
void sp_tls_server_each_certificate(const struct sp_tls_server *s,
    void (*each)(void *arg, const struct sp_tls_certificate *certificate), void *arg);

/* What a handshake came to. Text is NUL-terminated, escaped for a log. */
struct sp_tls_refusal {
    enum sp_refusal reason;
    char detail[256];
    struct sp_cert_facts cert; /* of the leaf that the client sent; empty strings if none */
};

/* A connection on `fd`, which is taken over. Borrows `server` until the handshake is over. NULL without memory:
 * fd is the caller's. */
SP_MUST_USE struct sp_transport *sp_tls_conn_new(struct sp_tls_server *server, int fd);
/* Goes on as far as it can. SP_OK: done and let in; the transport is ready for its new owner. SP_AGAIN: an edge
 * will come. SP_FAIL: `refusal` is filled; the alert has been sent as far as the socket took it. Gate thread. */
SP_MUST_USE enum sp_rc sp_tls_handshake(struct sp_transport *t, struct sp_tls_refusal *refusal);
/* The caller's deadline is over: fills `refusal` with handshake_timeout and how far it had come, or with what
 * was found out before (plain_http, whose client still holds on to its answer). The transport can only be freed
 * afterwards. Gate thread. */
void sp_tls_handshake_expired(struct sp_transport *t, struct sp_tls_refusal *refusal);
/* After a refusal was reported: reads and drops what the client still sends, so that the alert, which tells it
 * why, is not destroyed by a reset. A connection that was open by then is sent close_notify first. SP_AGAIN: more may
 * come, an edge will; else the connection may be freed. Bounded in bytes; the time is the caller's job. */
SP_MUST_USE enum sp_rc sp_tls_linger(struct sp_transport *t);
/* After SP_OK: hands over the identity; NULL for a client without a certificate on an optional listener. Once. */
struct sp_identity *sp_tls_take_identity(struct sp_transport *t);
/* When the client last proved itself in a full handshake, seconds since 1970: now, unless it was resumed. After
 * SP_OK. */
int64_t sp_tls_authenticated_at(const struct sp_transport *t);
bool sp_tls_is_resumed(const struct sp_transport *t);
/* The verdict came from the memory of chains accepted lately. After SP_OK. */
bool sp_tls_is_remembered(const struct sp_transport *t);
/* Which of listener->hosts the client asked for. After SP_OK. */
size_t sp_tls_host(const struct sp_transport *t);
/* Why the connection was ended from our side since (too_many_key_updates), or SP_REFUSAL_none. Any time after
 * SP_OK. */
enum sp_refusal sp_tls_end_reason(const struct sp_transport *t);
/* "TLSv1.3"; the SNI name, canonical, or "". Valid at any time; "" before it is known. */
const char *sp_tls_version(const struct sp_transport *t);
const char *sp_tls_sni(const struct sp_transport *t);
/* "TLS_AES_256_GCM_SHA384"; "" before it is agreed on. The application protocol that was agreed on; absent: none. */
const char *sp_tls_cipher(const struct sp_transport *t);
struct sp_slice sp_tls_alpn(const struct sp_transport *t);
/* How our own certificate is signed and what its key is, and what the handshake was made with, in the words of HAProxy's PROXY
 * headers; "" where there are none. Of several certificates for one name, which differ by the type of their keys, it is the one
 * that OpenSSL has at hand, as in HAProxy. A resumed handshake is signed by nobody. After SP_OK. */
struct sp_tls_algorithms {
    const char *signature; /* "ecdsa-with-SHA256", "RSA-SHA256" */
    char key[16];          /* "EC256", "RSA2048" */
    const char *group;     /* "x25519", "secp256r1" */
    const char
        *scheme; /* of our signature in the handshake, as RFC 8446 §4.2.3 names it: "rsa_pss_rsae_sha256" */
};
void sp_tls_own_algorithms(const struct sp_transport *t, struct sp_tls_algorithms *out);
/* The first URI name of the certificate for the name that the client asked for, unchecked bytes; absent without one. Of
 * several for one name, which differ by the type of their keys, it is the first of the file: the same whichever was shown,
 * and when none was, after a resumption. Borrowed from `t` (NULL: none). After SP_OK. */
struct sp_slice sp_tls_own_uri(const struct sp_transport *t);

#endif
