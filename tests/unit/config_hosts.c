/* Virtual hosts, what is fetched, and the rest of what a client's proof is configured by: what is derived from what is
 * written, what is wrong with it, and which host has a name. Elsewhere: the other keys (config.c, config_errors.c). */
#include "config_fixture.h"

#define HOSTS(tls_rest, rest)                                                                                        \
    "listeners: [{name: l, address: \"127.0.0.1:8443\", tls: {certificates: [{chain: c.pem, key: k.pem}], " tls_rest \
    "}, " AUTH "}]\n" rest CALLERS RULES UPSTREAMS
#define CLIENT(auth, rest)                                                                                   \
    "listeners: [{name: l, address: \"127.0.0.1:8443\", " TLS ", client_auth: {ca: [ca.pem], " auth          \
    "}}]\n" rest CALLERS RULES UPSTREAMS

static void test_hosts_come_after_the_listener_itself_and_inherit_what_they_do_not_say(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml",
        HOSTS(
            "hosts: [{names: [A.Example., \"*.b.example\"]}, {names: [c.example], certificates: [{chain: h.pem, key: "
            "h.key}], client_auth: {mode: optional, ca: [h-ca.pem], crl_missing: accept}}]",
            ""),
        "conf/x.yaml:1:224: warning: listeners[0].tls.hosts[1].client_auth: \"mode: optional\" lets clients without a certificate in, "
        "but no caller has \"any: anonymous\", so no rule can allow them anything\n");
    const struct sp_config_listener *l = &config->listeners[0];

    (void)state;
    assert_int_equal(l->host_count, 3);
    assert_int_equal(l->hosts[0].names.count, 0);
    assert_ptr_equal(l->hosts[0].certificates, l->certificates);
    assert_true(l->hosts[1].inherits);
    assert_string_equal(l->hosts[1].names.items[0], "a.example");
    assert_string_equal(l->hosts[1].names.items[1], "*.b.example");
    assert_ptr_equal(l->hosts[1].certificates, l->certificates);
    assert_string_equal(l->hosts[1].client_auth.ca.items[0], "conf/ca.pem");
    assert_int_equal(l->hosts[1].client_auth.mode, SP_AUTH_REQUIRED);
    assert_false(l->hosts[2].inherits);
    assert_string_equal(l->hosts[2].certificates[0].chain, "conf/h.pem");
    assert_string_equal(l->hosts[2].client_auth.ca.items[0], "conf/h-ca.pem");
    assert_int_equal(l->hosts[2].client_auth.mode, SP_AUTH_OPTIONAL);
    sp_config_free(config);
}

static void test_a_name_belongs_to_the_host_that_has_it_then_to_the_wildcard_then_to_none(void **state)
{
    static const struct {
        const char *name;
        size_t host;
    } cases[] = {
        {"", 0}, {"a.example", 1}, {"x.b.example", 1},
        {"y.b.example", 2}, /* named outright by a later host */
        {"b.example", 0}, {"x.y.b.example", 0}, {".b.example", 0}, {"xb.example", 0},
        {"a.example.", 0},  /* not canonical */
        {"*.b.example", 1}, /* one label like any other: no client can ask for it, see the SNI's own check */
    };
    struct sp_config *config = parse_good(
        "x.yaml", HOSTS("hosts: [{names: [a.example, \"*.b.example\"]}, {names: [y.b.example]}]", ""), "");

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        size_t host = sp_config_host_of(&config->listeners[0], sp_slice_of(cases[i].name));
        if (host != cases[i].host)
            fail_msg("%s: host %zu", cases[i].name, host);
    }
    sp_config_free(config);
}

static void test_a_wildcard_stands_for_one_label(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"*.a.test", "x.a.test", true},
        {"*.a.test", "a.test", false},
        {"*.a.test", "y.x.a.test", false},
        {"*.a.test", ".a.test", false},
        {"a.test", "a.test", true},
        {"a*.test", "ab.test", false},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        assert_int_equal(sp_config_host_matches(sp_slice_of(cases[i].pattern), sp_slice_of(cases[i].name)),
            cases[i].matches);
}

static void test_a_url_among_the_crls_leaves_the_file_that_it_is_kept_in(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml",
        CLIENT("crl: [crl/, \"https://pki.example/a/root.crl?x=1\", \"http://pki.example/\"]",
            "fetch: {folder: state, ca: web.pem}\n"),
        "");
    const struct sp_config_client_auth *auth = &config->listeners[0].hosts[0].client_auth;

    (void)state;
    assert_int_equal(auth->crl.count, 3);
    assert_null(auth->crl_urls[0]);
    assert_string_equal(auth->crl.items[0], "conf/crl/");
    assert_string_equal(auth->crl_urls[1], "https://pki.example/a/root.crl?x=1");
    assert_non_null(
        strstr(auth->crl.items[1], "conf/state/root.crl-")); /* nothing of the query, which may be secret */
    assert_string_equal(auth->crl.items[1] + strlen(auth->crl.items[1]) - 4, ".crl");
    assert_string_not_equal(auth->crl.items[1], auth->crl.items[2]);
    assert_string_equal(config->fetch.ca, "conf/web.pem");
    assert_int_equal(config->fetch.interval_ms, 3600000);
    assert_int_equal(config->fetch.timeout_ms, 30000);
    assert_int_equal(config->fetch.max_bytes, 64 << 20);
    sp_config_free(config);
}

static void test_a_staple_that_is_fetched_is_kept_beside_the_rest(void **state)
{
    struct sp_config *config = parse_good("x.yaml",
        "fetch: {folder: /var/lib/s/}\n"
        "listeners: [{name: l, address: \"127.0.0.1:8443\", tls: {certificates: [{chain: c.pem, key: k.pem, staple_url: "
        "auto}, {chain: d.pem, key: k.pem, staple_file: d.ocsp}]}, " AUTH "}]\n" CALLERS RULES UPSTREAMS,
        "");
    const struct sp_config_certificate *c = config->listeners[0].hosts[0].certificates;

    (void)state;
    assert_string_equal(c[0].staple_url, "auto");
    assert_int_equal(strncmp(c[0].staple_file, "/var/lib/s/c.pem-", 17), 0);
    assert_null(c[1].staple_url);
    assert_string_equal(c[1].staple_file, "d.ocsp");
    sp_config_free(config);
}

static void test_what_proves_a_client_has_these_defaults_and_settings(void **state)
{
    struct sp_config *config = parse_good("x.yaml", REST, "");
    const struct sp_config_listener *l = &config->listeners[0];

    (void)state;
    assert_int_equal(l->tickets.count, 1);
    assert_int_equal(l->tickets.lifetime_ms, 3600000);
    assert_null(l->tickets.keys);
    assert_false(l->reject_unknown_sni);
    assert_false(l->client_auth.trust_intermediates);
    assert_int_equal(l->client_auth.max_session_age_ms, 0);
    assert_null(l->client_auth.ocsp_url);
    assert_false(config->revocation_lets_finish);
    assert_int_equal(config->revocation_max_kill_percent, 0);
    assert_int_equal(config->certificate_warn_before_ms, UINT64_C(14) * 24 * 3600 * 1000);
    assert_int_equal(config->limits.handshakes_per_address, 256);
    sp_config_free(config);
    config = parse_good("x.yaml",
        CLIENT(
            "crl: [r], trust_intermediates: true, intermediates: [i.pem], crl_warn_before: 6h, max_session_age: 8h, "
            "ocsp_url: \"http://127.0.0.1:81/\", ocsp_unreachable: accept, ocsp_timeout: 250ms",
            "revocation_in_flight: finish\nrevocation_max_kill_percent: 25\ncertificate_warn_before: 30d\n"
            "limits: {handshakes_per_address: 9}\n"),
        "");
    const struct sp_config_client_auth *auth = &config->listeners[0].client_auth;
    assert_true(auth->trust_intermediates);
    assert_string_equal(auth->intermediates.items[0], "i.pem");
    assert_int_equal(auth->crl_warn_before_ms, 6 * 3600000);
    assert_int_equal(auth->max_session_age_ms, 8 * 3600000);
    assert_string_equal(auth->ocsp_url, "http://127.0.0.1:81/");
    assert_true(auth->ocsp_unreachable_accept);
    assert_int_equal(auth->ocsp_timeout_ms, 250);
    assert_true(config->revocation_lets_finish);
    assert_int_equal(config->revocation_max_kill_percent, 25);
    assert_int_equal(config->limits.handshakes_per_address, 9);
    sp_config_free(config);
}

static void test_what_is_wrong_with_hosts_and_urls_is_told_in_its_place(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {HOSTS("hosts: [{names: [a.example]}, {names: [b.example, A.EXAMPLE]}]", ""),
            "x.yaml:1:150: error: listeners[0].tls.hosts[1].names[1]: the name a.example is given twice; first on line 1\n"},
        {HOSTS("hosts: [{names: []}]", ""),
            "x.yaml:1:116: error: listeners[0].tls.hosts[0].names: expected at least 1 entry, found 0\n"},
        {HOSTS("hosts: [{names: [\"a b\"]}]", ""),
            "x.yaml:1:117: error: listeners[0].tls.hosts[0].names[0]: expected a host name such as api.example.com or "
            "*.example.com, found \"a b\"\n"},
        {HOSTS("hosts: [{names: [\"*.*.example\"]}]", ""),
            "x.yaml:1:117: error: listeners[0].tls.hosts[0].names[0]: expected a host name such as api.example.com or "
            "*.example.com, found \"*.*.example\"\n"},
        {CLIENT("crl: [\"http://pki.example/x.crl\"]", ""),
            "x.yaml:1:135: error: listeners[0].client_auth.crl[0]: what is fetched from a URL must be kept somewhere; give "
            "fetch.folder\n"},
        {CLIENT("crl: [\"ftp://pki.example/x.crl\"]", ""),
            "x.yaml:1:135: error: listeners[0].client_auth.crl[0]: expected a path or an http:// or https:// URL, found "
            "\"ftp://pki.example/x.crl\"\n"},
        {CLIENT("crl: [\"http://user@pki.example/x.crl\"]", "fetch: {folder: f}\n"),
            "x.yaml:1:135: error: listeners[0].client_auth.crl[0]: expected a path or an http:// or https:// URL, found "
            "\"http://user@pki.example/x.crl\"\n"},
        {CLIENT("crl: [r], ocsp_url: auto", ""),
            "x.yaml:1:149: error: listeners[0].client_auth.ocsp_url: expected an http:// or https:// URL, found \"auto\"\n"},
        {"revocation_max_kill_percent: 100\n" REST,
            "x.yaml:1:30: error: revocation_max_kill_percent: 100 is out of bounds (1 to 99)\n"},
        {CLIENT("crl: [r], trust_intermediates: yes", ""),
            "x.yaml:1:160: error: listeners[0].client_auth.trust_intermediates: expected false or true, found \"yes\"\n"},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++)
        parse_bad(cases[i].text, cases[i].says);
}

static void count_file(void *arg, const char *path)
{
    strcat(strcat(arg, path), " ");
}

static void test_every_file_that_is_named_is_told_of_once(void **state)
{
    char all[1024] = "";
    struct sp_config *config = parse_good("x.yaml",
        "fetch: {folder: f}\n"
        "listeners: [{name: l, address: \"127.0.0.1:8443\", tls: {certificates: [{chain: c, key: k, staple_file: s}], "
        "tickets: {keys: t}, hosts: [{names: [h], certificates: [{chain: hc, key: hk}], client_auth: {ca: [ha], crl: "
        "[hr]}}, {names: [heir]}]}, client_auth: {ca: [a], intermediates: [i], crl: [r]}}]\n" CALLERS RULES
            UPSTREAMS,
        "");

    (void)state;
    sp_config_each_file(config, count_file, all);
    assert_string_equal(all, "t c k s a i r hc hk ha hr ");
    struct sp_config *again = sp_config_ref(config);
    sp_config_free(config);
    assert_int_equal(again->listener_count, 1);
    sp_config_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts_come_after_the_listener_itself_and_inherit_what_they_do_not_say),
        cmocka_unit_test(test_a_name_belongs_to_the_host_that_has_it_then_to_the_wildcard_then_to_none),
        cmocka_unit_test(test_a_wildcard_stands_for_one_label),
        cmocka_unit_test(test_a_url_among_the_crls_leaves_the_file_that_it_is_kept_in),
        cmocka_unit_test(test_a_staple_that_is_fetched_is_kept_beside_the_rest),
        cmocka_unit_test(test_what_proves_a_client_has_these_defaults_and_settings),
        cmocka_unit_test(test_what_is_wrong_with_hosts_and_urls_is_told_in_its_place),
        cmocka_unit_test(test_every_file_that_is_named_is_told_of_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
