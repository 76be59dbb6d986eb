/* The names in a certificate, by pointer and length, and whether they are fit to be believed. Private to `pki`. */
#ifndef SP_SRC_PKI_NAMES_H
#define SP_SRC_PKI_NAMES_H

#include <openssl/x509.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"
#include "sallyport/obs/refusal.h"
#include "sallyport/pki/identity.h"

#define SP_CERT_MAX_BYTES    16384
#define SP_CERT_MAX_SANS     100
#define SP_SUBJECT_MAX_ATTRS 64

struct sp_names {
    const struct sp_name_attr *attrs, *issuer_attrs;
    size_t attr_count, issuer_attr_count;
    struct sp_slices uris, dns_names, emails, ips;
};

/* Reads subject, issuer and subjectAltName of `cert` into `arena`. Not SP_REFUSAL_none: hostile_name,
 * certificate_invalid or out_of_memory, and `err` says which name. The one judge of names: the handshake and
 * the identity both ask it. */
SP_MUST_USE enum sp_refusal sp_names_read(
    const X509 *cert, struct sp_arena *arena, struct sp_names *out, struct sp_err *err);

/* ---- a name alone, of a certificate or not ---- */

/* `whose` is "subject" or "issuer". */
SP_MUST_USE enum sp_refusal sp_names_read_dn(const X509_NAME *name, const char *whose, struct sp_arena *arena,
    const struct sp_name_attr **attrs, size_t *attr_count, struct sp_err *err);
/* `value` as a certificate has it: an address is 4 or 16 bytes. */
SP_MUST_USE enum sp_refusal sp_names_judge_san(
    enum sp_name_type type, struct sp_slice value, struct sp_err *err);
/* Valid UTF-8 without control characters. */
SP_MUST_USE bool sp_names_is_text(struct sp_slice s);
/* "CN", "givenName", or a dotted OID. To be freed with ASN1_OBJECT_free; NULL: neither. */
SP_MUST_USE ASN1_OBJECT *sp_names_type_object(const char *type);

#endif
