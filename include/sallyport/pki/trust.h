/* What a listener trusts: its CA bundle, the CRLs that speak of it, and how strict to be. Built once per
 * snapshot on the builder thread, immutable and shared by all gates afterwards. */
#ifndef SP_PKI_TRUST_H
#define SP_PKI_TRUST_H

#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/obs/refusal.h"
#include "sallyport/pki/identity.h"

struct x509_store_st;
struct x509_store_ctx_st;
struct x509_st;
struct stack_st_X509_NAME;

struct sp_trust;

/* Loads every file of `auth`. Errors and warnings (an expired CA is left out; a CRL near or past its end; a CRL
 * that no CA of the bundle signed) go to `diags` with the key's place. An unreadable, empty or unusable file is
 * an error: NULL. */
SP_MUST_USE struct sp_trust *sp_trust_new(
    const char *config_file, const struct sp_config_client_auth *auth, struct sp_diags *diags);
/* The same as of another time, for tests. Here a bundle of nothing but expired CAs is for the verdict
 * to refuse (expired), and no error. */
SP_MUST_USE struct sp_trust *sp_trust_new_at(
    const char *config_file, const struct sp_config_client_auth *auth, int64_t now, struct sp_diags *diags);
void sp_trust_free(struct sp_trust *t); /* takes NULL */

/* For SSL_CTX: borrowed, valid as long as the trust. */
struct x509_store_st *sp_trust_store(const struct sp_trust *t);
/* The CA names for the CertificateRequest: a new stack, handed over. */
struct stack_st_X509_NAME *sp_trust_ca_names(const struct sp_trust *t);
/* SHA-256 over everything that decides who passes (CAs, CRL settings, mode, depth): the session id context. */
void sp_trust_policy_id(const struct sp_trust *t, uint8_t out[32]);

/* The verdict on a chain. Starts as refused, always. */
struct sp_verdict {
    bool accepted;
    enum sp_refusal reason;
    int x509_error;   /* what X509_STORE_CTX_set_error is given: decides the alert */
    char detail[256]; /* which certificate, which CRL, since when */
};

/* Builds and judges the chain of `ctx` (made for the trust's store, untrusted chain set): path, purpose, depth,
 * times, then revocation of every certificate below the anchor. Sets the ctx error. Any gate thread; no lock in
 * steady state. `now` in seconds since 1970. The alert follows x509_error, so crl_missing and crl_stale do not
 * claim that the certificate is bad. */
void sp_trust_verify(
    const struct sp_trust *t, struct x509_store_ctx_st *ctx, int64_t now, struct sp_verdict *out);
/* The same from DER without TLS: for tests. */
void sp_trust_verify_der(const struct sp_trust *t, struct sp_slice leaf, const struct sp_slice *chain,
    size_t chain_count, int64_t now, struct sp_verdict *out);

/* What can be said of a refused or accepted leaf for the log, even if it is hostile: escaped, cut at `room`,
 * never fails. */
struct sp_cert_facts {
    char subject[512], issuer[512], serial[80], sans[1024];
};
void sp_cert_facts_of(const struct x509_st *cert, struct sp_cert_facts *out);

/* For `check`: one line a CA and a CRL (subject, notAfter; entries, thisUpdate, nextUpdate, gaps). */
void sp_trust_describe(const struct sp_trust *t, int64_t now, struct sp_buf *out);

#endif
