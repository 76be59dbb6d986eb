/* Memory (arenas, buffers, pools and their caps) and addresses. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sallyport/base/addr.h"
#include "sallyport/base/mem.h"

/* ---- memory ---- */

static void test_an_object_is_zeroed_and_an_overflow_is_no_memory(void **state)
{
    (void)state;
    char *bytes = sp_alloc(100, 7);
    assert_non_null(bytes);
    for (int i = 0; i < 700; i++)
        assert_int_equal(bytes[i], 0);
    SP_FREE(bytes);
    assert_null(bytes);
    sp_free(NULL);
    volatile size_t huge = SIZE_MAX / 2;
    assert_null(sp_alloc(huge, 3));
    void *nothing = sp_alloc(0, 0);
    assert_non_null(nothing);
    sp_free(nothing);
}

static void test_an_arena_hands_out_zeroed_aligned_bytes_that_do_not_overlap(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    unsigned char *blocks[300];
    for (size_t i = 0; i < SP_COUNTOF(blocks); i++) {
        size_t len = i % 50 == 49 ? 100000 : i * 3;
        blocks[i] = sp_arena_alloc(&arena, 1, len);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j < len; j++)
            assert_int_equal(blocks[i][j], 0);
        memset(blocks[i], (int)(i & 0xff), len);
        assert_non_null(sp_arena_copy(&arena, SP_SLICE("x")).ptr); /* unaligned neighbours */
    }
    for (size_t i = 0; i < SP_COUNTOF(blocks); i++) {
        size_t len = i % 50 == 49 ? 100000 : i * 3;
        for (size_t j = 0; j < len; j++)
            assert_int_equal(blocks[i][j], i & 0xff);
    }
    sp_arena_free(&arena);
    assert_int_equal(arena.used, 0);
    sp_arena_free(&arena);
}

static void test_what_an_arena_has_reserved_is_handed_out_in_one_piece(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    assert_true(sp_arena_reserve(&arena, 4000));
    char *first = sp_arena_alloc(&arena, 1, 16), *last = first;
    for (int i = 1; i < 250; i++)
        last = sp_arena_alloc(&arena, 1, 16);
    assert_ptr_equal(last, first + 3984);
    assert_int_equal(arena.used, 4000);
    assert_non_null(sp_arena_alloc(&arena, 1, 1)); /* and it goes on */
    sp_arena_free(&arena);
}

static void test_an_arena_stops_at_its_cap_and_at_overflow(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, 100);
    assert_non_null(sp_arena_alloc(&arena, 10, 10));
    assert_null(sp_arena_alloc(&arena, 1, 1));
    assert_null(sp_arena_alloc(&arena, 0, 0));
    assert_null(sp_arena_copy(&arena, SP_SLICE("")).ptr);
    assert_null(sp_arena_printf(&arena, "%d", 1));
    sp_arena_free(&arena);
    assert_non_null(sp_arena_copy(&arena, SP_SLICE("again")).ptr);
    assert_null(sp_arena_alloc(&arena, SIZE_MAX / 2, 3));
    assert_null(sp_arena_alloc(&arena, SIZE_MAX, 1));
    sp_arena_free(&arena);
}

static void test_an_arena_copies_with_a_nul_behind(void **state)
{
    (void)state;
    struct sp_arena arena;
    sp_arena_init(&arena, 0);
    struct sp_slice copy = sp_arena_copy(&arena, (struct sp_slice){"a\0bcd", 3});
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b\0", 4);
    struct sp_slice empty = sp_arena_copy(&arena, (struct sp_slice){NULL, 0});
    assert_non_null(empty.ptr);
    assert_int_equal(empty.ptr[0], '\0');
    assert_string_equal(sp_arena_printf(&arena, "%s-%d", "x", 42), "x-42");
    sp_arena_free(&arena);
}

static void test_a_buffer_grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct sp_buf b = {0};
    assert_int_equal(sp_buf_add(&b, NULL, 0), SP_OK);
    assert_int_equal(b.len, 0);
    for (int i = 0; i < 1000; i++) {
        sp_buf_add_str(&b, "ab");
        sp_buf_add_char(&b, 'c');
        sp_buf_printf(&b, "%03d", i);
        sp_buf_add_slice(&b, SP_SLICE("xy"));
    }
    assert_false(b.failed);
    assert_int_equal(b.len, 8000);
    assert_memory_equal(b.ptr + 7992, "abc999xy", 8);
    char *room = sp_buf_room(&b, 5000);
    assert_ptr_equal(room, b.ptr + 8000);
    memset(room, 'z', 5000);
    b.len += 5000;
    assert_int_equal(sp_buf_slice(&b).len, 13000);
    sp_buf_free(&b);
    assert_null(b.ptr);
    assert_non_null(sp_buf_room(&b, 0));
    sp_buf_free(&b);
}

static void test_a_buffer_is_exact_at_its_cap_and_stays_failed(void **state)
{
    (void)state;
    for (size_t max = 1; max < 300; max += 7) {
        struct sp_buf b;
        sp_buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            assert_int_equal(sp_buf_add_char(&b, 'x'), SP_OK);
        assert_null(sp_buf_room(&b, 1));
        assert_false(b.failed); /* asking for room is no append */
        assert_int_equal(sp_buf_printf(&b, "%d", 1), SP_FAIL);
        assert_true(b.failed);
        assert_int_equal(b.len, max);
        sp_buf_reset(&b);
        assert_int_equal(sp_buf_printf(&b, "%*s", (int)max, ""), SP_OK);
        assert_int_equal(b.len, max);
        assert_int_equal(sp_buf_add_char(&b, 'x'), SP_FAIL);
        sp_buf_free(&b);
        assert_int_equal(b.max, max);
    }
    struct sp_buf b;
    sp_buf_init(&b, 4);
    assert_int_equal(sp_buf_add_str(&b, "12345"), SP_FAIL);
    assert_int_equal(sp_buf_add_str(&b, "1"), SP_FAIL); /* no hole in the middle of a chain of appends */
    assert_int_equal(b.len, 0);
    sp_buf_reset(&b);
    assert_int_equal(sp_buf_add_str(&b, "1234"), SP_OK);
    assert_null(sp_buf_room(&b, SIZE_MAX));
    sp_buf_free(&b);
}

static void test_a_pool_recycles_up_to_what_it_keeps_and_stops_at_its_cap(void **state)
{
    (void)state;
    struct sp_pool pool;
    void *blocks[4];
    sp_pool_init(&pool, 1, 2, 4);
    for (int i = 0; i < 4; i++) {
        blocks[i] = sp_pool_take(&pool);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0xff, pool.block_size);
    }
    assert_null(sp_pool_take(&pool));
    assert_int_equal(pool.taken, 4);
    for (int i = 0; i < 4; i++)
        sp_pool_give(&pool, blocks[i]);
    sp_pool_give(&pool, NULL);
    assert_int_equal(pool.taken, 0);
    assert_int_equal(pool.spare, 2);
    void *again = sp_pool_take(&pool);
    assert_true(again == blocks[0] || again == blocks[1]);
    memset(again, 0xff, pool.block_size);
    assert_int_equal(pool.spare, 1);
    sp_pool_give(&pool, again);
    sp_pool_destroy(&pool);
    assert_int_equal(pool.spare, 0);
}

/* ---- addresses ---- */

static void test_an_address_reads_and_prints_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int family;
        uint16_t port;
        bool loopback;
    } cases[] = {
        {"192.0.2.1:443", AF_INET, 443, false},
        {"0.0.0.0:0", AF_INET, 0, false},
        {"127.0.0.1:65535", AF_INET, 65535, true},
        {"127.255.0.1:1", AF_INET, 1, true},
        {"128.0.0.1:1", AF_INET, 1, false},
        {"[2001:db8::1]:443", AF_INET6, 443, false},
        {"[::]:8443", AF_INET6, 8443, false},
        {"[::1]:80", AF_INET6, 80, true},
        {"[::ffff:127.0.0.1]:80", AF_INET6, 80, true},
        {"[::ffff:192.0.2.1]:80", AF_INET6, 80, false},
        {"[fe80::1%1]:80", AF_INET6, 80, false},
        {"unix:/run/x.sock", AF_UNIX, 0, true},
        {"unix:relative", AF_UNIX, 0, true},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_addr a, other;
        struct sp_err err;
        char text[SP_ADDR_TEXT];
        if (sp_addr_parse(sp_slice_of(cases[i].text), &a, &err) != SP_OK)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_string_equal(sp_addr_format(&a, text), cases[i].text);
        assert_int_equal(a.u.sa.sa_family, cases[i].family);
        assert_int_equal(sp_addr_port(&a), cases[i].port);
        assert_int_equal(sp_addr_is_loopback(&a), cases[i].loopback);
        assert_int_equal(sp_addr_is_unix(&a), cases[i].family == AF_UNIX);
        for (size_t j = 0; j < SP_COUNTOF(cases); j++) {
            assert_int_equal(sp_addr_parse(sp_slice_of(cases[j].text), &other, &err), SP_OK);
            assert_int_equal(sp_addr_equal(&a, &other), i == j);
        }
    }
}

static void test_what_is_no_address_is_refused_with_what_was_wrong(void **state)
{
    (void)state;
    char long_path[200] = "unix:/";
    memset(long_path + 6, 'p', sizeof(long_path) - 7);
    const struct {
        const char *text, *says;
    } cases[] = {
        {"", "is not an address with a port"},
        {"192.0.2.1", "is not an address with a port"},
        {"192.0.2.1:", "is not an address with a port"},
        {":443", "is not an address with a port"},
        {"192.0.2.1:65536", "is not an address with a port"},
        {"192.0.2.1:+80", "is not an address with a port"},
        {"192.0.2.1:000080", "is not an address with a port"},
        {"192.0.2.256:443", "is not an IPv4 address"},
        {"192.0.2:443", "is not an IPv4 address"},
        {"0x7f.0.0.1:443", "is not an IPv4 address"},
        {"localhost:443", "names are not looked up here"},
        {"2001:db8::1:443", "is not an address with a port"},
        {"[2001:db8::1]", "is not an address with a port"},
        {"[2001:db8::g]:443", "is not an IPv6 address"},
        {"[fe80::1%]:443", "is not an IPv6 address"},
        {"[fe80::1%nosuchif0]:443", "is not an IPv6 address"},
        {"[192.0.2.1]:443", "is not an address with a port"},
        {"[]:443", "is not an address with a port"},
        {"[[::1]]:443", "is not an address with a port"},
        {"unix:", "has no path"},
        {"unix:@abstract", "abstract"},
        {long_path, "at most 107"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_addr a;
        struct sp_err err = {0};
        if (sp_addr_parse(sp_slice_of(cases[i].text), &a, &err) != SP_FAIL || a.len != 0 ||
            strstr(err.text, cases[i].says) == NULL)
            fail_msg("\"%s\": %s", cases[i].text, err.text);
    }
    struct sp_addr a;
    assert_int_equal(sp_addr_parse((struct sp_slice){"127.0.0.1\0:80", 13}, &a, NULL), SP_FAIL);
    assert_int_equal(sp_addr_parse((struct sp_slice){"unix:/a\0b", 9}, &a, NULL), SP_FAIL);
}

static void test_a_host_and_its_port_are_split_only_when_both_are_there(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool zero_ok, ok;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"api.example:8443", false, true, "api.example", 8443},
        {"[2001:db8::1]:1", false, true, "2001:db8::1", 1},
        {"x:65535", false, true, "x", 65535},
        {"x:0", true, true, "x", 0},
        {"x:0", false, false, "", 0},
        {"x:65536", false, false, "", 0},
        {"x", false, false, "", 0},
        {"x:", false, false, "", 0},
        {":1", false, false, "", 0},
        {"a:b:1", false, false, "", 0},
        {"[api.example]:1", false, false, "", 0},
        {"a]:1", false, false, "", 0},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_slice host = {0};
        uint16_t port = 0;
        bool ok = sp_addr_split(sp_slice_of(cases[i].text), cases[i].zero_ok, &host, &port);
        if (ok != cases[i].ok || (ok && !sp_slice_equal(host, sp_slice_of(cases[i].host))) ||
            (ok && port != cases[i].port))
            fail_msg("\"%s\"", cases[i].text);
    }
}

static void test_what_the_kernel_says_of_a_peer_can_be_printed(void **state)
{
    (void)state;
    char text[SP_ADDR_TEXT];
    struct sp_addr a = {.len = sizeof(a.u.un)}, none = {0};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(getpeername(fds[0], &a.u.sa, &a.len), 0);
    assert_string_equal(sp_addr_format(&a, text), "unix:");
    close(fds[0]);
    close(fds[1]);
    assert_string_equal(sp_addr_format(&none, text), "");
    assert_false(sp_addr_is_loopback(&none));
    assert_false(sp_addr_equal(&a, &none));
    assert_true(sp_addr_equal(&none, &none));
    /* A path that fills its array has no NUL; an abstract name begins with one. */
    a.u.un.sun_family = AF_UNIX;
    memset(a.u.un.sun_path, 'p', sizeof(a.u.un.sun_path));
    a.len = sizeof(a.u.un);
    assert_int_equal(strlen(sp_addr_format(&a, text)), 5 + sizeof(a.u.un.sun_path));
    memcpy(a.u.un.sun_path, "\0a\0b", 4);
    a.len = offsetof(struct sockaddr_un, sun_path) + 4;
    assert_string_equal(sp_addr_format(&a, text), "unix:@a@b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_an_arena_has_reserved_is_handed_out_in_one_piece),
        cmocka_unit_test(test_an_object_is_zeroed_and_an_overflow_is_no_memory),
        cmocka_unit_test(test_an_arena_hands_out_zeroed_aligned_bytes_that_do_not_overlap),
        cmocka_unit_test(test_an_arena_stops_at_its_cap_and_at_overflow),
        cmocka_unit_test(test_an_arena_copies_with_a_nul_behind),
        cmocka_unit_test(test_a_buffer_grows_and_keeps_what_it_has),
        cmocka_unit_test(test_a_buffer_is_exact_at_its_cap_and_stays_failed),
        cmocka_unit_test(test_a_pool_recycles_up_to_what_it_keeps_and_stops_at_its_cap),
        cmocka_unit_test(test_an_address_reads_and_prints_the_same),
        cmocka_unit_test(test_what_is_no_address_is_refused_with_what_was_wrong),
        cmocka_unit_test(test_a_host_and_its_port_are_split_only_when_both_are_there),
        cmocka_unit_test(test_what_the_kernel_says_of_a_peer_can_be_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
