/* An open TLS connection as a transport: bytes both ways however they are cut, blocked peers, ends, and what a
 * peer may send beside data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/io/transport.h"
#include "tls_fixture.h"

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

/* An open connection of that version; the server and its trust are gone already, as after a reload. */
static void open_link(struct tls_link *l, int version, struct sp_slice early)
{
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, &site, 1);
    struct tls_client c = {.cert = &pki.good, .min = version, .max = version, .early = early};
    tls_link_open(l, &e, &c);
    tls_link_shake(l, &c);
    assert_int_equal(l->rc, SP_OK);
    assert_true(l->client_done);
    tls_end_free(&e);
}

static char pattern(size_t at)
{
    return (char)((at * 31 + at / 251) % 256);
}

static void test_a_request_that_came_with_the_last_handshake_message_needs_no_edge(void **state)
{
    (void)state;
    struct tls_link l;
    open_link(&l, TLS1_3_VERSION, SP_SLICE("GET / HTTP/1.1\r\n\r\n"));
    char buf[64];
    size_t n;
    assert_true(l.t->can_read);
    assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_OK);
    assert_int_equal(n, 18);
    assert_memory_equal(buf, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_AGAIN);
    tls_link_free(&l);
}

static void read_all(int version, size_t total, size_t record, size_t room)
{
    struct tls_link l;
    open_link(&l, version, (struct sp_slice){0});
    static char sent[60000], got[60000], buf[100000];
    assert_true(total <= sizeof sent);
    for (size_t i = 0; i < total; i++)
        sent[i] = pattern(i);
    for (size_t at = 0; at < total; at += record) {
        size_t len = total - at < record ? total - at : record;
        assert_int_equal(SSL_write(l.client, sent + at, (int)len), len);
    }
    tls_link_carry(&l);
    assert_int_equal(BIO_pending(l.from_client), 0);
    tls_ready(l.t); /* one edge for all of it */
    size_t sum = 0, n;
    enum sp_rc rc;
    while ((rc = sp_transport_read(l.t, buf, room, &n)) == SP_OK) {
        assert_true(n > 0 && n <= room && sum + n <= total);
        memcpy(got + sum, buf, n);
        sum += n;
    }
    assert_int_equal(rc, SP_AGAIN);
    assert_false(l.t->can_read);
    assert_int_equal(sum, total);
    assert_memory_equal(got, sent, total);
    tls_link_free(&l);
}

static void test_reading_gives_every_byte_before_it_says_again(void **state)
{
    (void)state;
    static const size_t rooms[] = {1, 100, 16384, 20000, 100000};
    static const struct {
        size_t total, record;
    } loads[] = {{60000, 60000}, {5000, 5000}, {5000, 50}, {100, 100}};
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (size_t r = 0; r < SP_COUNTOF(rooms); r++) {
            for (size_t i = 0; i < SP_COUNTOF(loads); i++)
                read_all(versions[v], loads[i].total, loads[i].record, rooms[r]);
        }
    }
}

/* Everything that the client has for its application. */
static size_t client_reads(struct tls_link *l, char *out, size_t room)
{
    size_t total = 0;
    int n;
    while (total < room && (n = SSL_read(l->client, out + total, (int)(room - total))) > 0)
        total += (size_t)n;
    return total;
}

static void test_a_blocked_peer_gets_every_byte_in_the_end(void **state)
{
    (void)state;
    enum { TOTAL = 3000000 };
    static char sent[TOTAL], got[TOTAL];
    for (size_t i = 0; i < TOTAL; i++)
        sent[i] = pattern(i);
    /* how a write's bytes lie: pieces of a vector, cyclically */
    static const size_t shapes[][3] = {
        {TOTAL, 0, 0}, {200, 20000, 5}, {1, 16383, 1}, {100, 0, 300}, {16384, 1, 16385}};
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (size_t s = 0; s < SP_COUNTOF(shapes); s++) {
            struct tls_link l;
            open_link(&l, versions[v], (struct sp_slice){0});
            size_t at = 0, received = 0, blocked = 0, n;
            while (received < TOTAL) {
                enum sp_rc rc = SP_OK;
                while (at < TOTAL && rc == SP_OK) {
                    struct iovec iov[3];
                    size_t from = at;
                    for (size_t i = 0; i < 3; i++) {
                        size_t len = shapes[s][i] < TOTAL - from ? shapes[s][i] : TOTAL - from;
                        iov[i] = (struct iovec){sent + from, len};
                        from += len;
                    }
                    rc = sp_transport_writev(l.t, iov, 3, &n);
                    assert_true(rc == SP_OK ? n > 0 && n <= from - at : n == 0);
                    at += n;
                }
                assert_int_not_equal(rc, SP_FAIL);
                if (rc == SP_AGAIN) {
                    assert_false(l.t->can_write);
                    blocked++;
                }
                tls_link_carry(&l);
                received += client_reads(&l, got + received, TOTAL - received);
                tls_ready(l.t);
                if (at == TOTAL)
                    assert_int_not_equal(sp_transport_flush(l.t), SP_FAIL);
            }
            assert_true(blocked > 0);
            assert_int_equal(sp_transport_flush(l.t), SP_OK);
            assert_memory_equal(got, sent, TOTAL);
            tls_link_free(&l);
        }
    }
}

static void test_what_was_taken_but_not_sent_is_flushed_before_the_end(void **state)
{
    (void)state;
    static char block[16384], got[1 << 20];
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l;
        open_link(&l, versions[v], (struct sp_slice){0});
        struct iovec iov = {block, sizeof block};
        size_t n, taken = 0, received = 0;
        while (sp_transport_writev(l.t, &iov, 1, &n) == SP_OK)
            taken += n;
        assert_int_equal(sp_transport_flush(l.t), SP_AGAIN);
        assert_int_equal(sp_transport_shutdown(l.t), SP_AGAIN);
        enum sp_rc rc;
        do {
            tls_link_carry(&l);
            received += client_reads(&l, got, sizeof got);
            tls_ready(l.t);
            rc = sp_transport_shutdown(l.t);
        } while (rc == SP_AGAIN);
        assert_int_equal(rc, SP_OK);
        tls_link_carry(&l);
        received += client_reads(&l, got, sizeof got);
        assert_int_equal(received, taken);
        assert_int_equal(SSL_get_shutdown(l.client), SSL_RECEIVED_SHUTDOWN);
        assert_true(l.server_ended);
        tls_link_free(&l);
    }
}

static void test_data_and_close_notify_then_a_lasting_end(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l;
        open_link(&l, versions[v], (struct sp_slice){0});
        assert_int_equal(SSL_write(l.client, "last", 4), 4);
        assert_int_equal(SSL_shutdown(l.client), 0);
        tls_link_carry(&l);
        tls_ready(l.t);
        char buf[64];
        size_t n;
        assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_OK);
        assert_int_equal(n, 4);
        assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_EOF); /* without a further edge */
        assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_EOF);
        char answer[] = "answer"; /* the other direction is still there */
        struct iovec iov = {answer, 6};
        assert_int_equal(sp_transport_writev(l.t, &iov, 1, &n), SP_OK);
        assert_int_equal(sp_transport_shutdown(l.t), SP_OK);
        tls_link_carry(&l);
        assert_int_equal(client_reads(&l, buf, sizeof buf), 6);
        assert_int_equal(SSL_get_error(l.client, SSL_read(l.client, buf, 1)), SSL_ERROR_ZERO_RETURN);
        tls_link_free(&l);
    }
}

static void test_an_end_without_close_notify_is_a_failure(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l;
        open_link(&l, versions[v], (struct sp_slice){0});
        assert_int_equal(SSL_write(l.client, "part", 4), 4);
        tls_link_carry(&l);
        close(l.fd);
        l.fd = -1;
        sp_transport_ready(l.t, SP_EV_READ | SP_EV_CLOSED);
        char buf[64];
        size_t n;
        assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_OK);
        assert_int_equal(n, 4);
        assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_FAIL);
        assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_FAIL);
        struct iovec iov = {buf, 1};
        assert_int_equal(sp_transport_writev(l.t, &iov, 1, &n), SP_FAIL);
        tls_link_free(&l);
    }
}

/* It answered, did not read what came to it, and closed: a reset, which the next write is told of. */
static void test_what_came_before_a_write_failed_is_read_to_its_end(void **state)
{
    (void)state;
    static const struct {
        bool is_complete, carries_on; /* with close_notify; writing goes on behind the failure */
        enum sp_rc end;
    } cases[] = {
        {true, false, SP_EOF}, {true, true, SP_EOF}, {false, false, SP_FAIL}, {false, true, SP_FAIL}};
    for (size_t i = 0; i < SP_COUNTOF(cases) * SP_COUNTOF(versions); i++) {
        struct tls_link l;
        char answer[4000] = "413", got[1000], body[] = "never read";
        struct iovec iov = {body, sizeof body};
        size_t n;
        open_link(&l, versions[i / SP_COUNTOF(cases)], (struct sp_slice){0});
        assert_int_equal(sp_transport_writev(l.t, &iov, 1, &n), SP_OK);
        assert_int_equal(SSL_write(l.client, answer, sizeof answer), sizeof answer);
        if (cases[i % SP_COUNTOF(cases)].is_complete)
            assert_true(SSL_shutdown(l.client) >= 0);
        char sent[8192];
        int len = BIO_read(l.from_client, sent, sizeof sent);
        assert_int_equal(write(l.fd, sent, (size_t)len), len);
        close(l.fd);
        l.fd = -1;
        do /* what is told of the reset, and in which call, is the kernel's */
            tls_ready(l.t);
        while (sp_transport_writev(l.t, &iov, 1, &n) == SP_OK);
        size_t whole = 0;
        enum sp_rc rc;
        while ((rc = sp_transport_read(l.t, got, sizeof got, &n)) == SP_OK) {
            assert_memory_equal(got, answer + whole, n);
            whole += n;
            if (cases[i % SP_COUNTOF(cases)].carries_on) {
                assert_int_equal(sp_transport_writev(l.t, &iov, 1, &n), SP_FAIL);
                assert_int_equal(sp_transport_flush(l.t), SP_FAIL);
                assert_int_equal(sp_transport_shutdown(l.t), SP_FAIL);
            }
        }
        assert_int_equal(whole, sizeof answer);
        assert_int_equal(rc, cases[i % SP_COUNTOF(cases)].end);
        tls_link_free(&l);
    }
}

/* Once OpenSSL has begun to answer a KeyUpdate, it reads nothing before that is out. */
static void test_nothing_is_waited_for_that_cannot_be_written_any_more(void **state)
{
    (void)state;
    struct tls_link l;
    char body[] = "never read";
    struct iovec iov = {body, sizeof body};
    size_t n;
    open_link(&l, TLS1_3_VERSION, (struct sp_slice){0});
    assert_int_equal(sp_transport_writev(l.t, &iov, 1, &n), SP_OK);
    assert_int_equal(SSL_key_update(l.client, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(l.client, "answer", 6), 6);
    char sent[8192], got[16];
    int len = BIO_read(l.from_client, sent, sizeof sent);
    assert_int_equal(write(l.fd, sent, (size_t)len), len);
    close(l.fd);
    l.fd = -1;
    tls_ready(l.t);
    assert_int_equal(sp_transport_read(l.t, got, 2, &n), SP_OK);
    while (sp_transport_writev(l.t, &iov, 1, &n) == SP_OK) {
    }
    assert_int_equal(sp_transport_read(l.t, got, sizeof got, &n), SP_FAIL);
    assert_int_equal(sp_transport_flush(l.t), SP_FAIL);
    tls_link_free(&l);
}

static void test_a_forged_record_ends_the_connection(void **state)
{
    (void)state;
    struct tls_link l;
    open_link(&l, TLS1_3_VERSION, (struct sp_slice){0});
    static const char record[] = "\x17\x03\x03\x00\x20"
                                 "0123456789abcdef0123456789abcdef";
    assert_int_equal(write(l.fd, record, sizeof record - 1), sizeof record - 1);
    tls_ready(l.t);
    char buf[64];
    size_t n;
    assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_FAIL);
    assert_int_equal(sp_transport_flush(l.t), SP_FAIL);
    tls_link_free(&l);
}

/* One KeyUpdate that asks for one in return, and a byte of data. */
static enum sp_rc update_keys(struct tls_link *l, bool carry_data)
{
    char byte = 'k';
    size_t n;
    assert_int_equal(SSL_key_update(l->client, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(carry_data ? SSL_write(l->client, &byte, 1) : SSL_do_handshake(l->client), 1);
    tls_link_carry(l);
    tls_ready(l->t);
    enum sp_rc rc = sp_transport_read(l->t, &byte, 1, &n);
    if (rc == SP_OK && carry_data)
        assert_int_equal(byte, 'k');
    tls_link_carry(l);
    char none;
    (void)SSL_peek(l->client, &none, 1); /* takes the answer */
    return rc;
}

static void test_key_updates_are_followed_but_not_without_end(void **state)
{
    (void)state;
    struct tls_link l;
    open_link(&l, TLS1_3_VERSION, (struct sp_slice){0});
    for (int i = 0; i < 50; i++)
        assert_int_equal(update_keys(&l, true), SP_OK);
    char answer[] = "still here", got[16];
    struct iovec iov = {answer, sizeof answer};
    size_t n;
    assert_int_equal(sp_transport_writev(l.t, &iov, 1, &n), SP_OK);
    tls_link_carry(&l);
    assert_int_equal(client_reads(&l, got, sizeof got), sizeof answer);
    enum sp_rc rc = SP_AGAIN;
    for (int i = 0; i < 2000 && rc == SP_AGAIN; i++)
        rc = update_keys(&l, false);
    assert_int_equal(rc, SP_FAIL);
    assert_int_equal(sp_tls_end_reason(l.t), SP_REFUSAL_too_many_key_updates);
    tls_link_free(&l);
}

static void test_keys_may_change_for_ever_where_data_flows_either_way(void **state)
{
    (void)state;
    static char data[16384], got[16384];
    struct tls_link l;
    open_link(&l, TLS1_3_VERSION, (struct sp_slice){0});
    struct iovec iov = {data, sizeof data};
    size_t n;
    for (int i = 0; i < 300; i++) {
        assert_int_equal(update_keys(&l, true), SP_OK);
        assert_int_equal(sp_transport_writev(l.t, &iov, 1, &n), SP_OK);
        assert_int_equal(n, sizeof data);
        tls_link_carry(&l);
        assert_int_equal(client_reads(&l, got, sizeof got), sizeof data);
    }
    assert_int_equal(sp_tls_end_reason(l.t), SP_REFUSAL_none);
    tls_link_free(&l);
}

static void test_a_renegotiation_is_refused_and_the_asking_is_bounded(void **state)
{
    (void)state;
    struct tls_link l;
    open_link(&l, TLS1_2_VERSION, (struct sp_slice){0});
    assert_int_equal(SSL_renegotiate(l.client), 1);
    assert_true(SSL_do_handshake(l.client) <= 0);
    tls_link_carry(&l);
    tls_ready(l.t);
    char buf[16];
    size_t n;
    assert_int_not_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_OK);
    tls_link_carry(&l);
    assert_true(SSL_do_handshake(l.client) <= 0); /* the client is told no */
    assert_int_equal(SSL_num_renegotiations(l.client), 1);
    assert_false(SSL_is_init_finished(l.client));
    tls_link_free(&l);
}

/* Every record of a handshake message is an attempt of its own to OpenSSL 3.0, which refuses each unread. From 3.2 on it
 * gathers them into one message first: that is one attempt, and its own client makes no second. */
static void test_renegotiations_cannot_be_asked_for_without_end(void **state)
{
    (void)state;
    struct tls_link l;
    static char long_ticket[60000]; /* a ClientHello of 118 records */
    bool is_one = OpenSSL_version_num() >= 0x30200000UL;
    open_link(&l, TLS1_2_VERSION, (struct sp_slice){0});
    assert_int_equal(SSL_set_max_send_fragment(l.client, 512), 1);
    assert_int_equal(SSL_set_session_ticket_ext(l.client, long_ticket, sizeof long_ticket), 1);
    assert_int_equal(SSL_renegotiate(l.client), 1);
    assert_true(SSL_do_handshake(l.client) <= 0);
    enum sp_rc rc = SP_AGAIN;
    for (int i = 0; i < 1000 && rc == SP_AGAIN; i++) {
        char buf[16];
        size_t n;
        tls_link_carry(&l);
        tls_ready(l.t);
        rc = sp_transport_read(l.t, buf, sizeof buf, &n);
    }
    assert_int_equal(rc, is_one ? SP_AGAIN : SP_FAIL);
    assert_int_equal(sp_tls_end_reason(l.t), is_one ? SP_REFUSAL_none : SP_REFUSAL_too_many_key_updates);
    tls_link_free(&l);
}

static void test_an_empty_socket_costs_no_call_until_the_next_edge(void **state)
{
    (void)state;
    struct tls_link l;
    open_link(&l, TLS1_3_VERSION, (struct sp_slice){0});
    char buf[256];
    size_t n;
    l.t->can_read = false;
    assert_int_equal(SSL_write(l.client, "one", 3), 3);
    tls_link_carry(&l);
    assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_AGAIN); /* nobody has told it */
    tls_ready(l.t);
    assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_OK);
    assert_false(l.t->can_read); /* the read was short: it is known to be empty */
    tls_link_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_that_came_with_the_last_handshake_message_needs_no_edge),
        cmocka_unit_test(test_reading_gives_every_byte_before_it_says_again),
        cmocka_unit_test(test_a_blocked_peer_gets_every_byte_in_the_end),
        cmocka_unit_test(test_what_was_taken_but_not_sent_is_flushed_before_the_end),
        cmocka_unit_test(test_data_and_close_notify_then_a_lasting_end),
        cmocka_unit_test(test_an_end_without_close_notify_is_a_failure),
        cmocka_unit_test(test_what_came_before_a_write_failed_is_read_to_its_end),
        cmocka_unit_test(test_nothing_is_waited_for_that_cannot_be_written_any_more),
        cmocka_unit_test(test_a_forged_record_ends_the_connection),
        cmocka_unit_test(test_key_updates_are_followed_but_not_without_end),
        cmocka_unit_test(test_keys_may_change_for_ever_where_data_flows_either_way),
        cmocka_unit_test(test_renegotiations_cannot_be_asked_for_without_end),
        cmocka_unit_test(test_a_renegotiation_is_refused_and_the_asking_is_bounded),
        cmocka_unit_test(test_an_empty_socket_costs_no_call_until_the_next_edge),
    };
    return cmocka_run_group_tests_name("tls_conn", tests, set_up, tear_down);
}
