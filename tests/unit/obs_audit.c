/* Audit records: a stream of its own beside events and access records, as JSON whatever those are; and what losing some of
 * it comes to. */
#include <sys/stat.h>
#include <time.h>

#include "obs/state.h"
#include "obs_fixture.h"

enum { STOP_MS = 30000 }; /* longer than any test takes; only an output that stalls uses it up */

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

static struct sp_logger *new_logger(struct fixture *f)
{
    struct sp_logger *l = sp_logger_new(f->log, f->producer);
    assert_non_null(l);
    return l;
}

static void say(struct sp_logger *l, const char *what)
{
    const struct sp_log_field fields[] = {SP_LOG_C("what", what)};
    sp_log_event(l, SP_LOG_INFO, "said", fields, 1);
}

static void start_with_audit(struct fixture *f, const char *audit)
{
    const struct sp_log_options options = {.level = SP_LOG_INFO,
        .format = SP_LOG_TEXT,
        .events = f->events,
        .access = f->access,
        .audit = audit};
    struct sp_err err;
    if (sp_log_start(&options, f->writer, &f->log, &err) != SP_OK)
        fail_msg("%s", err.text);
}

static void test_audit_records_are_json_whatever_the_format_and_go_to_their_own_file(void **state)
{
    struct fixture *f = *state;
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/new", f->dir);
    start_with_audit(f, path);
    struct sp_logger *l = new_logger(f);
    const struct sp_log_field fields[] = {SP_LOG_W("decision", "refused"), SP_LOG_C("path", "/a\nb")};
    assert_true(sp_logger_has_audit(l));
    sp_log_audit(l, fields, SP_COUNTOF(fields));
    sp_log_access(l, fields, SP_COUNTOF(fields));
    say(l, "an event");
    sp_log_stop(f->log, STOP_MS);
    assert_file_has(
        path, "Z\",\"event\":\"decision\",\"decision\":\"refused\",\"path\":\"/a\\u000ab\"}\n", 1);
    assert_file_has(path, "\n", 1);
    assert_file_has(f->access, "Z access decision=refused path=/a\\x0ab\n", 1);
    assert_file_has(f->events, "\n", 1);
}

static void test_all_three_streams_may_share_a_file_and_part_again(void **state)
{
    struct fixture *f = *state;
    char path[160], detour[160];
    (void)snprintf(path, sizeof(path), "%s/new", f->dir);
    (void)snprintf(detour, sizeof(detour), "%s/./events", f->dir);
    start_with_audit(f, detour);
    struct sp_logger *l = new_logger(f);
    say(l, "together");
    sp_log_audit(l, NULL, 0);
    WAIT_UNTIL(file_has(f->events, "decision"));
    const struct sp_log_options apart = {
        .level = SP_LOG_INFO, .format = SP_LOG_TEXT, .events = f->events, .access = path, .audit = path};
    sp_log_reopen(f->log, &apart);
    say(l, "apart");
    sp_log_audit(l, NULL, 0);
    sp_log_access(l, NULL, 0);
    WAIT_UNTIL(access(path, F_OK) == 0 && file_has(path, "Z access\n"));
    const struct sp_log_options without = {
        .level = SP_LOG_INFO, .format = SP_LOG_TEXT, .events = f->events, .access = path};
    sp_log_reopen(f->log, &without);
    WAIT_UNTIL(!sp_logger_has_audit(l));
    sp_log_audit(l, NULL, 0);
    say(l, "without");
    sp_log_stop(f->log, STOP_MS);
    assert_file_has(f->events, "decision", 1);
    assert_file_has(f->events, "info said", 3);
    assert_file_has(path, "decision", 1);
    assert_file_has(path, "\n", 2);
}

static void test_lost_audit_records_are_counted_and_told_apart(void **state)
{
    struct fixture *f = *state;
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/new", f->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    start_with_audit(f, path);
    struct sp_logger *l = new_logger(f);
    const struct sp_log_field fields[] = {
        SP_LOG_C("pad", "01234567890123456789012345678901234567890123456789")};
    while (sp_meters_sum(f->meters, SP_METER_audit_dropped) == 0)
        sp_log_audit(l, fields, SP_COUNTOF(fields));
    WAIT_UNTIL(sp_ring_head(&l->ring) == sp_ring_tail(&l->ring)); /* or the event would find no room either */
    say(l, "goes on");
    WAIT_UNTIL(file_has(f->events, "goes on") && file_has(f->events, "Z error audit_dropped count="));
    sp_log_stop(f->log, 20);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_dropped), 0);
    assert_file_has(f->events, "log_dropped", 0);
    close(reader);
}

enum { KEPT_BACK = 200 }; /* audit records; far less than what is kept free for them */

/* Access records into the FIFO `path`, which nobody reads, until they are dropped; then audit records into the same, of which
 * none is. */
static void flood_then_audit(struct fixture *f, const char *events, const char *path)
{
    const struct sp_log_options options = {
        .level = SP_LOG_INFO, .format = SP_LOG_TEXT, .events = events, .access = path, .audit = path};
    struct sp_err err;
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    if (sp_log_start(&options, f->writer, &f->log, &err) != SP_OK)
        fail_msg("%s", err.text);
    struct sp_logger *l = new_logger(f);
    const struct sp_log_field fields[] = {SP_LOG_C("pad", "0123456789012345678901234567890")};
    while (sp_meters_sum(f->meters, SP_METER_log_dropped) < 10)
        sp_log_access(l, fields, SP_COUNTOF(fields));
    if (strcmp(events, path) == 0) {
        /* The ring again, whatever was taken from it before nobody took any more. */
        for (int i = 0; i < 50000; i++)
            sp_log_access(l, fields, SP_COUNTOF(fields));
        uint64_t dropped = sp_meters_sum(f->meters, SP_METER_log_dropped), after = dropped;
        for (; after == dropped; after = sp_meters_sum(f->meters, SP_METER_log_dropped))
            say(l, "an event of no weight");
        sp_log_event(l, SP_LOG_WARN, "warned", NULL, 0);
        assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_dropped), after);
    } else {
        WAIT_UNTIL(
            sp_ring_head(&l->ring) == sp_ring_tail(&l->ring)); /* it is the output's room that is taken */
    }
    for (int i = 0; i < KEPT_BACK; i++)
        sp_log_audit(l, NULL, 0);
    sp_log_stop(f->log, 20);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_audit_dropped), 0);
    close(reader);
}

static void test_access_records_leave_room_in_the_ring_for_audit_records(void **state)
{
    struct fixture *f = *state;
    flood_then_audit(f, f->access, f->access);
}

static void test_access_records_leave_room_for_audit_records_in_an_output_that_both_share(void **state)
{
    struct fixture *f = *state;
    flood_then_audit(f, f->events, f->access);
}

static void test_audit_records_that_cannot_be_written_are_told_among_the_events(void **state)
{
    struct fixture *f = *state;
    start_with_audit(f, "/dev/full");
    sp_log_audit(new_logger(f), NULL, 0);
    sp_log_stop(f->log, STOP_MS);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_audit_failed), 1);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_failed), 0);
    assert_file_has(
        f->events, "Z error log_failed output=audit count=1 error=\"No space left on device\"\n", 1);
}

static void test_what_an_output_loses_is_counted_by_whether_audit_records_go_there(void **state)
{
    struct fixture *f = *state;
    const struct sp_log_options options[] = {
        {.level = SP_LOG_INFO, .events = f->events, .access = "/dev/full", .audit = "/dev/full"},
        {.level = SP_LOG_INFO, .events = f->events, .access = "/dev/full", .audit = f->access},
    };
    struct sp_err err;
    if (sp_log_start(&options[0], f->writer, &f->log, &err) != SP_OK)
        fail_msg("%s", err.text);
    struct sp_logger *l = new_logger(f);
    sp_log_audit(l, NULL, 0);
    sp_log_access(l, NULL, 0);
    WAIT_UNTIL(sp_meters_sum(f->meters, SP_METER_audit_failed) == 2);
    sp_log_reopen(f->log, &options[1]);
    sp_log_audit(l, NULL, 0);
    sp_log_access(l, NULL, 0);
    sp_log_stop(f->log, STOP_MS);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_audit_failed), 2);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_failed), 1);
    assert_file_has(f->access, "decision", 1);
}

static void test_audit_records_follow_a_reopened_file(void **state)
{
    struct fixture *f = *state;
    char path[160], moved[160];
    (void)snprintf(path, sizeof(path), "%s/new", f->dir);
    (void)snprintf(moved, sizeof(moved), "%s/old", f->dir);
    start_with_audit(f, path);
    struct sp_logger *l = new_logger(f);
    sp_log_audit(l, NULL, 0);
    WAIT_UNTIL(file_has(path, "decision"));
    assert_int_equal(rename(path, moved), 0);
    sp_log_reopen(f->log, NULL);
    sp_log_audit(l, NULL, 0);
    sp_log_stop(f->log, STOP_MS);
    assert_file_has(path, "decision", 1);
    assert_file_has(moved, "decision", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_audit_records_are_json_whatever_the_format_and_go_to_their_own_file),
        LOG_TEST(test_all_three_streams_may_share_a_file_and_part_again),
        LOG_TEST(test_lost_audit_records_are_counted_and_told_apart),
        LOG_TEST(test_access_records_leave_room_in_the_ring_for_audit_records),
        LOG_TEST(test_access_records_leave_room_for_audit_records_in_an_output_that_both_share),
        LOG_TEST(test_audit_records_that_cannot_be_written_are_told_among_the_events),
        LOG_TEST(test_what_an_output_loses_is_counted_by_whether_audit_records_go_there),
        LOG_TEST(test_audit_records_follow_a_reopened_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
