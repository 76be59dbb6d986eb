/* Resumption: who may come in by a session, whichever side has kept it, and what a session is known by.
 *
 *   resume_sealed.c   the client keeps it, sealed with a file's keys: a ticket
 *   resume_kept.c     we keep it, the client has its name (sessions.c)
 *
 * Neither decides anything. A session brings the client's certificates back and tells when they were last proven, its
 * origin; the verdict on them is made anew, by the trust of the host that is asked for this time, and gives the same
 * identity as in a full handshake. Whoever fails is not refused here: a full handshake follows, which refuses with the
 * right reason and alert.
 *
 *   same policy and same name as when it was made, the full handshake not longer ago than lifetime and
 *   max_session_age allow, and a verdict on the chain at this moment
 *
 * The origin goes from session to session, so that nobody lives on renewals. Nothing counts before the handshake is complete: only
 * then has the client shown that it holds the session's secret (resume_take). */
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "sallyport/pki/x509.h"
#include "tls_private.h"

/* Larger ones are not worth carrying around: such a client gets no session to come back to. */
#define MAX_CHAIN_BYTES 8192
/* Sessions that are looked at for one handshake. A client has one to show, or two; each costs about what a signature
 * does. */
#define MAX_LOOKED_AT 4
/* Between the clocks of hosts that share their keys. */
#define MAX_SKEW_S 60

/* ---- the origin: version, policy, time, name, certificates above the leaf ----
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

bool origin_read(struct sp_slice in, struct origin *out)
{
    uint64_t version, at, len, count;
    struct sp_slice policy;
    if (!take_number(&in, 1, &version) || version != ORIGIN_VERSION ||
        !take(&in, sizeof out->policy, &policy) || !take_number(&in, 8, &at) || at > INT64_MAX ||
        !take_number(&in, 1, &len) || !take(&in, len, &out->sni) || !take_number(&in, 1, &count) ||
        count > ORIGIN_CHAIN_MAX)
        return false;
    memcpy(out->policy, policy.ptr, sizeof out->policy);
    out->authenticated_at = (int64_t)at;
    for (out->chain_count = 0; out->chain_count < count; out->chain_count++) {
        if (!take_number(&in, 2, &len) || !take(&in, len, &out->chain[out->chain_count]))
            return false;
    }
    return in.len == 0;
}

/* ---- making one ---- */

/* A TLS 1.2 session without the extended master secret can be the same with two servers (RFC 7627 §5.2). */
bool resume_is_possible(const SSL *ssl, const struct proof *p)
{
    return SSL_version(ssl) == TLS1_3_VERSION || p->has_extended_secret;
}

/* Whether a session could hold them: the leaf, which goes with OpenSSL's own part, and what is above. Known before
 * OpenSSL begins to make a ticket, which in TLS 1.3 cannot be stopped then. */
static bool is_small(const STACK_OF(X509) * sent)
{
    size_t bytes = 0;
    int count = sent != NULL ? sk_X509_num(sent) : 0;
    for (int i = 0; i < count; i++) {
        int len = i2d_X509(sk_X509_value(sent, i), NULL);
        bytes += len > 0 ? (size_t)len : MAX_CHAIN_BYTES + 1;
    }
    return count <= 1 + ORIGIN_CHAIN_MAX && bytes <= MAX_CHAIN_BYTES;
}

void resume_consider(SSL *ssl, struct proof *p, const STACK_OF(X509) * sent)
{
    p->no_session = !is_small(sent);
    if (p->no_session)
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

bool origin_write(const struct conn *c, struct sp_buf *out)
{
    const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(c->wire.ssl);
    const char *sni = sp_tls_sni(&c->wire.t);
    size_t len = strlen(sni);
    int count = chain != NULL ? sk_X509_num(chain) : 0;
    SP_ASSERT(len <= UINT8_MAX && count <= ORIGIN_CHAIN_MAX);
    sp_buf_init(out, MAX_CHAIN_BYTES + 1024);
    add_number(out, ORIGIN_VERSION, 1);
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

/* The age of a session is that of its full handshake. OpenSSL 3.0 cannot encode one whose timeout is 0. */
void resume_set_age(struct conn *c, SSL_SESSION *session)
{
    int64_t now = sp_wall_s();
    if (c->authenticated_at == 0)
        c->authenticated_at = SSL_session_reused(c->wire.ssl) ? c->proof->resumption.authenticated_at : now;
    int64_t left = resume_until(c) - now;
    (void)SSL_SESSION_set_timeout(session, left > 0 ? (long)left : 1); /* told to a client of TLS 1.3 */
}

int64_t resume_until(const struct conn *c)
{
    return c->authenticated_at + c->server->hosts[c->host].session_s;
}

/* ---- judging who shows one ---- */

bool resume_look_at_one_more(const SSL *ssl, struct proof *p)
{
    return resume_is_possible(ssl, p) && ++p->looked_at <= MAX_LOOKED_AT;
}

void resumption_forget(struct resumption *r)
{
    X509_free(r->leaf);
    sp_identity_free(r->identity);
    family_free(r->family);
    *r = (struct resumption){0};
}

static bool is_of_this_place(const struct conn *c, const struct origin *s, int64_t now)
{
    const struct host *host = &c->server->hosts[c->host];
    return memcmp(s->policy, host->policy, sizeof s->policy) == 0 &&
           sp_slice_equal(s->sni, sp_slice_of(sp_tls_sni(&c->wire.t))) &&
           now - s->authenticated_at < host->session_s && s->authenticated_at - now <= MAX_SKEW_S;
}

/* Fills `r` as far as it comes. */
static bool judge(const struct conn *c, const struct origin *origin, X509 *leaf, struct resumption *r)
{
    const struct host *host = &c->server->hosts[c->host];
    struct sp_verdict verdict;
    int64_t now = sp_wall_s();
    if (!is_of_this_place(c, origin, now))
        return false;
    r->authenticated_at = origin->authenticated_at;
    if (leaf == NULL)
        return !host->certificate_required && origin->chain_count == 0;
    r->identity = sp_trust_readmit(host->trust, leaf, origin->chain, origin->chain_count, now, &verdict);
    if (r->identity == NULL || !verdict.accepted || X509_up_ref(leaf) != 1)
        return false;
    r->leaf = leaf;
    r->verdict = verdict;
    return true;
}

bool resume_judge(struct conn *c, const struct origin *origin, X509 *leaf)
{
    struct resumption *r = &c->proof->resumption;
    resumption_forget(r);
    r->allowed = judge(c, origin, leaf, r);
    ERR_clear_error();
    if (!r->allowed)
        resumption_forget(r);
    return r->allowed;
}

bool resume_take(struct conn *c)
{
    struct proof *p = c->proof;
    struct resumption *r = &p->resumption;
    /* The very session that was judged: OpenSSL may have been shown several sessions. */
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
