/* Memory. Four shapes, and what each is for:
 *   sp_alloc   one zeroed object, may fail
 *   sp_arena   many objects that live and die together (a configuration, an identity)
 *   sp_buf     a growing run of bytes with a cap
 *   sp_pool    fixed-size blocks recycled within one thread (connection buffers)
 * Every allocation can fail and says so; nothing aborts. */
#ifndef SP_BASE_MEM_H
#define SP_BASE_MEM_H

#include <stdarg.h>

#include "sallyport/base/base.h"

/* Zeroed; NULL when there is no memory or count * size overflows. Release with sp_free. */
SP_MUST_USE void *sp_alloc(size_t count, size_t size);
/* Takes NULL. The contents of a key do not go through here: OpenSSL owns keys and cleanses them. */
void sp_free(void *ptr);
#define SP_NEW(type) ((type *)sp_alloc(1, sizeof(type)))
/* Frees and nulls: SP_FREE(x->name) */
#define SP_FREE(ptr) (sp_free(ptr), (ptr) = NULL)

/* ---- arena: owned by its creator, freed as a whole; one thread at a time ---- */
struct sp_arena {
    struct sp_arena_chunk *chunks;
    size_t used; /* bytes handed out */
    size_t max;  /* cap on that; 0 none */
};

/* No allocation yet; `max` bounds the bytes that may be handed out (0: unbounded). */
void sp_arena_init(struct sp_arena *a, size_t max);
void sp_arena_free(struct sp_arena *a);
/* Room for `bytes` in one piece, and not a byte more: for what is known beforehand and stays long. False without memory. */
SP_MUST_USE bool sp_arena_reserve(struct sp_arena *a, size_t bytes);
/* Zeroed, aligned for anything; NULL at the cap or without memory. Lives until sp_arena_free. */
SP_MUST_USE void *sp_arena_alloc(struct sp_arena *a, size_t count, size_t size);
/* Copies `s` and a NUL behind it (not counted). ptr is NULL on failure. */
SP_MUST_USE struct sp_slice sp_arena_copy(struct sp_arena *a, struct sp_slice s);
SP_MUST_USE char *sp_arena_printf(struct sp_arena *a, const char *fmt, ...) SP_PRINTF(2, 3);

/* ---- buf: a growing byte run. Starts zeroed ({0} is a valid empty one without a cap) ---- */
struct sp_buf {
    char *ptr;
    size_t len, cap;
    size_t max; /* cap on len; 0 none */
    /* An append did not fit or had no memory. Sticky, so that a chain of appends is checked once. */
    bool failed;
};

void sp_buf_init(struct sp_buf *b, size_t max);
void sp_buf_free(struct sp_buf *b);
void sp_buf_reset(struct sp_buf *b); /* empty, keeps the memory, clears `failed` */
/* SP_FAIL leaves the contents as they were and sets `failed`. */
enum sp_rc sp_buf_add(struct sp_buf *b, const void *bytes, size_t len);
enum sp_rc sp_buf_add_slice(struct sp_buf *b, struct sp_slice s);
enum sp_rc sp_buf_add_str(struct sp_buf *b, const char *cstr);
enum sp_rc sp_buf_add_char(struct sp_buf *b, char c);
enum sp_rc sp_buf_printf(struct sp_buf *b, const char *fmt, ...) SP_PRINTF(2, 3);
/* Room for `len` more bytes at ptr + len, or NULL; the caller adds to len what it wrote. */
SP_MUST_USE char *sp_buf_room(struct sp_buf *b, size_t len);

static inline struct sp_slice sp_buf_slice(const struct sp_buf *b)
{
    return (struct sp_slice){b->ptr, b->len};
}

/* ---- pool: fixed-size blocks of one thread ---- */
struct sp_pool {
    size_t block_size;
    size_t keep;  /* at most so many free blocks are kept for the next taker */
    size_t spare; /* free blocks kept now */
    size_t taken; /* blocks out now */
    size_t max;   /* cap on taken; 0 none */
    void *free_list;
};

void sp_pool_init(struct sp_pool *p, size_t block_size, size_t keep, size_t max);
/* Every block must have been given back. */
void sp_pool_destroy(struct sp_pool *p);
/* Not zeroed. NULL at the cap or without memory. */
SP_MUST_USE void *sp_pool_take(struct sp_pool *p);
void sp_pool_give(struct sp_pool *p, void *block); /* takes NULL */

#endif
