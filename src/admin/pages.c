/* What the admin listener answers: a table of paths. */
#include "admin_impl.h"

static unsigned metrics(struct sp_admin *a, struct sp_buf *out)
{
    if (a->o.look_up_meters != NULL)
        a->o.look_up_meters(a->o.arg);
    sp_meters_print(a->o.meters, out);
    if (a->o.print_gauges != NULL)
        a->o.print_gauges(a->o.arg, out);
    return 200;
}

static unsigned healthz(struct sp_admin *a, struct sp_buf *out)
{
    (void)a;
    sp_buf_add_str(out, "ok\n");
    return 200;
}

static unsigned readyz(struct sp_admin *a, struct sp_buf *out)
{
    bool ready = a->o.is_ready(a->o.arg);

    sp_buf_add_str(out, ready ? "ready\n" : "draining\n");
    return ready ? 200 : 503;
}

static unsigned upstreams(struct sp_admin *a, struct sp_buf *out)
{
    if (a->o.print_upstreams != NULL)
        a->o.print_upstreams(a->o.arg, out);
    else
        sp_buf_add_str(out, "{\"upstreams\":[],\"names\":[]}\n");
    return 200;
}

static const struct {
    const char *path;
    unsigned (*page)(struct sp_admin *a, struct sp_buf *out);
    const char *type;
} PAGES[] = {
    {"/metrics", metrics, "text/plain; version=0.0.4; charset=utf-8"},
    {"/healthz", healthz, "text/plain; charset=utf-8"},
    {"/readyz", readyz, "text/plain; charset=utf-8"},
    {"/upstreams", upstreams, "application/json"},
};

unsigned sp_admin_page(
    struct sp_admin *a, const struct sp_head *head, struct sp_buf *out, struct sp_slice *type)
{
    bool reads = head->method == SP_METHOD_GET || head->method == SP_METHOD_HEAD;

    *type = SP_SLICE("text/plain; charset=utf-8");
    if (!reads) {
        sp_buf_add_str(out, "405 Method Not Allowed\n");
        return 405;
    }
    for (size_t i = 0; i < SP_COUNTOF(PAGES); i++) {
        if (!sp_slice_equal(head->path, sp_slice_of(PAGES[i].path)))
            continue;
        *type = sp_slice_of(PAGES[i].type);
        return PAGES[i].page(a, out);
    }
    sp_buf_add_str(out, "404 Not Found\nthere are:");
    for (size_t i = 0; i < SP_COUNTOF(PAGES); i++)
        sp_buf_printf(out, " %s", PAGES[i].path);
    sp_buf_add_char(out, '\n');
    return 404;
}
