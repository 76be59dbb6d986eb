/* Which CRL decides about a certificate, and how.
 *
 *   of the issuer's name -> usable -> signed by the issuer's own key -> in force -> covers the certificate -> newest of its scope
 *
 * Whatever falls out on the way is remembered only for the message: one broken CRL does not disturb another,
 * and one CA's CRL never speaks of another CA's certificates, not even of a CA with the same name and another
 * key.
 *
 * "Revoked" is believed from a stale CRL too. "Not listed" is believed from a fresh one, or as far as crl_stale
 * says. */
#include "revocation.h"

#include <stdio.h>
#include <stdlib.h>

#include "asn1.h"
#include "sallyport/base/mem.h"

enum sp_rc sp_crls_add(struct sp_crls *set, struct sp_crl *c)
{
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 16 : set->room * 2;
        struct sp_crl **items = sp_alloc(room, sizeof(struct sp_crl *));
        if (items == NULL) {
            sp_crl_free(c);
            return SP_FAIL;
        }
        if (set->count > 0)
            memcpy(items, set->items, set->count * sizeof(struct sp_crl *));
        sp_free(set->items);
        set->items = items;
        set->room = room;
    }
    set->items[set->count++] = c;
    return SP_OK;
}

void sp_crls_free(struct sp_crls *set)
{
    for (size_t i = 0; i < set->count; i++)
        sp_crl_free(set->items[i]);
    sp_free(set->items);
    *set = (struct sp_crls){NULL, 0, 0};
}

/* By thisUpdate; of two that were made in the same second the higher CRLNumber is the newer. */
static bool is_newer(const struct sp_crl *a, const struct sp_crl *b)
{
    if (a->this_update != b->this_update)
        return a->this_update > b->this_update;
    size_t la = strlen(a->number), lb = strlen(b->number);
    return la != lb ? la > lb : strcmp(a->number, b->number) > 0;
}

static int by_issuer_then_age(const void *a, const void *b)
{
    const struct sp_crl *x = *(struct sp_crl *const *)a, *y = *(struct sp_crl *const *)b;
    int order = X509_NAME_cmp(x->issuer, y->issuer);
    if (order != 0)
        return order;
    return is_newer(x, y) ? -1 : is_newer(y, x) ? 1 : 0;
}

static const X509_PUBKEY *known_signer(const struct sp_crl *c)
{
    for (unsigned i = 0; i < atomic_load(&c->key_count); i++) {
        if (c->keys[i].signed_it)
            return c->keys[i].key;
    }
    return NULL;
}

static bool is_same_scope(const struct sp_crl *a, const struct sp_crl *b)
{
    return sp_slice_equal(a->idp, b->idp);
}

/* `old` comes after `newer` in the order of the set. */
static bool replaces(const struct sp_crl *newer, const struct sp_crl *old, int64_t now)
{
    const X509_PUBKEY *signer = known_signer(newer);
    return newer->unusable == NULL && newer->this_update <= now && signer != NULL &&
           is_same_scope(newer, old) && sp_asn1_same_key(signer, known_signer(old));
}

void sp_crls_finish(struct sp_crls *set, int64_t now)
{
    size_t kept = 0, first_of_issuer = 0;
    if (set->count > 1)
        qsort(set->items, set->count, sizeof(struct sp_crl *), by_issuer_then_age);
    for (size_t i = 0; i < set->count; i++) {
        struct sp_crl *c = set->items[i];
        bool drop = false;
        if (kept > 0 && X509_NAME_cmp(set->items[kept - 1]->issuer, c->issuer) != 0)
            first_of_issuer = kept;
        for (size_t j = first_of_issuer; j < kept && !drop; j++)
            drop = c->unusable == NULL && replaces(set->items[j], c, now);
        if (drop)
            sp_crl_free(c);
        else
            set->items[kept++] = c;
    }
    set->count = kept;
}

void sp_crls_of(const struct sp_crls *set, const X509_NAME *name, size_t *first, size_t *end)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (X509_NAME_cmp(set->items[mid]->issuer, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *first = low;
    while (low < set->count && X509_NAME_cmp(set->items[low]->issuer, name) == 0)
        low++;
    *end = low;
}

struct sp_crl *sp_crls_current(const struct sp_crls *set, const X509 *ca, int64_t now)
{
    size_t first, end;
    sp_crls_of(set, X509_get_subject_name(ca), &first, &end);
    for (size_t i = first; i < end; i++) {
        struct sp_crl *c = set->items[i];
        if (c->unusable == NULL && c->scope == SP_CRL_ALL && c->partition == NULL && c->this_update <= now &&
            sp_crl_is_signed_by(c, ca))
            return c;
    }
    return NULL;
}

/* ---- the verdict ---- */

/* What was found of one issuer's CRLs; each points at an example for the message. */
struct findings {
    const struct sp_crl *listed_in, *freshest;
    const struct sp_crl *unusable, *unsigned_one, *not_in_force, *other_scope;
    const struct sp_revoked *entry;
};

static bool is_decided_by_newer(
    const struct sp_crls *set, size_t first, size_t at, const X509 *issuer, int64_t now)
{
    for (size_t i = first; i < at; i++) { /* newest first */
        struct sp_crl *c = set->items[i];
        if (c->unusable == NULL && c->this_update <= now && is_same_scope(c, set->items[at]) &&
            sp_crl_is_signed_by(c, issuer))
            return true;
    }
    return false;
}

static void look_at(
    const struct sp_crls *set, const X509 *cert, const X509 *issuer, int64_t now, struct findings *f)
{
    size_t first, end;
    sp_crls_of(set, X509_get_subject_name(issuer), &first, &end);
    for (size_t i = first; i < end; i++) {
        struct sp_crl *c = set->items[i];
        if (c->unusable != NULL) {
            f->unusable = c;
        } else if (!sp_crl_is_signed_by(c, issuer)) {
            if (!sp_crl_has_known_signer(
                    c)) /* with one it is another CA's of this name, and no concern of ours */
                f->unsigned_one = c;
        } else if (c->this_update > now) {
            f->not_in_force = c;
        } else if (!sp_crl_covers(c, cert)) {
            f->other_scope = c;
        } else if (!is_decided_by_newer(set, first, i, issuer, now)) {
            const struct sp_revoked *entry = sp_crl_find(c, X509_get0_serialNumber(cert));
            if (entry != NULL && f->entry == NULL) {
                f->entry = entry;
                f->listed_in = c;
            }
            if (f->freshest == NULL || c->next_update > f->freshest->next_update)
                f->freshest = c;
        }
    }
}

static enum sp_refusal say_revoked(const struct findings *f, const X509 *cert, char *detail, size_t room)
{
    char serial[64], since[SP_RFC3339_MAX];
    snprintf(detail, room, "serial %s revoked %s (%s), %s",
        sp_asn1_serial_text(X509_get0_serialNumber(cert), serial, sizeof(serial)),
        sp_asn1_time_text(f->entry->date, since), sp_crl_reason_name(f->entry->reason), f->listed_in->source);
    return SP_REFUSAL_revoked;
}

static enum sp_refusal judge_none_found(const struct findings *f, const struct sp_crl_policy *policy,
    const X509 *issuer, char *detail, size_t room)
{
    char ca[128], when[SP_RFC3339_MAX];
    sp_asn1_name_text(X509_get_subject_name(issuer), ca, sizeof(ca));
    if (f->not_in_force != NULL) {
        snprintf(detail, room, "%s is not in force before %s (CA %s)", f->not_in_force->source,
            sp_asn1_time_text(f->not_in_force->this_update, when), ca);
        return SP_REFUSAL_crl_invalid;
    }
    if (f->unsigned_one != NULL) {
        bool may_sign = (X509_get_key_usage((X509 *)issuer) & KU_CRL_SIGN) != 0;
        snprintf(detail, room, "%s: %s %s", f->unsigned_one->source,
            may_sign ? "its signature does not verify under the key of CA"
                     : "cRLSign is not in the keyUsage of CA",
            ca);
        return SP_REFUSAL_crl_invalid;
    }
    if (policy->missing == SP_CRL_MISSING_ACCEPT)
        return SP_REFUSAL_none;
    if (f->other_scope != NULL)
        snprintf(detail, room, "no CRL of CA %s for this certificate: %s covers others only", ca,
            f->other_scope->source);
    else if (f->unusable != NULL)
        snprintf(detail, room, "no CRL of CA %s: %s was left out, %s", ca, f->unusable->source,
            f->unusable->unusable);
    else
        snprintf(detail, room, "no CRL of CA %s", ca);
    return SP_REFUSAL_crl_missing;
}

/* As OpenSSL has it, the second named by nextUpdate is the first that is too late. */
static bool is_too_old(const struct sp_crl *c, const struct sp_crl_policy *policy, int64_t now)
{
    if (c->next_update == SP_CRL_NO_END || now < c->next_update || policy->stale == SP_CRL_STALE_ACCEPT)
        return false;
    return policy->stale != SP_CRL_STALE_GRACE || now - c->next_update >= policy->grace_s;
}

enum sp_refusal sp_crls_judge(const struct sp_crls *set, const struct sp_crl_policy *policy, const X509 *cert,
    const X509 *issuer, int64_t now, char *detail, size_t room)
{
    struct findings f = {0};
    char when[SP_RFC3339_MAX];
    look_at(set, cert, issuer, now, &f);
    if (f.entry != NULL)
        return say_revoked(&f, cert, detail, room);
    if (f.freshest == NULL)
        return judge_none_found(&f, policy, issuer, detail, room);
    if (!is_too_old(f.freshest, policy, now))
        return SP_REFUSAL_none;
    snprintf(detail, room, "%s: nextUpdate was %s%s", f.freshest->source,
        sp_asn1_time_text(f.freshest->next_update, when),
        policy->stale == SP_CRL_STALE_GRACE ? ", and its grace is over" : "");
    return SP_REFUSAL_crl_stale;
}

int64_t sp_crls_next_change(const struct sp_crls *set, const struct sp_crl_policy *policy, int64_t now)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < set->count; i++) {
        const struct sp_crl *c = set->items[i];
        int64_t too_old = c->next_update;
        if (too_old != SP_CRL_NO_END && policy->stale == SP_CRL_STALE_GRACE)
            too_old += policy->grace_s;
        if (c->this_update > now && c->this_update < next)
            next = c->this_update;
        if (too_old != SP_CRL_NO_END && too_old > now && too_old < next)
            next = too_old;
    }
    return next;
}
