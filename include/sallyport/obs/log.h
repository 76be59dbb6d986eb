/* The log: events, access records and audit records leave the thread that made them as bytes in a ring of its own;
 * one writer thread formats and writes them. So a full disk or a stalled reader costs log lines (counted), never
 * a request.
 *
 * A logger is one producer: one thread, one ring, no lock. A full ring drops the newest line. A value is cut at
 * 8 KiB, the values of a line at 16 KiB together; fields after the 255th are left out. Lines are JSON objects
 * or `key=value` text; every byte of a value that is not printable ASCII leaves escaped, so a line is always
 * one line. Audit records are JSON, whatever the others are. */
#ifndef SP_OBS_LOG_H
#define SP_OBS_LOG_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/obs/meter.h"

enum sp_log_level { SP_LOG_DEBUG, SP_LOG_INFO, SP_LOG_WARN, SP_LOG_ERROR };
enum sp_log_format { SP_LOG_JSON, SP_LOG_TEXT };

/* Where the services listen; NULL: where they usually do. Borrowed as long as the log lives. For tests. */
struct sp_sink_sockets {
    const char *syslog, *journald;
};

/* Where lines go: "stderr", "stdout", "off", "syslog" (a datagram socket at /dev/log; facility authpriv for audit records,
 * else daemon), "journald", or a file's path (created 0640, appended to, reopened on request). */
struct sp_log_options {
    enum sp_log_level level;
    enum sp_log_format format;
    const char *events;
    const char *access;
    const char *audit;              /* NULL: "off" */
    struct sp_sink_sockets sockets; /* only at the start */
};

/* One key and its value. Keys are string literals: the ring keeps the pointer. Values are copied. */
struct sp_log_field {
    const char *key;
    enum sp_log_kind {
        SP_LOG_STR, /* str; an absent slice (ptr NULL) leaves the field out; u64 (as a rule 0): bytes cut off its end,
                        * shown as "...[+n]" */
        SP_LOG_U64,  /* u64 */
        SP_LOG_MS,   /* u64 microseconds, printed as milliseconds with three decimals */
        SP_LOG_WORD, /* str.ptr is a literal that is kept by pointer; NULL leaves the field out */
    } kind;
    struct sp_slice str;
    uint64_t u64;
};

#define SP_LOG_S(k, slice)  ((struct sp_log_field){.key = (k), .kind = SP_LOG_STR, .str = (slice)})
#define SP_LOG_C(k, cstr)   ((struct sp_log_field){.key = (k), .kind = SP_LOG_STR, .str = sp_slice_of(cstr)})
#define SP_LOG_W(k, word)   ((struct sp_log_field){.key = (k), .kind = SP_LOG_WORD, .str = {(word), 0}})
#define SP_LOG_N(k, number) ((struct sp_log_field){.key = (k), .kind = SP_LOG_U64, .u64 = (number)})
#define SP_LOG_T(k, us)     ((struct sp_log_field){.key = (k), .kind = SP_LOG_MS, .u64 = (us)})

struct sp_log;    /* the writer and its thread */
struct sp_logger; /* one producer */

/* Opens the outputs and starts the writer thread (which takes no signal). `meter` becomes the writer's own
 * block. Fails with the path and why. */
SP_MUST_USE enum sp_rc sp_log_start(const struct sp_log_options *options, struct sp_meter_block *meter,
    struct sp_log **out, struct sp_err *err);
/* Writes what is in the rings, for at most `wait_ms` if an output stalls, ends the thread, frees all loggers.
 * No logger may be in use any more. Takes NULL. */
void sp_log_stop(struct sp_log *log, uint64_t wait_ms);
/* A producer for the calling thread's use, with its own ring; NULL without memory. Owned by `log`. Any thread.
 * `meter` is the producing thread's block: drops are counted there. */
SP_MUST_USE struct sp_logger *sp_logger_new(struct sp_log *log, struct sp_meter_block *meter);
/* Reopen the files by their paths (after logrotate), with new options if given (level, format, paths); the
 * writer does it between two lines and keeps the old file when the new one cannot be opened, saying so. Any
 * thread. */
void sp_log_reopen(struct sp_log *log, const struct sp_log_options *options_or_null);

/* Could the files of `next` that `now` does not name be opened? Asked before other things are changed that cannot be taken
 * back; opens and makes nothing, and reopening may fail all the same. Any thread. */
SP_MUST_USE enum sp_rc sp_log_probe(
    const struct sp_log_options *now, const struct sp_log_options *next, struct sp_err *err);

/* One event line: time, level, `event` (a literal, the stable name of what happened), then the fields. Below
 * the level it costs one comparison. The logger's own thread only. */
void sp_log_event(struct sp_logger *l, enum sp_log_level level, const char *event,
    const struct sp_log_field *fields, size_t count);
/* One access record: time, then the fields. Nothing is done when access goes to "off". */
void sp_log_access(struct sp_logger *l, const struct sp_log_field *fields, size_t count);
bool sp_logger_has_access(const struct sp_logger *l);
/* One audit record: time, event "decision", then the fields. Nothing is done when audit goes to "off". Lost ones are
 * counted apart (audit_dropped), and told by an event of their own. */
void sp_log_audit(struct sp_logger *l, const struct sp_log_field *fields, size_t count);
bool sp_logger_has_audit(const struct sp_logger *l);

/* The same formatting, straight into a buffer (a line with '\n'), for subcommands and tests. `level` < 0: a
 * record, which has none. */
void sp_log_format(struct sp_buf *out, enum sp_log_format format, int level, int64_t wall_us,
    const char *event, const struct sp_log_field *fields, size_t count);
/* A value as a JSON string, quotes included, as lines have it. */
void sp_log_add_json(struct sp_buf *out, struct sp_slice value);

#endif
