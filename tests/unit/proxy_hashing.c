/* What balance: hash goes by: who is the same caller, which addresses and header fields count. */
#include "proxy/proxy_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct sp_handover somebody(const char *address)
{
    struct sp_handover who = {.identity = NULL};
    struct sp_err err = {0};

    assert_int_equal(sp_addr_parse(sp_slice_of(address), &who.source, &err), SP_OK);
    return who;
}

static struct sp_identity *with_names(const char *subject, const struct sp_slice *uris, size_t count)
{
    static struct sp_identity made[8];
    static size_t used;
    struct sp_identity *id = &made[used++ % SP_COUNTOF(made)];

    *id = (struct sp_identity){.subject = sp_slice_of(subject), .uris = {uris, count}};
    return id;
}

static const struct sp_config_upstream BY_CALLER = {.hash_by = SP_HASH_CALLER};
static const struct sp_config_upstream BY_ADDRESS = {.hash_by = SP_HASH_ADDRESS};
static const struct sp_config_upstream BY_HEADER = {.hash_by = SP_HASH_HEADER, .hash_header = "X-Tenant"};

static void test_a_caller_is_the_same_whatever_the_order_of_his_names_and_his_address(void **state)
{
    (void)state;
    static const struct sp_slice ONE[] = {SP_SLICE("spiffe://a"), SP_SLICE("spiffe://b")};
    static const struct sp_slice OTHER[] = {SP_SLICE("spiffe://b"), SP_SLICE("spiffe://a")};
    struct sp_handover a = somebody("192.0.2.1:1000"), b = somebody("198.51.100.9:2000");

    a.identity = with_names("CN=x", ONE, 2);
    b.identity = with_names("CN=x", OTHER, 2);
    assert_true(sp_hash_of(&a, NULL, &BY_CALLER) == sp_hash_of(&b, NULL, &BY_CALLER));
    b.identity = with_names("CN=x", OTHER, 1);
    assert_false(sp_hash_of(&a, NULL, &BY_CALLER) == sp_hash_of(&b, NULL, &BY_CALLER));
    b.identity = with_names("CN=y", OTHER, 2);
    assert_false(sp_hash_of(&a, NULL, &BY_CALLER) == sp_hash_of(&b, NULL, &BY_CALLER));
}

static void test_somebody_anonymous_is_known_by_his_address(void **state)
{
    (void)state;
    struct sp_handover a = somebody("192.0.2.1:1000"), b = somebody("192.0.2.1:2000"),
                       c = somebody("192.0.2.2:1000");

    assert_true(sp_hash_of(&a, NULL, &BY_CALLER) == sp_hash_of(&b, NULL, &BY_CALLER));
    assert_false(sp_hash_of(&a, NULL, &BY_CALLER) == sp_hash_of(&c, NULL, &BY_CALLER));
}

static void test_of_an_address_the_port_does_not_count(void **state)
{
    (void)state;
    struct sp_handover a = somebody("[2001:db8::1]:1"), b = somebody("[2001:db8::1]:2"),
                       c = somebody("[2001:db8::2]:1");

    a.identity = with_names("CN=x", NULL, 0);
    assert_true(sp_hash_of(&a, NULL, &BY_ADDRESS) == sp_hash_of(&b, NULL, &BY_ADDRESS));
    assert_false(sp_hash_of(&a, NULL, &BY_ADDRESS) == sp_hash_of(&c, NULL, &BY_ADDRESS));
}

static void set_tenants(struct sp_head *head, const char *const *values, size_t count)
{
    memset(head, 0, sizeof(*head));
    head->header_count = count;
    for (size_t i = 0; i < count; i++)
        head->headers[i] = (struct sp_header){SP_SLICE("x-tenant"), sp_slice_of(values[i]), SP_HDR_OTHER};
}

static void test_a_header_counts_if_it_is_there_once_else_the_caller_does(void **state)
{
    (void)state;
    static const char *const VALUES[] = {"acme", "other"};
    static struct sp_head acme, other, both, none;
    struct sp_handover a = somebody("192.0.2.1:1"), b = somebody("192.0.2.2:1");

    set_tenants(&acme, VALUES, 1);
    set_tenants(&other, VALUES + 1, 1);
    set_tenants(&both, VALUES, 2);
    set_tenants(&none, VALUES, 0);
    assert_true(sp_hash_of(&a, &acme, &BY_HEADER) == sp_hash_of(&b, &acme, &BY_HEADER));
    assert_false(sp_hash_of(&a, &acme, &BY_HEADER) == sp_hash_of(&a, &other, &BY_HEADER));
    assert_true(sp_hash_of(&a, &both, &BY_HEADER) == sp_hash_of(&a, NULL, &BY_CALLER));
    assert_true(sp_hash_of(&a, &none, &BY_HEADER) == sp_hash_of(&a, NULL, &BY_CALLER));
    assert_true(sp_hash_of(&a, NULL, &BY_HEADER) == sp_hash_of(&a, NULL, &BY_CALLER)); /* mode tcp */
    assert_false(sp_hash_of(&a, &none, &BY_HEADER) == sp_hash_of(&b, &none, &BY_HEADER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_caller_is_the_same_whatever_the_order_of_his_names_and_his_address),
        cmocka_unit_test(test_somebody_anonymous_is_known_by_his_address),
        cmocka_unit_test(test_of_an_address_the_port_does_not_count),
        cmocka_unit_test(test_a_header_counts_if_it_is_there_once_else_the_caller_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
