/* c-ares on a loop of ours. Not a door.
 *
 * Our watches tell edges, c-ares wants levels: it may read one piece of a TCP answer and expect to be called for the next. So
 * after every edge, and whenever c-ares changes what it waits for, all of its sockets are asked (poll) until none has anything
 * for it. */
#ifndef SP_IO_RESOLVER_PRIVATE_H
#define SP_IO_RESOLVER_PRIVATE_H

/* Later releases call ares_query and others old-fashioned; Debian 12 has nothing newer. */
#define CARES_NO_DEPRECATED
#include <ares.h>

#include "sallyport/base/list.h"
#include "sallyport/io/loop.h"
#include "sallyport/io/resolver.h"

struct sp_dns_socket {
    struct sp_list link; /* in sp_dns.sockets */
    struct sp_dns *dns;
    int fd;
    bool reads, writes; /* what c-ares waits for */
    struct sp_watch *watch;
    struct sp_grave grave;
};

struct sp_dns {
    ares_channel channel;
    struct sp_loop *loop;
    struct sp_list sockets;
    struct sp_timer *timer; /* c-ares's next time-out */
    struct sp_task pump;
};

/* `servers`: NULL: the system's. SP_FAIL leaves nothing behind. `d` stays where it is until sp_dns_close. */
SP_MUST_USE enum sp_rc sp_dns_open(
    struct sp_dns *d, struct sp_loop *loop, const char *servers, struct sp_err *err);
/* Calls back what is under way, with ARES_EDESTRUCTION. */
void sp_dns_close(struct sp_dns *d);
/* After something was asked: its time-outs are to be watched. */
void sp_dns_touched(struct sp_dns *d);

#endif
