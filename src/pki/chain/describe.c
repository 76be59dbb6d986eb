/* What a trust reports of its CAs and CRLs, for `check`, metrics and warnings ahead of time. Nothing is decided here. */
#include <stdio.h>

#include "pki/chain/trust_impl.h"
#include "pki/x509/asn1.h"

void sp_trust_each_ca(
    const struct sp_trust *t, int64_t now, void (*each)(void *arg, const struct sp_trust_ca *ca), void *arg)
{
    for (size_t i = 0; i < t->cas.count; i++) {
        const struct sp_ca *ca = &t->cas.items[i];
        char name[512];
        struct sp_trust_ca facts = {
            .subject = sp_asn1_name_text(X509_get_subject_name(ca->cert), name, sizeof(name)),
            .file = ca->file,
            .not_before = ca->not_before,
            .not_after = ca->not_after,
            .is_anchor = ca->ends_chain,
            .has_crl = sp_crls_current(&t->crls, ca->cert, now) != NULL,
        };
        each(arg, &facts);
    }
}

/* `delta` is room for the one that is not a constant. */
static const char *note_of(const struct sp_crl *c, char *delta, size_t room)
{
    if (c->unusable != NULL)
        return NULL;
    if (!sp_crl_has_known_signer(c))
        return "signed by no CA of the bundle";
    if (c->is_delta) {
        snprintf(delta, room, "delta of %s", c->base);
        return delta;
    }
    if (c->is_indirect)
        return "indirect";
    if (c->reasons != SP_CRL_ALL_REASONS)
        return "some reasons only";
    if (c->scope != SP_CRL_ALL)
        return c->scope == SP_CRL_USERS ? "end entities only" : "CAs only";
    return c->partition != NULL ? "one distribution point only" : NULL;
}

static int64_t warn_at(const struct sp_trust *t, const struct sp_crl *c)
{
    if (c->next_update == SP_CRL_NO_END)
        return INT64_MAX;
    return c->next_update -
           (t->crl_warn_before_s > 0 ? t->crl_warn_before_s : (c->next_update - c->this_update) / 10);
}

void sp_trust_each_crl(
    const struct sp_trust *t, void (*each)(void *arg, const struct sp_trust_crl *crl), void *arg)
{
    for (size_t i = 0; i < t->crls.count; i++) {
        const struct sp_crls_info *info = &t->crls.infos[i];
        const struct sp_crl *c = info->crl;
        char name[512], delta[64];
        struct sp_trust_crl facts = {
            .issuer = sp_asn1_name_text(c->issuer, name, sizeof(name)),
            .source = c->source,
            .url = info->url,
            .number = c->number,
            .this_update = c->this_update,
            .next_update = c->next_update,
            .loaded_at = info->loaded_at,
            .entries = c->revoked_count,
            .warn_at = warn_at(t, c),
            .unusable = c->unusable,
            .note = note_of(c, delta, sizeof(delta)),
            .trouble = info->trouble,
        };
        each(arg, &facts);
    }
}
