/* What a certificate says of itself beside its names: its key, what it is for, its policies, and what a qualified one
 * states. Certificates carry all of it for real; the statements are made of their bytes. */
#include "pki_bench.h"

#include <ctype.h>
#include <stdlib.h>

#include "sallyport/pki/x509.h"

#define QC_STATEMENTS "1.3.6.1.5.5.7.1.3"
#define EKU           "2.5.29.37"
#define SAN           "2.5.29.17"
#define POLICIES      "2.5.29.32"

/* ---- a notation for DER: {…} is a SEQUENCE, 1.2.3 an OID, 'x' a UTF8String (~ for a NUL, ^ for 0xFF), #0500 bytes ---- */

struct der {
    unsigned char bytes[2048];
    size_t len;
};

static void put(struct der *d, unsigned char tag, const unsigned char *content, size_t len)
{
    assert_true(d->len + len + 4 < sizeof(d->bytes));
    d->bytes[d->len++] = tag;
    if (len > 255) {
        d->bytes[d->len++] = 0x82;
        d->bytes[d->len++] = (unsigned char)(len >> 8);
    } else if (len > 127) {
        d->bytes[d->len++] = 0x81;
    }
    d->bytes[d->len++] = (unsigned char)len;
    if (len > 0)
        memcpy(d->bytes + d->len, content, len);
    d->len += len;
}

static const char *put_oid(struct der *d, const char *text)
{
    char dotted[64];
    size_t len = strspn(text, "0123456789.");
    assert_true(len < sizeof(dotted));
    memcpy(dotted, text, len);
    dotted[len] = '\0';
    ASN1_OBJECT *object = OBJ_txt2obj(dotted, 1);
    assert_non_null(object);
    put(d, V_ASN1_OBJECT, OBJ_get0_data(object), OBJ_length(object));
    ASN1_OBJECT_free(object);
    return text + len;
}

static const char *put_text(struct der *d, const char *text)
{
    unsigned char bytes[600];
    size_t len = strcspn(text, "'");
    assert_true(len < sizeof(bytes));
    for (size_t i = 0; i < len; i++)
        bytes[i] = text[i] == '~' ? 0 : text[i] == '^' ? 0xff : (unsigned char)text[i];
    put(d, V_ASN1_UTF8STRING, bytes, len);
    return text + len + 1;
}

static const char *put_hex(struct der *d, const char *text)
{
    for (; isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]); text += 2)
        d->bytes[d->len++] = (unsigned char)strtoul((char[]){text[0], text[1], '\0'}, NULL, 16);
    return text;
}

/* Up to the '}' or the end. */
static const char *compose(struct der *d, const char *text)
{
    while (*text != '\0' && *text != '}') {
        if (*text == '{') {
            struct der inner = {.len = 0};
            text = compose(&inner, text + 1);
            assert_int_equal(*text, '}');
            text++;
            put(d, 0x30, inner.bytes, inner.len);
        } else if (*text == '\'') {
            text = put_text(d, text + 1);
        } else if (*text == '#') {
            text = put_hex(d, text + 1);
        } else if (*text == ' ') {
            text++;
        } else {
            text = put_oid(d, text);
        }
    }
    return text;
}

/* An identity of a certificate with such extensions, or NULL. */
static struct sp_identity *identity_with(
    const char *oid, const char *first, const char *second, struct sp_err *err)
{
    struct der a = {.len = 0}, b = {.len = 0};
    struct sp_identity *id = NULL;
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    assert_int_equal(*compose(&a, first), '\0');
    struct fix_spec spec = {.eku = "-", .raw_ext = {{oid, {(char *)a.bytes, a.len}}}};
    if (second != NULL) {
        assert_int_equal(*compose(&b, second), '\0');
        spec.raw_ext[1].oid = oid;
        spec.raw_ext[1].der = (struct sp_slice){(char *)b.bytes, b.len};
    }
    struct fix_cert leaf = fix_issue(&spec, &ca, false);
    struct sp_slice der = fix_der(&leaf);
    enum sp_rc rc = sp_identity_from_der(der, NULL, 0, &id, err);
    assert_int_equal(rc == SP_OK, id != NULL);
    OPENSSL_free((void *)der.ptr);
    fix_free(&leaf);
    fix_free(&ca);
    return id;
}

static void expect_slice(struct sp_slice s, const char *text)
{
    if (!sp_slice_equal(s, sp_slice_of(text)))
        fail_msg("wanted \"%s\", got \"%.*s\"", text, SP_FMT(s));
}

/* ---- qcStatements ---- */

#define COMPLIANT   "{0.4.0.1862.1.1}"
#define WEB         "{0.4.0.1862.1.6 {0.4.0.1862.1.6.3}}"
#define AI          "{0.4.0.19495.1.3 'PSP_AI'}"
#define PSD2(roles) "{0.4.0.19495.2 {{" roles "} 'BaFin' 'DE-BAFIN'}}"

static const struct {
    const char *statements;
    bool is_qualified;
    enum sp_qc_type type;
    unsigned roles;
    const char *authority, *authority_id;
} qualified[] = {
    {"{}", false, SP_QC_NONE, 0, "", ""},
    {"{" COMPLIANT "}", true, SP_QC_NONE, 0, "", ""},
    {"{" COMPLIANT WEB "}", true, SP_QC_WEB, 0, "", ""},
    {"{{0.4.0.1862.1.6 {0.4.0.1862.1.6.1}}}", false, SP_QC_ESIGN, 0, "", ""},
    {"{{0.4.0.1862.1.6 {0.4.0.1862.1.6.2}}}", false, SP_QC_ESEAL, 0, "", ""},
    {"{{0.4.0.1862.1.6 {0.4.0.1862.1.6.9}}}", false, SP_QC_NONE, 0, "", ""},
    {"{{0.4.0.1862.1.6 {0.4.0.1862.1.6.1 0.4.0.1862.1.6.3}}}", false, SP_QC_NONE, 0, "", ""},
    {"{" PSD2(AI) "}", false, SP_QC_NONE, SP_PSD2_AI, "BaFin", "DE-BAFIN"},
    {"{" PSD2("{0.4.0.19495.1.1 'PSP_AS'} {0.4.0.19495.1.2 'PSP_PI'}" AI "{0.4.0.19495.1.4 'PSP_IC'}") "}",
        false, SP_QC_NONE, SP_PSD2_AS | SP_PSD2_PI | SP_PSD2_AI | SP_PSD2_IC, "BaFin", "DE-BAFIN"},
    /* a role that nobody knows, one whose number only begins like one, and a name in other words */
    {"{" PSD2("{0.4.0.19495.1.0 'unspecified'} {0.4.0.19495.1.1.1 'x'} {0.4.0.19495.1.131 'y'}") "}", false,
        SP_QC_NONE, 0, "BaFin", "DE-BAFIN"},
    {"{" PSD2("{0.4.0.19495.1.3 'account information'}") "}", false, SP_QC_NONE, SP_PSD2_AI, "BaFin",
        "DE-BAFIN"},
    /* PrintableString and IA5String */
    {"{{0.4.0.19495.2 {{{0.4.0.19495.1.3 #13065053505f4149}} #1305426146696e #160844452d424146494e}}}", false,
        SP_QC_NONE, SP_PSD2_AI, "BaFin", "DE-BAFIN"},
    {"{{0.4.0.19495.2 {{{0.4.0.19495.1.2 #16065053505f5049}} #1605426146696e #130844452d424146494e}}}", false,
        SP_QC_NONE, SP_PSD2_PI, "BaFin", "DE-BAFIN"},
    /* others beside them: QcSSCD, QcPDS, a limit in a statement of ours that nobody knows */
    {"{{0.4.0.1862.1.4} {0.4.0.1862.1.5 {{'https://pds.example' #13026465}}} " COMPLIANT WEB PSD2(
         AI) "{1.3.6.1.4.1.99999.7 #020105}}",
        true, SP_QC_WEB, SP_PSD2_AI, "BaFin", "DE-BAFIN"},
};

static void test_what_a_qualified_certificate_states_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(qualified); i++) {
        struct sp_err err = {0};
        struct sp_identity *id = identity_with(QC_STATEMENTS, qualified[i].statements, NULL, &err);
        if (id == NULL)
            fail_msg("%s: %s", qualified[i].statements, err.text);
        const struct sp_qualified *q = &id->qualified;
        if (q->is_qualified != qualified[i].is_qualified || q->type != qualified[i].type ||
            q->psd2_roles != qualified[i].roles)
            fail_msg("%s: %d %d %x", qualified[i].statements, q->is_qualified, q->type, q->psd2_roles);
        expect_slice(q->authority, qualified[i].authority);
        expect_slice(q->authority_id, qualified[i].authority_id);
        sp_identity_free(id);
    }
}

static const struct {
    const char *oid, *first, *second;
    const char *says;
} malformed[] = {
    {QC_STATEMENTS, "", NULL, "qcStatements extension is malformed or there are two"},
    {QC_STATEMENTS, "#0500", NULL, "qcStatements extension is malformed or there are two"},
    {QC_STATEMENTS, "{} #0500", NULL, "qcStatements extension is malformed or there are two"},
    {QC_STATEMENTS, "{" COMPLIANT "}", "{" WEB "}", "qcStatements extension is malformed or there are two"},
    {QC_STATEMENTS, "{" COMPLIANT COMPLIANT "}", NULL, "a statement is there twice"},
    {QC_STATEMENTS, "{" PSD2(AI) PSD2("{0.4.0.19495.1.2 'PSP_PI'}") "}", NULL, "a statement is there twice"},
    {QC_STATEMENTS, "{0.4.0.1862.1.1}", NULL, "qcStatements extension is malformed"},
    {QC_STATEMENTS, "{{'x'}}", NULL, "does not begin with its OID"},
    {QC_STATEMENTS, "{{}}", NULL, "does not begin with its OID"},
    {QC_STATEMENTS, "{{1.2.3 #0500 #0500}}", NULL, "a statement is malformed"},
    {QC_STATEMENTS, "{{1.2.3 #0505}}", NULL, "a statement is malformed"},
    {QC_STATEMENTS, "{{0.4.0.1862.1.6}}", NULL, "QcType is not a list of types"},
    {QC_STATEMENTS, "{{0.4.0.1862.1.6 {}}}", NULL, "QcType is not a list of types"},
    {QC_STATEMENTS, "{{0.4.0.1862.1.6 {'web'}}}", NULL, "QcType is not a list of types"},
    {QC_STATEMENTS, "{{0.4.0.1862.1.6 0.4.0.1862.1.6.3}}", NULL, "QcType is not a list of types"},
    {QC_STATEMENTS, "{{0.4.0.19495.2}}", NULL, "the PSD2 statement has no content"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {'BaFin' 'DE-BAFIN'}}}", NULL, "has no list of roles"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin'}}}", NULL, "are not texts of 1 to 256"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin' ''}}}", NULL, "are not texts of 1 to 256"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin' #1300}}}", NULL, "are not texts of 1 to 256"},
    /* TeletexString and BMPString; what is Latin-1 to one and UTF-8 to another */
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin' #140178}}}", NULL, "are not texts of 1 to 256"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin' #1e020078}}}", NULL, "are not texts of 1 to 256"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin' #1602c3b6}}}", NULL, "are not texts of 1 to 256"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} #1302c3b6 'x'}}}", NULL, "are not texts of 1 to 256"},
    {QC_STATEMENTS, "{" PSD2("{0.4.0.19495.1.3 #1602c3b6}") "}", NULL, "not an OID and a text"},
    {QC_STATEMENTS, "{" PSD2("{0.4.0.19495.1.3 #13065053505f5049}") "}", NULL,
        "the name of one and the OID of another"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin' 'DE-BAFIN' 'x'}}}", NULL,
        "more than roles, NCAName and NCAId"},
    {QC_STATEMENTS, "{" PSD2("0.4.0.19495.1.3") "}", NULL, "not an OID and a text"},
    {QC_STATEMENTS, "{" PSD2("{0.4.0.19495.1.3}") "}", NULL, "not an OID and a text"},
    {QC_STATEMENTS, "{" PSD2("{0.4.0.19495.1.3 'PSP_AI' 'PSP_PI'}") "}", NULL, "not an OID and a text"},
    {QC_STATEMENTS, "{" PSD2("{0.4.0.19495.1.3 'PSP_PI'}") "}", NULL,
        "the name of one and the OID of another"},
    {QC_STATEMENTS, "{" PSD2("{1.2.3 'psp_as'}") "}", NULL, "the name of one and the OID of another"},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'Ba~Fin' 'DE-BAFIN'}}}", NULL, "NCAName \"Ba\\x00Fin\""},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin' 'DE\r\nX: y'}}}", NULL, "NCAId \"DE\\x0d\\x0aX: y\""},
    {QC_STATEMENTS, "{{0.4.0.19495.2 {{" AI "} 'BaFin' 'D^'}}}", NULL, "NCAId \"D\\xff\""},
    {EKU, "{}", NULL, "extendedKeyUsage extension has 0 members"},
    {EKU, "#0500", NULL, "extendedKeyUsage extension is malformed or there are two"},
    {EKU, "{'x'}", NULL, "extendedKeyUsage extension is malformed or there are two"},
    {EKU, "{1.3.6.1.5.5.7.3.2} #00", NULL, "extendedKeyUsage extension is malformed or there are two"},
    {SAN, "{#860375726e #00}", NULL, "subjectAltName extension is malformed or there are two"},
    {SAN, "{#860375726e} #00", NULL, "subjectAltName extension is malformed or there are two"},
    {EKU, "{1.3.6.1.5.5.7.3.2}", "{1.3.6.1.5.5.7.3.1}",
        "extendedKeyUsage extension is malformed or there are two"},
    {POLICIES, "{}", NULL, "certificatePolicies extension has 0 members"},
    {POLICIES, "{{1.2.3}} #0500", NULL, "certificatePolicies extension is malformed or there are two"},
    {POLICIES, "{1.2.3}", NULL, "certificatePolicies extension is malformed or there are two"},
    {POLICIES, "{{1.2.3}}", "{{1.2.4}}", "certificatePolicies extension is malformed or there are two"},
};

static void test_what_can_be_read_in_two_ways_or_in_none_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(malformed); i++) {
        struct sp_err err = {0};
        struct sp_identity *id =
            identity_with(malformed[i].oid, malformed[i].first, malformed[i].second, &err);
        if (id != NULL || strstr(err.text, malformed[i].says) == NULL)
            fail_msg("%s %s: %s", malformed[i].first, malformed[i].second != NULL ? malformed[i].second : "",
                id != NULL ? "was taken" : err.text);
    }
}

static void test_a_text_of_257_characters_is_too_long_and_one_of_256_is_not(void **state)
{
    (void)state;
    static const struct {
        const char *first;
        int len;
        bool fits;
    } cases[] = {{"", 256, true}, {"", 257, false}, {"\xc3\xb6", 257, true}, {"\xc3\xb6", 258, false}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char text[400], name[300];
        struct sp_err err = {0};
        int first = (int)strlen(cases[i].first);
        memcpy(name, cases[i].first, (size_t)first);
        memset(name + first, 'a', (size_t)(cases[i].len - first));
        name[cases[i].len] = '\0';
        snprintf(text, sizeof(text), "{{0.4.0.19495.2 {{} '%s' 'DE-BAFIN'}}}", name);
        struct sp_identity *id = identity_with(QC_STATEMENTS, text, NULL, &err);
        assert_int_equal(id != NULL, cases[i].fits);
        sp_identity_free(id);
    }
}

static void test_statements_cut_anywhere_are_refused(void **state)
{
    (void)state;
    struct der whole = {.len = 0};
    compose(&whole, "{" COMPLIANT WEB PSD2(AI) "}");
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    for (size_t len = 0; len <= whole.len; len++) {
        struct sp_err err = {0};
        struct sp_identity *id = NULL;
        struct fix_spec spec = {.key = ca.key, .raw_ext = {{QC_STATEMENTS, {(char *)whole.bytes, len}}}};
        struct fix_cert leaf = fix_issue(&spec, &ca, false);
        struct sp_slice der = fix_der(&leaf);
        assert_int_equal(sp_identity_from_der(der, NULL, 0, &id, &err), len == whole.len ? SP_OK : SP_FAIL);
        sp_identity_free(id);
        OPENSSL_free((void *)der.ptr);
        fix_free(&leaf);
    }
    fix_free(&ca);
}

/* ---- the rest ---- */

static void expect_list(const struct sp_slices *list, const char *want)
{
    char text[512] = "";
    for (size_t i = 0; i < list->count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s", i > 0 ? " " : "",
            SP_FMT(list->items[i]));
    assert_string_equal(text, want);
}

static const struct {
    const char *eku, *ekus, *policies, *policy_list;
    bool has_eku, for_clients;
} uses[] = {
    {"-", "", "-", "", false, false},
    {"clientAuth", "1.3.6.1.5.5.7.3.2", "1.2.3.4", "1.2.3.4", true, true},
    {"serverAuth,clientAuth,1.3.6.1.4.1.311.20.2.2",
        "1.3.6.1.5.5.7.3.1 1.3.6.1.5.5.7.3.2 1.3.6.1.4.1.311.20.2.2", "0.4.0.19495.3.1,2.5.29.32.0",
        "0.4.0.19495.3.1 2.5.29.32.0", true, true},
    {"anyExtendedKeyUsage", "2.5.29.37.0", "-", "", true, false},
};

static void test_usages_and_policies_are_taken_as_dotted_oids(void **state)
{
    (void)state;
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    for (size_t i = 0; i < SP_COUNTOF(uses); i++) {
        struct sp_err err = {0};
        struct sp_identity *id = NULL;
        struct fix_spec spec = {.eku = uses[i].eku, .policies = uses[i].policies};
        struct fix_cert leaf = fix_issue(&spec, &ca, false);
        assert_int_equal(sp_identity_from_x509(leaf.cert, NULL, &id, &err), SP_OK);
        assert_int_equal(id->has_eku, uses[i].has_eku);
        assert_int_equal(sp_identity_has_client_eku(id), uses[i].for_clients);
        expect_list(&id->ekus, uses[i].ekus);
        expect_list(&id->policies, uses[i].policy_list);
        sp_identity_free(id);
        fix_free(&leaf);
    }
    fix_free(&ca);
}

static const struct {
    const char *algorithm; /* of the leaf's key */
    int rsa_bits;
    enum sp_key_type type;
    unsigned bits;
    const char *ca_algorithm; /* signs */
    int ca_rsa_bits;
    const char *signature;
} keys[] = {
    {NULL, 0, SP_KEY_EC, 256, NULL, 0, "ecdsa-with-SHA256"},
    {"P-384", 0, SP_KEY_EC, 384, "ED25519", 0, "ED25519"},
    {NULL, 2048, SP_KEY_RSA, 2048, NULL, 2048, "sha256WithRSAEncryption"},
    {"RSA-PSS", 0, SP_KEY_RSA, 2048, "RSA-PSS", 0, "rsassaPss"},
    {"ED25519", 0, SP_KEY_ED25519, 256, "ED448", 0, "ED448"},
    {"ED448", 0, SP_KEY_ED448, 456, NULL, 0, "ecdsa-with-SHA256"},
};

static void test_key_and_signature_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(keys); i++) {
        struct sp_err err = {0};
        struct sp_identity *id = NULL;
        unsigned char sum[32], *spki = NULL;
        struct fix_cert ca =
            fix_issue(&(struct fix_spec){.algorithm = keys[i].ca_algorithm, .rsa_bits = keys[i].ca_rsa_bits},
                NULL, true);
        struct fix_cert leaf = fix_issue(
            &(struct fix_spec){.algorithm = keys[i].algorithm, .rsa_bits = keys[i].rsa_bits}, &ca, false);
        assert_int_equal(sp_identity_from_x509(leaf.cert, NULL, &id, &err), SP_OK);
        assert_int_equal(id->key_type, keys[i].type);
        assert_int_equal(id->key_bits, keys[i].bits);
        expect_slice(id->signature_algorithm, keys[i].signature);
        int len = i2d_PUBKEY(leaf.key, &spki);
        assert_int_equal(EVP_Digest(spki, (size_t)len, sum, NULL, EVP_sha256(), NULL), 1);
        assert_memory_equal(id->spki_sha256, sum, 32);
        assert_int_equal(X509_digest(leaf.cert, EVP_sha1(), sum, NULL), 1);
        assert_int_equal(id->sha1_hex.len, 40);
        for (size_t k = 0; k < 20; k++) {
            char hex[3];
            snprintf(hex, sizeof(hex), "%02x", sum[k]);
            assert_memory_equal(id->sha1_hex.ptr + 2 * k, hex, 2);
        }
        OPENSSL_free(spki);
        sp_identity_free(id);
        fix_free(&leaf);
        fix_free(&ca);
    }
}

static void test_the_issuers_attributes_are_taken_like_the_subjects(void **state)
{
    (void)state;
    struct sp_err err = {0};
    struct sp_identity *id = NULL;
    struct fix_cert ca = fix_issue(
        &(struct fix_spec){.subject = "C=DE,O=Bank+OU=Core IT,organizationIdentifier=PSDDE-1,CN=ca"}, NULL,
        true);
    struct fix_cert leaf =
        fix_issue(&(struct fix_spec){.subject = "organizationIdentifier=PSDDE-BAFIN-2"}, &ca, false);
    static const char *const want[][2] = {
        {"C", "DE"}, {"O", "Bank"}, {"OU", "Core IT"}, {"organizationIdentifier", "PSDDE-1"}, {"CN", "ca"}};
    static const unsigned rdns[] = {0, 1, 1, 2, 3};
    assert_int_equal(sp_identity_from_x509(leaf.cert, NULL, &id, &err), SP_OK);
    assert_int_equal(id->issuer_attr_count, SP_COUNTOF(want));
    for (size_t i = 0; i < SP_COUNTOF(want); i++) {
        expect_slice(id->issuer_attrs[i].type, want[i][0]);
        expect_slice(id->issuer_attrs[i].value, want[i][1]);
        assert_int_equal(id->issuer_attrs[i].rdn, rdns[i]);
    }
    expect_slice(id->subject_attrs[0].type, "organizationIdentifier");
    sp_identity_free(id);
    fix_free(&leaf);
    fix_free(&ca);
}

static void test_a_handshake_refuses_malformed_claims_with_their_reason(void **state)
{
    (void)state;
    static const struct {
        const char *statements;
        enum sp_refusal reason;
    } cases[] = {
        {"{" COMPLIANT WEB PSD2(AI) "}", SP_REFUSAL_none},
        {"{" COMPLIANT COMPLIANT "}", SP_REFUSAL_certificate_invalid},
        {"{{0.4.0.19495.2 {{} 'Ba\nFin' 'DE-BAFIN'}}}", SP_REFUSAL_hostile_name},
    };
    struct pki p = make_pki();
    struct bench b = lax(5);
    bench_ca(&b, fix_write_certs("claims.pem", &p.root.cert, 1));
    bench_open(&b);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct der d = {.len = 0};
        compose(&d, cases[i].statements);
        struct fix_spec spec = {.raw_ext = {{QC_STATEMENTS, {(char *)d.bytes, d.len}}}};
        struct fix_cert leaf = fix_issue(&spec, &p.root, false);
        struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
        bench_expect(&v, cases[i].reason, cases[i].statements);
        fix_free(&leaf);
    }
    bench_close(&b);
    free_pki(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_qualified_certificate_states_is_taken),
        cmocka_unit_test(test_what_can_be_read_in_two_ways_or_in_none_is_refused),
        cmocka_unit_test(test_a_text_of_257_characters_is_too_long_and_one_of_256_is_not),
        cmocka_unit_test(test_statements_cut_anywhere_are_refused),
        cmocka_unit_test(test_usages_and_policies_are_taken_as_dotted_oids),
        cmocka_unit_test(test_key_and_signature_are_named),
        cmocka_unit_test(test_the_issuers_attributes_are_taken_like_the_subjects),
        cmocka_unit_test(test_a_handshake_refuses_malformed_claims_with_their_reason),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fix_remove_folder();
    return failed;
}
