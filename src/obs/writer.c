/* The writer thread: takes lines out of the rings, formats them, writes many at once.
 *
 *           a turn moved lines            a nap without a line
 *     BUSY -----------------------> NAPPING ----------------------> PARKED
 *      ^                               |                              |
 *      |   50 ms, or a ring half full  |     a producer publishes     |
 *      +-------------------------------+------------------------------+
 *
 * While every output stalls, the rings are left alone and the outputs polled: the rings fill and producers
 * drop. When only one of two stalls, lines for it are dropped here once its room is full, so that the other
 * goes on. The thread waits in poll only, and always on the wake descriptor too. */
#include <poll.h>
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

/* Failures are rare: the lock is for the day when the thread was left behind and the block belongs to nobody. */
static void count(struct sp_log *log, enum sp_meter_id id, uint64_t n)
{
    if (n == 0)
        return;
    pthread_mutex_lock(&log->lock);
    if (!log->abandoned)
        sp_meter_add(log->meter, id, n);
    pthread_mutex_unlock(&log->lock);
}

static void count_drop(struct sp_log *log)
{
    log->dropped++;
    count(log, SP_METER_log_dropped, 1);
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

/* The outputs, each once. */
static size_t distinct_sinks(struct sp_log *log, struct sp_sink *out[SP_LOG_ROLES])
{
    size_t n = 0;
    for (int role = 0; role < SP_LOG_ROLES; role++) {
        struct sp_sink *s = log->sinks[role];
        if (s != NULL && (n == 0 || out[0] != s))
            out[n++] = s;
    }
    return n;
}

static bool is_all_stalled(struct sp_log *log)
{
    struct sp_sink *sinks[SP_LOG_ROLES];
    size_t n = distinct_sinks(log, sinks);
    for (size_t i = 0; i < n; i++) {
        if (!sinks[i]->stalled)
            return false;
    }
    return n > 0;
}

/* That events cannot be written can only be counted; that access records cannot is told among the events. */
static void flush(struct sp_log *log, struct sp_sink *s)
{
    uint64_t lost = sp_sink_flush(s);
    count(log, SP_METER_log_failed, lost);
    if (lost > 0 && s == log->sinks[SP_LOG_ACCESS] && s != log->sinks[SP_LOG_EVENTS]) {
        log->failed += lost;
        log->failed_errnum = s->errnum;
    }
}

static void flush_all(struct sp_log *log)
{
    struct sp_sink *sinks[SP_LOG_ROLES];
    size_t n = distinct_sinks(log, sinks);
    for (size_t i = 0; i < n; i++)
        flush(log, sinks[i]);
}

/* ---- lines ---- */

static void add_line(struct sp_log *log, int level, int64_t wall_us, const char *event,
    const struct sp_log_field *fields, size_t n)
{
    struct sp_sink *s = log->sinks[level == SP_LOG_LEVEL_ACCESS ? SP_LOG_ACCESS : SP_LOG_EVENTS];
    if (s == NULL)
        return; /* turned off since the line was made */
    size_t mark = 0;
    struct sp_buf *buf = sp_sink_begin(s, &mark);
    sp_log_format(buf, log->format, level, wall_us, event, fields, n);
    if (!sp_sink_end(s, mark)) {
        count_drop(log);
        return;
    }
    if (!s->stalled && s->pending.len - s->sent >= FLUSH_BYTES)
        flush(log, s);
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
    for (size_t at = sp_ring_tail(ring); at != l->limit && !is_all_stalled(log); lines++) {
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

void sp_log_apply_level(struct sp_log *log)
{
    int level = log->sinks[SP_LOG_EVENTS] != NULL ? (int)log->wished_level : SP_LOG_LEVEL_NONE;
    atomic_store_explicit(&log->level, level, memory_order_relaxed);
    atomic_store_explicit(&log->has_access, log->sinks[SP_LOG_ACCESS] != NULL, memory_order_relaxed);
}

/* What one role writes to from now on: the old output where that is the same, or the new one cannot be had. */
static struct sp_sink *open_role(struct sp_log *log, int role, struct sp_err *err)
{
    const char *name = log->names.of[role];
    struct sp_sink *old = log->sinks[role];
    struct sp_sink *fresh = NULL;
    if (strcmp(name, "off") == 0)
        return NULL;
    if (old != NULL && sp_sink_has_name(old, name))
        return old;
    return sp_sink_open(name, &fresh, err) == SP_OK ? fresh : old;
}

/* Ends an output that no role uses any more, handing its lines on: to the same file opened anew if there is
 * one, else to what the role writes to now. */
static void retire(struct sp_log *log, struct sp_sink *old, int role)
{
    struct sp_sink *successor = log->sinks[role];
    if (old == NULL || old == log->sinks[SP_LOG_EVENTS] || old == log->sinks[SP_LOG_ACCESS])
        return;
    for (int other = 0; other < SP_LOG_ROLES; other++) {
        if (log->sinks[other] != NULL && sp_sink_is_same(log->sinks[other], old))
            successor = log->sinks[other];
    }
    flush(log, old);
    count(log, SP_METER_log_failed, sp_sink_move(old, successor));
    sp_sink_close(old);
}

enum sp_rc sp_log_open_sinks(struct sp_log *log, struct sp_err err[SP_LOG_ROLES])
{
    struct sp_sink *old[SP_LOG_ROLES], *now[SP_LOG_ROLES];
    for (int role = 0; role < SP_LOG_ROLES; role++) {
        err[role].text[0] = '\0';
        old[role] = log->sinks[role];
        now[role] = open_role(log, role, &err[role]);
    }
    struct sp_sink *spare = NULL;
    if (now[0] != NULL && now[1] != NULL && now[0] != now[1] && sp_sink_is_same(now[0], now[1])) {
        spare = now[1]; /* one file under two names is one output */
        now[1] = now[0];
    }
    for (int role = 0; role < SP_LOG_ROLES; role++)
        log->sinks[role] = now[role];
    if (spare != NULL && spare != old[0] && spare != old[1])
        sp_sink_close(spare);
    retire(log, old[0], 0);
    if (old[1] != old[0])
        retire(log, old[1], 1);
    return err[0].text[0] == '\0' && err[1].text[0] == '\0' ? SP_OK : SP_FAIL;
}

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
            SP_LOG_W("output", role == SP_LOG_EVENTS ? "events" : "access"),
            SP_LOG_C("error", errors[role].text),
        };
        say(log, SP_LOG_ERROR, "log_reopen_failed", fields, SP_COUNTOF(fields));
    }
}

/* ---- drops ---- */

static uint64_t count_dropped(struct sp_log *log)
{
    uint64_t total = log->dropped;
    for (struct sp_logger *l = first_logger(log); l != NULL; l = l->next)
        total += atomic_load_explicit(&l->dropped, memory_order_relaxed);
    return total;
}

/* Milliseconds until losses may be told; -1 when there is nothing to tell or nowhere to tell it. */
static int report_due_ms(struct sp_log *log)
{
    struct sp_sink *s = log->sinks[SP_LOG_EVENTS];
    if (s == NULL || s->stalled || (count_dropped(log) == log->reported && log->failed == log->failed_told))
        return -1;
    uint64_t now = sp_mono_ms();
    uint64_t at = log->reported_ms + REPORT_EVERY_MS;
    return log->reported_ms == 0 || now >= at || is_stopping(log) ? 0 : (int)(at - now);
}

static void report_failures(struct sp_log *log)
{
    char text[128];
    const struct sp_log_field fields[] = {
        SP_LOG_W("output", "access"),
        SP_LOG_N("count", log->failed - log->failed_told),
        SP_LOG_C("error", strerror_r(log->failed_errnum, text, sizeof(text))),
    };
    if (log->failed == log->failed_told)
        return;
    log->failed_told = log->failed;
    say(log, SP_LOG_ERROR, "log_failed", fields, SP_COUNTOF(fields));
}

static void report_drops(struct sp_log *log)
{
    uint64_t total = count_dropped(log);
    const struct sp_log_field fields[] = {SP_LOG_N("count", total - log->reported)};
    if (total == log->reported)
        return;
    log->reported = total;
    say(log, SP_LOG_WARN, "log_dropped", fields, SP_COUNTOF(fields));
}

static void report_losses(struct sp_log *log)
{
    if (report_due_ms(log) != 0)
        return;
    log->reported_ms = sp_mono_ms();
    report_failures(log);
    report_drops(log);
    flush(log, log->sinks[SP_LOG_EVENTS]);
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
    flush_all(log);
    for (struct sp_logger *l = loggers; l != NULL; l = l->next)
        lines += drain(log, l);
    flush_all(log);
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
    size_t n = distinct_sinks(log, sinks);
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
        if (has_lines(log) && !is_all_stalled(log))
            return 0; /* an output came back after the rings were looked at: nobody would wake us for them */
        uint64_t now = sp_mono_ms();
        return now < log->stop_by_ms ? (int)(log->stop_by_ms - now) : 0;
    }
    if (is_all_stalled(log))
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
    size_t count_of_sinks = distinct_sinks(log, sinks);
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
