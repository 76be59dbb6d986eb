/* Certificates and CRLs made in the test by OpenSSL calls, also such as no CA would make. A field left zero
 * takes the ordinary value, so that a case of a table names only what is odd about it. */
#ifndef SP_TESTS_PKI_FIXTURE_H
#define SP_TESTS_PKI_FIXTURE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "sallyport/base/base.h"

#define FIX_NOW  ((int64_t)1800000000) /* 2027-01-15T08:00:00Z: the tests' own now */
#define FIX_HOUR ((int64_t)3600)
#define FIX_DAY  (24 * FIX_HOUR)

struct fix_cert {
    X509 *cert;
    EVP_PKEY *key;
};

/* Written as OpenSSL's configuration does; "-" leaves out what would be there otherwise. */
struct fix_spec {
    const char *subject;           /* "CN=a,O=b"; '+' joins to the RDN before; "-" an empty name */
    const char *serial;            /* hex, may begin with '-'; default: counted */
    int64_t from, to;              /* relative to FIX_NOW; default a day ago, in a year */
    const char *basic_constraints; /* default by what is issued */
    const char *key_usage;
    const char *eku;
    const char *san;
    const char *name_constraints;
    const char *crldp;
    const char *critical_oid; /* a critical extension of that OID, which nobody understands */
    struct sp_slice raw_san;  /* bytes of one more SAN of raw_san_type */
    int raw_san_type;
    const char *policies; /* "1.2.3.4,1.2.3.5" */
    struct {
        const char *oid;
        struct sp_slice der;
    } raw_ext[2];           /* extensions by their bytes */
    struct sp_slice raw_cn; /* bytes of one more CN of raw_cn_type (V_ASN1_...) */
    int raw_cn_type;
    bool key_ids;          /* SKI and AKI */
    bool v1;               /* no extensions at all */
    int rsa_bits;          /* default: P-256 */
    bool huge_rsa;         /* a public key of 8200 bits without a private one */
    bool long_exponent;    /* an RSA key of 2048 bits whose public exponent has 65 */
    const char *algorithm; /* "P-384", "ED25519", "RSA-PSS", "DSA" instead of P-256 */
    const EVP_MD *md;      /* default SHA-256 */
    EVP_PKEY *key;         /* this key (not owned) instead of a new one */
    const char *issuer;    /* issuer name as `subject`, if not the issuer's own */
    bool break_signature;  /* flip a bit of it */
    int sans;              /* so many DNS SANs */
};

/* `ca` NULL: self-signed. Aborts the test run when OpenSSL fails. */
struct fix_cert fix_issue(const struct fix_spec *spec, const struct fix_cert *ca, bool is_ca);
void fix_free(struct fix_cert *c);
struct sp_slice fix_der(const struct fix_cert *c); /* to be freed with OPENSSL_free */

struct fix_crl_spec {
    int64_t from, to;       /* thisUpdate, nextUpdate relative to FIX_NOW; default an hour ago, in a day */
    bool no_end;            /* no nextUpdate */
    const X509 *revoked[4]; /* listed */
    int reason;             /* CRLReason of them; 0: none written */
    const char *number;     /* decimal */
    const char *idp;        /* as OpenSSL's configuration has it */
    bool delta;             /* with a deltaCRLIndicator */
    bool unknown_critical;  /* with a critical extension that nobody understands */
    bool entry_issuer;      /* entries with a certificateIssuer */
    const struct fix_cert *key; /* signed by this one instead of the issuer */
    const EVP_MD *md;           /* default SHA-256 */
    bool mixed_algorithms;      /* the outer signature algorithm is not the inner one */
    const char *serial;         /* one more entry with this serial (hex) */
};
X509_CRL *fix_crl(const struct fix_crl_spec *spec, const struct fix_cert *ca);

/* A folder that lives as long as the test program. Paths are owned by the fixture. */
const char *fix_folder(void);
void fix_remove_folder(void);
const char *fix_write_certs(const char *name, X509 *const *certs, size_t count);
const char *fix_write_crls(const char *name, X509_CRL *const *crls, size_t count);
const char *fix_write_crl_der(const char *name, const X509_CRL *crl);
const char *fix_write_text(const char *name, const char *text);

#endif
