/* Rules: which one decides, and what is told of a policy that cannot be. Who a caller is, is in callers.c. */
#include "policy_fixture.h"

/* ---- rules ---- */

enum { BILLING, AUDITORS, ANONYMOUS, CALLERS };
static const struct sp_config_caller_entry billing_entry = {
    .at = HERE, .uri = "spiffe://corp.example/billing"};
static const struct sp_config_caller_entry auditor_entry = {.at = HERE, .email = "*@audit.example"};
static const struct sp_config_caller_entry anonymous_entry = {.at = HERE, .any = SP_CALLER_ANY_ANONYMOUS};
static const struct sp_config_caller three_callers[CALLERS] = {
    {.at = HERE, .name = "billing", .entries = &billing_entry, .entry_count = 1},
    {.at = HERE, .name = "auditors", .entries = &auditor_entry, .entry_count = 1},
    {.at = HERE, .name = "anonymous", .entries = &anonymous_entry, .entry_count = 1},
};
static const struct sp_pos many_here[] = {{7, 3}, {7, 3}, {7, 3}};
static const char *const only_method[] = {"GET"};
static const char *const from_billing[] = {"billing"};
static const char *const from_both[] = {"auditors", "billing"};
static const char *const from_anonymous[] = {"anonymous"};
static const char *const get_and_post[] = {"GET", "POST"};

static const struct sp_config_rule five_rules[] = {
    {.at = HERE,
        .name = "write",
        .from = {from_billing, many_here, 1},
        .host = "Billing.Internal",
        .path = "/v1/invoices/**",
        .methods = {get_and_post, many_here, 2},
        .upstream = "billing"},
    {.at = HERE,
        .name = "read",
        .from = {from_both, many_here, 2},
        .path = "/v1/invoices/**",
        .methods = {only_method, many_here, 1},
        .upstream = "other"},
    {.at = HERE,
        .name = "one-segment",
        .from = {from_both, many_here, 2},
        .host = "*.wild.internal",
        .path = "/v2/*/item-*",
        .upstream = "billing"},
    {.at = HERE,
        .name = "health",
        .from = {from_anonymous, many_here, 1},
        .path = "/healthz",
        .upstream = "other"},
    {.at = HERE,
        .name = "shadowed",
        .from = {from_billing, many_here, 1},
        .path = "/v1/invoices/**",
        .methods = {only_method, many_here, 1},
        .upstream = "billing"},
};

struct rules {
    struct sp_config config;
    struct sp_policy *policy;
    struct sp_diags diags;
    struct sp_standing *who[8]; /* by bits of 1 << BILLING, 1 << AUDITORS; 0 is somebody unknown */
    struct sp_standing *anonymous;
};

static int make_rules(void **state)
{
    static struct rules r;
    memset(&r, 0, sizeof r);
    r.config = config_of(three_callers, CALLERS, five_rules, SP_COUNTOF(five_rules));
    r.policy = sp_policy_new(&r.config, NULL, &r.diags);
    assert_non_null(r.policy);
    assert_int_equal(r.diags.count, 0);
    struct names all = {.uris = {TEXT("spiffe://corp.example/billing")}, .emails = {TEXT("a@audit.example")}};
    for (size_t bits = 0; bits < 4; bits++) {
        struct names names = all;
        if (!(bits & 1U << BILLING))
            names.uris[0].ptr = NULL;
        if (!(bits & 1U << AUDITORS))
            names.emails[0].ptr = NULL;
        struct sp_identity id = identity_of(&names);
        r.who[bits] = stand(r.policy, &id);
    }
    r.anonymous = stand(r.policy, NULL);
    *state = &r;
    return 0;
}

static int free_rules(void **state)
{
    struct rules *r = *state;
    for (size_t i = 0; i < 4; i++)
        sp_standing_free(r->who[i]);
    sp_standing_free(r->anonymous);
    sp_policy_free(r->policy);
    sp_diags_free(&r->diags);
    return 0;
}

static void test_the_first_rule_that_matches_decides_and_none_is_a_refusal(void **state)
{
    struct rules *r = *state;
    enum { NOBODY = 0, B = 1, A = 2, BOTH = 3, ANON = 8 };
    const struct {
        unsigned who;
        const char *host, *path, *method, *rule, *caller;
    } cases[] = {
        {B, "billing.internal", "/v1/invoices/7", "POST", "write", "billing"},
        {B, "billing.internal", "/v1/invoices/7", "GET", "write", "billing"},
        {B, "other.internal", "/v1/invoices/7", "GET", "read", "billing"},
        {B, "other.internal", "/v1/invoices/7", "POST", NULL, "billing"},
        {B, "billing.internal.evil", "/v1/invoices/7", "POST", NULL, "billing"},
        {B, "x.billing.internal", "/v1/invoices/7", "POST", NULL, "billing"},
        {B, "", "/v1/invoices/7", "POST", NULL, "billing"},
        {B, "billing.internal", "/v1/invoices/7", "PUT", NULL, "billing"},
        {B, "billing.internal", "/v1/invoices/7", "post", NULL, "billing"},
        {B, "billing.internal", "/v1/invoices/7", "HEAD", NULL, "billing"},
        {B, "billing.internal", "/v1/invoices/7", "GETS", NULL, "billing"},
        {B, "billing.internal", "/v1/invoices/7", "GE", NULL, "billing"},
        {B, "billing.internal", "/v1/invoices/7", "", NULL, "billing"},
        {B, "billing.internal", "/v1/invoices", "GET", NULL, "billing"},
        {B, "billing.internal", "/v1/invoices/", "GET", "write", "billing"},
        {B, "billing.internal", "/v1/invoicesX/7", "GET", NULL, "billing"},
        {B, "billing.internal", "/V1/invoices/7", "GET", NULL, "billing"},
        {B, "billing.internal", "/x/v1/invoices/7", "GET", NULL, "billing"},
        {B, "billing.internal", "*", "GET", NULL, "billing"},
        {B, "billing.internal", "/healthz", "GET", NULL, "billing"},
        {A, "billing.internal", "/v1/invoices/7", "GET", "read", "auditors"},
        {A, "billing.internal", "/v1/invoices/7", "POST", NULL, "auditors"},
        {BOTH, "other.internal", "/v1/invoices/7", "GET", "read", "auditors"},
        {BOTH, "billing.internal", "/v1/invoices/7", "GET", "write", "billing"},
        {BOTH, "other.internal", "/none", "GET", NULL, "billing"},
        {A, "a.wild.internal", "/v2/x/item-7", "ANYTHING", "one-segment", "auditors"},
        {A, "a.b.wild.internal", "/v2/x/item-7", "GET", NULL, "auditors"},
        {A, "wild.internal", "/v2/x/item-7", "GET", NULL, "auditors"},
        {A, "a.wild.internal", "/v2/x/y/item-7", "GET", NULL, "auditors"},
        {A, "a.wild.internal", "/v2/x/item-7/8", "GET", NULL, "auditors"},
        {NOBODY, "billing.internal", "/v1/invoices/7", "GET", NULL, NULL},
        {NOBODY, "billing.internal", "/healthz", "GET", NULL, NULL},
        {ANON, "billing.internal", "/healthz", "GET", "health", "anonymous"},
        {ANON, "billing.internal", "/v1/invoices/7", "GET", NULL, "anonymous"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_policy_request request = {.host = sp_slice_of(cases[i].host),
            .path = sp_slice_of(cases[i].path),
            .method = sp_slice_of(cases[i].method)};
        struct sp_decision d;
        memset(&d, 0xFF, sizeof d);
        sp_policy_decide(cases[i].who == ANON ? r->anonymous : r->who[cases[i].who], &request, &d);
        const char *rule = d.rule_name != NULL ? d.rule_name : "none",
                   *caller = d.caller_name != NULL ? d.caller_name : "nobody";
        if (d.allowed != (cases[i].rule != NULL) ||
            strcmp(rule, cases[i].rule != NULL ? cases[i].rule : "none") != 0 ||
            strcmp(caller, cases[i].caller != NULL ? cases[i].caller : "nobody") != 0)
            fail_msg("case %zu (%s %s%s): rule %s, caller %s", i, cases[i].method, cases[i].host,
                cases[i].path, rule, caller);
    }
}

static void test_a_decision_names_the_upstream_of_its_rule(void **state)
{
    struct rules *r = *state;
    struct sp_policy_request request = {
        .host = TEXT("billing.internal"), .path = TEXT("/v1/invoices/7"), .method = TEXT("POST")};
    struct sp_decision d;
    sp_policy_decide(r->who[1], &request, &d);
    assert_int_equal(d.upstream, 1);
    request.host = TEXT("h");
    request.method = TEXT("GET");
    sp_policy_decide(r->who[1], &request, &d);
    assert_int_equal(d.upstream, 0);
}

static void test_a_nul_in_host_path_or_method_never_ends_the_comparison(void **state)
{
    struct rules *r = *state;
    const struct sp_policy_request requests[] = {
        {.host = TEXT("billing.internal\0.evil"), .path = TEXT("/v1/invoices/7"), .method = TEXT("POST")},
        {.host = TEXT("billing.internal"), .path = TEXT("/v1/invoices\0/7"), .method = TEXT("POST")},
        {.host = TEXT("billing.internal"), .path = TEXT("/v1/invoices/7"), .method = TEXT("POST\0")},
    };
    for (size_t i = 0; i < SP_COUNTOF(requests); i++) {
        struct sp_decision d;
        sp_policy_decide(r->who[1], &requests[i], &d);
        assert_false(d.allowed);
    }
}

static void test_more_than_a_word_of_callers_keep_their_own_bits(void **state)
{
    (void)state;
    enum { MANY = 130 };
    static char names[MANY][16], uris[MANY][16];
    static struct sp_config_caller_entry entries[MANY];
    static struct sp_config_caller callers[MANY];
    static struct sp_config_rule rules[MANY];
    static const char *from[MANY];
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "c%zu", i);
        (void)snprintf(uris[i], sizeof uris[i], "urn:%zu", i);
        entries[i] = (struct sp_config_caller_entry){.at = HERE, .uri = uris[i]};
        callers[i] =
            (struct sp_config_caller){.at = HERE, .name = names[i], .entries = &entries[i], .entry_count = 1};
        from[i] = names[i];
        rules[i] = (struct sp_config_rule){
            .at = HERE, .name = names[i], .from = {&from[i], &here, 1}, .upstream = "billing"};
    }
    struct sp_config config = config_of(callers, MANY, rules, MANY);
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(&config, NULL, &diags);
    assert_non_null(p);
    for (size_t i = 0; i < MANY; i++) {
        struct names one = {.uris = {sp_slice_of(uris[i])}};
        struct sp_identity id = identity_of(&one);
        struct sp_standing *set = stand(p, &id);
        struct sp_policy_request request = {.host = TEXT("h"), .path = TEXT("/"), .method = TEXT("GET")};
        struct sp_decision d;
        sp_policy_decide(set, &request, &d);
        assert_true(d.allowed);
        assert_string_equal(d.rule_name, names[i]);
        assert_string_equal(d.caller_name, names[i]);
        sp_standing_free(set);
    }
    sp_policy_free(p);
    sp_diags_free(&diags);
}

static void test_a_policy_of_nothing_refuses_everybody(void **state)
{
    (void)state;
    struct sp_config config = config_of(NULL, 0, NULL, 0);
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(&config, NULL, &diags);
    assert_non_null(p);
    struct names names = {.dns = {TEXT("a")}};
    struct sp_identity id = identity_of(&names);
    const struct sp_identity *who[] = {&id, NULL};
    for (size_t i = 0; i < SP_COUNTOF(who); i++) {
        struct sp_standing *set = stand(p, who[i]);
        struct sp_policy_request request = {.host = TEXT("h"), .path = TEXT("/"), .method = TEXT("GET")};
        struct sp_decision d;
        sp_policy_decide(set, &request, &d);
        assert_false(d.allowed);
        assert_null(d.rule_name);
        assert_null(d.caller_name);
        sp_standing_free(set);
    }
    sp_policy_free(p);
    sp_diags_free(&diags);
}

/* ---- what is told of a policy that cannot be ---- */

static void test_a_rule_that_cannot_be_is_told_with_its_place(void **state)
{
    (void)state;
    static const char *const nobody[] = {"nobody"};
    static const char *const two_words[] = {"GET POST"};
    static const char *const no_method[] = {""};
    struct sp_config_rule rules[9];
    for (size_t i = 0; i < SP_COUNTOF(rules); i++)
        rules[i] = rule_for_it();
    rules[0].host = "a.*.b";
    rules[1].host = "";
    rules[2].path = "v1";
    rules[3].path = "/a/**/b";
    rules[4].from.items = nobody;
    rules[5].from.count = 0;
    rules[6].upstream = "nowhere";
    rules[7].methods = (struct sp_strings){two_words, &here, 1};
    rules[8].methods = (struct sp_strings){no_method, &here, 1};
    static const char *const needles[] = {"rules[0].host", "rules[0].host", "rules[0].path", "rules[0].path",
        "rules[0].from: \"nobody\"", "at least one caller", "rules[0].upstream: \"nowhere\"",
        "rules[0].methods", "rules[0].methods"};
    struct sp_config_caller_entry entry = {.at = here, .dns = "x"};
    struct sp_config_caller caller = {.at = here, .name = "it", .entries = &entry, .entry_count = 1};
    for (size_t i = 0; i < SP_COUNTOF(rules); i++) {
        struct sp_config config = config_of(&caller, 1, &rules[i], 1);
        expect_refused(&config, 1, needles[i]);
    }
}

static void test_all_that_is_wrong_is_told_at_once(void **state)
{
    (void)state;
    const struct sp_config_caller_entry entries[] = {
        {.at = here, .uri = "x", .dns = "a..b", .email = "e"}, {.at = here}};
    struct sp_config_caller caller = {.at = here, .name = "it", .entries = entries, .entry_count = 2};
    struct sp_config_rule rule = rule_for_it();
    rule.path = "no-slash";
    rule.upstream = "nowhere";
    struct sp_config config = config_of(&caller, 1, &rule, 1);
    expect_refused(&config, 6, "callers.it[0].uri");
}

static void test_a_method_in_lower_case_is_a_warning(void **state)
{
    (void)state;
    static const char *const lower[] = {"get", "purge", "GET"};
    struct sp_config_caller_entry entry = {.at = here, .dns = "x"};
    struct sp_config_caller caller = {.at = here, .name = "it", .entries = &entry, .entry_count = 1};
    struct sp_config_rule rule = rule_for_it();
    rule.methods = (struct sp_strings){lower, many_here, 3};
    struct sp_config config = config_of(&caller, 1, &rule, 1);
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(&config, NULL, &diags);
    assert_non_null(p);
    assert_int_equal(diags.warnings, 1);
    assert_non_null(strstr(diags.items[0].text, "\"get\""));
    sp_policy_free(p);
    sp_diags_free(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_the_first_rule_that_matches_decides_and_none_is_a_refusal, make_rules, free_rules),
        cmocka_unit_test_setup_teardown(
            test_a_decision_names_the_upstream_of_its_rule, make_rules, free_rules),
        cmocka_unit_test_setup_teardown(
            test_a_nul_in_host_path_or_method_never_ends_the_comparison, make_rules, free_rules),
        cmocka_unit_test(test_more_than_a_word_of_callers_keep_their_own_bits),
        cmocka_unit_test(test_a_policy_of_nothing_refuses_everybody),
        cmocka_unit_test(test_a_rule_that_cannot_be_is_told_with_its_place),
        cmocka_unit_test(test_all_that_is_wrong_is_told_at_once),
        cmocka_unit_test(test_a_method_in_lower_case_is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
