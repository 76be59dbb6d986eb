/* One connection to the admin listener: requests one after another, each answered from a buffer. */
#include <unistd.h>

#include "admin_impl.h"

/* A client has this long for each request, and for taking each answer. */
#define PATIENCE_MS 30000
/* A page is no larger: some ten thousand CRLs, and as many rules. */
#define PAGE_MAX ((size_t)32 * 1024 * 1024)

struct client {
    struct sp_list link;
    struct sp_grave grave;
    struct sp_admin *admin;
    struct sp_transport *transport;
    struct sp_stream *stream;
    struct sp_watch *watch;
    struct sp_timer *timer;
    struct sp_buf body;
    size_t sent;
    bool answering; /* from the head to the last byte gone */
    bool ended, close, is_head;
};

static void free_client(struct sp_grave *grave)
{
    struct client *c = SP_CONTAINER_OF(grave, struct client, grave);

    if (c->stream != NULL)
        c->stream->ops->free(c->stream);
    sp_transport_free(c->transport);
    sp_buf_free(&c->body);
    sp_free(c);
}

static void leave(struct client *c)
{
    sp_watch_free(c->watch);
    sp_timer_free(c->timer);
    sp_list_remove(&c->link);
    c->admin->client_count--;
    sp_loop_bury(c->admin->o.loop, &c->grave, free_client);
}

static enum sp_rc send_head(struct client *c, unsigned status, struct sp_slice type)
{
    struct sp_line lines[] = {
        {SP_SLICE("Content-Type"), type}, {SP_SLICE("Cache-Control"), SP_SLICE("no-store")}};
    struct sp_head_out out = {
        .status = status,
        .reason = sp_slice_of(sp_status_phrase(status)),
        .lines = lines,
        .line_count = SP_COUNTOF(lines),
        .framing = c->is_head ? SP_FRAMING_NONE : SP_FRAMING_LENGTH,
        .content_length = c->body.len,
        .announce_length = true,
        .close = c->close,
    };

    c->sent = c->is_head ? c->body.len : 0;
    c->answering = true;
    c->ended = false;
    return c->stream->ops->send_head(c->stream, &out);
}

/* SP_OK: an answer is ready to be sent. */
static enum sp_rc read_request(struct client *c)
{
    const struct sp_head *head;
    struct sp_fault fault;
    struct sp_slice type = SP_SLICE("text/plain; charset=utf-8");
    enum sp_rc rc = c->stream->ops->recv_head(c->stream, &head, &fault);

    if (rc == SP_AGAIN || rc == SP_EOF)
        return rc;
    sp_buf_reset(&c->body);
    if (rc == SP_FAIL) {
        if (fault.reason == SP_REFUSAL_client_gone)
            return SP_FAIL;
        c->close = true;
        sp_buf_printf(&c->body, "%u %s\n", fault.status, fault.detail != NULL ? fault.detail : "");
        return send_head(c, fault.status, type);
    }
    c->is_head = head->method == SP_METHOD_HEAD;
    c->close = !head->keep_alive || head->framing != SP_FRAMING_NONE; /* a body is not read */
    unsigned status = sp_admin_page(c->admin, head, &c->body, &type);
    if (c->body.failed)
        return SP_FAIL;
    return send_head(c, status, type);
}

/* SP_OK: the answer is out. */
static enum sp_rc send_answer(struct client *c)
{
    size_t taken;

    while (c->sent < c->body.len) {
        struct sp_slice rest = {c->body.ptr + c->sent, c->body.len - c->sent};
        enum sp_rc rc = c->stream->ops->send_body(c->stream, rest, &taken);
        if (rc != SP_OK)
            return rc;
        c->sent += taken;
    }
    if (!c->ended && c->stream->ops->send_end(c->stream, NULL, 0) != SP_OK)
        return SP_FAIL;
    c->ended = true;
    return c->stream->ops->flush(c->stream);
}

static enum sp_rc serve(struct client *c)
{
    enum sp_rc rc = SP_OK;

    if (!c->answering)
        rc = read_request(c);
    if (rc != SP_OK)
        return rc;
    rc = send_answer(c);
    if (rc != SP_OK)
        return rc;
    c->answering = false;
    if (c->close || !c->stream->ops->next(c->stream))
        return SP_EOF;
    sp_timer_set(c->timer, PATIENCE_MS);
    return SP_OK;
}

static void run(struct client *c)
{
    enum sp_rc rc;

    do {
        rc = serve(c);
    } while (rc == SP_OK);
    if (rc == SP_AGAIN)
        return;
    if (rc == SP_EOF)
        sp_transport_shutdown(c->transport);
    leave(c);
}

static void on_edge(void *arg, unsigned events)
{
    struct client *c = arg;

    sp_transport_ready(c->transport, events);
    run(c);
}

static void on_timer(void *arg)
{
    leave(arg);
}

void sp_admin_client_start(struct sp_admin *a, int fd)
{
    struct client *c = SP_NEW(struct client);

    if (c == NULL || (c->transport = sp_plain_new(fd)) == NULL) {
        sp_free(c);
        close(fd);
        return;
    }
    c->admin = a;
    sp_buf_init(&c->body, PAGE_MAX);
    c->stream = sp_h1_new(SP_SERVER, c->transport, &a->blocks, &a->limits);
    c->watch = sp_watch_new(a->o.loop, fd, on_edge, c);
    c->timer = sp_timer_new(a->o.loop, on_timer, c);
    sp_list_append(&a->clients, &c->link);
    a->client_count++;
    if (c->stream == NULL || c->watch == NULL || c->timer == NULL) {
        leave(c);
        return;
    }
    sp_timer_set(c->timer, PATIENCE_MS);
}

void sp_admin_client_cut(struct sp_list *link)
{
    leave(SP_CONTAINER_OF(link, struct client, link));
}
