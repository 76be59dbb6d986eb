/* The HTTP/1.1 codec where a message ends in trailers, and where a connection changes its protocol. */
#include "h1_rig.h"

#define CHUNKED_POST "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
#define ASK_UPGRADE  "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
#define SWITCH       "HTTP/1.1 101 Switching Protocols\r\nX: y\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"

/* ---- trailers ---- */

static void trailers_are(struct rig *r, const char *want)
{
    const struct sp_header *items;
    char got[512] = "";
    size_t count = r->s->ops->trailers(r->s, &items), len = 0;
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(
            got + len, sizeof(got) - len, "%.*s=%.*s;", SP_FMT(items[i].name), SP_FMT(items[i].value));
    assert_string_equal(got, want);
}

static void test_trailers_are_told_at_the_end_however_the_bytes_are_cut(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 2, 3, 5, 64};
    for (size_t i = 0; i < SP_COUNTOF(chunks); i++) {
        struct rig *r = rig_new(SP_SERVER, 4096, chunks[i]);
        const struct sp_head_out head = head_of(200, SP_FRAMING_NONE, 0);
        peer_puts(r, S(CHUNKED_POST "X-Sum: 12\r\nHost: evil\r\nY:\r\n\r\n" CHUNKED_POST "\r\n" GET));
        const struct sp_head *in = must_head(r);
        trailers_are(r, ""); /* not known yet */
        body_is(r, "abc");
        trailers_are(r, "X-Sum=12;Y=;");
        assert_true(sp_slice_equal(in->host, S("a"))); /* the head is where it was */
        trailers_are(r, "X-Sum=12;Y=;");
        respond(r, &head, S(""));
        assert_true(r->s->ops->next(r->s));
        must_head(r);
        body_is(r, "abc");
        trailers_are(r, "");
        respond(r, &head, S(""));
        assert_true(r->s->ops->next(r->s));
        must_head(r);
        body_is(r, "");
        trailers_are(r, "");
        rig_free(r);
    }
}

static void test_trailers_are_those_of_the_message_at_hand(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    const struct sp_head_out ask = get("GET");
    respond(r, &ask, S(""));
    peer_puts(r, S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"));
    must_head(r);
    body_is(r, "ok");
    trailers_are(r, "X=y;");
    assert_true(r->s->ops->next(r->s));
    respond(r, &ask, S(""));
    peer_puts(r, S("HTTP/1.1 200 OK\r\n\r\nuntil the end"));
    assert_int_equal(sp_transport_shutdown(r->peer), SP_OK);
    must_head(r);
    body_is(r, "until the end");
    trailers_are(r, "");
    rig_free(r);
}

/* The section must fit behind the largest head, also when the body before it has filled the block. */
static void test_the_most_trailers_fit_behind_the_largest_head(void **state)
{
    (void)state;
    static char in[SP_IO_BLOCK * 3];
    for (int over = 0; over <= 1; over++) {
        struct rig *r = rig_new(SP_SERVER, sizeof(in), 0);
        const struct sp_h1_limits wide = {.header_bytes = 1 << 20, .headers = 10, .target_bytes = 100};
        r->s->ops->free(r->s);
        r->s = sp_h1_new(SP_SERVER, &r->tap, &r->pool, &wide);
        size_t head = SP_IO_BLOCK - SP_TRAILER_BYTES_MAX, len;
        memset(in, 'a', sizeof(in));
        len = (size_t)snprintf(in, 100, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: ");
        in[len] = 'a';
        memcpy(in + head - 4, "\r\n\r\n", 4);
        len = head + (size_t)snprintf(in + head, 100, "1f40\r\n");
        in[len] = 'a';
        len += 8000;
        len += (size_t)snprintf(in + len, 100, "\r\n0\r\nT: ");
        in[len] = 'a';
        len += SP_TRAILER_BYTES_MAX - 3 - 4 + (size_t)over;
        memcpy(in + len, "\r\n\r\n" GET, 4 + sizeof(GET) - 1);
        len += 4 + sizeof(GET) - 1;
        peer_puts(r, (struct sp_slice){in, len});
        must_head(r);
        char out[9000];
        size_t out_len = 0;
        struct sp_fault fault = {0};
        enum sp_rc rc = read_body(r, out, &out_len, 0, &fault);
        assert_int_equal(out_len, 8000);
        assert_int_equal(rc, over ? SP_FAIL : SP_EOF);
        const struct sp_header *items;
        if (over)
            assert_int_equal(fault.reason, SP_REFUSAL_bad_chunk);
        else
            assert_int_equal(r->s->ops->trailers(r->s, &items), 1);
        rig_free(r);
    }
}

static void test_trailers_are_written_behind_chunks_alone(void **state)
{
    (void)state;
    const struct sp_line lines[] = {{S("X-Sum"), S("12")}, {S("Y"), S("")}};
    static const struct {
        enum sp_framing framing;
        const char *want;
    } cases[] = {
        {SP_FRAMING_CHUNKED,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 12\r\nY: \r\n\r\n"},
        {SP_FRAMING_LENGTH, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct rig *r = rig_new(SP_SERVER, 4096, 0);
        const struct sp_head_out head = head_of(200, cases[i].framing, 2);
        size_t taken;
        peer_puts(r, S(GET));
        must_head(r);
        body_is(r, "");
        assert_int_equal(r->s->ops->send_head(r->s, &head), SP_OK);
        assert_int_equal(r->s->ops->send_body(r->s, S("ok"), &taken), SP_OK);
        assert_int_equal(r->s->ops->send_end(r->s, lines, 2), SP_OK);
        assert_int_equal(r->s->ops->flush(r->s), SP_OK);
        assert_int_equal(r->writes, 1);
        peer_got(r, cases[i].want);
        assert_true(r->s->ops->next(r->s));
        rig_free(r);
    }
}

static void test_trailers_wait_for_room(void **state)
{
    (void)state;
    static char value[SP_TRAILER_BYTES_MAX], body[SP_IO_BLOCK];
    struct rig *r = rig_new(SP_CLIENT, 100, 0);
    struct sp_head_out post = {.method = S("POST"), .target = S("/"), .framing = SP_FRAMING_CHUNKED};
    memset(value, 'v', sizeof(value));
    memset(body, 'b', sizeof(body));
    const struct sp_line line = {S("T"), {value, sizeof(value)}};
    size_t taken, sent = 0;
    assert_int_equal(r->s->ops->send_head(r->s, &post), SP_OK);
    while (sent < 28000) { /* into the block: the socket takes next to nothing */
        assert_int_equal(r->s->ops->send_body(r->s, (struct sp_slice){body, 1000}, &taken), SP_OK);
        sent += taken;
    }
    enum sp_rc rc;
    unsigned again = 0;
    while ((rc = r->s->ops->send_end(r->s, &line, 1)) == SP_AGAIN) {
        again++;
        assert_true(peer_reads(r));
        assert_true(again < 1000);
    }
    assert_int_equal(rc, SP_OK);
    assert_true(again > 10);
    while (r->s->ops->flush(r->s) == SP_AGAIN)
        assert_true(peer_reads(r));
    peer_reads(r);
    assert_true(r->got_len > sizeof(value) + sent);
    assert_memory_equal(r->got + r->got_len - 8, "vvvv\r\n\r\n", 8);
    rig_free(r);
}

static void test_trailers_that_would_split_are_refused(void **state)
{
    (void)state;
    static const struct sp_line bad[] = {{{"X", 1}, {"a\r\nY: b", 7}}, {{"X", 1}, {"a\0b", 3}},
        {{"X Y", 3}, {"a", 1}}, {{"", 0}, {"a", 1}}, {{"content-length", 14}, {"5", 1}},
        {{"Transfer-Encoding", 17}, {"chunked", 7}}};
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct rig *r = rig_new(SP_SERVER, 4096, 0);
        const struct sp_head_out head = head_of(200, SP_FRAMING_CHUNKED, 0);
        peer_puts(r, S(GET));
        must_head(r);
        body_is(r, "");
        assert_int_equal(r->s->ops->send_head(r->s, &head), SP_OK);
        assert_int_equal(r->s->ops->send_end(r->s, &bad[i], 1), SP_FAIL);
        assert_int_equal(r->s->ops->flush(r->s), SP_FAIL);
        rig_free(r);
    }
}

/* ---- a change of protocol ---- */

static void test_a_client_stream_changes_its_protocol_when_it_asked_to(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 7};
    for (size_t i = 0; i < SP_COUNTOF(chunks); i++) {
        struct rig *r = rig_new(SP_CLIENT, 4096, chunks[i]);
        struct sp_head_out ask = get("GET");
        ask.upgrade = S("echo");
        const struct sp_head_out plain = get("GET");
        respond(r, &plain, S(""));
        peer_got(r, "GET /x HTTP/1.1\r\n\r\n");
        peer_puts(r, S("HTTP/1.1 204 No Content\r\n\r\n"));
        must_head(r);
        body_is(r, "");
        assert_true(r->s->ops->next(r->s));
        ask.te_trailers = ask.close = i == 0;
        respond(r, &ask, S(""));
        peer_got(r,
            i == 0
                ? "GET /x HTTP/1.1\r\nUpgrade: echo\r\nTE: trailers\r\nConnection: close, upgrade, TE\r\n\r\n"
                : "GET /x HTTP/1.1\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n");
        peer_puts(r, S("HTTP/1.1 103 Early Hints\r\n\r\n" SWITCH "first"));
        assert_int_equal(must_head(r)->status, 103);
        const struct sp_head *in = must_head(r);
        assert_int_equal(in->status, 101);
        assert_true(sp_slice_equal(in->upgrade, S("echo")));
        struct sp_slice rest = sp_h1_rest(r->s);
        assert_true(rest.len <= 5 && (chunks[i] > 0 || rest.len == 5));
        assert_memory_equal(rest.len > 0 ? rest.ptr : "", "first", rest.len);
        if (rest.len > 1) {
            sp_h1_drop_rest(r->s, rest.len - 1);
            assert_int_equal(sp_h1_rest(r->s).len, 1);
        }
        sp_h1_drop_rest(r->s, sp_h1_rest(r->s).len);
        assert_int_equal(sp_h1_rest(r->s).len, 0);
        assert_int_equal(r->pool.taken, 0);
        assert_false(r->s->ops->next(r->s));
        rig_free(r);
    }
}

static void test_a_change_that_was_not_asked_for_is_a_fault(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool asked, has_body;
        const char *in;
    } cases[] = {
        {"not asked", false, false, SWITCH},
        {"not asked, behind others", false, false, "HTTP/1.1 100 Continue\r\n\r\n" SWITCH},
        {"no Upgrade", true, false, "HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n"},
        {"Connection does not say", true, false, "HTTP/1.1 101 X\r\nUpgrade: echo\r\n\r\n"},
        {"two of them", true, false,
            "HTTP/1.1 101 X\r\nUpgrade: echo\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"},
        {"by HTTP/1.0", true, false, "HTTP/1.0 101 X\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"},
        {"before the request is complete", true, true, SWITCH},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct rig *r = rig_new(SP_CLIENT, 4096, 0);
        struct sp_head_out ask = get("POST");
        const struct sp_head *head;
        struct sp_fault fault = {0};
        enum sp_rc rc;
        if (cases[i].asked)
            ask.upgrade = S("echo");
        if (cases[i].has_body)
            ask.framing = SP_FRAMING_CHUNKED;
        assert_int_equal(r->s->ops->send_head(r->s, &ask), SP_OK);
        if (!cases[i].has_body)
            assert_int_equal(r->s->ops->send_end(r->s, NULL, 0), SP_OK);
        assert_int_equal(r->s->ops->flush(r->s), SP_OK);
        peer_puts(r, sp_slice_of(cases[i].in));
        do
            rc = r->s->ops->recv_head(r->s, &head, &fault);
        while (rc == SP_OK && head->status == 100);
        if (rc != SP_FAIL || fault.reason != SP_REFUSAL_bad_upgrade || fault.status != 502)
            fail_msg("%s: rc %d %s", cases[i].name, rc, sp_refusal_name(fault.reason));
        assert_false(r->s->ops->next(r->s));
        rig_free(r);
    }
}

static void test_a_server_stream_changes_its_protocol_with_a_101(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_SERVER, 4096, 0);
    struct sp_head_out change = head_of(101, SP_FRAMING_NONE, 0);
    const struct sp_line line = {S("X"), S("y")};
    size_t taken;
    change.lines = &line;
    change.line_count = 1;
    peer_puts(r, S(ASK_UPGRADE "early"));
    assert_true(sp_slice_equal(must_head(r)->upgrade, S("echo")));
    body_is(r, "");
    assert_int_equal(r->s->ops->send_head(r->s, &change), SP_FAIL); /* to what? */
    change.upgrade = S("echo");
    change.status = 200;
    assert_int_equal(r->s->ops->send_head(r->s, &change), SP_FAIL);
    change.status = 101;
    change.reason = S("Switching Protocols");
    assert_int_equal(r->s->ops->send_head(r->s, &change), SP_OK);
    assert_int_equal(r->s->ops->flush(r->s), SP_OK);
    peer_got(r, SWITCH);
    const struct sp_head_out another = head_of(200, SP_FRAMING_NONE, 0);
    assert_int_equal(r->s->ops->send_head(r->s, &another), SP_FAIL);
    assert_int_equal(r->s->ops->send_body(r->s, S("x"), &taken), SP_FAIL); /* it is not HTTP any more */
    assert_int_equal(r->s->ops->flush(r->s), SP_FAIL);
    assert_true(sp_slice_equal(sp_h1_rest(r->s), S("early")));
    sp_h1_drop_rest(r->s, 5);
    assert_int_equal(sp_h1_rest(r->s).len, 0);
    assert_false(r->s->ops->next(r->s));
    rig_free(r);
}

static void test_after_an_ordinary_answer_to_an_upgrade_the_connection_goes_on(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    struct sp_head_out ask = get("GET");
    ask.upgrade = S("echo");
    respond(r, &ask, S(""));
    peer_puts(r, S("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    assert_int_equal(must_head(r)->status, 200);
    body_is(r, "ok");
    assert_true(r->s->ops->next(r->s));
    const struct sp_head_out plain = get("GET");
    respond(r, &plain, S(""));
    peer_puts(r, S(SWITCH));
    head_fails(r, SP_REFUSAL_bad_upgrade, 502); /* that was the request before */
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trailers_are_told_at_the_end_however_the_bytes_are_cut),
        cmocka_unit_test(test_trailers_are_those_of_the_message_at_hand),
        cmocka_unit_test(test_the_most_trailers_fit_behind_the_largest_head),
        cmocka_unit_test(test_trailers_are_written_behind_chunks_alone),
        cmocka_unit_test(test_trailers_wait_for_room),
        cmocka_unit_test(test_trailers_that_would_split_are_refused),
        cmocka_unit_test(test_a_client_stream_changes_its_protocol_when_it_asked_to),
        cmocka_unit_test(test_a_change_that_was_not_asked_for_is_a_fault),
        cmocka_unit_test(test_a_server_stream_changes_its_protocol_with_a_101),
        cmocka_unit_test(test_after_an_ordinary_answer_to_an_upgrade_the_connection_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
