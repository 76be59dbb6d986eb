/* The share of the CPU that gates get, as differences of nice values: the table is the kernel's weights, by which the share that
 * really comes of it is computed anew here. */
#include "daemon/priority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sallyport/base/base.h"

static const double WEIGHTS[] = {
    1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15};

static double share_of(struct sp_priorities p, unsigned gates, unsigned workers)
{
    double g = gates * WEIGHTS[p.gate.nice], w = workers * WEIGHTS[p.worker.nice];

    return 100 * g / (g + 2 * w); /* half of theirs is given away */
}

static void test_a_share_is_a_difference_of_nice_values(void **state)
{
    static const struct {
        unsigned share, gates, workers;
        int gate, worker;
    } cases[] = {
        {20, 1, 1, 3, 0},   /* 526 : 1024 */
        {9, 1, 1, 7, 0},    /* 215 : 1024 */
        {50, 1, 1, 0, 4},   /* 1024 : 423 */
        {51, 1, 1, 0, 4},   /* 1024 : 423 */
        {80, 1, 1, 0, 10},  /* 1024 : 110 */
        {90, 1, 1, 0, 13},  /* 1024 : 56 */
        {1, 1, 1, 17, 0},   /* 23 : 1024 */
        {20, 8, 8, 3, 0},   /* of many as of one */
        {20, 4, 1, 9, 0},   /* four share it: 548 : 1024 */
        {20, 1, 4, 0, 4},   /* one for four: 1024 : 1692 */
        {90, 1, 256, 0, 19} /* cannot be had: as near as there is */
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_priorities p = sp_priorities_of(cases[i].share, cases[i].gates, cases[i].workers);
        print_message(
            "%u %% for %u gates and %u workers\n", cases[i].share, cases[i].gates, cases[i].workers);
        assert_int_equal(p.gate.nice, cases[i].gate);
        assert_int_equal(p.worker.nice, cases[i].worker);
    }
}

static void test_every_share_is_reached_and_overshot_by_one_step_at_most(void **state)
{
    (void)state;
    for (unsigned share = 2; share <= 90; share++) {
        struct sp_priorities p = sp_priorities_of(share, 2, 2), less = p;
        assert_true(share_of(p, 2, 2) >= share);
        if (p.worker.nice > 0)
            less.worker.nice--;
        else
            less.gate.nice++;
        assert_true(share_of(less, 2, 2) < share);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_share_is_a_difference_of_nice_values),
        cmocka_unit_test(test_every_share_is_reached_and_overshot_by_one_step_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
