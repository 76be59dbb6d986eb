/* What the files of the demo share. The stage is everything that stands while it plays:
 *
 *   client (curl, or client.c) --mTLS--> proxy (child.c: this program's `run`) --http--> backend.c, twice
 *           over connection.c              |
 *                                          +-- log lines through a pipe --> log_line.c
 *
 * folder.c the temporary folder     certificate.c, pki.c what stands in it     stage.c builds all of it up and takes it down
 * cases.c  what is tried            try.c  trying it (--run-once)              demo.c  the two ways to play */
#ifndef SP_DEMO_IMPL_H
#define SP_DEMO_IMPL_H

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

#include "sallyport/base/addr.h"
#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"

/* ---- folder.c: one flat folder of mode 0700 under $TMPDIR or /tmp ---- */
struct sp_demo_folder {
    char path[PATH_MAX]; /* absolute; "" while there is none */
};

SP_MUST_USE enum sp_rc sp_demo_folder_make(struct sp_demo_folder *f, struct sp_err *err);
/* A new file of mode 0600. */
SP_MUST_USE enum sp_rc sp_demo_folder_write(
    const struct sp_demo_folder *f, const char *name, struct sp_slice text, struct sp_err *err);
/* One file takes the place of another, at once. */
SP_MUST_USE enum sp_rc sp_demo_folder_rename(
    const struct sp_demo_folder *f, const char *name, const char *onto, struct sp_err *err);
/* The folder with everything in it; harmless when there is none. */
SP_MUST_USE enum sp_rc sp_demo_folder_remove(struct sp_demo_folder *f, struct sp_err *err);

/* ---- pki.c: the certificates, keys and CRLs ---- */
#define SP_DEMO_BILLING_URI   "spiffe://demo.example/ns/billing/sa/batch"
#define SP_DEMO_AUDITOR_EMAIL "ann@audit.example.com"
#define SP_DEMO_PARTNER_URI   "spiffe://partner.example/ordering"
#define SP_DEMO_CRL           "issuing.crl"
#define SP_DEMO_NEXT_CRL      "issuing.next.pem"

/* ca.pem, partner-ca.pem, root.crl, issuing.crl, partner.crl, and NAME.pem with NAME.key for the server and each
 * client; and issuing.next.pem, the list that takes the place of issuing.crl when the auditor is revoked. No key
 * of a CA is written. */
SP_MUST_USE enum sp_rc sp_demo_pki_write(const struct sp_demo_folder *f, struct sp_err *err);

/* ---- backend.c: a thread that answers each request with what it received ---- */
struct sp_demo_backend;

SP_MUST_USE enum sp_rc sp_demo_backend_start(struct sp_demo_backend **out, struct sp_err *err);
const struct sp_addr *sp_demo_backend_address(const struct sp_demo_backend *b);
void sp_demo_backend_stop(struct sp_demo_backend *b); /* ends the thread and frees; takes NULL */

/* ---- child.c: the proxy as a child process, and its log ---- */
struct sp_demo_child {
    pid_t pid;        /* 0: none */
    int log;          /* its standard output and error, -1: none */
    int signals;      /* signalfd of what ends the demo; borrowed */
    struct sp_buf in; /* what was read of the log and not yet returned */
    size_t returned;  /* bytes at the front of `in` that were */
    bool unread;      /* stdout's reader has gone, which stops the demo like a signal */
};

enum sp_demo_heard {
    SP_DEMO_LINE,    /* a line of the log */
    SP_DEMO_LATE,    /* none until the deadline */
    SP_DEMO_ENDED,   /* the proxy closed its log: it is gone */
    SP_DEMO_STOPPED, /* a signal came, or nobody reads our output any more */
};

/* Runs `self run -c config`. The child gets SIGTERM should this process die without taking its leave. */
SP_MUST_USE enum sp_rc sp_demo_child_start(struct sp_demo_child *c, const char *self, const char *config,
    const sigset_t *child_signals, struct sp_err *err);
/* Waits for the next line (valid until the next call, without its end). `wait_ms` < 0: without limit. */
enum sp_demo_heard sp_demo_child_hear(struct sp_demo_child *c, int64_t wait_ms, struct sp_slice *line);
/* Ends it: TERM, then KILL after a deadline. Returns its wait status, 0 when there was no child. */
int sp_demo_child_end(struct sp_demo_child *c);

/* ---- log_line.c: one JSON line of the proxy ---- */
struct sp_demo_line {
    struct sp_demo_field {
        struct sp_slice key,
            value; /* a string without its quotes, escapes left as they are: fit for a terminal */
    } fields[40];
    size_t count;
};

/* False: not an object of strings and plain values. Views into `text`. */
SP_MUST_USE bool sp_demo_line_parse(struct sp_slice text, struct sp_demo_line *out);
/* Absent when there is none. */
struct sp_slice sp_demo_line_get(const struct sp_demo_line *l, const char *key);
bool sp_demo_line_is(const struct sp_demo_line *l, const char *key, const char *value);
bool sp_demo_line_is_access(const struct sp_demo_line *l);
/* For people: what happened first, then the fields that say why, in lines of about 100 characters. Paths inside
 * `folder` are shortened to their names. */
void sp_demo_line_format(
    const struct sp_demo_line *l, const struct sp_demo_folder *folder, struct sp_buf *out);

/* ---- stage.c ---- */
struct sp_demo_stage {
    const char *self;
    struct sp_demo_folder folder;
    struct sp_demo_backend *backends[2]; /* of the one upstream */
    struct sp_demo_child child;
    struct sp_addr proxy, raw, admin; /* where the proxy listens, as its log said; `raw` in mode tcp */
    int port_claim;                   /* keeps another demo off the well-known port; -1: not held */
    int signals;                      /* signalfd, or -1 */
    sigset_t signals_before;
    /* terminal attributes, empty unless stdout is a terminal */
    const char *bold, *dim, *red, *green, *off;
};

/* Everything up and ready to be asked. SP_EOF: told to stop meanwhile. After any result sp_demo_stage_down. */
SP_MUST_USE enum sp_rc sp_demo_stage_up(struct sp_demo_stage *s, struct sp_err *err);
/* Everything down again, told on stderr if something would not. SP_OK: the proxy ended as it should and nothing
 * is left. */
SP_MUST_USE enum sp_rc sp_demo_stage_down(struct sp_demo_stage *s);

/* ---- cases.c ---- */
#define SP_DEMO_NAME         "localhost"
#define SP_DEMO_PARTNER_NAME "partners.localhost"

enum sp_demo_over {
    SP_DEMO_ONCE,    /* a connection for this request */
    SP_DEMO_KEEP,    /* one that stays open behind it, the only one of `who` */
    SP_DEMO_KEPT,    /* that one */
    SP_DEMO_RETURN,  /* a new one, with the session ticket of that one */
    SP_DEMO_REVOKED, /* no request: `who` is revoked, and that one must be closed */
};

struct sp_demo_case {
    const char *title;
    const char *who; /* NAME of NAME.pem; NULL: no certificate */
    const char *method;
    const char *path;
    const char *name;   /* asked for by SNI; NULL: SP_DEMO_NAME */
    const char *host;   /* in `Host`; NULL: the same */
    const char *header; /* one more line, or NULL */
    const char *body;   /* or NULL */
    enum sp_demo_over over;
    bool plain; /* without TLS */
    bool raw;   /* to the listener of mode tcp */
    bool stops; /* the first of the backends, before it is asked */
    bool show;  /* among the curl lines */
    /* how it must come out */
    unsigned alert;     /* of TLS; 0: none */
    unsigned status;    /* of HTTP; 0: none */
    bool resumed;       /* the ticket was taken */
    const char *reason; /* in the log; NULL: allowed */
    const char *rule;   /* in the log; NULL: none */
    const char *told;   /* a header of the answer, up to its value; or NULL */
    const char *seen;   /* a line that the backend must have received, or NULL */
    const char *unseen; /* text that it must not have */
};

/* The table, in the order in which it is tried. */
const struct sp_demo_case *sp_demo_cases(size_t *count);
#define SP_DEMO_PATH "/v1/invoices/42"

void sp_demo_case_print_curl(const struct sp_demo_stage *s, const struct sp_demo_case *c);
/* How to be told offline why the auditor may not write. */
void sp_demo_print_explaining(const struct sp_demo_stage *s);
/* How to revoke the auditor by hand, and to see what becomes of her connection. */
void sp_demo_print_revoking(const struct sp_demo_stage *s);

/* ---- client.c ---- */
struct sp_demo_answer {
    char local[SP_ADDR_TEXT]; /* our end: the peer in the proxy's log */
    unsigned alert;           /* 0: none came */
    unsigned status;          /* 0: no answer came */
    bool resumed;             /* by the ticket */
    bool closed;              /* in order, with nothing said: the answer to SP_DEMO_REVOKED */
    struct sp_slice phrase;   /* views into `raw` */
    struct sp_buf raw, body;
};

/* The clients that come with the certificates of a folder, and the connections that they keep. */
struct sp_demo_client;

struct sp_demo_client *sp_demo_client_new(const struct sp_demo_folder *f); /* borrows `f`; NULL: no memory */
void sp_demo_client_free(struct sp_demo_client *client);                   /* takes NULL */

const char *sp_demo_alert_name(unsigned alert);
/* Sends the request of `c` to `to` and waits, within limits, for an answer or an alert; for SP_DEMO_REVOKED, for
 * the end of the connection alone. SP_FAIL: none came. */
SP_MUST_USE enum sp_rc sp_demo_ask(struct sp_demo_client *client, const struct sp_addr *to,
    const struct sp_demo_case *c, struct sp_demo_answer *out, struct sp_err *err);
void sp_demo_answer_free(struct sp_demo_answer *a);

/* ---- try.c ---- */
/* Tries every case and the metrics, prints each; SP_OK if all came out as they should. */
SP_MUST_USE enum sp_rc sp_demo_try_all(struct sp_demo_stage *s);

#endif
