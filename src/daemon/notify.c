/* Tells systemd how it stands, when it started us with Type=notify; otherwise nothing happens. */
#include <systemd/sd-daemon.h>

#include "daemon_impl.h"

void sp_notify(const char *state)
{
    sd_notify(0, state);
}
