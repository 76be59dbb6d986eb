/* sallyport explain: what the daemon would do, and why. Options or a line of the log become a try (trial.h), which is then
 * printed (account.h). docs/explain.md has both forms. */
#include <stdio.h>

#include "account.h"
#include "cli.h"
#include "json.h"
#include "log_line.h"
#include "options.h"
#include "sallyport/base/text.h"

#define NEAREST        3
#define NEAREST_MAX    10000
#define HEADERS_MAX    SP_HEADERS_MAX
#define LINE_MAX_BYTES ((size_t)1024 * 1024)

struct request {
    struct sp_arena arena;
    const char *file, *log;
    bool json, anonymous, has_identity;
    size_t nearest;
    struct sp_config_identity identity;
    struct sp_config_header headers[HEADERS_MAX];
    struct sp_try asked;
};

static const char usage[] =
    "usage: sallyport explain -c FILE --cert FILE|--identity FIELD=VALUE...|--anonymous [--listener NAME]\n"
    "         [--sni NAME] [--host HOST] [--method METHOD] [--path PATH] [--header 'NAME: VALUE']...\n"
    "         [--upgrade PROTOCOL] [--source ADDRESS] [--time 2026-01-02T03:04:05Z|@SECONDS] [--nearest N] [--json]\n"
    "       sallyport explain -c FILE --log LINE|- [--cert FILE] [--header 'NAME: VALUE']...\n"
    "         [--time T] [--nearest N] [--json]\n"
    "exit codes: 0 allowed, 3 refused, 2 bad usage or a file that cannot be used\n";

/* ---- options ---- */

enum {
    CERT = 1,
    IDENTITY,
    ANONYMOUS,
    LISTENER,
    SNI,
    HOST,
    METHOD,
    PATH,
    HEADER,
    UPGRADE,
    SOURCE,
    TIME,
    NEAR,
    LOG,
    JSON
};

static const struct option longs[] = {
    {"cert", required_argument, NULL, CERT},
    {"identity", required_argument, NULL, IDENTITY},
    {"anonymous", no_argument, NULL, ANONYMOUS},
    {"listener", required_argument, NULL, LISTENER},
    {"sni", required_argument, NULL, SNI},
    {"host", required_argument, NULL, HOST},
    {"method", required_argument, NULL, METHOD},
    {"path", required_argument, NULL, PATH},
    {"header", required_argument, NULL, HEADER},
    {"upgrade", required_argument, NULL, UPGRADE},
    {"source", required_argument, NULL, SOURCE},
    {"time", required_argument, NULL, TIME},
    {"nearest", required_argument, NULL, NEAR},
    {"log", required_argument, NULL, LOG},
    {"json", no_argument, NULL, JSON},
    SP_OPTIONS_END,
};

static enum sp_rc take_header(struct request *r, const char *text, struct sp_err *err)
{
    const char *colon = strchr(text, ':');

    if (colon == NULL || colon == text)
        return sp_err_set(err, "expected 'NAME: VALUE'");
    if (r->asked.header_count == HEADERS_MAX)
        return sp_err_set(err, "more than %d header fields", HEADERS_MAX);
    struct sp_slice name = {text, (size_t)(colon - text)};
    colon += 1 + strspn(colon + 1, " \t");
    struct sp_config_header *h = &r->headers[r->asked.header_count++];
    h->name = sp_arena_copy(&r->arena, name).ptr;
    h->value = colon;
    r->asked.headers = r->headers;
    return h->name != NULL ? SP_OK : sp_err_set(err, "not enough memory");
}

static enum sp_rc take_identity(struct request *r, const char *text, struct sp_err *err)
{
    r->has_identity = true;
    return sp_config_identity_add(&r->identity, &r->arena, sp_slice_of(text), err);
}

static enum sp_rc take_nearest(struct request *r, const char *text, struct sp_err *err)
{
    uint64_t n;

    if (!sp_parse_u64(sp_slice_of(text), &n) || n > NEAREST_MAX)
        return sp_err_set(err, "expected a whole number up to %d", NEAREST_MAX);
    r->nearest = (size_t)n;
    return SP_OK;
}

/* The options that are a text and nothing more. */
static const char **text_of(struct request *r, int option)
{
    switch (option) {
    case CERT:
        return &r->asked.cert;
    case LISTENER:
        return &r->asked.listener;
    case SNI:
        return &r->asked.sni;
    case HOST:
        return &r->asked.host;
    case METHOD:
        return &r->asked.method;
    case PATH:
        return &r->asked.path;
    case UPGRADE:
        return &r->asked.upgrade;
    case SOURCE:
        return &r->asked.source;
    case LOG:
        return &r->log;
    default:
        return NULL;
    }
}

static enum sp_rc take_option(void *arg, int option, const char *value, struct sp_err *err)
{
    struct request *r = arg;
    const char **text = text_of(r, option);

    if (text != NULL) {
        *text = value;
        return SP_OK;
    }
    switch (option) {
    case HEADER:
        return take_header(r, value, err);
    case IDENTITY:
        return take_identity(r, value, err);
    case NEAR:
        return take_nearest(r, value, err);
    case TIME:
        return sp_cli_parse_time(value, &r->asked.now) ? SP_OK : sp_err_set(err, "expected a time");
    case ANONYMOUS:
        r->anonymous = true;
        return SP_OK;
    default:
        r->json = true;
        return SP_OK;
    }
}

static const char *missing(const struct request *r)
{
    unsigned who = (r->asked.cert != NULL) + r->has_identity + r->anonymous;

    if (r->log == NULL && who != 1)
        return "who it is must be told by one of --cert, --identity and --anonymous";
    if (r->log != NULL && (r->has_identity || r->anonymous))
        return "who it is stands in the line of the log, or in --cert";
    if (r->log != NULL && (r->asked.listener != NULL || r->asked.sni != NULL || r->asked.host != NULL ||
                              r->asked.method != NULL || r->asked.path != NULL || r->asked.source != NULL ||
                              r->asked.upgrade != NULL))
        return "what was asked stands in the line of the log";
    return NULL;
}

static const struct sp_options options = {"explain", usage, longs, take_option};

static int read_options(int argc, char **argv, struct request *r)
{
    int code = sp_options_read_all(argc, argv, &options, &r->file, r);
    const char *wrong = code == SP_GO_ON ? missing(r) : NULL;

    return wrong != NULL ? sp_options_wrong(&options, "%s", wrong) : code;
}

/* ---- one try ---- */

static void print(const struct request *r, struct sp_buf *out)
{
    if (r->json)
        sp_buf_add_str(out, "}\n");
    sp_cli_show(stdout, sp_buf_slice(out));
}

/* Adds the account of it to `out`. Returns the exit code. */
static int try_it(const struct request *r, const struct sp_try *asked, struct sp_buf *out)
{
    struct sp_offline offline;
    struct sp_diags diags = {0};
    struct sp_trial trial = {0};
    int code = SP_EXIT_USAGE;

    enum sp_rc rc = sp_offline_load(r->file, &offline, &diags);
    if (rc == SP_OK)
        rc = sp_trial_run(&offline, asked, &trial, &diags);
    sp_cli_show_diags(&diags);
    if (rc == SP_OK) {
        rc = (r->json ? sp_account_json : sp_account_text)(out, &offline, &trial, r->nearest);
        if (rc == SP_OK)
            code = trial.reason == SP_REFUSAL_none ? SP_EXIT_OK : SP_EXIT_REFUSED;
        else
            fprintf(stderr, "sallyport explain: not enough memory\n");
    }
    sp_trial_free(&trial);
    sp_offline_free(&offline);
    sp_diags_free(&diags);
    return code;
}

static int explain_options(struct request *r)
{
    struct sp_buf out = {0};

    r->asked.identity = r->has_identity ? &r->identity : NULL;
    if (r->json)
        sp_buf_add_char(&out, '{');
    int code = try_it(r, &r->asked, &out);
    if (code != SP_EXIT_USAGE)
        print(r, &out);
    sp_buf_free(&out);
    return code;
}

/* ---- a line of the log ---- */

static enum sp_rc read_line(const char *given, struct sp_buf *line, struct sp_err *err)
{
    sp_buf_init(line, LINE_MAX_BYTES);
    if (strcmp(given, "-") != 0) {
        return sp_buf_add_str(line, given) == SP_OK ? SP_OK
                                                    : sp_err_set(err, "the line is longer than 1 MiB");
    }
    for (int c = getchar(); c != EOF && c != '\n'; c = getchar()) {
        if (sp_buf_add_char(line, (char)c) != SP_OK)
            return sp_err_set(err, "the line is longer than 1 MiB");
    }
    return SP_OK;
}

/* A refusal stays one where it cannot be tried again. */
static int explain_log(const struct request *r)
{
    struct sp_log_line l = {.reason = SP_REFUSAL_none};
    struct sp_buf line, out = {0};
    struct sp_err err = {0};
    int code = SP_EXIT_USAGE;

    if (read_line(r->log, &line, &err) != SP_OK || sp_log_line_read(&l, sp_buf_slice(&line), &err) != SP_OK) {
        fprintf(stderr, "sallyport explain: --log: %s\n", err.text);
        goto out;
    }
    const char *why_not = sp_log_line_untriable(&l, &r->asked);
    if (r->json)
        sp_buf_add_char(&out, '{');
    sp_log_line_account(&out, &l, &r->asked, why_not, r->json);
    l.asked.now = r->asked.now;
    l.asked.headers = r->asked.headers;
    l.asked.header_count = r->asked.header_count;
    if (r->asked.cert != NULL) {
        l.asked.cert = r->asked.cert;
        l.asked.identity = NULL;
    }
    code = why_not == NULL               ? try_it(r, &l.asked, &out)
           : l.reason != SP_REFUSAL_none ? SP_EXIT_REFUSED
                                         : SP_EXIT_OK;
    if (code != SP_EXIT_USAGE)
        print(r, &out);
out:
    sp_log_line_free(&l);
    sp_buf_free(&line);
    sp_buf_free(&out);
    return code;
}

int sp_cli_explain(int argc, char **argv)
{
    struct request r = {.nearest = NEAREST, .asked = {.now = INT64_MAX}};

    sp_arena_init(&r.arena, 0);
    int code = read_options(argc, argv, &r);
    if (code == SP_GO_ON)
        code = r.log != NULL ? explain_log(&r) : explain_options(&r);
    sp_arena_free(&r.arena);
    return code;
}
