/* Gauges with labels: one table of their families, and how a sample is written. Nothing is counted here: whoever knows
 * the values prints them when somebody looks. */
#ifndef SP_OBS_GAUGE_H
#define SP_OBS_GAUGE_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"

#define SP_GAUGE_LABELS 4

/* X(identifier, prometheus name, four labels (the last may be NULL: none), help) */
#define SP_GAUGES(X)                                                                                         \
    X(crl_this_update, "sallyport_crl_this_update_timestamp_seconds", "listener", "issuer", "source", NULL,  \
        "When a CRL was issued")                                                                             \
    X(crl_next_update, "sallyport_crl_next_update_timestamp_seconds", "listener", "issuer", "source", NULL,  \
        "When a CRL ends; without a sample for one that names no nextUpdate")                                \
    X(crl_entries, "sallyport_crl_entries", "listener", "issuer", "source", NULL, "Entries of a CRL")        \
    X(crl_loaded, "sallyport_crl_loaded_timestamp_seconds", "listener", "issuer", "source", NULL,            \
        "When the file of a CRL was last read and found good")                                               \
    X(ca_not_after, "sallyport_ca_not_after_timestamp_seconds", "listener", "subject", "file", NULL,         \
        "When a CA ends; of several with one name in a file the first to end")                               \
    X(ca_without_crl, "sallyport_ca_without_crl", "listener", "subject", "file", NULL,                       \
        "1 for a CA without a CRL that covers all of its certificates")                                      \
    X(certificate_not_after, "sallyport_certificate_not_after_timestamp_seconds", "listener", "names",       \
        "file", NULL, "When a server certificate ends")                                                      \
    X(upstream_crl_next_update, "sallyport_upstream_crl_next_update_timestamp_seconds", "upstream",          \
        "issuer", "source", NULL,                                                                            \
        "When a CRL for backends ends; without a sample for one that names no nextUpdate")                   \
    X(upstream_ca_not_after, "sallyport_upstream_ca_not_after_timestamp_seconds", "upstream", "subject",     \
        "file", NULL, "When a CA for backends ends; of several with one name in a file the first to end")    \
    X(upstream_certificate_not_after, "sallyport_upstream_certificate_not_after_timestamp_seconds",          \
        "upstream", "subject", "file", NULL, "When a certificate that backends are shown ends")              \
    X(fetch_succeeded, "sallyport_fetch_success_timestamp_seconds", "url", "file", NULL, NULL,               \
        "When a URL last gave what is good, or said that nothing is newer; without a sample before that")    \
    X(fetch_next, "sallyport_fetch_next_timestamp_seconds", "url", "file", NULL, NULL,                       \
        "When a URL is asked next; in the past while it is being asked")                                     \
    X(endpoint_state, "sallyport_upstream_endpoint_state", "upstream", "endpoint", "host", "state",          \
        "1 for the state that an endpoint is in (up, down, ejected, drained), 0 for the others")             \
    X(endpoint_requests, "sallyport_upstream_endpoint_requests", "upstream", "endpoint", "host", NULL,       \
        "Requests and relayed connections on an endpoint now")                                               \
    X(endpoint_connections, "sallyport_upstream_endpoint_connections", "upstream", "endpoint", "host", NULL, \
        "Connections to an endpoint that are open, idle ones included")                                      \
    X(upstream_panic, "sallyport_upstream_panic", "upstream", NULL, NULL, NULL,                              \
        "1 while so few endpoints can be used that all are")                                                 \
    X(name_addresses, "sallyport_upstream_name_addresses", "name", NULL, NULL, NULL,                         \
        "Addresses that a name of endpoints has, by its last good answer")                                   \
    X(name_failing, "sallyport_upstream_name_failing", "name", NULL, NULL, NULL,                             \
        "1 while a name of endpoints cannot be looked up")

enum sp_gauge_id {
#define X(id, name, label1, label2, label3, label4, help) SP_GAUGE_##id,
    SP_GAUGES(X)
#undef X
        SP_GAUGE_COUNT
};

/* HELP and TYPE, before the first sample of the family. */
void sp_gauge_head(struct sp_buf *out, enum sp_gauge_id id);
/* One sample. A value of a label is escaped as the exposition format wants it; a byte that is not printable ASCII is
 * written as \xNN, so that no file name can spoil the page. */
void sp_gauge_sample(
    struct sp_buf *out, enum sp_gauge_id id, const char *const values[SP_GAUGE_LABELS], int64_t value);

#endif
