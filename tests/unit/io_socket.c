/* Sockets and the transports that need no TLS, on real descriptors over loopback, unix sockets and socketpairs.
 * Every wait is for an event; the guard against a hang is ctest's. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/io/loop.h"
#include "sallyport/io/socket.h"
#include "sallyport/io/transport.h"

#define LONG_MS 60000 /* a turn that waits so long has been woken by an event, or ctest ends the test */

struct fixture {
    struct sp_loop *loop;
    int pair[2];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sp_err err;
    assert_non_null(f);
    assert_int_equal(sp_loop_new(&f->loop, &err), SP_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, f->pair), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sp_loop_free(f->loop);
    for (int i = 0; i < 2; i++) {
        if (f->pair[i] >= 0)
            close(f->pair[i]);
    }
    free(f);
    return 0;
}

static void close_end(struct fixture *f, int i)
{
    close(f->pair[i]);
    f->pair[i] = -1;
}

static void collect(void *arg, unsigned events)
{
    *(unsigned *)arg |= events;
}

/* ---- sockets ---- */

static struct sp_addr address_of(const char *text)
{
    struct sp_addr a;
    struct sp_err err;
    assert_int_equal(sp_addr_parse(sp_slice_of(text), &a, &err), SP_OK);
    return a;
}

static int listen_at(const char *text, bool shared, struct sp_addr *bound)
{
    struct sp_addr a = address_of(text);
    struct sp_err err;
    int fd = -1;
    if (sp_socket_listen(&a, shared, &fd, &err) != SP_OK)
        fail_msg("%s", err.text);
    assert_int_equal(sp_socket_local(fd, bound), SP_OK);
    return fd;
}

/* A turn of the loop until `fd` has had an edge, or at once if it is ready. */
static void wait_edge(struct sp_loop *loop, int fd, unsigned events)
{
    unsigned seen = 0;
    struct sp_watch *w = sp_watch_new(loop, fd, collect, &seen);
    assert_non_null(w);
    while ((seen & events) == 0)
        sp_loop_turn(loop, LONG_MS);
    sp_watch_free(w);
}

static void connect_to(struct sp_loop *loop, const struct sp_addr *to, int listener, int *client, int *server)
{
    int errnum = 0;
    struct sp_addr peer;
    enum sp_rc rc = sp_socket_connect(to, client, &errnum);
    assert_true(rc == SP_OK || rc == SP_AGAIN);
    wait_edge(loop, *client, SP_EV_WRITE);
    assert_int_equal(sp_socket_connect_result(*client, &errnum), SP_OK);
    wait_edge(loop, listener, SP_EV_READ);
    assert_int_equal(sp_socket_accept(listener, server, &peer, &errnum), SP_OK);
    struct sp_addr own; /* an IPv4 client is known as one, also to "[::]" */
    assert_int_equal(sp_socket_local(*client, &own), SP_OK);
    assert_true(sp_addr_is_unix(&own) || sp_addr_equal(&peer, &own));
    assert_true(fcntl(*server, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(*server, F_GETFD) & FD_CLOEXEC);
    int no_delay = 0; /* inherited from the listening socket */
    socklen_t len = sizeof no_delay;
    if (!sp_addr_is_unix(&own))
        assert_int_equal(getsockopt(*server, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    assert_true(sp_addr_is_unix(&own) || no_delay);
    assert_int_equal(sp_socket_accept(listener, server, &peer, &errnum), SP_AGAIN);
}

static void test_listen_accept_and_connect_over_each_family(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/sp-io-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "unix:%s/s", dir);
    const char *at[] = {"127.0.0.1:0", "[::1]:0", path};
    for (size_t i = 0; i < SP_COUNTOF(at); i++) {
        struct sp_addr bound;
        int client, server, listener = listen_at(at[i], false, &bound);
        connect_to(f->loop, &bound, listener, &client, &server);
        char buf[8];
        size_t n;
        assert_int_equal(sp_socket_peek(server, buf, sizeof buf, &n), SP_AGAIN);
        assert_int_equal(write(client, "hello", 5), 5);
        wait_edge(f->loop, server, SP_EV_READ);
        assert_int_equal(sp_socket_peek(server, buf, 2, &n), SP_OK);
        assert_int_equal(n, 2);
        assert_int_equal(sp_socket_peek(server, buf, sizeof buf, &n), SP_OK);
        assert_int_equal(n, 5);
        assert_int_equal(read(server, buf, sizeof buf), 5);
        close(client);
        wait_edge(f->loop, server, SP_EV_CLOSED);
        assert_int_equal(sp_socket_peek(server, buf, sizeof buf, &n), SP_EOF);
        close(server);
        close(listener);
    }
    unlink(path + 5);
    rmdir(dir);
}

static int option_of(int fd, int level, int option)
{
    int value = 0;
    socklen_t len = sizeof value;
    assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
    return value;
}

static void test_a_silent_peer_is_asked_whether_it_is_still_there(void **state)
{
    struct fixture *f = *state;
    struct sp_addr bound;
    int ends[2], listener = listen_at("127.0.0.1:0", false, &bound);
    connect_to(f->loop, &bound, listener, &ends[0], &ends[1]);
    for (size_t i = 0; i < SP_COUNTOF(ends); i++) {
        assert_int_equal(option_of(ends[i], SOL_SOCKET, SO_KEEPALIVE), 0);
        sp_socket_keep_alive(ends[i]);
        assert_int_equal(option_of(ends[i], SOL_SOCKET, SO_KEEPALIVE), 1);
        int silent_s = option_of(ends[i], IPPROTO_TCP, TCP_KEEPIDLE);
        int given_up_s = silent_s + option_of(ends[i], IPPROTO_TCP, TCP_KEEPINTVL) *
                                        option_of(ends[i], IPPROTO_TCP, TCP_KEEPCNT);
        assert_true(silent_s >= 30 && given_up_s > silent_s && given_up_s <= 120);
        /* a peer that is there and only reads nothing stays */
        assert_int_equal(option_of(ends[i], IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
        close(ends[i]);
    }
    close(listener);
    sp_socket_keep_alive(f->pair[0]); /* no harm to one that is not TCP */
    assert_int_equal(write(f->pair[0], "a", 1), 1);
}

static void test_the_unspecified_ipv6_address_takes_ipv4_too(void **state)
{
    struct fixture *f = *state;
    struct sp_addr bound;
    int client, server, listener = listen_at("[::]:0", false, &bound);
    struct sp_addr v4 = address_of("127.0.0.1:1");
    v4.u.in4.sin_port = bound.u.in6.sin6_port;
    connect_to(f->loop, &v4, listener, &client, &server);
    struct sp_addr end;
    assert_int_equal(
        sp_socket_local(server, &end), SP_OK); /* and where he connected to is called what he called it */
    assert_true(sp_addr_equal(&end, &v4));
    close(client);
    close(server);
    close(listener);
}

static void test_what_was_looked_at_is_thrown_away_to_the_byte(void **state)
{
    struct fixture *f = *state;
    static char sent[3000], got[3000];
    size_t n;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i % 251);
    assert_int_equal(write(f->pair[0], sent, sizeof sent), sizeof sent);
    assert_int_equal(sp_socket_drop(f->pair[1], 0), SP_OK);
    assert_int_equal(sp_socket_drop(f->pair[1], 1), SP_OK);
    assert_int_equal(sp_socket_drop(f->pair[1], 1500), SP_OK);
    assert_int_equal(sp_socket_peek(f->pair[1], got, sizeof got, &n), SP_OK);
    assert_int_equal(n, sizeof sent - 1501);
    assert_memory_equal(got, sent + 1501, n);
    assert_int_equal(sp_socket_drop(f->pair[1], n + 1), SP_FAIL);
    close_end(f, 0);
    assert_int_equal(sp_socket_drop(f->pair[1], 1), SP_FAIL);
}

static void test_shared_listeners_take_the_same_port_and_others_do_not(void **state)
{
    (void)state;
    struct sp_addr bound;
    int first = listen_at("127.0.0.1:0", true, &bound), second = -1;
    struct sp_err err;
    assert_int_equal(sp_socket_listen(&bound, true, &second, &err), SP_OK);
    close(second);
    assert_int_equal(sp_socket_listen(&bound, false, &second, &err), SP_FAIL);
    assert_int_equal(err.sys, EADDRINUSE);
    assert_non_null(strstr(err.text, "cannot listen on 127.0.0.1:"));
    close(first);
}

static void test_a_unix_path_is_taken_over_only_from_the_dead(void **state)
{
    (void)state;
    char dir[] = "/tmp/sp-io-XXXXXX", text[64];
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof text, "unix:%s/s", dir);
    const char *path = text + 5;
    struct sp_addr bound, a = address_of(text);
    struct sp_err err;
    int fd = -1, first = listen_at(text, false, &bound);

    assert_int_equal(sp_socket_listen(&a, false, &fd, &err), SP_FAIL); /* somebody answers */
    assert_non_null(strstr(err.text, "another process answers there"));
    close(first); /* the file stays */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(sp_socket_listen(&a, false, &fd, &err), SP_OK);
    close(fd);

    unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(
        sp_socket_listen(&a, false, &fd, &err), SP_FAIL); /* an operator's file is never removed */
    assert_non_null(strstr(err.text, "is not a socket"));
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    rmdir(dir);
}

static void test_a_refused_connect_says_so(void **state)
{
    struct fixture *f = *state;
    struct sp_addr bound;
    int fd = -1, errnum = 0, listener = listen_at("127.0.0.1:0", false, &bound);
    close(listener);
    enum sp_rc rc = sp_socket_connect(&bound, &fd, &errnum);
    if (rc == SP_AGAIN) {
        wait_edge(f->loop, fd, SP_EV_WRITE);
        rc = sp_socket_connect_result(fd, &errnum);
        close(fd);
    }
    assert_int_equal(rc, SP_FAIL);
    assert_int_equal(errnum, ECONNREFUSED);
    struct sp_addr nowhere = address_of("unix:/nonexistent/socket");
    assert_int_equal(sp_socket_connect(&nowhere, &fd, &errnum), SP_FAIL);
    assert_int_equal(errnum, ENOENT);
}

/* ---- transports ---- */

static void note_ready(void *arg, unsigned events)
{
    sp_transport_ready(arg, events);
}

static void test_data_before_the_end_is_read_to_the_last_byte(void **state)
{
    struct fixture *f = *state;
    struct sp_transport *t = sp_plain_new(f->pair[0]);
    f->pair[0] = -1;
    struct sp_watch *w = sp_watch_new(f->loop, t->fd, note_ready, t);
    assert_int_equal(write(f->pair[1], "0123456789", 10), 10);
    close_end(f, 1);
    while (!t->peer_ended)
        sp_loop_turn(f->loop, LONG_MS);
    char buf[8];
    size_t n, total = 0;
    enum sp_rc rc;
    /* Short reads, and no further edge will come: it must go on by itself. */
    while ((rc = sp_transport_read(t, buf, sizeof buf, &n)) == SP_OK)
        total += n;
    assert_int_equal(rc, SP_EOF);
    assert_int_equal(total, 10);
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_EOF);
    sp_watch_free(w);
    sp_transport_free(t);
}

static void test_a_short_read_means_empty_until_the_next_edge(void **state)
{
    struct fixture *f = *state;
    struct sp_transport *t = sp_plain_new(f->pair[0]);
    f->pair[0] = -1;
    struct sp_watch *w = sp_watch_new(f->loop, t->fd, note_ready, t);
    char buf[8];
    size_t n;
    assert_int_equal(write(f->pair[1], "abc", 3), 3);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_OK);
    assert_int_equal(n, 3);
    assert_false(t->can_read);
    assert_int_equal(write(f->pair[1], "defghijk", 8), 8);
    assert_int_equal(
        sp_transport_read(t, buf, sizeof buf, &n), SP_AGAIN); /* the edge has not been delivered */
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_OK);
    assert_int_equal(n, 8);
    assert_true(t->can_read); /* a full one leaves it open */
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_AGAIN);
    assert_false(t->can_read);
    sp_watch_free(w);
    sp_transport_free(t);
}

static void test_a_full_socket_is_written_on_after_its_edge_without_loss(void **state)
{
    enum { TOTAL = 4 << 20, PIECE = 65536 };
    struct fixture *f = *state;
    struct sp_transport *out = sp_plain_new(f->pair[0]), *in = sp_plain_new(f->pair[1]);
    f->pair[0] = f->pair[1] = -1;
    struct sp_watch *wo = sp_watch_new(f->loop, out->fd, note_ready, out);
    struct sp_watch *wi = sp_watch_new(f->loop, in->fd, note_ready, in);
    static char piece[PIECE], buf[PIECE];
    size_t sent = 0, got = 0, n, blocked = 0;
    while (got < TOTAL) {
        enum sp_rc rc = SP_OK;
        while (sent < TOTAL && rc == SP_OK) {
            for (size_t i = 0; i < PIECE; i++)
                piece[i] = (char)((sent + i) % 251);
            struct iovec iov[2] = {{piece, 1000}, {piece + 1000, PIECE - 1000}};
            rc = sp_transport_writev(out, iov, 2, &n);
            sent += n;
        }
        assert_true(rc == SP_OK || rc == SP_AGAIN);
        blocked += rc == SP_AGAIN;
        while ((rc = sp_transport_read(in, buf, sizeof buf, &n)) == SP_OK) {
            for (size_t i = 0; i < n; i++)
                assert_int_equal(buf[i], (char)((got + i) % 251));
            got += n;
        }
        assert_int_equal(rc, SP_AGAIN);
        if (got < TOTAL)
            sp_loop_turn(f->loop, LONG_MS);
    }
    assert_true(blocked > 0);
    assert_int_equal(sp_transport_flush(out), SP_OK);
    sp_watch_free(wo);
    sp_watch_free(wi);
    sp_transport_free(out);
    sp_transport_free(in);
}

static void test_a_reset_that_came_with_data_is_found_when_more_is_expected(void **state)
{
    struct fixture *f = *state;
    struct sp_addr bound;
    int client, server, listener = listen_at("127.0.0.1:0", false, &bound);
    connect_to(f->loop, &bound, listener, &client, &server);
    struct sp_transport *t = sp_plain_new(server);
    assert_int_equal(write(client, "part", 4), 4);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(client); /* both are there before the loop looks: one edge for the two */
    struct sp_watch *w = sp_watch_new(f->loop, t->fd, note_ready, t);
    sp_loop_turn(f->loop, LONG_MS);
    char buf[8];
    size_t n;
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_OK);
    assert_int_equal(n, 4);
    sp_transport_expect_more(t);
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_FAIL);
    sp_watch_free(w);
    sp_transport_free(t);
    close(listener);
}

static void test_a_reset_that_a_write_was_told_of_does_not_look_like_an_end(void **state)
{
    struct fixture *f = *state;
    struct sp_addr bound;
    int client, server, listener = listen_at("127.0.0.1:0", false, &bound);
    connect_to(f->loop, &bound, listener, &client, &server);
    struct sp_transport *t = sp_plain_new(server);
    char x = 'x';
    struct iovec iov = {&x, 1};
    size_t n;
    assert_int_equal(sp_transport_writev(t, &iov, 1, &n), SP_OK);
    assert_int_equal(write(client, "half", 4), 4);
    close(client); /* with a byte that it has not read */
    assert_int_equal(sp_transport_writev(t, &iov, 1, &n), SP_FAIL);
    char buf[8];
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_OK);
    assert_int_equal(n, 4);
    sp_transport_expect_more(t);
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_FAIL);
    sp_transport_free(t);
    close(listener);
}

static void test_writing_to_a_peer_that_is_gone_fails_without_a_signal(void **state)
{
    struct fixture *f = *state;
    struct sp_transport *t = sp_plain_new(f->pair[0]);
    f->pair[0] = -1;
    close_end(f, 1);
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    size_t n;
    assert_int_equal(sp_transport_writev(t, &iov, 1, &n), SP_FAIL);
    sp_transport_free(t);
}

static void test_shutdown_ends_our_direction_only(void **state)
{
    struct fixture *f = *state;
    struct sp_transport *t = sp_plain_new(f->pair[0]);
    f->pair[0] = -1;
    char buf[8];
    size_t n;
    assert_int_equal(sp_transport_shutdown(t), SP_OK);
    assert_int_equal(read(f->pair[1], buf, sizeof buf), 0);
    assert_int_equal(write(f->pair[1], "late", 4), 4);
    assert_int_equal(sp_transport_read(t, buf, sizeof buf, &n), SP_OK);
    assert_int_equal(n, 4);
    sp_transport_free(t);
}

static void test_a_memory_pair_keeps_its_limits_and_loses_nothing(void **state)
{
    (void)state;
    static const struct {
        size_t capacity, chunk;
    } cases[] = {{1, 0}, {7, 3}, {64, 1}, {16, 0}};
    for (size_t c = 0; c < SP_COUNTOF(cases); c++) {
        struct sp_transport *a, *b;
        assert_int_equal(sp_mem_pair(cases[c].capacity, cases[c].chunk, &a, &b), SP_OK);
        const char text[] = "the quick brown fox jumps over the lazy dog";
        char got[sizeof text];
        size_t sent = 0, read = 0, n;
        while (read < sizeof text) {
            a->can_write = b->can_read = true;
            size_t half = (sizeof text - sent) / 2;
            struct iovec iov[2] = {{(char *)(uintptr_t)text + sent, half},
                {(char *)(uintptr_t)text + sent + half, sizeof text - sent - half}};
            if (sent < sizeof text && sp_transport_writev(a, iov, 2, &n) == SP_OK) {
                assert_true(n <= cases[c].capacity && (cases[c].chunk == 0 || n <= cases[c].chunk));
                sent += n;
            }
            if (sp_transport_read(b, got + read, sizeof got - read, &n) == SP_OK) {
                assert_true(cases[c].chunk == 0 || n <= cases[c].chunk);
                read += n;
            }
        }
        assert_memory_equal(got, text, sizeof text);
        a->can_write = b->can_read = true;
        assert_int_equal(sp_transport_read(b, got, 1, &n), SP_AGAIN);
        assert_false(b->can_read);
        b->can_read = true;
        sp_transport_free(a);
        assert_int_equal(sp_transport_read(b, got, 1, &n), SP_EOF);
        struct iovec one = {got, 1};
        assert_int_equal(sp_transport_writev(b, &one, 1, &n), SP_FAIL);
        sp_transport_free(b);
    }
}

static void test_a_memory_pair_gives_what_was_written_before_a_shutdown(void **state)
{
    (void)state;
    struct sp_transport *a, *b;
    char buf[4];
    size_t n;
    char text[] = "ab";
    struct iovec iov = {text, 2};
    assert_int_equal(sp_mem_pair(8, 0, &a, &b), SP_OK);
    assert_int_equal(sp_transport_writev(a, &iov, 1, &n), SP_OK);
    assert_int_equal(sp_transport_shutdown(a), SP_OK);
    assert_int_equal(sp_transport_read(b, buf, sizeof buf, &n), SP_OK);
    assert_int_equal(n, 2);
    assert_int_equal(sp_transport_read(b, buf, sizeof buf, &n), SP_EOF);
    assert_int_equal(sp_transport_writev(b, &iov, 1, &n), SP_OK); /* the other direction is still there */
    assert_int_equal(sp_transport_read(a, buf, sizeof buf, &n), SP_OK);
    sp_transport_free(a);
    sp_transport_free(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_listen_accept_and_connect_over_each_family),
        TEST(test_a_silent_peer_is_asked_whether_it_is_still_there),
        TEST(test_the_unspecified_ipv6_address_takes_ipv4_too),
        TEST(test_what_was_looked_at_is_thrown_away_to_the_byte),
        TEST(test_shared_listeners_take_the_same_port_and_others_do_not),
        TEST(test_a_unix_path_is_taken_over_only_from_the_dead),
        TEST(test_a_refused_connect_says_so),
        TEST(test_data_before_the_end_is_read_to_the_last_byte),
        TEST(test_a_short_read_means_empty_until_the_next_edge),
        TEST(test_a_full_socket_is_written_on_after_its_edge_without_loss),
        TEST(test_a_reset_that_came_with_data_is_found_when_more_is_expected),
        TEST(test_a_reset_that_a_write_was_told_of_does_not_look_like_an_end),
        TEST(test_writing_to_a_peer_that_is_gone_fails_without_a_signal),
        TEST(test_shutdown_ends_our_direction_only),
        TEST(test_a_memory_pair_keeps_its_limits_and_loses_nothing),
        TEST(test_a_memory_pair_gives_what_was_written_before_a_shutdown),
    };
    return cmocka_run_group_tests_name("io_socket", tests, NULL, NULL);
}
