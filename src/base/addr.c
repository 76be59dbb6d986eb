/* Socket addresses between text and the kernel's structures. Numeric only: names are resolved by a thread that
 * may wait, elsewhere. An IPv6 scope may be an interface's name or number when read and is printed as its
 * number. */
#include "sallyport/base/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

#include "sallyport/base/text.h"

static const struct sp_slice unix_prefix = {"unix:", 5};

enum { UNIX_PATH_AT = offsetof(struct sockaddr_un, sun_path) };

static enum sp_rc parse_unix(struct sp_slice text, struct sp_addr *out, struct sp_err *err)
{
    struct sp_slice path = sp_slice_sub(text, unix_prefix.len, text.len);
    if (path.len == 0)
        return sp_err_set(err, "\"unix:\" has no path; wanted unix:/path/to/socket");
    if (path.ptr[0] == '@')
        return sp_err_set(err,
            "\"%.*s\" is an abstract name, which no file permission guards; wanted "
            "unix:/path/to/socket",
            SP_FMT(text));
    if (memchr(path.ptr, '\0', path.len) != NULL)
        return sp_err_set(err, "the path behind \"unix:\" holds a NUL byte");
    if (path.len >= sizeof(out->u.un.sun_path))
        return sp_err_set(err, "the path \"%.*s\" has %zu bytes; a unix socket's has at most %zu",
            SP_FMT(path), path.len, sizeof(out->u.un.sun_path) - 1);
    out->u.un.sun_family = AF_UNIX;
    memcpy(out->u.un.sun_path, path.ptr, path.len);
    out->len = (socklen_t)(UNIX_PATH_AT + path.len + 1);
    return SP_OK;
}

/* "%eth0" or "%2" behind an IPv6 address. */
static bool parse_scope(struct sp_slice name, uint32_t *out)
{
    uint64_t number = 0;
    if (sp_parse_u64(name, &number)) {
        *out = (uint32_t)number;
        return number > 0 && number <= UINT32_MAX;
    }
    char text[IF_NAMESIZE];
    if (name.len == 0 || name.len >= sizeof(text))
        return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    *out = if_nametoindex(text);
    return *out != 0;
}

static bool parse_in6(struct sp_slice host, uint16_t port, struct sp_addr *out)
{
    const char *percent = memchr(host.ptr, '%', host.len);
    struct sp_slice number = host;
    if (percent != NULL) {
        number.len = (size_t)(percent - host.ptr);
        if (!parse_scope(sp_slice_sub(host, number.len + 1, host.len), &out->u.in6.sin6_scope_id))
            return false;
    }
    char text[INET6_ADDRSTRLEN];
    if (number.len >= sizeof(text))
        return false;
    memcpy(text, number.ptr, number.len);
    text[number.len] = '\0';
    if (strlen(text) != number.len || inet_pton(AF_INET6, text, &out->u.in6.sin6_addr) != 1)
        return false;
    out->u.in6.sin6_family = AF_INET6;
    out->u.in6.sin6_port = htons(port);
    out->len = sizeof(out->u.in6);
    return true;
}

static bool parse_in4(struct sp_slice host, uint16_t port, struct sp_addr *out)
{
    char text[INET_ADDRSTRLEN];
    if (host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (strlen(text) != host.len || inet_pton(AF_INET, text, &out->u.in4.sin_addr) != 1)
        return false;
    out->u.in4.sin_family = AF_INET;
    out->u.in4.sin_port = htons(port);
    out->len = sizeof(out->u.in4);
    return true;
}

enum sp_rc sp_addr_parse(struct sp_slice text, struct sp_addr *out, struct sp_err *err)
{
    memset(out, 0, sizeof(*out));
    if (sp_slice_starts(text, unix_prefix))
        return parse_unix(text, out, err);
    struct sp_slice host = {0};
    uint16_t port = 0;
    if (!sp_addr_split(text, true, &host, &port))
        return sp_err_set(err,
            "\"%.*s\" is not an address with a port; wanted 192.0.2.1:443, [2001:db8::1]:443 or "
            "unix:/path",
            SP_FMT(text));
    bool bracketed = text.ptr[0] == '[';
    if (bracketed ? parse_in6(host, port, out) : parse_in4(host, port, out))
        return SP_OK;
    memset(out, 0, sizeof(*out));
    if (bracketed)
        return sp_err_set(err, "\"%.*s\" is not an IPv6 address", SP_FMT(host));
    return sp_err_set(err,
        "\"%.*s\" is not an IPv4 address (an IPv6 address stands in brackets; names are not looked "
        "up here)",
        SP_FMT(host));
}

bool sp_addr_split(struct sp_slice text, bool zero_ok, struct sp_slice *host, uint16_t *port)
{
    const char *colon = text.len > 0 ? memrchr(text.ptr, ':', text.len) : NULL;
    if (colon == NULL)
        return false;
    struct sp_slice name = {text.ptr, (size_t)(colon - text.ptr)};
    struct sp_slice digits = sp_slice_sub(text, name.len + 1, text.len);
    uint64_t number = 0;
    if (digits.len > 5 || !sp_parse_u64(digits, &number) || number > UINT16_MAX || (number == 0 && !zero_ok))
        return false;
    if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']') {
        name = sp_slice_sub(name, 1, name.len - 1);
        if (name.len == 0 || memchr(name.ptr, ':', name.len) == NULL)
            return false; /* brackets are for IPv6: "[host]:443" would be a second spelling of "host:443" */
    } else if (name.len == 0 || memchr(name.ptr, ':', name.len) != NULL) {
        return false;
    }
    if (memchr(name.ptr, '[', name.len) != NULL || memchr(name.ptr, ']', name.len) != NULL)
        return false;
    *host = name;
    *port = (uint16_t)number;
    return true;
}

/* The name's bytes, without the NUL that may or may not end a path. An abstract name begins with NUL. */
static struct sp_slice unix_name(const struct sp_addr *a)
{
    if (a->len <= UNIX_PATH_AT)
        return (struct sp_slice){a->u.un.sun_path, 0};
    size_t len = a->len - UNIX_PATH_AT;
    if (len > sizeof(a->u.un.sun_path))
        len = sizeof(a->u.un.sun_path);
    if (a->u.un.sun_path[0] != '\0')
        len = strnlen(a->u.un.sun_path, len);
    return (struct sp_slice){a->u.un.sun_path, len};
}

static void format_unix(const struct sp_addr *a, char out[SP_ADDR_TEXT])
{
    struct sp_slice name = unix_name(a);
    memcpy(out, unix_prefix.ptr, unix_prefix.len);
    char *p = out + unix_prefix.len;
    for (size_t i = 0; i < name.len; i++)
        *p++ = name.ptr[i] != '\0' ? name.ptr[i] : '@'; /* as the kernel itself prints abstract names */
    *p = '\0';
}

char *sp_addr_format(const struct sp_addr *a, char out[SP_ADDR_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "";
    out[0] = '\0';
    if (a->len == 0)
        return out;
    switch (a->u.sa.sa_family) {
    case AF_INET:
        if (inet_ntop(AF_INET, &a->u.in4.sin_addr, host, sizeof(host)) != NULL)
            (void)snprintf(out, SP_ADDR_TEXT, "%s:%u", host, sp_addr_port(a));
        break;
    case AF_INET6:
        if (inet_ntop(AF_INET6, &a->u.in6.sin6_addr, host, sizeof(host)) == NULL)
            break;
        if (a->u.in6.sin6_scope_id != 0)
            (void)snprintf(out, SP_ADDR_TEXT, "[%s%%%u]:%u", host, a->u.in6.sin6_scope_id, sp_addr_port(a));
        else
            (void)snprintf(out, SP_ADDR_TEXT, "[%s]:%u", host, sp_addr_port(a));
        break;
    case AF_UNIX:
        format_unix(a, out);
        break;
    default:
        break;
    }
    return out;
}

bool sp_addr_equal(const struct sp_addr *a, const struct sp_addr *b)
{
    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->u.sa.sa_family != b->u.sa.sa_family)
        return false;
    switch (a->u.sa.sa_family) {
    case AF_INET:
        return a->u.in4.sin_port == b->u.in4.sin_port && a->u.in4.sin_addr.s_addr == b->u.in4.sin_addr.s_addr;
    case AF_INET6:
        return a->u.in6.sin6_port == b->u.in6.sin6_port && a->u.in6.sin6_scope_id == b->u.in6.sin6_scope_id &&
               memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(a->u.in6.sin6_addr)) == 0;
    case AF_UNIX:
        return sp_slice_equal(unix_name(a), unix_name(b));
    default:
        return false;
    }
}

bool sp_addr_is_unix(const struct sp_addr *a)
{
    return a->len != 0 && a->u.sa.sa_family == AF_UNIX;
}

bool sp_addr_is_any(const struct sp_addr *a)
{
    switch (a->u.sa.sa_family) {
    case AF_INET:
        return a->u.in4.sin_addr.s_addr == htonl(INADDR_ANY);
    case AF_INET6:
        return IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr);
    default:
        return false;
    }
}

bool sp_addr_is_loopback(const struct sp_addr *a)
{
    if (a->len == 0)
        return false;
    switch (a->u.sa.sa_family) {
    case AF_INET:
        return ntohl(a->u.in4.sin_addr.s_addr) >> 24 == 127;
    case AF_INET6:
        /* 127/8 as a socket of both families shows it, too */
        return IN6_IS_ADDR_LOOPBACK(&a->u.in6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr) && a->u.in6.sin6_addr.s6_addr[12] == 127);
    case AF_UNIX:
        return true;
    default:
        return false;
    }
}

uint16_t sp_addr_port(const struct sp_addr *a)
{
    if (a->len == 0)
        return 0;
    switch (a->u.sa.sa_family) {
    case AF_INET:
        return ntohs(a->u.in4.sin_port);
    case AF_INET6:
        return ntohs(a->u.in6.sin6_port);
    default:
        return 0;
    }
}
