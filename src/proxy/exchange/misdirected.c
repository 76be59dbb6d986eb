/* Requests for a host whose clients must prove themselves otherwise than this one did: by SNI it asked for
 * another. They are answered 421, so that a client that shares connections comes again with a new one. */
#include "proxy/proxy_impl.h"

/* Of a listener that is gone nobody knows any more: there only the name itself will do. */
bool sp_is_misdirected(const struct sp_session *s, struct sp_slice host)
{
    const struct sp_snapshot_listener *l = s->listener;

    if (!s->had_hosts)
        return false;
    if (l == NULL)
        return !sp_slice_equal(host, sp_slice_of(s->who->sni));
    return !sp_snapshot_hosts_agree(l, sp_config_host_of(l->config, host), s->host);
}

enum sp_next sp_answer_misdirected(struct sp_exchange *x, struct sp_slice host)
{
    const char *sni = x->session->who->sni;
    struct sp_buf text = {0};

    /* Without memory the reason must do. */
    if (sp_buf_printf(&text,
            "the connection asked for %s, and the clients of %.*s prove themselves otherwise",
            sni[0] != '\0' ? sni : "no name", SP_FMT(host)) == SP_OK &&
        sp_buf_add_char(&text, '\0') == SP_OK)
        x->own_detail = text.ptr;
    else
        sp_buf_free(&text);
    return sp_answer(x, 421, SP_REFUSAL_misdirected, x->own_detail);
}
