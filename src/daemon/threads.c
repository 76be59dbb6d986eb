/* A thread that runs a loop, under a name that ps and perf show, and with every signal blocked: they are the
 * main thread's. */
#include <signal.h>

#include "daemon_impl.h"

static void *run(void *arg)
{
    struct sp_thread *t = arg;

    pthread_setname_np(pthread_self(), t->name);
    sp_priority_take(&t->priority);
    sp_tls_library_enter(t->library);
    sp_loop_run(t->loop);
    return NULL;
}

enum sp_rc sp_thread_start(struct sp_thread *t, struct sp_err *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int errnum = pthread_create(&t->id, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errnum != 0)
        return sp_err_sys(err, errnum, "thread %s", t->name);
    t->started = true;
    return SP_OK;
}

void sp_thread_stop(struct sp_thread *t)
{
    if (!t->started)
        return;
    sp_loop_stop(t->loop);
    pthread_join(t->id, NULL);
    t->started = false;
}
