/* Where a walk (trial.c) sets out from: what a try does not say is put in as a plain client would have it, and what it does
 * say must be something that a client can say. Nothing is judged here. */
#include "trial_walk.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "sallyport/base/clock.h"
#include "sallyport/http/path.h"

/* ---- names ---- */

static bool is_name(struct sp_slice text)
{
    char copy[SP_HOST_MAX];
    struct in_addr v4;

    if (text.len == 0 || text.len >= sizeof(copy) || text.ptr[0] == '[')
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET, copy, &v4) != 1;
}

struct sp_identity *sp_walk_shown_certificate(
    const struct sp_config_host *host, const char *sni, bool *known, struct sp_err *err)
{
    struct sp_identity *best = NULL;
    unsigned rank = 0; /* 3: by name, 2: by wildcard, 1: the first */

    for (size_t i = 0; i < host->certificate_count; i++) {
        struct sp_identity *one = NULL;
        unsigned fits = i == 0;
        if (sp_identity_load(host->certificates[i].chain, &one, err) != SP_OK) {
            sp_identity_free(best);
            return NULL;
        }
        for (size_t n = 0; n < one->dns_names.count && fits < 3; n++) {
            char canonical[SP_HOST_MAX];
            struct sp_slice name = sp_host_canonical(one->dns_names.items[n], canonical);
            if (sp_slice_equal(name, sp_slice_of(sni)))
                fits = 3;
            else if (sp_config_host_matches(name, sp_slice_of(sni)))
                fits = 2;
        }
        struct sp_identity *lesser = fits > rank ? best : one;
        best = fits > rank ? one : best;
        rank = fits > rank ? fits : rank;
        sp_identity_free(lesser);
    }
    *known = rank > 1;
    return best;
}

/* The first name that the listener's own certificate has: who asks for nothing in particular asks for that. */
static const char *usual_host(struct sp_walk *w)
{
    bool known;
    struct sp_err err = {0};
    struct sp_identity *own = sp_walk_shown_certificate(&w->t->listener->hosts[0], "", &known, &err);
    struct sp_slice name = {NULL, 0};

    for (size_t i = 0; own != NULL && name.ptr == NULL && i < own->dns_names.count; i++) {
        if (memchr(own->dns_names.items[i].ptr, '*', own->dns_names.items[i].len) == NULL)
            name = sp_arena_copy(&w->t->arena, own->dns_names.items[i]);
    }
    sp_identity_free(own);
    return name.ptr != NULL ? name.ptr : "localhost";
}

static const char *canonical_name(struct sp_walk *w, const char *text)
{
    char canonical[SP_HOST_MAX];
    struct sp_fault fault;

    if (sp_host_check(sp_slice_of(text), &fault) != SP_OK)
        return "";
    struct sp_slice name = sp_host_canonical(sp_slice_of(text), canonical);
    return is_name(name) ? sp_arena_copy(&w->t->arena, name).ptr : "";
}

static enum sp_rc set_names(struct sp_walk *w)
{
    struct sp_trial *t = w->t;
    const struct sp_try *a = t->asked;

    t->is_tcp = t->listener->mode == SP_MODE_TCP;
    t->host_text = a->host != NULL ? a->host : a->sni != NULL && a->sni[0] != '\0' ? a->sni : usual_host(w);
    t->sni = canonical_name(w, a->sni != NULL ? a->sni : t->host_text);
    if (t->sni == NULL)
        return sp_walk_no_memory(w);
    if (a->sni != NULL && a->sni[0] != '\0' && t->sni[0] == '\0')
        return sp_walk_cannot(w, a->sni, "no name that a client can ask for by SNI");
    t->host = sp_config_host_of(t->listener, sp_slice_of(t->sni));
    return SP_OK;
}

/* ---- source and request ---- */

/* With a port or without one. */
static enum sp_rc set_source(struct sp_walk *w)
{
    const char *text = w->t->asked->source;
    char with_port[SP_ADDR_TEXT + 8];
    struct sp_err err = {0};

    if (text == NULL || sp_addr_parse(sp_slice_of(text), &w->t->source, &err) == SP_OK)
        return SP_OK;
    bool bare_v6 = strchr(text, ':') != NULL && text[0] != '[';
    int len = snprintf(with_port, sizeof(with_port), bare_v6 ? "[%s]:0" : "%s:0", text);
    if (len > 0 && (size_t)len < sizeof(with_port) &&
        sp_addr_parse(sp_slice_of(with_port), &w->t->source, &err) == SP_OK)
        return SP_OK;
    w->t->source = (struct sp_addr){0};
    return sp_walk_cannot(w, text, "not an address such as 10.0.0.9 or 2001:db8::1");
}

/* What would end a line of the request is no part of any. */
static bool fits_a_line(const char *text)
{
    return strpbrk(text, "\r\n") == NULL;
}

static enum sp_rc set_request(struct sp_walk *w)
{
    struct sp_trial *t = w->t;
    const struct sp_try *a = t->asked;
    bool fits = a->upgrade == NULL || fits_a_line(a->upgrade);

    if (t->is_tcp)
        return a->host == NULL && a->method == NULL && a->path == NULL && a->header_count == 0 &&
                       a->upgrade == NULL
                   ? SP_OK
                   : sp_walk_cannot(w, t->listener->name,
                         "is a listener of mode tcp, where there is no host, method, path or header: give sni and "
                         "source alone");
    t->method = a->method != NULL ? a->method : "GET";
    t->path = a->path != NULL ? a->path : "/";
    fits = fits && fits_a_line(t->method) && fits_a_line(t->path) && fits_a_line(t->host_text);
    for (size_t i = 0; i < a->header_count; i++)
        fits = fits && fits_a_line(a->headers[i].name) && fits_a_line(a->headers[i].value);
    return fits ? SP_OK
                : sp_walk_cannot(w, "this request", "a line end inside the request line or a header field");
}

enum sp_rc sp_walk_set_out(struct sp_walk *w)
{
    struct sp_trial *t = w->t;

    w->listener = sp_offline_listener(w->o, t->asked->listener);
    if (w->listener == SP_NONE)
        return sp_walk_cannot(w, t->asked->listener, "there is no listener of that name");
    t->listener = &w->o->config->listeners[w->listener];
    t->now = t->asked->now != INT64_MAX ? t->asked->now : sp_wall_s();
    if (set_names(w) != SP_OK || set_source(w) != SP_OK)
        return SP_FAIL;
    return set_request(w);
}
