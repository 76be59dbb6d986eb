/* sallyport run -c FILE: passes on to the room `daemon`. */
#include "cli.h"
#include "sallyport/base/base.h"
#include "sallyport/daemon/daemon.h"

int sp_cli_run(int argc, char **argv)
{
    const char *file = sp_cli_config_option(argc, argv);

    return file != NULL ? sp_daemon_run(file) : SP_EXIT_USAGE;
}
