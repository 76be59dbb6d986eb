/* Who may do what, as it is written: callers, rules, requirements, limits, proxies in front, what backends are told; each
 * key as it is kept. Elsewhere: mistakes in them (config_policy_errors.c); the other keys (config.c); what patterns, blocks
 * and templates mean (rooms match, policy and headers). */
#include "config_fixture.h"

#define CALLER(entry) "callers: {c: [" entry "]}\n" LISTENERS RULES UPSTREAMS
#define LONG(inner)   "callers: {c: " inner "}\n" LISTENERS RULES UPSTREAMS
#define RULE(rule)    "rules: [" rule "]\n" LISTENERS CALLERS UPSTREAMS

static void assert_at(struct sp_pos at, unsigned line, unsigned column)
{
    assert_int_equal(at.line, line);
    assert_int_equal(at.column, column);
}

static void assert_items(const struct sp_strings *list, const char *joined)
{
    char text[256] = "";

    for (size_t i = 0; i < list->count; i++) {
        assert_true(list->at[i].line != 0);
        (void)strcat(strcat(text, i > 0 ? " " : ""), list->items[i]);
    }
    assert_string_equal(text, joined);
}

/* ---- callers ---- */

static void test_every_field_of_an_entry_is_as_written(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml",
        CALLER(
            "{ip: 10.0.0.0/8, serial: \"0F:3A\", policy: 1.2.3.4, issuer: {O: Corp, organizationIdentifier: x},\n"
            "spki_sha256: \"AB:CDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789\",\n"
            "qc_type: web, psd2_roles: [PSP_AI, PSP_AS], psd2_authority: DE-BAFIN,\n"
            "subject: {CN: one, OU: [a, b]}, file: lists/allow.txt},\n"
            "{caller: d}], d: [{qc_type: eseal}"),
        "");
    const struct sp_config_caller *c = config->callers;
    const struct sp_config_caller_entry *e = c[0].entries;

    (void)state;
    assert_int_equal(config->caller_count, 2);
    assert_int_equal(c[0].entry_count, 2);
    assert_null(c[0].require);
    assert_null(c[0].limits);
    assert_string_equal(e->ip, "10.0.0.0/8");
    assert_string_equal(e->serial, "0f3a");
    assert_string_equal(e->policy, "1.2.3.4");
    assert_string_equal(e->spki_sha256, "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789");
    assert_null(e->fingerprint_sha256);
    assert_int_equal(e->qc_type, SP_QC_WEB);
    assert_int_equal(e->psd2_roles, SP_PSD2_AI | SP_PSD2_AS);
    assert_string_equal(e->psd2_authority, "DE-BAFIN");
    assert_string_equal(e->file, "conf/lists/allow.txt");
    assert_int_equal(e->issuer_count, 2);
    assert_string_equal(e->issuer[1].type, "organizationIdentifier");
    assert_int_equal(e->subject_count, 3);
    assert_string_equal(e->subject[0].value, "one");
    assert_string_equal(e->subject[1].type, "OU");
    assert_string_equal(e->subject[1].value, "a");
    assert_string_equal(e->subject[2].type, "OU");
    assert_string_equal(e->subject[2].value, "b");
    assert_null(e->caller);
    assert_string_equal(e[1].caller, "d");
    assert_at(e[1].caller_at, 5, 10);
    assert_int_equal(c[1].entries[0].qc_type, SP_QC_ESEAL);
    sp_config_free(config);
}

static void test_a_serial_number_is_kept_as_identities_have_it(void **state)
{
    static const struct {
        const char *written, *kept; /* NULL: it is none */
    } cases[] = {
        {"0F:3A", "0f3a"},
        {"f3a", "0f3a"},
        {"00:00:0F:3A", "0f3a"},
        {"000f3a", "0f3a"},
        {"0", "00"},
        {"00:00", "00"},
        {"7", "07"},
        {"a0", "a0"},
        {"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "ffffffffffffffffffffffffffffffffffffffff"},
        {"00FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "ffffffffffffffffffffffffffffffffffffffff"},
        {"1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", NULL},
        {"0F:3", NULL},
        {"F:3A", NULL},
        {"0F3:A", NULL},
        {"0F:3A:", NULL},
        {":0F", NULL},
        {"0x0f", NULL},
        {"-01", NULL},
        {"0f 3a", NULL},
        {"", NULL},
        {":", NULL},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char text[1024], said[256];
        (void)snprintf(text, sizeof(text), "callers: {c: [{issuer: {CN: x}, serial: \"%s\"}]}\n%s",
            cases[i].written, LISTENERS RULES UPSTREAMS);
        if (cases[i].kept == NULL) {
            (void)snprintf(said, sizeof(said),
                "x.yaml:1:41: error: callers.c[0].serial: expected a serial number in hex, with or without colons, found \"%s\"\n",
                cases[i].written);
            parse_bad(text, said);
            continue;
        }
        struct sp_config *config = parse_good("x.yaml", text, "");
        assert_string_equal(config->callers[0].entries[0].serial, cases[i].kept);
        sp_config_free(config);
    }
}

static void test_a_caller_in_full_has_requirements_and_limits(void **state)
{
    struct sp_config *config = parse_good("x.yaml",
        LONG(
            "{match: [{uri: u}, {dns: d}],\n"
            "require: {max_validity: 90d, key_types: [ec, ed25519], min_ec_bits: 256, signature_algorithms: [ecdsa-with-SHA256, 1.2.840.10045.4.3.3],\n"
            "eku: [clientAuth, 1.3.6.1.4.1.311.20.2.2], policies: [1.3.6.1.4.1.99999.1], client_eku: required,\n"
            "names: {uri: {presence: must, patterns: [\"spiffe://a/**\", \"spiffe://b/**\"]}, dns: {presence: must_not}}},\n"
            "limits: {rate: 100/s, concurrent_requests: 20, connections: 50, per: subject.OU}}"),
        "");
    const struct sp_config_caller *c = config->callers;
    const struct sp_config_requirements *r = c->require;

    (void)state;
    assert_int_equal(c->entry_count, 2);
    assert_non_null(r);
    assert_at(r->at, 2, 10);
    assert_true(r->max_validity_ms == UINT64_C(90) * 24 * 60 * 60 * 1000);
    assert_items(&r->key_types, "ec ed25519");
    assert_int_equal(r->min_ec_bits, 256);
    assert_int_equal(r->min_rsa_bits, 0);
    assert_items(&r->signature_algorithms, "ecdsa-with-SHA256 1.2.840.10045.4.3.3");
    assert_items(&r->eku, "clientAuth 1.3.6.1.4.1.311.20.2.2");
    assert_items(&r->policies, "1.3.6.1.4.1.99999.1");
    assert_true(r->client_eku_required);
    assert_int_equal(r->names[SP_NAME_URI].presence, SP_PRESENCE_MUST);
    assert_items(&r->names[SP_NAME_URI].patterns, "spiffe://a/** spiffe://b/**");
    assert_int_equal(r->names[SP_NAME_DNS].presence, SP_PRESENCE_MUST_NOT);
    assert_int_equal(r->names[SP_NAME_EMAIL].presence, SP_PRESENCE_MAY);
    assert_non_null(c->limits);
    assert_at(c->limits->at, 5, 9);
    assert_int_equal(c->limits->rate.requests, 100);
    assert_true(c->limits->rate.period_ms == 1000);
    assert_int_equal(c->limits->burst, 100);
    assert_int_equal(c->limits->concurrent_requests, 20);
    assert_int_equal(c->limits->connections, 50);
    assert_string_equal(c->limits->per, "subject.OU");
    sp_config_free(config);
}

static void test_a_listener_and_its_hosts_have_requirements_too(void **state)
{
    struct sp_config *config = parse_good("x.yaml",
        "listeners: [{name: l, address: \"[::]:1\", tls: {certificates: [{chain: c, key: k}], hosts: [{names: [a.b]},\n"
        "{names: [c.d], client_auth: {ca: [a], crl: [r], require: {min_rsa_bits: 4096}}}]},\n"
        "client_auth: {ca: [a], crl: [r], require: {max_validity: 1d}}}]\n" CALLERS RULES UPSTREAMS,
        "");
    const struct sp_config_host *hosts = config->listeners[0].hosts;

    (void)state;
    assert_true(hosts[0].client_auth.require->max_validity_ms == 24 * 60 * 60 * 1000);
    assert_false(hosts[0].client_auth.require->client_eku_required);
    assert_ptr_equal(hosts[1].client_auth.require, hosts[0].client_auth.require);
    assert_int_equal(hosts[2].client_auth.require->min_rsa_bits, 4096);
    assert_true(hosts[2].client_auth.require->max_validity_ms == 0);
    sp_config_free(config);
}

static void test_a_rate_is_so_many_in_a_time_and_its_burst_those_of_a_second(void **state)
{
    static const struct {
        const char *limits;
        unsigned requests, burst;
        uint64_t period_ms;
    } cases[] = {
        {"rate: 100/s", 100, 100, 1000},
        {"rate: 1/s", 1, 1, 1000},
        {"rate: 30/m", 30, 1, 60000},
        {"rate: 300/m", 300, 5, 60000},
        {"rate: 1000000/h", 1000000, 277, 3600000},
        {"rate: 1/h", 1, 1, 3600000},
        {"rate: 30/m, burst: 7", 30, 7, 60000},
        {"concurrent_requests: 1", 0, 0, 0},
        {"connections: 1", 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char text[1024];
        (void)snprintf(text, sizeof(text), "callers: {c: {match: [{uri: u}], limits: {%s}}}\n%s",
            cases[i].limits, LISTENERS RULES UPSTREAMS);
        struct sp_config *config = parse_good("x.yaml", text, "");
        const struct sp_config_caller_limits *l = config->callers[0].limits;
        assert_int_equal(l->rate.requests, cases[i].requests);
        assert_true(l->rate.period_ms == cases[i].period_ms);
        assert_int_equal(l->burst, cases[i].burst);
        assert_string_equal(l->per, "identity");
        sp_config_free(config);
    }
}

/* ---- rules, proxies, upstreams, the rest ---- */

static void test_every_field_of_a_rule_is_as_written(void **state)
{
    struct sp_config *config = parse_good("x.yaml",
        "rules: [{name: shut, deny: 404},\n"
        "{name: all, from: [c], not_from: [i], listener: l, host: a.b, path: /x/**, source: 10.0.0.0/8, mode: report, upstream: u,\n"
        "headers: [{name: X-Tenant, equals: \"a b\"}, {name: X-Debug}, {name: X-Empty, equals: \"\"}]},\n"
        "{name: lists, from: [c], listener: [l], source: [10.0.0.0/8, \"2001:db8::1\"], upstream: u}]\n"
        "callers: {c: [{uri: u}], i: [{uri: i}]}\n" LISTENERS UPSTREAMS,
        "");
    const struct sp_config_rule *r = config->rules;

    (void)state;
    assert_int_equal(r[0].from.count, 0);
    assert_null(r[0].upstream);
    assert_int_equal(r[0].deny_status, 404);
    assert_int_equal(r[0].mode, SP_RULE_ENFORCE);
    assert_items(&r[1].from, "c");
    assert_items(&r[1].not_from, "i");
    assert_items(&r[1].listeners, "l");
    assert_string_equal(r[1].host, "a.b");
    assert_at(r[1].host_at, 2, 58);
    assert_string_equal(r[1].path, "/x/**");
    assert_at(r[1].path_at, 2, 69);
    assert_items(&r[1].sources, "10.0.0.0/8");
    assert_int_equal(r[1].mode, SP_RULE_REPORT);
    assert_int_equal(r[1].deny_status, 0);
    assert_int_equal(r[1].header_count, 3);
    assert_string_equal(r[1].headers[0].name, "X-Tenant");
    assert_string_equal(r[1].headers[0].equals, "a b");
    assert_at(r[1].headers[1].at, 3, 44);
    assert_null(r[1].headers[1].equals);
    assert_string_equal(r[1].headers[2].equals, "");
    assert_items(&r[2].listeners, "l");
    assert_items(&r[2].sources, "10.0.0.0/8 2001:db8::1");
    sp_config_free(config);
}

static void test_a_rule_that_does_not_say_has_the_mode_of_the_file(void **state)
{
    struct sp_config *config = parse_good("x.yaml",
        RULE(
            "{name: a, from: [c], upstream: u}, {name: b, from: [c], upstream: u, mode: enforce}") "rule_mode: report\n",
        "");

    (void)state;
    assert_int_equal(config->rule_mode, SP_RULE_REPORT);
    assert_int_equal(config->rules[0].mode, SP_RULE_REPORT);
    assert_int_equal(config->rules[1].mode, SP_RULE_ENFORCE);
    sp_config_free(config);
}

static void test_what_backends_are_told_is_as_written(void **state)
{
    struct sp_config *config = parse_good("x.yaml",
        "trusted_proxies: [{from: [c], source: 10.0.0.0/8, identity_headers: [rfc9440, alb]}, {from: [c], xfcc: append_forward}]\n"
        "upstreams: {u: {endpoints: [\"10.0.0.1:1\"], identity_headers: [xfcc, nginx, traefik, alb], xfcc_details: [cert, chain],\n"
        "headers: {X-Team: \"team {subject.OU}\", x-who: \"{caller}\"}}}\n" LISTENERS CALLERS RULES,
        "");
    const struct sp_config_trusted_proxy *p = config->trusted_proxies;
    const struct sp_config_upstream *u = config->upstreams;

    (void)state;
    assert_int_equal(config->trusted_proxy_count, 2);
    assert_at(p[0].at, 1, 19);
    assert_items(&p[0].from, "c");
    assert_items(&p[0].sources, "10.0.0.0/8");
    assert_int_equal(p[0].identity_headers, SP_IDENTITY_RFC9440 | SP_IDENTITY_ALB);
    assert_int_equal(p[0].xfcc, SP_XFCC_SANITIZE_SET);
    assert_int_equal(p[1].identity_headers, 0);
    assert_int_equal(p[1].xfcc, SP_XFCC_APPEND_FORWARD);
    assert_int_equal(
        u->identity_headers, SP_IDENTITY_XFCC | SP_IDENTITY_NGINX | SP_IDENTITY_TRAEFIK | SP_IDENTITY_ALB);
    assert_int_equal(u->xfcc_details, SP_XFCC_CERT | SP_XFCC_CHAIN);
    assert_int_equal(u->header_count, 2);
    assert_string_equal(u->headers[0].name, "X-Team");
    assert_string_equal(u->headers[0].value, "team {subject.OU}");
    assert_at(u->headers[1].at, 3, 40);
    sp_config_free(config);
}

static void test_audit_and_the_limits_before_anybody_is_known_are_as_written(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml",
        "audit: {output: audit.log, allowed: true}\nlimits: {handshake_failures: 30/m, tracked_callers: 64, sessions: 0}\n" REST,
        "");

    (void)state;
    assert_string_equal(config->audit.output, "conf/audit.log");
    assert_true(config->audit.allowed);
    assert_int_equal(config->limits.handshake_failures.requests, 30);
    assert_true(config->limits.handshake_failures.period_ms == 60000);
    assert_int_equal(config->limits.tracked_callers, 64);
    assert_int_equal(config->limits.sessions, 0);
    sp_config_free(config);
    config = parse_good("conf/x.yaml", "audit: {output: journald}\n" REST, "");
    assert_string_equal(config->audit.output, "journald");
    assert_false(config->audit.allowed);
    assert_int_equal(config->limits.handshake_failures.requests, 0);
    assert_int_equal(config->limits.tracked_callers, 65536);
    assert_int_equal(config->limits.sessions, 20000);
    sp_config_free(config);
    sp_config_free(parse_good("x.yaml", "limits: {handshake_failures: \"off\"}\n" REST, ""));
    config = parse_good("x.yaml", REST, "");
    assert_string_equal(config->audit.output, "off");
    sp_config_free(config);
}

static void note_list(void *arg, const char *path)
{
    *(unsigned *)arg += strcmp(path, "conf/allow.txt") == 0;
}

static void test_a_list_of_identities_is_among_the_files(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml", LONG("{match: [{uri: u}, {file: allow.txt}]}"), "");
    unsigned found = 0;

    (void)state;
    sp_config_each_file(config, note_list, &found);
    assert_int_equal(found, 1);
    sp_config_free(config);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_of_an_entry_is_as_written),
        cmocka_unit_test(test_a_serial_number_is_kept_as_identities_have_it),
        cmocka_unit_test(test_a_caller_in_full_has_requirements_and_limits),
        cmocka_unit_test(test_a_listener_and_its_hosts_have_requirements_too),
        cmocka_unit_test(test_a_rate_is_so_many_in_a_time_and_its_burst_those_of_a_second),
        cmocka_unit_test(test_every_field_of_a_rule_is_as_written),
        cmocka_unit_test(test_a_rule_that_does_not_say_has_the_mode_of_the_file),
        cmocka_unit_test(test_what_backends_are_told_is_as_written),
        cmocka_unit_test(test_audit_and_the_limits_before_anybody_is_known_are_as_written),
        cmocka_unit_test(test_a_list_of_identities_is_among_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
