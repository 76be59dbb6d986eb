/* How the texts of forwarding are written: hosts with a port, paths and their prefixes, protocols. Kinds and types as in
 * texts.c. Elsewhere: what patterns mean (room match), which names of fields are protected (room headers). */
#include <arpa/inet.h>

#include "config/table.h"
#include "sallyport/base/text.h"

#define PATH_MAX_BYTES 1024
#define ALPN_MAX_BYTES 255 /* RFC 7301 §3.1 */
#define HOST_TEXT_MAX  262 /* a name, ':' and a port */
#define KEPT(r, text)  ((*out = sp_reader_copy(r, text)), true)

static bool keep_lower(struct sp_reader *r, struct sp_slice text, const char **out)
{
    char *copy = sp_arena_printf(r->arena, "%.*s", SP_FMT(text));

    if (copy == NULL)
        sp_report_no_memory(r);
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        *c = sp_lower(*c);
    *out = copy;
    return true;
}

/* ---- hosts ---- */

static bool is_address(struct sp_slice text, int family)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address; /* either fits */

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, &address) == 1;
}

/* As it stands in Host: a name, an IPv4 address, or an IPv6 address in brackets. */
static bool is_uri_host(struct sp_slice host)
{
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        return is_address(sp_slice_sub(host, 1, host.len - 1), AF_INET6);
    return sp_is_host_name(host) || is_address(host, AF_INET);
}

static bool keep_host_port(struct sp_reader *r, struct sp_slice text, const char **out)
{
    size_t end = text.len;
    uint64_t port = 0;

    while (end > 0 && sp_is_digit(text.ptr[end - 1]))
        end--;
    bool has_port = end > 0 && end < text.len && text.ptr[end - 1] == ':';
    if (has_port && (!sp_parse_u64(sp_slice_sub(text, end, text.len), &port) || port == 0 || port > 65535))
        return false;
    return text.len <= HOST_TEXT_MAX && is_uri_host(sp_slice_sub(text, 0, has_port ? end - 1 : text.len)) &&
           keep_lower(r, text, out);
}

static bool keep_server_name(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return sp_is_host_name(text) && keep_lower(r, text, out);
}

static bool keep_server(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return (sp_is_host_name(text) || is_address(text, AF_INET) || is_address(text, AF_INET6)) &&
           keep_lower(r, text, out);
}

/* ---- paths ---- */

/* What a request target in origin form may be. */
static bool keep_target(struct sp_reader *r, struct sp_slice text, const char **out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7F || strchr("\"#<>\\^`{|}", text.ptr[i]) != NULL)
            return false;
    }
    return text.len > 0 && text.len <= PATH_MAX_BYTES && text.ptr[0] == '/' && KEPT(r, text);
}

/* Kept without a '/' at the end: "/" is the empty prefix. Whether a path may be so is asked where patterns are, too. */
static bool keep_prefix(struct sp_reader *r, struct sp_slice text, const char **out)
{
    if (text.len > 0 && text.ptr[text.len - 1] == '/')
        text.len--;
    if (memchr(text.ptr, '?', text.len) != NULL)
        return false;
    return text.len == 0 ? KEPT(r, text) : keep_target(r, text, out);
}

/* ---- protocols ---- */

/* In what these change a connection to further requests could come, and no rule would see them. */
static bool keep_protocol(struct sp_reader *r, struct sp_slice text, const char **out)
{
    static const char *const carriers[] = {"h2c", "h2", "http", "tls"};

    if (!sp_type_field_name.text->keep(r, text, out) || !keep_lower(r, text, out))
        return false;
    for (size_t i = 0; *out != NULL && i < SP_COUNTOF(carriers); i++) {
        if (strcmp(*out, carriers[i]) == 0)
            return false;
    }
    return true;
}

static bool keep_alpn(struct sp_reader *r, struct sp_slice text, const char **out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7F)
            return false;
    }
    return text.len > 0 && text.len <= ALPN_MAX_BYTES && KEPT(r, text);
}

static bool keep_uri_pattern(struct sp_reader *r, struct sp_slice text, const char **out)
{
    return memchr(text.ptr, ':', text.len) != NULL && sp_type_pattern.text->keep(r, text, out);
}

static bool keep_dns_server(struct sp_reader *r, struct sp_slice text, const char **out)
{
    struct sp_addr address;

    return sp_addr_parse(text, &address, NULL) == SP_OK && !sp_addr_is_unix(&address) &&
           sp_addr_port(&address) != 0 && KEPT(r, text);
}

/* clang-format off */
static const struct sp_text
/*  kind          expected                                                     keep */
    host_port   = {"a host such as api.example.com or 10.0.0.5:8080",          keep_host_port},
    server_name = {"a host name such as api.example.com",                      keep_server_name},
    server      = {"a host name or an address without a port",                 keep_server},
    target      = {"a path such as /healthz",                                  keep_target},
    prefix      = {"a path of whole segments such as /api",                      keep_prefix},
    protocol    = {"a protocol such as websocket (in h2c, h2, http or tls further requests would come that no rule sees)", keep_protocol},
    alpn        = {"a protocol such as postgresql",                            keep_alpn},
    dns_server  = {"an address with a port such as 10.0.0.53:53",              keep_dns_server},
    uri_pattern = {"a pattern of URIs such as spiffe://corp.example/backend/*", keep_uri_pattern};

const struct sp_type
    sp_type_host_port   = {"host, or host and port", NULL, SP_NODE_SCALAR, sp_read_text, NULL, &host_port, false, false},
    sp_type_server_name = {"host name",              NULL, SP_NODE_SCALAR, sp_read_text, NULL, &server_name, false, false},
    sp_type_server      = {"host name or IP address", NULL, SP_NODE_SCALAR, sp_read_text, NULL, &server, false, false},
    sp_type_target      = {"path with or without a query", NULL, SP_NODE_SCALAR, sp_read_text, NULL, &target, false, false},
    sp_type_prefix      = {"path prefix",            NULL, SP_NODE_SCALAR, sp_read_text, NULL, &prefix, false, false},
    sp_type_uri_pattern = {"pattern",                NULL, SP_NODE_SCALAR, sp_read_text, NULL, &uri_pattern, false, false},
    sp_type_protocols   = {"list of protocols",      "a list of protocols", SP_NODE_LIST, sp_read_texts, sp_print_length, &protocol, false, true},
    sp_type_dns_servers = {"list of addresses",      "a list of addresses with ports", SP_NODE_LIST, sp_read_texts, sp_print_length, &dns_server, false, true},
    sp_type_alpn        = {"list of protocols",      "a list of protocols", SP_NODE_LIST, sp_read_texts, sp_print_length, &alpn, false, true};
/* clang-format on */
