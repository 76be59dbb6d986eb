/* Fields behind a chunked body (RFC 9112 §7.1.2). The section is read as a head is: a line is judged when it is complete, by the
 * syntax of any field; and it stays where it was read until it is whole, so that its fields are slices and nothing is
 * copied. It is bounded by what a stream has room for behind the largest head.
 *
 * A trailer comes when the message has been framed, routed and judged already. What would have had a say in that is dropped
 * here, whoever asks for the trailers: who merges them into a head must find nothing that changes it (RFC 9110 §6.5.1). */
#include "h1_trailers.h"

#include "h1_head.h"

static enum sp_rc bad_trailer(struct sp_fault *fault, const char *detail)
{
    return http_fault(fault, SP_REFUSAL_bad_chunk, 400, detail);
}

/* The line that begins at b->line_at, without its CRLF. */
static enum sp_rc next_line(
    struct sp_h1_body *b, struct sp_slice section, struct sp_slice *line, struct sp_fault *fault)
{
    size_t end = section.len < SP_TRAILER_BYTES_MAX ? section.len : SP_TRAILER_BYTES_MAX;
    const char *lf = end > b->overhead ? memchr(section.ptr + b->overhead, '\n', end - b->overhead) : NULL;
    if (lf == NULL) {
        b->overhead = (uint32_t)end;
        return section.len >= SP_TRAILER_BYTES_MAX ? bad_trailer(fault, "trailers of more than 8 KiB")
                                                   : SP_AGAIN;
    }
    size_t at = (size_t)(lf - section.ptr);
    if (at == b->line_at || section.ptr[at - 1] != '\r')
        return bad_trailer(fault, "a trailer line ends in LF without CR");
    *line = sp_slice_sub(section, b->line_at, at - 1);
    b->line_at = b->overhead = (uint32_t)at + 1;
    return SP_OK;
}

enum sp_rc h1_next_trailers(struct sp_h1_body *b, struct sp_slice section, size_t *used,
    struct sp_slice *fields, struct sp_fault *fault)
{
    *used = 0;
    for (;;) {
        struct sp_slice line, name, value;
        enum sp_rc rc = next_line(b, section, &line, fault);
        if (rc != SP_OK)
            return rc;
        if (line.len == 0) {
            *used = b->line_at;
            *fields = sp_slice_sub(section, 0, b->line_at - 2);
            return SP_EOF;
        }
        if (h1_split_field(line, true, &name, &value, fault) != SP_OK)
            return bad_trailer(fault, fault->detail);
        if (++b->trailer_count > SP_TRAILERS_MAX)
            return bad_trailer(fault, "more than 32 trailers");
    }
}

/* Names beside those that sp_header_flags calls hop-by-hop; lower case. What a head says of the message, of the request or of who
 * sends it. */
static const char *const NEVER[] = {
    /* framing and routing */
    "content-length", "host", "max-forwards", "forwarded", "via",
    /* request modifiers */
    "cache-control", "expect", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "pragma", "range", "early-data", "x-request-id", "traceparent", "tracestate",
    /* who sends it */
    "authorization", "cookie", "set-cookie", "www-authenticate", "authentication-info",
    "proxy-authentication-info",
    /* response control data */
    "age", "alt-svc", "clear-site-data", "date", "expires", "location", "retry-after",
    "strict-transport-security", "vary", "warning",
    /* of the content */
    "content-disposition", "content-encoding", "content-language", "content-location", "content-range",
    "content-security-policy", "content-type"};

static bool may_be_trailer(struct sp_slice name)
{
    if (sp_header_flags(sp_header_id_of(name)) & SP_HDR_HOP)
        return false;
    for (size_t i = 0; i < SP_COUNTOF(NEVER); i++) {
        if (sp_slice_equal_nocase(name, sp_slice_of(NEVER[i])))
            return false;
    }
    return true;
}

size_t sp_h1_trailers(struct sp_slice fields, struct sp_header items[SP_TRAILERS_MAX])
{
    size_t count = 0;
    while (fields.len > 0) {
        const char *cr = memchr(fields.ptr, '\r', fields.len);
        SP_ASSERT(cr != NULL && count < SP_TRAILERS_MAX);
        struct sp_header *h = &items[count];
        struct sp_fault checked;
        size_t len = (size_t)(cr - fields.ptr);
        if (h1_split_field((struct sp_slice){fields.ptr, len}, true, &h->name, &h->value, &checked) ==
                SP_OK &&
            may_be_trailer(h->name)) {
            h->id = sp_header_id_of(h->name);
            count++;
        }
        fields = sp_slice_sub(fields, len + 2, fields.len);
    }
    return count;
}
