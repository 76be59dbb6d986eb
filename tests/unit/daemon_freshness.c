/* What is told of a CRL over days, by a clock that the test moves: once when a state begins, once a day while it lasts.
 * What the events say, and that reloads change nothing of it, is tested on the whole program (test_freshness.py). */
#include "daemon/freshness.h"

#include "obs_fixture.h"
#include "sallyport/base/clock.h"
#include "tls_fixture.h"

#define HOUR FIX_HOUR
#define DAY  FIX_DAY

struct bench {
    struct tls_pki pki;
    struct sp_snapshot *snapshot;
    int64_t now;
};

static const char *write_configuration(const struct tls_pki *pki, int64_t now, const char *stale)
{
    struct sp_config_certificate site = tls_files("site", &pki->site_a);
    X509_CRL *crl =
        fix_crl(&(struct fix_crl_spec){.from = now - FIX_NOW - HOUR, .to = now - FIX_NOW + 10 * DAY},
            &pki->client_ca);
    const char *ca = fix_write_certs("ca.pem", (X509 *const[]){pki->client_ca.cert}, 1);
    const char *list = fix_write_crls("ca.crl", &crl, 1);
    char text[4096];

    X509_CRL_free(crl);
    (void)snprintf(text, sizeof(text),
        "listeners:\n"
        "  - {name: first, address: \"127.0.0.1:1\", tls: {certificates: [{chain: %s, key: %s}]},\n"
        "     client_auth: {ca: [%s], crl: [%s], crl_warn_before: 5d, crl_stale: %s}}\n"
        "callers: {c: [{uri: \"spiffe://x/y\"}]}\n"
        "rules: [{name: r, from: [c], upstream: u}]\n"
        "upstreams: {u: {endpoints: [\"127.0.0.1:80\"]}}\n",
        site.chain, site.key, ca, list, stale);
    return fix_write_text("sallyport.yaml", text);
}

static void open_bench(struct bench *b, const char *stale)
{
    struct sp_diags diags = {0};
    struct sp_snapshot_options options = {.gates = 1, .generation = 1};

    tls_pki_make(&b->pki);
    b->now = sp_wall_us() / 1000000;
    if (sp_snapshot_load(write_configuration(&b->pki, b->now, stale), &options, &b->snapshot, &diags) !=
        SP_OK)
        fail_msg("%s", diags.items[0].text);
    sp_diags_free(&diags);
}

static void close_bench(struct bench *b)
{
    sp_snapshot_unref(b->snapshot);
    tls_pki_free(&b->pki);
}

struct look {
    int64_t at; /* after the beginning */
    const char *told;
};

/* The looks one after another; then the log is compared with what each should have told. */
static void look_through(struct fixture *f, const char *stale, const struct look *looks, size_t count)
{
    struct bench b = {0};
    struct sp_log_options options = {
        .level = SP_LOG_DEBUG, .format = SP_LOG_TEXT, .events = f->events, .access = "off"};
    struct sp_loop *loop;
    struct sp_err err;

    open_bench(&b, stale);
    assert_int_equal(sp_loop_new(&loop, &err), SP_OK);
    assert_int_equal(sp_log_start(&options, f->writer, &f->log, &err), SP_OK);
    struct sp_logger *logger = sp_logger_new(f->log, f->producer);
    assert_non_null(logger);
    struct sp_freshness *freshness = sp_freshness_new(loop, logger);
    assert_non_null(freshness);
    sp_freshness_watch(freshness, b.snapshot);
    for (size_t i = 0; i < count; i++) {
        sp_freshness_look(freshness, b.now + looks[i].at);
        sp_log_event(logger, SP_LOG_INFO, "mark", NULL, 0);
    }
    sp_freshness_free(freshness);
    sp_log_stop(f->log, 10000);
    sp_loop_free(loop);
    close_bench(&b);

    char *text = contents(f->events), *at = text; /* watching, on the first day, told nothing */
    for (size_t i = 0; i < count; i++) {
        char *end = strstr(at, "mark");
        assert_non_null(end);
        *end = '\0';
        if (count_of(at, " listener=first ") != (looks[i].told != NULL))
            fail_msg("look %zu: %s", i, at);
        if (looks[i].told != NULL && strstr(at, looks[i].told) == NULL)
            fail_msg("look %zu, no %s: %s", i, looks[i].told, at);
        at = end + 4;
    }
    free(text);
}

static void test_a_state_is_told_when_it_begins_and_once_a_day_while_it_lasts(void **state)
{
    static const struct look looks[] = {
        {0, NULL},
        {4 * DAY, NULL},
        {5 * DAY, "crl_expiring"},
        {5 * DAY + 10, NULL},
        {6 * DAY - 1, NULL},
        {6 * DAY, "crl_expiring"},
        {6 * DAY + 10, NULL},
        {8 * DAY, "crl_expiring"}, /* one look after two days: not twice */
        {8 * DAY + 10, NULL},
        {10 * DAY - 1, "crl_expiring"},
        {10 * DAY, "crl_stale"},
        {10 * DAY + 10, NULL},
        {11 * DAY, "crl_stale"},
        {1 * DAY, "crl_fresh"}, /* the clock had gone wrong */
        {1 * DAY + 10, NULL},
        {6 * DAY, "crl_expiring"},
        {5 * DAY + 10, NULL}, /* set back by less */
        {6 * DAY, NULL},
        {6 * DAY + 10, "crl_expiring"},
    };
    look_through(*state, "reject", looks, SP_COUNTOF(looks));
}

static void test_the_end_of_a_grace_is_told_as_a_state_of_its_own(void **state)
{
    static const struct look looks[] = {
        {10 * DAY, "let in for another 6 h"},
        {10 * DAY + HOUR, NULL},
        {10 * DAY + 6 * HOUR - 1, NULL},
        {10 * DAY + 6 * HOUR, "its grace is over"},
        {10 * DAY + 7 * HOUR, NULL},
        {11 * DAY + 6 * HOUR, "its grace is over"},
    };
    look_through(*state, "{grace: 6h}", looks, SP_COUNTOF(looks));
}

static int end(void **state)
{
    (void)state;
    fix_remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_a_state_is_told_when_it_begins_and_once_a_day_while_it_lasts),
        LOG_TEST(test_the_end_of_a_grace_is_told_as_a_state_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
