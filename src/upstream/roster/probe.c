/* One question to one endpoint.
 *
 *   start ─► connect ─► preface ─► TLS ─► send ─► receive ─► done
 *               │          │         │  └─ no path ──────────► done
 *               └──────────┴─────────┴─── failure, deadline ─► done
 *
 * Steps are made at the end of a turn, after whatever edges came; so on_done never comes from within sp_probe_start. The body of
 * the answer is not read: the connection is closed after its head. */
#include "upstream/roster/probe.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/base/text.h"
#include "sallyport/io/proxy_protocol.h"
#include "sallyport/io/socket.h"

static const struct sp_h1_limits LIMITS = {.header_bytes = 16384, .headers = SP_HEADERS_MAX};

static const struct sp_fleet_upstream *upstream_of(const struct sp_probe *p)
{
    return &p->fleet->upstreams[p->upstream];
}

static const struct sp_config_health_check *terms_of(const struct sp_probe *p)
{
    return upstream_of(p)->config->health_check;
}

/* ---- the end ---- */

static void drop(struct sp_probe *p)
{
    sp_watch_free(p->watch);
    if (p->stream != NULL)
        p->stream->ops->free(p->stream);
    sp_transport_free(p->transport);
    if (p->fd >= 0)
        close(p->fd);
    sp_buf_free(&p->preface);
    sp_fleet_unref(p->fleet);
    sp_endpoint_unref(p->endpoint);
    sp_timer_stop(p->deadline);
    sp_task_cancel(&p->go_on);
    p->watch = NULL;
    p->stream = NULL;
    p->transport = NULL;
    p->fd = -1;
    p->fleet = NULL;
    p->endpoint = NULL;
    p->phase = SP_PROBE_IDLE;
}

static enum sp_rc fail(struct sp_probe *p, const char *what, const char *why)
{
    (void)snprintf(
        p->failure, sizeof(p->failure), "%s%s%.128s", what, why != NULL ? ": " : "", why != NULL ? why : "");
    return SP_FAIL;
}

static enum sp_rc lack(struct sp_probe *p, int errnum)
{
    p->is_ours = true;
    return fail(p, "it could not be asked", strerrordesc_np(errnum));
}

static enum sp_rc cannot_connect(struct sp_probe *p, int errnum)
{
    return sp_socket_is_our_lack(errnum) ? lack(p, errnum) : fail(p, "connect", strerrordesc_np(errnum));
}

/* ---- steps: SP_OK with another phase, SP_AGAIN, SP_EOF when all is well, SP_FAIL ---- */

static enum sp_rc finish_connect(struct sp_probe *p)
{
    int errnum = 0;
    enum sp_rc rc = sp_socket_connect_result(p->fd, &errnum);

    if (rc == SP_FAIL)
        return cannot_connect(p, errnum);
    if (rc == SP_OK)
        p->phase = SP_PROBE_PREFACE;
    return rc;
}

/* We speak for nobody: LOCAL. */
static bool make_preface(struct sp_probe *p)
{
    const struct sp_proxy_about about = {0};
    char text[SP_PROXY_V1_MAX];

    switch (upstream_of(p)->config->proxy_protocol) {
    case SP_PROXY_OFF:
        return true;
    case SP_PROXY_V1:
        return sp_buf_add(&p->preface, text, sp_proxy_write_v1(&about, text)) == SP_OK;
    case SP_PROXY_V2:
        return sp_proxy_write_v2(&about, &p->preface, NULL) == SP_OK;
    }
    return false;
}

static enum sp_rc make_transport(struct sp_probe *p)
{
    struct sp_tls_client *const *clients = upstream_of(p)->tls;
    const char *host = p->endpoint->host[0] != '\0' ? p->endpoint->host : NULL;

    p->transport = clients == NULL ? sp_plain_new(p->fd)
                                   : sp_tls_client_conn_new(clients[p->fleet->workers], p->fd, host,
                                         terms_of(p)->path != NULL ? "http/1.1" : NULL, p->saved);
    if (p->transport == NULL)
        return lack(p, ENOMEM);
    p->fd = -1;
    sp_transport_ready(p->transport, p->early_events);
    p->phase = SP_PROBE_TLS;
    return SP_OK;
}

static enum sp_rc send_preface(struct sp_probe *p)
{
    if (p->preface.len == 0 && !make_preface(p))
        return lack(p, ENOMEM);
    while (p->preface_sent < p->preface.len) {
        ssize_t sent =
            send(p->fd, p->preface.ptr + p->preface_sent, p->preface.len - p->preface_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return SP_AGAIN;
        if (sent < 0)
            return fail(p, "PROXY header", strerrordesc_np(errno));
        p->preface_sent += (size_t)sent;
    }
    return make_transport(p);
}

static enum sp_rc shake_hands(struct sp_probe *p)
{
    struct sp_err err = {0};

    if (upstream_of(p)->tls != NULL) {
        enum sp_rc rc = sp_tls_client_handshake(p->transport, &err);
        if (rc == SP_FAIL && sp_socket_is_our_lack(err.sys))
            return lack(p, err.sys);
        if (rc == SP_FAIL)
            return fail(p, "TLS", err.text);
        if (rc != SP_OK)
            return rc;
    }
    if (terms_of(p)->path == NULL)
        return SP_EOF;
    p->stream = sp_h1_new(SP_CLIENT, p->transport, &p->roster->blocks, &LIMITS);
    if (p->stream == NULL)
        return lack(p, ENOMEM);
    p->phase = SP_PROBE_SEND;
    return SP_OK;
}

static struct sp_slice host_of(const struct sp_probe *p, char *room, size_t size)
{
    const struct sp_config_upstream *u = upstream_of(p)->config;
    const struct sp_endpoint *ep = p->endpoint;
    const char *written = terms_of(p)->host != NULL ? terms_of(p)->host : u->host;

    if (written != NULL)
        return sp_slice_of(written);
    if (sp_addr_is_unix(&ep->address))
        return SP_SLICE("localhost");
    if (strchr(ep->host, ':') != NULL)
        return sp_slice_of(ep->text); /* an IPv6 address, in brackets */
    (void)snprintf(room, size, "%s:%u", ep->host, sp_addr_port(&ep->address));
    return sp_slice_of(room);
}

static enum sp_rc send_request(struct sp_probe *p)
{
    char room[sizeof(p->endpoint->host) + 8];
    const struct sp_line lines[] = {
        {SP_SLICE("Host"), host_of(p, room, sizeof(room))},
        {SP_SLICE("User-Agent"), SP_SLICE("sallyport-health-check")},
        {SP_SLICE("Accept"), SP_SLICE("*/*")},
    };
    const struct sp_head_out head = {.method = SP_SLICE("GET"),
        .target = sp_slice_of(terms_of(p)->path),
        .lines = lines,
        .line_count = SP_COUNTOF(lines),
        .framing = SP_FRAMING_NONE,
        .close = true};

    enum sp_rc rc = p->stream->ops->send_head(p->stream, &head);
    if (rc == SP_AGAIN)
        return lack(p, ENOMEM);
    if (rc != SP_OK || p->stream->ops->send_end(p->stream, NULL, 0) != SP_OK)
        return fail(p, "the request cannot be written", NULL);
    p->phase = SP_PROBE_RECEIVE;
    return SP_OK;
}

static enum sp_rc receive(struct sp_probe *p)
{
    const struct sp_config_health_check *terms = terms_of(p);
    const struct sp_head *head = NULL;
    struct sp_fault fault = {0};
    enum sp_rc rc = p->stream->ops->flush(p->stream);

    if (rc == SP_FAIL)
        return fail(p, "the connection broke", NULL);
    do
        rc = p->stream->ops->recv_head(p->stream, &head, &fault);
    while (rc == SP_OK && head->status < 200);
    if (rc == SP_AGAIN)
        return rc;
    if (rc == SP_EOF)
        return fail(p, "the connection was closed without an answer", NULL);
    if (rc == SP_FAIL && fault.reason == SP_REFUSAL_overloaded)
        return lack(p, ENOMEM);
    if (rc == SP_FAIL)
        return fail(p, "bad answer", fault.detail);
    if (head->status >= terms->status_min && head->status <= terms->status_max)
        return SP_EOF;
    (void)snprintf(p->failure, sizeof(p->failure), "status %u", head->status);
    return SP_FAIL;
}

static enum sp_rc step(struct sp_probe *p)
{
    switch (p->phase) {
    case SP_PROBE_IDLE:
        return SP_FAIL; /* it could not even be begun; `failure` says why */
    case SP_PROBE_CONNECT:
        return finish_connect(p);
    case SP_PROBE_PREFACE:
        return send_preface(p);
    case SP_PROBE_TLS:
        return shake_hands(p);
    case SP_PROBE_SEND:
        return send_request(p);
    case SP_PROBE_RECEIVE:
        break;
    }
    return receive(p);
}

static void on_go_on(struct sp_task *task)
{
    struct sp_probe *p = SP_CONTAINER_OF(task, struct sp_probe, go_on);
    enum sp_rc rc;

    do
        rc = step(p);
    while (rc == SP_OK);
    if (rc == SP_AGAIN)
        return;
    drop(p);
    p->on_done(p, rc == SP_FAIL ? p->failure : NULL);
}

static void on_edge(void *arg, unsigned events)
{
    struct sp_probe *p = arg;

    if (p->transport != NULL)
        sp_transport_ready(p->transport, events);
    else
        p->early_events |= events;
    sp_loop_defer(p->roster->loop, &p->go_on);
}

/* In the words of what it waited for. */
static void on_deadline(void *arg)
{
    static const char *const waits[] = {
        [SP_PROBE_IDLE] = "beginning",
        [SP_PROBE_CONNECT] = "connecting",
        [SP_PROBE_PREFACE] = "sending the PROXY header",
        [SP_PROBE_TLS] = "the TLS handshake",
        [SP_PROBE_SEND] = "sending",
        [SP_PROBE_RECEIVE] = "the answer",
    };
    struct sp_probe *p = arg;
    char time[SP_DURATION_MAX];

    (void)snprintf(p->failure, sizeof(p->failure), "%s took more than %s", waits[p->phase],
        sp_format_duration_ms(terms_of(p)->timeout_ms, time));
    drop(p);
    p->on_done(p, p->failure);
}

/* ---- life ---- */

enum sp_rc sp_probe_init(
    struct sp_probe *p, struct sp_roster *r, void (*on_done)(struct sp_probe *p, const char *failure))
{
    *p = (struct sp_probe){.roster = r, .on_done = on_done, .fd = -1};
    sp_task_init(&p->go_on, on_go_on);
    p->deadline = sp_timer_new(r->loop, on_deadline, p);
    return p->deadline != NULL ? SP_OK : SP_FAIL;
}

static void set_port(struct sp_addr *a, unsigned port)
{
    if (a->u.sa.sa_family == AF_INET)
        a->u.in4.sin_port = htons((uint16_t)port);
    else if (a->u.sa.sa_family == AF_INET6)
        a->u.in6.sin6_port = htons((uint16_t)port);
}

void sp_probe_start(struct sp_probe *p, size_t upstream, struct sp_endpoint *ep, struct sp_tls_saved *saved)
{
    struct sp_addr address = ep->address;
    int errnum = 0;

    p->fleet = sp_fleet_ref(p->roster->fleet);
    p->upstream = upstream;
    p->endpoint = sp_endpoint_ref(ep);
    p->saved = saved;
    p->early_events = 0;
    p->preface_sent = 0;
    p->is_ours = false;
    if (terms_of(p)->port != 0)
        set_port(&address, terms_of(p)->port);
    sp_timer_set(p->deadline, terms_of(p)->timeout_ms);
    sp_loop_defer(p->roster->loop, &p->go_on);
    enum sp_rc rc = sp_socket_connect(&address, &p->fd, &errnum);
    if (rc == SP_FAIL) {
        p->fd = -1;
        (void)cannot_connect(p, errnum);
        return;
    }
    p->watch = sp_watch_new(p->roster->loop, p->fd, on_edge, p);
    if (p->watch == NULL)
        (void)lack(p, ENOMEM);
    else
        p->phase = SP_PROBE_CONNECT;
}

void sp_probe_destroy(struct sp_probe *p)
{
    drop(p);
    sp_timer_free(p->deadline);
    p->deadline = NULL;
}
