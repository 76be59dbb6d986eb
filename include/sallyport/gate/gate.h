/* A gate: one thread that lets connections in or not. It owns them from accept to a proven identity, and
 * everything that may be said to somebody who has not proven who he is: refusals, alerts, limits. What passes
 * goes to a worker's desk.
 *
 * Made on the main thread before its thread runs; after that only sp_gate_* mails reach it. */
#ifndef SP_GATE_GATE_H
#define SP_GATE_GATE_H

#include "sallyport/base/base.h"
#include "sallyport/gate/addresses.h"
#include "sallyport/gate/inquiries.h"
#include "sallyport/io/loop.h"
#include "sallyport/obs/issuer_counts.h"
#include "sallyport/obs/log.h"
#include "sallyport/obs/meter.h"
#include "sallyport/snapshot/handover.h"
#include "sallyport/snapshot/snapshot.h"

struct sp_gate;

struct sp_gate_options {
    unsigned index; /* which of the TLS contexts is its own */
    struct sp_loop *loop;
    struct sp_logger *logger;
    struct sp_meter_block *meter;
    struct sp_tally *tally;
    struct sp_addresses *addresses;              /* shared by all gates; borrowed */
    struct sp_inquiries *inquiries;              /* shared by all gates; borrowed */
    struct sp_issuer_counts *without_client_eku; /* shared by all gates; borrowed; NULL: not counted */
    struct sp_desk *const *desks;                /* borrowed for the gate's life */
    size_t desk_count;
};

SP_MUST_USE struct sp_gate *sp_gate_new(const struct sp_gate_options *options);
/* On its own thread, or when that has ended. Handshakes in progress are dropped. Takes NULL. */
void sp_gate_free(struct sp_gate *g);

/* A listening socket of this gate's own. */
struct sp_gate_socket {
    char listener[65]; /* the name */
    int fd;
};
/* A new snapshot and the sockets it is served on. A socket that the gate has already is named with the same fd;
 * what is not named any more is closed after its queue has been taken. New descriptors are handed over. */
struct sp_gate_update {
    struct sp_mail mail;
    struct sp_gate *gate;
    struct sp_snapshot *snapshot; /* one reference, handed over */
    struct sp_receipts *receipts; /* borrowed; signed once it is in force; NULL: nobody waits */
    size_t socket_count;
    struct sp_gate_socket sockets[];
};
/* Any thread. NULL without memory. The caller fills in the sockets. */
SP_MUST_USE struct sp_gate_update *sp_gate_update_new(
    struct sp_gate *g, struct sp_snapshot *snapshot, size_t socket_count);
void sp_gate_post(struct sp_gate_update *u); /* any thread; hands over `u` */
/* One that was not posted. Leaves its descriptors alone. Takes NULL. */
void sp_gate_update_free(struct sp_gate_update *u);
/* On the gate's thread (post a mail): takes what still waits, closes the listening sockets; handshakes go on. */
void sp_gate_drain(struct sp_gate *g);

#endif
