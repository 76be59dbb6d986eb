/* Sessions that we keep: OpenSSL's callbacks between a handshake and sessions.c. Who may come in by one: resume.c.
 *
 * A client of TLS 1.3 is given the id of a session in place of a ticket, after its handshake; one of TLS 1.2 in the
 * ServerHello. What OpenSSL makes is collected while the client proves itself and kept when it has: before that nobody else may
 * find a session, since OpenSSL and we still write into it. */
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "tls_private.h"

/* What is known of the full handshake, for all sessions that will come of it. The chain is told by then: OpenSSL would copy its
 * parsed certificates from session to session. */
static void found_family(struct conn *c)
{
    struct sp_buf origin;
    if (c->proof->family != NULL)
        return;
    if (origin_write(c, &origin))
        c->proof->family = family_new(sp_buf_slice(&origin));
    sp_buf_free(&origin);
    wire_forget_chain(&c->wire);
}

static bool is_wanted(const SSL *ssl, const struct conn *c)
{
    return !c->proof->no_session && resume_is_possible(ssl, c->proof);
}

/* SSL_CTX_set_session_ticket_cb, before an id is sent in place of a ticket (TLS 1.3). */
int on_id_made(SSL *ssl, void *arg)
{
    (void)arg;
    struct conn *c = SSL_get_app_data(ssl);
    SP_ASSERT(c->proof != NULL && c->server != NULL);
    resume_set_age(c, SSL_get_session(ssl));
    if (!SSL_session_reused(ssl) && is_wanted(ssl, c))
        found_family(c);
    c->proof->ticket_sent = true;
    c->wire.more_follows = true; /* see let_in */
    return 1;
}

/* SSL_CTX_sess_set_new_cb: TLS 1.3 behind the one above, TLS 1.2 at the end of a full handshake. 1: the reference is ours. */
int on_session_made(SSL *ssl, SSL_SESSION *session)
{
    struct conn *c = SSL_get_app_data(ssl);
    struct proof *p = c->proof;
    if (p == NULL || p->fresh_count == SP_COUNTOF(p->fresh) || !is_wanted(ssl, c))
        return 0;
    if (SSL_version(ssl) != TLS1_3_VERSION) {
        resume_set_age(c, session);
        found_family(c);
    }
    p->fresh[p->fresh_count++] = session;
    return 1;
}

/* SSL_CTX_sess_set_get_cb. What is handed over is a copy, so that nobody else has it. */
SSL_SESSION *on_session_shown(SSL *ssl, const unsigned char *id, int len, int *is_borrowed)
{
    struct conn *c = SSL_get_app_data(ssl);
    struct family *family;
    SP_ASSERT(c->proof != NULL && c->server != NULL && c->server->sessions != NULL);
    struct resumption *r = &c->proof->resumption;
    *is_borrowed = 0;
    resumption_forget(r); /* of a session before this one */
    if (len < 0 || !resume_look_at_one_more(ssl, c->proof))
        return NULL;
    SSL_SESSION *session = sessions_find(c->server->sessions, id, (size_t)len, sp_wall_s(), &family);
    if (session == NULL)
        return NULL;
    if (!resume_judge(c, family_origin(family), SSL_SESSION_get0_peer(session))) {
        family_free(family);
        SSL_SESSION_free(session);
        return NULL;
    }
    r->family = family;
    return session;
}

void resume_keep(struct conn *c)
{
    struct proof *p = c->proof;
    struct family *family = c->resumed ? p->resumption.family : p->family;
    for (size_t i = 0; family != NULL && i < p->fresh_count; i++)
        sessions_put(c->server->sessions, p->fresh[i], family, sp_wall_s(), resume_until(c));
}
