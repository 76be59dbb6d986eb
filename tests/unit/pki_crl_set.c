/* A CRL as a set: every serial is found and no other, and the first look into it may come from several threads
 * at once. */
#include "pki_bench.h"

#include <pthread.h>

#include "pki/crl.h"

/* ---- threads ---- */

struct racer {
    const struct bench *bench;
    const struct fix_cert *leaf, *inter;
    unsigned refused;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    for (int i = 0; i < 50; i++) {
        struct sp_verdict v = bench_judge_at(r->bench, r->leaf, &r->inter, 1, FIX_NOW);
        r->refused += v.reason == SP_REFUSAL_revoked;
    }
    return NULL;
}

/* The CRL of an intermediate that is not in the bundle is verified at the first handshake, by whichever thread
 * is there first. */
static void test_the_first_use_of_a_crl_may_come_from_several_threads(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_cert inter = fix_issue(&(struct fix_spec){.subject = "CN=intermediate"}, &root, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &inter, false);
    X509_CRL *crls[] = {fix_crl(&(struct fix_crl_spec){0}, &root),
        fix_crl(&(struct fix_crl_spec){.revoked = {leaf.cert}}, &inter)};
    struct bench b = {.auth = {.depth = 4}};
    struct racer racers[4];
    pthread_t threads[4];
    bench_ca(&b, fix_write_certs("ca.pem", &root.cert, 1));
    bench_crl(&b, fix_write_crls("all.crl", crls, 2));
    bench_open(&b);
    for (size_t i = 0; i < 4; i++) {
        racers[i] = (struct racer){&b, &leaf, &inter, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].refused, 50);
    }
    bench_close(&b);
    X509_CRL_free(crls[0]);
    X509_CRL_free(crls[1]);
    fix_free(&leaf);
    fix_free(&inter);
    fix_free(&root);
}

/* ---- the set ---- */

static void test_every_serial_of_a_large_crl_is_found_and_no_other(void **state)
{
    (void)state;
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, FIX_NOW);
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca.cert));
    X509_CRL_set1_lastUpdate(crl, when);
    for (uint64_t i = 0; i < 5000; i++) { /* odd numbers, scrambled */
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER_set_uint64(serial, ((i * 7919) % 5000) * 2 + 1);
        X509_REVOKED_set_serialNumber(entry, serial);
        X509_REVOKED_set_revocationDate(entry, when);
        X509_CRL_add0_revoked(crl, entry);
    }
    assert_true(X509_CRL_sign(crl, ca.key, EVP_sha256()) > 0);
    struct sp_err err;
    struct sp_crl *c = sp_crl_new("big", crl, &err);
    assert_non_null(c);
    for (uint64_t n = 0; n <= 10001; n++) {
        ASN1_INTEGER_set_uint64(serial, n);
        assert_int_equal(sp_crl_find(c, serial) != NULL, n % 2 == 1 && n < 10000);
    }
    sp_crl_free(c);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(when);
    X509_CRL_free(crl);
    fix_free(&ca);
}

static int tear_down(void **state)
{
    (void)state;
    fix_remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_use_of_a_crl_may_come_from_several_threads),
        cmocka_unit_test(test_every_serial_of_a_large_crl_is_found_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
