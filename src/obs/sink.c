/* See sink.h. Writing never waits, never leaves half a line in front of the next one, and counts what it loses. */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILE_MODE = 0640 };

static int inherited_of(const char *name)
{
    if (strcmp(name, "stdout") == 0)
        return STDOUT_FILENO;
    return strcmp(name, "stderr") == 0 ? STDERR_FILENO : 0;
}

static enum sp_rc open_inherited(struct sp_sink *s, const struct stat *st)
{
    if (!S_ISREG(st->st_mode) && !S_ISSOCK(st->st_mode)) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->inherited);
        s->fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (s->fd >= 0) {
            s->kind = SP_SINK_STREAM;
            return SP_OK;
        }
    }
    s->fd = fcntl(s->inherited, F_DUPFD_CLOEXEC, 3);
    s->kind = S_ISREG(st->st_mode) ? SP_SINK_FILE : S_ISSOCK(st->st_mode) ? SP_SINK_SOCKET : SP_SINK_SHARED;
    return s->fd >= 0 ? SP_OK : SP_FAIL;
}

static enum sp_rc open_path(struct sp_sink *s, const char *path, struct stat *st)
{
    /* O_NONBLOCK means nothing to a regular file; opening a FIFO without a reader fails rather than waits. */
    s->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, FILE_MODE);
    if (s->fd < 0 || fstat(s->fd, st) != 0)
        return SP_FAIL;
    s->kind = S_ISREG(st->st_mode) ? SP_SINK_FILE : SP_SINK_STREAM;
    return SP_OK;
}

static const char *or_else(const char *given, const char *usual)
{
    return given != NULL ? given : usual;
}

/* SP_EOF: it is none. They have no file; as an output they are the same as themselves. */
static enum sp_rc open_service(
    struct sp_sink *s, const char *name, const struct sp_sink_sockets *sockets, struct stat *st)
{
    if (strcmp(name, "syslog") == 0) {
        s->kind = SP_SINK_SYSLOG;
        s->socket = or_else(sockets->syslog, "/dev/log");
    } else if (strcmp(name, "journald") == 0) {
        s->kind = SP_SINK_JOURNALD;
        s->socket = or_else(sockets->journald, "/run/systemd/journal/socket");
    } else {
        return SP_EOF;
    }
    st->st_dev = (dev_t)-1;
    st->st_ino = s->kind;
    return sp_datagram_connect(s);
}

enum sp_rc sp_sink_open(
    const char *name, const struct sp_sink_sockets *sockets, struct sp_sink **out, struct sp_err *err)
{
    struct sp_sink *s = SP_NEW(struct sp_sink);
    if (s == NULL)
        return sp_err_sys(err, ENOMEM, "log output %s", name);
    s->fd = -1;
    s->inherited = inherited_of(name);
    sp_buf_init(&s->pending, SP_SINK_PENDING_MAX);
    struct stat st;
    enum sp_rc rc = open_service(s, name, sockets, &st);
    if (rc == SP_EOF && s->inherited == 0)
        rc = open_path(s, name, &st);
    else if (rc == SP_EOF)
        rc = fstat(s->inherited, &st) == 0 ? open_inherited(s, &st) : SP_FAIL;
    if (rc != SP_OK) {
        int sys = errno;
        if (s->socket != NULL)
            sp_err_sys(err, sys, "log output %s (%s)", name, s->socket);
        else
            sp_err_sys(err, sys, "log output %s", name);
        sp_sink_close(s);
        return SP_FAIL;
    }
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    *out = s;
    return SP_OK;
}

/* Of a file that is yet to be made: may its folder be written to? SP_FAIL: errno says why. */
static enum sp_rc probe_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX] = ".";

    if (slash != NULL && (size_t)(slash - path) >= sizeof(folder)) {
        errno = ENAMETOOLONG;
        return SP_FAIL;
    }
    if (slash != NULL)
        (void)snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path);
    return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0 ? SP_OK : SP_FAIL;
}

static enum sp_rc probe_path(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return errno == ENOENT ? probe_folder(path) : SP_FAIL;
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return SP_FAIL;
    }
    return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? SP_OK : SP_FAIL;
}

enum sp_rc sp_sink_probe(const char *name, struct sp_err *err)
{
    static const char *const WORDS[] = {"off", "stderr", "stdout", "syslog", "journald"};

    for (size_t i = 0; i < SP_COUNTOF(WORDS); i++) {
        if (strcmp(name, WORDS[i]) == 0)
            return SP_OK;
    }
    return probe_path(name) == SP_OK ? SP_OK : sp_err_sys(err, errno, "log output %s", name);
}

void sp_sink_close(struct sp_sink *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0)
        close(s->fd);
    sp_buf_free(&s->pending);
    sp_free(s);
}

bool sp_sink_is_same(const struct sp_sink *a, const struct sp_sink *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

bool sp_sink_has_name(const struct sp_sink *s, const char *name)
{
    if (sp_sink_is_datagram(s))
        return strcmp(name, s->kind == SP_SINK_SYSLOG ? "syslog" : "journald") == 0;
    return s->inherited != 0 && s->inherited == inherited_of(name);
}

struct sp_buf *sp_sink_begin(struct sp_sink *s, size_t *mark)
{
    *mark = s->pending.len;
    if (s->torn && s->pending.len == 0)
        sp_buf_add_char(&s->pending, '\n');
    return &s->pending;
}

bool sp_sink_end(struct sp_sink *s, size_t mark)
{
    if (!s->pending.failed) {
        s->torn = false;
        return true;
    }
    s->pending.len = mark;
    s->pending.failed = false;
    return false;
}

/* A formatted line is never empty: a newline in front is the end of a torn line and no line of its own. */
static bool has_lead(const struct sp_sink *s)
{
    return s->pending.len > 0 && s->pending.ptr[0] == '\n';
}

static uint64_t count_lines(const struct sp_buf *b, size_t from)
{
    uint64_t lines = 0;
    for (size_t i = from; i < b->len; i++)
        lines += b->ptr[i] == '\n';
    return lines;
}

static void reset_pending(struct sp_sink *s)
{
    sp_buf_reset(&s->pending);
    s->sent = 0;
}

static bool is_at_line_start(const struct sp_sink *s)
{
    return s->sent == 0 ? !has_lead(s) : s->pending.ptr[s->sent - 1] == '\n';
}

uint64_t sp_sink_give_up(struct sp_sink *s)
{
    uint64_t lines = count_lines(&s->pending, s->sent == 0 && has_lead(s) ? 1 : s->sent);
    if (s->pending.len > 0)
        s->torn = !is_at_line_start(s);
    reset_pending(s);
    return lines;
}

/* How much to write at once: to a file all there is, else what a pipe takes whole or not at all, ended where a
 * line ends if one does, so that lines of other processes on the same pipe fall between ours. */
static size_t piece_len(const struct sp_sink *s)
{
    size_t len = s->pending.len - s->sent;
    if (s->kind == SP_SINK_FILE || len <= PIPE_BUF)
        return len;
    const char *from = s->pending.ptr + s->sent;
    const char *newline = memrchr(from, '\n', PIPE_BUF);
    return newline != NULL ? (size_t)(newline - from) + 1 : PIPE_BUF;
}

static ssize_t write_piece(struct sp_sink *s, const char *bytes, size_t len)
{
    if (s->kind == SP_SINK_SOCKET)
        return send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (s->kind == SP_SINK_SHARED) {
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) <= 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    return write(s->fd, bytes, len);
}

void sp_sink_compact(struct sp_sink *s)
{
    /* Not for every small piece: it moves all that waits. */
    if (s->sent <= SP_SINK_PENDING_MAX / 2)
        return;
    size_t keep = s->sent - 1;
    memmove(s->pending.ptr, s->pending.ptr + keep, s->pending.len - keep);
    s->pending.len -= keep;
    s->sent = 1;
}

uint64_t sp_sink_flush(struct sp_sink *s)
{
    if (sp_sink_is_datagram(s))
        return sp_datagram_flush(s);
    s->stalled = false;
    while (s->sent < s->pending.len) {
        ssize_t n = write_piece(s, s->pending.ptr + s->sent, piece_len(s));
        if (n > 0) {
            s->sent += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            s->stalled = true;
            sp_sink_compact(s);
            return 0;
        } else {
            s->errnum = n < 0 ? errno : EIO;
            return sp_sink_give_up(s);
        }
    }
    reset_pending(s);
    return 0;
}

/* The same file opened anew goes on where the old descriptor stopped, in the middle of a line if need be. */
static uint64_t continue_on(struct sp_sink *from, struct sp_sink *to)
{
    struct sp_buf behind = to->pending;
    to->pending = from->pending;
    to->sent = from->sent;
    to->torn = from->torn;
    sp_buf_init(&from->pending, SP_SINK_PENDING_MAX);
    from->sent = 0;
    uint64_t lost = 0;
    if (sp_buf_add_slice(&to->pending, sp_buf_slice(&behind)) != SP_OK) {
        to->pending.failed = false;
        lost = count_lines(&behind, 0);
    }
    sp_buf_free(&behind);
    return lost;
}

uint64_t sp_sink_move(struct sp_sink *from, struct sp_sink *to)
{
    if (to == NULL || sp_sink_is_datagram(from) || sp_sink_is_datagram(to))
        return sp_sink_give_up(from);
    if (sp_sink_is_same(from, to))
        return continue_on(from, to);
    /* To another file go whole lines; one that is half in the old file is lost. */
    size_t start = from->sent;
    uint64_t lost = 0;
    if (start < from->pending.len && !is_at_line_start(from)) {
        const char *newline = memchr(from->pending.ptr + start, '\n', from->pending.len - start);
        lost = start > 0 ? 1 : 0; /* at 0 it is the newline that was to end a torn line */
        start = (size_t)(newline - from->pending.ptr) + 1;
    }
    size_t len = from->pending.len - start;
    if (len > 0 && sp_buf_add(&to->pending, from->pending.ptr + start, len) != SP_OK) {
        to->pending.failed = false;
        lost += count_lines(&from->pending, start);
    }
    reset_pending(from);
    return lost;
}
