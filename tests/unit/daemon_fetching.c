/* When a source is looked at next, and what is kept of it: the parts of fetching that need no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/fetch_copy.h"
#include "daemon/fetch_plan.h"

#define NOW  ((int64_t)1800000000)
#define HOUR ((uint64_t)3600 * 1000)

/* ---- the schedule ---- */

static const struct plan_case {
    const char *name;
    uint64_t interval_ms;
    unsigned failures;
    int64_t looked_ago, until; /* `until` from now on; INT64_MAX never */
    uint64_t want_ms;          /* without jitter */
} plan_cases[] = {
    {"good for long: the interval", HOUR, 0, 0, 7 * 86400, HOUR},
    {"good for ever: the interval", HOUR, 0, 0, INT64_MAX, HOUR},
    {"good for a while: three quarters of it", HOUR, 0, 0, 1000, 750 * 1000},
    {"good for a moment: no race", HOUR, 0, 0, 2, SP_FETCH_RETRY_MS},
    {"looked at a while ago", HOUR, 0, 600, 7 * 86400, HOUR - 600 * 1000},
    {"ended: as if it had failed once", HOUR, 0, 0, -1, SP_FETCH_RETRY_MS},
    {"failed once", HOUR, 1, 0, 7 * 86400, SP_FETCH_RETRY_MS},
    {"failed twice", HOUR, 2, 0, 7 * 86400, 2 * SP_FETCH_RETRY_MS},
    {"failed five times", HOUR, 5, 0, 7 * 86400, 16 * SP_FETCH_RETRY_MS},
    {"failed for ages: the interval", HOUR, 4000000000U, 0, 7 * 86400, HOUR},
    {"failed once, with a short interval", 1000, 1, 0, 7 * 86400, 1000},
    {"looked at in the future: the clock was set back", HOUR, 0, -5000, 7 * 86400, HOUR},
};

static void test_the_next_look_follows_from_what_is_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(plan_cases); i++) {
        const struct plan_case *c = &plan_cases[i];
        struct sp_fetch_plan plan = {.interval_ms = c->interval_ms,
            .share = 75,
            .failures = c->failures,
            .looked_at = NOW - c->looked_ago,
            .until = c->until == INT64_MAX ? INT64_MAX : NOW + c->until};
        uint64_t spread = c->interval_ms / 10 < c->want_ms / 10 ? c->interval_ms / 10 : c->want_ms / 10,
                 least = UINT64_MAX, most = 0;
        if (c->looked_ago > 0)
            spread = c->interval_ms / 10; /* of the whole, and then the time that has passed */
        for (uint64_t random = 0; random < 1000003; random += 997) {
            uint64_t ms = sp_fetch_plan_ms(&plan, NOW, random);
            least = ms < least ? ms : least;
            most = ms > most ? ms : most;
        }
        if (least < c->want_ms - spread || most > c->want_ms + spread || least == most)
            fail_msg("%s: %ju to %ju, wanted %ju +- %ju", c->name, (uintmax_t)least, (uintmax_t)most,
                (uintmax_t)c->want_ms, (uintmax_t)spread);
    }
}

static void test_what_is_overdue_is_looked_at_at_once(void **state)
{
    (void)state;
    struct sp_fetch_plan plan = {.interval_ms = HOUR, .share = 75, .looked_at = 0, .until = NOW + 86400};
    assert_int_equal(sp_fetch_plan_ms(&plan, NOW, 12345), 1);
}

static void test_causes_are_the_same_but_for_numbers(void **state)
{
    (void)state;
    assert_true(sp_fetch_is_same_cause(
        "timed out after 1001 ms with 3 bytes", "timed out after 999 ms with 12 bytes"));
    assert_true(sp_fetch_is_same_cause("", ""));
    assert_true(sp_fetch_is_same_cause("status 404", "status 500"));
    assert_false(sp_fetch_is_same_cause("timed out", "timed out after 3 ms"));
    assert_false(sp_fetch_is_same_cause("refused", "reset"));
}

/* ---- notes ---- */

static const struct sp_copy_meta example = {.inode = 77,
    .size = 38500123,
    .mtime_ns = NOW * 1000000000,
    .looked_at = NOW + 5,
    .etag = "W/\"abc, d\"",
    .modified = "Sun, 22 Nov 2026 09:25:00 GMT"};

static void test_a_note_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct sp_copy_meta empty = {.size = 1}, read;
    const struct sp_copy_meta *all[] = {&example, &empty};
    for (size_t i = 0; i < SP_COUNTOF(all); i++) {
        struct sp_buf text = {0};
        sp_copy_meta_print(all[i], &text);
        assert_int_equal(sp_copy_meta_parse(sp_buf_slice(&text), &read), SP_OK);
        assert_memory_equal(&read, all[i], sizeof(read));
        sp_buf_free(&text);
    }
}

static void test_a_note_that_is_cut_off_or_changed_is_none(void **state)
{
    (void)state;
    struct sp_buf text = {0};
    struct sp_copy_meta read;
    sp_copy_meta_print(&example, &text);
    for (size_t len = 0; len < text.len; len++)
        assert_int_equal(sp_copy_meta_parse((struct sp_slice){text.ptr, len}, &read), SP_FAIL);
    sp_buf_add_str(&text, "more\n");
    assert_int_equal(sp_copy_meta_parse(sp_buf_slice(&text), &read), SP_FAIL);
    text.len -= 5;
    for (size_t i = 0; i < text.len; i++) {
        char was = text.ptr[i];
        text.ptr[i] = '\0';
        assert_int_equal(sp_copy_meta_parse(sp_buf_slice(&text), &read), SP_FAIL);
        text.ptr[i] = was;
    }
    sp_buf_free(&text);
}

static void test_an_etag_that_is_too_long_is_no_note(void **state)
{
    (void)state;
    char text[512 + SP_ETAG_MAX];
    struct sp_copy_meta read;
    for (int len = SP_ETAG_MAX - 1; len <= SP_ETAG_MAX; len++) {
        int n = snprintf(text, sizeof(text),
            "sallyport fetched copy 1\ninode 1\nsize 1\nmtime_ns 1\nlooked_at 1\netag %0*d\nmodified \n", len,
            7);
        enum sp_rc want = len < SP_ETAG_MAX ? SP_OK : SP_FAIL;
        assert_int_equal(sp_copy_meta_parse((struct sp_slice){text, (size_t)n}, &read), want);
    }
}

/* ---- files ---- */

struct rig {
    char folder[64], inner[96], file[128];
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    strcpy(rig->folder, "/tmp/sp-fetching-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->inner, sizeof(rig->inner), "%s/inner", rig->folder);
    snprintf(rig->file, sizeof(rig->file), "%s/a.crl", rig->inner);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", rig->folder);
    int status = system(command); /* of a name that mkdtemp made */
    free(rig);
    return status;
}

static bool keep(const char *file, const char *text)
{
    struct sp_copy_draft draft;
    struct sp_err err;
    return sp_copy_draft_write(file, sp_slice_of(text), &draft, &err) == SP_OK &&
           sp_copy_draft_keep(&draft, file, &err) == SP_OK;
}

static void test_a_draft_becomes_the_copy_in_a_folder_that_is_made(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    assert_true(keep(rig->file, "first"));
    assert_true(sp_copy_is(rig->file, SP_SLICE("first")));
    assert_true(keep(rig->file, "second"));
    assert_true(sp_copy_is(rig->file, SP_SLICE("second")));
    assert_false(sp_copy_is(rig->file, SP_SLICE("seconds")));
    assert_false(sp_copy_is(rig->file, SP_SLICE("Second")));
    assert_int_equal(stat(rig->inner, &st), 0);
    assert_int_equal(st.st_mode & 0007, 0);
}

static void test_a_dropped_draft_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct sp_copy_draft draft;
    struct sp_err err;
    assert_int_equal(sp_copy_draft_write(rig->file, SP_SLICE("x"), &draft, &err), SP_OK);
    sp_copy_draft_drop(&draft);
    sp_copy_draft_drop(&draft);
    assert_int_equal(rmdir(rig->inner), 0);
}

static void test_only_drafts_of_the_dead_are_swept_away(void **state)
{
    struct rig *rig = *state;
    struct sp_copy_draft living;
    struct sp_err err;
    char dead[128], other[128];
    snprintf(dead, sizeof(dead), "%s/.sallyport-draft-abcdef", rig->inner);
    snprintf(other, sizeof(other), "%s/.sallyport-other", rig->inner);
    assert_int_equal(sp_copy_draft_write(rig->file, SP_SLICE("x"), &living, &err), SP_OK);
    assert_true(keep(other, "stays"));
    FILE *f = fopen(dead, "w");
    assert_non_null(f);
    fclose(f);
    sp_copy_sweep(rig->inner);
    assert_int_equal(access(dead, F_OK), -1);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(sp_copy_draft_keep(&living, rig->file, &err), SP_OK);
}

static void test_a_note_is_of_one_copy_only(void **state)
{
    struct rig *rig = *state;
    struct sp_copy_meta meta = example, read;
    struct sp_err err;
    assert_int_equal(sp_copy_meta_save(rig->file, &meta, &err), SP_FAIL);
    assert_true(keep(rig->file, "first"));
    assert_int_equal(sp_copy_meta_load(rig->file, &read), SP_FAIL);
    assert_int_equal(sp_copy_meta_save(rig->file, &meta, &err), SP_OK);
    assert_int_equal(sp_copy_meta_load(rig->file, &read), SP_OK);
    assert_string_equal(read.etag, example.etag);
    assert_int_equal(read.looked_at, example.looked_at);
    assert_true(keep(rig->file, "other"));
    assert_int_equal(sp_copy_meta_load(rig->file, &read), SP_FAIL);
    assert_string_equal(read.etag, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_look_follows_from_what_is_known),
        cmocka_unit_test(test_what_is_overdue_is_looked_at_at_once),
        cmocka_unit_test(test_causes_are_the_same_but_for_numbers),
        cmocka_unit_test(test_a_note_is_read_as_it_was_written),
        cmocka_unit_test(test_a_note_that_is_cut_off_or_changed_is_none),
        cmocka_unit_test(test_an_etag_that_is_too_long_is_no_note),
        cmocka_unit_test_setup_teardown(
            test_a_draft_becomes_the_copy_in_a_folder_that_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_dropped_draft_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_drafts_of_the_dead_are_swept_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_note_is_of_one_copy_only, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
