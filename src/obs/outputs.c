/* Which stream goes to which output: opening, sharing and replacing them. Streams that name the same file share one
 * output, so that their lines do not cut through each other. The writer thread only, or before it runs. */
#include <unistd.h>

#include "state.h"

/* Failures are rare: the lock is for the day when the thread was left behind and the block belongs to nobody. */
void sp_log_count(struct sp_log *log, enum sp_meter_id id, uint64_t n)
{
    if (n == 0)
        return;
    pthread_mutex_lock(&log->lock);
    if (!log->abandoned)
        sp_meter_add(log->meter, id, n);
    pthread_mutex_unlock(&log->lock);
}

const char *sp_log_role_name(int role)
{
    static const char *const names[SP_LOG_ROLES] = {
        [SP_LOG_EVENTS] = "events", [SP_LOG_ACCESS] = "access", [SP_LOG_AUDIT] = "audit"};
    return names[role];
}

static bool is_among(const struct sp_sink *s, struct sp_sink *const *sinks, int count)
{
    for (int i = 0; i < count; i++) {
        if (sinks[i] == s)
            return true;
    }
    return false;
}

size_t sp_log_distinct_sinks(struct sp_log *log, struct sp_sink *out[SP_LOG_ROLES])
{
    size_t n = 0;
    for (int role = 0; role < SP_LOG_ROLES; role++) {
        struct sp_sink *s = log->sinks[role];
        if (s != NULL && !is_among(s, out, (int)n))
            out[n++] = s;
    }
    return n;
}

bool sp_log_is_all_stalled(struct sp_log *log)
{
    struct sp_sink *sinks[SP_LOG_ROLES];
    size_t n = sp_log_distinct_sinks(log, sinks);
    for (size_t i = 0; i < n; i++) {
        if (!sinks[i]->stalled)
            return false;
    }
    return n > 0;
}

/* What an output lost is not known line by line: where audit records go too, they may be among it. */
static void count_lost(struct sp_log *log, bool is_audits, uint64_t lost)
{
    sp_log_count(log, is_audits ? SP_METER_audit_failed : SP_METER_log_failed, lost);
}

/* That events cannot be written can only be counted; of the others it is told among the events. */
void sp_log_flush(struct sp_log *log, struct sp_sink *s)
{
    uint64_t lost = sp_sink_flush(s);
    count_lost(log, s == log->sinks[SP_LOG_AUDIT], lost);
    if (lost == 0 || s == log->sinks[SP_LOG_EVENTS])
        return;
    for (int role = 0; role < SP_LOG_ROLES; role++) {
        if (s != log->sinks[role])
            continue;
        log->failed[role] += lost; /* of an output that two share, under the first one's name */
        log->failed_errnum[role] = s->errnum;
        return;
    }
}

void sp_log_flush_all(struct sp_log *log)
{
    struct sp_sink *sinks[SP_LOG_ROLES];
    size_t n = sp_log_distinct_sinks(log, sinks);
    for (size_t i = 0; i < n; i++)
        sp_log_flush(log, sinks[i]);
}

void sp_log_apply_level(struct sp_log *log)
{
    int level = log->sinks[SP_LOG_EVENTS] != NULL ? (int)log->wished_level : SP_LOG_LEVEL_NONE;
    atomic_store_explicit(&log->level, level, memory_order_relaxed);
    atomic_store_explicit(&log->has_access, log->sinks[SP_LOG_ACCESS] != NULL, memory_order_relaxed);
    atomic_store_explicit(&log->has_audit, log->sinks[SP_LOG_AUDIT] != NULL, memory_order_relaxed);
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
    return sp_sink_open(name, &log->sockets, &fresh, err) == SP_OK ? fresh : old;
}

/* One file under two names is one output: the role takes an earlier one's. Returns what is not needed then, or NULL. */
static struct sp_sink *share(struct sp_sink *sinks[SP_LOG_ROLES], int role)
{
    for (int first = 0; first < role && sinks[role] != NULL; first++) {
        struct sp_sink *spare = sinks[role];
        if (sinks[first] == NULL || sinks[first] == spare || !sp_sink_is_same(sinks[first], spare))
            continue;
        sinks[role] = sinks[first];
        return spare;
    }
    return NULL;
}

/* Ends an output that no role uses any more, handing its lines on: to the same file opened anew if there is
 * one, else to what the role writes to now. */
static void retire(struct sp_log *log, struct sp_sink *old, int role, bool is_audits)
{
    struct sp_sink *successor = log->sinks[role];
    for (int other = 0; other < SP_LOG_ROLES; other++) {
        if (log->sinks[other] != NULL && sp_sink_is_same(log->sinks[other], old))
            successor = log->sinks[other];
    }
    count_lost(log, is_audits, sp_sink_flush(old));
    count_lost(log, is_audits, sp_sink_move(old, successor));
    sp_sink_close(old);
}

enum sp_rc sp_log_open_sinks(struct sp_log *log, struct sp_err err[SP_LOG_ROLES])
{
    struct sp_sink *old[SP_LOG_ROLES], *now[SP_LOG_ROLES];
    enum sp_rc rc = SP_OK;
    for (int role = 0; role < SP_LOG_ROLES; role++) {
        err[role].text[0] = '\0';
        old[role] = log->sinks[role];
        now[role] = open_role(log, role, &err[role]);
        if (err[role].text[0] != '\0')
            rc = SP_FAIL;
    }
    for (int role = 0; role < SP_LOG_ROLES; role++) {
        struct sp_sink *spare = share(now, role);
        if (spare != NULL && !is_among(spare, old, SP_LOG_ROLES))
            sp_sink_close(spare);
    }
    memcpy(log->sinks, now, sizeof(now));
    for (int role = 0; role < SP_LOG_ROLES; role++) {
        if (old[role] != NULL && !is_among(old[role], old, role) && !is_among(old[role], now, SP_LOG_ROLES))
            retire(log, old[role], role, old[role] == old[SP_LOG_AUDIT]);
    }
    return rc;
}

enum sp_rc sp_log_probe(
    const struct sp_log_options *now, const struct sp_log_options *next, struct sp_err *err)
{
    const char *const old[SP_LOG_ROLES] = {now->events, now->access, now->audit};
    const char *const new[SP_LOG_ROLES] = {next->events, next->access, next->audit};

    for (int role = 0; role < SP_LOG_ROLES; role++) {
        bool same = new[role] == NULL || (old[role] != NULL && strcmp(old[role], new[role]) == 0);
        if (!same && sp_sink_probe(new[role], err) != SP_OK)
            return SP_FAIL;
    }
    return SP_OK;
}
