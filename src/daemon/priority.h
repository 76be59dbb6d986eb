/* What part of the CPU the gates' threads get, and how soon a worker gets it: as priorities that need no privilege. Not a
 * door. */
#ifndef SP_DAEMON_PRIORITY_H
#define SP_DAEMON_PRIORITY_H

#include <stdint.h>

/* What is asked of the kernel for a thread. All zeros: nothing, it runs as the process does. */
struct sp_priority {
    int nice;          /* added to the process's own */
    uint32_t slice_us; /* how long it may run when others want to; 0: as the kernel has it */
};

struct sp_priorities {
    struct sp_priority gate, worker;
};

/* The priorities by which `gates` threads get at least `share` percent (1 to 90) of the CPU together while they and `workers`
 * want more than there is, and the least above it that can be had. */
struct sp_priorities sp_priorities_of(unsigned share, unsigned gates, unsigned workers);
/* For the calling thread. What the kernel refuses or does not know, it goes without. */
void sp_priority_take(const struct sp_priority *p);

#endif
