/* What the request parser and the response parser share: lines, fields, and what the fields say about the
 * connection and the body. Private to the room. Faults are the request's; h1_response.c turns them into a
 * backend's. */
#ifndef HTTP_H1_HEAD_H
#define HTTP_H1_HEAD_H

#include "sallyport/http/h1_parse.h"
#include "sallyport/http/path.h"
#include "syntax.h"

/* sp_h1_parser.flags */
enum {
    FIELD_BLANK = 1, /* the empty line before a request line was there */
    FIELD_START = 2, /* the start line was read */
    FIELD_HOST = 4,  /* fields of that name were seen: */
    FIELD_LENGTH = 8,
    FIELD_CODING = 16, /* ... and it was "chunked" */
    FIELD_EXPECT = 32,
    FIELD_SAYS_CLOSE = 64, /* Connection named this: */
    FIELD_SAYS_KEEP = 128,
    FIELD_SLASH_PATH = 256, /* an absolute-form target without a path: it is "/" */
    FIELD_STAR_PATH = 512,  /* or, for OPTIONS, "*" */
    FIELD_SAYS_UPGRADE = 1024,
    FIELD_TE_TRAILERS = 2048,
    FIELD_UPGRADE = 4096,  /* fields of that name were seen: */
    FIELD_UPGRADES = 8192, /* ... more than one */
    FIELD_HOPS = 16384,    /* of Max-Forwards */
};

static inline struct sp_slice h1_slice(struct sp_slice in, struct sp_h1_span span)
{
    return span.at == 0 ? (struct sp_slice){NULL, 0} : (struct sp_slice){in.ptr + span.at, span.len};
}

static inline struct sp_h1_span h1_span(struct sp_slice in, struct sp_slice part)
{
    return (struct sp_h1_span){(uint32_t)(part.ptr - in.ptr), (uint32_t)part.len};
}

/* The next complete line without its CRLF; the parser moves behind it. SP_AGAIN. SP_FAIL: a LF without CR, or
 * the head is over its limit. */
enum sp_rc h1_next_line(struct sp_h1_parser *p, const struct sp_h1_limits *limits, struct sp_slice in,
    struct sp_slice *line, struct sp_fault *fault);

/* Field syntax alone, of heads and trailers: name and value, RFC 9112 §5 without obs-fold. `odd_names` lets '_'
 * and '.' pass. */
enum sp_rc h1_split_field(struct sp_slice line, bool odd_names, struct sp_slice *name, struct sp_slice *value,
    struct sp_fault *fault);

/* One field line of a head: syntax, then what it says, noted in the parser. */
enum sp_rc h1_take_field(struct sp_h1_parser *p, const struct sp_h1_limits *limits, struct sp_slice in,
    struct sp_slice line, bool is_request, struct sp_fault *fault);

/* Fills what requests and responses have in common: fields, minor version, has_content_length. */
void h1_fill_head(const struct sp_h1_parser *p, struct sp_slice in, struct sp_head *head);

/* The length of the scheme of an http or https URI, or 0. */
size_t h1_scheme_len(struct sp_slice target);
/* Splits and judges a request target: origin, absolute or asterisk form. */
enum sp_rc h1_take_target(
    struct sp_h1_parser *p, struct sp_slice in, struct sp_slice target, struct sp_fault *fault);
/* Does the authority of an absolute-form target name what Host names? `host` and `authority` are well-formed. */
bool h1_authority_is_host(struct sp_slice scheme, struct sp_slice authority, struct sp_slice host);

#endif
