/* Small readings of OpenSSL values into plain ones. Pure functions; nothing here keeps a reference. Private to
 * `pki`. */
#ifndef SP_SRC_PKI_ASN1_H
#define SP_SRC_PKI_ASN1_H

#include <openssl/asn1.h>
#include <openssl/x509.h>

#include "sallyport/base/base.h"
#include "sallyport/base/clock.h"

/* Seconds since 1970. False for a time that is not well-formed. */
SP_MUST_USE bool sp_asn1_time(const ASN1_TIME *t, int64_t *out);
/* "2026-01-02T03:04:05Z". Returns `out`. */
char *sp_asn1_time_text(int64_t unix_s, char out[SP_RFC3339_MAX]);

/* Lower-case hex as struct sp_identity has it: whole bytes, "00" for zero, "-" in front of a negative one. What
 * does not fit `room` is cut and ends in "...". Returns `out`. */
char *sp_asn1_serial_text(const ASN1_INTEGER *serial, char *out, size_t room);

/* RFC 4514, control and non-ASCII bytes escaped, into a new string to be given to OPENSSL_free; NULL without
 * memory or for a name that cannot be printed. *len gets its length. */
SP_MUST_USE char *sp_asn1_name_dup(const X509_NAME *name, size_t *len);
/* The same into `out`, cut with "..." at `room`; never fails. For messages. Returns `out`. */
char *sp_asn1_name_text(const X509_NAME *name, char *out, size_t room);
/* Copies bytes into `out`, anything outside 0x20-0x7E and the backslash as \xNN, cut with "..." at `room`, NUL
 * at the end. */
char *sp_asn1_escape(struct sp_slice bytes, char *out, size_t room);

/* The value of an extension that must have one reading, as `type` has it; to be freed with ASN1_item_free(). NULL: it is
 * not there, or *wrong: there are two, it cannot be parsed, or something stands behind it (which X509_get_ext_d2i() takes). */
SP_MUST_USE void *sp_asn1_extension(const X509 *cert, int nid, const ASN1_ITEM *type, bool *wrong);

/* The same public key: algorithm, parameters and key bits are the same bytes. */
SP_MUST_USE bool sp_asn1_same_key(const X509_PUBKEY *a, const X509_PUBKEY *b);

#endif
