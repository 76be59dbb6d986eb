/* A line of the log back into its fields: whatever the log writes is read as it was, and nothing else is read. */
#include "config_fixture.h"

#include "sallyport/config/cases.h"
#include "sallyport/obs/log.h"

struct read {
    struct sp_arena arena;
    const struct sp_record_field *fields;
    size_t count;
    struct sp_err err;
};

static enum sp_rc read_line(struct read *r, struct sp_slice line)
{
    *r = (struct read){.count = 0};
    return sp_record_parse(&r->arena, line, &r->fields, &r->count, &r->err);
}

static void assert_field(const struct read *r, const char *key, struct sp_slice value)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!sp_slice_equal(r->fields[i].key, sp_slice_of(key)))
            continue;
        assert_int_equal(r->fields[i].value.len, value.len);
        assert_memory_equal(r->fields[i].value.ptr, value.ptr, value.len);
        return;
    }
    fail_msg("there is no field %s", key);
}

static void test_what_the_log_writes_is_read_as_it_was(void **state)
{
    static const struct sp_slice VALUES[] = {SP_SLICE("plain"), SP_SLICE(""), SP_SLICE("two words"),
        SP_SLICE("a=b"), SP_SLICE("\"quoted\" \\ and"), SP_SLICE("line\r\nbreak\tand \x7f"),
        SP_SLICE("CN=S\xc3\xb6hne,O=\xe2\x82\xac"), SP_SLICE("\xf0\x9f\x98\x80 beyond"),
        SP_SLICE("nul\0inside"), SP_SLICE("\\x41 \\u0041")};

    (void)state;
    for (int format = SP_LOG_JSON; format <= SP_LOG_TEXT; format++) {
        for (size_t i = 0; i < SP_COUNTOF(VALUES); i++) {
            const struct sp_log_field fields[] = {SP_LOG_W("reason", "revoked"),
                SP_LOG_S("subject", VALUES[i]), SP_LOG_N("status", 403), SP_LOG_T("ms", 1500),
                SP_LOG_S("last", VALUES[i])};
            struct sp_buf line = {0};
            struct read r;
            sp_log_format(
                &line, (enum sp_log_format)format, SP_LOG_WARN, 0, "refused", fields, SP_COUNTOF(fields));
            assert_int_equal(read_line(&r, sp_buf_slice(&line)), SP_OK);
            assert_int_equal(r.count, 8);
            assert_field(&r, "time", SP_SLICE("1970-01-01T00:00:00.000Z"));
            assert_field(&r, "level", SP_SLICE("warn"));
            assert_field(&r, "event", SP_SLICE("refused"));
            assert_field(&r, "reason", SP_SLICE("revoked"));
            assert_field(&r, "subject", VALUES[i]);
            assert_field(&r, "status", SP_SLICE("403"));
            assert_field(&r, "ms", SP_SLICE("1.500"));
            assert_field(&r, "last", VALUES[i]);
            sp_arena_free(&r.arena);
            sp_buf_free(&line);
        }
    }
}

/* Two values as long as one may be, of bytes that are six when they are written. */
static void test_the_longest_line_that_the_log_writes_is_read(void **state)
{
    enum { LONGEST = 8192 };
    static char bytes[LONGEST];
    struct sp_slice value = {bytes, LONGEST};
    const struct sp_log_field fields[] = {SP_LOG_S("subject", value), SP_LOG_S("host", value)};

    (void)state;
    memset(bytes, '\x01', LONGEST);
    for (int format = SP_LOG_JSON; format <= SP_LOG_TEXT; format++) {
        struct sp_buf line = {0};
        struct read r;
        sp_log_format(
            &line, (enum sp_log_format)format, SP_LOG_WARN, 0, "refused", fields, SP_COUNTOF(fields));
        if (read_line(&r, sp_buf_slice(&line)) != SP_OK)
            fail_msg("%s", r.err.text);
        assert_field(&r, "subject", value);
        assert_field(&r, "host", value);
        sp_arena_free(&r.arena);
        sp_buf_free(&line);
    }
}

static void test_an_access_record_has_no_level(void **state)
{
    static const struct sp_log_field FIELD = {.key = "path", .kind = SP_LOG_STR, .str = {"/x", 2}};

    (void)state;
    for (int format = SP_LOG_JSON; format <= SP_LOG_TEXT; format++) {
        struct sp_buf line = {0};
        struct read r;
        sp_log_format(&line, (enum sp_log_format)format, -1, 0, "access", &FIELD, 1);
        assert_int_equal(read_line(&r, sp_buf_slice(&line)), SP_OK);
        assert_int_equal(r.count, 3);
        assert_field(&r, "event", SP_SLICE("access"));
        assert_field(&r, "path", SP_SLICE("/x"));
        sp_arena_free(&r.arena);
        sp_buf_free(&line);
    }
}

static void test_json_may_be_spelt_otherwise(void **state)
{
    struct read r;

    (void)state;
    assert_int_equal(
        read_line(
            &r, SP_SLICE(" { \"a\" : \"\\/\\b\\f\\n\\r\\t\" ,\"b\":true, \"c\":null,\"d\":-1.5e3 } \r\n")),
        SP_OK);
    assert_int_equal(r.count, 4);
    assert_field(&r, "a", SP_SLICE("/\b\f\n\r\t"));
    assert_field(&r, "b", SP_SLICE("true"));
    assert_field(&r, "d", SP_SLICE("-1.5e3"));
    sp_arena_free(&r.arena);
}

static void test_what_is_no_line_of_ours_is_refused(void **state)
{
    static const struct {
        struct sp_slice line;
        const char *said;
    } ROWS[] = {
        {SP_SLICE(""), "the line is empty"},
        {SP_SLICE(" \n"), "the line is empty"},
        {SP_SLICE("{\"a\":1"), "expected ',' or '}'"},
        {SP_SLICE("{\"a\":1} x"), "something behind the object"},
        {SP_SLICE("{\"a\":{}}"), "something nested"},
        {SP_SLICE("{\"a\":[1]}"), "something nested"},
        {SP_SLICE("{\"a\":\"x\",\"a\":\"y\"}"), "the line says \"a\" twice"},
        {SP_SLICE("{\"a\":\"x}"), "a string without its end"},
        {SP_SLICE("{\"a\":\"\\x41\"}"), "an escape that JSON does not have"},
        {SP_SLICE("{\"a\":\"\\ud83d\"}"), "an escape that JSON does not have"},
        {SP_SLICE("{\"a\":\"\\ude00\\ud83d\"}"), "an escape that JSON does not have"},
        {SP_SLICE("{\"a\":\"\\u12g4\"}"), "an escape that JSON does not have"},
        {SP_SLICE("{\"a\":\"\t\"}"), "a control character"},
        {SP_SLICE("{\"a\" 1}"), "expected ':'"},
        {SP_SLICE("{a:1}"), "expected a string"},
        {SP_SLICE("{\"a\":}"), "expected a value"},
        {SP_SLICE("{\"a\":\"x\0\"}"), "the line holds a NUL"},
        {SP_SLICE("word"), "expected a line that begins with a time"},
        {SP_SLICE("a=b"), "expected a line that begins with a time"},
        {SP_SLICE("one two three four a=b"), "expected key=value"},
        {SP_SLICE("t refused a=b word"), "expected key=value"},
        {SP_SLICE("t refused a=\"b"), "a value without its closing quote"},
        {SP_SLICE("t refused a=\"b\"c"), "expected a blank"},
        {SP_SLICE("t refused a=b\"c"), "a byte that no value of ours holds"},
        {SP_SLICE("t refused a=\\q"), "an escape that no line of ours has"},
        {SP_SLICE("t refused a=\\xg1"), "an escape that no line of ours has"},
        {SP_SLICE("t refused time=now"), "the line says \"time\" twice"},
        {SP_SLICE("t refused  a=b"), "expected key=value"},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(ROWS); i++) {
        struct read r;
        if (read_line(&r, ROWS[i].line) != SP_FAIL ||
            strncmp(r.err.text, ROWS[i].said, strlen(ROWS[i].said)) != 0)
            fail_msg("%s: %s", ROWS[i].line.ptr, r.err.text);
        assert_int_equal(r.count, 0);
        sp_arena_free(&r.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_log_writes_is_read_as_it_was),
        cmocka_unit_test(test_the_longest_line_that_the_log_writes_is_read),
        cmocka_unit_test(test_an_access_record_has_no_level),
        cmocka_unit_test(test_json_may_be_spelt_otherwise),
        cmocka_unit_test(test_what_is_no_line_of_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
