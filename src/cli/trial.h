/* One try of a configuration: who comes, what is asked, and everything that the daemon would make of it, by the daemon's
 * own judges in the daemon's own order. What cannot be told without a connection (an OCSP responder's answer, what
 * limits have counted, which TLS version) is not looked at; the account of it (account.h) says so. Not a door. */
#ifndef SP_CLI_TRIAL_H
#define SP_CLI_TRIAL_H

#include "offline.h"
#include "sallyport/config/cases.h"
#include "sallyport/pki/trust.h"
#include "sallyport/proxy/request.h"

/* What is tried. NULL is the default of each, as cases.h has them. Borrowed as long as the trial. */
struct sp_try {
    const char *listener, *sni, *host, *method, *path, *source;
    const char *upgrade; /* the protocol that it asks to change to; NULL: none */
    const struct sp_config_header *headers;
    size_t header_count;
    int64_t now; /* INT64_MAX: the present */
    /* where it is written down, for messages; NULL: on the command line */
    const char *file, *name;
    struct sp_pos at;
    /* who: one of the two; neither is anonymous */
    const char *cert;
    const struct sp_config_identity *identity;
};

/* Where it came to its end. */
enum sp_trial_stage {
    SP_TRIAL_HANDSHAKE, /* the client is turned away before its first request */
    SP_TRIAL_REQUEST,   /* the request is one that nobody may send */
    SP_TRIAL_RULES,
    SP_TRIAL_HEADERS, /* a rule allows it, but who it is cannot be told to the backend */
    SP_TRIAL_UPSTREAM /* it goes there */
};

struct sp_trial_step { /* as struct sp_trust_step */
    struct sp_trust_step step;
    struct sp_trial_step *next;
};

#define SP_TRIAL_DETAIL 768

struct sp_trial {
    struct sp_arena arena;
    const struct sp_try *asked;
    /* what the defaults came to */
    const struct sp_config_listener *listener;
    size_t host;           /* of listener->hosts, by SNI */
    const char *sni;       /* canonical; "": none */
    const char *host_text; /* as it stands in Host */
    const char *method, *path;
    bool is_tcp; /* the listener is of mode tcp: a connection, and none of host_text, method and path */
    struct sp_addr source; /* len 0: none */
    int64_t now;
    /* what came of it */
    enum sp_trial_stage stage;
    enum sp_refusal reason; /* none: allowed */
    unsigned status;        /* that the client is answered; 0: none, the connection ends without a word */
    char detail[SP_TRIAL_DETAIL];
    struct sp_trial_step *steps; /* of the chain, as far as it was built */
    struct sp_identity *identity;
    struct sp_standing *standing; /* NULL: not come so far */
    bool is_required_of;          /* a caller that it is has a `require` */
    struct sp_head head;
    struct sp_request_target target;  /* as it is judged and sent: the path may have been rewritten */
    struct sp_policy_request request; /* if there is a standing */
    struct sp_decision decision;      /* likewise */
    struct sp_slice upgrade;          /* that it asks for and is allowed; absent: none */
    bool is_for_us;                   /* allowed, but answered here: it may go no further */
    struct sp_header_lines lines;
    struct sp_head_out out; /* what the backend is sent; line_count 0: nothing */
};

/* SP_FAIL: it cannot be tried (a file that cannot be read, a host that is none): `diags` says why. To be freed in any
 * case. Blocks on the disk. */
SP_MUST_USE enum sp_rc sp_trial_run(
    struct sp_offline *o, const struct sp_try *asked, struct sp_trial *out, struct sp_diags *diags);
void sp_trial_free(struct sp_trial *t);

/* The callers that it is; empty before the rules are asked. */
struct sp_caller_ids sp_trial_callers(const struct sp_trial *t);
struct sp_connection sp_trial_connection(const struct sp_trial *t);

#endif
