/* What each field of a caller's entry means: one row a field at the end of the file (see caller_fields.h). What it is in words is in
 * caller_words.c.
 *
 * Each field looks at names of its own type and at no other: a URI is never searched among DNS names, nor a CN taken for one.
 * Where an identity has several names of a type, one that fits is enough; of attributes, each that is asked for has to be there.
 * Everything compares by length. */
#include "policy/callers/caller_fields.h"

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

static bool fingerprint_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return memcmp(f->of, asked->identity->sha256, SP_FIELD_DIGEST) == 0;
}

static bool spki_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return memcmp(f->of, asked->identity->spki_sha256, SP_FIELD_DIGEST) == 0;
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

/* ---- qualified certificates ---- */

/* A QcType without QcCompliance is the type of a certificate that is not qualified: EN 319 412-5 §4.2.3. */
static bool qc_type_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    const struct sp_qualified *q = &asked->identity->qualified;
    return q->is_qualified && (uint32_t)q->type == f->number;
}

static bool roles_hold(const struct sp_field *f, const struct sp_asked *asked)
{
    return (asked->identity->qualified.psd2_roles & f->number) == f->number;
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

/* ---- any, caller, file ---- */

static bool any_holds(const struct sp_field *f, const struct sp_asked *asked)
{
    return (asked->identity == NULL) == (f->number == SP_CALLER_ANY_ANONYMOUS);
}

static bool is_in_set(const struct sp_field *f, const struct sp_asked *asked)
{
    return sp_set_has(asked->sets, f->number);
}

/* ---- the rows ---- */

#define TEXT(member) offsetof(struct sp_config_caller_entry, member)

/* clang-format off */
const struct sp_field_row sp_field_rows[SP_FIELD_TYPES] = {
    /* type                     key                   its text                  in lists, anonymous too */
    [SP_FIELD_URI]            = {"uri",                TEXT(uri),                true,  false, compile_uri,       uri_holds},
    [SP_FIELD_DNS]            = {"dns",                TEXT(dns),                true,  false, compile_dns,       dns_holds},
    [SP_FIELD_EMAIL]          = {"email",              TEXT(email),              true,  false, compile_email,     email_holds},
    [SP_FIELD_IP]             = {"ip",                 TEXT(ip),                 true,  false, compile_ip,        ip_holds},
    [SP_FIELD_SUBJECT]        = {"subject.",           SP_FIELD_NO_TEXT,         true,  false, NULL,              subject_holds},
    [SP_FIELD_ISSUER]         = {"issuer.",            SP_FIELD_NO_TEXT,         false, false, NULL,              issuer_holds},
    [SP_FIELD_SERIAL]         = {"serial",             TEXT(serial),             true,  false, compile_serial,    serial_holds},
    [SP_FIELD_FINGERPRINT]    = {"fingerprint_sha256", TEXT(fingerprint_sha256), true,  false, compile_digest,    fingerprint_holds},
    [SP_FIELD_SPKI]           = {"spki_sha256",        TEXT(spki_sha256),        true,  false, compile_digest,    spki_holds},
    [SP_FIELD_POLICY]         = {"policy",             TEXT(policy),             false, false, compile_policy,    policy_holds},
    [SP_FIELD_QC_TYPE]        = {"qc_type",            SP_FIELD_NO_TEXT,         false, false, NULL,              qc_type_holds},
    [SP_FIELD_PSD2_ROLES]     = {"psd2_roles",         SP_FIELD_NO_TEXT,         false, false, NULL,              roles_hold},
    [SP_FIELD_PSD2_AUTHORITY] = {"psd2_authority",     TEXT(psd2_authority),     false, false, compile_authority, authority_holds},
    [SP_FIELD_ANY]            = {"any",                SP_FIELD_NO_TEXT,         false, true,  NULL,              any_holds},
    [SP_FIELD_CALLER]         = {"caller",             SP_FIELD_NO_TEXT,         false, true,  NULL,              is_in_set},
    [SP_FIELD_FILE]           = {"file",               SP_FIELD_NO_TEXT,         false, true,  NULL,              is_in_set},
};
/* clang-format on */
