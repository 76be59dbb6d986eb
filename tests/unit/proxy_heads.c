/* What is changed between the head of a request that came and the one that goes on. Heads are read by the real parser, so that
 * what is tested is what the two of them make of the same bytes. */
#include "proxy_heads_fixture.h"

#include <errno.h>

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
        {"X-Team", false}, /* we say it */
        {"x.team", false},
        {"X-Teams", true},
        {"X-Tenant", false}, /* a rule looks at it */
        {"close, x-tenant", false},
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
        bool passes = check(r, &fault) == SP_OK;
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
    assert_int_equal(check(r, &fault), SP_FAIL);
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
        bool passes = check(r, &fault) == SP_OK;
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
                    "X-Team: theirs\r\n"
                    "x-TEAM: theirs\r\n"
                    "X-Tenant: stays\r\n"
                    "X-Hopper: stays\r\n"
                    "Cookie: c\r\n"
                    "\r\n");
    send_on(r, &out);
    assert_string_equal(lines_of(r, &out), "Host: api\n"
                                           "Accept: x\n"
                                           "X-Tenant: stays\n"
                                           "X-Hopper: stays\n"
                                           "Cookie: c\n"
                                           "X-Request-Id: id-1\n"
                                           "X-Client-Rule: the-rule\n"
                                           "X-Client-Verify: SUCCESS\n"
                                           "X-Client-Subject: CN=a\n"
                                           "X-Client-Serial: 0f\n"
                                           "X-Client-SAN-URI: spiffe://corp/a\n"
                                           "X-Client-SAN-URI: spiffe://corp/b\n"
                                           "X-Client-Cert-SHA256: abcd\n"
                                           "X-Team: fixed\n");
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
    configure(r, "identity_headers: [plain, rfc9440]", "");
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

    configure(r, "identity_headers: []", "");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\nX-Client-Subject: CN=root\r\n\r\n");
    send_on(r, &out);
    assert_string_equal(lines_of(r, &out), "Host: h\nX-Request-Id: id-1\n");
}

#define PROXY(what) "trusted_proxies: [{from: [c], " what "}]\n"

static void test_a_trusted_proxy_speaks_for_its_clients_and_everything_else_of_it_is_stripped(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    configure(r, "identity_headers: [plain, rfc9440], headers: {X-Who: \"{caller}\"}",
        PROXY("identity_headers: [plain]"));
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n"
                    "X-Client-Subject: CN=theirs\r\n"
                    "x-client-san-uri: a\r\n"
                    "X-Client-SAN-URI: b\r\n"
                    "X-Client-Rule: admin\r\n"
                    "X-Client-Subject-DN: CN=root\r\n"
                    "Client-Cert: :AA==:\r\n"
                    "X-Forwarded-Client-Cert: Hash=0\r\n"
                    "X-Forwarded-For: 1.2.3.4\r\n"
                    "X-Who: root\r\n\r\n");
    send_on(r, &out);
    assert_string_equal(lines_of(r, &out), "Host: h\n"
                                           "X-Client-Subject: CN=theirs\n"
                                           "x-client-san-uri: a\n"
                                           "X-Client-SAN-URI: b\n"
                                           "X-Request-Id: id-1\n"
                                           "X-Client-Rule: the-rule\n"
                                           "X-Who: c\n"
                                           "Client-Cert: :BB==:\n");
}

static void test_what_becomes_of_the_element_of_a_trusted_proxy_is_its_mode(void **state)
{
#define THEIRS "x-forwarded-client-cert: By=x;Hash=0\r\n"
#define OURS   "Hash=abcd;Subject=\"CN=a\";URI=spiffe://corp/a;URI=spiffe://corp/b\n"
    static const struct {
        const char *proxy, *theirs, *expected;
    } CASES[] = {
        {"", THEIRS, "X-Request-Id: id-1\nX-Forwarded-Client-Cert: " OURS},
        {PROXY("identity_headers: [plain]"), THEIRS, "X-Request-Id: id-1\nX-Forwarded-Client-Cert: " OURS},
        {PROXY("xfcc: forward_only"), THEIRS, "x-forwarded-client-cert: By=x;Hash=0\nX-Request-Id: id-1\n"},
        {PROXY("xfcc: forward_only"), "", "X-Request-Id: id-1\n"},
        {PROXY("xfcc: append_forward"), THEIRS,
            "x-forwarded-client-cert: By=x;Hash=0," OURS "X-Request-Id: id-1\n"},
        {PROXY("xfcc: append_forward"), "", "X-Forwarded-Client-Cert: " OURS "X-Request-Id: id-1\n"},
        {PROXY("xfcc: append_forward"), "X-Forwarded-Client-Cert: \r\n",
            "X-Forwarded-Client-Cert: " OURS "X-Request-Id: id-1\n"},
    };
    struct rig *r = *state;
    char text[512];

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_head_out out;
        configure(r, "identity_headers: [xfcc]", CASES[i].proxy);
        for (int again = 0; again < 2; again++) {
            snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", CASES[i].theirs);
            read_request(r, text);
            send_on(r, &out);
            assert_memory_equal(lines_of(r, &out), "Host: h\n", 8);
            assert_string_equal(r->text + 8, CASES[i].expected);
        }
    }
}

static void test_two_elements_that_no_head_can_hold_are_too_large(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;
    struct sp_err err = {0};
    char *cert = malloc(21846), text[16384];

    configure(r, "identity_headers: [xfcc], xfcc_details: [cert]", PROXY("xfcc: append_forward"));
    memset(cert, 'A', 21846);
    cert[0] = cert[21845] = ':';
    r->id.client_cert = (struct sp_slice){cert, 21846};
    snprintf(
        text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Client-Cert: Cert=%012000d\r\n\r\n", 0);
    read_request(r, text);
    assert_int_equal(sp_request_head_out(&r->exchange, &out, &err), SP_FAIL);
    assert_int_equal(err.sys, EMSGSIZE);
    /* without theirs it fits */
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    send_on(r, &out);
    free(cert);
}

static void test_what_cannot_be_told_is_refused_each_time_for_the_same_reason(void **state)
{
    static const struct sp_slice URI[] = {SP_SLICE("urn:\"")};
    struct rig *r = *state;

    configure(r, "identity_headers: [xfcc]", "");
    r->id.uris = (struct sp_slices){URI, 1};
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        struct sp_head_out out;
        struct sp_err err = {0};
        assert_int_equal(sp_request_head_out(&r->exchange, &out, &err), SP_FAIL);
        assert_int_equal(err.sys, 0);
        assert_non_null(strstr(err.text, "X-Forwarded-Client-Cert"));
    }
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
        TEST(test_a_trusted_proxy_speaks_for_its_clients_and_everything_else_of_it_is_stripped),
        TEST(test_what_becomes_of_the_element_of_a_trusted_proxy_is_its_mode),
        TEST(test_two_elements_that_no_head_can_hold_are_too_large),
        TEST(test_what_cannot_be_told_is_refused_each_time_for_the_same_reason),
        TEST(test_a_request_keeps_its_framing_and_its_expectation),
        TEST(test_as_many_fields_as_a_head_may_have_leave_room_for_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
