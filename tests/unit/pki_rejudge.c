/* Clients that were let in are judged anew by the trust that came after, without their handshake: what the identity
 * keeps is enough, for a yes and for the reason of a no. */
#include <openssl/ocsp.h>

#include "pki_bench.h"
#include "sallyport/pki/shelf.h"
#include "sallyport/pki/x509.h"

/* root -> intermediate -> leaf, each with its CRL, and the leaf let in. */
struct world {
    struct pki p;
    X509_CRL *crls[2];
    struct bench b;
    struct sp_identity *id;
};

static struct sp_identity *admit(const struct world *w)
{
    struct sp_verdict v;
    STACK_OF(X509) *list = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_true(sk_X509_push(list, w->p.leaf.cert) > 0 && sk_X509_push(list, w->p.inter.cert) > 0);
    assert_int_equal(X509_STORE_CTX_init(ctx, sp_trust_store(w->b.trust), w->p.leaf.cert, list), 1);
    struct sp_identity *id = sp_trust_admit(w->b.trust, ctx, FIX_NOW, &v);
    assert_non_null(id);
    X509_STORE_CTX_free(ctx);
    sk_X509_free(list);
    return id;
}

static void open_world(struct world *w, const char *ocsp_url)
{
    w->p = make_pki();
    w->crls[0] = fix_crl(&(struct fix_crl_spec){.to = 10 * FIX_DAY}, &w->p.root);
    w->crls[1] = fix_crl(&(struct fix_crl_spec){0}, &w->p.inter);
    w->b = (struct bench){.auth = {.depth = 4, .crl_missing = SP_CRL_MISSING_REJECT, .ocsp_url = ocsp_url}};
    X509 *bundle[] = {w->p.root.cert, w->p.inter.cert};
    bench_ca(&w->b, fix_write_certs("bundle.pem", bundle, 2));
    bench_crl(&w->b, fix_write_crls("all.crl", w->crls, 2));
    bench_open(&w->b);
    w->id = admit(w);
}

static void close_world(struct world *w)
{
    sp_identity_free(w->id);
    bench_close(&w->b);
    X509_CRL_free(w->crls[0]);
    X509_CRL_free(w->crls[1]);
    free_pki(&w->p);
}

/* The same configuration with what the files hold by now. */
static struct sp_trust *load_again(struct world *w, struct sp_shelf *shelf)
{
    struct sp_trust *t = sp_trust_new_at("test.yaml", &w->b.auth, shelf, FIX_NOW, &w->b.diags);
    assert_non_null(t);
    return t;
}

static void test_an_identity_keeps_what_its_chain_is_asked_by(void **state)
{
    (void)state;
    struct world w;
    uint8_t policy[32], name[32];
    const unsigned char *der;
    size_t len;
    open_world(&w, NULL);
    sp_trust_policy_id(w.b.trust, policy);
    assert_memory_equal(policy, w.id->policy_id, 32);
    assert_int_equal(w.id->link_count, 2);
    assert_false(w.id->links[0].is_ca);
    assert_true(w.id->links[1].is_ca);
    assert_int_equal(w.id->chain_until, FIX_NOW + 365 * FIX_DAY);
    assert_int_equal(X509_NAME_get0_der(X509_get_subject_name(w.p.root.cert), &der, &len), 1);
    assert_int_equal(EVP_Digest(der, len, name, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(name, w.id->links[1].issuer_name, 32);
    assert_memory_not_equal(w.id->links[0].issuer_id, w.id->links[1].issuer_id, 32);
    assert_int_equal(w.id->links[0].serial.ptr[0], 0);
    assert_int_equal(w.id->ocsp_cert_id.len, 0);
    close_world(&w);
}

static void test_an_identity_has_its_ocsp_name_where_a_responder_is_asked(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, "http://127.0.0.1/");
    const unsigned char *p = (const unsigned char *)w.id->ocsp_cert_id.ptr;
    OCSP_CERTID *got = d2i_OCSP_CERTID(NULL, &p, (long)w.id->ocsp_cert_id.len);
    OCSP_CERTID *want = OCSP_cert_to_id(EVP_sha1(), w.p.leaf.cert, w.p.inter.cert);
    assert_non_null(got);
    assert_int_equal(OCSP_id_cmp(got, want), 0);
    OCSP_CERTID_free(got);
    OCSP_CERTID_free(want);
    close_world(&w);
}

/* Each change, and the verdict on the open session. */
static void test_a_change_reaches_a_session_that_is_open(void **state)
{
    (void)state;
    enum { NOTHING, REVOKE_LEAF, REVOKE_CA, DROP_CRL, OTHER_CA, LESS_DEPTH, CRL_ENDS, LEAF_ENDS, MORE_DEPTH };
    static const struct {
        const char *name;
        int change;
        enum sp_refusal want;
    } cases[] = {
        {"nothing", NOTHING, SP_REFUSAL_none},
        {"the leaf is revoked", REVOKE_LEAF, SP_REFUSAL_revoked},
        {"its CA is revoked", REVOKE_CA, SP_REFUSAL_revoked},
        {"the CRL of its CA is gone", DROP_CRL, SP_REFUSAL_crl_missing},
        {"another root, other CRLs", OTHER_CA, SP_REFUSAL_bad_signature},
        {"no intermediates any more", LESS_DEPTH, SP_REFUSAL_chain_too_long},
        {"another policy that takes it too", MORE_DEPTH, SP_REFUSAL_none},
        {"a CRL has run out", CRL_ENDS, SP_REFUSAL_crl_stale},
        {"the leaf has run out", LEAF_ENDS, SP_REFUSAL_expired},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct world w;
        struct sp_verdict v;
        int change = cases[i].change;
        open_world(&w, NULL);
        struct fix_cert other = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
        int64_t to = change == LEAF_ENDS ? 1000 * FIX_DAY : 0;
        struct fix_crl_spec of_root = {
            .to = 2000 * FIX_DAY, .revoked = {change == REVOKE_CA ? w.p.inter.cert : NULL}};
        struct fix_crl_spec of_inter = {.to = to, .revoked = {change == REVOKE_LEAF ? w.p.leaf.cert : NULL}};
        X509_CRL *now[] = {fix_crl(&of_root, &w.p.root), fix_crl(&of_inter, &w.p.inter)};
        fix_write_crls("all.crl", now, change == DROP_CRL ? 1 : 2);
        if (change == OTHER_CA)
            fix_write_certs("bundle.pem", &other.cert, 1);
        w.b.auth.depth = change == LESS_DEPTH ? 0 : change == MORE_DEPTH ? 5 : 4;
        struct sp_trust *next = load_again(&w, NULL);
        sp_trust_rejudge(next, w.id,
            change == CRL_ENDS    ? FIX_NOW + FIX_DAY
            : change == LEAF_ENDS ? FIX_NOW + 365 * FIX_DAY
                                  : FIX_NOW,
            &v);
        bench_expect(&v, cases[i].want, cases[i].name);
        sp_trust_free(next);
        X509_CRL_free(now[0]);
        X509_CRL_free(now[1]);
        fix_free(&other);
        close_world(&w);
    }
}

/* The first time the whole chain is judged, because nobody knows yet who signed the intermediate's new CRL. */
static void test_a_revoked_leaf_is_told_of_in_the_same_words_by_its_links_and_as_a_whole(void **state)
{
    (void)state;
    struct world w;
    struct sp_verdict whole, by_links;
    open_world(&w, NULL);
    X509_CRL *newer = fix_crl(&(struct fix_crl_spec){.revoked = {w.p.leaf.cert}}, &w.p.inter);
    X509_CRL *both[] = {w.crls[0], newer};
    fix_write_crls("all.crl", both, 2);
    struct sp_trust *next = load_again(&w, NULL);
    sp_trust_rejudge(next, w.id, FIX_NOW, &whole);
    sp_trust_rejudge(next, w.id, FIX_NOW, &by_links);
    bench_expect(&whole, SP_REFUSAL_revoked, "as a whole");
    bench_expect(&by_links, SP_REFUSAL_revoked, "by its links");
    assert_string_equal(whole.detail, by_links.detail);
    assert_non_null(strstr(whole.detail, "all.crl"));
    assert_int_equal(whole.x509_error, by_links.x509_error);
    X509_CRL_free(newer);
    sp_trust_free(next);
    close_world(&w);
}

static void test_the_next_change_is_the_first_end_of_a_crl(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, NULL);
    assert_int_equal(sp_trust_next_change(w.b.trust, FIX_NOW), FIX_NOW + FIX_DAY);
    assert_int_equal(sp_trust_next_change(w.b.trust, FIX_NOW + FIX_DAY), FIX_NOW + 10 * FIX_DAY);
    assert_true(sp_trust_next_change(w.b.trust, FIX_NOW + 10 * FIX_DAY) == INT64_MAX);
    close_world(&w);
}

static void test_a_trust_is_the_same_when_neither_policy_nor_crls_have_changed(void **state)
{
    (void)state;
    struct world w;
    struct sp_shelf *shelf = sp_shelf_new();
    open_world(&w, NULL);
    sp_shelf_begin(shelf);
    struct sp_trust *first = load_again(&w, shelf);
    sp_shelf_end(shelf);
    sp_shelf_begin(shelf);
    struct sp_trust *again = load_again(&w, shelf);
    w.b.auth.depth = 3;
    struct sp_trust *stricter = load_again(&w, shelf);
    w.b.auth.depth = 4;
    sp_shelf_end(shelf);
    assert_true(sp_trust_is_same(first, again));
    assert_false(sp_trust_is_same(first, stricter));
    X509_CRL *newer =
        fix_crl(&(struct fix_crl_spec){.from = -FIX_HOUR / 2, .revoked = {w.p.leaf.cert}}, &w.p.inter);
    X509_CRL *both[] = {w.crls[0], newer};
    fix_write_crls("all.crl", both, 2);
    sp_shelf_begin(shelf);
    struct sp_trust *later = load_again(&w, shelf);
    sp_shelf_end(shelf);
    assert_false(sp_trust_is_same(first, later));
    X509_CRL_free(newer);
    sp_trust_free(first);
    sp_trust_free(again);
    sp_trust_free(stricter);
    sp_trust_free(later);
    sp_shelf_free(shelf);
    close_world(&w);
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
        cmocka_unit_test(test_an_identity_keeps_what_its_chain_is_asked_by),
        cmocka_unit_test(test_an_identity_has_its_ocsp_name_where_a_responder_is_asked),
        cmocka_unit_test(test_a_change_reaches_a_session_that_is_open),
        cmocka_unit_test(test_a_revoked_leaf_is_told_of_in_the_same_words_by_its_links_and_as_a_whole),
        cmocka_unit_test(test_the_next_change_is_the_first_end_of_a_crl),
        cmocka_unit_test(test_a_trust_is_the_same_when_neither_policy_nor_crls_have_changed),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
