/* The set of serials: classes by length and sign, each an array of records, sorted in place, searched from a guess.
 *
 * Issuers number at random or in a row: what comes in order is noticed while it is added and not sorted at all. A large array
 * is asked for at once and in huge pages, for six thousand page faults a million entries cost as much as reading them.
 *
 * Elsewhere: serials_sort.c sorts. */
#include "pki/crl/serials.h"

#include <endian.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pki/crl/serials_sort.h"
#include "sallyport/base/mem.h"

/* Behind the magnitude, big-endian: 36 bits of seconds since 1950, 4 bits of reason + 1. */
#define EXTRA     5
#define DATE_ZERO (-631152000LL) /* 1950-01-01, the first moment that a UTCTime can name */
#define DATE_MAX  ((1LL << 36) - 1)
#define HUGE_PAGE ((size_t)2 << 20)

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

/* Room that is never used is never resident. */
static void reserve(struct sp_serial_class *c, size_t count)
{
    size_t bytes = count * stride_of(c);
    if (count > UINT32_MAX || bytes < 2 * HUGE_PAGE)
        return;
    c->records = malloc(bytes);
    if (c->records == NULL)
        return; /* it grows as it is filled, then */
    c->room = (uint32_t)count;
    uintptr_t first = ((uintptr_t)c->records + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)c->records + bytes) & ~(HUGE_PAGE - 1);
    (void)!madvise((void *)first, end - first, MADV_HUGEPAGE); /* a kernel without them does without */
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
    if (s->class_count++ == 0)
        reserve(&more[at], s->expected);
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
    uint64_t bits = htobe64((uint64_t)since << 28 | (uint64_t)(reason + 1) << 24);
    memcpy(p, &bits, EXTRA);
}

static struct sp_revoked read_extra(const uint8_t *p)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < EXTRA; i++)
        bits = bits << 8 | p[i];
    return (struct sp_revoked){(int64_t)(bits >> 4) + DATE_ZERO, (int8_t)((int)(bits & 15) - 1)};
}

/* `magnitude` is what `record` begins with, read where it came from: what has just been written is slow to read. */
static bool is_in_order(const uint8_t *before, const uint8_t *magnitude, const uint8_t *record, size_t len)
{
    int order = len > 0 ? memcmp(before, magnitude, len) : 0;
    return order < 0 || (order == 0 && memcmp(before + len, record + len, EXTRA) <= 0);
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
    if (c->sorted && c->count > 0)
        c->sorted = is_in_order(record - stride, magnitude, record, len);
    c->count++;
    s->count++;
    return SP_OK;
}

void sp_serials_seal(struct sp_serials *s)
{
    for (size_t i = 0; i < s->class_count; i++) {
        struct sp_serial_class *c = &s->classes[i];
        if (!c->sorted)
            sp_records_sort(c->records, c->count, stride_of(c));
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
