/* One certificate, key or CRL at a time; what they are for is pki.c's. */
#ifndef SP_DEMO_CERTIFICATE_H
#define SP_DEMO_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"

/* An OpenSSL extension as its configuration files write it: {NID_basic_constraints, "critical,CA:TRUE"}. */
struct sp_demo_extension {
    int nid;
    const char *value; /* NULL ends the list */
};

struct sp_demo_profile {
    const char *common_name;
    struct sp_demo_extension extensions[5]; /* besides the key identifiers, which every certificate gets */
    int from_days, to_days;                 /* of validity, counted from now */
};

/* A key with its certificate. */
struct sp_demo_credential {
    EVP_PKEY *key;
    X509 *cert;
};

/* A new P-256 key and a certificate over it, signed by `ca` or, if that is NULL, by itself. Hands over what is
 * in *out. */
SP_MUST_USE enum sp_rc sp_demo_credential_make(const struct sp_demo_profile *p,
    const struct sp_demo_credential *ca, struct sp_demo_credential *out, struct sp_err *err);
void sp_demo_credential_free(struct sp_demo_credential *c);

/* What a CRL says. */
struct sp_demo_list {
    int64_t number;
    int from_days, to_days; /* of validity, counted from now */
    struct sp_demo_entry {
        const X509 *cert; /* NULL ends the list */
        int days;         /* when it was revoked, counted from now */
    } revoked[4];
};

/* A CRL of `ca`. NULL: `err`. */
SP_MUST_USE X509_CRL *sp_demo_crl_make(
    const struct sp_demo_credential *ca, const struct sp_demo_list *list, struct sp_err *err);

/* The first error in OpenSSL's queue behind the text; empties the queue. Returns SP_FAIL. */
enum sp_rc sp_demo_ssl_err(struct sp_err *err, const char *what);

#endif
