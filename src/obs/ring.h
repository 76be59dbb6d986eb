/* A ring of bytes between two threads: one puts, one takes, neither waits. Positions only grow; a position's
 * place is its remainder by the size, which is a power of two. */
#ifndef SP_OBS_RING_H
#define SP_OBS_RING_H

#include <stdalign.h>
#include <stdatomic.h>

#include "sallyport/base/base.h"

struct sp_ring {
    char *bytes; /* borrowed */
    size_t size;
    /* The producer's line: what it has published, how far it has written since, the last tail it saw. */
    alignas(64) _Atomic size_t head;
    size_t cursor;
    size_t tail_seen;
    /* The consumer's. */
    alignas(64) _Atomic size_t tail;
};

void sp_ring_init(struct sp_ring *r, char *bytes, size_t size);

/* ---- the producer ---- */
/* Begins a record of `len` bytes that leaves at least `spare` free. False when there is no room for it; nothing has
 * happened then. */
SP_MUST_USE bool sp_ring_reserve(struct sp_ring *r, size_t len, size_t spare);
/* The next bytes of the record. In all not more than was reserved. */
void sp_ring_put(struct sp_ring *r, const void *bytes, size_t len);
/* Shows the record to the consumer. Sequentially consistent, so that "publish, then see whether the consumer
 * sleeps" and "say that one sleeps, then look for records" cannot both miss. */
void sp_ring_publish(struct sp_ring *r);
/* True when more than half is taken. */
bool sp_ring_is_half_full(struct sp_ring *r);

/* ---- the consumer ---- */
/* The position behind the last published record. */
size_t sp_ring_head(struct sp_ring *r);
/* The position of the first byte not yet released. */
size_t sp_ring_tail(const struct sp_ring *r);
/* `len` bytes at position `at`: where they lie, or, when they go around the end, copied into `scratch`. */
const char *sp_ring_view(const struct sp_ring *r, size_t at, size_t len, char *scratch);
/* Gives everything before `tail` back to the producer. */
void sp_ring_release(struct sp_ring *r, size_t tail);

#endif
