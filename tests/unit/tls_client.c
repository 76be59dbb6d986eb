/* TLS towards a backend: who it is, what it says, and what it is asked and shown. */
#include "tls_client_rig.h"

/* ---- who it is ---- */

static void test_a_backend_is_believed_for_its_chain_its_purpose_and_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const struct fix_cert *cert, *above;
        const char *host, *name, *uri;
        const char *says; /* NULL: it is let in */
    } cases[] = {
        {"the endpoint's name", &pki.named, NULL, "billing.internal", NULL, NULL, NULL},
        {"in any case, with a dot", &pki.named, NULL, "BILLING.internal.", NULL, NULL, NULL},
        {"another endpoint's name", &pki.named, NULL, "ledger.internal", NULL, NULL,
            "it is not ledger.internal"},
        {"the name that is configured", &pki.named, NULL, "10.0.0.5", "billing.internal", NULL, NULL},
        {"which alone counts", &pki.named, NULL, "billing.internal", "ledger.internal", NULL,
            "it is not ledger.internal"},
        {"a part of a name", &pki.named, NULL, "internal", NULL, NULL, "it is not internal"},
        {"a longer name", &pki.named, NULL, "x.billing.internal", NULL, NULL, "it is not x.billing.internal"},
        {"an address", &pki.by_address, NULL, "10.0.0.5", NULL, NULL, NULL},
        {"an IPv6 address", &pki.by_address, NULL, "2001:db8:0::5", NULL, NULL, NULL},
        {"one in brackets", &pki.by_address, NULL, "[2001:db8::5]", NULL, NULL, NULL},
        {"another address", &pki.by_address, NULL, "10.0.0.6", NULL, NULL, "it is not 10.0.0"},
        {"an address asked for by name", &pki.by_address, NULL, "billing.internal", "10.0.0.5", NULL, NULL},
        {"an address is no name", &pki.named, NULL, "10.0.0.5", NULL, NULL, "it is not 10.0.0"},
        {"a name is no address", &pki.by_address, NULL, "b.internal", NULL, NULL, "it is not b.internal"},
        {"a common name is none", &pki.only_cn, NULL, "billing.internal", NULL, NULL, "none at all"},
        {"a wildcard", &pki.wildcard, NULL, "x.internal.example", NULL, NULL, NULL},
        {"for one label", &pki.wildcard, NULL, "x.y.internal.example", NULL, NULL, "it is not"},
        {"not for none", &pki.wildcard, NULL, "internal.example", NULL, NULL, "it is not"},
        {"not above all", &pki.top_wildcard, NULL, "x.internal", NULL, NULL, "it is not"},
        {"a workload", &pki.workload, NULL, "10.0.0.5", NULL, "spiffe://corp/backend/*", NULL},
        {"among others", &pki.two_uris, NULL, "10.0.0.5", NULL, "spiffe://corp/backend/*", NULL},
        {"another workload", &pki.workload, NULL, "10.0.0.5", NULL, "spiffe://corp/frontend/*",
            "it is not spiffe"},
        {"a URI and a name", &pki.workload, NULL, "10.0.0.5", "c", "spiffe://corp/backend/*", "it is not c"},
        {"no name at all to go by", &pki.named, NULL, NULL, NULL, NULL, "known whom to expect"},
        {"a NUL in a name", &pki.nul, NULL, "billing.internal", NULL, NULL, "hostile_name"},
        {"a NUL in a URI", &pki.nul_uri, NULL, NULL, NULL, "spiffe://corp/backend/billing", "hostile_name"},
        {"past its end", &pki.expired, NULL, "billing.internal", NULL, NULL, "expired"},
        {"before its beginning", &pki.future, NULL, "billing.internal", NULL, NULL, "not_yet_valid"},
        {"of another CA", &pki.stranger, NULL, "billing.internal", NULL, NULL, "untrusted_issuer"},
        {"with its intermediate", &pki.below_middle, &pki.middle, "billing.internal", NULL, NULL, NULL},
        {"without it", &pki.below_middle, NULL, "billing.internal", NULL, NULL, "untrusted_issuer"},
        {"for clients only", &pki.client_only, NULL, "billing.internal", NULL, NULL, "wrong_purpose"},
        {"for anything, by name", &pki.any_purpose, NULL, "billing.internal", NULL, NULL, "wrong_purpose"},
        {"without a purpose", &pki.without_eku, NULL, "billing.internal", NULL, NULL, NULL},
        {"with a weak key", &pki.weak, NULL, "billing.internal", NULL, NULL, "weak_key"},
    };
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
            struct server s;
            struct link l;
            struct ours o = make(&(struct plan){.name = cases[i].name, .uri = cases[i].uri});
            serve(&s, cases[i].cert, cases[i].above, versions[v]);
            connect_to(&l, &s, o.client, cases[i].host, NULL);
            if (cases[i].says == NULL && l.rc != SP_OK)
                fail_msg("%s: %s", cases[i].what, l.err.text);
            if (cases[i].says != NULL && (l.rc != SP_FAIL || strstr(l.err.text, cases[i].says) == NULL))
                fail_msg("%s: %d, %s", cases[i].what, l.rc, l.err.text);
            if (l.rc == SP_OK)
                talk(&l);
            close_link(&l);
            SSL_CTX_free(s.ctx);
            drop(&o);
        }
    }
}

static void test_without_verification_anybody_is_believed(void **state)
{
    (void)state;
    struct server s;
    struct link l;
    struct ours o = make(&(struct plan){.unverified = true});
    serve(&s, &pki.expired, NULL, 0);
    connect_to(&l, &s, o.client, "billing.internal", NULL);
    assert_int_equal(l.rc, SP_OK);
    assert_null(sp_tls_client_trust(o.client));
    talk(&l);
    close_link(&l);
    SSL_CTX_free(s.ctx);
    drop(&o);
}

/* ---- revocation ---- */

static void test_crls_speak_of_backends_as_of_clients(void **state)
{
    (void)state;
    const struct {
        const char *what, *crl;
        const struct fix_cert *cert, *above;
        const char *says;
    } cases[] = {
        {"clear", crl_of("clear.crl", &pki.root, NULL, FIX_DAY), &pki.named, NULL, NULL},
        {"revoked", crl_of("revoked.crl", &pki.root, &pki.named, FIX_DAY), &pki.named, NULL, "revoked"},
        {"stale", crl_of("stale.crl", &pki.root, NULL, -FIX_HOUR), &pki.named, NULL, "crl_stale"},
        {"of another CA", crl_of("other.crl", &pki.other_root, NULL, FIX_DAY), &pki.named, NULL,
            "crl_missing"},
        {"of the CA above alone", crl_of("clear.crl", &pki.root, NULL, FIX_DAY), &pki.below_middle,
            &pki.middle, "crl_missing"},
        {"a revoked CA", crl_of("middle.crl", &pki.root, &pki.middle, FIX_DAY), &pki.below_middle,
            &pki.middle, "revoked"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct server s;
        struct link l;
        struct ours o = make(&(struct plan){.crl = cases[i].crl, .name = "billing.internal"});
        serve(&s, cases[i].cert, cases[i].above, 0);
        connect_to(&l, &s, o.client, "billing.internal", NULL);
        if (cases[i].says == NULL ? l.rc != SP_OK
                                  : l.rc != SP_FAIL || strstr(l.err.text, cases[i].says) == NULL)
            fail_msg("%s: %d, %s", cases[i].what, l.rc, l.err.text);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

/* ---- what is not TLS ---- */

static void test_bytes_before_the_handshake_are_never_an_answer(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    struct link l;
    struct ours o = make(&(struct plan){0});
    for (int early = 0; early < 2; early++) {
        open_link(&l, o.client, "billing.internal", "http/1.1", NULL);
        if (!early)
            step(&l);
        assert_int_equal(l.rc, SP_AGAIN);
        assert_int_equal(write(l.fd, answer, sizeof answer - 1), sizeof answer - 1);
        step(&l);
        assert_int_equal(l.rc, SP_FAIL);
        assert_non_null(strstr(l.err.text, early ? "bytes before the TLS handshake" : "does not speak TLS"));
        close_link(&l);
    }
    drop(&o);
}

static void test_a_backend_that_hangs_up_is_told_of(void **state)
{
    (void)state;
    struct link l;
    struct ours o = make(&(struct plan){0});
    for (int early = 0; early < 2; early++) {
        open_link(&l, o.client, "billing.internal", NULL, NULL);
        if (!early)
            step(&l);
        shutdown(l.fd, SHUT_WR);
        step(&l);
        assert_int_equal(l.rc, SP_FAIL);
        assert_true(l.err.text[0] != '\0');
        close_link(&l);
    }
    drop(&o);
}

static void test_versions_below_the_lowest_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum sp_tls_version min;
        int version;
        bool good;
    } cases[] = {{SP_TLS_1_2, TLS1_2_VERSION, true}, {SP_TLS_1_2, TLS1_1_VERSION, false},
        {SP_TLS_1_3, TLS1_2_VERSION, false}, {SP_TLS_1_3, TLS1_3_VERSION, true}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct server s;
        struct link l;
        struct ours o = make(&(struct plan){.min = cases[i].min});
        serve(&s, &pki.named, NULL, cases[i].version);
        connect_to(&l, &s, o.client, "billing.internal", NULL);
        assert_int_equal(l.rc, cases[i].good ? SP_OK : SP_FAIL);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

/* ---- what it is asked ---- */

static void test_a_name_is_asked_for_and_an_address_never(void **state)
{
    (void)state;
    static const struct {
        const char *host, *name, *sni, *asked;
    } cases[] = {
        {"Billing.internal.", NULL, NULL, "billing.internal"},
        {"10.0.0.5", NULL, NULL, ""},
        {"10.0.0.5", "billing.internal", NULL, "billing.internal"},
        {"billing.internal", "10.0.0.5", NULL, ""},
        {"10.0.0.5", "billing.internal", "edge.internal", "edge.internal"},
        {NULL, "billing.internal", NULL, "billing.internal"},
        {NULL, NULL, NULL, ""},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct server s;
        struct link l;
        struct ours o = make(&(struct plan){.unverified = true, .name = cases[i].name, .sni = cases[i].sni});
        serve(&s, &pki.named, NULL, 0);
        connect_to(&l, &s, o.client, cases[i].host, NULL);
        assert_int_equal(l.rc, SP_OK);
        assert_string_equal(s.sni, cases[i].asked);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static int choose(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
    unsigned in_len, void *arg)
{
    (void)ssl;
    const char *choice = arg;
    if (in_len != 9 || memcmp(in, "\x08http/1.1", 9) != 0)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = (const unsigned char *)choice;
    *len = (unsigned char)strlen(choice);
    return SSL_TLSEXT_ERR_OK;
}

static void test_only_the_protocol_that_was_offered_may_be_chosen(void **state)
{
    (void)state;
    static char h1[] = "http/1.1", h2[] = "h2";
    static const struct {
        char *choice;
        const char *alpn;
        bool good;
    } cases[] = {{h1, "http/1.1", true}, {h2, "http/1.1", false}, {NULL, "http/1.1", true}, {h1, NULL, true}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct server s;
        struct link l;
        struct ours o = make(&(struct plan){0});
        serve(&s, &pki.named, NULL, 0);
        if (cases[i].choice != NULL)
            SSL_CTX_set_alpn_select_cb(s.ctx, choose, cases[i].choice);
        open_link(&l, o.client, "billing.internal", cases[i].alpn, NULL);
        shake(&l, &s);
        assert_int_equal(l.rc, cases[i].good ? SP_OK : SP_FAIL);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static void test_our_certificate_is_shown_to_who_asks(void **state)
{
    (void)state;
    struct sp_config_certificate files = our_files();
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (int has = 0; has < 2; has++) {
            struct server s;
            struct link l;
            struct sp_tls_client_facts facts;
            char byte;
            size_t n;
            struct ours o = make(&(struct plan){.certificate = has ? &files : NULL});
            assert_int_equal(sp_tls_client_certificate(o.client, &facts), has);
            if (has) {
                assert_string_equal(facts.subject, "CN=sallyport");
                assert_string_equal(facts.file, files.chain);
                assert_true(facts.not_before < sp_wall_s() && facts.not_after > sp_wall_s());
            }
            serve(&s, &pki.named, NULL, versions[v]);
            ask_for_certificate(&s);
            connect_to(&l, &s, o.client, "billing.internal", NULL);
            assert_int_equal(l.accepted, has);
            if (has) {
                assert_int_equal(X509_cmp(SSL_get0_peer_certificate(l.server), pki.ours.cert), 0);
                talk(&l);
            } else if (l.rc == SP_OK) { /* TLS 1.3: it says so later */
                sp_transport_ready(l.t, SP_EV_READ);
                assert_int_equal(sp_transport_read(l.t, &byte, 1, &n), SP_FAIL);
            } else {
                assert_non_null(strstr(l.err.text, "the backend sent alert"));
            }
            close_link(&l);
            SSL_CTX_free(s.ctx);
            drop(&o);
        }
    }
}

static void test_key_updates_without_end_end_the_connection(void **state)
{
    (void)state;
    struct server s;
    struct link l;
    char byte;
    size_t n;
    struct ours o = make(&(struct plan){0});
    serve(&s, &pki.named, NULL, TLS1_3_VERSION);
    connect_to(&l, &s, o.client, "billing.internal", NULL);
    talk(&l);
    enum sp_rc rc = SP_AGAIN;
    for (int i = 0; i < 200 && rc == SP_AGAIN; i++) {
        assert_int_equal(SSL_key_update(l.server, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(l.server), 1);
        sp_transport_ready(l.t, SP_EV_READ);
        rc = sp_transport_read(l.t, &byte, 1, &n);
    }
    assert_int_equal(rc, SP_FAIL);
    close_link(&l);
    SSL_CTX_free(s.ctx);
    drop(&o);
}

static void test_what_cannot_be_loaded_is_an_error_that_names_it(void **state)
{
    (void)state;
    struct sp_config_certificate missing = {.at = at, .chain = "/nowhere/c.pem", .key = "/nowhere/c.key"};
    struct sp_config_certificate wrong_key = our_files();
    const struct {
        struct plan plan;
        const char *says;
    } cases[] = {
        {{.ca = "/nowhere/ca.pem"}, "/nowhere/ca.pem"},
        {{.certificate = &missing}, "/nowhere/c.pem"},
        {{.certificate = &wrong_key}, "does not belong to the certificate"},
        {{.crl = "/nowhere/x.crl"}, "/nowhere/x.crl"},
    };
    wrong_key.chain = fix_write_certs("not-ours.pem", &pki.named.cert, 1);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_diags diags = {0};
        bool said = false;
        struct setting *s = setting_of(&cases[i].plan);
        assert_null(sp_tls_client_new(&s->config, &s->tls, NULL, &diags));
        for (size_t d = 0; d < diags.count; d++)
            said |= diags.items[d].severity == SP_DIAG_ERROR &&
                    strstr(diags.items[d].text, cases[i].says) != NULL;
        if (!said)
            fail_msg("%s is not named", cases[i].says);
        sp_diags_free(&diags);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_backend_is_believed_for_its_chain_its_purpose_and_its_name),
        cmocka_unit_test(test_without_verification_anybody_is_believed),
        cmocka_unit_test(test_crls_speak_of_backends_as_of_clients),
        cmocka_unit_test(test_bytes_before_the_handshake_are_never_an_answer),
        cmocka_unit_test(test_a_backend_that_hangs_up_is_told_of),
        cmocka_unit_test(test_versions_below_the_lowest_are_refused),
        cmocka_unit_test(test_a_name_is_asked_for_and_an_address_never),
        cmocka_unit_test(test_only_the_protocol_that_was_offered_may_be_chosen),
        cmocka_unit_test(test_our_certificate_is_shown_to_who_asks),
        cmocka_unit_test(test_key_updates_without_end_end_the_connection),
        cmocka_unit_test(test_what_cannot_be_loaded_is_an_error_that_names_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
