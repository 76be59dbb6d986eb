/* Decisions on connections of mode tcp, which ask for nothing but a name. */
#include "policy_fixture.h"

#include "sallyport/policy/explain.h"

static const struct sp_config_caller CALLERS[] = {
    {.name = "it",
        .entries = &(const struct sp_config_caller_entry){.uri = "spiffe://corp/a"},
        .entry_count = 1},
};
static const struct sp_config_header_match HEADER = {.name = "X-A"};
static const char *const GET[] = {"GET"};

#define MANY 200 /* rules in front that never match: so many that the index is asked */

/* Those that look at a request, then one by name, then one for whoever it is. */
static size_t make_rules(struct sp_config_rule *rules, size_t in_front)
{
    size_t n = 0;

    for (; n < in_front; n++) {
        rules[n] = rule_for_it();
        rules[n].path = n % 2 == 0 ? "/**" : "/*";
    }
    for (size_t i = 0; i < 5; i++)
        rules[n + i] = rule_for_it();
    rules[n].path = "/**";
    rules[n + 1].methods = (struct sp_strings){GET, &here, 1};
    rules[n + 2].headers = &HEADER;
    rules[n + 2].header_count = 1;
    rules[n + 3].host = "db.example";
    return n + 5;
}

static void test_only_rules_that_look_at_no_request_match_a_connection(void **state)
{
    static const struct {
        const char *host;
        size_t rule; /* behind those in front */
    } CASES[] = {{"db.example", 3}, {"other.example", 4}, {"", 4}};
    struct sp_config_rule rules[MANY + 5];

    (void)state;
    for (size_t in_front = 0; in_front <= MANY; in_front += MANY) {
        struct sp_config config = config_of(CALLERS, 1, rules, make_rules(rules, in_front));
        struct sp_diags diags = {0};
        struct sp_policy *p = sp_policy_new(&config, NULL, &diags);
        assert_non_null(p);
        struct sp_identity id = identity_of(&(struct names){.uris = {TEXT("spiffe://corp/a")}});
        struct sp_standing *s = stand(p, &id);
        for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
            const struct sp_policy_request request = {.is_tcp = true, .host = sp_slice_of(CASES[i].host)};
            struct sp_decision decision;
            sp_policy_decide(s, &request, &decision);
            assert_true(decision.allowed);
            assert_int_equal(decision.rule, in_front + CASES[i].rule);
        }
        sp_standing_free(s);
        sp_policy_free(p);
    }
}

/* "the rule: what was missed, wanted, found" */
static void note(void *arg, const struct sp_rule_account *account)
{
    char *text = arg;
    size_t at = strlen(text);

    for (size_t i = 0; i < account->miss_count; i++)
        at += (size_t)snprintf(text + at, 1024 - at, "%zu %s: %s; ", account->rule,
            account->misses[i].condition, account->misses[i].found);
}

static void test_what_it_lacks_is_told(void **state)
{
    struct sp_config_rule rules[5];
    struct sp_config config = config_of(CALLERS, 1, rules, make_rules(rules, 0));
    struct sp_diags diags = {0};
    struct sp_policy *p = sp_policy_new(&config, NULL, &diags);
    struct sp_identity id = identity_of(&(struct names){.uris = {TEXT("spiffe://corp/a")}});
    struct sp_connection c = {.identity = &id, .listener = "internal"};
    char text[1024] = "";

    (void)state;
    assert_non_null(p);
    struct sp_standing *s = stand(p, &id);
    const struct sp_policy_request request = {.is_tcp = true, .host = TEXT("")};
    assert_int_equal(sp_policy_explain(s, &c, &request, 10, note, text), SP_OK);
    assert_string_equal(text, "0 path: none, in mode tcp; 1 methods: none, in mode tcp; "
                              "2 headers: none, in mode tcp; 3 host: none; ");
    sp_standing_free(s);
    sp_policy_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_rules_that_look_at_no_request_match_a_connection),
        cmocka_unit_test(test_what_it_lacks_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
