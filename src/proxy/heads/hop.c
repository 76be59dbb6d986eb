/* What Connection lists. A request that lists more than anybody has reason to is refused (sp_request_check); of an answer all of
 * them are looked for. */
#include "hop.h"

static void add(struct sp_hop *out, struct sp_slice list)
{
    struct sp_slice name;

    while (sp_field_list_next(&list, &name)) {
        out->overflow = out->count == SP_HOP_MAX;
        if (out->overflow)
            return;
        out->names[out->count++] = name;
    }
}

void sp_hop_read(const struct sp_head *head, struct sp_hop *out)
{
    out->head = head;
    out->count = 0;
    out->overflow = false;
    for (size_t i = 0; i < head->header_count && !out->overflow; i++) {
        if (head->headers[i].id == SP_HDR_CONNECTION)
            add(out, head->headers[i].value);
    }
}

static bool is_in_head(const struct sp_head *head, struct sp_slice name)
{
    struct sp_slice token;

    for (size_t i = 0; i < head->header_count; i++) {
        struct sp_slice list = head->headers[i].value;
        if (head->headers[i].id != SP_HDR_CONNECTION)
            continue;
        while (sp_field_list_next(&list, &token)) {
            if (sp_slice_equal_nocase(token, name))
                return true;
        }
    }
    return false;
}

bool sp_hop_lists(const struct sp_hop *hop, struct sp_slice name)
{
    for (size_t i = 0; i < hop->count; i++) {
        if (sp_slice_equal_nocase(hop->names[i], name))
            return true;
    }
    return hop->overflow && is_in_head(hop->head, name);
}
