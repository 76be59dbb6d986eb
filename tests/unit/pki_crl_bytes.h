/* CRLs read from bytes in memory, as many of them at a time as a test likes. */
#ifndef SP_TESTS_PKI_CRL_BYTES_H
#define SP_TESTS_PKI_CRL_BYTES_H

#include <stdlib.h>

#include "pki/crl/crl_read.h"

struct bytes_in {
    const uint8_t *bytes;
    size_t len, at, step; /* step 0: all at once */
};

static inline enum sp_rc bytes_more(void *arg, uint8_t *into, size_t room, size_t *got, struct sp_err *err)
{
    struct bytes_in *in = arg;
    size_t n = in->len - in->at;
    (void)err;
    n = n < room ? n : room;
    n = in->step > 0 && n > in->step ? in->step : n;
    if (n == 0)
        return SP_EOF;
    memcpy(into, in->bytes + in->at, n);
    in->at += n;
    *got = n;
    return SP_OK;
}

/* NULL: `err` says why; also when something follows the CRL. */
static inline struct sp_crl *crl_of_bytes(const uint8_t *bytes, size_t len, size_t step, struct sp_err *err)
{
    struct bytes_in in = {bytes, len, 0, step};
    struct sp_der_stream s = {.more = bytes_more, .arg = &in};
    struct sp_crl *c = sp_crl_read(&s, "test", err);
    if (c != NULL && sp_der_need(&s, 1, err) != SP_EOF) {
        sp_crl_free(c);
        c = NULL;
        (void)sp_err_set(err, "bytes behind it");
    }
    sp_der_stream_close(&s);
    return c;
}

static inline struct sp_crl *crl_of(const X509_CRL *crl, struct sp_err *err)
{
    unsigned char *der = NULL;
    int len = i2d_X509_CRL(crl, &der);
    struct sp_crl *c = len > 0 ? crl_of_bytes(der, (size_t)len, 0, err) : NULL;
    OPENSSL_free(der);
    return c;
}

#endif
