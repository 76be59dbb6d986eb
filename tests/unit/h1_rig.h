/* The HTTP/1.1 codec over an in-memory transport that cuts reads and writes as small as a test likes, behind a
 * tap that counts them. The other end of the pair is the test's own. */
#ifndef H1_RIG_H
#define H1_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sallyport/http/codec.h"

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define S(x) SP_SLICE(x)

static const struct sp_h1_limits limits = {.header_bytes = 16384, .headers = 100, .target_bytes = 8192};

/* Our end, behind a tap that counts calls. */
struct rig {
    struct sp_pool pool;
    struct sp_transport tap;
    struct sp_transport *inner, *peer;
    struct sp_stream *s;
    unsigned reads, writes;
    char got[1 << 16];
    size_t got_len;
};

static inline struct rig *rig_of(struct sp_transport *t)
{
    return SP_CONTAINER_OF(t, struct rig, tap);
}

static inline enum sp_rc tap_read(struct sp_transport *t, void *buf, size_t room, size_t *n)
{
    rig_of(t)->reads++;
    return sp_transport_read(rig_of(t)->inner, buf, room, n);
}

static inline enum sp_rc tap_writev(struct sp_transport *t, const struct iovec *iov, int count, size_t *taken)
{
    rig_of(t)->writes++;
    return sp_transport_writev(rig_of(t)->inner, iov, count, taken);
}

static inline enum sp_rc tap_flush(struct sp_transport *t)
{
    return sp_transport_flush(rig_of(t)->inner);
}

static const struct sp_transport_ops tap_ops = {
    .name = "tap", .read = tap_read, .writev = tap_writev, .flush = tap_flush};

static inline struct rig *rig_new(enum sp_side side, size_t capacity, size_t chunk)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    sp_pool_init(&r->pool, SP_IO_BLOCK, 4, 0);
    assert_int_equal(sp_mem_pair(capacity, chunk, &r->inner, &r->peer), SP_OK);
    r->tap.ops = &tap_ops;
    r->s = sp_h1_new(side, &r->tap, &r->pool, &limits);
    assert_non_null(r->s);
    return r;
}

static inline void rig_free(struct rig *r)
{
    r->s->ops->free(r->s);
    assert_int_equal(r->pool.taken, 0);
    sp_pool_destroy(&r->pool);
    sp_transport_free(r->inner);
    sp_transport_free(r->peer);
    free(r);
}

/* The peer sends; everything fits the pair's capacity. */
static inline void peer_puts(struct rig *r, struct sp_slice bytes)
{
    while (bytes.len > 0) {
        struct iovec iov = {(void *)(uintptr_t)bytes.ptr, bytes.len};
        size_t taken;
        assert_int_equal(sp_transport_writev(r->peer, &iov, 1, &taken), SP_OK);
        bytes = sp_slice_sub(bytes, taken, bytes.len);
    }
    r->inner->can_read = true;
}

/* All that the peer can read now, added to r->got. True if there was some. */
static inline bool peer_reads(struct rig *r)
{
    size_t n = 0, before = r->got_len;
    r->peer->can_read = true;
    while (r->got_len < sizeof(r->got) &&
           sp_transport_read(r->peer, r->got + r->got_len, sizeof(r->got) - r->got_len, &n) == SP_OK)
        r->got_len += n;
    r->inner->can_write = true;
    return r->got_len > before;
}

static inline void peer_got(struct rig *r, const char *want)
{
    peer_reads(r);
    if (r->got_len != strlen(want) || memcmp(r->got, want, r->got_len) != 0)
        fail_msg("sent [%.*s]\ninstead of [%s]", (int)r->got_len, r->got, want);
    r->got_len = 0;
}

static inline const struct sp_head *must_head(struct rig *r)
{
    const struct sp_head *head = NULL;
    struct sp_fault fault = {.detail = ""};
    enum sp_rc rc = r->s->ops->recv_head(r->s, &head, &fault);
    if (rc != SP_OK)
        fail_msg("recv_head: %d %s", rc, fault.detail);
    return head;
}

static inline void head_fails(struct rig *r, enum sp_refusal reason, unsigned status)
{
    const struct sp_head *head = NULL;
    struct sp_fault fault = {.detail = ""};
    assert_int_equal(r->s->ops->recv_head(r->s, &head, &fault), SP_FAIL);
    assert_string_equal(sp_refusal_name(fault.reason), sp_refusal_name(reason));
    assert_int_equal(fault.status, status);
}

/* Reads the body as far as it goes, in views of which at most `bite` bytes are consumed at a time. */
static inline enum sp_rc read_body(struct rig *r, char *out, size_t *len, size_t bite, struct sp_fault *fault)
{
    struct sp_slice data;
    enum sp_rc rc;
    while ((rc = r->s->ops->recv_body(r->s, &data, fault)) == SP_OK) {
        assert_true(data.len > 0);
        size_t n = bite > 0 && bite < data.len ? bite : data.len;
        memcpy(out + *len, data.ptr, n);
        *len += n;
        r->s->ops->consume(r->s, n);
    }
    return rc;
}

static inline void body_is(struct rig *r, const char *want)
{
    char out[4096];
    size_t len = 0;
    struct sp_fault fault;
    assert_int_equal(read_body(r, out, &len, 0, &fault), SP_EOF);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(out, want, len);
}

static inline void respond(struct rig *r, const struct sp_head_out *head, struct sp_slice body)
{
    size_t taken = 0;
    assert_int_equal(r->s->ops->send_head(r->s, head), SP_OK);
    if (body.len > 0) {
        assert_int_equal(r->s->ops->send_body(r->s, body, &taken), SP_OK);
        assert_int_equal(taken, body.len);
    }
    assert_int_equal(r->s->ops->send_end(r->s, NULL, 0), SP_OK);
    assert_int_equal(r->s->ops->flush(r->s), SP_OK);
}

static inline struct sp_head_out head_of(unsigned status, enum sp_framing framing, uint64_t length)
{
    return (struct sp_head_out){.status = status,
        .reason = sp_slice_of(sp_status_phrase(status)),
        .framing = framing,
        .content_length = length};
}

static inline struct sp_head_out get(const char *method)
{
    return (struct sp_head_out){.method = sp_slice_of(method), .target = S("/x")};
}

#endif
