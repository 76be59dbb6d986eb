/* OCSP stapling: the response about a certificate of ours that clients are sent with it (RFC 6066 §8). It is a file,
 * read like all others when a snapshot is built; who writes it, the operator or our own fetching, makes a difference
 * only to what is an error.
 *
 * Sent is what says "good", while it holds; never anything else. One that says "revoked" is told to the operator and
 * kept from the clients, though it could be sent: those that insist on a staple refuse without one too, those that check
 * for themselves learn it from the responder, and nobody else acts on it; while a response about a certificate that was
 * replaced this minute, but not yet everywhere, would cut off everybody. */
#include <errno.h>
#include <stdio.h>

#include "sallyport/base/clock.h"
#include "sallyport/base/mem.h"
#include "sallyport/pki/ocsp.h"
#include "sallyport/pki/x509.h"
#include "tls_private.h"

struct staple {
    struct staple *next;
    const X509 *leaf; /* borrowed from the context that shows it */
    int64_t until;    /* sent while now < until */
    size_t len;
    unsigned char der[];
};

struct load {
    const char *config_file;
    const struct sp_config_certificate *config;
    struct sp_diags *diags;
    int64_t now;
};

static bool is_fetched(const struct load *l)
{
    return l->config->staple_url != NULL;
}

static void tell(const struct load *l, enum sp_severity severity, const char *what, const char *detail)
{
    sp_diag_add(l->diags, severity, l->config_file, l->config->at, "certificate %s: %s%s", l->config->chain,
        what, detail);
}

/* What is wrong with a file that we fetch ourselves is mended by the next fetch. */
static void tell_unusable(const struct load *l, const char *detail)
{
    char what[512];
    if (is_fetched(l)) {
        tell(l, SP_DIAG_WARNING, "the OCSP response that was fetched is not stapled: ", detail);
        return;
    }
    snprintf(what, sizeof what, "staple_file %.*s: ", 400, l->config->staple_file);
    tell(l, SP_DIAG_ERROR, what, detail);
}

/* NULL: `diags` has an error. */
static struct sp_ocsp_subject *subject_of(const struct load *l, const struct certificate *c)
{
    struct sp_ocsp_subject *subject = NULL;
    struct sp_err err = {0};
    if (sp_ocsp_subject_new(c->leaf, c->chain, &subject, &err) != SP_OK) {
        tell(l, SP_DIAG_ERROR, "nothing can be stapled: ", err.text);
        return NULL;
    }
    if (is_fetched(l) && strcmp(l->config->staple_url, "auto") == 0 &&
        sp_ocsp_subject_responder(subject) == NULL) {
        tell(l, SP_DIAG_ERROR, "staple_url is \"auto\", but it names no OCSP responder", "");
        sp_ocsp_subject_free(subject);
        return NULL;
    }
    return subject;
}

/* Whether it is worth sending. */
static bool is_sendable(const struct load *l, const struct sp_ocsp_answer *answer)
{
    char until[SP_RFC3339_MAX];
    bool is_over = answer->until != 0 && answer->until <= l->now;
    sp_time_rfc3339(answer->until * 1000000, false, until);
    if (is_over)
        tell(l, SP_DIAG_WARNING, "no OCSP response is stapled: the one at hand ended at ", until);
    else if (answer->status == SP_OCSP_REVOKED)
        tell(l, SP_DIAG_WARNING,
            "its CA says that it is REVOKED; replace it. The response is not stapled: ", answer->detail);
    else if (answer->status != SP_OCSP_GOOD)
        tell_unusable(l, answer->detail);
    else if (answer->is_endless)
        tell(l, SP_DIAG_WARNING, "its OCSP response has no nextUpdate, so it is stapled only until ", until);
    return answer->status == SP_OCSP_GOOD && !is_over;
}

/* False without memory. */
static bool keep(struct sp_tls_server *server, const X509 *leaf, int64_t until, struct sp_slice der)
{
    struct staple *s = sp_alloc(1, sizeof *s + der.len);
    if (s == NULL)
        return false;
    s->leaf = leaf;
    s->until = until;
    s->len = der.len;
    memcpy(s->der, der.ptr, der.len);
    s->next = server->staples;
    server->staples = s;
    return true;
}

/* Whether there is one to be sent. */
static bool load(struct sp_tls_server *server, const struct load *l, const struct certificate *c)
{
    struct sp_ocsp_answer answer;
    struct sp_buf der = {0};
    struct sp_err err = {0};
    bool kept = false;
    struct sp_ocsp_subject *subject = subject_of(l, c);
    if (subject == NULL)
        return false;
    if (sp_ocsp_load(l->config->staple_file, &der, &err) != SP_OK) {
        if (is_fetched(l) && err.sys == ENOENT)
            tell(l, SP_DIAG_WARNING, "no OCSP response is stapled: none has been fetched yet", "");
        else if (is_fetched(l))
            tell_unusable(l, err.text);
        else
            tell(l, SP_DIAG_ERROR, "staple_file ", err.text);
        goto out;
    }
    sp_ocsp_subject_judge(subject, sp_buf_slice(&der), l->now, &answer);
    if (is_sendable(l, &answer)) {
        kept = keep(server, c->leaf, answer.until, sp_buf_slice(&der));
        if (!kept)
            tell(l, SP_DIAG_ERROR, "out of memory", "");
    }
out:
    sp_buf_free(&der);
    sp_ocsp_subject_free(subject);
    return kept;
}

void staple_load(struct sp_tls_server *server, const char *config_file,
    const struct sp_config_certificate *config, const struct certificate *c, struct sp_diags *diags)
{
    const struct load l = {config_file, config, diags, sp_wall_s()};
    bool has_one = config->staple_file != NULL && load(server, &l, c);
    if (!has_one && sp_ocsp_is_required(c->leaf))
        tell(&l, SP_DIAG_WARNING,
            "it asks clients to insist on a stapled OCSP response (\"must-staple\"), and there is none",
            config->staple_file == NULL ? "; give a staple_file or staple_url" : "");
}

bool staple_copy(struct sp_tls_server *server, const struct sp_tls_server *from, const X509 *leaf)
{
    const struct staple *s = from->staples;
    while (s != NULL && s->leaf != leaf)
        s = s->next;
    return s == NULL || keep(server, leaf, s->until, (struct sp_slice){(const char *)s->der, s->len});
}

void staple_free(struct sp_tls_server *server)
{
    while (server->staples != NULL) {
        struct staple *s = server->staples;
        server->staples = s->next;
        sp_free(s);
    }
}

/* SSL_CTX_set_tlsext_status_cb: a client asks. Which of several certificates it gets has been decided. */
int on_status_request(SSL *ssl, void *arg)
{
    (void)arg;
    const struct conn *c = SSL_get_app_data(ssl);
    const X509 *leaf = SSL_get_certificate(ssl);
    const struct staple *s = c->server->staples;
    while (s != NULL && s->leaf != leaf)
        s = s->next;
    if (s == NULL || sp_wall_s() >= s->until)
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *copy = OPENSSL_memdup(s->der, s->len);
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)s->len) != 1) { /* else it has taken it over */
        OPENSSL_free(copy);
        return SSL_TLSEXT_ERR_NOACK;
    }
    return SSL_TLSEXT_ERR_OK;
}
