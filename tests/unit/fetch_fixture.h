/* A fetcher, a loop and the scripted server; jobs that are sent and waited for. Every wait is for an event; the
 * guard against a hang is ctest's. */
#ifndef TEST_FETCH_FIXTURE_H
#define TEST_FETCH_FIXTURE_H

#include "fetch_server.h"
#include "sallyport/fetch/fetch.h"

#define LONG_MS  60000 /* the timeout of a job that is not to run into it */
#define SHORT_MS 300   /* of one that is */

struct fixture {
    struct sp_loop *loop;
    struct sp_fetcher *fetcher;
    struct server server; /* fetch_fixture.c has its scripts */
};

struct request {
    struct sp_fetch_job job;
    char url[512];
    unsigned *back; /* how many are */
};

int set_up(void **state);
int tear_down(void **state);
#define SERVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* A GET that is given what it needs, to be changed by the test before it is sent. */
void prepare(struct fixture *f, struct request *r, const char *path, unsigned *back);
/* Turns the loop until exactly `count` are back. */
void wait_back(struct fixture *f, const unsigned *back, unsigned count);
/* Sends it and waits for it. */
void fetch(struct fixture *f, struct request *r);

/* Came whole, with this body, which is freed. */
void assert_text(struct request *r, const char *text);
/* Failed, and the error has these words. */
void assert_failed(const struct request *r, const char *words);

#endif
