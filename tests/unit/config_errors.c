/* What is wrong is told in exactly these words, with its place, all of it at once: one row a mistake.
 * Elsewhere: what is right (config.c), the list of diagnostics itself (config_diag.c). */
#include "config_fixture.h"

struct mistake {
    const char *text, *expected;
};

static void check_all(const struct mistake *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        parse_bad(cases[i].text, cases[i].expected);
}

#define CHECK_ALL(cases) check_all(cases, SP_COUNTOF(cases))
#define AT(place)        "x.yaml:" place ": error: "

/* One listener, one caller, one rule, one upstream around the piece that is wrong. */
#define LISTENER(rest)                                                                                       \
    "listeners: [{name: l, address: \"127.0.0.1:8443\", " rest "}]\n" CALLERS RULES UPSTREAMS
#define CLIENT_AUTH(a)                                                                                       \
    "listeners: [{name: l, address: \"127.0.0.1:8443\", " TLS ",\n" a "}]\n" CALLERS RULES UPSTREAMS
#define CALLER(entry)   "callers: {c: [" entry "]}\n" LISTENERS RULES UPSTREAMS
#define RULE(rule)      "rules: [" rule "]\n" LISTENERS CALLERS UPSTREAMS
#define UPSTREAM(inner) "upstreams: {u: " inner "}\n" LISTENERS CALLERS RULES

static void test_what_is_not_yaml_is_told_in_the_words_of_the_parser(void **state)
{
    static const struct mistake cases[] = {
        {"", AT("1:1") "the file is empty\n"},
        {"# nothing\n", AT("1:1") "the file is empty\n"},
        {"a: [1, 2\nb: 3\n",
            AT("2:2") "not YAML: did not find expected ',' or ']', while parsing a flow sequence\n"},
        {"a: b: c\n", AT("1:5") "not YAML: mapping values are not allowed in this context\n"},
        {"\tworkers: 1\n",
            AT("1:1") "not YAML: found character that cannot start any token, while scanning for the next token\n"},
        {"workers: 1\nlog: \xC3(\n", AT("2:7") "not YAML: invalid trailing UTF-8 octet\n"},
        {"log: \"x\n",
            AT("2:1") "not YAML: found unexpected end of stream, while scanning a quoted scalar\n"},
        {"word\n", AT("1:1") "expected a mapping of keys, found \"word\"\n"},
        {"[a, b]\n", AT("1:1") "expected a mapping of keys, found a list\n"},
        {"--- {}\n--- {}\n", AT("2:1") "more than one document in the file\n"},
        {"[a]: b\n", AT("1:1") "a key must be a word, not a list\n"},
        {"{a: b}: b\n", AT("1:1") "a key must be a word, not a mapping\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_what_yaml_has_beyond_need_is_refused_with_its_place(void **state)
{
    static const struct mistake cases[] = {
        {"workers: &w 4\n" REST,
            AT("1:10") "anchors and aliases are not supported: &w; write the value out\n"},
        {"workers: *w\n" REST, AT("1:10") "anchors and aliases are not supported: *w; write the value out\n"},
        {"limits: &l {headers: 0}\n" REST,
            AT("1:9") "anchors and aliases are not supported: &l; write the value out\n" AT(
                "1:22") "limits.headers: 0 is out of bounds (8 to 128)\n"},
        {"workers: !!int 4\n" REST, AT("1:10") "tags are not supported: tag:yaml.org,2002:int\n"},
        {"limits: !x {}\n" REST, AT("1:9") "tags are not supported: !x\n"},
        {"log: {output: \"a\\0b\"}\n" REST,
            AT("1:15") "a control character (0x00) is not allowed in a value\n"},
        {"log: {output: \"a\\nb\"}\n" REST,
            AT("1:15") "a control character (0x0A) is not allowed in a value\n"},
        {"\"a\\x7f\": 1\n" REST, AT("1:1") "a control character (0x7F) is not allowed in a value\n"},
        {"workers: 1\ngates: 2\nworkers: 3\n" REST,
            AT("3:1") "\"workers\" is given twice; first on line 1\n"},
        {CALLER("{uri: a, uri: b}"), AT("1:24") "\"uri\" is given twice; first on line 1\n"},
        {"x: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
            AT("1:35") "nested deeper than 32 levels\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_an_unknown_key_is_told_with_the_nearest_known_one(void **state)
{
    static const struct mistake cases[] = {
        {"wrokers: 4\n" REST, AT("1:1") "wrokers: unknown key; did you mean \"workers\"?\n"},
        {"LOG: {}\n" REST, AT("1:1") "LOG: unknown key; did you mean \"log\"?\n"},
        {"log: {colour: red}\n" REST,
            AT("1:7") "log.colour: unknown key; known here: level, format, output, access\n"},
        {"\"\": 1\n" REST,
            AT("1:1") "\"\": unknown key; known here: workers, gates, handshake_share, drain_timeout, revocation_in_flight, revocation_max_kill_percent, certificate_warn_before, fetch, resolver, admin, log, audit, limits, "
                      "listeners, callers, rule_mode, rules, trusted_proxies, upstreams\n"},
        {CLIENT_AUTH("client_auth: {ca: [a], crl: [r], crl_mising: accept}"),
            AT("2:34") "listeners[0].client_auth.crl_mising: unknown key; did you mean \"crl_missing\"?\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k, pem: p}]}, " AUTH),
            AT("1:90") "listeners[0].tls.certificates[0].pem: unknown key; known here: chain, key, staple_file, staple_url\n"},
        {CLIENT_AUTH("client_auth: {ca: [a], crl: [r], crl_stale: {grace: 1h, gracee: 2h}}"),
            AT("2:57") "listeners[0].client_auth.crl_stale.gracee: unknown key; did you mean \"grace\"?\n"},
        {CALLER("{uri: u}, {urn: x}"), AT("1:26") "callers.c[1].urn: unknown key; did you mean \"uri\"?\n"},
        {UPSTREAM("{endpoints: [\"10.0.0.1:1\"], timeouts: {conect: 1s}}"),
            AT("1:55") "upstreams.u.timeouts.conect: unknown key; did you mean \"connect\"?\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_a_missing_key_is_told_with_what_is_wanted(void **state)
{
    static const struct mistake cases[] = {
        {"{}\n",
            AT("1:1") "listeners: required key is missing; expected a list of mappings\n" AT("1:1") "callers: required key is missing; expected a mapping of names\n" AT(
                "1:1") "rules: required key is missing; expected a list of mappings\n" AT("1:1") "upstreams: required key is missing; expected a mapping of names\n"},
        {"admin: {}\n" REST, AT("1:8") "admin.address: required key is missing; expected an address such as "
                                       "192.0.2.1:443, [::]:443 or unix:/path\n"},
        {LISTENER(TLS), AT("1:13") "listeners[0].client_auth: required key is missing; expected a mapping\n"},
        {LISTENER("tls: {}, " AUTH),
            AT("1:55") "listeners[0].tls.certificates: required key is missing; expected a list of mappings\n"},
        {CLIENT_AUTH("client_auth: {crl: [r], crl_stale: {}}"),
            AT("2:14") "listeners[0].client_auth.ca: required key is missing; expected a list of paths\n" AT(
                "2:36") "listeners[0].client_auth.crl_stale.grace: required key is missing; expected a duration such "
                        "as 30s\n"},
        {RULE("{name: r}"),
            AT("1:9") "rules[0].from: required key is missing; expected a list of names (only a rule with deny may be for everybody)\n" AT(
                "1:9") "rules[0].upstream: required key is missing; expected a name, or deny with a status\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_a_value_of_the_wrong_kind_is_told_with_both_kinds(void **state)
{
    static const struct mistake cases[] = {
        {"workers: [4]\n" REST, AT("1:10") "workers: expected auto or a whole number, found a list\n"},
        {"workers:\n" REST, AT("1:9") "workers: expected auto or a whole number, found nothing\n"},
        {"workers: \"\"\n" REST, AT("1:10") "workers: expected auto or a whole number, found \"\"\n"},
        {"log: info\n" REST, AT("1:6") "log: expected a mapping, found \"info\"\n"},
        {"limits: []\n" REST, AT("1:9") "limits: expected a mapping, found a list\n"},
        {"rules: {r: {}}\n" LISTENERS CALLERS UPSTREAMS,
            AT("1:8") "rules: expected a list of mappings, found a mapping\n"},
        {"rules: []\n" LISTENERS CALLERS UPSTREAMS, AT("1:8") "rules: expected at least 1 entry, found 0\n"},
        {RULE("r"), AT("1:9") "rules[0]: expected a mapping, found \"r\"\n"},
        {"callers: {}\n" LISTENERS RULES UPSTREAMS,
            AT("1:10") "callers: expected at least 1 entry, found 0\n"},
        {"callers: {c: {uri: u}}\n" LISTENERS RULES UPSTREAMS,
            AT("1:14") "callers.c.match: required key is missing; expected a list of mappings\n" AT(
                "1:15") "callers.c.uri: unknown key; known here: match, require, limits\n"},
        {"callers: {c: }\n" LISTENERS RULES UPSTREAMS,
            AT("1:14") "callers.c: expected a list of mappings, or a mapping with match, found nothing\n"},
        {CALLER(""), AT("1:14") "callers.c: expected at least 1 entry, found 0\n"},
        {CALLER("{subject: CN}"),
            AT("1:25") "callers.c[0].subject: expected a mapping of attributes such as {CN: name}, found \"CN\"\n"},
        {CALLER("{subject: {}}"), AT("1:25") "callers.c[0].subject: expected at least 1 entry, found 0\n"},
        {CALLER("{subject: {CN: {a: b}}}"),
            AT("1:30") "callers.c[0].subject.CN: expected the attribute's value, found a mapping\n"},
        {RULE("{name: r, from: c, upstream: u}"),
            AT("1:25") "rules[0].from: expected a list of names, found \"c\"\n"},
        {RULE("{name: r, from: [c, {}], upstream: u}"),
            AT("1:29") "rules[0].from[1]: expected a caller's name, found a mapping\n"},
        {RULE("{name: r, from: [], upstream: u}"),
            AT("1:25") "rules[0].from: expected at least 1 entry, found 0\n"},
        {RULE("{name: r, from: [c], upstream: u, methods: []}"),
            AT("1:52") "rules[0].methods: expected at least 1 entry, found 0\n"},
        {CLIENT_AUTH("client_auth: {ca: [[a]], crl: r}"),
            AT("2:20") "listeners[0].client_auth.ca[0]: expected a path, found a list\n" AT(
                "2:31") "listeners[0].client_auth.crl: expected a list of paths and URLs, found \"r\"\n"},
        {CLIENT_AUTH("client_auth: {ca: [a], crl: [r], crl_stale: [x]}"),
            AT("2:45") "listeners[0].client_auth.crl_stale: expected reject, accept or {grace: 24h}, found a list\n"},
        {UPSTREAM("[\"10.0.0.1:80\"]"), AT("1:16") "upstreams.u: expected a mapping, found a list\n"},
        {UPSTREAM("{endpoints: [{}]}"),
            AT("1:29") "upstreams.u.endpoints[0].address: required key is missing; expected an address such as "
                       "10.0.0.5:8080, backend.internal:8080 or unix:/path\n"},
        {UPSTREAM("{endpoints: [[]]}"),
            AT("1:29") "upstreams.u.endpoints[0]: expected an address such as 10.0.0.5:8080, backend.internal:8080 or "
                       "unix:/path, or a mapping with one, found a list\n"},
        {UPSTREAM("{endpoints: []}"),
            AT("1:28") "upstreams.u.endpoints: expected at least 1 entry, found 0\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_a_number_is_told_with_its_unit_and_its_bounds(void **state)
{
    static const struct mistake cases[] = {
        {"workers: 0\n" REST, AT("1:10") "workers: 0 is out of bounds (1 to 256)\n"},
        {"workers: 257\n" REST, AT("1:10") "workers: 257 is out of bounds (1 to 256)\n"},
        {"workers: many\n" REST, AT("1:10") "workers: expected auto or a whole number, found \"many\"\n"},
        {"handshake_share: 0\n" REST, AT("1:18") "handshake_share: 0 is out of bounds (1 to 90)\n"},
        {"handshake_share: 91\n" REST, AT("1:18") "handshake_share: 91 is out of bounds (1 to 90)\n"},
        {"handshake_share: 20%\n" REST,
            AT("1:18") "handshake_share: expected a whole number, found \"20%\"\n"},
        {"gates: -1\n" REST, AT("1:8") "gates: expected auto or a whole number, found \"-1\"\n"},
        {"drain_timeout: 30\n" REST,
            AT("1:16") "drain_timeout: expected a duration such as 30s, found \"30\"\n"},
        {"drain_timeout: 0\n" REST, AT("1:16") "drain_timeout: 0 is out of bounds (1ms to 1d)\n"},
        {"drain_timeout: 25h\n" REST, AT("1:16") "drain_timeout: 25h is out of bounds (1ms to 1d)\n"},
        {"limits: {connections: 1000001}\n" REST,
            AT("1:23") "limits.connections: 1000001 is out of bounds (1 to 1000000)\n"},
        {"limits: {connections: 99999999999999999999}\n" REST,
            AT("1:23") "limits.connections: expected a whole number, found \"99999999999999999999\"\n"},
        {"limits: {header_bytes: 1023}\n" REST,
            AT("1:24") "limits.header_bytes: 1023 is out of bounds (1KiB to 24KiB)\n"},
        {"limits: {header_bytes: 16k}\n" REST,
            AT("1:24") "limits.header_bytes: expected a size such as 16KiB, found \"16k\"\n"},
        {"limits: {headers: 7, target_bytes: 16385}\n" REST,
            AT("1:19") "limits.headers: 7 is out of bounds (8 to 128)\n" AT(
                "1:36") "limits.target_bytes: 16385 is out of bounds (128 to 16KiB)\n"},
        {"limits: {body_bytes: 0}\n" REST, AT("1:22") "limits.body_bytes: 0 is out of bounds (at least 1)\n"},
        {"limits: {body_bytes: none}\n" REST,
            AT("1:22") "limits.body_bytes: expected unlimited or a size such as 64MiB, found \"none\"\n"},
        {CLIENT_AUTH("client_auth: {ca: [a], crl: [r], depth: 11, crl_stale: {grace: 31d}}"),
            AT("2:41") "listeners[0].client_auth.depth: 11 is out of bounds (0 to 10)\n" AT(
                "2:64") "listeners[0].client_auth.crl_stale.grace: 31d is out of bounds (1s to 30d)\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_a_word_is_told_with_the_words_that_there_are(void **state)
{
    static const struct mistake cases[] = {
        {"log: {level: loud, format: xml}\n" REST,
            AT("1:14") "log.level: expected debug, info, warn or error, found \"loud\"\n" AT(
                "1:28") "log.format: expected json or text, found \"xml\"\n"},
        {LISTENER(TLS ", " AUTH ", mode: udp"),
            AT("1:149") "listeners[0].mode: expected http or tcp, found \"udp\"\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}], min_version: \"1.1\"}, " AUTH),
            AT("1:105") "listeners[0].tls.min_version: expected 1.2 or 1.3, found \"1.1\"\n"},
        {CLIENT_AUTH("client_auth: {ca: [a], crl: [r], crl_stale: grace}"),
            AT("2:45") "listeners[0].client_auth.crl_stale: expected reject, accept or {grace: 24h}, found \"grace\"\n"},
        {CALLER("{any: body}"),
            AT("1:21") "callers.c[0].any: expected authenticated or anonymous, found \"body\"\n"},
        {UPSTREAM("{endpoints: [\"10.0.0.1:1\"], identity_headers: [plain, aws_], balance: random}"),
            AT("1:70") "upstreams.u.identity_headers[1]: expected plain, rfc9440, xfcc, nginx, traefik or alb, found \"aws_\"\n" AT(
                "1:86") "upstreams.u.balance: expected round_robin, least_requests or hash, found \"random\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_texts_are_checked_for_what_they_are_to_be(void **state)
{
    static const struct mistake cases[] = {
        {RULE("{name: \"a b\", from: [c], upstream: u}"),
            AT("1:16") "rules[0].name: \"a b\" is not a name; a name has letters, digits, '.', '_' and '-', at most 64 of "
                       "them\n"},
        {"callers: {c: [{uri: u}], \"d/e\": [{uri: u}]}\n" LISTENERS RULES UPSTREAMS,
            AT("1:26") "callers.d/e: \"d/e\" is not a name; a name has letters, digits, '.', '_' and '-', at most 64 of "
                       "them\n"},
        {CALLER("{uri: \"\"}"),
            AT("1:21") "callers.c[0].uri: expected a pattern of printable ASCII, found \"\"\n"},
        {CALLER("{dns: \"\xC3\xA9.corp\"}"),
            AT("1:21") "callers.c[0].dns: expected a pattern of printable ASCII, found \"\xC3\xA9.corp\"\n"},
        {CALLER("{fingerprint_sha256: abcd}"),
            AT("1:36") "callers.c[0].fingerprint_sha256: expected 64 hex digits "
                       "(SHA-256), with or without colons, found \"abcd\"\n"},
        {CALLER("{subject: {C N: x, 1..2: y, 5: z, CN: \"\"}}"),
            AT("1:26") "callers.c[0].subject.C N: not an attribute's type; expected one such as CN, O or OU, or a dotted OID\n" AT("1:34") "callers.c[0].subject.1..2: not an attribute's type; expected one such as CN, O or OU, or a dotted OID\n" AT(
                "1:43") "callers.c[0].subject.5: not an attribute's type; expected one such as CN, O or OU, or a dotted OID\n" AT("1:53") "callers.c[0].subject.CN: expected the attribute's value, found \"\"\n"},
        {RULE("{name: r, from: [c], upstream: u, methods: [GET, post, \"A B\"]}"),
            AT("1:58") "rules[0].methods[1]: expected a method in upper case such as GET, found \"post\"\n" AT(
                "1:64") "rules[0].methods[2]: expected a method in upper case such as GET, found \"A B\"\n"},
        {CALLER("{}"),
            AT("1:15") "callers.c[0]: an empty entry describes nobody; give uri, dns, email, ip, subject, "
                       "fingerprint_sha256, any or another of its fields\n"},
        {CALLER("{any: authenticated, uri: u}"),
            AT("1:15") "callers.c[0]: \"any\" stands alone in its entry: the other fields would narrow it; leave one or "
                       "the other out\n"},
        {"log: {output: \"\"}\n" REST, AT("1:15") "log.output: expected a path, found \"\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_addresses_are_told_with_what_would_be_right(void **state)
{
    static const struct mistake cases[] = {
        {"admin: {address: localhost}\n" REST,
            AT("1:18") "admin.address: \"localhost\" is not an address with a port; "
                       "wanted 192.0.2.1:443, [2001:db8::1]:443 or unix:/path\n"},
        {"admin: {address: \"0.0.0.0:9901\"}\n" REST,
            AT("1:18") "admin.address: 0.0.0.0:9901 can be reached from other machines, and these pages ask nobody who he "
                       "is; expected a loopback address such as 127.0.0.1:9901, or unix:/path\n"},
        {"admin: {address: \"127.0.0.1:8443\"}\n" REST,
            AT("2:32") "listeners[0].address: 127.0.0.1:8443 is also admin.address\n"},
        {"listeners:\n- {name: a, address: \"[::]:1\", " TLS ", " AUTH
         "}\n- {name: b, address: \"[0::0]:1\", " TLS ", " AUTH "}\n" CALLERS RULES UPSTREAMS,
            AT("3:22") "listeners[1].address: [0::0]:1 is also the address of listeners[0]\n"},
        {"listeners:\n- {name: a, address: \"unix:s\", " TLS ", " AUTH
         "}\n- {name: b, address: \"unix:s\", " TLS ", " AUTH "}\n" CALLERS RULES UPSTREAMS,
            AT("3:22") "listeners[1].address: unix:s is also the address of listeners[0]\n"},
        {UPSTREAM("{endpoints: [\"10.0.0.1:0\", \"10.0.0.300:80\", \"a..b:80\", \"unix:@x\", \"host\"]}"),
            AT("1:29") "upstreams.u.endpoints[0]: nothing can be connected to at port 0\n" AT(
                "1:43") "upstreams.u.endpoints[1]: \"10.0.0.300\" is not an IPv4 address (an IPv6 address stands in "
                        "brackets; names are not looked up here)\n" AT(
                            "1:60") "upstreams.u.endpoints[2]: \"a..b\" is not an IPv4 address (an IPv6 address stands in brackets; "
                                    "names are not looked up here)\n" AT(
                                        "1:71") "upstreams.u.endpoints[3]: \"unix:@x\" is an abstract name, which no file permission guards; "
                                                "wanted unix:/path/to/socket\n" AT(
                                                    "1:82") "upstreams.u.endpoints[4]: \"host\" is not an address with a port; wanted 192.0.2.1:443, "
                                                            "[2001:db8::1]:443 or unix:/path\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_names_that_refer_to_nothing_are_told_with_the_nearest(void **state)
{
    static const struct mistake cases[] = {
        {RULE("{name: r, from: [c], upstream: app}"),
            AT("1:40") "rules[0].upstream: there is no upstream \"app\"\n"},
        {"callers: {billing: [{uri: u}], audit: [{uri: u}]}\nrules: [{name: r, from: [biling, x], upstream: u}]\n" LISTENERS
                UPSTREAMS,
            AT("2:26") "rules[0].from[0]: there is no caller \"biling\"; did you mean \"billing\"?\n" AT(
                "2:34") "rules[0].from[1]: there is no caller \"x\"\n"},
        {RULE(
             "{name: r, from: [c], upstream: u}, {name: q, from: [c], upstream: u}, {name: r, from: [c], upstream: u}"),
            AT("1:86") "rules[2].name: the name \"r\" is given twice; first on line 1\n"},
        {"listeners:\n- {name: a, address: \"[::]:1\", " TLS ", " AUTH
         "}\n- {name: a, address: \"[::]:2\", " TLS ", " AUTH "}\n" CALLERS RULES UPSTREAMS,
            AT("3:10") "listeners[1].name: the name \"a\" is given twice; first on line 2\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_a_listener_that_would_refuse_everybody_is_an_error(void **state)
{
    static const struct mistake cases[] = {
        {CLIENT_AUTH("client_auth: {ca: [a]}"),
            AT("2:14") "listeners[0].client_auth: no revocation list is given, and \"crl_missing: reject\" (the default) "
                       "would refuse every client; give crl, or say crl_missing: accept\n"},
        {CLIENT_AUTH("client_auth: {ca: [a], crl: [], crl_missing: reject}"),
            AT("2:14") "listeners[0].client_auth: no revocation list is given, and \"crl_missing: reject\" would refuse "
                       "every client; give crl, or say crl_missing: accept\n"},
    };

    (void)state;
    CHECK_ALL(cases);
    sp_config_free(parse_good("x.yaml", CLIENT_AUTH("client_auth: {ca: [a], crl_missing: accept}"), ""));
}

static void test_what_is_allowed_but_looks_like_a_mistake_is_a_warning(void **state)
{
    (void)state;
    sp_config_free(parse_good("x.yaml",
        LISTENERS CALLERS RULES
        "upstreams: {u: {endpoints: [\"10.0.0.1:1\"]}, spare: {endpoints: [\"10.0.0.1:1\"]}}\n",
        "x.yaml:4:45: warning: upstreams.spare: no rule names this upstream\n"));
    sp_config_free(parse_good("x.yaml", CLIENT_AUTH("client_auth: {mode: optional, ca: [a], crl: [r]}"),
        "x.yaml:2:14: warning: listeners[0].client_auth: \"mode: optional\" lets clients without a certificate in, but no "
        "caller has \"any: anonymous\", so no rule can allow them anything\n"));
    sp_config_free(parse_good("x.yaml",
        LISTENERS "callers: {c: [{uri: \"spiffe://x/y\"}, {any: anonymous}]}\n" RULES UPSTREAMS,
        "x.yaml:2:38: warning: callers.c[1]: \"any: anonymous\" is nobody: no listener has \"client_auth.mode: optional\"\n"));
}

static void test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file(void **state)
{
    (void)state;
    parse_bad("upstreams:\n"
              "  u: {endpoints: [\"10.0.0.1:80\"], max_idel: 3}\n"
              "  spare: {endpoints: [\"10.0.0.1:80\"]}\n"
              "rules:\n"
              "  - {name: r, from: [nobody], upstream: u}\n"
              "workers: 1000\n"
              "workers: 2\n"
              "listeners: [{name: l, adress: x}]\n"
              "callers: {c: [{uri: *u}]}\n",
        AT("2:35") "upstreams.u.max_idel: unknown key; did you mean \"max_idle\"?\n"
                   "x.yaml:3:3: warning: upstreams.spare: no rule names this upstream\n" AT("5:22") "rules[0].from[0]: there is no caller \"nobody\"\n" AT("6:10") "workers: 1000 is out of bounds (1 to 256)\n" AT(
                       "7:1") "\"workers\" is given twice; first on line "
                              "6\n" AT(
                                  "8:13") "listeners[0].address: required key is missing; expected an address such as 192.0.2.1:443, [::]:443 "
                                          "or unix:/path\n" AT("8:13") "listeners[0].tls: required key is missing; expected a mapping\n" AT("8:13") "listeners[0].client_auth: required key is missing; expected a mapping\n" AT(
                                              "8:23") "listeners[0].adress: unknown key; did you mean \"address\"?\n" AT("9:21") "anchors and aliases are not supported: *u; write the value out\n");
}

static void test_a_long_text_is_shown_cut_at_the_end_of_a_character(void **state)
{
    char text[4096], expected[512], word[400] = "";

    (void)state;
    for (size_t i = 0; i < 100; i++)
        strcat(word, "\xC3\xA9");
    (void)snprintf(text, sizeof(text), "workers: %s\n%s", word, REST);
    (void)snprintf(expected, sizeof(expected),
        AT("1:10") "workers: expected auto or a whole number, found \"%.76s...\"\n", word);
    parse_bad(text, expected);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_yaml_is_told_in_the_words_of_the_parser),
        cmocka_unit_test(test_what_yaml_has_beyond_need_is_refused_with_its_place),
        cmocka_unit_test(test_an_unknown_key_is_told_with_the_nearest_known_one),
        cmocka_unit_test(test_a_missing_key_is_told_with_what_is_wanted),
        cmocka_unit_test(test_a_value_of_the_wrong_kind_is_told_with_both_kinds),
        cmocka_unit_test(test_a_number_is_told_with_its_unit_and_its_bounds),
        cmocka_unit_test(test_a_word_is_told_with_the_words_that_there_are),
        cmocka_unit_test(test_texts_are_checked_for_what_they_are_to_be),
        cmocka_unit_test(test_addresses_are_told_with_what_would_be_right),
        cmocka_unit_test(test_names_that_refer_to_nothing_are_told_with_the_nearest),
        cmocka_unit_test(test_a_listener_that_would_refuse_everybody_is_an_error),
        cmocka_unit_test(test_what_is_allowed_but_looks_like_a_mistake_is_a_warning),
        cmocka_unit_test(test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file),
        cmocka_unit_test(test_a_long_text_is_shown_cut_at_the_end_of_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
