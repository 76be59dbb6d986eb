/* The plain socket as a transport.
 *
 * It keeps the readiness that epoll's edges reported: a read that gave less than asked for has emptied the
 * socket, and the next one would only be told so by the kernel; likewise a write that took less. The exception
 * is a peer that has ended: its end is reported by an edge that came already, so reading goes on until the
 * kernel says so. (A reset that came along with data is reported by no edge of its own:
 * sp_transport_expect_more.)
 *
 * The kernel tells of a reset once. When it was a write that was told, the reader finds what came before the reset and then an
 * end as of a peer that has said all: `lost` keeps the one from being taken for the other. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/base/mem.h"
#include "sallyport/io/transport.h"

struct plain {
    struct sp_transport transport;
    bool lost; /* a write was told that the connection broke */
};

static struct plain *plain_of(struct sp_transport *t)
{
    return SP_CONTAINER_OF(t, struct plain, transport);
}

static enum sp_rc plain_read(struct sp_transport *t, void *buf, size_t room, size_t *n)
{
    SP_ASSERT(room > 0);
    *n = 0;
    if (!t->can_read)
        return SP_AGAIN;
    ssize_t got;
    do
        got = recv(t->fd, buf, room, 0);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        return plain_of(t)->lost ? SP_FAIL : SP_EOF;
    if (got < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return SP_FAIL;
        t->can_read = false;
        return SP_AGAIN;
    }
    if ((size_t)got < room && !t->peer_ended)
        t->can_read = false;
    *n = (size_t)got;
    return SP_OK;
}

/* sendmsg takes the vector as it is; the cast only drops a const that the kernel honours. Where there is but one piece the kernel
 * spares itself the header and the vector by send. */
static ssize_t send_vector(int fd, const struct iovec *iov, int count)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    if (count == 1)
        return send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static enum sp_rc plain_writev(struct sp_transport *t, const struct iovec *iov, int count, size_t *taken)
{
    *taken = 0;
    if (!t->can_write)
        return SP_AGAIN;
    ssize_t sent;
    do
        sent = send_vector(t->fd, iov, count);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            plain_of(t)->lost = plain_of(t)->lost || errno != EPIPE; /* it came behind the peer's end */
            return SP_FAIL;
        }
        t->can_write = false;
        return SP_AGAIN;
    }
    size_t wanted = 0;
    for (int i = 0; i < count; i++)
        wanted += iov[i].iov_len;
    SP_ASSERT(wanted > 0);
    if ((size_t)sent < wanted)
        t->can_write = false;
    *taken = (size_t)sent;
    return SP_OK;
}

static enum sp_rc plain_flush(struct sp_transport *t)
{
    (void)t; /* what was taken is with the kernel */
    return SP_OK;
}

static enum sp_rc plain_shutdown(struct sp_transport *t)
{
    return shutdown(t->fd, SHUT_WR) == 0 ? SP_OK : SP_FAIL;
}

static void plain_free(struct sp_transport *t)
{
    close(t->fd);
    sp_free(plain_of(t));
}

static const struct sp_transport_ops plain_ops = {
    .name = "plain",
    .read = plain_read,
    .writev = plain_writev,
    .flush = plain_flush,
    .shutdown = plain_shutdown,
    .free = plain_free,
};

struct sp_transport *sp_plain_new(int fd)
{
    struct plain *p = SP_NEW(struct plain);
    if (p == NULL)
        return NULL;
    /* Ready until the kernel says otherwise: the owner may have seen the first edges before this was made. */
    p->transport = (struct sp_transport){.ops = &plain_ops, .fd = fd, .can_read = true, .can_write = true};
    return &p->transport;
}
