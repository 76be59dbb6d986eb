/* A tunnel moves to another view. An ordinary exchange keeps the view that it began with, since it is soon over; a tunnel may outlive
 * hundreds of them, each with revocation lists of its own, and would keep them all.
 *
 *   pack   what its records will tell of the decision is copied into memory of its own, of fixed size, and the connection to the
 *          backend lets go of what it was made by
 *   move   sp_session_move: the session goes over, and what it looks up by name is looked up anew: listener, timeouts
 *   unpack the view in force is its own, and it is counted by the limits of that one
 *
 * It moves before it is judged by the new view: that it is to be judged is remembered by its session (rules_changed), until a walk
 * has found it fit. */
#include <stdio.h>

#include "proxy/proxy_impl.h"
#include "proxy/record/record.h"

#define NAME_ROOM 65 /* of a rule, a caller, an upstream */

struct sp_tunnel_told {
    char rule[NAME_ROOM], caller[NAME_ROOM], upstream[NAME_ROOM];
    char reports[SP_REPORTS_ROOM];
};

static const char *keep(const char *name, char room[NAME_ROOM])
{
    if (name == NULL)
        return NULL;
    SP_ASSERT(strlen(name) < NAME_ROOM);
    memcpy(room, name, strlen(name) + 1);
    return room;
}

/* Indexes of the configuration that it leaves mean nothing in another one. */
static bool keep_decision(struct sp_exchange *x)
{
    struct sp_decision *d = &x->decision;
    struct sp_tunnel_told *told = SP_NEW(struct sp_tunnel_told);

    if (told == NULL)
        return false;
    sp_record_reports(x, told->reports);
    x->tunnel.told = told;
    x->reports = told->reports;
    d->rule_name = keep(d->rule_name, told->rule);
    d->caller_name = keep(d->caller_name, told->caller);
    d->upstream_name = keep(d->upstream_name, told->upstream);
    d->rule = d->upstream = SP_NONE;
    d->report_count = 0;
    return true;
}

bool sp_tunnel_pack(struct sp_exchange *x)
{
    if (x->tunnel.told == NULL && !keep_decision(x))
        return false;
    sp_upconn_detach(x->up);
    return true;
}

static size_t caller_of_name(const struct sp_config *config, const char *name)
{
    for (size_t i = 0; name != NULL && i < config->caller_count; i++) {
        if (strcmp(config->callers[i].name, name) == 0)
            return i;
    }
    return SP_NONE;
}

void sp_tunnel_unpack(struct sp_exchange *x, bool has_same_callers)
{
    struct sp_session *s = x->session;

    sp_view_drop(x->view);
    x->view = s->view;
    x->view->users++;
    if (has_same_callers)
        return;
    sp_exchange_leave(x);
    if (sp_session_recount(s))
        sp_exchange_reenter(x, caller_of_name(s->view->snapshot->config, x->decision.caller_name));
}
