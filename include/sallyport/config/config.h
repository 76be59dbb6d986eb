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

struct sp_config_listener_timeouts {
    uint64_t handshake_ms; /* accept to identity */
    uint64_t header_ms;    /* first byte of a request head to its end */
    uint64_t body_ms;      /* between two reads of a request body */
    uint64_t write_ms;     /* while the client takes nothing of the answer */
    uint64_t idle_ms;      /* between two requests */
};

struct sp_config_listener {
    struct sp_pos at;
    const char *name;
    struct sp_addr address;
    const char *address_text;
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

/* All fields given must hold. NULL (or count 0) is a field not given. */
struct sp_config_caller_entry {
    struct sp_pos at;
    const char *uri;
    const char *dns;
    const char *email;
    const char *fingerprint_sha256; /* 64 lower-case hex digits, however they were written */
    const struct sp_config_attr *subject;
    size_t subject_count;
    enum sp_caller_any any;
};

struct sp_config_caller {
    struct sp_pos at;
    const char *name;
    const struct sp_config_caller_entry *entries; /* any of them */
    size_t entry_count;
};

struct sp_config_rule {
    struct sp_pos at;
    const char *name;
    struct sp_strings from;    /* callers' names, at least one */
    const char *host;          /* NULL: any */
    const char *path;          /* NULL: any */
    struct sp_strings methods; /* count 0: any */
    const char *upstream;
    struct sp_pos upstream_at;
};

/* ---- upstreams ---- */
enum sp_identity_family { SP_IDENTITY_PLAIN = 1, SP_IDENTITY_RFC9440 = 2 }; /* bits */

struct sp_config_endpoint {
    struct sp_pos at;
    const char *text;       /* the address; of a name not looked up yet, the name and its port */
    struct sp_addr address; /* len 0: a name, not looked up yet (only after sp_config_parse) */
};

struct sp_config_upstream {
    struct sp_pos at;
    const char *name;
    const struct sp_config_endpoint *endpoints; /* at least one */
    size_t endpoint_count;
    unsigned identity_headers; /* bits of sp_identity_family */
    unsigned max_idle;         /* kept-alive connections a worker and endpoint */
    uint64_t connect_ms;       /* timeouts.connect: TCP connect */
    uint64_t response_ms; /* timeouts.response: last request byte to response head, and between body reads */
    uint64_t idle_ms;     /* timeouts.idle: a kept-alive connection unused for so long is closed */
};

/* ---- the rest ---- */
struct sp_config_limits {
    unsigned connections;            /* client connections in all, handshakes included */
    unsigned handshakes;             /* of those, in the handshake */
    unsigned handshakes_per_address; /* of those, from one address (IPv6: one /64) */
    unsigned header_bytes;           /* request head, and a backend's response head */
    unsigned headers;                /* fields in one head */
    unsigned target_bytes;           /* request target */
    uint64_t body_bytes;             /* request body; 0: unlimited */
};

struct sp_config_log {
    int level;  /* enum sp_log_level */
    int format; /* enum sp_log_format */
    const char *output;
    const char *access;
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
    unsigned workers; /* resolved: never 0 */
    unsigned gates;   /* resolved: never 0 */
    uint64_t drain_ms;
    bool revocation_lets_finish;          /* a request in flight of a client that is refused from now on */
    unsigned revocation_max_kill_percent; /* 0: no brake */
    uint64_t certificate_warn_before_ms;  /* before a CA's or server certificate's notAfter */
    struct sp_config_fetch fetch;
    bool has_admin;
    struct sp_addr admin_address;
    const char *admin_address_text;
    struct sp_config_log log;
    struct sp_config_limits limits;
    const struct sp_config_listener *listeners;
    size_t listener_count;
    const struct sp_config_caller *callers;
    size_t caller_count;
    const struct sp_config_rule *rules;
    size_t rule_count;
    const struct sp_config_upstream *upstreams;
    size_t upstream_count;
};

/* Reads and checks the file: YAML, keys, types, bounds, names that refer to each other. Does not open the files
 * that it names (certificates, CRLs): their rooms do, and report into the same `diags`. All errors of the file
 * are told at once. Endpoints given by name are then looked up, each address becoming an endpoint; that may
 * block. On SP_OK hands over *out, to be freed with sp_config_free; there may still be warnings in `diags`. On
 * SP_FAIL *out is NULL, unless names without an address are all that is wrong: it is then handed over too, only
 * so that the files that it names can be checked as well. */
SP_MUST_USE enum sp_rc sp_config_load(const char *file, struct sp_config **out, struct sp_diags *diags);
/* The same from memory, without any I/O: an endpoint given by name is left with address.len 0. `file` names the
 * text in messages and anchors relative paths. For tests, the demo and fuzzing. */
SP_MUST_USE enum sp_rc sp_config_parse(
    const char *file, struct sp_slice text, struct sp_config **out, struct sp_diags *diags);
struct sp_config *sp_config_ref(struct sp_config *config); /* one more owner; any thread */
void sp_config_free(struct sp_config *config);             /* one owner fewer; any thread; takes NULL */

/* Which of the listener's hosts serves the canonical `name` (lower case, no port, no trailing dot): the one that has
 * it, else the one that has it by wildcard, else 0. The one matcher for SNI and Host. */
size_t sp_config_host_of(const struct sp_config_listener *listener, struct sp_slice name);
/* Whether `pattern` ("a.example", or "*.example" for one label) names `name`. Both canonical. */
bool sp_config_host_matches(struct sp_slice pattern, struct sp_slice name);

/* Calls `each` for every file or folder of certificates, keys, CRLs and the like that the configuration names
 * (endpoints, logs and the configuration itself are not). A path may come twice. */
void sp_config_each_file(
    const struct sp_config *config, void (*each)(void *arg, const char *path), void *arg);

/* The reference page (Markdown) from the same tables that parse: key, type, unit, default, bounds, meaning. */
void sp_config_print_reference(struct sp_buf *out);

#endif
