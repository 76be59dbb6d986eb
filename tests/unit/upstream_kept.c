/* Kept-alive connections: which are kept, which are used again, and how they end. */
#include "upstream_rig.h"

/* ---- keeping ---- */

static void test_the_connection_kept_last_is_used_first(void **state)
{
    struct rig *r = *state;
    struct sp_upconn *c[2];
    int fd[2];

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    for (int i = 0; i < 2; i++) {
        c[i] = take_once(r, t, false);
        fd[i] = accept_from(&r->backends[0]);
        assert_false(c[i]->reused);
        exchange(r, c[i], fd[i], RESPONSE);
    }
    sp_upconn_put(c[0]);
    sp_upconn_put(c[1]);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 2);
    assert_ptr_equal(take_once(r, t, false), c[1]);
    assert_ptr_equal(take_once(r, t, false), c[0]);
    assert_true(c[0]->reused && c[1]->reused);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
    assert_int_equal(counted(r, SP_METER_upstream_reuses), 2);
    assert_int_equal(counted(r, SP_METER_upstream_connects), 2);
    for (int i = 0; i < 2; i++) {
        exchange(r, c[i], fd[i], RESPONSE); /* it carries another one */
        sp_upconn_put(c[i]);
        close(fd[i]);
    }
    sp_targets_free(t);
}

static void test_a_fresh_connection_is_new_though_one_is_kept(void **state)
{
    struct rig *r = *state;
    int fd;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    struct sp_upconn *kept = keep_one(r, t, &fd);
    struct sp_upconn *c = take_once(r, t, true);
    assert_ptr_not_equal(c, kept);
    assert_false(c->reused);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1);
    sp_upconn_close(c);
    close(fd);
    sp_targets_free(t);
}

static void test_a_kept_connection_that_turned_out_closed_is_no_try_of_its_endpoint(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);
    int fd;

    name_backends(r, 0, 1);
    r->upstream.retries.attempts = 1;
    struct sp_targets *t = targets(r);
    keep_one(r, t, &fd);
    struct sp_upconn *c = take(t, &e);
    assert_true(c->reused);
    sp_upconn_close(c);
    e.fresh = true;
    c = take(t, &e);
    assert_false(c->reused);
    assert_int_equal(e.tries, 1);
    assert_int_equal(atomic_load(&r->fleet->upstreams[0].lineup->all[0]->failed_in_a_row), 0);
    sp_upconn_close(c);
    assert_int_equal(sp_upconn_take(t, &e, &c), SP_FAIL); /* the fresh one was its try */
    sp_errand_end(&e);
    close(fd);
    sp_targets_free(t);
}

static void test_no_more_are_kept_than_may_be(void **state)
{
    struct rig *r = *state;
    struct sp_upconn *c[3];
    int fd[3];

    name_backends(r, 0, 1);
    r->upstream.max_idle = 2;
    struct sp_targets *t = targets(r);
    for (int i = 0; i < 3; i++) {
        c[i] = take_once(r, t, false);
        fd[i] = accept_from(&r->backends[0]);
        exchange(r, c[i], fd[i], RESPONSE);
    }
    for (int i = 0; i < 3; i++)
        sp_upconn_put(c[i]);
    sp_loop_turn(r->workers[0].loop, 0);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 2);
    assert_true(ends(fd[2]));
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    sp_targets_free(t);
}

static void test_a_connection_is_not_kept_when_its_exchange_does_not_allow_it(void **state)
{
    static const char *const RESPONSES[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", /* an answer too many */
    };
    struct rig *r = *state;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    for (size_t i = 0; i < SP_COUNTOF(RESPONSES); i++) {
        struct sp_upconn *c = take_once(r, t, false);
        int fd = accept_from(&r->backends[0]);
        exchange(r, c, fd, RESPONSES[i]);
        sp_upconn_put(c);
        sp_loop_turn(r->workers[0].loop, 0);
        assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
        close(fd);
    }
    sp_targets_free(t);
}

/* ---- the end of a kept connection ---- */

static void test_what_other_tls_made_is_not_kept_for_it(void **state)
{
    struct rig *r = *state;
    int fd;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    keep_one(r, t, &fd);
    sp_targets_free(targets_of(r, 0)); /* plain as before */
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1);
    sp_outlet_settle(t->items[0].choice->outlets[0], (const struct sp_tls_client *)(const void *)r);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
    assert_true(ends(fd));
    close(fd);
    sp_targets_free(t);
}

static void test_a_kept_connection_ends_after_its_idle_time(void **state)
{
    struct rig *r = *state;
    int fd;

    name_backends(r, 0, 1);
    r->upstream.idle_ms = 1;
    struct sp_targets *t = targets(r);
    keep_one(r, t, &fd);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1);
    r->events = 0;
    while (counted(r, SP_METER_upstream_idle) > 0)
        sp_loop_turn(r->workers[0].loop, LONG_MS);
    assert_true(ends(fd));
    assert_int_equal(r->events, 0); /* nobody's connection told nobody */
    close(fd);
    sp_targets_free(t);
}

static void test_a_kept_connection_ends_with_the_backends_end_or_with_bytes_that_nobody_asked_for(
    void **state)
{
    struct rig *r = *state;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    for (int i = 0; i < 2; i++) {
        int fd;
        keep_one(r, t, &fd);
        if (i == 0)
            shutdown(fd, SHUT_WR);
        else
            say(fd, "HTTP/1.1 408 Request Timeout\r\n\r\n");
        while (counted(r, SP_METER_upstream_idle) > 0)
            sp_loop_turn(r->workers[0].loop, LONG_MS);
        close(fd);
    }
    sp_targets_free(t);
}

static void test_a_request_that_cannot_be_repeated_gets_no_kept_connection_that_ended_unnoticed(void **state)
{
    struct rig *r = *state;

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    for (int i = 0; i < 2; i++) {
        int fd;
        keep_one(r, t, &fd);
        if (i == 0)
            shutdown(fd, SHUT_WR);
        else
            say(fd, RESPONSE);
        struct sp_errand e = errand(r);
        e.once = true;
        struct sp_upconn *c = take(t, &e); /* no turn in between: its edge is still to be told */
        assert_false(c->reused);
        sp_errand_end(&e);
        assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
        sp_upconn_close(c);
        close(accept_from(&r->backends[0]));
        close(fd);
    }
    assert_int_equal(counted(r, SP_METER_upstream_reuses), 0);
    sp_targets_free(t);
}

/* Whose edge came in the same turn, and first: reads the answer and keeps the connection. */
struct reader {
    struct rig *r;
    struct sp_upconn *c;
    int fd;
    bool done;
};

static void on_reader(void *arg, unsigned events)
{
    struct reader *reader = arg;
    char byte;

    if ((events & SP_EV_READ) == 0)
        return;
    assert_int_equal(read(reader->fd, &byte, 1), 1);
    receive(reader->r, reader->c);
    sp_upconn_put(reader->c);
    reader->done = true;
}

static void test_an_edge_of_bytes_that_were_read_before_it_was_told_ends_nothing(void **state)
{
    struct rig *r = *state;
    int pipe_fds[2];

    name_backends(r, 0, 1);
    struct sp_targets *t = targets(r);
    struct sp_upconn *c = take_once(r, t, true);
    int fd = accept_from(&r->backends[0]);
    assert_int_equal(pipe(pipe_fds), 0);
    struct sp_loop *loop = r->workers[0].loop;
    struct reader reader = {.r = r, .c = c, .fd = pipe_fds[0]};
    struct sp_watch *w = sp_watch_new_level(loop, pipe_fds[0], on_reader, &reader);
    assert_non_null(w);
    request(r, c, fd);
    sp_loop_turn(loop, 0);
    say(pipe_fds[1], "x");
    say(fd, RESPONSE);
    while (!reader.done)
        sp_loop_turn(loop, LONG_MS);
    sp_loop_turn(loop, 0);
    sp_watch_free(w);
    assert_ptr_equal(take_once(r, t, false), c);
    sp_upconn_close(c);
    close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    sp_targets_free(t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_the_connection_kept_last_is_used_first),
        TEST(test_a_fresh_connection_is_new_though_one_is_kept),
        TEST(test_a_kept_connection_that_turned_out_closed_is_no_try_of_its_endpoint),
        TEST(test_no_more_are_kept_than_may_be),
        TEST(test_a_connection_is_not_kept_when_its_exchange_does_not_allow_it),
        TEST(test_what_other_tls_made_is_not_kept_for_it),
        TEST(test_a_kept_connection_ends_after_its_idle_time),
        TEST(test_a_kept_connection_ends_with_the_backends_end_or_with_bytes_that_nobody_asked_for),
        TEST(test_a_request_that_cannot_be_repeated_gets_no_kept_connection_that_ended_unnoticed),
        TEST(test_an_edge_of_bytes_that_were_read_before_it_was_told_ends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
