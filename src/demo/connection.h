/* Our end of one connection to the proxy: TLS 1.3 with a certificate, or plain. It blocks, within limits: there
 * is nothing else to do meanwhile. What is said over it is client.c's. */
#ifndef SP_DEMO_CONNECTION_H
#define SP_DEMO_CONNECTION_H

#include <openssl/ssl.h>

#include "demo_impl.h"

#define SP_DEMO_WAIT_SECONDS 10 /* for whatever is awaited of the proxy */

struct sp_demo_connection {
    int fd; /* -1: none */
    SSL_CTX *context;
    SSL *ssl;                 /* NULL: plain */
    SSL_SESSION *ticket;      /* the newest one, or NULL; outlives the connection's end */
    char local[SP_ADDR_TEXT]; /* our end: the peer in the proxy's log */
};

/* Connects. For the caller to free after any result. */
SP_MUST_USE enum sp_rc sp_demo_connection_open(
    struct sp_demo_connection *c, const struct sp_addr *to, struct sp_err *err);
/* The handshake, as `who` (NULL: nobody) with the host `name`; `ticket`, if not NULL, is offered. SP_EOF: an
 * alert came, which is in `out`. */
SP_MUST_USE enum sp_rc sp_demo_connection_secure(struct sp_demo_connection *c, const struct sp_demo_folder *f,
    const char *who, const char *name, SSL_SESSION *ticket, struct sp_demo_answer *out, struct sp_err *err);
/* Sends all of `text`. SP_EOF: the proxy closed, `out->alert` says whether by an alert. */
SP_MUST_USE enum sp_rc sp_demo_connection_send(
    struct sp_demo_connection *c, struct sp_slice text, struct sp_demo_answer *out, struct sp_err *err);
/* Some bytes into `out->raw`. SP_EOF: as above. */
SP_MUST_USE enum sp_rc sp_demo_connection_read(
    struct sp_demo_connection *c, struct sp_demo_answer *out, struct sp_err *err);
/* Takes up the ticket that came with the answer, if one did. */
void sp_demo_connection_take_ticket(struct sp_demo_connection *c);
/* Closes it; what is left is the ticket. */
void sp_demo_connection_close(struct sp_demo_connection *c);
void sp_demo_connection_free(struct sp_demo_connection *c);

#endif
