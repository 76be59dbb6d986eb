/* The keys of `listeners`: where clients arrive and how they prove who they are. As in keys.c, one row a key. */
#include "config/keys.h"

/* clang-format off */

static const struct sp_word listener_modes[] = {{"http", SP_MODE_HTTP}, {"tcp", SP_MODE_TCP}, {NULL, 0}};
static const struct sp_word tls_versions[] = {{"1.2", SP_TLS_1_2}, {"1.3", SP_TLS_1_3}, {NULL, 0}};
static const struct sp_word auth_modes[]  = {{"required", SP_AUTH_REQUIRED}, {"optional", SP_AUTH_OPTIONAL}, {NULL, 0}};
static const struct sp_word crl_missing[] = {{"reject", SP_CRL_MISSING_REJECT}, {"accept", SP_CRL_MISSING_ACCEPT}, {NULL, 0}};
static const struct sp_word unknown_sni[] = {{"accept", 0}, {"reject", 1}, {NULL, 0}};
static const struct sp_word accept_reject[] = {{"reject", 0}, {"accept", 1}, {NULL, 0}};
static const struct sp_word yes_no[]      = {{"false", 0}, {"true", 1}, {NULL, 0}};
static const struct sp_word auto_word[]   = {{"auto", 0}, {NULL, 0}};

static const struct sp_key certificate_keys[] = {
/*  name       type            field                                 min  max    default */
    {"chain",  &sp_type_path,  AT(sp_config_certificate, chain),     0,   0,     SP_REQUIRED,
     .doc = "PEM file: the server's certificate first, then its intermediates."},
    {"key",    &sp_type_path,  AT(sp_config_certificate, key),       0,   0,     SP_REQUIRED,
     .doc = "PEM file: the private key of that certificate, not encrypted."},
    {"staple_file", &sp_type_path, AT(sp_config_certificate, staple_file), 0, 0, NULL,
     .doc = "DER file with an OCSP response about this certificate, sent to clients that ask for one. Read again when it changes."},
    {"staple_url",  &sp_type_url,  AT(sp_config_certificate, staple_url),  0, 0, NULL,
     .doc = "An OCSP responder to fetch that response from, or `auto`: the one that the certificate names. The last good one is kept in `fetch.folder`.", .words = auto_word},
};
const struct sp_section sp_section_certificate = {
    "listeners[].tls.certificates[]", "One certificate and its key.",
    KEYS(certificate_keys), sizeof(struct sp_config_certificate), AT(sp_config_certificate, at), SP_NOWHERE, NULL};

static const struct sp_key tickets_keys[] = {
/*  name        type               field                                min  max    default */
    {"count",    &sp_type_count,    AT(sp_config_tickets, count),        0,   4,    "1",
     .doc = "Sessions to come back to that a client of TLS 1.3 is given after a handshake; one of TLS 1.2 has one. With 0 no session is resumed."},
    {"lifetime", &sp_type_duration, AT(sp_config_tickets, lifetime_ms),  1*S, 7*D,  "1h",
     .doc = "How long after the handshake in which the client proved itself it can come back to its session. A resumption does not prolong it."},
    {"keys",     &sp_type_path,     AT(sp_config_tickets, keys),         0,   0,    NULL,
     .doc = "File with ticket keys that several hosts share: a line each, 80 bytes in base64 (`openssl rand 80 | base64 -w0`). The first encrypts, all decrypt. Only its owner may read it; it is read again when it changes. Not given: clients keep no tickets, the daemon keeps their sessions (`limits.sessions`)."},
};
const struct sp_section sp_section_tickets = {
    "listeners[].tls.tickets", "Resumption: a client that comes back spares both sides a part of the handshake. Each one is judged anew, as a full handshake is.",
    KEYS(tickets_keys), sizeof(struct sp_config_tickets), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key grace_keys[] = {
/*  name      type               field                                     min  max    default */
    {"grace", &sp_type_duration, AT(sp_config_client_auth, crl_grace_ms),  1*S, 30*D,  SP_REQUIRED,
     .doc = "How long past its `nextUpdate` a CRL still counts."},
};
const struct sp_section sp_section_grace = {
    "listeners[].client_auth.crl_stale", "When `crl_stale` is written as a mapping.",
    KEYS(grace_keys), sizeof(struct sp_config_client_auth), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key client_auth_keys[] = {
/*  name            type                field                                     min  max    default */
    {"mode",        &sp_type_choice,    AT(sp_config_client_auth, mode),          0,   0,     "required",
     .doc = "`required`: a handshake without a client certificate fails. `optional`: it succeeds, and the caller is anonymous, which only rules that say so accept; a certificate that is shown must still be good.",
     .words = auth_modes},
    {"ca",          &sp_type_paths,     AT(sp_config_client_auth, ca),            1,   1024,  SP_REQUIRED,
     .doc = "PEM files of the authorities that may have signed a client's certificate. The system's own list is never used."},
    {"crl",         &sp_type_crls,      AT(sp_config_client_auth, crl),           0,   1024,  NULL,
     .doc = "Revocation lists, PEM or DER: files, folders of files, or `http://` and `https://` URLs to fetch from (with `fetch.folder`). Files are read again when they change.",
     .extra = AT(sp_config_client_auth, crl_urls)},
    {"intermediates", &sp_type_paths,   AT(sp_config_client_auth, intermediates), 0,   1024,  NULL,
     .doc = "PEM files of certificates that help to build a chain, for clients that send only their own. Nothing is trusted because it stands here."},
    {"trust_intermediates", &sp_type_flag, AT(sp_config_client_auth, trust_intermediates), 0, 0, "false",
     .doc = "Whether a chain may end at a certificate of `ca` that is not self-signed and whose issuer is not there.", .words = yes_no},
    {"crl_missing", &sp_type_choice,    AT(sp_config_client_auth, crl_missing),   0,   0,     "reject",
     .doc = "What to do when an authority of the client's chain has no revocation list. With `reject`, `crl` must be given.", .words = crl_missing},
    {"crl_stale",   &sp_type_crl_stale, AT(sp_config_client_auth, crl_stale),     0,   0,     "reject",
     .doc = "What to do when a revocation list is past its `nextUpdate`.", .section = &sp_section_grace},
    {"crl_warn_before", &sp_type_duration, AT(sp_config_client_auth, crl_warn_before_ms), 1*S, 365*D, NULL,
     .doc = "How long before its `nextUpdate` a revocation list is warned of. Not given: a tenth of its lifetime."},
    {"max_session_age", &sp_type_duration, AT(sp_config_client_auth, max_session_age_ms), 1*S, 365*D, NULL,
     .doc = "How long after the handshake in which the client proved itself its connection is closed, resumed or not. Not given: only what the certificates and revocation lists say."},
    {"ocsp_url",    &sp_type_url,       AT(sp_config_client_auth, ocsp_url),      0,   0,     NULL,
     .doc = "An OCSP responder that is asked about every client's certificate before its first request is served. Not given: none is asked."},
    {"ocsp_unreachable", &sp_type_flag, AT(sp_config_client_auth, ocsp_unreachable_accept), 0, 0, "reject",
     .doc = "What to do when the responder gives no usable answer.", .words = accept_reject},
    {"ocsp_timeout", &sp_type_duration, AT(sp_config_client_auth, ocsp_timeout_ms), 1*MS, 60*S, "5s",
     .doc = "How long a client waits for the responder's answer."},
    {"depth",       &sp_type_count,     AT(sp_config_client_auth, depth),         0,   10,    "5",
     .doc = "Intermediates allowed between a client's certificate and its trusted authority."},
    {"require",     &sp_type_optional,  AT(sp_config_client_auth, require),       1,   0,     NULL,
     .doc = "What else is asked of a client's certificate. One that fails is refused in the handshake.", .section = &sp_section_require},
};
const struct sp_section sp_section_client_auth = {
    "listeners[].client_auth", "How a client proves who it is.",
    KEYS(client_auth_keys), sizeof(struct sp_config_client_auth), AT(sp_config_client_auth, at), SP_NOWHERE, sp_check_client_auth};

static const struct sp_key host_keys[] = {
/*  name            type               field                                min  max   default */
    {"names",        &sp_type_names,    AT(sp_config_host, names),           1,   1024, SP_REQUIRED,
     .doc = "The names that clients ask for by SNI and in `Host`; `*.example.com` is every name with exactly one more label."},
    {"certificates", &sp_type_sections, AT(sp_config_host, certificates),    1,   1024, NULL,
     .doc = "What these clients are shown. Not given: one of the listener's own.",
     .extra = AT(sp_config_host, certificate_count), .section = &sp_section_certificate},
    {"client_auth",  &sp_type_section,  AT(sp_config_host, client_auth),     0,   0,    NULL,
     .doc = "How these clients prove who they are. Not given: as the listener says.", .section = &sp_section_client_auth},
};
const struct sp_section sp_section_host = {
    "listeners[].tls.hosts[]", "A virtual host. A request whose `Host` belongs to another client policy than the connection's SNI is answered 421.",
    KEYS(host_keys), sizeof(struct sp_config_host), AT(sp_config_host, at), SP_NOWHERE, NULL};

static const struct sp_key tls_keys[] = {
/*  name             type               field                                  min  max   default */
    {"certificates", &sp_type_sections, AT(sp_config_listener, certificates),  1,   1024, SP_REQUIRED,
     .doc = "What the listener shows to clients, chosen by the name the client asks for (SNI). The first is for a client that asks for none of them.",
     .extra = AT(sp_config_listener, certificate_count), .section = &sp_section_certificate},
    {"min_version",  &sp_type_choice,   AT(sp_config_listener, min_version),   0,   0,    "1.2",
     .doc = "The lowest TLS version accepted.", .words = tls_versions},
    {"unknown_sni",  &sp_type_flag,     AT(sp_config_listener, reject_unknown_sni), 0, 0,  "accept",
     .doc = "What to do with a client that asks for a name which neither a host nor a certificate has. `accept`: it is treated as one that asks for none.", .words = unknown_sni},
    {"alpn",         &sp_type_alpn,     AT(sp_config_listener, alpn),          1,   16,   NULL,
     .doc = "With `mode: tcp`: protocols that a client may choose from (ALPN), ours first. Not given: what it offers is not looked at."},
    {"tickets",      &sp_type_section,  AT(sp_config_listener, tickets),       0,   0,    "{}",
     .doc = "Resumption of sessions.", .section = &sp_section_tickets},
    {"hosts",        &sp_type_sections, AT(sp_config_listener, hosts),         0,   1024, NULL,
     .doc = "Virtual hosts: names with certificates or a client policy of their own. What stands beside and above is for clients that ask for none of their names.",
     .extra = AT(sp_config_listener, host_count), .section = &sp_section_host},
};
const struct sp_section sp_section_tls = {
    "listeners[].tls", "The server's side of the handshake.",
    KEYS(tls_keys), sizeof(struct sp_config_listener), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key listener_timeouts_keys[] = {
/*  name          type               field                                          min   max   default */
    {"handshake", &sp_type_duration, AT(sp_config_listener_timeouts, handshake_ms), 1*MS, 1*D,  "10s",
     .doc = "From accepting a connection to knowing who it is."},
    {"header",    &sp_type_duration, AT(sp_config_listener_timeouts, header_ms),    1*MS, 1*D,  "15s",
     .doc = "From the first byte of a request's head to its last."},
    {"body",      &sp_type_duration, AT(sp_config_listener_timeouts, body_ms),      1*MS, 1*D,  "60s",
     .doc = "Between two reads of a request's body."},
    {"write",     &sp_type_duration, AT(sp_config_listener_timeouts, write_ms),     1*MS, 1*D,  "60s",
     .doc = "While the client takes nothing of an answer."},
    {"idle",      &sp_type_duration, AT(sp_config_listener_timeouts, idle_ms),      1*MS, 1*D,  "75s",
     .doc = "Between two requests on a connection."},
    {"tunnel",    &sp_type_duration, AT(sp_config_listener_timeouts, tunnel_ms),    1*MS, 7*D,  "10m",
     .doc = "With `mode: tcp`, and on upgraded connections: while nothing comes from either side."},
};
const struct sp_section sp_section_listener_timeouts = {
    "listeners[].timeouts", "How long a client may take.",
    KEYS(listener_timeouts_keys), sizeof(struct sp_config_listener_timeouts), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key proxy_in_keys[] = {
/*  name     type             field                            min  max   default */
    {"from", &sp_type_blocks, AT(sp_config_listener, proxies), 1,   1024, SP_REQUIRED,
     .doc = "Addresses of load balancers in front. What they connect must begin with a PROXY header, of version 1 or 2, and the client's address is the one in it; nobody else may send one."},
};
const struct sp_section sp_section_proxy_in = {
    "listeners[].proxy_protocol", "Where the client's address comes from when a load balancer stands in between.",
    KEYS(proxy_in_keys), sizeof(struct sp_config_listener), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key rewrite_keys[] = {
/*  name        type              field                            min  max  default */
    {"host",    &sp_type_pattern, AT(sp_config_rewrite, host),     0,   0,   NULL,
     .doc = "For requests to this host, written as in rules. Not given: any."},
    {"prefix",  &sp_type_prefix,  AT(sp_config_rewrite, prefix),   0,   0,   SP_REQUIRED,
     .doc = "What the path must begin with: whole segments, so that `/api` is in front of `/api/x` and `/api`, not of `/apis`. `/` is in front of every path."},
    {"replace", &sp_type_prefix,  AT(sp_config_rewrite, replace),  0,   0,   "/",
     .doc = "What stands there instead. `/`: the prefix is taken away."},
};
const struct sp_section sp_section_rewrite = {
    "listeners[].rewrite[]", "Paths that are changed before anything is decided: rules judge what the backend gets. The first that fits is the one.",
    KEYS(rewrite_keys), sizeof(struct sp_config_rewrite), AT(sp_config_rewrite, at), SP_NOWHERE, sp_check_rewrite};

static const struct sp_key listener_keys[] = {
/*  name           type              field                                 min  max   default */
    {"name",        &sp_type_name,    AT(sp_config_listener, name),         0,   0,    SP_REQUIRED,
     .doc = "What logs and metrics call it. No two listeners may share one."},
    {"address",     &sp_type_address, AT(sp_config_listener, address),      0,   0,    SP_REQUIRED,
     .doc = "Where to listen.", .extra = AT(sp_config_listener, address_text)},
    {"mode",        &sp_type_choice,  AT(sp_config_listener, mode),         0,   0,    "http",
     .doc = "What is spoken inside TLS. `tcp`: anything; a rule decides once, by who the client is and the name that it asked for (SNI), and bytes are passed on as they come.", .words = listener_modes},
    {"tls",         &sp_type_section, 0,                                    0,   0,    SP_REQUIRED,
     .doc = "The server's side of the handshake.", .section = &sp_section_tls},
    {"client_auth", &sp_type_section, AT(sp_config_listener, client_auth),  0,   0,    SP_REQUIRED,
     .doc = "How a client proves who it is.", .section = &sp_section_client_auth},
    {"proxy_protocol", &sp_type_section, 0,                                 0,   0,    NULL,
     .doc = "Load balancers in front that say whom they speak for.", .section = &sp_section_proxy_in},
    {"rewrite",     &sp_type_sections, AT(sp_config_listener, rewrites),    1,   1024, NULL,
     .doc = "Prefixes of paths that are taken away or replaced. Not with `mode: tcp`.", .extra = AT(sp_config_listener, rewrite_count), .section = &sp_section_rewrite},
    {"timeouts",    &sp_type_section, AT(sp_config_listener, timeouts),     0,   0,    "{}",
     .doc = "How long a client may take.", .section = &sp_section_listener_timeouts},
};
const struct sp_section sp_section_listener = {
    "listeners[]", "An address that accepts connections, all of them mutual TLS.",
    KEYS(listener_keys), sizeof(struct sp_config_listener), AT(sp_config_listener, at), SP_NOWHERE, sp_check_listener};
