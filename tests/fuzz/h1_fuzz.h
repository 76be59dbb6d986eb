/* What the HTTP/1.1 fuzz targets share: an input parsed whole and parsed in pieces must come to the same end, and every slice of a
 * head must lie inside the input. */
#ifndef H1_FUZZ_H
#define H1_FUZZ_H

#include <stdlib.h>

#include "sallyport/http/h1_parse.h"

#define CHECK(cond) ((cond) ? (void)0 : abort())

struct parsed {
    enum sp_rc rc;
    size_t used;
    struct sp_fault fault;
    struct sp_head head;
};

static inline void check_inside(struct sp_slice in, struct sp_slice part)
{
    if (part.ptr == NULL)
        CHECK(part.len == 0);
    else
        CHECK(part.ptr >= in.ptr && part.ptr + part.len <= in.ptr + in.len);
}

static inline void check_same_slice(
    struct sp_slice in_a, struct sp_slice a, struct sp_slice in_b, struct sp_slice b)
{
    CHECK((a.ptr == NULL) == (b.ptr == NULL) && a.len == b.len);
    CHECK(a.ptr == NULL || a.ptr - in_a.ptr == b.ptr - in_b.ptr);
}

/* method < 0: a request. */
static inline void parse_some(struct sp_h1_parser *p, const struct sp_h1_limits *limits, int method,
    struct sp_slice in, struct parsed *out)
{
    out->rc = method < 0 ? sp_h1_parse_request(p, limits, in, &out->head, &out->used, &out->fault)
                         : sp_h1_parse_response(
                               p, limits, (enum sp_method)method, in, &out->head, &out->used, &out->fault);
    CHECK(out->rc != SP_EOF);
    if (out->rc != SP_OK)
        return;
    CHECK(out->used > 0 && out->used <= in.len && out->head.header_count <= limits->headers);
    check_inside(in, out->head.method_text);
    check_inside(in, out->head.target);
    check_inside(in, out->head.query);
    check_inside(in, out->head.host);
    check_inside(in, out->head.reason);
    check_inside(in, out->head.upgrade);
    CHECK(out->head.minor == 1 || (out->head.upgrade.ptr == NULL && !out->head.te_trailers));
    for (size_t i = 0; i < out->head.header_count; i++) {
        check_inside(in, out->head.headers[i].name);
        check_inside(in, out->head.headers[i].value);
    }
}

/* Whole, then in steps chosen by the input's own bytes; the input moves between the two. */
static inline void parse_both_ways(
    const struct sp_h1_limits *limits, int method, const uint8_t *bytes, size_t size)
{
    static struct parsed whole, pieces;
    struct sp_h1_parser p;
    struct sp_slice in = {(const char *)bytes, size};
    sp_h1_parser_reset(&p);
    parse_some(&p, limits, method, in, &whole);

    char *copy = malloc(size + 1);
    CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    struct sp_slice moved = {copy, size};
    sp_h1_parser_reset(&p);
    size_t have = 0;
    for (;;) {
        parse_some(&p, limits, method, (struct sp_slice){copy, have}, &pieces);
        if (pieces.rc != SP_AGAIN || have == size)
            break;
        size_t step = 1 + bytes[have] % 7;
        have = step > size - have ? size : have + step;
    }
    CHECK(whole.rc == pieces.rc);
    if (whole.rc == SP_FAIL) {
        CHECK(whole.fault.reason == pieces.fault.reason && whole.fault.status == pieces.fault.status);
        CHECK(strcmp(whole.fault.detail, pieces.fault.detail) == 0);
    }
    if (whole.rc == SP_OK) {
        const struct sp_head *a = &whole.head, *b = &pieces.head;
        CHECK(
            whole.used == pieces.used && a->framing == b->framing && a->content_length == b->content_length);
        CHECK(a->keep_alive == b->keep_alive && a->header_count == b->header_count && a->status == b->status);
        check_same_slice(in, a->target, moved, b->target);
        check_same_slice(in, a->query, moved, b->query);
        check_same_slice(in, a->host, moved, b->host);
        check_same_slice(in, a->upgrade, moved, b->upgrade);
        CHECK(a->te_trailers == b->te_trailers);
        for (size_t i = 0; i < a->header_count; i++) {
            CHECK(a->headers[i].id == b->headers[i].id);
            check_same_slice(in, a->headers[i].name, moved, b->headers[i].name);
            check_same_slice(in, a->headers[i].value, moved, b->headers[i].value);
        }
    }
    free(copy);
}

/* What was parsed last, for a target's own claims. */
static inline const struct sp_head *parse_whole(
    const struct sp_h1_limits *limits, int method, const uint8_t *bytes, size_t size)
{
    static struct parsed whole;
    struct sp_h1_parser p;
    sp_h1_parser_reset(&p);
    parse_some(&p, limits, method, (struct sp_slice){(const char *)bytes, size}, &whole);
    return whole.rc == SP_OK ? &whole.head : NULL;
}

#endif
