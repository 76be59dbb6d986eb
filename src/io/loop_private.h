/* What the sources of a loop share: loop.c runs it, timer.c keeps its deadlines, watch.c its descriptors and
 * signals. */
#ifndef SP_IO_LOOP_PRIVATE_H
#define SP_IO_LOOP_PRIVATE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "sallyport/io/loop.h"

struct sp_loop {
    struct event_base *base;
    struct event wake; /* the limit of sp_loop_turn */
    struct event mail; /* on mail_fd */
    int mail_fd;       /* eventfd, written when `inbox` stops being empty, and by sp_loop_stop */
    atomic_bool stopping;
    _Atomic(struct sp_mail *) inbox; /* newest first */
    struct sp_list tasks, behind;
    struct sp_grave *graves;
};

#endif
