/* The brake's count: what a change would come to over all workers, before any of them acts. Each adds its
 * part and signs; the last signature takes it to the thread that asked, which answers all of them.
 *
 * A worker that could not finish (another change came, or it ends) makes the count void: nobody acts on it,
 * and the later change counts everybody again. */
#include "proxy/proxy_impl.h"

struct answer {
    struct sp_mail mail;
    struct sp_census *census; /* one reference while under way */
    struct sp_worker *worker;
};

struct sp_census {
    _Atomic unsigned refs, due;
    _Atomic uint64_t open, refused;
    _Atomic bool incomplete;
    struct sp_loop *loop;
    struct sp_mail counted;
    void (*on_counted)(void *arg, struct sp_census *c);
    void *arg;
    enum sp_census_answer said;
    unsigned worker_count;
    struct answer answers[];
};

struct sp_census *sp_census_ref(struct sp_census *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void sp_census_unref(struct sp_census *c)
{
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        sp_free(c);
}

static void on_counted(struct sp_mail *m)
{
    struct sp_census *c = SP_CONTAINER_OF(m, struct sp_census, counted);

    c->on_counted(c->arg, c);
    sp_census_unref(c);
}

struct sp_census *sp_census_new(
    struct sp_loop *loop, unsigned workers, void (*fn)(void *arg, struct sp_census *c), void *arg)
{
    struct sp_census *c = sp_alloc(1, sizeof(*c) + workers * sizeof(c->answers[0]));

    if (c == NULL)
        return NULL;
    atomic_init(&c->refs, 1);
    atomic_init(&c->due, workers);
    c->loop = loop;
    c->counted.fn = on_counted;
    c->on_counted = fn;
    c->arg = arg;
    c->worker_count = workers;
    return c;
}

void sp_census_attach(struct sp_census *c, unsigned i, struct sp_worker_update *u)
{
    c->answers[i].worker = u->worker;
    u->census = sp_census_ref(c);
}

void sp_census_sign(struct sp_census *c, uint64_t open, uint64_t refused, bool complete)
{
    atomic_fetch_add_explicit(&c->open, open, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->refused, refused, memory_order_relaxed);
    if (!complete)
        atomic_store_explicit(&c->incomplete, true, memory_order_relaxed);
    if (atomic_fetch_sub_explicit(&c->due, 1, memory_order_acq_rel) == 1)
        sp_loop_post(c->loop, &c->counted);
}

struct sp_census_result sp_census_result(const struct sp_census *c)
{
    return (struct sp_census_result){
        .open = atomic_load_explicit(&c->open, memory_order_relaxed),
        .refused = atomic_load_explicit(&c->refused, memory_order_relaxed),
        .is_void = atomic_load_explicit(&c->incomplete, memory_order_relaxed),
    };
}

static void on_answer(struct sp_mail *m)
{
    struct answer *a = SP_CONTAINER_OF(m, struct answer, mail);

    sp_reach_answer(a->worker, a->census, a->census->said);
    sp_census_unref(a->census);
}

void sp_census_answer(struct sp_census *c, enum sp_census_answer answer)
{
    c->said = answer;
    for (unsigned i = 0; i < c->worker_count; i++) {
        struct answer *a = &c->answers[i];
        a->mail.fn = on_answer;
        a->census = sp_census_ref(c);
        sp_loop_post(a->worker->o.loop, &a->mail);
    }
}
