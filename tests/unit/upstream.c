/* Endpoints and their kept-alive connections, over loopback sockets and the real loop. The backend is this same
 * thread: it accepts, reads and writes between two turns. Every wait is for an event; the guard against a hang
 * is ctest's. */
#include "upstream/upstream_impl.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/io/socket.h"

#define LONG_MS  60000
#define BACKENDS 3

static const char RESPONSE[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/* A listening socket of ours, and how a configuration names it. */
struct backend {
    int listen_fd;
    struct sp_config_endpoint endpoint;
};

struct rig {
    struct sp_loop *loop;
    struct sp_pool blocks;
    struct sp_meter_block meter;
    struct sp_upstreams *u;
    struct backend backends[BACKENDS];
    struct sp_config_endpoint endpoints[BACKENDS];
    struct sp_config_upstream upstream;
    struct sp_config config;
    unsigned events;
};

static void listen_somewhere(struct backend *b)
{
    struct sp_addr any;
    struct sp_err err;

    assert_int_equal(sp_addr_parse(SP_SLICE("127.0.0.1:0"), &any, &err), SP_OK);
    assert_int_equal(sp_socket_listen(&any, false, &b->listen_fd, &err), SP_OK);
    assert_int_equal(sp_socket_local(b->listen_fd, &b->endpoint.address), SP_OK);
}

/* One upstream with backends first, first + 1, ... */
static void configure(struct rig *r, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        r->endpoints[i] = r->backends[first + i].endpoint;
    r->upstream = (struct sp_config_upstream){
        .endpoints = r->endpoints, .endpoint_count = count, .max_idle = 8, .idle_ms = LONG_MS};
    r->config.upstreams = &r->upstream;
    r->config.upstream_count = 1;
    r->config.limits = (struct sp_config_limits){.header_bytes = 8192, .headers = 32};
}

static int set_up(void **state)
{
    struct rig *r = SP_NEW(struct rig);
    struct sp_err err;

    assert_non_null(r);
    assert_int_equal(sp_loop_new(&r->loop, &err), SP_OK);
    sp_pool_init(&r->blocks, SP_IO_BLOCK, 4, 0);
    r->u = sp_upstreams_new(r->loop, &r->blocks, &r->meter);
    assert_non_null(r->u);
    for (int i = 0; i < BACKENDS; i++)
        listen_somewhere(&r->backends[i]);
    configure(r, 0, BACKENDS);
    *state = r;
    return 0;
}

/* Whatever a test leaves idle goes here; what it leaves taken, or a block, trips an assertion. */
static int tear_down(void **state)
{
    struct rig *r = *state;

    sp_upstreams_close_idle(r->u);
    sp_upstreams_free(r->u);
    assert_int_equal(r->meter.values[SP_METER_upstream_idle], 0);
    sp_loop_turn(r->loop, 0);
    sp_loop_free(r->loop);
    sp_pool_destroy(&r->blocks);
    for (int i = 0; i < BACKENDS; i++)
        close(r->backends[i].listen_fd);
    sp_free(r);
    return 0;
}

static uint64_t counted(const struct rig *r, enum sp_meter_id id)
{
    return atomic_load(&r->meter.values[id]);
}

static void on_event(void *arg)
{
    ((struct rig *)arg)->events++;
}

static struct sp_upconn *take(
    struct rig *r, struct sp_targets *t, unsigned first, unsigned attempt, bool fresh)
{
    struct sp_upconn *c = NULL;
    const struct sp_endpoint *ep = NULL;

    assert_int_equal(sp_upconn_take(t, 0, first, attempt, fresh, on_event, r, &c, &ep), SP_OK);
    assert_non_null(c);
    assert_ptr_equal(ep, c->endpoint);
    return c;
}

static enum sp_rc connected(struct rig *r, struct sp_upconn *c)
{
    enum sp_rc rc;

    while ((rc = sp_upconn_connected(c)) == SP_AGAIN)
        sp_loop_turn(r->loop, LONG_MS);
    return rc;
}

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, LONG_MS), 1);
}

static int accept_from(const struct backend *b)
{
    struct sp_addr peer;
    int fd = -1, errnum;

    wait_readable(b->listen_fd);
    assert_int_equal(sp_socket_accept(b->listen_fd, &fd, &peer, &errnum), SP_OK);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* True when the peer has ended; what it sent before is dropped. */
static bool ends(int fd)
{
    char bytes[4096];
    ssize_t n;

    do {
        wait_readable(fd);
        n = read(fd, bytes, sizeof(bytes));
    } while (n > 0);
    return n == 0;
}

/* Sends a request on `c`, whose other end is `fd`, and reads it there. */
static void request(struct rig *r, struct sp_upconn *c, int fd)
{
    struct sp_head_out out = {.method = SP_SLICE("GET"), .target = SP_SLICE("/")};
    char bytes[4096];

    assert_int_equal(connected(r, c), SP_OK);
    assert_int_equal(c->stream->ops->send_head(c->stream, &out), SP_OK);
    assert_int_equal(c->stream->ops->send_end(c->stream), SP_OK);
    assert_int_equal(c->stream->ops->flush(c->stream), SP_OK);
    wait_readable(fd);
    assert_true(read(fd, bytes, sizeof(bytes)) > 0);
}

static void receive(struct rig *r, struct sp_upconn *c)
{
    const struct sp_head *head;
    struct sp_fault fault;
    struct sp_slice data;
    enum sp_rc rc;

    while ((rc = c->stream->ops->recv_head(c->stream, &head, &fault)) == SP_AGAIN)
        sp_loop_turn(r->loop, LONG_MS);
    assert_int_equal(rc, SP_OK);
    while ((rc = c->stream->ops->recv_body(c->stream, &data, &fault)) != SP_EOF) {
        if (rc == SP_OK)
            c->stream->ops->consume(c->stream, data.len);
        else
            sp_loop_turn(r->loop, LONG_MS);
    }
}

static void exchange(struct rig *r, struct sp_upconn *c, int fd, const char *response)
{
    request(r, c, fd);
    say(fd, response);
    receive(r, c);
}

/* A connection to backend 0 that has carried one exchange and is kept. */
static struct sp_upconn *keep_one(struct rig *r, struct sp_targets *t, int *fd)
{
    struct sp_upconn *c = take(r, t, 0, 0, true);

    *fd = accept_from(&r->backends[0]);
    exchange(r, c, *fd, RESPONSE);
    sp_upconn_put(c);
    return c;
}

static struct sp_targets *targets(struct rig *r)
{
    struct sp_targets *t = sp_targets_new(r->u, &r->config);

    assert_non_null(t);
    return t;
}

/* ---- which endpoint ---- */

static void test_endpoints_take_turns_and_the_attempts_of_one_exchange_reach_each_once(void **state)
{
    struct rig *r = *state;
    struct sp_targets *t = targets(r);

    assert_int_equal(sp_targets_endpoints(t, 0), BACKENDS);
    for (unsigned turn = 0; turn < 2 * BACKENDS; turn++) {
        unsigned first = sp_targets_next(t, 0);
        for (unsigned attempt = 0; attempt < BACKENDS; attempt++) {
            struct sp_upconn *c = take(r, t, first, attempt, false);
            const struct sp_addr *wanted = &r->backends[(turn + attempt) % BACKENDS].endpoint.address;
            char text[SP_ADDR_TEXT];
            assert_string_equal(sp_endpoint_text(c->endpoint), sp_addr_format(wanted, text));
            sp_upconn_close(c);
        }
    }
    sp_targets_free(t);
}

static void test_an_endpoint_that_refuses_is_told_and_counted(void **state)
{
    struct rig *r = *state;
    struct sp_upconn *c = NULL;
    const struct sp_endpoint *ep = NULL;

    struct sp_targets *t = targets(r);
    close(r->backends[0].listen_fd);
    enum sp_rc rc = sp_upconn_take(t, 0, 0, 0, false, on_event, r, &c, &ep);
    assert_non_null(ep);
    if (rc == SP_OK) /* the kernel may tell at once or later */
        assert_int_equal(connected(r, c), SP_FAIL);
    sp_upconn_close(c);
    assert_int_equal(counted(r, SP_METER_upstream_connect_failures), 1);
    assert_int_equal(counted(r, SP_METER_upstream_connects), 0);
    sp_targets_free(t);
    listen_somewhere(&r->backends[0]);
}

static void test_an_address_that_cannot_be_connected_to_fails_at_once(void **state)
{
    struct rig *r = *state;
    struct sp_upconn *c = NULL;
    const struct sp_endpoint *ep = NULL;
    struct sp_err err;

    assert_int_equal(
        sp_addr_parse(SP_SLICE("unix:/nonexistent/socket"), &r->endpoints[0].address, &err), SP_OK);
    struct sp_targets *t = targets(r);
    assert_int_equal(sp_upconn_take(t, 0, 0, 0, false, on_event, r, &c, &ep), SP_FAIL);
    assert_null(c);
    assert_string_equal(sp_endpoint_text(ep), "unix:/nonexistent/socket");
    assert_int_equal(counted(r, SP_METER_upstream_connect_failures), 1);
    sp_targets_free(t);
}

/* ---- keeping ---- */

static void test_the_connection_kept_last_is_used_first(void **state)
{
    struct rig *r = *state;
    struct sp_targets *t = targets(r);
    struct sp_upconn *c[2];
    int fd[2];

    for (int i = 0; i < 2; i++) {
        c[i] = take(r, t, 0, 0, false);
        fd[i] = accept_from(&r->backends[0]);
        assert_false(c[i]->reused);
        exchange(r, c[i], fd[i], RESPONSE);
    }
    sp_upconn_put(c[0]);
    sp_upconn_put(c[1]);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 2);
    assert_ptr_equal(take(r, t, 0, 0, false), c[1]);
    assert_ptr_equal(take(r, t, 0, 0, false), c[0]);
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
    struct sp_targets *t = targets(r);
    int fd;

    struct sp_upconn *kept = keep_one(r, t, &fd);
    struct sp_upconn *c = take(r, t, 0, 0, true);
    assert_ptr_not_equal(c, kept);
    assert_false(c->reused);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1);
    sp_upconn_close(c);
    close(fd);
    sp_targets_free(t);
}

static void test_no_more_are_kept_than_may_be(void **state)
{
    struct rig *r = *state;
    struct sp_upconn *c[3];
    int fd[3];

    r->upstream.max_idle = 2;
    struct sp_targets *t = targets(r);
    for (int i = 0; i < 3; i++) {
        c[i] = take(r, t, 0, 0, false);
        fd[i] = accept_from(&r->backends[0]);
        exchange(r, c[i], fd[i], RESPONSE);
    }
    for (int i = 0; i < 3; i++)
        sp_upconn_put(c[i]);
    sp_loop_turn(r->loop, 0);
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
    struct sp_targets *t = targets(r);

    for (size_t i = 0; i < SP_COUNTOF(RESPONSES); i++) {
        struct sp_upconn *c = take(r, t, 0, 0, false);
        int fd = accept_from(&r->backends[0]);
        exchange(r, c, fd, RESPONSES[i]);
        sp_upconn_put(c);
        sp_loop_turn(r->loop, 0);
        assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
        close(fd);
    }
    sp_targets_free(t);
}

/* ---- the end of a kept connection ---- */

static void test_a_kept_connection_ends_after_its_idle_time(void **state)
{
    struct rig *r = *state;
    int fd;

    r->upstream.idle_ms = 1;
    struct sp_targets *t = targets(r);
    keep_one(r, t, &fd);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1);
    while (counted(r, SP_METER_upstream_idle) > 0)
        sp_loop_turn(r->loop, LONG_MS);
    assert_true(ends(fd));
    assert_int_equal(r->events, 0); /* nobody's connection told nobody */
    close(fd);
    sp_targets_free(t);
}

static void test_a_kept_connection_ends_with_the_backends_end_or_with_bytes_that_nobody_asked_for(
    void **state)
{
    struct rig *r = *state;
    struct sp_targets *t = targets(r);

    for (int i = 0; i < 2; i++) {
        int fd;
        keep_one(r, t, &fd);
        if (i == 0)
            shutdown(fd, SHUT_WR);
        else
            say(fd, "HTTP/1.1 408 Request Timeout\r\n\r\n");
        while (counted(r, SP_METER_upstream_idle) > 0)
            sp_loop_turn(r->loop, LONG_MS);
        close(fd);
    }
    sp_targets_free(t);
}

static void test_a_kept_connection_that_ended_unnoticed_is_not_used(void **state)
{
    struct rig *r = *state;
    struct sp_targets *t = targets(r);

    for (int i = 0; i < 2; i++) {
        int fd;
        struct sp_upconn *kept = keep_one(r, t, &fd);
        if (i == 0)
            shutdown(fd, SHUT_WR);
        else
            say(fd, RESPONSE);
        struct sp_upconn *c = take(r, t, 0, 0, false); /* no turn in between: its edge is still to be told */
        assert_ptr_not_equal(c, kept);
        assert_false(c->reused);
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
    struct sp_targets *t = targets(r);
    struct sp_upconn *c = take(r, t, 0, 0, true);
    int fd = accept_from(&r->backends[0]), pipe_fds[2];

    assert_int_equal(pipe(pipe_fds), 0);
    struct reader reader = {.r = r, .c = c, .fd = pipe_fds[0]};
    struct sp_watch *w = sp_watch_new_level(r->loop, pipe_fds[0], on_reader, &reader);
    assert_non_null(w);
    request(r, c, fd);
    sp_loop_turn(r->loop, 0);
    say(pipe_fds[1], "x");
    say(fd, RESPONSE);
    while (!reader.done)
        sp_loop_turn(r->loop, LONG_MS);
    sp_loop_turn(r->loop, 0);
    sp_watch_free(w);
    assert_ptr_equal(take(r, t, 0, 0, false), c);
    sp_upconn_close(c);
    close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    sp_targets_free(t);
}

/* ---- new targets ---- */

static void test_an_endpoint_that_stays_keeps_its_connections(void **state)
{
    struct rig *r = *state;
    int fd;

    struct sp_targets *before = targets(r);
    struct sp_upconn *kept = keep_one(r, before, &fd);
    configure(r, 0, 1);
    struct sp_targets *after = targets(r);
    sp_targets_free(before);
    assert_ptr_equal(take(r, after, 0, 0, false), kept);
    exchange(r, kept, fd, RESPONSE);
    sp_upconn_put(kept);
    close(fd);
    sp_targets_free(after);
}

static void test_an_endpoint_that_goes_closes_what_is_idle_and_finishes_what_is_in_use(void **state)
{
    struct rig *r = *state;
    int idle_fd;

    struct sp_targets *before = targets(r);
    struct sp_upconn *in_use = take(r, before, 0, 0, true);
    int fd = accept_from(&r->backends[0]);
    keep_one(r, before, &idle_fd);
    configure(r, 1, 2);
    struct sp_targets *after = targets(r);
    sp_targets_free(before);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
    sp_loop_turn(r->loop, 0);
    assert_true(ends(idle_fd));
    exchange(r, in_use, fd, RESPONSE);
    sp_upconn_put(in_use); /* the last of its endpoint: not kept */
    assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
    sp_loop_turn(r->loop, 0);
    assert_true(ends(fd));
    close(idle_fd);
    close(fd);
    sp_targets_free(after);
}

static void test_its_user_hears_of_every_edge(void **state)
{
    struct rig *r = *state;
    struct sp_targets *t = targets(r);
    struct sp_upconn *c = take(r, t, 0, 0, false);

    assert_int_equal(r->events, 0); /* never from within take */
    int fd = accept_from(&r->backends[0]);
    assert_int_equal(connected(r, c), SP_OK);
    sp_loop_turn(r->loop, 0);
    r->events = 0;
    close(fd);
    while (r->events == 0)
        sp_loop_turn(r->loop, LONG_MS);
    assert_true(c->transport->peer_ended);
    sp_upconn_close(c);
    sp_targets_free(t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_endpoints_take_turns_and_the_attempts_of_one_exchange_reach_each_once),
        TEST(test_an_endpoint_that_refuses_is_told_and_counted),
        TEST(test_an_address_that_cannot_be_connected_to_fails_at_once),
        TEST(test_the_connection_kept_last_is_used_first),
        TEST(test_a_fresh_connection_is_new_though_one_is_kept),
        TEST(test_no_more_are_kept_than_may_be),
        TEST(test_a_connection_is_not_kept_when_its_exchange_does_not_allow_it),
        TEST(test_a_kept_connection_ends_after_its_idle_time),
        TEST(test_a_kept_connection_ends_with_the_backends_end_or_with_bytes_that_nobody_asked_for),
        TEST(test_a_kept_connection_that_ended_unnoticed_is_not_used),
        TEST(test_an_edge_of_bytes_that_were_read_before_it_was_told_ends_nothing),
        TEST(test_an_endpoint_that_stays_keeps_its_connections),
        TEST(test_an_endpoint_that_goes_closes_what_is_idle_and_finishes_what_is_in_use),
        TEST(test_its_user_hears_of_every_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
