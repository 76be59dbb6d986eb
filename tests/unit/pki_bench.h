/* What the tests of chains and of CRLs share: a trust out of files of the fixture, judged at the fixture's now,
 * and the words for what came out. */
#ifndef SP_TESTS_PKI_BENCH_H
#define SP_TESTS_PKI_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "pki_fixture.h"
#include "sallyport/config/config.h"
#include "sallyport/pki/trust.h"

struct bench {
    struct sp_config_client_auth auth;
    const char *ca[4], *crl[8];
    struct sp_diags diags;
    struct sp_trust *trust;
};

static inline void bench_ca(struct bench *b, const char *path)
{
    b->ca[b->auth.ca.count++] = path;
    b->auth.ca.items = b->ca;
}

static inline void bench_crl(struct bench *b, const char *path)
{
    b->crl[b->auth.crl.count++] = path;
    b->auth.crl.items = b->crl;
}

static inline void bench_print(struct bench *b)
{
    struct sp_buf out = {0};
    sp_diags_print(&b->diags, &out);
    print_message("%.*s", SP_FMT(sp_buf_slice(&out)));
    sp_buf_free(&out);
}

/* Not NULL, or the test ends with what was wrong. */
static inline void bench_open(struct bench *b)
{
    b->trust = sp_trust_new_at("test.yaml", &b->auth, NULL, FIX_NOW, &b->diags);
    if (b->trust == NULL)
        bench_print(b);
    assert_non_null(b->trust);
}

static inline bool bench_says(const struct bench *b, const char *words)
{
    for (size_t i = 0; i < b->diags.count; i++) {
        if (strstr(b->diags.items[i].text, words) != NULL)
            return true;
    }
    return false;
}

static inline void bench_close(struct bench *b)
{
    sp_trust_free(b->trust);
    sp_diags_free(&b->diags);
    memset(b, 0, sizeof(*b));
}

static inline struct sp_verdict bench_judge_at(const struct bench *b, const struct fix_cert *leaf,
    const struct fix_cert *const *above, size_t count, int64_t now)
{
    struct sp_verdict v;
    struct sp_slice chain[16], der = fix_der(leaf);
    assert_true(count <= SP_COUNTOF(chain));
    for (size_t i = 0; i < count; i++)
        chain[i] = fix_der(above[i]);
    sp_trust_verify_der(b->trust, der, chain, count, now, &v);
    for (size_t i = 0; i < count; i++)
        OPENSSL_free((void *)chain[i].ptr);
    OPENSSL_free((void *)der.ptr);
    return v;
}

static inline void bench_expect(const struct sp_verdict *v, enum sp_refusal want, const char *name)
{
    if (v->reason != want)
        print_message("%s: wanted %s, got %s: %s\n", name, sp_refusal_name(want), sp_refusal_name(v->reason),
            v->detail);
    assert_int_equal(v->reason, want);
    assert_int_equal(v->accepted, want == SP_REFUSAL_none);
    assert_int_equal(v->x509_error == X509_V_OK, v->accepted);
    assert_int_equal(v->detail[0] == '\0', v->accepted);
}

/* A small PKI. */
struct pki {
    struct fix_cert root, inter, leaf;
};

static inline struct pki make_pki(void)
{
    struct pki p;
    p.root = fix_issue(&(struct fix_spec){.subject = "CN=root"}, NULL, true);
    p.inter = fix_issue(&(struct fix_spec){.subject = "CN=intermediate"}, &p.root, true);
    p.leaf = fix_issue(&(struct fix_spec){.subject = "CN=leaf"}, &p.inter, false);
    return p;
}

static inline void free_pki(struct pki *p)
{
    fix_free(&p->leaf);
    fix_free(&p->inter);
    fix_free(&p->root);
}

static inline struct bench lax(unsigned depth)
{
    return (struct bench){.auth = {.depth = depth, .crl_missing = SP_CRL_MISSING_ACCEPT}};
}

#endif
