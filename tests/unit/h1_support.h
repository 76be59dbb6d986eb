/* What the tests of the HTTP/1.1 parsers share: run an input whole, split in two at every byte, and byte by
 * byte, each time from memory of its own (so that a sanitizer sees every byte too far and every slice into old
 * memory), and compare what came out. */
#ifndef H1_SUPPORT_H
#define H1_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/http/h1_parse.h"

struct outcome {
    enum sp_rc rc;
    size_t used;
    struct sp_fault fault;
    char text[8192]; /* the head, every field of it */
};

static const struct sp_h1_limits h1_test_limits = {.header_bytes = 2048, .headers = 20, .target_bytes = 200};

static inline void outcome_add(struct outcome *o, const char *name, struct sp_slice s)
{
    size_t len = strlen(o->text);
    if (s.ptr == NULL)
        snprintf(o->text + len, sizeof(o->text) - len, "%s absent\n", name);
    else
        snprintf(o->text + len, sizeof(o->text) - len, "%s=[%.*s]\n", name, SP_FMT(s));
}

static inline void outcome_dump(struct outcome *o, const struct sp_head *head)
{
    snprintf(o->text, sizeof(o->text),
        "method %d status %u minor %u framing %d length %llu%s keep %d expect %d\n", (int)head->method,
        head->status, head->minor, (int)head->framing, (unsigned long long)head->content_length,
        head->has_content_length ? " said" : "", head->keep_alive, head->expect_continue);
    outcome_add(o, "method", head->method_text);
    outcome_add(o, "target", head->target);
    outcome_add(o, "scheme", head->scheme);
    outcome_add(o, "path", head->path);
    outcome_add(o, "query", head->query);
    outcome_add(o, "host", head->host);
    outcome_add(o, "reason", head->reason);
    if (head->upgrade.ptr != NULL)
        outcome_add(o, "upgrade", head->upgrade);
    if (head->te_trailers)
        outcome_add(o, "te", SP_SLICE("trailers"));
    for (size_t i = 0; i < head->header_count; i++) {
        outcome_add(o, "name", head->headers[i].name);
        outcome_add(o, "value", head->headers[i].value);
    }
}

/* method < 0: a request; else a response to that method. */
static inline enum sp_rc h1_feed(struct sp_h1_parser *p, const struct sp_h1_limits *limits, int method,
    struct sp_slice in, size_t len, struct outcome *o)
{
    static struct sp_head head;
    char *copy = malloc(len + 1); /* + 1: no NULL for nothing */
    assert_non_null(copy);
    char *exact = realloc(copy, len > 0 ? len : 1);
    memcpy(exact, in.ptr, len);
    struct sp_slice part = {exact, len};
    memset(o, 0, sizeof(*o));
    memset(&head, 0xee, sizeof(head)); /* everything must be written */
    o->rc = method < 0
                ? sp_h1_parse_request(p, limits, part, &head, &o->used, &o->fault)
                : sp_h1_parse_response(p, limits, (enum sp_method)method, part, &head, &o->used, &o->fault);
    if (o->rc == SP_OK)
        outcome_dump(o, &head);
    free(exact);
    return o->rc;
}

static inline void outcome_same(
    const struct outcome *a, const struct outcome *b, struct sp_slice in, size_t split, const char *how)
{
    bool same = a->rc == b->rc && a->used == b->used && strcmp(a->text, b->text) == 0;
    if (a->rc == SP_FAIL)
        same = same && a->fault.reason == b->fault.reason && a->fault.status == b->fault.status &&
               strcmp(a->fault.detail, b->fault.detail) == 0;
    if (!same)
        fail_msg("%s at %zu: rc %d not %d, \"%s\" not \"%s\"\n%s\ninstead of\n%s\nof\n%.*s", how, split,
            b->rc, a->rc, b->rc == SP_FAIL ? b->fault.detail : "", a->rc == SP_FAIL ? a->fault.detail : "",
            b->text, a->text, SP_FMT(in));
}

/* Whole, then in every other way; the outcome is the whole one's. */
static inline void h1_run(
    const struct sp_h1_limits *limits, int method, struct sp_slice in, struct outcome *whole)
{
    struct sp_h1_parser p;
    struct outcome o;
    sp_h1_parser_reset(&p);
    h1_feed(&p, limits, method, in, in.len, whole);
    for (size_t split = 0; split < in.len; split++) {
        sp_h1_parser_reset(&p);
        if (h1_feed(&p, limits, method, in, split, &o) == SP_AGAIN)
            h1_feed(&p, limits, method, in, in.len, &o);
        outcome_same(whole, &o, in, split, "split");
    }
    sp_h1_parser_reset(&p);
    size_t n = 0;
    do
        h1_feed(&p, limits, method, in, n, &o);
    while (o.rc == SP_AGAIN && n++ < in.len);
    outcome_same(whole, &o, in, n, "byte by byte");
}

#endif
