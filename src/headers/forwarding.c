/* X-Forwarded-*, Forwarded and Via, made for one request.
 *
 *   X-Forwarded-For     addresses without port, ", " between them; the last one is of our peer
 *   X-Forwarded-Proto, -Host, -Port   what the first client asked for: a trusted proxy's word stays, else ours
 *   X-Forwarded-Prefix  what was taken away from the path on the way, outermost first
 *   Forwarded           one element of RFC 7239 §4 behind those of a trusted proxy; by=_sallyport, since nobody outside
 *                       needs our address
 *   Via                 a line of its own: a list goes on over lines (RFC 9110 §5.2)
 *
 * A peer without an address (a unix socket) is "unknown" in both (RFC 7239 §6.2): a chain with a hop missing would be read
 * from the wrong end. What of a trusted proxy's words is well-formed is forwarding_check.c. */
#include <errno.h>
#include <stdio.h>

#include "forwarding_check.h"
#include "sallyport/config/config.h"
#include "sallyport/headers/forwarding.h"

#include <arpa/inet.h>

#define FOR       SP_SLICE("X-Forwarded-For")
#define PROTO     SP_SLICE("X-Forwarded-Proto")
#define HOST      SP_SLICE("X-Forwarded-Host")
#define PORT      SP_SLICE("X-Forwarded-Port")
#define PREFIX    SP_SLICE("X-Forwarded-Prefix")
#define FORWARDED SP_SLICE("Forwarded")
#define VIA       SP_SLICE("Via")

struct maker {
    const struct sp_forwarding_about *about;
    char *at, *end, *from; /* of the value being written: from */
    struct sp_line *lines;
    size_t count;
    bool failed;
};

static void add(struct maker *m, struct sp_slice s)
{
    m->failed = m->failed || (size_t)(m->end - m->at) < s.len;
    if (m->failed || s.len == 0)
        return;
    memcpy(m->at, s.ptr, s.len);
    m->at += s.len;
}

/* What was added since the line before is the value. */
static void put(struct maker *m, struct sp_slice name)
{
    if (m->at > m->from)
        m->lines[m->count++] = (struct sp_line){name, {m->from, (size_t)(m->at - m->from)}};
    m->from = m->at;
}

static void put_value(struct maker *m, struct sp_slice name, struct sp_slice value)
{
    m->lines[m->count++] = (struct sp_line){name, value};
}

/* ---- what a trusted proxy said ---- */

static bool is_said(const struct maker *m, struct sp_slice name, bool (*is_good)(struct sp_slice value))
{
    const struct sp_head *head = m->about->head;
    size_t found = 0;

    for (size_t i = 0; m->about->continues && i < head->header_count; i++) {
        if (!sp_slice_equal_nocase(head->headers[i].name, name))
            continue;
        if (!is_good(head->headers[i].value))
            return false;
        found++;
    }
    return found > 0;
}

/* The lines of a list, as one, and a separator behind it. */
static void add_said(struct maker *m, struct sp_slice name, bool (*is_good)(struct sp_slice value))
{
    const struct sp_head *head = m->about->head;

    if (!is_said(m, name, is_good))
        return;
    for (size_t i = 0; i < head->header_count; i++) {
        if (!sp_slice_equal_nocase(head->headers[i].name, name))
            continue;
        add(m, head->headers[i].value);
        add(m, SP_SLICE(", "));
    }
}

/* A field that has one value: absent if it is there twice. */
static struct sp_slice said_once(
    const struct maker *m, struct sp_slice name, bool (*is_good)(struct sp_slice value))
{
    const struct sp_head *head = m->about->head;
    struct sp_slice value = {NULL, 0};

    if (!is_said(m, name, is_good))
        return value;
    for (size_t i = 0; i < head->header_count; i++) {
        if (!sp_slice_equal_nocase(head->headers[i].name, name))
            continue;
        if (value.ptr != NULL)
            return (struct sp_slice){NULL, 0};
        value = head->headers[i].value;
    }
    return value;
}

/* ---- the client's address ---- */

struct address {
    char text[INET6_ADDRSTRLEN]; /* "": unknown */
    bool is_v6;
    uint16_t port;
};

/* Every request says it, so it does not go through printf, as inet_ntop does. Returns its end. */
static char *write_decimal(char *at, unsigned n)
{
    char digits[10];
    size_t len = 0;

    do {
        digits[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    while (len > 0)
        *at++ = digits[--len];
    return at;
}

static void write_ipv4(char *at, const uint8_t bytes[4])
{
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *at++ = '.';
        at = write_decimal(at, bytes[i]);
    }
    *at = '\0';
}

/* IPv4 within IPv6 (a socket for both) is IPv4. A scope says nothing to anybody else. */
static void read_address(const struct sp_addr *a, struct address *out)
{
    *out = (struct address){.text = ""};
    if (a == NULL || a->len == 0 || sp_addr_is_unix(a))
        return;
    out->port = sp_addr_port(a);
    if (a->u.sa.sa_family == AF_INET)
        write_ipv4(out->text, (const uint8_t *)&a->u.in4.sin_addr);
    else if (IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr))
        write_ipv4(out->text, a->u.in6.sin6_addr.s6_addr + 12);
    else
        out->is_v6 = inet_ntop(AF_INET6, &a->u.in6.sin6_addr, out->text, sizeof(out->text)) != NULL;
}

/* ---- the lines ---- */

static void put_prefix(struct maker *m)
{
    struct sp_slice said = said_once(m, PREFIX, sp_forwarded_prefix_is_good);

    if (said.len > 0 && said.ptr[said.len - 1] == '/')
        said.len--;
    add(m, said);
    add(m, m->about->prefix);
    put(m, PREFIX);
}

static void put_x(struct maker *m, const struct address *client)
{
    struct sp_slice said;
    char port[10];

    add_said(m, FOR, sp_forwarded_for_is_good);
    add(m, client->text[0] != '\0' ? sp_slice_of(client->text) : SP_SLICE("unknown"));
    put(m, FOR);
    said = said_once(m, PROTO, sp_forwarded_proto_is_good);
    put_value(m, PROTO, said.ptr != NULL ? said : SP_SLICE("https"));
    said = said_once(m, HOST, sp_forwarded_host_is_good);
    put_value(m, HOST, said.ptr != NULL ? said : m->about->head->host);
    said = said_once(m, PORT, sp_forwarded_port_is_good);
    if (said.ptr != NULL) {
        put_value(m, PORT, said);
    } else if (m->about->port != 0) {
        add(m, (struct sp_slice){port, (size_t)(write_decimal(port, m->about->port) - port)});
        put(m, PORT);
    }
    put_prefix(m);
}

/* A node or a host as a value: quoted unless it is a token. Of what stands in either, only ':' and brackets are no part of one. */
static void add_quoted(struct maker *m, struct sp_slice value)
{
    bool is_token = memchr(value.ptr, ':', value.len) == NULL && memchr(value.ptr, '[', value.len) == NULL;

    add(m, is_token ? SP_SLICE("") : SP_SLICE("\""));
    add(m, value);
    add(m, is_token ? SP_SLICE("") : SP_SLICE("\""));
}

static void put_forwarded(struct maker *m, const struct address *client)
{
    char node[INET6_ADDRSTRLEN + 16] = "unknown";

    if (client->text[0] != '\0') {
        int len = snprintf(
            node, sizeof(node), "%s%s%s", client->is_v6 ? "[" : "", client->text, client->is_v6 ? "]" : "");
        if (client->port != 0 && len > 0)
            (void)snprintf(node + len, sizeof(node) - (size_t)len, ":%u", client->port);
    }
    add_said(m, FORWARDED, sp_forwarded_is_good);
    add(m, SP_SLICE("for="));
    add_quoted(m, sp_slice_of(node));
    add(m, SP_SLICE(";proto=https;host="));
    add_quoted(m, m->about->head->host);
    add(m, SP_SLICE(";by=_sallyport"));
    put(m, FORWARDED);
}

enum sp_rc sp_forwarding_make(const struct sp_forwarding_about *about, char *room, size_t size,
    struct sp_line lines[SP_FORWARDING_LINES_MAX], size_t *count, struct sp_err *err)
{
    struct maker m = {.about = about, .at = room, .from = room, .end = room + size, .lines = lines};
    struct address client;

    read_address(about->client, &client);
    if (about->which & SP_FORWARDING_X)
        put_x(&m, &client);
    if (about->which & SP_FORWARDING_RFC7239)
        put_forwarded(&m, &client);
    if (about->which & SP_FORWARDING_VIA)
        put_value(&m, VIA, sp_via_element(about->head->minor));
    *count = m.count;
    return m.failed ? sp_err_sys(err, EMSGSIZE, "forwarding headers") : SP_OK;
}

struct sp_slice sp_via_element(unsigned minor)
{
    return minor == 0 ? SP_SLICE("1.0 sallyport") : SP_SLICE("1.1 sallyport");
}

bool sp_name_is_via(struct sp_slice name)
{
    return sp_slice_equal_nocase(name, VIA);
}
