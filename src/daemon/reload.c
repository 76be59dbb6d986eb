/* From HUP, or a file that has changed, to a new snapshot in force, without dropping anything:
 *
 *   main: request --> builder: read, check, build --> main: bind, publish to gates and workers --> main: "reloaded"
 *                                   |                         |                       each signs when it has it
 *                                   +---- anything wrong -----+--> the one in force stays, and every error is logged
 *
 * One build at a time; what is wanted meanwhile comes after it. Elsewhere: watching.c says when to renew. */
#include "daemon_impl.h"
#include "sallyport/base/clock.h"

struct sp_log_options sp_log_options_of(const struct sp_config *config)
{
    return (struct sp_log_options){
        .level = (enum sp_log_level)config->log.level,
        .format = (enum sp_log_format)config->log.format,
        .events = config->log.output,
        .access = config->log.access,
        .audit = config->audit.output,
    };
}

/* `in_force`: what becomes of it; NULL: the detail says so. */
static void tell_one(struct sp_daemon *d, enum sp_log_level level, const char *event,
    const struct sp_diag *diag, const char *in_force)
{
    struct sp_log_field fields[5] = {SP_LOG_C("file", diag->file)};
    size_t n = 1;

    if (diag->at.line != 0) {
        fields[n++] = SP_LOG_N("line", diag->at.line);
        fields[n++] = SP_LOG_N("column", diag->at.column);
    }
    fields[n++] = SP_LOG_C("detail", diag->text);
    if (in_force != NULL)
        fields[n++] = SP_LOG_C("in_force", in_force);
    sp_log_event(d->logger, level, event, fields, n);
}

/* Adds it as one line, and says whether `before` had that line. */
static bool note(struct sp_buf *told, const struct sp_buf *before, const struct sp_diag *diag)
{
    size_t from = told->len;

    if (sp_buf_printf(told, "%s:%u:%u: %s\n", diag->file, diag->at.line, diag->at.column, diag->text) !=
        SP_OK)
        return false;
    return before->len > 0 && memmem(before->ptr, before->len, told->ptr + from, told->len - from) != NULL;
}

/* A renewal may find the same things wrong many times: of it only what the build before has not told. */
void sp_reload_tell(struct sp_daemon *d, enum sp_build_kind kind, const struct sp_diags *diags)
{
    struct sp_buf told = {0};

    for (size_t i = 0; i < diags->count; i++) {
        const struct sp_diag *diag = &diags->items[i];
        bool is_error = diag->severity == SP_DIAG_ERROR;
        bool was_told = note(&told, &d->build.told, diag);
        if (kind == SP_BUILD_RELOAD && is_error)
            tell_one(d, SP_LOG_ERROR, "configuration_error", diag, NULL);
        else if (kind == SP_BUILD_RELOAD)
            tell_one(d, SP_LOG_WARN, "configuration_warning", diag, NULL);
        else if (!was_told && is_error)
            tell_one(d, SP_LOG_ERROR, "material_failed", diag,
                "the certificates, keys and CAs that were loaded before");
        else if (!was_told)
            tell_one(d, SP_LOG_WARN, "material_warning", diag, NULL);
    }
    sp_buf_free(&d->build.told);
    d->build.told = told;
}

/* `detail` NULL: told already. */
static void fail(struct sp_build *build, const char *detail)
{
    struct sp_daemon *d = build->daemon;
    struct sp_log_field fields[] = {SP_LOG_N("generation", d->snapshot->generation),
        SP_LOG_C("detail",
            detail != NULL ? detail : "the new configuration is not usable; the old one stays in force")};

    build->wanted[SP_BUILD_RENEWAL] |= build->covers_renewal;
    if (build->kind == SP_BUILD_RELOAD) {
        sp_meter_add(d->meter, SP_METER_reload_failures, 1);
        sp_log_event(d->logger, SP_LOG_ERROR, "reload_failed", fields, SP_COUNTOF(fields));
        return;
    }
    sp_meter_add(d->meter, SP_METER_renewal_failures, 1);
    if (detail != NULL)
        sp_log_event(d->logger, SP_LOG_ERROR, "material_failed", fields, SP_COUNTOF(fields));
    sp_watching_failed(d);
}

static void on_in_force(struct sp_mail *m);

/* Every gate and worker signs; the last one's signature comes as a mail. */
static void ask_receipts(
    struct sp_daemon *d, struct sp_worker_update *const *workers, struct sp_gate_update *const *gates)
{
    struct sp_receipts *r = &d->build.receipts;

    atomic_store_explicit(&r->due, d->worker_count + d->gate_count, memory_order_relaxed);
    r->loop = d->loop;
    r->mail.fn = on_in_force;
    for (unsigned i = 0; i < d->worker_count; i++)
        workers[i]->receipts = r;
    for (unsigned i = 0; i < d->gate_count; i++)
        gates[i]->receipts = r;
}

/* Every update is made before the first is posted: a snapshot is put in force everywhere or nowhere. Workers
 * are told before gates, so that they know the listeners of whom they are sent. */
static enum sp_rc publish(struct sp_daemon *d, struct sp_snapshot *snapshot, struct sp_err *err)
{
    struct sp_worker_update **updates = sp_alloc(d->worker_count, sizeof(*updates));
    enum sp_rc rc = updates != NULL ? SP_OK : sp_err_set(err, "not enough memory");
    struct sp_census *census = NULL;

    for (unsigned i = 0; rc == SP_OK && i < d->worker_count; i++) {
        updates[i] = sp_worker_update_new(d->workers[i].worker, snapshot);
        if (updates[i] == NULL)
            rc = sp_err_set(err, "not enough memory");
    }
    if (rc == SP_OK)
        rc = sp_reaching_brake(d, snapshot->config, updates, &census, err);
    if (rc == SP_OK)
        rc = sp_ocsp_fetcher_ready(d, snapshot->config, err);
    if (rc == SP_OK)
        rc = sp_sockets_bind(d, snapshot, err);
    struct sp_gate_update **gates = rc == SP_OK ? sp_sockets_prepare(d, snapshot, err) : NULL;
    if (gates != NULL)
        ask_receipts(d, updates, gates);
    for (unsigned i = 0; updates != NULL && i < d->worker_count; i++) {
        if (gates != NULL)
            sp_worker_post(updates[i]);
        else
            sp_worker_update_free(updates[i]);
    }
    sp_free(updates);
    if (gates == NULL) {
        sp_census_unref(census);
        return SP_FAIL;
    }
    sp_sockets_publish(d, snapshot, gates);
    return SP_OK;
}

static void warn_of_restart(struct sp_daemon *d, const struct sp_config *config)
{
    const struct sp_config *before = d->snapshot->config;
    bool same_admin = before->has_admin == config->has_admin &&
                      (!config->has_admin || sp_addr_equal(&before->admin_address, &config->admin_address));
    struct {
        const char *key;
        bool changed;
    } keys[] = {
        {"workers", config->workers != d->worker_count},
        {"gates", config->gates != d->gate_count},
        {"handshake_share", config->handshake_share != d->handshake_share},
        {"admin.address", !same_admin},
        {"limits.tracked_callers", config->limits.tracked_callers != d->tracked_callers},
    };

    for (size_t i = 0; i < SP_COUNTOF(keys); i++) {
        struct sp_log_field fields[] = {
            SP_LOG_C("key", keys[i].key), SP_LOG_C("detail", "changed; takes effect at the next start")};
        if (keys[i].changed)
            sp_log_event(d->logger, SP_LOG_WARN, "restart_needed", fields, SP_COUNTOF(fields));
    }
}

static void start_next(struct sp_daemon *d);

/* Nothing of it is under way any more. */
static void finish(struct sp_build *build, bool is_in_force)
{
    struct sp_daemon *d = build->daemon;

    build->under_way = false;
    build->wanted[SP_BUILD_RENEWAL] |= sp_watching_missed(d, is_in_force);
    if (build->kind == SP_BUILD_RELOAD && !d->draining)
        sp_notify("READY=1");
    start_next(d);
}

/* The log moves behind everything else, and must be able to. */
static enum sp_rc probe_outputs(
    const struct sp_build *build, const struct sp_snapshot *next, struct sp_err *err)
{
    struct sp_log_options now = sp_log_options_of(build->daemon->snapshot->config);
    struct sp_log_options wanted = sp_log_options_of(next->config);

    return build->kind == SP_BUILD_RELOAD ? sp_log_probe(&now, &wanted, err) : SP_OK;
}

/* SP_OK: on_in_force comes when all have it. */
static enum sp_rc put_in_force(struct sp_build *build, struct sp_snapshot *snapshot)
{
    struct sp_daemon *d = build->daemon;
    struct sp_err err = {0};

    if (probe_outputs(build, snapshot, &err) != SP_OK || publish(d, snapshot, &err) != SP_OK) {
        fail(build, err.text);
        sp_snapshot_unref(snapshot);
        return SP_FAIL;
    }
    if (build->kind == SP_BUILD_RELOAD) {
        struct sp_log_options options = sp_log_options_of(snapshot->config);
        sp_log_reopen(d->log, &options);
        warn_of_restart(d, snapshot->config);
    }
    sp_sockets_tell(d);
    sp_sessions_set_max(d->memory.sessions, snapshot->config->limits.sessions);
    sp_snapshot_unref(d->snapshot);
    d->snapshot = snapshot;
    sp_roster_follow(d->roster, snapshot->fleet);
    sp_fetching_follow(d->fetching, snapshot);
    return SP_OK;
}

static void tell_in_force(const struct sp_build *build)
{
    struct sp_daemon *d = build->daemon;
    struct sp_log_field fields[] = {
        SP_LOG_N("generation", d->snapshot->generation), SP_LOG_C("file", build->cause)};

    if (build->kind == SP_BUILD_RELOAD) {
        sp_meter_add(d->meter, SP_METER_reloads, 1);
        sp_log_event(d->logger, SP_LOG_INFO, "reloaded", fields, 1);
    } else {
        sp_meter_add(d->meter, SP_METER_renewals, 1);
        sp_log_event(d->logger, SP_LOG_INFO, "material_changed", fields, 2);
    }
}

/* Main thread; every gate and worker goes by the new snapshot from here on, so it may be said. */
static void on_in_force(struct sp_mail *m)
{
    struct sp_receipts *receipts = SP_CONTAINER_OF(m, struct sp_receipts, mail);
    struct sp_build *build = SP_CONTAINER_OF(receipts, struct sp_build, receipts);
    struct sp_daemon *d = build->daemon;

    sp_meter_set(d->meter, SP_METER_generation, d->snapshot->generation);
    sp_meter_set(d->meter, SP_METER_loaded_at, (uint64_t)(sp_wall_s()));
    tell_in_force(build);
    sp_freshness_watch(d->freshness, d->snapshot);
    if (build->is_partial)
        fail(build, NULL);
    else
        sp_watching_settled(d);
    sp_watching_follow(d, build->began_us);
    finish(build, true);
}

/* Back on the main thread. */
static void on_built(struct sp_mail *m)
{
    struct sp_build *build = SP_CONTAINER_OF(m, struct sp_build, mail);
    struct sp_snapshot *snapshot = build->snapshot;
    bool waits = false;

    build->snapshot = NULL;
    sp_reload_tell(build->daemon, build->kind, &build->diags);
    if (snapshot == NULL)
        fail(build, NULL);
    else if (build->daemon->draining)
        sp_snapshot_unref(snapshot);
    else
        waits = put_in_force(build, snapshot) == SP_OK;
    sp_diags_free(&build->diags);
    if (!waits)
        finish(build, false);
}

/* On the builder's thread. */
static void on_build(struct sp_mail *m)
{
    struct sp_build *build = SP_CONTAINER_OF(m, struct sp_build, mail);
    struct sp_daemon *d = build->daemon;
    struct sp_snapshot_options options = {.gates = d->gate_count,
        .workers = d->worker_count,
        .generation = build->generation,
        .memory = &d->memory,
        .roster = d->roster,
        .before = build->before};

    bool has_changed = sp_watching_begin(d);
    build->covers_renewal |= has_changed && build->kind == SP_BUILD_RELOAD;
    build->began_us = sp_wall_us();
    enum sp_rc rc = build->kind == SP_BUILD_RELOAD
                        ? sp_snapshot_load(d->file, &options, &build->snapshot, &build->diags)
                        : sp_snapshot_renew(&options, &build->snapshot, &build->diags);
    build->is_partial = rc != SP_OK && build->kind == SP_BUILD_RENEWAL;
    if (build->is_partial) {
        struct sp_diags again = {0}; /* it can say nothing that has not been said */
        rc = sp_snapshot_renew_crls(&options, &build->snapshot, &again);
        sp_diags_free(&again);
    }
    if (rc != SP_OK)
        build->snapshot = NULL;
    sp_snapshot_unref(build->before);
    build->before = NULL;
    build->mail.fn = on_built;
    sp_loop_post(d->loop, &build->mail);
}

/* A reload first: it reads all that a renewal would. */
static void start_next(struct sp_daemon *d)
{
    struct sp_build *build = &d->build;
    bool is_reload = build->wanted[SP_BUILD_RELOAD];

    if (build->under_way || d->draining || (!is_reload && !build->wanted[SP_BUILD_RENEWAL]))
        return;
    build->under_way = true;
    build->daemon = d;
    build->kind = is_reload ? SP_BUILD_RELOAD : SP_BUILD_RENEWAL;
    build->covers_renewal = is_reload && build->wanted[SP_BUILD_RENEWAL];
    build->wanted[SP_BUILD_RELOAD] = build->wanted[SP_BUILD_RENEWAL] = false;
    memcpy(build->cause, d->watching.cause, sizeof(build->cause));
    build->generation = d->snapshot->generation + 1;
    build->before = sp_snapshot_ref(d->snapshot);
    build->mail.fn = on_build;
    if (is_reload)
        sp_notify("RELOADING=1");
    sp_loop_post(d->builder.loop, &build->mail);
}

void sp_reload_request(struct sp_daemon *d, enum sp_build_kind kind)
{
    d->build.wanted[kind] = true;
    start_next(d);
}
