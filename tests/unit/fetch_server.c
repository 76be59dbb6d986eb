/* The scripted server: one thread accepts, one thread a connection, one request a connection. */
#include "fetch_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { DRIP_MS = 20 };

struct connection {
    struct server *server;
    int fd;
};

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void drip(int fd)
{
    struct pollfd gone = {.fd = fd, .events = POLLIN | POLLRDHUP};
    while (poll(&gone, 1, DRIP_MS) == 0 && send_all(fd, "x", 1))
        ;
}

static void read_until_end(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        ;
}

/* Whether `text` holds a whole request. */
static bool is_whole(const char *text, size_t len)
{
    const char *body = strstr(text, "\r\n\r\n");
    const char *declared = strcasestr(text, "\r\nContent-Length:");
    if (body == NULL)
        return false;
    size_t body_len = declared != NULL && declared < body ? strtoul(declared + 17, NULL, 10) : 0;
    return len >= (size_t)(body - text) + 4 + body_len;
}

/* False when the client went before. */
static bool read_request(int fd, char *text, size_t room)
{
    size_t len = 0;
    text[0] = '\0';
    while (!is_whole(text, len) && !(len > 0 && text[0] == 0x16)) {
        ssize_t n = len + 1 < room ? recv(fd, text + len, room - 1 - len, 0) : 0;
        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
    }
    return true;
}

static const struct script *script_for(const struct server *s, const char *request)
{
    const char *path = request[0] == 0x16 ? "TLS" : strchr(request, ' ') + 1;
    size_t len = request[0] == 0x16 ? 3 : strcspn(path, " ?");
    for (size_t i = 0; i < s->script_count; i++) {
        if (strlen(s->scripts[i].path) == len && memcmp(s->scripts[i].path, path, len) == 0)
            return &s->scripts[i];
    }
    static const struct script unknown = {.head = "HTTP/1.1 500 No Script\r\nContent-Length: 0\r\n\r\n"};
    return &unknown;
}

static void begin_answer(struct server *s, const char *request, bool gated)
{
    pthread_mutex_lock(&s->lock);
    memcpy(s->last_request, request, sizeof s->last_request);
    s->requests++;
    s->answering++;
    if (s->answering > s->answering_most)
        s->answering_most = s->answering;
    pthread_cond_broadcast(&s->stirred);
    while (gated && !s->gate_open)
        pthread_cond_wait(&s->stirred, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

/* Before the client can know that it has its answer, and may come with the next request. */
static void end_answer(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->answering--;
    pthread_mutex_unlock(&s->lock);
}

static void answer(struct server *s, int fd, const char *request)
{
    const struct script *script = script_for(s, request);
    char filler[1024];
    memset(filler, 'x', sizeof filler);
    begin_answer(s, request, script->end == END_GATED);
    end_answer(s);
    bool there = send_all(fd, script->head, strlen(script->head));
    for (size_t left = script->filler; there && left > 0;) {
        size_t n = left < sizeof filler ? left : sizeof filler;
        there = send_all(fd, filler, n);
        left -= n;
    }
    if (there && script->end == END_DRIPS)
        drip(fd);
    if (script->end != END_HOLDS)
        shutdown(fd, SHUT_WR);
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    char request[sizeof c->server->last_request] = "";
    if (read_request(c->fd, request, sizeof request))
        answer(c->server, c->fd, request);
    read_until_end(c->fd);
    close(c->fd);
    free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct server *s = arg;
    int fd;
    while ((fd = accept(s->listen_fd, NULL, NULL)) >= 0 && s->connection_count < SERVER_CONNECTIONS_MAX) {
        struct connection *c = malloc(sizeof *c);
        *c = (struct connection){s, fd};
        pthread_create(&s->connections[s->connection_count++], NULL, serve, c);
    }
    return NULL;
}

void server_start(struct server *s, const struct script *scripts, size_t count)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    memset(s, 0, sizeof *s);
    s->scripts = scripts;
    s->script_count = count;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->stirred, NULL);
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listen_fd >= 0);
    assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(s->listen_fd, 128), 0);
    assert_int_equal(getsockname(s->listen_fd, (struct sockaddr *)&at, &len), 0);
    s->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&s->acceptor, NULL, accept_all, s), 0);
}

void server_stop(struct server *s)
{
    server_open_gate(s);
    shutdown(s->listen_fd, SHUT_RDWR);
    pthread_join(s->acceptor, NULL);
    close(s->listen_fd);
    for (size_t i = 0; i < s->connection_count; i++)
        pthread_join(s->connections[i], NULL);
    pthread_cond_destroy(&s->stirred);
    pthread_mutex_destroy(&s->lock);
}

void server_wait_answering(struct server *s, unsigned count)
{
    pthread_mutex_lock(&s->lock);
    while (s->answering < count)
        pthread_cond_wait(&s->stirred, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void server_open_gate(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->gate_open = true;
    pthread_cond_broadcast(&s->stirred);
    pthread_mutex_unlock(&s->lock);
}
