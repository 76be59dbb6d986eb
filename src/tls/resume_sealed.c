/* Sessions that the client keeps: tickets, sealed with the keys of a file (tickets.c). What is known of a session beside
 * OpenSSL's part goes into the ticket as well. Who may come in by one: resume.c. */
#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "tls_private.h"

int on_ticket_key(SSL *ssl, unsigned char name[TICKET_KEY_NAME], unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int sealing)
{
    struct conn *c = SSL_get_app_data(ssl);
    SP_ASSERT(c->proof != NULL && c->server != NULL && c->server->tickets != NULL);
    struct proof *p = c->proof;
    if (!sealing)
        return resume_look_at_one_more(ssl, p) && tickets_open(c->server->tickets, name, iv, cipher, mac);
    /* TLS 1.2 was promised one before the certificate came: it is sent an empty one */
    if (!resume_is_possible(ssl, p) || p->no_session)
        return 0;
    p->ticket_sent = true;
    c->wire.more_follows = SSL_version(ssl) == TLS1_3_VERSION; /* see let_in */
    return tickets_seal(c->server->tickets, name, iv, cipher, mac) ? 1 : -1;
}

/* SSL_CTX_set_session_ticket_cb, before one is sealed. What a ticket said that was resumed from is said again by the next:
 * OpenSSL has copied it. One that says nothing, for want of memory, lets nobody in; 0 would end this handshake for it. */
int on_ticket_made(SSL *ssl, void *arg)
{
    (void)arg;
    struct conn *c = SSL_get_app_data(ssl);
    SP_ASSERT(c->proof != NULL && c->server != NULL);
    SSL_SESSION *session = SSL_get_session(ssl);
    resume_set_age(c, session);
    if (SSL_session_reused(ssl) || c->proof->no_session)
        return 1;
    struct sp_buf origin;
    if (origin_write(c, &origin))
        (void)SSL_SESSION_set1_ticket_appdata(session, origin.ptr, origin.len);
    sp_buf_free(&origin);
    return 1;
}

/* SSL_CTX_set_session_ticket_cb, after one was opened or could not be. */
SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
    SSL_TICKET_STATUS status, void *arg)
{
    (void)name;
    (void)name_len;
    (void)arg;
    struct conn *c = SSL_get_app_data(ssl);
    struct origin origin;
    void *bytes;
    size_t len;
    SP_ASSERT(c->proof != NULL && c->server != NULL);
    resumption_forget(&c->proof->resumption); /* of a ticket before this one */
    if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
        SSL_SESSION_get0_ticket_appdata(session, &bytes, &len) != 1 ||
        !origin_read((struct sp_slice){bytes, len}, &origin) ||
        !resume_judge(c, &origin, SSL_SESSION_get0_peer(session)))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    /* TLS 1.3 wants each ticket used once (RFC 8446 §C.4), so there is a next one, of the same age. */
    return SSL_version(ssl) == TLS1_3_VERSION ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}
