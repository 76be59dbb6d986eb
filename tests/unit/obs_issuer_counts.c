/* Clients without clientAuth, by issuer: however many issuers there are, the page stays short and every client is counted. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/obs/issuer_counts.h"

#define NAME "sallyport_client_eku_missing_total"

/* The sample of that issuer (as printed), or -1. */
static long sample_of(struct sp_issuer_counts *c, const char *issuer)
{
    struct sp_buf out = {0};
    char line[700];
    long value = -1;
    sp_issuer_counts_print(c, &out);
    sp_buf_add_char(&out, '\0');
    assert_false(out.failed);
    snprintf(line, sizeof(line), "\n" NAME "{issuer=\"%s\"} ", issuer);
    const char *at = strstr(out.ptr, line);
    if (at != NULL)
        value = strtol(at + strlen(line), NULL, 10);
    sp_buf_free(&out);
    return value;
}

static void test_each_issuer_has_a_series(void **state)
{
    (void)state;
    struct sp_issuer_counts *c = sp_issuer_counts_new();
    sp_issuer_counts_add(c, SP_SLICE("CN=a"));
    sp_issuer_counts_add(c, SP_SLICE("CN=ab"));
    sp_issuer_counts_add(c, SP_SLICE("CN=a"));
    sp_issuer_counts_add(c, SP_SLICE("CN=x\\, \"y\""));
    sp_issuer_counts_add(c, SP_SLICE(""));
    assert_int_equal(sample_of(c, "CN=a"), 2);
    assert_int_equal(sample_of(c, "CN=ab"), 1);
    assert_int_equal(sample_of(c, "CN=x\\\\, \\\"y\\\""), 1);
    assert_int_equal(sample_of(c, ""), 1);
    assert_int_equal(sample_of(c, "other"), 0);
    sp_issuer_counts_free(c);
}

static void test_issuers_beyond_the_bound_share_one_series(void **state)
{
    (void)state;
    struct sp_issuer_counts *c = sp_issuer_counts_new();
    char issuer[600];
    for (int i = 0; i < 2 * SP_ISSUERS_COUNTED; i++) {
        snprintf(issuer, sizeof(issuer), "CN=%d", i);
        sp_issuer_counts_add(c, sp_slice_of(issuer));
        sp_issuer_counts_add(c, SP_SLICE("CN=0"));
    }
    assert_int_equal(sample_of(c, "CN=0"), 2 * SP_ISSUERS_COUNTED + 1);
    assert_int_equal(sample_of(c, "CN=63"), 1);
    assert_int_equal(sample_of(c, "CN=64"), -1);
    assert_int_equal(sample_of(c, "other"), SP_ISSUERS_COUNTED);
    sp_issuer_counts_free(c);
}

static void test_an_issuer_with_a_very_long_name_is_counted_among_the_others(void **state)
{
    (void)state;
    struct sp_issuer_counts *c = sp_issuer_counts_new();
    char issuer[513];
    memset(issuer, 'x', sizeof(issuer));
    sp_issuer_counts_add(c, (struct sp_slice){issuer, 513});
    assert_int_equal(sample_of(c, "other"), 1);
    sp_issuer_counts_add(c, (struct sp_slice){issuer, 512});
    assert_int_equal(sample_of(c, "other"), 1);
    sp_issuer_counts_free(c);
}

static void *count_many(void *arg)
{
    for (int i = 0; i < 20000; i++)
        sp_issuer_counts_add(arg, i % 2 == 0 ? SP_SLICE("CN=even") : SP_SLICE("CN=odd"));
    return NULL;
}

static void test_several_gates_count_at_once_and_none_is_lost(void **state)
{
    (void)state;
    struct sp_issuer_counts *c = sp_issuer_counts_new();
    pthread_t threads[3];
    for (size_t i = 0; i < SP_COUNTOF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, c), 0);
    for (size_t i = 0; i < SP_COUNTOF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(sample_of(c, "CN=even"), 30000);
    assert_int_equal(sample_of(c, "CN=odd"), 30000);
    sp_issuer_counts_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_issuer_has_a_series),
        cmocka_unit_test(test_issuers_beyond_the_bound_share_one_series),
        cmocka_unit_test(test_an_issuer_with_a_very_long_name_is_counted_among_the_others),
        cmocka_unit_test(test_several_gates_count_at_once_and_none_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
