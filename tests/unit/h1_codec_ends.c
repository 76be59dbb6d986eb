/* The HTTP/1.1 codec on the client's side, ends and limits on both, and bodies through narrow places. */
#include "h1_rig.h"

/* ---- the client's side ---- */

static void test_a_response_follows_its_interim_heads(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 13};
    for (size_t i = 0; i < SP_COUNTOF(chunks); i++) {
        struct rig *r = rig_new(SP_CLIENT, 4096, chunks[i]);
        const struct sp_head_out head = get("GET");
        respond(r, &head, S(""));
        assert_false(sp_h1_has_received(r->s));
        peer_puts(r, S("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
                       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        assert_int_equal(must_head(r)->status, 100);
        assert_true(sp_h1_has_received(r->s));
        const struct sp_head *hints = must_head(r);
        assert_int_equal(hints->status, 103);
        assert_int_equal(hints->header_count, 1);
        assert_int_equal(must_head(r)->status, 200);
        body_is(r, "ok");
        assert_true(r->s->ops->next(r->s));
        assert_true(sp_h1_is_idle(r->s));
        assert_false(sp_h1_has_received(r->s));
        assert_int_equal(r->pool.taken, 0);
        rig_free(r);
    }
}

static void test_endless_interim_heads_are_a_fault(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    const struct sp_head_out head = get("GET");
    respond(r, &head, S(""));
    for (int i = 0; i < 16; i++) {
        peer_puts(r, S("HTTP/1.1 100 Continue\r\n\r\n"));
        assert_int_equal(must_head(r)->status, 100);
    }
    peer_puts(r, S("HTTP/1.1 100 Continue\r\n\r\n"));
    head_fails(r, SP_REFUSAL_too_many_interim, 502);
    rig_free(r);
}

static void test_answers_to_head_have_no_body(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    const struct sp_head_out head = get("HEAD");
    respond(r, &head, S(""));
    peer_puts(r, S("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"));
    assert_int_equal(must_head(r)->content_length, 20);
    body_is(r, "");
    assert_true(r->s->ops->next(r->s));
    rig_free(r);
}

static void test_a_response_that_nobody_asked_for_makes_the_connection_useless(void **state)
{
    (void)state;
    const struct sp_head_out head = get("GET");
    const struct sp_head *in;
    struct sp_fault fault;
    /* before the first request */
    struct rig *r = rig_new(SP_CLIENT, 4096, 0);
    assert_int_equal(r->s->ops->recv_head(r->s, &in, &fault), SP_AGAIN);
    peer_puts(r, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    head_fails(r, SP_REFUSAL_unasked_response, 502);
    assert_int_equal(r->s->ops->send_head(r->s, &head), SP_FAIL);
    rig_free(r);
    /* behind the response */
    r = rig_new(SP_CLIENT, 4096, 0);
    respond(r, &head, S(""));
    peer_puts(
        r, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    must_head(r);
    body_is(r, "");
    assert_false(r->s->ops->next(r->s));
    rig_free(r);
    /* behind the response, not yet read */
    r = rig_new(SP_CLIENT, 4096, 38);
    respond(r, &head, S(""));
    peer_puts(
        r, S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    r->tap.can_read = true; /* as an edge would say */
    must_head(r);
    body_is(r, "");
    assert_int_equal(r->reads, 1);
    assert_false(r->s->ops->next(r->s));
    rig_free(r);
    /* the peer closed while the connection was idle */
    r = rig_new(SP_CLIENT, 4096, 0);
    assert_int_equal(sp_transport_shutdown(r->peer), SP_OK);
    assert_int_equal(r->s->ops->recv_head(r->s, &in, &fault), SP_EOF);
    rig_free(r);
}

/* ---- ends ---- */

static void test_an_end_inside_a_message_is_told_from_one_between(void **state)
{
    (void)state;
    static const struct {
        enum sp_side side;
        const char *in;
        bool in_body;
        enum sp_rc rc;
        enum sp_refusal reason;
        unsigned status;
    } cases[] = {
        {SP_SERVER, "", false, SP_EOF, SP_REFUSAL_none, 0},
        {SP_SERVER, "GET / HT", false, SP_FAIL, SP_REFUSAL_client_gone, 400},
        {SP_SERVER, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", true, SP_FAIL,
            SP_REFUSAL_client_gone, 400},
        {SP_SERVER, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true,
            SP_FAIL, SP_REFUSAL_client_gone, 400},
        {SP_SERVER, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n", true,
            SP_FAIL, SP_REFUSAL_bad_chunk, 400},
        {SP_CLIENT, "", false, SP_FAIL, SP_REFUSAL_backend_closed, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\n", false, SP_FAIL, SP_REFUSAL_backend_closed, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true, SP_FAIL,
            SP_REFUSAL_backend_closed, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", true, SP_FAIL,
            SP_REFUSAL_backend_closed, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", true, SP_FAIL,
            SP_REFUSAL_bad_response_chunk, 502},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\n\r\nab", true, SP_EOF, SP_REFUSAL_none, 0},
        {SP_CLIENT, "HTTP/1.1 200 OK\r\n\r\n", true, SP_EOF, SP_REFUSAL_none, 0},
        {SP_CLIENT, "HTTP/2.0 200 OK\r\n\r\n", false, SP_FAIL, SP_REFUSAL_bad_status_line, 502},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct rig *r = rig_new(cases[i].side, 4096, 3);
        const struct sp_head_out head = get("GET");
        const struct sp_head *in;
        struct sp_fault fault = {.reason = SP_REFUSAL_none};
        char out[64];
        size_t len = 0;
        if (cases[i].side == SP_CLIENT)
            respond(r, &head, S(""));
        peer_puts(r, sp_slice_of(cases[i].in));
        assert_int_equal(sp_transport_shutdown(r->peer), SP_OK);
        enum sp_rc rc = r->s->ops->recv_head(r->s, &in, &fault);
        if (cases[i].in_body) {
            assert_int_equal(rc, SP_OK);
            rc = read_body(r, out, &len, 0, &fault);
        }
        if (rc != cases[i].rc || fault.reason != cases[i].reason ||
            (rc == SP_FAIL && fault.status != cases[i].status))
            fail_msg("case %zu: rc %d %s", i, rc, sp_refusal_name(fault.reason));
        assert_false(r->s->ops->next(r->s));
        rig_free(r);
    }
}

static void test_a_limit_above_the_block_still_ends(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_SERVER, 65536, 0);
    const struct sp_h1_limits wide = {.header_bytes = 1 << 20, .headers = 100, .target_bytes = 8192};
    static char huge[40000];
    r->s->ops->free(r->s);
    r->s = sp_h1_new(SP_SERVER, &r->tap, &r->pool, &wide);
    memset(huge, 'a', sizeof(huge));
    memcpy(huge, "GET / HTTP/1.1\r\nX: ", 19);
    peer_puts(r, (struct sp_slice){huge, sizeof(huge)});
    head_fails(r, SP_REFUSAL_header_too_large, 431);
    rig_free(r);
}

static void test_without_a_block_the_exchange_alone_fails(void **state)
{
    (void)state;
    struct rig *r = rig_new(SP_SERVER, 4096, 0);
    r->pool.max = 1;
    void *other = sp_pool_take(&r->pool);
    peer_puts(r, S(GET));
    head_fails(r, SP_REFUSAL_overloaded, 503);
    sp_pool_give(&r->pool, other);
    rig_free(r);
}

/* ---- two streams, end to end ---- */

struct pump {
    const char *data;
    size_t len, offered, seen;
    bool ended;
};

static void pump_out(struct sp_stream *s, struct pump *p, size_t view, unsigned *dice)
{
    while (!p->ended) {
        *dice = *dice * 1103515245u + 12345u;
        size_t n = p->len - p->offered, taken = 0;
        if (n > view)
            n = view;
        if (n > 1 && (*dice >> 16) % 3 == 0)
            n = 1 + (*dice >> 8) % n; /* also less than was offered before */
        if (n == 0) {
            assert_int_equal(s->ops->send_end(s, NULL, 0), SP_OK);
            p->ended = true;
            return;
        }
        enum sp_rc rc = s->ops->send_body(s, (struct sp_slice){p->data + p->offered, n}, &taken);
        if (rc == SP_AGAIN)
            return;
        assert_int_equal(rc, SP_OK);
        assert_true(taken > 0 && taken <= n);
        p->offered += taken;
    }
}

static void run_transfer(
    const char *data, size_t len, enum sp_framing framing, size_t capacity, size_t chunk, size_t view)
{
    struct sp_pool pool;
    struct sp_transport *a, *b;
    struct sp_fault fault = {.detail = ""};
    const struct sp_head *head;
    struct pump p = {.data = data, .len = len};
    unsigned dice = (unsigned)(capacity * 31 + chunk * 7 + view);
    struct sp_head_out out = {
        .method = S("POST"), .target = S("/"), .framing = framing, .content_length = len};
    const struct sp_line host = {S("Host"), S("a")};
    out.lines = &host;
    out.line_count = 1;
    sp_pool_init(&pool, SP_IO_BLOCK, 4, 0);
    assert_int_equal(sp_mem_pair(capacity, chunk, &a, &b), SP_OK);
    struct sp_stream *c = sp_h1_new(SP_CLIENT, a, &pool, &limits),
                     *s = sp_h1_new(SP_SERVER, b, &pool, &limits);
    assert_int_equal(c->ops->send_head(c, &out), SP_OK);
    enum sp_rc rc = SP_AGAIN;
    for (bool have_head = false; rc != SP_EOF;) {
        pump_out(c, &p, view, &dice);
        assert_int_not_equal(c->ops->flush(c), SP_FAIL);
        b->can_read = true;
        if (!have_head) {
            rc = s->ops->recv_head(s, &head, &fault);
            have_head = rc == SP_OK;
        }
        struct sp_slice got;
        while (have_head && (rc = s->ops->recv_body(s, &got, &fault)) == SP_OK) {
            assert_true(p.seen + got.len <= len);
            assert_memory_equal(got.ptr, data + p.seen, got.len);
            size_t n = got.len > 3 ? got.len - 1 : got.len;
            s->ops->consume(s, n);
            p.seen += n;
        }
        if (rc == SP_FAIL)
            fail_msg("framing %d capacity %zu chunk %zu view %zu: %s", framing, capacity, chunk, view,
                fault.detail);
        a->can_write = true;
    }
    assert_int_equal(p.seen, len);
    assert_int_equal(c->ops->flush(c), SP_OK);
    c->ops->free(c);
    s->ops->free(s);
    sp_pool_destroy(&pool);
    sp_transport_free(a);
    sp_transport_free(b);
}

static void test_a_large_body_arrives_whole_through_any_narrow_place(void **state)
{
    (void)state;
    static const enum sp_framing framings[] = {SP_FRAMING_LENGTH, SP_FRAMING_CHUNKED};
    static const size_t capacities[] = {100000, 5000, 97}, chunks[] = {0, 1, 4097},
                        views[] = {32768, 4096, 5000, 10};
    size_t len = 150000;
    char *data = malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)((i * 2654435761u) >> 13);
    for (size_t f = 0; f < SP_COUNTOF(framings); f++) {
        for (size_t i = 0; i < SP_COUNTOF(capacities); i++) {
            for (size_t j = 0; j < SP_COUNTOF(chunks); j++) {
                for (size_t k = 0; k < SP_COUNTOF(views); k++)
                    run_transfer(
                        data, chunks[j] == 1 ? 20000 : len, framings[f], capacities[i], chunks[j], views[k]);
            }
        }
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_response_follows_its_interim_heads),
        cmocka_unit_test(test_endless_interim_heads_are_a_fault),
        cmocka_unit_test(test_answers_to_head_have_no_body),
        cmocka_unit_test(test_a_response_that_nobody_asked_for_makes_the_connection_useless),
        cmocka_unit_test(test_an_end_inside_a_message_is_told_from_one_between),
        cmocka_unit_test(test_a_limit_above_the_block_still_ends),
        cmocka_unit_test(test_without_a_block_the_exchange_alone_fails),
        cmocka_unit_test(test_a_large_body_arrives_whole_through_any_narrow_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
