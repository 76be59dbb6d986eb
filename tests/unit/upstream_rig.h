/* Two workers, a roster and backends, all in this one thread: loopback sockets and real loops, turned by hand. A backend accepts,
 * reads and writes between two turns. Every wait is for an event; the guard against a hang is ctest's. */
#ifndef SP_TEST_UPSTREAM_RIG_H
#define SP_TEST_UPSTREAM_RIG_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/config/diag.h"
#include "sallyport/io/socket.h"
#include "upstream/pool/pool_impl.h"
#include "upstream/roster/roster_impl.h"

#define LONG_MS  60000
#define BACKENDS 3
#define WORKERS  2

static const char RESPONSE[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/* A listening socket of ours, and how a configuration names it. */
struct backend {
    int listen_fd;
    struct sp_config_endpoint endpoint;
};

struct worker {
    struct sp_loop *loop;
    struct sp_pool blocks;
    struct sp_meter_block meter;
    struct sp_random random;
    struct sp_upstreams *u;
};

struct rig {
    struct sp_loop *roster_loop;
    struct sp_meter_block roster_meter;
    struct sp_roster *roster;
    struct worker workers[WORKERS];
    struct backend backends[BACKENDS];
    struct sp_config_endpoint endpoints[BACKENDS]; /* what the next fleet is made of */
    struct sp_config_upstream upstream;
    struct sp_fleet *fleet;
    unsigned events;
};

static inline void listen_somewhere(struct backend *b)
{
    struct sp_addr any;
    struct sp_err err;

    assert_int_equal(sp_addr_parse(SP_SLICE("127.0.0.1:0"), &any, &err), SP_OK);
    assert_int_equal(sp_socket_listen(&any, false, &b->listen_fd, &err), SP_OK);
    assert_int_equal(sp_socket_local(b->listen_fd, &b->endpoint.address), SP_OK);
    b->endpoint.weight = 1;
}

/* The next fleet has backends first, first + 1, ... */
static inline void name_backends(struct rig *r, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        r->endpoints[i] = r->backends[first + i].endpoint;
    r->upstream.endpoint_count = count;
}

static inline void *copy_into(struct sp_arena *arena, const void *bytes, size_t size)
{
    void *copy = sp_arena_alloc(arena, 1, size);

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    return copy;
}

static inline struct sp_config *make_config(const struct rig *r)
{
    struct sp_config *config = SP_NEW(struct sp_config);

    assert_non_null(config);
    atomic_init(&config->refs, 1);
    sp_arena_init(&config->arena, 0);
    struct sp_config_upstream *u = copy_into(&config->arena, &r->upstream, sizeof(r->upstream));
    u->endpoints = copy_into(&config->arena, r->endpoints, sizeof(r->endpoints));
    config->file = "test";
    config->upstreams = u;
    config->upstream_count = 1;
    config->limits = (struct sp_config_limits){.header_bytes = 8192, .headers = 32};
    return config;
}

/* Puts what r->upstream and r->endpoints say in force. */
static inline struct sp_fleet *new_fleet(struct rig *r)
{
    struct sp_diags diags = {0};
    struct sp_config *config = make_config(r);
    struct sp_fleet_options options = {.roster = r->roster, .before = r->fleet, .workers = WORKERS};
    struct sp_fleet *fleet = sp_fleet_new(config, &options, &diags);

    assert_non_null(fleet);
    sp_config_free(config);
    sp_fleet_unref(r->fleet);
    r->fleet = fleet;
    sp_roster_follow(r->roster, fleet);
    sp_loop_turn(r->roster_loop, 0);
    return fleet;
}

/* For the worker, of what is in force. */
static inline struct sp_targets *targets_of(struct rig *r, unsigned worker)
{
    struct sp_targets *t = sp_targets_new(r->workers[worker].u, r->fleet, r->fleet->config);

    assert_non_null(t);
    return t;
}

/* A new fleet and the first worker's view of it. */
static inline struct sp_targets *targets(struct rig *r)
{
    new_fleet(r);
    return targets_of(r, 0);
}

static inline void start_worker(struct rig *r, unsigned i)
{
    struct worker *w = &r->workers[i];
    struct sp_err err;

    assert_int_equal(sp_loop_new(&w->loop, &err), SP_OK);
    sp_pool_init(&w->blocks, SP_IO_BLOCK, 4, 0);
    w->random = (struct sp_random){{1, 2, 3, 4 + i}};
    struct sp_upstreams_options options = {.loop = w->loop,
        .blocks = &w->blocks,
        .meter = &w->meter,
        .random = &w->random,
        .roster = r->roster,
        .worker = i};
    w->u = sp_upstreams_new(&options);
    assert_non_null(w->u);
}

static inline int set_up(void **state)
{
    struct rig *r = SP_NEW(struct rig);
    struct sp_err err;

    assert_non_null(r);
    assert_int_equal(sp_loop_new(&r->roster_loop, &err), SP_OK);
    struct sp_roster_options options = {
        .loop = r->roster_loop, .meter = &r->roster_meter, .workers = WORKERS};
    assert_int_equal(sp_roster_new(&options, &r->roster, &err), SP_OK);
    for (unsigned i = 0; i < WORKERS; i++)
        start_worker(r, i);
    for (int i = 0; i < BACKENDS; i++)
        listen_somewhere(&r->backends[i]);
    r->upstream = (struct sp_config_upstream){
        .name = "u", .max_idle = 8, .idle_ms = LONG_MS, .retries = {.attempts = SP_TRIES_MAX}};
    name_backends(r, 0, BACKENDS);
    *state = r;
    return 0;
}

static inline int tear_down(void **state)
{
    struct rig *r = *state;

    for (int i = 0; i < WORKERS; i++)
        sp_loop_turn(r->workers[i].loop, 0);
    for (int i = 0; i < WORKERS; i++) {
        sp_upstreams_free(r->workers[i].u);
        sp_loop_free(r->workers[i].loop);
        sp_pool_destroy(&r->workers[i].blocks);
    }
    sp_fleet_unref(r->fleet);
    sp_roster_free(r->roster);
    sp_loop_free(r->roster_loop);
    for (int i = 0; i < BACKENDS; i++)
        close(r->backends[i].listen_fd);
    sp_free(r);
    return 0;
}

/* ---- what happens meanwhile ---- */

/* Everything that is on its way between the loops arrives. */
static inline void turn_all(struct rig *r)
{
    for (int round = 0; round < 4; round++) {
        sp_loop_turn(r->roster_loop, 0);
        for (int i = 0; i < WORKERS; i++)
            sp_loop_turn(r->workers[i].loop, 0);
    }
}

static inline uint64_t counted(const struct rig *r, enum sp_meter_id id)
{
    uint64_t sum = 0;

    for (int i = 0; i < WORKERS; i++)
        sum += atomic_load(&r->workers[i].meter.values[id]);
    return sum;
}

static inline unsigned connections_of(const struct sp_endpoint *ep)
{
    return atomic_load(&((struct sp_endpoint *)(uintptr_t)ep)->connections);
}

static inline void on_event(void *arg)
{
    (*(unsigned *)arg)++;
}

static inline struct sp_errand errand(struct rig *r)
{
    return (struct sp_errand){.on_event = on_event, .arg = &r->events};
}

/* As the owner of one that came to stand. */
static inline struct sp_upconn *take(struct sp_targets *t, struct sp_errand *e)
{
    struct sp_upconn *c = NULL;

    assert_int_equal(sp_upconn_take(t, e, &c), SP_OK);
    assert_non_null(c);
    assert_ptr_equal(e->endpoint, c->endpoint);
    e->reached = true;
    return c;
}

/* By an errand that asks once. */
static inline struct sp_upconn *take_once(struct rig *r, struct sp_targets *t, bool fresh)
{
    struct sp_errand e = errand(r);

    e.fresh = fresh;
    struct sp_upconn *c = take(t, &e);
    sp_errand_end(&e);
    return c;
}

static inline enum sp_rc connected_on(struct sp_loop *loop, struct sp_upconn *c, struct sp_err *err)
{
    enum sp_rc rc;

    while ((rc = sp_upconn_connected(c, err)) == SP_AGAIN)
        sp_loop_turn(loop, LONG_MS);
    return rc;
}

static inline enum sp_rc connected(struct rig *r, struct sp_upconn *c)
{
    struct sp_err err;

    return connected_on(r->workers[0].loop, c, &err);
}

static inline void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, LONG_MS), 1);
}

static inline int accept_from(const struct backend *b)
{
    struct sp_addr peer;
    int fd = -1, errnum;

    wait_readable(b->listen_fd);
    assert_int_equal(sp_socket_accept(b->listen_fd, &fd, &peer, &errnum), SP_OK);
    return fd;
}

static inline void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* True when the peer has ended; what it sent before is dropped. */
static inline bool ends(int fd)
{
    char bytes[4096];
    ssize_t n;

    do {
        wait_readable(fd);
        n = read(fd, bytes, sizeof(bytes));
    } while (n > 0);
    return n == 0;
}

/* Sends a request on `c`, whose other end is `fd`, and reads it there. */
static inline void request(struct rig *r, struct sp_upconn *c, int fd)
{
    struct sp_head_out out = {.method = SP_SLICE("GET"), .target = SP_SLICE("/")};
    char bytes[4096];

    assert_int_equal(connected(r, c), SP_OK);
    assert_int_equal(c->stream->ops->send_head(c->stream, &out), SP_OK);
    assert_int_equal(c->stream->ops->send_end(c->stream, NULL, 0), SP_OK);
    assert_int_equal(c->stream->ops->flush(c->stream), SP_OK);
    wait_readable(fd);
    assert_true(read(fd, bytes, sizeof(bytes)) > 0);
}

static inline void receive(struct rig *r, struct sp_upconn *c)
{
    const struct sp_head *head;
    struct sp_fault fault;
    struct sp_slice data;
    enum sp_rc rc;

    while ((rc = c->stream->ops->recv_head(c->stream, &head, &fault)) == SP_AGAIN)
        sp_loop_turn(r->workers[0].loop, LONG_MS);
    assert_int_equal(rc, SP_OK);
    while ((rc = c->stream->ops->recv_body(c->stream, &data, &fault)) != SP_EOF) {
        if (rc == SP_OK)
            c->stream->ops->consume(c->stream, data.len);
        else
            sp_loop_turn(r->workers[0].loop, LONG_MS);
    }
}

static inline void exchange(struct rig *r, struct sp_upconn *c, int fd, const char *response)
{
    request(r, c, fd);
    say(fd, response);
    receive(r, c);
}

/* A connection to the only backend there is that has carried one exchange and is kept. */
static inline struct sp_upconn *keep_one(struct rig *r, struct sp_targets *t, int *fd)
{
    struct sp_upconn *c = take_once(r, t, true);

    *fd = accept_from(&r->backends[0]);
    exchange(r, c, *fd, RESPONSE);
    sp_upconn_put(c);
    return c;
}

#endif
