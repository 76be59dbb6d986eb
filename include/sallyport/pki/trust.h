/* What a listener trusts of clients, or an upstream of backends (auth->of_servers): a CA bundle, the CRLs that speak of it,
 * and how strict to be. Built once per snapshot on the builder thread, immutable and shared by all threads afterwards. */
#ifndef SP_PKI_TRUST_H
#define SP_PKI_TRUST_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/config/config.h"
#include "sallyport/obs/refusal.h"
#include "sallyport/pki/identity.h"

struct x509_store_st;
struct x509_store_ctx_st;
struct x509_st;
struct stack_st_X509_NAME;

struct sp_shelf;
struct sp_trust;

/* Loads every file of `auth`; CRLs by way of `shelf`, if there is one. Errors and warnings (an expired CA is left
 * out; a CRL near or past its end; a CRL that no CA of the bundle signed) go to `diags` with the key's place. An
 * unreadable, empty or unusable file is an error: NULL. Hands over one reference. */
SP_MUST_USE struct sp_trust *sp_trust_new(const char *config_file, const struct sp_config_client_auth *auth,
    struct sp_shelf *shelf, struct sp_diags *diags);
/* The same as of another time, for tests and `verify --time`. Here a bundle of nothing but expired CAs is for the
 * verdict to refuse (expired), and no error. */
SP_MUST_USE struct sp_trust *sp_trust_new_at(const char *config_file,
    const struct sp_config_client_auth *auth, struct sp_shelf *shelf, int64_t now, struct sp_diags *diags);
/* The CAs, intermediates and settings of `old`, with the CRLs read anew: what is left to do while a CA file cannot be
 * used. `auth` is what `old` was made of. */
SP_MUST_USE struct sp_trust *sp_trust_renew_crls(const struct sp_trust *old, const char *config_file,
    const struct sp_config_client_auth *auth, struct sp_shelf *shelf, struct sp_diags *diags);
struct sp_trust *sp_trust_ref(struct sp_trust *t); /* one more owner; any thread */
void sp_trust_free(struct sp_trust *t);            /* one owner fewer; any thread; takes NULL */
/* Whether both judge alike at any time: the same policy and the very same CRLs. The older one may then be kept, with
 * what it remembers. */
bool sp_trust_is_same(const struct sp_trust *a, const struct sp_trust *b);

/* For SSL_CTX: borrowed, valid as long as the trust. */
struct x509_store_st *sp_trust_store(const struct sp_trust *t);
/* The CA names for the CertificateRequest: a new stack, handed over. */
struct stack_st_X509_NAME *sp_trust_ca_names(const struct sp_trust *t);
/* SHA-256 over everything that decides who passes (CAs, intermediates, CRL settings, mode, depth, OCSP; not what the
 * CRLs hold): the session id context. */
void sp_trust_policy_id(const struct sp_trust *t, uint8_t out[32]);

/* The verdict on a chain. Starts as refused, always. */
struct sp_verdict {
    bool accepted;
    enum sp_refusal reason;
    int x509_error;   /* what X509_STORE_CTX_set_error is given: decides the alert */
    bool remembered;  /* accepted by its bytes, without verifying again */
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

/* ---- sessions that are open already ---- */

/* Judges anew a client that was let in by this or an earlier trust of its policy's place: times, and the revocation
 * of every link of its chain; where CAs or settings have changed since (policy_id) or its CRLs are not simple ones,
 * the whole chain from its DER. Under a microsecond a link as a rule, a millisecond at worst. Any thread. */
void sp_trust_rejudge(
    const struct sp_trust *t, const struct sp_identity *identity, int64_t now, struct sp_verdict *out);
/* The first moment after `now` at which a verdict could change without anything being read: a CRL comes into force,
 * or has become too old. INT64_MAX: never. (The end of a certificate is the identity's chain_until.) */
int64_t sp_trust_next_change(const struct sp_trust *t, int64_t now);

/* ---- one certificate at length: `verify` ---- */

enum sp_trust_purpose { SP_PURPOSE_CLIENT, SP_PURPOSE_SERVER, SP_PURPOSE_ANY };

/* A certificate of the chain, as far as the chain was built. Text is valid during the call. */
struct sp_trust_step {
    const char *subject, *issuer; /* RFC 4514, escaped */
    const char *serial;           /* lower-case hex */
    int64_t not_before, not_after;
    bool is_anchor;
    /* What the CRLs of its issuer say, if `is_judged`: the chain was proven, and it is not the anchor. */
    bool is_judged;
    enum sp_refusal revocation; /* SP_REFUSAL_none: nothing against it */
    const char *detail;         /* which CRL, since when; or that there is none */
};

/* Judges the first certificate of `file` (PEM or DER), the others beside it as if the client had sent them: exactly as
 * a handshake does, but for the purpose. `each` is called for each certificate of the chain, leaf first. An accepted
 * client's *identity is handed over, NULL else; `identity` may be NULL. SP_FAIL: the file cannot be read; `err` says
 * why. Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_trust_inspect(const struct sp_trust *t, const char *file,
    enum sp_trust_purpose purpose, int64_t now, void (*each)(void *arg, const struct sp_trust_step *step),
    void *arg, struct sp_verdict *out, struct sp_identity **identity, struct sp_err *err);
/* What the first certificate of `file` (PEM or DER) says, judged by nobody. Hands over *out. SP_FAIL: `err` says why.
 * Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_identity_load(const char *file, struct sp_identity **out, struct sp_err *err);

/* ---- reports: `check`, metrics, warnings ahead of time ---- */

struct sp_trust_ca {
    const char *subject; /* RFC 4514, escaped; valid during the call, as all text here */
    const char *file;
    int64_t not_before, not_after;
    bool is_anchor; /* a chain may end here */
    bool has_crl;   /* one in force covers all of its certificates */
};

struct sp_trust_crl {
    const char *issuer;
    const char *source;               /* "crl/root.pem, CRL 2" */
    const char *url;                  /* without its query; NULL: a file or folder */
    const char *number;               /* CRLNumber in hex, "" none */
    int64_t this_update, next_update; /* next_update INT64_MAX: none */
    int64_t loaded_at;                /* when its file was last read and it was good */
    uint64_t entries;
    int64_t warn_at;      /* from then on it is near its end; INT64_MAX: never */
    const char *unusable; /* why it is left out, or NULL */
    const char *note; /* "end entities only", "delta of 12", "signed by no CA of the bundle" ..., or NULL */
    /* What is wrong with its file by now, while this last good copy is in force; or NULL. */
    const char *trouble;
};

/* One call an item. Any thread. */
void sp_trust_each_ca(
    const struct sp_trust *t, int64_t now, void (*each)(void *arg, const struct sp_trust_ca *ca), void *arg);
void sp_trust_each_crl(
    const struct sp_trust *t, void (*each)(void *arg, const struct sp_trust_crl *crl), void *arg);

/* What can be said of a refused or accepted leaf for the log, even if it is hostile: escaped, cut at `room`,
 * never fails. */
struct sp_cert_facts {
    char subject[512], issuer[512], serial[80], sans[1024];
    char sha256[65]; /* of the DER */
};
void sp_cert_facts_of(const struct x509_st *cert, struct sp_cert_facts *out);
/* The same of one that was accepted. */
void sp_cert_facts_of_identity(const struct sp_identity *id, struct sp_cert_facts *out);

#endif
