/* The wheel of moments: everything comes out in its second, however far off, and however the clock is set. */
#include "proxy/session/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define START 1700000000
#define COUNT 6

struct rig {
    struct sp_wheel wheel;
    struct sp_wheel_entry entries[COUNT];
};

static int setup(void **state)
{
    static struct rig rig;

    sp_wheel_init(&rig.wheel, START);
    for (size_t i = 0; i < COUNT; i++)
        sp_wheel_entry_init(&rig.entries[i]);
    *state = &rig;
    return 0;
}

/* Turns to START + `at`, and returns how many came out; each must be due. */
static unsigned turn(struct rig *r, int64_t at)
{
    unsigned budget = 1000, taken = 0;
    struct sp_wheel_entry *e;

    sp_wheel_turn(&r->wheel, START + at);
    for (; (e = sp_wheel_take(&r->wheel, &budget)) != NULL; taken++)
        assert_true(e->due_s == SP_WHEEL_NEVER && sp_list_is_empty(&e->link));
    assert_false(sp_wheel_has_ripe(&r->wheel));
    return taken;
}

static void test_an_entry_comes_out_in_its_second_and_not_before(void **state)
{
    static const int64_t dues[] = {
        1, 2, SP_WHEEL_SLOTS - 1, SP_WHEEL_SLOTS, SP_WHEEL_SLOTS + 1, 5 * SP_WHEEL_SLOTS + 3};
    struct rig *r = *state;

    for (size_t i = 0; i < SP_COUNTOF(dues); i++) {
        setup(state);
        sp_wheel_set(&r->wheel, &r->entries[0], START + dues[i]);
        for (int64_t at = 0; at < dues[i]; at++)
            assert_int_equal(turn(r, at), 0);
        assert_int_equal(turn(r, dues[i]), 1);
        assert_int_equal(turn(r, dues[i] + 1), 0);
    }
}

static void test_what_is_due_already_is_ripe_at_once(void **state)
{
    struct rig *r = *state;

    sp_wheel_set(&r->wheel, &r->entries[0], START);
    sp_wheel_set(&r->wheel, &r->entries[1], START - 5 * SP_WHEEL_SLOTS);
    sp_wheel_set(&r->wheel, &r->entries[2], -1);
    assert_true(sp_wheel_has_ripe(&r->wheel));
    assert_int_equal(turn(r, 0), 3);
}

static void test_an_entry_may_be_moved_removed_and_left_out(void **state)
{
    struct rig *r = *state;

    sp_wheel_set(&r->wheel, &r->entries[0], START + 2);
    sp_wheel_set(&r->wheel, &r->entries[0], START + 9);
    sp_wheel_set(&r->wheel, &r->entries[1], START + 2);
    sp_wheel_remove(&r->entries[1]);
    sp_wheel_remove(&r->entries[1]);
    sp_wheel_set(&r->wheel, &r->entries[2], START + 2);
    sp_wheel_set(&r->wheel, &r->entries[2], SP_WHEEL_NEVER);
    assert_int_equal(turn(r, 8), 0);
    assert_int_equal(turn(r, 9), 1);
    assert_int_equal(turn(r, 9 + 3 * SP_WHEEL_SLOTS), 0);
}

static void test_a_clock_set_forward_brings_out_all_that_it_passed(void **state)
{
    static const int64_t jumps[] = {100, SP_WHEEL_SLOTS, 3650 * (int64_t)86400};
    struct rig *r = *state;

    for (size_t i = 0; i < SP_COUNTOF(jumps); i++) {
        setup(state);
        sp_wheel_set(&r->wheel, &r->entries[0], START + 1);
        sp_wheel_set(&r->wheel, &r->entries[1], START + jumps[i]);
        sp_wheel_set(&r->wheel, &r->entries[2], START + jumps[i] + 1);
        assert_int_equal(turn(r, jumps[i]), 2);
        assert_int_equal(turn(r, jumps[i] + 1), 1);
    }
}

static void test_a_clock_set_back_brings_out_nothing_before_its_second(void **state)
{
    static const int64_t jumps[] = {-1, -100, -5 * SP_WHEEL_SLOTS - 7};
    struct rig *r = *state;

    for (size_t i = 0; i < SP_COUNTOF(jumps); i++) {
        setup(state);
        sp_wheel_set(&r->wheel, &r->entries[0], START + 3);
        assert_int_equal(turn(r, 2), 0);
        for (int64_t at = jumps[i]; at < 3; at++)
            assert_int_equal(turn(r, at), 0);
        assert_int_equal(turn(r, 3), 1);
    }
}

static void test_ripe_ones_are_taken_in_portions(void **state)
{
    struct rig *r = *state;
    unsigned taken = 0, rounds = 0;

    for (size_t i = 0; i < COUNT; i++)
        sp_wheel_set(&r->wheel, &r->entries[i], START + (i % 2 == 0 ? 1 : 1 + SP_WHEEL_SLOTS));
    sp_wheel_turn(&r->wheel, START + 1);
    for (; sp_wheel_has_ripe(&r->wheel); rounds++) {
        unsigned budget = 2;
        while (sp_wheel_take(&r->wheel, &budget) != NULL)
            taken++;
        assert_int_equal(budget, 0);
    }
    assert_int_equal(taken, COUNT / 2);
    assert_int_equal(rounds, COUNT / 2);
    assert_int_equal(turn(r, 1 + SP_WHEEL_SLOTS), COUNT / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_an_entry_comes_out_in_its_second_and_not_before, setup),
        cmocka_unit_test_setup(test_what_is_due_already_is_ripe_at_once, setup),
        cmocka_unit_test_setup(test_an_entry_may_be_moved_removed_and_left_out, setup),
        cmocka_unit_test_setup(test_a_clock_set_forward_brings_out_all_that_it_passed, setup),
        cmocka_unit_test_setup(test_a_clock_set_back_brings_out_nothing_before_its_second, setup),
        cmocka_unit_test_setup(test_ripe_ones_are_taken_in_portions, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
