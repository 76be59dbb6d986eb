/* What is wrong with the keys of forwarding is told in exactly these words, with its place: one row a mistake. Elsewhere:
 * what is right (config_forward.c), other keys (config_errors.c, config_policy_errors.c). */
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

/* What is wrong stands in the first line, and the rest is right. */
#define UPSTREAM(inner) "upstreams: {u: {" inner "}}\n" LISTENERS CALLERS RULES
#define KEYS(rest)      UPSTREAM("endpoints: [\"10.0.0.1:1\"], " rest)
#define LISTENER(rest)                                                                                       \
    "listeners: [{name: l, address: \"127.0.0.1:8443\", " AUTH ", " rest "}]\n" CALLERS RULES UPSTREAMS
#define RULE(rest) "rules: [{name: r, from: [c], upstream: u, " rest "}]\n" LISTENERS CALLERS UPSTREAMS
/* With a listener of each mode: l, and t of mode tcp. */
#define TCP(rule)                                                                                            \
    "rules: [" rule "]\n"                                                                                    \
    "listeners: [{name: l, address: \"127.0.0.1:8443\", " TLS ", " AUTH                                      \
    "}, {name: t, address: \"127.0.0.1:1\", mode: tcp, " TLS ", " AUTH "}]\n" CALLERS UPSTREAMS

/* clang-format off */
static void test_endpoints_are_told_with_what_would_be_right(void **state)
{
    static const struct mistake cases[] = {
        {UPSTREAM("endpoints: [\"10.0.0.1:1\", {address: \"10.0.0.1:1\"}, \"a.example:1\", \"A.example:1\", \"a.example:2\", \"srv:_a._tcp.x\", \"srv:_A._tcp.x\"]"),
            AT("1:43") "upstreams.u.endpoints[1]: 10.0.0.1:1 is given twice; first on line 1\n"
            AT("1:83") "upstreams.u.endpoints[3]: A.example:1 is given twice; first on line 1\n"
            AT("1:130") "upstreams.u.endpoints[6]: srv:_A._tcp.x is given twice; first on line 1\n"},
        {UPSTREAM("endpoints: [\"srv:api\", \"srv:_api.tcp.x\", \"srv:_api._tcp\", \"srv:_api._tcp.1\", \"srv:\", \"srv:_a._tcp.x:80\"]"),
            AT("1:29") "upstreams.u.endpoints[0]: expected a service such as srv:_api._tcp.corp.example, found \"srv:api\"\n"
            AT("1:40") "upstreams.u.endpoints[1]: expected a service such as srv:_api._tcp.corp.example, found \"srv:_api.tcp.x\"\n"
            AT("1:58") "upstreams.u.endpoints[2]: expected a service such as srv:_api._tcp.corp.example, found \"srv:_api._tcp\"\n"
            AT("1:75") "upstreams.u.endpoints[3]: expected a service such as srv:_api._tcp.corp.example, found \"srv:_api._tcp.1\"\n"
            AT("1:94") "upstreams.u.endpoints[4]: expected a service such as srv:_api._tcp.corp.example, found \"srv:\"\n"
            AT("1:102") "upstreams.u.endpoints[5]: expected a service such as srv:_api._tcp.corp.example, found \"srv:_a._tcp.x:80\"\n"},
        {UPSTREAM("endpoints: [{weight: 2}, {address: \"10.0.0.1:1\", weight: 101, backup: yes, max_connections: 0}, {address: \"10.0.0.2:0\", wieght: 1}]"),
            AT("1:29") "upstreams.u.endpoints[0].address: required key is missing; expected an address such as 10.0.0.5:8080, backend.internal:8080 or unix:/path\n"
            AT("1:74") "upstreams.u.endpoints[1].weight: 101 is out of bounds (0 to 100)\n"
            AT("1:87") "upstreams.u.endpoints[1].backup: expected false or true, found \"yes\"\n"
            AT("1:109") "upstreams.u.endpoints[1].max_connections: 0 is out of bounds (1 to 1000000)\n"
            AT("1:123") "upstreams.u.endpoints[2].address: nothing can be connected to at port 0\n"
            AT("1:137") "upstreams.u.endpoints[2].wieght: unknown key; did you mean \"weight\"?\n"},
        {UPSTREAM("endpoints: [[], \"\", {address: }, {address: [x]}]"),
            AT("1:29") "upstreams.u.endpoints[0]: expected an address such as 10.0.0.5:8080, backend.internal:8080 or unix:/path, or a mapping with one, found a list\n"
            AT("1:33") "upstreams.u.endpoints[1]: \"\" is not an address with a port; wanted 192.0.2.1:443, [2001:db8::1]:443 or unix:/path\n"
            AT("1:47") "upstreams.u.endpoints[2].address: expected an address such as 10.0.0.5:8080, backend.internal:8080 or unix:/path, found nothing\n"
            AT("1:60") "upstreams.u.endpoints[3].address: expected an address such as 10.0.0.5:8080, backend.internal:8080 or unix:/path, found a list\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_balancing_and_queues_are_told_with_their_bounds(void **state)
{
    static const struct mistake cases[] = {
        {KEYS("balance: least, hash_by: \"header:\", slow_start: 0"),
            AT("1:53") "upstreams.u.balance: expected round_robin, least_requests or hash, found \"least\"\n"
            AT("1:69") "upstreams.u.hash_by: expected caller, address or a header such as header:X-Tenant, found \"header:\"\n"
            AT("1:92") "upstreams.u.slow_start: 0 is out of bounds (1ms to 1d)\n"},
        {KEYS("hash_by: address"),
            AT("1:53") "upstreams.u.hash_by: only balance: hash looks at it; leave it out or say that\n"},
        {KEYS("balance: least_requests, hash_by: \"header:X A\""),
            AT("1:78") "upstreams.u.hash_by: expected caller, address or a header such as header:X-Tenant, found \"header:X A\"\n"
            AT("1:78") "upstreams.u.hash_by: only balance: hash looks at it; leave it out or say that\n"},
        {KEYS("max_connections: 0, queue: {max: 1000001, timeout: 0}, panic_threshold: 101"),
            AT("1:61") "upstreams.u.max_connections: 0 is out of bounds (1 to 1000000)\n"
            AT("1:77") "upstreams.u.queue.max: 1000001 is out of bounds (0 to 1000000)\n"
            AT("1:95") "upstreams.u.queue.timeout: 0 is out of bounds (1ms to 1h)\n"
            AT("1:116") "upstreams.u.panic_threshold: 101 is out of bounds (0 to 100)\n"},
        {KEYS("queue: {max: x, size: 3}, max_connections: none, panic_threshold: off, slow_start: on"),
            AT("1:57") "upstreams.u.queue.max: expected a whole number, found \"x\"\n"
            AT("1:60") "upstreams.u.queue.size: unknown key; known here: max, timeout\n"
            AT("1:87") "upstreams.u.max_connections: expected unlimited or a whole number, found \"none\"\n"
            AT("1:110") "upstreams.u.panic_threshold: expected a whole number, found \"off\"\n"
            AT("1:127") "upstreams.u.slow_start: expected off or a duration such as 30s, found \"on\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_health_checks_ejections_and_retries_are_told_with_their_bounds(void **state)
{
    static const struct mistake cases[] = {
        {KEYS("health_check: {path: healthz, status: 199, interval: 1ms, timeout: 11m, healthy_after: 0, unhealthy_after: 101, port: 65536}"),
            AT("1:65") "upstreams.u.health_check.path: expected a path such as /healthz, found \"healthz\"\n"
            AT("1:82") "upstreams.u.health_check.status: expected a status of 200 to 599 or a range such as 200-299, found \"199\"\n"
            AT("1:97") "upstreams.u.health_check.interval: 1ms is out of bounds (10ms to 1h)\n"
            AT("1:111") "upstreams.u.health_check.timeout: 11m is out of bounds (1ms to 10m)\n"
            AT("1:131") "upstreams.u.health_check.healthy_after: 0 is out of bounds (1 to 100)\n"
            AT("1:151") "upstreams.u.health_check.unhealthy_after: 101 is out of bounds (1 to 100)\n"
            AT("1:162") "upstreams.u.health_check.port: 65536 is out of bounds (1 to 65535)\n"},
        {KEYS("health_check: {path: \"/a b\", status: 299-200, host: \"a b\", prt: 1}"),
            AT("1:65") "upstreams.u.health_check.path: expected a path such as /healthz, found \"/a b\"\n"
            AT("1:81") "upstreams.u.health_check.status: expected a status of 200 to 599 or a range such as 200-299, found \"299-200\"\n"
            AT("1:96") "upstreams.u.health_check.host: expected a host such as api.example.com or 10.0.0.5:8080, found \"a b\"\n"
            AT("1:103") "upstreams.u.health_check.prt: unknown key; did you mean \"port\"?\n"},
        {KEYS("health_check: {path: \"/a#b\", status: 200-, host: \"a.example:0\"}"),
            AT("1:65") "upstreams.u.health_check.path: expected a path such as /healthz, found \"/a#b\"\n"
            AT("1:81") "upstreams.u.health_check.status: expected a status of 200 to 599 or a range such as 200-299, found \"200-\"\n"
            AT("1:93") "upstreams.u.health_check.host: expected a host such as api.example.com or 10.0.0.5:8080, found \"a.example:0\"\n"},
        {KEYS("health_check: {status: 204, host: a.example}"),
            AT("1:67") "upstreams.u.health_check.status: without path nothing is asked for, and connecting is enough; give path, or leave it out\n"
            AT("1:78") "upstreams.u.health_check.host: without path nothing is asked for, and connecting is enough; give path, or leave it out\n"},
        {KEYS("health_check: off"),
            AT("1:58") "upstreams.u.health_check: expected a mapping, found \"off\"\n"},
        {KEYS("ejection: none"),
            AT("1:54") "upstreams.u.ejection: expected off or a mapping, found \"none\"\n"},
        {KEYS("ejection: {failures: 0, base: 0, max: 25h}"),
            AT("1:65") "upstreams.u.ejection.failures: 0 is out of bounds (1 to 1000)\n"
            AT("1:74") "upstreams.u.ejection.base: 0 is out of bounds (1ms to 1d)\n"
            AT("1:82") "upstreams.u.ejection.max: 25h is out of bounds (1ms to 1d)\n"},
        {KEYS("ejection: {base: 10m}"),
            AT("1:61") "upstreams.u.ejection.base: the first time would be longer than the longest; expected base to be at most max\n"},
        {KEYS("ejection: {max: 1s}"),
            AT("1:60") "upstreams.u.ejection.max: the first time would be longer than the longest; expected base to be at most max\n"},
        {KEYS("retries: {attempts: 0, on: [reset], methods: all, budget: 101, body: 33KiB}"),
            AT("1:64") "upstreams.u.retries.attempts: 0 is out of bounds (1 to 16)\n"
            AT("1:71") "upstreams.u.retries.on: a failed connect is tried again wherever anything is; add connect, or say attempts: 1\n"
            AT("1:89") "upstreams.u.retries.methods: expected idempotent or any, found \"all\"\n"
            AT("1:102") "upstreams.u.retries.budget: 101 is out of bounds (0 to 100)\n"
            AT("1:113") "upstreams.u.retries.body: 33KiB is out of bounds (0 to 32KiB)\n"},
        {KEYS("retries: {attempts: 17, on: [], body: unlimited}"),
            AT("1:64") "upstreams.u.retries.attempts: 17 is out of bounds (1 to 16)\n"
            AT("1:72") "upstreams.u.retries.on: expected at least 1 entry, found 0\n"
            AT("1:82") "upstreams.u.retries.body: expected a size such as 64MiB, found \"unlimited\"\n"},
        {KEYS("retries: {on: [connect, timeout], methods: GET}"),
            AT("1:68") "upstreams.u.retries.on[1]: expected connect or reset, found \"timeout\"\n"
            AT("1:87") "upstreams.u.retries.methods: expected idempotent or any, found \"GET\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_mistakes_in_tls_to_backends_are_told(void **state)
{
    static const struct mistake cases[] = {
        {KEYS("tls: {}"),
            AT("1:49") "upstreams.u.tls.ca: required key is missing; expected a list of paths (the system's own authorities are never used)\n"},
        {KEYS("tls: {ca: [], verify: no}"),
            AT("1:54") "upstreams.u.tls.ca: expected at least 1 entry, found 0\n"
            AT("1:66") "upstreams.u.tls.verify: expected false or true, found \"no\"\n"},
        {KEYS("tls: {ca: [a], name: \"*.example\", sni: 10.0.0.1, uri: backend, depth: 11, min_version: \"1.1\"}"),
            AT("1:65") "upstreams.u.tls.name: expected a host name or an address without a port, found \"*.example\"\n"
            AT("1:83") "upstreams.u.tls.sni: expected a host name such as api.example.com, found \"10.0.0.1\"\n"
            AT("1:98") "upstreams.u.tls.uri: expected a pattern of URIs such as spiffe://corp.example/backend/*, found \"backend\"\n"
            AT("1:114") "upstreams.u.tls.depth: 11 is out of bounds (0 to 10)\n"
            AT("1:131") "upstreams.u.tls.min_version: expected 1.2 or 1.3, found \"1.1\"\n"},
        {KEYS("tls: {ca: [a], certificate: {chain: c}, name: \"a:80\"}"),
            AT("1:72") "upstreams.u.tls.certificate.key: required key is missing; expected a path\n"
            AT("1:90") "upstreams.u.tls.name: expected a host name or an address without a port, found \"a:80\"\n"},
        {KEYS("tls: {ca: [a], certificate: {chain: c, key: k, staple_url: auto}, crl: [\"http://x/y.crl\"]}"),
            AT("1:91") "upstreams.u.tls.certificate.staple_url: unknown key; known here: chain, key\n"
            AT("1:116") "upstreams.u.tls.crl[0]: expected a path (URLs are fetched for listeners only), found \"http://x/y.crl\"\n"},
        {KEYS("tls: {ca: [a], crl_missing: reject, crl_stale: grace}"),
            AT("1:72") "upstreams.u.tls.crl_missing: no revocation list is given, and \"reject\" would refuse every backend; give crl, or leave it out\n"
            AT("1:91") "upstreams.u.tls.crl_stale: expected reject, accept or {grace: 24h}, found \"grace\"\n"},
        {KEYS("tls: on"),
            AT("1:49") "upstreams.u.tls: expected a mapping, found \"on\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_mistakes_in_what_backends_are_told_are_told(void **state)
{
    static const struct mistake cases[] = {
        {KEYS("proxy_protocol: v3, proxy_protocol_client_cert: 1"),
            AT("1:60") "upstreams.u.proxy_protocol: expected off, v1 or v2, found \"v3\"\n"
            AT("1:92") "upstreams.u.proxy_protocol_client_cert: expected false or true, found \"1\"\n"},
        {KEYS("proxy_protocol: v1, proxy_protocol_client_cert: true"),
            AT("1:92") "upstreams.u.proxy_protocol_client_cert: only a header of version 2 can hold a certificate; say proxy_protocol: v2\n"},
        {KEYS("forwarding_headers: [x_forwarded, x-real-ip], host: \"*.example\", trailers: keep"),
            AT("1:78") "upstreams.u.forwarding_headers[1]: expected x_forwarded, forwarded or via, found \"x-real-ip\"\n"
            AT("1:96") "upstreams.u.host: expected a host such as api.example.com or 10.0.0.5:8080, found \"*.example\"\n"
            AT("1:119") "upstreams.u.trailers: expected drop or pass, found \"keep\"\n"},
        {KEYS("forwarding_headers: via, host: \"a:65536\", timeouts: {exchange: 0, tunnel: 1s}"),
            AT("1:64") "upstreams.u.forwarding_headers: expected a list of words, found \"via\"\n"
            AT("1:75") "upstreams.u.host: expected a host such as api.example.com or 10.0.0.5:8080, found \"a:65536\"\n"
            AT("1:107") "upstreams.u.timeouts.exchange: 0 is out of bounds (1ms to 7d)\n"
            AT("1:110") "upstreams.u.timeouts.tunnel: unknown key; known here: connect, response, exchange, idle\n"},
        {KEYS("host: \"[10.0.0.1]\""),
            AT("1:50") "upstreams.u.host: expected a host such as api.example.com or 10.0.0.5:8080, found \"[10.0.0.1]\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_mistakes_in_listeners_are_told(void **state)
{
    static const struct mistake cases[] = {
        {LISTENER("mode: tcp, tls: {certificates: [{chain: c, key: k}]}, rewrite: [{prefix: /a}]"),
            AT("1:155") "listeners[0].rewrite: with mode: tcp there are no paths; leave one or the other out\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}], alpn: [postgresql]}"),
            AT("1:140") "listeners[0].tls.alpn: only with mode: tcp may a client choose a protocol; leave it out or say that\n"},
        {LISTENER("mode: tcp, tls: {certificates: [{chain: c, key: k}], alpn: [a, \"a b\", a]}"),
            AT("1:155") "listeners[0].tls.alpn[1]: expected a protocol such as postgresql, found \"a b\"\n"
            AT("1:162") "listeners[0].tls.alpn[2]: \"a\" is given twice; first on line 1\n"},
        {LISTENER("mode: tcp, tls: {certificates: [{chain: c, key: k}], alpn: []}"),
            AT("1:151") "listeners[0].tls.alpn: expected at least 1 entry, found 0\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, proxy_protocol: {}, timeouts: {tunnel: 0}"),
            AT("1:151") "listeners[0].proxy_protocol.from: required key is missing; expected an address block or a list of them\n"
            AT("1:174") "listeners[0].timeouts.tunnel: 0 is out of bounds (1ms to 7d)\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, proxy_protocol: {from: [all]}"),
            AT("1:159") "listeners[0].proxy_protocol.from[0]: expected an address or a block such as 10.0.0.0/8, found \"all\"\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, proxy_protocol: {from: 10.0.0.0/8, version: 2}"),
            AT("1:170") "listeners[0].proxy_protocol.version: unknown key; known here: from\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, proxy_protocol: off"),
            AT("1:151") "listeners[0].proxy_protocol: expected a mapping, found \"off\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_rewrites_that_cannot_be_or_never_are_used_are_told(void **state)
{
    static const struct mistake cases[] = {
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, rewrite: [{prefix: api}, {prefix: \"/a b\"}, {prefix: \"/a#b\"}, {prefix: \"/a?b\"}, {replace: /x}]"),
            AT("1:154") "listeners[0].rewrite[0].prefix: expected a path of whole segments such as /api, found \"api\"\n"
            AT("1:169") "listeners[0].rewrite[1].prefix: expected a path of whole segments such as /api, found \"/a b\"\n"
            AT("1:187") "listeners[0].rewrite[2].prefix: expected a path of whole segments such as /api, found \"/a#b\"\n"
            AT("1:205") "listeners[0].rewrite[3].prefix: expected a path of whole segments such as /api, found \"/a?b\"\n"
            AT("1:214") "listeners[0].rewrite[4].prefix: required key is missing; expected a path of whole segments such as /api\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, rewrite: [{prefix: /a, replace: b}, {prefix: /b, replace: /b/}, {prefix: /}]"),
            AT("1:167") "listeners[0].rewrite[0].replace: expected a path of whole segments such as /api, found \"b\"\n"
            AT("1:171") "listeners[0].rewrite[1]: prefix and replace are the same: nothing would change; leave it out\n"
            AT("1:199") "listeners[0].rewrite[2]: prefix and replace are the same: nothing would change; leave it out\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, rewrite: [{prefix: /a}, {prefix: /ab}, {prefix: /a/b, replace: /x}]"),
            AT("1:174") "listeners[0].rewrite[2]: rewrite[0] fits first, always; put this one in front of it, or leave it out\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, rewrite: [{host: a.example, prefix: /a}, {prefix: /a}, {host: b.example, prefix: /a}, {host: a.example, prefix: /a/}]"),
            AT("1:190") "listeners[0].rewrite[2]: rewrite[1] fits first, always; put this one in front of it, or leave it out\n"
            AT("1:221") "listeners[0].rewrite[3]: rewrite[0] fits first, always; put this one in front of it, or leave it out\n"},
        {LISTENER("tls: {certificates: [{chain: c, key: k}]}, rewrite: []"),
            AT("1:144") "listeners[0].rewrite: expected at least 1 entry, found 0\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_upgrades_and_edits_that_are_never_allowed_are_told(void **state)
{
    static const struct mistake cases[] = {
        {RULE("upgrade: [h2c, \"a b\", TLS, websocket, WebSocket]"),
            AT("1:53") "rules[0].upgrade[0]: expected a protocol such as websocket (in h2c, h2, http or tls further requests would come that no rule sees), found \"h2c\"\n"
            AT("1:58") "rules[0].upgrade[1]: expected a protocol such as websocket (in h2c, h2, http or tls further requests would come that no rule sees), found \"a b\"\n"
            AT("1:65") "rules[0].upgrade[2]: expected a protocol such as websocket (in h2c, h2, http or tls further requests would come that no rule sees), found \"TLS\"\n"
            AT("1:81") "rules[0].upgrade[4]: \"websocket\" is given twice; first on line 1\n"},
        {RULE("upgrade: websocket"),
            AT("1:52") "rules[0].upgrade: expected a list of protocols, found \"websocket\"\n"},
        {RULE("request_headers: {}, response_headers: {sett: {A: b}}"),
            AT("1:60") "rules[0].request_headers: expected at least 1 entry, found 0\n"
            AT("1:83") "rules[0].response_headers.sett: unknown key; did you mean \"set\"?\n"},
        {RULE("request_headers: {set: {Host: a, X-A: \"\"}, add: {transfer-encoding: b, \"X A\": c}, remove: [Connection, \"\", \"X:\"]}"),
            AT("1:67") "rules[0].request_headers.set.Host: Host frames the message or belongs to one connection; it cannot be changed\n"
            AT("1:81") "rules[0].request_headers.set.X-A: expected printable ASCII without blanks around it, found \"\"\n"
            AT("1:92") "rules[0].request_headers.add.transfer-encoding: transfer-encoding frames the message or belongs to one connection; it cannot be changed\n"
            AT("1:114") "rules[0].request_headers.add.X A: expected a header field's name such as X-Tenant\n"
            AT("1:134") "rules[0].request_headers.remove[0]: Connection frames the message or belongs to one connection; it cannot be changed\n"
            AT("1:146") "rules[0].request_headers.remove[1]: expected a header field's name such as X-Tenant, found \"\"\n"
            AT("1:150") "rules[0].request_headers.remove[2]: expected a header field's name such as X-Tenant, found \"X:\"\n"},
        {RULE("response_headers: {set: {X-A: a, x-a: b}, add: {X-B: b, X-A: c}, remove: [x-b, X-C, x-c]}"),
            AT("1:76") "rules[0].response_headers.set.x-a: the field is given twice; first on line 1\n"
            AT("1:99") "rules[0].response_headers.add.X-A: X-A is given twice; first on line 1\n"
            AT("1:117") "rules[0].response_headers.remove[0]: x-b is given twice; first on line 1\n"
            AT("1:127") "rules[0].response_headers.remove[2]: x-c is given twice; first on line 1\n"},
        {"rules: [{name: r, from: [c], deny: 403, upgrade: [websocket], request_headers: {remove: [A]}, response_headers: {remove: [A]}}, {name: q, from: [c], upstream: u}]\n" LISTENERS CALLERS UPSTREAMS,
            AT("1:50") "rules[0].upgrade: a rule with deny lets nothing through that this could be done to; leave one of them out\n"
            AT("1:80") "rules[0].request_headers: a rule with deny lets nothing through that this could be done to; leave one of them out\n"
            AT("1:113") "rules[0].response_headers: a rule with deny lets nothing through that this could be done to; leave one of them out\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_a_rule_that_only_connections_without_requests_reach_is_told(void **state)
{
    static const struct mistake cases[] = {
        {TCP("{name: r, from: [c], upstream: u, listener: t, path: /a, methods: [GET], headers: [{name: A}]}"),
            AT("1:62") "rules[0].path: only listeners of mode tcp lead to this rule, where there are no paths: it would never match\n"
            AT("1:75") "rules[0].methods: only listeners of mode tcp lead to this rule, where there are no methods: it would never match\n"
            AT("1:91") "rules[0].headers: only listeners of mode tcp lead to this rule, where there are no headers: it would never match\n"},
        {TCP("{name: r, from: [c], upstream: u, listener: [t], upgrade: [websocket], request_headers: {remove: [A]}, response_headers: {remove: [A]}}"),
            AT("1:67") "rules[0].upgrade: only listeners of mode tcp lead to this rule, where there are no requests\n"
            AT("1:97") "rules[0].request_headers: only listeners of mode tcp lead to this rule, where there are no requests\n"
            AT("1:130") "rules[0].response_headers: only listeners of mode tcp lead to this rule, where there are no responses\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void test_limits_and_proxies_are_told_with_what_would_be_right(void **state)
{
    static const struct mistake cases[] = {
        {"resolver: {servers: [dns.example, \"127.0.0.1:0\", \"[::1]:53\"], server: x}\n" REST,
            AT("1:22") "resolver.servers[0]: expected an address with a port such as 10.0.0.53:53, found \"dns.example\"\n"
            AT("1:35") "resolver.servers[1]: expected an address with a port such as 10.0.0.53:53, found \"127.0.0.1:0\"\n"
            AT("1:63") "resolver.server: unknown key; did you mean \"servers\"?\n"},
        {"limits: {requests: 0, memory: 1023KiB}\n" REST,
            AT("1:20") "limits.requests: 0 is out of bounds (1 to 1000000)\n"
            AT("1:31") "limits.memory: 1023KiB is out of bounds (1MiB to 1024GiB)\n"},
        {"limits: {memory: unlimited, requests: 1000001}\n" REST,
            AT("1:18") "limits.memory: expected a size such as 64MiB, found \"unlimited\"\n"
            AT("1:39") "limits.requests: 1000001 is out of bounds (1 to 1000000)\n"},
        {"fetch: {max_size: unlimited}\n" REST,
            AT("1:19") "fetch.max_size: expected a size such as 64MiB, found \"unlimited\"\n"},
        {"trusted_proxies: [{from: [c], forwarded: keep}]\n" REST,
            AT("1:42") "trusted_proxies[0].forwarded: expected replace or append, found \"keep\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}
/* clang-format on */

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints_are_told_with_what_would_be_right),
        cmocka_unit_test(test_balancing_and_queues_are_told_with_their_bounds),
        cmocka_unit_test(test_health_checks_ejections_and_retries_are_told_with_their_bounds),
        cmocka_unit_test(test_mistakes_in_tls_to_backends_are_told),
        cmocka_unit_test(test_mistakes_in_what_backends_are_told_are_told),
        cmocka_unit_test(test_mistakes_in_listeners_are_told),
        cmocka_unit_test(test_rewrites_that_cannot_be_or_never_are_used_are_told),
        cmocka_unit_test(test_upgrades_and_edits_that_are_never_allowed_are_told),
        cmocka_unit_test(test_a_rule_that_only_connections_without_requests_reach_is_told),
        cmocka_unit_test(test_limits_and_proxies_are_told_with_what_would_be_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
