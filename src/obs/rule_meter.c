/* Counters by rule. A row is one rule's, over all configurations that have a rule of its name: each shares it, the last one
 * frees it. It holds a cell for each worker, which is a cache line that nobody else writes; so a count is a plain addition,
 * and what a scraper sees is the sum. An exchange that began under an older configuration counts into the same row. */
#include "sallyport/obs/rule_meter.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "label.h"

struct cell {
    alignas(64) _Atomic uint64_t counts[SP_RULE_EVENTS];
};

struct row {
    _Atomic unsigned refs;
    char *name; /* "": of what no rule decided */
    struct cell cells[];
};

struct sp_rule_meters {
    unsigned workers;
    size_t count;        /* of rules; the last row is behind them */
    struct row **rows;   /* count + 1 */
    struct row **sorted; /* the same by name, for the next configuration to find them */
};

/* ---- making ---- */

static struct row *row_new(const char *name, unsigned workers)
{
    size_t bytes = sizeof(struct row) + workers * sizeof(struct cell), len = strlen(name) + 1;
    struct row *r = aligned_alloc(alignof(struct row), bytes);
    if (r == NULL)
        return NULL;
    memset(r, 0, bytes);
    atomic_init(&r->refs, 1);
    r->name = sp_alloc(len, 1);
    if (r->name == NULL) {
        free(r);
        return NULL;
    }
    memcpy(r->name, name, len);
    return r;
}

static void row_free(struct row *r)
{
    if (r == NULL || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    sp_free(r->name);
    free(r);
}

static int by_name(const void *a, const void *b)
{
    const struct row *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int is_named(const void *key, const void *item)
{
    const struct row *const *row = item;
    return strcmp(key, (*row)->name);
}

static struct row *row_of(const struct sp_rule_meters *before, const char *name, unsigned workers)
{
    struct row **known = NULL;
    if (before != NULL && before->workers == workers)
        known = bsearch(name, before->sorted, before->count + 1, sizeof(struct row *), is_named);
    if (known == NULL)
        return row_new(name, workers);
    atomic_fetch_add_explicit(&(*known)->refs, 1, memory_order_relaxed);
    return *known;
}

struct sp_rule_meters *sp_rule_meters_new(
    const char *const *names, size_t count, unsigned workers, const struct sp_rule_meters *before)
{
    struct sp_rule_meters *m = SP_NEW(struct sp_rule_meters);
    if (m == NULL)
        return NULL;
    m->workers = workers;
    m->count = count;
    m->rows = sp_alloc(count + 1, sizeof(struct row *));
    m->sorted = sp_alloc(count + 1, sizeof(struct row *));
    bool complete = m->rows != NULL && m->sorted != NULL;
    for (size_t i = 0; complete && i <= count; i++) {
        m->rows[i] = row_of(before, i < count ? names[i] : "", workers);
        complete = m->rows[i] != NULL;
    }
    if (!complete) {
        sp_rule_meters_free(m);
        return NULL;
    }
    memcpy(m->sorted, m->rows, (count + 1) * sizeof(struct row *));
    qsort(m->sorted, count + 1, sizeof(struct row *), by_name);
    return m;
}

void sp_rule_meters_free(struct sp_rule_meters *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; m->rows != NULL && i <= m->count; i++)
        row_free(m->rows[i]);
    sp_free(m->rows);
    sp_free(m->sorted);
    sp_free(m);
}

/* ---- counting and printing ---- */

void sp_rule_meters_count(struct sp_rule_meters *m, size_t rule, unsigned worker, enum sp_rule_event event)
{
    SP_ASSERT(worker < m->workers);
    struct row *row = m->rows[rule < m->count ? rule : m->count];
    _Atomic uint64_t *count = &row->cells[worker].counts[event];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

enum family { DECISIONS, LIMITED, FAMILIES };

/* What each event is called, for a rule and for what no rule decided; NULL: cannot be. */
static const struct {
    enum family family;
    const char *of_rule, *without;
} EVENTS[SP_RULE_EVENTS] = {
    [SP_RULE_ALLOWED] = {DECISIONS, "decision=\"allowed\",mode=\"enforce\"", NULL},
    [SP_RULE_DENIED] = {DECISIONS, "decision=\"denied\",mode=\"enforce\"",
        "decision=\"refused\",mode=\"enforce\""},
    [SP_RULE_WOULD_ALLOW] = {DECISIONS, "decision=\"allowed\",mode=\"report\"", NULL},
    [SP_RULE_WOULD_DENY] = {DECISIONS, "decision=\"denied\",mode=\"report\"", NULL},
    [SP_RULE_LIMITED_RATE] = {LIMITED, "limit=\"rate\"", NULL},
    [SP_RULE_LIMITED_REQUESTS] = {LIMITED, "limit=\"concurrent_requests\"", NULL},
    [SP_RULE_LIMITED_CONNECTIONS] = {LIMITED, NULL, "limit=\"connections\""},
};

static const struct {
    const char *name, *help;
} ROWS_OF_FAMILIES[FAMILIES] = {
#define X(name, labels, help) {name, help},
    SP_RULE_FAMILIES(X)
#undef X
};

static uint64_t sum(const struct sp_rule_meters *m, const struct row *row, int event)
{
    uint64_t total = 0;
    for (unsigned w = 0; w < m->workers; w++)
        total += atomic_load_explicit(&row->cells[w].counts[event], memory_order_relaxed);
    return total;
}

static void print_row(
    const struct sp_rule_meters *m, const struct row *row, enum family family, struct sp_buf *out)
{
    for (int event = 0; event < SP_RULE_EVENTS; event++) {
        const char *labels = row->name[0] != '\0' ? EVENTS[event].of_rule : EVENTS[event].without;
        if (EVENTS[event].family != family || labels == NULL)
            continue;
        sp_buf_printf(out, "%s{rule=\"", ROWS_OF_FAMILIES[family].name);
        sp_label_value(out, row->name);
        sp_buf_printf(out, "\",%s} %" PRIu64 "\n", labels, sum(m, row, event));
    }
}

void sp_rule_meters_print(const struct sp_rule_meters *m, struct sp_buf *out)
{
    for (int family = 0; family < FAMILIES; family++) {
        const char *name = ROWS_OF_FAMILIES[family].name;
        sp_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, ROWS_OF_FAMILIES[family].help, name);
        for (size_t i = 0; i <= m->count; i++)
            print_row(m, m->rows[i], (enum family)family, out);
    }
}
