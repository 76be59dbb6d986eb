/* Where a request came from and by which way, as a backend is told: X-Forwarded-*, Forwarded (RFC 7239), Via (RFC 9110
 * §7.6.3) and traceparent (W3C Trace Context). Pure functions. What clients say in the first two is dropped by whoever writes
 * the head (sp_headers_is_ours), so that a backend hears them from us or not at all. Any thread. */
#ifndef SP_HEADERS_FORWARDING_H
#define SP_HEADERS_FORWARDING_H

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/http/message.h"

/* Borrowed for as long as the lines are used. */
struct sp_forwarding_about {
    unsigned which;             /* bits of sp_forwarding (config.h): what the backend is told */
    const struct sp_head *head; /* the client's request */
    const struct sp_addr
        *client;   /* who connected, or whom the PROXY header names; NULL, without one, or unix: unknown */
    uint16_t port; /* that it connected to; 0: not known, and then not said */
    struct sp_slice prefix; /* that a rewrite took away from its path; absent: none */
    /* The peer is a trusted proxy whose own words are continued where they are well-formed; where they are not, and of
     * everybody else, they are as if they had not been said. */
    bool continues;
};

#define SP_FORWARDING_LINES_MAX 7

/* Writes the lines and how many; values that are made stand in `room`. A Via is one more line behind those of the client,
 * which stay (but see sp_via_is_good). SP_FAIL: `room` is too small (err->sys is EMSGSIZE). */
SP_MUST_USE enum sp_rc sp_forwarding_make(const struct sp_forwarding_about *about, char *room, size_t size,
    struct sp_line lines[SP_FORWARDING_LINES_MAX], size_t *count, struct sp_err *err);

/* Our own element of a Via, for a message that came as HTTP/1.`minor`. Static. */
struct sp_slice sp_via_element(unsigned minor);
bool sp_name_is_via(struct sp_slice name);
/* Is it a list as RFC 9110 §7.6.3 has it? One that is not is not passed on. */
bool sp_via_is_good(struct sp_slice value);

/* ---- the trace that a request belongs to ---- */

#define SP_TRACE_ID_LEN 32

struct sp_trace {
    char id[SP_TRACE_ID_LEN + 1]; /* "": it belongs to none */
    /* What is said in traceparent instead of what the client said in it, without any tracestate. "": what the client
     * said goes on as it came. */
    char made[56];
};
/* A well-formed traceparent goes on with its tracestate; of one that is malformed, or there more than once, a new trace is
 * begun out of `random`. */
void sp_trace_read(const struct sp_head *head, const uint64_t random[3], struct sp_trace *out);
/* traceparent or tracestate. */
bool sp_name_is_trace(struct sp_slice name);
/* Whether the client's field of such a name goes on. */
bool sp_trace_keeps(const struct sp_trace *trace);

#endif
