/* What a rule can ask beside callers, host, path and method; what denying, reporting and requiring come to; and what is
 * told of a rule that cannot be. The plain rules are in policy.c, everything at random in policy_random.c. */
#include "policy_fixture.h"

static const struct sp_pos at[] = {HERE, HERE, HERE, HERE, HERE, HERE};
#define LIST(...)                                                                                            \
    {                                                                                                        \
        (const char *const[]){__VA_ARGS__}, at, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)  \
    }

static const struct sp_config_caller_entry it_entry = {.at = HERE, .dns = "it"};
static const struct sp_config_caller_entry intern_entry = {.at = HERE, .email = "*@interns"};
static const struct sp_config_caller_entry anonymous_entry = {.at = HERE, .any = SP_CALLER_ANY_ANONYMOUS};
static const struct sp_config_caller callers[] = {
    {.at = HERE, .name = "it", .entries = &it_entry, .entry_count = 1},
    {.at = HERE, .name = "interns", .entries = &intern_entry, .entry_count = 1},
    {.at = HERE, .name = "anonymous", .entries = &anonymous_entry, .entry_count = 1},
};
static const struct sp_config_listener listeners[] = {{.name = "internal"}, {.name = "public"}};

static struct sp_config config_with(const struct sp_config_rule *rules, size_t count)
{
    struct sp_config config = config_of(callers, SP_COUNTOF(callers), rules, count);
    config.listeners = listeners;
    config.listener_count = SP_COUNTOF(listeners);
    return config;
}

/* Somebody who asks for something. */
struct asker {
    bool anonymous, is_intern;
    const char *listener; /* NULL: "internal" */
    const char *source;   /* NULL: none */
    const char *path;     /* NULL: "/" */
    struct sp_header headers[3];
};

static struct sp_decision decide_as(const struct sp_policy *p, const struct asker *who)
{
    struct names names = {.dns = {TEXT("it")}};
    struct sp_addr source = {0};
    struct sp_err err = {0};
    struct sp_decision d;
    if (who->is_intern)
        names.emails[0] = TEXT("ann@interns");
    struct sp_identity id = identity_of(&names);
    id.client_cert = TEXT(":AA==:");
    id.key_type = SP_KEY_RSA;
    id.key_bits = 2048;
    if (who->source != NULL)
        assert_int_equal(sp_addr_parse(sp_slice_of(who->source), &source, &err), SP_OK);
    const struct sp_connection c = {.identity = who->anonymous ? NULL : &id,
        .listener = who->listener != NULL ? who->listener : "internal",
        .source = who->source != NULL ? &source : NULL};
    struct sp_policy_request request = {.host = TEXT("h"),
        .path = sp_slice_of(who->path != NULL ? who->path : "/"),
        .method = TEXT("GET"),
        .headers = who->headers};
    while (request.header_count < 3 && who->headers[request.header_count].name.ptr != NULL)
        request.header_count++;
    struct sp_standing *s = sp_policy_stand(p, &c);
    assert_non_null(s);
    sp_policy_decide(s, &request, &d);
    d.detail = NULL; /* it ends with the standing */
    sp_standing_free(s);
    return d;
}

static struct sp_policy *policy_of(struct sp_config *config)
{
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(config, NULL, &diags);
    if (p == NULL)
        fail_msg("%s", diags.items[0].text);
    sp_diags_free(&diags);
    return p;
}

/* ---- one condition ---- */

static void test_a_path_is_matched_however_it_is_spelled(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {{"/users:delete", "/users%3adelete", true}, {"/users%3Adelete", "/users:delete", true},
        {"/%C3%A4/**", "/%c3%a4/x", true}, {"/a%21*", "/a!b", true}, {"/%2A", "/*", true},
        {"/%2A", "/a", false}, {"/a*", "/a%2a", true}, {"/a%3Bb", "/a%3bb", true}, {"/:", "/%3B", false}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_config_rule rule = rule_for_it();
        rule.path = cases[i].pattern;
        struct sp_config config = config_with(&rule, 1);
        struct sp_policy *p = policy_of(&config);
        struct sp_decision d = decide_as(p, &(struct asker){.path = cases[i].path});
        if (d.allowed != cases[i].matches)
            fail_msg("%s %s", cases[i].pattern, cases[i].path);
        sp_policy_free(p);
    }
}

static void test_each_condition_holds_for_what_it_names_and_nothing_else(void **state)
{
    (void)state;
    static const struct sp_config_header_match tenant = {HERE, "X-Tenant", "acme"};
    static const struct sp_config_header_match debug = {HERE, "x-debug", NULL};
    static const struct sp_config_header_match both[] = {{HERE, "X-Tenant", "acme"}, {HERE, "X-Debug", NULL}};
    const struct sp_config_rule base = rule_for_it();
    struct sp_config_rule rules[8];
    for (size_t i = 0; i < SP_COUNTOF(rules); i++)
        rules[i] = base;
    enum { ON_INTERNAL, ON_BOTH, FROM_NET, NOT_INTERNS, TENANT, DEBUG, BOTH, FROM_V6 };
    rules[ON_INTERNAL].listeners = (struct sp_strings)LIST("internal");
    rules[ON_BOTH].listeners = (struct sp_strings)LIST("public", "internal");
    rules[FROM_NET].sources = (struct sp_strings)LIST("10.0.0.0/8", "192.0.2.1");
    rules[FROM_V6].sources = (struct sp_strings)LIST("2001:db8::/32");
    rules[NOT_INTERNS].not_from = (struct sp_strings)LIST("interns");
    rules[TENANT].headers = &tenant;
    rules[TENANT].header_count = 1;
    rules[DEBUG].headers = &debug;
    rules[DEBUG].header_count = 1;
    rules[BOTH].headers = both;
    rules[BOTH].header_count = 2;
#define FIELD(name, value)                                                                                   \
    {                                                                                                        \
        TEXT(name), TEXT(value), SP_HDR_OTHER                                                                \
    }
    const struct {
        size_t rule;
        struct asker who;
        bool allowed;
    } cases[] = {
        {ON_INTERNAL, {.listener = "internal"}, true},
        {ON_INTERNAL, {.listener = "public"}, false},
        {ON_INTERNAL, {.listener = "gone"}, false},
        {ON_INTERNAL, {.listener = "internal2"}, false},
        {ON_BOTH, {.listener = "public"}, true},
        {ON_BOTH, {.listener = "gone"}, false},
        {FROM_NET, {.source = "10.255.1.2:5"}, true},
        {FROM_NET, {.source = "192.0.2.1:5"}, true},
        {FROM_NET, {.source = "192.0.2.2:5"}, false},
        {FROM_NET, {.source = "[::ffff:10.1.1.1]:5"}, true},
        {FROM_NET, {.source = "[2001:db8::1]:5"}, false},
        {FROM_NET, {.source = "unix:/run/x"}, false},
        {FROM_NET, {.source = NULL}, false},
        {FROM_V6, {.source = "[2001:db8::1]:5"}, true},
        {FROM_V6, {.source = "10.1.1.1:5"}, false},
        {NOT_INTERNS, {.is_intern = false}, true},
        {NOT_INTERNS, {.is_intern = true}, false},
        {NOT_INTERNS, {.anonymous = true}, false},
        {TENANT, {.headers = {FIELD("X-Tenant", "acme")}}, true},
        {TENANT, {.headers = {FIELD("x-tENANT", "acme")}}, true},
        {TENANT, {.headers = {FIELD("X-Tenant", "Acme")}}, false},
        {TENANT, {.headers = {FIELD("X-Tenant", "acme2")}}, false},
        {TENANT, {.headers = {FIELD("X-Tenant", "acm")}}, false},
        {TENANT, {.headers = {FIELD("X-Tenant", "acme, umbrella")}}, false},
        {TENANT, {.headers = {FIELD("X-Tenant", "acme\0x")}}, false},
        {TENANT, {.headers = {FIELD("X-Tenant", "")}}, false},
        {TENANT, {.headers = {FIELD("X-Tenants", "acme")}}, false},
        {TENANT, {.path = "/"}, false},
        {DEBUG, {.headers = {FIELD("X-Debug", "")}}, true},
        {DEBUG, {.headers = {FIELD("X-Other", "1"), FIELD("X-Debug", "anything")}}, true},
        {DEBUG, {.headers = {FIELD("X-Debug2", "1")}}, false},
        {BOTH, {.headers = {FIELD("X-Debug", "1"), FIELD("X-Tenant", "acme")}}, true},
        {BOTH, {.headers = {FIELD("X-Tenant", "acme")}}, false},
        {BOTH, {.headers = {FIELD("X-Debug", "1"), FIELD("X-Tenant", "other")}}, false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_config config = config_with(&rules[cases[i].rule], 1);
        struct sp_policy *p = policy_of(&config);
        if (decide_as(p, &cases[i].who).allowed != cases[i].allowed)
            fail_msg("case %zu: not %d", i, cases[i].allowed);
        sp_policy_free(p);
    }
}

static void test_a_field_that_any_rule_looks_at_must_be_single(void **state)
{
    (void)state;
    static const struct sp_config_header_match tenant = {HERE, "X-Tenant", "acme"};
    struct sp_config_rule rules[] = {rule_for_it(), rule_for_it()};
    rules[1].headers = &tenant; /* behind one that takes everybody */
    rules[1].header_count = 1;
    struct sp_config config = config_with(rules, 2);
    struct sp_policy *p = policy_of(&config);
    const struct asker twice = {.headers = {FIELD("X-Tenant", "acme"), FIELD("x-tenant", "acme")}};
    const struct asker others = {.headers = {FIELD("X-Other", "1"), FIELD("X-Other", "2")}};
    struct sp_decision d = decide_as(p, &twice);
    assert_false(d.allowed);
    assert_int_equal(d.reason, SP_REFUSAL_ambiguous_header);
    assert_int_equal(d.status, 400);
    assert_true(d.rule == SP_NONE);
    assert_true(decide_as(p, &others).allowed);
    assert_true(sp_policy_looks_at(p, TEXT("x-TENANT")));
    assert_false(sp_policy_looks_at(p, TEXT("X-Tenan")));
    assert_false(sp_policy_looks_at(p, TEXT("")));
    sp_policy_free(p);
}

/* ---- outcomes ---- */

static void test_a_rule_that_denies_answers_with_its_status_and_ends_the_search(void **state)
{
    (void)state;
    struct sp_config_rule rules[] = {rule_for_it(), rule_for_it()};
    rules[0].upstream = NULL;
    rules[0].deny_status = 451;
    rules[0].path = "/secret/**";
    rules[0].from.count = 0; /* everybody, anonymous too */
    struct sp_config config = config_with(rules, 2);
    struct sp_policy *p = policy_of(&config);
    const struct asker known = {.path = "/secret/x"}, unknown = {.anonymous = true, .path = "/secret/x"},
                       elsewhere = {.path = "/x"};
    struct sp_decision d = decide_as(p, &known);
    assert_false(d.allowed);
    assert_int_equal(d.reason, SP_REFUSAL_denied);
    assert_int_equal(d.status, 451);
    assert_true(d.rule == 0 && d.upstream == SP_NONE);
    assert_string_equal(d.caller_name, "it");
    d = decide_as(p, &unknown);
    assert_int_equal(d.reason, SP_REFUSAL_denied);
    assert_string_equal(d.caller_name, "anonymous");
    assert_true(decide_as(p, &elsewhere).allowed);
    sp_policy_free(p);
}

static void test_a_rule_in_report_mode_decides_nothing_and_is_remembered(void **state)
{
    (void)state;
    struct sp_config_rule rules[8];
    for (size_t i = 0; i < SP_COUNTOF(rules); i++) {
        rules[i] = rule_for_it();
        rules[i].mode = SP_RULE_REPORT;
    }
    rules[1].path = "/other";
    rules[2].upstream = NULL;
    rules[2].deny_status = 403;
    rules[6].mode = SP_RULE_ENFORCE;
    rules[6].path = "/x";
    struct sp_config config = config_with(rules, SP_COUNTOF(rules));
    struct sp_policy *p = policy_of(&config);
    const struct asker x = {.path = "/x"}, y = {.path = "/y"};
    struct sp_decision d = decide_as(p, &x);
    assert_true(d.allowed);
    assert_true(d.rule == 6);
    assert_true(d.report_count == SP_REPORTS_MAX); /* 0, 2, 3, 4, and not 5 for want of room */
    static const size_t reports[] = {0, 2, 3, 4};
    for (size_t i = 0; i < SP_COUNTOF(reports); i++)
        assert_true(d.reports[i] == reports[i]);
    d = decide_as(p, &y);
    assert_false(d.allowed);
    assert_int_equal(d.reason, SP_REFUSAL_no_rule);
    assert_int_equal(d.status, 403);
    assert_true(d.report_count == SP_REPORTS_MAX);
    sp_policy_free(p);
}

static void test_who_does_not_meet_what_its_caller_requires_is_refused_whatever_it_asks_for(void **state)
{
    (void)state;
    const struct sp_config_requirements ec_only = {.at = HERE, .key_types = LIST("ec")},
                                        long_rsa = {.at = HERE, .min_rsa_bits = 4096};
    struct sp_config_caller strict[] = {callers[0], callers[1], callers[2]};
    struct sp_config_rule rule = rule_for_it();
    struct sp_config config = config_with(&rule, 1);
    config.callers = strict;
    strict[1].require = &ec_only;
    struct sp_policy *p = policy_of(&config);
    const struct asker plain = {.path = "/"}, intern = {.is_intern = true}, nobody = {.anonymous = true};
    assert_true(decide_as(p, &plain).allowed);
    assert_int_equal(decide_as(p, &intern).reason, SP_REFUSAL_key_not_allowed);
    assert_int_equal(decide_as(p, &intern).status, 403);
    assert_true(decide_as(p, &intern).rule == SP_NONE);
    assert_int_equal(decide_as(p, &nobody).reason, SP_REFUSAL_no_rule);
    assert_true(sp_policy_has_requirements(p));
    sp_policy_free(p);

    /* the first caller in the file's order says why */
    strict[0].require = &long_rsa;
    p = policy_of(&config);
    struct names names = {.dns = {TEXT("it")}, .emails = {TEXT("a@interns")}};
    struct sp_identity id = identity_of(&names);
    id.client_cert = TEXT(":AA==:");
    id.key_type = SP_KEY_RSA;
    id.key_bits = 2048;
    struct sp_standing *s = stand(p, &id);
    const char *detail = NULL;
    assert_int_not_equal(sp_standing_unfit(s, &detail), SP_REFUSAL_none);
    assert_non_null(strstr(detail, "caller it: "));
    sp_standing_free(s);
    sp_policy_free(p);
}

static void test_a_trusted_proxy_is_the_first_whose_caller_and_source_hold(void **state)
{
    (void)state;
    const struct sp_config_trusted_proxy proxies[] = {
        {.at = HERE, .from = LIST("interns")},
        {.at = HERE, .from = LIST("anonymous", "it"), .sources = LIST("10.0.0.0/8")},
        {.at = HERE, .from = LIST("it")},
    };
    static const struct {
        const char *source;
        size_t proxy;
    } cases[] = {{"10.1.1.1:1", 1}, {"11.1.1.1:1", 2}, {"unix:/x", 2}};
    struct sp_config config = config_with(NULL, 0);
    config.trusted_proxies = proxies;
    config.trusted_proxy_count = SP_COUNTOF(proxies);
    struct sp_policy *p = policy_of(&config);
    struct names names = {.dns = {TEXT("it")}}, other = {.dns = {TEXT("other")}};
    struct sp_identity id = identity_of(&names), stranger = identity_of(&other);
    struct sp_addr source;
    struct sp_err err = {0};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        assert_int_equal(sp_addr_parse(sp_slice_of(cases[i].source), &source, &err), SP_OK);
        const struct sp_connection c = {.identity = &id, .listener = "internal", .source = &source};
        struct sp_standing *s = sp_policy_stand(p, &c);
        assert_non_null(s);
        assert_true(sp_standing_proxy(s) == cases[i].proxy);
        sp_standing_free(s);
    }
    struct sp_standing *s = stand(p, &stranger);
    assert_true(sp_standing_proxy(s) == SP_NONE);
    sp_standing_free(s);
    sp_policy_free(p);
}

static void test_more_patterns_than_the_index_hands_out_at_once_change_nothing(void **state)
{
    (void)state;
    enum { PATTERNS = 45 };
    static char paths[PATTERNS][PATTERNS + 4];
    struct sp_config_rule rules[PATTERNS];
    char path[PATTERNS + 4] = "/";
    memset(path + 1, 'a', PATTERNS + 1);
    for (size_t i = 0; i < PATTERNS; i++) { /* "/a*", "/aa*", ...: each is a list of its own, and all match */
        paths[i][0] = '/';
        memset(paths[i] + 1, 'a', i + 1);
        paths[i][i + 2] = '*';
        rules[i] = rule_for_it();
        rules[i].path = paths[i];
    }
    for (size_t enforced = 0; enforced < PATTERNS; enforced++) {
        for (size_t i = 0; i < PATTERNS; i++)
            rules[i].mode = i == enforced ? SP_RULE_ENFORCE : SP_RULE_REPORT;
        struct sp_config config = config_with(rules, PATTERNS);
        struct sp_policy *p = policy_of(&config);
        const struct asker who = {.path = path};
        struct sp_decision d = decide_as(p, &who);
        assert_true(d.rule == enforced);
        assert_true(d.report_count == (enforced < SP_REPORTS_MAX ? enforced : SP_REPORTS_MAX));
        sp_policy_free(p);
    }
}

/* ---- what is told of a rule that cannot be ---- */

static void test_a_condition_that_cannot_be_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct sp_config_header_match fields[] = {{HERE, "X Y", NULL}, {HERE, "", NULL},
        {HERE, "X_Y", NULL}, {HERE, "X.Y", NULL}, {HERE, "Host", NULL}, {HERE, "Connection", NULL},
        {HERE, "transfer-encoding", NULL}, {HERE, "Content-Length", "0"}, {HERE, "Upgrade", NULL},
        {HERE, "Early-Data", NULL}, {HERE, "X-Forwarded-For", "10.0.0.1"}, {HERE, "Client-Cert", NULL},
        {HERE, "X-Team", NULL}, {HERE, "X-A", " a"}, {HERE, "X-A", "a\t"}, {HERE, "X-A", "a\nb"}};
    static const char *const needles[] = {"name of a header", "name of a header", "'_' or '.'", "'_' or '.'",
        "\"host\"", "belongs to the connection", "belongs to the connection", "belongs to the connection",
        "belongs to the connection", "belongs to the connection", "never believed", "never believed",
        "upstreams are told", "no blanks", "no blanks", "control bytes"};
    static const struct sp_config_header team = {.at = HERE, .name = "x-team", .value = "a"};
    static const struct sp_config_upstream told[] = {
        {.name = "billing", .headers = &team, .header_count = 1}};
    for (size_t i = 0; i < SP_COUNTOF(fields); i++) {
        struct sp_config_rule rule = rule_for_it();
        rule.headers = &fields[i];
        rule.header_count = 1;
        struct sp_config config = config_with(&rule, 1);
        config.upstreams = told;
        config.upstream_count = 1;
        expect_refused(&config, 1, "rules[0].headers");
        expect_refused(&config, 1, needles[i]);
    }
}

static void test_a_rule_that_contradicts_itself_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct sp_config_header_match two[] = {{HERE, "X-A", "1"}, {HERE, "x-a", "2"}};
    static const struct sp_config_requirements require = {.at = HERE, .min_ec_bits = 256};
    struct sp_config_rule rules[7];
    for (size_t i = 0; i < SP_COUNTOF(rules); i++)
        rules[i] = rule_for_it();
    rules[0].headers = two;
    rules[0].header_count = 2;
    rules[1].not_from = rules[1].from;
    rules[2].listeners = (struct sp_strings)LIST("nowhere");
    rules[3].sources = (struct sp_strings)LIST("10.0.0.1/8");
    rules[4].not_from = (struct sp_strings)LIST("nobody");
    rules[5].deny_status = 403; /* and an upstream */
    rules[6].upstream = NULL;   /* and no deny */
    static const char *const needles[] = {"rules[0].headers: \"x-a\": expected one value",
        "rules[0].not_from: excludes every", "rules[0].listener: \"nowhere\"",
        "rules[0].source: \"10.0.0.1/8\"", "rules[0].not_from: \"nobody\"", "rules[0].upstream",
        "rules[0].upstream"};
    for (size_t i = 0; i < SP_COUNTOF(rules); i++) {
        struct sp_config config = config_with(&rules[i], 1);
        expect_refused(&config, 1, needles[i]);
    }
    struct sp_config_caller shy[] = {callers[0], callers[1], callers[2]};
    struct sp_config_rule rule = rule_for_it();
    struct sp_config config = config_with(&rule, 1);
    config.callers = shy;
    shy[2].require = &require;
    expect_refused(&config, 1, "callers.anonymous.require");
    const struct sp_config_trusted_proxy strangers = {.at = HERE, .from = LIST("nobody")};
    config.callers = callers;
    config.trusted_proxies = &strangers;
    config.trusted_proxy_count = 1;
    expect_refused(&config, 1, "trusted_proxies[0].from: \"nobody\"");
}

static void test_more_header_fields_than_can_be_looked_at_are_an_error(void **state)
{
    (void)state;
    enum { FIELDS = 65 };
    static char names[FIELDS][8];
    static struct sp_config_header_match fields[FIELDS];
    for (size_t i = 0; i < FIELDS; i++) {
        (void)snprintf(names[i], sizeof names[i], "X-%zu", i % 1000);
        fields[i] = (struct sp_config_header_match){HERE, names[i], NULL};
    }
    struct sp_config_rule rule = rule_for_it();
    rule.headers = fields;
    rule.header_count = FIELDS;
    struct sp_config config = config_with(&rule, 1);
    expect_refused(&config, 1, "64 different");
    rule.header_count = FIELDS - 1;
    struct sp_policy *p = policy_of(&config);
    assert_true(sp_policy_looks_at(p, TEXT("x-63")));
    sp_policy_free(p);
}

static void test_the_policy_before_is_taken_again_when_nothing_changed(void **state)
{
    (void)state;
    struct sp_config_rule rule = rule_for_it();
    struct sp_config config = config_with(&rule, 1), other = config_with(&rule, 1);
    struct sp_policy *first = policy_of(&config);
    struct sp_diags diags = {0};
    struct sp_policy *again = sp_policy_new(&config, first, &diags);
    struct sp_policy *changed = sp_policy_new(&other, first, &diags);
    assert_ptr_equal(first, again);
    assert_non_null(changed);
    assert_ptr_not_equal(first, changed);
    sp_policy_free(first);
    sp_policy_free(again);
    sp_policy_free(changed);
    sp_diags_free(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_condition_holds_for_what_it_names_and_nothing_else),
        cmocka_unit_test(test_a_path_is_matched_however_it_is_spelled),
        cmocka_unit_test(test_a_field_that_any_rule_looks_at_must_be_single),
        cmocka_unit_test(test_a_rule_that_denies_answers_with_its_status_and_ends_the_search),
        cmocka_unit_test(test_a_rule_in_report_mode_decides_nothing_and_is_remembered),
        cmocka_unit_test(test_who_does_not_meet_what_its_caller_requires_is_refused_whatever_it_asks_for),
        cmocka_unit_test(test_a_trusted_proxy_is_the_first_whose_caller_and_source_hold),
        cmocka_unit_test(test_more_patterns_than_the_index_hands_out_at_once_change_nothing),
        cmocka_unit_test(test_a_condition_that_cannot_be_is_told_with_its_place),
        cmocka_unit_test(test_a_rule_that_contradicts_itself_is_told_with_its_place),
        cmocka_unit_test(test_more_header_fields_than_can_be_looked_at_are_an_error),
        cmocka_unit_test(test_the_policy_before_is_taken_again_when_nothing_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
