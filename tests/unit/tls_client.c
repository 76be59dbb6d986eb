/* TLS towards a backend: an OpenSSL server and a connection of ours in one thread, over a socketpair. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "pki_fixture.h"
#include "sallyport/base/clock.h"
#include "sallyport/tls/client.h"

#define SOME_TEXT "hello, this came by TLS"

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- what there is ---- */

static struct fix_cert root, other_root, middle, ours, our_ca;
static struct fix_cert named, by_address, workload, wildcard, top_wildcard, nul, nul_uri, only_cn, two_uris;
static struct fix_cert expired, future, stranger, below_middle, client_only, any_purpose, without_eku, weak;
static const char *root_file;
static struct sp_shelf *shelf; /* by which two trusts know that their CRLs are the very same */

static struct fix_cert issue(struct fix_spec spec, const struct fix_cert *ca, bool is_ca)
{
    int64_t shift = (int64_t)time(NULL) - FIX_NOW; /* the fixture's now is not the clock's */
    spec.from = shift + (spec.from != 0 ? spec.from : -FIX_DAY);
    spec.to = shift + (spec.to != 0 ? spec.to : 365 * FIX_DAY);
    return fix_issue(&spec, ca, is_ca);
}

static struct fix_cert backend(const char *subject, const char *san)
{
    return issue((struct fix_spec){.subject = subject, .san = san, .eku = "serverAuth"}, &root, false);
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    root = issue((struct fix_spec){.subject = "CN=backends"}, NULL, true);
    other_root = issue((struct fix_spec){.subject = "CN=others"}, NULL, true);
    our_ca = issue((struct fix_spec){.subject = "CN=proxies"}, NULL, true);
    ours = issue((struct fix_spec){.subject = "CN=sallyport", .eku = "clientAuth"}, &our_ca, false);
    middle = issue((struct fix_spec){.subject = "CN=middle"}, &root, true);
    named = backend("CN=a", "DNS:Billing.Internal,DNS:other.internal");
    by_address = backend("CN=b", "IP:10.0.0.5,IP:2001:db8::5");
    workload = backend("CN=c", "URI:spiffe://corp/backend/billing");
    two_uris = backend("CN=c2", "URI:spiffe://corp/x,URI:spiffe://corp/backend/billing");
    wildcard = backend("CN=d", "DNS:*.internal.example");
    top_wildcard = backend("CN=e", "DNS:*.internal");
    only_cn = backend("CN=billing.internal", NULL);
    nul = issue((struct fix_spec){.subject = "CN=f",
                    .eku = "serverAuth",
                    .raw_san_type = GEN_DNS,
                    .raw_san = SP_SLICE("billing.internal\0.evil.example")},
        &root, false);
    nul_uri = issue((struct fix_spec){.subject = "CN=g",
                        .eku = "serverAuth",
                        .raw_san_type = GEN_URI,
                        .raw_san = SP_SLICE("spiffe://corp/backend/billing\0x")},
        &root, false);
    expired = issue((struct fix_spec){.subject = "CN=h",
                        .san = "DNS:billing.internal",
                        .eku = "serverAuth",
                        .from = -10 * FIX_DAY,
                        .to = -FIX_DAY},
        &root, false);
    future = issue(
        (struct fix_spec){
            .subject = "CN=h2", .san = "DNS:billing.internal", .eku = "serverAuth", .from = FIX_DAY},
        &root, false);
    stranger = issue((struct fix_spec){.subject = "CN=i", .san = "DNS:billing.internal", .eku = "serverAuth"},
        &other_root, false);
    below_middle =
        issue((struct fix_spec){.subject = "CN=j", .san = "DNS:billing.internal", .eku = "serverAuth"},
            &middle, false);
    client_only =
        issue((struct fix_spec){.subject = "CN=k", .san = "DNS:billing.internal", .eku = "clientAuth"}, &root,
            false);
    any_purpose = issue(
        (struct fix_spec){.subject = "CN=k2", .san = "DNS:billing.internal", .eku = "anyExtendedKeyUsage"},
        &root, false);
    without_eku =
        issue((struct fix_spec){.subject = "CN=l", .san = "DNS:billing.internal", .eku = "-"}, &root, false);
    weak = issue(
        (struct fix_spec){
            .subject = "CN=m", .san = "DNS:billing.internal", .eku = "serverAuth", .rsa_bits = 1024},
        &root, false);
    shelf = sp_shelf_new();
    assert_non_null(shelf);
    root_file = fix_write_certs("root.pem", &root.cert, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct fix_cert *all[] = {&root, &other_root, &middle, &ours, &our_ca, &named, &by_address, &workload,
        &wildcard, &top_wildcard, &nul, &nul_uri, &only_cn, &two_uris, &expired, &future, &stranger,
        &below_middle, &client_only, &any_purpose, &without_eku, &weak};
    for (size_t i = 0; i < SP_COUNTOF(all); i++)
        fix_free(all[i]);
    sp_shelf_free(shelf);
    fix_remove_folder();
    return 0;
}

/* ---- our side ---- */

struct plan {
    const char *name, *uri, *sni;
    const char *ca, *crl; /* files; ca NULL: root's */
    bool unverified, may_lack_crl;
    enum sp_tls_version min;
    const struct sp_config_certificate *certificate;
};

/* What a client borrows. */
struct setting {
    struct sp_config config;
    struct sp_config_upstream_tls tls;
    const char *ca, *crl;
};

static const struct sp_pos at = {7, 3};

static struct setting *setting_of(const struct plan *p)
{
    struct setting *s = calloc(1, sizeof *s);
    assert_non_null(s);
    atomic_init(&s->config.refs, 1000); /* never freed by who shares it */
    s->config.file = "test.yaml";
    s->ca = p->ca != NULL ? p->ca : root_file;
    s->crl = p->crl;
    s->tls = (struct sp_config_upstream_tls){
        .at = at,
        .verify = !p->unverified,
        .trust = {.at = at,
            .ca = {&s->ca, &at, 1},
            .crl = {&s->crl, &at, p->crl != NULL},
            .crl_missing = p->crl == NULL || p->may_lack_crl ? SP_CRL_MISSING_ACCEPT : SP_CRL_MISSING_REJECT,
            .depth = 3},
        .name = p->name,
        .uri = p->uri,
        .sni = p->sni,
        .certificate = p->certificate,
        .min_version = p->min,
    };
    return s;
}

struct ours {
    struct setting *setting;
    struct sp_tls_client *client;
};

static struct ours make(const struct plan *p)
{
    struct sp_diags diags = {0};
    struct ours o = {.setting = setting_of(p)};
    o.client = sp_tls_client_new(&o.setting->config, &o.setting->tls, shelf, &diags);
    if (o.client == NULL)
        fail_msg("%s", diags.count > 0 ? diags.items[0].text : "no client and no reason");
    sp_diags_free(&diags);
    return o;
}

static void drop(struct ours *o)
{
    sp_tls_client_free(o->client);
    free(o->setting);
    *o = (struct ours){0};
}

/* ---- the other side ---- */

struct server {
    SSL_CTX *ctx;
    char sni[256]; /* of the last client */
};

static int on_name(SSL *ssl, int *alert, void *arg)
{
    struct server *s = arg;
    (void)alert;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(s->sni, sizeof s->sni, "%s", name != NULL ? name : "");
    return SSL_TLSEXT_ERR_OK;
}

static int accept_any(X509_STORE_CTX *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return 1;
}

static void serve(struct server *s, const struct fix_cert *cert, const struct fix_cert *above, int version)
{
    *s = (struct server){.ctx = SSL_CTX_new(TLS_server_method())};
    SSL_CTX_set_security_level(s->ctx, 0);
    assert_int_equal(SSL_CTX_use_certificate(s->ctx, cert->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, cert->key), 1);
    if (above != NULL)
        assert_true(SSL_CTX_add1_chain_cert(s->ctx, above->cert));
    if (version != 0)
        assert_true(
            SSL_CTX_set_min_proto_version(s->ctx, version) && SSL_CTX_set_max_proto_version(s->ctx, version));
    SSL_CTX_set_tlsext_servername_callback(s->ctx, on_name);
    SSL_CTX_set_tlsext_servername_arg(s->ctx, s);
    SSL_CTX_set_session_id_context(s->ctx, (const unsigned char *)"t", 1);
}

static void ask_for_certificate(struct server *s)
{
    SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(s->ctx, accept_any, NULL);
}

/* ---- between them ---- */

struct link {
    struct sp_transport *t;
    SSL *server;
    int fd; /* the server's end */
    enum sp_rc rc;
    struct sp_err err;
    bool accepted; /* the server is through */
};

static void open_link(
    struct link *l, struct sp_tls_client *c, const char *host, const char *alpn, struct sp_tls_saved *saved)
{
    int pair[2];
    *l = (struct link){.rc = SP_AGAIN};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    l->fd = pair[1];
    l->t = sp_tls_client_conn_new(c, pair[0], host, alpn, saved);
    assert_non_null(l->t);
}

/* A step of ours, whatever edges there were. */
static void step(struct link *l)
{
    sp_transport_ready(l->t, SP_EV_READ | SP_EV_WRITE);
    if (l->rc == SP_AGAIN)
        l->rc = sp_tls_client_handshake(l->t, &l->err);
}

static void shake(struct link *l, struct server *s)
{
    l->server = SSL_new(s->ctx);
    SSL_set_fd(l->server, l->fd);
    SSL_set_accept_state(l->server);
    for (int round = 0; round < 10; round++) {
        step(l);
        ERR_clear_error();
        if (!l->accepted)
            l->accepted = SSL_do_handshake(l->server) == 1;
    }
}

static void close_link(struct link *l)
{
    sp_transport_free(l->t);
    if (l->server != NULL)
        SSL_set_shutdown(l->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(l->server);
    close(l->fd);
    ERR_clear_error();
}

static void connect_to(
    struct link *l, struct server *s, struct sp_tls_client *c, const char *host, struct sp_tls_saved *saved)
{
    open_link(l, c, host, "http/1.1", saved);
    shake(l, s);
}

/* Bytes both ways; whatever the server gives beside them comes along. */
static void talk(struct link *l)
{
    char buf[100];
    size_t n, taken;
    const struct iovec out = {(void *)(uintptr_t)SOME_TEXT, sizeof SOME_TEXT};
    assert_int_equal(SSL_write(l->server, SOME_TEXT, sizeof SOME_TEXT), sizeof SOME_TEXT);
    sp_transport_ready(l->t, SP_EV_READ | SP_EV_WRITE);
    assert_int_equal(sp_transport_read(l->t, buf, sizeof buf, &n), SP_OK);
    assert_int_equal(n, sizeof SOME_TEXT);
    assert_string_equal(buf, SOME_TEXT);
    assert_int_equal(sp_transport_writev(l->t, &out, 1, &taken), SP_OK);
    assert_int_equal(taken, sizeof SOME_TEXT);
    assert_int_equal(SSL_read(l->server, buf, sizeof buf), sizeof SOME_TEXT);
}

/* ---- who it is ---- */

static void test_a_backend_is_believed_for_its_chain_its_purpose_and_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const struct fix_cert *cert, *above;
        const char *host, *name, *uri;
        const char *says; /* NULL: it is let in */
    } cases[] = {
        {"the endpoint's name", &named, NULL, "billing.internal", NULL, NULL, NULL},
        {"in any case, with a dot", &named, NULL, "BILLING.internal.", NULL, NULL, NULL},
        {"another endpoint's name", &named, NULL, "ledger.internal", NULL, NULL, "it is not ledger.internal"},
        {"the name that is configured", &named, NULL, "10.0.0.5", "billing.internal", NULL, NULL},
        {"which alone counts", &named, NULL, "billing.internal", "ledger.internal", NULL,
            "it is not ledger.internal"},
        {"a part of a name", &named, NULL, "internal", NULL, NULL, "it is not internal"},
        {"a longer name", &named, NULL, "x.billing.internal", NULL, NULL, "it is not x.billing.internal"},
        {"an address", &by_address, NULL, "10.0.0.5", NULL, NULL, NULL},
        {"an IPv6 address", &by_address, NULL, "2001:db8:0::5", NULL, NULL, NULL},
        {"one in brackets", &by_address, NULL, "[2001:db8::5]", NULL, NULL, NULL},
        {"another address", &by_address, NULL, "10.0.0.6", NULL, NULL, "the endpoint's address"},
        {"an address asked for by name", &by_address, NULL, "billing.internal", "10.0.0.5", NULL, NULL},
        {"an address is no name", &named, NULL, "10.0.0.5", NULL, NULL, "the endpoint's address"},
        {"a name is no address", &by_address, NULL, "b.internal", NULL, NULL, "it is not b.internal"},
        {"a common name is none", &only_cn, NULL, "billing.internal", NULL, NULL, "none at all"},
        {"a wildcard", &wildcard, NULL, "x.internal.example", NULL, NULL, NULL},
        {"for one label", &wildcard, NULL, "x.y.internal.example", NULL, NULL, "it is not"},
        {"not for none", &wildcard, NULL, "internal.example", NULL, NULL, "it is not"},
        {"not above all", &top_wildcard, NULL, "x.internal", NULL, NULL, "it is not"},
        {"a workload", &workload, NULL, "10.0.0.5", NULL, "spiffe://corp/backend/*", NULL},
        {"among others", &two_uris, NULL, "10.0.0.5", NULL, "spiffe://corp/backend/*", NULL},
        {"another workload", &workload, NULL, "10.0.0.5", NULL, "spiffe://corp/frontend/*",
            "it is not spiffe"},
        {"a URI and a name", &workload, NULL, "10.0.0.5", "c", "spiffe://corp/backend/*", "it is not c"},
        {"no name at all to go by", &named, NULL, NULL, NULL, NULL, "known whom to expect"},
        {"a NUL in a name", &nul, NULL, "billing.internal", NULL, NULL, "hostile_name"},
        {"a NUL in a URI", &nul_uri, NULL, NULL, NULL, "spiffe://corp/backend/billing", "hostile_name"},
        {"past its end", &expired, NULL, "billing.internal", NULL, NULL, "expired"},
        {"before its beginning", &future, NULL, "billing.internal", NULL, NULL, "not_yet_valid"},
        {"of another CA", &stranger, NULL, "billing.internal", NULL, NULL, "untrusted_issuer"},
        {"with its intermediate", &below_middle, &middle, "billing.internal", NULL, NULL, NULL},
        {"without it", &below_middle, NULL, "billing.internal", NULL, NULL, "untrusted_issuer"},
        {"for clients only", &client_only, NULL, "billing.internal", NULL, NULL, "wrong_purpose"},
        {"for anything, by name", &any_purpose, NULL, "billing.internal", NULL, NULL, "wrong_purpose"},
        {"without a purpose", &without_eku, NULL, "billing.internal", NULL, NULL, NULL},
        {"with a weak key", &weak, NULL, "billing.internal", NULL, NULL, "weak_key"},
    };
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
            struct server s;
            struct link l;
            struct ours o = make(&(struct plan){.name = cases[i].name, .uri = cases[i].uri});
            serve(&s, cases[i].cert, cases[i].above, versions[v]);
            connect_to(&l, &s, o.client, cases[i].host, NULL);
            if (cases[i].says == NULL && l.rc != SP_OK)
                fail_msg("%s: %s", cases[i].what, l.err.text);
            if (cases[i].says != NULL && (l.rc != SP_FAIL || strstr(l.err.text, cases[i].says) == NULL))
                fail_msg("%s: %d, %s", cases[i].what, l.rc, l.err.text);
            if (l.rc == SP_OK)
                talk(&l);
            close_link(&l);
            SSL_CTX_free(s.ctx);
            drop(&o);
        }
    }
}

static void test_without_verification_anybody_is_believed(void **state)
{
    (void)state;
    struct server s;
    struct link l;
    struct ours o = make(&(struct plan){.unverified = true});
    serve(&s, &expired, NULL, 0);
    connect_to(&l, &s, o.client, "billing.internal", NULL);
    assert_int_equal(l.rc, SP_OK);
    assert_null(sp_tls_client_trust(o.client));
    talk(&l);
    close_link(&l);
    SSL_CTX_free(s.ctx);
    drop(&o);
}

/* ---- revocation ---- */

static const char *crl_of(
    const char *file, const struct fix_cert *ca, const struct fix_cert *revoked, int64_t to)
{
    int64_t shift = (int64_t)time(NULL) - FIX_NOW;
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.from = shift - 2 * FIX_HOUR,
                                .to = shift + to,
                                .revoked = {revoked != NULL ? revoked->cert : NULL}},
        ca);
    const char *path = fix_write_crls(file, &crl, 1);
    X509_CRL_free(crl);
    return path;
}

static void test_crls_speak_of_backends_as_of_clients(void **state)
{
    (void)state;
    const struct {
        const char *what, *crl;
        const struct fix_cert *cert, *above;
        const char *says;
    } cases[] = {
        {"clear", crl_of("clear.crl", &root, NULL, FIX_DAY), &named, NULL, NULL},
        {"revoked", crl_of("revoked.crl", &root, &named, FIX_DAY), &named, NULL, "revoked"},
        {"stale", crl_of("stale.crl", &root, NULL, -FIX_HOUR), &named, NULL, "crl_stale"},
        {"of another CA", crl_of("other.crl", &other_root, NULL, FIX_DAY), &named, NULL, "crl_missing"},
        {"of the CA above alone", crl_of("clear.crl", &root, NULL, FIX_DAY), &below_middle, &middle,
            "crl_missing"},
        {"a revoked CA", crl_of("middle.crl", &root, &middle, FIX_DAY), &below_middle, &middle, "revoked"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct server s;
        struct link l;
        struct ours o = make(&(struct plan){.crl = cases[i].crl, .name = "billing.internal"});
        serve(&s, cases[i].cert, cases[i].above, 0);
        connect_to(&l, &s, o.client, "billing.internal", NULL);
        if (cases[i].says == NULL ? l.rc != SP_OK
                                  : l.rc != SP_FAIL || strstr(l.err.text, cases[i].says) == NULL)
            fail_msg("%s: %d, %s", cases[i].what, l.rc, l.err.text);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

/* ---- what is not TLS ---- */

static void test_bytes_before_the_handshake_are_never_an_answer(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    struct link l;
    struct ours o = make(&(struct plan){0});
    for (int early = 0; early < 2; early++) {
        open_link(&l, o.client, "billing.internal", "http/1.1", NULL);
        if (!early)
            step(&l);
        assert_int_equal(l.rc, SP_AGAIN);
        assert_int_equal(write(l.fd, answer, sizeof answer - 1), sizeof answer - 1);
        step(&l);
        assert_int_equal(l.rc, SP_FAIL);
        assert_non_null(strstr(l.err.text, early ? "bytes before the TLS handshake" : "does not speak TLS"));
        close_link(&l);
    }
    drop(&o);
}

static void test_a_backend_that_hangs_up_is_told_of(void **state)
{
    (void)state;
    struct link l;
    struct ours o = make(&(struct plan){0});
    for (int early = 0; early < 2; early++) {
        open_link(&l, o.client, "billing.internal", NULL, NULL);
        if (!early)
            step(&l);
        shutdown(l.fd, SHUT_WR);
        step(&l);
        assert_int_equal(l.rc, SP_FAIL);
        assert_true(l.err.text[0] != '\0');
        close_link(&l);
    }
    drop(&o);
}

static void test_versions_below_the_lowest_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum sp_tls_version min;
        int version;
        bool good;
    } cases[] = {{SP_TLS_1_2, TLS1_2_VERSION, true}, {SP_TLS_1_2, TLS1_1_VERSION, false},
        {SP_TLS_1_3, TLS1_2_VERSION, false}, {SP_TLS_1_3, TLS1_3_VERSION, true}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct server s;
        struct link l;
        struct ours o = make(&(struct plan){.min = cases[i].min});
        serve(&s, &named, NULL, cases[i].version);
        connect_to(&l, &s, o.client, "billing.internal", NULL);
        assert_int_equal(l.rc, cases[i].good ? SP_OK : SP_FAIL);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

/* ---- what it is asked ---- */

static void test_a_name_is_asked_for_and_an_address_never(void **state)
{
    (void)state;
    static const struct {
        const char *host, *name, *sni, *asked;
    } cases[] = {
        {"Billing.internal.", NULL, NULL, "billing.internal"},
        {"10.0.0.5", NULL, NULL, ""},
        {"10.0.0.5", "billing.internal", NULL, "billing.internal"},
        {"billing.internal", "10.0.0.5", NULL, ""},
        {"10.0.0.5", "billing.internal", "edge.internal", "edge.internal"},
        {NULL, "billing.internal", NULL, "billing.internal"},
        {NULL, NULL, NULL, ""},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct server s;
        struct link l;
        struct ours o = make(&(struct plan){.unverified = true, .name = cases[i].name, .sni = cases[i].sni});
        serve(&s, &named, NULL, 0);
        connect_to(&l, &s, o.client, cases[i].host, NULL);
        assert_int_equal(l.rc, SP_OK);
        assert_string_equal(s.sni, cases[i].asked);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static int choose(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
    unsigned in_len, void *arg)
{
    (void)ssl;
    const char *choice = arg;
    if (in_len != 9 || memcmp(in, "\x08http/1.1", 9) != 0)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = (const unsigned char *)choice;
    *len = (unsigned char)strlen(choice);
    return SSL_TLSEXT_ERR_OK;
}

static void test_only_the_protocol_that_was_offered_may_be_chosen(void **state)
{
    (void)state;
    static char h1[] = "http/1.1", h2[] = "h2";
    static const struct {
        char *choice;
        const char *alpn;
        bool good;
    } cases[] = {{h1, "http/1.1", true}, {h2, "http/1.1", false}, {NULL, "http/1.1", true}, {h1, NULL, true}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct server s;
        struct link l;
        struct ours o = make(&(struct plan){0});
        serve(&s, &named, NULL, 0);
        if (cases[i].choice != NULL)
            SSL_CTX_set_alpn_select_cb(s.ctx, choose, cases[i].choice);
        open_link(&l, o.client, "billing.internal", cases[i].alpn, NULL);
        shake(&l, &s);
        assert_int_equal(l.rc, cases[i].good ? SP_OK : SP_FAIL);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static struct sp_config_certificate our_files(void)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, ours.key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(BIO_write(b, "", 1), 1);
    BIO_get_mem_data(b, &text);
    struct sp_config_certificate out = {.at = at,
        .chain = fix_write_certs("ours.pem", &ours.cert, 1),
        .key = fix_write_text("ours.key", text)};
    BIO_free(b);
    return out;
}

static void test_our_certificate_is_shown_to_who_asks(void **state)
{
    (void)state;
    struct sp_config_certificate files = our_files();
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        for (int has = 0; has < 2; has++) {
            struct server s;
            struct link l;
            struct sp_tls_client_facts facts;
            char byte;
            size_t n;
            struct ours o = make(&(struct plan){.certificate = has ? &files : NULL});
            assert_int_equal(sp_tls_client_certificate(o.client, &facts), has);
            if (has) {
                assert_string_equal(facts.subject, "CN=sallyport");
                assert_string_equal(facts.file, files.chain);
                assert_true(facts.not_before < sp_wall_s() && facts.not_after > sp_wall_s());
            }
            serve(&s, &named, NULL, versions[v]);
            ask_for_certificate(&s);
            connect_to(&l, &s, o.client, "billing.internal", NULL);
            assert_int_equal(l.accepted, has);
            if (has) {
                assert_int_equal(X509_cmp(SSL_get0_peer_certificate(l.server), ours.cert), 0);
                talk(&l);
            } else if (l.rc == SP_OK) { /* TLS 1.3: it says so later */
                sp_transport_ready(l.t, SP_EV_READ);
                assert_int_equal(sp_transport_read(l.t, &byte, 1, &n), SP_FAIL);
            } else {
                assert_non_null(strstr(l.err.text, "the backend sent alert"));
            }
            close_link(&l);
            SSL_CTX_free(s.ctx);
            drop(&o);
        }
    }
}

static void test_key_updates_without_end_end_the_connection(void **state)
{
    (void)state;
    struct server s;
    struct link l;
    char byte;
    size_t n;
    struct ours o = make(&(struct plan){0});
    serve(&s, &named, NULL, TLS1_3_VERSION);
    connect_to(&l, &s, o.client, "billing.internal", NULL);
    talk(&l);
    enum sp_rc rc = SP_AGAIN;
    for (int i = 0; i < 200 && rc == SP_AGAIN; i++) {
        assert_int_equal(SSL_key_update(l.server, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(l.server), 1);
        sp_transport_ready(l.t, SP_EV_READ);
        rc = sp_transport_read(l.t, &byte, 1, &n);
    }
    assert_int_equal(rc, SP_FAIL);
    close_link(&l);
    SSL_CTX_free(s.ctx);
    drop(&o);
}

/* ---- coming back ---- */

/* One connection, closed again. Whether it was resumed. */
static bool visit(struct server *s, struct sp_tls_client *c, struct sp_tls_saved *saved)
{
    struct link l;
    connect_to(&l, s, c, "billing.internal", saved);
    if (l.rc != SP_OK)
        fail_msg("%s", l.err.text);
    talk(&l);
    bool resumed = sp_tls_client_is_resumed(l.t);
    assert_int_equal(resumed, SSL_session_reused(l.server));
    close_link(&l);
    return resumed;
}

static void test_a_session_is_resumed_while_what_was_verified_holds(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct server s;
        struct sp_tls_saved saved = {0};
        struct ours o = make(&(struct plan){.crl = crl_of("resume.crl", &root, NULL, FIX_DAY)});
        serve(&s, &named, NULL, versions[v]);
        assert_false(visit(&s, o.client, &saved));
        int64_t until = saved.until;
        assert_non_null(saved.session);
        assert_true(until > sp_wall_s() && until <= sp_wall_s() + FIX_DAY); /* the CRL ends first */
        assert_true(visit(&s, o.client, &saved));
        assert_true(visit(&s, o.client, &saved));
        assert_int_equal(saved.until, until); /* nothing is prolonged */
        saved.until = sp_wall_s();
        assert_false(visit(&s, o.client, &saved));
        sp_tls_saved_forget(&saved);
        assert_null(saved.session);
        assert_false(visit(&s, o.client, NULL));
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static void test_a_session_is_resumed_by_the_very_client_that_made_it(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct server s;
        struct sp_tls_saved saved = {0};
        struct ours o = make(&(struct plan){0});
        serve(&s, &named, NULL, versions[v]);
        assert_false(visit(&s, o.client, &saved));
        struct sp_tls_client *copy = sp_tls_client_copy(o.client);
        assert_non_null(copy);
        assert_false(visit(&s, copy, &saved));
        assert_true(visit(&s, copy, &saved));
        sp_tls_client_free(copy); /* the session keeps it */
        assert_false(visit(&s, o.client, &saved));
        sp_tls_saved_forget(&saved);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static void test_a_session_of_a_handshake_that_failed_is_not_kept(void **state)
{
    (void)state;
    for (size_t v = 0; v < SP_COUNTOF(versions); v++) {
        struct server s;
        struct link l;
        struct sp_tls_saved saved = {0};
        struct ours o = make(&(struct plan){.name = "ledger.internal"});
        serve(&s, &named, NULL, versions[v]);
        connect_to(&l, &s, o.client, "billing.internal", &saved);
        assert_int_equal(l.rc, SP_FAIL);
        assert_null(saved.session);
        close_link(&l);
        SSL_CTX_free(s.ctx);
        drop(&o);
    }
}

static void test_what_a_new_crl_says_is_known_to_the_client_that_is_made_with_it(void **state)
{
    (void)state;
    struct server s;
    struct link l;
    struct sp_tls_saved saved = {0};
    struct sp_diags diags = {0};
    struct ours o = make(&(struct plan){.crl = crl_of("turn.crl", &root, NULL, FIX_DAY)});
    serve(&s, &named, NULL, 0);
    assert_false(visit(&s, o.client, &saved));
    struct sp_tls_client *again = sp_tls_client_renew_crls(o.client, shelf, &diags);
    assert_true(again != NULL && sp_tls_client_is_same(again, o.client));
    sp_tls_client_free(again);

    (void)crl_of("turn.crl", &root, &named, FIX_DAY);
    again = sp_tls_client_renew_crls(o.client, shelf, &diags);
    assert_non_null(again);
    assert_false(sp_tls_client_is_same(again, o.client));
    connect_to(&l, &s, again, "billing.internal", &saved);
    assert_int_equal(l.rc, SP_FAIL);
    assert_non_null(strstr(l.err.text, "revoked"));
    close_link(&l);
    sp_tls_client_free(again);
    sp_tls_saved_forget(&saved);
    sp_diags_free(&diags);
    SSL_CTX_free(s.ctx);
    drop(&o);
}

static void test_two_clients_are_the_same_when_they_judge_and_show_alike(void **state)
{
    (void)state;
    struct sp_config_certificate files = our_files();
    const char *other_ca = fix_write_certs("other-root.pem", &other_root.cert, 1);
    const char *crl = crl_of("same.crl", &root, NULL, FIX_DAY);
    const struct plan plain = {.name = "a.example"};
    const struct {
        struct plan plan;
        bool same;
    } cases[] = {
        {plain, true},
        {{.name = "b.example"}, false},
        {{0}, false},
        {{.name = "a.example", .uri = "spiffe://x/y"}, false},
        {{.name = "a.example", .sni = "b.example"}, false},
        {{.name = "a.example", .ca = other_ca}, false},
        {{.name = "a.example", .crl = crl, .may_lack_crl = true}, false},
        {{.name = "a.example", .min = SP_TLS_1_3}, false},
        {{.name = "a.example", .unverified = true}, false},
        {{.name = "a.example", .certificate = &files}, false},
    };
    struct ours o = make(&plain);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct ours other = make(&cases[i].plan), twin = make(&cases[i].plan);
        assert_int_equal(sp_tls_client_is_same(o.client, other.client), cases[i].same);
        assert_int_equal(sp_tls_client_is_same(other.client, o.client), cases[i].same);
        assert_true(sp_tls_client_is_same(other.client, twin.client));
        drop(&other);
        drop(&twin);
    }
    drop(&o);
}

static void test_what_cannot_be_loaded_is_an_error_that_names_it(void **state)
{
    (void)state;
    struct sp_config_certificate missing = {.at = at, .chain = "/nowhere/c.pem", .key = "/nowhere/c.key"};
    struct sp_config_certificate wrong_key = our_files();
    const struct {
        struct plan plan;
        const char *says;
    } cases[] = {
        {{.ca = "/nowhere/ca.pem"}, "/nowhere/ca.pem"},
        {{.certificate = &missing}, "/nowhere/c.pem"},
        {{.certificate = &wrong_key}, "does not belong to the certificate"},
        {{.crl = "/nowhere/x.crl"}, "/nowhere/x.crl"},
    };
    wrong_key.chain = fix_write_certs("not-ours.pem", &named.cert, 1);
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_diags diags = {0};
        bool said = false;
        struct setting *s = setting_of(&cases[i].plan);
        assert_null(sp_tls_client_new(&s->config, &s->tls, NULL, &diags));
        for (size_t d = 0; d < diags.count; d++)
            said |= diags.items[d].severity == SP_DIAG_ERROR &&
                    strstr(diags.items[d].text, cases[i].says) != NULL;
        if (!said)
            fail_msg("%s is not named", cases[i].says);
        sp_diags_free(&diags);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_backend_is_believed_for_its_chain_its_purpose_and_its_name),
        cmocka_unit_test(test_without_verification_anybody_is_believed),
        cmocka_unit_test(test_crls_speak_of_backends_as_of_clients),
        cmocka_unit_test(test_bytes_before_the_handshake_are_never_an_answer),
        cmocka_unit_test(test_a_backend_that_hangs_up_is_told_of),
        cmocka_unit_test(test_versions_below_the_lowest_are_refused),
        cmocka_unit_test(test_a_name_is_asked_for_and_an_address_never),
        cmocka_unit_test(test_only_the_protocol_that_was_offered_may_be_chosen),
        cmocka_unit_test(test_our_certificate_is_shown_to_who_asks),
        cmocka_unit_test(test_key_updates_without_end_end_the_connection),
        cmocka_unit_test(test_a_session_is_resumed_while_what_was_verified_holds),
        cmocka_unit_test(test_a_session_is_resumed_by_the_very_client_that_made_it),
        cmocka_unit_test(test_a_session_of_a_handshake_that_failed_is_not_kept),
        cmocka_unit_test(test_what_a_new_crl_says_is_known_to_the_client_that_is_made_with_it),
        cmocka_unit_test(test_two_clients_are_the_same_when_they_judge_and_show_alike),
        cmocka_unit_test(test_what_cannot_be_loaded_is_an_error_that_names_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
