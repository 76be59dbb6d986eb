/* The sessions that clients may come back to, kept by us: of every listener, gate and snapshot, without those whose tickets are
 * sealed with the keys of a file (tickets.h). A client is given the name of its session and nothing else.
 *
 * A session that is found lets nobody in: who comes back is judged anew (server.h). Three times cheaper than a sealed ticket, of
 * which everything must be decoded again. When it is full, the oldest goes; and of what descends from one full handshake
 * only the newest few are kept, so that a client that comes back all the time drives nobody out. */
#ifndef SP_TLS_SESSIONS_H
#define SP_TLS_SESSIONS_H

#include <stdint.h>

#include "sallyport/base/base.h"

struct sp_sessions;

/* NULL without memory. Keeps none until it is told how many. Hands over one reference. Any thread. */
SP_MUST_USE struct sp_sessions *sp_sessions_new(void);
/* From now on at most so many; what is above goes at once. 0: none. Any thread. */
void sp_sessions_set_max(struct sp_sessions *s, size_t max);
/* How many there are; how many went since the start, within their time, to make room for another. Any thread. */
size_t sp_sessions_count(struct sp_sessions *s);
uint64_t sp_sessions_evicted(struct sp_sessions *s);
struct sp_sessions *sp_sessions_ref(struct sp_sessions *s); /* any thread */
void sp_sessions_free(struct sp_sessions *s);               /* one owner fewer; any thread; takes NULL */

#endif
