/* What a file watch holds, and what it does at its bounds and without inotify. */
#include <sys/resource.h>

#include "io_file_watch_rig.h"

/* ---- what it holds ---- */

/* Lines "inotify wd:..." of all inotify descriptors of this process. */
static unsigned count_watches(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 64; fd++) {
        char name[40], line[512];
        snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
        FILE *info = fopen(name, "re");
        while (info != NULL && fgets(line, sizeof line, info) != NULL)
            count += strncmp(line, "inotify wd:", 11) == 0;
        if (info != NULL)
            fclose(info);
    }
    return count;
}

static void test_directories_that_matter_no_more_are_watched_no_more(void **state)
{
    struct fixture *f = *state;
    run(SECRET);
    watch_one(f, "secret/tls.crt");
    unsigned watches = count_watches();
    assert_true(watches > 0);
    char script[128];
    for (int i = 0; i < 20; i++) {
        snprintf(script, sizeof script,
            "mkdir secret/..%d; put secret/..%d/tls.crt 1; swap secret/..data ..%d", i, i, i);
        f->reports = 0;
        run(script);
        await(f, &f->reports, 1, "of a swap");
    }
    let_pass(f);
    assert_int_equal(count_watches(), watches);
    set_paths(f, NULL, 0);
    unsigned without = count_watches();
    assert_true(without < watches);
    sp_file_watch_free(f->watch);
    f->watch = NULL;
    assert_int_equal(count_watches(), without);
}

/* A directory is first waited in for what is missing, which tells of everything; then only gone through. */
static void test_a_directory_that_is_only_gone_through_stirs_no_more(void **state)
{
    struct fixture *f = *state;
    struct sp_file_eye eye = {0};
    struct sp_err err = {0};
    const char *path = "x/y/z/file";
    assert_int_equal(sp_file_eye_open(&eye, &err), SP_OK);
    struct sp_file_mark missing, there;
    sp_file_eye_look(&eye, &path, 1, sp_wall_us(), &missing);
    assert_false(sp_file_eye_drain(&eye));
    put("noise", "");
    assert_true(sp_file_eye_drain(&eye));
    run(DEEP);
    sp_file_eye_look(&eye, &path, 1, sp_wall_us(), &there);
    assert_true(there.number != missing.number);
    (void)sp_file_eye_drain(&eye);
    put("noise", "more");
    run("mkdir x/noise");
    assert_false(sp_file_eye_drain(&eye));
    put("x/y/z/noise", "");
    assert_true(sp_file_eye_drain(&eye));
    run("mv x elsewhere");
    assert_true(sp_file_eye_drain(&eye));
    sp_file_eye_close(&eye);
    (void)f;
}

/* ---- bounds, and without inotify ---- */

static void test_a_folder_with_more_files_than_are_looked_at_is_told_by_its_own_times(void **state)
{
    struct fixture *f = *state;
    run("mkdir folder");
    char name[64];
    for (int i = 0; i < SP_FILE_EYE_MAX_FILES + 1; i++) {
        snprintf(name, sizeof name, "folder/%d", i);
        put(name, "");
    }
    watch_one(f, "folder");
    run("put folder/another 1");
    await(f, &f->reports, 1, "of the file too many");
    let_pass(f);
    f->reports = 0;
    run("rm folder/another");
    await(f, &f->reports, 1, "that it has gone");
}

static void test_with_more_directories_than_are_watched_the_rest_is_polled(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = SP_FILE_EYE_MAX_DIRS + 20 };
    static char names[COUNT][24];
    static const char *paths[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char dir[24];
        snprintf(dir, sizeof dir, "d%d", i);
        assert_int_equal(mkdir(dir, 0700), 0);
        snprintf(names[i], sizeof names[i], "d%d/file", i);
        put(names[i], "1");
        paths[i] = names[i];
    }
    make_watch(f, &POLLING);
    set_paths(f, paths, COUNT);
    assert_in_range(count_watches(), SP_FILE_EYE_MAX_DIRS, SP_FILE_EYE_MAX_DIRS + 20);
    put(names[COUNT - 1], "22");
    await(f, &f->reports, 1, "of the last of too many");
}

static void test_without_inotify_it_says_so_and_compares_all_the_same(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, none;
    struct sp_err err = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    f->watch = sp_file_watch_new_timed(f->loop, on_change, f, &POLLING, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_non_null(f->watch);
    assert_int_equal(err.sys, EMFILE);
    assert_non_null(strstr(err.text, "inotify"));

    run(SECRET);
    watch_one(f, "secret");
    run(SECRET_B);
    await(f, &f->reports, 1, "of the comparison");
    let_pass(f);
    f->reports = 0;
    run(SECRET_C);
    await(f, &f->reports, 1, "of the next comparison");
    let_pass(f);
    assert_int_equal(f->reports, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_directories_that_matter_no_more_are_watched_no_more),
        TEST(test_a_directory_that_is_only_gone_through_stirs_no_more),
        TEST(test_a_folder_with_more_files_than_are_looked_at_is_told_by_its_own_times),
        TEST(test_with_more_directories_than_are_watched_the_rest_is_polled),
        TEST(test_without_inotify_it_says_so_and_compares_all_the_same),
    };
    return cmocka_run_group_tests_name("io_file_watch_limits", tests, NULL, NULL);
}
