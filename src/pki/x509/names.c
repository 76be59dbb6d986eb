/* Names are where a certificate lies: an embedded NUL that ends a C string early, a line break that becomes a
 * header, a comma that becomes a second entry of a list. OpenSSL parses and verifies all of these. So every
 * value is taken by pointer and length, and a certificate in which one holds what does not belong there is
 * refused whole; nothing is cleaned.
 *
 * Which bytes belong: in attribute values valid UTF-8 without control characters; in the IA5 names of a SAN
 * printable ASCII without blanks and without the characters of `forbidden`, which let one value pass for two in
 * a header, a list or a log. */
#include "pki/x509/names.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/x509/asn1.h"
#include "sallyport/match/attribute.h"

/* A comma is legal in a URI, yet two X-Client-SAN-URI fields and one that holds "a,b" are the same list to a
 * backend. */
static const char forbidden[] = ",\"<>\\";

static bool is_printable_ia5(struct sp_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f ||
            memchr(forbidden, s.ptr[i], sizeof(forbidden) - 1) != NULL)
            return false;
    }
    return s.len > 0;
}

/* C0, DEL and C1 (U+0080 to U+009F is C2 80 to C2 9F). The bytes are known to be valid UTF-8. */
static bool has_control(const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0))
            return true;
    }
    return false;
}

bool sp_names_is_text(struct sp_slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    unsigned long character;
    for (size_t left = s.len; left > 0;) {
        int n = UTF8_getc(p + (s.len - left), (int)left, &character);
        if (n <= 0)
            return false;
        left -= (size_t)n;
    }
    return !has_control(p, s.len);
}

static bool is_seven_bit_type(int type)
{
    return type == V_ASN1_IA5STRING || type == V_ASN1_PRINTABLESTRING || type == V_ASN1_NUMERICSTRING ||
           type == V_ASN1_VISIBLESTRING;
}

/* Types that are text at all. Others (a BIT STRING in x500UniqueIdentifier) have no text to be matched or sent. */
static bool is_text_type(int type)
{
    return is_seven_bit_type(type) || type == V_ASN1_UTF8STRING || type == V_ASN1_T61STRING ||
           type == V_ASN1_BMPSTRING || type == V_ASN1_UNIVERSALSTRING;
}

ASN1_OBJECT *sp_names_type_object(const char *type)
{
    struct sp_slice oid = sp_attribute_oid(sp_slice_of(type)); /* it ends in NUL: a constant, or `type` */
    ASN1_OBJECT *object = oid.ptr != NULL ? OBJ_txt2obj(oid.ptr, 1) : NULL;
    ERR_clear_error();
    return object;
}

static struct sp_slice attr_type_name(const ASN1_OBJECT *object, struct sp_arena *arena)
{
    char oid[256];
    struct sp_slice der = {(const char *)OBJ_get0_data(object), OBJ_length(object)};
    struct sp_slice name = sp_attribute_name_of(der);
    if (name.ptr != NULL)
        return name;
    int len = OBJ_obj2txt(oid, sizeof(oid), object, 1);
    if (len <= 0 || (size_t)len >= sizeof(oid))
        return (struct sp_slice){NULL, 0};
    return sp_arena_copy(arena, (struct sp_slice){oid, (size_t)len});
}

/* The value as UTF-8. Absent for what is not text. */
static enum sp_refusal attr_value(const ASN1_STRING *data, const char *whose, struct sp_arena *arena,
    struct sp_slice *out, struct sp_err *err)
{
    enum sp_refusal reason = SP_REFUSAL_hostile_name;
    unsigned char *utf8 = NULL;
    int type = ASN1_STRING_type(data);
    *out = (struct sp_slice){NULL, 0};
    if (!is_text_type(type))
        return SP_REFUSAL_none;
    int len = ASN1_STRING_to_UTF8(&utf8, data);
    if (len < 0) {
        ERR_clear_error();
        sp_err_set(err, "an attribute value of the %s is not valid text of its type", whose);
        return reason;
    }
    if (has_control(utf8, (size_t)len)) {
        sp_err_set(err, "an attribute value of the %s holds a NUL or another control character", whose);
        goto out;
    }
    if (is_seven_bit_type(type) && ASN1_STRING_length(data) != len) { /* a high byte became two */
        sp_err_set(err, "an attribute value of the %s holds a non-ASCII byte in an ASCII type", whose);
        goto out;
    }
    *out = sp_arena_copy(arena, (struct sp_slice){(const char *)utf8, (size_t)len});
    reason = out->ptr != NULL ? SP_REFUSAL_none : SP_REFUSAL_out_of_memory;
    if (out->ptr == NULL)
        sp_err_set(err, "the names need too much memory");
out:
    OPENSSL_free(utf8);
    return reason;
}

enum sp_refusal sp_names_read_dn(const X509_NAME *name, const char *whose, struct sp_arena *arena,
    const struct sp_name_attr **attrs, size_t *attr_count, struct sp_err *err)
{
    int n = X509_NAME_entry_count(name);
    size_t used = 0;
    if (n > SP_SUBJECT_MAX_ATTRS) {
        sp_err_set(err, "the %s has %d attributes; at most %d are taken", whose, n, SP_SUBJECT_MAX_ATTRS);
        return SP_REFUSAL_certificate_invalid;
    }
    struct sp_name_attr *list = n > 0 ? sp_arena_alloc(arena, (size_t)n, sizeof(*list)) : NULL;
    if (n > 0 && list == NULL) {
        sp_err_set(err, "the names need too much memory");
        return SP_REFUSAL_out_of_memory;
    }
    for (int i = 0; i < n; i++) {
        X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        struct sp_name_attr attr = {.rdn = (unsigned)X509_NAME_ENTRY_set(entry)};
        enum sp_refusal reason = attr_value(X509_NAME_ENTRY_get_data(entry), whose, arena, &attr.value, err);
        if (reason != SP_REFUSAL_none)
            return reason;
        if (attr.value.ptr == NULL)
            continue;
        attr.type = attr_type_name(X509_NAME_ENTRY_get_object(entry), arena);
        if (attr.type.ptr == NULL) {
            sp_err_set(err, "an attribute type of the %s cannot be read", whose);
            return SP_REFUSAL_certificate_invalid;
        }
        list[used++] = attr;
    }
    *attrs = list;
    *attr_count = used;
    return SP_REFUSAL_none;
}

/* One row a SAN type that is read; the rest (otherName, directoryName, ...) never becomes an identity and is
 * passed over. */
static const struct {
    int gen;
    const char *what;
} san_types[SP_NAME_TYPES] = {
    [SP_NAME_URI] = {GEN_URI, "URI"},
    [SP_NAME_DNS] = {GEN_DNS, "DNS"},
    [SP_NAME_EMAIL] = {GEN_EMAIL, "email"},
    [SP_NAME_IP] = {GEN_IPADD, "IP"},
};

/* "https://x@evil.example/" or "spiffe://evil.example?": readers, OpenSSL's name constraints among them, differ
 * about the host. */
static bool has_doubtful_authority(struct sp_slice uri)
{
    for (size_t i = 0; i + 3 <= uri.len; i++) {
        if (memcmp(uri.ptr + i, "://", 3) != 0)
            continue;
        for (i += 3; i < uri.len && uri.ptr[i] != '/'; i++) {
            if (uri.ptr[i] == '@' || uri.ptr[i] == '?' || uri.ptr[i] == '#')
                return true;
        }
        return false;
    }
    return false;
}

enum sp_refusal sp_names_judge_san(enum sp_name_type type, struct sp_slice value, struct sp_err *err)
{
    char shown[128];
    if (type == SP_NAME_IP) {
        if (value.len == 4 || value.len == 16)
            return SP_REFUSAL_none;
        sp_err_set(err, "an IP subjectAltName has %zu bytes instead of 4 or 16", value.len);
        return SP_REFUSAL_certificate_invalid;
    }
    if (type == SP_NAME_URI && has_doubtful_authority(value)) {
        sp_err_set(err, "the URI subjectAltName \"%s\" has '@', '?' or '#' in its authority",
            sp_asn1_escape(value, shown, sizeof(shown)));
        return SP_REFUSAL_hostile_name;
    }
    if (is_printable_ia5(value))
        return SP_REFUSAL_none;
    sp_err_set(err, "the %s subjectAltName \"%s\" is empty or holds a byte that has no place there",
        san_types[type].what, sp_asn1_escape(value, shown, sizeof(shown)));
    return SP_REFUSAL_hostile_name;
}

static enum sp_refusal read_sans(const GENERAL_NAMES *sans, struct sp_arena *arena,
    struct sp_slices out[SP_NAME_TYPES], struct sp_err *err)
{
    int n = sk_GENERAL_NAME_num(sans);
    struct sp_slice *lists[SP_NAME_TYPES];
    if (n > SP_CERT_MAX_SANS) {
        sp_err_set(err, "%d subjectAltNames; at most %d are taken", n, SP_CERT_MAX_SANS);
        return SP_REFUSAL_certificate_invalid;
    }
    for (size_t t = 0; t < SP_NAME_TYPES && n > 0; t++) {
        lists[t] = sp_arena_alloc(arena, (size_t)n, sizeof(struct sp_slice));
        if (lists[t] == NULL)
            goto no_memory;
        out[t].items = lists[t];
    }
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, i);
        for (size_t t = 0; t < SP_NAME_TYPES; t++) {
            if (san->type != san_types[t].gen)
                continue;
            const ASN1_STRING *s = t == SP_NAME_IP ? san->d.iPAddress : san->d.ia5;
            struct sp_slice value = {(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
            enum sp_refusal reason = sp_names_judge_san((enum sp_name_type)t, value, err);
            if (reason != SP_REFUSAL_none)
                return reason;
            value = sp_arena_copy(arena, value);
            if (value.ptr == NULL)
                goto no_memory;
            lists[t][out[t].count++] = value;
        }
    }
    return SP_REFUSAL_none;
no_memory:
    sp_err_set(err, "the names need too much memory");
    return SP_REFUSAL_out_of_memory;
}

enum sp_refusal sp_names_read(
    const X509 *cert, struct sp_arena *arena, struct sp_names *out, struct sp_err *err)
{
    struct sp_slices sans_by_type[SP_NAME_TYPES] = {{NULL, 0}};
    *out = (struct sp_names){0};
    int bytes = i2d_X509(cert, NULL);
    if (bytes <= 0 || bytes > SP_CERT_MAX_BYTES) {
        sp_err_set(err, "the certificate has %d bytes; at most %d are taken", bytes, SP_CERT_MAX_BYTES);
        return SP_REFUSAL_certificate_invalid;
    }
    enum sp_refusal reason =
        sp_names_read_dn(X509_get_subject_name(cert), "subject", arena, &out->attrs, &out->attr_count, err);
    if (reason == SP_REFUSAL_none)
        reason = sp_names_read_dn(
            X509_get_issuer_name(cert), "issuer", arena, &out->issuer_attrs, &out->issuer_attr_count, err);
    if (reason != SP_REFUSAL_none)
        return reason;
    bool wrong = false;
    GENERAL_NAMES *sans =
        sp_asn1_extension(cert, NID_subject_alt_name, ASN1_ITEM_rptr(GENERAL_NAMES), &wrong);
    if (wrong) {
        sp_err_set(err, "the subjectAltName extension is malformed or there are two");
        return SP_REFUSAL_certificate_invalid;
    }
    if (sans != NULL)
        reason = read_sans(sans, arena, sans_by_type, err);
    GENERAL_NAMES_free(sans);
    out->uris = sans_by_type[SP_NAME_URI];
    out->dns_names = sans_by_type[SP_NAME_DNS];
    out->emails = sans_by_type[SP_NAME_EMAIL];
    out->ips = sans_by_type[SP_NAME_IP];
    return reason;
}
