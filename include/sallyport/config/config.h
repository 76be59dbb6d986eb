/* What the operator wrote, typed and immutable. Everything hangs in one arena and is borrowed from the
 * sp_config. Strings are NUL-terminated and free of NUL. Paths are already relative to the configuration file's
 * folder. */
#ifndef SP_CONFIG_CONFIG_H
#define SP_CONFIG_CONFIG_H

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
};

struct sp_config_client_auth {
    struct sp_pos at;
    enum sp_auth_mode mode;
    struct sp_strings ca;  /* files; at least one */
    struct sp_strings crl; /* files or folders */
    enum sp_crl_missing crl_missing;
    enum sp_crl_stale crl_stale;
    uint64_t crl_grace_ms; /* with SP_CRL_STALE_GRACE */
    unsigned depth;        /* intermediates between leaf and trust anchor at most */
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
    struct sp_config_client_auth client_auth;
    struct sp_config_listener_timeouts timeouts;
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
    unsigned connections;  /* client connections in all, handshakes included */
    unsigned handshakes;   /* of those, in the handshake */
    unsigned header_bytes; /* request head, and a backend's response head */
    unsigned headers;      /* fields in one head */
    unsigned target_bytes; /* request target */
    uint64_t body_bytes;   /* request body; 0: unlimited */
};

struct sp_config_log {
    int level;  /* enum sp_log_level */
    int format; /* enum sp_log_format */
    const char *output;
    const char *access;
};

struct sp_config {
    struct sp_arena arena;
    const char *file;
    unsigned workers; /* resolved: never 0 */
    unsigned gates;   /* resolved: never 0 */
    uint64_t drain_ms;
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
void sp_config_free(struct sp_config *config);

/* The reference page (Markdown) from the same tables that parse: key, type, unit, default, bounds, meaning. */
void sp_config_print_reference(struct sp_buf *out);

#endif
