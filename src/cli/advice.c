/* What can be done about a refusal: a sentence beside the meaning that refusal.h has. A reason without one has no answer
 * that would be true of every case. Also the way from a word back to its reason. */
#include "log_line.h"

static const char *const ADVICE[SP_REFUSAL_COUNT] = {
    [SP_REFUSAL_no_certificate] =
        "the client must be given a certificate and its key, or the listener client_auth.mode: optional",
    [SP_REFUSAL_untrusted_issuer] =
        "either the client's CA is missing from client_auth.ca, or the client did not send its intermediates: see sallyport verify",
    [SP_REFUSAL_expired] = "renew the certificate, or the CA's above it; the detail says which one",
    [SP_REFUSAL_not_yet_valid] = "compare the clocks of the CA, of the client and of this host",
    [SP_REFUSAL_wrong_purpose] = "the certificate must be issued with the extended key usage clientAuth",
    [SP_REFUSAL_chain_too_long] = "raise client_auth.depth if so many intermediates are meant to be",
    [SP_REFUSAL_validity_too_long] = "issue shorter certificates, or raise require.max_validity",
    [SP_REFUSAL_key_not_allowed] =
        "the client needs a new key of a kind that require takes, and a certificate for it",
    [SP_REFUSAL_signature_not_allowed] =
        "the CA must sign by an algorithm that require.signature_algorithms names",
    [SP_REFUSAL_eku_missing] = "the CA must issue the certificate with what require.eku asks for",
    [SP_REFUSAL_client_eku_missing] =
        "the CA must issue the certificate with clientAuth; until then require.client_eku: if_present lets it in",
    [SP_REFUSAL_policy_missing] =
        "the CA must issue the certificate under a policy that require.policies asks for",
    [SP_REFUSAL_name_convention] = "the CA must issue the certificate with names as require.names has them",
    [SP_REFUSAL_weak_key] = "the certificate must be issued anew, with a stronger key or signature",
    [SP_REFUSAL_revoked] =
        "if the revocation is right, issue a new certificate; it cannot be taken back but by another CRL",
    [SP_REFUSAL_crl_missing] = "give a CRL of that CA in client_auth.crl, or say crl_missing: accept",
    [SP_REFUSAL_crl_stale] =
        "have the CA publish a new CRL, or see why it does not arrive; crl_stale: {grace: ...} bridges the time",
    [SP_REFUSAL_crl_invalid] = "see what sallyport check says of the CRLs",
    [SP_REFUSAL_hostile_name] =
        "the certificate must be issued anew, without the bytes that the detail names",
    [SP_REFUSAL_ocsp_revoked] = "if the revocation is right, issue a new certificate",
    [SP_REFUSAL_ocsp_unknown] = "ask the CA why its responder does not know a certificate of its own",
    [SP_REFUSAL_ocsp_unreachable] =
        "see that the responder can be reached from this host, or say ocsp_unreachable: accept",
    [SP_REFUSAL_unknown_sni] = "add the name to tls.hosts or to a certificate, or correct it at the client",
    [SP_REFUSAL_no_alpn] = "the client must offer http/1.1, or no ALPN at all",
    [SP_REFUSAL_protocol_version] = "the client must speak a newer TLS, or tls.min_version must be lower",
    [SP_REFUSAL_bad_certificate_verify] = "see that the client's key belongs to its certificate",
    [SP_REFUSAL_client_alert] =
        "the client does not trust the server's certificate, as a rule: see its own log, and the name it asked for",
    [SP_REFUSAL_plain_http] = "the client must use https://",
    [SP_REFUSAL_too_many_connections] =
        "raise limits.connections, and the process' limit of descriptors with it",
    [SP_REFUSAL_too_many_handshakes] = "raise limits.handshakes, or see who connects so much",
    [SP_REFUSAL_too_many_from_address] =
        "raise limits.handshakes_per_address if many clients share the address",
    [SP_REFUSAL_too_many_failures] =
        "mend what the address fails for (its earlier refusals say what), or raise limits.handshake_failures",
    [SP_REFUSAL_caller_connections] =
        "raise limits.connections of the caller, or have the client keep fewer open",
    [SP_REFUSAL_limit_table_full] = "raise limits.tracked_callers",
    [SP_REFUSAL_session_too_old] =
        "the client connects anew and is served; client_auth.max_session_age says how often",
    [SP_REFUSAL_bad_header_name] = "the client must spell its fields with '-'",
    [SP_REFUSAL_ambiguous_path] =
        "the client must send the path in its plain form: no dot segments, '//' or needless percent-encoding",
    [SP_REFUSAL_request_loop] = "see where the endpoints of its upstream send it: back here, as it seems",
    [SP_REFUSAL_misdirected] =
        "the client must open a connection of its own for this host, asking for it by SNI",
    [SP_REFUSAL_upgrade_not_allowed] = "list the protocol in the rule's upgrade, if it is meant to be",
    [SP_REFUSAL_header_too_large] = "raise limits.header_bytes or limits.headers",
    [SP_REFUSAL_target_too_long] = "raise limits.target_bytes",
    [SP_REFUSAL_body_too_large] = "raise limits.body_bytes",
    [SP_REFUSAL_no_rule] =
        "if it should be allowed, mend the condition that failed in the nearest rule below, or the certificate",
    [SP_REFUSAL_denied] = "the rule says so on purpose; a rule before it would decide first",
    [SP_REFUSAL_ambiguous_header] = "the client must send the field once",
    [SP_REFUSAL_caller_rate] =
        "the client must wait as Retry-After says, or the caller's limits.rate must be higher",
    [SP_REFUSAL_caller_requests] =
        "the client must wait for its answers, or the caller's limits.concurrent_requests must be higher",
    [SP_REFUSAL_identity_not_expressible] =
        "use another family of identity_headers for this upstream, or a certificate without that name",
    [SP_REFUSAL_identity_too_large] = "choose fewer identity_headers or xfcc_details for this upstream",
    [SP_REFUSAL_no_endpoint] = "see that the backend runs and listens where upstreams says",
    [SP_REFUSAL_connect_timeout] = "see why the backend does not take connections, or raise timeouts.connect",
    [SP_REFUSAL_response_timeout] = "see what the backend is busy with, or raise timeouts.response",
    [SP_REFUSAL_backend_closed] = "see the backend's own log for that moment",
    [SP_REFUSAL_bad_status_line] =
        "see what speaks at the backend's port: HTTP/1.1 without TLS is expected, unless the upstream has tls",
    [SP_REFUSAL_bad_response_header] =
        "mend the header that the backend sends; the detail says what is wrong with it",
    [SP_REFUSAL_bad_response_framing] = "the backend must send either one Content-Length or chunks",
    [SP_REFUSAL_bad_response_chunk] = "see how the backend, or what is between, writes chunks",
    [SP_REFUSAL_bad_upgrade] =
        "the backend must answer 101 only to a request that asks for it, with the protocol asked for",
    [SP_REFUSAL_too_many_interim] = "the backend must send a final answer; 16 interim ones are taken",
    [SP_REFUSAL_unasked_response] = "the backend must not speak first, nor twice to one request",
    [SP_REFUSAL_response_too_large] =
        "raise limits.header_bytes or limits.headers, or let the backend send less",
};

enum sp_refusal sp_reason_of(const char *word)
{
    for (int r = SP_REFUSAL_none + 1; word != NULL && r < SP_REFUSAL_COUNT; r++) {
        if (strcmp(sp_refusal_name((enum sp_refusal)r), word) == 0)
            return (enum sp_refusal)r;
    }
    return SP_REFUSAL_none;
}

const char *sp_advice_of(enum sp_refusal reason)
{
    return (unsigned)reason < SP_REFUSAL_COUNT ? ADVICE[reason] : NULL;
}
