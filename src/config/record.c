/* One line of a log back into its fields: the inverse of src/obs/format.c, for `explain --log`. A JSON object without
 * anything nested, or "time [level] event key=value ...". Strict where two readers could differ (a key twice, a lone
 * surrogate, something behind the end), since what is found here is acted on. Pure.
 *
 * Not read by libyaml, which takes JSON for YAML but refuses the pairs of surrogates that a name may well hold. */
#include "sallyport/config/cases.h"

/* The values of a line are 16 KiB at most (obs/log.h), and a byte of one is six when it is escaped. */
#define LINE_MAX_BYTES ((size_t)128 * 1024)
#define FIELDS_MAX     ((size_t)256)

struct reader {
    struct sp_slice line;
    size_t at;
    /* For the next value: what is read is never longer than what was written, so the line's length does for all. */
    char *room;
    struct sp_record_field *fields;
    size_t count;
    struct sp_err *err;
};

static enum sp_rc wrong(struct reader *r, const char *what)
{
    return sp_err_set(r->err, "%s at byte %zu of the line", what, r->at + 1);
}

static bool at_end(const struct reader *r)
{
    return r->at == r->line.len;
}

/* The byte here; 0 at the end (no line has one). */
static char peek(const struct reader *r)
{
    return at_end(r) ? '\0' : r->line.ptr[r->at];
}

static bool take(struct reader *r, char c)
{
    if (peek(r) != c || at_end(r))
        return false;
    r->at++;
    return true;
}

static void skip_blanks(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t')
        r->at++;
}

static enum sp_rc add_field(struct reader *r, struct sp_slice key, struct sp_slice value)
{
    for (size_t i = 0; i < r->count; i++) {
        if (sp_slice_equal(r->fields[i].key, key))
            return sp_err_set(r->err, "the line says \"%.*s\" twice", SP_FMT(key));
    }
    if (r->count == FIELDS_MAX)
        return sp_err_set(r->err, "more than %zu fields in one line", FIELDS_MAX);
    r->fields[r->count++] = (struct sp_record_field){key, value};
    return SP_OK;
}

static bool take_hex(struct reader *r, unsigned digits, uint32_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < digits; i++, r->at++) {
        char c = sp_lower(peek(r));
        if (!sp_is_digit(c) && (c < 'a' || c > 'f'))
            return false;
        *out = *out << 4 | (uint32_t)(sp_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    return true;
}

/* ---- JSON ---- */

/* Returns the length of `code` in UTF-8, written to `out`. */
static size_t put_utf8(uint32_t code, char out[4])
{
    static const uint32_t ENDS[] = {0x80, 0x800, 0x10000, 0x110000};
    static const uint8_t LEADS[] = {0x00, 0xc0, 0xe0, 0xf0};
    size_t len = 1;

    while (code >= ENDS[len - 1])
        len++;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(LEADS[len - 1] | code);
    return len;
}

/* Behind "\u". A character beyond the first 65536 is two of them. */
static bool take_unicode(struct reader *r, uint32_t *code)
{
    uint32_t low;

    if (!take_hex(r, 4, code))
        return false;
    if (*code < 0xd800 || *code > 0xdfff)
        return true;
    if (*code > 0xdbff || !take(r, '\\') || !take(r, 'u') || !take_hex(r, 4, &low) || low < 0xdc00 ||
        low > 0xdfff)
        return false;
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* Behind a backslash. Returns how many bytes it stands for; 0: it is no escape. */
static size_t take_json_escape(struct reader *r, char out[4])
{
    static const char NAMES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    uint32_t code = 0;
    char c = peek(r);
    const char *name = c != '\0' ? strchr(NAMES, c) : NULL;

    r->at += at_end(r) ? 0 : 1;
    if (name != NULL) {
        out[0] = MEANT[name - NAMES];
        return 1;
    }
    return c == 'u' && take_unicode(r, &code) ? put_utf8(code, out) : 0;
}

static enum sp_rc take_json_string(struct reader *r, struct sp_slice *out)
{
    char *text = r->room;
    size_t len = 0;

    if (!take(r, '"'))
        return wrong(r, "expected a string");
    while (!take(r, '"')) {
        unsigned char c = (unsigned char)peek(r);
        if (at_end(r))
            return wrong(r, "a string without its end");
        if (c < 0x20)
            return wrong(r, "a control character");
        r->at++;
        if (c != '\\') {
            text[len++] = (char)c;
            continue;
        }
        size_t more = take_json_escape(r, text + len);
        if (more == 0)
            return wrong(r, "an escape that JSON does not have");
        len += more;
    }
    *out = (struct sp_slice){text, len};
    r->room += len;
    return SP_OK;
}

/* A number, true, false or null, as it is written. */
static enum sp_rc take_json_word(struct reader *r, struct sp_slice *out)
{
    size_t start = r->at;

    while (sp_is_digit(peek(r)) || (sp_lower(peek(r)) >= 'a' && sp_lower(peek(r)) <= 'z') || peek(r) == '-' ||
           peek(r) == '+' || peek(r) == '.')
        r->at++;
    if (r->at == start)
        return wrong(r, peek(r) == '{' || peek(r) == '[' ? "something nested, which no line of ours has"
                                                         : "expected a value");
    *out = sp_slice_sub(r->line, start, r->at);
    return SP_OK;
}

static enum sp_rc take_json_field(struct reader *r)
{
    struct sp_slice key, value;

    skip_blanks(r);
    if (take_json_string(r, &key) != SP_OK)
        return SP_FAIL;
    skip_blanks(r);
    if (!take(r, ':'))
        return wrong(r, "expected ':'");
    skip_blanks(r);
    if ((peek(r) == '"' ? take_json_string(r, &value) : take_json_word(r, &value)) != SP_OK)
        return SP_FAIL;
    skip_blanks(r);
    return add_field(r, key, value);
}

static enum sp_rc take_json(struct reader *r)
{
    (void)take(r, '{');
    skip_blanks(r);
    if (!take(r, '}')) {
        do {
            if (take_json_field(r) != SP_OK)
                return SP_FAIL;
        } while (take(r, ','));
        if (!take(r, '}'))
            return wrong(r, "expected ',' or '}'");
    }
    skip_blanks(r);
    return at_end(r) ? SP_OK : wrong(r, "something behind the object");
}

/* ---- text ---- */

/* Behind a backslash: \" \\ or \xHH. */
static bool take_text_escape(struct reader *r, char *out)
{
    uint32_t byte = 0;
    char c = peek(r);

    r->at += at_end(r) ? 0 : 1;
    if (c == 'x' && !take_hex(r, 2, &byte))
        return false;
    *out = c == 'x' ? (char)byte : c;
    return c == 'x' || c == '"' || c == '\\';
}

/* Up to a blank, or in quotes. */
static enum sp_rc take_text_value(struct reader *r, struct sp_slice *out)
{
    bool quoted = take(r, '"');
    char *text = r->room;
    size_t len = 0;

    while (!at_end(r) && peek(r) != (quoted ? '"' : ' ')) {
        unsigned char c = (unsigned char)r->line.ptr[r->at++];
        if (c < 0x20 || (c == '"' && !quoted))
            return wrong(r, "a byte that no value of ours holds");
        if (c == '\\' && !take_text_escape(r, (char *)&c))
            return wrong(r, "an escape that no line of ours has");
        text[len++] = (char)c;
    }
    if (quoted && !take(r, '"'))
        return wrong(r, "a value without its closing quote");
    *out = (struct sp_slice){text, len};
    r->room += len;
    return SP_OK;
}

/* A run of what stands in keys and in the words at the front. */
static struct sp_slice take_word(struct reader *r)
{
    size_t start = r->at;

    while (!at_end(r) && peek(r) > ' ' && peek(r) < 0x7f && peek(r) != '=' && peek(r) != '"')
        r->at++;
    return sp_slice_sub(r->line, start, r->at);
}

/* "time event" of an access record, "time level event" of the others. */
static enum sp_rc add_words(struct reader *r, const struct sp_slice words[3], size_t count)
{
    static const struct sp_slice NAMES[] = {{"time", 4}, {"level", 5}, {"event", 5}};

    if (count < 2)
        return sp_err_set(r->err, "expected a line that begins with a time and what happened");
    for (size_t i = 0; i < count; i++) {
        size_t name = i > 0 && count == 2 ? 2 : i;
        if (add_field(r, NAMES[name], words[i]) != SP_OK)
            return SP_FAIL;
    }
    return SP_OK;
}

static enum sp_rc take_text(struct reader *r)
{
    struct sp_slice words[3], value;
    size_t count = 0;
    bool in_words = true;

    do {
        struct sp_slice word = take_word(r);
        if (word.len == 0)
            return wrong(r, "expected key=value");
        bool is_key = take(r, '=');
        if (in_words && !is_key && count < SP_COUNTOF(words)) {
            words[count++] = word;
            continue;
        }
        if (!is_key)
            return wrong(r, "expected key=value");
        if (in_words && add_words(r, words, count) != SP_OK)
            return SP_FAIL;
        in_words = false;
        if (take_text_value(r, &value) != SP_OK || add_field(r, word, value) != SP_OK)
            return SP_FAIL;
    } while (take(r, ' '));
    if (!at_end(r))
        return wrong(r, "expected a blank");
    return in_words ? add_words(r, words, count) : SP_OK;
}

enum sp_rc sp_record_parse(struct sp_arena *arena, struct sp_slice line,
    const struct sp_record_field **fields, size_t *count, struct sp_err *err)
{
    struct reader r = {.line = line, .err = err};

    *fields = NULL;
    *count = 0;
    while (r.line.len > 0 && strchr(" \t\r\n", r.line.ptr[r.line.len - 1]) != NULL &&
           r.line.ptr[r.line.len - 1] != '\0')
        r.line.len--;
    if (r.line.len == 0)
        return sp_err_set(err, "the line is empty");
    if (r.line.len > LINE_MAX_BYTES)
        return sp_err_set(err, "the line is longer than 128 KiB");
    if (memchr(r.line.ptr, '\0', r.line.len) != NULL)
        return sp_err_set(err, "the line holds a NUL");
    r.fields = sp_arena_alloc(arena, FIELDS_MAX, sizeof(*r.fields));
    r.room = sp_arena_alloc(arena, r.line.len + 1, 1);
    if (r.fields == NULL || r.room == NULL)
        return sp_err_set(err, "out of memory");
    skip_blanks(&r);
    enum sp_rc rc = peek(&r) == '{' ? take_json(&r) : take_text(&r);
    if (rc != SP_OK)
        return SP_FAIL;
    *fields = r.fields;
    *count = r.count;
    return SP_OK;
}
