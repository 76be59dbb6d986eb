/* sallyport reference PAGE: the reference pages, printed from the tables that the program itself runs on. docs/
 * holds a copy of each; a test fails when it is stale. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "options.h"
#include "sallyport/base/mem.h"
#include "sallyport/config/config.h"
#include "sallyport/obs/gauge.h"
#include "sallyport/obs/issuer_counts.h"
#include "sallyport/obs/meter.h"
#include "sallyport/obs/refusal.h"
#include "sallyport/obs/rule_meter.h"

static void refusals(struct sp_buf *out)
{
    static const struct {
        char when;
        const char *title;
    } PARTS[] = {
        {'H', "Before anybody is let in (the log's `refused` events)"},
        {'S',
            "On an open connection (the log's `session_ended` events; all of the above may be met there too)"},
        {'R', "On a request (the access record's `reason`)"},
        {'U', "Because of a backend (the access record's `reason`)"},
    };

    sp_buf_add_str(out, "# Refusals\n\n<!-- Printed by `sallyport reference refusals`. -->\n\n"
                        "Every no has one word out of this closed list: the same in the log, in the metric\n"
                        "`sallyport_refusals_total{reason=\"...\"}` and here.\n");
    for (size_t p = 0; p < SP_COUNTOF(PARTS); p++) {
        sp_buf_printf(out, "\n## %s\n\n| reason | meaning |\n|---|---|\n", PARTS[p].title);
        for (int r = SP_REFUSAL_none + 1; r < SP_REFUSAL_COUNT; r++) {
            if (sp_refusal_when(r) == PARTS[p].when)
                sp_buf_printf(out, "| `%s` | %s |\n", sp_refusal_name(r), sp_refusal_meaning(r));
        }
    }
}

static void print_labelled(
    struct sp_buf *out, const char *name, const char *const labels[SP_GAUGE_LABELS], const char *help)
{
    sp_buf_printf(out, "| `%s{", name);
    for (size_t i = 0; i < SP_GAUGE_LABELS && labels[i] != NULL; i++)
        sp_buf_printf(out, "%s%s=\"...\"", i > 0 ? "," : "", labels[i]);
    sp_buf_printf(out, "}` | gauge | %s |\n", help);
}

static void metrics(struct sp_buf *out)
{
    static const struct {
        const char *name, *type, *help;
    } ROWS[] = {
#define X(id, prometheus, kind, text) {prometheus, #kind, text},
        SP_METERS(X)
#undef X
    };
    static const struct {
        const char *name, *labels[SP_GAUGE_LABELS], *help;
    } LABELLED[] = {
#define X(id, prometheus, label1, label2, label3, label4, text)                                              \
    {prometheus, {label1, label2, label3, label4}, text},
        SP_GAUGES(X)
#undef X
    };

    sp_buf_add_str(out, "# Metrics\n\n<!-- Printed by `sallyport reference metrics`. -->\n\n"
                        "Served on the admin listener under `/metrics`, in the Prometheus text format.\n\n"
                        "| metric | type | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < SP_COUNTOF(ROWS); i++)
        sp_buf_printf(out, "| `%s` | %s | %s |\n", ROWS[i].name, ROWS[i].type, ROWS[i].help);
    for (size_t i = 0; i < SP_COUNTOF(LABELLED); i++)
        print_labelled(out, LABELLED[i].name, LABELLED[i].labels, LABELLED[i].help);
#define X(name, labels, help) sp_buf_add_str(out, "| `" name "{" labels "}` | counter | " help " |\n");
    SP_RULE_FAMILIES(X)
    SP_ISSUER_FAMILIES(X)
#undef X
    sp_buf_add_str(out,
        "| `sallyport_refusals_total{reason=\"...\"}` | counter | Refusals, by [reason](refusals.md) |\n"
        "| `sallyport_sessions_ended_total{reason=\"...\"}` | counter | Connections ended that had been let in, by "
        "[reason](refusals.md) |\n"
        "| `sallyport_build_info{version=\"...\"}` | gauge | 1 |\n");
}

static const struct {
    const char *name;
    void (*print)(struct sp_buf *out);
} PAGES[] = {{"config", sp_config_print_reference}, {"refusals", refusals}, {"metrics", metrics}};

int sp_cli_reference(int argc, char **argv)
{
    static const struct sp_options OPTIONS = {
        .command = "reference", .usage = "usage: sallyport reference config|refusals|metrics\n"};
    struct sp_buf out = {0};
    int code = sp_options_read(argc, argv, &OPTIONS, NULL, NULL);

    if (code != SP_GO_ON)
        return code;
    for (size_t i = 0; argc == optind + 1 && i < SP_COUNTOF(PAGES); i++) {
        if (strcmp(argv[optind], PAGES[i].name) != 0)
            continue;
        PAGES[i].print(&out);
        printf("%.*s", SP_FMT(sp_buf_slice(&out)));
        sp_buf_free(&out);
        return SP_EXIT_OK;
    }
    return sp_options_wrong(&OPTIONS, "exactly one of these pages is expected");
}
