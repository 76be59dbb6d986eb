/* What the sources of this room share: the process as one structure. Not a door.
 *
 *   main      signals, admin pages, what is in force; owns the structure
 *   builder   reads and builds the next snapshot
 *   gates     src/gate, one a thread, at a lower priority
 *   workers   src/proxy, one a thread
 *   (the log writer's thread is obs's own)
 *
 * Other threads touch only what a mail brings them, the counters in `tally` and `gates_drained`. */
#ifndef SP_DAEMON_IMPL_H
#define SP_DAEMON_IMPL_H

#include <pthread.h>
#include <sys/stat.h>

#include "sallyport/admin/admin.h"
#include "sallyport/base/list.h"
#include "sallyport/daemon/daemon.h"
#include "sallyport/gate/gate.h"
#include "sallyport/obs/log.h"
#include "sallyport/obs/meter.h"
#include "sallyport/proxy/worker.h"
#include "sallyport/snapshot/handover.h"
#include "sallyport/snapshot/snapshot.h"

struct sp_thread {
    pthread_t id;
    bool started;
    int nice; /* added to the process's own */
    char name[16];
    struct sp_loop *loop;
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

/* One build on its way: main -> builder -> main. */
struct sp_build {
    struct sp_mail mail;
    struct sp_daemon *daemon;
    struct sp_diags diags;
    struct sp_snapshot *snapshot;
    uint64_t generation;
    struct sp_receipts receipts; /* of the gates and workers that have it in force */
    bool under_way, again;       /* a HUP during a build means one more */
};

struct sp_daemon {
    const char *file;
    struct sp_loop *loop;
    struct sp_meters *meters;
    struct sp_meter_block *meter;
    struct sp_log *log;
    struct sp_logger *logger;
    struct sp_snapshot *snapshot; /* in force; one reference */
    struct sp_tally tally;
    unsigned gate_count, worker_count;
    struct sp_daemon_gate *gates;
    struct sp_daemon_worker *workers;
    struct sp_desk **desks;
    struct sp_list bindings;
    struct sp_thread builder;
    struct sp_build build;
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
void sp_reload_request(struct sp_daemon *d);
/* Every line of `diags` as an event. */
void sp_reload_tell(
    struct sp_daemon *d, enum sp_log_level level, const char *event, const struct sp_diags *diags);
struct sp_log_options sp_log_options_of(const struct sp_config *config);

/* drain.c */
void sp_drain_start(struct sp_daemon *d);
void sp_drain_look(void *daemon); /* the drain timer's: is it over? */

/* notify.c: systemd, if it is there */
void sp_notify(const char *state);

#endif
