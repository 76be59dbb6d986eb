/* Handshakes in a library context of a gate's own: whoever is let in or refused is let in or refused as in OpenSSL's own, and by the
 * same words. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include "tls_fixture.h"

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct tls_pki pki;
static struct sp_config_certificate sites[2];
static struct sp_tls_library *library;

static int set_up(void **state)
{
    (void)state;
    tls_pki_make(&pki);
    sites[0] = tls_files("ec", &pki.site_ec);
    sites[1] = tls_files("rsa", &pki.site_rsa);
    library = sp_tls_library_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_pki_free(&pki);
    fix_remove_folder();
    sp_tls_library_free(library);
    return 0;
}

/* ---- one handshake, and the same one in OpenSSL's own context ---- */

struct outcome {
    enum sp_rc rc;
    enum sp_refusal reason;
    char detail[256];
    int alert;
    char cipher[64], group[32];
};

/* What the gate does is done in `in`; the client is everybody's. */
static struct outcome shake_in(struct sp_tls_library *in, struct tls_pki *p, struct tls_plan plan,
    const struct tls_client *c, const char *suites)
{
    struct outcome out = {0};
    struct tls_link l;
    struct sp_tls_algorithms used;

    plan.library = in;
    struct tls_end e = tls_end_plan(p, &plan);
    tls_link_open(&l, &e, c);
    if (suites != NULL)
        assert_int_equal(SSL_set_ciphersuites(l.client, suites), 1);
    sp_tls_library_enter(in);
    tls_link_shake(&l, c);
    out.rc = l.rc;
    out.alert = l.alert;
    if (l.rc == SP_FAIL) {
        out.reason = l.refusal.reason;
        snprintf(out.detail, sizeof out.detail, "%s", l.refusal.detail);
    } else {
        struct sp_identity *id = sp_tls_take_identity(l.t);
        assert_non_null(id);
        sp_identity_free(id);
        sp_tls_own_algorithms(l.t, &used);
        snprintf(out.cipher, sizeof out.cipher, "%s", sp_tls_cipher(l.t));
        snprintf(out.group, sizeof out.group, "%s", used.group);
    }
    tls_link_free(&l);
    tls_end_free(&e);
    (void)OSSL_LIB_CTX_set0_default(OSSL_LIB_CTX_get0_global_default());
    assert_int_equal(ERR_peek_error(), 0);
    return out;
}

static struct outcome shake_alike(const char *what, int version, struct tls_pki *p, struct tls_host host,
    const struct tls_client *client, const char *suites)
{
    struct tls_plan plan = {.min = SP_TLS_1_2, .hosts[0] = host};
    struct tls_client c = *client;

    c.min = c.max = version;
    c.sni = "both.test";
    struct outcome plain = shake_in(NULL, p, plan, &c, suites);
    struct outcome ours = shake_in(library, p, plan, &c, suites);
    if (ours.rc != plain.rc || ours.reason != plain.reason || ours.alert != plain.alert ||
        strcmp(ours.detail, plain.detail) != 0 || strcmp(ours.cipher, plain.cipher) != 0 ||
        strcmp(ours.group, plain.group) != 0)
        fail_msg("%s, %x: %d %s (%s, alert %d, %s, %s), but in OpenSSL's own %d %s (%s, alert %d, %s, %s)",
            what, version, ours.rc, sp_refusal_name(ours.reason), ours.detail, ours.alert, ours.cipher,
            ours.group, plain.rc, sp_refusal_name(plain.reason), plain.detail, plain.alert, plain.cipher,
            plain.group);
    return ours;
}

static struct tls_host host_of_sites(void)
{
    return (struct tls_host){.mode = SP_AUTH_REQUIRED, .certs = sites, .cert_count = SP_COUNTOF(sites)};
}

/* ---- tests ---- */

#define OPENSSL_3_0 0x30000000UL
#define OPENSSL_3_2 0x30200000UL
#define NEVER       ULONG_MAX

static void test_there_is_one_where_openssl_gains_by_it(void **state)
{
    (void)state;
    unsigned long version = OpenSSL_version_num();

    assert_int_equal(library != NULL, version < OPENSSL_3_2);
    assert_int_equal(ERR_peek_error(), 0);
}

static struct fix_cert issue(
    struct fix_spec spec, const char *algorithm, const struct fix_cert *ca, bool is_ca)
{
    int64_t shift = (int64_t)time(NULL) - FIX_NOW;

    spec.algorithm = algorithm;
    spec.from = shift - FIX_DAY;
    spec.to = shift + FIX_DAY;
    return fix_issue(&spec, ca, is_ca);
}

/* Lists the leaf, if `revoked`; the intermediate's signature is verified with a key that only the client sent. */
static const char *write_crls(const struct fix_cert *root, const struct fix_cert *middle, const X509 *revoked)
{
    int64_t shift = (int64_t)time(NULL) - FIX_NOW;
    X509_CRL *crls[] = {
        fix_crl(&(struct fix_crl_spec){.from = shift - FIX_HOUR, .to = shift + FIX_DAY}, root),
        fix_crl(&(struct fix_crl_spec){.from = shift - FIX_HOUR, .to = shift + FIX_DAY, .revoked = {revoked}},
            middle)};
    const char *path = fix_write_crls(revoked != NULL ? "revoking.crl" : "empty.crl", crls, SP_COUNTOF(crls));

    for (size_t i = 0; i < SP_COUNTOF(crls); i++)
        X509_CRL_free(crls[i]);
    return path;
}

static void test_chains_of_every_kind_of_key_are_judged_as_in_openssls_own_context(void **state)
{
    (void)state;
    static const struct {
        const char *algorithm;
        unsigned long let_in[2]; /* by 1.2, by 1.3: from which OpenSSL on; NEVER */
    } kinds[] = {
        {"P-256", {OPENSSL_3_0, OPENSSL_3_0}},
        {"P-384", {OPENSSL_3_0, OPENSSL_3_0}},
        {"P-521", {OPENSSL_3_0, OPENSSL_3_0}},
        {"RSA", {OPENSSL_3_0, OPENSSL_3_0}},
        {"RSA-PSS", {OPENSSL_3_0, OPENSSL_3_0}},
        {"ED25519", {OPENSSL_3_0, OPENSSL_3_0}},
        {"ED448", {OPENSSL_3_0, OPENSSL_3_0}},
        {"brainpoolP256r1", {NEVER, OPENSSL_3_2}}, /* 1.2 would want it among the groups that we offer */
        {"DSA", {NEVER, NEVER}},
    };
    for (size_t k = 0; k < SP_COUNTOF(kinds); k++) {
        const char *algorithm = kinds[k].algorithm;
        struct tls_pki p = pki;
        p.client_ca = issue((struct fix_spec){.subject = "CN=root", .key_ids = true}, algorithm, NULL, true);
        struct fix_cert middle =
            issue((struct fix_spec){.subject = "CN=middle"}, algorithm, &p.client_ca, true);
        struct fix_cert leaf = issue((struct fix_spec){.subject = "CN=leaf"}, algorithm, &middle, false);
        struct fix_cert other = issue((struct fix_spec){.subject = "CN=other"}, "P-256", &middle, false);
        struct tls_host hosts[] = {host_of_sites(), host_of_sites()};
        hosts[0].crl = write_crls(&p.client_ca, &middle, NULL);
        hosts[1].crl = write_crls(&p.client_ca, &middle, leaf.cert);
        for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
            struct tls_client c = {.cert = &leaf, .above = &middle};
            struct outcome good = shake_alike(algorithm, versions[v], &p, hosts[0], &c, NULL);
            struct outcome bad = shake_alike(algorithm, versions[v], &p, hosts[1], &c, NULL);
            if ((good.rc == SP_OK) != (OpenSSL_version_num() >= kinds[k].let_in[v]) || bad.rc == SP_OK ||
                (good.rc == SP_OK && bad.reason != SP_REFUSAL_revoked))
                fail_msg("%s, %x: %d %s %s, revoked: %d %s %s", algorithm, versions[v], good.rc,
                    sp_refusal_name(good.reason), good.detail, bad.rc, sp_refusal_name(bad.reason),
                    bad.detail);
            c.cert = &other; /* of a key that all can use, below issuers whose are of that kind */
            assert_int_equal(shake_alike(algorithm, versions[v], &p, hosts[0], &c, NULL).rc, SP_OK);
        }
        fix_free(&other);
        fix_free(&leaf);
        fix_free(&middle);
        fix_free(&p.client_ca);
    }
}

static void test_a_certificate_beside_the_chain_may_have_any_key(void **state)
{
    (void)state;
    static const char *const kinds[] = {"X25519", "X448", "SM2"};

    for (size_t k = 0; k < SP_COUNTOF(kinds); k++) {
        struct fix_cert odd = issue((struct fix_spec){.subject = "CN=odd"}, kinds[k], &pki.other_ca, false);
        struct tls_client c = {.cert = &pki.good, .above = &odd};
        for (size_t v = 0; v < SP_COUNTOF(versions); v++)
            assert_int_equal(shake_alike(kinds[k], versions[v], &pki, host_of_sites(), &c, NULL).rc, SP_OK);
        fix_free(&odd);
    }
}

static void test_every_cipher_and_group_of_ours_is_agreed_on(void **state)
{
    (void)state;
    static const char *const ciphers[] = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305"};
    static const char *const suites[] = {
        "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"};
    static const struct {
        const char *name, *agreed; /* NULL: none of ours */
    } groups[] = {{"X25519", "x25519"}, {"P-256", "secp256r1"}, {"P-384", "secp384r1"},
        {"P-521", "secp521r1"}, {"X448", NULL}, {"ffdhe2048", NULL}};

    for (size_t i = 0; i < SP_COUNTOF(ciphers); i++) {
        struct tls_client c = {.cert = &pki.good, .ciphers = ciphers[i]};
        struct outcome got = shake_alike(ciphers[i], TLS1_2_VERSION, &pki, host_of_sites(), &c, NULL);
        assert_string_equal(got.cipher, ciphers[i]);
    }
    for (size_t i = 0; i < SP_COUNTOF(suites); i++) {
        struct tls_client c = {.cert = &pki.good};
        struct outcome got = shake_alike(suites[i], TLS1_3_VERSION, &pki, host_of_sites(), &c, suites[i]);
        assert_string_equal(got.cipher, suites[i]);
    }
    /* in 1.2 the groups are those of the certificates' keys as well */
    struct fix_cert rsa = issue((struct fix_spec){.subject = "CN=rsa"}, "RSA", &pki.client_ca, false);
    for (size_t i = 0; i < SP_COUNTOF(groups); i++) {
        struct tls_client c = {.cert = &rsa, .groups = groups[i].name};
        bool finite_field = strcmp(groups[i].name, "ffdhe2048") == 0; /* 1.3 only */
        for (size_t v = finite_field; v < SP_COUNTOF(versions); v++) {
            struct outcome got = shake_alike(groups[i].name, versions[v], &pki, host_of_sites(), &c, NULL);
            assert_int_equal(got.rc, groups[i].agreed != NULL ? SP_OK : SP_FAIL);
            if (got.rc == SP_OK)
                assert_string_equal(got.group, groups[i].agreed);
        }
    }
    fix_free(&rsa);
}

static void test_refusals_have_the_words_of_openssls_own_context(void **state)
{
    (void)state;
    const struct {
        const char *name;
        enum sp_refusal reason;
        struct tls_client client;
    } cases[] = {
        {"none", SP_REFUSAL_no_certificate, {0}},
        {"stranger", SP_REFUSAL_untrusted_issuer, {.cert = &pki.stranger}},
        {"expired", SP_REFUSAL_expired, {.cert = &pki.expired}},
        {"purpose", SP_REFUSAL_wrong_purpose, {.cert = &pki.wrong_purpose}},
        {"hostile", SP_REFUSAL_hostile_name, {.cert = &pki.hostile}},
        {"junk", SP_REFUSAL_too_large, {.cert = &pki.good, .chain_junk = 60}},
        {"ciphers", SP_REFUSAL_no_shared_cipher,
            {.cert = &pki.good, .ciphers = "AES128-GCM-SHA256", .max = TLS1_2_VERSION}},
    };

    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        size_t count = cases[i].client.max != 0 ? 1 : SP_COUNTOF(versions);
        for (size_t v = 0; v < count; v++) {
            struct outcome got =
                shake_alike(cases[i].name, versions[v], &pki, host_of_sites(), &cases[i].client, NULL);
            if (got.rc != SP_FAIL || got.reason != cases[i].reason)
                fail_msg("%s: %d %s", cases[i].name, got.rc, sp_refusal_name(got.reason));
        }
    }
}

/* OpenSSL tells what it did on its own thread; a session goes on on another. */
static void test_an_open_connection_goes_on_outside_of_the_library(void **state)
{
    (void)state;
    struct tls_plan plan = {.min = SP_TLS_1_2, .hosts[0] = host_of_sites(), .library = library};
    struct tls_end e = tls_end_plan(&pki, &plan);
    struct tls_client c = {.cert = &pki.good, .sni = "both.test", .early = SP_SLICE("one")};
    struct tls_link l;
    char buf[16];
    size_t n;

    tls_link_open(&l, &e, &c);
    sp_tls_library_enter(library);
    tls_link_shake(&l, &c);
    (void)OSSL_LIB_CTX_set0_default(OSSL_LIB_CTX_get0_global_default());
    assert_int_equal(l.rc, SP_OK);
    tls_end_free(&e);
    assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_OK);
    assert_memory_equal(buf, "one", n);
    assert_int_equal(SSL_key_update(l.client, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(l.client, "two", 3), 3);
    tls_link_carry(&l);
    tls_ready(l.t);
    assert_int_equal(sp_transport_read(l.t, buf, sizeof buf, &n), SP_OK);
    assert_memory_equal(buf, "two", n);
    tls_link_free(&l);
}

/* Last: a provider of the whole process's stays. */
static void test_where_the_operator_has_another_provider_there_is_no_library(void **state)
{
    (void)state;
    OSSL_PROVIDER *base = OSSL_PROVIDER_load(NULL, "base");
    assert_non_null(base);
    assert_null(sp_tls_library_new());
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(OSSL_PROVIDER_unload(base), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_is_one_where_openssl_gains_by_it),
        cmocka_unit_test(test_chains_of_every_kind_of_key_are_judged_as_in_openssls_own_context),
        cmocka_unit_test(test_a_certificate_beside_the_chain_may_have_any_key),
        cmocka_unit_test(test_every_cipher_and_group_of_ours_is_agreed_on),
        cmocka_unit_test(test_refusals_have_the_words_of_openssls_own_context),
        cmocka_unit_test(test_an_open_connection_goes_on_outside_of_the_library),
        cmocka_unit_test(test_where_the_operator_has_another_provider_there_is_no_library),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
