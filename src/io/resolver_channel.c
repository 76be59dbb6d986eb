/* c-ares's sockets and time-outs as watches and a timer of a loop: see resolver_private.h. */
#include <poll.h>

#include "resolver_private.h"
#include "sallyport/base/mem.h"

#define TRY_MS    1000 /* of one server, which is asked once more for twice as long */
#define ALL_MS    4000 /* of several, each asked once: less than a question has */
#define TURNS_MAX 64   /* a peer that never stops sending waits for the next turn of the loop */

/* ---- time-outs ---- */

void sp_dns_touched(struct sp_dns *d)
{
    struct timeval tv;

    if (ares_timeout(d->channel, NULL, &tv) == NULL)
        sp_timer_stop(d->timer);
    else
        sp_timer_set(d->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
}

static void on_time_out(void *arg)
{
    struct sp_dns *d = arg;

    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    sp_loop_defer(d->loop, &d->pump);
}

/* ---- sockets ---- */

static bool process(struct sp_dns *d, const struct sp_dns_socket *s)
{
    struct pollfd p = {.fd = s->fd, .events = (short)((s->reads ? POLLIN : 0) | (s->writes ? POLLOUT : 0))};

    if (p.events == 0 || poll(&p, 1, 0) <= 0 || (p.revents & POLLNVAL))
        return false;
    bool broken = (p.revents & (POLLERR | POLLHUP)) != 0; /* c-ares finds out how by using it */
    ares_process_fd(d->channel, s->reads && (broken || (p.revents & POLLIN)) ? s->fd : ARES_SOCKET_BAD,
        s->writes && (broken || (p.revents & POLLOUT)) ? s->fd : ARES_SOCKET_BAD);
    return true;
}

/* Whatever was processed may have closed any of the sockets: then from the start. */
static bool process_one(struct sp_dns *d)
{
    SP_LIST_EACH (&d->sockets, it) {
        if (process(d, SP_CONTAINER_OF(it, struct sp_dns_socket, link)))
            return true;
    }
    return false;
}

static void on_pump(struct sp_task *task)
{
    struct sp_dns *d = SP_CONTAINER_OF(task, struct sp_dns, pump);
    unsigned turns = 0;

    while (turns < TURNS_MAX && process_one(d))
        turns++;
    if (turns == TURNS_MAX)
        sp_loop_defer(d->loop, &d->pump);
    sp_dns_touched(d);
}

static void on_edge(void *arg, unsigned events)
{
    struct sp_dns_socket *s = arg;

    (void)events;
    sp_loop_defer(s->dns->loop, &s->dns->pump);
}

static struct sp_dns_socket *socket_of(struct sp_dns *d, int fd)
{
    SP_LIST_EACH (&d->sockets, it) {
        struct sp_dns_socket *s = SP_CONTAINER_OF(it, struct sp_dns_socket, link);
        if (s->fd == fd)
            return s;
    }
    return NULL;
}

static void bury_socket(struct sp_grave *g)
{
    sp_free(SP_CONTAINER_OF(g, struct sp_dns_socket, grave));
}

/* The descriptor is closed when this returns. */
static void forget_socket(struct sp_dns_socket *s)
{
    sp_list_remove(&s->link);
    sp_watch_free(s->watch);
    sp_loop_bury(s->dns->loop, &s->grave, bury_socket);
}

/* Without memory for a watch the question ends by its time-out. */
static void on_socket(void *arg, ares_socket_t fd, int reads, int writes)
{
    struct sp_dns *d = arg;
    struct sp_dns_socket *s = socket_of(d, fd);

    if (!reads && !writes) {
        if (s != NULL)
            forget_socket(s);
        return;
    }
    if (s == NULL) {
        s = SP_NEW(struct sp_dns_socket);
        if (s == NULL)
            return;
        *s = (struct sp_dns_socket){.dns = d, .fd = fd};
        sp_list_append(&d->sockets, &s->link);
        s->watch = sp_watch_new(d->loop, fd, on_edge, s);
    }
    s->reads = reads != 0;
    s->writes = writes != 0;
    sp_loop_defer(d->loop, &d->pump);
}

/* ---- life ---- */

static int count_servers(ares_channel channel)
{
    struct ares_addr_port_node *servers = NULL;
    int count = 0;

    if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS)
        return 1;
    for (const struct ares_addr_port_node *s = servers; s != NULL; s = s->next)
        count++;
    ares_free_data(servers);
    return count;
}

static int open_with(struct sp_dns *d, const char *servers, int timeout_ms, int tries)
{
    struct ares_options options = {
        .timeout = timeout_ms, .tries = tries, .sock_state_cb = on_socket, .sock_state_cb_data = d};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;

#ifdef ARES_OPT_QUERY_CACHE /* who asks again wants to know */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    int status = ares_init_options(&d->channel, &options, mask);
    if (status == ARES_SUCCESS && servers != NULL)
        status = ares_set_servers_ports_csv(d->channel, servers);
    return status;
}

/* c-ares says nothing of a name before it has given up every part of it. One part that nobody answers (AAAA, where questions for it are
 * dropped) would take the other along if that took longer than a question may. */
static int open_channel(struct sp_dns *d, const char *servers)
{
    int status = open_with(d, servers, TRY_MS, 2);
    int count = status == ARES_SUCCESS ? count_servers(d->channel) : 0;

    if (count < 2)
        return status;
    ares_destroy(d->channel);
    d->channel = NULL;
    return open_with(d, servers, ALL_MS / count < TRY_MS ? ALL_MS / count : TRY_MS, 1);
}

enum sp_rc sp_dns_open(struct sp_dns *d, struct sp_loop *loop, const char *servers, struct sp_err *err)
{
    *d = (struct sp_dns){.loop = loop};
    sp_list_init(&d->sockets);
    sp_task_init(&d->pump, on_pump);
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status != ARES_SUCCESS)
        return sp_err_set(err, "resolver: %s", ares_strerror(status));
    d->timer = sp_timer_new(loop, on_time_out, d);
    status = d->timer != NULL ? open_channel(d, servers) : ARES_ENOMEM;
    if (status == ARES_SUCCESS)
        return SP_OK;
    sp_dns_close(d);
    return sp_err_set(err, "resolver: %s", ares_strerror(status));
}

void sp_dns_close(struct sp_dns *d)
{
    if (d->channel != NULL)
        ares_destroy(d->channel);
    SP_LIST_EACH (&d->sockets, it)
        forget_socket(SP_CONTAINER_OF(it, struct sp_dns_socket, link));
    sp_task_cancel(&d->pump);
    sp_timer_free(d->timer);
    ares_library_cleanup();
    *d = (struct sp_dns){0};
}
