/* Limits per caller: what a connection and its requests are counted by, who keeps his place, and that threads which share one
 * grant neither more nor less than it has. */
#include <pthread.h>
#include <stdatomic.h>

#include "limits_fixture.h"

/* ---- requests ---- */

static void test_a_caller_has_its_burst_and_then_its_rate_over_all_connections(void **state)
{
    (void)state;
    struct setup setup = {0};
    struct sp_config_caller_limits ten = rate(10, 1000, 4, "identity");
    const struct sp_config *config = configure(&setup, &ten, NULL, NULL);
    struct sp_limits *l = sp_limits_new(64);
    struct sp_limit_holds *h[3];
    uint64_t retry_ms = 0;
    assert_non_null(l);
    for (size_t i = 0; i < 3; i++)
        h[i] = let_in(l, config, ONLY_A, nth(1), NOW_US);
    assert_int_equal(ask(h[0], 0, NOW_US, 2), 2);
    assert_int_equal(ask(h[1], 0, NOW_US, 9), 2);
    assert_int_equal(sp_limits_enter(h[2], 0, NOW_US, &retry_ms), SP_REFUSAL_caller_rate);
    assert_int_equal(retry_ms, 100);
    assert_int_equal(sp_limits_enter(h[2], 0, NOW_US + 99999, &retry_ms), SP_REFUSAL_caller_rate);
    assert_int_equal(retry_ms, 1);
    assert_int_equal(ask(h[2], 0, NOW_US + 300000, 9), 3);
    for (size_t i = 0; i < 3; i++)
        sp_limits_disconnect(h[i]);
    sp_limits_free(l);
}

static void test_who_has_no_limits_is_neither_counted_nor_refused(void **state)
{
    (void)state;
    struct setup setup = {0};
    struct sp_config_caller_limits one = rate(1, 1000, 1, "identity");
    struct sp_limits *l = sp_limits_new(64);
    const struct sp_config *config = configure(&setup, NULL, NULL, NULL);
    assert_non_null(l);
    assert_false(sp_limits_are_set(config));
    assert_null(let_in(l, config, ALL, nth(1), NOW_US));
    config = configure(&setup, NULL, NULL, &one);
    assert_true(sp_limits_are_set(config));
    assert_null(let_in(l, config, A_AND_B, nth(1), NOW_US));
    struct sp_limit_holds *h = let_in(l, config, ALL, nth(1), NOW_US);
    assert_int_equal(ask(h, 0, NOW_US, 50), 50);
    assert_int_equal(ask(h, 2, NOW_US, 50), 1);
    assert_int_equal(ask(h, 1, NOW_US, 50), 50);
    assert_int_equal(ask(h, SP_NONE, NOW_US, 50), 50);
    assert_int_equal(ask(NULL, 2, NOW_US, 50), 50);
    sp_limits_disconnect(h);
    sp_limits_disconnect(NULL);
    sp_limits_free(l);
}

static void test_requests_at_once_are_given_back_when_they_end(void **state)
{
    (void)state;
    struct setup setup = {0};
    struct sp_config_caller_limits three = {.concurrent_requests = 3, .per = "identity"};
    const struct sp_config *config = configure(&setup, &three, NULL, NULL);
    struct sp_limits *l = sp_limits_new(64);
    uint64_t retry_ms = 0;
    assert_non_null(l);
    struct sp_limit_holds *h = let_in(l, config, ONLY_A, nth(1), NOW_US);
    struct sp_limit_holds *same = let_in(l, config, ONLY_A, nth(1), NOW_US);
    struct sp_limit_holds *other = let_in(l, config, ONLY_A, nth(2), NOW_US);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_limits_enter(h, 0, NOW_US, &retry_ms), SP_REFUSAL_none);
    assert_int_equal(sp_limits_enter(same, 0, NOW_US, &retry_ms), SP_REFUSAL_caller_requests);
    assert_int_equal(retry_ms, 1000);
    assert_int_equal(ask(other, 0, NOW_US, 9), 9);
    sp_limits_leave(h, 0);
    assert_int_equal(ask(same, 0, NOW_US, 9), 9); /* one after the other */
    sp_limits_leave(h, 0);
    sp_limits_leave(h, 0);
    sp_limits_disconnect(h);
    sp_limits_disconnect(same);
    sp_limits_disconnect(other);
    sp_limits_free(l);
}

static void test_a_request_that_one_limit_refuses_costs_nothing_of_the_other(void **state)
{
    (void)state;
    struct setup setup = {0};
    struct sp_config_caller_limits both = rate(1, 1000, 2, "identity");
    both.concurrent_requests = 1;
    const struct sp_config *config = configure(&setup, &both, NULL, NULL);
    struct sp_limits *l = sp_limits_new(64);
    uint64_t retry_ms;
    assert_non_null(l);
    struct sp_limit_holds *h = let_in(l, config, ONLY_A, nth(1), NOW_US);
    assert_int_equal(sp_limits_enter(h, 0, NOW_US, &retry_ms), SP_REFUSAL_none);
    for (int i = 0; i < 9; i++)
        assert_int_equal(sp_limits_enter(h, 0, NOW_US, &retry_ms), SP_REFUSAL_caller_requests);
    sp_limits_leave(h, 0);
    assert_int_equal(ask(h, 0, NOW_US, 1), 1); /* the token is still there */
    for (int i = 0; i < 9; i++)
        assert_int_equal(sp_limits_enter(h, 0, NOW_US, &retry_ms), SP_REFUSAL_caller_rate);
    assert_int_equal(ask(h, 0, NOW_US + SECOND_US, 9), 1); /* and nothing is in flight */
    sp_limits_disconnect(h);
    sp_limits_free(l);
}

/* ---- connections ---- */

static void test_connections_are_counted_for_every_caller_and_for_none_when_one_refuses(void **state)
{
    (void)state;
    struct setup setup = {0};
    struct sp_config_caller_limits five = {.connections = 5, .per = "caller"},
                                   two = {.connections = 2, .per = "identity"};
    const struct sp_config *config = configure(&setup, &five, &two, NULL);
    struct sp_limits *l = sp_limits_new(64);
    struct sp_limit_holds *h[6], *none;
    size_t caller = SP_NONE;
    assert_non_null(l);
    h[0] = let_in(l, config, A_AND_B, nth(1), NOW_US);
    h[1] = let_in(l, config, A_AND_B, nth(1), NOW_US);
    for (int i = 0; i < 20; i++) { /* each would count for "a" if it were left counted */
        assert_int_equal(sp_limits_connect(l, config, A_AND_B, nth(1), NOW_US, &none, &caller),
            SP_REFUSAL_caller_connections);
        assert_int_equal(caller, 1);
        assert_null(none);
    }
    h[2] = let_in(l, config, A_AND_B, nth(2), NOW_US);
    h[3] = let_in(l, config, A_AND_B, nth(3), NOW_US);
    h[4] = let_in(l, config, ONLY_A, nth(4), NOW_US);
    assert_int_equal(
        sp_limits_connect(l, config, A_AND_B, nth(5), NOW_US, &none, &caller), SP_REFUSAL_caller_connections);
    assert_int_equal(caller, 0);
    sp_limits_disconnect(h[0]);
    h[0] = let_in(l, config, A_AND_B, nth(1), NOW_US);
    for (size_t i = 0; i < 5; i++)
        sp_limits_disconnect(h[i]);
    sp_limits_free(l);
}

/* ---- the table ---- */

static void test_who_comes_back_finds_his_bucket_as_he_left_it(void **state)
{
    (void)state;
    struct setup setup = {0};
    struct sp_config_caller_limits slow = rate(1, 60000, 2, "identity");
    const struct sp_config *config = configure(&setup, &slow, NULL, NULL);
    struct sp_limits *l = sp_limits_new(64);
    assert_non_null(l);
    struct sp_limit_holds *h = let_in(l, config, ONLY_A, nth(1), NOW_US);
    assert_int_equal(ask(h, 0, NOW_US, 9), 2);
    sp_limits_disconnect(h);
    h = let_in(l, config, ONLY_A, nth(1), NOW_US + SECOND_US);
    assert_int_equal(ask(h, 0, NOW_US + SECOND_US, 9), 0);
    assert_int_equal(ask(h, 0, NOW_US + 60 * SECOND_US, 9), 1);
    sp_limits_disconnect(h);
    sp_limits_free(l);
}

static void test_a_full_table_turns_away_who_is_new_and_keeps_who_is_counted(void **state)
{
    (void)state;
    enum { PLACES = 64 };
    struct setup setup = {0};
    struct sp_config_caller_limits slow = rate(1, 60000, 2, "identity");
    const struct sp_config *config = configure(&setup, &slow, NULL, NULL);
    struct sp_limits *l = sp_limits_new(PLACES);
    struct sp_limit_holds *h[PLACES], *none;
    size_t caller = SP_NONE;
    assert_non_null(l);
    for (unsigned i = 0; i < PLACES; i++) {
        h[i] = let_in(l, config, ONLY_A, nth(i), NOW_US);
        assert_int_equal(ask(h[i], 0, NOW_US, i % 3), i % 3);
    }
    assert_int_equal(
        sp_limits_connect(l, config, ONLY_A, nth(1000), NOW_US, &none, &caller), SP_REFUSAL_limit_table_full);
    assert_int_equal(caller, 0);
    struct sp_limit_holds *again = let_in(l, config, ONLY_A, nth(5), NOW_US); /* he has a place */
    assert_int_equal(ask(again, 0, NOW_US, 9), 0);
    sp_limits_disconnect(again);
    for (unsigned i = 0; i < PLACES; i++)
        sp_limits_disconnect(h[i]);
    /* Those who asked for nothing have full buckets and give way; the others only when theirs are full. */
    static const struct {
        uint64_t at_us;
        unsigned room;
    } moments[] = {{NOW_US, 22}, {NOW_US + 60 * SECOND_US, 43}, {NOW_US + 120 * SECOND_US, 64}};
    for (size_t m = 0; m < SP_COUNTOF(moments); m++) {
        unsigned room = 0;
        while (room < PLACES && sp_limits_connect(l, config, ONLY_A, nth(2000 + 100 * (unsigned)m + room),
                                    moments[m].at_us, &h[room], &caller) == SP_REFUSAL_none)
            room++;
        assert_int_equal(room, moments[m].room);
        for (unsigned i = 0; i < room; i++)
            sp_limits_disconnect(h[i]);
        again = m == 0 ? let_in(l, config, ONLY_A, nth(5), moments[m].at_us) : NULL;
        assert_int_equal(ask(again, 0, moments[m].at_us, 9), m == 0 ? 0 : 9); /* still owes; NULL: nobody */
        sp_limits_disconnect(again);
    }
    sp_limits_free(l);
}

static void test_the_table_holds_as_many_as_it_was_made_for(void **state)
{
    (void)state;
    static const unsigned SIZES[] = {64, 4095, 8192, 20000, 65536};
    struct setup setup = {0};
    struct sp_config_caller_limits slow = rate(1, 60000, 2, "identity");
    const struct sp_config *config = configure(&setup, &slow, NULL, NULL);
    struct sp_limit_holds **h = calloc(65536, sizeof(*h));
    assert_non_null(h);
    for (size_t s = 0; s < SP_COUNTOF(SIZES); s++) {
        struct sp_limits *l = sp_limits_new(SIZES[s]);
        assert_non_null(l);
        for (unsigned i = 0; i < SIZES[s]; i++) {
            h[i] = let_in(l, config, ONLY_A, nth(i), NOW_US);
            assert_int_equal(ask(h[i], 0, NOW_US, 1), 1);
        }
        for (unsigned i = 0; i < SIZES[s]; i++)
            sp_limits_disconnect(h[i]);
        for (unsigned i = 0; i < SIZES[s]; i++) { /* all of them were kept */
            h[i] = let_in(l, config, ONLY_A, nth(i), NOW_US);
            assert_int_equal(ask(h[i], 0, NOW_US, 9), 1);
        }
        for (unsigned i = 0; i < SIZES[s]; i++)
            sp_limits_disconnect(h[i]);
        sp_limits_free(l);
    }
    free(h);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 200, TRIES = 50, BURST = 37, AT_ONCE = 3 };

struct rush {
    struct sp_limits *limits;
    const struct sp_config *config;
    pthread_barrier_t barrier;
    _Atomic unsigned granted, in_flight;
    _Atomic bool wrong;
};

/* Every round is one interval later. Only "a" has a rate, only "b" a number at once. */
static void *rush(void *arg)
{
    struct rush *r = arg;
    struct sp_identity id = client("CN=1");
    struct sp_limit_holds *h = let_in(r->limits, r->config, A_AND_B, &id, NOW_US);
    uint64_t retry_ms;
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&r->barrier);
        uint64_t now_us = NOW_US + round * UINT64_C(1000);
        for (int i = 0; i < TRIES; i++) {
            r->granted += sp_limits_enter(h, 0, now_us, &retry_ms) == SP_REFUSAL_none;
            if (sp_limits_enter(h, 1, now_us, &retry_ms) != SP_REFUSAL_none)
                continue;
            if (++r->in_flight > AT_ONCE)
                r->wrong = true;
            r->in_flight--;
            sp_limits_leave(h, 1);
        }
        pthread_barrier_wait(&r->barrier);
        if (r->granted != BURST + round)
            r->wrong = true;
    }
    sp_limits_disconnect(h);
    return NULL;
}

static void run(void *(*body)(void *), struct rush *r)
{
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&r->barrier, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, r), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&r->barrier);
    assert_false(r->wrong);
}

static void test_workers_that_share_a_bucket_grant_exactly_what_is_in_it(void **state)
{
    (void)state;
    static struct rush r;
    struct setup setup = {0};
    struct sp_config_caller_limits thousand = rate(1000, 1000, BURST, "caller"),
                                   three = {.concurrent_requests = AT_ONCE, .per = "caller"};
    r.config = configure(&setup, &thousand, &three, NULL);
    r.limits = sp_limits_new(64);
    assert_non_null(r.limits);
    run(rush, &r);
    sp_limits_free(r.limits);
}

/* Clients of "a" come and go, in a table with room for half of them; "b" holds each of them to two at a time. */
static void *come_and_go(void *arg)
{
    static const char *const SUBJECTS[] = {"CN=1", "CN=2", "CN=3"};
    struct rush *r = arg;
    struct sp_limit_holds *h;
    size_t caller;
    pthread_barrier_wait(&r->barrier);
    for (unsigned i = 0; i < 20000; i++) {
        struct sp_identity id = client(SUBJECTS[i % SP_COUNTOF(SUBJECTS)]);
        enum sp_refusal reason = sp_limits_connect(r->limits, r->config, A_AND_B, &id, NOW_US, &h, &caller);
        if (reason != SP_REFUSAL_none && reason != SP_REFUSAL_caller_connections &&
            reason != SP_REFUSAL_limit_table_full)
            r->wrong = true;
        if (reason == SP_REFUSAL_none) {
            (void)ask(h, 0, NOW_US, 1);
            if (i % 2 == 0 && sp_limits_move(r->limits, r->config, ONLY_A, &id, NOW_US, &h) != SP_OK)
                r->wrong = true;
        }
        sp_limits_disconnect(h);
    }
    return NULL;
}

static void test_clients_that_come_and_go_on_all_workers_leave_nothing_behind(void **state)
{
    (void)state;
    static struct rush r;
    struct setup setup = {0};
    struct sp_config_caller_limits a = {.concurrent_requests = 5, .per = "identity"},
                                   b = {.connections = 2, .per = "identity"};
    struct sp_limit_holds *h[2];
    r.config = configure(&setup, &a, &b, NULL);
    r.limits = sp_limits_new(3);
    assert_non_null(r.limits);
    run(come_and_go, &r);
    for (size_t i = 0; i < 2; i++)
        h[i] = let_in(r.limits, r.config, A_AND_B, nth(1), NOW_US);
    for (size_t i = 0; i < 2; i++)
        sp_limits_disconnect(h[i]);
    sp_limits_free(r.limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_caller_has_its_burst_and_then_its_rate_over_all_connections),
        cmocka_unit_test(test_who_has_no_limits_is_neither_counted_nor_refused),
        cmocka_unit_test(test_requests_at_once_are_given_back_when_they_end),
        cmocka_unit_test(test_a_request_that_one_limit_refuses_costs_nothing_of_the_other),
        cmocka_unit_test(test_connections_are_counted_for_every_caller_and_for_none_when_one_refuses),
        cmocka_unit_test(test_who_comes_back_finds_his_bucket_as_he_left_it),
        cmocka_unit_test(test_a_full_table_turns_away_who_is_new_and_keeps_who_is_counted),
        cmocka_unit_test(test_the_table_holds_as_many_as_it_was_made_for),
        cmocka_unit_test(test_workers_that_share_a_bucket_grant_exactly_what_is_in_it),
        cmocka_unit_test(test_clients_that_come_and_go_on_all_workers_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
