/* Address blocks: parsed once, compared by bytes. An IPv4-mapped IPv6 address counts as the IPv4 address that it stands
 * for, on both sides, so that a dual-stack socket cannot make a block miss. */
#include <arpa/inet.h>

#include "sallyport/base/text.h"
#include "sallyport/match/match.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool parse_address(struct sp_slice text, struct sp_cidr *out)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, out->bytes) == 1)
        out->len = 4;
    else if (inet_pton(AF_INET6, copy, out->bytes) == 1)
        out->len = 16;
    return out->len != 0;
}

static bool has_bits_behind(const struct sp_cidr *c)
{
    for (unsigned i = c->bits; i < c->len * 8u; i++) {
        if (c->bytes[i / 8] >> (7 - i % 8) & 1)
            return true;
    }
    return false;
}

/* A block within ::ffff:0:0/96 is one of IPv4. */
static void unmap(struct sp_cidr *c)
{
    if (c->len != 16 || c->bits < 96 || memcmp(c->bytes, mapped_prefix, sizeof(mapped_prefix)) != 0)
        return;
    memmove(c->bytes, c->bytes + 12, 4);
    memset(c->bytes + 4, 0, 12);
    c->len = 4;
    c->bits = (uint8_t)(c->bits - 96);
}

const char *sp_cidr_compile(struct sp_slice text, struct sp_cidr *out)
{
    static const char expected[] = "expected an address or a block such as 192.0.2.0/24 or 2001:db8::/32";
    const char *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
    size_t address = slash != NULL ? (size_t)(slash - text.ptr) : text.len;
    uint64_t bits = 0;

    *out = (struct sp_cidr){.len = 0};
    if (!parse_address((struct sp_slice){text.ptr, address}, out))
        return expected;
    bits = out->len * 8u;
    if (slash != NULL) {
        struct sp_slice length = sp_slice_sub(text, address + 1, text.len);
        bool padded = length.len > 1 && length.ptr[0] == '0';
        if (padded || !sp_parse_u64(length, &bits))
            return expected;
        if (bits > out->len * 8u)
            return out->len == 4 ? "expected a length of 0 to 32 behind \"/\""
                                 : "expected a length of 0 to 128 behind \"/\"";
    }
    out->bits = (uint8_t)bits;
    if (has_bits_behind(out))
        return "expected no bit set behind the prefix: either the address or the length is wrong";
    unmap(out);
    return NULL;
}

bool sp_cidr_match(const struct sp_cidr *c, const uint8_t *bytes, size_t len)
{
    if (len == 16 && memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        bytes += 12;
        len = 4;
    }
    if (len != c->len)
        return false;
    size_t whole = c->bits / 8;
    unsigned rest = c->bits % 8;
    return memcmp(bytes, c->bytes, whole) == 0 &&
           (rest == 0 || (bytes[whole] ^ c->bytes[whole]) >> (8 - rest) == 0);
}

bool sp_cidr_match_addr(const struct sp_cidr *c, const struct sp_addr *addr)
{
    if (addr == NULL || addr->len == 0)
        return false;
    switch (addr->u.sa.sa_family) {
    case AF_INET:
        return sp_cidr_match(c, (const uint8_t *)&addr->u.in4.sin_addr, 4);
    case AF_INET6:
        return sp_cidr_match(c, addr->u.in6.sin6_addr.s6_addr, 16);
    default:
        return false;
    }
}
