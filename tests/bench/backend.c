/* sp_bench_backend: a backend that costs as little as possible, so that measuring a proxy measures the proxy.
 *
 * HTTP/1.1 with keep-alive and pipelining over one epoll loop. GET /small answers 128 bytes, GET /big?mb=N
 * streams N times 10^6 bytes, a POST or PUT is read, thrown away, and answered with the number of its body's
 * bytes and a newline (so that the sender can see that all of it came through). Anything else is a 404, a
 * chunked request body a 501.
 *
 * It listens on 127.0.0.1, prints "listening PORT", and ends when stdin ends or on SIGTERM: whoever started it
 * cannot leave it behind. With a COUNT it is as many backends in one process, on free ports, one such line each: a process
 * that sleeps must be woken by whoever sends to it, and would make the proxy look dearer the more of them there are.
 * It trusts its client: only a proxy under measurement speaks to it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/base/base.h"

#define SMALL_BYTES   128
#define MB            1000000u
#define HEAD_MAX      16384 /* longest request head: identity headers carry whole certificates */
#define BLOCK         262144
#define EVENT_STDIN   ((void *)1)
#define LISTENERS_MAX 4096

struct listeners {
    unsigned count;
    int fds[LISTENERS_MAX];
};

struct conn {
    int fd;
    bool wants_write;
    bool close;           /* after the answer */
    uint64_t upload_left; /* body bytes still to be read */
    uint64_t upload_len;
    uint64_t stream_left; /* bytes of /big still to be written */
    size_t out_len, out_sent;
    size_t in_len;
    char out[256 + SMALL_BYTES];
    char in[HEAD_MAX];
};

static const char block[BLOCK]; /* what /big is made of */

static void end(struct conn *conn)
{
    (void)close(conn->fd);
    free(conn);
}

/* ---- requests ---- */

static void answer(struct conn *conn, const char *status, const char *body, uint64_t body_len, bool streamed)
{
    int len = snprintf(conn->out, sizeof(conn->out),
        "HTTP/1.1 %s\r\nServer: sp_bench\r\nContent-Type: text/plain\r\nContent-Length: %llu\r\n%s\r\n",
        status, (unsigned long long)body_len, conn->close ? "Connection: close\r\n" : "");
    conn->out_len = (size_t)len;
    conn->out_sent = 0;
    if (streamed) {
        conn->stream_left = body_len;
    } else {
        memcpy(conn->out + conn->out_len, body, (size_t)body_len);
        conn->out_len += (size_t)body_len;
    }
}

static void answer_upload(struct conn *conn)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)conn->upload_len);
    answer(conn, "200 OK", text, (uint64_t)len, false);
}

/* The value of a header field in a head that ends in NUL; NULL if absent. */
static const char *field(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strchr(head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1 + strspn(line + len + 1, " ");
    }
    return NULL;
}

static void take_request(struct conn *conn, const char *head)
{
    static const char small[SMALL_BYTES + 1] =
        "................................................................"
        "...............................................................\n";
    const char *length = field(head, "Content-Length"), *connection = field(head, "Connection");
    conn->upload_len = conn->upload_left = length != NULL ? strtoull(length, NULL, 10) : 0;
    conn->close = connection != NULL && strncasecmp(connection, "close", 5) == 0;
    if (field(head, "Transfer-Encoding") != NULL) {
        conn->close = true;
        answer(conn, "501 Not Implemented", "", 0, false);
    } else if (strncmp(head, "POST ", 5) == 0 || strncmp(head, "PUT ", 4) == 0) {
        if (conn->upload_left == 0)
            answer_upload(conn);
    } else if (strncmp(head, "GET /small ", 11) == 0) {
        answer(conn, "200 OK", small, SMALL_BYTES, false);
    } else if (strncmp(head, "GET /big?mb=", 12) == 0) {
        answer(conn, "200 OK", NULL, strtoull(head + 12, NULL, 10) * MB, true);
    } else {
        answer(conn, "404 Not Found", "", 0, false);
    }
}

/* ---- the loop's turns ---- */

static enum sp_rc want_write(int epoll_fd, struct conn *conn, bool wanted)
{
    struct epoll_event event = {.events = wanted ? EPOLLOUT : EPOLLIN, .data.ptr = conn};
    if (conn->wants_write == wanted)
        return SP_OK;
    conn->wants_write = wanted;
    return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) == 0 ? SP_OK : SP_FAIL;
}

static enum sp_rc send_some(struct conn *conn, const char *data, size_t len, size_t *put)
{
    ssize_t n = send(conn->fd, data, len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN ? SP_AGAIN : SP_FAIL;
    *put = (size_t)n;
    return SP_OK;
}

/* SP_OK: all written. SP_EOF: all written and the connection is to end. SP_AGAIN: when it can be written to again: of a large answer
 * one block at a time, so that who waits for a small one does not wait for a socket's whole buffer to be filled. */
static enum sp_rc write_out(struct conn *conn)
{
    size_t put = 0;
    if (conn->out_len == 0)
        return SP_OK;
    while (conn->out_sent < conn->out_len) {
        enum sp_rc rc = send_some(conn, conn->out + conn->out_sent, conn->out_len - conn->out_sent, &put);
        if (rc != SP_OK)
            return rc;
        conn->out_sent += put;
    }
    if (conn->stream_left > 0) {
        size_t len = conn->stream_left < BLOCK ? (size_t)conn->stream_left : BLOCK;
        enum sp_rc rc = send_some(conn, block, len, &put);
        if (rc != SP_OK)
            return rc;
        conn->stream_left -= put;
        if (conn->stream_left > 0)
            return SP_AGAIN;
    }
    conn->out_len = 0;
    return conn->close ? SP_EOF : SP_OK;
}

static void drop_in(struct conn *conn, size_t len)
{
    conn->in_len -= len;
    memmove(conn->in, conn->in + len, conn->in_len);
}

/* Takes one step with what has been read. SP_AGAIN: more is needed. */
static enum sp_rc step(struct conn *conn)
{
    if (conn->upload_left > 0) {
        size_t len = conn->in_len < conn->upload_left ? conn->in_len : (size_t)conn->upload_left;
        drop_in(conn, len);
        conn->upload_left -= len;
        if (conn->upload_left > 0)
            return SP_AGAIN;
        answer_upload(conn);
        return SP_OK;
    }
    char *head_end = memmem(conn->in, conn->in_len, "\r\n\r\n", 4);
    if (head_end == NULL)
        return conn->in_len == sizeof(conn->in) ? SP_FAIL : SP_AGAIN;
    head_end[3] = '\0';
    take_request(conn, conn->in);
    drop_in(conn, (size_t)(head_end - conn->in) + 4);
    return SP_OK;
}

/* Writes what is to be written, then takes steps until more must be read or written. */
static enum sp_rc go_on(int epoll_fd, struct conn *conn)
{
    for (;;) {
        enum sp_rc rc = write_out(conn);
        if (rc == SP_AGAIN)
            return want_write(epoll_fd, conn, true);
        if (rc == SP_OK)
            rc = step(conn);
        if (rc == SP_AGAIN)
            return want_write(epoll_fd, conn, false);
        if (rc != SP_OK)
            return rc;
    }
}

static void on_conn(int epoll_fd, struct conn *conn, char *scratch)
{
    if (!conn->wants_write) {
        /* An upload is read past the buffer, into nothing, up to its last byte. */
        bool discard = conn->upload_left > 0 && conn->in_len == 0;
        size_t room = sizeof(conn->in) - conn->in_len;
        if (discard)
            room = conn->upload_left < BLOCK ? (size_t)conn->upload_left : BLOCK;
        ssize_t n = recv(conn->fd, discard ? scratch : conn->in + conn->in_len, room, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            end(conn);
            return;
        }
        if (n > 0 && discard) {
            conn->upload_left -= (uint64_t)n;
            if (conn->upload_left == 0)
                answer_upload(conn);
        } else if (n > 0) {
            conn->in_len += (size_t)n;
        }
    }
    enum sp_rc rc = go_on(epoll_fd, conn);
    if (rc != SP_OK)
        end(conn);
}

static void on_listen(int epoll_fd, int listen_fd)
{
    int on = 1, fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct conn *conn = fd >= 0 ? calloc(1, sizeof(*conn)) : NULL;
    if (conn == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    conn->fd = fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        end(conn);
}

static int listen_on(unsigned port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof(addr);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0) {
        perror("sp_bench_backend: listen");
        return -1;
    }
    (void)printf("listening %u\n", (unsigned)ntohs(addr.sin_port));
    (void)fflush(stdout);
    return fd;
}

/* Listens on `count` ports. SP_FAIL: said why. */
static enum sp_rc listen_on_all(int epoll_fd, unsigned port, struct listeners *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all->fds[i]};
        all->fds[i] = listen_on(port);
        if (all->fds[i] < 0)
            return SP_FAIL;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, all->fds[i], &event) != 0) {
            perror("sp_bench_backend: epoll_ctl");
            return SP_FAIL;
        }
    }
    return SP_OK;
}

static bool is_listener(const struct listeners *all, const void *ptr)
{
    return (uintptr_t)ptr >= (uintptr_t)all->fds && (uintptr_t)ptr < (uintptr_t)(all->fds + all->count);
}

static void serve(int epoll_fd, const struct listeners *all, char *scratch)
{
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(epoll_fd, events, (int)SP_COUNTOF(events), -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == EVENT_STDIN) {
                if (read(STDIN_FILENO, scratch, BLOCK) <= 0)
                    return;
            } else if (is_listener(all, events[i].data.ptr)) {
                on_listen(epoll_fd, *(const int *)events[i].data.ptr);
            } else {
                on_conn(epoll_fd, events[i].data.ptr, scratch);
            }
        }
    }
}

static bool read_number(const char *text, unsigned most, unsigned *out)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    *out = (unsigned)value;
    return end != text && *end == '\0' && value <= most;
}

/* Descriptors are given back by the end of the process. */
int main(int argc, char **argv)
{
    static const char usage[] =
        "usage: sp_bench_backend [PORT [COUNT]]   (no PORT, or 0: free ones, which are printed)\n";
    int status = 1, epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    unsigned port = 0;
    char *scratch = malloc(BLOCK);
    struct listeners *all = calloc(1, sizeof(*all));
    struct epoll_event on_stdin = {.events = EPOLLIN, .data.ptr = EVENT_STDIN};
    if (scratch == NULL || all == NULL || epoll_fd < 0)
        goto out;
    all->count = 1;
    if (argc > 3 || (argc > 1 && !read_number(argv[1], UINT16_MAX, &port)) ||
        (argc > 2 && (!read_number(argv[2], LISTENERS_MAX, &all->count) || (port != 0 && all->count != 1)))) {
        (void)fputs(usage, stderr);
        status = 2;
        goto out;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (listen_on_all(epoll_fd, port, all) != SP_OK)
        goto out;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &on_stdin) != 0 && errno != EPERM)
        goto out;
    serve(epoll_fd, all, scratch);
    status = 0;
out:
    free(all);
    free(scratch);
    return status;
}
