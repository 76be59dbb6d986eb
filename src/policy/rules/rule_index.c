/* The index of rules by host and path.
 *
 * Rules are grouped by their pair of patterns, the groups with a path are the patterns of one segment trie, in which the
 * host pattern stands in front. A request is looked for three times: under its host, under "*." and the host's rest,
 * and under no host. A rule without a path concerns every path, also the "*" of OPTIONS, and so is found by its host alone. */
#include "policy/rules/rule_index.h"

#include <stdlib.h>

#include "sallyport/http/path.h"

static int compare_slices(struct sp_slice a, struct sp_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_keys(const void *left, const void *right)
{
    const struct sp_rule_key *a = left, *b = right;
    int order = compare_slices(a->host, b->host);
    if (order == 0)
        order = compare_slices(a->path, b->path);
    return order != 0 ? order : (a->rule > b->rule) - (a->rule < b->rule);
}

static bool begins_group(const struct sp_rule_key *keys, size_t i)
{
    return i == 0 || !sp_slice_equal(keys[i].host, keys[i - 1].host) ||
           !sp_slice_equal(keys[i].path, keys[i - 1].path);
}

/* Absent and empty are the same to a table. */
static struct sp_slice host_key(struct sp_slice host)
{
    return host.len > 0 ? host : SP_SLICE("");
}

/* Numbers the groups in the order of the sorted keys. */
static void number_groups(struct sp_rule_index *index, const struct sp_rule_key *keys, size_t count,
    struct sp_trie_pattern *patterns, size_t *pattern_count)
{
    size_t groups = 0;
    for (size_t i = 0; i < count; i++) {
        index->rules.items[i] = keys[i].rule;
        if (!begins_group(keys, i))
            continue;
        uint32_t id = (uint32_t)groups++;
        index->rules.starts[id] = (uint32_t)i;
        if (keys[i].path.len == 0)
            (void)sp_name_table_add(&index->pathless, host_key(keys[i].host), id);
        else
            patterns[(*pattern_count)++] =
                (struct sp_trie_pattern){.head = host_key(keys[i].host), .pattern = keys[i].path, .id = id};
    }
    index->rules.starts[groups] = (uint32_t)count;
}

enum sp_rc sp_rule_index_build(struct sp_rule_index *index, struct sp_arena *arena,
    const struct sp_hash_key *key, struct sp_rule_key *keys, size_t count)
{
    size_t pattern_count = 0, pathless = 0;
    struct sp_trie_pattern *patterns = sp_alloc(count + 1, sizeof *patterns);

    if (count > 1)
        qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 0; i < count; i++)
        pathless += keys[i].path.len == 0 && begins_group(keys, i);
    index->rules.starts = sp_arena_alloc(arena, count + 1, sizeof *index->rules.starts);
    index->rules.items = sp_arena_alloc(arena, count + 1, sizeof *index->rules.items);
    if (patterns != NULL && index->rules.starts != NULL && index->rules.items != NULL &&
        sp_name_table_init(&index->pathless, arena, key, pathless) == SP_OK) {
        number_groups(index, keys, count, patterns, &pattern_count);
        index->trie = sp_segment_trie_new(arena, key, patterns, pattern_count);
    }
    sp_free(patterns);
    return index->trie != NULL ? SP_OK : SP_FAIL;
}

/* ---- finding ---- */

struct search {
    const struct sp_rule_index *index;
    struct sp_found *out;
};

static void found_group(void *arg, uint32_t id)
{
    struct search *s = arg;
    struct sp_posting list = sp_postings_of(&s->index->rules, id);

    s->out->overflow = s->out->overflow || s->out->count == SP_POSTINGS_MAX;
    if (s->out->overflow)
        return;
    s->out->lists[s->out->count++] = list;
    s->out->rules += list.count;
}

static void find_under(struct search *s, struct sp_slice host, struct sp_slice path)
{
    uint32_t id = sp_name_table_find(&s->index->pathless, host);
    if (id != SP_NO_NAME)
        found_group(s, id);
    if (path.len > 0 && path.ptr[0] == '/')
        sp_segment_trie_match(s->index->trie, host, path, found_group, s);
}

void sp_rule_index_find(
    const struct sp_rule_index *index, struct sp_slice host, struct sp_slice path, struct sp_found *out)
{
    struct search search = {index, out};
    char wild[SP_HOST_MAX];
    const char *dot = host.len > 0 ? memchr(host.ptr, '.', host.len) : NULL;

    out->count = out->rules = 0;
    out->overflow = false;
    find_under(&search, SP_SLICE(""), path);
    if (host.len == 0)
        return;
    find_under(&search, host, path);
    size_t rest = dot != NULL ? host.len - (size_t)(dot - host.ptr) : 0;
    if (dot == NULL || dot == host.ptr || rest + 1 > sizeof wild)
        return;
    wild[0] = '*';
    memcpy(wild + 1, dot, rest);
    struct sp_slice wildcard = {wild, rest + 1};
    if (!sp_slice_equal(wildcard, host)) /* no client's host has a '*', and no list may come twice */
        find_under(&search, wildcard, path);
}
