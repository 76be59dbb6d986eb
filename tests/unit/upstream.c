/* Which endpoints one errand asks, how its connection comes to stand, and what new lineups and retries do. How a choice is made:
 * upstream_pick.c. Connections that are kept alive: upstream_kept.c. Waiting for a connection: upstream_queue.c. */
#include "upstream_rig.h"

#include <errno.h>

/* ---- which endpoint ---- */

static void test_endpoints_take_turns_and_the_tries_of_one_errand_reach_each_once(void **state)
{
    struct rig *r = *state;
    struct sp_targets *t = targets(r);

    for (unsigned turn = 0; turn < 2 * BACKENDS; turn++) {
        struct sp_errand e = errand(r);
        const struct sp_endpoint *asked[BACKENDS];
        for (unsigned i = 0; i < BACKENDS; i++) {
            struct sp_upconn *c = take(t, &e);
            asked[i] = c->endpoint;
            for (unsigned j = 0; j < i; j++)
                assert_ptr_not_equal(asked[i], asked[j]);
            sp_upconn_close(c);
        }
        assert_int_equal(e.tries, BACKENDS);
        sp_upconn_close(take(t, &e)); /* all were tried: any */
        sp_errand_end(&e);
    }
    sp_targets_free(t);
}

static void test_no_more_endpoints_are_asked_than_attempts_are_allowed(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);
    struct sp_upconn *c = NULL;

    r->upstream.retries.attempts = 2;
    struct sp_targets *t = targets(r);
    sp_upconn_close(take(t, &e));
    sp_upconn_close(take(t, &e));
    assert_int_equal(sp_upconn_take(t, &e, &c), SP_FAIL);
    assert_null(c);
    assert_int_equal(e.tries, 2);
    assert_non_null(e.endpoint);
    sp_errand_end(&e);
    sp_targets_free(t);
}

static void test_an_endpoint_that_is_down_or_ejected_is_not_asked_before_the_lineup_says_so(void **state)
{
    struct rig *r = *state;
    struct sp_targets *t = targets(r);
    struct sp_endpoint **all = r->fleet->upstreams[0].lineup->all;

    atomic_store(&all[0]->is_down, true);
    atomic_store(&all[1]->is_ejected, true);
    for (int i = 0; i < 6; i++) {
        struct sp_upconn *c = take_once(r, t, true);
        assert_ptr_equal(c->endpoint, all[2]);
        sp_upconn_close(c);
    }
    /* When all of them are, the lineup that follows says what is to be done. */
    atomic_store(&all[2]->is_down, true);
    sp_upconn_close(take_once(r, t, true));
    sp_targets_free(t);
}

static void test_without_a_usable_endpoint_there_is_no_connection(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);
    struct sp_upconn *c = NULL;

    for (int i = 0; i < BACKENDS; i++)
        r->endpoints[i].weight = 0;
    struct sp_targets *t = targets(r);
    assert_int_equal(sp_upconn_take(t, &e, &c), SP_FAIL);
    assert_null(e.endpoint);
    sp_errand_end(&e);
    sp_targets_free(t);
}

static void test_a_backup_is_asked_when_all_others_were_tried_and_before_they_are_tried_again(void **state)
{
    struct rig *r = *state;

    r->endpoints[1].is_backup = true;
    r->endpoints[2].is_backup = true;
    r->endpoints[2].weight = 0;
    struct sp_targets *t = targets(r);
    struct sp_endpoint **all = r->fleet->upstreams[0].lineup->all;
    for (int i = 0; i < 3; i++) {
        struct sp_errand e = errand(r);
        static const int ORDER[] = {0, 1, 0};
        for (size_t j = 0; j < SP_COUNTOF(ORDER); j++) {
            struct sp_upconn *c = take(t, &e);
            assert_ptr_equal(c->endpoint, all[ORDER[j]]);
            sp_upconn_close(c);
        }
        sp_errand_end(&e);
    }
    sp_targets_free(t);
}

static void test_one_that_is_ejected_is_asked_when_all_others_were_tried_and_one_that_is_down_is_not(
    void **state)
{
    struct rig *r = *state;

    r->upstream.ejection = (struct sp_config_ejection){.failures = 5, .base_ms = LONG_MS, .max_ms = LONG_MS};
    struct sp_targets *t = targets(r);
    struct sp_endpoint *all[BACKENDS];
    memcpy(all, r->fleet->upstreams[0].lineup->all, sizeof(all));
    atomic_store(&all[1]->is_ejected, true);
    atomic_store(&all[2]->is_ejected, true);
    sp_roster_line_up(r->roster, 0);
    turn_all(r);
    atomic_store(&all[2]->is_down, true);
    for (int i = 0; i < 3; i++) {
        struct sp_errand e = errand(r);
        for (int j = 0; j < 2; j++) {
            struct sp_upconn *c = take(t, &e);
            assert_ptr_equal(c->endpoint, all[j]);
            sp_upconn_close(c);
        }
        sp_errand_end(&e);
    }
    atomic_store(&all[2]->is_down, false);
    sp_targets_free(t);
}

static void test_an_endpoint_that_refuses_is_told_counted_and_blamed(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);
    struct sp_err err = {0};

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    struct sp_endpoint *ep = r->fleet->upstreams[0].lineup->all[0];
    close(r->backends[0].listen_fd);
    struct sp_upconn *c = take(t, &e);
    assert_int_equal(connected_on(r->workers[0].loop, c, &err), SP_FAIL);
    assert_int_equal(err.sys, ECONNREFUSED);
    sp_upconn_close(c);
    assert_int_equal(atomic_load(&ep->failed_in_a_row), 1);
    assert_int_equal(counted(r, SP_METER_upstream_connect_failures), 1);
    assert_int_equal(counted(r, SP_METER_upstream_connects), 0);
    sp_errand_end(&e);
    sp_targets_free(t);
    listen_somewhere(&r->backends[0]);
}

static void test_one_that_fails_at_once_is_passed_over_in_the_same_call(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);
    struct sp_err err;

    assert_int_equal(
        sp_addr_parse(SP_SLICE("unix:/nonexistent/socket"), &r->endpoints[0].address, &err), SP_OK);
    r->upstream.endpoint_count = 2;
    struct sp_targets *t = targets(r);
    struct sp_endpoint **all = r->fleet->upstreams[0].lineup->all;
    struct sp_upconn *c = take(t, &e);
    assert_ptr_equal(c->endpoint, all[1]);
    assert_int_equal(e.tries, 2);
    assert_int_equal(counted(r, SP_METER_upstream_connect_failures), 1);
    assert_int_equal(atomic_load(&all[0]->failed_in_a_row), 1);
    assert_int_equal(connections_of(all[0]), 0);
    sp_upconn_close(c);
    sp_errand_end(&e);
    sp_targets_free(t);
}

static void test_how_an_endpoint_did_is_told_once_a_take(void **state)
{
    struct rig *r = *state;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    struct sp_endpoint *ep = r->fleet->upstreams[0].lineup->all[0];
    struct sp_upconn *c = take_once(r, t, true);
    sp_upconn_failed(c, "broken");
    sp_upconn_failed(c, "broken");
    sp_upconn_went_well(c);
    assert_int_equal(atomic_load(&ep->failed_in_a_row), 1);
    sp_upconn_close(c);
    c = take_once(r, t, true);
    sp_upconn_went_well(c);
    assert_int_equal(atomic_load(&ep->failed_in_a_row), 0);
    sp_upconn_close(c);
    c = take_once(r, t, true);
    sp_upconn_timed_out(c);
    assert_int_equal(atomic_load(&ep->failed_in_a_row), 1);
    assert_int_equal(counted(r, SP_METER_upstream_connect_failures), 1);
    sp_upconn_close(c);
    sp_targets_free(t);
}

static void test_requests_and_connections_are_counted_while_they_are_there(void **state)
{
    struct rig *r = *state;
    int fd;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    struct sp_endpoint *ep = r->fleet->upstreams[0].lineup->all[0];
    struct sp_upconn *c = take_once(r, t, true);
    assert_int_equal(atomic_load(&ep->requests), 1);
    assert_int_equal(connections_of(ep), 1);
    fd = accept_from(&r->backends[0]);
    exchange(r, c, fd, RESPONSE);
    sp_upconn_put(c);
    assert_int_equal(atomic_load(&ep->requests), 0);
    assert_int_equal(connections_of(ep), 1);
    sp_upconn_close(take_once(r, t, false));
    assert_int_equal(atomic_load(&ep->requests), 0);
    assert_int_equal(connections_of(ep), 1); /* until the descriptor is closed */
    sp_loop_turn(r->workers[0].loop, 0);
    assert_int_equal(connections_of(ep), 0);
    close(fd);
    sp_targets_free(t);
}

/* ---- the preface, and bytes that are relayed ---- */

static void test_a_preface_comes_first_and_its_connection_serves_nobody_else(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);
    char bytes[32] = "";
    int kept_fd;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    struct sp_upconn *kept = keep_one(r, t, &kept_fd);
    e.preface = SP_SLICE("PROXY UNKNOWN\r\n");
    struct sp_upconn *c = take(t, &e);
    assert_ptr_not_equal(c, kept);
    int fd = accept_from(&r->backends[0]);
    assert_int_equal(connected(r, c), SP_OK);
    wait_readable(fd);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), e.preface.len);
    assert_string_equal(bytes, "PROXY UNKNOWN\r\n");
    exchange(r, c, fd, RESPONSE);
    sp_upconn_put(c);
    sp_loop_turn(r->workers[0].loop, 0);
    assert_true(ends(fd));
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1); /* the other one */
    sp_errand_end(&e);
    close(fd);
    close(kept_fd);
    sp_targets_free(t);
}

static void test_a_preface_that_fits_no_socket_goes_out_in_parts(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);
    struct sp_err err;
    size_t size = 16u << 20, came = 0;
    char *long_one = sp_alloc(1, size), bytes[65536];

    assert_non_null(long_one);
    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    e.preface = (struct sp_slice){long_one, size};
    struct sp_upconn *c = take(t, &e);
    int fd = accept_from(&r->backends[0]);
    while (came < size) {
        bool done = sp_upconn_connected(c, &err) == SP_OK;
        sp_loop_turn(r->workers[0].loop, 0);
        assert_true(came > 0 || !done);
        wait_readable(fd);
        ssize_t n = read(fd, bytes, sizeof(bytes));
        assert_true(n > 0);
        came += (size_t)n;
    }
    assert_int_equal(connected(r, c), SP_OK);
    sp_upconn_close(c);
    sp_errand_end(&e);
    close(fd);
    sp_free(long_one);
    sp_targets_free(t);
}

static void test_a_raw_connection_has_no_codec_and_is_not_a_kept_one(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);
    int kept_fd;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    struct sp_upconn *kept = keep_one(r, t, &kept_fd);
    e.is_raw = true;
    struct sp_upconn *c = take(t, &e);
    assert_ptr_not_equal(c, kept);
    assert_int_equal(connected(r, c), SP_OK);
    assert_null(c->stream);
    assert_non_null(c->transport);
    sp_upconn_close(c);
    sp_errand_end(&e);
    close(kept_fd);
    sp_targets_free(t);
}

/* ---- new targets, new lineups ---- */

static void test_an_endpoint_that_stays_keeps_its_connections(void **state)
{
    struct rig *r = *state;
    int fd;

    name_backends(r, 0, 1);
    struct sp_targets *before = targets(r);
    struct sp_upconn *kept = keep_one(r, before, &fd);
    struct sp_targets *after = targets(r);
    sp_targets_free(before);
    assert_ptr_equal(take_once(r, after, false), kept);
    exchange(r, kept, fd, RESPONSE);
    sp_upconn_put(kept);
    close(fd);
    sp_targets_free(after);
}

static void test_an_endpoint_that_goes_closes_what_is_idle_and_finishes_what_is_in_use(void **state)
{
    struct rig *r = *state;
    int idle_fd;

    name_backends(r, 0, 1);
    struct sp_targets *before = targets(r);
    struct sp_upconn *in_use = take_once(r, before, true);
    int fd = accept_from(&r->backends[0]);
    keep_one(r, before, &idle_fd);
    name_backends(r, 1, 2);
    struct sp_targets *after = targets(r);
    sp_targets_free(before);
    exchange(r, in_use, fd, RESPONSE); /* what it was taken by is there as long as it is */
    sp_upconn_put(in_use);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
    sp_loop_turn(r->workers[0].loop, 0);
    assert_true(ends(idle_fd));
    assert_true(ends(fd));
    close(idle_fd);
    close(fd);
    sp_targets_free(after);
}

static void test_a_new_lineup_is_taken_up_by_the_next_request(void **state)
{
    struct rig *r = *state;
    int idle_fd;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    keep_one(r, t, &idle_fd);
    name_backends(r, 1, 1);
    struct sp_endpoint *other = new_fleet(r)->upstreams[0].lineup->all[0];
    struct sp_candidate all = {.ep = other, .weight = 1};
    struct sp_lineup *next = sp_lineup_new(&t->fleet->config->upstreams[0], &all, 1);
    assert_non_null(next);
    sp_fleet_replace(t->fleet, 0, next);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1);
    struct sp_upconn *c = take_once(r, t, false);
    assert_ptr_equal(c->endpoint, other);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
    assert_true(ends(idle_fd));
    sp_upconn_close(c);
    close(idle_fd);
    sp_targets_free(t);
}

static void test_its_user_hears_of_every_edge(void **state)
{
    struct rig *r = *state;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    struct sp_upconn *c = take_once(r, t, false);
    assert_int_equal(r->events, 0); /* never from within take */
    int fd = accept_from(&r->backends[0]);
    assert_int_equal(connected(r, c), SP_OK);
    sp_loop_turn(r->workers[0].loop, 0);
    r->events = 0;
    close(fd);
    while (r->events == 0)
        sp_loop_turn(r->workers[0].loop, LONG_MS);
    assert_true(c->transport->peer_ended);
    sp_upconn_close(c);
    sp_targets_free(t);
}

/* ---- retries ---- */

static unsigned retries_now(struct sp_targets *t)
{
    unsigned n = 0;

    while (n < 100 && sp_targets_may_retry(t, 0))
        n++;
    return n;
}

static void test_retries_are_earned_by_requests_a_few_a_second_come_for_nothing(void **state)
{
    struct rig *r = *state;

    name_backends(r, 0, 1);
    r->upstream.retries.budget = 20;
    struct sp_targets *t = targets(r);
    unsigned always = retries_now(t);
    assert_in_range(always, 1, 5);
    for (int i = 0; i < 50; i++)
        sp_upconn_close(take_once(r, t, true));
    assert_in_range(
        retries_now(t), 10, 10 + 5); /* a fifth of fifty; by now some of the others may be there again */
    for (int i = 0; i < 500; i++)
        sp_upconn_close(take_once(r, t, true));
    assert_in_range(retries_now(t), 10, 10 + 5); /* no more are saved up */
    sp_targets_free(t);
}

static void test_the_tries_of_one_request_earn_once(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);

    name_backends(r, 0, 1);
    r->upstream.retries.budget = 100;
    struct sp_targets *t = targets(r);
    (void)retries_now(t);
    for (int i = 0; i < SP_TRIES_MAX; i++)
        sp_upconn_close(take(t, &e));
    assert_in_range(retries_now(t), 1, 5);
    sp_errand_end(&e);
    sp_targets_free(t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_endpoints_take_turns_and_the_tries_of_one_errand_reach_each_once),
        TEST(test_no_more_endpoints_are_asked_than_attempts_are_allowed),
        TEST(test_an_endpoint_that_is_down_or_ejected_is_not_asked_before_the_lineup_says_so),
        TEST(test_without_a_usable_endpoint_there_is_no_connection),
        TEST(test_a_backup_is_asked_when_all_others_were_tried_and_before_they_are_tried_again),
        TEST(test_one_that_is_ejected_is_asked_when_all_others_were_tried_and_one_that_is_down_is_not),
        TEST(test_an_endpoint_that_refuses_is_told_counted_and_blamed),
        TEST(test_one_that_fails_at_once_is_passed_over_in_the_same_call),
        TEST(test_how_an_endpoint_did_is_told_once_a_take),
        TEST(test_requests_and_connections_are_counted_while_they_are_there),
        TEST(test_a_preface_comes_first_and_its_connection_serves_nobody_else),
        TEST(test_a_preface_that_fits_no_socket_goes_out_in_parts),
        TEST(test_a_raw_connection_has_no_codec_and_is_not_a_kept_one),
        TEST(test_an_endpoint_that_stays_keeps_its_connections),
        TEST(test_an_endpoint_that_goes_closes_what_is_idle_and_finishes_what_is_in_use),
        TEST(test_a_new_lineup_is_taken_up_by_the_next_request),
        TEST(test_its_user_hears_of_every_edge),
        TEST(test_retries_are_earned_by_requests_a_few_a_second_come_for_nothing),
        TEST(test_the_tries_of_one_request_earn_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
