/* The admin listener itself: accepts, bounded. A connection is in client.c, what it is told in pages.c. */
#include <unistd.h>

#include "admin_impl.h"
#include "sallyport/io/socket.h"

#define CLIENTS_MAX 64
#define PAUSE_MS    100

/* Beyond the bound the newest is closed without a word: a scraper comes again. Without descriptors it rests:
 * readiness is told by level, and would come back at once, for ever. */
static void on_readable(void *arg, unsigned events)
{
    struct sp_admin *a = arg;
    struct sp_addr peer;
    int fd, errnum;

    (void)events;
    switch (sp_socket_accept(a->fd, &fd, &peer, &errnum)) {
    case SP_OK:
        break;
    case SP_AGAIN:
        return;
    default:
        sp_watch_disable(a->watch);
        sp_timer_set(a->pause, PAUSE_MS);
        return;
    }
    if (a->client_count >= CLIENTS_MAX)
        close(fd);
    else
        sp_admin_client_start(a, fd);
}

static void on_pause_over(void *arg)
{
    struct sp_admin *a = arg;

    if (sp_watch_enable(a->watch) != SP_OK)
        sp_timer_set(a->pause, PAUSE_MS);
}

struct sp_admin *sp_admin_new(const struct sp_admin_options *options, int fd)
{
    struct sp_admin *a = SP_NEW(struct sp_admin);

    if (a == NULL)
        return NULL;
    a->o = *options;
    a->fd = fd;
    a->limits = (struct sp_h1_limits){8192, 64, 1024};
    sp_list_init(&a->clients);
    sp_pool_init(&a->blocks, SP_IO_BLOCK, 2, 4 * CLIENTS_MAX);
    a->watch = sp_watch_new_level(options->loop, fd, on_readable, a);
    a->pause = sp_timer_new(options->loop, on_pause_over, a);
    if (a->watch == NULL || a->pause == NULL) {
        sp_watch_free(a->watch);
        sp_timer_free(a->pause);
        SP_FREE(a);
    }
    return a;
}

void sp_admin_free(struct sp_admin *a)
{
    if (a == NULL)
        return;
    while (!sp_list_is_empty(&a->clients))
        sp_admin_client_cut(a->clients.next);
    sp_watch_free(a->watch);
    sp_timer_free(a->pause);
    close(a->fd);
    sp_loop_turn(a->o.loop, 0); /* the graves */
    sp_pool_destroy(&a->blocks);
    sp_free(a);
}
