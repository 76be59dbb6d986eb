/* An output of the log by itself: stalling, tearing, and handing its lines over. Private to the room, hence its
 * header. */
#include <limits.h>
#include <sys/socket.h>

#include "obs/sink.h"
#include "obs_fixture.h"

static const struct sp_sink_sockets USUAL;

static void add_line(struct sp_sink *s, char c, size_t len)
{
    size_t mark = 0;
    struct sp_buf *b = sp_sink_begin(s, &mark);
    for (size_t i = 0; i < len; i++)
        sp_buf_add_char(b, c);
    sp_buf_add_char(b, '\n');
    assert_true(sp_sink_end(s, mark));
}

static void test_lines_a_stalled_pipe_did_not_take_move_whole_to_another_file(void **state)
{
    struct fixture *f = *state;
    enum { LONG = 5000 }; /* longer than a pipe takes at once */
    assert_int_equal(mkfifo(f->access, 0600), 0);
    int reader = open(f->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct sp_sink *pipe_sink = NULL, *again = NULL, *file = NULL;
    assert_int_equal(sp_sink_open(f->access, &USUAL, &pipe_sink, NULL), SP_OK);
    assert_int_equal(sp_sink_open(f->access, &USUAL, &again, NULL), SP_OK);
    assert_int_equal(sp_sink_open(f->events, &USUAL, &file, NULL), SP_OK);
    assert_true(sp_sink_is_same(pipe_sink, again));
    assert_false(sp_sink_is_same(pipe_sink, file));
    uint64_t lines = 1;
    add_line(pipe_sink, '-', 100); /* so that a page boundary of the pipe falls into a line */
    while (!pipe_sink->stalled) {
        add_line(pipe_sink, (char)('a' + lines++ % 26), LONG);
        assert_int_equal(sp_sink_flush(pipe_sink), 0);
    }
    add_line(pipe_sink, '!', LONG);
    lines++;
    /* The same pipe under a new descriptor goes on in the middle of the line. */
    size_t unsent = pipe_sink->pending.len - pipe_sink->sent;
    assert_int_equal(sp_sink_move(pipe_sink, again), 0);
    assert_true(sp_sink_is_empty(pipe_sink));
    assert_int_equal(again->pending.len - again->sent, unsent);
    assert_true(again->sent > 0 && again->pending.ptr[again->sent - 1] != '\n'); /* or this tests nothing */
    assert_int_equal(sp_sink_move(again, file), 1);
    assert_int_equal(sp_sink_flush(file), 0);
    char *text = contents(f->events);
    assert_int_equal(strlen(text), LONG + 1);
    assert_int_equal(strspn(text, "!"), LONG);
    free(text);
    sp_sink_close(pipe_sink);
    sp_sink_close(again);
    sp_sink_close(file);
    close(reader);
}

static void test_what_waits_for_an_output_has_a_bound_and_drops_the_newest(void **state)
{
    struct fixture *f = *state;
    struct sp_sink *s = NULL;
    assert_int_equal(sp_sink_open(f->events, &USUAL, &s, NULL), SP_OK);
    size_t mark = 0, lines = 0;
    for (;; lines++) {
        struct sp_buf *b = sp_sink_begin(s, &mark);
        sp_buf_printf(b, "%099zu\n", lines);
        if (!sp_sink_end(s, mark))
            break;
    }
    assert_int_equal(lines, SP_SINK_PENDING_MAX / 100);
    assert_int_equal(sp_sink_flush(s), 0);
    add_line(s, 'x', 99);
    assert_int_equal(sp_sink_flush(s), 0);
    sp_sink_close(s);
    assert_file_has(f->events, "\n", lines + 1);
}

static void test_a_torn_line_stays_torn_while_writing_fails_and_counts_once(void **state)
{
    (void)state;
    struct sp_sink *s = NULL;
    assert_int_equal(sp_sink_open("/dev/full", &USUAL, &s, NULL), SP_OK);
    s->torn = true;
    for (int i = 0; i < 3; i++) {
        add_line(s, 'x', 10);
        add_line(s, 'y', 10);
        assert_int_equal(sp_sink_flush(s), 2); /* the newline in front is no line */
        assert_true(s->torn && sp_sink_is_empty(s));
    }
    s->torn = false;
    add_line(s, 'x', 10);
    assert_int_equal(sp_sink_flush(s), 1);
    assert_false(s->torn);
    sp_sink_close(s);
}

/* Fills what `s` writes to without a reader; hangs if a write waits. */
static void assert_stalls_without_waiting(struct sp_sink *s)
{
    while (!s->stalled) {
        add_line(s, 'x', 1000);
        assert_int_equal(sp_sink_flush(s), 0);
    }
    assert_false(sp_sink_is_empty(s));
}

static void test_an_inherited_socket_or_blocking_pipe_stalls_without_waiting(void **state)
{
    (void)state;
    for (int kind = SP_SINK_STREAM; kind <= SP_SINK_SHARED; kind++) {
        int fds[2], before = dup(STDERR_FILENO);
        assert_int_equal(kind == SP_SINK_SOCKET ? socketpair(AF_UNIX, SOCK_STREAM, 0, fds) : pipe(fds), 0);
        assert_true(before >= 0 && dup2(fds[1], STDERR_FILENO) >= 0);
        struct sp_sink *s = NULL;
        assert_int_equal(sp_sink_open("stderr", &USUAL, &s, NULL), SP_OK);
        if (kind == SP_SINK_SHARED) { /* as when /proc is not there, or not ours to open */
            assert_true(dup2(fds[1], s->fd) >= 0);
            s->kind = SP_SINK_SHARED;
        }
        assert_int_equal(s->kind, kind);
        assert_true(dup2(before, STDERR_FILENO) >= 0);
        close(before);
        assert_stalls_without_waiting(s);
        assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
        close(fds[1]);
        char bytes[4096];
        assert_int_equal(read(fds[0], bytes, sizeof(bytes)), sizeof(bytes)); /* there is room again */
        assert_int_equal(sp_sink_flush(s), 0);
        assert_true(sp_sink_is_empty(s) && !s->stalled);
        sp_sink_close(s);
        close(fds[0]);
    }
}

static void test_only_what_could_be_opened_and_is_new_passes_a_probe(void **state)
{
    struct fixture *f = *state;
    char below_a_file[sizeof(f->access) + 8], too_long[PATH_MAX + 10];
    (void)snprintf(below_a_file, sizeof(below_a_file), "%s/log", f->access);
    memset(too_long, 'p', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    close(open(f->access, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const struct {
        const char *name, *error; /* NULL: could be opened */
    } cases[] = {
        {"off", NULL},
        {"stderr", NULL},
        {"syslog", NULL},
        {f->events, NULL}, /* not there yet */
        {f->access, NULL},
        {"/nonexistent/log", "log output /nonexistent/log: No such file or directory"},
        {f->dir, "Is a directory"},
        {below_a_file, "Not a directory"},
        {too_long, "log output ppp"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_err err = {0};
        const struct sp_log_options now = {.events = "stderr", .access = "off"};
        const struct sp_log_options next = {.events = "stderr", .access = "off", .audit = cases[i].name};
        assert_int_equal(sp_log_probe(&now, &next, &err), cases[i].error == NULL ? SP_OK : SP_FAIL);
        if (cases[i].error != NULL)
            assert_non_null(strstr(err.text, cases[i].error));
        assert_int_equal(sp_log_probe(&next, &next, &err), SP_OK); /* it is open already */
    }
    assert_int_not_equal(access(f->events, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_a_torn_line_stays_torn_while_writing_fails_and_counts_once),
        LOG_TEST(test_lines_a_stalled_pipe_did_not_take_move_whole_to_another_file),
        LOG_TEST(test_what_waits_for_an_output_has_a_bound_and_drops_the_newest),
        LOG_TEST(test_an_inherited_socket_or_blocking_pipe_stalls_without_waiting),
        LOG_TEST(test_only_what_could_be_opened_and_is_new_passes_a_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
