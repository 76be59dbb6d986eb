/* Limits per caller: what a reload changes of what was counted already. */
#include "limits_fixture.h"

static void move(struct sp_limits *l, const struct sp_config *config, struct sp_caller_ids callers,
    const struct sp_identity *id, struct sp_limit_holds **h)
{
    assert_int_equal(sp_limits_move(l, config, callers, id, NOW_US, h), SP_OK);
}

static void test_other_numbers_act_on_what_was_counted_already(void **state)
{
    (void)state;
    static const struct {
        unsigned requests;
        uint64_t period_ms;
        unsigned burst, now, after_a_minute; /* of ten requests */
    } cases[] = {
        {1, 3600000, 3, 0, 0},
        {1, 3600000, 5, 2, 0},
        {1, 60000, 3, 0, 1}, /* what it owes is a whole bucket and no more */
        {1, 1000, 1, 0, 1},
        {60, 60000, 60, 0, 10},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct setup setup[2] = {0};
        struct sp_config_caller_limits before = rate(1, 3600000, 3, "identity"),
                                       after = rate(
                                           cases[i].requests, cases[i].period_ms, cases[i].burst, "identity");
        struct sp_limits *l = sp_limits_new(64);
        assert_non_null(l);
        struct sp_limit_holds *h =
            let_in(l, configure(&setup[0], &before, NULL, NULL), ONLY_A, nth(1), NOW_US);
        assert_int_equal(ask(h, 0, NOW_US, 9), 3);
        move(l, configure(&setup[1], &after, NULL, NULL), ONLY_A, nth(1), &h);
        unsigned now = ask(h, 0, NOW_US, 10), later = ask(h, 0, NOW_US + 60 * SECOND_US, 10);
        if (now != cases[i].now || later != cases[i].after_a_minute)
            fail_msg("case %zu: %u, then %u", i, now, later);
        sp_limits_disconnect(h);
        sp_limits_free(l);
    }
}

static void test_limits_come_and_go_with_a_reload(void **state)
{
    (void)state;
    struct setup setup[4] = {0};
    struct sp_config_caller_limits two = rate(1, 3600000, 2, "identity"),
                                   one = rate(1, 3600000, 1, "identity"),
                                   none_at_all = {.connections = 1, .per = "identity"};
    const struct sp_config *free_of_any = configure(&setup[0], NULL, NULL, NULL),
                           *only_b = configure(&setup[1], NULL, &two, NULL),
                           *both = configure(&setup[2], &one, &two, NULL),
                           *strict = configure(&setup[3], NULL, &none_at_all, NULL);
    struct sp_limits *l = sp_limits_new(64);
    struct sp_limit_holds *h[2] = {NULL, NULL}, *third;
    size_t caller;
    assert_non_null(l);
    for (size_t i = 0; i < 2; i++)
        move(l, only_b, A_AND_B, nth(1), &h[i]);
    assert_int_equal(ask(h[0], 1, NOW_US, 1), 1);
    for (size_t i = 0; i < 2; i++)
        move(l, both, A_AND_B, nth(1), &h[i]);
    assert_int_equal(ask(h[1], 0, NOW_US, 9), 1);
    assert_int_equal(ask(h[1], 1, NOW_US, 9), 1);
    for (size_t i = 0; i < 2; i++) /* two are open where one is allowed: they stay */
        move(l, strict, A_AND_B, nth(1), &h[i]);
    assert_int_equal(sp_limits_connect(l, strict, A_AND_B, nth(1), NOW_US, &third, &caller),
        SP_REFUSAL_caller_connections);
    move(l, free_of_any, A_AND_B, nth(1), &h[0]);
    assert_null(h[0]);
    assert_int_equal(ask(h[0], 1, NOW_US, 9), 9);
    assert_int_equal(sp_limits_connect(l, strict, A_AND_B, nth(1), NOW_US, &third, &caller),
        SP_REFUSAL_caller_connections);
    move(l, free_of_any, A_AND_B, nth(1), &h[1]);
    for (size_t i = 0; i < 2; i++) /* the same from connections that were not counted at all */
        move(l, strict, A_AND_B, nth(1), &h[i]);
    for (size_t i = 0; i < 2; i++)
        move(l, free_of_any, A_AND_B, nth(1), &h[i]);
    third = let_in(l, strict, A_AND_B, nth(1), NOW_US);
    sp_limits_disconnect(third);
    third = let_in(l, only_b, A_AND_B, nth(1), NOW_US); /* nobody held it any more, and it still owes */
    assert_int_equal(ask(third, 1, NOW_US, 9), 0);
    sp_limits_disconnect(third);
    sp_limits_free(l);
}

/* What goes on while the configuration changes leaves before and comes back after. */
static void test_a_request_that_goes_on_is_counted_by_the_new_limits_whatever_they_are(void **state)
{
    (void)state;
    struct setup setup[5] = {0};
    struct sp_config_caller_limits two = {.concurrent_requests = 2, .per = "identity"},
                                   one = {.concurrent_requests = 1, .per = "caller"},
                                   slow = rate(1, 3600000, 1, "identity");
    const struct sp_config *configs[] = {configure(&setup[0], &two, NULL, NULL),
        configure(&setup[1], &one, NULL, NULL), configure(&setup[2], NULL, NULL, NULL),
        configure(&setup[3], &slow, NULL, NULL), configure(&setup[4], &two, NULL, NULL)};
    const unsigned left[] = {1, 0, 9, 1, 1}; /* of nine that ask beside it */
    struct sp_limits *l = sp_limits_new(64);
    struct sp_limit_holds *h = NULL;
    assert_non_null(l);
    for (size_t i = 0; i < SP_COUNTOF(configs); i++) {
        if (i > 0)
            sp_limits_leave(h, 0);
        move(l, configs[i], ONLY_A, nth(1), &h);
        sp_limits_reenter(h, 0);
        unsigned granted = 0;
        uint64_t retry_ms;
        while (granted < 9 && sp_limits_enter(h, 0, NOW_US, &retry_ms) == SP_REFUSAL_none)
            granted++;
        if (granted != left[i])
            fail_msg("case %zu: %u", i, granted);
        while (granted-- > 0)
            sp_limits_leave(h, 0);
    }
    sp_limits_reenter(h, 0); /* three where two may be: it was there */
    sp_limits_reenter(h, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(h, 0, NOW_US, 1), i < 2 ? 0 : 1);
        sp_limits_leave(h, 0);
    }
    sp_limits_disconnect(h);
    sp_limits_free(l);
}

static void test_another_key_is_another_bucket(void **state)
{
    (void)state;
    struct setup setup[2] = {0};
    struct sp_config_caller_limits by_identity = rate(1, 3600000, 1, "identity"),
                                   by_caller = rate(1, 3600000, 1, "caller");
    struct sp_limits *l = sp_limits_new(64);
    assert_non_null(l);
    struct sp_limit_holds *h =
        let_in(l, configure(&setup[0], &by_identity, NULL, NULL), ONLY_A, nth(1), NOW_US);
    assert_int_equal(ask(h, 0, NOW_US, 9), 1);
    move(l, configure(&setup[1], &by_caller, NULL, NULL), ONLY_A, nth(1), &h);
    assert_int_equal(ask(h, 0, NOW_US, 9), 1);
    assert_int_equal(ask(h, 0, NOW_US, 9), 0);
    sp_limits_disconnect(h);
    sp_limits_free(l);
}

static void test_where_there_is_no_room_for_new_limits_the_old_places_are_kept(void **state)
{
    (void)state;
    enum { PLACES = 64 };
    struct setup setup[2] = {0};
    struct sp_config_caller_limits slow = rate(1, 60000, 1, "identity");
    const struct sp_config *only_a = configure(&setup[0], &slow, NULL, NULL),
                           *both = configure(&setup[1], &slow, &slow, NULL);
    struct sp_limits *l = sp_limits_new(PLACES);
    struct sp_limit_holds *h[PLACES];
    assert_non_null(l);
    for (unsigned i = 0; i < PLACES; i++) {
        h[i] = let_in(l, only_a, ONLY_A, nth(i), NOW_US);
        assert_int_equal(ask(h[i], 0, NOW_US, 9), 1);
    }
    assert_int_equal(sp_limits_move(l, both, A_AND_B, nth(0), NOW_US, &h[0]), SP_FAIL);
    assert_int_equal(ask(h[0], 0, NOW_US, 9), 9); /* no caller is mistaken for another */
    assert_int_equal(ask(h[0], SP_NONE, NOW_US, 9), 9);
    move(l, only_a, ONLY_A, nth(0), &h[0]);
    assert_int_equal(ask(h[0], 0, NOW_US, 9), 0);
    sp_limits_disconnect(h[1]);
    assert_int_equal(sp_limits_move(l, both, A_AND_B, nth(0), NOW_US, &h[0]), SP_FAIL);
    assert_int_equal(sp_limits_move(l, both, A_AND_B, nth(0), NOW_US + 60 * SECOND_US, &h[0]), SP_OK);
    sp_limits_disconnect(h[0]);
    for (unsigned i = 2; i < PLACES; i++)
        sp_limits_disconnect(h[i]);
    sp_limits_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_numbers_act_on_what_was_counted_already),
        cmocka_unit_test(test_limits_come_and_go_with_a_reload),
        cmocka_unit_test(test_a_request_that_goes_on_is_counted_by_the_new_limits_whatever_they_are),
        cmocka_unit_test(test_another_key_is_another_bucket),
        cmocka_unit_test(test_where_there_is_no_room_for_new_limits_the_old_places_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
