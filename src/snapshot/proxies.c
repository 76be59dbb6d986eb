/* The load balancers in front of a listener, by their addresses: what proxy_protocol.from says, compiled. */
#include "proxies.h"

bool proxies_compile(const char *config_file, struct sp_snapshot_listener *l, struct sp_diags *diags)
{
    const struct sp_strings *blocks = &l->config->proxies;
    if (blocks->count == 0)
        return true;
    l->proxies = sp_alloc(blocks->count, sizeof *l->proxies);
    if (l->proxies == NULL)
        return false;
    l->proxy_count = blocks->count;
    for (size_t i = 0; i < blocks->count; i++) {
        const char *wrong = sp_cidr_compile(sp_slice_of(blocks->items[i]), &l->proxies[i]);
        if (wrong != NULL)
            sp_diag_add(diags, SP_DIAG_ERROR, config_file, blocks->at[i], "proxy_protocol.from: \"%s\": %s",
                blocks->items[i], wrong);
    }
    return true;
}

bool sp_snapshot_is_proxy(const struct sp_snapshot_listener *l, const struct sp_addr *peer)
{
    for (size_t i = 0; i < l->proxy_count; i++) {
        if (sp_cidr_match_addr(&l->proxies[i], peer))
            return true;
    }
    return false;
}
