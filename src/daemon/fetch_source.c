/* Asking and judging. Nothing that is fetched comes near the file of a good copy before it was found better: a CRL is
 * read by the code that will load it (pki's crl_check.h), a staple judged as a client would (pki's ocsp.h).
 *
 * Only URLs of the configuration are asked, and for a staple the one in our own certificate: none that somebody else
 * could have chosen. */
#include "fetch_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fetch_copy.h"
#include "sallyport/base/clock.h"
#include "sallyport/pki/crl_check.h"

/* ---- its life ---- */

struct sp_fetch_source *sp_fetch_source_new(const char *url, const char *file, const char *chain)
{
    struct sp_fetch_source *s = SP_NEW(struct sp_fetch_source);

    if (s == NULL)
        return NULL;
    sp_list_init(&s->link);
    s->url = strdup(url);
    s->file = strdup(file);
    s->chain = chain != NULL ? strdup(chain) : NULL;
    if (s->url != NULL && s->file != NULL && (s->chain != NULL || chain == NULL))
        return s;
    sp_fetch_source_free(s);
    return NULL;
}

void sp_fetch_source_free(struct sp_fetch_source *s)
{
    if (s == NULL)
        return;
    sp_fetch_source_end(s);
    sp_timer_free(s->timer);
    free(s->url);
    free(s->file);
    free(s->chain);
    sp_free(s);
}

void sp_fetch_source_end(struct sp_fetch_source *s)
{
    sp_buf_free(&s->job.body);
    sp_config_free(s->asked_under);
    s->asked_under = NULL;
    sp_ocsp_subject_free(s->subject);
    s->subject = NULL;
}

/* ---- CRLs ---- */

/* Those of `snapshot` that use the source. Into *out, to be freed; SP_FAIL without memory. */
static enum sp_rc trusts_of(const struct sp_fetch_source *s, const struct sp_snapshot *snapshot,
    const struct sp_trust ***out, size_t *count)
{
    size_t most = 0;

    for (size_t l = 0; l < snapshot->listener_count; l++)
        most += snapshot->listeners[l].config->host_count;
    *count = 0;
    *out = sp_alloc(most, sizeof(struct sp_trust *));
    if (*out == NULL)
        return SP_FAIL;
    for (size_t l = 0; l < snapshot->listener_count; l++) {
        const struct sp_snapshot_listener *listener = &snapshot->listeners[l];
        for (size_t h = 0; h < listener->config->host_count; h++) {
            const struct sp_config_client_auth *auth = &listener->config->hosts[h].client_auth;
            bool uses = false;
            for (size_t i = 0; auth->crl_urls != NULL && i < auth->crl.count; i++)
                uses = uses || (auth->crl_urls[i] != NULL && strcmp(auth->crl_urls[i], s->url) == 0);
            if (uses)
                (*out)[(*count)++] = listener->trusts[h];
        }
    }
    return SP_OK;
}

static enum sp_rc check_crl(const struct sp_fetch_source *s, const struct sp_snapshot *snapshot,
    const char *path, const char *kept, int64_t now, struct sp_crl_facts *facts, struct sp_err *err)
{
    const struct sp_trust **trusts;
    size_t count;

    if (trusts_of(s, snapshot, &trusts, &count) != SP_OK)
        return sp_err_set(err, "not enough memory");
    enum sp_rc rc = sp_crl_check(path, kept, trusts, count, now, facts, err);
    sp_free(trusts);
    return rc;
}

static void describe(
    struct sp_fetch_source *s, const char *issuer, uint64_t entries, int64_t from, int64_t until)
{
    char begins[SP_RFC3339_MAX], ends[SP_RFC3339_MAX] = "no end";
    char name[SP_FETCH_WHAT - 128];

    snprintf(name, sizeof(name), "%s", issuer);
    if (until != INT64_MAX)
        sp_time_rfc3339(until * 1000000, false, ends);
    sp_time_rfc3339(from * 1000000, false, begins);
    if (s->chain != NULL)
        snprintf(s->what, sizeof(s->what), "good, as of %s, until %s", begins, ends);
    else
        snprintf(s->what, sizeof(s->what), "%s, %" PRIu64 " entries, of %s, until %s", name, entries, begins,
            ends);
    s->until = until;
    s->has_copy = true;
}

static void look_at_crl(struct sp_fetch_source *s, const struct sp_snapshot *snapshot, int64_t now)
{
    struct sp_crl_facts facts;
    struct sp_copy_meta meta;
    struct sp_err why;

    if (check_crl(s, snapshot, s->file, NULL, now, &facts, &why) != SP_OK)
        return;
    describe(s, facts.issuer, facts.entries, facts.this_update, facts.next_update);
    if (sp_copy_meta_load(s->file, &meta) == SP_OK)
        s->looked_at = meta.looked_at;
}

/* What validators the answer came with, for the next question. Without them that one is answered whole: no harm. */
static void keep_meta(struct sp_fetch_source *s, int64_t now)
{
    struct sp_copy_meta meta = {.looked_at = now};

    memcpy(meta.etag, s->job.etag, sizeof(meta.etag));
    memcpy(meta.modified, s->job.modified, sizeof(meta.modified));
    (void)!sp_copy_meta_save(s->file, &meta, NULL);
    s->looked_at = now;
}

static bool is_markup(struct sp_slice body)
{
    size_t i = 0;

    if (sp_slice_starts(body, SP_SLICE("\xef\xbb\xbf")))
        i = 3;
    while (i < body.len && (body.ptr[i] == ' ' || (body.ptr[i] >= '\t' && body.ptr[i] <= '\r')))
        i++;
    return i < body.len && body.ptr[i] == '<';
}

static enum sp_rc take_crl(
    struct sp_fetch_source *s, const struct sp_snapshot *snapshot, int64_t now, struct sp_err *err)
{
    struct sp_slice body = sp_buf_slice(&s->job.body);
    struct sp_crl_facts facts;
    struct sp_copy_draft draft;

    if (body.len == 0)
        return sp_err_set(err, "the answer is empty");
    if (is_markup(body))
        return sp_err_set(err, "the answer is a page of HTML or XML and no CRL");
    if (s->has_copy && sp_copy_is(s->file, body)) {
        keep_meta(s, now);
        return SP_AGAIN;
    }
    if (sp_copy_draft_write(s->file, body, &draft, err) != SP_OK)
        return SP_FAIL;
    sp_buf_free(&s->job.body);
    if (check_crl(s, snapshot, draft.path, s->file, now, &facts, err) != SP_OK) {
        sp_copy_draft_drop(&draft);
        return SP_FAIL;
    }
    if (sp_copy_draft_keep(&draft, s->file, err) != SP_OK)
        return SP_FAIL;
    describe(s, facts.issuer, facts.entries, facts.this_update, facts.next_update);
    keep_meta(s, now);
    return SP_OK;
}

/* ---- staples ---- */

static void look_at_staple(struct sp_fetch_source *s, int64_t now)
{
    struct sp_ocsp_subject *subject = NULL;
    struct sp_ocsp_answer answer;
    struct sp_buf response = {0};
    struct sp_err why = {0};

    if (sp_ocsp_load(s->file, &response, &why) == SP_OK &&
        sp_ocsp_subject_load(s->chain, &subject, &why) == SP_OK) {
        sp_ocsp_subject_judge(subject, sp_buf_slice(&response), now, &answer);
        if (answer.status == SP_OCSP_GOOD && now < answer.until) {
            describe(s, "", 0, answer.this_update, answer.until);
            s->looked_at = answer.this_update;
        }
    }
    sp_ocsp_subject_free(subject);
    sp_buf_free(&response);
}

static enum sp_rc keep_staple(struct sp_fetch_source *s, struct sp_err *err)
{
    struct sp_copy_draft draft;

    if (sp_copy_draft_write(s->file, sp_buf_slice(&s->job.body), &draft, err) != SP_OK)
        return SP_FAIL;
    return sp_copy_draft_keep(&draft, s->file, err);
}

static enum sp_rc take_staple(struct sp_fetch_source *s, int64_t now, struct sp_err *err)
{
    struct sp_slice body = sp_buf_slice(&s->job.body);
    struct sp_ocsp_answer is, kept;
    struct sp_buf before = {0};
    bool is_older = false;

    sp_ocsp_subject_judge(s->subject, body, now, &is);
    if (is.status != SP_OCSP_GOOD)
        return sp_err_set(err, "%s: %s",
            is.status == SP_OCSP_REVOKED   ? "the responder says that our certificate is revoked"
            : is.status == SP_OCSP_UNKNOWN ? "the responder does not know our certificate"
                                           : "the response cannot be used",
            is.detail);
    if (now >= is.until)
        return sp_err_set(err, "the response has ended already: %s", is.detail);
    if (sp_copy_is(s->file, body)) {
        describe(s, "", 0, is.this_update, is.until);
        s->looked_at = now;
        return SP_AGAIN;
    }
    if (sp_ocsp_load(s->file, &before, &(struct sp_err){0}) == SP_OK) {
        sp_ocsp_subject_judge(s->subject, sp_buf_slice(&before), now, &kept);
        is_older = kept.status == SP_OCSP_GOOD && is.this_update < kept.this_update;
    }
    sp_buf_free(&before);
    if (is_older)
        return sp_err_set(err, "the response is older than the one that is kept");
    if (keep_staple(s, err) != SP_OK)
        return SP_FAIL;
    describe(s, "", 0, is.this_update, is.until);
    s->looked_at = now;
    return SP_OK;
}

static enum sp_rc ask_staple(struct sp_fetch_source *s, struct sp_err *err)
{
    bool is_auto = strcmp(s->url, "auto") == 0;

    if (sp_ocsp_subject_load(s->chain, &s->subject, err) != SP_OK)
        return SP_FAIL;
    s->job.url = is_auto ? sp_ocsp_subject_responder(s->subject) : s->url;
    if (s->job.url == NULL)
        return sp_err_set(
            err, "%s: the certificate names no OCSP responder; give its URL instead of auto", s->chain);
    if (!sp_fetch_url_is_valid(sp_slice_of(s->job.url), err))
        return sp_err_wrap(err, "%s: the URL of the OCSP responder in the certificate", s->chain);
    s->job.post_content_type = "application/ocsp-request";
    s->job.post_body = sp_ocsp_subject_request(s->subject);
    s->job.accept = "application/ocsp-response";
    s->job.max_bytes = SP_OCSP_MAX_BYTES;
    return SP_OK;
}

/* ---- both ---- */

void sp_fetch_source_look(struct sp_fetch_source *s, const struct sp_snapshot *snapshot, int64_t now)
{
    s->has_copy = false;
    s->looked_at = 0;
    s->until = 0;
    if (s->chain != NULL)
        look_at_staple(s, now);
    else
        look_at_crl(s, snapshot, now);
}

enum sp_rc sp_fetch_source_ask(struct sp_fetch_source *s, struct sp_config *config, struct sp_err *err)
{
    struct sp_copy_meta meta = {0};

    s->job.url = s->url;
    s->job.timeout_ms = config->fetch.timeout_ms;
    s->job.max_bytes = config->fetch.max_bytes;
    s->job.etag[0] = s->job.modified[0] = '\0';
    if (s->chain != NULL && ask_staple(s, err) != SP_OK) {
        sp_fetch_source_end(s);
        return SP_FAIL;
    }
    /* a copy that is no good is asked for anew */
    if (s->chain == NULL && s->has_copy && sp_copy_meta_load(s->file, &meta) == SP_OK) {
        memcpy(s->job.etag, meta.etag, sizeof(meta.etag));
        memcpy(s->job.modified, meta.modified, sizeof(meta.modified));
    }
    s->asked_under = sp_config_ref(config);
    s->job.ca_file = config->fetch.ca;
    return SP_OK;
}

enum sp_rc sp_fetch_source_take(
    struct sp_fetch_source *s, const struct sp_snapshot *snapshot, int64_t now, struct sp_err *err)
{
    struct sp_fetch_job *job = &s->job;
    bool was_conditional = s->chain == NULL && (job->etag[0] != '\0' || job->modified[0] != '\0');

    if (job->rc != SP_OK) {
        *err = job->err;
        return SP_FAIL;
    }
    if (job->status == 304 && was_conditional) {
        struct sp_copy_meta asked_with;
        if (sp_copy_meta_load(s->file, &asked_with) != SP_OK)
            return sp_err_set(
                err, "the copy was changed by somebody else while the server was asked about it");
        keep_meta(s, now);
        return SP_AGAIN;
    }
    if (job->status != 200)
        return sp_err_set(err, "the server answered %u", job->status);
    return s->chain != NULL ? take_staple(s, now, err) : take_crl(s, snapshot, now, err);
}
