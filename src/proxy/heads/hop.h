/* Fields that are meant for one connection alone, by way of Connection (RFC 9110 §7.6.1). Private to the room. */
#ifndef SP_PROXY_HOP_H
#define SP_PROXY_HOP_H

#include "sallyport/http/message.h"

#define SP_HOP_MAX 16

/* Borrows the head. */
struct sp_hop {
    const struct sp_head *head;
    struct sp_slice names[SP_HOP_MAX];
    size_t count;
    bool overflow; /* there are more; they are looked for, too, but at length */
};
void sp_hop_read(const struct sp_head *head, struct sp_hop *out);
bool sp_hop_lists(const struct sp_hop *hop, struct sp_slice name);

#endif
