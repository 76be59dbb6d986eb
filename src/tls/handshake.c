/* From the first byte to a proven identity.
 *
 * Nothing is spent on a connection before its first bytes look like TLS: they are looked at in the kernel's
 * buffer. A plain HTTP request is answered in its own language. The verdict on the client's certificate is
 * pki's, and it is taken in OpenSSL's verify callback, which runs *before* the client has shown that it holds
 * the key: so the identity is made there and given out only when the handshake is complete.
 *
 * Everything that a handshake needs (the server, the trust, the proof) is let go of at its end: a connection
 * outlives them. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "sallyport/io/socket.h"
#include "sallyport/pki/x509.h"
#include "tls_private.h"

/* Bytes of a peer that is being turned away which are read for the sake of an answer arriving: closing a socket
 * with unread bytes resets the connection, and the answer is lost with it. */
#define DRAIN_MAX 65536

static const char plain_http_answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                        "Content-Type: text/plain\r\n"
                                        "Content-Length: 42\r\n"
                                        "Connection: close\r\n"
                                        "\r\n"
                                        "This port speaks TLS. Use https, not http\n";

static enum sp_rc refuse(
    struct conn *c, struct sp_tls_refusal *out, enum sp_refusal reason, const char *detail)
{
    c->wire.stage = STAGE_REFUSED;
    memset(out, 0, sizeof *out);
    out->reason = reason;
    snprintf(out->detail, sizeof out->detail, "%s", detail);
    if (c->proof != NULL && c->proof->leaf != NULL)
        sp_cert_facts_of(c->proof->leaf, &out->cert);
    return SP_FAIL;
}

/* SP_AGAIN: the peer may send more. SP_EOF: it will not, or the limit is reached. */
static enum sp_rc drain(struct conn *c)
{
    char buf[4096];
    while (c->drained < DRAIN_MAX) {
        ssize_t got = recv(c->wire.t.fd, buf, sizeof buf, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return SP_AGAIN;
        if (got <= 0)
            return SP_EOF;
        c->drained += (size_t)got;
        for (ssize_t i = 0; i < got && c->blank_line < 4; i++) {
            if (buf[i] == "\r\n\r\n"[c->blank_line])
                c->blank_line++;
            else
                c->blank_line = buf[i] == '\r';
        }
    }
    return SP_EOF;
}

/* ---- plain HTTP ---- */

static enum sp_rc linger(struct conn *c, struct sp_tls_refusal *refusal)
{
    /* A request that is complete without a body: nothing more will come that could destroy the answer. */
    if (drain(c) == SP_AGAIN && (c->blank_line < 4 || c->has_body)) {
        c->wire.t.can_read = false;
        return SP_AGAIN;
    }
    return refuse(c, refusal, SP_REFUSAL_plain_http, "answered 400");
}

static enum sp_rc answer_plain_http(struct conn *c, struct sp_tls_refusal *refusal)
{
    c->wire.stage = STAGE_LINGERING;
    (void)drain(c);
    /* It fits any fresh socket's buffer; if not, it is lost. */
    (void)!send(c->wire.t.fd, plain_http_answer, sizeof plain_http_answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(c->wire.t.fd, SHUT_WR);
    return linger(c, refusal);
}

/* ---- the first bytes ---- */

static enum sp_rc start_tls(struct conn *c, struct sp_tls_refusal *refusal)
{
    ERR_clear_error();
    c->proof = SP_NEW(struct proof);
    if (c->proof == NULL || !wire_start(&c->wire, c->server->hosts[0].sites[0].ctx))
        return refuse(c, refusal, SP_REFUSAL_out_of_memory, "");
    SSL_set_app_data(c->wire.ssl, c);
    SSL_set_accept_state(c->wire.ssl);
    return SP_OK;
}

static enum sp_rc look_at_first_bytes(struct conn *c, struct sp_tls_refusal *refusal)
{
    unsigned char bytes[FIRST_BYTES_MAX];
    char what[64];
    size_t n;
    int errnum;
    if (!c->wire.t.can_read)
        return SP_AGAIN;
    enum sp_rc rc = sp_socket_peek(c->wire.t.fd, bytes, sizeof bytes, &n);
    if (rc == SP_EOF || rc == SP_FAIL)
        return refuse(c, refusal, SP_REFUSAL_no_data, rc == SP_EOF ? "" : "reset");
    switch (first_bytes_judge(bytes, n, &c->has_body)) {
    case FIRST_TLS:
        return start_tls(c, refusal);
    case FIRST_HTTP:
        return answer_plain_http(c, refusal);
    case FIRST_OTHER:
        first_bytes_describe(bytes, n, what, sizeof what);
        return refuse(c, refusal, SP_REFUSAL_not_tls, what);
    default:
        /* A reset hides behind bytes that are only looked at. */
        if (n > 0 && (c->wire.t.peer_ended || sp_socket_connect_result(c->wire.t.fd, &errnum) == SP_FAIL))
            return refuse(c, refusal, SP_REFUSAL_not_tls, "ended before its first bytes said what it is");
        c->wire.t.can_read = false;
        return SP_AGAIN;
    }
}

/* ---- the client's certificate ---- */

/* SSL_CTX_set_cert_verify_callback. Whatever goes wrong here, the answer is no. */
int on_verify(X509_STORE_CTX *store_ctx, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store_ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct conn *c = SSL_get_app_data(ssl);
    struct proof *p = c->proof;
    X509 *leaf = X509_STORE_CTX_get0_cert(store_ctx);
    SP_ASSERT(p != NULL && c->server != NULL);
    if (leaf == NULL || p->judged) /* one certificate message a handshake */
        goto refused;
    p->judged = true;
    if (X509_up_ref(leaf))
        p->leaf = leaf;
    p->identity = sp_trust_admit(c->server->hosts[c->host].trust, store_ctx, sp_wall_s(), &p->verdict);
    if (p->identity != NULL) {
        resume_consider(ssl, p, X509_STORE_CTX_get0_untrusted(store_ctx));
        X509_STORE_CTX_set0_verified_chain(store_ctx, NULL); /* see wire_forget_chain */
        X509_STORE_CTX_set_error(store_ctx, X509_V_OK);
        return 1;
    }
    if (X509_STORE_CTX_get_error(store_ctx) == X509_V_OK)
        X509_STORE_CTX_set_error(store_ctx, X509_V_ERR_CERT_REJECTED);
    return 0;
refused:
    p->verdict.accepted = false;
    X509_STORE_CTX_set_error(store_ctx, X509_V_ERR_CERT_REJECTED);
    return 0;
}

/* ---- TLS ---- */

/* What to say of a handshake that OpenSSL gave up. The more certain comes first. */
static enum sp_rc handshake_failed(struct conn *c, int ssl_error, int sys, struct sp_tls_refusal *refusal)
{
    char detail[sizeof refusal->detail] = "";
    enum sp_refusal reason = reason_of_queue("client", detail, sizeof detail);
    const struct proof *p = c->proof;
    if (p->hello_reason != SP_REFUSAL_none)
        return refuse(c, refusal, p->hello_reason, p->hello_detail);
    if (c->wire.flooded)
        return refuse(c, refusal, p->was_greeted ? SP_REFUSAL_too_large : SP_REFUSAL_hello_too_large,
            "more than 64 KiB in the handshake");
    if (p->judged && !p->verdict.accepted)
        return refuse(c, refusal, p->verdict.reason, p->verdict.detail);
    if (reason == SP_REFUSAL_too_large && !p->was_greeted) /* it only announced so much */
        reason = SP_REFUSAL_hello_too_large;
    if (reason != SP_REFUSAL_none)
        return refuse(c, refusal, reason, detail);
    if (ssl_error == SSL_ERROR_ZERO_RETURN)
        return refuse(c, refusal, SP_REFUSAL_client_closed, "the client sent close_notify");
    if (ssl_error == SSL_ERROR_SYSCALL)
        return refuse(c, refusal, SP_REFUSAL_client_closed, sys != 0 ? strerror(sys) : "");
    return refuse(c, refusal, SP_REFUSAL_tls_error, "OpenSSL gives no reason");
}

/* What a ticket says of the chain is out by now, or never will be: there is no renegotiation. */
static void forget_chain(struct conn *c)
{
    if (c->server->tickets != NULL)
        (void)SSL_SESSION_set1_ticket_appdata(SSL_get_session(c->wire.ssl), NULL, 0);
    wire_forget_chain(&c->wire);
}

/* The handshake is complete. What was decided in the callbacks is looked at once more: nobody passes by a
 * callback that did not run. */
static enum sp_rc let_in(struct conn *c, struct sp_tls_refusal *refusal)
{
    struct proof *p = c->proof;
    if (SSL_session_reused(c->wire.ssl) && !resume_take(c))
        return refuse(c, refusal, SP_REFUSAL_tls_error, "a resumed session without a verdict");
    bool has_certificate = SSL_get0_peer_certificate(c->wire.ssl) != NULL, ticket_sent = p->ticket_sent;
    if (has_certificate && !(p->judged && p->verdict.accepted && p->identity != NULL))
        return refuse(c, refusal, SP_REFUSAL_tls_error, "a certificate without a verdict");
    if (!has_certificate && (c->server->hosts[c->host].certificate_required || p->identity != NULL))
        return refuse(c, refusal, SP_REFUSAL_no_certificate, "");
    forget_chain(c);
    c->identity = p->identity;
    if (c->authenticated_at == 0)
        c->authenticated_at = sp_wall_s();
    c->remembered = p->verdict.remembered;
    p->identity = NULL;
    resume_keep(c);
    proof_free(p);
    c->proof = NULL;
    c->server = NULL;
    c->wire.stage = STAGE_OPEN;
    wire_watch_messages(&c->wire);
    c->wire.owes = c->wire.more_follows ? OWES_SESSION : ticket_sent ? OWES_NOTHING : OWES_ACKNOWLEDGEMENT;
    c->wire.more_follows = false;
    /* The first request may have come along with the client's last message. Then a session of TLS 1.3, which is all that is
     * left to send, goes with the answer if that is soon. */
    if (SSL_has_pending(c->wire.ssl))
        c->wire.t.can_read = true;
    else
        wire_settle(&c->wire);
    return SP_OK;
}

static enum sp_rc shake(struct conn *c, struct sp_tls_refusal *refusal)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(c->wire.ssl);
    int sys = errno;
    if (rc == 1)
        return let_in(c, refusal);
    int ssl_error = SSL_get_error(c->wire.ssl, rc);
    if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE)
        return SP_AGAIN;
    enum sp_rc failed = handshake_failed(c, ssl_error, sys, refusal);
    c->alerted = !c->wire.tcp_ended;
    (void)shutdown(c->wire.t.fd, SHUT_WR);
    return failed;
}

enum sp_rc sp_tls_handshake(struct sp_transport *t, struct sp_tls_refusal *refusal)
{
    struct conn *c = conn_of(t);
    SP_ASSERT(c->wire.stage != STAGE_OPEN && c->wire.stage != STAGE_REFUSED);
    if (c->wire.stage == STAGE_LINGERING)
        return linger(c, refusal);
    if (c->wire.stage == STAGE_WAITING) {
        enum sp_rc rc = look_at_first_bytes(c, refusal);
        if (rc != SP_OK)
            return rc;
    }
    return shake(c, refusal);
}

/* A TLS 1.3 client may have sent its request, and be sending a body, before it reads our alert. */
enum sp_rc sp_tls_linger(struct sp_transport *t)
{
    struct conn *c = conn_of(t);
    if (c->wire.stage ==
        STAGE_OPEN) { /* refused for what TLS does not know of: there is no alert for that any more */
        (void)sp_transport_shutdown(t);
        c->wire.stage = STAGE_REFUSED;
        c->alerted = !c->wire.tcp_ended;
    }
    if (!c->alerted)
        return SP_EOF;
    SSL_free(c->wire.ssl); /* the alert is out; OpenSSL is not asked again */
    c->wire.ssl = NULL;
    if (!c->wire.t.can_read)
        return SP_AGAIN;
    return drain(c);
}

void sp_tls_handshake_expired(struct sp_transport *t, struct sp_tls_refusal *refusal)
{
    struct conn *c = conn_of(t);
    switch (c->wire.stage) {
    case STAGE_WAITING:
        (void)refuse(c, refusal, SP_REFUSAL_handshake_timeout, "no TLS record was sent");
        break;
    case STAGE_LINGERING:
        (void)refuse(c, refusal, SP_REFUSAL_plain_http, "answered 400");
        break;
    default:
        (void)refuse(c, refusal, SP_REFUSAL_handshake_timeout, "in the middle of the TLS handshake");
    }
}
