/* The PROXY protocol, read. Strict: what the specification does not allow is an error, since whoever speaks it was
 * told to, and an address that is half understood would be believed.
 *
 * Two things are not errors although they give no address. What the relay says of its own connections (LOCAL, UNKNOWN)
 * is passed over unread, as the specification wants it. And what a relay may have accepted over something other
 * than TCP (unix sockets, datagrams, an unspecified family) is checked as far as its form is known.
 *
 * An IPv4 address that comes as an IPv6 one (a relay that listens on "[::]") is IPv4 here, as everywhere else: rules and
 * limits would not know it otherwise. */
#include <arpa/inet.h>

#include "proxy_wire.h"
#include "sallyport/io/proxy_protocol.h"

#define V1_START   "PROXY "
#define V1_MIN_LEN 15 /* PROXY UNKNOWN CR LF */

static const struct sp_slice v1_start = {V1_START, sizeof V1_START - 1};
static const struct sp_slice v2_start = {PROXY_SIGNATURE, PROXY_SIGNATURE_LEN};

static bool begins_alike(struct sp_slice in, struct sp_slice start)
{
    size_t common = in.len < start.len ? in.len : start.len;
    return common == 0 || memcmp(in.ptr, start.ptr, common) == 0;
}

bool sp_proxy_is_likely(struct sp_slice in)
{
    return begins_alike(in, v1_start) || begins_alike(in, v2_start);
}

static enum sp_rc need(size_t *used, size_t total)
{
    *used = total;
    return SP_AGAIN;
}

static void set_in4(struct sp_addr *out, const void *bytes, uint16_t port)
{
    out->len = sizeof out->u.in4;
    out->u.in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(&out->u.in4.sin_addr, bytes, 4);
}

static void set_in6(struct sp_addr *out, const void *bytes, uint16_t port)
{
    struct in6_addr address;
    memcpy(&address, bytes, sizeof address);
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
        set_in4(out, address.s6_addr + 12, port);
        return;
    }
    out->len = sizeof out->u.in6;
    out->u.in6 =
        (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = address};
}

/* ---- version 1: a line ---- */

/* The next word, which `end` ends; false without that. */
static bool take_word(struct sp_slice *line, char end, struct sp_slice *word)
{
    const char *at = line->len > 0 ? memchr(line->ptr, end, line->len) : NULL;
    if (at == NULL)
        return false;
    *word = (struct sp_slice){line->ptr, (size_t)(at - line->ptr)};
    *line = sp_slice_sub(*line, word->len + 1, line->len);
    return true;
}

static bool parse_port(struct sp_slice text, uint16_t *port)
{
    uint32_t n = 0;
    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!sp_is_digit(text.ptr[i]))
            return false;
        n = n * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *port = (uint16_t)n;
    return n <= 65535;
}

/* inet_pton takes no leading zeros in IPv4, and nothing but an address. */
static bool parse_address(struct sp_slice text, int family, uint16_t port, struct sp_addr *out)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    if (text.len >= sizeof copy || (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL))
        return false;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(family, copy, bytes) != 1)
        return false;
    if (family == AF_INET)
        set_in4(out, bytes, port);
    else
        set_in6(out, bytes, port);
    return true;
}

static enum sp_rc parse_addresses(
    struct sp_slice line, int family, struct sp_proxy_header *out, struct sp_err *err)
{
    struct sp_slice source, destination, source_port, destination_port;
    uint16_t ports[2];
    if (!take_word(&line, ' ', &source) || !take_word(&line, ' ', &destination) ||
        !take_word(&line, ' ', &source_port) || !take_word(&line, '\r', &destination_port) || line.len != 0)
        return sp_err_set(err, "version 1: not two addresses and two ports, one space between each");
    if (!parse_port(source_port, &ports[0]) || !parse_port(destination_port, &ports[1]))
        return sp_err_set(err, "version 1: a port is no number up to 65535");
    if (!parse_address(source, family, ports[0], &out->source))
        return sp_err_set(err, "version 1: the source is no %s address", family == AF_INET ? "IPv4" : "IPv6");
    if (!parse_address(destination, family, ports[1], &out->destination))
        return sp_err_set(
            err, "version 1: the destination is no %s address", family == AF_INET ? "IPv4" : "IPv6");
    return SP_OK;
}

/* `line` is without its LF. */
static enum sp_rc parse_line(struct sp_slice line, struct sp_proxy_header *out, struct sp_err *err)
{
    static const struct sp_slice tcp4 = {"TCP4 ", 5}, tcp6 = {"TCP6 ", 5};
    static const struct sp_slice unknown = {"UNKNOWN ", 8}, unknown_end = {"UNKNOWN\r", 8};
    line = sp_slice_sub(line, v1_start.len, line.len);
    if (sp_slice_starts(line, unknown) || sp_slice_starts(line, unknown_end)) {
        out->is_local = true;
        return SP_OK;
    }
    if (sp_slice_starts(line, tcp4))
        return parse_addresses(sp_slice_sub(line, tcp4.len, line.len), AF_INET, out, err);
    if (sp_slice_starts(line, tcp6))
        return parse_addresses(sp_slice_sub(line, tcp6.len, line.len), AF_INET6, out, err);
    return sp_err_set(err, "version 1: the family is none of TCP4, TCP6 and UNKNOWN");
}

/* SP_OK: it ends in CR LF, *len is with these. Nothing but the two together ends it, and neither is in it alone. */
static enum sp_rc find_end(struct sp_slice in, size_t *len, struct sp_err *err)
{
    size_t at = 0;
    while (at < in.len && at < SP_PROXY_V1_MAX && in.ptr[at] != '\r' && in.ptr[at] != '\n')
        at++;
    *len = at + 2;
    if (*len > SP_PROXY_V1_MAX)
        return sp_err_set(err, "version 1: the line has no end within %d bytes", SP_PROXY_V1_MAX);
    if ((at < in.len && in.ptr[at] == '\n') || (at + 1 < in.len && in.ptr[at + 1] != '\n'))
        return sp_err_set(err, "version 1: the line has a CR or an LF alone");
    return *len <= in.len ? SP_OK : SP_AGAIN;
}

static enum sp_rc parse_v1(struct sp_slice in, struct sp_proxy_header *out, size_t *used, struct sp_err *err)
{
    size_t len;
    enum sp_rc rc = find_end(in, &len, err);
    if (rc == SP_AGAIN)
        return need(used, len > V1_MIN_LEN ? len : V1_MIN_LEN);
    if (rc != SP_OK)
        return rc;
    *used = len;
    out->version = 1;
    return parse_line(sp_slice_sub(in, 0, len - 1), out, err);
}

/* ---- version 2: binary ---- */

static uint16_t get16(const char *p)
{
    return (uint16_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

static uint32_t get32(const char *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* Over the whole header, with zeros in place of the sum itself. */
static bool sum_fits(struct sp_slice header, struct sp_slice sum)
{
    static const char zeros[4] = {0};
    const char *behind = sum.ptr + sizeof zeros, *end = header.ptr + header.len;
    uint32_t crc = sp_crc32c(0, header.ptr, (size_t)(sum.ptr - header.ptr));
    crc = sp_crc32c(crc, zeros, sizeof zeros);
    crc = sp_crc32c(crc, behind, (size_t)(end - behind));
    return crc == get32(sum.ptr);
}

static enum sp_rc take_tlv(uint8_t type, struct sp_slice value, struct sp_slice header,
    struct sp_proxy_header *out, struct sp_err *err)
{
    switch (type) {
    case PROXY_TLV_ALPN:
        out->alpn = value;
        return SP_OK;
    case PROXY_TLV_AUTHORITY:
        out->authority = value;
        return SP_OK;
    case PROXY_TLV_UNIQUE_ID:
        if (value.len > PROXY_UNIQUE_ID_MAX)
            return sp_err_set(err, "version 2: a unique id of %zu bytes", value.len);
        out->unique_id = value;
        return SP_OK;
    case PROXY_TLV_CRC32C:
        if (value.len != 4)
            return sp_err_set(err, "version 2: a CRC32C of %zu bytes", value.len);
        if (!sum_fits(header, value))
            return sp_err_set(err, "version 2: the CRC32C does not fit");
        return SP_OK;
    default:
        return SP_OK;
    }
}

static enum sp_rc parse_tlvs(
    struct sp_slice header, size_t from, struct sp_proxy_header *out, struct sp_err *err)
{
    while (from < header.len) {
        struct sp_slice rest = sp_slice_sub(header, from, header.len);
        size_t len = rest.len >= PROXY_TLV_HEAD_LEN ? get16(rest.ptr + 1) : 0;
        if (rest.len < PROXY_TLV_HEAD_LEN || len > rest.len - PROXY_TLV_HEAD_LEN)
            return sp_err_set(err, "version 2: the TLV at byte %zu goes beyond the end", from);
        struct sp_slice value = {rest.ptr + PROXY_TLV_HEAD_LEN, len};
        if (take_tlv((uint8_t)rest.ptr[0], value, header, out, err) != SP_OK)
            return SP_FAIL;
        from += PROXY_TLV_HEAD_LEN + len;
    }
    return SP_OK;
}

/* Whose addresses these are and how long they are. Only TCP's are taken. */
static const struct family {
    uint8_t code;
    size_t len;
} families[] = {
    {PROXY_TCP4, PROXY_TCP4_LEN},
    {PROXY_UDP4, PROXY_TCP4_LEN},
    {PROXY_TCP6, PROXY_TCP6_LEN},
    {PROXY_UDP6, PROXY_TCP6_LEN},
    {PROXY_UNIX_STREAM, PROXY_UNIX_LEN},
    {PROXY_UNIX_DGRAM, PROXY_UNIX_LEN},
};

static const struct family *family_of(uint8_t code)
{
    for (size_t i = 0; i < SP_COUNTOF(families); i++) {
        if (families[i].code == code)
            return &families[i];
    }
    return NULL;
}

static enum sp_rc parse_block(struct sp_slice header, struct sp_proxy_header *out, struct sp_err *err)
{
    uint8_t code = (uint8_t)header.ptr[13];
    const char *at = header.ptr + PROXY_HEAD_LEN;
    if (code ==
        PROXY_UNSPEC) /* how long its addresses are nobody knows, so that what follows is not known either */
        return SP_OK;
    const struct family *family = family_of(code);
    if (family == NULL)
        return sp_err_set(err, "version 2: the family is 0x%02x", code);
    if (header.len - PROXY_HEAD_LEN < family->len)
        return sp_err_set(err, "version 2: %zu bytes are too few for addresses of family 0x%02x",
            header.len - PROXY_HEAD_LEN, code);
    if (code == PROXY_TCP4) {
        set_in4(&out->source, at, get16(at + 8));
        set_in4(&out->destination, at + 4, get16(at + 10));
    } else if (code == PROXY_TCP6) {
        set_in6(&out->source, at, get16(at + 32));
        set_in6(&out->destination, at + 16, get16(at + 34));
    }
    return parse_tlvs(header, PROXY_HEAD_LEN + family->len, out, err);
}

static enum sp_rc parse_v2(struct sp_slice in, struct sp_proxy_header *out, size_t *used, struct sp_err *err)
{
    if (in.len > 12 && (uint8_t)in.ptr[12] != PROXY_LOCAL && (uint8_t)in.ptr[12] != PROXY_PROXY)
        return sp_err_set(err, "version 2: version and command are 0x%02x", (unsigned)(uint8_t)in.ptr[12]);
    if (in.len < PROXY_HEAD_LEN)
        return need(used, PROXY_HEAD_LEN);
    size_t total = PROXY_HEAD_LEN + get16(in.ptr + 14);
    if (total > SP_PROXY_READ_MAX)
        return sp_err_set(
            err, "version 2: %zu bytes are more than the %d that are taken", total, SP_PROXY_READ_MAX);
    if (in.len < total)
        return need(used, total);
    *used = total;
    out->version = 2;
    out->is_local = (uint8_t)in.ptr[12] == PROXY_LOCAL;
    return out->is_local ? SP_OK : parse_block(sp_slice_sub(in, 0, total), out, err);
}

enum sp_rc sp_proxy_parse(struct sp_slice in, struct sp_proxy_header *out, size_t *used, struct sp_err *err)
{
    *out = (struct sp_proxy_header){0};
    *used = 0;
    if (in.len == 0)
        return need(used, V1_MIN_LEN);
    if (begins_alike(in, v2_start))
        return in.len < v2_start.len ? need(used, PROXY_HEAD_LEN) : parse_v2(in, out, used, err);
    if (begins_alike(in, v1_start))
        return in.len < v1_start.len ? need(used, V1_MIN_LEN) : parse_v1(in, out, used, err);
    return sp_err_set(err, "it begins as no PROXY protocol header does");
}
