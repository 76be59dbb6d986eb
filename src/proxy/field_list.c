/* Field values that are lists (RFC 9110 §5.6.1): Connection, Vary. Members are tokens, so a comma always ends
 * one. */
#include "proxy_impl.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct sp_slice trim(struct sp_slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = sp_slice_sub(s, 1, s.len);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool sp_list_next(struct sp_slice *rest, struct sp_slice *member)
{
    while (rest->len > 0) {
        const char *comma = memchr(rest->ptr, ',', rest->len);
        size_t end = comma != NULL ? (size_t)(comma - rest->ptr) : rest->len;
        *member = trim(sp_slice_sub(*rest, 0, end));
        *rest = sp_slice_sub(*rest, comma != NULL ? end + 1 : end, rest->len);
        if (member->len > 0)
            return true;
    }
    return false;
}
