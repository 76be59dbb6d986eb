/* A YAML text as a tree in which every value knows its place. Private to config: the only user of libyaml.
 *
 * What YAML can do beyond mappings, lists and scalars is refused with its place and not interpreted: anchors
 * and aliases (a bomb needs them), tags, more than one document, keys given twice, keys that are not scalars,
 * control characters (NUL among them) inside a value, nesting deeper than SP_YAML_MAX_DEPTH, more than
 * SP_YAML_MAX_NODES values. */
#ifndef SP_CONFIG_YAML_H
#define SP_CONFIG_YAML_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/diag.h"

#define SP_YAML_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define SP_YAML_MAX_DEPTH 32
#define SP_YAML_MAX_NODES 2000000

enum sp_node_kind {
    SP_NODE_ANY, /* no node has it: for a reader that takes more than one kind */
    SP_NODE_SCALAR,
    SP_NODE_LIST,
    SP_NODE_MAP,
    SP_NODE_BAD, /* already reported; to be passed over in silence */
};

struct sp_node {
    enum sp_node_kind kind;
    struct sp_pos at;
    struct sp_slice text; /* scalar: its value, with a NUL behind it */
    bool quoted;
    struct sp_slice key; /* inside a mapping: what it is the value of */
    struct sp_pos key_at;
    struct sp_node *next;         /* the next in the same list or mapping */
    struct sp_node *first, *last; /* children */
    size_t count;                 /* of children */
    bool bare;                    /* a list that was written as its only element */
};

/* Hands over in *root a tree that lives in `arena`. Errors go into `diags` under `file`. SP_OK although some
 * were found means that the rest of the tree is whole and worth reading (those places are SP_NODE_BAD or left
 * out); SP_FAIL that there is no tree. */
SP_MUST_USE enum sp_rc sp_yaml_parse(struct sp_arena *arena, const char *file, struct sp_slice text,
    struct sp_diags *diags, struct sp_node **root);
/* The child of a mapping, or NULL. */
const struct sp_node *sp_node_find(const struct sp_node *map, const char *key);

#endif
