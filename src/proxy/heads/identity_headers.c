/* What each upstream is told of a session's client: made when it is first asked for, kept until the view changes. A client
 * has few upstreams, so they hang in a list. What the lines are is the headers room's. That there are none to be had is
 * kept likewise: it is the certificate's fault, and asking again would only cost. */
#include <errno.h>
#include <stdalign.h>

#include "proxy/proxy_impl.h"
#include "sallyport/tls/server.h"

struct sp_told {
    struct sp_told *next;
    size_t upstream;
    struct sp_header_lines lines;
    const char *refused; /* why there are none, or NULL */
    int refused_sys;
};

size_t sp_proxy_of(const struct sp_session *s)
{
    return s->standing != NULL ? sp_standing_proxy(s->standing) : SP_NONE;
}

static struct sp_told *find(const struct sp_session *s, size_t upstream)
{
    struct sp_told *t = s->told_upstreams;

    while (t != NULL && t->upstream != upstream)
        t = t->next;
    return t;
}

static enum sp_rc put(struct sp_session *s, size_t upstream, struct sp_arena *arena,
    struct sp_header_lines *out, struct sp_err *err)
{
    const struct sp_snapshot *snapshot = s->view->snapshot;
    struct sp_headers_about about = {.identity = s->who->identity,
        .listener = s->who->listener,
        .sni = s->who->sni,
        .tls = s->who->tls,
        .proxy = sp_proxy_of(s)};

    if ((snapshot->config->upstreams[upstream].identity_headers & SP_IDENTITY_XFCC) != 0)
        about.own_uri = sp_tls_own_uri(s->who->transport);
    return sp_headers_make(snapshot->headers, upstream, &about, arena, out, err);
}

/* Most clients have one upstream, and an idle connection is to hold what it needs and no more: so the lines are made twice, and
 * the first time only to see how large they are. */
static bool reserve(struct sp_session *s, size_t upstream)
{
    struct sp_arena trial;
    struct sp_header_lines lines;
    struct sp_err err;

    sp_identity_lines_forget(s); /* what a failure has left */
    sp_arena_init(&trial, 0);
    (void)put(s, upstream, &trial, &lines, &err);
    size_t bytes = trial.used;
    sp_arena_free(&trial);
    return sp_arena_reserve(&s->arena, bytes + sizeof(struct sp_told) + 2 * alignof(max_align_t));
}

static enum sp_rc make(struct sp_session *s, struct sp_told *t, struct sp_err *err)
{
    if (put(s, t->upstream, &s->arena, &t->lines, err) == SP_OK)
        return SP_OK;
    t->refused = err->sys != ENOMEM ? sp_arena_copy(&s->arena, sp_slice_of(err->text)).ptr : NULL;
    t->refused_sys = err->sys;
    return t->refused != NULL ? SP_OK : SP_FAIL;
}

const struct sp_header_lines *sp_identity_lines_of(struct sp_session *s, size_t upstream, struct sp_err *err)
{
    struct sp_told *t = find(s, upstream);

    if (t == NULL) {
        if (s->told_upstreams != NULL || reserve(s, upstream))
            t = sp_arena_alloc(&s->arena, 1, sizeof(*t));
        if (t == NULL) {
            (void)sp_err_sys(err, ENOMEM, "identity headers");
            return NULL;
        }
        t->upstream = upstream;
        if (make(s, t, err) != SP_OK)
            return NULL;
        t->next = s->told_upstreams;
        s->told_upstreams = t;
    }
    if (t->refused == NULL)
        return &t->lines;
    (void)sp_err_set(err, "%s", t->refused);
    err->sys = t->refused_sys;
    return NULL;
}

void sp_identity_lines_forget(struct sp_session *s)
{
    s->told_upstreams = NULL;
    sp_arena_free(&s->arena);
    sp_arena_init(&s->arena, 0);
}
