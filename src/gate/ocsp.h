/* Asking an OCSP responder about one client, within a gate. Nothing blocks: who waits is called. Everything on the
 * gate's own thread. */
#ifndef SP_GATE_OCSP_H
#define SP_GATE_OCSP_H

#include "gate_impl.h"
#include "sallyport/pki/ocsp.h"

/* One who waits. The caller fills in all but `link`, and keeps it where it is until the call or sp_ocsp_cancel. */
struct sp_ocsp_wait {
    struct sp_list link;
    struct sp_snapshot *snapshot; /* borrowed; the three below are its and the caller's */
    const struct sp_trust *trust; /* that let the client in */
    const struct sp_config_client_auth *auth;
    struct sp_identity *identity;
    void (*on_answer)(struct sp_ocsp_wait *w, const struct sp_ocsp_answer *answer); /* once */
};

/* SP_OK: *out is what is known at once, which may be SP_OCSP_UNUSABLE. SP_AGAIN: on_answer will be called, unless it is
 * cancelled. Whoever asks the same question while it is under way waits for the same answer. */
SP_MUST_USE enum sp_rc sp_ocsp_ask(struct sp_gate *g, struct sp_ocsp_wait *w, struct sp_ocsp_answer *out);
/* The question goes on for the sake of the answer, which the next one will find. */
void sp_ocsp_cancel(struct sp_ocsp_wait *w);
/* Counts a client that is let in without an answer, as configured; tells it, but not more often than is of use. */
void sp_ocsp_tell_let_in(
    struct sp_gate *g, const struct sp_ocsp_wait *w, const struct sp_ocsp_answer *answer);

#endif
