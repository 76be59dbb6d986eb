/* Address blocks and object identifiers. The matchers of names are tested with the callers that use them. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/match/attribute.h"
#include "sallyport/match/match.h"

/* ---- address blocks ---- */

static const struct {
    const char *block;
    const char *in, *out; /* blank-separated addresses; "" none */
} blocks[] = {
    {"192.0.2.7", "192.0.2.7 ::ffff:192.0.2.7", "192.0.2.6 192.0.2.8 ::192.0.2.7 2001:db8::1"},
    {"10.0.0.0/8", "10.0.0.0 10.255.255.255 ::ffff:10.1.2.3", "9.255.255.255 11.0.0.0 ::ffff:11.0.0.0 a00::"},
    {"10.128.0.0/9", "10.128.0.0 10.255.0.0", "10.127.255.255 11.128.0.0"},
    {"192.0.2.128/25", "192.0.2.128 192.0.2.255", "192.0.2.127 192.0.3.128"},
    {"192.0.2.6/31", "192.0.2.6 192.0.2.7", "192.0.2.5 192.0.2.8"},
    {"192.0.2.6/32", "192.0.2.6", "192.0.2.7"},
    {"0.0.0.0/0", "0.0.0.0 255.255.255.255 ::ffff:1.2.3.4", ":: 2001:db8::1 ::1.2.3.4"},
    {"0.0.0.0", "0.0.0.0 ::ffff:0.0.0.0", "0.0.0.1 ::"},
    {"::/0", ":: 2001:db8::1 ffff::", "0.0.0.0 ::ffff:1.2.3.4"},
    {"2001:db8::/32", "2001:db8:: 2001:db8:ffff::1", "2001:db9:: 2001:db7:ffff::"},
    {"2001:db8:8000::/33", "2001:db8:8000::", "2001:db8:7fff::"},
    {"2001:db8::1", "2001:db8::1", "2001:db8::2 2001:db8::"},
    {"2001:db8::1/128", "2001:db8::1", "2001:db8::2"},
    {"2001:DB8:0::1", "2001:db8::1", ""},
    /* what is written as IPv6 and stands for IPv4 is IPv4 */
    {"::ffff:10.0.0.0/104", "10.1.2.3 ::ffff:10.1.2.3", "11.0.0.0 ::ffff:11.0.0.0 ::10.1.2.3"},
    {"::ffff:192.0.2.7", "192.0.2.7 ::ffff:192.0.2.7", "192.0.2.8"},
    {"::ffff:0:0/96", "0.0.0.0 255.255.255.255 ::ffff:1.2.3.4", "::1 2001:db8::1"},
    /* and a block that only holds that range beside others is of IPv6 */
    {"::/64", "::1 ::1.2.3.4", "10.0.0.1 ::ffff:10.0.0.1 0:0:0:1::"},
};

static bool matches(const struct sp_cidr *block, const char *text, bool as_socket_address)
{
    uint8_t bytes[16];
    struct sp_addr addr = {.len = 0};
    size_t len = inet_pton(AF_INET, text, bytes) == 1 ? 4 : inet_pton(AF_INET6, text, bytes) == 1 ? 16 : 0;
    assert_true(len > 0);
    if (!as_socket_address)
        return sp_cidr_match(block, bytes, len);
    addr.u.sa.sa_family = len == 4 ? AF_INET : AF_INET6;
    addr.len = len == 4 ? sizeof(addr.u.in4) : sizeof(addr.u.in6);
    memcpy(len == 4 ? (void *)&addr.u.in4.sin_addr : (void *)&addr.u.in6.sin6_addr, bytes, len);
    return sp_cidr_match_addr(block, &addr);
}

static void expect_each(const struct sp_cidr *block, const char *text, const char *list, bool want)
{
    while (*list != '\0') {
        char address[64];
        size_t len = strcspn(list, " ");
        snprintf(address, sizeof(address), "%.*s", (int)len, list);
        list += len + (list[len] == ' ' ? 1 : 0);
        if (matches(block, address, false) != want || matches(block, address, true) != want)
            fail_msg("%s %s %s", text, want ? "does not hold" : "holds", address);
    }
}

static void test_a_block_holds_what_its_prefix_says_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(blocks); i++) {
        struct sp_cidr block;
        const char *wrong = sp_cidr_compile(sp_slice_of(blocks[i].block), &block);
        if (wrong != NULL)
            fail_msg("%s: %s", blocks[i].block, wrong);
        expect_each(&block, blocks[i].block, blocks[i].in, true);
        expect_each(&block, blocks[i].block, blocks[i].out, false);
    }
}

static void test_bytes_of_no_address_match_no_block(void **state)
{
    (void)state;
    static const uint8_t bytes[16] = {0};
    struct sp_cidr v4, v6;
    struct sp_addr local = {.len = sizeof(struct sockaddr_un)};
    local.u.sa.sa_family = AF_UNIX;
    assert_null(sp_cidr_compile(SP_SLICE("0.0.0.0/0"), &v4));
    assert_null(sp_cidr_compile(SP_SLICE("::/0"), &v6));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        assert_int_equal(sp_cidr_match(&v4, bytes, len), len == 4);
        assert_int_equal(sp_cidr_match(&v6, bytes, len), len == 16);
    }
    assert_false(sp_cidr_match_addr(&v4, &local));
    assert_false(sp_cidr_match_addr(&v4, &(struct sp_addr){.len = 0}));
    assert_false(sp_cidr_match_addr(&v4, NULL));
}

#define BEHIND "expected no bit set behind the prefix"
#define WHAT   "expected an address or a block"

static const struct {
    struct sp_slice text;
    const char *says;
} bad_blocks[] = {
    {{"", 0}, WHAT},
    {{"/", 1}, WHAT},
    {{"/8", 2}, WHAT},
    {{"10", 2}, WHAT},
    {{"10.0.0", 6}, WHAT},
    {{"10.0.0.0.0", 10}, WHAT},
    {{"10.0.0.256", 10}, WHAT},
    {{"010.0.0.1", 9}, WHAT},
    {{"0x0a.0.0.1", 10}, WHAT},
    {{" 10.0.0.1", 9}, WHAT},
    {{"10.0.0.1 ", 9}, WHAT},
    {{"10.0.0.1\0", 9}, WHAT},
    {{"10.0.0.0/", 9}, WHAT},
    {{"10.0.0.0/08", 11}, WHAT},
    {{"10.0.0.0/+8", 11}, WHAT},
    {{"10.0.0.0/-1", 11}, WHAT},
    {{"10.0.0.0/8/8", 12}, WHAT},
    {{"10.0.0.0/255.0.0.0", 18}, WHAT},
    {{"10.0.0.0/18446744073709551624", 29}, WHAT},
    {{"10.0.0.0/33", 11}, "0 to 32"},
    {{"2001:db8::/129", 14}, "0 to 128"},
    {{"2001:db8:::1", 12}, WHAT},
    {{"2001:db8::g", 11}, WHAT},
    {{"fe80::1%lo", 10}, WHAT},
    {{"[::1]", 5}, WHAT},
    {{"corp.example", 12}, WHAT},
    {{"10.0.0.1/8", 10}, BEHIND},
    {{"10.0.0.1/31", 11}, BEHIND},
    {{"0.0.0.1/0", 9}, BEHIND},
    {{"128.0.0.0/0", 11}, BEHIND},
    {{"2001:db8::1/64", 14}, BEHIND},
    {{"::ffff:10.0.0.1/104", 19}, BEHIND},
};

static void test_what_is_no_block_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(bad_blocks); i++) {
        struct sp_cidr block;
        const char *wrong = sp_cidr_compile(bad_blocks[i].text, &block);
        if (wrong == NULL || strstr(wrong, bad_blocks[i].says) == NULL)
            fail_msg("\"%.*s\": %s", SP_FMT(bad_blocks[i].text), wrong != NULL ? wrong : "was taken");
    }
}

/* ---- object identifiers ---- */

static void test_an_oid_is_numbers_as_x660_writes_them(void **state)
{
    (void)state;
    static const struct {
        struct sp_slice text;
        bool valid;
    } cases[] = {
        {{"2.5.4.97", 8}, true},
        {{"1.3.6.1.4.1.311.20.2.2", 22}, true},
        {{"0.4.0.19495.2", 13}, true},
        {{"0.0", 3}, true},
        {{"2.999", 5}, true},
        {{"2.25.329800735698586629295641978511506172918", 44}, true},
        {{"", 0}, false},
        {{"1", 1}, false},
        {{"1.", 2}, false},
        {{".1", 2}, false},
        {{"1..2", 4}, false},
        {{"1.2.", 4}, false},
        {{"3.1", 3}, false},
        {{"10.1", 4}, false},
        {{"1.02", 4}, false},
        {{"01.2", 4}, false},
        {{"1.2 ", 4}, false},
        {{" 1.2", 4}, false},
        {{"1.-2", 4}, false},
        {{"1.2a", 4}, false},
        {{"1.2\0", 4}, false},
        {{"clientAuth", 10}, false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        if (sp_oid_is_valid(cases[i].text) != cases[i].valid)
            fail_msg("\"%.*s\"", SP_FMT(cases[i].text));
    }
}

/* ---- types of attributes ---- */

static bool is(struct sp_slice got, const char *want)
{
    return want == NULL ? got.ptr == NULL : got.ptr != NULL && sp_slice_equal(got, sp_slice_of(want));
}

static void test_a_type_has_one_spelling_by_whatever_name_it_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *written, *type, *oid;
    } cases[] = {
        {"CN", "CN", "2.5.4.3"},
        {"cn", "CN", "2.5.4.3"},
        {"2.5.4.3", "CN", "2.5.4.3"},
        {"organizationidentifier", "organizationIdentifier", "2.5.4.97"},
        {"givenName", "2.5.4.42", "2.5.4.42"},
        {"GN", "2.5.4.42", "2.5.4.42"},
        {"2.5.4.42", "2.5.4.42", "2.5.4.42"},
        {"1.2.3", "1.2.3", "1.2.3"},
        {"nonsense", NULL, NULL},
        {"", NULL, NULL},
        {"1.02", NULL, NULL},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        if (!is(sp_attribute_type(sp_slice_of(cases[i].written)), cases[i].type) ||
            !is(sp_attribute_oid(sp_slice_of(cases[i].written)), cases[i].oid))
            fail_msg("%s", cases[i].written);
    }
}

static size_t put_number(uint8_t *out, unsigned long n)
{
    size_t groups = 1;
    for (unsigned long rest = n; rest >= 128; rest /= 128)
        groups++;
    for (size_t i = groups; i > 0; i--, n /= 128)
        out[i - 1] = (uint8_t)(n % 128 | (i < groups ? 128 : 0));
    return groups;
}

/* As DER has it (X.690 §8.19). */
static struct sp_slice encode(const char *oid, uint8_t *room)
{
    char *end;
    unsigned long first = strtoul(oid, &end, 10);
    size_t n = put_number(room, first * 40 + strtoul(end + 1, &end, 10));
    while (*end == '.')
        n += put_number(room + n, strtoul(end + 1, &end, 10));
    return (struct sp_slice){(const char *)room, n};
}

static void test_identities_and_operators_call_every_type_the_same(void **state)
{
    (void)state;
    size_t by_name = 0, i = 0;
    for (; sp_attribute_name(i) != NULL; i++) {
        uint8_t room[64];
        struct sp_slice written = sp_slice_of(sp_attribute_name(i));
        struct sp_slice type = sp_attribute_type(written), oid = sp_attribute_oid(written);
        struct sp_slice of_der = sp_attribute_name_of(encode(oid.ptr, room));
        assert_true(sp_oid_is_valid(oid));
        if (!sp_slice_equal(type, of_der.ptr != NULL ? of_der : oid))
            fail_msg("%.*s", SP_FMT(written));
        by_name += of_der.ptr != NULL;
    }
    assert_true(by_name == 11 && i > by_name);
    assert_null(sp_attribute_name_of((struct sp_slice){"\x55\x04", 2}).ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_block_holds_what_its_prefix_says_and_nothing_else),
        cmocka_unit_test(test_bytes_of_no_address_match_no_block),
        cmocka_unit_test(test_what_is_no_block_is_refused),
        cmocka_unit_test(test_an_oid_is_numbers_as_x660_writes_them),
        cmocka_unit_test(test_a_type_has_one_spelling_by_whatever_name_it_is_written),
        cmocka_unit_test(test_identities_and_operators_call_every_type_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
