/* Walks a snapshot for what ends by itself. A CRL or CA that several hosts of a listener share is one thing, and so is
 * a certificate. Two CAs of one name in one file (its key was renewed) are two, told apart by their ends. */
#include "expiries.h"

#include <stdlib.h>

#define NAMES_SHOWN 256

struct walk {
    struct sp_expiry_list *list;
    const struct sp_config *config;
    const struct sp_config_client_auth *auth;
    const char *owner;
    bool of_upstream;
    bool failed;
};

/* NULL stays NULL. */
static const char *keep(struct walk *w, const char *text)
{
    if (text == NULL)
        return NULL;
    const char *copy = sp_arena_copy(&w->list->arena, sp_slice_of(text)).ptr;
    w->failed = w->failed || copy == NULL;
    return copy;
}

static void add(struct walk *w, struct sp_expiry item)
{
    struct sp_expiry_list *list = w->list;

    item.owner = keep(w, w->owner);
    item.of_upstream = w->of_upstream;
    item.name = keep(w, item.name);
    item.source = keep(w, item.source);
    item.url = keep(w, item.url);
    item.trouble = keep(w, item.trouble);
    if (list->count == list->room) {
        size_t room = list->room > 0 ? 2 * list->room : 32;
        struct sp_expiry *items = sp_alloc(room, sizeof(*items));
        w->failed = w->failed || items == NULL;
        if (items != NULL && list->count > 0)
            memcpy(items, list->items, list->count * sizeof(*items));
        if (items != NULL) {
            sp_free(list->items);
            list->items = items;
            list->room = room;
        }
    }
    if (!w->failed)
        list->items[list->count++] = item;
}

/* ---- the three kinds ---- */

/* One that is left out decides nothing; the warning at its load has said so. */
static void take_crl(void *arg, const struct sp_trust_crl *crl)
{
    struct walk *w = arg;

    if (crl->unusable != NULL)
        return;
    add(w, (struct sp_expiry){
               .kind = SP_EXPIRY_CRL,
               .name = crl->issuer,
               .source = crl->source,
               .url = crl->url,
               .from = crl->this_update,
               .until = crl->next_update,
               .warn_at = crl->warn_at,
               .loaded_at = crl->loaded_at,
               .entries = crl->entries,
               .trouble = crl->trouble,
               .stale = w->auth->crl_stale,
               .grace_s = (int64_t)(w->auth->crl_grace_ms / 1000),
           });
}

static void take_ca(void *arg, const struct sp_trust_ca *ca)
{
    struct walk *w = arg;

    add(w, (struct sp_expiry){
               .kind = SP_EXPIRY_CA,
               .name = ca->subject,
               .source = ca->file != NULL ? ca->file : "",
               .from = ca->not_before,
               .until = ca->not_after,
               .warn_at = ca->not_after - (int64_t)(w->config->certificate_warn_before_ms / 1000),
               .has_crl = ca->has_crl,
           });
}

/* A certificate without a name is known by its subject. */
static void take_certificate(void *arg, const struct sp_tls_certificate *c)
{
    struct walk *w = arg;
    struct sp_buf names = {0};

    for (size_t i = 0; i < c->name_count && names.len < NAMES_SHOWN; i++)
        sp_buf_printf(&names, "%s%s", i > 0 ? "," : "", c->names[i]);
    if (names.len > NAMES_SHOWN) {
        names.len = NAMES_SHOWN;
        sp_buf_add_str(&names, "...");
    }
    if (c->name_count == 0)
        sp_buf_add_str(&names, c->subject);
    sp_buf_add_char(&names, '\0');
    if (names.failed)
        w->failed = true;
    else
        add(w, (struct sp_expiry){
                   .kind = SP_EXPIRY_CERTIFICATE,
                   .name = names.ptr,
                   .source = c->file,
                   .from = c->not_before,
                   .until = c->not_after,
                   .warn_at = c->not_after - (int64_t)(w->config->certificate_warn_before_ms / 1000),
               });
    sp_buf_free(&names);
}

/* ---- the list ---- */

static int compare(const void *left, const void *right)
{
    const struct sp_expiry *a = left, *b = right;
    int order = (int)a->kind - (int)b->kind;

    if (order == 0)
        order = (int)a->of_upstream - (int)b->of_upstream;
    if (order == 0)
        order = strcmp(a->owner, b->owner);
    if (order == 0)
        order = strcmp(a->name, b->name);
    if (order == 0)
        order = strcmp(a->source, b->source);
    if (order == 0 && a->kind == SP_EXPIRY_CA)
        order = (a->until > b->until) - (a->until < b->until);
    return order;
}

/* The same thing by way of another host: the stricter of both. */
static void merge(struct sp_expiry *into, const struct sp_expiry *other)
{
    if (other->stale < into->stale)
        into->stale = other->stale;
    if (other->grace_s < into->grace_s)
        into->grace_s = other->grace_s;
    if (into->trouble == NULL)
        into->trouble = other->trouble;
    into->has_crl = into->has_crl && other->has_crl;
}

static void sort(struct sp_expiry_list *list)
{
    size_t kept = 0;

    if (list->count == 0)
        return;
    qsort(list->items, list->count, sizeof(*list->items), compare);
    for (size_t i = 1; i < list->count; i++) {
        if (compare(&list->items[kept], &list->items[i]) == 0)
            merge(&list->items[kept], &list->items[i]);
        else
            list->items[++kept] = list->items[i];
    }
    list->count = kept + 1;
}

static void walk_listener(struct walk *w, const struct sp_snapshot_listener *l, int64_t now)
{
    w->owner = l->config->name;
    for (size_t h = 0; h < l->config->host_count; h++) {
        const struct sp_config_host *host = &l->config->hosts[h];
        if (h > 0 && host->inherits)
            continue;
        w->auth = &host->client_auth;
        sp_trust_each_crl(l->trusts[h], take_crl, w);
        sp_trust_each_ca(l->trusts[h], now, take_ca, w);
    }
    sp_tls_server_each_certificate(l->tls[0], take_certificate, w);
}

/* All workers' are alike: the first one's is asked. */
static void walk_upstream(struct walk *w, const struct sp_snapshot *s, size_t i, int64_t now)
{
    const struct sp_tls_client *tls = sp_fleet_tls(s->fleet, i, 0);
    struct sp_tls_client_facts own;

    if (tls == NULL)
        return;
    w->owner = w->config->upstreams[i].name;
    w->of_upstream = true;
    w->auth = &w->config->upstreams[i].tls->trust;
    if (sp_tls_client_trust(tls) != NULL) {
        sp_trust_each_crl(sp_tls_client_trust(tls), take_crl, w);
        sp_trust_each_ca(sp_tls_client_trust(tls), now, take_ca, w);
    }
    if (sp_tls_client_certificate(tls, &own))
        take_certificate(w, &(struct sp_tls_certificate){.file = own.file,
                                .subject = own.subject,
                                .not_before = own.not_before,
                                .not_after = own.not_after});
}

enum sp_rc sp_expiry_collect(const struct sp_snapshot *snapshot, int64_t now, struct sp_expiry_list *out)
{
    struct walk w = {.list = out, .config = snapshot->config};

    *out = (struct sp_expiry_list){0};
    sp_arena_init(&out->arena, 0);
    for (size_t i = 0; i < snapshot->listener_count; i++)
        walk_listener(&w, &snapshot->listeners[i], now);
    for (size_t i = 0; i < snapshot->config->upstream_count; i++)
        walk_upstream(&w, snapshot, i, now);
    if (w.failed) {
        sp_expiry_free(out);
        return SP_FAIL;
    }
    sort(out);
    return SP_OK;
}

void sp_expiry_free(struct sp_expiry_list *list)
{
    sp_free(list->items);
    sp_arena_free(&list->arena);
    *list = (struct sp_expiry_list){0};
}

struct sp_expiry *sp_expiry_find(const struct sp_expiry_list *list, const struct sp_expiry *item)
{
    return list->count > 0 ? bsearch(item, list->items, list->count, sizeof(*list->items), compare) : NULL;
}
