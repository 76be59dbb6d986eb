/* The writer thread: takes lines out of the rings, formats them, writes many at once.
 *
 *           a turn moved lines            a nap without a line
 *     BUSY -----------------------> NAPPING ----------------------> PARKED
 *      ^                               |                              |
 *      |   50 ms, or a ring half full  |     a producer publishes     |
 *      +-------------------------------+------------------------------+
 *
 * While every output stalls, the rings are left alone and the outputs polled: the rings fill and producers
 * drop. When only some stall, lines for them are dropped here once their room is full, so that the others
 * go on. The thread waits in poll only, and always on the wake descriptor too. */
#include <poll.h>
#include <syslog.h>
#include <unistd.h>

#include "sallyport/base/clock.h"
#include "state.h"

enum {
    NAP_MS = 50,
    FLUSH_BYTES = 64 * 1024,
    REPORT_EVERY_MS = 1000, /* of losses */
    CHECK_LINES = 64,       /* how often a stop is looked at while draining */
};

/* ---- small things ---- */

static void count_drop(struct sp_log *log, int level)
{
    bool audit = level == SP_LOG_LEVEL_AUDIT;
    log->dropped[audit ? SP_LOG_DROPS_AUDIT : SP_LOG_DROPS_LOG]++;
    sp_log_count(log, audit ? SP_METER_audit_dropped : SP_METER_log_dropped, 1);
}

static bool is_stopping(struct sp_log *log)
{
    return atomic_load_explicit(&log->stopping, memory_order_acquire);
}

static bool is_out_of_time(struct sp_log *log)
{
    return is_stopping(log) && sp_mono_ms() >= log->stop_by_ms;
}

static struct sp_logger *first_logger(struct sp_log *log)
{
    return atomic_load_explicit(&log->loggers, memory_order_acquire);
}

/* ---- lines ---- */

static int role_of(int level)
{
    if (level >= 0)
        return SP_LOG_EVENTS;
    return level == SP_LOG_LEVEL_ACCESS ? SP_LOG_ACCESS : SP_LOG_AUDIT;
}

/* As syslog and journald want it. */
static unsigned priority_of(int level)
{
    static const int severities[] = {[SP_LOG_DEBUG] = LOG_DEBUG,
        [SP_LOG_INFO] = LOG_INFO,
        [SP_LOG_WARN] = LOG_WARNING,
        [SP_LOG_ERROR] = LOG_ERR};
    if (level >= 0)
        return (unsigned)(LOG_DAEMON | severities[level]);
    return level == SP_LOG_LEVEL_ACCESS ? LOG_DAEMON | LOG_INFO : LOG_AUTHPRIV | LOG_NOTICE;
}

static void add_line(struct sp_log *log, int level, int64_t wall_us, const char *event,
    const struct sp_log_field *fields, size_t n)
{
    struct sp_sink *s = log->sinks[role_of(level)];
    if (s == NULL)
        return; /* turned off since the line was made */
    if (s->pending.len > SP_SINK_PENDING_MAX - sp_log_spare(level, SP_SINK_PENDING_MAX)) {
        count_drop(log, level);
        return;
    }
    size_t mark = 0;
    struct sp_buf *buf = sp_sink_begin(s, &mark);
    if (sp_sink_is_datagram(s))
        sp_buf_printf(buf, "<%u>", priority_of(level));
    sp_log_format(
        buf, level == SP_LOG_LEVEL_AUDIT ? SP_LOG_JSON : log->format, level, wall_us, event, fields, n);
    if (!sp_sink_end(s, mark)) {
        count_drop(log, level);
        return;
    }
    if (!s->stalled && s->pending.len - s->sent >= FLUSH_BYTES)
        sp_log_flush(log, s);
}

/* An event of the writer itself. */
static void say(struct sp_log *log, enum sp_log_level level, const char *event,
    const struct sp_log_field *fields, size_t n)
{
    if (level >= log->wished_level)
        add_line(log, (int)level, sp_wall_us(), event, fields, n);
}

static void write_record(struct sp_log *log, const struct sp_log_record *record, const char *items)
{
    struct sp_log_field fields[SP_LOG_FIELDS_MAX];
    for (uint16_t i = 0; i < record->count; i++) {
        struct sp_log_item item;
        memcpy(&item, items, sizeof(item));
        items += sizeof(item);
        fields[i] = (struct sp_log_field){
            .key = item.key, .kind = (enum sp_log_kind)item.kind, .str = {item.word, 0}, .u64 = item.number};
        if (item.kind == SP_LOG_STR) {
            fields[i].str = (struct sp_slice){items, item.len};
            items += item.len;
        }
    }
    add_line(log, record->level, record->wall_us, record->event, fields, record->count);
}

/* Up to the logger's limit, or until there is nowhere to write to or no time. Returns the lines taken. */
static size_t drain(struct sp_log *log, struct sp_logger *l)
{
    struct sp_ring *ring = &l->ring;
    size_t lines = 0;
    for (size_t at = sp_ring_tail(ring); at != l->limit && !sp_log_is_all_stalled(log); lines++) {
        if (lines % CHECK_LINES == CHECK_LINES - 1 && is_out_of_time(log))
            break;
        struct sp_log_record record;
        char head[sizeof(record)];
        memcpy(&record, sp_ring_view(ring, at, sizeof(record), head), sizeof(record));
        const char *bytes = sp_ring_view(ring, at, record.len, log->scratch);
        write_record(log, &record, bytes + sizeof(record));
        at += record.len;
        sp_ring_release(ring, at);
    }
    return lines;
}

/* ---- outputs ---- */

static void reopen(struct sp_log *log)
{
    pthread_mutex_lock(&log->lock);
    atomic_store_explicit(&log->reopen, false, memory_order_relaxed);
    if (log->wanted_options) {
        log->wished_level = log->wanted_level;
        log->format = log->wanted_format;
        log->names = log->wanted;
        log->wanted_options = false;
    }
    pthread_mutex_unlock(&log->lock);
    struct sp_err errors[SP_LOG_ROLES];
    enum sp_rc rc = sp_log_open_sinks(log, errors);
    sp_log_apply_level(log);
    for (int role = 0; rc != SP_OK && role < SP_LOG_ROLES; role++) {
        if (errors[role].text[0] == '\0')
            continue;
        const struct sp_log_field fields[] = {
            SP_LOG_W("output", sp_log_role_name(role)),
            SP_LOG_C("error", errors[role].text),
        };
        say(log, SP_LOG_ERROR, "log_reopen_failed", fields, SP_COUNTOF(fields));
    }
}

/* ---- drops ---- */

static uint64_t count_dropped(struct sp_log *log, int kind)
{
    uint64_t total = log->dropped[kind];
    for (struct sp_logger *l = first_logger(log); l != NULL; l = l->next)
        total += atomic_load_explicit(&l->dropped[kind], memory_order_relaxed);
    return total;
}

static bool has_losses(struct sp_log *log)
{
    for (int kind = 0; kind < SP_LOG_DROPS; kind++) {
        if (count_dropped(log, kind) != log->reported[kind])
            return true;
    }
    return memcmp(log->failed, log->failed_told, sizeof(log->failed)) != 0;
}

/* Milliseconds until losses may be told; -1 when there is nothing to tell or nowhere to tell it. */
static int report_due_ms(struct sp_log *log)
{
    struct sp_sink *s = log->sinks[SP_LOG_EVENTS];
    if (s == NULL || s->stalled || !has_losses(log))
        return -1;
    uint64_t now = sp_mono_ms();
    uint64_t at = log->reported_ms + REPORT_EVERY_MS;
    return log->reported_ms == 0 || now >= at || is_stopping(log) ? 0 : (int)(at - now);
}

static void report_failures(struct sp_log *log, int role)
{
    char text[128];
    const struct sp_log_field fields[] = {
        SP_LOG_W("output", sp_log_role_name(role)),
        SP_LOG_N("count", log->failed[role] - log->failed_told[role]),
        SP_LOG_C("error", strerror_r(log->failed_errnum[role], text, sizeof(text))),
    };
    if (log->failed[role] == log->failed_told[role])
        return;
    log->failed_told[role] = log->failed[role];
    say(log, SP_LOG_ERROR, "log_failed", fields, SP_COUNTOF(fields));
}

static void report_drops(struct sp_log *log, int kind)
{
    static const struct {
        enum sp_log_level level;
        const char *event;
    } events[SP_LOG_DROPS] = {{SP_LOG_WARN, "log_dropped"}, {SP_LOG_ERROR, "audit_dropped"}};
    uint64_t total = count_dropped(log, kind);
    const struct sp_log_field fields[] = {SP_LOG_N("count", total - log->reported[kind])};
    if (total == log->reported[kind])
        return;
    log->reported[kind] = total;
    say(log, events[kind].level, events[kind].event, fields, SP_COUNTOF(fields));
}

static void report_losses(struct sp_log *log)
{
    if (report_due_ms(log) != 0)
        return;
    log->reported_ms = sp_mono_ms();
    for (int role = 0; role < SP_LOG_ROLES; role++)
        report_failures(log, role);
    for (int kind = 0; kind < SP_LOG_DROPS; kind++)
        report_drops(log, kind);
    sp_log_flush(log, log->sinks[SP_LOG_EVENTS]);
}

/* ---- the thread ---- */

/* Returns the lines moved. The rings' ends are taken before the request to reopen is looked at, so that a line
 * logged after sp_log_reopen returned, in the same thread, goes to the new file. */
static size_t turn(struct sp_log *log)
{
    size_t lines = 0;
    struct sp_logger *loggers = first_logger(log);
    for (struct sp_logger *l = loggers; l != NULL; l = l->next)
        l->limit = sp_ring_head(&l->ring);
    if (atomic_load_explicit(&log->reopen, memory_order_acquire))
        reopen(log);
    sp_log_flush_all(log);
    for (struct sp_logger *l = loggers; l != NULL; l = l->next)
        lines += drain(log, l);
    sp_log_flush_all(log);
    report_losses(log);
    return lines;
}

static bool has_lines(struct sp_log *log)
{
    for (struct sp_logger *l = first_logger(log); l != NULL; l = l->next) {
        if (sp_ring_head(&l->ring) != sp_ring_tail(&l->ring))
            return true;
    }
    return false;
}

static bool is_finished(struct sp_log *log)
{
    struct sp_sink *sinks[SP_LOG_ROLES];
    size_t n = sp_log_distinct_sinks(log, sinks);
    for (size_t i = 0; i < n; i++) {
        if (!sp_sink_is_empty(sinks[i]))
            return false;
    }
    return !has_lines(log);
}

/* How long to wait, having told the producers: -1 until woken, 0 not at all. */
static int choose_rest(struct sp_log *log, size_t lines)
{
    if (is_stopping(log)) {
        if (has_lines(log) && !sp_log_is_all_stalled(log))
            return 0; /* an output came back after the rings were looked at: nobody would wake us for them */
        uint64_t now = sp_mono_ms();
        return now < log->stop_by_ms ? (int)(log->stop_by_ms - now) : 0;
    }
    if (sp_log_is_all_stalled(log))
        return -1; /* still BUSY for the producers: they could not help */
    if (lines > 0) {
        atomic_store_explicit(&log->rest, SP_LOG_NAPPING, memory_order_seq_cst);
        return NAP_MS;
    }
    int due = report_due_ms(log);
    atomic_store_explicit(&log->rest, SP_LOG_PARKED, memory_order_seq_cst);
    return has_lines(log) ? 0 : due;
}

static void rest(struct sp_log *log, size_t lines)
{
    struct pollfd fds[1 + SP_LOG_ROLES] = {{.fd = log->wake_fd, .events = POLLIN}};
    nfds_t n = 1;
    struct sp_sink *sinks[SP_LOG_ROLES];
    size_t count_of_sinks = sp_log_distinct_sinks(log, sinks);
    for (size_t i = 0; i < count_of_sinks; i++) {
        if (sinks[i]->stalled)
            fds[n++] = (struct pollfd){.fd = sinks[i]->fd, .events = POLLOUT};
    }
    int wait_ms = choose_rest(log, lines);
    if (poll(fds, n, wait_ms) > 0 && fds[0].revents != 0) {
        uint64_t times;
        ssize_t got = read(log->wake_fd, &times, sizeof(times));
        (void)got; /* it only has to be empty again */
    }
    atomic_store_explicit(&log->rest, SP_LOG_BUSY, memory_order_seq_cst);
}

void *sp_log_writer_main(void *arg)
{
    struct sp_log *log = arg;
    pthread_setname_np(pthread_self(), "log");
    for (;;) {
        bool stopping = is_stopping(log); /* before the turn, which then sees all there will ever be */
        size_t lines = turn(log);
        if (stopping && (is_finished(log) || is_out_of_time(log)))
            break;
        rest(log, lines);
    }
    pthread_mutex_lock(&log->lock);
    log->ended = true;
    pthread_cond_signal(&log->ended_cond);
    pthread_mutex_unlock(&log->lock);
    return NULL;
}
