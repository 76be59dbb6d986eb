/* Revocation: which CRL speaks of which certificate, and what is believed of it. */
#include "pki_bench.h"

#include <sys/stat.h>
#include <unistd.h>

/* root -> intermediate -> leaf, each with a CRL that lists nobody, and one thing odd. */
enum { LEAF = 1, INTER = 2, ABSENT = 4 };

struct crl_case {
    const char *name;
    enum sp_refusal want;
    struct fix_crl_spec root_crl, inter_crl;
    int root_lists, inter_lists; /* LEAF, INTER; ABSENT: no such CRL */
    enum sp_crl_missing missing; /* default reject */
    enum sp_crl_stale stale;     /* default reject */
    int64_t grace_s;
    struct fix_spec inter, leaf;
    bool inter_in_bundle;
    const char *detail; /* words that the detail has */
};

static const struct crl_case crl_cases[] = {
    {.name = "nobody listed", .want = SP_REFUSAL_none},
    {.name = "nobody listed, intermediate in the bundle", .want = SP_REFUSAL_none, .inter_in_bundle = true},
    {.name = "revoked leaf",
        .want = SP_REFUSAL_revoked,
        .inter_lists = LEAF,
        .inter_crl = {.reason = 1},
        .detail = "(keyCompromise)"},
    {.name = "revoked intermediate",
        .want = SP_REFUSAL_revoked,
        .root_lists = INTER,
        .detail = "revoked 2027-01-15T06:00:00Z (no reason given)"},
    {.name = "revoked intermediate in the bundle",
        .want = SP_REFUSAL_revoked,
        .root_lists = INTER,
        .inter_in_bundle = true},
    {.name = "leaf's serial in the root's CRL", .want = SP_REFUSAL_none, .root_lists = LEAF},
    {.name = "on hold", .want = SP_REFUSAL_revoked, .inter_lists = LEAF, .inter_crl = {.reason = 6}},
    {.name = "no CRL of the leaf's issuer",
        .want = SP_REFUSAL_crl_missing,
        .inter_lists = ABSENT,
        .detail = "CN=intermediate"},
    {.name = "no CRL of the intermediate's issuer",
        .want = SP_REFUSAL_crl_missing,
        .root_lists = ABSENT,
        .detail = "CN=root"},
    {.name = "no CRL, accepted",
        .want = SP_REFUSAL_none,
        .root_lists = ABSENT,
        .inter_lists = ABSENT,
        .missing = SP_CRL_MISSING_ACCEPT},
    {.name = "one missing and accepted, the other revokes",
        .want = SP_REFUSAL_revoked,
        .inter_lists = ABSENT,
        .root_lists = INTER,
        .missing = SP_CRL_MISSING_ACCEPT},
    {.name = "one missing, the other revokes",
        .want = SP_REFUSAL_revoked,
        .inter_lists = ABSENT,
        .root_lists = INTER},
    {.name = "stale",
        .want = SP_REFUSAL_crl_stale,
        .inter_crl = {.from = -FIX_DAY, .to = -10},
        .detail = "nextUpdate was 2027-01-15T07:59:50Z"},
    {.name = "stale CRL of the root",
        .want = SP_REFUSAL_crl_stale,
        .root_crl = {.from = -FIX_DAY, .to = -10}},
    {.name = "stale within grace",
        .want = SP_REFUSAL_none,
        .inter_crl = {.from = -FIX_DAY, .to = -10},
        .stale = SP_CRL_STALE_GRACE,
        .grace_s = 11},
    {.name = "stale, grace just over",
        .want = SP_REFUSAL_crl_stale,
        .inter_crl = {.from = -FIX_DAY, .to = -10},
        .stale = SP_CRL_STALE_GRACE,
        .grace_s = 10,
        .detail = "grace is over"},
    {.name = "stale, accepted",
        .want = SP_REFUSAL_none,
        .inter_crl = {.from = -FIX_DAY, .to = -10},
        .stale = SP_CRL_STALE_ACCEPT},
    {.name = "stale, accepted, and lists the leaf",
        .want = SP_REFUSAL_revoked,
        .inter_lists = LEAF,
        .inter_crl = {.from = -FIX_DAY, .to = -10},
        .stale = SP_CRL_STALE_ACCEPT},
    {.name = "stale, and lists the leaf",
        .want = SP_REFUSAL_revoked,
        .inter_lists = LEAF,
        .inter_crl = {.from = -FIX_DAY, .to = -10}},
    {.name = "stale is not missing",
        .want = SP_REFUSAL_crl_stale,
        .inter_crl = {.from = -FIX_DAY, .to = -10},
        .missing = SP_CRL_MISSING_ACCEPT},
    {.name = "no nextUpdate",
        .want = SP_REFUSAL_none,
        .inter_crl = {.from = -1000 * FIX_DAY, .no_end = true}},
    {.name = "not yet in force",
        .want = SP_REFUSAL_crl_invalid,
        .inter_crl = {.from = 10},
        .detail = "not in force before"},
    {.name = "not yet in force, missing accepted",
        .want = SP_REFUSAL_crl_invalid,
        .inter_crl = {.from = 10},
        .missing = SP_CRL_MISSING_ACCEPT},
    {.name = "delta",
        .want = SP_REFUSAL_crl_missing,
        .inter_crl = {.delta = true, .number = "2"},
        .detail = "delta CRL"},
    {.name = "delta, missing accepted",
        .want = SP_REFUSAL_none,
        .inter_crl = {.delta = true, .number = "2"},
        .missing = SP_CRL_MISSING_ACCEPT},
    {.name = "indirect, by the issuer itself",
        .want = SP_REFUSAL_none,
        .inter_crl = {.idp = "critical,indirectCRL:TRUE"}},
    {.name = "indirect, by the issuer itself, lists the leaf",
        .want = SP_REFUSAL_revoked,
        .inter_lists = LEAF,
        .inter_crl = {.idp = "critical,indirectCRL:TRUE"}},
    {.name = "indirect, the leaf's serial of another issuer",
        .want = SP_REFUSAL_none,
        .inter_lists = LEAF,
        .inter_crl = {.idp = "critical,indirectCRL:TRUE", .entry_issuer = true}},
    {.name = "entry of another issuer, and not indirect",
        .want = SP_REFUSAL_crl_missing,
        .inter_lists = LEAF,
        .inter_crl = {.entry_issuer = true},
        .detail = "indirect CRL"},
    {.name = "removeFromCRL",
        .want = SP_REFUSAL_crl_missing,
        .inter_lists = LEAF,
        .inter_crl = {.reason = 8},
        .detail = "removeFromCRL"},
    {.name = "some reasons only",
        .want = SP_REFUSAL_crl_missing,
        .inter_crl = {.idp = "critical,onlysomereasons:keyCompromise"},
        .detail = "some reasons"},
    {.name = "attribute certificates only",
        .want = SP_REFUSAL_crl_missing,
        .inter_crl = {.idp = "critical,onlyAA:TRUE"},
        .detail = "attribute certificates"},
    {.name = "unknown critical extension",
        .want = SP_REFUSAL_crl_missing,
        .inter_crl = {.unknown_critical = true},
        .detail = "critical extension"},
    {.name = "inner and outer algorithm differ",
        .want = SP_REFUSAL_crl_missing,
        .inter_crl = {.mixed_algorithms = true},
        .detail = "signature algorithm"},
    {.name = "users only, for a leaf",
        .want = SP_REFUSAL_none,
        .inter_crl = {.idp = "critical,onlyuser:TRUE"}},
    {.name = "users only, revokes the leaf",
        .want = SP_REFUSAL_revoked,
        .inter_lists = LEAF,
        .inter_crl = {.idp = "critical,onlyuser:TRUE"}},
    {.name = "users only, for an intermediate",
        .want = SP_REFUSAL_crl_missing,
        .root_crl = {.idp = "critical,onlyuser:TRUE"},
        .detail = "covers others"},
    {.name = "CAs only, for an intermediate",
        .want = SP_REFUSAL_none,
        .root_crl = {.idp = "critical,onlyCA:TRUE"}},
    {.name = "CAs only, for a leaf",
        .want = SP_REFUSAL_crl_missing,
        .inter_crl = {.idp = "critical,onlyCA:TRUE"}},
    {.name = "partition that the leaf does not name",
        .want = SP_REFUSAL_crl_missing,
        .inter_crl = {.idp = "critical,fullname:URI:http://crl.example/1"},
        .detail = "covers others"},
    {.name = "partition that the leaf names",
        .want = SP_REFUSAL_none,
        .inter_crl = {.idp = "critical,fullname:URI:http://crl.example/1"},
        .leaf = {.crldp = "URI:http://crl.example/1"}},
    {.name = "partition that the leaf names, and revokes it",
        .want = SP_REFUSAL_revoked,
        .inter_lists = LEAF,
        .inter_crl = {.idp = "critical,fullname:URI:http://crl.example/1"},
        .leaf = {.crldp = "URI:http://crl.example/1"}},
    {.name = "partition, the leaf names another",
        .want = SP_REFUSAL_crl_missing,
        .inter_crl = {.idp = "critical,fullname:URI:http://crl.example/1"},
        .leaf = {.crldp = "URI:http://crl.example/2"}},
    {.name = "issuer that may not sign CRLs",
        .want = SP_REFUSAL_crl_invalid,
        .inter = {.key_usage = "critical,keyCertSign"},
        .detail = "cRLSign"},
    {.name = "issuer without keyUsage", .want = SP_REFUSAL_none, .inter = {.key_usage = "-"}},
    {.name = "serial of 20 bytes",
        .want = SP_REFUSAL_revoked,
        .inter_lists = LEAF,
        .leaf = {.serial = "7fffffffffffffffffffffffffffffffffffffff"},
        .detail = "7fffffffffffffffffffffffffffffffffffffff"},
    {.name = "serial zero", .want = SP_REFUSAL_revoked, .inter_lists = LEAF, .leaf = {.serial = "0"}},
    {.name = "serial zero, one is listed",
        .want = SP_REFUSAL_none,
        .inter_crl = {.serial = "1"},
        .leaf = {.serial = "0"}},
    {.name = "negative serial", .want = SP_REFUSAL_revoked, .inter_lists = LEAF, .leaf = {.serial = "-1234"}},
    {.name = "negative serial, the positive is listed",
        .want = SP_REFUSAL_none,
        .inter_crl = {.serial = "1234"},
        .leaf = {.serial = "-1234"}},
    {.name = "a longer serial with the same beginning",
        .want = SP_REFUSAL_none,
        .inter_crl = {.serial = "123400"},
        .leaf = {.serial = "1234"}},
};

static void run_crl_case(const struct crl_case *c)
{
    struct bench b = {.auth = {.depth = 4,
                          .crl_missing = c->missing,
                          .crl_stale = c->stale,
                          .crl_grace_ms = (uint64_t)c->grace_s * 1000}};
    struct fix_spec inter_spec = c->inter;
    inter_spec.subject = "CN=intermediate";
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_cert inter = fix_issue(&inter_spec, &root, true);
    struct fix_cert leaf = fix_issue(&c->leaf, &inter, false);
    struct fix_crl_spec specs[] = {c->root_crl, c->inter_crl};
    const int lists[] = {c->root_lists, c->inter_lists};
    const struct fix_cert *cas[] = {&root, &inter};
    X509 *bundle[] = {root.cert, inter.cert};
    bench_ca(&b, fix_write_certs("ca.pem", bundle, c->inter_in_bundle ? 2 : 1));
    for (size_t i = 0; i < 2; i++) {
        size_t n = 0;
        if ((lists[i] & LEAF) != 0)
            specs[i].revoked[n++] = leaf.cert;
        if ((lists[i] & INTER) != 0)
            specs[i].revoked[n++] = inter.cert;
        if ((lists[i] & ABSENT) != 0)
            continue;
        X509_CRL *crl = fix_crl(&specs[i], cas[i]);
        bench_crl(&b, fix_write_crls(i == 0 ? "root.crl" : "inter.crl", &crl, 1));
        X509_CRL_free(crl);
    }
    bench_open(&b);
    const struct fix_cert *above[] = {&inter};
    for (int again = 0; again < 2; again++) { /* the second time from memory */
        struct sp_verdict v = bench_judge_at(&b, &leaf, above, 1, FIX_NOW);
        bench_expect(&v, c->want, c->name);
        if (c->detail != NULL && strstr(v.detail, c->detail) == NULL)
            fail_msg("%s: \"%s\" is not in \"%s\"", c->name, c->detail, v.detail);
    }
    bench_close(&b);
    fix_free(&leaf);
    fix_free(&inter);
    fix_free(&root);
}

static void test_each_crl_has_its_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(crl_cases); i++)
        run_crl_case(&crl_cases[i]);
}

static void test_without_crls_everybody_is_refused_unless_that_is_accepted(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &root, false);
    for (int accept = 0; accept < 2; accept++) {
        struct bench b = {
            .auth = {.depth = 4, .crl_missing = accept ? SP_CRL_MISSING_ACCEPT : SP_CRL_MISSING_REJECT}};
        bench_ca(&b, fix_write_certs("ca.pem", &root.cert, 1));
        bench_open(&b);
        assert_int_equal(bench_says(&b, "every client certificate will be refused"), !accept);
        struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
        bench_expect(&v, accept ? SP_REFUSAL_none : SP_REFUSAL_crl_missing, "no CRL at all");
        bench_close(&b);
    }
    fix_free(&leaf);
    fix_free(&root);
}

static void test_the_anchor_itself_needs_no_crl_and_cannot_be_revoked(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_cert inter = fix_issue(&(struct fix_spec){.subject = "CN=intermediate"}, &root, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){0}, &inter, false);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){0}, &inter);
    struct bench b = {.auth = {.depth = 4, .trust_intermediates = true}};
    bench_ca(&b, fix_write_certs("ca.pem", &inter.cert, 1));
    bench_crl(&b, fix_write_crls("inter.crl", &crl, 1));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "anchor without a CRL of the root");
    bench_close(&b);
    X509_CRL_free(crl);
    fix_free(&leaf);
    fix_free(&inter);
    fix_free(&root);
}

/* ---- several CRLs and CAs ---- */

struct two_cas {
    struct fix_cert ca[2], leaf[2];
};

static struct two_cas make_two_cas(bool same_name)
{
    struct two_cas t;
    for (size_t i = 0; i < 2; i++) {
        const char *name = same_name || i == 0 ? "CN=one" : "CN=two";
        t.ca[i] = fix_issue(&(struct fix_spec){.subject = name}, NULL, true);
        t.leaf[i] = fix_issue(&(struct fix_spec){.serial = "55"}, &t.ca[i], false);
    }
    return t;
}

static void free_two_cas(struct two_cas *t)
{
    for (size_t i = 0; i < 2; i++) {
        fix_free(&t->leaf[i]);
        fix_free(&t->ca[i]);
    }
}

/* Two CAs, at most three CRLs in one file, and what becomes of a leaf of each, both with serial 55. */
struct pair_case {
    const char *name;
    bool same_name;
    enum sp_refusal want[2];
    struct {
        int ca, key; /* 1 or 2; key 0: the CA's own */
        struct fix_crl_spec spec;
    } crls[3];
    const char *warning;
};

static const struct pair_case pair_cases[] = {
    {.name = "the CRL of one says nothing of the other",
        .want = {SP_REFUSAL_revoked, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.serial = "55"}}, {.ca = 2}}},
    {.name = "a stale CRL of one does not disturb the other",
        .want = {SP_REFUSAL_crl_stale, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.from = -FIX_DAY, .to = -10}}, {.ca = 2}},
        .warning = "is stale"},
    {.name = "a missing CRL of one does not disturb the other",
        .want = {SP_REFUSAL_crl_missing, SP_REFUSAL_none},
        .crls = {{.ca = 2}},
        .warning = "no CRL for CA CN=one"},
    {.name = "a delta of one does not disturb the other",
        .want = {SP_REFUSAL_crl_missing, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.delta = true}}, {.ca = 2}},
        .warning = "CRL 1 is left out: it is a delta CRL"},
    {.name = "forged by the other's key",
        .want = {SP_REFUSAL_crl_invalid, SP_REFUSAL_none},
        .crls = {{.ca = 1, .key = 2}, {.ca = 2}},
        .warning = "its signature verifies under no CA"},
    {.name = "forged beside a good one",
        .want = {SP_REFUSAL_none, SP_REFUSAL_none},
        .crls = {{.ca = 1, .key = 2, .spec = {.serial = "55"}}, {.ca = 1}, {.ca = 2}}},
    {.name = "same name: each by its own key",
        .same_name = true,
        .want = {SP_REFUSAL_revoked, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.serial = "55"}}, {.ca = 2}}},
    {.name = "same name: the second has none",
        .same_name = true,
        .want = {SP_REFUSAL_none, SP_REFUSAL_crl_missing},
        .crls = {{.ca = 1}}},
    {.name = "the newer wins: taken off hold",
        .want = {SP_REFUSAL_none, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.from = -20, .serial = "55"}}, {.ca = 1, .spec = {.from = -10}},
            {.ca = 2}}},
    {.name = "the newer wins: revoked since",
        .want = {SP_REFUSAL_revoked, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.from = -10, .serial = "55"}}, {.ca = 1, .spec = {.from = -20}},
            {.ca = 2}}},
    {.name = "made in the same second, the higher number wins",
        .want = {SP_REFUSAL_revoked, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.number = "255"}}, {.ca = 1, .spec = {.number = "256", .serial = "55"}},
            {.ca = 2}}},
    {.name = "one of the future does not hide the present one",
        .want = {SP_REFUSAL_revoked, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.serial = "55"}}, {.ca = 1, .spec = {.from = 10}}, {.ca = 2}}},
    {.name = "a newer one of another scope hides nothing",
        .want = {SP_REFUSAL_revoked, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.serial = "55"}},
            {.ca = 1, .spec = {.from = -10, .idp = "critical,onlyCA:TRUE"}}, {.ca = 2}}},
    {.name = "no nextUpdate is warned of",
        .want = {SP_REFUSAL_none, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.no_end = true}}, {.ca = 2}},
        .warning = "has no nextUpdate"},
    {.name = "near its end is warned of",
        .want = {SP_REFUSAL_none, SP_REFUSAL_none},
        .crls = {{.ca = 1, .spec = {.from = -FIX_DAY, .to = 60}}, {.ca = 2}},
        .warning = "is near its end"},
};

static void run_pair_case(const struct pair_case *c)
{
    struct two_cas t = make_two_cas(c->same_name);
    struct bench b = {.auth = {.depth = 4}};
    X509 *bundle[] = {t.ca[0].cert, t.ca[1].cert};
    X509_CRL *crls[3];
    size_t n = 0;
    for (; n < 3 && c->crls[n].ca != 0; n++) {
        struct fix_crl_spec spec = c->crls[n].spec;
        if (c->crls[n].key != 0)
            spec.key = &t.ca[c->crls[n].key - 1];
        crls[n] = fix_crl(&spec, &t.ca[c->crls[n].ca - 1]);
    }
    bench_ca(&b, fix_write_certs("ca.pem", bundle, 2));
    bench_crl(&b, fix_write_crls("all.crl", crls, n));
    bench_open(&b);
    for (size_t i = 0; i < 2; i++) {
        struct sp_verdict v = bench_judge_at(&b, &t.leaf[i], NULL, 0, FIX_NOW);
        bench_expect(&v, c->want[i], c->name);
    }
    if (c->warning != NULL && !bench_says(&b, c->warning)) {
        bench_print(&b);
        fail_msg("%s: no warning \"%s\"", c->name, c->warning);
    }
    bench_close(&b);
    while (n > 0)
        X509_CRL_free(crls[--n]);
    free_two_cas(&t);
}

static void test_a_crl_speaks_only_of_the_ca_that_signed_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(pair_cases); i++)
        run_pair_case(&pair_cases[i]);
}

/* ---- files ---- */

static void expect_ca(void *arg, const struct sp_trust_ca *ca)
{
    ++*(unsigned *)arg;
    assert_non_null(strstr("CN=one CN=two", ca->subject));
    assert_true(ca->not_after > FIX_NOW && ca->is_anchor && ca->has_crl);
}

static void expect_crl(void *arg, const struct sp_trust_crl *crl)
{
    bool is_one = strcmp(crl->issuer, "CN=one") == 0;
    ++*(unsigned *)arg;
    assert_non_null(strstr(crl->source, is_one ? "/crl/a.der" : "two.crl"));
    assert_int_equal(crl->entries, is_one);
    assert_int_equal(crl->this_update, FIX_NOW - FIX_HOUR);
    assert_int_equal(crl->next_update, FIX_NOW + FIX_DAY);
    assert_int_equal(crl->warn_at, FIX_NOW + FIX_DAY - (FIX_DAY + FIX_HOUR) / 10);
    assert_null(crl->unusable);
    assert_null(crl->trouble);
    assert_null(crl->url);
}

static void test_crls_come_from_der_and_from_folders_too(void **state)
{
    (void)state;
    struct two_cas t = make_two_cas(false);
    X509 *bundle[] = {t.ca[0].cert, t.ca[1].cert};
    X509_CRL *one = fix_crl(&(struct fix_crl_spec){.serial = "55"}, &t.ca[0]);
    X509_CRL *two = fix_crl(&(struct fix_crl_spec){0}, &t.ca[1]);
    char folder[128], in_folder[160], hidden[160];
    struct bench b = {.auth = {.depth = 4}};
    snprintf(folder, sizeof(folder), "%s/crl", fix_folder());
    assert_int_equal(mkdir(folder, 0700), 0);
    bench_ca(&b, fix_write_certs("ca.pem", bundle, 2));
    bench_crl(&b, folder);
    bench_open(&b);
    assert_true(bench_says(&b, "no CRL in the folder"));
    bench_close(&b);
    b = (struct bench){.auth = {.depth = 4}};
    snprintf(in_folder, sizeof(in_folder), "%s/a.der", folder);
    snprintf(hidden, sizeof(hidden), "%s/.hidden", folder);
    assert_int_equal(rename(fix_write_crl_der("a.der", one), in_folder), 0);
    assert_int_equal(rename(fix_write_text("h", "not a CRL"), hidden), 0);
    bench_ca(&b, fix_write_certs("ca.pem", bundle, 2));
    bench_crl(&b, folder);
    bench_crl(&b, fix_write_crls("two.crl", &two, 1));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &t.leaf[0], NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_revoked, "DER in a folder");
    assert_non_null(strstr(v.detail, "/crl/a.der"));
    v = bench_judge_at(&b, &t.leaf[1], NULL, 0, FIX_NOW);
    bench_expect(&v, SP_REFUSAL_none, "PEM file");
    unsigned cas = 0, crls = 0;
    sp_trust_each_ca(b.trust, FIX_NOW, expect_ca, &cas);
    sp_trust_each_crl(b.trust, expect_crl, &crls);
    assert_int_equal(cas, 2);
    assert_int_equal(crls, 2);
    bench_close(&b);
    unlink(in_folder);
    unlink(hidden);
    rmdir(folder);
    X509_CRL_free(one);
    X509_CRL_free(two);
    free_two_cas(&t);
}

static void test_a_crl_file_that_cannot_be_read_is_an_error_that_names_it(void **state)
{
    (void)state;
    struct two_cas t = make_two_cas(false);
    X509 *bundle[] = {t.ca[0].cert, t.ca[1].cert};
    const char *ca = fix_write_certs("ca.pem", bundle, 2);
    const struct {
        const char *path, *words;
    } bad[] = {
        {"/nonexistent/x.crl", "cannot be opened"},
        {fix_write_text("e.crl", ""), "the file is empty"},
        {fix_write_text("t.crl", "text\n"), "there is no CRL in the file"},
        {ca, "there is no CRL in the file"},
        {fix_write_text("j.crl", "-----BEGIN X509 CRL-----\naGVsbG8=\n-----END X509 CRL-----\n"),
            "CRL 1 cannot be parsed"},
        {fix_write_text("d.crl", "0\x03\x02\x01\x01"), "CRL 1 cannot be parsed"},
    };
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        struct bench b = {.auth = {.depth = 4, .crl_missing = SP_CRL_MISSING_ACCEPT}};
        bench_ca(&b, ca);
        bench_crl(&b, bad[i].path);
        assert_null(sp_trust_new_at("test.yaml", &b.auth, NULL, FIX_NOW, &b.diags));
        if (!bench_says(&b, bad[i].words) || !bench_says(&b, bad[i].path)) {
            bench_print(&b);
            fail_msg("wanted \"%s\" of %s", bad[i].words, bad[i].path);
        }
        bench_close(&b);
    }
    free_two_cas(&t);
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
        cmocka_unit_test(test_each_crl_has_its_verdict),
        cmocka_unit_test(test_without_crls_everybody_is_refused_unless_that_is_accepted),
        cmocka_unit_test(test_the_anchor_itself_needs_no_crl_and_cannot_be_revoked),
        cmocka_unit_test(test_a_crl_speaks_only_of_the_ca_that_signed_it),
        cmocka_unit_test(test_crls_come_from_der_and_from_folders_too),
        cmocka_unit_test(test_a_crl_file_that_cannot_be_read_is_an_error_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
