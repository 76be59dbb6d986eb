/* Headers of the operator's own making: what a template becomes, what is no template, and that nobody else can say such a
 * name. */
#include "headers_fixture.h"

static const struct sp_name_attr SUBJECT[] = {
    ATTR("C", "DE", 0),
    ATTR("OU", "a,b\\c", 1),
    ATTR("OU", "S\xc3\xb6hne", 2),
    ATTR("O", " #x\x01; ", 3),
    ATTR("organizationIdentifier", "PSDDE-BAFIN-1", 4),
    ATTR("1.2.3.4", "odd", 5),
    ATTR("CN", "#x", 6),
    ATTR("2.5.4.42", "Ann", 7),
    ATTR("UID", "", 8),
    ATTR("UID", "u", 9),
    ATTR("UID", "", 10),
    ATTR("DC", "", 11),
};
static const struct sp_name_attr ISSUER[] = {ATTR("CN", "CA", 0)};
static const struct sp_slice URIS[] = {SP_SLICE("spiffe://x/a;b"), SP_SLICE("urn:a,b\\c")};
static const struct sp_slice DNS[] = {SP_SLICE("a.example")};
static const struct sp_slice EMAILS[] = {SP_SLICE("a@x.example"), SP_SLICE("b@x.example")};
static const struct sp_slice IPS[] = {{"\x0a\0\0\x01", 4}};
static const struct sp_slice POLICIES[] = {SP_SLICE("1.2.3"), SP_SLICE("1.2.4")};

static const struct sp_identity SOMEBODY = {
    .subject = SP_SLICE("CN=\\#x,C=DE"),
    .issuer = SP_SLICE("CN=ends\\ "),
    .subject_attrs = SUBJECT,
    .subject_attr_count = SP_COUNTOF(SUBJECT),
    .issuer_attrs = ISSUER,
    .issuer_attr_count = 1,
    .uris = {URIS, 2},
    .dns_names = {DNS, 1},
    .emails = {EMAILS, 2},
    .ips = {IPS, 1},
    .policies = {POLICIES, 2},
    .serial_hex = SP_SLICE("0f3a"),
    .spki_sha256 = {0xab},
    .sha256_hex = SP_SLICE("aa"),
    .sha1_hex = SP_SLICE("bb"),
    .sha256_b64url = SP_SLICE("cc"),
    .not_before = 0,
    .not_after = 86399,
    .qualified = {.is_qualified = true,
        .type = SP_QC_WEB,
        .psd2_roles = SP_PSD2_AI | SP_PSD2_AS,
        .authority = SP_SLICE("Bafin, M\xc3\xbcnchen"),
        .authority_id = SP_SLICE("DE-BAFIN")},
};

static const struct {
    const char *template, *value; /* NULL: no line */
} VALUES[] = {
    {"fixed", "fixed"},
    {"{subject}", "CN=\\#x,C=DE"},
    {"{issuer}", "CN=ends\\20"},
    {"{subject.C}", "DE"},
    {"{subject.2.5.4.6}", "DE"},
    {"{subject.OU}", "a\\,b\\\\c,S\\C3\\B6hne"},
    {"{subject.O}", "\\20#x\\01\\;\\20"},
    {"{subject.CN}", "\\#x"},
    {"{subject.organizationIdentifier}", "PSDDE-BAFIN-1"},
    {"{subject.2.5.4.97}", "PSDDE-BAFIN-1"},
    {"{subject.1.2.3.4}", "odd"},
    {"{subject.organizationidentifier}", "PSDDE-BAFIN-1"}, /* in any case, as callers have it */
    {"{subject.givenName}", "Ann"},
    {"{subject.gn}", "Ann"},
    {"{subject.2.5.4.42}", "Ann"},
    {"{subject.1.2.3}", NULL},
    {"{subject.L}", NULL},
    {"{subject.UID}", ",u,"}, /* as many as there are, though some be empty */
    {"{subject.DC}", NULL},
    {"{issuer.CN}", "CA"},
    {"{issuer.O}", NULL},
    {"{serial}", "0f3a"},
    {"{sha256}", "aa"},
    {"{sha1}", "bb"},
    {"{spki_sha256}", "ab00000000000000000000000000000000000000000000000000000000000000"},
    {"{thumbprint}", "cc"},
    {"{uri}", "spiffe://x/a;b,urn:a\\,b\\\\c"},
    {"{dns}", "a.example"},
    {"{email}", "a@x.example,b@x.example"},
    {"{ip}", "10.0.0.1"},
    {"{not_before}", "1970-01-01T00:00:00Z"},
    {"{not_after}", "1970-01-01T23:59:59Z"},
    {"{policy}", "1.2.3,1.2.4"},
    {"{qc_type}", "web"},
    {"{psd2.roles}", "PSP_AS,PSP_AI"},
    {"{psd2.authority}", "Bafin\\, M\\C3\\BCnchen"},
    {"{psd2.authority_id}", "DE-BAFIN"},
    {"{listener}", "internal"},
    {"{sni}", "a.example"},
    {"{tls}", "TLSv1.3"},
    {"team {subject.C}/{serial}", "team DE/0f3a"},
    {"{{{serial}}}", "{0f3a}"},
    {"{{serial}}", "{serial}"},
    {"a}}b{{", "a}b{"},
    {"{serial} of {subject.L}", NULL},
};

static struct sp_headers *compile_one(const char *name, const char *value, struct sp_diags *diags)
{
    static const struct sp_pos at = {3, 5};
    const struct sp_config_header header = {at, name, value};
    const struct sp_config_upstream upstream = {.name = "u", .headers = &header, .header_count = 1};
    struct sp_config config = {.file = "t.yaml", .upstreams = &upstream, .upstream_count = 1};
    const struct sp_headers_about about = {.identity = &SOMEBODY,
        .listener = "internal",
        .sni = "a.example",
        .tls = "TLSv1.3",
        .proxy = (size_t)-1};

    struct sp_headers *h = sp_headers_new(&config, diags);
    if (h == NULL)
        return NULL;
    struct sp_arena arena;
    struct sp_header_lines lines;
    struct sp_err err;
    sp_arena_init(&arena, 0);
    assert_int_equal(sp_headers_make(h, 0, &about, &arena, &lines, &err), SP_OK);
    sp_arena_free(&arena);
    return h;
}

static void expect_own(const struct sp_headers_about *about, const char *template, const char *value)
{
    char yaml[256], line[512];
    struct told *t = SP_NEW(struct told);

    snprintf(yaml, sizeof(yaml), "identity_headers: [], headers: {X-Own: \"%s\"}", template);
    compile(t, yaml, "");
    if (tell(t, about) != SP_OK)
        fail_msg("%s: %s", template, t->err.text);
    snprintf(line, sizeof(line), "%s%s%s", value != NULL ? "X-Own: " : "", value != NULL ? value : "",
        value != NULL ? "\n" : "");
    assert_string_equal(t->text, line);
    forget(t);
    sp_free(t);
}

static void test_a_template_becomes_what_the_client_has_proven(void **state)
{
    const struct sp_headers_about about = {.identity = &SOMEBODY,
        .listener = "internal",
        .sni = "a.example",
        .tls = "TLSv1.3",
        .proxy = (size_t)-1};
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(VALUES); i++)
        expect_own(&about, VALUES[i].template, VALUES[i].value);
}

static void test_of_nobody_only_the_connection_is_told(void **state)
{
    const struct sp_headers_about about = {
        .listener = "internal", .sni = "", .tls = "TLSv1.2", .proxy = (size_t)-1};
    (void)state;

    expect_own(&about, "{listener} {tls}", "internal TLSv1.2");
    expect_own(&about, "{sni}", NULL);
    for (size_t i = 0; i < SP_COUNTOF(VALUES); i++) {
        if (strstr(VALUES[i].template, "{listener}") == NULL && strstr(VALUES[i].template, "{tls}") == NULL &&
            strchr(VALUES[i].template, '{') != NULL && strstr(VALUES[i].template, "{{s") == NULL &&
            strstr(VALUES[i].template, "a}") == NULL)
            expect_own(&about, VALUES[i].template, NULL);
    }
}

static void test_what_is_no_template_or_no_name_is_refused_at_its_place(void **state)
{
    static const struct {
        const char *name, *value, *says;
    } CASES[] = {
        {"X-A", "{subjct}", "there is no variable {subjct}; did you mean {subject}?"},
        {"X-A", "{subject.CNN}", "there is no variable {subject.CNN}; did you mean {subject.CN}?"},
        {"X-A", "{subject.givenNam}", "did you mean {subject.givenName}?"},
        {"X-A", "{subject.OX}", "did you mean {subject.O"},
        {"X-A", "{psd2_roles}", "did you mean {psd2.roles}?"},
        {"X-A", "{subject.1.2.}", "there is no variable {subject.1.2.}"},
        {"X-A", "{}", "there is no variable {}"},
        {"X-A", "{ serial }", "did you mean {serial}?"},
        {"X-A", "{completely_different_thing}", "there is no variable {completely_different_thing}"},
        {"X-A", "a{serial", "character 2: '{' without '}'"},
        {"X-A", "ab}", "character 3: '}' without '{'"},
        {"X-A", "{{serial}", "character 9: '}' without '{'"},
        {"X-A", "", "is empty"},
        {"X-A", " a", "begins or ends with a blank"},
        {"X-A", "a ", "begins or ends with a blank"},
        {"X-A", "a\tb", "character 2 is not printable ASCII"},
        {"X-A", "a\r\nX-B: c", "character 2 is not printable ASCII"},
        {"X-A", "s\xc3\xb6", "character 2 is not printable ASCII"},
        {"X-A", "as {caller}", "{caller} is known with the request only"},
        {"X-A", "{rule}{rule}", "{rule} is known with the request only"},
        {"", "a", "is no header name"},
        {"X A", "a", "is no header name"},
        {"X-A:", "a", "is no header name"},
        {"Host", "a", "the gate itself"},
        {"content_length", "1", "the gate itself"},
        {"Transfer-Encoding", "a", "the gate itself"},
        {"Connection", "a", "the gate itself"},
        {"Upgrade", "a", "the gate itself"},
        {"TE", "a", "the gate itself"},
        {"X-Request-ID", "a", "the gate itself"},
        {"X-Client-Rule", "a", "family of identity headers"},
        {"x_client_subject", "a", "family of identity headers"},
        {"Client-Cert", "a", "family of identity headers"},
        {"X-Forwarded-Client-Cert", "a", "family of identity headers"},
        {"X-SSL-Client-Verify", "a", "family of identity headers"},
        {"X-Amzn-Mtls-Clientcert-Leaf", "a", "family of identity headers"},
        {"X-Forwarded-For", "a", "family of identity headers"},
        {"X-Original-URL", "a", "family of identity headers"},
    };
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_diags diags = {0};
        if (compile_one(CASES[i].name, CASES[i].value, &diags) != NULL)
            fail_msg("%s: %s is taken", CASES[i].name, CASES[i].value);
        assert_int_equal(diags.errors, 1);
        assert_int_equal(diags.items[0].at.line, 3);
        assert_int_equal(diags.items[0].at.column, 5);
        if (strstr(diags.items[0].text, CASES[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", diags.items[0].text, CASES[i].says);
        sp_diags_free(&diags);
    }
}

static void test_names_that_only_other_proxies_use_are_free_to_be_set(void **state)
{
    static const char *const NAMES[] = {"Remote-User", "X-Remote-User", "X-Forwarded-User", "SSL-Client-S-DN",
        "X-SSL-Client-Subject", "X-Team", "Authorization", "X-Client-Id"};
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(NAMES); i++) {
        struct sp_diags diags = {0};
        struct sp_headers *h = compile_one(NAMES[i], "{subject.CN}", &diags);
        if (h == NULL)
            fail_msg("%s", diags.items[0].text);
        assert_true(sp_headers_is_ours(h, sp_slice_of(NAMES[i])));
        sp_headers_free(h);
    }
}

static void test_two_names_that_backends_take_for_one_are_refused(void **state)
{
    static const struct sp_config_header HEADERS[] = {
        {{1, 1}, "X-Team", "a"}, {{2, 1}, "X-Other", "a"}, {{3, 1}, "x_TEAM", "b"}};
    const struct sp_config_upstream upstream = {.name = "u", .headers = HEADERS, .header_count = 3};
    const struct sp_config config = {.file = "t.yaml", .upstreams = &upstream, .upstream_count = 1};
    struct sp_diags diags = {0};
    (void)state;

    assert_null(sp_headers_new(&config, &diags));
    assert_int_equal(diags.errors, 1);
    assert_int_equal(diags.items[0].at.line, 3);
    assert_non_null(strstr(diags.items[0].text, "is there twice"));
    sp_diags_free(&diags);
}

static void test_a_name_of_any_upstream_is_ours_in_every_spelling(void **state)
{
    static const char *const OURS[] = {
        "X-Team", "x-team", "X_TEAM", "x.team", "X-Who", "X-Zone", "x!zone", "Client-Cert"};
    static const char *const FREE[] = {
        "X-Tea", "X-Teams", "X-Team-", "", "Y-Team", "X-Wh", "Xteam", "Accept"};
    static const struct sp_config_header FIRST[] = {
        {{1, 1}, "X-Zone", "a"}, {{2, 1}, "X-Team", "{subject.OU}"}};
    static const struct sp_config_header SECOND[] = {{{3, 1}, "X-Who", "{caller}"}, {{4, 1}, "x_team", "b"}};
    const struct sp_config_upstream upstreams[] = {{.name = "u", .headers = FIRST, .header_count = 2},
        {.name = "v", .headers = SECOND, .header_count = 2}};
    const struct sp_config config = {.file = "t.yaml", .upstreams = upstreams, .upstream_count = 2};
    struct sp_diags diags = {0};
    struct sp_headers *h = sp_headers_new(&config, &diags);
    (void)state;

    assert_non_null(h);
    for (size_t i = 0; i < SP_COUNTOF(OURS); i++) {
        if (!sp_headers_is_ours(h, sp_slice_of(OURS[i])))
            fail_msg("%s passes", OURS[i]);
    }
    for (size_t i = 0; i < SP_COUNTOF(FREE); i++) {
        if (sp_headers_is_ours(h, sp_slice_of(FREE[i])))
            fail_msg("%s is taken for ours", FREE[i]);
    }
    sp_headers_free(h);
}

static void test_rule_and_caller_come_with_the_decision(void **state)
{
    struct told *t = SP_NEW(struct told);
    struct sp_line lines[SP_DECISION_LINES_MAX];
    (void)state;

    compile(t, "headers: {X-Who: \"{caller}\", X-Why: \"{rule}\", X-Team: x}", "");
    assert_int_equal(sp_headers_of_decision(t->headers, 0, "r", "c", lines), 3);
    assert_true(sp_slice_equal(lines[0].name, SP_SLICE("X-Client-Rule")));
    assert_true(sp_slice_equal(lines[1].name, SP_SLICE("X-Who")));
    assert_true(sp_slice_equal(lines[1].value, SP_SLICE("c")));
    assert_true(sp_slice_equal(lines[2].name, SP_SLICE("X-Why")));
    assert_true(sp_slice_equal(lines[2].value, SP_SLICE("r")));
    assert_int_equal(sp_headers_of_decision(t->headers, 0, "r", NULL, lines), 2);
    forget(t);
    sp_free(t);
}

static void test_more_words_about_the_decision_than_there_is_room_for_are_refused(void **state)
{
    struct sp_config_header headers[SP_DECISION_LINES_MAX];
    char names[SP_DECISION_LINES_MAX][8];
    struct sp_config_upstream upstream = {.name = "u", .headers = headers};
    const struct sp_config config = {.file = "t.yaml", .upstreams = &upstream, .upstream_count = 1};
    (void)state;

    for (size_t i = 0; i < SP_DECISION_LINES_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "X-%zu", i);
        headers[i] = (struct sp_config_header){{1, 1}, names[i], "{rule}"};
    }
    for (size_t count = SP_DECISION_LINES_MAX - 1; count <= SP_DECISION_LINES_MAX; count++) {
        struct sp_diags diags = {0};
        upstream.header_count = count;
        struct sp_headers *h = sp_headers_new(&config, &diags);
        assert_int_equal(h != NULL, count < SP_DECISION_LINES_MAX);
        sp_headers_free(h);
        sp_diags_free(&diags);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_template_becomes_what_the_client_has_proven),
        cmocka_unit_test(test_of_nobody_only_the_connection_is_told),
        cmocka_unit_test(test_what_is_no_template_or_no_name_is_refused_at_its_place),
        cmocka_unit_test(test_names_that_only_other_proxies_use_are_free_to_be_set),
        cmocka_unit_test(test_two_names_that_backends_take_for_one_are_refused),
        cmocka_unit_test(test_a_name_of_any_upstream_is_ours_in_every_spelling),
        cmocka_unit_test(test_rule_and_caller_come_with_the_decision),
        cmocka_unit_test(test_more_words_about_the_decision_than_there_is_room_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
