/* Which way a chain goes where there is more than one, which certificates may end it, and which keys and constraints it
 * may have. The plain refusals are in pki_chain.c. */
#include "pki_bench.h"

static void expect_both_orders(const struct bench *b, const struct fix_cert *leaf, const struct fix_cert *one,
    const struct fix_cert *other, enum sp_refusal want, const char *name)
{
    const struct fix_cert *orders[2][2] = {{one, other}, {other, one}};
    for (size_t i = 0; i < 2; i++) {
        struct sp_verdict v = bench_judge_at(b, leaf, orders[i], 2, FIX_NOW);
        bench_expect(&v, want, name);
    }
}

/* ---- who may end a chain ---- */

static const char *write_one(const char *name, X509 *cert)
{
    return fix_write_certs(name, &cert, 1);
}

static void test_a_chain_ends_at_a_self_signed_ca_unless_intermediates_are_trusted(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct fix_cert other = fix_issue(&(struct fix_spec){.subject = "CN=other root"}, NULL, true);
    const struct fix_cert *root_too[] = {&p.root};
    for (int trusted = 0; trusted < 2; trusted++) {
        struct bench b = lax(4);
        X509 *bundle[] = {p.inter.cert, other.cert};
        b.auth.trust_intermediates = trusted;
        bench_ca(&b, fix_write_certs("ca.pem", bundle, 2));
        bench_open(&b);
        assert_int_equal(bench_says(&b, "client_auth.trust_intermediates"), !trusted);
        assert_int_equal(bench_says(&b, "CN=root"), !trusted);
        enum sp_refusal want = trusted ? SP_REFUSAL_none : SP_REFUSAL_untrusted_issuer;
        struct sp_verdict v = bench_judge_at(&b, &p.leaf, NULL, 0, FIX_NOW);
        bench_expect(&v, want, "intermediate in the bundle, root nowhere");
        v = bench_judge_at(&b, &p.leaf, root_too, 1, FIX_NOW);
        bench_expect(&v, want, "intermediate in the bundle, root sent");
        bench_close(&b);
    }
    fix_free(&other);
    free_pki(&p);
}

static void test_a_bundle_without_any_anchor_is_an_error(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct bench b = lax(4);
    bench_ca(&b, write_one("ca.pem", p.inter.cert));
    assert_null(sp_trust_new_at("test.yaml", &b.auth, NULL, FIX_NOW, &b.diags));
    assert_true(bench_says(&b, "nobody could be trusted"));
    assert_true(bench_says(&b, "client_auth.trust_intermediates"));
    bench_close(&b);
    free_pki(&p);
}

/* The bundle's copy was signed by a root that is not there, the client's by one that is. */
static void test_a_ca_that_leads_nowhere_does_not_hide_the_one_that_is_sent(void **state)
{
    (void)state;
    struct fix_cert absent = fix_issue(&(struct fix_spec){.subject = "CN=absent"}, NULL, true);
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_cert lost = fix_issue(&(struct fix_spec){.subject = "CN=intermediate"}, &absent, true);
    struct fix_cert found =
        fix_issue(&(struct fix_spec){.subject = "CN=intermediate", .key = lost.key}, &root, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &lost, false);
    X509 *bundle[] = {root.cert, lost.cert};
    const struct fix_cert *above[] = {&found};
    struct bench b = lax(4);
    bench_ca(&b, fix_write_certs("ca.pem", bundle, 2));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &leaf, above, 1, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "sent");
    v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_untrusted_issuer, "not sent");
    bench_close(&b);
    fix_free(&leaf);
    fix_free(&found);
    fix_free(&lost);
    fix_free(&root);
    fix_free(&absent);
}

static void test_intermediates_of_the_operator_help_and_are_trusted_for_nothing_else(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct fix_cert self = fix_issue(&(struct fix_spec){.subject = "CN=self"}, NULL, true);
    struct fix_cert of_self = fix_issue(&(struct fix_spec){0}, &self, false);
    X509 *known[] = {p.inter.cert, self.cert};
    const char *path = fix_write_certs("known.pem", known, 2);
    for (int given = 0; given < 2; given++) {
        struct bench b = lax(4);
        b.auth.intermediates = (struct sp_strings){.items = &path, .count = (size_t)given};
        bench_ca(&b, write_one("ca.pem", p.root.cert));
        bench_open(&b);
        struct sp_verdict v = bench_judge_at(&b, &p.leaf, NULL, 0, FIX_NOW);
        bench_expect(&v, given ? SP_REFUSAL_none : SP_REFUSAL_untrusted_issuer, "leaf alone");
        v = bench_judge_at(&b, &of_self, NULL, 0, FIX_NOW);
        bench_expect(&v, SP_REFUSAL_untrusted_issuer, "below a self-signed one that only helps");
        bench_close(&b);
    }
    fix_free(&of_self);
    fix_free(&self);
    free_pki(&p);
}

/* ---- more than one way ---- */

static void test_of_two_sent_intermediates_of_one_name_the_right_one_is_found(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_spec spec = {.subject = "CN=intermediate"};
    struct fix_cert right = fix_issue(&spec, &root, true), wrong = fix_issue(&spec, &root, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &right, false);
    struct bench b = lax(4);
    bench_ca(&b, write_one("ca.pem", root.cert));
    bench_open(&b);
    expect_both_orders(&b, &leaf, &right, &wrong, SP_REFUSAL_none, "another key");
    const struct fix_cert *only_wrong[] = {&wrong};
    struct sp_verdict v = bench_judge_at(&b, &leaf, only_wrong, 1, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_bad_signature, "the wrong one alone");
    bench_close(&b);
    fix_free(&leaf);
    fix_free(&wrong);
    fix_free(&right);
    fix_free(&root);
}

/* One CA, certified twice: below a root of the bundle, and in another way that leads nowhere. */
static void test_of_two_cross_signed_intermediates_the_way_that_leads_to_the_bundle_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct fix_spec dead;
        bool by_stranger;
    } cases[] = {
        {.name = "issuer unknown", .by_stranger = true},
        {.name = "expired", .dead = {.to = -10}},
        {.name = "not yet valid", .dead = {.from = 10}},
        {.name = "not a CA", .dead = {.basic_constraints = "critical,CA:FALSE", .key_usage = "-"}},
        {.name = "for servers only", .dead = {.eku = "serverAuth"}},
        {.name = "names that exclude", .dead = {.name_constraints = "critical,excluded;DNS:example.com"}},
        {.name = "damaged", .dead = {.break_signature = true}},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
        struct fix_cert stranger = fix_issue(&(struct fix_spec){.subject = "CN=stranger"}, NULL, true);
        struct fix_cert good = fix_issue(&(struct fix_spec){.subject = "CN=intermediate"}, &root, true);
        struct fix_spec spec = cases[i].dead;
        spec.subject = "CN=intermediate";
        spec.key = good.key;
        struct fix_cert dead = fix_issue(&spec, cases[i].by_stranger ? &stranger : &root, true);
        struct fix_cert leaf = fix_issue(&(struct fix_spec){.san = "DNS:a.example.com"}, &good, false);
        struct bench b = lax(4);
        bench_ca(&b, write_one("ca.pem", root.cert));
        bench_open(&b);
        expect_both_orders(&b, &leaf, &good, &dead, SP_REFUSAL_none, cases[i].name);
        const struct fix_cert *only_dead[] = {&dead, &stranger};
        assert_false(bench_judge_at(&b, &leaf, only_dead, 2, FIX_NOW).accepted);
        bench_close(&b);
        fix_free(&leaf);
        fix_free(&dead);
        fix_free(&good);
        fix_free(&stranger);
        fix_free(&root);
    }
}

/* A way that is found must still be revoked where its own CA says so. */
static void test_another_way_is_judged_by_the_crls_like_the_first(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_spec spec = {.subject = "CN=intermediate"};
    struct fix_cert right = fix_issue(&spec, &root, true), wrong = fix_issue(&spec, &root, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &right, false);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.revoked = {right.cert}}, &root);
    struct bench b = lax(4);
    bench_ca(&b, write_one("ca.pem", root.cert));
    bench_crl(&b, fix_write_crls("root.crl", &crl, 1));
    bench_open(&b);
    expect_both_orders(&b, &leaf, &right, &wrong, SP_REFUSAL_revoked, "revoked");
    bench_close(&b);
    X509_CRL_free(crl);
    fix_free(&leaf);
    fix_free(&wrong);
    fix_free(&right);
    fix_free(&root);
}

/* ---- keys and constraints ---- */

static void test_every_kind_of_key_that_is_strong_is_taken(void **state)
{
    (void)state;
    static const char *const kinds[] = {"P-384", "ED25519", "RSA-PSS"};
    for (size_t i = 0; i < SP_COUNTOF(kinds); i++) {
        struct fix_cert root =
            fix_issue(&(struct fix_spec){.subject = "CN=root", .algorithm = kinds[i]}, NULL, true);
        struct fix_cert inter =
            fix_issue(&(struct fix_spec){.subject = "CN=intermediate", .algorithm = kinds[i]}, &root, true);
        struct fix_cert leaf = fix_issue(&(struct fix_spec){.algorithm = kinds[i]}, &inter, false);
        X509_CRL *crls[] = {
            fix_crl(&(struct fix_crl_spec){0}, &root), fix_crl(&(struct fix_crl_spec){0}, &inter)};
        const struct fix_cert *above[] = {&inter};
        struct bench b = {.auth = {.depth = 4, .crl_missing = SP_CRL_MISSING_REJECT}};
        bench_ca(&b, write_one("ca.pem", root.cert));
        bench_crl(&b, fix_write_crls("all.crl", crls, 2));
        bench_open(&b);
        struct sp_verdict v = bench_judge_at(&b, &leaf, above, 1, FIX_NOW);
        bench_expect(&v, SP_REFUSAL_none, kinds[i]);
        bench_close(&b);
        X509_CRL_free(crls[0]);
        X509_CRL_free(crls[1]);
        fix_free(&leaf);
        fix_free(&inter);
        fix_free(&root);
    }
}

static void test_what_is_weak_or_costly_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct fix_spec leaf;
        bool md5;
        enum sp_refusal want;
    } cases[] = {
        {.name = "MD5", .md5 = true, .want = SP_REFUSAL_weak_key},
        {.name = "RSA 1024", .leaf = {.rsa_bits = 1024}, .want = SP_REFUSAL_weak_key},
        {.name = "exponent of 65 bits", .leaf = {.long_exponent = true}, .want = SP_REFUSAL_key_too_large},
        {.name = "RSA 8200", .leaf = {.huge_rsa = true}, .want = SP_REFUSAL_key_too_large},
    };
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root", .rsa_bits = 2048}, NULL, true);
    struct bench b = lax(4);
    bench_ca(&b, write_one("ca.pem", root.cert));
    bench_open(&b);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct fix_spec spec = cases[i].leaf;
        spec.md = cases[i].md5 ? EVP_md5() : NULL;
        struct fix_cert leaf = fix_issue(&spec, &root, false);
        struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
        bench_expect(&v, cases[i].want, cases[i].name);
        fix_free(&leaf);
    }
    bench_close(&b);
    fix_free(&root);
}

/* A CRL that anybody could have forged clears nobody. */
static void test_a_crl_signed_with_md5_is_as_good_as_none(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root", .rsa_bits = 2048}, NULL, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &root, false);
    for (int md5 = 0; md5 < 2; md5++) {
        X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.md = md5 ? EVP_md5() : NULL}, &root);
        struct bench b = {.auth = {.depth = 4, .crl_missing = SP_CRL_MISSING_REJECT}};
        bench_ca(&b, write_one("ca.pem", root.cert));
        bench_crl(&b, fix_write_crls("root.crl", &crl, 1));
        bench_open(&b);
        struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
        assert_int_equal(v.accepted, !md5);
        assert_true(v.accepted || v.reason == SP_REFUSAL_crl_missing || v.reason == SP_REFUSAL_crl_invalid);
        bench_close(&b);
        X509_CRL_free(crl);
    }
    fix_free(&leaf);
    fix_free(&root);
}

static void test_name_constraints_of_every_kind_bind(void **state)
{
    (void)state;
    static const struct {
        const char *constraint, *subject, *san;
        bool inside;
    } cases[] = {
        {"critical,permitted;DNS:example.com", NULL, "DNS:a.example.com", true},
        {"critical,permitted;DNS:example.com", NULL, "DNS:aexample.com", false},
        {"critical,excluded;DNS:bad.example.com", NULL, "DNS:x.bad.example.com", false},
        {"critical,permitted;IP:10.0.0.0/255.0.0.0", NULL, "IP:10.1.2.3", true},
        {"critical,permitted;IP:10.0.0.0/255.0.0.0", NULL, "IP:11.1.2.3", false},
        {"critical,permitted;IP:10.0.0.0/255.0.0.0", NULL, "IP:2001:db8::1", false},
        {"critical,excluded;IP:10.0.0.0/255.0.0.0", NULL, "IP:10.1.2.3", false},
        {"critical,permitted;email:example.com", NULL, "email:a@example.com", true},
        {"critical,permitted;email:example.com", NULL, "email:a@sub.example.com", false},
        {"critical,permitted;email:.example.com", NULL, "email:a@sub.example.com", true},
        {"critical,excluded;email:a@example.com", NULL, "email:a@example.com", false},
        {"critical,permitted;URI:corp.example", NULL, "URI:spiffe://corp.example/x", true},
        {"critical,permitted;URI:corp.example", NULL, "URI:spiffe://other.example/x", false},
        {"critical,permitted;URI:.corp.example", NULL, "URI:spiffe://a.corp.example/x", true},
        {"critical,excluded;URI:corp.example", NULL, "URI:spiffe://corp.example/x", false},
        {"critical,permitted;DNS:example.com", NULL, "email:a@elsewhere.test", true},
        {"critical,permitted;dirName:within", "O=Example,CN=a", NULL, true},
        {"critical,permitted;dirName:within", "O=Other,CN=a", NULL, false},
        {"critical,excluded;dirName:within", "O=Example,CN=a", NULL, false},
    };
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct fix_spec inter_spec = {
            .subject = "O=Example,CN=intermediate", .name_constraints = cases[i].constraint};
        struct fix_cert inter = fix_issue(&inter_spec, &root, true);
        struct fix_cert leaf =
            fix_issue(&(struct fix_spec){.subject = cases[i].subject, .san = cases[i].san}, &inter, false);
        const struct fix_cert *above[] = {&inter};
        struct bench b = lax(4);
        bench_ca(&b, write_one("ca.pem", root.cert));
        bench_open(&b);
        struct sp_verdict v = bench_judge_at(&b, &leaf, above, 1, FIX_NOW);
        bench_expect(&v, cases[i].inside ? SP_REFUSAL_none : SP_REFUSAL_name_constraint, cases[i].constraint);
        bench_close(&b);
        fix_free(&leaf);
        fix_free(&inter);
    }
    fix_free(&root);
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
        cmocka_unit_test(test_a_chain_ends_at_a_self_signed_ca_unless_intermediates_are_trusted),
        cmocka_unit_test(test_a_bundle_without_any_anchor_is_an_error),
        cmocka_unit_test(test_a_ca_that_leads_nowhere_does_not_hide_the_one_that_is_sent),
        cmocka_unit_test(test_intermediates_of_the_operator_help_and_are_trusted_for_nothing_else),
        cmocka_unit_test(test_of_two_sent_intermediates_of_one_name_the_right_one_is_found),
        cmocka_unit_test(test_of_two_cross_signed_intermediates_the_way_that_leads_to_the_bundle_is_found),
        cmocka_unit_test(test_another_way_is_judged_by_the_crls_like_the_first),
        cmocka_unit_test(test_every_kind_of_key_that_is_strong_is_taken),
        cmocka_unit_test(test_what_is_weak_or_costly_is_refused_by_name),
        cmocka_unit_test(test_a_crl_signed_with_md5_is_as_good_as_none),
        cmocka_unit_test(test_name_constraints_of_every_kind_bind),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
