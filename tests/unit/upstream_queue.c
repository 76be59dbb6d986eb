/* max_connections: the cap itself, over all workers, and who waits for a connection, in what order, and what becomes of a turn
 * whose errand has ended. Two workers in one thread, turned by hand. */
#include "upstream_rig.h"

#include <pthread.h>

/* One endpoint that may have `max` connections, and a queue. */
static struct sp_endpoint *cap(struct rig *r, unsigned max)
{
    name_backends(r, 0, 1);
    r->endpoints[0].max_connections = max;
    r->upstream.queue_max = 8;
    return new_fleet(r)->upstreams[0].lineup->all[0];
}

/* An errand with an event counter of its own. */
struct waiter {
    struct sp_errand e;
    unsigned events;
    struct sp_upconn *c;
};

static enum sp_rc ask(struct sp_targets *t, struct waiter *w)
{
    w->e.on_event = on_event;
    w->e.arg = &w->events;
    return sp_upconn_take(t, &w->e, &w->c);
}

static void over(struct waiter *w)
{
    sp_upconn_close(w->c);
    w->c = NULL;
    sp_errand_end(&w->e);
}

static void test_a_cap_is_kept_and_who_comes_then_waits_until_a_connection_closes(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 2);
    struct sp_targets *t = targets_of(r, 0), *other = targets_of(r, 1);
    struct waiter w[3] = {{{0}, 0, NULL}};

    assert_int_equal(ask(t, &w[0]), SP_OK);
    assert_int_equal(ask(t, &w[1]), SP_OK);
    assert_int_equal(ask(other, &w[2]), SP_AGAIN);
    assert_true(w[2].e.waiting);
    assert_int_equal(ask(other, &w[2]), SP_AGAIN); /* asked too early: it goes on waiting */
    turn_all(r);
    assert_int_equal(w[2].events, 0);
    over(&w[0]);
    sp_loop_turn(r->workers[1].loop, 0);
    assert_int_equal(w[2].events, 0); /* the descriptor is open still */
    sp_loop_turn(r->workers[0].loop, 0);
    sp_loop_turn(r->workers[1].loop, 0);
    assert_int_equal(w[2].events, 1);
    assert_int_equal(connections_of(ep), 2);
    assert_int_equal(ask(other, &w[2]), SP_OK);
    assert_false(w[2].e.waiting);
    assert_false(w[2].c->reused);
    over(&w[1]);
    over(&w[2]);
    turn_all(r);
    assert_int_equal(connections_of(ep), 0);
    sp_targets_free(t);
    sp_targets_free(other);
}

static void test_turns_come_in_the_order_of_asking_over_all_workers_and_nobody_overtakes(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t[WORKERS] = {targets_of(r, 0), targets_of(r, 1)};
    struct waiter w[5] = {{{0}, 0, NULL}}, late = {{0}, 0, NULL};

    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(t[i % 2], &w[i]), i == 0 ? SP_OK : SP_AGAIN);
    for (int i = 1; i < 5; i++) {
        over(&w[i - 1]);
        sp_loop_turn(r->workers[(i - 1) % 2].loop, 0); /* closed: the slot has gone over */
        late.events = 0;
        assert_int_equal(ask(t[0], &late), SP_AGAIN);
        sp_errand_end(&late.e);
        turn_all(r);
        for (int j = 1; j < 5; j++)
            assert_int_equal(w[j].events > 0, j <= i);
        assert_int_equal(ask(t[i % 2], &w[i]), SP_OK);
        assert_int_equal(connections_of(ep), 1);
        w[i].events = 1;
    }
    over(&w[4]);
    turn_all(r);
    assert_int_equal(connections_of(ep), 0);
    sp_targets_free(t[0]);
    sp_targets_free(t[1]);
}

static void test_a_full_queue_turns_away_and_one_of_length_0_at_once(void **state)
{
    struct rig *r = *state;
    struct waiter w[4] = {{{0}, 0, NULL}};

    for (unsigned max = 0; max <= 2; max += 2) {
        name_backends(r, 0, 1);
        r->endpoints[0].max_connections = 1;
        r->upstream.queue_max = max;
        struct sp_targets *t = targets(r);
        assert_int_equal(ask(t, &w[0]), SP_OK);
        for (unsigned i = 1; i <= max; i++)
            assert_int_equal(ask(t, &w[i]), SP_AGAIN);
        assert_int_equal(ask(t, &w[max + 1]), SP_EOF);
        assert_false(w[max + 1].e.waiting);
        for (unsigned i = 0; i <= max + 1; i++)
            over(&w[i]);
        turn_all(r);
        sp_targets_free(t);
    }
}

static void test_an_errand_that_ends_while_it_waits_leaves_the_queue(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t = targets_of(r, 0);
    struct waiter w[3] = {{{0}, 0, NULL}};

    assert_int_equal(ask(t, &w[0]), SP_OK);
    assert_int_equal(ask(t, &w[1]), SP_AGAIN);
    assert_int_equal(ask(t, &w[2]), SP_AGAIN);
    sp_errand_end(&w[1].e);
    over(&w[0]);
    turn_all(r);
    assert_int_equal(w[1].events, 0);
    assert_int_equal(w[2].events, 1);
    assert_int_equal(ask(t, &w[2]), SP_OK);
    over(&w[2]);
    turn_all(r);
    assert_int_equal(connections_of(ep), 0);
    sp_targets_free(t);
}

/* Its mail is on its way, or has come and was not looked at: the next one has the slot then. */
static void test_a_turn_that_comes_too_late_goes_to_the_next_in_the_queue(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t[WORKERS] = {targets_of(r, 0), targets_of(r, 1)};

    for (int has_come = 0; has_come < 2; has_come++) {
        struct waiter w[3] = {{{0}, 0, NULL}};
        assert_int_equal(ask(t[0], &w[0]), SP_OK);
        assert_int_equal(ask(t[1], &w[1]), SP_AGAIN);
        assert_int_equal(ask(t[0], &w[2]), SP_AGAIN);
        over(&w[0]);
        sp_loop_turn(r->workers[0].loop, 0);
        if (has_come)
            sp_loop_turn(r->workers[1].loop, 0);
        sp_errand_end(&w[1].e);
        memset(&w[1], 0xa5, sizeof(w[1])); /* it is gone */
        turn_all(r);
        assert_int_equal(w[2].events, 1);
        assert_int_equal(connections_of(ep), 1);
        assert_int_equal(ask(t[0], &w[2]), SP_OK);
        over(&w[2]);
        turn_all(r);
        assert_int_equal(connections_of(ep), 0);
    }
    sp_targets_free(t[0]);
    sp_targets_free(t[1]);
}

static void test_a_kept_connection_is_handed_on_within_its_worker(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t = targets_of(r, 0);
    struct waiter w[3] = {{{0}, 0, NULL}};

    assert_int_equal(ask(t, &w[0]), SP_OK);
    int fd = accept_from(&r->backends[0]);
    assert_int_equal(ask(t, &w[1]), SP_AGAIN);
    assert_int_equal(ask(t, &w[2]), SP_AGAIN);
    struct sp_upconn *c = w[0].c;
    exchange(r, c, fd, RESPONSE);
    sp_upconn_put(c);
    sp_errand_end(&w[0].e);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 0);
    turn_all(r);
    assert_int_equal(ask(t, &w[1]), SP_OK);
    assert_ptr_equal(w[1].c, c);
    assert_true(c->reused);
    /* On its way to the last one, who has gone: it is kept. */
    exchange(r, c, fd, RESPONSE);
    sp_upconn_put(c);
    sp_errand_end(&w[1].e);
    sp_errand_end(&w[2].e);
    turn_all(r);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1);
    assert_int_equal(connections_of(ep), 1);
    close(fd);
    sp_targets_free(t);
}

static void test_a_connection_that_ended_on_its_way_to_who_waits_makes_room_for_a_new_one(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t = targets_of(r, 0);
    struct waiter w[2] = {{{0}, 0, NULL}};

    assert_int_equal(ask(t, &w[0]), SP_OK);
    int fd = accept_from(&r->backends[0]);
    assert_int_equal(ask(t, &w[1]), SP_AGAIN);
    exchange(r, w[0].c, fd, RESPONSE);
    sp_upconn_put(w[0].c);
    sp_errand_end(&w[0].e);
    close(fd);
    turn_all(r);
    assert_int_equal(ask(t, &w[1]), SP_OK);
    assert_false(w[1].c->reused);
    assert_int_equal(connections_of(ep), 1);
    over(&w[1]);
    turn_all(r);
    assert_int_equal(connections_of(ep), 0);
    sp_targets_free(t);
}

static void test_a_kept_connection_is_closed_for_who_waits_in_another_worker(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t[WORKERS] = {targets_of(r, 0), targets_of(r, 1)};
    struct waiter w[2] = {{{0}, 0, NULL}};

    assert_int_equal(ask(t[0], &w[0]), SP_OK);
    int fd = accept_from(&r->backends[0]);
    assert_int_equal(ask(t[1], &w[1]), SP_AGAIN);
    turn_all(r); /* the other worker was asked for unused ones, and had none */
    exchange(r, w[0].c, fd, RESPONSE);
    sp_upconn_put(w[0].c);
    sp_errand_end(&w[0].e);
    turn_all(r);
    assert_true(ends(fd));
    assert_int_equal(w[1].events, 1);
    assert_int_equal(ask(t[1], &w[1]), SP_OK);
    assert_int_equal(connections_of(ep), 1);
    over(&w[1]);
    turn_all(r);
    close(fd);
    sp_targets_free(t[0]);
    sp_targets_free(t[1]);
}

static void test_an_unused_connection_of_another_worker_is_given_up_for_who_waits(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 2);
    struct sp_targets *t[WORKERS] = {targets_of(r, 0), targets_of(r, 1)};
    struct waiter w[3] = {{{0}, 0, NULL}};
    int fd[2];

    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask(t[0], &w[i]), SP_OK);
        fd[i] = accept_from(&r->backends[0]);
        exchange(r, w[i].c, fd[i], RESPONSE);
    }
    for (int i = 0; i < 2; i++) {
        sp_upconn_put(w[i].c);
        sp_errand_end(&w[i].e);
    }
    assert_int_equal(counted(r, SP_METER_upstream_idle), 2);
    assert_int_equal(ask(t[1], &w[2]), SP_AGAIN);
    turn_all(r);
    assert_int_equal(ask(t[1], &w[2]), SP_OK);
    assert_int_equal(connections_of(ep), 2);
    assert_int_equal(counted(r, SP_METER_upstream_idle), 1); /* one was enough */
    over(&w[2]);
    turn_all(r);
    for (int i = 0; i < 2; i++)
        close(fd[i]);
    sp_targets_free(t[0]);
    sp_targets_free(t[1]);
}

static void test_an_unused_connection_of_the_own_worker_makes_room_for_a_fresh_one(void **state)
{
    struct rig *r = *state;
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t = targets_of(r, 0);
    int fd;

    struct sp_upconn *kept = keep_one(r, t, &fd);
    assert_int_equal(connections_of(ep), 1);
    struct sp_upconn *c = take_once(r, t, true);
    assert_false(c->reused);
    (void)kept;
    assert_true(ends(fd));
    assert_int_equal(connections_of(ep), 1);
    sp_upconn_close(c);
    close(fd);
    turn_all(r);
    sp_targets_free(t);
}

static void test_an_endpoint_with_room_is_taken_before_anybody_waits(void **state)
{
    struct rig *r = *state;
    struct waiter w[4] = {{{0}, 0, NULL}};

    name_backends(r, 0, 2);
    r->endpoints[0].max_connections = 1;
    r->endpoints[1].max_connections = 2;
    r->upstream.queue_max = 8;
    struct sp_targets *t = targets(r);
    struct sp_endpoint **all = r->fleet->upstreams[0].lineup->all;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(t, &w[i]), SP_OK);
    assert_int_equal(ask(t, &w[3]), SP_AGAIN);
    assert_int_equal(connections_of(all[0]), 1);
    assert_int_equal(connections_of(all[1]), 2);
    for (int i = 0; i < 4; i++)
        over(&w[i]);
    turn_all(r);
    sp_targets_free(t);
}

/* One that was tried is free, another is full: the errand waits for that, and a slot of the first is not for it. */
static void test_who_has_tried_an_endpoint_waits_for_another(void **state)
{
    struct rig *r = *state;
    struct waiter holds[2] = {{{0}, 0, NULL}}, w = {{0}, 0, NULL};

    name_backends(r, 0, 2);
    r->endpoints[0].max_connections = r->endpoints[1].max_connections = 1;
    r->upstream.queue_max = 8;
    struct sp_targets *t = targets(r);
    assert_int_equal(ask(t, &w), SP_OK);
    const struct sp_endpoint *tried = w.e.endpoint;
    sp_upconn_close(w.c);
    turn_all(r);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ask(t, &holds[i]), SP_OK);
    struct waiter *same = holds[0].e.endpoint == tried ? &holds[0] : &holds[1];
    struct waiter *other = same == &holds[0] ? &holds[1] : &holds[0];
    assert_int_equal(ask(t, &w), SP_AGAIN);
    w.events = 0;
    over(same);
    turn_all(r);
    assert_int_equal(w.events, 0);
    assert_int_equal(connections_of(tried), 0);
    const struct sp_endpoint *wanted = other->e.endpoint;
    over(other);
    turn_all(r);
    assert_int_equal(w.events, 1);
    assert_int_equal(ask(t, &w), SP_OK);
    assert_ptr_equal(w.e.endpoint, wanted);
    over(&w);
    turn_all(r);
    sp_targets_free(t);
}

static void test_a_new_configuration_wakes_who_waits_and_the_queue_is_the_same_one(void **state)
{
    struct rig *r = *state;
    struct waiter w[2] = {{{0}, 0, NULL}};
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *before = targets_of(r, 0);

    assert_int_equal(ask(before, &w[0]), SP_OK);
    struct sp_queue *queue = r->fleet->upstreams[0].queue;
    struct sp_targets *after = targets(r);
    assert_ptr_equal(r->fleet->upstreams[0].queue, queue);
    assert_ptr_equal(r->fleet->upstreams[0].lineup->all[0], ep);
    assert_int_equal(ask(after, &w[1]), SP_AGAIN); /* for a connection of the fleet before */
    over(&w[0]);
    sp_targets_free(before);
    turn_all(r);
    assert_int_equal(w[1].events, 1);
    assert_int_equal(ask(after, &w[1]), SP_OK);
    over(&w[1]);
    turn_all(r);
    sp_targets_free(after);
}

static void test_who_waits_looks_again_when_there_are_other_endpoints(void **state)
{
    struct rig *r = *state;
    struct waiter w[2] = {{{0}, 0, NULL}};
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t = targets_of(r, 0);

    assert_int_equal(ask(t, &w[0]), SP_OK);
    assert_int_equal(ask(t, &w[1]), SP_AGAIN);
    struct sp_fleet *fleet = sp_fleet_ref(r->fleet);
    name_backends(r, 1, 1);
    struct sp_candidate both[] = {
        {.ep = ep, .weight = 1}, {.ep = new_fleet(r)->upstreams[0].lineup->all[0], .weight = 1}};
    struct sp_lineup *next = sp_lineup_new(&fleet->config->upstreams[0], both, 2);
    assert_non_null(next);
    sp_fleet_replace(fleet, 0, next);
    turn_all(r);
    assert_int_equal(w[1].events, 1);
    assert_int_equal(ask(t, &w[1]), SP_OK);
    assert_ptr_equal(w[1].e.endpoint, both[1].ep);
    over(&w[0]);
    over(&w[1]);
    turn_all(r);
    sp_fleet_unref(fleet);
    sp_targets_free(t);
}

/* They come back in another order than they were called in: one worker is slower than the other. Meanwhile others have come. */
static void test_who_looks_again_in_vain_comes_back_to_his_place_in_a_queue_that_is_full(void **state)
{
    struct rig *r = *state;
    struct waiter w[6] = {{{0}, 0, NULL}};
    struct sp_endpoint *ep = cap(r, 1);
    struct sp_targets *t[WORKERS];

    r->upstream.queue_max = 3;
    new_fleet(r);
    for (unsigned i = 0; i < WORKERS; i++)
        t[i] = targets_of(r, i);
    assert_int_equal(ask(t[0], &w[0]), SP_OK);
    for (int i = 1; i < 4; i++)
        assert_int_equal(ask(t[i % 2], &w[i]), SP_AGAIN);
    sp_queue_call_all(r->fleet->upstreams[0].queue);
    assert_int_equal(ask(t[0], &w[4]), SP_AGAIN);
    turn_all(r);
    for (int i = 3; i > 0; i--) {
        assert_int_equal(w[i].events, 1);
        assert_int_equal(ask(t[i % 2], &w[i]), SP_AGAIN);
    }
    assert_int_equal(ask(t[0], &w[5]), SP_EOF);
    for (int i = 1; i < 5; i++) {
        over(&w[i - 1]);
        turn_all(r);
        for (int j = 1; j < 5; j++)
            assert_int_equal(w[j].events, j == 4 ? i == 4 : j <= i ? 2 : 1);
        assert_int_equal(ask(t[i % 2], &w[i]), SP_OK);
    }
    over(&w[4]);
    turn_all(r);
    assert_int_equal(connections_of(ep), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        sp_targets_free(t[i]);
}

/* ---- threads: slots and turns alone, without sockets ---- */

#define THREADS 4
#define ROUNDS  3000
#define SLOTS   2

struct crowd {
    struct sp_queue *queue;
    struct sp_endpoint *ep;
    _Atomic unsigned holding, most;
};

struct member {
    struct crowd *crowd;
    struct sp_loop *loop;
    struct sp_turn turn;
    unsigned done;
    bool called;
};

static bool wants_it(const struct sp_turn *t, const struct sp_endpoint *ep)
{
    (void)t;
    (void)ep;
    return true;
}

static void on_turn(struct sp_mail *m)
{
    SP_CONTAINER_OF(SP_CONTAINER_OF(m, struct sp_turn, mail), struct member, turn)->called = true;
}

static void hold(struct crowd *c)
{
    unsigned now = atomic_fetch_add(&c->holding, 1) + 1;
    unsigned most = atomic_load(&c->most);

    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    atomic_fetch_sub(&c->holding, 1);
}

/* Waits until it has a slot; one time in eight it loses patience. */
static bool get_slot(struct member *m, unsigned round)
{
    struct crowd *c = m->crowd;

    if (sp_slot_take(c->ep))
        return true;
    m->turn = (struct sp_turn){.mail.fn = on_turn, .loop = m->loop, .wants = wants_it};
    m->called = false;
    if (sp_queue_wait(c->queue, THREADS, &m->turn) != SP_OK)
        return false;
    if (sp_slot_take(c->ep)) {
        if (sp_queue_leave(c->queue, &m->turn))
            return true;
        sp_slot_release(c->queue, c->ep); /* and it was called besides */
    } else if (round % 8 == 0 && sp_queue_leave(c->queue, &m->turn)) {
        return false;
    }
    while (!m->called)
        sp_loop_turn(m->loop, LONG_MS);
    return m->turn.granted != NULL;
}

static void *crowd_in(void *arg)
{
    struct member *m = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (!get_slot(m, i))
            continue;
        hold(m->crowd);
        sp_slot_release(m->crowd->queue, m->crowd->ep);
        m->done++;
    }
    return NULL;
}

static void test_threads_never_hold_more_slots_than_there_are_and_nobody_waits_for_ever(void **state)
{
    struct rig *r = *state;
    struct crowd c = {.ep = cap(r, SLOTS), .queue = sp_queue_new()};
    struct member members[THREADS] = {{0}};
    pthread_t threads[THREADS];
    struct sp_err err;

    assert_non_null(c.queue);
    for (int i = 0; i < THREADS; i++) {
        members[i].crowd = &c;
        assert_int_equal(sp_loop_new(&members[i].loop, &err), SP_OK);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_in, &members[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_in_range(atomic_load(&c.most), 1, SLOTS);
    assert_int_equal(connections_of(c.ep), 0);
    assert_true(sp_queue_is_empty(c.queue));
    for (int i = 0; i < THREADS; i++) {
        assert_true(members[i].done >= ROUNDS / 2);
        sp_loop_free(members[i].loop);
    }
    sp_queue_unref(c.queue);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_cap_is_kept_and_who_comes_then_waits_until_a_connection_closes),
        TEST(test_turns_come_in_the_order_of_asking_over_all_workers_and_nobody_overtakes),
        TEST(test_a_full_queue_turns_away_and_one_of_length_0_at_once),
        TEST(test_an_errand_that_ends_while_it_waits_leaves_the_queue),
        TEST(test_a_turn_that_comes_too_late_goes_to_the_next_in_the_queue),
        TEST(test_a_kept_connection_is_handed_on_within_its_worker),
        TEST(test_a_connection_that_ended_on_its_way_to_who_waits_makes_room_for_a_new_one),
        TEST(test_a_kept_connection_is_closed_for_who_waits_in_another_worker),
        TEST(test_an_unused_connection_of_another_worker_is_given_up_for_who_waits),
        TEST(test_an_unused_connection_of_the_own_worker_makes_room_for_a_fresh_one),
        TEST(test_an_endpoint_with_room_is_taken_before_anybody_waits),
        TEST(test_who_has_tried_an_endpoint_waits_for_another),
        TEST(test_a_new_configuration_wakes_who_waits_and_the_queue_is_the_same_one),
        TEST(test_who_waits_looks_again_when_there_are_other_endpoints),
        TEST(test_who_looks_again_in_vain_comes_back_to_his_place_in_a_queue_that_is_full),
        TEST(test_threads_never_hold_more_slots_than_there_are_and_nobody_waits_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
