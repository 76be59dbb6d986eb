/* What is changed between the head that a backend answers and the one that the client gets. */
#include "proxy_heads_fixture.h"

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
    assert_string_equal(lines_of(r, &out),
        "Server: s\nX-Hopper: stays\nSet-Cookie: a\nSet-Cookie: b\nDate: its own\nX-Request-Id: id-1\n");
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
        {"Accept", "Accept"}, {"Accept-Encoding, Accept", "Accept-Encoding, Accept"}, {"*", "*"},
        {"Client-Cert", "*"}, {"Accept, client-cert-chain", "*"},
        {"Accept ,\tX-Client-Subject\t, Origin", "*"}, {"X_Client_Subject", "*"},
        {",,X-SSL-Client-S-DN", "*"}, {"X-Client-Id", "X-Client-Id"},
        {"Origin, x-team", "*"}, /* which we say ourselves */
    };
    struct rig *r = *state;
    char text[256], expected[256];

    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_head_out out;
        snprintf(text, sizeof(text), "HTTP/1.1 204 No\r\nVary: %s\r\nDate: d\r\n\r\n", CASES[i].vary);
        snprintf(expected, sizeof(expected), "Vary: %s\nDate: d\nX-Request-Id: id-1\n", CASES[i].becomes);
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
    assert_int_equal(out.line_count, 2); /* the other is X-Request-Id */
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
        TEST(test_an_answer_loses_what_was_meant_for_this_hop),
        TEST(test_an_answer_that_varies_by_identity_varies_by_everything),
        TEST(test_an_answer_is_framed_so_that_this_client_sees_its_end),
        TEST(test_an_answer_without_a_date_gets_one),
        TEST(test_an_exchange_that_is_the_last_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
