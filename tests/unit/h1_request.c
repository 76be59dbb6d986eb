/* Request heads: what is taken and how it is read, and what is refused with which word and status. Each case
 * runs whole, split in two at every byte, and byte by byte. */
#include "h1_support.h"

#define H    "Host: a.example\r\n"
#define GET  "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n" H
#define END  "\r\n"
#define IN(text)                                                                                             \
    {                                                                                                        \
        "" text, sizeof(text) - 1                                                                            \
    }

struct refusal_case {
    const char *name;
    struct sp_slice in;
    enum sp_refusal reason;
    unsigned status;
};
#define R(reason) SP_REFUSAL_##reason

static void run_refusals(const struct refusal_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct outcome o;
        h1_run(&h1_test_limits, -1, cases[i].in, &o);
        if (o.rc != SP_FAIL || o.fault.reason != cases[i].reason || o.fault.status != cases[i].status)
            fail_msg("%s: rc %d reason %s status %u (%s)", cases[i].name, o.rc,
                o.rc == SP_FAIL ? sp_refusal_name(o.fault.reason) : "-", o.fault.status,
                o.rc == SP_FAIL ? o.fault.detail : o.text);
    }
}

static void test_what_is_no_request_line_is_refused(void **state)
{
    (void)state;
    static const struct refusal_case cases[] = {
        {"no version (0.9)", IN("GET /\r\n" H END), R(bad_request_line), 400},
        {"only a method", IN("GET\r\n" H END), R(bad_request_line), 400},
        {"two blanks before the target", IN("GET  / HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"two blanks before the version", IN("GET /  HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"blank at the end", IN("GET / HTTP/1.1 \r\n" H END), R(bad_request_line), 400},
        {"blank at the start", IN(" GET / HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"tab for blank", IN("GET\t/\tHTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"tab before version", IN("GET /\tHTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"vertical tab", IN("GET /\x0bHTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"a second target", IN("GET /a /b HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"lower-case protocol", IN("GET / http/1.1\r\n" H END), R(bad_request_line), 400},
        {"other protocol", IN("GET / HTTPS/1.1\r\n" H END), R(bad_request_line), 400},
        {"version with three parts", IN("GET / HTTP/1.1.1\r\n" H END), R(bad_request_line), 400},
        {"version of two digits", IN("GET / HTTP/1.10\r\n" H END), R(bad_request_line), 400},
        {"version with a leading zero", IN("GET / HTTP/01.1\r\n" H END), R(bad_request_line), 400},
        {"version without minor", IN("GET / HTTP/1\r\n" H END), R(bad_request_line), 400},
        {"version 1.2", IN("GET / HTTP/1.2\r\n" H END), R(http_version), 505},
        {"version 0.9 written", IN("GET / HTTP/0.9\r\n" H END), R(http_version), 505},
        {"version 2.0", IN("GET / HTTP/2.0\r\n" H END), R(http_version), 505},
        {"the HTTP/2 preface", IN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), R(http_version), 505},
        {"bare LF", IN("GET / HTTP/1.1\n" H END), R(bad_request_line), 400},
        {"LF alone first", IN("\nGET / HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"CR in the line", IN("GET / HTTP/1.1\r\r\n" H END), R(bad_request_line), 400},
        {"CR before the target", IN("GET \r/ HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"two empty lines first", IN("\r\n\r\nGET / HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"NUL in the method", IN("G\0T / HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"a method that is no token", IN("G(T / HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"a method with a colon", IN("GET: / HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"an endless method", IN("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" H END),
            R(bad_request_line), 400},
        {"an endless method, not even ended", IN("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"), R(bad_request_line),
            400},
        {"a non-ASCII method", IN("G\xc3\x89T / HTTP/1.1\r\n" H END), R(bad_request_line), 400},
        {"TLS bytes", IN("\x16\x03\x01\x02\x00\x01\x00\n"), R(bad_request_line), 400},
        {"a response", IN("HTTP/1.1 200 OK\r\n\r\n"), R(bad_request_line), 400},
        {"CONNECT", IN("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"),
            R(unsupported_method), 405},
        {"CONNECT with a path", IN("CONNECT / HTTP/1.1\r\n" H END), R(unsupported_method), 405},
    };
    run_refusals(cases, SP_COUNTOF(cases));
}

static void test_a_target_with_two_readings_is_refused(void **state)
{
    (void)state;
    static const struct refusal_case cases[] = {
        {"no slash", IN("GET a HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"authority form", IN("GET a.example:80 HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"asterisk for GET", IN("GET * HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"asterisk and more", IN("OPTIONS *a HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"asterisk with query", IN("OPTIONS *?a HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"fragment", IN("GET /a#b HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"fragment in the query", IN("GET /a?b#c HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"NUL", IN("GET /a\0b HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"non-ASCII", IN("GET /\xc3\xa9 HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"DEL", IN("GET /\x7f HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"tab", IN("GET /a\tb HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"CR", IN("GET /a\rb HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"double quote", IN("GET /\"a\" HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"angle brackets in the query", IN("GET /?a=<b> HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"half an escape", IN("GET /%4 HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"no escape", IN("GET /%zz HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"half an escape in the query", IN("GET /?%4 HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"other scheme", IN("GET ftp://a.example/ HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"scheme without slashes", IN("GET http:a.example/ HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"scheme with one slash", IN("GET http:/a.example/ HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"userinfo", IN("GET http://u@a.example/ HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"userinfo and password", IN("GET http://u:p@a.example/ HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"empty authority", IN("GET http:/// HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"authority with backslash", IN("GET http://a.example\\b/ HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"absolute with fragment", IN("GET http://a.example#b HTTP/1.1\r\n" H END), R(bad_target), 400},
        {"other authority than Host", IN("GET http://b.example/ HTTP/1.1\r\n" H END), R(bad_host), 400},
        {"other port than Host", IN("GET http://a.example:81/ HTTP/1.1\r\n" H END), R(bad_host), 400},
        {"the other scheme's port", IN("GET http://a.example:443/ HTTP/1.1\r\n" H END), R(bad_host), 400},
        {"dot segment", IN("GET /a/../b HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"dot segment at the end", IN("GET /a/.. HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"single dot", IN("GET /./a HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"encoded dots", IN("GET /%2e%2E/a HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"half-encoded dots", IN("GET /.%2e/a HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"two slashes", IN("GET //a HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"two slashes inside", IN("GET /a//b HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"path parameter", IN("GET /a;b/c HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"dot segment with parameter", IN("GET /..;/a HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"backslash", IN("GET /a\\b HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"encoded slash", IN("GET /a%2fb HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"encoded slash, upper case", IN("GET /a%2Fb HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"encoded backslash", IN("GET /a%5cb HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"encoded NUL", IN("GET /a%00 HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"encoded CR LF", IN("GET /a%0d%0aX:%20y HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"encoded letter", IN("GET /%61dmin HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"encoded twice", IN("GET /a%252fb HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"overlong slash", IN("GET /a%c0%afb HTTP/1.1\r\n" H END), R(ambiguous_path), 400},
        {"absolute with dot segment", IN("GET http://a.example/../ HTTP/1.1\r\n" H END), R(ambiguous_path),
            400},
        {"absolute with two slashes", IN("GET http://a.example//b HTTP/1.1\r\n" H END), R(ambiguous_path),
            400},
    };
    run_refusals(cases, SP_COUNTOF(cases));
}

static void test_a_field_with_two_readings_is_refused(void **state)
{
    (void)state;
    static const struct refusal_case cases[] = {
        {"folded", IN(GET H "X: a\r\n b\r\n" END), R(bad_header), 400},
        {"folded by tab", IN(GET H "X: a\r\n\tb\r\n" END), R(bad_header), 400},
        {"folded first line", IN(GET " " H END), R(bad_header), 400},
        {"a line of blanks", IN(GET H " \r\n" END), R(bad_header), 400},
        {"blank before the colon", IN(GET H "X : a\r\n" END), R(bad_header), 400},
        {"tab before the colon", IN(GET H "X\t: a\r\n" END), R(bad_header), 400},
        {"blank in the name", IN(GET H "X Y: a\r\n" END), R(bad_header), 400},
        {"no colon", IN(GET H "X\r\n" END), R(bad_header), 400},
        {"empty name", IN(GET H ": a\r\n" END), R(bad_header), 400},
        {"name with NUL", IN(GET H "X\0: a\r\n" END), R(bad_header), 400},
        {"name with a slash", IN(GET H "X/Y: a\r\n" END), R(bad_header), 400},
        {"name with a quote", IN(GET H "\"X\": a\r\n" END), R(bad_header), 400},
        {"non-ASCII name", IN(GET H "X\xc3\xa9: a\r\n" END), R(bad_header), 400},
        {"name with 0xff", IN(GET H "\xffHost: a\r\n" END), R(bad_header), 400},
        {"underscore", IN(GET H "X_Y: a\r\n" END), R(bad_header_name), 400},
        {"dot", IN(GET H "X.Y: a\r\n" END), R(bad_header_name), 400},
        {"underscore in Content_Length", IN(GET H "Content_Length: 1\r\n" END), R(bad_header_name), 400},
        {"NUL in a value", IN(GET H "X: a\0b\r\n" END), R(bad_header), 400},
        {"CR in a value", IN(GET H "X: a\rb\r\n" END), R(bad_header), 400},
        {"CR at the end of a value", IN(GET H "X: a\r\r\n" END), R(bad_header), 400},
        {"LF in a value", IN(GET H "X: a\nY: b\r\n" END), R(bad_header), 400},
        {"LF ends the head", IN(GET H "\n"), R(bad_header), 400},
        {"LF CR LF", IN(GET H "X: a\n\r\n"), R(bad_header), 400},
        {"bell in a long value", IN(GET H "X: abcdefgh\aijklmnop\r\n" END), R(bad_header), 400},
        {"DEL in a value", IN(GET H "X: abc\x7f\r\n" END), R(bad_header), 400},
        {"escape in a value", IN(GET H "X: 1234567\x1b\r\n" END), R(bad_header), 400},
        {"Connection is no list", IN(GET H "Connection: a b\r\n" END), R(bad_header), 400},
        {"Connection with a colon", IN(GET H "Connection: close:\r\n" END), R(bad_header), 400},
        {"Expect something else", IN(POST "Expect: 200-ok\r\n" END), R(bad_expectation), 417},
        {"Expect a list", IN(POST "Expect: 100-continue, x\r\n" END), R(bad_expectation), 417},
        {"Expect twice", IN(POST "Expect: 100-continue\r\nExpect: 100-continue\r\n" END), R(bad_expectation),
            417},
        {"empty Expect", IN(POST "Expect:\r\n" END), R(bad_expectation), 417},
    };
    run_refusals(cases, SP_COUNTOF(cases));
}

static void test_a_host_that_is_not_one_is_refused(void **state)
{
    (void)state;
    static const struct refusal_case cases[] = {
        {"none", IN(GET END), R(bad_host), 400},
        {"none in 1.0", IN("GET / HTTP/1.0\r\n" END), R(bad_host), 400},
        {"none with absolute target", IN("GET http://a.example/ HTTP/1.1\r\n" END), R(bad_host), 400},
        {"two", IN(GET H "Host: b.example\r\n" END), R(bad_host), 400},
        {"two, the same", IN(GET H H END), R(bad_host), 400},
        {"two, other case", IN(GET H "hOST: a.example\r\n" END), R(bad_host), 400},
        {"empty", IN(GET "Host:\r\n" END), R(bad_host), 400},
        {"blank", IN(GET "Host:  \r\n" END), R(bad_host), 400},
        {"list", IN(GET "Host: a.example, b.example\r\n" END), R(bad_host), 400},
        {"userinfo", IN(GET "Host: u@a.example\r\n" END), R(bad_host), 400},
        {"path", IN(GET "Host: a.example/b\r\n" END), R(bad_host), 400},
        {"scheme", IN(GET "Host: http://a.example\r\n" END), R(bad_host), 400},
        {"bad port", IN(GET "Host: a.example:80a\r\n" END), R(bad_host), 400},
        {"big port", IN(GET "Host: a.example:65536\r\n" END), R(bad_host), 400},
        {"empty port", IN(GET "Host: a.example:\r\n" END), R(bad_host), 400},
        {"only a port", IN(GET "Host: :80\r\n" END), R(bad_host), 400},
        {"percent", IN(GET "Host: a%2eexample\r\n" END), R(bad_host), 400},
        {"non-ASCII", IN(GET "Host: \xc3\xa9.example\r\n" END), R(bad_host), 400},
        {"IPv6 without brackets", IN(GET "Host: ::1\r\n" END), R(bad_host), 400},
        {"IPv6 with zone", IN(GET "Host: [fe80::1%25eth0]\r\n" END), R(bad_host), 400},
        {"IPv6 and a name", IN(GET "Host: [::1]a\r\n" END), R(bad_host), 400},
        {"IPv4 with five parts", IN(GET "Host: 1.2.3.4.5\r\n" END), R(bad_host), 400},
    };
    run_refusals(cases, SP_COUNTOF(cases));
}

#define TE "Transfer-Encoding: "
static void test_framing_in_doubt_is_refused(void **state)
{
    (void)state;
    static const struct refusal_case cases[] = {
        {"CL then TE", IN(POST "Content-Length: 5\r\n" TE "chunked\r\n" END "0\r\n\r\n"), R(bad_framing),
            400},
        {"TE then CL", IN(POST TE "chunked\r\nContent-Length: 5\r\n" END "0\r\n\r\n"), R(bad_framing), 400},
        {"TE and CL 0", IN(POST TE "chunked\r\nContent-Length: 0\r\n" END), R(bad_framing), 400},
        {"two lengths", IN(POST "Content-Length: 5\r\nContent-Length: 6\r\n" END), R(bad_framing), 400},
        {"two equal lengths", IN(POST "Content-Length: 5\r\nContent-Length: 5\r\n" END), R(bad_framing), 400},
        {"list of lengths", IN(POST "Content-Length: 5, 5\r\n" END), R(bad_framing), 400},
        {"list of lengths, close", IN(POST "Content-Length: 5,5\r\n" END), R(bad_framing), 400},
        {"plus", IN(POST "Content-Length: +5\r\n" END), R(bad_framing), 400},
        {"minus", IN(POST "Content-Length: -5\r\n" END), R(bad_framing), 400},
        {"minus zero", IN(POST "Content-Length: -0\r\n" END), R(bad_framing), 400},
        {"hex", IN(POST "Content-Length: 0x5\r\n" END), R(bad_framing), 400},
        {"blank inside", IN(POST "Content-Length: 5 5\r\n" END), R(bad_framing), 400},
        {"tab inside", IN(POST "Content-Length: 5\t5\r\n" END), R(bad_framing), 400},
        {"empty", IN(POST "Content-Length:\r\n" END), R(bad_framing), 400},
        {"float", IN(POST "Content-Length: 5.0\r\n" END), R(bad_framing), 400},
        {"exponent", IN(POST "Content-Length: 1e1\r\n" END), R(bad_framing), 400},
        {"quoted", IN(POST "Content-Length: \"5\"\r\n" END), R(bad_framing), 400},
        {"2^63", IN(POST "Content-Length: 9223372036854775808\r\n" END), R(bad_framing), 400},
        {"2^64", IN(POST "Content-Length: 18446744073709551616\r\n" END), R(bad_framing), 400},
        {"endless", IN(POST "Content-Length: 99999999999999999999999999\r\n" END), R(bad_framing), 400},
        {"underscore digits", IN(POST "Content-Length: 1_0\r\n" END), R(bad_framing), 400},
        {"NUL after", IN(POST "Content-Length: 5\0\r\n" END), R(bad_header), 400},
        {"vertical tab before",
            IN(POST "Content-Length: \x0b"
                    "5\r\n" END),
            R(bad_header), 400},
        {"blank before colon", IN(POST "Content-Length : 5\r\n" END), R(bad_header), 400},
        {"TE blank before colon", IN(POST "Transfer-Encoding : chunked\r\n" END), R(bad_header), 400},
        {"TE folded", IN(POST "Transfer-Encoding:\r\n chunked\r\n" END), R(bad_framing), 400},
        {"TE twice", IN(POST TE "chunked\r\n" TE "chunked\r\n" END), R(bad_framing), 400},
        {"TE list twice", IN(POST TE "chunked, chunked\r\n" END), R(bad_framing), 400},
        {"TE then identity", IN(POST TE "chunked\r\n" TE "identity\r\n" END), R(bad_framing), 400},
        {"identity", IN(POST TE "identity\r\n" END), R(bad_framing), 400},
        {"chunked, identity", IN(POST TE "chunked, identity\r\n" END), R(bad_framing), 400},
        {"identity, chunked", IN(POST TE "identity, chunked\r\n" END), R(bad_framing), 400},
        {"xchunked", IN(POST TE "xchunked\r\n" END), R(bad_framing), 400},
        {"chunkedx", IN(POST TE "chunkedx\r\n" END), R(bad_framing), 400},
        {"cow", IN(POST TE "cow\r\n" END), R(bad_framing), 400},
        {"empty first element", IN(POST TE ", chunked\r\n" END), R(bad_framing), 400},
        {"empty last element", IN(POST TE "chunked,\r\n" END), R(bad_framing), 400},
        {"empty", IN(POST TE "\r\n" END), R(bad_framing), 400},
        {"quoted", IN(POST TE "\"chunked\"\r\n" END), R(bad_framing), 400},
        {"with parameter", IN(POST TE "chunked;q=1\r\n" END), R(bad_framing), 400},
        {"chunked, gzip", IN(POST TE "chunked, gzip\r\n" END), R(bad_framing), 400},
        {"vertical tab",
            IN(POST TE "\x0b"
                       "chunked\r\n" END),
            R(bad_header), 400},
        {"non-ASCII",
            IN(POST TE "\xff"
                       "chunked\r\n" END),
            R(bad_framing), 400},
        {"gzip", IN(POST TE "gzip\r\n" END), R(unsupported_coding), 501},
        {"gzip, chunked", IN(POST TE "gzip, chunked\r\n" END), R(unsupported_coding), 501},
        {"chunked in 1.0", IN("POST / HTTP/1.0\r\n" H TE "chunked\r\n" END), R(bad_framing), 400},
        {"TRACE", IN("TRACE / HTTP/1.1\r\n" H END), R(unsupported_method), 405},
        {"two Upgrades", IN(GET H "Upgrade: a\r\nUpgrade: b\r\nConnection: upgrade\r\n" END), R(bad_header),
            400},
        {"two Max-Forwards", IN(GET H "Max-Forwards: 1\r\nmax-forwards: 1\r\n" END), R(bad_header), 400},
        {"an empty Max-Forwards", IN(GET H "Max-Forwards:\r\n" END), R(bad_header), 400},
        {"a signed Max-Forwards", IN(GET H "Max-Forwards: -1\r\n" END), R(bad_header), 400},
        {"a huge Max-Forwards", IN(GET H "Max-Forwards: 1000000000\r\n" END), R(bad_header), 400},
        {"TRACE with a body", IN("TRACE / HTTP/1.1\r\n" H "Content-Length: 1\r\n" END), R(unsupported_method),
            405},
        {"TRACE with chunks", IN("TRACE / HTTP/1.1\r\n" H TE "chunked\r\n" END), R(unsupported_method), 405},
    };
    run_refusals(cases, SP_COUNTOF(cases));
}

struct ok_case {
    const char *name;
    struct sp_slice in;
    size_t rest; /* bytes behind the head */
    const char *text;
};

static void test_well_formed_heads_are_read_in_one_way(void **state)
{
    (void)state;
    static const struct ok_case cases[] = {
        {"plain GET", IN(GET H END), 0,
            "method 1 status 0 minor 1 framing 0 length 0 keep 1 expect 0\nmethod=[GET]\ntarget=[/]\n"
            "scheme absent\npath=[/]\nquery absent\nhost=[a.example]\nreason absent\nname=[Host]\nvalue=[a.example]\n"},
        {"an empty line first", IN("\r\n" GET H END "next"), 4,
            "method 1 status 0 minor 1 framing 0 length 0 keep 1 expect 0\nmethod=[GET]\ntarget=[/]\n"
            "scheme absent\npath=[/]\nquery absent\nhost=[a.example]\nreason absent\nname=[Host]\nvalue=[a.example]\n"},
        {"length, blanks around values, other case",
            IN("PUT /a%20b/%C3%A9?x=%2f&y=/?;: HTTP/1.1\r\nhOsT:\t A.example:8443 \t\r\nCONTENT-length:  0012\r\nX:\r\n"
               "Y: a\tb\xc3\xa9\r\n" END "body"),
            4,
            "method 4 status 0 minor 1 framing 1 length 12 said keep 1 expect 0\nmethod=[PUT]\n"
            "target=[/a%20b/%C3%A9?x=%2f&y=/?;:]\nscheme absent\npath=[/a%20b/%C3%A9]\nquery=[x=%2f&y=/?;:]\n"
            "host=[A.example:8443]\nreason absent\nname=[hOsT]\nvalue=[A.example:8443]\nname=[CONTENT-length]\n"
            "value=[0012]\nname=[X]\nvalue=[]\nname=[Y]\nvalue=[a\tb\xc3\xa9]\n"},
        {"chunked with Expect", IN(POST "Transfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n" END), 0,
            "method 3 status 0 minor 1 framing 2 length 0 keep 1 expect 1\nmethod=[POST]\ntarget=[/]\n"
            "scheme absent\npath=[/]\nquery absent\nhost=[a.example]\nreason absent\nname=[Host]\nvalue=[a.example]\n"
            "name=[Transfer-Encoding]\nvalue=[Chunked]\nname=[Expect]\nvalue=[100-Continue]\n"},
        {"HTTP/1.0 never keeps alive and expects nothing",
            IN("POST / HTTP/1.0\r\n" H
               "Connection: keep-alive\r\nContent-Length: 1\r\nExpect: 100-continue\r\n" END),
            0,
            "method 3 status 0 minor 0 framing 1 length 1 said keep 0 expect 0\nmethod=[POST]\ntarget=[/]\n"
            "scheme absent\npath=[/]\nquery absent\nhost=[a.example]\nreason absent\nname=[Host]\nvalue=[a.example]\n"
            "name=[Connection]\nvalue=[keep-alive]\nname=[Content-Length]\nvalue=[1]\nname=[Expect]\n"
            "value=[100-continue]\n"},
        {"absolute form", IN("GET HTTP://A.example:80/x?y HTTP/1.1\r\n" H END), 0,
            "method 1 status 0 minor 1 framing 0 length 0 keep 1 expect 0\nmethod=[GET]\n"
            "target=[HTTP://A.example:80/x?y]\nscheme=[HTTP]\npath=[/x]\nquery=[y]\nhost=[a.example]\nreason absent\n"
            "name=[Host]\nvalue=[a.example]\n"},
        {"absolute form without path", IN("GET https://a.example?y HTTP/1.1\r\nHost: a.example:443\r\n" END),
            0,
            "method 1 status 0 minor 1 framing 0 length 0 keep 1 expect 0\nmethod=[GET]\n"
            "target=[https://a.example?y]\nscheme=[https]\npath=[/]\nquery=[y]\nhost=[a.example:443]\nreason absent\n"
            "name=[Host]\nvalue=[a.example:443]\n"},
        {"OPTIONS of the server, absolute form", IN("OPTIONS http://a.example HTTP/1.1\r\n" H END), 0,
            "method 6 status 0 minor 1 framing 0 length 0 keep 1 expect 0\nmethod=[OPTIONS]\n"
            "target=[http://a.example]\nscheme=[http]\npath=[*]\nquery absent\nhost=[a.example]\nreason absent\n"
            "name=[Host]\nvalue=[a.example]\n"},
        {"OPTIONS *", IN("OPTIONS * HTTP/1.1\r\n" H END), 0,
            "method 6 status 0 minor 1 framing 0 length 0 keep 1 expect 0\nmethod=[OPTIONS]\ntarget=[*]\n"
            "scheme absent\npath=[*]\nquery absent\nhost=[a.example]\nreason absent\nname=[Host]\nvalue=[a.example]\n"},
        {"upgrade and an empty query",
            IN("GET /a? HTTP/1.1\r\n" H "Upgrade: websocket\r\nConnection: ,Keep-Alive , Upgrade\r\n" END), 0,
            "method 1 status 0 minor 1 framing 0 length 0 keep 1 expect 0\nmethod=[GET]\ntarget=[/a?]\n"
            "scheme absent\npath=[/a]\nquery=[]\nhost=[a.example]\nreason absent\nupgrade=[websocket]\nname=[Host]\nvalue=[a.example]\n"
            "name=[Upgrade]\nvalue=[websocket]\nname=[Connection]\nvalue=[,Keep-Alive , Upgrade]\n"},
        {"close in the second of two Connection lines",
            IN("M-SEARCH /... HTTP/1.1\r\n" H "Connection: x\r\nConnection: y,CLOSE\r\n" END), 0,
            "method 0 status 0 minor 1 framing 0 length 0 keep 0 expect 0\nmethod=[M-SEARCH]\ntarget=[/...]\n"
            "scheme absent\npath=[/...]\nquery absent\nhost=[a.example]\nreason absent\nname=[Host]\nvalue=[a.example]\n"
            "name=[Connection]\nvalue=[x]\nname=[Connection]\nvalue=[y,CLOSE]\n"},
        {"an Upgrade field alone asks for nothing",
            IN("get /.a/b. HTTP/1.1\r\nHost: [::1]:1\r\nUpgrade: h2c\r\n" END), 0,
            "method 0 status 0 minor 1 framing 0 length 0 keep 1 expect 0\nmethod=[get]\ntarget=[/.a/b.]\n"
            "scheme absent\npath=[/.a/b.]\nquery absent\nhost=[[::1]:1]\nreason absent\nname=[Host]\nvalue=[[::1]:1]\n"
            "name=[Upgrade]\nvalue=[h2c]\n"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct outcome o;
        h1_run(&h1_test_limits, -1, cases[i].in, &o);
        if (o.rc != SP_OK)
            fail_msg("%s: rc %d %s", cases[i].name, o.rc, o.rc == SP_FAIL ? o.fault.detail : "");
        assert_string_equal(o.text, cases[i].text);
        assert_int_equal(o.used, cases[i].in.len - cases[i].rest);
    }
}

static void test_an_incomplete_head_asks_for_more(void **state)
{
    (void)state;
    static const struct sp_slice cases[] = {IN(""), IN("\r"), IN("\r\n"), IN("G"), IN("GET / HTTP/1.1\r"),
        IN(GET), IN(GET H), IN(GET H "\r"), IN(GET "H")};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct outcome o;
        h1_run(&h1_test_limits, -1, cases[i], &o);
        assert_int_equal(o.rc, SP_AGAIN);
    }
}

/* `unit` repeated behind `front`, then `back`. */
static struct sp_slice repeat(char *buf, const char *front, const char *unit, size_t times, const char *back)
{
    size_t len = 0, n = strlen(unit);
    memcpy(buf, front, strlen(front));
    len += strlen(front);
    for (size_t i = 0; i < times; i++, len += n)
        memcpy(buf + len, unit, n);
    memcpy(buf + len, back, strlen(back));
    return (struct sp_slice){buf, len + strlen(back)};
}

struct limit_case {
    const char *front, *unit;
    size_t times;
    const char *back;
    enum sp_refusal reason; /* none: it passes */
    unsigned status;
};

static void test_limits_hold_to_the_byte_and_before_the_head_is_complete(void **state)
{
    (void)state;
    static char buf[8192];
    /* limits: 2048 bytes, 20 fields, 200 bytes of target */
    static const struct limit_case cases[] = {
        {"GET /", "a", 199, " HTTP/1.1\r\n" H END, R(none), 0},
        {"GET /", "a", 200, " HTTP/1.1\r\n" H END, R(target_too_long), 414},
        {"GET /", "a", 200, "", R(target_too_long), 414},
        {"\r\nGET /", "a", 200, "", R(target_too_long), 414},
        {"GET /", "a", 1000, "\n", R(target_too_long), 414},
        {"GET /?", "a", 300, " HTTP/1.1\r\n" H END, R(target_too_long), 414},
        {GET H, "X: y\r\n", 19, END, R(none), 0},
        {GET H, "X: y\r\n", 20, END, R(header_too_large), 431},
        {GET H, "X: y\r\n", 20, "", R(header_too_large), 431},
        /* 16 + 17 + 3 + n + 2 + 2 */
        {GET H "X: ", "a", 2048 - 40, "\r\n\r\n", R(none), 0},
        {GET H "X: ", "a", 2048 - 39, "\r\n\r\n", R(header_too_large), 431},
        {GET H "X: ", "a", 2048 - 36, "", R(header_too_large), 431},
        {GET H "X: ", "a", 4000, "\r\n\r\n", R(header_too_large), 431},
        {GET H "X", "a", 4000, "", R(header_too_large), 431},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct limit_case *c = &cases[i];
        struct outcome o;
        h1_run(&h1_test_limits, -1, repeat(buf, c->front, c->unit, c->times, c->back), &o);
        if (c->reason == SP_REFUSAL_none
                ? o.rc != SP_OK
                : o.rc != SP_FAIL || o.fault.reason != c->reason || o.fault.status != c->status)
            fail_msg("case %zu: rc %d %s", i, o.rc, o.rc == SP_FAIL ? o.fault.detail : "");
    }
}

static void test_a_limit_above_the_capacity_is_held_to_the_capacity(void **state)
{
    (void)state;
    static char buf[8192];
    const struct sp_h1_limits limits = {.header_bytes = 8192, .headers = 100000, .target_bytes = 8192};
    struct outcome o;
    struct sp_h1_parser p;
    sp_h1_parser_reset(&p);
    assert_int_equal(
        h1_feed(&p, &limits, -1, repeat(buf, GET H, "X: y\r\n", 127, END), 33 + 127 * 6 + 2, &o), SP_OK);
    sp_h1_parser_reset(&p);
    assert_int_equal(
        h1_feed(&p, &limits, -1, repeat(buf, GET H, "X: y\r\n", 128, END), 33 + 128 * 6 + 2, &o), SP_FAIL);
    assert_int_equal(o.fault.reason, SP_REFUSAL_header_too_large);
}

/* Every byte in the places where only some are allowed: the table against the RFCs' own words. */
static void test_every_byte_is_judged_in_names_values_and_paths(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        struct sp_h1_parser p;
        struct outcome o;
        char text[128];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool name_ok = alnum || (c != 0 && strchr("!#$%&'*+-^`|~", c) != NULL); /* without _ and . */
        bool value_ok = c == '\t' || (c >= 0x20 && c != 0x7f);
        bool path_ok = alnum || (c != 0 && strchr("-._~!$&'()*+,=:@/?", c) != NULL);
        int n = snprintf(text, sizeof(text),
            GET H "aaa%caaa: b"
                  "\r\n" END,
            c == 0 ? 'Z' : c);
        if (c == 0)
            *strchr(text, 'Z') = '\0';
        sp_h1_parser_reset(&p);
        assert_int_equal(h1_feed(&p, &h1_test_limits, -1, (struct sp_slice){text, (size_t)n}, (size_t)n, &o),
            name_ok || c == ':' ? SP_OK : SP_FAIL);
        for (int at = 0; at < 9; at++) {
            n = snprintf(text, sizeof(text),
                GET H "X: abbbbbbbbbb"
                      "\r\n" END);
            memset(strstr(text, "abb") + 1 + at, c, 1);
            sp_h1_parser_reset(&p);
            assert_int_equal(
                h1_feed(&p, &h1_test_limits, -1, (struct sp_slice){text, (size_t)n}, (size_t)n, &o),
                value_ok ? SP_OK : SP_FAIL);
        }
        n = snprintf(text, sizeof(text), "GET /aZa HTTP/1.1\r\n" H END);
        memset(strchr(text, 'Z'), c, 1);
        sp_h1_parser_reset(&p);
        assert_int_equal(h1_feed(&p, &h1_test_limits, -1, (struct sp_slice){text, (size_t)n}, (size_t)n, &o),
            path_ok ? SP_OK : SP_FAIL);
    }
}

/* Parses as far as it goes and returns what can be told of it, in `text`. */
static void run_seen(struct sp_slice in, bool in_bytes, char *text, size_t room)
{
    static struct sp_h1_parser p;
    static struct sp_head head;
    struct sp_fault fault;
    size_t used, n = in_bytes ? 0 : in.len;
    enum sp_rc rc;

    sp_h1_parser_reset(&p);
    do
        rc = sp_h1_parse_request(&p, &h1_test_limits, (struct sp_slice){in.ptr, n}, &head, &used, &fault);
    while (rc == SP_AGAIN && n++ < in.len);
    assert_int_not_equal(rc, SP_OK);
    memset(&head, 0xee, sizeof(head));
    sp_h1_seen_request(&p, &h1_test_limits, (struct sp_slice){in.ptr, n < in.len ? n : in.len}, &head);
    assert_int_equal(head.header_count, 0);
    assert_null(head.query.ptr);
    snprintf(text, room, "%.*s|%.*s|%.*s", SP_FMT(head.method_text), SP_FMT(head.path), SP_FMT(head.host));
}

static void test_what_a_refused_head_tells_is_its_method_path_and_host_and_no_secret(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice in;
        const char *seen;
    } cases[] = {
        {IN("GET /a/../b?token=secret HTTP/1.1\r\n" H END), "GET|/a/../b|"},
        {IN("POST /a HTTP/1.1\r\n" H "Content-Length: x\r\n" END), "POST|/a|a.example"},
        {IN("GET /a HTTP/1.1\r\n" H "Host: b\r\n" END), "GET|/a|a.example"},
        {IN("GET /a HTTP/1.1\r\nHost: user:secret@b\r\n" END), "GET|/a|"},
        {IN("GET /a HTTP/1.1\r\n" H "X: b"), "GET|/a|a.example"},
        {IN("GET /a#secret HTTP/1.1\r\n" H END), "GET|/a|"},
        {IN("GET /a?secret"), "GET|/a|"},
        {IN("GET /a"), "GET|/a|"},
        {IN("GET "), "GET||"},
        {IN("GET"), "||"},
        {IN("\r\nGET /a HTTP/1.1\n"), "GET|/a|"},
        {IN("\r\n\r\nGET /a HTTP/1.1\r\n"), "||"},
        {IN("\r\n"), "||"},
        {IN("GET /a HTTP/2.0\r\n"), "GET|/a|"},
        {IN("PRI * HTTP/2.0\r\n"), "PRI|*|"},
        {IN("GET /a b HTTP/1.1\r\n"), "GET|/a|"},
        {IN("GET  /a HTTP/1.1\r\n"), "GET||"},
        {IN("GET\t/a HTTP/1.1\r\n"), "||"},
        {IN("G(T /a HTTP/1.1\r\n"), "||"},
        {IN("GET http://u:secret@b/a?x HTTP/1.1\r\n"), "GET|/a|"},
        {IN("GET http://u:secret@b?x HTTP/1.1\r\n"), "GET||"},
        {IN("GET HTTPS://b\\c//d HTTP/1.1\r\n"), "GET|//d|"},
        {IN("CONNECT b:443 HTTP/1.1\r\n"), "CONNECT|b:443|"},
        {IN("CONNECT u:secret@b:443 HTTP/1.1\r\n"), "CONNECT||"},
        {IN("the secret password\r\n"), "the||"},
        {IN("password=secret /a HTTP/1.1\r\n"), "||"},
        {IN("METHODMETHODMETHODMETHODMETHODMET /a HTTP/1.1\r\n"), "||"},
    };
    char whole[256], bytes[256];
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        run_seen(cases[i].in, false, whole, sizeof(whole));
        run_seen(cases[i].in, true, bytes, sizeof(bytes));
        if (strcmp(whole, cases[i].seen) != 0 || strcmp(bytes, whole) != 0)
            fail_msg("case %zu: %s, %s instead of %s", i, whole, bytes, cases[i].seen);
    }
}

static void test_a_target_that_is_too_long_is_told_up_to_the_limit(void **state)
{
    (void)state;
    char in[512], seen[512];
    memset(in, 'a', sizeof(in));
    memcpy(in, "GET /", 5);
    run_seen((struct sp_slice){in, sizeof(in)}, true, seen, sizeof(seen));
    assert_int_equal(strlen(seen), 4 + h1_test_limits.target_bytes + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_request_line_is_refused),
        cmocka_unit_test(test_a_target_with_two_readings_is_refused),
        cmocka_unit_test(test_a_field_with_two_readings_is_refused),
        cmocka_unit_test(test_a_host_that_is_not_one_is_refused),
        cmocka_unit_test(test_framing_in_doubt_is_refused),
        cmocka_unit_test(test_well_formed_heads_are_read_in_one_way),
        cmocka_unit_test(test_an_incomplete_head_asks_for_more),
        cmocka_unit_test(test_limits_hold_to_the_byte_and_before_the_head_is_complete),
        cmocka_unit_test(test_a_limit_above_the_capacity_is_held_to_the_capacity),
        cmocka_unit_test(test_every_byte_is_judged_in_names_values_and_paths),
        cmocka_unit_test(test_what_a_refused_head_tells_is_its_method_path_and_host_and_no_secret),
        cmocka_unit_test(test_a_target_that_is_too_long_is_told_up_to_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
