/* An OpenSSL server and a connection of ours to it in one thread, over a socketpair; and the certificates of backends. */
#ifndef SP_TESTS_TLS_CLIENT_RIG_H
#define SP_TESTS_TLS_CLIENT_RIG_H

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

/* Only certificates in it: they are freed as a row of them. */
struct backend_pki {
    struct fix_cert root, other_root, middle, ours, our_ca;
    struct fix_cert named, by_address, workload, wildcard, top_wildcard, nul, nul_uri, only_cn, two_uris;
    struct fix_cert expired, future, stranger, below_middle, client_only, any_purpose, without_eku, weak;
};
static struct backend_pki pki;
static const char *root_file;
static struct sp_shelf *shelf; /* by which two trusts know that their CRLs are the very same */

static inline struct fix_cert issue(struct fix_spec spec, const struct fix_cert *ca, bool is_ca)
{
    int64_t shift = (int64_t)time(NULL) - FIX_NOW; /* the fixture's now is not the clock's */
    spec.from = shift + (spec.from != 0 ? spec.from : -FIX_DAY);
    spec.to = shift + (spec.to != 0 ? spec.to : 365 * FIX_DAY);
    return fix_issue(&spec, ca, is_ca);
}

static inline struct fix_cert backend(const char *subject, const char *san)
{
    return issue((struct fix_spec){.subject = subject, .san = san, .eku = "serverAuth"}, &pki.root, false);
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    pki.root = issue((struct fix_spec){.subject = "CN=backends"}, NULL, true);
    pki.other_root = issue((struct fix_spec){.subject = "CN=others"}, NULL, true);
    pki.our_ca = issue((struct fix_spec){.subject = "CN=proxies"}, NULL, true);
    pki.ours = issue((struct fix_spec){.subject = "CN=sallyport", .eku = "clientAuth"}, &pki.our_ca, false);
    pki.middle = issue((struct fix_spec){.subject = "CN=middle"}, &pki.root, true);
    pki.named = backend("CN=a", "DNS:Billing.Internal,DNS:other.internal");
    pki.by_address = backend("CN=b", "IP:10.0.0.5,IP:2001:db8::5");
    pki.workload = backend("CN=c", "URI:spiffe://corp/backend/billing");
    pki.two_uris = backend("CN=c2", "URI:spiffe://corp/x,URI:spiffe://corp/backend/billing");
    pki.wildcard = backend("CN=d", "DNS:*.internal.example");
    pki.top_wildcard = backend("CN=e", "DNS:*.internal");
    pki.only_cn = backend("CN=billing.internal", NULL);
    pki.nul = issue((struct fix_spec){.subject = "CN=f",
                        .eku = "serverAuth",
                        .raw_san_type = GEN_DNS,
                        .raw_san = SP_SLICE("billing.internal\0.evil.example")},
        &pki.root, false);
    pki.nul_uri = issue((struct fix_spec){.subject = "CN=g",
                            .eku = "serverAuth",
                            .raw_san_type = GEN_URI,
                            .raw_san = SP_SLICE("spiffe://corp/backend/billing\0x")},
        &pki.root, false);
    pki.expired = issue((struct fix_spec){.subject = "CN=h",
                            .san = "DNS:billing.internal",
                            .eku = "serverAuth",
                            .from = -10 * FIX_DAY,
                            .to = -FIX_DAY},
        &pki.root, false);
    pki.future = issue(
        (struct fix_spec){
            .subject = "CN=h2", .san = "DNS:billing.internal", .eku = "serverAuth", .from = FIX_DAY},
        &pki.root, false);
    pki.stranger =
        issue((struct fix_spec){.subject = "CN=i", .san = "DNS:billing.internal", .eku = "serverAuth"},
            &pki.other_root, false);
    pki.below_middle =
        issue((struct fix_spec){.subject = "CN=j", .san = "DNS:billing.internal", .eku = "serverAuth"},
            &pki.middle, false);
    pki.client_only =
        issue((struct fix_spec){.subject = "CN=k", .san = "DNS:billing.internal", .eku = "clientAuth"},
            &pki.root, false);
    pki.any_purpose = issue(
        (struct fix_spec){.subject = "CN=k2", .san = "DNS:billing.internal", .eku = "anyExtendedKeyUsage"},
        &pki.root, false);
    pki.without_eku = issue(
        (struct fix_spec){.subject = "CN=l", .san = "DNS:billing.internal", .eku = "-"}, &pki.root, false);
    pki.weak = issue(
        (struct fix_spec){
            .subject = "CN=m", .san = "DNS:billing.internal", .eku = "serverAuth", .rsa_bits = 1024},
        &pki.root, false);
    shelf = sp_shelf_new();
    assert_non_null(shelf);
    root_file = fix_write_certs("root.pem", &pki.root.cert, 1);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    struct fix_cert *all = (struct fix_cert *)&pki;
    for (size_t i = 0; i < sizeof pki / sizeof *all; i++)
        fix_free(&all[i]);
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

static inline struct setting *setting_of(const struct plan *p)
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

static inline struct ours make(const struct plan *p)
{
    struct sp_diags diags = {0};
    struct ours o = {.setting = setting_of(p)};
    o.client = sp_tls_client_new(&o.setting->config, &o.setting->tls, shelf, &diags);
    if (o.client == NULL)
        fail_msg("%s", diags.count > 0 ? diags.items[0].text : "no client and no reason");
    sp_diags_free(&diags);
    return o;
}

static inline void drop(struct ours *o)
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

static inline int on_name(SSL *ssl, int *alert, void *arg)
{
    struct server *s = arg;
    (void)alert;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(s->sni, sizeof s->sni, "%s", name != NULL ? name : "");
    return SSL_TLSEXT_ERR_OK;
}

static inline int accept_any(X509_STORE_CTX *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    return 1;
}

static inline void serve(
    struct server *s, const struct fix_cert *cert, const struct fix_cert *above, int version)
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

static inline void ask_for_certificate(struct server *s)
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

static inline void open_link(
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
static inline void step(struct link *l)
{
    sp_transport_ready(l->t, SP_EV_READ | SP_EV_WRITE);
    if (l->rc == SP_AGAIN)
        l->rc = sp_tls_client_handshake(l->t, &l->err);
}

static inline void shake(struct link *l, struct server *s)
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

static inline void close_link(struct link *l)
{
    sp_transport_free(l->t);
    if (l->server != NULL)
        SSL_set_shutdown(l->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(l->server);
    close(l->fd);
    ERR_clear_error();
}

static inline void connect_to(
    struct link *l, struct server *s, struct sp_tls_client *c, const char *host, struct sp_tls_saved *saved)
{
    open_link(l, c, host, "http/1.1", saved);
    shake(l, s);
}

/* Bytes both ways; whatever the server gives beside them comes along. */
static inline void talk(struct link *l)
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

static inline const char *crl_of(
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

static inline struct sp_config_certificate our_files(void)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, pki.ours.key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(BIO_write(b, "", 1), 1);
    BIO_get_mem_data(b, &text);
    struct sp_config_certificate out = {.at = at,
        .chain = fix_write_certs("ours.pem", &pki.ours.cert, 1),
        .key = fix_write_text("ours.key", text)};
    BIO_free(b);
    return out;
}

#endif
