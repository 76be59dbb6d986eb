/* An open TLS connection as a transport, whichever side of it is ours; the way there is in handshake.c (clients) and
 * client_conn.c (backends).
 *
 * Reading: OpenSSL reads ahead, so bytes may wait in it while the socket is empty. SP_AGAIN is given only when
 * neither has any, and `can_read` stays set while OpenSSL does. Writing: record by record, as far as the socket takes them;
 * the kernel is told of each but the last that another follows, so that it need not send (and wake the peer by) each alone.
 * When the socket is full in the middle of one, its plaintext is kept here (OpenSSL wants the same bytes again) and
 * reported as taken; nothing more is taken until it is gone. After a fatal error OpenSSL is not asked again
 * (`broken`). A socket that takes nothing any more is none: what the peer said before is read to its end, with close_notify or
 * without (`writes_lost`, see bio.c). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
    struct wire *w = arg;
    if (written || len == 0)
        return;
    /* A message that was processed, or (for those refused unread) the record that brought one. */
    bool is_handshake =
        content_type == SSL3_RT_HANDSHAKE ||
        (content_type == SSL3_RT_HEADER && *(const unsigned char *)bytes == SSL3_RT_HANDSHAKE);
    if (!is_handshake)
        return;
    uint64_t now_us = sp_mono_us();
    if (now_us - w->counted_since_us >= WINDOW_US) {
        w->counted_since_us = now_us;
        w->handshake_messages = 0;
    }
    if (++w->handshake_messages > MAX_HANDSHAKE_MESSAGES) {
        w->broken = true; /* the BIO gives nothing more */
        w->end_reason = SP_REFUSAL_too_many_key_updates;
    }
}

/* Data in either direction: either side's keys may be due. */
static void count_data(struct wire *w, size_t bytes)
{
    w->data_since += bytes;
    if (w->data_since >= DATA_BETWEEN) {
        w->data_since = 0;
        w->handshake_messages = 0;
    }
}

void wire_watch_messages(struct wire *w)
{
    SSL_set_msg_callback(w->ssl, on_message);
    SSL_set_msg_callback_arg(w->ssl, w);
}

static enum sp_rc fail(struct wire *w)
{
    w->broken = true;
    ERR_clear_error();
    return SP_FAIL;
}

/* Before each call of OpenSSL, by which it tells its own errors. Emptying a queue that is empty costs more than looking. */
static void forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* OpenSSL waits for the socket to take more. */
static enum sp_rc write_waits(const struct wire *w)
{
    return w->writes_lost ? SP_FAIL : SP_AGAIN;
}

static enum sp_rc read_stopped(struct wire *w)
{
    switch (SSL_get_error(w->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return SP_AGAIN;
    case SSL_ERROR_WANT_WRITE: /* an answer comes first: if it cannot, nothing else does */
        w->read_wants_write = true;
        if (w->writes_lost)
            w->read_end = SP_FAIL;
        return write_waits(w);
    case SSL_ERROR_ZERO_RETURN:
        w->read_end = SP_EOF;
        return SP_EOF;
    default:
        w->read_end = SP_FAIL;
        return fail(w);
    }
}

/* Nothing of ours would go out that could carry the acknowledgement of what came. A client with Nagle's algorithm (Python's ssl, many
 * small ones) would hold back the rest of what it has to say until the kernel sends one by itself, 40 ms later. */
static void acknowledge(const struct wire *w)
{
    int on = 1;
    (void)setsockopt(w->t.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)); /* fails on a unix socket */
}

void wire_settle(struct wire *w)
{
    if (w->owes == OWES_SESSION)
        wire_push(w);
    else if (w->owes == OWES_ACKNOWLEDGEMENT)
        acknowledge(w);
    w->owes = OWES_NOTHING;
}

static enum sp_rc nothing_to_read(struct wire *w)
{
    wire_settle(w);
    return SP_AGAIN;
}

enum sp_rc wire_read(struct sp_transport *t, void *buf, size_t room, size_t *n)
{
    struct wire *w = wire_of(t);
    SP_ASSERT(w->stage == STAGE_OPEN && room > 0);
    *n = 0;
    if (w->read_end != SP_OK)
        return w->read_end;
    if (w->broken)
        return SP_FAIL;
    if (!t->can_read)
        return nothing_to_read(w);
    enum sp_rc rc = SP_OK;
    while (rc == SP_OK && *n < room) {
        size_t got;
        forget_errors();
        if (SSL_read_ex(w->ssl, (char *)buf + *n, room - *n, &got) != 1) {
            rc = read_stopped(w);
            break;
        }
        *n += got;
        count_data(w, got);
        if (!t->can_read && !SSL_has_pending(w->ssl))
            break;
    }
    /* What is left inside, and an end that was met behind data, need no edge to be asked for. */
    if ((rc == SP_OK && SSL_has_pending(w->ssl)) || rc == SP_EOF || rc == SP_FAIL)
        t->can_read = true;
    if (*n > 0)
        return SP_OK;
    return rc == SP_AGAIN ? nothing_to_read(w) : rc;
}

/* Keeps plaintext whose record is on its way. */
static enum sp_rc hold(struct wire *w, const void *bytes, size_t len)
{
    w->held = sp_alloc(1, len);
    if (w->held == NULL) {
        w->end_reason = SP_REFUSAL_out_of_memory;
        return fail(w);
    }
    memcpy(w->held, bytes, len);
    w->held_len = len;
    w->held_from = 0;
    return SP_OK;
}

/* TLS's own message has gone out: what was read behind it needs no edge. */
static void own_message_done(struct wire *w)
{
    if (w->read_wants_write && SSL_has_pending(w->ssl))
        w->t.can_read = true;
    w->read_wants_write = false;
}

/* SP_OK: *written > 0. SP_AGAIN: OpenSSL has begun and wants the same bytes again. */
static enum sp_rc write_record(struct wire *w, const void *bytes, size_t len, size_t *written)
{
    forget_errors();
    w->owes = OWES_NOTHING;
    if (SSL_write_ex(w->ssl, bytes, len, written) == 1) {
        own_message_done(w);
        count_data(w, *written);
        return SP_OK;
    }
    switch (SSL_get_error(w->ssl, 0)) {
    case SSL_ERROR_WANT_WRITE:
    case SSL_ERROR_WANT_READ:
        return write_waits(w);
    default:
        return fail(w);
    }
}

/* Goes on with what TLS itself wanted to send while reading. */
static enum sp_rc finish_own_message(struct wire *w)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(w->ssl);
    int ssl_error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(w->ssl, rc);
    if (ssl_error == SSL_ERROR_WANT_WRITE)
        return write_waits(w);
    if (ssl_error != SSL_ERROR_NONE && ssl_error != SSL_ERROR_WANT_READ)
        return fail(w);
    own_message_done(w);
    return SP_OK;
}

enum sp_rc wire_flush(struct sp_transport *t)
{
    struct wire *w = wire_of(t);
    SP_ASSERT(w->stage == STAGE_OPEN);
    if (w->broken || w->writes_lost)
        return SP_FAIL;
    while (w->held != NULL) {
        size_t written;
        if (!t->can_write)
            return SP_AGAIN;
        enum sp_rc rc = write_record(w, w->held + w->held_from, w->held_len - w->held_from, &written);
        if (rc != SP_OK)
            return rc;
        w->held_from += written;
        if (w->held_from == w->held_len)
            SP_FREE(w->held);
    }
    if (w->read_wants_write)
        return t->can_write ? finish_own_message(w) : SP_AGAIN;
    return SP_OK;
}

/* What a write has still to take. */
struct cursor {
    const struct iovec *iov;
    size_t at;   /* in the first of them */
    size_t left; /* in all */
};

/* Behind the first `skip` bytes. */
static struct cursor cursor_of(const struct iovec *iov, int count, size_t skip)
{
    struct cursor c = {.iov = iov, .at = skip};
    for (int i = 0; i < count; i++)
        c.left += iov[i].iov_len;
    SP_ASSERT(c.left > 0 && c.left >= skip);
    c.left -= skip;
    while (c.left > 0 && c.at >= c.iov->iov_len) {
        c.at -= c.iov->iov_len;
        c.iov++;
    }
    return c;
}

/* Up to `room` bytes that lie together. */
static struct sp_slice next_run(struct cursor *c, size_t room)
{
    while (c->at == c->iov->iov_len) {
        c->iov++;
        c->at = 0;
    }
    size_t there = c->iov->iov_len - c->at, len = there < room ? there : room;
    struct sp_slice run = {(const char *)c->iov->iov_base + c->at, len};
    c->at += len;
    c->left -= len;
    return run;
}

/* The next bytes for one record: the caller's own memory if they lie together there, else gathered in `scratch`. */
static struct sp_slice next_record(struct cursor *c, char scratch[RECORD_MAX])
{
    struct sp_slice record = next_run(c, RECORD_MAX);
    if (record.len == RECORD_MAX || c->left == 0)
        return record;
    size_t len = 0;
    for (struct sp_slice run = record; run.len > 0; run = next_run(c, RECORD_MAX - len)) {
        memcpy(scratch + len, run.ptr, run.len);
        len += run.len;
        if (len == RECORD_MAX || c->left == 0)
            break;
    }
    return (struct sp_slice){scratch, len};
}

/* The kernel waits for what it was told would follow, 200 ms at most, and it does not: said again, this sends what is there. */
void wire_push(struct wire *w)
{
    int on = 1;
    w->more_follows = w->t.end_follows = false;
    (void)setsockopt(w->t.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* of TCP; others do not wait */
}

enum sp_rc wire_writev(struct sp_transport *t, const struct iovec *iov, int count, size_t *taken)
{
    struct wire *w = wire_of(t);
    *taken = 0;
    enum sp_rc rc = wire_flush(t);
    if (rc != SP_OK)
        return rc;
    if (w->close_sent)
        return SP_FAIL;
    char scratch[RECORD_MAX];
    struct cursor c = cursor_of(iov, count, 0);
    while (rc == SP_OK && c.left > 0 && t->can_write && w->held == NULL) {
        size_t written = 0;
        struct sp_slice record = next_record(&c, scratch);
        w->more_follows = c.left > 0;
        rc = write_record(w, record.ptr, record.len, &written);
        w->more_follows = false;
        if (rc == SP_AGAIN) {
            if (*taken > 0 || c.left > 0 || t->end_follows)
                wire_push(w);
            rc = hold(w, record.ptr, record.len);
            written = record.len;
        }
        if (rc == SP_OK)
            *taken += written;
        c = cursor_of(iov, count, *taken); /* a peer may have asked for smaller records (RFC 6066 §4) */
    }
    if (*taken > 0)
        return SP_OK; /* whether or not it has failed since: the next call knows */
    return rc == SP_OK ? SP_AGAIN : rc;
}

/* The buffers of a record, 17 KiB each way. OpenSSL does not look itself whether one holds what is still to be read. */
void wire_keep_buffers(struct sp_transport *t, bool keep)
{
    struct wire *w = wire_of(t);
    SP_ASSERT(w->stage == STAGE_OPEN);
    if (keep) {
        SSL_clear_mode(w->ssl, SSL_MODE_RELEASE_BUFFERS);
        return;
    }
    SSL_set_mode(w->ssl, SSL_MODE_RELEASE_BUFFERS);
    if (!w->broken && !SSL_has_pending(w->ssl))
        (void)SSL_free_buffers(w->ssl); /* none if one is on its way: it goes back when it has gone out */
}

/* SP_AGAIN: the socket is full; to be called again after a writable edge. */
enum sp_rc wire_shutdown(struct sp_transport *t)
{
    struct wire *w = wire_of(t);
    enum sp_rc rc = wire_flush(t);
    t->end_follows = rc == SP_OK; /* close_notify goes with the FIN, and the answer with both */
    if (rc == SP_AGAIN)
        return SP_AGAIN;
    if (rc == SP_OK && !w->close_sent) {
        ERR_clear_error();
        int sent = SSL_shutdown(w->ssl);
        /* 0 is no proof that it went: a second try that is cut short says so too. */
        if (sent <= 0 && SSL_want_write(w->ssl))
            rc = write_waits(w);
        else if (sent < 0)
            rc = fail(w);
        if (rc == SP_AGAIN) {
            wire_push(w);
            return SP_AGAIN;
        }
        w->close_sent = true;
    }
    if (shutdown(t->fd, SHUT_WR) != 0)
        rc = SP_FAIL;
    return rc;
}

/* The certificates above the leaf are told by now to whom they concern. OpenSSL would hold them parsed, with their keys,
 * for as long as the connection: 6 KiB each, a quarter of an idle connection. Nothing asks for them again: there is no
 * renegotiation. The list stays OpenSSL's; it is left empty. */
void wire_forget_chain(struct wire *w)
{
    STACK_OF(X509) *sent = SSL_get_peer_cert_chain(w->ssl);
    while (sent != NULL && sk_X509_num(sent) > 0)
        X509_free(sk_X509_pop(sent));
}

bool wire_start(struct wire *w, SSL_CTX *ctx)
{
    w->ssl = SSL_new(ctx);
    BIO *bio = BIO_new(w->shared->bio_method);
    if (w->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, w);
    SSL_set_bio(w->ssl, bio, bio); /* takes it over */
    w->stage = STAGE_SHAKING;
    return true;
}

void wire_end(struct wire *w)
{
    /* Else OpenSSL would spoil the session of one that ends without close_notify, as RFC 2246 wanted it; since RFC 4346 §7.2.1
     * one may come back to it. What ended by a fatal alert it has spoilt by now, as it should. */
    if (w->ssl != NULL && w->stage == STAGE_OPEN)
        SSL_set_shutdown(w->ssl, SSL_get_shutdown(w->ssl) | SSL_SENT_SHUTDOWN);
    SSL_free(w->ssl);
    sp_free(w->held);
    close(w->t.fd);
    shared_unref(w->shared);
    ERR_clear_error();
}
