/* Paths, queries, hosts and their patterns: tables of what has one reading and what has two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sallyport/http/path.h"

#define IN(text)                                                                                             \
    {                                                                                                        \
        "" text, sizeof(text) - 1                                                                            \
    }

struct check_case {
    struct sp_slice in;
    enum sp_refusal reason; /* none: it passes */
};
#define OK  SP_REFUSAL_none
#define BAD SP_REFUSAL_bad_target
#define AMB SP_REFUSAL_ambiguous_path

static void run_checks(
    enum sp_rc (*check)(struct sp_slice, struct sp_fault *), const struct check_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sp_fault fault = {.reason = SP_REFUSAL_none};
        enum sp_rc rc = check(cases[i].in, &fault);
        if (fault.reason != cases[i].reason || (rc == SP_OK) != (cases[i].reason == OK))
            fail_msg("[%.*s]: %s", SP_FMT(cases[i].in), sp_refusal_name(fault.reason));
        if (rc != SP_OK) {
            assert_int_equal(fault.status, 400);
            assert_non_null(fault.detail);
        }
    }
}

static void test_a_path_with_one_reading_passes(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {IN("/"), OK},
        {IN("*"), OK},
        {IN("/a"), OK},
        {IN("/a/"), OK},
        {IN("/a/b.c/..d/e.."), OK},
        {IN("/..."), OK},
        {IN("/.well-known/x"), OK},
        {IN("/a:b@c!$&'()*+,=-._~"), OK},
        {IN("/%20%C3%A9"), OK},
        {IN("/100%25"), OK},
        {IN("/a%3b%3F%23"), OK},
        {IN("/%25a"), OK},
        {IN("/%25/a"), OK},
        {IN("/%e0%a0%80"), OK},
    };
    run_checks(sp_path_check, cases, SP_COUNTOF(cases));
}

static void test_a_malformed_path_is_refused(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {IN(""), BAD},
        {IN("a"), BAD},
        {IN("**"), BAD},
        {IN("*/"), BAD},
        {IN("/a b"), BAD},
        {IN("/a\tb"), BAD},
        {IN("/a\0"), BAD},
        {IN("/\x80"), BAD},
        {IN("/\x7f"), BAD},
        {IN("/a?b"), BAD},
        {IN("/a#b"), BAD},
        {IN("/["), BAD},
        {IN("/{a}"), BAD},
        {IN("/^"), BAD},
        {IN("/`"), BAD},
        {IN("/|"), BAD},
        {IN("/\""), BAD},
        {IN("/<"), BAD},
        {IN("/%"), BAD},
        {IN("/%a"), BAD},
        {IN("/%2"), BAD},
        {IN("/%g0"), BAD},
        {IN("/%0g"), BAD},
        {IN("/%%41"), BAD},
        {IN("/%u0041"), BAD},
    };
    run_checks(sp_path_check, cases, SP_COUNTOF(cases));
}

static void test_a_path_with_two_readings_is_refused(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {IN("/."), AMB},
        {IN("/.."), AMB},
        {IN("/./"), AMB},
        {IN("/../"), AMB},
        {IN("/a/."), AMB},
        {IN("/a/.."), AMB},
        {IN("/a/./b"), AMB},
        {IN("/a/../b"), AMB},
        {IN("//"), AMB},
        {IN("//a"), AMB},
        {IN("/a//"), AMB},
        {IN("/a;"), AMB},
        {IN("/;/"), AMB},
        {IN("/\\"), AMB},
        {IN("/%2e"), AMB},
        {IN("/%2E%2e/"), AMB},
        {IN("/.%2e"), AMB},
        {IN("/%2f"), AMB},
        {IN("/%2F"), AMB},
        {IN("/%5c"), AMB},
        {IN("/%5C"), AMB},
        {IN("/%00"), AMB},
        {IN("/%0a"), AMB},
        {IN("/%0D"), AMB},
        {IN("/%7f"), AMB},
        {IN("/%7E"), AMB},
        {IN("/%41"), AMB},
        {IN("/%2d"), AMB},
        {IN("/%5f"), AMB},
        {IN("/%30"), AMB},
        {IN("/%2500"), AMB},
        {IN("/%252e"), AMB},
        {IN("/%25252f"), AMB},
        {IN("/%c0%ae"), AMB},
        {IN("/%C1%9c"), AMB},
        {IN("/%e0%80%af"), AMB},
        {IN("/%f0%80%80%af"), AMB},
        {IN("/%f8%80%80%80%af"), AMB},
        {IN("/%FC%80%80%80%80%AF"), AMB},
    };
    run_checks(sp_path_check, cases, SP_COUNTOF(cases));
}

static void test_a_query_is_of_rfc_3986_bytes(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {IN(""), OK},
        {IN("a=b&c=/../?;:@!$'()*+,-._~"), OK},
        {IN("%00%2f%41"), OK},
        {IN("a#b"), BAD},
        {IN("a b"), BAD},
        {IN("\x80"), BAD},
        {IN("\x01"), BAD},
        {IN("%"), BAD},
        {IN("%4"), BAD},
        {IN("%4x"), BAD},
        {IN("a\\b"), BAD},
        {IN("<"), BAD},
        {IN("\""), BAD},
        {IN("\x7f"), BAD},
        {IN("a\0"), BAD},
    };
    run_checks(sp_query_check, cases, SP_COUNTOF(cases));
}

#undef BAD
#define BAD SP_REFUSAL_bad_host
static void test_a_host_is_a_name_or_an_address(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {IN("a"), OK},
        {IN("a.example"), OK},
        {IN("a.example."), OK},
        {IN("a-b_c.EXAMPLE:0"), OK},
        {IN("a:65535"), OK},
        {IN("1.2.3.4"), OK},
        {IN("255.255.255.255:1"), OK},
        {IN("1a"), OK},
        {IN("1.a"), OK},
        {IN("a1"), OK},
        {IN("[::1]"), OK},
        {IN("[2001:db8::1]:443"), OK},
        {IN("[::ffff:1.2.3.4]"), OK},
        {IN(""), BAD},
        {IN("."), BAD},
        {IN(".a"), BAD},
        {IN("a..b"), BAD},
        {IN("a.."), BAD},
        {IN(":80"), BAD},
        {IN("a:"), BAD},
        {IN("a:65536"), BAD},
        {IN("a:000080"), BAD},
        {IN("a:-1"), BAD},
        {IN("a:+1"), BAD},
        {IN("a:8a"), BAD},
        {IN("a:80:80"), BAD},
        {IN("a b"), BAD},
        {IN(" a"), BAD},
        {IN("a\0b"), BAD},
        {IN("a/b"), BAD},
        {IN("u@a"), BAD},
        {IN("a,b"), BAD},
        {IN("a%41"), BAD},
        {IN("a\\b"), BAD},
        {IN("a#b"), BAD},
        {IN("a?b"), BAD},
        {IN("a;b"), BAD},
        {IN("\xc3\xa9"), BAD},
        {IN("*.a"), BAD},
        {IN("1"), BAD},
        {IN("1.2.3"), BAD},
        {IN("1.2.3.4.5"), BAD},
        {IN("1.2.3.256"), BAD},
        {IN("01.2.3.4"), BAD},
        {IN("1.2.3.4."), BAD},
        {IN("a.1"), BAD},
        {IN("::1"), BAD},
        {IN("[]"), BAD},
        {IN("[::1"), BAD},
        {IN("[::1]a"), BAD},
        {IN("[::1]:"), BAD},
        {IN("[fe80::1%25eth0]"), BAD},
        {IN("[v1.a]"), BAD},
        {IN("[1.2.3.4]"), BAD},
        {IN("[::1\0]"), BAD},
        {IN("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]"), BAD},
    };
    run_checks(sp_host_check, cases, SP_COUNTOF(cases));
    char longest[SP_HOST_MAX + 1];
    struct sp_fault fault;
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(sp_host_check((struct sp_slice){longest, 255}, &fault), SP_OK);
    assert_int_equal(sp_host_check((struct sp_slice){longest, 256}, &fault), SP_FAIL);
}

static void test_a_host_has_one_canonical_form(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice in, out;
    } cases[] = {
        {IN("A.Example"), IN("a.example")},
        {IN("a.example."), IN("a.example")},
        {IN("a.example:443"), IN("a.example")},
        {IN("a.example.:443"), IN("a.example")},
        {IN("[2001:DB8:0::0:1]:8443"), IN("[2001:db8::1]")},
        {IN("[::1]"), IN("[::1]")},
        {IN("1.2.3.4:5"), IN("1.2.3.4")},
        {IN("*.A"), IN("*.a")},
        {IN(""), {NULL, 0}},
        {IN("."), {NULL, 0}},
        {IN(":1"), {NULL, 0}},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char out[SP_HOST_MAX];
        struct sp_slice got = sp_host_canonical(cases[i].in, out);
        assert_int_equal(got.ptr == NULL, cases[i].out.ptr == NULL);
        assert_true(sp_slice_equal(got, cases[i].out));
    }
    char longest[SP_HOST_MAX + 1], out[SP_HOST_MAX];
    memset(longest, 'A', sizeof(longest));
    assert_int_equal(sp_host_canonical((struct sp_slice){longest, SP_HOST_MAX}, out).len, SP_HOST_MAX);
    assert_null(sp_host_canonical((struct sp_slice){longest, SP_HOST_MAX + 1}, out).ptr);
}

static void test_host_patterns_cover_one_label(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *host;
        bool match;
    } cases[] = {
        {"a.b", "a.b", true},
        {"a.b", "a.c", false},
        {"*.b", "a.b", true},
        {"*.b", "b", false},
        {"*.b", ".b", false},
        {"*.b", "x.a.b", false},
        {"*.b", "ab", false},
        {"*.b", "a.bb", false},
        {"*.b", "*.b", true},
        {"*.", "a.", false},
        {"*", "a", false},
        {"a*.b", "ax.b", false},
        {"*.b.c", "a.b.c", true},
        {"*.b.c", "b.c", false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        if (sp_host_match(sp_slice_of(cases[i].pattern), sp_slice_of(cases[i].host)) != cases[i].match)
            fail_msg("%s %s", cases[i].pattern, cases[i].host);
    }
    static const struct {
        const char *pattern;
        bool good;
    } checks[] = {{"a.b", true}, {"*.b", true}, {"[::1]", true}, {"1.2.3.4", true}, {"*", false},
        {"*.", false}, {"a.*", false}, {"*a.b", false}, {"**.b", false}, {"*.*.b", false}, {"a:80", false},
        {"[::1]:80", false}, {"", false}, {"a b", false}, {"a/b", false}, {"http://a", false},
        {"[x]", false}};
    for (size_t i = 0; i < SP_COUNTOF(checks); i++) {
        if ((sp_host_pattern_check(sp_slice_of(checks[i].pattern)) == NULL) != checks[i].good)
            fail_msg("%s", checks[i].pattern);
    }
}

static void test_path_patterns_stay_inside_a_segment(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool match;
    } cases[] = {
        {"/a", "/a", true},
        {"/a", "/a/", false},
        {"/a/", "/a", false},
        {"/a", "/A", false},
        {"/a", "/ab", false},
        {"/ab", "/a", false},
        {"/v1/x/**", "/v1/x/", true},
        {"/v1/x/**", "/v1/x/y/z", true},
        {"/v1/x/**", "/v1/x", false},
        {"/v1/x/**", "/v1/xy", false},
        {"/v1/x/**", "/v1", false},
        {"/**", "/", true},
        {"/**", "/a/b", true},
        {"**", "x", true},
        {"/*", "/a", true},
        {"/*", "/", false},
        {"/*", "/a/b", false},
        {"/*", "/a/", false},
        {"/*/b", "/a/b", true},
        {"/*/b", "//b", false},
        {"/*/b", "/a/c/b", false},
        {"/a*", "/a", true},
        {"/a*", "/abc", true},
        {"/a*", "/ab/c", false},
        {"/*a", "/bca", true},
        {"/*a", "/ab", false},
        {"/a*c", "/ac", true},
        {"/a*c", "/abbc", true},
        {"/a*c", "/ab", false},
        {"/a*b*c", "/axbxbxc", true},
        {"/a*b*c", "/axxc", false},
        {"/*/*", "/a/b", true},
        {"/*/*", "/a", false},
        {"/*/**", "/a/", true},
        {"/*/**", "/a", false},
        {"", "", true},
        {"", "/", false},
        {"/", "", false},
        {"spiffe://c.example/ns/billing/**", "spiffe://c.example/ns/billing/a/b", true},
        {"spiffe://c.example/ns/billing/**", "spiffe://c.example/ns/billing2/a", false},
        {"spiffe://c.example/ns/*/sa/x", "spiffe://c.example/ns/a/sa/x", true},
        {"spiffe://c.example/ns/*/sa/x", "spiffe://c.example/ns/a/b/sa/x", false},
        {"/*a*a*a*a*a*a*a*a*b", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        if (sp_path_match(sp_slice_of(cases[i].pattern), sp_slice_of(cases[i].path)) != cases[i].match)
            fail_msg("%s %s", cases[i].pattern, cases[i].path);
    }
}

static void test_a_path_pattern_that_can_never_match_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool good;
    } cases[] = {{"/", true}, {"/a/**", true}, {"/**", true}, {"**", true}, {"/a*/b", true}, {"/%20", true},
        {"spiffe://a/b/**", true}, {"spiffe://a/*", true}, {"", false}, {"/a/**/b", false}, {"/a**", false},
        {"/**a", false}, {"/***", false}, {"spiffe://a/**/b", false}, {"/a b", false}, {"/\xc3\xa9", false},
        {"/a?", false}, {"/a#", false}, {"/a//b", false}, {"/a/../b", false}, {"/a;b", false},
        {"/%2f", false}, {"/%61", false}, {"/a\\b", false}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        if ((sp_path_pattern_check(sp_slice_of(cases[i].pattern)) == NULL) != cases[i].good)
            fail_msg("%s", cases[i].pattern);
    }
}

static void test_a_path_has_one_spelling_to_compare(void **state)
{
    (void)state;
    static const struct {
        const char *path, *request, *pattern;
    } cases[] = {{"/a", "/a", "/a"}, {"*", "*", "*"}, {"/", "/", "/"}, {"/a%3Ab", "/a:b", "/a:b"},
        {"/%21%24%26%27%28%29%2b%2c%3D%40", "/!$&'()+,=@", "/!$&'()+,=@"},
        {"/%c3%a4%20", "/%C3%A4%20", "/%C3%A4%20"}, {"/%3b%3f%23%25", "/%3B%3F%23%25", "/%3B%3F%23%25"},
        {"/%2a", "/%2A", "/%2A"}, {"/a*", "/a%2A", "/a*"}, {"/%5b%7c", "/%5B%7C", "/%5B%7C"}};
    char room[3 * 64];
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        for (int is_pattern = 0; is_pattern < 2; is_pattern++) {
            struct sp_slice found = sp_path_canonical(sp_slice_of(cases[i].path), is_pattern != 0, room);
            if (!sp_slice_equal(found, sp_slice_of(is_pattern ? cases[i].pattern : cases[i].request)))
                fail_msg("%s: %.*s", cases[i].path, SP_FMT(found));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_with_one_reading_passes),
        cmocka_unit_test(test_a_malformed_path_is_refused),
        cmocka_unit_test(test_a_path_with_two_readings_is_refused),
        cmocka_unit_test(test_a_query_is_of_rfc_3986_bytes),
        cmocka_unit_test(test_a_host_is_a_name_or_an_address),
        cmocka_unit_test(test_a_host_has_one_canonical_form),
        cmocka_unit_test(test_host_patterns_cover_one_label),
        cmocka_unit_test(test_path_patterns_stay_inside_a_segment),
        cmocka_unit_test(test_a_path_pattern_that_can_never_match_is_told),
        cmocka_unit_test(test_a_path_has_one_spelling_to_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
