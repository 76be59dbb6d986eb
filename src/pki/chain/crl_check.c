/* Judging a file of CRLs before it replaces another: see the door. The file is read by the very code that loads it
 * later, so what passes here is what a trust will accept. */
#include "sallyport/pki/crl_check.h"

#include <stdio.h>

#include "pki/chain/trust_impl.h"
#include "pki/crl/crl_file.h"
#include "pki/x509/asn1.h"
#include "sallyport/base/clock.h"

struct check {
    const struct sp_trust *const *trusts;
    size_t trust_count;
    int64_t now;
    struct sp_crl_list fresh, kept;
};

enum signer { SIGNER_RIGHT, SIGNER_WRONG, SIGNER_UNKNOWN };

/* ---- whose signature it is ---- */

/* Several may have the name: one that signed it is enough. */
static enum signer better(enum signer a, bool signed_it)
{
    return a == SIGNER_RIGHT || signed_it ? SIGNER_RIGHT : SIGNER_WRONG;
}

static enum signer ask_cas(const struct sp_trust *t, struct sp_crl *c, enum signer found)
{
    size_t first, end;
    sp_cas_of(&t->cas, c->issuer, &first, &end);
    for (size_t i = first; i < end; i++)
        found = better(found, sp_crl_is_signed_by(c, t->cas.items[i].cert));
    for (int i = 0; i < sk_X509_num(t->intermediates); i++) {
        const X509 *cert = sk_X509_value(t->intermediates, i);
        if (X509_NAME_cmp(X509_get_subject_name(cert), c->issuer) == 0)
            found = better(found, sp_crl_is_signed_by(c, cert));
    }
    return found;
}

/* Clients have shown the CA's certificate by now: the CRL in force knows its key, even if it is not by that key. */
static enum signer ask_crls(const struct sp_trust *t, struct sp_crl *c, enum signer found)
{
    size_t first, end;
    sp_crls_of(&t->crls, c->issuer, &first, &end);
    for (size_t i = first; i < end; i++) {
        int answer = sp_crl_is_signed_by_asked(c, t->crls.items[i]);
        if (answer >= 0)
            found = better(found, answer == 1);
    }
    return found;
}

static enum signer signer_of(const struct check *k, struct sp_crl *c)
{
    enum signer found = SIGNER_UNKNOWN;
    for (size_t i = 0; i < k->trust_count; i++)
        found = ask_cas(k->trusts[i], c, found);
    for (size_t i = 0; found == SIGNER_UNKNOWN && i < k->trust_count; i++)
        found = ask_crls(k->trusts[i], c, found);
    return found;
}

/* ---- one against another ---- */

static bool is_of_one_kind(const struct sp_crl *a, const struct sp_crl *b)
{
    return X509_NAME_cmp(a->issuer, b->issuer) == 0 && sp_slice_equal(a->idp, b->idp) &&
           a->is_delta == b->is_delta;
}

/* A complete CRL says all that a partial one does. */
static bool replaces(const struct sp_crl *fresh, const struct sp_crl *kept)
{
    bool is_complete = sp_crl_is_plain(fresh) && fresh->idp.len == 0;
    return fresh->unusable == NULL &&
           (is_of_one_kind(fresh, kept) || (is_complete && X509_NAME_cmp(fresh->issuer, kept->issuer) == 0 &&
                                               !sp_crl_is_newer(kept, fresh)));
}

/* What is kept counts only as far as it could be used. */
static bool is_worth_keeping(const struct check *k, struct sp_crl *kept)
{
    return kept->unusable == NULL && kept->this_update <= k->now && signer_of(k, kept) != SIGNER_WRONG;
}

static enum sp_rc compare_with_kept(const struct check *k, const struct sp_crl *c, struct sp_err *err)
{
    char is[SP_RFC3339_MAX], was[SP_RFC3339_MAX];
    for (size_t i = 0; i < k->kept.count; i++) {
        struct sp_crl *kept = k->kept.items[i];
        if (!is_of_one_kind(kept, c) || !is_worth_keeping(k, kept) || !sp_crl_is_newer(kept, c))
            continue;
        bool other_key =
            sp_crl_has_known_signer(kept) && sp_crl_has_known_signer(c) && !sp_crl_have_same_signer(kept, c);
        if (!other_key)
            return sp_err_set(err, "it is older than the one that is kept: thisUpdate %s, kept %s",
                sp_asn1_time_text(c->this_update, is), sp_asn1_time_text(kept->this_update, was));
    }
    return SP_OK;
}

static enum sp_rc check_one(const struct check *k, struct sp_crl *c, struct sp_err *err)
{
    char when[SP_RFC3339_MAX];
    if (c->this_update > k->now)
        return sp_err_set(err, "it is not in force before %s", sp_asn1_time_text(c->this_update, when));
    if (signer_of(k, c) == SIGNER_WRONG)
        return sp_err_set(err, "its signature verifies under no known CA of that name that may sign CRLs");
    return compare_with_kept(k, c, err);
}

/* Nothing that is good by now may get lost. */
static enum sp_rc find_losses(const struct check *k, struct sp_err *err)
{
    char name[192], when[SP_RFC3339_MAX];
    for (size_t i = 0; i < k->kept.count; i++) {
        struct sp_crl *kept = k->kept.items[i];
        bool found = kept->next_update <= k->now || !is_worth_keeping(k, kept);
        for (size_t j = 0; !found && j < k->fresh.count; j++)
            found = replaces(k->fresh.items[j], kept);
        if (found)
            continue;
        sp_asn1_name_text(kept->issuer, name, sizeof(name));
        return sp_err_set(err,
            "it has no CRL of %s that the kept one could give way to, which is good until %s", name,
            kept->next_update == SP_CRL_NO_END ? "it is removed"
                                               : sp_asn1_time_text(kept->next_update, when));
    }
    return SP_OK;
}

/* ---- the file ---- */

static enum sp_rc check_all(const struct check *k, struct sp_err *err)
{
    char name[192];
    const struct sp_crl *unusable = NULL;
    size_t usable = 0;
    for (size_t i = 0; i < k->fresh.count; i++) {
        struct sp_crl *c = k->fresh.items[i];
        if (c->unusable != NULL) {
            unusable = unusable == NULL ? c : unusable;
            continue;
        }
        usable++;
        if (check_one(k, c, err) != SP_OK) {
            sp_asn1_name_text(c->issuer, name, sizeof(name));
            return sp_err_wrap(err, "CRL %zu (issuer %s)", i + 1, name);
        }
    }
    if (usable == 0)
        return sp_err_set(
            err, "the CRL cannot be used: %s", unusable != NULL ? unusable->unusable : "there is none");
    return find_losses(k, err);
}

static void gather(const struct sp_crl_list *list, struct sp_crl_facts *out)
{
    *out =
        (struct sp_crl_facts){.count = list->count, .this_update = INT64_MAX, .next_update = SP_CRL_NO_END};
    for (size_t i = 0; i < list->count; i++) {
        const struct sp_crl *c = list->items[i];
        if (c->unusable != NULL)
            continue;
        if (out->issuer[0] == '\0')
            sp_asn1_name_text(c->issuer, out->issuer, sizeof(out->issuer));
        out->entries += c->revoked_count;
        if (c->this_update < out->this_update)
            out->this_update = c->this_update;
        if (c->next_update < out->next_update)
            out->next_update = c->next_update;
    }
}

/* The message begins with a path that means nothing to whoever reads it. */
static void drop_path(const char *path, struct sp_err *err)
{
    size_t len = strlen(path);
    if (strncmp(err->text, path, len) == 0 && strncmp(err->text + len, ": ", 2) == 0)
        memmove(err->text, err->text + len + 2, strlen(err->text + len + 2) + 1);
}

enum sp_rc sp_crl_check(const char *path, const char *kept, const struct sp_trust *const *trusts,
    size_t trust_count, int64_t now, struct sp_crl_facts *out, struct sp_err *err)
{
    struct check k = {.trusts = trusts, .trust_count = trust_count, .now = now};
    struct sp_err ignored = {0};
    struct stat st;
    enum sp_rc rc = sp_crl_file_read(path, &k.fresh, &st, err);
    if (rc != SP_OK) {
        drop_path(path, err);
        rc = SP_FAIL;
        goto out;
    }
    /* what of it can still be read counts */
    if (kept != NULL && sp_crl_file_read(kept, &k.kept, &st, &ignored) == SP_EOF)
        sp_crl_list_free(&k.kept);
    rc = check_all(&k, err);
    if (rc == SP_OK)
        gather(&k.fresh, out);
out:
    sp_crl_list_free(&k.fresh);
    sp_crl_list_free(&k.kept);
    return rc;
}
