/* Memory: zeroed objects, arenas, buffers, pools. Whatever cannot be had is reported, nothing aborts; every
 * size sum is checked, since sizes come from peers and files.
 *
 * Under AddressSanitizer a pool poisons the blocks it keeps, so that recycling does not hide a use after the
 * give. */
#include "sallyport/base/mem.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#endif
#ifdef POISONING
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size)   ((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

void *sp_alloc(size_t count, size_t size)
{
    size_t len = 0;
    if (__builtin_mul_overflow(count, size, &len))
        return NULL;
    return calloc(1, len != 0 ? len : 1);
}

void sp_free(void *ptr)
{
    free(ptr);
}

/* ---- arena ---- */

struct sp_arena_chunk {
    struct sp_arena_chunk *next;
    size_t cap, used; /* of the bytes below */
    alignas(max_align_t) char bytes[];
};

enum { CHUNK_FIRST = 512, CHUNK_LARGEST = 64 * 1024 };

void sp_arena_init(struct sp_arena *a, size_t max)
{
    *a = (struct sp_arena){.max = max};
}

void sp_arena_free(struct sp_arena *a)
{
    while (a->chunks != NULL) {
        struct sp_arena_chunk *chunk = a->chunks;
        a->chunks = chunk->next;
        free(chunk);
    }
    a->used = 0;
}

/* Put before the one that `where` points at. */
static struct sp_arena_chunk *arena_chunk_new(size_t cap, struct sp_arena_chunk **where)
{
    size_t total = 0;
    if (__builtin_add_overflow(sizeof(struct sp_arena_chunk), cap, &total))
        return NULL;
    struct sp_arena_chunk *chunk = calloc(1, total);
    if (chunk == NULL)
        return NULL;
    chunk->cap = cap;
    chunk->next = *where;
    *where = chunk;
    return chunk;
}

/* A chunk with room for `len`. Chunks double up to a bound; something larger gets one of its own, put behind
 * the current one so that the rest of that is not lost. */
static struct sp_arena_chunk *arena_add_chunk(struct sp_arena *a, size_t len)
{
    size_t cap = a->chunks != NULL ? a->chunks->cap * 2 : CHUNK_FIRST;
    if (cap > CHUNK_LARGEST)
        cap = CHUNK_LARGEST;
    bool own = a->chunks != NULL && len > cap / 2;
    if (own || cap < len)
        cap = len;
    return arena_chunk_new(cap, own ? &a->chunks->next : &a->chunks);
}

bool sp_arena_reserve(struct sp_arena *a, size_t bytes)
{
    return arena_chunk_new(bytes, &a->chunks) != NULL;
}

static void *arena_take(struct sp_arena *a, size_t len, size_t align)
{
    if (len == 0)
        len = 1; /* every allocation has an address of its own, and counts */
    size_t used = 0;
    if (__builtin_add_overflow(a->used, len, &used) || (a->max != 0 && used > a->max))
        return NULL;
    struct sp_arena_chunk *chunk = a->chunks;
    size_t from = chunk != NULL ? (chunk->used + align - 1) & ~(align - 1) : 0;
    if (chunk == NULL || from > chunk->cap || chunk->cap - from < len) {
        chunk = arena_add_chunk(a, len);
        if (chunk == NULL)
            return NULL;
        from = 0;
    }
    chunk->used = from + len;
    a->used = used;
    return chunk->bytes + from;
}

void *sp_arena_alloc(struct sp_arena *a, size_t count, size_t size)
{
    size_t len = 0;
    if (__builtin_mul_overflow(count, size, &len))
        return NULL;
    return arena_take(a, len, alignof(max_align_t));
}

struct sp_slice sp_arena_copy(struct sp_arena *a, struct sp_slice s)
{
    char *copy = s.len < SIZE_MAX ? arena_take(a, s.len + 1, 1) : NULL;
    if (copy == NULL)
        return (struct sp_slice){NULL, 0};
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return (struct sp_slice){copy, s.len};
}

char *sp_arena_printf(struct sp_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0)
        return NULL;
    char *text = arena_take(a, (size_t)len + 1, 1);
    if (text == NULL)
        return NULL;
    va_start(ap, fmt);
    (void)vsnprintf(text, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return text;
}

/* ---- buf ---- */

void sp_buf_init(struct sp_buf *b, size_t max)
{
    *b = (struct sp_buf){.max = max};
}

void sp_buf_free(struct sp_buf *b)
{
    free(b->ptr);
    sp_buf_init(b, b->max);
}

void sp_buf_reset(struct sp_buf *b)
{
    b->len = 0;
    b->failed = false;
}

/* Memory for `len` bytes and `extra` that do not count against the cap (the NUL that printf insists on). */
static bool buf_reserve(struct sp_buf *b, size_t len, size_t extra)
{
    size_t need = 0;
    if (b->failed || __builtin_add_overflow(b->len, len, &need) || (b->max != 0 && need > b->max) ||
        __builtin_add_overflow(need, extra, &need))
        return false;
    if (need <= b->cap && b->ptr != NULL)
        return true;
    size_t cap = b->cap != 0 ? b->cap : 128;
    while (cap < need) {
        if (__builtin_mul_overflow(cap, 2, &cap))
            cap = need;
    }
    if (b->max != 0 && cap > b->max && need <= b->max)
        cap = b->max;
    char *grown = realloc(b->ptr, cap);
    if (grown == NULL)
        return false;
    b->ptr = grown;
    b->cap = cap;
    return true;
}

enum sp_rc sp_buf_add(struct sp_buf *b, const void *bytes, size_t len)
{
    if (len == 0 && !b->failed)
        return SP_OK;
    if (!buf_reserve(b, len, 0)) {
        b->failed = true;
        return SP_FAIL;
    }
    memcpy(b->ptr + b->len, bytes, len);
    b->len += len;
    return SP_OK;
}

enum sp_rc sp_buf_add_slice(struct sp_buf *b, struct sp_slice s)
{
    return sp_buf_add(b, s.ptr, s.len);
}

enum sp_rc sp_buf_add_str(struct sp_buf *b, const char *cstr)
{
    return sp_buf_add(b, cstr, strlen(cstr));
}

enum sp_rc sp_buf_add_char(struct sp_buf *b, char c)
{
    return sp_buf_add(b, &c, 1);
}

enum sp_rc sp_buf_printf(struct sp_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0 || !buf_reserve(b, (size_t)len, 1)) {
        b->failed = true;
        return SP_FAIL;
    }
    va_start(ap, fmt);
    (void)vsnprintf(b->ptr + b->len, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)len;
    return SP_OK;
}

char *sp_buf_room(struct sp_buf *b, size_t len)
{
    return buf_reserve(b, len, 0) ? b->ptr + b->len : NULL;
}

/* ---- pool ---- */

/* What the first bytes of a kept block hold. */
struct free_block {
    struct free_block *next;
};

void sp_pool_init(struct sp_pool *p, size_t block_size, size_t keep, size_t max)
{
    if (block_size < sizeof(struct free_block))
        block_size = sizeof(struct free_block);
    *p = (struct sp_pool){.block_size = block_size, .keep = keep, .max = max};
}

static void *pool_pop(struct sp_pool *p)
{
    struct free_block *block = p->free_list;
    ASAN_UNPOISON_MEMORY_REGION(block, p->block_size);
    p->free_list = block->next;
    p->spare--;
    return block;
}

void sp_pool_destroy(struct sp_pool *p)
{
    SP_ASSERT(p->taken == 0);
    while (p->free_list != NULL)
        free(pool_pop(p));
}

void *sp_pool_take(struct sp_pool *p)
{
    if (p->max != 0 && p->taken >= p->max)
        return NULL;
    void *block = p->free_list != NULL ? pool_pop(p) : malloc(p->block_size);
    if (block != NULL)
        p->taken++;
    return block;
}

void sp_pool_give(struct sp_pool *p, void *block)
{
    if (block == NULL)
        return;
    SP_ASSERT(p->taken > 0);
    p->taken--;
    if (p->spare >= p->keep) {
        free(block);
        return;
    }
    struct free_block *kept = block;
    kept->next = p->free_list;
    p->free_list = kept;
    p->spare++;
    ASAN_POISON_MEMORY_REGION(block, p->block_size);
}
