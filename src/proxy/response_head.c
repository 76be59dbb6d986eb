/* From the backend's response head to the client's: hop-by-hop fields out, framing as this client can read it. */
#include "proxy_impl.h"

/* A cache must not hand one caller's answer to another when the answer depends on an identity header that it
 * never saw (RFC 9440 §4 asks for Vary: * instead). */
static bool varies_by_identity(const struct sp_headers *headers, struct sp_slice vary)
{
    struct sp_slice name;

    while (sp_field_list_next(&vary, &name)) {
        if (sp_headers_is_ours(headers, name))
            return true;
    }
    return false;
}

static bool is_connection_listed(const struct sp_head *head, struct sp_slice name)
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

static bool is_dropped(const struct sp_head *head, const struct sp_header *h, bool has_connection)
{
    if (h->id == SP_HDR_CONTENT_LENGTH || (sp_header_flags(h->id) & SP_HDR_HOP) != 0)
        return true;
    return has_connection && is_connection_listed(head, h->name);
}

/* The end of the body must be plain to this client: a length stays one; anything else is chunked for HTTP/1.1,
 * and the end of the connection for HTTP/1.0. */
static void choose_framing(struct sp_exchange *x, const struct sp_head *head, struct sp_head_out *out)
{
    out->framing = head->framing;
    out->content_length = head->content_length;
    out->announce_length = head->has_content_length;
    if (head->framing != SP_FRAMING_CHUNKED && head->framing != SP_FRAMING_CLOSE)
        return;
    out->framing = x->head->minor >= 1 ? SP_FRAMING_CHUNKED : SP_FRAMING_CLOSE;
    if (out->framing == SP_FRAMING_CLOSE)
        x->close = true;
}

void sp_response_head_out(struct sp_exchange *x, const struct sp_head *head, struct sp_head_out *out)
{
    struct sp_line *lines = x->session->worker->lines;
    bool has_connection = sp_head_find(head, SP_HDR_CONNECTION) != NULL;
    size_t count = 0;

    for (size_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        if (is_dropped(head, h, has_connection))
            continue;
        struct sp_slice value = h->value;
        if (h->id == SP_HDR_VARY && varies_by_identity(x->view->snapshot->headers, value))
            value = SP_SLICE("*");
        lines[count++] = (struct sp_line){h->name, value};
    }
    if (sp_head_find(head, SP_HDR_DATE) == NULL) /* RFC 9110 §6.6.1 */
        lines[count++] = (struct sp_line){SP_SLICE("Date"), sp_worker_date(x->session->worker)};
    *out = (struct sp_head_out){
        .status = head->status,
        .reason = head->reason,
        .lines = lines,
        .line_count = count,
    };
    choose_framing(x, head, out);
    out->close = x->close;
}
