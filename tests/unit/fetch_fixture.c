/* What the server says, and the jobs that are sent to it. */
#include "fetch_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TURN_MS 60000

#define TIMES_16(s) s s s s s s s s s s s s s s s s
#define FIELD_64    "X-Field: 01234567890123456789012345678901234567890123456789012\r\n"
#define FIELDS_16K  TIMES_16(TIMES_16(FIELD_64))
#define HELLO       "Content-Length: 5\r\n\r\nhello"
/* clang-format off */
static const struct script scripts[] = {
    {"/ok", "HTTP/1.1 200 OK\r\n" HELLO, 0, END_HOLDS},
    {"/closed", "HTTP/1.1 200 OK\r\n\r\nhello", 0, END_CLOSES},
    {"/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 0, END_HOLDS},
    {"/empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},
    {"/large", "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n", 3000000, END_HOLDS},
    {"/missing", "HTTP/1.1 404 Not Found\r\n" HELLO, 0, END_HOLDS},
    {"/broken", "HTTP/1.1 503 Busy\r\n" HELLO, 0, END_HOLDS},
    {"/same", "HTTP/1.1 304 Not Modified\r\nETag: \"other\"\r\n\r\n", 0, END_HOLDS},
    {"/continued", "HTTP/1.1 103 Hints\r\nETag: \"early\"\r\n\r\nHTTP/1.1 200 OK\r\n" HELLO, 0, END_HOLDS},

    {"/moved", "HTTP/1.1 302 Found\r\nETag: \"moved\"\r\nLocation: /ok\r\nContent-Length: 4\r\n\r\ngone", 0, END_HOLDS},
    {"/moved-301", "HTTP/1.1 301 Moved\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},
    {"/moved-303", "HTTP/1.1 303 See\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},
    {"/moved-307", "HTTP/1.1 307 Temporary\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},
    {"/loop", "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},
    {"/to-file", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},
    {"/to-ftp", "HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},
    {"/to-user", "HTTP/1.1 302 Found\r\nLocation: //me:hush@127.0.0.1:1/x?hush\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},
    {"/to-silence", "HTTP/1.1 302 Found\r\nLocation: /silent?hush\r\nContent-Length: 0\r\n\r\n", 0, END_HOLDS},

    {"/silent", "", 0, END_HOLDS},
    {"/half", "HTTP/1.1 200 OK\r\n", 0, END_HOLDS},
    {"/drip", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 0, END_DRIPS},
    {"/nothing", "", 0, END_CLOSES},
    {"/noise", "no HTTP at all\r\n\r\n", 0, END_CLOSES},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", 0, END_CLOSES},
    {"/short-chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", 0, END_CLOSES},
    {"/long", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!", 0, END_HOLDS},
    {"/long-404", "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nhello!", 0, END_HOLDS},
    {"/long-closed", "HTTP/1.1 200 OK\r\n\r\nhello!", 0, END_CLOSES},
    {"/long-chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n", 0, END_HOLDS},
    {"/endless", "HTTP/1.1 200 OK\r\n\r\n", SIZE_MAX, END_HOLDS},
    {"/endless-header", "HTTP/1.1 200 OK\r\nX: ", SIZE_MAX, END_HOLDS},
    {"/long-header", "HTTP/1.1 200 OK\r\n" FIELDS_16K FIELDS_16K FIELDS_16K FIELDS_16K HELLO, 0, END_HOLDS},
    {"/wide-header", "HTTP/1.1 200 OK\r\n" FIELDS_16K FIELDS_16K FIELDS_16K HELLO, 0, END_HOLDS},
    {"/gated", "HTTP/1.1 200 OK\r\n" HELLO, 0, END_GATED},
    {"TLS", "HTTP/1.1 400 Not Here\r\n" HELLO, 0, END_CLOSES},

    {"/etag", "HTTP/1.1 200 OK\r\nETag: W/\"v1\"\r\nLast-Modified: Sun, 22 Nov 2026 09:25:00 GMT\r\n" HELLO, 0, END_HOLDS},
    {"/etag-twice", "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nETag: \"b\"\r\n" HELLO, 0, END_HOLDS},
    {"/etag-odd", "HTTP/1.1 200 OK\r\nETag: \"a\x01\"\r\nLast-Modified: \xff\r\n" HELLO, 0, END_HOLDS},
    {"/etag-trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nETag: \"t\"\r\n\r\n", 0, END_HOLDS},
    {"/etag-404", "HTTP/1.1 404 Not Found\r\nETag: \"gone\"\r\n" HELLO, 0, END_HOLDS},
    {"/etag-long", "HTTP/1.1 200 OK\r\nETag: \"0123456789012345678901234567890123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\""
                   "\r\n" HELLO, 0, END_HOLDS},
};
/* clang-format on */

int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sp_err err;
    assert_non_null(f);
    server_start(&f->server, scripts, SP_COUNTOF(scripts));
    assert_int_equal(sp_loop_new(&f->loop, &err), SP_OK);
    assert_int_equal(sp_fetcher_start(&f->fetcher, &err), SP_OK);
    *state = f;
    return 0;
}

int tear_down(void **state)
{
    struct fixture *f = *state;
    sp_fetcher_stop(f->fetcher);
    server_stop(&f->server);
    sp_loop_free(f->loop);
    free(f);
    return 0;
}

static void on_back(struct sp_mail *m)
{
    struct request *r = SP_CONTAINER_OF(SP_CONTAINER_OF(m, struct sp_fetch_job, mail), struct request, job);
    (*r->back)++;
}

void prepare(struct fixture *f, struct request *r, const char *path, unsigned *back)
{
    *r = (struct request){.back = back};
    snprintf(r->url, sizeof r->url, "http://127.0.0.1:%u%s", f->server.port, path);
    r->job.url = r->url;
    r->job.max_bytes = 5;
    r->job.timeout_ms = LONG_MS;
    r->job.loop = f->loop;
    r->job.mail.fn = on_back;
}

void wait_back(struct fixture *f, const unsigned *back, unsigned count)
{
    while (*back < count)
        sp_loop_turn(f->loop, TURN_MS);
    assert_int_equal(*back, count);
}

void fetch(struct fixture *f, struct request *r)
{
    unsigned back = 0;
    r->back = &back;
    sp_fetch(f->fetcher, &r->job);
    wait_back(f, &back, 1);
}

void assert_text(struct request *r, const char *text)
{
    if (r->job.rc != SP_OK)
        print_message("%s\n", r->job.err.text);
    assert_int_equal(r->job.rc, SP_OK);
    assert_int_equal(r->job.body.len, strlen(text));
    assert_memory_equal(r->job.body.ptr, text, strlen(text));
    sp_buf_free(&r->job.body);
}

void assert_failed(const struct request *r, const char *words)
{
    assert_int_equal(r->job.rc, SP_FAIL);
    if (strstr(r->job.err.text, words) == NULL)
        fail_msg("\"%s\" has no \"%s\" in it", r->job.err.text, words);
    assert_int_equal(r->job.body.len, 0);
    assert_null(r->job.body.ptr);
}
