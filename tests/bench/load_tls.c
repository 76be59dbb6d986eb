/* Who the load generator is to the proxy: its certificate or certificates, and the sessions it comes back with. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "load.h"

static enum sp_rc tls_failed(const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    (void)fprintf(stderr, "sp_load: %s %s: %s\n", what, file, reason != NULL ? reason : "failed");
    return SP_FAIL;
}

/* ---- sessions ---- */

/* Takes `session` over. TLS 1.3 gives tickets after the handshake, and the newest is as good as any. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct sp_load_conn *conn = SSL_get_app_data(ssl);
    SSL_SESSION_free(conn->session);
    conn->session = session;
    return 1;
}

/* Sessions are asked for and kept only where they are to be resumed. */
static void set_sessions(SSL_CTX *ctx, bool resume)
{
    if (!resume) {
        (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        return;
    }
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
}

/* ---- certificates ---- */

static enum sp_rc read_issuer(const struct sp_load_options *opt, X509 **cert, EVP_PKEY **key)
{
    BIO *in = BIO_new_file(opt->issuer, "r");
    *cert = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    if (*cert == NULL)
        return tls_failed("issuer", opt->issuer);
    in = BIO_new_file(opt->issuer_key, "r");
    *key = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    return *key != NULL ? SP_OK : tls_failed("issuer's key", opt->issuer_key);
}

/* The client's own certificate with another serial number: as large, of the same key, and another one. */
static X509 *make_client(const X509 *model, EVP_PKEY *issuer_key, unsigned number)
{
    X509 *cert = X509_dup(model);
    bool made = cert != NULL &&
                ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), UINT64_C(1) << 40 | number) == 1 &&
                X509_sign(cert, issuer_key, EVP_sha256()) > 0;
    if (!made) {
        X509_free(cert);
        cert = NULL;
    }
    return cert;
}

static enum sp_rc make_clients(struct sp_load *load)
{
    const struct sp_load_options *opt = &load->opt;
    X509 *issuer = NULL;
    EVP_PKEY *key = NULL;
    enum sp_rc rc = read_issuer(opt, &issuer, &key);
    load->clients = calloc(opt->clients, sizeof(X509 *));
    if (load->clients == NULL)
        rc = tls_failed("clients", "no memory");
    for (unsigned i = 0; rc == SP_OK && i < opt->clients; i++) {
        load->clients[i] = make_client(SSL_CTX_get0_certificate(load->ctx), key, i);
        if (load->clients[i] == NULL)
            rc = tls_failed("signing with", opt->issuer_key);
    }
    X509_free(issuer);
    EVP_PKEY_free(key);
    return rc;
}

/* ---- the whole ---- */

/* One cipher only, so that every proxy does the same work. */
static enum sp_rc make_context(struct sp_load *load)
{
    const struct sp_load_options *opt = &load->opt;
    bool is_13 = opt->tls_version == TLS1_3_VERSION;
    const char *cipher = opt->cipher != NULL ? opt->cipher
                         : is_13             ? "TLS_AES_256_GCM_SHA384"
                                             : "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
    SSL_CTX *ctx = load->ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL)
        return tls_failed("SSL_CTX_new", "");
    (void)SSL_CTX_set_min_proto_version(ctx, opt->tls_version);
    (void)SSL_CTX_set_max_proto_version(ctx, opt->tls_version);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_read_ahead(ctx, 1);
    set_sessions(ctx, opt->resume);
    if ((is_13 ? SSL_CTX_set_ciphersuites(ctx, cipher) : SSL_CTX_set_cipher_list(ctx, cipher)) != 1)
        return tls_failed("cipher", cipher);
    if (SSL_CTX_use_certificate_chain_file(ctx, opt->cert) != 1)
        return tls_failed("certificate", opt->cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, opt->key, SSL_FILETYPE_PEM) != 1)
        return tls_failed("key", opt->key);
    if (opt->ca != NULL) {
        if (SSL_CTX_load_verify_file(ctx, opt->ca) != 1)
            return tls_failed("CA", opt->ca);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    return SP_OK;
}

enum sp_rc sp_load_tls_open(struct sp_load *load)
{
    if (make_context(load) != SP_OK)
        return SP_FAIL;
    return load->opt.clients > 0 ? make_clients(load) : SP_OK;
}

void sp_load_tls_close(struct sp_load *load)
{
    for (unsigned i = 0; load->clients != NULL && i < load->opt.clients; i++)
        X509_free(load->clients[i]);
    free(load->clients);
    SSL_CTX_free(load->ctx);
}

SSL *sp_load_tls_new(struct sp_load *load, struct sp_load_conn *conn)
{
    SSL *ssl = SSL_new(load->ctx);
    bool made = ssl != NULL && SSL_set_app_data(ssl, conn) == 1;
    if (made && load->opt.clients > 0) /* key and intermediates stay those of the context */
        made = SSL_use_certificate(ssl, load->clients[load->next_client++ % load->opt.clients]) == 1;
    conn->offered = conn->session != NULL;
    if (made && conn->offered)
        made = SSL_set_session(ssl, conn->session) == 1;
    if (!made) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}
