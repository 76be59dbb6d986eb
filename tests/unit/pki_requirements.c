/* What is asked of certificates beside that they verify. Every case is a real certificate, judged as in a handshake, and
 * once more as an open session. */
#include "pki_bench.h"

#include "sallyport/pki/requirements.h"
#include "sallyport/pki/x509.h"

#define LIST(...)                                                                                            \
    {                                                                                                        \
        (const char *const[]){__VA_ARGS__}, NULL, SP_COUNTOF(((const char *const[]){__VA_ARGS__}))           \
    }
#define NAMING(type, ...) .names[SP_NAME_##type] = {.presence = __VA_ARGS__}

static const struct {
    const char *name;
    struct sp_config_requirements require;
    struct fix_spec leaf;
    enum sp_refusal reason;
    const char *says; /* of the detail */
} cases[] = {
    {"nothing asked", {.client_eku_required = false}, {.eku = "-"}, SP_REFUSAL_none, NULL},

    {"validity as long as allowed", {.max_validity_ms = 366 * 86400000ULL}, {.subject = "CN=x"},
        SP_REFUSAL_none, NULL},
    {"validity a second longer", {.max_validity_ms = 366 * 86400000ULL - 1000}, {.subject = "CN=x"},
        SP_REFUSAL_validity_too_long, "the certificate's validity is 366 d"},
    {"a short one", {.max_validity_ms = 86400000}, {.from = -FIX_HOUR, .to = FIX_HOUR}, SP_REFUSAL_none,
        NULL},

    {"the only key type", {.key_types = LIST("ec")}, {.subject = "CN=x"}, SP_REFUSAL_none, NULL},
    {"one of two", {.key_types = LIST("rsa", "ed25519")}, {.algorithm = "ED25519"}, SP_REFUSAL_none, NULL},
    {"another key type", {.key_types = LIST("ed25519", "ec")}, {.rsa_bits = 2048}, SP_REFUSAL_key_not_allowed,
        "the key is rsa, key_types has ec ed25519"},
    {"ed448 is not ed25519", {.key_types = LIST("ed25519")}, {.algorithm = "ED448"},
        SP_REFUSAL_key_not_allowed, "ed448"},
    {"RSA as long as asked", {.min_rsa_bits = 2048}, {.rsa_bits = 2048}, SP_REFUSAL_none, NULL},
    {"RSA too short", {.min_rsa_bits = 3072}, {.rsa_bits = 2048}, SP_REFUSAL_key_not_allowed,
        "min_rsa_bits is 3072, the key has 2048 bits"},
    {"RSA-PSS is RSA", {.min_rsa_bits = 3072}, {.algorithm = "RSA-PSS"}, SP_REFUSAL_key_not_allowed, "2048"},
    {"RSA bits ask nothing of EC", {.min_rsa_bits = 3072}, {.subject = "CN=x"}, SP_REFUSAL_none, NULL},
    {"EC too short", {.min_ec_bits = 384}, {.subject = "CN=x"}, SP_REFUSAL_key_not_allowed,
        "min_ec_bits is 384"},
    {"EC long enough", {.min_ec_bits = 384}, {.algorithm = "P-384"}, SP_REFUSAL_none, NULL},

    {"the signature's name", {.signature_algorithms = LIST("ecdsa-with-SHA256")}, {.subject = "CN=x"},
        SP_REFUSAL_none, NULL},
    {"in another case", {.signature_algorithms = LIST("ECDSA-WITH-sha256")}, {.subject = "CN=x"},
        SP_REFUSAL_none, NULL},
    {"its OID", {.signature_algorithms = LIST("1.2.3.4", "1.2.840.10045.4.3.2")}, {.subject = "CN=x"},
        SP_REFUSAL_none, NULL},
    {"another one", {.signature_algorithms = LIST("ecdsa-with-SHA256", "RSA-SHA256")},
        {.md = NULL, .algorithm = "P-384"}, SP_REFUSAL_none, NULL},
    {"SHA-384 where SHA-256 is asked", {.signature_algorithms = LIST("ecdsa-with-SHA256", "RSA-SHA256")},
        {.subject = "CN=sha384"}, SP_REFUSAL_signature_not_allowed,
        "has ecdsa-with-SHA256, sha256WithRSAEncryption; the certificate is signed with ecdsa-with-SHA384"},

    {"an EKU by name", {.eku = LIST("clientauth")}, {.subject = "CN=x"}, SP_REFUSAL_none, NULL},
    {"both EKUs", {.eku = LIST("clientAuth", "1.3.6.1.4.1.311.20.2.2")},
        {.eku = "1.3.6.1.4.1.311.20.2.2,clientAuth"}, SP_REFUSAL_none, NULL},
    {"one of two EKUs", {.eku = LIST("clientAuth", "1.3.6.1.4.1.311.20.2.2")}, {.subject = "CN=x"},
        SP_REFUSAL_eku_missing, "eku asks for 1.3.6.1.4.1.311.20.2.2; the certificate has 1.3.6.1.5.5.7.3.2"},
    {"no EKU at all", {.eku = LIST("emailProtection")}, {.eku = "-"}, SP_REFUSAL_eku_missing, "has none"},
    {"any stands for nothing else", {.eku = LIST("emailProtection")},
        {.eku = "clientAuth,anyExtendedKeyUsage"}, SP_REFUSAL_eku_missing, "2.5.29.37.0"},
    {"any, asked for", {.eku = LIST("anyExtendedKeyUsage")}, {.eku = "clientAuth,anyExtendedKeyUsage"},
        SP_REFUSAL_none, NULL},

    {"clientAuth required", {.client_eku_required = true}, {.subject = "CN=x"}, SP_REFUSAL_none, NULL},
    {"clientAuth among others", {.client_eku_required = true}, {.eku = "serverAuth,clientAuth"},
        SP_REFUSAL_none, NULL},
    {"no EKU where it is required", {.client_eku_required = true}, {.eku = "-"},
        SP_REFUSAL_client_eku_missing, "has no extendedKeyUsage"},

    {"both policies", {.policies = LIST("1.2.3.4", "1.2.3.5")}, {.policies = "1.2.3.5,2.9,1.2.3.4"},
        SP_REFUSAL_none, NULL},
    {"one policy is missing", {.policies = LIST("1.2.3.4", "1.2.3.5")}, {.policies = "1.2.3.4,1.2.3.55"},
        SP_REFUSAL_policy_missing, "policies asks for 1.2.3.5; the certificate has 1.2.3.4, 1.2.3.55"},
    {"anyPolicy is no other", {.policies = LIST("1.2.3.4")}, {.policies = "2.5.29.32.0"},
        SP_REFUSAL_policy_missing, "2.5.29.32.0"},

    {"must", {NAMING(URI, SP_PRESENCE_MUST)}, {.san = "URI:spiffe://a/b"}, SP_REFUSAL_none, NULL},
    {"must, and is not", {NAMING(URI, SP_PRESENCE_MUST)}, {.san = "DNS:a.example"},
        SP_REFUSAL_name_convention, "names.uri is must, the certificate has none"},
    {"must not", {NAMING(DNS, SP_PRESENCE_MUST_NOT)}, {.san = "URI:spiffe://a/b,DNS:a.example"},
        SP_REFUSAL_name_convention, "names.dns is must_not, the certificate has a.example"},
    {"must not have an address", {NAMING(IP, SP_PRESENCE_MUST_NOT)}, {.san = "IP:2001:db8::1"},
        SP_REFUSAL_name_convention, "2001:db8::1"},
    {"must not, and has none", {NAMING(EMAIL, SP_PRESENCE_MUST_NOT)}, {.san = "DNS:a.example"},
        SP_REFUSAL_none, NULL},
    {"may, and fits", {NAMING(URI, SP_PRESENCE_MAY, LIST("spiffe://a/ns/**"))},
        {.san = "URI:spiffe://a/ns/x,URI:spiffe://a/ns/y/z"}, SP_REFUSAL_none, NULL},
    {"may, and is not there", {NAMING(URI, SP_PRESENCE_MAY, LIST("spiffe://a/ns/**"))},
        {.san = "DNS:a.example"}, SP_REFUSAL_none, NULL},
    {"one of two names does not fit", {NAMING(URI, SP_PRESENCE_MAY, LIST("spiffe://a/ns/**"))},
        {.san = "URI:spiffe://a/ns/x,URI:spiffe://a.evil/ns/y"}, SP_REFUSAL_name_convention,
        "spiffe://a.evil/ns/y fits no pattern of names.uri"},
    {"each fits one of two", {NAMING(DNS, SP_PRESENCE_MUST, LIST("*.a.example", "b.example"))},
        {.san = "DNS:X.A.example,DNS:b.example"}, SP_REFUSAL_none, NULL},
    {"a star is one label", {NAMING(DNS, SP_PRESENCE_MUST, LIST("*.a.example"))},
        {.san = "DNS:x.y.a.example"}, SP_REFUSAL_name_convention, "x.y.a.example"},
    {"an e-mail address fits", {NAMING(EMAIL, SP_PRESENCE_MUST, LIST("*@corp.example"))},
        {.san = "email:ann@Corp.example"}, SP_REFUSAL_none, NULL},
    {"addresses in their block", {NAMING(IP, SP_PRESENCE_MUST, LIST("10.0.0.0/8", "2001:db8::/32"))},
        {.san = "IP:10.255.0.1,IP:2001:db8:1::1"}, SP_REFUSAL_none, NULL},
    {"an address beside it", {NAMING(IP, SP_PRESENCE_MUST, LIST("10.0.0.0/8"))},
        {.san = "IP:10.0.0.1,IP:11.0.0.1"}, SP_REFUSAL_name_convention,
        "11.0.0.1 fits no pattern of names.ip"},

    {"the first in the order of the list is told",
        {.max_validity_ms = 1000, .key_types = LIST("rsa"), .eku = LIST("1.2.3.4")}, {.subject = "CN=x"},
        SP_REFUSAL_validity_too_long, NULL},
};

static struct fix_cert leaf_of(const struct fix_spec *spec, const struct fix_cert *ca)
{
    struct fix_spec copy = *spec;
    if (copy.subject != NULL && strcmp(copy.subject, "CN=sha384") == 0)
        copy.md = EVP_sha384();
    return fix_issue(&copy, ca, false);
}

static void test_each_requirement_refuses_with_its_own_reason(void **state)
{
    (void)state;
    struct pki p = make_pki();
    const char *file = fix_write_certs("require.pem", &p.root.cert, 1);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct bench b = lax(5);
        bench_ca(&b, file);
        b.auth.require = &cases[i].require;
        bench_open(&b);
        struct fix_cert leaf = leaf_of(&cases[i].leaf, &p.root);
        struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
        bench_expect(&v, cases[i].reason, cases[i].name);
        if (cases[i].says != NULL && strstr(v.detail, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].name, v.detail);
        fix_free(&leaf);
        bench_close(&b);
    }
    free_pki(&p);
}

/* It was let in before anything was required. */
static void test_an_open_session_is_judged_by_what_is_required_now(void **state)
{
    (void)state;
    struct pki p = make_pki();
    const char *file = fix_write_certs("rejudge.pem", &p.root.cert, 1);
    struct bench before = lax(5);
    bench_ca(&before, file);
    bench_open(&before);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct bench b = lax(5);
        bench_ca(&b, file);
        b.auth.require = &cases[i].require;
        bench_open(&b);
        struct fix_cert leaf = leaf_of(&cases[i].leaf, &p.root);
        struct sp_verdict v;
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        STACK_OF(X509) *sent = sk_X509_new_null();
        sk_X509_push(sent, leaf.cert);
        assert_int_equal(X509_STORE_CTX_init(ctx, sp_trust_store(before.trust), leaf.cert, sent), 1);
        struct sp_identity *id = sp_trust_admit(before.trust, ctx, FIX_NOW, &v);
        assert_non_null(id);
        sp_trust_rejudge(b.trust, id, FIX_NOW, &v);
        bench_expect(&v, cases[i].reason, cases[i].name);
        sp_trust_rejudge(before.trust, id, FIX_NOW, &v);
        assert_true(v.accepted);
        /* ... nor does a session let it in again */
        struct sp_identity *again = sp_trust_readmit(b.trust, leaf.cert, NULL, 0, FIX_NOW, &v);
        bench_expect(&v, cases[i].reason, cases[i].name);
        sp_identity_free(again);
        sp_identity_free(id);
        sk_X509_free(sent);
        X509_STORE_CTX_free(ctx);
        fix_free(&leaf);
        bench_close(&b);
    }
    bench_close(&before);
    free_pki(&p);
}

/* Each differs from each other one. */
static const struct sp_config_requirements policies[] = {
    {.client_eku_required = false},
    {.client_eku_required = true},
    {.max_validity_ms = 1},
    {.max_validity_ms = 2},
    {.key_types = LIST("ec")},
    {.key_types = LIST("rsa")},
    {.min_rsa_bits = 2048},
    {.min_ec_bits = 2048},
    {.signature_algorithms = LIST("ED25519")},
    {.eku = LIST("1.2.3")},
    {.policies = LIST("1.2.3")},
    {.policies = LIST("1.2.3", "1.2.4")},
    {NAMING(URI, SP_PRESENCE_MUST)},
    {NAMING(URI, SP_PRESENCE_MUST_NOT)},
    {NAMING(DNS, SP_PRESENCE_MUST)},
    {NAMING(DNS, SP_PRESENCE_MUST, LIST("a.example"))},
    {NAMING(DNS, SP_PRESENCE_MUST, LIST("b.example"))},
};

static void test_other_requirements_are_another_policy(void **state)
{
    (void)state;
    uint8_t ids[SP_COUNTOF(policies) + 1][32];
    struct pki p = make_pki();
    const char *file = fix_write_certs("policy.pem", &p.root.cert, 1);
    for (size_t i = 0; i <= SP_COUNTOF(policies); i++) {
        struct bench b = lax(5);
        bench_ca(&b, file);
        b.auth.require = i < SP_COUNTOF(policies) ? &policies[i] : NULL;
        bench_open(&b);
        sp_trust_policy_id(b.trust, ids[i]);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(ids[i], ids[j], 32);
        bench_close(&b);
    }
    free_pki(&p);
}

static const struct {
    struct sp_config_requirements require;
    const char *says;
} mistakes[] = {
    {{.key_types = LIST("ec", "dsa")}, "require.key_types: \"dsa\": expected rsa, ec, ed25519 or ed448"},
    {{.signature_algorithms = LIST("ecdsa-with-SHA257")},
        "require.signature_algorithms: \"ecdsa-with-SHA257\": expected a signature algorithm"},
    {{.signature_algorithms = LIST("SHA256")}, "\"SHA256\": expected a signature algorithm"},
    {{.signature_algorithms = LIST("2.5.4.3")}, "\"2.5.4.3\": expected a signature algorithm"},
    {{.eku = LIST("clientAuht")}, "require.eku: \"clientAuht\": expected an extended key usage"},
    {{.eku = LIST("1.3.06")}, "\"1.3.06\""},
    {{.policies = LIST("clientAuth")}, "require.policies: \"clientAuth\": expected an OID"},
    {{NAMING(URI, SP_PRESENCE_MAY, LIST("spiffe://*/x"))}, "require.names.uri.patterns: \"spiffe://*/x\""},
    {{NAMING(DNS, SP_PRESENCE_MAY, LIST("a.*.example"))}, "require.names.dns.patterns: \"a.*.example\""},
    {{NAMING(EMAIL, SP_PRESENCE_MAY, LIST("corp.example"))},
        "require.names.email.patterns: \"corp.example\""},
    {{NAMING(IP, SP_PRESENCE_MAY, LIST("10.0.0.1/8"))}, "require.names.ip.patterns: \"10.0.0.1/8\""},
};

static void test_a_mistake_is_told_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(mistakes); i++) {
        struct bench b = {.auth.depth = 0};
        struct sp_config_requirements require = mistakes[i].require;
        require.at = (struct sp_pos){7, 3};
        assert_null(sp_requirements_new("x.yaml", "callers.a.require", &require, &b.diags));
        if (!bench_says(&b, mistakes[i].says) || !bench_says(&b, "callers.a.require.")) {
            bench_print(&b);
            fail_msg("%s", mistakes[i].says);
        }
        assert_int_equal(b.diags.items[0].at.line, 7);
        sp_diags_free(&b.diags);
    }
}

static void test_a_trust_with_a_mistake_in_it_is_none(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct bench b = lax(5);
    bench_ca(&b, fix_write_certs("mistake.pem", &p.root.cert, 1));
    b.auth.require = &mistakes[0].require;
    assert_null(sp_trust_new_at("test.yaml", &b.auth, NULL, FIX_NOW, &b.diags));
    assert_true(bench_says(&b, "client_auth.require.key_types"));
    bench_close(&b);
    free_pki(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_requirement_refuses_with_its_own_reason),
        cmocka_unit_test(test_an_open_session_is_judged_by_what_is_required_now),
        cmocka_unit_test(test_other_requirements_are_another_policy),
        cmocka_unit_test(test_a_mistake_is_told_with_its_place),
        cmocka_unit_test(test_a_trust_with_a_mistake_in_it_is_none),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fix_remove_folder();
    return failed;
}
