/* From a leaf to plain data: what is taken, how it is written, and what is refused. */
#include "pki_bench.h"

#include "sallyport/base/text.h"
#include "sallyport/pki/x509.h"

static struct fix_cert make_ca(void)
{
    return fix_issue(&(struct fix_spec){.subject = "CN=ca,O=Example"}, NULL, true);
}

static struct sp_identity *identity_of(const struct fix_cert *leaf, struct sp_err *err)
{
    struct sp_identity *id = NULL;
    struct sp_slice der = fix_der(leaf);
    enum sp_rc rc = sp_identity_from_der(der, NULL, 0, &id, err);
    assert_int_equal(rc == SP_OK, id != NULL);
    OPENSSL_free((void *)der.ptr);
    return id;
}

#define assert_slice(s, text)                                                                                \
    do {                                                                                                     \
        struct sp_slice s_ = (s);                                                                            \
        if (!sp_slice_equal(s_, sp_slice_of(text)))                                                          \
            fail_msg("wanted \"%s\", got \"%.*s\"", text, SP_FMT(s_));                                       \
    } while (0)

/* ---- what is taken ---- */

static const struct {
    const char *subject; /* as the fixture has it */
    const char *text;    /* RFC 4514 */
    const char *attrs;   /* type=value@rdn, joined by ';' */
} subjects[] = {
    {"CN=bob", "CN=bob", "CN=bob@0"},
    {"-", "", ""},
    {"C=DE,O=Example Corp,CN=bob", "CN=bob,O=Example Corp,C=DE", "C=DE@0;O=Example Corp@1;CN=bob@2"},
    {"CN=first,CN=second", "CN=second,CN=first", "CN=first@0;CN=second@1"},
    {"O=x,CN=bob+OU=dev", "OU=dev+CN=bob,O=x", "O=x@0;CN=bob@1;OU=dev@1"},
    {"CN=J\xc3\xb6rg", "CN=J\\C3\\B6rg", "CN=J\xc3\xb6rg@0"},
    {"CN= a #\"<>;\\", "CN=\\ a #\\\"\\<\\>\\;\\\\", "CN= a #\"<>;\\@0"},
    {"DC=example,UID=u1,serialNumber=77,emailAddress=a@b",
        "emailAddress=a@b,serialNumber=77,UID=u1,DC=example",
        "DC=example@0;UID=u1@1;serialNumber=77@2;emailAddress=a@b@3"},
    {"title=boss,L=Bonn,ST=NRW", "ST=NRW,L=Bonn,title=boss", "2.5.4.12=boss@0;L=Bonn@1;ST=NRW@2"},
};

static void test_a_subject_is_taken_whole_and_in_order(void **state)
{
    (void)state;
    struct fix_cert ca = make_ca();
    for (size_t i = 0; i < SP_COUNTOF(subjects); i++) {
        struct sp_err err;
        char attrs[512] = "";
        struct fix_cert leaf = fix_issue(&(struct fix_spec){.subject = subjects[i].subject}, &ca, false);
        struct sp_identity *id = identity_of(&leaf, &err);
        assert_non_null(id);
        assert_slice(id->subject, subjects[i].text);
        assert_slice(id->issuer, "O=Example,CN=ca");
        for (size_t j = 0; j < id->subject_attr_count; j++) {
            const struct sp_name_attr *a = &id->subject_attrs[j];
            size_t n = strlen(attrs);
            snprintf(attrs + n, sizeof(attrs) - n, "%s%.*s=%.*s@%u", j > 0 ? ";" : "", SP_FMT(a->type),
                SP_FMT(a->value), a->rdn);
        }
        assert_string_equal(attrs, subjects[i].attrs);
        sp_identity_free(id);
        fix_free(&leaf);
    }
    fix_free(&ca);
}

static void test_each_san_is_taken_under_its_own_type(void **state)
{
    (void)state;
    struct sp_err err;
    struct fix_cert ca = make_ca();
    struct fix_spec spec = {
        .san = "URI:spiffe://a/b,DNS:x.example,DNS:*.y.example,email:a@b.example,IP:192.0.2.1,"
               "IP:2001:db8::1,RID:1.2.3,URI:urn:x"};
    struct fix_cert leaf = fix_issue(&spec, &ca, false);
    struct sp_identity *id = identity_of(&leaf, &err);
    assert_non_null(id);
    assert_int_equal(id->uris.count, 2);
    assert_slice(id->uris.items[0], "spiffe://a/b");
    assert_slice(id->uris.items[1], "urn:x");
    assert_int_equal(id->dns_names.count, 2);
    assert_slice(id->dns_names.items[1], "*.y.example");
    assert_int_equal(id->emails.count, 1);
    assert_slice(id->emails.items[0], "a@b.example");
    assert_int_equal(id->ips.count, 2);
    assert_int_equal(id->ips.items[0].len, 4);
    assert_memory_equal(id->ips.items[0].ptr, "\xc0\x00\x02\x01", 4);
    assert_int_equal(id->ips.items[1].len, 16);
    assert_int_equal(id->not_after, FIX_NOW + 365 * FIX_DAY);
    assert_int_equal(id->not_before, FIX_NOW - FIX_DAY);
    sp_identity_free(id);
    fix_free(&leaf);
    fix_free(&ca);
}

static void test_a_serial_is_written_in_whole_bytes(void **state)
{
    (void)state;
    static const char *const serials[][2] = {
        {"0", "00"},
        {"1", "01"},
        {"7F", "7f"},
        {"80", "80"},
        {"100", "0100"},
        {"-1", "-01"},
        {"-80", "-80"},
        {"7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "7fffffffffffffffffffffffffffffffffffffff"},
        {"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "ffffffffffffffffffffffffffffffffffffffffff"},
    };
    struct fix_cert ca = make_ca();
    for (size_t i = 0; i < SP_COUNTOF(serials); i++) {
        struct sp_err err;
        struct fix_cert leaf = fix_issue(&(struct fix_spec){.serial = serials[i][0]}, &ca, false);
        struct sp_identity *id = identity_of(&leaf, &err);
        assert_non_null(id);
        assert_slice(id->serial_hex, serials[i][1]);
        sp_identity_free(id);
        fix_free(&leaf);
    }
    fix_free(&ca);
}

static void test_digests_and_base64_are_of_the_der(void **state)
{
    (void)state;
    struct sp_err err;
    unsigned char sum[32], back[4096];
    struct fix_cert ca = make_ca(), leaf = fix_issue(&(struct fix_spec){0}, &ca, false);
    struct sp_slice der = fix_der(&leaf);
    struct sp_identity *id = identity_of(&leaf, &err);
    assert_non_null(id);
    assert_int_equal(EVP_Digest(der.ptr, der.len, sum, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(id->sha256, sum, 32);
    assert_int_equal(id->sha256_hex.len, 64);
    assert_int_equal(id->sha256_b64url.len, 43);
    assert_null(memchr(id->sha256_b64url.ptr, '=', 43));
    assert_null(memchr(id->sha256_b64url.ptr, '+', 43));
    assert_null(memchr(id->sha256_b64url.ptr, '/', 43));
    size_t last = id->client_cert.len - 1;
    assert_int_equal(last + 1, (der.len + 2) / 3 * 4 + 2);
    assert_true(id->client_cert.ptr[0] == ':' && id->client_cert.ptr[last] == ':');
    assert_true(
        EVP_DecodeBlock(back, (const unsigned char *)id->client_cert.ptr + 1, (int)last - 1) >= (int)der.len);
    assert_memory_equal(back, der.ptr, der.len);
    sp_identity_free(id);
    OPENSSL_free((void *)der.ptr);
    fix_free(&leaf);
    fix_free(&ca);
}

static void test_the_chain_leaves_out_both_ends(void **state)
{
    (void)state;
    struct sp_err err;
    struct fix_cert root = make_ca();
    struct fix_cert inter = fix_issue(&(struct fix_spec){.subject = "CN=inter"}, &root, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &inter, false);
    struct sp_slice der[] = {fix_der(&leaf), fix_der(&inter)};
    struct sp_identity *a = NULL, *b = NULL, *c = NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    sk_X509_push(chain, leaf.cert);
    sk_X509_push(chain, inter.cert);
    sk_X509_push(chain, root.cert);
    assert_int_equal(sp_identity_from_x509(leaf.cert, chain, &a, &err), SP_OK);
    assert_int_equal(sp_identity_from_der(der[0], &der[1], 1, &b, &err), SP_OK);
    assert_null(memchr(a->client_cert_chain.ptr, ',', a->client_cert_chain.len));
    assert_true(a->client_cert_chain.len > 2);
    assert_true(sp_slice_equal(a->client_cert_chain, b->client_cert_chain));
    assert_true(sp_slice_equal(a->client_cert, b->client_cert));
    assert_false(sp_slice_equal(a->client_cert, a->client_cert_chain));
    assert_int_equal(sp_identity_from_x509(leaf.cert, NULL, &c, &err), SP_OK);
    assert_int_equal(c->client_cert_chain.len, 0);
    sp_identity_free(a);
    sp_identity_free(b);
    sp_identity_free(c);
    sk_X509_free(chain);
    OPENSSL_free((void *)der[0].ptr);
    OPENSSL_free((void *)der[1].ptr);
    fix_free(&leaf);
    fix_free(&inter);
    fix_free(&root);
}

/* ---- what is refused ---- */

#define RAW(bytes)                                                                                           \
    {                                                                                                        \
        "" bytes, sizeof(bytes) - 1                                                                          \
    }

static const struct {
    const char *name;
    struct fix_spec spec;
    const char *words; /* NULL: it is taken */
} hostile[] = {
    {"NUL in a DNS SAN", {.raw_san = RAW("a.example\0.b"), .raw_san_type = GEN_DNS},
        "DNS subjectAltName \"a.example\\x00.b\""},
    {"NUL at the end", {.raw_san = RAW("a.example\0"), .raw_san_type = GEN_DNS}, "DNS subjectAltName"},
    {"CR LF in a URI", {.raw_san = RAW("spiffe://a\r\nX: y"), .raw_san_type = GEN_URI}, "URI subjectAltName"},
    {"blank in a URI", {.raw_san = RAW("spiffe://a/b c"), .raw_san_type = GEN_URI}, "URI subjectAltName"},
    {"quote in a URI", {.raw_san = RAW("spiffe://a/\"b"), .raw_san_type = GEN_URI}, "URI subjectAltName"},
    {"backslash in a URI", {.raw_san = RAW("spiffe://a/\\b"), .raw_san_type = GEN_URI}, "URI subjectAltName"},
    {"comma in a DNS SAN", {.raw_san = RAW("a.example,DNS:admin"), .raw_san_type = GEN_DNS},
        "DNS subjectAltName"},
    {"comma in a URI", {.raw_san = RAW("spiffe://a,URI:spiffe://b"), .raw_san_type = GEN_URI},
        "URI subjectAltName"},
    {"UTF-8 in a DNS SAN", {.raw_san = RAW("b\xc3\xbc.example"), .raw_san_type = GEN_DNS},
        "DNS subjectAltName"},
    {"high byte in an email", {.raw_san = RAW("a\xff@b"), .raw_san_type = GEN_EMAIL}, "email subjectAltName"},
    {"angle in an email", {.raw_san = RAW("<a@b>"), .raw_san_type = GEN_EMAIL}, "email subjectAltName"},
    {"empty DNS SAN", {.raw_san = RAW(""), .raw_san_type = GEN_DNS}, "DNS subjectAltName"},
    {"IP of 5 bytes", {.raw_san = RAW("12345"), .raw_san_type = GEN_IPADD}, "5 bytes"},
    {"query in a URI", {.raw_san = RAW("https://a/b?c=d;e='f'#g"), .raw_san_type = GEN_URI}, NULL},
    {"userinfo in a URI", {.raw_san = RAW("https://a@b.example/"), .raw_san_type = GEN_URI},
        "in its authority"},
    {"query for a path", {.raw_san = RAW("spiffe://a?b"), .raw_san_type = GEN_URI}, "in its authority"},
    {"fragment for a path", {.raw_san = RAW("spiffe://a#b"), .raw_san_type = GEN_URI}, "in its authority"},
    {"at sign in a path", {.raw_san = RAW("spiffe://a/b@c"), .raw_san_type = GEN_URI}, NULL},
    {"NUL in a CN", {.raw_cn = RAW("admin\0x"), .raw_cn_type = V_ASN1_UTF8STRING}, "of the subject"},
    {"line break in a CN", {.raw_cn = RAW("a\r\nb"), .raw_cn_type = V_ASN1_UTF8STRING}, "of the subject"},
    {"DEL in a CN", {.raw_cn = RAW("a\x7f"), .raw_cn_type = V_ASN1_UTF8STRING}, "of the subject"},
    {"C1 control in a CN", {.raw_cn = RAW("a\xc2\x85"), .raw_cn_type = V_ASN1_UTF8STRING}, "of the subject"},
    {"C1 control as Latin-1", {.raw_cn = RAW("a\x85"), .raw_cn_type = V_ASN1_T61STRING}, "of the subject"},
    {"high byte in a PrintableString", {.raw_cn = RAW("a\xe4"), .raw_cn_type = V_ASN1_PRINTABLESTRING},
        "non-ASCII"},
    {"Latin-1 in a TeletexString", {.raw_cn = RAW("a\xe4"), .raw_cn_type = V_ASN1_T61STRING}, NULL},
    {"NUL in a BMPString", {.raw_cn = RAW("\0a\0\0"), .raw_cn_type = V_ASN1_BMPSTRING}, "of the subject"},
    {"control in the issuer", {.issuer = "CN=a\tb"}, "of the issuer"},
    {"100 SANs", {.sans = 100}, NULL},
    {"101 SANs", {.sans = 101}, "101 subjectAltNames"},
    {"two SAN extensions", {.san = "DNS:a.example", .sans = 1}, "there are two"},
};

static void test_a_hostile_name_is_refused_and_told(void **state)
{
    (void)state;
    struct fix_cert ca = make_ca();
    for (size_t i = 0; i < SP_COUNTOF(hostile); i++) {
        struct sp_err err = {0};
        struct fix_cert leaf = fix_issue(&hostile[i].spec, &ca, false);
        struct sp_identity *id = identity_of(&leaf, &err);
        if ((id == NULL) != (hostile[i].words != NULL))
            fail_msg("%s: %s", hostile[i].name, id == NULL ? err.text : "taken");
        if (id == NULL && strstr(err.text, hostile[i].words) == NULL)
            fail_msg("%s: \"%s\" is not in \"%s\"", hostile[i].name, hostile[i].words, err.text);
        sp_identity_free(id);
        fix_free(&leaf);
    }
    fix_free(&ca);
}

/* OpenSSL makes no such certificate; these are patched, and their signatures do not matter here. */
static void test_a_name_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "a\xc3.z", "a\xc0\xaf.", "\xed\xa0\x80.", "\xff\xfe..", "\xf8\x88\x80\x80"};
    struct fix_cert ca = make_ca(), leaf = fix_issue(&(struct fix_spec){.subject = "CN=QQQQ"}, &ca, false);
    struct sp_slice der = fix_der(&leaf);
    char *at = memmem(der.ptr, der.len, "QQQQ", 4);
    assert_non_null(at);
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct sp_err err;
        struct sp_identity *id = NULL;
        assert_int_equal(strlen(bad[i]), 4);
        memcpy(at, bad[i], 4);
        assert_int_equal(sp_identity_from_der(der, NULL, 0, &id, &err), SP_FAIL);
    }
    OPENSSL_free((void *)der.ptr);
    fix_free(&leaf);
    fix_free(&ca);
}

static void test_more_attributes_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct fix_cert ca = make_ca();
    for (size_t count = 64; count <= 65; count++) {
        struct sp_err err;
        char subject[512] = "";
        for (size_t i = 0; i < count; i++)
            strcat(subject, i > 0 ? ",OU=a" : "OU=a");
        struct fix_cert leaf = fix_issue(&(struct fix_spec){.subject = subject}, &ca, false);
        struct sp_identity *id = identity_of(&leaf, &err);
        assert_int_equal(id != NULL, count == 64);
        sp_identity_free(id);
        fix_free(&leaf);
    }
    fix_free(&ca);
}

static void test_a_certificate_that_ends_early_or_late_is_refused(void **state)
{
    (void)state;
    struct sp_err err;
    struct sp_identity *id = NULL;
    char longer[4096];
    struct fix_cert ca = make_ca();
    struct sp_slice der = fix_der(&ca);
    for (size_t len = 0; len < der.len; len++)
        assert_int_equal(sp_identity_from_der((struct sp_slice){der.ptr, len}, NULL, 0, &id, &err), SP_FAIL);
    memcpy(longer, der.ptr, der.len);
    longer[der.len] = 0;
    assert_int_equal(
        sp_identity_from_der((struct sp_slice){longer, der.len + 1}, NULL, 0, &id, &err), SP_FAIL);
    assert_int_equal(sp_identity_from_der((struct sp_slice){longer, der.len}, NULL, 0, &id, &err), SP_OK);
    sp_identity_free(id);
    OPENSSL_free((void *)der.ptr);
    fix_free(&ca);
}

/* ---- facts ---- */

static void test_facts_can_be_told_of_a_hostile_certificate(void **state)
{
    (void)state;
    struct sp_cert_facts facts;
    struct fix_cert ca = make_ca();
    struct fix_spec spec = {.subject = "CN=bob,O=x",
        .serial = "1A2B",
        .raw_san = RAW("a\0b,\r\n\xff\\"),
        .raw_san_type = GEN_DNS};
    struct fix_cert leaf = fix_issue(&spec, &ca, false);
    sp_cert_facts_of(leaf.cert, &facts);
    assert_string_equal(facts.subject, "O=x,CN=bob");
    assert_string_equal(facts.issuer, "O=Example,CN=ca");
    assert_string_equal(facts.serial, "1a2b");
    assert_string_equal(facts.sans, "DNS:a\\x00b\\x2c\\x0d\\x0a\\xff\\x5c");
    fix_free(&leaf);
    leaf = fix_issue(
        &(struct fix_spec){.san = "URI:spiffe://a/b,DNS:c.d,IP:192.0.2.1,email:e@f,RID:1.2"}, &ca, false);
    sp_cert_facts_of(leaf.cert, &facts);
    assert_string_equal(facts.sans, "URI:spiffe://a/b,DNS:c.d,IP:192.0.2.1,email:e@f,other:?");
    fix_free(&leaf);
    leaf =
        fix_issue(&(struct fix_spec){.raw_cn = RAW("a\0b\n"), .raw_cn_type = V_ASN1_UTF8STRING}, &ca, false);
    sp_cert_facts_of(leaf.cert, &facts);
    assert_string_equal(facts.subject, "CN=a\\00b\\0A,CN=leaf");
    fix_free(&leaf);
    leaf = fix_issue(&(struct fix_spec){.sans = 200}, &ca, false);
    sp_cert_facts_of(leaf.cert, &facts);
    assert_true(strlen(facts.sans) > sizeof(facts.sans) - 40);
    assert_string_equal(facts.sans + strlen(facts.sans) - 3, "...");
    fix_free(&leaf);
    fix_free(&ca);
}

static void test_facts_of_an_identity_are_those_of_its_certificate(void **state)
{
    (void)state;
    struct sp_cert_facts of_cert, of_identity;
    struct sp_identity *id = NULL;
    struct sp_err err;
    struct fix_cert ca = make_ca();
    struct fix_cert leaf =
        fix_issue(&(struct fix_spec){.subject = "CN=bob,O=x",
                      .san = "URI:spiffe://a/b,DNS:c.d,email:e@f,IP:192.0.2.1,IP:2001:db8::1"},
            &ca, false);
    struct sp_slice der = fix_der(&leaf);
    assert_int_equal(sp_identity_from_der(der, NULL, 0, &id, &err), SP_OK);
    sp_cert_facts_of(leaf.cert, &of_cert);
    sp_cert_facts_of_identity(id, &of_identity);
    assert_string_equal(of_cert.sans, "URI:spiffe://a/b,DNS:c.d,email:e@f,IP:192.0.2.1,IP:2001:db8::1");
    assert_string_equal(of_identity.sans, of_cert.sans);
    assert_string_equal(of_identity.subject, of_cert.subject);
    assert_string_equal(of_identity.issuer, of_cert.issuer);
    assert_string_equal(of_identity.serial, of_cert.serial);
    assert_string_equal(of_identity.sha256, of_cert.sha256);
    assert_int_equal(strlen(of_cert.sha256), 64);
    sp_identity_free(id);
    OPENSSL_free((void *)der.ptr);
    fix_free(&leaf);
    fix_free(&ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_subject_is_taken_whole_and_in_order),
        cmocka_unit_test(test_facts_of_an_identity_are_those_of_its_certificate),
        cmocka_unit_test(test_each_san_is_taken_under_its_own_type),
        cmocka_unit_test(test_a_serial_is_written_in_whole_bytes),
        cmocka_unit_test(test_digests_and_base64_are_of_the_der),
        cmocka_unit_test(test_the_chain_leaves_out_both_ends),
        cmocka_unit_test(test_a_hostile_name_is_refused_and_told),
        cmocka_unit_test(test_a_name_that_is_not_utf8_is_refused),
        cmocka_unit_test(test_more_attributes_than_the_limit_are_refused),
        cmocka_unit_test(test_a_certificate_that_ends_early_or_late_is_refused),
        cmocka_unit_test(test_facts_can_be_told_of_a_hostile_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
