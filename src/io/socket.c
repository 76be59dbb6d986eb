/* Sockets: listening, accepting, connecting, looking. Thin over the kernel; what is here is what each call's
 * manual page warns of: errors of accept(2) that belong to the connection and not to the listener, stale unix
 * socket files, dual-stack IPv6. */
#include "sallyport/io/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel lowers it to net.core.somaxconn. */
#define LISTEN_BACKLOG 4096
/* A peer that said nothing for so long is asked; and again, so often, before it is given up. */
#define ALIVE_FIRST_S 60
#define ALIVE_AGAIN_S 15
#define ALIVE_TIMES   4
/* Aborted connections skipped in one call, so that a flood of them cannot hold a loop. */
#define ACCEPT_SKIPS 16

static int stream_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static bool set_flag(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* Without it a small answer waits for an acknowledgement; a connection that dies here is noticed by its first read. */
static void set_nodelay(int fd, int family)
{
    if (family == AF_INET || family == AF_INET6)
        (void)set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/* Makes room at a unix path: nothing there, or a socket that nobody listens on any more. */
static enum sp_rc take_unix_path(const struct sp_addr *address, struct sp_err *err)
{
    const char *path = address->u.un.sun_path;
    struct stat st;
    if (path[0] == '\0') /* abstract: no file */
        return SP_OK;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? SP_OK : sp_err_sys(err, errno, "%s", path);
    if (!S_ISSOCK(st.st_mode))
        return sp_err_set(err, "%s exists and is not a socket", path);
    int probe = stream_socket(AF_UNIX);
    if (probe < 0)
        return sp_err_sys(err, errno, "socket");
    int rc = connect(probe, &address->u.sa, address->len);
    int sys = errno;
    close(probe);
    /* EAGAIN is somebody too: one whose backlog is full. */
    if (rc == 0 || sys == EAGAIN)
        return sp_err_set(err, "%s: another process answers there", path);
    if (sys == ENOENT)
        return SP_OK;
    if (sys != ECONNREFUSED)
        return sp_err_sys(err, sys, "%s", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return sp_err_sys(err, errno, "cannot remove the stale socket %s", path);
    return SP_OK;
}

static enum sp_rc set_listen_options(int fd, const struct sp_addr *address, bool shared, struct sp_err *err)
{
    if (sp_addr_is_unix(address))
        return SP_OK;
    if (!set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1))
        return sp_err_sys(err, errno, "SO_REUSEADDR");
    set_nodelay(fd, address->u.sa.sa_family); /* what is accepted inherits it: tcp(7) */
    if (shared && !set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1))
        return sp_err_sys(err, errno, "SO_REUSEPORT");
    if (address->u.sa.sa_family == AF_INET6) {
        /* "[::]" takes IPv4 too, whatever net.ipv6.bindv6only says. */
        int v6_only = !sp_addr_is_any(address);
        if (!set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6_only))
            return sp_err_sys(err, errno, "IPV6_V6ONLY");
    }
    return SP_OK;
}

enum sp_rc sp_socket_listen(const struct sp_addr *address, bool shared, int *fd, struct sp_err *err)
{
    char text[SP_ADDR_TEXT];
    sp_addr_format(address, text);
    int s = -1;
    if (sp_addr_is_unix(address) && take_unix_path(address, err) != SP_OK)
        goto failed;
    s = stream_socket(address->u.sa.sa_family);
    if (s < 0) {
        sp_err_sys(err, errno, "socket");
        goto failed;
    }
    if (set_listen_options(s, address, shared, err) != SP_OK)
        goto failed;
    if (bind(s, &address->u.sa, address->len) != 0) {
        sp_err_sys(err, errno, "bind");
        goto failed;
    }
    if (listen(s, LISTEN_BACKLOG) != 0) {
        sp_err_sys(err, errno, "listen");
        goto failed;
    }
    *fd = s;
    return SP_OK;
failed:
    if (s >= 0)
        close(s);
    return sp_err_wrap(err, "cannot listen on %s", text);
}

enum sp_rc sp_socket_check_free(const struct sp_addr *address, struct sp_err *err)
{
    char text[SP_ADDR_TEXT];
    if (sp_addr_is_unix(address) || sp_addr_port(address) == 0)
        return SP_OK;
    int s = stream_socket(address->u.sa.sa_family);
    if (s < 0)
        return sp_err_sys(err, errno, "socket");
    enum sp_rc rc = set_listen_options(s, address, false, err);
    if (rc == SP_OK && bind(s, &address->u.sa, address->len) != 0)
        rc = sp_err_sys(err, errno, "cannot listen on %s: bind", sp_addr_format(address, text));
    close(s);
    return rc;
}

/* An IPv4 client of an "[::]" listener is called what everybody calls it. */
static void unmap(struct sp_addr *a)
{
    if (a->u.sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr))
        return;
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = a->u.in6.sin6_port};
    memcpy(&in4.sin_addr, &a->u.in6.sin6_addr.s6_addr[12], sizeof in4.sin_addr);
    a->u.in4 = in4;
    a->len = sizeof in4;
}

enum sp_rc sp_socket_local(int fd, struct sp_addr *out)
{
    memset(out, 0, sizeof *out);
    socklen_t len = sizeof out->u;
    if (getsockname(fd, &out->u.sa, &len) != 0)
        return SP_FAIL;
    out->len = len;
    unmap(out);
    return SP_OK;
}

/* accept(2): errors already pending on the new connection are reported by accept and are not the listener's.
 * EPERM is a firewall's. */
static bool is_the_connections_fault(int errnum)
{
    static const int faults[] = {ECONNABORTED, EINTR, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
        EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT, ECONNRESET};
    for (size_t i = 0; i < SP_COUNTOF(faults); i++) {
        if (faults[i] == errnum)
            return true;
    }
    return false;
}

enum sp_rc sp_socket_accept(int listen_fd, int *fd, struct sp_addr *peer, int *errnum)
{
    for (int skips = 0; skips < ACCEPT_SKIPS; skips++) {
        memset(peer, 0, sizeof *peer);
        socklen_t len = sizeof peer->u;
        int s = accept4(listen_fd, &peer->u.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (s >= 0) {
            peer->len = len;
            unmap(peer);
            *fd = s;
            return SP_OK;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return SP_AGAIN;
        if (!is_the_connections_fault(errno)) {
            *errnum = errno;
            return SP_FAIL;
        }
    }
    return SP_AGAIN;
}

enum sp_rc sp_socket_connect(const struct sp_addr *address, int *fd, int *errnum)
{
    int s = stream_socket(address->u.sa.sa_family);
    if (s < 0) {
        *errnum = errno;
        return SP_FAIL;
    }
    set_nodelay(s, address->u.sa.sa_family);
    if (connect(s, &address->u.sa, address->len) == 0) {
        *fd = s;
        return SP_OK;
    }
    /* Interrupted means under way. EAGAIN (a unix socket whose backlog is full) means refused: no edge would
     * come. */
    if (errno == EINPROGRESS || errno == EINTR) {
        *fd = s;
        return SP_AGAIN;
    }
    *errnum = errno;
    close(s);
    return SP_FAIL;
}

/* No TCP_USER_TIMEOUT: it would also end a peer that is there, and acknowledges, but reads nothing for so long. Bytes
 * that nobody acknowledges are the kernel's own business (net.ipv4.tcp_retries2). */
void sp_socket_keep_alive(int fd)
{
    (void)set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    (void)set_flag(fd, IPPROTO_TCP, TCP_KEEPIDLE, ALIVE_FIRST_S);
    (void)set_flag(fd, IPPROTO_TCP, TCP_KEEPINTVL, ALIVE_AGAIN_S);
    (void)set_flag(fd, IPPROTO_TCP, TCP_KEEPCNT, ALIVE_TIMES);
}

bool sp_socket_is_our_lack(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOMEM || errnum == ENOBUFS;
}

enum sp_rc sp_socket_connect_result(int fd, int *errnum)
{
    int pending = 0;
    socklen_t len = sizeof pending;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &len) != 0)
        pending = errno;
    if (pending != 0) {
        *errnum = pending;
        return SP_FAIL;
    }
    struct sockaddr_storage peer;
    len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
        return SP_OK;
    if (errno == ENOTCONN)
        return SP_AGAIN;
    *errnum = errno;
    return SP_FAIL;
}

enum sp_rc sp_socket_peek(int fd, void *buf, size_t room, size_t *n)
{
    ssize_t got;
    *n = 0;
    do
        got = recv(fd, buf, room, MSG_PEEK | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        *n = (size_t)got;
        return SP_OK;
    }
    if (got == 0)
        return SP_EOF;
    return errno == EAGAIN || errno == EWOULDBLOCK ? SP_AGAIN : SP_FAIL;
}

enum sp_rc sp_socket_drop(int fd, size_t n)
{
    char buf[512];
    while (n > 0) {
        ssize_t got = recv(fd, buf, n < sizeof buf ? n : sizeof buf, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return SP_FAIL;
        n -= (size_t)got;
    }
    return SP_OK;
}
