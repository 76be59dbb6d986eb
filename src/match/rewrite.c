/* Rewriting paths by whole segments: "/bill" is no prefix of "/billing", and what is left always begins with '/' or is
 * nothing, so that no two segments ever run into one. The result is judged again as if a client had sent it; what a path
 * could not say before, it cannot say afterwards. */
#include "sallyport/match/rewrite.h"

#include "sallyport/http/path.h"

static const char *check_part(const char *text)
{
    struct sp_slice s = sp_slice_of(text);
    struct sp_fault fault;

    if (s.len == 0)
        return NULL;
    if (s.len > SP_REWRITE_PREFIX_MAX)
        return "is longer than 1024 bytes";
    if (s.ptr[0] != '/')
        return "does not begin with \"/\"";
    if (s.ptr[s.len - 1] == '/')
        return "ends in \"/\": it is of whole segments already";
    return sp_path_check(s, &fault) == SP_OK ? NULL : fault.detail;
}

const char *sp_rewrite_check(const struct sp_config_rewrite *r)
{
    const char *wrong = r->host != NULL ? sp_host_pattern_check(sp_slice_of(r->host)) : NULL;

    if (wrong == NULL)
        wrong = check_part(r->prefix);
    if (wrong == NULL)
        wrong = check_part(r->replace);
    if (wrong == NULL && strcmp(r->prefix, r->replace) == 0)
        wrong = "takes nothing away and puts nothing in its place";
    return wrong;
}

static bool fits_host(const char *pattern, struct sp_slice host)
{
    char canonical[SP_HOST_MAX];

    return pattern == NULL || sp_host_match(sp_host_canonical(sp_slice_of(pattern), canonical), host);
}

/* The end of as many segments as `prefix` has; 0 when `path` has fewer. No spelling of a path hides a '/'. */
static size_t same_segments(struct sp_slice prefix, struct sp_slice path)
{
    size_t segments = 0, i = 0;

    for (size_t k = 0; k < prefix.len; k++)
        segments += prefix.ptr[k] == '/';
    for (; i < path.len; i++) {
        if (path.ptr[i] == '/' && segments-- == 0)
            return i;
    }
    return segments == 0 ? path.len : 0;
}

static bool fits_path(struct sp_slice prefix, struct sp_slice path, size_t *end)
{
    char wanted[3 * SP_REWRITE_PREFIX_MAX], found[9 * SP_REWRITE_PREFIX_MAX];

    *end = 0;
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    if (prefix.len == 0)
        return true;
    *end = same_segments(prefix, path);
    /* three bytes are the longest spelling of one */
    if (*end == 0 || *end > 3 * prefix.len || prefix.len > SP_REWRITE_PREFIX_MAX)
        return false;
    struct sp_slice head = sp_slice_sub(path, 0, *end);
    return sp_slice_equal(sp_path_canonical(prefix, false, wanted), sp_path_canonical(head, false, found));
}

const struct sp_config_rewrite *sp_rewrite_find(const struct sp_config_rewrite *rewrites, size_t count,
    struct sp_slice host, struct sp_slice path, size_t *end)
{
    for (size_t i = 0; i < count; i++) {
        if (fits_host(rewrites[i].host, host) && fits_path(sp_slice_of(rewrites[i].prefix), path, end))
            return &rewrites[i];
    }
    return NULL;
}

enum sp_rc sp_rewrite_apply(const struct sp_config_rewrite *r, struct sp_slice path, size_t end, char *out,
    struct sp_slice *result, struct sp_fault *fault)
{
    struct sp_slice parts[2] = {sp_slice_of(r->replace), sp_slice_sub(path, end, path.len)};
    size_t len = 0;

    for (size_t i = 0; i < SP_COUNTOF(parts); i++) {
        if (parts[i].len > 0)
            memcpy(out + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
    }
    if (len == 0)
        out[len++] = '/';
    *result = (struct sp_slice){out, len};
    return sp_path_check(*result, fault);
}
