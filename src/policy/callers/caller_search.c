/* Who somebody is: every caller that an identity is one of, and for `explain` why it is not another.
 *
 * The index leads from the identity's names to the entries that can hold. Those that name no other set are looked at as they come;
 * the others wait in a heap until all sets of a lower rank are settled, so that each entry is looked at once, however deep callers
 * name each other. */
#include <stdlib.h>

#include "policy/callers/callers_impl.h"

struct search {
    const struct sp_compiled_callers *callers;
    struct sp_asked asked;
    uint64_t *sets;        /* that it is in */
    uint64_t *seen;        /* entries that were looked at, or wait */
    struct sp_buf hits;    /* uint32_t: callers */
    struct sp_buf waiting; /* uint64_t: a heap of rank << 32 | entry, the lowest first */
};

static void set_bit(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static bool entry_holds(
    const struct sp_compiled_callers *c, const struct sp_caller_entry *e, const struct sp_asked *asked)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (!sp_field_holds(&c->fields[e->first + i], asked))
            return false;
    }
    return true;
}

/* ---- the heap ---- */

static uint64_t *heap_items(const struct search *s)
{
    return (uint64_t *)(void *)s->waiting.ptr;
}

static size_t heap_size(const struct search *s)
{
    return s->waiting.len / sizeof(uint64_t);
}

static void heap_push(struct search *s, uint64_t item)
{
    if (sp_buf_add(&s->waiting, &item, sizeof item) != SP_OK)
        return; /* waiting.failed tells */
    uint64_t *items = heap_items(s);
    size_t i = heap_size(s) - 1;
    for (; i > 0 && items[(i - 1) / 2] > item; i = (i - 1) / 2)
        items[i] = items[(i - 1) / 2];
    items[i] = item;
}

static uint64_t heap_pop(struct search *s)
{
    uint64_t *items = heap_items(s);
    uint64_t lowest = items[0];
    s->waiting.len -= sizeof(uint64_t);
    size_t size = heap_size(s), i = 0;
    uint64_t last = items[size];
    for (size_t child = 1; child < size; child = 2 * i + 1) {
        if (child + 1 < size && items[child + 1] < items[child])
            child++;
        if (items[child] >= last)
            break;
        items[i] = items[child];
        i = child;
    }
    if (size > 0)
        items[i] = last;
    return lowest;
}

/* ---- the search ---- */

static void consider(void *arg, uint32_t entry);

static void look_at(struct search *s, const struct sp_caller_entry *e)
{
    if (sp_set_has(s->sets, e->set) || !entry_holds(s->callers, e, &s->asked))
        return;
    set_bit(s->sets, e->set);
    if (e->set < s->callers->config->caller_count)
        (void)sp_buf_add(&s->hits, &e->set, sizeof e->set);
    sp_caller_index_probe_set(
        s->callers->index, e->set, consider, s); /* they are of a higher rank, and wait */
}

static void consider(void *arg, uint32_t entry)
{
    struct search *s = arg;
    const struct sp_caller_entry *e = &s->callers->entries[entry];
    if (sp_set_has(s->seen, entry))
        return;
    set_bit(s->seen, entry);
    uint32_t rank = s->callers->rank[e->set];
    if (rank == 0)
        look_at(s, e);
    else
        heap_push(s, (uint64_t)rank << 32 | entry);
}

static void search_end(struct search *s)
{
    sp_free(s->sets);
    sp_buf_free(&s->hits);
    sp_buf_free(&s->waiting);
}

/* SP_FAIL: no memory. To be ended in any case. */
static enum sp_rc search(struct search *s, const struct sp_compiled_callers *c, const struct sp_identity *id)
{
    size_t set_words = sp_callers_sets(c) / 64 + 1, entry_words = c->entry_count / 64 + 1;
    *s = (struct search){.callers = c};
    s->sets = sp_alloc(set_words + entry_words, sizeof *s->sets);
    if (s->sets == NULL)
        return SP_FAIL;
    s->seen = s->sets + set_words;
    s->asked = (struct sp_asked){id, s->sets, c->config};
    sp_caller_index_probe(c->index, id, consider, s);
    while (heap_size(s) > 0)
        look_at(s, &c->entries[(uint32_t)heap_pop(s)]);
    return s->hits.failed || s->waiting.failed ? SP_FAIL : SP_OK;
}

static int compare_ids(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

enum sp_rc sp_callers_of(
    const struct sp_compiled_callers *c, const struct sp_identity *id, uint32_t **out, size_t *count)
{
    struct search s;
    *out = NULL;
    *count = 0;
    enum sp_rc rc = search(&s, c, id);
    size_t hits = s.hits.len / sizeof(uint32_t);
    if (rc == SP_OK && hits > 0) {
        *out = sp_alloc(hits, sizeof **out);
        rc = *out != NULL ? SP_OK : SP_FAIL;
    }
    if (rc == SP_OK && hits > 0) {
        memcpy(*out, s.hits.ptr, hits * sizeof **out);
        qsort(*out, hits, sizeof **out, compare_ids);
        *count = hits;
    }
    search_end(&s);
    return rc;
}

/* ---- explain ---- */

static uint32_t misses_of(
    const struct sp_compiled_callers *c, const struct sp_caller_entry *e, const struct sp_asked *asked)
{
    uint32_t misses = 0;
    for (uint32_t i = 0; i < e->count; i++)
        misses += !sp_field_holds(&c->fields[e->first + i], asked);
    return misses;
}

/* Texts with a NUL behind them. */
static enum sp_rc tell_miss(const struct sp_field *f, const struct sp_asked *asked,
    void (*miss)(void *arg, const char *condition, const char *wanted, const char *found), void *arg)
{
    struct sp_buf condition = {0}, wanted = {0}, found = {0};
    sp_field_describe(f, asked, &condition, &wanted, &found);
    sp_buf_add_char(&condition, '\0');
    sp_buf_add_char(&wanted, '\0');
    sp_buf_add_char(&found, '\0');
    bool ok = !condition.failed && !wanted.failed && !found.failed;
    if (ok)
        miss(arg, condition.ptr, wanted.ptr, found.ptr);
    sp_buf_free(&condition);
    sp_buf_free(&wanted);
    sp_buf_free(&found);
    return ok ? SP_OK : SP_FAIL;
}

enum sp_rc sp_callers_explain(const struct sp_compiled_callers *c, const struct sp_identity *id,
    uint32_t caller, size_t *entry, bool *holds,
    void (*miss)(void *arg, const char *condition, const char *wanted, const char *found), void *arg)
{
    struct search s;
    uint32_t first = c->entries_of[caller], nearest = first, fewest = UINT32_MAX;
    enum sp_rc rc = search(&s, c, id);
    *entry = 0;
    *holds = false;
    for (uint32_t i = first; rc == SP_OK && i < c->entries_of[caller + 1] && fewest > 0; i++) {
        uint32_t misses = misses_of(c, &c->entries[i], &s.asked);
        if (misses < fewest) {
            fewest = misses;
            nearest = i;
        }
    }
    if (rc == SP_OK && fewest != UINT32_MAX) {
        const struct sp_caller_entry *e = &c->entries[nearest];
        *entry = nearest - first;
        *holds = fewest == 0;
        for (uint32_t i = 0; i < e->count && rc == SP_OK; i++) {
            const struct sp_field *f = &c->fields[e->first + i];
            if (!sp_field_holds(f, &s.asked))
                rc = tell_miss(f, &s.asked, miss, arg);
        }
    }
    search_end(&s);
    return rc;
}
