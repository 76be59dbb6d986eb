/* One certificate of a chain against the CRLs, with all that may have to be asked for it: a CRL can be signed by another
 * key than the one that signed the certificate (a CA with a key for CRLs alone, a CA that changed its key, an indirect
 * CRL). Such a signer is believed when it leads to the very anchor of the chain and is not revoked itself; its own
 * status has to come from CRLs that need no signer of that kind again, but for one: its own.
 *
 * Signers are looked for in the chain, which is proven, and among what the operator gave; not in what the client sent
 * beside its chain, for each would cost a signature, and a client that chooses them can choose many. */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/chain/verify.h"

struct asking {
    const struct sp_judging *judging;
    const STACK_OF(X509) * chain;
    STACK_OF(X509) * pool; /* the chain, and what the operator gave */
    const X509 *signer;    /* whose own status is asked for, or NULL */
};

static bool verify_crl_issuer(void *arg, X509 *crl_issuer);

static enum sp_refusal ask(
    const struct asking *a, const STACK_OF(X509) * chain, int at, char *detail, size_t room)
{
    const struct sp_trust *t = a->judging->trust;
    const struct sp_crl_context context = {
        .chain = chain,
        .cas = &t->cas,
        .extra = a->pool,
        .verify_crl_issuer = verify_crl_issuer,
        .arg = (void *)a,
    };
    return sp_crls_judge(&t->crls, &t->crl_policy, &context, sk_X509_value(chain, at),
        sk_X509_value(chain, at + 1), a->judging->now, detail, room);
}

/* Its chain is proven; none of it may be revoked. */
static bool is_unrevoked(const struct asking *a, X509 *crl_issuer, const STACK_OF(X509) * path)
{
    char detail[256];
    const struct asking inner = {a->judging, a->chain, a->pool, crl_issuer};
    for (int i = 0; i + 1 < sk_X509_num(path); i++) {
        if (ask(&inner, path, i, detail, sizeof(detail)) != SP_REFUSAL_none)
            return false;
    }
    return true;
}

static bool verify_crl_issuer(void *arg, X509 *crl_issuer)
{
    const struct asking *a = arg;
    if (a->signer != NULL)
        return X509_cmp(a->signer, crl_issuer) == 0;
    const struct sp_judging any = {a->judging->trust, a->judging->now, X509_PURPOSE_ANY};
    const X509 *anchor = sk_X509_value(a->chain, sk_X509_num(a->chain) - 1);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool good = false;
    if (ctx == NULL || X509_STORE_CTX_init(ctx, any.trust->store, crl_issuer, a->pool) != 1 ||
        X509_STORE_CTX_set_app_data(ctx, (void *)any.trust) != 1 || !sp_paths_set_parameters(&any, ctx) ||
        (X509_verify_cert(ctx) != 1 && !sp_paths_try_others(&any, ctx, a->pool)))
        goto out;
    const STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(ctx);
    good = X509_cmp(sk_X509_value(path, sk_X509_num(path) - 1), anchor) == 0 &&
           is_unrevoked(a, crl_issuer, path);
out:
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

enum sp_refusal sp_judge_link(
    const struct sp_judging *j, const STACK_OF(X509) * chain, int at, char *detail, size_t room)
{
    const struct asking a = {j, chain, sp_paths_pool(j->trust, chain), NULL};
    enum sp_refusal r = SP_REFUSAL_out_of_memory;
    detail[0] = '\0';
    if (a.pool != NULL)
        r = ask(&a, chain, at, detail, room);
    sk_X509_free(a.pool);
    return r;
}
