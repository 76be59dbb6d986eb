/* The memory of OCSP answers that gates share: what is kept, for how long, and that it stays bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "gate/inquiries_impl.h"

#define NOW ((int64_t)1800000000)
#define DAY ((int64_t)24 * 3600)

static void key_of(uint32_t n, uint8_t key[SP_INQUIRY_KEY])
{
    char url[32];
    int len = snprintf(url, sizeof(url), "http://r/%u", n);
    assert_int_equal(sp_ocsp_key((struct sp_slice){url, (size_t)len}, SP_SLICE("id"), key), SP_OK);
}

static void test_an_answer_is_kept_until_it_ends_for_a_day_at_most(void **state)
{
    (void)state;
    const struct {
        enum sp_ocsp_status status;
        int64_t until, kept_for; /* from now on; 0: not at all */
    } cases[] = {
        {SP_OCSP_GOOD, 3600, 3600},
        {SP_OCSP_REVOKED, 3600, 3600},
        {SP_OCSP_GOOD, 30 * DAY, DAY},
        {SP_OCSP_GOOD, -10, 0}, /* past its end, within the skew */
        {SP_OCSP_UNKNOWN, 3600, 2},
        {SP_OCSP_UNUSABLE, 0, 2},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_inquiries *q = sp_inquiries_new();
        struct sp_ocsp_answer out,
            in = {.status = cases[i].status, .until = NOW + cases[i].until, .detail = "said"};
        uint8_t key[SP_INQUIRY_KEY], other[SP_INQUIRY_KEY];
        key_of(1, key);
        key_of(2, other);
        assert_non_null(q);
        sp_inquiries_put(q, key, NOW, &in);
        assert_int_equal(sp_inquiries_find(q, key, NOW, &out), cases[i].kept_for > 0);
        assert_false(sp_inquiries_find(q, key, NOW + cases[i].kept_for, &out));
        if (cases[i].kept_for > 0) {
            assert_true(sp_inquiries_find(q, key, NOW + cases[i].kept_for - 1, &out));
            assert_int_equal(out.status, cases[i].status);
            assert_string_equal(out.detail, "said");
        }
        assert_false(sp_inquiries_find(q, other, NOW, &out));
        sp_inquiries_free(q);
    }
}

static void test_a_new_answer_takes_the_place_of_the_old_one(void **state)
{
    (void)state;
    struct sp_inquiries *q = sp_inquiries_new();
    struct sp_ocsp_answer out, good = {.status = SP_OCSP_GOOD, .until = NOW + 60};
    struct sp_ocsp_answer revoked = {.status = SP_OCSP_REVOKED, .until = NOW + 3600};
    uint8_t key[SP_INQUIRY_KEY];
    key_of(1, key);
    sp_inquiries_put(q, key, NOW, &good);
    sp_inquiries_put(q, key, NOW, &revoked);
    assert_true(sp_inquiries_find(q, key, NOW, &out));
    assert_int_equal(out.status, SP_OCSP_REVOKED);
    sp_inquiries_free(q);
}

static void test_it_is_bounded_and_what_is_in_use_stays(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct sp_inquiries *q = sp_inquiries_new();
    struct sp_ocsp_answer out, good = {.status = SP_OCSP_GOOD, .until = NOW + 3600};
    uint8_t key[SP_INQUIRY_KEY], used[SP_INQUIRY_KEY];
    unsigned kept = 0;
    key_of(0, used);
    for (uint32_t n = 0; n < MANY; n++) {
        key_of(n, key);
        sp_inquiries_put(q, key, NOW, &good);
        assert_true(sp_inquiries_find(q, used, NOW, &out));
    }
    for (uint32_t n = 0; n < MANY; n++) {
        key_of(n, key);
        kept += sp_inquiries_find(q, key, NOW, &out) ? 1 : 0;
    }
    assert_true(kept > 3000 && kept <= 4096);
    sp_inquiries_free(q);
}

static void test_url_and_certificate_both_make_the_key(void **state)
{
    (void)state;
    uint8_t a[SP_INQUIRY_KEY], b[SP_INQUIRY_KEY];
    const struct sp_slice pairs[][2] = {{SP_SLICE("http://a/"), SP_SLICE("xy")},
        {SP_SLICE("http://b/"), SP_SLICE("xy")}, {SP_SLICE("http://a/"), SP_SLICE("x")},
        {SP_SLICE("http://a/x"), SP_SLICE("y")}};
    for (size_t i = 0; i < SP_COUNTOF(pairs); i++) {
        for (size_t j = 0; j < SP_COUNTOF(pairs); j++) {
            assert_int_equal(sp_ocsp_key(pairs[i][0], pairs[i][1], a), SP_OK);
            assert_int_equal(sp_ocsp_key(pairs[j][0], pairs[j][1], b), SP_OK);
            assert_int_equal(memcmp(a, b, sizeof(a)) == 0, i == j);
        }
    }
}

static void test_questions_under_way_are_counted_and_need_a_fetcher(void **state)
{
    (void)state;
    struct sp_inquiries *q = sp_inquiries_new();
    struct sp_fetcher *nobody = (struct sp_fetcher *)q, *given = NULL; /* only passed on */
    const char *detail = NULL;
    unsigned entered = 0;
    assert_int_equal(sp_inquiries_enter(q, &given, &detail), SP_FAIL);
    assert_non_null(strstr(detail, "nobody"));
    sp_inquiries_set_fetcher(q, nobody);
    while (entered < 1000 && sp_inquiries_enter(q, &given, &detail) == SP_OK)
        entered++;
    assert_ptr_equal(given, nobody);
    assert_int_equal(entered, 512);
    assert_non_null(strstr(detail, "too many"));
    sp_inquiries_leave(q);
    assert_int_equal(sp_inquiries_enter(q, &given, &detail), SP_OK);
    assert_int_equal(sp_inquiries_enter(q, &given, &detail), SP_FAIL);
    sp_inquiries_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_kept_until_it_ends_for_a_day_at_most),
        cmocka_unit_test(test_a_new_answer_takes_the_place_of_the_old_one),
        cmocka_unit_test(test_it_is_bounded_and_what_is_in_use_stays),
        cmocka_unit_test(test_url_and_certificate_both_make_the_key),
        cmocka_unit_test(test_questions_under_way_are_counted_and_need_a_fetcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
