/* A connection, as its two sources see it: opening.c and connection.c. Not a door. */
#ifndef SP_UPSTREAM_CONN_IMPL_H
#define SP_UPSTREAM_CONN_IMPL_H

#include "upstream/pool/pool_impl.h"

/* OPEN: transport and stream are there, and the server is who it should be. */
enum sp_conn_phase { SP_CONN_CONNECTING, SP_CONN_PREFACE, SP_CONN_TLS, SP_CONN_OPEN };

struct sp_conn {
    struct sp_upconn up;
    struct sp_upstreams *owner;
    struct sp_outlet *outlet; /* held */
    struct sp_watch *watch;
    enum sp_conn_phase phase;
    int fd;                  /* until there is a transport; else -1 */
    unsigned early_events;   /* edges that came until then */
    struct sp_slice preface; /* what of it is not sent yet; the errand's */
    bool is_raw;
    bool is_private; /* never kept */
    bool idle;
    bool told; /* how it went, in this use */
    const struct sp_tls_client
        *tls; /* that it was, or is to be, made by; the transport shares it; NULL: plain, or detached */
    struct sp_targets *targets; /* while it is in use and not detached; counted there */
    size_t upstream;            /* of `targets` */
    void (*on_event)(void *arg);
    void *arg;
    uint64_t idle_until_ms;
    struct sp_list link; /* in outlet->idle */
    struct sp_grave grave;
};

void sp_conn_on_edge(void *arg, unsigned events);
void sp_conn_failed(struct sp_conn *c, const char *how); /* as sp_upconn_failed */

#endif
