/* sallyport check -c FILE: everything that `run` would read, read and judged, and nothing started. Errors and
 * warnings go to standard error, what was found to standard output. */
#include <stdio.h>
#include <time.h>

#include "cli.h"
#include "sallyport/base/mem.h"
#include "sallyport/snapshot/snapshot.h"

static void describe(const struct sp_snapshot *s, struct sp_buf *out)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct sp_config_listener *l = s->listeners[i].config;
        sp_buf_printf(out, "listener %s on %s\n", l->name, l->address_text);
        sp_trust_describe(s->listeners[i].trust, (int64_t)time(NULL), out);
    }
    sp_buf_printf(out, "%zu callers, %zu rules, %zu upstreams\n", s->config->caller_count,
        s->config->rule_count, s->config->upstream_count);
}

int sp_cli_check(int argc, char **argv)
{
    const char *file = sp_cli_config_option(argc, argv);
    struct sp_snapshot *snapshot = NULL;
    struct sp_diags diags = {0};
    struct sp_buf problems = {0}, found = {0};

    if (file == NULL)
        return SP_EXIT_USAGE;
    enum sp_rc rc = sp_snapshot_load(file, 1, 1, &snapshot, &diags);
    sp_diags_print(&diags, &problems);
    fprintf(stderr, "%.*s", SP_FMT(sp_buf_slice(&problems)));
    if (rc == SP_OK) {
        describe(snapshot, &found);
        printf("%.*s%s: ok, %zu warning%s\n", SP_FMT(sp_buf_slice(&found)), file, diags.warnings,
            diags.warnings == 1 ? "" : "s");
    } else {
        fprintf(stderr, "%s: not usable, %zu error%s\n", file, diags.errors, diags.errors == 1 ? "" : "s");
    }
    sp_snapshot_unref(snapshot);
    sp_diags_free(&diags);
    sp_buf_free(&problems);
    sp_buf_free(&found);
    return rc == SP_OK ? SP_EXIT_OK : SP_EXIT_USAGE;
}
