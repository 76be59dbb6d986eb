/* Any bytes as a configuration: an answer, never a crash, a leak or a look-up. What is accepted must satisfy
 * what other rooms take for granted; what is refused must say so. */
#include "sallyport/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct sp_config *config)
{
    SP_ASSERT(config->workers >= 1 && config->workers <= 256 && config->gates >= 1 && config->gates <= 256);
    SP_ASSERT(config->listener_count > 0 && config->caller_count > 0);
    SP_ASSERT(config->rule_count > 0 && config->upstream_count > 0);
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct sp_config_listener *l = &config->listeners[i];
        SP_ASSERT(l->name != NULL && l->address.len > 0 && l->certificate_count > 0);
        SP_ASSERT(l->client_auth.ca.count > 0 && l->client_auth.ca.items[0] != NULL);
        SP_ASSERT(l->client_auth.crl.count > 0 || l->client_auth.crl_missing == SP_CRL_MISSING_ACCEPT);
        SP_ASSERT(l->timeouts.handshake_ms > 0 && l->timeouts.idle_ms > 0);
    }
    for (size_t i = 0; i < config->rule_count; i++) {
        bool found = false;
        for (size_t j = 0; j < config->upstream_count; j++)
            found = found || strcmp(config->rules[i].upstream, config->upstreams[j].name) == 0;
        SP_ASSERT(found && config->rules[i].from.count > 0);
    }
    for (size_t i = 0; i < config->upstream_count; i++)
        SP_ASSERT(config->upstreams[i].endpoint_count > 0 && config->upstreams[i].endpoints[0].text != NULL);
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
