/* Fields of a caller's entry in words, for `explain`: what each wanted and what there was. Whether one holds is in caller_fields.c. */
#include <arpa/inet.h>

#include "policy/callers/caller_fields.h"
#include "sallyport/base/text.h"

enum { SHOWN_MAX = 400 };

/* One more of a list; false when it is long enough. */
static bool show_one(struct sp_buf *out, struct sp_slice text)
{
    if (out->len > SHOWN_MAX) {
        sp_buf_add_str(out, ", ...");
        return false;
    }
    if (out->len > 0)
        sp_buf_add_str(out, ", ");
    sp_buf_add_slice(out, text);
    return true;
}

static void show_none(struct sp_buf *out)
{
    if (out->len == 0)
        sp_buf_add_str(out, "none");
}

static void show_all(struct sp_buf *out, const struct sp_slices *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (!show_one(out, names->items[i]))
            return;
    }
    show_none(out);
}

static void wanted_text(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_slice(out, sp_field_text(f));
}

static void show_digest(struct sp_buf *out, const void *digest)
{
    char hex[2 * SP_FIELD_DIGEST + 1];
    sp_buf_add_str(out, sp_hex(digest, SP_FIELD_DIGEST, hex));
}

/* ---- uri, dns, email ---- */

static void uri_wanted(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_slice(out, f->exact ? sp_field_text(f) : ((const struct sp_field_uri *)f->of)->text);
}

static void uri_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_all(out, &asked->identity->uris);
}

static void dns_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_all(out, &asked->identity->dns_names);
}

static void email_wanted(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_slice(out, ((const struct sp_field_email *)f->of)->text);
}

static void email_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_all(out, &asked->identity->emails);
}

/* ---- ip ---- */

static struct sp_slice address_text(const void *bytes, size_t len, char out[INET6_ADDRSTRLEN])
{
    return sp_slice_of(inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, out, INET6_ADDRSTRLEN));
}

static void ip_wanted(const struct sp_field *f, struct sp_buf *out)
{
    const struct sp_cidr *cidr = f->of;
    char text[INET6_ADDRSTRLEN];
    sp_buf_add_slice(out, address_text(cidr->bytes, cidr->len, text));
    if (cidr->bits < 8u * cidr->len)
        sp_buf_printf(out, "/%u", cidr->bits);
}

static void ip_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    const struct sp_slices *ips = &asked->identity->ips;
    char text[INET6_ADDRSTRLEN];
    (void)f;
    for (size_t i = 0; i < ips->count; i++) {
        if (!show_one(out, address_text(ips->items[i].ptr, ips->items[i].len, text)))
            return;
    }
    show_none(out);
}

/* ---- subject and issuer ---- */

static void attr_wanted(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_slice(out, ((const struct sp_field_attr *)f->of)->value);
}

/* The values of that type. */
static void show_attrs(
    const struct sp_field_attr *wanted, const struct sp_name_attr *attrs, size_t count, struct sp_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (sp_slice_equal(attrs[i].type, wanted->type) && !show_one(out, attrs[i].value))
            return;
    }
    show_none(out);
}

static void subject_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    show_attrs(f->of, asked->identity->subject_attrs, asked->identity->subject_attr_count, out);
}

static void issuer_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    show_attrs(f->of, asked->identity->issuer_attrs, asked->identity->issuer_attr_count, out);
}

/* ---- serial, digests, policy ---- */

static void serial_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    sp_buf_add_slice(out, asked->identity->serial_hex);
    show_none(out);
}

static void wanted_digest(const struct sp_field *f, struct sp_buf *out)
{
    show_digest(out, f->of);
}

static void fingerprint_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_digest(out, asked->identity->sha256);
}

static void spki_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_digest(out, asked->identity->spki_sha256);
}

static void policy_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_all(out, &asked->identity->policies);
}

/* ---- qualified certificates ---- */

static const char *const qc_types[] = {
    [SP_QC_NONE] = "none", [SP_QC_ESIGN] = "esign", [SP_QC_ESEAL] = "eseal", [SP_QC_WEB] = "web"};

static void qc_type_wanted(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_str(out, qc_types[f->number]);
}

static void qc_type_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    const struct sp_qualified *q = &asked->identity->qualified;
    (void)f;
    sp_buf_add_str(out, qc_types[q->type]);
    if (q->type != SP_QC_NONE && !q->is_qualified)
        sp_buf_add_str(out, ", but not qualified (no QcCompliance)");
}

static void show_roles(struct sp_buf *out, unsigned roles)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {SP_PSD2_AS, "PSP_AS"}, {SP_PSD2_PI, "PSP_PI"}, {SP_PSD2_AI, "PSP_AI"}, {SP_PSD2_IC, "PSP_IC"}};
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        if (roles & names[i].bit)
            (void)show_one(out, sp_slice_of(names[i].name));
    }
    show_none(out);
}

static void roles_wanted(const struct sp_field *f, struct sp_buf *out)
{
    show_roles(out, f->number);
}

static void roles_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_roles(out, asked->identity->qualified.psd2_roles);
}

static void authority_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    sp_buf_add_slice(out, asked->identity->qualified.authority_id);
    show_none(out);
}

/* ---- any, caller, file ---- */

static void any_wanted(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_str(out, f->number == SP_CALLER_ANY_ANONYMOUS ? "anonymous" : "authenticated");
}

static void any_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    sp_buf_add_str(out, asked->identity == NULL ? "no certificate" : "a certificate");
}

static void wanted_name(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_str(out, f->of);
}

static void caller_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    for (size_t i = 0; i < asked->config->caller_count; i++) {
        if (sp_set_has(asked->sets, (uint32_t)i) &&
            !show_one(out, sp_slice_of(asked->config->callers[i].name)))
            return;
    }
    show_none(out);
}

static void file_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    (void)asked;
    sp_buf_add_str(out, "in no line of it");
}

/* ---- the rows ---- */

static const struct {
    void (*wanted)(const struct sp_field *f, struct sp_buf *out);
    void (*found)(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out);
} words[SP_FIELD_TYPES] = {
    [SP_FIELD_URI] = {uri_wanted, uri_found},
    [SP_FIELD_DNS] = {wanted_text, dns_found},
    [SP_FIELD_EMAIL] = {email_wanted, email_found},
    [SP_FIELD_IP] = {ip_wanted, ip_found},
    [SP_FIELD_SUBJECT] = {attr_wanted, subject_found},
    [SP_FIELD_ISSUER] = {attr_wanted, issuer_found},
    [SP_FIELD_SERIAL] = {wanted_text, serial_found},
    [SP_FIELD_FINGERPRINT] = {wanted_digest, fingerprint_found},
    [SP_FIELD_SPKI] = {wanted_digest, spki_found},
    [SP_FIELD_POLICY] = {wanted_text, policy_found},
    [SP_FIELD_QC_TYPE] = {qc_type_wanted, qc_type_found},
    [SP_FIELD_PSD2_ROLES] = {roles_wanted, roles_found},
    [SP_FIELD_PSD2_AUTHORITY] = {wanted_text, authority_found},
    [SP_FIELD_ANY] = {any_wanted, any_found},
    [SP_FIELD_CALLER] = {wanted_name, caller_found},
    [SP_FIELD_FILE] = {wanted_name, file_found},
};

void sp_field_describe(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *condition,
    struct sp_buf *wanted, struct sp_buf *found)
{
    const struct sp_field_row *row = &sp_field_rows[f->type];
    sp_buf_add_str(condition, row->key);
    if (f->type == SP_FIELD_SUBJECT || f->type == SP_FIELD_ISSUER)
        sp_buf_add_slice(condition, ((const struct sp_field_attr *)f->of)->type);
    words[f->type].wanted(f, wanted);
    if (asked->identity == NULL && !row->anonymous_too)
        sp_buf_add_str(found, "no certificate");
    else
        words[f->type].found(f, asked, found);
}
