/* Building a chain. OpenSSL does it, as a rule: it goes from the leaf upwards, asks us for the issuer in the bundle first
 * (anchors.c) and takes what was sent otherwise, and never comes back to a choice. Where two certificates of one name
 * could be the issuer (a key was rotated, an intermediate is cross-signed, and no key identifiers tell them apart),
 * the first may be the wrong one. Then the other ways are walked here, by names alone, which costs no signature; and
 * each that ends at the bundle is given to OpenSSL as all there is. What it refuses stays refused: nothing is accepted
 * here, a chain is only proposed.
 *
 * A stranger decides what is sent, so the walk and the number of chains that are verified are bounded. */
#include "pki/chain/paths.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/x509/strength.h"

/* Names compared, issuers of the right name looked at, and other chains verified (each costs up to a signature a
 * certificate). */
#define MAX_NAMES   2000
#define MAX_ISSUERS 48
#define MAX_CHAINS  3
/* The leaf, and the intermediates that a configuration allows at most. */
#define MAX_LENGTH 12

int sp_paths_get_issuer(X509 **issuer, X509_STORE_CTX *ctx, X509 *cert)
{
    const struct sp_trust *t = X509_STORE_CTX_get_app_data(ctx);
    if (t == NULL) /* not called through sp_trust_verify */
        return X509_STORE_CTX_get1_issuer(issuer, ctx, cert);
    int64_t now = (int64_t)X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(ctx));
    struct sp_ca *ca = sp_cas_issuer(&t->cas, cert, X509_STORE_CTX_get0_untrusted(ctx), now);
    if (ca == NULL)
        return 0;
    if (X509_up_ref(ca->cert) != 1)
        return -1;
    *issuer = ca->cert;
    return 1;
}

bool sp_paths_set_parameters(const struct sp_judging *j, X509_STORE_CTX *ctx)
{
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_clear_flags(p, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_CRL_CHECK |
                                         X509_V_FLAG_CRL_CHECK_ALL | X509_V_FLAG_NO_CHECK_TIME |
                                         X509_V_FLAG_ALLOW_PROXY_CERTS | X509_V_FLAG_IGNORE_CRITICAL);
    X509_VERIFY_PARAM_set_time(p, (time_t)j->now);
    X509_VERIFY_PARAM_set_depth(p, (int)j->trust->depth);
    X509_VERIFY_PARAM_set_auth_level(p, SP_AUTH_LEVEL);
    /* the anchors are marked for clients (anchors.c), whatever the purpose */
    return X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_TRUSTED_FIRST) == 1 &&
           X509_VERIFY_PARAM_set_purpose(p, j->purpose) == 1 &&
           X509_VERIFY_PARAM_set_trust(p, X509_TRUST_SSL_CLIENT) == 1;
}

STACK_OF(X509) * sp_paths_pool(const struct sp_trust *t, const STACK_OF(X509) * sent)
{
    STACK_OF(X509) *pool = sent != NULL ? sk_X509_dup(sent) : sk_X509_new_null();
    bool ok = pool != NULL;
    for (int i = 0; ok && i < sk_X509_num(t->intermediates); i++)
        ok = sk_X509_push(pool, sk_X509_value(t->intermediates, i)) > 0;
    for (size_t i = 0; ok && i < t->cas.count; i++) {
        if (!t->cas.items[i].reaches_end)
            ok = sk_X509_push(pool, t->cas.items[i].cert) > 0;
    }
    if (ok)
        return pool;
    sk_X509_free(pool);
    return NULL;
}

/* ---- the other ways ---- */

struct search {
    const struct sp_judging *j;
    X509_STORE_CTX *ctx;
    const STACK_OF(X509) * pool;
    const STACK_OF(X509) * refused; /* the chain that OpenSSL built first */
    X509 *path[MAX_LENGTH];         /* leaf first, without the anchor */
    size_t len, max_len;
    unsigned names, issuers, chains;
};

static bool is_the_first_one(const struct search *s)
{
    for (size_t i = 0; i < s->len; i++) {
        if ((int)i >= sk_X509_num(s->refused) || sk_X509_value(s->refused, (int)i) != s->path[i])
            return false;
    }
    return true;
}

/* The path as it is, given to OpenSSL as all that was sent. */
static bool verify_path(struct search *s)
{
    bool good = false;
    STACK_OF(X509) *sent = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *chain = NULL;
    s->chains++;
    if (sent == NULL || ctx == NULL)
        goto out;
    for (size_t i = 1; i < s->len; i++) {
        if (sk_X509_push(sent, s->path[i]) <= 0)
            goto out;
    }
    if (X509_STORE_CTX_init(ctx, s->j->trust->store, s->path[0], sent) != 1 ||
        X509_STORE_CTX_set_app_data(ctx, (void *)s->j->trust) != 1 || !sp_paths_set_parameters(s->j, ctx) ||
        X509_verify_cert(ctx) != 1)
        goto out;
    chain = X509_STORE_CTX_get1_chain(ctx);
    if (chain == NULL)
        goto out;
    X509_STORE_CTX_set0_verified_chain(s->ctx, chain);
    X509_STORE_CTX_set_error(s->ctx, X509_V_OK);
    good = true;
out:
    X509_STORE_CTX_free(ctx);
    sk_X509_free(sent);
    return good;
}

static bool may_follow(const struct search *s, X509 *issuer)
{
    for (size_t i = 0; i < s->len; i++) {
        if (s->path[i] == issuer || X509_cmp(s->path[i], issuer) == 0)
            return false;
    }
    return X509_check_issued(issuer, s->path[s->len - 1]) == X509_V_OK &&
           X509_cmp_time(X509_get0_notAfter(issuer), &(time_t){(time_t)s->j->now}) > 0 &&
           X509_cmp_time(X509_get0_notBefore(issuer), &(time_t){(time_t)s->j->now}) < 0;
}

/* Depth first; not deeper than MAX_LENGTH. */
static bool walk(struct search *s)
{
    X509 *top = s->path[s->len - 1];
    if (s->chains < MAX_CHAINS && !is_the_first_one(s) &&
        sp_cas_issuer(&s->j->trust->cas, top, NULL, s->j->now) != NULL && verify_path(s))
        return true;
    for (int i = 0; s->len < s->max_len && i < sk_X509_num(s->pool); i++) {
        X509 *issuer = sk_X509_value(s->pool, i);
        if (s->chains >= MAX_CHAINS || s->issuers >= MAX_ISSUERS || ++s->names > MAX_NAMES)
            return false;
        if (X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(top)) != 0)
            continue;
        s->issuers++;
        if (!may_follow(s, issuer))
            continue;
        s->path[s->len++] = issuer;
        bool good = walk(s);
        s->len--;
        if (good)
            return true;
    }
    return false;
}

bool sp_paths_try_others(const struct sp_judging *j, X509_STORE_CTX *ctx, const STACK_OF(X509) * pool)
{
    struct search s = {.j = j, .ctx = ctx, .pool = pool, .refused = X509_STORE_CTX_get0_chain(ctx), .len = 1};
    s.path[0] = X509_STORE_CTX_get0_cert(ctx);
    s.max_len = j->trust->depth + 1 < MAX_LENGTH ? j->trust->depth + 1 : MAX_LENGTH;
    return s.refused != NULL && walk(&s);
}
