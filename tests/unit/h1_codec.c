/* The HTTP/1.1 codec over an in-memory transport that cuts reads and writes as small as a test likes, and counts them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/http/codec.h"

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define S(x) SP_SLICE(x)

static const struct sp_h1_limits limits = {.header_bytes = 16384, .headers = 100, .target_bytes = 8192};

/* Our end, behind a tap that counts calls. */
struct rig {
    struct sp_pool pool;
    struct sp_transport tap;
    struct sp_transport *inner, *peer;
    struct sp_stream *s;
    unsigned reads, writes;
    char got[1 << 16];
    size_t got_len;
};

static struct rig *rig_of(struct sp_transport *t)
{
    return SP_CONTAINER_OF(t, struct rig, tap);
}

static enum sp_rc tap_read(struct sp_transport *t, void *buf, size_t room, size_t *n)
{
    rig_of(t)->reads++;
    return sp_transport_read(rig_of(t)->inner, buf, room, n);
}

static enum sp_rc tap_writev(struct sp_transport *t, const struct iovec *iov, int count, size_t *taken)
{
    rig_of(t)->writes++;
    return sp_transport_writev(rig_of(t)->inner, iov, count, taken);
}

static enum sp_rc tap_flush(struct sp_transport *t)
{
    return sp_transport_flush(rig_of(t)->inner);
}

static const struct sp_transport_ops tap_ops = {
    .name = "tap", .read = tap_read, .writev = tap_writev, .flush = tap_flush};

static struct rig *rig_new(enum sp_side side, size_t capacity, size_t chunk)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    sp_pool_init(&r->pool, SP_IO_BLOCK, 4, 0);
    assert_int_equal(sp_mem_pair(capacity, chunk, &r->inner, &r->peer), SP_OK);
    r->tap.ops = &tap_ops;
    r->s = sp_h1_new(side, &r->tap, &r->pool, &limits);
    assert_non_null(r->s);
    return r;
}

static void rig_free(struct rig *r)
{
    r->s->ops->free(r->s);
    assert_int_equal(r->pool.taken, 0);
    sp_pool_destroy(&r->pool);
    sp_transport_free(r->inner);
    sp_transport_free(r->peer);
    free(r);
}

/* The peer sends; everything fits the pair's capacity. */
static void peer_puts(struct rig *r, struct sp_slice bytes)
{
    while (bytes.len > 0) {
        struct iovec iov = {(void *)(uintptr_t)bytes.ptr, bytes.len};
        size_t taken;
        assert_int_equal(sp_transport_writev(r->peer, &iov, 1, &taken), SP_OK);
        bytes = sp_slice_sub(bytes, taken, bytes.len);
    }
    r->inner->can_read = true;
}

/* All that the peer can read now, added to r->got. True if there was some. */
static bool peer_reads(struct rig *r)
{
    size_t n = 0, before = r->got_len;
    r->peer->can_read = true;
    while (r->got_len < sizeof(r->got) &&
           sp_transport_read(r->peer, r->got + r->got_len, sizeof(r->got) - r->got_len, &n) == SP_OK)
        r->got_len += n;
    r->inner->can_write = true;
    return r->got_len > before;
}

static void peer_got(struct rig *r, const char *want)
{
    peer_reads(r);
    if (r->got_len != strlen(want) || memcmp(r->got, want, r->got_len) != 0)
        fail_msg("sent [%.*s]\ninstead of [%s]", (int)r->got_len, r->got, want);
    r->got_len = 0;
}

static const struct sp_head *must_head(struct rig *r)
{
    const struct sp_head *head = NULL;
    struct sp_fault fault = {.detail = ""};
    enum sp_rc rc = r->s->ops->recv_head(r->s, &head, &fault);
    if (rc != SP_OK)
        fail_msg("recv_head: %d %s", rc, fault.detail);
    return head;
}

static void head_fails(struct rig *r, enum sp_refusal reason, unsigned status)
{
    const struct sp_head *head = NULL;
    struct sp_fault fault = {.detail = ""};
    assert_int_equal(r->s->ops->recv_head(r->s, &head, &fault), SP_FAIL);
    assert_string_equal(sp_refusal_name(fault.reason), sp_refusal_name(reason));
    assert_int_equal(fault.status, status);
}

/* Reads the body as far as it goes, in views of which at most `bite` bytes are consumed at a time. */
static enum sp_rc read_body(struct rig *r, char *out, size_t *len, size_t bite, struct sp_fault *fault)
{
    struct sp_slice data;
    enum sp_rc rc;
    while ((rc = r->s->ops->recv_body(r->s, &data, fault)) == SP_OK) {
        assert_true(data.len > 0);
        size_t n = bite > 0 && bite < data.len ? bite : data.len;
        memcpy(out + *len, data.ptr, n);
        *len += n;
        r->s->ops->consume(r->s, n);
    }
    return rc;
}

static void body_is(struct rig *r, const char *want)
{
    char out[4096];
    size_t len = 0;
    struct sp_fault fault;
    assert_int_equal(read_body(r, out, &len, 0, &fault), SP_EOF);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(out, want, len);
}

static void respond(struct rig *r, const struct sp_head_out *head, struct sp_slice body)
{
    size_t taken = 0;
    assert_int_equal(r->s->ops->send_head(r->s, head), SP_OK);
    if (body.len > 0) {
        assert_int_equal(r->s->ops->send_body(r->s, body, &taken), SP_OK);
        assert_int_equal(taken, body.len);
    }
    assert_int_equal(r->s->ops->send_end(r->s), SP_OK);
    assert_int_equal(r->s->ops->flush(r->s), SP_OK);
}

static struct sp_head_out head_of(unsigned status, enum sp_framing framing, uint64_t length)
{
    return (struct sp_head_out){
        .status = status, .reason = sp_slice_of(sp_status_phrase(status)), .framing = framing, .content_length = length};
}

static struct sp_head_out get(const char *method)
{
    return (struct sp_head_out){.method = sp_slice_of(method), .target = S("/x")};
}

/* ---- exchanges ---- */

static void test_an_exchange_goes_through_however_the_bytes_are_cut(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 2, 3, 7, 64};
    for (size_t i = 0; i < SP_COUNTOF(chunks); i++) {
        struct rig *r = rig_new(SP_SERVER, 4096, chunks[i]);
        const struct sp_line lines[] = {{S("X"), S("y")}}, more[] = {{S("Z"), S("")}};
        struct sp_head_out head = head_of(200, SP_FRAMING_LENGTH, 5);
        head.lines = lines, head.line_count = 1, head.more = more, head.more_count = 1;
        assert_true(sp_h1_is_idle(r->s));
        peer_puts(r, S(GET));
        const struct sp_head *in = must_head(r);
        assert_false(sp_h1_is_idle(r->s));
        assert_int_equal(in->method, SP_METHOD_GET);
        body_is(r, "");
        respond(r, &head, S("hello"));
        peer_got(r, "HTTP/1.1 200 OK\r\nX: y\r\nZ: \r\nContent-Length: 5\r\n\r\nhello");
        assert_true(r->s->ops->next(r->s));
        assert_true(sp_h1_is_idle(r->s));
        assert_int_equal(r->pool.taken, 0); /* an idle stream holds no block */
        rig_free(r);
    }
}

static void test_a_small_response_is_one_write_and_a_request_one_read(void **state)
{
    (void)state;
    static char body[20000];
    static const enum sp_framing framings[] = {SP_FRAMING_LENGTH, SP_FRAMING_CHUNKED};
    for (size_t i = 0; i < 4; i++) { /* small and large */
        struct rig *r = rig_new(SP_SERVER, 65536, 0);
        size_t len = i < 2 ? 4096 : sizeof(body);
        struct sp_head_out head = head_of(200, framings[i % 2], len);
        peer_puts(r, S(GET));
        must_head(r);
        body_is(r, "");
        assert_int_equal(r->reads, 1);
        respond(r, &head, (struct sp_slice){body, len});
        /* the end of a large chunked body comes after its data has gone */
        assert_int_equal(r->writes, i == 3 ? 2 : 1);
        assert_true(r->s->ops->next(r->s));
        rig_free(r);
    }
}

static void test_pipelined_requests_are_answered_in_turn(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 5};
    for (size_t i = 0; i < SP_COUNTOF(chunks); i++) {
        struct rig *r = rig_new(SP_SERVER, 4096, chunks[i]);
        const struct sp_head_out head = head_of(200, SP_FRAMING_NONE, 0);
        peer_puts(r, S("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                       "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\nX: y\r\n\r\n"
                       "\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\nG"));
        static const struct {
            const char *path, *body;
        } want[] = {{"/a", "abc"}, {"/b", "def"}, {"/c", ""}};
        for (size_t j = 0; j < SP_COUNTOF(want); j++) {
            const struct sp_head *in = must_head(r);
            assert_true(sp_slice_equal(in->path, sp_slice_of(want[j].path)));
            body_is(r, want[j].body);
            assert_true(sp_slice_equal(in->path, sp_slice_of(want[j].path))); /* it lives until next */
            respond(r, &head, S(""));
            peer_got(r, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            assert_true(r->s->ops->next(r->s));
        }
        const struct sp_head *in;
        struct sp_fault fault;
        assert_int_equal(r->s->ops->recv_head(r->s, &in, &fault), SP_AGAIN);
        assert_false(sp_h1_is_idle(r->s)); /* a byte of the next is there */
        rig_free(r);
    }
}

static void test_a_body_that_nobody_read_ends_the_connection(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_SERVER, 4096, 0);
    const struct sp_head_out head = head_of(413, SP_FRAMING_NONE, 0);
    peer_puts(r, S("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n" GET));
    must_head(r);
    respond(r, &head, S(""));
    assert_false(r->s->ops->next(r->s));
    rig_free(r);
}

static void test_close_is_said_and_meant(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_SERVER, 4096, 0);
    struct sp_head_out head = head_of(200, SP_FRAMING_NONE, 0);
    head.close = true;
    peer_puts(r, S(GET GET));
    must_head(r);
    body_is(r, "");
    respond(r, &head, S(""));
    peer_got(r, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_false(r->s->ops->next(r->s));
    rig_free(r);

    static const char *const wanting[] = {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < SP_COUNTOF(wanting); i++) {
        r = rig_new(SP_SERVER, 4096, 0);
        peer_puts(r, sp_slice_of(wanting[i]));
        must_head(r);
        body_is(r, "");
        head.close = false;
        respond(r, &head, S(""));
        assert_false(r->s->ops->next(r->s));
        rig_free(r);
    }
}

static void test_an_interim_head_leaves_room_for_the_final_one(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_SERVER, 4096, 0);
    const struct sp_head_out interim = head_of(100, SP_FRAMING_NONE, 0), final = head_of(204, SP_FRAMING_LENGTH, 7);
    peer_puts(r, S("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"));
    assert_true(must_head(r)->expect_continue);
    assert_int_equal(r->s->ops->send_head(r->s, &interim), SP_OK);
    assert_int_equal(r->s->ops->flush(r->s), SP_OK);
    peer_got(r, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_puts(r, S("x"));
    body_is(r, "x");
    respond(r, &final, S(""));
    peer_got(r, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_true(r->s->ops->next(r->s));
    rig_free(r);
}

/* ---- framing of what is sent ---- */

static void test_framing_lines_follow_method_and_status(void **state)
{
    (void)state;
    static const struct {
        const char *method; /* of the request */
        struct sp_head_out head;
        const char *want; /* NULL: refused */
    } cases[] = {
        {"GET", {.status = 200, .framing = SP_FRAMING_NONE}, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"},
        {"GET", {.status = 200, .framing = SP_FRAMING_CHUNKED}, "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"GET", {.status = 200, .framing = SP_FRAMING_CLOSE}, "HTTP/1.1 200 \r\nConnection: close\r\n\r\n"},
        {"GET", {.status = 200, .framing = SP_FRAMING_NONE, .announce_length = true, .content_length = 3}, NULL},
        {"GET", {.status = 304, .framing = SP_FRAMING_NONE}, "HTTP/1.1 304 \r\n\r\n"},
        {"GET", {.status = 304, .framing = SP_FRAMING_NONE, .announce_length = true, .content_length = 3},
            "HTTP/1.1 304 \r\nContent-Length: 3\r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_NONE, .announce_length = true, .content_length = 3},
            "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_LENGTH, .content_length = 18446744073709551615u},
            "HTTP/1.1 200 \r\nContent-Length: 18446744073709551615\r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_NONE}, "HTTP/1.1 200 \r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_CHUNKED}, "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_CLOSE}, "HTTP/1.1 200 \r\n\r\n"},
        {"GET", {.status = 204, .framing = SP_FRAMING_CHUNKED}, "HTTP/1.1 204 \r\n\r\n"},
        {"GET", {.status = 200, .framing = SP_FRAMING_NONE, .expect_continue = true}, NULL},
        {"GET", {.status = 99, .framing = SP_FRAMING_NONE}, NULL},
        {"GET", {.status = 1000, .framing = SP_FRAMING_NONE}, NULL},
        {"GET", {.method = {"GET", 3}, .target = {"/", 1}}, NULL}, /* a server sends no request */
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct rig *r = rig_new(SP_SERVER, 4096, 0);
        char in[64];
        snprintf(in, sizeof(in), "%s / HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].method);
        peer_puts(r, sp_slice_of(in));
        must_head(r);
        enum sp_rc rc = r->s->ops->send_head(r->s, &cases[i].head);
        if (rc != (cases[i].want != NULL ? SP_OK : SP_FAIL))
            fail_msg("case %zu: rc %d", i, rc);
        assert_int_equal(r->s->ops->flush(r->s), SP_OK);
        peer_got(r, cases[i].want != NULL ? cases[i].want : "");
        rig_free(r);
    }
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    struct sp_head_out post = {.method = S("POST"), .target = S("/a?b"), .framing = SP_FRAMING_CLOSE};
    assert_int_equal(r->s->ops->send_head(r->s, &post), SP_FAIL);
    post.framing = SP_FRAMING_LENGTH;
    post.content_length = 2;
    post.expect_continue = post.close = true;
    assert_int_equal(r->s->ops->send_head(r->s, &post), SP_OK);
    assert_int_equal(r->s->ops->flush(r->s), SP_OK);
    peer_got(r, "POST /a?b HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
    rig_free(r);
}

static void test_not_a_byte_more_or_less_than_announced_is_sent(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    struct sp_head_out post = {.method = S("POST"), .target = S("/"), .framing = SP_FRAMING_LENGTH, .content_length = 5};
    size_t taken;
    assert_int_equal(r->s->ops->send_head(r->s, &post), SP_OK);
    assert_int_equal(r->s->ops->send_body(r->s, S("abc"), &taken), SP_OK);
    assert_int_equal(r->s->ops->send_body(r->s, S("def"), &taken), SP_FAIL);
    assert_int_equal(r->s->ops->flush(r->s), SP_FAIL);
    rig_free(r);

    r = rig_new(SP_CLIENT, 4096, 0);
    assert_int_equal(r->s->ops->send_head(r->s, &post), SP_OK);
    assert_int_equal(r->s->ops->send_body(r->s, S("abcd"), &taken), SP_OK);
    assert_int_equal(r->s->ops->send_end(r->s), SP_FAIL);
    rig_free(r);

    r = rig_new(SP_CLIENT, 4096, 0);
    post.framing = SP_FRAMING_NONE;
    assert_int_equal(r->s->ops->send_head(r->s, &post), SP_OK);
    assert_int_equal(r->s->ops->send_body(r->s, S("a"), &taken), SP_FAIL);
    rig_free(r);
}

static void test_a_head_that_would_split_is_refused_and_another_may_follow(void **state)
{
    (void)state;
    static char huge[SP_IO_BLOCK];
    memset(huge, 'a', sizeof(huge));
    static const struct sp_line bad[] = {
        {{"X", 1}, {"a\r\nY: b", 7}}, {{"X", 1}, {"a\nb", 3}}, {{"X", 1}, {"a\0b", 3}}, {{"X", 1}, {"\x7f", 1}},
        {{"X Y", 3}, {"a", 1}}, {{"X:", 2}, {"a", 1}}, {{"", 0}, {"a", 1}}, {{"X\r\n", 3}, {"a", 1}}, {{"\xc3\xa9", 2}, {"a", 1}},
        {{"content-length", 14}, {"5", 1}}, {{"TRANSFER-ENCODING", 17}, {"chunked", 7}}, {{"Connection", 10}, {"close", 5}},
        {{"X", 1}, {huge, sizeof(huge)}}, {{"X", 1}, {huge, sizeof(huge) - 64}}};
    static const struct sp_slice reasons[] = {{"O\r\nX: y", 7}, {"O\0", 2}, {"\x1b", 1}};
    static const struct sp_slice targets[] = {{"/a b", 4}, {"/\r\n", 3}, {"", 0}, {"/\x80", 2}, {"/\0", 2}};
    struct rig *r = rig_new(SP_SERVER, 4096, 0);
    peer_puts(r, S(GET));
    must_head(r);
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct sp_head_out head = head_of(200, SP_FRAMING_NONE, 0);
        head.lines = &bad[i];
        head.line_count = 1;
        assert_int_equal(r->s->ops->send_head(r->s, &head), SP_FAIL);
        head.more = head.lines;
        head.more_count = 1;
        head.line_count = 0;
        assert_int_equal(r->s->ops->send_head(r->s, &head), SP_FAIL);
    }
    for (size_t i = 0; i < SP_COUNTOF(reasons); i++) {
        struct sp_head_out head = head_of(200, SP_FRAMING_NONE, 0);
        head.reason = reasons[i];
        assert_int_equal(r->s->ops->send_head(r->s, &head), SP_FAIL);
    }
    const struct sp_head_out gateway = head_of(502, SP_FRAMING_NONE, 0);
    respond(r, &gateway, S(""));
    peer_got(r, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    rig_free(r);

    r = rig_new(SP_CLIENT, 4096, 0);
    for (size_t i = 0; i < SP_COUNTOF(targets); i++) {
        struct sp_head_out head = get("GET");
        head.target = targets[i];
        assert_int_equal(r->s->ops->send_head(r->s, &head), SP_FAIL);
    }
    struct sp_head_out head = get("G T");
    assert_int_equal(r->s->ops->send_head(r->s, &head), SP_FAIL);
    head = get("GET");
    respond(r, &head, S(""));
    peer_got(r, "GET /x HTTP/1.1\r\n\r\n");
    rig_free(r);
}

/* ---- the client's side ---- */

static void test_a_response_follows_its_interim_heads(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 13};
    for (size_t i = 0; i < SP_COUNTOF(chunks); i++) {
        struct rig *r = rig_new(SP_CLIENT, 4096, chunks[i]);
        const struct sp_head_out head = get("GET");
        respond(r, &head, S(""));
        assert_false(sp_h1_has_received(r->s));
        peer_puts(r, S("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
                       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        assert_int_equal(must_head(r)->status, 100);
        assert_true(sp_h1_has_received(r->s));
        const struct sp_head *hints = must_head(r);
        assert_int_equal(hints->status, 103);
        assert_int_equal(hints->header_count, 1);
        assert_int_equal(must_head(r)->status, 200);
        body_is(r, "ok");
        assert_true(r->s->ops->next(r->s));
        assert_true(sp_h1_is_idle(r->s));
        assert_false(sp_h1_has_received(r->s));
        assert_int_equal(r->pool.taken, 0);
        rig_free(r);
    }
}

static void test_endless_interim_heads_are_a_fault(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    const struct sp_head_out head = get("GET");
    respond(r, &head, S(""));
    for (int i = 0; i < 16; i++) {
        peer_puts(r, S("HTTP/1.1 100 Continue\r\n\r\n"));
        assert_int_equal(must_head(r)->status, 100);
    }
    peer_puts(r, S("HTTP/1.1 100 Continue\r\n\r\n"));
    head_fails(r, SP_REFUSAL_bad_response, 502);
    rig_free(r);
}

static void test_answers_to_head_have_no_body(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    const struct sp_head_out head = get("HEAD");
    respond(r, &head, S(""));
    peer_puts(r, S("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"));
    assert_int_equal(must_head(r)->content_length, 20);
    body_is(r, "");
    assert_true(r->s->ops->next(r->s));
    rig_free(r);
}

static void test_a_response_that_nobody_asked_for_makes_the_connection_useless(void **state)
{
    (void)state;
    const struct sp_head_out head = get("GET");
    const struct sp_head *in;
    struct sp_fault fault;
    /* before the first request */
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    assert_int_equal(r->s->ops->recv_head(r->s, &in, &fault), SP_AGAIN);
    peer_puts(r, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    head_fails(r, SP_REFUSAL_bad_response, 502);
    assert_int_equal(r->s->ops->send_head(r->s, &head), SP_FAIL);
    rig_free(r);
    /* behind the response */
    r = rig_new(SP_CLIENT, 4096, 0);
    respond(r, &head, S(""));
    peer_puts(r, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    must_head(r);
    body_is(r, "");
    assert_false(r->s->ops->next(r->s));
    rig_free(r);
    /* behind the response, not yet read */
    r = rig_new(SP_CLIENT, 4096, 38);
    respond(r, &head, S(""));
    peer_puts(r, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    r->tap.can_read = true; /* as an edge would say */
    must_head(r);
    body_is(r, "");
    assert_int_equal(r->reads, 1);
    assert_false(r->s->ops->next(r->s));
    rig_free(r);
    /* the peer closed while the connection was idle */
    r = rig_new(SP_CLIENT, 4096, 0);
    assert_int_equal(sp_transport_shutdown(r->peer), SP_OK);
    assert_int_equal(r->s->ops->recv_head(r->s, &in, &fault), SP_EOF);
    rig_free(r);
}

/* ---- ends ---- */

static void test_an_end_inside_a_message_is_told_from_one_between(void **state)
{
    (void)state;
    static const struct {
        enum sp_side side;
        const char *in;
        bool in_body;
        enum sp_rc rc;
        enum sp_refusal reason;
        unsigned status;
    } cases[] = {
        {SP_SERVER, "", false, SP_EOF, SP_REFUSAL_none, 0},
        {SP_SERVER, "GET / HT", false, SP_FAIL, SP_REFUSAL_client_gone, 400},
        {SP_SERVER, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", true, SP_FAIL, SP_REFUSAL_client_gone, 400},
        {SP_SERVER, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true, SP_FAIL,
            SP_REFUSAL_client_gone, 400},
        {SP_SERVER, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n", true, SP_FAIL,
            SP_REFUSAL_bad_chunk, 400},
        {SP_CLIENT, "", false, SP_FAIL, SP_REFUSAL_backend_closed, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\n", false, SP_FAIL, SP_REFUSAL_backend_closed, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true, SP_FAIL, SP_REFUSAL_backend_closed, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", true, SP_FAIL,
            SP_REFUSAL_backend_closed, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", true, SP_FAIL, SP_REFUSAL_bad_response,
            502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\n\r\nab", true, SP_EOF, SP_REFUSAL_none, 0},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\n\r\n", true, SP_EOF, SP_REFUSAL_none, 0},
        {SP_CLIENT, "HTTP/2.0 200 OK\r\n\r\n", false, SP_FAIL, SP_REFUSAL_bad_response, 502},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct rig *r = rig_new(cases[i].side, 4096, 3);
        const struct sp_head_out head = get("GET");
        const struct sp_head *in;
        struct sp_fault fault = {.reason = SP_REFUSAL_none};
        char out[64];
        size_t len = 0;
        if (cases[i].side == SP_CLIENT)
            respond(r, &head, S(""));
        peer_puts(r, sp_slice_of(cases[i].in));
        assert_int_equal(sp_transport_shutdown(r->peer), SP_OK);
        enum sp_rc rc = r->s->ops->recv_head(r->s, &in, &fault);
        if (cases[i].in_body) {
            assert_int_equal(rc, SP_OK);
            rc = read_body(r, out, &len, 0, &fault);
        }
        if (rc != cases[i].rc || fault.reason != cases[i].reason || (rc == SP_FAIL && fault.status != cases[i].status))
            fail_msg("case %zu: rc %d %s", i, rc, sp_refusal_name(fault.reason));
        assert_false(r->s->ops->next(r->s));
        rig_free(r);
    }
}

static void test_a_limit_above_the_block_still_ends(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_SERVER, 65536, 0);
    const struct sp_h1_limits wide = {.header_bytes = 1 << 20, .headers = 100, .target_bytes = 8192};
    static char huge[40000];
    r->s->ops->free(r->s);
    r->s = sp_h1_new(SP_SERVER, &r->tap, &r->pool, &wide);
    memset(huge, 'a', sizeof(huge));
    memcpy(huge, "GET / HTTP/1.1\r\nX: ", 19);
    peer_puts(r, (struct sp_slice){huge, sizeof(huge)});
    head_fails(r, SP_REFUSAL_header_too_large, 431);
    rig_free(r);
}

static void test_without_a_block_the_exchange_alone_fails(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_SERVER, 4096, 0);
    r->pool.max = 1;
    void *other = sp_pool_take(&r->pool);
    peer_puts(r, S(GET));
    head_fails(r, SP_REFUSAL_overloaded, 503);
    sp_pool_give(&r->pool, other);
    rig_free(r);
}

/* ---- two streams, end to end ---- */

struct pump {
    const char *data;
    size_t len, offered, seen;
    bool ended;
};

static void pump_out(struct sp_stream *s, struct pump *p, size_t view, unsigned *dice)
{
    while (!p->ended) {
        *dice = *dice * 1103515245u + 12345u;
        size_t n = p->len - p->offered, taken = 0;
        if (n > view)
            n = view;
        if (n > 1 && (*dice >> 16) % 3 == 0)
            n = 1 + (*dice >> 8) % n; /* also less than was offered before */
        if (n == 0) {
            assert_int_equal(s->ops->send_end(s), SP_OK);
            p->ended = true;
            return;
        }
        enum sp_rc rc = s->ops->send_body(s, (struct sp_slice){p->data + p->offered, n}, &taken);
        if (rc == SP_AGAIN)
            return;
        assert_int_equal(rc, SP_OK);
        assert_true(taken > 0 && taken <= n);
        p->offered += taken;
    }
}

static void run_transfer(const char *data, size_t len, enum sp_framing framing, size_t capacity, size_t chunk, size_t view)
{
    struct sp_pool pool;
    struct sp_transport *a, *b;
    struct sp_fault fault = {.detail = ""};
    const struct sp_head *head;
    struct pump p = {.data = data, .len = len};
    unsigned dice = (unsigned)(capacity * 31 + chunk * 7 + view);
    struct sp_head_out out = {.method = S("POST"), .target = S("/"), .framing = framing, .content_length = len};
    const struct sp_line host = {S("Host"), S("a")};
    out.lines = &host;
    out.line_count = 1;
    sp_pool_init(&pool, SP_IO_BLOCK, 4, 0);
    assert_int_equal(sp_mem_pair(capacity, chunk, &a, &b), SP_OK);
    struct sp_stream *c = sp_h1_new(SP_CLIENT, a, &pool, &limits), *s = sp_h1_new(SP_SERVER, b, &pool, &limits);
    assert_int_equal(c->ops->send_head(c, &out), SP_OK);
    enum sp_rc rc = SP_AGAIN;
    for (bool have_head = false; rc != SP_EOF;) {
        pump_out(c, &p, view, &dice);
        assert_int_not_equal(c->ops->flush(c), SP_FAIL);
        b->can_read = true;
        if (!have_head) {
            rc = s->ops->recv_head(s, &head, &fault);
            have_head = rc == SP_OK;
        }
        struct sp_slice got;
        while (have_head && (rc = s->ops->recv_body(s, &got, &fault)) == SP_OK) {
            assert_true(p.seen + got.len <= len);
            assert_memory_equal(got.ptr, data + p.seen, got.len);
            size_t n = got.len > 3 ? got.len - 1 : got.len;
            s->ops->consume(s, n);
            p.seen += n;
        }
        if (rc == SP_FAIL)
            fail_msg("framing %d capacity %zu chunk %zu view %zu: %s", framing, capacity, chunk, view, fault.detail);
        a->can_write = true;
    }
    assert_int_equal(p.seen, len);
    assert_int_equal(c->ops->flush(c), SP_OK);
    c->ops->free(c);
    s->ops->free(s);
    sp_pool_destroy(&pool);
    sp_transport_free(a);
    sp_transport_free(b);
}

static void test_a_large_body_arrives_whole_through_any_narrow_place(void **state)
{
    (void)state;
    static const enum sp_framing framings[] = {SP_FRAMING_LENGTH, SP_FRAMING_CHUNKED};
    static const size_t capacities[] = {100000, 5000, 97}, chunks[] = {0, 1, 4097}, views[] = {32768, 4096, 5000, 10};
    size_t len = 150000;
    char *data = malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)((i * 2654435761u) >> 13);
    for (size_t f = 0; f < SP_COUNTOF(framings); f++) {
        for (size_t i = 0; i < SP_COUNTOF(capacities); i++) {
            for (size_t j = 0; j < SP_COUNTOF(chunks); j++) {
                for (size_t k = 0; k < SP_COUNTOF(views); k++)
                    run_transfer(data, chunks[j] == 1 ? 20000 : len, framings[f], capacities[i], chunks[j], views[k]);
            }
        }
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_exchange_goes_through_however_the_bytes_are_cut),
        cmocka_unit_test(test_a_small_response_is_one_write_and_a_request_one_read),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_turn),
        cmocka_unit_test(test_a_body_that_nobody_read_ends_the_connection),
        cmocka_unit_test(test_close_is_said_and_meant),
        cmocka_unit_test(test_an_interim_head_leaves_room_for_the_final_one),
        cmocka_unit_test(test_framing_lines_follow_method_and_status),
        cmocka_unit_test(test_not_a_byte_more_or_less_than_announced_is_sent),
        cmocka_unit_test(test_a_head_that_would_split_is_refused_and_another_may_follow),
        cmocka_unit_test(test_a_response_follows_its_interim_heads),
        cmocka_unit_test(test_endless_interim_heads_are_a_fault),
        cmocka_unit_test(test_answers_to_head_have_no_body),
        cmocka_unit_test(test_a_response_that_nobody_asked_for_makes_the_connection_useless),
        cmocka_unit_test(test_an_end_inside_a_message_is_told_from_one_between),
        cmocka_unit_test(test_a_limit_above_the_block_still_ends),
        cmocka_unit_test(test_without_a_block_the_exchange_alone_fails),
        cmocka_unit_test(test_a_large_body_arrives_whole_through_any_narrow_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
