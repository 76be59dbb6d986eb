/* A worker's connections to backends: who is asked next, the connections kept alive, and how a new one comes to stand
 * (TCP, PROXY header, TLS). One per worker, used by its thread only; it outlives snapshots, so that a reload does not throw
 * warm connections away. How endpoints are, and what is shared by all workers: roster.h.
 *
 *   take -> (waiting) -> (connecting) -> in use -> put (kept for the next) or close
 */
#ifndef SP_UPSTREAM_UPSTREAM_H
#define SP_UPSTREAM_UPSTREAM_H

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/base/random.h"
#include "sallyport/config/config.h"
#include "sallyport/http/codec.h"
#include "sallyport/io/loop.h"
#include "sallyport/io/transport.h"
#include "sallyport/obs/meter.h"
#include "sallyport/upstream/roster.h"

struct sp_upstreams;

struct sp_upstreams_options {
    struct sp_loop *loop;
    struct sp_pool *blocks;
    struct sp_pool *runs; /* for sp_h1_use_runs; NULL: none */
    struct sp_meter_block *meter;
    struct sp_random *random;
    struct sp_roster *roster;
    unsigned worker;
};
/* Borrows all of them for its life. NULL without memory. */
SP_MUST_USE struct sp_upstreams *sp_upstreams_new(const struct sp_upstreams_options *options);
/* Closes the idle connections; none may be in use. Takes NULL. */
void sp_upstreams_free(struct sp_upstreams *u);
/* Closes the idle connections (drain). */
void sp_upstreams_close_idle(struct sp_upstreams *u);

/* The worker's own view of a fleet: the lineups that it goes by, and its retry budgets. */
struct sp_targets;
/* Shares `fleet`; borrows `config`, the fleet's, as long. NULL without memory. */
SP_MUST_USE struct sp_targets *sp_targets_new(
    struct sp_upstreams *u, struct sp_fleet *fleet, const struct sp_config *config);
/* Endpoints that no targets name any more close their idle connections. Takes NULL. */
void sp_targets_free(struct sp_targets *t);

/* ---- one exchange's way to a backend ---- */

#define SP_TRIES_MAX 10

/* What an exchange, or a relayed connection, wants, and what became of it so far. Zero it, and fill the first part. */
struct sp_errand {
    size_t upstream;
    uint64_t hash; /* of what balance: hash goes by; equal keys, equal hashes */
    bool is_raw;   /* bytes are relayed: no codec, never kept for another */
    /* A PROXY header, to be sent before anything else, also before TLS; absent. Then the connection is for this client
     * alone: never a kept one, never kept. Borrowed until it is connected or closed. */
    struct sp_slice preface;
    /* At every edge while it is taken, and when a wait may be over; never from within a call. */
    void (*on_event)(void *arg);
    void *arg;
    /* Kept by the room. */
    bool
        once; /* it cannot be repeated: a kept-alive connection is looked at once more before it is taken. Set by the owner */
    bool fresh; /* a kept-alive connection turned out closed: not another one. May be set by the owner */
    bool
        reached; /* the last connection stood. Set by the owner: an endpoint that was tried is asked again only then */
    unsigned tries; /* endpoints that were asked */
    /* The last that was asked, or NULL; stays until the end of the errand. */
    const struct sp_endpoint *endpoint;
    bool waiting; /* in the queue */
    int errnum; /* with SP_FAIL: why a connection could not even begin, or 0; sp_socket_is_our_lack may say that it is our own fault */
    /* private */
    bool earned;     /* its part of a retry */
    bool was_kept;   /* the last connection had been used before */
    uint64_t ticket; /* its place in the queue, should it have to go back; 0: none */
    struct sp_outlet *tried[SP_TRIES_MAX];
    struct sp_place *place;
};

struct sp_upconn {
    struct sp_transport *transport;
    struct sp_stream
        *stream; /* client side; NULL if raw. Use both only once sp_upconn_connected says SP_OK */
    const struct sp_endpoint *endpoint;
    /* It has carried an exchange before: it may turn out closed without any fault of the backend. */
    bool reused;
    /* the rest is private to the room: src/upstream/pool/ */
};

/* A connection to the endpoint that balancing chooses of those not tried yet (when all were: a backup, then any): a
 * kept-alive one unless `fresh`, else a new one, perhaps still connecting. An endpoint that fails at once counts as tried,
 * and the next is taken.
 *   SP_OK     hands over *out, to be given back with put or close
 *   SP_AGAIN  every usable endpoint is at its max_connections: it waits in the queue; on_event comes when to ask again. The
 *             time is the caller's job (queue_ms): then sp_errand_end
 *   SP_EOF    the queue is full
 *   SP_FAIL   no endpoint is usable, or retries.attempts were made, or no memory or descriptor. */
SP_MUST_USE enum sp_rc sp_upconn_take(struct sp_targets *t, struct sp_errand *e, struct sp_upconn **out);
/* It wants no connection any more: leaves the queue, if it waits there. Any number of times. */
void sp_errand_stop_waiting(struct sp_errand *e);
/* It is over: leaves the queue, forgets the endpoints. Once, or any number of times. */
void sp_errand_end(struct sp_errand *e);

/* SP_OK: connected, the preface is on its way, TLS has found whom it should. SP_AGAIN: not yet. SP_FAIL: it failed, which counts
 * against the endpoint; `err` says how; close it. err->sys is EPROTO when it was TLS, an errno when it was TCP. */
SP_MUST_USE enum sp_rc sp_upconn_connected(struct sp_upconn *c, struct sp_err *err);
/* The connect timeout has passed. Then close it. */
void sp_upconn_timed_out(struct sp_upconn *c);
/* How the endpoint did once it was connected: it answered, or it broke or did not answer in time. At most once a take. */
void sp_upconn_went_well(struct sp_upconn *c);
void sp_upconn_failed(struct sp_upconn *c, const char *how); /* how: for operators; stays for ever */
/* It stands, and will be closed, never put: it lets go of the targets that it was taken by, and of its part in the upstream's TLS.
 * How it goes from here on says nothing of the endpoint, on which it still counts. Any number of times. */
void sp_upconn_detach(struct sp_upconn *c);
/* The exchange is over and both halves complete: keep it if the backend is willing and there is room. */
void sp_upconn_put(struct sp_upconn *c);
void sp_upconn_close(struct sp_upconn *c); /* takes NULL */

/* May a request that a backend may have seen be tried once more? Each request earns a part of a retry (retries.budget), and a
 * few a second are always allowed, so that an outage is not multiplied. Takes one from the budget. */
SP_MUST_USE bool sp_targets_may_retry(struct sp_targets *t, size_t upstream);

#endif
