/* Which sources there are, when each is asked, and what operators are told.
 *
 *   follow: want, drop, start          due                     answer
 *   ------------------------> waiting -----> under way (fetcher) -----> judged: kept, unchanged or failed --> waiting
 *                                ^                                                                            |
 *                                '----------------------- fetch_plan.c says how long -------------------------'
 *
 * A source is its URL and its file; it keeps its place in the schedule over reloads. One that no snapshot names any more
 * is dropped; if its answer is under way, when that is back. Elsewhere: asking and judging (fetch_source.c), files
 * (fetch_copy.c), what the log says (fetch_log.c). */
#include "fetching.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fetch_copy.h"
#include "fetch_plan.h"
#include "fetch_source.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/random.h"
#include "sallyport/obs/gauge.h"

/* Of what is left of its life; staples are asked for at half of it, as RFC 6066's servers do. */
#define CRL_SHARE    75
#define STAPLE_SHARE 50

struct sp_fetching {
    struct sp_loop *loop;
    struct sp_logger *logger;
    struct sp_meter_block *meter;
    struct sp_random random;
    struct sp_fetcher *fetcher;   /* NULL while there is nothing to fetch */
    struct sp_snapshot *snapshot; /* that is followed; one reference, or NULL */
    char *swept;                  /* the folder that holds no leftovers any more */
    bool stopping;
    _Atomic(struct sp_snapshot *) next; /* one reference; `mail` is under way while it is not NULL */
    struct sp_mail mail;
    struct sp_list sources;
    pthread_mutex_t lock; /* over the list and each source's times: gauges are printed on another thread */
};

/* ---- the schedule ---- */

static void set_timer(struct sp_fetch_source *s, uint64_t in_ms)
{
    s->due_ms = sp_loop_now_ms(s->owner->loop) + in_ms;
    sp_timer_set(s->timer, in_ms);
    pthread_mutex_lock(&s->owner->lock);
    s->next_at = sp_wall_s() + (int64_t)((in_ms + 500) / 1000);
    pthread_mutex_unlock(&s->owner->lock);
}

static uint64_t plan(const struct sp_fetch_source *s)
{
    struct sp_fetching *f = s->owner;
    struct sp_fetch_plan plan = {.interval_ms = f->snapshot->config->fetch.interval_ms,
        .share = CRL_SHARE,
        .failures = s->failures + s->ended_looks,
        .looked_at = s->looked_at,
        .until = s->until};

    if (s->chain != NULL) {
        plan.share = STAPLE_SHARE;
        plan.interval_ms = s->failures > 0 ? plan.interval_ms : SP_FETCH_STAPLE_MS;
    }
    return sp_fetch_plan_ms(&plan, sp_wall_s(), sp_random_next(&f->random));
}

static uint64_t schedule(struct sp_fetch_source *s)
{
    uint64_t in_ms = plan(s);

    set_timer(s, in_ms);
    return in_ms;
}

static void fail(struct sp_fetch_source *s, const char *cause)
{
    s->failures++;
    sp_meter_add(s->owner->meter, SP_METER_fetches_failed, 1);
    sp_fetch_tell_failure(s, s->owner->logger, cause, schedule(s));
}

static void succeed(struct sp_fetch_source *s, bool is_new)
{
    struct sp_fetching *f = s->owner;
    bool recovers = s->failures > 0;

    s->failures = 0;
    s->ended_looks = s->until > sp_wall_s() ? 0 : s->ended_looks + 1;
    s->cause[0] = '\0';
    sp_meter_add(f->meter, is_new ? SP_METER_fetches_ok : SP_METER_fetches_unchanged, 1);
    pthread_mutex_lock(&f->lock);
    s->succeeded_at = sp_wall_s();
    pthread_mutex_unlock(&f->lock);
    sp_fetch_tell_success(s, f->logger, is_new, recovers, schedule(s));
}

/* ---- asking ---- */

static void drop(struct sp_fetch_source *s)
{
    pthread_mutex_lock(&s->owner->lock);
    sp_list_remove(&s->link);
    pthread_mutex_unlock(&s->owner->lock);
    sp_timer_stop(s->timer);
    s->gone = true;
    if (!s->under_way)
        sp_fetch_source_free(s);
}

static void on_answer(struct sp_mail *m)
{
    struct sp_fetch_job *job = SP_CONTAINER_OF(m, struct sp_fetch_job, mail);
    struct sp_fetch_source *s = SP_CONTAINER_OF(job, struct sp_fetch_source, job);
    struct sp_err err = {0};

    s->under_way = false;
    if (s->gone) {
        sp_fetch_source_free(s);
        return;
    }
    if (s->owner->stopping) {
        drop(s);
        return;
    }
    enum sp_rc rc = sp_fetch_source_take(s, s->owner->snapshot, sp_wall_s(), &err);
    sp_fetch_source_end(s);
    if (rc == SP_FAIL)
        fail(s, err.text);
    else
        succeed(s, rc == SP_OK);
    if (s->again)
        set_timer(s, 1);
    s->again = false;
}

static void on_due(void *arg)
{
    struct sp_fetch_source *s = arg;
    struct sp_fetching *f = s->owner;
    struct sp_err err = {0};

    if (f->stopping)
        return;
    if (f->fetcher == NULL && sp_fetcher_start(&f->fetcher, &err) != SP_OK) {
        fail(s, err.text);
        return;
    }
    if (sp_fetch_source_ask(s, f->snapshot->config, &err) != SP_OK) {
        fail(s, err.text);
        return;
    }
    s->under_way = true;
    s->job.loop = f->loop;
    s->job.mail.fn = on_answer;
    sp_fetch(f->fetcher, &s->job);
}

/* ---- following the configuration ---- */

static struct sp_fetch_source *find(const struct sp_fetching *f, const char *url, const char *file)
{
    SP_LIST_EACH (&f->sources, it) {
        struct sp_fetch_source *s = SP_CONTAINER_OF(it, struct sp_fetch_source, link);
        if (strcmp(s->url, url) == 0 && strcmp(s->file, file) == 0)
            return s;
    }
    return NULL;
}

/* `chain`: the certificate of a staple, NULL for a CRL. */
static void want(struct sp_fetching *f, const char *url, const char *file, const char *chain)
{
    struct sp_fetch_source *s = find(f, url, file);

    if (s == NULL) {
        s = sp_fetch_source_new(url, file, chain);
        if (s != NULL)
            s->timer = sp_timer_new(f->loop, on_due, s);
        if (s == NULL || s->timer == NULL) {
            struct sp_log_field fields[] = {SP_LOG_S("url", sp_fetch_shown(url)), SP_LOG_C("file", file),
                SP_LOG_C("cause", "not enough memory; the next reload tries again")};
            sp_log_event(f->logger, SP_LOG_ERROR, "fetch_failed", fields, SP_COUNTOF(fields));
            sp_fetch_source_free(s);
            return;
        }
        s->owner = f;
        pthread_mutex_lock(&f->lock);
        sp_list_append(&f->sources, &s->link);
        pthread_mutex_unlock(&f->lock);
    }
    s->wanted = true;
}

static void want_all(struct sp_fetching *f, const struct sp_config_host *host)
{
    const struct sp_config_client_auth *auth = &host->client_auth;

    for (size_t i = 0; auth->crl_urls != NULL && i < auth->crl.count; i++) {
        if (auth->crl_urls[i] != NULL)
            want(f, auth->crl_urls[i], auth->crl.items[i], NULL);
    }
    for (size_t i = 0; i < host->certificate_count; i++) {
        const struct sp_config_certificate *c = &host->certificates[i];
        if (c->staple_url != NULL)
            want(f, c->staple_url, c->staple_file, c->chain);
    }
}

/* Another certificate may be in the file by now, and somebody may have removed the copy. */
static void look_again(struct sp_fetch_source *s)
{
    struct sp_fetching *f = s->owner;
    bool had_copy = s->has_copy;

    if (s->under_way) {
        s->again = s->again || s->chain != NULL || access(s->file, F_OK) != 0;
        return;
    }
    if (s->chain != NULL || access(s->file, F_OK) != 0)
        sp_fetch_source_look(s, f->snapshot, sp_wall_s());
    uint64_t in_ms = had_copy && !s->has_copy ? 1 : plan(s);
    if (sp_loop_now_ms(f->loop) + in_ms <
        s->due_ms) /* the interval may be another; never later than it was */
        set_timer(s, in_ms);
}

static void begin(struct sp_fetch_source *s)
{
    int64_t now = sp_wall_s();

    s->is_known = true;
    sp_fetch_source_look(s, s->owner->snapshot, now);
    set_timer(s, s->has_copy && s->until > now ? plan(s) : 1);
}

static void sweep(struct sp_fetching *f)
{
    const char *folder = f->snapshot->config->fetch.folder;

    if (folder == NULL || (f->swept != NULL && strcmp(f->swept, folder) == 0))
        return;
    sp_copy_sweep(folder);
    free(f->swept);
    f->swept = strdup(folder);
}

static void follow(struct sp_fetching *f)
{
    SP_LIST_EACH (&f->sources, it)
        SP_CONTAINER_OF(it, struct sp_fetch_source, link)->wanted = false;
    for (size_t l = 0; l < f->snapshot->listener_count; l++) {
        const struct sp_config_listener *listener = f->snapshot->listeners[l].config;
        for (size_t h = 0; h < listener->host_count; h++)
            want_all(f, &listener->hosts[h]);
    }
    if (!sp_list_is_empty(&f->sources))
        sweep(f);
    SP_LIST_EACH (&f->sources, it) {
        struct sp_fetch_source *s = SP_CONTAINER_OF(it, struct sp_fetch_source, link);
        if (!s->wanted)
            drop(s);
        else if (s->is_known)
            look_again(s);
        else
            begin(s);
    }
    if (sp_list_is_empty(&f->sources)) {
        sp_fetcher_stop(f->fetcher); /* what was under way comes back as failed, to be freed */
        f->fetcher = NULL;
    }
}

static void on_next(struct sp_mail *m)
{
    struct sp_fetching *f = SP_CONTAINER_OF(m, struct sp_fetching, mail);
    struct sp_snapshot *next = atomic_exchange(&f->next, NULL);

    if (f->stopping) {
        sp_snapshot_unref(next);
        return;
    }
    sp_snapshot_unref(f->snapshot);
    f->snapshot = next;
    follow(f);
}

void sp_fetching_follow(struct sp_fetching *f, struct sp_snapshot *s)
{
    struct sp_snapshot *before = atomic_exchange(&f->next, sp_snapshot_ref(s));

    if (before == NULL)
        sp_loop_post(f->loop, &f->mail);
    sp_snapshot_unref(before);
}

/* ---- gauges ---- */

static void print_family(struct sp_fetching *f, enum sp_gauge_id id, struct sp_buf *out)
{
    bool any = false;

    SP_LIST_EACH (&f->sources, it) {
        const struct sp_fetch_source *s = SP_CONTAINER_OF(it, struct sp_fetch_source, link);
        int64_t value = id == SP_GAUGE_fetch_next ? s->next_at : s->succeeded_at;
        char url[512];
        if (value == 0)
            continue;
        snprintf(url, sizeof(url), "%.*s", SP_FMT(sp_fetch_shown(s->url)));
        if (!any)
            sp_gauge_head(out, id);
        sp_gauge_sample(out, id, (const char *const[SP_GAUGE_LABELS]){url, s->file}, value);
        any = true;
    }
}

void sp_fetching_print(struct sp_fetching *f, struct sp_buf *out)
{
    pthread_mutex_lock(&f->lock);
    print_family(f, SP_GAUGE_fetch_succeeded, out);
    print_family(f, SP_GAUGE_fetch_next, out);
    pthread_mutex_unlock(&f->lock);
}

/* ---- its life ---- */

struct sp_fetching *sp_fetching_new(
    struct sp_loop *loop, struct sp_logger *logger, struct sp_meter_block *meter)
{
    struct sp_fetching *f = SP_NEW(struct sp_fetching);

    if (f == NULL || sp_random_init(&f->random) != SP_OK) {
        sp_free(f);
        return NULL;
    }
    f->loop = loop;
    f->logger = logger;
    f->meter = meter;
    f->mail.fn = on_next;
    sp_list_init(&f->sources);
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

void sp_fetching_free(struct sp_fetching *f)
{
    if (f == NULL)
        return;
    f->stopping = true;
    sp_fetcher_stop(f->fetcher);
    f->fetcher = NULL;
    sp_loop_turn(f->loop, 0); /* every answer is in the mailbox */
    while (!sp_list_is_empty(&f->sources))
        drop(SP_CONTAINER_OF(f->sources.next, struct sp_fetch_source, link));
    sp_snapshot_unref(atomic_exchange(&f->next, NULL));
    sp_snapshot_unref(f->snapshot);
    pthread_mutex_destroy(&f->lock);
    free(f->swept);
    sp_free(f);
}
