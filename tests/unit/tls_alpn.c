/* Which protocol is agreed on inside TLS, and what a connection tells of itself afterwards: to PROXY headers, to records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tls_fixture.h"

static struct tls_pki pki;
static struct sp_config_certificate site_a, site_rsa;

static int set_up(void **state)
{
    (void)state;
    tls_pki_make(&pki);
    site_a = tls_files("a", &pki.site_a);
    site_rsa = tls_files("rsa", &pki.site_rsa);
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

static struct tls_end listener_of(enum sp_listener_mode mode, const char *const *alpn, size_t count,
    const struct sp_config_certificate *certificate)
{
    const struct tls_plan plan = {.min = SP_TLS_1_2,
        .mode = mode,
        .alpn = {.items = alpn, .count = count},
        .hosts = {{.certs = certificate, .cert_count = 1}}};
    return tls_end_plan(&pki, &plan);
}

static void test_the_listeners_own_order_decides_and_what_it_does_not_list_is_refused(void **state)
{
    (void)state;
    static const char *const ours[] = {"postgresql", "redis"};
    static const struct {
        enum sp_listener_mode mode;
        size_t ours;
        struct sp_slice offered;
        const char *agreed; /* "" none; NULL: refused */
    } cases[] = {
        {SP_MODE_HTTP, 0, {"\x08http/1.1", 9}, "http/1.1"},
        {SP_MODE_HTTP, 0, {NULL, 0}, ""},
        {SP_MODE_HTTP, 0, {"\x0apostgresql", 11}, NULL},
        {SP_MODE_TCP, 2, {"\x0apostgresql", 11}, "postgresql"},
        {SP_MODE_TCP, 2, {"\x05redis\x0apostgresql", 17}, "postgresql"},
        {SP_MODE_TCP, 2, {"\x02h2\x05redis", 9}, "redis"},
        {SP_MODE_TCP, 1, {"\x05redis", 6}, NULL},
        {SP_MODE_TCP, 2, {"\x08http/1.1", 9}, NULL},
        {SP_MODE_TCP, 2, {"\x09postgresq\x0bpostgresqlx", 22}, NULL},
        {SP_MODE_TCP, 2, {NULL, 0}, ""},
        {SP_MODE_TCP, 0, {"\x08http/1.1", 9}, ""},
        {SP_MODE_TCP, 0, {"\x0apostgresql", 11}, ""},
        {SP_MODE_TCP, 0, {NULL, 0}, ""},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases) * 2; i++) {
        struct tls_end e = listener_of(cases[i / 2].mode, ours, cases[i / 2].ours, &site_a);
        struct tls_client c = {
            .cert = &pki.good, .min = versions[i % 2], .max = versions[i % 2], .alpn = cases[i / 2].offered};
        struct tls_link l;
        tls_link_open(&l, &e, &c);
        assert_int_equal(sp_tls_alpn(l.t).len, 0);
        tls_link_shake(&l, &c);
        if (cases[i / 2].agreed == NULL) {
            assert_int_equal(l.rc, SP_FAIL);
            assert_int_equal(l.refusal.reason, SP_REFUSAL_no_alpn);
        } else {
            assert_int_equal(l.rc, SP_OK);
            if (!sp_slice_equal(sp_tls_alpn(l.t), sp_slice_of(cases[i / 2].agreed)))
                fail_msg("case %zu: \"%.*s\"", i / 2, SP_FMT(sp_tls_alpn(l.t)));
            assert_int_equal(sp_tls_alpn(l.t).ptr == NULL, cases[i / 2].agreed[0] == '\0');
        }
        tls_link_free(&l);
        tls_end_free(&e);
    }
}

static void test_a_connection_names_its_cipher_and_our_certificates_algorithms(void **state)
{
    (void)state;
    static const char *const ciphers[] = {"ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_256_GCM_SHA384"};
    const struct {
        const struct sp_config_certificate *certificate;
        const char *key;
    } cases[] = {{&site_a, "EC256"}, {&site_rsa, "RSA2048"}};
    for (size_t i = 0; i < SP_COUNTOF(cases) * 2; i++) {
        struct tls_end e = listener_of(SP_MODE_HTTP, NULL, 0, cases[i / 2].certificate);
        struct tls_client c = {.cert = &pki.good, .min = versions[i % 2], .max = versions[i % 2]};
        struct tls_link l;
        struct sp_tls_algorithms algorithms;
        tls_link_open(&l, &e, &c);
        assert_string_equal(sp_tls_cipher(l.t), "");
        sp_tls_own_algorithms(l.t, &algorithms);
        assert_string_equal(algorithms.signature, "");
        assert_string_equal(algorithms.key, "");
        tls_link_shake(&l, &c);
        assert_int_equal(l.rc, SP_OK);
        if (i == 0 || versions[i % 2] == TLS1_3_VERSION)
            assert_string_equal(sp_tls_cipher(l.t), ciphers[i % 2]);
        sp_tls_own_algorithms(l.t, &algorithms);
        assert_string_equal(algorithms.signature, "ecdsa-with-SHA256"); /* by the CA's key */
        assert_string_equal(algorithms.key, cases[i / 2].key);
        tls_link_free(&l);
        tls_end_free(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_listeners_own_order_decides_and_what_it_does_not_list_is_refused),
        cmocka_unit_test(test_a_connection_names_its_cipher_and_our_certificates_algorithms),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
