/* Endpoints: counted by reference, told apart by upstream, address and the name that they were looked up by, which is what a
 * certificate is held to. What workers tell of them ends here in an atomic or two;
 * only the failure that may be one too many becomes a mail to the roster (ejection.c).
 *
 * An endpoint knows its roster but never touches it when it is let go of: the last reference may be a worker's, after
 * the roster has ended. */
#include "upstream/roster/roster_impl.h"

#include <stdio.h>

#include "sallyport/base/hash.h"

struct sp_endpoint *sp_endpoint_ref(struct sp_endpoint *ep)
{
    atomic_fetch_add_explicit(&ep->refs, 1, memory_order_relaxed);
    return ep;
}

void sp_endpoint_unref(struct sp_endpoint *ep)
{
    if (ep != NULL && atomic_fetch_sub_explicit(&ep->refs, 1, memory_order_acq_rel) == 1)
        sp_free(sp_member_of(ep));
}

/* The address without its port, as a certificate would have it. */
static void host_of_address(const struct sp_addr *address, const char *text, char *out, size_t room)
{
    struct sp_slice host = {NULL, 0};
    uint16_t port = 0;

    out[0] = '\0';
    if (!sp_addr_is_unix(address) && sp_addr_split(sp_slice_of(text), true, &host, &port))
        (void)snprintf(out, room, "%.*s", SP_FMT(host));
}

struct sp_member *sp_member_new(
    struct sp_roster *r, const char *upstream, const struct sp_addr *address, const char *host)
{
    struct sp_member *m = SP_NEW(struct sp_member);

    if (m == NULL)
        return NULL;
    atomic_init(&m->ep.refs, 1);
    m->ep.address = *address;
    sp_addr_format(address, m->ep.text);
    if (host != NULL)
        (void)snprintf(m->ep.host, sizeof(m->ep.host), "%s", host);
    else
        host_of_address(address, m->ep.text, m->ep.host, sizeof(m->ep.host));
    (void)snprintf(m->ep.upstream, sizeof(m->ep.upstream), "%s", upstream);
    m->is_by_name = host != NULL;
    m->roster = r;
    sp_list_init(&m->link);
    sp_list_init(&m->known);
    return m;
}

/* ---- those that are known ---- */

uint64_t sp_roster_hash(const char *a, const char *b, const char *c)
{
    static const struct sp_hash_key KEY = {
        {0}}; /* who makes them collide finds a list as long as his own answer */
    const char *const texts[] = {a, b, c};
    uint64_t hash = 0;

    for (size_t i = 0; i < SP_COUNTOF(texts); i++)
        hash += texts[i] != NULL ? sp_hash(&KEY, i, sp_slice_of(texts[i])) : 0;
    return hash;
}

static bool is(
    const struct sp_member *m, const char *upstream, const struct sp_addr *address, const char *host)
{
    return sp_addr_equal(&m->ep.address, address) && m->is_by_name == (host != NULL) &&
           (host == NULL || strcmp(m->ep.host, host) == 0) && strcmp(m->ep.upstream, upstream) == 0;
}

struct sp_member *sp_member_get(
    struct sp_roster *r, const char *upstream, const struct sp_addr *address, const char *host)
{
    char text[SP_ADDR_TEXT];

    if (r == NULL)
        return sp_member_new(r, upstream, address, host);
    uint64_t hash = sp_roster_hash(upstream, sp_addr_format(address, text), host);
    struct sp_list *bucket = &r->known[hash % SP_ROSTER_BUCKETS];
    SP_LIST_EACH (bucket, it) {
        struct sp_member *m = SP_CONTAINER_OF(it, struct sp_member, known);
        if (is(m, upstream, address, host)) {
            sp_endpoint_ref(&m->ep);
            return m;
        }
    }
    struct sp_member *m = sp_member_new(r, upstream, address, host);
    if (m != NULL) {
        sp_endpoint_ref(&m->ep);
        sp_list_append(bucket, &m->known);
    }
    return m;
}

/* Of whom the list has the only reference nobody can get another one but here. */
void sp_members_sweep(struct sp_roster *r)
{
    for (size_t i = 0; i < SP_ROSTER_BUCKETS; i++) {
        SP_LIST_EACH (&r->known[i], it) {
            struct sp_member *m = SP_CONTAINER_OF(it, struct sp_member, known);
            if (atomic_load_explicit(&m->ep.refs, memory_order_acquire) > 1)
                continue;
            sp_list_remove(it);
            sp_endpoint_unref(&m->ep);
        }
    }
}

/* ---- what workers tell ---- */

void sp_endpoint_failed(
    struct sp_roster *r, struct sp_fleet *f, size_t upstream, struct sp_endpoint *ep, const char *how)
{
    unsigned limit = f->upstreams[upstream].config->ejection.failures;
    uint32_t failed = atomic_fetch_add_explicit(&ep->failed_in_a_row, 1, memory_order_relaxed) + 1;
    struct sp_member *m = sp_member_of(ep);

    atomic_store_explicit(&m->last_failure, how, memory_order_relaxed);
    if (limit == 0 || failed < limit || atomic_load_explicit(&ep->is_ejected, memory_order_relaxed) ||
        atomic_exchange_explicit(&m->failed_under_way, true, memory_order_acq_rel))
        return;
    sp_endpoint_ref(ep);
    m->failed.fn = sp_ejection_look;
    sp_loop_post(r->loop, &m->failed);
}

void sp_endpoint_went_well(struct sp_endpoint *ep)
{
    if (atomic_load_explicit(&ep->failed_in_a_row, memory_order_relaxed) != 0)
        atomic_store_explicit(&ep->failed_in_a_row, 0, memory_order_relaxed);
}
