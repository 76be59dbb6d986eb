/* The end of a body on its way: with the trailers that it came with, where the upstream's `trailers` says so; else they were read
 * and are dropped here. The codec has taken out those that a message must not have there, and writes what is left only
 * behind a chunked body.
 *
 * Nothing was judged by a trailer, so none may carry what judging is about: of a request go no names of identities, of the
 * operator's own, or that any rule looks at; both ways none that Connection names, or that the rule's edits say. */
#include "hop.h"
#include "proxy/proxy_impl.h"

static bool is_in(const struct sp_config_header *headers, size_t count, struct sp_slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (sp_header_names_are_alike(sp_slice_of(headers[i].name), name))
            return true;
    }
    return false;
}

static bool is_edited(const struct sp_config_edits *edits, struct sp_slice name)
{
    if (edits == NULL)
        return false;
    for (size_t i = 0; i < edits->remove.count; i++) {
        if (sp_header_names_are_alike(sp_slice_of(edits->remove.items[i]), name))
            return true;
    }
    return is_in(edits->set, edits->set_count, name) || is_in(edits->add, edits->add_count, name);
}

/* In a head such a name is refused: some backends take it for another. */
static bool is_odd(struct sp_slice name)
{
    return memchr(name.ptr, '_', name.len) != NULL || memchr(name.ptr, '.', name.len) != NULL;
}

static bool may_go_up(const struct sp_exchange *x, const struct sp_hop *hop, struct sp_slice name)
{
    const struct sp_snapshot *snapshot = x->view->snapshot;

    return !is_odd(name) && !sp_headers_is_ours(snapshot->headers, name) &&
           !sp_policy_looks_at(snapshot->policy, name) && !sp_hop_lists(hop, name) &&
           !is_edited(snapshot->config->rules[x->decision.rule].request_headers, name);
}

static bool may_go_down(const struct sp_exchange *x, const struct sp_hop *hop, struct sp_slice name)
{
    return !sp_hop_lists(hop, name) &&
           !is_edited(x->view->snapshot->config->rules[x->decision.rule].response_headers, name);
}

static bool are_passed(const struct sp_exchange *x)
{
    return x->view->snapshot->config->upstreams[x->decision.upstream].pass_trailers;
}

/* `head` is the one that the trailers of `from` belong to. */
static enum sp_rc send_end(struct sp_exchange *x, const struct sp_head *head, struct sp_stream *from,
    struct sp_stream *to,
    bool (*may_go)(const struct sp_exchange *x, const struct sp_hop *hop, struct sp_slice name))
{
    struct sp_line lines[SP_TRAILERS_MAX];
    const struct sp_header *items;
    struct sp_hop hop;
    size_t count = from->ops->trailers(from, &items), kept = 0;

    if (count > 0)
        sp_hop_read(head, &hop);
    for (size_t i = 0; i < count; i++) {
        if (may_go(x, &hop, items[i].name))
            lines[kept++] = (struct sp_line){items[i].name, items[i].value};
    }
    return to->ops->send_end(to, lines, kept);
}

enum sp_rc sp_send_request_end(struct sp_exchange *x)
{
    struct sp_stream *up = x->up->stream;

    if (!are_passed(x))
        return up->ops->send_end(up, NULL, 0);
    return send_end(x, x->head, x->session->stream, up, may_go_up);
}

enum sp_rc sp_send_response_end(struct sp_exchange *x)
{
    struct sp_stream *down = x->session->stream;

    if (!x->head->te_trailers || !are_passed(x))
        return down->ops->send_end(down, NULL, 0);
    return send_end(x, x->response_head, x->up->stream, down, may_go_down);
}
