/* The table of addresses: what counts as one, how far it counts, how fast its handshakes may fail, and that several threads keep
 * it straight. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/gate/addresses.h"

static struct sp_addr addr(const char *text)
{
    struct sp_addr a;
    struct sp_err err;
    if (sp_addr_parse(sp_slice_of(text), &a, &err) != SP_OK)
        fail_msg("%s", err.text);
    return a;
}

/* How many of `text` are let on with `cap`; their places go to `places`. */
static unsigned fill(struct sp_addresses *a, const char *text, unsigned cap, uint32_t *places, unsigned most)
{
    struct sp_addr peer = addr(text);
    unsigned n = 0;
    while (n < most && sp_addresses_enter(a, &peer, cap, &places[n]) == SP_OK)
        n++;
    return n;
}

static void test_an_address_has_as_many_handshakes_as_the_cap_and_no_more(void **state)
{
    (void)state;
    struct sp_addresses *a = sp_addresses_new(16);
    uint32_t places[8], other[8];
    assert_non_null(a);
    assert_int_equal(fill(a, "192.0.2.1:1", 3, places, 8), 3);
    assert_int_equal(fill(a, "192.0.2.1:2", 3, other, 8), 0); /* the port does not matter */
    assert_int_equal(fill(a, "192.0.2.2:1", 3, other, 8), 3);
    sp_addresses_leave(a, places[1]);
    assert_int_equal(fill(a, "192.0.2.1:3", 3, places + 1, 7), 1);
    assert_int_equal(fill(a, "192.0.2.1:3", 5, places + 3, 5), 2); /* the cap was raised */
    assert_int_equal(fill(a, "192.0.2.1:3", 1, places, 8), 0);     /* and lowered */
    sp_addresses_free(a);
}

static void test_what_is_one_address(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        bool same;
    } cases[] = {
        {"192.0.2.1:1", "192.0.2.1:65535", true},
        {"192.0.2.1:1", "192.0.2.129:1", false},
        {"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff:ffff:ffff:ffff]:9", true},
        {"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
        {"[2001:db8:1:2::1]:1", "[2001:db9:1:2::1]:1", false},
        {"[::1]:1", "127.0.0.1:1", false},
        {"0.0.0.1:1", "[::1]:1", false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_addresses *a = sp_addresses_new(16);
        uint32_t places[2];
        assert_non_null(a);
        assert_int_equal(fill(a, cases[i].first, 1, places, 1), 1);
        if ((fill(a, cases[i].second, 1, places, 1) == 0) != cases[i].same)
            fail_msg("%s and %s", cases[i].first, cases[i].second);
        sp_addresses_free(a);
    }
}

static void test_a_unix_socket_is_not_counted(void **state)
{
    (void)state;
    struct sp_addresses *a = sp_addresses_new(16);
    struct sp_addr nameless = {0};
    uint32_t places[50], place = 7;
    assert_non_null(a);
    assert_int_equal(fill(a, "unix:/run/x.sock", 1, places, 50), 50);
    for (size_t i = 0; i < 50; i++)
        sp_addresses_leave(a, places[i]);
    assert_int_equal(sp_addresses_enter(a, &nameless, 1, &place), SP_OK);
    assert_int_equal(place, 0);
    sp_addresses_free(a);
}

static struct sp_addr nth(uint32_t n)
{
    struct sp_addr a = {.len = sizeof(struct sockaddr_in)};
    a.u.in4.sin_family = AF_INET;
    a.u.in4.sin_addr.s_addr = htonl(0x0a000000 + n);
    return a;
}

static void test_at_the_limit_of_handshakes_every_address_of_its_own_is_counted(void **state)
{
    (void)state;
    enum { HANDSHAKES = 4000 };
    struct sp_addresses *a = sp_addresses_new(HANDSHAKES);
    static uint32_t places[HANDSHAKES];
    unsigned uncounted = 0, again = 0;
    assert_non_null(a);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < HANDSHAKES; i++) {
            struct sp_addr peer = nth(i);
            assert_int_equal(sp_addresses_enter(a, &peer, 1, &places[i]), SP_OK);
            uncounted += places[i] == 0;
        }
        for (uint32_t i = 0; i < HANDSHAKES; i++) {
            struct sp_addr peer = nth(i);
            uint32_t place;
            if (sp_addresses_enter(a, &peer, 1, &place) == SP_OK) {
                again++;
                sp_addresses_leave(a, place);
            }
        }
        for (uint32_t i = 0; i < HANDSHAKES; i++)
            sp_addresses_leave(a, places[i]);
    }
    assert_true(uncounted <= 3); /* a bucket of 16 that should have 4 */
    assert_int_equal(again, uncounted);
    sp_addresses_free(a);
}

static void test_a_full_table_lets_on_who_is_new_and_still_bounds_who_is_known(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct sp_addresses *a = sp_addresses_new(1);
    uint32_t *places = calloc(MANY, sizeof(*places));
    struct sp_addr first = nth(0), late = nth(MANY);
    uint32_t place;
    assert_non_null(a);
    assert_non_null(places);
    for (uint32_t i = 0; i < MANY; i++) {
        struct sp_addr peer = nth(i);
        assert_int_equal(sp_addresses_enter(a, &peer, 1, &places[i]), SP_OK);
    }
    assert_int_not_equal(places[0], 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sp_addresses_enter(a, &late, 1, &place), SP_OK);
        assert_int_equal(place, 0);
        assert_int_equal(sp_addresses_enter(a, &first, 1, &place), SP_FAIL);
    }
    for (uint32_t i = 0; i < MANY; i++)
        sp_addresses_leave(a, places[i]);
    assert_int_equal(sp_addresses_enter(a, &late, 1, &place), SP_OK);
    assert_int_not_equal(place, 0);
    sp_addresses_free(a);
    free(places);
}

/* ---- failures ---- */

#define SECOND_US UINT64_C(1000000)

static const struct sp_pace TWO_A_SECOND = {.interval_ns = 500000000, .burst_ns = 1000000000};

static void fail_times(struct sp_addresses *a, const struct sp_addr *peer, unsigned times, uint64_t now_us)
{
    while (times-- > 0)
        sp_addresses_fail(a, peer, &TWO_A_SECOND, now_us);
}

static bool is_barred(struct sp_addresses *a, const struct sp_addr *peer, uint64_t now_us)
{
    return sp_addresses_is_barred(a, peer, &TWO_A_SECOND, now_us);
}

static void test_an_address_that_fails_too_often_is_barred_until_its_bucket_fills(void **state)
{
    (void)state;
    static const struct {
        unsigned failures;
        uint64_t after_us;
        bool barred;
    } cases[] = {
        {0, 0, false},
        {1, 0, false},
        {2, 0, true},
        {2, 499999, true},
        {2, 500000, false},
        {50, 499999, true}, /* handshakes that had begun before: nothing is owed for those */
        {50, 500000, false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_addresses *a = sp_addresses_new(16);
        struct sp_addr peer = addr("192.0.2.1:1"), other = addr("192.0.2.2:1");
        assert_non_null(a);
        fail_times(a, &peer, cases[i].failures, SECOND_US);
        for (int again = 0; again < 3; again++) { /* looking costs nothing */
            if (is_barred(a, &peer, SECOND_US + cases[i].after_us) != cases[i].barred)
                fail_msg("case %zu, look %d", i, again);
        }
        assert_false(is_barred(a, &other, SECOND_US));
        sp_addresses_free(a);
    }
}

static void test_failures_are_those_of_a_whole_subscriber_and_not_of_a_unix_socket(void **state)
{
    (void)state;
    struct sp_addresses *a = sp_addresses_new(16);
    struct sp_addr first = addr("[2001:db8:1:2::1]:1"), same = addr("[2001:db8:1:2::ffff]:2"),
                   next = addr("[2001:db8:1:3::1]:1"), local = addr("unix:/run/x.sock");
    assert_non_null(a);
    fail_times(a, &first, 1, SECOND_US);
    fail_times(a, &same, 1, SECOND_US);
    assert_true(is_barred(a, &first, SECOND_US));
    assert_true(is_barred(a, &same, SECOND_US));
    assert_false(is_barred(a, &next, SECOND_US));
    fail_times(a, &local, 50, SECOND_US);
    assert_false(is_barred(a, &local, SECOND_US));
    sp_addresses_free(a);
}

static void test_who_is_barred_stays_so_whoever_else_fails_or_comes(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct sp_addresses *a = sp_addresses_new(1);
    struct sp_addr first = nth(0);
    unsigned barred = 0, barred_later = 0;
    uint32_t place;
    assert_non_null(a);
    fail_times(a, &first, 2, SECOND_US);
    for (uint32_t i = 1; i < MANY; i++) {
        struct sp_addr peer = nth(i);
        assert_int_equal(sp_addresses_enter(a, &peer, 1, &place), SP_OK);
        assert_int_not_equal(place, 0); /* failures take no place from handshakes */
        sp_addresses_leave(a, place);
        fail_times(a, &peer, 2, SECOND_US);
        barred += is_barred(a, &peer, SECOND_US);
        assert_true(is_barred(a, &first, SECOND_US));
    }
    assert_int_equal(barred, 64 * 16 - 1);       /* as many as there are places */
    for (uint32_t i = MANY; i < 2 * MANY; i++) { /* all of which are free again later */
        struct sp_addr peer = nth(i);
        fail_times(a, &peer, 2, 9 * SECOND_US);
        barred_later += is_barred(a, &peer, 9 * SECOND_US);
    }
    assert_int_equal(barred_later, 64 * 16);
    sp_addresses_free(a);
}

/* ---- threads ---- */

enum { THREADS = 4, TURNS = 20000, CAP = 5, PEERS = 3 };

struct rush {
    struct sp_addresses *addresses;
    _Atomic int inside[PEERS];
    _Atomic bool over_cap;
};

static void *rush(void *arg)
{
    struct rush *r = arg;
    uint32_t held[PEERS][2];
    for (int turn = 0; turn < TURNS; turn++) {
        uint32_t who = (uint32_t)turn % PEERS;
        struct sp_addr peer = nth(who);
        int got = 0;
        while (got < 2 && sp_addresses_enter(r->addresses, &peer, CAP, &held[who][got]) == SP_OK) {
            if (++r->inside[who] > CAP)
                r->over_cap = true;
            got++;
        }
        while (got-- > 0) {
            r->inside[who]--;
            sp_addresses_leave(r->addresses, held[who][got]);
        }
    }
    return NULL;
}

static void test_gates_that_share_it_never_pass_the_cap_together(void **state)
{
    (void)state;
    static struct rush r;
    pthread_t threads[THREADS];
    uint32_t places[CAP + 1];
    r.addresses = sp_addresses_new(16);
    assert_non_null(r.addresses);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, rush, &r), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(r.over_cap);
    for (uint32_t i = 0; i < PEERS; i++) { /* nothing was left behind */
        struct sp_addr peer = nth(i);
        for (int n = 0; n < CAP; n++)
            assert_int_equal(sp_addresses_enter(r.addresses, &peer, CAP, &places[n]), SP_OK);
        assert_int_equal(sp_addresses_enter(r.addresses, &peer, CAP, &places[CAP]), SP_FAIL);
    }
    sp_addresses_free(r.addresses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_has_as_many_handshakes_as_the_cap_and_no_more),
        cmocka_unit_test(test_what_is_one_address),
        cmocka_unit_test(test_a_unix_socket_is_not_counted),
        cmocka_unit_test(test_at_the_limit_of_handshakes_every_address_of_its_own_is_counted),
        cmocka_unit_test(test_a_full_table_lets_on_who_is_new_and_still_bounds_who_is_known),
        cmocka_unit_test(test_an_address_that_fails_too_often_is_barred_until_its_bucket_fills),
        cmocka_unit_test(test_failures_are_those_of_a_whole_subscriber_and_not_of_a_unix_socket),
        cmocka_unit_test(test_who_is_barred_stays_so_whoever_else_fails_or_comes),
        cmocka_unit_test(test_gates_that_share_it_never_pass_the_cap_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
