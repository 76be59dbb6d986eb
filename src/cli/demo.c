/* sallyport demo [--run-once]: passes on to the room `demo`, which runs this very program as its proxy. */
#include "sallyport/demo/demo.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

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

int sp_cli_demo(int argc, char **argv)
{
    char path[PATH_MAX];
    bool run_once = argc == 2 && strcmp(argv[1], "--run-once") == 0;

    if (argc > 1 && !run_once) {
        fprintf(stderr, "usage: sallyport demo [--run-once]\n");
        return SP_EXIT_USAGE;
    }
    return sp_demo_run(find_self(path), run_once) == 0 ? SP_EXIT_OK : SP_EXIT_FAILED;
}
