/* The keys of `upstreams`: where requests go, and what the backend is told. As in keys.c, one row a key. How endpoints are
 * watched, chosen and spoken to: keys_backend.c. */
#include "config/keys.h"

/* clang-format off */

static const struct sp_word xfcc_details[] = {{"cert", SP_XFCC_CERT}, {"chain", SP_XFCC_CHAIN}, {NULL, 0}};
static const struct sp_word forwarding[]   = {{"x_forwarded", SP_FORWARDING_X}, {"forwarded", SP_FORWARDING_RFC7239}, {"via", SP_FORWARDING_VIA}, {NULL, 0}};
static const struct sp_word trailers[]     = {{"drop", 0}, {"pass", 1}, {NULL, 0}};
static const struct sp_word balancers[]    = {{"round_robin", SP_BALANCE_ROUND_ROBIN}, {"least_requests", SP_BALANCE_LEAST_REQUESTS}, {"hash", SP_BALANCE_HASH}, {NULL, 0}};
static const struct sp_word proxy_versions[] = {{"off", SP_PROXY_OFF}, {"v1", SP_PROXY_V1}, {"v2", SP_PROXY_V2}, {NULL, 0}};
static const struct sp_word yes_no[]       = {{"false", 0}, {"true", 1}, {NULL, 0}};
const struct sp_word sp_words_family[] = {
    {"plain", SP_IDENTITY_PLAIN}, {"rfc9440", SP_IDENTITY_RFC9440}, {"xfcc", SP_IDENTITY_XFCC}, {"nginx", SP_IDENTITY_NGINX},
    {"traefik", SP_IDENTITY_TRAEFIK}, {"alb", SP_IDENTITY_ALB}, {NULL, 0}};
/* X-Forwarded-Client-Cert has a key of its own there. */
const struct sp_word sp_words_proxy_family[] = {
    {"plain", SP_IDENTITY_PLAIN}, {"rfc9440", SP_IDENTITY_RFC9440}, {"nginx", SP_IDENTITY_NGINX},
    {"traefik", SP_IDENTITY_TRAEFIK}, {"alb", SP_IDENTITY_ALB}, {NULL, 0}};

static const struct sp_key upstream_timeouts_keys[] = {
/*  name         type                      field                                 min   max   default */
    {"connect",  &sp_type_duration,        AT(sp_config_upstream, connect_ms),   1*MS, 1*D,  "2s",
     .doc = "Until a connection to the endpoint stands, its TLS handshake included."},
    {"response", &sp_type_duration,        AT(sp_config_upstream, response_ms),  1*MS, 1*D,  "30s",
     .doc = "From a request's last byte to the head of its response, and between two reads of the response's body."},
    {"exchange", &sp_type_duration_or_off, AT(sp_config_upstream, exchange_ms),  1*MS, 7*D,  "off",
     .doc = "From a request's first byte to the last of its answer, whatever happens in between. What was upgraded is not bound by it."},
    {"idle",     &sp_type_duration,        AT(sp_config_upstream, idle_ms),      1*MS, 1*D,  "60s",
     .doc = "How long an unused connection is kept."},
};
const struct sp_section sp_section_upstream_timeouts = {
    "upstreams.<name>.timeouts", "How long a backend may take.",
    KEYS(upstream_timeouts_keys), sizeof(struct sp_config_upstream), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key upstream_keys[] = {
/*  name                type                field                                     min  max    default */
    {"endpoints",        &sp_type_endpoints, AT(sp_config_upstream, endpoints),        1,   1024,  SP_REQUIRED,
     .doc = "Where the backend listens: each an address, or a section with one. `10.0.0.5:8080`, `[2001:db8::5]:8080`, `unix:/run/app.sock`, `name:port`, or `srv:_service._proto.name`. A name is looked up again when its time to live has run out; each of its addresses, IPv4 and IPv6, is an endpoint, and the last answer serves while there is none. `localhost` is often both: where the backend listens on one alone, write the address.",
     .extra = AT(sp_config_upstream, endpoint_count), .section = &sp_section_endpoint},
    {"balance",          &sp_type_choice,    AT(sp_config_upstream, balance),          0,   0,     "round_robin",
     .doc = "How an endpoint is chosen: in turn (`round_robin`), the less busy of two taken at random (`least_requests`), or always the same for the same `hash_by` (`hash`). Weights count in all of them.", .words = balancers},
    {"hash_by",          &sp_type_hash_by,   0,                                        0,   0,     "caller",
     .doc = "With `balance: hash`: what stays on one endpoint. A request without the header goes by its caller. With `mode: tcp` there are no headers."},
    {"slow_start",       &sp_type_duration_or_off, AT(sp_config_upstream, slow_start_ms), 1*MS, 1*D, "off",
     .doc = "How long an endpoint that came back, or comes to others, takes to get its whole share."},
    {"max_connections",  &sp_type_count_or_unlimited, AT(sp_config_upstream, max_connections),                      1,   1000000, "unlimited",
     .doc = "`endpoints[].max_connections` where it is not given."},
    {"queue",            &sp_type_section,   0,                                        0,   0,     "{}",
     .doc = "Who waits while every endpoint has all the connections that it may have.", .section = &sp_section_queue},
    {"panic_threshold",  &sp_type_count,     AT(sp_config_upstream, panic_percent),    0,   100,   "10",
     .doc = "In percent: when fewer of the endpoints than that can be used, all are used, for then the check is more likely ill than they are. 0: never."},
    {"health_check",     &sp_type_optional,  AT(sp_config_upstream, health_check),     0,   0,     NULL,
     .doc = "A question asked of each endpoint again and again. Not given: none is asked.", .section = &sp_section_health_check},
    {"ejection",         &sp_type_section_or_off, AT(sp_config_upstream, ejection),    0,   0,     "{}",
     .doc = "How an endpoint on which requests fail is left out for a while.", .section = &sp_section_ejection},
    {"retries",          &sp_type_section,   AT(sp_config_upstream, retries),          0,   0,     "{}",
     .doc = "What is tried again, and how often.", .section = &sp_section_retries},
    {"tls",              &sp_type_optional,  AT(sp_config_upstream, tls),              0,   0,     NULL,
     .doc = "TLS towards the endpoints. Not given: plain.", .section = &sp_section_upstream_tls},
    {"proxy_protocol",   &sp_type_choice,    AT(sp_config_upstream, proxy_protocol),   0,   0,     "off",
     .doc = "The PROXY header said first on each connection, in text (`v1`) or binary (`v2`, with what is known of TLS and the client). A connection then serves one client only.", .words = proxy_versions},
    {"proxy_protocol_client_cert", &sp_type_flag, AT(sp_config_upstream, proxy_client_cert), 0, 0, "false",
     .doc = "With `proxy_protocol: v2`: whether the client's whole certificate goes along.", .words = yes_no},
    {"identity_headers", &sp_type_flags,     AT(sp_config_upstream, identity_headers), 0,   0,     "plain",
     .doc = "How the backend is told who the caller is: `plain` (`X-Client-Subject` and others), `rfc9440` (`Client-Cert`, `Client-Cert-Chain`), `xfcc` (Envoy's `X-Forwarded-Client-Cert`), or as `nginx`, `traefik` or AWS (`alb`) say it. `[]` tells nothing. What a client itself sends in such headers never passes, whatever stands here.",
     .words = sp_words_family},
    {"xfcc_details",     &sp_type_flags,     AT(sp_config_upstream, xfcc_details),     0,   0,     NULL,
     .doc = "What `xfcc` holds beside hash, subject and names: the certificate, its chain.", .words = xfcc_details},
    {"headers",          &sp_type_headers,   AT(sp_config_upstream, headers),          0,   64,    NULL,
     .doc = "Header fields of your own, each with its text; `{subject}`, `{subject.OU}`, `{issuer}`, `{issuer.O}`, `{serial}`, `{sha256}`, `{sha1}`, `{spki_sha256}`, `{thumbprint}`, `{uri}`, `{dns}`, `{email}`, `{ip}`, `{not_before}`, `{not_after}`, `{policy}`, `{qc_type}`, `{psd2.roles}`, `{psd2.authority}`, `{psd2.authority_id}`, `{listener}`, `{sni}`, `{tls}`, `{rule}` and `{caller}` stand for what the client has proven and how it was let in.",
     .extra = AT(sp_config_upstream, header_count)},
    {"forwarding_headers", &sp_type_flags,   AT(sp_config_upstream, forwarding_headers), 0, 0,     "x_forwarded, via",
     .doc = "How the backend is told the way that the request came: `x_forwarded` (`X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, and `-Prefix` when one was taken away), `forwarded` (RFC 7239), `via`. What a client itself sends in them never passes; of a proxy, `trusted_proxies[].forwarded` says.",
     .words = forwarding},
    {"host",             &sp_type_host_port, AT(sp_config_upstream, host),             0,   0,     NULL,
     .doc = "`Host` as the backend is told it. Not given: as the client said it."},
    {"trailers",         &sp_type_flag,      AT(sp_config_upstream, pass_trailers),    0,   0,     "drop",
     .doc = "What becomes of fields behind a body, in both directions.", .words = trailers},
    {"max_idle",         &sp_type_count,     AT(sp_config_upstream, max_idle),         0,   65536, "64",
     .doc = "Unused connections kept for the next request, for each endpoint and worker."},
    {"timeouts",         &sp_type_section,   0,                                        0,   0,     "{}",
     .doc = "How long a backend may take.", .section = &sp_section_upstream_timeouts},
};
const struct sp_section sp_section_upstream = {
    "upstreams.<name>", "A backend: one or more endpoints that serve the same.",
    KEYS(upstream_keys), sizeof(struct sp_config_upstream), AT(sp_config_upstream, at), AT(sp_config_upstream, name), sp_check_upstream};
