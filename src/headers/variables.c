/* The variables of templates: what of an identity or a connection can be said, and how. One row each at the end of the file.
 *
 * Safe by construction: attribute values come escaped by RFC 4514 §2.4, with control and non-ASCII bytes as hex pairs;
 * several values are joined by ',', and one inside a value is escaped, so that they come apart again. */
#include <arpa/inet.h>

#include "sallyport/base/text.h"
#include "templates.h"

/* ---- values ---- */

static bool is_special(char c)
{
    return c == ',' || c == '+' || c == '"' || c == '\\' || c == '<' || c == '>' || c == ';';
}

/* RFC 4514 §2.4, in ASCII. A blank at an end is a hex pair, because "\ " would lose it on the way. */
static void add_escaped(struct sp_buf *out, struct sp_slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        bool is_edge = i == 0 || i + 1 == value.len;
        if (c < 0x20 || c > 0x7e || (is_edge && c == ' ')) {
            sp_buf_printf(out, "\\%02X", (unsigned)c);
            continue;
        }
        if ((i == 0 && c == '#') || is_special((char)c))
            sp_buf_add_char(out, '\\');
        sp_buf_add_char(out, (char)c);
    }
}

/* A name that is no attribute: only what joins and escapes is escaped. */
static void add_member(struct sp_buf *out, size_t begin, struct sp_slice value)
{
    if (out->len > begin)
        sp_buf_add_char(out, ',');
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == ',' || value.ptr[i] == '\\')
            sp_buf_add_char(out, '\\');
        sp_buf_add_char(out, value.ptr[i]);
    }
}

/* ---- variables: each appends its value, nothing if it is absent ---- */

static void add_attrs(
    struct sp_buf *out, const struct sp_template_part *part, const struct sp_name_attr *attrs, size_t count)
{
    bool is_first = true; /* a value may be empty, and counts */

    for (size_t i = 0; i < count; i++) {
        if (!sp_slice_equal(attrs[i].type, part->text))
            continue;
        sp_buf_add_str(out, is_first ? "" : ",");
        add_escaped(out, attrs[i].value);
        is_first = false;
    }
}

static void add_list(struct sp_buf *out, const struct sp_slices *list)
{
    size_t begin = out->len;

    for (size_t i = 0; i < list->count; i++)
        add_member(out, begin, list->items[i]);
}

#define VARIABLE(fn)                                                                                         \
    static void fn(                                                                                          \
        struct sp_buf *out, const struct sp_template_part *part, const struct sp_headers_about *about)
#define WITHOUT_PART (void)part

VARIABLE(subject)
{
    WITHOUT_PART;
    sp_headers_add_dn(out, about->identity->subject);
}

VARIABLE(issuer)
{
    WITHOUT_PART;
    sp_headers_add_dn(out, about->identity->issuer);
}

VARIABLE(subject_attr)
{
    add_attrs(out, part, about->identity->subject_attrs, about->identity->subject_attr_count);
}

VARIABLE(issuer_attr)
{
    add_attrs(out, part, about->identity->issuer_attrs, about->identity->issuer_attr_count);
}

VARIABLE(serial)
{
    WITHOUT_PART;
    sp_buf_add_slice(out, about->identity->serial_hex);
}

VARIABLE(sha256)
{
    WITHOUT_PART;
    sp_buf_add_slice(out, about->identity->sha256_hex);
}

VARIABLE(sha1)
{
    WITHOUT_PART;
    sp_buf_add_slice(out, about->identity->sha1_hex);
}

VARIABLE(spki_sha256)
{
    static const uint8_t NONE[sizeof(about->identity->spki_sha256)]; /* of no key */
    const uint8_t *digest = about->identity->spki_sha256;
    char text[2 * sizeof(about->identity->spki_sha256) + 1];

    WITHOUT_PART;
    if (memcmp(digest, NONE, sizeof(NONE)) != 0)
        sp_buf_add_str(out, sp_hex(digest, sizeof(about->identity->spki_sha256), text));
}

VARIABLE(thumbprint)
{
    WITHOUT_PART;
    sp_buf_add_slice(out, about->identity->sha256_b64url);
}

VARIABLE(uri)
{
    WITHOUT_PART;
    add_list(out, &about->identity->uris);
}

VARIABLE(dns)
{
    WITHOUT_PART;
    add_list(out, &about->identity->dns_names);
}

VARIABLE(email)
{
    WITHOUT_PART;
    add_list(out, &about->identity->emails);
}

VARIABLE(ip)
{
    const struct sp_slices *ips = &about->identity->ips;
    size_t begin = out->len;
    char text[INET6_ADDRSTRLEN];

    WITHOUT_PART;
    for (size_t i = 0; i < ips->count; i++) {
        if (inet_ntop(ips->items[i].len == 4 ? AF_INET : AF_INET6, ips->items[i].ptr, text, sizeof(text)))
            add_member(out, begin, sp_slice_of(text));
    }
}

VARIABLE(not_before)
{
    WITHOUT_PART;
    if (sp_headers_has_validity(about->identity))
        sp_headers_add_time(out, about->identity->not_before);
}

VARIABLE(not_after)
{
    WITHOUT_PART;
    if (sp_headers_has_validity(about->identity))
        sp_headers_add_time(out, about->identity->not_after);
}

VARIABLE(policy)
{
    WITHOUT_PART;
    add_list(out, &about->identity->policies);
}

VARIABLE(qc_type)
{
    static const char *const WORDS[] = {
        [SP_QC_NONE] = "", [SP_QC_ESIGN] = "esign", [SP_QC_ESEAL] = "eseal", [SP_QC_WEB] = "web"};

    WITHOUT_PART;
    if (about->identity->qualified.is_qualified) /* as callers have it: a type alone qualifies nobody */
        sp_buf_add_str(out, WORDS[about->identity->qualified.type]);
}

VARIABLE(psd2_roles)
{
    static const char *const WORDS[] = {"PSP_AS", "PSP_PI", "PSP_AI", "PSP_IC"};
    size_t begin = out->len;

    WITHOUT_PART;
    for (unsigned i = 0; i < SP_COUNTOF(WORDS); i++) {
        if (about->identity->qualified.psd2_roles & (1u << i))
            add_member(out, begin, sp_slice_of(WORDS[i]));
    }
}

VARIABLE(psd2_authority)
{
    WITHOUT_PART;
    add_escaped(out, about->identity->qualified.authority);
}

VARIABLE(psd2_authority_id)
{
    WITHOUT_PART;
    add_escaped(out, about->identity->qualified.authority_id);
}

VARIABLE(listener)
{
    WITHOUT_PART;
    sp_buf_add_str(out, about->listener != NULL ? about->listener : "");
}

VARIABLE(sni)
{
    WITHOUT_PART;
    sp_buf_add_str(out, about->sni != NULL ? about->sni : "");
}

VARIABLE(tls)
{
    WITHOUT_PART;
    sp_buf_add_str(out, about->tls != NULL ? about->tls : "");
}

const struct sp_variable sp_variables[] = {
    {"subject", subject, SP_OF_IDENTITY, false},
    {"subject.", subject_attr, SP_OF_IDENTITY, true},
    {"issuer", issuer, SP_OF_IDENTITY, false},
    {"issuer.", issuer_attr, SP_OF_IDENTITY, true},
    {"serial", serial, SP_OF_IDENTITY, false},
    {"sha256", sha256, SP_OF_IDENTITY, false},
    {"sha1", sha1, SP_OF_IDENTITY, false},
    {"spki_sha256", spki_sha256, SP_OF_IDENTITY, false},
    {"thumbprint", thumbprint, SP_OF_IDENTITY, false},
    {"uri", uri, SP_OF_IDENTITY, false},
    {"dns", dns, SP_OF_IDENTITY, false},
    {"email", email, SP_OF_IDENTITY, false},
    {"ip", ip, SP_OF_IDENTITY, false},
    {"not_before", not_before, SP_OF_IDENTITY, false},
    {"not_after", not_after, SP_OF_IDENTITY, false},
    {"policy", policy, SP_OF_IDENTITY, false},
    {"qc_type", qc_type, SP_OF_IDENTITY, false},
    {"psd2.roles", psd2_roles, SP_OF_IDENTITY, false},
    {"psd2.authority", psd2_authority, SP_OF_IDENTITY, false},
    {"psd2.authority_id", psd2_authority_id, SP_OF_IDENTITY, false},
    {"listener", listener, SP_OF_CONNECTION, false},
    {"sni", sni, SP_OF_CONNECTION, false},
    {"tls", tls, SP_OF_CONNECTION, false},
    {"rule", NULL, SP_OF_RULE, false},
    {"caller", NULL, SP_OF_CALLER, false},
};
const size_t sp_variable_count = SP_COUNTOF(sp_variables);
