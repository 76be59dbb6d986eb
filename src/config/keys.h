/* How the rows of keys*.c are written, and what those files have of each other. Private to them. */
#ifndef SP_CONFIG_KEYS_H
#define SP_CONFIG_KEYS_H

#include "config/table.h"

#define MS         UINT64_C(1)
#define S          (1000 * MS)
#define M          (60 * S)
#define H          (3600 * S)
#define D          (24 * H)
#define KIB        UINT64_C(1024)
#define MIB        (1024 * KIB)
#define GIB        (1024 * MIB)
#define AT(s, f)   offsetof(struct s, f)
#define KEYS(rows) .keys = rows, .key_count = SP_COUNTOF(rows)

/* keys_listener.c */
extern const struct sp_section sp_section_listener, sp_section_tls, sp_section_certificate,
    sp_section_tickets, sp_section_host, sp_section_client_auth, sp_section_listener_timeouts,
    sp_section_proxy_in, sp_section_rewrite;
/* keys_policy.c */
extern const struct sp_section sp_section_require, sp_section_names, sp_section_naming, sp_section_caller,
    sp_section_caller_long, sp_section_entry, sp_section_caller_limits, sp_section_rule,
    sp_section_header_match, sp_section_edits, sp_section_proxy;
extern const struct sp_word sp_words_rule_mode[];
/* keys_upstream.c */
extern const struct sp_section sp_section_upstream, sp_section_upstream_timeouts;
extern const struct sp_word sp_words_family[], sp_words_proxy_family[];
/* keys_backend.c */
extern const struct sp_section sp_section_endpoint, sp_section_queue, sp_section_health_check,
    sp_section_ejection, sp_section_retries, sp_section_upstream_tls, sp_section_own_certificate;

#endif
