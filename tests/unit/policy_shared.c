/* One policy is shared by all workers without a lock, and running out of memory anywhere costs an answer, never the
 * process nor a byte. */
#include "policy_fixture.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- memory that runs out: the linker puts these in place of libc's ---- */

void *__real_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *ptr, size_t size);

static size_t left = SIZE_MAX; /* allocations that still succeed */

static bool may(void)
{
    if (left == 0)
        return false;
    if (left != SIZE_MAX) /* while threads run nobody writes */
        left--;
    return true;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may() ? __real_calloc(count, size) : NULL;
}

void *__wrap_malloc(size_t size)
{
    return may() ? __real_malloc(size) : NULL;
}

void *__wrap_realloc(void *ptr, size_t size)
{
    return may() ? __real_realloc(ptr, size) : NULL;
}

/* ---- a policy with a little of everything ---- */

enum { RULES = 600 };
static const struct sp_pos at[] = {HERE, HERE};
static const char *const from_all[] = {"all", "it"}, *const only_it[] = {"it"},
                         *const nets[] = {"10.0.0.0/8"};
static const char *const key_types[] = {"ec"};
static const struct sp_config_requirements ec_only = {.at = HERE, .key_types = {key_types, at, 1}};
static const struct sp_config_caller_entry all_entry = {.at = HERE, .any = SP_CALLER_ANY_AUTHENTICATED};
static const struct sp_config_caller_entry it_entries[] = {
    {.at = HERE, .uri = "spiffe://h/**"}, {.at = HERE, .dns = "*.x"}};
static const struct sp_config_caller callers[] = {
    {.at = HERE, .name = "all", .entries = &all_entry, .entry_count = 1},
    {.at = HERE, .name = "it", .entries = it_entries, .entry_count = 2, .require = &ec_only},
};
static const struct sp_config_header_match field = {HERE, "X-A", "1"};
static const struct sp_config_trusted_proxy proxy = {
    .at = HERE, .from = {only_it, at, 1}, .sources = {nets, at, 1}};

struct setting {
    struct sp_config config;
    struct sp_config_rule rules[RULES];
    char names[RULES][24], paths[RULES][32];
};

static void make(struct setting *w)
{
    for (size_t i = 0; i < RULES; i++) {
        (void)snprintf(w->names[i], sizeof w->names[i], "r%zu", i);
        (void)snprintf(w->paths[i], sizeof w->paths[i], i % 2 == 0 ? "/p%zu/**" : "/p%zu", i);
        w->rules[i] = rule_for_it();
        w->rules[i].name = w->names[i];
        w->rules[i].path = w->paths[i];
        w->rules[i].host = i % 3 == 0 ? "h" : NULL;
        w->rules[i].from = (struct sp_strings){from_all, at, 2};
    }
    w->rules[0].headers = &field;
    w->rules[0].header_count = 1;
    w->rules[1].sources = (struct sp_strings){nets, at, 1};
    w->config = config_of(callers, SP_COUNTOF(callers), w->rules, RULES);
    w->config.trusted_proxies = &proxy;
    w->config.trusted_proxy_count = 1;
}

static struct sp_identity client(bool fit)
{
    static const struct names names = {.dns = {TEXT("a.x")}, .uris = {TEXT("spiffe://h/a")}};
    struct sp_identity id = identity_of(&names);
    id.client_cert = TEXT(":AA==:");
    id.key_type = fit ? SP_KEY_EC : SP_KEY_RSA;
    return id;
}

static struct setting setting;

static void test_a_policy_without_memory_is_none_and_says_so(void **state)
{
    (void)state;
    struct sp_policy *p = NULL;
    size_t tries = 0;
    make(&setting);
    while (p == NULL) {
        struct sp_diags diags = {0};
        left = tries++;
        p = sp_policy_new(&setting.config, NULL, &diags);
        left = SIZE_MAX;
        assert_true(p != NULL || diags.errors > 0);
        sp_diags_free(&diags);
    }
    assert_true(tries > 10);
    sp_policy_free(p);
}

static void test_a_standing_without_memory_is_none(void **state)
{
    (void)state;
    struct sp_diags diags = {0};
    make(&setting);
    struct sp_policy *p = sp_policy_new(&setting.config, NULL, &diags);
    assert_non_null(p);
    for (size_t fit = 0; fit < 2; fit++) {
        struct sp_identity id = client(fit != 0);
        const struct sp_connection c = {.identity = &id, .listener = "internal"};
        struct sp_standing *s = NULL;
        size_t tries = 0;
        while (s == NULL) {
            left = tries++;
            s = sp_policy_stand(p, &c);
            left = SIZE_MAX;
        }
        assert_true(tries > 2);
        const char *detail;
        assert_int_equal(sp_standing_unfit(s, &detail), fit ? SP_REFUSAL_none : SP_REFUSAL_key_not_allowed);
        /* deciding takes none */
        const struct sp_policy_request request = {
            .host = TEXT("h"), .path = TEXT("/p598/x"), .method = TEXT("GET")};
        struct sp_decision d;
        left = 0;
        sp_policy_decide(s, &request, &d);
        left = SIZE_MAX;
        assert_true(d.rule == (fit ? 598 : SP_NONE));
        sp_standing_free(s);
    }
    sp_policy_free(p);
    sp_diags_free(&diags);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 200 };

static void *decide_often(void *arg)
{
    struct sp_policy *p = arg;
    size_t wrong = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        struct sp_identity id = client(true);
        const struct sp_connection c = {.identity = &id, .listener = "internal"};
        struct sp_standing *s = sp_policy_stand(p, &c);
        char path[32];
        size_t rule = 3 + i % (RULES - 3);
        (void)snprintf(path, sizeof path, rule % 2 == 0 ? "/p%zu/x" : "/p%zu", rule);
        const struct sp_policy_request request = {
            .host = TEXT("h"), .path = sp_slice_of(path), .method = TEXT("GET")};
        struct sp_decision d = {0};
        if (s != NULL)
            sp_policy_decide(s, &request, &d);
        wrong += s == NULL || d.rule != rule;
        sp_standing_free(s);
    }
    sp_policy_free(p);
    return (void *)wrong;
}

static void test_threads_decide_by_one_policy_at_once_and_the_last_frees_it(void **state)
{
    (void)state;
    struct sp_diags diags = {0};
    pthread_t threads[THREADS];
    make(&setting);
    struct sp_policy *p = sp_policy_new(&setting.config, NULL, &diags);
    assert_non_null(p);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decide_often, sp_policy_ref(p)), 0);
    sp_policy_free(p);
    for (size_t i = 0; i < THREADS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    sp_diags_free(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_policy_without_memory_is_none_and_says_so),
        cmocka_unit_test(test_a_standing_without_memory_is_none),
        cmocka_unit_test(test_threads_decide_by_one_policy_at_once_and_the_last_frees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
