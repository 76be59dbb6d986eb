/* The strict HTTP/1.1 parser (RFC 9112): bytes in, head or fault out. Pure: no I/O, no clock, no log, no
 * allocation. Incremental: give it the whole input so far each time; lines already seen are not looked at
 * again.
 *
 * Stricter than the RFC where two readers could differ: no bare CR or LF, no obs-fold, no blank before the
 * colon, no NUL or control byte, no CL with TE, no differing or malformed CL, no coding but one "chunked",
 * exactly one well-formed Host (also for HTTP/1.0), an absolute-form target must agree with Host. At most one
 * empty line (CRLF) before a request line. */
#ifndef SP_HTTP_H1_PARSE_H
#define SP_HTTP_H1_PARSE_H

#include "sallyport/base/base.h"
#include "sallyport/http/message.h"

struct sp_h1_limits {
    unsigned header_bytes; /* of the whole head */
    unsigned headers;      /* fields; <= SP_HEADERS_MAX */
    unsigned target_bytes;
};

/* Private to the parser; sp_h1_parser_reset before each message. Offsets are from the start of the message, so
 * that the input may move between calls. */
struct sp_h1_span {
    uint32_t at, len;
};
struct sp_h1_parser {
    uint32_t line_at; /* start of the line being looked for */
    uint32_t seen;    /* bytes already searched for its end */
    uint16_t count;   /* fields */
    uint16_t flags;   /* what the lines so far have said, FIELD_* in h1_head.h */
    uint16_t host;    /* index of Host, when the flags say that it came */
    uint16_t status;
    uint8_t method, minor;
    uint64_t content_length;
    /* of the start line; a part that is not there has at == 0 */
    struct sp_h1_span method_text, target, scheme, authority, path, query, reason;
    /* fields[0..count) only: not cleared by a reset */
    struct {
        struct sp_h1_span name, value;
        enum sp_header_id id;
    } fields[SP_HEADERS_MAX];
};

static inline void sp_h1_parser_reset(struct sp_h1_parser *p)
{
    memset(p, 0, offsetof(struct sp_h1_parser, fields));
}

/* A request head at `in.ptr`. SP_OK: *used bytes belong to it, `head` is filled with slices into `in`.
 * SP_AGAIN: more bytes are needed. SP_FAIL: `fault`, with the status to answer. A fault is told at the first
 * line that shows it. */
SP_MUST_USE enum sp_rc sp_h1_parse_request(struct sp_h1_parser *p, const struct sp_h1_limits *limits,
    struct sp_slice in, struct sp_head *head, size_t *used, struct sp_fault *fault);
/* What can be told of a request whose head was refused or has not come whole; for the record alone, nothing of
 * it was judged. `head` gets method and method_text, path (of a target that is a path, an http or https URI,
 * "*", or CONNECT's; as it came, without query, fragment and authority; perhaps cut) and host, each absent if
 * unknown; everything else is cleared. `in` is what the parser was last given. */
void sp_h1_seen_request(const struct sp_h1_parser *p, const struct sp_h1_limits *limits, struct sp_slice in,
    struct sp_head *head);
/* A response head to a request of `method` (framing depends on it, RFC 9112 §6.3). Also 1xx heads. Faults are the backend's and
 * carry 502. CL with TE, a 1xx or 204 with a body announced, codings other than chunked: refused, as above. */
SP_MUST_USE enum sp_rc sp_h1_parse_response(struct sp_h1_parser *p, const struct sp_h1_limits *limits,
    enum sp_method method, struct sp_slice in, struct sp_head *head, size_t *used, struct sp_fault *fault);

/* ---- body framing: which of the bytes that come are body, and where it ends ---- */
struct sp_h1_body {
    enum sp_framing framing;
    uint8_t state;     /* of the chunk reader */
    uint64_t left;     /* of the body (length) or of the chunk */
    uint64_t total;    /* body bytes seen */
    uint32_t overhead; /* bytes of the present chunk line, or of the trailers, that were looked at; bounded */
    uint32_t line_at;  /* start of the present trailer line, from the first one's */
    unsigned trailer_count;
};
#define SP_TRAILERS_MAX      32   /* fields behind a body */
#define SP_TRAILER_BYTES_MAX 8192 /* of all of them, with the line that ends them */

void sp_h1_body_init(struct sp_h1_body *b, enum sp_framing framing, uint64_t content_length);
/* Looks at `in`. SP_OK: *data is a non-empty run of body inside `in`; *used covers it and the framing before
 * it. SP_AGAIN: *used bytes of framing are done with, more input is needed; bytes behind those are trailers that are not
 * whole yet, to be offered again. SP_EOF: the body ended after *used bytes, *data are the lines of its trailers, well-formed.
 * SP_FAIL: `fault` (400 in a request; the caller makes it 502 for a response). Chunk extensions are read and dropped. With
 * SP_FRAMING_CLOSE it never says SP_EOF: the end of the connection is the end. */
SP_MUST_USE enum sp_rc sp_h1_body_next(
    struct sp_h1_body *b, struct sp_slice in, size_t *used, struct sp_slice *data, struct sp_fault *fault);
/* How many of the bytes to come are body data for certain: neither framing nor what follows the message. */
size_t sp_h1_body_certain(const struct sp_h1_body *b);
/* So many of those, n <= sp_h1_body_certain, have come and gone without having been looked at. */
void sp_h1_body_pass(struct sp_h1_body *b, size_t n);
/* The fields of `lines`, which SP_EOF has handed out, but for those that may not be trailers (RFC 9110 §6.5.1); how many. */
size_t sp_h1_trailers(struct sp_slice lines, struct sp_header items[SP_TRAILERS_MAX]);

#endif
