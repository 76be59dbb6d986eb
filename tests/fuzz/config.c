/* Any bytes as a configuration: an answer, never a crash, a leak or a look-up. What is accepted must satisfy
 * what other rooms take for granted; what is refused must say so. */
#include "sallyport/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_caller(const struct sp_config *config, const char *name)
{
    bool found = false;

    for (size_t i = 0; i < config->caller_count; i++)
        found = found || strcmp(config->callers[i].name, name) == 0;
    return found;
}

static void check_rule(const struct sp_config *config, const struct sp_config_rule *rule)
{
    bool found = false;

    for (size_t i = 0; rule->upstream != NULL && i < config->upstream_count; i++)
        found = found || strcmp(rule->upstream, config->upstreams[i].name) == 0;
    SP_ASSERT(rule->upstream != NULL ? found && rule->from.count > 0 && rule->deny_status == 0
                                     : rule->deny_status >= 400 && rule->deny_status <= 599);
    for (size_t i = 0; i < rule->from.count; i++)
        SP_ASSERT(is_caller(config, rule->from.items[i]));
    for (size_t i = 0; i < rule->header_count; i++)
        SP_ASSERT(rule->headers[i].name != NULL);
    SP_ASSERT(rule->upstream != NULL ||
              (rule->upgrades.count == 0 && rule->request_headers == NULL && rule->response_headers == NULL));
    SP_ASSERT(rule->mode == SP_RULE_ENFORCE || rule->mode == SP_RULE_REPORT);
}

/* "", or what a path may begin with. */
static void check_prefix(const char *prefix)
{
    SP_ASSERT((prefix[0] == '\0' || prefix[0] == '/') && strpbrk(prefix, "?#\\ ") == NULL);
}

static void check_listener(const struct sp_config_listener *l)
{
    SP_ASSERT(l->name != NULL && l->address.len > 0 && l->certificate_count > 0);
    SP_ASSERT(l->client_auth.ca.count > 0 && l->client_auth.ca.items[0] != NULL);
    SP_ASSERT(l->client_auth.crl.count > 0 || l->client_auth.crl_missing == SP_CRL_MISSING_ACCEPT);
    SP_ASSERT(l->timeouts.handshake_ms > 0 && l->timeouts.idle_ms > 0 && l->timeouts.tunnel_ms > 0);
    SP_ASSERT(l->mode == SP_MODE_TCP ? l->rewrite_count == 0 : l->alpn.count == 0);
    for (size_t i = 0; i < l->rewrite_count; i++) {
        check_prefix(l->rewrites[i].prefix);
        check_prefix(l->rewrites[i].replace);
        SP_ASSERT(strcmp(l->rewrites[i].prefix, l->rewrites[i].replace) != 0);
    }
}

static void check_endpoint(const struct sp_config_endpoint *e)
{
    SP_ASSERT(e->text != NULL && e->weight <= 100 && e->max_connections <= 1000000);
    SP_ASSERT((e->address.len == 0) == (e->host != NULL));
    SP_ASSERT((e->port != 0) == (e->host != NULL && !e->is_srv));
}

static void check_upstream(const struct sp_config_upstream *u)
{
    SP_ASSERT(u->endpoint_count > 0 && u->max_connections <= 1000000);
    for (size_t i = 0; i < u->endpoint_count; i++)
        check_endpoint(&u->endpoints[i]);
    SP_ASSERT((u->hash_by == SP_HASH_HEADER) == (u->hash_header != NULL));
    SP_ASSERT(u->retries.attempts >= 1 && u->queue_ms > 0 && u->connect_ms > 0 && u->response_ms > 0);
    SP_ASSERT(
        u->ejection.failures == 0 || (u->ejection.base_ms > 0 && u->ejection.base_ms <= u->ejection.max_ms));
    SP_ASSERT(!u->proxy_client_cert || u->proxy_protocol == SP_PROXY_V2);
    if (u->health_check != NULL)
        SP_ASSERT(u->health_check->interval_ms > 0 && u->health_check->timeout_ms > 0 &&
                  u->health_check->status_min >= 200 &&
                  u->health_check->status_min <= u->health_check->status_max);
    if (u->tls != NULL)
        SP_ASSERT((u->tls->trust.ca.count > 0 || !u->tls->verify) &&
                  (u->tls->trust.crl.count > 0 || u->tls->trust.crl_missing == SP_CRL_MISSING_ACCEPT));
}

static void check_caller(const struct sp_config *config, const struct sp_config_caller *caller)
{
    SP_ASSERT(caller->entry_count > 0);
    for (size_t i = 0; i < caller->entry_count; i++) {
        const struct sp_config_caller_entry *e = &caller->entries[i];
        SP_ASSERT(
            e->caller == NULL || (is_caller(config, e->caller) && strcmp(e->caller, caller->name) != 0));
        SP_ASSERT(e->serial == NULL || (strlen(e->serial) % 2 == 0 && strlen(e->serial) <= 40));
    }
    if (caller->limits != NULL)
        SP_ASSERT(caller->limits->per != NULL &&
                  (caller->limits->rate.requests == 0) == (caller->limits->burst == 0) &&
                  (caller->limits->rate.requests == 0) == (caller->limits->rate.period_ms == 0));
}

static void check_accepted(const struct sp_config *config)
{
    SP_ASSERT(config->workers >= 1 && config->workers <= 256 && config->gates >= 1 && config->gates <= 256);
    SP_ASSERT(config->listener_count > 0 && config->caller_count > 0);
    SP_ASSERT(config->rule_count > 0 && config->upstream_count > 0);
    SP_ASSERT(config->limits.requests > 0 && config->limits.memory_bytes >= UINT64_C(32) << 20);
    for (size_t i = 0; i < config->listener_count; i++)
        check_listener(&config->listeners[i]);
    for (size_t i = 0; i < config->rule_count; i++)
        check_rule(config, &config->rules[i]);
    for (size_t i = 0; i < config->caller_count; i++)
        check_caller(config, &config->callers[i]);
    for (size_t i = 0; i < config->trusted_proxy_count; i++)
        SP_ASSERT(config->trusted_proxies[i].from.count > 0);
    for (size_t i = 0; i < config->upstream_count; i++)
        check_upstream(&config->upstreams[i]);
    SP_ASSERT(!config->has_admin || sp_addr_is_loopback(&config->admin_address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_diags diags = {0};
    struct sp_config *config = NULL;
    struct sp_buf said = {0};
    struct sp_slice text = {(const char *)data, size};

    if (sp_config_parse("fuzz/x.yaml", text, &config, &diags) == SP_OK) {
        SP_ASSERT(config != NULL && diags.errors == 0);
        check_accepted(config);
    } else {
        SP_ASSERT(config == NULL && diags.errors > 0);
    }
    sp_diags_print(&diags, &said);
    SP_ASSERT(!said.failed && (diags.errors + diags.warnings == 0 || said.len > 0));
    sp_buf_free(&said);
    sp_config_free(config);
    sp_diags_free(&diags);
    return 0;
}
