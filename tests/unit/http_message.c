/* The tables of HTTP's vocabulary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sallyport/http/message.h"

static void test_every_known_field_is_found_in_any_case_and_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sp_header_id id;
        unsigned flags;
    } known[] = {
#define X(id, name, flags) {name, SP_HDR_##id, flags},
        SP_KNOWN_HEADERS(X)
#undef X
    };
    for (size_t i = 0; i < SP_COUNTOF(known); i++) {
        char upper[40], longer[40];
        size_t len = strlen(known[i].name);
        for (size_t j = 0; j <= len; j++)
            upper[j] = known[i].name[j] >= 'a' && known[i].name[j] <= 'z' ? (char)(known[i].name[j] - 32)
                                                                          : known[i].name[j];
        assert_int_equal(sp_header_id_of(sp_slice_of(known[i].name)), known[i].id);
        assert_int_equal(sp_header_id_of(sp_slice_of(upper)), known[i].id);
        assert_int_equal(sp_header_flags(known[i].id), known[i].flags);
        memcpy(longer, upper, len);
        longer[len] = 'x';
        assert_int_equal(sp_header_id_of((struct sp_slice){longer, len + 1}), SP_HDR_OTHER);
        assert_int_equal(sp_header_id_of((struct sp_slice){longer, len - 1}), SP_HDR_OTHER);
        for (size_t j = 0; j < len; j++) { /* one byte another: also by the bit that tells the cases apart */
            memcpy(longer, known[i].name, len);
            longer[j] = (char)(longer[j] == '-' ? '\r' : longer[j] ^ 0x40);
            assert_int_equal(sp_header_id_of((struct sp_slice){longer, len}), SP_HDR_OTHER);
        }
    }
    assert_int_equal(sp_header_id_of((struct sp_slice){NULL, 0}), SP_HDR_OTHER);
    assert_int_equal(sp_header_flags(SP_HDR_OTHER), 0);
}

static void test_methods_are_told_by_their_exact_case(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sp_method method;
        bool idempotent;
    } cases[] = {
        {"GET", SP_METHOD_GET, true},
        {"HEAD", SP_METHOD_HEAD, true},
        {"POST", SP_METHOD_POST, false},
        {"PUT", SP_METHOD_PUT, true},
        {"DELETE", SP_METHOD_DELETE, true},
        {"OPTIONS", SP_METHOD_OPTIONS, true},
        {"PATCH", SP_METHOD_PATCH, false},
        {"TRACE", SP_METHOD_TRACE, true},
        {"CONNECT", SP_METHOD_CONNECT, false},
        {"get", SP_METHOD_OTHER, false},
        {"Get", SP_METHOD_OTHER, false},
        {"GETS", SP_METHOD_OTHER, false},
        {"GE", SP_METHOD_OTHER, false},
        {"", SP_METHOD_OTHER, false},
        {"PROPFIND", SP_METHOD_OTHER, false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        assert_int_equal(sp_method_of(sp_slice_of(cases[i].text)), cases[i].method);
        assert_int_equal(sp_method_is_idempotent(cases[i].method), cases[i].idempotent);
    }
}

static void test_the_first_field_of_an_id_is_found(void **state)
{
    (void)state;
    static struct sp_head head;
    head.header_count = 3;
    head.headers[1].id = SP_HDR_VARY;
    head.headers[2].id = SP_HDR_VARY;
    head.headers[3].id = SP_HDR_DATE; /* behind the end */
    assert_ptr_equal(sp_head_find(&head, SP_HDR_VARY), &head.headers[1]);
    assert_null(sp_head_find(&head, SP_HDR_DATE));
}

static void test_a_list_gives_its_members_trimmed_and_never_an_empty_one(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *members; /* each with a '|' behind it */
    } cases[] = {
        {"", ""}, {" \t", ""}, {",, ,", ""}, {"a", "a|"}, {" a\t,b ", "a|b|"}, {",a,,b c,", "a|b c|"}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char got[64] = "";
        struct sp_slice rest = sp_slice_of(cases[i].list), member;
        while (sp_field_list_next(&rest, &member)) {
            strncat(got, member.ptr, member.len);
            strcat(got, "|");
        }
        assert_string_equal(got, cases[i].members);
        assert_false(sp_field_list_next(&rest, &member));
    }
}

static void test_statuses_have_their_phrases(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *phrase;
    } cases[] = {{100, "Continue"}, {200, "OK"}, {403, "Forbidden"}, {421, "Misdirected Request"},
        {431, "Request Header Fields Too Large"}, {502, "Bad Gateway"},
        {511, "Network Authentication Required"}, {0, ""}, {299, ""}, {999, ""}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        assert_string_equal(sp_status_phrase(cases[i].status), cases[i].phrase);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_known_field_is_found_in_any_case_and_no_other),
        cmocka_unit_test(test_methods_are_told_by_their_exact_case),
        cmocka_unit_test(test_the_first_field_of_an_id_is_found),
        cmocka_unit_test(test_a_list_gives_its_members_trimmed_and_never_an_empty_one),
        cmocka_unit_test(test_statuses_have_their_phrases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
