/* The shared part of asking about clients, for ocsp.c. */
#ifndef SP_GATE_INQUIRIES_IMPL_H
#define SP_GATE_INQUIRIES_IMPL_H

#include "sallyport/gate/inquiries.h"
#include "sallyport/pki/ocsp.h"

#define SP_INQUIRY_KEY 32

/* What is remembered under `key` and holds at `now` (seconds since 1970). Any thread; one short lock. */
SP_MUST_USE bool sp_inquiries_find(
    struct sp_inquiries *i, const uint8_t key[SP_INQUIRY_KEY], int64_t now, struct sp_ocsp_answer *out);
/* Remembers `answer` for as long as its kind may be. Any thread. */
void sp_inquiries_put(struct sp_inquiries *i, const uint8_t key[SP_INQUIRY_KEY], int64_t now,
    const struct sp_ocsp_answer *answer);

/* Room for one more question under way. SP_FAIL: there is none, or nobody who fetches; `detail` says which, a literal.
 * On SP_OK *fetcher is set, and sp_inquiries_leave is called when it is over. */
SP_MUST_USE enum sp_rc sp_inquiries_enter(
    struct sp_inquiries *i, struct sp_fetcher **fetcher, const char **detail);
void sp_inquiries_leave(struct sp_inquiries *i);

#endif
