/* What the sources of this room share: worker, session, exchange. Not a door.
 *
 *   session/   worker.c, one a thread: sessions, view of the snapshot, scratch space; session.c, one connection that was let in: its
 *              transport, who it is, its one timer; what a change, or the clock, means for open ones: reach.c judge.c ending.c
 *              census.c wheel.c
 *   exchange/  one request and its response: exchange.c relay.c; what finds room: admission.c; what may be repeated: retry.c
 *   heads/     what is asked for, and heads on their way to either side
 *   tunnel/    bytes both ways, after an upgrade or in mode tcp
 *   record/    what is written down of it
 *
 * Everything here belongs to one worker's thread. */
#ifndef SP_PROXY_IMPL_H
#define SP_PROXY_IMPL_H

#include "proxy/session/wheel.h"
#include "proxy/tunnel/tunnel.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/random.h"
#include "sallyport/http/codec.h"
#include "sallyport/http/path.h"
#include "sallyport/proxy/request.h"
#include "sallyport/proxy/worker.h"
#include "sallyport/upstream/upstream.h"

/* The worker's own handle on a snapshot: the shared count is touched once a reload, not once a request. */
struct sp_view {
    struct sp_meter_block *meter;
    struct sp_snapshot *snapshot; /* one reference */
    struct sp_targets *targets;
    bool has_limits; /* some caller has */
    unsigned users;  /* sessions and exchanges, and the worker while it is the current one */
};

/* The walk over all sessions (reach.c has its phases). */
struct sp_reach {
    int phase;
    /* A mark among `sessions`: those behind it are still to be visited. */
    struct sp_list bookmark;
    struct sp_task task;
    struct sp_census *census; /* one reference, or NULL: nobody counts first */
    struct sp_memo *memo;
    uint64_t open, refused;  /* counted so far */
    bool anew;               /* everybody is judged, whatever his trust */
    uint64_t judged_anew_ms; /* when that last began; 0: never */
};

struct sp_worker {
    struct sp_worker_options o;
    struct sp_desk desk;
    struct sp_pool blocks, runs, exchanges;
    struct sp_h1_limits limits; /* of request heads, from the view */
    struct sp_upstreams *upstreams;
    struct sp_view *view;
    struct sp_worker_update *missed; /* for want of memory; `retry` tries again */
    struct sp_timer *retry;
    struct sp_list sessions;
    struct sp_list
        warm; /* of them, those that keep their transport's buffers; the one that was used last is at the end */
    unsigned warm_count;
    struct sp_list unsure; /* tunnels of whose sides one may have been reset (tunnel.c) */
    struct sp_reach reach;
    struct sp_wheel wheel; /* of the sessions that the clock will end */
    struct sp_timer *tick; /* once a second while there are sessions */
    struct sp_task ripe;
    bool ticking;
    struct sp_random random;
    uint64_t grace_ms; /* how long a session that is to leave may still begin a request */
    bool draining;
    struct sp_request_room room; /* scratch for one head on its way out */
    char date[SP_HTTP_DATE_MAX]; /* of date_s, made once a second */
    int64_t date_s;
};

/* ---- exchange ---- */
/*
 *   HEAD --> JUDGE --> CONNECT --> CONNECTING --> SEND --> REPLAY --> RELAY --> FLUSH --> DONE --> HEAD
 *                      ^  ^  |        |  |         |          |        |  |
 *      waits for a ----+  |  |        |  |         |          |        |  +-- 101 that was asked for
 *      connection,        |  |        |  |         |          |        |      (sp_tunnel_begin) --> TUNNEL
 *      SP_WAIT_QUEUE      +--(failed: the next endpoint)-- or --(reset: sp_retry_may)
 *
 *   TCP --> CONNECT --> CONNECTING --> TUNNEL --> (the session ends)
 *
 * From every step before FLUSH, sp_exchange_refuse leads to FLUSH with an answer of our own, or in mode tcp to the end. The
 * session may end after DONE, or at any step when the client is gone or its answer cannot be completed.
 */
enum sp_step {
    SP_STEP_HEAD,
    SP_STEP_TCP, /* mode tcp: the first; there is no head, and no second exchange */
    SP_STEP_JUDGE,
    SP_STEP_CONNECT,
    SP_STEP_CONNECTING,
    SP_STEP_SEND,
    SP_STEP_REPLAY, /* of a body that another connection has had already */
    SP_STEP_RELAY,
    SP_STEP_TUNNEL,
    SP_STEP_FLUSH,
    SP_STEP_DONE
};

/* What a step tells the loop that runs them. */
enum sp_next {
    SP_NEXT_STEP,  /* go on with exchange->step */
    SP_NEXT_WAIT,  /* an edge or the timer will come */
    SP_NEXT_CLOSE, /* the session ends in good order: what was written goes out, then close_notify */
    SP_NEXT_CUT,   /* the session is cut, so that the client sees an incomplete answer as one */
};

enum sp_half { SP_HALF_HEAD, SP_HALF_BODY, SP_HALF_DONE };

#define SP_REQUEST_ID_MAX 64

/* What was sent of a request's body, for another endpoint (retry.c). */
struct sp_kept {
    char *block;  /* of the worker's, or NULL */
    size_t len;   /* bytes in it: the first of the body */
    size_t at;    /* of these, what REPLAY has sent */
    size_t room;  /* retries.body, but a block at most; 0: such a request is not repeated */
    bool overrun; /* more was sent than there was room for: not to be repeated */
};

struct sp_exchange {
    struct sp_session *session;
    /* From the end of HEAD to DONE the one that it began with; of a tunnel the session's; NULL: there is nothing to record. */
    struct sp_view *view;
    uint64_t generation; /* that it was decided by */
    enum sp_step step;
    const struct sp_head *head; /* the request; valid until DONE is over */
    const struct sp_head *seen; /* of a request without a head: what the record may tell of it, or NULL */
    char id[SP_REQUEST_ID_MAX + 1];
    struct sp_request_target
        target;                  /* from JUDGE on (sp_exchange_aim); until then, and in mode tcp, absent */
    struct sp_trace trace;       /* likewise */
    struct sp_decision decision; /* its indexes are of the view */
    const char *reports;         /* the text of those that it knows no more, or NULL */
    bool counted;                /* by the limits of the decision's caller */
    bool admitted;               /* its blocks are reserved (admission.c) */
    struct sp_slice upgrade; /* the protocol that it asks for and its rule lists, in the head; absent: none */
    /* The latest end, monotonic ms; 0: any. It comes by the session's one timer. */
    uint64_t deadline_ms;
    enum sp_refusal deadline_reason;
    /* the backend's side */
    struct sp_errand errand;
    struct sp_buf preface; /* what errand.preface points to */
    struct sp_upconn *up;
    /* How the last endpoint failed, which is told when there is no other: own_detail says more. */
    enum sp_refusal fault;
    unsigned fault_status;
    unsigned resets, reconnects; /* repeated so far: after a reset, after a connect that failed */
    struct sp_kept kept;
    struct sp_tunnel tunnel;
    /* the two halves of a relay */
    enum sp_half request;  /* BODY: more of it may come; DONE */
    enum sp_half response; /* HEAD: none yet; BODY; DONE: all of it given to the client's codec */
    const struct sp_head *response_head; /* the backend's final one; valid while `up` is */
    bool request_broken;    /* the backend takes no more of the body: only its answer still counts */
    bool shed;              /* turned away for want of room: its answer goes out at once or not at all */
    bool close;             /* the client's connection ends with this exchange */
    bool answered;          /* a final response head was given to the client's codec */
    bool continued;         /* 100 Continue was passed on */
    uint64_t retry_after_s; /* told with an answer of our own; 0: not */
    /* for the record */
    unsigned status;
    enum sp_refusal reason;
    const char *detail;
    char *own_detail; /* where `detail` is no literal, or NULL */
    uint64_t bytes_in, bytes_out;
    uint64_t start_us, connect_start_us, connect_us, sent_us, response_us;
};

/* ---- session ---- */
enum sp_wait {
    SP_WAIT_NOTHING,
    SP_WAIT_IDLE,
    SP_WAIT_HEAD,
    SP_WAIT_QUEUE,
    SP_WAIT_CONNECT,
    SP_WAIT_REQUEST_BODY,
    SP_WAIT_RESPONSE,
    SP_WAIT_CLIENT,
    SP_WAIT_TUNNEL,
    SP_WAIT_LINGER,
    SP_WAIT_LEAVE
};

struct sp_session {
    struct sp_list link, warm_link;
    struct sp_grave grave;
    struct sp_worker *worker;
    struct sp_view *view;
    const struct sp_snapshot_listener *listener; /* of the view; NULL: it is gone */
    size_t host;              /* of the listener's: the one that the client asked for by SNI */
    bool had_hosts;           /* the listener has, or had, more than one */
    struct sp_trust *trust;   /* by which the client was last accepted; one reference; NULL: judge it again */
    struct sp_handover *who;  /* listener, peer, SNI, TLS version, identity, transport: owned */
    struct sp_stream *stream; /* NULL in mode tcp, and while lingering */
    struct sp_watch *watch;
    struct sp_timer *timer;
    struct sp_task resume; /* more to do than one turn may take */
    struct sp_config_listener_timeouts timeouts;
    struct sp_standing *standing;  /* of the view; NULL: not computed yet */
    bool rules_changed;            /* since a walk found it fit, or it came */
    struct sp_limit_holds *limits; /* where it and its requests are counted; NULL: no limit concerns it */
    bool uncounted;        /* by the view's limits, for want of room: it is tried again before a request */
    struct sp_arena arena; /* what backends are told, of the view */
    struct sp_told *told_upstreams;
    enum sp_wait wait;
    struct sp_wheel_entry clock;
    int64_t too_old_s;          /* by client_auth.max_session_age; SP_WHEEL_NEVER */
    uint64_t began_ms;          /* monotonic */
    enum sp_refusal end_reason; /* why we end it, or none; `end_detail` may be NULL */
    char *end_detail;
    enum sp_refusal held;         /* for what it would be ended but for the brake */
    bool is_tcp;                  /* its bytes are relayed as they come */
    bool is_bulk;                 /* resumed behind all others, a few a turn */
    bool is_due;                  /* the time of its wait is over, and what came by then is still looked at */
    bool reset;                   /* by the client; told by the kernel while nobody read */
    uint64_t head_began_ms;       /* monotonic; 0: the head was there at once */
    bool has_head_blocks;         /* reserved for a head that is not complete (admission.c) */
    bool cut;                     /* an exchange was broken off */
    bool told;                    /* its end was logged */
    unsigned served;              /* requests begun; may wrap */
    bool leaving;                 /* no exchange after the present one */
    bool lingering;               /* our direction is being closed; what still comes is read and dropped */
    bool ended;                   /* our direction is closed */
    size_t lingered;              /* bytes of that */
    struct sp_exchange *exchange; /* of the worker's; NULL while it waits for a head */
};

static inline bool sp_session_is_busy(const struct sp_session *s)
{
    return s->exchange != NULL && s->exchange->view != NULL;
}

/* worker.c */
void sp_view_drop(struct sp_view *v);       /* one user fewer */
void sp_worker_forget(struct sp_worker *w); /* a session ended */

/* The present time as a Date field's value; valid until the next call. */
struct sp_slice sp_worker_date(struct sp_worker *w);

/* session.c */
void sp_session_start(struct sp_worker *w, struct sp_handover *h); /* takes over h */
struct sp_session *sp_session_of(struct sp_list *link);
/* The session ends: what was written goes out, then close_notify and FIN; what the client still sends is read
 * and dropped for a while, so that its answer is not lost to a reset. */
void sp_session_close(struct sp_session *s);
/* The session ends now, without close_notify: an answer that is not complete must not look so. */
void sp_session_cut(struct sp_session *s);
/* Its exchange has come to nothing but waiting for a head: it goes back. */
void sp_session_rest(struct sp_session *s);
/* No exchange after the present one; if it is idle, it ends after the worker's grace, in which a request is
 * still served. */
void sp_session_dismiss(struct sp_session *s);
/* Moves to the worker's current view, with its tunnel if it is one, unless another exchange is on its way. */
void sp_session_move(struct sp_session *s);
/* Shares `trust`, in place of the one before; NULL: none. */
void sp_session_trust(struct sp_session *s, struct sp_trust *trust);
/* It has come with another request. */
void sp_session_warm(struct sp_session *s);
/* To be run at the end of this turn, or of a later one. */
void sp_session_go_on(struct sp_session *s);
/* What its relay or tunnel has moved in one run. */
void sp_session_moved(struct sp_session *s, uint64_t bytes);
/* What the timer is for from now on. The same wait again goes on with the old deadline unless `renew`. */
void sp_session_wait(struct sp_session *s, enum sp_wait wait, uint64_t ms, bool renew);
/* The exchange has an end by now (sp_exchange_end_by) that may be earlier than what is waited for. */
void sp_session_wait_at_most(struct sp_session *s);

/* ending.c */
/* It may not stay: idle, it is closed; with an exchange in flight, it is cut, or (revocation_in_flight:
 * finish) closed after the answer. `detail` is copied. Afterwards the session may be gone. */
void sp_session_refuse(struct sp_session *s, enum sp_refusal reason, const char *detail);
/* One event and one count, if we ended it and that was not told yet. */
void sp_session_tell_end(struct sp_session *s);
/* The brake keeps it; it does not any more. */
void sp_session_hold(struct sp_session *s, enum sp_refusal reason);
void sp_session_release(struct sp_session *s);
/* When the clock ends it: by its chain, and by what `l` (NULL: as before) says of its age. */
void sp_session_set_clock(struct sp_session *s, const struct sp_snapshot_listener *l);
SP_MUST_USE enum sp_rc sp_clock_init(struct sp_worker *w);
void sp_clock_start(struct sp_worker *w); /* there is a session */
void sp_clock_free(struct sp_worker *w);

/* reach.c */
void sp_reach_init(struct sp_worker *w);
/* Visits every session; `anew`: judges each, though its trust be the same. Takes over a reference of
 * `census`, which may be NULL. */
void sp_reach_start(struct sp_worker *w, bool anew, struct sp_census *census);
void sp_reach_stop(struct sp_worker *w);
/* One that arrives: false when it was refused, and may be gone. */
bool sp_reach_admits(struct sp_session *s);

void sp_reach_answer(struct sp_worker *w, const struct sp_census *census, enum sp_census_answer answer);

/* census.c */
/* A worker's part. `complete`: all of its sessions were counted. */
void sp_census_sign(struct sp_census *c, uint64_t open, uint64_t refused, bool complete);

/* exchange.c */
/* From here on there is something to record. */
void sp_exchange_begin(struct sp_exchange *x);
/* x->own_detail, in place of the one before. Returns it; NULL without memory. */
const char *sp_exchange_own_detail(struct sp_exchange *x, const char *text);
void sp_exchange_leave_backend(
    struct sp_exchange *x); /* closes its connection if there is one, and waits for none */
void sp_exchange_init(struct sp_exchange *x, struct sp_session *s);
/* Goes on as far as it can; afterwards the exchange, and the session with it, may be gone. */
void sp_exchange_run(struct sp_exchange *x);
/* The deadline of what it waits for has passed. */
void sp_exchange_timeout(struct sp_exchange *x, enum sp_wait wait);
/* Writes the record (if a request was read) and lets go of the backend: the session ends now. */
void sp_exchange_abandon(struct sp_exchange *x, enum sp_refusal reason, const char *detail);
/* The end of the exchange at `ms` (monotonic), unless it has an earlier one. */
void sp_exchange_end_by(struct sp_exchange *x, uint64_t ms, enum sp_refusal reason);
/* It is past that end. */
bool sp_exchange_is_overdue(const struct sp_exchange *x);
/* Answers it (sp_answer), or in mode tcp, where nothing can be said, ends the session. `detail` is borrowed. */
enum sp_next sp_exchange_refuse(
    struct sp_exchange *x, unsigned status, enum sp_refusal reason, const char *detail);
/* The backend failed: the request is repeated if that can do no harm (retry.c), else answered with `status`; when an answer
 * has begun already, the session is cut. */
enum sp_next sp_exchange_backend_failed(
    struct sp_exchange *x, enum sp_refusal reason, unsigned status, const char *detail);

/* relay.c */
enum sp_next sp_relay(struct sp_exchange *x);

/* trailers.c: send_end of either side, with the trailers that may go on. */
enum sp_rc sp_send_request_end(struct sp_exchange *x);
enum sp_rc sp_send_response_end(struct sp_exchange *x);

/* connect.c */
/* What it wants of the pool, once it is judged; false: *refused is the next step. */
bool sp_exchange_set_out(struct sp_exchange *x, enum sp_next *refused);
enum sp_next sp_connect(struct sp_exchange *x);    /* the step */
enum sp_next sp_connecting(struct sp_exchange *x); /* the step */
/* The endpoint failed like that: leaves it, and asks another one. `detail` is copied. */
enum sp_next sp_connect_next(
    struct sp_exchange *x, enum sp_refusal fault, unsigned status, const char *detail);
enum sp_next sp_connect_full(struct sp_exchange *x, enum sp_refusal reason); /* queue_full, queue_timeout */

/* retry.c */
/* Once a request is judged: how much of its body is kept. */
void sp_retry_begin(struct sp_exchange *x);
/* These bytes of the body went to the backend. */
void sp_retry_keep(struct sp_exchange *x, struct sp_slice data);
void sp_retry_forget(struct sp_exchange *x); /* it will not be repeated; once, or any number of times */
/* The connection broke, not a byte of a response has come. Whether to try again (sp_retry_again, once it
 * has left the backend). Takes from the budget. */
bool sp_retry_may(struct sp_exchange *x, enum sp_refusal reason);
void sp_retry_again(struct sp_exchange *x);
/* It was a kept-alive connection that turned out closed, which is not the endpoint's fault. */
bool sp_retry_is_stale(const struct sp_exchange *x, enum sp_refusal reason);
enum sp_next sp_replay(struct sp_exchange *x); /* the step */

/* admission.c: limits.requests and limits.memory, over all workers */
/* A head has begun and is not complete: its blocks. False: there are none, and it is to be refused. */
bool sp_admit_head(struct sp_session *s);
void sp_admit_head_end(struct sp_session *s); /* once, or any number of times */
/* A request (a connection in mode tcp) and all the blocks that it can need. none, or why not. */
enum sp_refusal sp_admit(struct sp_exchange *x);
void sp_admit_end(struct sp_exchange *x); /* once, or any number of times */

/* upgrade.c: x->upgrade, or what to answer. */
SP_MUST_USE enum sp_rc sp_upgrade_judge(struct sp_exchange *x, struct sp_fault *fault);
/* Whether what was changed to may go on by that rule; an absent token always. */
bool sp_upgrade_is_allowed(const struct sp_config_rule *rule, struct sp_slice token);

/* hashing.c: what balance: hash goes by. */
/* `head` NULL: mode tcp. */
uint64_t sp_hash_of(
    const struct sp_handover *who, const struct sp_head *head, const struct sp_config_upstream *u);

/* preface.c: the PROXY header into x->errand. SP_FAIL: `err`, EMSGSIZE or ENOMEM in err->sys. */
SP_MUST_USE enum sp_rc sp_preface_make(struct sp_exchange *x, struct sp_err *err);

/* tcp.c: the first step of a connection in mode tcp. */
enum sp_next sp_tcp_enter(struct sp_exchange *x);
void sp_tcp_request(const struct sp_session *s, struct sp_policy_request *out);

/* answer.c: a small answer of our own; leads to FLUSH. */
enum sp_next sp_answer(struct sp_exchange *x, unsigned status, enum sp_refusal reason, const char *detail);

/* counting.c */
/* Computes it, if that was not done yet. False: no memory. */
bool sp_session_has_standing(struct sp_session *s);
/* One that arrives is counted by the limits of its callers. False: it was refused, and may be gone. */
bool sp_session_count(struct sp_session *s);
/* By another policy, when it has moved to that one's view. False: there was no room, and it is `uncounted`. */
bool sp_session_recount(struct sp_session *s);
void sp_session_uncount(struct sp_session *s); /* its end; no request of it is in flight */
/* A request that a rule allows is counted until sp_exchange_leave: until nothing is left of it but to flush its answer, or
 * it is broken off. False: *refused is the next step. */
bool sp_exchange_enter(struct sp_exchange *x, enum sp_next *refused);
void sp_exchange_leave(struct sp_exchange *x); /* once, or any number of times */
/* It had left, and is counted again, as `caller` of the session's view, though it were one too many. */
void sp_exchange_reenter(struct sp_exchange *x, size_t caller);

/* misdirected.c: `host` is canonical. */
bool sp_is_misdirected(const struct sp_session *s, struct sp_slice host);
enum sp_next sp_answer_misdirected(struct sp_exchange *x, struct sp_slice host);

/* aim.c: what it asks for and which trace it belongs to, before it is judged: x->target, x->trace. SP_FAIL: `fault`. */
SP_MUST_USE enum sp_rc sp_exchange_aim(struct sp_exchange *x, struct sp_slice host, struct sp_fault *fault);
void sp_exchange_unaim(struct sp_exchange *x); /* it is over: once, or any number of times */
/* Fills `out` with lines from the worker's scratch. SP_FAIL: `err` says why, as sp_headers_make does. */
enum sp_rc sp_request_head_out(struct sp_exchange *x, struct sp_head_out *out, struct sp_err *err);
/* response_head.c */
void sp_response_head_out(struct sp_exchange *x, const struct sp_head *head, struct sp_head_out *out);
/* The same for a 1xx, a 101 included: it has no body, and says nothing about the connection's end. */
void sp_interim_head_out(struct sp_exchange *x, const struct sp_head *head, struct sp_head_out *out);

/* identity_headers.c: made once a session, view and upstream. NULL: `err` says why, as sp_headers_make does. */
const struct sp_header_lines *sp_identity_lines_of(struct sp_session *s, size_t upstream, struct sp_err *err);
void sp_identity_lines_forget(struct sp_session *s);
/* Which of config->trusted_proxies it is; SP_NONE. */
size_t sp_proxy_of(const struct sp_session *s);

/* record.c */
/* One exchange is over: counts it, and writes its records. */
void sp_record_exchange(const struct sp_exchange *x);

/* audit.c */
/* Right after the policy has decided. */
void sp_count_decision(const struct sp_exchange *x);
/* If it was one of the caller's limits that refused it. */
void sp_count_limit(const struct sp_exchange *x);
void sp_audit_exchange(const struct sp_exchange *x);
void sp_audit_end(const struct sp_session *s, enum sp_refusal reason);

#endif
