/* How many values are written: lists of sections, mappings of names, lists of words, and the few shapes of
 * their own (endpoints, subject attributes, crl_stale). One row a type at the end of the file. Invariant: an
 * array is handed out with its count only when it was allocated whole; an element that could not be read is
 * zero in it, and the configuration is then not used. Elsewhere: single values (types.c), the loop over a
 * section's keys (table.c). */
#include "config/table.h"
#include "sallyport/base/text.h"

typedef bool read_item(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char **out);

static size_t *count_of(const struct sp_key *key, void *base)
{
    return (size_t *)(void *)((char *)base + key->extra);
}

static void print_length(const struct sp_key *key, struct sp_buf *out)
{
    if (key->max != 0)
        sp_buf_printf(
            out, "%llu to %llu entries", (unsigned long long)key->min, (unsigned long long)key->max);
    else if (key->min != 0)
        sp_buf_printf(out, "at least %llu", (unsigned long long)key->min);
}

/* A scalar inside a list or mapping; anything else is reported. */
static bool want_scalar(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char *expected)
{
    if (node->kind == SP_NODE_BAD)
        return false;
    if (node->kind == SP_NODE_SCALAR && (node->text.len > 0 || node->quoted))
        return true;
    sp_report_expected(r, where, node, expected);
    return false;
}

/* ---- sections ---- */

static void read_section(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    void *inner = sp_key_field(key, base);

    if (key->section->at_offset != SP_NOWHERE)
        *(struct sp_pos *)(void *)((char *)inner + key->section->at_offset) = node->at;
    sp_section_read(r, key->section, node, where, inner);
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
    *count_of(key, base) = node->count;
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
    *count_of(key, base) = node->count;
}

/* ---- lists of words ---- */

static void read_strings(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base, read_item *item)
{
    const char **items = sp_reader_alloc(r, node->count, sizeof(*items));
    struct sp_pos *at = sp_reader_alloc(r, node->count, sizeof(*at));
    struct sp_where inner = {.up = where};

    if (items == NULL || at == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next, inner.index++) {
        at[inner.index] = n->at;
        if (n->kind != SP_NODE_BAD && !item(r, n, &inner, &items[inner.index]))
            items[inner.index] = NULL;
    }
    *(struct sp_strings *)sp_key_field(key, base) = (struct sp_strings){items, at, node->count};
}

static bool path_item(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char **out)
{
    return want_scalar(r, node, where, "a path") && (*out = sp_read_path(r, node, where)) != NULL;
}

static bool reference_item(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char **out)
{
    return want_scalar(r, node, where, "a caller's name") && (*out = sp_reader_copy(r, node->text)) != NULL;
}

static bool method_item(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char **out)
{
    static const char expected[] = "a method in upper case such as GET";

    if (!want_scalar(r, node, where, expected))
        return false;
    bool good = node->text.len > 0 && node->text.len <= 32;
    for (size_t i = 0; good && i < node->text.len; i++) {
        char c = node->text.ptr[i];
        good =
            (c >= 'A' && c <= 'Z') || sp_is_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
    }
    if (!good) {
        sp_report_expected(r, where, node, expected);
        return false;
    }
    *out = sp_reader_copy(r, node->text);
    return *out != NULL;
}

static void read_paths(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    read_strings(r, key, node, where, base, path_item);
}

/* A URL stays as it is written until all keys are read (derive.c). */
static bool crl_item(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char **out)
{
    static const char expected[] = "a path or an http:// or https:// URL";

    if (!want_scalar(r, node, where, expected))
        return false;
    if (memmem(node->text.ptr, node->text.len, "://", 3) == NULL)
        return (*out = sp_read_path(r, node, where)) != NULL;
    if (!sp_url_is_valid(node->text)) {
        sp_report_expected(r, where, node, expected);
        return false;
    }
    *out = sp_reader_copy(r, node->text);
    return *out != NULL;
}

/* Kept in canonical form: lower case, no trailing dot. "*." may stand in front. */
static bool name_item(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char **out)
{
    static const char expected[] = "a host name such as api.example.com or *.example.com";

    if (!want_scalar(r, node, where, expected))
        return false;
    struct sp_slice name = node->text;
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    struct sp_slice host = sp_slice_starts(name, SP_SLICE("*.")) ? sp_slice_sub(name, 2, name.len) : name;
    if (!sp_is_host_name(host)) {
        sp_report_expected(r, where, node, expected);
        return false;
    }
    char *canonical = sp_arena_printf(r->arena, "%.*s", SP_FMT(name));
    if (canonical == NULL) {
        sp_report_no_memory(r);
        return false;
    }
    for (char *c = canonical; *c != '\0'; c++)
        *c = sp_lower(*c);
    *out = canonical;
    return true;
}

static void read_crls(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    read_strings(r, key, node, where, base, crl_item);
}

static void read_names(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    read_strings(r, key, node, where, base, name_item);
}

static void read_references(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    read_strings(r, key, node, where, base, reference_item);
}

static void read_methods(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    read_strings(r, key, node, where, base, method_item);
}

static void read_flags(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_where inner = {.up = where};
    unsigned flags = 0, flag = 0;

    for (const struct sp_node *n = node->first; n != NULL; n = n->next, inner.index++) {
        if (want_scalar(r, n, &inner, "a word") && sp_read_word(r, key->words, n, &inner, &flag))
            flags |= flag;
    }
    *(unsigned *)sp_key_field(key, base) = flags;
}

/* ---- shapes of their own ---- */

static void read_endpoints(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_config_endpoint *endpoints = sp_reader_alloc(r, node->count, sizeof(*endpoints));
    struct sp_where inner = {.up = where};

    if (endpoints == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next, inner.index++) {
        struct sp_config_endpoint *e = &endpoints[inner.index];
        e->at = n->at;
        if (!want_scalar(
                r, n, &inner, "an address such as 10.0.0.5:8080, backend.internal:8080 or unix:/path") ||
            !sp_read_address(r, n, &inner, true, &e->text, &e->address))
            continue;
        if (e->address.len != 0 && !sp_addr_is_unix(&e->address) && sp_addr_port(&e->address) == 0)
            sp_report(r, SP_DIAG_ERROR, &inner, n->at, "nothing can be connected to at port 0");
    }
    *(const struct sp_config_endpoint **)sp_key_field(key, base) = endpoints;
    *count_of(key, base) = node->count;
}

/* "CN", "emailAddress", "2.5.4.97" */
static bool is_attribute(struct sp_slice type)
{
    bool oid = type.len > 0 && sp_is_digit(type.ptr[0]), dot = true;

    if (type.len == 0 || type.len > 64)
        return false;
    for (size_t i = 0; i < type.len; i++) {
        char c = type.ptr[i];
        if (oid && (sp_is_digit(c) ? false : (c != '.' || dot)))
            return false;
        if (!oid && !sp_is_digit(c) && (sp_lower(c) < 'a' || sp_lower(c) > 'z'))
            return false;
        dot = c == '.';
    }
    return !oid || (!dot && memchr(type.ptr, '.', type.len) != NULL);
}

static void read_subject(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_config_attr *attrs = sp_reader_alloc(r, node->count, sizeof(*attrs));
    size_t count = 0;

    if (attrs == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next) {
        if (n->key.ptr == NULL)
            continue;
        struct sp_where inner = {.up = where, .key = n->key};
        if (!is_attribute(n->key))
            sp_report(r, SP_DIAG_ERROR, &inner, n->key_at,
                "not an attribute's type; expected one such as CN, O or OU, or a dotted OID");
        if (!want_scalar(r, n, &inner, "the attribute's value"))
            continue;
        if (n->text.len == 0)
            sp_report_expected(r, &inner, n, "the attribute's value");
        attrs[count++] = (struct sp_config_attr){sp_reader_copy(r, n->key), sp_reader_copy(r, n->text)};
    }
    *(const struct sp_config_attr **)sp_key_field(key, base) = attrs;
    *count_of(key, base) = count;
}

/* reject | accept | {grace: 24h} */
static void read_crl_stale(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_config_client_auth *auth = base;

    if (node->kind == SP_NODE_MAP) {
        auth->crl_stale = SP_CRL_STALE_GRACE;
        sp_section_read(r, key->section, node, where, base);
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
    sp_type_section     = {"section",                          "a mapping",                      SP_NODE_MAP,    read_section,     NULL},
    sp_type_sections    = {"list of sections",                 "a list of mappings",             SP_NODE_LIST,   read_sections,    print_length},
    sp_type_named       = {"names, each with its section",     "a mapping of names",             SP_NODE_MAP,    read_named,       print_length},
    sp_type_paths       = {"list of paths",                    "a list of paths",                SP_NODE_LIST,   read_paths,       print_length},
    sp_type_references  = {"list of names",                    "a list of names",                SP_NODE_LIST,   read_references,  print_length},
    sp_type_methods     = {"list of methods",                  "a list of methods",              SP_NODE_LIST,   read_methods,     print_length},
    sp_type_flags       = {"list of",                          "a list of words",                SP_NODE_LIST,   read_flags,       NULL},
    sp_type_endpoints   = {"list of addresses",                "a list of addresses",            SP_NODE_LIST,   read_endpoints,   print_length},
    sp_type_subject     = {"attributes and their values",      "a mapping of attributes such as {CN: name}", SP_NODE_MAP, read_subject, NULL},
    sp_type_crl_stale   = {"`reject`, `accept` or `{grace: duration}`", "reject, accept or {grace: 24h}", SP_NODE_ANY, read_crl_stale, NULL},
    sp_type_crls        = {"list of paths and URLs",           "a list of paths and URLs",       SP_NODE_LIST,   read_crls,        print_length},
    sp_type_names       = {"list of host names",               "a list of host names",           SP_NODE_LIST,   read_names,       print_length};
/* clang-format on */
