/* A codec turns the bytes of one connection into messages and back. A stream is one exchange's place on a
 * connection: HTTP/1.1 has one at a time, HTTP/2 many. Either side: a server stream receives requests, a client
 * stream receives responses.
 *
 * Pull, not push: the exchange asks, and is told SP_AGAIN when there is nothing; it asks again when the
 * connection saw an edge. So backpressure is simply not asking.
 *
 *   recv_head -> recv_body* -> (SP_EOF)         next -> recv_head ...
 *   send_head -> send_body* -> send_end -> flush
 *
 * After a 101 that was asked for, neither side is HTTP any more: sp_h1_rest.
 *
 * The two halves run independently, on the thread that owns the connection. */
#ifndef SP_HTTP_CODEC_H
#define SP_HTTP_CODEC_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/http/h1_parse.h"
#include "sallyport/http/message.h"
#include "sallyport/io/transport.h"

struct sp_stream;

struct sp_codec_ops {
    const char *name; /* its ALPN id */
    /* SP_OK: *head lives until next(). SP_AGAIN. SP_EOF: the peer ended the connection between messages.
     * SP_FAIL: `fault` (reason client_gone or backend_closed when the connection broke inside a head, or
     * instead of a response). A client stream may get several heads: 1xx ones come before the final one, and
     * each lives until recv_head is called again. On a client stream that has sent no request this asks whether
     * the connection is still good: SP_AGAIN says so, SP_EOF and SP_FAIL (a response to nothing) say that it
     * may not be used. */
    enum sp_rc (*recv_head)(struct sp_stream *s, const struct sp_head **head, struct sp_fault *fault);
    /* A server stream that has no head (recv_head said SP_FAIL or SP_AGAIN): what can be told of the request in
     * a record, see sp_h1_seen_request. NULL: nothing. Valid until next() or free. An answer that follows is
     * one to that method. */
    const struct sp_head *(*seen)(struct sp_stream *s);
    /* SP_OK: *data is a non-empty view, valid until consume(). SP_AGAIN. SP_EOF: the body is complete.
     * SP_FAIL. */
    enum sp_rc (*recv_body)(struct sp_stream *s, struct sp_slice *data, struct sp_fault *fault);
    void (*consume)(struct sp_stream *s, size_t n); /* n <= the view's length */
    /* Queues; the kernel may see it only at flush, so that head and first body bytes leave in one write.
     * SP_FAIL: it does not fit a block (SP_IO_BLOCK), bytes that may not stand in a head, framing fields among
     * the lines, or a framing that this message cannot have; nothing was queued, and another head may be sent
     * instead. SP_AGAIN: likewise, for want of a block. A 1xx status leaves the final head to be sent. Answers to HEAD, 204 and 304 have no body,
     * whatever `framing` says; a response of SP_FRAMING_NONE that could have one gets Content-Length: 0. */
    enum sp_rc (*send_head)(struct sp_stream *s, const struct sp_head_out *head);
    /* SP_OK: *taken of `data` (> 0) are gone or kept. SP_AGAIN: a writable edge comes. SP_FAIL: broken, or more
     * than was announced. */
    enum sp_rc (*send_body)(struct sp_stream *s, struct sp_slice data, size_t *taken);
    /* After recv_body said SP_EOF: the fields that came behind the body, well-formed, without those that may not come there
     * (RFC 9110 §6.5.1); how many. Valid until next(). */
    size_t (*trailers)(struct sp_stream *s, const struct sp_header **items);
    /* The message is complete. Trailers are written where the body is chunked, else dropped. SP_AGAIN: there is no room for them
     * until a writable edge comes; call again. SP_FAIL: fewer bytes than announced, trailers that no head could have, or
     * more than 24 KiB of them. */
    enum sp_rc (*send_end)(struct sp_stream *s, const struct sp_line *trailers, size_t trailer_count);
    /* SP_OK: all is with the kernel. SP_AGAIN: a writable edge comes. */
    enum sp_rc (*flush)(struct sp_stream *s);
    /* Both halves are done: the connection can carry another exchange (true), or is to be closed (false).
     * Pipelined bytes stay. */
    bool (*next)(struct sp_stream *s);
    void (*free)(struct sp_stream *s); /* the stream and its blocks, not the transport */
};

struct sp_stream {
    const struct sp_codec_ops *ops;
};

/* One block holds a head or a piece of body on its way. Blocks come from the worker's pool, whose block_size must
 * be this. */
#define SP_IO_BLOCK 32768
/* A run is four of them, for bodies of which much is still to come: fewer and larger reads and writes. They come from a pool of
 * their own, which is bounded: where none is to be had, a block serves as well. */
#define SP_IO_RUN 131072
/* NULL: none. Who `lags`, that is, had his last one wait for its writer, takes none of the last half of the pool's, so that those who
 * are slow leave some to those who are not. */
SP_MUST_USE char *sp_run_take(struct sp_pool *runs, bool lags);

enum sp_side { SP_SERVER, SP_CLIENT };

/* HTTP/1.1 over `transport`. Borrows transport and pool for its life; copies limits. NULL without memory. An
 * idle stream holds no block. A stream notes the method of its exchange by itself, because framing
 * depends on it: a client stream in send_head, a server stream in recv_head or seen. */
SP_MUST_USE struct sp_stream *sp_h1_new(enum sp_side side, struct sp_transport *transport,
    struct sp_pool *blocks, const struct sp_h1_limits *limits);
/* From now on body data that is certain to come, 64 KiB of it or more, is read into a run of `runs`, whose block_size is
 * SP_IO_RUN. Borrowed for the stream's life. A run goes back as soon as it is consumed, or when there was nothing to read. */
void sp_h1_use_runs(struct sp_stream *s, struct sp_pool *runs);
/* The connection has changed its protocol: the bytes behind the 101 (client side), or behind the request (server side), that
 * were read already. The caller relays and drops them, and reads what follows from the transport himself; what was sent
 * before is still to be flushed. */
struct sp_slice sp_h1_rest(const struct sp_stream *s);
void sp_h1_drop_rest(
    struct sp_stream *s, size_t n); /* when nothing is left, a client stream holds no block */
/* True while not a byte of the next head has come: the connection may be closed without wronging anybody. */
bool sp_h1_is_idle(const struct sp_stream *s);
/* A client stream: has any byte of the response come? (If not, the exchange may be tried elsewhere.) */
bool sp_h1_has_received(const struct sp_stream *s);

#endif
