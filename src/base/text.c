/* Numbers with units, hex, and the distance between two words. Nothing here depends on the locale. */
#include "sallyport/base/text.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
    struct sp_slice name;
    uint64_t factor;
};

/* Largest first: formatting takes the first that divides. */
static const struct unit duration_units[] = {
    {{"d", 1}, 86400000},
    {{"h", 1}, 3600000},
    {{"m", 1}, 60000},
    {{"s", 1}, 1000},
    {{"ms", 2}, 1},
};

static const struct unit size_units[] = {
    {{"", 0}, 1},
    {{"KiB", 3}, 1024},
    {{"MiB", 3}, 1024 * 1024},
    {{"GiB", 3}, 1024 * 1024 * 1024},
    {{"kB", 2}, 1000},
    {{"MB", 2}, 1000 * 1000},
    {{"GB", 2}, 1000 * 1000 * 1000},
};

bool sp_parse_u64(struct sp_slice s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!sp_is_digit(s.ptr[i]))
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

static bool parse_with_unit(struct sp_slice s, const struct unit *units, size_t count, uint64_t *out)
{
    size_t digits = 0;
    while (digits < s.len && sp_is_digit(s.ptr[digits]))
        digits++;
    uint64_t value = 0;
    if (!sp_parse_u64((struct sp_slice){s.ptr, digits}, &value))
        return false;
    struct sp_slice name = sp_slice_sub(s, digits, s.len);
    for (size_t i = 0; i < count; i++) {
        if (sp_slice_equal(name, units[i].name))
            return !__builtin_mul_overflow(value, units[i].factor, out);
    }
    return false;
}

bool sp_parse_duration_ms(struct sp_slice s, uint64_t *out)
{
    if (sp_slice_equal(s, SP_SLICE("0"))) {
        *out = 0;
        return true;
    }
    return parse_with_unit(s, duration_units, SP_COUNTOF(duration_units), out);
}

bool sp_parse_size(struct sp_slice s, uint64_t *out)
{
    return parse_with_unit(s, size_units, SP_COUNTOF(size_units), out);
}

char *sp_format_duration_ms(uint64_t ms, char out[SP_DURATION_MAX])
{
    if (ms == 0) {
        memcpy(out, "0", 2);
        return out;
    }
    const struct unit *unit = duration_units;
    while (ms % unit->factor != 0)
        unit++;
    char digits[20];
    size_t n = 0;
    for (uint64_t value = ms / unit->factor; value != 0; value /= 10)
        digits[n++] = (char)('0' + value % 10);
    char *p = out;
    while (n > 0)
        *p++ = digits[--n];
    memcpy(p, unit->name.ptr, unit->name.len + 1);
    return out;
}

char *sp_format_span_s(int64_t seconds, char out[SP_SPAN_MAX])
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } UNITS[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    uint64_t left = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
    size_t i = 0;
    while (i + 1 < SP_COUNTOF(UNITS) && left < UNITS[i].seconds)
        i++;
    uint64_t large = left / UNITS[i].seconds;
    left %= UNITS[i].seconds;
    /* beyond a month nobody counts hours */
    uint64_t small = i + 1 < SP_COUNTOF(UNITS) && !(i == 0 && large > 30) ? left / UNITS[i + 1].seconds : 0;
    int n = snprintf(out, SP_SPAN_MAX, "%" PRIu64 " %s", large, UNITS[i].name);
    if (small > 0)
        snprintf(out + n, SP_SPAN_MAX - (size_t)n, " %u %s", (unsigned)small, UNITS[i + 1].name);
    return out;
}

char *sp_hex(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = bytes;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * len] = '\0';
    return out;
}

static int hex_value(char c)
{
    if (sp_is_digit(c))
        return c - '0';
    c = sp_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sp_unhex(struct sp_slice s, uint8_t *out, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && at < s.len && s.ptr[at] == ':')
            at++;
        if (s.len - at < 2)
            return false;
        int high = hex_value(s.ptr[at]);
        int low = hex_value(s.ptr[at + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    return at == s.len;
}

/* 64: none of the alphabet. */
static uint32_t base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool sp_base64_decode(struct sp_slice s, char *out, size_t *len)
{
    size_t n = 0, padding = 0;

    if (s.len % 4 != 0)
        return false;
    while (padding < 2 && padding < s.len && s.ptr[s.len - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < s.len; i += 4) {
        uint32_t bits = 0;
        for (size_t j = i; j < i + 4; j++) {
            uint32_t value = j < s.len - padding ? base64_value(s.ptr[j]) : 0;
            if (value > 63)
                return false;
            bits = bits << 6 | value;
        }
        size_t bytes = i + 4 == s.len ? 3 - padding : 3;
        if ((bits & ((UINT32_C(1) << 8 * (3 - bytes)) - 1)) !=
            0) /* bits that nobody reads: a second spelling */
            return false;
        for (size_t j = 0; j < bytes; j++)
            out[n++] = (char)(bits >> (16 - 8 * j) & 0xff);
    }
    *len = n;
    return true;
}

size_t sp_utf8_take(struct sp_slice s, uint32_t *code)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least; /* below it the sequence is overlong */
    } shapes[] = {{0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    uint8_t first = (uint8_t)s.ptr[0];
    for (size_t i = 0; i < SP_COUNTOF(shapes); i++) {
        size_t len = i + 2;
        if ((first & shapes[i].mask) != shapes[i].lead)
            continue;
        if (s.len < len)
            return 0;
        uint32_t value = first & (uint8_t)~shapes[i].mask;
        for (size_t j = 1; j < len; j++) {
            uint8_t b = (uint8_t)s.ptr[j];
            if ((b & 0xc0) != 0x80)
                return 0;
            value = value << 6 | (b & 0x3f);
        }
        if (value < shapes[i].least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
            return 0;
        *code = value;
        return len;
    }
    return 0;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

unsigned sp_edit_distance(struct sp_slice a, struct sp_slice b)
{
    enum { MOST = 64 };
    size_t rows = a.len < MOST ? a.len : MOST;
    size_t columns = b.len < MOST ? b.len : MOST;
    /* Three rows of the usual matrix: a transposition looks two rows up. */
    unsigned lines[3][MOST + 1];
    for (size_t j = 0; j <= columns; j++)
        lines[0][j] = (unsigned)j;
    for (size_t i = 1; i <= rows; i++) {
        unsigned *now = lines[i % 3];
        const unsigned *above = lines[(i + 2) % 3];
        const unsigned *two_above = lines[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= columns; j++) {
            char x = sp_lower(a.ptr[i - 1]);
            char y = sp_lower(b.ptr[j - 1]);
            now[j] = min3(above[j] + 1, now[j - 1] + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == sp_lower(b.ptr[j - 2]) && y == sp_lower(a.ptr[i - 2]) &&
                two_above[j - 2] + 1 < now[j])
                now[j] = two_above[j - 2] + 1;
        }
    }
    return lines[rows % 3][columns];
}
