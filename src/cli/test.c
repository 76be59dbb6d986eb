/* sallyport test: the cases of one or more files, each tried (trial.h) and compared with what it expects, so that a policy
 * is checked where it is written. Names that a case expects and the configuration does not have are errors of the
 * file, not differences. docs/explain.md describes the files. */
#include <stdio.h>
#include <string.h>

#include "account.h"
#include "cli.h"
#include "json.h"
#include "log_line.h"
#include "options.h"

struct suite {
    struct sp_offline offline;
    struct sp_diags diags;
    bool quiet, json;
    bool *decided; /* by rule: a case was decided by it */
    size_t count, failed;
    struct sp_buf out;
};

/* ---- one case ---- */

static void wrong(
    struct suite *s, const char *file, const struct sp_case *c, const char *what, const char *name)
{
    sp_diag_add(
        &s->diags, SP_DIAG_ERROR, file, c->at, "case \"%s\": there is no %s \"%s\"", c->name, what, name);
}

static bool has_rule(const struct sp_config *config, const char *name)
{
    for (size_t i = 0; i < config->rule_count; i++) {
        if (strcmp(config->rules[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool has_upstream(const struct sp_config *config, const char *name)
{
    for (size_t i = 0; i < config->upstream_count; i++) {
        if (strcmp(config->upstreams[i].name, name) == 0)
            return true;
    }
    return false;
}

/* All of them are told, then none is tried. */
static void check_names(struct suite *s, const char *file, const struct sp_case *c)
{
    const struct sp_config *config = s->offline.config;
    int64_t time;

    if (c->rule != NULL && !has_rule(config, c->rule))
        wrong(s, file, c, "rule", c->rule);
    if (c->upstream != NULL && !has_upstream(config, c->upstream))
        wrong(s, file, c, "upstream", c->upstream);
    if (c->reason != NULL && sp_reason_of(c->reason) == SP_REFUSAL_none)
        wrong(s, file, c, "reason", c->reason);
    if (c->listener != NULL && sp_offline_listener(&s->offline, c->listener) == SP_NONE)
        wrong(s, file, c, "listener", c->listener);
    if (c->time != NULL && !sp_cli_parse_time(c->time, &time))
        sp_diag_add(&s->diags, SP_DIAG_ERROR, file, c->at,
            "case \"%s\": expected a time such as 2026-01-02T03:04:05Z, found \"%s\"", c->name, c->time);
}

static struct sp_try try_of(const char *file, const struct sp_case *c)
{
    struct sp_try t = {.file = file,
        .name = c->name,
        .at = c->at,
        .listener = c->listener,
        .sni = c->sni,
        .host = c->host,
        .method = c->method,
        .path = c->path,
        .upgrade = c->upgrade,
        .source = c->source,
        .headers = c->headers,
        .header_count = c->header_count,
        .now = INT64_MAX,
        .cert = c->cert,
        .identity = c->identity};

    if (c->time != NULL && !sp_cli_parse_time(c->time, &t.now)) /* check_names has seen to it */
        t.now = INT64_MAX;
    return t;
}

static bool is_as(const char *wanted, const char *found)
{
    return wanted == NULL || (found != NULL && strcmp(wanted, found) == 0);
}

static bool is_as_expected(const struct suite *s, const struct sp_case *c, const struct sp_trial *t)
{
    if (c->allowed)
        return t->reason == SP_REFUSAL_none && is_as(c->rule, t->decision.rule_name) &&
               is_as(c->upstream, s->offline.config->upstreams[t->decision.upstream].name);
    return t->reason != SP_REFUSAL_none && is_as(c->reason, sp_refusal_name(t->reason)) &&
           (c->status == 0 || c->status == t->status);
}

static void add_expected(struct sp_buf *out, const struct sp_case *c)
{
    if (c->allowed) {
        sp_buf_printf(
            out, "allowed by %s%s", c->rule != NULL ? "rule " : "any rule", c->rule != NULL ? c->rule : "");
        if (c->upstream != NULL)
            sp_buf_printf(out, ", to upstream %s", c->upstream);
        return;
    }
    sp_buf_printf(out, "refused%s%s", c->reason != NULL ? ": " : "", c->reason != NULL ? c->reason : "");
    if (c->status != 0)
        sp_buf_printf(out, ", answered %u", c->status);
}

static enum sp_rc add_text(
    struct suite *s, const char *file, const struct sp_case *c, const struct sp_trial *t, bool ok)
{
    struct sp_buf *out = &s->out;

    if (ok) {
        if (!s->quiet)
            sp_buf_printf(out, "ok      %s\n", c->name);
        return SP_OK;
    }
    sp_buf_printf(out, "not ok  %s (%s:%u)\n        expected  ", c->name, file, c->at.line);
    add_expected(out, c);
    sp_buf_add_str(out, "\n        got       ");
    sp_account_outcome(out, &s->offline, t);
    sp_buf_add_char(out, '\n');
    if (t->detail[0] != '\0')
        sp_buf_printf(out, "                  %s\n", t->detail);
    return sp_account_nearest(out, &s->offline, t, "        nearest   ", "                  ");
}

static enum sp_rc add_json(
    struct suite *s, const char *file, const struct sp_case *c, const struct sp_trial *t, bool ok)
{
    struct sp_buf *out = &s->out, expected = {0};

    add_expected(&expected, c);
    sp_json_next(out);
    sp_buf_add_char(out, '{');
    sp_json_text(out, "name", c->name);
    sp_json_text(out, "file", file);
    sp_json_number(out, "line", c->at.line);
    sp_json_bool(out, "ok", ok);
    sp_json_slice(out, "expected", sp_buf_slice(&expected));
    sp_json_key(out, "found");
    sp_buf_add_char(out, '{');
    enum sp_rc rc = sp_account_json(out, &s->offline, t, 1);
    sp_buf_add_str(out, "}}");
    sp_buf_free(&expected);
    return rc;
}

static enum sp_rc run_case(struct suite *s, const char *file, const struct sp_case *c)
{
    const struct sp_try asked = try_of(file, c);
    struct sp_trial trial = {0};
    enum sp_rc rc = sp_trial_run(&s->offline, &asked, &trial, &s->diags);

    if (rc == SP_OK) {
        bool ok = is_as_expected(s, c, &trial);
        s->count++;
        s->failed += !ok;
        if (trial.decision.rule_name != NULL)
            s->decided[trial.decision.rule] = true;
        rc = (s->json ? add_json : add_text)(s, file, c, &trial, ok);
        if (rc != SP_OK)
            sp_diag_add(&s->diags, SP_DIAG_ERROR, file, c->at, "case \"%s\": not enough memory", c->name);
    }
    sp_trial_free(&trial);
    return rc;
}

/* ---- the files ---- */

static enum sp_rc run_file(struct suite *s, const char *file)
{
    struct sp_cases *cases = NULL;
    enum sp_rc rc = sp_cases_load(file, &cases, &s->diags);

    for (size_t i = 0; rc == SP_OK && i < cases->count; i++)
        check_names(s, file, &cases->items[i]);
    if (s->diags.errors > 0)
        rc = SP_FAIL;
    bool can_run = rc == SP_OK;
    for (size_t i = 0; can_run && i < cases->count; i++) { /* of those that cannot be tried, all are told */
        if (run_case(s, file, &cases->items[i]) != SP_OK)
            rc = SP_FAIL;
    }
    sp_cases_free(cases);
    return rc;
}

static void add_summary(struct suite *s)
{
    const struct sp_config *config = s->offline.config;
    struct sp_buf *out = &s->out;
    size_t idle = 0;

    if (s->json) {
        sp_buf_add_char(out, ']');
        sp_json_number(out, "passed", s->count - s->failed);
        sp_json_number(out, "failed", s->failed);
        sp_json_key(out, "rules_not_decided");
        sp_buf_add_char(out, '[');
    }
    for (size_t i = 0; i < config->rule_count; i++) {
        if (s->decided[i] || config->rules[i].mode == SP_RULE_REPORT)
            continue;
        if (s->json) {
            sp_json_next(out);
            sp_json_string(out, sp_slice_of(config->rules[i].name));
        } else {
            sp_buf_printf(
                out, "%s%s", idle == 0 ? "rules that decided no case: " : ", ", config->rules[i].name);
        }
        idle++;
    }
    if (s->json)
        sp_buf_add_str(out, "]}\n");
    else
        sp_buf_printf(out, "%s%zu case%s, %zu not as expected\n", idle > 0 ? "\n" : "", s->count,
            s->count == 1 ? "" : "s", s->failed);
}

static int run(struct suite *s, const char *config, char **files, size_t count)
{
    enum sp_rc rc = sp_offline_load(config, &s->offline, &s->diags);

    if (rc == SP_OK) {
        s->decided = sp_alloc(s->offline.config->rule_count, sizeof(*s->decided));
        rc = s->decided != NULL ? SP_OK : SP_FAIL;
    }
    if (s->json)
        sp_buf_add_str(&s->out, "{\"cases\":[");
    for (size_t i = 0; rc == SP_OK && i < count; i++)
        rc = run_file(s, files[i]);
    if (rc == SP_OK)
        add_summary(s);
    sp_cli_show_diags(&s->diags);
    if (rc != SP_OK || s->out.failed)
        return SP_EXIT_USAGE;
    sp_cli_show(stdout, sp_buf_slice(&s->out));
    return s->failed == 0 ? SP_EXIT_OK : SP_EXIT_FAILED;
}

/* ---- options ---- */

enum { QUIET = 1, JSON };

static enum sp_rc take_option(void *arg, int option, const char *value, struct sp_err *err)
{
    struct suite *s = arg;

    (void)value;
    (void)err;
    *(option == QUIET ? &s->quiet : &s->json) = true;
    return SP_OK;
}

static const struct option longs[] = {
    {"quiet", no_argument, NULL, QUIET},
    {"json", no_argument, NULL, JSON},
    SP_OPTIONS_END,
};

static const struct sp_options options = {"test",
    "usage: sallyport test -c FILE [--quiet] [--json] CASES.yaml...\n"
    "exit codes: 0 all as expected, 1 some are not, 2 bad usage or a file that cannot be used\n",
    longs, take_option};

int sp_cli_test(int argc, char **argv)
{
    struct suite s = {0};
    const char *config = NULL;
    int code = sp_options_read(argc, argv, &options, &config, &s);

    if (code != SP_GO_ON)
        return code;
    if (optind == argc)
        return sp_options_wrong(&options, "a file of cases is missing");
    code = run(&s, config, argv + optind, (size_t)(argc - optind));
    sp_free(s.decided);
    sp_offline_free(&s.offline);
    sp_diags_free(&s.diags);
    sp_buf_free(&s.out);
    return code;
}
