/* How a connection comes to stand: TCP, then the preface (a PROXY header), then TLS, then the codec.
 *
 * Until the preface is out there is a bare descriptor. Nothing is read before TLS reads: bytes that a backend sends in plain are no TLS
 * record, and the handshake fails by them. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/io/socket.h"
#include "upstream/pool/conn_impl.h"

struct sp_conn *sp_conn_open(
    struct sp_upstreams *u, struct sp_outlet *o, const struct sp_errand *e, int *errnum)
{
    struct sp_conn *c = SP_NEW(struct sp_conn);

    if (c == NULL) {
        *errnum = ENOMEM;
        return NULL;
    }
    sp_list_init(&c->link);
    enum sp_rc rc = sp_socket_connect(&o->endpoint->address, &c->fd, errnum);
    if (rc == SP_FAIL) {
        sp_free(c);
        return NULL;
    }
    c->watch = sp_watch_new(u->with.loop, c->fd, sp_conn_on_edge, c);
    if (c->watch == NULL) {
        *errnum = ENOMEM;
        close(c->fd);
        sp_free(c);
        return NULL;
    }
    c->phase = rc == SP_AGAIN ? SP_CONN_CONNECTING : SP_CONN_PREFACE;
    c->owner = u;
    c->outlet = o;
    c->up.endpoint = o->endpoint;
    c->preface = e->preface;
    c->is_raw = e->is_raw;
    c->is_private = e->is_raw || e->preface.len > 0;
    o->held++;
    return c;
}

/* Each step: SP_OK and a later phase, SP_AGAIN, or SP_FAIL. */

static enum sp_rc finish_connect(struct sp_conn *c, struct sp_err *err)
{
    int errnum = 0;
    enum sp_rc rc = sp_socket_connect_result(c->fd, &errnum);

    if (rc == SP_FAIL)
        return sp_err_sys(err, errnum, "connect");
    if (rc == SP_OK)
        c->phase = SP_CONN_PREFACE;
    return rc;
}

static enum sp_rc send_preface(struct sp_conn *c, struct sp_err *err)
{
    while (c->preface.len > 0) {
        ssize_t sent = send(c->fd, c->preface.ptr, c->preface.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return SP_AGAIN;
        if (sent < 0)
            return sp_err_sys(err, errno, "PROXY header");
        c->preface = sp_slice_sub(c->preface, (size_t)sent, c->preface.len);
    }
    return SP_OK;
}

/* The descriptor is the transport's from here on. */
static enum sp_rc make_transport(struct sp_conn *c, struct sp_err *err)
{
    struct sp_tls_client *tls = sp_fleet_tls(c->targets->fleet, c->upstream, c->owner->with.worker);
    const char *host = c->up.endpoint->host;

    c->up.transport = tls == NULL ? sp_plain_new(c->fd)
                                  : sp_tls_client_conn_new(tls, c->fd, host[0] != '\0' ? host : NULL,
                                        c->is_raw ? NULL : "http/1.1", &c->outlet->saved);
    if (c->up.transport == NULL)
        return sp_err_sys(err, ENOMEM, "connection");
    c->fd = -1;
    c->tls = tls;
    sp_transport_ready(c->up.transport, c->early_events);
    c->phase = SP_CONN_TLS;
    return SP_OK;
}

static enum sp_rc shake_hands(struct sp_conn *c, struct sp_err *err)
{
    if (c->tls != NULL) {
        err->sys = 0;
        enum sp_rc rc = sp_tls_client_handshake(c->up.transport, err);
        if (rc == SP_FAIL && err->sys == 0)
            err->sys = EPROTO;
        if (rc != SP_OK)
            return rc;
    }
    if (!c->is_raw) {
        c->up.stream = sp_h1_new(SP_CLIENT, c->up.transport, c->owner->with.blocks, &c->targets->limits);
        if (c->up.stream == NULL)
            return sp_err_sys(err, ENOMEM, "connection");
        if (c->owner->with.runs != NULL)
            sp_h1_use_runs(c->up.stream, c->owner->with.runs);
    }
    c->phase = SP_CONN_OPEN;
    return SP_OK;
}

static enum sp_rc step(struct sp_conn *c, struct sp_err *err)
{
    enum sp_rc rc;

    switch (c->phase) {
    case SP_CONN_CONNECTING:
        return finish_connect(c, err);
    case SP_CONN_PREFACE:
        rc = send_preface(c, err);
        return rc == SP_OK ? make_transport(c, err) : rc;
    case SP_CONN_TLS:
        return shake_hands(c, err);
    case SP_CONN_OPEN:
        break;
    }
    return SP_OK;
}

static void failed(struct sp_conn *c, const char *how)
{
    sp_meter_add(c->owner->with.meter, SP_METER_upstream_connect_failures, 1);
    sp_conn_failed(c, how);
}

enum sp_rc sp_upconn_connected(struct sp_upconn *up, struct sp_err *err)
{
    struct sp_conn *c = SP_CONTAINER_OF(up, struct sp_conn, up);

    if (c->phase == SP_CONN_OPEN)
        return SP_OK;
    while (c->phase != SP_CONN_OPEN) {
        enum sp_rc rc = step(c, err);
        if (rc == SP_FAIL && err->sys != ENOMEM)
            failed(c, c->phase == SP_CONN_TLS ? "backend_tls" : "connect_failed");
        if (rc != SP_OK)
            return rc;
    }
    sp_meter_add(c->owner->with.meter, SP_METER_upstream_connects, 1);
    return SP_OK;
}

void sp_upconn_timed_out(struct sp_upconn *up)
{
    failed(SP_CONTAINER_OF(up, struct sp_conn, up), "connect_timeout");
}
