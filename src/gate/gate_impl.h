/* What the sources of this room share. Not a door. */
#ifndef SP_GATE_IMPL_H
#define SP_GATE_IMPL_H

#include "sallyport/gate/gate.h"

struct sp_gate {
    struct sp_gate_options o;
    struct sp_snapshot *snapshot; /* one reference */
    struct sp_list acceptors;
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

/* ---- handshake.c: one connection that has not proven itself ---- */
/* Takes over `fd` and `place` (of sp_addresses_enter), whatever becomes of it. */
void sp_handshake_start(struct sp_gate *g, const struct sp_snapshot_listener *listener, int fd,
    const struct sp_addr *peer, uint32_t place);
void sp_handshake_drop(struct sp_list *link);

/* ---- failures.c: limits.handshake_failures ---- */
/* A handshake of `peer` ended for that reason. */
void sp_failures_count(struct sp_gate *g, const struct sp_addr *peer, enum sp_refusal reason);
/* Is `peer` to be turned away for those before? */
bool sp_failures_bar(struct sp_gate *g, const struct sp_addr *peer);

/* Counts and logs a refusal, one line. `refusal` may be without certificate facts. */
void sp_gate_refuse(struct sp_gate *g, const char *listener, const char *peer, const char *sni,
    const char *tls, const struct sp_tls_refusal *refusal);

#endif
