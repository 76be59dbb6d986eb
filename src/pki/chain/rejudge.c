/* Sessions that are open already: judged anew when what they were judged by has changed.
 *
 * As a rule by the few bytes of each certificate that the identity keeps (links.c): to say yes, or that the leaf itself
 * is revoked, which no other way to an anchor could change (every one goes through the key that signed it). Whatever is
 * not as plain is judged as in a handshake, from the certificates that the identity carries for the backends. */
#include <openssl/err.h>

#include "pki/chain/links.h"
#include "pki/chain/verify.h"

bool sp_trust_is_same(const struct sp_trust *a, const struct sp_trust *b)
{
    if (a == b)
        return true;
    return a != NULL && b != NULL && memcmp(a->policy_id, b->policy_id, sizeof(a->policy_id)) == 0 &&
           a->asks_ocsp == b->asks_ocsp && a->crl_warn_before_s == b->crl_warn_before_s &&
           sp_crls_are_same(&a->crls, &b->crls);
}

int64_t sp_trust_next_change(const struct sp_trust *t, int64_t now)
{
    return sp_crls_next_change(&t->crls, &t->crl_policy, now);
}

/* ---- by its links ---- */

/* CLEAR: everything is in order. REFUSED: the leaf is revoked, `detail` says since when. */
static enum sp_crl_answer judge_links(
    const struct sp_trust *t, const struct sp_identity *identity, int64_t now, char *detail, size_t room)
{
    if (memcmp(t->policy_id, identity->policy_id, sizeof(t->policy_id)) != 0 || now < identity->not_before ||
        now >= identity->chain_until)
        return SP_CRL_ASK;
    for (size_t i = 0; i < identity->link_count; i++) {
        enum sp_crl_answer answer =
            sp_crls_judge_link(&t->crls, &t->crl_policy, &identity->links[i], now, detail, room);
        if (answer != SP_CRL_CLEAR)
            return i == 0 ? answer : SP_CRL_ASK;
    }
    return SP_CRL_CLEAR;
}

/* ---- as a whole ---- */

static void judge_whole(
    const struct sp_judging *j, const struct sp_identity *identity, struct sp_verdict *out)
{
    struct sp_slice leaf_list = identity->client_cert, rest = identity->client_cert_chain;
    STACK_OF(X509) *sent = sk_X509_new_null();
    X509 *leaf = sp_links_next_certificate(&leaf_list);
    bool ok = sent != NULL && leaf != NULL;
    for (X509 *c; ok && (c = sp_links_next_certificate(&rest)) != NULL;) {
        ok = sk_X509_push(sent, c) > 0;
        if (!ok)
            X509_free(c);
    }
    if (ok)
        sp_identity_free(sp_verify_list(j, leaf, sent, NULL, NULL, out));
    else
        *out = (struct sp_verdict){
            .accepted = false, .reason = SP_REFUSAL_out_of_memory, .x509_error = X509_V_ERR_OUT_OF_MEM};
    sk_X509_pop_free(sent, X509_free);
    X509_free(leaf);
    ERR_clear_error();
}

void sp_trust_rejudge(
    const struct sp_trust *t, const struct sp_identity *identity, int64_t now, struct sp_verdict *out)
{
    const struct sp_judging j = {t, now, t->purpose};
    *out = (struct sp_verdict){
        .accepted = false, .reason = SP_REFUSAL_revoked, .x509_error = X509_V_ERR_CERT_REVOKED};
    switch (judge_links(t, identity, now, out->detail, sizeof(out->detail))) {
    case SP_CRL_CLEAR:
        *out = (struct sp_verdict){.accepted = true, .reason = SP_REFUSAL_none, .x509_error = X509_V_OK};
        break;
    case SP_CRL_REFUSED:
        break;
    default:
        judge_whole(&j, identity, out);
    }
}
