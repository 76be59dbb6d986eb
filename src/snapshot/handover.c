/* Which worker gets a session: the one with the fewest. Gates race here, and may both choose the same one; that
 * evens out with the next connection, so there is no lock. */
#include "sallyport/snapshot/handover.h"

#include "sallyport/base/mem.h"

struct sp_handover *sp_handover_new(const struct sp_handover *from)
{
    const char *const texts[] = {from->listener, from->peer, from->via, from->sni, from->tls};
    size_t bytes = 0;
    for (size_t i = 0; i < SP_COUNTOF(texts); i++)
        bytes += texts[i] != NULL ? strlen(texts[i]) + 1 : 1;
    struct sp_handover *h = sp_alloc(1, sizeof(*h) + bytes);
    if (h == NULL)
        return NULL;
    *h = *from;
    const char **const places[] = {&h->listener, &h->peer, &h->via, &h->sni, &h->tls};
    char *at = (char *)(h + 1);
    for (size_t i = 0; i < SP_COUNTOF(texts); i++) {
        size_t len = texts[i] != NULL ? strlen(texts[i]) : 0;
        if (len > 0)
            memcpy(at, texts[i], len);
        *places[i] = at;
        at += len + 1; /* the memory is zeroed */
    }
    return h;
}

static void on_mail(struct sp_mail *m)
{
    struct sp_handover *h = SP_CONTAINER_OF(m, struct sp_handover, mail);

    h->desk->receive(h);
}

void sp_handover_post(struct sp_handover *h, struct sp_desk *const *desks, size_t count)
{
    struct sp_desk *best = desks[0];

    for (size_t i = 1; i < count; i++) {
        if (atomic_load_explicit(&desks[i]->sessions, memory_order_relaxed) <
            atomic_load_explicit(&best->sessions, memory_order_relaxed))
            best = desks[i];
    }
    atomic_fetch_add_explicit(&best->sessions, 1, memory_order_relaxed);
    h->desk = best;
    h->mail.fn = on_mail;
    sp_loop_post(best->loop, &h->mail);
}

void sp_handover_free(struct sp_handover *h)
{
    if (h == NULL)
        return;
    sp_transport_free(h->transport);
    sp_identity_free(h->identity);
    sp_free(h);
}

void sp_receipts_sign(struct sp_receipts *r)
{
    if (r != NULL && atomic_fetch_sub_explicit(&r->due, 1, memory_order_acq_rel) == 1)
        sp_loop_post(r->loop, &r->mail);
}
