/* A snapshot: one immutable build of configuration, trust, TLS contexts and rules. Built on the builder thread,
 * then shared by reference count; the last reference frees it, on whichever thread that is. */
#ifndef SP_SNAPSHOT_SNAPSHOT_H
#define SP_SNAPSHOT_SNAPSHOT_H

#include <stdatomic.h>

#include "sallyport/base/base.h"
#include "sallyport/config/config.h"
#include "sallyport/headers/headers.h"
#include "sallyport/match/match.h"
#include "sallyport/obs/rule_meter.h"
#include "sallyport/pki/shelf.h"
#include "sallyport/pki/trust.h"
#include "sallyport/policy/policy.h"
#include "sallyport/tls/server.h"
#include "sallyport/upstream/roster.h"

/* What outlives snapshots and is handed from one build to the next. Belongs to the thread that builds; what it hands
 * out is counted. */
struct sp_snapshot_memory {
    struct sp_shelf *shelf;
    struct sp_sessions
        *sessions; /* that clients may come back to; their numbers may be looked at by any thread */
    struct sp_tls_library **libraries; /* of the gates; NULL where none is to be had */
    unsigned library_count;            /* so many have been asked for */
};
SP_MUST_USE enum sp_rc sp_snapshot_memory_init(struct sp_snapshot_memory *m, struct sp_err *err);
/* After every snapshot, every connection, and every thread that has entered one of its libraries. */
void sp_snapshot_memory_free(struct sp_snapshot_memory *m);
/* In which the TLS contexts of that gate are made, and which its thread is to enter; made when it is first asked for. NULL:
 * OpenSSL's own. Borrowed. */
struct sp_tls_library *sp_snapshot_library(struct sp_snapshot_memory *m, unsigned gate);

struct sp_snapshot_listener {
    const struct sp_config_listener *config;
    struct sp_trust **trusts;   /* one for each of config->hosts; those that inherit share the listener's */
    struct sp_tls_server **tls; /* one a gate */
    struct sp_cidr *proxies;    /* config->proxies, compiled */
    size_t proxy_count;
};

struct sp_snapshot {
    _Atomic unsigned refs;
    uint64_t generation; /* 1, 2, 3 ... */
    unsigned gates;
    struct sp_config *config;           /* shared with the snapshots that were renewed from the same one */
    struct sp_policy *policy;           /* one reference */
    struct sp_headers *headers;         /* what each upstream is told */
    struct sp_fleet *fleet;             /* one reference; config->upstreams, who they are and their TLS */
    struct sp_rule_meters *rule_meters; /* one reference; of config->rules. Written by workers */
    struct sp_snapshot_listener *listeners; /* in the order of config->listeners */
    size_t listener_count;
};

struct sp_snapshot_options {
    unsigned gates;   /* how many TLS contexts a listener needs; 0: as the configuration says */
    unsigned workers; /* how many will count; 0: as the configuration says */
    uint64_t generation;
    struct sp_snapshot_memory *memory; /* NULL: none, for `check` */
    struct sp_roster *roster;          /* NULL: nothing will be connected to, for `check` */
    /* The one in force, or NULL: a trust that would be the same is taken over with what it remembers. */
    const struct sp_snapshot *before;
};

/* Reads `file` and everything it names. All that is wrong goes to `diags`. On SP_OK hands over one reference. */
SP_MUST_USE enum sp_rc sp_snapshot_load(const char *file, const struct sp_snapshot_options *options,
    struct sp_snapshot **out, struct sp_diags *diags);
/* The same configuration as options->before, with the files that it names read again; the configuration's own file is
 * not looked at. */
SP_MUST_USE enum sp_rc sp_snapshot_renew(
    const struct sp_snapshot_options *options, struct sp_snapshot **out, struct sp_diags *diags);
/* The same with nothing but the CRLs read again, so that they are not held up by a certificate or a CA file that cannot
 * be used: everything else is that of options->before. SP_EOF: no CRL has changed. */
SP_MUST_USE enum sp_rc sp_snapshot_renew_crls(
    const struct sp_snapshot_options *options, struct sp_snapshot **out, struct sp_diags *diags);
struct sp_snapshot *sp_snapshot_ref(struct sp_snapshot *s); /* any thread */
void sp_snapshot_unref(struct sp_snapshot *s);              /* any thread; takes NULL */

/* The listener of that name, or NULL. */
const struct sp_snapshot_listener *sp_snapshot_find(const struct sp_snapshot *s, const char *name);
/* Is that a load balancer in front of it, whose connections begin with a PROXY protocol header? */
bool sp_snapshot_is_proxy(const struct sp_snapshot_listener *l, const struct sp_addr *peer);
/* Whether clients of these two of the listener's hosts prove themselves alike: what came for the one may ask the other. */
bool sp_snapshot_hosts_agree(const struct sp_snapshot_listener *l, size_t a, size_t b);

#endif
