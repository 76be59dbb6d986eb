/* The fetcher through which the gates ask OCSP responders about clients. Its thread is there only once the configuration in
 * force asks for it, at the start or at a reload, and stays from then on. It is theirs alone: a responder that hangs does
 * not stand in the way of what fetching.c fetches. */
#include "daemon_impl.h"

static bool needs_fetcher(const struct sp_config *config)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct sp_config_listener *l = &config->listeners[i];
        for (size_t h = 0; h < l->host_count; h++) {
            if (l->hosts[h].client_auth.ocsp_url != NULL)
                return true;
        }
    }
    return false;
}

enum sp_rc sp_ocsp_fetcher_ready(struct sp_daemon *d, const struct sp_config *config, struct sp_err *err)
{
    if (d->asker != NULL || !needs_fetcher(config))
        return SP_OK;
    if (sp_fetcher_start(&d->asker, err) != SP_OK)
        return SP_FAIL;
    sp_inquiries_set_fetcher(d->inquiries, d->asker);
    return SP_OK;
}

enum sp_rc sp_ocsp_fetcher_start(struct sp_daemon *d, struct sp_err *err)
{
    d->inquiries = sp_inquiries_new();
    if (d->inquiries == NULL)
        return sp_err_set(err, "not enough memory");
    return sp_ocsp_fetcher_ready(d, d->snapshot->config, err);
}

void sp_ocsp_fetcher_stop(struct sp_daemon *d)
{
    if (d->inquiries != NULL)
        sp_inquiries_set_fetcher(d->inquiries, NULL);
    sp_fetcher_stop(d->asker);
    d->asker = NULL;
}
