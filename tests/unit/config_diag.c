/* The list of diagnostics: its order, its bound, and that it owns what it holds. */
#include "config_fixture.h"

static void test_they_are_printed_in_the_order_of_each_file(void **state)
{
    struct sp_diags d = {0};

    (void)state;
    sp_diag_add(&d, SP_DIAG_ERROR, "a", (struct sp_pos){9, 1}, "nine");
    sp_diag_add(&d, SP_DIAG_ERROR, "b", (struct sp_pos){3, 1}, "other file");
    sp_diag_add(&d, SP_DIAG_WARNING, "a", (struct sp_pos){2, 7}, "two, %s", "seven");
    sp_diag_add(&d, SP_DIAG_ERROR, "a", (struct sp_pos){2, 5}, "two, five");
    sp_diag_add(&d, SP_DIAG_ERROR, "b", (struct sp_pos){0, 0}, "whole file");
    sp_diag_add(&d, SP_DIAG_ERROR, "a", (struct sp_pos){2, 7}, "two, seven again");
    sp_diag_add(&d, SP_DIAG_ERROR, NULL, (struct sp_pos){0, 0}, "no file");
    char *said = printed(&d);
    assert_string_equal(said, "a:2:5: error: two, five\n"
                              "a:2:7: warning: two, seven\n"
                              "a:2:7: error: two, seven again\n"
                              "a:9:1: error: nine\n"
                              "b: error: whole file\n"
                              "b:3:1: error: other file\n"
                              "error: no file\n");
    assert_int_equal(d.errors, 6);
    assert_int_equal(d.warnings, 1);
    free(said);
    sp_diags_free(&d);
    assert_int_equal(d.count, 0);
    assert_int_equal(d.errors, 0);
}

static void test_a_hundred_of_each_are_kept_and_the_rest_is_counted(void **state)
{
    struct sp_diags d = {0};

    (void)state;
    for (unsigned i = 0; i < 150; i++)
        sp_diag_add(&d, SP_DIAG_ERROR, "a", (struct sp_pos){i + 1, 1}, "e");
    for (unsigned i = 0; i < 101; i++)
        sp_diag_add(&d, SP_DIAG_WARNING, "a", (struct sp_pos){i + 1, 1}, "w");
    assert_int_equal(d.count, 200);
    assert_int_equal(d.errors, 150);
    assert_int_equal(d.warnings, 101);
    char *said = printed(&d);
    assert_non_null(strstr(said, "a:100:1: error: e\n"));
    assert_null(strstr(said, "a:101:1:"));
    assert_non_null(strstr(said, "\n50 more errors\n1 more warning\n"));
    free(said);
    sp_diags_free(&d);
}

static void test_they_own_what_they_hold_and_cut_what_is_too_long(void **state)
{
    struct sp_diags d = {0};
    char file[] = "a.yaml", longest[3000];

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    sp_diag_add(&d, SP_DIAG_ERROR, file, (struct sp_pos){1, 1}, "%s", longest);
    file[0] = longest[0] = '!';
    assert_string_equal(d.items[0].file, "a.yaml");
    assert_int_equal(strlen(d.items[0].text), 1023);
    assert_int_equal(d.items[0].text[0], 'x');
    sp_diags_free(&d);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_they_are_printed_in_the_order_of_each_file),
        cmocka_unit_test(test_a_hundred_of_each_are_kept_and_the_rest_is_counted),
        cmocka_unit_test(test_they_own_what_they_hold_and_cut_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
