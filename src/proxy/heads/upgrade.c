/* Requests for a change of protocol (RFC 9110 §7.8). One that goes on is GET in HTTP/1.1 without a body, asks for one protocol,
 * and its rule lists that. h2c is never relayed, whatever the rule says: behind it the backend would take requests that
 * nobody has judged. An Upgrade that Connection does not list asks for nothing and is dropped like any field of this hop.
 *
 * What follows: the head that goes out says so (request_head.c), relay.c sees whether the backend agrees, tunnel.c. */
#include "proxy/proxy_impl.h"

/* "websocket", "name/version": a version is a part of it. */
static bool is_listed(const struct sp_strings *listed, struct sp_slice token)
{
    for (size_t i = 0; i < listed->count; i++) {
        if (sp_slice_equal_nocase(token, sp_slice_of(listed->items[i])))
            return true;
    }
    return false;
}

static bool is_h2c(struct sp_slice token)
{
    return sp_slice_equal_nocase(token, SP_SLICE("h2c"));
}

/* Why not, or NULL. */
static const char *why_not(
    const struct sp_head *head, const struct sp_strings *listed, struct sp_slice *token)
{
    struct sp_slice rest = head->upgrade, another;

    if (sp_head_find(head, SP_HDR_HTTP2_SETTINGS) != NULL)
        return "HTTP2-Settings: h2c is not relayed";
    if (head->upgrade.ptr == NULL)
        return NULL;
    if (!sp_field_list_next(&rest, token))
        return "an empty Upgrade";
    if (is_h2c(*token))
        return "h2c is not relayed";
    if (sp_field_list_next(&rest, &another))
        return "it asks for more than one protocol";
    if (!is_listed(listed, *token))
        return "the rule's `upgrade` does not list the protocol";
    if (head->method != SP_METHOD_GET)
        return "only GET may ask for another protocol";
    return head->framing != SP_FRAMING_NONE ? "it has a body" : NULL;
}

enum sp_rc sp_request_check_upgrade(const struct sp_head *head, const struct sp_config_rule *rule,
    struct sp_slice *upgrade, struct sp_fault *fault)
{
    *upgrade = (struct sp_slice){NULL, 0};
    const char *why = why_not(head, &rule->upgrades, upgrade);

    if (why == NULL)
        return SP_OK;
    *fault = (struct sp_fault){SP_REFUSAL_upgrade_not_allowed, 403, why};
    return SP_FAIL;
}

enum sp_rc sp_upgrade_judge(struct sp_exchange *x, struct sp_fault *fault)
{
    return sp_request_check_upgrade(
        x->head, &x->view->snapshot->config->rules[x->decision.rule], &x->upgrade, fault);
}

bool sp_upgrade_is_allowed(const struct sp_config_rule *rule, struct sp_slice token)
{
    return token.ptr == NULL || is_listed(&rule->upgrades, token);
}
