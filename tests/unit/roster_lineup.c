/* Who may be asked, and how often: by weights, by how everybody is, and with nothing moved that need not be. And how long an
 * endpoint that fails is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "upstream/roster/roster_impl.h"

#define MOST 64

/* Endpoints 10.0.0.1, 10.0.0.2 ... of one upstream. */
struct team {
    struct sp_config_upstream config;
    struct sp_candidate items[MOST];
    size_t count;
};

static void gather(struct team *t, size_t count, const unsigned *weights)
{
    *t = (struct team){
        .config = {.name = "u", .panic_percent = 10, .balance = SP_BALANCE_HASH}, .count = count};
    for (size_t i = 0; i < count; i++) {
        struct sp_addr address;
        char text[32];
        (void)snprintf(text, sizeof(text), "10.0.0.%zu:80", i + 1);
        assert_int_equal(sp_addr_parse(sp_slice_of(text), &address, NULL), SP_OK);
        struct sp_member *m = sp_member_new(NULL, "u", &address, NULL);
        assert_non_null(m);
        t->items[i] = (struct sp_candidate){.ep = &m->ep, .weight = weights != NULL ? weights[i] : 1};
    }
}

static void part(struct team *t)
{
    for (size_t i = 0; i < t->count; i++)
        sp_endpoint_unref(t->items[i].ep);
}

static struct sp_lineup *line_up(struct team *t)
{
    struct sp_lineup *l = sp_lineup_new(&t->config, t->items, t->count);

    assert_non_null(l);
    return l;
}

static void set_down(struct team *t, size_t i, bool down)
{
    atomic_store(&t->items[i].ep->is_down, down);
}

/* The usable ones as text: "1 3", with "!" in front in a panic. */
static const char *usable(const struct sp_lineup *l, char out[256])
{
    size_t at = (size_t)snprintf(out, 256, "%s", l->is_panic ? "!" : "");

    for (size_t i = 0; i < l->usable_count; i++)
        at += (size_t)snprintf(
            out + at, 256 - at, "%s%s", i > 0 ? " " : "", l->usable[i]->host + strlen("10.0.0."));
    return out;
}

/* ---- turns ---- */

static void test_everybody_has_as_many_turns_as_his_weight_says_spread_over_the_round(void **state)
{
    static const struct {
        unsigned weights[4];
        size_t count;
        const char *turns;
    } cases[] = {
        {{1}, 1, "1"},
        {{1, 1, 1}, 3, "123"},
        {{5, 5}, 2, "12"},
        {{3, 1}, 2, "1121"},
        {{2, 1, 1}, 3, "1231"},
        {{4, 2}, 2, "121"},
        {{6, 2, 2}, 3, "11231"},
        {{0, 1}, 2, "2"},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct team t;
        char turns[32] = "";
        gather(&t, cases[i].count, cases[i].weights);
        struct sp_lineup *l = line_up(&t);
        for (size_t k = 0; k < l->turn_count; k++)
            turns[k] = l->usable[l->turns[k]]->host[strlen("10.0.0.")];
        assert_string_equal(turns, cases[i].turns);
        sp_lineup_unref(l);
        part(&t);
    }
}

static void test_weights_that_would_fill_the_table_are_brought_down_in_proportion(void **state)
{
    static const unsigned weights[] = {65535, 65534, 1};
    struct team t;
    size_t shares[3] = {0};

    (void)state;
    gather(&t, 3, weights);
    struct sp_lineup *l = line_up(&t);
    assert_in_range(l->turn_count, 3, SP_LINEUP_SLOTS_MAX);
    for (size_t i = 0; i < l->turn_count; i++)
        shares[l->turns[i]]++;
    assert_int_equal(shares[2], 1);
    assert_in_range(shares[0], shares[1], shares[1] + 1);
    assert_in_range(shares[0] + shares[1], 60000, SP_LINEUP_SLOTS_MAX);
    sp_lineup_unref(l);
    part(&t);
}

/* ---- the circle ---- */

static const struct sp_endpoint *owner(const struct sp_lineup *l, uint64_t key)
{
    size_t low = 0, high = l->point_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (l->points[middle].at < key)
            low = middle + 1;
        else
            high = middle;
    }
    return l->usable[l->points[low == l->point_count ? 0 : low].index];
}

static uint64_t key_of(uint64_t i)
{
    i = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    i = (i ^ (i >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    i = (i ^ (i >> 27)) * UINT64_C(0x94d049bb133111eb);
    return i ^ (i >> 31);
}

#define KEYS 20000

static void test_keys_are_shared_out_by_weight(void **state)
{
    static const unsigned weights[] = {1, 1, 2, 4};
    struct team t;
    size_t counts[4] = {0};

    (void)state;
    gather(&t, 4, weights);
    struct sp_lineup *l = line_up(&t);
    for (uint64_t i = 0; i < KEYS; i++) {
        for (size_t k = 0; k < 4; k++)
            counts[k] += owner(l, key_of(i)) == t.items[k].ep;
    }
    for (size_t k = 0; k < 4; k++) {
        size_t due = KEYS * weights[k] / 8;
        assert_in_range(counts[k], due * 3 / 4, due * 5 / 4);
    }
    sp_lineup_unref(l);
    part(&t);
}

static void test_an_endpoint_that_goes_down_moves_no_key_but_its_own(void **state)
{
    static const unsigned weights[] = {100, 7, 13, 100, 50};
    struct team t;

    (void)state;
    gather(&t, 5, weights);
    struct sp_lineup *before = line_up(&t);
    set_down(&t, 3, true);
    struct sp_lineup *after = line_up(&t);
    for (uint64_t i = 0; i < KEYS; i++) {
        const struct sp_endpoint *was = owner(before, key_of(i)), *is = owner(after, key_of(i));
        assert_true(was == is || (was == t.items[3].ep && is != was));
    }
    set_down(&t, 3, false);
    struct sp_lineup *again = line_up(&t);
    assert_true(sp_lineup_is_same(before, again));
    assert_false(sp_lineup_is_same(before, after));
    assert_int_equal(before->point_count, again->point_count);
    assert_memory_equal(before->points, again->points, before->point_count * sizeof(*before->points));
    sp_lineup_unref(before);
    sp_lineup_unref(after);
    sp_lineup_unref(again);
    part(&t);
}

static void test_the_circle_is_bounded_however_many_there_are(void **state)
{
    unsigned weights[MOST];
    struct team t;

    (void)state;
    for (size_t i = 0; i < MOST; i++)
        weights[i] = i == 0 ? 1 : 65535;
    gather(&t, MOST, weights);
    struct sp_lineup *l = line_up(&t);
    assert_in_range(l->point_count, MOST, 65536 + MOST);
    sp_lineup_unref(l);
    part(&t);
}

/* ---- who may be asked ---- */

static void test_who_is_usable_follows_from_how_everybody_is(void **state)
{
    static const struct {
        const char
            *endpoints; /* one each: u up, d down, e ejected, 0 drained; in upper case (D ...) a backup */
        unsigned panic_percent;
        const char *usable;
    } cases[] = {
        {"uuu", 10, "1 2 3"}, {"udu", 10, "1 3"}, {"eud", 10, "2"}, {"u0u", 10, "1 3"}, {"ddd", 10, "!1 2 3"},
        {"d0e", 10, "!1 3"}, {"ddd", 0, ""}, {"000", 10, ""}, {"", 10, ""}, {"uddd", 25, "1"},
        {"uddd", 26, "!1 2 3 4"}, {"uuU", 10, "1 2"}, {"udU", 10, "1"}, {"ddU", 10, "3"}, {"ddUD", 10, "3"},
        {"ddD", 10, "!1 2"}, {"ddD", 0, ""}, {"ddZ", 10, "!1 2"}, {"0UU", 10, "2 3"}, {"UU", 10, "1 2"},
        {"DU", 10, "2"}, {"DD", 10, "!1 2"},
        {"udddddddddU", 30, "1"}, /* a backup that is well is there for the day that none is */
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct team t;
        char said[256];
        gather(&t, strlen(cases[i].endpoints), NULL);
        t.config.panic_percent = cases[i].panic_percent;
        for (size_t k = 0; k < t.count; k++) {
            char c = cases[i].endpoints[k];
            t.items[k].is_backup = c >= 'A' && c <= 'Z';
            if (c == '0' || c == 'Z')
                t.items[k].weight = 0;
            atomic_store(&t.items[k].ep->is_down, c == 'd' || c == 'D');
            atomic_store(&t.items[k].ep->is_ejected, c == 'e' || c == 'E');
        }
        struct sp_lineup *l = line_up(&t);
        if (strcmp(usable(l, said), cases[i].usable) != 0)
            fail_msg("%s at %u %%: \"%s\", not \"%s\"", cases[i].endpoints, cases[i].panic_percent, said,
                cases[i].usable);
        assert_int_equal(l->all_count, t.count);
        sp_lineup_unref(l);
        part(&t);
    }
}

/* ---- ejection ---- */

static void test_each_ejection_lasts_twice_as_long_up_to_the_longest(void **state)
{
    static const struct sp_config_ejection e = {.failures = 5, .base_ms = 10000, .max_ms = 300000};
    static const uint64_t lasts[] = {10000, 20000, 40000, 80000, 160000, 300000, 300000};
    static const struct sp_config_ejection odd = {.failures = 1, .base_ms = 500, .max_ms = 100};

    (void)state;
    for (unsigned level = 0; level < SP_COUNTOF(lasts); level++)
        assert_int_equal(sp_ejection_ms(&e, level), lasts[level]);
    assert_int_equal(sp_ejection_ms(&e, 63), 300000);
    assert_int_equal(sp_ejection_ms(&e, UINT32_MAX), 300000);
    assert_int_equal(sp_ejection_ms(&odd, 0), 100);
}

static void test_time_served_well_takes_back_one_level_after_the_other(void **state)
{
    static const struct sp_config_ejection e = {.failures = 5, .base_ms = 10000, .max_ms = 300000};
    static const struct {
        unsigned level;
        uint64_t well_ms;
        unsigned left;
    } cases[] = {
        {0, 0, 0},
        {0, 1000000, 0},
        {1, 9999, 1},
        {1, 10000, 0},
        {3, 39999, 3},
        {3, 40000, 2},
        {3, 59999, 2},
        {3, 60000, 1},
        {3, 70000, 0},
        {20, UINT64_MAX, 0},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        assert_int_equal(sp_ejection_level(&e, cases[i].level, cases[i].well_ms), cases[i].left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everybody_has_as_many_turns_as_his_weight_says_spread_over_the_round),
        cmocka_unit_test(test_weights_that_would_fill_the_table_are_brought_down_in_proportion),
        cmocka_unit_test(test_keys_are_shared_out_by_weight),
        cmocka_unit_test(test_an_endpoint_that_goes_down_moves_no_key_but_its_own),
        cmocka_unit_test(test_the_circle_is_bounded_however_many_there_are),
        cmocka_unit_test(test_who_is_usable_follows_from_how_everybody_is),
        cmocka_unit_test(test_each_ejection_lasts_twice_as_long_up_to_the_longest),
        cmocka_unit_test(test_time_served_well_takes_back_one_level_after_the_other),
    };
    return cmocka_run_group_tests_name("roster_lineup", tests, NULL, NULL);
}
