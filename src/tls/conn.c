/* A TLS connection as a transport, once it is open; the way there is in handshake.c.
 *
 * Reading: OpenSSL reads ahead, so bytes may wait in it while the socket is empty. SP_AGAIN is given only when
 * neither has any, and `can_read` stays set while OpenSSL does. Writing: at most one record a call. When the
 * socket is full in the middle of it, the plaintext is kept here (OpenSSL wants the same bytes again) and
 * reported as taken; nothing more is taken until it is gone. After a fatal error OpenSSL is not asked again
 * (`broken`). */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "tls_private.h"

/* A peer may send KeyUpdates, and with TLS 1.2 ask for renegotiations, without end and for nothing: each costs us a
 * few hashes and an answer, him a hash. Keys have to change once in 2^24 records (RFC 8446 §5.5), the most cautious
 * clients change them every few megabytes, or now and then by the clock. So many within an hour, without that much
 * data between them, nobody needs; and however long a connection lives, it never comes near. */
#define MAX_HANDSHAKE_MESSAGES 100
#define DATA_BETWEEN           (1 << 20)
#define WINDOW_US              (UINT64_C(3600) * 1000000)

#define RECORD_MAX 16384

static void on_message(
    int written, int version, int content_type, const void *bytes, size_t len, SSL *ssl, void *arg)
{
    (void)version;
    (void)ssl;
    struct conn *c = arg;
    if (written || len == 0)
        return;
    /* A message that was processed, or (for those refused unread) the record that brought one. */
    bool is_handshake =
        content_type == SSL3_RT_HANDSHAKE ||
        (content_type == SSL3_RT_HEADER && *(const unsigned char *)bytes == SSL3_RT_HANDSHAKE);
    if (!is_handshake)
        return;
    uint64_t now_us = sp_mono_us();
    if (now_us - c->counted_since_us >= WINDOW_US) {
        c->counted_since_us = now_us;
        c->handshake_messages = 0;
    }
    if (++c->handshake_messages > MAX_HANDSHAKE_MESSAGES) {
        c->broken = true; /* the BIO gives nothing more */
        c->end_reason = SP_REFUSAL_too_many_key_updates;
    }
}

/* Data in either direction: either side's keys may be due. */
static void count_data(struct conn *c, size_t bytes)
{
    c->data_since += bytes;
    if (c->data_since >= DATA_BETWEEN) {
        c->data_since = 0;
        c->handshake_messages = 0;
    }
}

void conn_watch_messages(struct conn *c)
{
    SSL_set_msg_callback(c->ssl, on_message);
    SSL_set_msg_callback_arg(c->ssl, c);
}

static enum sp_rc fail(struct conn *c)
{
    c->broken = true;
    ERR_clear_error();
    return SP_FAIL;
}

static enum sp_rc read_stopped(struct conn *c)
{
    switch (SSL_get_error(c->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return SP_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        c->read_wants_write = true;
        return SP_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        c->read_end = SP_EOF;
        return SP_EOF;
    default:
        c->read_end = SP_FAIL;
        return fail(c);
    }
}

static enum sp_rc tls_read(struct sp_transport *t, void *buf, size_t room, size_t *n)
{
    struct conn *c = conn_of(t);
    SP_ASSERT(c->stage == STAGE_OPEN && room > 0);
    *n = 0;
    if (c->read_end != SP_OK)
        return c->read_end;
    if (c->broken)
        return SP_FAIL;
    if (!t->can_read)
        return SP_AGAIN;
    enum sp_rc rc = SP_OK;
    while (rc == SP_OK && *n < room) {
        size_t got;
        ERR_clear_error();
        if (SSL_read_ex(c->ssl, (char *)buf + *n, room - *n, &got) != 1) {
            rc = read_stopped(c);
            break;
        }
        *n += got;
        count_data(c, got);
        if (!t->can_read && !SSL_has_pending(c->ssl))
            break;
    }
    /* What is left inside, and an end that was met behind data, need no edge to be asked for. */
    if ((rc == SP_OK && SSL_has_pending(c->ssl)) || rc == SP_EOF || rc == SP_FAIL)
        t->can_read = true;
    return *n > 0 ? SP_OK : rc;
}

/* Keeps plaintext whose record is on its way. */
static enum sp_rc hold(struct conn *c, const void *bytes, size_t len)
{
    c->held = sp_alloc(1, len);
    if (c->held == NULL)
        return fail(c);
    memcpy(c->held, bytes, len);
    c->held_len = len;
    c->held_from = 0;
    return SP_OK;
}

/* TLS's own message has gone out: what was read behind it needs no edge. */
static void own_message_done(struct conn *c)
{
    if (c->read_wants_write && SSL_has_pending(c->ssl))
        c->t.can_read = true;
    c->read_wants_write = false;
}

/* SP_OK: *written > 0. SP_AGAIN: OpenSSL has begun and wants the same bytes again. */
static enum sp_rc write_record(struct conn *c, const void *bytes, size_t len, size_t *written)
{
    ERR_clear_error();
    if (SSL_write_ex(c->ssl, bytes, len, written) == 1) {
        own_message_done(c);
        count_data(c, *written);
        return SP_OK;
    }
    switch (SSL_get_error(c->ssl, 0)) {
    case SSL_ERROR_WANT_WRITE:
    case SSL_ERROR_WANT_READ:
        return SP_AGAIN;
    default:
        return fail(c);
    }
}

/* Goes on with what TLS itself wanted to send while reading. */
static enum sp_rc finish_own_message(struct conn *c)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(c->ssl);
    int ssl_error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc);
    if (ssl_error == SSL_ERROR_WANT_WRITE)
        return SP_AGAIN;
    if (ssl_error != SSL_ERROR_NONE && ssl_error != SSL_ERROR_WANT_READ)
        return fail(c);
    own_message_done(c);
    return SP_OK;
}

static enum sp_rc tls_flush(struct sp_transport *t)
{
    struct conn *c = conn_of(t);
    SP_ASSERT(c->stage == STAGE_OPEN);
    if (c->broken)
        return SP_FAIL;
    while (c->held != NULL) {
        size_t written;
        if (!t->can_write)
            return SP_AGAIN;
        enum sp_rc rc = write_record(c, c->held + c->held_from, c->held_len - c->held_from, &written);
        if (rc != SP_OK)
            return rc;
        c->held_from += written;
        if (c->held_from == c->held_len)
            SP_FREE(c->held);
    }
    if (c->read_wants_write)
        return t->can_write ? finish_own_message(c) : SP_AGAIN;
    return SP_OK;
}

/* The next bytes for one record: the caller's own memory if they lie together there, else gathered in
 * `scratch`. */
static struct sp_slice gather(const struct iovec *iov, int count, char scratch[RECORD_MAX])
{
    while (count > 0 && iov->iov_len == 0) {
        iov++;
        count--;
    }
    SP_ASSERT(count > 0);
    if (count == 1 || iov->iov_len >= RECORD_MAX)
        return (struct sp_slice){iov->iov_base, iov->iov_len < RECORD_MAX ? iov->iov_len : RECORD_MAX};
    size_t len = 0;
    for (int i = 0; i < count && len < RECORD_MAX; i++) {
        size_t fits = iov[i].iov_len < RECORD_MAX - len ? iov[i].iov_len : RECORD_MAX - len;
        if (fits > 0)
            memcpy(scratch + len, iov[i].iov_base, fits);
        len += fits;
    }
    return (struct sp_slice){scratch, len};
}

static enum sp_rc tls_writev(struct sp_transport *t, const struct iovec *iov, int count, size_t *taken)
{
    struct conn *c = conn_of(t);
    *taken = 0;
    enum sp_rc rc = tls_flush(t);
    if (rc != SP_OK)
        return rc;
    if (c->close_sent)
        return SP_FAIL;
    if (!t->can_write)
        return SP_AGAIN;
    char scratch[RECORD_MAX];
    struct sp_slice record = gather(iov, count, scratch);
    rc = write_record(c, record.ptr, record.len, taken);
    if (rc != SP_AGAIN)
        return rc;
    if (hold(c, record.ptr, record.len) != SP_OK)
        return SP_FAIL;
    *taken = record.len;
    return SP_OK;
}

/* SP_AGAIN: the socket is full; to be called again after a writable edge. */
static enum sp_rc tls_shutdown(struct sp_transport *t)
{
    struct conn *c = conn_of(t);
    enum sp_rc rc = tls_flush(t);
    if (rc == SP_AGAIN)
        return SP_AGAIN;
    if (rc == SP_OK && !c->close_sent) {
        ERR_clear_error();
        int sent = SSL_shutdown(c->ssl);
        if (sent < 0 && SSL_get_error(c->ssl, sent) == SSL_ERROR_WANT_WRITE)
            return SP_AGAIN;
        if (sent < 0)
            rc = fail(c);
        c->close_sent = true;
    }
    if (shutdown(t->fd, SHUT_WR) != 0)
        rc = SP_FAIL;
    return rc;
}

void proof_free(struct proof *p)
{
    if (p == NULL)
        return;
    X509_free(p->leaf);
    sp_identity_free(p->identity);
    resumption_forget(&p->resumption);
    sp_free(p);
}

static void tls_free(struct sp_transport *t)
{
    struct conn *c = conn_of(t);
    SSL_free(c->ssl);
    proof_free(c->proof);
    sp_identity_free(c->identity);
    sp_free(c->held);
    sp_free(c->sni);
    close(t->fd);
    shared_unref(c->shared);
    ERR_clear_error();
    sp_free(c);
}

static const struct sp_transport_ops tls_ops = {
    .name = "tls",
    .read = tls_read,
    .writev = tls_writev,
    .flush = tls_flush,
    .shutdown = tls_shutdown,
    .free = tls_free,
};

struct sp_transport *sp_tls_conn_new(struct sp_tls_server *server, int fd)
{
    struct conn *c = SP_NEW(struct conn);
    if (c == NULL)
        return NULL;
    c->t = (struct sp_transport){.ops = &tls_ops, .fd = fd, .can_read = true, .can_write = true};
    c->stage = STAGE_WAITING;
    c->server = server;
    c->shared = shared_ref(server->shared);
    return &c->t;
}

struct sp_identity *sp_tls_take_identity(struct sp_transport *t)
{
    struct conn *c = conn_of(t);
    SP_ASSERT(c->stage == STAGE_OPEN);
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
    return conn_of((struct sp_transport *)(uintptr_t)t)->end_reason;
}

const char *sp_tls_version(const struct sp_transport *t)
{
    const struct conn *c = conn_of((struct sp_transport *)(uintptr_t)t);
    /* OpenSSL names its own highest version until one is agreed on; the cipher is chosen after that. TLS 1.2
     * has it pending until the end of the handshake. */
    bool is_agreed =
        c->ssl != NULL && (SSL_get_current_cipher(c->ssl) != NULL || SSL_get_pending_cipher(c->ssl) != NULL);
    return is_agreed ? SSL_get_version(c->ssl) : "";
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
        c != NULL && c->ssl != NULL ? SSL_CTX_get0_certificate(SSL_get_SSL_CTX(c->ssl)) : NULL;
    return first != NULL ? certificate_uri(first) : (struct sp_slice){NULL, 0};
}
