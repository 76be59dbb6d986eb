/* Fills the index of callers: each entry by the one of its fields by which the fewest others would be found. */
#include "policy/callers/caller_index_impl.h"

/* How many entries could be found by each key, for those entries that have a choice. */
struct count {
    uint64_t hash; /* 0: free */
    uint64_t entries;
};

struct build {
    struct sp_caller_index *index;
    const struct sp_caller_entry *entries;
    size_t entry_count;
    const struct sp_field *fields;
    struct count *counts;
    size_t counts_mask;
    struct sp_trie_pattern *patterns;
    size_t pattern_count;
};

static size_t power_of_two(size_t least)
{
    size_t n = 8;
    while (n < least)
        n *= 2;
    return n;
}

static struct count *count_of(const struct build *b, uint64_t hash)
{
    size_t i = hash & b->counts_mask;
    hash = hash != 0 ? hash : 1;
    while (b->counts[i].hash != 0 && b->counts[i].hash != hash)
        i = (i + 1) & b->counts_mask;
    b->counts[i].hash = hash;
    return &b->counts[i];
}

static bool count_all(struct build *b)
{
    size_t fields = 0;
    for (size_t i = 0; i < b->entry_count; i++)
        fields += b->entries[i].count > 1 ? b->entries[i].count : 0;
    size_t slots = power_of_two(2 * fields);
    b->counts = sp_alloc(slots, sizeof *b->counts);
    b->counts_mask = slots - 1;
    if (b->counts == NULL)
        return false;
    for (size_t i = 0; i < b->entry_count; i++) {
        const struct sp_caller_entry *e = &b->entries[i];
        for (uint32_t k = 0; e->count > 1 && k < e->count; k++)
            count_of(b, sp_caller_index_hash(&b->index->key, &b->fields[e->first + k]))->entries++;
    }
    return true;
}

/* The field by which the fewest others are found. */
static const struct sp_field *choose(const struct build *b, const struct sp_caller_entry *e)
{
    const struct sp_field *best = &b->fields[e->first];
    uint64_t best_cost = UINT64_MAX;
    for (uint32_t k = 0; e->count > 1 && k < e->count; k++) {
        const struct sp_field *f = &b->fields[e->first + k];
        uint64_t cost =
            sp_caller_index_cost(f) * count_of(b, sp_caller_index_hash(&b->index->key, f))->entries;
        if (cost < best_cost) {
            best_cost = cost;
            best = f;
        }
    }
    return best;
}

static void post_entry(struct build *b, uint32_t entry, const struct sp_field *f)
{
    struct sp_caller_index *index = b->index;
    if (f->type == SP_FIELD_URI && sp_caller_index_is_pattern(f)) {
        const struct sp_field_uri *uri = f->of;
        struct sp_slice head = uri->pattern.head;
        b->patterns[b->pattern_count++] =
            (struct sp_trie_pattern){head, sp_slice_sub(uri->text, head.len, uri->text.len), entry};
        return;
    }
    if (f->type == SP_FIELD_IP) {
        const struct sp_cidr *cidr = f->of;
        index->prefixes[cidr->len == 4 ? 0 : 1][cidr->bits / 64] |= (uint64_t)1 << (cidr->bits % 64);
    }
    uint64_t hash = sp_caller_index_hash(&b->index->key, f);
    size_t i = hash & index->mask;
    while (index->slots[i].first != 0 && index->slots[i].hash != (uint32_t)(hash >> 32))
        i = (i + 1) & index->mask;
    index->next[entry] = index->slots[i].first;
    index->slots[i] = (struct sp_caller_slot){(uint32_t)(hash >> 32), entry + 1};
}

static struct sp_caller_index *fill(struct build *b, struct sp_arena *arena)
{
    struct sp_caller_index *index = b->index;
    size_t slots = power_of_two(b->entry_count + b->entry_count / 2 + 1);
    index->slots = sp_arena_alloc(arena, slots, sizeof *index->slots);
    index->mask = slots - 1;
    index->next = sp_arena_alloc(arena, b->entry_count, sizeof *index->next);
    b->patterns = sp_alloc(b->entry_count, sizeof *b->patterns);
    if (index->slots == NULL || index->next == NULL || b->patterns == NULL || !count_all(b))
        return NULL;
    for (size_t i = 0; i < b->entry_count; i++)
        post_entry(b, (uint32_t)i, choose(b, &b->entries[i]));
    index->uris = sp_segment_trie_new(arena, &index->key, b->patterns, b->pattern_count);
    return index->uris != NULL ? index : NULL;
}

struct sp_caller_index *sp_caller_index_new(struct sp_arena *arena, const struct sp_hash_key *key,
    const struct sp_caller_entry *entries, size_t entry_count, const struct sp_field *fields)
{
    struct build b = {.entries = entries, .entry_count = entry_count, .fields = fields};
    b.index = sp_arena_alloc(arena, 1, sizeof *b.index);
    if (b.index == NULL)
        return NULL;
    b.index->key = *key;
    struct sp_caller_index *index = fill(&b, arena);
    sp_free(b.counts);
    sp_free(b.patterns);
    return index;
}
