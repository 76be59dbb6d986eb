/* OCSP about clients: from a question to whoever waits for its answer.
 *
 *      ask ---> remembered? ------------------------------> answer at once
 *                   | no
 *              asked already? --- yes ---> wait with the others
 *                   | no
 *              room, a fetcher? --- no ---> unusable at once
 *                   | yes
 *              inquiry --- mail from the fetcher ---> judged, remembered, every waiter is called
 *
 * An inquiry is independent of who waits for it: they may all have gone when its answer comes. It holds the snapshot
 * whose trust judges the answer. */
#include "ocsp.h"

#include <stdio.h>

#include "inquiries_impl.h"
#include "sallyport/base/clock.h"
#include "sallyport/fetch/fetch.h"

/* Between two events about clients that are let in without an answer. */
#define TELL_EVERY_MS 10000

struct inquiry {
    struct sp_list link; /* of the gate's inquiries */
    struct sp_list waiters;
    struct sp_gate *gate;
    struct sp_snapshot *snapshot; /* one reference: trust, URL and CA file are its */
    const struct sp_trust *trust;
    struct sp_identity *identity; /* one reference */
    uint8_t key[SP_INQUIRY_KEY];
    struct sp_buf request;
    struct sp_fetch_job job;
};

static enum sp_rc unusable(struct sp_ocsp_answer *out, const char *detail)
{
    *out = (struct sp_ocsp_answer){.status = SP_OCSP_UNUSABLE};
    snprintf(out->detail, sizeof(out->detail), "%.*s", (int)sizeof(out->detail) - 1, detail);
    return SP_OK;
}

static void inquiry_free(struct inquiry *q)
{
    sp_list_remove(&q->link);
    sp_snapshot_unref(q->snapshot);
    sp_identity_free(q->identity);
    sp_buf_free(&q->request);
    sp_buf_free(&q->job.body);
    sp_free(q);
}

/* ---- the answer ---- */

static void judge(const struct inquiry *q, struct sp_ocsp_answer *out)
{
    char text[64];
    if (q->job.rc != SP_OK) {
        unusable(out, q->job.err.text);
    } else if (q->job.status != 200) {
        snprintf(text, sizeof(text), "the responder answered with HTTP status %u", q->job.status);
        unusable(out, text);
    } else {
        sp_trust_judge_ocsp(q->trust, q->identity, sp_buf_slice(&q->job.body), sp_wall_s(), out);
    }
}

static void on_fetched(struct sp_mail *m)
{
    struct sp_fetch_job *job = SP_CONTAINER_OF(m, struct sp_fetch_job, mail);
    struct inquiry *q = SP_CONTAINER_OF(job, struct inquiry, job);
    struct sp_gate *g = q->gate;
    struct sp_ocsp_answer answer;

    sp_inquiries_leave(g->o.inquiries);
    judge(q, &answer);
    if (answer.status == SP_OCSP_UNUSABLE)
        sp_meter_add(g->o.meter, SP_METER_ocsp_failures, 1);
    sp_inquiries_put(g->o.inquiries, q->key, sp_wall_s(), &answer);
    sp_list_remove(&q->link); /* who asks again from its call finds the answer, not us */
    while (!sp_list_is_empty(&q->waiters)) {
        struct sp_ocsp_wait *w = SP_CONTAINER_OF(q->waiters.next, struct sp_ocsp_wait, link);
        sp_list_remove(&w->link);
        w->on_answer(w, &answer);
    }
    inquiry_free(q);
}

/* ---- the question ---- */

static struct inquiry *inquiry_under_way(struct sp_gate *g, const uint8_t key[SP_INQUIRY_KEY])
{
    SP_LIST_EACH (&g->inquiries, it) {
        struct inquiry *q = SP_CONTAINER_OF(it, struct inquiry, link);
        if (memcmp(q->key, key, SP_INQUIRY_KEY) == 0)
            return q;
    }
    return NULL;
}

/* NULL: `err` says why. */
static struct inquiry *inquiry_new(struct sp_gate *g, const struct sp_ocsp_wait *w, struct sp_err *err)
{
    struct inquiry *q = SP_NEW(struct inquiry);
    if (q == NULL) {
        sp_err_set(err, "not enough memory to ask the responder");
        return NULL;
    }
    sp_list_init(&q->link);
    sp_list_init(&q->waiters);
    q->gate = g;
    q->snapshot = sp_snapshot_ref(w->snapshot);
    q->trust = w->trust;
    q->identity = sp_identity_ref(w->identity);
    if (sp_ocsp_request(w->identity->ocsp_cert_id, &q->request, err) != SP_OK) {
        inquiry_free(q);
        return NULL;
    }
    q->job = (struct sp_fetch_job){
        .url = w->auth->ocsp_url,
        .ca_file = w->snapshot->config->fetch.ca,
        .post_content_type = "application/ocsp-request",
        .post_body = sp_buf_slice(&q->request),
        .accept = "application/ocsp-response",
        .max_bytes = SP_OCSP_MAX_BYTES,
        .timeout_ms = w->auth->ocsp_timeout_ms,
        .wait_ms = w->auth->ocsp_timeout_ms,
        .loop = g->o.loop,
        .mail = {.fn = on_fetched},
    };
    return q;
}

static enum sp_rc start(
    struct sp_gate *g, struct sp_ocsp_wait *w, const uint8_t key[SP_INQUIRY_KEY], struct sp_ocsp_answer *out)
{
    struct sp_err err = {0};
    struct sp_fetcher *fetcher;
    const char *detail;
    if (sp_inquiries_enter(g->o.inquiries, &fetcher, &detail) != SP_OK) {
        sp_meter_add(g->o.meter, SP_METER_ocsp_failures, 1);
        return unusable(out, detail);
    }
    struct inquiry *q = inquiry_new(g, w, &err);
    if (q == NULL) {
        sp_inquiries_leave(g->o.inquiries);
        sp_meter_add(g->o.meter, SP_METER_ocsp_failures, 1);
        return unusable(out, err.text);
    }
    memcpy(q->key, key, SP_INQUIRY_KEY);
    sp_list_append(&g->inquiries, &q->link);
    sp_list_append(&q->waiters, &w->link);
    sp_meter_add(g->o.meter, SP_METER_ocsp_queries, 1);
    sp_fetch(fetcher, &q->job);
    return SP_AGAIN;
}

enum sp_rc sp_ocsp_ask(struct sp_gate *g, struct sp_ocsp_wait *w, struct sp_ocsp_answer *out)
{
    uint8_t key[SP_INQUIRY_KEY];
    sp_list_init(&w->link);
    if (sp_ocsp_key(sp_slice_of(w->auth->ocsp_url), w->identity->ocsp_cert_id, key) != SP_OK)
        return unusable(out, "not enough memory to ask the responder");
    if (sp_inquiries_find(g->o.inquiries, key, sp_wall_s(), out)) {
        sp_meter_add(g->o.meter, SP_METER_ocsp_cache_hits, 1);
        return SP_OK;
    }
    struct inquiry *q = inquiry_under_way(g, key);
    if (q == NULL)
        return start(g, w, key, out);
    sp_list_append(&q->waiters, &w->link);
    return SP_AGAIN;
}

void sp_ocsp_cancel(struct sp_ocsp_wait *w)
{
    sp_list_remove(&w->link);
}

/* ---- let in without an answer ---- */

void sp_ocsp_tell_let_in(struct sp_gate *g, const struct sp_ocsp_wait *w, const struct sp_ocsp_answer *answer)
{
    uint64_t now = sp_loop_now_ms(g->o.loop);
    struct sp_log_field fields[] = {
        SP_LOG_C("url", w->auth->ocsp_url),
        SP_LOG_S("subject", w->identity->subject),
        SP_LOG_N("let_in", ++g->let_in_since),
        SP_LOG_C("detail", answer->detail),
    };

    sp_meter_add(g->o.meter, SP_METER_ocsp_let_in, 1);
    if (g->let_in_told_ms != 0 && now - g->let_in_told_ms < TELL_EVERY_MS)
        return;
    g->let_in_told_ms = now;
    g->let_in_since = 0;
    sp_log_event(g->o.logger, SP_LOG_WARN, "ocsp_unreachable", fields, SP_COUNTOF(fields));
}
