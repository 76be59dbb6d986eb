/* What a URL that we fetch looks like, and how it is shown in a message. Stricter than curl, which guesses
 * and repairs: a URL comes out of the configuration, where a mistake is to be told and not to be worked
 * around. Pure. */
#include <arpa/inet.h>

#include "fetch_impl.h"

enum { URL_MAX = 2048 };

static bool is_alnum(char c)
{
    return sp_is_digit(c) || (sp_lower(c) >= 'a' && sp_lower(c) <= 'z');
}

static bool is_hex(char c)
{
    return sp_is_digit(c) || (sp_lower(c) >= 'a' && sp_lower(c) <= 'f');
}

/* RFC 3986: unreserved, reserved and complete percent escapes. '#' is in: it is named on its own. */
static bool is_all_url_bytes(struct sp_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            if (s.len - i < 3 || !is_hex(s.ptr[i + 1]) || !is_hex(s.ptr[i + 2]))
                return false;
        } else if (!is_alnum(c) && (c == '\0' || strchr("-._~:/?#[]@!$&'()*+,;=", c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* The length of "http://" or "https://" at the front, or 0. */
static size_t scheme_len(struct sp_slice url)
{
    const struct sp_slice schemes[] = {SP_SLICE("http://"), SP_SLICE("https://")};
    for (size_t i = 0; i < SP_COUNTOF(schemes); i++) {
        if (url.len >= schemes[i].len &&
            sp_slice_equal_nocase(sp_slice_sub(url, 0, schemes[i].len), schemes[i]))
            return schemes[i].len;
    }
    return 0;
}

static size_t authority_end(struct sp_slice url, size_t from)
{
    while (from < url.len && url.ptr[from] != '/' && url.ptr[from] != '?' && url.ptr[from] != '#')
        from++;
    return from;
}

/* Letters, digits, '-', '_' and dots between them; one dot at the end is fine. */
static const char *name_problem(struct sp_slice name)
{
    size_t label = 0;
    if (name.len == 0)
        return "the URL has no host";
    if (name.len > 253)
        return "the host of the URL is longer than 253 bytes";
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '.' && label == 0)
            return "the host of the URL has an empty label";
        if (c != '.' && c != '-' && c != '_' && !is_alnum(c))
            return "the host of the URL holds a byte that no host name holds";
        label = c == '.' ? 0 : label + 1;
    }
    return NULL;
}

static const char *port_problem(struct sp_slice rest)
{
    unsigned port = 0;
    if (rest.len == 0)
        return NULL;
    for (size_t i = 1; i < rest.len && port <= 65535; i++)
        port = sp_is_digit(rest.ptr[i]) ? port * 10 + (unsigned)(rest.ptr[i] - '0') : 65536;
    return rest.ptr[0] == ':' && port >= 1 && port <= 65535
               ? NULL
               : "the port of the URL is no number from 1 to 65535";
}

static const char *bracketed_problem(struct sp_slice authority)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    const char *end = memchr(authority.ptr, ']', authority.len);
    size_t len = end != NULL ? (size_t)(end - authority.ptr) - 1 : 0;
    if (len == 0 || len >= sizeof(text))
        return "the brackets in the URL hold no IPv6 address";
    memcpy(text, authority.ptr + 1, len);
    text[len] = '\0';
    if (inet_pton(AF_INET6, text, &ignored) != 1)
        return "the brackets in the URL hold no IPv6 address";
    return port_problem(sp_slice_sub(authority, len + 2, authority.len));
}

static const char *authority_problem(struct sp_slice authority)
{
    if (authority.len == 0)
        return "the URL has no host";
    if (memchr(authority.ptr, '@', authority.len) != NULL)
        return "a URL with a user or password is not fetched";
    if (authority.ptr[0] == '[')
        return bracketed_problem(authority);
    const char *colon = memchr(authority.ptr, ':', authority.len);
    size_t len = colon != NULL ? (size_t)(colon - authority.ptr) : authority.len;
    const char *problem = name_problem(sp_slice_sub(authority, 0, len));
    return problem != NULL ? problem : port_problem(sp_slice_sub(authority, len, authority.len));
}

static const char *url_problem(struct sp_slice url)
{
    size_t start = scheme_len(url);
    if (start == 0)
        return "the URL begins with neither http:// nor https://";
    if (url.len > URL_MAX)
        return "the URL is longer than 2048 bytes";
    if (!is_all_url_bytes(url))
        return "the URL holds a byte that belongs there only percent-encoded";
    if (memchr(url.ptr, '#', url.len) != NULL)
        return "the URL has a fragment (\"#\"), which no server sees";
    return authority_problem(sp_slice_sub(url, start, authority_end(url, start)));
}

bool sp_fetch_url_is_valid(struct sp_slice text, struct sp_err *err)
{
    const char *problem = url_problem(text);
    if (problem != NULL)
        sp_err_set(err, "%s", problem);
    return problem == NULL;
}

/* Takes anything, what a server wrote into a redirect included. */
char *url_show(const char *url, char out[URL_SHOWN_MAX])
{
    const char *colon = strstr(url, "://");
    size_t scheme = colon != NULL ? (size_t)(colon - url) + 3 : 0;
    size_t host = scheme;
    size_t end = strcspn(url, "?#");
    for (size_t i = scheme; i < end && url[i] != '/'; i++) {
        if (url[i] == '@')
            host = i + 1;
    }
    size_t n = 0;
    for (size_t i = 0; i < end && n < URL_SHOWN_MAX - 1; i++) {
        if (i >= scheme && i < host)
            continue;
        out[n++] = (char)(url[i] > ' ' && url[i] <= '~' ? url[i] : '?');
    }
    out[n] = '\0';
    return out;
}
