/* What the sources of this folder share. Not a door. All of it is one worker's own.
 *
 *   outlet   what the worker has of one endpoint: its idle connections and the TLS session to come back with. It lives while
 *            something holds it (a choice, a connection, an errand), over any number of configurations
 *   choice   a lineup with the outlets of its endpoints
 *   targets  one fleet as the worker sees it: a choice for each upstream, replaced when the roster has a new lineup
 *   place    an errand that waits for a slot
 *
 * A connection holds its endpoint's slot until its descriptor is closed: an endpoint that may have ten never sees eleven. */
#ifndef SP_UPSTREAM_POOL_IMPL_H
#define SP_UPSTREAM_POOL_IMPL_H

#include "sallyport/base/pace.h"
#include "sallyport/upstream/upstream.h"
#include "upstream/roster/queue.h"

/* ---- outlet.c ---- */

#define SP_OUTLET_BUCKETS 256

struct sp_outlet {
    struct sp_list link;          /* in a bucket of its worker's table; in none when that has ended */
    struct sp_endpoint *endpoint; /* one reference */
    struct sp_queue *queue;       /* one reference */
    struct sp_list idle;          /* of sp_conn, the longest unused first */
    unsigned idle_count;
    unsigned named; /* by choices: while it is, idle connections are kept */
    unsigned held;  /* by choices, connections and errands */
    struct sp_tls_saved saved;
};

struct sp_upstreams {
    struct sp_upstreams_options with;
    struct sp_list buckets[SP_OUTLET_BUCKETS]; /* of sp_outlet, by the endpoint's address in memory */
    struct sp_timer *sweep;                    /* closes what was idle for too long */
    bool sweeping;                             /* it is armed: while anything is idle */
};

/* Something went idle: see to it that the sweep comes. */
void sp_upstreams_arm_sweep(struct sp_upstreams *u);
/* Held once more for the caller; made if there is none (NULL without memory). */
SP_MUST_USE struct sp_outlet *sp_outlet_of(
    struct sp_upstreams *u, struct sp_endpoint *ep, struct sp_queue *queue);
void sp_outlet_let_go(struct sp_outlet *o);
/* A choice names it, or does so no more: the last one closes what is idle. The caller holds it. */
void sp_outlet_name(struct sp_outlet *o);
void sp_outlet_unname(struct sp_outlet *o);
/* What another one than `tls` (NULL: plain) made is not used again: it goes, and what it keeps alive with it. */
void sp_outlet_settle(struct sp_outlet *o, const struct sp_tls_client *tls);

/* ---- connection.c ---- */

struct sp_conn;
/* A kept-alive connection by `tls` (NULL: plain) that was just seen open and silent, or NULL. */
SP_MUST_USE struct sp_conn *sp_conn_reuse(struct sp_outlet *o, const struct sp_tls_client *tls, bool once);
/* A new connection, perhaps connecting; takes the caller's slot of the endpoint over. NULL: *errnum says why, and the slot is
 * still the caller's. */
SP_MUST_USE struct sp_conn *sp_conn_open(
    struct sp_upstreams *u, struct sp_outlet *o, const struct sp_errand *e, int *errnum);
/* It is `e`'s now: in use, on behalf of `t`. */
struct sp_upconn *sp_conn_use(struct sp_conn *c, struct sp_targets *t, const struct sp_errand *e);
/* One that was given to who waits, for an errand that takes kept ones: is it still good for that? */
bool sp_conn_is_fit(struct sp_conn *c, const struct sp_tls_client *tls);
/* One that was given to who waits no more. */
void sp_conn_return(struct sp_conn *c, const struct sp_config_upstream *config);
/* Closes it at once, not one in use. The slot is the caller's now. */
void sp_conn_end_keeping_slot(struct sp_conn *c);
/* Closes the idle connection that was unused for longest, at once; false: there is none. */
bool sp_conn_evict(struct sp_outlet *o);
/* Closes the idle ones that are due at `now_ms` (UINT64_MAX: all of them). */
void sp_conn_close_idle(struct sp_outlet *o, uint64_t now_ms);
/* Closes the idle ones that another one than `tls` (NULL: plain) made. */
void sp_conn_close_others(struct sp_outlet *o, const struct sp_tls_client *tls);

/* ---- targets.c ---- */

struct sp_choice {
    unsigned users;             /* the target that goes by it, and errands that wait by it */
    struct sp_lineup *lineup;   /* one reference */
    struct sp_outlet **outlets; /* of lineup->all; `named` of them are held and named */
    size_t named;
    struct sp_outlet **usable; /* of lineup->usable */
};

struct sp_target {
    const struct sp_config_upstream *config;
    uint64_t version; /* of the lineup that `choice` is of */
    struct sp_choice *choice;
    size_t next_turn;
    unsigned credit;            /* of retries, in hundredths */
    uint64_t allowance_full_ns; /* of those that are always allowed; see pace.h */
};

struct sp_targets {
    unsigned users; /* its owner, connections in use, errands that wait */
    struct sp_upstreams *owner;
    struct sp_fleet *fleet;     /* one reference */
    struct sp_h1_limits limits; /* of response heads */
    size_t count;
    struct sp_target items[];
};

void sp_targets_let_go(struct sp_targets *t);
void sp_choice_let_go(struct sp_choice *c);
/* Takes up a new lineup, if there is one. Without memory the old one stays. */
void sp_target_refresh(struct sp_targets *t, size_t upstream);
/* An errand's first try: a part of a retry is earned. */
void sp_target_earn(struct sp_target *target);

/* ---- errand.c ---- */

/* How particular an errand is about its endpoint: see there. */
struct sp_taste {
    bool well_only, tried_will_do;
};
/* Any thread, while the errand waits. */
bool sp_errand_would_take(const struct sp_errand *e, struct sp_taste taste, const struct sp_endpoint *ep);
/* Only a new connection will do. */
static inline bool sp_errand_needs_new(const struct sp_errand *e)
{
    return e->fresh || e->is_raw || e->preface.len > 0;
}

/* ---- place.c ---- */

struct sp_place {
    struct sp_turn turn;
    struct sp_errand *errand; /* NULL: it has ended, and the mail is on its way */
    struct sp_targets *targets;
    size_t upstream;
    struct sp_choice *choice;
    struct sp_taste taste;
    bool called;
};

/* SP_OK: e->place waits. SP_EOF: the queue is full. SP_FAIL: no memory. */
SP_MUST_USE enum sp_rc sp_place_take(struct sp_targets *t, struct sp_errand *e, struct sp_taste taste);
/* It waits no more: false, its mail is on its way. */
SP_MUST_USE bool sp_place_leave(struct sp_errand *e);
/* After the mail: what came of it; frees the place. *granted, with a reference, holds a slot of ours; or NULL. */
void sp_place_redeem(struct sp_errand *e, struct sp_endpoint **granted, struct sp_conn **gift);
/* The errand has no place any more, whatever state it was in; what it was given goes to somebody else. */
void sp_place_abandon(struct sp_errand *e);

#endif
