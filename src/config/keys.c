/* Every key there is, one row each, to be read like a manual page. What parses, what is the default and what
 * the reference says are these rows and nothing else. A row: name, type, field, bounds (of a list: of its
 * length), default as it would be written, what it means; then, where the type needs it, .extra (a list's
 * count, an address' text, a reference's place), .section, .words. Here: the top level and its small sections.
 * Elsewhere: the large ones (keys_listener.c, keys_policy.c, keys_upstream.c, keys_backend.c), types (types*.c,
 * texts*.c, collections.c), what spans several keys (check*.c). */
#include "config/keys.h"

/* clang-format off */

/* ---- words ---- */
static const struct sp_word log_levels[]  = {{"debug", 0}, {"info", 1}, {"warn", 2}, {"error", 3}, {NULL, 0}};
static const struct sp_word log_formats[] = {{"json", 0}, {"text", 1}, {NULL, 0}};
static const struct sp_word log_outputs[] = {{"stderr", 0}, {"stdout", 0}, {"off", 0}, {"syslog", 0}, {"journald", 0}, {NULL, 0}};
static const struct sp_word audit_outputs[] = {{"off", 0}, {"stderr", 0}, {"stdout", 0}, {"syslog", 0}, {"journald", 0}, {NULL, 0}};
static const struct sp_word yes_no[]      = {{"false", 0}, {"true", 1}, {NULL, 0}};
static const struct sp_word in_flight[]   = {{"end", 0}, {"finish", 1}, {NULL, 0}};

/* ---- admin, log, limits ---- */
static const struct sp_key admin_keys[] = {
/*  name        type               field                                min  max    default */
    {"address", &sp_type_address,  AT(sp_config, admin_address),        0,   0,     SP_REQUIRED,
     .doc = "Where `/metrics`, `/upstreams`, `/healthz` and `/readyz` are answered, without TLS: a loopback address or a unix socket, nothing else.",
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
     .doc = "Where messages go, refused handshakes among them. A file is opened for appending.", .words = log_outputs},
    {"access",  &sp_type_output,   AT(sp_config_log, access),           0,   0,     "stdout",
     .doc = "Where the access records go, one for each request.", .words = log_outputs},
};
static const struct sp_section log_section = {
    "log", "Two streams: messages, and one access record for each request. A reader that is too slow loses lines, which are counted; it never holds up traffic.",
    KEYS(log_keys), sizeof(struct sp_config_log), SP_NOWHERE, SP_NOWHERE, NULL};

static const struct sp_key audit_keys[] = {
/*  name        type               field                                min  max    default */
    {"output",  &sp_type_output,   AT(sp_config_audit, output),         0,   0,     "off",
     .doc = "Where the lines go. A file is opened for appending.", .words = audit_outputs},
    {"allowed", &sp_type_flag,     AT(sp_config_audit, allowed),        0,   0,     "false",
     .doc = "Whether requests that were let through have a line too.", .words = yes_no},
};
static const struct sp_section audit = {
    "audit", "Every refusal as one JSON line, apart from the logs: the decision, the rule, the reason, who it was, what was asked for.",
    KEYS(audit_keys), sizeof(struct sp_config_audit), SP_NOWHERE, SP_NOWHERE, sp_check_audit};

static const struct sp_key limits_keys[] = {
/*  name             type                field                               min      max        default */
    {"connections",  &sp_type_count,     AT(sp_config_limits, connections),  1,       1000000,   "16384",
     .doc = "Client connections in all, handshakes included. At the limit the newest is turned away."},
    {"handshakes",   &sp_type_count,     AT(sp_config_limits, handshakes),   1,       1000000,   "1024",
     .doc = "Of those, connections that have not yet proven who they are."},
    {"handshakes_per_address", &sp_type_count, AT(sp_config_limits, handshakes_per_address), 1, 1000000, "256",
     .doc = "Of those, connections from one address; an IPv6 /64 counts as one."},
    {"handshake_failures", &sp_type_rate_or_off, AT(sp_config_limits, handshake_failures), 1, 1000000, "off",
     .doc = "Failed handshakes from one address (an IPv6 /64 counts as one), as many at once as in the whole period. Beyond it, its connections are turned away until some of it is left again."},
    {"requests",     &sp_type_count,     AT(sp_config_limits, requests),     1,       1000000,   "16384",
     .doc = "Requests in flight in all; an upgraded connection and one of `mode: tcp` counts as one. At the limit the newest is answered 503."},
    {"memory",       &sp_type_bytes,     AT(sp_config_limits, memory_bytes),  1*MIB,  1024*GIB,  "1GiB",
     .doc = "Buffers of requests in flight in all; each may need 192KiB (in mode tcp 64KiB), which are set aside when it is let in. At the limit the newest is answered 503."},
    {"tracked_callers", &sp_type_count,  AT(sp_config_limits, tracked_callers), 64,   4194304,   "65536",
     .doc = "Clients whose `callers.<name>.limits` are counted at a time. Memory is taken for all of them at the start."},
    {"sessions",     &sp_type_count,     AT(sp_config_limits, sessions),     0,       10000000,  "20000",
     .doc = "TLS sessions that are kept for clients who come back, of all listeners without `tls.tickets.keys`. Beyond it the oldest goes, whose client then does a full handshake. After a full handshake one takes 8 to 10KiB, with the client's certificate; after a resumption 1KiB."},
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

/* ---- fetching ---- */
static const struct sp_key fetch_keys[] = {
/*  name        type               field                                min    max      default */
    {"folder",   &sp_type_path,     AT(sp_config_fetch, folder),         0,     0,       NULL,
     .doc = "Where the last good copy of everything fetched is kept. Required where a URL is given; the daemon must be able to write there."},
    {"interval", &sp_type_duration, AT(sp_config_fetch, interval_ms),    1*S,   7*D,     "1h",
     .doc = "How long until a URL is looked at again; earlier when what it gave ends earlier. Spread by a tenth at random."},
    {"timeout",  &sp_type_duration, AT(sp_config_fetch, timeout_ms),     1*MS,  10*M,    "30s",
     .doc = "A whole transfer."},
    {"max_size", &sp_type_bytes,     AT(sp_config_fetch, max_bytes),     1*KIB, 512*MIB, "64MiB",
     .doc = "What a URL may give."},
    {"ca",       &sp_type_path,     AT(sp_config_fetch, ca),             0,     0,       NULL,
     .doc = "PEM file of the authorities that `https://` servers are verified with. Not given: the system's."},
};
static const struct sp_section fetch = {
    "fetch", "How revocation lists and OCSP responses are fetched. URLs are taken from this file only, never from a certificate that a client presented.",
    KEYS(fetch_keys), sizeof(struct sp_config_fetch), AT(sp_config_fetch, at), SP_NOWHERE, NULL};

/* ---- names ---- */
static const struct sp_key resolver_keys[] = {
/*  name       type                  field                              min  max  default */
    {"servers", &sp_type_dns_servers, AT(sp_config, resolver_servers),  1,   16,  NULL,
     .doc = "Which DNS servers are asked for the names of endpoints. Not given: the system's, of `/etc/resolv.conf`. `/etc/hosts` is looked at first in any case."},
};
static const struct sp_section resolver = {
    "resolver", "How names of endpoints are looked up.",
    KEYS(resolver_keys), 0, SP_NOWHERE, SP_NOWHERE, NULL};

/* ---- the whole file ---- */
static const struct sp_key root_keys[] = {
/*  name             type               field                          min   max    default */
    {"workers",       &sp_type_threads,  AT(sp_config, workers),        1,    256,   "auto",
     .doc = "Threads that serve those who have proven who they are. `auto`: one for each usable CPU."},
    {"gates",         &sp_type_threads,  AT(sp_config, gates),          1,    256,   "auto",
     .doc = "Threads that accept connections and do handshakes, at a lower priority. `auto`: one for each usable CPU."},
    {"handshake_share", &sp_type_count,  AT(sp_config, handshake_share), 1,   90,    "20",
     .doc = "In percent: the part of the CPU that all gates together get at least, while gates and workers want more than there is. What either of them leaves, the other takes. It is made of their priorities (nice), so it is kept in steps of about a quarter."},
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
    {"resolver",      &sp_type_section,  0,                             0,    0,     "{}",
     .doc = "How names of endpoints are looked up.", .section = &resolver},
    {"admin",         &sp_type_section,  0,                             0,    0,     NULL,
     .doc = "The pages for operators.", .section = &admin},
    {"log",           &sp_type_section,  AT(sp_config, log),            0,    0,     "{}",
     .doc = "Messages and access records.", .section = &log_section},
    {"audit",         &sp_type_section,  AT(sp_config, audit),          0,    0,     "{}",
     .doc = "Refusals as lines of their own.", .section = &audit},
    {"limits",        &sp_type_section,  AT(sp_config, limits),         0,    0,     "{}",
     .doc = "Bounds on what clients and backends can make the daemon hold.", .section = &limits},
    {"listeners",     &sp_type_sections, AT(sp_config, listeners),      1,    256,   SP_REQUIRED,
     .doc = "Addresses that accept.", .extra = AT(sp_config, listener_count), .section = &sp_section_listener},
    {"callers",       &sp_type_named,    AT(sp_config, callers),        1,    0,     SP_REQUIRED,
     .doc = "Who there is: each name with a list of entries, or with a section.", .extra = AT(sp_config, caller_count), .section = &sp_section_caller},
    {"rule_mode",     &sp_type_choice,   AT(sp_config, rule_mode),      0,    0,     "enforce",
     .doc = "`rules[].mode` where it is not given.", .words = sp_words_rule_mode},
    {"rules",         &sp_type_sections, AT(sp_config, rules),          1,    0,     SP_REQUIRED,
     .doc = "Who may do what, and where it goes.", .extra = AT(sp_config, rule_count), .section = &sp_section_rule},
    {"trusted_proxies", &sp_type_sections, AT(sp_config, trusted_proxies), 0,  256,   NULL,
     .doc = "Proxies in front that may speak for their own clients.", .extra = AT(sp_config, trusted_proxy_count), .section = &sp_section_proxy},
    {"upstreams",     &sp_type_named,    AT(sp_config, upstreams),      1,    1024,  SP_REQUIRED,
     .doc = "Backends, each under its name.", .extra = AT(sp_config, upstream_count), .section = &sp_section_upstream},
};
const struct sp_section sp_section_root = {
    "Top level", "What stands at the margin of the file.",
    KEYS(root_keys), sizeof(struct sp_config), SP_NOWHERE, SP_NOWHERE, NULL};

const struct sp_section *const sp_sections[] = {
    &sp_section_root, &admin, &log_section, &audit, &limits, &fetch, &resolver,
    &sp_section_listener, &sp_section_tls, &sp_section_certificate, &sp_section_tickets, &sp_section_host,
    &sp_section_client_auth, &sp_section_grace, &sp_section_proxy_in, &sp_section_rewrite, &sp_section_listener_timeouts,
    &sp_section_require, &sp_section_names, &sp_section_naming,
    &sp_section_caller_long, &sp_section_entry, &sp_section_caller_limits,
    &sp_section_rule, &sp_section_header_match, &sp_section_edits, &sp_section_proxy,
    &sp_section_upstream, &sp_section_endpoint, &sp_section_queue, &sp_section_health_check, &sp_section_ejection,
    &sp_section_retries, &sp_section_upstream_tls, &sp_section_own_certificate, &sp_section_upstream_timeouts, NULL};
