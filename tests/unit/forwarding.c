/* Where a request came from, told byte for byte: X-Forwarded-*, Forwarded, Via and the trace. Heads are read by the real parser. */
#include "sallyport/headers/forwarding.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "sallyport/config/config.h"
#include "sallyport/http/h1_parse.h"

static const struct sp_h1_limits LIMITS = {.header_bytes = 16384, .headers = 64, .target_bytes = 1024};

struct rig {
    struct sp_h1_parser parser;
    struct sp_head head;
    char text[4096], room[2048], out[4096];
};

static void read_head(struct rig *r, const char *fields)
{
    struct sp_fault fault;
    size_t used;

    snprintf(r->text, sizeof(r->text), "GET / HTTP/1.1\r\nHost: Api.Example:8443\r\n%s\r\n", fields);
    sp_h1_parser_reset(&r->parser);
    if (sp_h1_parse_request(&r->parser, &LIMITS, sp_slice_of(r->text), &r->head, &used, &fault) != SP_OK)
        fail_msg("the parser refuses it (%s): %s", fault.detail, r->text);
}

static struct sp_addr address(const char *text)
{
    struct sp_addr a = {.len = 0};
    struct sp_err err;

    if (text != NULL)
        assert_int_equal(sp_addr_parse(sp_slice_of(text), &a, &err), SP_OK);
    return a;
}

static const char *told(struct rig *r, const struct sp_forwarding_about *about)
{
    struct sp_line lines[SP_FORWARDING_LINES_MAX];
    struct sp_err err = {0};
    size_t count, at = 0;

    assert_int_equal(sp_forwarding_make(about, r->room, sizeof(r->room), lines, &count, &err), SP_OK);
    assert_true(count <= SP_FORWARDING_LINES_MAX);
    r->out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at += (size_t)snprintf(
            r->out + at, sizeof(r->out) - at, "%.*s: %.*s\n", SP_FMT(lines[i].name), SP_FMT(lines[i].value));
    return r->out;
}

#define X   SP_FORWARDING_X
#define FWD SP_FORWARDING_RFC7239
#define VIA SP_FORWARDING_VIA

#define REST "X-Forwarded-Proto: https\nX-Forwarded-Host: Api.Example:8443\n"

static void test_a_client_is_named_by_its_address_in_each_family(void **state)
{
    static const struct {
        unsigned which;
        const char *client;
        uint16_t port;
        const char *prefix, *expected;
    } CASES[] = {
        {0, "192.0.2.1:4711", 443, "/billing", ""},
        {X, "192.0.2.1:4711", 0, NULL, "X-Forwarded-For: 192.0.2.1\n" REST},
        {X, "192.0.2.1:4711", 8443, NULL, "X-Forwarded-For: 192.0.2.1\n" REST "X-Forwarded-Port: 8443\n"},
        {X, "[2001:db8::1]:4711", 0, NULL, "X-Forwarded-For: 2001:db8::1\n" REST},
        {X, "[2001:db8:0:0::1]:4711", 0, "/a/b",
            "X-Forwarded-For: 2001:db8::1\n" REST "X-Forwarded-Prefix: /a/b\n"},
        {X, "[::ffff:192.0.2.1]:4711", 0, NULL, "X-Forwarded-For: 192.0.2.1\n" REST},
        {X, "unix:/run/x.sock", 0, NULL, "X-Forwarded-For: unknown\n" REST},
        {X, NULL, 0, NULL, "X-Forwarded-For: unknown\n" REST},
        {FWD, "192.0.2.1:4711", 443, "/x",
            "Forwarded: for=\"192.0.2.1:4711\";proto=https;host=\"Api.Example:8443\";by=_sallyport\n"},
        {FWD, "192.0.2.1:0", 443, NULL,
            "Forwarded: for=192.0.2.1;proto=https;host=\"Api.Example:8443\";by=_sallyport\n"},
        {FWD, "[2001:db8::1]:4711", 443, NULL,
            "Forwarded: for=\"[2001:db8::1]:4711\";proto=https;host=\"Api.Example:8443\";by=_sallyport\n"},
        {FWD, "[2001:db8::1]:0", 443, NULL,
            "Forwarded: for=\"[2001:db8::1]\";proto=https;host=\"Api.Example:8443\";by=_sallyport\n"},
        {FWD, "[::ffff:192.0.2.1]:4711", 0, NULL,
            "Forwarded: for=\"192.0.2.1:4711\";proto=https;host=\"Api.Example:8443\";by=_sallyport\n"},
        {FWD, "unix:/x", 443, NULL,
            "Forwarded: for=unknown;proto=https;host=\"Api.Example:8443\";by=_sallyport\n"},
        {VIA, "192.0.2.1:4711", 443, "/x", "Via: 1.1 sallyport\n"},
        {X | FWD | VIA, "192.0.2.1:7", 80, "/p",
            "X-Forwarded-For: 192.0.2.1\n" REST "X-Forwarded-Port: 80\nX-Forwarded-Prefix: /p\n"
            "Forwarded: for=\"192.0.2.1:7\";proto=https;host=\"Api.Example:8443\";by=_sallyport\n"
            "Via: 1.1 sallyport\n"},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_addr client = address(CASES[i].client);
        read_head(r, "");
        struct sp_forwarding_about about = {.which = CASES[i].which,
            .head = &r->head,
            .client = CASES[i].client != NULL ? &client : NULL,
            .port = CASES[i].port,
            .prefix = sp_slice_of(CASES[i].prefix)};
        assert_string_equal(told(r, &about), CASES[i].expected);
    }
}

static void test_a_host_that_is_a_token_is_not_quoted(void **state)
{
    struct rig *r = *state;
    struct sp_addr client = address("192.0.2.1:0");
    struct sp_forwarding_about about = {.which = FWD, .head = &r->head, .client = &client};

    read_head(r, "");
    r->head.host = SP_SLICE("api.example");
    assert_string_equal(
        told(r, &about), "Forwarded: for=192.0.2.1;proto=https;host=api.example;by=_sallyport\n");
    r->head.host = SP_SLICE("[::1]");
    assert_string_equal(
        told(r, &about), "Forwarded: for=192.0.2.1;proto=https;host=\"[::1]\";by=_sallyport\n");
}

static void test_via_says_the_version_that_the_message_came_in(void **state)
{
    struct rig *r = *state;
    struct sp_forwarding_about about = {.which = VIA, .head = &r->head};

    read_head(r, "");
    r->head.minor = 0;
    assert_string_equal(told(r, &about), "Via: 1.0 sallyport\n");
}

#define OURS                                                                                                 \
    "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: Api.Example:8443\nX-Forwarded-Port: 443\n"

/* `changed`: what differs from OURS; the lines are compared one by one by their names. */
static void test_the_words_of_a_trusted_proxy_are_continued_only_where_they_are_well_formed(void **state)
{
    static const struct {
        const char *said, *expected; /* of the line of the same name */
    } CASES[] = {
        {"X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.1, 192.0.2.1"},
        {"x-forwarded-for: 10.0.0.1,2001:db8::2 , [2001:db8::3]:8080",
            "X-Forwarded-For: 10.0.0.1,2001:db8::2 , [2001:db8::3]:8080, 192.0.2.1"},
        {"X-Forwarded-For: 10.0.0.1:99, unknown, _hidden",
            "X-Forwarded-For: 10.0.0.1:99, unknown, _hidden, 192.0.2.1"},
        {"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2",
            "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.1"},
        {"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: evil", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: ", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: ,", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: 10.0.0.300", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: 10.0.0.1:0", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: 10.0.0.1:65536", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: [2001:db8::3", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: [10.0.0.1]", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: _", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: 10.0.0.1 10.0.0.2", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-For: 10.0.0.1<script>", "X-Forwarded-For: 192.0.2.1"},
        {"X-Forwarded-Proto: http", "X-Forwarded-Proto: http"},
        {"X-Forwarded-Proto: WSS", "X-Forwarded-Proto: WSS"},
        {"X-Forwarded-Proto: javascript", "X-Forwarded-Proto: https"},
        {"X-Forwarded-Proto: http\r\nX-Forwarded-Proto: http", "X-Forwarded-Proto: https"},
        {"X-Forwarded-Host: www.example", "X-Forwarded-Host: www.example"},
        {"X-Forwarded-Host: www.example/x", "X-Forwarded-Host: Api.Example:8443"},
        {"X-Forwarded-Host: a.example, b.example", "X-Forwarded-Host: Api.Example:8443"},
        {"X-Forwarded-Port: 8080", "X-Forwarded-Port: 8080"},
        {"X-Forwarded-Port: 0", "X-Forwarded-Port: 443"},
        {"X-Forwarded-Port: 000443", "X-Forwarded-Port: 443"},
        {"X-Forwarded-Port: 80a", "X-Forwarded-Port: 443"},
        {"X-Forwarded-Prefix: /outer", "X-Forwarded-Prefix: /outer/inner"},
        {"X-Forwarded-Prefix: /outer/", "X-Forwarded-Prefix: /outer/inner"},
        {"X-Forwarded-Prefix: outer", "X-Forwarded-Prefix: /inner"},
        {"X-Forwarded-Prefix: /", "X-Forwarded-Prefix: /inner"},
        {"X-Forwarded-Prefix: //evil.example", "X-Forwarded-Prefix: /inner"},
        {"X-Forwarded-Prefix: /a\r\nX-Forwarded-Prefix: /b", "X-Forwarded-Prefix: /inner"},
    };
    struct rig *r = *state;
    struct sp_addr client = address("192.0.2.1:4711");

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        char fields[256], line[256];
        snprintf(fields, sizeof(fields), "%s\r\n", CASES[i].said);
        read_head(r, fields);
        struct sp_forwarding_about about = {.which = X,
            .head = &r->head,
            .client = &client,
            .port = 443,
            .prefix = SP_SLICE("/inner"),
            .continues = true};
        snprintf(line, sizeof(line), "%s\n", CASES[i].expected);
        if (strstr(told(r, &about), line) == NULL)
            fail_msg("%s: wanted %s in:\n%s", CASES[i].said, line, r->out);
        about.continues = false; /* anybody else's words are as if they had not been said */
        assert_string_equal(told(r, &about), OURS "X-Forwarded-Prefix: /inner\n");
    }
}

#define ELEMENT "for=\"192.0.2.1:4711\";proto=https;host=\"Api.Example:8443\";by=_sallyport\n"

static void test_an_element_is_added_behind_those_of_a_trusted_proxy(void **state)
{
    static const struct {
        const char *said;
        bool continued;
    } CASES[] = {
        {"for=10.0.0.1", true},
        {"For=\"[2001:db8:cafe::17]:4711\"", true},
        {"for=192.0.2.60;proto=http;by=203.0.113.43", true},
        {"for=192.0.2.43, for=198.51.100.17", true},
        {"for=\"_a\\\"b\"", true},
        {"for=_x;ext=1;other=\"a b, c;\"", true},
        {"for=[2001:db8::1]", false}, /* not quoted */
        {"for=10.0.0.1:80", false},   /* likewise */
        {"for=\"10.0.0.1", false},    /* would swallow ours */
        {"for=\"10.0.0.1\\\"", false},
        {"for=10.0.0.1;", false},
        {"for=10.0.0.1; proto=http", false},
        {"for=10.0.0.1,", false},
        {",for=10.0.0.1", false},
        {"for=10.0.0.1;for=10.0.0.2", false},
        {"for=a;FOR=b", false},
        {"for", false},
        {"for=", false},
        {"=x", false},
        {"for =x", false},
        {"for=x y", false},
        {"a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1;i=1", false},
        {"for=\"\xc3\xb6\"", false},
        {"", false},
    };
    struct rig *r = *state;
    struct sp_addr client = address("192.0.2.1:4711");

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        char fields[256], expected[512];
        snprintf(fields, sizeof(fields), "Forwarded: %s\r\n", CASES[i].said);
        read_head(r, fields);
        struct sp_forwarding_about about = {
            .which = FWD, .head = &r->head, .client = &client, .port = 443, .continues = true};
        snprintf(expected, sizeof(expected), "Forwarded: %s%s" ELEMENT,
            CASES[i].continued ? CASES[i].said : "", CASES[i].continued ? ", " : "");
        assert_string_equal(told(r, &about), expected);
        about.continues = false;
        assert_string_equal(told(r, &about), "Forwarded: " ELEMENT);
    }
}

static void test_a_chain_that_does_not_fit_fails_and_writes_nothing_over(void **state)
{
    struct rig *r = *state;
    struct sp_line lines[SP_FORWARDING_LINES_MAX];
    struct sp_addr client = address("192.0.2.1:4711");
    size_t count;

    read_head(r, "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nForwarded: for=a\r\n");
    struct sp_forwarding_about about = {
        .which = X | FWD | VIA, .head = &r->head, .client = &client, .port = 443, .continues = true};
    size_t enough = strlen("10.0.0.1, 10.0.0.2, 192.0.2.1") + strlen("443") + strlen("for=a, " ELEMENT) - 1;
    for (size_t room = 0; room <= enough; room++) {
        struct sp_err err = {0};
        r->room[room] = '#';
        enum sp_rc rc = sp_forwarding_make(&about, r->room, room, lines, &count, &err);
        assert_int_equal(rc, room == enough ? SP_OK : SP_FAIL);
        assert_int_equal(err.sys, room == enough ? 0 : EMSGSIZE);
        assert_int_equal(r->room[room], '#');
    }
}

static void test_a_via_is_read_as_the_rfc_has_it(void **state)
{
    static const struct {
        const char *value;
        bool good;
    } CASES[] = {
        {"1.1 sallyport", true},
        {"1.0 fred, 1.1 p.example.net", true},
        {"HTTP/1.1 proxy.example.re:8080, 1.1 edge_1", true},
        {"2 cache (Varnish/7.1 (nested \\) one))", true},
        {"1.1 [2001:db8::1]:80", true},
        {"1.1", false},
        {"sallyport", false},
        {"1.1 a b", false},
        {"1.1 a (open", false},
        {"1.1 a (open\\", false},
        {"1.1 a,", false},
        {"1.1/ a", false},
        {"/1.1 a", false},
        {"1.1 a\"b", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        if (sp_via_is_good(sp_slice_of(CASES[i].value)) != CASES[i].good)
            fail_msg("\"%s\" is %sgood", CASES[i].value, CASES[i].good ? "not " : "");
    }
}

/* ---- the trace ---- */

#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define GOOD     "00-" TRACE_ID "-00f067aa0ba902b7-01"

static void test_a_trace_goes_on_or_a_new_one_is_begun(void **state)
{
    static const struct {
        const char *fields;
        enum { NONE, KEPT, NEW } expected;
    } CASES[] = {
        {"", NONE},
        {"tracestate: a=b\r\n", NONE},
        {"traceparent: " GOOD "\r\n", KEPT},
        {"TraceParent: " GOOD "\r\ntracestate: a=b\r\n", KEPT},
        {"traceparent: 00-" TRACE_ID "-00f067aa0ba902b7-ff\r\n", KEPT},
        {"traceparent: cc-" TRACE_ID "-00f067aa0ba902b7-01-more\r\n", KEPT},
        {"traceparent: cc-" TRACE_ID "-00f067aa0ba902b7-01\r\n", KEPT},
        {"traceparent: cc-" TRACE_ID "-00f067aa0ba902b7-01.more\r\n", NEW},
        {"traceparent: 00-" TRACE_ID "-00f067aa0ba902b7-01-more\r\n", NEW},
        {"traceparent: ff-" TRACE_ID "-00f067aa0ba902b7-01\r\n", NEW},
        {"traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n", NEW},
        {"traceparent: 00-" TRACE_ID "-0000000000000000-01\r\n", NEW},
        {"traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n", NEW},
        {"traceparent: 00_" TRACE_ID "-00f067aa0ba902b7-01\r\n", NEW},
        {"traceparent: 00-" TRACE_ID "-00f067aa0ba902b7-0\r\n", NEW},
        {"traceparent: 00-" TRACE_ID "-00f067aa0ba902b7-0g\r\n", NEW},
        {"traceparent: \r\n", NEW},
        {"traceparent: x\r\n", NEW},
        {"traceparent: " GOOD "\r\ntraceparent: " GOOD "\r\n", NEW},
    };
    static const uint64_t RANDOM[3] = {0, 0, 0};
    struct rig *r = *state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_trace trace;
        read_head(r, CASES[i].fields);
        sp_trace_read(&r->head, RANDOM, &trace);
        if (sp_trace_keeps(&trace) != (CASES[i].expected == KEPT))
            fail_msg("%s is %skept", CASES[i].fields, CASES[i].expected == KEPT ? "not " : "");
        assert_int_equal(trace.made[0] != '\0', CASES[i].expected == NEW);
        if (CASES[i].expected == NONE)
            assert_string_equal(trace.id, "");
        else if (CASES[i].expected == KEPT)
            assert_string_equal(trace.id, TRACE_ID);
        else /* no id is all zeros, whatever the chance */
            assert_string_equal(trace.made, "00-00000000000000000100000000000000-0100000000000000-01");
    }
}

static int set_up(void **state)
{
    *state = test_calloc(1, sizeof(struct rig));
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    test_free(*state);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_client_is_named_by_its_address_in_each_family),
        TEST(test_a_host_that_is_a_token_is_not_quoted),
        TEST(test_via_says_the_version_that_the_message_came_in),
        TEST(test_the_words_of_a_trusted_proxy_are_continued_only_where_they_are_well_formed),
        TEST(test_an_element_is_added_behind_those_of_a_trusted_proxy),
        TEST(test_a_chain_that_does_not_fit_fails_and_writes_nothing_over),
        TEST(test_a_via_is_read_as_the_rfc_has_it),
        TEST(test_a_trace_goes_on_or_a_new_one_is_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
