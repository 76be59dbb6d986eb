/* What no single row can say: fields that exclude each other, names that must be unique or must exist,
 * addresses taken twice. Why here and not where the parts are built: the operator is to see all of it in one
 * go, with line and column. Invariants: looks at what was read even when some of it was wrong (a name may then
 * be NULL, a list empty), and never reports a consequence of something already reported. Elsewhere: single
 * values (types.c, texts.c, collections.c); callers, rules and what they are made of (check_policy.c); names that refer to
 * each other (references.c); patterns (room policy); certificates and CRLs (rooms pki and tls). */
#include "config/table.h"

/* ---- inside one section ---- */

void sp_check_admin(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    struct sp_config *config = base;
    const struct sp_node *address = sp_node_find(node, "address");
    struct sp_where inner = {.up = where, .key = SP_SLICE("address")};

    config->has_admin = true;
    if (address != NULL && config->admin_address.len != 0 && !sp_addr_is_loopback(&config->admin_address))
        sp_report(r, SP_DIAG_ERROR, &inner, address->at,
            "%s can be reached from other machines, and these pages ask nobody who he is; expected a loopback address "
            "such as 127.0.0.1:9901, or unix:/path",
            config->admin_address_text);
}

void sp_check_audit(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_audit *audit = base;
    const struct sp_node *allowed = sp_node_find(node, "allowed");
    struct sp_where inner = {.up = where, .key = SP_SLICE("allowed")};

    if (audit->allowed && allowed != NULL && audit->output != NULL && strcmp(audit->output, "off") == 0)
        sp_report(r, SP_DIAG_WARNING, &inner, allowed->at, "nothing is written: output is off");
}

/* Without a CRL and with crl_missing: reject, nobody would ever get in. */
void sp_check_client_auth(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_client_auth *auth = base;
    const struct sp_node *crl = sp_node_find(node, "crl"), *missing = sp_node_find(node, "crl_missing");
    bool none = crl == NULL || (crl->kind == SP_NODE_LIST && crl->count == 0);
    bool reject = missing == NULL ||
                  (missing->kind == SP_NODE_SCALAR && sp_slice_equal(missing->text, SP_SLICE("reject")));

    if (none && reject)
        sp_report(r, SP_DIAG_ERROR, where, auth->at,
            "no revocation list is given, and \"crl_missing: reject\"%s would refuse every client; give crl, or say "
            "crl_missing: accept",
            missing == NULL ? " (the default)" : "");
}

/* ---- listeners ---- */

/* Port 0 is a free port chosen by the kernel, so two of them are not the same. */
static bool is_taken(const struct sp_addr *a, const struct sp_addr *b)
{
    return a->len != 0 && sp_addr_equal(a, b) && (sp_addr_is_unix(a) || sp_addr_port(a) != 0);
}

static void check_addresses(struct sp_reader *r, const struct sp_node *root, const struct sp_config *config)
{
    struct sp_where list = {.key = SP_SLICE("listeners")}, item = {.up = &list};
    struct sp_where field = {.up = &item, .key = SP_SLICE("address")};
    const struct sp_node *listeners = sp_node_find(root, "listeners");
    const struct sp_node *n = listeners != NULL && listeners->kind == SP_NODE_LIST ? listeners->first : NULL;

    for (; n != NULL && item.index < config->listener_count; n = n->next, item.index++) {
        const struct sp_config_listener *l = &config->listeners[item.index];
        const struct sp_node *address = sp_node_find(n, "address");
        if (address == NULL)
            continue;
        if (config->has_admin && is_taken(&l->address, &config->admin_address))
            sp_report(r, SP_DIAG_ERROR, &field, address->at, "%s is also admin.address", l->address_text);
        for (size_t i = 0; i < item.index; i++) {
            if (!is_taken(&l->address, &config->listeners[i].address))
                continue;
            sp_report(r, SP_DIAG_ERROR, &field, address->at, "%s is also the address of listeners[%zu]",
                l->address_text, i);
            break;
        }
    }
}

/* The first host that lets clients without a certificate in (0: the listener itself), or host_count. */
static size_t optional_host(const struct sp_config_listener *l)
{
    size_t h = 0;

    while (h < l->host_count && l->hosts[h].client_auth.mode != SP_AUTH_OPTIONAL)
        h++;
    return h;
}

/* Letting anonymous callers in is of use only when a rule can be meant for them. */
static void warn_optional(struct sp_reader *r, const struct sp_config *config)
{
    struct sp_where list = {.key = SP_SLICE("listeners")}, item = {.up = &list};
    struct sp_where tls = {.up = &item, .key = SP_SLICE("tls")};
    struct sp_where hosts = {.up = &tls, .key = SP_SLICE("hosts")}, host = {.up = &hosts};

    for (size_t i = 0; i < config->caller_count; i++) {
        for (size_t j = 0; j < config->callers[i].entry_count; j++) {
            if (config->callers[i].entries[j].any == SP_CALLER_ANY_ANONYMOUS)
                return;
        }
    }
    for (; item.index < config->listener_count && config->caller_count > 0; item.index++) {
        const struct sp_config_listener *l = &config->listeners[item.index];
        size_t h = optional_host(l);
        host.index = h - 1;
        struct sp_where field = {.up = h == 0 ? &item : &host, .key = SP_SLICE("client_auth")};
        if (h < l->host_count)
            sp_report(r, SP_DIAG_WARNING, &field, l->hosts[h].client_auth.at,
                "\"mode: optional\" lets clients without a certificate in, but no caller has \"any: anonymous\", so "
                "no rule can allow them anything");
    }
}

/* The other way round: somebody is described whom no listener lets in. */
static void warn_anonymous(struct sp_reader *r, const struct sp_config *config)
{
    struct sp_where callers = {.key = SP_SLICE("callers")};

    for (size_t i = 0; i < config->listener_count; i++) {
        if (optional_host(&config->listeners[i]) < config->listeners[i].host_count)
            return;
    }
    for (size_t i = 0; i < config->caller_count && config->listener_count > 0; i++) {
        struct sp_where caller = {.up = &callers, .key = sp_slice_of(config->callers[i].name)};
        struct sp_where entry = {.up = &caller};
        for (; entry.index < config->callers[i].entry_count; entry.index++) {
            if (config->callers[i].entries[entry.index].any == SP_CALLER_ANY_ANONYMOUS)
                sp_report(r, SP_DIAG_WARNING, &entry, config->callers[i].entries[entry.index].at,
                    "\"any: anonymous\" is nobody: no listener has \"client_auth.mode: optional\"");
        }
    }
}

void sp_check_all(struct sp_reader *r, const struct sp_node *root, struct sp_config *config)
{
    sp_check_references(r, root, config);
    check_addresses(r, root, config);
    warn_optional(r, config);
    warn_anonymous(r, config);
}
