/* Priorities of gates and workers.
 *
 * Threads that want more CPU than there is get it in proportion to the weights of their nice values. So a share is a ratio of
 * weights, and that a difference of nice values. Only what lowers a priority is used, since that is allowed to everybody: gates
 * are lowered for a share under a half, workers for a share above it.
 *
 * Weights say nothing of when. A slice does: since Linux 6.12 a thread may ask for a short one, and such a thread takes the CPU
 * from one with a longer slice as soon as there is something to do for it, where it would otherwise wait for the end of that
 * slice. Older kernels ignore what is asked. */
#include "priority.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sallyport/base/base.h"

/* A worker's turn is mostly shorter than this; it is the shortest that the kernel gives. */
#define WORKER_SLICE_US 100

/* The kernel's weights of nice 0 to 19 (sched(7): each is about 1.25 times the next). */
static const unsigned WEIGHTS[] = {
    1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15};

/* As linux/sched/types.h and linux/sched.h have them, which the C library's <sched.h> does not get along with. The structure is the
 * first version, which every kernel since 3.14 takes. */
#define KEEP_POLICY 0x08
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/* Gates give way in the middle of their work, and each time the kernel takes a part of what they would have had: nearly half, measured
 * with everybody on one CPU. So they are given twice the weight. */
#define GIVEN_AWAY 2

static bool suffices(unsigned share, uint64_t gates_weight, uint64_t workers_weight)
{
    return gates_weight * (100 - share) >= GIVEN_AWAY * workers_weight * share;
}

struct sp_priorities sp_priorities_of(unsigned share, unsigned gates, unsigned workers)
{
    struct sp_priorities p = {.worker = {.slice_us = WORKER_SLICE_US}};
    const int last = (int)SP_COUNTOF(WEIGHTS) - 1;
    uint64_t gates_weight = (uint64_t)gates * WEIGHTS[0], workers_weight = (uint64_t)workers * WEIGHTS[0];

    while (p.worker.nice < last && !suffices(share, gates_weight, workers_weight))
        workers_weight = (uint64_t)workers * WEIGHTS[++p.worker.nice];
    while (p.gate.nice < last && suffices(share, (uint64_t)gates * WEIGHTS[p.gate.nice + 1], workers_weight))
        p.gate.nice++;
    return p;
}

void sp_priority_take(const struct sp_priority *p)
{
    if (p->nice != 0) /* process 0 is the calling thread on Linux */
        (void)!setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + p->nice);
    if (p->slice_us == 0)
        return;
    struct attributes a = {.size = sizeof(a),
        .flags = KEEP_POLICY,
        .nice = getpriority(PRIO_PROCESS, 0),
        .runtime = (uint64_t)p->slice_us * 1000};
    (void)!syscall(SYS_sched_setattr, 0, &a, 0);
}
