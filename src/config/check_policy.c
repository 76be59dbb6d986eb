/* What no single row can say of callers, rules, requirements and what backends are told: fields that exclude each other,
 * and those that need each other. Each is the check of one section and looks at nothing else. Elsewhere: as in check.c. */
#include "config/table.h"

static void report_key(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where,
    const char *key, const char *text)
{
    const struct sp_node *value = sp_node_find(node, key);
    struct sp_where inner = {.up = where, .key = sp_slice_of(key)};

    sp_report(r, SP_DIAG_ERROR, &inner, value != NULL ? value->at : node->at, "%s", text);
}

/* ---- requirements ---- */

static bool has_item(const struct sp_strings *list, const char *wanted)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i] == NULL || strcmp(list->items[i], wanted) == 0)
            return true; /* one that could not be read may have been meant */
    }
    return list->count == 0;
}

void sp_check_require(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_requirements *require = base;

    if (require->min_rsa_bits != 0 && !has_item(&require->key_types, "rsa"))
        report_key(
            r, node, where, "min_rsa_bits", "key_types accepts no RSA key; leave one or the other out");
    if (require->min_ec_bits != 0 && !has_item(&require->key_types, "ec"))
        report_key(r, node, where, "min_ec_bits", "key_types accepts no ec key; leave one or the other out");
}

void sp_check_naming(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_naming *naming = base;

    if (naming->presence == SP_PRESENCE_MUST_NOT && naming->patterns.count > 0)
        report_key(r, node, where, "patterns",
            "names that must not be there need no patterns; leave one or the other out");
}

/* ---- callers ---- */

void sp_check_entry(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_caller_entry *entry = base;

    if (node->count == 0)
        sp_report(r, SP_DIAG_ERROR, where, entry->at,
            "an empty entry describes nobody; give uri, dns, email, ip, subject, fingerprint_sha256, any or another of "
            "its fields");
    else if (node->count > 1 && entry->any != SP_CALLER_NOT_ANY)
        sp_report(r, SP_DIAG_ERROR, where, entry->at,
            "\"any\" stands alone in its entry: the other fields would narrow it; leave one or the other out");
    if (entry->qc_type == SP_QC_ESIGN && (entry->psd2_roles != 0 || entry->psd2_authority != NULL))
        report_key(r, node, where, "qc_type",
            "a certificate of a payment service provider is for web or eseal, never for esign");
    if (entry->serial != NULL && entry->issuer_count == 0 && entry->fingerprint_sha256 == NULL)
        sp_report(r, SP_DIAG_WARNING, where, entry->at,
            "another authority may give the same serial number to somebody else; say which one with issuer");
}

void sp_check_caller_limits(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    struct sp_config_caller_limits *limits = base;

    if (sp_node_find(node, "rate") == NULL && sp_node_find(node, "concurrent_requests") == NULL &&
        sp_node_find(node, "connections") == NULL)
        sp_report(r, SP_DIAG_ERROR, where, limits->at,
            "nothing is limited; give rate, concurrent_requests or connections");
    else if (sp_node_find(node, "rate") == NULL && limits->burst != 0)
        report_key(r, node, where, "burst", "a burst is of requests beyond a rate; give rate");
    if (limits->rate.requests != 0 && limits->burst == 0 && sp_node_find(node, "burst") == NULL) {
        uint64_t a_second = limits->rate.requests * UINT64_C(1000) / limits->rate.period_ms;
        limits->burst = a_second > 1 ? (unsigned)a_second : 1;
    }
}

/* ---- rules ---- */

/* Who is in both is meant and not meant. */
static void check_not_from(
    struct sp_reader *r, const struct sp_where *where, const struct sp_config_rule *rule)
{
    struct sp_where list = {.up = where, .key = SP_SLICE("not_from")}, item = {.up = &list};
    struct sp_named_list from;
    char shown[SP_SHOWN_MAX];

    if (rule->from.count == 0 || rule->not_from.count == 0 ||
        !sp_named_index(r, rule->from.items, rule->from.count, sizeof(rule->from.items[0]), 0, &from))
        return;
    for (; item.index < rule->not_from.count; item.index++) {
        const char *name = rule->not_from.items[item.index];
        if (name != NULL && sp_named_find(&from, name, SP_NOWHERE) != SP_NOWHERE)
            sp_report(r, SP_DIAG_ERROR, &item, rule->not_from.at[item.index],
                "\"%s\" is also in from: the rule would never be for it; leave one or the other out",
                sp_shown(sp_slice_of(name), shown));
    }
    sp_free(from.sorted);
}

static void check_headers(
    struct sp_reader *r, const struct sp_where *where, const struct sp_config_rule *rule)
{
    struct sp_where list = {.up = where, .key = SP_SLICE("headers")}, item = {.up = &list};

    for (; item.index < rule->header_count && r->diags->errors < SP_DIAGS_KEPT; item.index++) {
        const struct sp_config_header_match *h = &rule->headers[item.index];
        for (size_t i = 0; i < item.index && h->name != NULL; i++) {
            const struct sp_config_header_match *other = &rule->headers[i];
            if (other->name == NULL || !sp_same_field(other->name, h->name))
                continue;
            sp_report(r, SP_DIAG_ERROR, &item, h->at, "the field %s is given twice; first on line %u",
                h->name, other->at.line);
            break;
        }
    }
}

void sp_check_rule(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_rule *rule = base;
    bool denies = sp_node_find(node, "deny") != NULL, allows = sp_node_find(node, "upstream") != NULL;

    if (denies && allows)
        report_key(r, node, where, "deny", "a rule has either upstream or deny; leave one of them out");
    if (!denies && sp_node_find(node, "from") == NULL)
        report_key(r, node, where, "from",
            "required key is missing; expected a list of names (only a rule with deny may be for everybody)");
    if (!denies && !allows)
        report_key(
            r, node, where, "upstream", "required key is missing; expected a name, or deny with a status");
    check_not_from(r, where, rule);
    check_headers(r, where, rule);
}

/* ---- what backends are told ---- */

void sp_check_proxy(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_trusted_proxy *proxy = base;

    if (sp_node_find(node, "identity_headers") == NULL && proxy->xfcc == SP_XFCC_SANITIZE_SET)
        sp_report(r, SP_DIAG_ERROR, where, proxy->at,
            "it may say nothing; give identity_headers, or xfcc: append_forward or forward_only");
}

void sp_check_upstream(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_upstream *upstream = base;

    if (upstream->xfcc_details != 0 && (upstream->identity_headers & SP_IDENTITY_XFCC) == 0)
        report_key(r, node, where, "xfcc_details",
            "identity_headers does not name xfcc; leave one out or add the other");
}
