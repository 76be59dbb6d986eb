/* The names that only we may say: every family, in every spelling that a backend may fold together, and the
 * neighbours that are not ours to remove. */
#include "sallyport/headers/headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const PROTECTED[] = {
    /* rfc9440 */
    "Client-Cert",
    "Client-Cert-Chain",
    /* plain */
    "X-Client-Verify",
    "X-Client-Subject",
    "X-Client-Issuer",
    "X-Client-Serial",
    "X-Client-SAN-URI",
    "X-Client-SAN-DNS",
    "X-Client-SAN-Email",
    "X-Client-SAN-Other",
    "X-Client-Cert-SHA256",
    "X-Client-Not-After",
    "X-Client-Not-Before",
    "X-Client-Rule",
    "X-Client-Cert-Thumbprint",
    "X-Client-Cert",
    "X-Client-Cert-Present",
    "X-Client-Subject-DN",
    "X-Client-Issuer-DN",
    /* xfcc */
    "X-Forwarded-Client-Cert",
    /* traefik */
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    /* where it came from */
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-Server",
    "X-Real-IP",
    "Remote-User",
    "X-Remote-User",
    "X-Forwarded-User",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    /* nginx and its ingress controllers */
    "X-SSL-Client-Verify",
    "X-SSL-Client-S-DN",
    "X-SSL-Client-I-DN",
    "X-SSL-Client-Serial",
    "X-SSL-Client-Fingerprint",
    "X-SSL-Client-Cert",
    "X-SSL-DN",
    "X-SSL-",
    "SSL-Client-Cert",
    "SSL-Client-Verify",
    "SSL-Client-Subject-DN",
    /* alb */
    "X-Amzn-Mtls-Clientcert-Serial-Number",
    "X-Amzn-Mtls-Clientcert-Issuer",
    "X-Amzn-Mtls-Clientcert-Subject",
    "X-Amzn-Mtls-Clientcert-Validity",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "X-Amzn-Mtls-Clientcert",
    /* 0-RTT */
    "Early-Data",
};

static const char *const FREE[] = {
    "",
    "X",
    "X-",
    "Host",
    "Cookie",
    "Authorization",
    "Accept",
    "Content-Type",
    "User-Agent",
    "Via",
    "Traceparent",
    /* a word more, a word less, a letter off */
    "X-Client-Id",
    "X-Client-Name",
    "X-Client",
    "X-Clients-Cert",
    "X-Client-Sanction",
    "X-Client-Verified",
    "X-Client-Serials",
    "X-Client-Rules",
    "X-Client-Not",
    "Client",
    "Client-Certs",
    "Client-Cert-Chains",
    "Client-Id",
    "A-Client-Cert",
    "XX-Client-Cert",
    "Forwarde",
    "Forwarded-For",
    "Forwardeds",
    "X-Forwarded",
    "X-Forwarded-Fo",
    "X-Forwarded-Fort",
    "X-Forwarded-Something",
    "X-Forwarded-Client",
    "X-Real-I",
    "X-Real-IPs",
    "X-SSL",
    "X-SSLX-Cert",
    "SSL-Client",
    "SSL-Clients-Cert",
    "X-Amzn-Trace-Id",
    "X-Amzn-Mtls",
    "Early-Dat",
    "Early-Data2",
    "XClient-Cert",
    "X--Client-Cert",
};

/* `how` is one of the spellings that CGI-like backends do not tell apart. */
static struct sp_slice spell(const char *name, int how, char out[128])
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool is_letter = (sp_lower(c) >= 'a' && sp_lower(c) <= 'z');
        if (c == '-' && (how & 3) != 0)
            c = (how & 3) == 1 ? '_' : (how & 3) == 2 ? '.' : "-_.!+~|"[i % 7];
        if (is_letter && (how & 12) == 4)
            c = sp_lower(c);
        if (is_letter && ((how & 12) == 8 || ((how & 12) == 12 && i % 2 == 0)))
            c = (char)(sp_lower(c) & ~0x20);
        out[i] = c;
    }
    return (struct sp_slice){out, n};
}

static void test_every_family_is_protected_in_every_spelling(void **state)
{
    char out[128];
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(PROTECTED); i++) {
        for (int how = 0; how < 16; how++) {
            struct sp_slice name = spell(PROTECTED[i], how, out);
            if (!sp_name_is_protected(name))
                fail_msg("%.*s passes", SP_FMT(name));
        }
    }
}

static void test_its_neighbours_pass(void **state)
{
    char out[128];
    (void)state;

    for (size_t i = 0; i < SP_COUNTOF(FREE); i++) {
        for (int how = 0; how < 16; how++) {
            struct sp_slice name = spell(FREE[i], how, out);
            if (sp_name_is_protected(name))
                fail_msg("%.*s is taken for ours", SP_FMT(name));
        }
    }
}

static void test_a_name_is_read_by_its_length(void **state)
{
    (void)state;
    assert_false(sp_name_is_protected((struct sp_slice){"X-Forwarded-For", 14}));
    assert_false(sp_name_is_protected((struct sp_slice){"Client-Cert-Chain", 13}));
    assert_true(sp_name_is_protected((struct sp_slice){"Client-Cert-Chain", 11}));
    assert_true(sp_name_is_protected((struct sp_slice){"X-Real-IP: 1", 9}));
}

/* What we send ourselves must be on the list, or a client could send it too. */
static void test_whatever_we_say_is_protected(void **state)
{
    static const struct sp_slice URI[] = {SP_SLICE("spiffe://x/y")};
    struct sp_identity id = {
        .subject = SP_SLICE("CN=a"),
        .issuer = SP_SLICE("CN=b"),
        .uris = {URI, 1},
        .dns_names = {URI, 1},
        .emails = {URI, 1},
        .serial_hex = SP_SLICE("01"),
        .not_after = 1,
        .sha256_hex = SP_SLICE("ab"),
        .sha256_b64url = SP_SLICE("cd"),
        .client_cert = SP_SLICE(":AA==:"),
        .client_cert_chain = SP_SLICE(":AA==:"),
    };
    struct sp_config_upstream upstream = {.identity_headers = SP_IDENTITY_PLAIN | SP_IDENTITY_RFC9440};
    struct sp_config config = {.upstreams = &upstream, .upstream_count = 1};
    const struct sp_headers_about about = {.identity = &id, .proxy = (size_t)-1};
    struct sp_diags diags = {0};
    struct sp_header_lines lines;
    struct sp_arena arena;
    struct sp_err err = {0};
    (void)state;

    sp_arena_init(&arena, 0);
    struct sp_headers *h = sp_headers_new(&config, &diags);
    assert_non_null(h);
    assert_int_equal(sp_headers_make(h, 0, &about, &arena, &lines, &err), SP_OK);
    assert_int_equal(lines.count, 12);
    for (size_t i = 0; i < lines.count; i++) {
        if (!sp_name_is_protected(lines.lines[i].name))
            fail_msg("%.*s is ours and may come from a client", SP_FMT(lines.lines[i].name));
    }
    sp_arena_free(&arena);
    sp_headers_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_family_is_protected_in_every_spelling),
        cmocka_unit_test(test_its_neighbours_pass),
        cmocka_unit_test(test_a_name_is_read_by_its_length),
        cmocka_unit_test(test_whatever_we_say_is_protected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
