/* Loads a configuration as sp_snapshot_load does, but for what only serving needs. */
#include "offline.h"

enum sp_rc sp_offline_load(const char *file, struct sp_offline *out, struct sp_diags *diags)
{
    *out = (struct sp_offline){0};
    if (sp_config_load(file, &out->config, diags) != SP_OK)
        return SP_FAIL;
    out->policy = sp_policy_new(out->config, NULL, diags);
    out->headers = sp_headers_new(out->config, diags);
    out->listeners = sp_alloc(out->config->listener_count, sizeof(*out->listeners));
    if (out->policy == NULL || out->headers == NULL || out->listeners == NULL) {
        if (diags->errors == 0)
            sp_diag_add(diags, SP_DIAG_ERROR, file, (struct sp_pos){0, 0}, "not enough memory");
        return SP_FAIL;
    }
    for (size_t i = 0; i < out->config->listener_count; i++)
        out->listeners[i].config = &out->config->listeners[i];
    return diags->errors == 0 ? SP_OK : SP_FAIL;
}

void sp_offline_free(struct sp_offline *o)
{
    for (size_t i = 0; o->listeners != NULL && i < o->config->listener_count; i++) {
        struct sp_trust **trusts = o->listeners[i].trusts;
        for (size_t h = 0; trusts != NULL && h < o->listeners[i].config->host_count; h++)
            sp_trust_free(trusts[h]);
        sp_free(trusts);
    }
    sp_free(o->listeners);
    sp_headers_free(o->headers);
    sp_policy_free(o->policy);
    sp_config_free(o->config);
    *o = (struct sp_offline){0};
}

struct sp_trust *sp_offline_trust(
    struct sp_offline *o, size_t listener, size_t host, int64_t now, struct sp_diags *diags)
{
    struct sp_snapshot_listener *l = &o->listeners[listener];
    size_t judge =
        l->config->hosts[host].inherits ? 0 : host; /* as in a snapshot, they share the listener's */
    const struct sp_config_client_auth *auth = &l->config->hosts[judge].client_auth;

    if (now != INT64_MAX)
        return sp_trust_new_at(o->config->file, auth, NULL, now, diags);
    if (l->trusts == NULL)
        l->trusts = sp_alloc(l->config->host_count, sizeof(struct sp_trust *));
    if (l->trusts == NULL) {
        sp_diag_add(diags, SP_DIAG_ERROR, o->config->file, l->config->at, "not enough memory");
        return NULL;
    }
    if (l->trusts[judge] == NULL)
        l->trusts[judge] = sp_trust_new(o->config->file, auth, NULL, diags);
    if (l->trusts[host] == NULL && l->trusts[judge] != NULL)
        l->trusts[host] = sp_trust_ref(l->trusts[judge]);
    return l->trusts[host] != NULL ? sp_trust_ref(l->trusts[host]) : NULL;
}

size_t sp_offline_listener(const struct sp_offline *o, const char *name)
{
    for (size_t i = 0; i < o->config->listener_count; i++) {
        if (name == NULL || strcmp(o->config->listeners[i].name, name) == 0)
            return i;
    }
    return SP_NONE;
}
