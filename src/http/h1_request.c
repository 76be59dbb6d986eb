/* Request heads: the request line, and the judgement on the head as a whole. A head that comes out of here has
 * one method, one path with one reading, one host, and one way to find the end of its body. */
#include "h1_head.h"
#include "sallyport/http/path.h"

#define METHOD_MAX 32

static enum sp_rc bad_line(struct sp_fault *fault, const char *detail)
{
    return http_fault(fault, SP_REFUSAL_bad_request_line, 400, detail);
}

/* The run of bytes above 0x20 at the front of `s`, counted up to `max`. */
static size_t run_len(struct sp_slice s, size_t max)
{
    size_t i = 0;
    while (i < s.len && i < max && (uint8_t)s.ptr[i] > 0x20)
        i++;
    return i;
}

/* A method or a target over its limit is told before its line has ended. It is looked for in the same order
 * whether the line is complete or not, so that the answer does not depend on how the bytes arrived. */
static enum sp_rc check_lengths(
    const struct sp_h1_limits *limits, struct sp_slice line, struct sp_fault *fault)
{
    size_t method = run_len(line, METHOD_MAX + 1);
    if (method > METHOD_MAX)
        return bad_line(fault, "the method is longer than 32 bytes");
    if (line.len - method <= limits->target_bytes || line.ptr[method] != ' ')
        return SP_OK;
    struct sp_slice target = sp_slice_sub(line, method + 1, line.len);
    if (run_len(target, (size_t)limits->target_bytes + 1) > limits->target_bytes)
        return http_fault(fault, SP_REFUSAL_target_too_long, 414, "the target is over limits.target_bytes");
    return SP_OK;
}

static enum sp_rc take_version(struct sp_h1_parser *p, struct sp_slice text, struct sp_fault *fault)
{
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 || !sp_is_digit(text.ptr[5]) ||
        text.ptr[6] != '.' || !sp_is_digit(text.ptr[7]))
        return bad_line(fault, "the request line does not end in an HTTP version");
    if (text.ptr[5] != '1' || text.ptr[7] > '1')
        return http_fault(fault, SP_REFUSAL_http_version, 505, "neither HTTP/1.0 nor HTTP/1.1");
    p->minor = (uint8_t)(text.ptr[7] - '0');
    return SP_OK;
}

static enum sp_rc take_request_line(
    struct sp_h1_parser *p, struct sp_slice in, struct sp_slice line, struct sp_fault *fault)
{
    const char *first = memchr(line.ptr, ' ', line.len);
    if (first == NULL)
        return bad_line(fault, "the request line has no target");
    struct sp_slice method = {line.ptr, (size_t)(first - line.ptr)};
    struct sp_slice rest = sp_slice_sub(line, method.len + 1, line.len);
    const char *second = rest.len > 0 ? memchr(rest.ptr, ' ', rest.len) : NULL;
    if (!http_is_token(method))
        return bad_line(fault, "the method is not a token");
    if (second == NULL)
        return bad_line(fault, "the request line has no HTTP version");
    struct sp_slice target = {rest.ptr, (size_t)(second - rest.ptr)};
    if (target.len == 0)
        return bad_line(fault, "two blanks in the request line");
    enum sp_rc rc = take_version(p, sp_slice_sub(rest, target.len + 1, rest.len), fault);
    if (rc != SP_OK)
        return rc;
    p->method_text = h1_span(in, method);
    p->method = (uint8_t)sp_method_of(method);
    if (p->method == SP_METHOD_CONNECT)
        return http_fault(fault, SP_REFUSAL_unsupported_method, 405, "CONNECT is not relayed");
    if (p->method == SP_METHOD_TRACE) /* it would show the client what only the backend is told */
        return http_fault(fault, SP_REFUSAL_unsupported_method, 405, "TRACE is not relayed");
    p->flags |= FIELD_START;
    return h1_take_target(p, in, target, fault);
}

/* Content-Length with Transfer-Encoding, and codings that HTTP/1.0 does not have, are read differently by
 * different servers. */
static enum sp_rc judge_framing(const struct sp_h1_parser *p, struct sp_head *head, struct sp_fault *fault)
{
    bool chunked = (p->flags & FIELD_CODING) != 0, length = (p->flags & FIELD_LENGTH) != 0;
    if (chunked && length)
        return http_fault(fault, SP_REFUSAL_bad_framing, 400, "both Content-Length and Transfer-Encoding");
    if (chunked && p->minor == 0)
        return http_fault(fault, SP_REFUSAL_bad_framing, 400, "Transfer-Encoding in HTTP/1.0");
    head->framing = chunked ? SP_FRAMING_CHUNKED : length ? SP_FRAMING_LENGTH : SP_FRAMING_NONE;
    return SP_OK;
}

static enum sp_rc judge_request(
    const struct sp_h1_parser *p, struct sp_slice in, struct sp_head *head, struct sp_fault *fault)
{
    if (!(p->flags & FIELD_HOST))
        return http_fault(fault, SP_REFUSAL_bad_host, 400, "there is no Host");
    h1_fill_head(p, in, head);
    head->method = p->method;
    head->method_text = (struct sp_slice){in.ptr + p->method_text.at, p->method_text.len}; /* may be at 0 */
    head->target = h1_slice(in, p->target);
    head->scheme = h1_slice(in, p->scheme);
    head->path = h1_slice(in, p->path);
    head->query = h1_slice(in, p->query);
    if (p->flags & FIELD_SLASH_PATH)
        head->path = SP_SLICE("/");
    if (p->flags & FIELD_STAR_PATH)
        head->path = SP_SLICE("*");
    head->host = head->headers[p->host].value;
    if (head->scheme.ptr != NULL &&
        !h1_authority_is_host(head->scheme, h1_slice(in, p->authority), head->host))
        return http_fault(fault, SP_REFUSAL_bad_host, 400, "Host and the authority of the target differ");
    enum sp_rc rc = judge_framing(p, head, fault);
    if (rc != SP_OK)
        return rc;
    bool has_body = head->framing == SP_FRAMING_CHUNKED || head->content_length > 0;
    head->expect_continue = (p->flags & FIELD_EXPECT) && p->minor == 1 && has_body;
    /* RFC 9112 §9.3: HTTP/1.0 clients behind other proxies may not mean what their keep-alive says */
    head->keep_alive = p->minor == 1 && !(p->flags & FIELD_SAYS_CLOSE);
    return SP_OK;
}

enum sp_rc sp_h1_parse_request(struct sp_h1_parser *p, const struct sp_h1_limits *limits, struct sp_slice in,
    struct sp_head *head, size_t *used, struct sp_fault *fault)
{
    for (;;) {
        struct sp_slice line;
        enum sp_rc rc = SP_OK;
        if (!(p->flags & FIELD_START)) {
            size_t end = in.len < limits->header_bytes ? in.len : limits->header_bytes;
            if (end > p->line_at)
                rc = check_lengths(limits, sp_slice_sub(in, p->line_at, end), fault);
        }
        if (rc == SP_OK)
            rc = h1_next_line(p, limits, in, &line, fault);
        if (rc != SP_OK)
            return rc;
        if (p->flags & FIELD_START) {
            if (line.len == 0)
                break;
            rc = h1_take_field(p, limits, in, line, true, fault);
        } else if (line.len == 0 && !(p->flags & FIELD_BLANK)) {
            p->flags |= FIELD_BLANK; /* RFC 9112 §2.2: one left behind by a sloppy client */
        } else if (line.len == 0) {
            rc = bad_line(fault, "more than one empty line before the request line");
        } else {
            rc = take_request_line(p, in, line, fault);
        }
        if (rc != SP_OK)
            return rc;
    }
    *used = p->line_at;
    return judge_request(p, in, head, fault);
}

/* ---- what a refused or incomplete head tells ---- */

/* The path of a target of a known form. Before it may stand a password, behind it a secret in a query: neither
 * is shown, and a target of no known form (the rest of a body, say) is not shown at all. */
static struct sp_slice seen_path(enum sp_method method, struct sp_slice target)
{
    const struct sp_slice absent = {NULL, 0};
    size_t at = 0, end = 0;
    while (end < target.len && target.ptr[end] != '?' && target.ptr[end] != '#')
        end++;
    struct sp_slice shown = sp_slice_sub(target, 0, end);
    if (shown.len == 0 || shown.ptr[0] == '/' || shown.ptr[0] == '*')
        return shown.len > 0 ? shown : absent;
    if (method == SP_METHOD_CONNECT)
        return memchr(shown.ptr, '@', shown.len) == NULL ? shown : absent;
    size_t scheme = h1_scheme_len(shown);
    if (scheme == 0)
        return absent;
    for (at = scheme + 3; at < shown.len && shown.ptr[at] != '/';)
        at++;
    return at < shown.len ? sp_slice_sub(shown, at, shown.len) : absent;
}

void sp_h1_seen_request(
    const struct sp_h1_parser *p, const struct sp_h1_limits *limits, struct sp_slice in, struct sp_head *head)
{
    memset(head, 0, offsetof(struct sp_head, headers));
    head->header_count = 0;
    struct sp_slice line = sp_slice_sub(in, p->flags & FIELD_BLANK ? 2 : 0, in.len);
    struct sp_slice method = {line.ptr, run_len(line, METHOD_MAX + 1)};
    if (method.len > METHOD_MAX || method.len >= line.len || line.ptr[method.len] != ' ' ||
        !http_is_token(method))
        return;
    struct sp_slice target = sp_slice_sub(line, method.len + 1, line.len);
    target.len = run_len(target, limits->target_bytes);
    head->method = sp_method_of(method);
    head->method_text = method;
    head->path = seen_path(head->method, target);
    if ((p->flags & FIELD_HOST) && p->host < p->count) /* not one that was refused */
        head->host = h1_slice(in, p->fields[p->host].value);
}
