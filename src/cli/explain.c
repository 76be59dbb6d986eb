/* sallyport explain: what the daemon would do, and why. Options or a line of the log become a try (trial.h), which is then
 * printed (account.h). docs/explain.md has both forms. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "account.h"
#include "cli.h"
#include "json.h"
#include "log_line.h"
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
    "         [--sni NAME] [--host HOST] [--method METHOD] [--path PATH] [--header 'NAME: VALUE']... [--source ADDRESS]\n"
    "         [--time 2026-01-02T03:04:05Z|@SECONDS] [--nearest N] [--json]\n"
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
    SOURCE,
    TIME,
    NEAR,
    LOG,
    JSON
};

static const struct option options[] = {
    {"cert", required_argument, NULL, CERT},
    {"identity", required_argument, NULL, IDENTITY},
    {"anonymous", no_argument, NULL, ANONYMOUS},
    {"listener", required_argument, NULL, LISTENER},
    {"sni", required_argument, NULL, SNI},
    {"host", required_argument, NULL, HOST},
    {"method", required_argument, NULL, METHOD},
    {"path", required_argument, NULL, PATH},
    {"header", required_argument, NULL, HEADER},
    {"source", required_argument, NULL, SOURCE},
    {"time", required_argument, NULL, TIME},
    {"nearest", required_argument, NULL, NEAR},
    {"log", required_argument, NULL, LOG},
    {"json", no_argument, NULL, JSON},
    {NULL, 0, NULL, 0},
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
    case 'c':
        return &r->file;
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
    case SOURCE:
        return &r->asked.source;
    case LOG:
        return &r->log;
    default:
        return NULL;
    }
}

static enum sp_rc take_option(struct request *r, int option, const char *value, struct sp_err *err)
{
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

    if (r->file == NULL)
        return "-c is missing: the configuration that is to be explained";
    if (r->log == NULL && who != 1)
        return "who it is must be told by one of --cert, --identity and --anonymous";
    if (r->log != NULL && (r->has_identity || r->anonymous))
        return "who it is stands in the line of the log, or in --cert";
    if (r->log != NULL && (r->asked.listener != NULL || r->asked.sni != NULL || r->asked.host != NULL ||
                              r->asked.method != NULL || r->asked.path != NULL || r->asked.source != NULL))
        return "what was asked stands in the line of the log";
    return NULL;
}

static bool read_options(int argc, char **argv, struct request *r)
{
    int option, index = 0;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":c:", options, &index)) != -1) {
        struct sp_err err = {0};
        if (option == '?' || option == ':') {
            fprintf(stderr, "sallyport explain: %s: %s\n", argv[optind - 1],
                option == ':' ? "its value is missing" : "unknown option");
            return false;
        }
        if (take_option(r, option, optarg, &err) != SP_OK) {
            fprintf(stderr, "sallyport explain: --%s: %s: %s\n", options[index].name, optarg, err.text);
            return false;
        }
    }
    const char *wrong = optind == argc ? missing(r) : "every argument has an option before it";
    if (wrong != NULL)
        fprintf(stderr, "sallyport explain: %s\n", wrong);
    return wrong == NULL;
}

/* ---- one try ---- */

static void print_problems(const struct sp_diags *diags)
{
    struct sp_buf text = {0};

    sp_diags_print(diags, &text);
    sp_cli_show(stderr, sp_buf_slice(&text));
    sp_buf_free(&text);
}

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
    print_problems(&diags);
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

static bool is_one_of(enum sp_refusal reason, const enum sp_refusal *reasons, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (reasons[i] == reason)
            return true;
    }
    return false;
}

/* Tried without the fields, such a request would seem to be in order. */
static bool lies_in_the_head(enum sp_refusal reason)
{
    static const enum sp_refusal HEAD[] = {SP_REFUSAL_bad_header, SP_REFUSAL_bad_header_name,
        SP_REFUSAL_bad_framing, SP_REFUSAL_bad_expectation, SP_REFUSAL_protected_header,
        SP_REFUSAL_unsupported_coding, SP_REFUSAL_header_too_large, SP_REFUSAL_body_too_large,
        SP_REFUSAL_ambiguous_header};

    return is_one_of(reason, HEAD, SP_COUNTOF(HEAD));
}

/* A log holds what was understood of a request, not what was not. */
static bool lies_in_the_line(enum sp_refusal reason)
{
    static const enum sp_refusal LINE[] = {SP_REFUSAL_bad_request_line, SP_REFUSAL_bad_host,
        SP_REFUSAL_bad_target, SP_REFUSAL_http_version, SP_REFUSAL_bad_chunk, SP_REFUSAL_request_timeout,
        SP_REFUSAL_client_gone};

    return is_one_of(reason, LINE, SP_COUNTOF(LINE));
}

/* Why the line cannot be tried again, or NULL. */
static const char *untriable(const struct request *r, const struct sp_log_line *l)
{
    bool by_certificate = r->asked.cert != NULL;

    char when = l->reason != SP_REFUSAL_none ? sp_refusal_when(l->reason) : 'R';

    if (when != 'R' && when != 'U' && !by_certificate)
        return l->has_request
                   ? "it is about the certificate, of which the line does not tell enough: give it with --cert"
                   : "it is about the connection and not about a request: to judge the client's certificate by the "
                     "present file, give it with --cert";
    if (lies_in_the_head(l->reason) && r->asked.header_count == 0)
        return "what was wrong stands in header fields or a body, which the line does not tell: give the fields with "
               "--header";
    if (lies_in_the_line(l->reason))
        return "what was wrong is not in the line as it came; the detail says it";
    if (!l->has_request && !by_certificate)
        return "it does not say what was asked";
    if (l->asked.path != NULL && strstr(l->asked.path, "...[+") != NULL)
        return "its path is cut";
    return NULL;
}

#define NOTES_MAX 5

/* What the line does not tell, a sentence each. Returns how many. */
static size_t notes_of(const struct request *r, const struct sp_log_line *l, const char *notes[NOTES_MAX])
{
    bool by_line = l->has_identity && r->asked.cert == NULL;
    size_t n = 0;

    notes[n++] =
        r->asked.header_count > 0
            ? "the line does not say which query the request had: it is tried without"
            : "the line does not say which header fields and which query the request had: it is tried without; "
              "--header gives fields";
    if (by_line && !l->has_names)
        notes[n++] =
            "the line does not say which names (subjectAltName) the certificate has: a caller by uri, dns, email or ip "
            "cannot be found; give --cert";
    if (by_line && l->is_cut)
        notes[n++] = "the line does not say all names of the certificate, it is cut: give --cert";
    if (by_line)
        notes[n++] =
            "the line does not say which key, policies and qualified statements the certificate has: a caller by those "
            "cannot be found; give --cert";
    if (l->reason == SP_REFUSAL_caller_rate || l->reason == SP_REFUSAL_caller_requests)
        notes[n++] = "how much was asked at that time is not counted here: the limits are only shown";
    return n;
}

static void account_for_line(
    struct sp_buf *out, const struct request *r, const struct sp_log_line *l, const char *why_not)
{
    const char *notes[NOTES_MAX];
    size_t note_count = why_not == NULL ? notes_of(r, l, notes) : 0;
    const char *reason = l->reason != SP_REFUSAL_none ? sp_refusal_name(l->reason) : NULL;

    if (!r->json) {
        sp_buf_printf(out, "the log says that it was %s%s\n", reason != NULL ? "refused: " : "let through",
            reason != NULL ? reason : "");
        if (reason != NULL)
            sp_buf_printf(out, "  %s\n", sp_refusal_meaning(l->reason));
        if (sp_log_line_field(l, "detail") != NULL)
            sp_buf_printf(out, "  %s\n", sp_log_line_field(l, "detail"));
        if (sp_advice_of(l->reason) != NULL)
            sp_buf_printf(out, "  %s\n", sp_advice_of(l->reason));
        if (why_not != NULL)
            sp_buf_printf(out, "the line cannot be tried again: %s\n", why_not);
        else
            sp_buf_add_str(out, "by the present file\n");
        for (size_t i = 0; i < note_count; i++)
            sp_buf_printf(out, "note        %s\n", notes[i]);
        return;
    }
    sp_json_key(out, "log");
    sp_buf_add_char(out, '{');
    sp_json_text(out, "event", l->event);
    sp_json_text(out, "time", sp_log_line_field(l, "time"));
    sp_json_text(out, "reason", reason);
    sp_json_text(out, "meaning", reason != NULL ? sp_refusal_meaning(l->reason) : NULL);
    sp_json_text(out, "detail", sp_log_line_field(l, "detail"));
    sp_json_text(out, "advice", sp_advice_of(l->reason));
    sp_json_text(out, "rule", sp_log_line_field(l, "rule"));
    sp_json_text(out, "not_tried", why_not);
    sp_json_key(out, "notes");
    sp_buf_add_char(out, '[');
    for (size_t i = 0; i < note_count; i++) {
        sp_json_next(out);
        sp_json_string(out, sp_slice_of(notes[i]));
    }
    sp_buf_add_str(out, "]}");
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
    const char *why_not = untriable(r, &l);
    if (r->json)
        sp_buf_add_char(&out, '{');
    account_for_line(&out, r, &l, why_not);
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
    int code = SP_EXIT_USAGE;
    if (read_options(argc, argv, &r))
        code = r.log != NULL ? explain_log(&r) : explain_options(&r);
    else
        fputs(usage, stderr);
    sp_arena_free(&r.arena);
    return code;
}
