/* How many clients were let in whose certificate does not say that it is for clients, by its issuer: public CAs are dropping
 * clientAuth, and an operator has to know whose certificates `client_eku: required` would refuse. One of it a process,
 * shared by the gates. Bounded: 64 issuers with a series of their own; the others, and one whose name is longer than
 * 512 bytes, share issuer="other". Only issuers of verified certificates get here. */
#ifndef SP_OBS_ISSUER_COUNTS_H
#define SP_OBS_ISSUER_COUNTS_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"

/* X(prometheus name, labels, help) */
#define SP_ISSUER_FAMILIES(X)                                                                                \
    X("sallyport_client_eku_missing_total", "issuer=\"...\"",                                                \
        "Clients let in whose certificate does not have the extended key usage clientAuth, by its issuer")

#define SP_ISSUERS_COUNTED 64

struct sp_issuer_counts;

SP_MUST_USE struct sp_issuer_counts *sp_issuer_counts_new(void); /* NULL without memory */
void sp_issuer_counts_free(struct sp_issuer_counts *c);          /* takes NULL */
/* `issuer` as an identity has it. Any thread; one short lock. */
void sp_issuer_counts_add(struct sp_issuer_counts *c, struct sp_slice issuer);
/* The family and a sample an issuer. Any thread. */
void sp_issuer_counts_print(struct sp_issuer_counts *c, struct sp_buf *out);

#endif
