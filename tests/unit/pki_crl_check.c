/* Which file of CRLs may take the place of another. */
#include "pki_bench.h"
#include "sallyport/pki/crl_check.h"

/* Whose CRL, and how it is made. */
struct made {
    enum { NONE, ROOT, INTER, OTHER, ROOT_TWICE_ONE_BROKEN } of;
    struct fix_crl_spec spec;
    bool by_stranger; /* signed with a key that nobody knows */
};

static const struct check_case {
    const char *name;
    struct made kept, fresh;
    const char *says; /* NULL: it may */
} cases[] = {
    {"nothing kept", {.of = NONE}, {.of = ROOT}, NULL},
    {"a newer one", {ROOT, {.from = -7200}, false}, {ROOT, {.from = -3600}, false}, NULL},
    {"the same again", {ROOT, {.number = "5"}, false}, {ROOT, {.number = "5"}, false}, NULL},
    {"an older one", {ROOT, {.from = -3600}, false}, {ROOT, {.from = -7200}, false},
        "older than the one that is kept"},
    {"a lower number of the same second", {ROOT, {.number = "5"}, false}, {ROOT, {.number = "4"}, false},
        "older than"},
    {"older than one that was never in force", {ROOT, {.from = 3600}, false}, {.of = ROOT}, NULL},
    {"older than one that nobody signed", {ROOT, {.from = -60}, true}, {.of = ROOT}, NULL},
    {"from the future", {.of = NONE}, {ROOT, {.from = 60}, false},
        "not in force before 2027-01-15T08:01:00Z"},
    {"ended, but better than none", {.of = NONE}, {ROOT, {.from = -7200, .to = -60}, false}, NULL},
    {"signed by a stranger in a known CA's name", {.of = NONE}, {ROOT, {0}, true}, "signature"},
    {"of an intermediate that nobody has shown yet", {.of = NONE}, {.of = INTER}, NULL},
    {"of an intermediate, by whom nobody can tell", {.of = NONE}, {INTER, {0}, true}, NULL},
    {"another CA's in place of one in force", {.of = ROOT}, {.of = OTHER}, "it has no CRL of CN=root"},
    {"another CA's in place of one that has ended", {ROOT, {.from = -7200, .to = -60}, false}, {.of = OTHER},
        NULL},
    {"another CA's in place of one that nobody signed", {ROOT, {0}, true}, {.of = OTHER}, NULL},
    {"a partial one in place of a complete one", {.of = ROOT}, {ROOT, {.idp = "onlyuser:TRUE"}, false},
        "it has no CRL of"},
    {"a complete one in place of a partial one", {ROOT, {.idp = "onlyuser:TRUE"}, false}, {.of = ROOT}, NULL},
    {"an older complete one in place of a partial one", {ROOT, {.idp = "onlyuser:TRUE"}, false},
        {ROOT, {.from = -7200}, false}, "it has no CRL of"},
    {"of no use", {.of = NONE}, {ROOT, {.unknown_critical = true}, false}, "cannot be used"},
    {"one of two is wrong", {.of = NONE}, {.of = ROOT_TWICE_ONE_BROKEN},
        "CRL 2 (issuer CN=root): its signature"},
};

static const char *write_made(
    const struct made *m, const char *file, const struct pki *p, const struct fix_cert *stranger)
{
    const struct fix_cert *ca = m->of == INTER ? &p->inter : m->of == OTHER ? stranger : &p->root;
    struct fix_crl_spec spec = m->spec, broken = {.key = stranger};
    X509_CRL *crls[2];
    size_t count = 1;
    if (m->of == NONE)
        return NULL;
    if (m->by_stranger)
        spec.key = stranger;
    crls[0] = fix_crl(&spec, ca);
    if (m->of == ROOT_TWICE_ONE_BROKEN)
        crls[count++] = fix_crl(&broken, ca);
    const char *path = fix_write_crls(file, crls, count);
    for (size_t i = 0; i < count; i++)
        X509_CRL_free(crls[i]);
    return path;
}

static void test_only_what_is_better_takes_the_place(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct fix_cert stranger = fix_issue(&(struct fix_spec){.subject = "CN=stranger"}, NULL, true);
    struct bench b = lax(5);
    bench_ca(&b, fix_write_certs("root.pem", &p.root.cert, 1));
    bench_open(&b);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct check_case *c = &cases[i];
        const struct sp_trust *trusts[] = {b.trust};
        struct sp_crl_facts facts;
        struct sp_err err = {0};
        const char *kept = write_made(&c->kept, "kept.crl", &p, &stranger);
        const char *fresh = write_made(&c->fresh, "fresh.crl", &p, &stranger);
        enum sp_rc rc = sp_crl_check(fresh, kept, trusts, 1, FIX_NOW, &facts, &err);
        if (rc != (c->says == NULL ? SP_OK : SP_FAIL) ||
            (c->says != NULL && strstr(err.text, c->says) == NULL) || strstr(err.text, "fresh.crl") != NULL)
            fail_msg("%s: %d, %s", c->name, (int)rc, err.text);
    }
    bench_close(&b);
    fix_free(&stranger);
    free_pki(&p);
}

/* Once a client has shown it, the CRL in force knows whose key it is. */
static void test_the_key_of_an_intermediate_that_clients_have_shown_counts(void **state)
{
    (void)state;
    struct pki p = make_pki();
    const struct fix_cert *above[] = {&p.inter};
    struct fix_cert stranger = fix_issue(&(struct fix_spec){.subject = "CN=stranger"}, NULL, true);
    struct made good = {.of = INTER, .spec = {.number = "7"}}, bad = {.of = INTER, .by_stranger = true};
    struct bench b = lax(5);
    struct sp_crl_facts facts;
    struct sp_err err = {0};
    bench_ca(&b, fix_write_certs("root.pem", &p.root.cert, 1));
    bench_crl(&b, write_made(&good, "kept.crl", &p, &stranger));
    bench_open(&b);
    const struct sp_trust *trusts[] = {b.trust};
    const char *fresh = write_made(&bad, "fresh.crl", &p, &stranger);
    assert_int_equal(sp_crl_check(fresh, NULL, trusts, 1, FIX_NOW, &facts, &err), SP_OK);
    struct sp_verdict v = bench_judge_at(&b, &p.leaf, above, 1, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "the leaf");
    assert_int_equal(sp_crl_check(fresh, NULL, trusts, 1, FIX_NOW, &facts, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "signature"));
    assert_int_equal(sp_crl_check(b.crl[0], NULL, trusts, 1, FIX_NOW, &facts, &err), SP_OK);
    bench_close(&b);
    fix_free(&stranger);
    free_pki(&p);
}

/* It got in while nobody knew better. */
static void test_a_forgery_does_not_stand_in_the_way_once_a_client_has_shown_the_ca(void **state)
{
    (void)state;
    struct pki p = make_pki();
    const struct fix_cert *above[] = {&p.inter};
    struct fix_cert stranger = fix_issue(&(struct fix_spec){.subject = "CN=stranger"}, NULL, true);
    struct made forged = {.of = INTER, .by_stranger = true, .spec = {.from = -10, .number = "9999"}};
    struct made good = {.of = INTER, .spec = {.from = -60, .number = "7"}};
    struct bench b = {.auth = {.depth = 5}};
    struct sp_crl_facts facts;
    struct sp_err err = {0};
    bench_ca(&b, fix_write_certs("root.pem", &p.root.cert, 1));
    bench_crl(&b, write_made(&forged, "kept.crl", &p, &stranger));
    bench_open(&b);
    const struct sp_trust *trusts[] = {b.trust};
    const char *kept = b.crl[0], *fresh = write_made(&good, "fresh.crl", &p, &stranger);
    assert_int_equal(sp_crl_check(fresh, kept, trusts, 1, FIX_NOW, &facts, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "older"));
    struct sp_verdict v = bench_judge_at(&b, &p.leaf, above, 1, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_crl_invalid, "the leaf");
    assert_int_equal(sp_crl_check(fresh, kept, trusts, 1, FIX_NOW, &facts, &err), SP_OK);
    assert_int_equal(sp_crl_check(kept, NULL, trusts, 1, FIX_NOW, &facts, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "signature"));
    bench_close(&b);
    fix_free(&stranger);
    free_pki(&p);
}

static void test_the_facts_are_those_of_the_whole_file(void **state)
{
    (void)state;
    struct pki p = make_pki();
    struct sp_crl_facts facts;
    struct sp_err err = {0};
    X509_CRL *crls[] = {
        fix_crl(&(struct fix_crl_spec){.from = -100, .to = 500, .revoked = {p.inter.cert}}, &p.root),
        fix_crl(&(struct fix_crl_spec){.from = -200, .no_end = true, .revoked = {p.leaf.cert}}, &p.inter)};
    assert_int_equal(
        sp_crl_check(fix_write_crls("two.crl", crls, 2), "/nowhere", NULL, 0, FIX_NOW, &facts, &err), SP_OK);
    assert_int_equal(facts.count, 2);
    assert_int_equal(facts.entries, 2);
    assert_int_equal(facts.this_update, FIX_NOW - 200);
    assert_int_equal(facts.next_update, FIX_NOW + 500);
    assert_string_equal(facts.issuer, "CN=root");
    for (size_t i = 0; i < SP_COUNTOF(crls); i++)
        X509_CRL_free(crls[i]);
    free_pki(&p);
}

static void test_what_is_no_crl_is_named_without_its_path(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "nothing", "-----BEGIN X509 CRL-----\nMII\n", "\x30\x03\x02\x01\x01"};
    for (size_t i = 0; i < SP_COUNTOF(texts); i++) {
        struct sp_crl_facts facts;
        struct sp_err err = {0};
        const char *path = fix_write_text("no.crl", texts[i]);
        assert_int_equal(sp_crl_check(path, NULL, NULL, 0, FIX_NOW, &facts, &err), SP_FAIL);
        assert_int_not_equal(err.text[0], '\0');
        assert_null(strstr(err.text, "no.crl"));
    }
}

static int clean_up(void **state)
{
    (void)state;
    fix_remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_better_takes_the_place),
        cmocka_unit_test(test_the_key_of_an_intermediate_that_clients_have_shown_counts),
        cmocka_unit_test(test_a_forgery_does_not_stand_in_the_way_once_a_client_has_shown_the_ca),
        cmocka_unit_test(test_the_facts_are_those_of_the_whole_file),
        cmocka_unit_test(test_what_is_no_crl_is_named_without_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
