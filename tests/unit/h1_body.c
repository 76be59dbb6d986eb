/* Where bodies end: chunks in every wrong shape, and in the right one cut at every byte. */
#include "h1_support.h"

#define IN(text)                                                                                             \
    {                                                                                                        \
        "" text, sizeof(text) - 1                                                                            \
    }

struct body_outcome {
    enum sp_rc rc;
    size_t used;
    char data[512];
    size_t len;
    char trailers[512]; /* "name=value;", those that may be */
    const char *detail;
};

static void note_trailers(struct sp_slice lines, struct body_outcome *o)
{
    struct sp_header items[SP_TRAILERS_MAX];
    size_t count = sp_h1_trailers(lines, items), len = 0;
    for (size_t i = 0; i < count && len < sizeof(o->trailers); i++)
        len += (size_t)snprintf(o->trailers + len, sizeof(o->trailers) - len, "%.*s=%.*s;",
            SP_FMT(items[i].name), SP_FMT(items[i].value));
}

/* Feeds in[0..ends[0]), then the rest up to ends[1], ... as a connection would: what was not used stays in
 * front. */
static void feed(enum sp_framing framing, uint64_t length, struct sp_slice in, size_t step, size_t split,
    struct body_outcome *o)
{
    struct sp_h1_body b;
    struct sp_fault fault = {.detail = ""};
    size_t have = 0;
    sp_h1_body_init(&b, framing, length);
    memset(o, 0, sizeof(*o));
    have = step > 0 ? 0 : split;
    for (;;) {
        size_t used = 99999, n = have - o->used;
        struct sp_slice data = {NULL, 0};
        char *part = malloc(n > 0 ? n : 1);
        memcpy(part, in.ptr + o->used, n);
        o->rc = sp_h1_body_next(&b, (struct sp_slice){part, n}, &used, &data, &fault);
        if (o->rc == SP_OK) {
            assert_true(data.len > 0 && data.ptr >= part && data.ptr + data.len == part + used && used <= n);
            memcpy(o->data + o->len, data.ptr, data.len);
            o->len += data.len;
        }
        if (o->rc == SP_EOF)
            note_trailers(data, o);
        free(part);
        if (o->rc == SP_FAIL) {
            assert_int_equal(fault.status, 400);
            assert_int_equal(fault.reason, SP_REFUSAL_bad_chunk);
            o->detail = fault.detail;
            o->used = 0;
            return;
        }
        o->used += used;
        if (o->rc == SP_EOF) {
            assert_int_equal(sp_h1_body_next(&b, in, &used, &data, &fault), SP_EOF); /* it stays ended */
            assert_int_equal(used, 0);
            assert_int_equal(b.total, o->len);
            return;
        }
        if (o->rc == SP_AGAIN) {
            assert_true(
                used == n || (o->used > 0 && in.ptr[o->used - 1] == '\n')); /* trailers are offered again */
            if (have == in.len)
                return;
            have = step > 0 ? have + step : in.len;
        }
    }
}

static void run(enum sp_framing framing, uint64_t length, struct sp_slice in, struct body_outcome *whole)
{
    struct body_outcome o;
    feed(framing, length, in, 0, in.len, whole);
    for (size_t split = 0; split <= in.len; split++) {
        feed(framing, length, in, split == in.len, split, &o); /* the last time byte by byte */
        if (o.rc != whole->rc || o.used != whole->used || o.len != whole->len ||
            memcmp(o.data, whole->data, o.len) != 0 || strcmp(o.trailers, whole->trailers) != 0 ||
            (o.detail != NULL && strcmp(o.detail, whole->detail) != 0))
            if (o.rc != SP_FAIL ||
                whole->rc != SP_FAIL) /* data before a fault may have come in other pieces */
                fail_msg("split at %zu of [%.*s]: rc %d not %d", split, SP_FMT(in), o.rc, whole->rc);
    }
}

static void test_malformed_chunks_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct sp_slice in;
    } cases[] = {
        {"no digits", IN("\r\nabc\r\n0\r\n\r\n")},
        {"extension without size", IN(";a\r\n")},
        {"plus", IN("+3\r\nabc\r\n0\r\n\r\n")},
        {"minus", IN("-3\r\nabc\r\n0\r\n\r\n")},
        {"0x", IN("0x3\r\nabc\r\n0\r\n\r\n")},
        {"blank before", IN(" 3\r\nabc\r\n0\r\n\r\n")},
        {"blank after", IN("3 \r\nabc\r\n0\r\n\r\n")},
        {"tab after", IN("3\t\r\nabc\r\n0\r\n\r\n")},
        {"blank before the extension", IN("3 ;a\r\nabc\r\n0\r\n\r\n")},
        {"no hex digit", IN("g\r\n")},
        {"comma", IN("3,3\r\nabc")},
        {"underscore", IN("1_0\r\n")},
        {"quoted", IN("\"3\"\r\nabc")},
        {"17 digits", IN("00000000000000003\r\nabc\r\n0\r\n\r\n")},
        {"16 digits, all of them f", IN("ffffffffffffffff\r\na")},
        {"2^63", IN("8000000000000000\r\na")},
        {"sum of chunks overflows", IN("1\r\na\r\n7fffffffffffffff\r\na")},
        {"LF after the size", IN("3\nabc\r\n0\r\n\r\n")},
        {"CR after the size", IN("3\rabc\r\n0\r\n\r\n")},
        {"CR CR LF", IN("3\r\r\nabc\r\n0\r\n\r\n")},
        {"NUL after the size", IN("3\0\r\nabc\r\n0\r\n\r\n")},
        {"LF in an extension", IN("3;a\nabc\r\n0\r\n\r\n")},
        {"CR in an extension", IN("3;a\rb\r\nabc\r\n0\r\n\r\n")},
        {"NUL in an extension", IN("3;a\0\r\nabc\r\n0\r\n\r\n")},
        {"non-ASCII extension", IN("3;\xc3\xa9\r\nabc\r\n0\r\n\r\n")},
        {"longer than its size", IN("3\r\nabcd\r\n0\r\n\r\n")},
        {"shorter than its size", IN("5\r\nabc\r\n0\r\n\r\n")},
        {"LF after data", IN("3\r\nabc\n0\r\n\r\n")},
        {"CR after data", IN("3\r\nabc\r0\r\n\r\n")},
        {"nothing after data", IN("3\r\nabc0\r\n\r\n")},
        {"LF CR after data", IN("3\r\nabc\n\r0\r\n\r\n")},
        {"LF after the last chunk", IN("0\n\r\n")},
        {"LF for the last line", IN("0\r\n\n")},
        {"CR for the last line", IN("0\r\n\rX\n")},
        {"a request behind the size 0", IN("0\r\nGET / HTTP/1.1\r\n\r\n")},
        {"trailer without colon", IN("0\r\nX\r\n\r\n")},
        {"trailer without name", IN("0\r\n: a\r\n\r\n")},
        {"trailer with blank before colon", IN("0\r\nX : a\r\n\r\n")},
        {"folded trailer", IN("0\r\nX: a\r\n b\r\n\r\n")},
        {"blank line in trailers", IN("0\r\n \r\n\r\n")},
        {"trailer ended by LF", IN("0\r\nX: a\n\r\n")},
        {"CR in a trailer", IN("0\r\nX: a\rb\r\n\r\n")},
        {"NUL in a trailer", IN("0\r\nX: a\0\r\n\r\n")},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct body_outcome o;
        run(SP_FRAMING_CHUNKED, 0, cases[i].in, &o);
        if (o.rc != SP_FAIL)
            fail_msg("%s: rc %d, %zu bytes", cases[i].name, o.rc, o.len);
    }
}

static void test_bodies_end_where_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sp_framing framing;
        uint64_t length;
        struct sp_slice in;
        enum sp_rc rc;
        size_t rest;
        const char *data;
    } cases[] = {
        {"none", SP_FRAMING_NONE, 0, IN("next"), SP_EOF, 4, ""},
        {"none, nothing there", SP_FRAMING_NONE, 0, IN(""), SP_EOF, 0, ""},
        {"length", SP_FRAMING_LENGTH, 3, IN("abcnext"), SP_EOF, 4, "abc"},
        {"length 0", SP_FRAMING_LENGTH, 0, IN("next"), SP_EOF, 4, ""},
        {"length, not all there", SP_FRAMING_LENGTH, 5, IN("abc"), SP_AGAIN, 0, "abc"},
        {"close", SP_FRAMING_CLOSE, 0, IN("0\r\n\r\n"), SP_AGAIN, 0, "0\r\n\r\n"},
        {"no chunk", SP_FRAMING_CHUNKED, 0, IN("0\r\n\r\nnext"), SP_EOF, 4, ""},
        {"chunks", SP_FRAMING_CHUNKED, 0, IN("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nnext"), SP_EOF, 4,
            "abc0123456789"},
        {"leading zeros", SP_FRAMING_CHUNKED, 0, IN("0000000000000003\r\nabc\r\n000\r\n\r\n"), SP_EOF, 0,
            "abc"},
        {"data that looks like framing", SP_FRAMING_CHUNKED, 0, IN("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), SP_EOF, 0,
            "0\r\n\r\n"},
        {"extensions", SP_FRAMING_CHUNKED, 0, IN("3;a=b;c=\"d; e\"\t\r\nabc\r\n0;x\r\n\r\n"), SP_EOF, 0,
            "abc"},
        {"trailers", SP_FRAMING_CHUNKED, 0, IN("1\r\na\r\n0\r\nX: y\r\nContent-Length: 9\r\nA:\r\n\r\nn"),
            SP_EOF, 1, "a"},
        {"trailers, begun", SP_FRAMING_CHUNKED, 0, IN("1\r\na\r\n0\r\nX: y\r\nA"), SP_AGAIN, 7, "a"},
        {"not ended", SP_FRAMING_CHUNKED, 0, IN("1\r\na\r\n0\r\n"), SP_AGAIN, 0, "a"},
        {"a big chunk, begun", SP_FRAMING_CHUNKED, 0, IN("7fffffffffffffff\r\na"), SP_AGAIN, 0, "a"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct body_outcome o;
        run(cases[i].framing, cases[i].length, cases[i].in, &o);
        if (o.rc != cases[i].rc || o.used != cases[i].in.len - cases[i].rest ||
            o.len != strlen(cases[i].data) || memcmp(o.data, cases[i].data, o.len) != 0)
            fail_msg("%s: rc %d used %zu data [%.*s]", cases[i].name, o.rc, o.used, (int)o.len, o.data);
    }
}

static void test_trailers_are_told_but_for_those_that_change_a_message(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice in;
        const char *want;
    } cases[] = {
        {IN("0\r\n\r\n"), ""},
        {IN("1\r\na\r\n0;x\r\nX-Sum: \t 12 \r\nContent-Digest: sha-256=:a:\r\nB:\r\n\r\nrest"),
            "X-Sum=12;Content-Digest=sha-256=:a:;B=;"},
        {IN("0\r\nETag: \"e\"\r\ngrpc-status: 0\r\nx_y.z: 1\r\n\r\n"), "ETag=\"e\";grpc-status=0;x_y.z=1;"},
        {IN("0\r\nContent-Length: 5\r\nTRANSFER-ENCODING: chunked\r\nhost: a\r\nConnection: close\r\nTE: trailers\r\n"
            "Trailer: X\r\nUpgrade: x\r\nKeep-Alive: 1\r\nMax-Forwards: 1\r\nX: kept\r\n\r\n"),
            "X=kept;"},
        {IN("0\r\nAuthorization: a\r\nCookie: a\r\nSet-Cookie: a\r\nProxy-Authorization: a\r\nWWW-Authenticate: a\r\n"
            "X: kept\r\n\r\n"),
            "X=kept;"},
        {IN("0\r\nCache-Control: a\r\nExpect: a\r\nRange: a\r\nIf-Match: a\r\nVary: a\r\nDate: a\r\nAge: a\r\n"
            "Location: a\r\nRetry-After: a\r\nX: kept\r\n\r\n"),
            "X=kept;"},
        {IN("0\r\nContent-Type: a\r\nContent-Encoding: a\r\nContent-Range: a\r\nX-Request-Id: a\r\n"
            "traceparent: a\r\nForwarded: a\r\nX: kept\r\n\r\n"),
            "X=kept;"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct body_outcome o;
        run(SP_FRAMING_CHUNKED, 0, cases[i].in, &o);
        if (o.rc != SP_EOF || strcmp(o.trailers, cases[i].want) != 0)
            fail_msg("case %zu: rc %d [%s]", i, o.rc, o.trailers);
    }
}

static void test_trailers_are_bounded_in_number(void **state)
{
    (void)state;
    static char buf[1024];
    struct body_outcome o;
    for (int over = 0; over <= 1; over++) {
        size_t len = (size_t)snprintf(buf, sizeof(buf), "0\r\n");
        for (int i = 0; i < SP_TRAILERS_MAX + over; i++)
            len += (size_t)snprintf(buf + len, sizeof(buf) - len, "X:\r\n");
        len += (size_t)snprintf(buf + len, sizeof(buf) - len, "\r\n");
        feed(SP_FRAMING_CHUNKED, 0, (struct sp_slice){buf, len}, 0, len, &o);
        assert_int_equal(o.rc, over ? SP_FAIL : SP_EOF);
    }
}

static void test_framing_around_the_data_is_bounded(void **state)
{
    (void)state;
    static char buf[20000];
    struct body_outcome o;
    const size_t room = 256 - 2; /* "3;" and the CR count */
    for (int over = 0; over <= 1; over++) {
        memset(buf, 'e', sizeof(buf));
        memcpy(buf, "0;", 2);
        memcpy(buf + room + 1 + (size_t)over, "\r\n\r\n", 4);
        feed(SP_FRAMING_CHUNKED, 0, (struct sp_slice){buf, room + 5 + (size_t)over}, 0, 0, &o);
        assert_int_equal(o.rc, over ? SP_FAIL : SP_EOF);
    }
    memset(buf, 'e', sizeof(buf));
    feed(SP_FRAMING_CHUNKED, 0, (struct sp_slice){"3;", 2}, 1, 0, &o);
    assert_int_equal(o.rc, SP_AGAIN);
    memcpy(buf, "0\r\nX:", 5);
    feed(SP_FRAMING_CHUNKED, 0, (struct sp_slice){buf, 3 + 8191}, 0, 0, &o);
    assert_int_equal(o.rc, SP_AGAIN);
    feed(SP_FRAMING_CHUNKED, 0, (struct sp_slice){buf, 3 + 8192}, 0, 0, &o);
    assert_int_equal(o.rc, SP_FAIL);
    size_t at = 3; /* many small trailers */
    while (at < sizeof(buf) - 5) {
        memcpy(buf + at, "X:\r\n", 4);
        at += 4;
    }
    feed(SP_FRAMING_CHUNKED, 0, (struct sp_slice){buf, at}, 0, 0, &o);
    assert_int_equal(o.rc, SP_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_chunks_are_refused),
        cmocka_unit_test(test_bodies_end_where_they_say),
        cmocka_unit_test(test_trailers_are_told_but_for_those_that_change_a_message),
        cmocka_unit_test(test_trailers_are_bounded_in_number),
        cmocka_unit_test(test_framing_around_the_data_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
