/* A backend of the demo: a thread with a loop of its own that answers every request with the request as it
 * arrived, so that one sees which headers the proxy added and which it took away. Plain HTTP/1.1 on a loopback
 * port, through the same codec as the proxy.
 *
 *   recv_head --> 100-continue if asked --> recv_body until its end (counted, not kept) --> the text back --> next
 *
 * All of it belongs to the thread, except the address, which is settled before the thread starts. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "demo_impl.h"
#include "sallyport/http/codec.h"
#include "sallyport/io/loop.h"
#include "sallyport/io/socket.h"

#define CONNECTIONS 64
#define PATIENCE_MS 120000 /* for one request and its answer, or for the next request */
#define TEXT_MAX    (256 * 1024)
#define PAUSE_MS    100 /* of accepting, when the kernel has no descriptor or memory for it */

struct sp_demo_backend {
    struct sp_addr address;
    int fd;
    struct sp_loop *loop;
    struct sp_watch *watch;
    struct sp_timer *pause;
    struct sp_pool blocks;
    struct sp_list connections;
    unsigned count;
    pthread_t thread;
    bool started;
};

struct connection {
    struct sp_list link;
    struct sp_grave grave;
    struct sp_demo_backend *backend;
    struct sp_transport *transport;
    struct sp_stream *stream;
    struct sp_watch *watch;
    struct sp_timer *timer;
    enum { WANT_HEAD, WANT_BODY, ANSWERING } step;
    struct sp_buf text;
    size_t sent;
    uint64_t body_bytes;
    bool close, is_head, ended;
};

static const struct sp_h1_limits LIMITS = {
    .header_bytes = 32768, .headers = SP_HEADERS_MAX, .target_bytes = 16384};

/* ---- one connection ---- */

static void free_connection(struct sp_grave *grave)
{
    struct connection *c = SP_CONTAINER_OF(grave, struct connection, grave);

    if (c->stream != NULL)
        c->stream->ops->free(c->stream);
    sp_transport_free(c->transport);
    sp_buf_free(&c->text);
    sp_free(c);
}

static void leave(struct connection *c)
{
    sp_watch_free(c->watch);
    sp_timer_free(c->timer);
    sp_list_remove(&c->link);
    c->backend->count--;
    sp_loop_bury(c->backend->loop, &c->grave, free_connection);
}

/* The request as it came, line for line. */
static void write_down(struct connection *c, const struct sp_head *head)
{
    sp_buf_printf(
        &c->text, "%.*s %.*s HTTP/1.%u\n", SP_FMT(head->method_text), SP_FMT(head->target), head->minor);
    for (size_t i = 0; i < head->header_count; i++)
        sp_buf_printf(
            &c->text, "%.*s: %.*s\n", SP_FMT(head->headers[i].name), SP_FMT(head->headers[i].value));
}

static enum sp_rc take_head(struct connection *c)
{
    static const struct sp_head_out CONTINUE = {.status = 100, .reason = {"Continue", 8}};
    const struct sp_head *head;
    struct sp_fault fault;
    enum sp_rc rc = c->stream->ops->recv_head(c->stream, &head, &fault);

    if (rc != SP_OK)
        return rc;
    sp_buf_reset(&c->text);
    write_down(c, head);
    c->is_head = head->method == SP_METHOD_HEAD;
    c->close = !head->keep_alive;
    c->body_bytes = 0;
    c->step = WANT_BODY;
    if (!head->expect_continue)
        return SP_OK;
    if (c->stream->ops->send_head(c->stream, &CONTINUE) != SP_OK)
        return SP_FAIL;
    return c->stream->ops->flush(c->stream) == SP_FAIL ? SP_FAIL : SP_OK;
}

static enum sp_rc start_answer(struct connection *c)
{
    struct sp_line lines[] = {{SP_SLICE("Content-Type"), SP_SLICE("text/plain; charset=utf-8")}};

    if (c->body_bytes > 0)
        sp_buf_printf(&c->text, "\n(and %" PRIu64 " bytes of body)\n", c->body_bytes);
    if (c->text.failed)
        return SP_FAIL;
    struct sp_head_out out = {
        .status = 200,
        .reason = SP_SLICE("OK"),
        .lines = lines,
        .line_count = SP_COUNTOF(lines),
        .framing = c->is_head ? SP_FRAMING_NONE : SP_FRAMING_LENGTH,
        .content_length = c->text.len,
        .announce_length = true,
        .close = c->close,
    };
    c->sent = c->is_head ? c->text.len : 0;
    c->ended = false;
    c->step = ANSWERING;
    return c->stream->ops->send_head(c->stream, &out);
}

static enum sp_rc take_body(struct connection *c)
{
    struct sp_fault fault;
    struct sp_slice data;
    enum sp_rc rc;

    while ((rc = c->stream->ops->recv_body(c->stream, &data, &fault)) == SP_OK) {
        c->body_bytes += data.len;
        c->stream->ops->consume(c->stream, data.len);
        sp_timer_set(c->timer, PATIENCE_MS);
    }
    return rc == SP_EOF ? start_answer(c) : rc;
}

static enum sp_rc send_answer(struct connection *c)
{
    size_t taken;

    while (c->sent < c->text.len) {
        struct sp_slice rest = sp_slice_sub(sp_buf_slice(&c->text), c->sent, c->text.len);
        enum sp_rc rc = c->stream->ops->send_body(c->stream, rest, &taken);
        if (rc != SP_OK)
            return rc;
        c->sent += taken;
    }
    if (!c->ended && c->stream->ops->send_end(c->stream, NULL, 0) != SP_OK)
        return SP_FAIL;
    c->ended = true;
    enum sp_rc rc = c->stream->ops->flush(c->stream);
    if (rc != SP_OK)
        return rc;
    if (c->close || !c->stream->ops->next(c->stream))
        return SP_EOF;
    sp_timer_set(c->timer, PATIENCE_MS);
    c->step = WANT_HEAD;
    return SP_OK;
}

static void run(struct connection *c)
{
    static enum sp_rc (*const STEPS[])(struct connection * c) = {
        [WANT_HEAD] = take_head, [WANT_BODY] = take_body, [ANSWERING] = send_answer};
    enum sp_rc rc;

    do {
        rc = STEPS[c->step](c);
    } while (rc == SP_OK);
    if (rc == SP_AGAIN)
        return;
    if (rc == SP_EOF)
        sp_transport_shutdown(c->transport);
    leave(c);
}

static void on_edge(void *arg, unsigned events)
{
    struct connection *c = arg;

    sp_transport_ready(c->transport, events);
    run(c);
}

static void on_timer(void *arg)
{
    leave(arg);
}

static void start_connection(struct sp_demo_backend *b, int fd)
{
    struct connection *c = b->count < CONNECTIONS ? SP_NEW(struct connection) : NULL;

    if (c == NULL || (c->transport = sp_plain_new(fd)) == NULL) {
        sp_free(c);
        close(fd);
        return;
    }
    c->backend = b;
    sp_buf_init(&c->text, TEXT_MAX);
    c->stream = sp_h1_new(SP_SERVER, c->transport, &b->blocks, &LIMITS);
    c->watch = sp_watch_new(b->loop, fd, on_edge, c);
    c->timer = sp_timer_new(b->loop, on_timer, c);
    sp_list_append(&b->connections, &c->link);
    b->count++;
    if (c->stream == NULL || c->watch == NULL || c->timer == NULL) {
        leave(c);
        return;
    }
    sp_timer_set(c->timer, PATIENCE_MS);
}

/* ---- the thread ---- */

static void on_accept(void *arg, unsigned events)
{
    struct sp_demo_backend *b = arg;
    struct sp_addr peer;
    int fd, errnum;

    (void)events;
    /* one a turn: the watch is level-triggered */
    enum sp_rc rc = sp_socket_accept(b->fd, &fd, &peer, &errnum);
    if (rc == SP_OK)
        start_connection(b, fd);
    if (rc != SP_FAIL)
        return;
    sp_watch_disable(b->watch);
    sp_timer_set(b->pause, PAUSE_MS);
}

static void on_pause_over(void *arg)
{
    struct sp_demo_backend *b = arg;

    if (sp_watch_enable(b->watch) != SP_OK)
        sp_timer_set(b->pause, PAUSE_MS);
}

static void *serve(void *arg)
{
    struct sp_demo_backend *b = arg;

    pthread_setname_np(pthread_self(), "echo-backend");
    sp_loop_run(b->loop);
    return NULL;
}

static enum sp_rc start_thread(struct sp_demo_backend *b, struct sp_err *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int errnum = pthread_create(&b->thread, NULL, serve, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    b->started = errnum == 0;
    return b->started ? SP_OK : sp_err_sys(err, errnum, "thread");
}

static enum sp_rc open_listener(struct sp_demo_backend *b, struct sp_err *err)
{
    struct sp_addr any_port;

    if (sp_addr_parse(SP_SLICE("127.0.0.1:0"), &any_port, err) != SP_OK)
        return SP_FAIL;
    if (sp_socket_listen(&any_port, false, &b->fd, err) != SP_OK)
        return SP_FAIL;
    if (sp_socket_local(b->fd, &b->address) != SP_OK)
        return sp_err_set(err, "its address cannot be told");
    b->watch = sp_watch_new_level(b->loop, b->fd, on_accept, b);
    b->pause = sp_timer_new(b->loop, on_pause_over, b);
    return b->watch != NULL && b->pause != NULL ? SP_OK : sp_err_set(err, "not enough memory");
}

enum sp_rc sp_demo_backend_start(struct sp_demo_backend **out, struct sp_err *err)
{
    struct sp_demo_backend *b = SP_NEW(struct sp_demo_backend);

    *out = NULL;
    if (b == NULL)
        return sp_err_set(err, "echo backend: not enough memory");
    b->fd = -1;
    sp_list_init(&b->connections);
    sp_pool_init(&b->blocks, SP_IO_BLOCK, 4, 2 * CONNECTIONS);
    if (sp_loop_new(&b->loop, err) != SP_OK || open_listener(b, err) != SP_OK ||
        start_thread(b, err) != SP_OK) {
        sp_demo_backend_stop(b);
        return sp_err_wrap(err, "echo backend");
    }
    *out = b;
    return SP_OK;
}

const struct sp_addr *sp_demo_backend_address(const struct sp_demo_backend *b)
{
    return &b->address;
}

void sp_demo_backend_stop(struct sp_demo_backend *b)
{
    if (b == NULL)
        return;
    if (b->started) {
        sp_loop_stop(b->loop);
        pthread_join(b->thread, NULL);
    }
    SP_LIST_EACH (&b->connections, it)
        leave(SP_CONTAINER_OF(it, struct connection, link));
    sp_watch_free(b->watch);
    sp_timer_free(b->pause);
    sp_loop_free(b->loop);
    if (b->fd >= 0)
        close(b->fd);
    sp_pool_destroy(&b->blocks);
    sp_free(b);
}
