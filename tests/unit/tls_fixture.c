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
    p->p224 = issue(&(struct fix_spec){.subject = "CN=p224", .algorithm = "P-224"}, &p->client_ca, false);
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

struct tls_setting {
    struct sp_config_listener listener;
    struct sp_config_host hosts[TLS_HOSTS];
    struct tls_host plans[TLS_HOSTS];
    const char *ca[TLS_HOSTS];
};

static void set_host(
    struct tls_pki *p, struct sp_config_host *host, const struct tls_host *plan, const char **ca)
{
    static const struct sp_pos at[3] = {{9, 9}, {9, 9}, {9, 9}};
    size_t names = 0;
    bool other = plan->ca == &p->other_ca;
    *ca = fix_write_certs(
        other ? "other-ca.pem" : "client-ca.pem", other ? &p->other_ca.cert : &p->client_ca.cert, 1);
    while (names < SP_COUNTOF(plan->names) && plan->names[names] != NULL)
        names++;
    *host = (struct sp_config_host){
        .names = {plan->names, at, names},
        .certificates = plan->certs,
        .certificate_count = plan->cert_count,
        .client_auth = {.mode = plan->mode,
            .ca = {ca, at, 1},
            .crl = {&plan->crl, at, plan->crl != NULL},
            .crl_missing = SP_CRL_MISSING_ACCEPT,
            .crl_stale = SP_CRL_STALE_REJECT,
            .max_session_age_ms = plan->max_session_age_ms,
            .depth = 2},
    };
}

struct tls_end tls_end_try(struct tls_pki *p, const struct tls_plan *plan, struct sp_diags *diags)
{
    struct tls_end e = {.setting = calloc(1, sizeof *e.setting)};
    struct tls_setting *s = e.setting;
    size_t count = plan->host_count != 0 ? plan->host_count : 1;
    assert_non_null(s);
    for (size_t h = 0; h < count; h++) {
        s->plans[h] = plan->hosts[h];
        set_host(p, &s->hosts[h], &s->plans[h], &s->ca[h]);
        e.trusts[h] = sp_trust_new("test.yaml", &s->hosts[h].client_auth, NULL, diags);
        if (e.trusts[h] == NULL)
            return e;
    }
    s->listener = (struct sp_config_listener){
        .mode = plan->mode,
        .alpn = plan->alpn,
        .name = "test",
        .certificates = s->hosts[0].certificates,
        .certificate_count = s->hosts[0].certificate_count,
        .min_version = plan->min,
        .reject_unknown_sni = plan->reject_unknown_sni,
        .tickets = plan->tickets,
        .client_auth = s->hosts[0].client_auth,
        .hosts = s->hosts,
        .host_count = count,
    };
    const struct sp_tls_means means = {
        .library = plan->library, .tickets = plan->keys, .sessions = plan->sessions};
    e.server = sp_tls_server_new("test.yaml", &s->listener, e.trusts, &means, diags);
    return e;
}

struct tls_end tls_end_plan(struct tls_pki *p, const struct tls_plan *plan)
{
    struct sp_diags diags = {0};
    struct tls_end e = tls_end_try(p, plan, &diags);
    if (e.server == NULL)
        fail_msg("%s", diags.count > 0 ? diags.items[0].text : "no server and no reason");
    sp_diags_free(&diags);
    return e;
}

struct tls_end tls_end_make(struct tls_pki *p, enum sp_auth_mode mode, enum sp_tls_version min,
    const struct sp_config_certificate *certs, size_t count)
{
    return tls_end_plan(
        p, &(struct tls_plan){.min = min, .hosts[0] = {.mode = mode, .certs = certs, .cert_count = count}});
}

void tls_end_free(struct tls_end *e)
{
    sp_tls_server_free(e->server);
    for (size_t h = 0; h < TLS_HOSTS; h++)
        sp_trust_free(e->trusts[h]);
    free(e->setting);
    *e = (struct tls_end){0};
}

void tls_ready(struct sp_transport *t)
{
    sp_transport_ready(t, SP_EV_READ | SP_EV_WRITE);
}

/* ---- the client ---- */

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct tls_link *l = SSL_get_app_data(ssl);
    l->tickets++;
    SSL_SESSION_free(l->session);
    l->session = session;
    return 1; /* kept */
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
    SSL_CTX_set_options(ctx, c->options);
    if (c->fragments)
        assert_int_equal(SSL_CTX_set_max_send_fragment(ctx, 512), 1);
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
        if (c->above != NULL)
            assert_true(SSL_CTX_add1_chain_cert(ctx, c->above->cert));
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
    /* wherever the thread is that plays the gate */
    l->ctx = SSL_CTX_new_ex(OSSL_LIB_CTX_get0_global_default(), NULL, TLS_client_method());
    assert_non_null(l->ctx);
    configure(l->ctx, c);
    l->client = SSL_new(l->ctx);
    l->to_client = BIO_new(BIO_s_mem());
    l->from_client = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(l->to_client, -1);
    SSL_set_bio(l->client, l->to_client, l->from_client);
    SSL_set_app_data(l->client, l);
    SSL_set_connect_state(l->client);
    if (c->session != NULL)
        assert_int_equal(SSL_set_session(l->client, c->session), 1);
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
    SSL_set_shutdown(l->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else its session is spoilt */
    SSL_free(l->client);
    SSL_SESSION_free(l->session);
    SSL_CTX_free(l->ctx);
    if (l->fd >= 0)
        close(l->fd);
    memset(l, 0, sizeof *l);
    l->fd = -1;
}
