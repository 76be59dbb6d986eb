/* What the sources of this room share. Not a door. */
#ifndef SP_GATE_IMPL_H
#define SP_GATE_IMPL_H

#include "sallyport/gate/gate.h"

struct sp_gate {
    struct sp_gate_options o;
    struct sp_snapshot *snapshot; /* one reference */
    struct sp_list acceptors;
    struct sp_gate_update
        *missed; /* what is in force, while it has sockets that there was no memory to serve; else NULL */
    struct sp_timer *retry;
    struct sp_list handshakes;
    struct sp_list inquiries; /* of ocsp.c: questions to responders that are under way */
    uint64_t let_in_told_ms;  /* when it was last told that clients are let in without an answer */
    uint64_t let_in_since;    /* how many since then */
    int spare_fd; /* given up to turn somebody away when there are no descriptors left; -1 while it is */
};

/* ---- acceptor.c: one listening socket ---- */
struct sp_acceptor;

/* Takes over `fd`. NULL without memory: fd is the caller's. */
struct sp_acceptor *sp_acceptor_new(struct sp_gate *g, const char *listener, int fd);
void sp_acceptor_rename(struct sp_acceptor *a, const char *listener);
int sp_acceptor_fd(const struct sp_acceptor *a);
struct sp_acceptor *sp_acceptor_of(struct sp_list *link);
/* Takes what waits in its queue, then closes it. */
void sp_acceptor_retire(struct sp_acceptor *a);

/* Why somebody is turned away before anything is spent on him. */
struct sp_limit {
    enum sp_refusal reason; /* none: let on */
    const char *detail;
};
/* The limits of an address: for who is let on a place is taken, to be given back by sp_addresses_leave. */
struct sp_limit sp_limit_of_address(struct sp_gate *g, const struct sp_addr *client, uint32_t *place);

/* ---- handshake.c: one connection that has not proven itself ---- */
/* Who connected, as far as is known by now. */
struct sp_comer {
    struct sp_addr peer;
    bool is_proxy;               /* a load balancer, which will say who its client is */
    uint32_t place;              /* of sp_limit_of_address; 0: not counted */
    const struct sp_addr *local; /* where it connected to; NULL: its socket knows */
    bool is_one_of_many;         /* taken in one go: its first bytes wait for a turn of their own */
};
/* Takes over `fd` and the place, whatever becomes of it. */
void sp_handshake_start(
    struct sp_gate *g, const struct sp_snapshot_listener *listener, int fd, const struct sp_comer *comer);
void sp_handshake_drop(struct sp_list *link);

/* ---- failures.c: limits.handshake_failures ---- */
/* A handshake of `peer` ended for that reason. */
void sp_failures_count(struct sp_gate *g, const struct sp_addr *peer, enum sp_refusal reason);
/* Is `peer` to be turned away for those before? */
bool sp_failures_bar(struct sp_gate *g, const struct sp_addr *peer);

/* ---- proxy_header.c: what a load balancer says of its client, before TLS ---- */
struct sp_proxied {
    struct sp_addr source, destination; /* len 0: the connection is the load balancer's own */
};
/* Takes the header off the socket, and not a byte behind it. SP_AGAIN: an edge will come. SP_FAIL: `refusal` is filled. */
SP_MUST_USE enum sp_rc sp_proxy_header_take(
    struct sp_transport *t, struct sp_proxied *out, struct sp_tls_refusal *refusal);

/* Who is refused, for the log. What is not known is NULL or "". */
struct sp_stranger {
    const char *listener;
    const struct sp_addr *peer; /* the client, or a load balancer that has not said whose its connection is */
    const struct sp_addr *via;  /* the load balancer; len 0: none */
    const char *sni, *tls;
};
/* Counts and logs a refusal, one line. `refusal` may be without certificate facts. */
void sp_gate_refuse(struct sp_gate *g, const struct sp_stranger *who, const struct sp_tls_refusal *refusal);

#endif
