/* One question to one endpoint: a connection that comes to stand as workers' do, and perhaps a GET. Not a door. */
#ifndef SP_UPSTREAM_PROBE_H
#define SP_UPSTREAM_PROBE_H

#include "sallyport/http/codec.h"
#include "upstream/roster/roster_impl.h"

enum sp_probe_phase {
    SP_PROBE_IDLE,
    SP_PROBE_CONNECT,
    SP_PROBE_PREFACE,
    SP_PROBE_TLS,
    SP_PROBE_SEND,
    SP_PROBE_RECEIVE
};

/* Embedded in what wants to know. */
struct sp_probe {
    /* Once after each start, from the loop. `failure`: NULL: it is well. */
    void (*on_done)(struct sp_probe *p, const char *failure);
    bool
        is_ours; /* with a failure: it was for want of our own memory or descriptors, and says nothing about the endpoint */

    /* the rest is private */
    struct sp_roster *roster;
    struct sp_fleet *fleet; /* one reference: what is asked is its configuration's */
    size_t upstream;
    struct sp_endpoint *endpoint; /* one reference */
    struct sp_tls_saved *saved;
    enum sp_probe_phase phase;
    int fd; /* until a transport has it; -1 */
    unsigned early_events;
    struct sp_watch *watch;
    struct sp_transport *transport;
    struct sp_stream *stream;
    struct sp_buf preface;
    size_t preface_sent;
    struct sp_timer *deadline;
    struct sp_task go_on;
    char failure[192];
};

/* Once. SP_FAIL without memory. */
SP_MUST_USE enum sp_rc sp_probe_init(
    struct sp_probe *p, struct sp_roster *r, void (*on_done)(struct sp_probe *p, const char *failure));
/* Asks by the configuration in force, which has a check there. Borrows `saved` until it is done. */
void sp_probe_start(struct sp_probe *p, size_t upstream, struct sp_endpoint *ep, struct sp_tls_saved *saved);
/* No on_done any more; what sp_probe_init made is gone. */
void sp_probe_destroy(struct sp_probe *p);

#endif
