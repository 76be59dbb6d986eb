/* The access record: one line a request, whatever became of it. Only pointers and bytes are gathered here;
 * formatting and writing are the log writer's. The query string is not logged: it may hold secrets. */
#include "proxy_impl.h"
#include "sallyport/base/clock.h"

static void count(struct sp_meter_block *meter, const struct sp_exchange *x)
{
    static const enum sp_meter_id CLASSES[] = {SP_METER_responses_1xx, SP_METER_responses_2xx,
        SP_METER_responses_3xx, SP_METER_responses_4xx, SP_METER_responses_5xx};

    if (x->status >= 100 && x->status < 600)
        sp_meter_add(meter, CLASSES[x->status / 100 - 1], 1);
    sp_meter_add(meter, SP_METER_bytes_in, x->bytes_in);
    sp_meter_add(meter, SP_METER_bytes_out, x->bytes_out);
}

static uint64_t since(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

/* A path that was never judged, of a refused request: enough to know it by. */
#define SEEN_PATH_MAX 512

static struct sp_log_field path_field(struct sp_slice path, bool judged)
{
    struct sp_log_field field = SP_LOG_S("path", path);

    if (!judged && path.len > SEEN_PATH_MAX) {
        field.u64 = path.len - SEEN_PATH_MAX;
        field.str.len = SEEN_PATH_MAX;
    }
    return field;
}

void sp_record(const struct sp_exchange *x)
{
    static const struct sp_head NO_HEAD;
    const struct sp_session *s = x->session;
    const struct sp_head *head = x->head != NULL ? x->head : x->seen != NULL ? x->seen : &NO_HEAD;
    const struct sp_handover *who = s->who;
    struct sp_log_field fields[24];
    size_t n = 0;

    count(s->worker->o.meter, x);
    if (!sp_logger_has_access(s->worker->o.logger))
        return;
    fields[n++] = SP_LOG_C("id", x->id);
    fields[n++] = SP_LOG_C("listener", who->listener);
    fields[n++] = SP_LOG_C("peer", who->peer);
    fields[n++] = SP_LOG_C("tls", who->tls);
    if (who->sni[0] != '\0')
        fields[n++] = SP_LOG_C("sni", who->sni);
    if (who->identity != NULL)
        fields[n++] = SP_LOG_S("subject", who->identity->subject);
    fields[n++] = SP_LOG_C("caller", x->decision.caller_name);
    fields[n++] = SP_LOG_C("rule", x->decision.rule_name);
    fields[n++] = SP_LOG_S("method", head->method_text);
    fields[n++] = SP_LOG_S("host", head->host);
    fields[n++] = path_field(head->path, x->head != NULL);
    fields[n++] = SP_LOG_N("status", x->status);
    if (x->reason != SP_REFUSAL_none)
        fields[n++] = SP_LOG_W("reason", sp_refusal_name(x->reason));
    if (x->detail != NULL)
        fields[n++] = SP_LOG_C("detail", x->detail);
    fields[n++] = SP_LOG_N("bytes_in", x->bytes_in);
    fields[n++] = SP_LOG_N("bytes_out", x->bytes_out);
    fields[n++] = SP_LOG_T("duration_ms", since(x->start_us, sp_mono_us()));
    if (x->endpoint != NULL) {
        const struct sp_config *config = x->view->snapshot->config;
        fields[n++] = SP_LOG_C("upstream", config->upstreams[x->decision.upstream].name);
        fields[n++] = SP_LOG_C("endpoint", sp_endpoint_text(x->endpoint));
        fields[n++] = SP_LOG_T("connect_ms", since(x->connect_start_us, x->connect_us));
        if (x->response_us != 0)
            fields[n++] = SP_LOG_T("response_ms", since(x->sent_us, x->response_us));
    }
    sp_log_access(s->worker->o.logger, fields, n);
}
