/* How a proven identity is told to a backend: the families of header fields, those of the operator's own making, and
 * the names that nobody else may say. Compiled with the snapshot, immutable, read by all workers.
 *
 * What depends on the connection alone is made once a connection and upstream; a request borrows it. Values are of bytes
 * 0x20-0x7E; what cannot be said so is refused, never cleaned or cut. */
#ifndef SP_HEADERS_HEADERS_H
#define SP_HEADERS_HEADERS_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"
#include "sallyport/http/message.h"
#include "sallyport/pki/identity.h"

struct sp_headers;

/* Headers of the operator's own making (sp_config_upstream.headers) are templates: literal text and variables in braces; "{{"
 * and "}}" stand for one brace. A header of which any variable is absent is not sent at all.
 *
 *   subject issuer              RFC 4514
 *   subject.TYPE issuer.TYPE    the values of that attribute in the order of the certificate; TYPE is CN O OU C L ST DC UID
 *                               serialNumber emailAddress organizationIdentifier, any other of
 *                               sallyport/match/attribute.h, or an OID
 *   serial sha256 sha1 spki_sha256       lower-case hex
 *   thumbprint                  x5t#S256, RFC 8705
 *   uri dns email ip            all of that kind
 *   not_before not_after        RFC 3339, UTC
 *   policy                      OIDs
 *   qc_type psd2.roles          esign eseal web; PSP_AS PSP_PI PSP_AI PSP_IC
 *   psd2.authority psd2.authority_id
 *   listener sni tls            of the connection
 *   rule caller                 of the decision; only as the whole template
 *
 * Several values are joined by ','; a ',' or '\' inside one is escaped by '\'. Attribute values and psd2.* are escaped as RFC
 * 4514 §2.4 says, and every byte outside 0x20-0x7E as a hex pair (\C3\B6), so that a line is printable ASCII and comes
 * apart again.
 *
 * At load are refused, with their place: an unknown variable (the nearest is named), a brace that is not closed, bytes that no
 * header may hold, a blank at an end, and a name that is no token, that a family has, that the gate itself needs, or that
 * an upstream has twice, '-', '_' and case taken for one.
 *
 * Borrows `config` for its life. NULL without memory or with an error in `diags`. */
SP_MUST_USE struct sp_headers *sp_headers_new(const struct sp_config *config, struct sp_diags *diags);
void sp_headers_free(struct sp_headers *h); /* takes NULL */

/* What is told. Borrowed for as long as the lines are used. */
struct sp_headers_about {
    const struct sp_identity *identity; /* NULL: anonymous */
    struct sp_slice own_uri; /* the URI name of our own certificate (sp_tls_own_uri); absent: none */
    const char *listener, *sni, *tls;
    size_t proxy; /* which of config->trusted_proxies it is; (size_t)-1: none */
};

struct sp_header_lines {
    const struct sp_line *lines;
    size_t count, bytes; /* sp_lines_measure */
    /* To be added to the X-Forwarded-Client-Cert that a trusted proxy sent (append_forward), behind a comma and in the
     * same field, or said alone if it sent none. Absent: there is nothing to add. */
    struct sp_slice xfcc_element;
};

/* The lines for one upstream. Text is the identity's own where the format allows, else in `arena`. SP_FAIL: no memory
 * (err->sys is ENOMEM), more than a head holds (EMSGSIZE), or a name that a family has no spelling for (0), which `err`
 * tells. */
SP_MUST_USE enum sp_rc sp_headers_make(const struct sp_headers *h, size_t upstream,
    const struct sp_headers_about *about, struct sp_arena *arena, struct sp_header_lines *out,
    struct sp_err *err);

/* Lines that depend on the decision: written to `lines`; returns how many. Borrow `rule` and `caller` (or NULL). */
#define SP_DECISION_LINES_MAX 16
size_t sp_headers_of_decision(const struct sp_headers *h, size_t upstream, const char *rule,
    const char *caller, struct sp_line lines[SP_DECISION_LINES_MAX]);

/* ---- what a client may not say ---- */

/* Names an identity, a forwarding fact or our own word in any family and spelling: never passes from a client. */
bool sp_name_is_protected(struct sp_slice name);
/* Whether a backend may take one for the other: alike but for case and for what is neither letter nor digit. */
bool sp_header_names_are_alike(struct sp_slice a, struct sp_slice b);
/* The same, and the names of the operator's own making, of any upstream. */
bool sp_headers_is_ours(const struct sp_headers *h, struct sp_slice name);
/* Whether the trusted proxy `proxy` may say it: it then goes on as it came. Only the exact names of a family are passed on,
 * in any case; never X-Client-Rule, nor a name of the operator's own making. (size_t)-1: nobody. */
bool sp_headers_may_pass(const struct sp_headers *h, size_t proxy, struct sp_slice name);
/* What it says of these must be printable ASCII, and once where a family has it once; an X-Forwarded-Client-Cert that ours is
 * added to ends outside of quotes. SP_FAIL fills `fault`. */
SP_MUST_USE enum sp_rc sp_headers_check_passed(
    const struct sp_headers *h, size_t proxy, const struct sp_head *head, struct sp_fault *fault);

#endif
