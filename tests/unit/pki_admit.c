/* What a handshake asks of a trust, and what it remembers: a chain that was accepted is recognised by its
 * bytes, and by nothing less, and only for as long as the verdict could not be another one. Recognised is what
 * gives the very same identity again. */
#include "pki/chain/verified.h"
#include "pki_bench.h"
#include "sallyport/pki/x509.h"

/* A trust with a CRL of root and intermediate, which end in a day. */
struct world {
    struct pki p;
    X509_CRL *crls[2];
    struct bench b;
};

static void open_world(struct world *w, bool leaf_is_revoked)
{
    w->p = make_pki();
    w->crls[0] = fix_crl(&(struct fix_crl_spec){0}, &w->p.root);
    w->crls[1] =
        fix_crl(&(struct fix_crl_spec){.revoked = {leaf_is_revoked ? w->p.leaf.cert : NULL}}, &w->p.inter);
    w->b = (struct bench){.auth = {.depth = 4, .crl_missing = SP_CRL_MISSING_REJECT}};
    bench_ca(&w->b, fix_write_certs("root.pem", &w->p.root.cert, 1));
    bench_crl(&w->b, fix_write_crls("all.crl", w->crls, 2));
    bench_open(&w->b);
}

static void close_world(struct world *w)
{
    bench_close(&w->b);
    X509_CRL_free(w->crls[0]);
    X509_CRL_free(w->crls[1]);
    free_pki(&w->p);
}

/* As SSL makes it: the list that the client sent begins with the leaf. */
static struct sp_identity *admit(
    const struct world *w, X509 *const *sent, size_t count, int64_t now, struct sp_verdict *v)
{
    STACK_OF(X509) *list = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    for (size_t i = 0; i < count; i++)
        assert_true(sk_X509_push(list, sent[i]) > 0);
    assert_int_equal(X509_STORE_CTX_init(ctx, sp_trust_store(w->b.trust), sent[0], list), 1);
    struct sp_identity *id = sp_trust_admit(w->b.trust, ctx, now, v);
    assert_int_equal(id != NULL, v->accepted);
    assert_int_equal(X509_STORE_CTX_get_error(ctx) == X509_V_OK, v->accepted);
    X509_STORE_CTX_free(ctx);
    sk_X509_free(list);
    return id;
}

static void test_a_chain_that_was_accepted_is_recognised_and_any_other_is_not(void **state)
{
    (void)state;
    struct world w;
    struct sp_verdict v;
    open_world(&w, false);
    X509 *sent[] = {w.p.leaf.cert, w.p.inter.cert, w.p.root.cert};
    struct sp_identity *first = admit(&w, sent, 2, FIX_NOW, &v);
    struct sp_identity *again = admit(&w, sent, 2, FIX_NOW + 1, &v);
    struct sp_identity *longer = admit(&w, sent, 3, FIX_NOW, &v);
    assert_non_null(first);
    assert_ptr_equal(first, again);
    assert_non_null(longer);
    assert_ptr_not_equal(first, longer);
    assert_null(admit(
        &w, sent, 1, FIX_NOW, &v)); /* without its intermediate it proves nothing, whatever was seen before */
    assert_int_equal(v.reason, SP_REFUSAL_untrusted_issuer);
    sp_identity_free(first);
    sp_identity_free(again);
    sp_identity_free(longer);
    close_world(&w);
}

/* What SSL would keep of the list: the leaf, with a reference of its own. */
static X509 *admitted_leaf(const struct world *w)
{
    struct sp_verdict v;
    STACK_OF(X509) *list = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *leaf = X509_dup(w->p.leaf.cert);
    assert_true(sk_X509_push(list, leaf) > 0 && sk_X509_push(list, X509_dup(w->p.inter.cert)) > 0);
    assert_int_equal(X509_STORE_CTX_init(ctx, sp_trust_store(w->b.trust), leaf, list), 1);
    struct sp_identity *id = sp_trust_admit(w->b.trust, ctx, FIX_NOW, &v);
    assert_non_null(id);
    X509 *kept = sk_X509_shift(list);
    assert_ptr_equal(kept, X509_STORE_CTX_get0_cert(ctx));
    sp_identity_free(id);
    X509_STORE_CTX_free(ctx);
    sk_X509_pop_free(list, X509_free);
    return kept;
}

static void test_connections_of_one_client_share_its_parsed_leaf_within_a_library(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    OSSL_LIB_CTX *other = OSSL_LIB_CTX_new();
    X509 *leaf[3] = {admitted_leaf(&w), admitted_leaf(&w)};
    OSSL_LIB_CTX *before = OSSL_LIB_CTX_set0_default(other);
    leaf[2] = admitted_leaf(&w);
    OSSL_LIB_CTX_set0_default(before);
    assert_ptr_equal(leaf[0], leaf[1]);
    assert_ptr_not_equal(leaf[0], leaf[2]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(X509_cmp(leaf[i], w.p.leaf.cert), 0);
        X509_free(leaf[i]);
    }
    close_world(&w);
    OSSL_LIB_CTX_free(other);
}

static void test_a_refusal_is_never_remembered_as_anything_else(void **state)
{
    (void)state;
    struct world w;
    struct sp_verdict v;
    open_world(&w, true);
    X509 *sent[] = {w.p.leaf.cert, w.p.inter.cert};
    for (int i = 0; i < 3; i++) {
        assert_null(admit(&w, sent, 2, FIX_NOW, &v));
        assert_int_equal(v.reason, SP_REFUSAL_revoked);
    }
    close_world(&w);
}

static void test_recognition_ends_with_whatever_could_change_the_verdict(void **state)
{
    (void)state;
    const struct {
        int64_t at;
        enum sp_refusal want;
    } cases[] = {
        {FIX_NOW + FIX_DAY - 1, SP_REFUSAL_none}, {FIX_NOW + FIX_DAY, SP_REFUSAL_crl_stale}, /* nextUpdate */
        {FIX_NOW + 400 * FIX_DAY, SP_REFUSAL_expired},      /* notAfter of the leaf */
        {FIX_NOW - 30 * FIX_DAY, SP_REFUSAL_not_yet_valid}, /* a clock that was set back */
    };
    struct world w;
    struct sp_verdict v;
    open_world(&w, false);
    X509 *sent[] = {w.p.leaf.cert, w.p.inter.cert};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        sp_identity_free(admit(&w, sent, 2, FIX_NOW, &v));
        assert_true(v.accepted);
        sp_identity_free(admit(&w, sent, 2, cases[i].at, &v));
        assert_int_equal(v.reason, cases[i].want);
    }
    close_world(&w);
}

static void test_a_crl_that_comes_into_force_ends_recognition(void **state)
{
    (void)state;
    struct world w;
    struct sp_verdict v;
    w.p = make_pki();
    w.crls[0] = fix_crl(&(struct fix_crl_spec){.to = 9 * FIX_DAY}, &w.p.inter);
    w.crls[1] = fix_crl(
        &(struct fix_crl_spec){.from = FIX_HOUR, .to = 9 * FIX_DAY, .revoked = {w.p.leaf.cert}}, &w.p.inter);
    w.b = (struct bench){.auth = {.depth = 4, .crl_missing = SP_CRL_MISSING_ACCEPT}};
    bench_ca(&w.b, fix_write_certs("root.pem", &w.p.root.cert, 1));
    bench_crl(&w.b, fix_write_crls("both.crl", w.crls, 2));
    bench_open(&w.b);
    X509 *sent[] = {w.p.leaf.cert, w.p.inter.cert};
    sp_identity_free(admit(&w, sent, 2, FIX_NOW, &v));
    assert_true(v.accepted);
    assert_null(admit(&w, sent, 2, FIX_NOW + FIX_HOUR, &v));
    assert_int_equal(v.reason, SP_REFUSAL_revoked);
    close_world(&w);
}

/* Every reference is given back, or the leak checker says so. */
static void test_more_chains_than_there_is_room_for_give_way_to_the_newest(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct world w;
    struct sp_verdict v;
    uint8_t key[SP_VERIFIED_KEY] = {0};
    size_t kept = 0;
    open_world(&w, false);
    X509 *sent[] = {w.p.leaf.cert, w.p.inter.cert};
    struct sp_identity *id = admit(&w, sent, 2, FIX_NOW, &v);
    struct sp_verified *cache = sp_verified_new();
    assert_non_null(id);
    assert_non_null(cache);
    for (unsigned i = 0; i < MANY; i++) {
        key[0] = (uint8_t)i;
        memcpy(key + 1, &i, sizeof(i));
        sp_verified_put(cache, key, FIX_NOW, FIX_NOW + 10, id);
        struct sp_identity *found = sp_verified_find(cache, key, FIX_NOW);
        assert_ptr_equal(found, id);
        sp_identity_free(found);
    }
    for (unsigned i = 0; i < MANY; i++) {
        key[0] = (uint8_t)i;
        memcpy(key + 1, &i, sizeof(i));
        struct sp_identity *found = sp_verified_find(cache, key, FIX_NOW);
        kept += found != NULL;
        sp_identity_free(found);
    }
    assert_int_equal(kept, 1024);
    sp_verified_free(cache);
    sp_identity_free(id);
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
        cmocka_unit_test(test_a_chain_that_was_accepted_is_recognised_and_any_other_is_not),
        cmocka_unit_test(test_connections_of_one_client_share_its_parsed_leaf_within_a_library),
        cmocka_unit_test(test_a_refusal_is_never_remembered_as_anything_else),
        cmocka_unit_test(test_recognition_ends_with_whatever_could_change_the_verdict),
        cmocka_unit_test(test_a_crl_that_comes_into_force_ends_recognition),
        cmocka_unit_test(test_more_chains_than_there_is_room_for_give_way_to_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
