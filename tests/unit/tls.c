/* TLS handshakes against an OpenSSL client: who is let in, what refusals are called, which certificate is
 * shown, what is said to those who do not speak TLS, and what is wrong with certificates that the operator
 * gave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "tls/tls_private.h"
#include "tls_fixture.h"

static struct tls_pki pki;
static struct sp_config_certificate all_sites[4];

static int set_up(void **state)
{
    (void)state;
    tls_pki_make(&pki);
    all_sites[0] = tls_files("a", &pki.site_a);
    all_sites[1] = tls_files("wild", &pki.site_wild);
    all_sites[2] = tls_files("rsa", &pki.site_rsa);
    all_sites[3] = tls_files("ec", &pki.site_ec);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_pki_free(&pki);
    fix_remove_folder();
    return 0;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
static const char *const version_names[] = {"TLSv1.2", "TLSv1.3"};

/* ---- let in ---- */

static void test_a_proven_client_is_let_in_however_its_bytes_are_cut(void **state)
{
    (void)state;
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, all_sites, 4);
    static const size_t chunks[] = {0, 1, 2, 5, 100};
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (size_t i = 0; i < SP_COUNTOF(chunks); i++) {
            struct tls_client c = {.cert = &pki.good,
                .min = versions[v],
                .max = versions[v],
                .sni = "A.test.",
                .alpn = SP_SLICE("\x02h2\x08http/1.1"),
                .chunk = chunks[i]};
            struct tls_link l;
            tls_link_open(&l, &e, &c);
            assert_string_equal(sp_tls_version(l.t), "");
            assert_string_equal(sp_tls_sni(l.t), "");
            tls_link_shake(&l, &c);
            if (l.rc != SP_OK)
                fail_msg("%s: %s", sp_refusal_name(l.refusal.reason), l.refusal.detail);
            assert_true(l.client_done);
            assert_string_equal(sp_tls_version(l.t), version_names[v]);
            assert_string_equal(sp_tls_sni(l.t), "a.test");
            struct sp_identity *id = sp_tls_take_identity(l.t);
            assert_non_null(id);
            assert_true(sp_slice_equal(id->subject, SP_SLICE("CN=good")));
            sp_identity_free(id);
            assert_null(sp_tls_take_identity(l.t));
            const unsigned char *alpn;
            unsigned alpn_len;
            SSL_get0_alpn_selected(l.client, &alpn, &alpn_len);
            assert_int_equal(alpn_len, 8);
            assert_memory_equal(alpn, "http/1.1", 8);
            tls_link_free(&l);
        }
    }
    tls_end_free(&e);
}

static void test_without_tickets_no_session_can_be_resumed(void **state)
{
    (void)state;
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, all_sites, 1);
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_client c = {.cert = &pki.good, .min = versions[v], .max = versions[v]};
        struct tls_link first, second;
        tls_link_open(&first, &e, &c);
        tls_link_shake(&first, &c);
        assert_int_equal(first.rc, SP_OK);
        SSL_SESSION *session = SSL_get1_session(first.client);
        unsigned id_len;
        SSL_SESSION_get_id(session, &id_len);
        assert_false(SSL_SESSION_has_ticket(session));
        assert_false(SSL_SESSION_is_resumable(session));
        if (versions[v] == TLS1_3_VERSION)
            assert_int_equal(first.tickets, 0);
        else
            assert_int_equal(id_len, 0);
        tls_link_open(&second, &e, &c);
        SSL_set_session(second.client, session);
        tls_link_shake(&second, &c);
        assert_int_equal(second.rc, SP_OK);
        assert_false(SSL_session_reused(second.client));
        struct sp_identity *id = sp_tls_take_identity(second.t);
        assert_non_null(id);
        sp_identity_free(id);
        SSL_SESSION_free(session);
        tls_link_free(&first);
        tls_link_free(&second);
    }
    tls_end_free(&e);
}

static void test_an_optional_listener_lets_in_without_a_certificate_but_not_with_a_bad_one(void **state)
{
    (void)state;
    struct tls_end e = tls_end_make(&pki, SP_AUTH_OPTIONAL, SP_TLS_1_2, all_sites, 1);
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct tls_client c = {.min = versions[v], .max = versions[v]};
        struct tls_link l;
        tls_link_open(&l, &e, &c);
        tls_link_shake(&l, &c);
        assert_int_equal(l.rc, SP_OK);
        assert_null(sp_tls_take_identity(l.t));
        tls_link_free(&l);
        c.cert = &pki.stranger;
        tls_link_open(&l, &e, &c);
        tls_link_shake(&l, &c);
        assert_int_equal(l.rc, SP_FAIL);
        assert_int_equal(l.refusal.reason, SP_REFUSAL_untrusted_issuer);
        tls_link_free(&l);
    }
    tls_end_free(&e);
}

/* ---- refusals ---- */

/* A key that says it belongs to `cert` and signs with another. */
static EVP_PKEY *forged_key(const struct fix_cert *cert, const struct fix_cert *signer)
{
    unsigned char point[65];
    size_t len;
    BIGNUM *secret = NULL;
    EVP_PKEY *out = NULL;
    assert_int_equal(
        EVP_PKEY_get_octet_string_param(cert->key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len), 1);
    assert_int_equal(EVP_PKEY_get_bn_param(signer->key, OSSL_PKEY_PARAM_PRIV_KEY, &secret), 1);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, len);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &out, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_clear_free(secret);
    return out;
}

static void test_each_refusal_has_its_reason_and_its_alert(void **state)
{
    (void)state;
    EVP_PKEY *forged = forged_key(&pki.good, &pki.stranger);
    const int v2 = TLS1_2_VERSION, v3 = TLS1_3_VERSION;
    const struct {
        const char *what;
        struct tls_client client;
        enum sp_refusal reason;
        int alert; /* 0: not looked at */
        const char *subject;
        enum sp_tls_version min;
    } cases[] = {
        {"no certificate 1.2", {.max = v2}, SP_REFUSAL_no_certificate, 40, "", 0},
        {"no certificate 1.3", {.min = v3}, SP_REFUSAL_no_certificate, 116, "", 0},
        {"stranger 1.2", {.cert = &pki.stranger, .max = v2}, SP_REFUSAL_untrusted_issuer, 48, "stranger", 0},
        {"stranger 1.3", {.cert = &pki.stranger, .min = v3}, SP_REFUSAL_untrusted_issuer, 48, "stranger", 0},
        {"expired", {.cert = &pki.expired}, SP_REFUSAL_expired, 45, "expired", 0},
        {"purpose", {.cert = &pki.wrong_purpose}, SP_REFUSAL_wrong_purpose, 43, "server", 0},
        {"hostile name", {.cert = &pki.hostile}, SP_REFUSAL_hostile_name, 42, "O=x", 0},
        /* alert 47, from OpenSSL 3.5 on 42 */
        {"junk", {.cert = &pki.good, .chain_junk = 60}, SP_REFUSAL_too_large, 0, "", 0},
        {"forged 1.2", {.cert = &pki.good, .key_instead = forged, .max = v2},
            SP_REFUSAL_bad_certificate_verify, 51, "good", 0},
        {"forged 1.3", {.cert = &pki.good, .key_instead = forged, .min = v3},
            SP_REFUSAL_bad_certificate_verify, 51, "good", 0},
        {"alpn", {.cert = &pki.good, .alpn = SP_SLICE("\x02h2")}, SP_REFUSAL_no_alpn, 120, "", 0},
        {"alpn prefix", {.cert = &pki.good, .alpn = SP_SLICE("\x09http/1.1x\x07http/1.")}, SP_REFUSAL_no_alpn,
            120, "", 0},
        {"TLS 1.1",
            {.cert = &pki.good, .min = TLS1_VERSION, .max = TLS1_1_VERSION, .ciphers = "ALL@SECLEVEL=0"},
            SP_REFUSAL_protocol_version, 70, "", 0},
        {"TLS 1.2 where 1.3 is wanted", {.cert = &pki.good, .max = v2}, SP_REFUSAL_protocol_version, 70, "",
            SP_TLS_1_3},
        {"cipher", {.cert = &pki.good, .max = v2, .ciphers = "AES128-SHA"}, SP_REFUSAL_no_shared_cipher, 40,
            "", 0},
        {"a key on P-224", {.cert = &pki.p224, .max = v2}, SP_REFUSAL_no_shared_cipher, 0, "p224", 0},
        {"group", {.cert = &pki.good, .min = v3, .groups = "X448"}, SP_REFUSAL_no_shared_cipher, 40, "", 0},
        {"distrusts us", {.cert = &pki.good, .distrusts = true}, SP_REFUSAL_client_alert, 0, "", 0},
        {"server name with a blank", {.cert = &pki.good, .sni = "a test"}, SP_REFUSAL_tls_error, 50, "", 0},
        {"server name of dots", {.cert = &pki.good, .sni = ".."}, SP_REFUSAL_tls_error, 50, "", 0},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, cases[i].min, all_sites, 4);
        for (size_t chunk = 0; chunk < 2; chunk++) {
            struct tls_client c = cases[i].client;
            c.chunk = chunk * 7;
            struct tls_link l;
            tls_link_open(&l, &e, &c);
            tls_link_shake(&l, &c);
            if (l.rc != SP_FAIL || l.refusal.reason != cases[i].reason)
                fail_msg("%s: rc %d, %s (%s)", cases[i].what, l.rc, sp_refusal_name(l.refusal.reason),
                    l.refusal.detail);
            if (cases[i].alert != 0 && l.alert != cases[i].alert)
                fail_msg("%s: alert %d", cases[i].what, l.alert);
            if (strstr(l.refusal.cert.subject, cases[i].subject) == NULL)
                fail_msg("%s: subject %s", cases[i].what, l.refusal.cert.subject);
            if (cases[i].subject[0] != '\0' && strncmp(sp_tls_version(l.t), "TLSv1.", 6) != 0)
                fail_msg("%s: version \"%s\"", cases[i].what, sp_tls_version(l.t));
            if (cases[i].reason == SP_REFUSAL_client_alert)
                assert_non_null(strstr(l.refusal.detail, "alert 48"));
            if (cases[i].client.cert == &pki.p224)
                assert_non_null(strstr(l.refusal.detail, "the client's key is on a curve"));
            tls_link_free(&l);
        }
        tls_end_free(&e);
    }
    EVP_PKEY_free(forged);
}

static void test_a_client_that_goes_away_in_the_middle_is_named_so(void **state)
{
    (void)state;
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, all_sites, 1);
    struct tls_client c = {.cert = &pki.good, .chunk = 60};
    struct tls_link l;
    tls_link_open(&l, &e, &c);
    assert_int_equal(SSL_do_handshake(l.client), -1);
    char part[60];
    assert_int_equal(BIO_read(l.from_client, part, sizeof part), sizeof part);
    assert_int_equal(write(l.fd, part, sizeof part), sizeof part);
    tls_ready(l.t);
    assert_int_equal(sp_tls_handshake(l.t, &l.refusal), SP_AGAIN);
    close(l.fd);
    l.fd = -1;
    sp_transport_ready(l.t, SP_EV_READ | SP_EV_CLOSED);
    assert_int_equal(sp_tls_handshake(l.t, &l.refusal), SP_FAIL);
    assert_int_equal(l.refusal.reason, SP_REFUSAL_client_closed);
    tls_link_free(&l);
    tls_end_free(&e);
}

/* ---- which certificate ---- */

static void test_the_certificate_follows_the_server_name(void **state)
{
    (void)state;
    static const struct {
        const char *sni, *sigalgs, *shown;
    } cases[] = {
        {NULL, NULL, "site-a"},
        {"a.test", NULL, "site-a"},
        {"A.TEST.", NULL, "site-a"},
        {"unknown.test", NULL, "site-a"},
        {"one.wild.test", NULL, "site-wild"},
        {"exact.wild.test", NULL, "site-a"},
        {"two.one.wild.test", NULL, "site-a"},
        {"wild.test", NULL, "site-a"},
        {"both.test", "ECDSA+SHA256:RSA-PSS+SHA256", "site-ec"},
        {"both.test", "ECDSA+SHA256", "site-ec"},
        {"both.test", "RSA-PSS+SHA256:RSA+SHA256", "site-rsa"},
    };
    struct tls_end e = tls_end_make(&pki, SP_AUTH_OPTIONAL, SP_TLS_1_2, all_sites, 4);
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
            struct tls_client c = {
                .sni = cases[i].sni, .sigalgs = cases[i].sigalgs, .min = versions[v], .max = versions[v]};
            struct tls_link l;
            tls_link_open(&l, &e, &c);
            tls_link_shake(&l, &c);
            assert_int_equal(l.rc, SP_OK);
            char cn[64] = "";
            X509_NAME_get_text_by_NID(
                X509_get_subject_name(SSL_get0_peer_certificate(l.client)), NID_commonName, cn, sizeof cn);
            if (strcmp(cn, cases[i].shown) != 0)
                fail_msg("%s: %s is shown", cases[i].sni != NULL ? cases[i].sni : "no name", cn);
            tls_link_free(&l);
        }
    }
    tls_end_free(&e);
}

static void test_the_very_name_wins_over_an_earlier_wildcard(void **state)
{
    (void)state;
    const struct sp_config_certificate wildcard_first[] = {all_sites[1], all_sites[0]};
    struct tls_end e = tls_end_make(&pki, SP_AUTH_OPTIONAL, SP_TLS_1_2, wildcard_first, 2);
    struct tls_client c = {.sni = "exact.wild.test"};
    struct tls_link l;
    tls_link_open(&l, &e, &c);
    tls_link_shake(&l, &c);
    assert_int_equal(l.rc, SP_OK);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(l.client), pki.site_a.cert), 0);
    tls_link_free(&l);
    tls_end_free(&e);
}

static void test_a_client_of_another_site_is_judged_by_the_same_trust(void **state)
{
    (void)state;
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, all_sites, 4);
    static const char *const names[] = {"one.wild.test", "both.test"};
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        const struct fix_cert *certs[] = {NULL, &pki.stranger, &pki.good};
        static const enum sp_refusal want[] = {
            SP_REFUSAL_no_certificate, SP_REFUSAL_untrusted_issuer, SP_REFUSAL_none};
        for (size_t k = 0; k < SP_COUNTOF(certs); k++) {
            struct tls_client c = {.sni = names[i], .cert = certs[k]};
            struct tls_link l;
            tls_link_open(&l, &e, &c);
            tls_link_shake(&l, &c);
            assert_int_equal(l.rc, want[k] == SP_REFUSAL_none ? SP_OK : SP_FAIL);
            assert_int_equal(l.refusal.reason, want[k]);
            tls_link_free(&l);
        }
    }
    tls_end_free(&e);
}

/* ---- those who do not speak TLS ---- */

static void test_first_bytes_are_judged_as_soon_as_they_say_what_they_are(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice bytes;
        enum first_bytes is;
        size_t known_at; /* bytes needed */
    } cases[] = {
        {{"\x16\x03\x01\x02\x00", 5}, FIRST_TLS, 2},
        {{"\x16\x02", 2}, FIRST_OTHER, 2},
        {{"GET / HTTP/1.1", 14}, FIRST_HTTP, 4},
        {{"POST / HTTP/1.1", 15}, FIRST_HTTP, 5},
        {{"OPTIONS * HTTP/1.1", 16}, FIRST_HTTP, 8},
        {{"get / HTTP/1.1", 14}, FIRST_OTHER, 1},
        {{"PRI * HTTP/2.0", 14}, FIRST_OTHER, 2},
        {{"PROXY TCP4", 10}, FIRST_OTHER, 2},
        {{"SSH-2.0-x", 9}, FIRST_OTHER, 1},
        {{"\0", 1}, FIRST_OTHER, 1},
        {{"\x80\x2e\x01", 3}, FIRST_OTHER, 1},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        for (size_t len = 0; len <= cases[i].bytes.len; len++) {
            bool body;
            enum first_bytes is = first_bytes_judge((const unsigned char *)cases[i].bytes.ptr, len, &body);
            if (is != (len < cases[i].known_at ? FIRST_MORE : cases[i].is))
                fail_msg("case %zu at %zu bytes: %d", i, len, is);
        }
    }
}

static void test_who_does_not_speak_tls_is_named_and_an_http_client_answered(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice sent;
        enum sp_refusal reason;
        const char *detail;
    } cases[] = {
        {{"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n", 30}, SP_REFUSAL_plain_http, "400"},
        {{"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 40}, SP_REFUSAL_plain_http, "400"},
        {{"SSH-2.0-OpenSSH_9\r\n", 19}, SP_REFUSAL_not_tls, ""},
        {{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24}, SP_REFUSAL_not_tls, ""},
        {{"GE", 2}, SP_REFUSAL_not_tls, "ended before"},
        {{"", 0}, SP_REFUSAL_no_data, ""},
    };
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, all_sites, 1);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        for (size_t chunk = 1; chunk <= cases[i].sent.len + 1;
             chunk += cases[i].sent.len + 1 - chunk > 8 ? 1 : 8) {
            struct tls_client c = {0};
            struct tls_link l;
            tls_link_open(&l, &e, &c);
            for (size_t at = 0; at < cases[i].sent.len && l.rc == SP_AGAIN; at += chunk) {
                size_t n = cases[i].sent.len - at < chunk ? cases[i].sent.len - at : chunk;
                assert_int_equal(send(l.fd, cases[i].sent.ptr + at, n, MSG_NOSIGNAL), n);
                sp_transport_ready(l.t, SP_EV_READ);
                l.rc = sp_tls_handshake(l.t, &l.refusal);
            }
            if (l.rc == SP_AGAIN) {
                shutdown(l.fd, SHUT_WR);
                sp_transport_ready(l.t, SP_EV_READ | SP_EV_CLOSED);
                l.rc = sp_tls_handshake(l.t, &l.refusal);
            }
            assert_int_equal(l.rc, SP_FAIL);
            if (l.refusal.reason != cases[i].reason || strstr(l.refusal.detail, cases[i].detail) == NULL)
                fail_msg("case %zu: %s (%s)", i, sp_refusal_name(l.refusal.reason), l.refusal.detail);
            sp_transport_free(l.t);
            l.t = NULL;
            char answer[512] = "";
            ssize_t got = recv(l.fd, answer, sizeof answer - 1, 0);
            if (cases[i].reason == SP_REFUSAL_plain_http) {
                assert_true(got > 0);
                assert_memory_equal(answer, "HTTP/1.1 400 ", 13);
                const char *body = strstr(answer, "\r\n\r\n"), *length = strstr(answer, "Content-Length: ");
                assert_true(body != NULL && length != NULL);
                assert_int_equal(strlen(body + 4), strtoul(length + 16, NULL, 10));
                assert_int_equal(recv(l.fd, answer, sizeof answer, 0), 0); /* an orderly end */
            } else {
                assert_true(got <= 0);
            }
            tls_link_free(&l);
        }
    }
    tls_end_free(&e);
}

static void test_a_deadline_keeps_what_was_found_out_before(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice sent;
        enum sp_refusal reason;
    } cases[] = {
        {{"", 0}, SP_REFUSAL_handshake_timeout},
        {{"\x16\x03\x01", 3}, SP_REFUSAL_handshake_timeout},
        {{"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", 38}, SP_REFUSAL_plain_http},
    };
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, all_sites, 1);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct tls_client c = {0};
        struct tls_link l;
        tls_link_open(&l, &e, &c);
        assert_int_equal(send(l.fd, cases[i].sent.ptr, cases[i].sent.len, 0), cases[i].sent.len);
        assert_int_equal(sp_tls_handshake(l.t, &l.refusal), SP_AGAIN);
        sp_tls_handshake_expired(l.t, &l.refusal);
        assert_int_equal(l.refusal.reason, cases[i].reason);
        tls_link_free(&l);
    }
    tls_end_free(&e);
}

/* ---- what the operator gave ---- */

static void test_unusable_certificates_are_named_and_doubtful_ones_warned_of(void **state)
{
    (void)state;
    const struct sp_config_certificate good = all_sites[0], wild = all_sites[1];
    const char *both =
        fix_write_text("garbage.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    const struct {
        struct sp_config_certificate certs[2];
        size_t count, errors, warnings;
        const char *says;
    } cases[] = {
        {{good}, 1, 0, 0, NULL},
        {{{.at = {7, 3}, .chain = "/nonexistent/c.pem", .key = good.key}}, 1, 1, 0, "/nonexistent/c.pem"},
        {{{.at = {7, 3}, .chain = good.chain, .key = "/nonexistent/k.pem"}}, 1, 1, 0,
            "key /nonexistent/k.pem: No such file"},
        {{{.at = {7, 3}, .chain = "/nonexistent/c.pem", .key = "/nonexistent/k.pem"}}, 1, 2, 0,
            "/nonexistent/c.pem"},
        {{{.at = {7, 3}, .chain = good.chain, .key = wild.key}}, 1, 1, 0,
            "does not belong to the certificate"},
        {{{.at = {7, 3}, .chain = both, .key = good.key}}, 1, 1, 0, both},
        {{{.at = {7, 3}, .chain = good.chain, .key = good.chain}}, 1, 1, 0, "no usable PEM private key"},
        {{{.at = {7, 3}, .chain = good.chain, .key = tls_write_key("locked.key", pki.site_a.key, "secret")}},
            1, 1, 0, "is encrypted"},
        {{good, {.at = {7, 3}, .chain = good.chain, .key = wild.key}}, 2, 1, 0, "does not belong"},
        {{good, good}, 2, 0, 1, "is never used"},
        {{tls_files("plain", &pki.site_plain)}, 1, 0, 0, NULL},
        {{good, tls_files("plain", &pki.site_plain)}, 2, 0, 1, "has no DNS name"},
        {{tls_files("expired", &pki.expired)}, 1, 0, 1, "expired at"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_diags diags = {0};
        struct tls_plan plan = {.hosts[0] = {.certs = cases[i].certs, .cert_count = cases[i].count}};
        struct tls_end e = tls_end_try(&pki, &plan, &diags);
        const char *text = diags.count > 0 ? diags.items[0].text : "";
        if (diags.errors != cases[i].errors || diags.warnings != cases[i].warnings)
            fail_msg("case %zu: %zu errors, %zu warnings: %s", i, diags.errors, diags.warnings, text);
        assert_int_equal(e.server == NULL, cases[i].errors > 0);
        if (cases[i].says != NULL) {
            if (strstr(text, cases[i].says) == NULL)
                fail_msg("case %zu: %s", i, text);
            assert_string_equal(diags.items[0].file, "test.yaml");
            assert_int_equal(diags.items[0].at.line, 7);
        }
        tls_end_free(&e);
        sp_diags_free(&diags);
    }
}

static void test_records_stay_ours_though_openssl_was_told_to_give_them_to_the_kernel(void **state)
{
    (void)state;
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    assert_non_null(ctx);
    SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS); /* as "Options = KTLS" in openssl.cnf does */
    assert_true(context_set_common(ctx, SP_TLS_1_2));
    assert_int_equal(SSL_CTX_get_options(ctx) & SSL_OP_ENABLE_KTLS, 0);
    SSL_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_proven_client_is_let_in_however_its_bytes_are_cut),
        cmocka_unit_test(test_without_tickets_no_session_can_be_resumed),
        cmocka_unit_test(test_an_optional_listener_lets_in_without_a_certificate_but_not_with_a_bad_one),
        cmocka_unit_test(test_each_refusal_has_its_reason_and_its_alert),
        cmocka_unit_test(test_a_client_that_goes_away_in_the_middle_is_named_so),
        cmocka_unit_test(test_the_certificate_follows_the_server_name),
        cmocka_unit_test(test_the_very_name_wins_over_an_earlier_wildcard),
        cmocka_unit_test(test_a_client_of_another_site_is_judged_by_the_same_trust),
        cmocka_unit_test(test_first_bytes_are_judged_as_soon_as_they_say_what_they_are),
        cmocka_unit_test(test_who_does_not_speak_tls_is_named_and_an_http_client_answered),
        cmocka_unit_test(test_a_deadline_keeps_what_was_found_out_before),
        cmocka_unit_test(test_unusable_certificates_are_named_and_doubtful_ones_warned_of),
        cmocka_unit_test(test_records_stay_ours_though_openssl_was_told_to_give_them_to_the_kernel),
    };
    return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
