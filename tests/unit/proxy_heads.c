/* What is changed between the head that came and the head that goes on, both ways. Heads are read by the real
 * parser, so that what is tested is what the two of them make of the same bytes. */
#include "proxy/proxy_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct sp_h1_limits LIMITS = {
    .header_bytes = 16384, .headers = SP_HEADERS_MAX, .target_bytes = 1024};

static const struct sp_slice URIS[] = {SP_SLICE("spiffe://corp/a"), SP_SLICE("spiffe://corp/b")};

/* One exchange with nothing around it but what the two functions look at. */
struct rig {
    struct sp_h1_parser parser;
    struct sp_head head, response;
    struct sp_config_upstream upstream;
    struct sp_config config;
    struct sp_snapshot snapshot;
    struct sp_view view;
    struct sp_worker worker;
    struct sp_identity id;
    struct sp_handover who;
    struct sp_session session;
    struct sp_exchange exchange;
    struct sp_diags diags;
    char text[65536]; /* of the lines that came out */
};

static int set_up(void **state)
{
    struct rig *r = SP_NEW(struct rig);

    assert_non_null(r);
    r->upstream.identity_headers = SP_IDENTITY_PLAIN;
    r->config.upstreams = &r->upstream;
    r->config.upstream_count = 1;
    r->snapshot.config = &r->config;
    r->view.snapshot = &r->snapshot;
    r->session.view = &r->view;
    r->snapshot.headers = sp_headers_new(&r->config, &r->diags);
    assert_non_null(r->snapshot.headers);
    r->id =
        (struct sp_identity){.subject = SP_SLICE("CN=a"), .uris = {URIS, 2}, .serial_hex = SP_SLICE("0f")};
    r->who.identity = &r->id;
    r->session.worker = &r->worker;
    r->session.who = &r->who;
    sp_arena_init(&r->session.arena, 0);
    r->exchange = (struct sp_exchange){.session = &r->session,
        .view = &r->view,
        .head = &r->head,
        .id = "id-1",
        .decision.rule_name = "the-rule"};
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;

    sp_headers_free(r->snapshot.headers);
    sp_arena_free(&r->session.arena);
    sp_free(r);
    return 0;
}

static void read_request(struct rig *r, const char *text)
{
    struct sp_fault fault;
    size_t used;

    sp_h1_parser_reset(&r->parser);
    if (sp_h1_parse_request(&r->parser, &LIMITS, sp_slice_of(text), &r->head, &used, &fault) != SP_OK)
        fail_msg("the parser refuses it (%s): %s", fault.detail, text);
}

static void read_response(struct rig *r, enum sp_method method, const char *text)
{
    struct sp_fault fault;
    size_t used;

    sp_h1_parser_reset(&r->parser);
    if (sp_h1_parse_response(&r->parser, &LIMITS, method, sp_slice_of(text), &r->response, &used, &fault) !=
        SP_OK)
        fail_msg("the parser refuses it (%s): %s", fault.detail, text);
}

static size_t add_lines(char *to, size_t room, const struct sp_line *lines, size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(
            to + at, room - at, "%.*s: %.*s\n", SP_FMT(lines[i].name), SP_FMT(lines[i].value));
    return at;
}

static const char *lines_of(struct rig *r, const struct sp_head_out *out)
{
    r->text[0] = '\0';
    size_t at = add_lines(r->text, sizeof(r->text), out->lines, out->line_count);
    add_lines(r->text + at, sizeof(r->text) - at, out->more, out->more_count);
    return r->text;
}

/* ---- what is refused ---- */

static void test_connection_may_not_name_what_must_stay(void **state)
{
    static const struct {
        const char *connection;
        bool passes;
    } CASES[] = {
        {"close", true},
        {"keep-alive", true},
        {"TE, close", true},
        {"X-Custom", true},
        {", ,X-Custom,,", true},
        {"", true},
        {"Host", false},
        {"close, host", false},
        {"Content-Length", false},
        {"transfer-encoding", false},
        {"X-Request-Id", false},
        {"Authorization", false},
        {"cookie", false},
        {"Expect", false},
        {"X-Client-Verify", false},
        {"close,x_client_verify", false},
        {"X.Client.Verify", false},
        {"Client-Cert", false},
        {"X-Forwarded-For ,close", false},
        {"close,\tX-Real-IP\t,TE", false},
        {"X-SSL-Client-Cert", false},
        {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", true},
        {"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", false},
    };
    struct rig *r = *state;
    char text[512];

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_fault fault = {0};
        snprintf(
            text, sizeof(text), "GET /p HTTP/1.1\r\nHost: h\r\nConnection: %s\r\n\r\n", CASES[i].connection);
        read_request(r, text);
        bool passes = sp_request_check(&r->head, &fault) == SP_OK;
        if (passes != CASES[i].passes)
            fail_msg("Connection: %s %s", CASES[i].connection, passes ? "passes" : "is refused");
        if (!passes) {
            assert_int_equal(fault.reason, SP_REFUSAL_protected_header);
            assert_int_equal(fault.status, 400);
        }
    }
}

static void test_connection_is_read_in_all_its_lines(void **state)
{
    struct rig *r = *state;
    struct sp_fault fault = {0};

    read_request(r, "GET / HTTP/1.1\r\nConnection: close\r\nHost: h\r\nConnection: x-real-ip\r\n\r\n");
    assert_int_equal(sp_request_check(&r->head, &fault), SP_FAIL);
}

static void test_the_target_must_be_one_that_can_go_on_as_it_came(void **state)
{
    static const struct {
        const char *target;
        enum sp_refusal reason;
        unsigned status;
    } CASES[] = {
        {"/", SP_REFUSAL_none, 0},
        {"/?q", SP_REFUSAL_none, 0},
        {"https://h", SP_REFUSAL_none, 0},
        {"https://h/a?b", SP_REFUSAL_none, 0},
        {"http://h/a", SP_REFUSAL_misdirected, 421},
        {"HTTP://h/a", SP_REFUSAL_misdirected, 421},
        {"https://h?q", SP_REFUSAL_bad_target, 400},
    };
    struct rig *r = *state;
    char text[256];

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_fault fault = {0};
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", CASES[i].target);
        read_request(r, text);
        bool passes = sp_request_check(&r->head, &fault) == SP_OK;
        if (passes != (CASES[i].reason == SP_REFUSAL_none))
            fail_msg("%s %s", CASES[i].target, passes ? "passes" : "is refused");
        if (!passes) {
            assert_int_equal(fault.reason, CASES[i].reason);
            assert_int_equal(fault.status, CASES[i].status);
        }
    }
}

/* ---- the request that goes on ---- */

static void send_on(struct rig *r, struct sp_head_out *out)
{
    struct sp_err err = {0};
    assert_int_equal(sp_request_head_out(&r->exchange, out, &err), SP_OK);
}

static void test_only_end_to_end_fields_go_on_and_our_own_come_last(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    read_request(r, "GET /a/b?c=d HTTP/1.1\r\n"
                    "Host: api\r\n"
                    "Accept: x\r\n"
                    "Connection: close, X-Hop , te\r\n"
                    "x-hop: 1\r\n"
                    "Keep-Alive: timeout=5\r\n"
                    "Proxy-Connection: keep-alive\r\n"
                    "Proxy-Authorization: Basic eDp5\r\n"
                    "TE: trailers\r\n"
                    "Trailer: X-T\r\n"
                    "Upgrade: websocket\r\n"
                    "HTTP2-Settings: AAMAAABk\r\n"
                    "Early-Data: 1\r\n"
                    "X-Request-Id: theirs\r\n"
                    "X-Client-Verify: SUCCESS\r\n"
                    "X-Client-Rule: admin\r\n"
                    "Client-Cert: :AAAA:\r\n"
                    "X-Forwarded-For: 1.2.3.4\r\n"
                    "X-Real-IP: 1.2.3.4\r\n"
                    "Forwarded: for=1.2.3.4\r\n"
                    "X-Hopper: stays\r\n"
                    "Cookie: c\r\n"
                    "\r\n");
    send_on(r, &out);
    assert_string_equal(lines_of(r, &out), "Host: api\n"
                                           "Accept: x\n"
                                           "X-Hopper: stays\n"
                                           "Cookie: c\n"
                                           "X-Request-Id: id-1\n"
                                           "X-Client-Rule: the-rule\n"
                                           "X-Client-Verify: SUCCESS\n"
                                           "X-Client-Subject: CN=a\n"
                                           "X-Client-Serial: 0f\n"
                                           "X-Client-SAN-URI: spiffe://corp/a\n"
                                           "X-Client-SAN-URI: spiffe://corp/b\n"
                                           "X-Client-Not-After: 1970-01-01T00:00:00Z\n");
    assert_int_equal(out.target.len, strlen("/a/b?c=d"));
    assert_ptr_equal(out.target.ptr, r->head.path.ptr);
    assert_int_equal(out.framing, SP_FRAMING_NONE);
    assert_false(out.announce_length);
    assert_false(out.expect_continue);
}

static void test_an_anonymous_caller_is_said_to_be_none_and_says_nothing_itself(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    r->who.identity = NULL;
    r->upstream.identity_headers = SP_IDENTITY_PLAIN | SP_IDENTITY_RFC9440;
    read_request(
        r, "GET / HTTP/1.1\r\nHost: h\r\nX-Client-Subject: CN=root\r\nClient-Cert-Chain: :AA==:\r\n\r\n");
    send_on(r, &out);
    assert_string_equal(
        lines_of(r, &out), "Host: h\nX-Request-Id: id-1\nX-Client-Rule: the-rule\nX-Client-Verify: NONE\n");
}

static void test_an_upstream_without_identity_headers_gets_none_not_even_the_clients(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    r->upstream.identity_headers = 0;
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\nX-Client-Subject: CN=root\r\n\r\n");
    send_on(r, &out);
    assert_string_equal(lines_of(r, &out), "Host: h\nX-Request-Id: id-1\n");
}

static void test_a_request_keeps_its_framing_and_its_expectation(void **state)
{
    static const struct {
        const char *fields;
        enum sp_framing framing;
        uint64_t length;
        bool announced, expects;
    } CASES[] = {
        {"", SP_FRAMING_NONE, 0, false, false},
        {"Content-Length: 0\r\n", SP_FRAMING_LENGTH, 0, true, false},
        {"Content-Length: 5\r\n", SP_FRAMING_LENGTH, 5, true, false},
        {"Content-Length: 5\r\nExpect: 100-continue\r\n", SP_FRAMING_LENGTH, 5, true, true},
        {"Transfer-Encoding: chunked\r\n", SP_FRAMING_CHUNKED, 0, false, false},
    };
    struct rig *r = *state;
    char text[256];

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_head_out out;
        snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n", CASES[i].fields);
        read_request(r, text);
        send_on(r, &out);
        assert_null(strstr(lines_of(r, &out), "Content-Length"));
        assert_null(strstr(r->text, "Transfer-Encoding"));
        assert_null(strstr(r->text, "Expect"));
        assert_int_equal(out.framing, CASES[i].framing);
        if (out.framing == SP_FRAMING_LENGTH)
            assert_int_equal(out.content_length, CASES[i].length);
        assert_int_equal(out.announce_length, CASES[i].announced);
        assert_int_equal(out.expect_continue, CASES[i].expects);
    }
}

static void test_as_many_fields_as_a_head_may_have_leave_room_for_ours(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;
    char text[8192];
    size_t at = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n");

    for (int i = 1; i < SP_HEADERS_MAX; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "X-N: %d\r\n", i);
    snprintf(text + at, sizeof(text) - at, "\r\n");
    read_request(r, text);
    send_on(r, &out);
    assert_int_equal(out.line_count, SP_HEADERS_MAX + 2);
}

/* ---- the answer that goes back ---- */

static void test_an_answer_loses_what_was_meant_for_this_hop(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    read_response(r, SP_METHOD_GET,
        "HTTP/1.1 200 Fine\r\n"
        "Server: s\r\n"
        "Connection: keep-alive, X-Hop\r\n"
        "Connection: X-Other\r\n"
        "X-Hop: 1\r\n"
        "x-other: 1\r\n"
        "X-Hopper: stays\r\n"
        "Keep-Alive: timeout=5\r\n"
        "Upgrade: h2c\r\n"
        "Trailer: T\r\n"
        "Proxy-Authenticate: Basic\r\n"
        "Content-Length: 3\r\n"
        "Set-Cookie: a\r\n"
        "Set-Cookie: b\r\n"
        "Date: its own\r\n"
        "\r\n");
    sp_response_head_out(&r->exchange, &r->response, &out);
    assert_string_equal(
        lines_of(r, &out), "Server: s\nX-Hopper: stays\nSet-Cookie: a\nSet-Cookie: b\nDate: its own\n");
    assert_int_equal(out.status, 200);
    assert_true(sp_slice_equal(out.reason, SP_SLICE("Fine")));
    assert_int_equal(out.framing, SP_FRAMING_LENGTH);
    assert_int_equal(out.content_length, 3);
    assert_false(out.close);
}

static void test_an_answer_that_varies_by_identity_varies_by_everything(void **state)
{
    static const struct {
        const char *vary, *becomes;
    } CASES[] = {
        {"Accept", "Accept"},
        {"Accept-Encoding, Accept", "Accept-Encoding, Accept"},
        {"*", "*"},
        {"Client-Cert", "*"},
        {"Accept, client-cert-chain", "*"},
        {"Accept ,\tX-Client-Subject\t, Origin", "*"},
        {"X_Client_Subject", "*"},
        {",,X-SSL-Client-S-DN", "*"},
        {"X-Client-Id", "X-Client-Id"},
    };
    struct rig *r = *state;
    char text[256], expected[256];

    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_head_out out;
        snprintf(text, sizeof(text), "HTTP/1.1 204 No\r\nVary: %s\r\nDate: d\r\n\r\n", CASES[i].vary);
        snprintf(expected, sizeof(expected), "Vary: %s\nDate: d\n", CASES[i].becomes);
        read_response(r, SP_METHOD_GET, text);
        sp_response_head_out(&r->exchange, &r->response, &out);
        assert_string_equal(lines_of(r, &out), expected);
    }
}

static void test_an_answer_is_framed_so_that_this_client_sees_its_end(void **state)
{
    static const struct {
        unsigned minor;
        enum sp_method method;
        const char *response;
        enum sp_framing framing;
        bool announced, close;
    } CASES[] = {
        {1, SP_METHOD_GET, "200 OK\r\nContent-Length: 7\r\n", SP_FRAMING_LENGTH, true, false},
        {0, SP_METHOD_GET, "200 OK\r\nContent-Length: 7\r\n", SP_FRAMING_LENGTH, true, false},
        {1, SP_METHOD_GET, "200 OK\r\nTransfer-Encoding: chunked\r\n", SP_FRAMING_CHUNKED, false, false},
        {0, SP_METHOD_GET, "200 OK\r\nTransfer-Encoding: chunked\r\n", SP_FRAMING_CLOSE, false, true},
        {1, SP_METHOD_GET, "200 OK\r\n", SP_FRAMING_CHUNKED, false, false},
        {0, SP_METHOD_GET, "200 OK\r\n", SP_FRAMING_CLOSE, false, true},
        {1, SP_METHOD_HEAD, "200 OK\r\nContent-Length: 7\r\n", SP_FRAMING_NONE, true, false},
        {0, SP_METHOD_HEAD, "200 OK\r\n", SP_FRAMING_NONE, false, false},
        {1, SP_METHOD_GET, "204 No Content\r\n", SP_FRAMING_NONE, false, false},
        {1, SP_METHOD_GET, "304 Not Modified\r\nContent-Length: 7\r\n", SP_FRAMING_NONE, true, false},
    };
    struct rig *r = *state;
    char text[256];

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_head_out out;
        r->exchange.close = false;
        r->head.minor = CASES[i].minor;
        snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n", CASES[i].response);
        read_response(r, CASES[i].method, text);
        sp_response_head_out(&r->exchange, &r->response, &out);
        if (out.framing != CASES[i].framing || out.announce_length != CASES[i].announced ||
            out.close != CASES[i].close || r->exchange.close != CASES[i].close)
            fail_msg("HTTP/1.%u, %s: framing %d, announced %d, close %d", CASES[i].minor, CASES[i].response,
                (int)out.framing, out.announce_length, out.close);
    }
}

static void test_an_answer_without_a_date_gets_one(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    read_response(r, SP_METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
    sp_response_head_out(&r->exchange, &r->response, &out);
    assert_int_equal(out.line_count, 1);
    assert_true(sp_slice_equal(out.lines[0].name, SP_SLICE("Date")));
    assert_int_equal(out.lines[0].value.len, strlen("Sun, 22 Nov 2026 09:25:00 GMT"));
}

static void test_an_exchange_that_is_the_last_says_so(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    r->head.minor = 1;
    r->exchange.close = true;
    read_response(r, SP_METHOD_GET, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
    sp_response_head_out(&r->exchange, &r->response, &out);
    assert_true(out.close);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_connection_may_not_name_what_must_stay),
        TEST(test_connection_is_read_in_all_its_lines),
        TEST(test_the_target_must_be_one_that_can_go_on_as_it_came),
        TEST(test_only_end_to_end_fields_go_on_and_our_own_come_last),
        TEST(test_an_anonymous_caller_is_said_to_be_none_and_says_nothing_itself),
        TEST(test_an_upstream_without_identity_headers_gets_none_not_even_the_clients),
        TEST(test_a_request_keeps_its_framing_and_its_expectation),
        TEST(test_as_many_fields_as_a_head_may_have_leave_room_for_ours),
        TEST(test_an_answer_loses_what_was_meant_for_this_hop),
        TEST(test_an_answer_that_varies_by_identity_varies_by_everything),
        TEST(test_an_answer_is_framed_so_that_this_client_sees_its_end),
        TEST(test_an_answer_without_a_date_gets_one),
        TEST(test_an_exchange_that_is_the_last_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
