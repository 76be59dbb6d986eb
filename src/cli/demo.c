/* sallyport demo [--run-once]: passes on to the room `demo`, which runs this very program as its proxy. */
#include "sallyport/demo/demo.h"

#include <limits.h>
#include <unistd.h>

#include "cli.h"
#include "options.h"

/* The program that runs now, by its path, so that the proxy shows under its own name in ps; by the kernel's
 * link to it if that path is no longer there (a build or an upgrade replaced it). */
static const char *find_self(char path[PATH_MAX])
{
    static const char LINK[] = "/proc/self/exe";
    ssize_t len = readlink(LINK, path, PATH_MAX - 1);

    if (len <= 0)
        return LINK;
    path[len] = '\0';
    return access(path, X_OK) == 0 ? path : LINK;
}

static enum sp_rc take_option(void *arg, int option, const char *value, struct sp_err *err)
{
    (void)option;
    (void)value;
    (void)err;
    *(bool *)arg = true;
    return SP_OK;
}

int sp_cli_demo(int argc, char **argv)
{
    static const struct option LONGS[] = {{"run-once", no_argument, NULL, 1}, SP_OPTIONS_END};
    static const struct sp_options OPTIONS = {"demo",
        "usage: sallyport demo [--run-once]\n"
        "--run-once: tries its requests by itself, says how they came out and ends\n",
        LONGS, take_option};
    char path[PATH_MAX];
    bool run_once = false;
    int code = sp_options_read_all(argc, argv, &OPTIONS, NULL, &run_once);

    if (code != SP_GO_ON)
        return code;
    return sp_demo_run(find_self(path), run_once) == 0 ? SP_EXIT_OK : SP_EXIT_FAILED;
}
