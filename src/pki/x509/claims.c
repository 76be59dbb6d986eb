/* What a certificate is for. OpenSSL reads the two extensions that it knows; QCStatements are read here, where they lie:
 *
 *     QCStatements ::= SEQUENCE OF SEQUENCE { statementId OBJECT IDENTIFIER, statementInfo ANY OPTIONAL }   RFC 3739 §3.2.6
 *     QcType       ::= SEQUENCE OF OBJECT IDENTIFIER                                         ETSI EN 319 412-5 §4.2.3
 *     PSD2QcType   ::= SEQUENCE { rolesOfPSP SEQUENCE OF SEQUENCE { roleOfPspOid OBJECT IDENTIFIER,
 *                                                                   roleOfPspName UTF8String (SIZE (1..256)) },
 *                                 nCAName UTF8String (SIZE (1..256)), nCAId UTF8String (SIZE (1..256)) }
 *                                                                                        ETSI TS 119 495 §5.1, annex A
 *
 * Somebody else decides by what stands here (a matcher, a backend), so it must have one reading: an extension or a
 * statement that is there twice, or cannot be read, refuses the certificate. Statements and roles that are not known are
 * passed over. Texts may be PrintableString or IA5String, too, as some CAs write them: what is ASCII reads the same in all
 * three. */
#include "pki/x509/claims.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/x509/asn1.h"
#include "pki/x509/der.h"
#include "pki/x509/names.h"
#include "sallyport/match/match.h"

#define PSD2_TEXT_MAX 256 /* characters */
#define CLIENT_AUTH   "1.3.6.1.5.5.7.3.2"

static enum sp_refusal no_memory(struct sp_err *err)
{
    sp_err_set(err, "the certificate's extensions need too much memory");
    return SP_REFUSAL_out_of_memory;
}

static enum sp_refusal malformed(struct sp_err *err, const char *what)
{
    ERR_clear_error();
    sp_err_set(err, "the %s extension is malformed or there are two", what);
    return SP_REFUSAL_certificate_invalid;
}

/* ---- lists of OIDs ---- */

static struct sp_slice oid_text(const ASN1_OBJECT *object, struct sp_arena *arena)
{
    char text[256];
    int len = OBJ_obj2txt(text, sizeof(text), object, 1);
    if (len <= 0 || (size_t)len >= sizeof(text))
        return (struct sp_slice){NULL, 0};
    return sp_arena_copy(arena, (struct sp_slice){text, (size_t)len});
}

/* `list` is a parsed extension, `at` its members' OIDs. */
static enum sp_refusal read_oids(const void *list, int count,
    const ASN1_OBJECT *(*at)(const void *list, int i), const char *what, struct sp_arena *arena,
    struct sp_slices *out, struct sp_err *err)
{
    if (count <= 0 || count > SP_CERT_MAX_OIDS) {
        sp_err_set(err, "the %s extension has %d members; 1 to %d are taken", what, count, SP_CERT_MAX_OIDS);
        return SP_REFUSAL_certificate_invalid;
    }
    struct sp_slice *items = sp_arena_alloc(arena, (size_t)count, sizeof(*items));
    if (items == NULL)
        return no_memory(err);
    for (int i = 0; i < count; i++) {
        items[i] = oid_text(at(list, i), arena);
        if (items[i].ptr == NULL) {
            sp_err_set(err, "the %s extension has an OID that cannot be read", what);
            return SP_REFUSAL_certificate_invalid;
        }
    }
    *out = (struct sp_slices){items, (size_t)count};
    return SP_REFUSAL_none;
}

static const ASN1_OBJECT *usage_at(const void *list, int i)
{
    return sk_ASN1_OBJECT_value((const EXTENDED_KEY_USAGE *)list, i);
}

static const ASN1_OBJECT *policy_at(const void *list, int i)
{
    return sk_POLICYINFO_value((const CERTIFICATEPOLICIES *)list, i)->policyid;
}

static enum sp_refusal read_ekus(
    const X509 *cert, struct sp_arena *arena, struct sp_claims *out, struct sp_err *err)
{
    bool wrong = false;
    EXTENDED_KEY_USAGE *usages =
        sp_asn1_extension(cert, NID_ext_key_usage, ASN1_ITEM_rptr(EXTENDED_KEY_USAGE), &wrong);
    if (usages == NULL)
        return wrong ? malformed(err, "extendedKeyUsage") : SP_REFUSAL_none;
    out->has_eku = true;
    enum sp_refusal reason =
        read_oids(usages, sk_ASN1_OBJECT_num(usages), usage_at, "extendedKeyUsage", arena, &out->ekus, err);
    EXTENDED_KEY_USAGE_free(usages);
    return reason;
}

static enum sp_refusal read_policies(
    const X509 *cert, struct sp_arena *arena, struct sp_claims *out, struct sp_err *err)
{
    bool wrong = false;
    CERTIFICATEPOLICIES *policies =
        sp_asn1_extension(cert, NID_certificate_policies, ASN1_ITEM_rptr(CERTIFICATEPOLICIES), &wrong);
    if (policies == NULL)
        return wrong ? malformed(err, "certificatePolicies") : SP_REFUSAL_none;
    enum sp_refusal reason = read_oids(
        policies, sk_POLICYINFO_num(policies), policy_at, "certificatePolicies", arena, &out->policies, err);
    CERTIFICATEPOLICIES_free(policies);
    return reason;
}

/* ---- qcStatements ---- */

struct reading {
    struct sp_arena *arena;
    struct sp_qualified *out;
    struct sp_err *err;
    enum sp_refusal reason; /* when it failed */
    unsigned seen;          /* bits: rows of `statements` */
};

/* False, always. */
static bool is_wrong(struct reading *r, const char *why)
{
    r->reason = SP_REFUSAL_certificate_invalid;
    sp_err_set(r->err, "the qcStatements extension: %s", why);
    return false;
}

static bool read_compliance(struct reading *r, struct sp_der info)
{
    (void)info;
    r->out->is_qualified = true;
    return true;
}

/* The last number of an OID that begins with `arc`, or 0. */
static unsigned number_under(const struct sp_der_item *oid, struct sp_slice arc)
{
    bool is_under = oid->len == arc.len + 1 && memcmp(oid->bytes, arc.ptr, arc.len) == 0;
    return is_under && oid->bytes[arc.len] < 0x80 ? oid->bytes[arc.len] : 0;
}

/* Of several types at once it is none: whoever asks for one of them means nothing else. */
static bool read_type(struct reading *r, struct sp_der info)
{
    static const enum sp_qc_type types[] = {SP_QC_NONE, SP_QC_ESIGN, SP_QC_ESEAL, SP_QC_WEB};
    struct sp_der_item list, oid;
    size_t count = 0;
    if (!sp_der_take(&info, SP_DER_SEQUENCE, &list) || info.p != info.end)
        return is_wrong(r, "QcType is not a list of types");
    for (struct sp_der d = sp_der_of(&list); d.p != d.end; count++) {
        if (!sp_der_take(&d, SP_DER_OID, &oid))
            return is_wrong(r, "QcType is not a list of types");
        unsigned number = number_under(&oid, SP_SLICE("\x04\x00\x8e\x46\x01\x06"));
        r->out->type = number < SP_COUNTOF(types) ? types[number] : SP_QC_NONE;
    }
    if (count == 0)
        return is_wrong(r, "QcType is not a list of types");
    if (count > 1)
        r->out->type = SP_QC_NONE;
    return true;
}

static const struct {
    struct sp_slice name;
    unsigned role;
} roles[] = {
    {{"PSP_AS", 6}, SP_PSD2_AS},
    {{"PSP_PI", 6}, SP_PSD2_PI},
    {{"PSP_AI", 6}, SP_PSD2_AI},
    {{"PSP_IC", 6}, SP_PSD2_IC},
};

static bool take_text(struct sp_der *d, struct sp_slice *out)
{
    struct sp_der_item item;
    if (!sp_der_next(d, &item))
        return false;
    *out = (struct sp_slice){(const char *)item.bytes, item.len};
    if (item.tag == V_ASN1_UTF8STRING)
        return true;
    if (item.tag != V_ASN1_PRINTABLESTRING && item.tag != V_ASN1_IA5STRING)
        return false;
    for (size_t i = 0; i < item.len; i++) {
        if (item.bytes[i] >= 0x80)
            return false;
    }
    return true;
}

/* The OID counts; a name that says another role would be read so by somebody else. */
static bool read_role(struct reading *r, struct sp_der d)
{
    struct sp_der_item oid;
    struct sp_slice name;
    if (!sp_der_take(&d, SP_DER_OID, &oid) || !take_text(&d, &name) || d.p != d.end)
        return is_wrong(r, "a PSD2 role is not an OID and a text");
    unsigned number = number_under(&oid, SP_SLICE("\x04\x00\x81\x98\x27\x01"));
    for (size_t i = 0; i < SP_COUNTOF(roles); i++) {
        bool is_named = sp_slice_equal_nocase(name, roles[i].name);
        if (is_named && number != i + 1)
            return is_wrong(r, "a PSD2 role has the name of one and the OID of another");
        if (number == i + 1)
            r->out->psd2_roles |= roles[i].role;
    }
    return true;
}

/* Of UTF-8: every byte but those that continue one. */
static size_t characters(struct sp_slice text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += ((uint8_t)text.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool read_text(struct reading *r, struct sp_der *d, const char *what, struct sp_slice *out)
{
    char shown[128];
    if (!take_text(d, out) || out->len == 0 || characters(*out) > PSD2_TEXT_MAX)
        return is_wrong(r, "NCAName and NCAId are not texts of 1 to 256 characters");
    if (!sp_names_is_text(*out)) {
        r->reason = SP_REFUSAL_hostile_name;
        sp_err_set(r->err,
            "the %s \"%s\" of the PSD2 statement is not valid text, or holds a control character", what,
            sp_asn1_escape(*out, shown, sizeof(shown)));
        return false;
    }
    *out = sp_arena_copy(r->arena, *out);
    if (out->ptr == NULL)
        r->reason = no_memory(r->err);
    return out->ptr != NULL;
}

static bool read_psd2(struct reading *r, struct sp_der info)
{
    struct sp_der_item whole, list, role;
    if (!sp_der_take(&info, SP_DER_SEQUENCE, &whole) || info.p != info.end)
        return is_wrong(r, "the PSD2 statement has no content");
    struct sp_der d = sp_der_of(&whole);
    if (!sp_der_take(&d, SP_DER_SEQUENCE, &list))
        return is_wrong(r, "the PSD2 statement has no list of roles");
    for (struct sp_der l = sp_der_of(&list); l.p != l.end;) {
        if (!sp_der_take(&l, SP_DER_SEQUENCE, &role))
            return is_wrong(r, "a PSD2 role is not an OID and a text");
        if (!read_role(r, sp_der_of(&role)))
            return false;
    }
    if (!read_text(r, &d, "NCAName", &r->out->authority) || !read_text(r, &d, "NCAId", &r->out->authority_id))
        return false;
    return d.p == d.end || is_wrong(r, "the PSD2 statement has more than roles, NCAName and NCAId");
}

static const struct {
    struct sp_slice oid; /* as DER has it */
    bool (*read)(struct reading *r, struct sp_der info);
} statements[] = {
    {{"\x04\x00\x8e\x46\x01\x01", 6}, read_compliance}, /* 0.4.0.1862.1.1 */
    {{"\x04\x00\x8e\x46\x01\x06", 6}, read_type},       /* 0.4.0.1862.1.6 */
    {{"\x04\x00\x81\x98\x27\x02", 6}, read_psd2},       /* 0.4.0.19495.2 */
};

static bool read_statement(struct reading *r, struct sp_der d)
{
    struct sp_der_item oid, info;
    if (!sp_der_take(&d, SP_DER_OID, &oid))
        return is_wrong(r, "a statement does not begin with its OID");
    struct sp_der rest = d;
    if (d.p != d.end && (!sp_der_next(&d, &info) || d.p != d.end))
        return is_wrong(r, "a statement is malformed");
    for (size_t i = 0; i < SP_COUNTOF(statements); i++) {
        if (!sp_slice_equal((struct sp_slice){(const char *)oid.bytes, oid.len}, statements[i].oid))
            continue;
        if ((r->seen & 1U << i) != 0)
            return is_wrong(r, "a statement is there twice");
        r->seen |= 1U << i;
        return statements[i].read(r, rest);
    }
    return true;
}

static enum sp_refusal read_qualified(
    const X509 *cert, struct sp_arena *arena, struct sp_claims *out, struct sp_err *err)
{
    struct reading r = {.arena = arena, .out = &out->qualified, .err = err};
    struct sp_der_item list, statement;
    int at = X509_get_ext_by_NID(cert, NID_qcStatements, -1);
    if (at < 0)
        return SP_REFUSAL_none;
    if (X509_get_ext_by_NID(cert, NID_qcStatements, at) >= 0)
        return malformed(err, "qcStatements");
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(cert, at));
    const uint8_t *bytes = ASN1_STRING_get0_data(value);
    struct sp_der d = {bytes, bytes + ASN1_STRING_length(value)};
    if (!sp_der_take(&d, SP_DER_SEQUENCE, &list) || d.p != d.end)
        return malformed(err, "qcStatements");
    for (struct sp_der l = sp_der_of(&list); l.p != l.end;) {
        if (!sp_der_take(&l, SP_DER_SEQUENCE, &statement))
            return malformed(err, "qcStatements");
        if (!read_statement(&r, sp_der_of(&statement)))
            return r.reason;
    }
    return SP_REFUSAL_none;
}

/* ---- all of it ---- */

enum sp_refusal sp_claims_read(
    const X509 *cert, struct sp_arena *arena, struct sp_claims *out, struct sp_err *err)
{
    *out = (struct sp_claims){0};
    enum sp_refusal reason = read_ekus(cert, arena, out, err);
    if (reason == SP_REFUSAL_none)
        reason = read_policies(cert, arena, out, err);
    return reason != SP_REFUSAL_none ? reason : read_qualified(cert, arena, out, err);
}

struct sp_slice sp_claims_eku_oid(struct sp_slice text)
{
    static const struct {
        struct sp_slice name, oid;
    } known[] = {
        {{"serverAuth", 10}, {"1.3.6.1.5.5.7.3.1", 17}},
        {{"clientAuth", 10}, {CLIENT_AUTH, 17}},
        {{"codeSigning", 11}, {"1.3.6.1.5.5.7.3.3", 17}},
        {{"emailProtection", 15}, {"1.3.6.1.5.5.7.3.4", 17}},
        {{"timeStamping", 12}, {"1.3.6.1.5.5.7.3.8", 17}},
        {{"OCSPSigning", 11}, {"1.3.6.1.5.5.7.3.9", 17}},
        {{"anyExtendedKeyUsage", 19}, {"2.5.29.37.0", 11}},
    };
    for (size_t i = 0; i < SP_COUNTOF(known); i++) {
        if (sp_slice_equal_nocase(known[i].name, text))
            return known[i].oid;
    }
    return sp_claims_policy_oid(text);
}

struct sp_slice sp_claims_policy_oid(struct sp_slice text)
{
    return sp_oid_is_valid(text) ? text : (struct sp_slice){NULL, 0};
}

bool sp_identity_has_client_eku(const struct sp_identity *id)
{
    for (size_t i = 0; i < id->ekus.count; i++) {
        if (sp_slice_equal(id->ekus.items[i], SP_SLICE(CLIENT_AUTH)))
            return true;
    }
    return false;
}
