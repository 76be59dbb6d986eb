/* Freshness: events and gauges for CRLs, CAs and certificates of ours that near their end or are past it.
 *
 * A state is told when it is entered, and again once a day while it lasts, whatever snapshots come and go meanwhile.
 * The snapshot is walked when it is new and when something has reached one of its moments; in between a look compares a
 * few numbers. What there is to look at is collected in expiries.c. */
#include "freshness.h"

#include <inttypes.h>
#include <stdio.h>

#include "expiries.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/text.h"
#include "sallyport/obs/gauge.h"

#define LOOK_MS  ((uint64_t)10 * 1000) /* at least so often: the wall clock may be set */
#define REMIND_S ((int64_t)24 * 3600)

struct sp_freshness {
    struct sp_logger *logger;
    struct sp_timer *timer;
    struct sp_snapshot *snapshot; /* one reference, or NULL */
    struct sp_expiry_list list;
    bool is_new;       /* the snapshot has not been walked */
    int64_t looked_at; /* the last look */
    int64_t next;      /* the first moment after it at which anything changes by itself */
};

/* ---- what is the case ---- */

static enum sp_expiry_state state_at(const struct sp_expiry *item, int64_t now)
{
    if (now < item->warn_at && now < item->until)
        return SP_EXPIRY_FINE;
    if (now < item->until)
        return SP_EXPIRY_NEARING;
    if (item->kind != SP_EXPIRY_CRL || item->stale == SP_CRL_STALE_REJECT)
        return SP_EXPIRY_OVER;
    if (item->stale == SP_CRL_STALE_ACCEPT || now - item->until < item->grace_s)
        return SP_EXPIRY_TOLERATED;
    return SP_EXPIRY_OVER;
}

/* The first of the item's moments after `now`, if it is before `soonest`. */
static int64_t sooner(const struct sp_expiry *item, int64_t now, int64_t soonest)
{
    int64_t grace_end = item->until < INT64_MAX - item->grace_s ? item->until + item->grace_s : INT64_MAX;
    const int64_t moments[] = {item->from, item->warn_at, item->until, grace_end};

    for (size_t i = 0; i < SP_COUNTOF(moments); i++) {
        if (moments[i] > now && moments[i] < soonest)
            soonest = moments[i];
    }
    return soonest;
}

/* ---- what is said ---- */

static const struct {
    enum sp_log_level level;
    const char *name;
} EVENTS[SP_EXPIRY_KINDS][SP_EXPIRY_STATES] = {
    [SP_EXPIRY_CRL] = {[SP_EXPIRY_NEARING] = {SP_LOG_WARN, "crl_expiring"},
        [SP_EXPIRY_TOLERATED] = {SP_LOG_ERROR, "crl_stale"},
        [SP_EXPIRY_OVER] = {SP_LOG_ERROR, "crl_stale"}},
    [SP_EXPIRY_CA] =
        {[SP_EXPIRY_NEARING] = {SP_LOG_WARN, "ca_expiring"}, [SP_EXPIRY_OVER] = {SP_LOG_ERROR, "ca_expired"}},
    [SP_EXPIRY_CERTIFICATE] = {[SP_EXPIRY_NEARING] = {SP_LOG_WARN, "certificate_expiring"},
        [SP_EXPIRY_OVER] = {SP_LOG_ERROR, "certificate_expired"}},
};

static const struct {
    const char *name, *until;
} KEYS[SP_EXPIRY_KINDS] = {
    [SP_EXPIRY_CRL] = {"issuer", "next_update"},
    [SP_EXPIRY_CA] = {"subject", "not_after"},
    [SP_EXPIRY_CERTIFICATE] = {"names", "not_after"},
};

static void tell(struct sp_freshness *f, const struct sp_expiry *item, enum sp_log_level level,
    const char *event, const char *detail)
{
    char until[SP_RFC3339_MAX];
    struct sp_log_field fields[6] = {
        SP_LOG_C(item->of_upstream ? "upstream" : "listener", item->owner),
        SP_LOG_C(KEYS[item->kind].name, item->name),
        SP_LOG_C("source", item->source),
        SP_LOG_C("url", item->url),
    };
    size_t n = 4;

    if (item->until != INT64_MAX)
        fields[n++] = SP_LOG_C(KEYS[item->kind].until, sp_time_rfc3339(item->until * 1000000, false, until));
    if (detail != NULL)
        fields[n++] = SP_LOG_C("detail", detail);
    sp_log_event(f->logger, level, event, fields, n);
}

/* What a CRL that is past its end means to clients, or backends. */
static void tell_consequence(const struct sp_expiry *crl, int64_t now, char *out, size_t room)
{
    char span[SP_SPAN_MAX];
    int64_t past = now > crl->until ? now - crl->until : 0;
    const char *who = crl->of_upstream ? "backends" : "clients",
               *good = crl->of_upstream ? "believed" : "let in";

    if (crl->stale == SP_CRL_STALE_ACCEPT)
        snprintf(out, room, "%s of this CA are %s nevertheless (crl_stale: accept)", who, good);
    else if (crl->stale == SP_CRL_STALE_GRACE && past < crl->grace_s)
        snprintf(out, room, "%s of this CA are %s for another %s (crl_stale: grace), then refused", who, good,
            sp_format_span_s(crl->grace_s - past, span));
    else
        snprintf(out, room, "%s of this CA are refused (crl_stale: %s)", who,
            crl->stale == SP_CRL_STALE_GRACE ? "its grace is over" : "reject");
}

static void tell_state(struct sp_freshness *f, const struct sp_expiry *item, int64_t now)
{
    char span[SP_SPAN_MAX], consequence[160], detail[256];
    bool ended = now >= item->until;

    switch (item->kind) {
    case SP_EXPIRY_CRL:
        tell_consequence(item, now, consequence, sizeof(consequence));
        break;
    case SP_EXPIRY_CA:
        snprintf(consequence, sizeof(consequence), "%s by it",
            item->of_upstream ? "no backend is believed" : "nobody is let in");
        break;
    default:
        snprintf(
            consequence, sizeof(consequence), "%s refuse it", item->of_upstream ? "backends" : "clients");
    }
    snprintf(detail, sizeof(detail), "%s %s%s; %s%s", ended ? "ended" : "ends in",
        sp_format_span_s(item->until - now, span), ended ? " ago" : "", ended ? "" : "then ", consequence);
    tell(f, item, EVENTS[item->kind][item->state].level, EVENTS[item->kind][item->state].name, detail);
}

/* ---- a look ---- */

static bool is_due(int64_t *told_at, bool entered, int64_t now)
{
    if (!entered && now >= *told_at && now - *told_at < REMIND_S)
        return false;
    bool clock_was_set_back = !entered && now < *told_at;
    *told_at = now;
    return !clock_was_set_back;
}

static void look_at(struct sp_freshness *f, struct sp_expiry *item, int64_t now)
{
    enum sp_expiry_state before = item->state;
    bool was_troubled = item->troubled;

    item->state = state_at(item, now);
    item->troubled = item->trouble != NULL;
    if (item->troubled && is_due(&item->trouble_told_at, !was_troubled, now))
        tell(f, item, SP_LOG_ERROR, "crl_file_broken", item->trouble);
    if (item->state != SP_EXPIRY_FINE && is_due(&item->state_told_at, item->state != before, now))
        tell_state(f, item, now);
    bool recovered = before != SP_EXPIRY_FINE || was_troubled || item->recovers;
    if (item->kind == SP_EXPIRY_CRL && recovered && item->state == SP_EXPIRY_FINE && !item->troubled)
        tell(f, item, SP_LOG_INFO, "crl_fresh", NULL);
    item->recovers = false;
}

/* A CRL that was in trouble and is gone: if another of its issuer is fine, that is the recovery. */
static void hand_down(const struct sp_expiry *gone, struct sp_expiry_list *fresh, int64_t now)
{
    if (gone->kind != SP_EXPIRY_CRL || (gone->state == SP_EXPIRY_FINE && !gone->troubled))
        return;
    for (size_t i = 0; i < fresh->count; i++) {
        struct sp_expiry *item = &fresh->items[i];
        if (item->kind == SP_EXPIRY_CRL && item->of_upstream == gone->of_upstream &&
            strcmp(item->owner, gone->owner) == 0 && strcmp(item->name, gone->name) == 0 &&
            state_at(item, now) == SP_EXPIRY_FINE) {
            item->recovers = true;
            return;
        }
    }
}

/* Without memory the list stays as it is, and the next look tries again. */
static void walk(struct sp_freshness *f, int64_t now)
{
    struct sp_expiry_list fresh;

    if (sp_expiry_collect(f->snapshot, now, &fresh) != SP_OK)
        return;
    for (size_t i = 0; i < fresh.count; i++) {
        struct sp_expiry *item = &fresh.items[i];
        const struct sp_expiry *known = sp_expiry_find(&f->list, item);
        if (known == NULL)
            continue;
        item->state = known->state;
        item->state_told_at = known->state_told_at;
        item->troubled = known->troubled;
        item->trouble_told_at = known->trouble_told_at;
    }
    for (size_t i = 0; i < f->list.count; i++) {
        if (sp_expiry_find(&fresh, &f->list.items[i]) == NULL)
            hand_down(&f->list.items[i], &fresh, now);
    }
    sp_expiry_free(&f->list);
    f->list = fresh;
    f->is_new = false;
}

void sp_freshness_look(struct sp_freshness *f, int64_t now)
{
    if (f->snapshot != NULL && (f->is_new || now >= f->next || now < f->looked_at))
        walk(f, now);
    f->looked_at = now;
    f->next = INT64_MAX;
    for (size_t i = 0; i < f->list.count; i++) {
        look_at(f, &f->list.items[i], now);
        f->next = sooner(&f->list.items[i], now, f->next);
    }
}

static void on_timer(void *arg)
{
    struct sp_freshness *f = arg;
    int64_t now_us = sp_wall_us();

    sp_freshness_look(f, now_us / 1000000);
    uint64_t in_ms = LOOK_MS;
    if (f->next < f->looked_at + (int64_t)(LOOK_MS / 1000))
        in_ms = (uint64_t)(f->next * 1000 - now_us / 1000) + 1;
    sp_timer_set(f->timer, in_ms);
}

/* ---- for others ---- */

struct sp_freshness *sp_freshness_new(struct sp_loop *loop, struct sp_logger *logger)
{
    struct sp_freshness *f = SP_NEW(struct sp_freshness);

    if (f == NULL)
        return NULL;
    f->logger = logger;
    f->timer = sp_timer_new(loop, on_timer, f);
    if (f->timer == NULL)
        SP_FREE(f);
    return f;
}

void sp_freshness_free(struct sp_freshness *f)
{
    if (f == NULL)
        return;
    sp_timer_free(f->timer);
    sp_expiry_free(&f->list);
    sp_snapshot_unref(f->snapshot);
    sp_free(f);
}

void sp_freshness_watch(struct sp_freshness *f, struct sp_snapshot *s)
{
    sp_snapshot_ref(s);
    sp_snapshot_unref(f->snapshot);
    f->snapshot = s;
    f->is_new = true;
    on_timer(f);
}

/* ---- gauges ---- */

/* False: `item` has no sample in this family. */
static bool value_of(enum sp_gauge_id id, const struct sp_expiry *item, int64_t now, int64_t *value)
{
    static const enum sp_expiry_kind KINDS[SP_GAUGE_COUNT] = {
        [SP_GAUGE_crl_this_update] = SP_EXPIRY_CRL,
        [SP_GAUGE_crl_next_update] = SP_EXPIRY_CRL,
        [SP_GAUGE_crl_entries] = SP_EXPIRY_CRL,
        [SP_GAUGE_crl_loaded] = SP_EXPIRY_CRL,
        [SP_GAUGE_ca_not_after] = SP_EXPIRY_CA,
        [SP_GAUGE_ca_without_crl] = SP_EXPIRY_CA,
        [SP_GAUGE_certificate_not_after] = SP_EXPIRY_CERTIFICATE,
        [SP_GAUGE_upstream_crl_next_update] = SP_EXPIRY_CRL,
        [SP_GAUGE_upstream_ca_not_after] = SP_EXPIRY_CA,
        [SP_GAUGE_upstream_certificate_not_after] = SP_EXPIRY_CERTIFICATE,
    };

    if (item->kind != KINDS[id] || item->of_upstream != (id >= SP_GAUGE_upstream_crl_next_update))
        return false;
    switch (id) {
    case SP_GAUGE_crl_this_update:
        *value = item->from;
        return true;
    case SP_GAUGE_crl_entries:
        *value = (int64_t)item->entries;
        return true;
    case SP_GAUGE_crl_loaded:
        *value = item->loaded_at;
        return true;
    case SP_GAUGE_ca_without_crl: /* one that is not valid is left out of the bundle, and needs none */
        *value = 1;
        return !item->has_crl && item->from <= now && now < item->until;
    default:
        *value = item->until;
        return item->until != INT64_MAX;
    }
}

/* Two CAs of one name in one file stand together, the first to end before the other. */
static bool has_labels_of(const struct sp_expiry *a, const struct sp_expiry *b)
{
    return a != NULL && strcmp(a->owner, b->owner) == 0 && strcmp(a->name, b->name) == 0 &&
           strcmp(a->source, b->source) == 0;
}

static void print_family(const struct sp_freshness *f, enum sp_gauge_id id, struct sp_buf *out)
{
    const struct sp_expiry *last = NULL;

    for (size_t i = 0; i < f->list.count; i++) {
        const struct sp_expiry *item = &f->list.items[i];
        const char *const labels[SP_GAUGE_LABELS] = {item->owner, item->name, item->source};
        int64_t value;
        if (!value_of(id, item, f->looked_at, &value) || has_labels_of(last, item))
            continue;
        if (last == NULL)
            sp_gauge_head(out, id);
        sp_gauge_sample(out, id, labels, value);
        last = item;
    }
}

void sp_freshness_print(const struct sp_freshness *f, struct sp_buf *out)
{
    for (int id = 0; id <= SP_GAUGE_upstream_certificate_not_after; id++)
        print_family(f, (enum sp_gauge_id)id, out);
}
