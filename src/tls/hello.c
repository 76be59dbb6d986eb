/* The ClientHello: which name the client asks for, which host serves it, which certificate it gets, and the
 * application protocol.
 *
 * The name is read here, in the ClientHello callback, before OpenSSL has decided anything, and strictly: what
 * OpenSSL and we could read differently is refused. It is kept in one canonical form (lower case, no trailing
 * dot), the one that the requests' Host is compared with. */
#include "sallyport/base/mem.h"
#include "tls_private.h"

#define NAME_MAX_BYTES 255

static bool is_name_byte(unsigned char b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '-' ||
           b == '.' || b == '_';
}

/* RFC 6066, section 3: a list of exactly one entry of type host_name. */
static bool parse_server_name(const unsigned char *ext, size_t len, struct sp_slice *name)
{
    if (len < 5)
        return false;
    size_t list = (size_t)ext[0] << 8 | ext[1], entry = (size_t)ext[3] << 8 | ext[4];
    if (list != len - 2 || ext[2] != TLSEXT_NAMETYPE_host_name || entry != len - 5)
        return false;
    if (entry == 0 || entry > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < entry; i++) {
        if (!is_name_byte(ext[5 + i]))
            return false;
    }
    *name = (struct sp_slice){(const char *)ext + 5, entry};
    if (name->ptr[entry - 1] == '.')
        name->len--;
    return name->len > 0 && name->ptr[0] != '.' && name->ptr[name->len - 1] != '.';
}

static char *canonical(struct sp_slice name)
{
    char *out = sp_alloc(name.len + 1, 1);
    for (size_t i = 0; out != NULL && i < name.len; i++)
        out[i] = sp_lower(name.ptr[i]);
    return out;
}

/* The first certificate that has the very name, else the first that has it by wildcard, else NULL. */
static const struct site *site_for(const struct host *host, const char *name)
{
    const struct site *by_wildcard = NULL;
    for (size_t s = 0; s < host->site_count; s++) {
        const struct site *site = &host->sites[s];
        for (size_t i = 0; i < site->name_count; i++) {
            if (strcmp(site->names[i], name) == 0)
                return site;
            if (by_wildcard == NULL && sp_config_host_matches(sp_slice_of(site->names[i]), sp_slice_of(name)))
                by_wildcard = site;
        }
    }
    return by_wildcard;
}

/* SSL_set_SSL_CTX switches certificate, trust, CA names and callbacks, and nothing of the rest. Whether a certificate is
 * required and whose sessions are resumed differs between hosts; in the others all contexts of a listener agree, and
 * they are carried over so that this does not depend on it. (The callbacks of tickets stay those of the first
 * context: they ask the connection for its host.) */
static bool adopt(SSL *ssl, SSL_CTX *ctx, const struct host *host)
{
    if (SSL_get_SSL_CTX(ssl) == ctx)
        return true;
    if (SSL_set_SSL_CTX(ssl, ctx) != ctx)
        return false;
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), NULL);
    SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
    SSL_clear_options(ssl, SSL_get_options(ssl) & ~SSL_CTX_get_options(ctx));
    SSL_set_options(ssl, SSL_CTX_get_options(ctx));
    SSL_clear_mode(ssl, SSL_get_mode(ssl) & ~SSL_CTX_get_mode(ctx));
    SSL_set_mode(ssl, SSL_CTX_get_mode(ctx));
    SSL_set_max_cert_list(ssl, SSL_CTX_get_max_cert_list(ctx));
    return SSL_set_session_id_context(ssl, host->policy, sizeof host->policy) &&
           SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(ctx)) &&
           SSL_set_min_proto_version(ssl, SSL_CTX_get_min_proto_version(ctx)) &&
           SSL_set_max_proto_version(ssl, SSL_CTX_get_max_proto_version(ctx));
}

static int refuse(struct conn *c, int *alert, int with, enum sp_refusal reason, const char *detail)
{
    c->proof->hello_reason = reason;
    c->proof->hello_detail = detail;
    *alert = with;
    return SSL_CLIENT_HELLO_ERROR;
}

/* Host, then certificate. Only a name that is nobody's can be an unknown one; none at all is the listener's own. */
static int serve_name(struct conn *c, int *alert)
{
    const char *name = sp_tls_sni(&c->wire.t);
    const struct sp_tls_server *server = c->server;
    c->host = sp_config_host_of(server->listener, sp_slice_of(name));
    const struct host *host = &server->hosts[c->host];
    const struct site *site = site_for(host, name);
    if (site == NULL && c->host == 0 && name[0] != '\0' && server->listener->reject_unknown_sni)
        return refuse(c, alert, SSL_AD_UNRECOGNIZED_NAME, SP_REFUSAL_unknown_sni, "");
    if (!adopt(c->wire.ssl, (site != NULL ? site : &host->sites[0])->ctx, host))
        return refuse(c, alert, SSL_AD_INTERNAL_ERROR, SP_REFUSAL_out_of_memory, "");
    return SSL_CLIENT_HELLO_SUCCESS;
}

int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    (void)arg;
    struct conn *c = SSL_get_app_data(ssl);
    const unsigned char *ext;
    size_t len;
    char *sni = NULL;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len)) {
        struct sp_slice name;
        if (!parse_server_name(ext, len, &name))
            return refuse(
                c, alert, SSL_AD_DECODE_ERROR, SP_REFUSAL_tls_error, "the server name is malformed");
        sni = canonical(name);
        if (sni == NULL)
            return refuse(c, alert, SSL_AD_INTERNAL_ERROR, SP_REFUSAL_out_of_memory, "");
    }
    if (c->proof->was_greeted) { /* the second one, after a HelloRetryRequest (RFC 8446 §4.1.2) */
        bool same = strcmp(sni != NULL ? sni : "", sp_tls_sni(&c->wire.t)) == 0;
        sp_free(sni);
        return same ? SSL_CLIENT_HELLO_SUCCESS
                    : refuse(c, alert, SSL_AD_ILLEGAL_PARAMETER, SP_REFUSAL_tls_error,
                          "the second ClientHello asks for another name than the first");
    }
    c->proof->was_greeted = true;
    c->proof->has_extended_secret =
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_extended_master_secret, &ext, &len) == 1;
    c->sni = sni;
    return serve_name(c, alert);
}

/* `in`: names, each behind a byte with its length; OpenSSL has checked the lengths. */
static const unsigned char *find_offered(const unsigned char *in, size_t in_len, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < in_len; i += 1 + (size_t)in[i]) {
        if (in[i] == len && len <= in_len - i - 1 && memcmp(in + i + 1, name, len) == 0)
            return in + i + 1;
    }
    return NULL;
}

/* Ours first. Called only if the client sent any. */
int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
    unsigned in_len, void *arg)
{
    (void)arg;
    static const char *const http_1_1[] = {"http/1.1"};
    const struct conn *c = SSL_get_app_data(ssl);
    const struct sp_config_listener *listener = c->server->listener;
    struct sp_strings ours = {.items = http_1_1, .count = 1};
    if (listener->mode == SP_MODE_TCP)
        ours = listener->alpn;
    if (ours.count == 0) /* what is spoken inside is none of our business */
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < ours.count; i++) {
        const unsigned char *name = find_offered(in, in_len, ours.items[i]);
        if (name != NULL) {
            *out = name;
            *out_len = (unsigned char)strlen(ours.items[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}
