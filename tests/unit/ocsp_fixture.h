/* OCSP responses made in the test by OpenSSL calls, right ones and wrong. A field left zero takes the ordinary value. */
#ifndef SP_TESTS_OCSP_FIXTURE_H
#define SP_TESTS_OCSP_FIXTURE_H

#include <openssl/ocsp.h>

#include "pki_fixture.h"

struct fix_ocsp_spec {
    const struct fix_cert *about;  /* the certificate */
    const struct fix_cert *issuer; /* of it: in the CertID, and signing unless there is a signer */
    const struct fix_cert *signer;
    const struct fix_cert *more; /* one more certificate in the response */
    int status;                  /* V_OCSP_CERTSTATUS_...; default good */
    int reason;                  /* of a revoked one; 0: none is given */
    int64_t from, to;    /* thisUpdate, nextUpdate relative to FIX_NOW; default an hour ago, in a day */
    bool no_end;         /* no nextUpdate */
    const EVP_MD *id_md; /* of the CertID; default SHA-1 */
    const EVP_MD *md;    /* of the signature; default SHA-256 */
    bool by_key;         /* the responder is named by its key */
    bool without_certs;  /* the signer's certificate is not sent along */
    bool critical_in_all, critical_in_one; /* an extension that nobody understands */
    int others; /* so many more answers, about other certificates of the issuer, in front */
    int outer;  /* OCSP_RESPONSE_STATUS_... instead of an answer */
    bool break_signature;
    int64_t now; /* instead of FIX_NOW */
};
/* To be freed with OPENSSL_free. Aborts the test run when OpenSSL fails. */
struct sp_slice fix_ocsp(const struct fix_ocsp_spec *spec);
/* A file of it in the fixture's folder. */
const char *fix_write_ocsp(const char *name, struct sp_slice der);

#endif
