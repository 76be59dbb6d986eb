/* What names mean, for who builds a configuration: it is to begin with its endpoints, not without them. So the builder asks the
 * roster for the names that it does not know yet, and waits a while. A name that brings nothing by then is a warning: the
 * others serve, and the roster goes on asking.
 *
 * Without a roster (`check`) the names are asked by a resolver for the occasion. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "upstream/roster/roster_impl.h"

#define LEARN_S 5

static void warn(struct sp_diags *diags, const char *file, const struct sp_config_upstream *u,
    const struct sp_config_endpoint *e, const char *why)
{
    sp_diag_add(diags, SP_DIAG_WARNING, file, e->at,
        "upstreams.%s.endpoints[%zu]: cannot resolve \"%s\": %s; it has no endpoint until it can be", u->name,
        (size_t)(e - u->endpoints), e->text, why);
}

/* ---- with a roster ---- */

struct lesson {
    struct sp_mail mail;
    struct sp_roster *roster;
    struct sp_config *config; /* one reference */
};

/* One that was asked for a configuration which was never in force is asked anew. */
static void learn_one(void *arg, const struct sp_config_upstream *u, const struct sp_config_endpoint *e)
{
    struct sp_roster *r = arg;
    struct sp_name *n = sp_name_find(r, e);

    (void)u;
    if (n == NULL)
        n = sp_name_meet(r, e);
    if (n != NULL && (!n->is_settled || (!n->is_named && n->due_ms <= sp_loop_now_ms(r->loop))))
        sp_name_ask(n);
}

static void on_lesson(struct sp_mail *mail)
{
    struct lesson *l = SP_CONTAINER_OF(mail, struct lesson, mail);

    if (l->roster->fleet == NULL)
        sp_names_use_servers(l->roster, l->config);
    sp_names_each(l->config, learn_one, l->roster);
    sp_config_free(l->config);
    sp_free(l);
}

struct review {
    struct sp_roster *roster;
    const char *file;
    struct sp_diags *diags; /* NULL: only whether all are settled */
    size_t open;
};

/* With the roster's lock. */
static void review_one(void *arg, const struct sp_config_upstream *u, const struct sp_config_endpoint *e)
{
    struct review *v = arg;
    const struct sp_name *n = sp_name_find(v->roster, e);
    bool is_settled = n != NULL && n->is_settled;

    v->open += !is_settled;
    if (v->diags != NULL && (n == NULL || n->count == 0))
        warn(v->diags, v->file, u, e, is_settled ? n->failure : "no answer yet");
}

static bool all_settled(struct sp_roster *r, const struct sp_config *config)
{
    struct review v = {.roster = r};

    sp_names_each(config, review_one, &v);
    return v.open == 0;
}

static void count_one(void *arg, const struct sp_config_upstream *u, const struct sp_config_endpoint *e)
{
    (void)u, (void)e;
    ++*(size_t *)arg;
}

static size_t count_names(const struct sp_config *config)
{
    size_t count = 0;

    sp_names_each(config, count_one, &count);
    return count;
}

void sp_names_learn(struct sp_roster *r, struct sp_config *config, struct sp_diags *diags)
{
    struct review v = {r, config->file, diags, 0};
    struct timespec until;
    int waited = 0;

    if (count_names(config) == 0)
        return;
    struct lesson *l = SP_NEW(struct lesson);
    if (l != NULL) {
        *l = (struct lesson){{.fn = on_lesson}, r, sp_config_ref(config)};
        sp_loop_post(r->loop, &l->mail);
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LEARN_S;
    pthread_mutex_lock(&r->lock);
    while (l != NULL && waited != ETIMEDOUT && !all_settled(r, config))
        waited = pthread_cond_timedwait(&r->settled, &r->lock, &until);
    sp_names_each(config, review_one, &v);
    pthread_mutex_unlock(&r->lock);
}

/* ---- without ---- */

struct attempt {
    struct sp_question question;
    const struct sp_config_upstream *upstream;
    const struct sp_config_endpoint *endpoint;
    struct trial *trial;
};

struct trial {
    const char *file;
    struct sp_diags *diags;
    struct sp_resolver *resolver;
    struct attempt *attempts;
    size_t count, open;
};

static void on_answer(struct sp_question *q, const struct sp_resolution *answer)
{
    struct attempt *a = SP_CONTAINER_OF(q, struct attempt, question);

    a->trial->open--;
    if (answer->rc != SP_OK)
        warn(a->trial->diags, a->trial->file, a->upstream, a->endpoint, answer->error);
}

static void try_one(void *arg, const struct sp_config_upstream *u, const struct sp_config_endpoint *e)
{
    struct trial *t = arg;
    struct attempt *a = &t->attempts[t->count++];

    *a = (struct attempt){.question.on_answer = on_answer, .upstream = u, .endpoint = e, .trial = t};
    enum sp_rc rc = e->is_srv ? sp_resolver_ask_srv(t->resolver, &a->question, e->host)
                              : sp_resolver_ask(t->resolver, &a->question, e->host, e->port);
    if (rc == SP_OK)
        t->open++;
    else
        warn(t->diags, t->file, u, e, "not enough memory");
}

/* Each question ends by itself. */
void sp_names_try(const struct sp_config *config, struct sp_diags *diags)
{
    struct trial t = {.file = config->file, .diags = diags};
    struct sp_loop *loop = NULL;
    struct sp_buf servers = {0};
    struct sp_err err = {0};
    size_t count = count_names(config);

    if (count == 0)
        return;
    t.attempts = sp_alloc(count, sizeof(*t.attempts));
    if (t.attempts == NULL || sp_names_servers(config, &servers) != SP_OK)
        (void)sp_err_set(&err, "not enough memory");
    else if (sp_loop_new(&loop, &err) == SP_OK &&
             sp_resolver_new(loop, servers.len > 1 ? servers.ptr : NULL, &t.resolver, &err) == SP_OK)
        sp_names_each(config, try_one, &t);
    if (t.resolver == NULL)
        sp_diag_add(diags, SP_DIAG_WARNING, config->file, (struct sp_pos){0, 0},
            "names of endpoints were not looked up: %s", err.text);
    while (t.open > 0)
        sp_loop_turn(loop, 100);
    sp_resolver_free(t.resolver);
    sp_loop_free(loop);
    sp_buf_free(&servers);
    sp_free(t.attempts);
}
