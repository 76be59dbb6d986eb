/* One path in the place of another, by whole segments, and what no rewrite may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sallyport/match/rewrite.h"

static void test_the_first_rewrite_that_fits_makes_the_path(void **state)
{
    static const struct sp_config_rewrite REWRITES[] = {
        {.prefix = "/billing", .replace = ""},
        {.host = "*.Corp.example.", .prefix = "/v1", .replace = "/v2"},
        {.prefix = "/v1/deep", .replace = "/d"},
        {.prefix = "/v1/deep", .replace = "/never"},
        {.prefix = "/a:b", .replace = "/colon"},
        {.prefix = "/x%20y", .replace = "/blank"},
        {.host = "all.example", .prefix = "", .replace = "/all"},
    };
    static const struct {
        const char *host, *path, *expected; /* NULL: as it was */
    } CASES[] = {
        {"h", "/billing/v1/x", "/v1/x"},
        {"h", "/billing", "/"},
        {"h", "/billing/", "/"},
        {"h", "/billings", NULL},
        {"h", "/bill", NULL},
        {"h", "/Billing/x", NULL},
        {"h", "/x/billing", NULL},
        {"h", "/", NULL},
        {"h", "*", NULL},
        {"a.corp.example", "/v1/x", "/v2/x"},
        {"a.corp.example", "/v1", "/v2"},
        {"a.corp.example", "/v1/", "/v2/"},
        {"a.corp.example", "/v1/deep/x", "/v2/deep/x"},
        {"corp.example", "/v1/deep/x", "/d/x"},
        {"corp.example", "/v1/x", NULL},
        {"h", "/a:b/x", "/colon/x"},
        {"h", "/a%3Ab/x", "/colon/x"},
        {"h", "/a%3ab", "/colon"},
        {"h", "/x%20y/z%20", "/blank/z%20"},
        {"h", "/x%20/y", NULL},
        {"all.example", "/", "/all/"},
        {"all.example", "/q", "/all/q"},
        {"all.example", "*", NULL},
    };
    (void)state;
    char out[SP_REWRITE_PREFIX_MAX + 64];

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_slice path = sp_slice_of(CASES[i].path), result = path;
        struct sp_fault fault;
        size_t end;
        const struct sp_config_rewrite *r =
            sp_rewrite_find(REWRITES, SP_COUNTOF(REWRITES), sp_slice_of(CASES[i].host), path, &end);
        if ((r == NULL) != (CASES[i].expected == NULL))
            fail_msg("%s %s is %srewritten", CASES[i].host, CASES[i].path, r == NULL ? "not " : "");
        if (r == NULL)
            continue;
        assert_int_equal(sp_rewrite_apply(r, path, end, out, &result, &fault), SP_OK);
        if (!sp_slice_equal(result, sp_slice_of(CASES[i].expected)))
            fail_msg("%s: wanted %s, got %.*s", CASES[i].path, CASES[i].expected, SP_FMT(result));
    }
}

static void test_a_long_path_is_compared_without_harm(void **state)
{
    static const struct sp_config_rewrite R = {.prefix = "/a", .replace = ""};
    static char path[16384];
    size_t end;

    (void)state;
    path[0] = '/';
    for (size_t i = 1; i + 2 < sizeof(path); i += 3)
        memcpy(path + i, "%41", 3);
    assert_null(sp_rewrite_find(&R, 1, SP_SLICE("h"), (struct sp_slice){path, sizeof(path) - 1}, &end));
}

static void test_what_comes_of_it_is_judged_again(void **state)
{
    /* no configuration that was checked has it, so that only this stands between it and the backend */
    static const struct sp_config_rewrite R = {.prefix = "/a", .replace = "/b/.."};
    char out[SP_REWRITE_PREFIX_MAX + 64];
    struct sp_slice result;
    struct sp_fault fault;

    (void)state;
    assert_int_equal(sp_rewrite_apply(&R, SP_SLICE("/a/x"), 2, out, &result, &fault), SP_FAIL);
    assert_int_equal(fault.reason, SP_REFUSAL_ambiguous_path);
    assert_int_equal(fault.status, 400);
}

static void test_a_rewrite_that_means_nothing_is_refused(void **state)
{
    static char too_long[SP_REWRITE_PREFIX_MAX + 2];
    memset(too_long, 'a', sizeof(too_long) - 1);
    too_long[0] = '/';
    const struct {
        struct sp_config_rewrite rewrite;
        bool good;
    } CASES[] = {
        {{.prefix = "/a", .replace = ""}, true},
        {{.prefix = "", .replace = "/a"}, true},
        {{.prefix = "/a/b", .replace = "/c%20d"}, true},
        {{.host = "*.example", .prefix = "/a", .replace = ""}, true},
        {{.prefix = "", .replace = ""}, false},
        {{.prefix = "/a", .replace = "/a"}, false},
        {{.prefix = "a", .replace = ""}, false},
        {{.prefix = "/a/", .replace = ""}, false},
        {{.prefix = "/a", .replace = "/"}, false},
        {{.prefix = "/a", .replace = "b"}, false},
        {{.prefix = "/a", .replace = "/../b"}, false},
        {{.prefix = "/a//b", .replace = ""}, false},
        {{.prefix = "/a?b", .replace = ""}, false},
        {{.prefix = "/a", .replace = "/b?c"}, false},
        {{.prefix = "/a b", .replace = ""}, false},
        {{.prefix = "/%61", .replace = ""}, false},
        {{.host = "a.*", .prefix = "/a", .replace = ""}, false},
        {{.prefix = too_long, .replace = ""}, false},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        const char *wrong = sp_rewrite_check(&CASES[i].rewrite);
        if ((wrong == NULL) != CASES[i].good)
            fail_msg("%zu: %s -> %s: %s", i, CASES[i].rewrite.prefix, CASES[i].rewrite.replace,
                wrong != NULL ? wrong : "is let through");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_rewrite_that_fits_makes_the_path),
        cmocka_unit_test(test_a_long_path_is_compared_without_harm),
        cmocka_unit_test(test_what_comes_of_it_is_judged_again),
        cmocka_unit_test(test_a_rewrite_that_means_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
