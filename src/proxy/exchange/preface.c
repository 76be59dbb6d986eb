/* The PROXY header that a backend is told before anything else, also before TLS: who the connection is for. It is of one client,
 * so that the connection carries nobody else's requests afterwards (sp_errand.preface). What it says is what the handshake has
 * proven and what the gate has seen; nothing of it is a request's. */
#include <errno.h>

#include "proxy/proxy_impl.h"
#include "sallyport/base/text.h"
#include "sallyport/io/proxy_protocol.h"
#include "sallyport/tls/server.h"

/* The most specific one. */
static struct sp_slice common_name(const struct sp_identity *id)
{
    for (size_t i = id->subject_attr_count; i > 0; i--) {
        if (sp_slice_equal(id->subject_attrs[i - 1].type, SP_SLICE("CN")))
            return id->subject_attrs[i - 1].value;
    }
    return (struct sp_slice){NULL, 0};
}

/* What stands between the colons of RFC 9440. */
static enum sp_rc add_certificate(const struct sp_identity *id, struct sp_buf *der, struct sp_err *err)
{
    struct sp_slice text = sp_slice_sub(id->client_cert, 1, id->client_cert.len - 1);
    char *room = sp_buf_room(der, text.len);

    if (room == NULL || !sp_base64_decode(text, room, &der->len))
        return sp_err_sys(err, ENOMEM, "the client's certificate");
    return SP_OK;
}

static struct sp_slice if_any(const char *text)
{
    return text[0] != '\0' ? sp_slice_of(text) : (struct sp_slice){NULL, 0};
}

static void tell(const struct sp_exchange *x, struct sp_tls_algorithms *own, struct sp_proxy_about *out)
{
    const struct sp_handover *who = x->session->who;
    const struct sp_identity *id = who->identity;

    sp_tls_own_algorithms(who->transport, own);
    *out = (struct sp_proxy_about){
        .source = who->source,
        .destination = who->destination,
        .authority = if_any(who->sni),
        .alpn = sp_tls_alpn(who->transport),
        .unique_id = sp_slice_of(x->id),
        .has_tls = true,
        .tls_version = if_any(who->tls),
        .cipher = if_any(sp_tls_cipher(who->transport)),
        .has_certificate = id != NULL,
        .certificate_is_of_session = who->resumed,
        .sig_alg = if_any(own->signature),
        .key_alg = if_any(own->key),
        .group = if_any(own->group),
        .sig_scheme = if_any(own->scheme),
    };
    if (id != NULL)
        out->common_name = common_name(id);
}

enum sp_rc sp_preface_make(struct sp_exchange *x, struct sp_err *err)
{
    const struct sp_config_upstream *upstream = &x->view->snapshot->config->upstreams[x->decision.upstream];
    const struct sp_identity *id = x->session->who->identity;
    struct sp_tls_algorithms own;
    struct sp_proxy_about about;
    struct sp_buf der = {0};
    enum sp_rc rc = SP_OK;

    tell(x, &own, &about);
    if (upstream->proxy_protocol == SP_PROXY_V1) {
        char *room = sp_buf_room(&x->preface, SP_PROXY_V1_MAX);
        if (room == NULL)
            return sp_err_sys(err, ENOMEM, "the PROXY header");
        x->preface.len = sp_proxy_write_v1(&about, room);
    } else {
        if (upstream->proxy_client_cert && id != NULL)
            rc = add_certificate(id, &der, err);
        about.certificate = sp_buf_slice(&der);
        if (rc == SP_OK)
            rc = sp_proxy_write_v2(&about, &x->preface, err);
        sp_buf_free(&der);
    }
    x->errand.preface = sp_buf_slice(&x->preface);
    return rc;
}
