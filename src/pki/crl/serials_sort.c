/* Sorting the records of a class, in place but for a fixed piece of memory.
 *
 * It is most of the work of loading a large CRL that is not the hash, and most of it waits for memory. So the digit by which
 * records are dealt into 256 heaps begins at the first *bit* in which they differ, which makes the heaps of serials at
 * random alike in size whatever they begin with; what does not fit into `apart` is dealt in place, a record at a time
 * being held while the next is fetched; what does fit is dealt into there, and comes back from there in order.
 *
 * Records are compared as a whole. What is shorter or longer than what serials look like (RFC 5280: at most 20 octets)
 * is left to qsort. */
#include "pki/crl/serials_sort.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/base/base.h"

#define HEAPS           256
#define DIGIT_BITS      8
#define WORDS_MAX       4 /* of eight bytes, that a record is moved by; the last may overlap the one before */
#define STRIDE_MIN      8
#define STRIDE_MAX      ((size_t)8 * WORDS_MAX)
#define INSERTION_BELOW 24
#define APART_BYTES     ((size_t)512 << 10) /* within what a core has for itself */
#define AHEAD           3 /* records, of each heap: more than a processor foresees by itself */

struct sorting {
    size_t stride;
    unsigned words;
    uint8_t *apart; /* APART_BYTES; NULL without memory, and then it takes longer */
};

/* Eight bits of a record: those at the top of the eight bytes at `byte` after `shift` of them. */
struct digit {
    size_t byte;
    unsigned shift;
};

struct held {
    uint64_t words[WORDS_MAX];
};

/* ---- records ---- */

/* Eight bytes as a number that is ordered as they are. */
static inline uint64_t eight(const uint8_t *p)
{
    uint64_t n;
    memcpy(&n, p, sizeof(n));
    return be64toh(n);
}

static inline unsigned digit_of(const uint8_t *record, struct digit d)
{
    return (unsigned)((eight(record + d.byte) << d.shift) >> (64 - DIGIT_BITS));
}

/* Where eight bytes of a record have the bit `bit` among them. */
static inline size_t byte_of(const struct sorting *s, size_t bit)
{
    return bit / 8 + 8 <= s->stride ? bit / 8 : s->stride - 8;
}

static inline struct digit digit_at(const struct sorting *s, size_t bit)
{
    size_t last = s->stride * 8 - DIGIT_BITS, at = bit < last ? bit : last;
    size_t byte = byte_of(s, at);
    return (struct digit){byte, (unsigned)(at - byte * 8)};
}

#define SP_INLINE static inline __attribute__((always_inline))

SP_INLINE struct held lift(const uint8_t *p, size_t stride, unsigned words)
{
    struct held h = {{0}};
    for (unsigned i = 0; i + 1 < words; i++)
        memcpy(&h.words[i], p + 8 * (size_t)i, 8);
    memcpy(&h.words[words - 1], p + stride - 8, 8);
    return h;
}

SP_INLINE void lay(uint8_t *p, const struct held *h, size_t stride, unsigned words)
{
    for (unsigned i = 0; i + 1 < words; i++)
        memcpy(p + 8 * (size_t)i, &h->words[i], 8);
    memcpy(p + stride - 8, &h->words[words - 1], 8);
}

/* Of a number of words that is known when compiling: what compilers make of others takes several times as long as the moves
 * themselves. */
#define BY_WORDS(s, f, ...)                                                                                  \
    ((s)->words == 1      ? f(s, __VA_ARGS__, 1)                                                             \
        : (s)->words == 2 ? f(s, __VA_ARGS__, 2)                                                             \
        : (s)->words == 3 ? f(s, __VA_ARGS__, 3)                                                             \
                          : f(s, __VA_ARGS__, 4))

/* ---- dealing ---- */

struct heaps {
    uint32_t next[HEAPS], ends[HEAPS]; /* the numbers of records */
};

static void count(const struct sorting *s, const uint8_t *base, size_t n, struct digit d, struct heaps *h)
{
    uint32_t counts[HEAPS] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++)
        counts[digit_of(base + i * s->stride, d)]++;
    for (size_t b = 0; b < HEAPS; b++) {
        h->next[b] = sum;
        sum += counts[b];
        h->ends[b] = sum;
    }
}

SP_INLINE void deal_in_place(
    const struct sorting *s, uint8_t *base, struct digit d, struct heaps *h, unsigned words)
{
    const size_t stride = s->stride;
    for (size_t b = 0; b < HEAPS; b++) {
        while (h->next[b] < h->ends[b]) {
            uint8_t *hole = base + h->next[b] * stride;
            size_t goes = digit_of(hole, d);
            struct held held = lift(hole, stride, words);
            while (goes != b) {
                uint8_t *to = base + h->next[goes]++ * stride;
                goes = digit_of(to, d);
                struct held other = lift(to, stride, words);
                lay(to, &held, stride, words);
                __builtin_prefetch((const void *)((uintptr_t)to + AHEAD * stride), 1);
                held = other;
            }
            lay(hole, &held, stride, words);
            h->next[b]++;
        }
    }
}

SP_INLINE void deal_apart(
    const struct sorting *s, const uint8_t *base, size_t n, struct digit d, struct heaps *h, unsigned words)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = base + i * s->stride;
        struct held held = lift(p, s->stride, words);
        lay(s->apart + h->next[digit_of(p, d)]++ * s->stride, &held, s->stride, words);
    }
}

/* ---- few records ---- */

struct order {
    uint64_t first; /* the eight bytes in which the first difference is */
    const uint8_t *record;
};

SP_INLINE void gather(
    const struct sorting *s, uint8_t *to, const struct order *order, size_t n, unsigned words)
{
    for (size_t i = 0; i < n; i++) {
        struct held h = lift(order[i].record, s->stride, words);
        lay(to + i * s->stride, &h, s->stride, words);
    }
}

/* What stands for them is moved about, and they themselves once. All bits before `bit` are alike. */
static void insert(const struct sorting *s, uint8_t *to, const uint8_t *from, size_t n, size_t bit)
{
    struct order order[INSERTION_BELOW], held;
    size_t byte = byte_of(s, bit), rest = s->stride - byte - 8;
    for (size_t i = 0; i < n; i++) {
        held.record = from + i * s->stride;
        held.first = eight(held.record + byte);
        size_t j = i;
        while (j > 0 && (order[j - 1].first > held.first ||
                            (order[j - 1].first == held.first && rest > 0 &&
                                memcmp(order[j - 1].record + byte + 8, held.record + byte + 8, rest) > 0))) {
            order[j] = order[j - 1];
            j--;
        }
        order[j] = held;
    }
    BY_WORDS(s, gather, to, order, n);
}

static void insert_in_place(const struct sorting *s, uint8_t *base, size_t n, size_t bit)
{
    uint8_t copy[INSERTION_BELOW * STRIDE_MAX];
    memcpy(copy, base, n * s->stride);
    insert(s, base, copy, n, bit);
}

/* ---- all of them ---- */

/* The first bit from `bit` on in which not all are alike; that behind the last if there is none. */
static size_t first_difference(const struct sorting *s, const uint8_t *base, size_t n, size_t bit)
{
    while (bit < s->stride * 8) {
        size_t byte = byte_of(s, bit);
        uint64_t first = eight(base + byte), mask = UINT64_MAX >> (bit - byte * 8), differ = 0;
        for (size_t i = 1; i < n && differ <= mask >> 1; i++)
            differ |= (eight(base + i * s->stride + byte) ^ first) & mask;
        if (differ != 0)
            return byte * 8 + (size_t)__builtin_clzll(differ);
        bit = byte * 8 + 64;
    }
    return bit;
}

/* Each level of the recursion stands for eight bits more, so there are at most STRIDE_MAX. */
static void sort_from(const struct sorting *s, uint8_t *base, size_t n, size_t bit)
{
    struct heaps h;
    bit = first_difference(s, base, n, bit);
    if (bit >= s->stride * 8)
        return;
    bool apart = s->apart != NULL && n * s->stride <= APART_BYTES;
    struct digit d = digit_at(s, bit);
    count(s, base, n, d, &h);
    if (apart)
        BY_WORDS(s, deal_apart, base, n, d, &h);
    else
        BY_WORDS(s, deal_in_place, base, d, &h);
    bit += DIGIT_BITS;
    /* two rounds: what is deeper uses `apart` anew */
    for (size_t b = 0, start = 0; b < HEAPS; start = h.ends[b++]) {
        size_t few = h.ends[b] - start;
        uint8_t *to = base + start * s->stride;
        if (apart && few > 0 && few < INSERTION_BELOW)
            insert(s, to, s->apart + start * s->stride, few, bit);
        else if (apart && few > 0)
            memcpy(to, s->apart + start * s->stride, few * s->stride);
        else if (few > 1 && few < INSERTION_BELOW)
            insert_in_place(s, to, few, bit);
    }
    for (size_t b = 0, start = 0; b < HEAPS; start = h.ends[b++]) {
        if (h.ends[b] - start >= INSERTION_BELOW)
            sort_from(s, base + start * s->stride, h.ends[b] - start, bit);
    }
}

static int compare(const void *a, const void *b, void *arg)
{
    return memcmp(a, b, *(const size_t *)arg);
}

void sp_records_sort(uint8_t *records, size_t n, size_t stride)
{
    struct sorting s = {.stride = stride, .words = (unsigned)((stride + 7) / 8)};
    if (n < 2)
        return;
    if (stride < STRIDE_MIN || stride > STRIDE_MAX) {
        qsort_r(records, n, stride, compare, &stride);
    } else if (n < INSERTION_BELOW) {
        insert_in_place(&s, records, n, 0);
    } else {
        s.apart = malloc(n * stride < APART_BYTES ? n * stride : APART_BYTES);
        sort_from(&s, records, n, 0);
        free(s.apart);
    }
}
