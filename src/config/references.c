/* Names that must be unique, names that must exist, and callers that lead to themselves. Why here and not where the parts
 * are built: as in check.c. A section that could not be read at all has been reported, and its names are not missed.
 * Elsewhere: callers that nothing uses (room policy). */
#include "config/table.h"

#define CYCLE_SHOWN 8 /* names of a longer one are left out */

struct known {
    struct sp_named_list callers, upstreams, rules, listeners;
    const struct sp_config *config;
    const struct sp_node *root;
    bool *upstream_used;
};

/* ---- twice ---- */

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
    struct sp_reader *r, const struct sp_node *root, const char *key, const struct sp_named_list *names)
{
    const struct sp_node *list = sp_node_find(root, key);
    struct sp_where where = {.key = sp_slice_of(key)}, item = {.up = &where};
    struct sp_where field = {.up = &item, .key = SP_SLICE("name")};
    const struct sp_named *twice = NULL;

    for (size_t i = 0, first = 0; list != NULL && (twice = sp_named_twice(names, &i, &first)) != NULL;) {
        char shown[SP_SHOWN_MAX];
        if (r->diags->errors >= SP_DIAGS_KEPT) {
            r->diags->errors++; /* counted; looking its place up would be for nothing */
            continue;
        }
        item.index = twice->index;
        sp_report(r, SP_DIAG_ERROR, &field, place_of_name(list, item.index),
            "the name \"%s\" is given twice; first on line %u", sp_shown(sp_slice_of(twice->name), shown),
            place_of_name(list, names->sorted[first].index).line);
    }
}

/* ---- unknown ---- */

static void report_no_such(struct sp_reader *r, const struct sp_where *where, struct sp_pos at,
    const char *what, const char *name, const struct sp_named_list *names)
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

/* A name, or a list of them under `key`. */
static void check_names(struct sp_reader *r, const struct sp_where *where, const char *key,
    const struct sp_strings *list, const char *what, const struct sp_named_list *known)
{
    struct sp_where field = {.up = where, .key = sp_slice_of(key)}, item = {.up = &field};

    for (; item.index < list->count && known->count > 0; item.index++) {
        const char *name = list->items[item.index];
        if (name != NULL && sp_named_find(known, name, SP_NOWHERE) == SP_NOWHERE)
            report_no_such(r, &item, list->at[item.index], what, name, known);
    }
}

/* True when the rule's upstream, if it is to have one, exists; it is marked then. */
static bool check_rule(struct sp_reader *r, const struct known *k, size_t index)
{
    const struct sp_config_rule *rule = &k->config->rules[index];
    struct sp_where list = {.key = SP_SLICE("rules")}, where = {.up = &list, .index = index};
    struct sp_where upstream = {.up = &where, .key = SP_SLICE("upstream")};

    check_names(r, &where, "from", &rule->from, "caller", &k->callers);
    check_names(r, &where, "not_from", &rule->not_from, "caller", &k->callers);
    check_names(r, &where, "listener", &rule->listeners, "listener", &k->listeners);
    if (rule->upstream == NULL || k->upstreams.count == 0)
        return rule->deny_status != 0;
    size_t found = sp_named_find(&k->upstreams, rule->upstream, SP_NOWHERE);
    if (found == SP_NOWHERE) {
        report_no_such(r, &upstream, rule->upstream_at, "upstream", rule->upstream, &k->upstreams);
        return false;
    }
    k->upstream_used[found] = true;
    return true;
}

static void check_rules(struct sp_reader *r, const struct known *k)
{
    struct sp_where upstreams = {.key = SP_SLICE("upstreams")};
    bool all_known = k->config->rule_count > 0;

    for (size_t i = 0; i < k->config->rule_count; i++)
        all_known = check_rule(r, k, i) && all_known;
    for (size_t i = 0; all_known && i < k->config->upstream_count; i++) {
        const struct sp_config_upstream *u = &k->config->upstreams[i];
        struct sp_where where = {.up = &upstreams, .key = sp_slice_of(u->name)};
        if (!k->upstream_used[i] && u->name != NULL)
            sp_report(r, SP_DIAG_WARNING, &where, u->at, "no rule names this upstream");
    }
}

/* Who may speak for others must be known itself. */
static void check_proxy(struct sp_reader *r, const struct known *k, const struct sp_where *where,
    const struct sp_config_trusted_proxy *proxy)
{
    struct sp_where from = {.up = where, .key = SP_SLICE("from")}, item = {.up = &from};

    check_names(r, where, "from", &proxy->from, "caller", &k->callers);
    for (; item.index < proxy->from.count; item.index++) {
        const char *name = proxy->from.items[item.index];
        size_t found = name != NULL ? sp_named_find(&k->callers, name, SP_NOWHERE) : SP_NOWHERE;
        for (size_t i = 0; found != SP_NOWHERE && i < k->config->callers[found].entry_count; i++) {
            enum sp_caller_any any = k->config->callers[found].entries[i].any;
            if (any == SP_CALLER_ANY_ANONYMOUS)
                sp_report(r, SP_DIAG_ERROR, &item, proxy->from.at[item.index],
                    "a proxy must prove who it is, and this caller is \"any: anonymous\"");
            else if (any == SP_CALLER_ANY_AUTHENTICATED && proxy->sources.count == 0)
                sp_report(r, SP_DIAG_WARNING, &item, proxy->from.at[item.index],
                    "this caller is \"any: authenticated\": every client may then say that it is somebody else");
        }
    }
}

static void check_proxies(struct sp_reader *r, const struct known *k)
{
    struct sp_where list = {.key = SP_SLICE("trusted_proxies")}, item = {.up = &list};

    for (; item.index < k->config->trusted_proxy_count; item.index++)
        check_proxy(r, k, &item, &k->config->trusted_proxies[item.index]);
}

/* ---- callers that name callers ---- */

/* callers.<name>[i].caller, or callers.<name>.match[i].caller: as it is written. */
static void report_in_entry(struct sp_reader *r, const struct known *k, size_t caller, size_t entry,
    void (*report)(struct sp_reader *r, const struct sp_where *where, const struct known *k,
        const struct sp_config_caller_entry *e, const void *arg),
    const void *arg)
{
    const struct sp_config_caller *c = &k->config->callers[caller];
    const struct sp_node *callers = sp_node_find(k->root, "callers");
    const struct sp_node *n = callers != NULL ? callers->first : NULL;

    if (r->diags->errors >= SP_DIAGS_KEPT) {
        r->diags->errors++; /* counted; looking its place up would be for nothing */
        return;
    }
    for (size_t i = 0; i < caller && n != NULL; i++)
        n = n->next;
    struct sp_where root = {.key = SP_SLICE("callers")}, named = {.up = &root, .key = sp_slice_of(c->name)};
    struct sp_where match = {.up = &named, .key = SP_SLICE("match")};
    struct sp_where item = {.up = n != NULL && n->kind == SP_NODE_MAP ? &match : &named, .index = entry};
    struct sp_where field = {.up = &item, .key = SP_SLICE("caller")};
    report(r, &field, k, &c->entries[entry], arg);
}

static void report_no_caller(struct sp_reader *r, const struct sp_where *where, const struct known *k,
    const struct sp_config_caller_entry *e, const void *arg)
{
    (void)arg;
    report_no_such(r, where, e->caller_at, "caller", e->caller, &k->callers);
}

struct step {
    size_t caller, entry; /* the entry is the one that is looked at next */
};

struct walk {
    struct step *path;
    size_t depth;
    bool *on_path, *done;
};

struct cycle {
    const struct step *path;
    size_t count;
};

static void report_cycle(struct sp_reader *r, const struct sp_where *where, const struct known *k,
    const struct sp_config_caller_entry *e, const void *arg)
{
    const struct cycle *cycle = arg;
    char shown[SP_SHOWN_MAX];
    struct sp_buf names;

    sp_buf_init(&names, 0);
    for (size_t i = 0; i < cycle->count; i++) {
        if (i < CYCLE_SHOWN || i + 1 == cycle->count)
            sp_buf_printf(&names, "%s -> ",
                sp_shown(sp_slice_of(k->config->callers[cycle->path[i].caller].name), shown));
        else if (i == CYCLE_SHOWN)
            sp_buf_add_str(&names, "... -> ");
    }
    sp_buf_add_str(&names, sp_shown(sp_slice_of(e->caller), shown));
    sp_report(r, SP_DIAG_ERROR, where, e->caller_at, "a caller cannot be part of itself: %.*s",
        (int)names.len, names.len > 0 ? names.ptr : "");
    sp_buf_free(&names);
}

/* The next caller that the one at the end of the path names, or SP_NOWHERE when there is none any more. */
static size_t next_caller(struct sp_reader *r, const struct known *k, struct step *at)
{
    const struct sp_config_caller *c = &k->config->callers[at->caller];

    while (at->entry < c->entry_count) {
        const struct sp_config_caller_entry *e = &c->entries[at->entry++];
        size_t found = e->caller != NULL ? sp_named_find(&k->callers, e->caller, SP_NOWHERE) : SP_NOWHERE;
        if (found != SP_NOWHERE)
            return found;
        if (e->caller != NULL)
            report_in_entry(r, k, at->caller, at->entry - 1, report_no_caller, NULL);
    }
    return SP_NOWHERE;
}

/* Depth first, on a path of its own: a chain may be as long as there are callers. */
static void walk_from(struct sp_reader *r, const struct known *k, struct walk *w, size_t caller)
{
    w->path[w->depth++] = (struct step){caller, 0};
    w->on_path[caller] = true;
    while (w->depth > 0) {
        struct step *top = &w->path[w->depth - 1];
        size_t next = next_caller(r, k, top);
        if (next == SP_NOWHERE) {
            w->on_path[top->caller] = false;
            w->done[top->caller] = true;
            w->depth--;
        } else if (w->on_path[next]) {
            size_t first = w->depth - 1;
            while (w->path[first].caller != next)
                first--;
            struct cycle cycle = {w->path + first, w->depth - first};
            report_in_entry(r, k, top->caller, top->entry - 1, report_cycle, &cycle);
        } else if (!w->done[next]) {
            w->path[w->depth++] = (struct step){next, 0};
            w->on_path[next] = true;
        }
    }
}

static void check_callers(struct sp_reader *r, const struct known *k)
{
    size_t count = k->config->caller_count;
    struct walk w = {.path = sp_alloc(count, sizeof(struct step)),
        .on_path = sp_alloc(count, sizeof(bool)),
        .done = sp_alloc(count, sizeof(bool))};

    if (w.path == NULL || w.on_path == NULL || w.done == NULL)
        sp_report_no_memory(r);
    for (size_t i = 0; i < count && !r->no_memory; i++) {
        if (!w.done[i])
            walk_from(r, k, &w, i);
    }
    sp_free(w.path);
    sp_free(w.on_path);
    sp_free(w.done);
}

/* ---- all ---- */

void sp_check_references(struct sp_reader *r, const struct sp_node *root, const struct sp_config *config)
{
    struct known k = {.config = config, .root = root};

    k.upstream_used = sp_alloc(config->upstream_count, sizeof(bool));
    if (k.upstream_used == NULL) {
        sp_report_no_memory(r);
        goto out;
    }
    if (!sp_named_index(r, config->callers, config->caller_count, sizeof(config->callers[0]),
            offsetof(struct sp_config_caller, name), &k.callers) ||
        !sp_named_index(r, config->upstreams, config->upstream_count, sizeof(config->upstreams[0]),
            offsetof(struct sp_config_upstream, name), &k.upstreams) ||
        !sp_named_index(r, config->rules, config->rule_count, sizeof(config->rules[0]),
            offsetof(struct sp_config_rule, name), &k.rules) ||
        !sp_named_index(r, config->listeners, config->listener_count, sizeof(config->listeners[0]),
            offsetof(struct sp_config_listener, name), &k.listeners))
        goto out;
    check_unique(r, root, "listeners", &k.listeners);
    check_unique(r, root, "rules", &k.rules);
    check_callers(r, &k);
    check_rules(r, &k);
    check_proxies(r, &k);
out:
    sp_free(k.upstream_used);
    sp_free(k.callers.sorted);
    sp_free(k.upstreams.sorted);
    sp_free(k.rules.sorted);
    sp_free(k.listeners.sorted);
}
