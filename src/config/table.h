/* The generic reader: tables of keys in, typed structs out. Private to config.
 *
 * A *section* is a mapping that becomes one struct; a *key* is one row of it; a *type* knows how one kind of
 * value is written, read and described. Defaults go through the same readers as what the operator writes, and
 * the reference page is printed from the same rows, so none of the three can disagree. */
#ifndef SP_CONFIG_TABLE_H
#define SP_CONFIG_TABLE_H

#include "config/yaml.h"
#include "sallyport/config/config.h"

/* ---- where an error is, in the operator's words: listeners[0].tls.certificates[1].key ---- */
struct sp_where { /* NULL is the root */
    const struct sp_where *up;
    struct sp_slice key; /* ptr NULL: this is element `index` of a list */
    size_t index;
};

struct sp_reader {
    struct sp_arena *arena; /* what is read lives here */
    struct sp_diags *diags;
    const char *file;
    struct sp_slice folder; /* of `file`, with its last '/'; empty: the working directory */
    bool no_memory;
};

/* load.c: one for `file`, which it borrows. */
struct sp_reader sp_reader_of(struct sp_arena *arena, const char *file, struct sp_diags *diags);
/* load.c: the whole of it, or an error in `diags`. Blocks. */
SP_MUST_USE enum sp_rc sp_read_file(const char *file, struct sp_buf *out, struct sp_diags *diags);

/* Reports "<where>: <text>"; at the root only the text. */
void sp_report(struct sp_reader *r, enum sp_severity severity, const struct sp_where *where, struct sp_pos at,
    const char *fmt, ...) SP_PRINTF(5, 6);
/* Reports "expected <what>, found <the node>". */
void sp_report_expected(
    struct sp_reader *r, const struct sp_where *where, const struct sp_node *node, const char *what);
/* Zeroed memory of the configuration; without memory NULL, reported once. */
SP_MUST_USE void *sp_reader_alloc(struct sp_reader *r, size_t count, size_t size);
/* Reports that there is none, once. */
void sp_report_no_memory(struct sp_reader *r);
/* A copy in the configuration; NULL as above. */
SP_MUST_USE const char *sp_reader_copy(struct sp_reader *r, struct sp_slice text);

/* A text of the operator's as a message may show it: long ones are cut at a character's end. Returns `out`. */
#define SP_SHOWN_MAX 80
char *sp_shown(struct sp_slice text, char out[SP_SHOWN_MAX]);
/* Of `count` words `stride` bytes apart (each starts with a const char *; a NULL is passed over), the one that
 * `text` was probably meant to be, or NULL. Also NULL when so much is wrong already that no answer would be
 * shown. */
const char *sp_nearest(
    const struct sp_reader *r, struct sp_slice text, const void *words, size_t count, size_t stride);

/* ---- types, keys, sections ---- */
struct sp_key;

/* What one text may say, alone or in a list. */
struct sp_text {
    const char *expected; /* in an error: "a path" */
    /* Hands over the text as the configuration keeps it (*out NULL: no memory, which is told). False: it is none. */
    bool (*keep)(struct sp_reader *r, struct sp_slice text, const char **out);
};

struct sp_type {
    const char *label;       /* in the reference: "duration" */
    const char *expected;    /* in an error: "a duration such as 30s"; NULL: what `text` says */
    enum sp_node_kind wants; /* SP_NODE_ANY: `read` looks for itself */
    /* Reads `node` (of the wanted kind) into the struct at `base`, or reports why not and leaves the field as
     * it was. */
    void (*read)(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
        const struct sp_where *where, void *base);
    /* Writes the bounds of `key` into the reference; NULL: the type has none. */
    void (*print_bounds)(const struct sp_key *key, struct sp_buf *out);
    const struct sp_text *text; /* of a text, and of a list of them; NULL: it is neither */
    bool one_ok;                /* of a list: its only element may stand without brackets */
    bool distinct;              /* of a list of texts: none may be there twice */
};

struct sp_word {
    const char *word;
    unsigned value;
};

typedef void sp_check(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base);

struct sp_section {
    const char *title; /* heading in the reference: "listeners[].tls" */
    const char *doc;
    const struct sp_key *keys;
    size_t key_count;
    size_t size;        /* of the struct, where it is an element */
    size_t at_offset;   /* struct sp_pos: where it was written; SP_NOWHERE: not kept */
    size_t name_offset; /* const char *: its key, in a mapping of names; SP_NOWHERE: none */
    /* What a row cannot say; after all keys are read. NULL: nothing. */
    sp_check *check;
};

#define SP_NOWHERE ((size_t)-1)
extern const char SP_REQUIRED[]; /* as a default: there is none, and the key must be given */

struct sp_key {
    const char *name; /* NULL: the only row of a section that is written as this value itself */
    const struct sp_type *type;
    size_t offset;     /* of the field; SP_NOWHERE: only checked, not kept */
    uint64_t min, max; /* of a number its value, of a list its length; max 0: no upper bound */
    const char *def;   /* as the operator would write it; NULL: not given means not set; or SP_REQUIRED */
    const char *doc;
    size_t extra; /* offset of what belongs to the field: a list's count, a reference's position */
    const struct sp_section *section; /* of a section, or of a list's elements */
    const struct sp_word *words;      /* of a choice; ends with a NULL word */
};

/* The key's field in the struct at `base`. */
static inline void *sp_key_field(const struct sp_key *key, void *base)
{
    return (char *)base + key->offset;
}

/* Reads a mapping into the struct at `base`: unknown keys, missing keys, defaults, then the section's check.
 * `node` NULL: as if an empty mapping were written. */
void sp_section_read(struct sp_reader *r, const struct sp_section *section, const struct sp_node *node,
    const struct sp_where *where, void *base);
/* Checks the kind of `node`, then has the key's type read it. */
void sp_key_read(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base);
/* "16KiB", "300": the shortest way to write it that base/text.h reads back. Returns `out`. */
#define SP_SIZE_TEXT 32
char *sp_format_size(uint64_t bytes, char out[SP_SIZE_TEXT]);

/* types.c: one value each */
extern const struct sp_type sp_type_threads, sp_type_count, sp_type_duration, sp_type_size, sp_type_body_size,
    sp_type_bytes, sp_type_choice, sp_type_name, sp_type_reference, sp_type_path, sp_type_output,
    sp_type_address, sp_type_flag, sp_type_percent, sp_type_url, sp_type_rate, sp_type_rate_or_off;
/* texts.c: one text each, kept as a string */
extern const struct sp_type sp_type_pattern, sp_type_pattern_at, sp_type_fingerprint, sp_type_serial,
    sp_type_oid, sp_type_block, sp_type_field_name, sp_type_field_value, sp_type_authority, sp_type_per;
/* texts.c: a list of texts each */
extern const struct sp_type sp_type_paths, sp_type_crls, sp_type_crl_files, sp_type_names, sp_type_references,
    sp_type_listeners, sp_type_methods, sp_type_patterns, sp_type_blocks, sp_type_oids, sp_type_purposes,
    sp_type_algorithms, sp_type_key_types, sp_type_field_names;
/* texts_forward.c: the same, of forwarding */
extern const struct sp_type sp_type_host_port, sp_type_server_name, sp_type_server, sp_type_target,
    sp_type_prefix, sp_type_uri_pattern, sp_type_protocols, sp_type_alpn, sp_type_dns_servers;
/* collections.c: many values each */
extern const struct sp_type sp_type_section, sp_type_optional, sp_type_sections, sp_type_named, sp_type_short,
    sp_type_flags, sp_type_subject, sp_type_headers, sp_type_crl_stale;
/* types_upstream.c */
extern const struct sp_type sp_type_duration_or_off, sp_type_count_or_unlimited, sp_type_endpoints,
    sp_type_endpoint_address, sp_type_hash_by, sp_type_status, sp_type_section_or_off, sp_type_retry_on;

/* Readers of one text and of a list of them, by the key's `type->text`. */
void sp_read_text(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base);
void sp_read_texts(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base);

/* Shared by them: each reports and returns NULL or false when it is not one. */
SP_MUST_USE bool sp_read_word(struct sp_reader *r, const struct sp_word *words, const struct sp_node *node,
    const struct sp_where *where, unsigned *value);
SP_MUST_USE const char *sp_read_path(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where);
/* `path` as seen from the configuration file's folder, behind `prefix`. */
SP_MUST_USE const char *sp_anchor_path(struct sp_reader *r, const char *prefix, struct sp_slice path);
/* A scalar inside a list or mapping. */
SP_MUST_USE bool sp_want_scalar(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char *expected);
/* host:port, [v6]:port or unix:path. A name instead of a number is *out with len 0, if `name_ok`. */
SP_MUST_USE bool sp_read_address(struct sp_reader *r, const struct sp_node *node,
    const struct sp_where *where, bool name_ok, const char **text, struct sp_addr *out);

/* Writes a list's bounds into the reference. */
void sp_print_length(const struct sp_key *key, struct sp_buf *out);
/* The size_t of a list at `extra`. */
static inline size_t *sp_key_count(const struct sp_key *key, void *base)
{
    return (size_t *)(void *)((char *)base + key->extra);
}

/* A host name, and not a mistyped IPv4 address. */
SP_MUST_USE bool sp_is_host_name(struct sp_slice host);
/* http:// or https://, a host, and nothing that a URL may not hold. */
SP_MUST_USE bool sp_url_is_valid(struct sp_slice text);

/* Reports a text that is no name. */
void sp_check_name(struct sp_reader *r, struct sp_slice text, struct sp_pos at, const struct sp_where *where);

/* What a name may be: "CN", "emailAddress", "2.5.4.97". */
SP_MUST_USE bool sp_is_attribute(struct sp_slice type);
/* Two names of header fields, whatever their case. */
SP_MUST_USE bool sp_same_field(const char *a, const char *b);

/* keys.c, keys_listener.c, keys_policy.c */
extern const struct sp_section sp_section_root, sp_section_grace;
/* Every section once, in the order of the reference; ends with NULL. */
extern const struct sp_section *const sp_sections[];

/* named.c: names of structs, sorted, to find one or two alike */
struct sp_named {
    const char *name; /* first: sp_nearest reads it */
    size_t index;
};
struct sp_named_list {
    struct sp_named *sorted; /* to be freed by sp_free */
    size_t count;
};
/* Of `count` structs `stride` bytes apart; those without a name are left out. False: no memory, which is told. */
SP_MUST_USE bool sp_named_index(struct sp_reader *r, const void *first, size_t count, size_t stride,
    size_t name_offset, struct sp_named_list *out);
/* The index of the struct of that name, or `missing`. */
size_t sp_named_find(const struct sp_named_list *names, const char *name, size_t missing);
/* The next behind `sorted[*i]` that has the name of one before it in the file, sorted[*first]; or NULL. Both start at 0. */
const struct sp_named *sp_named_twice(const struct sp_named_list *names, size_t *i, size_t *first);

/* check.c, check_policy.c, check_upstream.c: the sections' checks */
sp_check sp_check_admin, sp_check_audit, sp_check_client_auth, sp_check_listener, sp_check_rewrite,
    sp_check_require, sp_check_naming, sp_check_entry, sp_check_caller_limits, sp_check_edits, sp_check_rule,
    sp_check_proxy, sp_check_upstream, sp_check_endpoint, sp_check_health, sp_check_ejection,
    sp_check_upstream_tls;
/* Whether `key` is written, and as this word. */
bool sp_says(const struct sp_node *section, const char *key, const char *word);
/* Reports at the value of `key`, or at the section if it is not there. */
void sp_report_key(struct sp_reader *r, enum sp_severity severity, const struct sp_node *node,
    const struct sp_where *where, const char *key, const char *text);
/* check.c: what needs the whole configuration */
void sp_check_all(struct sp_reader *r, const struct sp_node *root, struct sp_config *config);
/* references.c: names that must be unique or must exist; callers that lead to themselves. Part of sp_check_all. */
void sp_check_references(struct sp_reader *r, const struct sp_node *root, const struct sp_config *config);

/* derive.c: what follows from what was written; before sp_check_all */
void sp_config_derive(struct sp_reader *r, const struct sp_node *root, struct sp_config *config);

#endif
