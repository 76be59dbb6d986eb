/* A connection to a backend, from the first byte until it is open; the stream that it becomes is in wire.c.
 *
 *   WAITING --nothing has come--> SHAKING --verified--> OPEN
 *      +---------------------------+-----------------> REFUSED
 *
 * Who the backend is, is judged in OpenSSL's verify callback, so that it is sent the right alert; and whether it was
 * judged is looked at once more when the handshake is complete. A session that the backend gave us lets it in again without
 * a certificate. So it is offered only by the very sp_tls_client that verified it, to the same endpoint, and no longer than
 * what was verified holds: a certificate of its chain ends, a CRL does. Resuming prolongs nothing: what a resumed connection
 * is given ends when the one before would have. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "client_impl.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "sallyport/io/socket.h"
#include "sallyport/pki/x509.h"

struct backend {
    struct wire wire;
    struct sp_tls_client
        *client;                /* one reference; NULL: it goes on without, and there is no `saved` either */
    struct sp_tls_saved *saved; /* borrowed; NULL: nothing is kept */
    struct probe *probe;        /* NULL once it is open */
    int64_t until;              /* seconds since 1970: the end of what was verified */
    bool resumed;
};

static struct backend *backend_of(const struct sp_transport *t)
{
    return SP_CONTAINER_OF((struct sp_transport *)(uintptr_t)t, struct backend, wire.t);
}

/* ---- what a backend gives us to come back with ---- */

void sp_tls_saved_forget(struct sp_tls_saved *saved)
{
    SSL_SESSION_free(saved->session);
    sp_tls_client_free(saved->made_by);
    *saved = (struct sp_tls_saved){0};
}

/* Takes over `session`. */
static void keep(struct backend *b, SSL_SESSION *session)
{
    sp_tls_saved_forget(b->saved);
    *b->saved =
        (struct sp_tls_saved){.session = session, .made_by = sp_tls_client_ref(b->client), .until = b->until};
}

/* SSL_CTX_sess_set_new_cb. With TLS 1.3 while reading, with 1.2 in the handshake: who it is has not been looked at once
 * more by then. 1: the session is ours. */
int on_backend_session(SSL *ssl, SSL_SESSION *session)
{
    struct backend *b = SSL_get_app_data(ssl);
    if (b->saved == NULL || !SSL_SESSION_is_resumable(session))
        return 0;
    if (b->probe == NULL) {
        keep(b, session);
    } else {
        SSL_SESSION_free(b->probe->session);
        b->probe->session = session;
    }
    return 1;
}

/* A TLS 1.2 session without the extended master secret can be the same with two servers (RFC 7627 §5.3). */
static void keep_what_came(struct backend *b)
{
    SSL_SESSION *session = b->probe->session;
    b->probe->session = NULL;
    if (session != NULL &&
        (SSL_version(b->wire.ssl) == TLS1_3_VERSION || SSL_get_extms_support(b->wire.ssl) == 1))
        keep(b, session);
    else
        SSL_SESSION_free(session);
}

static void probe_free(struct backend *b)
{
    if (b->probe != NULL)
        SSL_SESSION_free(b->probe->session);
    SP_FREE(b->probe);
}

/* OpenSSL takes a session of TLS 1.3 for spent once it was used (RFC 8446 §C.4): the backend gives a new one. */
static bool offer_session(struct backend *b)
{
    struct sp_tls_saved *saved = b->saved;
    if (saved == NULL || saved->session == NULL)
        return true;
    if (saved->made_by != b->client || sp_wall_s() >= saved->until ||
        !SSL_SESSION_is_resumable(saved->session)) {
        sp_tls_saved_forget(saved);
        return true;
    }
    b->until = saved->until;
    return SSL_set_session(b->wire.ssl, saved->session) == 1;
}

/* ---- who it is ---- */

/* SSL_CTX_set_cert_verify_callback. Whatever goes wrong here, the answer is no. */
int on_backend_verify(X509_STORE_CTX *store_ctx, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store_ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct backend *b = SSL_get_app_data(ssl);
    struct probe *p = b->probe;
    if (p == NULL || p->judged) { /* one certificate message a handshake */
        X509_STORE_CTX_set_error(store_ctx, X509_V_ERR_CERT_REJECTED);
        return 0;
    }
    p->judged = true;
    int64_t now = sp_wall_s();
    struct sp_identity *identity = sp_trust_admit(b->client->trust, store_ctx, now, &p->verdict);
    if (identity != NULL && !backend_is_wanted(b->client, p, identity, &p->verdict))
        X509_STORE_CTX_set_error(store_ctx, p->verdict.x509_error);
    if (identity != NULL && p->verdict.accepted) {
        int64_t change = sp_trust_next_change(b->client->trust, now);
        b->until = identity->chain_until < change ? identity->chain_until : change;
        X509_STORE_CTX_set0_verified_chain(store_ctx, NULL); /* see wire_forget_chain */
        X509_STORE_CTX_set_error(store_ctx, X509_V_OK);
    } else if (X509_STORE_CTX_get_error(store_ctx) == X509_V_OK) {
        X509_STORE_CTX_set_error(store_ctx, X509_V_ERR_CERT_REJECTED);
    }
    sp_identity_free(identity);
    return p->verdict.accepted;
}

/* ---- the handshake ---- */

SP_PRINTF(3, 4)
static enum sp_rc refuse(struct backend *b, struct sp_err *err, const char *fmt, ...)
{
    char text[SP_ERR_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    b->wire.stage = STAGE_REFUSED;
    ERR_clear_error();
    return sp_err_set(err, "%s", text);
}

/* It is not the backend's fault, and not said of it. */
static enum sp_rc no_memory(struct backend *b, struct sp_err *err)
{
    (void)!refuse(b, err, "out of memory");
    return sp_err_sys(err, ENOMEM, "the TLS handshake");
}

/* A backend that speaks before it was spoken to has not got TLS there, or somebody else speaks in its place: nothing of it
 * is ever taken for an answer. */
static enum sp_rc look_for_early_bytes(struct backend *b, struct sp_err *err)
{
    unsigned char bytes[FIRST_BYTES_MAX];
    size_t n;
    switch (sp_socket_peek(b->wire.t.fd, bytes, sizeof bytes, &n)) {
    case SP_AGAIN:
        return SP_OK;
    case SP_OK:
        return refuse(b, err, "it sent bytes before the TLS handshake");
    default:
        return refuse(b, err, "it closed the connection before the TLS handshake");
    }
}

static enum sp_rc start(struct backend *b, struct sp_err *err)
{
    const struct probe *p = b->probe;
    enum sp_rc rc = look_for_early_bytes(b, err);
    if (rc != SP_OK)
        return rc;
    ERR_clear_error();
    if (!wire_start(&b->wire, b->client->ctx))
        return no_memory(b, err);
    SSL *ssl = b->wire.ssl;
    SSL_set_app_data(ssl, b);
    SSL_set_connect_state(ssl);
    b->until = INT64_MAX;
    if ((p->sni[0] != '\0' && SSL_set_tlsext_host_name(ssl, p->sni) != 1) ||
        (p->alpn[0] != 0 && SSL_set_alpn_protos(ssl, p->alpn, 1u + p->alpn[0]) != 0) || !offer_session(b))
        return no_memory(b, err);
    return SP_OK;
}

/* What to say of a handshake that OpenSSL gave up. The more certain comes first. */
static enum sp_rc handshake_failed(struct backend *b, int ssl_error, int sys, struct sp_err *err)
{
    const struct probe *p = b->probe;
    char detail[256] = "";
    unsigned long first = ERR_peek_error();
    bool is_plain = ERR_GET_LIB(first) == ERR_LIB_SSL && ERR_GET_REASON(first) == SSL_R_WRONG_VERSION_NUMBER;
    enum sp_refusal reason = reason_of_queue("backend", detail, sizeof detail);
    if (reason == SP_REFUSAL_out_of_memory || p->verdict.reason == SP_REFUSAL_out_of_memory)
        return no_memory(b, err);
    bool is_somebody_else = p->verdict.x509_error == X509_V_ERR_HOSTNAME_MISMATCH;
    if (p->judged && !p->verdict.accepted)
        return refuse(b, err, "its certificate is refused: %s%s%s",
            is_somebody_else ? "wrong_name" : sp_refusal_name(p->verdict.reason),
            p->verdict.detail[0] != '\0' ? ": " : "", p->verdict.detail);
    if (b->wire.flooded)
        return refuse(b, err, "more than 64 KiB in the handshake");
    if (is_plain)
        return refuse(b, err, "it does not speak TLS there");
    if (reason != SP_REFUSAL_none)
        return refuse(b, err, "%s", detail);
    if (ssl_error == SSL_ERROR_SYSCALL && sys != 0)
        return refuse(b, err, "%s in the TLS handshake", strerror(sys));
    return refuse(b, err, "it closed the connection in the TLS handshake");
}

/* It may choose none, but nothing that was not offered. */
static bool has_our_alpn(const struct backend *b)
{
    const unsigned char *chosen, *offered = b->probe->alpn;
    unsigned len;
    SSL_get0_alpn_selected(b->wire.ssl, &chosen, &len);
    return len == 0 || (len == offered[0] && memcmp(chosen, offered + 1, len) == 0);
}

/* The handshake is complete. What was decided in the callbacks is looked at once more: nobody passes by a callback that did
 * not run. */
static enum sp_rc let_out(struct backend *b, struct sp_err *err)
{
    SSL *ssl = b->wire.ssl;
    const struct probe *p = b->probe;
    b->resumed = SSL_session_reused(ssl) == 1;
    bool is_proven = p->judged ? p->verdict.accepted : b->resumed && sp_wall_s() < b->until;
    if (b->client->trust != NULL && !is_proven)
        return refuse(b, err, "a backend without a verdict");
    if (!has_our_alpn(b))
        return refuse(b, err, "it chose an application protocol that was not offered");
    wire_forget_chain(&b->wire);
    keep_what_came(b);
    probe_free(b);
    b->wire.stage = STAGE_OPEN;
    wire_watch_messages(&b->wire);
    if (SSL_has_pending(ssl))
        b->wire.t.can_read = true;
    return SP_OK;
}

enum sp_rc sp_tls_client_handshake(struct sp_transport *t, struct sp_err *err)
{
    struct backend *b = backend_of(t);
    SP_ASSERT(b->wire.stage == STAGE_WAITING || b->wire.stage == STAGE_SHAKING);
    if (b->wire.stage == STAGE_WAITING && start(b, err) != SP_OK)
        return SP_FAIL;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(b->wire.ssl);
    int sys = errno;
    if (rc == 1)
        return let_out(b, err);
    int ssl_error = SSL_get_error(b->wire.ssl, rc);
    if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE)
        return SP_AGAIN;
    if (b->saved != NULL) /* should it lie with the session, the next one does without */
        sp_tls_saved_forget(b->saved);
    return handshake_failed(b, ssl_error, sys, err);
}

/* ---- a connection ---- */

static void backend_free(struct sp_transport *t)
{
    struct backend *b = backend_of(t);
    if (b->wire.stage == STAGE_OPEN && !b->wire.broken)
        SSL_set_shutdown(
            b->wire.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else its session is spoilt */
    wire_end(&b->wire);
    probe_free(b);
    sp_tls_client_free(b->client);
    sp_free(b);
}

static const struct sp_transport_ops backend_ops = {
    .name = "tls",
    .read = wire_read,
    .writev = wire_writev,
    .flush = wire_flush,
    .shutdown = wire_shutdown,
    .free = backend_free,
};

/* The name to ask for: as the operator says, else the one that is verified, else the endpoint's. Addresses have none
 * (RFC 6066 §3). */
static void choose_sni(const struct sp_config_upstream_tls *tls, struct probe *p)
{
    const struct wanted named = wanted_of(tls->sni != NULL ? tls->sni : tls->name);
    const struct wanted *w = tls->sni != NULL || tls->name != NULL ? &named : &p->host;
    if (w->kind == WANTED_DNS)
        memcpy(p->sni, w->text, sizeof p->sni);
}

struct sp_transport *sp_tls_client_conn_new(
    struct sp_tls_client *c, int fd, const char *host, const char *alpn, struct sp_tls_saved *saved)
{
    size_t len = alpn != NULL ? strlen(alpn) : 0;
    struct backend *b = SP_NEW(struct backend);
    struct probe *p = SP_NEW(struct probe);
    SP_ASSERT(len < sizeof p->alpn);
    if (b == NULL || p == NULL) {
        sp_free(b);
        sp_free(p);
        return NULL;
    }
    p->host = wanted_of(host);
    choose_sni(c->tls, p);
    p->alpn[0] = (unsigned char)len;
    if (len > 0)
        memcpy(p->alpn + 1, alpn, len);
    b->wire.t = (struct sp_transport){.ops = &backend_ops, .fd = fd, .can_read = true, .can_write = true};
    b->wire.stage = STAGE_WAITING;
    b->wire.shared = shared_ref(c->shared);
    b->client = sp_tls_client_ref(c);
    b->saved = saved;
    b->probe = p;
    return &b->wire.t;
}

void sp_tls_client_conn_detach(struct sp_transport *t)
{
    struct backend *b = backend_of(t);
    SP_ASSERT(b->wire.stage == STAGE_OPEN);
    sp_tls_client_free(b->client);
    b->client = NULL;
    b->saved = NULL;
}

bool sp_tls_client_is_resumed(const struct sp_transport *t)
{
    return backend_of(t)->resumed;
}
