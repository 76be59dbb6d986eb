/* A directory of its own, a loop, and a watch whose reports are waited for, never slept for. That none comes is told
 * by a second watch, whose report takes three times as long. Where nothing else is said the comparison on its own
 * is an hour away, so that it is inotify that must have noticed. */
#ifndef SP_TEST_IO_FILE_WATCH_RIG_H
#define SP_TEST_IO_FILE_WATCH_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/file_watch_private.h"
#include "sallyport/base/clock.h"
#include "sallyport/io/loop.h"

#define HOUR_MS     (3600 * 1000)
#define DEADLINE_MS 20000

static const struct sp_file_watch_times WATCH_TIMES = {25, 200, HOUR_MS};
static const struct sp_file_watch_times PROBE_TIMES = {75, 600, HOUR_MS};
static const struct sp_file_watch_times POLLING = {25, 200, 30};

struct fixture {
    char dir[64], probed[80];
    struct sp_loop *loop;
    struct sp_file_watch *watch, *probe;
    unsigned reports, probe_reports;
    char reported[160]; /* the path of the last report */
    const char *set_when_reported;
};

/* ---- changing things; names are relative to the test's own directory ---- */

static inline void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static inline int replace(const char *path, const char *text)
{
    put("new~", text);
    return rename("new~", path);
}

/* As kubelet does, and `ln -sf` does not: at no moment is there no link. */
static inline int swap_link(const char *target, const char *path)
{
    return symlink(target, "link~") != 0 ? -1 : rename("link~", path);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int remove_tree(const char *path)
{
    return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int do_one(const char *verb, const char *a, const char *b)
{
    if (strcmp(verb, "mkdir") == 0)
        return mkdir(a, 0700);
    if (strcmp(verb, "rm") == 0)
        return remove_tree(a);
    if (strcmp(verb, "chmod") == 0)
        return chmod(a, 0640);
    if (strcmp(verb, "mv") == 0)
        return rename(a, b);
    if (strcmp(verb, "exchange") == 0)
        return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
    if (strcmp(verb, "link") == 0)
        return symlink(b, a);
    if (strcmp(verb, "swap") == 0)
        return swap_link(b, a);
    if (strcmp(verb, "replace") == 0)
        return replace(a, b);
    assert_string_equal(verb, "put");
    put(a, b);
    return 0;
}

/* Commands with one or two words behind them, separated by ';'. */
static inline void run(const char *script)
{
    char text[512], *rest = NULL;
    assert_true(strlen(script) < sizeof text);
    strcpy(text, script);
    for (char *one = strtok_r(text, ";", &rest); one != NULL; one = strtok_r(NULL, ";", &rest)) {
        char verb[16], a[64], b[64] = "";
        assert_true(sscanf(one, " %15s %63s %63s", verb, a, b) >= 2);
        if (do_one(verb, a, b) != 0)
            fail_msg("%s: %s", one, strerror(errno));
    }
}

/* What kubelet makes of a secret or config map. */
#define SECRET                                                                                               \
    "mkdir secret; mkdir secret/..2026_a; put secret/..2026_a/tls.crt 1; link secret/..data ..2026_a;"       \
    "link secret/tls.crt ..data/tls.crt"
#define SECRET_B                                                                                             \
    "mkdir secret/..2026_b; put secret/..2026_b/tls.crt 1; swap secret/..data ..2026_b; rm secret/..2026_a"
#define SECRET_C                                                                                             \
    "mkdir secret/..2026_c; put secret/..2026_c/tls.crt 1; swap secret/..data ..2026_c; rm secret/..2026_b"

#define DEEP "mkdir x; mkdir x/y; mkdir x/y/z; put x/y/z/file 1"

/* ---- the rig ---- */

static inline void on_change(void *arg, const char *path)
{
    struct fixture *f = arg;
    f->reports++;
    snprintf(f->reported, sizeof f->reported, "%s", path);
    if (f->set_when_reported != NULL)
        assert_int_equal(sp_file_watch_set(f->watch, &f->set_when_reported, 1, sp_wall_us()), SP_OK);
}

static inline void on_probe(void *arg, const char *path)
{
    struct fixture *f = arg;
    (void)path;
    f->probe_reports++;
}

/* Until there are so many reports. */
static inline void await(struct fixture *f, const unsigned *reports, unsigned count, const char *what)
{
    uint64_t deadline = sp_mono_ms() + DEADLINE_MS;
    while (*reports < count) {
        if (sp_mono_ms() > deadline)
            fail_msg("no report: %s", what);
        sp_loop_turn(f->loop, 100);
    }
}

/* Until what has been changed so far would not be taken for a change of this very moment. */
static inline void grow_old(struct fixture *f)
{
    uint64_t until = sp_mono_ms() + 30;
    while (sp_mono_ms() < until)
        sp_loop_turn(f->loop, 5);
}

/* Whatever would be reported has been. */
static inline void let_pass(struct fixture *f)
{
    unsigned before = f->probe_reports;
    put(f->probed, before % 2 == 0 ? "tick" : "tock, tock");
    await(f, &f->probe_reports, before + 1, "of the probe");
}

static inline void make_watch(struct fixture *f, const struct sp_file_watch_times *times)
{
    struct sp_err err = {0};
    f->watch = sp_file_watch_new_timed(f->loop, on_change, f, times, &err);
    assert_non_null(f->watch);
    assert_string_equal(err.text, "");
}

static inline void set_paths(struct fixture *f, const char *const *paths, size_t count)
{
    grow_old(f);
    assert_int_equal(sp_file_watch_set(f->watch, paths, count, sp_wall_us()), SP_OK);
    f->reports = 0;
}

static inline void watch_one(struct fixture *f, const char *path)
{
    if (f->watch == NULL)
        make_watch(f, &WATCH_TIMES);
    set_paths(f, &path, 1);
}

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sp_err err = {0};
    assert_non_null(f);
    strcpy(f->dir, "/tmp/sallyport-watch-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(chdir(f->dir), 0);
    assert_int_equal(sp_loop_new(&f->loop, &err), SP_OK);
    run("mkdir probe");
    snprintf(f->probed, sizeof f->probed, "%s/probe/file", f->dir);
    put(f->probed, "");
    f->probe = sp_file_watch_new_timed(f->loop, on_probe, f, &PROBE_TIMES, &err);
    assert_non_null(f->probe);
    const char *path = f->probed;
    grow_old(f);
    assert_int_equal(sp_file_watch_set(f->probe, &path, 1, sp_wall_us()), SP_OK);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    sp_file_watch_free(f->watch);
    sp_file_watch_free(f->probe);
    sp_loop_free(f->loop);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(remove_tree(f->dir), 0);
    free(f);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
