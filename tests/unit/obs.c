/* What the log writes, byte for byte; the ring that lines travel in; metrics and refusal words. Threads and
 * outputs are in obs_log.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "obs/ring.h"
#include "sallyport/base/mem.h"
#include "sallyport/base/version.h"
#include "sallyport/obs/log.h"
#include "sallyport/obs/meter.h"

static const int64_t some_time_us = INT64_C(1795339500123456); /* 2026-11-22T09:25:00.123Z */

/* ---- lines ---- */

static void assert_line(const char *expected, enum sp_log_format format, int level, const char *event,
    const struct sp_log_field *fields, size_t count)
{
    struct sp_buf out = {0};
    sp_log_format(&out, format, level, some_time_us, event, fields, count);
    assert_false(out.failed);
    sp_buf_add_char(&out, '\0');
    assert_string_equal(out.ptr, expected);
    sp_buf_free(&out);
}

static void test_an_event_is_time_level_name_and_fields(void **state)
{
    (void)state;
    const struct sp_log_field fields[] = {
        SP_LOG_W("reason", "revoked"),
        SP_LOG_C("subject", "CN=a b"),
        SP_LOG_N("serial", UINT64_MAX),
        SP_LOG_T("took_ms", 1234),
        SP_LOG_T("waited_ms", 7),
        SP_LOG_S("absent", ((struct sp_slice){NULL, 0})),
        SP_LOG_W("unsaid", NULL),
        SP_LOG_C("empty", ""),
    };
    assert_line("{\"time\":\"2026-11-22T09:25:00.123Z\",\"level\":\"warn\",\"event\":\"refused\",\"reason\":"
                "\"revoked\",\"subject\":\"CN=a b\",\"serial\":18446744073709551615,\"took_ms\":1.234,"
                "\"waited_ms\":0.007,\"empty\":\"\"}\n",
        SP_LOG_JSON, SP_LOG_WARN, "refused", fields, SP_COUNTOF(fields));
    assert_line("2026-11-22T09:25:00.123Z warn refused reason=revoked subject=\"CN=a b\" "
                "serial=18446744073709551615 took_ms=1.234 waited_ms=0.007 empty=\"\"\n",
        SP_LOG_TEXT, SP_LOG_WARN, "refused", fields, SP_COUNTOF(fields));
}

static void test_an_access_record_has_no_level(void **state)
{
    (void)state;
    const struct sp_log_field fields[] = {SP_LOG_N("status", 200)};
    assert_line("{\"time\":\"2026-11-22T09:25:00.123Z\",\"event\":\"access\",\"status\":200}\n", SP_LOG_JSON,
        -1, "access", fields, 1);
    assert_line("2026-11-22T09:25:00.123Z access status=200\n", SP_LOG_TEXT, -1, "access", fields, 1);
    assert_line(
        "{\"time\":\"2026-11-22T09:25:00.123Z\",\"event\":\"access\"}\n", SP_LOG_JSON, -1, "access", NULL, 0);
}

static void test_every_level_has_its_word(void **state)
{
    (void)state;
    assert_line("2026-11-22T09:25:00.123Z debug x\n", SP_LOG_TEXT, SP_LOG_DEBUG, "x", NULL, 0);
    assert_line("2026-11-22T09:25:00.123Z info x\n", SP_LOG_TEXT, SP_LOG_INFO, "x", NULL, 0);
    assert_line("2026-11-22T09:25:00.123Z warn x\n", SP_LOG_TEXT, SP_LOG_WARN, "x", NULL, 0);
    assert_line("2026-11-22T09:25:00.123Z error x\n", SP_LOG_TEXT, SP_LOG_ERROR, "x", NULL, 0);
}

static void test_bytes_that_are_not_printable_ascii_leave_escaped(void **state)
{
    (void)state;
#define CASE(literal, json, text)                                                                            \
    {                                                                                                        \
        {literal, sizeof(literal) - 1}, json, text                                                           \
    }
    static const struct {
        struct sp_slice value;
        const char *json, *text;
    } cases[] = {
        CASE("plain-text_1.0/~", "plain-text_1.0/~", "plain-text_1.0/~"),
        CASE("a b", "a b", "\"a b\""),
        CASE("a=b", "a=b", "\"a=b\""),
        CASE("say \"hi\"", "say \\\"hi\\\"", "\"say \\\"hi\\\"\""),
        CASE("\"", "\\\"", "\"\\\"\""),
        CASE("back\\slash", "back\\\\slash", "back\\\\slash"),
        CASE("a\0b", "a\\u0000b", "a\\x00b"),
        CASE("a\nlevel=error", "a\\u000alevel=error", "\"a\\x0alevel=error\""),
        CASE("\r\n\t", "\\u000d\\u000a\\u0009", "\\x0d\\x0a\\x09"),
        CASE("\x1b[31m", "\\u001b[31m", "\\x1b[31m"),
        CASE("\x7f", "\\u007f", "\\x7f"),
        CASE("\xc3\xb6", "\\u00f6", "\\xc3\\xb6"),
        CASE("\xe2\x82\xac", "\\u20ac", "\\xe2\\x82\\xac"),
        CASE("\xe2\x80\xa8", "\\u2028", "\\xe2\\x80\\xa8"),
        CASE("\xf0\x9f\x98\x80", "\\ud83d\\ude00", "\\xf0\\x9f\\x98\\x80"),
        CASE("\xf4\x8f\xbf\xbf", "\\udbff\\udfff", "\\xf4\\x8f\\xbf\\xbf"),
        CASE("\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080", "\\xf4\\x90\\x80\\x80"), /* above 10FFFF */
        CASE("\xc0\xaf", "\\u00c0\\u00af", "\\xc0\\xaf"),                                 /* overlong */
        CASE("\xe0\x80\xaf", "\\u00e0\\u0080\\u00af", "\\xe0\\x80\\xaf"),
        CASE("\xed\xa0\x80", "\\u00ed\\u00a0\\u0080", "\\xed\\xa0\\x80"), /* a surrogate */
        CASE("\x80", "\\u0080", "\\x80"),
        CASE("\xff\xfe", "\\u00ff\\u00fe", "\\xff\\xfe"),
        CASE("\xc3", "\\u00c3", "\\xc3"),                 /* cut short */
        CASE("\xe2\x82", "\\u00e2\\u0082", "\\xe2\\x82"), /* cut short */
        CASE("\xc3\xc3\xb6", "\\u00c3\\u00f6", "\\xc3\\xc3\\xb6"),
        CASE("\xe2\x82x", "\\u00e2\\u0082x", "\\xe2\\x82x"),
    };
#undef CASE
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct sp_log_field fields[] = {SP_LOG_S("k", cases[i].value)};
        struct sp_buf expected = {0};
        sp_buf_printf(&expected,
            "{\"time\":\"2026-11-22T09:25:00.123Z\",\"level\":\"info\",\"event\":\"e\",\"k\":\"%s\"}\n",
            cases[i].json);
        sp_buf_add_char(&expected, '\0');
        assert_line(expected.ptr, SP_LOG_JSON, SP_LOG_INFO, "e", fields, 1);
        sp_buf_reset(&expected);
        sp_buf_printf(&expected, "2026-11-22T09:25:00.123Z info e k=%s\n", cases[i].text);
        sp_buf_add_char(&expected, '\0');
        assert_line(expected.ptr, SP_LOG_TEXT, SP_LOG_INFO, "e", fields, 1);
        sp_buf_free(&expected);
    }
}

static void test_no_value_leaves_a_byte_outside_printable_ascii(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const char value[] = {(char)a, (char)b, (char)(a ^ b), (char)b};
            const struct sp_log_field fields[] = {SP_LOG_S("k", ((struct sp_slice){value, sizeof(value)}))};
            struct sp_buf out = {0};
            sp_log_format(&out, a % 2 ? SP_LOG_JSON : SP_LOG_TEXT, SP_LOG_INFO, 0, "e", fields, 1);
            for (size_t i = 0; i + 1 < out.len; i++)
                assert_true(out.ptr[i] >= 0x20 && out.ptr[i] <= 0x7e);
            assert_int_equal(out.ptr[out.len - 1], '\n');
            sp_buf_free(&out);
        }
    }
}

/* Values without anything to escape are copied in one piece, looked at eight bytes at a time. */
static void test_a_byte_is_written_alike_wherever_it_stands(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 0x80;
         byte++) { /* one of 0x80 and more would be a part of its neighbours */
        struct sp_buf alone = {0};
        char c = (char)byte;
        sp_log_add_json(&alone, (struct sp_slice){&c, 1});
        for (size_t at = 0; at < 20; at++) {
            char value[] = "aaaaaaaaaaaaaaaaaaaa", want[64];
            struct sp_buf line = {0};
            value[at] = c;
            struct sp_log_field field = SP_LOG_S("k", ((struct sp_slice){value, 20}));
            sp_log_format(&line, SP_LOG_JSON, SP_LOG_INFO, 0, "e", &field, 1);
            (void)snprintf(want, sizeof(want), ",\"k\":\"%.*s%.*s%.*s\"}\n", (int)at, "aaaaaaaaaaaaaaaaaaaa",
                (int)alone.len - 2, alone.ptr + 1, (int)(19 - at), "aaaaaaaaaaaaaaaaaaaa");
            assert_true(line.len > strlen(want));
            assert_memory_equal(line.ptr + line.len - strlen(want), want, strlen(want));
            sp_buf_free(&line);
        }
        sp_buf_free(&alone);
    }
}

static void test_a_value_that_was_cut_says_by_how_much(void **state)
{
    (void)state;
    struct sp_log_field cut[] = {SP_LOG_C("a", "abc"), SP_LOG_C("b", "x y"), SP_LOG_C("c", "")};
    for (size_t i = 0; i < SP_COUNTOF(cut); i++)
        cut[i].u64 = 100 + i;
    assert_line(
        "{\"time\":\"2026-11-22T09:25:00.123Z\",\"level\":\"info\",\"event\":\"e\",\"a\":\"abc...[+100]\","
        "\"b\":\"x y...[+101]\",\"c\":\"...[+102]\"}\n",
        SP_LOG_JSON, SP_LOG_INFO, "e", cut, SP_COUNTOF(cut));
    assert_line("2026-11-22T09:25:00.123Z info e a=abc...[+100] b=\"x y...[+101]\" c=...[+102]\n",
        SP_LOG_TEXT, SP_LOG_INFO, "e", cut, SP_COUNTOF(cut));
}

/* ---- ring ---- */

static void test_a_record_survives_the_end_of_the_ring_at_every_offset(void **state)
{
    (void)state;
    enum { SIZE = 64 };
    char bytes[SIZE], scratch[SIZE], record[SIZE];
    for (size_t offset = 0; offset < SIZE; offset++) {
        for (size_t len = 1; len <= SIZE; len++) {
            struct sp_ring ring;
            sp_ring_init(&ring, bytes, SIZE);
            if (offset > 0) { /* walk there */
                assert_true(sp_ring_reserve(&ring, offset, 0));
                sp_ring_put(&ring, record, 0);
                memset(record, '.', sizeof(record));
                sp_ring_put(&ring, record, offset);
                sp_ring_publish(&ring);
                sp_ring_release(&ring, sp_ring_head(&ring));
            }
            for (size_t i = 0; i < len; i++)
                record[i] = (char)(i + len + offset);
            assert_true(sp_ring_reserve(&ring, len, 0));
            for (size_t i = 0; i < len; i += 7) /* in several puts, one of them across the end */
                sp_ring_put(&ring, record + i, len - i < 7 ? len - i : 7);
            assert_int_equal(sp_ring_head(&ring), offset); /* not seen before it is whole */
            sp_ring_publish(&ring);
            assert_int_equal(sp_ring_head(&ring), offset + len);
            assert_int_equal(sp_ring_tail(&ring), offset);
            assert_memory_equal(sp_ring_view(&ring, offset, len, scratch), record, len);
            assert_int_equal(sp_ring_is_half_full(&ring), len > SIZE / 2);
            assert_false(sp_ring_reserve(&ring, SIZE - len + 1, 0));
            assert_true(sp_ring_reserve(&ring, SIZE - len, 0));
            assert_false(sp_ring_reserve(&ring, SIZE - len, 1));
            sp_ring_release(&ring, offset + len);
            assert_true(sp_ring_reserve(&ring, SIZE, 0));
            assert_true(sp_ring_reserve(&ring, SIZE - len, len));
            assert_false(sp_ring_reserve(&ring, SIZE + 1, 0));
        }
    }
}

/* ---- meters ---- */

static void test_meters_are_the_sum_of_their_blocks(void **state)
{
    (void)state;
    struct sp_meters *m = sp_meters_new();
    assert_non_null(m);
    struct sp_meter_block *a = sp_meters_add_block(m), *b = sp_meters_add_block(m);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal((uintptr_t)a % 64, 0);
    sp_meter_add(a, SP_METER_requests, 3);
    sp_meter_add(b, SP_METER_requests, 4);
    assert_int_equal(sp_meters_sum(m, SP_METER_requests), 7);
    sp_meter_add(a, SP_METER_sessions_open, 2);
    sp_meter_sub(b, SP_METER_sessions_open, 1);
    assert_int_equal(sp_meters_sum(m, SP_METER_sessions_open), 1);
    sp_meter_sub(b, SP_METER_sessions_open, 5);
    assert_int_equal(sp_meters_sum(m, SP_METER_sessions_open), 0);
    sp_meter_set(a, SP_METER_generation, 9);
    assert_int_equal(sp_meters_sum(m, SP_METER_generation), 9);
    sp_meter_refuse(a, SP_REFUSAL_revoked);
    sp_meter_refuse(b, SP_REFUSAL_revoked);
    assert_int_equal(sp_meters_sum_refusals(m, SP_REFUSAL_revoked), 2);
    assert_int_equal(sp_meters_sum_refusals(m, SP_REFUSAL_expired), 0);
    sp_meters_free(m);
    sp_meters_free(NULL);
}

static struct sp_slice next_line(struct sp_slice *rest)
{
    const char *newline = memchr(rest->ptr, '\n', rest->len);
    assert_non_null(newline);
    struct sp_slice line = {rest->ptr, (size_t)(newline - rest->ptr)};
    *rest = sp_slice_sub(*rest, line.len + 1, rest->len);
    return line;
}

/* Up to the first of `stops`, and behind it. */
static struct sp_slice take_until(struct sp_slice *s, const char *stops)
{
    size_t n = 0;
    while (n < s->len && strchr(stops, s->ptr[n]) == NULL)
        n++;
    struct sp_slice word = {s->ptr, n};
    *s = sp_slice_sub(*s, n, s->len);
    return word;
}

static bool is_metric_name(struct sp_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
                (i > 0 && sp_is_digit(c))))
            return false;
    }
    return s.len > 0;
}

/* A sample: name, perhaps one label, a blank, a number. Returns the name. */
static struct sp_slice check_sample(struct sp_slice line)
{
    struct sp_slice name = take_until(&line, "{ ");
    assert_true(is_metric_name(name));
    if (sp_slice_starts(line, SP_SLICE("{"))) {
        line = sp_slice_sub(line, 1, line.len);
        assert_true(is_metric_name(take_until(&line, "=")));
        assert_true(sp_slice_starts(line, SP_SLICE("=\"")));
        line = sp_slice_sub(line, 2, line.len);
        assert_true(take_until(&line, "\"\\\n").len > 0);
        assert_true(sp_slice_starts(line, SP_SLICE("\"}")));
        line = sp_slice_sub(line, 2, line.len);
    }
    assert_true(line.len > 1 && line.ptr[0] == ' ');
    for (size_t i = 1; i < line.len; i++)
        assert_true(sp_is_digit(line.ptr[i]));
    return name;
}

static void test_prometheus_reads_help_and_type_once_a_family_and_then_its_samples(void **state)
{
    (void)state;
    struct sp_meters *m = sp_meters_new();
    struct sp_buf out = {0};
    sp_meters_print(m, &out);
    assert_false(out.failed);
    struct sp_slice rest = sp_buf_slice(&out), family = {0}, families[SP_METER_COUNT + 2];
    size_t count = 0, samples = 0, samples_of_family = 1;
    while (rest.len > 0) {
        struct sp_slice line = next_line(&rest);
        if (!sp_slice_starts(line, SP_SLICE("# HELP "))) {
            assert_true(sp_slice_equal(check_sample(line), family));
            samples++;
            samples_of_family++;
            continue;
        }
        assert_true(samples_of_family > 0);
        samples_of_family = 0;
        line = sp_slice_sub(line, 7, line.len);
        family = take_until(&line, " ");
        assert_true(is_metric_name(family) && line.len > 1);
        for (size_t i = 0; i < count; i++)
            assert_false(sp_slice_equal(families[i], family));
        assert_true(count < SP_COUNTOF(families));
        families[count++] = family;
        line = next_line(&rest);
        assert_true(sp_slice_starts(line, SP_SLICE("# TYPE ")));
        line = sp_slice_sub(line, 7, line.len);
        assert_true(sp_slice_equal(take_until(&line, " "), family));
        assert_true(sp_slice_equal(line, SP_SLICE(" counter")) || sp_slice_equal(line, SP_SLICE(" gauge")));
        bool total = family.len > 6 && memcmp(family.ptr + family.len - 6, "_total", 6) == 0;
        assert_int_equal(total, sp_slice_equal(line, SP_SLICE(" counter")));
    }
    size_t ending = 0;
    for (unsigned r = SP_REFUSAL_none + 1; r < SP_REFUSAL_COUNT; r++)
        ending += sp_refusal_ends_sessions((enum sp_refusal)r);
    assert_int_equal(
        samples, SP_METER_COUNT + SP_REFUSAL_COUNT - 1 + ending + 1); /* all reasons but "none"; build_info */
    sp_buf_free(&out);
    sp_meters_free(m);
}

static void test_what_was_counted_is_what_prometheus_reads(void **state)
{
    (void)state;
    struct sp_meters *m = sp_meters_new();
    struct sp_meter_block *b = sp_meters_add_block(m);
    sp_meter_add(b, SP_METER_responses_4xx, 12);
    sp_meter_add(b, SP_METER_connections_open, 5);
    sp_meter_refuse(b, SP_REFUSAL_no_rule);
    struct sp_buf out = {0};
    sp_meters_print(m, &out);
    sp_buf_add_char(&out, '\0');
    static const char *const wanted[] = {
        "# HELP sallyport_responses_total Answers sent, by status class\n# TYPE sallyport_responses_total counter\n"
        "sallyport_responses_total{class=\"1xx\"} 0\n",
        "\nsallyport_responses_total{class=\"4xx\"} 12\n",
        "# TYPE sallyport_connections_open gauge\nsallyport_connections_open 5\n",
        "\nsallyport_refusals_total{reason=\"no_rule\"} 1\n",
        "\nsallyport_refusals_total{reason=\"revoked\"} 0\n",
        "\nsallyport_build_info{version=\"" SP_VERSION "\"} 1\n",
    };
    for (size_t i = 0; i < SP_COUNTOF(wanted); i++) {
        if (strstr(out.ptr, wanted[i]) == NULL)
            fail_msg("missing: %s", wanted[i]);
    }
    assert_null(strstr(out.ptr, "reason=\"none\""));
    sp_buf_free(&out);
    sp_meters_free(m);
}

/* ---- refusals ---- */

static void test_every_refusal_has_one_word_a_meaning_and_a_moment(void **state)
{
    (void)state;
    for (unsigned r = 0; r < SP_REFUSAL_COUNT; r++) {
        const char *name = sp_refusal_name((enum sp_refusal)r);
        const char *meaning = sp_refusal_meaning((enum sp_refusal)r);
        assert_true(
            strlen(name) > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name));
        assert_true(strlen(meaning) > 0 && meaning[strlen(meaning) - 1] != '.');
        assert_non_null(strchr("HSRU", sp_refusal_when((enum sp_refusal)r)));
        for (unsigned other = 0; other < r; other++)
            assert_string_not_equal(name, sp_refusal_name((enum sp_refusal)other));
    }
    assert_string_equal(sp_refusal_name(SP_REFUSAL_none), "none");
    assert_string_equal(sp_refusal_name(SP_REFUSAL_revoked), "revoked");
    assert_int_equal(sp_refusal_when(SP_REFUSAL_revoked), 'H');
    assert_int_equal(sp_refusal_when(SP_REFUSAL_no_rule), 'R');
    assert_int_equal(sp_refusal_when(SP_REFUSAL_overloaded), 'U');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_event_is_time_level_name_and_fields),
        cmocka_unit_test(test_an_access_record_has_no_level),
        cmocka_unit_test(test_every_level_has_its_word),
        cmocka_unit_test(test_bytes_that_are_not_printable_ascii_leave_escaped),
        cmocka_unit_test(test_no_value_leaves_a_byte_outside_printable_ascii),
        cmocka_unit_test(test_a_byte_is_written_alike_wherever_it_stands),
        cmocka_unit_test(test_a_value_that_was_cut_says_by_how_much),
        cmocka_unit_test(test_a_record_survives_the_end_of_the_ring_at_every_offset),
        cmocka_unit_test(test_meters_are_the_sum_of_their_blocks),
        cmocka_unit_test(test_prometheus_reads_help_and_type_once_a_family_and_then_its_samples),
        cmocka_unit_test(test_what_was_counted_is_what_prometheus_reads),
        cmocka_unit_test(test_every_refusal_has_one_word_a_meaning_and_a_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
