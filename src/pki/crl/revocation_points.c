/* Revocation as RFC 5280 §6.3.3 has it, for what a complete CRL of the issuer itself does not settle: for each
 * distribution point of the certificate, and for the one that needs no mention (the issuer's name, all reasons),
 *
 *   each CRL of the point's issuer -> of its scope -> signed by somebody of that name with a path to the same anchor
 *     -> in force, newest of its kind -> with the newest delta that goes with it -> listed, or cleared for its reasons
 *
 * A certificate is clear when all reasons are. Being listed anywhere decides, in a delta without its complete CRL too.
 * Allocates: this is the rare case. */
#include <openssl/err.h>

#include "pki/crl/revocation_impl.h"
#include "pki/x509/anchors.h"

struct point {
    const DIST_POINT_NAME *name;     /* NULL: none */
    const GENERAL_NAMES *crl_issuer; /* NULL: the certificate's issuer */
    unsigned reasons;
};

/* ---- names ---- */

static bool names_have(const GENERAL_NAMES *names, const X509_NAME *name)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type == GEN_DIRNAME && X509_NAME_cmp(n->d.directoryName, name) == 0)
            return true;
    }
    return false;
}

static bool names_meet(const GENERAL_NAMES *a, const GENERAL_NAMES *b)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(a); i++) {
        for (int k = 0; k < sk_GENERAL_NAME_num(b); k++) {
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(a, i), sk_GENERAL_NAME_value(b, k)) == 0)
                return true;
        }
    }
    return false;
}

/* One relative to its issuer has been made whole (dpname). */
static bool point_names_meet(const DIST_POINT_NAME *a, const DIST_POINT_NAME *b)
{
    if (a->type == 0 && b->type == 0)
        return names_meet(a->name.fullname, b->name.fullname);
    if (a->type == 1 && b->type == 1)
        return a->dpname != NULL && b->dpname != NULL && X509_NAME_cmp(a->dpname, b->dpname) == 0;
    const DIST_POINT_NAME *relative = a->type == 1 ? a : b, *full = a->type == 1 ? b : a;
    return relative->dpname != NULL && names_have(full->name.fullname, relative->dpname);
}

static bool name_is(const DIST_POINT_NAME *a, const X509_NAME *name)
{
    return a->type == 1 ? a->dpname != NULL && X509_NAME_cmp(a->dpname, name) == 0
                        : names_have(a->name.fullname, name);
}

static bool covers(const struct sp_judged *j, const struct sp_crl *c, const struct point *p)
{
    if (!sp_judged_is_in_scope(j, c) || (p->crl_issuer != NULL && !c->is_indirect))
        return false;
    if (c->partition == NULL)
        return true;
    if (p->name != NULL)
        return point_names_meet(c->partition, p->name);
    if (p->crl_issuer == NULL)
        return name_is(c->partition, X509_get_issuer_name(j->cert));
    return c->partition->type == 0
               ? names_meet(c->partition->name.fullname, p->crl_issuer)
               : c->partition->dpname != NULL && names_have(p->crl_issuer, c->partition->dpname);
}

/* ---- who signed ---- */

/* Somebody whose certificate is not in the chain is taken for an issuer of CRLs if he is one by his certificate. */
static bool may_sign_for_others(X509 *candidate)
{
    uint32_t flags = X509_get_extension_flags(candidate);
    return (flags & EXFLAG_KUSAGE) != 0 ? (X509_get_key_usage(candidate) & KU_CRL_SIGN) != 0
                                        : (flags & EXFLAG_CA) != 0;
}

/* It may be the very certificate that is judged: its CA wrote into it who speaks of it. The path comes first: only of
 * issuers that are proven is anything remembered in the CRL, which has few places for it. */
static bool is_signed_through(const struct sp_judged *j, struct sp_crl *c, X509 *candidate)
{
    const struct sp_crl_context *x = j->context;
    return X509_NAME_cmp(X509_get_subject_name(candidate), c->issuer) == 0 &&
           may_sign_for_others(candidate) && !sp_crl_is_known_unsigned_by(c, candidate) &&
           x->verify_crl_issuer != NULL && x->verify_crl_issuer(x->arg, candidate) &&
           sp_crl_is_signed_by(c, candidate);
}

static bool is_signed(const struct sp_judged *j, struct sp_crl *c)
{
    const struct sp_crl_context *x = j->context;
    size_t first = 0, end = 0;
    if (X509_NAME_cmp(c->issuer, X509_get_subject_name(j->issuer)) == 0 && sp_crl_is_signed_by(c, j->issuer))
        return true;
    if (x == NULL)
        return false;
    for (int i = 0; x->chain != NULL && i < sk_X509_num(x->chain); i++) {
        X509 *cert = sk_X509_value(x->chain, i);
        if (cert != j->cert && may_sign_for_others(cert) &&
            X509_NAME_cmp(X509_get_subject_name(cert), c->issuer) == 0 && sp_crl_is_signed_by(c, cert))
            return true;
    }
    if (x->cas != NULL)
        sp_cas_of(x->cas, c->issuer, &first, &end);
    for (size_t i = first; i < end; i++) {
        if (is_signed_through(j, c, x->cas->items[i].cert))
            return true;
    }
    for (int i = 0; x->extra != NULL && i < sk_X509_num(x->extra); i++) {
        if (is_signed_through(j, c, sk_X509_value(x->extra, i)))
            return true;
    }
    return false;
}

/* ---- one CRL among those of its name ---- */

static bool is_of_same_line(const struct sp_crl *a, const struct sp_crl *b)
{
    return sp_slice_equal(a->idp, b->idp) && sp_crl_have_same_signer(a, b);
}

/* `c` and whatever else is asked here have been found to be signed. */
static bool has_newer(const struct sp_judged *j, size_t first, size_t end, const struct sp_crl *c)
{
    for (size_t i = first; i < end; i++) {
        const struct sp_crl *other = j->set->items[i];
        if (other != c && other->unusable == NULL && other->is_delta == c->is_delta &&
            other->this_update <= j->now && is_of_same_line(other, c) && sp_crl_is_newer(other, c))
            return true;
    }
    return false;
}

static bool goes_with(const struct sp_crl *delta, const struct sp_crl *complete)
{
    return complete->number[0] != '\0' && sp_crl_compare_numbers(delta->base, complete->number) <= 0 &&
           sp_crl_compare_numbers(complete->number, delta->number) < 0 && is_of_same_line(delta, complete);
}

/* The newest delta that goes with `complete`, or NULL. */
static struct sp_crl *delta_of(
    const struct sp_judged *j, size_t first, size_t end, const struct sp_crl *complete)
{
    struct sp_crl *best = NULL;
    for (size_t i = first; i < end; i++) {
        struct sp_crl *d = j->set->items[i];
        if (d->unusable == NULL && d->is_delta && d->this_update <= j->now && is_signed(j, d) &&
            goes_with(d, complete) && (best == NULL || sp_crl_compare_numbers(d->number, best->number) > 0))
            best = d;
    }
    return best;
}

static bool find(const struct sp_judged *j, const struct sp_crl *c, struct sp_revoked *entry)
{
    return j->serial != NULL &&
           sp_crl_find(c, X509_get_issuer_name(j->cert), j->serial, j->serial_len, entry);
}

static void take_complete(const struct sp_judged *j, size_t first, size_t end, const struct sp_crl *c,
    unsigned reasons, struct sp_findings *f)
{
    struct sp_revoked entry;
    int64_t next_update = c->next_update;
    const struct sp_crl *delta = delta_of(j, first, end, c), *by = c;
    bool listed = delta != NULL && find(j, delta, &entry);
    if (delta != NULL && delta->next_update > next_update)
        next_update = delta->next_update; /* both together are a complete CRL of the delta's time */
    if (listed)
        by = delta;
    else
        listed = find(j, c, &entry);
    if (listed && entry.reason != CRL_REASON_REMOVE_FROM_CRL) {
        f->listed_in = by;
        f->entry = entry;
        return;
    }
    sp_findings_clear(f, j, c, reasons, next_update);
}

/* A delta on its own says of nobody that he is not revoked, but of some that they are; unless a complete CRL has come out
 * since. */
static void take_delta(
    const struct sp_judged *j, size_t first, size_t end, const struct sp_crl *d, struct sp_findings *f)
{
    struct sp_revoked entry;
    bool has_complete = false;
    for (size_t i = first; i < end; i++) {
        struct sp_crl *c = j->set->items[i];
        if (c->unusable != NULL || c->is_delta || c->this_update > j->now || !is_signed(j, c) ||
            !is_of_same_line(c, d))
            continue;
        if (sp_crl_compare_numbers(c->number, d->number) >= 0)
            return;
        has_complete |= goes_with(d, c);
    }
    if (find(j, d, &entry) && entry.reason != CRL_REASON_REMOVE_FROM_CRL) {
        f->listed_in = d;
        f->entry = entry;
    } else if (!has_complete) {
        f->lone_delta = d;
    }
}

static void look_at_crl(const struct sp_judged *j, const struct point *p, size_t first, size_t end, size_t at,
    struct sp_findings *f)
{
    struct sp_crl *c = j->set->items[at];
    unsigned reasons = c->reasons & p->reasons;
    if (c->unusable != NULL) {
        f->unusable = c;
    } else if (!is_signed(j, c)) {
        if (!sp_crl_has_known_signer(
                c)) /* with one it is another CA's of this name, and no concern of ours */
            f->unsigned_one = c;
    } else if (c->this_update > j->now) {
        f->not_in_force = c;
    } else if (reasons == 0 || !covers(j, c, p)) {
        f->other_scope = c;
    } else if (has_newer(j, first, end, c)) {
        return;
    } else if (c->is_delta) {
        take_delta(j, first, end, c, f);
    } else {
        if (reasons != SP_CRL_ALL_REASONS)
            f->some_reasons = c;
        take_complete(j, first, end, c, reasons, f);
    }
}

/* ---- the points ---- */

static void look_at_issuer(
    const struct sp_judged *j, const struct point *p, const X509_NAME *issuer, struct sp_findings *f)
{
    size_t first, end;
    sp_crls_of(j->set, issuer, &first, &end);
    for (size_t i = first; i < end && f->listed_in == NULL; i++)
        look_at_crl(j, p, first, end, i, f);
}

static void look_at_point(const struct sp_judged *j, const struct point *p, struct sp_findings *f)
{
    if (p->crl_issuer == NULL) {
        look_at_issuer(j, p, X509_get_issuer_name(j->cert), f);
        return;
    }
    for (int i = 0; i < sk_GENERAL_NAME_num(p->crl_issuer) && f->listed_in == NULL; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(p->crl_issuer, i);
        if (name->type == GEN_DIRNAME)
            look_at_issuer(j, p, name->d.directoryName, f);
    }
}

/* The name that a relative one is relative to: of the CRL's issuer. */
static const X509_NAME *base_of(const struct sp_judged *j, const DIST_POINT *point)
{
    for (int i = 0; point->CRLissuer != NULL && i < sk_GENERAL_NAME_num(point->CRLissuer); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(point->CRLissuer, i);
        if (name->type == GEN_DIRNAME)
            return name->d.directoryName;
    }
    return X509_get_issuer_name(j->cert);
}

static struct point read_point(const struct sp_judged *j, DIST_POINT *point)
{
    struct point p = {point->distpoint, point->CRLissuer, SP_CRL_ALL_REASONS};
    if (point->reasons != NULL) {
        p.reasons = 0;
        for (int bit = 1; bit <= 8; bit++)
            p.reasons |= ASN1_BIT_STRING_get_bit(point->reasons, bit) ? 1U << bit : 0U;
    }
    if (p.name != NULL && p.name->type == 1)
        (void)DIST_POINT_set_dpname(point->distpoint, base_of(j, point)); /* without, the name meets none */
    return p;
}

void sp_judged_look_everywhere(const struct sp_judged *j, struct sp_findings *f)
{
    static const struct point unspoken = {NULL, NULL, SP_CRL_ALL_REASONS};
    CRL_DIST_POINTS *points = X509_get_ext_d2i(j->cert, NID_crl_distribution_points, NULL, NULL);
    look_at_point(j, &unspoken, f);
    for (int i = 0; points != NULL && i < sk_DIST_POINT_num(points) && f->listed_in == NULL; i++) {
        struct point p = read_point(j, sk_DIST_POINT_value(points, i));
        look_at_point(j, &p, f);
    }
    CRL_DIST_POINTS_free(points);
    ERR_clear_error();
}
