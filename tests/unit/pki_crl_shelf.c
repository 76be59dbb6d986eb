/* Files of CRLs over time: what changes, what stays in force, and what is said of it. */
#include "pki_bench.h"

#include <sys/stat.h>
#include <unistd.h>

#include "pki/chain/trust_impl.h"
#include "sallyport/base/clock.h"
#include "sallyport/pki/shelf.h"

/* One CA, one leaf, one file with the CRL. */
struct scene {
    struct fix_cert ca, other, leaf;
    const char *ca_path, *crl_path, *more_crls; /* the last may be NULL */
    struct sp_shelf *shelf;
};

static struct scene open_scene(void)
{
    struct scene s = {0};
    s.ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    s.other = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    s.leaf = fix_issue(&(struct fix_spec){.serial = "55"}, &s.ca, false);
    s.ca_path = fix_write_certs("ca.pem", &s.ca.cert, 1);
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
    if (s->more_crls != NULL)
        bench_crl(b, s->more_crls);
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

/* The CRL of another CA takes the file over. If nobody knows that CA, it may be the old one with a damaged name. */
static void test_what_the_file_no_longer_speaks_of_is_given_up_if_it_speaks_of_somebody(void **state)
{
    (void)state;
    for (int is_known = 0; is_known < 2; is_known++) {
        struct scene s = open_scene();
        struct fix_cert two = fix_issue(&(struct fix_spec){.subject = "CN=two"}, NULL, true);
        X509 *both[] = {s.ca.cert, two.cert};
        struct bench b;
        s.ca_path = fix_write_certs("ca.pem", both, is_known != 0 ? 2 : 1);
        write_crls(&s, &(struct fix_crl_spec){.number = "5", .serial = "55"}, 1);
        assert_non_null(build_at(&s, &b, FIX_NOW));
        bench_close(&b);
        X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.number = "1"}, &two);
        fix_write_crls("the.crl", &crl, 1);
        assert_non_null(build_at(&s, &b, FIX_NOW));
        expect_verdict(
            &s, &b, is_known != 0 ? SP_REFUSAL_crl_missing : SP_REFUSAL_revoked, "another issuer's CRL");
        assert_int_equal(
            bench_says(&b, "nobody is known who signed it, and the one of CN=ca is gone"), is_known == 0);
        bench_close(&b);
        X509_CRL_free(crl);
        fix_free(&two);
        close_scene(&s);
    }
}

static void test_no_damaged_byte_takes_a_crl_out_of_force(void **state)
{
    struct scene s = open_scene();
    struct fix_cert two = fix_issue(&(struct fix_spec){.subject = "CN=two"}, NULL, true);
    X509_CRL *crls[] = {fix_crl(&(struct fix_crl_spec){.number = "5", .serial = "55"}, &s.ca),
        fix_crl(&(struct fix_crl_spec){.number = "1"}, &two)};
    unsigned char *der = NULL;
    struct bench b;
    char name[80];
    (void)state;
    s.crl_path = fix_write_crls("the.crl", crls, 2);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    bench_close(&b);
    int len = i2d_X509_CRL(crls[0], &der);
    assert_true(len > 0);
    for (int at = 0; at < len; at++) {
        FILE *f = fopen(s.crl_path, "w");
        assert_non_null(f);
        der[at] ^= 1;
        assert_int_equal(fwrite(der, 1, (size_t)len, f), len);
        der[at] ^= 1;
        assert_int_equal(i2d_X509_CRL_fp(f, crls[1]), 1);
        assert_int_equal(fclose(f), 0);
        assert_non_null(build_at(&s, &b, FIX_NOW));
        snprintf(name, sizeof(name), "byte %d", at);
        expect_verdict(&s, &b, SP_REFUSAL_revoked, name);
        bench_close(&b);
    }
    OPENSSL_free(der);
    X509_CRL_free(crls[0]);
    X509_CRL_free(crls[1]);
    fix_free(&two);
    close_scene(&s);
}

/* The bundle has the new key only, then the file has a CRL by it. */
static void test_a_ca_that_changed_its_key_leaves_no_trouble_behind(void **state)
{
    struct scene s = open_scene();
    struct fix_cert leaf = fix_issue(&(struct fix_spec){.serial = "56"}, &s.other, false);
    X509 *both[] = {s.ca.cert, s.other.cert};
    struct bench b;
    (void)state;
    s.ca_path = fix_write_certs("ca.pem", both, 2);
    write_crls(&s, &(struct fix_crl_spec){.number = "5", .serial = "55"}, 1);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    bench_close(&b);
    write_crls(&s, &(struct fix_crl_spec){.from = -60, .number = "6", .key = &s.other}, 1);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    expect_words(&b, "the one loaded at"); /* its CA is still there */
    expect_verdict(&s, &b, SP_REFUSAL_revoked, "by the old key");
    bench_close(&b);
    s.ca_path = fix_write_certs("ca.pem", &s.other.cert, 1);
    assert_non_null(build_at(&s, &b, FIX_NOW));
    assert_false(bench_says(&b, "the one loaded at"));
    assert_int_equal(b.trust->crls.count, 1);
    struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "by the new key");
    bench_close(&b);
    fix_free(&leaf);
    close_scene(&s);
}

/* ---- folders ---- */

static void make_link(const char *target, const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
}

static void test_a_folder_that_is_gone_or_holds_a_dead_link_weakens_nothing(void **state)
{
    struct scene s = open_scene();
    struct bench b;
    char folder[200], away[220];
    (void)state;
    write_crls(&s, &(struct fix_crl_spec){.number = "5", .serial = "55"}, 1);
    const char *file = s.crl_path;
    snprintf(folder, sizeof(folder), "%s/crls", fix_folder());
    snprintf(away, sizeof(away), "%s.away", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    make_link(file, folder, "ca.crl");
    s.crl_path = folder;
    make_link("nowhere", folder, "dead.crl");
    assert_null(build_at(&s, &b, FIX_NOW)); /* the first time it is an error */
    expect_words(&b, "crls/dead.crl: cannot be opened: No such file or directory");
    bench_close(&b);
    make_link(file, folder, "dead.crl");
    assert_non_null(build_at(&s, &b, FIX_NOW));
    bench_close(&b);
    make_link("dead.crl", folder, "dead.crl");
    assert_non_null(build_at(&s, &b, FIX_NOW));
    expect_words(
        &b, "crls/dead.crl: cannot be opened: Too many levels of symbolic links; what was loaded at");
    expect_verdict(&s, &b, SP_REFUSAL_revoked, "a link to itself");
    bench_close(&b);
    assert_int_equal(rename(folder, away), 0);
    for (int again = 0; again < 2; again++) {
        assert_non_null(build_at(&s, &b, FIX_NOW));
        expect_words(&b,
            "crls: cannot be opened: No such file or directory; what was loaded from the folder stays in force");
        expect_verdict(&s, &b, SP_REFUSAL_revoked, "no folder");
        assert_int_equal(b.diags.count, 1);
        bench_close(&b);
    }
    assert_int_equal(rename(away, folder), 0);
    make_link(file, folder, "dead.crl");
    assert_non_null(build_at(&s, &b, FIX_NOW));
    assert_false(bench_says(&b, "stays in force"));
    bench_close(&b);
    /* one that is new and cannot be used holds up nothing; one whose place a FIFO has taken is kept */
    make_link("nowhere", folder, "new.crl");
    snprintf(away, sizeof(away), "%s/dead.crl", folder);
    unlink(away);
    assert_int_equal(mkfifo(away, 0600), 0);
    write_crls(&s, &(struct fix_crl_spec){.from = -60, .number = "6"}, 1);
    s.crl_path = folder;
    assert_non_null(build_at(&s, &b, FIX_NOW));
    expect_words(&b, "crls/new.crl: cannot be opened: No such file or directory; it is left out");
    expect_words(&b, "crls/dead.crl: not a regular file; what was loaded at");
    expect_verdict(&s, &b, SP_REFUSAL_none, "a newer one");
    bench_close(&b);
    unlink(away);
    snprintf(away, sizeof(away), "%s/new.crl", folder);
    unlink(away);
    snprintf(away, sizeof(away), "%s/ca.crl", folder);
    unlink(away);
    assert_int_equal(rmdir(folder), 0);
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

/* ---- one bad file after which a good one comes ---- */

/* Of the three, the first is number 5 and lists the leaf. */
struct mending {
    const char *name;
    struct fix_crl_spec bad, good;
    bool by_other, is_unknown; /* the bad one's key; whether the CA is one that only clients send along */
    enum sp_refusal want, want_later;
    const char *quiet; /* what is not said any more */
};

static const struct mending mendings[] = {
    {.name = "signed by somebody else, then newer",
        .by_other = true,
        .bad = {.from = -60, .number = "09"},
        .good = {.from = -90, .number = "06"},
        .want = SP_REFUSAL_none,
        .quiet = "goes back in time"},
    {.name = "signed by somebody else, then as it was",
        .by_other = true,
        .bad = {.from = -60, .number = "09"},
        .good = {.number = "05", .serial = "55"},
        .want = SP_REFUSAL_revoked,
        .quiet = "the one loaded at"},
    {.name = "of the future, then newer",
        .bad = {.from = FIX_DAY, .to = 2 * FIX_DAY, .number = "09"},
        .good = {.from = -60, .number = "06"},
        .want = SP_REFUSAL_none,
        .quiet = "goes back in time"},
    {.name = "of the far future, then of the near one",
        .bad = {.from = FIX_DAY, .to = 2 * FIX_DAY, .number = "09"},
        .good = {.from = 60, .to = FIX_DAY, .number = "06"},
        .want = SP_REFUSAL_revoked,
        .quiet = "goes back in time"},
    {.name = "of a CA that nobody has shown, signed by somebody else, then newer",
        .is_unknown = true,
        .by_other = true,
        .bad = {.from = -60, .number = "09"},
        .good = {.from = -90, .number = "06"},
        .want = SP_REFUSAL_none},
    {.name = "of a CA that nobody has shown, then an older one",
        .is_unknown = true,
        .bad = {.from = -60, .number = "09", .serial = "55"},
        .good = {.from = -90, .number = "06"},
        .want = SP_REFUSAL_revoked},
};

static void run_mending(const struct mending *m)
{
    struct scene s = open_scene();
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_cert below = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, &root, true);
    struct bench b = {0};
    struct fix_crl_spec steps[] = {{.number = "05", .serial = "55"}, m->bad, m->good};
    const struct fix_cert *above[] = {&below};
    if (m->by_other)
        steps[1].key = &s.other;
    if (m->is_unknown) {
        fix_free(&s.ca);
        s.ca = fix_issue(&(struct fix_spec){.subject = "CN=unused"}, NULL, true);
        fix_free(&s.leaf);
        s.leaf = fix_issue(&(struct fix_spec){.serial = "55"}, &below, false);
        s.ca_path = fix_write_certs("ca.pem", &root.cert, 1);
        X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.number = "1"}, &root);
        s.more_crls = fix_write_crls("root.crl", &crl, 1);
        X509_CRL_free(crl);
    }
    for (size_t i = 0; i < SP_COUNTOF(steps); i++) {
        X509_CRL *crl = fix_crl(&steps[i], m->is_unknown ? &below : &s.ca);
        s.crl_path = fix_write_crls("the.crl", &crl, 1);
        X509_CRL_free(crl);
        bench_close(&b);
        b.trust = build_at(&s, &b, FIX_NOW);
        assert_non_null(b.trust);
    }
    struct sp_verdict v = bench_judge_at(&b, &s.leaf, above, m->is_unknown ? 1 : 0, FIX_NOW);
    bench_expect(&v, m->want, m->name);
    if (m->quiet != NULL && bench_says(&b, m->quiet)) {
        bench_print(&b);
        fail_msg("%s: somebody says \"%s\"", m->name, m->quiet);
    }
    bench_close(&b);
    fix_free(&below);
    fix_free(&root);
    close_scene(&s);
    fix_remove_folder();
}

/* What nobody has proven, or is not in force yet, cannot keep out what is right. */
static void test_a_bad_file_does_not_stand_in_the_way_of_a_good_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(mendings); i++)
        run_mending(&mendings[i]);
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
        cmocka_unit_test_teardown(test_a_bad_file_does_not_stand_in_the_way_of_a_good_one, tear_down),
        cmocka_unit_test_teardown(test_a_file_that_was_never_good_is_an_error, tear_down),
        cmocka_unit_test_teardown(test_a_file_that_has_not_changed_is_not_read_again, tear_down),
        cmocka_unit_test_teardown(test_what_nobody_asks_for_is_forgotten, tear_down),
        cmocka_unit_test_teardown(
            test_what_the_file_no_longer_speaks_of_is_given_up_if_it_speaks_of_somebody, tear_down),
        cmocka_unit_test_teardown(test_no_damaged_byte_takes_a_crl_out_of_force, tear_down),
        cmocka_unit_test_teardown(test_a_ca_that_changed_its_key_leaves_no_trouble_behind, tear_down),
        cmocka_unit_test_teardown(test_a_folder_that_is_gone_or_holds_a_dead_link_weakens_nothing, tear_down),
        cmocka_unit_test_teardown(test_a_crl_that_is_to_be_fetched_may_be_missing, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
