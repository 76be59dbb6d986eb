/* Endpoints given by name: looked up once, when the file is read, each address becoming an endpoint of its own.
 * Apart from parsing because it talks to the network and may wait; it runs on threads that may. Invariant: an
 * upstream keeps its array until the new one is whole, so a failure leaves nothing half replaced. Elsewhere:
 * what an address looks like (types.c, base/addr.h). */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "config/table.h"

#define ADDRESSES_MAX 64 /* of one name; more is a mistake somewhere else */

static enum sp_rc look_up(struct sp_slice host, uint16_t port, struct addrinfo **out, const char **why)
{
    char name[256], service[8];
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};

    *out = NULL;
    (void)snprintf(name, sizeof(name), "%.*s", SP_FMT(host));
    (void)snprintf(service, sizeof(service), "%u", port);
    int rc = getaddrinfo(name, service, &hints, out);
    if (rc == EAI_NONAME || rc == EAI_NODATA || rc == EAI_ADDRFAMILY) {
        hints.ai_flags = AI_NUMERICSERV; /* a machine that has only loopback addresses */
        rc = getaddrinfo(name, service, &hints, out);
    }
    if (rc == 0)
        return SP_OK;
    *why = rc == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(rc);
    return SP_FAIL;
}

/* How many of the answers are used; the first ADDRESSES_MAX of those that are IPv4 or IPv6. */
static size_t add_answers(struct sp_reader *r, const struct sp_config_endpoint *named,
    const struct addrinfo *answers, struct sp_config_endpoint *into)
{
    size_t count = 0;

    for (const struct addrinfo *a = answers; a != NULL && count < ADDRESSES_MAX; a = a->ai_next) {
        struct sp_addr address = {.len = a->ai_addrlen};
        char text[SP_ADDR_TEXT];
        if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) || a->ai_addrlen > sizeof(address.u))
            continue;
        if (into != NULL) {
            memcpy(&address.u, a->ai_addr, a->ai_addrlen);
            const char *copy = sp_reader_copy(r, sp_slice_of(sp_addr_format(&address, text)));
            into[count] = (struct sp_config_endpoint){named->at, copy, address};
        }
        count++;
    }
    return count;
}

static void resolve_upstream(
    struct sp_reader *r, const struct sp_where *where, struct sp_config_upstream *upstream)
{
    struct addrinfo **answers = sp_alloc(upstream->endpoint_count, sizeof(struct addrinfo *));
    struct sp_where list = {.up = where, .key = SP_SLICE("endpoints")}, item = {.up = &list};
    size_t total = 0, filled = 0;

    if (answers == NULL) {
        sp_report_no_memory(r);
        return;
    }
    for (; item.index < upstream->endpoint_count; item.index++) {
        const struct sp_config_endpoint *e = &upstream->endpoints[item.index];
        struct sp_slice host = {NULL, 0};
        uint16_t port = 0;
        const char *why = "it has no address";
        if (e->address.len != 0) {
            total++;
            continue;
        }
        bool is_named = sp_addr_split(sp_slice_of(e->text), false, &host, &port);
        SP_ASSERT(is_named);
        size_t found = look_up(host, port, &answers[item.index], &why) == SP_OK
                           ? add_answers(r, e, answers[item.index], NULL)
                           : 0;
        if (found == 0)
            sp_report(r, SP_DIAG_ERROR, &item, e->at, "cannot resolve \"%.*s\": %s", SP_FMT(host), why);
        total += found;
    }
    struct sp_config_endpoint *endpoints = sp_reader_alloc(r, total, sizeof(*endpoints));
    for (size_t i = 0; i < upstream->endpoint_count && endpoints != NULL; i++) {
        if (upstream->endpoints[i].address.len != 0)
            endpoints[filled++] = upstream->endpoints[i];
        else
            filled += add_answers(r, &upstream->endpoints[i], answers[i], endpoints + filled);
    }
    for (size_t i = 0; i < upstream->endpoint_count; i++) {
        if (answers[i] != NULL)
            freeaddrinfo(answers[i]);
    }
    sp_free(answers);
    if (endpoints == NULL)
        return;
    upstream->endpoints = endpoints;
    upstream->endpoint_count = total;
}

void sp_config_resolve(struct sp_reader *r, struct sp_config *config)
{
    struct sp_where where = {.key = SP_SLICE("upstreams")}, item = {.up = &where};

    for (size_t i = 0; i < config->upstream_count; i++) {
        /* The array lies in the configuration's own arena and is const only for those who get it. */
        struct sp_config_upstream *upstream = (struct sp_config_upstream *)(uintptr_t)&config->upstreams[i];
        bool any_named = false;
        for (size_t j = 0; j < upstream->endpoint_count; j++)
            any_named = any_named || upstream->endpoints[j].address.len == 0;
        item.key = sp_slice_of(upstream->name);
        if (any_named)
            resolve_upstream(r, &item, upstream);
    }
}
