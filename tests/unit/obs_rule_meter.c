/* Counters by rule: what is counted where, what a reload keeps, and that workers do not disturb each other. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/obs/rule_meter.h"

static struct sp_rule_meters *make(
    const char *const *names, size_t count, unsigned workers, const struct sp_rule_meters *before)
{
    struct sp_rule_meters *m = sp_rule_meters_new(names, count, workers, before);
    assert_non_null(m);
    return m;
}

static char *printed(const struct sp_rule_meters *m)
{
    struct sp_buf out = {0};
    sp_rule_meters_print(m, &out);
    sp_buf_add_char(&out, '\0');
    assert_false(out.failed);
    return out.ptr;
}

static void assert_line(const struct sp_rule_meters *m, const char *line)
{
    char *text = printed(m), wanted[256];
    (void)snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    if (strstr(text, wanted) == NULL)
        fail_msg("no line %s in:\n%s", line, text);
    free(text);
}

static void test_every_rule_has_its_series_before_it_is_met(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "a"};
    struct sp_rule_meters *m = make(names, 2, 3, NULL);
    char *text = printed(m);
    assert_string_equal(text,
        "# HELP sallyport_decisions_total Requests, by rule and what it decided (allowed, denied; without a rule: "
        "refused); in mode report what it would have decided\n"
        "# TYPE sallyport_decisions_total counter\n"
        "sallyport_decisions_total{rule=\"b\",decision=\"allowed\",mode=\"enforce\"} 0\n"
        "sallyport_decisions_total{rule=\"b\",decision=\"denied\",mode=\"enforce\"} 0\n"
        "sallyport_decisions_total{rule=\"b\",decision=\"allowed\",mode=\"report\"} 0\n"
        "sallyport_decisions_total{rule=\"b\",decision=\"denied\",mode=\"report\"} 0\n"
        "sallyport_decisions_total{rule=\"a\",decision=\"allowed\",mode=\"enforce\"} 0\n"
        "sallyport_decisions_total{rule=\"a\",decision=\"denied\",mode=\"enforce\"} 0\n"
        "sallyport_decisions_total{rule=\"a\",decision=\"allowed\",mode=\"report\"} 0\n"
        "sallyport_decisions_total{rule=\"a\",decision=\"denied\",mode=\"report\"} 0\n"
        "sallyport_decisions_total{rule=\"\",decision=\"refused\",mode=\"enforce\"} 0\n"
        "# HELP sallyport_limited_total Requests that a rule allowed and a limit of the caller did not (rate, "
        "concurrent_requests); without a rule: connections\n"
        "# TYPE sallyport_limited_total counter\n"
        "sallyport_limited_total{rule=\"b\",limit=\"rate\"} 0\n"
        "sallyport_limited_total{rule=\"b\",limit=\"concurrent_requests\"} 0\n"
        "sallyport_limited_total{rule=\"a\",limit=\"rate\"} 0\n"
        "sallyport_limited_total{rule=\"a\",limit=\"concurrent_requests\"} 0\n"
        "sallyport_limited_total{rule=\"\",limit=\"connections\"} 0\n");
    free(text);
    sp_rule_meters_free(m);
    m = make(NULL, 0, 1, NULL);
    sp_rule_meters_count(m, 0, 0, SP_RULE_DENIED);
    assert_line(m, "sallyport_decisions_total{rule=\"\",decision=\"refused\",mode=\"enforce\"} 1");
    sp_rule_meters_free(m);
    sp_rule_meters_free(NULL);
}

static void test_each_event_is_counted_in_its_own_series_over_all_workers(void **state)
{
    (void)state;
    static const char *const names[] = {"x", "y"};
    static const struct {
        size_t rule;
        enum sp_rule_event event;
        const char *line;
    } cases[] = {
        {1, SP_RULE_ALLOWED, "sallyport_decisions_total{rule=\"y\",decision=\"allowed\",mode=\"enforce\"}"},
        {1, SP_RULE_DENIED, "sallyport_decisions_total{rule=\"y\",decision=\"denied\",mode=\"enforce\"}"},
        {1, SP_RULE_WOULD_ALLOW,
            "sallyport_decisions_total{rule=\"y\",decision=\"allowed\",mode=\"report\"}"},
        {1, SP_RULE_WOULD_DENY, "sallyport_decisions_total{rule=\"y\",decision=\"denied\",mode=\"report\"}"},
        {1, SP_RULE_LIMITED_RATE, "sallyport_limited_total{rule=\"y\",limit=\"rate\"}"},
        {1, SP_RULE_LIMITED_REQUESTS, "sallyport_limited_total{rule=\"y\",limit=\"concurrent_requests\"}"},
        {2, SP_RULE_DENIED, "sallyport_decisions_total{rule=\"\",decision=\"refused\",mode=\"enforce\"}"},
        {(size_t)-1, SP_RULE_LIMITED_CONNECTIONS, "sallyport_limited_total{rule=\"\",limit=\"connections\"}"},
    };
    struct sp_rule_meters *m = make(names, 2, 2, NULL);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        for (size_t n = 0; n <= i; n++)
            sp_rule_meters_count(m, cases[i].rule, (unsigned)n % 2, cases[i].event);
    }
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char line[160];
        (void)snprintf(line, sizeof(line), "%s %zu", cases[i].line, i + 1);
        assert_line(m, line);
    }
    sp_rule_meters_free(m);
}

static void test_a_rule_that_stays_goes_on_counting_and_one_that_goes_takes_its_series_along(void **state)
{
    (void)state;
    static const char *const first[] = {"stays", "goes"}, *const second[] = {"new", "stays"},
                             *const third[] = {"goes"};
    struct sp_rule_meters *before = make(first, 2, 1, NULL);
    sp_rule_meters_count(before, 0, 0, SP_RULE_ALLOWED);
    sp_rule_meters_count(before, 1, 0, SP_RULE_ALLOWED);
    sp_rule_meters_count(before, SP_RULE_EVENTS, 0, SP_RULE_DENIED);
    struct sp_rule_meters *after = make(second, 2, 1, before);
    sp_rule_meters_count(before, 0, 0, SP_RULE_ALLOWED); /* an exchange that began before */
    sp_rule_meters_count(after, 1, 0, SP_RULE_ALLOWED);
    sp_rule_meters_free(before);
    assert_line(after, "sallyport_decisions_total{rule=\"stays\",decision=\"allowed\",mode=\"enforce\"} 3");
    assert_line(after, "sallyport_decisions_total{rule=\"new\",decision=\"allowed\",mode=\"enforce\"} 0");
    assert_line(after, "sallyport_decisions_total{rule=\"\",decision=\"refused\",mode=\"enforce\"} 1");
    char *text = printed(after);
    assert_null(strstr(text, "goes"));
    free(text);
    struct sp_rule_meters *last = make(third, 1, 1, after); /* back: but it was forgotten */
    sp_rule_meters_free(after);
    assert_line(last, "sallyport_decisions_total{rule=\"goes\",decision=\"allowed\",mode=\"enforce\"} 0");
    struct sp_rule_meters *wider = make(third, 1, 2, last); /* cells for another number of workers */
    sp_rule_meters_count(wider, 0, 1, SP_RULE_ALLOWED);
    sp_rule_meters_free(last);
    assert_line(wider, "sallyport_decisions_total{rule=\"goes\",decision=\"allowed\",mode=\"enforce\"} 1");
    sp_rule_meters_free(wider);
}

static void test_ten_thousand_rules_find_their_rows_again(void **state)
{
    (void)state;
    enum { RULES = 10000 };
    static char texts[RULES][8];
    static const char *names[RULES], *shuffled[RULES];
    for (size_t i = 0; i < RULES; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "r%zu", i);
        names[i] = texts[i];
        shuffled[i * 7 % RULES] = texts[i]; /* 7 has no divisor in common with 10,000 */
    }
    struct sp_rule_meters *before = make(names, RULES, 2, NULL);
    for (size_t i = 0; i < RULES; i += 1000)
        sp_rule_meters_count(before, i, 1, SP_RULE_WOULD_DENY);
    struct sp_rule_meters *after = make(shuffled, RULES, 2, before);
    sp_rule_meters_free(before);
    char *text = printed(after);
    for (size_t i = 0; i < RULES; i += 500) {
        char line[128];
        (void)snprintf(
            line, sizeof(line), "{rule=\"r%zu\",decision=\"denied\",mode=\"report\"} %d\n", i, i % 1000 == 0);
        assert_non_null(strstr(text, line));
    }
    free(text);
    sp_rule_meters_free(after);
}

static void test_a_name_is_escaped(void **state)
{
    (void)state;
    static const char *const names[] = {"a\"b\\c\nd"};
    struct sp_rule_meters *m = make(names, 1, 1, NULL);
    assert_line(m, "sallyport_limited_total{rule=\"a\\\"b\\\\c\\nd\",limit=\"rate\"} 0");
    sp_rule_meters_free(m);
}

/* ---- threads ---- */

enum { THREADS = 3, TIMES = 20000 };

struct worker {
    struct sp_rule_meters *old, *new;
    unsigned index;
};

/* Counts into an old and a new configuration in turn, as a worker does around a reload. */
static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < TIMES; i++)
        sp_rule_meters_count(i % 2 ? w->old : w->new, 0, w->index, SP_RULE_ALLOWED);
    return NULL;
}

static void test_workers_count_at_once_while_somebody_looks(void **state)
{
    (void)state;
    static const char *const names[] = {"r"};
    struct sp_rule_meters *old = make(names, 1, THREADS, NULL), *new = make(names, 1, THREADS, old);
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){old, new, i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 100; i++)
        free(printed(new));
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_line(new, "sallyport_decisions_total{rule=\"r\",decision=\"allowed\",mode=\"enforce\"} 60000");
    sp_rule_meters_free(old);
    sp_rule_meters_free(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule_has_its_series_before_it_is_met),
        cmocka_unit_test(test_each_event_is_counted_in_its_own_series_over_all_workers),
        cmocka_unit_test(test_a_rule_that_stays_goes_on_counting_and_one_that_goes_takes_its_series_along),
        cmocka_unit_test(test_ten_thousand_rules_find_their_rows_again),
        cmocka_unit_test(test_a_name_is_escaped),
        cmocka_unit_test(test_workers_count_at_once_while_somebody_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
