/* What no single row can say of callers, rules, requirements and proxies in front: fields that exclude each other,
 * and those that need each other. Each is the check of one section and looks at nothing else. Elsewhere: as in check.c. */
#include "config/table.h"

static void report_key(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where,
    const char *key, const char *text)
{
    sp_report_key(r, SP_DIAG_ERROR, node, where, key, text);
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

/* ---- edits ---- */

/* Fields that frame the message or belong to one connection: changing them would change where a message ends, or what the
 * two sides agree on. */
static bool frames(const char *name)
{
    static const char *const names[] = {"Host", "Content-Length", "Transfer-Encoding", "Connection",
        "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
        "Upgrade", "Expect", "HTTP2-Settings", "Early-Data", "Max-Forwards"};

    for (size_t i = 0; i < SP_COUNTOF(names); i++) {
        if (sp_same_field(names[i], name))
            return true;
    }
    return false;
}

/* One field of set, add or remove, and where it stands. */
struct edit {
    const char *name;
    struct sp_pos at;
    struct sp_where where;
};

static struct edit edit_of(const struct sp_config_edits *e, const struct sp_where lists[3], size_t i)
{
    if (i >= e->set_count + e->add_count) {
        size_t index = i - e->set_count - e->add_count;
        return (struct edit){e->remove.items[index], e->remove.at[index], {.up = &lists[2], .index = index}};
    }
    bool is_set = i < e->set_count;
    const struct sp_config_header *h = is_set ? &e->set[i] : &e->add[i - e->set_count];
    return (struct edit){h->name, h->at,
        {.up = &lists[is_set ? 0 : 1], .key = h->name != NULL ? sp_slice_of(h->name) : SP_SLICE("?")}};
}

/* Twice in `set` or in `add` is told of where they are read. */
void sp_check_edits(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_edits *e = base;
    const struct sp_where lists[3] = {{.up = where, .key = SP_SLICE("set")},
        {.up = where, .key = SP_SLICE("add")}, {.up = where, .key = SP_SLICE("remove")}};
    size_t count = e->set_count + e->add_count + e->remove.count;

    (void)node;
    for (size_t i = 0; i < count; i++) {
        struct edit edit = edit_of(e, lists, i);
        if (edit.name == NULL)
            continue;
        if (frames(edit.name))
            sp_report(r, SP_DIAG_ERROR, &edit.where, edit.at,
                "%s frames the message or belongs to one connection; it cannot be changed", edit.name);
        for (size_t j = 0; j < i; j++) {
            struct edit other = edit_of(e, lists, j);
            bool told = other.where.up == edit.where.up && i < e->set_count + e->add_count;
            if (other.name == NULL || told || !sp_same_field(other.name, edit.name))
                continue;
            sp_report(r, SP_DIAG_ERROR, &edit.where, edit.at, "%s is given twice; first on line %u",
                edit.name, other.at.line);
            break;
        }
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
    static const char *const of_allowing[] = {"upgrade", "request_headers", "response_headers"};
    for (size_t i = 0; denies && i < SP_COUNTOF(of_allowing); i++) {
        if (sp_node_find(node, of_allowing[i]) != NULL)
            report_key(r, node, where, of_allowing[i],
                "a rule with deny lets nothing through that this could be done to; leave one of them out");
    }
    check_not_from(r, where, rule);
    check_headers(r, where, rule);
}

/* ---- proxies in front ---- */

void sp_check_proxy(struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_trusted_proxy *proxy = base;

    if (sp_node_find(node, "identity_headers") == NULL && proxy->xfcc == SP_XFCC_SANITIZE_SET &&
        sp_says(node, "forwarded", "replace"))
        sp_report(r, SP_DIAG_ERROR, where, proxy->at,
            "it may say nothing; give identity_headers, xfcc: append_forward or forward_only, or forwarded: append");
}
