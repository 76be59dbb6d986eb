/* What is recorded of a decision, apart from how the request went: the audit record, what rules in report mode would have
 * done, and the counters by rule. A decision is recorded whole, certificate and generation included, so that it can be
 * explained later without anything else. */
#include <stdio.h>

#include "proxy/proxy_impl.h"
#include "record.h"

/* ---- counting ---- */

static void count(
    const struct sp_worker *w, const struct sp_view *view, size_t rule, enum sp_rule_event event)
{
    sp_rule_meters_count(view->snapshot->rule_meters, rule, w->o.index, event);
}

void sp_count_decision(const struct sp_exchange *x)
{
    const struct sp_worker *w = x->session->worker;
    const struct sp_config *config = x->view->snapshot->config;
    const struct sp_decision *d = &x->decision;

    count(w, x->view, d->rule, d->allowed ? SP_RULE_ALLOWED : SP_RULE_DENIED);
    for (size_t i = 0; i < d->report_count; i++) {
        bool denies = config->rules[d->reports[i]].deny_status != 0;
        count(w, x->view, d->reports[i], denies ? SP_RULE_WOULD_DENY : SP_RULE_WOULD_ALLOW);
    }
}

void sp_count_limit(const struct sp_exchange *x)
{
    const struct sp_worker *w = x->session->worker;

    if (x->reason == SP_REFUSAL_caller_rate)
        count(w, x->view, x->decision.rule, SP_RULE_LIMITED_RATE);
    else if (x->reason == SP_REFUSAL_caller_requests)
        count(w, x->view, x->decision.rule, SP_RULE_LIMITED_REQUESTS);
}

/* ---- what records share ---- */

void sp_record_reports(const struct sp_exchange *x, char out[SP_REPORTS_ROOM])
{
    const struct sp_config_rule *rules = x->view->snapshot->config->rules;
    const struct sp_decision *d = &x->decision;
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < d->report_count && n < SP_REPORTS_ROOM; i++) {
        const struct sp_config_rule *rule = &rules[d->reports[i]];
        n += (size_t)snprintf(out + n, SP_REPORTS_ROOM - n, "%s%s:%s", i > 0 ? "," : "", rule->name,
            rule->deny_status != 0 ? "deny" : "allow");
    }
}

void sp_record_add_reports(struct sp_record *r, const struct sp_exchange *x)
{
    if (x->reports == NULL)
        sp_record_reports(x, r->reports);
    const char *text = x->reports != NULL ? x->reports : r->reports;
    if (text[0] != '\0')
        r->fields[r->n++] = SP_LOG_C("reports", text);
}

void sp_record_add_certificate(struct sp_record *r, const struct sp_identity *id)
{
    if (id == NULL)
        return;
    sp_cert_facts_of_identity(id, &r->facts);
    if (r->facts.sans[0] != '\0')
        r->fields[r->n++] = SP_LOG_C("sans", r->facts.sans);
    r->fields[r->n++] = SP_LOG_S("issuer", id->issuer);
    r->fields[r->n++] = SP_LOG_S("serial", id->serial_hex);
    r->fields[r->n++] = SP_LOG_S("sha256", id->sha256_hex);
}

/* A path that was never judged, of a refused request: enough to know it by. */
#define SEEN_PATH_MAX 512

void sp_record_add_request(struct sp_record *r, const struct sp_exchange *x)
{
    const struct sp_head *head = x->head != NULL ? x->head : x->seen;

    if (head == NULL)
        return;
    struct sp_log_field path = SP_LOG_S("path", head->path);
    if (x->head == NULL && head->path.len > SEEN_PATH_MAX) {
        path.u64 = head->path.len - SEEN_PATH_MAX;
        path.str.len = SEEN_PATH_MAX;
    }
    r->fields[r->n++] = SP_LOG_S("method", head->method_text);
    r->fields[r->n++] = SP_LOG_S("host", head->host);
    bool is_rewritten = x->target.own != NULL;
    if (is_rewritten)
        path.str = x->target.path;
    r->fields[r->n++] = path;
    if (is_rewritten)
        r->fields[r->n++] = SP_LOG_S("rewritten_from", head->path);
}

/* ---- audit records ---- */

static void add_text(struct sp_record *r, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        r->fields[r->n++] = SP_LOG_C(key, text);
}

static void add_client(struct sp_record *r, const struct sp_handover *who)
{
    r->fields[r->n++] = SP_LOG_C("listener", who->listener);
    r->fields[r->n++] = SP_LOG_C("peer", who->peer);
    add_text(r, "via", who->via);
    add_text(r, "sni", who->sni);
    add_text(r, "tls", who->tls);
    if (who->identity != NULL)
        r->fields[r->n++] = SP_LOG_S("subject", who->identity->subject);
    sp_record_add_certificate(r, who->identity);
}

/* What a backend did, or a client that went away, after a rule had allowed the request, is no decision of ours; one whose
 * client went away before was refused by nobody. One that was broken off with its session has that one's reason. */
static const char *decision_of(const struct sp_exchange *x)
{
    char when = sp_refusal_when(x->reason);

    if (x->reason == SP_REFUSAL_none)
        return "allowed";
    if (!x->decision.allowed)
        return x->reason == SP_REFUSAL_client_gone ? "ended" : "refused";
    if (x->reason == x->session->end_reason)
        return "ended";
    if (when == 'U' || x->reason == SP_REFUSAL_client_gone)
        return "allowed";
    return when == 'R' ? "refused" : "ended";
}

void sp_audit_exchange(const struct sp_exchange *x)
{
    const struct sp_session *s = x->session;
    const struct sp_config *config = x->view->snapshot->config;
    const char *decision = decision_of(x);
    struct sp_record r;

    if (!sp_logger_has_audit(s->worker->o.logger) ||
        (strcmp(decision, "allowed") == 0 && !config->audit.allowed))
        return;
    r.n = 0;
    r.fields[r.n++] = SP_LOG_W("decision", decision);
    if (x->reason != SP_REFUSAL_none)
        r.fields[r.n++] = SP_LOG_W("reason", sp_refusal_name(x->reason));
    add_text(&r, "detail", x->detail);
    r.fields[r.n++] = SP_LOG_C("rule", x->decision.rule_name);
    sp_record_add_reports(&r, x);
    r.fields[r.n++] = SP_LOG_C("caller", x->decision.caller_name);
    add_client(&r, s->who);
    sp_record_add_request(&r, x);
    if (s->is_tcp)
        r.fields[r.n++] = SP_LOG_W("mode", "tcp");
    else
        r.fields[r.n++] = SP_LOG_N("status", x->status);
    if (x->decision.allowed)
        r.fields[r.n++] = SP_LOG_C("upstream", x->decision.upstream_name);
    r.fields[r.n++] = SP_LOG_C("id", x->id);
    r.fields[r.n++] = SP_LOG_N("generation", x->generation);
    sp_log_audit(s->worker->o.logger, r.fields, r.n);
}

void sp_audit_end(const struct sp_session *s, enum sp_refusal reason)
{
    const struct sp_worker *w = s->worker;
    struct sp_record r;

    if (reason == SP_REFUSAL_caller_connections)
        count(w, w->view, SP_NONE, SP_RULE_LIMITED_CONNECTIONS);
    if (!sp_logger_has_audit(w->o.logger))
        return;
    r.n = 0;
    r.fields[r.n++] = SP_LOG_W("decision", "ended");
    r.fields[r.n++] = SP_LOG_W("reason", sp_refusal_name(reason));
    add_text(&r, "detail", s->end_detail);
    add_client(&r, s->who);
    r.fields[r.n++] = SP_LOG_N("generation", w->view->snapshot->generation);
    sp_log_audit(w->o.logger, r.fields, r.n);
}
