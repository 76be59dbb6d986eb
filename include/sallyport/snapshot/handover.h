/* The hand-over between the two doors: what a gate passes to a worker, and where it puts it down. At that
 * moment nothing of the connection is registered with a loop. */
#ifndef SP_SNAPSHOT_HANDOVER_H
#define SP_SNAPSHOT_HANDOVER_H

#include <stdatomic.h>

#include "sallyport/base/addr.h"
#include "sallyport/io/loop.h"
#include "sallyport/io/transport.h"
#include "sallyport/pki/identity.h"
#include "sallyport/snapshot/snapshot.h"

/* What is counted over all threads because a limit stands on it. One atomic each, touched once a
 * connection; by requests only the last. */
struct sp_tally {
    _Atomic uint32_t connections; /* client connections, from accept to close */
    _Atomic uint32_t handshakes;  /* of those, in the handshake */
    /* What is admitted: exchanges and tunnels in the upper half, their blocks (SP_IO_BLOCK) in the lower. One word, so that
     * a request touches it twice: when it begins and when it ends. */
    _Atomic uint64_t admitted;
    /* Connections that there are descriptors for, 0: more than any limit. Set before the first thread runs. */
    uint32_t room;
};

/* Made by a gate, owned by whoever has it, as long as the session lives: so its text is as long as it is, and no more. */
struct sp_handover {
    struct sp_mail mail;
    struct sp_desk *desk;
    struct sp_transport *transport;
    struct sp_identity *identity; /* NULL: anonymous */
    /* The listener's, which a newer snapshot may not know any more. */
    struct sp_config_listener_timeouts timeouts;
    enum sp_listener_mode mode; /* likewise */
    int64_t authenticated_at;   /* of the full handshake, seconds since 1970 */
    bool resumed;
    uint64_t generation;  /* of the snapshot that it was judged by */
    uint64_t accepted_ms; /* when it was accepted (monotonic): it was judged later than that */
    const char *listener;
    const char *peer; /* the client's address: as a load balancer in front says, if there is one */
    const char *via;  /* that load balancer's address; "" if the client came to us itself */
    const char *sni;  /* canonical, or "" */
    const char *tls;
    struct sp_addr source; /* `peer` as an address */
    /* Where the client connected to: as the load balancer says, else our own end of the connection. */
    struct sp_addr destination;
};

/* A copy of `from`, with text of its own ("" for what is NULL); what `from` owns is handed over. NULL without memory: it is not. */
SP_MUST_USE struct sp_handover *sp_handover_new(const struct sp_handover *from);

/* A worker's desk: gates read how many sessions are there and post to it. */
struct sp_desk {
    struct sp_loop *loop;
    _Atomic uint32_t sessions; /* a gate adds one as it posts; the worker takes it off at the end */
    void (*receive)(struct sp_handover *h); /* on the worker's thread; takes over h and all it holds */
    void *worker;
};

/* Puts `h` on the desk with the fewest sessions. Any thread. */
void sp_handover_post(struct sp_handover *h, struct sp_desk *const *desks, size_t count);
void sp_handover_free(struct sp_handover *h); /* with transport and identity; takes NULL */

/* How a thread learns that several others have done what it posted to them. Owned by who waits; `mail` goes to
 * `loop` when the last of the `due` ones has signed. */
struct sp_receipts {
    _Atomic unsigned due;
    struct sp_loop *loop;
    struct sp_mail mail;
};

void sp_receipts_sign(struct sp_receipts *r); /* any thread; takes NULL */

#endif
