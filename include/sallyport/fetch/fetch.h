/* HTTP and HTTPS requests of our own (CRLs, OCSP), on a thread of their own, so that a slow or dead server
 * holds up nobody. libcurl does the work; no other room knows it.
 *
 * Bounded: concurrent transfers, bytes of an answer, seconds of a transfer. Redirects are followed to http
 * and https only, at most five; a POST stays a POST. No proxy, cookie, netrc or credential of the
 * environment is used. */
#ifndef SP_FETCH_FETCH_H
#define SP_FETCH_FETCH_H

#include "sallyport/base/base.h"
#include "sallyport/base/err.h"
#include "sallyport/base/mem.h"
#include "sallyport/io/loop.h"

struct sp_fetcher;

/* Starts the thread (every signal blocked). Several fetchers in one process share nothing. */
SP_MUST_USE enum sp_rc sp_fetcher_start(struct sp_fetcher **out, struct sp_err *err);
/* Ends every transfer (each job comes back failed, before this returns: its mail is posted), joins. Takes
 * NULL. */
void sp_fetcher_stop(struct sp_fetcher *f);

#define SP_ETAG_MAX 256

/* Zeroed before its first use (SP_NEW); may be used again once it is back and its body freed. */
struct sp_fetch_job {
    /* ---- the question; the strings are the caller's until the job is back ---- */
    const char *url;
    const char *ca_file;           /* PEM bundle for https, the only one then; NULL: the system's */
    const char *post_content_type; /* NULL: a GET */
    struct sp_slice post_body;
    const char *accept;     /* NULL: any */
    size_t max_bytes;       /* of the answer's body; a longer one fails the job */
    uint64_t timeout_ms;    /* from the start of the transfer to its last byte, whatever it waited before */
    uint64_t wait_ms;       /* a job that waits so long for its turn comes back failed; 0: it waits on */
    char etag[SP_ETAG_MAX]; /* for If-None-Match, "" none; of a 200: its ETag, if it fits */
    char modified[64];      /* for If-Modified-Since, "" none; of a 200: its Last-Modified */
    /* ---- the answer ---- */
    enum sp_rc rc; /* SP_OK: an HTTP answer came whole, whatever its status; SP_FAIL: `err` says why not */
    /* names the URL (no user, no query) and the phase: resolve, connect, TLS, timeout, too large ... */
    struct sp_err err;
    unsigned status;
    struct sp_buf body; /* to be freed with sp_buf_free by the caller; empty when rc is SP_FAIL */
    /* ---- where it goes ---- */
    struct sp_loop *loop; /* `mail` is posted here when it is done, exactly once */
    struct sp_mail mail;
    /* The fetcher's own while it is under way. */
    struct sp_fetch_job *next;
    uint64_t queued_at_ms;
};

/* Hands over `job` until its mail comes. Any thread. Once sp_fetcher_stop has begun it comes back failed;
 * once that has returned there is no fetcher to call. */
void sp_fetch(struct sp_fetcher *f, struct sp_fetch_job *job);

/* Whether `text` is an http or https URL with a host, without user, fragment or bytes that no URL holds:
 * what sp_fetch takes. The error says what is wrong and does not repeat the text. Pure. */
SP_MUST_USE bool sp_fetch_url_is_valid(struct sp_slice text, struct sp_err *err);

#endif
