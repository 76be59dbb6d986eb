/* The refusal table as data: one row a reason, made from the list in the header, so that a word cannot exist in
 * one place only. */
#include "sallyport/obs/refusal.h"

struct reason {
    const char *name;
    const char *meaning;
    char when;
};

static const struct reason reasons[] = {
#define X(name, when, meaning) {#name, meaning, #when[0]},
    SP_REFUSALS(X)
#undef X
};

static const struct reason *reason_of(enum sp_refusal r)
{
    SP_ASSERT((unsigned)r < SP_COUNTOF(reasons));
    return &reasons[r];
}

const char *sp_refusal_name(enum sp_refusal r)
{
    return reason_of(r)->name;
}

const char *sp_refusal_meaning(enum sp_refusal r)
{
    return reason_of(r)->meaning;
}

char sp_refusal_when(enum sp_refusal r)
{
    return reason_of(r)->when;
}

/* What a client can be refused for by its certificate when it is judged again, which asks no responder; and what only
 * happens to open ones. */
bool sp_refusal_ends_sessions(enum sp_refusal r)
{
    switch (r) {
    case SP_REFUSAL_no_certificate:
    case SP_REFUSAL_untrusted_issuer:
    case SP_REFUSAL_bad_signature:
    case SP_REFUSAL_expired:
    case SP_REFUSAL_not_yet_valid:
    case SP_REFUSAL_wrong_purpose:
    case SP_REFUSAL_chain_too_long:
    case SP_REFUSAL_path_length:
    case SP_REFUSAL_not_a_ca:
    case SP_REFUSAL_name_constraint:
    case SP_REFUSAL_validity_too_long:
    case SP_REFUSAL_key_not_allowed:
    case SP_REFUSAL_signature_not_allowed:
    case SP_REFUSAL_eku_missing:
    case SP_REFUSAL_client_eku_missing:
    case SP_REFUSAL_policy_missing:
    case SP_REFUSAL_name_convention:
    case SP_REFUSAL_weak_key:
    case SP_REFUSAL_revoked:
    case SP_REFUSAL_crl_missing:
    case SP_REFUSAL_crl_stale:
    case SP_REFUSAL_crl_invalid:
    case SP_REFUSAL_hostile_name:
    case SP_REFUSAL_certificate_invalid:
    case SP_REFUSAL_key_too_large:
    case SP_REFUSAL_out_of_memory:
    case SP_REFUSAL_no_rule:
    case SP_REFUSAL_denied:
        return true;
    default:
        return sp_refusal_when(r) == 'S';
    }
}
