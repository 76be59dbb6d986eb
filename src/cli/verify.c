/* sallyport verify: what a listener with these CAs and CRLs would say of a certificate, and why. It fills the same
 * structure as the configuration file does and asks the same judge as a handshake (sp_trust_inspect), so there is no
 * second opinion. Options in, text or JSON out; docs/verify.md has both. */
#include <stdio.h>

#include "cli.h"
#include "json.h"
#include "options.h"
#include "sallyport/base/clock.h"
#include "sallyport/base/text.h"
#include "sallyport/pki/trust.h"
#include "steps.h"

#define MAX_FILES 256
#define MAX_DEPTH 10

struct files {
    const char *items[MAX_FILES];
    size_t count;
};

struct request {
    struct files ca, crl, intermediates;
    struct sp_config_client_auth auth;
    enum sp_trust_purpose purpose;
    int64_t now;
    bool json, missing_given;
    const char *leaf;
};

static const char *const purposes[] = {
    [SP_PURPOSE_CLIENT] = "client", [SP_PURPOSE_SERVER] = "server", [SP_PURPOSE_ANY] = "any"};

static const char usage[] =
    "usage: sallyport verify --ca FILE [--ca FILE]... [--crl FILE|FOLDER]... [--intermediates FILE]...\n"
    "         [--trust-intermediates] [--crl-missing accept|reject] [--crl-stale reject|accept|DURATION]\n"
    "         [--depth N] [--time 2026-01-02T03:04:05Z|@SECONDS] [--purpose client|server|any] [--json] FILE\n"
    "exit codes: 0 accepted, 3 refused, 2 bad usage or a file that cannot be used\n";

/* ---- options ---- */

static bool parse_stale(const char *text, struct sp_config_client_auth *auth)
{
    if (strcmp(text, "reject") == 0)
        auth->crl_stale = SP_CRL_STALE_REJECT;
    else if (strcmp(text, "accept") == 0)
        auth->crl_stale = SP_CRL_STALE_ACCEPT;
    else if (sp_parse_duration_ms(sp_slice_of(text), &auth->crl_grace_ms))
        auth->crl_stale = SP_CRL_STALE_GRACE;
    else
        return false;
    return true;
}

static bool parse_missing(const char *text, struct request *r)
{
    bool accept = strcmp(text, "accept") == 0;
    r->missing_given = true;
    r->auth.crl_missing = accept ? SP_CRL_MISSING_ACCEPT : SP_CRL_MISSING_REJECT;
    return accept || strcmp(text, "reject") == 0;
}

static bool parse_purpose(const char *text, enum sp_trust_purpose *out)
{
    for (size_t i = 0; i < SP_COUNTOF(purposes); i++) {
        if (strcmp(text, purposes[i]) == 0) {
            *out = (enum sp_trust_purpose)i;
            return true;
        }
    }
    return false;
}

static bool parse_depth(const char *text, unsigned *out)
{
    uint64_t n;
    if (!sp_parse_u64(sp_slice_of(text), &n) || n > MAX_DEPTH)
        return false;
    *out = (unsigned)n;
    return true;
}

static bool add_file(struct files *files, const char *path)
{
    if (files->count == MAX_FILES)
        return false;
    files->items[files->count++] = path;
    return true;
}

enum { CA = 1, CRL, INTERMEDIATES, TRUST, MISSING, STALE, DEPTH, TIME, PURPOSE, JSON };

static const struct option longs[] = {
    {"ca", required_argument, NULL, CA},
    {"crl", required_argument, NULL, CRL},
    {"intermediates", required_argument, NULL, INTERMEDIATES},
    {"trust-intermediates", no_argument, NULL, TRUST},
    {"crl-missing", required_argument, NULL, MISSING},
    {"crl-stale", required_argument, NULL, STALE},
    {"depth", required_argument, NULL, DEPTH},
    {"time", required_argument, NULL, TIME},
    {"purpose", required_argument, NULL, PURPOSE},
    {"json", no_argument, NULL, JSON},
    SP_OPTIONS_END,
};

static bool take_value(struct request *r, int option, const char *value)
{
    switch (option) {
    case CA:
        return add_file(&r->ca, value);
    case CRL:
        return add_file(&r->crl, value);
    case INTERMEDIATES:
        return add_file(&r->intermediates, value);
    case TRUST:
        r->auth.trust_intermediates = true;
        return true;
    case MISSING:
        return parse_missing(value, r);
    case STALE:
        return parse_stale(value, &r->auth);
    case DEPTH:
        return parse_depth(value, &r->auth.depth);
    case TIME:
        return sp_cli_parse_time(value, &r->now);
    case PURPOSE:
        return parse_purpose(value, &r->purpose);
    default:
        r->json = true;
        return true;
    }
}

static enum sp_rc take_option(void *arg, int option, const char *value, struct sp_err *err)
{
    return take_value(arg, option, value) ? SP_OK : sp_err_set(err, "cannot be taken");
}

static const struct sp_options options = {"verify", usage, longs, take_option};

static int read_options(int argc, char **argv, struct request *r)
{
    int code = sp_options_read(argc, argv, &options, NULL, r);

    if (code != SP_GO_ON)
        return code;
    if (r->ca.count == 0)
        return sp_options_wrong(&options, "--ca is missing: nobody could be trusted");
    if (optind != argc - 1)
        return sp_options_wrong(&options, "exactly one certificate file is expected");
    r->leaf = argv[optind];
    return SP_GO_ON;
}

static void finish_request(struct request *r)
{
    r->auth.ca = (struct sp_strings){.items = r->ca.items, .count = r->ca.count};
    r->auth.crl = (struct sp_strings){.items = r->crl.items, .count = r->crl.count};
    r->auth.intermediates =
        (struct sp_strings){.items = r->intermediates.items, .count = r->intermediates.count};
    if (!r->missing_given)
        r->auth.crl_missing = r->crl.count > 0 ? SP_CRL_MISSING_REJECT : SP_CRL_MISSING_ACCEPT;
}

static bool looks_at_revocation(const struct request *r)
{
    return r->crl.count > 0 || r->auth.crl_missing == SP_CRL_MISSING_REJECT;
}

/* ---- text ---- */

struct report {
    const struct request *request;
    struct sp_buf chain;
    size_t steps;
};

static void text_step(void *arg, const struct sp_trust_step *step)
{
    struct report *report = arg;

    sp_step_text(&report->chain, "", report->steps++, step, looks_at_revocation(report->request));
}

static void print_text(const struct report *report, const struct sp_verdict *v)
{
    printf("%.*s", SP_FMT(sp_buf_slice(&report->chain)));
    if (!looks_at_revocation(report->request))
        puts("revocation was not looked at: no --crl is given, and --crl-missing is not reject");
    if (v->accepted) {
        puts("accepted");
        return;
    }
    printf("refused: %s: %s\n", sp_refusal_name(v->reason), v->detail);
    printf("         %s\n", sp_refusal_meaning(v->reason));
}

/* ---- JSON ---- */

static void json_step(void *arg, const struct sp_trust_step *step)
{
    struct report *report = arg;

    sp_step_json(&report->chain, step, looks_at_revocation(report->request));
}

static void print_json(const struct report *report, const struct sp_verdict *v)
{
    char time[SP_RFC3339_MAX];
    struct sp_buf out = {0};

    sp_buf_add_char(&out, '{');
    sp_json_bool(&out, "accepted", v->accepted);
    sp_json_text(&out, "reason", v->accepted ? NULL : sp_refusal_name(v->reason));
    sp_json_text(&out, "detail", v->accepted ? NULL : v->detail);
    sp_json_text(&out, "meaning", v->accepted ? NULL : sp_refusal_meaning(v->reason));
    sp_json_text(&out, "time", sp_time_rfc3339(report->request->now * 1000000, false, time));
    sp_json_text(&out, "purpose", purposes[report->request->purpose]);
    sp_json_bool(&out, "revocation_checked", looks_at_revocation(report->request));
    sp_json_key(&out, "chain");
    sp_buf_printf(&out, "[%.*s]}\n", SP_FMT(sp_buf_slice(&report->chain)));
    printf("%.*s", SP_FMT(sp_buf_slice(&out)));
    sp_buf_free(&out);
}

/* ---- the whole ---- */

static int judge(const struct request *r, const struct sp_trust *trust)
{
    struct sp_verdict verdict = {.accepted = false};
    struct report report = {.request = r};
    struct sp_err err = {0};
    int code = SP_EXIT_USAGE;

    if (sp_trust_inspect(trust, r->leaf, r->purpose, r->now, r->json ? json_step : text_step, &report,
            &verdict, NULL, &err) != SP_OK) {
        fprintf(stderr, "sallyport verify: %s\n", err.text);
    } else {
        (r->json ? print_json : print_text)(&report, &verdict);
        code = verdict.accepted ? SP_EXIT_OK : SP_EXIT_REFUSED;
    }
    sp_buf_free(&report.chain);
    return code;
}

int sp_cli_verify(int argc, char **argv)
{
    static const struct sp_config_client_auth defaults = {
        .mode = SP_AUTH_REQUIRED, .crl_stale = SP_CRL_STALE_REJECT, .depth = 5};
    struct request r = {.auth = defaults, .now = sp_wall_s()};
    struct sp_diags diags = {0};
    int code = read_options(argc, argv, &r);

    if (code != SP_GO_ON)
        return code;
    finish_request(&r);
    struct sp_trust *trust = sp_trust_new_at(NULL, &r.auth, NULL, r.now, &diags);
    sp_cli_show_diags(&diags);
    code = trust != NULL ? judge(&r, trust) : SP_EXIT_USAGE;
    sp_trust_free(trust);
    sp_diags_free(&diags);
    return code;
}
