/* Watches: descriptors (edge-triggered for connections, level-triggered for listening sockets) and signals.
 *
 * A connection's descriptor is registered once, for everything (readable, writable, the peer's end), and never
 * again until it leaves this loop: no epoll_ctl in the life of a request.
 *
 * Freeing: event_del takes a watch out of libevent's active queue too, so that no further call comes even if
 * its event was already collected in this turn; the memory goes to the graveyard, because the caller may be its
 * own callback. */
#include "loop_private.h"

#include "sallyport/base/mem.h"

struct sp_watch {
    struct event event;
    struct sp_loop *loop;
    void (*on_event)(void *arg, unsigned events);
    void *arg;
    struct sp_grave grave;
};

static const struct {
    short libevent;
    unsigned ours;
} event_bits[] = {
    {EV_READ, SP_EV_READ},
    {EV_WRITE, SP_EV_WRITE},
    {EV_CLOSED, SP_EV_CLOSED},
};

static void on_descriptor(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct sp_watch *w = arg;
    unsigned events = 0;
    for (size_t i = 0; i < SP_COUNTOF(event_bits); i++) {
        if (what & event_bits[i].libevent)
            events |= event_bits[i].ours;
    }
    w->on_event(w->arg, events);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    (void)what;
    struct sp_watch *w = arg;
    w->on_event(w->arg, (unsigned)signo);
}

static struct sp_watch *watch_new(struct sp_loop *loop, int fd, short events, event_callback_fn callback,
    void (*on_event)(void *arg, unsigned events), void *arg)
{
    struct sp_watch *w = SP_NEW(struct sp_watch);
    if (w == NULL)
        return NULL;
    w->loop = loop;
    w->on_event = on_event;
    w->arg = arg;
    if (event_assign(&w->event, loop->base, fd, events, callback, w) != 0 ||
        event_add(&w->event, NULL) != 0) {
        sp_free(w);
        return NULL;
    }
    return w;
}

struct sp_watch *sp_watch_new(
    struct sp_loop *loop, int fd, void (*on_event)(void *arg, unsigned events), void *arg)
{
    return watch_new(
        loop, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_descriptor, on_event, arg);
}

struct sp_watch *sp_watch_new_reading(
    struct sp_loop *loop, int fd, void (*on_event)(void *arg, unsigned events), void *arg)
{
    return watch_new(loop, fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, on_descriptor, on_event, arg);
}

struct sp_watch *sp_watch_new_level(
    struct sp_loop *loop, int fd, void (*on_event)(void *arg, unsigned events), void *arg)
{
    return watch_new(loop, fd, EV_READ | EV_PERSIST, on_descriptor, on_event, arg);
}

struct sp_watch *sp_watch_new_signal(
    struct sp_loop *loop, int signo, void (*on_event)(void *arg, unsigned signo), void *arg)
{
    return watch_new(loop, signo, EV_SIGNAL | EV_PERSIST, on_signal, on_event, arg);
}

static void bury_watch(struct sp_grave *g)
{
    sp_free(SP_CONTAINER_OF(g, struct sp_watch, grave));
}

void sp_watch_free(struct sp_watch *w)
{
    if (w == NULL)
        return;
    event_del(&w->event);
    sp_loop_bury(w->loop, &w->grave, bury_watch);
}

void sp_watch_disable(struct sp_watch *w)
{
    event_del(&w->event);
}

/* libevent keeps the descriptor's slot, but the kernel has forgotten it: epoll_ctl(2), ENOMEM and ENOSPC. */
enum sp_rc sp_watch_enable(struct sp_watch *w)
{
    return event_add(&w->event, NULL) == 0 ? SP_OK : SP_FAIL;
}
