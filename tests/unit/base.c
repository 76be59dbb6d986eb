/* The floor under everything: units, addresses, memory, errors, time. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/base/addr.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/list.h"
#include "sallyport/base/mem.h"
#include "sallyport/base/random.h"
#include "sallyport/base/text.h"

/* ---- text ---- */

typedef bool number_parser(struct sp_slice, uint64_t *);

struct number_case {
    const char *text;
    bool ok;
    uint64_t value;
};

static void check_numbers(number_parser *parse, const struct number_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;
        bool ok = parse(sp_slice_of(cases[i].text), &value);
        if (ok != cases[i].ok || (ok && value != cases[i].value))
            fail_msg("\"%s\": %d %" PRIu64, cases[i].text, ok, value);
    }
}

static void test_a_number_is_digits_and_nothing_else(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"+1", false, 0},
        {"-1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
        {"1.5", false, 0},
    };
    check_numbers(sp_parse_u64, cases, SP_COUNTOF(cases));
    uint64_t value = 0;
    assert_false(sp_parse_u64((struct sp_slice){"1\0", 2}, &value));
    assert_false(sp_parse_u64((struct sp_slice){NULL, 0}, &value));
}

static void test_a_duration_has_a_unit_unless_it_is_nothing(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"0", true, 0},
        {"250ms", true, 250},
        {"2s", true, 2000},
        {"5m", true, 300000},
        {"24h", true, 86400000},
        {"7d", true, 604800000},
        {"0s", true, 0},
        {"18446744073709551615ms", true, UINT64_MAX},
        {"18446744073709551615s", false, 0},
        {"213503982335d", false, 0},
        {"5", false, 0},
        {"00", false, 0},
        {"s", false, 0},
        {"", false, 0},
        {"5S", false, 0},
        {"5 s", false, 0},
        {"5sec", false, 0},
        {"1h30m", false, 0},
        {"-1s", false, 0},
        {"1.5s", false, 0},
    };
    check_numbers(sp_parse_duration_ms, cases, SP_COUNTOF(cases));
}

static void test_a_size_has_binary_or_decimal_units(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {"512", true, 512},
        {"0", true, 0},
        {"16KiB", true, 16384},
        {"4MiB", true, 4194304},
        {"1GiB", true, 1073741824},
        {"16kB", true, 16000},
        {"4MB", true, 4000000},
        {"1GB", true, 1000000000},
        {"17179869184GiB", false, 0},
        {"17179869183GiB", true, UINT64_C(17179869183) << 30},
        {"16K", false, 0},
        {"16KB", false, 0},
        {"16kiB", false, 0},
        {"KiB", false, 0},
        {"16 KiB", false, 0},
        {"", false, 0},
    };
    check_numbers(sp_parse_size, cases, SP_COUNTOF(cases));
}

static void test_a_duration_is_written_in_its_largest_whole_unit_and_reads_back(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "1ms"},
        {999, "999ms"},
        {1000, "1s"},
        {1500, "1500ms"},
        {60000, "1m"},
        {90000, "90s"},
        {5400000, "90m"},
        {3600000, "1h"},
        {86400000, "1d"},
        {90000000, "25h"},
        {UINT64_MAX, "18446744073709551615ms"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char text[SP_DURATION_MAX];
        uint64_t back = 1;
        assert_string_equal(sp_format_duration_ms(cases[i].ms, text), cases[i].text);
        assert_true(sp_parse_duration_ms(sp_slice_of(text), &back));
        assert_true(back == cases[i].ms);
    }
}

static void test_a_span_is_told_in_its_two_largest_units(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {0, "0 s"},
        {59, "59 s"},
        {60, "1 min"},
        {61, "1 min 1 s"},
        {-61, "1 min 1 s"},
        {7199, "1 h 59 min"},
        {7200, "2 h"},
        {86399, "23 h 59 min"},
        {86400 + 59, "1 d"},
        {6 * 86400 + 3 * 3600, "6 d 3 h"},
        {30 * 86400 + 3600, "30 d 1 h"},
        {31 * 86400 + 3600, "31 d"},
        {INT64_MAX, "106751991167300 d"},
        {INT64_MIN, "106751991167300 d"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char text[SP_SPAN_MAX];
        assert_string_equal(sp_format_span_s(cases[i].seconds, text), cases[i].text);
    }
}

static void test_hex_goes_there_and_back(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0x00, 0x7f, 0x80, 0xff, 0x1a};
    uint8_t back[sizeof(bytes)];
    char text[2 * sizeof(bytes) + 1];
    assert_string_equal(sp_hex(bytes, sizeof(bytes), text), "007f80ff1a");
    assert_string_equal(sp_hex(bytes, 0, text), "");
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"007f80ff1a", true},
        {"007F80Ff1A", true},
        {"00:7f:80:ff:1a", true},
        {"00:7f80:ff1a", true},
        {"007f80ff1", false},
        {"007f80ff1a00", false},
        {"007f80ff", false},
        {":007f80ff1a", false},
        {"007f80ff1a:", false},
        {"00::7f80ff1a", false},
        {"0:07f80ff1a", false},
        {"007f80ff1g", false},
        {"", false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        bool ok = sp_unhex(sp_slice_of(cases[i].text), back, sizeof(back));
        if (ok != cases[i].ok || (ok && memcmp(back, bytes, sizeof(bytes)) != 0))
            fail_msg("\"%s\"", cases[i].text);
    }
    assert_true(sp_unhex(SP_SLICE(""), back, 0));
    assert_false(sp_unhex(SP_SLICE("00"), back, 0));
}

static void test_base64_has_one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
        bool ok;
    } cases[] = {
        {"", "", true},
        {"Zg==", "f", true},
        {"Zm8=", "fo", true},
        {"Zm9v", "foo", true},
        {"Zm9vYmFy", "foobar", true},
        {"/+8=", "\xff\xef", true},
        {"Zh==", "", false}, /* bits that nobody reads */
        {"Zm9=", "", false},
        {"Zg=", "", false},
        {"Zg", "", false},
        {"Z===", "", false},
        {"Zg==Zg==", "", false},
        {"Zm 9", "", false},
        {"Zm-_", "", false},
        {"====", "", false},
    };

    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char out[16];
        size_t len = 0;
        bool ok = sp_base64_decode(sp_slice_of(cases[i].text), out, &len);
        assert_int_equal(ok, cases[i].ok);
        if (ok)
            assert_true(sp_slice_equal((struct sp_slice){out, len}, sp_slice_of(cases[i].bytes)));
    }
}

static void test_only_the_shortest_form_of_a_character_is_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        uint32_t code;
    } cases[] = {
        {"\xc3\xa4", 2, 0xe4},
        {"\xc2\x80", 2, 0x80},
        {"\xe2\x82\xac!", 3, 0x20ac},
        {"\xf0\x9f\x94\x91", 4, 0x1f511},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        {"a", 0, 0},
        {"\xc3", 0, 0},
        {"\xc3(", 0, 0},
        {"\xa4", 0, 0},
        {"\xe2\x82", 0, 0},
        {"\xc0\xaf", 0, 0},
        {"\xe0\x80\xaf", 0, 0},
        {"\xf0\x80\x80\xaf", 0, 0}, /* overlong */
        {"\xed\xa0\x80", 0, 0},
        {"\xf4\x90\x80\x80", 0, 0},
        {"\xff", 0, 0},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        uint32_t code = 0;
        size_t len = sp_utf8_take(sp_slice_of(cases[i].text), &code);
        if (len != cases[i].len || code != cases[i].code)
            fail_msg("case %zu: length %zu, code %u", i, len, (unsigned)code);
    }
}

static void test_the_distance_counts_edits_and_swaps_whatever_the_case(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned edits;
    } cases[] = {
        {"", "", 0},
        {"a", "", 1},
        {"", "abc", 3},
        {"listener", "listeners", 1},
        {"LISTENERS", "listeners", 0},
        {"kitten", "sitting", 3},
        {"timeuot", "timeout", 1},
        {"ab", "ba", 1},
        {"abcd", "badc", 2},
        {"ca", "abc", 3},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_slice a = sp_slice_of(cases[i].a), b = sp_slice_of(cases[i].b);
        assert_int_equal(sp_edit_distance(a, b), cases[i].edits);
        assert_int_equal(sp_edit_distance(b, a), cases[i].edits);
    }
    char x[100], y[100];
    memset(x, 'x', sizeof(x));
    memset(y, 'y', sizeof(y));
    assert_int_equal(sp_edit_distance((struct sp_slice){x, sizeof(x)}, (struct sp_slice){y, sizeof(y)}), 64);
}

/* ---- clock, random ---- */

static void test_a_time_is_written_for_http(void **state)
{
    char out[SP_HTTP_DATE_MAX];

    (void)state;
    assert_string_equal(sp_time_http(784111777, out), "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110 §5.6.7 */
    assert_string_equal(sp_time_http(0, out), "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void test_a_time_is_written_as_rfc3339_in_utc(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *with_ms, *without;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z"},
        {INT64_C(1795339500123456), "2026-11-22T09:25:00.123Z", "2026-11-22T09:25:00Z"},
        {INT64_C(951782400000000), "2000-02-29T00:00:00.000Z", "2000-02-29T00:00:00Z"},
        {INT64_C(4107542399999999), "2100-02-28T23:59:59.999Z", "2100-02-28T23:59:59Z"},
        {INT64_C(4107542400000000), "2100-03-01T00:00:00.000Z", "2100-03-01T00:00:00Z"},
        {INT64_C(253402300799000000), "9999-12-31T23:59:59.000Z", "9999-12-31T23:59:59Z"},
        {-1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59Z"},
        {-INT64_C(62135596800000000), "0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00Z"},
        {INT64_MAX, "294247-01-10T04:00:54.775Z", "294247-01-10T04:00:54Z"},
        {INT64_MIN, "-290308-12-21T19:59:05.224Z", "-290308-12-21T19:59:05Z"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char text[SP_RFC3339_MAX];
        assert_string_equal(sp_time_rfc3339(cases[i].us, true, text), cases[i].with_ms);
        assert_string_equal(sp_time_rfc3339(cases[i].us, false, text), cases[i].without);
    }
}

static void test_every_day_of_four_centuries_agrees_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = -60000; day < 90000; day++) {
        time_t seconds = (time_t)(day * 86400 + 43200);
        struct tm tm;
        char expected[32], text[SP_RFC3339_MAX];
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_true(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
        sp_time_rfc3339((int64_t)seconds * 1000000, false, text);
        if (strcmp(text, expected) != 0)
            fail_msg("%s is not %s", text, expected);
    }
}

static void test_the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    uint64_t before = sp_mono_us();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = sp_mono_us();
        assert_true(now >= before);
        before = now;
    }
    assert_true(sp_mono_ms() >= before / 1000);
    assert_true(sp_wall_us() > INT64_C(1600000000000000));
}

static void test_two_generators_do_not_run_in_step(void **state)
{
    (void)state;
    struct sp_random a, b;
    assert_int_equal(sp_random_init(&a), SP_OK);
    assert_int_equal(sp_random_init(&b), SP_OK);
    unsigned same = 0;
    uint64_t ones = 0, zeros = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = sp_random_next(&a);
        same += x == sp_random_next(&b);
        ones |= x;
        zeros |= ~x;
    }
    assert_int_equal(same, 0);
    assert_true(ones == UINT64_MAX && zeros == UINT64_MAX);
    /* The first numbers from a known state, so that the algorithm is the one that was named. */
    struct sp_random known = {{1, 2, 3, 4}};
    static const uint64_t expected[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240)};
    for (size_t i = 0; i < SP_COUNTOF(expected); i++)
        assert_true(sp_random_next(&known) == expected[i]);
}

/* ---- err ---- */

static void test_an_error_gains_context_while_it_rises(void **state)
{
    (void)state;
    struct sp_err err;
    assert_int_equal(sp_err_set(&err, "line %d: bad base64", 3), SP_FAIL);
    assert_int_equal(err.sys, 0);
    assert_int_equal(sp_err_wrap(&err, "crl file %s", "ca/root.crl"), SP_FAIL);
    assert_string_equal(err.text, "crl file ca/root.crl: line 3: bad base64");
    assert_int_equal(sp_err_sys(&err, ENOENT, "open %s", "x"), SP_FAIL);
    assert_int_equal(err.sys, ENOENT);
    assert_string_equal(err.text, "open x: No such file or directory");
    assert_int_equal(sp_err_wrap(&err, "a"), SP_FAIL);
    assert_int_equal(err.sys, ENOENT);
    assert_int_equal(sp_err_set(&err, "%s, again", err.text), SP_FAIL);
    assert_string_equal(err.text, "a: open x: No such file or directory, again");
    assert_int_equal(sp_err_set(NULL, "x"), SP_FAIL);
    assert_int_equal(sp_err_sys(NULL, 1, "x"), SP_FAIL);
    assert_int_equal(sp_err_wrap(NULL, "x"), SP_FAIL);
}

static void test_an_error_too_long_is_cut_and_ends_in_nul(void **state)
{
    (void)state;
    struct sp_err err;
    char longer[2 * SP_ERR_TEXT];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    for (size_t len = SP_ERR_TEXT - 8; len < SP_ERR_TEXT + 8; len++) {
        sp_err_set(&err, "%.*s", (int)len, longer);
        assert_int_equal(strlen(err.text), len < SP_ERR_TEXT ? len : SP_ERR_TEXT - 1);
        sp_err_wrap(&err, "front");
        assert_int_equal(strlen(err.text), SP_ERR_TEXT - 1);
        assert_memory_equal(err.text, "front: xxx", 10);
        sp_err_sys(&err, EPERM, "%.*s", (int)len, longer);
        assert_int_equal(strlen(err.text), SP_ERR_TEXT - 1);
    }
}

static void test_a_failed_assertion_says_where_and_aborts(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        sp_assert_failed("1 == 2", "some.c", 7);
    }
    close(fds[1]);
    char text[256] = "";
    ssize_t n = read(fds[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    assert_string_equal(text, "sallyport: assertion failed: 1 == 2 (some.c:7)\n");
    close(fds[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- list ---- */

struct item {
    int value;
    struct sp_list link;
};

static void test_a_list_keeps_order_and_lets_the_visited_go(void **state)
{
    (void)state;
    struct sp_list head;
    struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    sp_list_init(&head);
    assert_true(sp_list_is_empty(&head));
    for (int i = 1; i < 4; i++)
        sp_list_append(&head, &items[i].link);
    sp_list_prepend(&head, &items[0].link);
    int expected = 0;
    SP_LIST_EACH (&head, it) {
        struct item *item = SP_CONTAINER_OF(it, struct item, link);
        assert_int_equal(item->value, expected++);
        sp_list_remove(it);
        sp_list_remove(it);
    }
    assert_int_equal(expected, 4);
    assert_true(sp_list_is_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_number_is_digits_and_nothing_else),
        cmocka_unit_test(test_a_duration_has_a_unit_unless_it_is_nothing),
        cmocka_unit_test(test_a_size_has_binary_or_decimal_units),
        cmocka_unit_test(test_a_duration_is_written_in_its_largest_whole_unit_and_reads_back),
        cmocka_unit_test(test_a_span_is_told_in_its_two_largest_units),
        cmocka_unit_test(test_hex_goes_there_and_back),
        cmocka_unit_test(test_base64_has_one_spelling),
        cmocka_unit_test(test_only_the_shortest_form_of_a_character_is_utf8),
        cmocka_unit_test(test_the_distance_counts_edits_and_swaps_whatever_the_case),
        cmocka_unit_test(test_a_time_is_written_as_rfc3339_in_utc),
        cmocka_unit_test(test_a_time_is_written_for_http),
        cmocka_unit_test(test_every_day_of_four_centuries_agrees_with_the_c_library),
        cmocka_unit_test(test_the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(test_two_generators_do_not_run_in_step),
        cmocka_unit_test(test_an_error_gains_context_while_it_rises),
        cmocka_unit_test(test_an_error_too_long_is_cut_and_ends_in_nul),
        cmocka_unit_test(test_a_failed_assertion_says_where_and_aborts),
        cmocka_unit_test(test_a_list_keeps_order_and_lets_the_visited_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
