/* OCSP (RFC 6960) without the network: questions to be sent, and what an answer is worth. Who sends them is the gate
 * (about clients) and the daemon (about our own certificates, to staple).
 *
 * An answer is believed only if it is signed by the CA that issued the certificate, or by a responder that this very
 * CA has certified for it (OCSPSigning); no other CA that is trusted here may speak. No nonce is sent: answers are
 * remembered, by us and by responders, and what protects them is their time. */
#ifndef SP_PKI_OCSP_H
#define SP_PKI_OCSP_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"
#include "sallyport/pki/identity.h"
#include "sallyport/pki/trust.h"

/* A longer answer is not looked at. The largest in the wild, with a delegated responder's chain, are 5 KiB. */
#define SP_OCSP_MAX_BYTES 32768
/* How far a responder's clock may be from ours. */
#define SP_OCSP_SKEW_S 60
/* One without nextUpdate says that newer information is always there to be had; it is relied on for so long. */
#define SP_OCSP_ENDLESS_S 300

enum sp_ocsp_status { SP_OCSP_UNUSABLE, SP_OCSP_GOOD, SP_OCSP_REVOKED, SP_OCSP_UNKNOWN };

struct sp_ocsp_answer {
    enum sp_ocsp_status status; /* SP_OCSP_UNUSABLE: it says nothing, and `detail` says why */
    int64_t this_update;        /* seconds since 1970 */
    int64_t until;              /* relied on while now < until: nextUpdate, or a little after thisUpdate */
    bool is_endless;            /* it has no nextUpdate */
    int64_t revoked_at;         /* of a revoked one */
    const char *reason;         /* why it was revoked, a literal ("keyCompromise"); NULL: not said */
    char detail[256];           /* for the log, whatever the status */
};

/* The OCSPRequest (DER) that asks about the certificate of `cert_id` (as in struct sp_identity). Appends to `out`.
 * SP_FAIL: no CertID, or no memory. Any thread. */
SP_MUST_USE enum sp_rc sp_ocsp_request(struct sp_slice cert_id, struct sp_buf *out, struct sp_err *err);
/* What an answer is remembered under: a digest over both. Any thread. */
SP_MUST_USE enum sp_rc sp_ocsp_key(struct sp_slice url, struct sp_slice cert_id, uint8_t key[32]);
/* A response's file. SP_FAIL: `err` names it; err->sys is ENOENT if there is none. Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_ocsp_load(const char *path, struct sp_buf *out, struct sp_err *err);

/* What `response` (DER) says about the client `identity`, which `t` let in: its issuer is looked for among the CAs
 * of `t` and in the chain that came with the client. Two signatures are verified at most. Any thread. */
void sp_trust_judge_ocsp(const struct sp_trust *t, const struct sp_identity *identity,
    struct sp_slice response, int64_t now, struct sp_ocsp_answer *out);

/* ---- our own certificates ---- */

/* A server certificate and its issuer. Immutable; any thread. */
struct sp_ocsp_subject;

/* From a chain file as servers have it: leaf first, its issuer among the rest. SP_FAIL: `err` names the file and what
 * is missing. Hands over *out. Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_ocsp_subject_load(
    const char *chain_file, struct sp_ocsp_subject **out, struct sp_err *err);
void sp_ocsp_subject_free(struct sp_ocsp_subject *s); /* takes NULL */
/* The OCSPRequest (DER). Borrowed from `s`. */
struct sp_slice sp_ocsp_subject_request(const struct sp_ocsp_subject *s);
/* The responder that the certificate names (authorityInfoAccess, the first over http or https), or NULL. Anything may
 * stand there: sp_fetch_url_is_valid judges it. Borrowed from `s`. */
const char *sp_ocsp_subject_responder(const struct sp_ocsp_subject *s);
/* What `response` says of it. A fetched response may take the place of a kept one only if it is SP_OCSP_GOOD or
 * SP_OCSP_REVOKED, and not older. */
void sp_ocsp_subject_judge(
    const struct sp_ocsp_subject *s, struct sp_slice response, int64_t now, struct sp_ocsp_answer *out);

#endif
