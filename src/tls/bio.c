/* The BIO under every SSL: the connection's socket, with the readiness that the loop reported.
 *
 * It does for TLS what the plain transport does for plain sockets: a short read has emptied the socket, so the
 * next one is answered "retry" without asking the kernel, until an edge (or, when the peer has ended, until
 * EOF). Not so in the handshake: there a reset that came along with half a message would be seen by nobody
 * before the deadline (see sp_transport_expect_more).
 *
 * Of a socket that takes nothing any more an open connection is told that it is full. After an error of writing OpenSSL must not be
 * asked to read either (SSL_get_error(3), SSL_ERROR_SYSCALL), while behind a "retry" of writing it may be; and what a peer
 * said before it broke off, "413" for one, is in the socket still. Nobody waits for such a writer: wire.c knows.
 *
 * The BIO_METHOD is counted, not owned by a server: a connection outlives the server that accepted it. */
#include <errno.h>
#include <sys/socket.h>

#include "sallyport/base/mem.h"
#include "tls_private.h"

/* A ClientHello has two KiB, ten with a large ticket; the list of certificates is bounded by sixteen; a request may
 * come along behind them. */
#define HANDSHAKE_BYTES_MAX 65536

/* OpenSSL bounds single messages: a ClientHello by 128 KiB, of which it makes a buffer as soon as it is announced, and
 * with records of one byte each a client could keep it busy until the deadline. */
static bool is_flood(struct wire *w)
{
    if (w->stage != STAGE_SHAKING || w->received < HANDSHAKE_BYTES_MAX)
        return false;
    w->flooded = true;
    return true;
}

static int socket_read(BIO *b, char *buf, size_t room, size_t *n)
{
    struct wire *w = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    *n = 0;
    if (w->broken || is_flood(w))
        return 0;
    if (!w->t.can_read) {
        BIO_set_retry_read(b);
        return 0;
    }
    ssize_t got;
    do
        got = recv(w->t.fd, buf, room, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        w->t.can_read = false;
        BIO_set_retry_read(b);
        return 0;
    }
    if (got <= 0) {
        w->tcp_ended = got == 0;
        return 0;
    }
    if ((size_t)got < room && !w->t.peer_ended && w->stage == STAGE_OPEN)
        w->t.can_read = false;
    if (w->stage == STAGE_SHAKING)
        w->received += (size_t)got;
    *n = (size_t)got;
    return 1;
}

/* Such a socket has nothing to come either: it is read to its end, of which no edge may tell. */
static void lose_writes(struct wire *w, BIO *b)
{
    w->writes_lost = true;
    w->t.can_read = w->t.peer_ended = true;
    BIO_set_retry_write(b);
}

static int socket_write(BIO *b, const char *bytes, size_t len, size_t *n)
{
    struct wire *w = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    *n = 0;
    if (!w->t.can_write) {
        BIO_set_retry_write(b);
        return 0;
    }
    ssize_t sent;
    do
        sent = send(w->t.fd, bytes, len, MSG_NOSIGNAL | (w->more_follows || w->t.end_follows ? MSG_MORE : 0));
    while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            w->t.can_write = false;
            BIO_set_retry_write(b);
        } else if (w->stage == STAGE_OPEN) {
            lose_writes(w, b);
        }
        return 0;
    }
    if ((size_t)sent < len)
        w->t.can_write = false;
    *n = (size_t)sent;
    return 1;
}

static long socket_ctrl(BIO *b, int command, long number, void *ptr)
{
    (void)number;
    (void)ptr;
    struct wire *w = BIO_get_data(b);
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF: /* how OpenSSL tells a truncation from an error. It would answer one by a fatal alert, and so spoil a
                          session that may be come back to (wire_end); of an open connection `tcp_ended` tells us as well */
        return w != NULL && w->tcp_ended && w->stage != STAGE_OPEN;
    default:
        return 0;
    }
}

static int socket_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

struct tls_shared *shared_new(void)
{
    struct tls_shared *s = SP_NEW(struct tls_shared);
    if (s == NULL)
        return NULL;
    atomic_init(&s->refs, 1);
    /* No index from BIO_get_new_index: there are 127 in the life of a process, and this is made at every
     * reload. */
    BIO_METHOD *m = s->bio_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sallyport socket");
    if (m == NULL || !BIO_meth_set_read_ex(m, socket_read) || !BIO_meth_set_write_ex(m, socket_write) ||
        !BIO_meth_set_ctrl(m, socket_ctrl) || !BIO_meth_set_create(m, socket_create)) {
        shared_unref(s);
        return NULL;
    }
    return s;
}

struct tls_shared *shared_ref(struct tls_shared *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void shared_unref(struct tls_shared *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    BIO_meth_free(s->bio_method);
    sp_free(s);
}
