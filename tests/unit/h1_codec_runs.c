/* The HTTP/1.1 codec where much of a body is still to come, and is read into runs: the same bytes as without, not one of what
 * follows them, and every run goes back. */
#include "h1_rig.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* More than one body, and what is behind it. */
#define CAPACITY (5 * MIB)

struct large {
    struct rig *r;
    struct sp_pool runs;
    char *in, *out;
    size_t in_len;
};

static char pattern(size_t i)
{
    return (char)('a' + (i * 2654435761u >> 7) % 23);
}

static void add(struct large *l, const char *bytes, size_t len)
{
    assert_true(l->in_len + len <= CAPACITY);
    memcpy(l->in + l->in_len, bytes, len);
    l->in_len += len;
}

static void add_text(struct large *l, const char *text)
{
    add(l, text, strlen(text));
}

static void add_body(struct large *l, size_t from, size_t len)
{
    assert_true(l->in_len + len <= CAPACITY);
    for (size_t i = 0; i < len; i++)
        l->in[l->in_len++] = pattern(from + i);
}

static void add_chunks(struct large *l, size_t size, size_t chunk)
{
    char line[32];
    for (size_t at = 0; at < size; at += chunk) {
        size_t len = chunk < size - at ? chunk : size - at;
        (void)snprintf(line, sizeof(line), "%zx\r\n", len);
        add_text(l, line);
        add_body(l, at, len);
        add_text(l, "\r\n");
    }
    add_text(l, "0\r\nX-Sum: 1\r\n\r\n");
}

/* runs_max 0: the stream is given none. */
static void set_up(struct large *l, enum sp_side side, size_t cut, size_t runs_max)
{
    *l = (struct large){.r = rig_new(side, CAPACITY, cut), .in = malloc(CAPACITY), .out = malloc(CAPACITY)};
    assert_true(l->in != NULL && l->out != NULL);
    sp_pool_init(&l->runs, SP_IO_RUN, 2, runs_max);
    if (runs_max > 0)
        sp_h1_use_runs(l->r->s, &l->runs);
}

static void tear_down(struct large *l)
{
    rig_free(l->r);
    assert_int_equal(l->runs.taken, 0);
    sp_pool_destroy(&l->runs);
    free(l->in);
    free(l->out);
}

/* The whole of what was added comes from the peer, a part of it at a time. */
static void body_comes_whole(struct large *l, size_t size, size_t part, size_t bite)
{
    size_t at = 0, len = 0;
    struct sp_fault fault = {.detail = ""};
    enum sp_rc rc = SP_AGAIN;
    const struct sp_head *head;
    bool has_head = false;
    do {
        size_t n = part > 0 && part < l->in_len - at ? part : l->in_len - at;
        peer_puts(l->r, (struct sp_slice){l->in + at, n});
        at += n;
        if (!has_head)
            has_head = l->r->s->ops->recv_head(l->r->s, &head, &fault) == SP_OK;
        if (has_head)
            rc = read_body(l->r, l->out, &len, bite, &fault);
    } while (rc == SP_AGAIN && at < l->in_len);
    if (rc != SP_EOF)
        fail_msg("%zu bytes by %zu: %d %s", size, part, rc, fault.detail);
    assert_int_equal(len, size);
    for (size_t i = 0; i < size; i++)
        if (l->out[i] != pattern(i))
            fail_msg("%zu bytes by %zu: another byte at %zu", size, part, i);
    assert_int_equal(l->runs.taken, 0);
    peer_puts(l->r, (struct sp_slice){l->in + at, l->in_len - at});
}

static const size_t SIZES[] = {65535, 65536, 65537, 131071, 131072, 131073, 98305, 3 * MIB};
/* Of reads, and of what has come by one of them. */
static const size_t CUTS[] = {0, 1000, 16384, 70001};

/* Chunked where `chunk` is not 0. */
static void request(struct large *l, size_t size, size_t chunk)
{
    char head[200];
    l->in_len = 0;
    if (chunk > 0) {
        add_text(l, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        add_chunks(l, size, chunk);
    } else {
        (void)snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", size);
        add_text(l, head);
        add_body(l, 0, size);
    }
    add_text(l, GET);
}

static void test_a_large_body_comes_whole_and_the_request_behind_it_too(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, SIZE_MAX, 65536, 100000, 131074};
    static const size_t max[] = {0, 1, 64};
    const struct sp_head_out answer = head_of(200, SP_FRAMING_NONE, 0);
    for (size_t i = 0; i < SP_COUNTOF(SIZES) * SP_COUNTOF(CUTS) * SP_COUNTOF(chunks); i++) {
        size_t size = SIZES[i % SP_COUNTOF(SIZES)], cut = CUTS[i / SP_COUNTOF(SIZES) % SP_COUNTOF(CUTS)];
        size_t chunk = chunks[i / SP_COUNTOF(SIZES) / SP_COUNTOF(CUTS)];
        struct large l;
        set_up(&l, SP_SERVER, cut, max[i % SP_COUNTOF(max)]);
        request(&l, size, chunk < size || chunk == 0 ? chunk : size);
        body_comes_whole(&l, size, i % 2 == 0 ? cut : 0, i % 5 == 0 ? 777 : 0);
        respond(l.r, &answer, S(""));
        assert_true(l.r->s->ops->next(l.r->s));
        assert_true(sp_slice_equal(must_head(l.r)->method_text, S("GET")));
        body_is(l.r, "");
        tear_down(&l);
    }
}

static void test_an_answer_that_ends_with_its_connection_comes_whole(void **state)
{
    (void)state;
    const struct sp_head_out ask = get("GET");
    for (size_t i = 0; i < SP_COUNTOF(SIZES) * SP_COUNTOF(CUTS); i++) {
        size_t size = SIZES[i % SP_COUNTOF(SIZES)];
        struct large l;
        set_up(&l, SP_CLIENT, CUTS[i / SP_COUNTOF(SIZES)], 64);
        respond(l.r, &ask, S(""));
        add_text(&l, "HTTP/1.1 200 OK\r\n\r\n");
        add_body(&l, 0, size);
        peer_puts(l.r, (struct sp_slice){l.in, l.in_len});
        assert_int_equal(sp_transport_shutdown(l.r->peer), SP_OK);
        l.in_len = 0;
        body_comes_whole(&l, size, 0, 0);
        assert_false(l.r->s->ops->next(l.r->s));
        tear_down(&l);
    }
}

/* Three MiB behind a block's worth: 25 reads in place of a hundred. */
static void test_a_large_body_takes_few_reads(void **state)
{
    (void)state;
    struct large l;
    set_up(&l, SP_SERVER, 0, 64);
    request(&l, 3 * MIB, 0);
    body_comes_whole(&l, 3 * MIB, 0, 0);
    assert_in_range(l.r->reads, 24, 27);
    tear_down(&l);
}

static size_t view(struct large *l)
{
    struct sp_slice data = {NULL, 0};
    struct sp_fault fault = {.detail = ""};
    enum sp_rc rc = l->r->s->ops->recv_body(l->r->s, &data, &fault);
    if (rc == SP_FAIL)
        fail_msg("%s", fault.detail);
    return rc == SP_OK ? data.len : 0;
}

static void consume(struct large *l, size_t n)
{
    l->r->s->ops->consume(l->r->s, n);
}

/* Only what is certain to be body: a block serves for the last 64 KiB. And a run is held while it holds something. */
static void test_a_run_is_held_no_longer_than_it_holds_body_data(void **state)
{
    (void)state;
    struct large l;
    set_up(&l, SP_SERVER, 0, 64);
    request(&l, 300000, 0);
    size_t head = l.in_len - 300000 - strlen(GET);
    peer_puts(l.r, (struct sp_slice){l.in, head});
    (void)must_head(l.r);
    assert_int_equal(view(&l), 0); /* nothing has come: none is held */
    assert_int_equal(l.runs.taken, 0);
    peer_puts(l.r, (struct sp_slice){l.in + head, l.in_len - head});
    assert_int_equal(view(&l), SP_IO_RUN);
    assert_int_equal(l.runs.taken, 1);
    consume(&l, 1000);
    assert_int_equal(view(&l), SP_IO_RUN - 1000);
    consume(&l, SP_IO_RUN - 1000);
    assert_int_equal(l.runs.taken, 0);
    assert_int_equal(view(&l), SP_IO_RUN);
    consume(&l, SP_IO_RUN);
    size_t left = 300000 - 2 * SP_IO_RUN, n;
    while ((n = view(&l)) > 0) {
        assert_int_equal(l.runs.taken, 0);
        consume(&l, n);
        left -= n;
    }
    assert_int_equal(left, 0);
    tear_down(&l);
}

static void test_a_run_goes_back_with_its_stream(void **state)
{
    (void)state;
    struct large l;
    set_up(&l, SP_SERVER, 0, 64);
    request(&l, 300000, 0);
    peer_puts(l.r, (struct sp_slice){l.in, l.in_len});
    (void)must_head(l.r);
    consume(&l, view(&l));
    assert_true(view(&l) > SP_IO_BLOCK);
    assert_int_equal(l.runs.taken, 1);
    tear_down(&l);
}

/* Whoever was handed something of his last run twice leaves the last half of them to others. */
static void test_streams_that_lag_leave_half_of_the_runs_to_others(void **state)
{
    (void)state;
    static const struct {
        size_t first;  /* consumed at once of the first run */
        bool waits;    /* what is left is handed out twice */
        size_t others; /* runs that others hold then */
        bool run;      /* what comes next is one */
    } cases[] = {
        {1000, true, 0, true},
        {1000, true, 1, true},
        {1000, true, 2, false},
        {0, true, 2, false},
        {1000, true, 4, false},
        {1000, false, 3, true},
        {SP_IO_RUN, false, 3, true},
        {SP_IO_RUN, false, 4, false},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct large l;
        char *others[4];
        set_up(&l, SP_SERVER, 0, 4);
        request(&l, MIB, 0);
        peer_puts(l.r, (struct sp_slice){l.in, l.in_len});
        (void)must_head(l.r);
        consume(&l, view(&l));
        assert_int_equal(view(&l), SP_IO_RUN);
        if (cases[i].first > 0)
            consume(&l, cases[i].first);
        if (cases[i].waits)
            (void)view(&l);
        if (cases[i].first < SP_IO_RUN)
            consume(&l, view(&l));
        for (size_t k = 0; k < cases[i].others; k++)
            assert_non_null(others[k] = sp_run_take(&l.runs, false));
        size_t next = view(&l);
        if ((next == SP_IO_RUN) != cases[i].run)
            fail_msg("case %zu: a view of %zu bytes", i, next);
        for (size_t k = 0; k < cases[i].others; k++)
            sp_pool_give(&l.runs, others[k]);
        tear_down(&l);
    }
}

/* Behind the first block, behind the first run, in the last 64 KiB. */
static void test_a_body_that_is_cut_off_in_a_run_is_no_whole_one(void **state)
{
    (void)state;
    static const size_t sent[] = {40000, 140000, 299999};
    for (size_t i = 0; i < SP_COUNTOF(sent) * 2; i++) {
        struct large l;
        size_t len = 0;
        struct sp_fault fault = {.detail = ""};
        set_up(&l, SP_SERVER, 0, 64);
        request(&l, 300000, i < SP_COUNTOF(sent) ? 0 : 300000);
        peer_puts(l.r, (struct sp_slice){l.in, sent[i % SP_COUNTOF(sent)]});
        assert_int_equal(sp_transport_shutdown(l.r->peer), SP_OK);
        (void)must_head(l.r);
        assert_int_equal(read_body(l.r, l.out, &len, 0, &fault), SP_FAIL);
        assert_int_equal(fault.reason, SP_REFUSAL_client_gone);
        assert_in_range(len, sent[i % SP_COUNTOF(sent)] - 100, sent[i % SP_COUNTOF(sent)]);
        assert_int_equal(l.runs.taken, 0);
        tear_down(&l);
    }
}

/* The chunk is known to be longer than it says only behind its data. */
static void test_a_chunk_that_is_longer_than_its_size_is_refused_behind_a_run(void **state)
{
    (void)state;
    struct large l;
    size_t len = 0;
    struct sp_fault fault = {.detail = ""};
    set_up(&l, SP_SERVER, 0, 64);
    add_text(&l, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n");
    add_body(&l, 0, 0x40001);
    add_text(&l, "\r\n0\r\n\r\n");
    peer_puts(l.r, (struct sp_slice){l.in, l.in_len});
    (void)must_head(l.r);
    assert_int_equal(read_body(l.r, l.out, &len, 0, &fault), SP_FAIL);
    assert_int_equal(fault.reason, SP_REFUSAL_bad_chunk);
    assert_int_equal(len, 0x40000);
    tear_down(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_body_comes_whole_and_the_request_behind_it_too),
        cmocka_unit_test(test_an_answer_that_ends_with_its_connection_comes_whole),
        cmocka_unit_test(test_a_large_body_takes_few_reads),
        cmocka_unit_test(test_a_run_is_held_no_longer_than_it_holds_body_data),
        cmocka_unit_test(test_a_run_goes_back_with_its_stream),
        cmocka_unit_test(test_streams_that_lag_leave_half_of_the_runs_to_others),
        cmocka_unit_test(test_a_body_that_is_cut_off_in_a_run_is_no_whole_one),
        cmocka_unit_test(test_a_chunk_that_is_longer_than_its_size_is_refused_behind_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
