/* What the operator wrote, typed and immutable. Everything hangs in one arena and is borrowed from the
 * sp_config. Strings are NUL-terminated and free of NUL. Paths are already relative to the configuration file's
 * folder. */
#ifndef SP_CONFIG_CONFIG_H
#define SP_CONFIG_CONFIG_H

#include <stdatomic.h>

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/diag.h"

struct sp_strings {
    const char *const *items;
    const struct sp_pos *at; /* where each was written */
    size_t count;
};

/* ---- requirements on certificates, beside that they verify ---- */
enum sp_name_type { SP_NAME_URI, SP_NAME_DNS, SP_NAME_EMAIL, SP_NAME_IP, SP_NAME_TYPES };
enum sp_presence { SP_PRESENCE_MAY, SP_PRESENCE_MUST, SP_PRESENCE_MUST_NOT };

/* The subjectAltNames of one type. */
struct sp_config_naming {
    enum sp_presence presence;
    struct sp_strings
        patterns; /* each name of the type fits one of them; count 0: any. Spelt as in a caller's entry */
};

struct sp_config_requirements {
    struct sp_pos at;
    uint64_t max_validity_ms;               /* from notBefore to notAfter; 0: any */
    struct sp_strings key_types;            /* "rsa", "ec", "ed25519", "ed448"; count 0: any */
    unsigned min_rsa_bits, min_ec_bits;     /* 0: any */
    struct sp_strings signature_algorithms; /* "ecdsa-with-SHA256" or an OID; count 0: any */
    struct sp_strings eku;                  /* all of them: "clientAuth" or an OID */
    struct sp_strings policies;             /* all of them: OIDs of certificatePolicies */
    bool client_eku_required;               /* else a certificate without extendedKeyUsage is for anything */
    struct sp_config_naming names[SP_NAME_TYPES];
};

/* ---- listeners ---- */
enum sp_auth_mode { SP_AUTH_REQUIRED, SP_AUTH_OPTIONAL };
enum sp_crl_missing { SP_CRL_MISSING_REJECT, SP_CRL_MISSING_ACCEPT };
enum sp_crl_stale { SP_CRL_STALE_REJECT, SP_CRL_STALE_GRACE, SP_CRL_STALE_ACCEPT };
enum sp_tls_version { SP_TLS_1_2, SP_TLS_1_3 };

struct sp_config_certificate {
    struct sp_pos at;
    const char *chain; /* PEM file: leaf first, then its intermediates */
    const char *key;   /* PEM file, not encrypted */
    /* DER file with an OCSP response to staple, or NULL. With `staple_url`: where the fetched one is kept. */
    const char *staple_file;
    const char *staple_url; /* the responder to ask, "auto" (the one that the certificate names), or NULL */
};

struct sp_config_client_auth {
    struct sp_pos at;
    enum sp_auth_mode mode;
    struct sp_strings ca;        /* files; at least one */
    struct sp_strings crl;       /* files or folders; of a URL the file that its last good copy is kept in */
    const char *const *crl_urls; /* the URL of each of `crl`, NULL for a file or folder; NULL: none has one */
    struct sp_strings intermediates; /* files of certificates that help to build a chain and are no anchors */
    bool trust_intermediates;        /* a CA of `ca` without its issuer there may end a chain */
    enum sp_crl_missing crl_missing;
    enum sp_crl_stale crl_stale;
    uint64_t crl_grace_ms;       /* with SP_CRL_STALE_GRACE */
    uint64_t crl_warn_before_ms; /* before nextUpdate; 0: a tenth of the CRL's own lifetime */
    unsigned depth;              /* intermediates between leaf and trust anchor at most */
    uint64_t max_session_age_ms; /* since the full handshake; 0: unlimited */
    const char *ocsp_url;        /* the responder that is asked about each client; NULL: none is */
    bool ocsp_unreachable_accept;
    uint64_t ocsp_timeout_ms;
    const struct sp_config_requirements *require; /* NULL: none */
    bool of_servers; /* false as read: set in a copy by who judges backends by it */
};

/* A virtual host: what clients that ask for one of these names by SNI are shown, and how they prove who they are. */
struct sp_config_host {
    struct sp_pos at;
    struct sp_strings names; /* canonical (lower case, no trailing dot); "*." stands for one label */
    const struct sp_config_certificate *certificates;
    size_t certificate_count;
    struct sp_config_client_auth client_auth;
    bool inherits; /* client_auth is the listener's own: the same policy */
};

struct sp_config_tickets {
    unsigned count;       /* a full handshake; 0: no session is resumed */
    uint64_t lifetime_ms; /* since the full handshake */
    const char *keys;     /* file shared by several hosts; NULL: random, of this process */
};

/* What is spoken inside TLS. SP_MODE_TCP: anything; bytes are relayed as they come. */
enum sp_listener_mode { SP_MODE_HTTP, SP_MODE_TCP };

/* A request whose path begins with the segments of `prefix` has `replace` in their place before it is judged; what
 * is judged is what the backend gets. The first that fits is the one. */
struct sp_config_rewrite {
    struct sp_pos at;
    const char *host;    /* a pattern as in rules; NULL: any */
    const char *prefix;  /* "/api", of whole segments, without a '/' at its end; "" fits every path */
    const char *replace; /* "/v2"; "": the prefix is taken away */
};

struct sp_config_listener_timeouts {
    uint64_t handshake_ms; /* accept to identity */
    uint64_t header_ms;    /* first byte of a request head to its end */
    uint64_t body_ms;      /* between two reads of a request body */
    uint64_t write_ms;     /* while the client takes nothing of the answer */
    uint64_t idle_ms;      /* between two requests */
    uint64_t tunnel_ms;    /* mode tcp, and upgraded connections: while nothing comes from either side */
};

struct sp_config_listener {
    struct sp_pos at;
    const char *name;
    struct sp_addr address;
    const char *address_text;
    enum sp_listener_mode mode;
    struct sp_strings
        alpn; /* mode tcp: protocols that a client may choose from, ours first; count 0: its ALPN is not looked at */
    /* Address blocks of the load balancers in front: what they connect begins with a PROXY protocol header, and only
     * what they connect may. count 0: nobody. */
    struct sp_strings proxies;
    const struct sp_config_rewrite *rewrites; /* mode http */
    size_t rewrite_count;
    const struct sp_config_certificate *certificates; /* the first is for a client that names none of them */
    size_t certificate_count;
    enum sp_tls_version min_version;
    bool reject_unknown_sni; /* a name that no host and no certificate has */
    struct sp_config_tickets tickets;
    struct sp_config_client_auth client_auth;
    struct sp_config_listener_timeouts timeouts;
    /* hosts[0] is the listener itself, without names: for a client that asks for none of the others' */
    const struct sp_config_host *hosts;
    size_t host_count;
};

/* ---- callers and rules ---- */
struct sp_config_attr {
    const char *type; /* "CN", "O", "OU", ... or a dotted OID */
    const char *value;
};

enum sp_caller_any { SP_CALLER_NOT_ANY, SP_CALLER_ANY_AUTHENTICATED, SP_CALLER_ANY_ANONYMOUS };
/* Roles of a payment service provider, ETSI TS 119 495 §5.1; bits. */
enum sp_psd2_role { SP_PSD2_AS = 1, SP_PSD2_PI = 2, SP_PSD2_AI = 4, SP_PSD2_IC = 8 };
/* What a qualified certificate is for, ETSI EN 319 412-5 §4.2.3. */
enum sp_qc_type { SP_QC_NONE, SP_QC_ESIGN, SP_QC_ESEAL, SP_QC_WEB };

/* All fields given must hold. NULL (or count 0, or 0) is a field not given. An attribute whose value was written as a
 * list is there once for each value: all of them must be among the name's attributes. */
struct sp_config_caller_entry {
    struct sp_pos at;
    const char *uri;
    const char *dns;
    const char *email;
    const char *ip;     /* an address or a block */
    const char *serial; /* lower-case hex without leading zeros beyond a byte, as sp_identity has it */
    const char *fingerprint_sha256; /* 64 lower-case hex digits, however they were written */
    const char *spki_sha256;        /* likewise, of the SubjectPublicKeyInfo */
    const char *policy;             /* an OID of certificatePolicies */
    const struct sp_config_attr *subject;
    size_t subject_count;
    const struct sp_config_attr *issuer;
    size_t issuer_count;
    enum sp_qc_type qc_type;    /* SP_QC_NONE: not given */
    unsigned psd2_roles;        /* bits of sp_psd2_role; all of them */
    const char *psd2_authority; /* NCAId such as "DE-BAFIN" */
    const char *caller;         /* another caller's name: who is that one */
    struct sp_pos caller_at;
    const char *file; /* one identity a line: whoever one of them names */
    enum sp_caller_any any;
};

/* So many of `requests` in `period_ms`; 0: no limit. Written "100/s". */
struct sp_config_rate {
    unsigned requests;
    uint64_t period_ms;
};

struct sp_config_caller_limits {
    struct sp_pos at;
    struct sp_config_rate rate;
    unsigned burst;               /* requests that may come at once; with `rate` at least 1 */
    unsigned concurrent_requests; /* 0: no limit */
    unsigned connections;         /* 0: no limit */
    /* What shares one bucket: "identity", "caller", "certificate", "uri", "dns", "email", "subject.OU" ... */
    const char *per;
};

struct sp_config_caller {
    struct sp_pos at;
    const char *name;
    const struct sp_config_caller_entry *entries; /* any of them */
    size_t entry_count;
    const struct sp_config_requirements *require; /* NULL: none */
    const struct sp_config_caller_limits *limits; /* NULL: none */
};

struct sp_config_header_match {
    struct sp_pos at;
    const char *name;
    const char *equals; /* NULL: it is there */
};

/* A field and what is to be done with it: set (in place of any there is), added behind what there is, or removed.
 * Never a name that is protected or that frames the message. */
struct sp_config_header {
    struct sp_pos at;
    const char *name;
    const char *value; /* of an upstream's own a template: "team {subject.OU}"; of a rule's edit literal */
};
struct sp_config_edits {
    const struct sp_config_header *set, *add;
    size_t set_count, add_count;
    struct sp_strings remove;
};

enum sp_rule_mode { SP_RULE_ENFORCE, SP_RULE_REPORT };

struct sp_config_rule {
    struct sp_pos at;
    const char *name;
    struct sp_strings from;      /* callers' names; count 0 (only with deny): everybody */
    struct sp_strings not_from;  /* callers' names: none of these */
    struct sp_strings listeners; /* names; count 0: any */
    const char *host;            /* NULL: any */
    struct sp_pos host_at;
    const char *path; /* NULL: any */
    struct sp_pos path_at;
    struct sp_strings methods; /* count 0: any */
    const struct sp_config_header_match *headers;
    size_t header_count;
    struct sp_strings sources; /* address blocks; count 0: any */
    const char *upstream;      /* NULL with deny_status */
    struct sp_pos upstream_at;
    unsigned deny_status; /* 0: it allows */
    enum sp_rule_mode mode;
    struct sp_strings
        upgrades; /* protocols, in lower case, that a request which it allows may change to: "websocket" */
    const struct sp_config_edits *request_headers, *response_headers; /* NULL: none */
};

/* A proxy in front of us that may speak for its own clients. */
enum sp_xfcc_mode { SP_XFCC_SANITIZE_SET, SP_XFCC_APPEND_FORWARD, SP_XFCC_FORWARD_ONLY };
struct sp_config_trusted_proxy {
    struct sp_pos at;
    struct sp_strings from;    /* callers' names, at least one */
    struct sp_strings sources; /* address blocks; count 0: any */
    unsigned
        identity_headers; /* bits of sp_identity_family: what it says in these goes on, and we say nothing in them */
    enum sp_xfcc_mode xfcc;
    bool keeps_forwarded; /* what it says in Forwarded and X-Forwarded-* is continued; else replaced */
};

/* ---- upstreams ---- */
enum sp_identity_family { /* bits */
    SP_IDENTITY_PLAIN = 1,
    SP_IDENTITY_RFC9440 = 2,
    SP_IDENTITY_XFCC = 4,
    SP_IDENTITY_NGINX = 8,
    SP_IDENTITY_TRAEFIK = 16,
    SP_IDENTITY_ALB = 32
};
enum sp_xfcc_detail { SP_XFCC_CERT = 1, SP_XFCC_CHAIN = 2 }; /* bits */

struct sp_config_endpoint {
    struct sp_pos at;
    const char
        *text; /* as it was written: "10.0.0.5:8080", "unix:/run/x.sock", "name:8080", "srv:_api._tcp.x" */
    struct sp_addr address;   /* len 0: a name, which the roster looks up */
    const char *host;         /* the name; NULL: an address */
    uint16_t port;            /* of the name; 0 with is_srv */
    bool is_srv;              /* the name is of SRV records, which say ports and weights */
    unsigned weight;          /* 1 by default; 0: it gets nothing new (drained) */
    bool is_backup;           /* only while no other endpoint can be used */
    unsigned max_connections; /* open at a time from this process, 0: any */
};

enum sp_balance { SP_BALANCE_ROUND_ROBIN, SP_BALANCE_LEAST_REQUESTS, SP_BALANCE_HASH };
enum sp_hash_by { SP_HASH_CALLER, SP_HASH_ADDRESS, SP_HASH_HEADER };

/* Active: a question asked of each endpoint again and again. */
struct sp_config_health_check {
    struct sp_pos at;
    const char *path; /* GET; NULL: connecting (with TLS, if the upstream has it) is enough */
    const char *host; /* its Host; NULL: as requests' (upstream.host), else the endpoint as written */
    unsigned status_min, status_max; /* what is healthy: "200", "200-299" */
    uint64_t interval_ms;            /* from the end of one to the beginning of the next, spread by a tenth */
    uint64_t timeout_ms;             /* the whole of one */
    unsigned healthy_after, unhealthy_after; /* in a row */
    unsigned port;                           /* to ask at; 0: the endpoint's */
};

/* Passive: an endpoint on which requests fail in a row is left out for a while, each time twice as long. */
struct sp_config_ejection {
    unsigned failures; /* in a row; 0: never */
    uint64_t base_ms, max_ms;
};

struct sp_config_retries {
    unsigned attempts;   /* on endpoints in all, the first one included; 1: none is repeated */
    bool on_reset;       /* also when the connection breaks before a byte of the response */
    bool any_method;     /* then: not only idempotent ones */
    unsigned budget;     /* of those, in percent of the requests; a few a second are always allowed */
    uint64_t body_bytes; /* of a body that was sent already, kept for it; more: not repeated */
};

/* TLS towards the endpoints. */
struct sp_config_upstream_tls {
    struct sp_pos at;
    bool verify; /* false: whoever answers is believed; warned of */
    /* What the server's certificate is judged by: ca, crl, crl_missing, crl_stale, crl_grace_ms, depth. */
    struct sp_config_client_auth trust;
    const char *
        name; /* a DNS name or an address that its certificate must have; NULL: the endpoint's own, unless `uri` */
    const char *uri; /* a pattern of a URI name (SPIFFE) that it must have; NULL: none */
    const char *sni; /* NULL: `name`, else the endpoint's name; none for an address */
    const struct sp_config_certificate *certificate; /* by which we prove who we are; NULL: none */
    enum sp_tls_version min_version;
};

enum sp_proxy_version { SP_PROXY_OFF, SP_PROXY_V1, SP_PROXY_V2 };
enum sp_forwarding { SP_FORWARDING_X = 1, SP_FORWARDING_RFC7239 = 2, SP_FORWARDING_VIA = 4 }; /* bits */

struct sp_config_upstream {
    struct sp_pos at;
    const char *name;
    const struct sp_config_endpoint *endpoints; /* at least one */
    size_t endpoint_count;
    unsigned identity_headers;              /* bits of sp_identity_family */
    unsigned xfcc_details;                  /* bits of sp_xfcc_detail */
    const struct sp_config_header *headers; /* of our own making, beside the families */
    size_t header_count;
    unsigned forwarding_headers; /* bits of sp_forwarding */
    const char *host;            /* Host as the backend is told; NULL: as the client said it */
    bool pass_trailers;          /* both ways; else they are read and dropped */
    enum sp_balance balance;
    enum sp_hash_by hash_by;  /* with SP_BALANCE_HASH */
    const char *hash_header;  /* with SP_HASH_HEADER; a request without it: by caller */
    unsigned max_connections; /* of endpoints that do not say; 0: any */
    uint64_t slow_start_ms;   /* an endpoint that comes back gets its share little by little; 0: at once */
    unsigned queue_max;       /* requests that may wait while every endpoint is at max_connections */
    uint64_t queue_ms;        /* and for how long */
    unsigned panic_percent;   /* fewer usable endpoints than so many percent: all are used; 0: never */
    const struct sp_config_health_check *health_check; /* NULL: none */
    struct sp_config_ejection ejection;
    struct sp_config_retries retries;
    const struct sp_config_upstream_tls *tls; /* NULL: plain */
    enum sp_proxy_version
        proxy_protocol;     /* said first on each connection, which then serves one client only */
    bool proxy_client_cert; /* with SP_PROXY_V2: the client's certificate, too */
    unsigned max_idle;      /* kept-alive connections a worker and endpoint */
    uint64_t connect_ms;    /* timeouts.connect: TCP connect and TLS handshake */
    uint64_t response_ms; /* timeouts.response: last request byte to response head, and between body reads */
    uint64_t exchange_ms; /* timeouts.exchange: from a request's first byte to its answer's last; 0: any */
    uint64_t idle_ms;     /* timeouts.idle: a kept-alive connection unused for so long is closed */
};

/* ---- the rest ---- */
struct sp_config_limits {
    unsigned connections;                     /* client connections in all, handshakes included */
    unsigned handshakes;                      /* of those, in the handshake */
    unsigned handshakes_per_address;          /* of those, from one address (IPv6: one /64) */
    struct sp_config_rate handshake_failures; /* of one address; requests 0: unlimited */
    unsigned requests;                        /* in flight in all; tunnels included */
    uint64_t memory_bytes;                    /* of buffers of requests in flight in all */
    unsigned tracked_callers;                 /* clients whose limits are counted at a time */
    unsigned sessions;                        /* TLS sessions that clients may come back to */
    unsigned header_bytes;                    /* request head, and a backend's response head */
    unsigned headers;                         /* fields in one head */
    unsigned target_bytes;                    /* request target */
    uint64_t body_bytes;                      /* request body; 0: unlimited */
};

struct sp_config_log {
    int level;  /* enum sp_log_level */
    int format; /* enum sp_log_format */
    const char *output;
    const char *access;
};

/* Every refusal as a line of its own, apart from the logs. */
struct sp_config_audit {
    const char *output;
    bool allowed; /* and every request that was let through */
};

/* Fetching of CRLs and OCSP responses. */
struct sp_config_fetch {
    struct sp_pos at;
    const char *folder;   /* where last good copies are kept; NULL: not given */
    uint64_t interval_ms; /* between two looks at a CRL's URL at most */
    uint64_t timeout_ms;  /* a transfer */
    uint64_t max_bytes;   /* an answer */
    const char *ca;       /* PEM bundle for https; NULL: the system's */
};

struct sp_config {
    _Atomic unsigned refs;
    struct sp_arena arena;
    const char *file;
    unsigned workers;         /* resolved: never 0 */
    unsigned gates;           /* resolved: never 0 */
    unsigned handshake_share; /* percent of the CPU that gates get while workers want all of it */
    uint64_t drain_ms;
    bool revocation_lets_finish;          /* a request in flight of a client that is refused from now on */
    unsigned revocation_max_kill_percent; /* 0: no brake */
    uint64_t certificate_warn_before_ms;  /* before a CA's or server certificate's notAfter */
    struct sp_config_fetch fetch;
    struct sp_strings
        resolver_servers; /* DNS servers with ports, for names of endpoints; count 0: the system's */
    bool has_admin;
    struct sp_addr admin_address;
    const char *admin_address_text;
    struct sp_config_log log;
    struct sp_config_audit audit;
    struct sp_config_limits limits;
    const struct sp_config_listener *listeners;
    size_t listener_count;
    const struct sp_config_caller *callers;
    size_t caller_count;
    const struct sp_config_rule *rules;
    size_t rule_count;
    enum sp_rule_mode rule_mode; /* of rules that do not say */
    const struct sp_config_trusted_proxy *trusted_proxies;
    size_t trusted_proxy_count;
    const struct sp_config_upstream *upstreams;
    size_t upstream_count;
};

/* Reads and checks the file: YAML, keys, types, bounds, names that refer to each other. Does not open the files
 * that it names (certificates, CRLs): their rooms do, and report into the same `diags`; and looks up no name. All errors of the
 * file are told at once. On SP_OK hands over *out, to be freed with sp_config_free; there may still be warnings in `diags`. On
 * SP_FAIL *out is NULL. */
SP_MUST_USE enum sp_rc sp_config_load(const char *file, struct sp_config **out, struct sp_diags *diags);
/* The same from memory. `file` names the text in messages and anchors relative paths. For tests, the demo and fuzzing. */
SP_MUST_USE enum sp_rc sp_config_parse(
    const char *file, struct sp_slice text, struct sp_config **out, struct sp_diags *diags);
struct sp_config *sp_config_ref(struct sp_config *config); /* one more owner; any thread */
void sp_config_free(struct sp_config *config);             /* one owner fewer; any thread; takes NULL */

/* Which of the listener's hosts serves the canonical `name` (lower case, no port, no trailing dot): the one that has
 * it, else the one that has it by wildcard, else 0. The one matcher for SNI and Host. */
size_t sp_config_host_of(const struct sp_config_listener *listener, struct sp_slice name);
/* Whether `pattern` ("a.example", or "*.example" for one label) names `name`. Both canonical. */
bool sp_config_host_matches(struct sp_slice pattern, struct sp_slice name);

/* Calls `each` for every file or folder of certificates, keys, CRLs, lists of identities and the like that the configuration names
 * (endpoints' sockets, logs and the configuration itself are not). A path may come twice. */
void sp_config_each_file(
    const struct sp_config *config, void (*each)(void *arg, const char *path), void *arg);

/* The reference page (Markdown) from the same tables that parse: key, type, unit, default, bounds, meaning. */
void sp_config_print_reference(struct sp_buf *out);

#endif
