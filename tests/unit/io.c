/* The event loop: watches, timers, mail, tasks, the graveyard. Every wait is for an event; the guard against a
 * hang is ctest's. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/io/loop.h"

#define LONG_MS 60000 /* a turn that waits so long has been woken by an event, or ctest ends the test */

struct fixture {
    struct sp_loop *loop;
    int pair[2];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sp_err err;
    assert_non_null(f);
    assert_int_equal(sp_loop_new(&f->loop, &err), SP_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, f->pair), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sp_loop_free(f->loop);
    for (int i = 0; i < 2; i++) {
        if (f->pair[i] >= 0)
            close(f->pair[i]);
    }
    free(f);
    return 0;
}

/* ---- watches ---- */

struct seen {
    unsigned calls, events;
    struct sp_watch *to_free, *other;
    struct sp_loop *loop;
};

static void on_event(void *arg, unsigned events)
{
    struct seen *s = arg;
    s->calls++;
    s->events |= events;
    if (s->to_free != NULL) {
        sp_watch_free(s->to_free);
        s->to_free = NULL;
    }
    if (s->other != NULL) {
        sp_watch_free(s->other);
        s->other = NULL;
    }
}

static void test_registering_gives_an_edge_for_the_present_state(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    struct seen s = {0};
    struct sp_watch *w = sp_watch_new(f->loop, f->pair[0], on_event, &s);
    assert_non_null(w);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.events, SP_EV_READ | SP_EV_WRITE);
    sp_watch_free(w);
}

static void test_an_edge_comes_once_until_more_happens(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    struct seen s = {0};
    struct sp_watch *w = sp_watch_new(f->loop, f->pair[0], on_event, &s);
    sp_loop_turn(f->loop, LONG_MS);
    sp_loop_turn(f->loop, 0); /* nothing was read, and still: no second call */
    assert_int_equal(s.calls, 1);
    assert_int_equal(write(f->pair[1], "y", 1), 1);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(s.calls, 2);
    sp_watch_free(w);
}

static void test_the_peers_end_is_reported_as_closed(void **state)
{
    struct fixture *f = *state;
    struct seen s = {0};
    struct sp_watch *w = sp_watch_new(f->loop, f->pair[0], on_event, &s);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(s.events, SP_EV_WRITE);
    shutdown(f->pair[1], SHUT_WR);
    sp_loop_turn(f->loop, LONG_MS);
    assert_true(s.events & SP_EV_CLOSED);
    sp_watch_free(w);
}

static void test_a_watch_freed_in_its_own_callback_is_never_called_again(void **state)
{
    struct fixture *f = *state;
    struct seen s = {0};
    s.to_free = sp_watch_new(f->loop, f->pair[0], on_event, &s);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(s.calls, 1);
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    sp_loop_turn(f->loop, 0);
    assert_int_equal(s.calls, 1);
}

static void test_a_watch_freed_by_another_callback_of_the_same_turn_is_not_called(void **state)
{
    struct fixture *f = *state;
    struct seen a = {0}, b = {0};
    struct sp_watch *wa = sp_watch_new(f->loop, f->pair[0], on_event, &a);
    struct sp_watch *wb = sp_watch_new(f->loop, f->pair[1], on_event, &b);
    a.other = wb; /* both are writable: whichever is called first frees the other */
    b.other = wa;
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(a.calls + b.calls, 1);
    sp_watch_free(a.calls == 1 ? wa : wb);
}

static void test_a_level_watch_calls_until_read_and_can_be_switched(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    struct seen s = {0};
    struct sp_watch *w = sp_watch_new_level(f->loop, f->pair[0], on_event, &s);
    sp_loop_turn(f->loop, LONG_MS);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(s.calls, 2);
    assert_int_equal(s.events, SP_EV_READ);
    sp_watch_disable(w);
    sp_watch_disable(w);
    sp_loop_turn(f->loop, 0);
    assert_int_equal(s.calls, 2);
    assert_int_equal(sp_watch_enable(w), SP_OK);
    assert_int_equal(sp_watch_enable(w), SP_OK);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(s.calls, 3);
    sp_watch_free(w);
}

static void test_a_level_watch_that_the_kernel_does_not_take_up_again_says_so(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    struct seen s = {0};
    struct sp_watch *w = sp_watch_new_level(f->loop, f->pair[0], on_event, &s);
    int kept = dup(f->pair[0]);
    sp_watch_disable(w);
    assert_int_equal(close(f->pair[0]), 0);
    assert_int_equal(sp_watch_enable(w), SP_FAIL);
    assert_int_equal(dup2(kept, f->pair[0]), f->pair[0]);
    assert_int_equal(close(kept), 0);
    sp_loop_turn(f->loop, 0);
    assert_int_equal(s.calls, 0);
    assert_int_equal(sp_watch_enable(w), SP_OK);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(s.calls, 1);
    sp_watch_free(w);
}

static void test_a_signal_is_delivered_on_the_loop(void **state)
{
    struct fixture *f = *state;
    struct seen s = {0};
    struct sp_watch *w = sp_watch_new_signal(f->loop, SIGUSR1, on_event, &s);
    assert_non_null(w);
    raise(SIGUSR1);
    while (s.calls == 0)
        sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(s.events, SIGUSR1);
    sp_watch_free(w);
}

/* ---- timers ---- */

struct fired {
    struct sp_loop *loop;
    struct sp_timer *t;
    unsigned times;
    unsigned again; /* sets itself to now so many times more */
    bool free_self;
    uint64_t at;
    unsigned *order, rank;
};

static void on_fire(void *arg)
{
    struct fired *f = arg;
    f->times++;
    f->at = sp_loop_now_ms(f->loop);
    if (f->order != NULL)
        f->rank = ++*f->order;
    if (f->again > 0) {
        f->again--;
        sp_timer_set(f->t, 0);
    }
    if (f->free_self) {
        sp_timer_free(f->t);
        f->t = NULL;
    }
}

static void wait_for(struct sp_loop *loop, const struct fired *f, unsigned times)
{
    while (f->times < times)
        sp_loop_turn(loop, LONG_MS);
}

static void timer_for(struct sp_loop *loop, struct fired *f)
{
    f->loop = loop;
    f->t = sp_timer_new(loop, on_fire, f);
    assert_non_null(f->t);
}

static void test_a_timer_fires_once_and_not_before_its_time(void **state)
{
    struct fixture *f = *state;
    struct fired t = {0};
    timer_for(f->loop, &t);
    uint64_t start = sp_loop_now_ms(f->loop);
    sp_timer_set(t.t, 20);
    wait_for(f->loop, &t, 1);
    assert_true(t.at >= start + 20);
    sp_loop_turn(f->loop, 0);
    assert_int_equal(t.times, 1);
    sp_timer_free(t.t);
}

static void test_a_deadline_moved_later_is_kept_and_one_moved_earlier_too(void **state)
{
    struct fixture *f = *state;
    struct fired t = {0};
    timer_for(f->loop, &t);
    sp_timer_set(t.t, 1);
    uint64_t start = sp_loop_now_ms(f->loop);
    sp_timer_set(t.t, 40);
    wait_for(f->loop, &t, 1);
    assert_true(t.at >= start + 40);
    sp_timer_set(t.t, 3600 * 1000);
    sp_timer_set(t.t, 1); /* comes within the test's life only if moved */
    wait_for(f->loop, &t, 2);
    sp_timer_free(t.t);
}

static void test_a_stopped_timer_never_fires_and_can_be_set_again(void **state)
{
    struct fixture *f = *state;
    struct fired t = {0}, later = {0};
    timer_for(f->loop, &t);
    timer_for(f->loop, &later);
    sp_timer_set(t.t, 1);
    sp_timer_stop(t.t);
    sp_timer_set(later.t, 15);
    wait_for(f->loop, &later, 1);
    assert_int_equal(t.times, 0);
    sp_timer_set(t.t, 1);
    wait_for(f->loop, &t, 1);
    sp_timer_free(t.t);
    sp_timer_free(later.t);
}

static void test_a_timer_may_free_itself_or_set_itself_to_now_without_holding_the_loop(void **state)
{
    struct fixture *f = *state;
    struct fired again = {.again = 3}, gone = {.free_self = true};
    timer_for(f->loop, &again);
    timer_for(f->loop, &gone);
    sp_timer_set(again.t, 0);
    sp_timer_set(gone.t, 0);
    sp_loop_turn(f->loop, 0);
    assert_true(again.times < 4); /* a turn ended in between */
    wait_for(f->loop, &again, 4);
    wait_for(f->loop, &gone, 1);
    assert_null(gone.t);
    sp_timer_free(again.t);
}

/* Deadlines that lie closer together than two ticks of a coarse clock may come in either order. */
#define TICKS_MS 20

static void test_many_timers_fire_in_the_order_of_their_deadlines(void **state)
{
    enum { COUNT = 300 };
    struct fixture *f = *state;
    static struct fired t[COUNT];
    static uint64_t earliest[COUNT],
        latest[COUNT]; /* what the deadline may be: the clock goes on while we set */
    memset(t, 0, sizeof t);
    unsigned order = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t delay = 5 + i * 7 % COUNT; /* 7 and 300 share no factor: each delay once */
        t[i].order = &order;
        timer_for(f->loop, &t[i]);
        earliest[i] = sp_loop_now_ms(f->loop) + delay;
        sp_timer_set(t[i].t, delay);
        latest[i] = sp_loop_now_ms(f->loop) + delay;
    }
    for (unsigned i = 0; i < COUNT; i += 3) /* taken out of the middle of the heap */
        sp_timer_free(t[i].t);
    while (order < COUNT - COUNT / 3)
        sp_loop_turn(f->loop, LONG_MS);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(t[i].times, i % 3 != 0);
        for (unsigned j = 0; j < COUNT && i % 3 != 0; j++) {
            if (j % 3 != 0 && latest[i] + TICKS_MS < earliest[j])
                assert_true(t[i].rank < t[j].rank);
        }
        if (i % 3 != 0)
            sp_timer_free(t[i].t);
    }
}

/* ---- mail ---- */

enum { SENDERS = 4, LETTERS = 20000 };

struct letter {
    struct sp_mail mail;
    struct office *office;
    unsigned sender, number;
};

struct office {
    struct sp_loop *loop;
    unsigned next[SENDERS];
    unsigned total, out_of_order;
    pthread_t receiver;
    bool wrong_thread;
};

static void on_letter(struct sp_mail *m)
{
    struct letter *l = SP_CONTAINER_OF(m, struct letter, mail);
    struct office *o = l->office;
    if (!pthread_equal(pthread_self(), o->receiver))
        o->wrong_thread = true;
    if (o->next[l->sender]++ != l->number)
        o->out_of_order++;
    if (++o->total == SENDERS * LETTERS)
        sp_loop_stop(o->loop);
}

struct sender {
    struct office *office;
    unsigned number;
    struct letter *letters;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        s->letters[i] = (struct letter){{on_letter, NULL}, s->office, s->number, i};
        sp_loop_post(s->office->loop, &s->letters[i].mail);
    }
    return NULL;
}

static void test_mail_from_several_threads_arrives_once_and_in_each_senders_order(void **state)
{
    struct fixture *f = *state;
    struct office office = {.loop = f->loop, .receiver = pthread_self()};
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&office, i, calloc(LETTERS, sizeof(struct letter))};
        assert_non_null(senders[i].letters);
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    sp_loop_run(f->loop);
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        free(senders[i].letters);
    }
    assert_int_equal(office.total, SENDERS * LETTERS);
    assert_int_equal(office.out_of_order, 0);
    assert_false(office.wrong_thread);
}

struct echo {
    struct sp_mail mail;
    struct sp_loop *loop;
    unsigned left;
};

static void on_echo(struct sp_mail *m)
{
    struct echo *e = SP_CONTAINER_OF(m, struct echo, mail);
    if (--e->left > 0)
        sp_loop_post(e->loop, m);
    else
        sp_loop_stop(e->loop);
}

static void test_a_mail_may_be_posted_again_from_its_own_fn(void **state)
{
    struct fixture *f = *state;
    struct echo e = {{on_echo, NULL}, f->loop, 5};
    sp_loop_post(f->loop, &e.mail);
    sp_loop_run(f->loop);
    assert_int_equal(e.left, 0);
}

static void *stop_it(void *arg)
{
    sp_loop_stop(arg);
    return NULL;
}

static void test_stop_from_another_thread_ends_a_waiting_run(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_it, f->loop), 0);
    sp_loop_run(f->loop); /* also when the stop came first */
    pthread_join(thread, NULL);
}

/* ---- tasks and the graveyard ---- */

struct job {
    struct sp_task task;
    struct sp_grave grave;
    struct sp_loop *loop;
    unsigned runs, again;
    bool *freed, freed_when_run;
};

static void on_job(struct sp_task *t)
{
    struct job *j = SP_CONTAINER_OF(t, struct job, task);
    j->runs++;
    if (j->freed != NULL)
        j->freed_when_run = *j->freed;
    if (j->again > 0) {
        j->again--;
        sp_loop_defer(j->loop, t);
    }
}

static void test_a_task_deferred_twice_runs_once_and_from_a_task_in_the_next_turn(void **state)
{
    struct fixture *f = *state;
    struct job j = {.loop = f->loop, .again = 1};
    sp_task_init(&j.task, on_job);
    sp_loop_defer(f->loop, &j.task);
    sp_loop_defer(f->loop, &j.task);
    sp_loop_turn(f->loop, LONG_MS); /* does not wait: there is work */
    assert_int_equal(j.runs, 1);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(j.runs, 2);
}

static void test_a_cancelled_task_does_not_run(void **state)
{
    struct fixture *f = *state;
    struct job a = {.loop = f->loop}, b = {.loop = f->loop};
    sp_task_init(&a.task, on_job);
    sp_task_init(&b.task, on_job);
    sp_loop_defer(f->loop, &a.task);
    sp_loop_defer(f->loop, &b.task);
    sp_task_cancel(&a.task);
    sp_task_cancel(&a.task);
    sp_loop_turn(f->loop, 0);
    assert_int_equal(a.runs, 0);
    assert_int_equal(b.runs, 1);
}

static void test_tasks_behind_run_a_few_a_turn_in_their_order_and_after_the_others(void **state)
{
    struct fixture *f = *state;
    struct job behind[SP_BEHIND_A_TURN + 2], other = {.loop = f->loop, .again = 1};
    for (size_t i = 0; i < SP_COUNTOF(behind); i++) {
        behind[i] = (struct job){.loop = f->loop};
        sp_task_init(&behind[i].task, on_job);
        sp_loop_defer_behind(f->loop, &behind[i].task);
    }
    sp_loop_defer_behind(f->loop, &behind[1].task); /* stays where it is */
    sp_task_cancel(&behind[0].task);
    sp_task_init(&other.task, on_job);
    sp_loop_defer(f->loop, &other.task);
    sp_loop_turn(f->loop, LONG_MS); /* does not wait: there is work */
    assert_int_equal(other.runs, 1);
    assert_int_equal(behind[1].runs, 1);
    assert_int_equal(behind[SP_BEHIND_A_TURN].runs, 1); /* in place of the one that was cancelled */
    assert_int_equal(behind[SP_BEHIND_A_TURN + 1].runs, 0);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(other.runs, 2);
    assert_int_equal(behind[SP_BEHIND_A_TURN + 1].runs, 1);
    assert_int_equal(behind[1].runs, 1);
    assert_int_equal(behind[0].runs, 0);
}

/* One for whom something has come meanwhile does not wait for those before it. */
static void test_a_task_behind_that_is_deferred_is_behind_no_more(void **state)
{
    struct fixture *f = *state;
    struct job behind[SP_BEHIND_A_TURN + 2];
    struct job *last = &behind[SP_COUNTOF(behind) - 1];
    for (size_t i = 0; i < SP_COUNTOF(behind); i++) {
        behind[i] = (struct job){.loop = f->loop};
        sp_task_init(&behind[i].task, on_job);
        sp_loop_defer_behind(f->loop, &behind[i].task);
    }
    sp_loop_defer(f->loop, &last->task);
    sp_loop_defer_behind(f->loop, &last->task); /* stays where it is */
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(last->runs, 1);
    assert_int_equal(behind[0].runs, 1);
    assert_int_equal(behind[SP_BEHIND_A_TURN].runs, 0);
    sp_loop_turn(f->loop, LONG_MS);
    assert_int_equal(behind[SP_BEHIND_A_TURN].runs, 1);
    assert_int_equal(last->runs, 1);
}

struct corpse {
    struct sp_grave grave;
    struct sp_loop *loop;
    struct corpse *takes_along;
    bool freed;
};

static void bury_corpse(struct sp_grave *g)
{
    struct corpse *c = SP_CONTAINER_OF(g, struct corpse, grave);
    c->freed = true;
    if (c->takes_along != NULL)
        sp_loop_bury(c->loop, &c->takes_along->grave, bury_corpse);
}

static void test_what_is_buried_is_freed_after_the_tasks_of_the_turn(void **state)
{
    struct fixture *f = *state;
    struct corpse second = {.loop = f->loop}, first = {.loop = f->loop, .takes_along = &second};
    struct job j = {.loop = f->loop, .freed = &first.freed};
    sp_task_init(&j.task, on_job);
    sp_loop_bury(f->loop, &first.grave, bury_corpse);
    sp_loop_defer(f->loop, &j.task);
    assert_false(first.freed);
    sp_loop_turn(f->loop, 0);
    assert_int_equal(j.runs, 1);
    assert_false(j.freed_when_run);
    assert_true(first.freed);
    assert_true(second.freed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_registering_gives_an_edge_for_the_present_state),
        TEST(test_an_edge_comes_once_until_more_happens),
        TEST(test_the_peers_end_is_reported_as_closed),
        TEST(test_a_watch_freed_in_its_own_callback_is_never_called_again),
        TEST(test_a_watch_freed_by_another_callback_of_the_same_turn_is_not_called),
        TEST(test_a_level_watch_calls_until_read_and_can_be_switched),
        TEST(test_a_level_watch_that_the_kernel_does_not_take_up_again_says_so),
        TEST(test_a_signal_is_delivered_on_the_loop),
        TEST(test_a_timer_fires_once_and_not_before_its_time),
        TEST(test_a_deadline_moved_later_is_kept_and_one_moved_earlier_too),
        TEST(test_a_stopped_timer_never_fires_and_can_be_set_again),
        TEST(test_a_timer_may_free_itself_or_set_itself_to_now_without_holding_the_loop),
        TEST(test_many_timers_fire_in_the_order_of_their_deadlines),
        TEST(test_mail_from_several_threads_arrives_once_and_in_each_senders_order),
        TEST(test_a_mail_may_be_posted_again_from_its_own_fn),
        TEST(test_stop_from_another_thread_ends_a_waiting_run),
        TEST(test_a_task_deferred_twice_runs_once_and_from_a_task_in_the_next_turn),
        TEST(test_a_cancelled_task_does_not_run),
        TEST(test_tasks_behind_run_a_few_a_turn_in_their_order_and_after_the_others),
        TEST(test_a_task_behind_that_is_deferred_is_behind_no_more),
        TEST(test_what_is_buried_is_freed_after_the_tasks_of_the_turn),
    };
    return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
