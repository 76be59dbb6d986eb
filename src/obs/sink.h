/* An output of the log: a file, a terminal, a pipe, a socket, syslog or journald; and the lines that wait to be written
 * to it.
 *
 * Only a regular file may be written to without asking first (a full disk answers, it does not wait).
 * Everything else is written in pieces that cannot block: through a non-blocking description of our own where
 * one can be had, else by asking poll before at most PIPE_BUF bytes. The flags of a descriptor that we
 * inherited are never touched: it may be shared with the shell. The writer thread only. */
#ifndef SP_OBS_SINK_H
#define SP_OBS_SINK_H

#include <sys/stat.h>

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"
#include "sallyport/obs/log.h"

enum sp_sink_kind {
    SP_SINK_FILE,   /* regular: plain writes */
    SP_SINK_STREAM, /* pipe, terminal, device with O_NONBLOCK of our own */
    SP_SINK_SOCKET, /* a flag of each send says not to wait */
    SP_SINK_SHARED, /* somebody else's description, blocking: poll, then little */
    /* Datagrams (datagram.c): a line each, which begins with its priority in angle brackets as long as it waits. */
    SP_SINK_SYSLOG,
    SP_SINK_JOURNALD,
};

struct sp_sink {
    int fd;        /* owned; -1: a datagram output that is to be connected anew */
    int inherited; /* 1 stdout, 2 stderr, 0 neither */
    enum sp_sink_kind kind;
    dev_t dev;
    ino_t ino;
    struct sp_buf pending; /* whole lines; the first may begin with a newline that ends a torn one */
    size_t sent;           /* of pending */
    bool stalled;          /* the last attempt would have had to wait */
    int errnum;            /* of the last write that failed */
    bool torn;             /* what was last written is half a line, and its rest is lost */
    const char *socket;    /* of datagrams: its path, borrowed */
};

/* Room for what waits. A line that does not fit any more is dropped. */
enum { SP_SINK_PENDING_MAX = 1024 * 1024 };

/* Opens "stderr", "stdout", "syslog", "journald" or a path. Borrows what `sockets` names as long as the output lives. The
 * error names it. */
SP_MUST_USE enum sp_rc sp_sink_open(
    const char *name, const struct sp_sink_sockets *sockets, struct sp_sink **out, struct sp_err *err);
/* Could `name` be opened, if it is a file? Opens and makes nothing. */
SP_MUST_USE enum sp_rc sp_sink_probe(const char *name, struct sp_err *err);
void sp_sink_close(struct sp_sink *s); /* takes NULL; what is pending is lost */
bool sp_sink_is_same(const struct sp_sink *a, const struct sp_sink *b);
/* True when `name` is the inherited descriptor, or the service, that `s` writes to: there is nothing to reopen then. */
bool sp_sink_has_name(const struct sp_sink *s, const char *name);

/* The buffer to format one line into; sp_sink_end says whether it fitted, and takes it back otherwise. */
struct sp_buf *sp_sink_begin(struct sp_sink *s, size_t *mark);
SP_MUST_USE bool sp_sink_end(struct sp_sink *s, size_t mark);

/* Writes what is pending as far as it goes without waiting. Returns the lines lost to a write error. */
uint64_t sp_sink_flush(struct sp_sink *s);
static inline bool sp_sink_is_empty(const struct sp_sink *s)
{
    return s->sent == s->pending.len;
}
static inline bool sp_sink_is_datagram(const struct sp_sink *s)
{
    return s->kind >= SP_SINK_SYSLOG;
}
/* Hands the lines that `from` could not write over to `to` (NULL: nowhere). Returns the lines lost: all of them where one
 * of the two is for datagrams, whose lines look otherwise. */
uint64_t sp_sink_move(struct sp_sink *from, struct sp_sink *to);

/* ---- datagram.c ---- */
SP_MUST_USE enum sp_rc sp_datagram_connect(struct sp_sink *s); /* SP_FAIL: errno says why */
/* As sp_sink_flush. A service that is not there costs the lines; the next ones look for it again. */
uint64_t sp_datagram_flush(struct sp_sink *s);
/* The pending bytes up to the place that was sent make room, when they are many. The byte before stays, since it tells
 * whether a line begins here. */
void sp_sink_compact(struct sp_sink *s);
/* Gives up what waits; returns the lines. */
uint64_t sp_sink_give_up(struct sp_sink *s);

#endif
