/* Mistakes in callers, rules, requirements, limits and what backends are told, each in exactly the words in which it is
 * told; then what is allowed but looks like one. Elsewhere: what is right (config_policy.c), the other keys
 * (config_errors.c). */
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
#define CALLER(entry)    "callers: {c: [" entry "]}\n" LISTENERS RULES UPSTREAMS
#define LONG(inner)      "callers: {c: " inner "}\n" LISTENERS RULES UPSTREAMS
#define LIMITS(inner)    "callers: {c: {match: [{uri: u}], limits: " inner "}}\n" LISTENERS RULES UPSTREAMS
#define REQUIRE(inner)   "callers: {c: {match: [{uri: u}], require: " inner "}}\n" LISTENERS RULES UPSTREAMS
#define RULE(rule)       "rules: [" rule "]\n" LISTENERS CALLERS UPSTREAMS
#define UPSTREAM(inner)  "upstreams: {u: {endpoints: [\"10.0.0.1:1\"], " inner "}}\n" LISTENERS CALLERS RULES
#define PROXY(inner)     "trusted_proxies: [" inner "]\n" REST

static void test_mistakes_in_callers_are_told(void **state)
{
    static const struct mistake cases[] = {
        {CALLER("{ip: 10.0.0.0-8}"),
            AT("1:20") "callers.c[0].ip: expected an address or a block such as 10.0.0.0/8, found \"10.0.0.0-8\"\n"},
        {CALLER("{policy: 1.02}"),
            AT("1:24") "callers.c[0].policy: expected an OID such as 1.3.6.1.4.1.99999.1, found \"1.02\"\n"},
        {CALLER("{policy: [1.2.3]}"),
            AT("1:24") "callers.c[0].policy: expected an OID such as 1.3.6.1.4.1.99999.1, found a list\n"},
        {CALLER("{spki_sha256: abcd}"),
            AT("1:29") "callers.c[0].spki_sha256: expected 64 hex digits (SHA-256), with or without colons, found \"abcd\"\n"},
        {CALLER("{psd2_roles: [PSP_XX], psd2_authority: bafin, qc_type: qwac}"),
            AT("1:29") "callers.c[0].psd2_roles[0]: expected PSP_AS, PSP_PI, PSP_AI or PSP_IC, found \"PSP_XX\"\n" AT(
                "1:54") "callers.c[0].psd2_authority: expected an authority such as DE-BAFIN, found \"bafin\"\n" AT("1:70") "callers.c[0].qc_type: expected web, eseal or esign, found \"qwac\"\n"},
        {CALLER("{psd2_roles: []}"),
            AT("1:28") "callers.c[0].psd2_roles: expected at least 1 entry, found 0\n"},
        {CALLER("{qc_type: esign, psd2_roles: [PSP_AI]}"),
            AT("1:25") "callers.c[0].qc_type: a certificate of a payment service provider is for web or eseal, never for esign\n"},
        {CALLER("{subject: {OU: [a, b, a]}}"), AT("1:30") "callers.c[0].subject.OU: \"a\" is given twice\n"},
        {CALLER("{subject: {OU: []}}"),
            AT("1:30") "callers.c[0].subject.OU: expected at least one value, found a list\n"},
        {CALLER("{subject: {OU: [a, {}]}}"),
            AT("1:34") "callers.c[0].subject.OU[1]: expected the attribute's value, found a mapping\n"},
        {CALLER("{issuer: {O U: x}}"),
            AT("1:25") "callers.c[0].issuer.O U: not an attribute's type; expected one such as CN, O or OU, or a dotted OID\n"},
        {CALLER("{file: \"\"}"), AT("1:22") "callers.c[0].file: expected a path, found \"\"\n"},
        {CALLER("{uri: u, spki: x}"),
            AT("1:24") "callers.c[0].spki: unknown key; known here: uri, dns, email, ip, subject, issuer, serial, fingerprint_sha256, "
                       "spki_sha256, policy, qc_type, psd2_roles, psd2_authority, caller, file, any\n"},
        {LONG("{match: []}"), AT("1:22") "callers.c.match: expected at least 1 entry, found 0\n"},
        {LONG("{match: [{uri: u}], limit: {}}"),
            AT("1:34") "callers.c.limit: unknown key; did you mean \"limits\"?\n"},
        {LONG("{match: [{url: u}]}"),
            AT("1:24") "callers.c.match[0].url: unknown key; did you mean \"uri\"?\n"},
        {LONG("word"),
            AT("1:14") "callers.c: expected a list of mappings, or a mapping with match, found \"word\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_mistakes_in_requirements_are_told(void **state)
{
    static const struct mistake cases[] = {
        {REQUIRE("{}"), AT("1:43") "callers.c.require: expected at least 1 entry, found 0\n"},
        {REQUIRE("{key_types: [dsa]}"),
            AT("1:56") "callers.c.require.key_types[0]: expected rsa, ec, ed25519 or ed448, found \"dsa\"\n"},
        {REQUIRE("{key_types: [ec, ec]}"),
            AT("1:60") "callers.c.require.key_types[1]: \"ec\" is given twice; first on line 1\n"},
        {REQUIRE("{key_types: [ed25519], min_rsa_bits: 2048, min_ec_bits: 256}"),
            AT("1:80") "callers.c.require.min_rsa_bits: key_types accepts no RSA key; leave one or the other out\n" AT(
                "1:99") "callers.c.require.min_ec_bits: key_types accepts no ec key; leave one or the other out\n"},
        {REQUIRE("{min_rsa_bits: 512}"),
            AT("1:58") "callers.c.require.min_rsa_bits: 512 is out of bounds (1024 to 16384)\n"},
        {REQUIRE("{signature_algorithms: [\"a:b\"]}"),
            AT("1:67") "callers.c.require.signature_algorithms[0]: expected a signature algorithm such as ecdsa-with-SHA256, or its OID, found \"a:b\"\n"},
        {REQUIRE("{eku: [1.2.], policies: [clientAuth]}"),
            AT("1:50") "callers.c.require.eku[0]: expected a purpose such as clientAuth, or its OID, found \"1.2.\"\n" AT(
                "1:68") "callers.c.require.policies[0]: expected an OID such as 1.3.6.1.4.1.99999.1, found \"clientAuth\"\n"},
        {REQUIRE("{client_eku: always}"),
            AT("1:56") "callers.c.require.client_eku: expected if_present or required, found \"always\"\n"},
        {REQUIRE("{names: {url: {presence: must}}}"),
            AT("1:52") "callers.c.require.names.url: unknown key; did you mean \"uri\"?\n"},
        {REQUIRE("{names: {uri: {presence: never}}}"),
            AT("1:68") "callers.c.require.names.uri.presence: expected may, must or must_not, found \"never\"\n"},
        {REQUIRE("{names: {uri: {presence: must_not, patterns: [a]}}}"),
            AT("1:88") "callers.c.require.names.uri.patterns: names that must not be there need no patterns; leave one or the other out\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_mistakes_in_limits_are_told(void **state)
{
    static const char rate[] =
        AT("1:49") "callers.c.limits.rate: expected a rate such as 100/s, 30/m or 1000/h, found ";
    static const char *const bad[] = {
        "100", "100/", "/s", "100/d", "100/ms", "-1/s", "1.5/s", "1 /s", "99999999999/s", "off"};

    (void)state;
    for (size_t i = 0; i < SP_COUNTOF(bad); i++) {
        char text[1024], said[256];
        (void)snprintf(text, sizeof(text), "callers: {c: {match: [{uri: u}], limits: {rate: %s}}}\n%s",
            bad[i], LISTENERS RULES UPSTREAMS);
        (void)snprintf(said, sizeof(said), "%s\"%s\"\n", rate, bad[i]);
        parse_bad(text, said);
    }
    static const struct mistake cases[] = {
        {LIMITS("{rate: 0/s}"), AT("1:49") "callers.c.limits.rate: 0/s is out of bounds (1 to 1000000)\n"},
        {LIMITS("{}"),
            AT("1:42") "callers.c.limits: nothing is limited; give rate, concurrent_requests or connections\n"},
        {LIMITS("{per: caller}"),
            AT("1:42") "callers.c.limits: nothing is limited; give rate, concurrent_requests or connections\n"},
        {LIMITS("{burst: 5, connections: 1}"),
            AT("1:50") "callers.c.limits.burst: a burst is of requests beyond a rate; give rate\n"},
        {LIMITS("{connections: 1, per: subject}"),
            AT("1:64") "callers.c.limits.per: expected identity, caller, certificate, uri, dns, email or an attribute such as subject.OU, found \"subject\"\n"},
        {LIMITS("{connections: 1, per: subject.O-U}"),
            AT("1:64") "callers.c.limits.per: expected identity, caller, certificate, uri, dns, email or an attribute such as subject.OU, found \"subject.O-U\"\n"},
        {"limits: {handshake_failures: 30}\n" REST,
            AT("1:30") "limits.handshake_failures: expected off or a rate such as 100/s, 30/m or 1000/h, found \"30\"\n"},
        {"limits: {tracked_callers: 63}\n" REST,
            AT("1:27") "limits.tracked_callers: 63 is out of bounds (64 to 4194304)\n"},
    };
    CHECK_ALL(cases);
}

static void test_mistakes_in_rules_are_told(void **state)
{
    static const struct mistake cases[] = {
        {RULE("{name: r, from: [c]}"),
            AT("1:9") "rules[0].upstream: required key is missing; expected a name, or deny with a status\n"},
        {RULE("{name: r, upstream: u}"),
            AT("1:9") "rules[0].from: required key is missing; expected a list of names (only a rule with deny may be for everybody)\n"},
        {RULE("{name: r, from: [c], upstream: u, deny: 403}"),
            AT("1:49") "rules[0].deny: a rule has either upstream or deny; leave one of them out\n"},
        {RULE("{name: r, deny: 200}, {name: s, deny: no}"),
            AT("1:25") "rules[0].deny: 200 is out of bounds (400 to 599)\n" AT(
                "1:47") "rules[1].deny: expected a whole number, found \"no\"\n"},
        {RULE("{name: r, from: [], deny: 403}"),
            AT("1:25") "rules[0].from: expected at least 1 entry, found 0\n"
                       "x.yaml:4:13: warning: upstreams.u: no rule names this upstream\n"},
        {RULE("{name: r, from: [c], not_from: [d, c], upstream: u}"),
            AT("1:41") "rules[0].not_from[0]: there is no caller \"d\"; did you mean \"c\"?\n" AT(
                "1:44") "rules[0].not_from[1]: \"c\" is also in from: the rule would never be for it; leave one or the other out\n"},
        {RULE("{name: r, from: [c, c], methods: [GET, PUT, GET], upstream: u}"),
            AT("1:29") "rules[0].from[1]: \"c\" is given twice; first on line 1\n" AT(
                "1:53") "rules[0].methods[2]: \"GET\" is given twice; first on line 1\n"},
        {RULE(
             "{name: r, from: [c], upstream: u, headers: [{name: X-A}, {name: x-b}, {name: x-a, equals: b}]}"),
            AT("1:79") "rules[0].headers[2]: the field x-a is given twice; first on line 1\n"},
        {RULE(
             "{name: r, from: [c], upstream: u, headers: [{name: \"X A\"}, {equals: b}, {name: X-B, equals: \" b\"}]}"),
            AT("1:60") "rules[0].headers[0].name: expected a header field's name such as X-Tenant, found \"X A\"\n" AT("1:68") "rules[0].headers[1].name: required key is missing; expected a header field's name such as X-Tenant\n" AT(
                "1:101") "rules[0].headers[2].equals: expected printable ASCII without blanks around it, found \" b\"\n"},
        {RULE("{name: r, from: [c], upstream: u, headers: X-A}"),
            AT("1:52") "rules[0].headers: expected a list of mappings, found \"X-A\"\n"},
        {RULE(
             "{name: r, from: [c], upstream: u, listener: k}, {name: s, from: [c], upstream: u, listener: [l, l]}"),
            AT("1:53") "rules[0].listener[0]: there is no listener \"k\"; did you mean \"l\"?\n" AT(
                "1:105") "rules[1].listener[1]: \"l\" is given twice; first on line 1\n"},
        {RULE(
             "{name: r, from: [c], upstream: u, source: internal}, {name: s, from: [c], upstream: u, source: [10.0.0.1, x y]}"),
            AT("1:51") "rules[0].source: expected an address or a block such as 10.0.0.0/8, found \"internal\"\n" AT(
                "1:115") "rules[1].source[1]: expected an address or a block such as 10.0.0.0/8, found \"x y\"\n"},
        {RULE("{name: r, from: [c], upstream: u, source: {}}"),
            AT("1:51") "rules[0].source: expected an address block or a list of them, found a mapping\n"},
        {RULE("{name: r, from: [c], upstream: u, mode: observe}") "rule_mode: off\n",
            AT("1:49") "rules[0].mode: expected enforce or report, found \"observe\"\n" AT(
                "5:12") "rule_mode: expected enforce or report, found \"off\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_mistakes_in_what_backends_are_told_are_told(void **state)
{
    static const struct mistake cases[] = {
        {PROXY("{from: [d], xfcc: forward_only}"),
            AT("1:27") "trusted_proxies[0].from[0]: there is no caller \"d\"; did you mean \"c\"?\n"},
        {"trusted_proxies: [{from: [c], xfcc: forward_only}]\ncallers: {c: [{uri: u}, {any: anonymous}]}\n"
         "listeners: [{name: l, address: \"[::]:1\", " TLS
         ", client_auth: {mode: optional, ca: [a], crl: [r]}}]\n" RULES UPSTREAMS,
            AT("1:27") "trusted_proxies[0].from[0]: a proxy must prove who it is, and this caller is \"any: anonymous\"\n"},
        {PROXY("{from: [c], forwarded: replace}"),
            AT("1:19") "trusted_proxies[0]: it may say nothing; give identity_headers, xfcc: append_forward or forward_only, or "
                       "forwarded: append\n"},
        {PROXY("{xfcc: pass}"),
            AT("1:19") "trusted_proxies[0].from: required key is missing; expected a list of names\n" AT(
                "1:26") "trusted_proxies[0].xfcc: expected sanitize_set, append_forward or forward_only, found \"pass\"\n"},
        {PROXY("{from: [c], identity_headers: [xfcc]}"),
            AT("1:50") "trusted_proxies[0].identity_headers[0]: expected plain, rfc9440, nginx, traefik or alb, found \"xfcc\"\n"},
        {UPSTREAM("xfcc_details: [cert]"),
            AT("1:58") "upstreams.u.xfcc_details: identity_headers does not name xfcc; leave one out or add the other\n"},
        {UPSTREAM("headers: {X-A: a, x-a: b}"),
            AT("1:62") "upstreams.u.headers.x-a: the field is given twice; first on line 1\n"},
        {UPSTREAM("headers: {\"X A\": a, X-B: \"\", X-C: [d], X-D: \"\xC3\xA9\"}"),
            AT("1:54") "upstreams.u.headers.X A: expected a header field's name such as X-Tenant\n" AT("1:69") "upstreams.u.headers.X-B: expected printable ASCII without blanks around it, found \"\"\n" AT(
                "1:78") "upstreams.u.headers.X-C: expected printable ASCII without blanks around it, found a list\n" AT("1:88") "upstreams.u.headers.X-D: expected printable ASCII without blanks around it, found \"\xC3\xA9\"\n"},
        {"audit: {output: \"\", allowed: yes}\n" REST,
            AT("1:17") "audit.output: expected a path, found \"\"\n" AT(
                "1:30") "audit.allowed: expected false or true, found \"yes\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_a_caller_that_leads_to_itself_is_told_with_the_way(void **state)
{
    static const struct mistake cases[] = {
        {CALLER("{caller: c}"),
            AT("1:24") "callers.c[0].caller: a caller cannot be part of itself: c -> c\n"},
        {CALLER("{caller: cc}"),
            AT("1:24") "callers.c[0].caller: there is no caller \"cc\"; did you mean \"c\"?\n"},
        {LONG(
             "{match: [{uri: u}, {caller: a}]}, a: [{caller: b}], b: [{caller: d}, {caller: a}], d: [{uri: u}]"),
            AT("1:92") "callers.b[1].caller: a caller cannot be part of itself: a -> b -> a\n"},
        {LONG("{match: [{caller: b}]}, b: {match: [{uri: u}, {caller: c}]}"),
            AT("1:69") "callers.b.match[1].caller: a caller cannot be part of itself: c -> b -> c\n"},
        {LONG(
             "[{caller: c1}], c1: [{caller: c2}], c2: [{caller: c3}], c3: [{caller: c4}], c4: [{caller: c5}], c5: [{caller: c6}],\n"
             "c6: [{caller: c7}], c7: [{caller: c8}], c8: [{caller: c9}], c9: [{caller: c}]"),
            AT("2:75") "callers.c9[0].caller: a caller cannot be part of itself: c -> c1 -> c2 -> c3 -> c4 -> c5 -> c6 -> c7 -> ... -> c9 -> c\n"},
    };

    (void)state;
    CHECK_ALL(cases);
    /* one that is named on two ways is no cycle */
    sp_config_free(parse_good(
        "x.yaml", LONG("[{caller: a}, {caller: b}], a: [{caller: d}], b: [{caller: d}], d: [{uri: u}]"), ""));
}

static void test_a_chain_of_callers_may_be_as_long_as_there_are_callers(void **state)
{
    struct sp_buf text = {0};
    const unsigned count = 50000;

    (void)state;
    sp_buf_add_str(&text, LISTENERS RULES UPSTREAMS "callers:\n  c: [{caller: c1}]\n");
    for (unsigned i = 1; i < count; i++)
        sp_buf_printf(&text, "  c%u: [{caller: c%u}]\n", i, i + 1);
    sp_buf_printf(&text, "  c%u: [{uri: u}]\n", count);
    assert_int_equal(sp_buf_add_char(&text, '\0'), SP_OK);
    sp_config_free(parse_good("x.yaml", text.ptr, ""));
    sp_buf_free(&text);
}

static void test_what_looks_like_a_mistake_is_a_warning(void **state)
{
    (void)state;
    sp_config_free(parse_good("x.yaml", CALLER("{serial: 0f}"),
        "x.yaml:1:15: warning: callers.c[0]: another authority may give the same serial number to somebody else; say which "
        "one with issuer\n"));
    sp_config_free(parse_good("x.yaml", "audit: {allowed: true}\n" REST,
        "x.yaml:1:18: warning: audit.allowed: nothing is written: output is off\n"));
    sp_config_free(parse_good("x.yaml",
        "trusted_proxies: [{from: [c], xfcc: forward_only}, {from: [c], xfcc: forward_only, source: 10.0.0.1}]\n"
        "callers: {c: [{any: authenticated}]}\n" LISTENERS RULES UPSTREAMS,
        "x.yaml:1:27: warning: trusted_proxies[0].from[0]: this caller is \"any: authenticated\": every client may then say that "
        "it is somebody else\n"));
    /* a rule that denies everybody allows nobody who is anonymous, and names no upstream */
    sp_config_free(parse_good("x.yaml",
        "listeners: [{name: l, address: \"[::]:1\", " TLS
        ", client_auth: {mode: optional, ca: [a], crl: [r]}}]\n" CALLERS UPSTREAMS
        "rules: [{name: r, deny: 403}]\n",
        "x.yaml:1:106: warning: listeners[0].client_auth: \"mode: optional\" lets clients without a certificate in, but no "
        "caller has \"any: anonymous\", so no rule can allow them anything\n"
        "x.yaml:3:13: warning: upstreams.u: no rule names this upstream\n"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes_in_callers_are_told),
        cmocka_unit_test(test_mistakes_in_requirements_are_told),
        cmocka_unit_test(test_mistakes_in_limits_are_told),
        cmocka_unit_test(test_mistakes_in_rules_are_told),
        cmocka_unit_test(test_mistakes_in_what_backends_are_told_are_told),
        cmocka_unit_test(test_a_caller_that_leads_to_itself_is_told_with_the_way),
        cmocka_unit_test(test_a_chain_of_callers_may_be_as_long_as_there_are_callers),
        cmocka_unit_test(test_what_looks_like_a_mistake_is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
