/* What no single row can say of upstreams and their sections: endpoints that are there twice, keys that need each other, and
 * what endpoints have from their upstream. Each is the check of one section and looks at nothing else. Elsewhere: as in
 * check.c. */
#include <limits.h>

#include "config/table.h"
#include "sallyport/base/text.h"

#define AS_UPSTREAM                                                                                          \
    UINT_MAX /* max_connections of an endpoint that does not say, until its upstream is read */

/* ---- endpoints ---- */

void sp_check_endpoint(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    struct sp_config_endpoint *endpoint = base;

    (void)r;
    (void)where;
    if (sp_node_find(node, "max_connections") == NULL)
        endpoint->max_connections = AS_UPSTREAM;
}

static bool is_same(const struct sp_config_endpoint *a, const struct sp_config_endpoint *b)
{
    if (a->host != NULL && b->host != NULL)
        return a->port == b->port && a->is_srv == b->is_srv && strcmp(a->host, b->host) == 0;
    return a->address.len != 0 && b->address.len != 0 && sp_addr_equal(&a->address, &b->address);
}

static void check_endpoints(
    struct sp_reader *r, const struct sp_where *where, const struct sp_config_upstream *u)
{
    struct sp_where list = {.up = where, .key = SP_SLICE("endpoints")}, item = {.up = &list};
    bool any = u->endpoint_count == 0;

    for (; item.index < u->endpoint_count && r->diags->errors < SP_DIAGS_KEPT; item.index++) {
        const struct sp_config_endpoint *e = &u->endpoints[item.index];
        any = any || e->weight > 0 || e->text == NULL;
        for (size_t i = 0; i < item.index; i++) {
            if (!is_same(&u->endpoints[i], e))
                continue;
            sp_report(r, SP_DIAG_ERROR, &item, e->at, "%s is given twice; first on line %u", e->text,
                u->endpoints[i].at.line);
            break;
        }
    }
    if (!any && r->diags->errors < SP_DIAGS_KEPT)
        sp_report(r, SP_DIAG_WARNING, &list, u->endpoints[0].at,
            "every endpoint has weight 0: nothing can be sent to this upstream");
}

/* The array was made in this configuration's arena; the cast takes back the const that others see. */
static bool inherit(const struct sp_config_upstream *u)
{
    struct sp_config_endpoint *endpoints = (struct sp_config_endpoint *)u->endpoints;
    bool limited = false;

    for (size_t i = 0; i < u->endpoint_count; i++) {
        if (endpoints[i].max_connections == AS_UPSTREAM)
            endpoints[i].max_connections = u->max_connections;
        limited = limited || endpoints[i].max_connections != 0;
    }
    return limited;
}

/* ---- upstreams ---- */

void sp_check_upstream(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_upstream *u = base;

    check_endpoints(r, where, u);
    if (!inherit(u) && sp_node_find(node, "queue") != NULL &&
        (sp_node_find(node, "max_connections") == NULL || sp_says(node, "max_connections", "unlimited")))
        sp_report_key(
            r, SP_DIAG_WARNING, node, where, "queue", "nobody ever waits: no endpoint has max_connections");
    if (u->xfcc_details != 0 && (u->identity_headers & SP_IDENTITY_XFCC) == 0)
        sp_report_key(r, SP_DIAG_ERROR, node, where, "xfcc_details",
            "identity_headers does not name xfcc; leave one out or add the other");
    bool turns = sp_node_find(node, "balance") == NULL || sp_says(node, "balance", "round_robin") ||
                 sp_says(node, "balance", "least_requests");
    if (turns && sp_node_find(node, "hash_by") != NULL)
        sp_report_key(r, SP_DIAG_ERROR, node, where, "hash_by",
            "only balance: hash looks at it; leave it out or say that");
    if (u->proxy_client_cert && u->proxy_protocol != SP_PROXY_V2)
        sp_report_key(r, SP_DIAG_ERROR, node, where, "proxy_protocol_client_cert",
            "only a header of version 2 can hold a certificate; say proxy_protocol: v2");
}

void sp_check_health(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    static const char *const of_http[] = {"host", "status"};

    (void)base;
    for (size_t i = 0; i < SP_COUNTOF(of_http); i++) {
        if (sp_node_find(node, "path") == NULL && sp_node_find(node, of_http[i]) != NULL)
            sp_report_key(r, SP_DIAG_ERROR, node, where, of_http[i],
                "without path nothing is asked for, and connecting is enough; give path, or leave it out");
    }
}

void sp_check_ejection(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    const struct sp_config_ejection *ejection = base;

    if (ejection->base_ms > ejection->max_ms && ejection->max_ms != 0)
        sp_report_key(r, SP_DIAG_ERROR, node, where, sp_node_find(node, "base") != NULL ? "base" : "max",
            "the first time would be longer than the longest; expected base to be at most max");
}

/* ---- TLS ---- */

void sp_check_upstream_tls(
    struct sp_reader *r, const struct sp_node *node, const struct sp_where *where, void *base)
{
    struct sp_config_upstream_tls *tls = base;

    tls->trust.at = tls->at;
    if (sp_says(node, "verify", "false"))
        sp_report_key(r, SP_DIAG_WARNING, node, where, "verify",
            "whoever answers at the endpoint's address is believed, and is told who the clients are");
    else if (sp_node_find(node, "ca") == NULL)
        sp_report_key(r, SP_DIAG_ERROR, node, where, "ca",
            "required key is missing; expected a list of paths (the system's own authorities are never used)");
    if (sp_node_find(node, "crl") != NULL)
        return;
    if (sp_node_find(node, "crl_missing") == NULL)
        tls->trust.crl_missing = SP_CRL_MISSING_ACCEPT;
    else if (sp_says(node, "crl_missing", "reject"))
        sp_report_key(r, SP_DIAG_ERROR, node, where, "crl_missing",
            "no revocation list is given, and \"reject\" would refuse every backend; give crl, or leave it out");
}
