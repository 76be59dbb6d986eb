/* The producers' half of the log, and its start and end.
 *
 * A producer copies a line into its own ring and goes on: no lock, no allocation, no formatting, and a system
 * call only when the writer had gone to sleep. Values are cut to a bound here, so that no line is larger than
 * the writer expects. What the writer does with the lines is in writer.c. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "state.h"

enum {
    LOGGER_HEAD = (sizeof(struct sp_logger) + 4095) / 4096 * 4096,
    LOGGER_BYTES = LOGGER_HEAD + SP_LOG_RING_BYTES,
    GRACE_MS = 2000, /* for the writer to notice that its time is over */
};

/* ---- a line ---- */

static bool is_absent(const struct sp_log_field *f)
{
    return (f->kind == SP_LOG_STR || f->kind == SP_LOG_WORD) && f->str.ptr == NULL;
}

/* How many bytes of the value go into the line; takes them from `budget`. A UTF-8 sequence is not cut through. */
static size_t kept_len(const struct sp_log_field *f, size_t *budget)
{
    if (f->kind != SP_LOG_STR)
        return 0;
    size_t most = *budget < SP_LOG_VALUE_MAX ? *budget : SP_LOG_VALUE_MAX;
    size_t len = f->str.len;
    if (len > most) {
        len = most;
        for (int i = 0; i < 3 && len > 0 && ((uint8_t)f->str.ptr[len] & 0xc0) == 0x80; i++)
            len--;
    }
    *budget -= len;
    return len;
}

static void drop(struct sp_logger *l, int level)
{
    bool audit = level == SP_LOG_LEVEL_AUDIT;
    _Atomic uint64_t *count = &l->dropped[audit ? SP_LOG_DROPS_AUDIT : SP_LOG_DROPS_LOG];
    uint64_t dropped = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, dropped + 1, memory_order_relaxed);
    sp_meter_add(l->meter, audit ? SP_METER_audit_dropped : SP_METER_log_dropped, 1);
}

static void wake_if_needed(struct sp_logger *l)
{
    unsigned rest = atomic_load_explicit(&l->log->rest, memory_order_seq_cst);
    if (rest == SP_LOG_BUSY || (rest == SP_LOG_NAPPING && !sp_ring_is_half_full(&l->ring)))
        return;
    if (atomic_exchange_explicit(&l->log->rest, SP_LOG_BUSY, memory_order_seq_cst) != SP_LOG_BUSY)
        sp_log_wake(l->log);
}

static void put_item(struct sp_ring *ring, const struct sp_log_field *f, size_t *budget)
{
    size_t len = kept_len(f, budget);
    struct sp_log_item item = {
        .key = f->key,
        .number = f->kind == SP_LOG_STR ? f->u64 + (f->str.len - len) : f->u64,
        .word = f->kind == SP_LOG_WORD ? f->str.ptr : NULL,
        .kind = f->kind,
        .len = (uint32_t)len,
    };
    sp_ring_put(ring, &item, sizeof(item));
    sp_ring_put(ring, f->str.ptr, len);
}

static void submit(
    struct sp_logger *l, int level, const char *event, const struct sp_log_field *fields, size_t count)
{
    if (count > SP_LOG_FIELDS_MAX)
        count = SP_LOG_FIELDS_MAX;
    size_t len = sizeof(struct sp_log_record);
    size_t budget = SP_LOG_VALUES_MAX;
    uint16_t present = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_absent(&fields[i]))
            continue;
        len += sizeof(struct sp_log_item) + kept_len(&fields[i], &budget);
        present++;
    }
    if (!sp_ring_reserve(&l->ring, len, sp_log_spare(level, SP_LOG_RING_BYTES))) {
        drop(l, level);
        wake_if_needed(l);
        return;
    }
    struct sp_log_record record = {.len = (uint32_t)len,
        .level = (int16_t)level,
        .count = present,
        .wall_us = sp_wall_us(),
        .event = event};
    sp_ring_put(&l->ring, &record, sizeof(record));
    budget = SP_LOG_VALUES_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!is_absent(&fields[i]))
            put_item(&l->ring, &fields[i], &budget);
    }
    sp_ring_publish(&l->ring);
    wake_if_needed(l);
}

void sp_log_event(struct sp_logger *l, enum sp_log_level level, const char *event,
    const struct sp_log_field *fields, size_t count)
{
    if ((int)level >= atomic_load_explicit(&l->log->level, memory_order_relaxed))
        submit(l, (int)level, event, fields, count);
}

void sp_log_access(struct sp_logger *l, const struct sp_log_field *fields, size_t count)
{
    if (sp_logger_has_access(l))
        submit(l, SP_LOG_LEVEL_ACCESS, "access", fields, count);
}

bool sp_logger_has_access(const struct sp_logger *l)
{
    return atomic_load_explicit(&l->log->has_access, memory_order_relaxed);
}

void sp_log_audit(struct sp_logger *l, const struct sp_log_field *fields, size_t count)
{
    if (sp_logger_has_audit(l))
        submit(l, SP_LOG_LEVEL_AUDIT, "decision", fields, count);
}

bool sp_logger_has_audit(const struct sp_logger *l)
{
    return atomic_load_explicit(&l->log->has_audit, memory_order_relaxed);
}

/* ---- loggers ---- */

struct sp_logger *sp_logger_new(struct sp_log *log, struct sp_meter_block *meter)
{
    void *mapping =
        mmap(NULL, LOGGER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    struct sp_logger *l = mapping;
    l->log = log;
    l->meter = meter;
    sp_ring_init(&l->ring, (char *)mapping + LOGGER_HEAD, SP_LOG_RING_BYTES);
    pthread_mutex_lock(&log->lock);
    l->next = atomic_load_explicit(&log->loggers, memory_order_relaxed);
    atomic_store_explicit(&log->loggers, l, memory_order_release);
    pthread_mutex_unlock(&log->lock);
    return l;
}

static void free_loggers(struct sp_log *log)
{
    struct sp_logger *l = atomic_load_explicit(&log->loggers, memory_order_relaxed);
    while (l != NULL) {
        struct sp_logger *next = l->next;
        munmap(l, LOGGER_BYTES);
        l = next;
    }
}

/* ---- start, reopen, stop ---- */

void sp_log_wake(struct sp_log *log)
{
    uint64_t one = 1;
    ssize_t n = write(log->wake_fd, &one, sizeof(one));
    (void)n; /* it fails only when the counter is full, and then the writer is being woken already */
}

static enum sp_rc copy_names(struct sp_log_names *names, const struct sp_log_options *o, struct sp_err *err)
{
    const char *from[SP_LOG_ROLES] = {[SP_LOG_EVENTS] = o->events,
        [SP_LOG_ACCESS] = o->access,
        [SP_LOG_AUDIT] = o->audit != NULL ? o->audit : "off"};
    for (int role = 0; role < SP_LOG_ROLES; role++) {
        size_t len = strlen(from[role]);
        if (len >= sizeof(names->of[role]))
            return sp_err_sys(err, ENAMETOOLONG, "log output %.64s...", from[role]);
    }
    for (int role = 0; role < SP_LOG_ROLES; role++)
        memcpy(names->of[role], from[role], strlen(from[role]) + 1);
    return SP_OK;
}

static void free_log(struct sp_log *log)
{
    struct sp_sink *sinks[SP_LOG_ROLES];
    size_t n = sp_log_distinct_sinks(log, sinks);
    for (size_t i = 0; i < n; i++)
        sp_sink_close(sinks[i]);
    free_loggers(log);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    pthread_cond_destroy(&log->ended_cond);
    pthread_mutex_destroy(&log->lock);
    sp_free(log);
}

/* The thread takes no signal: they belong to the main thread, and SIGPIPE to nobody. */
static int start_thread(struct sp_log *log)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&log->thread, NULL, sp_log_writer_main, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

/* None of these can fail on Linux. */
static void init_lock(struct sp_log *log)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&log->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->ended_cond, &attr);
    pthread_condattr_destroy(&attr);
}

enum sp_rc sp_log_start(const struct sp_log_options *options, struct sp_meter_block *meter,
    struct sp_log **out, struct sp_err *err)
{
    struct sp_log *log = SP_NEW(struct sp_log);
    if (log == NULL)
        return sp_err_sys(err, ENOMEM, "log");
    init_lock(log);
    log->meter = meter;
    log->wished_level = options->level;
    log->format = options->format;
    log->sockets = options->sockets;
    struct sp_err errors[SP_LOG_ROLES] = {0};
    enum sp_rc rc = SP_FAIL;
    int sys = 0;
    log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (log->wake_fd < 0) {
        sp_err_sys(err, errno, "log: eventfd");
        goto out;
    }
    if (copy_names(&log->names, options, err) != SP_OK)
        goto out;
    if (sp_log_open_sinks(log, errors) != SP_OK) {
        int first = 0;
        while (errors[first].text[0] == '\0')
            first++;
        if (err != NULL)
            *err = errors[first];
        goto out;
    }
    sp_log_apply_level(log);
    sys = start_thread(log);
    if (sys != 0) {
        sp_err_sys(err, sys, "log: starting the writer thread");
        goto out;
    }
    *out = log;
    rc = SP_OK;
out:
    if (rc != SP_OK)
        free_log(log);
    return rc;
}

void sp_log_reopen(struct sp_log *log, const struct sp_log_options *options_or_null)
{
    pthread_mutex_lock(&log->lock);
    if (options_or_null != NULL) {
        log->wanted_level = options_or_null->level;
        log->wanted_format = options_or_null->format;
        log->wanted_options = true;
        /* A name longer than any path: the empty one cannot be opened either, and the writer says so. */
        if (copy_names(&log->wanted, options_or_null, NULL) != SP_OK)
            memset(&log->wanted, 0, sizeof(log->wanted));
    }
    atomic_store_explicit(&log->reopen, true, memory_order_release);
    pthread_mutex_unlock(&log->lock);
    sp_log_wake(log);
}

static struct timespec time_in_ms(uint64_t ms)
{
    struct timespec ts = {0};
    SP_ASSERT(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    ts.tv_sec += (time_t)(ms / 1000);
    ts.tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_nsec -= 1000000000;
        ts.tv_sec++;
    }
    return ts;
}

void sp_log_stop(struct sp_log *log, uint64_t wait_ms)
{
    enum { LONGEST_MS = 3600 * 1000 };
    if (log == NULL)
        return;
    if (wait_ms > LONGEST_MS)
        wait_ms = LONGEST_MS;
    log->stop_by_ms = sp_mono_ms() + wait_ms;
    atomic_store_explicit(&log->stopping, true, memory_order_release);
    sp_log_wake(log);
    struct timespec by = time_in_ms(wait_ms + GRACE_MS);
    int rc = 0;
    pthread_mutex_lock(&log->lock);
    while (!log->ended && rc == 0)
        rc = pthread_cond_timedwait(&log->ended_cond, &log->lock, &by);
    log->abandoned = !log->ended;
    bool abandoned = log->abandoned;
    pthread_mutex_unlock(&log->lock);
    if (abandoned) {
        /* It hangs in the kernel (a file on a dead server) and nothing can be done about it. It keeps the
         * memory that it uses; of the caller's it touches nothing any more. */
        pthread_detach(log->thread);
        return;
    }
    pthread_join(log->thread, NULL);
    free_log(log);
}
