/* Log lines as text: JSON objects and key=value. Every byte of a value that is not printable ASCII leaves
 * escaped, so nothing that a peer sends can begin a line of its own, hide in a terminal, or break a JSON
 * reader. Keys, events and words are literals of ours and go out as they are.
 *
 * Failure of the buffer is sticky there and is looked at by the caller. */
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "sallyport/base/text.h"
#include "sallyport/obs/log.h"

#include <inttypes.h>

static const char *const level_names[] = {
    [SP_LOG_DEBUG] = "debug", [SP_LOG_INFO] = "info", [SP_LOG_WARN] = "warn", [SP_LOG_ERROR] = "error"};

static bool is_plain(char c)
{
    return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/* Adds the bytes from `at` that need no escape; returns behind them. */
static size_t add_plain_run(struct sp_buf *out, struct sp_slice s, size_t at)
{
    size_t end = at;
    while (end < s.len && is_plain(s.ptr[end]))
        end++;
    sp_buf_add(out, s.ptr + at, end - at);
    return end;
}

static void add_json_unit(struct sp_buf *out, uint32_t unit)
{
    static const char digits[] = "0123456789abcdef";
    const char text[] = {'\\', 'u', digits[unit >> 12 & 15], digits[unit >> 8 & 15], digits[unit >> 4 & 15],
        digits[unit & 15]};
    sp_buf_add(out, text, sizeof(text));
}

/* One byte or sequence that needs an escape; returns its length. */
static size_t add_json_escape(struct sp_buf *out, struct sp_slice s)
{
    if (s.ptr[0] == '"' || s.ptr[0] == '\\') {
        const char text[] = {'\\', s.ptr[0]};
        sp_buf_add(out, text, sizeof(text));
        return 1;
    }
    uint32_t code = (uint8_t)s.ptr[0];
    size_t len = sp_utf8_take(s, &code);
    if (len == 4) {
        add_json_unit(out, 0xd800 + ((code - 0x10000) >> 10));
        add_json_unit(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
        return len;
    }
    add_json_unit(out, code);
    return len > 0 ? len : 1;
}

static size_t add_text_escape(struct sp_buf *out, struct sp_slice s)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t b = (uint8_t)s.ptr[0];
    if (b == '"' || b == '\\') {
        const char text[] = {'\\', (char)b};
        sp_buf_add(out, text, sizeof(text));
    } else {
        const char text[] = {'\\', 'x', digits[b >> 4], digits[b & 15]};
        sp_buf_add(out, text, sizeof(text));
    }
    return 1;
}

static bool needs_quotes(struct sp_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == ' ' || s.ptr[i] == '"' || s.ptr[i] == '=')
            return true;
    }
    return s.len == 0;
}

/* `cut` bytes of the value were left behind by the producer. */
static void add_string(struct sp_buf *out, enum sp_log_format format, struct sp_slice s, uint64_t cut)
{
    bool quotes = format == SP_LOG_JSON || (needs_quotes(s) && (s.len > 0 || cut == 0));
    if (quotes)
        sp_buf_add_char(out, '"');
    for (size_t at = 0; at < s.len;) {
        at = add_plain_run(out, s, at);
        if (at == s.len)
            break;
        struct sp_slice rest = sp_slice_sub(s, at, s.len);
        at += format == SP_LOG_JSON ? add_json_escape(out, rest) : add_text_escape(out, rest);
    }
    if (cut != 0)
        sp_buf_printf(out, "...[+%" PRIu64 "]", cut);
    if (quotes)
        sp_buf_add_char(out, '"');
}

void sp_log_add_json(struct sp_buf *out, struct sp_slice value)
{
    add_string(out, SP_LOG_JSON, value, 0);
}

/* By hand: printf costs more than the rest of a line together. At least `width` digits. */
static void add_number(struct sp_buf *out, uint64_t value, size_t width)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0 || sizeof(digits) - at < width);
    sp_buf_add(out, digits + at, sizeof(digits) - at);
}

static char *copy(char *at, const char *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

static void add_key(struct sp_buf *out, enum sp_log_format format, const char *key)
{
    bool json = format == SP_LOG_JSON;
    size_t key_len = strlen(key), len = key_len + (json ? 4 : 2);
    char *at = sp_buf_room(out, len);
    if (at == NULL) {
        out->failed = true;
        return;
    }
    at = json ? copy(at, ",\"", 2) : copy(at, " ", 1);
    at = copy(at, key, key_len);
    (void)(json ? copy(at, "\":", 2) : copy(at, "=", 1));
    out->len += len;
}

/* True if every byte of `w` is printable ASCII and neither '"' nor '\\'. A byte of x ^ c is zero where x is c; all terms are exact in
 * saying that *some* byte is odd (borrows only spread upwards from one that is). */
static bool is_plain_word(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t quote = w ^ (ones * '"'), backslash = w ^ (ones * '\\'), delete = w ^ (ones * 0x7f);
    uint64_t odd = (w - ones * 0x20) | (quote - ones) | (backslash - ones) | (delete - ones);
    return ((odd | w) & high) == 0;
}

static bool is_all_plain(struct sp_slice s)
{
    size_t at = 0;
    for (; at + 8 <= s.len; at += 8) {
        uint64_t w;
        memcpy(&w, s.ptr + at, 8);
        if (!is_plain_word(w))
            return false;
    }
    while (at < s.len && is_plain(s.ptr[at]))
        at++;
    return at == s.len;
}

/* Nearly all fields: a value that needs no escape goes to its place in one piece. False: nothing was added. */
static bool add_plain_json(struct sp_buf *out, const struct sp_log_field *f)
{
    struct sp_slice value = f->kind == SP_LOG_WORD ? sp_slice_of(f->str.ptr) : f->str;
    size_t key_len = strlen(f->key), len = key_len + value.len + 6;
    if (f->kind == SP_LOG_STR && f->u64 != 0)
        return false;
    char *at = is_all_plain(value) ? sp_buf_room(out, len) : NULL;
    if (at == NULL)
        return false;
    at = copy(at, ",\"", 2);
    at = copy(at, f->key, key_len);
    at = copy(at, "\":\"", 3);
    at = copy(at, value.ptr, value.len);
    *at = '"';
    out->len += len;
    return true;
}

static void add_field(struct sp_buf *out, enum sp_log_format format, const struct sp_log_field *f)
{
    bool is_string = f->kind == SP_LOG_STR || f->kind == SP_LOG_WORD;
    if (is_string && f->str.ptr == NULL)
        return;
    if (is_string && format == SP_LOG_JSON && add_plain_json(out, f))
        return;
    add_key(out, format, f->key);
    switch (f->kind) {
    case SP_LOG_STR:
        add_string(out, format, f->str, f->u64);
        break;
    case SP_LOG_WORD:
        add_string(out, format, sp_slice_of(f->str.ptr), 0);
        break;
    case SP_LOG_U64:
        add_number(out, f->u64, 1);
        break;
    case SP_LOG_MS:
        add_number(out, f->u64 / 1000, 1);
        sp_buf_add_char(out, '.');
        add_number(out, f->u64 % 1000, 3);
        break;
    }
}

/* Time, level and event: '{"time":"…","level":"warn","event":"refused"' or '… warn refused'. */
static void add_head(
    struct sp_buf *out, enum sp_log_format format, int level, int64_t wall_us, const char *event)
{
    char time[SP_RFC3339_MAX];
    const char *parts[] = {NULL, sp_time_rfc3339(wall_us, true, time), NULL, NULL, NULL, event};
    bool json = format == SP_LOG_JSON;
    parts[0] = json ? "{\"time\":\"" : "";
    if (level >= 0) {
        parts[2] = json ? "\",\"level\":\"" : " ";
        parts[3] = level_names[level];
    }
    parts[4] = json ? "\",\"event\":\"" : " ";
    for (size_t i = 0; i < SP_COUNTOF(parts); i++) {
        if (parts[i] != NULL)
            sp_buf_add_str(out, parts[i]);
    }
    if (json)
        sp_buf_add_char(out, '"');
}

void sp_log_format(struct sp_buf *out, enum sp_log_format format, int level, int64_t wall_us,
    const char *event, const struct sp_log_field *fields, size_t count)
{
    add_head(out, format, level, wall_us, event);
    for (size_t i = 0; i < count; i++)
        add_field(out, format, &fields[i]);
    sp_buf_add_str(out, format == SP_LOG_JSON ? "}\n" : "\n");
}
