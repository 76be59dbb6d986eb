/* The blocks of counters: making them, summing them, printing them for Prometheus. The lock guards the list of
 * blocks alone, never a counter: a thread that counts takes none. */
#include "sallyport/obs/meter.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

#include "sallyport/base/version.h"

struct owned_block {
    struct sp_meter_block block; /* first: aligned to a cache line, as the whole is */
    struct owned_block *next;
};

struct sp_meters {
    pthread_mutex_t lock;
    struct owned_block *blocks;
};

enum meter_type { counter, gauge };

struct meter_row {
    const char *name; /* family, with labels behind it or without */
    const char *help;
    enum meter_type type;
};

static const struct meter_row rows[SP_METER_COUNT] = {
#define X(id, name, type, help) {name, help, type},
    SP_METERS(X)
#undef X
};

struct sp_meters *sp_meters_new(void)
{
    struct sp_meters *m = SP_NEW(struct sp_meters);
    if (m != NULL && pthread_mutex_init(&m->lock, NULL) != 0)
        SP_FREE(m);
    return m;
}

void sp_meters_free(struct sp_meters *m)
{
    if (m == NULL)
        return;
    while (m->blocks != NULL) {
        struct owned_block *b = m->blocks;
        m->blocks = b->next;
        free(b);
    }
    pthread_mutex_destroy(&m->lock);
    sp_free(m);
}

struct sp_meter_block *sp_meters_add_block(struct sp_meters *m)
{
    struct owned_block *b = aligned_alloc(alignof(struct owned_block), sizeof(*b));
    if (b == NULL)
        return NULL;
    memset(b, 0, sizeof(*b));
    pthread_mutex_lock(&m->lock);
    b->next = m->blocks;
    m->blocks = b;
    pthread_mutex_unlock(&m->lock);
    return &b->block;
}

uint64_t sp_meters_sum(struct sp_meters *m, enum sp_meter_id id)
{
    uint64_t sum = 0;
    pthread_mutex_lock(&m->lock);
    for (struct owned_block *b = m->blocks; b != NULL; b = b->next)
        sum += atomic_load_explicit(&b->block.values[id], memory_order_relaxed);
    pthread_mutex_unlock(&m->lock);
    /* One thread's "less one" may be seen before another's "one more": below nothing, for a moment, is nothing. */
    if (rows[id].type == gauge && sum > INT64_MAX)
        return 0;
    return sum;
}

uint64_t sp_meters_sum_refusals(struct sp_meters *m, enum sp_refusal r)
{
    uint64_t sum = 0;
    pthread_mutex_lock(&m->lock);
    for (struct owned_block *b = m->blocks; b != NULL; b = b->next)
        sum += atomic_load_explicit(&b->block.refusals[r], memory_order_relaxed);
    pthread_mutex_unlock(&m->lock);
    return sum;
}

uint64_t sp_meters_sum_sessions_ended(struct sp_meters *m, enum sp_refusal r)
{
    uint64_t sum = 0;
    pthread_mutex_lock(&m->lock);
    for (struct owned_block *b = m->blocks; b != NULL; b = b->next)
        sum += atomic_load_explicit(&b->block.sessions_ended[r], memory_order_relaxed);
    pthread_mutex_unlock(&m->lock);
    return sum;
}

static struct sp_slice family_of(const char *name)
{
    return (struct sp_slice){name, strcspn(name, "{")};
}

static void print_head(struct sp_buf *out, struct sp_slice family, enum meter_type type, const char *help)
{
    sp_buf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", SP_FMT(family), help, SP_FMT(family),
        type == counter ? "counter" : "gauge");
}

void sp_meters_print(struct sp_meters *m, struct sp_buf *out)
{
    struct sp_slice family = {0};
    for (size_t i = 0; i < SP_COUNTOF(rows); i++) {
        struct sp_slice next = family_of(rows[i].name);
        if (!sp_slice_equal(next, family)) { /* the rows of one family stand together in the table */
            family = next;
            print_head(out, family, rows[i].type, rows[i].help);
        }
        sp_buf_printf(out, "%s %" PRIu64 "\n", rows[i].name, sp_meters_sum(m, (enum sp_meter_id)i));
    }
    family = SP_SLICE("sallyport_refusals_total");
    print_head(out, family, counter, "Handshakes, requests and exchanges refused, by reason");
    for (unsigned r = SP_REFUSAL_none + 1; r < SP_REFUSAL_COUNT; r++)
        sp_buf_printf(out, "%.*s{reason=\"%s\"} %" PRIu64 "\n", SP_FMT(family),
            sp_refusal_name((enum sp_refusal)r), sp_meters_sum_refusals(m, (enum sp_refusal)r));
    family = SP_SLICE("sallyport_sessions_ended_total");
    print_head(out, family, counter, "Connections ended that had been let in, by reason");
    for (unsigned r = SP_REFUSAL_none + 1; r < SP_REFUSAL_COUNT; r++) {
        if (sp_refusal_ends_sessions((enum sp_refusal)r))
            sp_buf_printf(out, "%.*s{reason=\"%s\"} %" PRIu64 "\n", SP_FMT(family),
                sp_refusal_name((enum sp_refusal)r), sp_meters_sum_sessions_ended(m, (enum sp_refusal)r));
    }
    family = SP_SLICE("sallyport_build_info");
    print_head(out, family, gauge, "The version that runs");
    sp_buf_printf(out, "%.*s{version=\"%s\"} 1\n", SP_FMT(family), SP_VERSION);
}
