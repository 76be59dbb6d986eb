/* Files that change are put in force without a signal: certificates, keys, CAs, CRLs, ticket keys, staples.
 *
 *   builder: a file has changed --> main: wants a renewal --> reload.c: builder, main, gates and workers
 *      ^                                 ^                         |                    |
 *      |                                 +--- 1 s, 2 s ... 60 s ---+ failed             |
 *      +------------------- the files of what is in force now --------------------------+
 *
 * A renewal reads what the configuration in force names, never the configuration's own file: what an operator is in
 * the middle of editing is not put in force by a new CRL. Whatever cannot be used leaves in force what is, and is tried
 * again after a while, and when a file changes again: a key that comes after its certificate makes the pair whole.
 *
 * The builder watches, because stat may block, and because it must not look while it reads. */
#include <stdio.h>

#include "daemon_impl.h"

#define RETRY_FIRST_MS 1000
#define RETRY_MOST_MS  60000

/* ---- builder: what has changed ---- */

/* While main has not looked yet it will see this change too: it reads nothing before it has looked. */
static void on_change(void *arg, const char *path)
{
    struct sp_watching *w = arg;

    atomic_fetch_add(&w->reports, 1);
    if (atomic_load(&w->told))
        return;
    snprintf(w->path, sizeof(w->path), "%s", path);
    atomic_store_explicit(&w->told, true, memory_order_relaxed);
    sp_loop_post(w->daemon->loop, &w->changed);
}

struct paths {
    const char **items;
    size_t count;
};

static void count_path(void *arg, const char *path)
{
    struct paths *paths = arg;

    (void)path;
    paths->count++;
}

static void add_path(void *arg, const char *path)
{
    struct paths *paths = arg;

    paths->items[paths->count++] = path;
}

static enum sp_rc watch_files(struct sp_watching *w, const struct sp_config *config, int64_t since_us)
{
    struct paths paths = {0};

    sp_config_each_file(config, count_path, &paths);
    paths.items = sp_alloc(paths.count, sizeof(*paths.items));
    if (paths.items == NULL)
        return SP_FAIL;
    paths.count = 0;
    sp_config_each_file(config, add_path, &paths);
    enum sp_rc rc = sp_file_watch_set(w->files, paths.items, paths.count, since_us);
    sp_free(paths.items);
    return rc;
}

/* Without memory another renewal is asked for, after which we come here again. */
static void on_follow(struct sp_mail *m)
{
    struct sp_watching *w = SP_CONTAINER_OF(m, struct sp_watching, follow);

    if (watch_files(w, w->followed->config, w->since_us) != SP_OK)
        on_change(w, w->followed->config->file);
    sp_snapshot_unref(w->followed);
    w->followed = NULL;
}

bool sp_watching_begin(struct sp_daemon *d)
{
    bool has_changed = sp_file_watch_mark(d->watching.files);

    d->build.covers_reports = atomic_load(&d->watching.reports);
    return has_changed;
}

/* ---- main: what comes of it ---- */

/* The build that is under way may have been reading already, or read it just so: that is known when it is over. */
static void on_changed(struct sp_mail *m)
{
    struct sp_watching *w = SP_CONTAINER_OF(m, struct sp_watching, changed);

    memcpy(w->cause, w->path, sizeof(w->cause));
    atomic_store(&w->told, false);
    w->retry_ms = 0;
    if (w->daemon->build.under_way)
        w->daemon->build.reported = atomic_load(&w->reports);
    else
        sp_reload_request(w->daemon, SP_BUILD_RENEWAL);
}

bool sp_watching_missed(struct sp_daemon *d, bool is_in_force)
{
    uint64_t reported = d->build.reported;

    d->build.reported = 0;
    return reported > (is_in_force ? d->build.covers_reports : 0);
}

static void on_retry(void *arg)
{
    sp_reload_request(arg, SP_BUILD_RENEWAL);
}

void sp_watching_failed(struct sp_daemon *d)
{
    struct sp_watching *w = &d->watching;

    w->retry_ms = w->retry_ms == 0 ? RETRY_FIRST_MS : 2 * w->retry_ms;
    if (w->retry_ms > RETRY_MOST_MS)
        w->retry_ms = RETRY_MOST_MS;
    sp_timer_set(w->retry, w->retry_ms);
}

void sp_watching_settled(struct sp_daemon *d)
{
    d->watching.retry_ms = 0;
    sp_timer_stop(d->watching.retry);
}

/* The mail is free: the builder had it before the build that is in force now. */
void sp_watching_follow(struct sp_daemon *d, int64_t since_us)
{
    struct sp_watching *w = &d->watching;

    w->followed = sp_snapshot_ref(d->snapshot);
    w->since_us = since_us;
    w->follow.fn = on_follow;
    sp_loop_post(d->builder.loop, &w->follow);
}

enum sp_rc sp_watching_start(struct sp_daemon *d, struct sp_err *err)
{
    struct sp_watching *w = &d->watching;
    struct sp_err limits = {0};

    w->daemon = d;
    w->changed.fn = on_changed;
    w->retry = sp_timer_new(d->loop, on_retry, d);
    w->files = sp_file_watch_new(d->builder.loop, on_change, w, &limits);
    if (w->retry == NULL || w->files == NULL || watch_files(w, d->snapshot->config, w->since_us) != SP_OK)
        return sp_err_set(err, "watching files: not enough memory");
    if (limits.text[0] != '\0') {
        struct sp_log_field fields[] = {SP_LOG_C("detail", limits.text)};
        sp_log_event(d->logger, SP_LOG_WARN, "files_polled", fields, SP_COUNTOF(fields));
    }
    return SP_OK;
}

void sp_watching_stop(struct sp_daemon *d)
{
    sp_file_watch_free(d->watching.files);
    sp_timer_free(d->watching.retry);
    sp_snapshot_unref(d->watching.followed);
}
