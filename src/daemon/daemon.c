/* Starts everything in order, runs the main loop, and stops everything in the opposite order. The order is the
 * table START. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon_impl.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/version.h"
#include "sallyport/io/socket.h"

#define LOG_STOP_MS 2000
/* glibc raises the size from which memory is mapped, and given back when it is freed, with each such block that is
 * freed: of one generation's CRLs the holes would stay for good. */
#define MAPPED_FROM_BYTES (1 << 20)

/* ---- signals ---- */

static void on_signal(void *arg, unsigned signo)
{
    struct sp_daemon *d = arg;

    switch (signo) {
    case SIGHUP:
        sp_reload_request(d, SP_BUILD_RELOAD);
        break;
    case SIGUSR1:
        sp_log_reopen(d->log, NULL);
        break;
    default:
        sp_drain_start(d);
    }
}

static const int SIGNALS[] = {SIGHUP, SIGUSR1, SIGTERM, SIGINT};

/* Those that would end a process that has not said yet what it does with them: while it starts, they wait.
 * `how`: SIG_BLOCK or SIG_UNBLOCK. */
static void mask_signals(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(how, &set, NULL);
}

static enum sp_rc start_signals(struct sp_daemon *d, struct sp_err *err)
{
    for (size_t i = 0; i < SP_COUNTOF(SIGNALS); i++) {
        d->signals[i] = sp_watch_new_signal(d->loop, SIGNALS[i], on_signal, d);
        if (d->signals[i] == NULL)
            return sp_err_set(err, "signal %d: not enough memory", SIGNALS[i]);
    }
    mask_signals(SIG_UNBLOCK);
    return SP_OK;
}

/* Freeing a watch gives its signal back its deadly default, and an impatient TERM would then cost the last log
 * lines. */
static void stop_signals(struct sp_daemon *d)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < SP_COUNTOF(SIGNALS); i++)
        sigaddset(&set, SIGNALS[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (size_t i = 0; i < SP_COUNTOF(SIGNALS); i++)
        sp_watch_free(d->signals[i]);
}

/* ---- the log, and what it counts with ---- */

static enum sp_rc start_log(struct sp_daemon *d, struct sp_err *err)
{
    struct sp_log_options options = sp_log_options_of(d->snapshot->config);

    d->meters = sp_meters_new();
    if (d->meters == NULL)
        return sp_err_set(err, "not enough memory");
    d->meter = sp_meters_add_block(d->meters);
    struct sp_meter_block *writer = sp_meters_add_block(d->meters);
    if (d->meter == NULL || writer == NULL)
        return sp_err_set(err, "not enough memory");
    if (sp_log_start(&options, writer, &d->log, err) != SP_OK)
        return sp_err_wrap(err, "log");
    d->logger = sp_logger_new(d->log, d->meter);
    return d->logger != NULL ? SP_OK : sp_err_set(err, "not enough memory");
}

/* ---- descriptors ---- */

#define OWN_DESCRIPTORS 256

/* A client connection and the backend's, for each that may be open; and what the process itself needs. With
 * fewer, a quarter is kept for backends: at a limit the newest client is turned away, and requests of those
 * that were let in go on. */
static enum sp_rc start_limits(struct sp_daemon *d, struct sp_err *err)
{
    uint64_t wanted = 2 * (uint64_t)d->snapshot->config->limits.connections + OWN_DESCRIPTORS;
    struct rlimit limit;

    (void)err;
    sp_sessions_set_max(d->memory.sessions, d->snapshot->config->limits.sessions);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return SP_OK;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return SP_OK;
    if (limit.rlim_cur > 2 * OWN_DESCRIPTORS)
        d->tally.room = (uint32_t)(limit.rlim_cur - limit.rlim_cur / 4 - OWN_DESCRIPTORS);
    struct sp_log_field fields[] = {SP_LOG_N("allowed", limit.rlim_cur), SP_LOG_N("wanted", wanted),
        SP_LOG_C("detail", "limits.connections may not be reached: raise LimitNOFILE or lower it")};
    sp_log_event(d->logger, SP_LOG_WARN, "few_descriptors", fields, SP_COUNTOF(fields));
    return SP_OK;
}

/* ---- workers, gates, builder ---- */

static enum sp_rc make_worker(struct sp_daemon *d, unsigned i, struct sp_err *err)
{
    struct sp_daemon_worker *w = &d->workers[i];

    snprintf(w->thread.name, sizeof(w->thread.name), "worker-%u", i % 1000);
    w->thread.priority = d->priorities.worker;
    if (sp_loop_new(&w->thread.loop, err) != SP_OK)
        return SP_FAIL;
    struct sp_worker_options options = {
        .index = i,
        .loop = w->thread.loop,
        .meter = sp_meters_add_block(d->meters),
        .tally = &d->tally,
        .limits = d->limits,
        .roster = d->roster,
        .snapshot = d->snapshot,
    };
    options.logger = options.meter != NULL ? sp_logger_new(d->log, options.meter) : NULL;
    if (options.logger != NULL)
        w->worker = sp_worker_new(&options);
    if (w->worker == NULL)
        return sp_err_set(err, "%s: not enough memory", w->thread.name);
    d->desks[i] = sp_worker_desk(w->worker);
    return SP_OK;
}

static enum sp_rc make_gate(struct sp_daemon *d, unsigned i, struct sp_err *err)
{
    struct sp_daemon_gate *g = &d->gates[i];

    snprintf(g->thread.name, sizeof(g->thread.name), "gate-%u", i % 1000);
    g->thread.priority = d->priorities.gate;
    g->thread.library = sp_snapshot_library(&d->memory, i);
    if (sp_loop_new(&g->thread.loop, err) != SP_OK)
        return SP_FAIL;
    struct sp_gate_options options = {
        .index = i,
        .loop = g->thread.loop,
        .meter = sp_meters_add_block(d->meters),
        .tally = &d->tally,
        .addresses = d->addresses,
        .inquiries = d->inquiries,
        .without_client_eku = d->without_client_eku,
        .desks = d->desks,
        .desk_count = d->worker_count,
    };
    options.logger = options.meter != NULL ? sp_logger_new(d->log, options.meter) : NULL;
    if (options.logger != NULL)
        g->gate = sp_gate_new(&options);
    return g->gate != NULL ? SP_OK : sp_err_set(err, "%s: not enough memory", g->thread.name);
}

static enum sp_rc make_threads(struct sp_daemon *d, struct sp_err *err)
{
    d->worker_count = d->snapshot->config->workers;
    d->gate_count = d->snapshot->gates;
    d->handshake_share = d->snapshot->config->handshake_share;
    d->priorities = sp_priorities_of(d->handshake_share, d->gate_count, d->worker_count);
    d->workers = sp_alloc(d->worker_count, sizeof(*d->workers));
    d->gates = sp_alloc(d->gate_count, sizeof(*d->gates));
    d->desks = sp_alloc(d->worker_count, sizeof(*d->desks));
    d->addresses = sp_addresses_new(d->snapshot->config->limits.handshakes);
    d->without_client_eku = sp_issuer_counts_new();
    d->tracked_callers = d->snapshot->config->limits.tracked_callers;
    d->limits = sp_limits_new(d->tracked_callers);
    if (d->workers == NULL || d->gates == NULL || d->desks == NULL || d->addresses == NULL ||
        d->limits == NULL || d->without_client_eku == NULL)
        return sp_err_set(err, "not enough memory");
    for (unsigned i = 0; i < d->worker_count; i++) {
        if (make_worker(d, i, err) != SP_OK)
            return SP_FAIL;
    }
    for (unsigned i = 0; i < d->gate_count; i++) {
        if (make_gate(d, i, err) != SP_OK)
            return SP_FAIL;
    }
    strcpy(d->builder.name, "builder");
    return sp_loop_new(&d->builder.loop, err);
}

/* ---- the admin listener ---- */

static bool is_ready(void *arg)
{
    const struct sp_daemon *d = arg;

    return d->ready;
}

static void look_up_meters(void *arg)
{
    const struct sp_daemon *d = arg;

    sp_meter_set(d->meter, SP_METER_tls_sessions, sp_sessions_count(d->memory.sessions));
    sp_meter_set(d->meter, SP_METER_tls_sessions_evicted, sp_sessions_evicted(d->memory.sessions));
}

static void print_gauges(void *arg, struct sp_buf *out)
{
    const struct sp_daemon *d = arg;

    sp_rule_meters_print(d->snapshot->rule_meters, out);
    sp_roster_print_gauges(d->roster, out);
    sp_issuer_counts_print(d->without_client_eku, out);
    sp_freshness_print(d->freshness, out);
    sp_fetching_print(d->fetching, out);
}

static void print_upstreams(void *arg, struct sp_buf *out)
{
    const struct sp_daemon *d = arg;

    sp_roster_print_json(d->roster, out);
}

static enum sp_rc start_admin(struct sp_daemon *d, struct sp_err *err)
{
    const struct sp_config *config = d->snapshot->config;
    struct sp_admin_options options = {.loop = d->loop,
        .meters = d->meters,
        .is_ready = is_ready,
        .look_up_meters = look_up_meters,
        .print_gauges = print_gauges,
        .print_upstreams = print_upstreams,
        .arg = d};
    struct sp_addr bound;
    char text[SP_ADDR_TEXT];
    int fd;

    if (!config->has_admin)
        return SP_OK;
    if (sp_socket_listen(&config->admin_address, false, &fd, err) != SP_OK)
        return sp_err_wrap(err, "admin");
    sp_bound_file_note(&d->admin_file, &config->admin_address);
    d->admin = sp_admin_new(&options, fd);
    if (d->admin == NULL) {
        close(fd);
        return sp_err_set(err, "admin: not enough memory");
    }
    if (sp_socket_local(fd, &bound) == SP_OK) {
        struct sp_log_field fields[] = {
            SP_LOG_C("listener", "admin"), SP_LOG_C("address", sp_addr_format(&bound, text))};
        sp_log_event(d->logger, SP_LOG_INFO, "listening", fields, SP_COUNTOF(fields));
    }
    return SP_OK;
}

/* ---- sockets, and off ---- */

static enum sp_rc start_sockets(struct sp_daemon *d, struct sp_err *err)
{
    if (sp_sockets_bind(d, d->snapshot, err) != SP_OK)
        return SP_FAIL;
    struct sp_gate_update **updates = sp_sockets_prepare(d, d->snapshot, err);
    if (updates == NULL)
        return SP_FAIL;
    sp_sockets_publish(d, d->snapshot, updates);
    sp_sockets_tell(d);
    return SP_OK;
}

static enum sp_rc start_threads(struct sp_daemon *d, struct sp_err *err)
{
    for (unsigned i = 0; i < d->worker_count; i++) {
        if (sp_thread_start(&d->workers[i].thread, err) != SP_OK)
            return SP_FAIL;
    }
    for (unsigned i = 0; i < d->gate_count; i++) {
        if (sp_thread_start(&d->gates[i].thread, err) != SP_OK)
            return SP_FAIL;
    }
    return sp_thread_start(&d->builder, err);
}

static enum sp_rc start_loop(struct sp_daemon *d, struct sp_err *err)
{
    if (sp_loop_new(&d->loop, err) != SP_OK)
        return SP_FAIL;
    d->drain_timer = sp_timer_new(d->loop, sp_drain_look, d);
    d->freshness = sp_freshness_new(d->loop, d->logger);
    if (d->drain_timer == NULL || d->freshness == NULL)
        return sp_err_set(err, "not enough memory");
    return SP_OK;
}

/* With a logger of the builder's thread, which nobody else there has. */
static enum sp_rc start_fetching(struct sp_daemon *d, struct sp_err *err)
{
    struct sp_meter_block *meter = sp_meters_add_block(d->meters);
    struct sp_logger *logger = meter != NULL ? sp_logger_new(d->log, meter) : NULL;

    if (logger != NULL)
        d->fetching = sp_fetching_new(d->builder.loop, logger, meter);
    return d->fetching != NULL ? SP_OK : sp_err_set(err, "fetching: not enough memory");
}

/* In this order; sp_daemon_run undoes whatever was done, in the opposite one. */
static enum sp_rc (*const START[])(struct sp_daemon *d, struct sp_err *err) = {start_log,
    sp_roster_thread_equip, start_loop, start_limits, sp_ocsp_fetcher_start, make_threads, start_fetching,
    sp_watching_start, sp_reaching_start, start_sockets, start_admin, start_signals, start_threads};

static void tell_ready(struct sp_daemon *d)
{
    struct sp_log_field fields[] = {
        SP_LOG_C("version", SP_VERSION),
        SP_LOG_C("file", d->file),
        SP_LOG_N("workers", d->worker_count),
        SP_LOG_N("gates", d->gate_count),
    };

    d->ready = true;
    sp_meter_set(d->meter, SP_METER_generation, d->snapshot->generation);
    sp_meter_set(d->meter, SP_METER_loaded_at, (uint64_t)(sp_wall_s()));
    sp_log_event(d->logger, SP_LOG_INFO, "ready", fields, SP_COUNTOF(fields));
    sp_freshness_watch(d->freshness, d->snapshot);
    sp_fetching_follow(d->fetching, d->snapshot);
    sp_roster_follow(d->roster, d->snapshot->fleet);
    sp_notify("READY=1");
}

static void free_gates(struct sp_daemon *d)
{
    for (unsigned i = 0; d->gates != NULL && i < d->gate_count; i++) {
        if (d->gates[i].gate != NULL)
            sp_loop_turn(d->gates[i].thread.loop, 0);
        sp_gate_free(d->gates[i].gate);
        sp_loop_free(d->gates[i].thread.loop);
    }
}

static void free_workers(struct sp_daemon *d)
{
    for (unsigned i = 0; d->workers != NULL && i < d->worker_count; i++) {
        if (d->workers[i].worker != NULL)
            sp_loop_turn(d->workers[i].thread.loop, 0);
        sp_worker_free(d->workers[i].worker);
        sp_loop_free(d->workers[i].thread.loop);
    }
}

/* Threads first, so that everything else is freed by one thread. Mails that were still under way are then run
 * here, or their contents would leak. */
static void stop(struct sp_daemon *d)
{
    d->draining = true; /* a build that ends now changes nothing */
    stop_signals(d);
    sp_thread_stop(&d->builder);
    for (unsigned i = 0; d->gates != NULL && i < d->gate_count; i++)
        sp_thread_stop(&d->gates[i].thread);
    for (unsigned i = 0; d->workers != NULL && i < d->worker_count; i++)
        sp_thread_stop(&d->workers[i].thread);
    sp_fetching_free(d->fetching);
    sp_ocsp_fetcher_stop(d);
    sp_reaching_stop(d);
    sp_sockets_forget(d);
    sp_bound_file_remove(&d->admin_file);
    sp_admin_free(d->admin);
    free_gates(d);
    free_workers(d);
    sp_roster_thread_stop(d);
    if (d->loop != NULL)
        sp_loop_turn(d->loop, 0);
    sp_watching_stop(d);
    sp_loop_free(d->builder.loop);
    sp_freshness_free(d->freshness);
    sp_timer_free(d->drain_timer);
    sp_loop_free(d->loop);
    sp_log_stop(d->log, LOG_STOP_MS);
    sp_meters_free(d->meters);
    sp_diags_free(&d->build.diags);
    sp_buf_free(&d->build.told);
    sp_snapshot_unref(d->build.snapshot);
    sp_snapshot_unref(d->build.before);
    sp_snapshot_unref(d->snapshot);
    sp_snapshot_memory_free(&d->memory);
    sp_addresses_free(d->addresses);
    sp_limits_free(d->limits);
    sp_inquiries_free(d->inquiries);
    sp_issuer_counts_free(d->without_client_eku);
    sp_free(d->gates);
    sp_free(d->workers);
    sp_free(d->desks);
}

static void print_diags(const struct sp_diags *diags)
{
    struct sp_buf text = {0};

    sp_diags_print(diags, &text);
    fprintf(stderr, "%.*s", SP_FMT(sp_buf_slice(&text)));
    sp_buf_free(&text);
}

int sp_daemon_run(const char *file)
{
    struct sp_daemon d = {.file = file};
    struct sp_diags diags = {0};
    struct sp_err err = {0};
    enum sp_rc rc = SP_OK;

    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    signal(SIGPIPE, SIG_IGN);
    mask_signals(SIG_BLOCK);
    sp_list_init(&d.bindings);
    if (sp_snapshot_memory_init(&d.memory, &err) != SP_OK) {
        fprintf(stderr, "sallyport: %s\n", err.text);
        return 1;
    }
    if (sp_roster_thread_start(&d, &err) != SP_OK) {
        fprintf(stderr, "sallyport: %s\n", err.text);
        sp_roster_thread_stop(&d);
        sp_snapshot_memory_free(&d.memory);
        return 1;
    }
    struct sp_snapshot_options options = {.generation = 1, .memory = &d.memory, .roster = d.roster};
    d.watching.since_us = sp_wall_us();
    if (sp_snapshot_load(file, &options, &d.snapshot, &diags) != SP_OK) {
        print_diags(&diags);
        sp_diags_free(&diags);
        sp_roster_thread_stop(&d);
        sp_snapshot_memory_free(&d.memory);
        return 2;
    }
    for (size_t i = 0; rc == SP_OK && i < SP_COUNTOF(START); i++)
        rc = START[i](&d, &err);
    if (rc == SP_OK) {
        sp_reload_tell(&d, SP_BUILD_RELOAD, &diags);
        tell_ready(&d);
        sp_loop_run(d.loop);
    } else {
        fprintf(stderr, "sallyport: %s\n", err.text);
    }
    stop(&d);
    sp_diags_free(&diags);
    return rc == SP_OK ? 0 : 1;
}
