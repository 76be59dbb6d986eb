/* What the files of this room share. fetch.c owns the thread and its queue, transfer.c one request from curl
 * handle to answer, url.c what a URL may look like and how it is shown. */
#ifndef SP_FETCH_IMPL_H
#define SP_FETCH_IMPL_H

#include <curl/curl.h>

#include "sallyport/fetch/fetch.h"

/* A request under way. Belongs to the fetcher's thread; zeroed when it is none. */
struct transfer {
    struct sp_fetch_job *job;
    CURL *easy;
    struct curl_slist *headers;
    size_t header_bytes;           /* of every answer of the transfer, redirects too */
    const char *own_phase;         /* when a callback of ours ended it: where, */
    const char *own_problem;       /* and what is said instead of curl's words; else NULL */
    char message[CURL_ERROR_SIZE]; /* curl's words */
};

/* Makes t->easy, ready to be added to a multi handle. SP_FAIL: the job is failed with job_fail, t is zeroed. */
SP_MUST_USE enum sp_rc transfer_open(struct transfer *t, struct sp_fetch_job *job);
/* Fills in the job's answer from what curl says of a transfer that has ended. */
void transfer_read_answer(struct transfer *t, CURLcode result);
/* No multi handle may hold t->easy any more. Leaves the job alone. */
void transfer_free(struct transfer *t);

/* The answer of `job` is a failure that names its URL. Does not post it. */
void job_fail(struct sp_fetch_job *job, const char *phase, const char *problem);

#define URL_SHOWN_MAX 256
/* The URL for a message: without user, query and fragment, cut, odd bytes as '?'. Returns `out`. */
char *url_show(const char *url, char out[URL_SHOWN_MAX]);

#endif
