/* TLS towards backends: who they are is verified before a byte of a request goes out.
 *
 *   sp_tls_client   what one upstream's connections have in common, for one thread: an SSL_CTX
 *   a connection    a transport that is first driven by sp_tls_client_handshake and is an ordinary one afterwards
 *
 * The server's chain is judged as a client's is (CA bundle, CRLs, times; purpose serverAuth), and its certificate must have the
 * name or URI that the operator says. A session is resumed only by the very sp_tls_client that made it, so that a new CA, CRL or
 * certificate of ours means a handshake in full; and not past the end of what was verified. TLS 1.2 and 1.3, no renegotiation,
 * no 0-RTT. Bytes that come before the handshake are no TLS and end the connection. */
#ifndef SP_TLS_CLIENT_H
#define SP_TLS_CLIENT_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/config/config.h"
#include "sallyport/io/transport.h"
#include "sallyport/pki/shelf.h"
#include "sallyport/pki/trust.h"

struct sp_tls_client;
/* Loads CA bundle, CRLs (by way of `shelf`, or NULL), our certificate and key. `tls` is of `config`, which is shared. NULL:
 * `diags` says why. Builder thread; used by one thread afterwards. Hands over one reference. */
SP_MUST_USE struct sp_tls_client *sp_tls_client_new(struct sp_config *config,
    const struct sp_config_upstream_tls *tls, struct sp_shelf *shelf, struct sp_diags *diags);
/* Another one of the same, for another thread; the files are not read again. NULL without memory. */
SP_MUST_USE struct sp_tls_client *sp_tls_client_copy(const struct sp_tls_client *c);
/* The same with its CRLs read again and nothing else: not held up by a CA or certificate file that cannot be used. NULL: `diags`
 * says why. Builder thread. Hands over one reference. */
SP_MUST_USE struct sp_tls_client *sp_tls_client_renew_crls(
    struct sp_tls_client *old, struct sp_shelf *shelf, struct sp_diags *diags);
struct sp_tls_client *sp_tls_client_ref(struct sp_tls_client *c); /* one more owner; any thread */
void sp_tls_client_free(struct sp_tls_client *c); /* one owner fewer; any thread; takes NULL */
/* Whether both judge and show alike: the older one may be kept, with the connections and sessions made by it. */
bool sp_tls_client_is_same(const struct sp_tls_client *a, const struct sp_tls_client *b);

/* What a server gave us to come back with; one for each endpoint and thread. Zeroed is none. */
struct sp_tls_saved {
    void *session;
    struct sp_tls_client *made_by; /* one reference: so that no other one can take its address */
    int64_t until;                 /* seconds since 1970: the end of what was verified */
};
void sp_tls_saved_forget(struct sp_tls_saved *saved);

/* A connection on `fd` (connected), which is taken over. `host`: the endpoint's own name or address without port, for SNI and
 * verification where the configuration names none; NULL for a unix socket. `alpn` is "http/1.1", or NULL. Shares `c`; borrows
 * `saved` until the transport is freed. NULL without memory: fd is the caller's. */
SP_MUST_USE struct sp_transport *sp_tls_client_conn_new(
    struct sp_tls_client *c, int fd, const char *host, const char *alpn, struct sp_tls_saved *saved);
/* Goes on as far as it can. SP_OK: the server is who it should be. SP_AGAIN: an edge will come. SP_FAIL: `err` says why, for a
 * log; err->sys is ENOMEM when it was for want of memory. The thread of `c`. */
SP_MUST_USE enum sp_rc sp_tls_client_handshake(struct sp_transport *t, struct sp_err *err);
bool sp_tls_client_is_resumed(const struct sp_transport *t); /* after SP_OK */
/* It goes on without what it was judged by, which it would keep alive, and without `saved`: what the server gives it from now
 * on to come back with is thrown away. After SP_OK; any number of times. */
void sp_tls_client_conn_detach(struct sp_transport *t);

/* Certificate facts for `check`: of ours, if there is one. */
struct sp_tls_client_facts {
    const char *file, *subject; /* valid as long as the client */
    int64_t not_before, not_after;
};
/* What backends are judged by; NULL: whoever answers is believed. Borrowed, valid as long as the client. */
const struct sp_trust *sp_tls_client_trust(const struct sp_tls_client *c);
bool sp_tls_client_certificate(const struct sp_tls_client *c, struct sp_tls_client_facts *out);

#endif
