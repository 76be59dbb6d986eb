/* OCSP about clients: finds the issuer, which the identity does not hold as a certificate, and leaves the rest to
 * ocsp.c. Looked for where verification may have found it: the CAs of the bundle, the known intermediates, and the
 * chain that the client sent, as far as it was used. */
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdio.h>

#include "pki/chain/links.h"
#include "pki/chain/trust_impl.h"
#include "pki/ocsp/ocsp_veto.h"
#include "sallyport/pki/ocsp.h"
#include "sallyport/pki/x509.h"

struct search {
    OCSP_CERTID *id;
    const EVP_MD *digest;
    ASN1_INTEGER *serial;
    int64_t now;
    X509 *found; /* counted */
    bool is_valid;
};

/* Of several with this name and key (a CA's certificate that was renewed) one that is valid now is the better. */
static void consider(struct search *s, X509 *cert)
{
    time_t now = (time_t)s->now;
    if (s->is_valid)
        return;
    OCSP_CERTID *id =
        OCSP_cert_id_new(s->digest, X509_get_subject_name(cert), X509_get0_pubkey_bitstr(cert), s->serial);
    bool same = id != NULL && OCSP_id_cmp(id, s->id) == 0;
    OCSP_CERTID_free(id);
    if (!same || X509_up_ref(cert) != 1)
        return;
    X509_free(s->found);
    s->found = cert;
    s->is_valid = X509_cmp_time(X509_get0_notAfter(cert), &now) == 1 &&
                  X509_cmp_time(X509_get0_notBefore(cert), &now) == -1;
}

/* Hands over; NULL: there is none. */
static X509 *find_issuer(const struct sp_trust *t, const struct sp_identity *identity, int64_t now)
{
    struct search s = {.now = now};
    ASN1_OBJECT *digest = NULL;
    struct sp_slice list = identity->client_cert_chain;
    const unsigned char *p = (const unsigned char *)identity->ocsp_cert_id.ptr;
    if (identity->ocsp_cert_id.len == 0)
        return NULL;
    s.id = d2i_OCSP_CERTID(NULL, &p, (long)identity->ocsp_cert_id.len);
    if (s.id == NULL || OCSP_id_get0_info(NULL, &digest, NULL, &s.serial, s.id) != 1)
        goto out;
    s.digest = EVP_get_digestbyobj(digest);
    if (s.digest == NULL)
        goto out;
    for (size_t i = 0; i < t->cas.count; i++)
        consider(&s, t->cas.items[i].cert);
    for (int i = 0; i < sk_X509_num(t->intermediates); i++)
        consider(&s, sk_X509_value(t->intermediates, i));
    for (X509 *cert; (cert = sp_links_next_certificate(&list)) != NULL;) {
        consider(&s, cert);
        X509_free(cert);
    }
out:
    OCSP_CERTID_free(s.id);
    ERR_clear_error();
    return s.found;
}

struct crl_view {
    const struct sp_trust *t;
    int64_t now;
};

/* A responder whose key was stolen may speak for nobody. Only a CRL that lists it counts: without one, the CA's word that
 * it may sign stands (RFC 6960 §4.2.2.2.1). */
static bool is_revoked(void *arg, const X509 *signer, const X509 *issuer, char *detail, size_t room)
{
    const struct crl_view *view = arg;
    char why[160];
    if (sp_crls_judge(&view->t->crls, &view->t->crl_policy, NULL, signer, issuer, view->now, why,
            sizeof(why)) != SP_REFUSAL_revoked)
        return false;
    snprintf(detail, room, "the responder's own certificate is revoked: %s", why);
    return true;
}

void sp_trust_judge_ocsp(const struct sp_trust *t, const struct sp_identity *identity,
    struct sp_slice response, int64_t now, struct sp_ocsp_answer *out)
{
    struct crl_view view = {t, now};
    const struct sp_ocsp_veto veto = {is_revoked, &view};
    X509 *issuer = find_issuer(t, identity, now);
    if (issuer != NULL)
        sp_ocsp_judge_with(response, identity->ocsp_cert_id, issuer, now, &veto, out);
    else
        *out = (struct sp_ocsp_answer){.status = SP_OCSP_UNUSABLE,
            .detail = "the certificate's issuer is not at hand to verify the response"};
    X509_free(issuer);
}
