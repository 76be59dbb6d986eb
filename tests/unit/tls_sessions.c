/* The sessions that we keep: how many, which go first, for how long, from several threads; and what a client can and
 * cannot do with the name of one. Who is let in by one: tls_resume.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/base/clock.h"
#include "tls/tls_private.h"
#include "tls_fixture.h"

/* ---- the table ---- */

static const unsigned char *id_of(uint64_t n)
{
    static _Thread_local unsigned char id[SESSION_ID];
    memcpy(id, &n, sizeof n); /* many of them in one bucket */
    memcpy(id + 24, &n, sizeof n);
    id[0] &= 3;
    return id;
}

static struct family *family(void)
{
    char bytes[64] = "\1"; /* no policy, time, name or chain */
    struct family *f = family_new((struct sp_slice){bytes, 1 + 32 + 8 + 1 + 1});
    assert_non_null(f);
    return f;
}

static void put(struct sp_sessions *s, struct family *f, uint64_t n, int64_t now, int64_t until)
{
    SSL_SESSION *session = SSL_SESSION_new();
    assert_int_equal(SSL_SESSION_set1_id(session, id_of(n), SESSION_ID), 1);
    sessions_put(s, session, f, now, until);
    SSL_SESSION_free(session);
}

static void put_alone(struct sp_sessions *s, uint64_t n, int64_t now, int64_t until)
{
    struct family *f = family();
    put(s, f, n, now, until);
    family_free(f);
}

static bool has(struct sp_sessions *s, uint64_t n, int64_t now)
{
    struct family *f;
    unsigned len;
    SSL_SESSION *session = sessions_find(s, id_of(n), SESSION_ID, now, &f);
    assert_int_equal(f != NULL, session != NULL);
    if (session != NULL)
        assert_memory_equal(SSL_SESSION_get_id(session, &len), id_of(n), SESSION_ID);
    SSL_SESSION_free(session);
    family_free(f);
    return session != NULL;
}

static struct sp_sessions *room_for(size_t max)
{
    struct sp_sessions *s = sp_sessions_new();
    assert_non_null(s);
    sp_sessions_set_max(s, max);
    return s;
}

static void test_when_it_is_full_the_oldest_goes_and_is_counted(void **state)
{
    (void)state;
    struct sp_sessions *s = room_for(100);
    for (uint64_t n = 0; n < 250; n++) {
        put_alone(s, n, 1000, 2000);
        assert_int_equal(sp_sessions_count(s), n < 100 ? n + 1 : 100);
    }
    assert_int_equal(sp_sessions_evicted(s), 150);
    for (uint64_t n = 0; n < 260; n++)
        assert_int_equal(has(s, n, 1000), n >= 150 && n < 250);
    sp_sessions_free(s);
}

static void test_what_is_past_its_time_is_not_found_and_makes_room(void **state)
{
    (void)state;
    struct sp_sessions *s = room_for(10);
    for (uint64_t n = 0; n < 10; n++)
        put_alone(s, n, 1000, 1000 + (int64_t)n);
    assert_int_equal(sp_sessions_count(s), 9); /* the first had no time at all */
    assert_false(has(s, 0, 1000));
    assert_true(has(s, 5, 1004));
    assert_false(has(s, 5, 1005));
    put_alone(s, 20, 1005, 3000);
    assert_int_equal(sp_sessions_count(s), 5);
    assert_int_equal(sp_sessions_evicted(s), 0);
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(has(s, n, 1005), n > 5);
    assert_true(has(s, 20, 1005));
    sp_sessions_free(s);
}

static void test_one_client_that_comes_back_all_the_time_drives_nobody_out(void **state)
{
    (void)state;
    struct sp_sessions *s = room_for(100);
    struct family *busy = family();
    for (uint64_t n = 0; n < 20; n++)
        put_alone(s, 10000 + n, 1000, 2000);
    for (uint64_t n = 0; n < 5000; n++)
        put(s, busy, n, 1000, 2000);
    assert_int_equal(sp_sessions_count(s), 20 + 32);
    assert_int_equal(sp_sessions_evicted(s), 0);
    for (uint64_t n = 0; n < 20; n++)
        assert_true(has(s, 10000 + n, 1000));
    assert_true(has(s, 5000 - 32, 1000)); /* it has its newest */
    assert_false(has(s, 5000 - 33, 1000));
    sp_sessions_free(s);
    family_free(busy); /* it may be the last to go */
}

static void test_another_bound_holds_at_once(void **state)
{
    (void)state;
    static const size_t bounds[] = {1000, 10, 5000, 1, 0, 70, 64, 65};
    struct sp_sessions *s = sp_sessions_new();
    put_alone(s, 1, 1000, 2000);
    assert_int_equal(sp_sessions_count(s), 0); /* none as long as nobody says how many */
    uint64_t n = 0;
    for (size_t i = 0; i < SP_COUNTOF(bounds); i++) {
        size_t max = bounds[i];
        sp_sessions_set_max(s, max);
        assert_true(sp_sessions_count(s) <= max);
        for (size_t left = sp_sessions_count(s); left > 0; left--)
            assert_true(has(s, n - left, 1000)); /* the newest, in a table of another size */
        for (size_t k = 0; k < 300; k++)
            put_alone(s, n++, 1000, 2000);
        assert_true(sp_sessions_count(s) <= max && (max > 300 || sp_sessions_count(s) == max));
    }
    assert_false(has(s, n - 66, 1000));
    assert_true(has(s, n - 65, 1000));
    sp_sessions_free(s);
}

static void test_only_the_whole_id_finds_a_session(void **state)
{
    (void)state;
    struct sp_sessions *s = room_for(10);
    struct family *f;
    put_alone(s, 7, 1000, 2000);
    put_alone(s, 7, 1000, 2000); /* as no random bytes are */
    assert_int_equal(sp_sessions_count(s), 1);
    for (size_t i = 0; i < SESSION_ID; i++) {
        unsigned char id[SESSION_ID];
        memcpy(id, id_of(7), SESSION_ID);
        id[i] ^= 0x80;
        assert_null(sessions_find(s, id, SESSION_ID, 1000, &f));
        assert_null(f);
        assert_null(sessions_find(s, id_of(7), i, 1000, &f));
    }
    SSL_SESSION *nameless = SSL_SESSION_new();
    struct family *own = family();
    sessions_put(s, nameless, own, 1000, 2000);
    assert_int_equal(sp_sessions_count(s), 1);
    SSL_SESSION_free(nameless);
    family_free(own);
    sp_sessions_free(s);
}

#define ROUNDS 4000

static void *put_and_find(void *arg)
{
    struct sp_sessions *s = arg; /* one reference */
    static atomic_uint next;
    uint64_t mine = (uint64_t)(atomic_fetch_add(&next, 1) + 1) << 32;
    struct family *f = NULL;
    for (uint64_t n = 0; n < ROUNDS; n++) {
        if (n % 8 == 0) {
            family_free(f);
            f = family();
        }
        put(s, f, mine + n, (int64_t)(1000 + n / 100), (int64_t)(1010 + n / 100));
        (void)has(s, mine + n / 2, 1000);
        (void)has(s, (mine ^ (UINT64_C(3) << 32)) + n, 1000); /* the other's */
        if (n % 500 == 0)
            sp_sessions_set_max(s, 100 + n % 1000);
    }
    family_free(f);
    sp_sessions_free(s);
    return NULL;
}

static void test_several_threads_may_use_it_at_once(void **state)
{
    (void)state;
    struct sp_sessions *s = room_for(100);
    pthread_t threads[2];
    for (size_t i = 0; i < SP_COUNTOF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_find, sp_sessions_ref(s)), 0);
    sp_sessions_free(s); /* whoever is last frees it */
    for (size_t i = 0; i < SP_COUNTOF(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- clients ---- */

static struct tls_pki pki;
static struct sp_config_certificate site;
static struct sp_sessions *sessions;
static struct tls_plan plan;
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

static int begin(void **state)
{
    (void)state;
    sessions = room_for(100);
    plan = (struct tls_plan){.min = SP_TLS_1_2,
        .tickets = {.count = 1, .lifetime_ms = 3600000},
        .sessions = sessions,
        .hosts[0] = {.certs = &site, .cert_count = 1}};
    return 0;
}

static int end(void **state)
{
    (void)state;
    sp_sessions_free(sessions);
    return 0;
}

static struct tls_client client(int version, SSL_SESSION *session)
{
    return (struct tls_client){.cert = &pki.good, .min = version, .max = version, .session = session};
}

/* Shows a copy: OpenSSL's client does not want one to be shown twice. */
static struct tls_link visit(struct tls_end *e, int version, SSL_SESSION *session)
{
    struct tls_link l;
    SSL_SESSION *copy = session != NULL ? SSL_SESSION_dup(session) : NULL;
    struct tls_client c = client(version, copy);
    tls_link_open(&l, e, &c);
    tls_link_shake(&l, &c);
    SSL_SESSION_free(copy);
    return l;
}

/* What a client has after a full handshake; its connection is over, abruptly. To be given back with SSL_SESSION_free. */
static SSL_SESSION *session_of(struct tls_end *e, int version)
{
    struct tls_link l = visit(e, version, NULL);
    assert_int_equal(l.rc, SP_OK);
    assert_false(sp_tls_is_resumed(l.t));
    SSL_SESSION *session = l.session;
    assert_non_null(session);
    l.session = NULL;
    tls_link_free(&l);
    return session;
}

static void assert_visit(struct tls_end *e, int version, SSL_SESSION *session, bool resumes)
{
    struct tls_link l = visit(e, version, session);
    if (l.rc != SP_OK)
        fail_msg("%s %s", sp_refusal_name(l.refusal.reason), l.refusal.detail);
    assert_int_equal(sp_tls_is_resumed(l.t), resumes);
    tls_link_free(&l);
}

static void test_a_session_can_be_shown_again_and_by_several_at_once(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_end e = tls_end_plan(&pki, &plan), other_gate = tls_end_plan(&pki, &plan);
        SSL_SESSION *session = session_of(&e, versions[v]);
        struct tls_link all[4];
        for (size_t i = 0; i < SP_COUNTOF(all); i++) {
            all[i] = visit(i % 2 ? &other_gate : &e, versions[v], session);
            assert_int_equal(all[i].rc, SP_OK);
            assert_true(sp_tls_is_resumed(all[i].t));
        }
        for (size_t i = 0; i < SP_COUNTOF(all); i++)
            tls_link_free(&all[i]);
        tls_end_free(&e);
        assert_visit(&other_gate, versions[v], session, true); /* its gate is gone */
        SSL_SESSION_free(session);
        tls_end_free(&other_gate);
    }
}

static void test_an_id_is_all_that_a_client_is_given(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        SSL_SESSION *session = session_of(&e, versions[v]);
        const unsigned char *ticket = NULL;
        size_t len = 0;
        unsigned id_len;
        SSL_SESSION_get0_ticket(session, &ticket, &len);
        (void)SSL_SESSION_get_id(session, &id_len);
        assert_int_equal(versions[v] == TLS1_3_VERSION ? len : id_len, SESSION_ID);
        if (versions[v] == TLS1_2_VERSION)
            assert_int_equal(len, 0);
        SSL_SESSION_free(session);
    }
    tls_end_free(&e);
}

static void test_a_forged_id_leads_to_a_full_handshake(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan), other;
    SSL_SESSION *session = session_of(&e, TLS1_2_VERSION);
    unsigned len;
    unsigned char id[SESSION_ID];
    memcpy(id, SSL_SESSION_get_id(session, &len), SESSION_ID);
    id[31] ^= 1;
    SSL_SESSION_set1_id(session, id, SESSION_ID);
    assert_visit(&e, TLS1_2_VERSION, session, false);
    SSL_SESSION_free(session);
    struct sp_sessions *others = room_for(10);
    plan.sessions = others; /* another process */
    other = tls_end_plan(&pki, &plan);
    session = session_of(&other, TLS1_3_VERSION);
    assert_visit(&e, TLS1_3_VERSION, session, false);
    SSL_SESSION_free(session);
    tls_end_free(&other);
    tls_end_free(&e);
    sp_sessions_free(others);
}

/* Knows the id from the wire, not the secret. */
static void test_who_shows_a_stolen_id_is_refused_and_spoils_nothing(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    static const unsigned char wrong[SSL_MAX_MASTER_KEY_LENGTH] = "wrong";
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        SSL_SESSION *session = session_of(&e, versions[v]), *stolen = SSL_SESSION_dup(session);
        size_t len = SSL_SESSION_get_master_key(session, NULL, 0);
        assert_int_equal(SSL_SESSION_set1_master_key(stolen, wrong, len), 1);
        struct tls_link l = visit(&e, versions[v], stolen);
        assert_int_equal(l.rc, SP_FAIL);
        /* Of TLS 1.2 our Finished is the first that is sealed: it is the client that notices. */
        if (l.refusal.reason !=
            (versions[v] == TLS1_2_VERSION ? SP_REFUSAL_client_alert : SP_REFUSAL_tls_error))
            fail_msg("%s %s", sp_refusal_name(l.refusal.reason), l.refusal.detail);
        tls_link_free(&l);
        assert_visit(&e, versions[v], session, true);
        SSL_SESSION_free(stolen);
        SSL_SESSION_free(session);
    }
    tls_end_free(&e);
}

static void test_a_connection_that_ends_abruptly_does_not_spoil_its_session(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l = visit(&e, versions[v], NULL);
        char byte;
        size_t n;
        assert_int_equal(l.rc, SP_OK);
        close(l.fd);
        l.fd = -1;
        tls_ready(l.t);
        assert_int_equal(sp_transport_read(l.t, &byte, 1, &n), SP_FAIL); /* TCP's end without TLS's */
        SSL_SESSION *session = l.session;
        l.session = NULL;
        tls_link_free(&l);
        assert_visit(&e, versions[v], session, true);
        SSL_SESSION_free(session);
    }
    tls_end_free(&e);
}

static void test_a_fatal_alert_ends_the_session_as_well(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_link l = visit(&e, versions[v], NULL);
        char byte;
        size_t n;
        assert_int_equal(l.rc, SP_OK);
        static const char noise[] = "\x17\3\3\0\x20this is no record of anybody's.."; /* bad_record_mac */
        assert_int_equal(send(l.fd, noise, sizeof noise - 1, MSG_NOSIGNAL), sizeof noise - 1);
        tls_ready(l.t);
        assert_int_equal(sp_transport_read(l.t, &byte, 1, &n), SP_FAIL);
        SSL_SESSION *session = l.session;
        l.session = NULL;
        tls_link_free(&l);
        assert_visit(&e, versions[v], session, false);
        SSL_SESSION_free(session);
    }
    tls_end_free(&e);
}

static void test_who_was_not_let_in_leaves_no_session(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    const struct fix_cert *who[] = {NULL, &pki.stranger, &pki.expired, &pki.hostile};
    for (size_t i = 0; i < SP_COUNTOF(who) * SP_COUNTOF(versions); i++) {
        struct tls_client c = client(versions[i % 2], NULL);
        struct tls_link l;
        c.cert = who[i / 2];
        tls_link_open(&l, &e, &c);
        tls_link_shake(&l, &c);
        assert_int_equal(l.rc, SP_FAIL);
        tls_link_free(&l);
        assert_int_equal(sp_sessions_count(sessions), 0);
    }
    tls_end_free(&e);
}

static void test_a_client_whose_session_had_to_go_does_a_full_handshake_and_gets_another(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    sp_sessions_set_max(sessions, 2);
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        SSL_SESSION *all[3];
        for (size_t i = 0; i < 3; i++)
            all[i] = session_of(&e, versions[v]);
        assert_int_equal(sp_sessions_count(sessions), 2);
        assert_visit(&e, versions[v], all[2], true);
        struct tls_link l = visit(&e, versions[v], all[0]);
        assert_int_equal(l.rc, SP_OK);
        assert_false(sp_tls_is_resumed(l.t));
        assert_visit(&e, versions[v], l.session, true);
        tls_link_free(&l);
        for (size_t i = 0; i < 3; i++)
            SSL_SESSION_free(all[i]);
    }
    tls_end_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when_it_is_full_the_oldest_goes_and_is_counted),
        cmocka_unit_test(test_what_is_past_its_time_is_not_found_and_makes_room),
        cmocka_unit_test(test_one_client_that_comes_back_all_the_time_drives_nobody_out),
        cmocka_unit_test(test_another_bound_holds_at_once),
        cmocka_unit_test(test_only_the_whole_id_finds_a_session),
        cmocka_unit_test(test_several_threads_may_use_it_at_once),
        cmocka_unit_test_setup_teardown(test_a_session_can_be_shown_again_and_by_several_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_an_id_is_all_that_a_client_is_given, begin, end),
        cmocka_unit_test_setup_teardown(test_a_forged_id_leads_to_a_full_handshake, begin, end),
        cmocka_unit_test_setup_teardown(test_who_shows_a_stolen_id_is_refused_and_spoils_nothing, begin, end),
        cmocka_unit_test_setup_teardown(
            test_a_connection_that_ends_abruptly_does_not_spoil_its_session, begin, end),
        cmocka_unit_test_setup_teardown(test_a_fatal_alert_ends_the_session_as_well, begin, end),
        cmocka_unit_test_setup_teardown(test_who_was_not_let_in_leaves_no_session, begin, end),
        cmocka_unit_test_setup_teardown(
            test_a_client_whose_session_had_to_go_does_a_full_handshake_and_gets_another, begin, end),
    };
    return cmocka_run_group_tests_name("tls_sessions", tests, set_up, tear_down);
}
