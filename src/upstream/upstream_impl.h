/* What the two sources of this room share: the worker's table of endpoints. Not a door. */
#ifndef SP_UPSTREAM_IMPL_H
#define SP_UPSTREAM_IMPL_H

#include "sallyport/upstream/upstream.h"

struct sp_endpoint {
    struct sp_list link; /* in sp_upstreams.endpoints */
    struct sp_list idle; /* of sp_upconn, the longest unused first */
    unsigned idle_count;
    unsigned taken; /* connections in use */
    unsigned named; /* targets that name it */
    struct sp_upstreams *owner;
    struct sp_addr address;
    char text[SP_ADDR_TEXT];
};

struct sp_upstreams {
    struct sp_loop *loop;
    struct sp_pool *blocks;
    struct sp_meter_block *meter;
    struct sp_h1_limits limits; /* of response heads */
    struct sp_list endpoints;
    struct sp_timer *sweep; /* closes what was idle for too long */
    bool sweeping;          /* it is armed: while anything is idle */
};

/* Something went idle: see to it that the sweep comes. */
void sp_upstreams_arm_sweep(struct sp_upstreams *u);

/* Frees `ep` when nobody names or uses it. */
void sp_endpoint_release(struct sp_endpoint *ep);
/* Closes the idle connections of `ep` that are due at `now_ms` (UINT64_MAX: all of them). */
void sp_endpoint_close_idle(struct sp_endpoint *ep, uint64_t now_ms);

/* A kept-alive connection of `ep` that was just seen open and silent, or NULL. Handed over as taken. */
struct sp_upconn *sp_upconn_reuse(struct sp_endpoint *ep);
/* A new connection, perhaps connecting; NULL if that failed at once. Handed over as taken. */
struct sp_upconn *sp_upconn_open(struct sp_endpoint *ep);

#endif
