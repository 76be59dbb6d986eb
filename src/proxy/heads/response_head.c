/* From the backend's response head to the client's: hop-by-hop fields out, then the edits of the rule, then our own words;
 * framing as this client can read it.
 *
 * A backend that says no X-Request-Id has it said by us: it is how a user's complaint finds our log. */
#include "hop.h"
#include "proxy/proxy_impl.h"

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

/* What of it goes on. Returns how many lines. */
static size_t put_theirs(const struct sp_exchange *x, const struct sp_head *head, struct sp_line *lines)
{
    struct sp_hop hop;
    size_t count = 0;

    sp_hop_read(head, &hop);
    for (size_t i = 0; i < head->header_count; i++) {
        const struct sp_header *h = &head->headers[i];
        if (h->id == SP_HDR_CONTENT_LENGTH || (sp_header_flags(h->id) & SP_HDR_HOP) != 0 ||
            sp_hop_lists(&hop, h->name))
            continue;
        struct sp_slice value = h->value;
        if (h->id == SP_HDR_VARY && varies_by_identity(x->view->snapshot->headers, value))
            value = SP_SLICE("*");
        lines[count++] = (struct sp_line){h->name, value};
    }
    return count;
}

static const struct sp_config_edits *edits_of(const struct sp_exchange *x)
{
    return x->view->snapshot->config->rules[x->decision.rule].response_headers;
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
    struct sp_worker *w = x->session->worker;
    struct sp_line *lines = w->room.lines;
    const struct sp_config_upstream *upstream = &x->view->snapshot->config->upstreams[x->decision.upstream];
    size_t count = put_theirs(x, head, lines);

    sp_edits_apply(edits_of(x), lines, &count);
    if (sp_head_find(head, SP_HDR_DATE) == NULL) /* RFC 9110 §6.6.1 */
        lines[count++] = (struct sp_line){SP_SLICE("Date"), sp_worker_date(w)};
    if (sp_head_find(head, SP_HDR_X_REQUEST_ID) == NULL)
        lines[count++] = (struct sp_line){SP_SLICE("X-Request-Id"), sp_slice_of(x->id)};
    if (upstream->forwarding_headers & SP_FORWARDING_VIA)
        lines[count++] = (struct sp_line){SP_SLICE("Via"), sp_via_element(head->minor)};
    *out = (struct sp_head_out){
        .status = head->status,
        .reason = head->reason,
        .lines = lines,
        .line_count = count,
    };
    choose_framing(x, head, out);
    if (head->status == 101)
        out->upgrade = head->upgrade;
    out->close = x->close;
}

void sp_interim_head_out(struct sp_exchange *x, const struct sp_head *head, struct sp_head_out *out)
{
    struct sp_line *lines = x->session->worker->room.lines;
    size_t count = put_theirs(x, head, lines);

    sp_edits_strip(edits_of(x), lines, &count);
    *out = (struct sp_head_out){
        .status = head->status,
        .reason = head->reason,
        .lines = lines,
        .line_count = count,
    };
}
