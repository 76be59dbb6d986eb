/* A say in who may sign an OCSP response, beside the CA's own word. Private to `pki`. */
#ifndef SP_SRC_PKI_OCSP_VETO_H
#define SP_SRC_PKI_OCSP_VETO_H

#include <openssl/x509.h>

#include "sallyport/pki/ocsp.h"

struct sp_ocsp_veto {
    /* True: the responder `signer`, which `issuer` has certified, is not believed; `detail` says why. */
    bool (*says_no)(void *arg, const X509 *signer, const X509 *issuer, char *detail, size_t room);
    void *arg;
};

/* sp_ocsp_judge, with a veto or NULL. */
void sp_ocsp_judge_with(struct sp_slice response, struct sp_slice cert_id, X509 *issuer, int64_t now,
    const struct sp_ocsp_veto *veto, struct sp_ocsp_answer *out);

#endif
