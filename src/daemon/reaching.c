/* What reaches open connections without anybody reading a file: time. A CRL that comes into force or becomes
 * too old changes verdicts; the workers are then told to judge everybody anew. And the brake, for this and
 * for new snapshots: how many connections a change would end is counted over all workers before one is
 * ended.
 *
 *   main: updates with a census --> workers: count, sign --> main: go or hold --> workers: end, or keep
 *
 * Elsewhere: what a worker does of it is src/proxy/session/reach.c; the ends of certificates are the workers' own
 * business. */
#include "daemon_impl.h"
#include "sallyport/base/clock.h"

/* ---- the brake ---- */

static bool is_too_many(const struct sp_census_result *result, unsigned percent)
{
    return percent != 0 && result->refused * 100 > result->open * percent;
}

static void alarm_of(struct sp_daemon *d, const struct sp_census_result *result, unsigned percent)
{
    struct sp_log_field fields[] = {
        SP_LOG_N("generation", d->snapshot->generation),
        SP_LOG_N("held", result->refused),
        SP_LOG_N("open", result->open),
        SP_LOG_N("percent", result->refused * 100 / result->open),
        SP_LOG_N("max_percent", percent),
        SP_LOG_W("detail",
            "a change would end so many open connections; they are kept until a later one. If they are to go, raise "
            "revocation_max_kill_percent and reload"),
    };

    sp_log_event(d->logger, SP_LOG_ERROR, "revocation_brake", fields, SP_COUNTOF(fields));
}

/* On the main thread. Once the threads have ended, their loops are not there to be told. */
static void on_counted(void *arg, struct sp_census *census)
{
    struct sp_daemon *d = arg;
    struct sp_census_result result = sp_census_result(census);
    unsigned percent = d->snapshot->config->revocation_max_kill_percent;

    if (d->reaching.stopped)
        return;
    if (result.is_void) {
        sp_census_answer(census, SP_CENSUS_VOID);
    } else if (is_too_many(&result, percent)) {
        alarm_of(d, &result, percent);
        sp_census_answer(census, SP_CENSUS_HOLD);
    } else {
        sp_census_answer(census, SP_CENSUS_GO);
    }
}

enum sp_rc sp_reaching_brake(struct sp_daemon *d, const struct sp_config *config,
    struct sp_worker_update *const *updates, struct sp_census **census, struct sp_err *err)
{
    *census = NULL;
    if (config->revocation_max_kill_percent == 0)
        return SP_OK;
    *census = sp_census_new(d->loop, d->worker_count, on_counted, d);
    if (*census == NULL)
        return sp_err_set(err, "not enough memory");
    for (unsigned i = 0; i < d->worker_count; i++)
        sp_census_attach(*census, i, updates[i]);
    return SP_OK;
}

/* ---- time ---- */

/* All workers or none; SP_FAIL without memory. */
static enum sp_rc judge_anew(struct sp_daemon *d)
{
    struct sp_worker_update **updates = sp_alloc(d->worker_count, sizeof(*updates));
    struct sp_census *census = NULL;
    struct sp_err err = {0};
    bool complete = updates != NULL;

    for (unsigned i = 0; complete && i < d->worker_count; i++) {
        updates[i] = sp_worker_update_new(d->workers[i].worker, d->snapshot);
        complete = updates[i] != NULL;
        if (complete)
            updates[i]->anew = true;
    }
    complete = complete && sp_reaching_brake(d, d->snapshot->config, updates, &census, &err) == SP_OK;
    for (unsigned i = 0; updates != NULL && i < d->worker_count; i++) {
        if (complete)
            sp_worker_post(updates[i]);
        else
            sp_worker_update_free(updates[i]);
    }
    sp_free(updates);
    return complete ? SP_OK : SP_FAIL;
}

/* The first moment after `since_s` at which the snapshot in force says something else of somebody. */
static int64_t next_change(const struct sp_snapshot *s, int64_t since_s)
{
    int64_t first = INT64_MAX;

    for (size_t i = 0; i < s->listener_count; i++) {
        for (size_t h = 0; h < s->listeners[i].config->host_count; h++) {
            int64_t at = sp_trust_next_change(s->listeners[i].trusts[h], since_s);
            first = at < first ? at : first;
        }
    }
    return first;
}

/* Just behind the next whole second: certificates and CRLs know no finer time. */
static void wait_for_second(struct sp_reaching *r)
{
    sp_timer_set(r->timer, 1005 - (uint64_t)(sp_wall_us() / 1000 % 1000));
}

/* Once a second, so that a clock that was set is noticed. Set back, it makes nobody worse that was let in;
 * the moments that come a second time are acted upon a second time. */
static void on_second(void *arg)
{
    struct sp_daemon *d = arg;
    struct sp_reaching *r = &d->reaching;
    int64_t now_s = sp_wall_s();

    if (r->generation != d->snapshot->generation || now_s < r->looked_s) {
        r->change_s = next_change(d->snapshot, now_s < r->looked_s ? now_s : r->looked_s);
        r->generation = d->snapshot->generation;
    }
    if (now_s >= r->change_s && judge_anew(d) == SP_OK)
        r->change_s = next_change(d->snapshot, now_s);
    r->looked_s = now_s;
    wait_for_second(r);
}

enum sp_rc sp_reaching_start(struct sp_daemon *d, struct sp_err *err)
{
    d->reaching.looked_s = sp_wall_s();
    d->reaching.change_s = INT64_MAX;
    d->reaching.timer = sp_timer_new(d->loop, on_second, d);
    if (d->reaching.timer == NULL)
        return sp_err_set(err, "not enough memory");
    wait_for_second(&d->reaching);
    return SP_OK;
}

void sp_reaching_stop(struct sp_daemon *d)
{
    d->reaching.stopped = true;
    sp_timer_free(d->reaching.timer);
    d->reaching.timer = NULL;
}
