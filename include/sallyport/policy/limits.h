/* How much each caller may do: requests a time, requests at once, connections. One table for the process, of fixed size,
 * shared by all workers. A connection finds its places once, behind a short lock; a request then costs one atomic for
 * each limit, and no lock. The numbers are those of the configuration that the connection was last counted by: a reload
 * with others takes effect with sp_limits_move, on what has been counted already.
 *
 * A place is kept while somebody holds it, and afterwards until its bucket is full again: a client that reconnects finds
 * its bucket as it left it. When no place is free a connection is refused (limit_table_full): who is counted already goes
 * on. */
#ifndef SP_POLICY_LIMITS_H
#define SP_POLICY_LIMITS_H

#include "sallyport/base/base.h"
#include "sallyport/policy/policy.h"

struct sp_limits;
struct sp_limit_holds; /* one connection's places, one for each caller with limits that it is */

/* With room for at least `places`. NULL without memory or random bytes. */
SP_MUST_USE struct sp_limits *sp_limits_new(unsigned places);
void sp_limits_free(struct sp_limits *l); /* when nothing holds a place; takes NULL */

/* Whether any caller has limits: where none has, a connection need not be counted at all. */
bool sp_limits_are_set(const struct sp_config *config);

/* Finds (or makes) the places of a connection that is `callers` and counts it. `id` NULL: anonymous. *out is NULL when
 * no limit concerns it. Otherwise than SP_REFUSAL_none (caller_connections, limit_table_full, out_of_memory) nothing was
 * counted, and *caller is the one whose limit it was. `now_us` is monotonic. Borrows everything for the call only. Any
 * thread. */
SP_MUST_USE enum sp_refusal sp_limits_connect(struct sp_limits *l, const struct sp_config *config,
    struct sp_caller_ids callers, const struct sp_identity *id, uint64_t now_us, struct sp_limit_holds **out,
    size_t *caller);
/* The same connection by another configuration, after a reload, with no request of it in flight: its places by the new
 * one are found without regard to `connections`, as it was let in already. *holds may be NULL, and becomes so. SP_FAIL: no
 * place, or no memory; it keeps those that it has, of which none is for a caller of the new one. */
SP_MUST_USE enum sp_rc sp_limits_move(struct sp_limits *l, const struct sp_config *config,
    struct sp_caller_ids callers, const struct sp_identity *id, uint64_t now_us,
    struct sp_limit_holds **holds);
void sp_limits_disconnect(struct sp_limit_holds *h); /* takes NULL */

/* A request that `caller` (of the decision) may make. SP_REFUSAL_none: counted, and to be ended with sp_limits_leave.
 * Else caller_rate or caller_requests, nothing is counted, and *retry_ms, never 0, says when to come again. `h` NULL, or
 * a caller without limits: nothing is counted or refused. One thread a connection. */
SP_MUST_USE enum sp_refusal sp_limits_enter(
    struct sp_limit_holds *h, size_t caller, uint64_t now_us, uint64_t *retry_ms);
/* The same for one that was let on before, however many there are and without regard to the rate: a tunnel goes on after
 * sp_limits_move, for which it had left. */
void sp_limits_reenter(struct sp_limit_holds *h, size_t caller);
void sp_limits_leave(struct sp_limit_holds *h, size_t caller);

#endif
