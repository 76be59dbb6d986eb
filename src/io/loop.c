/* The event loop of one thread, over libevent: turns, mail, deferred tasks, the graveyard.
 *
 * A turn is ours, not libevent's: libevent waits and delivers descriptor events and the timers that are due,
 * then we run the mail and the tasks that were deferred, and free what was buried.
 *
 * Invariants: everything but `inbox`, `stopping` and writing `mail_fd` belongs to the loop's own thread (the
 * event base has no locks). The eventfd is edge-triggered and never read: each write is an edge, and its
 * counter cannot overflow in practice. Mail keeps the order of each sender: it is pushed newest first and
 * reversed by the receiver.
 *
 * Elsewhere: timer.c the deadlines, watch.c descriptors and signals. */
#include "loop_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"

/* libevent warns on stderr, where nothing but our log is, of calls that have failed; whoever made them is told so and has a
 * better word for it. Behind an error libevent ends the process. */
static void on_libevent_log(int severity, const char *text)
{
    if (severity >= EVENT_LOG_ERR)
        (void)fprintf(stderr, "libevent: %s\n", text);
}

static struct event_base *base_new(void)
{
    event_set_log_callback(on_libevent_log);
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    struct event_base *base = NULL;
    /* Edges and EPOLLRDHUP: of libevent's methods only epoll has both. */
    if (event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE) == 0 &&
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0)
        base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

/* Both events only end libevent's wait: what they stand for is looked at in every turn. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

enum sp_rc sp_loop_new(struct sp_loop **out, struct sp_err *err)
{
    struct sp_loop *loop = SP_NEW(struct sp_loop);
    if (loop == NULL)
        return sp_err_sys(err, ENOMEM, "event loop");
    sp_list_init(&loop->tasks);
    sp_list_init(&loop->behind);
    atomic_init(&loop->stopping, false);
    atomic_init(&loop->inbox, NULL);
    loop->mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->mail_fd < 0) {
        sp_err_sys(err, errno, "event loop: eventfd");
        goto failed;
    }
    loop->base = base_new();
    if (loop->base == NULL) {
        sp_err_set(err, "event loop: libevent has no epoll here, or no memory");
        goto failed;
    }
    if (evtimer_assign(&loop->wake, loop->base, on_wake, loop) != 0 ||
        event_assign(&loop->mail, loop->base, loop->mail_fd, EV_READ | EV_ET | EV_PERSIST, on_wake, loop) !=
            0 ||
        event_add(&loop->mail, NULL) != 0) {
        sp_err_set(err, "event loop: libevent refused the mailbox");
        goto failed;
    }
    *out = loop;
    return SP_OK;
failed:
    sp_loop_free(loop);
    return SP_FAIL;
}

static void run_graves(struct sp_loop *loop)
{
    while (loop->graves != NULL) {
        struct sp_grave *g = loop->graves;
        loop->graves = g->next;
        g->free_fn(g);
    }
}

void sp_loop_free(struct sp_loop *loop)
{
    if (loop == NULL)
        return;
    run_graves(loop);
    if (loop->base != NULL) {
        if (event_initialized(&loop->mail))
            event_del(&loop->mail);
        if (event_initialized(&loop->wake))
            event_del(&loop->wake);
        event_base_free(loop->base);
    }
    if (loop->mail_fd >= 0)
        close(loop->mail_fd);
    sp_free(loop);
}

uint64_t sp_loop_now_ms(const struct sp_loop *loop)
{
    (void)loop; /* a vdso call costs less than keeping a copy true */
    return sp_mono_ms();
}

static void run_mail(struct sp_loop *loop)
{
    if (atomic_load_explicit(&loop->inbox, memory_order_relaxed) == NULL)
        return;
    struct sp_mail *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
    struct sp_mail *oldest = NULL;
    while (newest != NULL) {
        struct sp_mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct sp_mail *m = oldest;
        oldest = m->next; /* before fn, which may post `m` again or free it */
        m->fn(m);
    }
}

static void run_tasks(struct sp_loop *loop)
{
    if (sp_list_is_empty(&loop->tasks))
        return;
    /* What is deferred from here on belongs to the next turn. */
    struct sp_list now;
    sp_list_append(&loop->tasks, &now);
    sp_list_remove(&loop->tasks);
    while (!sp_list_is_empty(&now)) {
        struct sp_task *t = SP_CONTAINER_OF(now.next, struct sp_task, link);
        sp_list_remove(&t->link);
        t->fn(t);
    }
}

static void run_behind(struct sp_loop *loop)
{
    for (int i = 0; i < SP_BEHIND_A_TURN && !sp_list_is_empty(&loop->behind); i++) {
        struct sp_task *t = SP_CONTAINER_OF(loop->behind.next, struct sp_task, link);
        sp_task_cancel(t);
        t->fn(t);
    }
}

static void turn(struct sp_loop *loop, int flags)
{
    if (!sp_list_is_empty(&loop->tasks) || !sp_list_is_empty(&loop->behind) ||
        atomic_load_explicit(&loop->stopping, memory_order_relaxed))
        flags |= EVLOOP_NONBLOCK;
    event_base_loop(loop->base, EVLOOP_ONCE | flags);
    run_mail(loop);
    run_tasks(loop);
    run_behind(loop);
    run_graves(loop);
}

/* Without memory for the limit it does not wait at all. */
void sp_loop_turn(struct sp_loop *loop, unsigned wait_ms)
{
    struct timeval tv = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
    bool waits = wait_ms > 0 && event_add(&loop->wake, &tv) == 0;
    turn(loop, waits ? 0 : EVLOOP_NONBLOCK);
    event_del(&loop->wake);
}

void sp_loop_run(struct sp_loop *loop)
{
    while (!atomic_exchange_explicit(&loop->stopping, false, memory_order_acquire))
        turn(loop, 0);
}

static void ring(struct sp_loop *loop)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(loop->mail_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

void sp_loop_stop(struct sp_loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    ring(loop);
}

void sp_loop_post(struct sp_loop *loop, struct sp_mail *m)
{
    struct sp_mail *head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
    do
        m->next = head;
    while (!atomic_compare_exchange_weak_explicit(
        &loop->inbox, &head, m, memory_order_release, memory_order_relaxed));
    if (head == NULL)
        ring(loop);
}

void sp_loop_bury(struct sp_loop *loop, struct sp_grave *g, void (*free_fn)(struct sp_grave *g))
{
    g->free_fn = free_fn;
    g->next = loop->graves;
    loop->graves = g;
}

void sp_task_init(struct sp_task *t, void (*fn)(struct sp_task *t))
{
    sp_list_init(&t->link);
    t->is_behind = false;
    t->fn = fn;
}

void sp_loop_defer(struct sp_loop *loop, struct sp_task *t)
{
    if (t->is_behind)
        sp_task_cancel(t);
    if (sp_list_is_empty(&t->link))
        sp_list_append(&loop->tasks, &t->link);
}

void sp_loop_defer_behind(struct sp_loop *loop, struct sp_task *t)
{
    if (!sp_list_is_empty(&t->link))
        return;
    sp_list_append(&loop->behind, &t->link);
    t->is_behind = true;
}

void sp_task_cancel(struct sp_task *t)
{
    sp_list_remove(&t->link);
    t->is_behind = false;
}
