/* Limits per caller: who shares a bucket with whom. */
#include "limits_fixture.h"

static struct sp_slices slices(const struct sp_slice *items, size_t count)
{
    return (struct sp_slices){items, count};
}

static const struct sp_slice X_Y[] = {{"x.example", 9}, {"y.example", 9}};
static const struct sp_slice Y_X[] = {{"y.example", 9}, {"x.example", 9}};
static const struct sp_slice URI_1[] = {{"spiffe://a/1", 12}}, URI_2[] = {{"spiffe://a/2", 12}};
static const struct sp_slice SPLIT[] = {{"x.exampley.", 11}, {"example", 7}};
static const struct sp_slice IP_1[] = {{"\x0a\0\0\1", 4}}, IP_2[] = {{"\x0a\0\0\2", 4}};
static const struct sp_name_attr OPS[] = {
    {SP_SLICE("OU"), SP_SLICE("ops"), 0}, {SP_SLICE("CN"), SP_SLICE("q"), 1}};
static const struct sp_name_attr DEV[] = {
    {SP_SLICE("OU"), SP_SLICE("dev"), 0}, {SP_SLICE("CN"), SP_SLICE("ops"), 1}};
static const struct sp_name_attr DEV_OPS[] = {
    {SP_SLICE("OU"), SP_SLICE("dev"), 0}, {SP_SLICE("OU"), SP_SLICE("ops"), 1}};
static const struct sp_name_attr OPS_DEV[] = {
    {SP_SLICE("OU"), SP_SLICE("ops"), 0}, {SP_SLICE("OU"), SP_SLICE("dev"), 1}};

/* One like another but for what is named. */
enum who {
    ANONYMOUS,
    SAME,
    RENEWED, /* another certificate with the same names */
    REORDERED,
    SUBJECT,
    URI,
    DNS_SPLIT,
    DNS_AS_EMAIL,
    IP,
    OU,
    NAMELESS,
    NAMELESS_TOO,
};

static struct sp_identity make(enum who who)
{
    struct sp_identity id = client("CN=x");
    id.sha256[0] = 1;
    id.uris = slices(URI_1, 1);
    id.dns_names = slices(X_Y, 2);
    id.ips = slices(IP_1, 1);
    id.subject_attrs = OPS;
    id.subject_attr_count = 2;
    switch (who) {
    case RENEWED:
        id.sha256[0] = 2;
        break;
    case REORDERED:
        id.dns_names = slices(Y_X, 2);
        break;
    case SUBJECT:
        id.subject = sp_slice_of("CN=y");
        break;
    case URI:
        id.uris = slices(URI_2, 1);
        break;
    case DNS_SPLIT:
        id.dns_names = slices(SPLIT, 2);
        break;
    case DNS_AS_EMAIL:
        id.emails = id.dns_names;
        id.dns_names = slices(NULL, 0);
        break;
    case IP:
        id.ips = slices(IP_2, 1);
        break;
    case OU:
        id.subject_attrs = DEV;
        break;
    case NAMELESS:
    case NAMELESS_TOO:
        id = client(who == NAMELESS ? "CN=n" : "CN=m");
        break;
    default:
        break;
    }
    return id;
}

static void test_what_shares_one_bucket(void **state)
{
    (void)state;
    static const struct {
        const char *per;
        enum who first, second;
        bool shared;
    } cases[] = {
        {"identity", SAME, SAME, true},
        {"identity", SAME, RENEWED, true},
        {"identity", SAME, REORDERED, true},
        {"identity", SAME, SUBJECT, false},
        {"identity", SAME, URI, false},
        {"identity", SAME, DNS_SPLIT, false},
        {"identity", SAME, DNS_AS_EMAIL, false},
        {"identity", SAME, IP, false},
        {"identity", SAME, ANONYMOUS, false},
        {"identity", ANONYMOUS, ANONYMOUS, true},
        {"caller", SAME, SUBJECT, true},
        {"caller", SAME, ANONYMOUS, true},
        {"certificate", SAME, SAME, true},
        {"certificate", SAME, RENEWED, false},
        {"certificate", SAME, SUBJECT, true}, /* it is the digest alone that counts */
        {"uri", SAME, SUBJECT, true},
        {"uri", SAME, URI, false},
        {"uri", NAMELESS, NAMELESS, true},
        {"uri", NAMELESS, NAMELESS_TOO, false}, /* by identity then */
        {"dns", SAME, REORDERED, true},
        {"dns", SAME, URI, true},
        {"dns", SAME, DNS_SPLIT, false},
        {"email", SAME, SUBJECT, false}, /* neither has one */
        {"email", SAME, RENEWED, true},
        {"subject.OU", SAME, SUBJECT, true},
        {"subject.OU", SAME, OU, false},
        {"subject.CN", SAME, OU, false},
        {"subject.O", SAME, RENEWED, true},
        {"subject.O", SAME, SUBJECT, false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct setup setup = {0};
        struct sp_config_caller_limits one = rate(1, 3600000, 1, cases[i].per);
        const struct sp_config *config = configure(&setup, &one, NULL, NULL);
        struct sp_limits *l = sp_limits_new(64);
        struct sp_identity ids[2] = {make(cases[i].first), make(cases[i].second)};
        assert_non_null(l);
        struct sp_limit_holds *first =
            let_in(l, config, ONLY_A, cases[i].first == ANONYMOUS ? NULL : &ids[0], NOW_US);
        struct sp_limit_holds *second =
            let_in(l, config, ONLY_A, cases[i].second == ANONYMOUS ? NULL : &ids[1], NOW_US);
        assert_int_equal(ask(first, 0, NOW_US, 9), 1);
        if ((ask(second, 0, NOW_US, 9) == 0) != cases[i].shared)
            fail_msg("case %zu, by %s", i, cases[i].per);
        sp_limits_disconnect(first);
        sp_limits_disconnect(second);
        sp_limits_free(l);
    }
}

static void test_an_attribute_that_is_there_twice_counts_as_a_set(void **state)
{
    (void)state;
    struct setup setup = {0};
    struct sp_config_caller_limits one = rate(1, 3600000, 1, "subject.OU");
    const struct sp_config *config = configure(&setup, &one, NULL, NULL);
    struct sp_limits *l = sp_limits_new(64);
    struct sp_identity ids[3] = {client("1"), client("2"), client("3")};
    ids[0].subject_attrs = DEV_OPS;
    ids[1].subject_attrs = OPS_DEV;
    ids[2].subject_attrs = DEV;
    for (size_t i = 0; i < 3; i++)
        ids[i].subject_attr_count = 2;
    assert_non_null(l);
    for (size_t i = 0; i < 3; i++) {
        struct sp_limit_holds *h = let_in(l, config, ONLY_A, &ids[i], NOW_US);
        assert_int_equal(ask(h, 0, NOW_US, 9), i != 1);
        sp_limits_disconnect(h);
    }
    sp_limits_free(l);
}

static void test_one_client_has_a_bucket_for_each_caller_that_it_is(void **state)
{
    (void)state;
    struct setup setup = {0};
    struct sp_config_caller_limits one = rate(1, 1000, 1, "identity"), two = rate(1, 1000, 2, "identity");
    const struct sp_config *config = configure(&setup, &one, NULL, &two);
    struct sp_limits *l = sp_limits_new(64);
    assert_non_null(l);
    struct sp_limit_holds *h = let_in(l, config, ALL, nth(1), NOW_US);
    assert_int_equal(ask(h, 0, NOW_US, 9), 1);
    assert_int_equal(ask(h, 2, NOW_US, 9), 2);
    sp_limits_disconnect(h);
    sp_limits_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_shares_one_bucket),
        cmocka_unit_test(test_an_attribute_that_is_there_twice_counts_as_a_set),
        cmocka_unit_test(test_one_client_has_a_bucket_for_each_caller_that_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
