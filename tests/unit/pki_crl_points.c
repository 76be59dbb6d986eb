/* CRLs that do not say everything by themselves: some reasons, changes since a complete one, other signers, other
 * issuers. And the short way for sessions that are open, which must know when it does not know. */
#include "pki_bench.h"

#include "pki/chain/trust_impl.h"

/* issuingDistributionPoints with onlySomeReasons: keyCompromise and cACompromise; keyCompromise; the six others. */
#define SOME_REASONS  "critical,DER:300483020560"
#define ONE_REASON    "critical,DER:300483020640"
#define OTHER_REASONS "critical,DER:30058303071f80"
#define STALE         .from = -FIX_DAY, .to = -10

/* A leaf of serial 55, and the CRLs of its CA. A delta's BaseCRLNumber is 1. */
struct points_case {
    const char *name;
    enum sp_refusal want;
    struct fix_crl_spec crls[3];
    size_t count;
    enum sp_crl_missing missing;
    const char *detail;
    const char *crldp;
};

static const struct points_case cases[] = {
    {.name = "all reasons in two",
        .crls = {{.idp = SOME_REASONS}, {.idp = OTHER_REASONS}},
        .count = 2,
        .want = SP_REFUSAL_none},
    {.name = "some reasons",
        .crls = {{.idp = SOME_REASONS}},
        .count = 1,
        .want = SP_REFUSAL_crl_missing,
        .detail = "for some reasons"},
    {.name = "the same reasons twice",
        .crls = {{.idp = SOME_REASONS}, {.idp = ONE_REASON}},
        .count = 2,
        .want = SP_REFUSAL_crl_missing},
    {.name = "listed for some reasons",
        .crls = {{.idp = SOME_REASONS, .serial = "55", .reason = 1}},
        .count = 1,
        .want = SP_REFUSAL_revoked,
        .detail = "keyCompromise"},
    {.name = "listed for other reasons",
        .crls = {{.idp = SOME_REASONS}, {.idp = OTHER_REASONS, .serial = "55"}},
        .count = 2,
        .want = SP_REFUSAL_revoked},
    {.name = "one of two stale",
        .crls = {{.idp = SOME_REASONS, STALE}, {.idp = OTHER_REASONS}},
        .count = 2,
        .want = SP_REFUSAL_crl_stale},
    {.name = "some reasons stale, and a complete one",
        .crls = {{.idp = SOME_REASONS, STALE}, {.from = -10}},
        .count = 2,
        .want = SP_REFUSAL_none},
    {.name = "listed for some reasons, not in the complete one",
        .crls = {{.idp = SOME_REASONS, .serial = "55"}, {.from = -10}},
        .count = 2,
        .want = SP_REFUSAL_revoked},
    {.name = "a point for some reasons",
        .crls = {{.idp = "critical,fullname:URI:http://crl.example/1"}},
        .count = 1,
        .crldp = "URI:http://crl.example/1",
        .want = SP_REFUSAL_none},
    /* deltas */
    {.name = "nothing new",
        .crls = {{.number = "1"}, {.delta = true, .number = "2", .from = -60}},
        .count = 2,
        .want = SP_REFUSAL_none},
    {.name = "revoked since",
        .crls = {{.number = "1"}, {.delta = true, .number = "2", .serial = "55"}},
        .count = 2,
        .want = SP_REFUSAL_revoked},
    {.name = "revoked before",
        .crls = {{.number = "1", .serial = "55"}, {.delta = true, .number = "2"}},
        .count = 2,
        .want = SP_REFUSAL_revoked},
    {.name = "taken off hold",
        .crls = {{.number = "1", .serial = "55", .reason = 6},
            {.delta = true, .number = "2", .serial = "55", .reason = 8}},
        .count = 2,
        .want = SP_REFUSAL_none},
    {.name = "taken off hold, and revoked by a later delta",
        .crls = {{.number = "1", .serial = "55", .reason = 6},
            {.delta = true, .number = "2", .serial = "55", .reason = 8},
            {.delta = true, .from = -60, .number = "3", .serial = "55", .reason = 1}},
        .count = 3,
        .want = SP_REFUSAL_revoked,
        .detail = "keyCompromise"},
    {.name = "taken off hold, before the complete one",
        .crls = {{.number = "3", .serial = "55"},
            {.delta = true, .from = -7200, .number = "2", .serial = "55", .reason = 8}},
        .count = 2,
        .want = SP_REFUSAL_revoked},
    {.name = "listed in a delta before the complete one",
        .crls = {{.number = "3"}, {.delta = true, .from = -7200, .number = "2", .serial = "55"}},
        .count = 2,
        .want = SP_REFUSAL_none},
    {.name = "a gap before the delta",
        .crls = {{.number = "0"}, {.delta = true, .number = "2"}},
        .count = 2,
        .want = SP_REFUSAL_none},
    {.name = "a gap before the delta that takes off hold",
        .crls = {{.number = "0", .serial = "55"},
            {.delta = true, .number = "2", .serial = "55", .reason = 8}},
        .count = 2,
        .want = SP_REFUSAL_revoked},
    {.name = "a gap before the delta, and the complete one stale",
        .crls = {{.number = "0", STALE}, {.delta = true, .number = "2"}},
        .count = 2,
        .want = SP_REFUSAL_crl_stale},
    {.name = "the delta keeps the complete one fresh",
        .crls = {{.number = "1", STALE}, {.delta = true, .number = "2"}},
        .count = 2,
        .want = SP_REFUSAL_none},
    {.name = "both stale",
        .crls = {{.number = "1", STALE}, {.delta = true, .number = "2", STALE}},
        .count = 2,
        .want = SP_REFUSAL_crl_stale},
    {.name = "a delta of another scope",
        .crls = {{.number = "1", .serial = "55"},
            {.delta = true, .number = "2", .serial = "55", .reason = 8, .idp = "critical,onlyuser:TRUE"}},
        .count = 2,
        .want = SP_REFUSAL_revoked},
    {.name = "a delta of the future",
        .crls = {{.number = "1"}, {.delta = true, .from = 60, .number = "2", .serial = "55"}},
        .count = 2,
        .want = SP_REFUSAL_none},
    {.name = "a delta alone",
        .crls = {{.delta = true, .number = "2"}},
        .count = 1,
        .want = SP_REFUSAL_crl_missing,
        .detail = "delta CRL"},
    {.name = "a delta alone, missing accepted",
        .crls = {{.delta = true, .number = "2"}},
        .count = 1,
        .missing = SP_CRL_MISSING_ACCEPT,
        .want = SP_REFUSAL_none},
    {.name = "a delta alone lists it, missing accepted",
        .crls = {{.delta = true, .number = "2", .serial = "55"}},
        .count = 1,
        .missing = SP_CRL_MISSING_ACCEPT,
        .want = SP_REFUSAL_revoked},
};

static void run_case(const struct points_case *c, size_t turn)
{
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){.serial = "55", .crldp = c->crldp}, &ca, false);
    struct bench b = {.auth = {.depth = 4, .crl_missing = c->missing}};
    X509_CRL *crls[3];
    for (size_t i = 0; i < c->count; i++)
        crls[i] = fix_crl(&c->crls[(i + turn) % c->count], &ca);
    bench_ca(&b, fix_write_certs("ca.pem", &ca.cert, 1));
    bench_crl(&b, fix_write_crls("all.crl", crls, c->count));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &leaf, NULL, 0, FIX_NOW);
    bench_expect(&v, c->want, c->name);
    if (c->detail != NULL && strstr(v.detail, c->detail) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", c->name, c->detail, v.detail);
    bench_close(&b);
    for (size_t i = 0; i < c->count; i++)
        X509_CRL_free(crls[i]);
    fix_free(&leaf);
    fix_free(&ca);
}

static void test_crls_that_say_a_part_are_taken_together_in_any_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        for (size_t turn = 0; turn < cases[i].count; turn++)
            run_case(&cases[i], turn);
    }
}

/* ---- another key of the same name ---- */

static void judge_with_crl_key(const struct fix_cert *root, const struct fix_cert *signer,
    const struct fix_cert *known, enum sp_refusal want, const char *name)
{
    struct fix_cert sub = fix_issue(&(struct fix_spec){.subject = "CN=sub"}, root, true);
    struct fix_cert leaf = fix_issue(&(struct fix_spec){.serial = "55"}, &sub, false);
    X509_CRL *crls[] = {
        fix_crl(&(struct fix_crl_spec){0}, root), fix_crl(&(struct fix_crl_spec){.key = signer}, &sub)};
    const char *intermediates[] = {known != NULL ? fix_write_certs("known.pem", &known->cert, 1) : NULL};
    const struct fix_cert *above[] = {&sub};
    struct bench b = {
        .auth = {.depth = 4, .intermediates = {.items = intermediates, .count = known != NULL}}};
    bench_ca(&b, fix_write_certs("ca.pem", &root->cert, 1));
    bench_crl(&b, fix_write_crls("all.crl", crls, 2));
    bench_open(&b);
    struct sp_verdict v = bench_judge_at(&b, &leaf, above, 1, FIX_NOW);
    bench_expect(&v, want, name);
    bench_close(&b);
    X509_CRL_free(crls[0]);
    X509_CRL_free(crls[1]);
    fix_free(&leaf);
    fix_free(&sub);
}

static void test_a_crl_may_be_signed_by_another_key_of_its_issuer_that_leads_to_the_same_anchor(void **state)
{
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    struct fix_cert elsewhere = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    const struct fix_spec crl_only = {
        .subject = "CN=sub", .key_usage = "critical,cRLSign", .basic_constraints = "-"};
    const struct fix_spec no_crls = {.subject = "CN=sub", .key_usage = "critical,keyCertSign"};
    struct fix_cert good = fix_issue(&crl_only, &root, true),
                    stranger = fix_issue(&crl_only, &elsewhere, true);
    struct fix_cert may_not = fix_issue(&no_crls, &root, true);
    (void)state;
    judge_with_crl_key(&root, &good, &good, SP_REFUSAL_none, "a key for CRLs alone");
    judge_with_crl_key(&root, &good, NULL, SP_REFUSAL_crl_invalid, "a key that is not known");
    judge_with_crl_key(&root, &stranger, &stranger, SP_REFUSAL_crl_invalid, "of another anchor");
    judge_with_crl_key(&root, &may_not, &may_not, SP_REFUSAL_crl_invalid, "that may not sign CRLs");
    fix_free(&may_not);
    fix_free(&stranger);
    fix_free(&good);
    fix_free(&elsewhere);
    fix_free(&root);
}

/* ---- the short way ---- */

static struct sp_chain_link link_of(const struct fix_cert *ca, const uint8_t *serial, size_t len)
{
    struct sp_chain_link link = {.serial = {(const char *)serial, len}};
    unsigned char bytes[2048], *p = bytes;
    int name = i2d_X509_NAME(X509_get_subject_name(ca->cert), &p);
    assert_true(name > 0 && i2d_X509_PUBKEY(X509_get_X509_PUBKEY(ca->cert), &p) > 0);
    assert_int_equal(EVP_Digest(bytes, (size_t)name, link.issuer_name, NULL, EVP_sha256(), NULL), 1);
    assert_int_equal(EVP_Digest(bytes, (size_t)(p - bytes), link.issuer_id, NULL, EVP_sha256(), NULL), 1);
    return link;
}

struct short_case {
    const char *name;
    struct fix_crl_spec crls[2];
    size_t count;
    enum sp_crl_missing missing;
    bool is_ca;
    enum sp_crl_answer want;
};

static const struct short_case short_cases[] = {
    {.name = "not listed", .crls = {{0}}, .count = 1, .want = SP_CRL_CLEAR},
    {.name = "listed", .crls = {{.serial = "55"}}, .count = 1, .want = SP_CRL_REFUSED},
    {.name = "listed in a stale one", .crls = {{.serial = "55", STALE}}, .count = 1, .want = SP_CRL_REFUSED},
    {.name = "stale", .crls = {{STALE}}, .count = 1, .want = SP_CRL_ASK},
    {.name = "of the future", .crls = {{.from = 60}}, .count = 1, .want = SP_CRL_ASK},
    {.name = "off hold by a newer one",
        .crls = {{.serial = "55"}, {.from = -60}},
        .count = 2,
        .want = SP_CRL_CLEAR},
    {.name = "users only, of a CA",
        .crls = {{.idp = "critical,onlyuser:TRUE"}},
        .count = 1,
        .is_ca = true,
        .want = SP_CRL_ASK},
    {.name = "users only, of a leaf",
        .crls = {{.idp = "critical,onlyuser:TRUE"}},
        .count = 1,
        .want = SP_CRL_CLEAR},
    {.name = "a delta beside it",
        .crls = {{.number = "1"}, {.number = "2", .delta = true}},
        .count = 2,
        .want = SP_CRL_ASK},
    {.name = "some reasons beside it",
        .crls = {{.number = "1"}, {.idp = SOME_REASONS}},
        .count = 2,
        .want = SP_CRL_ASK},
    {.name = "an indirect one beside it",
        .crls = {{.number = "1"}, {.idp = "critical,indirectCRL:TRUE"}},
        .count = 2,
        .want = SP_CRL_ASK},
    {.name = "one that is left out beside it",
        .crls = {{.number = "1"}, {.unknown_critical = true}},
        .count = 2,
        .want = SP_CRL_CLEAR},
    {.name = "none, and that is refused", .want = SP_CRL_ASK},
    {.name = "none, and that is accepted", .missing = SP_CRL_MISSING_ACCEPT, .want = SP_CRL_CLEAR},
};

static void run_short_case(
    const struct short_case *c, const struct fix_cert *ca, const struct fix_cert *other)
{
    struct bench b = {.auth = {.depth = 4, .crl_missing = c->missing}};
    struct sp_chain_link link = link_of(ca, (const uint8_t *)"\x00\x55", 2);
    struct sp_chain_link strange = link_of(other, (const uint8_t *)"\x00\x55", 2);
    X509_CRL *crls[2];
    char detail[256];
    link.is_ca = c->is_ca;
    for (size_t i = 0; i < c->count; i++)
        crls[i] = fix_crl(&c->crls[i], ca);
    bench_ca(&b, fix_write_certs("ca.pem", &ca->cert, 1));
    if (c->count > 0)
        bench_crl(&b, fix_write_crls("all.crl", crls, c->count));
    bench_open(&b);
    enum sp_crl_answer got =
        sp_crls_judge_link(&b.trust->crls, &b.trust->crl_policy, &link, FIX_NOW, detail, sizeof(detail));
    if (got != c->want)
        fail_msg("%s: wanted %d, got %d", c->name, (int)c->want, (int)got);
    if (c->count > 0) /* the same name, another key */
        assert_int_equal(sp_crls_judge_link(
                             &b.trust->crls, &b.trust->crl_policy, &strange, FIX_NOW, detail, sizeof(detail)),
            SP_CRL_ASK);
    bench_close(&b);
    for (size_t i = 0; i < c->count; i++)
        X509_CRL_free(crls[i]);
}

static void test_the_short_way_answers_what_is_simple_and_asks_otherwise(void **state)
{
    struct fix_cert ca = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    struct fix_cert other = fix_issue(&(struct fix_spec){.subject = "CN=ca"}, NULL, true);
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(short_cases); i++)
        run_short_case(&short_cases[i], &ca, &other);
    fix_free(&other);
    fix_free(&ca);
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
        cmocka_unit_test(test_crls_that_say_a_part_are_taken_together_in_any_order),
        cmocka_unit_test(test_a_crl_may_be_signed_by_another_key_of_its_issuer_that_leads_to_the_same_anchor),
        cmocka_unit_test(test_the_short_way_answers_what_is_simple_and_asks_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
