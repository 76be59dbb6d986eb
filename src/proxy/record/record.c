/* The access record: one line a request, whatever became of it. Only pointers and bytes are gathered here;
 * formatting and writing are the log writer's. The query string is not logged: it may hold secrets. Audit records are in
 * audit.c. */
#include "record.h"

#include "sallyport/base/clock.h"

static void count(struct sp_meter_block *meter, const struct sp_exchange *x)
{
    static const enum sp_meter_id CLASSES[] = {SP_METER_responses_1xx, SP_METER_responses_2xx,
        SP_METER_responses_3xx, SP_METER_responses_4xx, SP_METER_responses_5xx};

    if (x->status >= 100 && x->status < 600)
        sp_meter_add(meter, CLASSES[x->status / 100 - 1], 1);
    if (x->tunnel.open) /* counted as they went */
        return;
    sp_meter_add(meter, SP_METER_bytes_in, x->bytes_in);
    sp_meter_add(meter, SP_METER_bytes_out, x->bytes_out);
}

static uint64_t since(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

void sp_record_exchange(const struct sp_exchange *x)
{
    const struct sp_session *s = x->session;
    const struct sp_handover *who = s->who;
    struct sp_record r;

    count(s->worker->o.meter, x);
    sp_count_limit(x);
    sp_audit_exchange(x);
    if (!sp_logger_has_access(s->worker->o.logger))
        return;
    r.n = 0;
    r.fields[r.n++] = SP_LOG_C("id", x->id);
    r.fields[r.n++] = SP_LOG_C("listener", who->listener);
    r.fields[r.n++] = SP_LOG_C("peer", who->peer);
    if (who->via[0] != '\0')
        r.fields[r.n++] = SP_LOG_C("via", who->via);
    r.fields[r.n++] = SP_LOG_C("tls", who->tls);
    if (who->sni[0] != '\0')
        r.fields[r.n++] = SP_LOG_C("sni", who->sni);
    if (who->identity != NULL)
        r.fields[r.n++] = SP_LOG_S("subject", who->identity->subject);
    if (x->reason != SP_REFUSAL_none) /* so that the line alone can be explained */
        sp_record_add_certificate(&r, who->identity);
    r.fields[r.n++] = SP_LOG_C("caller", x->decision.caller_name);
    r.fields[r.n++] = SP_LOG_C("rule", x->decision.rule_name);
    sp_record_add_reports(&r, x);
    sp_record_add_request(&r, x);
    if (x->trace.id[0] != '\0')
        r.fields[r.n++] = SP_LOG_C("trace", x->trace.id);
    if (s->is_tcp)
        r.fields[r.n++] = SP_LOG_W("mode", "tcp");
    else
        r.fields[r.n++] = SP_LOG_N("status", x->status);
    if (x->tunnel.open && !s->is_tcp)
        r.fields[r.n++] = SP_LOG_S("upgrade", x->upgrade);
    if (x->reason != SP_REFUSAL_none)
        r.fields[r.n++] = SP_LOG_W("reason", sp_refusal_name(x->reason));
    if (x->detail != NULL)
        r.fields[r.n++] = SP_LOG_C("detail", x->detail);
    r.fields[r.n++] = SP_LOG_N("bytes_in", x->bytes_in);
    r.fields[r.n++] = SP_LOG_N("bytes_out", x->bytes_out);
    r.fields[r.n++] = SP_LOG_T("duration_ms", since(x->start_us, sp_mono_us()));
    if (x->errand.endpoint != NULL) {
        r.fields[r.n++] = SP_LOG_C("upstream", x->decision.upstream_name);
        r.fields[r.n++] = SP_LOG_C("endpoint", x->errand.endpoint->text);
        if (x->errand.tries > 1)
            r.fields[r.n++] = SP_LOG_N("tries", x->errand.tries);
        r.fields[r.n++] = SP_LOG_T("connect_ms", since(x->connect_start_us, x->connect_us));
        if (x->response_us != 0)
            r.fields[r.n++] = SP_LOG_T("response_ms", since(x->sent_us, x->response_us));
    }
    sp_log_access(s->worker->o.logger, r.fields, r.n);
}
