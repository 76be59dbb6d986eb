/* One thing that is fetched: a CRL that listeners use, or the OCSP response to staple to a certificate of ours. What is
 * asked for, what the answer is worth, and what is kept of it. When, and what is said of it, is in fetching.c. Builder
 * thread. Not a door. */
#ifndef SP_DAEMON_FETCH_SOURCE_H
#define SP_DAEMON_FETCH_SOURCE_H

#include "sallyport/base/list.h"
#include "sallyport/fetch/fetch.h"
#include "sallyport/obs/log.h"
#include "sallyport/pki/ocsp.h"
#include "sallyport/snapshot/snapshot.h"

#define SP_FETCH_WHAT 384

struct sp_fetch_source {
    struct sp_list link;
    struct sp_fetching *owner;
    char *url;   /* as configured: perhaps "auto" for a staple */
    char *file;  /* the copy */
    char *chain; /* the file of the certificate that a staple is for; NULL: it is a CRL */

    /* what is kept */
    bool has_copy;            /* a good one */
    int64_t until;            /* it ends, seconds since 1970; INT64_MAX never */
    int64_t looked_at;        /* when it was last known to be current; 0 never */
    char what[SP_FETCH_WHAT]; /* for the log */

    /* the question under way */
    struct sp_fetch_job job;
    bool under_way;
    struct sp_config *asked_under;   /* has the strings of the job; one reference */
    struct sp_ocsp_subject *subject; /* of a staple; owned */

    /* fetching.c's */
    struct sp_timer *timer;
    bool wanted;             /* by the snapshot that is being followed */
    bool is_known;           /* its copy has been looked at */
    bool gone;               /* by no snapshot any more; freed when its answer is back */
    uint64_t due_ms;         /* the timer's, on the loop's clock */
    unsigned ended_looks;    /* in a row, that brought nothing but what had ended */
    bool again;              /* what is kept may be another by now: look when the answer is back */
    unsigned failures;       /* in a row */
    char cause[SP_ERR_TEXT]; /* of the last that was told */
    unsigned told_status;    /* of HTTP, when it was told; */
    bool told_good;          /* whether there was a good copy then */
    uint64_t told_at_ms;
    int64_t succeeded_at, next_at; /* for gauges: under the owner's lock */
};

/* NULL without memory. `chain` NULL: a CRL. */
SP_MUST_USE struct sp_fetch_source *sp_fetch_source_new(const char *url, const char *file, const char *chain);
/* Takes NULL. It is not under way, and in no list. */
void sp_fetch_source_free(struct sp_fetch_source *s);

/* What is kept, as of `now`: has_copy, until, looked_at, what. */
void sp_fetch_source_look(struct sp_fetch_source *s, const struct sp_snapshot *snapshot, int64_t now);
/* Fills in the question. SP_FAIL: there is nobody to ask, and `err` says why. */
SP_MUST_USE enum sp_rc sp_fetch_source_ask(
    struct sp_fetch_source *s, struct sp_config *config, struct sp_err *err);
/* Judges the answer and keeps it, if it is good. SP_OK: there is a new copy. SP_AGAIN: the one that is kept is the
 * newest. SP_FAIL: `err` says what is wrong, and what was kept stays. */
SP_MUST_USE enum sp_rc sp_fetch_source_take(
    struct sp_fetch_source *s, const struct sp_snapshot *snapshot, int64_t now, struct sp_err *err);
/* Lets go of everything that the question held. */
void sp_fetch_source_end(struct sp_fetch_source *s);

/* ---- fetch_log.c ---- */

/* Without the query, which may hold a secret. */
struct sp_slice sp_fetch_shown(const char *url);
void sp_fetch_tell_failure(
    struct sp_fetch_source *s, struct sp_logger *logger, const char *cause, uint64_t next_ms);
void sp_fetch_tell_success(
    const struct sp_fetch_source *s, struct sp_logger *logger, bool is_new, bool recovers, uint64_t next_ms);

#endif
