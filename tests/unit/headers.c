/* What each family says of one and the same client, byte by byte; what it says of nobody; and what no family can say. */
#include "headers_fixture.h"

#include <errno.h>

/* 50 bytes of "certificate" are 68 characters: a line of PEM and a bit. */
#define LEAF_64 "MIIB/+AwIBAgIUabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
#define LEAF    LEAF_64 "Yz0="
#define MIDDLE  "MIDDLE+/"
#define SECOND  "SECOND=="
#define SHA256  "d02ed547d02ed547d02ed547d02ed547d02ed547d02ed547d02ed547d02ed547"
#define SHA1    "0123456789abcdef0123456789abcdef01234567"

static const struct sp_name_attr SUBJECT[] = {
    ATTR("C", "US", 0),
    ATTR("DC", "test", 1),
    ATTR("DC", "acme", 2),
    ATTR("O", "Acme, Inc.", 3),
    ATTR("OU", "ops", 4),
    ATTR("OU", "S\xc3\xb6hne", 5),
    ATTR("CN", "first", 6),
    ATTR("CN", "billing svc", 7),
    ATTR("serialNumber", "77", 8),
};
static const struct sp_name_attr ISSUER[] = {
    ATTR("O", "Acme", 0), ATTR("OU", "unsaid", 1), ATTR("CN", "CA", 2)};
static const struct sp_slice URIS[] = {SP_SLICE("spiffe://acme.test/ns/pay"), SP_SLICE("https://x/?a=b;c")};
static const struct sp_slice DNS[] = {SP_SLICE("billing.acme.test"), SP_SLICE("b.acme.test")};
static const struct sp_slice EMAILS[] = {SP_SLICE("a@acme.test")};
static const struct sp_slice IPS[] = {
    {"\x0a\0\0\x01", 4},
    {"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16},
    {"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x02", 16}, /* these two are spelled by Go as by nobody else */
    {"\0\0\0\0\0\0\0\0\0\0\0\0\1\2\3\4", 16},
    {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16},
};

static struct sp_identity somebody(void)
{
    return (struct sp_identity){
        .subject = SP_SLICE("CN=billing svc,CN=first,OU=S\\C3\\B6hne,OU=ops,O=Acme\\, Inc.,C=US"),
        .issuer = SP_SLICE("CN=CA,O=Acme"),
        .subject_attrs = SUBJECT,
        .subject_attr_count = SP_COUNTOF(SUBJECT),
        .issuer_attrs = ISSUER,
        .issuer_attr_count = SP_COUNTOF(ISSUER),
        .uris = {URIS, 2},
        .dns_names = {DNS, 2},
        .emails = {EMAILS, 1},
        .ips = {IPS, SP_COUNTOF(IPS)},
        .serial_hex = SP_SLICE("03a5b1ff00000000000000000000000000000001"),
        .not_before = 1767225600,
        .not_after = 1798761599,
        .sha256_hex = SP_SLICE(SHA256),
        .sha1_hex = SP_SLICE(SHA1),
        .sha256_b64url = SP_SLICE("0C7VR9Au"),
        .client_cert = SP_SLICE(":" LEAF ":"),
        .client_cert_chain = SP_SLICE(":" MIDDLE ":, :" SECOND ":"),
    };
}

static void expect_lines(const char *upstream, const struct sp_headers_about *about, const char *lines)
{
    struct told *t = SP_NEW(struct told);

    compile(t, upstream, "");
    if (tell(t, about) != SP_OK)
        fail_msg("%s: %s", upstream, t->err.text);
    assert_string_equal(t->text, lines);
    assert_null(t->lines.xfcc_element.ptr);
    forget(t);
    sp_free(t);
}

#define BEGIN "-----BEGIN%20CERTIFICATE-----%0A"
#define END   "-----END%20CERTIFICATE-----%0A"
#define PEM(lines)                                                                                           \
    BEGIN lines "%0A"                                                                                        \
                "" END
#define ESCAPED_LEAF                                                                                         \
    PEM("MIIB%2F%2BAwIBAgIUabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX%0A"                            \
        "Yz0%3D")
#define XFCC_HASH    "X-Forwarded-Client-Cert: By=spiffe://edge/sp;Hash=" SHA256
#define XFCC_SUBJECT ";Subject=\"CN=billing svc,CN=first,OU=S\\C3\\B6hne,OU=ops,O=Acme\\2C Inc.,C=US\""
#define XFCC_NAMES                                                                                           \
    ";URI=spiffe://acme.test/ns/pay;URI=\"https://x/?a=b;c\";DNS=billing.acme.test;DNS=b.acme.test\n"

static void test_each_family_says_what_its_readers_expect(void **state)
{
    static const struct {
        const char *upstream, *lines;
    } CASES[] = {
        {"identity_headers: []", ""},
        {"identity_headers: [plain]",
            "X-Client-Verify: SUCCESS\n"
            "X-Client-Subject: CN=billing svc,CN=first,OU=S\\C3\\B6hne,OU=ops,O=Acme\\, Inc.,C=US\n"
            "X-Client-Issuer: CN=CA,O=Acme\n"
            "X-Client-Serial: 03a5b1ff00000000000000000000000000000001\n"
            "X-Client-SAN-URI: spiffe://acme.test/ns/pay\n"
            "X-Client-SAN-URI: https://x/?a=b;c\n"
            "X-Client-SAN-DNS: billing.acme.test\n"
            "X-Client-SAN-DNS: b.acme.test\n"
            "X-Client-SAN-Email: a@acme.test\n"
            "X-Client-Cert-SHA256: " SHA256 "\n"
            "X-Client-Not-After: 2026-12-31T23:59:59Z\n"
            "X-Client-Cert-Thumbprint: 0C7VR9Au\n"},
        {"identity_headers: [rfc9440]", "Client-Cert: :" LEAF ":\n"
                                        "Client-Cert-Chain: :" MIDDLE ":, :" SECOND ":\n"},
        {"identity_headers: [nginx]",
            "X-SSL-Client-Verify: SUCCESS\n"
            "X-SSL-Client-S-DN: CN=billing svc,CN=first,OU=S\\C3\\B6hne,OU=ops,O=Acme\\, Inc.,C=US\n"
            "X-SSL-Client-I-DN: CN=CA,O=Acme\n"
            "X-SSL-Client-Serial: 03A5B1FF00000000000000000000000000000001\n"
            "X-SSL-Client-Fingerprint: " SHA1 "\n"
            "X-SSL-Client-Cert: " ESCAPED_LEAF "\n"},
        {"identity_headers: [alb]",
            "X-Amzn-Mtls-Clientcert-Serial-Number: 03A5B1FF00000000000000000000000000000001\n"
            "X-Amzn-Mtls-Clientcert-Issuer: CN=CA,O=Acme\n"
            "X-Amzn-Mtls-Clientcert-Subject: CN=billing svc,CN=first,OU=S\\C3\\B6hne,OU=ops,O=Acme\\, Inc.,C=US\n"
            "X-Amzn-Mtls-Clientcert-Validity: NotBefore=2026-01-01T00:00:00Z;NotAfter=2026-12-31T23:59:59Z\n"
            "X-Amzn-Mtls-Clientcert-Leaf: " PEM(LEAF_64 "%0AYz0=") "\n"},
        {"identity_headers: [traefik]",
            "X-Forwarded-Tls-Client-Cert: " LEAF "," MIDDLE "," SECOND "\n"
            "X-Forwarded-Tls-Client-Cert-Info: "
            "Subject%3D%22DC%3Dtest%2CDC%3Dacme%2CC%3DUS%2CO%3DAcme%2C+Inc.%2COU%3Dops%2COU%3DS%C3%B6hne%2C"
            "SN%3D77%2CCN%3Dbilling+svc%22%3BIssuer%3D%22O%3DAcme%2CCN%3DCA%22%3B"
            "SerialNumber%3D%2220822100916842557794017460739117764667171143681%22%3BNB%3D%221767225600%22%3B"
            "NA%3D%221798761599%22%3BSAN%3D%22billing.acme.test%2Cb.acme.test%2Ca%40acme.test%2C10.0.0.1%2C"
            "2001%3Adb8%3A%3A1%2C10.0.0.2%2C%3A%3A102%3A304%2C%3A%3A1%2C"
            "spiffe%3A%2F%2Facme.test%2Fns%2Fpay%2Chttps%3A%2F%2Fx%2F%3Fa%3Db%3Bc%22\n"},
        {"identity_headers: [xfcc]", XFCC_HASH XFCC_SUBJECT XFCC_NAMES},
        {"identity_headers: [xfcc], xfcc_details: [cert]",
            XFCC_HASH ";Cert=\"" ESCAPED_LEAF "\"" XFCC_SUBJECT XFCC_NAMES},
        {"identity_headers: [xfcc], xfcc_details: [chain]", XFCC_HASH
            ";Chain=\"" ESCAPED_LEAF PEM("MIDDLE%2B%2F") PEM("SECOND%3D%3D") "\"" XFCC_SUBJECT XFCC_NAMES},
    };
    const struct sp_identity id = somebody();
    const struct sp_headers_about about = {
        .identity = &id, .own_uri = SP_SLICE("spiffe://edge/sp"), .proxy = (size_t)-1};
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++)
        expect_lines(CASES[i].upstream, &about, CASES[i].lines);
}

static void test_nobody_is_said_to_be_nobody_and_nothing_else(void **state)
{
    const struct sp_headers_about about = {.own_uri = SP_SLICE("spiffe://edge/sp"), .proxy = (size_t)-1};
    (void)state;

    expect_lines("identity_headers: [plain, rfc9440, xfcc, nginx, traefik, alb], xfcc_details: [cert, chain]",
        &about, "X-Client-Verify: NONE\nX-SSL-Client-Verify: NONE\n");
}

static void test_what_a_certificate_lacks_has_no_line(void **state)
{
    const struct sp_identity id = {.subject = SP_SLICE(""),
        .serial_hex = SP_SLICE("00"),
        .sha256_hex = SP_SLICE(SHA256),
        .client_cert = SP_SLICE(":AAAA:"),
        .client_cert_chain = SP_SLICE("")};
    const struct sp_headers_about about = {.identity = &id, .proxy = (size_t)-1};
    (void)state;

    expect_lines("identity_headers: [plain, rfc9440, nginx, traefik, alb, xfcc], xfcc_details: [chain]",
        &about,
        "X-Client-Verify: SUCCESS\n"
        "X-Client-Serial: 00\n"
        "X-Client-Cert-SHA256: " SHA256 "\n"
        "Client-Cert: :AAAA:\n"
        "X-SSL-Client-Verify: SUCCESS\n"
        "X-SSL-Client-Serial: 00\n"
        "X-SSL-Client-Cert: " PEM("AAAA") "\n"
                                          "X-Forwarded-Tls-Client-Cert: AAAA\n"
                                          "X-Forwarded-Tls-Client-Cert-Info: SerialNumber%3D%220%22\n"
                                          "X-Amzn-Mtls-Clientcert-Serial-Number: 00\n"
                                          "X-Amzn-Mtls-Clientcert-Leaf: " PEM(
                                              "AAAA") "\n"
                                                      "X-Forwarded-Client-Cert: Hash=" SHA256
                                                      ";Chain=\"" PEM("AAAA") "\";Subject=\"\"\n");
}

/* ---- serial numbers ---- */

static void test_a_serial_number_of_any_size_is_decimal_for_traefik(void **state)
{
    static const struct {
        const char *hex, *decimal;
    } CASES[] = {
        {"00", "0"},
        {"01", "1"},
        {"ff", "255"},
        {"-0f", "-15"},
        {"3b9ac9ff", "999999999"},
        {"3b9aca00", "1000000000"},
        {"0de0b6b3a7640000", "1000000000000000000"},
        {"7fffffffffffffffffffffffffffffffffffffff", "730750818665451459101842416358141509827966271487"},
        {"ffffffffffffffffffffffffffffffffffffffff", "1461501637330902918203684832716283019655932542975"},
    };
    char lines[512];
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        const struct sp_identity id = {
            .serial_hex = sp_slice_of(CASES[i].hex), .not_after = 1, .client_cert = SP_SLICE(":AAAA:")};
        const struct sp_headers_about about = {.identity = &id, .proxy = (size_t)-1};
        snprintf(lines, sizeof(lines),
            "X-Forwarded-Tls-Client-Cert: AAAA\nX-Forwarded-Tls-Client-Cert-Info: "
            "SerialNumber%%3D%%22%s%%22%%3BNB%%3D%%220%%22%%3BNA%%3D%%221%%22\n",
            CASES[i].decimal);
        expect_lines("identity_headers: [traefik]", &about, lines);
    }
}

/* ---- what cannot be said ---- */

static void expect_refused(const char *upstream, const struct sp_identity *id, int sys, const char *needle)
{
    const struct sp_headers_about about = {.identity = id, .proxy = (size_t)-1};
    struct told *t = SP_NEW(struct told);

    compile(t, upstream, "");
    if (tell(t, &about) == SP_OK)
        fail_msg("%s says %s", upstream, t->text);
    assert_int_equal(t->err.sys, sys);
    if (strstr(t->err.text, needle) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", t->err.text, needle);
    forget(t);
    sp_free(t);
}

static void test_a_name_without_a_spelling_is_refused_not_cleaned(void **state)
{
    static const struct sp_slice QUOTE[] = {SP_SLICE("spiffe://x/\"a")}, BACKSLASH[] = {SP_SLICE("a\\")},
                                 NEWLINE[] = {SP_SLICE("a\r\nX-Client-Rule: admin")},
                                 UTF8[] = {SP_SLICE("s\xc3\xb6")}, BLANK[] = {SP_SLICE("a ")};
    static const struct {
        const char *upstream;
        struct sp_slices uris, dns;
        const char *needle;
    } CASES[] = {
        {"identity_headers: [xfcc]", {QUOTE, 1}, {NULL, 0}, "X-Forwarded-Client-Cert"},
        {"identity_headers: [xfcc]", {NULL, 0}, {BACKSLASH, 1}, "X-Forwarded-Client-Cert"},
        {"identity_headers: [xfcc]", {NEWLINE, 1}, {NULL, 0}, "X-Forwarded-Client-Cert"},
        {"identity_headers: [plain]", {NEWLINE, 1}, {NULL, 0}, "X-Client-SAN-URI"},
        {"identity_headers: [plain]", {NULL, 0}, {UTF8, 1}, "X-Client-SAN-DNS"},
        {"identity_headers: [plain]", {NULL, 0}, {BLANK, 1}, "blank"},
        {"identity_headers: [], headers: {X-A: \"{uri}\"}", {UTF8, 1}, {NULL, 0}, "X-A"},
    };
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        const struct sp_identity id = {.uris = CASES[i].uris, .dns_names = CASES[i].dns};
        expect_refused(CASES[i].upstream, &id, 0, CASES[i].needle);
    }
}

static void test_an_attribute_that_traefiks_readers_would_take_for_two_is_refused(void **state)
{
    static const struct {
        struct sp_name_attr attr;
        bool passes;
    } CASES[] = {
        {ATTR("O", "Acme, Inc.", 0), true},
        {ATTR("O", "a=b", 0), true},
        {ATTR("O", "a=b, c", 0), true},
        {ATTR("O", "a;SAN=b", 0), true},
        {ATTR("O", "a,CN=admin", 0), false},
        {ATTR("O", "a, b CN=admin", 0), false},
        {ATTR("CN", "a\";SAN=\"b", 0), false},
        {ATTR("UID", "unsaid\"", 0), true},
    };
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        const struct sp_identity as_subject = {.subject_attrs = &CASES[i].attr, .subject_attr_count = 1};
        const struct sp_identity as_issuer = {.issuer_attrs = &CASES[i].attr, .issuer_attr_count = 1};
        const struct sp_identity *both[] = {&as_subject, &as_issuer};
        for (size_t k = 0; k < SP_COUNTOF(both); k++) {
            const struct sp_headers_about about = {.identity = both[k], .proxy = (size_t)-1};
            struct told *t = SP_NEW(struct told);
            compile(t, "identity_headers: [traefik]", "");
            if ((tell(t, &about) == SP_OK) != CASES[i].passes)
                fail_msg("%s: %s", CASES[i].attr.value.ptr, CASES[i].passes ? t->err.text : "passes");
            forget(t);
            sp_free(t);
        }
    }
}

static void test_our_own_name_that_has_no_spelling_is_left_out_and_refuses_nobody(void **state)
{
    const struct sp_identity id = {.sha256_hex = SP_SLICE("ab")};
    (void)state;

    expect_lines("identity_headers: [xfcc]",
        &(struct sp_headers_about){.identity = &id, .own_uri = SP_SLICE("urn:\"x"), .proxy = (size_t)-1},
        "X-Forwarded-Client-Cert: Hash=ab;Subject=\"\"\n");
    expect_lines("identity_headers: [xfcc]",
        &(struct sp_headers_about){.identity = &id, .own_uri = SP_SLICE("urn:x;By=y"), .proxy = (size_t)-1},
        "X-Forwarded-Client-Cert: By=\"urn:x;By=y\";Hash=ab;Subject=\"\"\n");
}

static void test_what_no_head_can_hold_is_too_large_and_never_cut(void **state)
{
    static const char *const UPSTREAMS_[] = {"identity_headers: [xfcc], xfcc_details: [cert, chain]",
        "identity_headers: [rfc9440, nginx]", "identity_headers: [rfc9440, traefik, alb]"};
    size_t len = 21846; /* of a certificate of 16 KiB */
    char *cert = malloc(len);
    (void)state;

    memset(cert, 'A', len);
    cert[0] = cert[len - 1] = ':';
    const struct sp_identity id = {.client_cert = {cert, len}};
    for (size_t i = 0; i < SP_COUNTOF(UPSTREAMS_); i++)
        expect_refused(UPSTREAMS_[i], &id, EMSGSIZE, "larger than a head");
    free(cert);
}

static void test_a_blank_at_the_end_of_a_name_survives_the_way(void **state)
{
    const struct sp_identity id = {.subject = SP_SLICE("CN=a\\ "),
        .issuer = SP_SLICE("CN=b \\ "),
        .serial_hex = SP_SLICE("01"),
        .client_cert = SP_SLICE("")};
    const struct sp_headers_about about = {.identity = &id, .proxy = (size_t)-1};
    (void)state;

    expect_lines("identity_headers: [nginx]", &about,
        "X-SSL-Client-Verify: SUCCESS\n"
        "X-SSL-Client-S-DN: CN=a\\20\n"
        "X-SSL-Client-I-DN: CN=b \\20\n"
        "X-SSL-Client-Serial: 01\n");
}

/* ---- trusted proxies ---- */

static void test_what_a_trusted_proxy_says_we_do_not_say(void **state)
{
#define NGINX       "X-SSL-Client-Verify: SUCCESS\nX-SSL-Client-Cert: " PEM("AAAA") "\n"
#define ELEMENT     "X-Forwarded-Client-Cert: Hash=ab;Subject=\"\"\n"
#define PROXY(what) "trusted_proxies: [{from: [c], " what "}]\n"
    static const struct {
        const char *proxy, *lines, *element;
        size_t which;
    } CASES[] = {
        {PROXY("identity_headers: [rfc9440]"), NGINX ELEMENT, NULL, 0},
        {PROXY("identity_headers: [rfc9440]"), "Client-Cert: :AAAA:\n" NGINX ELEMENT, NULL, (size_t)-1},
        {PROXY("identity_headers: [nginx]"), "Client-Cert: :AAAA:\n" ELEMENT, NULL, 0},
        {PROXY("identity_headers: [nginx, rfc9440], xfcc: forward_only"), "", NULL, 0},
        {PROXY("identity_headers: [nginx, rfc9440], xfcc: append_forward"), "", "Hash=ab;Subject=\"\"", 0},
        {PROXY("identity_headers: [nginx, rfc9440], xfcc: sanitize_set"), ELEMENT, NULL, 0},
    };
    const struct sp_identity id = {.client_cert = SP_SLICE(":AAAA:"), .sha256_hex = SP_SLICE("ab")};
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        const struct sp_headers_about about = {.identity = &id, .proxy = CASES[i].which};
        struct told *t = SP_NEW(struct told);
        compile(t, "identity_headers: [rfc9440, nginx, xfcc]", CASES[i].proxy);
        assert_int_equal(tell(t, &about), SP_OK);
        assert_string_equal(t->text, CASES[i].lines);
        struct sp_slice element = t->lines.xfcc_element;
        assert_true(sp_slice_equal(element, sp_slice_of(CASES[i].element)));
        forget(t);
        sp_free(t);
    }
}

static void test_a_trusted_proxy_may_say_what_it_was_trusted_with_and_nothing_else(void **state)
{
    static const struct {
        const char *proxy, *name;
        bool passes;
    } CASES[] = {
        {PROXY("identity_headers: [rfc9440]"), "Client-Cert", true},
        {PROXY("identity_headers: [rfc9440]"), "client-cert-chain", true},
        {PROXY("identity_headers: [rfc9440]"), "Client_Cert", false},
        {PROXY("identity_headers: [rfc9440]"), "Client-Cert-Other", false},
        {PROXY("identity_headers: [rfc9440]"), "X-Client-Subject", false},
        {PROXY("identity_headers: [rfc9440]"), "X-Forwarded-Client-Cert", false},
        {PROXY("identity_headers: [rfc9440]"), "X-Forwarded-For", false},
        {PROXY("identity_headers: [plain]"), "X-Client-Subject", true},
        {PROXY("identity_headers: [plain]"), "X-Client-SAN-Email", true},
        {PROXY("identity_headers: [plain]"), "X-Client-Rule", false},
        {PROXY("identity_headers: [plain]"), "X-Client-Subject-DN", false},
        {PROXY("identity_headers: [plain]"), "X-Team", false},
        {PROXY("identity_headers: [nginx]"), "X-SSL-Client-Cert", true},
        {PROXY("identity_headers: [nginx]"), "X-SSL-Client-Other", false},
        {PROXY("identity_headers: [traefik]"), "X-Forwarded-Tls-Client-Cert-Info", true},
        {PROXY("identity_headers: [alb]"), "X-Amzn-Mtls-Clientcert-Leaf", true},
        {PROXY("identity_headers: [alb]"), "X-Amzn-Mtls-Other", false},
        {PROXY("xfcc: forward_only"), "X-Forwarded-Client-Cert", true},
        {PROXY("xfcc: append_forward"), "x-forwarded-client-cert", true},
        {PROXY("xfcc: append_forward"), "X.Forwarded.Client.Cert", false},
        {PROXY("xfcc: append_forward"), "Client-Cert", false},
    };
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct told *t = SP_NEW(struct told);
        struct sp_slice name = sp_slice_of(CASES[i].name);
        compile(t, "headers: {X-Team: x}", CASES[i].proxy);
        if (sp_headers_may_pass(t->headers, 0, name) != CASES[i].passes)
            fail_msg("%s: %s", CASES[i].proxy, CASES[i].name);
        assert_false(sp_headers_may_pass(t->headers, (size_t)-1, name));
        assert_false(sp_headers_may_pass(t->headers, 1, name));
        forget(t);
        sp_free(t);
    }
}

static void test_what_passes_must_be_plain_and_single(void **state)
{
    static const struct {
        struct sp_header fields[3];
        enum sp_refusal reason;
    } CASES[] = {
        {{{.name = SP_SLICE("Client-Cert"), .value = SP_SLICE(":AA==:")},
             {.name = SP_SLICE("Client-Cert-Chain"), .value = SP_SLICE(":AA==:")},
             {.name = SP_SLICE("Client-Cert-Chain"), .value = SP_SLICE(":AA==:")}},
            SP_REFUSAL_none},
        {{{.name = SP_SLICE("Client-Cert"), .value = SP_SLICE(":AA==:")},
             {.name = SP_SLICE("client-cert"), .value = SP_SLICE(":AA==:")}},
            SP_REFUSAL_ambiguous_header},
        {{{.name = SP_SLICE("X-Forwarded-Client-Cert"), .value = SP_SLICE("Hash=a")},
             {.name = SP_SLICE("X-Forwarded-Client-Cert"), .value = SP_SLICE("Hash=b")}},
            SP_REFUSAL_ambiguous_header},
        {{{.name = SP_SLICE("Client-Cert"), .value = SP_SLICE("a\tb")}}, SP_REFUSAL_bad_header},
        {{{.name = SP_SLICE("X-Forwarded-Client-Cert"), .value = SP_SLICE("\xc3\xb6")}},
            SP_REFUSAL_bad_header},
        /* our element behind these would be a part of their last value, to this reader or that */
        {{{.name = SP_SLICE("X-Forwarded-Client-Cert"), .value = SP_SLICE("Hash=a;Subject=\"CN=b")}},
            SP_REFUSAL_bad_header},
        {{{.name = SP_SLICE("X-Forwarded-Client-Cert"), .value = SP_SLICE("Subject=\"CN=b\\\"")}},
            SP_REFUSAL_bad_header},
        {{{.name = SP_SLICE("X-Forwarded-Client-Cert"), .value = SP_SLICE("Subject=\"CN=b\\\\\"")}},
            SP_REFUSAL_bad_header},
        {{{.name = SP_SLICE("X-Forwarded-Client-Cert"), .value = SP_SLICE("URI=a\"")}},
            SP_REFUSAL_bad_header},
        {{{.name = SP_SLICE("X-Forwarded-Client-Cert"),
             .value = SP_SLICE("Subject=\"CN=a\\\"b\\\\c\\,d\";DNS=x\\,Subject=\"\"")}},
            SP_REFUSAL_none},
        /* what does not pass is dropped anyway */
        {{{.name = SP_SLICE("X-Client-Subject"), .value = SP_SLICE("\xc3\xb6")},
             {.name = SP_SLICE("X-Client-Subject"), .value = SP_SLICE("a")}},
            SP_REFUSAL_none},
    };
    struct told *t = SP_NEW(struct told);
    (void)state;

    compile(t, "identity_headers: []", PROXY("identity_headers: [rfc9440], xfcc: append_forward"));
    for (size_t i = 0; i < SP_COUNTOF(CASES); i++) {
        struct sp_fault fault = {0};
        struct sp_head *head = SP_NEW(struct sp_head);
        memcpy(head->headers, CASES[i].fields, sizeof(CASES[i].fields));
        head->header_count = 3;
        enum sp_rc rc = sp_headers_check_passed(t->headers, 0, head, &fault);
        if (rc != (CASES[i].reason == SP_REFUSAL_none ? SP_OK : SP_FAIL) ||
            (rc != SP_OK && fault.reason != CASES[i].reason))
            fail_msg("case %zu: %s", i, sp_refusal_name(fault.reason));
        assert_int_equal(sp_headers_check_passed(t->headers, (size_t)-1, head, &fault), SP_OK);
        sp_free(head);
    }
    forget(t);
    sp_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_family_says_what_its_readers_expect),
        cmocka_unit_test(test_nobody_is_said_to_be_nobody_and_nothing_else),
        cmocka_unit_test(test_what_a_certificate_lacks_has_no_line),
        cmocka_unit_test(test_a_serial_number_of_any_size_is_decimal_for_traefik),
        cmocka_unit_test(test_a_name_without_a_spelling_is_refused_not_cleaned),
        cmocka_unit_test(test_an_attribute_that_traefiks_readers_would_take_for_two_is_refused),
        cmocka_unit_test(test_our_own_name_that_has_no_spelling_is_left_out_and_refuses_nobody),
        cmocka_unit_test(test_what_no_head_can_hold_is_too_large_and_never_cut),
        cmocka_unit_test(test_a_blank_at_the_end_of_a_name_survives_the_way),
        cmocka_unit_test(test_what_a_trusted_proxy_says_we_do_not_say),
        cmocka_unit_test(test_a_trusted_proxy_may_say_what_it_was_trusted_with_and_nothing_else),
        cmocka_unit_test(test_what_passes_must_be_plain_and_single),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
