/* What a request on a connection that is kept costs the worker in system calls and allocations: four of the one (a read and a
 * write on either side) beside the waits of its loop, and none of the other. OpenSSL 3 takes and gives back four pieces of 40 bytes
 * while it writes a record (the brackets of its packet writer), which nothing can keep it from; they are counted, too.
 *
 * A real worker and a real TLS connection, with the client and the backend in the same thread; it counts while the worker's loop
 * is turned. So whatever is called is seen, whoever calls it. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "counted_calls.h"
#include "sallyport/base/clock.h"
#include "sallyport/config/diag.h"
#include "sallyport/io/socket.h"
#include "sallyport/proxy/worker.h"
#include "tls_fixture.h"

#define LONG_MS  60000
#define WARM_UP  100
#define REQUESTS 1000

static const char REQUEST[] =
    "GET /things/1?x=y HTTP/1.1\r\nHost: site.test\r\nUser-Agent: t\r\nAccept: */*\r\n\r\n";
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

struct rig {
    struct tls_pki pki;
    int listen_fd, backend; /* the backend's; it has one connection, which is used in turn */
    struct sp_meters *meters;
    struct sp_log *log;
    struct sp_loop *loop, *roster_loop;
    struct sp_roster *roster;
    struct sp_limits *limits;
    struct sp_tally tally;
    struct sp_snapshot *snapshot;
    struct sp_worker *worker;
    struct counted_calls calls;
    bool is_tcp; /* mode tcp: each client has a connection of the backend's to itself */
};

struct client {
    SSL_CTX *ctx;
    SSL *ssl;
};

static const char *write_config(struct rig *r, unsigned port)
{
    struct sp_config_certificate site = tls_files("site", &r->pki.site_a);
    const char *ca = fix_write_certs("ca.pem", (X509 *const[]){r->pki.client_ca.cert}, 1);
    char text[4096];

    (void)snprintf(text, sizeof(text),
        "workers: 1\n"
        "gates: 1\n"
        "listeners:\n"
        "  - {name: l, address: \"127.0.0.1:1\", mode: %s, tls: {certificates: [{chain: %s, key: %s}]},\n"
        "     client_auth: {ca: [%s], crl_missing: accept}}\n"
        "callers: {c: [{uri: \"spiffe://test/*\"}]}\n"
        "rules: [{name: r, from: [c]%s, upstream: u}]\n"
        "upstreams: {u: {endpoints: [\"127.0.0.1:%u\"]%s}}\n",
        r->is_tcp ? "tcp" : "http", site.chain, site.key, ca, r->is_tcp ? "" : ", path: \"/things/**\"", port,
        r->is_tcp ? "" : ", identity_headers: [plain, rfc9440]");
    return fix_write_text("sallyport.yaml", text);
}

static void load(struct rig *r)
{
    struct sp_snapshot_options options = {.gates = 1, .workers = 1, .generation = 1, .roster = r->roster};
    struct sp_diags diags = {0};
    struct sp_addr any;
    struct sp_err err;

    assert_int_equal(sp_addr_parse(SP_SLICE("127.0.0.1:0"), &any, &err), SP_OK);
    assert_int_equal(sp_socket_listen(&any, false, &r->listen_fd, &err), SP_OK);
    assert_int_equal(sp_socket_local(r->listen_fd, &any), SP_OK);
    if (sp_snapshot_load(write_config(r, sp_addr_port(&any)), &options, &r->snapshot, &diags) != SP_OK)
        fail_msg("%s", diags.items[0].text);
    sp_diags_free(&diags);
    sp_roster_follow(r->roster, r->snapshot->fleet);
    sp_loop_turn(r->roster_loop, 0);
}

/* `access`: a file, or "off". */
static struct rig *rig_new(bool is_tcp, const char *access)
{
    struct rig *r = SP_NEW(struct rig);
    struct sp_err err;

    assert_non_null(r);
    r->backend = -1;
    r->is_tcp = is_tcp;
    signal(SIGPIPE, SIG_IGN);
    tls_pki_make(&r->pki);
    r->meters = sp_meters_new();
    struct sp_meter_block *meter = sp_meters_add_block(r->meters);
    struct sp_log_options log = {
        .level = SP_LOG_INFO, .format = SP_LOG_JSON, .events = "off", .access = access};
    assert_int_equal(sp_log_start(&log, sp_meters_add_block(r->meters), &r->log, &err), SP_OK);
    assert_int_equal(sp_loop_new(&r->loop, &err), SP_OK);
    assert_int_equal(sp_loop_new(&r->roster_loop, &err), SP_OK);
    struct sp_roster_options roster = {
        .loop = r->roster_loop, .meter = sp_meters_add_block(r->meters), .workers = 1};
    assert_int_equal(sp_roster_new(&roster, &r->roster, &err), SP_OK);
    r->limits = sp_limits_new(16);
    load(r);
    struct sp_worker_options worker = {.loop = r->loop,
        .logger = sp_logger_new(r->log, meter),
        .meter = meter,
        .tally = &r->tally,
        .limits = r->limits,
        .roster = r->roster,
        .snapshot = r->snapshot};
    r->worker = sp_worker_new(&worker);
    assert_non_null(r->worker);
    return r;
}

static void rig_free(struct rig *r)
{
    sp_worker_free(r->worker);
    sp_log_stop(r->log, LONG_MS);
    sp_snapshot_unref(r->snapshot);
    sp_roster_free(r->roster);
    sp_loop_free(r->roster_loop);
    sp_loop_free(r->loop);
    sp_limits_free(r->limits);
    sp_meters_free(r->meters);
    tls_pki_free(&r->pki);
    close(r->backend);
    close(r->listen_fd);
    sp_free(r);
}

/* ---- the client ---- */

static void shake(struct sp_transport *t, SSL *ssl)
{
    struct sp_tls_refusal refusal;
    enum sp_rc rc = SP_AGAIN;

    while (rc != SP_OK || !SSL_is_init_finished(ssl)) {
        (void)SSL_do_handshake(ssl);
        sp_transport_ready(t, SP_EV_READ | SP_EV_WRITE);
        if (rc == SP_AGAIN && (rc = sp_tls_handshake(t, &refusal)) == SP_FAIL)
            fail_msg("%s", refusal.detail);
    }
}

static void hand_over(struct rig *r, struct sp_transport *t)
{
    struct sp_handover *h = sp_handover_new(&(struct sp_handover){.transport = t,
        .identity = sp_tls_take_identity(t),
        .timeouts = r->snapshot->listeners[0].config->timeouts,
        .mode = r->is_tcp ? SP_MODE_TCP : SP_MODE_HTTP,
        .authenticated_at = sp_tls_authenticated_at(t),
        .generation = 1,
        .accepted_ms = sp_mono_ms(),
        .listener = "l",
        .peer = "127.0.0.1:4711",
        .tls = "TLSv1.3"});
    struct sp_desk *desk = sp_worker_desk(r->worker);
    struct sp_err err;

    assert_non_null(h);
    assert_int_equal(sp_addr_parse(sp_slice_of(h->peer), &h->source, &err), SP_OK);
    h->destination = h->source;
    atomic_fetch_add(&r->tally.connections, 1);
    sp_handover_post(h, &desk, 1);
    sp_loop_turn(r->loop, 0);
}

static struct client client_open(struct rig *r, int version)
{
    struct client c = {.ctx = SSL_CTX_new(TLS_client_method())};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    SSL_CTX_set_min_proto_version(c.ctx, version);
    SSL_CTX_set_max_proto_version(c.ctx, version);
    assert_int_equal(SSL_CTX_use_certificate(c.ctx, r->pki.good.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c.ctx, r->pki.good.key), 1);
    c.ssl = SSL_new(c.ctx);
    assert_non_null(c.ssl);
    assert_int_equal(SSL_set_fd(c.ssl, fds[1]), 1);
    SSL_set_connect_state(c.ssl);
    struct sp_transport *t = sp_tls_conn_new(r->snapshot->listeners[0].tls[0], fds[0]);
    assert_non_null(t);
    shake(t, c.ssl);
    hand_over(r, t);
    return c;
}

static void client_close(struct client *c)
{
    close(SSL_get_fd(c->ssl));
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
}

/* ---- a request ---- */

/* The worker works until there is something for others to read on `fd`. */
static void work_until_readable(struct rig *r, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (poll(&p, 1, 0) == 0) {
        counted_calls_into(&r->calls);
        sp_loop_turn(r->loop, LONG_MS);
        counted_calls_into(NULL);
    }
}

static void accept_backend(struct rig *r)
{
    struct sp_addr peer;
    int errnum;

    work_until_readable(r, r->listen_fd);
    assert_int_equal(sp_socket_accept(r->listen_fd, &r->backend, &peer, &errnum), SP_OK);
}

static void answer(struct rig *r)
{
    char bytes[16384];
    size_t len = 0;

    while (len < 4 || memcmp(bytes + len - 4, "\r\n\r\n", 4) != 0) {
        work_until_readable(r, r->backend);
        ssize_t n = read(r->backend, bytes + len, sizeof(bytes) - len);
        assert_true(n > 0);
        len += (size_t)n;
    }
    if (r->is_tcp) {
        assert_int_equal(len, sizeof(REQUEST) - 1);
        assert_memory_equal(bytes, REQUEST, len);
    } else {
        assert_non_null(memmem(bytes, len, "\r\nX-Client-Subject: CN=good\r\n", 29));
        assert_non_null(memmem(bytes, len, "\r\nX-Forwarded-Proto: https\r\n", 28));
    }
    assert_int_equal(write(r->backend, ANSWER, sizeof(ANSWER) - 1), sizeof(ANSWER) - 1);
}

static void request(struct rig *r, struct client *c)
{
    char bytes[4096];
    size_t len = 0;
    int n;

    assert_int_equal(SSL_write(c->ssl, REQUEST, sizeof(REQUEST) - 1), sizeof(REQUEST) - 1);
    if (r->backend < 0)
        accept_backend(r);
    answer(r);
    while (len < 2 || memcmp(bytes + len - 2, "ok", 2) != 0) {
        work_until_readable(r, SSL_get_fd(c->ssl));
        while ((n = SSL_read(c->ssl, bytes + len, (int)(sizeof(bytes) - len))) > 0)
            len += (size_t)n;
    }
    assert_memory_equal(bytes, "HTTP/1.1 200 OK\r\n", 17);
}

static void tell(const char *what, const struct counted_calls *calls)
{
    print_message("%s, %d requests:", what, REQUESTS);
    for (int i = 0; i < CALL_COUNT; i++) {
        if (calls->of[i] > 0)
            print_message(" %s %lu", counted_names[i], calls->of[i]);
    }
    print_message("\n");
}

/* Warm, then counted. */
static void measure(struct rig *r, struct client *clients, int many, const char *what)
{
    for (int i = 0; i < WARM_UP * many; i++)
        request(r, &clients[i % many]);
    r->calls = (struct counted_calls){0};
    for (int i = 0; i < REQUESTS; i++)
        request(r, &clients[i % many]);
    tell(what, &r->calls);
}

/* The log's writer is woken where it sleeps: that is its own. */
static void assert_only_the_necessary(const struct counted_calls *calls, bool logs)
{
    assert_int_equal(calls->of[CALL_recv], 2 * REQUESTS);
    assert_int_equal(calls->of[CALL_send] + calls->of[CALL_sendmsg] + calls->of[CALL_writev], 2 * REQUESTS);
    for (int i = 0; i < CALL_COUNT; i++) {
        bool is_necessary = i == CALL_recv || i == CALL_send || i == CALL_sendmsg || i == CALL_writev;
        bool is_others = i == CALL_epoll_wait || i == CALL_small_of_openssl || (i == CALL_write && logs);
        if (!is_necessary && !is_others && calls->of[i] != 0)
            fail_msg("%lu of %s", calls->of[i], counted_names[i]);
    }
    assert_true(calls->of[CALL_write] <= REQUESTS);
    assert_true(calls->of[CALL_small_of_openssl] <= 4 * REQUESTS);
}

#define CLIENTS 8

struct setting {
    const char *what;
    int version, clients;
    bool logs, is_tcp;
};
static const struct setting SETTINGS[] = {
    {"TLS 1.3", TLS1_3_VERSION, 1, false, false},
    {"TLS 1.3 with the access log", TLS1_3_VERSION, 1, true, false},
    {"TLS 1.2", TLS1_2_VERSION, 1, false, false},
    {"TLS 1.3 of eight clients in turn", TLS1_3_VERSION, CLIENTS, false, false},
    {"TLS 1.3 in mode tcp", TLS1_3_VERSION, 1, false, true},
    {"TLS 1.2 in mode tcp", TLS1_2_VERSION, 1, false, true},
};

static void test_a_kept_request_costs_four_calls_and_no_allocation(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(SETTINGS); i++) {
        const struct setting *s = &SETTINGS[i];
        char access[256] = "off";
        if (s->logs)
            (void)snprintf(access, sizeof(access), "%s/access", fix_folder());
        struct rig *r = rig_new(s->is_tcp, access);
        struct client clients[CLIENTS];
        for (int c = 0; c < s->clients; c++)
            clients[c] = client_open(r, s->version);
        measure(r, clients, s->clients, s->what);
        assert_only_the_necessary(&r->calls, s->logs);
        for (int c = 0; c < s->clients; c++)
            client_close(&clients[c]);
        rig_free(r);
    }
    fix_remove_folder();
}

/* More than have their buffers kept: each has them taken away by the others before it comes again. */
#define CROWD 140

static void test_whoever_comes_again_is_served_however_many_there_are(void **state)
{
    (void)state;
    struct rig *r = rig_new(false, "off");
    struct client clients[CROWD];
    for (int i = 0; i < CROWD; i++)
        clients[i] = client_open(r, TLS1_3_VERSION);
    for (int i = 0; i < 4 * CROWD; i++)
        request(r, &clients[i % CROWD]);
    for (int i = 0; i < CROWD; i += 2)
        client_close(&clients[i]);
    for (int i = 1; i < 2 * CROWD; i += 2)
        request(r, &clients[i % CROWD]);
    for (int i = 1; i < CROWD; i += 2)
        client_close(&clients[i]);
    rig_free(r);
    fix_remove_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kept_request_costs_four_calls_and_no_allocation),
        cmocka_unit_test(test_whoever_comes_again_is_served_however_many_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
