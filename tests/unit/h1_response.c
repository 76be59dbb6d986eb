/* Response heads of backends that are sloppy, hostile, or right. Each case runs whole, split at every byte, and
 * byte by byte. */
#include "h1_support.h"

#define OK        "HTTP/1.1 200 OK\r\n"
#define END       "\r\n"
#define CL(n)     "Content-Length: " n "\r\n"
#define TE        "Transfer-Encoding: chunked\r\n"
#define R(reason) SP_REFUSAL_##reason
#define IN(text)                                                                                             \
    {                                                                                                        \
        "" text, sizeof(text) - 1                                                                            \
    }

static void test_a_backend_that_could_be_misread_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct sp_slice in;
        enum sp_refusal reason;
    } cases[] = {
        {"HTTP/2", IN("HTTP/2.0 200 OK\r\n\r\n"), R(bad_status_line)},
        {"HTTP/1.2", IN("HTTP/1.2 200 OK\r\n\r\n"), R(bad_status_line)},
        {"lower case", IN("http/1.1 200 OK\r\n\r\n"), R(bad_status_line)},
        {"no version", IN("200 OK\r\n\r\n"), R(bad_status_line)},
        {"no status", IN("HTTP/1.1\r\n\r\n"), R(bad_status_line)},
        {"two digits", IN("HTTP/1.1 20 OK\r\n\r\n"), R(bad_status_line)},
        {"four digits", IN("HTTP/1.1 2000 OK\r\n\r\n"), R(bad_status_line)},
        {"letters", IN("HTTP/1.1 2x0 OK\r\n\r\n"), R(bad_status_line)},
        {"minus", IN("HTTP/1.1 -20 OK\r\n\r\n"), R(bad_status_line)},
        {"two blanks", IN("HTTP/1.1  200 OK\r\n\r\n"), R(bad_status_line)},
        {"status 099", IN("HTTP/1.1 099 OK\r\n\r\n"), R(bad_status_line)},
        {"status 600", IN("HTTP/1.1 600 OK\r\n\r\n"), R(bad_status_line)},
        {"NUL in the reason", IN("HTTP/1.1 200 O\0K\r\n\r\n"), R(bad_status_line)},
        {"CR in the reason", IN("HTTP/1.1 200 O\rK\r\n\r\n"), R(bad_status_line)},
        {"escape in the reason", IN("HTTP/1.1 200 \x1b[31m\r\n\r\n"), R(bad_status_line)},
        {"empty line first", IN("\r\n" OK END), R(bad_status_line)},
        {"bare LF", IN("HTTP/1.1 200 OK\n\r\n"), R(bad_status_line)},
        {"bare LF after a field", IN(OK "X: a\n\r\n"), R(bad_response_header)},
        {"bare LF at the end", IN(OK CL("0") "\n"), R(bad_response_header)},
        {"folded", IN(OK "X: a\r\n b\r\n" END), R(bad_response_header)},
        {"blank before the colon", IN(OK "Content-Length : 5\r\n" END), R(bad_response_header)},
        {"no colon", IN(OK "X\r\n" END), R(bad_response_header)},
        {"NUL in a value", IN(OK "X: a\0\r\n" END), R(bad_response_header)},
        {"CR in a value", IN(OK "X: a\rSet-Cookie: b\r\n" END), R(bad_response_header)},
        {"CL and TE", IN(OK CL("5") TE END), R(bad_response_framing)},
        {"TE and CL", IN(OK TE CL("5") END), R(bad_response_framing)},
        {"CL and TE for HEAD's sake", IN("HTTP/1.1 304 X\r\n" CL("5") TE END), R(bad_response_framing)},
        {"two lengths", IN(OK CL("5") CL("6") END), R(bad_response_framing)},
        {"two equal lengths", IN(OK CL("5") CL("5") END), R(bad_response_framing)},
        {"list of lengths", IN(OK CL("5, 5") END), R(bad_response_framing)},
        {"negative length", IN(OK CL("-1") END), R(bad_response_framing)},
        {"signed length", IN(OK CL("+1") END), R(bad_response_framing)},
        {"big length", IN(OK CL("18446744073709551617") END), R(bad_response_framing)},
        {"empty length", IN(OK CL("") END), R(bad_response_framing)},
        {"TE gzip", IN(OK "Transfer-Encoding: gzip, chunked\r\n" END), R(bad_response_framing)},
        {"TE identity", IN(OK "Transfer-Encoding: identity\r\n" END), R(bad_response_framing)},
        {"TE twice", IN(OK TE TE END), R(bad_response_framing)},
        {"TE in 1.0", IN("HTTP/1.0 200 OK\r\n" TE END), R(bad_response_framing)},
        {"204 with a body", IN("HTTP/1.1 204 No Content\r\n" CL("5") END), R(bad_response_framing)},
        {"204 with chunks", IN("HTTP/1.1 204 No Content\r\n" TE END), R(bad_response_framing)},
        {"100 with a body", IN("HTTP/1.1 100 Continue\r\n" CL("5") END), R(bad_response_framing)},
        {"103 with chunks", IN("HTTP/1.1 103 Early Hints\r\n" TE END), R(bad_response_framing)},
        {"Connection is no list", IN(OK "Connection: a b\r\n" END), R(bad_response_header)},
        {"TLS alert", IN("\x15\x03\x03\x00\x02\x02\n"), R(bad_status_line)},
        {"a request", IN("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), R(bad_status_line)},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct outcome o;
        h1_run(&h1_test_limits, SP_METHOD_GET, cases[i].in, &o);
        if (o.rc != SP_FAIL || o.fault.reason != cases[i].reason || o.fault.status != 502)
            fail_msg("%s: rc %d status %u %s %s", cases[i].name, o.rc, o.fault.status,
                o.rc == SP_FAIL ? sp_refusal_name(o.fault.reason) : "", o.text);
    }
}

static void test_a_response_head_over_its_limits_has_its_own_word(void **state)
{
    (void)state;
    static char buf[4096];
    const struct sp_h1_limits few = {.header_bytes = 2048, .headers = 2, .target_bytes = 1};
    struct outcome o;
    h1_run(&few, SP_METHOD_GET, sp_slice_of(OK "A: a\r\nB: b\r\nC: c\r\n" END), &o);
    assert_int_equal(o.rc, SP_FAIL);
    assert_int_equal(o.fault.reason, SP_REFUSAL_response_too_large);
    assert_int_equal(o.fault.status, 502);
    memset(buf, 'a', sizeof(buf));
    memcpy(buf, OK, sizeof(OK) - 1);
    h1_run(&few, SP_METHOD_GET, (struct sp_slice){buf, 2048}, &o);
    assert_int_equal(o.rc, SP_FAIL);
    assert_int_equal(o.fault.reason, SP_REFUSAL_response_too_large);
    h1_run(&few, SP_METHOD_GET, (struct sp_slice){buf, 2047}, &o);
    assert_int_equal(o.rc, SP_AGAIN);
}

struct framing_case {
    const char *name;
    enum sp_method method;
    struct sp_slice in;
    enum sp_framing framing;
    uint64_t length;
    bool said, keep;
};

static void test_the_end_of_a_body_follows_rfc_9112(void **state)
{
    (void)state;
    static const struct framing_case cases[] = {
        {"length", SP_METHOD_GET, IN(OK CL("5") END), SP_FRAMING_LENGTH, 5, true, true},
        {"length 0", SP_METHOD_GET, IN(OK CL("0") END), SP_FRAMING_LENGTH, 0, true, true},
        {"chunked", SP_METHOD_GET, IN(OK TE END), SP_FRAMING_CHUNKED, 0, false, true},
        {"neither", SP_METHOD_GET, IN(OK END), SP_FRAMING_CLOSE, 0, false, false},
        {"neither, whatever Connection says", SP_METHOD_GET, IN(OK "Connection: keep-alive\r\n" END),
            SP_FRAMING_CLOSE, 0, false, false},
        {"HEAD with length", SP_METHOD_HEAD, IN(OK CL("5") END), SP_FRAMING_NONE, 5, true, true},
        {"HEAD with chunked", SP_METHOD_HEAD, IN(OK TE END), SP_FRAMING_NONE, 0, false, true},
        {"HEAD with neither", SP_METHOD_HEAD, IN(OK END), SP_FRAMING_NONE, 0, false, true},
        {"204", SP_METHOD_GET, IN("HTTP/1.1 204 No Content\r\n" END), SP_FRAMING_NONE, 0, false, true},
        {"204 with length 0", SP_METHOD_GET, IN("HTTP/1.1 204 No Content\r\n" CL("0") END), SP_FRAMING_NONE,
            0, false, true},
        {"304 with length", SP_METHOD_GET, IN("HTTP/1.1 304 Not Modified\r\n" CL("9") END), SP_FRAMING_NONE,
            9, true, true},
        {"100", SP_METHOD_POST, IN("HTTP/1.1 100 Continue\r\n" END), SP_FRAMING_NONE, 0, false, true},
        {"close", SP_METHOD_GET, IN(OK CL("5") "Connection: Close\r\n" END), SP_FRAMING_LENGTH, 5, true,
            false},
        {"1.0", SP_METHOD_GET, IN("HTTP/1.0 200 OK\r\n" CL("5") END), SP_FRAMING_LENGTH, 5, true, false},
        {"1.0 that keeps alive", SP_METHOD_GET,
            IN("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" CL("5") END), SP_FRAMING_LENGTH, 5, true,
            true},
        {"1.0 that cannot decide", SP_METHOD_GET,
            IN("HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n" CL("5") END), SP_FRAMING_LENGTH, 5,
            true, false},
        {"no blank after the status", SP_METHOD_GET, IN("HTTP/1.1 599\r\n" CL("5") END), SP_FRAMING_LENGTH, 5,
            true, true},
        {"names that requests may not have", SP_METHOD_GET, IN(OK "x_y.z: \xc3\xa9\r\n" CL("5") END),
            SP_FRAMING_LENGTH, 5, true, true},
        {"two Hosts mean nothing", SP_METHOD_GET, IN(OK "Host: a b\r\nHost: c\r\n" CL("5") END),
            SP_FRAMING_LENGTH, 5, true, true},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct framing_case *c = &cases[i];
        struct outcome o;
        char want[128];
        h1_run(&h1_test_limits, (int)c->method, c->in, &o);
        if (o.rc != SP_OK)
            fail_msg("%s: rc %d %s", c->name, o.rc, o.rc == SP_FAIL ? o.fault.detail : "");
        snprintf(want, sizeof(want), "framing %d length %llu%s keep %d expect 0\n", (int)c->framing,
            (unsigned long long)c->length, c->said ? " said" : "", c->keep);
        if (strstr(o.text, want) == NULL)
            fail_msg("%s: want %sin %s", c->name, want, o.text);
        assert_int_equal(o.used, c->in.len);
    }
}

static void test_status_and_reason_are_as_they_came(void **state)
{
    (void)state;
    struct outcome o;
    h1_run(&h1_test_limits, SP_METHOD_GET, sp_slice_of("HTTP/1.1 404 Nicht \xc3\xb6 da\r\nX: y\r\n\r\nrest"),
        &o);
    assert_int_equal(o.rc, SP_OK);
    assert_non_null(strstr(o.text, "status 404 minor 1"));
    assert_non_null(strstr(o.text, "reason=[Nicht \xc3\xb6 da]\nname=[X]\nvalue=[y]\n"));
    h1_run(&h1_test_limits, SP_METHOD_GET, sp_slice_of("HTTP/1.0 200 \r\n\r\n"), &o);
    assert_non_null(strstr(o.text, "status 200 minor 0"));
    assert_non_null(strstr(o.text, "reason=[]\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_backend_that_could_be_misread_is_refused),
        cmocka_unit_test(test_a_response_head_over_its_limits_has_its_own_word),
        cmocka_unit_test(test_the_end_of_a_body_follows_rfc_9112),
        cmocka_unit_test(test_status_and_reason_are_as_they_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
