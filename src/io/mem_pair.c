/* Two transports joined in memory, for tests: no descriptor, no kernel, and the limits (capacity, bytes a call)
 * that make a caller meet every short read and short write. One thread. */
#include "sallyport/base/mem.h"
#include "sallyport/io/transport.h"

struct mem_stream { /* one direction */
    char *bytes;    /* a ring */
    size_t from, len;
    bool ended;       /* the writer has shut down, or is gone */
    bool reader_gone; /* writing fails, as with a reset */
};

struct mem_pair;

struct mem_end {
    struct sp_transport t;
    struct mem_pair *pair;
    struct mem_stream *in, *out;
};

struct mem_pair { /* freed with the second end */
    struct mem_end ends[2];
    struct mem_stream streams[2];
    size_t capacity, chunk;
    int ends_alive;
};

static struct mem_end *end_of(struct sp_transport *t)
{
    return SP_CONTAINER_OF(t, struct mem_end, t);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t call_limit(const struct mem_pair *p)
{
    return p->chunk == 0 ? SIZE_MAX : p->chunk;
}

static enum sp_rc mem_read(struct sp_transport *t, void *buf, size_t room, size_t *n)
{
    SP_ASSERT(room > 0);
    struct mem_end *e = end_of(t);
    struct mem_stream *s = e->in;
    *n = 0;
    if (!t->can_read)
        return SP_AGAIN;
    if (s->len == 0) {
        if (s->ended)
            return SP_EOF;
        t->can_read = false;
        return SP_AGAIN;
    }
    size_t take = least(least(room, s->len), call_limit(e->pair));
    size_t first = least(take, e->pair->capacity - s->from);
    memcpy(buf, s->bytes + s->from, first);
    memcpy((char *)buf + first, s->bytes, take - first);
    s->from = (s->from + take) % e->pair->capacity;
    s->len -= take;
    *n = take;
    return SP_OK;
}

static size_t stream_put(struct mem_pair *p, struct mem_stream *s, const char *bytes, size_t len)
{
    len = least(len, p->capacity - s->len);
    size_t at = (s->from + s->len) % p->capacity;
    size_t first = least(len, p->capacity - at);
    memcpy(s->bytes + at, bytes, first);
    memcpy(s->bytes, bytes + first, len - first);
    s->len += len;
    return len;
}

static enum sp_rc mem_writev(struct sp_transport *t, const struct iovec *iov, int count, size_t *taken)
{
    struct mem_end *e = end_of(t);
    struct mem_stream *s = e->out;
    *taken = 0;
    if (s->reader_gone || s->ended)
        return SP_FAIL;
    if (!t->can_write)
        return SP_AGAIN;
    size_t left = call_limit(e->pair);
    for (int i = 0; i < count && left > 0; i++) {
        size_t want = least(iov[i].iov_len, left);
        size_t put = want > 0 ? stream_put(e->pair, s, iov[i].iov_base, want) : 0;
        *taken += put;
        left -= put;
        if (put < want)
            break;
    }
    if (*taken > 0)
        return SP_OK;
    t->can_write = false;
    return SP_AGAIN;
}

static enum sp_rc mem_flush(struct sp_transport *t)
{
    (void)t;
    return SP_OK;
}

static enum sp_rc mem_shutdown(struct sp_transport *t)
{
    end_of(t)->out->ended = true;
    return SP_OK;
}

static void pair_free(struct mem_pair *p)
{
    sp_free(p->streams[0].bytes);
    sp_free(p->streams[1].bytes);
    sp_free(p);
}

static void mem_free(struct sp_transport *t)
{
    struct mem_end *e = end_of(t);
    e->out->ended = true;
    e->in->reader_gone = true;
    if (--e->pair->ends_alive == 0)
        pair_free(e->pair);
}

static const struct sp_transport_ops mem_ops = {
    .name = "memory",
    .read = mem_read,
    .writev = mem_writev,
    .flush = mem_flush,
    .shutdown = mem_shutdown,
    .free = mem_free,
};

enum sp_rc sp_mem_pair(size_t capacity, size_t chunk, struct sp_transport **a, struct sp_transport **b)
{
    SP_ASSERT(capacity > 0);
    struct mem_pair *p = SP_NEW(struct mem_pair);
    if (p == NULL)
        return SP_FAIL;
    p->capacity = capacity;
    p->chunk = chunk;
    p->ends_alive = 2;
    for (int i = 0; i < 2; i++) {
        struct mem_end *e = &p->ends[i];
        e->t = (struct sp_transport){.ops = &mem_ops, .fd = -1, .can_read = true, .can_write = true};
        e->pair = p;
        e->in = &p->streams[i];
        e->out = &p->streams[1 - i];
        p->streams[i].bytes = sp_alloc(1, capacity);
        if (p->streams[i].bytes == NULL) {
            pair_free(p);
            return SP_FAIL;
        }
    }
    *a = &p->ends[0].t;
    *b = &p->ends[1].t;
    return SP_OK;
}
