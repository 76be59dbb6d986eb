/* What an account tells of a trial, whichever way it is printed: account_text.c and account_json.c only write it down. */
#include "account.h"

#include <arpa/inet.h>

void sp_account_each_name(
    const struct sp_identity *id, void (*each)(void *arg, const char *kind, struct sp_slice name), void *arg)
{
    const struct {
        const char *kind;
        const struct sp_slices *names;
    } KINDS[] = {{"uri", &id->uris}, {"dns", &id->dns_names}, {"email", &id->emails}};
    char ip[INET6_ADDRSTRLEN];

    for (size_t k = 0; k < SP_COUNTOF(KINDS); k++) {
        for (size_t i = 0; i < KINDS[k].names->count; i++)
            each(arg, KINDS[k].kind, KINDS[k].names->items[i]);
    }
    for (size_t i = 0; i < id->ips.count; i++) {
        const struct sp_slice *raw = &id->ips.items[i];
        if (inet_ntop(raw->len == 4 ? AF_INET : AF_INET6, raw->ptr, ip, sizeof(ip)) != NULL)
            each(arg, "ip", sp_slice_of(ip));
    }
}

bool sp_account_looks_at_revocation(const struct sp_trial *t)
{
    const struct sp_config_client_auth *auth = &t->listener->hosts[t->host].client_auth;

    return auth->crl.count > 0 || auth->crl_missing == SP_CRL_MISSING_REJECT;
}

/* ---- rules ---- */

bool sp_account_shows(const struct sp_offline *o, const struct sp_rule_account *account, size_t *left)
{
    const struct sp_config_rule *rule = &o->config->rules[account->rule];

    if (account->matches)
        return true;
    if (*left == 0 || rule->deny_status != 0 || rule->mode == SP_RULE_REPORT)
        return false;
    (*left)--;
    return true;
}

static size_t caller_of(const struct sp_config *config, const char *name)
{
    for (size_t i = 0; i < config->caller_count; i++) {
        if (strcmp(config->callers[i].name, name) == 0)
            return i;
    }
    return SP_NONE;
}

enum sp_rc sp_account_each_caller_of_rule(const struct sp_offline *o, const struct sp_trial *t, size_t rule,
    void (*each)(void *arg, const struct sp_caller_account *caller), void *arg)
{
    const struct sp_strings *from = &o->config->rules[rule].from;
    const struct sp_connection c = sp_trial_connection(t);

    for (size_t i = 0; i < from->count; i++) {
        size_t caller = caller_of(o->config, from->items[i]);
        if (caller != SP_NONE && sp_policy_explain_caller(o->policy, &c, caller, each, arg) != SP_OK)
            return SP_FAIL;
    }
    return SP_OK;
}

/* ---- what bounds it, and what was not looked at ---- */

void sp_account_each_limit(const struct sp_offline *o, const struct sp_trial *t,
    void (*each)(void *arg, const char *caller, const struct sp_config_caller_limits *limits), void *arg)
{
    struct sp_caller_ids ids = sp_trial_callers(t);

    for (size_t i = 0; i < ids.count; i++) {
        const struct sp_config_caller *caller = &o->config->callers[ids.items[i]];
        bool counts_requests = t->decision.allowed && ids.items[i] == t->decision.caller;
        if (caller->limits == NULL || (!counts_requests && caller->limits->connections == 0))
            continue;
        struct sp_config_caller_limits limits = *caller->limits;
        if (!counts_requests) {
            limits.rate = (struct sp_config_rate){0};
            limits.burst = limits.concurrent_requests = 0;
        }
        each(arg, caller->name, &limits);
    }
}

void sp_account_each_line(
    const struct sp_trial *t, void (*each)(void *arg, const struct sp_line *line), void *arg)
{
    const struct sp_line upgrade[] = {
        {SP_SLICE("Upgrade"), t->upgrade}, {SP_SLICE("Connection"), SP_SLICE("upgrade")}};

    if (t->stage != SP_TRIAL_UPSTREAM)
        return;
    for (size_t i = 0; i < t->out.line_count; i++)
        each(arg, &t->out.lines[i]);
    for (size_t i = 0; i < t->out.more_count; i++)
        each(arg, &t->out.more[i]);
    for (size_t i = 0; t->upgrade.ptr != NULL && i < SP_COUNTOF(upgrade); i++) /* as the codec writes them */
        each(arg, &upgrade[i]);
}

void sp_account_each_edit(const struct sp_offline *o, const struct sp_trial *t,
    void (*each)(void *arg, const char *what, const char *name, const char *value), void *arg)
{
    const struct sp_config_edits *edits = t->stage == SP_TRIAL_UPSTREAM && !t->is_tcp
                                              ? o->config->rules[t->decision.rule].response_headers
                                              : NULL;

    if (edits == NULL)
        return;
    for (size_t i = 0; i < edits->remove.count; i++)
        each(arg, "remove", edits->remove.items[i], NULL);
    for (size_t i = 0; i < edits->set_count; i++)
        each(arg, "set", edits->set[i].name, edits->set[i].value);
    for (size_t i = 0; i < edits->add_count; i++)
        each(arg, "add", edits->add[i].name, edits->add[i].value);
}

void sp_account_each_note(const struct sp_trial *t, void (*each)(void *arg, const char *note), void *arg)
{
    const struct sp_config_client_auth *auth = &t->listener->hosts[t->host].client_auth;

    if (t->asked->identity != NULL)
        each(arg,
            "no certificate was judged: the identity was given by its fields, and what was not given it has not");
    if (t->asked->identity != NULL && auth->require != NULL)
        each(arg, "what client_auth.require asks of a certificate was not looked at");
    if (t->asked->identity != NULL && t->is_required_of)
        each(arg,
            "of what require of its callers asks, its names were looked at, key usages and policies only if they were "
            "given, and validity, key and signature not at all");
    if (auth->ocsp_url != NULL && t->asked->cert != NULL && t->stage != SP_TRIAL_HANDSHAKE)
        each(arg, "the OCSP responder was not asked");
    if (t->standing != NULL && sp_standing_proxy(t->standing) != SP_NONE)
        each(arg,
            "it is one of trusted_proxies: what it says itself in the families named there goes on as it comes");
    if (t->is_for_us)
        each(arg, "Max-Forwards is 0: it is answered 200 here, and no backend is asked");
}
