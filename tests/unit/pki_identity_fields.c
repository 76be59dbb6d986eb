/* An identity that was written down is the one that a certificate of the same fields would have given. */
#include "pki_bench.h"

#include "sallyport/config/cases.h"
#include "sallyport/pki/requirements.h"
#include "sallyport/pki/x509.h"

#define LIST(...)                                                                                            \
    {                                                                                                        \
        (const char *const[]){__VA_ARGS__}, NULL, SP_COUNTOF(((const char *const[]){__VA_ARGS__}))           \
    }
#define ATTRS(field, ...)                                                                                    \
    .field = (const struct sp_config_attr[]){__VA_ARGS__},                                                   \
    .field##_count = SP_COUNTOF(((const struct sp_config_attr[]){__VA_ARGS__}))

static struct sp_identity *from(const struct sp_config_identity *fields)
{
    struct sp_err err = {0};
    struct sp_identity *id = NULL;
    if (sp_identity_from_fields(fields, &id, &err) != SP_OK)
        fail_msg("%s", err.text);
    return id;
}

static void expect_slice(struct sp_slice a, struct sp_slice b)
{
    if (!sp_slice_equal(a, b))
        fail_msg("\"%.*s\" and \"%.*s\"", SP_FMT(a), SP_FMT(b));
}

static void expect_same_list(const struct sp_slices *a, const struct sp_slices *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        expect_slice(a->items[i], b->items[i]);
}

static void expect_same_attrs(
    const struct sp_name_attr *a, size_t a_count, const struct sp_name_attr *b, size_t b_count)
{
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        expect_slice(a[i].type, b[i].type);
        expect_slice(a[i].value, b[i].value);
        assert_int_equal(a[i].rdn, b[i].rdn);
    }
}

static const struct {
    struct fix_spec leaf;
    struct sp_config_identity fields;
} same[] = {
    {{.subject = "-", .eku = "-"}, {ATTRS(issuer, {"CN", "ca"})}},
    {{.subject = "C=DE,O=Example Corp,OU=a,OU=b,CN=J\xc3\xb6rg \"x\" <y>;\\"},
        {ATTRS(issuer, {"CN", "ca"}), .eku = LIST("clientAuth"),
            ATTRS(subject, {"C", "DE"}, {"O", "Example Corp"}, {"OU", "a"}, {"OU", "b"},
                {"CN", "J\xc3\xb6rg \"x\" <y>;\\"})}},
    {{.subject = "organizationIdentifier=PSDDE-BAFIN-1,title=boss,emailAddress=a@b,CN= #x "},
        {ATTRS(issuer, {"CN", "ca"}), .eku = LIST("1.3.6.1.5.5.7.3.2"),
            ATTRS(subject, {"organizationIdentifier", "PSDDE-BAFIN-1"}, {"title", "boss"},
                {"1.2.840.113549.1.9.1", "a@b"}, {"2.5.4.3", " #x "})}},
    {{.subject = "CN=x",
         .san = "URI:spiffe://a/b,URI:urn:x,DNS:x.example,email:a@b.example,IP:192.0.2.1,IP:2001:db8::1",
         .eku = "clientAuth,serverAuth",
         .policies = "1.2.3.4,2.5.29.32.0",
         .serial = "0A3B"},
        {ATTRS(issuer, {"CN", "ca"}), ATTRS(subject, {"CN", "x"}), .uri = LIST("spiffe://a/b", "urn:x"),
            .dns = LIST("x.example"), .email = LIST("a@b.example"), .ip = LIST("192.0.2.1", "2001:db8::1"),
            .eku = LIST("clientAuth", "1.3.6.1.5.5.7.3.1"), .policies = LIST("1.2.3.4", "2.5.29.32.0"),
            .serial = "0a3b"}},
};

static void test_it_is_as_a_certificate_would_have_given_it(void **state)
{
    (void)state;
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    for (size_t i = 0; i < SP_COUNTOF(same); i++) {
        struct sp_err err = {0};
        struct sp_identity *real = NULL, *id = from(&same[i].fields);
        struct fix_cert leaf = fix_issue(&same[i].leaf, &ca, false);
        assert_int_equal(sp_identity_from_x509(leaf.cert, NULL, &real, &err), SP_OK);
        expect_slice(id->subject, real->subject);
        expect_slice(id->issuer, real->issuer);
        expect_same_attrs(
            id->subject_attrs, id->subject_attr_count, real->subject_attrs, real->subject_attr_count);
        expect_same_attrs(
            id->issuer_attrs, id->issuer_attr_count, real->issuer_attrs, real->issuer_attr_count);
        expect_same_list(&id->uris, &real->uris);
        expect_same_list(&id->dns_names, &real->dns_names);
        expect_same_list(&id->emails, &real->emails);
        expect_same_list(&id->ips, &real->ips);
        expect_same_list(&id->ekus, &real->ekus);
        expect_same_list(&id->policies, &real->policies);
        assert_int_equal(id->has_eku, real->has_eku);
        if (same[i].fields.serial != NULL)
            expect_slice(id->serial_hex, real->serial_hex);
        fix_free(&leaf);
        sp_identity_free(real);
        sp_identity_free(id);
    }
    fix_free(&ca);
}

static void test_what_was_not_given_is_absent(void **state)
{
    (void)state;
    static const uint8_t zero[32] = {0};
    struct sp_identity *id = from(&(struct sp_config_identity){.uri = LIST("spiffe://a/b")});
    assert_int_equal(id->subject.len, 0);
    assert_int_equal(id->serial_hex.len, 0);
    assert_int_equal(id->sha256_hex.len, 0);
    assert_memory_equal(id->sha256, zero, 32);
    assert_memory_equal(id->spki_sha256, zero, 32);
    assert_int_equal(id->client_cert.len, 0);
    assert_int_equal(id->qualified.authority_id.len, 0);
    assert_false(id->qualified.is_qualified || id->has_eku);
    sp_identity_free(id);
}

static void test_digests_and_statements_are_taken(void **state)
{
    (void)state;
    const struct sp_config_identity fields = {
        .fingerprint_sha256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        .spki_sha256 = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        .qc_type = SP_QC_WEB,
        .psd2_roles = SP_PSD2_AI | SP_PSD2_IC,
        .psd2_authority = "DE-BAFIN",
    };
    struct sp_identity *id = from(&fields);
    assert_int_equal(id->sha256[1], 0x11);
    assert_int_equal(id->spki_sha256[0], 0xff);
    expect_slice(id->sha256_hex, sp_slice_of(fields.fingerprint_sha256));
    assert_int_equal(id->sha256_b64url.len, 43);
    assert_true(id->qualified.is_qualified);
    assert_int_equal(id->qualified.type, SP_QC_WEB);
    assert_int_equal(id->qualified.psd2_roles, SP_PSD2_AI | SP_PSD2_IC);
    expect_slice(id->qualified.authority_id, SP_SLICE("DE-BAFIN"));
    sp_identity_free(id);
}

static const struct {
    struct sp_config_identity fields;
    const char *says;
} bad[] = {
    {{ATTRS(subject, {"CNN", "x"})}, "subject.CNN"},
    {{ATTRS(issuer, {"1.2.03", "x"})}, "issuer.1.2.03"},
    {{ATTRS(subject, {"CN", "a\nb"})}, "subject holds a NUL or another control character"},
    {{ATTRS(issuer, {"CN", "\xff"})}, "issuer is not valid text"},
    {{.uri = LIST("spiffe://a/b c")}, "URI subjectAltName \"spiffe://a/b c\""},
    {{.uri = LIST("https://x@evil.example/")}, "authority"},
    {{.dns = LIST("a,b")}, "DNS subjectAltName"},
    {{.email = LIST("")}, "email subjectAltName"},
    {{.ip = LIST("10.0.0.0/8")}, "ip: expected an address"},
    {{.fingerprint_sha256 = "0011"}, "fingerprint_sha256"},
    {{.spki_sha256 = "zz"}, "spki_sha256"},
    {{.policies = LIST("clientAuth")}, "policies: expected an OID"},
    {{.eku = LIST("client")}, "eku: expected an OID"},
    {{.psd2_authority = "DE\x01"}, "psd2_authority"},
};

static void test_what_no_certificate_could_say_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct sp_err err = {0};
        struct sp_identity *id = NULL;
        assert_int_equal(sp_identity_from_fields(&bad[i].fields, &id, &err), SP_FAIL);
        assert_null(id);
        if (strstr(err.text, bad[i].says) == NULL)
            fail_msg("%s: %s", bad[i].says, err.text);
    }
}

/* It has no key and no dates, and is asked for its names all the same; for key usages if it tells any. */
static void test_requirements_ask_only_for_what_can_be_written_down(void **state)
{
    (void)state;
    struct sp_diags diags = {0};
    char detail[256] = "";
    const struct sp_config_requirements config = {
        .max_validity_ms = 1000,
        .key_types = LIST("ec"),
        .min_ec_bits = 256,
        .signature_algorithms = LIST("ED25519"),
        .client_eku_required = true,
        .names[SP_NAME_URI] = {.presence = SP_PRESENCE_MUST},
    };
    struct sp_requirements *r = sp_requirements_new("x.yaml", "require", &config, &diags);
    struct sp_identity *good =
        from(&(struct sp_config_identity){.uri = LIST("spiffe://a/b"), .eku = LIST("clientAuth")});
    struct sp_identity *nameless = from(&(struct sp_config_identity){.eku = LIST("clientAuth")});
    struct sp_identity *useless =
        from(&(struct sp_config_identity){.uri = LIST("spiffe://a/b"), .eku = LIST("serverAuth")});
    struct sp_identity *silent = from(&(struct sp_config_identity){.uri = LIST("spiffe://a/b")});
    assert_int_equal(sp_requirements_judge(r, good, detail, sizeof(detail)), SP_REFUSAL_none);
    assert_int_equal(sp_requirements_judge(NULL, nameless, detail, sizeof(detail)), SP_REFUSAL_none);
    assert_int_equal(sp_requirements_judge(r, nameless, detail, sizeof(detail)), SP_REFUSAL_name_convention);
    assert_int_equal(
        sp_requirements_judge(r, useless, detail, sizeof(detail)), SP_REFUSAL_client_eku_missing);
    sp_identity_free(good);
    sp_identity_free(nameless);
    assert_int_equal(sp_requirements_judge(r, silent, detail, sizeof(detail)), SP_REFUSAL_none);
    sp_identity_free(useless);
    sp_identity_free(silent);
    sp_requirements_free(r);
    sp_diags_free(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_as_a_certificate_would_have_given_it),
        cmocka_unit_test(test_what_was_not_given_is_absent),
        cmocka_unit_test(test_digests_and_statements_are_taken),
        cmocka_unit_test(test_what_no_certificate_could_say_is_refused),
        cmocka_unit_test(test_requirements_ask_only_for_what_can_be_written_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fix_remove_folder();
    return failed;
}
