/* The TLS of a fleet's upstreams: what each worker's connections, and the roster's checks, have in common.
 *
 * What came out the same as in the fleet before is taken over from it, with the sessions and kept-alive connections that
 * hang on it; so a reload that changes nothing about an upstream costs it nothing, and one that does is felt at once: the
 * connections of a client that is another one now are not used again. */
#include "sallyport/base/mem.h"
#include "upstream/roster/fleet_impl.h"

/* The upstream of that name in the fleet before, if it has TLS there. */
static const struct sp_fleet_upstream *known_as(const struct sp_fleet *before, const char *name)
{
    for (size_t i = 0; before != NULL && i < before->upstream_count; i++) {
        const struct sp_fleet_upstream *u = &before->upstreams[i];
        if (u->tls != NULL && strcmp(u->config->name, name) == 0)
            return u;
    }
    return NULL;
}

static struct sp_tls_client *load(struct sp_fleet *f, const struct sp_fleet_upstream *u,
    const struct sp_fleet_upstream *known, const struct sp_fleet_options *o, struct sp_diags *d)
{
    if (o->crls_only && known != NULL)
        return sp_tls_client_renew_crls(known->tls[0], o->shelf, d);
    return sp_tls_client_new(f->config, u->config->tls, o->shelf, d);
}

/* One for each worker and one for the roster. False without memory. */
static bool spread(struct sp_fleet *f, struct sp_fleet_upstream *u, struct sp_tls_client *first)
{
    for (unsigned w = 0; w <= f->workers; w++) {
        u->tls[w] = w == 0 ? sp_tls_client_ref(first) : sp_tls_client_copy(first);
        if (u->tls[w] == NULL)
            return false;
    }
    return true;
}

static bool load_one(
    struct sp_fleet *f, struct sp_fleet_upstream *u, const struct sp_fleet_options *o, struct sp_diags *d)
{
    const struct sp_fleet_upstream *known = known_as(o->before, u->config->name);
    struct sp_tls_client *fresh = load(f, u, known, o, d);
    bool good = true;
    if (fresh == NULL)
        return false;
    u->tls = sp_alloc((size_t)f->workers + 1, sizeof(struct sp_tls_client *));
    if (u->tls == NULL) {
        good = false;
    } else if (known != NULL && f->workers == o->before->workers &&
               sp_tls_client_is_same(fresh, known->tls[0])) {
        for (unsigned w = 0; w <= f->workers; w++)
            u->tls[w] = sp_tls_client_ref(known->tls[w]);
    } else {
        good = spread(f, u, fresh);
    }
    sp_tls_client_free(fresh);
    return good;
}

bool sp_fleet_load_tls(struct sp_fleet *f, const struct sp_fleet_options *o, struct sp_diags *d)
{
    bool good = true;
    for (size_t i = 0; i < f->upstream_count; i++) {
        if (f->upstreams[i].config->tls != NULL && !load_one(f, &f->upstreams[i], o, d))
            good = false; /* the others are looked at all the same: all errors at once */
    }
    return good;
}

void sp_fleet_free_tls(struct sp_fleet *f)
{
    for (size_t i = 0; i < f->upstream_count; i++) {
        struct sp_fleet_upstream *u = &f->upstreams[i];
        for (unsigned w = 0; u->tls != NULL && w <= f->workers; w++)
            sp_tls_client_free(u->tls[w]);
        SP_FREE(u->tls);
    }
}

struct sp_tls_client *sp_fleet_tls(const struct sp_fleet *f, size_t upstream, unsigned worker)
{
    SP_ASSERT(upstream < f->upstream_count && worker <= f->workers);
    return f->upstreams[upstream].tls != NULL ? f->upstreams[upstream].tls[worker] : NULL;
}
