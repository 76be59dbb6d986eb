/* The sections inside `upstreams`: endpoints and their queue, how they are watched, what is tried again, TLS towards them.
 * As in keys.c, one row a key. */
#include "config/keys.h"

/* clang-format off */

static const struct sp_word tls_versions[] = {{"1.2", SP_TLS_1_2}, {"1.3", SP_TLS_1_3}, {NULL, 0}};
static const struct sp_word crl_missing[]  = {{"reject", SP_CRL_MISSING_REJECT}, {"accept", SP_CRL_MISSING_ACCEPT}, {NULL, 0}};
static const struct sp_word methods[]      = {{"idempotent", 0}, {"any", 1}, {NULL, 0}};
static const struct sp_word yes_no[]       = {{"false", 0}, {"true", 1}, {NULL, 0}};

static const struct sp_key endpoint_keys[] = {
/*  name               type                        field                                    min  max      default */
    {"address",        &sp_type_endpoint_address,  0,                                       0,   0,       SP_REQUIRED,
     .doc = "Where it listens, as in short."},
    {"weight",         &sp_type_count,             AT(sp_config_endpoint, weight),          0,   100,     "1",
     .doc = "Its share, measured by the others'. 0: it gets nothing new (drained). Of a service (`srv:`) each record's own weight is multiplied by it."},
    {"backup",         &sp_type_flag,              AT(sp_config_endpoint, is_backup),       0,   0,       "false",
     .doc = "Used only while no other endpoint can be.", .words = yes_no},
    {"max_connections", &sp_type_count_or_unlimited, AT(sp_config_endpoint, max_connections), 1, 1000000, NULL,
     .doc = "Connections open to it at a time, of all workers. Not given: what the upstream says."},
};
const struct sp_section sp_section_endpoint = {
    "upstreams.<name>.endpoints[]", "One that serves. Written in short as its address alone.",
    KEYS(endpoint_keys), sizeof(struct sp_config_endpoint), AT(sp_config_endpoint, at), SP_NOWHERE, sp_check_endpoint};

static const struct sp_key queue_keys[] = {
/*  name        type               field                                min   max       default */
    {"max",     &sp_type_count,    AT(sp_config_upstream, queue_max),   0,    1000000,  "100",
     .doc = "Requests that may wait; beyond it the newest is answered 503. 0: none waits."},
    {"timeout", &sp_type_duration, AT(sp_config_upstream, queue_ms),    1*MS, 1*H,      "1s",
     .doc = "How long one waits before it is answered 503."},
};
const struct sp_section sp_section_queue = {
    "upstreams.<name>.queue", "Requests that wait while every endpoint that can be used has `max_connections` open, first come, first served.",
    KEYS(queue_keys), sizeof(struct sp_config_upstream), SP_NOWHERE, SP_NOWHERE, NULL};

/* ---- how they are ---- */
static const struct sp_key health_check_keys[] = {
/*  name               type               field                                              min    max    default */
    {"path",           &sp_type_target,   AT(sp_config_health_check, path),                  0,     0,     NULL,
     .doc = "What is asked for, by GET. Not given: it is enough that the connection stands, with TLS if the upstream has it."},
    {"host",           &sp_type_host_port, AT(sp_config_health_check, host),                 0,     0,     NULL,
     .doc = "`Host` of the question. Not given: `host` of the upstream, else the endpoint as it is written."},
    {"status",         &sp_type_status,   0,                                                 0,     0,     "200",
     .doc = "The answer of a healthy one: `200`, or `200-299`."},
    {"interval",       &sp_type_duration, AT(sp_config_health_check, interval_ms),           10*MS, 1*H,   "2s",
     .doc = "From the end of one question to the next, spread by a tenth at random."},
    {"timeout",        &sp_type_duration, AT(sp_config_health_check, timeout_ms),            1*MS,  10*M,  "1s",
     .doc = "For the whole of one."},
    {"healthy_after",  &sp_type_count,    AT(sp_config_health_check, healthy_after),         1,     100,   "2",
     .doc = "Good answers in a row until one that was down is used again."},
    {"unhealthy_after", &sp_type_count,   AT(sp_config_health_check, unhealthy_after),       1,     100,   "3",
     .doc = "Bad ones in a row until it is used no more."},
    {"port",           &sp_type_count,    AT(sp_config_health_check, port),                  1,     65535, NULL,
     .doc = "Where to ask. Not given, and for unix sockets: where requests go."},
};
const struct sp_section sp_section_health_check = {
    "upstreams.<name>.health_check", "An endpoint is taken for healthy until it has failed.",
    KEYS(health_check_keys), sizeof(struct sp_config_health_check), AT(sp_config_health_check, at), SP_NOWHERE, sp_check_health};

static const struct sp_key ejection_keys[] = {
/*  name        type               field                                  min   max    default */
    {"failures", &sp_type_count,   AT(sp_config_ejection, failures),      1,    1000,  "5",
     .doc = "Requests in a row that fail by the endpoint's fault: connecting, TLS, a broken connection, a response that is none, a timeout."},
    {"base",    &sp_type_duration, AT(sp_config_ejection, base_ms),       1*MS, 1*D,   "10s",
     .doc = "How long it is left out the first time; twice as long each time it fails again."},
    {"max",     &sp_type_duration, AT(sp_config_ejection, max_ms),        1*MS, 1*D,   "5m",
     .doc = "And how long at most."},
};
const struct sp_section sp_section_ejection = {
    "upstreams.<name>.ejection", "An endpoint on which requests fail is left out for a while. `off`: never.",
    KEYS(ejection_keys), sizeof(struct sp_config_ejection), SP_NOWHERE, SP_NOWHERE, sp_check_ejection};

/* ---- what is tried again ---- */
static const struct sp_key retries_keys[] = {
/*  name        type               field                                  min   max      default */
    {"attempts", &sp_type_count,   AT(sp_config_retries, attempts),       1,    16,      "3",
     .doc = "Endpoints tried in all, the first one included. 1: nothing is tried again."},
    {"on",      &sp_type_retry_on, AT(sp_config_retries, on_reset),       1,    2,       "connect, reset",
     .doc = "`connect`: no connection came to stand; always safe. `reset`: the connection broke before a byte of the response."},
    {"methods", &sp_type_flag,     AT(sp_config_retries, any_method),     0,    0,       "idempotent",
     .doc = "Which requests are tried again after a `reset`. `any`: also those that may then be done twice.", .words = methods},
    {"budget",  &sp_type_count,    AT(sp_config_retries, budget),         0,    100,     "20",
     .doc = "In percent of the requests: so many may be tried again after a `reset`, and a few a second in any case, so that an outage is not multiplied."},
    {"body",    &sp_type_bytes,    AT(sp_config_retries, body_bytes),     0,    32*KIB,  "16KiB",
     .doc = "How much of a body that is on its way already is kept for it. A request with more is not tried again."},
};
const struct sp_section sp_section_retries = {
    "upstreams.<name>.retries", "A kept connection that turns out to be closed is replaced once besides, and counts for nothing.",
    KEYS(retries_keys), sizeof(struct sp_config_retries), SP_NOWHERE, SP_NOWHERE, NULL};

/* ---- TLS ---- */
static const struct sp_key own_certificate_keys[] = {
/*  name       type            field                                 min  max  default */
    {"chain",  &sp_type_path,  AT(sp_config_certificate, chain),     0,   0,   SP_REQUIRED,
     .doc = "PEM file: our certificate first, then its intermediates."},
    {"key",    &sp_type_path,  AT(sp_config_certificate, key),       0,   0,   SP_REQUIRED,
     .doc = "PEM file: the private key of that certificate, not encrypted."},
};
const struct sp_section sp_section_own_certificate = {
    "upstreams.<name>.tls.certificate", "How we prove who we are to a backend that asks.",
    KEYS(own_certificate_keys), sizeof(struct sp_config_certificate), AT(sp_config_certificate, at), SP_NOWHERE, NULL};

#define TRUST(f) AT(sp_config_upstream_tls, trust.f)
static const struct sp_key upstream_tls_keys[] = {
/*  name            type                  field                                      min  max    default */
    {"ca",          &sp_type_paths,       TRUST(ca),                                 1,   1024,  NULL,
     .doc = "PEM files of the authorities that may have signed a backend's certificate. Required unless `verify: false`; the system's own list is never used."},
    {"name",        &sp_type_server,      AT(sp_config_upstream_tls, name),          0,   0,     NULL,
     .doc = "The DNS name or address that its certificate must have. Not given: the endpoint's own (of a service, its target's name), unless `uri` is given."},
    {"uri",         &sp_type_uri_pattern, AT(sp_config_upstream_tls, uri),           0,   0,     NULL,
     .doc = "A pattern of the URI (SPIFFE) that its certificate must have. `*` and `**` as in a caller's `uri`."},
    {"sni",         &sp_type_server_name, AT(sp_config_upstream_tls, sni),           0,   0,     NULL,
     .doc = "The name that it is asked for. Not given: `name`, else the endpoint's; an address is never asked for."},
    {"certificate", &sp_type_optional,    AT(sp_config_upstream_tls, certificate),   0,   0,     NULL,
     .doc = "Our own. Not given: none is shown.", .section = &sp_section_own_certificate},
    {"crl",         &sp_type_crl_files,   TRUST(crl),                                1,   1024,  NULL,
     .doc = "Revocation lists, PEM or DER: files, or folders of files."},
    {"crl_missing", &sp_type_choice,      TRUST(crl_missing),                        0,   0,     NULL,
     .doc = "What to do when an authority of the chain has no revocation list. Not given: `reject` where `crl` is given, else `accept`.", .words = crl_missing},
    {"crl_stale",   &sp_type_crl_stale,   TRUST(crl_stale),                          0,   0,     "reject",
     .doc = "What to do when a revocation list is past its `nextUpdate`.", .section = &sp_section_grace},
    {"depth",       &sp_type_count,       TRUST(depth),                              0,   10,    "5",
     .doc = "Intermediates allowed between the backend's certificate and its trusted authority."},
    {"verify",      &sp_type_flag,        AT(sp_config_upstream_tls, verify),        0,   0,     "true",
     .doc = "`false`: whoever answers is believed, and whoever is in between. For a first try only.", .words = yes_no},
    {"min_version", &sp_type_choice,      AT(sp_config_upstream_tls, min_version),   0,   0,     "1.2",
     .doc = "The lowest TLS version accepted.", .words = tls_versions},
};
const struct sp_section sp_section_upstream_tls = {
    "upstreams.<name>.tls", "TLS towards the endpoints. Who they are is verified before a byte of a request goes out. Files are read again when they change.",
    KEYS(upstream_tls_keys), sizeof(struct sp_config_upstream_tls), AT(sp_config_upstream_tls, at), SP_NOWHERE, sp_check_upstream_tls};
