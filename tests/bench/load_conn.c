/* One connection of the load generator: non-blocking connect, full TLS handshake with the client's certificate,
 * one request at a time, and an answer that is checked before it counts.
 *
 * Invariant: a connection reports each operation exactly once, by sp_load_on_done or sp_load_on_fail, and
 * touches itself no more after that, because the run may have begun the next operation on it. When to begin one
 * is the run's business (load_run.c). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

static const char upload_block[16384]; /* what uploads are made of */

static const char *const error_text[LOAD_ERR_KINDS] = {
    [LOAD_ERR_CONNECT] = "connect",
    [LOAD_ERR_HANDSHAKE] = "handshake",
    [LOAD_ERR_RESUMED] = "resumed",
    [LOAD_ERR_READ] = "read",
    [LOAD_ERR_WRITE] = "write",
    [LOAD_ERR_HEAD] = "head",
    [LOAD_ERR_STATUS] = "status",
    [LOAD_ERR_LENGTH] = "length",
    [LOAD_ERR_TIMEOUT] = "timeout",
    [LOAD_ERR_CLOSED] = "closed",
};

const char *sp_load_error_name(enum load_error kind)
{
    return error_text[kind];
}

void sp_load_conn_close(struct sp_load_conn *conn)
{
    if (conn->ssl != NULL) /* OpenSSL takes a session for spoilt that did not end with a shutdown */
        SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    if (conn->fd >= 0)
        (void)close(conn->fd); /* which also takes it out of epoll */
    conn->fd = -1;
    conn->state = LOAD_FREE;
    conn->interest = 0;
}

void sp_load_conn_fail(
    struct sp_load *load, struct sp_load_conn *conn, enum load_error kind, const char *what)
{
    bool was_busy = conn->busy;
    if (load->errors[kind]++ == 0) {
        unsigned long code = ERR_peek_error();
        const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
        (void)fprintf(stderr, "sp_load: first %s error: %s%s%s\n", error_text[kind], what,
            reason != NULL ? ": " : "", reason != NULL ? reason : "");
    }
    ERR_clear_error();
    conn->busy = false;
    sp_load_conn_close(conn);
    SSL_SESSION_free(conn->session); /* it may be what was wrong */
    conn->session = NULL;
    sp_load_on_fail(load, conn, was_busy);
}

static enum sp_rc want(struct sp_load *load, struct sp_load_conn *conn, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.u64 = (uint64_t)(conn - load->conns)};
    int op = conn->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (conn->interest == interest)
        return SP_OK;
    if (epoll_ctl(load->epoll_fd, op, conn->fd, &event) != 0)
        return SP_FAIL;
    conn->interest = interest;
    return SP_OK;
}

/* What SSL asked for. SP_AGAIN: epoll will wake us. SP_EOF: the peer is gone. SP_FAIL: an error. */
static enum sp_rc after_ssl(struct sp_load *load, struct sp_load_conn *conn, int ret)
{
    switch (SSL_get_error(conn->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        return want(load, conn, EPOLLIN) == SP_OK ? SP_AGAIN : SP_FAIL;
    case SSL_ERROR_WANT_WRITE:
        return want(load, conn, EPOLLOUT) == SP_OK ? SP_AGAIN : SP_FAIL;
    case SSL_ERROR_ZERO_RETURN:
        return SP_EOF;
    case SSL_ERROR_SSL:
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return SP_EOF;
        return SP_FAIL;
    default:
        return SP_FAIL;
    }
}

/* ---- the answer ---- */

static bool field_is(const char *line, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    return len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0;
}

/* Reads what matters of a whole head; NULL, or what is wrong with it. */
static const char *read_head(struct sp_load_conn *conn, size_t head_len, unsigned *status)
{
    const char *line = conn->head, *end = conn->head + head_len;
    bool has_length = false;
    if (head_len < 12 || memcmp(line, "HTTP/1.1 ", 9) != 0)
        return "not an HTTP/1.1 answer";
    *status = (unsigned)strtoul(line + 9, NULL, 10);
    for (;;) {
        line = memchr(line, '\n', (size_t)(end - line));
        if (line == NULL || ++line >= end)
            break;
        size_t len = (size_t)(end - line);
        if (field_is(line, len, "Content-Length")) {
            conn->body_want = strtoull(line + sizeof("Content-Length:") - 1, NULL, 10);
            has_length = true;
        } else if (field_is(line, len, "Connection")) {
            const char *value = line + sizeof("Connection:") - 1;
            conn->peer_closes = strncasecmp(value + strspn(value, " "), "close", 5) == 0;
        }
    }
    return has_length ? NULL : "no Content-Length";
}

static void keep_text(struct sp_load_conn *conn, const char *data, size_t len)
{
    if (conn->body_got < sizeof(conn->text)) {
        size_t room = sizeof(conn->text) - (size_t)conn->body_got;
        memcpy(conn->text + conn->body_got, data, len < room ? len : room);
    }
    conn->body_got += len;
}

/* SP_FAIL: the connection has failed, and that has been reported. */
static enum sp_rc take_head(struct sp_load *load, struct sp_load_conn *conn, const char *data, size_t *len)
{
    size_t before = conn->head_len, room = sizeof(conn->head) - 1 - before;
    size_t take = *len < room ? *len : room;
    unsigned status = 0;
    char what[64];
    memcpy(conn->head + before, data, take);
    conn->head_len += (unsigned)take;
    const char *end = memmem(conn->head, conn->head_len, "\r\n\r\n", 4);
    if (end == NULL) {
        if (take == *len)
            return SP_AGAIN;
        sp_load_conn_fail(load, conn, LOAD_ERR_HEAD, "longer than 2 KB");
        return SP_FAIL;
    }
    size_t head_len = (size_t)(end - conn->head) + 4;
    conn->head[head_len - 1] = '\0';
    const char *wrong = read_head(conn, head_len - 1, &status);
    if (status != 200 && status != 0) {
        (void)snprintf(what, sizeof(what), "%u", status);
        sp_load_conn_fail(load, conn, LOAD_ERR_STATUS, what);
        return SP_FAIL;
    }
    if (wrong != NULL) {
        sp_load_conn_fail(load, conn, LOAD_ERR_HEAD, wrong);
        return SP_FAIL;
    }
    conn->head_done = true;
    *len = head_len - before; /* of `data` belong to the head */
    return SP_OK;
}

/* SP_OK: the answer is whole and right. SP_FAIL as above. */
static enum sp_rc take_answer(struct sp_load *load, struct sp_load_conn *conn, const char *data, size_t len)
{
    if (!conn->head_done) {
        size_t used = len;
        enum sp_rc rc = take_head(load, conn, data, &used);
        if (rc != SP_OK)
            return rc;
        data += used;
        len -= used;
    }
    keep_text(conn, data, len);
    if (conn->body_got < conn->body_want)
        return SP_AGAIN;
    if (conn->body_got > conn->body_want || conn->body_want != conn->job->expect_len) {
        sp_load_conn_fail(load, conn, LOAD_ERR_LENGTH, "not the length asked for");
        return SP_FAIL;
    }
    size_t text_len = strlen(conn->job->expect_text);
    if (text_len > 0 && memcmp(conn->text, conn->job->expect_text, text_len) != 0) {
        sp_load_conn_fail(load, conn, LOAD_ERR_LENGTH, "the body says something else than it should");
        return SP_FAIL;
    }
    conn->answered_ns = sp_load_now_ns();
    return SP_OK;
}

/* ---- the steps ---- */

static void end_operation(struct sp_load *load, struct sp_load_conn *conn, bool close_it)
{
    if (close_it) {
        ERR_clear_error();
        sp_load_conn_close(conn);
    } else {
        conn->state = LOAD_READY;
    }
    conn->busy = false;
    sp_load_on_done(load, conn);
}

/* The answer has been read; with job->close the peer's close is part of the operation, so that its cost is, too.
 */
static void drain(struct sp_load *load, struct sp_load_conn *conn)
{
    size_t got = 0;
    ERR_clear_error();
    int ret = SSL_read_ex(conn->ssl, load->scratch, sizeof(load->scratch), &got);
    if (ret == 1)
        sp_load_conn_fail(load, conn, LOAD_ERR_LENGTH, "bytes after the answer");
    else if (after_ssl(load, conn, ret) != SP_AGAIN)
        end_operation(load, conn, true);
}

static void read_answer(struct sp_load *load, struct sp_load_conn *conn)
{
    for (;;) {
        size_t got = 0;
        ERR_clear_error();
        int ret = SSL_read_ex(conn->ssl, load->scratch, sizeof(load->scratch), &got);
        if (ret != 1) {
            enum sp_rc rc = after_ssl(load, conn, ret);
            if (rc != SP_AGAIN)
                sp_load_conn_fail(load, conn, LOAD_ERR_READ, rc == SP_EOF ? "closed early" : strerror(errno));
            return;
        }
        enum sp_rc rc = take_answer(load, conn, load->scratch, got);
        if (rc == SP_FAIL)
            return;
        if (rc == SP_OK)
            break;
    }
    if (conn->job->close) {
        conn->state = LOAD_DRAINING;
        drain(load, conn);
    } else {
        end_operation(load, conn, conn->peer_closes);
    }
}

static void send_request(struct sp_load *load, struct sp_load_conn *conn)
{
    const struct sp_load_job *job = conn->job;
    uint64_t all = job->head_len + job->body_len;
    while (conn->sent < all) {
        const char *data = upload_block;
        size_t len = sizeof(upload_block), put = 0;
        if (conn->sent < job->head_len) {
            data = job->head + conn->sent;
            len = job->head_len - (size_t)conn->sent;
        } else if (all - conn->sent < len) {
            len = (size_t)(all - conn->sent);
        }
        ERR_clear_error();
        int ret = SSL_write_ex(conn->ssl, data, len, &put);
        if (ret != 1) {
            if (after_ssl(load, conn, ret) != SP_AGAIN)
                sp_load_conn_fail(load, conn, LOAD_ERR_WRITE, strerror(errno));
            return;
        }
        conn->sent += put;
        conn->active_ns = sp_load_now_ns();
    }
    conn->state = LOAD_READING; /* no attempt to read: the answer cannot be there yet */
    if (want(load, conn, EPOLLIN) != SP_OK)
        sp_load_conn_fail(load, conn, LOAD_ERR_READ, strerror(errno));
}

static void begin_request(struct sp_load *load, struct sp_load_conn *conn)
{
    conn->sent = 0;
    conn->body_got = 0;
    conn->body_want = 0;
    conn->head_len = 0;
    conn->head_done = false;
    conn->peer_closes = false;
    conn->state = LOAD_SENDING;
    send_request(load, conn);
}

static void shake_hands(struct sp_load *load, struct sp_load_conn *conn)
{
    ERR_clear_error();
    int ret = SSL_do_handshake(conn->ssl);
    if (ret != 1) {
        enum sp_rc rc = after_ssl(load, conn, ret);
        if (rc != SP_AGAIN)
            sp_load_conn_fail(load, conn, LOAD_ERR_HANDSHAKE, rc == SP_EOF ? "closed" : strerror(errno));
        return;
    }
    load->handshakes++;
    if (SSL_session_reused(conn->ssl) != conn->offered)
        sp_load_conn_fail(load, conn, LOAD_ERR_RESUMED,
            conn->offered ? "a resumed handshake was wanted" : "a full handshake was wanted");
    else
        begin_request(load, conn);
}

static void finish_connect(struct sp_load *load, struct sp_load_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        sp_load_conn_fail(load, conn, LOAD_ERR_CONNECT, strerror(error));
        return;
    }
    conn->state = LOAD_HANDSHAKING;
    shake_hands(load, conn);
}

/* A READY connection owes us nothing: session tickets may come, and the end. */
void sp_load_conn_look(struct sp_load *load, struct sp_load_conn *conn)
{
    size_t got = 0;
    ERR_clear_error();
    int ret = SSL_read_ex(conn->ssl, load->scratch, sizeof(load->scratch), &got);
    if (ret == 1) {
        sp_load_conn_fail(load, conn, LOAD_ERR_LENGTH, "bytes that nobody asked for");
        return;
    }
    if (after_ssl(load, conn, ret) == SP_AGAIN)
        return;
    if (!load->opt.reconnect) {
        sp_load_conn_fail(load, conn, LOAD_ERR_CLOSED, "the peer closed an idle connection");
        return;
    }
    ERR_clear_error();
    sp_load_conn_close(conn);
    load->reconnects++;
}

/* ---- from the run ---- */

/* The port is chosen only by connect(), which knows what is taken: the same one may serve other peers. */
static enum sp_rc bind_address(const struct sp_load *load, const struct sp_load_conn *conn)
{
    unsigned number = (unsigned)(conn - load->conns) / load->opt.per_address;
    struct sockaddr_in from = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl((INADDR_LOOPBACK & 0xff000000u) + 0x101u + number)};
    int on = 1;
    (void)setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(conn->fd, (const struct sockaddr *)&from, sizeof(from)) == 0 ? SP_OK : SP_FAIL;
}

static const char *open_socket(struct sp_load *load, struct sp_load_conn *conn)
{
    const struct sockaddr *peer = (const struct sockaddr *)&load->opt.peer;
    int on = 1;
    conn->fd = socket(peer->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return "socket";
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (load->opt.per_address > 0 && bind_address(load, conn) != SP_OK)
        return "bind";
    if (connect(conn->fd, peer, load->opt.peer_len) != 0 && errno != EINPROGRESS)
        return "connect";
    conn->ssl = sp_load_tls_new(load, conn);
    if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1)
        return "SSL_new";
    if (SSL_set_tlsext_host_name(conn->ssl, load->opt.sni) != 1)
        return "SNI";
    SSL_set_connect_state(conn->ssl);
    return want(load, conn, EPOLLOUT) == SP_OK ? NULL : "epoll";
}

void sp_load_conn_start(
    struct sp_load *load, struct sp_load_conn *conn, const struct sp_load_job *job, uint64_t begun_ns)
{
    conn->job = job;
    conn->begun_ns = begun_ns;
    conn->active_ns = sp_load_now_ns();
    conn->busy = true;
    conn->state = LOAD_CONNECTING;
    conn->interest = 0;
    const char *wrong = open_socket(load, conn);
    if (wrong != NULL) {
        char what[128];
        (void)snprintf(what, sizeof(what), "%s: %s", wrong, strerror(errno));
        sp_load_conn_fail(load, conn, LOAD_ERR_CONNECT, what);
    }
}

void sp_load_conn_send(
    struct sp_load *load, struct sp_load_conn *conn, const struct sp_load_job *job, uint64_t begun_ns)
{
    conn->job = job;
    conn->begun_ns = begun_ns;
    conn->active_ns = sp_load_now_ns();
    conn->busy = true;
    begin_request(load, conn);
}

void sp_load_conn_event(struct sp_load *load, struct sp_load_conn *conn, uint32_t events)
{
    (void)events; /* errors and hang-ups show in the call that the state makes next */
    switch (conn->state) {
    case LOAD_FREE:
        break;
    case LOAD_CONNECTING:
        finish_connect(load, conn);
        break;
    case LOAD_HANDSHAKING:
        shake_hands(load, conn);
        break;
    case LOAD_READY:
        sp_load_conn_look(load, conn);
        break;
    case LOAD_SENDING:
        send_request(load, conn);
        break;
    case LOAD_READING:
        conn->active_ns = sp_load_now_ns();
        read_answer(load, conn);
        break;
    case LOAD_DRAINING:
        drain(load, conn);
        break;
    }
}
