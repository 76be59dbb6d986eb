/* Writing over TLS to a socket that is full after any number of bytes: what was taken arrives, once and in order, and the
 * kernel is never left waiting for a record that does not come. send and setsockopt are ours here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "sallyport/io/transport.h"
#include "tls_fixture.h"

/* The connection's socket, as the kernel would have it. */
static struct {
    int fd;      /* -1: nobody's */
    size_t room; /* bytes that it still takes */
    bool waits;  /* it was told that more follows, and holds back what it has */
    unsigned sends, announced;
} sock = {.fd = -1};

ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
    if (fd != sock.fd)
        return __real_send(fd, bytes, len, flags);
    if (sock.room == 0) {
        errno = EAGAIN;
        return -1;
    }
    size_t fits = len < sock.room ? len : sock.room;
    ssize_t n = __real_send(fd, bytes, fits, flags & ~MSG_MORE);
    assert_int_equal(n, fits); /* the test reads in between */
    sock.room -= fits;
    sock.sends++;
    sock.announced += (flags & MSG_MORE) != 0;
    sock.waits = (flags & MSG_MORE) != 0 && fits == len; /* one that is full waits for nothing */
    return n;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    if (fd != sock.fd)
        return __real_setsockopt(fd, level, name, value, len);
    if (level == IPPROTO_TCP && name == TCP_NODELAY)
        sock.waits = false;
    return 0;
}

static struct tls_pki pki;
static struct sp_config_certificate site;

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static int set_up(void **state)
{
    (void)state;
    tls_pki_make(&pki);
    site = tls_files("a", &pki.site_a);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_pki_free(&pki);
    fix_remove_folder();
    return 0;
}

/* `fragment`: how large the client wants records at most, by RFC 6066 §4. */
static void open_link(struct tls_link *l, int version, uint8_t fragment)
{
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, &site, 1);
    struct tls_client c = {.cert = &pki.good, .min = version, .max = version};
    sock.fd = -1;
    tls_link_open(l, &e, &c);
    assert_int_equal(SSL_set_tlsext_max_fragment_length(l->client, fragment), 1);
    tls_link_shake(l, &c);
    assert_int_equal(l->rc, SP_OK);
    tls_end_free(&e);
    sock.fd = l->t->fd;
    sock.waits = false;
}

static void close_link(struct tls_link *l)
{
    sock.fd = -1;
    tls_link_free(l);
}

static char sent[50000], got[sizeof sent + 1];

/* Reads what has come so far; returns how much there is of it now. */
static size_t receive(struct tls_link *l, size_t have)
{
    int n;
    tls_link_carry(l);
    while ((n = SSL_read(l->client, got + have, (int)(sizeof got - have))) > 0)
        have += (size_t)n;
    return have;
}

static const size_t shapes[][3] = {{50000, 0, 0}, {300, 32468, 0}, {0, 16384, 16384}, {1, 16384, 2},
    {16383, 1, 1}, {20000, 0, 20000}, {1, 0, 0}};

/* One vector into a socket that takes `room` bytes at first, and `more` after each edge. */
static void write_through(struct tls_link *l, const size_t shape[3], size_t room, size_t more)
{
    struct iovec iov[3];
    size_t total = 0, taken = 0, have = 0, n;
    for (int i = 0; i < 3; i++) {
        iov[i] = (struct iovec){sent + total, shape[i]};
        total += shape[i];
    }
    sock.room = room;
    for (unsigned turns = 0; have < total; turns++) {
        assert_true(turns < 100000);
        enum sp_rc rc = SP_OK;
        while (taken < total && rc == SP_OK) {
            rc = sp_transport_writev(l->t, iov, 3, &n);
            assert_true(rc == SP_OK ? n > 0 : rc == SP_AGAIN && n == 0);
            assert_false(sock.waits);
            taken += n;
            for (int i = 0; i < 3; i++) {
                size_t gone = n < iov[i].iov_len ? n : iov[i].iov_len;
                iov[i].iov_base = (char *)iov[i].iov_base + gone;
                iov[i].iov_len -= gone;
                n -= gone;
            }
        }
        rc = sp_transport_flush(l->t);
        assert_int_not_equal(rc, SP_FAIL);
        assert_false(sock.waits);
        have = receive(l, have);
        assert_true(have <= taken);
        assert_true(rc != SP_OK || have == taken);
        sock.room = more;
        tls_ready(l->t);
    }
    assert_int_equal(have, total);
    assert_memory_equal(got, sent, total);
}

static void test_a_socket_may_be_full_after_any_byte(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l;
        open_link(&l, versions[v], TLSEXT_max_fragment_length_DISABLED);
        for (size_t s = 0; s < SP_COUNTOF(shapes); s++) {
            for (size_t record = 0; record < 3; record++) { /* around the seams of records, each byte */
                for (size_t room = record * 16384; room < record * 16384 + 100; room++)
                    write_through(&l, shapes[s], room, SIZE_MAX);
            }
            for (size_t room = 100; room < 51000; room += 997)
                write_through(&l, shapes[s], room, room);
        }
        close_link(&l);
    }
}

static void test_a_socket_may_take_a_few_bytes_at_a_time(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l;
        open_link(&l, versions[v], TLSEXT_max_fragment_length_DISABLED);
        for (size_t s = 0; s < SP_COUNTOF(shapes); s++)
            write_through(&l, shapes[s], 0, 61);
        close_link(&l);
    }
}

static void test_a_client_that_asked_for_small_records_gets_them(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l;
        open_link(&l, versions[v], TLSEXT_max_fragment_length_512);
        for (size_t s = 0; s < SP_COUNTOF(shapes); s++) {
            for (size_t room = 0; room < 40000; room += 1499)
                write_through(&l, shapes[s], room, room + 700);
        }
        close_link(&l);
    }
}

static void test_records_of_one_write_are_announced_but_the_last(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        unsigned records;
    } writes[] = {{1, 1}, {16384, 1}, {16385, 2}, {32768, 2}, {49152, 3}};
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l;
        open_link(&l, versions[v], TLSEXT_max_fragment_length_DISABLED);
        for (size_t i = 0; i < SP_COUNTOF(writes); i++) {
            struct iovec iov = {sent, writes[i].len};
            size_t n;
            sock.room = SIZE_MAX;
            sock.sends = sock.announced = 0;
            assert_int_equal(sp_transport_writev(l.t, &iov, 1, &n), SP_OK);
            assert_int_equal(n, writes[i].len);
            assert_int_equal(sock.sends, writes[i].records);
            assert_int_equal(sock.announced, writes[i].records - 1);
            assert_false(sock.waits);
            assert_int_equal(receive(&l, 0), n);
        }
        close_link(&l);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)((i * 31 + i / 251) % 256);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_socket_may_be_full_after_any_byte),
        cmocka_unit_test(test_a_socket_may_take_a_few_bytes_at_a_time),
        cmocka_unit_test(test_a_client_that_asked_for_small_records_gets_them),
        cmocka_unit_test(test_records_of_one_write_are_announced_but_the_last),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
