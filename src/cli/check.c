/* sallyport check -c FILE: everything that `run` would read, read and judged, and nothing started. Errors and
 * warnings go to standard error, what was found to standard output; --quiet leaves the latter out: where a service
 * manager runs it before a reload, its output is in the service's log. */
#include <stdio.h>
#include <time.h>

#include "cli.h"
#include "listing.h"
#include "options.h"
#include "sallyport/base/mem.h"
#include "sallyport/snapshot/snapshot.h"

static enum sp_rc take_option(void *arg, int option, const char *value, struct sp_err *err)
{
    (void)option;
    (void)value;
    (void)err;
    *(bool *)arg = true;
    return SP_OK;
}

int sp_cli_check(int argc, char **argv)
{
    static const struct option LONGS[] = {{"quiet", no_argument, NULL, 1}, SP_OPTIONS_END};
    static const struct sp_options OPTIONS = {"check",
        "usage: sallyport check -c FILE [--quiet]\n"
        "--quiet: says only what is wrong\n"
        "exit codes: 0 usable, 2 bad usage or not usable\n",
        LONGS, take_option};
    const char *file = NULL;
    bool quiet = false;
    struct sp_snapshot *snapshot = NULL;
    struct sp_diags diags = {0};
    struct sp_buf found = {0};
    int64_t now = (int64_t)time(NULL);
    int code = sp_options_read_all(argc, argv, &OPTIONS, &file, &quiet);

    if (code != SP_GO_ON)
        return code;
    struct sp_snapshot_options options = {.gates = 1, .generation = 1};
    enum sp_rc rc = sp_snapshot_load(file, &options, &snapshot, &diags);
    if (rc == SP_OK) {
        sp_policy_review(snapshot->policy, &diags);
        sp_listing_warn(snapshot, now, &diags);
    }
    sp_cli_show_diags(&diags);
    if (rc != SP_OK) {
        fprintf(stderr, "%s: not usable, %zu error%s\n", file, diags.errors, diags.errors == 1 ? "" : "s");
    } else if (!quiet) {
        sp_listing_print(snapshot, now, &found);
        sp_cli_show(stdout, sp_buf_slice(&found));
        printf("%s: ok, %zu warning%s\n", file, diags.warnings, diags.warnings == 1 ? "" : "s");
    }
    sp_snapshot_unref(snapshot);
    sp_diags_free(&diags);
    sp_buf_free(&found);
    return rc == SP_OK ? SP_EXIT_OK : SP_EXIT_USAGE;
}
