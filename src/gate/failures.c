/* limits.handshake_failures: an address whose handshakes fail too often is turned away before anything is spent on it,
 * until its bucket has filled again.
 *
 * What counts is what the peer itself did wrong: it spoke no TLS, or no TLS of ours, or did not prove who it is. What does not: our
 * own limits and faults (a CRL or responder that is missing, memory), a client that broke off or was too slow, which it may be because
 * we are, and one that did not like our certificate. Being turned away is no failure either. The numbers are in addresses.c. */
#include "gate_impl.h"
#include "sallyport/base/clock.h"

static const bool COUNTS[SP_REFUSAL_COUNT] = {
    [SP_REFUSAL_no_certificate] = true,
    [SP_REFUSAL_untrusted_issuer] = true,
    [SP_REFUSAL_bad_signature] = true,
    [SP_REFUSAL_expired] = true,
    [SP_REFUSAL_not_yet_valid] = true,
    [SP_REFUSAL_wrong_purpose] = true,
    [SP_REFUSAL_chain_too_long] = true,
    [SP_REFUSAL_path_length] = true,
    [SP_REFUSAL_not_a_ca] = true,
    [SP_REFUSAL_name_constraint] = true,
    [SP_REFUSAL_validity_too_long] = true,
    [SP_REFUSAL_key_not_allowed] = true,
    [SP_REFUSAL_signature_not_allowed] = true,
    [SP_REFUSAL_eku_missing] = true,
    [SP_REFUSAL_client_eku_missing] = true,
    [SP_REFUSAL_policy_missing] = true,
    [SP_REFUSAL_name_convention] = true,
    [SP_REFUSAL_weak_key] = true,
    [SP_REFUSAL_revoked] = true,
    [SP_REFUSAL_hostile_name] = true,
    [SP_REFUSAL_certificate_invalid] = true,
    [SP_REFUSAL_hello_too_large] = true,
    [SP_REFUSAL_too_large] = true,
    [SP_REFUSAL_key_too_large] = true,
    [SP_REFUSAL_ocsp_revoked] = true,
    [SP_REFUSAL_ocsp_unknown] = true,
    [SP_REFUSAL_unknown_sni] = true,
    [SP_REFUSAL_no_alpn] = true,
    [SP_REFUSAL_protocol_version] = true,
    [SP_REFUSAL_no_shared_cipher] = true,
    [SP_REFUSAL_bad_certificate_verify] = true,
    [SP_REFUSAL_tls_error] = true,
    [SP_REFUSAL_plain_http] = true,
    [SP_REFUSAL_not_tls] = true,
};

/* As many may come at once as in the whole time. */
static struct sp_pace pace_of(const struct sp_gate *g)
{
    const struct sp_config_rate *rate = &g->snapshot->config->limits.handshake_failures;

    return sp_pace_of(rate->requests, rate->period_ms, rate->requests);
}

void sp_failures_count(struct sp_gate *g, const struct sp_addr *peer, enum sp_refusal reason)
{
    struct sp_pace pace = pace_of(g);

    if (pace.interval_ns != 0 && COUNTS[reason])
        sp_addresses_fail(g->o.addresses, peer, &pace, sp_mono_us());
}

bool sp_failures_bar(struct sp_gate *g, const struct sp_addr *peer)
{
    struct sp_pace pace = pace_of(g);

    return pace.interval_ns != 0 && sp_addresses_is_barred(g->o.addresses, peer, &pace, sp_mono_us());
}
