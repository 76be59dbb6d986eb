/* How one value is written: numbers with units, words, names, files, addresses. One row a type at the end of
 * the file. Invariant: a reader writes its field only when the value is right in full. Elsewhere: texts and lists of
 * them (texts.c); other lists and mappings (collections.c). */
#include <limits.h>
#include <stdio.h>

#include "config/table.h"
#include "sallyport/base/text.h"

#define NAME_MAX_BYTES 64
#define HOST_MAX_BYTES 253
#define URL_MAX_BYTES  2048

/* ---- numbers ---- */

char *sp_format_size(uint64_t bytes, char out[SP_SIZE_TEXT])
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB"};
    size_t unit = 0;

    while (unit + 1 < SP_COUNTOF(units) && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(out, SP_SIZE_TEXT, "%llu%s", (unsigned long long)bytes, units[unit]);
    return out;
}

static void print_count_bounds(const struct sp_key *key, struct sp_buf *out)
{
    sp_buf_printf(out, "%llu to %llu", (unsigned long long)key->min, (unsigned long long)key->max);
}

static void print_duration_bounds(const struct sp_key *key, struct sp_buf *out)
{
    char min[SP_DURATION_MAX], max[SP_DURATION_MAX];
    sp_buf_printf(
        out, "%s to %s", sp_format_duration_ms(key->min, min), sp_format_duration_ms(key->max, max));
}

static void print_size_bounds(const struct sp_key *key, struct sp_buf *out)
{
    char min[SP_SIZE_TEXT], max[SP_SIZE_TEXT];
    if (key->max == 0)
        sp_buf_printf(out, "at least %s", sp_format_size(key->min, min));
    else
        sp_buf_printf(out, "%s to %s", sp_format_size(key->min, min), sp_format_size(key->max, max));
}

static bool read_number(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, bool (*parse)(struct sp_slice s, uint64_t *out), uint64_t *out)
{
    char shown[SP_SHOWN_MAX];

    if (!parse(node->text, out)) {
        sp_report_expected(r, where, node, key->type->expected);
        return false;
    }
    if (*out >= key->min && (key->max == 0 || *out <= key->max))
        return true;
    struct sp_buf bounds;
    sp_buf_init(&bounds, 0);
    key->type->print_bounds(key, &bounds);
    sp_report(r, SP_DIAG_ERROR, where, node->at, "%s is out of bounds (%.*s)", sp_shown(node->text, shown),
        (int)bounds.len, bounds.len > 0 ? bounds.ptr : "");
    sp_buf_free(&bounds);
    return false;
}

static void read_count(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    uint64_t value = 0;
    if (read_number(r, key, node, where, sp_parse_u64, &value))
        *(unsigned *)sp_key_field(key, base) = (unsigned)value;
}

/* "auto" is kept as 0 until the configuration is finished (load.c). */
static void read_threads(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    if (!sp_slice_equal(node->text, SP_SLICE("auto")))
        read_count(r, key, node, where, base);
}

static void read_duration(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    uint64_t value = 0;
    if (read_number(r, key, node, where, sp_parse_duration_ms, &value))
        *(uint64_t *)sp_key_field(key, base) = value;
}

static void read_size(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    uint64_t value = 0;
    if (read_number(r, key, node, where, sp_parse_size, &value))
        *(unsigned *)sp_key_field(key, base) = (unsigned)value;
}

static void read_bytes(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    uint64_t value = 0;
    if (read_number(r, key, node, where, sp_parse_size, &value))
        *(uint64_t *)sp_key_field(key, base) = value;
}

static void read_body_size(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    if (!sp_slice_equal(node->text, SP_SLICE("unlimited"))) /* kept as 0 */
        read_bytes(r, key, node, where, base);
}

/* ---- words ---- */

static void read_choice(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    unsigned value = 0;
    if (sp_read_word(r, key->words, node, where, &value) && key->offset != SP_NOWHERE)
        memcpy(sp_key_field(key, base), &value,
            sizeof(value)); /* an int, an unsigned or an enum: all of that size */
}

bool sp_read_word(struct sp_reader *r, const struct sp_word *words, const struct sp_node *node,
    const struct sp_where *where, unsigned *value)
{
    struct sp_buf known;
    size_t count = 0;

    for (; words[count].word != NULL; count++) {
        if (sp_slice_equal(node->text, sp_slice_of(words[count].word))) {
            *value = words[count].value;
            return true;
        }
    }
    sp_buf_init(&known, 0);
    for (size_t i = 0; i < count; i++)
        sp_buf_printf(&known, "%s%s", i == 0 ? "" : (i + 1 == count ? " or " : ", "), words[i].word);
    (void)sp_buf_add_char(&known, '\0');
    sp_report_expected(r, where, node, known.failed ? "another word" : known.ptr);
    sp_buf_free(&known);
    return false;
}

void sp_check_name(struct sp_reader *r, struct sp_slice text, struct sp_pos at, const struct sp_where *where)
{
    static const char wanted[] = "a name has letters, digits, '.', '_' and '-', at most 64 of them";
    char shown[SP_SHOWN_MAX];
    bool good = text.len > 0 && text.len <= NAME_MAX_BYTES;

    for (size_t i = 0; good && i < text.len; i++) {
        char c = text.ptr[i];
        good =
            sp_is_digit(c) || (sp_lower(c) >= 'a' && sp_lower(c) <= 'z') || c == '.' || c == '_' || c == '-';
    }
    if (!good)
        sp_report(r, SP_DIAG_ERROR, where, at, "\"%s\" is not a name; %s", sp_shown(text, shown), wanted);
}

/* A name that is no name is kept all the same, so that what refers to it is not reported as well. */
static void read_name(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    sp_check_name(r, node->text, node->at, where);
    *(const char **)sp_key_field(key, base) = sp_reader_copy(r, node->text);
}

static void read_reference(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    *(const char **)sp_key_field(key, base) = sp_reader_copy(r, node->text);
    *(struct sp_pos *)(void *)((char *)base + key->extra) = node->at;
    (void)where;
}

/* A word that means yes or no. */
static void read_flag(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    unsigned value = 0;
    if (sp_read_word(r, key->words, node, where, &value))
        *(bool *)sp_key_field(key, base) = value != 0;
}

/* "off" is kept as 0. */
static void read_percent(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    if (!sp_slice_equal(node->text, SP_SLICE("off")))
        read_count(r, key, node, where, base);
}

/* "100/s": so many a second, a minute or an hour. */
static bool parse_rate(struct sp_slice text, struct sp_config_rate *out)
{
    static const struct {
        struct sp_slice ending;
        uint64_t ms;
    } periods[] = {{{"/s", 2}, 1000}, {{"/m", 2}, 60 * 1000}, {{"/h", 2}, 60 * 60 * 1000}};
    uint64_t requests = 0;

    for (size_t i = 0; i < SP_COUNTOF(periods); i++) {
        if (text.len < 2 || !sp_slice_equal(sp_slice_sub(text, text.len - 2, text.len), periods[i].ending) ||
            !sp_parse_u64(sp_slice_sub(text, 0, text.len - 2), &requests) || requests > UINT_MAX)
            continue;
        *out = (struct sp_config_rate){(unsigned)requests, periods[i].ms};
        return true;
    }
    return false;
}

static void read_rate(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_config_rate rate;
    char shown[SP_SHOWN_MAX];

    if (key->type == &sp_type_rate_or_off && sp_slice_equal(node->text, SP_SLICE("off")))
        return; /* kept as 0 */
    if (!parse_rate(node->text, &rate))
        sp_report_expected(r, where, node, key->type->expected);
    else if (rate.requests < key->min || rate.requests > key->max)
        sp_report(r, SP_DIAG_ERROR, where, node->at, "%s is out of bounds (%llu to %llu)",
            sp_shown(node->text, shown), (unsigned long long)key->min, (unsigned long long)key->max);
    else
        *(struct sp_config_rate *)sp_key_field(key, base) = rate;
}

/* Scheme, host, and nothing that a URL may not hold. What a library would take beyond that (user, fragment) has no
 * business in a configuration. */
bool sp_url_is_valid(struct sp_slice text)
{
    size_t host = sp_slice_starts(text, SP_SLICE("http://"))    ? 7
                  : sp_slice_starts(text, SP_SLICE("https://")) ? 8
                                                                : text.len;
    if (host >= text.len || text.len > URL_MAX_BYTES || text.ptr[host] == '/' || text.ptr[host] == ':')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7F || strchr("\"<>\\^`{|}#@", text.ptr[i]) != NULL)
            return false;
    }
    return true;
}

static void read_url(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    bool word = key->words != NULL && sp_slice_equal(node->text, sp_slice_of(key->words[0].word));
    if (word || sp_url_is_valid(node->text))
        *(const char **)sp_key_field(key, base) = sp_reader_copy(r, node->text);
    else
        sp_report_expected(
            r, where, node, key->words != NULL ? "auto or an http:// or https:// URL" : key->type->expected);
}

/* ---- files ---- */

const char *sp_anchor_path(struct sp_reader *r, const char *prefix, struct sp_slice path)
{
    struct sp_slice folder = path.len > 0 && path.ptr[0] == '/' ? (struct sp_slice){"", 0} : r->folder;
    const char *anchored = sp_arena_printf(r->arena, "%s%.*s%.*s", prefix, SP_FMT(folder), SP_FMT(path));
    if (anchored == NULL)
        sp_report_no_memory(r);
    return anchored;
}

const char *sp_read_path(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where)
{
    if (node->text.len == 0) {
        sp_report_expected(r, where, node, "a path");
        return NULL;
    }
    return sp_anchor_path(r, "", node->text);
}

static void read_path(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    *(const char **)sp_key_field(key, base) = sp_read_path(r, node, where);
}

static void read_output(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    for (const struct sp_word *w = key->words; w->word != NULL; w++) {
        if (sp_slice_equal(node->text, sp_slice_of(w->word))) {
            *(const char **)sp_key_field(key, base) = w->word;
            return;
        }
    }
    read_path(r, key, node, where, base);
}

/* ---- addresses ---- */

/* A host name, and not a mistyped IPv4 address: its last label is not a number. */
bool sp_is_host_name(struct sp_slice host)
{
    size_t label = 0;
    bool digits = true;

    if (host.len == 0 || host.len > HOST_MAX_BYTES)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool is_word = sp_is_digit(c) || (sp_lower(c) >= 'a' && sp_lower(c) <= 'z') || c == '_' || c == '-';
        if (c == '.' && label > 0) {
            label = 0;
            digits = true;
        } else if (is_word && ++label <= 63) {
            digits = digits && sp_is_digit(c);
        } else {
            return false;
        }
    }
    return label > 0 && !digits;
}

bool sp_read_address(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where,
    bool name_ok, const char **text, struct sp_addr *out)
{
    static const struct sp_slice prefix = {"unix:", 5};
    struct sp_err err = {0};
    struct sp_slice host = {NULL, 0};
    uint16_t port = 0;

    *text = sp_slice_starts(node->text, prefix) && node->text.len > prefix.len &&
                    node->text.ptr[prefix.len] != '@'
                ? sp_anchor_path(r, prefix.ptr, sp_slice_sub(node->text, prefix.len, node->text.len))
                : sp_reader_copy(r, node->text);
    if (*text == NULL)
        return false;
    if (name_ok && sp_addr_split(node->text, false, &host, &port) && sp_is_host_name(host)) {
        *out = (struct sp_addr){.len = 0};
        return true;
    }
    if (sp_addr_parse(sp_slice_of(*text), out, &err) == SP_OK)
        return true;
    sp_report(r, SP_DIAG_ERROR, where, node->at, "%s", err.text);
    return false;
}

static void read_address(struct sp_reader *r, const struct sp_key *key, const struct sp_node *node,
    const struct sp_where *where, void *base)
{
    struct sp_addr address;
    const char *text = NULL;

    if (!sp_read_address(r, node, where, false, &text, &address))
        return;
    *(struct sp_addr *)sp_key_field(key, base) = address;
    *(const char **)(void *)((char *)base + key->extra) = text;
}

/* clang-format off */
const struct sp_type
/*  name                  label                              expected                                             wants           reader             bounds
 */
    sp_type_threads     = {"`auto` or whole number",         "auto or a whole number",                            SP_NODE_SCALAR, read_threads,      print_count_bounds, NULL, false, false},
    sp_type_count       = {"whole number",                   "a whole number",                                    SP_NODE_SCALAR, read_count,        print_count_bounds, NULL, false, false},
    sp_type_duration    = {"duration",                       "a duration such as 30s",                            SP_NODE_SCALAR, read_duration,     print_duration_bounds, NULL, false, false},
    sp_type_size        = {"size",                           "a size such as 16KiB",                              SP_NODE_SCALAR, read_size,         print_size_bounds, NULL, false, false},
    sp_type_body_size   = {"`unlimited` or size",            "unlimited or a size such as 64MiB",                 SP_NODE_SCALAR, read_body_size,    print_size_bounds, NULL, false, false},
    sp_type_bytes       = {"size",                           "a size such as 64MiB",                              SP_NODE_SCALAR, read_bytes,        print_size_bounds, NULL, false, false},
    sp_type_choice      = {"one of",                         "a word",                                            SP_NODE_SCALAR, read_choice,       NULL, NULL, false, false},
    sp_type_name        = {"name",                           "a name",                                            SP_NODE_SCALAR, read_name,         NULL, NULL, false, false},
    sp_type_reference   = {"name",                           "a name",                                            SP_NODE_SCALAR, read_reference,    NULL, NULL, false, false},
    sp_type_path        = {"path",                           "a path",                                            SP_NODE_SCALAR, read_path,         NULL, NULL, false, false},
    sp_type_output      = {"path or",                        "a word or a path",                                  SP_NODE_SCALAR, read_output,       NULL, NULL, false, false},
    sp_type_address     = {"address",                        "an address such as 192.0.2.1:443, [::]:443 or unix:/path", SP_NODE_SCALAR, read_address, NULL, NULL, false, false},
    sp_type_flag        = {"one of",                         "a word",                                            SP_NODE_SCALAR, read_flag,         NULL, NULL, false, false},
    sp_type_percent     = {"`off` or whole number",          "off or a whole number",                             SP_NODE_SCALAR, read_percent,      print_count_bounds, NULL, false, false},
    sp_type_url         = {"URL",                            "an http:// or https:// URL",                        SP_NODE_SCALAR, read_url,          NULL, NULL, false, false},
    sp_type_rate        = {"rate",                           "a rate such as 100/s, 30/m or 1000/h",              SP_NODE_SCALAR, read_rate,         print_count_bounds, NULL, false, false},
    sp_type_rate_or_off = {"`off` or rate",                  "off or a rate such as 100/s, 30/m or 1000/h",       SP_NODE_SCALAR, read_rate,         print_count_bounds, NULL, false, false};
/* clang-format on */
