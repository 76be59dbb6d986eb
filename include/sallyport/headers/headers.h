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

/* Borrows `config` for its life. NULL without memory or with an error in `diags`. */
SP_MUST_USE struct sp_headers *sp_headers_new(const struct sp_config *config, struct sp_diags *diags);
void sp_headers_free(struct sp_headers *h); /* takes NULL */

/* What is told. Borrowed for as long as the lines are used. */
struct sp_headers_about {
    const struct sp_identity *identity; /* NULL: anonymous */
    struct sp_slice own_uri; /* the URI name of the certificate that the client was shown; absent: none */
    const char *listener, *sni, *tls;
    size_t proxy; /* which of config->trusted_proxies it is; (size_t)-1: none */
};

struct sp_header_lines {
    const struct sp_line *lines;
    size_t count;
};

/* The lines for one upstream. Text is the identity's own where the format allows, else in `arena`. SP_FAIL: no memory
 * (err->sys is ENOMEM), or a name that a family has no spelling for, which `err` tells. */
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
/* The same, and the names of the operator's own making, of any upstream. */
bool sp_headers_is_ours(const struct sp_headers *h, struct sp_slice name);
/* Whether the trusted proxy `proxy` may say it: it then goes on as it came. (size_t)-1: nobody. */
bool sp_headers_may_pass(const struct sp_headers *h, size_t proxy, struct sp_slice name);

#endif
