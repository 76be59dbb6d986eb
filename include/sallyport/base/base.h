/* The words every room uses: results, slices, assertions. Nothing here allocates or touches the system. */
#ifndef SP_BASE_BASE_H
#define SP_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Every call that can fail returns one of these. "Not yet" (SP_AGAIN) and "no more" (SP_EOF) are never errors. */
enum sp_rc {
    SP_OK = 0,
    SP_AGAIN, /* nothing now; the caller is woken when it is worth asking again */
    SP_EOF,   /* the regular end */
    SP_FAIL,  /* an error; where the call takes one, a struct sp_err or sp_fault says which */
};

#define SP_MUST_USE                        __attribute__((warn_unused_result))
#define SP_PRINTF(f, a)                    __attribute__((format(printf, f, a)))
#define SP_COUNTOF(array)                  (sizeof(array) / sizeof((array)[0]))
#define SP_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* On in every build, and only for our own bugs: what a peer, a file or the kernel can cause is an error. */
#define SP_ASSERT(cond) ((cond) ? (void)0 : sp_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void sp_assert_failed(const char *cond, const char *file, int line);

/* Bytes by pointer and length, never owned, never assumed to end in NUL. An absent slice has ptr NULL. */
struct sp_slice {
    const char *ptr;
    size_t len;
};

#define SP_SLICE(literal) ((struct sp_slice){"" literal, sizeof(literal) - 1})

static inline struct sp_slice sp_slice_of(const char *cstr)
{
    return (struct sp_slice){cstr, cstr != NULL ? strlen(cstr) : 0};
}

static inline struct sp_slice sp_slice_sub(struct sp_slice s, size_t from, size_t to)
{
    return (struct sp_slice){s.ptr + from, to - from};
}

static inline bool sp_slice_equal(struct sp_slice a, struct sp_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII only, whatever the locale. */
static inline char sp_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool sp_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool sp_slice_equal_nocase(struct sp_slice a, struct sp_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (sp_lower(a.ptr[i]) != sp_lower(b.ptr[i]))
            return false;
    }
    return true;
}

static inline bool sp_slice_starts(struct sp_slice s, struct sp_slice prefix)
{
    return s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

/* printf a slice: "%.*s", SP_FMT(slice) */
#define SP_FMT(slice) (int)(slice).len, (slice).ptr

#endif
