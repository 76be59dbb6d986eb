/* The narrow door between `pki` and `tls`: certificates that OpenSSL has already parsed are handed over as they
 * are, so that nothing is parsed twice. Only rooms that may hold OpenSSL types include this. */
#ifndef SP_PKI_X509_H
#define SP_PKI_X509_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/pki/identity.h"

struct x509_st;
struct stack_st_X509;

/* The identity of a leaf whose chain has been verified. `verified_chain` is what X509_STORE_CTX_get0_chain gives:
 * leaf first, trust anchor last; both ends are left out of client_cert_chain. NULL: no chain. Borrows both;
 * hands over *out. Any thread. SP_FAIL: `err` names what is hostile or malformed. */
SP_MUST_USE enum sp_rc sp_identity_from_x509(const struct x509_st *leaf,
    const struct stack_st_X509 *verified_chain, struct sp_identity **out, struct sp_err *err);

/* The whole judgement of a client in a handshake: sp_trust_verify, and the identity that comes of an accepted
 * chain, to be given back with sp_identity_free. NULL unless out->accepted. A chain that was accepted lately is
 * recognised by its bytes and not verified again, until the first moment at which the verdict could be another
 * one. The leaf, in `ctx` and at the head of the list that the client sent, which owns it, gives way to an equal one that other
 * connections hold already. Any gate thread; `ctx` as SSL made it for the trust's store. */
struct x509_store_ctx_st;
struct sp_trust;
struct sp_verdict;
SP_MUST_USE struct sp_identity *sp_trust_admit(
    const struct sp_trust *t, struct x509_store_ctx_st *ctx, int64_t now, struct sp_verdict *out);

/* The same for a client that resumes a session: the leaf is the session's, `chain` the DER of what it sent above it when
 * it proved itself. Whoever is recognised by these bytes is not parsed again either. Borrows all. Any gate thread. */
SP_MUST_USE struct sp_identity *sp_trust_readmit(const struct sp_trust *t, struct x509_st *leaf,
    const struct sp_slice *chain, size_t chain_count, int64_t now, struct sp_verdict *out);

/* The same as sp_ocsp_subject_load from what is loaded already. Borrows `leaf`, shares the issuer that it finds
 * among `chain`; hands over *out. SP_FAIL: the leaf is self-signed, or its issuer is not there. */
struct sp_ocsp_subject;
SP_MUST_USE enum sp_rc sp_ocsp_subject_new(struct x509_st *leaf, const struct stack_st_X509 *chain,
    struct sp_ocsp_subject **out, struct sp_err *err);
/* The certificate asks clients to insist on a staple (RFC 7633, "must-staple"). */
bool sp_ocsp_is_required(const struct x509_st *leaf);

/* What `response` says of the certificate with the DER CertID `cert_id`, whose issuer is `issuer`: the judgement behind
 * all others. */
struct sp_ocsp_answer;
void sp_ocsp_judge(struct sp_slice response, struct sp_slice cert_id, struct x509_st *issuer, int64_t now,
    struct sp_ocsp_answer *out);
/* Appends the DER CertID, with SHA-1: the one that every responder knows (RFC 5019 §2.1.1). Names and keys that
 * collide under it would have to be a CA's that we trust. */
SP_MUST_USE enum sp_rc sp_ocsp_cert_id(
    const struct x509_st *leaf, const struct x509_st *issuer, struct sp_buf *out, struct sp_err *err);

/* Every certificate of a PEM file in the order of the file, or the one of a DER file. Other PEM blocks (a
 * private key) and text between the blocks are passed over. NULL: `err` names the file and the item:
 * unreadable, no certificate in it, or one that cannot be parsed. Hands over the stack (sk_X509_pop_free with
 * X509_free). Blocks on the disk: builder thread. */
SP_MUST_USE struct stack_st_X509 *sp_pki_load_certificates(const char *path, struct sp_err *err);

#endif
