/* What the sources of TLS towards backends share: client.c (what an upstream's connections have in common), client_verify.c
 * (who the backend is) and client_conn.c (a connection). Not a door. */
#ifndef SP_TLS_CLIENT_IMPL_H
#define SP_TLS_CLIENT_IMPL_H

#include "sallyport/match/match.h"
#include "sallyport/tls/client.h"
#include "tls_private.h"

struct sp_tls_client {
    atomic_uint refs;
    struct tls_shared *shared;
    struct sp_config *config; /* one reference; `tls` is of it */
    const struct sp_config_upstream_tls *tls;
    struct sp_trust *trust;    /* one reference; NULL: whoever answers is believed */
    struct certificate own;    /* without leaf: none */
    char *subject;             /* of it */
    struct sp_uri_pattern uri; /* of tls->uri, if that is given */
    SSL_CTX *ctx;
};

/* ---- client_verify.c ---- */
#define WANTED_ROOM 256

/* The one name that a certificate must have, as a DNS name or as an address. */
struct wanted {
    enum { WANTED_NOTHING, WANTED_DNS, WANTED_ADDRESS } kind;
    char text[WANTED_ROOM]; /* a name canonical: lower case, no trailing dot */
    struct sp_cidr address;
};
/* `text`: a name, or an address, which may stand in brackets or have a zone. NULL, or what no certificate can name: WANTED_NOTHING. */
struct wanted wanted_of(const char *text);
/* Does one of the certificate's names say so? Subject alternative names only, compared by length. */
bool wanted_is_met(const struct wanted *w, const struct sp_identity *backend);

/* What is known of the backend while it proves itself. */
struct probe {
    struct wanted host; /* the endpoint's own name or address */
    char sni[WANTED_ROOM];
    unsigned char alpn[32]; /* as the extension has it; alpn[0] 0: none is offered */
    struct sp_verdict verdict;
    bool judged;
    SSL_SESSION *session; /* what came in the handshake already, as with TLS 1.2; owned */
};
/* Whom the backend of `c` at `p->host` has to be is who it is. False: `out` says why, refused. */
SP_MUST_USE bool backend_is_wanted(const struct sp_tls_client *c, const struct probe *p,
    const struct sp_identity *backend, struct sp_verdict *out);

/* ---- client_conn.c: callbacks of the contexts ---- */
int on_backend_verify(X509_STORE_CTX *store_ctx, void *arg);
int on_backend_session(SSL *ssl, SSL_SESSION *session);

#endif
