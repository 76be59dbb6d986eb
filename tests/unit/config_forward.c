/* What forwarding is configured by, from the text to the fields: endpoints, balancing, health, retries, TLS to backends,
 * rewrites, edits, upgrades, mode tcp. Elsewhere: what is wrong (config_forward_errors.c). */
#include "config_fixture.h"

#define UPSTREAM(inner) LISTENERS CALLERS RULES "upstreams: {u: " inner "}\n"
#define RULE(rest)      LISTENERS CALLERS "rules: [{name: r, from: [c], upstream: u, " rest "}]\n" UPSTREAMS
#define LISTENER(rest)                                                                                       \
    "listeners: [{name: l, address: \"127.0.0.1:8443\", " AUTH ", " rest "}]\n" CALLERS RULES UPSTREAMS

static struct sp_config *upstream(const char *text, const struct sp_config_upstream **u)
{
    struct sp_config *config = parse_good("conf/x.yaml", text, "");

    assert_int_equal(config->upstream_count, 1);
    *u = &config->upstreams[0];
    return config;
}

static void assert_list(const struct sp_strings *list, size_t count, const char *const *items)
{
    assert_int_equal(list->count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(list->items[i], items[i]);
}

/* ---- upstreams ---- */

static void test_an_upstream_of_one_endpoint_has_the_defaults(void **state)
{
    const struct sp_config_upstream *u = NULL;
    struct sp_config *config = upstream(REST, &u);
    const struct sp_config_endpoint *e = u->endpoints;

    (void)state;
    assert_int_equal(e->weight, 1);
    assert_false(e->is_backup);
    assert_int_equal(e->max_connections, 0);
    assert_null(e->host);
    assert_int_equal(u->balance, SP_BALANCE_ROUND_ROBIN);
    assert_int_equal(u->slow_start_ms, 0);
    assert_int_equal(u->max_connections, 0);
    assert_int_equal(u->queue_max, 100);
    assert_int_equal(u->queue_ms, 1000);
    assert_int_equal(u->panic_percent, 10);
    assert_null(u->health_check);
    assert_int_equal(u->ejection.failures, 5);
    assert_int_equal(u->ejection.base_ms, 10000);
    assert_int_equal(u->ejection.max_ms, 300000);
    assert_int_equal(u->retries.attempts, 3);
    assert_true(u->retries.on_reset);
    assert_false(u->retries.any_method);
    assert_int_equal(u->retries.budget, 20);
    assert_int_equal(u->retries.body_bytes, 16384);
    assert_null(u->tls);
    assert_int_equal(u->proxy_protocol, SP_PROXY_OFF);
    assert_false(u->proxy_client_cert);
    assert_int_equal(u->forwarding_headers, SP_FORWARDING_X | SP_FORWARDING_VIA);
    assert_null(u->host);
    assert_false(u->pass_trailers);
    assert_int_equal(u->exchange_ms, 0);
    sp_config_free(config);
}

static void test_endpoints_are_addresses_or_sections_and_inherit_what_they_do_not_say(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        unsigned weight, max_connections;
        bool is_address, is_srv, is_backup;
    } wanted[] = {
        {"10.0.0.5:8080", NULL, 0, 1, 7, true, false, false},
        {"Billing.internal:81", "billing.internal", 81, 3, 100, false, false, true},
        {"srv:_api._tcp.Corp.example", "_api._tcp.corp.example", 0, 1, 7, false, true, false},
        {"unix:conf/run/x.sock", NULL, 0, 0, 0, true, false, false},
        {"[2001:db8::5]:80", NULL, 0, 100, 7, true, false, false},
    };
    const struct sp_config_upstream *u = NULL;
    struct sp_config *config = upstream(
        UPSTREAM(
            "{max_connections: 7, endpoints: [\"10.0.0.5:8080\",\n"
            "  {address: \"Billing.internal:81\", weight: 3, backup: true, max_connections: 100},\n"
            "  srv:_api._tcp.Corp.example, {address: \"unix:run/x.sock\", weight: 0, max_connections: unlimited},\n"
            "  {address: \"[2001:db8::5]:80\", weight: 100}]}"),
        &u);

    (void)state;
    assert_int_equal(u->endpoint_count, SP_COUNTOF(wanted));
    for (size_t i = 0; i < SP_COUNTOF(wanted); i++) {
        const struct sp_config_endpoint *e = &u->endpoints[i];
        assert_string_equal(e->text, wanted[i].text);
        assert_int_equal(e->address.len != 0, wanted[i].is_address);
        if (wanted[i].host == NULL)
            assert_null(e->host);
        else
            assert_string_equal(e->host, wanted[i].host);
        assert_int_equal(e->port, wanted[i].port);
        assert_int_equal(e->is_srv, wanted[i].is_srv);
        assert_int_equal(e->weight, wanted[i].weight);
        assert_int_equal(e->is_backup, wanted[i].is_backup);
        assert_int_equal(e->max_connections, wanted[i].max_connections);
    }
    assert_int_equal(u->endpoints[1].at.line, 5);
    assert_int_equal(u->endpoints[1].at.column, 3);
    sp_config_free(config);
}

static void test_balancing_is_as_written(void **state)
{
    static const struct {
        const char *text;
        enum sp_balance balance;
        enum sp_hash_by hash_by;
        const char *header;
    } cases[] = {
        {UPSTREAM("{endpoints: [\"10.0.0.1:1\"], balance: least_requests}"), SP_BALANCE_LEAST_REQUESTS,
            SP_HASH_CALLER, NULL},
        {UPSTREAM("{endpoints: [\"10.0.0.1:1\"], balance: hash}"), SP_BALANCE_HASH, SP_HASH_CALLER, NULL},
        {UPSTREAM("{endpoints: [\"10.0.0.1:1\"], balance: hash, hash_by: address}"), SP_BALANCE_HASH,
            SP_HASH_ADDRESS, NULL},
        {UPSTREAM("{endpoints: [\"10.0.0.1:1\"], balance: hash, hash_by: \"header:X-Tenant\"}"),
            SP_BALANCE_HASH, SP_HASH_HEADER, "X-Tenant"},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct sp_config_upstream *u = NULL;
        struct sp_config *config = upstream(cases[i].text, &u);
        assert_int_equal(u->balance, cases[i].balance);
        assert_int_equal(u->hash_by, cases[i].hash_by);
        if (cases[i].header == NULL)
            assert_null(u->hash_header);
        else
            assert_string_equal(u->hash_header, cases[i].header);
        sp_config_free(config);
    }
}

static void test_what_watches_and_repeats_is_as_written(void **state)
{
    const struct sp_config_upstream *u = NULL;
    struct sp_config *config = upstream(
        UPSTREAM(
            "{endpoints: [\"10.0.0.1:1\"], max_connections: 3, queue: {max: 0, timeout: 2s}, slow_start: 30s,\n"
            "  panic_threshold: 0, ejection: {failures: 1, base: 1s, max: 1s},\n"
            "  health_check: {path: \"/healthz?deep=1\", host: \"H.internal:8080\", status: 200-299, interval: 10ms,\n"
            "    timeout: 5s, healthy_after: 1, unhealthy_after: 100, port: 9000},\n"
            "  retries: {attempts: 1, on: [connect], methods: any, budget: 100, body: 0},\n"
            "  proxy_protocol: v2, proxy_protocol_client_cert: true, forwarding_headers: [forwarded],\n"
            "  host: \"[2001:db8::1]:8443\", trailers: pass, timeouts: {exchange: 5m}}"),
        &u);
    const struct sp_config_health_check *h = u->health_check;

    (void)state;
    assert_int_equal(u->queue_max, 0);
    assert_int_equal(u->queue_ms, 2000);
    assert_int_equal(u->slow_start_ms, 30000);
    assert_int_equal(u->panic_percent, 0);
    assert_int_equal(u->ejection.failures, 1);
    assert_int_equal(u->ejection.base_ms, 1000);
    assert_non_null(h);
    assert_int_equal(h->at.line, 6);
    assert_string_equal(h->path, "/healthz?deep=1");
    assert_string_equal(h->host, "h.internal:8080");
    assert_int_equal(h->status_min, 200);
    assert_int_equal(h->status_max, 299);
    assert_int_equal(h->interval_ms, 10);
    assert_int_equal(h->timeout_ms, 5000);
    assert_int_equal(h->healthy_after, 1);
    assert_int_equal(h->unhealthy_after, 100);
    assert_int_equal(h->port, 9000);
    assert_int_equal(u->retries.attempts, 1);
    assert_false(u->retries.on_reset);
    assert_true(u->retries.any_method);
    assert_int_equal(u->retries.budget, 100);
    assert_int_equal(u->retries.body_bytes, 0);
    assert_int_equal(u->proxy_protocol, SP_PROXY_V2);
    assert_true(u->proxy_client_cert);
    assert_int_equal(u->forwarding_headers, SP_FORWARDING_RFC7239);
    assert_string_equal(u->host, "[2001:db8::1]:8443");
    assert_true(u->pass_trailers);
    assert_int_equal(u->exchange_ms, 300000);
    sp_config_free(config);
}

static void test_a_check_without_keys_connects_and_an_ejection_can_be_off(void **state)
{
    const struct sp_config_upstream *u = NULL;
    struct sp_config *config = upstream(
        UPSTREAM(
            "{endpoints: [\"10.0.0.1:1\"], health_check: {}, ejection: off, slow_start: off, forwarding_headers: []}"),
        &u);

    (void)state;
    assert_non_null(u->health_check);
    assert_null(u->health_check->path);
    assert_int_equal(u->health_check->status_min, 200);
    assert_int_equal(u->health_check->status_max, 200);
    assert_int_equal(u->health_check->interval_ms, 2000);
    assert_int_equal(u->health_check->timeout_ms, 1000);
    assert_int_equal(u->health_check->healthy_after, 2);
    assert_int_equal(u->health_check->unhealthy_after, 3);
    assert_int_equal(u->health_check->port, 0);
    assert_int_equal(u->ejection.failures, 0);
    assert_int_equal(u->forwarding_headers, 0);
    sp_config_free(config);
}

/* ---- TLS ---- */

#define TLS_UPSTREAM(inner) UPSTREAM("{endpoints: [\"10.0.0.1:1\"], tls: " inner "}")

static void test_tls_to_endpoints_verifies_and_asks_for_revocation_only_where_lists_are_given(void **state)
{
    static const struct {
        const char *text;
        enum sp_crl_missing missing;
        enum sp_crl_stale stale;
    } cases[] = {
        {TLS_UPSTREAM("{ca: [ca.pem]}"), SP_CRL_MISSING_ACCEPT, SP_CRL_STALE_REJECT},
        {TLS_UPSTREAM("{ca: [ca.pem], crl: [crl/]}"), SP_CRL_MISSING_REJECT, SP_CRL_STALE_REJECT},
        {TLS_UPSTREAM("{ca: [ca.pem], crl: [crl/], crl_missing: accept, crl_stale: accept}"),
            SP_CRL_MISSING_ACCEPT, SP_CRL_STALE_ACCEPT},
        {TLS_UPSTREAM("{ca: [ca.pem], crl: [crl/], crl_missing: reject, crl_stale: {grace: 1h}}"),
            SP_CRL_MISSING_REJECT, SP_CRL_STALE_GRACE},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        const struct sp_config_upstream *u = NULL;
        struct sp_config *config = upstream(cases[i].text, &u);
        assert_non_null(u->tls);
        assert_true(u->tls->verify);
        assert_string_equal(u->tls->trust.ca.items[0], "conf/ca.pem");
        assert_int_equal(u->tls->trust.crl_missing, cases[i].missing);
        assert_int_equal(u->tls->trust.crl_stale, cases[i].stale);
        assert_int_equal(u->tls->trust.crl_grace_ms, cases[i].stale == SP_CRL_STALE_GRACE ? 3600000 : 0);
        assert_int_equal(u->tls->trust.depth, 5);
        assert_int_equal(u->tls->trust.at.line, 4);
        assert_int_equal(u->tls->min_version, SP_TLS_1_2);
        assert_null(u->tls->name);
        assert_null(u->tls->uri);
        assert_null(u->tls->sni);
        assert_null(u->tls->certificate);
        sp_config_free(config);
    }
}

struct named {
    char text[256];
};

static void note(void *arg, const char *path)
{
    struct named *named = arg;
    size_t len = strlen(named->text);

    (void)snprintf(named->text + len, sizeof(named->text) - len, "%s ", path);
}

static void test_the_files_of_tls_to_endpoints_are_among_those_that_are_watched(void **state)
{
    const struct sp_config_upstream *u = NULL;
    struct sp_config *config = upstream(
        TLS_UPSTREAM(
            "{ca: [one.pem, /two.pem], name: 10.0.0.1, uri: \"spiffe://corp/backend/*\", sni: A.example,\n"
            "  certificate: {chain: c.pem, key: k.pem}, crl: [rev/], depth: 0, min_version: \"1.3\"}"),
        &u);
    struct named named = {""};

    (void)state;
    assert_string_equal(u->tls->name, "10.0.0.1");
    assert_string_equal(u->tls->uri, "spiffe://corp/backend/*");
    assert_string_equal(u->tls->sni, "a.example");
    assert_int_equal(u->tls->trust.depth, 0);
    assert_int_equal(u->tls->min_version, SP_TLS_1_3);
    assert_null(u->tls->trust.crl_urls);
    sp_config_each_file(config, note, &named);
    assert_string_equal(named.text, "conf/c.pem conf/k.pem conf/ca.pem conf/crl/ "
                                    "conf/one.pem /two.pem conf/rev/ conf/c.pem conf/k.pem ");
    sp_config_free(config);
}

/* ---- listeners ---- */

static void test_a_listener_of_mode_tcp_is_as_written(void **state)
{
    static const char *const alpn[] = {"postgresql", "h2"}, *const from[] = {"10.0.0.0/8", "2001:db8::1"};
    struct sp_config *config = parse_good("x.yaml",
        LISTENER("mode: tcp, tls: {certificates: [{chain: c, key: k}], alpn: [postgresql, h2]},\n"
                 "  proxy_protocol: {from: [10.0.0.0/8, \"2001:db8::1\"]}, timeouts: {tunnel: 7d}"),
        "");
    const struct sp_config_listener *l = config->listeners;

    (void)state;
    assert_int_equal(l->mode, SP_MODE_TCP);
    assert_list(&l->alpn, 2, alpn);
    assert_list(&l->proxies, 2, from);
    assert_int_equal(l->timeouts.tunnel_ms, 7 * 24 * 3600 * 1000);
    sp_config_free(config);
    config = parse_good("x.yaml", REST, "");
    assert_int_equal(config->listeners[0].mode, SP_MODE_HTTP);
    assert_int_equal(config->listeners[0].alpn.count, 0);
    assert_int_equal(config->listeners[0].proxies.count, 0);
    assert_int_equal(config->listeners[0].rewrite_count, 0);
    assert_int_equal(config->listeners[0].timeouts.tunnel_ms, 600000);
    sp_config_free(config);
}

static void test_prefixes_lose_the_slash_at_their_end(void **state)
{
    static const struct {
        const char *host, *prefix, *replace;
    } wanted[] = {
        {NULL, "/api", ""},
        {"*.corp.example", "/v1/x", "/v2"},
        {"a.example", "", "/a"},
        {NULL, "", "/everything"},
    };
    struct sp_config *config = parse_good("x.yaml",
        LISTENER(
            TLS ", rewrite: [{prefix: /api/}, {host: \"*.corp.example\", prefix: /v1/x, replace: /v2/},\n"
                "  {host: a.example, prefix: \"\", replace: /a}, {prefix: /, replace: /everything}]"),
        "");
    const struct sp_config_listener *l = config->listeners;

    (void)state;
    assert_int_equal(l->rewrite_count, SP_COUNTOF(wanted));
    for (size_t i = 0; i < SP_COUNTOF(wanted); i++) {
        if (wanted[i].host == NULL)
            assert_null(l->rewrites[i].host);
        else
            assert_string_equal(l->rewrites[i].host, wanted[i].host);
        assert_string_equal(l->rewrites[i].prefix, wanted[i].prefix);
        assert_string_equal(l->rewrites[i].replace, wanted[i].replace);
    }
    assert_int_equal(l->rewrites[2].at.line, 2);
    sp_config_free(config);
}

/* ---- rules, proxies, limits ---- */

static void test_upgrades_and_edits_are_as_written(void **state)
{
    static const char *const upgrades[] = {"websocket", "my-proto"}, *const removed[] = {"X-Debug"};
    struct sp_config *config = parse_good("x.yaml",
        RULE(
            "upgrade: [WebSocket, my-proto], request_headers: {set: {X-Env: prod, X-B: \"{b}\"}, add: {X-Tag: a},\n"
            "  remove: [X-Debug]}, response_headers: {remove: [Server]}"),
        "");
    const struct sp_config_rule *r = config->rules;

    (void)state;
    assert_list(&r->upgrades, 2, upgrades);
    assert_int_equal(r->request_headers->set_count, 2);
    assert_string_equal(r->request_headers->set[1].name, "X-B");
    assert_string_equal(r->request_headers->set[1].value, "{b}");
    assert_int_equal(r->request_headers->add_count, 1);
    assert_string_equal(r->request_headers->add[0].name, "X-Tag");
    assert_list(&r->request_headers->remove, 1, removed);
    assert_int_equal(r->response_headers->set_count, 0);
    assert_int_equal(r->response_headers->remove.count, 1);
    sp_config_free(config);
    config = parse_good("x.yaml", REST, "");
    assert_int_equal(config->rules[0].upgrades.count, 0);
    assert_null(config->rules[0].request_headers);
    assert_null(config->rules[0].response_headers);
    sp_config_free(config);
}

static void test_names_are_asked_of_the_servers_that_are_given(void **state)
{
    static const char *const servers[] = {"127.0.0.1:5353", "[::1]:53"};
    struct sp_config *config =
        parse_good("x.yaml", "resolver: {servers: [\"127.0.0.1:5353\", \"[::1]:53\"]}\n" REST, "");

    (void)state;
    assert_list(&config->resolver_servers, 2, servers);
    sp_config_free(config);
}

static void test_proxies_continue_what_they_say_unless_it_is_replaced(void **state)
{
    struct sp_config *config = parse_good("x.yaml",
        "trusted_proxies: [{from: [c]}, {from: [c], xfcc: forward_only, forwarded: replace}]\n" REST, "");

    (void)state;
    assert_true(config->trusted_proxies[0].keeps_forwarded);
    assert_false(config->trusted_proxies[1].keeps_forwarded);
    sp_config_free(config);
}

static void test_limits_of_requests_and_memory_have_their_bounds_inside(void **state)
{
    static const struct {
        const char *text;
        unsigned requests;
        uint64_t memory;
    } cases[] = {
        {REST, 16384, UINT64_C(1) << 30},
        {"limits: {requests: 1, memory: 1MiB}\n" REST, 1, UINT64_C(1) << 20},
        {"limits: {requests: 1000000, memory: 1024GiB}\n" REST, 1000000, UINT64_C(1) << 40},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_config *config = parse_good("x.yaml", cases[i].text, "");
        assert_int_equal(config->limits.requests, cases[i].requests);
        assert_true(config->limits.memory_bytes == cases[i].memory);
        sp_config_free(config);
    }
}

/* ---- what looks like a mistake ---- */

static void test_what_is_allowed_but_hardly_meant_is_a_warning(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {UPSTREAM("{endpoints: [{address: \"10.0.0.1:1\", weight: 0}]}"),
            "x.yaml:4:29: warning: upstreams.u.endpoints: every endpoint has weight 0: nothing can be sent to this upstream\n"},
        {UPSTREAM("{endpoints: [\"10.0.0.1:1\"], queue: {max: 5}}"),
            "x.yaml:4:51: warning: upstreams.u.queue: nobody ever waits: no endpoint has max_connections\n"},
        {UPSTREAM("{endpoints: [\"10.0.0.1:1\"], tls: {verify: false}}"),
            "x.yaml:4:58: warning: upstreams.u.tls.verify: whoever answers at the endpoint's address is believed, and is "
            "told who the clients are\n"},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        sp_config_free(parse_good("x.yaml", cases[i].text, cases[i].said));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_upstream_of_one_endpoint_has_the_defaults),
        cmocka_unit_test(test_endpoints_are_addresses_or_sections_and_inherit_what_they_do_not_say),
        cmocka_unit_test(test_balancing_is_as_written),
        cmocka_unit_test(test_what_watches_and_repeats_is_as_written),
        cmocka_unit_test(test_a_check_without_keys_connects_and_an_ejection_can_be_off),
        cmocka_unit_test(test_tls_to_endpoints_verifies_and_asks_for_revocation_only_where_lists_are_given),
        cmocka_unit_test(test_the_files_of_tls_to_endpoints_are_among_those_that_are_watched),
        cmocka_unit_test(test_a_listener_of_mode_tcp_is_as_written),
        cmocka_unit_test(test_prefixes_lose_the_slash_at_their_end),
        cmocka_unit_test(test_upgrades_and_edits_are_as_written),
        cmocka_unit_test(test_names_are_asked_of_the_servers_that_are_given),
        cmocka_unit_test(test_proxies_continue_what_they_say_unless_it_is_replaced),
        cmocka_unit_test(test_limits_of_requests_and_memory_have_their_bounds_inside),
        cmocka_unit_test(test_what_is_allowed_but_hardly_meant_is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
