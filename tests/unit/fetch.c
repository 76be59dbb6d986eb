/* What a fetch asks for, what comes back, and what is said when nothing does, against a scripted server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fetch_fixture.h"
#include "sallyport/base/version.h"

/* ---- answers ---- */

static void test_every_whole_answer_is_success_whatever_its_status(void **state)
{
    static const struct {
        const char *path;
        unsigned status;
        const char *body;
    } cases[] = {
        {"/ok", 200, "hello"},
        {"/ok?query", 200, "hello"},
        {"/closed", 200, "hello"},
        {"/empty", 200, ""},
        {"/wide-header", 200, "hello"},
        {"/chunked", 200, "hello"},
        {"/missing", 404, "hello"},
        {"/same", 304, ""},
        {"/broken", 503, "hello"},
        {"/continued", 200, "hello"},
        {"/moved", 200, "hello"},
        {"/moved-303", 200, "hello"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct request r;
        prepare(f, &r, cases[i].path, NULL);
        fetch(f, &r);
        assert_text(&r, cases[i].body);
        assert_int_equal(r.job.status, cases[i].status);
    }
}

static void test_what_is_no_whole_answer_fails_and_the_error_names_url_and_phase(void **state)
{
    static const struct {
        const char *path;
        uint64_t timeout_ms;
        const char *words;
        size_t max_bytes; /* 0: 5 */
    } cases[] = {
        {"/silent", SHORT_MS, "/silent: timeout: Operation timed out", 0},
        {"/half", SHORT_MS, "/half: timeout: ", 0},
        {"/drip", SHORT_MS, "/drip: timeout: ", 100000},
        {"/silent", 0, "/silent: timeout: ", 0},
        {"/nothing", LONG_MS, "/nothing: transfer: Empty reply from server", 0},
        {"/noise", LONG_MS, "/noise: transfer: Received HTTP/0.9", 0},
        {"/short", LONG_MS, "/short: truncated: ", 10},
        {"/short-chunked", LONG_MS, "/short-chunked: truncated: ", 0},
        {"/long", LONG_MS, "/long: too large: the body is longer", 0},
        {"/long-404", LONG_MS, "/long-404: too large: the body is longer", 0},
        {"/long-closed", LONG_MS, "/long-closed: too large: the body is longer", 0},
        {"/long-chunked", LONG_MS, "/long-chunked: too large: the body is longer", 0},
        {"/endless", LONG_MS, "/endless: too large: the body is longer", 0},
        {"/endless-header", LONG_MS, "/endless-header: ", 0},
        {"/long-header", LONG_MS, "/long-header: too large: more than 64 KiB of header fields", 0},
        {"/loop", LONG_MS, "/loop: redirect: Maximum (5) redirects", 0},
        {"/to-file", LONG_MS, "/to-file: redirect: Protocol \"file\" ", 0},
        {"/to-ftp", LONG_MS, "/to-ftp: redirect: Protocol \"ftp\" ", 0},
        {"/to-user", LONG_MS, "(redirected to http://127.0.0.1:1/x)", 0},
        {"/to-silence?hush", SHORT_MS, "/to-silence: timeout: Operation timed out", 0},
        {"/to-silence?hush", SHORT_MS, "/silent)", 0},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct request r;
        prepare(f, &r, cases[i].path, NULL);
        r.job.timeout_ms = cases[i].timeout_ms;
        if (cases[i].max_bytes > 0)
            r.job.max_bytes = cases[i].max_bytes;
        fetch(f, &r);
        assert_failed(&r, cases[i].words);
        assert_non_null(strstr(r.job.err.text, "fetch http://127.0.0.1:"));
        assert_null(strstr(r.job.err.text, "hush"));
    }
}

static void test_a_user_in_a_redirect_is_refused_before_anybody_is_connected(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "/to-user", NULL);
    fetch(f, &r);
    assert_failed(&r, "/to-user: redirect: ");
}

static void test_no_body_at_all_is_taken_when_none_is_allowed(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "/ok", NULL);
    r.job.max_bytes = 0;
    fetch(f, &r);
    assert_failed(&r, "too large");
    prepare(f, &r, "/empty", NULL);
    r.job.max_bytes = 0;
    fetch(f, &r);
    assert_text(&r, "");
}

static void test_a_large_body_arrives_whole(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "/large", NULL);
    r.job.max_bytes = 3000000;
    fetch(f, &r);
    assert_int_equal(r.job.rc, SP_OK);
    assert_int_equal(r.job.body.len, 3000000);
    for (size_t i = 0; i < r.job.body.len; i++)
        assert_int_equal(r.job.body.ptr[i], 'x');
    sp_buf_free(&r.job.body);
}

static void test_a_refused_connection_is_told_with_its_errno(void **state)
{
    struct fixture *f = *state;
    struct request r;
    struct server gone;
    server_start(&gone, NULL, 0);
    server_stop(&gone);
    prepare(f, &r, "", NULL);
    snprintf(r.url, sizeof r.url, "http://127.0.0.1:%u/crl/root.crl?hush", gone.port);
    fetch(f, &r);
    assert_failed(&r, "/crl/root.crl: connect: ");
    assert_failed(&r, ": Connection refused");
    assert_null(strstr(r.job.err.text, "hush"));
}

static void test_a_server_that_speaks_no_tls_fails_in_the_tls_phase(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "", NULL);
    snprintf(r.url, sizeof r.url, "https://127.0.0.1:%u/x", f->server.port);
    fetch(f, &r);
    assert_failed(&r, "/x: TLS: ");
}

static void test_a_ca_file_that_is_not_there_fails_the_job(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "", NULL);
    snprintf(r.url, sizeof r.url, "https://127.0.0.1:%u/x", f->server.port);
    r.job.ca_file = "/nonexistent/ca.pem";
    fetch(f, &r);
    assert_failed(&r, "/x: TLS: error setting certificate");
}

static void test_a_url_that_is_not_valid_comes_back_failed_without_its_password(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "", NULL);
    strcpy(r.url, "http://me:hush@host.example/x\n?hush");
    fetch(f, &r);
    assert_failed(&r, "fetch http://host.example/x?: URL: ");
    assert_null(strstr(r.job.err.text, "hush"));
}

/* ---- requests ---- */

static void assert_sent(struct fixture *f, const char *words)
{
    if (strstr(f->server.last_request, words) == NULL)
        fail_msg("no \"%s\" in:\n%s", words, f->server.last_request);
}

static void assert_not_sent(struct fixture *f, const char *words)
{
    if (strcasestr(f->server.last_request, words) != NULL)
        fail_msg("\"%s\" is in:\n%s", words, f->server.last_request);
}

static void test_a_get_says_who_we_are_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "/ok?a=b", NULL);
    fetch(f, &r);
    assert_text(&r, "hello");
    assert_sent(f, "GET /ok?a=b HTTP/1.1\r\n");
    assert_sent(f, "\r\nUser-Agent: sallyport/" SP_VERSION "\r\n");
    assert_sent(f, "\r\nAccept: */*\r\n");
    assert_not_sent(f, "\r\nAccept-Encoding:");
    assert_not_sent(f, "\r\nIf-");
    assert_not_sent(f, "\r\nCookie:");
    assert_not_sent(f, "\r\nAuthorization:");
    assert_not_sent(f, "\r\nUpgrade:");
}

static void test_a_conditional_request_sends_what_it_was_given(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "/same", NULL);
    strcpy(r.job.etag, "W/\"v1\"");
    strcpy(r.job.modified, "Sun, 22 Nov 2026 09:25:00 GMT");
    r.job.accept = "application/pkix-crl";
    fetch(f, &r);
    assert_text(&r, "");
    assert_int_equal(r.job.status, 304);
    assert_sent(f, "\r\nIf-None-Match: W/\"v1\"\r\n");
    assert_sent(f, "\r\nIf-Modified-Since: Sun, 22 Nov 2026 09:25:00 GMT\r\n");
    assert_sent(f, "\r\nAccept: application/pkix-crl\r\n");
    assert_string_equal(r.job.etag, "W/\"v1\"");
}

static void test_a_validator_with_a_line_break_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "/ok", NULL);
    strcpy(r.job.etag, "\"a\"\r\nX-Smuggled: 1");
    memset(r.job.modified, 'x', sizeof r.job.modified); /* not even an end */
    fetch(f, &r);
    assert_text(&r, "hello");
    assert_not_sent(f, "Smuggled");
    assert_not_sent(f, "\r\nIf-");
}

static void test_validators_are_taken_from_the_final_200_only(void **state)
{
    static const struct {
        const char *path, *etag, *modified;
    } cases[] = {
        {"/etag", "W/\"v1\"", "Sun, 22 Nov 2026 09:25:00 GMT"},
        {"/ok", "", ""},
        {"/moved", "", ""},
        {"/continued", "", ""},
        {"/etag-twice", "", ""},
        {"/etag-odd", "", ""},
        {"/etag-trailer", "", ""},
        {"/etag-long", "", ""},
        {"/etag-404", "\"old\"", "old"},
        {"/same", "\"old\"", "old"},
        {"/nothing", "\"old\"", "old"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct request r;
        prepare(f, &r, cases[i].path, NULL);
        strcpy(r.job.etag, "\"old\"");
        strcpy(r.job.modified, "old");
        fetch(f, &r);
        assert_string_equal(r.job.etag, cases[i].etag);
        assert_string_equal(r.job.modified, cases[i].modified);
        sp_buf_free(&r.job.body);
    }
}

static void test_a_post_arrives_with_its_type_and_stays_one_over_redirects(void **state)
{
    static const char *const paths[] = {"/ok", "/moved-301", "/moved", "/moved-303", "/moved-307"};
    static const char body[] = "a\0b"; /* bytes, not text */
    struct fixture *f = *state;
    for (size_t i = 0; i < SP_COUNTOF(paths); i++) {
        struct request r;
        prepare(f, &r, paths[i], NULL);
        r.job.post_content_type = "application/ocsp-request";
        r.job.post_body = (struct sp_slice){body, 3};
        fetch(f, &r);
        assert_text(&r, "hello");
        assert_sent(f, "POST /ok HTTP/1.1\r\n");
        assert_sent(f, "\r\nContent-Type: application/ocsp-request\r\n");
        assert_sent(f, "\r\nContent-Length: 3\r\n");
        assert_not_sent(f, "\r\nExpect:");
        assert_memory_equal(strstr(f->server.last_request, "\r\n\r\n") + 4, body, 3);
    }
}

static void test_an_empty_post_is_a_post_without_a_body(void **state)
{
    struct fixture *f = *state;
    struct request r;
    prepare(f, &r, "/ok", NULL);
    r.job.post_content_type = "text/plain";
    fetch(f, &r);
    assert_text(&r, "hello");
    assert_sent(f, "POST /ok HTTP/1.1\r\n");
    assert_sent(f, "\r\nContent-Length: 0\r\n");
}

static void test_no_proxy_of_the_environment_is_used(void **state)
{
    static const char *const variables[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    struct fixture *f = *state;
    struct request r;
    for (size_t i = 0; i < SP_COUNTOF(variables); i++)
        setenv(variables[i], "http://127.0.0.1:1", 1);
    prepare(f, &r, "/ok", NULL);
    fetch(f, &r);
    for (size_t i = 0; i < SP_COUNTOF(variables); i++)
        unsetenv(variables[i]);
    assert_text(&r, "hello");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(test_every_whole_answer_is_success_whatever_its_status),
        SERVED(test_what_is_no_whole_answer_fails_and_the_error_names_url_and_phase),
        SERVED(test_a_user_in_a_redirect_is_refused_before_anybody_is_connected),
        SERVED(test_no_body_at_all_is_taken_when_none_is_allowed),
        SERVED(test_a_large_body_arrives_whole),
        SERVED(test_a_refused_connection_is_told_with_its_errno),
        SERVED(test_a_server_that_speaks_no_tls_fails_in_the_tls_phase),
        SERVED(test_a_ca_file_that_is_not_there_fails_the_job),
        SERVED(test_a_url_that_is_not_valid_comes_back_failed_without_its_password),
        SERVED(test_a_get_says_who_we_are_and_nothing_else),
        SERVED(test_a_conditional_request_sends_what_it_was_given),
        SERVED(test_a_validator_with_a_line_break_is_not_sent),
        SERVED(test_validators_are_taken_from_the_final_200_only),
        SERVED(test_a_post_arrives_with_its_type_and_stays_one_over_redirects),
        SERVED(test_an_empty_post_is_a_post_without_a_body),
        SERVED(test_no_proxy_of_the_environment_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
