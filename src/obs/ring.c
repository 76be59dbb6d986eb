/* The byte ring. The producer alone writes head, the consumer alone writes tail; each reads the other's with
 * acquire and so sees the bytes (or the freed room) that stand behind it. */
#include "ring.h"

void sp_ring_init(struct sp_ring *r, char *bytes, size_t size)
{
    SP_ASSERT(size != 0 && (size & (size - 1)) == 0);
    r->bytes = bytes;
    r->size = size;
    r->cursor = 0;
    r->tail_seen = 0;
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
}

bool sp_ring_reserve(struct sp_ring *r, size_t len, size_t spare)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (r->size - (head - r->tail_seen) < len + spare) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (r->size - (head - r->tail_seen) < len + spare)
            return false;
    }
    r->cursor = head;
    return true;
}

void sp_ring_put(struct sp_ring *r, const void *bytes, size_t len)
{
    size_t at = r->cursor & (r->size - 1);
    size_t first = r->size - at < len ? r->size - at : len;
    if (first > 0)
        memcpy(r->bytes + at, bytes, first);
    if (first < len)
        memcpy(r->bytes, (const char *)bytes + first, len - first);
    r->cursor += len;
}

void sp_ring_publish(struct sp_ring *r)
{
    atomic_store_explicit(&r->head, r->cursor, memory_order_seq_cst);
}

bool sp_ring_is_half_full(struct sp_ring *r)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head - r->tail_seen <= r->size / 2)
        return false;
    r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
    return head - r->tail_seen > r->size / 2;
}

size_t sp_ring_head(struct sp_ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_seq_cst);
}

size_t sp_ring_tail(const struct sp_ring *r)
{
    return atomic_load_explicit(&r->tail, memory_order_relaxed);
}

const char *sp_ring_view(const struct sp_ring *r, size_t at, size_t len, char *scratch)
{
    size_t place = at & (r->size - 1);
    size_t first = r->size - place;
    if (first >= len)
        return r->bytes + place;
    memcpy(scratch, r->bytes + place, first);
    memcpy(scratch + first, r->bytes, len - first);
    return scratch;
}

void sp_ring_release(struct sp_ring *r, size_t tail)
{
    atomic_store_explicit(&r->tail, tail, memory_order_release);
}
