/* The proven identity as header lines, made once a session: the values are the identity's own bytes wherever
 * the format allows.
 *
 * plain    X-Client-*; an absent value has no line
 * rfc9440  Client-Cert and Client-Cert-Chain (RFC 9440 §2): a structured-field byte sequence each, the chain a list of them, in TLS
 *          order, without the trust anchor, and only when there is one
 *
 * Identity bytes are printable ASCII by the time they are an sp_identity; the codec refuses anything else once
 * more. */
#include "proxy_impl.h"
#include "sallyport/base/clock.h"

/* Appends to a run of lines with room for all of them. */
struct writer {
    struct sp_arena *arena;
    struct sp_line *lines;
    size_t count;
    bool failed;
};

static void put(struct writer *w, struct sp_slice name, struct sp_slice value)
{
    if (value.len > 0)
        w->lines[w->count++] = (struct sp_line){name, value};
}

static void put_text(struct writer *w, struct sp_slice name, const char *text)
{
    struct sp_slice copy = sp_arena_copy(w->arena, sp_slice_of(text));

    w->failed = w->failed || copy.ptr == NULL;
    put(w, name, copy);
}

static void put_each(struct writer *w, struct sp_slice name, const struct sp_slices *values)
{
    for (size_t i = 0; i < values->count; i++)
        put(w, name, values->items[i]);
}

static void put_plain(struct writer *w, const struct sp_identity *id)
{
    char time[SP_RFC3339_MAX];

    put(w, SP_SLICE("X-Client-Verify"), id != NULL ? SP_SLICE("SUCCESS") : SP_SLICE("NONE"));
    if (id == NULL)
        return;
    put(w, SP_SLICE("X-Client-Subject"), id->subject);
    put(w, SP_SLICE("X-Client-Issuer"), id->issuer);
    put(w, SP_SLICE("X-Client-Serial"), id->serial_hex);
    put_each(w, SP_SLICE("X-Client-SAN-URI"), &id->uris);
    put_each(w, SP_SLICE("X-Client-SAN-DNS"), &id->dns_names);
    put_each(w, SP_SLICE("X-Client-SAN-Email"), &id->emails);
    put(w, SP_SLICE("X-Client-Cert-SHA256"), id->sha256_hex);
    put_text(w, SP_SLICE("X-Client-Not-After"), sp_time_rfc3339(id->not_after * 1000000, false, time));
    put(w, SP_SLICE("X-Client-Cert-Thumbprint"), id->sha256_b64url);
}

static void put_rfc9440(struct writer *w, const struct sp_identity *id)
{
    if (id == NULL)
        return;
    put(w, SP_SLICE("Client-Cert"), id->client_cert);
    put(w, SP_SLICE("Client-Cert-Chain"), id->client_cert_chain);
}

static size_t lines_at_most(const struct sp_identity *id)
{
    return 16 + (id != NULL ? id->uris.count + id->dns_names.count + id->emails.count : 0);
}

const struct sp_identity_lines *sp_identity_lines_of(struct sp_session *s, unsigned families)
{
    struct sp_identity_lines *made = &s->identity_lines[families % SP_IDENTITY_MASKS];
    const struct sp_identity *id = s->who->identity;

    if (made->lines != NULL)
        return made;
    struct writer w = {
        .arena = &s->arena, .lines = sp_arena_alloc(&s->arena, lines_at_most(id), sizeof(struct sp_line))};
    if (w.lines == NULL)
        return NULL;
    if (families & SP_IDENTITY_PLAIN)
        put_plain(&w, id);
    if (families & SP_IDENTITY_RFC9440)
        put_rfc9440(&w, id);
    if (w.failed)
        return NULL;
    *made = (struct sp_identity_lines){w.lines, w.count};
    return made;
}
