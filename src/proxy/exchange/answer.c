/* Answers of our own: small, uniform, and silent about why. The client learns the status and a request id; the
 * log has the reason under the same id. */
#include <inttypes.h>
#include <stdio.h>

#include "proxy/proxy_impl.h"

/* A body that is here already is read and dropped, so that a refusal of a small request does not cost the
 * connection. One that is still to come is not waited for. */
static void drop_body_at_hand(struct sp_exchange *x)
{
    struct sp_stream *stream = x->session->stream;
    struct sp_fault fault;
    struct sp_slice data;
    size_t dropped = 0;

    if (x->head == NULL || x->request != SP_HALF_BODY || x->bytes_in > 0)
        return;
    while (dropped <= SP_IO_BLOCK) {
        enum sp_rc rc = stream->ops->recv_body(stream, &data, &fault);
        if (rc == SP_EOF)
            x->request = SP_HALF_DONE;
        if (rc != SP_OK)
            return;
        dropped += data.len;
        stream->ops->consume(stream, data.len);
    }
}

/* May the connection go on after this answer? Not when the end of the request is in doubt or its body is still
 * to come. */
static bool must_close(const struct sp_exchange *x)
{
    return x->head == NULL || !x->head->keep_alive || x->request != SP_HALF_DONE || x->session->leaving;
}

enum sp_next sp_answer(struct sp_exchange *x, unsigned status, enum sp_refusal reason, const char *detail)
{
    struct sp_session *s = x->session;
    struct sp_stream *stream = s->stream;
    const char *phrase = sp_status_phrase(status);
    const struct sp_head *request = x->head != NULL ? x->head : x->seen;
    bool is_head = request != NULL && request->method == SP_METHOD_HEAD;
    char body[192], retry_after[24];
    size_t taken;

    x->status = status;
    x->reason = reason;
    x->detail = detail;
    if (!x->close)
        drop_body_at_hand(x);
    x->close = x->close || must_close(x);
    x->answered = true;
    if (reason != SP_REFUSAL_none)
        sp_meter_refuse(s->worker->o.meter, reason);
    int len = snprintf(body, sizeof(body), "%u %s\nrequest id: %s\n", status, phrase, x->id);
    struct sp_line lines[6] = {
        {SP_SLICE("Date"), sp_worker_date(s->worker)},
        {SP_SLICE("Content-Type"), SP_SLICE("text/plain; charset=utf-8")},
        {SP_SLICE("Cache-Control"), SP_SLICE("no-store")},
        {SP_SLICE("X-Request-Id"), sp_slice_of(x->id)},
    };
    size_t line_count = 4;
    if (x->retry_after_s != 0) {
        snprintf(retry_after, sizeof(retry_after), "%" PRIu64, x->retry_after_s);
        lines[line_count++] = (struct sp_line){SP_SLICE("Retry-After"), sp_slice_of(retry_after)};
    }
    if (status == 405) /* RFC 9110 §15.5.6 */
        lines[line_count++] =
            (struct sp_line){SP_SLICE("Allow"), SP_SLICE("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")};
    struct sp_head_out out = {
        .status = status,
        .reason = sp_slice_of(phrase),
        .lines = lines,
        .line_count = line_count,
        .framing = is_head ? SP_FRAMING_NONE : SP_FRAMING_LENGTH,
        .content_length = (uint64_t)len,
        .announce_length = true,
        .close = x->close,
    };
    if (stream->ops->send_head(stream, &out) != SP_OK)
        return SP_NEXT_CUT;
    if (!is_head && stream->ops->send_body(stream, (struct sp_slice){body, (size_t)len}, &taken) != SP_OK)
        return SP_NEXT_CUT;
    if (stream->ops->send_end(stream, NULL, 0) != SP_OK)
        return SP_NEXT_CUT;
    x->step = SP_STEP_FLUSH;
    return SP_NEXT_STEP;
}
