/* A worker's connections to backends: endpoints, their kept-alive pools, and who is next. One per worker, used
 * by its thread only; it outlives snapshots, so that a reload does not throw warm connections away.
 *
 *   take -> (connecting) -> in use -> put (kept for the next) or close
 */
#ifndef SP_UPSTREAM_UPSTREAM_H
#define SP_UPSTREAM_UPSTREAM_H

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"
#include "sallyport/http/codec.h"
#include "sallyport/io/loop.h"
#include "sallyport/io/transport.h"
#include "sallyport/obs/meter.h"

struct sp_upstreams;
struct sp_endpoint;

/* The endpoints of one configuration, resolved to the worker's own: what sp_config_upstream is to the file. */
struct sp_targets;

struct sp_upconn {
    struct sp_transport *transport;
    struct sp_stream *stream; /* client side; use it only once sp_upconn_connected says SP_OK */
    struct sp_endpoint *endpoint;
    /* It has carried an exchange before: it may turn out closed without any fault of the backend. */
    bool reused;
    /* the rest is private to the room */
    bool connecting, idle;
    uint64_t idle_until_ms;
    uint64_t idle_ms;
    unsigned max_idle;
    struct sp_watch *watch;
    void (*on_event)(void *arg);
    void *arg;
    struct sp_list link;
    struct sp_grave grave;
};

/* Borrows all of them for its life. NULL without memory. */
SP_MUST_USE struct sp_upstreams *sp_upstreams_new(
    struct sp_loop *loop, struct sp_pool *blocks, struct sp_meter_block *meter);
/* Closes the idle connections; none may be in use. Takes NULL. */
void sp_upstreams_free(struct sp_upstreams *u);
/* Closes the idle connections (drain). */
void sp_upstreams_close_idle(struct sp_upstreams *u);

/* Resolves the upstreams of `config`, which is borrowed for the life of the targets. Endpoints that were known
 * before are the same objects as before, with their connections. NULL without memory. */
SP_MUST_USE struct sp_targets *sp_targets_new(struct sp_upstreams *u, const struct sp_config *config);
/* Endpoints that no targets name any more close their idle connections. Takes NULL. */
void sp_targets_free(struct sp_targets *t);

/* How many endpoints upstream `index` has: so many attempts reach each of them once. */
unsigned sp_targets_endpoints(const struct sp_targets *t, size_t index);
/* The endpoint that is next (round robin): call once an exchange, then pass it with attempt 0, 1, ... to
 * sp_upconn_take. */
unsigned sp_targets_next(struct sp_targets *t, size_t index);
/* The endpoint's address as the operator wrote it. */
const char *sp_endpoint_text(const struct sp_endpoint *ep);

/* A connection to endpoint (first + attempt) of upstream `index`: a kept-alive one unless `fresh`, else a new
 * one, perhaps still connecting. `on_event(arg)` is called at every edge while it is taken, never from within
 * this call. SP_OK hands over *out, to be given back with put or close. SP_FAIL: the endpoint refused at once,
 * or no memory or descriptor; try the next attempt. *ep is set in both cases. */
SP_MUST_USE enum sp_rc sp_upconn_take(struct sp_targets *t, size_t index, unsigned first, unsigned attempt,
    bool fresh, void (*on_event)(void *arg), void *arg, struct sp_upconn **out,
    const struct sp_endpoint **ep);
/* SP_OK: connected. SP_AGAIN: still connecting. SP_FAIL: it failed; close it. */
SP_MUST_USE enum sp_rc sp_upconn_connected(struct sp_upconn *c);
/* The exchange is over and both halves complete: keep it if the backend is willing and there is room. */
void sp_upconn_put(struct sp_upconn *c);
void sp_upconn_close(struct sp_upconn *c); /* takes NULL */

#endif
