/* A right configuration, field by field; defaults, paths, names that are looked up, the files that are shipped,
 * the reference. Elsewhere: what is wrong and how it is told (config_errors.c), the list of diagnostics
 * (config_diag.c). */
#include "config_fixture.h"

#include <sched.h>
#include <unistd.h>

static const char every_key[] =
    "workers: 3\n"
    "gates: 2\n"
    "drain_timeout: 5m\n"
    "admin: {address: \"[::1]:9901\"}\n"
    "log: {level: warn, format: text, output: logs/events.log, access: \"off\"}\n"
    "limits: {connections: 1000, handshakes: 50, header_bytes: 8KiB, headers: 64, target_bytes: 4KiB, body_bytes: 2GiB}\n"
    "listeners:\n"
    "  - name: internal\n"
    "    address: \"[::]:8443\"\n"
    "    mode: http\n"
    "    tls:\n"
    "      certificates: [{chain: a.pem, key: a.key}, {chain: /abs/b.pem, key: sub/b.key}]\n"
    "      min_version: 1.3\n"
    "    client_auth: {mode: optional, ca: [one.pem, /two.pem], crl: [crl/], crl_missing: accept, crl_stale: {grace: 24h}, "
    "depth: 0}\n"
    "    timeouts: {handshake: 1s, header: 2s, body: 3s, write: 4s, idle: 5s}\n"
    "  - {name: local, address: \"unix:run/x.sock\", tls: {certificates: [{chain: c, key: k}]}, client_auth: {ca: [a], crl: "
    "[r], crl_stale: accept}}\n"
    "callers:\n"
    "  billing:\n"
    "    - {uri: \"spiffe://corp/**\", dns: \"*.corp\", email: \"*@corp\"}\n"
    "    - subject: {CN: batch, 2.5.4.97: \"Soci\xC3\xA9t\xC3\xA9\"}\n"
    "    - fingerprint_sha256: AB:CD:ef0123456789abcdef0123456789abcdef0123456789abcdef0123456789\n"
    "  someone: [{any: authenticated}]\n"
    "  nobody: [{any: anonymous}]\n"
    "rules:\n"
    "  - {name: write, from: [billing, someone], host: b.internal, path: /v1/**, methods: [GET, M-SEARCH], upstream: app}\n"
    "  - {name: read, from: [nobody], upstream: other}\n"
    "upstreams:\n"
    "  app:\n"
    "    endpoints: [10.0.0.5:8080, \"unix:/run/app.sock\", app.internal:81]\n"
    "    balance: round_robin\n"
    "    identity_headers: [rfc9440, plain]\n"
    "    max_idle: 0\n"
    "    timeouts: {connect: 250ms, response: 7s, idle: 8s}\n"
    "  other: {endpoints: [\"[2001:db8::1]:80\"], identity_headers: []}\n"
    "handshake_share: 35\n";

static void assert_address(const struct sp_addr *address, const char *expected)
{
    char text[SP_ADDR_TEXT];
    assert_string_equal(sp_addr_format(address, text), expected);
}

static void assert_at(struct sp_pos at, unsigned line, unsigned column)
{
    assert_int_equal(at.line, line);
    assert_int_equal(at.column, column);
}

static void test_the_top_level_and_its_small_sections_are_as_written(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml", every_key, "");

    (void)state;
    assert_string_equal(config->file, "conf/x.yaml");
    assert_int_equal(config->workers, 3);
    assert_int_equal(config->gates, 2);
    assert_int_equal(config->handshake_share, 35);
    assert_int_equal(config->drain_ms, 300000);
    assert_true(config->has_admin);
    assert_address(&config->admin_address, "[::1]:9901");
    assert_string_equal(config->admin_address_text, "[::1]:9901");
    assert_int_equal(config->log.level, 2);
    assert_int_equal(config->log.format, 1);
    assert_string_equal(config->log.output, "conf/logs/events.log");
    assert_string_equal(config->log.access, "off");
    assert_int_equal(config->limits.connections, 1000);
    assert_int_equal(config->limits.handshakes, 50);
    assert_int_equal(config->limits.header_bytes, 8192);
    assert_int_equal(config->limits.headers, 64);
    assert_int_equal(config->limits.target_bytes, 4096);
    assert_true(config->limits.body_bytes == UINT64_C(2) << 30);
    sp_config_free(config);
}

static void test_listeners_are_as_written(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml", every_key, "");
    const struct sp_config_listener *l = config->listeners;

    (void)state;
    assert_int_equal(config->listener_count, 2);
    assert_at(l->at, 8, 5);
    assert_string_equal(l->name, "internal");
    assert_address(&l->address, "[::]:8443");
    assert_string_equal(l->address_text, "[::]:8443");
    assert_int_equal(l->certificate_count, 2);
    assert_at(l->certificates[1].at, 12, 50);
    assert_string_equal(l->certificates[0].chain, "conf/a.pem");
    assert_string_equal(l->certificates[0].key, "conf/a.key");
    assert_string_equal(l->certificates[1].chain, "/abs/b.pem");
    assert_string_equal(l->certificates[1].key, "conf/sub/b.key");
    assert_int_equal(l->min_version, SP_TLS_1_3);
    assert_at(l->client_auth.at, 14, 18);
    assert_int_equal(l->client_auth.mode, SP_AUTH_OPTIONAL);
    assert_int_equal(l->client_auth.ca.count, 2);
    assert_string_equal(l->client_auth.ca.items[0], "conf/one.pem");
    assert_string_equal(l->client_auth.ca.items[1], "/two.pem");
    assert_at(l->client_auth.ca.at[1], 14, 49);
    assert_int_equal(l->client_auth.crl.count, 1);
    assert_string_equal(l->client_auth.crl.items[0], "conf/crl/");
    assert_int_equal(l->client_auth.crl_missing, SP_CRL_MISSING_ACCEPT);
    assert_int_equal(l->client_auth.crl_stale, SP_CRL_STALE_GRACE);
    assert_int_equal(l->client_auth.crl_grace_ms, 86400000);
    assert_int_equal(l->client_auth.depth, 0);
    assert_int_equal(l->timeouts.handshake_ms, 1000);
    assert_int_equal(l->timeouts.header_ms, 2000);
    assert_int_equal(l->timeouts.body_ms, 3000);
    assert_int_equal(l->timeouts.write_ms, 4000);
    assert_int_equal(l->timeouts.idle_ms, 5000);
    assert_address(&l[1].address, "unix:conf/run/x.sock");
    assert_string_equal(l[1].address_text, "unix:conf/run/x.sock");
    assert_int_equal(l[1].client_auth.crl_stale, SP_CRL_STALE_ACCEPT);
    sp_config_free(config);
}

static void test_callers_are_as_written(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml", every_key, "");
    const struct sp_config_caller *c = config->callers;

    (void)state;
    assert_int_equal(config->caller_count, 3);
    assert_string_equal(c[0].name, "billing");
    assert_at(c[0].at, 18, 3);
    assert_int_equal(c[0].entry_count, 3);
    assert_at(c[0].entries[1].at, 20, 7);
    assert_string_equal(c[0].entries[0].uri, "spiffe://corp/**");
    assert_string_equal(c[0].entries[0].dns, "*.corp");
    assert_string_equal(c[0].entries[0].email, "*@corp");
    assert_null(c[0].entries[0].fingerprint_sha256);
    assert_int_equal(c[0].entries[0].subject_count, 0);
    assert_int_equal(c[0].entries[0].any, SP_CALLER_NOT_ANY);
    assert_null(c[0].entries[1].uri);
    assert_int_equal(c[0].entries[1].subject_count, 2);
    assert_string_equal(c[0].entries[1].subject[0].type, "CN");
    assert_string_equal(c[0].entries[1].subject[0].value, "batch");
    assert_string_equal(c[0].entries[1].subject[1].type, "2.5.4.97");
    assert_string_equal(c[0].entries[1].subject[1].value, "Soci\xC3\xA9t\xC3\xA9");
    assert_string_equal(c[0].entries[2].fingerprint_sha256,
        "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789");
    assert_int_equal(c[1].entries[0].any, SP_CALLER_ANY_AUTHENTICATED);
    assert_string_equal(c[2].name, "nobody");
    assert_int_equal(c[2].entries[0].any, SP_CALLER_ANY_ANONYMOUS);
    sp_config_free(config);
}

static void test_rules_are_as_written(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml", every_key, "");
    const struct sp_config_rule *r = config->rules;

    (void)state;
    assert_int_equal(config->rule_count, 2);
    assert_at(r[0].at, 25, 5);
    assert_string_equal(r[0].name, "write");
    assert_int_equal(r[0].from.count, 2);
    assert_string_equal(r[0].from.items[1], "someone");
    assert_at(r[0].from.at[1], 25, 35);
    assert_string_equal(r[0].host, "b.internal");
    assert_string_equal(r[0].path, "/v1/**");
    assert_int_equal(r[0].methods.count, 2);
    assert_string_equal(r[0].methods.items[0], "GET");
    assert_string_equal(r[0].methods.items[1], "M-SEARCH");
    assert_string_equal(r[0].upstream, "app");
    assert_at(r[0].upstream_at, 25, 113);
    assert_null(r[1].host);
    assert_null(r[1].path);
    assert_int_equal(r[1].methods.count, 0);
    sp_config_free(config);
}

static void test_upstreams_are_as_written_and_a_name_is_left_to_be_looked_up(void **state)
{
    struct sp_config *config = parse_good("conf/x.yaml", every_key, "");
    const struct sp_config_upstream *u = config->upstreams;

    (void)state;
    assert_int_equal(config->upstream_count, 2);
    assert_string_equal(u[0].name, "app");
    assert_at(u[0].at, 28, 3);
    assert_int_equal(u[0].endpoint_count, 3);
    assert_string_equal(u[0].endpoints[0].text, "10.0.0.5:8080");
    assert_at(u[0].endpoints[0].at, 29, 17);
    assert_address(&u[0].endpoints[0].address, "10.0.0.5:8080");
    assert_address(&u[0].endpoints[1].address, "unix:/run/app.sock");
    assert_string_equal(u[0].endpoints[2].text, "app.internal:81");
    assert_int_equal(u[0].endpoints[2].address.len, 0);
    assert_int_equal(u[0].identity_headers, SP_IDENTITY_PLAIN | SP_IDENTITY_RFC9440);
    assert_int_equal(u[0].max_idle, 0);
    assert_int_equal(u[0].connect_ms, 250);
    assert_int_equal(u[0].response_ms, 7000);
    assert_int_equal(u[0].idle_ms, 8000);
    assert_int_equal(u[1].identity_headers, 0);
    assert_address(&u[1].endpoints[0].address, "[2001:db8::1]:80");
    sp_config_free(config);
}

static void test_what_is_not_written_has_its_default(void **state)
{
    struct sp_config *config = parse_good("x.yaml", REST, "");
    const struct sp_config_listener *l = config->listeners;
    const struct sp_config_upstream *u = config->upstreams;

    (void)state;
    assert_int_equal(config->handshake_share, 20);
    assert_int_equal(config->drain_ms, 30000);
    assert_false(config->has_admin);
    assert_int_equal(config->log.level, 1);
    assert_int_equal(config->log.format, 0);
    assert_string_equal(config->log.output, "stderr");
    assert_string_equal(config->log.access, "stdout");
    assert_int_equal(config->limits.connections, 16384);
    assert_int_equal(config->limits.handshakes, 1024);
    assert_int_equal(config->limits.header_bytes, 16384);
    assert_int_equal(config->limits.headers, 100);
    assert_int_equal(config->limits.target_bytes, 8192);
    assert_true(config->limits.body_bytes == 0);
    assert_int_equal(l->min_version, SP_TLS_1_2);
    assert_int_equal(l->client_auth.mode, SP_AUTH_REQUIRED);
    assert_int_equal(l->client_auth.crl_missing, SP_CRL_MISSING_REJECT);
    assert_int_equal(l->client_auth.crl_stale, SP_CRL_STALE_REJECT);
    assert_int_equal(l->client_auth.depth, 5);
    assert_int_equal(l->timeouts.handshake_ms, 10000);
    assert_int_equal(l->timeouts.header_ms, 15000);
    assert_int_equal(l->timeouts.body_ms, 60000);
    assert_int_equal(l->timeouts.write_ms, 60000);
    assert_int_equal(l->timeouts.idle_ms, 75000);
    assert_int_equal(u->identity_headers, SP_IDENTITY_PLAIN);
    assert_int_equal(u->max_idle, 64);
    assert_int_equal(u->connect_ms, 2000);
    assert_int_equal(u->response_ms, 30000);
    assert_int_equal(u->idle_ms, 60000);
    sp_config_free(config);
}

static void test_auto_threads_are_the_usable_cpus(void **state)
{
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    struct sp_config *config = parse_good("x.yaml", "workers: auto\n" REST, "");

    (void)state;
    assert_int_equal(config->workers, CPU_COUNT(&set) < 256 ? CPU_COUNT(&set) : 256);
    assert_int_equal(config->gates, config->workers);
    sp_config_free(config);
}

static void test_the_bounds_themselves_are_inside(void **state)
{
    static const char *const cases[] = {
        "workers: 1\n",
        "workers: \"256\"\n",
        "gates: 256\n",
        "drain_timeout: 1ms\n",
        "drain_timeout: 24h\n",
        "limits: {connections: 1, headers: 8, header_bytes: 1KiB, target_bytes: 128, body_bytes: 1}\n",
        "limits: {connections: 1000000, headers: 128, header_bytes: 24KiB, target_bytes: 16KiB}\n",
        "limits: {body_bytes: unlimited}\n",
        "admin: {address: \"127.0.0.1:0\"}\n",
        "admin: {address: \"unix:/run/sallyport/admin.sock\"}\n",
        "log: {output: \"off\", access: stderr}\n",
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        char text[2048];
        (void)snprintf(text, sizeof(text), "%s%s", cases[i], REST);
        sp_config_free(parse_good("x.yaml", text, ""));
    }
}

static void test_relative_paths_are_relative_to_the_file(void **state)
{
    static const struct {
        const char *file, *ca;
    } cases[] = {
        {"x.yaml", "ca.pem"},
        {"./x.yaml", "./ca.pem"},
        {"/etc/sallyport/x.yaml", "/etc/sallyport/ca.pem"},
        {"../a/x.yaml", "../a/ca.pem"},
        {"/x.yaml", "/ca.pem"},
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_config *config = parse_good(cases[i].file, REST, "");
        assert_string_equal(config->listeners[0].client_auth.ca.items[0], cases[i].ca);
        sp_config_free(config);
    }
}

/* ---- from files ---- */

static struct sp_config *load(const char *file, const char *expected, enum sp_rc rc)
{
    struct sp_diags diags = {0};
    struct sp_config *config = NULL;
    enum sp_rc got = sp_config_load(file, &config, &diags);
    char *said = printed(&diags);

    assert_string_equal(said, expected);
    assert_int_equal(got, rc);
    free(said);
    sp_diags_free(&diags);
    return config;
}

static struct sp_config *load_text(const char *text, const char *expected, enum sp_rc rc)
{
    char file[] = "/tmp/sp-unit-config-XXXXXX", wanted[1024] = "";
    int fd = mkstemp(file);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    if (*expected != '\0')
        (void)snprintf(wanted, sizeof(wanted), "%s:%s", file, expected);
    struct sp_config *config = load(file, wanted, rc);
    assert_int_equal(unlink(file), 0);
    return config;
}

static void test_the_shipped_files_are_right(void **state)
{
    static const char *const files[] = {
        SP_SOURCE_DIR "/conf/sallyport.yaml",
        SP_SOURCE_DIR "/conf/minimal.yaml",
    };

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(files); i++)
        sp_config_free(load(files[i], "", SP_OK));
}

static void test_a_file_that_cannot_be_read_is_told_with_its_reason(void **state)
{
    (void)state;
    assert_null(load("/nonexistent/x.yaml",
        "/nonexistent/x.yaml: error: cannot read the file: No such file or directory\n", SP_FAIL));
    assert_null(load("/tmp", "/tmp: error: cannot read the file: Is a directory\n", SP_FAIL));
    assert_null(load_text("", "1:1: error: the file is empty\n", SP_FAIL));
}

static void test_a_file_that_is_too_large_is_refused(void **state)
{
    char file[] = "/tmp/sp-unit-config-XXXXXX", expected[128];
    int fd = mkstemp(file);

    (void)state;
    assert_int_equal(ftruncate(fd, (off_t)64 * 1024 * 1024 + 1), 0);
    assert_int_equal(close(fd), 0);
    (void)snprintf(expected, sizeof(expected), "%s: error: the file is larger than 64MiB\n", file);
    assert_null(load(file, expected, SP_FAIL));
    assert_int_equal(unlink(file), 0);
}

/* ---- the reference ---- */

static void test_the_reference_page_is_what_the_tables_say(void **state)
{
    struct sp_buf wanted = {0};
    char found[64 * 1024];
    FILE *page = fopen(SP_SOURCE_DIR "/docs/configuration.md", "re");

    (void)state;
    assert_non_null(page);
    size_t len = fread(found, 1, sizeof(found) - 1, page);
    assert_int_equal(fclose(page), 0);
    found[len] = '\0';
    sp_config_print_reference(&wanted);
    assert_int_equal(sp_buf_add_char(&wanted, '\0'), SP_OK);
    assert_string_equal(found, wanted.ptr); /* stale? sallyport reference config > docs/configuration.md */
    sp_buf_free(&wanted);
}

static void test_the_example_in_the_reference_is_right(void **state)
{
    static const char fence[] = "```yaml\n";
    struct sp_buf page = {0};

    (void)state;
    sp_config_print_reference(&page);
    assert_int_equal(sp_buf_add_char(&page, '\0'), SP_OK);
    char *text = strstr(page.ptr, fence);
    assert_non_null(text);
    text += strlen(fence);
    char *end = strstr(text, "```\n");
    assert_non_null(end);
    *end = '\0';
    struct sp_config *config = parse_good("x.yaml", text, "");
    assert_int_equal(config->rule_count, 2);
    sp_config_free(config);
    sp_buf_free(&page);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_top_level_and_its_small_sections_are_as_written),
        cmocka_unit_test(test_listeners_are_as_written),
        cmocka_unit_test(test_callers_are_as_written),
        cmocka_unit_test(test_rules_are_as_written),
        cmocka_unit_test(test_upstreams_are_as_written_and_a_name_is_left_to_be_looked_up),
        cmocka_unit_test(test_what_is_not_written_has_its_default),
        cmocka_unit_test(test_auto_threads_are_the_usable_cpus),
        cmocka_unit_test(test_the_bounds_themselves_are_inside),
        cmocka_unit_test(test_relative_paths_are_relative_to_the_file),
        cmocka_unit_test(test_the_shipped_files_are_right),
        cmocka_unit_test(test_a_file_that_cannot_be_read_is_told_with_its_reason),
        cmocka_unit_test(test_a_file_that_is_too_large_is_refused),
        cmocka_unit_test(test_the_reference_page_is_what_the_tables_say),
        cmocka_unit_test(test_the_example_in_the_reference_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
