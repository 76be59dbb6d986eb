/* What no single row can say: fields that exclude each other, names that must be unique or must exist,
 * addresses taken twice. Why here and not where the parts are built: the operator is to see all of it in one
 * go, with line and column. Invariants: looks at what was read even when some of it was wrong (a name may then
 * be NULL, a list empty), and never reports a consequence of something already reported. Elsewhere: single
 * values (types.c, texts.c, collections.c); callers, rules and what they are made of (check_policy.c); names that refer to
 * each other (references.c); patterns (room policy); certificates and CRLs (rooms pki and tls). */
#include "config/table.h"

/* ---- inside one section ---- */

bool sp_says(const struct sp_node *section, const char *key, const char *word)
{
    const struct sp_node *value = sp_node_find(section, key);
    return value != NULL && value->kind == SP_NODE_SCALAR && sp_slice_equal(value->text, sp_slice_of(word));
}

void sp_report_key(struct sp_reader *r, enum sp_severity severity, const struct sp_node *node,
    const struct sp_where *where, const char *key, const char *text)
{
    const struct sp_node *value = sp_node_find(node, key);
    struct sp_where inner = {.up = where, .key = sp_slice_of(key)};

    sp_report(r, severity, &inner, value != NULL ? value->at : node->at, "%s", text);
}

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
    bool reject = missing == NULL || sp_says(node, "crl_missing", "reject");

    if (none && reject)
        sp_report(r, SP_DIAG_ERROR, where, auth->at,
            "no revocation list is given, and \"crl_missing: reject\"%s would refuse every client; give crl, or say "
            "crl_missing: accept",
            missing == NULL ? " (the default)" : "");
}

/* ---- listeners ---- */

void sp_check_rewrite(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_rewrite *rewrite = base;

    (void)node;
    if (rewrite->prefix != NULL && rewrite->replace != NULL && strcmp(rewrite->prefix, rewrite->replace) == 0)
        sp_report(r, SP_DIAG_ERROR, where, rewrite->at,
            "prefix and replace are the same: nothing would change; leave it out");
}

/* Whether whatever fits `later` fits `earlier` too. */
static bool is_covered(const struct sp_config_rewrite *earlier, const struct sp_config_rewrite *later)
{
    if (earlier->prefix == NULL || later->prefix == NULL)
        return false;
    size_t len = strlen(earlier->prefix);
    bool same_host =
        earlier->host == NULL || (later->host != NULL && strcmp(earlier->host, later->host) == 0);
    return same_host && strncmp(earlier->prefix, later->prefix, len) == 0 &&
           (later->prefix[len] == '\0' || later->prefix[len] == '/');
}

static void check_rewrites(
    struct sp_reader *r, const struct sp_where *where, const struct sp_config_listener *l)
{
    struct sp_where list = {.up = where, .key = SP_SLICE("rewrite")}, item = {.up = &list};

    for (; item.index < l->rewrite_count && r->diags->errors < SP_DIAGS_KEPT; item.index++) {
        for (size_t i = 0; i < item.index; i++) {
            if (!is_covered(&l->rewrites[i], &l->rewrites[item.index]))
                continue;
            sp_report(r, SP_DIAG_ERROR, &item, l->rewrites[item.index].at,
                "rewrite[%zu] fits first, always; put this one in front of it, or leave it out", i);
            break;
        }
    }
}

void sp_check_listener(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_listener *l = base;
    const struct sp_node *tls = sp_node_find(node, "tls");
    struct sp_where inner = {.up = where, .key = SP_SLICE("tls")};

    if (l->mode == SP_MODE_TCP && sp_node_find(node, "rewrite") != NULL)
        sp_report_key(r, SP_DIAG_ERROR, node, where, "rewrite",
            "with mode: tcp there are no paths; leave one or the other out");
    if (l->mode == SP_MODE_HTTP && tls != NULL && sp_node_find(tls, "alpn") != NULL)
        sp_report_key(r, SP_DIAG_ERROR, tls, &inner, "alpn",
            "only with mode: tcp may a client choose a protocol; leave it out or say that");
    check_rewrites(r, where, l);
}

/* Whether only connections of mode tcp can come to it. */
static bool is_of_tcp(const struct sp_config *config, const struct sp_config_rule *rule)
{
    size_t fits = 0;

    for (size_t i = 0; i < config->listener_count; i++) {
        const struct sp_config_listener *l = &config->listeners[i];
        bool named = rule->listeners.count == 0;
        for (size_t j = 0; !named && j < rule->listeners.count; j++)
            named = l->name != NULL && rule->listeners.items[j] != NULL &&
                    strcmp(rule->listeners.items[j], l->name) == 0;
        if (named && l->mode != SP_MODE_TCP)
            return false;
        fits += named ? 1 : 0;
    }
    return fits > 0;
}

/* What is asked of a request, or done to one, where there are none. */
static void check_tcp_rules(struct sp_reader *r, const struct sp_node *root, const struct sp_config *config)
{
    static const struct {
        const char *key, *text;
    } of_http[] = {
        {"path",
            "only listeners of mode tcp lead to this rule, where there are no paths: it would never match"},
        {"methods",
            "only listeners of mode tcp lead to this rule, where there are no methods: it would never match"},
        {"headers",
            "only listeners of mode tcp lead to this rule, where there are no headers: it would never match"},
        {"upgrade", "only listeners of mode tcp lead to this rule, where there are no requests"},
        {"request_headers", "only listeners of mode tcp lead to this rule, where there are no requests"},
        {"response_headers", "only listeners of mode tcp lead to this rule, where there are no responses"}};
    struct sp_where list = {.key = SP_SLICE("rules")}, item = {.up = &list};
    const struct sp_node *rules = sp_node_find(root, "rules");
    const struct sp_node *n = rules != NULL && rules->kind == SP_NODE_LIST ? rules->first : NULL;
    bool any_tcp = false;

    for (size_t i = 0; i < config->listener_count; i++)
        any_tcp = any_tcp || config->listeners[i].mode == SP_MODE_TCP;
    for (; any_tcp && n != NULL && item.index < config->rule_count; n = n->next, item.index++) {
        if (!is_of_tcp(config, &config->rules[item.index]))
            continue;
        for (size_t i = 0; i < SP_COUNTOF(of_http); i++) {
            if (sp_node_find(n, of_http[i].key) != NULL)
                sp_report_key(r, SP_DIAG_ERROR, n, &item, of_http[i].key, of_http[i].text);
        }
    }
}

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
    check_tcp_rules(r, root, config);
    warn_optional(r, config);
    warn_anonymous(r, config);
}
