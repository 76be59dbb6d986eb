/* Stapling as a client sees it: the response about the very certificate that it is shown, only if it asked, only one that
 * says good; and what an operator is told of a file that is of no use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "ocsp_fixture.h"
#include "tls_fixture.h"

static struct tls_pki pki;

static int make(void **state)
{
    (void)state;
    tls_pki_make(&pki);
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    tls_pki_free(&pki);
    fix_remove_folder();
    return 0;
}

/* With its issuer in the chain file, as stapling needs it, and a response beside it. */
static struct sp_config_certificate with_staple(
    const char *name, const struct fix_cert *c, const struct fix_ocsp_spec *about, struct sp_slice *der)
{
    struct sp_config_certificate config = tls_files(name, c);
    X509 *chain[] = {c->cert, pki.server_ca.cert};
    struct fix_ocsp_spec spec = *about;
    char file[64];
    snprintf(file, sizeof file, "%s-chain.pem", name);
    config.chain = fix_write_certs(file, chain, 2);
    spec.about = c;
    spec.issuer = &pki.server_ca;
    spec.now = (int64_t)time(NULL);
    *der = fix_ocsp(&spec);
    snprintf(file, sizeof file, "%s.ocsp", name);
    config.staple_file = fix_write_ocsp(file, *der);
    return config;
}

static void expect_staple(struct tls_end *e, const struct tls_client *client, bool asks, struct sp_slice want)
{
    struct tls_link l;
    const unsigned char *got = NULL;
    tls_link_open(&l, e, client);
    if (asks)
        SSL_set_tlsext_status_type(l.client, TLSEXT_STATUSTYPE_ocsp);
    tls_link_shake(&l, client);
    assert_int_equal(l.rc, SP_OK);
    long len = SSL_get_tlsext_status_ocsp_resp(l.client, &got);
    if (want.len == 0) {
        assert_true(len <= 0);
    } else {
        assert_int_equal(len, want.len);
        assert_memory_equal(got, want.ptr, want.len);
    }
    tls_link_free(&l);
}

static void test_each_certificate_comes_with_its_own_response_and_only_to_who_asks(void **state)
{
    (void)state;
    struct sp_slice rsa, ec;
    struct fix_ocsp_spec good = {.from = -60};
    struct sp_config_certificate certs[] = {with_staple("staple-rsa", &pki.site_rsa, &good, &rsa),
        with_staple("staple-ec", &pki.site_ec, &good, &ec)};
    struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, certs, 2);
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < SP_COUNTOF(versions); i++) {
        struct tls_client c = {.cert = &pki.good, .sni = "both.test", .min = versions[i], .max = versions[i]};
        c.sigalgs = "rsa_pss_rsae_sha256:RSA+SHA256:ecdsa_secp256r1_sha256";
        c.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
        if (versions[i] == TLS1_2_VERSION)
            expect_staple(&e, &c, true, rsa);
        c.ciphers = NULL;
        c.sigalgs = "ecdsa_secp256r1_sha256:RSA+SHA256";
        expect_staple(&e, &c, true, ec);
        expect_staple(&e, &c, false, (struct sp_slice){NULL, 0});
    }
    tls_end_free(&e);
    OPENSSL_free((void *)rsa.ptr);
    OPENSSL_free((void *)ec.ptr);
}

static void test_what_does_not_say_good_is_not_sent(void **state)
{
    (void)state;
    const struct fix_ocsp_spec specs[] = {
        {.from = -2 * FIX_DAY, .to = -FIX_DAY},
        {.from = -60, .to = -20}, /* over, though a client's clock might still take it */
        {.from = -60, .status = V_OCSP_CERTSTATUS_REVOKED},
    };
    for (size_t i = 0; i < SP_COUNTOF(specs); i++) {
        struct sp_slice der;
        struct sp_config_certificate cert = with_staple("staple-none", &pki.site_a, &specs[i], &der);
        struct tls_end e = tls_end_make(&pki, SP_AUTH_REQUIRED, SP_TLS_1_2, &cert, 1);
        expect_staple(
            &e, &(struct tls_client){.cert = &pki.good, .sni = "a.test"}, true, (struct sp_slice){NULL, 0});
        tls_end_free(&e);
        OPENSSL_free((void *)der.ptr);
    }
}

static bool says(const struct sp_diags *diags, enum sp_severity severity, const char *words)
{
    for (size_t i = 0; i < diags->count; i++) {
        if (diags->items[i].severity == severity && strstr(diags->items[i].text, words) != NULL)
            return true;
    }
    return false;
}

static void test_whose_fault_a_useless_file_is_decides_what_it_stops(void **state)
{
    (void)state;
    const struct {
        const char *name;
        struct fix_ocsp_spec spec;
        const char *file, *url; /* `file` instead of the response; `url`: it is fetched */
        enum sp_severity severity;
        const char *words;
    } cases[] = {
        {"own, absent", {0}, "/nonexistent.ocsp", NULL, SP_DIAG_ERROR, "cannot be opened"},
        {"own, about another", {.others = 64}, NULL, NULL, SP_DIAG_ERROR, "more than 64"},
        {"own, unknown", {.status = V_OCSP_CERTSTATUS_UNKNOWN}, NULL, NULL, SP_DIAG_ERROR, "does not know"},
        {"own, expired", {.from = -9 * FIX_DAY, .to = -FIX_DAY}, NULL, NULL, SP_DIAG_WARNING, "ended at"},
        {"own, revoked", {.status = V_OCSP_CERTSTATUS_REVOKED}, NULL, NULL, SP_DIAG_WARNING, "REVOKED"},
        {"own, without end", {.from = -9, .no_end = true}, NULL, NULL, SP_DIAG_WARNING, "no nextUpdate"},
        {"fetched, absent", {0}, "/nonexistent.ocsp", "http://r/", SP_DIAG_WARNING,
            "none has been fetched yet"},
        {"fetched, unknown", {.status = V_OCSP_CERTSTATUS_UNKNOWN}, NULL, "http://r/", SP_DIAG_WARNING,
            "does not know"},
        {"nobody to ask", {0}, NULL, "auto", SP_DIAG_ERROR, "names no OCSP responder"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_slice der;
        struct sp_config_certificate cert = with_staple("staple-case", &pki.site_a, &cases[i].spec, &der);
        struct sp_diags diags = {0};
        if (cases[i].file != NULL)
            cert.staple_file = cases[i].file;
        cert.staple_url = cases[i].url;
        struct tls_plan plan = {
            .min = SP_TLS_1_2, .hosts = {{.certs = &cert, .cert_count = 1, .mode = SP_AUTH_REQUIRED}}};
        struct tls_end e = tls_end_try(&pki, &plan, &diags);
        if (!says(&diags, cases[i].severity, cases[i].words))
            print_message("%s\n", cases[i].name);
        assert_true(says(&diags, cases[i].severity, cases[i].words));
        assert_int_equal(diags.errors, cases[i].severity == SP_DIAG_ERROR ? 1 : 0);
        assert_int_equal(e.server != NULL, cases[i].severity != SP_DIAG_ERROR);
        tls_end_free(&e);
        sp_diags_free(&diags);
        OPENSSL_free((void *)der.ptr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_certificate_comes_with_its_own_response_and_only_to_who_asks),
        cmocka_unit_test(test_what_does_not_say_good_is_not_sent),
        cmocka_unit_test(test_whose_fault_a_useless_file_is_decides_what_it_stops),
    };
    return cmocka_run_group_tests(tests, make, remove_all);
}
