/* Files and folders that change, on a real file system with real renames: what is noticed, what is not, and when. */
#include <pthread.h>

#include "io_file_watch_rig.h"

/* ---- the table of changes: each step must be noticed, and after each the next ---- */

#define SECRET_C_WRITTEN "put secret/..2026_c/tls.crt in-place"

/* What certbot keeps. */
#define ISSUE                                                                                                \
    "mkdir live; mkdir live/site; mkdir archive; mkdir archive/site; put archive/site/x1.pem 1;"             \
    "link live/site/x.pem ../../archive/site/x1.pem"
#define REISSUE  "put archive/site/x2.pem 2; swap live/site/x.pem ../../archive/site/x2.pem"
#define ARCHIVED "put archive/site/x2.pem in-place"
#define RELINK   "rm live/site/x.pem; link live/site/x.pem ../../archive/site/x1.pem"

#define RELEASES                                                                                             \
    "mkdir v1; mkdir v1/pki; put v1/pki/ca 1; mkdir v2; mkdir v2/pki; put v2/pki/ca 1; link current v1"

#define STEPS 5

static const struct change {
    const char *name;
    const char *path; /* below the test's directory */
    const char *before;
    const char *steps[STEPS];
} CHANGES[] = {
    {"replaced by rename", "a", "put a 1", {"replace a 2", "replace a 3", "replace a 3"}},
    {"written in place", "a", "put a 1", {"put a as-long", "put a gnol-sa"}},
    {"deleted and made again", "a", "put a 1", {"rm a", "put a 1", "replace a 1"}},
    {"another mode", "a", "put a 1", {"chmod a"}},
    {"a folder", "folder", "mkdir folder; put folder/x 1",
        {"put folder/y 1", "mv folder/y folder/z", "rm folder/z", "put folder/x 22", "rm folder"}},
    {"a folder with a slash behind", "folder/", "mkdir folder", {"put folder/y 1", "mv folder/y folder/z"}},
    {"a file through Kubernetes' ..data", "secret/tls.crt", SECRET, {SECRET_B, SECRET_C, SECRET_C_WRITTEN}},
    {"a folder with Kubernetes' ..data", "secret", SECRET, {SECRET_B, SECRET_C, SECRET_C_WRITTEN}},
    {"a link of Let's Encrypt", "live/site/x.pem", ISSUE, {REISSUE, ARCHIVED, RELINK}},
    {"a folder of links", "live/site", ISSUE, {REISSUE, ARCHIVED, RELINK}},
    {"a directory that is a link", "current/pki/ca", RELEASES,
        {"swap current v2", "replace v2/pki/ca 2", "swap current v1"}},
    {"a folder below a link", "current/pki", RELEASES,
        {"swap current v2", "replace v2/pki/ca 2", "swap current v1"}},
    {"up and down", "v1/../current/./pki//ca", RELEASES, {"swap current v2", "replace v2/pki/ca 2"}},
    {"not there yet", "x/y/z/file", "mkdir o", {DEEP, "put x/y/z/file 22"}},
    {"a folder that is not there yet", "x/y/z", "mkdir o", {DEEP, "put x/y/z/file 22"}},
    {"its directory moved away and back", "x/y/z/file", DEEP, {"mv x/y o", "mv o x/y", "put x/y/z/file 22"}},
    {"one further up moved away and back", "x/y/z/file", DEEP, {"mv x o", "mv o x", "put x/y/z/file 22"}},
    {"one further up exchanged", "x/y/z/file", DEEP "; mkdir o; mkdir o/y; mkdir o/y/z; put o/y/z/file 1",
        {"exchange o x", "put x/y/z/file 22"}},
    {"links that run in a circle", "a", "link a b; link b a", {"replace b 1"}},
    {"a link to what is not there yet", "a", "link a pool/real",
        {"mkdir pool; put pool/real 1", "put pool/real 22"}},
    {"below what is a file", "a/b", "put a 1", {"rm a"}},
};

static void run_change(struct fixture *f, const struct change *c, const char *path)
{
    char what[300];
    watch_one(f, path);
    for (size_t i = 0; i < STEPS && c->steps[i] != NULL; i++) {
        snprintf(what, sizeof what, "%s, step %zu, as %s", c->name, i + 1, path);
        f->reports = 0;
        run(c->steps[i]);
        await(f, &f->reports, 1, what);
        let_pass(f);
    }
}

static void test_every_change_is_noticed_and_the_next_one_too(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < SP_COUNTOF(CHANGES); i++) {
        const struct change *c = &CHANGES[i];
        char path[160];
        run("mkdir case");
        assert_int_equal(chdir("case"), 0);
        snprintf(path, sizeof path, "%s/case/%s", f->dir, c->path);
        run(c->before);
        run_change(f, c, i % 2 == 0 ? path : c->path);
        set_paths(f, NULL, 0);
        assert_int_equal(chdir(f->dir), 0);
        run("rm case");
    }
}

/* ---- what must not be reported ---- */

static void test_what_happens_to_others_is_not_reported(void **state)
{
    struct fixture *f = *state;
    run("put a 1");
    run("mkdir folder; put folder/x 1");
    char file_path[96], folder_path[96];
    snprintf(file_path, sizeof file_path, "%s/a", f->dir);
    snprintf(folder_path, sizeof folder_path, "%s/folder", f->dir);
    const char *paths[] = {file_path, folder_path};
    make_watch(f, &WATCH_TIMES);
    set_paths(f, paths, 2);

    run("put other 1; mv other another; put folder/.an-editors 1; mkdir folder/below; put folder/below/x 1");
    let_pass(f);
    assert_int_equal(f->reports, 0);

    char text[8] = {0};
    int fd = open("a", O_RDONLY | O_CLOEXEC); /* to read is no change */
    assert_int_equal(read(fd, text, sizeof text), 1);
    close(fd);
    let_pass(f);
    assert_int_equal(f->reports, 0);

    run("put folder/y 1");
    await(f, &f->reports, 1, "that the watch was awake all along");
    assert_string_equal(f->reported, folder_path);
}

static void test_a_directory_that_grows_step_by_step_is_followed_and_reported_once_the_file_is_there(
    void **state)
{
    struct fixture *f = *state;
    watch_one(f, "x/y/z/file");
    static const char *const steps[] = {"mkdir x", "mkdir x/y", "mkdir x/y/z"};
    for (size_t i = 0; i < SP_COUNTOF(steps); i++) {
        run(steps[i]);
        let_pass(f);
        assert_int_equal(f->reports, 0);
    }
    put("x/y/z/file", "1");
    await(f, &f->reports, 1, "of the file at last");
}

/* ---- when ---- */

static void *write_often(void *arg)
{
    char text[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%d", i);
        (void)replace(arg, text);
    }
    return NULL;
}

static void test_a_burst_of_changes_is_reported_a_few_times_and_its_end_is_seen(void **state)
{
    struct fixture *f = *state;
    pthread_t writer;
    char path[96], text[32] = {0};
    snprintf(path, sizeof path, "%s/a", f->dir);
    run("put a 1");
    watch_one(f, path);
    uint64_t began = sp_mono_ms();
    assert_int_equal(pthread_create(&writer, NULL, write_often, path), 0);
    await(f, &f->reports, 1, "of the burst");
    pthread_join(writer, NULL);
    f->probe_reports = 0;
    let_pass(f);
    /* At most one every 200 ms, the one of its end, and one more for each that came too fresh. */
    assert_in_range(f->reports, 1, 2 + 2 * ((sp_mono_ms() - began) / WATCH_TIMES.most_ms));

    unsigned reports = f->reports;
    int fd = open("a", O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_string_equal(text, "999");
    let_pass(f);
    assert_int_equal(f->reports, reports);
}

static void test_a_log_that_is_written_without_end_in_the_same_directory_hides_nothing(void **state)
{
    struct fixture *f = *state;
    run("put a 1");
    watch_one(f, "a");
    int fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    uint64_t deadline = sp_mono_ms() + DEADLINE_MS;
    uint64_t change_at = sp_mono_ms() + 3 * WATCH_TIMES.most_ms;
    while (f->reports == 0 && sp_mono_ms() < deadline) {
        assert_int_equal(write(fd, "line\n", 5), 5);
        sp_loop_turn(f->loop, 0);
        if (change_at != 0 && sp_mono_ms() >= change_at) {
            assert_int_equal(f->reports, 0);
            run("replace a 2");
            change_at = 0;
        }
    }
    close(fd);
    assert_int_equal(change_at, 0);
    assert_int_equal(f->reports, 1);
}

static void test_a_file_that_is_written_without_end_is_reported_in_between(void **state)
{
    struct fixture *f = *state;
    run("put a 1");
    watch_one(f, "a");
    int fd = open("a", O_WRONLY | O_APPEND | O_CLOEXEC);
    uint64_t deadline = sp_mono_ms() + DEADLINE_MS;
    while (f->reports < 3 && sp_mono_ms() < deadline) {
        assert_int_equal(write(fd, "line\n", 5), 5);
        sp_loop_turn(f->loop, 1);
    }
    close(fd);
    assert_true(f->reports >= 3);
}

static void test_a_queue_of_events_that_runs_over_loses_no_change(void **state)
{
    struct fixture *f = *state;
    unsigned limit = 16384;
    FILE *proc = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
    if (proc != NULL) {
        assert_int_equal(fscanf(proc, "%u", &limit), 1);
        fclose(proc);
    }
    run("put a 1");
    put("p", "");
    watch_one(f, "a");
    for (unsigned i = 0; i < limit / 4 + 10; i++) { /* two events each */
        assert_int_equal(rename("p", "q"), 0);
        assert_int_equal(rename("q", "p"), 0);
    }
    run("replace a 2"); /* nobody is told by name */
    await(f, &f->reports, 1, "after the queue ran over");
}

static void test_what_was_changed_in_the_moment_of_looking_is_reported_once_more(void **state)
{
    struct fixture *f = *state;
    const char *path = "a";
    run("put a 1");
    make_watch(f, &WATCH_TIMES);
    /* Old kernels could give a second write the very same times. */
    put("a", "fresh");
    assert_int_equal(sp_file_watch_set(f->watch, &path, 1, sp_wall_us()), SP_OK);
    await(f, &f->reports, 1, "of what was fresh");
    let_pass(f);
    assert_int_equal(f->reports, 1);
}

static void test_what_was_changed_after_reading_began_is_reported_though_set_came_later(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *change, *path;
        unsigned reports;
    } cases[] = {
        {"replace a 2", "a", 1},
        {"put folder/y 1", "folder", 1},
        {SECRET_B, "secret/tls.crt", 1},
        {"swap current v2", "current/pki/ca", 1},
        {"put noise 1", "a", 0},
    };
    run("put a 1; mkdir folder;" SECRET ";" RELEASES);
    make_watch(f, &WATCH_TIMES);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        grow_old(f);
        int64_t reading_began_us = sp_wall_us();
        run(cases[i].change);
        grow_old(f);
        grow_old(f);
        f->reports = 0;
        assert_int_equal(sp_file_watch_set(f->watch, &cases[i].path, 1, reading_began_us), SP_OK);
        let_pass(f);
        assert_int_equal(f->reports, cases[i].reports);
    }
}

static void test_what_is_as_it_was_marked_is_not_reported_however_fresh_it_was(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"replace a 2", "a"}, {"put folder/y 1", "folder"}, {SECRET_B, "secret/tls.crt"}};
    run("put a 1; mkdir folder;" SECRET);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const char *path = cases[i][1];
        watch_one(f, path);
        run(cases[i][0]); /* and inotify has told of it */
        int64_t reading_began_us = sp_wall_us();
        assert_true(sp_file_watch_mark(f->watch));
        assert_false(sp_file_watch_mark(f->watch));
        sp_loop_turn(f->loop, 0);
        assert_int_equal(sp_file_watch_set(f->watch, &path, 1, reading_began_us), SP_OK);
        let_pass(f);
        assert_int_equal(f->reports, 0);
    }
}

static void test_what_has_changed_since_it_was_marked_is_reported_however_soon(void **state)
{
    struct fixture *f = *state;
    static const char *const changes[] = {"put a 2", "replace a 3", "put a 4", "chmod a", "rm a"};
    const char *path = "a";
    run("put a 1");
    watch_one(f, path);
    for (size_t i = 0; i < SP_COUNTOF(changes); i++) {
        put("a", "9"); /* as long as what it will be, and in its place */
        assert_true(sp_file_watch_mark(f->watch));
        run(changes[i]);
        f->reports = 0;
        assert_int_equal(sp_file_watch_set(f->watch, &path, 1, sp_wall_us()), SP_OK);
        await(f, &f->reports, 1, changes[i]);
        grow_old(f);
    }
}

static void test_a_path_that_was_not_marked_is_judged_by_its_times(void **state)
{
    struct fixture *f = *state;
    const char *paths[] = {"b", "a"};
    run("put a 1; put b 1");
    watch_one(f, "a");
    put("a", "2");
    assert_true(sp_file_watch_mark(f->watch));
    int64_t reading_began_us = sp_wall_us();
    put("b", "2");
    assert_int_equal(sp_file_watch_set(f->watch, paths, 2, reading_began_us), SP_OK);
    await(f, &f->reports, 1, "of the path that is new");
    assert_string_equal(f->reported, "b");
    let_pass(f);
    assert_int_equal(f->reports, 1);
}

/* ---- which paths ---- */

static void test_the_paths_that_were_set_last_count(void **state)
{
    struct fixture *f = *state;
    run("put a 1");
    run("mkdir folder; put folder/x 1");
    watch_one(f, "a");
    watch_one(f, "folder/x");
    run("replace a 2");
    let_pass(f);
    assert_int_equal(f->reports, 0);
    run("put folder/x 22");
    await(f, &f->reports, 1, "of the new path");

    set_paths(f, NULL, 0);
    put("folder/x", "333");
    let_pass(f);
    assert_int_equal(f->reports, 0);
}

static void test_other_paths_may_be_set_while_a_change_is_reported(void **state)
{
    struct fixture *f = *state;
    run("put a 1");
    run("mkdir folder; put folder/x 1");
    watch_one(f, "a");
    f->set_when_reported = "folder/x";
    run("replace a 2");
    await(f, &f->reports, 1, "of the first path");
    run("replace a 3");
    let_pass(f);
    assert_int_equal(f->reports, 1);
    f->set_when_reported = NULL;
    run("put folder/x 22");
    await(f, &f->reports, 2, "of the second path");
}

static void test_a_path_too_long_for_the_kernel_is_only_never_there(void **state)
{
    struct fixture *f = *state;
    char path[3 * 4096];
    memset(path, 'a', sizeof path - 1);
    for (size_t i = 100; i < sizeof path; i += 100)
        path[i] = '/';
    path[sizeof path - 1] = '\0';
    const char *paths[] = {path, "", "/", "a"};
    run("put a 1");
    make_watch(f, &WATCH_TIMES);
    set_paths(f, paths, SP_COUNTOF(paths));
    run("replace a 2");
    await(f, &f->reports, 1, "of the path after it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_change_is_noticed_and_the_next_one_too),
        TEST(test_what_happens_to_others_is_not_reported),
        TEST(test_a_directory_that_grows_step_by_step_is_followed_and_reported_once_the_file_is_there),
        TEST(test_a_burst_of_changes_is_reported_a_few_times_and_its_end_is_seen),
        TEST(test_a_log_that_is_written_without_end_in_the_same_directory_hides_nothing),
        TEST(test_a_file_that_is_written_without_end_is_reported_in_between),
        TEST(test_a_queue_of_events_that_runs_over_loses_no_change),
        TEST(test_what_was_changed_in_the_moment_of_looking_is_reported_once_more),
        TEST(test_what_was_changed_after_reading_began_is_reported_though_set_came_later),
        TEST(test_what_is_as_it_was_marked_is_not_reported_however_fresh_it_was),
        TEST(test_what_has_changed_since_it_was_marked_is_reported_however_soon),
        TEST(test_a_path_that_was_not_marked_is_judged_by_its_times),
        TEST(test_the_paths_that_were_set_last_count),
        TEST(test_other_paths_may_be_set_while_a_change_is_reported),
        TEST(test_a_path_too_long_for_the_kernel_is_only_never_there),
    };
    return cmocka_run_group_tests_name("io_file_watch", tests, NULL, NULL);
}
