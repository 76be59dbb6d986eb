/* What no single row can say: fields that exclude each other, names that must be unique or must exist,
 * addresses taken twice. Why here and not where the parts are built: the operator is to see all of it in one
 * go, with line and column. Invariants: looks at what was read even when some of it was wrong (a name may then
 * be NULL, a list empty), and never reports a consequence of something already reported. Elsewhere: single
 * values (types.c, collections.c); patterns (room policy); certificates and CRLs (rooms pki and tls). */
#include <stdlib.h>

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

void sp_check_entry(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_caller_entry *entry = base;

    if (node->count == 0)
        sp_report(r, SP_DIAG_ERROR, where, entry->at,
            "an empty entry describes nobody; give uri, dns, email, subject, fingerprint_sha256 or any");
    else if (node->count > 1 && entry->any != SP_CALLER_NOT_ANY)
        sp_report(r, SP_DIAG_ERROR, where, entry->at,
            "\"any\" stands alone in its entry: the other fields would narrow it; leave one or the other out");
}

/* ---- names ---- */

struct named {
    const char *name; /* first: sp_nearest reads it */
    size_t index;
};

struct names {
    struct named *sorted;
    size_t count;
};

static int compare_named(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/* The names of `count` structs `stride` bytes apart, sorted; those without one are left out. */
static bool index_names(struct sp_reader *r, const void *first, size_t count, size_t stride,
    size_t name_offset, struct names *out)
{
    *out = (struct names){.sorted = sp_alloc(count, sizeof(struct named))};
    if (out->sorted == NULL) {
        sp_report_no_memory(r);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = NULL;
        memcpy(&name, (const char *)first + i * stride + name_offset, sizeof(name));
        if (name != NULL)
            out->sorted[out->count++] = (struct named){name, i};
    }
    if (out->count > 1)
        qsort(out->sorted, out->count, sizeof(struct named), compare_named);
    return true;
}

/* The index of the struct of that name, or `missing`. */
static size_t find_name(const struct names *names, const char *name, size_t missing)
{
    size_t low = 0, high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, names->sorted[middle].name);
        if (order == 0)
            return names->sorted[middle].index;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return missing;
}

/* The place of key `name` in element `index` of a list of mappings. */
static struct sp_pos place_of_name(const struct sp_node *list, size_t index)
{
    const struct sp_node *n = list->first;

    while (index-- > 0)
        n = n->next;
    const struct sp_node *name = sp_node_find(n, "name");
    return name != NULL ? name->at : n->at;
}

/* Two elements of the list `key` with one name. */
static void check_unique(
    struct sp_reader *r, const struct sp_node *root, const char *key, const struct names *names)
{
    const struct sp_node *list = sp_node_find(root, key);
    struct sp_where where = {.key = sp_slice_of(key)}, item = {.up = &where};
    struct sp_where field = {.up = &item, .key = SP_SLICE("name")};

    for (size_t i = 1, first = 0; list != NULL && i < names->count; i++) {
        if (strcmp(names->sorted[i].name, names->sorted[first].name) != 0) {
            first = i;
            continue;
        }
        char shown[SP_SHOWN_MAX];
        if (r->diags->errors >= SP_DIAGS_KEPT) {
            r->diags->errors++; /* counted; looking its place up would be for nothing */
            continue;
        }
        item.index = names->sorted[i].index;
        sp_report(r, SP_DIAG_ERROR, &field, place_of_name(list, item.index),
            "the name \"%s\" is given twice; first on line %u",
            sp_shown(sp_slice_of(names->sorted[i].name), shown),
            place_of_name(list, names->sorted[first].index).line);
    }
}

/* ---- references ---- */

static void report_no_such(struct sp_reader *r, const struct sp_where *where, struct sp_pos at,
    const char *what, const char *name, const struct names *names)
{
    char shown[SP_SHOWN_MAX], near_shown[SP_SHOWN_MAX];
    const char *nearest =
        sp_nearest(r, sp_slice_of(name), names->sorted, names->count, sizeof(names->sorted[0]));

    if (nearest != NULL)
        sp_report(r, SP_DIAG_ERROR, where, at, "there is no %s \"%s\"; did you mean \"%s\"?", what,
            sp_shown(sp_slice_of(name), shown), sp_shown(sp_slice_of(nearest), near_shown));
    else
        sp_report(
            r, SP_DIAG_ERROR, where, at, "there is no %s \"%s\"", what, sp_shown(sp_slice_of(name), shown));
}

/* True when the rule's upstream exists; it is marked then. A section that could not be read at all has been
 * reported, and its names are not missed. Callers that no rule names are told of by room policy. */
static bool check_rule(struct sp_reader *r, const struct sp_config *config, size_t index,
    const struct names *callers, const struct names *upstreams, bool *upstream_used)
{
    const struct sp_config_rule *rule = &config->rules[index];
    struct sp_where list = {.key = SP_SLICE("rules")}, where = {.up = &list, .index = index};
    struct sp_where from = {.up = &where, .key = SP_SLICE("from")}, item = {.up = &from};
    struct sp_where upstream = {.up = &where, .key = SP_SLICE("upstream")};

    for (; item.index < rule->from.count && config->caller_count > 0; item.index++) {
        const char *name = rule->from.items[item.index];
        size_t found = name != NULL ? find_name(callers, name, config->caller_count) : 0;
        if (found == config->caller_count)
            report_no_such(r, &item, rule->from.at[item.index], "caller", name, callers);
    }
    if (rule->upstream == NULL || config->upstream_count == 0)
        return false;
    size_t found = find_name(upstreams, rule->upstream, config->upstream_count);
    if (found == config->upstream_count) {
        report_no_such(r, &upstream, rule->upstream_at, "upstream", rule->upstream, upstreams);
        return false;
    }
    upstream_used[found] = true;
    return true;
}

static void warn_unused(struct sp_reader *r, const struct sp_config *config, const bool *used)
{
    struct sp_where upstreams = {.key = SP_SLICE("upstreams")};

    for (size_t i = 0; i < config->upstream_count; i++) {
        struct sp_where where = {.up = &upstreams, .key = sp_slice_of(config->upstreams[i].name)};
        if (!used[i] && config->upstreams[i].name != NULL)
            sp_report(r, SP_DIAG_WARNING, &where, config->upstreams[i].at, "no rule names this upstream");
    }
}

static void check_references(struct sp_reader *r, const struct sp_node *root, const struct sp_config *config)
{
    struct names callers = {0}, upstreams = {0}, rules = {0}, listeners = {0};
    bool *used = sp_alloc(config->upstream_count, sizeof(bool));

    if (used == NULL) {
        sp_report_no_memory(r);
        goto out;
    }
    if (!index_names(r, config->callers, config->caller_count, sizeof(config->callers[0]),
            offsetof(struct sp_config_caller, name), &callers) ||
        !index_names(r, config->upstreams, config->upstream_count, sizeof(config->upstreams[0]),
            offsetof(struct sp_config_upstream, name), &upstreams) ||
        !index_names(r, config->rules, config->rule_count, sizeof(config->rules[0]),
            offsetof(struct sp_config_rule, name), &rules) ||
        !index_names(r, config->listeners, config->listener_count, sizeof(config->listeners[0]),
            offsetof(struct sp_config_listener, name), &listeners))
        goto out;
    check_unique(r, root, "listeners", &listeners);
    check_unique(r, root, "rules", &rules);
    bool all_known = config->rule_count > 0;
    for (size_t i = 0; i < config->rule_count; i++)
        all_known = check_rule(r, config, i, &callers, &upstreams, used) && all_known;
    if (all_known)
        warn_unused(r, config, used);
out:
    sp_free(used);
    sp_free(callers.sorted);
    sp_free(upstreams.sorted);
    sp_free(rules.sorted);
    sp_free(listeners.sorted);
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
    check_references(r, root, config);
    check_addresses(r, root, config);
    warn_optional(r, config);
    warn_anonymous(r, config);
}
