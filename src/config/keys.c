/* Every key there is, one row each, to be read like a manual page. What parses, what is the default and what
 * the reference says are these rows and nothing else. A row: name, type, field, bounds (of a list: of its
 * length), default as it would be written, what it means; then, where the type needs it, .extra (a list's
 * count, an address' text, a reference's place), .section, .words. Elsewhere: types (types.c, collections.c),
 * what spans several keys (check.c). */
#include "config/table.h"

#define MS         UINT64_C(1)
#define S          (1000 * MS)
#define M          (60 * S)
#define H          (3600 * S)
#define D          (24 * H)
#define KIB        UINT64_C(1024)
#define MIB        (1024 * KIB)
#define AT(s, f)   offsetof(struct s, f)
#define KEYS(rows) .keys = rows, .key_count = SP_COUNTOF(rows)

/* clang-format off */

/* ---- words ---- */
static const struct sp_word log_levels[]  = {{"debug", 0}, {"info", 1}, {"warn", 2}, {"error", 3}, {NULL, 0}};
static const struct sp_word log_formats[] = {{"json", 0}, {"text", 1}, {NULL, 0}};
static const struct sp_word listener_modes[] = {{"http", 0}, {NULL, 0}};
static const struct sp_word tls_versions[] = {{"1.2", SP_TLS_1_2}, {"1.3", SP_TLS_1_3}, {NULL, 0}};
static const struct sp_word auth_modes[]  = {{"required", SP_AUTH_REQUIRED}, {"optional", SP_AUTH_OPTIONAL}, {NULL, 0}};
static const struct sp_word crl_missing[] = {{"reject", SP_CRL_MISSING_REJECT}, {"accept", SP_CRL_MISSING_ACCEPT}, {NULL, 0}};
static const struct sp_word any_callers[] = {{"authenticated", SP_CALLER_ANY_AUTHENTICATED}, {"anonymous", SP_CALLER_ANY_ANONYMOUS}, {NULL, 0}};
static const struct sp_word balancers[]   = {{"round_robin", 0}, {NULL, 0}};
static const struct sp_word in_flight[]   = {{"end", 0}, {"finish", 1}, {NULL, 0}};
static const struct sp_word unknown_sni[] = {{"accept", 0}, {"reject", 1}, {NULL, 0}};
static const struct sp_word accept_reject[] = {{"reject", 0}, {"accept", 1}, {NULL, 0}};
static const struct sp_word yes_no[]      = {{"false", 0}, {"true", 1}, {NULL, 0}};
static const struct sp_word auto_word[]   = {{"auto", 0}, {NULL, 0}};
static const struct sp_word families[]    = {{"plain", SP_IDENTITY_PLAIN}, {"rfc9440", SP_IDENTITY_RFC9440}, {NULL, 0}};

/* ---- admin, log, limits ---- */
static const struct sp_key admin_keys[] = {
/*  name        type               field                                min  max    default */
    {"address", &sp_type_address,  AT(sp_config, admin_address),        0,   0,     SP_REQUIRED,
     .doc = "Where `/metrics`, `/healthz` and `/readyz` are answered, without TLS: a loopback address or a unix socket, nothing else.",
     .extra = AT(sp_config, admin_address_text)},
};
static const struct sp_section admin = {
    "admin", "The pages for operators. Without this section there are none.",
    KEYS(admin_keys), sizeof(struct sp_config), SP_NOWHERE, SP_NOWHERE, sp_check_admin};

static const struct sp_key log_keys[] = {
/*  name        type               field                                min  max    default */
    {"level",   &sp_type_choice,   AT(sp_config_log, level),            0,   0,     "info",
     .doc = "The least severity that is logged. `debug` also tells of connections that closed without sending a byte.", .words = log_levels},
    {"format",  &sp_type_choice,   AT(sp_config_log, format),           0,   0,     "json",
     .doc = "One object, or one line of `key=value`, for each message and each request.", .words = log_formats},
    {"output",  &sp_type_output,   AT(sp_config_log, output),           0,   0,     "stderr",
     .doc = "Where messages go, refused handshakes among them. A file is opened for appending."},
    {"access",  &sp_type_output,   AT(sp_config_log, access),           0,   0,     "stdout",
     .doc = "Where the access records go, one for each request."},
};
static const struct sp_section log_section = {
    "log", "Two streams: messages, and one access record for each request. A reader that is too slow loses lines, which are counted; it never holds up traffic.",
    KEYS(log_keys), sizeof(struct sp_config_log), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key limits_keys[] = {
/*  name             type                field                               min      max        default */
    {"connections",  &sp_type_count,     AT(sp_config_limits, connections),  1,       1000000,   "16384",
     .doc = "Client connections in all, handshakes included. At the limit the newest is turned away."},
    {"handshakes",   &sp_type_count,     AT(sp_config_limits, handshakes),   1,       1000000,   "1024",
     .doc = "Of those, connections that have not yet proven who they are."},
    {"handshakes_per_address", &sp_type_count, AT(sp_config_limits, handshakes_per_address), 1, 1000000, "256",
     .doc = "Of those, connections from one address; an IPv6 /64 counts as one."},
    {"header_bytes", &sp_type_size,      AT(sp_config_limits, header_bytes), 1*KIB,   24*KIB,    "16KiB",
     .doc = "A request's head with its request line, and a backend's response head."},
    {"headers",      &sp_type_count,     AT(sp_config_limits, headers),      8,       128,       "100",
     .doc = "Header fields in one head."},
    {"target_bytes", &sp_type_size,      AT(sp_config_limits, target_bytes), 128,     16*KIB,    "8KiB",
     .doc = "The request target: path and query."},
    {"body_bytes",   &sp_type_body_size, AT(sp_config_limits, body_bytes),   1,       0,         "unlimited",
     .doc = "A request's body. Bodies are streamed: a large one needs no more memory than a small one."},
};
static const struct sp_section limits = {
    "limits", "Bounds on what clients and backends can make the daemon hold.",
    KEYS(limits_keys), sizeof(struct sp_config_limits), SP_NOWHERE, SP_NOWHERE, NULL};

/* ---- listeners ---- */
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
static const struct sp_section certificate = {
    "listeners[].tls.certificates[]", "One certificate and its key.",
    KEYS(certificate_keys), sizeof(struct sp_config_certificate), AT(sp_config_certificate, at), SP_NOWHERE, NULL};

static const struct sp_key tickets_keys[] = {
/*  name        type               field                                min  max    default */
    {"count",    &sp_type_count,    AT(sp_config_tickets, count),        0,   4,    "1",
     .doc = "Tickets given out after a handshake. With 0 no session is resumed."},
    {"lifetime", &sp_type_duration, AT(sp_config_tickets, lifetime_ms),  1*S, 7*D,  "1h",
     .doc = "How long after the handshake in which the client proved itself its tickets are accepted. A resumption does not prolong it."},
    {"keys",     &sp_type_path,     AT(sp_config_tickets, keys),         0,   0,    NULL,
     .doc = "File with ticket keys that several hosts share: a line each, 80 bytes in base64 (`openssl rand 80 | base64 -w0`). The first encrypts, all decrypt. Only its owner may read it; it is read again when it changes. Not given: random keys that no other process knows."},
};
static const struct sp_section tickets = {
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
};
static const struct sp_section client_auth = {
    "listeners[].client_auth", "How a client proves who it is.",
    KEYS(client_auth_keys), sizeof(struct sp_config_client_auth), AT(sp_config_client_auth, at), SP_NOWHERE, sp_check_client_auth};

static const struct sp_key host_keys[] = {
/*  name            type               field                                min  max   default */
    {"names",        &sp_type_names,    AT(sp_config_host, names),           1,   1024, SP_REQUIRED,
     .doc = "The names that clients ask for by SNI and in `Host`; `*.example.com` is every name with exactly one more label."},
    {"certificates", &sp_type_sections, AT(sp_config_host, certificates),    1,   1024, NULL,
     .doc = "What these clients are shown. Not given: one of the listener's own.",
     .extra = AT(sp_config_host, certificate_count), .section = &certificate},
    {"client_auth",  &sp_type_section,  AT(sp_config_host, client_auth),     0,   0,    NULL,
     .doc = "How these clients prove who they are. Not given: as the listener says.", .section = &client_auth},
};
static const struct sp_section host = {
    "listeners[].tls.hosts[]", "A virtual host. A request whose `Host` belongs to another client policy than the connection's SNI is answered 421.",
    KEYS(host_keys), sizeof(struct sp_config_host), AT(sp_config_host, at), SP_NOWHERE, NULL};

static const struct sp_key tls_keys[] = {
/*  name             type               field                                  min  max   default */
    {"certificates", &sp_type_sections, AT(sp_config_listener, certificates),  1,   1024, SP_REQUIRED,
     .doc = "What the listener shows to clients, chosen by the name the client asks for (SNI). The first is for a client that asks for none of them.",
     .extra = AT(sp_config_listener, certificate_count), .section = &certificate},
    {"min_version",  &sp_type_choice,   AT(sp_config_listener, min_version),   0,   0,    "1.2",
     .doc = "The lowest TLS version accepted.", .words = tls_versions},
    {"unknown_sni",  &sp_type_flag,     AT(sp_config_listener, reject_unknown_sni), 0, 0,  "accept",
     .doc = "What to do with a client that asks for a name which neither a host nor a certificate has. `accept`: it is treated as one that asks for none.", .words = unknown_sni},
    {"tickets",      &sp_type_section,  AT(sp_config_listener, tickets),       0,   0,    "{}",
     .doc = "Resumption of sessions.", .section = &tickets},
    {"hosts",        &sp_type_sections, AT(sp_config_listener, hosts),         0,   1024, NULL,
     .doc = "Virtual hosts: names with certificates or a client policy of their own. What stands beside and above is for clients that ask for none of their names.",
     .extra = AT(sp_config_listener, host_count), .section = &host},
};
static const struct sp_section tls = {
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
};
static const struct sp_section listener_timeouts = {
    "listeners[].timeouts", "How long a client may take.",
    KEYS(listener_timeouts_keys), sizeof(struct sp_config_listener_timeouts), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key listener_keys[] = {
/*  name           type              field                                 min  max   default */
    {"name",        &sp_type_name,    AT(sp_config_listener, name),         0,   0,    SP_REQUIRED,
     .doc = "What logs and metrics call it. No two listeners may share one."},
    {"address",     &sp_type_address, AT(sp_config_listener, address),      0,   0,    SP_REQUIRED,
     .doc = "Where to listen.", .extra = AT(sp_config_listener, address_text)},
    {"mode",        &sp_type_choice,  SP_NOWHERE,                           0,   0,    "http",
     .doc = "What is spoken inside TLS.", .words = listener_modes},
    {"tls",         &sp_type_section, 0,                                    0,   0,    SP_REQUIRED,
     .doc = "The server's side of the handshake.", .section = &tls},
    {"client_auth", &sp_type_section, AT(sp_config_listener, client_auth),  0,   0,    SP_REQUIRED,
     .doc = "How a client proves who it is.", .section = &client_auth},
    {"timeouts",    &sp_type_section, AT(sp_config_listener, timeouts),     0,   0,    "{}",
     .doc = "How long a client may take.", .section = &listener_timeouts},
};
static const struct sp_section listener = {
    "listeners[]", "An address that accepts connections, all of them mutual TLS.",
    KEYS(listener_keys), sizeof(struct sp_config_listener), AT(sp_config_listener, at), SP_NOWHERE, NULL};

/* ---- callers ---- */
static const struct sp_key entry_keys[] = {
/*  name                  type                  field                                           min  max   default
 */
    {"uri",                &sp_type_pattern,     AT(sp_config_caller_entry, uri),                0,   0,    NULL,
     .doc = "A URI name (SAN) of the certificate, such as a SPIFFE id. Scheme and authority are literal; in the path `*` and `**` stand for what they do in `rules[].path`."},
    {"dns",                &sp_type_pattern,     AT(sp_config_caller_entry, dns),                0,   0,    NULL,
     .doc = "A DNS name (SAN) of the certificate; `*.example.com` is every name with exactly one more label."},
    {"email",              &sp_type_pattern,     AT(sp_config_caller_entry, email),              0,   0,    NULL,
     .doc = "An e-mail name (SAN) of the certificate: `name@domain`, or `*@domain` for every name there."},
    {"subject",            &sp_type_subject,     AT(sp_config_caller_entry, subject),            1,   32,   NULL,
     .doc = "Attributes that the certificate's subject must have, each with exactly this value: `{CN: billing-batch, O: Example}`. A type is a short name (`CN`, `O`, `OU`, ...) or a dotted OID.",
     .extra = AT(sp_config_caller_entry, subject_count)},
    {"fingerprint_sha256", &sp_type_fingerprint, AT(sp_config_caller_entry, fingerprint_sha256), 0,   0,    NULL,
     .doc = "SHA-256 of the certificate itself."},
    {"any",                &sp_type_choice,      AT(sp_config_caller_entry, any),                0,   0,    NULL,
     .doc = "`authenticated`: whoever has a certificate that verifies. `anonymous`: whoever has shown none (with `client_auth.mode: optional`). Stands alone in its entry.",
     .words = any_callers},
};
static const struct sp_section entry = {
    "callers.<name>[]", "One way to be this caller. An entry holds when all of its fields hold; a caller is whoever any of the entries describes. At least one field must be given.",
    KEYS(entry_keys), sizeof(struct sp_config_caller_entry), AT(sp_config_caller_entry, at), SP_NOWHERE, sp_check_entry};

static const struct sp_key caller_keys[] = {
    {NULL, &sp_type_sections, AT(sp_config_caller, entries), 1, 0, SP_REQUIRED,
     .extra = AT(sp_config_caller, entry_count), .section = &entry},
};
static const struct sp_section caller = {
    NULL, NULL,
    KEYS(caller_keys), sizeof(struct sp_config_caller), AT(sp_config_caller, at), AT(sp_config_caller, name), NULL};

/* ---- rules ---- */
static const struct sp_key rule_keys[] = {
/*  name        type                 field                           min  max   default */
    {"name",     &sp_type_name,       AT(sp_config_rule, name),       0,   0,    SP_REQUIRED,
     .doc = "What the access records call it. No two rules may share one."},
    {"from",     &sp_type_references, AT(sp_config_rule, from),       1,   0,    SP_REQUIRED,
     .doc = "The callers it is for: names of `callers`."},
    {"host",     &sp_type_pattern,    AT(sp_config_rule, host),       0,   0,    NULL,
     .doc = "The host that is asked for, without a port; `*.example.com` is every host with exactly one more label. Not given: any."},
    {"path",     &sp_type_pattern,    AT(sp_config_rule, path),       0,   0,    NULL,
     .doc = "The path that is asked for. `*` stands for anything inside one segment; `**`, only as the last segment, for any rest: `/v1/x/**` is `/v1/x/` and everything below it, not `/v1/x`. Not given: any."},
    {"methods",  &sp_type_methods,    AT(sp_config_rule, methods),    1,   64,   NULL,
     .doc = "Methods, in upper case. Not given: any."},
    {"upstream", &sp_type_reference,  AT(sp_config_rule, upstream),   0,   0,    SP_REQUIRED,
     .doc = "Where the request goes: a name of `upstreams`.", .extra = AT(sp_config_rule, upstream_at)},
};
static const struct sp_section rule = {
    "rules[]", "Who may do what, and where it goes. The first rule that matches decides; if none does, the request is refused.",
    KEYS(rule_keys), sizeof(struct sp_config_rule), AT(sp_config_rule, at), SP_NOWHERE, NULL};

/* ---- upstreams ---- */
static const struct sp_key upstream_timeouts_keys[] = {
/*  name         type               field                                 min   max   default */
    {"connect",  &sp_type_duration, AT(sp_config_upstream, connect_ms),   1*MS, 1*D,  "2s",
     .doc = "Until a connection to the endpoint stands."},
    {"response", &sp_type_duration, AT(sp_config_upstream, response_ms),  1*MS, 1*D,  "30s",
     .doc = "From a request's last byte to the head of its response, and between two reads of the response's body."},
    {"idle",     &sp_type_duration, AT(sp_config_upstream, idle_ms),      1*MS, 1*D,  "60s",
     .doc = "How long an unused connection is kept."},
};
static const struct sp_section upstream_timeouts = {
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
     .doc = "How the backend is told who the caller is: `plain` (`X-Client-Subject` and others), `rfc9440` (`Client-Cert`, `Client-Cert-Chain`). `[]` tells nothing. What a client itself sends in such headers never passes, whatever stands here.",
     .words = families},
    {"max_idle",         &sp_type_count,     AT(sp_config_upstream, max_idle),         0,   65536, "64",
     .doc = "Unused connections kept for the next request, for each endpoint and worker."},
    {"timeouts",         &sp_type_section,   0,                                        0,   0,     "{}",
     .doc = "How long a backend may take.", .section = &upstream_timeouts},
};
static const struct sp_section upstream = {
    "upstreams.<name>", "A backend: one or more endpoints that serve the same.",
    KEYS(upstream_keys), sizeof(struct sp_config_upstream), AT(sp_config_upstream, at), AT(sp_config_upstream, name), NULL};

/* ---- fetching ---- */
static const struct sp_key fetch_keys[] = {
/*  name        type               field                                min    max      default */
    {"folder",   &sp_type_path,     AT(sp_config_fetch, folder),         0,     0,       NULL,
     .doc = "Where the last good copy of everything fetched is kept. Required where a URL is given; the daemon must be able to write there."},
    {"interval", &sp_type_duration, AT(sp_config_fetch, interval_ms),    1*S,   7*D,     "1h",
     .doc = "How long until a URL is looked at again; earlier when what it gave ends earlier. Spread by a tenth at random."},
    {"timeout",  &sp_type_duration, AT(sp_config_fetch, timeout_ms),     1*MS,  10*M,    "30s",
     .doc = "A whole transfer."},
    {"max_size", &sp_type_body_size, AT(sp_config_fetch, max_bytes),     1*KIB, 512*MIB, "64MiB",
     .doc = "What a URL may give."},
    {"ca",       &sp_type_path,     AT(sp_config_fetch, ca),             0,     0,       NULL,
     .doc = "PEM file of the authorities that `https://` servers are verified with. Not given: the system's."},
};
static const struct sp_section fetch = {
    "fetch", "How revocation lists and OCSP responses are fetched. URLs are taken from this file only, never from a certificate that a client presented.",
    KEYS(fetch_keys), sizeof(struct sp_config_fetch), AT(sp_config_fetch, at), SP_NOWHERE, NULL};

/* ---- the whole file ---- */
static const struct sp_key root_keys[] = {
/*  name             type               field                          min   max    default */
    {"workers",       &sp_type_threads,  AT(sp_config, workers),        1,    256,   "auto",
     .doc = "Threads that serve those who have proven who they are. `auto`: one for each usable CPU."},
    {"gates",         &sp_type_threads,  AT(sp_config, gates),          1,    256,   "auto",
     .doc = "Threads that accept connections and do handshakes, at a lower priority. `auto`: one for each usable CPU."},
    {"drain_timeout", &sp_type_duration, AT(sp_config, drain_ms),       1*MS, 1*D,   "30s",
     .doc = "How long requests in flight may still take after the daemon was told to stop."},
    {"revocation_in_flight", &sp_type_flag, AT(sp_config, revocation_lets_finish), 0, 0, "end",
     .doc = "What becomes of a request in flight when its client is refused from now on (revoked, expired, no rule any more): `end` cuts it, `finish` lets it be answered and closes then.", .words = in_flight},
    {"revocation_max_kill_percent", &sp_type_percent, AT(sp_config, revocation_max_kill_percent), 1, 99, "off",
     .doc = "A brake: a change of revocation lists, authorities or rules that would close more than so many percent of the open connections at once closes none of them, and raises the alarm. New connections are judged by the change in any case."},
    {"certificate_warn_before", &sp_type_duration, AT(sp_config, certificate_warn_before_ms), 1*S, 365*D, "14d",
     .doc = "How long before its end an authority's or the server's own certificate is warned of."},
    {"fetch",         &sp_type_section,  AT(sp_config, fetch),          0,    0,     "{}",
     .doc = "Fetching of revocation lists and OCSP responses.", .section = &fetch},
    {"admin",         &sp_type_section,  0,                             0,    0,     NULL,
     .doc = "The pages for operators.", .section = &admin},
    {"log",           &sp_type_section,  AT(sp_config, log),            0,    0,     "{}",
     .doc = "Messages and access records.", .section = &log_section},
    {"limits",        &sp_type_section,  AT(sp_config, limits),         0,    0,     "{}",
     .doc = "Bounds on what clients and backends can make the daemon hold.", .section = &limits},
    {"listeners",     &sp_type_sections, AT(sp_config, listeners),      1,    256,   SP_REQUIRED,
     .doc = "Addresses that accept.", .extra = AT(sp_config, listener_count), .section = &listener},
    {"callers",       &sp_type_named,    AT(sp_config, callers),        1,    0,     SP_REQUIRED,
     .doc = "Who there is: each name with a list of entries.", .extra = AT(sp_config, caller_count), .section = &caller},
    {"rules",         &sp_type_sections, AT(sp_config, rules),          1,    0,     SP_REQUIRED,
     .doc = "Who may do what, and where it goes.", .extra = AT(sp_config, rule_count), .section = &rule},
    {"upstreams",     &sp_type_named,    AT(sp_config, upstreams),      1,    1024,  SP_REQUIRED,
     .doc = "Backends, each under its name.", .extra = AT(sp_config, upstream_count), .section = &upstream},
};
const struct sp_section sp_section_root = {
    "Top level", "What stands at the margin of the file.",
    KEYS(root_keys), sizeof(struct sp_config), SP_NOWHERE, SP_NOWHERE, NULL};

const struct sp_section *const sp_sections[] = {
    &sp_section_root, &admin, &log_section, &limits, &fetch,
    &listener, &tls, &certificate, &tickets, &host, &client_auth, &sp_section_grace, &listener_timeouts,
    &entry, &rule, &upstream, &upstream_timeouts, NULL};
