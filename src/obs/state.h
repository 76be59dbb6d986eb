/* What the producers (log.c) and the writer thread (writer.c) share, and who may touch which part of it. */
#ifndef SP_OBS_STATE_H
#define SP_OBS_STATE_H

#include <limits.h>
#include <pthread.h>

#include "ring.h"
#include "sallyport/obs/log.h"
#include "sink.h"

enum {
    SP_LOG_RING_BYTES = 2 * 1024 * 1024, /* some 1,500 requests with both records */
    SP_LOG_FIELDS_MAX = 255,
    SP_LOG_VALUE_MAX = 8 * 1024,   /* of one value; the rest is cut off and its length said */
    SP_LOG_VALUES_MAX = 16 * 1024, /* of all values of a line */
    SP_LOG_LEVEL_ACCESS = -1,      /* an access record, where a level would stand */
    SP_LOG_LEVEL_AUDIT = -2,       /* an audit record */
    SP_LOG_LEVEL_NONE = SP_LOG_ERROR + 1,
};

/* A line in a ring: this, then per field a struct sp_log_item and, for SP_LOG_STR, the value's bytes. Copied in
 * and out: nothing in a ring is aligned. */
struct sp_log_record {
    uint32_t len; /* all of it */
    int16_t level;
    uint16_t count;
    int64_t wall_us;
    const char *event;
};

struct sp_log_item {
    const char *key;
    uint64_t number; /* SP_LOG_STR: the bytes cut off */
    const char *word;
    uint32_t kind;
    uint32_t len;
};

enum {
    SP_LOG_RECORD_MAX =
        sizeof(struct sp_log_record) + SP_LOG_FIELDS_MAX * sizeof(struct sp_log_item) + SP_LOG_VALUES_MAX,
};

/* What a line of `level` must leave free of a room of `size` bytes, in a ring and in an output that stalls: where lines are
 * lost, those of traffic are lost first, then warnings (a refusal makes one, and an audit record), audit records and errors
 * last. */
static inline size_t sp_log_spare(int level, size_t size)
{
    if (level == SP_LOG_LEVEL_AUDIT || level >= SP_LOG_ERROR)
        return 0;
    return level == SP_LOG_WARN ? size / 8 : size / 4;
}

/* Lost lines that are told apart. */
enum { SP_LOG_DROPS_LOG, SP_LOG_DROPS_AUDIT, SP_LOG_DROPS };

/* One mapping: this, then the ring's bytes, of which untouched pages cost nothing. */
struct sp_logger {
    struct sp_log *log;
    struct sp_meter_block *meter;           /* the producer's */
    struct sp_logger *next;                 /* set before it is shown to the writer, then constant */
    _Atomic uint64_t dropped[SP_LOG_DROPS]; /* by the producer */
    size_t limit;                           /* the writer's: how far it goes this turn */
    struct sp_ring ring;
};

/* What the writer is at, as far as a producer needs to know. */
enum sp_log_rest {
    SP_LOG_BUSY,    /* will look at the rings again by itself */
    SP_LOG_NAPPING, /* for a moment: wake it only when a ring gets full */
    SP_LOG_PARKED,  /* until woken */
};

enum { SP_LOG_EVENTS, SP_LOG_ACCESS, SP_LOG_AUDIT, SP_LOG_ROLES };

struct sp_log_names {
    char of[SP_LOG_ROLES][PATH_MAX];
};

struct sp_log {
    /* Read by every producer, written by the writer. */
    _Atomic int level;
    _Atomic bool has_access;
    _Atomic bool has_audit;
    _Atomic unsigned rest;
    int wake_fd;
    _Atomic(struct sp_logger *) loggers;

    pthread_t thread;
    pthread_mutex_t lock; /* for what follows up to the blank line, and for adding loggers */
    pthread_cond_t ended_cond;
    bool ended;     /* the thread's last word */
    bool abandoned; /* the writer hangs in the kernel and has been left behind: `meter` is no longer ours */
    bool wanted_options; /* the request carries level, format and names */
    enum sp_log_level wanted_level;
    enum sp_log_format wanted_format;
    struct sp_log_names wanted;

    _Atomic bool reopen;
    _Atomic bool stopping;
    uint64_t stop_by_ms; /* written before `stopping` */

    /* The writer's own. */
    struct sp_meter_block *meter;
    struct sp_sink *sinks[SP_LOG_ROLES]; /* NULL: off; several may be one */
    struct sp_sink_sockets sockets;      /* constant */
    struct sp_log_names names;
    enum sp_log_level wished_level;
    enum sp_log_format format;
    uint64_t dropped[SP_LOG_DROPS];     /* by the writer itself */
    uint64_t reported[SP_LOG_DROPS];    /* of all drops */
    uint64_t failed[SP_LOG_ROLES];      /* lost to a write error, while events go elsewhere */
    uint64_t failed_told[SP_LOG_ROLES]; /* of those */
    int failed_errnum[SP_LOG_ROLES];    /* why the last one was */
    uint64_t reported_ms;               /* when; 0 never */
    char scratch[SP_LOG_RECORD_MAX];
};

/* Wakes the writer, whatever it is at. Any thread. */
void sp_log_wake(struct sp_log *log);
/* The writer thread. */
void *sp_log_writer_main(void *log);

/* ---- outputs.c, for the writer ---- */
/* Counts in the writer's block, which it may have had to leave behind. */
void sp_log_count(struct sp_log *log, enum sp_meter_id id, uint64_t n);
/* "events", "access" or "audit". */
const char *sp_log_role_name(int role);
/* The outputs, each once; returns how many. */
size_t sp_log_distinct_sinks(struct sp_log *log, struct sp_sink *out[SP_LOG_ROLES]);
bool sp_log_is_all_stalled(struct sp_log *log);
void sp_log_flush(struct sp_log *log, struct sp_sink *s);
void sp_log_flush_all(struct sp_log *log);
/* Makes `level`, `has_access` and `has_audit` what the wishes and the open outputs allow. */
void sp_log_apply_level(struct sp_log *log);
/* Opens what `log->names` says. A role whose output cannot be opened keeps what it had, and its `err` has a text.
 */
SP_MUST_USE enum sp_rc sp_log_open_sinks(struct sp_log *log, struct sp_err err[SP_LOG_ROLES]);

#endif
