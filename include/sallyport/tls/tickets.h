/* The keys that session tickets are sealed with (RFC 5077 §4, RFC 8446 §4.6.1), from a file that several hosts share: a line
 * each, 80 bytes in base64; the first seals, all open. Shared by every gate. A listener without such a file needs none: what
 * its clients come back to is kept (sessions.h).
 *
 * Whatever opens a ticket lets nobody in: who holds it is judged anew (server.h). */
#ifndef SP_TLS_TICKETS_H
#define SP_TLS_TICKETS_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"

struct sp_tickets;

/* SP_FAIL: `err` names the file, the line and what was expected; a file that others than its owner may read is an
 * error. Blocks on the disk: builder thread. */
SP_MUST_USE enum sp_rc sp_tickets_load(const char *path, struct sp_tickets **out, struct sp_err *err);
struct sp_tickets *sp_tickets_ref(struct sp_tickets *t); /* any thread */
void sp_tickets_free(struct sp_tickets *t);              /* one owner fewer; any thread; takes NULL */

#endif
