/* See tls_fixture.h. */
#include "tls_fixture.h"

#include <errno.h>
#include <setjmp.h>
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

static struct fix_cert issue(const struct fix_spec *spec, const struct fix_cert *ca, bool is_ca)
{
    struct fix_spec s = *spec;
    int64_t shift = (int64_t)time(NULL) - FIX_NOW; /* the fixture's now is not the clock's */
    s.from = shift + (s.from != 0 ? s.from : -FIX_DAY);
    s.to = shift + (s.to != 0 ? s.to : 365 * FIX_DAY);
    return fix_issue(&s, ca, is_ca);
}

static struct fix_cert server(const struct tls_pki *p, const char *subject, const char *san, int rsa_bits)
{
    return issue(
        &(struct fix_spec){.subject = subject, .san = san, .eku = "serverAuth", .rsa_bits = rsa_bits},
        &p->server_ca, false);
}

void tls_pki_make(struct tls_pki *p)
{
    p->client_ca = issue(&(struct fix_spec){.subject = "CN=clients"}, NULL, true);
    p->other_ca = issue(&(struct fix_spec){.subject = "CN=others"}, NULL, true);
    p->server_ca = issue(&(struct fix_spec){.subject = "CN=servers"}, NULL, true);
    p->good = issue(
        &(struct fix_spec){.subject = "CN=good", .san = "URI:spiffe://test/good"}, &p->client_ca, false);
    p->stranger = issue(&(struct fix_spec){.subject = "CN=stranger"}, &p->other_ca, false);
    p->expired = issue(&(struct fix_spec){.subject = "CN=expired", .from = -10 * FIX_DAY, .to = -FIX_DAY},
        &p->client_ca, false);
    p->wrong_purpose =
        issue(&(struct fix_spec){.subject = "CN=server", .eku = "serverAuth"}, &p->client_ca, false);
    p->hostile = issue(
        &(struct fix_spec){.subject = "O=x", .raw_cn = SP_SLICE("a\0b"), .raw_cn_type = V_ASN1_UTF8STRING},
        &p->client_ca, false);
    p->site_a = server(p, "CN=site-a", "DNS:a.test,DNS:exact.wild.test", 0);
    p->site_wild = server(p, "CN=site-wild", "DNS:*.Wild.test,IP:127.0.0.1", 0);
    p->site_rsa = server(p, "CN=site-rsa", "DNS:both.test", 2048);
    p->site_ec = server(p, "CN=site-ec", "DNS:BOTH.test", 0);
    p->site_plain = server(p, "CN=site-plain", NULL, 0);
}

void tls_pki_free(struct tls_pki *p)
{
    struct fix_cert *all = (struct fix_cert *)p;
    for (size_t i = 0; i < sizeof *p / sizeof *all; i++)
        fix_free(&all[i]);
}

const char *tls_write_key(const char *name, EVP_PKEY *key, const char *passphrase)
{
    BIO *b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL,
                         passphrase, passphrase != NULL ? (int)strlen(passphrase) : 0, NULL, NULL),
        1);
    assert_int_equal(BIO_write(b, "", 1), 1);
    char *text;
    BIO_get_mem_data(b, &text);
    const char *path = fix_write_text(name, text);
    BIO_free(b);
    return path;
}

struct sp_config_certificate tls_files(const char *name, const struct fix_cert *c)
{
    char file[64];
    struct sp_config_certificate out = {.at = {7, 3}};
    snprintf(file, sizeof file, "%s.pem", name);
    out.chain = fix_write_certs(file, &c->cert, 1);
    snprintf(file, sizeof file, "%s.key", name);
    out.key = tls_write_key(file, c->key, NULL);
    return out;
}

struct sp_config_listener tls_listener(struct tls_pki *p, enum sp_auth_mode mode, enum sp_tls_version min,
    const struct sp_config_certificate *certs, size_t count)
{
    static const char *ca[1];
    static const struct sp_pos at[1] = {{9, 9}};
    ca[0] = fix_write_certs("client-ca.pem", &p->client_ca.cert, 1);
    return (struct sp_config_listener){
        .name = "test",
        .certificates = certs,
        .certificate_count = count,
        .min_version = min,
        .client_auth = {.mode = mode,
            .ca = {ca, at, 1},
            .crl_missing = SP_CRL_MISSING_ACCEPT,
            .crl_stale = SP_CRL_STALE_REJECT,
            .depth = 2},
    };
}

struct tls_end tls_end_make(struct tls_pki *p, enum sp_auth_mode mode, enum sp_tls_version min,
    const struct sp_config_certificate *certs, size_t count)
{
    struct sp_diags diags = {0};
    struct sp_config_listener listener = tls_listener(p, mode, min, certs, count);
    struct tls_end e = {0};
    e.trust = sp_trust_new("test.yaml", &listener.client_auth, &diags);
    if (e.trust != NULL)
        e.server = sp_tls_server_new("test.yaml", &listener, e.trust, &diags);
    if (e.server == NULL)
        fail_msg("%s", diags.count > 0 ? diags.items[0].text : "no server and no reason");
    sp_diags_free(&diags);
    return e;
}

void tls_end_free(struct tls_end *e)
{
    sp_tls_server_free(e->server);
    sp_trust_free(e->trust);
    *e = (struct tls_end){0};
}

void tls_ready(struct sp_transport *t)
{
    sp_transport_ready(t, SP_EV_READ | SP_EV_WRITE);
}

/* ---- the client ---- */

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)session;
    ((struct tls_link *)SSL_get_app_data(ssl))->tickets++;
    return 0;
}

static void on_info(const SSL *ssl, int where, int value)
{
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
        ((struct tls_link *)SSL_get_app_data(ssl))->alert = value & 0xff;
}

static int on_client_verify(X509_STORE_CTX *ctx, void *distrusts)
{
    if (distrusts == NULL)
        return 1;
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    return 0;
}

static void configure(SSL_CTX *ctx, const struct tls_client *c)
{
    static char yes;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_client_verify, c->distrusts ? &yes : NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_ticket);
    SSL_CTX_set_info_callback(ctx, on_info);
    assert_true(SSL_CTX_set_min_proto_version(ctx, c->min) && SSL_CTX_set_max_proto_version(ctx, c->max));
    if (c->ciphers != NULL)
        assert_true(SSL_CTX_set_cipher_list(ctx, c->ciphers));
    if (c->groups != NULL)
        assert_true(SSL_CTX_set1_groups_list(ctx, c->groups));
    if (c->sigalgs != NULL)
        assert_true(SSL_CTX_set1_sigalgs_list(ctx, c->sigalgs));
    if (c->alpn.len > 0)
        assert_int_equal(
            SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)c->alpn.ptr, (unsigned)c->alpn.len), 0);
    if (c->cert != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, c->cert->cert), 1);
        assert_int_equal(
            SSL_CTX_use_PrivateKey(ctx, c->key_instead != NULL ? c->key_instead : c->cert->key), 1);
        for (unsigned i = 0; i < c->chain_junk; i++)
            assert_true(SSL_CTX_add1_chain_cert(ctx, c->cert->cert));
    }
}

void tls_link_open(struct tls_link *l, struct tls_end *e, const struct tls_client *c)
{
    int pair[2];
    memset(l, 0, sizeof *l);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    l->fd = pair[1];
    l->chunk = c->chunk;
    l->rc = SP_AGAIN;
    l->t = sp_tls_conn_new(e->server, pair[0]);
    assert_non_null(l->t);
    l->ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(l->ctx);
    configure(l->ctx, c);
    l->client = SSL_new(l->ctx);
    l->to_client = BIO_new(BIO_s_mem());
    l->from_client = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(l->to_client, -1);
    SSL_set_bio(l->client, l->to_client, l->from_client);
    SSL_set_app_data(l->client, l);
    SSL_set_connect_state(l->client);
    if (c->sni != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(l->client, c->sni), 1);
}

/* Bytes from the client to the socket, at most a chunk. True if there were any. */
static bool push(struct tls_link *l)
{
    char *bytes;
    long len = BIO_get_mem_data(l->from_client, &bytes);
    if (len <= 0 || l->fd < 0)
        return false;
    size_t want = l->chunk != 0 && l->chunk < (size_t)len ? l->chunk : (size_t)len;
    ssize_t n = send(l->fd, bytes, want, MSG_NOSIGNAL);
    if (n <= 0)
        return false;
    static char sink[65536];
    for (size_t left = (size_t)n; left > 0;) {
        int got = BIO_read(l->from_client, sink, (int)(left < sizeof sink ? left : sizeof sink));
        assert_true(got > 0);
        left -= (size_t)got;
    }
    return true;
}

static bool pull(struct tls_link *l)
{
    static char buf[65536];
    bool any = false;
    while (l->fd >= 0) {
        ssize_t n = recv(l->fd, buf, sizeof buf, 0);
        if (n == 0)
            l->server_ended = true;
        if (n <= 0)
            break;
        assert_int_equal(BIO_write(l->to_client, buf, (int)n), n);
        any = true;
    }
    return any;
}

void tls_link_carry(struct tls_link *l)
{
    while (push(l)) {
    }
    pull(l);
}

static void step_client(struct tls_link *l, const struct tls_client *c)
{
    ERR_clear_error();
    if (l->client_failed)
        return;
    if (!l->client_done) {
        int rc = SSL_do_handshake(l->client);
        l->client_done = rc == 1;
        l->client_failed = rc != 1 && SSL_get_error(l->client, rc) != SSL_ERROR_WANT_READ;
        if (l->client_done && c->early.len > 0)
            assert_int_equal(SSL_write(l->client, c->early.ptr, (int)c->early.len), c->early.len);
    } else {
        char byte; /* nothing is taken but alerts and tickets */
        (void)SSL_peek(l->client, &byte, 1);
    }
}

void tls_link_shake(struct tls_link *l, const struct tls_client *c)
{
    bool moved = true;
    while (moved) {
        step_client(l, c);
        moved = push(l);
        if (moved && l->rc == SP_AGAIN) {
            tls_ready(l->t);
            l->rc = sp_tls_handshake(l->t, &l->refusal);
        }
        moved |= pull(l);
    }
    step_client(l, c);
    ERR_clear_error();
}

void tls_link_free(struct tls_link *l)
{
    sp_transport_free(l->t);
    SSL_free(l->client);
    SSL_CTX_free(l->ctx);
    if (l->fd >= 0)
        close(l->fd);
    memset(l, 0, sizeof *l);
    l->fd = -1;
}
