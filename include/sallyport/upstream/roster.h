/* The roster: which endpoints there are, how each of them is, and what names mean today. One a process, on a thread of its own
 * (names, health checks, ejections); what it knows outlives configurations.
 *
 *   sp_endpoint   one address of one upstream, by one name: how it is and how busy, shared by all threads, atomics only
 *   sp_lineup     the endpoints of one upstream at one time, in the shape that choosing needs; immutable
 *   sp_fleet      the upstreams of one configuration, each with its present lineup and its TLS; part of a snapshot
 *
 *   configuration --(builder: sp_fleet_new)--> fleet --(main: sp_roster_follow)--> roster asks names and endpoints
 *   names, checks, ejections --(roster)--> new lineup --(an atomic number)--> workers take it up at their next request
 *
 * Who may be asked ("usable"): up by its checks, not ejected, weight over 0. Of these the primaries; if there are none, the
 * usable backups; if there are fewer than panic_percent of the primaries (and no usable backup), all primaries: a check
 * that finds everybody ill is more likely ill itself. */
#ifndef SP_UPSTREAM_ROSTER_H
#define SP_UPSTREAM_ROSTER_H

#include <stdatomic.h>

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"
#include "sallyport/io/loop.h"
#include "sallyport/obs/log.h"
#include "sallyport/obs/meter.h"
#include "sallyport/pki/shelf.h"
#include "sallyport/tls/client.h"

/* ---- roster ---- */
struct sp_roster;

struct sp_roster_options {
    struct sp_loop *loop; /* of its thread, which does not run yet */
    /* These three may come later, by sp_roster_equip: names are looked up before there is a log. */
    struct sp_logger *logger;
    struct sp_meter_block *meter;
    unsigned workers;
};
SP_MUST_USE enum sp_rc sp_roster_new(
    const struct sp_roster_options *options, struct sp_roster **out, struct sp_err *err);
/* What was not given to sp_roster_new; options->loop is not looked at. Before sp_roster_join and the first sp_roster_follow. */
SP_MUST_USE enum sp_rc sp_roster_equip(
    struct sp_roster *r, const struct sp_roster_options *options, struct sp_err *err);
/* After its thread has ended, and all workers' too. Takes NULL. */
void sp_roster_free(struct sp_roster *r);

/* ---- endpoint ---- */
struct sp_endpoint {
    _Atomic unsigned refs;
    struct sp_addr address;
    char text[SP_ADDR_TEXT]; /* the address */
    /* The name that it was looked up by: of a service the target's. Without a name its address without port; "" for a unix
     * socket. */
    char host[256];
    char upstream[65];

    /* By the configuration in force. */
    _Atomic unsigned max_connections; /* 0: any */

    /* Written by workers. */
    _Atomic uint32_t requests;    /* exchanges and tunnels on it now */
    _Atomic uint32_t connections; /* open from this process: in use, connecting, idle */
    _Atomic uint32_t failed_in_a_row;

    /* Written by the roster. */
    _Atomic bool is_down; /* by its checks */
    _Atomic bool is_ejected;
    _Atomic uint64_t up_since_ms; /* monotonic: for slow start; 0: from the start */
};
struct sp_endpoint *sp_endpoint_ref(struct sp_endpoint *ep); /* any thread */
void sp_endpoint_unref(struct sp_endpoint *ep);              /* any thread; takes NULL */

/* ---- lineup ---- */
#define SP_LINEUP_SLOTS_MAX  65536
#define SP_LINEUP_USABLE_MAX 4096

struct sp_lineup {
    _Atomic unsigned refs;
    /* All that there are, whatever their state; one reference each. */
    struct sp_endpoint **all;
    size_t all_count;
    /* Those to choose from now, with their weights. */
    struct sp_endpoint **usable;
    unsigned *weights;
    size_t usable_count;
    bool is_panic;
    /* round_robin: indexes of `usable`, each as often as its weight says, spread evenly. */
    uint16_t *turns;
    size_t turn_count;
    /* hash: points on a circle, ascending, and whose they are; adding or taking one endpoint moves only its share. */
    struct sp_lineup_point {
        uint64_t at;
        uint32_t index; /* of `usable` */
    } * points;
    size_t point_count;
};
void sp_lineup_unref(struct sp_lineup *l); /* any thread; takes NULL */

/* ---- fleet ---- */
struct sp_fleet;

struct sp_fleet_options {
    /* NULL: nothing will be connected to (`check`): TLS is loaded and names are looked up to tell what is wrong with them. */
    struct sp_roster *roster;
    struct sp_shelf *shelf;  /* or NULL */
    struct sp_fleet *before; /* or NULL: TLS that would be the same is taken over, with its connections */
    unsigned workers;
    bool
        crls_only; /* something that TLS needs cannot be read now: where `before` has it, that is good enough */
};
/* The upstreams of `config`, which is shared. Names that the roster does not know yet are looked up: blocks for up to five
 * seconds in all. One that cannot be is a warning; its upstream has no endpoint until it can. NULL without memory, or with an
 * error in `diags`. Builder thread. Hands over one reference. */
SP_MUST_USE struct sp_fleet *sp_fleet_new(
    struct sp_config *config, const struct sp_fleet_options *options, struct sp_diags *diags);
struct sp_fleet *sp_fleet_ref(struct sp_fleet *f); /* any thread */
void sp_fleet_unref(struct sp_fleet *f);           /* any thread; takes NULL */

/* From now on `f` is the one in force: its names and endpoints are asked, those of no fleet in force no more; operators
 * are told of it at once. Main thread. */
void sp_roster_follow(struct sp_roster *r, struct sp_fleet *f);

/* A number that changes with the lineup: one relaxed read a request tells whether it is still the same. */
uint64_t sp_fleet_version(const struct sp_fleet *f, size_t upstream);
/* The present lineup; one reference handed over. Takes a short lock. Any thread. */
SP_MUST_USE struct sp_lineup *sp_fleet_lineup(struct sp_fleet *f, size_t upstream);
/* The TLS of that upstream for worker `worker`, or NULL: plain. Borrowed from the fleet. */
struct sp_tls_client *sp_fleet_tls(const struct sp_fleet *f, size_t upstream, unsigned worker);

/* ---- what workers tell ---- */
/* A request, or a connection, came to nothing by the endpoint's fault; or it went well. Any thread; costs an atomic. What
 * follows (ejection) is the roster's. */
/* `how`, for operators, stays for ever. */
void sp_endpoint_failed(
    struct sp_roster *r, struct sp_fleet *f, size_t upstream, struct sp_endpoint *ep, const char *how);
void sp_endpoint_went_well(struct sp_endpoint *ep);

/* ---- for operators ---- */
/* Prometheus text: state, requests, connections by upstream and endpoint. Any thread. */
void sp_roster_print_gauges(struct sp_roster *r, struct sp_buf *out);
/* JSON: {"upstreams":[{"name":…,"endpoints":[{"address":…,"state":"up|down|ejected|drained",…}]}]}. Any thread. */
void sp_roster_print_json(struct sp_roster *r, struct sp_buf *out);

#endif
