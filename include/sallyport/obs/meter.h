/* Metrics: one table of what is counted, one block of counters a thread, summed when somebody looks.
 * A block is written by its own thread only (relaxed atomics, no lock, no shared cache line) and read by any. */
#ifndef SP_OBS_METER_H
#define SP_OBS_METER_H

#include <stdatomic.h>

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/obs/refusal.h"

/* X(identifier, prometheus name, type, help). A gauge is counted up and down by the same or different threads:
 * its value is the sum over the blocks. */
#define SP_METERS(X)                                                                                         \
    X(connections_accepted, "sallyport_connections_accepted_total", counter, "Connections accepted")         \
    X(connections_open, "sallyport_connections_open", gauge, "Client connections open, handshakes included") \
    X(handshakes_open, "sallyport_handshakes_open", gauge, "Handshakes in progress")                         \
    X(handshakes_done, "sallyport_handshakes_total", counter, "Handshakes completed and let in")             \
    X(handshakes_resumed, "sallyport_handshakes_resumed_total", counter,                                     \
        "Handshakes of clients that came back to a session, without a new proof")                            \
    X(tls_sessions, "sallyport_tls_sessions", gauge, "TLS sessions kept for clients that come back")         \
    X(tls_sessions_evicted, "sallyport_tls_sessions_evicted_total", counter,                                 \
        "TLS sessions that went before their time, by limits.sessions, to make room for others")             \
    X(chain_cache_hits, "sallyport_chain_cache_hits_total", counter,                                         \
        "Handshakes whose chain was accepted lately, and not verified again")                                \
    X(chain_cache_misses, "sallyport_chain_cache_misses_total", counter,                                     \
        "Handshakes whose chain was verified")                                                               \
    X(ocsp_queries, "sallyport_ocsp_queries_total", counter,                                                 \
        "Questions sent to OCSP responders about clients")                                                   \
    X(ocsp_cache_hits, "sallyport_ocsp_cache_hits_total", counter,                                           \
        "Clients about whom an OCSP answer was remembered")                                                  \
    X(ocsp_failures, "sallyport_ocsp_failures_total", counter,                                               \
        "Questions about clients that brought no usable OCSP answer")                                        \
    X(ocsp_let_in, "sallyport_ocsp_unreachable_accepted_total", counter,                                     \
        "Clients let in without an OCSP answer, by ocsp_unreachable: accept")                                \
    X(sessions_open, "sallyport_sessions_open", gauge, "Connections let in and open")                        \
    X(views, "sallyport_configurations_in_use", gauge,                                                       \
        "Configurations that workers go by: one each, and those that requests in flight began by")           \
    X(brake_held, "sallyport_revocation_brake_held", gauge,                                                  \
        "Connections that a change would have ended, held open by revocation_max_kill_percent")              \
    X(accept_paused, "sallyport_accept_paused_total", counter,                                               \
        "Times that accepting paused for want of descriptors or memory")                                     \
    X(requests, "sallyport_requests_total", counter, "Requests read, whatever became of them")               \
    X(requests_open, "sallyport_requests_in_flight", gauge, "Exchanges in progress")                         \
    X(responses_1xx, "sallyport_responses_total{class=\"1xx\"}", counter, "Answers sent, by status class")   \
    X(responses_2xx, "sallyport_responses_total{class=\"2xx\"}", counter, "Answers sent, by status class")   \
    X(responses_3xx, "sallyport_responses_total{class=\"3xx\"}", counter, "Answers sent, by status class")   \
    X(responses_4xx, "sallyport_responses_total{class=\"4xx\"}", counter, "Answers sent, by status class")   \
    X(responses_5xx, "sallyport_responses_total{class=\"5xx\"}", counter, "Answers sent, by status class")   \
    X(bytes_in, "sallyport_request_body_bytes_total", counter, "Bytes of request bodies relayed")            \
    X(bytes_out, "sallyport_response_body_bytes_total", counter, "Bytes of response bodies relayed")         \
    X(tunnels_open, "sallyport_tunnels_open", gauge,                                                         \
        "Tunnels open: connections in mode tcp, and upgraded ones")                                          \
    X(tunnels, "sallyport_tunnels_total", counter, "Tunnels opened")                                         \
    X(tunnel_bytes_in, "sallyport_tunnel_bytes_total{direction=\"in\"}", counter,                            \
        "Bytes relayed in tunnels, from clients (in) and to them (out)")                                     \
    X(tunnel_bytes_out, "sallyport_tunnel_bytes_total{direction=\"out\"}", counter,                          \
        "Bytes relayed in tunnels, from clients (in) and to them (out)")                                     \
    X(upstream_connects, "sallyport_upstream_connects_total", counter, "Connections opened to endpoints")    \
    X(upstream_connect_failures, "sallyport_upstream_connect_failures_total", counter,                       \
        "Connections to endpoints that failed or timed out")                                                 \
    X(upstream_reuses, "sallyport_upstream_reuses_total", counter, "Exchanges on a kept-alive connection")   \
    X(retries_stale, "sallyport_upstream_retries_total{cause=\"stale\"}", counter,                           \
        "Exchanges repeated: a kept-alive connection was closed, none came about, one broke before a byte")  \
    X(retries_connect, "sallyport_upstream_retries_total{cause=\"connect\"}", counter,                       \
        "Exchanges repeated: a kept-alive connection was closed, none came about, one broke before a byte")  \
    X(retries_reset, "sallyport_upstream_retries_total{cause=\"reset\"}", counter,                           \
        "Exchanges repeated: a kept-alive connection was closed, none came about, one broke before a byte")  \
    X(upstream_checks_ok, "sallyport_upstream_checks_total{result=\"ok\"}", counter,                         \
        "Health checks of endpoints")                                                                        \
    X(upstream_checks_failed, "sallyport_upstream_checks_total{result=\"failed\"}", counter,                 \
        "Health checks of endpoints")                                                                        \
    X(upstream_ejections, "sallyport_upstream_ejections_total", counter,                                     \
        "Times that an endpoint was left out because requests on it failed")                                 \
    X(name_answers, "sallyport_upstream_name_lookups_total{result=\"ok\"}", counter,                         \
        "Look-ups of names of endpoints")                                                                    \
    X(name_failures, "sallyport_upstream_name_lookups_total{result=\"failed\"}", counter,                    \
        "Look-ups of names of endpoints")                                                                    \
    X(upstream_idle, "sallyport_upstream_idle_connections", gauge, "Kept-alive connections to endpoints")    \
    X(log_dropped, "sallyport_log_dropped_total", counter, "Log lines dropped: the reader or disk too slow") \
    X(audit_dropped, "sallyport_audit_dropped_total", counter,                                               \
        "Audit records dropped: the reader or disk too slow")                                                \
    X(log_failed, "sallyport_log_write_failures_total", counter, "Log lines lost to a write error")          \
    X(audit_failed, "sallyport_audit_write_failures_total", counter,                                         \
        "Audit records lost to a write error, and log lines that shared their output")                       \
    X(reloads, "sallyport_reloads_total{result=\"ok\"}", counter, "Configuration reloads")                   \
    X(reload_failures, "sallyport_reloads_total{result=\"failed\"}", counter, "Configuration reloads")       \
    X(renewals, "sallyport_renewals_total{result=\"ok\"}", counter,                                          \
        "Times that files which changed were read anew, without a signal")                                   \
    X(renewal_failures, "sallyport_renewals_total{result=\"failed\"}", counter,                              \
        "Times that files which changed were read anew, without a signal")                                   \
    X(fetches_ok, "sallyport_fetches_total{result=\"ok\"}", counter, "Fetches of CRLs and staples")          \
    X(fetches_unchanged, "sallyport_fetches_total{result=\"unchanged\"}", counter,                           \
        "Fetches of CRLs and staples")                                                                       \
    X(fetches_failed, "sallyport_fetches_total{result=\"failed\"}", counter, "Fetches of CRLs and staples")  \
    X(generation, "sallyport_configuration_generation", gauge, "Number of the configuration in force")       \
    X(loaded_at, "sallyport_configuration_loaded_timestamp_seconds", gauge,                                  \
        "When the configuration in force was loaded")

enum sp_meter_id {
#define X(id, name, type, help) SP_METER_##id,
    SP_METERS(X)
#undef X
        SP_METER_COUNT
};

struct sp_meter_block {
    _Alignas(64) _Atomic uint64_t values[SP_METER_COUNT];
    _Atomic uint64_t refusals[SP_REFUSAL_COUNT];
    _Atomic uint64_t sessions_ended[SP_REFUSAL_COUNT];
};

/* Only the thread that owns `b`. */
static inline void sp_meter_add(struct sp_meter_block *b, enum sp_meter_id id, uint64_t n)
{
    atomic_store_explicit(
        &b->values[id], atomic_load_explicit(&b->values[id], memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void sp_meter_sub(struct sp_meter_block *b, enum sp_meter_id id, uint64_t n)
{
    sp_meter_add(b, id, (uint64_t)0 - n);
}

static inline void sp_meter_set(struct sp_meter_block *b, enum sp_meter_id id, uint64_t n)
{
    atomic_store_explicit(&b->values[id], n, memory_order_relaxed);
}

static inline void sp_meter_refuse(struct sp_meter_block *b, enum sp_refusal r)
{
    atomic_store_explicit(&b->refusals[r], atomic_load_explicit(&b->refusals[r], memory_order_relaxed) + 1,
        memory_order_relaxed);
}

static inline void sp_meter_end_session(struct sp_meter_block *b, enum sp_refusal r)
{
    atomic_store_explicit(&b->sessions_ended[r],
        atomic_load_explicit(&b->sessions_ended[r], memory_order_relaxed) + 1, memory_order_relaxed);
}

/* The blocks of all threads. Blocks live as long as the set, so a reader never races with a thread's end. */
struct sp_meters;

SP_MUST_USE struct sp_meters *sp_meters_new(void);
void sp_meters_free(struct sp_meters *m);
/* A block for one more thread, or NULL without memory. Any thread; takes a lock. */
SP_MUST_USE struct sp_meter_block *sp_meters_add_block(struct sp_meters *m);
uint64_t sp_meters_sum(struct sp_meters *m, enum sp_meter_id id);
uint64_t sp_meters_sum_refusals(struct sp_meters *m, enum sp_refusal r);
uint64_t sp_meters_sum_sessions_ended(struct sp_meters *m, enum sp_refusal r);
/* Prometheus text exposition format 0.0.4: HELP and TYPE once a family, all families of the table, refusals and
 * ended sessions by reason (the never-seen ones as 0), and sallyport_build_info{version="..."} 1. */
void sp_meters_print(struct sp_meters *m, struct sp_buf *out);

#endif
