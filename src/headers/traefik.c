/* Traefik's PassTLSClientCert with all of its options on: `pem`, and every field of `info`.
 *
 *   X-Forwarded-Tls-Client-Cert       base64 of the DER; the intermediates behind it, separated by commas
 *   X-Forwarded-Tls-Client-Cert-Info  Subject="…";Issuer="…";SerialNumber="…";NB="…";NA="…";SAN="…", then escaped as
 *                                     a query; of the leaf alone
 *
 * Names are TYPE=value with commas between, in Traefik's own order of types, values in the order of the certificate; of CN and
 * serialNumber only the last, as Traefik reads them. It escapes nothing inside a value, so `O=a",CN=admin` would say what
 * no certificate says: a name for which that is possible has no spelling here and is refused. */
#include <arpa/inet.h>
#include <errno.h>

#include "families.h"

struct type {
    const char *type; /* as sp_identity has it */
    const char *key;
    bool last_only;
};

static const struct type SUBJECT[] = {
    {"DC", "DC", false},
    {"C", "C", false},
    {"ST", "ST", false},
    {"L", "L", false},
    {"O", "O", false},
    {"OU", "OU", false},
    {"serialNumber", "SN", true},
    {"CN", "CN", true},
};
static const struct type ISSUER[] = {
    {"DC", "DC", false},
    {"C", "C", false},
    {"ST", "ST", false},
    {"L", "L", false},
    {"O", "O", false},
    {"serialNumber", "SN", true},
    {"CN", "CN", true},
};

/* A quote ends the field, and a comma with a '=' somewhere behind it may begin another attribute. */
static bool is_ambiguous(struct sp_slice value)
{
    const char *comma = value.len > 0 ? memchr(value.ptr, ',', value.len) : NULL;

    if (value.len > 0 && memchr(value.ptr, '"', value.len) != NULL)
        return true;
    return comma != NULL && memchr(comma, '=', value.len - (size_t)(comma - value.ptr)) != NULL;
}

static void add_pair(
    struct sp_headers_writer *w, struct sp_buf *out, size_t begin, const char *key, struct sp_slice value)
{
    if (value.len == 0)
        return;
    if (is_ambiguous(value))
        sp_headers_refuse(w, SP_SLICE("X-Forwarded-Tls-Client-Cert-Info"),
            "an attribute of a name could be read as two, and the format has no escape");
    sp_buf_printf(out, "%s%s=", out->len > begin ? "," : "", key);
    sp_buf_add_slice(out, value);
}

/* `attrs` in the order of the certificate. */
static void add_name(struct sp_headers_writer *w, struct sp_buf *out, const char *field,
    const struct sp_name_attr *attrs, size_t count, const struct type *types, size_t type_count)
{
    size_t before = out->len;

    sp_buf_printf(out, "%s%s=\"", before > 0 ? ";" : "", field);
    size_t begin = out->len;
    for (size_t t = 0; t < type_count; t++) {
        struct sp_slice last = {NULL, 0};
        for (size_t i = 0; i < count; i++) {
            if (!sp_slice_equal(attrs[i].type, sp_slice_of(types[t].type)))
                continue;
            last = attrs[i].value;
            if (!types[t].last_only)
                add_pair(w, out, begin, types[t].key, last);
        }
        if (types[t].last_only)
            add_pair(w, out, begin, types[t].key, last);
    }
    if (out->len == begin)
        out->len = before;
    else
        sp_buf_add_char(out, '"');
}

/* ---- the serial number, which is decimal here ---- */

#define LIMB_BASE  UINT32_C(1000000000)
#define HEX_DIGITS 7 /* a limb times 2^28 and another one fit 64 bits */

static unsigned hex_value(char c)
{
    return (unsigned)(sp_is_digit(c) ? c - '0' : c - 'a' + 10);
}

static void add_decimal(struct sp_buf *out, struct sp_slice hex)
{
    size_t at = hex.len > 0 && hex.ptr[0] == '-', count = 1;
    uint32_t *limbs = sp_alloc(hex.len / HEX_DIGITS + 2, sizeof(*limbs));

    if (limbs == NULL) {
        out->failed = true;
        return;
    }
    sp_buf_add_str(out, at > 0 ? "-" : "");
    while (at < hex.len) {
        uint64_t carry = 0, times = 1;
        for (unsigned n = 0; n < HEX_DIGITS && at < hex.len; n++) {
            carry = carry << 4 | hex_value(hex.ptr[at++]);
            times <<= 4;
        }
        for (size_t i = 0; i < count; i++) {
            carry += limbs[i] * times;
            limbs[i] = (uint32_t)(carry % LIMB_BASE);
            carry /= LIMB_BASE;
        }
        if (carry > 0)
            limbs[count++] = (uint32_t)carry;
    }
    sp_buf_printf(out, "%u", limbs[count - 1]);
    for (size_t i = count - 1; i-- > 0;)
        sp_buf_printf(out, "%09u", limbs[i]);
    sp_free(limbs);
}

/* ---- the other names ---- */

static void add_comma(struct sp_buf *out, size_t begin)
{
    if (out->len > begin)
        sp_buf_add_char(out, ',');
}

static void add_each(struct sp_buf *out, size_t begin, const struct sp_slices *names)
{
    for (size_t i = 0; i < names->count; i++) {
        add_comma(out, begin);
        sp_buf_add_slice(out, names->items[i]);
    }
}

/* As Go spells it: an IPv4 address in IPv6 (::ffff:10.0.0.1) is that address, and no other has dots, where inet_ntop says
 * ::1.2.3.4 for ::102:304. */
static void add_ip(struct sp_buf *out, struct sp_slice ip)
{
    static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff}, ZEROS[12] = {0};
    const uint8_t *b = (const uint8_t *)ip.ptr;
    char text[INET6_ADDRSTRLEN];

    if (ip.len == 16 && memcmp(b, MAPPED, sizeof(MAPPED)) == 0)
        ip = sp_slice_sub(ip, sizeof(MAPPED), ip.len);
    if (ip.len == 16 && memcmp(b, ZEROS, sizeof(ZEROS)) == 0 && (b[12] != 0 || b[13] != 0))
        sp_buf_printf(out, "::%x:%x", (unsigned)b[12] << 8 | b[13], (unsigned)b[14] << 8 | b[15]);
    else if (inet_ntop(ip.len == 4 ? AF_INET : AF_INET6, ip.ptr, text, sizeof(text)) != NULL)
        sp_buf_add_str(out, text);
}

static void add_ips(struct sp_buf *out, size_t begin, const struct sp_slices *ips)
{
    for (size_t i = 0; i < ips->count; i++) {
        add_comma(out, begin);
        add_ip(out, ips->items[i]);
    }
}

static void add_sans(struct sp_buf *out, const struct sp_identity *id)
{
    size_t before = out->len;

    sp_buf_add_str(out, before > 0 ? ";SAN=\"" : "SAN=\"");
    size_t begin = out->len;
    add_each(out, begin, &id->dns_names);
    add_each(out, begin, &id->emails);
    add_ips(out, begin, &id->ips);
    add_each(out, begin, &id->uris);
    if (out->len == begin)
        out->len = before;
    else
        sp_buf_add_char(out, '"');
}

/* As a form field: blanks are '+', and every byte but letters, digits and "-_.~" is %XX. */
static void escape_query(struct sp_buf *out, struct sp_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], l = sp_lower(c);
        if (sp_is_digit(c) || (l >= 'a' && l <= 'z') || c == '-' || c == '_' || c == '.' || c == '~')
            sp_buf_add_char(out, c);
        else if (c == ' ')
            sp_buf_add_char(out, '+');
        else
            sp_buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

static void put_info(struct sp_headers_writer *w, const struct sp_identity *id)
{
    struct sp_buf info = {0}, escaped = {0};

    add_name(w, &info, "Subject", id->subject_attrs, id->subject_attr_count, SUBJECT, SP_COUNTOF(SUBJECT));
    add_name(w, &info, "Issuer", id->issuer_attrs, id->issuer_attr_count, ISSUER, SP_COUNTOF(ISSUER));
    if (id->serial_hex.len > 0) {
        sp_buf_add_str(&info, info.len > 0 ? ";SerialNumber=\"" : "SerialNumber=\"");
        add_decimal(&info, id->serial_hex);
        sp_buf_add_char(&info, '"');
    }
    if (sp_headers_has_validity(id))
        sp_buf_printf(&info, "%sNB=\"%lld\";NA=\"%lld\"", info.len > 0 ? ";" : "", (long long)id->not_before,
            (long long)id->not_after);
    add_sans(&info, id);
    escape_query(&escaped, sp_buf_slice(&info));
    escaped.failed = escaped.failed || info.failed;
    sp_buf_free(&info);
    sp_headers_put_buf(w, SP_SLICE("X-Forwarded-Tls-Client-Cert-Info"), &escaped);
}

void sp_headers_put_traefik(struct sp_headers_writer *w, const struct sp_identity *id)
{
    struct sp_buf certificates = {0};
    struct sp_slice leaf, chain, base64;

    if (id == NULL)
        return;
    leaf = id->client_cert;
    chain = id->client_cert_chain;
    while (sp_headers_next_base64(&leaf, &base64) || sp_headers_next_base64(&chain, &base64)) {
        add_comma(&certificates, 0);
        sp_buf_add_slice(&certificates, base64);
    }
    sp_headers_put_buf(w, SP_SLICE("X-Forwarded-Tls-Client-Cert"), &certificates);
    put_info(w, id);
}
