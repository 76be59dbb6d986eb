/* Response heads: the status line, and the end of the body by RFC 9112 §6.3. As strict as the request side
 * wherever two readers could find different ends; header names may hold '_' and '.', since backends do send
 * them. Every fault is the backend's: 502, with the reason of the part that is wrong. Whether a 101 was asked for is its reader's
 * business. */
#include "h1_head.h"

static enum sp_rc bad_status(struct sp_fault *fault, const char *detail)
{
    return http_fault(fault, SP_REFUSAL_bad_status_line, 502, detail);
}

static enum sp_rc bad_framing(struct sp_fault *fault, const char *detail)
{
    return http_fault(fault, SP_REFUSAL_bad_response_framing, 502, detail);
}

/* "HTTP/1.1 200 OK"; the blank before an empty reason may be missing. */
static enum sp_rc take_status_line(
    struct sp_h1_parser *p, struct sp_slice in, struct sp_slice line, struct sp_fault *fault)
{
    const char *s = line.ptr;
    if (line.len < 12 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') || s[8] != ' ')
        return bad_status(fault, "the status line does not begin with HTTP/1.0 or HTTP/1.1");
    if (!sp_is_digit(s[9]) || !sp_is_digit(s[10]) || !sp_is_digit(s[11]) || (line.len > 12 && s[12] != ' '))
        return bad_status(fault, "the status is not three digits");
    p->minor = (uint8_t)(s[7] - '0');
    p->status = (uint16_t)((s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0'));
    if (p->status < 100 || p->status > 599)
        return bad_status(fault, "the status is not between 100 and 599");
    struct sp_slice reason = sp_slice_sub(line, line.len > 12 ? 13 : 12, line.len);
    if (!sp_http_value_ok(reason))
        return bad_status(fault, "a control byte in the reason phrase");
    p->reason = h1_span(in, reason);
    p->flags |= FIELD_START;
    return SP_OK;
}

static enum sp_rc judge_framing(
    const struct sp_h1_parser *p, enum sp_method method, struct sp_head *head, struct sp_fault *fault)
{
    bool chunked = (p->flags & FIELD_CODING) != 0, length = head->has_content_length;
    if (chunked && length)
        return bad_framing(fault, "both Content-Length and Transfer-Encoding");
    if (chunked && p->minor == 0)
        return bad_framing(fault, "Transfer-Encoding in HTTP/1.0");
    head->framing = SP_FRAMING_NONE;
    if (p->status < 200 || p->status == 204) {
        /* "Content-Length: 0" is forbidden here, common, and cannot be read in two ways */
        if (chunked || head->content_length > 0)
            return bad_framing(fault, "a body announced with a status that has none");
        head->has_content_length = false;
    } else if (method != SP_METHOD_HEAD && p->status != 304) {
        head->framing = chunked ? SP_FRAMING_CHUNKED : length ? SP_FRAMING_LENGTH : SP_FRAMING_CLOSE;
    }
    return SP_OK;
}

static enum sp_rc judge_response(const struct sp_h1_parser *p, enum sp_method method, struct sp_slice in,
    struct sp_head *head, struct sp_fault *fault)
{
    h1_fill_head(p, in, head);
    head->status = p->status;
    head->reason = h1_slice(in, p->reason);
    enum sp_rc rc = judge_framing(p, method, head, fault);
    if (rc != SP_OK)
        return rc;
    bool willing = p->minor == 1 ? true : (p->flags & FIELD_SAYS_KEEP) != 0;
    head->keep_alive = willing && !(p->flags & FIELD_SAYS_CLOSE) && head->framing != SP_FRAMING_CLOSE;
    return SP_OK;
}

static enum sp_rc parse(struct sp_h1_parser *p, const struct sp_h1_limits *limits, enum sp_method method,
    struct sp_slice in, struct sp_head *head, size_t *used, struct sp_fault *fault)
{
    for (;;) {
        struct sp_slice line;
        enum sp_rc rc = h1_next_line(p, limits, in, &line, fault);
        if (rc != SP_OK)
            return rc;
        if (!(p->flags & FIELD_START)) {
            rc = take_status_line(p, in, line, fault);
        } else {
            if (line.len == 0)
                break;
            rc = h1_take_field(p, limits, in, line, false, fault);
        }
        if (rc != SP_OK)
            return rc;
    }
    *used = p->line_at;
    return judge_response(p, method, in, head, fault);
}

/* A fault that request and response parsers share, as a backend's. */
static enum sp_refusal backends_reason(enum sp_refusal reason)
{
    switch (reason) {
    case SP_REFUSAL_header_too_large:
        return SP_REFUSAL_response_too_large;
    case SP_REFUSAL_bad_request_line:
        return SP_REFUSAL_bad_status_line;
    case SP_REFUSAL_bad_framing:
    case SP_REFUSAL_unsupported_coding:
        return SP_REFUSAL_bad_response_framing;
    case SP_REFUSAL_bad_header:
        return SP_REFUSAL_bad_response_header;
    default:
        return reason;
    }
}

enum sp_rc sp_h1_parse_response(struct sp_h1_parser *p, const struct sp_h1_limits *limits,
    enum sp_method method, struct sp_slice in, struct sp_head *head, size_t *used, struct sp_fault *fault)
{
    enum sp_rc rc = parse(p, limits, method, in, head, used, fault);
    if (rc == SP_FAIL) {
        fault->reason = backends_reason(fault->reason);
        fault->status = 502;
    }
    return rc;
}
