/* Resumption by ticket: what a ticket says beside OpenSSL's session, and who may come in by it.
 *
 * A ticket is the client's to keep, so it decides nothing. It brings the client's certificates back and tells when
 * they were last proven; the verdict on them is made anew, by the trust of the host that is asked for this time, and
 * gives the same identity as in a full handshake. Whoever fails is not refused here: a full handshake follows, which
 * refuses with the right reason and alert.
 *
 *   same policy and same name as when it was made, the full handshake not longer ago than lifetime and
 *   max_session_age allow, and a verdict on the chain at this moment
 *
 * The time of the full handshake goes from ticket to ticket, so that nobody lives on renewals. Nothing counts before
 * the handshake is complete: only then has the client shown that it holds the session's secret (resume_take). */
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "sallyport/pki/x509.h"
#include "tls_private.h"

/* Larger ones are not worth carrying around: such a client gets no ticket. */
#define MAX_CHAIN_BYTES 8192
/* Tickets that are opened for one handshake. A client has one to show, or two; each costs about what a signature
 * does. */
#define MAX_OPENED 4
/* Between the clocks of hosts that share their keys. */
#define MAX_SKEW_S 60

/* ---- the state: version, policy, time, name, certificates above the leaf ----
 *
 *   1 byte 1 | 32 policy id | 8 seconds since 1970 | 1 length, name | 1 count, each: 2 length, DER     (big endian) */

static bool take(struct sp_slice *in, size_t len, struct sp_slice *out)
{
    if (in->len < len)
        return false;
    *out = sp_slice_sub(*in, 0, len);
    *in = sp_slice_sub(*in, len, in->len);
    return true;
}

static bool take_number(struct sp_slice *in, size_t bytes, uint64_t *n)
{
    struct sp_slice s;
    if (!take(in, bytes, &s))
        return false;
    *n = 0;
    for (size_t i = 0; i < bytes; i++)
        *n = *n << 8 | (unsigned char)s.ptr[i];
    return true;
}

bool ticket_state_read(struct sp_slice in, struct ticket_state *out)
{
    uint64_t version, at, len, count;
    struct sp_slice policy;
    if (!take_number(&in, 1, &version) || version != TICKET_STATE_VERSION ||
        !take(&in, sizeof out->policy, &policy) || !take_number(&in, 8, &at) || at > INT64_MAX ||
        !take_number(&in, 1, &len) || !take(&in, len, &out->sni) || !take_number(&in, 1, &count) ||
        count > TICKET_CHAIN_MAX)
        return false;
    memcpy(out->policy, policy.ptr, sizeof out->policy);
    out->authenticated_at = (int64_t)at;
    for (out->chain_count = 0; out->chain_count < count; out->chain_count++) {
        if (!take_number(&in, 2, &len) || !take(&in, len, &out->chain[out->chain_count]))
            return false;
    }
    return in.len == 0;
}

/* ---- sealing and opening ---- */

/* A TLS 1.2 session without the extended master secret can be the same with two servers (RFC 7627 §5.2). */
static bool may_resume(const SSL *ssl, const struct proof *p)
{
    return SSL_version(ssl) == TLS1_3_VERSION || p->has_extended_secret;
}

int on_ticket_key(SSL *ssl, unsigned char name[TICKET_KEY_NAME], unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int sealing)
{
    struct conn *c = SSL_get_app_data(ssl);
    SP_ASSERT(c->proof != NULL && c->server != NULL && c->server->tickets != NULL);
    struct proof *p = c->proof;
    if (!may_resume(ssl, p))
        return 0;
    if (sealing) {
        if (p->no_ticket) /* TLS 1.2 was promised one before the certificate came: it is sent an empty one */
            return 0;
        p->ticket_sent = true;
        return tickets_seal(c->server->tickets, sp_mono_ms(), name, iv, cipher, mac) ? 1 : -1;
    }
    if (++p->opened > MAX_OPENED)
        return 0;
    return tickets_open(c->server->tickets, sp_mono_ms(), name, iv, cipher, mac);
}

/* ---- making one ---- */

/* Whether a ticket could hold them: the leaf, which goes with OpenSSL's session, and what is above. Known before
 * OpenSSL begins to make one, which in TLS 1.3 cannot be stopped then. */
static bool is_small(const STACK_OF(X509) * sent)
{
    size_t bytes = 0;
    int count = sent != NULL ? sk_X509_num(sent) : 0;
    for (int i = 0; i < count; i++) {
        int len = i2d_X509(sk_X509_value(sent, i), NULL);
        bytes += len > 0 ? (size_t)len : MAX_CHAIN_BYTES + 1;
    }
    return count <= 1 + TICKET_CHAIN_MAX && bytes <= MAX_CHAIN_BYTES;
}

void resume_consider(SSL *ssl, struct proof *p, const STACK_OF(X509) * sent)
{
    p->no_ticket = !is_small(sent);
    if (p->no_ticket)
        SSL_set_num_tickets(ssl, 0);
}

static void add_number(struct sp_buf *b, uint64_t n, unsigned bytes)
{
    while (bytes-- > 0)
        (void)sp_buf_add_char(b, (char)(n >> (8 * bytes)));
}

static bool add_certificate(struct sp_buf *b, const X509 *cert)
{
    int len = i2d_X509(cert, NULL);
    if (len <= 0 || len > UINT16_MAX)
        return false;
    add_number(b, (uint64_t)len, 2);
    unsigned char *room = (unsigned char *)sp_buf_room(b, (size_t)len);
    if (room == NULL || i2d_X509(cert, &room) != len)
        return false;
    b->len += (size_t)len;
    return true;
}

static bool write_state(const struct conn *c, const STACK_OF(X509) * chain, struct sp_buf *out)
{
    const char *sni = sp_tls_sni(&c->wire.t);
    size_t len = strlen(sni);
    int count = chain != NULL ? sk_X509_num(chain) : 0;
    SP_ASSERT(len <= UINT8_MAX && count <= TICKET_CHAIN_MAX);
    add_number(out, TICKET_STATE_VERSION, 1);
    (void)sp_buf_add(out, c->server->hosts[c->host].policy, 32);
    add_number(out, (uint64_t)c->authenticated_at, 8);
    add_number(out, len, 1);
    (void)sp_buf_add(out, sni, len);
    add_number(out, (uint64_t)count, 1);
    for (int i = 0; i < count; i++) {
        if (!add_certificate(out, sk_X509_value(chain, i)))
            return false;
    }
    return !out->failed;
}

/* SSL_CTX_set_session_ticket_cb, before one is sealed. What a ticket said that was resumed from is said again by the next:
 * OpenSSL has copied it. One that says nothing, for want of memory, lets nobody in; 0 would end this handshake for it. */
int on_ticket_made(SSL *ssl, void *arg)
{
    (void)arg;
    struct conn *c = SSL_get_app_data(ssl);
    SP_ASSERT(c->proof != NULL && c->server != NULL);
    SSL_SESSION *session = SSL_get_session(ssl);
    const struct resumption *r = &c->proof->resumption;
    int64_t now = sp_wall_s();
    if (c->authenticated_at == 0)
        c->authenticated_at = SSL_session_reused(ssl) ? r->authenticated_at : now;
    int64_t left = c->authenticated_at + c->server->hosts[c->host].session_s - now;
    /* Told to the client. OpenSSL 3.0 cannot encode a session whose timeout is 0. */
    SSL_SESSION_set_timeout(session, left > 0 ? (long)left : 1);
    if (SSL_session_reused(ssl) || c->proof->no_ticket)
        return 1;
    struct sp_buf state;
    sp_buf_init(&state, MAX_CHAIN_BYTES + 1024);
    if (write_state(c, SSL_get_peer_cert_chain(ssl), &state))
        (void)SSL_SESSION_set1_ticket_appdata(session, state.ptr, state.len);
    sp_buf_free(&state);
    return 1;
}

/* ---- judging who shows one ---- */

void resumption_forget(struct resumption *r)
{
    X509_free(r->leaf);
    sp_identity_free(r->identity);
    *r = (struct resumption){0};
}

static bool is_of_this_place(const struct conn *c, const struct ticket_state *s, int64_t now)
{
    const struct host *host = &c->server->hosts[c->host];
    return memcmp(s->policy, host->policy, sizeof s->policy) == 0 &&
           sp_slice_equal(s->sni, sp_slice_of(sp_tls_sni(&c->wire.t))) &&
           now - s->authenticated_at < host->session_s && s->authenticated_at - now <= MAX_SKEW_S;
}

static bool judge(const struct conn *c, SSL_SESSION *session, struct resumption *r)
{
    const struct host *host = &c->server->hosts[c->host];
    struct ticket_state state;
    struct sp_verdict verdict;
    void *bytes;
    size_t len;
    int64_t now = sp_wall_s();
    if (SSL_SESSION_get0_ticket_appdata(session, &bytes, &len) != 1 ||
        !ticket_state_read((struct sp_slice){bytes, len}, &state) || !is_of_this_place(c, &state, now))
        return false;
    r->authenticated_at = state.authenticated_at;
    X509 *leaf = SSL_SESSION_get0_peer(session);
    if (leaf == NULL)
        return !host->certificate_required && state.chain_count == 0;
    r->identity = sp_trust_readmit(host->trust, leaf, state.chain, state.chain_count, now, &verdict);
    if (r->identity == NULL || !verdict.accepted || X509_up_ref(leaf) != 1)
        return false;
    r->leaf = leaf;
    r->verdict = verdict;
    return true;
}

/* SSL_CTX_set_session_ticket_cb, after one was opened or could not be. */
SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
    SSL_TICKET_STATUS status, void *arg)
{
    (void)name;
    (void)name_len;
    (void)arg;
    struct conn *c = SSL_get_app_data(ssl);
    SP_ASSERT(c->proof != NULL && c->server != NULL);
    struct resumption *r = &c->proof->resumption;
    resumption_forget(r); /* of a ticket before this one */
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    r->allowed = judge(c, session, r);
    ERR_clear_error();
    if (!r->allowed) {
        resumption_forget(r);
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    /* TLS 1.3 wants each ticket used once (RFC 8446 §C.4), so there is a next one, of the same age. */
    return SSL_version(ssl) == TLS1_3_VERSION ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

bool resume_take(struct conn *c)
{
    struct proof *p = c->proof;
    struct resumption *r = &p->resumption;
    /* The very session that was judged: OpenSSL may have been shown several tickets. */
    if (!r->allowed || p->judged || r->leaf != SSL_get0_peer_certificate(c->wire.ssl))
        return false;
    p->judged = r->leaf != NULL;
    p->verdict = r->verdict;
    p->identity = r->identity;
    r->identity = NULL;
    c->authenticated_at = r->authenticated_at;
    c->resumed = true;
    return true;
}
