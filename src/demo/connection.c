/* Sockets and TLS for client.c. An alert is not a failure here: it is one of the answers that the demo wants to
 * see. */
#include "connection.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/time.h>
#include <unistd.h>

#include "certificate.h"

#define READ_MAX 16384

enum sp_rc sp_demo_connection_open(struct sp_demo_connection *c, const struct sp_addr *to, struct sp_err *err)
{
    struct timeval wait = {.tv_sec = SP_DEMO_WAIT_SECONDS};
    struct sp_addr ours = {.len = sizeof(ours.u)};

    *c = (struct sp_demo_connection){.fd = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (c->fd < 0)
        return sp_err_sys(err, errno, "socket");
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0 ||
        setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) != 0)
        return sp_err_sys(err, errno, "socket");
    if (connect(c->fd, &to->u.sa, to->len) != 0)
        return sp_err_sys(err, errno, "connect");
    if (getsockname(c->fd, &ours.u.sa, &ours.len) != 0)
        return sp_err_sys(err, errno, "socket");
    sp_addr_format(&ours, c->local);
    return SP_OK;
}

/* ---- TLS ---- */

static bool load_files(SSL_CTX *context, const struct sp_demo_folder *f, const char *who)
{
    char ca[PATH_MAX + 64], cert[PATH_MAX + 64], key[PATH_MAX + 64];

    snprintf(ca, sizeof(ca), "%s/ca.pem", f->path);
    if (SSL_CTX_load_verify_file(context, ca) != 1)
        return false;
    if (who == NULL)
        return true;
    snprintf(cert, sizeof(cert), "%s/%s.pem", f->path, who);
    snprintf(key, sizeof(key), "%s/%s.key", f->path, who);
    return SSL_CTX_use_certificate_chain_file(context, cert) == 1 &&
           SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
}

/* What a TLS call that failed means: the alert that came, or an error. */
static enum sp_rc tls_ended(
    struct sp_demo_connection *c, int rc, const char *what, struct sp_demo_answer *out, struct sp_err *err)
{
    int sys = errno, kind = SSL_get_error(c->ssl, rc);
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);

    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
        reason < SSL_AD_REASON_OFFSET + 256) {
        out->alert = (unsigned)(reason - SSL_AD_REASON_OFFSET);
        ERR_clear_error();
        return SP_EOF;
    }
    if (kind == SSL_ERROR_ZERO_RETURN)
        return SP_EOF;
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
        return sp_err_sys(err, ETIMEDOUT, "%s", what);
    if (kind == SSL_ERROR_SYSCALL && sys != 0)
        return sp_err_sys(err, sys, "%s", what);
    return sp_demo_ssl_err(err, what);
}

enum sp_rc sp_demo_connection_secure(struct sp_demo_connection *c, const struct sp_demo_folder *f,
    const char *who, const char *name, SSL_SESSION *ticket, struct sp_demo_answer *out, struct sp_err *err)
{
    ERR_clear_error();
    c->context = SSL_CTX_new(TLS_client_method());
    if (c->context == NULL || SSL_CTX_set_min_proto_version(c->context, TLS1_3_VERSION) != 1 ||
        !load_files(c->context, f, who))
        return sp_demo_ssl_err(err, "TLS client");
    SSL_CTX_set_verify(c->context, SSL_VERIFY_PEER, NULL);
    c->ssl = SSL_new(c->context);
    if (c->ssl == NULL || SSL_set1_host(c->ssl, name) != 1 || SSL_set_tlsext_host_name(c->ssl, name) != 1 ||
        SSL_set_fd(c->ssl, c->fd) != 1 || (ticket != NULL && SSL_set_session(c->ssl, ticket) != 1))
        return sp_demo_ssl_err(err, "TLS client");
    int done = SSL_connect(c->ssl);
    if (done != 1)
        return tls_ended(c, done, "handshake", out, err);
    out->resumed = SSL_session_reused(c->ssl);
    return SP_OK;
}

void sp_demo_connection_take_ticket(struct sp_demo_connection *c)
{
    SSL_SESSION *session = c->ssl != NULL ? SSL_get1_session(c->ssl) : NULL;

    if (session == NULL || !SSL_SESSION_is_resumable(session)) {
        SSL_SESSION_free(session);
        return;
    }
    SSL_SESSION_free(c->ticket);
    c->ticket = session;
}

/* ---- bytes ---- */

static enum sp_rc send_some(
    struct sp_demo_connection *c, struct sp_slice *text, struct sp_demo_answer *out, struct sp_err *err)
{
    ssize_t n;

    errno = 0;
    ERR_clear_error();
    if (c->ssl != NULL)
        n = SSL_write(c->ssl, text->ptr, (int)text->len);
    else
        n = send(c->fd, text->ptr, text->len, MSG_NOSIGNAL);
    if (n <= 0)
        return c->ssl != NULL ? tls_ended(c, (int)n, "sending", out, err) : sp_err_sys(err, errno, "sending");
    *text = sp_slice_sub(*text, (size_t)n, text->len);
    return SP_OK;
}

enum sp_rc sp_demo_connection_send(
    struct sp_demo_connection *c, struct sp_slice text, struct sp_demo_answer *out, struct sp_err *err)
{
    enum sp_rc rc = SP_OK;

    while (rc == SP_OK && text.len > 0)
        rc = send_some(c, &text, out, err);
    return rc;
}

enum sp_rc sp_demo_connection_read(
    struct sp_demo_connection *c, struct sp_demo_answer *out, struct sp_err *err)
{
    char *room = sp_buf_room(&out->raw, READ_MAX);
    ssize_t n;

    if (room == NULL)
        return sp_err_set(err, "the answer is too long");
    errno = 0;
    ERR_clear_error();
    n = c->ssl != NULL ? SSL_read(c->ssl, room, READ_MAX) : recv(c->fd, room, READ_MAX, 0);
    if (n > 0) {
        out->raw.len += (size_t)n;
        return SP_OK;
    }
    if (c->ssl != NULL)
        return tls_ended(c, (int)n, "waiting for an answer", out, err);
    return n == 0 ? SP_EOF : sp_err_sys(err, errno, "waiting for an answer");
}

/* ---- its end ---- */

void sp_demo_connection_close(struct sp_demo_connection *c)
{
    if (c->ssl != NULL)
        SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    c->ssl = NULL;
    c->context = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    ERR_clear_error();
}

void sp_demo_connection_free(struct sp_demo_connection *c)
{
    sp_demo_connection_close(c);
    SSL_SESSION_free(c->ticket);
    c->ticket = NULL;
}
