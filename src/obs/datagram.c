/* Lines to syslog and journald: a datagram each, over a socket of our own.
 *
 * syslog(3) and sd_journal_send(3) would keep one socket for the process and wait in it while the service stalls; the
 * latter says nothing when there is no journal. Here a service that stalls is an output that stalls: it is polled, and
 * what does not fit any more is counted. One that went away is connected anew with the next line, which is all that a
 * restart of it costs. Both formats are the services' own and documented: RFC 3164 as /dev/log takes it (priority, time,
 * tag), and journald's native protocol (a line a field; ours never hold a newline). */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "sink.h"

enum { SEND_BUFFER = 512 * 1024 }; /* the widest line fits; the kernel may give less */

enum sp_rc sp_datagram_connect(struct sp_sink *s)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(s->socket) >= sizeof(to.sun_path)) {
        errno = ENAMETOOLONG;
        return SP_FAIL;
    }
    strcpy(to.sun_path, s->socket);
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        return SP_FAIL;
    (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
    if (connect(s->fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        return SP_OK;
    int sys = errno;
    close(s->fd);
    s->fd = -1;
    errno = sys;
    return SP_FAIL;
}

/* "<86>Jan  2 03:04:05 sallyport[17]: ". Local time: that is what RFC 3164 has, and the line itself says UTC. */
static size_t syslog_head(unsigned priority, char *out, size_t room)
{
    static const char months[12][4] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm = {0};
    (void)localtime_r(&now, &tm);
    int n = snprintf(out, room, "<%u>%s %2d %02d:%02d:%02d sallyport[%d]: ", priority, months[tm.tm_mon % 12],
        tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)getpid());
    return n > 0 ? (size_t)n : 0;
}

static size_t journald_head(unsigned priority, char *out, size_t room)
{
    int n = snprintf(out, room,
        "PRIORITY=%u\nSYSLOG_FACILITY=%u\nSYSLOG_IDENTIFIER=sallyport\nMESSAGE=", priority & 7,
        priority >> 3);
    return n > 0 ? (size_t)n : 0;
}

static ssize_t send_datagram(struct sp_sink *s, unsigned priority, struct sp_slice line)
{
    char head[128], newline = '\n';
    bool journald = s->kind == SP_SINK_JOURNALD;
    size_t n =
        journald ? journald_head(priority, head, sizeof(head)) : syslog_head(priority, head, sizeof(head));
    struct iovec parts[] = {{head, n}, {(void *)line.ptr, line.len}, {&newline, 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = journald ? 3 : 2};
    return sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* SP_FAIL: this line is lost. SP_EOF: there is nobody to take it. */
static enum sp_rc send_line(struct sp_sink *s, unsigned priority, struct sp_slice line)
{
    bool connected_now = false;
    for (;;) {
        if (s->fd < 0) {
            if (sp_datagram_connect(s) != SP_OK) {
                s->errnum = errno;
                return SP_EOF;
            }
            connected_now = true;
        }
        if (send_datagram(s, priority, line) >= 0)
            return SP_OK;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return SP_AGAIN;
        s->errnum = errno;
        if (errno == EMSGSIZE || errno == ENOBUFS || errno == ENOMEM)
            return SP_FAIL;
        close(s->fd); /* the service went away; a new one may be there */
        s->fd = -1;
        if (connected_now)
            return SP_EOF;
    }
}

/* The line at `sent`, without its priority and its newline. */
static struct sp_slice next_line(const struct sp_sink *s, unsigned *priority)
{
    const char *from = s->pending.ptr + s->sent;
    const char *end = memchr(from, '\n', s->pending.len - s->sent);
    *priority = 0;
    for (from++; *from != '>'; from++) /* "<", then digits that the writer has put there */
        *priority = *priority * 10 + (unsigned)(*from - '0');
    from++;
    return (struct sp_slice){from, (size_t)(end - from)};
}

uint64_t sp_datagram_flush(struct sp_sink *s)
{
    uint64_t lost = 0;
    s->stalled = false;
    while (s->sent < s->pending.len) {
        unsigned priority;
        struct sp_slice line = next_line(s, &priority);
        switch (send_line(s, priority, line)) {
        case SP_OK:
            break;
        case SP_AGAIN:
            s->stalled = true;
            sp_sink_compact(s);
            return lost;
        case SP_EOF:
            return lost + sp_sink_give_up(s);
        case SP_FAIL:
            lost++;
            break;
        }
        s->sent = (size_t)(line.ptr + line.len - s->pending.ptr) + 1;
    }
    return lost + sp_sink_give_up(s); /* nothing is left: it only begins anew */
}
