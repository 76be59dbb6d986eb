/* Lines to syslog and journald: what a service gets, and what its absence, its silence and its restart cost. The services
 * are datagram sockets of the test's own. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "obs/sink.h"
#include "obs_fixture.h"

enum { STOP_MS = 30000 };

/* A service that listens at `path` and reads nothing by itself. */
static int service(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    strcpy(at.sun_path, path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void end_service(int fd, const char *path)
{
    close(fd);
    assert_int_equal(unlink(path), 0);
}

/* The next datagram; ctest's time limit is the only end. */
static const char *receive(int fd, char *out, size_t room)
{
    ssize_t n = recv(fd, out, room - 1, 0);
    assert_true(n >= 0);
    out[n] = '\0';
    return out;
}

static bool has_datagram(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void start_with(struct fixture *f, const char *events, const char *access, const char *audit)
{
    const struct sp_log_options options = {.level = SP_LOG_INFO,
        .format = SP_LOG_TEXT,
        .events = events,
        .access = access,
        .audit = audit,
        .sockets = {.syslog = f->access, .journald = f->access}};
    struct sp_err err;
    if (sp_log_start(&options, f->writer, &f->log, &err) != SP_OK)
        fail_msg("%s", err.text);
}

static void assert_ends(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    if (len < n || strcmp(text + len - n, end) != 0)
        fail_msg("\"%s\" does not end with \"%s\"", text, end);
}

/* ---- what a service gets ---- */

static void test_syslog_gets_a_datagram_a_line_with_its_facility_and_severity(void **state)
{
    struct fixture *f = *state;
    int fd = service(f->access);
    start_with(f, "syslog", "syslog", "syslog");
    struct sp_logger *l = sp_logger_new(f->log, f->producer);
    const struct sp_log_field fields[] = {SP_LOG_C("what", "a\nb <1>c")};
    sp_log_event(l, SP_LOG_INFO, "e", fields, 1);
    sp_log_event(l, SP_LOG_WARN, "e", fields, 1);
    sp_log_event(l, SP_LOG_ERROR, "e", fields, 1);
    sp_log_access(l, fields, 1);
    sp_log_audit(l, fields, 1);
    static const struct {
        const char *priority, *end;
    } wanted[] = {
        {"<30>", "Z info e what=\"a\\x0ab <1>c\""},
        {"<28>", "Z warn e what=\"a\\x0ab <1>c\""},
        {"<27>", "Z error e what=\"a\\x0ab <1>c\""},
        {"<30>", "Z access what=\"a\\x0ab <1>c\""},
        {"<85>", "Z\",\"event\":\"decision\",\"what\":\"a\\u000ab <1>c\"}"},
    };
    for (size_t i = 0; i < SP_COUNTOF(wanted); i++) {
        char text[512], month[4], time_of_day[9], tag[64];
        int day = 0;
        receive(fd, text, sizeof(text));
        assert_memory_equal(text, wanted[i].priority, 4);
        assert_ends(text, wanted[i].end);
        assert_int_equal(sscanf(text + 4, "%3s %2d %8s %63s ", month, &day, time_of_day, tag), 4);
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "sallyport[%d]:", (int)getpid());
        assert_string_equal(tag, expected);
        assert_int_equal(text[4 + 6], ' '); /* "Jan  2 03:04:05 ": of fixed width */
        assert_int_equal(text[4 + 15], ' ');
        assert_int_equal(strlen(time_of_day), 8);
        assert_true(day >= 1 && day <= 31 && strchr(text, '\n') == NULL);
    }
    sp_log_stop(f->log, STOP_MS);
    assert_false(has_datagram(fd));
    end_service(fd, f->access);
}

static void test_journald_gets_fields(void **state)
{
    struct fixture *f = *state;
    int fd = service(f->access);
    start_with(f, "off", "off", "journald");
    const struct sp_log_field fields[] = {SP_LOG_C("what", "a\nMESSAGE=b")};
    sp_log_audit(sp_logger_new(f->log, f->producer), fields, 1);
    char text[512];
    receive(fd, text, sizeof(text));
    static const char head[] =
        "PRIORITY=5\nSYSLOG_FACILITY=10\nSYSLOG_IDENTIFIER=sallyport\nMESSAGE={\"time\":\"";
    assert_memory_equal(text, head, sizeof(head) - 1);
    assert_ends(text, "\"event\":\"decision\",\"what\":\"a\\u000aMESSAGE=b\"}\n");
    assert_int_equal(count_of(text, "\n"), 4);
    sp_log_stop(f->log, STOP_MS);
    end_service(fd, f->access);
}

static void test_the_widest_line_fits_a_datagram(void **state)
{
    struct fixture *f = *state;
    int fd = service(f->access);
    start_with(f, "off", "off", "journald");
    enum { LONG = 8192 };
    static char value[LONG], text[256 * 1024];
    memset(value, '\n', sizeof(value));
    const struct sp_log_field fields[] = {
        SP_LOG_S("a", ((struct sp_slice){value, LONG})), SP_LOG_S("b", ((struct sp_slice){value, LONG}))};
    sp_log_audit(sp_logger_new(f->log, f->producer), fields, 2);
    receive(fd, text, sizeof(text));
    assert_int_equal(count_of(text, "\\u000a"), 2 * LONG);
    sp_log_stop(f->log, STOP_MS);
    assert_int_equal(sp_meters_sum(f->meters, SP_METER_log_failed), 0);
    end_service(fd, f->access);
}

/* ---- when it does not ---- */

static void test_a_service_that_is_not_there_stops_the_start_and_is_named(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"syslog", "journald"};
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        const struct sp_log_options options = {.events = f->events,
            .access = "off",
            .audit = names[i],
            .sockets = {.syslog = f->access, .journald = f->access}};
        struct sp_err err;
        char wanted[256];
        assert_int_equal(sp_log_start(&options, f->writer, &f->log, &err), SP_FAIL);
        (void)snprintf(
            wanted, sizeof(wanted), "log output %s (%s): No such file or directory", names[i], f->access);
        assert_string_equal(err.text, wanted);
    }
}

static void add(struct sp_sink *s, const char *line)
{
    size_t mark = 0;
    sp_buf_printf(sp_sink_begin(s, &mark), "<86>%s\n", line);
    assert_true(sp_sink_end(s, mark));
}

static struct sp_sink *open_sink(const struct fixture *f)
{
    const struct sp_sink_sockets sockets = {.syslog = f->access};
    struct sp_sink *s = NULL;
    assert_int_equal(sp_sink_open("syslog", &sockets, &s, NULL), SP_OK);
    return s;
}

static void test_a_service_that_went_away_costs_counted_lines_until_it_is_back(void **state)
{
    struct fixture *f = *state;
    char text[256];
    int fd = service(f->access);
    struct sp_sink *s = open_sink(f);
    add(s, "one");
    assert_int_equal(sp_sink_flush(s), 0);
    assert_ends(receive(fd, text, sizeof(text)), ": one");
    /* Restarted between two lines: nothing is lost. */
    end_service(fd, f->access);
    fd = service(f->access);
    add(s, "two");
    add(s, "three");
    assert_int_equal(sp_sink_flush(s), 0);
    assert_ends(receive(fd, text, sizeof(text)), ": two");
    assert_ends(receive(fd, text, sizeof(text)), ": three");
    /* Gone: what is written meanwhile is. */
    end_service(fd, f->access);
    for (int i = 0; i < 3; i++) {
        add(s, "lost");
        add(s, "lost");
        assert_int_equal(sp_sink_flush(s), 2);
        assert_int_equal(s->errnum, ENOENT);
        assert_true(sp_sink_is_empty(s) && !s->stalled);
    }
    fd = service(f->access);
    add(s, "back");
    assert_int_equal(sp_sink_flush(s), 0);
    assert_ends(receive(fd, text, sizeof(text)), ": back");
    assert_false(has_datagram(fd));
    /* Somebody left the file behind. */
    close(fd);
    add(s, "refused");
    assert_int_equal(sp_sink_flush(s), 1);
    assert_int_equal(s->errnum, ECONNREFUSED);
    assert_int_equal(unlink(f->access), 0);
    sp_sink_close(s);
}

static void test_a_service_that_stalls_holds_up_nobody_and_gets_the_lines_later(void **state)
{
    struct fixture *f = *state;
    char text[512];
    int fd = service(f->access), sent = 0, got = 0;
    struct sp_sink *s = open_sink(f);
    while (!s->stalled) {
        (void)snprintf(text, sizeof(text), "line %d", sent++);
        add(s, text);
        assert_int_equal(sp_sink_flush(s), 0);
    }
    /* As much room as for any output, then the newest is dropped. */
    size_t mark = 0;
    for (;; sent++) {
        sp_buf_printf(sp_sink_begin(s, &mark), "<86>line %d\n", sent);
        if (!sp_sink_end(s, mark))
            break;
    }
    assert_true(sent > 1000);
    while (got < sent) {
        char wanted[32];
        (void)snprintf(wanted, sizeof(wanted), ": line %d", got++);
        assert_ends(receive(fd, text, sizeof(text)), wanted);
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};
        if (s->stalled)
            assert_int_equal(poll(&p, 1, -1), 1); /* the writer is woken like this */
        assert_int_equal(sp_sink_flush(s), 0);
    }
    assert_true(sp_sink_is_empty(s) && !has_datagram(fd));
    sp_sink_close(s);
    end_service(fd, f->access);
}

static void test_lines_for_one_kind_of_output_do_not_go_to_another(void **state)
{
    struct fixture *f = *state;
    int fd = service(f->access);
    struct sp_sink *s = open_sink(f), *file = NULL;
    assert_int_equal(sp_sink_open(f->events, &(struct sp_sink_sockets){0}, &file, NULL), SP_OK);
    add(s, "one");
    add(s, "two");
    assert_int_equal(sp_sink_move(s, file), 2);
    assert_true(sp_sink_is_empty(s) && sp_sink_is_empty(file));
    assert_true(sp_sink_has_name(s, "syslog") && !sp_sink_has_name(s, "journald") &&
                !sp_sink_has_name(file, "syslog"));
    sp_sink_close(file);
    sp_sink_close(s);
    end_service(fd, f->access);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_syslog_gets_a_datagram_a_line_with_its_facility_and_severity),
        LOG_TEST(test_journald_gets_fields),
        LOG_TEST(test_the_widest_line_fits_a_datagram),
        LOG_TEST(test_a_service_that_is_not_there_stops_the_start_and_is_named),
        LOG_TEST(test_a_service_that_went_away_costs_counted_lines_until_it_is_back),
        LOG_TEST(test_a_service_that_stalls_holds_up_nobody_and_gets_the_lines_later),
        LOG_TEST(test_lines_for_one_kind_of_output_do_not_go_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
