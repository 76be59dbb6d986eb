/* The thread "upstreams", which the roster runs on: names, checks and ejections of endpoints.
 *
 * It is there before anything else, since building the first snapshot asks it what names mean; it gets its log and meters when there
 * are some, and ends after the workers, which hold what it made. */
#include <string.h>

#include "daemon_impl.h"

enum sp_rc sp_roster_thread_start(struct sp_daemon *d, struct sp_err *err)
{
    strcpy(d->upstreams.name, "upstreams");
    if (sp_loop_new(&d->upstreams.loop, err) != SP_OK)
        return SP_FAIL;
    struct sp_roster_options options = {.loop = d->upstreams.loop};
    if (sp_roster_new(&options, &d->roster, err) != SP_OK)
        return SP_FAIL;
    return sp_thread_start(&d->upstreams, err);
}

void sp_roster_thread_stop(struct sp_daemon *d)
{
    sp_thread_stop(&d->upstreams);
    sp_roster_free(d->roster);
    sp_loop_free(d->upstreams.loop);
}

enum sp_rc sp_roster_thread_equip(struct sp_daemon *d, struct sp_err *err)
{
    struct sp_roster_options options = {
        .meter = sp_meters_add_block(d->meters), .workers = d->snapshot->config->workers};

    options.logger = options.meter != NULL ? sp_logger_new(d->log, options.meter) : NULL;
    if (options.logger == NULL)
        return sp_err_set(err, "upstreams: not enough memory");
    return sp_roster_equip(d->roster, &options, err);
}
