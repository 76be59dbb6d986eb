/* libyaml's events -> a tree with places. Why a tree: errors of the whole file are to be told at once, and a table-driven
 * reader wants to look a key up. Iterative, on a stack of SP_YAML_MAX_DEPTH levels.
 * Invariant: `b->depth` levels are open; the key waiting in a level belongs to the next value that opens in it.
 * Elsewhere: what the keys mean (keys.c), how a tree becomes a struct (table.c). */
#include "config/yaml.h"

#include <stdlib.h>
#include <yaml.h>

#include "config/table.h"

struct level {
    struct sp_node *node;
    bool has_key;
    struct sp_slice key;
    struct sp_pos key_at;
};

struct builder {
    struct sp_arena *arena;
    const char *file;
    struct sp_diags *diags;
    struct sp_node *root;
    struct level stack[SP_YAML_MAX_DEPTH];
    size_t depth;
    size_t nodes;
    unsigned documents;
};

static struct sp_pos place_of(yaml_mark_t mark)
{
    return (struct sp_pos){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static enum sp_rc no_memory(struct builder *b)
{
    sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, (struct sp_pos){0, 0}, "out of memory");
    return SP_FAIL;
}

/* libyaml's own words. A reader error (bytes that are no UTF-8) has an offset where a scanner error has a mark. */
static enum sp_rc report_syntax(struct builder *b, const yaml_parser_t *parser, struct sp_slice text)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return no_memory(b);
    struct sp_pos at = place_of(parser->problem_mark);
    if (parser->error == YAML_READER_ERROR) {
        at = (struct sp_pos){1, 1};
        for (size_t i = 0; i < parser->problem_offset && i < text.len; i++) {
            at.column++;
            if (text.ptr[i] == '\n')
                at = (struct sp_pos){at.line + 1, 1};
        }
    }
    sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, at, "not YAML: %s%s%s",
        parser->problem != NULL ? parser->problem : "unreadable", parser->context != NULL ? ", " : "",
        parser->context != NULL ? parser->context : "");
    return SP_FAIL;
}

/* True when `event` holds something that the configuration does without; it is reported here. */
static bool refuse_extras(struct builder *b, const yaml_event_t *event, struct sp_pos at)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    case YAML_ALIAS_EVENT:
        anchor = event->data.alias.anchor;
        break;
    default:
        return false;
    }
    char shown[SP_SHOWN_MAX];
    if (anchor != NULL) {
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, at,
            "anchors and aliases are not supported: %s%s; write the value out",
            event->type == YAML_ALIAS_EVENT ? "*" : "&", sp_shown(sp_slice_of((const char *)anchor), shown));
    } else if (tag != NULL) {
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, at, "tags are not supported: %s",
            sp_shown(sp_slice_of((const char *)tag), shown));
    }
    return anchor != NULL || tag != NULL;
}

static bool refuse_control(struct builder *b, struct sp_slice text, struct sp_pos at)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7F) {
            sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, at,
                "a control character (0x%02X) is not allowed in a value", c);
            return true;
        }
    }
    return false;
}

static struct sp_node *new_node(struct builder *b, enum sp_node_kind kind, struct sp_pos at)
{
    if (++b->nodes > SP_YAML_MAX_NODES) {
        sp_diag_add(
            b->diags, SP_DIAG_ERROR, b->file, at, "more than %d values in one file", SP_YAML_MAX_NODES);
        return NULL;
    }
    struct sp_node *node = sp_arena_alloc(b->arena, 1, sizeof(*node));
    if (node == NULL) {
        (void)no_memory(b);
        return NULL;
    }
    node->kind = kind;
    node->at = at;
    return node;
}

/* Puts `node` where the text has it: the root, the next of a list, the value of the key that waits. */
static void attach(struct builder *b, struct sp_node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return;
    }
    struct level *top = &b->stack[b->depth - 1];
    node->key = top->key;
    node->key_at = top->key_at;
    top->has_key = false;
    if (top->node->last != NULL)
        top->node->last->next = node;
    else
        top->node->first = node;
    top->node->last = node;
    top->node->count++;
}

static bool key_is_due(const struct builder *b)
{
    return b->depth > 0 && b->stack[b->depth - 1].node->kind == SP_NODE_MAP &&
           !b->stack[b->depth - 1].has_key;
}

static enum sp_rc on_scalar(struct builder *b, struct sp_slice text, bool quoted, struct sp_pos at, bool bad)
{
    bad |= refuse_control(b, text, at);
    text = sp_arena_copy(b->arena, text);
    if (text.ptr == NULL)
        return no_memory(b);
    if (key_is_due(b)) {
        struct level *top = &b->stack[b->depth - 1];
        top->has_key = true;
        top->key = bad ? (struct sp_slice){NULL, 0} : text;
        top->key_at = at;
        return SP_OK;
    }
    struct sp_node *node = new_node(b, bad ? SP_NODE_BAD : SP_NODE_SCALAR, at);
    if (node == NULL)
        return SP_FAIL;
    node->text = text;
    node->quoted = quoted;
    attach(b, node);
    return SP_OK;
}

static enum sp_rc on_open(struct builder *b, enum sp_node_kind kind, struct sp_pos at)
{
    if (key_is_due(b)) {
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, at, "a key must be a word, not a %s",
            kind == SP_NODE_MAP ? "mapping" : "list");
        return SP_FAIL;
    }
    if (b->depth == SP_YAML_MAX_DEPTH) {
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, at, "nested deeper than %d levels", SP_YAML_MAX_DEPTH);
        return SP_FAIL;
    }
    struct sp_node *node = new_node(b, kind, at);
    if (node == NULL)
        return SP_FAIL;
    attach(b, node);
    b->stack[b->depth++] = (struct level){.node = node};
    return SP_OK;
}

static int compare_keys(const void *left, const void *right)
{
    const struct sp_node *a = *(const struct sp_node *const *)left,
                         *b = *(const struct sp_node *const *)right;
    size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = len != 0 ? memcmp(a->key.ptr, b->key.ptr, len) : 0;

    if (order != 0 || a->key.len != b->key.len)
        return order != 0 ? order : (a->key.len < b->key.len ? -1 : 1);
    if (a->key_at.line != b->key_at.line)
        return a->key_at.line < b->key_at.line ? -1 : 1;
    return (a->key_at.column > b->key_at.column) - (a->key_at.column < b->key_at.column);
}

/* A key given twice has two readings, so it has none. Sorted, since a file may name a hundred thousand callers. */
static enum sp_rc check_duplicates(struct builder *b, struct sp_node *map)
{
    if (map->count < 2)
        return SP_OK;
    struct sp_node **sorted = sp_alloc(map->count, sizeof(struct sp_node *));
    if (sorted == NULL)
        return no_memory(b);
    size_t count = 0;
    for (struct sp_node *n = map->first; n != NULL; n = n->next)
        sorted[count++] = n;
    qsort(sorted, count, sizeof(struct sp_node *), compare_keys);
    for (size_t i = 1, first = 0; i < count; i++) {
        struct sp_node *n = sorted[i];
        if (n->key.ptr == NULL || !sp_slice_equal(n->key, sorted[first]->key)) {
            first = i;
            continue;
        }
        char shown[SP_SHOWN_MAX];
        sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, n->key_at, "\"%s\" is given twice; first on line %u",
            sp_shown(n->key, shown), sorted[first]->key_at.line);
        n->kind = SP_NODE_BAD;
    }
    sp_free(sorted);
    return SP_OK;
}

static enum sp_rc on_close(struct builder *b)
{
    SP_ASSERT(b->depth > 0);
    struct sp_node *node = b->stack[--b->depth].node;
    return node->kind == SP_NODE_MAP ? check_duplicates(b, node) : SP_OK;
}

static enum sp_rc on_event(struct builder *b, const yaml_event_t *event)
{
    struct sp_pos at = place_of(event->start_mark);
    bool bad = refuse_extras(b, event, at);

    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++b->documents > 1) {
            sp_diag_add(b->diags, SP_DIAG_ERROR, b->file, at, "more than one document in the file");
            return SP_FAIL;
        }
        return SP_OK;
    case YAML_SCALAR_EVENT:
        return on_scalar(b,
            (struct sp_slice){(const char *)event->data.scalar.value, event->data.scalar.length},
            event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE, at, bad);
    case YAML_ALIAS_EVENT: /* refused above; something must stand in its place, or the next key would be taken for it */
        return on_scalar(b, SP_SLICE(""), false, at, true);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(b, SP_NODE_LIST, at);
    case YAML_MAPPING_START_EVENT:
        return on_open(b, SP_NODE_MAP, at);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(b);
    case YAML_STREAM_END_EVENT:
        return SP_EOF;
    default:
        return SP_OK;
    }
}

enum sp_rc sp_yaml_parse(struct sp_arena *arena, const char *file, struct sp_slice text,
    struct sp_diags *diags, struct sp_node **root)
{
    struct builder b = {.arena = arena, .file = file, .diags = diags};
    yaml_parser_t parser;
    yaml_event_t event;
    enum sp_rc rc = SP_OK;

    *root = NULL;
    if (text.len > SP_YAML_MAX_BYTES) {
        sp_diag_add(diags, SP_DIAG_ERROR, file, (struct sp_pos){0, 0}, "the file is larger than 64MiB");
        return SP_FAIL;
    }
    if (yaml_parser_initialize(&parser) == 0)
        return no_memory(&b);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &parser, (const unsigned char *)(text.ptr != NULL ? text.ptr : ""), text.len);
    while (rc == SP_OK) {
        if (yaml_parser_parse(&parser, &event) == 0) {
            rc = report_syntax(&b, &parser, text);
            break;
        }
        rc = on_event(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (rc != SP_EOF)
        return SP_FAIL;
    if (b.root == NULL) {
        sp_diag_add(diags, SP_DIAG_ERROR, file, (struct sp_pos){1, 1}, "the file is empty");
        return SP_FAIL;
    }
    *root = b.root;
    return SP_OK;
}

const struct sp_node *sp_node_find(const struct sp_node *map, const char *key)
{
    struct sp_slice wanted = sp_slice_of(key);

    if (map->kind != SP_NODE_MAP)
        return NULL;
    for (const struct sp_node *n = map->first; n != NULL; n = n->next) {
        if (n->key.ptr != NULL && sp_slice_equal(n->key, wanted))
            return n;
    }
    return NULL;
}
