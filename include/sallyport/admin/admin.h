/* The admin listener: metrics and health, in plain HTTP/1.1 through the same codec as the traffic, on the main
 * thread's loop. It is for loopback or a unix socket only; the configuration sees to that. */
#ifndef SP_ADMIN_ADMIN_H
#define SP_ADMIN_ADMIN_H

#include "sallyport/base/base.h"
#include "sallyport/base/mem.h"
#include "sallyport/io/loop.h"
#include "sallyport/obs/meter.h"

struct sp_admin;

struct sp_admin_options {
    struct sp_loop *loop;
    struct sp_meters *meters;    /* borrowed */
    bool (*is_ready)(void *arg); /* for /readyz: serving, and not draining */
    /* Sets those of `meters` that are counted elsewhere, before they are printed; NULL: there are none. */
    void (*look_up_meters)(void *arg);
    /* Appends the families of /metrics that are not in `meters`, in the same format; NULL: there are none. */
    void (*print_gauges)(void *arg, struct sp_buf *out);
    /* Appends the JSON of /upstreams; NULL: there is none. */
    void (*print_upstreams)(void *arg, struct sp_buf *out);
    void *arg;
};

/* Takes over the listening `fd`. NULL without memory: fd is the caller's. */
SP_MUST_USE struct sp_admin *sp_admin_new(const struct sp_admin_options *options, int fd);
void sp_admin_free(struct sp_admin *a); /* takes NULL; cuts its connections */

#endif
