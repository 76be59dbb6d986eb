/* A trial for programs: stable keys, described in docs/explain.md. */
#include "account.h"
#include "json.h"
#include "sallyport/base/clock.h"
#include "steps.h"

static const char *const STAGES[] = {[SP_TRIAL_HANDSHAKE] = "handshake",
    [SP_TRIAL_REQUEST] = "request",
    [SP_TRIAL_RULES] = "rules",
    [SP_TRIAL_HEADERS] = "headers",
    [SP_TRIAL_UPSTREAM] = "upstream"};

static void open(struct sp_buf *out, const char *name, char bracket)
{
    sp_json_key(out, name);
    sp_buf_add_char(out, bracket);
}

/* ---- who ---- */

static void add_certificate(struct sp_buf *out, const struct sp_trial *t)
{
    sp_json_key(out, "certificate");
    if (t->asked->cert == NULL) {
        sp_buf_add_str(out, "null");
        return;
    }
    sp_buf_add_char(out, '{');
    sp_json_text(out, "file", t->asked->cert);
    sp_json_bool(out, "accepted", t->identity != NULL);
    sp_json_bool(out, "revocation_checked", sp_account_looks_at_revocation(t));
    open(out, "chain", '[');
    for (const struct sp_trial_step *s = t->steps; s != NULL; s = s->next)
        sp_step_json(out, &s->step, sp_account_looks_at_revocation(t));
    sp_buf_add_str(out, "]}");
}

struct names {
    struct sp_buf *out;
    const char *kind; /* only these */
};

static void add_name(void *arg, const char *kind, struct sp_slice name)
{
    struct names *n = arg;

    if (strcmp(kind, n->kind) != 0)
        return;
    sp_json_next(n->out);
    sp_json_string(n->out, name);
}

static void add_identity(struct sp_buf *out, const struct sp_identity *id)
{
    static const char *const KINDS[] = {"uri", "dns", "email", "ip"};
    char time[SP_RFC3339_MAX];

    sp_json_key(out, "identity");
    if (id == NULL) {
        sp_buf_add_str(out, "null");
        return;
    }
    sp_buf_add_char(out, '{');
    sp_json_slice(out, "subject", id->subject);
    sp_json_slice(out, "issuer", id->issuer);
    sp_json_slice(out, "serial", id->serial_hex);
    sp_json_slice(out, "fingerprint_sha256", id->sha256_hex);
    for (size_t k = 0; k < SP_COUNTOF(KINDS); k++) {
        struct names names = {out, KINDS[k]};
        open(out, KINDS[k], '[');
        sp_account_each_name(id, add_name, &names);
        sp_buf_add_char(out, ']');
    }
    sp_json_text(
        out, "not_after", id->not_after != 0 ? sp_time_rfc3339(id->not_after * 1000000, false, time) : NULL);
    sp_buf_add_char(out, '}');
}

static void add_callers(struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t)
{
    struct sp_caller_ids ids = sp_trial_callers(t);

    open(out, "callers", '[');
    for (size_t i = 0; i < ids.count; i++) {
        sp_json_next(out);
        sp_json_string(out, sp_slice_of(o->config->callers[ids.items[i]].name));
    }
    sp_buf_add_char(out, ']');
}

/* ---- what is asked ---- */

static void add_request(struct sp_buf *out, const struct sp_trial *t)
{
    char time[SP_RFC3339_MAX];

    sp_json_text(out, "time", sp_time_rfc3339(t->now * 1000000, false, time));
    sp_json_text(out, "listener", t->listener->name);
    sp_json_text(out, "sni", t->sni[0] != '\0' ? t->sni : NULL);
    sp_json_text(out, "source", t->source.len != 0 ? t->asked->source : NULL);
    sp_json_text(out, "mode", t->is_tcp ? "tcp" : "http");
    if (t->is_tcp) {
        sp_json_text(out, "request", NULL);
        return;
    }
    open(out, "request", '{');
    sp_json_text(out, "method", t->method);
    sp_json_text(out, "host", t->host_text);
    sp_json_text(out, "path", t->path);
    sp_json_slice(out, "rewritten", t->target.own != NULL ? t->target.path : (struct sp_slice){NULL, 0});
    sp_json_text(out, "upgrade", t->asked->upgrade);
    sp_buf_add_char(out, '}');
}

/* ---- rules ---- */

struct rules {
    struct sp_buf *out;
    const struct sp_offline *o;
    const struct sp_trial *t;
    size_t left; /* of those that nearly matched */
    bool failed;
};

static void add_misses(struct sp_buf *out, const struct sp_miss *misses, size_t count)
{
    open(out, "misses", '[');
    for (size_t i = 0; i < count; i++) {
        sp_json_next(out);
        sp_buf_add_char(out, '{');
        sp_json_text(out, "condition", misses[i].condition);
        sp_json_text(out, "wanted", misses[i].wanted);
        sp_json_text(out, "found", misses[i].found);
        sp_buf_add_char(out, '}');
    }
    sp_buf_add_char(out, ']');
}

static void add_caller(void *arg, const struct sp_caller_account *account)
{
    struct rules *r = arg;

    if (account->is_one)
        return;
    sp_json_next(r->out);
    sp_buf_add_char(r->out, '{');
    sp_json_text(r->out, "caller", account->name);
    sp_json_number(r->out, "entry", account->entry + 1);
    add_misses(r->out, account->misses, account->miss_count);
    sp_buf_add_char(r->out, '}');
}

static bool misses_from(const struct sp_rule_account *account)
{
    for (size_t i = 0; i < account->miss_count; i++) {
        if (strcmp(account->misses[i].condition, "from") == 0)
            return true;
    }
    return false;
}

static void add_rule(void *arg, const struct sp_rule_account *account)
{
    struct rules *r = arg;
    const struct sp_config_rule *rule = &r->o->config->rules[account->rule];

    if (!sp_account_shows(r->o, account, &r->left))
        return;
    sp_json_next(r->out);
    sp_buf_add_char(r->out, '{');
    sp_json_text(r->out, "rule", account->name);
    sp_json_bool(r->out, "matches", account->matches);
    sp_json_bool(r->out, "decides", account->decides);
    sp_json_text(r->out, "mode", rule->mode == SP_RULE_REPORT ? "report" : "enforce");
    sp_json_text(r->out, "upstream", rule->upstream);
    sp_json_key(r->out, "deny");
    if (rule->deny_status != 0)
        sp_buf_printf(r->out, "%u", rule->deny_status);
    else
        sp_buf_add_str(r->out, "null");
    add_misses(r->out, account->misses, account->miss_count);
    open(r->out, "callers", '[');
    if (misses_from(account) &&
        sp_account_each_caller_of_rule(r->o, r->t, account->rule, add_caller, r) != SP_OK)
        r->failed = true;
    sp_buf_add_char(r->out, ']');
    sp_buf_add_char(r->out, '}');
}

static enum sp_rc add_rules(
    struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t, size_t nearest)
{
    size_t left = t->reason == SP_REFUSAL_no_rule ? nearest : 0;
    struct rules r = {.out = out, .o = o, .t = t, .left = left};
    const struct sp_connection c = sp_trial_connection(t);
    enum sp_rc rc = SP_OK;

    open(out, "rules", '[');
    if (t->standing != NULL)
        rc = sp_policy_explain(
            t->standing, &c, &t->request, left > 0 ? o->config->rule_count : 0, add_rule, &r);
    sp_buf_add_char(out, ']');
    return r.failed ? SP_FAIL : rc;
}

/* ---- where it goes ---- */

static void add_limit(void *arg, const char *caller, const struct sp_config_caller_limits *limits)
{
    struct sp_buf *out = arg;

    sp_json_next(out);
    sp_buf_add_char(out, '{');
    sp_json_text(out, "caller", caller);
    sp_json_number(out, "requests", limits->rate.requests);
    sp_json_number(out, "period_ms", limits->rate.period_ms);
    sp_json_number(out, "burst", limits->burst);
    sp_json_number(out, "concurrent_requests", limits->concurrent_requests);
    sp_json_number(out, "connections", limits->connections);
    sp_json_text(out, "per", limits->per);
    sp_buf_add_char(out, '}');
}

static void add_line(void *arg, const struct sp_line *line)
{
    struct sp_buf *out = arg;

    sp_json_next(out);
    sp_buf_add_char(out, '[');
    sp_json_string(out, line->name);
    sp_json_next(out);
    sp_json_string(out, line->value);
    sp_buf_add_char(out, ']');
}

static void add_edit(void *arg, const char *what, const char *name, const char *value)
{
    struct sp_buf *out = arg;

    sp_json_next(out);
    sp_buf_add_char(out, '{');
    sp_json_text(out, "edit", what);
    sp_json_text(out, "name", name);
    sp_json_text(out, "value", value);
    sp_buf_add_char(out, '}');
}

static void add_note(void *arg, const char *note)
{
    sp_json_next(arg);
    sp_json_string(arg, sp_slice_of(note));
}

static void add_verdict(struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t)
{
    bool allowed = t->reason == SP_REFUSAL_none;

    sp_json_bool(out, "allowed", allowed);
    sp_json_text(out, "stage", STAGES[t->stage]);
    sp_json_text(out, "reason", allowed ? NULL : sp_refusal_name(t->reason));
    sp_json_text(out, "detail", t->detail[0] != '\0' ? t->detail : NULL);
    sp_json_text(out, "meaning", allowed ? NULL : sp_refusal_meaning(t->reason));
    sp_json_key(out, "status");
    if (t->status != 0)
        sp_buf_printf(out, "%u", t->status);
    else
        sp_buf_add_str(out, "null");
    sp_json_text(out, "rule", t->decision.rule_name);
    sp_json_text(out, "caller", t->decision.caller_name);
    sp_json_text(out, "upstream", allowed ? o->config->upstreams[t->decision.upstream].name : NULL);
}

enum sp_rc sp_account_json(
    struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t, size_t nearest)
{
    add_verdict(out, o, t);
    add_request(out, t);
    add_certificate(out, t);
    add_identity(out, t->identity);
    add_callers(out, o, t);
    if (add_rules(out, o, t, nearest) != SP_OK)
        return SP_FAIL;
    open(out, "limits", '[');
    sp_account_each_limit(o, t, add_limit, out);
    sp_buf_add_char(out, ']');
    open(out, "headers", '[');
    sp_account_each_line(t, add_line, out);
    sp_buf_add_char(out, ']');
    open(out, "response_edits", '[');
    sp_account_each_edit(o, t, add_edit, out);
    sp_buf_add_char(out, ']');
    open(out, "notes", '[');
    sp_account_each_note(t, add_note, out);
    sp_buf_add_char(out, ']');
    return out->failed ? SP_FAIL : SP_OK;
}
