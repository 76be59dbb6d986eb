/* The proxy as a child process. Its standard output and error are one pipe, which is at once its log and the
 * sign that it lives: nobody else holds the other end, so the end of the pipe is the end of the proxy.
 *
 * It gets a process group of its own, so that a Ctrl-C in the terminal reaches the demo alone, which then ends
 * it in order. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo_impl.h"
#include "sallyport/base/clock.h"

#define LOG_MAX  (256 * 1024) /* a longer line is dropped */
#define READ_MAX 16384
#define TERM_MS  5000 /* from TERM to KILL; the configuration drains for a fifth of that */

/* Between fork and exec of a process that has threads: system calls only. */
static _Noreturn void become_proxy(
    const char *self, const char *config, int out, pid_t parent, const sigset_t *child_signals)
{
    static const char FAILED[] = "sallyport demo: the proxy could not be started: exec failed\n";
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(127);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, child_signals, NULL);
    if (in >= 0 && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(out, STDERR_FILENO) >= 0)
        execl(self, "sallyport", "run", "-c", config, (char *)NULL);
    (void)!write(out, FAILED, sizeof(FAILED) - 1);
    _exit(127);
}

enum sp_rc sp_demo_child_start(struct sp_demo_child *c, const char *self, const char *config,
    const sigset_t *child_signals, struct sp_err *err)
{
    int ends[2];
    pid_t parent = getpid();

    if (pipe2(ends, O_CLOEXEC) != 0)
        return sp_err_sys(err, errno, "proxy: pipe");
    pid_t pid = fork();
    if (pid == 0)
        become_proxy(self, config, ends[1], parent, child_signals);
    int sys = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return sp_err_sys(err, sys, "proxy: fork");
    }
    c->pid = pid;
    c->log = ends[0];
    sp_buf_init(&c->in, LOG_MAX);
    if (fcntl(c->log, F_SETFL, O_NONBLOCK) != 0)
        return sp_err_sys(err, errno, "proxy: its log");
    return SP_OK;
}

/* ---- its log ---- */

/* SP_OK: some bytes came. SP_AGAIN: none now. SP_EOF: none will. */
static enum sp_rc read_more(struct sp_demo_child *c)
{
    char *room = sp_buf_room(&c->in, READ_MAX);

    if (room == NULL) {
        sp_buf_reset(&c->in);
        room = sp_buf_room(&c->in, READ_MAX);
    }
    if (room == NULL)
        return SP_EOF;
    ssize_t n = read(c->log, room, READ_MAX);
    if (n > 0) {
        c->in.len += (size_t)n;
        return SP_OK;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? SP_AGAIN : SP_EOF;
}

static bool take_line(struct sp_demo_child *c, struct sp_slice *line)
{
    char *end = c->in.len > 0 ? memchr(c->in.ptr, '\n', c->in.len) : NULL;

    if (end == NULL)
        return false;
    *line = (struct sp_slice){c->in.ptr, (size_t)(end - c->in.ptr)};
    c->returned = line->len + 1;
    return true;
}

static void drop_returned(struct sp_demo_child *c)
{
    if (c->returned == 0)
        return;
    c->in.len -= c->returned;
    memmove(c->in.ptr, c->in.ptr + c->returned, c->in.len);
    c->returned = 0;
}

/* Takes one signal off. True: it is one that ends us; the end of a child shows in its log. */
static bool is_told_to_stop(int signals)
{
    struct signalfd_siginfo info;

    return read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info) && info.ssi_signo != SIGCHLD;
}

enum sp_demo_heard sp_demo_child_hear(struct sp_demo_child *c, int64_t wait_ms, struct sp_slice *line)
{
    uint64_t deadline = sp_mono_ms() + (uint64_t)(wait_ms > 0 ? wait_ms : 0);
    struct pollfd fds[] = {{c->signals, POLLIN, 0}, {STDOUT_FILENO, 0, 0}, {c->log, POLLIN, 0}};

    drop_returned(c);
    for (;;) {
        uint64_t now = sp_mono_ms();
        bool has_line = take_line(c, line);
        int wait = has_line ? 0 : wait_ms < 0 ? -1 : now < deadline ? (int)(deadline - now) : 0;
        int n = poll(fds, SP_COUNTOF(fds), wait);
        if (n < 0 && errno != EINTR)
            return SP_DEMO_STOPPED;
        if (n > 0 && (fds[0].revents & POLLIN) && is_told_to_stop(c->signals))
            return SP_DEMO_STOPPED;
        if (n > 0 && (fds[1].revents & (POLLERR | POLLHUP))) {
            c->unread = true;
            return SP_DEMO_STOPPED;
        }
        if (has_line)
            return SP_DEMO_LINE;
        if (n == 0 && wait_ms >= 0 && sp_mono_ms() >= deadline)
            return SP_DEMO_LATE;
        if (n > 0 && fds[2].revents != 0 && read_more(c) == SP_EOF)
            return SP_DEMO_ENDED;
    }
}

/* ---- its end ---- */

/* Reads on meanwhile, for a proxy that cannot write its log does not end either. */
static bool has_ended_within(struct sp_demo_child *c, uint64_t wait_ms, int *status)
{
    uint64_t deadline = sp_mono_ms() + wait_ms, now;
    struct pollfd fds[] = {{c->signals, POLLIN, 0}, {c->log, POLLIN, 0}};

    for (;;) {
        pid_t ended = waitpid(c->pid, status, WNOHANG);
        if (ended == c->pid || (ended < 0 && errno != EINTR))
            return true;
        now = sp_mono_ms();
        if (now >= deadline)
            return false;
        if (poll(fds, SP_COUNTOF(fds), (int)(deadline - now)) <= 0)
            continue;
        if (fds[0].revents != 0)
            (void)is_told_to_stop(c->signals); /* which it is doing */
        if (fds[1].revents != 0 && read_more(c) == SP_EOF)
            fds[1].fd = -1;
        c->in.len = 0;
    }
}

int sp_demo_child_end(struct sp_demo_child *c)
{
    int status = 0;

    if (c->pid > 0) {
        kill(c->pid, SIGTERM);
        if (!has_ended_within(c, TERM_MS, &status)) {
            kill(c->pid, SIGKILL);
            while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
                ;
        }
    }
    /* asked before it listened to signals: that is no failure of its */
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)
        status = 0;
    c->pid = 0;
    if (c->log >= 0)
        close(c->log);
    c->log = -1;
    sp_buf_free(&c->in);
    return status;
}
