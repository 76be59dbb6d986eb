/* What each field of a caller's entry means: one row a field at the end of the file (see caller_fields.h).
 *
 * Each field looks at names of its own type and at no other: a URI is never searched among DNS names, nor a CN taken for one.
 * Where an identity has several names of a type, one that fits is enough; of attributes, each that is asked for has to be there.
 * Everything compares by length. */
#include "caller_fields.h"

#include <arpa/inet.h>

#include "sallyport/base/text.h"
#include "sallyport/match/attribute.h"

static const char no_memory[] = "no memory for it";

static void set_text(struct sp_field *f, struct sp_slice text)
{
    f->of = text.ptr;
    f->number = (uint32_t)text.len;
}

static bool has_text(const struct sp_slices *names, struct sp_slice text)
{
    for (size_t i = 0; i < names->count; i++) {
        if (sp_slice_equal(names->items[i], text))
            return true;
    }
    return false;
}

/* ---- words ---- */

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

static const char *compile_uri(struct sp_arena *arena, struct sp_slice text, struct sp_field *out)
{
    struct sp_field_uri uri = {.text = text};
    const char *wrong = sp_uri_pattern_compile(text, &uri.pattern);
    if (wrong != NULL)
        return wrong;
    if (uri.pattern.exact) {
        set_text(out, text);
        out->exact = true;
        return NULL;
    }
    struct sp_field_uri *kept = sp_arena_alloc(arena, 1, sizeof *kept);
    if (kept == NULL)
        return no_memory;
    *kept = uri;
    out->of = kept;
    return NULL;
}

static bool uri_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    const struct sp_field_uri *uri = f->of;
    const struct sp_slices *names = &asked->identity->uris;
    if (f->exact)
        return has_text(names, sp_field_text(f));
    for (size_t i = 0; i < names->count; i++) {
        if (sp_uri_pattern_match(&uri->pattern, names->items[i]))
            return true;
    }
    return false;
}

static void uri_wanted(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_slice(out, f->exact ? sp_field_text(f) : ((const struct sp_field_uri *)f->of)->text);
}

static void uri_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_all(out, &asked->identity->uris);
}

static const char *compile_dns(struct sp_arena *arena, struct sp_slice text, struct sp_field *out)
{
    struct sp_slice pattern;
    const char *wrong = sp_host_pattern_compile(arena, text, &pattern);
    set_text(out, pattern);
    return wrong;
}

static bool dns_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    const struct sp_slices *names = &asked->identity->dns_names;
    for (size_t i = 0; i < names->count; i++) {
        if (sp_dns_name_match(sp_field_text(f), names->items[i]))
            return true;
    }
    return false;
}

static void dns_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_all(out, &asked->identity->dns_names);
}

static const char *compile_email(struct sp_arena *arena, struct sp_slice text, struct sp_field *out)
{
    struct sp_field_email email = {.text = text};
    const char *wrong = sp_email_pattern_compile(text, &email.pattern);
    if (wrong != NULL)
        return wrong;
    struct sp_field_email *kept = sp_arena_alloc(arena, 1, sizeof *kept);
    if (kept == NULL)
        return no_memory;
    *kept = email;
    out->of = kept;
    return NULL;
}

static bool email_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    const struct sp_field_email *email = f->of;
    const struct sp_slices *names = &asked->identity->emails;
    for (size_t i = 0; i < names->count; i++) {
        if (sp_email_pattern_match(&email->pattern, names->items[i]))
            return true;
    }
    return false;
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

static const char *compile_ip(struct sp_arena *arena, struct sp_slice text, struct sp_field *out)
{
    struct sp_cidr cidr;
    const char *wrong = sp_cidr_compile(text, &cidr);
    if (wrong != NULL)
        return wrong;
    struct sp_cidr *kept = sp_arena_alloc(arena, 1, sizeof *kept);
    if (kept == NULL)
        return no_memory;
    *kept = cidr;
    out->of = kept;
    return NULL;
}

static bool ip_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    const struct sp_slices *ips = &asked->identity->ips;
    for (size_t i = 0; i < ips->count; i++) {
        if (sp_cidr_match(f->of, (const uint8_t *)ips->items[i].ptr, ips->items[i].len))
            return true;
    }
    return false;
}

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

const char *sp_field_compile_attr(struct sp_arena *arena, enum sp_field_type type, struct sp_slice attribute,
    struct sp_slice value, struct sp_field *out)
{
    struct sp_slice spelled = sp_attribute_type(attribute);
    if (spelled.ptr == NULL)
        return SP_ATTRIBUTE_EXPECTED;
    if (value.len == 0)
        return "expected a value that is not empty";
    struct sp_field_attr *attr = sp_arena_alloc(arena, 1, sizeof *attr);
    if (attr == NULL)
        return no_memory;
    *attr = (struct sp_field_attr){spelled, value};
    *out = (struct sp_field){.of = attr, .type = (uint8_t)type};
    return NULL;
}

static bool has_attr(const struct sp_field_attr *wanted, const struct sp_name_attr *attrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sp_slice_equal(attrs[i].type, wanted->type) && sp_slice_equal(attrs[i].value, wanted->value))
            return true;
    }
    return false;
}

static bool subject_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return has_attr(f->of, asked->identity->subject_attrs, asked->identity->subject_attr_count);
}

static bool issuer_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return has_attr(f->of, asked->identity->issuer_attrs, asked->identity->issuer_attr_count);
}

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

/* As identities have it: whole bytes in lower case, no zero byte in front. */
static const char *compile_serial(struct sp_arena *arena, struct sp_slice text, struct sp_field *out)
{
    static const char expected[] = "expected hex digits, with or without \":\" between the bytes";
    uint8_t bytes[64]; /* RFC 5280 allows 20 */
    char hex[2 * sizeof bytes + 1], padded[2 * sizeof bytes + 1];
    size_t digits = 0;
    for (size_t i = 0; i < text.len; i++)
        digits += text.ptr[i] != ':';
    size_t len = digits / 2 + digits % 2;
    if (len == 0 || len > sizeof bytes)
        return expected;
    if (digits % 2 == 1 && digits == text.len) { /* "F3A": some tools write no zero in front */
        padded[0] = '0';
        memcpy(padded + 1, text.ptr, text.len);
        text = (struct sp_slice){padded, text.len + 1};
    }
    if (!sp_unhex(text, bytes, len))
        return expected;
    size_t zeros = 0;
    while (zeros + 1 < len && bytes[zeros] == 0)
        zeros++;
    struct sp_slice kept = sp_arena_copy(arena, sp_slice_of(sp_hex(bytes + zeros, len - zeros, hex)));
    set_text(out, kept);
    return kept.ptr != NULL ? NULL : no_memory;
}

static bool serial_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return sp_slice_equal(sp_field_text(f), asked->identity->serial_hex);
}

static void serial_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    sp_buf_add_slice(out, asked->identity->serial_hex);
    show_none(out);
}

static const char *compile_digest(struct sp_arena *arena, struct sp_slice text, struct sp_field *out)
{
    uint8_t digest[SP_FIELD_DIGEST];
    if (!sp_unhex(text, digest, sizeof digest))
        return "expected 64 hex digits, with or without \":\" between the bytes";
    void *kept = sp_arena_alloc(arena, 1, sizeof digest);
    if (kept == NULL)
        return no_memory;
    out->of = memcpy(kept, digest, sizeof digest);
    return NULL;
}

static void wanted_digest(const struct sp_field *f, struct sp_buf *out)
{
    show_digest(out, f->of);
}

static bool fingerprint_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return memcmp(f->of, asked->identity->sha256, SP_FIELD_DIGEST) == 0;
}

static void fingerprint_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_digest(out, asked->identity->sha256);
}

static bool spki_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return memcmp(f->of, asked->identity->spki_sha256, SP_FIELD_DIGEST) == 0;
}

static void spki_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_digest(out, asked->identity->spki_sha256);
}

static const char *compile_policy(struct sp_arena *arena, struct sp_slice text, struct sp_field *out)
{
    (void)arena;
    set_text(out, text);
    return sp_oid_is_valid(text) ? NULL : "expected a dotted OID";
}

static bool policy_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return has_text(&asked->identity->policies, sp_field_text(f));
}

static void policy_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    show_all(out, &asked->identity->policies);
}

/* ---- qualified certificates ---- */

static const char *const qc_types[] = {
    [SP_QC_NONE] = "none", [SP_QC_ESIGN] = "esign", [SP_QC_ESEAL] = "eseal", [SP_QC_WEB] = "web"};

/* A QcType without QcCompliance is the type of a certificate that is not qualified: EN 319 412-5 §4.2.3. */
static bool qc_type_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    const struct sp_qualified *q = &asked->identity->qualified;
    return q->is_qualified && (uint32_t)q->type == f->number;
}

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

static bool roles_hold(const struct sp_field *f, const struct sp_asked *asked)
{
    return (asked->identity->qualified.psd2_roles & f->number) == f->number;
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

static const char *compile_authority(struct sp_arena *arena, struct sp_slice text, struct sp_field *out)
{
    (void)arena;
    set_text(out, text);
    return text.len > 0 ? NULL : "expected the id of an authority such as DE-BAFIN";
}

static bool authority_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return sp_slice_equal(sp_field_text(f), asked->identity->qualified.authority_id);
}

static void authority_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    sp_buf_add_slice(out, asked->identity->qualified.authority_id);
    show_none(out);
}

/* ---- any, caller, file ---- */

static bool any_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return (asked->identity == NULL) == (f->number == SP_CALLER_ANY_ANONYMOUS);
}

static void any_wanted(const struct sp_field *f, struct sp_buf *out)
{
    sp_buf_add_str(out, f->number == SP_CALLER_ANY_ANONYMOUS ? "anonymous" : "authenticated");
}

static void any_found(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *out)
{
    (void)f;
    sp_buf_add_str(out, asked->identity == NULL ? "no certificate" : "a certificate");
}

static bool is_in_set(const struct sp_field *f, const struct sp_asked *asked)
{
    return sp_set_has(asked->sets, f->number);
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

#define TEXT(member) offsetof(struct sp_config_caller_entry, member)

/* clang-format off */
const struct sp_field_row sp_field_rows[SP_FIELD_TYPES] = {
    /* type                     key                   its text                  in lists, anonymous too */
    [SP_FIELD_URI]            = {"uri",                TEXT(uri),                true,  false, compile_uri,       uri_holds,         uri_wanted,     uri_found},
    [SP_FIELD_DNS]            = {"dns",                TEXT(dns),                true,  false, compile_dns,       dns_holds,         wanted_text,    dns_found},
    [SP_FIELD_EMAIL]          = {"email",              TEXT(email),              true,  false, compile_email,     email_holds,       email_wanted,   email_found},
    [SP_FIELD_IP]             = {"ip",                 TEXT(ip),                 true,  false, compile_ip,        ip_holds,          ip_wanted,      ip_found},
    [SP_FIELD_SUBJECT]        = {"subject.",           SP_FIELD_NO_TEXT,         true,  false, NULL,              subject_holds,     attr_wanted,    subject_found},
    [SP_FIELD_ISSUER]         = {"issuer.",            SP_FIELD_NO_TEXT,         false, false, NULL,              issuer_holds,      attr_wanted,    issuer_found},
    [SP_FIELD_SERIAL]         = {"serial",             TEXT(serial),             true,  false, compile_serial,    serial_holds,      wanted_text,    serial_found},
    [SP_FIELD_FINGERPRINT]    = {"fingerprint_sha256", TEXT(fingerprint_sha256), true,  false, compile_digest,    fingerprint_holds, wanted_digest,  fingerprint_found},
    [SP_FIELD_SPKI]           = {"spki_sha256",        TEXT(spki_sha256),        true,  false, compile_digest,    spki_holds,        wanted_digest,  spki_found},
    [SP_FIELD_POLICY]         = {"policy",             TEXT(policy),             false, false, compile_policy,    policy_holds,      wanted_text,    policy_found},
    [SP_FIELD_QC_TYPE]        = {"qc_type",            SP_FIELD_NO_TEXT,         false, false, NULL,              qc_type_holds,     qc_type_wanted, qc_type_found},
    [SP_FIELD_PSD2_ROLES]     = {"psd2_roles",         SP_FIELD_NO_TEXT,         false, false, NULL,              roles_hold,        roles_wanted,   roles_found},
    [SP_FIELD_PSD2_AUTHORITY] = {"psd2_authority",     TEXT(psd2_authority),     false, false, compile_authority, authority_holds,   wanted_text,    authority_found},
    [SP_FIELD_ANY]            = {"any",                SP_FIELD_NO_TEXT,         false, true,  NULL,              any_holds,         any_wanted,     any_found},
    [SP_FIELD_CALLER]         = {"caller",             SP_FIELD_NO_TEXT,         false, true,  NULL,              is_in_set,         wanted_name,    caller_found},
    [SP_FIELD_FILE]           = {"file",               SP_FIELD_NO_TEXT,         false, true,  NULL,              is_in_set,         wanted_name,    file_found},
};
/* clang-format on */

void sp_field_describe(const struct sp_field *f, const struct sp_asked *asked, struct sp_buf *condition,
    struct sp_buf *wanted, struct sp_buf *found)
{
    const struct sp_field_row *row = &sp_field_rows[f->type];
    sp_buf_add_str(condition, row->key);
    if (f->type == SP_FIELD_SUBJECT || f->type == SP_FIELD_ISSUER)
        sp_buf_add_slice(condition, ((const struct sp_field_attr *)f->of)->type);
    row->wanted(f, wanted);
    if (asked->identity == NULL && !row->anonymous_too)
        sp_buf_add_str(found, "no certificate");
    else
        row->found(f, asked, found);
}
