/* What is counted of each address, over all gates: how many handshakes it has open (limits.handshakes_per_address), and
 * how fast its handshakes fail (limits.handshake_failures).
 *
 * A table of fixed size, made once: a connection costs no allocation, entering and leaving it one short lock each. An
 * IPv6 client counts by its /64, which is what one subscriber is given; a unix socket has no address and is not
 * counted. A connection for which there is no place left is let go on uncounted: whoever can fill the table has
 * addresses enough to stay below any cap, and limits.handshakes holds for all of them together. Failures have places of
 * their own, so that they take none from open handshakes; one is kept until it says no more than a new one would, and
 * nobody else's failures push it out before. */
#ifndef SP_GATE_ADDRESSES_H
#define SP_GATE_ADDRESSES_H

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/pace.h"

struct sp_addresses;

/* With room for several times `handshakes` addresses, so that it is never full at that many. NULL: no memory, or no
 * random bytes. Any thread. */
SP_MUST_USE struct sp_addresses *sp_addresses_new(unsigned handshakes);
void sp_addresses_free(struct sp_addresses *a); /* takes NULL */

/* Counts one more of `peer`. SP_OK: *place is to be given back by sp_addresses_leave. SP_FAIL: it has `cap` already,
 * and nothing was counted. Any thread. */
SP_MUST_USE enum sp_rc sp_addresses_enter(
    struct sp_addresses *a, const struct sp_addr *peer, unsigned cap, uint32_t *place);
/* Any thread; takes 0, the place of who is not counted. */
void sp_addresses_leave(struct sp_addresses *a, uint32_t place);

/* One handshake of `peer` failed at `now_us` (monotonic). Any thread. */
void sp_addresses_fail(
    struct sp_addresses *a, const struct sp_addr *peer, const struct sp_pace *pace, uint64_t now_us);
/* Has it failed so often that one more would be too many? Any thread. */
bool sp_addresses_is_barred(
    struct sp_addresses *a, const struct sp_addr *peer, const struct sp_pace *pace, uint64_t now_us);

#endif
