/* What the sources of this room share. Not a door. */
#ifndef SP_ADMIN_IMPL_H
#define SP_ADMIN_IMPL_H

#include "sallyport/admin/admin.h"
#include "sallyport/http/codec.h"

struct sp_admin {
    struct sp_admin_options o;
    int fd;
    struct sp_watch *watch;
    struct sp_timer *pause;
    struct sp_pool blocks;
    struct sp_h1_limits limits;
    struct sp_list clients;
    unsigned client_count;
};

/* pages.c: an answer to `head`; the body goes to `out`. Returns the status. */
unsigned sp_admin_page(
    struct sp_admin *a, const struct sp_head *head, struct sp_buf *out, struct sp_slice *type);

/* client.c: takes over `fd`, whatever becomes of it. */
void sp_admin_client_start(struct sp_admin *a, int fd);
void sp_admin_client_cut(struct sp_list *link);

#endif
