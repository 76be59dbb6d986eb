/* Every field of an entry beside the names that callers.c tries: what holds, what does not, what is said of it, and callers that name
 * other callers. */
#include "callers_rig.h"

#define TEXT(literal) SP_SLICE(literal)
#define HEX64         "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SERIAL_HEX    TEXT("0f3a")

static const struct sp_pos here = {7, 3};

/* ---- one identity with everything ---- */

static const struct sp_slice uris[] = {TEXT("spiffe://corp.example/ns/billing/sa/batch"), TEXT("urn:x")};
static const struct sp_slice dns_names[] = {TEXT("Batch.Corp.Example")};
static const struct sp_slice emails[] = {TEXT("ann@Audit.example")};
static const struct sp_slice ips[] = {{"\x0a\x01\x02\x03", 4},
    {"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16}, {"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16}};
static const struct sp_name_attr subject[] = {{TEXT("C"), TEXT("DE"), 0}, {TEXT("OU"), TEXT("dev"), 1},
    {TEXT("OU"), TEXT("ops"), 1}, {TEXT("CN"), TEXT("batch"), 2},
    {TEXT("organizationIdentifier"), TEXT("PSDDE-BAFIN-123"), 3}, {TEXT("2.5.4.42"), TEXT("Ann"), 4},
    {TEXT("2.5.4.9"), TEXT("Main Street 1"), 5}, {TEXT("1.2.3.4"), TEXT("v"), 6},
    {TEXT("OU"), TEXT("sec"), 7}};
static const struct sp_name_attr issuer[] = {{TEXT("O"), TEXT("Corp"), 0}, {TEXT("CN"), TEXT("Corp CA"), 1}};
static const struct sp_slice policies[] = {TEXT("1.2.3.4"), TEXT("2.5.29.32.0")};

static struct sp_identity everything(void)
{
    struct sp_identity id = {.uris = {uris, SP_COUNTOF(uris)},
        .dns_names = {dns_names, SP_COUNTOF(dns_names)},
        .emails = {emails, SP_COUNTOF(emails)},
        .ips = {ips, SP_COUNTOF(ips)},
        .subject_attrs = subject,
        .subject_attr_count = SP_COUNTOF(subject),
        .issuer_attrs = issuer,
        .issuer_attr_count = SP_COUNTOF(issuer),
        .serial_hex = SERIAL_HEX,
        .policies = {policies, SP_COUNTOF(policies)},
        .qualified = {.is_qualified = true,
            .type = SP_QC_WEB,
            .psd2_roles = SP_PSD2_AI | SP_PSD2_PI,
            .authority = TEXT("BaFin"),
            .authority_id = TEXT("DE-BAFIN")}};
    for (size_t i = 0; i < 32; i++) {
        id.sha256[i] = (uint8_t)(i % 16 * 0x11);
        id.spki_sha256[i] = (uint8_t)(0xff - i);
    }
    return id;
}

/* ---- what holds ---- */

struct field_case {
    struct sp_config_caller_entry entry;
    bool holds;
};

static struct sp_config_caller_entry with_attrs(const struct sp_config_attr *of_subject, size_t subjects,
    const struct sp_config_attr *of_issuer, size_t issuers)
{
    return (struct sp_config_caller_entry){.at = here,
        .subject = of_subject,
        .subject_count = subjects,
        .issuer = of_issuer,
        .issuer_count = issuers};
}

static bool entry_holds(const struct sp_config_caller_entry *entry, const struct sp_identity *id)
{
    const struct sp_config_caller caller = {.at = here, .name = "it", .entries = entry, .entry_count = 1};
    struct callers_rig r;
    rig_must_make(&r, &caller, 1);
    bool holds = rig_is_it(&r, id);
    rig_free(&r);
    return holds;
}

static void test_each_field_is_compared_with_its_own_part_of_a_certificate(void **state)
{
    (void)state;
    const struct field_case cases[] = {
        {{.ip = "10.1.2.3"}, true},
        {{.ip = "10.1.2.4"}, false},
        {{.ip = "10.0.0.0/8"}, true},
        {{.ip = "11.0.0.0/8"}, false},
        {{.ip = "0.0.0.0/0"}, true},
        {{.ip = "2001:db8::/32"}, true},
        {{.ip = "2001:db9::/32"}, false},
        {{.ip = "::/0"}, true},
        {{.ip = "192.0.2.0/24"}, true}, /* written as ::ffff:192.0.2.1 in the certificate */
        {{.ip = "::ffff:192.0.2.0/120"}, true},
        {{.serial = "0f3a"}, true},
        {{.serial = "0F:3A"}, true},
        {{.serial = "F3A"}, true},
        {{.serial = "00:0f:3a"}, true},
        {{.serial = "0f3b"}, false},
        {{.serial = "0f3a00"}, false},
        {{.fingerprint_sha256 = HEX64}, true},
        {{.spki_sha256 = HEX64}, false},
        {{.policy = "1.2.3.4"}, true},
        {{.policy = "1.2.3"}, false},
        {{.qc_type = SP_QC_WEB}, true},
        {{.qc_type = SP_QC_ESEAL}, false},
        {{.psd2_roles = SP_PSD2_AI}, true},
        {{.psd2_roles = SP_PSD2_AI | SP_PSD2_PI}, true},
        {{.psd2_roles = SP_PSD2_AI | SP_PSD2_IC}, false},
        {{.psd2_roles = SP_PSD2_AS}, false},
        {{.psd2_authority = "DE-BAFIN"}, true},
        {{.psd2_authority = "BaFin"}, false},
        {{.any = SP_CALLER_ANY_AUTHENTICATED}, true},
        {{.any = SP_CALLER_ANY_ANONYMOUS}, false},
        {{.any = SP_CALLER_ANY_AUTHENTICATED, .ip = "10.1.2.3", .policy = "1.2.3.4"}, true},
        {{.any = SP_CALLER_ANY_AUTHENTICATED, .ip = "10.1.2.3", .policy = "1.2.3.5"}, false},
    };
    const struct sp_identity id = everything();
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_config_caller_entry entry = cases[i].entry;
        entry.at = here;
        if (entry_holds(&entry, &id) != cases[i].holds)
            fail_msg("case %zu: not %d", i, cases[i].holds);
        if (entry_holds(&entry, NULL) != (entry.any == SP_CALLER_ANY_ANONYMOUS))
            fail_msg("case %zu for a client without a certificate", i);
    }
}

static void test_attributes_are_a_set_by_name_or_oid(void **state)
{
    (void)state;
    const struct {
        struct sp_config_attr of_subject[4], of_issuer[2];
        size_t subjects, issuers;
        bool holds;
    } cases[] = {
        {{{"OU", "ops"}, {"OU", "sec"}, {"OU", "dev"}}, {{NULL, NULL}}, 3, 0, true},
        {{{"OU", "ops"}, {"OU", "ops"}}, {{NULL, NULL}}, 2, 0, true},
        {{{"OU", "ops"}, {"OU", "none"}}, {{NULL, NULL}}, 2, 0, false},
        {{{"organizationidentifier", "PSDDE-BAFIN-123"}}, {{NULL, NULL}}, 1, 0, true},
        {{{"2.5.4.97", "PSDDE-BAFIN-123"}}, {{NULL, NULL}}, 1, 0, true},
        {{{"GN", "Ann"}}, {{NULL, NULL}}, 1, 0, true},
        {{{"givenName", "Ann"}, {"street", "Main Street 1"}}, {{NULL, NULL}}, 2, 0, true},
        {{{"2.5.4.42", "Ann"}}, {{NULL, NULL}}, 1, 0, true},
        {{{"surname", "Ann"}}, {{NULL, NULL}}, 1, 0, false},
        {{{"1.2.3.4", "v"}}, {{NULL, NULL}}, 1, 0, true},
        {{{NULL, NULL}}, {{"O", "Corp"}, {"CN", "Corp CA"}}, 0, 2, true},
        {{{NULL, NULL}}, {{"O", "Corp"}, {"CN", "batch"}}, 0, 2, false},
        {{{"O", "Corp"}}, {{NULL, NULL}}, 1, 0, false},
        {{{"CN", "batch"}}, {{"CN", "Corp CA"}}, 1, 1, true},
        {{{"CN", "Corp CA"}}, {{"CN", "batch"}}, 1, 1, false},
    };
    const struct sp_identity id = everything();
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct sp_config_caller_entry entry =
            with_attrs(cases[i].of_subject, cases[i].subjects, cases[i].of_issuer, cases[i].issuers);
        if (entry_holds(&entry, &id) != cases[i].holds)
            fail_msg("case %zu: not %d", i, cases[i].holds);
        assert_false(entry_holds(&entry, NULL));
    }
}

static void test_a_type_without_compliance_is_not_qualified(void **state)
{
    (void)state;
    struct sp_identity id = everything();
    const struct sp_config_caller_entry entry = {.at = here, .qc_type = SP_QC_WEB};
    id.qualified.is_qualified = false;
    assert_false(entry_holds(&entry, &id));
}

/* ---- what cannot be ---- */

static void test_a_field_that_cannot_be_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct sp_config_attr unknown = {"CNN", "x"};
    const struct {
        struct sp_config_caller_entry entry;
        const char *needle;
    } cases[] = {
        {{.ip = "10.0.0.0/33"}, "callers.it[0].ip: \"10.0.0.0/33\": expected"},
        {{.ip = "10.0.0.1/8"}, "callers.it[0].ip"},
        {{.ip = "x"}, "callers.it[0].ip"},
        {{.serial = ""}, "callers.it[0].serial"},
        {{.serial = "0g"}, "callers.it[0].serial"},
        {{.serial = ":"}, "callers.it[0].serial"},
        {{.spki_sha256 = "00"}, "callers.it[0].spki_sha256"},
        {{.policy = "1..2"}, "callers.it[0].policy"},
        {{.psd2_authority = ""}, "callers.it[0].psd2_authority"},
        {{.issuer = &unknown, .issuer_count = 1}, "callers.it[0].issuer: \"CNN\": expected an attribute"},
        {{.caller = "nobody"}, "callers.it[0].caller: \"nobody\""},
        {{.caller = "it"}, "circle"},
        {{.any = SP_CALLER_ANY_ANONYMOUS, .caller = "other"}, "no other field"},
        {{.file = "/nonexistent/list"}, "callers.it[0].file: \"/nonexistent/list\": cannot be opened"},
        {{.file = "/"}, "not a regular file"},
    };
    static const struct sp_config_caller_entry other = {.any = SP_CALLER_ANY_AUTHENTICATED};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct sp_config_caller callers[] = {
            {.at = here, .name = "it", .entries = &cases[i].entry, .entry_count = 1},
            {.at = here, .name = "other", .entries = &other, .entry_count = 1}};
        struct callers_rig r;
        rig_make(&r, callers, 2);
        rig_expect_error(&r, cases[i].needle);
        assert_int_equal(r.diags.errors, 1);
        rig_free(&r);
    }
}

static void test_limits_are_counted_by_an_attribute_that_there_is(void **state)
{
    (void)state;
    static const struct sp_config_caller_entry entry = {.any = SP_CALLER_ANY_AUTHENTICATED};
    static const struct {
        const char *per;
        bool good;
    } cases[] = {{"identity", true}, {"subject.ou", true}, {"subject.givenName", true},
        {"subject.2.5.4.3", true}, {"subject.OUU", false}, {"subject.", false}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct sp_config_caller_limits limits = {.at = here, .per = cases[i].per};
        const struct sp_config_caller caller = {
            .name = "it", .entries = &entry, .entry_count = 1, .limits = &limits};
        struct callers_rig r;
        rig_make(&r, &caller, 1);
        assert_int_equal(r.callers != NULL, cases[i].good);
        if (!cases[i].good)
            rig_expect_error(&r, "callers.it.limits.per: \"");
        rig_free(&r);
    }
}

static void test_all_errors_are_told_at_once(void **state)
{
    (void)state;
    const struct sp_config_caller_entry entries[] = {
        {.ip = "x", .serial = "y"}, {.caller = "nobody"}, {.at = here}, {.file = "/nonexistent/list"}};
    const struct sp_config_caller caller = {.at = here, .name = "it", .entries = entries, .entry_count = 4};
    struct callers_rig r;
    rig_make(&r, &caller, 1);
    assert_null(r.callers);
    assert_int_equal(r.diags.errors, 5);
    rig_free(&r);
}

/* ---- callers that name callers ---- */

static void test_callers_that_name_callers_are_found_through_each_other(void **state)
{
    (void)state;
    /* written so that those that are named come later */
    static const struct sp_config_caller_entry top[] = {{.caller = "both"}, {.caller = "nobody's"}},
                                               both[] = {{.caller = "dns", .uri = "urn:x"}},
                                               dns[] = {{.dns = "*.corp.example"}},
                                               nobodys[] = {{.dns = "other"}},
                                               anonymous[] = {{.any = SP_CALLER_ANY_ANONYMOUS}},
                                               anybody[] = {{.caller = "anonymous"}, {.caller = "top"}},
                                               authenticated[] = {
                                                   {.caller = "anybody", .any = SP_CALLER_ANY_AUTHENTICATED}};
    const struct sp_config_caller callers[] = {
        {.name = "authenticated", .entries = authenticated, .entry_count = 1},
        {.name = "anybody", .entries = anybody, .entry_count = 2},
        {.name = "top", .entries = top, .entry_count = 2},
        {.name = "both", .entries = both, .entry_count = 1},
        {.name = "dns", .entries = dns, .entry_count = 1},
        {.name = "nobody's", .entries = nobodys, .entry_count = 1},
        {.name = "anonymous", .entries = anonymous, .entry_count = 1},
    };
    struct callers_rig r;
    char ids[256];
    rig_must_make(&r, callers, SP_COUNTOF(callers));
    struct sp_identity id = everything();
    assert_string_equal(rig_ids(&r, &id, ids), "0 1 2 3 4");
    id.uris.count = 1; /* without urn:x */
    assert_string_equal(rig_ids(&r, &id, ids), "4");
    id.dns_names.count = 0;
    assert_string_equal(rig_ids(&r, &id, ids), "");
    assert_string_equal(rig_ids(&r, NULL, ids), "1 6");
    rig_free(&r);
}

static void test_a_circle_of_callers_is_an_error_and_not_a_loop(void **state)
{
    (void)state;
    static const struct sp_config_caller_entry a[] = {{.dns = "a"}, {.caller = "b"}}, b[] = {{.caller = "c"}},
                                               c[] = {{.at = {9, 9}, .caller = "a", .caller_at = {11, 5}}};
    const struct sp_config_caller callers[] = {{.name = "a", .entries = a, .entry_count = 2},
        {.name = "b", .entries = b, .entry_count = 1}, {.name = "c", .entries = c, .entry_count = 1}};
    struct callers_rig r;
    rig_make(&r, callers, 3);
    rig_expect_error(&r, "callers.c[0].caller: \"a\": expected no circle");
    assert_int_equal(r.diags.items[0].at.line, 11);
    rig_free(&r);
}

static void test_callers_may_name_each_other_ten_thousand_deep(void **state)
{
    (void)state;
    enum { DEEP = 10000 };
    struct sp_config_caller *callers = calloc(DEEP, sizeof *callers);
    struct sp_config_caller_entry *entries = calloc(DEEP, sizeof *entries);
    char(*names)[16] = calloc(DEEP, sizeof *names);
    assert_true(callers != NULL && entries != NULL && names != NULL);
    for (size_t i = 0; i < DEEP; i++) {
        (void)snprintf(names[i], sizeof names[i], "c%zu", i);
        entries[i] = (struct sp_config_caller_entry){.at = here, .any = SP_CALLER_ANY_AUTHENTICATED};
        if (i + 1 < DEEP)
            entries[i].caller = names[i + 1];
        callers[i] = (struct sp_config_caller){.name = names[i], .entries = &entries[i], .entry_count = 1};
    }
    struct callers_rig r;
    struct sp_identity id = everything();
    uint32_t *ids = NULL;
    size_t count = 0;
    rig_must_make(&r, callers, DEEP);
    assert_int_equal(sp_callers_of(r.callers, &id, &ids, &count), SP_OK);
    assert_int_equal(count, DEEP);
    for (size_t i = 0; i < DEEP; i++)
        assert_int_equal(ids[i], i);
    sp_free(ids);
    rig_free(&r);
    free(callers);
    free(entries);
    free(names);
}

static void test_a_name_is_found_or_not(void **state)
{
    (void)state;
    static const struct sp_config_caller_entry entry = {.any = SP_CALLER_ANY_AUTHENTICATED};
    const struct sp_config_caller callers[] = {{.name = "a", .entries = &entry, .entry_count = 1},
        {.name = "b", .entries = &entry, .entry_count = 1}};
    struct callers_rig r;
    rig_must_make(&r, callers, 2);
    assert_int_equal(sp_callers_find(r.callers, "b"), 1);
    assert_int_equal(sp_callers_find(r.callers, "c"), SP_CALLER_NONE);
    rig_free(&r);
}

/* ---- explain ---- */

struct told {
    char text[2048];
};

static void note_miss(void *arg, const char *condition, const char *wanted, const char *found)
{
    struct told *t = arg;
    size_t len = strlen(t->text);
    (void)snprintf(t->text + len, sizeof t->text - len, "%s: %s | %s\n", condition, wanted, found);
}

static void expect_told(const struct sp_config_caller_entry *entries, size_t count,
    const struct sp_identity *id, bool wanted_holds, size_t wanted_entry, const char *wanted)
{
    static const struct sp_config_caller_entry other = {.any = SP_CALLER_ANY_AUTHENTICATED},
                                               never = {.dns = "never"};
    const struct sp_config_caller callers[] = {{.name = "it", .entries = entries, .entry_count = count},
        {.name = "other", .entries = &other, .entry_count = 1},
        {.name = "never", .entries = &never, .entry_count = 1}};
    struct callers_rig r;
    struct told told = {""};
    size_t entry = 99;
    bool holds = !wanted_holds;
    rig_must_make(&r, callers, 3);
    assert_int_equal(sp_callers_explain(r.callers, id, 0, &entry, &holds, note_miss, &told), SP_OK);
    assert_int_equal(holds, wanted_holds);
    assert_int_equal(entry, wanted_entry);
    assert_string_equal(told.text, wanted);
    rig_free(&r);
}

static void test_explain_tells_each_field_that_does_not_hold(void **state)
{
    (void)state;
    static const struct sp_config_attr ou[] = {{"OU", "dev"}, {"OU", "none"}}, cn = {"CN", "Other CA"};
    static const struct sp_config_caller_entry all = {.uri = "spiffe://corp.example/**",
        .dns = "*.Other.example",
        .email = "*@other.example",
        .ip = "192.168.0.0/16",
        .serial = "01",
        .fingerprint_sha256 = HEX64,
        .spki_sha256 = HEX64,
        .policy = "1.2",
        .subject = ou,
        .subject_count = 2,
        .issuer = &cn,
        .issuer_count = 1,
        .qc_type = SP_QC_ESEAL,
        .psd2_roles = SP_PSD2_AS | SP_PSD2_AI,
        .psd2_authority = "AT-FMA",
        .caller = "never"};
    const struct sp_identity id = everything();
    expect_told(&all, 1, &id, false, 0,
        "dns: *.other.example | Batch.Corp.Example\n"
        "email: *@other.example | ann@Audit.example\n"
        "ip: 192.168.0.0/16 | 10.1.2.3, 2001:db8::1, ::ffff:192.0.2.1\n"
        "serial: 01 | 0f3a\n"
        "spki_sha256: " HEX64 " | fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0\n"
        "policy: 1.2 | 1.2.3.4, 2.5.29.32.0\n"
        "psd2_authority: AT-FMA | DE-BAFIN\n"
        "subject.OU: none | dev, ops, sec\n"
        "issuer.CN: Other CA | Corp CA\n"
        "qc_type: eseal | web\n"
        "psd2_roles: PSP_AS, PSP_AI | PSP_PI, PSP_AI\n"
        "caller: never | other\n");
    const struct sp_identity nothing = {.refs = 1};
    static const struct sp_config_caller_entry uri = {.uri = "urn:y"};
    expect_told(&uri, 1, &nothing, false, 0, "uri: urn:y | none\n");
    expect_told(&uri, 1, NULL, false, 0, "uri: urn:y | no certificate\n");
    static const struct sp_config_caller_entry any = {.any = SP_CALLER_ANY_AUTHENTICATED};
    expect_told(&any, 1, NULL, false, 0, "any: authenticated | no certificate\n");
}

static void test_explain_chooses_the_entry_that_holds_or_came_nearest(void **state)
{
    (void)state;
    static const struct sp_config_caller_entry entries[] = {{.dns = "a", .email = "a@b", .ip = "127.0.0.1"},
        {.dns = "a", .email = "ann@audit.example"}, {.dns = "b", .email = "ann@audit.example"},
        {.uri = "urn:x"}};
    const struct sp_identity id = everything();
    expect_told(entries, 3, &id, false, 1, "dns: a | Batch.Corp.Example\n");
    expect_told(entries, 4, &id, true, 3, "");
    expect_told(NULL, 0, &id, false, 0, "");
}

/* ---- without memory ---- */

static void test_without_memory_nothing_is_handed_out_and_it_is_told(void **state)
{
    (void)state;
    static const struct sp_config_attr cn = {"CN", "x"};
    static const struct sp_config_caller_entry entries[] = {{.uri = "spiffe://a/b*/c",
                                                                .dns = "*.x",
                                                                .email = "*@y",
                                                                .ip = "10.0.0.0/8",
                                                                .serial = "01",
                                                                .spki_sha256 = HEX64,
                                                                .subject = &cn,
                                                                .subject_count = 1},
        {.uri = "urn:x"}};
    const struct sp_config_caller caller = {.name = "it", .entries = entries, .entry_count = 2};
    size_t refused = 0;
    for (size_t max = 1;; max += 24) {
        struct callers_rig r;
        rig_make_within(&r, &caller, 1, max);
        bool made = r.callers != NULL;
        if (made) {
            const struct sp_identity id = everything();
            assert_true(rig_is_it(&r, &id));
        }
        rig_free(&r);
        if (made)
            break;
        refused++;
    }
    assert_true(refused > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_field_is_compared_with_its_own_part_of_a_certificate),
        cmocka_unit_test(test_attributes_are_a_set_by_name_or_oid),
        cmocka_unit_test(test_a_type_without_compliance_is_not_qualified),
        cmocka_unit_test(test_a_field_that_cannot_be_is_told_with_its_place),
        cmocka_unit_test(test_limits_are_counted_by_an_attribute_that_there_is),
        cmocka_unit_test(test_all_errors_are_told_at_once),
        cmocka_unit_test(test_callers_that_name_callers_are_found_through_each_other),
        cmocka_unit_test(test_a_circle_of_callers_is_an_error_and_not_a_loop),
        cmocka_unit_test(test_callers_may_name_each_other_ten_thousand_deep),
        cmocka_unit_test(test_a_name_is_found_or_not),
        cmocka_unit_test(test_explain_tells_each_field_that_does_not_hold),
        cmocka_unit_test(test_explain_chooses_the_entry_that_holds_or_came_nearest),
        cmocka_unit_test(test_without_memory_nothing_is_handed_out_and_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
