/* A trial for people: who comes, what is asked, which callers it is, which rules came near, where it goes, and the
 * verdict last. */
#include <stdio.h>

#include "account.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/text.h"
#include "steps.h"

#define MARGIN "            " /* what stands in it is what the lines are about */

/* ---- who ---- */

static void add_name(void *arg, const char *kind, struct sp_slice name)
{
    sp_buf_printf(arg, MARGIN "%s %.*s\n", kind, SP_FMT(name));
}

static void add_identity(struct sp_buf *out, const struct sp_trial *t)
{
    if (t->identity == NULL) {
        if (t->stage != SP_TRIAL_HANDSHAKE)
            sp_buf_add_str(out, "identity    none: anonymous\n");
        return;
    }
    struct sp_slice subject = t->identity->subject.len > 0 ? t->identity->subject : SP_SLICE("(no subject)");
    sp_buf_printf(out, "identity    %.*s\n", SP_FMT(subject));
    sp_account_each_name(t->identity, add_name, out);
}

static void add_certificate(struct sp_buf *out, const struct sp_trial *t)
{
    size_t index = 0;

    if (t->asked->cert == NULL)
        return;
    sp_buf_printf(out, "certificate %s\n", t->asked->cert);
    for (const struct sp_trial_step *s = t->steps; s != NULL; s = s->next)
        sp_step_text(out, MARGIN, index++, &s->step, sp_account_looks_at_revocation(t));
    if (!sp_account_looks_at_revocation(t))
        sp_buf_add_str(
            out, MARGIN "revocation is not looked at: no crl is given, and crl_missing is accept\n");
}

static void add_callers(struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t)
{
    struct sp_caller_ids ids = sp_trial_callers(t);

    if (t->standing == NULL)
        return;
    sp_buf_add_str(out, "callers     ");
    for (size_t i = 0; i < ids.count; i++)
        sp_buf_printf(out, "%s%s", i > 0 ? ", " : "", o->config->callers[ids.items[i]].name);
    sp_buf_add_str(out, ids.count > 0 ? "\n" : "none\n");
}

/* ---- what is asked ---- */

static void add_request(struct sp_buf *out, const struct sp_trial *t)
{
    if (!t->is_tcp)
        sp_buf_printf(out, "request     %s https://%s%s\n", t->method, t->host_text, t->path);
    for (size_t i = 0; i < t->asked->header_count; i++)
        sp_buf_printf(out, MARGIN "%s: %s\n", t->asked->headers[i].name, t->asked->headers[i].value);
    if (t->asked->upgrade != NULL)
        sp_buf_printf(out, MARGIN "asks to change to %s\n", t->asked->upgrade);
    if (t->target.own != NULL)
        sp_buf_printf(out, "rewritten   %.*s: so it is judged and sent\n", SP_FMT(t->target.path));
    sp_buf_printf(out, "arrives at  listener %s%s, %s%s", t->listener->name, t->is_tcp ? " of mode tcp" : "",
        t->sni[0] != '\0' ? "asking for " : "asking for no name", t->sni);
    if (t->source.len != 0)
        sp_buf_printf(out, ", from %s", t->asked->source);
    sp_buf_add_char(out, '\n');
}

/* ---- rules ---- */

struct rules {
    struct sp_buf *out;
    const struct sp_offline *o;
    const struct sp_trial *t;
    const char *first, *indent; /* of a rule's line, and of those below it */
    size_t left;                /* of those that nearly matched */
    bool only_misses;           /* nothing of what matched */
    bool failed;
};

static void add_misses(struct sp_buf *out, const char *indent, const struct sp_miss *misses, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sp_buf_printf(out, "%s%s: wanted %s, found %s\n", indent, misses[i].condition,
            misses[i].wanted != NULL ? misses[i].wanted : "nothing",
            misses[i].found != NULL ? misses[i].found : "nothing");
}

static void add_caller(void *arg, const struct sp_caller_account *account)
{
    struct rules *r = arg;

    if (account->is_one || account->miss_count == 0)
        return;
    sp_buf_printf(r->out, "%s    not %s, by its entry %zu:\n", r->indent, account->name, account->entry + 1);
    char deeper[64];
    (void)snprintf(deeper, sizeof(deeper), "%s      ", r->indent);
    add_misses(r->out, deeper, account->misses, account->miss_count);
}

static void add_effect(struct sp_buf *out, const struct sp_config_rule *rule)
{
    if (rule->deny_status != 0)
        sp_buf_printf(out, "deny with %u", rule->deny_status);
    else
        sp_buf_printf(out, "allow, to upstream %s", rule->upstream);
}

static void add_rule(void *arg, const struct sp_rule_account *account)
{
    struct rules *r = arg;
    const struct sp_config_rule *rule = &r->o->config->rules[account->rule];
    char deeper[64];

    if ((r->only_misses && account->matches) || !sp_account_shows(r->o, account, &r->left))
        return;
    sp_buf_printf(r->out, "%s%s: ", r->first, account->name);
    if (account->matches) {
        bool reports = rule->mode == SP_RULE_REPORT;
        sp_buf_add_str(r->out, account->decides ? "decides: "
                               : reports        ? "matches, but only reports: it would "
                                                : "matches, after the one that decides: ");
        add_effect(r->out, rule);
        sp_buf_add_char(r->out, '\n');
        return;
    }
    sp_buf_add_str(r->out, "does not match\n");
    (void)snprintf(deeper, sizeof(deeper), "%s  ", r->indent);
    for (size_t i = 0; i < account->miss_count; i++) {
        add_misses(r->out, deeper, &account->misses[i], 1);
        if (strcmp(account->misses[i].condition, "from") == 0 &&
            sp_account_each_caller_of_rule(r->o, r->t, account->rule, add_caller, r) != SP_OK)
            r->failed = true;
    }
}

static enum sp_rc explain(struct rules *r, size_t nearest)
{
    const struct sp_connection c = sp_trial_connection(r->t);

    r->left = nearest;
    if (sp_policy_explain(r->t->standing, &c, &r->t->request, nearest > 0 ? r->o->config->rule_count : 0,
            add_rule, r) != SP_OK)
        return SP_FAIL;
    return r->failed ? SP_FAIL : SP_OK;
}

/* Those that nearly matched are of interest only where one was missed. */
static enum sp_rc add_rules(
    struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t, size_t nearest)
{
    static const char HEADING[] = "rules\n";
    struct rules r = {.out = out, .o = o, .t = t, .first = "  ", .indent = "  "};

    if (t->standing == NULL)
        return SP_OK;
    sp_buf_add_str(out, HEADING);
    size_t before = out->len;
    enum sp_rc rc = explain(&r, t->reason == SP_REFUSAL_no_rule ? nearest : 0);
    if (out->len == before && !out->failed)
        out->len -= sizeof(HEADING) - 1;
    return rc;
}

enum sp_rc sp_account_nearest(struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t,
    const char *first, const char *indent)
{
    struct rules r = {.out = out, .o = o, .t = t, .first = first, .indent = indent, .only_misses = true};

    return t->standing != NULL && t->reason == SP_REFUSAL_no_rule ? explain(&r, 1) : SP_OK;
}

/* ---- where it goes ---- */

struct limits {
    struct sp_buf *out;
    const char *margin;
};

static void add_limit(void *arg, const char *caller, const struct sp_config_caller_limits *limits)
{
    struct limits *l = arg;
    char period[SP_DURATION_MAX];

    sp_buf_printf(l->out, "%s%s:", l->margin, caller);
    if (limits->rate.requests != 0)
        sp_buf_printf(l->out, " %u requests in %s, %u at once;", limits->rate.requests,
            sp_format_duration_ms(limits->rate.period_ms, period), limits->burst);
    if (limits->concurrent_requests != 0)
        sp_buf_printf(l->out, " %u requests in flight;", limits->concurrent_requests);
    if (limits->connections != 0)
        sp_buf_printf(l->out, " %u connections;", limits->connections);
    sp_buf_printf(l->out, " counted per %s\n", limits->per);
    l->margin = MARGIN;
}

static void add_limits(struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t)
{
    struct limits l = {out, "limits      "};

    sp_account_each_limit(o, t, add_limit, &l);
}

static void add_line(void *arg, const struct sp_line *line)
{
    sp_buf_printf(arg, "  %.*s: %.*s\n", SP_FMT(line->name), SP_FMT(line->value));
}

static void add_edit(void *arg, const char *what, const char *name, const char *value)
{
    sp_buf_printf(arg, "  %s %s%s%s\n", what, name, value != NULL ? ": " : "", value != NULL ? value : "");
}

/* The heading stays only if something stands below it. */
static void add_lines(struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t)
{
    static const char ANSWER[] = "what becomes of the answer's headers\n";

    if (t->out.line_count > 0)
        sp_buf_add_str(out, "headers that the backend is sent\n");
    sp_account_each_line(t, add_line, out);
    sp_buf_add_str(out, ANSWER);
    size_t before = out->len;
    sp_account_each_edit(o, t, add_edit, out);
    if (out->len == before && !out->failed)
        out->len -= sizeof(ANSWER) - 1;
}

static void add_note(void *arg, const char *note)
{
    sp_buf_printf(arg, "note        %s\n", note);
}

void sp_account_outcome(struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t)
{
    if (t->reason == SP_REFUSAL_none) {
        sp_buf_printf(out, "allowed by rule %s, to upstream %s", t->decision.rule_name,
            o->config->upstreams[t->decision.upstream].name);
        return;
    }
    sp_buf_printf(out, "refused: %s", sp_refusal_name(t->reason));
    if (t->decision.rule_name != NULL)
        sp_buf_printf(out, " by rule %s", t->decision.rule_name);
    if (t->status != 0)
        sp_buf_printf(out, ", answered %u", t->status);
    else
        sp_buf_add_str(
            out, t->stage == SP_TRIAL_HANDSHAKE ? ", in the handshake" : ", closed without a word");
}

enum sp_rc sp_account_text(
    struct sp_buf *out, const struct sp_offline *o, const struct sp_trial *t, size_t nearest)
{
    add_request(out, t);
    add_certificate(out, t);
    add_identity(out, t);
    add_callers(out, o, t);
    if (add_rules(out, o, t, nearest) != SP_OK)
        return SP_FAIL;
    add_limits(out, o, t);
    add_lines(out, o, t);
    sp_account_each_note(t, add_note, out);
    sp_account_outcome(out, o, t);
    sp_buf_add_char(out, '\n');
    if (t->detail[0] != '\0')
        sp_buf_printf(out, "  %s\n", t->detail);
    if (t->reason != SP_REFUSAL_none)
        sp_buf_printf(out, "  %s\n", sp_refusal_meaning(t->reason));
    return out->failed ? SP_FAIL : SP_OK;
}
