/* The closed list of reasons for which anybody or anything is turned away. One word per reason, the same in the
 * log, in the metric sallyport_refusals_total{reason=}, in `check` and in docs/refusals.md (generated from this
 * table). */
#ifndef SP_OBS_REFUSAL_H
#define SP_OBS_REFUSAL_H

#include "sallyport/base/base.h"

/* X(identifier = the word itself, when, meaning).
 * when: H in the handshake, before anybody is known; S on an open session, which is closed (those of H are used there
 * too: a CRL may come later); R on a request; U on what a backend did */
#define SP_REFUSALS(X)                                                                                       \
    X(none, H, "not refused")                                                                                \
    X(no_certificate, H, "the client sent no certificate and the listener requires one")                     \
    X(untrusted_issuer, H, "no chain from the certificate to a CA of the listener's bundle")                 \
    X(bad_signature, H, "a signature in the chain does not verify")                                          \
    X(expired, H, "a certificate of the chain is past its notAfter")                                         \
    X(not_yet_valid, H, "a certificate of the chain is before its notBefore")                                \
    X(wrong_purpose, H, "the certificate, or a CA above it, may not be used for client authentication")      \
    X(chain_too_long, H, "more intermediates than client_auth.depth allows")                                 \
    X(path_length, H, "a CA of the chain issued below its pathLenConstraint")                                \
    X(not_a_ca, H, "a certificate in the place of a CA is not one")                                          \
    X(name_constraint, H, "a name in the certificate is outside what its CA may certify")                    \
    X(validity_too_long, H, "the certificate is valid for longer than require.max_validity allows")          \
    X(key_not_allowed, H, "the certificate's key is of a type or size that require does not take")           \
    X(signature_not_allowed, H,                                                                              \
        "the certificate is signed by an algorithm that require.signature_algorithms does not name")         \
    X(eku_missing, H, "the certificate lacks an extended key usage that require.eku asks for")               \
    X(client_eku_missing, H,                                                                                 \
        "the certificate does not say that it is for clients, and require.client_eku says required")         \
    X(policy_missing, H, "the certificate lacks a policy that require.policies asks for")                    \
    X(name_convention, H, "the certificate's names are not as require.names wants them")                     \
    X(weak_key, H, "a key or a signature algorithm in the chain is too weak")                                \
    X(revoked, H, "a CRL lists a certificate of the chain")                                                  \
    X(crl_missing, H, "a CA of the chain has no CRL, and crl_missing says reject")                           \
    X(crl_stale, H, "a CRL is past its nextUpdate, and crl_stale says reject or its grace is over")          \
    X(crl_invalid, H, "a CRL of a CA of the chain cannot be used: wrong signature, or not yet in force")     \
    X(hostile_name, H, "a name in the certificate holds NUL, control or non-ASCII bytes where none belong")  \
    X(certificate_invalid, H, "the certificate cannot be parsed or breaks X.509 in another way")             \
    X(hello_too_large, H, "the ClientHello is larger than any client's")                                     \
    X(too_large, H, "the certificate list is larger than the listener takes")                                \
    X(key_too_large, H, "a key in the chain is so large that verifying it would cost too much")              \
    X(ocsp_revoked, H, "the OCSP responder says that the certificate is revoked")                            \
    X(ocsp_unknown, H, "the OCSP responder does not know the certificate")                                   \
    X(ocsp_unreachable, H, "the OCSP responder gave no usable answer, and ocsp_unreachable says reject")     \
    X(unknown_sni, H, "the client asked for a name that is not served here, and unknown_sni says reject")    \
    X(no_alpn, H, "the client and the listener share no application protocol")                               \
    X(protocol_version, H, "the client offers no TLS version that the listener takes")                       \
    X(no_shared_cipher, H, "the client and the listener share no cipher, group or signature algorithm")      \
    X(bad_certificate_verify, H, "the client could not prove that it holds the certificate's key")           \
    X(client_alert, H, "the client broke off with an alert: it refused us")                                  \
    X(tls_error, H, "the TLS handshake failed in another way; the detail says how")                          \
    X(plain_http, H, "a plain HTTP request on the TLS port; it was answered 400")                            \
    X(not_tls, H, "the first bytes are not a TLS ClientHello")                                               \
    X(bad_proxy_header, H, "a load balancer sent a malformed PROXY protocol header")                         \
    X(no_proxy_header, H, "an address of proxy_protocol.from sent no PROXY protocol header")                 \
    X(no_data, H, "connected and closed without a byte: a probe")                                            \
    X(handshake_timeout, H, "the handshake was not done within timeouts.handshake")                          \
    X(client_closed, H, "the client went away in the middle of the handshake")                               \
    X(too_many_connections, H, "limits.connections was reached, or there are no descriptors left")           \
    X(too_many_handshakes, H, "limits.handshakes was reached")                                               \
    X(too_many_from_address, H, "limits.handshakes_per_address was reached")                                 \
    X(too_many_failures, H, "limits.handshake_failures was reached by its address")                          \
    X(caller_connections, S, "the caller has as many connections as its limits allow")                       \
    X(limit_table_full, S, "limits.tracked_callers was reached: its limits could not be counted")            \
    X(too_many_key_updates, S, "the client sent handshake messages without end on an open connection")       \
    X(session_too_old, S, "the client proved itself longer than client_auth.max_session_age ago")            \
    X(listener_removed, H, "the listener is gone from the configuration")                                    \
    X(out_of_memory, H, "no memory for this connection")                                                     \
    X(shutting_down, H, "the process is draining")                                                           \
    X(bad_request_line, R, "the request line is malformed")                                                  \
    X(bad_header, R, "a header line is malformed")                                                           \
    X(bad_header_name, R, "a header name holds '_' or '.', which backends read as '-'")                      \
    X(bad_host, R, "Host is missing, doubled or malformed")                                                  \
    X(bad_target, R, "the request target is malformed")                                                      \
    X(ambiguous_path, R,                                                                                     \
        "the path could be read in two ways (dot segment, '//', ';', %2f, %5c, %00, '\\\\')")                \
    X(bad_framing, R, "Content-Length and Transfer-Encoding leave the end of the body in doubt")             \
    X(bad_chunk, R, "the chunked body is malformed")                                                         \
    X(bad_expectation, R, "Expect asks for something other than 100-continue")                               \
    X(protected_header, R, "Connection names a header that must not be removed")                             \
    X(request_loop, R, "the request has come by this gate, or gates like it, so often that it goes round")   \
    X(unsupported_coding, R, "Transfer-Encoding names a coding other than chunked")                          \
    X(unsupported_method, R, "CONNECT and TRACE are not relayed")                                            \
    X(upgrade_not_allowed, R,                                                                                \
        "the request asks for a change of protocol that its rule does not list, or for h2c")                 \
    X(http_version, R, "an HTTP version other than 1.0 and 1.1")                                             \
    X(misdirected, R,                                                                                        \
        "the request is for another scheme, or for a host of another client policy than the connection's")   \
    X(header_too_large, R, "the head is larger than limits.header_bytes or has too many fields")             \
    X(target_too_long, R, "the request target is longer than limits.target_bytes")                           \
    X(body_too_large, R, "the body is larger than limits.body_bytes")                                        \
    X(request_timeout, R, "the head or the body of the request did not come in time")                        \
    X(client_gone, R, "the client went away before the answer was complete")                                 \
    X(no_rule, R, "no rule allows this caller this request")                                                 \
    X(denied, R, "a rule denies this caller this request")                                                   \
    X(ambiguous_header, R, "a header that a rule looks at is there more than once")                          \
    X(caller_rate, R, "the caller's requests come faster than its limits.rate allows")                       \
    X(caller_requests, R, "the caller has as many requests in flight as its limits allow")                   \
    X(identity_not_expressible, R,                                                                           \
        "a name in the certificate has no spelling in the headers that are asked for")                       \
    X(identity_too_large, R, "the identity headers do not fit what the backend may be sent")                 \
    X(tunnel_idle, R, "nothing came from either side of a tunnel for timeouts.tunnel")                       \
    X(too_many_requests, R, "limits.requests was reached")                                                   \
    X(out_of_buffers, R, "limits.memory was reached")                                                        \
    X(no_endpoint, U, "no endpoint of the upstream could be reached")                                        \
    X(connect_timeout, U, "the backend did not take the connection within timeouts.connect")                 \
    X(response_timeout, U, "the backend did not answer within timeouts.response")                            \
    X(backend_closed, U, "the backend closed before its answer was complete")                                \
    X(queue_full, U, "every endpoint is at max_connections, and as many requests wait as queue.max allows")  \
    X(queue_timeout, U, "no endpoint came below max_connections within queue.timeout")                       \
    X(backend_tls, U, "TLS with the backend failed, or it is not who it should be")                          \
    X(exchange_timeout, U, "the exchange was not complete within timeouts.exchange")                         \
    X(bad_status_line, U, "the backend's answer does not begin as HTTP/1.x does")                            \
    X(bad_response_header, U, "a header line of the backend's answer is malformed")                          \
    X(bad_response_framing, U, "the backend's answer leaves the end of its body in doubt")                   \
    X(bad_response_chunk, U, "the chunked body of the backend's answer is malformed")                        \
    X(bad_upgrade, U, "the backend changed to a protocol that was not asked for")                            \
    X(too_many_interim, U, "the backend sent interim answers (1xx) without end")                             \
    X(unasked_response, U, "the backend spoke before it was asked")                                          \
    X(response_too_large, U, "the head of the backend's answer is too large")                                \
    X(overloaded, U, "out of buffers, memory or descriptors for this exchange")

enum sp_refusal {
#define X(name, when, meaning) SP_REFUSAL_##name,
    SP_REFUSALS(X)
#undef X
        SP_REFUSAL_COUNT
};

/* The word; never NULL. */
const char *sp_refusal_name(enum sp_refusal r);
/* A sentence without a full stop. */
const char *sp_refusal_meaning(enum sp_refusal r);
/* 'H', 'S', 'R' or 'U' as above. */
char sp_refusal_when(enum sp_refusal r);
/* Can it be why a session that was let in is ended? */
bool sp_refusal_ends_sessions(enum sp_refusal r);

#endif
