/* The path: from a leaf to the bundle, and every way in which it does not get there. Revocation is off here
 * (pki_crl.c). */
#include "pki_bench.h"

#include "sallyport/base/text.h"

enum { SEND = 1, IN_BUNDLE = 2 };

/* root -> intermediate -> leaf, with one thing odd. */
struct chain_case {
    const char *name;
    enum sp_refusal want;
    struct fix_spec root, inter, leaf;
    int inter_is; /* SEND by default */
    unsigned depth;
    bool leaf_is_ca;
};

static const struct chain_case chain_cases[] = {
    {.name = "good", .want = SP_REFUSAL_none},
    {.name = "good with key ids",
        .want = SP_REFUSAL_none,
        .root = {.key_ids = true},
        .inter = {.key_ids = true},
        .leaf = {.key_ids = true}},
    {.name = "intermediate from the bundle", .want = SP_REFUSAL_none, .inter_is = IN_BUNDLE},
    {.name = "intermediate both sent and in the bundle",
        .want = SP_REFUSAL_none,
        .inter_is = IN_BUNDLE | SEND},
    {.name = "missing intermediate", .want = SP_REFUSAL_untrusted_issuer, .inter_is = -1},
    {.name = "expired leaf", .want = SP_REFUSAL_expired, .leaf = {.to = -10}},
    {.name = "leaf that ends this second", .want = SP_REFUSAL_expired, .leaf = {.from = -FIX_DAY, .to = -1}},
    {.name = "leaf that ends in a second", .want = SP_REFUSAL_none, .leaf = {.to = 1}},
    {.name = "expired intermediate", .want = SP_REFUSAL_expired, .inter = {.to = -10}},
    {.name = "expired intermediate in the bundle",
        .want = SP_REFUSAL_expired,
        .inter = {.to = -10},
        .inter_is = IN_BUNDLE},
    {.name = "expired root", .want = SP_REFUSAL_expired, .root = {.to = -10}},
    {.name = "expired root above an intermediate in the bundle",
        .want = SP_REFUSAL_expired,
        .root = {.to = -10},
        .inter_is = IN_BUNDLE},
    {.name = "leaf not yet valid", .want = SP_REFUSAL_not_yet_valid, .leaf = {.from = 10}},
    {.name = "intermediate not yet valid", .want = SP_REFUSAL_not_yet_valid, .inter = {.from = 10}},
    {.name = "root not yet valid", .want = SP_REFUSAL_not_yet_valid, .root = {.from = 10}},
    {.name = "no EKU", .want = SP_REFUSAL_none, .leaf = {.eku = "-"}},
    {.name = "server EKU only", .want = SP_REFUSAL_wrong_purpose, .leaf = {.eku = "serverAuth"}},
    {.name = "both EKUs", .want = SP_REFUSAL_none, .leaf = {.eku = "serverAuth,clientAuth"}},
    {.name = "any EKU only", .want = SP_REFUSAL_wrong_purpose, .leaf = {.eku = "anyExtendedKeyUsage"}},
    {.name = "intermediate for servers only",
        .want = SP_REFUSAL_wrong_purpose,
        .inter = {.eku = "serverAuth"}},
    {.name = "intermediate for clients", .want = SP_REFUSAL_none, .inter = {.eku = "clientAuth"}},
    {.name = "leaf that may only encipher keys",
        .want = SP_REFUSAL_wrong_purpose,
        .leaf = {.key_usage = "critical,keyEncipherment"}},
    {.name = "leaf without keyUsage", .want = SP_REFUSAL_none, .leaf = {.key_usage = "-"}},
    {.name = "pathlen 0 root above an intermediate",
        .want = SP_REFUSAL_path_length,
        .root = {.basic_constraints = "critical,CA:TRUE,pathlen:0"}},
    {.name = "pathlen 0 intermediate",
        .want = SP_REFUSAL_none,
        .inter = {.basic_constraints = "critical,CA:TRUE,pathlen:0"}},
    {.name = "intermediate that is no CA",
        .want = SP_REFUSAL_not_a_ca,
        .inter = {.basic_constraints = "critical,CA:FALSE", .key_usage = "-"}},
    {.name = "intermediate without basicConstraints",
        .want = SP_REFUSAL_not_a_ca,
        .inter = {.basic_constraints = "-"}},
    {.name = "intermediate without keyCertSign",
        .want = SP_REFUSAL_not_a_ca,
        .inter = {.key_usage = "critical,digitalSignature"}},
    {.name = "v1 intermediate", .want = SP_REFUSAL_not_a_ca, .inter = {.v1 = true}},
    {.name = "v1 root", .want = SP_REFUSAL_none, .root = {.v1 = true}},
    {.name = "v1 leaf", .want = SP_REFUSAL_none, .leaf = {.v1 = true}},
    {.name = "name inside the constraint",
        .want = SP_REFUSAL_none,
        .inter = {.name_constraints = "critical,permitted;DNS:example.com"},
        .leaf = {.san = "DNS:a.example.com"}},
    {.name = "name outside of the constraint",
        .want = SP_REFUSAL_name_constraint,
        .inter = {.name_constraints = "critical,permitted;DNS:example.com"},
        .leaf = {.san = "DNS:a.example.net"}},
    {.name = "excluded name",
        .want = SP_REFUSAL_name_constraint,
        .root = {.name_constraints = "critical,excluded;DNS:bad.example.com"},
        .leaf = {.san = "DNS:x.bad.example.com"}},
    {.name = "URI outside of the constraint",
        .want = SP_REFUSAL_name_constraint,
        .inter = {.name_constraints = "critical,permitted;URI:corp.example"},
        .leaf = {.san = "URI:spiffe://other.example/x"}},
    {.name = "unknown critical extension",
        .want = SP_REFUSAL_certificate_invalid,
        .leaf = {.critical_oid = "1.3.6.1.4.1.55555.1"}},
    {.name = "odd leaf", .want = SP_REFUSAL_certificate_invalid, .leaf = {.basic_constraints = "pathlen:-1"}},
    {.name = "intermediate with an extension that cannot be",
        .want = SP_REFUSAL_certificate_invalid,
        .inter = {.basic_constraints = "critical,CA:TRUE,pathlen:-1"}},
    {.name = "damaged signature of the leaf",
        .want = SP_REFUSAL_bad_signature,
        .leaf = {.break_signature = true}},
    {.name = "damaged signature of the intermediate",
        .want = SP_REFUSAL_bad_signature,
        .inter = {.break_signature = true}},
    {.name = "depth 0 with an intermediate", .want = SP_REFUSAL_chain_too_long, .depth = 1000},
    {.name = "RSA 2048", .want = SP_REFUSAL_none, .leaf = {.rsa_bits = 2048}},
    {.name = "RSA 1024 leaf", .want = SP_REFUSAL_weak_key, .leaf = {.rsa_bits = 1024}},
    {.name = "RSA 1024 intermediate", .want = SP_REFUSAL_weak_key, .inter = {.rsa_bits = 1024}},
    {.name = "RSA 1024 root", .want = SP_REFUSAL_weak_key, .root = {.rsa_bits = 1024}},
    {.name = "DSA leaf", .want = SP_REFUSAL_weak_key, .leaf = {.algorithm = "DSA"}},
    {.name = "RSA 8200 leaf", .want = SP_REFUSAL_key_too_large, .leaf = {.huge_rsa = true}},
    {.name = "leaf that is a CA",
        .want = SP_REFUSAL_none,
        .leaf_is_ca = true,
        .leaf = {.key_usage = "critical,digitalSignature,keyCertSign"}},
    {.name = "embedded NUL in a SAN",
        .want = SP_REFUSAL_hostile_name,
        .leaf = {.raw_san = {"good.example.com\0.evil.test", 27}, .raw_san_type = GEN_DNS}},
    {.name = "CR LF in a SAN",
        .want = SP_REFUSAL_hostile_name,
        .leaf = {.raw_san = {"spiffe://a/b\r\nX: y", 18}, .raw_san_type = GEN_URI}},
    {.name = "a second name in a SAN",
        .want = SP_REFUSAL_hostile_name,
        .leaf = {.raw_san = {"a.example.com,DNS:admin", 23}, .raw_san_type = GEN_DNS}},
    {.name = "control character in the subject",
        .want = SP_REFUSAL_hostile_name,
        .leaf = {.raw_cn = {"a\nb", 3}, .raw_cn_type = V_ASN1_UTF8STRING}},
};

static struct fix_spec named(struct fix_spec spec, const char *subject)
{
    if (spec.subject == NULL)
        spec.subject = subject;
    return spec;
}

static void run_chain_case(const struct chain_case *c)
{
    struct bench b = {.auth = {.depth = c->depth == 1000 ? 0
                                        : c->depth != 0  ? c->depth
                                                         : 4,
                          .crl_missing = SP_CRL_MISSING_ACCEPT}};
    struct fix_spec root_spec = named(c->root, "CN=root"), inter_spec = named(c->inter, "CN=intermediate");
    struct fix_cert root = fix_issue(&root_spec, NULL, true);
    struct fix_cert inter = fix_issue(&inter_spec, &root, true);
    struct fix_cert leaf = fix_issue(&c->leaf, &inter, c->leaf_is_ca);
    X509 *bundle[] = {root.cert, inter.cert};
    int is = c->inter_is == 0 ? SEND : c->inter_is < 0 ? 0 : c->inter_is;
    bench_ca(&b, fix_write_certs("chain-ca.pem", bundle, (is & IN_BUNDLE) != 0 ? 2 : 1));
    bench_open(&b);
    const struct fix_cert *above[] = {&inter};
    struct sp_verdict v = bench_judge_at(&b, &leaf, above, (is & SEND) != 0 ? 1 : 0, FIX_NOW);
    bench_expect(&v, c->want, c->name);
    bench_close(&b);
    fix_free(&leaf);
    fix_free(&inter);
    fix_free(&root);
}

static void test_each_chain_has_its_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(chain_cases); i++)
        run_chain_case(&chain_cases[i]);
}

static void test_an_intermediate_alone_in_the_bundle_is_an_anchor_if_intermediates_are_trusted(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct bench b = lax(4);
    b.auth.trust_intermediates = true;
    bench_ca(&b, fix_write_certs("ca.pem", &p.inter.cert, 1));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &p.leaf, NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "intermediate as anchor");
    const struct fix_cert *above[] = {&p.inter, &p.root};
    v = bench_judge_at(&b, &p.leaf, above, 2, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "intermediate as anchor, root sent");
    bench_close(&b);
    free_pki(&p);
}

static void test_a_ca_of_the_bundle_is_a_client_only_if_its_purpose_allows(void **state)
{
    (void)state;
    for (int may = 0; may < 2; may++) {
        struct fix_spec spec = {.subject = "CN=root", .key_usage = may ? "-" : NULL};
        struct fix_cert root = fix_issue(&spec, NULL, true);
        struct bench b = lax(4);
        bench_ca(&b, fix_write_certs("as-client.pem", &root.cert, 1));
        bench_open(&b);
        struct sp_verdict v = bench_judge_at(&b, &root, NULL, 0, FIX_NOW);
        bench_expect(&v, may ? SP_REFUSAL_none : SP_REFUSAL_wrong_purpose, "root as a client");
        bench_close(&b);
        fix_free(&root);
    }
}

static void test_a_self_signed_leaf_is_trusted_by_nobody(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct fix_cert self = fix_issue(&(struct fix_spec){.subject = "CN=self"}, NULL, false);
    struct fix_cert mimic = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_cert of_mimic = fix_issue(&(struct fix_spec){.subject = "CN=leaf"}, &mimic, false);
    struct bench b = lax(4);
    bench_ca(&b, fix_write_certs("ca.pem", &p.root.cert, 1));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &self, NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_untrusted_issuer, "self-signed");
    const struct fix_cert *above[] = {&mimic};
    v = bench_judge_at(&b, &of_mimic, above, 1, FIX_NOW);
    assert_false(v.accepted);
    v = bench_judge_at(&b, &of_mimic, NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_bad_signature, "a CA that only has the name of ours");
    bench_close(&b);
    fix_free(&self);
    fix_free(&mimic);
    fix_free(&of_mimic);
    free_pki(&p);
}

static void test_depth_counts_the_intermediates(void **state)
{
    (void)state;
    struct fix_cert line[5], leaf;
    const struct fix_cert *above[4];
    line[0] = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    for (size_t i = 1; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "CN=ca%zu", i);
        line[i] = fix_issue(&(struct fix_spec){.subject = name}, &line[i - 1], true);
        above[4 - i] = &line[i];
    }
    leaf = fix_issue(&(struct fix_spec){.subject = "CN=leaf"}, &line[4], false);
    for (unsigned depth = 0; depth <= 6; depth++) {
        struct bench b = lax(depth);
        bench_ca(&b, fix_write_certs("ca.pem", &line[0].cert, 1));
        bench_open(&b);
        struct sp_verdict v = bench_judge_at(&b, &leaf, above, 4, FIX_NOW);
        bench_expect(&v, depth >= 4 ? SP_REFUSAL_none : SP_REFUSAL_chain_too_long, "four intermediates");
        bench_close(&b);
    }
    fix_free(&leaf);
    for (size_t i = 0; i < 5; i++)
        fix_free(&line[i]);
}

/* Key rotation: the old and the new CA have one name, and no key identifier says which is meant. */
static void test_two_cas_of_one_name_both_work(void **state)
{
    (void)state;
    for (int with_ids = 0; with_ids < 2; with_ids++) {
        for (int order = 0; order < 2; order++) {
            struct fix_spec spec = {.subject = "CN=root,O=Example", .key_ids = with_ids != 0};
            struct fix_cert cas[] = {fix_issue(&spec, NULL, true), fix_issue(&spec, NULL, true)};
            struct bench b = lax(4);
            X509 *bundle[] = {cas[order].cert, cas[1 - order].cert};
            bench_ca(&b, fix_write_certs("ca.pem", bundle, 2));
            bench_open(&b);
            for (size_t i = 0; i < 2; i++) {
                struct fix_cert leaf =
                    fix_issue(&(struct fix_spec){.key_ids = with_ids != 0}, &cas[i], false);
                struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
                bench_expect(&v, SP_REFUSAL_none, "same-name roots");
                fix_free(&leaf);
            }
            bench_close(&b);
            fix_free(&cas[0]);
            fix_free(&cas[1]);
        }
    }
}

/* An intermediate was renewed with a new key; the bundle has the old one, the client sends the new one. */
static void test_an_old_intermediate_in_the_bundle_does_not_hide_the_one_that_is_sent(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    for (int expired = 0; expired < 2; expired++) {
        struct fix_spec spec = {.subject = "CN=intermediate", .to = expired ? -10 : 0};
        struct fix_cert old = fix_issue(&spec, &root, true);
        struct fix_cert renewed = fix_issue(
            &(struct fix_spec){.subject = "CN=intermediate", .key = expired ? old.key : NULL}, &root, true);
        struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &renewed, false);
        X509 *bundle[] = {root.cert, old.cert};
        struct bench b = lax(4);
        bench_ca(&b, fix_write_certs("ca.pem", bundle, 2));
        bench_open(&b);
        const struct fix_cert *above[] = {&renewed};
        struct sp_verdict v = bench_judge_at(&b, &leaf, above, 1, FIX_NOW);
        bench_expect(&v, SP_REFUSAL_none, expired ? "expired, same key" : "another key");
        bench_close(&b);
        fix_free(&leaf);
        fix_free(&renewed);
        fix_free(&old);
    }
    fix_free(&root);
}

/* As when a widely used root ran out in 2020: the same CA is there self-signed and, cross-signed, under an
 * expired root. */
static void test_an_expired_cross_signature_does_not_break_a_root(void **state)
{
    (void)state;
    struct fix_cert dead = fix_issue(&(struct fix_spec){.subject = "CN=dead", .to = -10}, NULL, true);
    struct fix_cert alive = fix_issue(&(struct fix_spec){.subject = "CN=alive"}, NULL, true);
    struct fix_spec cross_spec = {.subject = "CN=alive", .key = alive.key, .to = 1000 * FIX_DAY};
    struct fix_cert cross = fix_issue(&cross_spec, &dead, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &alive, false);
    for (int send = 0; send < 2; send++) {
        X509 *bundle[] = {dead.cert, cross.cert, alive.cert};
        struct bench b = lax(4);
        bench_ca(&b, fix_write_certs("ca.pem", bundle, 3));
        bench_open(&b);
        assert_true(bench_says(&b, "expired on"));
        const struct fix_cert *above[] = {&cross, &dead};
        struct sp_verdict v = bench_judge_at(&b, &leaf, above, send ? 2 : 0, FIX_NOW);
        bench_expect(&v, SP_REFUSAL_none, "cross-signed");
        bench_close(&b);
    }
    fix_free(&leaf);
    fix_free(&cross);
    fix_free(&alive);
    fix_free(&dead);
}

static void test_two_cas_that_signed_each_other_are_both_anchors_if_intermediates_are_trusted(void **state)
{
    (void)state;
    struct fix_cert a_self = fix_issue(&(struct fix_spec){.subject = "CN=a"}, NULL, true);
    struct fix_cert b_by_a = fix_issue(&(struct fix_spec){.subject = "CN=b"}, &a_self, true);
    struct fix_cert a_by_b =
        fix_issue(&(struct fix_spec){.subject = "CN=a", .key = a_self.key}, &b_by_a, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &b_by_a, false);
    X509 *bundle[] = {a_by_b.cert, b_by_a.cert};
    struct bench b = lax(4);
    b.auth.trust_intermediates = true;
    bench_ca(&b, fix_write_certs("ca.pem", bundle, 2));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "ring");
    bench_close(&b);
    fix_free(&leaf);
    fix_free(&a_by_b);
    fix_free(&b_by_a);
    fix_free(&a_self);
}

static void test_a_ca_that_runs_out_later_is_refused_from_then_on(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root", .to = FIX_DAY}, NULL, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &root, false);
    struct bench b = lax(4);
    bench_ca(&b, fix_write_certs("ca.pem", &root.cert, 1));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW + FIX_DAY - 1);
    bench_expect(&v, SP_REFUSAL_none, "before");
    v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW + FIX_DAY);
    bench_expect(&v, SP_REFUSAL_expired, "after");
    assert_non_null(strstr(v.detail, "CN=root"));
    bench_close(&b);
    fix_free(&leaf);
    fix_free(&root);
}

/* SHA-1 signatures: Debian's OpenSSL makes and verifies them, so it is up to the level that we set. */
static void test_a_sha1_signature_is_weak_except_on_the_anchor(void **state)
{
    (void)state;
    for (int on_root = 0; on_root < 2; on_root++) {
        struct fix_spec root_spec = {.subject = "CN=root", .md = on_root ? EVP_sha1() : NULL};
        struct fix_cert root = fix_issue(&root_spec, NULL, true);
        struct fix_cert leaf = fix_issue(&(struct fix_spec){.md = on_root ? NULL : EVP_sha1()}, &root, false);
        struct bench b = lax(4);
        bench_ca(&b, fix_write_certs("ca.pem", &root.cert, 1));
        bench_open(&b);
        struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
        bench_expect(&v, on_root ? SP_REFUSAL_none : SP_REFUSAL_weak_key, "SHA-1");
        bench_close(&b);
        fix_free(&leaf);
        fix_free(&root);
    }
}

static void test_bytes_that_are_no_certificate_are_refused(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct bench b = lax(4);
    struct sp_verdict v;
    bench_ca(&b, fix_write_certs("ca.pem", &p.root.cert, 1));
    bench_open(&b);
    sp_trust_verify_der(b.trust, (struct sp_slice){NULL, 0}, NULL, 0, FIX_NOW, &v);
    bench_expect(&v, SP_REFUSAL_certificate_invalid, "nothing");
    sp_trust_verify_der(b.trust, SP_SLICE("\x30\x03\x02\x01\x01"), NULL, 0, FIX_NOW, &v);
    bench_expect(&v, SP_REFUSAL_certificate_invalid, "not a certificate");
    struct sp_slice der = fix_der(&p.leaf), junk = SP_SLICE("junk");
    sp_trust_verify_der(b.trust, der, &junk, 1, FIX_NOW, &v);
    bench_expect(&v, SP_REFUSAL_certificate_invalid, "junk above the leaf");
    for (size_t len = 0; len < der.len; len++) {
        sp_trust_verify_der(b.trust, (struct sp_slice){der.ptr, len}, NULL, 0, FIX_NOW, &v);
        assert_false(v.accepted);
    }
    OPENSSL_free((void *)der.ptr);
    bench_close(&b);
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
        cmocka_unit_test(test_each_chain_has_its_verdict),
        cmocka_unit_test(test_an_intermediate_alone_in_the_bundle_is_an_anchor_if_intermediates_are_trusted),
        cmocka_unit_test(test_a_ca_of_the_bundle_is_a_client_only_if_its_purpose_allows),
        cmocka_unit_test(test_a_self_signed_leaf_is_trusted_by_nobody),
        cmocka_unit_test(test_depth_counts_the_intermediates),
        cmocka_unit_test(test_two_cas_of_one_name_both_work),
        cmocka_unit_test(test_an_old_intermediate_in_the_bundle_does_not_hide_the_one_that_is_sent),
        cmocka_unit_test(test_an_expired_cross_signature_does_not_break_a_root),
        cmocka_unit_test(test_two_cas_that_signed_each_other_are_both_anchors_if_intermediates_are_trusted),
        cmocka_unit_test(test_a_ca_that_runs_out_later_is_refused_from_then_on),
        cmocka_unit_test(test_a_sha1_signature_is_weak_except_on_the_anchor),
        cmocka_unit_test(test_bytes_that_are_no_certificate_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
