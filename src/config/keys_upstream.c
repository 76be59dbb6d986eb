/* The keys of `upstreams`: where requests go, and what the backend is told. As in keys.c, one row a key. */
#include "config/keys.h"

/* clang-format off */

static const struct sp_word balancers[]   = {{"round_robin", 0}, {NULL, 0}};
static const struct sp_word xfcc_details[] = {{"cert", SP_XFCC_CERT}, {"chain", SP_XFCC_CHAIN}, {NULL, 0}};
const struct sp_word sp_words_family[] = {
    {"plain", SP_IDENTITY_PLAIN}, {"rfc9440", SP_IDENTITY_RFC9440}, {"xfcc", SP_IDENTITY_XFCC}, {"nginx", SP_IDENTITY_NGINX},
    {"traefik", SP_IDENTITY_TRAEFIK}, {"alb", SP_IDENTITY_ALB}, {NULL, 0}};
/* X-Forwarded-Client-Cert has a key of its own there. */
const struct sp_word sp_words_proxy_family[] = {
    {"plain", SP_IDENTITY_PLAIN}, {"rfc9440", SP_IDENTITY_RFC9440}, {"nginx", SP_IDENTITY_NGINX},
    {"traefik", SP_IDENTITY_TRAEFIK}, {"alb", SP_IDENTITY_ALB}, {NULL, 0}};

static const struct sp_key upstream_timeouts_keys[] = {
/*  name         type               field                                 min   max   default */
    {"connect",  &sp_type_duration, AT(sp_config_upstream, connect_ms),   1*MS, 1*D,  "2s",
     .doc = "Until a connection to the endpoint stands."},
    {"response", &sp_type_duration, AT(sp_config_upstream, response_ms),  1*MS, 1*D,  "30s",
     .doc = "From a request's last byte to the head of its response, and between two reads of the response's body."},
    {"idle",     &sp_type_duration, AT(sp_config_upstream, idle_ms),      1*MS, 1*D,  "60s",
     .doc = "How long an unused connection is kept."},
};
const struct sp_section sp_section_upstream_timeouts = {
    "upstreams.<name>.timeouts", "How long a backend may take.",
    KEYS(upstream_timeouts_keys), sizeof(struct sp_config_upstream), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key upstream_keys[] = {
/*  name                type                field                                     min  max    default */
    {"endpoints",        &sp_type_endpoints, AT(sp_config_upstream, endpoints),        1,   1024,  SP_REQUIRED,
     .doc = "Where the backend listens, in plain HTTP/1.1: `10.0.0.5:8080`, `[2001:db8::5]:8080`, `unix:/run/app.sock`, or `name:port`. A name is looked up when the file is read, and each of its addresses becomes an endpoint.",
     .extra = AT(sp_config_upstream, endpoint_count)},
    {"balance",          &sp_type_choice,    SP_NOWHERE,                               0,   0,     "round_robin",
     .doc = "How an endpoint is chosen.", .words = balancers},
    {"identity_headers", &sp_type_flags,     AT(sp_config_upstream, identity_headers), 0,   0,     "plain",
     .doc = "How the backend is told who the caller is: `plain` (`X-Client-Subject` and others), `rfc9440` (`Client-Cert`, `Client-Cert-Chain`), `xfcc` (Envoy's `X-Forwarded-Client-Cert`), or as `nginx`, `traefik` or AWS (`alb`) say it. `[]` tells nothing. What a client itself sends in such headers never passes, whatever stands here.",
     .words = sp_words_family},
    {"xfcc_details",     &sp_type_flags,     AT(sp_config_upstream, xfcc_details),     0,   0,     NULL,
     .doc = "What `xfcc` holds beside hash, subject and names: the certificate, its chain.", .words = xfcc_details},
    {"headers",          &sp_type_headers,   AT(sp_config_upstream, headers),          0,   64,    NULL,
     .doc = "Header fields of your own, each with its text; `{subject}`, `{subject.OU}`, `{issuer}`, `{issuer.O}`, `{serial}`, `{sha256}`, `{sha1}`, `{spki_sha256}`, `{thumbprint}`, `{uri}`, `{dns}`, `{email}`, `{ip}`, `{not_before}`, `{not_after}`, `{policy}`, `{qc_type}`, `{psd2.roles}`, `{psd2.authority}`, `{psd2.authority_id}`, `{listener}`, `{sni}`, `{tls}`, `{rule}` and `{caller}` stand for what the client has proven and how it was let in.",
     .extra = AT(sp_config_upstream, header_count)},
    {"max_idle",         &sp_type_count,     AT(sp_config_upstream, max_idle),         0,   65536, "64",
     .doc = "Unused connections kept for the next request, for each endpoint and worker."},
    {"timeouts",         &sp_type_section,   0,                                        0,   0,     "{}",
     .doc = "How long a backend may take.", .section = &sp_section_upstream_timeouts},
};
const struct sp_section sp_section_upstream = {
    "upstreams.<name>", "A backend: one or more endpoints that serve the same.",
    KEYS(upstream_keys), sizeof(struct sp_config_upstream), AT(sp_config_upstream, at), AT(sp_config_upstream, name), sp_check_upstream};
