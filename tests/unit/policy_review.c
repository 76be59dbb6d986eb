/* What `check` says of a policy that is usable and probably not meant, and what `explain` says of a decision. */
#include "policy_fixture.h"
#include "sallyport/policy/explain.h"

static const struct sp_pos at[] = {HERE, HERE, HERE, HERE};
#define LIST(...)                                                                                            \
    ((struct sp_strings){(const char *const[]){__VA_ARGS__}, at,                                             \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)})

static const struct sp_config_caller_entry a_entry = {.at = HERE, .dns = "a"};
static const struct sp_config_caller_entry b_entry = {.at = HERE, .dns = "b"};
static const struct sp_config_caller_entry both_entries[] = {
    {.at = HERE, .caller = "a", .caller_at = HERE}, {.at = HERE, .caller = "b", .caller_at = HERE}};
static const struct sp_config_caller_entry narrowed_entry = {
    .at = HERE, .caller = "a", .caller_at = HERE, .uri = "urn:x"};
static const struct sp_config_caller_entry all_entry = {.at = HERE, .any = SP_CALLER_ANY_AUTHENTICATED};
static const struct sp_config_caller_entry anonymous_entry = {.at = HERE, .any = SP_CALLER_ANY_ANONYMOUS};
static const struct sp_config_caller callers[] = {
    {.at = HERE, .name = "a", .entries = &a_entry, .entry_count = 1},
    {.at = HERE, .name = "b", .entries = &b_entry, .entry_count = 1},
    {.at = HERE, .name = "both", .entries = both_entries, .entry_count = 2},
    {.at = HERE, .name = "narrowed", .entries = &narrowed_entry, .entry_count = 1},
    {.at = HERE, .name = "all", .entries = &all_entry, .entry_count = 1},
    {.at = HERE, .name = "anonymous", .entries = &anonymous_entry, .entry_count = 1},
};
static const struct sp_config_listener listeners[] = {
    {.name = "tcp", .address = {.len = sizeof(struct sockaddr_in), .u.in4.sin_family = AF_INET}},
    {.name = "unix", .address = {.len = sizeof(struct sockaddr_un), .u.un.sun_family = AF_UNIX}},
};

static struct sp_config config_with(const struct sp_config_rule *rules, size_t count)
{
    struct sp_config config = config_of(callers, SP_COUNTOF(callers), rules, count);
    config.listeners = listeners;
    config.listener_count = SP_COUNTOF(listeners);
    return config;
}

/* The warnings, one a line. */
static void review(struct sp_config *config, struct sp_buf *out)
{
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(config, NULL, &diags);
    if (p == NULL)
        fail_msg("%s", diags.items[0].text);
    sp_policy_review(p, &diags);
    assert_int_equal(diags.errors, 0);
    for (size_t i = 0; i < diags.count; i++)
        (void)sp_buf_printf(out, "%s\n", diags.items[i].text);
    (void)sp_buf_add_char(out, '\0');
    sp_policy_free(p);
    sp_diags_free(&diags);
}

static struct sp_config_rule rule_of(const char *caller)
{
    static const char *const names[] = {"a", "b", "both", "narrowed", "all", "anonymous"};
    struct sp_config_rule r = rule_for_it();
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        if (strcmp(names[i], caller) == 0)
            r.from = (struct sp_strings){&names[i], at, 1};
    }
    return r;
}

static bool second_is_told(struct sp_config_rule first, struct sp_config_rule second)
{
    struct sp_config_rule rules[] = {first, second};
    struct sp_config config = config_with(rules, 2);
    struct sp_buf text = {0};
    rules[0].name = "first";
    rules[1].name = "second";
    review(&config, &text);
    bool told =
        strstr(text.ptr, "rules[1] \"second\": is never reached: rules[0] \"first\" (line 7)") != NULL;
    sp_buf_free(&text);
    return told;
}

static void test_a_rule_is_never_reached_when_one_before_it_takes_all_that_it_would(void **state)
{
    (void)state;
    const struct {
        const char *first, *second;
        bool told;
    } froms[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"both", "a", true},
        {"a", "both", false},
        {"both", "both", true},
        {"both", "narrowed", false}, /* it is: but its text alone does not say so */
        {"narrowed", "a", false},
        {"all", "a", true},
        {"all", "both", true},
        {"all", "anonymous", false},
        {"anonymous", "all", false},
        {"a", "all", false},
    };
    for (size_t i = 0; i < SP_COUNTOF(froms); i++) {
        if (second_is_told(rule_of(froms[i].first), rule_of(froms[i].second)) != froms[i].told)
            fail_msg("from %s before %s: not %d", froms[i].first, froms[i].second, froms[i].told);
    }
    const struct {
        const char *first, *second;
        bool told;
    } paths[] = {
        {NULL, "/a", true},
        {"/a", NULL, false},
        {"/**", NULL, false}, /* OPTIONS * */
        {"/**", "/a/**", true},
        {"/a/**", "/**", false},
        {"/a/**", "/a/b", true},
        {"/a/**", "/a/", true},
        {"/a/**", "/a", false},
        {"/a/**", "/a/*", true},
        {"/a/*", "/a/**", false},
        {"/a/*", "/a/b", true},
        {"/a/*", "/a/b*", true},
        {"/a/b*", "/a/*", false},
        {"/a/b*", "/a/b*c", true},
        {"/a/*", "/a/b/c", false},
        {"/*/*/**", "/a/b/**", true},
        {"/*/*/**", "/a/**", false},
        {"/a/*", "/a/", false},
        {"/a", "/a", true},
    };
    for (size_t i = 0; i < SP_COUNTOF(paths); i++) {
        struct sp_config_rule first = rule_of("a"), second = rule_of("a");
        first.path = paths[i].first;
        second.path = paths[i].second;
        if (second_is_told(first, second) != paths[i].told)
            fail_msg("path %s before %s: not %d", paths[i].first, paths[i].second, paths[i].told);
    }
    const struct {
        const char *first, *second;
        bool told;
    } hosts[] = {
        {NULL, "a.x", true},
        {"a.x", NULL, false},
        {"*.x", "a.x", true},
        {"*.x", "b.a.x", false},
        {"*.x", "*.x", true},
        {"*.x", "*.a.x", false},
        {"a.x", "A.X", true},
        {"a.x", "*.x", false},
    };
    for (size_t i = 0; i < SP_COUNTOF(hosts); i++) {
        struct sp_config_rule first = rule_of("a"), second = rule_of("a");
        first.host = hosts[i].first;
        second.host = hosts[i].second;
        if (second_is_told(first, second) != hosts[i].told)
            fail_msg("host %s before %s: not %d", hosts[i].first, hosts[i].second, hosts[i].told);
    }
}

static void test_a_rule_that_asks_for_more_covers_nothing_that_asks_for_less(void **state)
{
    (void)state;
    static const struct sp_config_header_match there = {HERE, "X-A", NULL}, equal = {HERE, "x-a", "1"};
    struct sp_config_rule plain = rule_of("a"), more[7];
    for (size_t i = 0; i < SP_COUNTOF(more); i++)
        more[i] = plain;
    more[0].methods = LIST("GET", "POST");
    more[1].listeners = LIST("tcp");
    more[2].sources = LIST("10.0.0.0/8");
    more[3].headers = &there;
    more[3].header_count = 1;
    more[4].headers = &equal;
    more[4].header_count = 1;
    more[5].not_from = LIST("b");
    more[6].mode = SP_RULE_REPORT;
    for (size_t i = 0; i < SP_COUNTOF(more); i++) {
        if (second_is_told(more[i], plain))
            fail_msg("%zu before a plain rule", i);
        if (!second_is_told(plain, more[i]))
            fail_msg("%zu behind a plain rule", i);
        if (i != 6 && !second_is_told(more[i], more[i]))
            fail_msg("%zu behind itself", i);
    }
    assert_true(second_is_told(more[3], more[4])); /* there, before equal */
    assert_false(second_is_told(more[4], more[3]));
    struct sp_config_rule narrow = plain;
    narrow.sources = LIST("10.1.0.0/16", "10.2.3.4");
    assert_true(second_is_told(more[2], narrow));
    assert_false(second_is_told(narrow, more[2]));
    narrow.sources = LIST("10.1.0.0/16", "11.2.3.4");
    assert_false(second_is_told(more[2], narrow));
    narrow = plain;
    narrow.methods = LIST("POST");
    assert_true(second_is_told(more[0], narrow));
    narrow.methods = LIST("POST", "PUT");
    assert_false(second_is_told(more[0], narrow));
    struct sp_config_rule without_b = rule_of("all"), without_both = rule_of("all");
    without_b.not_from = LIST("b");
    without_both.not_from = LIST("both");
    assert_true(second_is_told(without_b, without_both));
    assert_false(second_is_told(without_both, without_b));
    struct sp_config_rule everybody = plain;
    everybody.from.count = 0;
    everybody.upstream = NULL;
    everybody.deny_status = 403;
    assert_true(second_is_told(everybody, rule_of("anonymous")));
    assert_false(second_is_told(rule_of("all"), everybody));
}

static void test_what_can_never_match_or_is_not_used_is_told(void **state)
{
    (void)state;
    struct sp_config_rule rules[4];
    struct sp_buf text = {0};
    for (size_t i = 0; i < SP_COUNTOF(rules); i++) {
        rules[i] = rule_of("a");
        rules[i].path = i % 2 == 0 ? "/x" : "/y";
        rules[i].mode = SP_RULE_REPORT;
    }
    rules[0].not_from = LIST("both");
    rules[1].listeners = LIST("unix");
    rules[1].sources = LIST("10.0.0.0/8");
    rules[2].listeners = LIST("tcp");
    rules[2].sources = LIST("2001:db8::/32");
    rules[3].sources = LIST("10.0.0.0/8");
    struct sp_config config = config_with(rules, SP_COUNTOF(rules));
    review(&config, &text);
    static const char *const needles[] = {"rules[0] \"r\": can never match: whoever is in from",
        "rules[1] \"r\": can never match: no client", "rules[2] \"r\": can never match: no client",
        "rules: all of them only report", "callers.narrowed: nothing uses it",
        "callers.all: nothing uses it"};
    for (size_t i = 0; i < SP_COUNTOF(needles); i++) {
        if (strstr(text.ptr, needles[i]) == NULL)
            fail_msg("%s: not in: %s", needles[i], text.ptr);
    }
    static const char *const others[] = {"rules[3]", "callers.a:", "callers.b:", "callers.both:"};
    for (size_t i = 0; i < SP_COUNTOF(others); i++) {
        if (strstr(text.ptr, others[i]) != NULL)
            fail_msg("%s: in: %s", others[i], text.ptr);
    }
    sp_buf_free(&text);
}

static void test_a_caller_with_limits_or_requirements_or_of_a_proxy_is_used(void **state)
{
    (void)state;
    static const struct sp_config_requirements require = {.at = HERE, .min_ec_bits = 256};
    static const struct sp_config_caller_limits limits = {.at = HERE, .connections = 1, .per = "caller"};
    struct sp_config_caller used[SP_COUNTOF(callers)];
    struct sp_buf text = {0};
    memcpy(used, callers, sizeof used);
    used[0].require = &require;
    used[1].limits = &limits;
    const struct sp_config_trusted_proxy proxy = {.at = HERE, .from = LIST("narrowed")};
    struct sp_config config = config_with(NULL, 0);
    config.callers = used;
    config.trusted_proxies = &proxy;
    config.trusted_proxy_count = 1;
    review(&config, &text);
    assert_string_equal(text.ptr,
        "callers.both: nothing uses it\ncallers.all: nothing uses it\ncallers.anonymous: nothing uses it\n");
    sp_buf_free(&text);
}

/* ---- explain ---- */

static void write_account(void *arg, const struct sp_rule_account *account)
{
    struct sp_buf *out = arg;
    (void)sp_buf_printf(out, "%zu %s%s%s\n", account->rule, account->name, account->matches ? " matches" : "",
        account->decides ? " decides" : "");
    for (size_t i = 0; i < account->miss_count; i++)
        (void)sp_buf_printf(out, "  %s: %s | %s\n", account->misses[i].condition, account->misses[i].wanted,
            account->misses[i].found);
}

static void test_each_condition_that_fails_says_what_it_wanted_and_found(void **state)
{
    (void)state;
    static const struct sp_config_header_match fields[] = {
        {HERE, "X-Tenant", "acme"}, {HERE, "X-Here", NULL}, {HERE, "X-Debug", NULL}};
    struct sp_config_rule rules[5];
    for (size_t i = 0; i < SP_COUNTOF(rules); i++)
        rules[i] = rule_of("a");
    rules[0].name = "far";
    rules[0].from = LIST("b", "anonymous");
    rules[0].not_from = LIST("a", "anonymous");
    rules[0].listeners = LIST("unix");
    rules[0].sources = LIST("10.0.0.0/8", "192.0.2.1");
    rules[0].methods = LIST("GET", "POST");
    rules[0].host = "h.example";
    rules[0].path = "/v1/**";
    rules[0].headers = fields;
    rules[0].header_count = 3;
    rules[1].name = "watching";
    rules[1].mode = SP_RULE_REPORT;
    rules[2].name = "near";
    rules[2].path = "/v1/**";
    rules[3].name = "it";
    rules[4].name = "behind";
    struct sp_config config = config_with(rules, SP_COUNTOF(rules));
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(&config, NULL, &diags);
    if (p == NULL)
        fail_msg("%s", diags.items[0].text);
    struct names names = {.dns = {TEXT("a")}};
    struct sp_identity id = identity_of(&names);
    struct sp_addr source;
    struct sp_err err = {0};
    assert_int_equal(sp_addr_parse(TEXT("172.16.0.1:7"), &source, &err), SP_OK);
    const struct sp_connection c = {.identity = &id, .listener = "tcp", .source = &source};
    const struct sp_header headers[] = {
        {TEXT("X-Tenant"), TEXT("umbrella"), SP_HDR_OTHER}, {TEXT("X-Here"), TEXT(""), SP_HDR_OTHER}};
    struct sp_policy_request request = {.host = TEXT("other.example"),
        .path = TEXT("/v2/x"),
        .method = TEXT("PUT"),
        .headers = headers,
        .header_count = 2};
    struct sp_standing *s = sp_policy_stand(p, &c);
    assert_non_null(s);
    struct sp_buf text = {0};
    assert_int_equal(sp_policy_explain(s, &c, &request, 9, write_account, &text), SP_OK);
    (void)sp_buf_add_char(&text, '\0');
    assert_string_equal(text.ptr, "3 it matches decides\n"
                                  "1 watching matches\n"
                                  "4 behind matches\n"
                                  "2 near\n"
                                  "  path: /v1/** | /v2/x\n"
                                  "0 far\n"
                                  "  listener: unix | tcp\n"
                                  "  from: b, anonymous | a, both, all\n"
                                  "  not_from: none of a, anonymous | a\n"
                                  "  source: 10.0.0.0/8, 192.0.2.1 | 172.16.0.1:7\n"
                                  "  methods: GET, POST | PUT\n"
                                  "  host: h.example | other.example\n"
                                  "  path: /v1/** | /v2/x\n"
                                  "  headers: X-Tenant: acme, X-Debug | X-Tenant: umbrella, no X-Debug\n");
    sp_buf_reset(&text);
    assert_int_equal(sp_policy_explain(s, &c, &request, 1, write_account, &text), SP_OK);
    (void)sp_buf_add_char(&text, '\0');
    assert_string_equal(text.ptr, "3 it matches decides\n1 watching matches\n4 behind matches\n");
    sp_buf_free(&text);
    sp_standing_free(s);
    sp_policy_free(p);
    sp_diags_free(&diags);
}

static void write_caller(void *arg, const struct sp_caller_account *account)
{
    struct sp_buf *out = arg;
    (void)sp_buf_printf(out, "%zu %s %d entry %zu misses %zu", account->caller, account->name,
        account->is_one, account->entry, account->miss_count);
    for (size_t i = 0; i < account->miss_count; i++) {
        assert_true(account->misses[i].condition[0] != '\0');
        assert_true(account->misses[i].wanted[0] != '\0');
        assert_non_null(account->misses[i].found);
        (void)sp_buf_printf(out, " %s", account->misses[i].condition);
    }
}

static void test_a_caller_is_explained_by_its_nearest_entry(void **state)
{
    (void)state;
    struct sp_config config = config_with(NULL, 0);
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(&config, NULL, &diags);
    assert_non_null(p);
    struct names names = {.dns = {TEXT("b")}, .uris = {TEXT("urn:y")}};
    struct sp_identity id = identity_of(&names);
    const struct sp_connection c = {.identity = &id, .listener = "tcp"};
    static const char *const wanted[] = {"0 a 0 entry 0 misses 1 dns", "1 b 1 entry 0 misses 0",
        "2 both 1 entry 1 misses 0", "3 narrowed 0 entry 0 misses 2 ", "4 all 1 entry 0 misses 0",
        "5 anonymous 0 entry 0 misses 1 any"};
    for (size_t i = 0; i < SP_COUNTOF(wanted); i++) {
        struct sp_buf text = {0};
        assert_int_equal(sp_policy_explain_caller(p, &c, i, write_caller, &text), SP_OK);
        (void)sp_buf_add_char(&text, '\0');
        if (strncmp(text.ptr, wanted[i], strlen(wanted[i])) != 0)
            fail_msg("%s: expected %s", text.ptr, wanted[i]);
        sp_buf_free(&text);
    }
    sp_policy_free(p);
    sp_diags_free(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rule_is_never_reached_when_one_before_it_takes_all_that_it_would),
        cmocka_unit_test(test_a_rule_that_asks_for_more_covers_nothing_that_asks_for_less),
        cmocka_unit_test(test_what_can_never_match_or_is_not_used_is_told),
        cmocka_unit_test(test_a_caller_with_limits_or_requirements_or_of_a_proxy_is_used),
        cmocka_unit_test(test_each_condition_that_fails_says_what_it_wanted_and_found),
        cmocka_unit_test(test_a_caller_is_explained_by_its_nearest_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
