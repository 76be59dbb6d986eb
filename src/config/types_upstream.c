/* How the values of upstreams are written that nothing else has: endpoints, what is healthy, what a hash is made of, what
 * is repeated, and numbers that a word may stand for. One row a type at the end of the file. Invariant: as in types.c.
 * Elsewhere: single values of general use (types.c), texts kept as strings (texts.c, texts_forward.c). */
#include <stdio.h>

#include "config/table.h"
#include "sallyport/base/text.h"

#define STATUS_MIN 200 /* a final response's */
#define STATUS_MAX 599

/* ---- numbers that a word may stand for ---- */

/* A number, or `word` for 0. */
static void read_or(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base, struct sp_slice word, const struct sp_type *number)
{
    if (!sp_slice_equal(node->text, word))
        number->read(r, key, node, where, base);
}

static void read_duration_or_off(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    read_or(r, key, node, where, base, SP_SLICE("off"), &sp_type_duration);
}

static void read_count_or_unlimited(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    read_or(r, key, node, where, base, SP_SLICE("unlimited"), &sp_type_count);
}

static void print_bounds_of_duration(const struct sp_key *key, struct sp_buf *out)
{
    sp_type_duration.print_bounds(key, out);
}

static void print_bounds_of_count(const struct sp_key *key, struct sp_buf *out)
{
    sp_type_count.print_bounds(key, out);
}

/* ---- endpoints ---- */

/* "_api._tcp.corp.example": a service, a protocol, and where it is. */
static bool is_service(struct sp_slice name)
{
    const char *dot = name.len > 0 ? memchr(name.ptr, '.', name.len) : NULL;
    size_t second = dot != NULL ? (size_t)(dot - name.ptr) + 1 : name.len;
    struct sp_slice rest = sp_slice_sub(name, second, name.len);

    return sp_is_host_name(name) && name.ptr[0] == '_' && second > 2 && rest.len > 2 && rest.ptr[0] == '_' &&
           rest.ptr[1] != '.' && memchr(rest.ptr, '.', rest.len) != NULL;
}

static const char *copy_lower(struct sp_reader *r, struct sp_slice text)
{
    char *copy = sp_arena_printf(r->arena, "%.*s", SP_FMT(text));

    if (copy == NULL)
        sp_report_no_memory(r);
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        *c = sp_lower(*c);
    return copy;
}

/* An address that stands for its whole endpoint is told of at the endpoint. */
static void read_endpoint_address(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    static const struct sp_slice prefix = {"srv:", 4};
    struct sp_config_endpoint *e = base;
    const struct sp_where *here = node->bare ? where->up : where;
    struct sp_slice host = {NULL, 0};

    (void)key;
    if (sp_slice_starts(node->text, prefix)) {
        host = sp_slice_sub(node->text, prefix.len, node->text.len);
        if (!is_service(host)) {
            sp_report_expected(r, here, node, "a service such as srv:_api._tcp.corp.example");
            return;
        }
        e->is_srv = true;
        e->text = sp_reader_copy(r, node->text);
        e->host = copy_lower(r, host);
        return;
    }
    if (!sp_read_address(r, node, here, true, &e->text, &e->address))
        return;
    if (e->address.len == 0 && sp_addr_split(node->text, false, &host, &e->port))
        e->host = copy_lower(r, host);
    else if (!sp_addr_is_unix(&e->address) && sp_addr_port(&e->address) == 0)
        sp_report(r, SP_DIAG_ERROR, here, node->at, "nothing can be connected to at port 0");
}

/* Each an address, in short, or a section. */
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
        if (n->kind == SP_NODE_MAP) {
            sp_section_read(r, key->section, n, &inner, e);
            continue;
        }
        if (!sp_want_scalar(r, n, &inner,
                "an address such as 10.0.0.5:8080, backend.internal:8080 or unix:/path, or a mapping with one"))
            continue;
        struct sp_node address = *n;
        address.key = SP_SLICE("address");
        address.next = NULL;
        address.bare = true;
        struct sp_node section = {
            .kind = SP_NODE_MAP, .at = n->at, .first = &address, .last = &address, .count = 1};
        sp_section_read(r, key->section, &section, &inner, e);
    }
    *(const struct sp_config_endpoint **)sp_key_field(key, base) = endpoints;
    *sp_key_count(key, base) = node->count;
}

/* ---- how one of them is chosen ---- */

/* caller | address | header:X-Tenant */
static void read_hash_by(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    static const struct sp_slice prefix = {"header:", 7};
    struct sp_config_upstream *u = base;

    if (sp_slice_equal(node->text, SP_SLICE("caller"))) {
        u->hash_by = SP_HASH_CALLER;
    } else if (sp_slice_equal(node->text, SP_SLICE("address"))) {
        u->hash_by = SP_HASH_ADDRESS;
    } else if (sp_slice_starts(node->text, prefix) &&
               sp_type_field_name.text->keep(
                   r, sp_slice_sub(node->text, prefix.len, node->text.len), &u->hash_header)) {
        u->hash_by = SP_HASH_HEADER;
    } else {
        sp_report_expected(r, where, node, key->type->expected);
    }
}

/* ---- how it is ---- */

static bool parse_status(struct sp_slice text, unsigned *out)
{
    uint64_t value = 0;

    if (text.len != 3 || !sp_parse_u64(text, &value) || value < STATUS_MIN || value > STATUS_MAX)
        return false;
    *out = (unsigned)value;
    return true;
}

/* 200 | 200-299 */
static void read_status(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_config_health_check *check = base;
    unsigned min = 0, max = 0;
    struct sp_slice last =
        node->text.len == 7 && node->text.ptr[3] == '-' ? sp_slice_sub(node->text, 4, 7) : node->text;
    struct sp_slice first = last.ptr == node->text.ptr ? node->text : sp_slice_sub(node->text, 0, 3);

    if (!parse_status(first, &min) || !parse_status(last, &max) || min > max) {
        sp_report_expected(r, where, node, key->type->expected);
        return;
    }
    check->status_min = min;
    check->status_max = max;
}

/* A section, or "off": all of its fields are then 0. */
static void read_section_or_off(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    if (node->kind == SP_NODE_MAP)
        sp_section_read(r, key->section, node, where, sp_key_field(key, base));
    else if (node->kind != SP_NODE_SCALAR || !sp_slice_equal(node->text, SP_SLICE("off")))
        sp_report_expected(r, where, node, key->type->expected);
}

/* ---- what is tried again ---- */

/* A connection that never stood is always tried on the next endpoint: without it the list would promise what is not so. */
static void read_retry_on(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    enum { CONNECT = 1, RESET = 2 };
    static const struct sp_word words[] = {{"connect", CONNECT}, {"reset", RESET}, {NULL, 0}};
    struct sp_where inner = {.up = where};
    unsigned all = 0, one = 0;
    bool good = true;

    for (const struct sp_node *n = node->first; n != NULL; n = n->next, inner.index++) {
        if (sp_want_scalar(r, n, &inner, "a word") && sp_read_word(r, words, n, &inner, &one))
            all |= one;
        else
            good = false;
    }
    if (good && node->count > 0 && (all & CONNECT) == 0)
        sp_report(r, SP_DIAG_ERROR, where, node->at,
            "a failed connect is tried again wherever anything is; add connect, or say attempts: 1");
    *(bool *)sp_key_field(key, base) = (all & RESET) != 0;
}

/* clang-format off */
const struct sp_type
/*  name                         label                               expected                                       wants           reader                   bounds
 */
    sp_type_duration_or_off    = {"`off` or duration",               "off or a duration such as 30s",               SP_NODE_SCALAR, read_duration_or_off,    print_bounds_of_duration, NULL, false, false},
    sp_type_count_or_unlimited = {"`unlimited` or whole number",     "unlimited or a whole number",                 SP_NODE_SCALAR, read_count_or_unlimited, print_bounds_of_count, NULL, false, false},
    sp_type_endpoints          = {"list of addresses and sections",  "a list of addresses",                         SP_NODE_LIST,   read_endpoints,          sp_print_length, NULL, false, false},
    sp_type_endpoint_address   = {"address, `name:port` or `srv:` and a service", "an address such as 10.0.0.5:8080, backend.internal:8080 or unix:/path", SP_NODE_SCALAR, read_endpoint_address, NULL, NULL, false, false},
    sp_type_hash_by            = {"`caller`, `address` or `header:` and a field name", "caller, address or a header such as header:X-Tenant", SP_NODE_SCALAR, read_hash_by, NULL, NULL, false, false},
    sp_type_status             = {"status, or two of them with `-`", "a status of 200 to 599 or a range such as 200-299", SP_NODE_SCALAR, read_status,       NULL, NULL, false, false},
    sp_type_section_or_off     = {"`off` or section",                "off or a mapping",                            SP_NODE_ANY,    read_section_or_off,     NULL, NULL, false, false},
    sp_type_retry_on           = {"list of `connect`, `reset`",      "a list of words",                             SP_NODE_LIST,   read_retry_on,           sp_print_length, NULL, false, false};
/* clang-format on */
