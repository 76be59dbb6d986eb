/* The generic reader of sections: which keys there are, which are missing, what the defaults are. Why generic:
 * forty keys read by hand would be forty chances to forget a bound, a default or a place in the message.
 * Invariants: nothing is read without its kind having been checked; a place already reported (SP_NODE_BAD) is
 * never reported again; a field that could not be read keeps its zero, and the whole configuration is then
 * thrown away. Elsewhere: the rows (keys.c), the values (types.c, texts.c, collections.c), what spans keys (check.c). */
#include "config/table.h"

#include <stdio.h>

#include "sallyport/base/text.h"

#define WHERE_MAX    400
#define TEXT_MAX     768
#define DEFAULTS_MAX 4

const char SP_REQUIRED[] = "required";

/* ---- messages ---- */

static void print_where(const struct sp_where *where, struct sp_buf *out)
{
    if (where->up != NULL)
        print_where(where->up, out);
    if (where->key.ptr == NULL) {
        sp_buf_printf(out, "[%zu]", where->index);
        return;
    }
    char shown[SP_SHOWN_MAX];
    sp_buf_printf(
        out, "%s%s", out->len > 0 ? "." : "", where->key.len > 0 ? sp_shown(where->key, shown) : "\"\"");
}

void sp_report(struct sp_reader *r, enum sp_severity severity, const struct sp_where *where, struct sp_pos at,
    const char *fmt, ...)
{
    char text[TEXT_MAX];
    struct sp_buf path;
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    sp_buf_init(&path, WHERE_MAX);
    if (where != NULL)
        print_where(where, &path);
    sp_diag_add(r->diags, severity, r->file, at, "%.*s%s%s", (int)path.len, path.len > 0 ? path.ptr : "",
        path.len > 0 ? ": " : "", text);
    sp_buf_free(&path);
}

void sp_report_expected(
    struct sp_reader *r, const struct sp_where *where, const struct sp_node *node, const char *what)
{
    char shown[SP_SHOWN_MAX];

    if (node->kind == SP_NODE_LIST || node->kind == SP_NODE_MAP)
        sp_report(r, SP_DIAG_ERROR, where, node->at, "expected %s, found a %s", what,
            node->kind == SP_NODE_LIST ? "list" : "mapping");
    else if (node->text.len == 0 && !node->quoted)
        sp_report(r, SP_DIAG_ERROR, where, node->at, "expected %s, found nothing", what);
    else
        sp_report(r, SP_DIAG_ERROR, where, node->at, "expected %s, found \"%s\"", what,
            sp_shown(node->text, shown));
}

char *sp_shown(struct sp_slice text, char out[SP_SHOWN_MAX])
{
    static const char dots[] = "...";
    size_t len = text.len;

    if (len >= SP_SHOWN_MAX) {
        len = SP_SHOWN_MAX - sizeof(dots);
        while (len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
            len--;
        memcpy(out + len, dots, sizeof(dots));
    } else {
        out[len] = '\0';
    }
    if (len > 0)
        memcpy(out, text.ptr, len);
    return out;
}

const char *sp_nearest(
    const struct sp_reader *r, struct sp_slice text, const void *words, size_t count, size_t stride)
{
    const char *best = NULL;
    unsigned best_distance = text.len < 4 ? 2 : 3; /* one edit in a short word, two in a longer one */

    if (r->diags->errors >= SP_DIAGS_KEPT)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const char *word = NULL;
        memcpy(&word, (const char *)words + i * stride, sizeof(word));
        if (word == NULL)
            continue;
        struct sp_slice candidate = sp_slice_of(word);
        size_t gap = candidate.len > text.len ? candidate.len - text.len : text.len - candidate.len;
        if (gap >= best_distance)
            continue;
        unsigned distance = sp_edit_distance(text, candidate);
        if (distance < best_distance) {
            best_distance = distance;
            best = word;
        }
    }
    return best;
}

/* ---- memory ---- */

void sp_report_no_memory(struct sp_reader *r)
{
    if (!r->no_memory)
        sp_report(r, SP_DIAG_ERROR, NULL, (struct sp_pos){0, 0}, "out of memory");
    r->no_memory = true;
}

void *sp_reader_alloc(struct sp_reader *r, size_t count, size_t size)
{
    void *memory = sp_arena_alloc(r->arena, count, size);
    if (memory == NULL)
        sp_report_no_memory(r);
    return memory;
}

const char *sp_reader_copy(struct sp_reader *r, struct sp_slice text)
{
    const char *copy = sp_arena_copy(r->arena, text).ptr;
    if (copy == NULL)
        sp_report_no_memory(r);
    return copy;
}

/* ---- sections ---- */

static const struct sp_key *find_key(const struct sp_section *section, struct sp_slice name)
{
    for (size_t i = 0; i < section->key_count; i++) {
        if (sp_slice_equal(sp_slice_of(section->keys[i].name), name))
            return &section->keys[i];
    }
    return NULL;
}

static void report_unknown(struct sp_reader *r, const struct sp_section *section, const struct sp_node *node,
    const struct sp_where *where)
{
    const char *nearest =
        sp_nearest(r, node->key, section->keys, section->key_count, sizeof(section->keys[0]));
    struct sp_buf known;

    if (nearest != NULL) {
        sp_report(r, SP_DIAG_ERROR, where, node->key_at, "unknown key; did you mean \"%s\"?", nearest);
        return;
    }
    sp_buf_init(&known, TEXT_MAX);
    for (size_t i = 0; i < section->key_count; i++)
        sp_buf_printf(&known, "%s%s", i > 0 ? ", " : "", section->keys[i].name);
    sp_report(r, SP_DIAG_ERROR, where, node->key_at, "unknown key; known here: %.*s", (int)known.len,
        known.len > 0 ? known.ptr : "");
    sp_buf_free(&known);
}

static const char *expected_of(const struct sp_type *type)
{
    return type->expected != NULL ? type->expected : type->text->expected;
}

/* "a, b": as if [a, b] were written. */
static void read_default_list(
    struct sp_reader *r, const struct sp_key *key, const struct sp_where *where, void *base)
{
    struct sp_node items[DEFAULTS_MAX] = {0};
    struct sp_node list = {.kind = SP_NODE_LIST, .first = &items[0]};

    for (const char *rest = key->def; rest != NULL;) {
        const char *comma = strstr(rest, ", ");
        SP_ASSERT(list.count < DEFAULTS_MAX);
        struct sp_node *item = &items[list.count++];
        item->kind = SP_NODE_SCALAR;
        item->text = (struct sp_slice){rest, comma != NULL ? (size_t)(comma - rest) : strlen(rest)};
        if (list.last != NULL)
            list.last->next = item;
        list.last = item;
        rest = comma != NULL ? comma + 2 : NULL;
    }
    sp_key_read(r, key, &list, where, base);
}

/* A key that is not there: an error, its default as if written, or nothing. */
static void read_absent(struct sp_reader *r, const struct sp_key *key, const struct sp_node *section,
    const struct sp_where *where, void *base)
{
    if (key->def == SP_REQUIRED) {
        sp_report(r, SP_DIAG_ERROR, where, section != NULL ? section->at : (struct sp_pos){0, 0},
            "required key is missing; expected %s", expected_of(key->type));
        return;
    }
    if (key->def == NULL)
        return;
    if (key->type == &sp_type_section || key->type == &sp_type_section_or_off) {
        sp_section_read(r, key->section, NULL, where, (char *)base + key->offset);
        return;
    }
    if (key->type->wants == SP_NODE_LIST) {
        read_default_list(r, key, where, base);
        return;
    }
    struct sp_node item = {.kind = SP_NODE_SCALAR, .text = sp_slice_of(key->def)};
    sp_key_read(r, key, &item, where, base);
}

void sp_section_read(struct sp_reader *r, const struct sp_section *section, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    static const struct sp_node empty = {.kind = SP_NODE_MAP};
    const struct sp_node *map = node != NULL ? node : &empty;

    for (const struct sp_node *n = map->first; n != NULL; n = n->next) {
        if (n->key.ptr == NULL || n->kind == SP_NODE_BAD || find_key(section, n->key) != NULL)
            continue;
        struct sp_where inner = {.up = where, .key = n->key};
        report_unknown(r, section, n, &inner);
    }
    for (size_t i = 0; i < section->key_count; i++) {
        const struct sp_key *key = &section->keys[i];
        struct sp_where inner = {.up = where, .key = sp_slice_of(key->name)};
        const struct sp_node *value = sp_node_find(map, key->name);
        if (value != NULL)
            sp_key_read(r, key, value, &inner, base);
        else
            read_absent(r, key, node, &inner, base);
    }
    if (section->check != NULL)
        section->check(r, map, where, base);
}

/* An empty list where one entry is needed is an error, and never "all of them". */
static void check_length(
    struct sp_reader *r, const struct sp_key *key, const struct sp_node *node, const struct sp_where *where)
{
    if (node->count < key->min)
        sp_report(r, SP_DIAG_ERROR, where, node->at, "expected at least %llu entr%s, found %zu",
            (unsigned long long)key->min, key->min == 1 ? "y" : "ies", node->count);
    else if (key->max != 0 && node->count > key->max)
        sp_report(r, SP_DIAG_ERROR, where, node->at, "expected at most %llu entries, found %zu",
            (unsigned long long)key->max, node->count);
}

void sp_key_read(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    const struct sp_type *type = key->type;

    if (node->kind == SP_NODE_BAD)
        return;
    bool nothing = node->kind == SP_NODE_SCALAR && node->text.len == 0 && !node->quoted;
    struct sp_node one, list;
    if (!nothing && type->one_ok && node->kind == SP_NODE_SCALAR) {
        one = *node;
        one.next = NULL;
        list = (struct sp_node){
            .kind = SP_NODE_LIST, .at = node->at, .first = &one, .last = &one, .count = 1, .bare = true};
        node = &list;
    }
    if (nothing || (type->wants != SP_NODE_ANY && node->kind != type->wants)) {
        sp_report_expected(r, where, node, expected_of(type));
        return;
    }
    if (node->kind != SP_NODE_SCALAR)
        check_length(r, key, node, where);
    type->read(r, key, node, where, base);
}
