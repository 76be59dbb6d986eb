/* From the backend's response head to the client's: hop-by-hop fields out, framing as this client can read it. */
#include "proxy_impl.h"

/* A cache must not hand one caller's answer to another when the answer depends on an identity header that it never saw
 * (RFC 9440 §4 asks for Vary: * instead). */
static bool varies_by_identity(struct sp_slice vary)
{
    while (vary.len > 0) {
        const char *comma = memchr(vary.ptr, ',', vary.len);
        size_t end = comma != NULL ? (size_t)(comma - vary.ptr) : vary.len;
        struct sp_slice name = sp_slice_sub(vary, 0, end);
        while (name.len > 0 && (name.ptr[0] == ' ' || name.ptr[0] == '\t'))
            name = sp_slice_sub(name, 1, name.len);
        while (name.len > 0 && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t'))
            name.len--;
        if (sp_name_is_protected(name))
            return true;
        vary = sp_slice_sub(vary, comma != NULL ? end + 1 : end, vary.len);
    }
    return false;
}

static bool is_connection_listed(const struct sp_head *head, struct sp_slice name)
{
    for (size_t i = 0; i < head->header_count; i++) {
        struct sp_slice list = head->headers[i].value;
        if (head->headers[i].id != SP_HDR_CONNECTION)
            continue;
        for (size_t at = 0; at + name.len <= list.len; at++) {
            bool starts = at == 0 || list.ptr[at - 1] == ',' || list.ptr[at - 1] == ' ' || list.ptr[at - 1] == '\t';
            size_t end = at + name.len;
            bool ends = end == list.len || list.ptr[end] == ',' || list.ptr[end] == ' ' || list.ptr[end] == '\t';
            if (starts && ends && sp_slice_equal_nocase(sp_slice_sub(list, at, end), name))
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

/* The end of the body must be plain to this client: a length stays one; anything else is chunked for HTTP/1.1, and the end of the
 * connection for HTTP/1.0. */
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
        if (h->id == SP_HDR_VARY && varies_by_identity(value))
            value = SP_SLICE("*");
        lines[count++] = (struct sp_line){h->name, value};
    }
    *out = (struct sp_head_out){
        .status = head->status,
        .reason = head->reason,
        .lines = lines,
        .line_count = count,
    };
    choose_framing(x, head, out);
    out->close = x->close;
}
