/* What follows from what was written: the list of a listener's hosts, where fetched files are kept, the mode of a rule
 * that does not say. Runs once, when every key has been read. Also the questions that other rooms ask of the finished configuration (which host
 * has a name, which files are named). Elsewhere: single values (types.c, collections.c), checks (check.c). */
#include "config/table.h"
#include "sallyport/base/text.h"

/* ---- fetched files ---- */

static uint64_t fnv1a(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

/* The last segment, with nothing but letters, digits, '.', '_' and '-': for people who look into the folder. */
static void readable_part(const char *text, char out[32])
{
    size_t len = strcspn(text, "?"), n = 0; /* a query may hold a secret */
    while (len > 0 && text[len - 1] == '/')
        len--;
    size_t from = len;
    while (from > 0 && text[from - 1] != '/')
        from--;
    for (; from < len && n < 31; from++) {
        char c = text[from];
        bool plain = sp_is_digit(c) || (sp_lower(c) >= 'a' && sp_lower(c) <= 'z') || c == '_' || c == '-';
        out[n] = plain || (c == '.' && n > 0) ? c : '_';
        n++;
    }
    out[n] = '\0';
}

/* <folder>/<readable>-<hash of url and what it is for>.<ending>; NULL without memory or without a folder (reported). */
static const char *kept_in(struct sp_reader *r, const struct sp_config *config, const struct sp_where *where,
    struct sp_pos at, const char *url, const char *purpose, const char *ending)
{
    char readable[32];

    if (config->fetch.folder == NULL) {
        sp_report(r, SP_DIAG_ERROR, where, at,
            "what is fetched from a URL must be kept somewhere; give fetch.folder");
        return NULL;
    }
    readable_part(purpose[0] != '\0' ? purpose : url, readable);
    uint64_t hash = fnv1a(fnv1a(fnv1a(UINT64_C(0xcbf29ce484222325), purpose), "\n"), url);
    size_t len = strlen(config->fetch.folder);
    const char *slash = len > 0 && config->fetch.folder[len - 1] == '/' ? "" : "/";
    const char *path = sp_arena_printf(r->arena, "%s%s%s-%016llx.%s", config->fetch.folder, slash, readable,
        (unsigned long long)hash, ending);
    if (path == NULL)
        sp_report_no_memory(r);
    return path;
}

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

/* The list was read as it stands; URLs move to a list of their own and leave the file that they are kept in. */
static void derive_crls(struct sp_reader *r, const struct sp_config *config, const struct sp_where *where,
    struct sp_config_client_auth *auth)
{
    const char **items = sp_reader_alloc(r, auth->crl.count, sizeof(*items));
    const char **urls = sp_reader_alloc(r, auth->crl.count, sizeof(*urls));
    struct sp_where list = {.up = where, .key = SP_SLICE("crl")}, item = {.up = &list};

    if (items == NULL || urls == NULL)
        return;
    for (; item.index < auth->crl.count; item.index++) {
        const char *text = auth->crl.items[item.index];
        items[item.index] = text;
        if (text == NULL || !is_url(text))
            continue;
        urls[item.index] = text;
        items[item.index] = kept_in(r, config, &item, auth->crl.at[item.index], text, "", "crl");
    }
    auth->crl.items = items;
    auth->crl_urls = urls;
}

/* ---- hosts ---- */

static void derive_staples(struct sp_reader *r, const struct sp_config *config, const struct sp_where *where,
    struct sp_config_certificate *certificates, size_t count)
{
    struct sp_where list = {.up = where, .key = SP_SLICE("certificates")}, item = {.up = &list};

    for (; item.index < count; item.index++) {
        struct sp_config_certificate *c = &certificates[item.index];
        if (c->staple_url == NULL)
            continue;
        if (c->staple_file != NULL)
            sp_report(r, SP_DIAG_ERROR, &item, c->at,
                "staple_file and staple_url are both given: the response comes from one of them");
        else if (c->chain != NULL)
            c->staple_file = kept_in(r, config, &item, c->at, c->staple_url, c->chain, "ocsp");
    }
}

/* The arrays were made here, in this configuration's arena; the casts take back the const that others see. */
static void derive_listener(struct sp_reader *r, const struct sp_config *config, const struct sp_where *where,
    struct sp_config_listener *l)
{
    struct sp_where tls = {.up = where, .key = SP_SLICE("tls")};
    struct sp_where auth = {.up = where, .key = SP_SLICE("client_auth")};
    struct sp_where list = {.up = &tls, .key = SP_SLICE("hosts")}, item = {.up = &list};
    struct sp_config_host *hosts = sp_reader_alloc(r, l->host_count + 1, sizeof(*hosts));

    if (hosts == NULL)
        return;
    derive_staples(r, config, &tls, (struct sp_config_certificate *)l->certificates, l->certificate_count);
    derive_crls(r, config, &auth, &l->client_auth);
    hosts[0] = (struct sp_config_host){.at = l->at,
        .certificates = l->certificates,
        .certificate_count = l->certificate_count,
        .client_auth = l->client_auth,
        .inherits = true};
    for (; item.index < l->host_count; item.index++) {
        struct sp_config_host *h = &hosts[item.index + 1];
        struct sp_where inner = {.up = &item, .key = SP_SLICE("client_auth")};
        *h = l->hosts[item.index];
        h->inherits = h->client_auth.at.line == 0;
        if (h->inherits)
            h->client_auth = l->client_auth;
        else
            derive_crls(r, config, &inner, &h->client_auth);
        derive_staples(
            r, config, &item, (struct sp_config_certificate *)h->certificates, h->certificate_count);
        if (h->certificates == NULL) {
            h->certificates = l->certificates;
            h->certificate_count = l->certificate_count;
        }
    }
    l->hosts = hosts;
    l->host_count++;
}

/* A name that two hosts have would be served by the first of them. */
static void check_names(struct sp_reader *r, const struct sp_where *where, const struct sp_config_listener *l)
{
    struct sp_where tls = {.up = where, .key = SP_SLICE("tls")};
    struct sp_where list = {.up = &tls, .key = SP_SLICE("hosts")}, host = {.up = &list};
    struct sp_where names = {.up = &host, .key = SP_SLICE("names")}, item = {.up = &names};

    for (size_t i = 1; i < l->host_count; i++) {
        host.index = i - 1;
        for (item.index = 0; item.index < l->hosts[i].names.count; item.index++) {
            const char *name = l->hosts[i].names.items[item.index];
            for (size_t j = 1; name != NULL && j <= i; j++) {
                size_t end = j == i ? item.index : l->hosts[j].names.count;
                for (size_t k = 0; k < end; k++) {
                    const char *other = l->hosts[j].names.items[k];
                    if (other != NULL && strcmp(other, name) == 0)
                        sp_report(r, SP_DIAG_ERROR, &item, l->hosts[i].names.at[item.index],
                            "the name %s is given twice; first on line %u", name,
                            l->hosts[j].names.at[k].line);
                }
            }
        }
    }
}

/* ---- rules ---- */

static void derive_modes(const struct sp_node *root, struct sp_config *config)
{
    const struct sp_node *list = sp_node_find(root, "rules");
    const struct sp_node *n = list != NULL ? list->first : NULL;

    for (size_t i = 0; i < config->rule_count && n != NULL; i++, n = n->next) {
        if (sp_node_find(n, "mode") == NULL)
            ((struct sp_config_rule *)&config->rules[i])->mode = config->rule_mode;
    }
}

void sp_config_derive(struct sp_reader *r, const struct sp_node *root, struct sp_config *config)
{
    struct sp_where list = {.key = SP_SLICE("listeners")}, item = {.up = &list};

    for (; item.index < config->listener_count; item.index++) {
        struct sp_config_listener *l = (struct sp_config_listener *)&config->listeners[item.index];
        derive_listener(r, config, &item, l);
        check_names(r, &item, l);
    }
    derive_modes(root, config);
}

/* ---- questions ---- */

bool sp_config_host_matches(struct sp_slice pattern, struct sp_slice name)
{
    if (!sp_slice_starts(pattern, SP_SLICE("*.")))
        return sp_slice_equal(pattern, name);
    const char *dot = memchr(name.ptr, '.', name.len);
    return dot != NULL && dot != name.ptr &&
           sp_slice_equal(
               sp_slice_sub(pattern, 1, pattern.len), sp_slice_sub(name, (size_t)(dot - name.ptr), name.len));
}

size_t sp_config_host_of(const struct sp_config_listener *listener, struct sp_slice name)
{
    size_t by_wildcard = 0;

    for (size_t h = 1; name.len > 0 && h < listener->host_count; h++) {
        const struct sp_strings *names = &listener->hosts[h].names;
        for (size_t i = 0; i < names->count; i++) {
            struct sp_slice pattern = sp_slice_of(names->items[i]);
            if (sp_slice_equal(pattern, name))
                return h;
            if (by_wildcard == 0 && sp_config_host_matches(pattern, name))
                by_wildcard = h;
        }
    }
    return by_wildcard;
}

static void each_of(const struct sp_strings *paths, void (*each)(void *arg, const char *path), void *arg)
{
    for (size_t i = 0; i < paths->count; i++)
        each(arg, paths->items[i]);
}

static void each_of_certificates(
    const struct sp_config_host *host, void (*each)(void *arg, const char *path), void *arg)
{
    for (size_t i = 0; i < host->certificate_count; i++) {
        each(arg, host->certificates[i].chain);
        each(arg, host->certificates[i].key);
        if (host->certificates[i].staple_file != NULL)
            each(arg, host->certificates[i].staple_file);
    }
}

static void each_of_trust(
    const struct sp_config_client_auth *auth, void (*each)(void *arg, const char *path), void *arg)
{
    each_of(&auth->ca, each, arg);
    each_of(&auth->intermediates, each, arg);
    each_of(&auth->crl, each, arg);
}

/* What a host has from its listener was told of there. */
void sp_config_each_file(const struct sp_config *config, void (*each)(void *arg, const char *path), void *arg)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct sp_config_listener *l = &config->listeners[i];
        if (l->tickets.keys != NULL)
            each(arg, l->tickets.keys);
        for (size_t h = 0; h < l->host_count; h++) {
            const struct sp_config_host *host = &l->hosts[h];
            if (h == 0 || host->certificates != l->hosts[0].certificates)
                each_of_certificates(host, each, arg);
            if (h > 0 && host->inherits)
                continue;
            each_of_trust(&host->client_auth, each, arg);
        }
    }
    for (size_t u = 0; u < config->upstream_count; u++) {
        const struct sp_config_upstream_tls *tls = config->upstreams[u].tls;
        if (tls == NULL)
            continue;
        each_of_trust(&tls->trust, each, arg);
        if (tls->certificate != NULL) {
            each(arg, tls->certificate->chain);
            each(arg, tls->certificate->key);
        }
    }
    for (size_t c = 0; c < config->caller_count; c++) {
        for (size_t e = 0; e < config->callers[c].entry_count; e++) {
            if (config->callers[c].entries[e].file != NULL)
                each(arg, config->callers[c].entries[e].file);
        }
    }
}
