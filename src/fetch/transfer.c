/* One request: a curl handle with everything set that keeps it within bounds, the callbacks that take the
 * body, and the answer or the error that comes of it.
 *
 * Invariants: nothing of the environment has a say (proxy, netrc, cookies, credentials); a handle is used
 * once and its connection closed, so that no answer depends on an earlier one; curl's own limit on the size
 * sees only what a server declares, so the bytes are counted here too. Texts that a server may have had a
 * hand in are cleaned before they go into an error.
 *
 * Elsewhere: the thread that drives the handles is in fetch.c. */
#include "fetch_impl.h"

#include <stdio.h>

#include "sallyport/base/version.h"

enum {
    HEADER_BYTES_MAX = 64 * 1024,
    CONNECT_MS_MAX = 10 * 1000, /* of a longer timeout, so that the next address of a name has its turn */
    TIMEOUT_MS_MAX = 24 * 60 * 60 * 1000,
};

#define TOO_LARGE "the body is longer than is taken"

/* ---- what is the same for every request ---- */

static const struct {
    CURLoption option;
    long value;
} fixed_numbers[] = {
    {CURLOPT_NOSIGNAL, 1},
    /* A name server that does not answer would hold up the whole thread: curl joins its resolver's thread
     * otherwise. */
    {CURLOPT_QUICK_EXIT, 1},
    {CURLOPT_FOLLOWLOCATION, 1},
    {CURLOPT_MAXREDIRS, 5},
    {CURLOPT_POSTREDIR, CURL_REDIR_POST_ALL},
    {CURLOPT_DISALLOW_USERNAME_IN_URL, 1}, /* in a redirect */
    {CURLOPT_NETRC, CURL_NETRC_IGNORED},
    {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
    {CURLOPT_FORBID_REUSE, 1},
    {CURLOPT_SSL_VERIFYPEER, 1},
    {CURLOPT_SSL_VERIFYHOST, 2},
    {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2}, /* and above */
    {CURLOPT_SSL_SESSIONID_CACHE, 0},
};

static const struct {
    CURLoption option;
    const char *value;
} fixed_texts[] = {
    {CURLOPT_PROTOCOLS_STR, "http,https"},
    {CURLOPT_REDIR_PROTOCOLS_STR, "http,https"},
    {CURLOPT_PROXY, ""}, /* and none of the environment */
    {CURLOPT_USERAGENT, "sallyport/" SP_VERSION},
};

/* ---- callbacks ---- */

/* Returns what a callback of curl's returns to end the transfer: anything but the number of bytes that it
 * was offered. */
static size_t end_early(struct transfer *t, const char *phase, const char *problem)
{
    t->own_phase = phase;
    t->own_problem = problem;
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    struct sp_buf *body = &t->job->body;
    size_t len = size * count; /* size is 1 */
    if (len == 0)
        return 0;
    if (len > t->job->max_bytes - body->len)
        return end_early(t, "too large", TOO_LARGE);
    if (sp_buf_add(body, bytes, len) != SP_OK)
        return end_early(t, "body", "no memory");
    return len;
}

/* curl keeps the headers until the end, where transfer_read_answer asks for those that matter. */
static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * count;
    (void)bytes;
    if (len > HEADER_BYTES_MAX - t->header_bytes)
        return end_early(t, "too large", "more than 64 KiB of header fields");
    t->header_bytes += len;
    return len;
}

/* ---- the request ---- */

/* "name: value" at the end of the list. False without memory. */
static bool add_header(struct transfer *t, const char *name, const char *value)
{
    char line[SP_ETAG_MAX + 64];
    int len = snprintf(line, sizeof(line), "%s: %s", name, value);
    if (len < 0 || (size_t)len >= sizeof(line))
        return false;
    struct curl_slist *more = curl_slist_append(t->headers, line);
    if (more != NULL)
        t->headers = more;
    return more != NULL;
}

/* A validator that was not kept as it came (a file that was tampered with) is not sent: the answer comes
 * whole then. */
static bool is_header_text(const char *text, size_t room)
{
    size_t len = strnlen(text, room);
    if (len == 0 || len == room)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
    }
    return true;
}

static CURLcode set_headers(struct transfer *t)
{
    const struct sp_fetch_job *job = t->job;
    bool ok = true;
    if (job->accept != NULL)
        ok = add_header(t, "Accept", job->accept);
    if (ok && job->post_content_type != NULL)
        ok = add_header(t, "Content-Type", job->post_content_type);
    if (ok && is_header_text(job->etag, sizeof(job->etag)))
        ok = add_header(t, "If-None-Match", job->etag);
    if (ok && is_header_text(job->modified, sizeof(job->modified)))
        ok = add_header(t, "If-Modified-Since", job->modified);
    return ok ? curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) : CURLE_OUT_OF_MEMORY;
}

static CURLcode set_fixed(CURL *easy)
{
    CURLcode code = CURLE_OK;
    for (size_t i = 0; i < SP_COUNTOF(fixed_numbers) && code == CURLE_OK; i++)
        code = curl_easy_setopt(easy, fixed_numbers[i].option, fixed_numbers[i].value);
    for (size_t i = 0; i < SP_COUNTOF(fixed_texts) && code == CURLE_OK; i++)
        code = curl_easy_setopt(easy, fixed_texts[i].option, fixed_texts[i].value);
    return code;
}

/* curl's 0 is "for ever", so the least is 1. */
static long clamped_ms(uint64_t ms, uint64_t most)
{
    return (long)(ms == 0 ? 1 : ms < most ? ms : most);
}

static CURLcode set_bounds(struct transfer *t)
{
    const struct sp_fetch_job *job = t->job;
    curl_off_t most = job->max_bytes < INT64_MAX ? (curl_off_t)job->max_bytes : INT64_MAX;
    CURLcode code =
        curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, clamped_ms(job->timeout_ms, TIMEOUT_MS_MAX));
    if (code == CURLE_OK)
        code =
            curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, clamped_ms(job->timeout_ms, CONNECT_MS_MAX));
    if (code == CURLE_OK)
        code = curl_easy_setopt(
            t->easy, CURLOPT_MAXFILESIZE_LARGE, most); /* 0 is "any": on_body has the last word */
    return code;
}

static CURLcode set_callbacks(struct transfer *t)
{
    CURLcode code = curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    if (code == CURLE_OK)
        code = curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->message);
    if (code == CURLE_OK)
        code = curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    if (code == CURLE_OK)
        code = curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    if (code == CURLE_OK)
        code = curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    if (code == CURLE_OK)
        code = curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    return code;
}

/* A folder of CAs is compiled into curl, and would be trusted beside the file. */
static CURLcode set_ca(struct transfer *t)
{
    if (t->job->ca_file == NULL)
        return CURLE_OK;
    CURLcode code = curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
    return code == CURLE_OK ? curl_easy_setopt(t->easy, CURLOPT_CAINFO, t->job->ca_file) : code;
}

/* There is always a pointer: NULL would mean that curl is to ask its read callback, which is stdin. The bytes are
 * not copied: they are the caller's until the job is back. */
static CURLcode set_post(struct transfer *t)
{
    const struct sp_slice body = t->job->post_body;
    if (t->job->post_content_type == NULL)
        return CURLE_OK;
    CURLcode code = curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    if (code == CURLE_OK)
        code = curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, body.len > 0 ? body.ptr : "");
    return code;
}

static CURLcode set_all(struct transfer *t)
{
    CURLcode code = set_fixed(t->easy);
    if (code == CURLE_OK)
        code = curl_easy_setopt(t->easy, CURLOPT_URL, t->job->url);
    if (code == CURLE_OK)
        code = set_bounds(t);
    if (code == CURLE_OK)
        code = set_callbacks(t);
    if (code == CURLE_OK)
        code = set_ca(t);
    if (code == CURLE_OK)
        code = set_post(t);
    return code == CURLE_OK ? set_headers(t) : code;
}

enum sp_rc transfer_open(struct transfer *t, struct sp_fetch_job *job)
{
    struct sp_err err;
    if (!sp_fetch_url_is_valid(sp_slice_of(job->url), &err)) {
        job_fail(job, "URL", err.text);
        return SP_FAIL;
    }
    *t = (struct transfer){.job = job, .easy = curl_easy_init()};
    CURLcode code = t->easy != NULL ? set_all(t) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK)
        return SP_OK;
    job_fail(job, "start", curl_easy_strerror(code));
    transfer_free(t);
    return SP_FAIL;
}

void transfer_free(struct transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    *t = (struct transfer){0};
}

/* ---- the answer ---- */

/* Of the last answer, neither of a redirect, a 1xx nor a trailer. Twice is as good as not at all. */
static void take_header(struct transfer *t, const char *name, char *out, size_t room)
{
    struct curl_header *h;
    out[0] = '\0';
    if (curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK && h->amount == 1 &&
        is_header_text(h->value, room))
        memcpy(out, h->value, strlen(h->value) + 1);
}

static const struct {
    CURLcode code;
    const char *phase;
} phases[] = {
    {CURLE_COULDNT_RESOLVE_HOST, "resolve"}, {CURLE_COULDNT_CONNECT, "connect"},
    {CURLE_OPERATION_TIMEDOUT, "timeout"}, {CURLE_SSL_CONNECT_ERROR, "TLS"},
    {CURLE_PEER_FAILED_VERIFICATION, "TLS"}, {CURLE_SSL_CACERT_BADFILE, "TLS"},
    {CURLE_SSL_CERTPROBLEM, "TLS"}, {CURLE_SSL_CIPHER, "TLS"}, {CURLE_FILESIZE_EXCEEDED, "too large"},
    {CURLE_PARTIAL_FILE, "truncated"}, {CURLE_TOO_MANY_REDIRECTS, "redirect"},
    {CURLE_LOGIN_DENIED, "redirect"}, /* a user in its URL; we have none to be denied */
};

/* A scheme that is not fetched, or no URL at all, can only come from a redirect: ours has been looked at. */
static const char *phase_of(CURLcode code, bool redirected)
{
    if (redirected && (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT))
        return "redirect";
    for (size_t i = 0; i < SP_COUNTOF(phases); i++) {
        if (phases[i].code == code)
            return phases[i].phase;
    }
    return "transfer";
}

void job_fail(struct sp_fetch_job *job, const char *phase, const char *problem)
{
    char shown[URL_SHOWN_MAX];
    sp_buf_free(&job->body);
    job->rc = sp_err_set(&job->err, "fetch %s: %s: %s", url_show(job->url, shown), phase, problem);
    for (char *c = job->err.text; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
}

/* Where the last redirect led, or NULL without one. */
static const char *redirected_to(struct transfer *t)
{
    const char *url = NULL;
    long redirects = 0;
    if (curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_COUNT, &redirects) != CURLE_OK || redirects == 0 ||
        curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url) != CURLE_OK)
        return NULL;
    return url;
}

static const char *words_for(const struct transfer *t, CURLcode result)
{
    if (t->own_problem != NULL)
        return t->own_problem;
    if (result == CURLE_FILESIZE_EXCEEDED)
        return TOO_LARGE;
    return t->message[0] != '\0' ? t->message : curl_easy_strerror(result);
}

static void fail(struct transfer *t, CURLcode result)
{
    char where[URL_SHOWN_MAX + 32] = "", why[128] = "", buf[URL_SHOWN_MAX];
    char problem[CURL_ERROR_SIZE + sizeof(where) + sizeof(why)];
    const char *url = redirected_to(t);
    long sys = 0;
    if (url != NULL)
        snprintf(where, sizeof(where), " (redirected to %s)", url_show(url, buf));
    /* "Couldn't connect", says curl, and has the reason here. */
    if (result == CURLE_COULDNT_CONNECT && curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &sys) == CURLE_OK &&
        sys != 0)
        snprintf(why, sizeof(why), ": %s", strerror_r((int)sys, buf, sizeof(buf)));
    snprintf(problem, sizeof(problem), "%s%s%s", words_for(t, result), why, where);
    job_fail(t->job, t->own_phase != NULL ? t->own_phase : phase_of(result, url != NULL), problem);
    t->job->err.sys = (int)sys;
}

void transfer_read_answer(struct transfer *t, CURLcode result)
{
    struct sp_fetch_job *job = t->job;
    long status = 0;
    if (result == CURLE_OK)
        result = curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK) {
        fail(t, result);
        return;
    }
    job->rc = SP_OK;
    job->status = (unsigned)status;
    if (status == 200) {
        take_header(t, "ETag", job->etag, sizeof(job->etag));
        take_header(t, "Last-Modified", job->modified, sizeof(job->modified));
    }
}
