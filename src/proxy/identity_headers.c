/* What each upstream is told of a session's client: made when it is first asked for, kept until the view changes. A client
 * has few upstreams, so they hang in a list. What the lines are is the headers room's. */
#include "proxy_impl.h"

#include <errno.h>

struct sp_told {
    struct sp_told *next;
    size_t upstream;
    struct sp_header_lines lines;
};

const struct sp_header_lines *sp_identity_lines_of(struct sp_session *s, size_t upstream, struct sp_err *err)
{
    const struct sp_headers_about about = {.identity = s->who->identity,
        .listener = s->who->listener,
        .sni = s->who->sni,
        .tls = s->who->tls,
        .proxy = SP_NONE};

    for (struct sp_told *t = s->told_upstreams; t != NULL; t = t->next) {
        if (t->upstream == upstream)
            return &t->lines;
    }
    struct sp_told *t = sp_arena_alloc(&s->arena, 1, sizeof(*t));
    if (t == NULL) {
        (void)sp_err_sys(err, ENOMEM, "identity headers");
        return NULL;
    }
    t->upstream = upstream;
    if (sp_headers_make(s->view->snapshot->headers, upstream, &about, &s->arena, &t->lines, err) != SP_OK)
        return NULL;
    t->next = s->told_upstreams;
    s->told_upstreams = t;
    return &t->lines;
}

void sp_identity_lines_forget(struct sp_session *s)
{
    s->told_upstreams = NULL;
    sp_arena_free(&s->arena);
    sp_arena_init(&s->arena, 0);
}
