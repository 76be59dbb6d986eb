/* A tree of path segments (see segment_trie.h).
 *
 * Why: ten thousand rules and a hundred thousand callers share prefixes and differ behind a "*"; neither a list nor a hash of
 * prefixes would find those that match without looking at the others.
 *
 * A node is a way through segments, so a walk comes to each node at most once. Its children stand in one hash table for the whole
 * tree, by (parent, kind of edge, bytes). The child "*" is by its side. A segment such as "team-*-a" is found by its literal front
 * or back, whichever is longer, cut to 63 bytes; a node remembers which lengths of those there are, so that only these are looked
 * up. Invariants: node 0 is the root and nobody's child; what stands in `slots` is unique by its key.
 *
 * It is built in memory of its own, sized for patterns that share nothing, and copied when it is known how much they share. */
#include "policy/common/segment_trie.h"

#include "sallyport/http/path.h"

enum edge {
    EDGE_LITERAL, /* a head, or a segment without a wildcard: its bytes */
    EDGE_GLOB,    /* a segment with a wildcard: its text, so that it is there once */
    EDGE_FRONT,   /* the globs that begin with these bytes */
    EDGE_BACK,    /* the globs that end with them */
};
enum { LITERAL_MAX = 63 };

struct node {
    const char *label;
    uint32_t label_len;
    uint32_t parent;
    uint32_t exact;     /* the first pattern that ends here: its place in `ends`, from 1 */
    uint32_t rest;      /* the first that goes on with "**" */
    uint32_t star;      /* the child "*" */
    uint32_t globs;     /* the lengths of its globs' literals: a place in `lengths`, from 1 */
    uint32_t next_glob; /* another child of its parent with the same front or back */
};

struct slot {
    uint32_t hash;
    uint32_t to; /* node << 2 | edge; 0: free */
};

/* Bit n: there is one whose front (or back) has n bytes. */
struct lengths {
    uint64_t front, back;
};

struct end {
    uint32_t id, next; /* another pattern that ends in the same way */
};

struct sp_segment_trie {
    struct sp_hash_key key;
    struct node *nodes;
    struct slot *slots;
    struct lengths *lengths;
    struct end *ends;
    size_t node_count, edge_count, length_count, end_count;
    uint32_t mask; /* of slots */
};

static struct sp_slice label_of(const struct node *n)
{
    return (struct sp_slice){n->label, n->label_len};
}

/* The literal bytes of a glob by which it is found. */
static struct sp_slice literal_of(struct sp_slice glob, enum edge edge)
{
    size_t len = 0;
    while (edge == EDGE_FRONT ? glob.ptr[len] != '*' : glob.ptr[glob.len - 1 - len] != '*')
        len++;
    if (len > LITERAL_MAX)
        len = LITERAL_MAX;
    return edge == EDGE_FRONT ? sp_slice_sub(glob, 0, len) : sp_slice_sub(glob, glob.len - len, glob.len);
}

static uint32_t hash_of(
    const struct sp_segment_trie *t, uint32_t parent, enum edge edge, struct sp_slice bytes)
{
    return (uint32_t)sp_hash(&t->key, (uint64_t)parent << 2 | edge, bytes);
}

/* The slot of that child, or the free one where it would be. */
static struct slot *find_slot(
    const struct sp_segment_trie *t, uint32_t hash, uint32_t parent, enum edge edge, struct sp_slice bytes)
{
    for (uint32_t i = hash & t->mask;; i = (i + 1) & t->mask) {
        struct slot *slot = &t->slots[i];
        if (slot->to == 0)
            return slot;
        const struct node *n = &t->nodes[slot->to >> 2];
        if (slot->hash != hash || (slot->to & 3) != (uint32_t)edge || n->parent != parent)
            continue;
        struct sp_slice label = label_of(n);
        if (sp_slice_equal(bytes, edge <= EDGE_GLOB ? label : literal_of(label, edge)))
            return slot;
    }
}

static uint32_t find(const struct sp_segment_trie *t, uint32_t parent, enum edge edge, struct sp_slice bytes)
{
    return find_slot(t, hash_of(t, parent, edge, bytes), parent, edge, bytes)->to >> 2;
}

/* ---- building ---- */

/* The segment that begins at `at`, without its '/'. */
static struct sp_slice segment_at(struct sp_slice path, size_t at)
{
    const char *slash = at < path.len ? memchr(path.ptr + at, '/', path.len - at) : NULL;
    return sp_slice_sub(path, at, slash != NULL ? (size_t)(slash - path.ptr) : path.len);
}

static uint32_t add_node(struct sp_segment_trie *t, uint32_t parent, struct sp_slice label)
{
    t->nodes[t->node_count] =
        (struct node){.label = label.ptr, .label_len = (uint32_t)label.len, .parent = parent};
    return (uint32_t)t->node_count++;
}

/* Puts `node` where (parent, edge, bytes) leads to, in front of what is there. */
static uint32_t lead_to(
    struct sp_segment_trie *t, uint32_t parent, enum edge edge, struct sp_slice bytes, uint32_t node)
{
    uint32_t hash = hash_of(t, parent, edge, bytes);
    struct slot *slot = find_slot(t, hash, parent, edge, bytes);
    uint32_t before = slot->to >> 2;
    if (before == 0)
        t->edge_count++;
    *slot = (struct slot){hash, node << 2 | (uint32_t)edge};
    return before;
}

static uint32_t add_glob(struct sp_segment_trie *t, uint32_t parent, struct sp_slice glob)
{
    struct sp_slice front = literal_of(glob, EDGE_FRONT), back = literal_of(glob, EDGE_BACK);
    bool by_front = front.len >= back.len;
    uint32_t node = add_node(t, parent, glob);
    (void)lead_to(t, parent, EDGE_GLOB, glob, node);
    t->nodes[node].next_glob =
        lead_to(t, parent, by_front ? EDGE_FRONT : EDGE_BACK, by_front ? front : back, node);
    if (t->nodes[parent].globs == 0)
        t->nodes[parent].globs = (uint32_t)++t->length_count;
    struct lengths *lengths = &t->lengths[t->nodes[parent].globs - 1];
    if (by_front)
        lengths->front |= (uint64_t)1 << front.len;
    else
        lengths->back |= (uint64_t)1 << back.len;
    return node;
}

/* The child of `parent` for that segment of a pattern, made if need be. */
static uint32_t child(struct sp_segment_trie *t, uint32_t parent, struct sp_slice segment)
{
    if (segment.len == 1 && segment.ptr[0] == '*') {
        if (t->nodes[parent].star == 0) {
            uint32_t star = add_node(t, parent, segment);
            t->nodes[parent].star = star;
        }
        return t->nodes[parent].star;
    }
    bool is_glob = segment.len > 0 && memchr(segment.ptr, '*', segment.len) != NULL;
    uint32_t node = find(t, parent, is_glob ? EDGE_GLOB : EDGE_LITERAL, segment);
    if (node != 0)
        return node;
    if (is_glob)
        return add_glob(t, parent, segment);
    node = add_node(t, parent, segment);
    (void)lead_to(t, parent, EDGE_LITERAL, segment, node);
    return node;
}

static uint32_t head_node(struct sp_segment_trie *t, struct sp_slice head)
{
    uint32_t node = find(t, 0, EDGE_LITERAL, head);
    if (node == 0) {
        node = add_node(t, 0, head);
        (void)lead_to(t, 0, EDGE_LITERAL, head, node);
    }
    return node;
}

static void insert(struct sp_segment_trie *t, const struct sp_trie_pattern *p)
{
    uint32_t node = head_node(t, p->head);
    bool takes_rest = false;
    for (size_t at = 0; at < p->pattern.len && !takes_rest;) {
        struct sp_slice segment = segment_at(p->pattern, at + 1);
        takes_rest = sp_slice_equal(segment, SP_SLICE("**"));
        if (!takes_rest)
            node = child(t, node, segment);
        at += 1 + segment.len;
    }
    uint32_t *first = takes_rest ? &t->nodes[node].rest : &t->nodes[node].exact;
    t->ends[t->end_count++] = (struct end){p->id, *first};
    *first = (uint32_t)t->end_count;
}

static size_t count_segments(const struct sp_trie_pattern *patterns, size_t count)
{
    size_t segments = 0;
    for (size_t i = 0; i < count; i++) {
        segments++; /* the head */
        for (size_t k = 0; k < patterns[i].pattern.len; k++)
            segments += patterns[i].pattern.ptr[k] == '/';
    }
    return segments;
}

static size_t slots_for(size_t edges)
{
    size_t slots = 8;
    while (slots < edges + edges / 2 + 1)
        slots *= 2;
    return slots;
}

static void *arena_copy(struct sp_arena *arena, const void *from, size_t count, size_t size)
{
    void *copy = sp_arena_alloc(arena, count, size);
    if (copy != NULL && count > 0)
        memcpy(copy, from, count * size);
    return copy;
}

/* Into the arena, no larger than it needs to be. */
static struct sp_segment_trie *settle(struct sp_arena *arena, const struct sp_segment_trie *built)
{
    struct sp_segment_trie *t = arena_copy(arena, built, 1, sizeof *t);
    if (t == NULL)
        return NULL;
    size_t slots = slots_for(built->edge_count);
    t->nodes = arena_copy(arena, built->nodes, built->node_count, sizeof *t->nodes);
    t->lengths = arena_copy(arena, built->lengths, built->length_count, sizeof *t->lengths);
    t->ends = arena_copy(arena, built->ends, built->end_count, sizeof *t->ends);
    t->slots = sp_arena_alloc(arena, slots, sizeof *t->slots);
    if (t->nodes == NULL || t->lengths == NULL || t->ends == NULL || t->slots == NULL)
        return NULL;
    t->mask = (uint32_t)(slots - 1);
    for (size_t i = 0; i <= built->mask; i++) {
        struct slot slot = built->slots[i];
        if (slot.to == 0)
            continue;
        uint32_t to = slot.hash & t->mask;
        while (t->slots[to].to != 0)
            to = (to + 1) & t->mask;
        t->slots[to] = slot;
    }
    return t;
}

struct sp_segment_trie *sp_segment_trie_new(struct sp_arena *arena, const struct sp_hash_key *key,
    const struct sp_trie_pattern *patterns, size_t count)
{
    struct sp_segment_trie *t = NULL;
    size_t segments = count_segments(patterns, count);
    size_t slots = slots_for(2 * segments);
    if (segments >= UINT32_MAX / 8) /* what a slot can number */
        return NULL;
    struct sp_segment_trie build = {.key = *key, .node_count = 1, .mask = (uint32_t)(slots - 1)};
    build.nodes = sp_alloc(segments + 1, sizeof *build.nodes);
    build.slots = sp_alloc(slots, sizeof *build.slots);
    build.lengths = sp_alloc(segments + 1, sizeof *build.lengths);
    build.ends = sp_alloc(count, sizeof *build.ends);
    if (build.nodes != NULL && build.slots != NULL && build.lengths != NULL && build.ends != NULL) {
        for (size_t i = 0; i < count; i++)
            insert(&build, &patterns[i]);
        t = settle(arena, &build);
    }
    sp_free(build.nodes);
    sp_free(build.slots);
    sp_free(build.lengths);
    sp_free(build.ends);
    return t;
}

/* ---- matching ---- */

struct walk {
    const struct sp_segment_trie *t;
    struct sp_slice path;
    void (*each)(void *arg, uint32_t id);
    void *arg;
};

static void tell(const struct walk *w, uint32_t end)
{
    for (; end != 0; end = w->t->ends[end - 1].next)
        w->each(w->arg, w->t->ends[end - 1].id);
}

static void visit(const struct walk *w, uint32_t node, size_t at);

/* The globs with that literal, where they fit. */
static void visit_globs_by(const struct walk *w, uint32_t node, struct sp_slice segment, size_t after,
    enum edge edge, uint64_t lengths)
{
    for (; lengths != 0; lengths &= lengths - 1) {
        size_t len = (size_t)__builtin_ctzll(lengths);
        if (len > segment.len)
            return;
        struct sp_slice bytes = edge == EDGE_FRONT ? sp_slice_sub(segment, 0, len)
                                                   : sp_slice_sub(segment, segment.len - len, segment.len);
        for (uint32_t glob = find(w->t, node, edge, bytes); glob != 0; glob = w->t->nodes[glob].next_glob) {
            if (sp_path_match(label_of(&w->t->nodes[glob]), segment))
                visit(w, glob, after);
        }
    }
}

/* `at` is where the path goes on with a '/', or its end. Recurses where the tree branches on the way of this path; a
 * single way is a loop, so that the depth is not the length of a pattern. */
static void visit(const struct walk *w, uint32_t node, size_t at)
{
    while (node != 0) {
        const struct node *n = &w->t->nodes[node];
        if (at == w->path.len) {
            tell(w, n->exact);
            return;
        }
        tell(w, n->rest);
        struct sp_slice segment = segment_at(w->path, at + 1);
        at += 1 + segment.len;
        if (n->globs != 0) {
            const struct lengths *lengths = &w->t->lengths[n->globs - 1];
            visit_globs_by(w, node, segment, at, EDGE_FRONT, lengths->front);
            visit_globs_by(w, node, segment, at, EDGE_BACK, lengths->back);
        }
        uint32_t star = segment.len > 0 ? n->star : 0;
        uint32_t literal = find(w->t, node, EDGE_LITERAL, segment);
        if (star != 0 && literal != 0)
            visit(w, star, at);
        node = literal != 0 ? literal : star;
    }
}

void sp_segment_trie_match(const struct sp_segment_trie *t, struct sp_slice head, struct sp_slice path,
    void (*each)(void *arg, uint32_t id), void *arg)
{
    const struct walk w = {t, path, each, arg};
    if (path.len > 0 && path.ptr[0] == '/')
        visit(&w, find(t, 0, EDGE_LITERAL, head), 0);
}
