/* The inside of the HTTP/1.1 codec. h1_conn.c: life and exchange boundaries. h1_recv.c: the receiving half.
 * h1_send.c: the sending half. h1_write.c: a head as bytes.
 *
 *   receiving:  RX_HEAD --a head (not 1xx)--> RX_BODY --its end--> RX_DONE
 *   sending:    TX_HEAD --a head (not 1xx)--> TX_BODY --send_end--> TX_DONE
 *   both DONE --next--> both HEAD;  RX_BROKEN, TX_BROKEN: a fault or a lost connection, for good
 *   a 101 that was asked for: RX_DONE or TX_DONE and `close`, so that there is no next; what comes then is not ours
 *
 * The input block: the head stays at its front until the next message, so that its slices hold; body bytes are
 * read behind it, and when they have been consumed the next ones are read to the same place. Trailers are kept there until
 * the next message, like the head. Nothing is ever moved under a view.
 *
 * The run: a larger block, taken when the input block is used up and the framing says that much body data is next, and read into no
 * further than that is certain. So whatever is not body data is in the input block alone. There is one only while bytes of
 * it are handed out. */
#ifndef HTTP_H1_CONN_H
#define HTTP_H1_CONN_H

#include "sallyport/http/codec.h"

/* A head may fill its block up to here, so that there is always room to read a body, or the
 * whole of its trailers, behind it. */
#define H1_HEAD_MAX (SP_IO_BLOCK - SP_TRAILER_BYTES_MAX)
/* Body data that makes a run worth taking. */
#define H1_RUN_LEAST 65536
/* 1xx heads before a final one: more is a backend that plays with us. */
#define H1_INTERIM_MAX 16

enum h1_rx { RX_HEAD, RX_BODY, RX_DONE, RX_BROKEN };
enum h1_tx { TX_HEAD, TX_BODY, TX_DONE, TX_BROKEN };

/* What a head needs while it is read and looked at: there only while the stream is not idle. */
struct h1_scratch {
    struct sp_head head;
    struct sp_header trailers[SP_TRAILERS_MAX];
    struct sp_h1_parser parser; /* last: its end needs no clearing */
};

struct h1 {
    struct sp_stream stream;
    struct sp_transport *transport;
    struct sp_pool *blocks;
    struct sp_pool *runs; /* or NULL */
    struct sp_h1_limits limits;
    enum sp_side side;
    enum sp_method method; /* of the present exchange */

    /* receiving */
    enum h1_rx rx;
    bool received; /* a byte of this exchange's message has come */
    /* The last read gave bytes: before the next one, the kernel is asked for what came with them. */
    bool ask_again;
    bool keep_alive;        /* as the peer's final head said */
    uint8_t interim;        /* 1xx heads so far */
    char *in;               /* a block, or NULL */
    uint32_t in_at, in_end; /* bytes not yet dealt with */
    uint32_t head_len;      /* bytes of the head at the front of the block */
    char *run;              /* or NULL */
    uint32_t run_at;        /* bytes of the run that were consumed */
    bool offered;           /* nothing of the view has been consumed since it was handed out */
    bool lags;              /* of the last run something had to be handed out again */
    uint32_t view_len;      /* of those at in_at, or in the run: handed out by recv_body, not yet consumed */
    struct h1_scratch *scratch; /* in a block, or NULL */
    struct sp_h1_body body;
    uint32_t trailers_at, trailers_len; /* their lines in the block, once the body has ended */

    /* sending */
    enum h1_tx tx;
    bool close;         /* we said so: the connection ends with this exchange */
    bool asked_upgrade; /* the request said so: a 101 may come */
    enum sp_framing framing;
    uint64_t left;       /* body bytes still announced (SP_FRAMING_LENGTH) */
    uint64_t chunk_left; /* of the chunk whose size was written */
    char *out;           /* a block, or NULL */
    uint32_t out_at, out_end;
};

static inline struct h1 *h1_of(struct sp_stream *s)
{
    return SP_CONTAINER_OF(s, struct h1, stream);
}

/* h1_recv.c */
enum sp_rc h1_recv_head(struct sp_stream *s, const struct sp_head **head, struct sp_fault *fault);
const struct sp_head *h1_seen(struct sp_stream *s);
enum sp_rc h1_recv_body(struct sp_stream *s, struct sp_slice *data, struct sp_fault *fault);
void h1_consume(struct sp_stream *s, size_t n);
/* The received message is complete, without reading further. */
bool h1_recv_is_done(struct h1 *h);
size_t h1_trailers(struct sp_stream *s, const struct sp_header **items);
/* The input block, what was parsed of it, and the run. */
void h1_recv_give_blocks(struct h1 *h);
/* Makes ready for the next message: bytes behind the present one move to the front, an empty block goes back to
 * the pool. */
void h1_recv_reset(struct h1 *h);
/* h1_send.c */
enum sp_rc h1_send_head(struct sp_stream *s, const struct sp_head_out *head);
enum sp_rc h1_send_body(struct sp_stream *s, struct sp_slice data, size_t *taken);
enum sp_rc h1_send_end(struct sp_stream *s, const struct sp_line *trailers, size_t trailer_count);
enum sp_rc h1_flush(struct sp_stream *s);

/* h1_write.c: appends the head in wire form to `out`, which has room for `room` bytes. Returns its length; 0:
 * it does not fit, or holds bytes that may not stand there. `plan` says which framing lines to write. */
struct h1_head_plan {
    bool length; /* Content-Length: content_length */
    bool chunked;
    bool close;
};
size_t h1_write_head(char *out, size_t room, const struct sp_head_out *head, const struct h1_head_plan *plan);
/* The same for the end of a chunked body. */
size_t h1_write_trailers(char *out, size_t room, const struct sp_line *trailers, size_t count);

#endif
