/* CRLs from bytes. Private to `pki`. */
#ifndef SP_SRC_PKI_CRL_READ_H
#define SP_SRC_PKI_CRL_READ_H

#include "pki/crl/crl.h"
#include "pki/x509/der.h"

/* Reads one CRL off the stream, in one pass, and leaves the position behind it. One that must not be used is returned
 * too, with `unusable` set. Pure but for memory: no signature is verified, no clock asked. NULL: malformed or no
 * memory; `err` says what and in which entry or extension. Hands over one reference. */
SP_MUST_USE struct sp_crl *sp_crl_read(struct sp_der_stream *s, const char *source, struct sp_err *err);

/* ---- between crl_read.c and crl_ext.c ---- */

struct sp_crl_ext {
    struct sp_der_item oid, value; /* value: the content of its OCTET STRING */
    bool critical;
    unsigned id; /* the last arc of an OID below 2.5.29, or SP_CRL_EXT_OTHER */
};

#define SP_CRL_EXT_OTHER   0U
#define SP_EXT_CRL_NUMBER  20U
#define SP_EXT_REASON      21U
#define SP_EXT_INVALIDITY  24U
#define SP_EXT_DELTA       27U
#define SP_EXT_IDP         28U
#define SP_EXT_CERT_ISSUER 29U
#define SP_EXT_AKI         35U

/* The next of an Extensions. */
SP_MUST_USE bool sp_crl_ext_next(struct sp_der *list, struct sp_crl_ext *out);
/* The dotted OID, for messages. Returns `out`. */
char *sp_crl_ext_name(const struct sp_crl_ext *e, char *out, size_t room);
/* The first reason stands. False without memory. */
SP_MUST_USE bool sp_crl_refuse(struct sp_crl *c, const char *fmt, ...) SP_PRINTF(2, 3);
/* The crlExtensions: `list` is the content of the SEQUENCE. */
SP_MUST_USE enum sp_rc sp_crl_read_extensions(struct sp_crl *c, struct sp_der list, struct sp_err *err);
/* The set of the issuer that the value of a certificateIssuer names; NULL: `err`, or *refused is set. */
SP_MUST_USE struct sp_serials *sp_crl_set_of(
    struct sp_crl *c, const struct sp_der_item *value, bool *refused, struct sp_err *err);

#endif
