/* What this thread asks of the kernel and of the allocator while it counts, whoever asks: our code, OpenSSL, libevent. */
#ifndef SP_TESTS_COUNTED_CALLS_H
#define SP_TESTS_COUNTED_CALLS_H

#include <stdbool.h>

/* X(name): by its C name, with arguments as the system call of that name has them */
#define COUNTED_PLAIN(X)                                                                                     \
    X(read)                                                                                                  \
    X(write)                                                                                                 \
    X(readv)                                                                                                 \
    X(writev)                                                                                                \
    X(recvfrom)                                                                                              \
    X(recvmsg)                                                                                               \
    X(sendto)                                                                                                \
    X(sendmsg)                                                                                               \
    X(epoll_ctl)                                                                                             \
    X(getsockopt)                                                                                            \
    X(setsockopt)                                                                                            \
    X(getsockname)                                                                                           \
    X(getpeername)                                                                                           \
    X(socket)                                                                                                \
    X(connect)                                                                                               \
    X(accept4)                                                                                               \
    X(shutdown)                                                                                              \
    X(close)                                                                                                 \
    X(ioctl)                                                                                                 \
    X(fcntl)                                                                                                 \
    X(timerfd_settime)                                                                                       \
    X(getrandom)                                                                                             \
    X(sched_yield)                                                                                           \
    X(nanosleep)
/* Those that are an alias with fewer arguments. */
#define COUNTED_CALLS(X)                                                                                     \
    COUNTED_PLAIN(X)                                                                                         \
    X(recv)                                                                                                  \
    X(send)                                                                                                  \
    X(poll)                                                                                                  \
    X(epoll_wait)                                                                                            \
    X(small_of_openssl)                                                                                      \
    X(allocation)

enum counted_call {
#define X(name) CALL_##name,
    COUNTED_CALLS(X)
#undef X
        CALL_COUNT
};
extern const char *const counted_names[CALL_COUNT];

struct counted_calls {
    unsigned long of[CALL_COUNT];
};

/* Of allocations those by OpenSSL of up to 64 bytes are counted apart, and not as `allocation`. */
/* From now on what this thread calls is added to `into`; NULL: it is not counted. */
void counted_calls_into(struct counted_calls *into);

#endif
