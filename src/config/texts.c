/* How one text is written that is kept as a string: patterns, digests, OIDs, methods and the like, each alone or in a
 * list. One row a kind of text, then one row a type. Why kinds apart from types: what a single one may say is then what
 * each of a list may. Invariant: a list's count is handed out only with its arrays; an element that could not be read is
 * NULL in it, and the configuration is then not used. Elsewhere: what patterns and blocks mean (room match), which
 * algorithms and purposes there are (room pki), which attributes (room policy). */
#include "config/table.h"
#include "sallyport/base/text.h"

#define SHA256_BYTES  32
#define SERIAL_MAX    20 /* bytes, RFC 5280 §4.1.2.2 */
#define OID_MAX       128
#define TYPE_MAX      64
#define METHOD_MAX    32
#define KEPT(r, text) ((*out = sp_reader_copy(r, text)), true)

static bool is_letter(char c)
{
    return sp_lower(c) >= 'a' && sp_lower(c) <= 'z';
}

/* Not empty, and nothing but letters, digits and these. */
static bool is_made_of(struct sp_slice text, const char *others)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!is_letter(c) && !sp_is_digit(c) && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return text.len > 0;
}

/* X.660: at least two numbers, none with a leading zero, the first at most 2. */
static bool is_oid(struct sp_slice text)
{
    bool dot = true, any_dot = false, zero = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' ? dot : !sp_is_digit(c) || zero)
            return false;
        zero = dot && c == '0';
        any_dot = any_dot || c == '.';
        dot = c == '.';
    }
    return any_dot && !dot && text.len <= OID_MAX && text.ptr[0] <= '2' && text.ptr[1] == '.';
}

bool sp_is_attribute(struct sp_slice type)
{
    return type.len <= TYPE_MAX && (is_oid(type) || (is_made_of(type, "") && !sp_is_digit(type.ptr[0])));
}

bool sp_same_field(const char *a, const char *b)
{
    while (*a != '\0' && sp_lower(*a) == sp_lower(*b)) {
        a++;
        b++;
    }
    return sp_lower(*a) == sp_lower(*b);
}

/* ---- kinds of text ---- */

static bool keep_pattern(struct sp_reader *r, struct sp_slice text, const char **out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7E)
            return false;
    }
    return text.len > 0 && KEPT(r, text);
}

/* A field's value arrives without blanks around it. */
static bool keep_field_value(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return text.len == 0 ? KEPT(r, text)
                         : text.ptr[0] != ' ' && text.ptr[text.len - 1] != ' ' && keep_pattern(r, text, out);
}

static bool keep_fingerprint(struct sp_reader *r, struct sp_slice text, const char **out)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];

    return sp_unhex(text, digest, sizeof(digest)) &&
           KEPT(r, sp_slice_of(sp_hex(digest, sizeof(digest), hex)));
}

/* As sp_identity has it: whole bytes in lower case, without zero bytes in front. Tools print it with colons, in either
 * case, and some without a leading zero digit. */
static bool keep_serial(struct sp_reader *r, struct sp_slice text, const char **out)
{
    static const char hex[] = "0123456789abcdef";
    char digits[2 * SERIAL_MAX + 2];
    size_t count = 0, pair = 0;
    bool colons = memchr(text.ptr, ':', text.len) != NULL;

    for (size_t i = 0; i < text.len; i++) {
        char c = sp_lower(text.ptr[i]);
        if (c == ':') {
            if (pair != 2 || i + 1 == text.len)
                return false;
            pair = 0;
            continue;
        }
        if (c == '\0' || strchr(hex, c) == NULL || (colons && pair++ == 2))
            return false;
        if (count == 1 && digits[0] == '0')
            count = 0; /* a zero in front says nothing */
        if (count == 2 * SERIAL_MAX)
            return false;
        digits[count++] = c;
    }
    if (count == 0 || (colons && pair != 2))
        return false;
    *out = sp_arena_printf(r->arena, "%s%.*s", count % 2 == 1 ? "0" : "", (int)count, digits);
    if (*out == NULL)
        sp_report_no_memory(r);
    return true;
}

static bool keep_oid(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return is_oid(text) && KEPT(r, text);
}

/* "10.0.0.0/8", "2001:db8::1": its letters only. */
static bool keep_block(struct sp_reader *r, struct sp_slice text, const char **out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\0' || strchr("0123456789abcdefABCDEF:./", text.ptr[i]) == NULL)
            return false;
    }
    return text.len > 0 && KEPT(r, text);
}

static bool keep_token(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return text.len <= 128 && is_made_of(text, "!#$%&'*+-.^_`|~") && KEPT(r, text);
}

static bool keep_method(struct sp_reader *r, struct sp_slice text, const char **out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] >= 'a' && text.ptr[i] <= 'z')
            return false;
    }
    return text.len <= METHOD_MAX && keep_token(r, text, out);
}

/* NCAId, ETSI TS 119 495 §5.2.3: a country and two to eight capitals. */
static bool keep_authority(struct sp_reader *r, struct sp_slice text, const char **out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (i == 2 ? text.ptr[i] != '-' : text.ptr[i] < 'A' || text.ptr[i] > 'Z')
            return false;
    }
    return text.len >= 5 && text.len <= 11 && KEPT(r, text);
}

static bool keep_per(struct sp_reader *r, struct sp_slice text, const char **out)
{
    static const char *const words[] = {"identity", "caller", "certificate", "uri", "dns", "email"};

    for (size_t i = 0; i < SP_COUNTOF(words); i++) {
        if (sp_slice_equal(text, sp_slice_of(words[i])))
            return KEPT(r, text);
    }
    struct sp_slice subject = SP_SLICE("subject.");
    return sp_slice_starts(text, subject) && sp_is_attribute(sp_slice_sub(text, subject.len, text.len)) &&
           KEPT(r, text);
}

static bool keep_path(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return text.len > 0 && ((*out = sp_anchor_path(r, "", text)), true);
}

/* A URL stays as it is written until all keys are read (derive.c). */
static bool keep_crl(struct sp_reader *r, struct sp_slice text, const char **out)
{
    if (memmem(text.ptr, text.len, "://", 3) == NULL)
        return keep_path(r, text, out);
    return sp_url_is_valid(text) && KEPT(r, text);
}

static bool keep_crl_file(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return memmem(text.ptr, text.len, "://", 3) == NULL && keep_path(r, text, out);
}

/* In canonical form: lower case, no trailing dot. "*." may stand in front. */
static bool keep_host(struct sp_reader *r, struct sp_slice text, const char **out)
{
    if (text.len > 1 && text.ptr[text.len - 1] == '.')
        text.len--;
    struct sp_slice host = sp_slice_starts(text, SP_SLICE("*.")) ? sp_slice_sub(text, 2, text.len) : text;
    if (!sp_is_host_name(host))
        return false;
    char *canonical = sp_arena_printf(r->arena, "%.*s", SP_FMT(text));
    if (canonical == NULL)
        sp_report_no_memory(r);
    for (char *c = canonical; c != NULL && *c != '\0'; c++)
        *c = sp_lower(*c);
    *out = canonical;
    return true;
}

/* What it refers to is looked up when all is read (references.c). */
static bool keep_any(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return KEPT(r, text);
}

static bool keep_key_type(struct sp_reader *r, struct sp_slice text, const char **out)
{
    static const char *const words[] = {"rsa", "ec", "ed25519", "ed448"};
    bool known = false;

    for (size_t i = 0; i < SP_COUNTOF(words); i++)
        known = known || sp_slice_equal(text, sp_slice_of(words[i]));
    return known && KEPT(r, text);
}

static bool keep_word_or_oid(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return text.len <= TYPE_MAX &&
           (is_oid(text) || (is_made_of(text, "-_./ ") && !sp_is_digit(text.ptr[0]))) && KEPT(r, text);
}

/* clang-format off */
static const struct sp_text
/*  kind         expected                                              keep */
    pattern     = {"a pattern of printable ASCII",                     keep_pattern},
    fingerprint = {"64 hex digits (SHA-256), with or without colons",  keep_fingerprint},
    serial      = {"a serial number in hex, with or without colons",   keep_serial},
    oid         = {"an OID such as 1.3.6.1.4.1.99999.1",               keep_oid},
    block       = {"an address or a block such as 10.0.0.0/8",         keep_block},
    field_name  = {"a header field's name such as X-Tenant",           keep_token},
    field_value = {"printable ASCII without blanks around it",         keep_field_value},
    authority   = {"an authority such as DE-BAFIN",                    keep_authority},
    per         = {"identity, caller, certificate, uri, dns, email or an attribute such as subject.OU", keep_per},
    path        = {"a path",                                           keep_path},
    crl         = {"a path or an http:// or https:// URL",             keep_crl},
    crl_file    = {"a path (URLs are fetched for listeners only)",     keep_crl_file},
    host        = {"a host name such as api.example.com or *.example.com", keep_host},
    caller      = {"a caller's name",                                  keep_any},
    listener    = {"a listener's name",                                keep_any},
    method      = {"a method in upper case such as GET",               keep_method},
    key_type    = {"rsa, ec, ed25519 or ed448",                        keep_key_type},
    algorithm   = {"a signature algorithm such as ecdsa-with-SHA256, or its OID", keep_word_or_oid},
    purpose     = {"a purpose such as clientAuth, or its OID",         keep_word_or_oid};
/* clang-format on */

/* ---- one, and many ---- */

bool sp_want_scalar(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, const char *expected)
{
    if (node->kind == SP_NODE_BAD)
        return false;
    if (node->kind == SP_NODE_SCALAR && (node->text.len > 0 || node->quoted))
        return true;
    sp_report_expected(r, where, node, expected);
    return false;
}

void sp_read_text(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    const char *kept = NULL;

    if (key->type->text->keep(r, node->text, &kept))
        *(const char **)sp_key_field(key, base) = kept;
    else
        sp_report_expected(r, where, node, key->type->text->expected);
}

/* With its place at `extra`. */
static void read_text_at(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    sp_read_text(r, key, node, where, base);
    *(struct sp_pos *)(void *)((char *)base + key->extra) = node->at;
}

static void report_twice(struct sp_reader *r, const struct sp_strings *list, const struct sp_where *where)
{
    struct sp_named_list names;
    struct sp_where item = {.up = where};
    char shown[SP_SHOWN_MAX];

    if (!sp_named_index(r, list->items, list->count, sizeof(list->items[0]), 0, &names))
        return;
    const struct sp_named *twice = NULL;
    for (size_t i = 0, first = 0; (twice = sp_named_twice(&names, &i, &first)) != NULL;) {
        item.index = twice->index;
        sp_report(r, SP_DIAG_ERROR, &item, list->at[twice->index], "\"%s\" is given twice; first on line %u",
            sp_shown(sp_slice_of(twice->name), shown), list->at[names.sorted[first].index].line);
    }
    sp_free(names.sorted);
}

void sp_read_texts(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    const struct sp_text *text = key->type->text;
    const char **items = sp_reader_alloc(r, node->count, sizeof(*items));
    struct sp_pos *at = sp_reader_alloc(r, node->count, sizeof(*at));
    struct sp_where inner = {.up = where};

    if (items == NULL || at == NULL)
        return;
    for (const struct sp_node *n = node->first; n != NULL; n = n->next, inner.index++) {
        const struct sp_where *here = node->bare ? where : &inner;
        const char *kept = NULL;
        at[inner.index] = n->at;
        if (!sp_want_scalar(r, n, here, text->expected))
            continue;
        if (text->keep(r, n->text, &kept))
            items[inner.index] = kept;
        else
            sp_report_expected(r, here, n, text->expected);
    }
    struct sp_strings list = {items, at, node->count};
    if (key->type->distinct && list.count > 1)
        report_twice(r, &list, where);
    *(struct sp_strings *)sp_key_field(key, base) = list;
}

void sp_print_length(const struct sp_key *key, struct sp_buf *out)
{
    if (key->max != 0)
        sp_buf_printf(
            out, "%llu to %llu entries", (unsigned long long)key->min, (unsigned long long)key->max);
    else if (key->min != 0)
        sp_buf_printf(out, "at least %llu", (unsigned long long)key->min);
}

/* clang-format off */
#define ONE(label, read, kind)                     {label, NULL, SP_NODE_SCALAR, read, NULL, &(kind), false, false}
#define MANY(label, expected, kind, one, distinct) {label, expected, SP_NODE_LIST, sp_read_texts, sp_print_length, &(kind), one, distinct}
const struct sp_type
/*  name                      label                           read          kind */
    sp_type_pattern     = ONE("pattern",                      sp_read_text, pattern),
    sp_type_pattern_at  = ONE("pattern",                      read_text_at, pattern),
    sp_type_fingerprint = ONE("64 hex digits",                sp_read_text, fingerprint),
    sp_type_serial      = ONE("hex digits",                   sp_read_text, serial),
    sp_type_oid         = ONE("OID",                          sp_read_text, oid),
    sp_type_block       = ONE("address block",                sp_read_text, block),
    sp_type_field_name  = ONE("field name",                   sp_read_text, field_name),
    sp_type_field_value = ONE("text",                         sp_read_text, field_value),
    sp_type_authority   = ONE("authority",                    sp_read_text, authority),
    sp_type_per         = ONE("`identity`, `caller`, `certificate`, `uri`, `dns`, `email` or `subject.` and an attribute", sp_read_text, per),
/*                                                            expected                                            kind       one    distinct */
    sp_type_paths       = MANY("list of paths",               "a list of paths",                                  path,      false, false),
    sp_type_crls        = MANY("list of paths and URLs",      "a list of paths and URLs",                         crl,       false, false),
    sp_type_crl_files   = MANY("list of paths",               "a list of paths",                                  crl_file,  false, false),
    sp_type_names       = MANY("list of host names",          "a list of host names",                             host,      false, false),
    sp_type_references  = MANY("list of names",               "a list of names",                                  caller,    false, true),
    sp_type_listeners   = MANY("name or list of names",       "a name or a list of names",                        listener,  true,  true),
    sp_type_field_names = MANY("list of field names",         "a list of header fields",                          field_name, false, false),
    sp_type_methods     = MANY("list of methods",             "a list of methods",                                method,    false, true),
    sp_type_patterns    = MANY("list of patterns",            "a list of patterns",                               pattern,   false, true),
    sp_type_blocks      = MANY("address block or list of them", "an address block or a list of them",             block,     true,  true),
    sp_type_oids        = MANY("list of OIDs",                "a list of OIDs",                                   oid,       false, true),
    sp_type_purposes    = MANY("list of names and OIDs",      "a list of purposes",                               purpose,   false, true),
    sp_type_algorithms  = MANY("list of names and OIDs",      "a list of signature algorithms",                   algorithm, false, true),
    sp_type_key_types   = MANY("list of `rsa`, `ec`, `ed25519`, `ed448`", "a list of key types",                  key_type,  false, true);
/* clang-format on */
