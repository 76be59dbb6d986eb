/* The fetcher's thread: jobs come in through a queue under a lock, up to eight of them are transfers of one
 * curl multi handle, each goes back as mail to the loop that asked.
 *
 *      sp_fetch, any thread          run, the fetcher's thread
 *      ------------------>  queue  ------------------------->  transfers[8]  ---- mail ---->  the job's loop
 *                           (in order)    one that is free                   answer or error
 *
 * Invariants: whatever is in the queue comes back, by its end or by ours; `stopping` is written under the
 * lock, so that a job is either in the queue before the thread empties it for the last time or refused at
 * the door. The thread waits in curl_multi_poll only, and a job or a stop wakes it there.
 *
 * curl_global_init counts its callers and has a lock of its own (libcurl since 7.84, "threadsafe"): each
 * fetcher calls it, and its counterpart at the end, and none has to know of another.
 *
 * Elsewhere: transfer.c what a request asks for and what becomes of its answer. */
#include "fetch_impl.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "sallyport/base/clock.h"

enum {
    TRANSFERS_MAX = 8,
    POLL_MS = 60 * 1000, /* curl wakes earlier for its own timeouts */
    NAP_MS = 100,        /* when the poll itself fails for want of memory */
};

struct sp_fetcher {
    CURLM *multi;
    pthread_t thread;
    struct transfer transfers[TRANSFERS_MAX]; /* the thread's own */

    pthread_mutex_t lock; /* over what follows */
    bool stopping;
    struct sp_fetch_job *oldest, *newest;
};

static void give_back(struct sp_fetch_job *job)
{
    sp_loop_post(job->loop, &job->mail);
}

static void refuse(struct sp_fetch_job *job)
{
    job_fail(job, "stop", "the fetcher was stopped");
    give_back(job);
}

/* ---- the queue ---- */

void sp_fetch(struct sp_fetcher *f, struct sp_fetch_job *job)
{
    SP_ASSERT(job->url != NULL && job->loop != NULL && job->mail.fn != NULL && job->body.len == 0);
    job->next = NULL;
    job->queued_at_ms = sp_mono_ms();
    job->rc = SP_FAIL;
    job->status = 0;
    pthread_mutex_lock(&f->lock);
    bool taken = !f->stopping;
    if (taken) {
        if (f->newest != NULL)
            f->newest->next = job;
        else
            f->oldest = job;
        f->newest = job;
        /* Under the lock: the handle is there for as long as nobody could begin to stop. */
        curl_multi_wakeup(f->multi);
    }
    pthread_mutex_unlock(&f->lock);
    if (!taken)
        refuse(job);
}

static struct sp_fetch_job *take(struct sp_fetcher *f)
{
    pthread_mutex_lock(&f->lock);
    struct sp_fetch_job *job = f->oldest;
    if (job != NULL) {
        f->oldest = job->next;
        if (f->oldest == NULL)
            f->newest = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    return job;
}

static bool is_stopping(struct sp_fetcher *f)
{
    pthread_mutex_lock(&f->lock);
    bool stopping = f->stopping;
    pthread_mutex_unlock(&f->lock);
    return stopping;
}

/* ---- the thread ---- */

/* Nobody waits for it any more: behind a server that hangs the queue would only grow old. */
static bool is_too_late(const struct sp_fetch_job *job)
{
    return job->wait_ms != 0 && sp_mono_ms() - job->queued_at_ms >= job->wait_ms;
}

static void start(struct sp_fetcher *f, struct transfer *t, struct sp_fetch_job *job)
{
    if (is_too_late(job)) {
        job_fail(job, "queue", "its turn did not come in time");
        give_back(job);
        return;
    }
    if (transfer_open(t, job) != SP_OK) {
        give_back(job);
        return;
    }
    CURLMcode code = curl_multi_add_handle(f->multi, t->easy);
    if (code != CURLM_OK) {
        job_fail(job, "start", curl_multi_strerror(code));
        transfer_free(t);
        give_back(job);
    }
}

static void start_waiting(struct sp_fetcher *f)
{
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        struct sp_fetch_job *job;
        while (f->transfers[i].job == NULL && (job = take(f)) != NULL)
            start(f, &f->transfers[i], job);
    }
}

/* The answer, or why there is none, is in the job by now. */
static void end(struct sp_fetcher *f, struct transfer *t)
{
    struct sp_fetch_job *job = t->job;
    curl_multi_remove_handle(f->multi, t->easy);
    transfer_free(t);
    give_back(job);
}

static void end_all(struct sp_fetcher *f, const char *phase, const char *problem)
{
    for (size_t i = 0; i < TRANSFERS_MAX; i++) {
        struct transfer *t = &f->transfers[i];
        if (t->job != NULL) {
            job_fail(t->job, phase, problem);
            end(f, t);
        }
    }
}

/* Whether there was any. */
static bool end_finished(struct sp_fetcher *f)
{
    CURLMsg *message;
    int left;
    bool any = false;
    while ((message = curl_multi_info_read(f->multi, &left)) != NULL) {
        struct transfer *t = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result; /* gone with the handle */
        CURLcode code = curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        SP_ASSERT(code == CURLE_OK && t != NULL);
        transfer_read_answer(t, result);
        end(f, t);
        any = true;
    }
    return any;
}

static void *run(void *arg)
{
    struct sp_fetcher *f = arg;
    pthread_setname_np(pthread_self(), "fetch");
    while (!is_stopping(f)) {
        int running;
        start_waiting(f);
        CURLMcode code = curl_multi_perform(f->multi, &running);
        if (code != CURLM_OK)
            end_all(f, "transfer", curl_multi_strerror(code));
        if (end_finished(f))
            continue; /* there is room for others */
        if (curl_multi_poll(f->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000L}, NULL);
    }
    end_all(f, "stop", "the fetcher was stopped");
    for (struct sp_fetch_job *job; (job = take(f)) != NULL;)
        refuse(job);
    return NULL;
}

/* ---- start and stop ---- */

static int start_thread(struct sp_fetcher *f)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int errnum = pthread_create(&f->thread, NULL, run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return errnum;
}

static void fetcher_free(struct sp_fetcher *f)
{
    curl_multi_cleanup(f->multi);
    pthread_mutex_destroy(&f->lock);
    sp_free(f);
    curl_global_cleanup();
}

enum sp_rc sp_fetcher_start(struct sp_fetcher **out, struct sp_err *err)
{
    if (!(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_THREADSAFE))
        return sp_err_set(err,
            "fetcher: this libcurl was built without atomics and cannot be started beside other threads");
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK)
        return sp_err_set(err, "fetcher: %s", curl_easy_strerror(code));
    struct sp_fetcher *f = SP_NEW(struct sp_fetcher);
    if (f == NULL) {
        curl_global_cleanup();
        return sp_err_sys(err, ENOMEM, "fetcher");
    }
    pthread_mutex_init(&f->lock, NULL);
    f->multi = curl_multi_init();
    int errnum = f->multi != NULL ? start_thread(f) : ENOMEM;
    if (errnum != 0) {
        fetcher_free(f);
        return sp_err_sys(err, errnum, "fetcher");
    }
    *out = f;
    return SP_OK;
}

void sp_fetcher_stop(struct sp_fetcher *f)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    curl_multi_wakeup(f->multi);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    fetcher_free(f);
}
