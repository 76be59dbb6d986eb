/* The byte-class table, spelled as rules and expanded by the compiler, and the value check. What the classes
 * are used for is with their users: h1_head.c, h1_request.c, h1_body.c, h1_write.c, path.c. */
#include "syntax.h"

#define IS_ALPHA(c)      (((c) >= 'A' && (c) <= 'Z') || ((c) >= 'a' && (c) <= 'z'))
#define IS_DIGIT(c)      ((c) >= '0' && (c) <= '9')
#define IS_ALNUM(c)      (IS_ALPHA(c) || IS_DIGIT(c))
#define IS_UNRESERVED(c) (IS_ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define IS_TOKEN(c)                                                                                          \
    (IS_UNRESERVED(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' ||               \
        (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '^' || (c) == '`' || (c) == '|')
/* RFC 3986 pchar without '%' and without ';' */
#define IS_PATH(c)                                                                                           \
    (IS_UNRESERVED(c) || (c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' ||              \
        (c) == ')' || (c) == '*' || (c) == '+' || (c) == ',' || (c) == '=' || (c) == ':' || (c) == '@')
/* RFC 3986 query, and what clients send there raw although it is not in it ("?page[size]=2"): no reader
 * disagrees about where these end, and nothing is judged by a query */
#define IS_QUERY(c)                                                                                          \
    (IS_PATH(c) || (c) == ';' || (c) == '/' || (c) == '?' || (c) == '[' || (c) == ']' || (c) == '{' ||       \
        (c) == '}' || (c) == '|' || (c) == '^' || (c) == '`')
#define IS_HOST(c)    (IS_ALNUM(c) || (c) == '-' || (c) == '_' || (c) == '.')
#define IS_VISIBLE(c) ((c) > 0x20 && (c) < 0x7f)
#define IS_VALUE(c)   ((c) == '\t' || ((c) >= 0x20 && (c) != 0x7f))

#define CC(c)                                                                                                \
    (IS_TOKEN(c) ? CC_TOKEN : 0) | ((c) == '_' || (c) == '.' ? CC_ODD_NAME : 0) |                            \
        (IS_VALUE(c) ? CC_VALUE : 0) | (IS_PATH(c) ? CC_PATH : 0) | (IS_QUERY(c) ? CC_QUERY : 0) |           \
        (IS_UNRESERVED(c) ? CC_UNRESERVED : 0) | (IS_HOST(c) ? CC_HOST : 0) |                                \
        (IS_VISIBLE(c) ? CC_VISIBLE : 0)
#define CC4(c)  CC(c), CC((c) + 1), CC((c) + 2), CC((c) + 3)
#define CC16(c) CC4(c), CC4((c) + 4), CC4((c) + 8), CC4((c) + 12)
#define CC64(c) CC16(c), CC16((c) + 16), CC16((c) + 32), CC16((c) + 48)

const uint8_t sp_http_class[256] = {CC64(0), CC64(64), CC64(128), CC64(192)};

/* True if a byte of `w` is below 0x20 or is 0x7f. Both terms are exact in saying that *some* byte is (borrows
 * only spread upwards from a byte that is); bytes of 0x80 and more are masked out. */
static inline bool has_control(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t below_space = (w - ones * 0x20) & ~w & high;
    uint64_t delete = w ^ (ones * 0x7f);
    delete = (delete - ones) & ~delete &high;
    return (below_space | delete) != 0;
}

/* Eight bytes of a value; HTAB is allowed and rare: only then each byte is looked at. */
static inline bool eight_ok(const char *at)
{
    uint64_t w;
    memcpy(&w, at, 8);
    return !has_control(w) || http_all_of((struct sp_slice){at, 8}, CC_VALUE);
}

bool sp_http_value_ok(struct sp_slice s)
{
    if (s.len < 8)
        return http_all_of(s, CC_VALUE);
    for (size_t i = 0; i + 8 < s.len; i += 8) {
        if (!eight_ok(s.ptr + i))
            return false;
    }
    return eight_ok(s.ptr + s.len - 8); /* the last ones, some of them for the second time */
}
