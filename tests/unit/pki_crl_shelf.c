/* Files of CRLs over time: what changes, what stays in force, and what is said of it. */
#include "pki_bench.h"

#include <sys/stat.h>
#include <unistd.h>

#include "pki/trust_impl.h"
#include "sallyport/base/clock.h"
#include "sallyport/pki/shelf.h"

/* One CA, one leaf, one file with the CRL. */
struct scene {
    struct fix_cert ca, other, leaf;
    const char *ca_path, *crl_path;
    struct sp_shelf *shelf;
};

static struct scene open_scene(void)
{
    struct scene s;
    s.ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    s.other = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    s.leaf = fix_issue(&(struct fix_spec){.serial = "55"}, &s.ca, false);
    s.ca_path = fix_write_certs("ca.pem", &s.ca.cert, 1);
    s.crl_path = NULL;
    s.shelf = sp_shelf_new();
    assert_non_null(s.shelf);
    return s;
}

static void close_scene(struct scene *s)
{
    sp_shelf_free(s->shelf);
    fix_free(&s->leaf);
    fix_free(&s->other);
    fix_free(&s->ca);
}

static void write_crls(struct scene *s, const struct fix_crl_spec *specs, size_t count)
{
    X509_CRL *crls[4];
    for (size_t i = 0; i < count; i++)
        crls[i] = fix_crl(&specs[i], &s->ca);
    s->crl_path = fix_write_crls("the.crl", crls, count);
    for (size_t i = 0; i < count; i++)
        X509_CRL_free(crls[i]);
}

/* A build with the shelf, as the snapshot does it. */
static struct sp_trust *build_at(struct scene *s, struct bench *b, int64_t now)
{
    *b = (struct bench){.auth = {.depth = 4}};
    bench_ca(b, s->ca_path);
    bench_crl(b, s->crl_path);
    sp_shelf_begin(s->shelf);
    b->trust = sp_trust_new_at("test.yaml", &b->auth, s->shelf, now, &b->diags);
    sp_shelf_end(s->shelf);
    return b->trust;
}

static void expect_words(struct bench *b, const char *words)
{
    if (words != NULL && !bench_says(b, words)) {
        bench_print(b);
        fail_msg("nobody says \"%s\"", words);
    }
}

static void expect_verdict(struct scene *s, struct bench *b, enum sp_refusal want, const char *name)
{
    struct sp_verdict v = bench_judge_at(b, &s->leaf, NULL, 0, FIX_NOW);
    bench_expect(&v, want, name);
}

/* First a good CRL of number 5, an hour old, that revokes the leaf; then the file as the case has it. */
struct change {
    const char *name;
    const char *text; /* the file's; NULL: the CRLs */
    struct fix_crl_spec crls[2];
    size_t count;
    bool removed, cut, by_other;
    enum sp_refusal want;
    const char *words;
    bool is_quiet; /* nothing is in trouble */
};

static const struct change changes[] = {
    {.name = "a newer one",
        .crls = {{.from = -60, .number = "6"}},
        .count = 1,
        .want = SP_REFUSAL_none,
        .is_quiet = true},
    {.name = "the same again",
        .crls = {{.number = "5", .serial = "55"}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .is_quiet = true},
    {.name = "empty",
        .text = "",
        .want = SP_REFUSAL_revoked,
        .words = "the file is empty; what was loaded at 2027-01-15T08:00:00Z stays in force"},
    {.name = "no CRL",
        .text = "hello\n",
        .want = SP_REFUSAL_revoked,
        .words = "there is no CRL in the file; what was loaded"},
    {.name = "gone",
        .removed = true,
        .want = SP_REFUSAL_revoked,
        .words = "cannot be opened: No such file or directory; what was loaded"},
    {.name = "half written",
        .cut = true,
        .crls = {{.from = -60, .number = "6"}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .words = "CRL 1 cannot be parsed"},
    {.name = "the second one half written",
        .cut = true,
        .crls = {{.from = -60, .number = "6"}, {.from = -50, .number = "7"}},
        .count = 2,
        .want = SP_REFUSAL_none,
        .words = "CRL 2 cannot be parsed"},
    {.name = "older by its number",
        .crls = {{.from = -60, .number = "4"}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .words =
            "goes back in time: CRLNumber 04 (hex) of 2027-01-15T07:59:00Z after 05 of 2027-01-15T07:00:00Z; the one loaded at 2027-01-15T08:00:00Z stays in force"},
    {.name = "older by its date",
        .crls = {{.from = -FIX_DAY, .number = "5"}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .words = "goes back in time"},
    {.name = "older and without a number",
        .crls = {{.from = -FIX_DAY}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .words = "CRLNumber none (hex)"},
    {.name = "signed by somebody else",
        .by_other = true,
        .crls = {{.from = -60, .number = "6"}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .words = "it is not signed by the key that signed the one before; the one loaded at"},
    {.name = "of the future",
        .crls = {{.from = 60, .number = "6"}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .words = "it is not in force before 2027-01-15T08:01:00Z; the one loaded at"},
    {.name = "newer and stale",
        .crls = {{.from = -60, .to = -10, .number = "6"}},
        .count = 1,
        .want = SP_REFUSAL_crl_stale,
        .words = "is stale"},
    {.name = "not understood",
        .crls = {{.from = -60, .number = "6", .unknown_critical = true}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .words = "critical extension that is not understood (2.5.29.54); the one loaded at"},
    {.name = "another scope beside it",
        .crls = {{.number = "5", .serial = "55"},
            {.from = -60, .number = "6", .idp = "critical,onlyCA:TRUE"}},
        .count = 2,
        .want = SP_REFUSAL_revoked,
        .is_quiet = true},
};

static void run_change(const struct change *c)
{
    struct scene s = open_scene();
    struct bench b, b2;
    struct fix_crl_spec specs[2] = {c->crls[0], c->crls[1]};
    write_crls(&s, &(struct fix_crl_spec){.number = "5", .serial = "55"}, 1);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    expect_verdict(&s, &b, SP_REFUSAL_revoked, c->name);
    if (c->by_other)
        specs[0].key = &s.other;
    if (c->text != NULL)
        fix_write_text("the.crl", c->text);
    else if (!c->removed)
        write_crls(&s, specs, c->count);
    if (c->removed)
        assert_int_equal(unlink(s.crl_path), 0);
    if (c->cut) {
        struct stat st;
        assert_int_equal(stat(s.crl_path, &st), 0);
        assert_int_equal(truncate(s.crl_path, st.st_size - 60), 0);
    }
    for (int again = 0; again < 2; again++) { /* it is said as long as it is so */
        if (build_at(&s, &b2, FIX_NOW) == NULL)
            bench_print(&b2);
        assert_non_null(b2.trust);
        expect_words(&b2, c->words);
        expect_verdict(&s, &b2, c->want, c->name);
        for (size_t i = 0; i < b2.trust->crls.count && c->is_quiet; i++)
            assert_null(b2.trust->crls.infos[i].trouble);
        bench_close(&b2);
    }
    expect_verdict(&s, &b, SP_REFUSAL_revoked, "the trust before is as it was");
    bench_close(&b);
    close_scene(&s);
    fix_remove_folder();
}

static void test_a_bad_file_never_weakens_what_is_in_force(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(changes); i++)
        run_change(&changes[i]);
}

static void test_a_file_that_was_never_good_is_an_error(void **state)
{
    struct scene s = open_scene();
    struct bench b;
    (void)state;
    s.crl_path = fix_write_text("the.crl", "nothing\n");
    assert_null(build_at(&s, &b, FIX_NOW));
    expect_words(&b, "there is no CRL in the file");
    bench_close(&b);
    close_scene(&s);
}

/* ---- not reading again ---- */

/* The kernel's clock for files has steps; until one is over, a file is read again each time. */
static void test_a_file_that_has_not_changed_is_not_read_again(void **state)
{
    struct scene s = open_scene();
    struct bench first, next;
    uint64_t deadline = sp_mono_ms() + 10000;
    bool kept = false;
    (void)state;
    write_crls(&s, &(struct fix_crl_spec){.number = "5", .serial = "55"}, 1);
    assert_non_null(build_at(&s, &first, FIX_NOW));
    for (int64_t now = FIX_NOW + 1; !kept && sp_mono_ms() < deadline; now++) {
        assert_non_null(build_at(&s, &next, now));
        kept = next.trust->crls.infos[0].loaded_at < now;
        assert_true(sp_crls_are_same(&first.trust->crls, &next.trust->crls));
        bench_close(&next);
    }
    assert_true(kept);
    bench_close(&first);
    close_scene(&s);
}

static void test_what_nobody_asks_for_is_forgotten(void **state)
{
    struct scene s = open_scene();
    struct bench b;
    (void)state;
    write_crls(&s, &(struct fix_crl_spec){.number = "5", .serial = "55"}, 1);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    bench_close(&b);
    sp_shelf_begin(s.shelf);
    sp_shelf_end(s.shelf);
    write_crls(&s, &(struct fix_crl_spec){.number = "4"}, 1);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    expect_verdict(&s, &b, SP_REFUSAL_none, "an older one, but nobody knows");
    bench_close(&b);
    close_scene(&s);
}

static void test_what_the_file_no_longer_speaks_of_is_given_up(void **state)
{
    struct scene s = open_scene();
    struct fix_cert two = fix_issue(&(struct fix_spec){.subject = "CN=two"}, NULL, true);
    struct bench b;
    (void)state;
    write_crls(&s, &(struct fix_crl_spec){.number = "5", .serial = "55"}, 1);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    bench_close(&b);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.number = "1"}, &two);
    fix_write_crls("the.crl", &crl, 1);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    expect_verdict(&s, &b, SP_REFUSAL_crl_missing, "another issuer's CRL");
    bench_close(&b);
    X509_CRL_free(crl);
    fix_free(&two);
    close_scene(&s);
}

static void test_a_crl_that_is_to_be_fetched_may_be_missing(void **state)
{
    struct scene s = open_scene();
    struct bench b = {.auth = {.depth = 4}};
    static const char *const urls[] = {"http://crl.example/ca.crl"};
    char path[160];
    (void)state;
    snprintf(path, sizeof(path), "%s/not-there.crl", fix_folder());
    bench_ca(&b, s.ca_path);
    bench_crl(&b, path);
    b.auth.crl_urls = urls;
    bench_open(&b);
    expect_words(&b, "not fetched yet: http://crl.example/ca.crl");
    bench_close(&b);
    close_scene(&s);
}

static int tear_down(void **state)
{
    (void)state;
    fix_remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_bad_file_never_weakens_what_is_in_force, tear_down),
        cmocka_unit_test_teardown(test_a_file_that_was_never_good_is_an_error, tear_down),
        cmocka_unit_test_teardown(test_a_file_that_has_not_changed_is_not_read_again, tear_down),
        cmocka_unit_test_teardown(test_what_nobody_asks_for_is_forgotten, tear_down),
        cmocka_unit_test_teardown(test_what_the_file_no_longer_speaks_of_is_given_up, tear_down),
        cmocka_unit_test_teardown(test_a_crl_that_is_to_be_fetched_may_be_missing, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
