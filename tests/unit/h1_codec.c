/* The HTTP/1.1 codec on the server's side: exchanges, what is written for them, and what is refused to be
 * written. */
#include "h1_rig.h"

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
        head.more_bytes = i % 2 == 0 ? sp_lines_measure(more, 1) : 0;
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
        peer_puts(r,
            S("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
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

    static const char *const wanting[] = {
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"};
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
    const struct sp_head_out interim = head_of(100, SP_FRAMING_NONE, 0),
                             final = head_of(204, SP_FRAMING_LENGTH, 7);
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
        {"GET", {.status = 200, .framing = SP_FRAMING_CHUNKED},
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"GET", {.status = 200, .framing = SP_FRAMING_CLOSE}, "HTTP/1.1 200 \r\nConnection: close\r\n\r\n"},
        {"GET", {.status = 200, .framing = SP_FRAMING_NONE, .announce_length = true, .content_length = 3},
            NULL},
        {"GET", {.status = 304, .framing = SP_FRAMING_NONE}, "HTTP/1.1 304 \r\n\r\n"},
        {"GET", {.status = 304, .framing = SP_FRAMING_NONE, .announce_length = true, .content_length = 3},
            "HTTP/1.1 304 \r\nContent-Length: 3\r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_NONE, .announce_length = true, .content_length = 3},
            "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_LENGTH, .content_length = 18446744073709551615u},
            "HTTP/1.1 200 \r\nContent-Length: 18446744073709551615\r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_NONE}, "HTTP/1.1 200 \r\n\r\n"},
        {"HEAD", {.status = 200, .framing = SP_FRAMING_CHUNKED},
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"},
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
    peer_got(
        r, "POST /a?b HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
    rig_free(r);
}

static void test_not_a_byte_more_or_less_than_announced_is_sent(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    struct sp_head_out post = {
        .method = S("POST"), .target = S("/"), .framing = SP_FRAMING_LENGTH, .content_length = 5};
    size_t taken;
    assert_int_equal(r->s->ops->send_head(r->s, &post), SP_OK);
    assert_int_equal(r->s->ops->send_body(r->s, S("abc"), &taken), SP_OK);
    assert_int_equal(r->s->ops->send_body(r->s, S("def"), &taken), SP_FAIL);
    assert_int_equal(r->s->ops->flush(r->s), SP_FAIL);
    rig_free(r);

    r = rig_new(SP_CLIENT, 4096, 0);
    assert_int_equal(r->s->ops->send_head(r->s, &post), SP_OK);
    assert_int_equal(r->s->ops->send_body(r->s, S("abcd"), &taken), SP_OK);
    assert_int_equal(r->s->ops->send_end(r->s, NULL, 0), SP_FAIL);
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
    static const struct sp_line bad[] = {{{"X", 1}, {"a\r\nY: b", 7}}, {{"X", 1}, {"a\nb", 3}},
        {{"X", 1}, {"a\0b", 3}}, {{"X", 1}, {"\x7f", 1}}, {{"X Y", 3}, {"a", 1}}, {{"X:", 2}, {"a", 1}},
        {{"", 0}, {"a", 1}}, {{"X\r\n", 3}, {"a", 1}}, {{"\xc3\xa9", 2}, {"a", 1}},
        {{"content-length", 14}, {"5", 1}}, {{"TRANSFER-ENCODING", 17}, {"chunked", 7}},
        {{"Connection", 10}, {"close", 5}}, {{"X", 1}, {huge, sizeof(huge)}},
        {{"X", 1}, {huge, sizeof(huge) - 64}}};
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
        head.more_bytes = sp_lines_measure(head.more, 1);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
