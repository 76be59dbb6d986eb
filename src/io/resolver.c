/* Questions to c-ares and what comes of them.
 *
 *   question ── asked ──► c-ares: SRV records ──► c-ares: addresses of each target ──► ready ──► on_answer, at the turn's end
 *                 │          (only of a service)            │
 *                 └──────────── 5 s, or cancelled ──────────┴──► the question is let go; c-ares ends the rest by itself
 *
 * c-ares cannot give up one question, so that what it is asked belongs to an `ask` of its own, which lives until c-ares has
 * called back for all of it; the question that it was made for may be gone by then. c-ares may call back from within a call; an
 * answer never does, it waits for the end of the turn.
 *
 * Elsewhere: sockets and time-outs (resolver_channel.c). */
#include <arpa/nameser.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>

#include "resolver_private.h"
#include "sallyport/base/mem.h"

#define QUESTION_MS 5000
#define TARGETS_MAX 64 /* SRV records of a service */

struct sp_resolver {
    struct sp_dns dns;
    struct sp_loop *loop;
    struct sp_list asked; /* of ask, the oldest first, with a question and without an answer yet */
    struct sp_list ready; /* of ask, with a question and its answer */
    struct sp_task tell;
    struct sp_timer *late;
};

/* One that was asked. */
struct ask {
    struct sp_list link; /* in `asked` or `ready` while it has a question */
    struct sp_resolver *resolver;
    struct sp_question *question; /* NULL: nobody waits any more */
    uint64_t deadline_ms;
    unsigned under_way; /* calls back that c-ares owes */
    bool answered;      /* some part of it */
    bool failed;        /* some part of it could not be said */
    struct sp_resolution answer;
    struct sp_resolved *items;
    size_t count;
};

/* One name of an ask. */
struct part {
    struct ask *ask;
    uint16_t priority, weight;
    char target[sizeof(((struct sp_resolved *)NULL)->name)]; /* of a service; else "" */
};

/* ---- answers ---- */

static void free_ask(struct ask *a)
{
    sp_free(a->items);
    sp_free(a);
}

static int compare_places(const struct sp_resolved *x, const struct sp_resolved *y)
{
    if (x->address.u.sa.sa_family != y->address.u.sa.sa_family)
        return x->address.u.sa.sa_family < y->address.u.sa.sa_family ? -1 : 1;
    int by_address = memcmp(&x->address.u, &y->address.u, x->address.len);
    return by_address != 0 ? by_address : strcmp(x->name, y->name);
}

/* Doubles beside each other, the most wanted of them first. */
static int compare_doubles(const void *a, const void *b)
{
    const struct sp_resolved *x = a, *y = b;
    int by_place = compare_places(x, y);

    return by_place != 0 ? by_place : (int)x->priority - (int)y->priority;
}

static int compare(const void *a, const void *b)
{
    const struct sp_resolved *x = a, *y = b;

    return x->priority != y->priority ? (int)x->priority - (int)y->priority : compare_places(x, y);
}

static void sort(struct ask *a)
{
    size_t kept = 0;

    if (a->count < 2)
        return;
    qsort(a->items, a->count, sizeof(*a->items), compare_doubles);
    for (size_t i = 0; i < a->count; i++) {
        if (kept == 0 || compare_places(&a->items[kept - 1], &a->items[i]) != 0)
            a->items[kept++] = a->items[i];
    }
    a->count = kept;
    qsort(a->items, a->count, sizeof(*a->items), compare);
}

/* All that c-ares owed has come, or the time is over. */
static void finish(struct ask *a)
{
    if (a->question == NULL)
        return;
    sort(a);
    a->answer.items = a->items;
    a->answer.count = a->count;
    a->answer.is_partial = a->failed && a->count > 0;
    a->answer.rc = a->count > 0 ? SP_OK : a->failed || !a->answered ? SP_FAIL : SP_EOF;
    if (a->answer.rc == SP_OK)
        a->answer.error[0] = '\0';
    if (a->answer.ttl_s == UINT64_MAX || a->count == 0)
        a->answer.ttl_s = 0;
    sp_list_remove(&a->link);
    sp_list_append(&a->resolver->ready, &a->link);
    sp_loop_defer(a->resolver->loop, &a->resolver->tell);
}

static void let_go(struct ask *a)
{
    sp_list_remove(&a->link);
    if (a->question != NULL)
        a->question->state = NULL;
    a->question = NULL;
    if (a->under_way == 0)
        free_ask(a);
}

static void on_tell(struct sp_task *task)
{
    struct sp_resolver *r = SP_CONTAINER_OF(task, struct sp_resolver, tell);

    while (!sp_list_is_empty(&r->ready)) {
        struct ask *a = SP_CONTAINER_OF(r->ready.next, struct ask, link);
        struct sp_question *q = a->question;
        struct sp_resolution answer = a->answer;
        struct sp_resolved *items = a->items;
        a->items = NULL;
        let_go(a);
        q->on_answer(q, &answer);
        sp_free(items);
    }
}

static bool says_none(int status)
{
    return status == ARES_ENOTFOUND || status == ARES_ENODATA;
}

static void note_failure(struct ask *a, int status)
{
    bool is_answer = says_none(status);

    a->answered = a->answered || is_answer;
    a->failed = a->failed || !is_answer;
    (void)snprintf(a->answer.error, sizeof(a->answer.error), "%s", ares_strerror(status));
}

static void note_ttl(struct ask *a, uint64_t ttl_s)
{
    if (ttl_s < a->answer.ttl_s)
        a->answer.ttl_s = ttl_s;
}

/* c-ares owes one call less. */
static void done(struct ask *a)
{
    a->under_way--;
    if (a->under_way > 0)
        return;
    if (a->question != NULL)
        finish(a);
    else
        free_ask(a);
}

static void add(struct ask *a, const struct part *p, const struct ares_addrinfo_node *node)
{
    struct sp_resolved *item = &a->items[a->count];

    if (a->count == SP_RESOLVED_MAX || (node->ai_family != AF_INET && node->ai_family != AF_INET6) ||
        node->ai_addrlen > sizeof(item->address.u))
        return;
    *item = (struct sp_resolved){.priority = p->priority, .weight = p->weight};
    memcpy(item->name, p->target, sizeof(item->name));
    item->address.len = node->ai_addrlen;
    memcpy(&item->address.u, node->ai_addr, node->ai_addrlen);
    note_ttl(a, node->ai_ttl > 0 ? (uint64_t)node->ai_ttl : 0);
    a->count++;
}

/* ---- one family that nobody speaks of ---- */

static bool names_addresses(const unsigned char *bytes, int len)
{
    ns_msg message;
    ns_rr record;

    if (ns_initparse(bytes, len, &message) != 0)
        return true;
    for (int i = 0; i < ns_msg_count(message, ns_s_an); i++) {
        if (ns_parserr(&message, ns_s_an, i, &record) != 0 || ns_rr_type(record) == ns_t_a ||
            ns_rr_type(record) == ns_t_aaaa)
            return true;
    }
    return false;
}

/* It has addresses after all, which the first answer went without; or nobody can say. */
static void on_other_family(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct ask *a = arg;
    bool has_none = status == ARES_SUCCESS ? !names_addresses(bytes, len) : says_none(status);

    (void)timeouts;
    a->failed = a->failed || !has_none;
    done(a);
}

/* c-ares calls addresses of one family a success, whatever became of its question for the other. */
static void make_sure_of_other_family(struct ask *a, const struct ares_addrinfo *result)
{
    bool has_ipv4 = false, has_ipv6 = false;

    for (const struct ares_addrinfo_node *n = result->nodes; n != NULL; n = n->ai_next) {
        has_ipv4 |= n->ai_family == AF_INET;
        has_ipv6 |= n->ai_family == AF_INET6;
    }
    bool lacks_ipv4 = a->question->had_ipv4 && !has_ipv4, lacks_ipv6 = a->question->had_ipv6 && !has_ipv6;
    if (result->name == NULL || lacks_ipv4 == lacks_ipv6)
        return;
    a->under_way++;
    ares_query(
        a->resolver->dns.channel, result->name, ns_c_in, lacks_ipv4 ? ns_t_a : ns_t_aaaa, on_other_family, a);
}

/* ---- addresses ---- */

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
    struct part *p = arg;
    struct ask *a = p->ask;

    (void)timeouts;
    if (status == ARES_SUCCESS && result != NULL && a->items == NULL && a->question != NULL) {
        a->items = sp_alloc(SP_RESOLVED_MAX, sizeof(*a->items));
        if (a->items == NULL)
            status = ARES_ENOMEM;
    }
    if (status == ARES_SUCCESS && result != NULL && a->question != NULL) {
        a->answered = true;
        for (const struct ares_addrinfo_node *n = result->nodes; n != NULL; n = n->ai_next)
            add(a, p, n);
        for (const struct ares_addrinfo_cname *c = result->cnames; c != NULL; c = c->next)
            note_ttl(a, c->ttl > 0 ? (uint64_t)c->ttl : 0);
        make_sure_of_other_family(a, result);
    } else {
        note_failure(a, status);
    }
    ares_freeaddrinfo(result);
    sp_free(p);
    done(a);
}

static enum sp_rc ask_addresses(struct ask *a, const char *host, uint16_t port, const struct part *of)
{
    static const struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NUMERICSERV | ARES_AI_NOSORT, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct part *p = SP_NEW(struct part);
    char service[8];

    if (p == NULL)
        return SP_FAIL;
    *p = *of;
    (void)snprintf(service, sizeof(service), "%u", port);
    a->under_way++;
    ares_getaddrinfo(a->resolver->dns.channel, host, service, &hints, on_addresses, p);
    return SP_OK;
}

/* ---- services ---- */

/* "." says that the service is not to be had there. */
static void ask_target(struct ask *a, const ns_msg *message, const ns_rr *record)
{
    const unsigned char *data = ns_rr_rdata(*record);
    struct part of = {.ask = a};

    if (ns_rr_rdlen(*record) < 7 ||
        dn_expand(ns_msg_base(*message), ns_msg_end(*message), data + 6, of.target, sizeof(of.target)) < 0) {
        note_failure(a, ARES_EBADRESP);
        return;
    }
    note_ttl(a, ns_rr_ttl(*record));
    a->answered = true;
    of.priority = (uint16_t)ns_get16(data);
    of.weight = (uint16_t)ns_get16(data + 2);
    uint16_t port = (uint16_t)ns_get16(data + 4);
    for (char *c = of.target; *c != '\0'; c++)
        *c = sp_lower(*c);
    if (of.target[0] != '\0' && strcmp(of.target, ".") != 0 && port != 0 &&
        ask_addresses(a, of.target, port, &of) != SP_OK)
        note_failure(a, ARES_ENOMEM);
}

static void ask_targets(struct ask *a, const unsigned char *bytes, int len)
{
    ns_msg message;
    unsigned asked = 0;

    if (ns_initparse(bytes, len, &message) != 0) {
        note_failure(a, ARES_EBADRESP);
        return;
    }
    for (int i = 0; i < ns_msg_count(message, ns_s_an) && asked < TARGETS_MAX; i++) {
        ns_rr record;
        if (ns_parserr(&message, ns_s_an, i, &record) != 0) {
            note_failure(a, ARES_EBADRESP);
            return;
        }
        if (ns_rr_type(record) == ns_t_cname)
            note_ttl(a, ns_rr_ttl(record));
        if (ns_rr_type(record) != ns_t_srv)
            continue;
        ask_target(a, &message, &record);
        asked++;
    }
    if (asked == 0)
        note_failure(a, ARES_ENODATA);
    else if (a->answer.error[0] == '\0')
        (void)snprintf(a->answer.error, sizeof(a->answer.error), "it names no target");
}

static void on_services(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct ask *a = arg;

    (void)timeouts;
    if (status != ARES_SUCCESS)
        note_failure(a, status);
    else if (a->question != NULL)
        ask_targets(a, bytes, len);
    done(a);
}

/* ---- questions ---- */

static struct ask *new_ask(struct sp_resolver *r, struct sp_question *q)
{
    struct ask *a = SP_NEW(struct ask);

    if (a == NULL)
        return NULL;
    a->resolver = r;
    a->question = q;
    a->answer.ttl_s = UINT64_MAX;
    a->deadline_ms = sp_loop_now_ms(r->loop) + QUESTION_MS;
    if (sp_list_is_empty(&r->asked))
        sp_timer_set(r->late, QUESTION_MS);
    sp_list_append(&r->asked, &a->link);
    q->resolver = r;
    q->state = a;
    return a;
}

enum sp_rc sp_resolver_ask(struct sp_resolver *r, struct sp_question *q, const char *host, uint16_t port)
{
    struct ask *a = new_ask(r, q);

    if (a == NULL)
        return SP_FAIL;
    const struct part of = {.ask = a};
    if (ask_addresses(a, host, port, &of) != SP_OK) {
        let_go(a);
        return SP_FAIL;
    }
    sp_dns_touched(&r->dns);
    return SP_OK;
}

enum sp_rc sp_resolver_ask_srv(struct sp_resolver *r, struct sp_question *q, const char *name)
{
    struct ask *a = new_ask(r, q);

    if (a == NULL)
        return SP_FAIL;
    a->under_way++;
    ares_query(r->dns.channel, name, ns_c_in, ns_t_srv, on_services, a);
    sp_dns_touched(&r->dns);
    return SP_OK;
}

void sp_question_cancel(struct sp_question *q)
{
    if (q->state != NULL)
        let_go(q->state);
}

static void on_late(void *arg)
{
    struct sp_resolver *r = arg;
    uint64_t now_ms = sp_loop_now_ms(r->loop);

    while (!sp_list_is_empty(&r->asked)) {
        struct ask *a = SP_CONTAINER_OF(r->asked.next, struct ask, link);
        if (a->deadline_ms > now_ms) {
            sp_timer_set(r->late, a->deadline_ms - now_ms);
            return;
        }
        a->failed = true;
        (void)snprintf(
            a->answer.error, sizeof(a->answer.error), "no answer within %u seconds", QUESTION_MS / 1000);
        finish(a);
    }
}

/* ---- life ---- */

enum sp_rc sp_resolver_new(
    struct sp_loop *loop, const char *servers, struct sp_resolver **out, struct sp_err *err)
{
    struct sp_resolver *r = SP_NEW(struct sp_resolver);

    *out = NULL;
    if (r == NULL)
        return sp_err_set(err, "resolver: not enough memory");
    r->loop = loop;
    sp_list_init(&r->asked);
    sp_list_init(&r->ready);
    sp_task_init(&r->tell, on_tell);
    r->late = sp_timer_new(loop, on_late, r);
    if (r->late == NULL || sp_dns_open(&r->dns, loop, servers, err) != SP_OK) {
        if (r->late == NULL)
            (void)sp_err_set(err, "resolver: not enough memory");
        sp_timer_free(r->late);
        sp_free(r);
        return SP_FAIL;
    }
    *out = r;
    return SP_OK;
}

static void let_all_go(struct sp_list *asks)
{
    SP_LIST_EACH (asks, it)
        let_go(SP_CONTAINER_OF(it, struct ask, link));
}

void sp_resolver_free(struct sp_resolver *r)
{
    if (r == NULL)
        return;
    let_all_go(&r->asked);
    let_all_go(&r->ready);
    sp_dns_close(&r->dns);
    sp_task_cancel(&r->tell);
    sp_timer_free(r->late);
    sp_free(r);
}
