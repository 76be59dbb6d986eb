/* What the sources of this room share: the process as one structure. Not a door.
 *
 *   main      signals, admin pages, what is in force; owns the structure
 *   builder   reads and builds the next snapshot, watches the files for changes, keeps fetched ones fresh
 *   gates     src/gate, one a thread, at a lower priority
 *   workers   src/proxy, one a thread
 *   upstreams src/upstream/roster: names, health checks, ejections
 *   (the log writer's thread is obs's own)
 *
 * Other threads touch only what a mail brings them, the counters in `tally` and `gates_drained`, `watching.told`, and
 * what has locks of its own: `addresses`, `inquiries`, `without_client_eku`, `limits`, `fetching`. */
#ifndef SP_DAEMON_IMPL_H
#define SP_DAEMON_IMPL_H

#include <pthread.h>
#include <sys/stat.h>

#include "fetching.h"
#include "freshness.h"
#include "priority.h"
#include "sallyport/admin/admin.h"
#include "sallyport/base/list.h"
#include "sallyport/daemon/daemon.h"
#include "sallyport/fetch/fetch.h"
#include "sallyport/gate/gate.h"
#include "sallyport/io/file_watch.h"
#include "sallyport/obs/log.h"
#include "sallyport/obs/meter.h"
#include "sallyport/proxy/worker.h"
#include "sallyport/snapshot/handover.h"
#include "sallyport/snapshot/snapshot.h"

struct sp_thread {
    pthread_t id;
    bool started;
    struct sp_priority priority;
    char name[16];
    struct sp_loop *loop;
    struct sp_tls_library *library; /* of OpenSSL, for what it does; borrowed; NULL: OpenSSL's own */
};

struct sp_daemon_gate {
    struct sp_thread thread;
    struct sp_gate *gate;
    struct sp_mail drain;
    _Atomic unsigned *drained;
};

struct sp_daemon_worker {
    struct sp_thread thread;
    struct sp_worker *worker;
    struct sp_mail drain;
    uint64_t grace_ms;
};

/* The file that binding a unix socket made; removed when the socket goes, if it is still that one. */
struct sp_bound_file {
    struct sp_addr address;
    bool is_ours;
    dev_t dev;
    ino_t ino;
};

/* An address that is listened on, with one socket a gate. */
struct sp_binding {
    struct sp_list link;
    struct sp_addr address; /* as configured */
    struct sp_bound_file file;
    char name[65];
    bool named;     /* by the snapshot that is being put in force */
    bool published; /* the gates own the descriptors */
    bool told;      /* its event was logged */
    int fds[];
};

/* What makes the next snapshot. */
enum sp_build_kind {
    SP_BUILD_RELOAD,  /* the configuration's file is read, with everything that it names */
    SP_BUILD_RENEWAL, /* the same configuration; what it names is read again */
    SP_BUILD_KINDS
};

/* One build on its way: main -> builder -> main. */
struct sp_build {
    struct sp_mail mail;
    struct sp_daemon *daemon;
    enum sp_build_kind kind;
    char cause[512]; /* of a renewal: the file that has changed */
    int64_t began_us;
    struct sp_diags diags;
    struct sp_snapshot *snapshot;
    uint64_t generation;
    struct sp_snapshot *before;  /* the one in force when it was asked for; one reference */
    struct sp_receipts receipts; /* of the gates and workers that have it in force */
    bool is_partial;             /* of a renewal only the CRLs could be used */
    bool under_way;
    bool wanted[SP_BUILD_KINDS]; /* one more, after the one under way */
    bool covers_renewal;         /* a reload reads what a renewal was wanted for */
    uint64_t covers_reports;     /* of watching.reports: those before it began to read */
    uint64_t reported;           /* the last of them that main has heard of while it was under way; 0: none */
    struct sp_buf told;          /* what the last one told: a renewal does not repeat it */
};

/* The files that the configuration names, and what comes of their changes. See watching.c. */
struct sp_watching {
    struct sp_daemon *daemon;
    struct sp_file_watch *files; /* the builder's, once its thread runs */
    struct sp_mail changed;      /* builder -> main */
    atomic_bool told;            /* `changed` is on its way, and `path` is main's */
    char path[512];
    /* How many changes the builder has noticed; written before `told` is looked at. */
    atomic_uint_least64_t reports;
    struct sp_mail follow; /* main -> builder: watch the files of `followed` */
    struct sp_snapshot *followed;
    int64_t since_us;
    char cause[512];        /* main's: the file that changed last */
    struct sp_timer *retry; /* main's */
    uint64_t retry_ms;      /* the last wait; 0: the last renewal went well */
};

/* When time changes what the snapshot in force says of somebody. See reaching.c. */
struct sp_reaching {
    struct sp_timer *timer;
    uint64_t generation; /* of the snapshot that `change_s` is of */
    int64_t change_s, looked_s;
    bool stopped; /* the workers' threads have ended */
};

struct sp_daemon {
    const char *file;
    struct sp_loop *loop;
    struct sp_meters *meters;
    struct sp_meter_block *meter;
    struct sp_log *log;
    struct sp_logger *logger;
    struct sp_snapshot *snapshot;     /* in force; one reference */
    struct sp_snapshot_memory memory; /* the builder's, once its thread runs */
    struct sp_tally tally;
    struct sp_addresses *addresses;              /* the gates' */
    struct sp_inquiries *inquiries;              /* likewise */
    struct sp_issuer_counts *without_client_eku; /* likewise */
    struct sp_limits *limits;                    /* the workers' */
    unsigned tracked_callers;                    /* that it was made for */
    struct sp_fetcher *asker;                    /* theirs; NULL: no responder has had to be asked yet */
    unsigned gate_count, worker_count, handshake_share; /* as they were at the start */
    struct sp_priorities priorities;
    struct sp_daemon_gate *gates;
    struct sp_daemon_worker *workers;
    struct sp_desk **desks;
    struct sp_list bindings;
    struct sp_thread upstreams;
    struct sp_roster *roster; /* that thread's */
    struct sp_thread builder;
    struct sp_build build;
    struct sp_watching watching;
    struct sp_freshness *freshness;
    struct sp_fetching *fetching; /* the builder's */
    struct sp_reaching reaching;
    struct sp_admin *admin;
    struct sp_bound_file admin_file;
    struct sp_watch *signals[4];
    struct sp_timer *drain_timer;
    uint64_t drain_deadline_ms;
    _Atomic unsigned gates_drained; /* those that have let in or refused what waited in their queues */
    bool ready, draining, drained;
};

/* threads.c */
enum sp_rc sp_thread_start(struct sp_thread *t, struct sp_err *err);
void sp_thread_stop(struct sp_thread *t); /* and joins; harmless when it was never started */

/* sockets.c */
/* Binds what `snapshot` names and is not bound yet. SP_FAIL: nothing has changed. */
enum sp_rc sp_sockets_bind(struct sp_daemon *d, const struct sp_snapshot *snapshot, struct sp_err *err);
/* An update for each gate with the snapshot and its sockets, all of which are bound. NULL: no memory, and what
 * was bound for this snapshot is closed again. */
struct sp_gate_update **sp_sockets_prepare(
    struct sp_daemon *d, struct sp_snapshot *snapshot, struct sp_err *err);
/* Posts them, and forgets the bindings that `snapshot` does not name any more. Takes over `updates`. */
void sp_sockets_publish(
    struct sp_daemon *d, const struct sp_snapshot *snapshot, struct sp_gate_update **updates);
/* Forgets all bindings and removes their files. While the gates still have the sockets open: until then nobody
 * else's file can look like ours. */
void sp_sockets_forget(struct sp_daemon *d);
/* Right after binding `address`: remembers its file, if it has one. */
void sp_bound_file_note(struct sp_bound_file *f, const struct sp_addr *address);
void sp_bound_file_remove(struct sp_bound_file *f); /* once, while the socket is open */
/* An event line for each address that is new. */
void sp_sockets_tell(struct sp_daemon *d);

/* reload.c */
/* A build of that kind, now or after the one that is under way. */
void sp_reload_request(struct sp_daemon *d, enum sp_build_kind kind);
/* What a build of that kind found wrong, as events. */
void sp_reload_tell(struct sp_daemon *d, enum sp_build_kind kind, const struct sp_diags *diags);
struct sp_log_options sp_log_options_of(const struct sp_config *config);

/* watching.c */
/* Before the builder's thread runs. watching.since_us: when the files of the snapshot in force began to be read. */
enum sp_rc sp_watching_start(struct sp_daemon *d, struct sp_err *err);
void sp_watching_stop(struct sp_daemon *d); /* after the builder's thread has ended */
/* The builder's thread, before a build reads: what has changed by now is read by it, and not told any more. True: something
 * had changed that was not told yet. May block for 40 ms. */
bool sp_watching_begin(struct sp_daemon *d);
/* Main, when nothing of a build is under way any more: whether a change was noticed that it did not read. */
bool sp_watching_missed(struct sp_daemon *d, bool is_in_force);
/* A build that began to read at `since_us` is in force: its files are watched from now on. */
void sp_watching_follow(struct sp_daemon *d, int64_t since_us);
/* Everything was read and is in force. */
void sp_watching_settled(struct sp_daemon *d);
/* A renewal came to nothing: later once more. */
void sp_watching_failed(struct sp_daemon *d);

/* reaching.c */
enum sp_rc sp_reaching_start(struct sp_daemon *d, struct sp_err *err);
void sp_reaching_stop(struct sp_daemon *d); /* after the workers' threads have ended */
/* If `config` has a brake: a census for these updates, one a worker. *census is then the caller's to let go of if they are
 * not posted; else NULL. */
enum sp_rc sp_reaching_brake(struct sp_daemon *d, const struct sp_config *config,
    struct sp_worker_update *const *updates, struct sp_census **census, struct sp_err *err);

/* roster_thread.c */
enum sp_rc sp_roster_thread_start(
    struct sp_daemon *d, struct sp_err *err); /* before the first snapshot is built */
/* Before it follows the first configuration, which is when it begins to tell anything. */
enum sp_rc sp_roster_thread_equip(struct sp_daemon *d, struct sp_err *err);
void sp_roster_thread_stop(struct sp_daemon *d); /* when workers have ended; also one that did not start */

/* ocsp_fetcher.c */
enum sp_rc sp_ocsp_fetcher_start(struct sp_daemon *d, struct sp_err *err); /* before the gates are made */
/* The fetcher runs, if `config` needs it. Before a gate goes by `config`. */
enum sp_rc sp_ocsp_fetcher_ready(struct sp_daemon *d, const struct sp_config *config, struct sp_err *err);
/* After the gates' threads have ended, before the mails that were left are run. */
void sp_ocsp_fetcher_stop(struct sp_daemon *d);

/* drain.c */
void sp_drain_start(struct sp_daemon *d);
void sp_drain_look(void *daemon); /* the drain timer's: is it over? */

/* notify.c: systemd, if it is there */
void sp_notify(const char *state);

#endif
