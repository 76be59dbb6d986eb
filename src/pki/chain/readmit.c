/* The verdict on a client that resumes a session, from the certificates that its ticket brings back: the same
 * judgement as in a full handshake, and the same identity. Usually the memory of accepted chains knows them, and then
 * nothing above the leaf is parsed. */
#include <openssl/err.h>
#include <stdio.h>

#include "pki/chain/trust_impl.h"
#include "pki/x509/load.h"
#include "sallyport/pki/x509.h"

/* What the client presented, leaf first, as SSL would have it. */
static STACK_OF(X509) * presented(X509 *leaf, const struct sp_slice *chain, size_t chain_count)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    bool ok = all != NULL && X509_add_cert(all, leaf, X509_ADD_FLAG_UP_REF) == 1;
    for (size_t i = 0; ok && i < chain_count; i++) {
        X509 *cert = sp_load_der(chain[i]);
        ok = cert != NULL && sk_X509_push(all, cert) > 0;
        if (!ok)
            X509_free(cert);
    }
    if (ok)
        return all;
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

struct sp_identity *sp_trust_readmit(const struct sp_trust *t, struct x509_st *leaf,
    const struct sp_slice *chain, size_t chain_count, int64_t now, struct sp_verdict *out)
{
    uint8_t key[SP_VERIFIED_KEY];
    struct sp_identity *identity = NULL;
    *out =
        (struct sp_verdict){.reason = SP_REFUSAL_certificate_invalid, .x509_error = X509_V_ERR_UNSPECIFIED};
    if (sp_verified_key_of_der(t->verified, leaf, chain, chain_count, key) == SP_OK)
        identity = sp_verified_find(t->verified, key, now);
    if (identity != NULL) {
        *out = (struct sp_verdict){
            .accepted = true, .reason = SP_REFUSAL_none, .x509_error = X509_V_OK, .remembered = true};
        return identity;
    }
    STACK_OF(X509) *all = presented(leaf, chain, chain_count);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (all != NULL && ctx != NULL && X509_STORE_CTX_init(ctx, t->store, leaf, all) == 1)
        identity = sp_trust_admit(t, ctx, now, out);
    else
        snprintf(out->detail, sizeof(out->detail), "the certificates of the session cannot be parsed");
    X509_STORE_CTX_free(ctx);
    sk_X509_pop_free(all, X509_free);
    ERR_clear_error();
    return identity;
}
