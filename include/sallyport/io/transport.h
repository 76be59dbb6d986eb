/* A transport: a connected byte stream that never blocks. Kinds: plain socket (here), in-memory pair for tests
 * (here), TLS (room tls). The owner registers `fd` with its loop and feeds the edges in through
 * sp_transport_ready; the kinds keep the readiness, so an empty socket costs no system call. */
#ifndef SP_IO_TRANSPORT_H
#define SP_IO_TRANSPORT_H

#include <sys/uio.h>

#include "sallyport/base/base.h"
#include "sallyport/io/loop.h"

struct sp_transport;

struct sp_transport_ops {
    const char *name;
    /* SP_OK: *n > 0 bytes. SP_AGAIN: an edge will come. SP_EOF: the peer ended its direction, rightly. SP_FAIL:
     * the connection is broken (reset, TLS error, TLS end without close_notify after data). */
    enum sp_rc (*read)(struct sp_transport *t, void *buf, size_t room, size_t *n);
    /* Takes some bytes off the front of the vector: *taken > 0 on SP_OK. What was taken need not be kept by
     * the caller, though it may still wait inside: see flush. SP_AGAIN: nothing taken, an edge will come. */
    enum sp_rc (*writev)(struct sp_transport *t, const struct iovec *iov, int count, size_t *taken);
    /* SP_OK: everything taken has gone to the kernel. SP_AGAIN: some waits for a writable edge. */
    enum sp_rc (*flush)(struct sp_transport *t);
    /* Ends our direction (TLS: close_notify, then FIN); reading stays possible. */
    enum sp_rc (*shutdown)(struct sp_transport *t);
    /* Whether memory that it needs only while bytes come and go is kept between them, or given back each time (as it is at
     * first). NULL: it has none. */
    void (*keep_buffers)(struct sp_transport *t, bool keep);
    /* Closes the descriptor and frees. The owner has taken its watch off first. */
    void (*free)(struct sp_transport *t);
};

struct sp_transport {
    const struct sp_transport_ops *ops;
    int fd;          /* -1 for in-memory */
    bool can_read;   /* reading may give something: no EAGAIN since the last readable edge */
    bool can_write;  /* likewise */
    bool peer_ended; /* the kernel reported that the peer ended its direction: read on until EOF */
    /* Set by the owner while what it writes is the last, and its shutdown comes right behind: it may wait for that, so that both go
     * in one segment. Whoever does not end then takes it back. */
    bool end_follows;
};

/* Notes an edge from the loop: bits SP_EV_*. */
static inline void sp_transport_ready(struct sp_transport *t, unsigned events)
{
    if (events & (SP_EV_READ | SP_EV_CLOSED))
        t->can_read = true;
    if (events & SP_EV_WRITE)
        t->can_write = true;
    if (events & SP_EV_CLOSED)
        t->peer_ended = true;
}

/* Makes the next read ask the kernel, though the last one left the socket empty. For a message that turned out
 * incomplete: when a reset arrives together with the bytes before it, epoll reports both in one edge, which
 * libevent shows as an ordinary readable one, and no other comes. Once after each SP_OK of reading, never after
 * SP_AGAIN. */
static inline void sp_transport_expect_more(struct sp_transport *t)
{
    t->can_read = true;
}

static inline SP_MUST_USE enum sp_rc sp_transport_read(
    struct sp_transport *t, void *buf, size_t room, size_t *n)
{
    return t->ops->read(t, buf, room, n);
}

static inline SP_MUST_USE enum sp_rc sp_transport_writev(
    struct sp_transport *t, const struct iovec *iov, int count, size_t *taken)
{
    return t->ops->writev(t, iov, count, taken);
}

static inline SP_MUST_USE enum sp_rc sp_transport_flush(struct sp_transport *t)
{
    return t->ops->flush(t);
}

static inline enum sp_rc sp_transport_shutdown(struct sp_transport *t)
{
    return t->ops->shutdown(t);
}

static inline void sp_transport_keep_buffers(struct sp_transport *t, bool keep)
{
    if (t->ops->keep_buffers != NULL)
        t->ops->keep_buffers(t, keep);
}

static inline void sp_transport_free(struct sp_transport *t)
{
    if (t != NULL)
        t->ops->free(t);
}

/* A plain socket. Takes over `fd` (non-blocking, connected or connecting). NULL without memory: fd is still the
 * caller's. */
SP_MUST_USE struct sp_transport *sp_plain_new(int fd);

/* Both ends of an in-memory stream with `capacity` bytes each way, for tests: what one end writes the other
 * reads, at most `chunk` bytes a call (0: no such limit). No edges come; the test sets can_read / can_write
 * again. */
SP_MUST_USE enum sp_rc sp_mem_pair(
    size_t capacity, size_t chunk, struct sp_transport **a, struct sp_transport **b);

#endif
