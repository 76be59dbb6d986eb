/* The tree of path segments: it finds what sp_path_match finds, pattern by pattern, and costs what the path costs. */
#include "policy/common/segment_trie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/base/random.h"
#include "sallyport/http/path.h"
#include "sallyport/match/match.h"

#define PATTERNS_MAX 64

struct found {
    unsigned times[PATTERNS_MAX];
    size_t all;
};

static void note(void *arg, uint32_t id)
{
    struct found *f = arg;
    if (id < PATTERNS_MAX)
        f->times[id]++;
    f->all++;
}

static const struct sp_hash_key key = {{1, 2}};

static void expect_as_naive(const struct sp_trie_pattern *patterns, size_t count,
    const struct sp_segment_trie *t, struct sp_slice head, struct sp_slice path)
{
    struct found found = {.all = 0};
    sp_segment_trie_match(t, head, path, note, &found);
    for (size_t i = 0; i < count; i++) {
        bool wanted = sp_slice_equal(patterns[i].head, head) && sp_path_match(patterns[i].pattern, path);
        if (found.times[i] != (wanted ? 1U : 0U))
            fail_msg("\"%.*s\" against \"%.*s\": found %u times, wanted %d", SP_FMT(patterns[i].pattern),
                SP_FMT(path), found.times[i], wanted);
    }
}

static void test_it_finds_what_each_pattern_alone_would_match(void **state)
{
    (void)state;
    static const char *const patterns[] = {"/", "/**", "/*", "/a", "/a/", "/a/*", "/a/**", "/a/*/c",
        "/*/b/**", "/a/b*", "/a/*b", "/a/b*b", "/a/*b*", "/a/b*/c", "/*/*/*", "/a/b/c/d/e", "/team-*-x/**",
        "/team-*/y", "/*-x", "/a/bb*bb", "/a"};
    static const char *const paths[] = {"/", "/a", "/a/", "/a/b", "/a/bb", "/a/bbb", "/a/bab", "/a/xb",
        "/a/bx", "/a/b/c", "/a/bb/c", "/x/b/", "/x/b/y/z", "/x/b", "/a/b/c/d/e", "/a/b/c/d", "/team-1-x/y",
        "/team-1/y", "/team--x/", "/team-x", "/*", "/a/*", "/**", "/a/bbbb", "/b", "*", "", "a", "/a/b*"};
    struct sp_trie_pattern items[SP_COUNTOF(patterns)];
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    for (size_t i = 0; i < SP_COUNTOF(patterns); i++) {
        struct sp_path_pattern compiled;
        assert_null(sp_path_pattern_compile(sp_slice_of(patterns[i]), &compiled));
        items[i] = (struct sp_trie_pattern){{NULL, 0}, sp_slice_of(patterns[i]), (uint32_t)i};
    }
    struct sp_segment_trie *t = sp_segment_trie_new(&arena, &key, items, SP_COUNTOF(items));
    assert_non_null(t);
    for (size_t i = 0; i < SP_COUNTOF(paths); i++)
        expect_as_naive(items, SP_COUNTOF(items), t, (struct sp_slice){NULL, 0}, sp_slice_of(paths[i]));
    sp_arena_free(&arena);
}

static void test_a_head_is_compared_as_a_whole(void **state)
{
    (void)state;
    const struct sp_trie_pattern items[] = {{SP_SLICE("spiffe://a"), SP_SLICE("/x/**"), 0},
        {SP_SLICE("spiffe://a.example"), SP_SLICE("/x/**"), 1}, {SP_SLICE(""), SP_SLICE("/x/**"), 2}};
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    struct sp_segment_trie *t = sp_segment_trie_new(&arena, &key, items, SP_COUNTOF(items));
    assert_non_null(t);
    expect_as_naive(items, 3, t, SP_SLICE("spiffe://a"), SP_SLICE("/x/y"));
    expect_as_naive(items, 3, t, SP_SLICE("spiffe://a.example"), SP_SLICE("/x/y"));
    expect_as_naive(items, 3, t, SP_SLICE(""), SP_SLICE("/x/y"));
    expect_as_naive(items, 3, t, SP_SLICE("spiffe://a\0"), SP_SLICE("/x/y"));
    sp_arena_free(&arena);
}

static void test_a_tree_of_nothing_finds_nothing(void **state)
{
    (void)state;
    struct found found = {.all = 0};
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    struct sp_segment_trie *t = sp_segment_trie_new(&arena, &key, NULL, 0);
    assert_non_null(t);
    sp_segment_trie_match(t, SP_SLICE(""), SP_SLICE("/a/b"), note, &found);
    assert_int_equal(found.all, 0);
    sp_arena_free(&arena);
}

/* ---- at random ---- */

static size_t below(struct sp_random *r, size_t n)
{
    return (size_t)(sp_random_next(r) % n);
}

/* Of few letters, so that they collide. */
static size_t random_path(struct sp_random *r, bool is_pattern, char *out, size_t room)
{
    static const char letters[] = "aab";
    size_t len = 0, segments = 1 + below(r, 4);
    for (size_t s = 0; s < segments && len + 12 < room; s++) {
        out[len++] = '/';
        size_t bytes = below(r, 8) == 0 && s + 1 == segments ? 0 : 1 + below(r, 4);
        for (size_t i = 0; i < bytes; i++) {
            bool star = is_pattern && below(r, 4) == 0 && out[len - 1] != '*';
            out[len++] = star ? '*' : letters[below(r, 3)];
        }
    }
    if (is_pattern && below(r, 4) == 0) {
        memcpy(out + len, "/**", 3);
        len += 3;
    }
    return len;
}

static void test_it_agrees_with_every_pattern_alone_on_random_ones(void **state)
{
    (void)state;
    static const char *const heads[] = {"", "x", "y"};
    char texts[PATTERNS_MAX][64];
    struct sp_trie_pattern items[PATTERNS_MAX];
    struct sp_random r = {{7, 11, 13, 17}};
    for (size_t round = 0; round < 400; round++) {
        size_t count = 1 + below(&r, PATTERNS_MAX);
        struct sp_arena arena;
        sp_arena_init(&arena, 0);
        for (size_t i = 0; i < count; i++) {
            size_t len = random_path(&r, true, texts[i], sizeof texts[i]);
            items[i] =
                (struct sp_trie_pattern){sp_slice_of(heads[below(&r, 3)]), {texts[i], len}, (uint32_t)i};
        }
        struct sp_segment_trie *t = sp_segment_trie_new(&arena, &key, items, count);
        assert_non_null(t);
        for (size_t k = 0; k < 50; k++) {
            char path[64];
            size_t len = random_path(&r, below(&r, 8) == 0, path, sizeof path);
            expect_as_naive(items, count, t, sp_slice_of(heads[below(&r, 3)]), (struct sp_slice){path, len});
        }
        sp_arena_free(&arena);
    }
}

static void test_long_segments_and_long_literals_are_told_apart(void **state)
{
    (void)state;
    static char texts[8][400];
    struct sp_trie_pattern items[8];
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    for (size_t i = 0; i < SP_COUNTOF(items); i++) {
        /* the same 100 bytes in front (or behind), then what tells them apart */
        int len = i < 4 ? snprintf(texts[i], sizeof texts[i], "/%0100d%zu*", 0, i)
                        : snprintf(texts[i], sizeof texts[i], "/*%zu%0100d", i, 0);
        items[i] = (struct sp_trie_pattern){{NULL, 0}, {texts[i], (size_t)len}, (uint32_t)i};
    }
    struct sp_segment_trie *t = sp_segment_trie_new(&arena, &key, items, SP_COUNTOF(items));
    assert_non_null(t);
    for (size_t i = 0; i < SP_COUNTOF(items); i++) {
        char path[400];
        memcpy(path, texts[i], sizeof path);
        *strchr(path, '*') = 'x';
        expect_as_naive(items, SP_COUNTOF(items), t, (struct sp_slice){NULL, 0}, sp_slice_of(path));
    }
    sp_arena_free(&arena);
}

static void test_a_pattern_of_very_many_segments_takes_no_stack(void **state)
{
    (void)state;
    enum { SEGMENTS = 200000 };
    char *stars = malloc(2 * SEGMENTS), *letters = malloc(2 * SEGMENTS);
    assert_true(stars != NULL && letters != NULL);
    for (size_t i = 0; i < SEGMENTS; i++) {
        stars[2 * i] = letters[2 * i] = '/';
        stars[2 * i + 1] = '*';
        letters[2 * i + 1] = 'a';
    }
    const struct sp_trie_pattern items[] = {
        {{NULL, 0}, {stars, 2 * SEGMENTS}, 0}, {{NULL, 0}, {letters, 2 * SEGMENTS}, 1}};
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    struct sp_segment_trie *t = sp_segment_trie_new(&arena, &key, items, 2);
    assert_non_null(t);
    expect_as_naive(items, 2, t, (struct sp_slice){NULL, 0}, (struct sp_slice){letters, 2 * SEGMENTS});
    sp_arena_free(&arena);
    free(stars);
    free(letters);
}

static void test_it_is_not_made_without_memory(void **state)
{
    (void)state;
    const struct sp_trie_pattern items[] = {
        {SP_SLICE("h"), SP_SLICE("/a*/b/**"), 0}, {SP_SLICE("h"), SP_SLICE("/a"), 1}};
    for (size_t max = 1;; max += 16) {
        struct sp_arena arena;
        sp_arena_init(&arena, max);
        struct sp_segment_trie *t = sp_segment_trie_new(&arena, &key, items, SP_COUNTOF(items));
        if (t != NULL) {
            expect_as_naive(items, 2, t, SP_SLICE("h"), SP_SLICE("/ax/b/c"));
            sp_arena_free(&arena);
            assert_true(max > 100);
            return;
        }
        sp_arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_finds_what_each_pattern_alone_would_match),
        cmocka_unit_test(test_a_head_is_compared_as_a_whole),
        cmocka_unit_test(test_a_tree_of_nothing_finds_nothing),
        cmocka_unit_test(test_it_agrees_with_every_pattern_alone_on_random_ones),
        cmocka_unit_test(test_long_segments_and_long_literals_are_told_apart),
        cmocka_unit_test(test_a_pattern_of_very_many_segments_takes_no_stack),
        cmocka_unit_test(test_it_is_not_made_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
