/* Loading a bundle of CAs: what is an error, what is passed over, what the policy id depends on. The verdicts:
 * pki_chain.c. */
#include "pki_bench.h"

static void expect_refused_bundle(const char *path, const char *words)
{
    struct bench b = lax(4);
    bench_ca(&b, path);
    b.trust = sp_trust_new("test.yaml", &b.auth, NULL, &b.diags);
    if (b.trust != NULL || !bench_says(&b, words) || !bench_says(&b, path)) {
        print_message("wanted \"%s\" of %s:\n", words, path);
        bench_print(&b);
    }
    assert_null(b.trust);
    assert_true(b.diags.errors > 0);
    assert_true(bench_says(&b, words));
    assert_true(bench_says(&b, path));
    bench_close(&b);
}

static void test_a_bundle_that_cannot_be_used_is_an_error_that_names_the_file(void **state)
{
    (void)state;
    struct pki p = make_pki();
    X509 *both[] = {p.root.cert, p.leaf.cert};
    expect_refused_bundle("/nonexistent/ca.pem", "cannot be opened");
    expect_refused_bundle(fix_folder(), "not a regular file");
    expect_refused_bundle(fix_write_text("empty.pem", ""), "empty");
    expect_refused_bundle(fix_write_text("text.pem", "hello\n"), "no certificate");
    expect_refused_bundle(
        fix_write_text("junk.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"),
        "certificate 1 cannot be parsed");
    expect_refused_bundle(
        fix_write_text("bad64.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"),
        "PEM block 1");
    expect_refused_bundle(fix_write_text("cut.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n"), "cut.pem");
    expect_refused_bundle(fix_write_certs("leaf.pem", both, 2), "certificate 2 (CN=leaf) is not a CA");
    free_pki(&p);
}

/* What is cut off or damaged must not count as one certificate less. */
static void test_a_good_certificate_does_not_excuse_a_damaged_one_behind_it(void **state)
{
    (void)state;
    struct pki p = make_pki();
    static const char *const tails[] = {
        "-----BEGIN CERTIFICATE----\naGVsbG8=\n-----END CERTIFICATE-----\n",
        "----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
        "-----BEG",
        "-----BEGIN CERTIFICATE-----\naGVsbG8=\n",
        "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
        "-----BEGIN TRUSTED CERTIFICATE-----\naGVsbG8=\n-----END TRUSTED CERTIFICATE-----\n",
    };
    for (size_t i = 0; i < SP_COUNTOF(tails); i++) {
        const char *path = fix_write_certs("tail.pem", &p.root.cert, 1);
        FILE *f = fopen(path, "a");
        assert_non_null(f);
        fputs(tails[i], f);
        fclose(f);
        expect_refused_bundle(path, "tail.pem");
    }
    for (int extra = 0; extra < 2; extra++) {
        struct bench b = lax(4);
        struct sp_slice der = fix_der(&p.root);
        const char *path = fix_write_text("root.der", "");
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(der.ptr, 1, der.len, f), der.len);
        if (extra)
            fputc(0, f);
        fclose(f);
        OPENSSL_free((void *)der.ptr);
        bench_ca(&b, path);
        b.trust = sp_trust_new_at("test.yaml", &b.auth, NULL, FIX_NOW, &b.diags);
        assert_int_equal(b.trust == NULL, extra);
        assert_int_equal(bench_says(&b, "followed by bytes"), extra);
        bench_close(&b);
    }
    free_pki(&p);
}

static void test_a_bundle_of_expired_cas_only_is_an_error(void **state)
{
    (void)state;
    struct fix_cert dead = fix_issue(
        &(struct fix_spec){.subject = "CN=dead", .from = -(FIX_NOW - 1000), .to = -(FIX_NOW - 2000)}, NULL,
        true);
    struct bench b = lax(4);
    bench_ca(&b, fix_write_certs("dead.pem", &dead.cert, 1));
    assert_null(sp_trust_new("test.yaml", &b.auth, NULL, &b.diags));
    assert_true(bench_says(&b, "no CA of client_auth.ca is valid now"));
    bench_close(&b);
    fix_free(&dead);
}

static void test_text_and_keys_between_the_blocks_are_passed_over(void **state)
{
    (void)state;
    struct pki p = make_pki();
    char text[8192] =
        "some text\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    FILE *f = fopen(fix_write_certs("one.pem", &p.root.cert, 1), "r");
    size_t n = strlen(text);
    n += fread(text + n, 1, sizeof(text) - n - 64, f);
    text[n] = '\0';
    strcat(text, "\nand more text\n");
    fclose(f);
    struct bench b = lax(4);
    bench_ca(&b, fix_write_text("mixed.pem", text));
    bench_open(&b);
    const struct fix_cert *above[] = {&p.inter};
    struct sp_verdict v = bench_judge_at(&b, &p.leaf, above, 1, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "mixed file");
    bench_close(&b);
    free_pki(&p);
}

static void test_the_policy_id_changes_with_what_decides_and_with_nothing_else(void **state)
{
    (void)state;
    struct pki p = make_pki();
    X509 *ab[] = {p.root.cert, p.inter.cert}, *ba[] = {p.inter.cert, p.root.cert};
    const char *files[] = {
        fix_write_certs("ab.pem", ab, 2), fix_write_certs("ba.pem", ba, 2), fix_write_certs("a.pem", ab, 1)};
    uint8_t ids[11][32];
    for (size_t i = 0; i < SP_COUNTOF(ids); i++) {
        struct bench b = lax(i == 3 ? 5 : 4);
        b.auth.mode = i == 4 ? SP_AUTH_OPTIONAL : SP_AUTH_REQUIRED;
        b.auth.crl_missing = i == 5 ? SP_CRL_MISSING_REJECT : SP_CRL_MISSING_ACCEPT;
        b.auth.crl_stale = i == 6 ? SP_CRL_STALE_ACCEPT : SP_CRL_STALE_REJECT;
        b.auth.trust_intermediates = i == 7;
        b.auth.intermediates = (struct sp_strings){.items = files, .count = i == 8 ? 1 : 0};
        b.auth.ocsp_url = i >= 9 ? "http://127.0.0.1/" : NULL;
        b.auth.ocsp_unreachable_accept = i == 10;
        bench_ca(&b, files[i < 3 ? i : 0]);
        bench_open(&b);
        sp_trust_policy_id(b.trust, ids[i]);
        bench_close(&b);
    }
    assert_memory_equal(ids[0], ids[1], 32); /* the order of the bundle */
    for (size_t i = 2; i < SP_COUNTOF(ids); i++) {
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(ids[j], ids[i], 32);
    }
    free_pki(&p);
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
        cmocka_unit_test(test_a_bundle_that_cannot_be_used_is_an_error_that_names_the_file),
        cmocka_unit_test(test_a_good_certificate_does_not_excuse_a_damaged_one_behind_it),
        cmocka_unit_test(test_a_bundle_of_expired_cas_only_is_an_error),
        cmocka_unit_test(test_text_and_keys_between_the_blocks_are_passed_over),
        cmocka_unit_test(test_the_policy_id_changes_with_what_decides_and_with_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
