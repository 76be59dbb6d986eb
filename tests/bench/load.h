/* The load generator's own types: options, one connection, the run that drives them, the latency histogram.
 *
 * load_options.c reads the options; load.c makes the requests of them and prints the answer; load_run.c decides when a request is sent; load_conn.c
 * carries one connection through connect, handshake, request, answer and close; load_tls.c knows who the client
 * is; load_hist.c counts latencies.
 * One thread, so nothing here is shared. */
#ifndef SP_BENCH_LOAD_H
#define SP_BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/base/base.h"

#define LOAD_MB 1000000u /* what "MB" means in every option and figure */

/* ---- latencies ---- */
#define LOAD_HIST_SUB  64 /* linear steps in each power of two: values are kept to within 1.6 % */
#define LOAD_HIST_SIZE (LOAD_HIST_SUB * 40)

struct sp_load_hist {
    uint64_t counts[LOAD_HIST_SIZE];
    uint64_t total;
};

void sp_load_hist_add(struct sp_load_hist *hist, uint64_t ns);
/* The latency that `share` (0..1) of the values do not exceed, in ns; 0 when there are none. */
uint64_t sp_load_hist_at(const struct sp_load_hist *hist, double share);

/* ---- options ---- */
enum load_mode { LOAD_KEEPALIVE, LOAD_HANDSHAKE, LOAD_IDLE, LOAD_DOWNLOAD, LOAD_UPLOAD, LOAD_RATE };

struct sp_load_options {
    enum load_mode mode;
    struct sockaddr_storage peer;
    socklen_t peer_len;
    const char *cert;
    const char *key;
    const char *ca; /* NULL: the server's certificate is not judged */
    const char *sni;
    const char *host;
    const char *path;
    const char *cipher; /* NULL: AES-256-GCM */
    int tls_version;    /* TLS1_2_VERSION or TLS1_3_VERSION */
    unsigned connections;
    uint64_t count; /* operations; 0: as many as fit into `seconds` */
    double seconds;
    double rate;            /* requests a second in all */
    double hold_seconds;    /* idle: hold no longer than this */
    unsigned mb;            /* size of one download or upload */
    unsigned expect_length; /* body bytes of the answer to `path` */
    unsigned timeout_ms;    /* of one operation */
    bool resume;            /* handshakes are to be resumed ones */
    unsigned clients;       /* certificates to make; 0: the one of `cert` */
    const char *issuer;     /* of them, with its key */
    const char *issuer_key;
    unsigned per_connection; /* requests, then a new one; 0: any number */
    unsigned
        per_address; /* connections from 127.0.1.1, then as many from 127.0.1.2 ...; 0: the kernel's choice */
    unsigned head_bytes; /* a request's head is filled up to so many with fields; 0: as short as it is */
    unsigned max_errors; /* then the run stops: it measures nothing any more */
    bool reconnect;      /* that the peer closes an idle connection is no error */
    bool sync;           /* say "ready", then one measured part for each line on stdin */
};

/* ---- errors ---- */
enum load_error {
    LOAD_ERR_CONNECT,
    LOAD_ERR_HANDSHAKE,
    LOAD_ERR_RESUMED, /* resumed where a full handshake was to be measured, or the other way round */
    LOAD_ERR_READ,    /* the answer broke off */
    LOAD_ERR_WRITE,
    LOAD_ERR_HEAD,   /* not an HTTP/1.1 response head, or none that says its length */
    LOAD_ERR_STATUS, /* not 200 */
    LOAD_ERR_LENGTH, /* the body is not as long as it should be, or does not say what it should */
    LOAD_ERR_TIMEOUT,
    LOAD_ERR_CLOSED, /* the peer ended a connection that was to stay open */
    LOAD_ERR_KINDS,
};

/* ---- one connection ---- */
#define LOAD_HEAD_MAX 16384
/* What to send and what to get back. Immutable during a run and shared by all connections. */
struct sp_load_job {
    char head[LOAD_HEAD_MAX];
    size_t head_len;
    uint64_t body_len;    /* sent after the head */
    uint64_t expect_len;  /* body length of the answer */
    char expect_text[24]; /* the answer's whole body, when not "" */
    bool close;           /* sent with Connection: close: done when the peer has closed */
};

/*
 *  FREE --start()--> CONNECTING --writable--> HANDSHAKING --finished--> READY --send()--> SENDING --all sent--> READING
 *                                                                         ^                                        |
 *                                                                         +-------- answer whole, keep-alive ------+
 *  any --error or end--> FREE   <-------------------- peer's close -------- DRAINING <-- answer whole, job->close --+
 */
enum load_state {
    LOAD_FREE,
    LOAD_CONNECTING,
    LOAD_HANDSHAKING,
    LOAD_READY,
    LOAD_SENDING,
    LOAD_READING,
    LOAD_DRAINING
};

struct sp_load_conn {
    int fd;
    enum load_state state;
    uint32_t interest; /* what epoll has been asked for */
    SSL *ssl;
    SSL_SESSION *session; /* with opt.resume: what the next handshake comes back with; NULL: none yet */
    const struct sp_load_job *job;
    uint64_t sent; /* of head and body */
    uint64_t body_got;
    uint64_t body_want;
    uint64_t begun_ns;    /* latency is counted from here */
    uint64_t active_ns;   /* the timeout is counted from here */
    uint64_t answered_ns; /* when the answer was whole */
    unsigned head_len;
    unsigned used; /* requests of the measured part that it has carried */
    bool offered;  /* a session, in this handshake */
    bool busy;     /* an operation is under way */
    bool head_done;
    bool peer_closes; /* the answer said Connection: close */
    char text[24];    /* the first bytes of the body, for expect_text */
    char head[2048];
};

/* ---- the run ---- */
struct sp_load {
    struct sp_load_options opt;
    SSL_CTX *ctx;
    X509 **clients; /* opt.clients of them */
    unsigned next_client;
    int epoll_fd;
    int signal_fd;
    struct sp_load_conn *conns;
    unsigned conn_count;
    struct sp_load_job warm; /* one small GET before the measured part */
    struct sp_load_job main;
    struct sp_load_job last; /* with opt.per_connection: `main`, and then the connection ends */

    bool measuring;
    bool interrupted;
    uint64_t start_ns;
    uint64_t deadline_ns; /* nothing new is begun after this */
    uint64_t end_ns;      /* when the last operation ended */
    uint64_t begun;       /* operations begun in the measured part */
    uint64_t done;        /* and answered as they should be */
    unsigned active;      /* connections with something under way */
    unsigned ready;       /* connections that have passed the warm-up */
    unsigned unopened;    /* connections yet to be opened before the measured part */
    unsigned *parked;     /* rate: connections free for the next request */
    unsigned parked_count;
    uint64_t bytes; /* body bytes both ways in the measured part */
    uint64_t handshakes;
    uint64_t reconnects;
    uint64_t errors[LOAD_ERR_KINDS];
    struct sp_load_hist hist;
    char scratch[65536];
};

uint64_t sp_load_now_ns(void);

/* ---- load_options.c ---- */
/* SP_EOF: help was asked for and printed. SP_FAIL: a message and the usage are on stderr. */
SP_MUST_USE enum sp_rc sp_load_options_read(int argc, char **argv, struct sp_load_options *opt);
const char *sp_load_mode_name(enum load_mode mode);

/* ---- load_tls.c: the client's side of TLS ---- */
/* Makes load->ctx and, if asked for, the clients. SP_FAIL: a message is on stderr. */
SP_MUST_USE enum sp_rc sp_load_tls_open(struct sp_load *load);
void sp_load_tls_close(struct sp_load *load);
/* A new SSL for `conn`, with who it is and what it comes back with. NULL without memory. */
SSL *sp_load_tls_new(struct sp_load *load, struct sp_load_conn *conn);

/* Opens all connections (but not for LOAD_HANDSHAKE) and sends one uncounted request on each. SP_FAIL: a
 * message is on stderr. */
SP_MUST_USE enum sp_rc sp_load_open(struct sp_load *load);
/* With opt.sync: waits for the next line on stdin. SP_EOF: there is none. */
SP_MUST_USE enum sp_rc sp_load_await(struct sp_load *load);
/* One measured part; its figures begin at 0, but for the errors, which whoever prints them clears. */
void sp_load_measure(struct sp_load *load);
/* LOAD_IDLE: says how many are held and holds them. */
void sp_load_hold(struct sp_load *load);
/* Closes and frees what the run held; good after any failure. */
void sp_load_close(struct sp_load *load);
uint64_t sp_load_error_sum(const struct sp_load *load);
const char *sp_load_error_name(enum load_error kind);

/* Opens a connection (FREE) and sends `job` on it; the latency counts from `begun_ns`. How it ends is told by
 * sp_load_on_done or sp_load_on_fail, the latter perhaps before this returns. */
void sp_load_conn_start(
    struct sp_load *load, struct sp_load_conn *conn, const struct sp_load_job *job, uint64_t begun_ns);
/* The same on a connection that is READY. */
void sp_load_conn_send(
    struct sp_load *load, struct sp_load_conn *conn, const struct sp_load_job *job, uint64_t begun_ns);
void sp_load_conn_event(struct sp_load *load, struct sp_load_conn *conn, uint32_t events);
/* Counts the error, names the first of each kind on stderr, closes, and reports it. */
void sp_load_conn_fail(
    struct sp_load *load, struct sp_load_conn *conn, enum load_error kind, const char *what);
void sp_load_conn_close(struct sp_load_conn *conn);
/* Looks whether the peer has ended a connection that is READY; if so, it is FREE afterwards. */
void sp_load_conn_look(struct sp_load *load, struct sp_load_conn *conn);

/* From load_conn.c to load_run.c: the answer was right; the connection is READY, or FREE if it was closed. */
void sp_load_on_done(struct sp_load *load, struct sp_load_conn *conn);
/* The connection failed and is FREE; `was_busy`: with an operation under way. */
void sp_load_on_fail(struct sp_load *load, struct sp_load_conn *conn, bool was_busy);

#endif
