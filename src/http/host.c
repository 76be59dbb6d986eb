/* Host names: the check that a Host field, an authority and a host pattern go through, the canonical form and
 * the match. Stricter than RFC 3986: a name holds letters, digits, '-', '_' and '.' only, since
 * percent-encoding and sub-delims are read differently by different backends. Pure. Paths are in path.c. */
#include <arpa/inet.h>

#include "sallyport/http/path.h"
#include "syntax.h"

/* "[...]" at the front of `s`: its length with brackets, or 0 when it is no IPv6 address. The bytes go to *out. */
static size_t bracketed_len(struct sp_slice s, struct in6_addr *out)
{
    char text[INET6_ADDRSTRLEN];
    const char *end = s.len > 0 && s.ptr[0] == '[' ? memchr(s.ptr, ']', s.len) : NULL;
    if (end == NULL)
        return 0;
    size_t len = (size_t)(end - s.ptr) - 1;
    if (len >= sizeof(text) || memchr(s.ptr + 1, '\0', len) != NULL)
        return 0;
    memcpy(text, s.ptr + 1, len);
    text[len] = '\0';
    return inet_pton(AF_INET6, text, out) == 1 ? len + 2 : 0;
}

/* Four decimal numbers up to 255 without leading zeros. */
static bool is_dotted_quad(struct sp_slice s)
{
    unsigned parts = 0;
    size_t i = 0;
    while (parts < 4) {
        unsigned value = 0, digits = 0;
        for (; i < s.len && sp_is_digit(s.ptr[i]) && digits < 4; i++, digits++)
            value = value * 10 + (unsigned)(s.ptr[i] - '0');
        if (digits == 0 || value > 255 || (digits > 1 && s.ptr[i - digits] == '0'))
            return false;
        parts++;
        if (parts < 4 && (i >= s.len || s.ptr[i++] != '.'))
            return false;
    }
    return i == s.len;
}

/* A name without port: what is wrong with it, or NULL. A name whose last label is a number can only be an IPv4
 * address. */
static const char *name_problem(struct sp_slice name)
{
    size_t label = 0; /* bytes of the present label */
    bool digits_only = true;
    if (name.len == 0)
        return "the host is empty";
    if (name.len >= SP_HOST_MAX)
        return "the host is longer than 255 bytes";
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!(http_class(c) & CC_HOST))
            return "a byte that no host name holds";
        if (c != '.') {
            digits_only = label == 0 ? sp_is_digit(c) : digits_only && sp_is_digit(c);
            label++;
            continue;
        }
        if (label == 0)
            return "an empty label in the host name";
        if (i + 1 < name.len)
            label = 0;
    }
    if (digits_only && !is_dotted_quad(name))
        return "the host ends in a number and is no IPv4 address";
    return NULL;
}

/* ":" 0*5DIGIT up to 65535 at the end of an authority; an absent one is fine, an empty one is not. */
static const char *port_problem(struct sp_slice rest)
{
    unsigned port = 0;
    if (rest.len == 0)
        return NULL;
    if (rest.ptr[0] != ':')
        return "something other than a port after the host";
    if (rest.len == 1 || rest.len > 6)
        return "the port is not a number up to 65535";
    for (size_t i = 1; i < rest.len; i++) {
        if (!sp_is_digit(rest.ptr[i]))
            return "the port is not a number up to 65535";
        port = port * 10 + (unsigned)(rest.ptr[i] - '0');
    }
    return port <= 65535 ? NULL : "the port is not a number up to 65535";
}

static const char *authority_problem(struct sp_slice host)
{
    if (host.len > 0 && host.ptr[0] == '[') {
        struct in6_addr ignored;
        size_t len = bracketed_len(host, &ignored);
        return len == 0 ? "the brackets hold no IPv6 address"
                        : port_problem(sp_slice_sub(host, len, host.len));
    }
    const char *colon = host.len > 0 ? memchr(host.ptr, ':', host.len) : NULL;
    size_t len = colon != NULL ? (size_t)(colon - host.ptr) : host.len;
    const char *problem = name_problem((struct sp_slice){host.ptr, len});
    return problem != NULL ? problem : port_problem(sp_slice_sub(host, len, host.len));
}

enum sp_rc sp_host_check(struct sp_slice host, struct sp_fault *fault)
{
    const char *problem = authority_problem(host);
    return problem == NULL ? SP_OK : http_fault(fault, SP_REFUSAL_bad_host, 400, problem);
}

struct sp_slice sp_host_canonical(struct sp_slice host, char out[SP_HOST_MAX])
{
    const struct sp_slice absent = {NULL, 0};
    struct in6_addr v6;
    if (bracketed_len(host, &v6) > 0) {
        /* one spelling of an address: RFC 5952's */
        out[0] = '[';
        if (inet_ntop(AF_INET6, &v6, out + 1, SP_HOST_MAX - 2) == NULL)
            return absent;
        size_t len = strlen(out);
        out[len] = ']';
        return (struct sp_slice){out, len + 1};
    }
    const char *colon = host.len > 0 ? memchr(host.ptr, ':', host.len) : NULL;
    size_t len = colon != NULL ? (size_t)(colon - host.ptr) : host.len;
    if (len > 0 && host.ptr[len - 1] == '.')
        len--;
    if (len == 0 || len > SP_HOST_MAX)
        return absent;
    for (size_t i = 0; i < len; i++)
        out[i] = sp_lower(host.ptr[i]);
    return (struct sp_slice){out, len};
}

bool sp_host_match(struct sp_slice pattern, struct sp_slice host)
{
    if (!sp_slice_starts(pattern, SP_SLICE("*.")))
        return sp_slice_equal(pattern, host);
    struct sp_slice rest = sp_slice_sub(pattern, 1, pattern.len); /* ".rest" */
    if (rest.len < 2 || host.len <= rest.len)
        return false;
    size_t label = host.len - rest.len;
    return memcmp(host.ptr + label, rest.ptr, rest.len) == 0 && memchr(host.ptr, '.', label) == NULL;
}

const char *sp_host_pattern_check(struct sp_slice pattern)
{
    if (pattern.len > 0 && pattern.ptr[0] == '[') {
        struct in6_addr ignored;
        return bracketed_len(pattern, &ignored) == pattern.len ? NULL : "the brackets hold no IPv6 address";
    }
    if (sp_slice_starts(pattern, SP_SLICE("*."))) {
        pattern = sp_slice_sub(pattern, 2, pattern.len);
        if (pattern.len == 0)
            return "nothing follows \"*.\"";
    }
    if (pattern.len > 0 && memchr(pattern.ptr, '*', pattern.len) != NULL)
        return "\"*\" may only be the whole first label, as in \"*.example.com\"";
    if (pattern.len > 0 && memchr(pattern.ptr, ':', pattern.len) != NULL)
        return "a host pattern has no port";
    return name_problem(pattern);
}
