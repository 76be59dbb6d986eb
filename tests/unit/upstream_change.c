/* What a change of the configuration, or of what a name means, does to what is under way: turns that were given out, endpoints that
 * stay or are others now, checks that wait, names that are asked. Two workers and the roster in one thread, turned by hand. */
#include "io_dns_server.h"
#include "upstream_rig.h"

/* The lineup of `fleet` without any endpoint, as when its name means none of them any more. */
static void line_up_nobody(struct sp_fleet *fleet)
{
    struct sp_lineup *none = sp_lineup_new(&fleet->config->upstreams[0], NULL, 0);

    assert_non_null(none);
    sp_fleet_replace(fleet, 0, none);
}

/* The slot was given to who waits; then nobody else knows the endpoint any more. */
static void test_a_turn_keeps_its_endpoint_though_that_is_in_no_lineup_any_more(void **state)
{
    struct rig *r = *state;

    name_backends(r, 0, 1);
    r->endpoints[0].max_connections = 1;
    r->upstream.queue_max = 8;
    struct sp_targets *t[WORKERS] = {targets(r), targets_of(r, 1)};
    struct sp_fleet *fleet = sp_fleet_ref(r->fleet);
    struct sp_errand first = errand(r), waits = errand(r);
    struct sp_upconn *c = take(t[0], &first), *none = NULL;
    assert_int_equal(sp_upconn_take(t[1], &waits, &none), SP_AGAIN);
    sp_upconn_close(c);
    sp_errand_end(&first);
    sp_loop_turn(r->workers[0].loop, 0);
    sp_targets_free(t[0]);
    name_backends(r, 1, 1);
    new_fleet(r);
    line_up_nobody(fleet);
    sp_loop_turn(r->workers[1].loop, 0);
    c = take(t[1], &waits);
    assert_int_equal(connections_of(c->endpoint), 1);
    sp_upconn_close(c);
    sp_errand_end(&waits);
    turn_all(r);
    sp_targets_free(t[1]);
    sp_fleet_unref(fleet);
}

static void test_who_waits_looks_again_when_an_endpoint_may_have_more_connections(void **state)
{
    struct rig *r = *state;
    struct sp_errand holds = errand(r), waits = errand(r);
    struct sp_upconn *c[2] = {NULL, NULL};

    name_backends(r, 0, 1);
    r->endpoints[0].max_connections = 1;
    r->upstream.queue_max = 8;
    struct sp_targets *t = targets(r);
    c[0] = take(t, &holds);
    assert_int_equal(sp_upconn_take(t, &waits, &c[1]), SP_AGAIN);
    r->endpoints[0].max_connections = 2;
    new_fleet(r);
    turn_all(r);
    c[1] = take(t, &waits);
    for (int i = 0; i < 2; i++)
        sp_upconn_close(c[i]);
    sp_errand_end(&holds);
    sp_errand_end(&waits);
    turn_all(r);
    sp_targets_free(t);
}

static size_t known_to(const struct rig *r)
{
    size_t count = 0;

    for (size_t i = 0; i < SP_ROSTER_BUCKETS; i++) {
        for (const struct sp_list *it = r->roster->known[i].next; it != &r->roster->known[i]; it = it->next)
            count++;
    }
    return count;
}

static void test_a_detached_connection_keeps_no_configuration(void **state)
{
    struct rig *r = *state;
    struct sp_errand e = errand(r);

    name_backends(r, 0, 1);
    struct sp_fleet *fleet = new_fleet(r);
    struct sp_targets *t = targets_of(r, 0);
    e.is_raw = true;
    struct sp_upconn *c = take(t, &e);
    assert_int_equal(connected(r, c), SP_OK);
    int fd = accept_from(&r->backends[0]);
    sp_targets_free(t);
    unsigned held = atomic_load(&fleet->refs);
    for (int i = 0; i < 2; i++) {
        sp_upconn_detach(c);
        assert_int_equal(atomic_load(&fleet->refs), held - 1);
    }
    name_backends(r, 1, 1);
    new_fleet(r); /* which does not know its endpoint */
    turn_all(r);
    assert_int_equal(atomic_load(&c->endpoint->requests), 1);
    assert_int_equal(connections_of(c->endpoint), 1);
    sp_upconn_failed(c, "says nothing of its endpoint");
    assert_int_equal(atomic_load(&c->endpoint->failed_in_a_row), 0);
    sp_upconn_close(c);
    sp_errand_end(&e);
    turn_all(r);
    assert_true(ends(fd));
    close(fd);
}

/* The name is what the backend's certificate is held to. */
static void test_an_endpoint_that_goes_by_another_name_is_another_one(void **state)
{
    struct rig *r = *state;
    static const char *const names[] = {NULL, "old.example", "new.example"};
    struct sp_endpoint *before = NULL;

    name_backends(r, 0, 1);
    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        r->endpoints[0].host = names[i];
        struct sp_endpoint *ep = new_fleet(r)->upstreams[0].lineup->all[0];
        assert_string_equal(ep->host, names[i] != NULL ? names[i] : "127.0.0.1");
        assert_ptr_not_equal(ep, before);
        assert_ptr_equal(new_fleet(r)->upstreams[0].lineup->all[0], ep);
        before = ep;
    }
    assert_ptr_equal(r->roster->members.next, r->roster->members.prev); /* the last one alone */
}

/* As when a name has another address just while a configuration is built that names it, too. */
static void test_an_endpoint_is_one_object_for_all_fleets_also_for_those_not_in_force(void **state)
{
    struct rig *r = *state;
    struct sp_diags diags = {0};
    struct sp_fleet_options options = {.roster = r->roster, .workers = WORKERS};
    struct sp_config *config = make_config(r);
    struct sp_fleet *to_come = sp_fleet_new(config, &options, &diags),
                    *other = sp_fleet_new(config, &options, &diags);

    assert_non_null(to_come);
    assert_non_null(other);
    sp_config_free(config);
    struct sp_lineup *in_force = new_fleet(r)->upstreams[0].lineup;
    for (size_t i = 0; i < BACKENDS; i++) {
        assert_ptr_equal(to_come->upstreams[0].lineup->all[i], other->upstreams[0].lineup->all[i]);
        assert_ptr_equal(to_come->upstreams[0].lineup->all[i], in_force->all[i]);
    }
    sp_fleet_unref(other);
    /* One that is let go of by the fleet in force, and one that no fleet has any more. */
    struct sp_endpoint *kept = sp_endpoint_ref(in_force->all[1]);
    name_backends(r, 0, 1);
    new_fleet(r);
    sp_fleet_unref(to_come);
    new_fleet(r);
    assert_int_equal(known_to(r), 2);
    name_backends(r, 0, 2);
    assert_ptr_equal(new_fleet(r)->upstreams[0].lineup->all[1], kept);
    sp_endpoint_unref(kept);
}

/* What SNI and verification go by. */
static void test_one_address_is_as_many_endpoints_as_it_has_names_only_where_tls_goes_by_them(void **state)
{
    struct rig *r = *state;
    static const struct sp_config_upstream_tls by_host = {.sni = NULL}, by_name = {.name = "one.example"};
    static const struct {
        const struct sp_config_upstream_tls *tls;
        size_t count;
    } cases[] = {{NULL, 1}, {&by_name, 1}, {&by_host, 3}};

    name_backends(r, 0, 3);
    for (unsigned i = 0; i < 3; i++)
        r->endpoints[i].address = r->backends[0].endpoint.address;
    r->endpoints[1].host = "a.example";
    r->endpoints[2].host = "b.example";
    struct sp_config *config = make_config(r);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_config_upstream u = config->upstreams[0];
        struct sp_fleet_upstream in = {.config = &u};
        struct sp_fleet fleet = {.roster = r->roster, .upstreams = &in, .upstream_count = 1};
        struct sp_muster m;
        u.tls = cases[i].tls;
        assert_int_equal(sp_muster_call(&fleet, 0, &m), SP_OK);
        assert_int_equal(m.count, cases[i].count);
        assert_string_equal(m.items[0].ep->host, "127.0.0.1");
        if (m.count == 3)
            assert_string_equal(m.items[2].ep->host, "b.example");
        sp_muster_free(&m);
    }
    sp_config_free(config);
}

/* A lineup of a thousand takes milliseconds, and all of them may fail in one turn. */
static void test_what_happens_to_endpoints_in_one_turn_makes_one_lineup(void **state)
{
    struct rig *r = *state;
    r->upstream.ejection = (struct sp_config_ejection){.failures = 5, .base_ms = LONG_MS, .max_ms = LONG_MS};
    struct sp_fleet *fleet = new_fleet(r);
    uint64_t before = sp_fleet_version(fleet, 0);

    for (size_t i = 0; i + 1 < BACKENDS; i++) {
        atomic_store(&fleet->upstreams[0].lineup->all[i]->is_ejected, true);
        sp_roster_line_up(r->roster, 0);
    }
    sp_loop_turn(r->roster_loop, 0);
    assert_int_equal(sp_fleet_version(fleet, 0), before + 1);
    assert_int_equal(fleet->upstreams[0].lineup->usable_count, 1);
    sp_loop_turn(r->roster_loop, 0);
    assert_int_equal(sp_fleet_version(fleet, 0), before + 1);
}

/* ---- checks ---- */

#define PLACES SP_CHECKS_MAX

static size_t length_of(const struct sp_list *list)
{
    size_t count = 0;

    SP_LIST_EACH (list, it)
        count++;
    return count;
}

/* One asks and gets no answer, two wait for its place. Then the first two are gone. */
static void test_a_check_that_waits_comes_to_its_turn_when_others_are_gone(void **state)
{
    struct rig *r = *state;
    static struct sp_config_health_check check = {.path = "/",
        .status_min = 200,
        .status_max = 299,
        .interval_ms = 10,
        .timeout_ms = LONG_MS,
        .healthy_after = 1,
        .unhealthy_after = 1};

    r->upstream.health_check = &check;
    r->roster->checks_under_way = PLACES - 1; /* others' */
    name_backends(r, 0, 1);
    new_fleet(r);
    while (r->roster->checks_under_way < PLACES)
        sp_loop_turn(r->roster_loop, LONG_MS);
    name_backends(r, 0, 3);
    struct sp_endpoint **all = new_fleet(r)->upstreams[0].lineup->all;
    while (length_of(&r->roster->checks) < 2)
        sp_loop_turn(r->roster_loop, LONG_MS);
    /* A check begins with its link. */
    bool is_third = (struct sp_list *)(void *)sp_member_of(all[2])->check == r->roster->checks.prev;
    name_backends(r, is_third ? 2 : 1, 1);
    new_fleet(r);
    assert_true(sp_list_is_empty(&r->roster->checks));
    while (r->roster->checks_under_way < PLACES)
        sp_loop_turn(r->roster_loop, LONG_MS);
    int fd = accept_from(&r->backends[is_third ? 2 : 1]);
    r->roster->checks_under_way -= PLACES - 1;
    r->upstream.health_check = NULL;
    new_fleet(r);
    assert_int_equal(r->roster->checks_under_way, 0);
    close(fd);
}

/* ---- names ---- */

static struct sp_name *name_of(struct rig *r, struct sp_config_endpoint *e, char *host)
{
    *e = (struct sp_config_endpoint){.host = host, .text = host, .port = 80, .weight = 1};
    struct sp_name *n = sp_name_meet(r->roster, e);

    assert_non_null(n);
    return n;
}

/* There may always be a question under way: they are let run out. The second one stays under way, since where a question fails
 * before the turn ends nobody would see that it was asked. */
static void test_a_resolver_of_old_is_asked_nothing_more_and_another_one_is_when_its_questions_have_ended(
    void **state)
{
    struct rig *r = *state;
    struct sp_config_endpoint e[2];
    char first[] = "a.example", second[] = "b.example";
    static const struct dns_record records[] = {{"b.example", DNS_A, 0, NULL, DNS_SILENT}};
    struct dns_server server;

    dns_server_start(&server, records, SP_COUNTOF(records));
    sp_buf_add_str(&r->roster->servers, server.text);
    sp_buf_add_char(&r->roster->servers, '\0');
    struct sp_name *a = name_of(r, &e[0], first), *b = name_of(r, &e[1], second);
    sp_name_ask(a);
    assert_true(a->is_asked);
    struct sp_resolver *before = r->roster->resolver;
    r->roster->resolver_is_stale = true;
    b->is_settled = true;
    sp_name_ask(b);
    assert_false(b->is_asked);
    assert_ptr_equal(r->roster->resolver, before);
    while (!b->is_asked)
        sp_loop_turn(r->roster_loop, LONG_MS);
    assert_true(a->is_settled);
    assert_false(r->roster->resolver_is_stale);
    dns_server_stop(&server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_turn_keeps_its_endpoint_though_that_is_in_no_lineup_any_more),
        TEST(test_who_waits_looks_again_when_an_endpoint_may_have_more_connections),
        TEST(test_a_detached_connection_keeps_no_configuration),
        TEST(test_an_endpoint_that_goes_by_another_name_is_another_one),
        TEST(test_an_endpoint_is_one_object_for_all_fleets_also_for_those_not_in_force),
        TEST(test_one_address_is_as_many_endpoints_as_it_has_names_only_where_tls_goes_by_them),
        TEST(test_what_happens_to_endpoints_in_one_turn_makes_one_lineup),
        TEST(test_a_check_that_waits_comes_to_its_turn_when_others_are_gone),
        TEST(test_a_resolver_of_old_is_asked_nothing_more_and_another_one_is_when_its_questions_have_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
