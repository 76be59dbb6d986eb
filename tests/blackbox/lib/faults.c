/* Preloaded into the gate: system calls and allocations that fail, or do less than was asked, whenever the test says so.
 *
 * $SP_TEST_FAULTS names a file of one page, which test and gate share. It has a row for each kind of fault; the names are written by
 * us, what shall happen by the test: `chance` is how many of a million calls fail, `nth` counts calls down and fails the last one, once.
 * `done` says how many did.
 *
 * What happens is what the kernel could do, nothing else. Who is told of readiness by edges may rely on a short read having emptied the
 * socket and a short write having filled it (epoll(7)); so an edge is made afterwards, as if the rest had arrived only then. A read that
 * only peeks, an eventfd, inotify and datagrams are left alone; a connection that broke is broken for its peer, too; what blocks is not told to try again. Allocations fail for the gate's own calls, not for those of libraries. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FAULTS(X)                                                                                            \
    X(short_read, 0)                                                                                         \
    X(short_write, 0)                                                                                        \
    X(read_EINTR, EINTR)                                                                                     \
    X(write_EINTR, EINTR)                                                                                    \
    X(accept_EINTR, EINTR)                                                                                   \
    X(connect_EINTR, EINTR)                                                                                  \
    X(wait_EINTR, EINTR)                                                                                     \
    X(read_EAGAIN, EAGAIN)                                                                                   \
    X(write_EAGAIN, EAGAIN)                                                                                  \
    X(accept_EAGAIN, EAGAIN)                                                                                 \
    X(read_ECONNRESET, ECONNRESET)                                                                           \
    X(read_ETIMEDOUT, ETIMEDOUT)                                                                             \
    X(read_ENOMEM, ENOMEM)                                                                                   \
    X(write_ECONNRESET, ECONNRESET)                                                                          \
    X(write_ENOBUFS, ENOBUFS)                                                                                \
    X(write_ENOMEM, ENOMEM)                                                                                  \
    X(accept_ECONNABORTED, ECONNABORTED)                                                                     \
    X(accept_EMFILE, EMFILE)                                                                                 \
    X(accept_ENOBUFS, ENOBUFS)                                                                               \
    X(accept_ENOMEM, ENOMEM)                                                                                 \
    X(socket_EMFILE, EMFILE)                                                                                 \
    X(socket_ENFILE, ENFILE)                                                                                 \
    X(socket_ENOBUFS, ENOBUFS)                                                                               \
    X(socket_ENOMEM, ENOMEM)                                                                                 \
    X(connect_EADDRNOTAVAIL, EADDRNOTAVAIL)                                                                  \
    X(connect_ENETUNREACH, ENETUNREACH)                                                                      \
    X(connect_ENOBUFS, ENOBUFS)                                                                              \
    X(watch_ENOMEM, ENOMEM)                                                                                  \
    X(watch_ENOSPC, ENOSPC)                                                                                  \
    X(open_EMFILE, EMFILE)                                                                                   \
    X(alloc, ENOMEM)

enum fault {
#define X(name, error) name,
    FAULTS(X)
#undef X
        FAULT_COUNT
};

static const struct {
    const char *name;
    int error;
} faults[] = {
#define X(name, error) {#name, error},
    FAULTS(X)
#undef X
};

struct row {
    char name[32];
    uint32_t chance, nth;
    uint64_t done;
};

/* Of the page: a seed, the number of rows, then these. */
struct page {
    uint32_t seed, count;
    struct row rows[FAULT_COUNT];
};

#define FDS_MAX 65536

static struct page *page;
static uintptr_t text_from, text_to; /* of the gate itself */
/* Where a descriptor is registered. Its owner writes it, and hands it over with the descriptor. */
static struct {
    int set; /* and one, so that zero is nowhere */
    struct epoll_event event;
} registered[FDS_MAX];

#define REAL(type, name, ...)                                                                                \
    static type (*real)(__VA_ARGS__);                                                                        \
    if (real == NULL)                                                                                        \
    real = (type(*)(__VA_ARGS__))(size_t)dlsym(RTLD_NEXT, name)

/* ---- whether ---- */

static uint32_t dice(void)
{
    static __thread uint64_t state;
    static uint64_t threads;
    if (state == 0)
        state = (page->seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^
                __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED) << 32;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static bool is_due(enum fault f)
{
    if (page == NULL)
        return false;
    struct row *row = &page->rows[f];
    uint32_t chance = __atomic_load_n(&row->chance, __ATOMIC_RELAXED);
    uint32_t nth = __atomic_load_n(&row->nth, __ATOMIC_RELAXED);
    bool due = chance > 0 && dice() % 1000000 < chance;
    while (nth > 0 &&
           !__atomic_compare_exchange_n(&row->nth, &nth, nth - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return due || nth == 1;
}

static void count(enum fault f)
{
    __atomic_add_fetch(&page->rows[f].done, 1, __ATOMIC_RELAXED);
}

static bool fails(enum fault f)
{
    if (!is_due(f))
        return false;
    count(f);
    errno = faults[f].error;
    return true;
}

/* The first of `from` to `to` that is due. */
static bool one_fails(enum fault from, enum fault to)
{
    for (enum fault f = from; f <= to; f++) {
        if (fails(f))
            return true;
    }
    return false;
}

/* ---- whom ---- */

enum kind { LEFT_ALONE, FILE_OR_PIPE, STREAM };

static enum kind kind_of(int fd)
{
    struct stat st;
    int type = 0;
    socklen_t len = sizeof type;
    if (fstat(fd, &st) != 0)
        return LEFT_ALONE;
    if (S_ISFIFO(st.st_mode)) /* libevent's own, for signals, do not block */
        return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 ? LEFT_ALONE : FILE_OR_PIPE;
    if (S_ISREG(st.st_mode))
        return FILE_OR_PIPE;
    if (!S_ISSOCK(st.st_mode) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
        return LEFT_ALONE;
    return type == SOCK_STREAM ? STREAM : LEFT_ALONE;
}

static void make_edge(int fd)
{
    int error = errno;
    if (fd < FDS_MAX && registered[fd].set != 0) {
        struct epoll_event event = registered[fd].event;
        (void)syscall(SYS_epoll_ctl, registered[fd].set - 1, EPOLL_CTL_MOD, fd, &event);
    }
    errno = error;
}

/* After these a connection is dead, whoever looks at it. */
static bool dies(int fd, enum fault f)
{
    if (!fails(f))
        return false;
    int error = errno;
    (void)shutdown(fd, SHUT_RDWR);
    errno = error;
    return true;
}

static bool tries_again(int fd, enum fault f)
{
    if (fd < 0 || fd >= FDS_MAX || registered[fd].set == 0 || !fails(f))
        return false;
    make_edge(fd);
    return true;
}

/* ---- reading and writing: one function for each direction ---- */

static bool read_fails(int fd, enum kind kind)
{
    if (kind == LEFT_ALONE)
        return false;
    if (fails(read_EINTR))
        return true;
    return kind == STREAM && (tries_again(fd, read_EAGAIN) || dies(fd, read_ECONNRESET) ||
                                 dies(fd, read_ETIMEDOUT) || fails(read_ENOMEM));
}

static bool write_fails(int fd, enum kind kind)
{
    if (kind == LEFT_ALONE)
        return false;
    if (fails(write_EINTR))
        return true;
    return kind == STREAM && (tries_again(fd, write_EAGAIN) || dies(fd, write_ECONNRESET) ||
                                 one_fails(write_ENOBUFS, write_ENOMEM));
}

static size_t sum_of(const struct iovec *iov, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += iov[i].iov_len;
    return sum;
}

/* One to 64 of `len`, or about half. */
static size_t shortened(size_t len)
{
    uint32_t d = dice();
    size_t most = d % 4 == 0 ? len / 2 : 64;
    if (most >= len)
        most = len - 1;
    return 1 + (d >> 2) % most;
}

static bool is_shortened(enum fault f, enum kind kind, size_t len)
{
    if (kind == LEFT_ALONE || len < 2 || !is_due(f))
        return false;
    count(f);
    return true;
}

static size_t cut(struct iovec *copy, const struct iovec *iov, size_t n, size_t len)
{
    size_t i = 0;
    for (; i < n && len > 0; i++) {
        copy[i] = iov[i];
        if (copy[i].iov_len > len)
            copy[i].iov_len = len;
        len -= copy[i].iov_len;
    }
    return i;
}

static bool is_on(void)
{
    if (page == NULL)
        return false;
    for (enum fault f = 0; f < FAULT_COUNT; f++) {
        if (f != alloc && (page->rows[f].chance != 0 || page->rows[f].nth != 0))
            return true;
    }
    return false;
}

ssize_t recv(int fd, void *buf, size_t room, int flags)
{
    REAL(ssize_t, "recv", int, void *, size_t, int);
    enum kind kind = is_on() && !(flags & MSG_PEEK) ? kind_of(fd) : LEFT_ALONE;
    if (read_fails(fd, kind))
        return -1;
    bool is_short = is_shortened(short_read, kind, room);
    ssize_t got = real(fd, buf, is_short ? shortened(room) : room, flags);
    if (is_short)
        make_edge(fd);
    return got;
}

ssize_t read(int fd, void *buf, size_t room)
{
    REAL(ssize_t, "read", int, void *, size_t);
    enum kind kind = is_on() ? kind_of(fd) : LEFT_ALONE;
    if (read_fails(fd, kind))
        return -1;
    bool is_short = is_shortened(short_read, kind, room);
    ssize_t got = real(fd, buf, is_short ? shortened(room) : room);
    if (is_short)
        make_edge(fd);
    return got;
}

ssize_t readv(int fd, const struct iovec *iov, int n)
{
    REAL(ssize_t, "readv", int, const struct iovec *, int);
    enum kind kind = is_on() ? kind_of(fd) : LEFT_ALONE;
    struct iovec copy[IOV_MAX];
    if (read_fails(fd, kind))
        return -1;
    if (!is_shortened(short_read, kind, sum_of(iov, (size_t)n)))
        return real(fd, iov, n);
    ssize_t got = real(fd, copy, (int)cut(copy, iov, (size_t)n, shortened(sum_of(iov, (size_t)n))));
    make_edge(fd);
    return got;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    REAL(ssize_t, "send", int, const void *, size_t, int);
    enum kind kind = is_on() ? kind_of(fd) : LEFT_ALONE;
    if (write_fails(fd, kind))
        return -1;
    bool is_short = is_shortened(short_write, kind, len);
    ssize_t sent = real(fd, bytes, is_short ? shortened(len) : len, flags);
    if (is_short)
        make_edge(fd);
    return sent;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    enum kind kind = is_on() ? kind_of(fd) : LEFT_ALONE;
    if (write_fails(fd, kind))
        return -1;
    bool is_short = is_shortened(short_write, kind, len);
    ssize_t sent = real(fd, bytes, is_short ? shortened(len) : len);
    if (is_short)
        make_edge(fd);
    return sent;
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    enum kind kind = is_on() ? kind_of(fd) : LEFT_ALONE;
    struct iovec copy[IOV_MAX];
    if (write_fails(fd, kind))
        return -1;
    if (!is_shortened(short_write, kind, sum_of(iov, (size_t)n)))
        return real(fd, iov, n);
    ssize_t sent = real(fd, copy, (int)cut(copy, iov, (size_t)n, shortened(sum_of(iov, (size_t)n))));
    make_edge(fd);
    return sent;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    REAL(ssize_t, "sendmsg", int, const struct msghdr *, int);
    enum kind kind = is_on() ? kind_of(fd) : LEFT_ALONE;
    struct iovec copy[IOV_MAX];
    struct msghdr less = *msg;
    if (write_fails(fd, kind))
        return -1;
    if (!is_shortened(short_write, kind, sum_of(msg->msg_iov, msg->msg_iovlen)))
        return real(fd, msg, flags);
    less.msg_iov = copy;
    less.msg_iovlen =
        cut(copy, msg->msg_iov, msg->msg_iovlen, shortened(sum_of(msg->msg_iov, msg->msg_iovlen)));
    ssize_t sent = real(fd, &less, flags);
    make_edge(fd);
    return sent;
}

/* ---- connections ---- */

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int);
    if (page != NULL &&
        (fails(accept_EINTR) || fails(accept_EAGAIN) || one_fails(accept_EMFILE, accept_ENOMEM)))
        return -1;
    int made = real(fd, address, len, flags);
    if (made >= 0 && fails(accept_ECONNABORTED)) {
        (void)close(made);
        errno = ECONNABORTED;
        return -1;
    }
    return made;
}

int socket(int family, int type, int protocol)
{
    REAL(int, "socket", int, int, int);
    if (page != NULL && (type & 0xf) == SOCK_STREAM && one_fails(socket_EMFILE, socket_ENOMEM))
        return -1;
    return real(family, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    REAL(int, "connect", int, const struct sockaddr *, socklen_t);
    if (page == NULL || kind_of(fd) != STREAM)
        return real(fd, address, len);
    if (one_fails(connect_EADDRNOTAVAIL, connect_ENOBUFS))
        return -1;
    int rc = real(fd, address, len);
    if (rc != 0 && errno == EINPROGRESS && fails(connect_EINTR)) /* it goes on */
        errno = EINTR;
    return rc;
}

int close(int fd)
{
    REAL(int, "close", int);
    if (fd >= 0 && fd < FDS_MAX)
        registered[fd].set = 0;
    return real(fd);
}

/* ---- waiting ---- */

int epoll_ctl(int set, int what, int fd, struct epoll_event *event)
{
    REAL(int, "epoll_ctl", int, int, int, struct epoll_event *);
    if (what == EPOLL_CTL_ADD && kind_of(fd) == STREAM && one_fails(watch_ENOMEM, watch_ENOSPC))
        return -1;
    if (fd < 0 || fd >= FDS_MAX)
        return real(set, what, fd, event);
    if (what == EPOLL_CTL_DEL) {
        registered[fd].set = 0;
        return real(set, what, fd, event);
    }
    registered[fd].event = *event;
    int rc = real(set, what, fd, event);
    if (rc == 0)
        registered[fd].set = set + 1;
    return rc;
}

int epoll_wait(int set, struct epoll_event *events, int max, int timeout)
{
    REAL(int, "epoll_wait", int, struct epoll_event *, int, int);
    if (page != NULL && fails(wait_EINTR))
        return -1;
    return real(set, events, max, timeout);
}

/* ---- files ---- */

int open(const char *path, int flags, ...)
{
    REAL(int, "open", const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (page != NULL && fails(open_EMFILE))
        return -1;
    return real(path, flags, mode);
}

/* ---- memory ---- */

static bool is_ours(void *caller)
{
    return (uintptr_t)caller >= text_from && (uintptr_t)caller < text_to;
}

void *malloc(size_t len)
{
    REAL(void *, "malloc", size_t);
    return page != NULL && is_ours(__builtin_return_address(0)) && fails(alloc) ? NULL : real(len);
}

void *calloc(size_t n, size_t len)
{
    REAL(void *, "calloc", size_t, size_t);
    return page != NULL && is_ours(__builtin_return_address(0)) && fails(alloc) ? NULL : real(n, len);
}

void *realloc(void *old, size_t len)
{
    REAL(void *, "realloc", void *, size_t);
    return page != NULL && is_ours(__builtin_return_address(0)) && fails(alloc) ? NULL : real(old, len);
}

/* ---- the beginning ---- */

/* The first that there is, is the program. */
static int find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        text_from = info->dlpi_addr + part->p_vaddr;
        text_to = text_from + part->p_memsz;
    }
    return 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SP_TEST_FAULTS");
    int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    (void)dl_iterate_phdr(find_text, NULL);
    struct page *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)syscall(SYS_close, fd);
    if (made == MAP_FAILED)
        return;
    for (enum fault f = 0; f < FAULT_COUNT; f++)
        (void)snprintf(made->rows[f].name, sizeof made->rows[f].name, "%s", faults[f].name);
    made->count = FAULT_COUNT;
    page = made;
}
