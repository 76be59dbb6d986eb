/* Which CRL decides about a certificate, and how.
 *
 *   of the issuer's name -> usable -> signed by the issuer's own key -> in force -> covers the certificate -> newest of its scope
 *
 * That is all there is to most certificates, and it is done here without a lock or an allocation. Where a CRL of another
 * kind is around, or nothing was found, revocation_points.c looks everywhere. The words of all verdicts are here.
 *
 * Whatever falls out on the way is remembered only for the message: one broken CRL does not disturb another,
 * and one CA's CRL never speaks of another CA's certificates, not even of a CA with the same name and another
 * key.
 *
 * "Revoked" is believed from a stale CRL too. "Not listed" is believed from a fresh one, or as far as crl_stale
 * says. */
#include <stdio.h>

#include "pki/crl/revocation_impl.h"
#include "pki/x509/asn1.h"
#include "sallyport/base/text.h"
#include "sallyport/pki/identity.h"

bool sp_judged_is_too_old(const struct sp_judged *j, int64_t next_update)
{
    /* As OpenSSL has it, the second named by nextUpdate is the first that is too late. */
    if (next_update == SP_CRL_NO_END || j->now < next_update || j->policy->stale == SP_CRL_STALE_ACCEPT)
        return false;
    return j->policy->stale != SP_CRL_STALE_GRACE || j->now - next_update >= j->policy->grace_s;
}

void sp_findings_clear(struct sp_findings *f, const struct sp_judged *j, const struct sp_crl *c,
    unsigned reasons, int64_t next_update)
{
    bool fresh = !sp_judged_is_too_old(j, next_update);
    f->any |= reasons;
    f->fresh |= fresh ? reasons : 0;
    if (!fresh && (f->stalest == NULL || next_update > f->stalest->next_update))
        f->stalest = c;
}

/* ---- complete CRLs of the issuer itself ---- */

/* 1, 0, or -1: not known without the certificate. */
static int is_signed(const struct sp_judged *j, struct sp_crl *c)
{
    return j->issuer != NULL ? sp_crl_is_signed_by(c, j->issuer) : sp_crl_was_signed_by(c, j->issuer_id);
}

static bool is_decided_by_newer(const struct sp_judged *j, size_t first, size_t at)
{
    for (size_t i = first; i < at; i++) { /* newest first */
        struct sp_crl *c = j->set->items[i];
        if (c->unusable == NULL && c->this_update <= j->now &&
            sp_slice_equal(c->idp, j->set->items[at]->idp) && is_signed(j, c) == 1)
            return true;
    }
    return false;
}

/* False: there is more than can be judged here. */
static bool look_at_plain(const struct sp_judged *j, size_t first, size_t end, struct sp_findings *f)
{
    struct sp_revoked entry;
    for (size_t i = first; i < end; i++) {
        struct sp_crl *c = j->set->items[i];
        if (c->unusable != NULL)
            continue;
        int signed_it = is_signed(j, c);
        if (!sp_crl_is_plain(c) || signed_it < 0)
            return false;
        if (signed_it != 1 || c->this_update > j->now || !sp_judged_is_in_scope(j, c) ||
            is_decided_by_newer(j, first, i))
            continue;
        if (j->serial != NULL && sp_serials_find(&c->serials, j->serial, j->serial_len, &entry)) {
            f->listed_in = c;
            f->entry = entry;
            return true;
        }
        sp_findings_clear(f, j, c, SP_CRL_ALL_REASONS, c->next_update);
    }
    return true;
}

/* ---- the verdict ---- */

static enum sp_refusal say_revoked(
    const struct sp_findings *f, const struct sp_judged *j, char *detail, size_t room)
{
    char serial[2 * 32 + 8], since[SP_RFC3339_MAX];
    size_t len = j->serial_len - 1, shown = len > 32 ? 32 : len;
    sp_hex(j->serial + 1, shown, serial);
    snprintf(detail, room, "serial %s%s%s revoked %s (%s), %s", j->serial[0] != 0 ? "-" : "",
        len > 0 ? serial : "00", shown < len ? "..." : "", sp_asn1_time_text(f->entry.date, since),
        sp_crl_reason_name(f->entry.reason), f->listed_in->source);
    return SP_REFUSAL_revoked;
}

static enum sp_refusal say_stale(
    const struct sp_findings *f, const struct sp_judged *j, char *detail, size_t room)
{
    char when[SP_RFC3339_MAX];
    snprintf(detail, room, "%s: nextUpdate was %s%s", f->stalest->source,
        sp_asn1_time_text(f->stalest->next_update, when),
        j->policy->stale == SP_CRL_STALE_GRACE ? ", and its grace is over" : "");
    return SP_REFUSAL_crl_stale;
}

static enum sp_refusal say_missing(
    const struct sp_findings *f, const struct sp_judged *j, const char *ca, char *detail, size_t room)
{
    if (j->policy->missing == SP_CRL_MISSING_ACCEPT)
        return SP_REFUSAL_none;
    if (f->some_reasons != NULL)
        snprintf(detail, room, "no CRL of CA %s for some reasons of revocation: %s covers others only", ca,
            f->some_reasons->source);
    else if (f->lone_delta != NULL)
        snprintf(detail, room,
            "no CRL of CA %s: %s is a delta CRL, and the complete one that it goes with is not there", ca,
            f->lone_delta->source);
    else if (f->other_scope != NULL)
        snprintf(detail, room, "no CRL of CA %s for this certificate: %s covers others only", ca,
            f->other_scope->source);
    else if (f->unusable != NULL)
        snprintf(detail, room, "no CRL of CA %s: %s was left out, %s", ca, f->unusable->source,
            f->unusable->unusable);
    else
        snprintf(detail, room, "no CRL of CA %s", ca);
    return SP_REFUSAL_crl_missing;
}

static enum sp_refusal say(const struct sp_findings *f, const struct sp_judged *j, char *detail, size_t room)
{
    char ca[128], when[SP_RFC3339_MAX];
    if (f->listed_in != NULL)
        return say_revoked(f, j, detail, room);
    if (f->fresh == SP_CRL_ALL_REASONS)
        return SP_REFUSAL_none;
    if (f->any == SP_CRL_ALL_REASONS)
        return say_stale(f, j, detail, room);
    sp_asn1_name_text(X509_get_issuer_name(j->cert), ca, sizeof(ca));
    if (f->not_in_force != NULL) {
        snprintf(detail, room, "%s is not in force before %s (CA %s)", f->not_in_force->source,
            sp_asn1_time_text(f->not_in_force->this_update, when), ca);
        return SP_REFUSAL_crl_invalid;
    }
    if (f->unsigned_one != NULL) {
        bool may_sign = (X509_get_key_usage((X509 *)j->issuer) & KU_CRL_SIGN) != 0;
        snprintf(detail, room, "%s: %s %s", f->unsigned_one->source,
            may_sign ? "its signature does not verify under the key of CA"
                     : "cRLSign is not in the keyUsage of CA",
            ca);
        return SP_REFUSAL_crl_invalid;
    }
    return say_missing(f, j, ca, detail, room);
}

enum sp_refusal sp_crls_judge(const struct sp_crls *set, const struct sp_crl_policy *policy,
    const struct sp_crl_context *context, const X509 *cert, const X509 *issuer, int64_t now, char *detail,
    size_t room)
{
    uint8_t key[SP_SERIAL_MAX_KEY];
    size_t first, end;
    struct sp_findings f = {0};
    /* Cached when the chain was built; the cast is for a getter that is not const in 3.0. */
    struct sp_judged j = {.set = set,
        .policy = policy,
        .context = context,
        .cert = cert,
        .issuer = issuer,
        .is_ca = (X509_get_extension_flags((X509 *)cert) & EXFLAG_CA) != 0,
        .now = now};
    if (sp_crl_serial_key(X509_get0_serialNumber(cert), key, &j.serial_len))
        j.serial = key;
    sp_crls_of(set, X509_get_issuer_name(cert), &first, &end);
    bool is_all = look_at_plain(&j, first, end, &f);
    if (!is_all || (f.listed_in == NULL && f.fresh != SP_CRL_ALL_REASONS)) {
        f = (struct sp_findings){0};
        sp_judged_look_everywhere(&j, &f);
    }
    return say(&f, &j, detail, room);
}

/* ---- by plain facts ---- */

static const struct sp_crls_group *group_of(const struct sp_crls *set, const uint8_t issuer_hash[32])
{
    size_t low = 0, high = set->group_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = memcmp(set->groups[mid].issuer_hash, issuer_hash, 32);
        if (order == 0)
            return &set->groups[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

enum sp_crl_answer sp_crls_judge_link(const struct sp_crls *set, const struct sp_crl_policy *policy,
    const struct sp_chain_link *link, int64_t now, char *detail, size_t room)
{
    struct sp_findings f = {0};
    struct sp_judged j = {.set = set,
        .policy = policy,
        .issuer_id = link->issuer_id,
        .serial = (const uint8_t *)link->serial.ptr,
        .serial_len = link->serial.len,
        .is_ca = link->is_ca,
        .now = now};
    if (set->count == 0 && policy->missing == SP_CRL_MISSING_ACCEPT)
        return SP_CRL_CLEAR;
    if (set->has_indirect || link->serial.len < 1 || link->serial.len > SP_SERIAL_MAX_KEY)
        return SP_CRL_ASK;
    const struct sp_crls_group *group = group_of(set, link->issuer_name);
    if (group == NULL || !look_at_plain(&j, group->first, group->end, &f))
        return SP_CRL_ASK; /* the name may be there in other bytes */
    if (f.listed_in != NULL) {
        (void)say_revoked(&f, &j, detail, room);
        return SP_CRL_REFUSED;
    }
    return f.fresh == SP_CRL_ALL_REASONS ? SP_CRL_CLEAR : SP_CRL_ASK;
}
