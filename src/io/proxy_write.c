/* The PROXY protocol, written. All of version 2 is measured before a byte of it is: names and certificates are the
 * client's to choose, and its length has 16 bits. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "proxy_wire.h"
#include "sallyport/io/proxy_protocol.h"

#define LEN_MAX     65535 /* behind the first 16 bytes */
#define SSL_FIXED   5     /* flags, verify */
#define NOT_PROVEN  1     /* of verify: anything but 0 */
#define CRC_TLV_LEN (PROXY_TLV_HEAD_LEN + 4)

/* Both ends of a connection in one family; 0: they are not of TCP over IP. */
struct ends {
    int family;
    uint8_t bytes[2][16];
    uint16_t ports[2];
};

static bool is_of(const struct sp_addr *a, int family)
{
    return a->len != 0 && a->u.sa.sa_family == family;
}

static void put_end(struct ends *e, int i, const struct sp_addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    e->ports[i] = sp_addr_port(a);
    if (is_of(a, AF_INET6)) {
        memcpy(e->bytes[i], &a->u.in6.sin6_addr, 16);
    } else if (e->family == AF_INET) {
        memcpy(e->bytes[i], &a->u.in4.sin_addr, 4);
    } else {
        memcpy(e->bytes[i], mapped, sizeof mapped);
        memcpy(e->bytes[i] + sizeof mapped, &a->u.in4.sin_addr, 4);
    }
}

/* Where one is IPv4 and the other IPv6, which a relay before us may have said, it is said as IPv6. */
static struct ends ends_of(const struct sp_proxy_about *about)
{
    const struct sp_addr *from = &about->source, *to = &about->destination;
    struct ends e = {0};
    bool from4 = is_of(from, AF_INET), to4 = is_of(to, AF_INET);
    if ((!from4 && !is_of(from, AF_INET6)) || (!to4 && !is_of(to, AF_INET6)))
        return e;
    e.family = from4 && to4 ? AF_INET : AF_INET6;
    put_end(&e, 0, from);
    put_end(&e, 1, to);
    return e;
}

size_t sp_proxy_write_v1(const struct sp_proxy_about *about, char out[SP_PROXY_V1_MAX])
{
    char line[SP_PROXY_V1_MAX + 1], source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
    struct ends e = ends_of(about);
    int len;
    if (e.family == 0)
        len = snprintf(line, sizeof line, "PROXY UNKNOWN\r\n");
    else
        len = snprintf(line, sizeof line, "PROXY TCP%c %s %s %u %u\r\n", e.family == AF_INET ? '4' : '6',
            inet_ntop(e.family, e.bytes[0], source, sizeof source),
            inet_ntop(e.family, e.bytes[1], destination, sizeof destination), e.ports[0], e.ports[1]);
    SP_ASSERT(len > 0 && len <= SP_PROXY_V1_MAX);
    memcpy(out, line, (size_t)len);
    return (size_t)len;
}

/* ---- version 2 ---- */

struct tlv {
    uint8_t type;
    struct sp_slice value; /* none or empty: not said */
};

static size_t length_of(const struct tlv *tlvs, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += tlvs[i].value.len > 0 ? PROXY_TLV_HEAD_LEN + tlvs[i].value.len : 0;
    return len;
}

static char *put16(char *p, size_t n)
{
    *p++ = (char)(n >> 8);
    *p++ = (char)n;
    return p;
}

static char *put32(char *p, uint32_t n)
{
    return put16(put16(p, n >> 16), n & 0xffff);
}

static char *put_bytes(char *p, const void *bytes, size_t len)
{
    memcpy(p, bytes, len);
    return p + len;
}

static char *put_tlv_head(char *p, uint8_t type, size_t len)
{
    *p++ = (char)type;
    return put16(p, len);
}

static char *put_tlvs(char *p, const struct tlv *tlvs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sp_slice value = tlvs[i].value;
        if (value.len > 0)
            p = put_bytes(put_tlv_head(p, tlvs[i].type, value.len), value.ptr, value.len);
    }
    return p;
}

static char *put_head(char *p, const struct ends *e, size_t len)
{
    size_t address_len = e->family == AF_INET ? 4 : 16;
    p = put_bytes(p, PROXY_SIGNATURE, PROXY_SIGNATURE_LEN);
    *p++ = (char)(e->family == 0 ? PROXY_LOCAL : PROXY_PROXY);
    *p++ = (char)(e->family == 0 ? PROXY_UNSPEC : e->family == AF_INET ? PROXY_TCP4 : PROXY_TCP6);
    p = put16(p, len);
    if (e->family == 0)
        return p;
    p = put_bytes(p, e->bytes[0], address_len);
    p = put_bytes(p, e->bytes[1], address_len);
    return put16(put16(p, e->ports[0]), e->ports[1]);
}

static char *put_ssl(char *p, const struct sp_proxy_about *about, const struct tlv *parts, size_t count)
{
    unsigned flags = PROXY_CLIENT_SSL;
    if (about->has_certificate)
        flags |= PROXY_CLIENT_CERT_SESS | (about->certificate_is_of_session ? 0 : PROXY_CLIENT_CERT_CONN);
    p = put_tlv_head(p, PROXY_TLV_SSL, SSL_FIXED + length_of(parts, count));
    *p++ = (char)flags;
    return put_tlvs(put32(p, about->has_certificate ? 0 : NOT_PROVEN), parts, count);
}

enum sp_rc sp_proxy_write_v2(const struct sp_proxy_about *about, struct sp_buf *out, struct sp_err *err)
{
    const struct sp_slice none = {NULL, 0};
    bool proven = about->has_certificate;
    const struct tlv plain[] = {
        {PROXY_TLV_ALPN, about->alpn},
        {PROXY_TLV_AUTHORITY, about->authority},
        {PROXY_TLV_UNIQUE_ID, about->unique_id},
    };
    const struct tlv parts[] = {
        {PROXY_SSL_VERSION, about->tls_version},
        {PROXY_SSL_CN, proven ? about->common_name : none},
        {PROXY_SSL_CIPHER, about->cipher},
        {PROXY_SSL_SIG_ALG, about->sig_alg},
        {PROXY_SSL_KEY_ALG, about->key_alg},
        {PROXY_SSL_GROUP, about->group},
        {PROXY_SSL_SIG_SCHEME, about->sig_scheme},
        {PROXY_SSL_CLIENT_CERT, proven ? about->certificate : none},
    };
    struct ends e = ends_of(about);
    size_t len = e.family == 0 ? 0 : e.family == AF_INET ? PROXY_TCP4_LEN : PROXY_TCP6_LEN;
    len += length_of(plain, SP_COUNTOF(plain)) + CRC_TLV_LEN;
    if (about->has_tls)
        len += PROXY_TLV_HEAD_LEN + SSL_FIXED + length_of(parts, SP_COUNTOF(parts));
    if (len > LEN_MAX || about->unique_id.len > PROXY_UNIQUE_ID_MAX)
        return sp_err_sys(err, EMSGSIZE, "a PROXY protocol header of %zu bytes", PROXY_HEAD_LEN + len);
    char *start = sp_buf_room(out, PROXY_HEAD_LEN + len);
    if (start == NULL)
        return sp_err_sys(err, ENOMEM, "a PROXY protocol header of %zu bytes", PROXY_HEAD_LEN + len);
    char *p = put_tlvs(put_head(start, &e, len), plain, SP_COUNTOF(plain));
    if (about->has_tls)
        p = put_ssl(p, about, parts, SP_COUNTOF(parts));
    p = put32(put_tlv_head(p, PROXY_TLV_CRC32C, 4), 0);
    SP_ASSERT(p == start + PROXY_HEAD_LEN + len);
    (void)put32(p - 4, sp_crc32c(0, start, PROXY_HEAD_LEN + len));
    out->len += PROXY_HEAD_LEN + len;
    return SP_OK;
}
