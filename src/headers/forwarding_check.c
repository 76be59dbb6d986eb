/* Reading what others said of a request's way, strictly: a chain with a hop that nobody can read is worth nothing, and a
 * quote that does not close would swallow the element that we add. */
#include "forwarding_check.h"

#include <arpa/inet.h>

#include "sallyport/base/text.h"
#include "sallyport/headers/forwarding.h"
#include "sallyport/http/path.h"

/* ---- X-Forwarded-* ---- */

static bool is_port(struct sp_slice s)
{
    uint64_t port;

    return s.len <= 5 && sp_parse_u64(s, &port) && port >= 1 && port <= 65535;
}

static bool is_address(int family, struct sp_slice s)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.ptr, '\0', s.len) != NULL)
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_pton(family, text, bytes) == 1;
}

/* Where `c` stands first, or s.len. */
static size_t find(struct sp_slice s, char c)
{
    const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

    return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

/* "_x": letters, digits, '.', '_' and '-'. */
static bool is_obfuscated(struct sp_slice s)
{
    bool good = s.len > 1 && s.ptr[0] == '_';

    for (size_t i = 1; good && i < s.len; i++) {
        char c = sp_lower(s.ptr[i]);
        good = sp_is_digit(c) || (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-';
    }
    return good;
}

/* An address: bare IPv6, in brackets or not, and either kind with a port. */
static bool is_node(struct sp_slice s)
{
    if (sp_slice_equal_nocase(s, SP_SLICE("unknown")) || is_obfuscated(s) || is_address(AF_INET6, s))
        return true;
    size_t end = s.len > 0 && s.ptr[0] == '[' ? find(s, ']') : find(s, ':');
    bool is_v6 = s.len > 0 && s.ptr[0] == '[';
    if (is_v6 && end == s.len)
        return false;
    struct sp_slice host = sp_slice_sub(s, is_v6 ? 1 : 0, end), rest = sp_slice_sub(s, end + is_v6, s.len);
    return is_address(is_v6 ? AF_INET6 : AF_INET, host) &&
           (rest.len == 0 || (rest.ptr[0] == ':' && is_port(sp_slice_sub(rest, 1, rest.len))));
}

bool sp_forwarded_for_is_good(struct sp_slice value)
{
    struct sp_slice member;
    size_t count = 0;

    while (sp_field_list_next(&value, &member)) {
        if (!is_node(member))
            return false;
        count++;
    }
    return count > 0;
}

bool sp_forwarded_proto_is_good(struct sp_slice value)
{
    static const char *const SCHEMES[] = {"http", "https", "ws", "wss"};

    for (size_t i = 0; i < SP_COUNTOF(SCHEMES); i++) {
        if (sp_slice_equal_nocase(value, sp_slice_of(SCHEMES[i])))
            return true;
    }
    return false;
}

bool sp_forwarded_host_is_good(struct sp_slice value)
{
    struct sp_fault fault;

    return sp_host_check(value, &fault) == SP_OK;
}

bool sp_forwarded_port_is_good(struct sp_slice value)
{
    return is_port(value);
}

bool sp_forwarded_prefix_is_good(struct sp_slice value)
{
    struct sp_fault fault;

    return value.len > 1 && value.ptr[0] == '/' && sp_path_check(value, &fault) == SP_OK;
}

/* ---- Forwarded and Via ---- */

static bool is_token_byte(char c)
{
    return sp_method_is_token((struct sp_slice){&c, 1}); /* the same grammar */
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct cursor {
    struct sp_slice s;
    size_t at;
};

static bool is_at_end(const struct cursor *c)
{
    return c->at == c->s.len;
}

static bool take(struct cursor *c, char wanted)
{
    bool found = !is_at_end(c) && c->s.ptr[c->at] == wanted;

    c->at += found;
    return found;
}

static void skip_blanks(struct cursor *c)
{
    while (!is_at_end(c) && is_blank(c->s.ptr[c->at]))
        c->at++;
}

static struct sp_slice take_token(struct cursor *c)
{
    size_t from = c->at;

    while (!is_at_end(c) && is_token_byte(c->s.ptr[c->at]))
        c->at++;
    return sp_slice_sub(c->s, from, c->at);
}

/* Behind the opening quote, of printable ASCII alone. */
static bool take_quoted(struct cursor *c)
{
    for (; !is_at_end(c); c->at++) {
        char byte = c->s.ptr[c->at];
        if (byte == '"') {
            c->at++;
            return true;
        }
        if (byte == '\\')
            c->at++;
        if (is_at_end(c) || c->s.ptr[c->at] < 0x20 || c->s.ptr[c->at] > 0x7E)
            return false;
    }
    return false;
}

#define PARAMETERS_MAX 8 /* of one element; there are four */

/* for=…;proto=…: at least one, none of them twice. */
static bool take_element(struct cursor *c)
{
    struct sp_slice names[PARAMETERS_MAX];
    size_t count = 0;

    do {
        struct sp_slice name = take_token(c);
        if (name.len == 0 || count == PARAMETERS_MAX || !take(c, '='))
            return false;
        for (size_t i = 0; i < count; i++) {
            if (sp_slice_equal_nocase(names[i], name))
                return false;
        }
        names[count++] = name;
        if (take(c, '"') ? !take_quoted(c) : take_token(c).len == 0)
            return false;
    } while (take(c, ';'));
    return true;
}

static bool is_list(struct sp_slice value, bool (*take_member)(struct cursor *c))
{
    struct cursor c = {value, 0};

    do {
        skip_blanks(&c);
        if (!take_member(&c))
            return false;
        skip_blanks(&c);
    } while (take(&c, ','));
    return is_at_end(&c);
}

bool sp_forwarded_is_good(struct sp_slice value)
{
    return is_list(value, take_element);
}

/* Behind the opening parenthesis; they nest, but not without end. */
static bool take_comment(struct cursor *c)
{
    for (unsigned depth = 1; !is_at_end(c); c->at++) {
        char byte = c->s.ptr[c->at];
        depth += byte == '(';
        depth -= byte == ')';
        if (depth == 0) {
            c->at++;
            return true;
        }
        if (byte == '\\' && ++c->at == c->s.len)
            return false;
    }
    return false;
}

/* [ name "/" ] version, blanks, host or pseudonym with or without a port, and perhaps a comment. */
static bool take_hop(struct cursor *c)
{
    if (take_token(c).len == 0 || (take(c, '/') && take_token(c).len == 0))
        return false;
    size_t blank_at = c->at;
    skip_blanks(c);
    size_t from = c->at;
    while (!is_at_end(c) && (is_token_byte(c->s.ptr[c->at]) || memchr(":[]", c->s.ptr[c->at], 3) != NULL))
        c->at++;
    if (from == blank_at || c->at == from)
        return false;
    skip_blanks(c);
    return !take(c, '(') || take_comment(c);
}

bool sp_via_is_good(struct sp_slice value)
{
    return is_list(value, take_hop);
}
