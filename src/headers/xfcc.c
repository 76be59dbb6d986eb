/* X-Forwarded-Client-Cert as Envoy has it: an element for each hop, `key=value` pairs separated by ';', elements by ','. A
 * value that holds one of ",;=" stands in double quotes, in which '"' is written \" and nothing else is escaped. So a
 * backslash at the end of a value, or a quote in one, is read differently by different readers: neither is ever written.
 *
 *   By       the URI name of our own certificate
 *   Hash     SHA-256 of the leaf, lower-case hex
 *   Cert     the leaf as percent-encoded PEM; only with xfcc_details
 *   Chain    leaf and intermediates likewise, without the trust anchor; only with xfcc_details
 *   Subject  RFC 4514, always quoted and always there, "" for an empty one, as Envoy does; what RFC 4514 escapes by a
 *            backslash alone is a hex pair (\2C for \,), which is the same name
 *   URI, DNS each name of the certificate, as often as there are */
#include "families.h"

/* Quoted if need be. False: there is no spelling. */
static bool add_value(struct sp_buf *out, struct sp_slice value)
{
    bool quoted = false;

    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            return false;
        quoted = quoted || c == ',' || c == ';' || c == '=';
    }
    sp_buf_add_str(out, quoted ? "\"" : "");
    sp_buf_add_slice(out, value);
    sp_buf_add_str(out, quoted ? "\"" : "");
    return true;
}

static bool is_hex(char c)
{
    c = sp_lower(c);
    return sp_is_digit(c) || (c >= 'a' && c <= 'f');
}

/* Of RFC 4514's two ways to escape a byte, `\,` becomes `\2C`; what is a hex pair already stays. */
static void add_subject(struct sp_buf *out, struct sp_slice dn)
{
    sp_buf_add_str(out, out->len > 0 ? ";Subject=\"" : "Subject=\"");
    for (size_t i = 0; i < dn.len; i++) {
        char c = dn.ptr[i];
        if (c == '\\' && i + 1 < dn.len && !is_hex(dn.ptr[i + 1]))
            sp_buf_printf(out, "\\%02X", (unsigned)(unsigned char)dn.ptr[++i]);
        else
            sp_buf_add_char(out, c);
    }
    sp_buf_add_char(out, '"');
}

static void add_names(
    struct sp_headers_writer *w, struct sp_buf *out, const char *key, const struct sp_slices *names)
{
    for (size_t i = 0; i < names->count; i++) {
        sp_buf_add_str(out, key);
        if (!add_value(out, names->items[i]))
            sp_headers_refuse(w, SP_XFCC_NAME, "a name of the certificate holds '\"' or '\\'");
    }
}

static void add_certificates(struct sp_buf *out, const struct sp_identity *id, unsigned details)
{
    struct sp_slice leaf = id->client_cert, chain = id->client_cert_chain, base64;

    if (!sp_headers_next_base64(&leaf, &base64))
        return;
    if (details & SP_XFCC_CERT) {
        sp_buf_add_str(out, ";Cert=\"");
        sp_headers_add_pem(out, base64, SP_PEM_UNRESERVED);
        sp_buf_add_char(out, '"');
    }
    if ((details & SP_XFCC_CHAIN) == 0)
        return;
    sp_buf_add_str(out, ";Chain=\"");
    do
        sp_headers_add_pem(out, base64, SP_PEM_UNRESERVED);
    while (sp_headers_next_base64(&chain, &base64));
    sp_buf_add_char(out, '"');
}

struct sp_slice sp_headers_xfcc_element(
    struct sp_headers_writer *w, const struct sp_headers_about *about, unsigned details)
{
    const struct sp_identity *id = about->identity;
    struct sp_buf out = {0};

    if (id == NULL)
        return (struct sp_slice){NULL, 0};
    if (about->own_uri.len > 0) {
        sp_buf_add_str(&out, "By=");
        if (!add_value(&out, about->own_uri))
            sp_buf_reset(&out); /* of the operator's own making: nobody is refused for it */
    }
    if (id->sha256_hex.len > 0) /* what was only written down (sp_identity_from_fields) may have none */
        sp_buf_printf(&out, "%sHash=%.*s", out.len > 0 ? ";" : "", SP_FMT(id->sha256_hex));
    add_certificates(&out, id, details);
    add_subject(&out, id->subject);
    add_names(w, &out, ";URI=", &id->uris);
    add_names(w, &out, ";DNS=", &id->dns_names);
    return sp_headers_keep(w, SP_XFCC_NAME, &out);
}
