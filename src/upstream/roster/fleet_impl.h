/* What the sources of this folder share: a fleet, the roster, and what it knows of an endpoint beside what everybody may see.
 * Not a door.
 *
 *   fleet    immutable but for its lineups (behind `lock`, told by `version`)
 *   roster   its thread's own, but for what stands behind `lock`: the builder's and the main thread look things up there
 *   member   an endpoint. In roster->members while the fleet in force has it; only then does it have timers and a check. In
 *            roster->known for as long as anybody has it, so that it is one object for all fleets and its caps are kept
 */
#ifndef SP_UPSTREAM_FLEET_IMPL_H
#define SP_UPSTREAM_FLEET_IMPL_H

#include <pthread.h>

#include "sallyport/base/list.h"
#include "sallyport/base/random.h"
#include "sallyport/upstream/roster.h"
#include "upstream/roster/queue.h"

struct sp_fleet_upstream {
    const struct sp_config_upstream *config;
    _Atomic uint64_t version;
    struct sp_lineup *lineup;   /* behind the fleet's lock; one reference; never NULL */
    struct sp_tls_client **tls; /* one a worker, and behind them the roster's; NULL: plain */
    bool is_panic;              /* the roster's thread: the lineup is made of all there are */
    bool is_stale;              /* likewise: it is to have another one at the end of the turn */
    unsigned checks_under_way;  /* likewise: that were begun for this fleet */
    struct sp_queue
        *queue; /* one reference; that of the upstream of the same name before, if there was one */
};

struct sp_fleet {
    _Atomic unsigned refs;
    struct sp_config *config; /* one reference */
    struct sp_roster *roster; /* NULL: nothing will be connected to */
    unsigned workers;
    pthread_mutex_t lock;
    struct sp_fleet_upstream *upstreams; /* in the order of config->upstreams */
    size_t upstream_count;
    struct sp_mail follow; /* on its way to the roster, with a reference; at most once in a fleet's life */
};

/* A worker that may be asked to give up unused connections; queue.c. */
struct sp_yielder {
    struct sp_loop *loop; /* NULL: it is not there */
    void (*yield)(void *arg);
    void *arg;
    struct sp_mail mail;
    atomic_bool under_way;
};

struct sp_name;

#define SP_ROSTER_BUCKETS 1024

struct sp_roster {
    struct sp_loop *loop;
    struct sp_logger *logger;
    struct sp_meter_block *meter;
    struct sp_random random;

    pthread_mutex_t yield_lock; /* queue.c */
    struct sp_yielder *yielders;
    unsigned yielder_count;

    /* Written by the roster's thread with `lock` held; read by it without, by others with it. */
    pthread_mutex_t lock;
    pthread_cond_t settled; /* a name was answered, or not, for the first time */
    struct sp_fleet *fleet; /* in force; one reference; NULL before the first */
    struct sp_fleet
        *shown; /* the main thread's own: what it was told to follow last; one reference, or NULL */
    struct sp_list members; /* of sp_member, one reference each */
    struct sp_list names;   /* of sp_name */
    struct sp_list names_by_hash[SP_ROSTER_BUCKETS];

    /* Behind `lock` for everybody: the builder, too, makes members. Of sp_member, one reference each. */
    struct sp_list known[SP_ROSTER_BUCKETS];

    /* The roster's thread only. */
    struct sp_resolver *resolver; /* NULL: no name was asked yet */
    bool resolver_is_stale;       /* to be made anew when nothing is under way */
    unsigned names_asked;         /* questions under way */
    struct sp_buf servers;        /* to be asked; sp_names_servers */
    struct sp_list checks;        /* of sp_check, those that are due and wait for a place */
    unsigned checks_under_way;
    struct sp_task call_checks;
    struct sp_pool blocks;  /* of checks' streams */
    struct sp_task line_up; /* those of `fleet` that are stale */
};

struct sp_member {
    struct sp_endpoint ep; /* what is handed out */
    bool is_by_name;       /* ep.host is a name that was looked up */
    struct sp_list link;   /* in roster->members */
    struct sp_list known;  /* in roster->known */
    struct sp_roster *roster;
    struct sp_mail failed; /* "look at failed_in_a_row"; with a reference while it is under way */
    atomic_bool failed_under_way;
    _Atomic(const char *) last_failure; /* of a request, in short; NULL: none */

    /* Written by the roster's thread, for operators. */
    _Atomic uint64_t ejections, checks_ok, checks_failed;
    _Atomic unsigned weight; /* 0: drained */
    atomic_bool is_backup;
    char last_check[192]; /* why the last check failed, "" if it did not; behind the roster's lock */

    /* The roster's thread only. */
    bool is_named;   /* by the fleet in force; for the sweep that follows a change */
    size_t upstream; /* of the fleet in force */
    unsigned level;  /* of ejection: the next one lasts base * 2^level */
    uint64_t returned_ms;
    struct sp_timer *ejected; /* when it comes back */
    struct sp_check *check;
};

/* TLS asks for a backend by its endpoint's own name, or holds it to that. */
static inline bool sp_upstream_goes_by_host(const struct sp_config_upstream *config)
{
    return config->tls != NULL && config->tls->name == NULL;
}

static inline struct sp_member *sp_member_of(struct sp_endpoint *ep)
{
    return SP_CONTAINER_OF(ep, struct sp_member, ep);
}

/* ---- fleet_tls.c ---- */
/* Fills f->upstreams[].tls. False: `d` says why, or there is no memory. */
bool sp_fleet_load_tls(struct sp_fleet *f, const struct sp_fleet_options *o, struct sp_diags *d);
void sp_fleet_free_tls(struct sp_fleet *f); /* also of a fleet that was loaded in part */

#endif
