/* Paths and queries: one reading or none. Nothing is decoded and nothing rewritten: what passes is what is
 * judged and what is forwarded. Pure. Patterns are in path_pattern.c, hosts in host.c. */
#include "sallyport/http/path.h"

#include "syntax.h"

static enum sp_rc ambiguous(struct sp_fault *fault, const char *detail)
{
    return http_fault(fault, SP_REFUSAL_ambiguous_path, 400, detail);
}

static enum sp_rc malformed(struct sp_fault *fault, const char *detail)
{
    return http_fault(fault, SP_REFUSAL_bad_target, 400, detail);
}

/* The byte that "%xx" at `i` stands for, or -1. */
static int encoded_at(struct sp_slice s, size_t i)
{
    if (i + 2 >= s.len || s.ptr[i] != '%')
        return -1;
    int high = http_hex(s.ptr[i + 1]), low = http_hex(s.ptr[i + 2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* UTF-8 that says an ASCII (or shorter) character with more bytes than it needs: lenient decoders read %c0%af
 * as '/'. */
static bool is_overlong(struct sp_slice path, size_t i, int byte)
{
    if (byte == 0xc0 || byte == 0xc1)
        return true;
    int next = encoded_at(path, i + 3);
    return (byte == 0xe0 && next >= 0x80 && next < 0xa0) || (byte == 0xf0 && next >= 0x80 && next < 0x90) ||
           (byte == 0xf8 && next >= 0x80 && next < 0x88) || (byte == 0xfc && next >= 0x80 && next < 0x84);
}

/* A '%' at `i`: two hex digits that stand for a byte which every reader takes for data. */
static enum sp_rc check_encoded(struct sp_slice path, size_t i, struct sp_fault *fault)
{
    int byte = encoded_at(path, i);
    if (byte < 0)
        return malformed(fault, "'%' without two hex digits in the path");
    if (byte == '/' || byte == '\\')
        return ambiguous(fault, "an encoded slash or backslash in the path");
    if (byte < 0x20 || byte == 0x7f)
        return ambiguous(fault, "an encoded control byte in the path");
    if (http_class((char)byte) & CC_UNRESERVED)
        return ambiguous(fault, "an encoded byte that needs no encoding in the path");
    if (byte == '%' && i + 4 < path.len && http_hex(path.ptr[i + 3]) >= 0 && http_hex(path.ptr[i + 4]) >= 0)
        return ambiguous(fault, "twice encoded bytes in the path");
    if (is_overlong(path, i, byte))
        return ambiguous(fault, "overlong UTF-8 in the path");
    return SP_OK;
}

/* A '/' at `i`: not followed by another one or by a dot segment. */
static enum sp_rc check_slash(struct sp_slice path, size_t i, struct sp_fault *fault)
{
    struct sp_slice rest = sp_slice_sub(path, i + 1, path.len);
    if (rest.len == 0)
        return SP_OK;
    if (rest.ptr[0] == '/')
        return ambiguous(fault, "an empty segment in the path");
    if (rest.ptr[0] != '.')
        return SP_OK;
    size_t dots = rest.len > 1 && rest.ptr[1] == '.' ? 2 : 1;
    if (rest.len == dots || rest.ptr[dots] == '/')
        return ambiguous(fault, "a dot segment in the path");
    return SP_OK;
}

static enum sp_rc check_stranger(char c, struct sp_fault *fault)
{
    switch (c) {
    case ';':
        return ambiguous(fault, "';' in the path");
    case '\\':
        return ambiguous(fault, "a backslash in the path");
    case '#':
        return malformed(fault, "a fragment in the request target");
    default:
        return malformed(fault, "a byte in the path that RFC 3986 does not allow");
    }
}

enum sp_rc sp_path_check(struct sp_slice path, struct sp_fault *fault)
{
    if (path.len == 1 && path.ptr[0] == '*')
        return SP_OK;
    if (path.len == 0 || path.ptr[0] != '/')
        return malformed(fault, "the path does not begin with '/'");
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (http_class(c) & CC_PATH)
            continue;
        enum sp_rc rc;
        if (c == '/') {
            rc = check_slash(path, i, fault);
        } else if (c == '%') {
            rc = check_encoded(path, i, fault);
            i += 2;
        } else {
            rc = check_stranger(c, fault);
        }
        if (rc != SP_OK)
            return rc;
    }
    return SP_OK;
}

/* Whether it is spelled otherwise than it is compared. */
static bool has_spellings(struct sp_slice path, bool is_pattern)
{
    return memchr(path.ptr, '%', path.len) != NULL ||
           (!is_pattern && memchr(path.ptr, '*', path.len) != NULL);
}

struct sp_slice sp_path_canonical(struct sp_slice path, bool is_pattern, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0;
    if (path.len < 2 || !has_spellings(path, is_pattern)) /* "*" asks for no path */
        return path;
    for (size_t i = 0; i < path.len; i++) {
        int byte = encoded_at(path, i);
        bool is_star = byte < 0 && path.ptr[i] == '*' && !is_pattern;
        if (byte < 0 && !is_star) {
            out[len++] = path.ptr[i];
            continue;
        }
        i += byte >= 0 ? 2 : 0;
        byte = is_star ? '*' : byte;
        if (byte != '*' && (http_class((char)byte) & CC_PATH)) {
            out[len++] = (char)byte;
            continue;
        }
        out[len++] = '%';
        out[len++] = digits[byte >> 4];
        out[len++] = digits[byte & 15];
    }
    return (struct sp_slice){out, len};
}

enum sp_rc sp_query_check(struct sp_slice query, struct sp_fault *fault)
{
    for (size_t i = 0; i < query.len; i++) {
        if (http_class(query.ptr[i]) & CC_QUERY)
            continue;
        if (query.ptr[i] == '#')
            return malformed(fault, "a fragment in the request target");
        if (query.ptr[i] != '%')
            return malformed(fault, "a byte in the query that RFC 3986 does not allow");
        if (encoded_at(query, i) < 0)
            return malformed(fault, "'%' without two hex digits in the query");
        i += 2;
    }
    return SP_OK;
}
