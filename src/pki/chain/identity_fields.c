/* An identity out of fields that somebody wrote down, to try a policy with. It goes through the readers and judges that
 * a certificate's names go through, so that a name is spelt, and refused, as if it had been shown. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdio.h>

#include "pki/chain/identity.h"
#include "pki/x509/claims.h"
#include "pki/x509/names.h"
#include "sallyport/base/text.h"
#include "sallyport/config/cases.h"
#include "sallyport/match/match.h"

static enum sp_rc no_memory(struct sp_err *err)
{
    return sp_err_set(err, "the identity needs too much memory");
}

/* ---- distinguished names ---- */

static bool add_attr(X509_NAME *name, const struct sp_config_attr *attr)
{
    ASN1_OBJECT *type = sp_names_type_object(attr->type);
    bool ok = type != NULL && X509_NAME_add_entry_by_OBJ(name, type, V_ASN1_UTF8STRING,
                                  (const unsigned char *)attr->value, -1, -1, 0) == 1;
    ASN1_OBJECT_free(type);
    ERR_clear_error();
    return ok;
}

static enum sp_rc put_dn(struct sp_identity *id, const char *whose, const struct sp_config_attr *from,
    size_t from_count, struct sp_slice *text, const struct sp_name_attr **attrs, size_t *count,
    struct sp_err *err)
{
    enum sp_rc rc = SP_FAIL;
    X509_NAME *name = X509_NAME_new();
    if (name == NULL)
        return no_memory(err);
    for (size_t i = 0; i < from_count; i++) {
        if (!add_attr(name, &from[i])) {
            sp_err_set(err, "%s.%s: expected an attribute type, such as CN or an OID, and a value", whose,
                from[i].type);
            goto out;
        }
    }
    if (sp_names_read_dn(name, whose, &id->arena, attrs, count, err) == SP_REFUSAL_none)
        rc = sp_identity_put_name(id, name, text, err);
out:
    X509_NAME_free(name);
    return rc;
}

/* ---- lists ---- */

static enum sp_rc read_address(const char *text, uint8_t bytes[16], struct sp_slice *out)
{
    size_t len = inet_pton(AF_INET, text, bytes) == 1 ? 4 : inet_pton(AF_INET6, text, bytes) == 1 ? 16 : 0;
    *out = (struct sp_slice){(const char *)bytes, len};
    return len > 0 ? SP_OK : SP_FAIL;
}

static enum sp_rc put_sans(struct sp_identity *id, enum sp_name_type type, const struct sp_strings *from,
    struct sp_slices *out, struct sp_err *err)
{
    uint8_t bytes[16];
    struct sp_slice *items = sp_arena_alloc(&id->arena, from->count + 1, sizeof(*items));
    if (items == NULL)
        return no_memory(err);
    for (size_t i = 0; i < from->count; i++) {
        struct sp_slice value = sp_slice_of(from->items[i]);
        if (type == SP_NAME_IP && read_address(from->items[i], bytes, &value) != SP_OK)
            return sp_err_set(err, "ip: expected an address, such as 192.0.2.1 or 2001:db8::1, found \"%s\"",
                from->items[i]);
        if (sp_names_judge_san(type, value, err) != SP_REFUSAL_none)
            return SP_FAIL;
        items[i] = sp_arena_copy(&id->arena, value);
        if (items[i].ptr == NULL)
            return no_memory(err);
    }
    *out = (struct sp_slices){items, from->count};
    return SP_OK;
}

static enum sp_rc put_oids(struct sp_identity *id, const char *expected, const struct sp_strings *from,
    struct sp_slice (*oid_of)(struct sp_slice text), struct sp_slices *out, struct sp_err *err)
{
    struct sp_slice *items = sp_arena_alloc(&id->arena, from->count + 1, sizeof(*items));
    if (items == NULL)
        return no_memory(err);
    for (size_t i = 0; i < from->count; i++) {
        struct sp_slice oid = oid_of(sp_slice_of(from->items[i]));
        if (oid.ptr == NULL)
            return sp_err_set(err, "%s, found \"%s\"", expected, from->items[i]);
        items[i] = sp_arena_copy(&id->arena, oid);
        if (items[i].ptr == NULL)
            return no_memory(err);
    }
    *out = (struct sp_slices){items, from->count};
    return SP_OK;
}

/* ---- the rest ---- */

static enum sp_rc put_digest(const char *what, const char *hex, uint8_t out[32], struct sp_err *err)
{
    if (hex == NULL || sp_unhex(sp_slice_of(hex), out, 32))
        return SP_OK;
    return sp_err_set(err, "%s: expected 64 hex digits", what);
}

static enum sp_rc put_text(struct sp_identity *id, const char *text, struct sp_slice *out, struct sp_err *err)
{
    if (text == NULL)
        return SP_OK;
    *out = sp_arena_copy(&id->arena, sp_slice_of(text));
    return out->ptr != NULL ? SP_OK : no_memory(err);
}

static enum sp_rc put_qualified(
    struct sp_identity *id, const struct sp_config_identity *from, struct sp_err *err)
{
    struct sp_qualified *q = &id->qualified;
    q->type = from->qc_type;
    q->psd2_roles = from->psd2_roles;
    q->is_qualified = from->qc_type != SP_QC_NONE || from->psd2_roles != 0 || from->psd2_authority != NULL;
    if (from->psd2_authority != NULL && !sp_names_is_text(sp_slice_of(from->psd2_authority)))
        return sp_err_set(err, "psd2_authority: expected UTF-8 without control characters");
    return put_text(id, from->psd2_authority, &q->authority_id, err);
}

static enum sp_rc put_all(struct sp_identity *id, const struct sp_config_identity *f, struct sp_err *err)
{
    if (put_dn(id, "subject", f->subject, f->subject_count, &id->subject, &id->subject_attrs,
            &id->subject_attr_count, err) != SP_OK ||
        put_dn(id, "issuer", f->issuer, f->issuer_count, &id->issuer, &id->issuer_attrs,
            &id->issuer_attr_count, err) != SP_OK ||
        put_sans(id, SP_NAME_URI, &f->uri, &id->uris, err) != SP_OK ||
        put_sans(id, SP_NAME_DNS, &f->dns, &id->dns_names, err) != SP_OK ||
        put_sans(id, SP_NAME_EMAIL, &f->email, &id->emails, err) != SP_OK ||
        put_sans(id, SP_NAME_IP, &f->ip, &id->ips, err) != SP_OK ||
        put_text(id, f->serial, &id->serial_hex, err) != SP_OK ||
        put_digest("fingerprint_sha256", f->fingerprint_sha256, id->sha256, err) != SP_OK ||
        put_digest("spki_sha256", f->spki_sha256, id->spki_sha256, err) != SP_OK ||
        put_oids(id, "policies: expected an OID, such as 1.2.3.4", &f->policies, sp_claims_policy_oid,
            &id->policies, err) != SP_OK ||
        put_oids(id, "eku: expected an OID or a name, such as clientAuth", &f->eku, sp_claims_eku_oid,
            &id->ekus, err) != SP_OK)
        return SP_FAIL;
    id->has_eku = f->eku.count > 0;
    if (f->fingerprint_sha256 != NULL && sp_identity_put_fingerprint(id, err) != SP_OK)
        return SP_FAIL;
    return put_qualified(id, f, err);
}

enum sp_rc sp_identity_from_fields(
    const struct sp_config_identity *fields, struct sp_identity **out, struct sp_err *err)
{
    struct sp_identity *id = sp_identity_start();
    if (id == NULL)
        return no_memory(err);
    if (put_all(id, fields, err) != SP_OK) {
        sp_identity_free(id);
        return SP_FAIL;
    }
    *out = id;
    return SP_OK;
}
