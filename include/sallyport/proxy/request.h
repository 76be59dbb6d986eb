/* A request on its way through, without the connection that it came by: what it is judged by beside the policy, and the head
 * that a backend is sent for it. For the exchange, and for those that only try one. Pure. Any thread. Borrow all. */
#ifndef SP_PROXY_REQUEST_H
#define SP_PROXY_REQUEST_H

#include "sallyport/headers/edits.h"
#include "sallyport/headers/forwarding.h"
#include "sallyport/headers/headers.h"
#include "sallyport/http/codec.h"
#include "sallyport/http/message.h"
#include "sallyport/policy/policy.h"

/* Judges what the policy does not: fields that must not be there, or must not be removed because it looks at them, or we
 * say them. SP_FAIL fills `fault`. */
SP_MUST_USE enum sp_rc sp_request_check(const struct sp_headers *headers, const struct sp_policy *policy,
    const struct sp_head *head, struct sp_fault *fault);

/* What is asked for, as it is judged and sent: `path` and query lie side by side in `target`. */
struct sp_request_target {
    struct sp_slice path;
    struct sp_slice target; /* origin-form, or "*" */
    struct sp_slice prefix; /* that a rewrite took away, as the client spelled it; absent: none */
    /* Where the first two stand if there was a rewrite (sp_free), else NULL: they stand in the head. */
    char *own;
};
/* By the first of the listener's rewrites that fits canonical `host`. SP_FAIL: `fault`; nothing is to be freed. */
SP_MUST_USE enum sp_rc sp_request_rewrite(const struct sp_config_listener *listener,
    const struct sp_config_limits *limits, const struct sp_head *head, struct sp_slice host,
    struct sp_request_target *out, struct sp_fault *fault);

/* Once a rule allows it. Is it for us to answer, with 200: an OPTIONS that may go no further (RFC 9110 §7.6.2)? */
bool sp_request_is_for_us(const struct sp_head *head);
/* Likewise. *upgrade: the protocol that it asks for and `rule` lists, in the head; absent: it asks for none. SP_FAIL: it asks for
 * another one, or not as RFC 9110 §7.8 has it; `fault`. */
SP_MUST_USE enum sp_rc sp_request_check_upgrade(const struct sp_head *head, const struct sp_config_rule *rule,
    struct sp_slice *upgrade, struct sp_fault *fault);

/* ---- the head that the backend is sent ---- */

#define SP_LINES_MAX                                                                                         \
    (SP_HEADERS_MAX + 4 + SP_DECISION_LINES_MAX + SP_FORWARDING_LINES_MAX + SP_EDITS_LINES_MAX)

struct sp_request_way {
    const struct sp_config *config;
    const struct sp_headers *headers;
    const struct sp_head *head;
    const struct sp_request_target *target;
    const struct sp_decision *decision; /* that allows it */
    const struct sp_header_lines *identity;
    size_t proxy; /* of config->trusted_proxies; SP_NONE */
    const struct sp_addr *source;
    uint16_t port; /* that the client connected to; 0: not known */
    const struct sp_trace *trace;
    const char *id; /* NULL: not said */
    struct sp_slice upgrade;
};
/* Where it is written. */
struct sp_request_room {
    struct sp_line lines[SP_LINES_MAX];
    char xfcc[SP_IO_BLOCK];
    char forwarding[SP_IO_BLOCK];
    char max_forwards[24];
};
/* Valid as long as `room` and all that `way` borrows. SP_FAIL: it is larger than a head may be (err->sys is EMSGSIZE). */
SP_MUST_USE enum sp_rc sp_request_head_make(const struct sp_request_way *way, struct sp_request_room *room,
    struct sp_head_out *out, struct sp_err *err);

#endif
