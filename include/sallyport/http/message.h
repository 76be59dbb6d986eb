/* An HTTP message head as plain data, whichever codec read it or will write it. Slices point into the
 * connection's input block and are valid until the codec is told to go on (sp_codec_ops.next), so nothing of a
 * head is ever copied to be read. */
#ifndef SP_HTTP_MESSAGE_H
#define SP_HTTP_MESSAGE_H

#include "sallyport/base/base.h"
#include "sallyport/obs/refusal.h"

#define SP_HEADERS_MAX 128 /* fields in one head that limits.headers may allow at most */

enum sp_method {
    SP_METHOD_OTHER, /* any other token; see sp_head.method_text */
    SP_METHOD_GET,
    SP_METHOD_HEAD,
    SP_METHOD_POST,
    SP_METHOD_PUT,
    SP_METHOD_DELETE,
    SP_METHOD_OPTIONS,
    SP_METHOD_PATCH,
    SP_METHOD_TRACE,
    SP_METHOD_CONNECT,
};
enum sp_method sp_method_of(struct sp_slice text); /* case-sensitive, RFC 9110 §9.1 */
bool sp_method_is_token(struct sp_slice text);     /* it may be a method: a token, RFC 9110 §5.6.2 */
/* RFC 9110 §9.2.2: doing it twice is doing it once. SP_METHOD_OTHER is not. */
bool sp_method_is_idempotent(enum sp_method m);

/* The fields whose meaning we must know. Everything else is SP_HDR_OTHER and only carried.
 * X(identifier, lower-case name, flags): hop = connection-specific (RFC 9110 §7.6.1), never forwarded;
 * single = more than one line of it is refused */
#define SP_KNOWN_HEADERS(X)                                                                                  \
    X(HOST, "host", SP_HDR_SINGLE)                                                                           \
    X(CONTENT_LENGTH, "content-length", 0)                                                                   \
    X(TRANSFER_ENCODING, "transfer-encoding", SP_HDR_HOP)                                                    \
    X(CONNECTION, "connection", SP_HDR_HOP)                                                                  \
    X(KEEP_ALIVE, "keep-alive", SP_HDR_HOP)                                                                  \
    X(PROXY_CONNECTION, "proxy-connection", SP_HDR_HOP)                                                      \
    X(PROXY_AUTHORIZATION, "proxy-authorization", SP_HDR_HOP)                                                \
    X(PROXY_AUTHENTICATE, "proxy-authenticate", SP_HDR_HOP)                                                  \
    X(TE, "te", SP_HDR_HOP)                                                                                  \
    X(TRAILER, "trailer", SP_HDR_HOP)                                                                        \
    X(UPGRADE, "upgrade", SP_HDR_HOP)                                                                        \
    X(HTTP2_SETTINGS, "http2-settings", SP_HDR_HOP)                                                          \
    X(EXPECT, "expect", 0)                                                                                   \
    X(MAX_FORWARDS, "max-forwards", SP_HDR_SINGLE)                                                           \
    X(EARLY_DATA, "early-data", 0)                                                                           \
    X(X_REQUEST_ID, "x-request-id", 0)                                                                       \
    X(DATE, "date", 0)                                                                                       \
    X(VARY, "vary", 0)
enum { SP_HDR_HOP = 1, SP_HDR_SINGLE = 2 };
enum sp_header_id {
    SP_HDR_OTHER,
#define X(id, name, flags) SP_HDR_##id,
    SP_KNOWN_HEADERS(X)
#undef X
        SP_HDR_COUNT
};
enum sp_header_id sp_header_id_of(struct sp_slice name); /* any case */
unsigned sp_header_flags(enum sp_header_id id);

struct sp_header {
    struct sp_slice name;  /* as it came; compare without case */
    struct sp_slice value; /* without the blanks around it; 0x20-0x7E, HTAB and 0x80-0xFF only */
    enum sp_header_id id;
};

/* How the end of a body is known, RFC 9112 §6.3. */
enum sp_framing {
    SP_FRAMING_NONE,   /* there is no body */
    SP_FRAMING_LENGTH, /* exactly sp_head.content_length bytes */
    SP_FRAMING_CHUNKED,
    SP_FRAMING_CLOSE, /* until the connection ends; responses only */
};

struct sp_head {
    /* requests */
    enum sp_method method;
    struct sp_slice method_text;
    struct sp_slice target; /* as it came */
    struct sp_slice scheme; /* of an absolute-form target, else absent */
    struct sp_slice path; /* "/..." without query, "*" for OPTIONS *: judged by sp_path_check, forwarded so */
    struct sp_slice query; /* without '?'; absent (ptr NULL) when there is no '?' */
    struct sp_slice host;  /* canonical form is sp_host_canonical's business; with port if given */
    bool expect_continue;
    bool te_trailers; /* the sender takes trailers: TE lists them (RFC 9110 §10.1.4) */
    /* responses */
    unsigned status;
    struct sp_slice reason;
    /* both */
    unsigned minor; /* HTTP/1.minor: 0 or 1 */
    enum sp_framing framing;
    uint64_t content_length; /* SP_FRAMING_LENGTH; for HEAD and 304 what the field said, framing NONE */
    bool has_content_length;
    bool keep_alive; /* the sender is willing to go on with this connection */
    /* The protocols of Upgrade, if Connection lists it too and the message is HTTP/1.1 (RFC 9110 §7.8); else absent. */
    struct sp_slice upgrade;
    struct sp_header headers[SP_HEADERS_MAX];
    size_t header_count;
};

/* The first field of that id, or NULL. */
const struct sp_header *sp_head_find(const struct sp_head *head, enum sp_header_id id);

/* The members of a comma-separated field value (RFC 9110 §5.6.1), trimmed, empty ones passed over: cuts the
 * next one off the front of *rest. For lists of tokens, where a comma always ends a member. False: there are no
 * more. */
bool sp_field_list_next(struct sp_slice *rest, struct sp_slice *member);

/* What is wrong with a message and what to answer. `detail` is a literal. */
struct sp_fault {
    enum sp_refusal reason;
    unsigned status;
    const char *detail;
};

struct sp_line {
    struct sp_slice name, value;
};
/* Judges lines that many heads will have: the bytes that they take on the wire, or 0 if there are none or one of them may not
 * stand in a head. They, and what they borrow, must not change any more. */
size_t sp_lines_measure(const struct sp_line *lines, size_t count);

/* A head to be sent. Everything is borrowed for the call. The codec adds framing fields and Connection itself,
 * and refuses (SP_FAIL, a bug of ours or a hostile backend let through) names that are no token and values with
 * bytes outside 0x20-0x7E, HTAB and 0x80-0xFF. Lines come out in order. */
struct sp_head_out {
    struct sp_slice method, target; /* a request, or */
    unsigned status;                /* a response, when method.ptr is NULL */
    struct sp_slice reason;
    const struct sp_line *lines;
    size_t line_count;
    const struct sp_line *more; /* a second run of lines, written after the first */
    size_t more_count;
    size_t
        more_bytes; /* as sp_lines_measure has found them: not judged again. 0: they are judged like `lines` */
    enum sp_framing framing;
    uint64_t content_length;
    bool announce_length; /* with SP_FRAMING_NONE: still write Content-Length (answers to HEAD, 304) */
    bool expect_continue; /* a request: write Expect: 100-continue */
    bool close;           /* say Connection: close, and be done after this exchange */
    bool te_trailers;     /* a request: say TE: trailers */
    struct sp_slice
        upgrade; /* say Connection: upgrade and this; of a response the status is 101. Absent: not */
};

const char *sp_status_phrase(unsigned status); /* "Forbidden"; "" for an unknown one */

#endif
