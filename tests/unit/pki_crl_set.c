/* A CRL as a set: every serial is found and no other, and the first look into it may come from several threads
 * at once. */
#include "pki_bench.h"

#include <pthread.h>

#include "pki/crl/serials_sort.h"
#include "pki_crl_bytes.h"

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

static bool is_listed(const struct sp_crl *c, const ASN1_INTEGER *serial)
{
    uint8_t key[SP_SERIAL_MAX_KEY];
    struct sp_revoked entry;
    size_t len = 0;
    return sp_crl_serial_key(serial, key, &len) && sp_crl_find(c, c->issuer, key, len, &entry);
}

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
    struct sp_crl *c = crl_of(crl, &err);
    assert_non_null(c);
    for (uint64_t n = 0; n <= 10001; n++) {
        ASN1_INTEGER_set_uint64(serial, n);
        assert_int_equal(is_listed(c, serial), n % 2 == 1 && n < 10000);
    }
    sp_crl_free(c);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(when);
    X509_CRL_free(crl);
    fix_free(&ca);
}

/* Entry `i` of a made-up set: its serial, of `len` bytes, the first never zero. */
typedef uint64_t (*numbering)(uint64_t i);

static uint64_t scattered(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

static uint64_t in_a_row(uint64_t i)
{
    return 0x4000000000000000ULL + i;
}

static uint64_t falling(uint64_t i)
{
    return 0x7000000000000000ULL - i * 3;
}

/* All in the last byte but one, so that heaps are deep and few. */
static uint64_t alike(uint64_t i)
{
    return 0x4142434445460000ULL + (i * 37 % 256) * 256 + i / 256;
}

static size_t write_serial(numbering n, uint64_t i, size_t len, uint8_t out[SP_SERIAL_MAX_BYTES])
{
    uint64_t value = n(i) | 1ULL << 62;
    memset(out, 0xab, len);
    for (size_t k = 0; k < 8; k++)
        out[k] = (uint8_t)(value >> (8 * (7 - k)));
    out[0] &= 0x7f;
    return len;
}

static void check_set(numbering n, size_t len, uint64_t count, bool negative)
{
    struct sp_serials set = {0};
    uint8_t key[SP_SERIAL_MAX_KEY] = {negative};
    struct sp_revoked entry;
    for (uint64_t i = 0; i < count; i++) {
        write_serial(n, i, len, key + 1);
        assert_int_equal(
            sp_serials_add(&set, negative, key + 1, len, FIX_NOW + (int64_t)i, (int8_t)(i % 12) - 1), SP_OK);
    }
    sp_serials_seal(&set);
    assert_int_equal(set.count, count);
    for (uint64_t i = 0; i < count; i++) {
        write_serial(n, i, len, key + 1);
        assert_true(sp_serials_find(&set, key, 1 + len, &entry));
        assert_int_equal(entry.date, FIX_NOW + (int64_t)i);
        assert_int_equal(entry.reason, (int)(i % 12) - 1);
        key[0] = !negative;
        assert_false(sp_serials_find(&set, key, 1 + len, &entry));
        key[0] = negative;
        assert_false(sp_serials_find(&set, key, len, &entry));
    }
    sp_serials_free(&set);
}

static void test_a_set_is_sorted_whatever_the_numbering(void **state)
{
    static const numbering all[] = {scattered, in_a_row, falling, alike};
    static const size_t lens[] = {8, 11, 12, 16, 19, 20, 27, 28, 255};
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(all); i++) {
        for (size_t k = 0; k < SP_COUNTOF(lens); k++)
            check_set(all[i], lens[k], lens[k] == 20 ? 50000 : 1500, lens[k] == 255);
    }
}

static int compare_bytes(const void *a, const void *b, void *len)
{
    return memcmp(a, b, *(const size_t *)len);
}

/* `bits` of each byte vary, from the byte `from` on: few bits make many that are alike. */
static void check_sorting(size_t n, size_t stride, size_t from, unsigned bits)
{
    uint8_t *ours = malloc(n * stride), *wanted = malloc(n * stride);
    uint64_t random = n + stride + bits;
    assert_true(ours != NULL && wanted != NULL);
    for (size_t i = 0; i < n * stride; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        ours[i] = i % stride < from ? 0x5a : (uint8_t)((random >> 40) & ((1U << bits) - 1));
    }
    memcpy(wanted, ours, n * stride);
    qsort_r(wanted, n, stride, compare_bytes, &stride);
    sp_records_sort(ours, n, stride);
    assert_memory_equal(ours, wanted, n * stride);
    free(ours);
    free(wanted);
}

static void test_records_are_sorted_as_qsort_sorts_them(void **state)
{
    static const size_t counts[] = {0, 1, 2, 23, 24, 25, 300, 5000, 40000};
    static const unsigned bits[] = {1, 2, 5, 8};
    (void)state;
    for (size_t stride = 5; stride <= 34; stride++) {
        for (size_t i = 0; i < SP_COUNTOF(counts) * SP_COUNTOF(bits); i++) {
            size_t n = counts[i % SP_COUNTOF(counts)];
            if (n < 40000 || stride % 6 == 1) /* what goes beyond half a megabyte is sorted in place */
                check_sorting(n, stride, i % stride, bits[i / SP_COUNTOF(counts)]);
        }
    }
}

static void test_of_two_entries_of_one_serial_the_later_date_is_told(void **state)
{
    struct sp_serials set = {0};
    struct sp_revoked entry;
    static const uint8_t key[] = {0, 7};
    (void)state;
    for (int i = 0; i < 40; i++)
        assert_int_equal(sp_serials_add(&set, false, key + 1, 1, FIX_NOW + (i * 13) % 40, 1), SP_OK);
    sp_serials_seal(&set);
    assert_true(sp_serials_find(&set, key, 2, &entry));
    assert_int_equal(entry.date, FIX_NOW + 39);
    sp_serials_free(&set);
}

static void test_dates_far_away_are_kept_as_near_as_can_be(void **state)
{
    static const struct {
        int64_t given, kept;
    } dates[] = {{-631152000, -631152000}, {-631152001, -631152000}, {0, 0}, {253402300799, 68088324735}};
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(dates); i++) {
        struct sp_serials set = {0};
        struct sp_revoked entry;
        assert_int_equal(sp_serials_add(&set, false, NULL, 0, dates[i].given, 10), SP_OK);
        sp_serials_seal(&set);
        assert_true(sp_serials_find(&set, (const uint8_t[]){0}, 1, &entry));
        assert_int_equal(entry.date, dates[i].kept);
        assert_int_equal(entry.reason, 10);
        sp_serials_free(&set);
    }
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
        cmocka_unit_test(test_a_set_is_sorted_whatever_the_numbering),
        cmocka_unit_test(test_records_are_sorted_as_qsort_sorts_them),
        cmocka_unit_test(test_of_two_entries_of_one_serial_the_later_date_is_told),
        cmocka_unit_test(test_dates_far_away_are_kept_as_near_as_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
