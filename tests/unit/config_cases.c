/* Files of cases, field by field and mistake by mistake, and identities written as FIELD=VALUE. */
#include "config_fixture.h"

#include "sallyport/config/cases.h"

static struct sp_cases *parse(const char *text)
{
    struct sp_diags diags = {0};
    struct sp_cases *cases = NULL;
    enum sp_rc rc = sp_cases_parse("conf/x.yaml", sp_slice_of(text), &cases, &diags);
    char *said = printed(&diags);

    assert_string_equal(said, "");
    assert_int_equal(rc, SP_OK);
    free(said);
    sp_diags_free(&diags);
    return cases;
}

static void test_a_case_is_as_it_was_written(void **state)
{
    (void)state;
    struct sp_cases *cases =
        parse("cases:\n"
              "  - name: billing writes, of its tenant\n"
              "    cert: clients/billing.pem\n"
              "    listener: internal\n"
              "    sni: billing.internal\n"
              "    request: {method: POST, host: other.internal, path: /v1/x, source: 10.0.0.9,\n"
              "      headers: {X-Tenant: acme, X-Twice: [1, 2]}}\n"
              "    time: 2026-11-22T00:00:00Z\n"
              "    expect: {allowed: invoices-write, upstream: billing}\n");
    const struct sp_case *c = &cases->items[0];

    assert_int_equal(cases->count, 1);
    assert_string_equal(cases->file, "conf/x.yaml");
    assert_int_equal(c->at.line, 2);
    assert_string_equal(c->name, "billing writes, of its tenant");
    assert_string_equal(c->cert, "conf/clients/billing.pem"); /* as seen from the file's folder */
    assert_null(c->identity);
    assert_string_equal(c->listener, "internal");
    assert_string_equal(c->sni, "billing.internal");
    assert_string_equal(c->method, "POST");
    assert_string_equal(c->host, "other.internal");
    assert_string_equal(c->path, "/v1/x");
    assert_string_equal(c->source, "10.0.0.9");
    assert_int_equal(c->header_count, 3);
    assert_string_equal(c->headers[0].name, "X-Tenant");
    assert_string_equal(c->headers[0].value, "acme");
    assert_string_equal(c->headers[2].name, "X-Twice");
    assert_string_equal(c->headers[2].value, "2");
    assert_string_equal(c->time, "2026-11-22T00:00:00Z");
    assert_true(c->allowed);
    assert_string_equal(c->rule, "invoices-write");
    assert_string_equal(c->upstream, "billing");
    assert_null(c->reason);
    sp_cases_free(cases);
}

static void test_what_is_not_written_has_its_default(void **state)
{
    (void)state;
    struct sp_cases *cases = parse("cases:\n"
                                   "  - {name: a, anonymous: true, expect: {refused: true}}\n"
                                   "  - {name: b, anonymous: true, expect: {refused: no_rule, status: 403}}\n"
                                   "  - {name: c, anonymous: true, sni: \"\", expect: {allowed: true}}\n");
    const struct sp_case *c = cases->items;

    assert_int_equal(cases->count, 3);
    assert_true(c[0].anonymous);
    assert_null(c[0].method); /* what then counts depends on the listener */
    assert_null(c[0].path);
    assert_null(c[0].upgrade);
    assert_null(c[0].host);
    assert_null(c[0].sni);
    assert_null(c[0].listener);
    assert_null(c[0].time);
    assert_false(c[0].allowed);
    assert_null(c[0].reason);
    assert_int_equal(c[0].status, 0);
    assert_string_equal(c[1].reason, "no_rule");
    assert_int_equal(c[1].status, 403);
    assert_string_equal(c[2].sni, ""); /* none, which is not the default */
    assert_true(c[2].allowed);
    assert_null(c[2].rule);
    sp_cases_free(cases);
}

static void assert_full_identity(const struct sp_config_identity *id)
{
    assert_int_equal(id->uri.count, 2);
    assert_string_equal(id->uri.items[1], "spiffe://c/2");
    assert_int_equal(id->dns.count, 1);
    assert_string_equal(id->dns.items[0], "a.example");
    assert_string_equal(id->email.items[0], "a@b.example");
    assert_string_equal(id->ip.items[0], "10.0.0.1");
    assert_int_equal(id->subject_count, 3);
    assert_string_equal(id->subject[0].type, "CN");
    assert_string_equal(id->subject[1].type, "OU");
    assert_string_equal(id->subject[1].value, "a");
    assert_string_equal(id->subject[2].value, "b=c");
    assert_int_equal(id->issuer_count, 1);
    assert_string_equal(id->issuer[0].type, "2.5.4.97");
    assert_string_equal(id->serial, "0f3a");
    assert_int_equal(strlen(id->fingerprint_sha256), 64);
    assert_int_equal(id->policies.count, 1);
    assert_string_equal(id->eku.items[0], "clientAuth");
    assert_int_equal(id->qc_type, SP_QC_WEB);
    assert_int_equal(id->psd2_roles, SP_PSD2_AI | SP_PSD2_PI);
    assert_string_equal(id->psd2_authority, "DE-BAFIN");
}

#define DIGEST "AB:CD:ef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"

static void test_an_identity_says_the_same_in_a_file_and_on_the_command_line(void **state)
{
    static const char *const FIELDS[] = {"uri=spiffe://c/1", "uri=spiffe://c/2", "dns=a.example",
        "email=a@b.example", "ip=10.0.0.1", "subject.CN=x", "subject.OU=a", "subject.OU=b=c",
        "issuer.2.5.4.97=PSD", "serial=0F:3A", ("fingerprint_sha256=" DIGEST), "policies=1.2.3",
        "eku=clientAuth", "qc_type=web", "psd2_roles=PSP_AI", "psd2_roles=PSP_PI", "psd2_authority=DE-BAFIN"};
    struct sp_config_identity id = {0};
    struct sp_arena arena = {0};
    struct sp_err err = {0};

    (void)state;
    struct sp_cases *cases = parse(
        "cases:\n"
        "  - name: a\n"
        "    identity: {uri: [\"spiffe://c/1\", \"spiffe://c/2\"], dns: a.example, email: a@b.example, ip: 10.0.0.1,\n"
        "      subject: {CN: x, OU: [a, b=c]}, issuer: {2.5.4.97: PSD}, serial: \"0F:3A\",\n"
        "      fingerprint_sha256: " DIGEST ", policies: 1.2.3, eku: [clientAuth],\n"
        "      qc_type: web, psd2_roles: [PSP_AI, PSP_PI], psd2_authority: DE-BAFIN}\n"
        "    expect: {allowed: true}\n");
    assert_full_identity(cases->items[0].identity);
    for (size_t i = 0; i < SP_COUNTOF(FIELDS); i++)
        assert_int_equal(sp_config_identity_add(&id, &arena, sp_slice_of(FIELDS[i]), &err), SP_OK);
    assert_full_identity(&id);
    sp_arena_free(&arena);
    sp_cases_free(cases);
}

#define CASE(rest) "cases: [{name: a, " rest "}]\n"
#define ANON       "anonymous: true, "

static void test_a_mistake_is_told_with_its_place(void **state)
{
    static const struct {
        const char *text, *said;
    } ROWS[] = {
        {"", "x.yaml:1:1: error: the file is empty\n"},
        {"[]\n", "x.yaml:1:1: error: expected a mapping with the key \"cases\", found a list\n"},
        {"cases: []\n", "x.yaml:1:8: error: cases: expected at least 1 entry, found 0\n"},
        {CASE(ANON "expect: {}"),
            "x.yaml:1:44: error: cases[0].expect: expected one of \"allowed\" and \"refused\", found neither\n"},
        {CASE(ANON "expect: {allowed: true, refused: true}"),
            "x.yaml:1:44: error: cases[0].expect: expected one of \"allowed\" and \"refused\", found both\n"},
        {CASE(ANON "expect: {refused: false}"),
            "x.yaml:1:54: error: cases[0].expect.refused: expected true or a reason such as no_rule, found \"false\"\n"},
        {CASE(ANON "expect: {refused: true, upstream: u}"),
            "x.yaml:1:44: error: cases[0].expect: what is refused goes to no upstream\n"},
        {CASE(ANON "expect: {refused: true, status: 200}"),
            "x.yaml:1:68: error: cases[0].expect.status: 200 is out of bounds (400 to 599)\n"},
        {CASE("expect: {allowed: true}"),
            "x.yaml:1:9: error: cases[0]: who it is must be told by one of \"cert\", \"identity\" and \"anonymous: true\"\n"},
        {CASE("anonymous: false, expect: {allowed: true}"),
            "x.yaml:1:9: error: cases[0]: who it is must be told by one of \"cert\", \"identity\" and \"anonymous: true\"\n"},
        {CASE("cert: a.pem, " ANON "expect: {allowed: true}"),
            "x.yaml:1:9: error: cases[0]: who it is must be told by one of \"cert\", \"identity\" and \"anonymous: true\"\n"},
        {CASE(ANON "reqest: {path: /}, expect: {allowed: true}"),
            "x.yaml:1:36: error: cases[0].reqest: unknown key; did you mean \"request\"?\n"},
        {CASE("identity: {urii: x}, expect: {allowed: true}"),
            "x.yaml:1:30: error: cases[0].identity.urii: unknown key; did you mean \"uri\"?\n"},
        {"cases:\n  - {name: a, " ANON "expect: {allowed: true}}\n  - {name: a, " ANON
         "expect: {allowed: true}}\n",
            "x.yaml:3:5: error: cases[1]: the name \"a\" is given twice; first on line 2\n"},
        {"cases:\n  - {name: b, " ANON "expect: {allowed: true}}\n  - {name: a, " ANON
         "expect: {allowed: true}}\n  - {name: b, " ANON "expect: {allowed: true}}\n",
            "x.yaml:4:5: error: cases[2]: the name \"b\" is given twice; first on line 2\n"},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(ROWS); i++) {
        struct sp_diags diags = {0};
        struct sp_cases *cases = NULL;
        assert_int_equal(sp_cases_parse("x.yaml", sp_slice_of(ROWS[i].text), &cases, &diags), SP_FAIL);
        assert_null(cases);
        char *said = printed(&diags);
        assert_string_equal(said, ROWS[i].said);
        free(said);
        sp_diags_free(&diags);
    }
}

static void test_a_field_that_cannot_be_taken_is_told(void **state)
{
    static const struct {
        const char *text, *said;
    } ROWS[] = {
        {"", "expected FIELD=VALUE"},
        {"uri", "expected FIELD=VALUE"},
        {"=x", "expected FIELD=VALUE"},
        {"uri=", "uri: expected a text"},
        {"uri=a\nb", "a control character (0x0A)"},
        {"urii=x", "urii: unknown key; did you mean \"uri\"?"},
        {"subject=x", "subject: expected a mapping of attributes"},
        {"subject.C N=x", "subject.C N: not an attribute's type"},
        {"serial=zz", "serial: expected a serial number"},
        {"qc_type=none", "qc_type: expected esign, eseal or web, found \"none\""},
        {"psd2_roles=PSP_XX", "psd2_roles[0]: expected PSP_AS"},
        {"serial=02", "serial: a certificate has only one of it"},
    };
    struct sp_config_identity id = {.serial = "01"};
    struct sp_arena arena = {0};

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(ROWS); i++) {
        struct sp_err err = {0};
        assert_int_equal(sp_config_identity_add(&id, &arena, sp_slice_of(ROWS[i].text), &err), SP_FAIL);
        if (strncmp(err.text, ROWS[i].said, strlen(ROWS[i].said)) != 0)
            fail_msg("%s: %s", ROWS[i].text, err.text);
    }
    sp_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_case_is_as_it_was_written),
        cmocka_unit_test(test_what_is_not_written_has_its_default),
        cmocka_unit_test(test_an_identity_says_the_same_in_a_file_and_on_the_command_line),
        cmocka_unit_test(test_a_mistake_is_told_with_its_place),
        cmocka_unit_test(test_a_field_that_cannot_be_taken_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
