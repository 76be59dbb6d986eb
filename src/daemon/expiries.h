/* What a snapshot stands on that comes to an end by itself: CRLs, CAs, certificates of ours, as a sorted list without
 * doubles. Plain copies: they outlive the snapshot. Not a door. */
#ifndef SP_DAEMON_EXPIRIES_H
#define SP_DAEMON_EXPIRIES_H

#include "sallyport/base/mem.h"
#include "sallyport/snapshot/snapshot.h"

enum sp_expiry_kind { SP_EXPIRY_CRL, SP_EXPIRY_CA, SP_EXPIRY_CERTIFICATE, SP_EXPIRY_KINDS };

/* FINE --> NEARING --> TOLERATED (a CRL by crl_stale: grace, accept) --> OVER; each may be left out. */
enum sp_expiry_state {
    SP_EXPIRY_FINE,
    SP_EXPIRY_NEARING,
    SP_EXPIRY_TOLERATED,
    SP_EXPIRY_OVER,
    SP_EXPIRY_STATES
};

struct sp_expiry {
    enum sp_expiry_kind kind;
    const char *owner; /* the listener or the upstream that it is of */
    bool of_upstream;
    const char *name;   /* a CRL's issuer, a CA's subject, a certificate's names */
    const char *source; /* file; of a CRL as trust.h has it */
    const char *url;    /* a CRL's, or NULL */
    int64_t from, until, warn_at;

    /* a CRL's */
    int64_t loaded_at;
    uint64_t entries;
    const char *trouble;
    enum sp_crl_stale stale; /* of several trusts that have it the strictest */
    int64_t grace_s;

    bool has_crl; /* a CA's */

    /* freshness.c: what was said of it so far */
    enum sp_expiry_state state;
    int64_t state_told_at;
    bool troubled;
    int64_t trouble_told_at;
    bool recovers; /* takes the place of another that was said to be in trouble */
};

struct sp_expiry_list {
    struct sp_arena arena; /* its text */
    struct sp_expiry *items;
    size_t count, room;
};

/* SP_FAIL without memory: *out is empty. */
SP_MUST_USE enum sp_rc sp_expiry_collect(
    const struct sp_snapshot *snapshot, int64_t now, struct sp_expiry_list *out);
void sp_expiry_free(struct sp_expiry_list *list);
/* The one that is the same thing as `item`, or NULL. */
struct sp_expiry *sp_expiry_find(const struct sp_expiry_list *list, const struct sp_expiry *item);

#endif
