/* Path patterns (also of SPIFFE ids): segment by segment, '*' inside one, "**" as the last for any rest. Pure,
 * no recursion; the cost is bounded by pattern length times path length. */
#include "sallyport/http/path.h"
#include "syntax.h"

/* The segment that begins at `at`, without its '/'. */
static struct sp_slice segment_at(struct sp_slice s, size_t at)
{
    const char *slash = at < s.len ? memchr(s.ptr + at, '/', s.len - at) : NULL;
    return sp_slice_sub(s, at, slash != NULL ? (size_t)(slash - s.ptr) : s.len);
}

/* '*' stands for any bytes. What is before the first and behind the last of them stands at the ends, and the pieces between
 * them where each comes first: searched, not tried byte by byte, since a client may send a segment of many kilobytes. */
static bool segment_match(struct sp_slice pattern, struct sp_slice text)
{
    const char *star = pattern.len > 0 ? memchr(pattern.ptr, '*', pattern.len) : NULL;
    if (star == NULL)
        return sp_slice_equal(pattern, text);
    if (pattern.len == 1)
        return text.len > 0;
    size_t front = (size_t)(star - pattern.ptr), back = 0;
    while (pattern.ptr[pattern.len - 1 - back] != '*')
        back++;
    if (text.len < front + back || !sp_slice_starts(text, sp_slice_sub(pattern, 0, front)) ||
        (back > 0 && memcmp(text.ptr + text.len - back, pattern.ptr + pattern.len - back, back) != 0))
        return false;
    size_t at = front, end = text.len - back;
    for (size_t p = front + 1; p < pattern.len - back; p++) {
        const char *next =
            memchr(pattern.ptr + p, '*', pattern.len - back - p); /* the last one at the latest */
        size_t len = (size_t)(next - pattern.ptr) - p;
        const char *found = len > 0 ? memmem(text.ptr + at, end - at, pattern.ptr + p, len) : text.ptr + at;
        if (found == NULL)
            return false;
        at = (size_t)(found - text.ptr) + len;
        p += len;
    }
    return true;
}

bool sp_path_match(struct sp_slice pattern, struct sp_slice path)
{
    size_t p = 0, t = 0;
    for (;;) {
        struct sp_slice want = segment_at(pattern, p), have = segment_at(path, t);
        p += want.len;
        t += have.len;
        if (p == pattern.len && sp_slice_equal(want, SP_SLICE("**")))
            return true;
        if (!segment_match(want, have))
            return false;
        if (p == pattern.len || t == path.len)
            return p == pattern.len && t == path.len;
        p++; /* the slash */
        t++;
    }
}

const char *sp_path_pattern_check(struct sp_slice pattern)
{
    struct sp_fault fault;
    if (pattern.len == 0)
        return "the pattern is empty";
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.ptr[i];
        if (c == '?' || c == '#' || c == '\\')
            return "'?', '#' and '\\' have no meaning in a pattern";
        if (!(http_class(c) & CC_VISIBLE))
            return "blanks, control and non-ASCII bytes never match";
    }
    /* '*' is a path byte like others: what no path that is let in can hold makes a pattern that never matches */
    if (pattern.ptr[0] == '/' && sp_path_check(pattern, &fault) != SP_OK)
        return fault.detail;
    for (size_t i = 0; i + 1 < pattern.len; i++) {
        if (pattern.ptr[i] != '*' || pattern.ptr[i + 1] != '*')
            continue;
        if (i + 2 != pattern.len || (i > 0 && pattern.ptr[i - 1] != '/'))
            return "\"**\" may only be the whole last segment";
    }
    return NULL;
}
