/* The settings that every SSL_CTX of a listener has, whichever certificate it presents, and those of every SSL_CTX there
 * is. One place, so that no certificate can be laxer than another. */
#include <sched.h>

#include "tls_private.h"

/* Handshake messages of certificates: 261 junk certificates in OpenSSL's default of 100 KiB cost 50 ms before
 * anybody is known. */
#define MAX_CERT_LIST_BYTES 16384

/* TLS 1.2: forward secrecy and AEAD only. TLS 1.3 has nothing else. */
#define CIPHERS_1_2                                                                                          \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                             \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                             \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384:P-521"

/* Without an answer to it OpenSSL would not tell the client that its name was taken. The name is judged in
 * on_client_hello. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static void set_plain_options(SSL_CTX *ctx)
{
    SSL_CTX_clear_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT |
                                   SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                   SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    /* The operator's openssl.cnf may ask for it. The kernel would get the keys before a client has proven itself, and could not
     * follow a KeyUpdate; a retried write may move, which OpenSSL forgets there (docs/architecture.md). */
    SSL_CTX_clear_options(ctx, SSL_OP_ENABLE_KTLS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_NO_COMPRESSION | SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY); /* WANT_READ then always means that the socket is empty */
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, MAX_CERT_LIST_BYTES);
}

bool context_set_common(SSL_CTX *ctx, enum sp_tls_version min_version)
{
    set_plain_options(ctx);
    return SSL_CTX_set_min_proto_version(ctx, min_version == SP_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) && SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) && SSL_CTX_set_max_early_data(ctx, 0);
}

/* How clients come back. OpenSSL's own memory of sessions, which asks nobody who may resume one, is off in all cases. */
static bool set_resumption(SSL_CTX *ctx, const struct sp_tls_server *server)
{
    unsigned count = server->listener->tickets.count;
    if (server->tickets != NULL)
        return SSL_CTX_set_num_tickets(ctx, count) == 1 &&
               SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key) == 1 &&
               SSL_CTX_set_session_ticket_cb(ctx, on_ticket_made, on_ticket_opened, NULL) == 1;
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET); /* TLS 1.3 then sends ids in their place */
    if (server->sessions == NULL)
        return SSL_CTX_set_num_tickets(ctx, 0) == 1;
    SSL_CTX_set_session_cache_mode(
        ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_sess_set_new_cb(ctx, on_session_made);
    SSL_CTX_sess_set_get_cb(ctx, on_session_shown);
    return SSL_CTX_set_num_tickets(ctx, count) == 1 &&
           SSL_CTX_set_session_ticket_cb(ctx, on_id_made, NULL, NULL) == 1;
}

static bool set_trust(SSL_CTX *ctx, const struct host *host)
{
    int verify = SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE;
    if (host->certificate_required)
        verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, verify, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
    if (!SSL_CTX_set1_verify_cert_store(ctx, sp_trust_store(host->trust)))
        return false;
    STACK_OF(X509_NAME) *names = sp_trust_ca_names(host->trust);
    if (names == NULL)
        return false;
    SSL_CTX_set_client_CA_list(ctx, names); /* takes it over */
    return SSL_CTX_set_session_id_context(ctx, host->policy, sizeof host->policy);
}

/* A handshake computes for half a millisecond. Before each of the client's messages it gives way to a worker of this CPU that has work:
 * one that has lost the CPU would else have it back at the clock's next tick, up to 4 ms later. An open connection has another
 * callback (wire.c). */
static void on_handshake_message(
    int written, int version, int content_type, const void *bytes, size_t len, SSL *ssl, void *arg)
{
    (void)version;
    (void)bytes;
    (void)len;
    (void)ssl;
    (void)arg;
    if (!written && content_type == SSL3_RT_HANDSHAKE)
        (void)sched_yield();
}

SSL_CTX *context_new(const struct sp_tls_server *server, const struct host *host, struct sp_err *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new_ex(library_context(server->library), NULL, TLS_server_method());
    if (ctx == NULL)
        goto failed;
    if (!context_set_common(ctx, server->listener->min_version) || !set_resumption(ctx, server) ||
        (host->trust != NULL && !set_trust(ctx, host)))
        goto failed;
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_status_cb(ctx, on_status_request);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_msg_callback(ctx, on_handshake_message);
    return ctx;
failed:
    sp_err_set(err, "TLS context: %s", openssl_reason());
    SSL_CTX_free(ctx);
    return NULL;
}
