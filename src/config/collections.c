/* How many values are written: lists of sections, mappings of names, lists of words that are bits, and the few shapes
 * of their own (subject attributes, header fields, crl_stale). One row a type at the end of the file.
 * Invariant: an array is handed out with its count only when it was allocated whole; an element that could not be read
 * is zero in it, and the configuration is then not used. Elsewhere: single values (types.c), texts and lists of texts
 * (texts.c), the loop over a section's keys (table.c). */
#include "config/table.h"

#define VALUES_MAX 32 /* of one attribute */

/* ---- sections ---- */

static void read_section(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    void *inner = sp_key_field(key, base);

    if (key->section->at_offset != SP_NOWHERE)
        *(struct sp_pos *)(void *)((char *)inner + key->section->at_offset) = node->at;
    sp_section_read(r, key->section, node, where, inner);
}

/* A struct of its own, with a pointer to it: NULL says that it was not written. */
static void read_optional(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    void *inner = sp_reader_alloc(r, 1, key->section->size);

    if (inner == NULL)
        return;
    if (key->section->at_offset != SP_NOWHERE)
        *(struct sp_pos *)(void *)((char *)inner + key->section->at_offset) = node->at;
    sp_section_read(r, key->section, node, where, inner);
    *(void **)sp_key_field(key, base) = inner;
}

/* A section, or, in short, the list that is its first key. */
static void read_short(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    void *inner = sp_key_field(key, base);

    if (node->kind == SP_NODE_LIST)
        sp_key_read(r, &key->section->keys[0], node, where, inner);
    else if (node->kind == SP_NODE_MAP)
        sp_section_read(r, key->section, node, where, inner);
    else
        sp_report_expected(r, where, node, key->type->expected);
}

static void read_element(struct sp_reader *r, const struct sp_section *section, const struct sp_node *node,
    const struct sp_where *where, struct sp_pos at, void *element)
{
    if (section->at_offset != SP_NOWHERE)
        *(struct sp_pos *)(void *)((char *)element + section->at_offset) = at;
    if (section->keys[0].name == NULL)
        sp_key_read(r, &section->keys[0], node, where, element);
    else if (node->kind == SP_NODE_MAP)
        sp_section_read(r, section, node, where, element);
    else if (node->kind != SP_NODE_BAD)
        sp_report_expected(r, where, node, "a mapping");
}

static void read_sections(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    const struct sp_section *section = key->section;
    char *elements = sp_reader_alloc(r, node->count, section->size);
    struct sp_where inner = {.up = where};

    if (elements == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next, inner.index++)
        read_element(r, section, n, &inner, n->at, elements + inner.index * section->size);
    *(void **)sp_key_field(key, base) = elements;
    *sp_key_count(key, base) = node->count;
}

static void read_named(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    const struct sp_section *section = key->section;
    char *elements = sp_reader_alloc(r, node->count, section->size);
    size_t i = 0;

    if (elements == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next, i++) {
        if (n->key.ptr == NULL)
            continue;
        struct sp_where inner = {.up = where, .key = n->key};
        char *element = elements + i * section->size;
        sp_check_name(r, n->key, n->key_at, &inner);
        *(const char **)(void *)(element + section->name_offset) = sp_reader_copy(r, n->key);
        read_element(r, section, n, &inner, n->key_at, element);
    }
    *(void **)sp_key_field(key, base) = elements;
    *sp_key_count(key, base) = node->count;
}

/* ---- lists of words ---- */

static void read_flags(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_where inner = {.up = where};
    unsigned flags = 0, flag = 0;

    for (const struct sp_node *n = node->first; n != NULL; n = n->next, inner.index++) {
        if (sp_want_scalar(r, n, &inner, "a word") && sp_read_word(r, key->words, n, &inner, &flag))
            flags |= flag;
    }
    *(unsigned *)sp_key_field(key, base) = flags;
}

/* ---- shapes of their own ---- */

/* One value, or a list of values that must all be there. Returns how many were added at `into`. */
static size_t read_attribute(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where,
    const char *type, struct sp_config_attr *into)
{
    static const char expected[] = "the attribute's value";
    const struct sp_node *n = node->kind == SP_NODE_LIST ? node->first : node;
    size_t values = node->kind == SP_NODE_LIST ? node->count : 1, count = 0;
    struct sp_where item = {.up = where};

    if (values == 0)
        sp_report_expected(r, where, node, "at least one value");
    for (; item.index < values; item.index++, n = n->next) {
        const struct sp_where *here = node->kind == SP_NODE_LIST ? &item : where;
        if (!sp_want_scalar(r, n, here, expected))
            continue;
        if (n->text.len == 0)
            sp_report_expected(r, here, n, expected);
        into[count++] = (struct sp_config_attr){type, sp_reader_copy(r, n->text)};
    }
    return count;
}

/* The same type and value twice asks for nothing more than once. */
static void report_twice(struct sp_reader *r, const struct sp_config_attr *attrs, size_t count,
    const struct sp_where *where, struct sp_pos at)
{
    char shown[SP_SHOWN_MAX];

    for (size_t i = 1; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (attrs[i].value == NULL || attrs[j].value == NULL ||
                strcmp(attrs[i].value, attrs[j].value) != 0)
                continue;
            sp_report(r, SP_DIAG_ERROR, where, at, "\"%s\" is given twice",
                sp_shown(sp_slice_of(attrs[i].value), shown));
            break;
        }
    }
}

static void read_subject(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    size_t room = 0, count = 0;

    for (const struct sp_node *n = node->first; n != NULL; n = n->next)
        room += n->kind == SP_NODE_LIST ? n->count : 1;
    struct sp_config_attr *attrs = sp_reader_alloc(r, room, sizeof(*attrs));
    if (attrs == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next) {
        if (n->key.ptr == NULL || n->kind == SP_NODE_BAD)
            continue;
        struct sp_where inner = {.up = where, .key = n->key};
        if (!sp_is_attribute(n->key))
            sp_report(r, SP_DIAG_ERROR, &inner, n->key_at,
                "not an attribute's type; expected one such as CN, O or OU, or a dotted OID");
        if (n->kind == SP_NODE_LIST && n->count > VALUES_MAX) {
            sp_report(r, SP_DIAG_ERROR, &inner, n->at, "expected at most %d values, found %zu", VALUES_MAX,
                n->count);
            continue;
        }
        size_t added = read_attribute(r, n, &inner, sp_reader_copy(r, n->key), attrs + count);
        report_twice(r, attrs + count, added, &inner, n->at);
        count += added;
    }
    *(const struct sp_config_attr **)sp_key_field(key, base) = attrs;
    *sp_key_count(key, base) = count;
}

/* Names of header fields, each with a text. Two that differ in case alone are the same field. */
static void read_headers(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    const struct sp_text *names = sp_type_field_name.text, *values = sp_type_field_value.text;
    struct sp_config_header *headers = sp_reader_alloc(r, node->count, sizeof(*headers));
    size_t count = 0;

    if (headers == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next) {
        struct sp_where inner = {.up = where, .key = n->key};
        struct sp_config_header *h = &headers[count];
        if (n->key.ptr == NULL || !sp_want_scalar(r, n, &inner, values->expected))
            continue;
        h->at = n->key_at;
        if (!names->keep(r, n->key, &h->name))
            sp_report(r, SP_DIAG_ERROR, &inner, n->key_at, "expected %s", names->expected);
        if (n->text.len == 0 || !values->keep(r, n->text, &h->value))
            sp_report_expected(r, &inner, n, values->expected);
        for (size_t i = 0; i < count && h->name != NULL; i++) {
            if (headers[i].name != NULL && sp_same_field(headers[i].name, h->name))
                sp_report(r, SP_DIAG_ERROR, &inner, n->key_at, "the field is given twice; first on line %u",
                    headers[i].at.line);
        }
        count++;
    }
    *(const struct sp_config_header **)sp_key_field(key, base) = headers;
    *sp_key_count(key, base) = count;
}

/* reject | accept | {grace: 24h} */
static void read_crl_stale(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_config_client_auth *auth =
        (void *)((char *)sp_key_field(key, base) - offsetof(struct sp_config_client_auth, crl_stale));

    if (node->kind == SP_NODE_MAP) {
        auth->crl_stale = SP_CRL_STALE_GRACE;
        sp_section_read(r, key->section, node, where, auth);
    } else if (node->kind == SP_NODE_SCALAR && sp_slice_equal(node->text, SP_SLICE("reject"))) {
        auth->crl_stale = SP_CRL_STALE_REJECT;
    } else if (node->kind == SP_NODE_SCALAR && sp_slice_equal(node->text, SP_SLICE("accept"))) {
        auth->crl_stale = SP_CRL_STALE_ACCEPT;
    } else {
        sp_report_expected(r, where, node, key->type->expected);
    }
}

/* clang-format off */
const struct sp_type
/*  name                  label                                expected                          wants           reader            bounds
 */
    sp_type_section     = {"section",                          "a mapping",                      SP_NODE_MAP,    read_section,     NULL, NULL, false, false},
    sp_type_optional    = {"section",                          "a mapping",                      SP_NODE_MAP,    read_optional,    NULL, NULL, false, false},
    sp_type_sections    = {"list of sections",                 "a list of mappings",             SP_NODE_LIST,   read_sections,    sp_print_length, NULL, false, false},
    sp_type_named       = {"names, each with its section",     "a mapping of names",             SP_NODE_MAP,    read_named,       sp_print_length, NULL, false, false},
    sp_type_short       = {NULL,                               "a list of mappings, or a mapping with match", SP_NODE_ANY, read_short, NULL, NULL, false, false},
    sp_type_flags       = {"list of",                          "a list of words",                SP_NODE_LIST,   read_flags,       NULL, NULL, false, false},
    sp_type_subject     = {"attributes, each with a value or list of values",      "a mapping of attributes such as {CN: name}", SP_NODE_MAP, read_subject, NULL, NULL, false, false},
    sp_type_headers     = {"field names, each with its text",  "a mapping of header fields",     SP_NODE_MAP,    read_headers,     sp_print_length, NULL, false, false},
    sp_type_crl_stale   = {"`reject`, `accept` or `{grace: duration}`", "reject, accept or {grace: 24h}", SP_NODE_ANY, read_crl_stale, NULL, NULL, false, false};
/* clang-format on */
