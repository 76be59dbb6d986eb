/* Request targets, RFC 9112 §3.2. The form is known from the first byte; authority-form belongs to CONNECT
 * alone, which is refused before. The path is judged here (path.c), so a request line that passes has a path
 * with one reading. */
#include "h1_head.h"

static enum sp_rc bad_target(struct sp_fault *fault, const char *detail)
{
    return http_fault(fault, SP_REFUSAL_bad_target, 400, detail);
}

/* "/path?query": `rest` begins at the path, which may be empty. */
static enum sp_rc take_path(
    struct sp_h1_parser *p, struct sp_slice in, struct sp_slice rest, struct sp_fault *fault)
{
    const char *mark = rest.len > 0 ? memchr(rest.ptr, '?', rest.len) : NULL;
    struct sp_slice path = {rest.ptr, mark != NULL ? (size_t)(mark - rest.ptr) : rest.len};
    if (path.len > 0) {
        if (sp_path_check(path, fault) != SP_OK)
            return SP_FAIL;
        p->path = h1_span(in, path);
    }
    if (mark == NULL)
        return SP_OK;
    struct sp_slice query = sp_slice_sub(rest, path.len + 1, rest.len);
    p->query = h1_span(in, query);
    return sp_query_check(query, fault);
}

size_t h1_scheme_len(struct sp_slice target)
{
    if (target.len >= 7 && sp_slice_equal_nocase(sp_slice_sub(target, 0, 7), SP_SLICE("http://")))
        return 4;
    if (target.len >= 8 && sp_slice_equal_nocase(sp_slice_sub(target, 0, 8), SP_SLICE("https://")))
        return 5;
    return 0;
}

static enum sp_rc take_absolute(
    struct sp_h1_parser *p, struct sp_slice in, struct sp_slice target, struct sp_fault *fault)
{
    size_t scheme = h1_scheme_len(target);
    if (scheme == 0)
        return bad_target(fault, "the target is neither a path nor an http or https URI");
    size_t at = scheme + 3, end = at;
    while (end < target.len && target.ptr[end] != '/' && target.ptr[end] != '?' && target.ptr[end] != '#')
        end++;
    struct sp_slice authority = sp_slice_sub(target, at, end);
    struct sp_fault ignored;
    if (sp_host_check(authority, &ignored) != SP_OK)
        return bad_target(fault, "the authority of the target is malformed");
    p->scheme = h1_span(in, sp_slice_sub(target, 0, scheme));
    p->authority = h1_span(in, authority);
    struct sp_slice rest = sp_slice_sub(target, end, target.len);
    if (rest.len == 0 || rest.ptr[0] == '?') /* RFC 9112 §3.2.1 and §3.2.4 */
        p->flags |= rest.len == 0 && p->method == SP_METHOD_OPTIONS ? FIELD_STAR_PATH : FIELD_SLASH_PATH;
    if (rest.len > 0 && rest.ptr[0] == '#')
        return bad_target(fault, "a fragment in the request target");
    return take_path(p, in, rest, fault);
}

enum sp_rc h1_take_target(
    struct sp_h1_parser *p, struct sp_slice in, struct sp_slice target, struct sp_fault *fault)
{
    p->target = h1_span(in, target);
    if (target.ptr[0] == '/')
        return take_path(p, in, target, fault);
    if (target.len == 1 && target.ptr[0] == '*') {
        if (p->method != SP_METHOD_OPTIONS)
            return bad_target(fault, "the target \"*\" is for OPTIONS only");
        p->path = p->target;
        return SP_OK;
    }
    return take_absolute(p, in, target, fault);
}

/* `host` without the port that its scheme implies. */
static struct sp_slice without_default_port(struct sp_slice host, struct sp_slice scheme)
{
    const struct sp_slice port = scheme.len == 5 ? SP_SLICE(":443") : SP_SLICE(":80");
    if (host.len > port.len && memcmp(host.ptr + host.len - port.len, port.ptr, port.len) == 0)
        host.len -= port.len;
    return host;
}

bool h1_authority_is_host(struct sp_slice scheme, struct sp_slice authority, struct sp_slice host)
{
    return sp_slice_equal_nocase(without_default_port(authority, scheme), without_default_port(host, scheme));
}
