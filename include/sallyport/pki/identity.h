/* Who the caller is, proven: plain data out of a verified certificate. No OpenSSL type here, so that policy,
 * proxy and logs never touch X.509. Immutable once made, shared by reference count: by the sessions of one
 * client and by the cache of verified chains. Text is by pointer and length, printable ASCII or (attribute
 * values) valid UTF-8 without control characters: a certificate with anything else is refused, never cleaned. */
#ifndef SP_PKI_IDENTITY_H
#define SP_PKI_IDENTITY_H

#include <stdatomic.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"

struct sp_config_identity; /* sallyport/config/cases.h */

struct sp_name_attr {
    /* "CN", "O", "OU", "C", "L", "ST", "DC", "UID", "serialNumber", "emailAddress", "organizationIdentifier", else the
     * dotted OID */
    struct sp_slice type;
    struct sp_slice value; /* UTF-8 */
    unsigned rdn;          /* attributes of one RDN share the number */
};

struct sp_slices {
    const struct sp_slice *items;
    size_t count;
};

enum sp_key_type { SP_KEY_OTHER, SP_KEY_RSA, SP_KEY_EC, SP_KEY_ED25519, SP_KEY_ED448 };

/* What a certificate for open banking says beside its names: ETSI EN 319 412-5 and TS 119 495. */
struct sp_qualified {
    bool is_qualified;            /* QcCompliance */
    enum sp_qc_type type;         /* QcType */
    unsigned psd2_roles;          /* bits of sp_psd2_role */
    struct sp_slice authority;    /* NCAName; absent without a PSD2 statement */
    struct sp_slice authority_id; /* NCAId */
};

/* A certificate of the verified chain below the anchor, as much of it as revocation looks at: so that an open
 * session can be judged anew without parsing a certificate. */
struct sp_chain_link {
    uint8_t issuer_id[32];   /* SHA-256 over the issuer's subject and its SubjectPublicKeyInfo, both DER */
    uint8_t issuer_name[32]; /* SHA-256 over the issuer's subject alone */
    struct sp_slice serial;  /* as the revocation sets have it: a sign byte, then the magnitude */
    bool is_ca;
};

struct sp_identity {
    _Atomic unsigned refs;
    struct sp_arena arena;
    struct sp_slice subject; /* RFC 4514, control and non-ASCII bytes escaped; "" for an empty DN */
    struct sp_slice issuer;
    const struct sp_name_attr *subject_attrs;
    size_t subject_attr_count;
    const struct sp_name_attr *issuer_attrs;
    size_t issuer_attr_count;
    struct sp_slices uris, dns_names, emails;
    struct sp_slices ips;          /* 4 or 16 raw bytes each */
    struct sp_slice serial_hex;    /* lower case, no leading zeros beyond a byte, "-" in front if negative */
    int64_t not_before, not_after; /* seconds since 1970 */
    uint8_t sha256[32];            /* of the DER */
    uint8_t spki_sha256[32];       /* of the DER of the SubjectPublicKeyInfo */
    struct sp_slice sha1_hex;      /* of the DER: a name that others know it by, nothing more */
    enum sp_key_type key_type;
    unsigned key_bits;
    struct sp_slice signature_algorithm; /* of the certificate; "ecdsa-with-SHA256", else the dotted OID */
    bool has_eku;
    struct sp_slices ekus;     /* dotted OIDs */
    struct sp_slices policies; /* dotted OIDs of certificatePolicies */
    struct sp_qualified qualified;
    struct sp_slice sha256_hex;
    struct sp_slice sha256_b64url; /* RFC 8705 x5t#S256 */
    /* RFC 9440 §2: ":" base64 of the DER ":", and a list of the same for the intermediates used for validation,
     * in TLS order, without the trust anchor; "" when there are none. In this form because headers borrow them. */
    struct sp_slice client_cert;
    struct sp_slice client_cert_chain;
    /* How it was accepted. All zero for one that was not (sp_identity_from_der). */
    uint8_t policy_id[32];             /* sp_trust_policy_id of the trust that accepted it */
    int64_t chain_until;               /* the earliest notAfter of the chain, anchor included */
    const struct sp_chain_link *links; /* leaf first */
    size_t link_count;
    struct sp_slice ocsp_cert_id; /* DER (RFC 6960 §4.1.1); "" where no responder is asked */
};

/* From DER. `chain` are the DER certificates above the leaf (without the anchor). SP_FAIL: `err` names what is
 * hostile or malformed. For tests and fuzzing. Hands over *out. */
SP_MUST_USE enum sp_rc sp_identity_from_der(struct sp_slice leaf, const struct sp_slice *chain,
    size_t chain_count, struct sp_identity **out, struct sp_err *err);
/* An identity that nobody has proven, by its fields, for trying a policy: what was not given is absent. It is not
 * judged by any trust. SP_FAIL: `err` names the field. Hands over *out. */
SP_MUST_USE enum sp_rc sp_identity_from_fields(
    const struct sp_config_identity *fields, struct sp_identity **out, struct sp_err *err);
/* Does the certificate say by name that it is for clients (id-kp-clientAuth)? anyExtendedKeyUsage does not, nor does a
 * certificate without extendedKeyUsage. */
bool sp_identity_has_client_eku(const struct sp_identity *id);
struct sp_identity *sp_identity_ref(struct sp_identity *id); /* one more owner; any thread */
void sp_identity_free(struct sp_identity *id);               /* one owner fewer; any thread; takes NULL */

#endif
