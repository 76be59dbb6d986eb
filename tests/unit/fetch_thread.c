/* The fetcher's thread: many jobs at once, names that are not answered, the end.
 *
 * getaddrinfo of this program is the one that libcurl finds: names need no network, and one of them is never
 * answered. */
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "fetch_fixture.h"
#include "sallyport/base/clock.h"

/* ---- the name server ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t stirred;
    unsigned waiting;
    bool released;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .stirred = PTHREAD_COND_INITIALIZER};

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)service;
    (void)hints;
    (void)out;
    if (strcmp(node, "silent.example") != 0)
        return EAI_NONAME;
    pthread_mutex_lock(&names.lock);
    names.waiting++;
    pthread_cond_broadcast(&names.stirred);
    while (!names.released)
        pthread_cond_wait(&names.stirred, &names.lock);
    names.waiting--;
    pthread_cond_broadcast(&names.stirred);
    pthread_mutex_unlock(&names.lock);
    return EAI_AGAIN;
}

static void names_wait(unsigned waiting)
{
    pthread_mutex_lock(&names.lock);
    while (names.waiting != waiting)
        pthread_cond_wait(&names.stirred, &names.lock);
    pthread_mutex_unlock(&names.lock);
}

static void names_release(void)
{
    pthread_mutex_lock(&names.lock);
    names.released = true;
    pthread_cond_broadcast(&names.stirred);
    pthread_mutex_unlock(&names.lock);
    names_wait(0);
}

static void test_a_name_that_does_not_exist_fails_in_the_resolve_phase(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "", NULL);
    strcpy(r.url, "http://nowhere.example/x");
    fetch(f, &r);
    assert_failed(&r, "fetch http://nowhere.example/x: resolve: ");
}

/* ---- many at once, and the end ---- */

enum { MANY = 50, AT_ONCE = 8 };

static void test_fifty_jobs_all_come_back_and_eight_run_at_once(void **state)
{
    struct fixture *f = *state;
    static struct request r[MANY];
    unsigned back = 0;
    for (size_t i = 0; i < MANY; i++) {
        prepare(f, &r[i], "/gated", &back);
        sp_fetch(f->fetcher, &r[i].job);
    }
    server_wait_answering(&f->server, AT_ONCE);
    server_open_gate(&f->server);
    wait_back(f, &back, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_text(&r[i], "hello");
    }
    assert_int_equal(f->server.answering_most, AT_ONCE);
    assert_int_equal(f->server.requests, MANY);
}

static void test_a_stop_brings_back_what_is_under_way_and_what_waits(void **state)
{
    struct fixture *f = *state;
    static struct request r[MANY];
    unsigned back = 0;
    for (size_t i = 0; i < MANY; i++) {
        prepare(f, &r[i], "/gated", &back);
        sp_fetch(f->fetcher, &r[i].job);
    }
    server_wait_answering(&f->server, AT_ONCE);
    sp_fetcher_stop(f->fetcher);
    f->fetcher = NULL;
    sp_loop_turn(f->loop, 0); /* all the mail is there */
    assert_int_equal(back, MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_failed(&r[i], "/gated: stop: ");
    assert_int_equal(f->server.requests, AT_ONCE);
}

/* Those with time to wait are served once there is room, those without are not even begun. */
static void test_a_job_whose_turn_does_not_come_in_time_comes_back_failed(void **state)
{
    struct fixture *f = *state;
    static struct request r[AT_ONCE + 2];
    struct request *patient = &r[AT_ONCE], *hurried = &r[AT_ONCE + 1];
    unsigned back = 0;
    for (size_t i = 0; i < SP_COUNTOF(r); i++) {
        prepare(f, &r[i], i < AT_ONCE ? "/gated" : "/ok", &back);
        r[i].job.wait_ms = &r[i] == hurried ? 1 : LONG_MS;
    }
    for (size_t i = 0; i < AT_ONCE; i++)
        sp_fetch(f->fetcher, &r[i].job);
    server_wait_answering(&f->server, AT_ONCE);
    sp_fetch(f->fetcher, &patient->job);
    sp_fetch(f->fetcher, &hurried->job);
    for (uint64_t end = sp_mono_ms() + 2; sp_mono_ms() < end;)
        ; /* its millisecond goes by */
    server_open_gate(&f->server);
    wait_back(f, &back, SP_COUNTOF(r));
    assert_failed(hurried, "/ok: queue: its turn did not come in time");
    assert_text(patient, "hello");
    for (size_t i = 0; i < AT_ONCE; i++)
        assert_text(&r[i], "hello");
    assert_int_equal(f->server.requests, AT_ONCE + 1);
}

static void test_jobs_that_cannot_even_start_all_come_back(void **state)
{
    struct fixture *f = *state;
    static struct request r[MANY];
    unsigned back = 0;
    for (size_t i = 0; i < MANY; i++) {
        prepare(f, &r[i], "/a b", &back);
        sp_fetch(f->fetcher, &r[i].job);
    }
    wait_back(f, &back, MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_failed(&r[i], "/a?b: URL: ");
}

static void test_a_stop_right_after_the_start_is_fine(void **state)
{
    struct fixture *f = *state;
    struct sp_fetcher *other;
    struct sp_err err;
    (void)f;
    assert_int_equal(sp_fetcher_start(&other, &err), SP_OK);
    sp_fetcher_stop(other);
    sp_fetcher_stop(NULL);
}

static void test_a_second_fetcher_neither_minds_nor_is_minded(void **state)
{
    struct fixture *f = *state;
    struct sp_fetcher *other;
    struct sp_err err;
    struct request held, r;
    unsigned back = 0;
    assert_int_equal(sp_fetcher_start(&other, &err), SP_OK);
    prepare(f, &held, "/gated", &back);
    sp_fetch(f->fetcher, &held.job);
    server_wait_answering(&f->server, 1);
    prepare(f, &r, "/ok", &back);
    sp_fetch(other, &r.job);
    wait_back(f, &back, 1);
    assert_text(&r, "hello");
    sp_fetcher_stop(other);
    server_open_gate(&f->server);
    wait_back(f, &back, 2);
    assert_text(&held, "hello");
}

static void test_a_job_may_be_used_again(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "/nothing", NULL);
    fetch(f, &r);
    assert_failed(&r, "/nothing");
    snprintf(r.url, sizeof r.url, "http://127.0.0.1:%u/ok", f->server.port);
    for (int i = 0; i < 2; i++) {
        fetch(f, &r);
        assert_text(&r, "hello");
    }
}

static void test_a_silent_name_server_holds_up_neither_other_jobs_nor_the_stop(void **state)
{
    struct fixture *f = *state;
    struct request lost, stuck, r;
    unsigned back = 0;
    prepare(f, &lost, "", &back);
    strcpy(lost.url, "http://silent.example/x");
    lost.job.timeout_ms = SHORT_MS;
    sp_fetch(f->fetcher, &lost.job);
    wait_back(f, &back, 1);
    assert_failed(&lost, "fetch http://silent.example/x: timeout: Resolving timed out");

    prepare(f, &stuck, "", &back);
    strcpy(stuck.url, "http://silent.example/y");
    sp_fetch(f->fetcher, &stuck.job);
    names_wait(2);
    prepare(f, &r, "/ok", &back);
    sp_fetch(f->fetcher, &r.job);
    wait_back(f, &back, 2);
    assert_text(&r, "hello");

    sp_fetcher_stop(f->fetcher);
    f->fetcher = NULL;
    sp_loop_turn(f->loop, 0);
    assert_int_equal(back, 3);
    assert_failed(&stuck, "silent.example/y: stop: ");
    names_release();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(test_a_name_that_does_not_exist_fails_in_the_resolve_phase),
        SERVED(test_fifty_jobs_all_come_back_and_eight_run_at_once),
        SERVED(test_a_stop_brings_back_what_is_under_way_and_what_waits),
        SERVED(test_a_job_whose_turn_does_not_come_in_time_comes_back_failed),
        SERVED(test_jobs_that_cannot_even_start_all_come_back),
        SERVED(test_a_stop_right_after_the_start_is_fine),
        SERVED(test_a_second_fetcher_neither_minds_nor_is_minded),
        SERVED(test_a_job_may_be_used_again),
        SERVED(test_a_silent_name_server_holds_up_neither_other_jobs_nor_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
