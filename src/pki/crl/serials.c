/* The set of serials: classes by length and sign, each an array of records, sorted in place, searched from a guess.
 *
 * Sorting is most of the work of loading a large CRL that is not the hash. Issuers number at random or in a row, so:
 * what comes in order is noticed while it is added and not sorted at all; the rest is put into 256 heaps by one byte
 * after the other (in place, no second copy), skipping what all of a heap have in common, and small heaps are sorted
 * by insertion. */
#include "pki/crl/serials.h"

#include <endian.h>
#include <stdlib.h>

#include "sallyport/base/mem.h"

/* Behind the magnitude, big-endian: 36 bits of seconds since 1950, 4 bits of reason + 1. */
#define EXTRA           5
#define DATE_ZERO       (-631152000LL) /* 1950-01-01, the first moment that a UTCTime can name */
#define DATE_MAX        ((1LL << 36) - 1)
#define RECORD_MAX      (SP_SERIAL_MAX_BYTES + EXTRA)
#define INSERTION_BELOW 24
#define AHEAD           3 /* records, of each of 256 heaps: more than a processor foresees by itself */

static size_t stride_of(const struct sp_serial_class *c)
{
    return (size_t)c->len + EXTRA;
}

/* ---- filling ---- */

static int compare_class(const struct sp_serial_class *c, bool negative, size_t len)
{
    return c->negative != negative ? (int)c->negative - (int)negative : (int)c->len - (int)len;
}

/* Where the class is, or would have to be. */
static size_t class_at(const struct sp_serials *s, bool negative, size_t len)
{
    size_t low = 0, high = s->class_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_class(&s->classes[mid], negative, len) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct sp_serial_class *class_for(struct sp_serials *s, bool negative, size_t len)
{
    if (s->last < s->class_count && compare_class(&s->classes[s->last], negative, len) == 0)
        return &s->classes[s->last];
    size_t at = class_at(s, negative, len);
    s->last = at;
    if (at < s->class_count && compare_class(&s->classes[at], negative, len) == 0)
        return &s->classes[at];
    struct sp_serial_class *more = realloc(s->classes, (s->class_count + 1) * sizeof(*more));
    if (more == NULL)
        return NULL;
    s->classes = more;
    memmove(more + at + 1, more + at, (s->class_count - at) * sizeof(*more));
    more[at] = (struct sp_serial_class){.negative = negative, .len = (uint8_t)len, .sorted = true};
    s->class_count++;
    return &more[at];
}

/* Doubling large arrays moves pages, not bytes, and what is not used yet is not resident. */
static bool make_room(struct sp_serial_class *c)
{
    if (c->count < c->room)
        return true;
    uint64_t room = c->room == 0 ? 8 : (uint64_t)c->room * 2;
    if (room > UINT32_MAX)
        return false;
    uint8_t *records = realloc(c->records, (size_t)room * stride_of(c));
    if (records == NULL)
        return false;
    c->records = records;
    c->room = (uint32_t)room;
    return true;
}

static void write_extra(uint8_t *p, int64_t date, int8_t reason)
{
    int64_t since = date - DATE_ZERO;
    since = since < 0 ? 0 : since > DATE_MAX ? DATE_MAX : since;
    uint64_t bits = (uint64_t)since << 4 | (uint64_t)(reason + 1);
    for (size_t i = 0; i < EXTRA; i++)
        p[i] = (uint8_t)(bits >> (8 * (EXTRA - 1 - i)));
}

static struct sp_revoked read_extra(const uint8_t *p)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < EXTRA; i++)
        bits = bits << 8 | p[i];
    return (struct sp_revoked){(int64_t)(bits >> 4) + DATE_ZERO, (int8_t)((int)(bits & 15) - 1)};
}

enum sp_rc sp_serials_add(
    struct sp_serials *s, bool negative, const uint8_t *magnitude, size_t len, int64_t date, int8_t reason)
{
    SP_ASSERT(len <= SP_SERIAL_MAX_BYTES && reason >= -1 && reason <= 10);
    struct sp_serial_class *c = class_for(s, negative, len);
    if (c == NULL || !make_room(c))
        return SP_FAIL;
    size_t stride = stride_of(c);
    uint8_t *record = c->records + c->count * stride;
    if (len > 0)
        memcpy(record, magnitude, len);
    write_extra(record + len, date, reason);
    if (c->sorted && c->count > 0 && memcmp(record - stride, record, stride) > 0)
        c->sorted = false;
    c->count++;
    s->count++;
    return SP_OK;
}

/* ---- sorting ---- */

/* Eight bytes as a number that is ordered as they are. */
static inline uint64_t eight(const uint8_t *p)
{
    uint64_t n;
    memcpy(&n, p, sizeof(n));
    return be64toh(n);
}

/* a > b, of `len` bytes. */
static inline bool is_greater(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len >= 8) {
        uint64_t x = eight(a), y = eight(b);
        if (x != y)
            return x > y;
    }
    return memcmp(a, b, len) > 0;
}

/* Of a length that is not known when compiling, eight bytes at a time: what compilers make of memcpy here takes several times
 * as long as the move itself. */
static inline void copy_record(uint8_t *to, const uint8_t *from, size_t len)
{
    size_t i = 0;
    for (; i + 8 <= len; i += 8)
        memcpy(to + i, from + i, 8);
    for (; i < len; i++)
        to[i] = from[i];
}

/* Few records: their numbers are moved about, and they themselves once. Records are compared whole, date and reason behind
 * the serial: of two entries of one serial the later comes last. */
static void sort_by_insertion(uint8_t *base, size_t n, size_t stride, size_t from)
{
    struct {
        uint64_t first; /* the eight bytes at `from`, or as many as there are */
        const uint8_t *record;
    } order[INSERTION_BELOW], held;
    uint8_t copy[(INSERTION_BELOW + 1) * RECORD_MAX];
    size_t rest = stride - from > 8 ? stride - from - 8 : 0;
    uint64_t mask = stride - from >= 8 ? UINT64_MAX : ~(UINT64_MAX >> (8 * (stride - from)));
    if (n < 2 || from == stride)
        return;
    memcpy(copy, base, n * stride);
    memset(copy + n * stride, 0, 8);
    for (size_t i = 0; i < n; i++) {
        held.record = copy + i * stride;
        held.first = eight(held.record + from) & mask;
        size_t j = i;
        while (j > 0 && (order[j - 1].first > held.first ||
                            (order[j - 1].first == held.first && rest > 0 &&
                                memcmp(order[j - 1].record + from + 8, held.record + from + 8, rest) > 0))) {
            order[j] = order[j - 1];
            j--;
        }
        order[j] = held;
    }
    for (size_t i = 0; i < n; i++)
        copy_record(base + i * stride, order[i].record, stride);
}

/* The first byte from `from` on in which not all are alike; `stride` if there is none. */
static size_t first_difference(const uint8_t *base, size_t n, size_t stride, size_t from)
{
    size_t common = stride;
    for (size_t i = 1; i < n && common > from; i++) {
        const uint8_t *p = base + i * stride;
        size_t at = from;
        while (at < common && p[at] == base[at])
            at++;
        common = at;
    }
    return common;
}

static void swap_records(uint8_t *a, uint8_t *b, size_t stride)
{
    uint8_t held[RECORD_MAX];
    copy_record(held, a, stride);
    copy_record(a, b, stride);
    copy_record(b, held, stride);
}

/* Into 256 heaps by the byte `at`, in place; ends[b] gets the end of heap b. */
static void deal(uint8_t *base, size_t n, size_t stride, size_t at, uint32_t ends[256])
{
    uint32_t next[256], counts[256] = {0};
    for (size_t i = 0; i < n; i++)
        counts[base[i * stride + at]]++;
    for (uint32_t b = 0, sum = 0; b < 256; b++) {
        next[b] = sum;
        sum += counts[b];
        ends[b] = sum;
    }
    for (size_t b = 0; b < 256; b++) {
        while (next[b] < ends[b]) {
            uint8_t *p = base + next[b] * stride;
            size_t goes = p[at];
            if (goes != b)
                swap_records(p, base + next[goes] * stride, stride);
            next[goes]++;
            __builtin_prefetch((const void *)((uintptr_t)base + (next[goes] + AHEAD) * stride), 1);
        }
    }
}

/* Each level of the recursion stands for one more byte: at most RECORD_MAX of them, of a kilobyte each. */
static void sort_by_bytes(uint8_t *base, size_t n, size_t stride, size_t from)
{
    uint32_t ends[256];
    if (n < INSERTION_BELOW) {
        sort_by_insertion(base, n, stride, from);
        return;
    }
    from = first_difference(base, n, stride, from);
    if (from == stride)
        return;
    deal(base, n, stride, from, ends);
    for (size_t b = 0, start = 0; b < 256; b++) {
        if (ends[b] - start > 1)
            sort_by_bytes(base + start * stride, ends[b] - start, stride, from + 1);
        start = ends[b];
    }
}

void sp_serials_seal(struct sp_serials *s)
{
    for (size_t i = 0; i < s->class_count; i++) {
        struct sp_serial_class *c = &s->classes[i];
        if (!c->sorted)
            sort_by_bytes(c->records, c->count, stride_of(c), 0);
        c->sorted = true;
        uint8_t *less = realloc(c->records, c->count * stride_of(c));
        if (less != NULL) {
            c->records = less;
            c->room = c->count;
        }
    }
}

/* ---- looking up ---- */

/* Among so many, and more, it is worth guessing first. */
#define GUESS_FROM 64

/* A sorted class and what is looked for in it. */
struct search {
    const struct sp_serial_class *c;
    const uint8_t *magnitude;
    size_t stride;
};

static bool is_not_greater(const struct search *s, size_t at)
{
    return !is_greater(s->c->records + at * s->stride, s->magnitude, s->c->len);
}

/* The eight bytes behind what all of the class have in common. */
static double value_at(const uint8_t *magnitude, size_t from, size_t len)
{
    uint8_t bytes[8] = {0};
    memcpy(bytes, magnitude + from, len - from < 8 ? len - from : 8);
    return (double)eight(bytes);
}

static size_t clamp(double at, size_t count)
{
    return at < 0 ? 0 : at >= (double)count ? count - 1 : (size_t)at;
}

/* Serials at random lie evenly, serials in a row too: where it should be by its value, corrected once by what is found
 * there. False: it cannot be in the class. */
static bool guess(const struct search *s, size_t *at)
{
    const struct sp_serial_class *c = s->c;
    const uint8_t *first = c->records, *last = c->records + (c->count - 1) * s->stride;
    size_t common = 0;
    while (common < c->len && first[common] == last[common])
        common++;
    if (memcmp(first, s->magnitude, common) != 0)
        return false;
    *at = 0;
    if (common == c->len)
        return true;
    double low = value_at(first, common, c->len), wanted = value_at(s->magnitude, common, c->len);
    double density = (double)(c->count - 1) / (value_at(last, common, c->len) - low + 1);
    size_t near = clamp((wanted - low) * density, c->count);
    double found = value_at(c->records + near * s->stride, common, c->len);
    *at = clamp((double)near + (wanted - found) * density, c->count);
    return true;
}

/* Narrows *low and *high, between which the end of those that are not greater lies, from `at` in growing steps. */
static void gallop(const struct search *s, size_t at, size_t *low, size_t *high)
{
    size_t step = 4;
    if (is_not_greater(s, at)) {
        *low = at + 1;
        while (*high - *low > step && is_not_greater(s, *low + step)) {
            *low += step + 1;
            step *= 2;
        }
        *high = *high - *low > step ? *low + step : *high;
    } else {
        *high = at;
        while (*high - *low > step && !is_not_greater(s, *high - step)) {
            *high -= step;
            step *= 2;
        }
        *low = *high - *low > step ? *high - step : *low;
    }
}

bool sp_serials_find(const struct sp_serials *s, const uint8_t *key, size_t key_len, struct sp_revoked *out)
{
    SP_ASSERT(key_len >= 1 && key_len <= SP_SERIAL_MAX_KEY);
    size_t len = key_len - 1, of = class_at(s, key[0] != 0, len), at = 0;
    if (of == s->class_count || compare_class(&s->classes[of], key[0] != 0, len) != 0)
        return false;
    const struct sp_serial_class *c = &s->classes[of];
    const struct search search = {c, key + 1, stride_of(c)};
    size_t low = 0, high = c->count;
    if (c->count >= GUESS_FROM) {
        if (!guess(&search, &at))
            return false;
        gallop(&search, at, &low, &high);
    }
    while (low < high) { /* to behind the last that is not greater */
        size_t mid = low + (high - low) / 2;
        if (is_not_greater(&search, mid))
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return false;
    const uint8_t *record = c->records + (low - 1) * search.stride;
    if (memcmp(record, key + 1, len) != 0)
        return false;
    *out = read_extra(record + len);
    return true;
}

void sp_serials_free(struct sp_serials *s)
{
    for (size_t i = 0; i < s->class_count; i++)
        free(s->classes[i].records);
    free(s->classes);
    *s = (struct sp_serials){0};
}
