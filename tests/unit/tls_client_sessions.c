/* TLS towards a backend that is known already: sessions that are resumed, and clients that take the place of others. */
#include "tls/client_impl.h"
#include "tls_client_rig.h"

/* ---- coming back ---- */

/* One connection, closed again. Whether it was resumed. */
static bool visit(struct server *s, struct sp_tls_client *c, struct sp_tls_saved *saved)
{
    struct link l;
    connect_to(&l, s, c, "billing.internal", saved);
    if (l.rc != SP_OK)
        fail_msg("%s", l.err.text);
    talk(&l);
    bool resumed = sp_tls_client_is_resumed(l.t);
    assert_int_equal(resumed, SSL_session_reused(l.server));
    close_link(&l);
    return resumed;
}

static void test_a_session_is_resumed_while_what_was_verified_holds(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct server s;
        struct sp_tls_saved saved = {0};
        struct ours o = make(&(struct plan){.crl = crl_of("resume.crl", &pki.root, NULL, FIX_DAY)});
        serve(&s, &pki.named, NULL, versions[v]);
        assert_false(visit(&s, o.client, &saved));
        int64_t until = saved.until;
        assert_non_null(saved.session);
        assert_true(until > sp_wall_s() && until <= sp_wall_s() + FIX_DAY); /* the CRL ends first */
        assert_true(visit(&s, o.client, &saved));
        assert_true(visit(&s, o.client, &saved));
        assert_int_equal(saved.until, until); /* nothing is prolonged */
        saved.until = sp_wall_s();
        assert_false(visit(&s, o.client, &saved));
        sp_tls_saved_forget(&saved);
        assert_null(saved.session);
        assert_false(visit(&s, o.client, NULL));
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static void test_a_session_is_resumed_by_the_very_client_that_made_it(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct server s;
        struct sp_tls_saved saved = {0};
        struct ours o = make(&(struct plan){0});
        serve(&s, &pki.named, NULL, versions[v]);
        assert_false(visit(&s, o.client, &saved));
        struct sp_tls_client *copy = sp_tls_client_copy(o.client);
        assert_non_null(copy);
        assert_false(visit(&s, copy, &saved));
        assert_true(visit(&s, copy, &saved));
        sp_tls_client_free(copy); /* the session keeps it */
        assert_false(visit(&s, o.client, &saved));
        sp_tls_saved_forget(&saved);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static void test_a_session_of_a_handshake_that_failed_is_not_kept(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct server s;
        struct link l;
        struct sp_tls_saved saved = {0};
        struct ours o = make(&(struct plan){.name = "ledger.internal"});
        serve(&s, &pki.named, NULL, versions[v]);
        connect_to(&l, &s, o.client, "billing.internal", &saved);
        assert_int_equal(l.rc, SP_FAIL);
        assert_null(saved.session);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static void test_what_a_new_crl_says_is_known_to_the_client_that_is_made_with_it(void **state)
{
    (void)state;
    struct server s;
    struct link l;
    struct sp_tls_saved saved = {0};
    struct sp_diags diags = {0};
    struct ours o = make(&(struct plan){.crl = crl_of("turn.crl", &pki.root, NULL, FIX_DAY)});
    serve(&s, &pki.named, NULL, 0);
    assert_false(visit(&s, o.client, &saved));
    struct sp_tls_client *again = sp_tls_client_renew_crls(o.client, shelf, &diags);
    assert_true(again != NULL && sp_tls_client_is_same(again, o.client));
    sp_tls_client_free(again);

    (void)crl_of("turn.crl", &pki.root, &pki.named, FIX_DAY);
    again = sp_tls_client_renew_crls(o.client, shelf, &diags);
    assert_non_null(again);
    assert_false(sp_tls_client_is_same(again, o.client));
    connect_to(&l, &s, again, "billing.internal", &saved);
    assert_int_equal(l.rc, SP_FAIL);
    assert_non_null(strstr(l.err.text, "revoked"));
    close_link(&l);
    sp_tls_client_free(again);
    sp_tls_saved_forget(&saved);
    sp_diags_free(&diags);
    SSL_CTX_free(s.ctx);
    drop(&o);
}

static void test_a_connection_that_is_detached_goes_on_without_what_it_was_judged_by(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct server s;
        struct link l;
        struct sp_tls_saved saved = {0};
        struct ours o = make(&(struct plan){0});
        serve(&s, &pki.named, NULL, versions[v]);
        connect_to(&l, &s, o.client, "billing.internal", &saved);
        assert_int_equal(l.rc, SP_OK);
        sp_tls_saved_forget(&saved);
        assert_int_equal(atomic_load(&o.client->refs), 2);
        for (int i = 0; i < 2; i++) {
            sp_tls_client_conn_detach(l.t);
            assert_int_equal(atomic_load(&o.client->refs), 1);
        }
        drop(&o);
        talk(&l); /* with TLS 1.3 tickets come along */
        assert_null(saved.session);
        close_link(&l);
        SSL_CTX_free(s.ctx);
    }
}

static void test_two_clients_are_the_same_when_they_judge_and_show_alike(void **state)
{
    (void)state;
    struct sp_config_certificate files = our_files();
    const char *other_ca = fix_write_certs("other-root.pem", &pki.other_root.cert, 1);
    const char *crl = crl_of("same.crl", &pki.root, NULL, FIX_DAY);
    const struct plan plain = {.name = "a.example"};
    const struct {
        struct plan plan;
        bool same;
    } cases[] = {
        {plain, true},
        {{.name = "b.example"}, false},
        {{0}, false},
        {{.name = "a.example", .uri = "spiffe://x/y"}, false},
        {{.name = "a.example", .sni = "b.example"}, false},
        {{.name = "a.example", .ca = other_ca}, false},
        {{.name = "a.example", .crl = crl, .may_lack_crl = true}, false},
        {{.name = "a.example", .min = SP_TLS_1_3}, false},
        {{.name = "a.example", .unverified = true}, false},
        {{.name = "a.example", .certificate = &files}, false},
    };
    struct ours o = make(&plain);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct ours other = make(&cases[i].plan), twin = make(&cases[i].plan);
        assert_int_equal(sp_tls_client_is_same(o.client, other.client), cases[i].same);
        assert_int_equal(sp_tls_client_is_same(other.client, o.client), cases[i].same);
        assert_true(sp_tls_client_is_same(other.client, twin.client));
        drop(&other);
        drop(&twin);
    }
    drop(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_is_resumed_while_what_was_verified_holds),
        cmocka_unit_test(test_a_session_is_resumed_by_the_very_client_that_made_it),
        cmocka_unit_test(test_a_session_of_a_handshake_that_failed_is_not_kept),
        cmocka_unit_test(test_what_a_new_crl_says_is_known_to_the_client_that_is_made_with_it),
        cmocka_unit_test(test_a_connection_that_is_detached_goes_on_without_what_it_was_judged_by),
        cmocka_unit_test(test_two_clients_are_the_same_when_they_judge_and_show_alike),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
