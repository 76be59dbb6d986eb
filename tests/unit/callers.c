/* Callers: which of the named sets an identity is, and what is told of an entry that cannot be. The rules are
 * in policy.c. */
#include "policy_fixture.h"

/* Does a policy of one caller with these entries take this identity for it? */
static bool entries_match(
    const struct sp_config_caller_entry *entries, size_t count, const struct sp_identity *id)
{
    struct sp_config_caller caller = {.at = HERE, .name = "it", .entries = entries, .entry_count = count};
    struct sp_config_rule rule = rule_for_it();
    struct sp_config config = config_of(&caller, 1, &rule, 1);
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(&config, NULL, &diags);
    if (p == NULL)
        fail_msg("%s", diags.count > 0 ? diags.items[0].text : "no policy and no reason");
    struct sp_standing *standing = stand(p, id);
    bool matches = sp_standing_callers(standing).count == 1;
    sp_standing_free(standing);
    sp_policy_free(p);
    sp_diags_free(&diags);
    return matches;
}

static bool entry_matches(struct sp_config_caller_entry entry, const struct names *names)
{
    struct sp_identity id = identity_of(names);
    return entries_match(&entry, 1, &id);
}

/* ---- names ---- */

struct name_case {
    const char *pattern;
    struct sp_slice name;
    bool matches;
};

static void test_a_uri_is_matched_in_its_path_and_nowhere_else(void **state)
{
    (void)state;
    static const char below[] = "spiffe://corp.example/ns/billing/**";
    static const char inside[] = "spiffe://corp.example/ns/*/sa/billing-*";
    const struct name_case cases[] = {
        {"spiffe://corp.example/ns/billing", TEXT("spiffe://corp.example/ns/billing"), true},
        {"spiffe://corp.example/ns/billing", TEXT("spiffe://corp.example/ns/billing/"), false},
        {"spiffe://corp.example/ns/billing", TEXT("spiffe://corp.example/ns/billin"), false},
        {"spiffe://corp.example/ns/billing", TEXT("spiffe://corp.example/ns/Billing"), false},
        {"spiffe://corp.example", TEXT("spiffe://corp.example"), true},
        {"spiffe://corp.example", TEXT("spiffe://corp.example/"), false},
        {"urn:uuid:f81d4fae", TEXT("urn:uuid:f81d4fae"), true},
        {"urn:uuid:f81d4fae", TEXT("URN:uuid:f81d4fae"), false},
        {"https://corp.example/a?b=c", TEXT("https://corp.example/a?b=c"), true},

        {below, TEXT("spiffe://corp.example/ns/billing/sa/batch"), true},
        {below, TEXT("spiffe://corp.example/ns/billing/a/b/c"), true},
        {below, TEXT("spiffe://corp.example/ns/billing"), false},
        {below, TEXT("spiffe://corp.example/ns/billing-evil/x"), false},
        {below, TEXT("spiffe://corp.example.evil/ns/billing/x"), false},
        {below, TEXT("spiffe://corp.exampleXns/billing/x"), false},
        {below, TEXT("spiffe://corp.example:8080/ns/billing/x"), false},
        {below, TEXT("spiffe://evil@corp.example/ns/billing/x"), false},
        {below, TEXT("spiffe://evil/spiffe://corp.example/ns/billing/x"), false},
        {below, TEXT("xspiffe://corp.example/ns/billing/x"), false},
        {below, TEXT("SPIFFE://corp.example/ns/billing/x"), false},
        {below, TEXT("spiffe://CORP.example/ns/billing/x"), false},
        {below, TEXT("spiffe:/corp.example/ns/billing/x"), false},
        {below, TEXT("spiffe://corp.example/ns/billing/../admin/x"), false},
        {below, TEXT("spiffe://corp.example/ns/billing/%2e%2e/admin"), false},
        {below, TEXT("spiffe://corp.example/ns/billing//x"), false},
        {below, TEXT("spiffe://corp.example/ns/billing/x?y"), false},
        {below, TEXT("spiffe://corp.example/ns/billing/x#y"), false},
        {below, TEXT("spiffe://corp.example/ns/billing/x\0/y"), false},
        {below, TEXT(""), false},

        {inside, TEXT("spiffe://corp.example/ns/a/sa/billing-batch"), true},
        {inside, TEXT("spiffe://corp.example/ns/a/b/sa/billing-batch"), false},
        {inside, TEXT("spiffe://corp.example/ns//sa/billing-batch"), false},
        {inside, TEXT("spiffe://corp.example/ns/a/sa/billing-batch/x"), false},
        {inside, TEXT("spiffe://corp.example/ns/a/sa/xbilling-batch"), false},
        {inside, TEXT("spiffe://corp.example/ns/a/sa/billing"), false},
        {"https://h/*", TEXT("https://h/a"), true},
        {"https://h/*", TEXT("https://h/"), false},
        {"https://h/*", TEXT("https://h/a/b"), false},
        {"https://h/**", TEXT("https://h/a/b"), true},
        {"https://h/**", TEXT("https://h/"), true},
        {"https://h/**", TEXT("https://h"), false},
        {"https://h/**", TEXT("https://host/"), false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct names names = {.uris = {cases[i].name}};
        if (entry_matches((struct sp_config_caller_entry){.at = here, .uri = cases[i].pattern}, &names) !=
            cases[i].matches)
            fail_msg("%s against %.*s: not %d", cases[i].pattern, SP_FMT(cases[i].name), cases[i].matches);
    }
}

static void test_a_dns_name_is_matched_whatever_its_case_and_a_wildcard_is_one_label(void **state)
{
    (void)state;
    const struct name_case cases[] = {
        {"batch.corp.example", TEXT("batch.corp.example"), true},
        {"batch.corp.example", TEXT("BATCH.Corp.Example"), true},
        {"Batch.CORP.example", TEXT("batch.corp.example"), true},
        {"batch.corp.example", TEXT("batch.corp.example.evil"), false},
        {"batch.corp.example", TEXT("xbatch.corp.example"), false},
        {"batch.corp.example", TEXT("batch.corp.example\0"), false},
        {"batch.corp.example", TEXT("batch.corp.example\0.evil"), false},
        {"batch.corp.example", TEXT("batch.corp.example."), false},
        {"batch.corp.example", TEXT("batch.corp.example:443"), false},
        {"batch.corp.example", TEXT(""), false},
        {"localhost", TEXT("localhost"), true},
        {"*.corp.example", TEXT("batch.corp.example"), true},
        {"*.corp.example", TEXT("BATCH.CORP.EXAMPLE"), true},
        {"*.corp.example", TEXT("a.b.corp.example"), false},
        {"*.corp.example", TEXT("corp.example"), false},
        {"*.corp.example", TEXT(".corp.example"), false},
        {"*.corp.example", TEXT("*.corp.example"), false},
        {"*.corp.example", TEXT("a\0b.corp.example"), false},
        {"*.corp.example", TEXT("a b.corp.example"), false},
        {"*.corp.example", TEXT("a/b.corp.example"), false},
        {"*.corp.example", TEXT("xcorp.example"), false},
        {"*.corp.example", TEXT("a.corp.example.evil"), false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct names names = {.dns = {cases[i].name}};
        if (entry_matches((struct sp_config_caller_entry){.at = here, .dns = cases[i].pattern}, &names) !=
            cases[i].matches)
            fail_msg("%s against %.*s: not %d", cases[i].pattern, SP_FMT(cases[i].name), cases[i].matches);
    }
}

static void test_a_dns_name_longer_than_any_host_matches_nothing(void **state)
{
    (void)state;
    char name[400];
    memset(name, 'a', sizeof name);
    memcpy(name + sizeof name - 13, ".corp.example", 13);
    struct names names = {.dns = {{name, sizeof name}}};
    assert_false(entry_matches((struct sp_config_caller_entry){.at = here, .dns = "*.corp.example"}, &names));
}

static void test_an_email_has_a_local_part_with_case_and_a_domain_without(void **state)
{
    (void)state;
    const struct name_case cases[] = {
        {"ann@audit.example.com", TEXT("ann@audit.example.com"), true},
        {"ann@audit.example.com", TEXT("ann@AUDIT.example.COM"), true},
        {"ann@Audit.Example.Com", TEXT("ann@audit.example.com"), true},
        {"ann@audit.example.com", TEXT("Ann@audit.example.com"), false},
        {"ann@audit.example.com", TEXT("bob@audit.example.com"), false},
        {"ann@audit.example.com", TEXT("ann@audit.example.com.evil"), false},
        {"ann@audit.example.com", TEXT("joann@audit.example.com"), false},
        {"*@audit.example.com", TEXT("ann@audit.example.com"), true},
        {"*@audit.example.com", TEXT("*@audit.example.com"), true},
        {"*@audit.example.com", TEXT("ann@AUDIT.EXAMPLE.COM"), true},
        {"*@audit.example.com", TEXT("ann@x.audit.example.com"), false},
        {"*@audit.example.com", TEXT("ann@xaudit.example.com"), false},
        {"*@audit.example.com", TEXT("ann@audit.example.com\0.evil"), false},
        {"*@audit.example.com", TEXT("@audit.example.com"), false},
        {"*@audit.example.com", TEXT("audit.example.com"), false},
        {"*@audit.example.com", TEXT("ann@evil.example@audit.example.com"), false},
        {"*@audit.example.com", TEXT("ann@"), false},
        {"*@audit.example.com", TEXT(""), false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct names names = {.emails = {cases[i].name}};
        if (entry_matches((struct sp_config_caller_entry){.at = here, .email = cases[i].pattern}, &names) !=
            cases[i].matches)
            fail_msg("%s against %.*s: not %d", cases[i].pattern, SP_FMT(cases[i].name), cases[i].matches);
    }
}

static void test_a_name_is_matched_against_names_of_its_own_type_only(void **state)
{
    (void)state;
    const struct sp_slice uri = TEXT("spiffe://corp.example/x"), dns = TEXT("x.corp.example"),
                          email = TEXT("x@corp.example");
    const struct sp_config_caller_entry by_uri = {.at = here, .uri = "spiffe://corp.example/x"},
                                        by_dns = {.at = here, .dns = "x.corp.example"},
                                        by_email = {.at = here, .email = "x@corp.example"};
    struct names wrong_for_uri = {.dns = {uri}, .emails = {uri}, .attrs = {{TEXT("CN"), uri, 0}}};
    struct names wrong_for_dns = {.uris = {dns}, .emails = {dns}, .attrs = {{TEXT("CN"), dns, 0}}};
    struct names wrong_for_email = {
        .uris = {email}, .dns = {email}, .attrs = {{TEXT("emailAddress"), email, 0}}};
    assert_false(entry_matches(by_uri, &wrong_for_uri));
    assert_false(entry_matches(by_dns, &wrong_for_dns));
    assert_false(entry_matches(by_email, &wrong_for_email));
    struct names right = {.uris = {uri}, .dns = {dns}, .emails = {email}};
    assert_true(entry_matches(by_uri, &right));
    assert_true(entry_matches(by_dns, &right));
    assert_true(entry_matches(by_email, &right));
}

static void test_any_of_several_names_of_a_type_will_do(void **state)
{
    (void)state;
    struct names names = {.uris = {TEXT("urn:a"), TEXT(""), TEXT("urn:b")},
        .dns = {TEXT(""), TEXT("a"), TEXT("b")},
        .emails = {TEXT("a@x"), TEXT("b@x")}};
    assert_true(entry_matches((struct sp_config_caller_entry){.at = here, .uri = "urn:b"}, &names));
    assert_true(entry_matches((struct sp_config_caller_entry){.at = here, .dns = "b"}, &names));
    assert_true(entry_matches((struct sp_config_caller_entry){.at = here, .email = "b@x"}, &names));
    assert_false(entry_matches((struct sp_config_caller_entry){.at = here, .uri = "urn:c"}, &names));
    assert_false(entry_matches((struct sp_config_caller_entry){.at = here, .dns = "c"}, &names));
    assert_false(entry_matches((struct sp_config_caller_entry){.at = here, .email = "c@x"}, &names));
}

static void test_an_identity_without_names_matches_no_entry_that_asks_for_one(void **state)
{
    (void)state;
    static const struct sp_config_attr cn = {"CN", "x"};
    struct names none = {.sha256 = {1}};
    const struct sp_config_caller_entry entries[] = {
        {.at = here, .uri = "urn:x"},
        {.at = here, .dns = "x"},
        {.at = here, .email = "x@y"},
        {.at = here, .email = "*@y"},
        {.at = here, .subject = &cn, .subject_count = 1},
        {.at = here,
            .fingerprint_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"},
    };
    for (size_t i = 0; i < SP_COUNTOF(entries); i++)
        assert_false(entry_matches(entries[i], &none));
    assert_true(entry_matches(
        (struct sp_config_caller_entry){.at = here, .any = SP_CALLER_ANY_AUTHENTICATED}, &none));
}

/* ---- subject and fingerprint ---- */

static void test_every_subject_attribute_asked_for_must_be_there_byte_for_byte(void **state)
{
    (void)state;
    struct names names = {.attrs = {{TEXT("CN"), TEXT("billing-batch"), 0}, {TEXT("OU"), TEXT("dev"), 1},
                              {TEXT("OU"), TEXT("ops"), 1}, {TEXT("1.2.3.4"), TEXT("v"), 2}}};
    const struct {
        struct sp_config_attr attrs[3];
        size_t count;
        bool matches;
    } cases[] = {
        {{{"CN", "billing-batch"}}, 1, true},
        {{{"cn", "billing-batch"}}, 1, true},
        {{{"2.5.4.3", "billing-batch"}}, 1, true},
        {{{"1.2.3.4", "v"}}, 1, true},
        {{{"1.2.3.5", "v"}}, 1, false},
        {{{"CN", "billing-batc"}}, 1, false},
        {{{"CN", "billing-batch "}}, 1, false},
        {{{"CN", "Billing-batch"}}, 1, false},
        {{{"CN", "billing-*"}}, 1, false},
        {{{"O", "billing-batch"}}, 1, false},
        {{{"OU", "dev"}}, 1, true},
        {{{"OU", "ops"}}, 1, true},
        {{{"OU", "dev"}, {"OU", "ops"}}, 2, true},
        {{{"OU", "ops"}, {"OU", "dev"}, {"CN", "billing-batch"}}, 3, true},
        {{{"OU", "dev"}, {"OU", "sec"}}, 2, false},
        {{{"CN", "billing-batch"}, {"O", "Example Corp"}}, 2, false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_config_caller_entry entry = {
            .at = here, .subject = cases[i].attrs, .subject_count = cases[i].count};
        if (entry_matches(entry, &names) != cases[i].matches)
            fail_msg("case %zu: not %d", i, cases[i].matches);
    }
}

static void test_a_nul_inside_an_attribute_is_a_byte_like_any_other(void **state)
{
    (void)state;
    static const struct sp_config_attr admin = {"CN", "admin"};
    struct sp_config_caller_entry entry = {.at = here, .subject = &admin, .subject_count = 1};
    struct names cut = {.attrs = {{TEXT("CN"), TEXT("admin\0.evil"), 0}}};
    struct names ended = {.attrs = {{TEXT("CN"), TEXT("admin\0"), 0}}};
    struct names type = {.attrs = {{TEXT("CN\0"), TEXT("admin"), 0}}};
    struct names whole = {.attrs = {{TEXT("CN"), TEXT("admin"), 0}}};
    assert_false(entry_matches(entry, &cut));
    assert_false(entry_matches(entry, &ended));
    assert_false(entry_matches(entry, &type));
    assert_true(entry_matches(entry, &whole));
}

static void test_a_fingerprint_is_read_with_and_without_colons_in_either_case(void **state)
{
    (void)state;
    struct names names = {.sha256 = {0xAB, 0x01}};
    static const char *const same[] = {
        "ab01000000000000000000000000000000000000000000000000000000000000",
        "AB:01:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00",
    };
    for (size_t i = 0; i < SP_COUNTOF(same); i++)
        assert_true(entry_matches(
            (struct sp_config_caller_entry){.at = here, .fingerprint_sha256 = same[i]}, &names));
    names.sha256[31] = 1;
    assert_false(
        entry_matches((struct sp_config_caller_entry){.at = here, .fingerprint_sha256 = same[0]}, &names));
}

/* ---- fields together, entries together, anonymous ---- */

static void test_all_fields_of_an_entry_must_hold(void **state)
{
    (void)state;
    static const struct sp_config_attr cn = {"CN", "a"};
    struct sp_config_caller_entry entry = {.at = here,
        .uri = "urn:a",
        .dns = "a.example",
        .email = "a@example",
        .fingerprint_sha256 = "0500000000000000000000000000000000000000000000000000000000000000",
        .subject = &cn,
        .subject_count = 1,
        .any = SP_CALLER_ANY_AUTHENTICATED};
    const struct names all = {.uris = {TEXT("urn:a")},
        .dns = {TEXT("a.example")},
        .emails = {TEXT("a@example")},
        .attrs = {{TEXT("CN"), TEXT("a"), 0}},
        .sha256 = {5}};
    assert_true(entry_matches(entry, &all));
    struct names lacking[] = {all, all, all, all, all};
    lacking[0].uris[0] = TEXT("urn:b");
    lacking[1].dns[0] = TEXT("b.example");
    lacking[2].emails[0] = TEXT("b@example");
    lacking[3].attrs[0].value = TEXT("b");
    lacking[4].sha256[0] = 6;
    for (size_t i = 0; i < SP_COUNTOF(lacking); i++)
        assert_false(entry_matches(entry, &lacking[i]));
}

static void test_one_entry_of_a_caller_is_enough_and_none_is_not(void **state)
{
    (void)state;
    const struct sp_config_caller_entry entries[] = {{.at = here, .uri = "urn:a"}, {.at = here, .dns = "b"}};
    struct names first = {.uris = {TEXT("urn:a")}}, second = {.dns = {TEXT("b")}},
                 crossed = {.dns = {TEXT("urn:a")}};
    struct sp_identity id = identity_of(&first);
    assert_true(entries_match(entries, 2, &id));
    id = identity_of(&second);
    assert_true(entries_match(entries, 2, &id));
    id = identity_of(&crossed);
    assert_false(entries_match(entries, 2, &id));
    assert_false(entries_match(entries, 0, &id));
    assert_false(entries_match(entries, 0, NULL));
}

static void test_the_anonymous_caller_is_only_any_anonymous(void **state)
{
    (void)state;
    static const struct sp_config_attr cn = {"CN", "x"};
    const struct sp_config_caller_entry anonymous = {.at = here, .any = SP_CALLER_ANY_ANONYMOUS};
    const struct sp_config_caller_entry others[] = {
        {.at = here, .any = SP_CALLER_ANY_AUTHENTICATED},
        {.at = here, .uri = "urn:x"},
        {.at = here, .uri = "spiffe://h/**"},
        {.at = here, .dns = "x"},
        {.at = here, .email = "*@x"},
        {.at = here, .subject = &cn, .subject_count = 1},
        {.at = here,
            .fingerprint_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"},
    };
    assert_true(entries_match(&anonymous, 1, NULL));
    for (size_t i = 0; i < SP_COUNTOF(others); i++)
        assert_false(entries_match(&others[i], 1, NULL));
    struct names proven = {.dns = {TEXT("x")}};
    assert_false(entry_matches(anonymous, &proven));
}

/* ---- what is told of an entry that cannot be ---- */

static void test_an_entry_that_cannot_be_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct sp_config_attr unknown = {"CNN", "x"}, empty = {"CN", ""}, no_oid = {"1..2", "x"},
                                       cn = {"CN", "x"};
    const struct {
        struct sp_config_caller_entry entry;
        const char *needle;
    } cases[] = {
        {{.at = here}, "callers.it[0]: expected at least one of"},
        {{.at = here, .uri = ""}, "callers.it[0].uri"},
        {{.at = here, .uri = "corp.example/x"}, "a scheme"},
        {{.at = here, .uri = "spiffe:"}, "a scheme"},
        {{.at = here, .uri = "9p://x"}, "a scheme"},
        {{.at = here, .uri = "spiffe://corp example/x"}, "without blanks"},
        {{.at = here, .uri = "spiffe://corp.ex\xC3\xA4mple/x"}, "non-ASCII"},
        {{.at = here, .uri = "spiffe://*/x"}, "authority are literal"},
        {{.at = here, .uri = "spiffe://*.example/**"}, "authority are literal"},
        {{.at = here, .uri = "spiffe://corp.example*"}, "authority are literal"},
        {{.at = here, .uri = "*://corp.example/x"}, "a scheme"},
        {{.at = here, .uri = "urn:*"}, "only in the path"},
        {{.at = here, .uri = "spiffe:///**"}, "an authority"},
        {{.at = here, .uri = "https://h/*?x"}, "no query"},
        {{.at = here, .uri = "spiffe://corp.example/**/x"}, "callers.it[0].uri"},
        {{.at = here, .uri = "spiffe://corp.example/a**"}, "callers.it[0].uri"},
        {{.at = here, .dns = ""}, "callers.it[0].dns"},
        {{.at = here, .dns = "a.*.example"}, "callers.it[0].dns"},
        {{.at = here, .dns = "a*.example"}, "callers.it[0].dns"},
        {{.at = here, .dns = "**.example"}, "callers.it[0].dns"},
        {{.at = here, .dns = "a b"}, "callers.it[0].dns"},
        {{.at = here, .dns = "a..b"}, "callers.it[0].dns"},
        {{.at = here, .email = "audit.example"}, "name@domain"},
        {{.at = here, .email = "@audit.example"}, "name@domain"},
        {{.at = here, .email = "a@"}, "name@domain"},
        {{.at = here, .email = "a@b@c"}, "name@domain"},
        {{.at = here, .email = "a*@audit.example"}, "callers.it[0].email"},
        {{.at = here, .email = "*@*.example"}, "callers.it[0].email"},
        {{.at = here, .fingerprint_sha256 = ""}, "64 hex digits"},
        {{.at = here, .fingerprint_sha256 = "ab01"}, "64 hex digits"},
        {{.at = here,
             .fingerprint_sha256 = "zz01000000000000000000000000000000000000000000000000000000000000"},
            "64 hex digits"},
        {{.at = here, .subject = &unknown, .subject_count = 1}, "dotted OID"},
        {{.at = here, .subject = &no_oid, .subject_count = 1}, "dotted OID"},
        {{.at = here, .subject = &empty, .subject_count = 1}, "not empty"},
        {{.at = here, .any = SP_CALLER_ANY_ANONYMOUS, .dns = "x"}, "no other field"},
        {{.at = here, .any = SP_CALLER_ANY_ANONYMOUS, .subject = &cn, .subject_count = 1}, "no other field"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_config_caller caller = {
            .at = here, .name = "it", .entries = &cases[i].entry, .entry_count = 1};
        struct sp_config_rule rule = rule_for_it();
        struct sp_config config = config_of(&caller, 1, &rule, 1);
        expect_refused(&config, 1, cases[i].needle);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_uri_is_matched_in_its_path_and_nowhere_else),
        cmocka_unit_test(test_a_dns_name_is_matched_whatever_its_case_and_a_wildcard_is_one_label),
        cmocka_unit_test(test_a_dns_name_longer_than_any_host_matches_nothing),
        cmocka_unit_test(test_an_email_has_a_local_part_with_case_and_a_domain_without),
        cmocka_unit_test(test_a_name_is_matched_against_names_of_its_own_type_only),
        cmocka_unit_test(test_any_of_several_names_of_a_type_will_do),
        cmocka_unit_test(test_an_identity_without_names_matches_no_entry_that_asks_for_one),
        cmocka_unit_test(test_every_subject_attribute_asked_for_must_be_there_byte_for_byte),
        cmocka_unit_test(test_a_nul_inside_an_attribute_is_a_byte_like_any_other),
        cmocka_unit_test(test_a_fingerprint_is_read_with_and_without_colons_in_either_case),
        cmocka_unit_test(test_all_fields_of_an_entry_must_hold),
        cmocka_unit_test(test_one_entry_of_a_caller_is_enough_and_none_is_not),
        cmocka_unit_test(test_the_anonymous_caller_is_only_any_anonymous),
        cmocka_unit_test(test_an_entry_that_cannot_be_is_told_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
