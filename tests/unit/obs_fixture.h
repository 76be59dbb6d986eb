/* For the tests of the log: a folder of its own with two file names in it, meters, and what a file holds. */
#ifndef SP_TEST_OBS_FIXTURE_H
#define SP_TEST_OBS_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/base/mem.h"
#include "sallyport/obs/log.h"
#include "sallyport/obs/meter.h"

struct fixture {
    char dir[64];
    char events[128], access[128];
    struct sp_meters *meters;
    struct sp_meter_block *writer, *producer;
    struct sp_log *log;
};

static inline int set_up(void **state)
{
    struct fixture *f = SP_NEW(struct fixture);
    assert_non_null(f);
    strcpy(f->dir, "/tmp/sallyport-obs-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->events, sizeof(f->events), "%s/events", f->dir);
    (void)snprintf(f->access, sizeof(f->access), "%s/access", f->dir);
    f->meters = sp_meters_new();
    f->writer = sp_meters_add_block(f->meters);
    f->producer = sp_meters_add_block(f->meters);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"events", "access", "old", "new"};
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    sp_meters_free(f->meters);
    sp_free(f);
    return 0;
}

/* The file, ending in NUL. To be freed. */
static inline char *contents(const char *path)
{
    struct sp_buf b = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (;;) {
        char *room = sp_buf_room(&b, 65536);
        assert_non_null(room);
        ssize_t n = read(fd, room, 65536);
        assert_true(n >= 0);
        b.len += (size_t)n;
        if (n == 0)
            break;
    }
    close(fd);
    sp_buf_add_char(&b, '\0');
    return b.ptr;
}

static inline size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
        n++;
    return n;
}

static inline void assert_file_has(const char *path, const char *what, size_t times)
{
    char *text = contents(path);
    if (count_of(text, what) != times)
        fail_msg("%zu times \"%s\" in %s:\n%s", count_of(text, what), what, path, text);
    free(text);
}

#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
