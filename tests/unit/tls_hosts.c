/* Virtual hosts: the name in the ClientHello decides who is trusted, whether a certificate is required and which one is
 * shown, however the name is written and the hello is cut; and what is no clear name is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tls_fixture.h"

static struct tls_pki pki;
static struct sp_config_certificate site_a, site_wild;
static struct tls_plan plan;

/* The listener: the clients' CA, required. One host of another CA, optional; one of its own mode alone. */
static int set_up(void **state)
{
    (void)state;
    tls_pki_make(&pki);
    site_a = tls_files("a", &pki.site_a);
    site_wild = tls_files("wild", &pki.site_wild);
    plan = (struct tls_plan){
        .min = SP_TLS_1_2,
        .hosts = {{.certs = &site_a, .cert_count = 1},
            {.names = {"b.test", "*.wild.test"},
                .mode = SP_AUTH_OPTIONAL,
                .ca = &pki.other_ca,
                .certs = &site_wild,
                .cert_count = 1},
            {.names = {"strict.wild.test"}, .ca = &pki.other_ca, .certs = &site_a, .cert_count = 1}},
        .host_count = 3,
    };
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_pki_free(&pki);
    fix_remove_folder();
    return 0;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static const char *shown(const struct tls_link *l)
{
    static char name[64];
    X509 *cert = SSL_get0_peer_certificate(l->client);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
    return name;
}

static const struct {
    const char *sni;
    size_t host;
    const char *shows;
} names[] = {
    {NULL, 0, "site-a"},
    {"a.test", 0, "site-a"},
    {"A.Test.", 0, "site-a"},
    {"b.test", 1, "site-wild"},
    {"B.TEST.", 1, "site-wild"},
    {"x.wild.test", 1, "site-wild"},
    {"exact.wild.test", 1, "site-wild"}, /* that the listener has a certificate of the name changes nothing */
    {"strict.wild.test", 2, "site-a"},   /* the very name wins over an earlier wildcard */
    {"STRICT.wild.test.", 2, "site-a"},
    {"y.x.wild.test", 0, "site-a"},
    {"wild.test", 0, "site-a"},
    {"xb.test", 0, "site-a"},
    {"127.0.0.1", 0, "site-a"},
    {"unknown.test", 0, "site-a"},
};

static const struct tls_client whole = {0}, cut = {.chunk = 1};
static const uint8_t long_alpn[] =
    "\x08http/1.1"
    "\xc8..............................................................................."
    "........................................................................"
    "................................................."
    "\xc8..............................................................................."
    "........................................................................"
    "................................................."
    "\xc8..............................................................................."
    "........................................................................"
    ".................................................";
static const struct tls_client fragmented = {
    .fragments = true, .chunk = 100, .alpn = {(const char *)long_alpn, sizeof long_alpn - 1}};
static const struct tls_client retried = {.groups = "X448:P-256"};
static const struct tls_client *const ways[] = {&whole, &cut, &fragmented, &retried};

static void test_the_name_decides_who_is_trusted_and_what_is_shown_however_the_hello_comes(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    const struct fix_cert *const clients[] = {&pki.good, &pki.stranger, NULL};
    static const bool let_in[][3] = {{true, false, false}, {false, true, true}, {false, true, false}};
    static const enum sp_refusal reasons[] = {
        SP_REFUSAL_untrusted_issuer, SP_REFUSAL_untrusted_issuer, SP_REFUSAL_no_certificate};
    for (size_t i = 0; i < SP_COUNTOF(names) * SP_COUNTOF(ways) * SP_COUNTOF(versions) * SP_COUNTOF(clients);
         i++) {
        size_t way = i % SP_COUNTOF(ways), who = i / SP_COUNTOF(ways) % SP_COUNTOF(clients);
        size_t n = i / SP_COUNTOF(ways) / SP_COUNTOF(clients) % SP_COUNTOF(names);
        struct tls_client c = *ways[way];
        c.min = c.max = versions[i / SP_COUNTOF(ways) / SP_COUNTOF(clients) / SP_COUNTOF(names)];
        c.sni = names[n].sni;
        c.cert = clients[who];
        struct tls_link l;
        tls_link_open(&l, &e, &c);
        tls_link_shake(&l, &c);
        bool in = l.rc == SP_OK;
        if (in != let_in[names[n].host][who])
            fail_msg("%s, client %zu, way %zu: %d %s", c.sni, who, way, l.rc, l.refusal.detail);
        if (in) {
            assert_int_equal(sp_tls_host(l.t), names[n].host);
            struct sp_identity *id = sp_tls_take_identity(l.t);
            assert_int_equal(id != NULL, c.cert != NULL);
            sp_identity_free(id);
        } else {
            assert_int_equal(l.refusal.reason, reasons[who]);
        }
        if (l.client_done)
            assert_string_equal(shown(&l), names[n].shows);
        tls_link_free(&l);
    }
    tls_end_free(&e);
}

static void test_the_ca_names_that_a_client_is_asked_for_are_the_host_s(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    for (size_t i = 0; i < 2; i++) {
        struct tls_client c = {
            .cert = i == 0 ? &pki.good : &pki.stranger, .sni = i == 0 ? "a.test" : "b.test"};
        struct tls_link l;
        tls_link_open(&l, &e, &c);
        tls_link_shake(&l, &c);
        assert_int_equal(l.rc, SP_OK);
        const STACK_OF(X509_NAME) *asked = SSL_get0_peer_CA_list(l.client);
        assert_int_equal(sk_X509_NAME_num(asked), 1);
        const X509 *ca = i == 0 ? pki.client_ca.cert : pki.other_ca.cert;
        assert_int_equal(X509_NAME_cmp(sk_X509_NAME_value(asked, 0), X509_get_subject_name(ca)), 0);
        tls_link_free(&l);
    }
    tls_end_free(&e);
}

static void test_a_name_that_nobody_serves_is_refused_if_so_configured(void **state)
{
    (void)state;
    struct tls_plan strict = plan;
    strict.reject_unknown_sni = true;
    struct tls_end e = tls_end_plan(&pki, &strict);
    static const struct {
        const char *sni;
        bool known;
    } cases[] = {{NULL, true}, {"a.test", true}, {"exact.WILD.test", true}, {"x.wild.test", true},
        {"b.test.", true}, {"c.test", false}, {"y.x.wild.test", false}, {"127.0.0.1", false},
        {"wild.test", false}};
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
            struct tls_client c = {.min = versions[v], .max = versions[v], .sni = cases[i].sni};
            struct tls_link l;
            tls_link_open(&l, &e, &c);
            tls_link_shake(&l, &c);
            enum sp_refusal reason = l.rc == SP_OK ? SP_REFUSAL_none : l.refusal.reason;
            if ((reason == SP_REFUSAL_unknown_sni) == cases[i].known || (l.alert == 112) == cases[i].known)
                fail_msg("%s: %s, alert %d", cases[i].sni, sp_refusal_name(reason), l.alert);
            tls_link_free(&l);
        }
    }
    tls_end_free(&e);
}

/* Up to the server's HelloRetryRequest, which the client has not read yet. */
static void open_to_retry(struct tls_link *l, struct tls_end *e, const struct tls_client *c)
{
    tls_link_open(l, e, c);
    assert_true(SSL_do_handshake(l->client) <= 0);
    tls_link_carry(l);
    tls_ready(l->t);
    assert_int_equal(sp_tls_handshake(l->t, &l->refusal), SP_AGAIN);
    tls_link_carry(l);
}

static void test_a_second_hello_may_not_ask_for_another_name(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
    static const struct {
        const char *first, *second;
        bool same;
    } cases[] = {{"a.test", "b.test", false}, {"b.test", "a.test", false}, {NULL, "b.test", false},
        {"b.test", NULL, false}, {"x.wild.test", "strict.wild.test", false}, {"b.test", "b.test", true},
        {NULL, NULL, true}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct tls_client c = {.groups = "X448:P-256",
            .min = TLS1_3_VERSION,
            .sni = cases[i].first,
            .cert = cases[i].first != NULL ? &pki.stranger : &pki.good};
        struct tls_link l;
        open_to_retry(&l, &e, &c);
        assert_int_equal(SSL_set_tlsext_host_name(l.client, cases[i].second), 1);
        tls_link_shake(&l, &c);
        assert_int_equal(l.rc == SP_OK, cases[i].same);
        if (!cases[i].same) {
            assert_int_equal(l.refusal.reason, SP_REFUSAL_tls_error);
            assert_non_null(strstr(l.refusal.detail, "another name"));
            assert_int_equal(l.alert, SSL3_AD_ILLEGAL_PARAMETER);
        }
        tls_link_free(&l);
    }
    tls_end_free(&e);
}

/* ---- names that no client library would send ---- */

static void add(unsigned char *at, size_t bytes, size_t n)
{
    for (size_t i = bytes; i > 0; i--) {
        n += at[i - 1];
        at[i - 1] = (unsigned char)n;
        n >>= 8;
    }
}

/* Puts an extension at the front of those of the ClientHello in `hello` (one record). Returns its new length. */
static size_t put_extension(unsigned char *hello, size_t len, const unsigned char *ext, size_t ext_len)
{
    size_t at = 5 + 4 + 2 + 32;
    at += 1 + (size_t)hello[at];                        /* session id */
    at += 2 + ((size_t)hello[at] << 8 | hello[at + 1]); /* ciphers */
    at += 1 + (size_t)hello[at];                        /* compression */
    add(hello + at, 2, ext_len);
    memmove(hello + at + 2 + ext_len, hello + at + 2, len - at - 2);
    memcpy(hello + at + 2, ext, ext_len);
    add(hello + 3, 2, ext_len);
    add(hello + 6, 3, ext_len);
    return len + ext_len;
}

static void test_what_is_no_clear_name_is_refused(void **state)
{
    (void)state;
    struct tls_end e = tls_end_plan(&pki, &plan);
#define SNI(text) (const unsigned char *)text, sizeof text - 1
    static const struct {
        const char *what, *sni; /* of the client library */
        const unsigned char *ext;
        size_t len;
        int alert;
    } cases[] = {
        {"a NUL", NULL,
            SNI("\0\0\0\x0d\0\x0b\0\0\x08"
                "b.test\0x"),
            SSL_AD_DECODE_ERROR},
        {"a NUL at the end", NULL,
            SNI("\0\0\0\x0c\0\x0a\0\0\x07"
                "b.test\0"),
            SSL_AD_DECODE_ERROR},
        {"two names", NULL,
            SNI("\0\0\0\x12\0\x10\0\0\x05"
                "a.tes\0\0\x05"
                "b.tes"),
            SSL_AD_DECODE_ERROR},
        {"another type", NULL,
            SNI("\0\0\0\x0b\0\x09\1\0\x06"
                "b.test"),
            SSL_AD_DECODE_ERROR},
        {"no name", NULL, SNI("\0\0\0\x05\0\3\0\0\0"), SSL_AD_DECODE_ERROR},
        {"nothing", NULL, SNI("\0\0\0\0"), SSL_AD_DECODE_ERROR},
        {"bytes behind the list", NULL,
            SNI("\0\0\0\x0c\0\x09\0\0\x06"
                "b.testx"),
            SSL_AD_DECODE_ERROR},
        {"a colon", NULL,
            SNI("\0\0\0\x0d\0\x0b\0\0\x08"
                "b.test:1"),
            SSL_AD_DECODE_ERROR},
        {"an IPv6 literal", NULL,
            SNI("\0\0\0\x08\0\6\0\0\3"
                "::1"),
            SSL_AD_DECODE_ERROR},
        {"UTF-8", NULL,
            SNI("\0\0\0\x0b\0\x09\0\0\x06"
                "\xc3\xa4.tes"),
            SSL_AD_DECODE_ERROR},
        {"the extension twice", "a.test",
            SNI("\0\0\0\x0b\0\x09\0\0\x06"
                "b.test"),
            SSL3_AD_ILLEGAL_PARAMETER},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct tls_client c = {.cert = &pki.good, .sni = cases[i].sni};
        struct tls_link l;
        unsigned char hello[2048];
        tls_link_open(&l, &e, &c);
        assert_true(SSL_do_handshake(l.client) <= 0);
        int len = BIO_read(l.from_client, hello, sizeof hello - 64);
        assert_true(len > 0);
        size_t longer = put_extension(hello, (size_t)len, cases[i].ext, cases[i].len);
        assert_int_equal(send(l.fd, hello, longer, 0), (ssize_t)longer);
        tls_ready(l.t);
        if (sp_tls_handshake(l.t, &l.refusal) != SP_FAIL)
            fail_msg("%s: not refused", cases[i].what);
        assert_int_equal(l.refusal.reason, SP_REFUSAL_tls_error);
        unsigned char alert[16];
        assert_int_equal(recv(l.fd, alert, sizeof alert, 0), 7);
        if (alert[0] != 21 || alert[6] != cases[i].alert)
            fail_msg("%s: alert %d", cases[i].what, alert[6]);
        tls_link_free(&l);
    }
    tls_end_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_name_decides_who_is_trusted_and_what_is_shown_however_the_hello_comes),
        cmocka_unit_test(test_the_ca_names_that_a_client_is_asked_for_are_the_host_s),
        cmocka_unit_test(test_a_name_that_nobody_serves_is_refused_if_so_configured),
        cmocka_unit_test(test_a_second_hello_may_not_ask_for_another_name),
        cmocka_unit_test(test_what_is_no_clear_name_is_refused),
    };
    return cmocka_run_group_tests_name("tls_hosts", tests, set_up, tear_down);
}
