/* The log as threads and outputs see it: what arrives, what is dropped and counted, and that nothing makes a
 * producer wait. Lines are read back from files and pipes after sp_log_stop, which is when all have been
 * written. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "obs/state.h"
#include "obs_fixture.h"
#include "sallyport/base/mem.h"
#include "sallyport/base/text.h"
#include "sallyport/obs/log.h"

enum { STOP_MS = 30000 }; /* longer than any test takes; only an output that stalls uses it up */

static void start_with(struct fixture *f, const char *events, const char *access)
{
    const struct sp_log_options options = {
        .level = SP_LOG_INFO, .format = SP_LOG_TEXT, .events = events, .access = access};
    struct sp_err err;
    if (sp_log_start(&options, f->writer, &f->log, &err) != SP_OK)
        fail_msg("%s", err.text);
}

static struct sp_logger *new_logger(struct fixture *f)
{
    struct sp_logger *l = sp_logger_new(f->log, f->producer);
    assert_non_null(l);
    return l;
}

/* Waits for an event, looking again and again; ctest's time limit is the only other end. */
#define WAIT_UNTIL(condition)                                                                                \
    while (!(condition))                                                                                     \
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL)

static bool file_has(const char *path, const char *what)
{
    char *text = contents(path);
    bool has = strstr(text, what) != NULL;
    free(text);
    return has;
}

static void say(struct sp_logger *l, const char *what)
{
    const struct sp_log_field fields[] = {SP_LOG_C("what", what)};
    sp_log_event(l, SP_LOG_INFO, "said", fields, 1);
}

/* ---- outputs ---- */

static void test_events_and_access_records_go_to_their_files(void **state)
{
    struct fixture *f = *state;
    start_with(f, f->events, f->access);
    struct sp_logger *l = new_logger(f);
    const struct sp_log_field fields[] = {
        SP_LOG_N("status", 204), SP_LOG_W("rule", "r"), SP_LOG_T("ms", 1500)};
    assert_true(sp_logger_has_access(l));
    sp_log_access(l, fields, SP_COUNTOF(fields));
    say(l, "two words");
    sp_log_event(l, SP_LOG_DEBUG, "below_the_level", NULL, 0);
    sp_log_stop(f->log, STOP_MS);
    assert_file_has(f->access, "Z access status=204 rule=r ms=1.500\n", 1);
    assert_file_has(f->access, "\n", 1);
    assert_file_has(f->events, "Z info said what=\"two words\"\n", 1);
    assert_file_has(f->events, "\n", 1);
    struct stat st;
    assert_int_equal(stat(f->events, &st), 0);
    assert_int_equal(st.st_mode & 0777 & ~0640, 0);
    sp_log_stop(NULL, 0);
}

static void test_one_file_for_both_keeps_a_producers_order(void **state)
{
    struct fixture *f = *state;
    char detour[160];
    (void)snprintf(detour, sizeof(detour), "%s/./events", f->dir);
    start_with(f, f->events, detour);
    struct sp_logger *l = new_logger(f);
    for (uint64_t i = 0; i < 200; i++) {
        const struct sp_log_field fields[] = {SP_LOG_N("n", i)};
        if (i % 3 == 0)
            sp_log_event(l, SP_LOG_WARN, "e", fields, 1);
        else
            sp_log_access(l, fields, 1);
    }
    sp_log_stop(f->log, STOP_MS);
    char *text = contents(f->events);
    const char *at = text;
    for (int i = 0; i < 200; i++) {
        char wanted[32];
        (void)snprintf(wanted, sizeof(wanted), " n=%d\n", i);
        at = strstr(at, wanted);
        assert_non_null(at);
    }
    assert_int_equal(count_of(text, "\n"), 200);
    free(text);
}

static void test_nothing_is_done_for_an_output_that_is_off(void **state)
{
    struct fixture *f = *state;
    start_with(f, "off", "off");
    struct sp_logger *l = new_logger(f);
    assert_false(sp_logger_has_access(l));
    sp_log_access(l, NULL, 0);
    sp_log_event(l, SP_LOG_ERROR, "e", NULL, 0);
    assert_int_equal(sp_ring_head(&l->ring), 0);
    sp_log_stop(f->log, STOP_MS);
}

static void test_an_output_that_cannot_be_opened_stops_the_start_and_is_named(void **state)
{
    struct fixture *f = *state;
    const struct sp_log_options cases[] = {
        {.level = SP_LOG_INFO, .format = SP_LOG_JSON, .events = "/nonexistent/dir/log", .access = "off"},
        {.level = SP_LOG_INFO, .format = SP_LOG_JSON, .events = f->events, .access = "/nonexistent/dir/log"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_err err = {0};
        assert_int_equal(sp_log_start(&cases[i], f->writer, &f->log, &err), SP_FAIL);
        assert_string_equal(err.text, "log output /nonexistent/dir/log: No such file or directory");
        assert_int_equal(err.sys, ENOENT);
        assert_int_equal(sp_log_start(&cases[i], f->writer, &f->log, NULL), SP_FAIL);
    }
}

static void test_stderr_is_written_to_and_its_flags_are_left_alone(void **state)
{
    struct fixture *f = *state;
    int fds[2], before = dup(STDERR_FILENO);
    assert_int_equal(pipe(fds), 0);
    assert_true(before >= 0 && dup2(fds[1], STDERR_FILENO) >= 0);
    start_with(f, "stderr", "stderr");
    say(new_logger(f), "hello");
    sp_log_reopen(f->log, NULL);
    sp_log_stop(f->log, STOP_MS);
    int flags = fcntl(fds[1], F_GETFL);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    close(before);
    close(fds[1]);
    char text[256] = "";
    ssize_t n = read(fds[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    assert_non_null(strstr(text, "info said what=hello\n"));
    assert_int_equal(flags & O_NONBLOCK, 0);
    assert_int_equal(read(fds[0], text, sizeof(text)), 0); /* nobody holds the pipe any more */
    close(fds[0]);
}

static void test_a_value_is_cut_at_its_bound_and_between_utf8_sequences(void **state)
{
    struct fixture *f = *state;
    start_with(f, f->events, "off");
    struct sp_logger *l = new_logger(f);
    enum { LONG = 20000 };
    char *value = sp_alloc(LONG, 1);
    assert_non_null(value);
    memset(value, 'v', LONG);
    memcpy(value + SP_LOG_VALUE_MAX - 1, "\xc3\xb6", 2); /* across the bound */
    const struct sp_slice slice = {value, LONG};
    const struct sp_log_field fields[] = {SP_LOG_S("a", slice), SP_LOG_S("b", slice), SP_LOG_S("c", slice)};
    sp_log_event(l, SP_LOG_INFO, "e", fields, SP_COUNTOF(fields));
    struct sp_log_field many[300];
    for (size_t i = 0; i < SP_COUNTOF(many); i++)
        many[i] = SP_LOG_N("n", i);
    sp_log_event(l, SP_LOG_INFO, "many", many, SP_COUNTOF(many));
    memset(value, '\n', LONG); /* grows most when escaped */
    sp_log_event(l, SP_LOG_INFO, "widest", fields, 2);
    sp_log_stop(f->log, STOP_MS);
    char *text = contents(f->events);
    assert_non_null(strstr(text, "v...[+11809] b=v"));
    assert_non_null(strstr(text, "v...[+11809] c=vv...[+19998]\n"));
    assert_null(strstr(text, "\\xc3"));
    assert_non_null(strstr(text, " n=254\n"));
    assert_null(strstr(text, "n=255"));
    assert_int_equal(count_of(text, "\\x0a"), SP_LOG_VALUES_MAX);
    assert_int_equal(count_of(text, "\n"), 3);
    free(text);
    sp_free(value);
}

/* ---- reopening ---- */

static void test_after_a_rename_and_a_reopen_lines_go_to_the_new_file(void **state)
{
    struct fixture *f = *state;
    char old[160];
    (void)snprintf(old, sizeof(old), "%s/old", f->dir);
    start_with(f, f->events, f->events);
    struct sp_logger *l = new_logger(f);
    say(l, "before");
    WAIT_UNTIL(file_has(f->events, "before"));
    assert_int_equal(rename(f->events, old), 0);
    sp_log_reopen(f->log, NULL);
    say(l, "after");
    sp_log_access(l, NULL, 0);
    sp_log_stop(f->log, STOP_MS);
    assert_file_has(old, "what=before\n", 1);
    assert_file_has(old, "\n", 1);
    assert_file_has(f->events, "what=after\n", 1);
    assert_file_has(f->events, "Z access\n", 1);
}

static void test_new_options_change_level_format_and_path(void **state)
{
    struct fixture *f = *state;
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/new", f->dir);
    start_with(f, f->events, "off");
    struct sp_logger *l = new_logger(f);
    say(l, "one");
    WAIT_UNTIL(file_has(f->events, "one"));
    const struct sp_log_options options = {
        .level = SP_LOG_DEBUG, .format = SP_LOG_JSON, .events = path, .access = path};
    sp_log_reopen(f->log, &options);
    sp_log_reopen(f->log, NULL); /* a second request does not undo the first */
    WAIT_UNTIL(sp_logger_has_access(l));
    sp_log_event(l, SP_LOG_DEBUG, "two", NULL, 0);
    sp_log_access(l, NULL, 0);
    sp_log_stop(f->log, STOP_MS);
    assert_file_has(f->events, "\n", 1);
    assert_file_has(path, "\"level\":\"debug\",\"event\":\"two\"}\n", 1);
    assert_file_has(path, "\"event\":\"access\"}\n", 1);
}

static void test_a_path_that_cannot_be_reopened_keeps_the_old_file_and_says_so(void **state)
{
    struct fixture *f = *state;
    start_with(f, f->events, f->access);
    struct sp_logger *l = new_logger(f);
    const struct sp_log_options options = {
        .level = SP_LOG_INFO, .format = SP_LOG_TEXT, .events = "/nonexistent/log", .access = f->access};
    sp_log_reopen(f->log, &options);
    say(l, "still here");
    char too_long[PATH_MAX + 10];
    memset(too_long, 'p', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    const struct sp_log_options worse = {
        .level = SP_LOG_INFO, .format = SP_LOG_TEXT, .events = too_long, .access = f->access};
    WAIT_UNTIL(file_has(f->events, "still here"));
    sp_log_reopen(f->log, &worse);
    say(l, "even now");
    sp_log_stop(f->log, STOP_MS);
    assert_file_has(f->events,
        "Z error log_reopen_failed output=events error=\"log output /nonexistent/log: No such file or directory\"\n",
        1);
    assert_file_has(f->events, "what=\"still here\"\n", 1);
    assert_file_has(f->events, "what=\"even now\"\n", 1);
}

/* ---- trouble ---- */

static void test_a_full_disk_loses_lines_and_counts_them(void **state)
{
    struct fixture *f = *state;
    start_with(f, "/dev/full", "off");
    struct sp_logger *l = new_logger(f);
    for (int i = 0; i < 10; i++)
        say(l, "lost");
    sp_log_stop(f->log, STOP_MS);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_failed), 10);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_dropped), 0);
}

static void test_access_records_that_cannot_be_written_are_told_among_the_events(void **state)
{
    struct fixture *f = *state;
    start_with(f, f->events, "/dev/full");
    sp_log_access(new_logger(f), NULL, 0);
    sp_log_stop(f->log, STOP_MS);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_failed), 1);
    assert_file_has(
        f->events, "Z error log_failed output=access count=1 error=\"No space left on device\"\n", 1);
}

static void test_a_line_torn_by_a_full_disk_is_ended_before_the_next(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, small = {0};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    start_with(f, f->events, "off");
    struct sp_logger *l = new_logger(f);
    small.rlim_cur = 100; /* one line and a half */
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum { LINES = 5 };
    for (int i = 0; i < LINES; i++)
        say(l, "0123456789-0123456789");
    WAIT_UNTIL(sp_meters_sum(f->meters, SP_METER_log_failed) == LINES - 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    say(l, "healed");
    sp_log_stop(f->log, STOP_MS);
    char *text = contents(f->events);
    assert_int_equal(count_of(text, "\n"), 3);
    const char *second = strchr(text, '\n') + 1;
    const char *third = strchr(second, '\n') + 1;
    assert_int_equal(third - text, 101);
    assert_null(strstr(second, "0123456789-0123456789\n"));
    assert_true(strlen(third) > 24 && strcmp(third + 24, " info said what=healed\n") == 0);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_failed), LINES - 1);
    free(text);
}

static void fill_until_dropped(struct fixture *f, struct sp_logger *l, uint64_t *sent)
{
    for (*sent = 0; sp_meters_sum(f->meters, SP_METER_log_dropped) < 10; ++*sent) {
        const struct sp_log_field fields[] = {
            SP_LOG_N("n", *sent), SP_LOG_C("pad", "0123456789012345678901234567890")};
        sp_log_access(l, fields, SP_COUNTOF(fields));
    }
}

static void test_a_pipe_nobody_reads_drops_lines_and_holds_up_neither_producer_nor_stop(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkfifo(f->access, 0600), 0);
    int reader = open(f->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    start_with(f, f->access, f->access);
    uint64_t sent = 0;
    fill_until_dropped(f, new_logger(f), &sent); /* would hang here */
    assert_true(sent > SP_LOG_RING_BYTES / 256);
    /* With nowhere to write to, lines are left in the ring; it is the producer who drops. */
    assert_int_equal(atomic_load(&f->writer->values[SP_METER_log_dropped]), 0);
    sp_log_stop(f->log, 20); /* or here */
    close(reader);
}

struct tally {
    int fd;
    uint64_t lines, reported, torn;
    int64_t last;
};

/* Reads a pipe to its end, line by line. */
static void *read_lines(void *arg)
{
    struct tally *t = arg;
    FILE *in = fdopen(t->fd, "r");
    char line[512];
    t->last = -1;
    while (fgets(line, sizeof(line), in) != NULL) {
        const char *n = strstr(line, "Z access n=");
        const char *dropped = strstr(line, "Z warn log_dropped count=");
        if (dropped != NULL) {
            t->reported += strtoull(dropped + 25, NULL, 10);
        } else if (n != NULL && strstr(line, " pad=0123456789012345678901234567890\n") != NULL) {
            int64_t number = strtoll(n + 11, NULL, 10);
            t->torn += number <= t->last;
            t->last = number;
            t->lines++;
        } else {
            t->torn++;
        }
    }
    fclose(in);
    return NULL;
}

static void test_a_reader_that_comes_back_gets_whole_lines_and_the_number_dropped(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkfifo(f->access, 0600), 0);
    struct tally t = {.fd = open(f->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    assert_true(t.fd >= 0);
    start_with(f, f->access, f->access);
    uint64_t sent = 0;
    fill_until_dropped(f, new_logger(f), &sent);
    assert_int_equal(fcntl(t.fd, F_SETFL, 0), 0);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_lines, &t), 0);
    sp_log_stop(f->log, STOP_MS);
    assert_int_equal(pthread_join(reader, NULL), 0);
    uint64_t dropped = sp_meters_sum(f->meters, SP_METER_log_dropped);
    assert_int_equal(t.torn, 0);
    assert_int_equal(t.lines + dropped, sent);
    assert_int_equal(t.reported, dropped);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_failed), 0);
}

static void test_lines_that_wait_for_a_pipe_stay_with_it_when_events_move_to_a_file(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkfifo(f->access, 0600), 0);
    struct tally t = {.fd = open(f->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    assert_true(t.fd >= 0);
    start_with(f, f->access, f->access);
    struct sp_logger *l = new_logger(f);
    uint64_t sent = 0;
    fill_until_dropped(f, l, &sent);
    const struct sp_log_options options = {
        .level = SP_LOG_INFO, .format = SP_LOG_TEXT, .events = f->events, .access = f->access};
    sp_log_reopen(f->log, &options);
    WAIT_UNTIL(!atomic_load(&f->log->reopen));
    assert_int_equal(fcntl(t.fd, F_SETFL, 0), 0);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_lines, &t), 0);
    sp_log_stop(f->log, STOP_MS);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(t.torn, 0);
    assert_int_equal(t.lines + sp_meters_sum(f->meters, SP_METER_log_dropped), sent);
    assert_file_has(f->events, "Z access", 0);
    assert_true(file_has(f->events, "Z warn log_dropped count="));
}

static void test_one_stalled_output_does_not_hold_up_the_other(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkfifo(f->access, 0600), 0);
    int reader = open(f->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    start_with(f, f->events, f->access);
    struct sp_logger *l = new_logger(f);
    uint64_t sent = 0;
    fill_until_dropped(f, l, &sent);
    WAIT_UNTIL(sp_ring_head(&l->ring) == atomic_load(&l->ring.tail)); /* so that there is room for this one */
    say(l, "events go on");
    WAIT_UNTIL(file_has(f->events, "events go on"));
    WAIT_UNTIL(file_has(f->events, "log_dropped count="));
    sp_log_stop(f->log, 0);
    close(reader);
}

static void test_a_reader_that_went_away_costs_lines_and_no_signal(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkfifo(f->access, 0600), 0);
    int reader = open(f->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    start_with(f, f->access, "off");
    close(reader);
    say(new_logger(f), "nobody hears");
    sp_log_stop(f->log, STOP_MS);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_failed), 1);
}

/* ---- threads ---- */

struct producer {
    struct sp_logger *logger;
    const char *name;
    uint64_t lines;
};

enum {
    BURST = 24000
}; /* more than a ring holds; then the writer gets its turn, however busy the machine is */

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (uint64_t i = 0; i < p->lines; i++) {
        const struct sp_log_field fields[] = {SP_LOG_W("from", p->name), SP_LOG_N("n", i)};
        if (i % 2 == 0)
            sp_log_event(p->logger, SP_LOG_INFO, "e", fields, SP_COUNTOF(fields));
        else
            sp_log_access(p->logger, fields, SP_COUNTOF(fields));
        if (i % BURST == BURST - 1)
            WAIT_UNTIL(sp_ring_head(&p->logger->ring) == sp_ring_tail(&p->logger->ring));
    }
    return NULL;
}

/* Two producers at once into one file; returns the lines that arrived, having looked at each. */
static uint64_t run_two_producers(struct fixture *f, uint64_t lines)
{
    start_with(f, f->events, f->events);
    struct producer producers[2] = {{.name = "a"}, {.name = "b"}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        producers[i].logger = sp_logger_new(f->log, sp_meters_add_block(f->meters));
        producers[i].lines = lines;
        assert_non_null(producers[i].logger);
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    sp_log_stop(f->log, STOP_MS);
    char *text = contents(f->events), *rest = text;
    uint64_t arrived = 0;
    int64_t last[2] = {-1, -1};
    for (char *line = strsep(&rest, "\n"); rest != NULL; line = strsep(&rest, "\n")) {
        char from = 0;
        long long n = -1;
        int end = 0;
        if (strstr(line, "log_dropped") != NULL)
            continue;
        if (sscanf(line, "%*s info e from=%c n=%lld%n", &from, &n, &end) != 2)
            assert_int_equal(sscanf(line, "%*s access from=%c n=%lld%n", &from, &n, &end), 2);
        assert_int_equal(line[end], '\0');
        assert_true((from == 'a' || from == 'b') && n > last[from - 'a']);
        last[from - 'a'] = n;
        arrived++;
    }
    free(text);
    return arrived;
}

static void test_two_producers_lines_all_arrive_whole_and_in_each_ones_order(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run_two_producers(f, 2000), 4000);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_dropped), 0);
}

static void test_what_does_not_arrive_when_rings_go_round_was_counted_as_dropped(void **state)
{
    struct fixture *f = *state;
    uint64_t arrived = run_two_producers(f, 120000);
    assert_int_equal(arrived + sp_meters_sum(f->meters, SP_METER_log_dropped), 240000);
    assert_true(arrived > 32000); /* more than the rings hold at once */
}

static void test_a_writer_gone_to_sleep_is_woken_by_the_next_line(void **state)
{
    struct fixture *f = *state;
    start_with(f, f->events, "off");
    struct sp_logger *l = new_logger(f);
    for (int i = 0; i < 5; i++) {
        char what[16];
        (void)snprintf(what, sizeof(what), "line%d", i);
        WAIT_UNTIL(atomic_load(&f->log->rest) == SP_LOG_PARKED);
        say(l, what);
        WAIT_UNTIL(file_has(f->events, what));
    }
    sp_log_stop(f->log, STOP_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_events_and_access_records_go_to_their_files),
        LOG_TEST(test_one_file_for_both_keeps_a_producers_order),
        LOG_TEST(test_nothing_is_done_for_an_output_that_is_off),
        LOG_TEST(test_an_output_that_cannot_be_opened_stops_the_start_and_is_named),
        LOG_TEST(test_stderr_is_written_to_and_its_flags_are_left_alone),
        LOG_TEST(test_a_value_is_cut_at_its_bound_and_between_utf8_sequences),
        LOG_TEST(test_after_a_rename_and_a_reopen_lines_go_to_the_new_file),
        LOG_TEST(test_new_options_change_level_format_and_path),
        LOG_TEST(test_a_path_that_cannot_be_reopened_keeps_the_old_file_and_says_so),
        LOG_TEST(test_a_full_disk_loses_lines_and_counts_them),
        LOG_TEST(test_access_records_that_cannot_be_written_are_told_among_the_events),
        LOG_TEST(test_a_line_torn_by_a_full_disk_is_ended_before_the_next),
        LOG_TEST(test_a_pipe_nobody_reads_drops_lines_and_holds_up_neither_producer_nor_stop),
        LOG_TEST(test_a_reader_that_comes_back_gets_whole_lines_and_the_number_dropped),
        LOG_TEST(test_lines_that_wait_for_a_pipe_stay_with_it_when_events_move_to_a_file),
        LOG_TEST(test_one_stalled_output_does_not_hold_up_the_other),
        LOG_TEST(test_a_reader_that_went_away_costs_lines_and_no_signal),
        LOG_TEST(test_two_producers_lines_all_arrive_whole_and_in_each_ones_order),
        LOG_TEST(test_what_does_not_arrive_when_rings_go_round_was_counted_as_dropped),
        LOG_TEST(test_a_writer_gone_to_sleep_is_woken_by_the_next_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
