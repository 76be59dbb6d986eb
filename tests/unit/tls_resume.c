/* Resumption: who comes back is judged as in a full handshake and looks the same afterwards; a session of another
 * policy, name or time, or of a client that would be refused now, leads to a full handshake. All of it twice: with
 * tickets that the client keeps, and with sessions that we keep. What only the latter have: tls_sessions.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "sallyport/base/clock.h"
#include "tls_fixture.h"

static struct tls_pki pki;
static struct fix_cert between, below; /* an intermediate, and a client of it */
static struct sp_config_certificate site_a, site_wild;
static struct sp_tickets *keys;      /* or */
static struct sp_sessions *sessions; /* never both */

static int set_up(void)
{
    tls_pki_make(&pki);
    int64_t shift = (int64_t)time(NULL) - FIX_NOW;
    struct fix_spec s = {.subject = "CN=between", .from = shift - FIX_DAY, .to = shift + FIX_DAY};
    between = fix_issue(&s, &pki.client_ca, true);
    s.subject = "CN=below";
    below = fix_issue(&s, &between, false);
    site_a = tls_files("a", &pki.site_a);
    site_wild = tls_files("wild", &pki.site_wild);
    return 0;
}

static int set_up_sealed(void **state)
{
    (void)state;
    struct sp_err err = {0};
    char line[128];
    unsigned char key[80] = "the name of this";
    EVP_EncodeBlock((unsigned char *)line, key, sizeof key);
    const char *file = fix_write_text("ticket.keys", line);
    assert_int_equal(chmod(file, 0600), 0);
    if (sp_tickets_load(file, &keys, &err) != SP_OK)
        fail_msg("%s", err.text);
    return set_up();
}

static int set_up_kept(void **state)
{
    (void)state;
    sessions = sp_sessions_new();
    assert_non_null(sessions);
    sp_sessions_set_max(sessions, 1000);
    return set_up();
}

static int tear_down(void **state)
{
    (void)state;
    sp_tickets_free(keys);
    keys = NULL;
    sp_sessions_free(sessions);
    sessions = NULL;
    fix_free(&below);
    fix_free(&between);
    tls_pki_free(&pki);
    fix_remove_folder();
    return 0;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct tls_plan one_host(void)
{
    return (struct tls_plan){.min = SP_TLS_1_2,
        .tickets = {.count = 1, .lifetime_ms = 3600000},
        .keys = keys,
        .sessions = sessions,
        .hosts[0] = {.certs = &site_a, .cert_count = 1}};
}

/* Two of another policy each, and one more name of the second's. */
static struct tls_plan two_hosts(void)
{
    struct tls_plan plan = one_host();
    plan.hosts[1] = (struct tls_host){
        .names = {"lax.test", "*.lax.test"}, .mode = SP_AUTH_OPTIONAL, .certs = &site_wild, .cert_count = 1};
    plan.host_count = 2;
    return plan;
}

static struct tls_client client(int version, const struct fix_cert *cert)
{
    return (struct tls_client){.cert = cert, .min = version, .max = version};
}

/* A whole connection; asks for `session` if there is one. */
static struct tls_link visit(struct tls_end *e, const struct tls_client *c, SSL_SESSION *session)
{
    struct tls_link l;
    struct tls_client copy = *c;
    copy.session = session;
    tls_link_open(&l, e, &copy);
    tls_link_shake(&l, &copy);
    return l;
}

/* What a client has after a full handshake. To be given back with SSL_SESSION_free. */
static SSL_SESSION *session_of(struct tls_end *e, const struct tls_client *c)
{
    struct tls_link l = visit(e, c, NULL);
    if (l.rc != SP_OK)
        fail_msg("%s %s", sp_refusal_name(l.refusal.reason), l.refusal.detail);
    assert_false(sp_tls_is_resumed(l.t));
    SSL_SESSION *session = l.session;
    if (session == NULL || !SSL_SESSION_is_resumable(session))
        fail_msg("no session that could be resumed");
    l.session = NULL;
    tls_link_free(&l);
    return session;
}

/* ---- what is resumed ---- */

static void assert_same(const struct sp_identity *a, const struct sp_identity *b)
{
    assert_true(sp_slice_equal(a->subject, b->subject));
    assert_true(sp_slice_equal(a->client_cert, b->client_cert));
    assert_true(sp_slice_equal(a->client_cert_chain, b->client_cert_chain));
    assert_true(sp_slice_equal(a->sha256_hex, b->sha256_hex));
}

static void test_a_resumed_client_looks_as_after_its_full_handshake(void **state)
{
    (void)state;
    struct tls_plan plan = one_host();
    for (size_t i = 0; i < 4; i++) {
        struct tls_end e = tls_end_plan(&pki, &plan);
        struct tls_client c = client(versions[i % 2], &below);
        c.above = &between;
        c.sni = "a.test";
        struct tls_link first = visit(&e, &c, NULL);
        assert_int_equal(first.rc, SP_OK);
        assert_int_equal(first.tickets, 1);
        struct sp_identity *full = sp_tls_take_identity(first.t), *again;
        assert_true(full->client_cert_chain.len > 0);
        if (i >= 2) { /* another server, as after a reload, which has not seen the chain yet */
            tls_end_free(&e);
            e = tls_end_plan(&pki, &plan);
        }
        struct tls_link second = visit(&e, &c, first.session);
        assert_int_equal(second.rc, SP_OK);
        assert_true(SSL_session_reused(second.client));
        assert_true(sp_tls_is_resumed(second.t));
        assert_int_equal(sp_tls_is_remembered(second.t), i < 2);
        assert_int_equal(sp_tls_authenticated_at(second.t), sp_tls_authenticated_at(first.t));
        again = sp_tls_take_identity(second.t);
        assert_same(full, again);
        /* TLS 1.3 gives the next ticket, 1.2 keeps the one that there is. */
        assert_int_equal(second.tickets, versions[i % 2] == TLS1_3_VERSION);
        sp_identity_free(full);
        sp_identity_free(again);
        tls_link_free(&first);
        tls_link_free(&second);
        tls_end_free(&e);
    }
}

static void test_a_client_without_a_certificate_resumes_where_none_is_required(void **state)
{
    (void)state;
    struct tls_plan plan = two_hosts();
    struct tls_end e = tls_end_plan(&pki, &plan);
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_client c = client(versions[v], NULL);
        c.sni = "lax.test";
        SSL_SESSION *session = session_of(&e, &c);
        struct tls_link l = visit(&e, &c, session);
        assert_int_equal(l.rc, SP_OK);
        assert_true(sp_tls_is_resumed(l.t));
        assert_null(sp_tls_take_identity(l.t));
        tls_link_free(&l);
        c.sni = "a.test"; /* the listener, which requires one */
        l = visit(&e, &c, session);
        assert_int_equal(l.rc, SP_FAIL);
        assert_int_equal(l.refusal.reason, SP_REFUSAL_no_certificate);
        tls_link_free(&l);
        SSL_SESSION_free(session);
    }
    tls_end_free(&e);
}

static void test_a_session_is_good_also_after_a_hello_retry_request(void **state)
{
    (void)state;
    struct tls_plan plan = two_hosts();
    struct tls_end e = tls_end_plan(&pki, &plan);
    struct tls_client c = client(TLS1_3_VERSION, &pki.good);
    c.sni = "lax.test";
    SSL_SESSION *session = session_of(&e, &c);
    c.groups = "X448:P-256";
    struct tls_link l = visit(&e, &c, session);
    assert_int_equal(l.rc, SP_OK);
    assert_true(sp_tls_is_resumed(l.t));
    assert_int_equal(sp_tls_host(l.t), 1);
    tls_link_free(&l);
    SSL_SESSION_free(session);
    tls_end_free(&e);
}

/* ---- what leads to a full handshake ---- */

struct change {
    const char *what;
    const char *from, *to; /* names */
    void (*second)(struct tls_plan *plan);
    bool resumes;
};

static void make_optional(struct tls_plan *plan)
{
    plan->hosts[0].mode = SP_AUTH_OPTIONAL;
}

static void trust_others(struct tls_plan *plan)
{
    plan->hosts[1].ca = &pki.other_ca;
}

static void shorten_sessions(struct tls_plan *plan)
{
    plan->hosts[0].max_session_age_ms = 999; /* rounds to no second at all */
}

static void want_no_tickets(struct tls_plan *plan)
{
    plan->tickets.count = 0;
}

static void lose_all(struct tls_plan *plan)
{
    plan->keys = NULL;
    plan->sessions = NULL;
}

static void show_another_certificate(struct tls_plan *plan)
{
    plan->hosts[0].certs = &site_wild;
}

static const struct change changes[] = {
    {"nothing", "a.test", "a.test", NULL, true},
    {"the name's case", "a.test", "A.TEST.", NULL, true},
    {"the server's certificate", "a.test", "a.test", show_another_certificate, true},
    {"the other host's CA", "a.test", "a.test", trust_others, true},
    {"strict to lax", "a.test", "lax.test", NULL, false},
    {"lax to strict", "lax.test", "a.test", NULL, false},
    {"strict to lax without a name", NULL, "lax.test", NULL, false},
    {"lax to no name", "lax.test", NULL, NULL, false},
    {"another name of the same policy", "lax.test", "x.lax.test", NULL, false},
    {"another unknown name", "u.test", "v.test", NULL, false},
    {"no name to an unknown one", NULL, "v.test", NULL, false},
    {"the mode", "a.test", "a.test", make_optional, false},
    {"the host's CA", "lax.test", "lax.test", trust_others, false},
    {"the age of sessions", "a.test", "a.test", shorten_sessions, false},
    {"the count of tickets", "a.test", "a.test", want_no_tickets, false},
    {"neither keys nor sessions", "a.test", "a.test", lose_all, false},
};

static void test_a_session_is_good_for_its_own_policy_and_name_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(changes) * SP_COUNTOF(versions); i++) {
        const struct change *change = &changes[i / 2];
        struct tls_plan plan = two_hosts();
        struct tls_end e = tls_end_plan(&pki, &plan);
        struct tls_client c = client(versions[i % 2], &pki.good);
        c.sni = change->from;
        SSL_SESSION *session = session_of(&e, &c);
        tls_end_free(&e);
        if (change->second != NULL)
            change->second(&plan);
        bool trusted = change->second != trust_others || strcmp(change->to, "a.test") == 0;
        e = tls_end_plan(&pki, &plan);
        c.sni = change->to;
        struct tls_link l = visit(&e, &c, session);
        if ((l.rc == SP_OK) != trusted)
            fail_msg("%s: %s %s", change->what, sp_refusal_name(l.refusal.reason), l.refusal.detail);
        if (l.rc == SP_OK && (sp_tls_is_resumed(l.t) != change->resumes ||
                                 (SSL_session_reused(l.client) == 1) != change->resumes))
            fail_msg("%s: resumed is %d", change->what, sp_tls_is_resumed(l.t));
        if (l.rc == SP_OK) {
            struct sp_identity *id = sp_tls_take_identity(l.t);
            assert_non_null(id);
            sp_identity_free(id);
        }
        tls_link_free(&l);
        SSL_SESSION_free(session);
        tls_end_free(&e);
    }
}

static void test_a_client_that_was_revoked_since_is_refused_and_told_so(void **state)
{
    (void)state;
    int64_t shift = (int64_t)time(NULL) - FIX_NOW;
    struct fix_crl_spec spec = {.from = shift - FIX_HOUR, .to = shift + FIX_DAY};
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        spec.revoked[0] = NULL;
        X509_CRL *crl = fix_crl(&spec, &pki.client_ca);
        struct tls_plan plan = one_host();
        plan.hosts[0].crl = fix_write_crls("clients.crl", &crl, 1);
        X509_CRL_free(crl);
        struct tls_end e = tls_end_plan(&pki, &plan);
        struct tls_client c = client(versions[v], &pki.good);
        SSL_SESSION *session = session_of(&e, &c);
        tls_end_free(&e);
        spec.revoked[0] = pki.good.cert;
        crl = fix_crl(&spec, &pki.client_ca);
        (void)fix_write_crls("clients.crl", &crl, 1);
        X509_CRL_free(crl);
        e = tls_end_plan(&pki, &plan);
        struct tls_link l = visit(&e, &c, session);
        assert_int_equal(l.rc, SP_FAIL);
        assert_int_equal(l.refusal.reason, SP_REFUSAL_revoked);
        assert_int_equal(l.alert, SSL3_AD_CERTIFICATE_REVOKED);
        tls_link_free(&l);
        SSL_SESSION_free(session);
        tls_end_free(&e);
    }
}

/* Comes back with what it got last, until it is not resumed any more; the last visit's outcome. */
static struct tls_link keep_coming(struct tls_end *e, const struct tls_client *c, SSL_SESSION *session)
{
    int64_t since = sp_wall_us();
    for (;;) {
        struct tls_link l = visit(e, c, session);
        if (l.rc != SP_OK || !sp_tls_is_resumed(l.t)) {
            SSL_SESSION_free(session);
            return l;
        }
        if (sp_wall_us() - since > 60 * (int64_t)1000000)
            fail_msg("still resumed after a minute");
        if (l.session != NULL) { /* TLS 1.3: a new one each time */
            SSL_SESSION_free(session);
            session = l.session;
            l.session = NULL;
        }
        tls_link_free(&l);
    }
}

static void test_resuming_again_and_again_does_not_prolong_a_session(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct tls_plan plan = one_host();
        plan.tickets.lifetime_ms = i < 2 ? 2000 : 3600000;
        plan.hosts[0].max_session_age_ms = i < 2 ? 0 : 2000;
        struct tls_end e = tls_end_plan(&pki, &plan);
        struct tls_client c = client(versions[i % 2], &pki.good);
        SSL_SESSION *session = session_of(&e, &c);
        if (keys != NULL ||
            versions[i % 2] == TLS1_3_VERSION) /* as the client was told; an id of TLS 1.2 tells nothing */
            assert_in_range(SSL_SESSION_get_ticket_lifetime_hint(session), 1, 2);
        struct tls_link l = keep_coming(&e, &c, session);
        assert_int_equal(l.rc, SP_OK);
        assert_false(SSL_session_reused(l.client));
        tls_link_free(&l);
        tls_end_free(&e);
    }
}

static void test_a_client_whose_certificate_ends_is_refused_although_its_session_goes_on(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        int64_t shift = (int64_t)time(NULL) - FIX_NOW;
        struct fix_spec s = {.subject = "CN=brief", .from = shift - FIX_DAY, .to = shift + 3};
        struct fix_cert brief = fix_issue(&s, &pki.client_ca, false);
        struct tls_plan plan = one_host();
        struct tls_end e = tls_end_plan(&pki, &plan);
        struct tls_client c = client(versions[v], &brief);
        struct tls_link l = keep_coming(&e, &c, session_of(&e, &c));
        assert_int_equal(l.rc, SP_FAIL);
        assert_int_equal(l.refusal.reason, SP_REFUSAL_expired);
        assert_int_equal(l.alert, SSL3_AD_CERTIFICATE_EXPIRED);
        tls_link_free(&l);
        tls_end_free(&e);
        fix_free(&brief);
    }
}

/* ---- who gets none ---- */

static void test_some_clients_cannot_come_back_and_are_let_in_all_the_same(void **state)
{
    (void)state;
    struct tls_plan plan = one_host();
    struct tls_end e = tls_end_plan(&pki, &plan);
    if (sessions != NULL) { /* those of the tests before go */
        sp_sessions_set_max(sessions, 0);
        sp_sessions_set_max(sessions, 1000);
    }
    const struct {
        const char *what;
        struct tls_client c;
    } cases[] = {
        {"more certificates than are kept, 1.2", {.chain_junk = 9, .max = TLS1_2_VERSION}},
        {"more certificates than are kept, 1.3", {.chain_junk = 9, .min = TLS1_3_VERSION}},
        {"no extended master secret", {.max = TLS1_2_VERSION, .options = SSL_OP_NO_EXTENDED_MASTER_SECRET}},
        {"does not ask for a ticket", {.max = TLS1_2_VERSION, .options = SSL_OP_NO_TICKET}},
    };
    /* Who wants no ticket has an id to come back by. */
    for (size_t i = 0; i < SP_COUNTOF(cases) - (sessions != NULL); i++) {
        struct tls_client c = cases[i].c;
        c.cert = &pki.good;
        struct tls_link l = visit(&e, &c, NULL);
        if (l.rc != SP_OK || !l.client_done)
            fail_msg("%s: %s %s", cases[i].what, sp_refusal_name(l.refusal.reason), l.refusal.detail);
        if (SSL_SESSION_has_ticket(SSL_get_session(l.client)) ||
            (l.session != NULL && SSL_SESSION_has_ticket(l.session)))
            fail_msg("%s: a ticket", cases[i].what);
        if (sessions != NULL)
            assert_int_equal(sp_sessions_count(sessions), 0);
        struct tls_link again = visit(&e, &c, l.session != NULL ? l.session : SSL_get_session(l.client));
        if (again.rc != SP_OK || sp_tls_is_resumed(again.t))
            fail_msg("%s: when it comes back: %d", cases[i].what, again.rc);
        tls_link_free(&again);
        tls_link_free(&l);
    }
    tls_end_free(&e);
}

static void test_as_many_tickets_are_given_as_configured(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 4; count++) {
        struct tls_plan plan = one_host();
        plan.tickets.count = count;
        struct tls_end e = tls_end_plan(&pki, &plan);
        struct tls_client c = client(TLS1_3_VERSION, &below);
        c.above = &between;
        struct tls_link l = visit(&e, &c, NULL);
        assert_int_equal(l.rc, SP_OK);
        assert_int_equal(l.tickets, count);
        struct tls_link again = visit(&e, &c, l.session); /* the last of them */
        assert_true(sp_tls_is_resumed(again.t));
        assert_int_equal(again.tickets, 1);
        tls_link_free(&again);
        tls_link_free(&l);
        tls_end_free(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_resumed_client_looks_as_after_its_full_handshake),
        cmocka_unit_test(test_a_client_without_a_certificate_resumes_where_none_is_required),
        cmocka_unit_test(test_a_session_is_good_also_after_a_hello_retry_request),
        cmocka_unit_test(test_a_session_is_good_for_its_own_policy_and_name_only),
        cmocka_unit_test(test_a_client_that_was_revoked_since_is_refused_and_told_so),
        cmocka_unit_test(test_resuming_again_and_again_does_not_prolong_a_session),
        cmocka_unit_test(test_a_client_whose_certificate_ends_is_refused_although_its_session_goes_on),
        cmocka_unit_test(test_some_clients_cannot_come_back_and_are_let_in_all_the_same),
        cmocka_unit_test(test_as_many_tickets_are_given_as_configured),
    };
    int failed = cmocka_run_group_tests_name("tls_resume_kept", tests, set_up_kept, tear_down);
    return cmocka_run_group_tests_name("tls_resume_sealed", tests, set_up_sealed, tear_down) + failed;
}
