/* The gate as a whole: its snapshot, its sockets, and the one way in which it says no. Accepting is in
 * acceptor.c, a connection's handshake in handshake.c. */
#include <fcntl.h>
#include <unistd.h>

#include "gate_impl.h"

#define RETRY_MS 100

static void on_retry(void *arg);

struct sp_gate *sp_gate_new(const struct sp_gate_options *options)
{
    struct sp_gate *g = SP_NEW(struct sp_gate);

    if (g == NULL)
        return NULL;
    g->o = *options;
    sp_list_init(&g->acceptors);
    sp_list_init(&g->handshakes);
    sp_list_init(&g->inquiries);
    g->retry = sp_timer_new(options->loop, on_retry, g);
    if (g->retry == NULL) {
        sp_free(g);
        return NULL;
    }
    g->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return g;
}

void sp_gate_free(struct sp_gate *g)
{
    if (g == NULL)
        return;
    sp_gate_drain(g);
    while (!sp_list_is_empty(&g->handshakes))
        sp_handshake_drop(g->handshakes.next);
    SP_ASSERT(sp_list_is_empty(&g->inquiries)); /* the fetcher has been stopped, and its mail was run */
    if (g->spare_fd >= 0)
        close(g->spare_fd);
    sp_timer_free(g->retry);
    sp_snapshot_unref(g->snapshot);
    sp_free(g);
}

struct sp_gate_update *sp_gate_update_new(
    struct sp_gate *g, struct sp_snapshot *snapshot, size_t socket_count)
{
    struct sp_gate_update *u = sp_alloc(1, sizeof(*u) + socket_count * sizeof(struct sp_gate_socket));

    if (u == NULL)
        return NULL;
    u->gate = g;
    u->snapshot = sp_snapshot_ref(snapshot);
    u->socket_count = socket_count;
    return u;
}

void sp_gate_update_free(struct sp_gate_update *u)
{
    if (u == NULL)
        return;
    sp_snapshot_unref(u->snapshot);
    sp_free(u);
}

static struct sp_acceptor *acceptor_on(struct sp_gate *g, int fd)
{
    SP_LIST_EACH (&g->acceptors, it) {
        if (sp_acceptor_fd(sp_acceptor_of(it)) == fd)
            return sp_acceptor_of(it);
    }
    return NULL;
}

static bool is_named(const struct sp_gate_update *u, int fd)
{
    for (size_t i = 0; i < u->socket_count; i++) {
        if (u->sockets[i].fd == fd)
            return true;
    }
    return false;
}

static bool serve(struct sp_gate *g, const struct sp_gate_socket *s)
{
    struct sp_acceptor *known = acceptor_on(g, s->fd);

    if (known == NULL)
        return sp_acceptor_new(g, s->listener, s->fd) != NULL;
    sp_acceptor_rename(known, s->listener);
    return true;
}

/* Takes over `u`, whose snapshot is in force. A socket that there is no memory for stays open, its clients wait in its queue, and
 * `u` stays until it is served as well. */
static void serve_all(struct sp_gate *g, struct sp_gate_update *u)
{
    bool complete = true;

    for (size_t i = 0; i < u->socket_count; i++)
        complete = serve(g, &u->sockets[i]) && complete;
    if (complete) {
        sp_gate_update_free(u);
        return;
    }
    g->missed = u;
    sp_timer_set(g->retry, RETRY_MS);
}

static void on_retry(void *arg)
{
    struct sp_gate *g = arg;
    struct sp_gate_update *u = g->missed;

    g->missed = NULL;
    if (u != NULL)
        serve_all(g, u);
}

static void tell_missed(struct sp_gate *g)
{
    for (size_t i = 0; g->missed != NULL && i < g->missed->socket_count; i++) {
        const struct sp_gate_socket *s = &g->missed->sockets[i];
        struct sp_log_field fields[] = {SP_LOG_C("listener", s->listener)};
        if (acceptor_on(g, s->fd) == NULL)
            sp_log_event(g->o.logger, SP_LOG_ERROR, "listener_failed", fields, SP_COUNTOF(fields));
    }
}

/* `next` (NULL: nothing) takes its place. Nobody but us knows a socket that was never served. */
static void forget_missed(struct sp_gate *g, const struct sp_gate_update *next)
{
    struct sp_gate_update *u = g->missed;

    g->missed = NULL;
    for (size_t i = 0; u != NULL && i < u->socket_count; i++) {
        int fd = u->sockets[i].fd;
        if (acceptor_on(g, fd) == NULL && (next == NULL || !is_named(next, fd)))
            close(fd);
    }
    sp_gate_update_free(u);
}

void sp_gate_drain(struct sp_gate *g)
{
    forget_missed(g, NULL);
    SP_LIST_EACH (&g->acceptors, it)
        sp_acceptor_retire(sp_acceptor_of(it));
}

/* Sockets that go are emptied while the old snapshot, which knows their listener, is still in force. */
static void on_update(struct sp_mail *m)
{
    struct sp_gate_update *u = SP_CONTAINER_OF(m, struct sp_gate_update, mail);
    struct sp_gate *g = u->gate;
    struct sp_receipts *receipts = u->receipts;

    forget_missed(g, u);
    SP_LIST_EACH (&g->acceptors, it) {
        struct sp_acceptor *a = sp_acceptor_of(it);
        if (!is_named(u, sp_acceptor_fd(a)))
            sp_acceptor_retire(a);
    }
    sp_snapshot_unref(g->snapshot);
    g->snapshot = u->snapshot;
    u->snapshot = NULL;
    serve_all(g, u);
    tell_missed(g);
    sp_receipts_sign(receipts);
}

void sp_gate_post(struct sp_gate_update *u)
{
    u->mail.fn = on_update;
    sp_loop_post(u->gate->o.loop, &u->mail);
}

static const char *or_absent(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

void sp_gate_refuse(struct sp_gate *g, const struct sp_stranger *who, const struct sp_tls_refusal *refusal)
{
    char peer[SP_ADDR_TEXT], via[SP_ADDR_TEXT] = "";
    const struct sp_cert_facts *cert = &refusal->cert;
    if (who->via != NULL && who->via->len != 0)
        sp_addr_format(who->via, via);
    struct sp_log_field fields[] = {
        SP_LOG_W("decision", "refused"), /* in the audit record only, as is the last one */
        SP_LOG_W("reason", sp_refusal_name(refusal->reason)),
        SP_LOG_C("listener", who->listener),
        SP_LOG_C("peer", sp_addr_format(who->peer, peer)),
        SP_LOG_C("via", or_absent(via)),
        SP_LOG_C("sni", or_absent(who->sni)),
        SP_LOG_C("tls", or_absent(who->tls)),
        SP_LOG_C("subject", or_absent(cert->subject)),
        SP_LOG_C("sans", or_absent(cert->sans)),
        SP_LOG_C("issuer", or_absent(cert->issuer)),
        SP_LOG_C("serial", or_absent(cert->serial)),
        SP_LOG_C("sha256", or_absent(cert->sha256)),
        SP_LOG_C("detail", or_absent(refusal->detail)),
        SP_LOG_N("generation", g->snapshot->generation),
    };

    sp_meter_refuse(g->o.meter, refusal->reason);
    sp_log_event(g->o.logger, refusal->reason == SP_REFUSAL_no_data ? SP_LOG_DEBUG : SP_LOG_WARN, "refused",
        fields + 1, SP_COUNTOF(fields) - 2);
    sp_log_audit(g->o.logger, fields, SP_COUNTOF(fields));
}
