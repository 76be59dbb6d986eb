/* When requests are sent: the opening of the connections with one uncounted request on each, the measured part
 * in closed loop or at a fixed rate, and the holding of idle connections.
 *
 * With --sync there are as many measured parts as stdin says lines: "ready" is printed once, then each line
 * runs one and prints its result; the connections stay open in between, and the end of stdin ends it. So
 * whoever reads the proxy's CPU clock can do it while nothing goes on, several proxies can be measured in turns
 * of a fraction of a second, and neither opening nor closing is counted.
 *
 * Every run ends: by count or time, each operation by its timeout, holding by --hold-seconds, and all by
 * SIGTERM. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define OPENING_MAX  16 /* handshakes in flight while opening: far under any proxy's limit */
#define SYNC_SECONDS 300
#define SIGNAL_EVENT UINT64_MAX
#define STDIN_EVENT  (UINT64_MAX - 1)
#define NS           1000000000u

uint64_t sp_load_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

uint64_t sp_load_error_sum(const struct sp_load *load)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < LOAD_ERR_KINDS; i++)
        sum += load->errors[i];
    return sum;
}

/* ---- what to begin ---- */

static uint64_t intended_ns(const struct sp_load *load, uint64_t n)
{
    return load->start_ns + (uint64_t)((double)n * 1e9 / load->opt.rate);
}

static bool may_begin(const struct sp_load *load)
{
    if (load->interrupted || sp_load_error_sum(load) >= load->opt.max_errors)
        return false;
    if (load->opt.count != 0 && load->begun >= load->opt.count)
        return false;
    if (load->opt.mode == LOAD_RATE) /* what was due before the end is sent, however late */
        return intended_ns(load, load->begun) < load->deadline_ns;
    return sp_load_now_ns() < load->deadline_ns;
}

static void begin(struct sp_load *load, struct sp_load_conn *conn, uint64_t begun_ns)
{
    load->begun++;
    if (conn->state == LOAD_READY && load->opt.reconnect)
        sp_load_conn_look(load, conn);
    if (conn->state == LOAD_FREE)
        conn->used = 0;
    bool is_last = load->opt.per_connection != 0 && ++conn->used >= load->opt.per_connection;
    const struct sp_load_job *job = is_last ? &load->last : &load->main;
    load->active++;
    if (conn->state == LOAD_FREE)
        sp_load_conn_start(load, conn, job, begun_ns);
    else
        sp_load_conn_send(load, conn, job, begun_ns);
}

static void begin_or_park(struct sp_load *load, struct sp_load_conn *conn)
{
    if (load->opt.mode == LOAD_RATE)
        load->parked[load->parked_count++] = (unsigned)(conn - load->conns);
    else if (may_begin(load))
        begin(load, conn, sp_load_now_ns());
}

static void begin_due(struct sp_load *load)
{
    while (load->parked_count > 0 && may_begin(load)) {
        uint64_t due_ns = intended_ns(load, load->begun);
        if (due_ns > sp_load_now_ns())
            break;
        begin(load, &load->conns[load->parked[--load->parked_count]], due_ns);
    }
}

/* Connections are opened a few at a time. */
static void open_next(struct sp_load *load)
{
    while (load->unopened > 0 && load->active < OPENING_MAX && !load->interrupted &&
           sp_load_error_sum(load) < load->opt.max_errors) {
        struct sp_load_conn *conn = &load->conns[--load->unopened];
        load->active++;
        sp_load_conn_start(load, conn, &load->warm, sp_load_now_ns());
    }
}

/* ---- what a connection reports ---- */

void sp_load_on_done(struct sp_load *load, struct sp_load_conn *conn)
{
    load->active--;
    if (!load->measuring) {
        load->ready++;
        return; /* the loop opens the next */
    }
    uint64_t now_ns = sp_load_now_ns();
    load->done++;
    load->end_ns = now_ns;
    load->bytes += conn->body_got + conn->job->body_len;
    sp_load_hist_add(&load->hist, conn->answered_ns - conn->begun_ns);
    if (conn->state == LOAD_FREE && !conn->job->close)
        load->reconnects++;
    begin_or_park(load, conn);
}

void sp_load_on_fail(struct sp_load *load, struct sp_load_conn *conn, bool was_busy)
{
    if (was_busy)
        load->active--;
    else if (!load->measuring)
        load->ready--;
    if (!load->measuring)
        return;
    load->end_ns = sp_load_now_ns();
    if (was_busy) /* one that was parked is still in its place, and reconnects when its turn comes */
        begin_or_park(load, conn);
}

/* ---- the loop ---- */

static void end_overdue(struct sp_load *load, uint64_t *swept_ns)
{
    uint64_t now_ns = sp_load_now_ns(), allowed_ns = (uint64_t)load->opt.timeout_ms * 1000000u;
    if (now_ns - *swept_ns < NS / 4)
        return;
    *swept_ns = now_ns;
    for (unsigned i = 0; i < load->conn_count; i++) {
        struct sp_load_conn *conn = &load->conns[i];
        if (conn->busy && now_ns > conn->active_ns && now_ns - conn->active_ns > allowed_ns)
            sp_load_conn_fail(load, conn, LOAD_ERR_TIMEOUT, "nothing moved within --timeout");
    }
}

/* SP_EOF: stdin has ended. */
static enum sp_rc read_line(void)
{
    char line[256];
    return read(STDIN_FILENO, line, sizeof(line)) > 0 ? SP_OK : SP_EOF;
}

/* One turn: waits until something happens, at most `wait_ns`. SP_OK: stdin said something. SP_EOF: it has ended.
 * SP_AGAIN: neither. */
static enum sp_rc turn(struct sp_load *load, uint64_t wait_ns, uint64_t *swept_ns)
{
    struct epoll_event events[256];
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS), .tv_nsec = (long)(wait_ns % NS)};
    enum sp_rc told = SP_AGAIN;
    int n = epoll_pwait2(load->epoll_fd, events, (int)SP_COUNTOF(events), &wait, NULL);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == SIGNAL_EVENT)
            load->interrupted = true;
        else if (events[i].data.u64 == STDIN_EVENT)
            told = read_line();
        else
            sp_load_conn_event(load, &load->conns[events[i].data.u64], events[i].events);
    }
    end_overdue(load, swept_ns);
    return told;
}

static enum sp_rc watch(struct sp_load *load, int fd, uint64_t what)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = what};
    return epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? SP_OK : SP_FAIL;
}

/* Until stdin says a line (SP_OK) or ends (SP_EOF), at most `wait_ns`; only that long if it cannot be watched,
 * as a file or /dev/null. SP_FAIL: neither came, or a signal did. */
static enum sp_rc await_line(struct sp_load *load, uint64_t wait_ns)
{
    uint64_t end_ns = sp_load_now_ns() + wait_ns, swept_ns = 0;
    enum sp_rc told = SP_AGAIN;
    (void)watch(load, STDIN_FILENO, STDIN_EVENT);
    while (told == SP_AGAIN && !load->interrupted && sp_load_now_ns() < end_ns)
        told = turn(load, NS / 10, &swept_ns);
    (void)epoll_ctl(load->epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    return told == SP_AGAIN ? SP_FAIL : told;
}

static enum sp_rc open_all(struct sp_load *load)
{
    uint64_t swept_ns = 0;
    load->unopened = load->conn_count;
    for (;;) {
        open_next(load);
        if (load->active == 0)
            break;
        (void)turn(load, NS / 10, &swept_ns);
    }
    if (load->interrupted || load->unopened > 0 ||
        (load->ready < load->conn_count && load->opt.mode != LOAD_IDLE)) {
        (void)fprintf(
            stderr, "sp_load: %u of %u connections could be opened\n", load->ready, load->conn_count);
        return SP_FAIL;
    }
    return SP_OK;
}

static uint64_t until_next(const struct sp_load *load)
{
    uint64_t now_ns = sp_load_now_ns(), next_ns;
    if (load->opt.mode != LOAD_RATE || load->parked_count == 0 || !may_begin(load))
        return NS / 10;
    next_ns = intended_ns(load, load->begun);
    return next_ns > now_ns ? next_ns - now_ns : 0;
}

void sp_load_measure(struct sp_load *load)
{
    uint64_t swept_ns = 0;
    load->measuring = true;
    load->begun = load->done = load->bytes = load->handshakes = load->reconnects = 0;
    load->parked_count = 0;
    memset(&load->hist, 0, sizeof(load->hist));
    load->start_ns = load->end_ns = sp_load_now_ns();
    load->deadline_ns = load->start_ns + (uint64_t)(load->opt.seconds * 1e9);
    for (unsigned i = 0; i < load->conn_count; i++)
        begin_or_park(load, &load->conns[i]);
    for (;;) {
        if (load->opt.mode == LOAD_RATE)
            begin_due(load);
        if (load->active == 0 && !may_begin(load))
            break;
        (void)turn(load, until_next(load), &swept_ns);
    }
    load->measuring = false;
}

void sp_load_hold(struct sp_load *load)
{
    (void)printf("held %u\n", load->ready);
    (void)fflush(stdout);
    load->start_ns = sp_load_now_ns();
    (void)await_line(load, (uint64_t)(load->opt.hold_seconds * 1e9));
    load->end_ns = sp_load_now_ns();
    load->done = load->ready; /* those still open */
}

static enum sp_rc prepare(struct sp_load *load)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    load->conn_count = load->opt.connections;
    load->conns = calloc(load->conn_count, sizeof(*load->conns));
    load->parked = calloc(load->conn_count, sizeof(*load->parked));
    if (load->epoll_fd < 0 || load->signal_fd < 0 || load->conns == NULL || load->parked == NULL ||
        watch(load, load->signal_fd, SIGNAL_EVENT) != SP_OK) {
        (void)fprintf(stderr, "sp_load: %s\n", strerror(errno));
        return SP_FAIL;
    }
    for (unsigned i = 0; i < load->conn_count; i++)
        load->conns[i].fd = -1;
    return SP_OK;
}

enum sp_rc sp_load_open(struct sp_load *load)
{
    if (prepare(load) != SP_OK)
        return SP_FAIL;
    if (load->opt.mode != LOAD_HANDSHAKE && open_all(load) != SP_OK)
        return SP_FAIL;
    if (load->opt.sync && load->opt.mode != LOAD_IDLE) {
        (void)printf("ready\n");
        (void)fflush(stdout);
    }
    return SP_OK;
}

enum sp_rc sp_load_await(struct sp_load *load)
{
    enum sp_rc rc = await_line(load, (uint64_t)SYNC_SECONDS * NS);
    if (rc == SP_FAIL)
        (void)fprintf(stderr, "sp_load: no line on stdin within %u s\n", SYNC_SECONDS);
    return rc;
}

void sp_load_close(struct sp_load *load)
{
    for (unsigned i = 0; load->conns != NULL && i < load->conn_count; i++) {
        sp_load_conn_close(&load->conns[i]);
        SSL_SESSION_free(load->conns[i].session);
    }
    free(load->conns);
    free(load->parked);
    if (load->epoll_fd >= 0)
        (void)close(load->epoll_fd);
    if (load->signal_fd >= 0)
        (void)close(load->signal_fd);
}
