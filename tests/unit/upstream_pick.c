/* Choosing an endpoint. Lineups are made as the roster makes them, of endpoints that nobody connects to; chance has a fixed seed, so
 * that every run is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "upstream/pool/pick.h"
#include "upstream/roster/roster_impl.h"

#define MAX 8

struct rig {
    struct sp_endpoint *endpoints[MAX];
    struct sp_lineup *lineup;
    struct sp_random random;
    bool barred[MAX]; /* by number of the endpoint */
    unsigned asked;
    unsigned got[MAX];
};

static uint32_t number_of(const struct rig *r, const struct sp_endpoint *ep)
{
    for (uint32_t i = 0; i < MAX; i++) {
        if (r->endpoints[i] == ep)
            return i;
    }
    fail();
    return 0;
}

static bool may(void *arg, uint32_t index)
{
    struct rig *r = arg;

    r->asked++;
    assert_true(index < r->lineup->usable_count);
    return !r->barred[number_of(r, r->lineup->usable[index])];
}

static int set_up(void **state)
{
    struct rig *r = SP_NEW(struct rig);

    assert_non_null(r);
    for (unsigned i = 0; i < MAX; i++) {
        char text[32];
        struct sp_addr address;
        struct sp_err err;
        (void)snprintf(text, sizeof(text), "10.0.0.%u:80", i + 1);
        assert_int_equal(sp_addr_parse(sp_slice_of(text), &address, &err), SP_OK);
        struct sp_member *m = sp_member_new(NULL, "u", &address, NULL);
        assert_non_null(m);
        r->endpoints[i] = &m->ep;
    }
    r->random = (struct sp_random){{1, 2, 3, 4}};
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;

    sp_lineup_unref(r->lineup);
    for (unsigned i = 0; i < MAX; i++)
        sp_endpoint_unref(r->endpoints[i]);
    sp_free(r);
    return 0;
}

/* Endpoints of these weights, up to one of weight 0. */
static void line_up(struct rig *r, enum sp_balance balance, const unsigned weights[MAX])
{
    struct sp_config_upstream config = {.name = "u", .balance = balance};
    struct sp_candidate candidates[MAX];
    size_t count = 0;

    while (count < MAX && weights[count] > 0) {
        candidates[count] = (struct sp_candidate){.ep = r->endpoints[count], .weight = weights[count]};
        count++;
    }
    sp_lineup_unref(r->lineup);
    r->lineup = sp_lineup_new(&config, candidates, count);
    assert_non_null(r->lineup);
    memset(r->got, 0, sizeof(r->got));
}

static struct sp_pick pick_of(struct rig *r)
{
    return (struct sp_pick){.lineup = r->lineup, .may = may, .arg = r, .random = &r->random};
}

static uint32_t note(struct rig *r, uint32_t index)
{
    assert_int_not_equal(index, SP_PICK_NONE);
    uint32_t number = number_of(r, r->lineup->usable[index]);
    assert_false(r->barred[number]);
    r->got[number]++;
    return number;
}

/* ---- all of them ---- */

static uint32_t pick_by(struct rig *r, enum sp_balance balance, size_t turn)
{
    struct sp_pick p = pick_of(r);
    size_t next = turn;

    switch (balance) {
    case SP_BALANCE_ROUND_ROBIN:
        return sp_pick_round_robin(&p, &next);
    case SP_BALANCE_LEAST_REQUESTS:
        return sp_pick_least_requests(&p);
    case SP_BALANCE_HASH:
        break;
    }
    return sp_pick_hash(&p, turn * UINT64_C(0x9e3779b97f4a7c15));
}

static void test_who_may_not_be_chosen_is_not_and_the_last_who_may_be_is_found(void **state)
{
    static const enum sp_balance ALL[] = {SP_BALANCE_ROUND_ROBIN, SP_BALANCE_LEAST_REQUESTS, SP_BALANCE_HASH};
    static const unsigned WEIGHTS[MAX] = {1, 2, 3, 1, 100};
    struct rig *r = *state;

    for (size_t b = 0; b < SP_COUNTOF(ALL); b++) {
        line_up(r, ALL[b], WEIGHTS);
        for (unsigned left = 5; left > 0; left--) {
            for (size_t turn = 0; turn < 200; turn++)
                (void)note(r, pick_by(r, ALL[b], turn));
            r->barred[left - 1] = true;
        }
        assert_int_equal(pick_by(r, ALL[b], 0), SP_PICK_NONE);
        memset(r->barred, 0, sizeof(r->barred));
    }
}

static void test_of_nobody_nobody_is_chosen(void **state)
{
    static const unsigned NOBODY[MAX] = {0};
    struct rig *r = *state;

    line_up(r, SP_BALANCE_HASH, NOBODY);
    assert_int_equal(pick_by(r, SP_BALANCE_ROUND_ROBIN, 7), SP_PICK_NONE);
    assert_int_equal(pick_by(r, SP_BALANCE_LEAST_REQUESTS, 7), SP_PICK_NONE);
    assert_int_equal(pick_by(r, SP_BALANCE_HASH, 7), SP_PICK_NONE);
}

/* ---- round robin ---- */

static void test_turns_go_by_weight_exactly_and_not_in_a_row(void **state)
{
    static const unsigned WEIGHTS[MAX] = {5, 1, 2};
    struct rig *r = *state;
    size_t next = 3;
    unsigned row = 0;

    line_up(r, SP_BALANCE_ROUND_ROBIN, WEIGHTS);
    struct sp_pick p = pick_of(r);
    for (int i = 0; i < 800; i++) {
        row = note(r, sp_pick_round_robin(&p, &next)) == 0 ? row + 1 : 0;
        assert_true(row <= 3); /* of five in eight */
    }
    assert_int_equal(r->got[0], 500);
    assert_int_equal(r->got[1], 100);
    assert_int_equal(r->got[2], 200);
}

/* ---- slow start ---- */

static void test_the_share_of_one_that_came_back_rises_to_the_whole(void **state)
{
    static const struct {
        uint64_t up_since_ms, now_ms, slow_start_ms;
        unsigned share;
    } CASES[] = {
        {0, 5, 30000, SP_SHARE_FULL},            /* it never was away */
        {1000, 1000, 30000, SP_SHARE_FULL / 10}, /* never nothing */
        {1000, 999, 30000, SP_SHARE_FULL / 10},  /* by another thread's clock */
        {1000, 2500, 30000, SP_SHARE_FULL / 10},
        {1000, 16000, 30000, SP_SHARE_FULL / 2},
        {1000, 30999, 30000, SP_SHARE_FULL - 1},
        {1000, 31000, 30000, SP_SHARE_FULL},
        {1000, UINT64_MAX / 2, 30000, SP_SHARE_FULL},
    };
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++)
        assert_int_equal(
            sp_pick_share(CASES[i].up_since_ms, CASES[i].now_ms, CASES[i].slow_start_ms), CASES[i].share);
}

/* How many of 1000 requests one of two gets that came back `since` ago. */
static unsigned part_of_newcomer(struct rig *r, enum sp_balance balance, uint64_t since_ms)
{
    static const unsigned WEIGHTS[MAX] = {1, 1};
    size_t next = 0;

    line_up(r, balance, WEIGHTS);
    struct sp_pick p = pick_of(r);
    p.slow_start_ms = 1000;
    p.now_ms = 10000;
    atomic_store(&r->endpoints[1]->up_since_ms, p.now_ms - since_ms);
    for (int i = 0; i < 1000; i++)
        note(r,
            balance == SP_BALANCE_ROUND_ROBIN ? sp_pick_round_robin(&p, &next) : sp_pick_least_requests(&p));
    return r->got[1];
}

static void test_a_newcomer_gets_little_at_first_and_its_part_in_the_end(void **state)
{
    static const enum sp_balance SLOW[] = {SP_BALANCE_ROUND_ROBIN, SP_BALANCE_LEAST_REQUESTS};
    struct rig *r = *state;

    for (size_t i = 0; i < SP_COUNTOF(SLOW); i++) {
        unsigned early = part_of_newcomer(r, SLOW[i], 0);
        unsigned half = part_of_newcomer(r, SLOW[i], 500);
        unsigned whole = part_of_newcomer(r, SLOW[i], 1000);
        assert_in_range(early, 50, 130);
        assert_in_range(half, 280, 390);
        assert_in_range(whole, 450, 550);
    }
}

static void test_newcomers_alone_get_all_there_is(void **state)
{
    static const unsigned WEIGHTS[MAX] = {1, 1};
    struct rig *r = *state;
    size_t next = 0;

    line_up(r, SP_BALANCE_ROUND_ROBIN, WEIGHTS);
    struct sp_pick p = pick_of(r);
    p.slow_start_ms = 1000;
    p.now_ms = 10000;
    for (int i = 0; i < 2; i++)
        atomic_store(&r->endpoints[i]->up_since_ms, p.now_ms);
    for (int i = 0; i < 1000; i++)
        note(r, sp_pick_round_robin(&p, &next));
    assert_in_range(r->got[0], 400, 600);
}

/* ---- least requests ---- */

static void test_the_busiest_of_all_is_never_chosen(void **state)
{
    static const unsigned WEIGHTS[MAX] = {1, 1, 1};
    struct rig *r = *state;

    line_up(r, SP_BALANCE_LEAST_REQUESTS, WEIGHTS);
    atomic_store(&r->endpoints[0]->requests, 5);
    atomic_store(&r->endpoints[1]->requests, 2);
    struct sp_pick p = pick_of(r);
    for (int i = 0; i < 3000; i++)
        note(r, sp_pick_least_requests(&p));
    assert_int_equal(r->got[0], 0);
    assert_in_range(r->got[1], 900, 1100); /* where chance did not name the idle one */
    assert_in_range(r->got[2], 1900, 2100);
}

static void test_of_idle_ones_chance_decides_by_weight(void **state)
{
    static const unsigned WEIGHTS[MAX] = {1, 3};
    struct rig *r = *state;

    line_up(r, SP_BALANCE_LEAST_REQUESTS, WEIGHTS);
    struct sp_pick p = pick_of(r);
    for (int i = 0; i < 4000; i++)
        note(r, sp_pick_least_requests(&p));
    assert_in_range(r->got[0], 900, 1100);
}

/* Each request stays: what there is of them in the end is by weight. */
static void test_requests_pile_up_by_weight(void **state)
{
    static const unsigned WEIGHTS[MAX] = {1, 2, 5};
    struct rig *r = *state;

    line_up(r, SP_BALANCE_LEAST_REQUESTS, WEIGHTS);
    struct sp_pick p = pick_of(r);
    for (int i = 0; i < 8000; i++)
        atomic_fetch_add(&r->endpoints[note(r, sp_pick_least_requests(&p))]->requests, 1);
    assert_in_range(r->got[0], 900, 1100);
    assert_in_range(r->got[1], 1900, 2100);
    assert_in_range(r->got[2], 4800, 5200);
}

/* ---- hash ---- */

#define KEYS 20000

static uint64_t key(size_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void pick_all(struct rig *r, uint32_t out[KEYS])
{
    struct sp_pick p = pick_of(r);

    memset(r->got, 0, sizeof(r->got));
    for (size_t i = 0; i < KEYS; i++)
        out[i] = note(r, sp_pick_hash(&p, key(i)));
}

static void test_keys_are_spread_by_weight(void **state)
{
    static const unsigned WEIGHTS[MAX] = {1, 1, 2};
    struct rig *r = *state;
    static uint32_t where[KEYS];

    line_up(r, SP_BALANCE_HASH, WEIGHTS);
    pick_all(r, where);
    assert_in_range(r->got[0], KEYS / 4 - KEYS / 16, KEYS / 4 + KEYS / 16);
    assert_in_range(r->got[1], KEYS / 4 - KEYS / 16, KEYS / 4 + KEYS / 16);
    assert_in_range(r->got[2], KEYS / 2 - KEYS / 16, KEYS / 2 + KEYS / 16);
}

static void test_equal_keys_go_to_equal_endpoints(void **state)
{
    static const unsigned WEIGHTS[MAX] = {1, 1, 1, 1};
    struct rig *r = *state;
    static uint32_t once[KEYS], again[KEYS];

    line_up(r, SP_BALANCE_HASH, WEIGHTS);
    pick_all(r, once);
    line_up(r, SP_BALANCE_HASH, WEIGHTS);
    pick_all(r, again);
    assert_memory_equal(once, again, sizeof(once));
}

/* By the lineup or for the moment: both move the keys of the one that is away, and no other's. */
static void test_only_the_keys_of_one_that_goes_move_and_not_all_to_one_other(void **state)
{
    static const unsigned WEIGHTS[MAX] = {1, 1, 1, 1}, WITHOUT_LAST[MAX] = {1, 1, 1};
    struct rig *r = *state;
    static uint32_t before[KEYS], barred[KEYS], gone[KEYS];

    line_up(r, SP_BALANCE_HASH, WEIGHTS);
    pick_all(r, before);
    unsigned of_last = r->got[3];
    r->barred[3] = true;
    pick_all(r, barred);
    r->barred[3] = false;
    line_up(r, SP_BALANCE_HASH, WITHOUT_LAST);
    pick_all(r, gone);
    unsigned took_over[3] = {0};
    for (size_t i = 0; i < KEYS; i++) {
        assert_int_equal(barred[i], gone[i]);
        if (before[i] == 3)
            took_over[gone[i]]++;
        else
            assert_int_equal(gone[i], before[i]);
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(took_over[i], of_last / 6, of_last / 2);
}

static void test_the_circle_closes(void **state)
{
    static const unsigned WEIGHTS[MAX] = {1, 1};
    struct rig *r = *state;

    line_up(r, SP_BALANCE_HASH, WEIGHTS);
    struct sp_pick p = pick_of(r);
    const struct sp_lineup_point *first = &r->lineup->points[0];
    const struct sp_lineup_point *last = &r->lineup->points[r->lineup->point_count - 1];
    assert_int_equal(sp_pick_hash(&p, 0), first->index);
    assert_int_equal(sp_pick_hash(&p, first->at), first->index);
    assert_int_equal(sp_pick_hash(&p, last->at), last->index);
    assert_int_equal(sp_pick_hash(&p, last->at + 1), first->index);
    assert_int_equal(sp_pick_hash(&p, UINT64_MAX), last->at == UINT64_MAX ? last->index : first->index);
}

/* ---- all are full ---- */

/* With weights so far apart that the table has thousands of places for one endpoint and one for another. */
static void test_where_all_are_full_each_is_asked_about_once_and_the_last_that_is_not_is_found(void **state)
{
    static const unsigned WEIGHTS[MAX] = {65535, 1, 65535, 1};
    static const enum sp_balance BALANCES[] = {SP_BALANCE_ROUND_ROBIN, SP_BALANCE_HASH};
    struct rig *r = *state;
    size_t next = 0;

    for (size_t i = 0; i < SP_COUNTOF(BALANCES); i++) {
        line_up(r, BALANCES[i], WEIGHTS);
        assert_true(i == 0 ? r->lineup->turn_count > 10000 : r->lineup->point_count > 10000);
        struct sp_pick p = pick_of(r);
        for (uint64_t k = 0; k < 100; k++) {
            for (unsigned one = 0; one <= 4; one++) {
                for (unsigned j = 0; j < MAX; j++)
                    r->barred[j] = j != one;
                r->asked = 0;
                uint32_t index = i == 0 ? sp_pick_round_robin(&p, &next) : sp_pick_hash(&p, key(k));
                assert_int_equal(index, one < 4 ? one : SP_PICK_NONE);
                assert_true(r->asked <= 4);
            }
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_who_may_not_be_chosen_is_not_and_the_last_who_may_be_is_found),
        TEST(test_of_nobody_nobody_is_chosen),
        TEST(test_turns_go_by_weight_exactly_and_not_in_a_row),
        TEST(test_the_share_of_one_that_came_back_rises_to_the_whole),
        TEST(test_a_newcomer_gets_little_at_first_and_its_part_in_the_end),
        TEST(test_newcomers_alone_get_all_there_is),
        TEST(test_the_busiest_of_all_is_never_chosen),
        TEST(test_of_idle_ones_chance_decides_by_weight),
        TEST(test_requests_pile_up_by_weight),
        TEST(test_keys_are_spread_by_weight),
        TEST(test_equal_keys_go_to_equal_endpoints),
        TEST(test_only_the_keys_of_one_that_goes_move_and_not_all_to_one_other),
        TEST(test_the_circle_closes),
        TEST(test_where_all_are_full_each_is_asked_about_once_and_the_last_that_is_not_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
