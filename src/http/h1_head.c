/* Lines and fields of an HTTP/1.1 head. A line is looked at only when it is complete, and judged once; each
 * fault is told at the first line that shows it, so the outcome does not depend on how the bytes arrived. Start
 * lines are in h1_request.c and h1_response.c, where the head as a whole is judged too. */
#include "h1_head.h"

enum sp_rc h1_next_line(struct sp_h1_parser *p, const struct sp_h1_limits *limits, struct sp_slice in,
    struct sp_slice *line, struct sp_fault *fault)
{
    size_t end = in.len < limits->header_bytes ? in.len : limits->header_bytes;
    const char *lf = end > p->seen ? memchr(in.ptr + p->seen, '\n', end - p->seen) : NULL;
    if (lf == NULL) {
        p->seen = (uint32_t)end;
        if (in.len >= limits->header_bytes)
            return http_fault(
                fault, SP_REFUSAL_header_too_large, 431, "the head is over limits.header_bytes");
        return SP_AGAIN;
    }
    size_t at = (size_t)(lf - in.ptr);
    if (at == p->line_at || in.ptr[at - 1] != '\r') {
        return http_fault(fault, p->flags & FIELD_START ? SP_REFUSAL_bad_header : SP_REFUSAL_bad_request_line,
            400, "a line ends in LF without CR");
    }
    *line = sp_slice_sub(in, p->line_at, at - 1);
    p->line_at = p->seen = (uint32_t)at + 1;
    return SP_OK;
}

enum sp_rc h1_split_field(struct sp_slice line, bool odd_names, struct sp_slice *name, struct sp_slice *value,
    struct sp_fault *fault)
{
    size_t len = 0;
    unsigned seen = 0, class;
    while (len < line.len && ((class = http_class(line.ptr[len])) & CC_TOKEN)) {
        seen |= class;
        len++;
    }
    if (len == line.len)
        return http_fault(fault, SP_REFUSAL_bad_header, 400, "a header line without a colon");
    char end = line.ptr[len];
    if (len == 0 && (end == ' ' || end == '\t'))
        return http_fault(fault, SP_REFUSAL_bad_header, 400, "a folded header line");
    if (end == ' ' || end == '\t')
        return http_fault(fault, SP_REFUSAL_bad_header, 400, "a blank in or after a header name");
    if (end != ':')
        return http_fault(fault, SP_REFUSAL_bad_header, 400, "a byte that no header name holds");
    if (len == 0)
        return http_fault(fault, SP_REFUSAL_bad_header, 400, "an empty header name");
    if ((seen & CC_ODD_NAME) && !odd_names)
        return http_fault(fault, SP_REFUSAL_bad_header_name, 400, "'_' or '.' in a header name");
    *name = (struct sp_slice){line.ptr, len};
    *value = http_trim(sp_slice_sub(line, len + 1, line.len));
    if (!sp_http_value_ok(*value))
        return http_fault(fault, SP_REFUSAL_bad_header, 400, "a control byte in a header value");
    return SP_OK;
}

static enum sp_rc take_content_length(struct sp_h1_parser *p, struct sp_slice value, struct sp_fault *fault)
{
    uint64_t length = 0;
    if (p->flags & FIELD_LENGTH)
        return http_fault(fault, SP_REFUSAL_bad_framing, 400, "more than one Content-Length");
    if (value.len == 0)
        return http_fault(fault, SP_REFUSAL_bad_framing, 400, "Content-Length is empty");
    for (size_t i = 0; i < value.len; i++) {
        if (!sp_is_digit(value.ptr[i]))
            return http_fault(fault, SP_REFUSAL_bad_framing, 400, "Content-Length is not a decimal number");
        unsigned digit = (unsigned)(value.ptr[i] - '0');
        if (length > ((uint64_t)INT64_MAX - digit) / 10) /* many readers keep it in a signed number */
            return http_fault(fault, SP_REFUSAL_bad_framing, 400, "Content-Length is out of range");
        length = length * 10 + digit;
    }
    p->content_length = length;
    p->flags |= FIELD_LENGTH;
    return SP_OK;
}

/* Real codings that we do not decode; whatever is not one of them is not a coding but an attempt to be misread. */
static bool is_other_coding(struct sp_slice s)
{
    static const struct sp_slice codings[] = {
        {"gzip", 4}, {"x-gzip", 6}, {"deflate", 7}, {"compress", 8}, {"x-compress", 10}};
    for (size_t i = 0; i < SP_COUNTOF(codings); i++) {
        if (sp_slice_equal_nocase(s, codings[i]))
            return true;
    }
    return false;
}

static enum sp_rc take_transfer_encoding(
    struct sp_h1_parser *p, struct sp_slice value, struct sp_fault *fault)
{
    struct sp_slice element;
    if (p->flags & FIELD_CODING)
        return http_fault(fault, SP_REFUSAL_bad_framing, 400, "more than one Transfer-Encoding");
    if (sp_slice_equal_nocase(value, SP_SLICE("chunked"))) {
        p->flags |= FIELD_CODING;
        return SP_OK;
    }
    for (bool after_chunked = false; http_list_next(&value, &element);) {
        if (after_chunked ||
            !(is_other_coding(element) || sp_slice_equal_nocase(element, SP_SLICE("chunked"))))
            return http_fault(fault, SP_REFUSAL_bad_framing, 400, "Transfer-Encoding is not \"chunked\"");
        after_chunked = !is_other_coding(element);
    }
    return http_fault(fault, SP_REFUSAL_unsupported_coding, 501, "a transfer coding other than chunked");
}

static enum sp_rc take_connection(struct sp_h1_parser *p, struct sp_slice value, struct sp_fault *fault)
{
    struct sp_slice option;
    while (sp_field_list_next(&value, &option)) {
        if (!http_is_token(option))
            return http_fault(fault, SP_REFUSAL_bad_header, 400, "Connection is not a list of tokens");
        if (sp_slice_equal_nocase(option, SP_SLICE("close")))
            p->flags |= FIELD_SAYS_CLOSE;
        else if (sp_slice_equal_nocase(option, SP_SLICE("keep-alive")))
            p->flags |= FIELD_SAYS_KEEP;
        else if (sp_slice_equal_nocase(option, SP_SLICE("upgrade")))
            p->flags |= FIELD_SAYS_UPGRADE;
    }
    return SP_OK;
}

static enum sp_rc take_host(struct sp_h1_parser *p, struct sp_slice value, struct sp_fault *fault)
{
    if (p->flags & FIELD_HOST)
        return http_fault(fault, SP_REFUSAL_bad_host, 400, "more than one Host");
    p->flags |= FIELD_HOST;
    p->host = p->count;
    return sp_host_check(value, fault);
}

static enum sp_rc take_expect(struct sp_h1_parser *p, struct sp_slice value, struct sp_fault *fault)
{
    if ((p->flags & FIELD_EXPECT) || !sp_slice_equal_nocase(value, SP_SLICE("100-continue")))
        return http_fault(fault, SP_REFUSAL_bad_expectation, 417, "Expect is not \"100-continue\"");
    p->flags |= FIELD_EXPECT;
    return SP_OK;
}

static void take_te(struct sp_h1_parser *p, struct sp_slice value)
{
    struct sp_slice coding;
    while (sp_field_list_next(&value, &coding)) {
        if (sp_slice_equal_nocase(coding, SP_SLICE("trailers")))
            p->flags |= FIELD_TE_TRAILERS;
    }
}

/* A change of protocol is judged by one field. A response's is judged when it is a 101. */
static enum sp_rc take_upgrade(struct sp_h1_parser *p, bool is_request, struct sp_fault *fault)
{
    if ((p->flags & FIELD_UPGRADE) && is_request)
        return http_fault(fault, SP_REFUSAL_bad_header, 400, "more than one Upgrade");
    p->flags |= p->flags & FIELD_UPGRADE ? FIELD_UPGRADES : FIELD_UPGRADE;
    return SP_OK;
}

static enum sp_rc take_max_forwards(struct sp_h1_parser *p, struct sp_slice value, struct sp_fault *fault)
{
    if (p->flags & FIELD_HOPS)
        return http_fault(fault, SP_REFUSAL_bad_header, 400, "more than one Max-Forwards");
    p->flags |= FIELD_HOPS;
    for (size_t i = 0; i < value.len; i++) {
        if (!sp_is_digit(value.ptr[i]))
            return http_fault(fault, SP_REFUSAL_bad_header, 400, "Max-Forwards is not a number");
    }
    return value.len > 0 && value.len <= 9
               ? SP_OK
               : http_fault(fault, SP_REFUSAL_bad_header, 400, "Max-Forwards is out of range");
}

/* What the fields that we know say. The rest is only carried. */
static enum sp_rc take_known(struct sp_h1_parser *p, enum sp_header_id id, struct sp_slice value,
    bool is_request, struct sp_fault *fault)
{
    switch (id) {
    case SP_HDR_CONTENT_LENGTH:
        return take_content_length(p, value, fault);
    case SP_HDR_TRANSFER_ENCODING:
        return take_transfer_encoding(p, value, fault);
    case SP_HDR_CONNECTION:
        return take_connection(p, value, fault);
    case SP_HDR_HOST:
        return is_request ? take_host(p, value, fault) : SP_OK;
    case SP_HDR_EXPECT:
        return is_request ? take_expect(p, value, fault) : SP_OK;
    case SP_HDR_TE:
        take_te(p, value);
        return SP_OK;
    case SP_HDR_UPGRADE:
        return take_upgrade(p, is_request, fault);
    case SP_HDR_MAX_FORWARDS:
        return is_request ? take_max_forwards(p, value, fault) : SP_OK;
    default:
        return SP_OK;
    }
}

enum sp_rc h1_take_field(struct sp_h1_parser *p, const struct sp_h1_limits *limits, struct sp_slice in,
    struct sp_slice line, bool is_request, struct sp_fault *fault)
{
    struct sp_slice name, value;
    enum sp_rc rc = h1_split_field(line, !is_request, &name, &value, fault);
    if (rc != SP_OK)
        return rc;
    if (p->count >= limits->headers || p->count >= SP_HEADERS_MAX)
        return http_fault(fault, SP_REFUSAL_header_too_large, 431, "more fields than limits.headers");
    enum sp_header_id id = sp_header_id_of(name);
    if (id != SP_HDR_OTHER && (rc = take_known(p, id, value, is_request, fault)) != SP_OK)
        return rc;
    p->fields[p->count].name = h1_span(in, name);
    p->fields[p->count].value = h1_span(in, value);
    p->fields[p->count].id = id;
    p->count++;
    return SP_OK;
}

void h1_fill_head(const struct sp_h1_parser *p, struct sp_slice in, struct sp_head *head)
{
    memset(head, 0, offsetof(struct sp_head, headers));
    head->minor = p->minor;
    head->has_content_length = (p->flags & FIELD_LENGTH) != 0;
    head->content_length = p->content_length;
    for (size_t i = 0; i < p->count; i++) {
        head->headers[i].name = h1_slice(in, p->fields[i].name);
        head->headers[i].value = h1_slice(in, p->fields[i].value);
        head->headers[i].id = p->fields[i].id;
    }
    head->header_count = p->count;
    if (p->minor == 0) /* RFC 9110 §7.8, §10.1.4: HTTP/1.0 has neither */
        return;
    head->te_trailers = (p->flags & FIELD_TE_TRAILERS) != 0;
    if ((p->flags & FIELD_SAYS_UPGRADE) && (p->flags & FIELD_UPGRADE) && !(p->flags & FIELD_UPGRADES))
        head->upgrade = sp_head_find(head, SP_HDR_UPGRADE)->value;
}
