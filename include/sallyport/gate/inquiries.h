/* What the gates share to ask OCSP responders about clients: who fetches, what was answered lately, how many questions
 * are under way. One of it a process; it outlives every gate.
 *
 * Answers are remembered by responder and certificate until they end, for a day at most; one that could not be had, for
 * two seconds, so that a dead responder is not hammered. Bounded: 4096 answers, of which the longest unused gives way,
 * and 512 questions under way. */
#ifndef SP_GATE_INQUIRIES_H
#define SP_GATE_INQUIRIES_H

#include "sallyport/base/base.h"
#include "sallyport/fetch/fetch.h"

struct sp_inquiries;

SP_MUST_USE struct sp_inquiries *sp_inquiries_new(void); /* NULL without memory */
void sp_inquiries_free(struct sp_inquiries *i);          /* when no gate is left; takes NULL */
/* Who fetches from now on; NULL: nobody, and whoever would be asked about is unreachable. Borrowed. Before the fetcher
 * is stopped it is taken away here, and no gate's thread may run by then. Any thread. */
void sp_inquiries_set_fetcher(struct sp_inquiries *i, struct sp_fetcher *f);

#endif
