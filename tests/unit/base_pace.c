/* The arithmetic of a bucket of tokens: bursts, steady pace, clocks that stand or go back, numbers at the edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/base/pace.h"

#define SECOND_US UINT64_C(1000000)
#define DAY_MS    (UINT64_C(86400) * 1000)

/* How many of `tries` at that moment are granted; `moment` is the bucket. */
static unsigned take(const struct sp_pace *p, uint64_t now_us, unsigned tries, uint64_t *moment)
{
    unsigned taken = 0;
    uint64_t wait_ns;
    for (unsigned i = 0; i < tries; i++)
        taken += sp_pace_take(p, now_us, *moment, moment, &wait_ns);
    return taken;
}

static void test_a_burst_comes_at_once_and_then_so_many_in_the_time(void **state)
{
    (void)state;
    static const struct {
        unsigned count;
        uint64_t period_ms;
        unsigned burst;
        struct {
            uint64_t at_us;
            unsigned taken; /* of many tries */
        } steps[6];
    } cases[] = {
        {10, 1000, 5, {{0, 5}, {99999, 0}, {100000, 1}, {100000, 0}, {1000000, 5}, {1100000, 1}}},
        {1, 1000, 1, {{0, 1}, {999999, 0}, {1000000, 1}, {1999999, 0}, {9000000, 1}, {10000000, 1}}},
        {1, 3600000, 3,
            {{0, 3}, {3599999999, 0}, {3600000000, 1}, {3600000001, 0}, {7200000000, 1}, {7200000000, 0}}},
        {3, 1000, 2, {{0, 2}, {333332, 0}, {333334, 1}, {666668, 1}, {666668, 0}, {5000000, 2}}},
        {1000, 1, 4, {{0, 4}, {0, 0}, {1, 1}, {3, 2}, {100, 4}, {101, 1}}},
        {100, 1000, 0, {{0, 1}, {0, 0}, {10000, 1}, {10000, 0}, {90000, 1}, {90000, 0}}}, /* one at least */
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_pace p = sp_pace_of(cases[i].count, cases[i].period_ms, cases[i].burst);
        uint64_t moment = 0;
        for (size_t k = 0; k < SP_COUNTOF(cases[i].steps); k++) {
            uint64_t now_us = 77 * SECOND_US + cases[i].steps[k].at_us;
            unsigned taken = take(&p, now_us, 50, &moment);
            if (taken != cases[i].steps[k].taken)
                fail_msg("case %zu, step %zu: %u", i, k, taken);
        }
    }
}

static void test_who_is_refused_is_told_when_there_will_be_one(void **state)
{
    (void)state;
    struct sp_pace p = sp_pace_of(4, 1000, 2);
    uint64_t moment = 0, wait_ns = 0, unused;
    assert_int_equal(take(&p, SECOND_US, 2, &moment), 2);
    assert_false(sp_pace_take(&p, SECOND_US, moment, &moment, &wait_ns));
    assert_int_equal(wait_ns, 250000000);
    assert_false(sp_pace_take(&p, SECOND_US + 249999, moment, &moment, &wait_ns));
    assert_int_equal(wait_ns, 1000);
    assert_true(sp_pace_take(&p, SECOND_US + 250000, moment, &moment, &unused));
}

static void test_without_a_pace_nothing_is_refused_or_remembered(void **state)
{
    (void)state;
    struct sp_pace p = sp_pace_of(0, 1000, 7);
    uint64_t moment = 0;
    assert_int_equal(take(&p, SECOND_US, 1000, &moment), 1000);
    assert_int_equal(moment, 0);
}

static void test_a_clock_that_is_a_little_behind_gives_nothing_away(void **state)
{
    (void)state;
    struct sp_pace p = sp_pace_of(1000, 1000, 10);
    uint64_t moment = 0;
    assert_int_equal(take(&p, 5 * SECOND_US, 20, &moment), 10);
    for (uint64_t behind_us = 1; behind_us < SECOND_US; behind_us *= 3)
        assert_int_equal(take(&p, 5 * SECOND_US - behind_us, 20, &moment), 0);
    assert_int_equal(take(&p, 5 * SECOND_US, 20, &moment), 0);
    assert_int_equal(take(&p, 5 * SECOND_US + 1000, 20, &moment), 1);
}

static void test_a_bucket_that_owes_more_than_its_numbers_allow_is_empty_and_no_more(void **state)
{
    (void)state;
    struct sp_pace slow = sp_pace_of(1, 3600000, 10), fast = sp_pace_of(10, 1000, 10);
    uint64_t moment = 0, wait_ns = 0;
    assert_int_equal(take(&slow, SECOND_US, 20, &moment), 10);
    assert_false(sp_pace_take(&fast, SECOND_US, moment, &moment, &wait_ns));
    assert_int_equal(wait_ns, 100000000);
    assert_int_equal(take(&fast, SECOND_US + 100000, 20, &moment), 1);
    assert_int_equal(take(&fast, 2 * SECOND_US + 100000, 20, &moment), 10);
}

static void test_numbers_at_the_edge_neither_wrap_nor_grant_more(void **state)
{
    (void)state;
    static const struct {
        unsigned count;
        uint64_t period_ms;
        unsigned burst;
        uint64_t now_us, moment;
        unsigned taken; /* of ten tries */
    } cases[] = {
        {1, UINT64_MAX, UINT32_MAX, 0, 0, 1},
        {1, UINT64_MAX, 1, 0, 0, 1},
        {1, UINT64_MAX, 1, UINT64_MAX, 0, 1},
        {1, UINT64_MAX, 1, UINT64_MAX, UINT64_MAX, 0},
        {1, 1000, 3, 0, UINT64_MAX, 0},
        {1, 1000, 3, UINT64_MAX, 0, 3},
        {UINT32_MAX, 1, 1, SECOND_US, 0, 1},
        {UINT32_MAX, 1, UINT32_MAX, SECOND_US, 0, 10},
        {1, DAY_MS, 1000000, SECOND_US, 0, 10},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_pace p = sp_pace_of(cases[i].count, cases[i].period_ms, cases[i].burst);
        uint64_t moment = cases[i].moment;
        unsigned taken = take(&p, cases[i].now_us, 10, &moment);
        if (taken != cases[i].taken)
            fail_msg("case %zu: %u", i, taken);
    }
}

static void test_a_bucket_is_full_from_its_moment_on(void **state)
{
    (void)state;
    struct sp_pace p = sp_pace_of(1, 1000, 3);
    uint64_t moment = 0;
    assert_true(sp_pace_is_full(0, 0));
    assert_int_equal(take(&p, 10 * SECOND_US, 2, &moment), 2);
    assert_false(sp_pace_is_full(12 * SECOND_US - 1, moment));
    assert_true(sp_pace_is_full(12 * SECOND_US, moment));
    assert_true(sp_pace_is_full(UINT64_MAX, moment));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_comes_at_once_and_then_so_many_in_the_time),
        cmocka_unit_test(test_who_is_refused_is_told_when_there_will_be_one),
        cmocka_unit_test(test_without_a_pace_nothing_is_refused_or_remembered),
        cmocka_unit_test(test_a_clock_that_is_a_little_behind_gives_nothing_away),
        cmocka_unit_test(test_a_bucket_that_owes_more_than_its_numbers_allow_is_empty_and_no_more),
        cmocka_unit_test(test_numbers_at_the_edge_neither_wrap_nor_grant_more),
        cmocka_unit_test(test_a_bucket_is_full_from_its_moment_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
