/* The extensions of a CRL and of its entries: which certificates it speaks of, and whether it may be relied on. */
#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pki/crl/crl_read.h"
#include "sallyport/base/mem.h"
#include "sallyport/base/text.h"

/* An indirect CRL of more CAs than this is not one that anybody publishes. */
#define OTHERS_MAX 1000

bool sp_crl_refuse(struct sp_crl *c, const char *fmt, ...)
{
    va_list args;
    if (c->unusable != NULL)
        return true;
    va_start(args, fmt);
    int n = vasprintf(&c->unusable, fmt, args);
    va_end(args);
    if (n < 0)
        c->unusable = NULL;
    return n >= 0;
}

/* ---- the list ---- */

bool sp_crl_ext_next(struct sp_der *list, struct sp_crl_ext *out)
{
    struct sp_der_item item, flag;
    if (!sp_der_take(list, SP_DER_SEQUENCE, &item))
        return false;
    struct sp_der d = sp_der_of(&item);
    if (!sp_der_take(&d, SP_DER_OID, &out->oid) || out->oid.len == 0)
        return false;
    out->critical = false;
    if (sp_der_take(&d, SP_DER_BOOLEAN, &flag)) {
        if (flag.len != 1)
            return false;
        out->critical = flag.bytes[0] != 0;
    }
    out->id =
        out->oid.len == 3 && out->oid.bytes[0] == 0x55 && out->oid.bytes[1] == 0x1d && out->oid.bytes[2] < 64
            ? out->oid.bytes[2]
            : SP_CRL_EXT_OTHER;
    return sp_der_take(&d, SP_DER_OCTETS, &out->value) && d.p == d.end;
}

char *sp_crl_ext_name(const struct sp_crl_ext *e, char *out, size_t room)
{
    const unsigned char *p = e->oid.start;
    ASN1_OBJECT *oid = d2i_ASN1_OBJECT(NULL, &p, e->oid.bytes + e->oid.len - p);
    if (oid == NULL || OBJ_obj2txt(out, (int)room, oid, 1) <= 0)
        snprintf(out, room, "malformed OID");
    ASN1_OBJECT_free(oid);
    ERR_clear_error();
    return out;
}

/* A non-negative number of at most 20 bytes (RFC 5280 §5.2.3) in hex, or "": then there is no order to hold to. */
static bool read_number(const struct sp_der_item *value, char out[SP_CRL_NUMBER])
{
    uint8_t magnitude[(SP_CRL_NUMBER - 2) / 2];
    struct sp_der d = sp_der_of(value);
    struct sp_der_item number;
    bool negative = false;
    size_t len = 0;
    out[0] = '\0';
    if (!sp_der_take(&d, SP_DER_INTEGER, &number) || d.p != d.end || number.len == 0)
        return false;
    if (!sp_der_integer(&number, magnitude, sizeof(magnitude), &negative, &len) || negative)
        return true;
    if (len == 0)
        magnitude[len++] = 0;
    sp_hex(magnitude, len, out);
    out[2 * len] = '\0';
    return true;
}

/* ---- issuingDistributionPoint ---- */

static unsigned reasons_of(const ASN1_BIT_STRING *flags)
{
    unsigned reasons = 0;
    for (int bit = 1; bit <= 8; bit++)
        reasons |= ASN1_BIT_STRING_get_bit(flags, bit) ? 1U << bit : 0U;
    return reasons;
}

/* Why the CRL is left out, or NULL. */
static const char *judge_idp(struct sp_crl *c, ISSUING_DIST_POINT *idp)
{
    if (idp->onlyattr > 0)
        return "it lists only attribute certificates";
    if (idp->onlyuser > 0 && idp->onlyCA > 0)
        return "its issuingDistributionPoint contradicts itself";
    c->is_indirect = idp->indirectCRL > 0;
    c->scope = idp->onlyuser > 0 ? SP_CRL_USERS : idp->onlyCA > 0 ? SP_CRL_CAS : SP_CRL_ALL;
    if (idp->onlysomereasons != NULL)
        c->reasons = reasons_of(idp->onlysomereasons);
    if (c->reasons == 0)
        return "its issuingDistributionPoint names no reason";
    if (idp->distpoint == NULL)
        return NULL;
    if (idp->distpoint->type == 0 && sk_GENERAL_NAME_num(idp->distpoint->name.fullname) <= 0)
        return "its distribution point has no name";
    /* Relative to the issuer: made whole here. */
    if (idp->distpoint->type == 1 && DIST_POINT_set_dpname(idp->distpoint, c->issuer) != 1)
        return "the name of its distribution point cannot be parsed";
    c->partition = idp->distpoint;
    idp->distpoint = NULL;
    return NULL;
}

static enum sp_rc read_idp(struct sp_crl *c, const struct sp_der_item *value, struct sp_err *err)
{
    const unsigned char *p = value->bytes, *end = p + value->len;
    ISSUING_DIST_POINT *idp = d2i_ISSUING_DIST_POINT(NULL, &p, (long)value->len);
    const char *why =
        idp == NULL || p != end ? "its issuingDistributionPoint cannot be parsed" : judge_idp(c, idp);
    ISSUING_DIST_POINT_free(idp);
    ERR_clear_error();
    char *copy = sp_alloc(value->len + 1, 1);
    if (copy == NULL || (why != NULL && !sp_crl_refuse(c, "%s", why))) {
        sp_free(copy);
        return sp_err_sys(err, ENOMEM, "it cannot be read");
    }
    memcpy(copy, value->bytes, value->len);
    c->idp = (struct sp_slice){copy, value->len};
    return SP_OK;
}

/* ---- all of them ---- */

static enum sp_rc read_one(struct sp_crl *c, const struct sp_crl_ext *e, struct sp_err *err)
{
    char name[80];
    switch (e->id) {
    case SP_EXT_CRL_NUMBER:
        if (!read_number(&e->value, c->number))
            return sp_err_set(err, "its CRLNumber cannot be parsed");
        return SP_OK;
    case SP_EXT_DELTA:
        c->is_delta = true;
        if (!read_number(&e->value, c->base) || c->base[0] == '\0')
            return sp_err_set(err, "its deltaCRLIndicator cannot be parsed");
        return SP_OK;
    case SP_EXT_IDP:
        return read_idp(c, &e->value, err);
    case SP_EXT_AKI:
        return SP_OK;
    default:
        if (!e->critical || sp_crl_refuse(c, "it has a critical extension that is not understood (%s)",
                                sp_crl_ext_name(e, name, sizeof(name))))
            return SP_OK;
        return sp_err_sys(err, ENOMEM, "it cannot be read");
    }
}

enum sp_rc sp_crl_read_extensions(struct sp_crl *c, struct sp_der list, struct sp_err *err)
{
    struct sp_crl_ext e;
    char name[80];
    uint64_t had = 0;
    for (unsigned i = 1; list.p < list.end; i++) {
        if (!sp_crl_ext_next(&list, &e))
            return sp_err_set(err, "extension %u is malformed", i);
        uint64_t bit = e.id == SP_CRL_EXT_OTHER ? 0 : 1ULL << e.id;
        if ((had & bit) != 0) {
            if (!sp_crl_refuse(c, "extension %s stands there twice", sp_crl_ext_name(&e, name, sizeof(name))))
                return sp_err_sys(err, ENOMEM, "it cannot be read");
            continue;
        }
        had |= bit;
        if (read_one(c, &e, err) != SP_OK)
            return SP_FAIL;
    }
    return SP_OK;
}

/* ---- certificateIssuer ---- */

/* Each entry may name another: they are told apart by numbers, or a million of them would be a thousand million names to compare. */
static struct sp_serials *other_set(struct sp_crl *c, X509_NAME *name, bool *refused, struct sp_err *err)
{
    if (X509_NAME_cmp(c->issuer, name) == 0)
        return &c->serials;
    int is_hashed;
    unsigned long hash = X509_NAME_hash_ex(name, NULL, NULL, &is_hashed);
    if (!is_hashed) {
        (void)sp_err_sys(err, ENOMEM, "it cannot be read");
        return NULL;
    }
    for (size_t i = 0; i < c->other_count; i++) {
        if (c->others[i].hash == hash && X509_NAME_cmp(c->others[i].issuer, name) == 0)
            return &c->others[i].serials;
    }
    if (c->other_count == OTHERS_MAX) {
        *refused = sp_crl_refuse(c, "it lists certificates of more than %d issuers", OTHERS_MAX);
        if (!*refused)
            (void)sp_err_sys(err, ENOMEM, "it cannot be read");
        return NULL;
    }
    struct sp_crl_other *more = realloc(c->others, (c->other_count + 1) * sizeof(*more));
    X509_NAME *copy = X509_NAME_dup(name);
    if (more != NULL)
        c->others = more;
    if (more == NULL || copy == NULL) {
        X509_NAME_free(copy);
        (void)sp_err_sys(err, ENOMEM, "it cannot be read");
        return NULL;
    }
    more[c->other_count] = (struct sp_crl_other){.issuer = copy, .hash = hash};
    return &more[c->other_count++].serials;
}

struct sp_serials *sp_crl_set_of(
    struct sp_crl *c, const struct sp_der_item *value, bool *refused, struct sp_err *err)
{
    const unsigned char *p = value->bytes, *end = p + value->len;
    struct sp_serials *set = NULL;
    GENERAL_NAMES *names = d2i_GENERAL_NAMES(NULL, &p, (long)value->len);
    if (names == NULL || p != end) {
        (void)sp_err_set(err, "its certificateIssuer cannot be parsed");
        goto out;
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && set == NULL; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DIRNAME)
            continue;
        set = other_set(c, name->d.directoryName, refused, err);
        goto out;
    }
    *refused = sp_crl_refuse(c, "the certificateIssuer of an entry is no directory name");
    if (!*refused)
        (void)sp_err_sys(err, ENOMEM, "it cannot be read");
out:
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return set;
}
