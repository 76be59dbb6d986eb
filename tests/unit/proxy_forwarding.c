/* What a backend and a client are told beyond what was said: where the request comes from, what a rule edits, and the path
 * that a rewrite made. */
#include "proxy_heads_fixture.h"

static const char *sent(struct rig *r, struct sp_head_out *out)
{
    struct sp_err err = {0};

    assert_int_equal(sp_request_head_out(&r->exchange, out, &err), SP_OK);
    return lines_of(r, out);
}

#define TELL "identity_headers: [], forwarding_headers: [x_forwarded, forwarded, via]"
#define X                                                                                                    \
    "X-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: https\nX-Forwarded-Host: h\nX-Forwarded-Port: 8443\n"
#define FWD "Forwarded: for=\"192.0.2.7:4711\";proto=https;host=h;by=_sallyport\n"

/* In every spelling that a backend may read as the one it believes. */
#define SPOOFS                                                                                                   \
    "X-Forwarded-For: 1.2.3.4\r\nx-FORWARDED-for: 1.2.3.4\r\nX!Forwarded!For: 1.2.3.4\r\n"                       \
    "X-Forwarded-Proto: http\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\n"  \
    "X-Forwarded-Uri: /evil\r\nX-Forwarded-Method: DELETE\r\nX-Forwarded-Server: evil\r\nX-Real-IP: 1.2.3.4\r\n" \
    "Forwarded: for=1.2.3.4\r\nFORWARDED: for=1.2.3.4\r\n"

static void test_a_backend_hears_from_us_alone_where_a_request_comes_from(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    configure(r, TELL, "");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n" SPOOFS "Accept: x\r\n\r\n");
    assert_string_equal(
        sent(r, &out), "Host: h\nAccept: x\nX-Request-Id: id-1\n" X FWD "Via: 1.1 sallyport\n");
    configure(r, "identity_headers: [], forwarding_headers: []", "");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n" SPOOFS "Accept: x\r\n\r\n");
    assert_string_equal(sent(r, &out), "Host: h\nAccept: x\nX-Request-Id: id-1\n");
}

#define PROXY(mode) "trusted_proxies: [{from: [c], identity_headers: [plain], forwarded: " mode "}]\n"

static void test_a_trusted_proxy_is_continued_or_replaced_as_it_is_configured(void **state)
{
    static const char SAID[] =
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\n"
        "X-Real-IP: 9.9.9.9\r\nX!Forwarded!For: 6.6.6.6\r\nForwarded: for=1.2.3.4\r\n\r\n";
    struct rig *r = *state;
    struct sp_head_out out;

    configure(r, TELL, PROXY("append"));
    read_request(r, SAID);
    assert_string_equal(sent(r, &out),
        "Host: h\nX-Request-Id: id-1\nX-Forwarded-For: 1.2.3.4, 192.0.2.7\nX-Forwarded-Proto: http\n"
        "X-Forwarded-Host: h\nX-Forwarded-Port: 8443\n"
        "Forwarded: for=1.2.3.4, for=\"192.0.2.7:4711\";proto=https;host=h;by=_sallyport\nVia: 1.1 sallyport\n");
    configure(r, TELL, PROXY("replace"));
    read_request(r, SAID);
    assert_string_equal(sent(r, &out), "Host: h\nX-Request-Id: id-1\n" X FWD "Via: 1.1 sallyport\n");
}

static void test_a_via_grows_and_one_that_is_none_is_dropped(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    configure(r, "identity_headers: [], forwarding_headers: [via]", "");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 a, 1.1 b (x)\r\nvia: junk\r\n\r\n");
    assert_string_equal(
        sent(r, &out), "Host: h\nVia: 1.0 a, 1.1 b (x)\nX-Request-Id: id-1\nVia: 1.1 sallyport\n");
    read_response(r, SP_METHOD_GET, "HTTP/1.0 200 OK\r\nVia: 1.1 c\r\nContent-Length: 0\r\nDate: d\r\n\r\n");
    sp_response_head_out(&r->exchange, &r->response, &out);
    assert_string_equal(lines_of(r, &out), "Via: 1.1 c\nDate: d\nX-Request-Id: id-1\nVia: 1.0 sallyport\n");
}

static void test_a_request_that_goes_round_is_refused(void **state)
{
    struct rig *r = *state;

    for (int times = 0; times < 20; times++) {
        char text[1024];
        struct sp_fault fault = {0};
        int at = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n");
        for (int i = 0; i < times; i++) /* in lines of their own, and two in one */
            at += snprintf(text + at, sizeof(text) - (size_t)at,
                i % 3 == 1   ? ", 1.0 sallyport\r\n"
                : i % 3 == 0 ? "Via: 1.1 sallyport%s"
                             : "Via: 1.1 sallyport\r\n",
                i % 3 == 0 && i + 1 < times ? "" : "\r\n");
        snprintf(text + at, sizeof(text) - (size_t)at, "\r\n");
        read_request(r, text);
        assert_int_equal(check(r, &fault), times < 16 ? SP_OK : SP_FAIL);
        if (times >= 16) {
            assert_int_equal(fault.reason, SP_REFUSAL_request_loop);
            assert_int_equal(fault.status, 508);
        }
    }
}

static void test_a_trace_goes_on_and_a_broken_one_is_begun_anew(void **state)
{
#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    struct rig *r = *state;
    struct sp_head_out out;

    configure(r, "identity_headers: []", "");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: " PARENT "\r\nTraceState: a=b\r\n\r\n");
    assert_string_equal(
        sent(r, &out), "Host: h\ntraceparent: " PARENT "\nTraceState: a=b\nX-Request-Id: id-1\n");
    assert_string_equal(r->exchange.trace.id, "4bf92f3577b34da6a3ce929d0e0e4736");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\ntracestate: a=b\r\n\r\n");
    assert_string_equal(sent(r, &out), "Host: h\nX-Request-Id: id-1\n");
    assert_string_equal(r->exchange.trace.id, "");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: no\r\ntracestate: a=b\r\n\r\n");
    sent(r, &out);
    char expected[256];
    snprintf(
        expected, sizeof(expected), "Host: h\ntraceparent: %s\nX-Request-Id: id-1\n", r->exchange.trace.made);
    assert_string_equal(r->text, expected);
    assert_memory_equal(r->exchange.trace.made + 3, r->exchange.trace.id, SP_TRACE_ID_LEN);
    sent(r, &out); /* when it is sent again it is the same one */
    assert_string_equal(r->text, expected);
}

/* ---- edits ---- */

static void test_a_rule_removes_then_sets_then_adds_and_our_words_come_after_all(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    configure_all(r, "",
        ", request_headers: {remove: [X-Debug], set: {X-Env: prod, X-Both: set}, add: {X-Tag: mine}}"
        ", response_headers: {remove: [Server], set: {X-Frame-Options: DENY}, add: {X-Tag: ours}}",
        TELL, "");
    read_request(r,
        "GET / HTTP/1.1\r\nHost: h\r\nx-debug: 1\r\nX-DEBUG: 2\r\nX!Debug: 3\r\nX-Env: dev\r\nX+Env: dev\r\n"
        "X-Both: a\r\nX-Tag: theirs\r\nVia: 1.1 a\r\nAccept: x\r\n\r\n");
    assert_string_equal(sent(r, &out),
        "Host: h\nX-Tag: theirs\nVia: 1.1 a\nAccept: x\nX-Env: prod\nX-Both: set\nX-Tag: mine\n"
        "X-Request-Id: id-1\n" X FWD "Via: 1.1 sallyport\n");
    read_response(r, SP_METHOD_GET,
        "HTTP/1.1 200 OK\r\nserver: s\r\nX-Frame-Options: ALLOW\r\nX-Tag: t\r\nDate: d\r\nContent-Length: 0\r\n\r\n");
    sp_response_head_out(&r->exchange, &r->response, &out);
    assert_string_equal(lines_of(r, &out),
        "X-Tag: t\nDate: d\nX-Frame-Options: DENY\nX-Tag: ours\nX-Request-Id: id-1\nVia: 1.1 sallyport\n");
}

static void test_an_interim_answer_loses_what_the_final_one_would_and_gains_nothing(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    configure_all(
        r, "", ", response_headers: {remove: [Server], set: {X-Set: a}, add: {X-Tag: b}}", TELL, "");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    read_response(r, SP_METHOD_GET,
        "HTTP/1.1 103 Early Hints\r\nServer: s\r\nx-set: theirs\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
        "Keep-Alive: timeout=5\r\n\r\n");
    sp_interim_head_out(&r->exchange, &r->response, &out);
    assert_string_equal(lines_of(r, &out), "Link: </a>\n");
    assert_int_equal(out.status, 103);
    assert_int_equal(out.framing, SP_FRAMING_NONE);
    assert_false(out.announce_length);
}

static void test_a_request_id_of_the_backends_own_stays(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    read_response(
        r, SP_METHOD_GET, "HTTP/1.1 200 OK\r\nDate: d\r\nx-request-id: its\r\nContent-Length: 0\r\n\r\n");
    sp_response_head_out(&r->exchange, &r->response, &out);
    assert_string_equal(lines_of(r, &out), "Date: d\nx-request-id: its\n");
}

static void test_an_edit_of_what_only_we_may_say_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *edit, *words;
    } CASES[] = {
        {"set: {X-Forwarded-For: a}", "where a request came from"},
        {"set: {X-FORWARDED-FOR: a}", "where a request came from"},
        {"add: {X_Forwarded_For: a}", "where a request came from"},
        {"remove: [x.real.ip]", "where a request came from"},
        {"remove: [Forwarded]", "where a request came from"},
        {"set: {X-Client-Subject: a}", "who a caller is"},
        {"set: {Remote-User: a}", "who a caller is"},
        {"set: {X-Original-URL: /x}", "goes"},
        {"set: {X-Team: a}", "headers of an upstream"},
        {"remove: [x_team]", "headers of an upstream"},
        {"set: {X-Request-Id: a}", "reads or writes"},
        {"add: {x_request_id: a}", "reads or writes"},
        {"remove: [Vary]", "reads or writes"},
        {"set: {Content_Length: \"1\"}", "reads or writes"},
        {"set: {X-A: \" a\"}", "blank"},
        {"set: {X-A: \"\xc3\xb6\"}", "printable"},
    };
    static const char *const SIDES[] = {"request_headers", "response_headers"};

    (void)state;
    for (size_t i = 0; i < 2 * SP_COUNTOF(CASES); i++) {
        char text[2048];
        struct sp_diags diags = {0};
        struct sp_config *config = NULL;
        struct sp_headers *headers = NULL;
        snprintf(text, sizeof(text),
            LISTENERS "callers: {c: [{uri: \"spiffe://corp/a\"}]}\n"
                      "rules: [{name: r, from: [c], upstream: u, %s: {%s}}]\n"
                      "upstreams: {u: {endpoints: [\"127.0.0.1:80\"], headers: {X-Team: t}}}\n",
            SIDES[i % 2], CASES[i / 2].edit);
        /* some of it the file's own reader refuses already */
        if (sp_config_parse("t.yaml", sp_slice_of(text), &config, &diags) == SP_OK) {
            headers = sp_headers_new(config, &diags);
            char *told = printed(&diags);
            if (strstr(told, CASES[i / 2].words) == NULL || strstr(told, "t.yaml:3:") == NULL)
                fail_msg("%s: %s", CASES[i / 2].edit, told);
            free(told);
        }
        if (diags.errors == 0 || headers != NULL)
            fail_msg("%s is let through", CASES[i / 2].edit);
        sp_headers_free(headers);
        sp_config_free(config);
        sp_diags_free(&diags);
    }
}

/* ---- path, host, and what goes on at all ---- */

static void test_what_is_judged_is_what_is_sent_and_the_prefix_is_told(void **state)
{
    static const struct {
        const char *target, *path, *sent, *prefix; /* NULL: none */
    } CASES[] = {
        {"/billing/v1/x?a=/billing", "/v1/x", "/v1/x?a=/billing", "/billing"},
        {"/billing", "/", "/", "/billing"},
        {"/billing?", "/", "/?", "/billing"},
        {"https://h/billing/x?q", "/x", "/x?q", "/billing"},
        {"/v1/x?q", "/v2/x", "/v2/x?q", NULL},
        {"/other?q", "/other", "/other?q", NULL},
        {"https://h", "/", "/", NULL},
    };
    struct rig *r = *state;
    struct sp_head_out out;

    configure_all(r, ", rewrite: [{prefix: /billing}, {prefix: /v1, replace: /v2}]", "",
        "identity_headers: [], forwarding_headers: [x_forwarded]", "");
    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        char text[256], prefix[64] = "";
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\nX-Forwarded-Prefix: /evil\r\n\r\n",
            CASES[i].target);
        read_request(r, text);
        assert_true(sp_slice_equal(r->exchange.target.path, sp_slice_of(CASES[i].path)));
        sent(r, &out);
        if (!sp_slice_equal(out.target, sp_slice_of(CASES[i].sent)))
            fail_msg("%s: sent %.*s", CASES[i].target, SP_FMT(out.target));
        if (CASES[i].prefix != NULL)
            snprintf(prefix, sizeof(prefix), "X-Forwarded-Prefix: %s\n", CASES[i].prefix);
        const char *found = strstr(r->text, "X-Forwarded-Prefix");
        assert_string_equal(found != NULL ? found : "", prefix);
    }
    read_request(r, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    sent(r, &out);
    assert_true(sp_slice_equal(out.target, SP_SLICE("*")));
}

static void test_a_target_that_a_rewrite_makes_too_long_is_refused(void **state)
{
    struct rig *r = *state;
    struct sp_fault fault = {0};
    struct sp_request_target target;

    configure_all(
        r, ", rewrite: [{prefix: /a, replace: /0123456789abcdef}]", "", "", "limits: {target_bytes: 256}\n");
    char text[512];
    for (int pad = 200; pad < 250; pad++) {
        snprintf(text, sizeof(text), "GET /a/%0*d HTTP/1.1\r\nHost: h\r\n\r\n", pad, 0);
        sp_exchange_unaim(&r->exchange);
        struct sp_head *head = &r->head;
        size_t used;
        sp_h1_parser_reset(&r->parser);
        assert_int_equal(
            sp_h1_parse_request(&r->parser, &LIMITS, sp_slice_of(text), head, &used, &fault), SP_OK);
        bool fits = (size_t)pad + strlen("/0123456789abcdef/") <= 256;
        enum sp_rc rc = sp_request_rewrite(
            r->listener.config, &r->snapshot.config->limits, head, SP_SLICE("h"), &target, &fault);
        assert_int_equal(rc, fits ? SP_OK : SP_FAIL);
        if (!fits) {
            assert_int_equal(fault.status, 414);
            assert_null(target.own);
        }
        sp_free(target.own);
    }
}

static void test_the_backend_is_called_by_its_own_name_and_told_the_clients(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    configure(r, "identity_headers: [], host: backend.internal, forwarding_headers: [x_forwarded]", "");
    read_request(r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(sent(r, &out), "Host: backend.internal\nX-Request-Id: id-1\n" X);
}

static void test_max_forwards_counts_down_and_ends_here(void **state)
{
    static const struct {
        const char *method, *value, *sent;
        bool for_us;
    } CASES[] = {
        {"OPTIONS", "1", "0", false},
        {"OPTIONS", "10", "9", false},
        {"OPTIONS", "0", "0", true},
        {"OPTIONS", "000", "000", true},
        {"GET", "0", "0", false},
    };
    struct rig *r = *state;
    struct sp_head_out out;

    configure(r, "identity_headers: []", "");
    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        char text[256], expected[256];
        struct sp_fault fault = {0};
        snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: h\r\nMax-Forwards: %s\r\n\r\n", CASES[i].method,
            CASES[i].value);
        read_request(r, text);
        assert_int_equal(check(r, &fault), SP_OK);
        assert_int_equal(sp_request_is_for_us(&r->head), CASES[i].for_us);
        snprintf(
            expected, sizeof(expected), "Host: h\nMax-Forwards: %s\nX-Request-Id: id-1\n", CASES[i].sent);
        assert_string_equal(sent(r, &out), expected);
    }
}

static void test_an_upgrade_is_asked_for_only_where_the_rule_lists_it(void **state)
{
    static const struct {
        const char *fields;
        const char *upgrade; /* NULL: refused; "": none */
    } CASES[] = {
        {"", ""},
        {"Upgrade: foo\r\n", ""}, /* Connection does not list it: of this hop, and dropped */
        {"Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket"},
        {"Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n", "WebSocket"},
        {"Connection: upgrade\r\nUpgrade: other\r\n", NULL},
        {"Connection: upgrade\r\nUpgrade: websocket, other\r\n", NULL},
        {"Connection: upgrade\r\nUpgrade: h2c\r\n", NULL},
        {"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", NULL},
        {"Connection: upgrade\r\nUpgrade: websocket\r\nHTTP2-Settings: AA\r\n", NULL},
        {"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", NULL},
    };
    struct rig *r = *state;
    struct sp_head_out out;

    configure_all(r, "", ", upgrade: [websocket]", "identity_headers: []", "");
    const struct sp_config_rule *rule = &r->snapshot.config->rules[0];
    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        char text[512];
        struct sp_fault fault = {0};
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", CASES[i].fields);
        read_request(r, text);
        enum sp_rc rc = sp_request_check_upgrade(&r->head, rule, &r->exchange.upgrade, &fault);
        if ((rc == SP_OK) != (CASES[i].upgrade != NULL))
            fail_msg("%s is %s", CASES[i].fields, rc == SP_OK ? "let through" : fault.detail);
        if (rc == SP_OK) {
            sent(r, &out);
            assert_true(sp_slice_equal(out.upgrade, sp_slice_of(CASES[i].upgrade)));
            assert_null(strstr(r->text, "pgrade")); /* the codec says it */
        } else {
            assert_int_equal(fault.reason, SP_REFUSAL_upgrade_not_allowed);
            assert_int_equal(fault.status, 403);
        }
    }
    read_request(r, "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    struct sp_fault fault;
    assert_int_equal(sp_request_check_upgrade(&r->head, rule, &r->exchange.upgrade, &fault), SP_FAIL);
}

static void test_trailers_are_asked_for_where_both_sides_take_them(void **state)
{
    struct rig *r = *state;
    struct sp_head_out out;

    for (int i = 0; i < 4; i++) {
        configure(r, i & 1 ? "trailers: pass" : "trailers: drop", "");
        read_request(r, i & 2 ? "GET / HTTP/1.1\r\nHost: h\r\nConnection: TE\r\nTE: trailers\r\n\r\n"
                              : "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        sent(r, &out);
        assert_int_equal(out.te_trailers, i == 3);
        assert_null(strstr(r->text, "TE:"));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_backend_hears_from_us_alone_where_a_request_comes_from),
        TEST(test_a_trusted_proxy_is_continued_or_replaced_as_it_is_configured),
        TEST(test_a_via_grows_and_one_that_is_none_is_dropped),
        TEST(test_a_request_that_goes_round_is_refused),
        TEST(test_a_trace_goes_on_and_a_broken_one_is_begun_anew),
        TEST(test_a_rule_removes_then_sets_then_adds_and_our_words_come_after_all),
        TEST(test_an_interim_answer_loses_what_the_final_one_would_and_gains_nothing),
        TEST(test_a_request_id_of_the_backends_own_stays),
        TEST(test_an_edit_of_what_only_we_may_say_is_refused_with_its_place),
        TEST(test_what_is_judged_is_what_is_sent_and_the_prefix_is_told),
        TEST(test_a_target_that_a_rewrite_makes_too_long_is_refused),
        TEST(test_the_backend_is_called_by_its_own_name_and_told_the_clients),
        TEST(test_max_forwards_counts_down_and_ends_here),
        TEST(test_an_upgrade_is_asked_for_only_where_the_rule_lists_it),
        TEST(test_trailers_are_asked_for_where_both_sides_take_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
