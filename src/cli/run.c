/* sallyport run -c FILE: passes on to the room `daemon`. */
#include "cli.h"
#include "options.h"
#include "sallyport/daemon/daemon.h"

int sp_cli_run(int argc, char **argv)
{
    static const struct sp_options OPTIONS = {.command = "run",
        .usage = "usage: sallyport run -c FILE\n"
                 "signals: HUP reloads, TERM and INT drain, USR1 reopens log files\n"
                 "exit codes: 0 ended as asked, 1 failed while running, 2 bad usage or configuration\n"};
    const char *file = NULL;
    int code = sp_options_read_all(argc, argv, &OPTIONS, &file, NULL);

    return code == SP_GO_ON ? sp_daemon_run(file) : code;
}
